//! Every frame of a run in a file that Wireshark and tcpdump open: the block format of `draft-ietf-opsawg-pcapng`.
//!
//! One section, one interface description per segment, one enhanced packet block per frame with time in microseconds.
//! All numbers are little endian; blocks are padded to 4 octets and have their length at both ends.

use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

/// Kind of a section header block; it reads the same in both byte orders.
const SECTION: u32 = 0x0A0D_0D0A;
/// Kind of an interface description block.
const INTERFACE: u32 = 1;
/// Kind of an interface statistics block.
const STATISTICS: u32 = 5;
/// Kind of an enhanced packet block.
const PACKET: u32 = 6;
/// Tells the byte order.
const BYTE_ORDER: u32 = 0x1A2B_3C4D;
/// Link type Ethernet.
const ETHERNET: u16 = 1;
/// Octets of a frame at most.
const FRAME_BYTES_MAX: u32 = 65_535;
/// Octets of a file at most: a flood shall not fill the disk. What is left out is counted.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A file that is being written.
#[derive(Debug)]
pub struct Pcap {
    file: BufWriter<File>,
    path: PathBuf,
    written: u64,
    left_out: u64,
    interfaces: u32,
    /// Microseconds since 1970 at the start of the run.
    epoch_us: u64,
}

impl Pcap {
    /// Begins a file with an interface for each name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path, interfaces: &[&str]) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let mut pcap = Self {
            file: BufWriter::new(file),
            path: path.to_path_buf(),
            written: 0,
            left_out: 0,
            interfaces: u32::try_from(interfaces.len())?,
            epoch_us: u64::try_from(now.as_micros())?,
        };
        // Version 1.0, section length unknown.
        let mut section = BYTE_ORDER.to_le_bytes().to_vec();
        section.extend([1, 0, 0, 0]);
        section.extend([0xff; 8]);
        pcap.block(SECTION, &section)?;
        for name in interfaces {
            let mut description = ETHERNET.to_le_bytes().to_vec();
            description.extend([0, 0]);
            description.extend(FRAME_BYTES_MAX.to_le_bytes());
            option(&mut description, 2, name.as_bytes());
            option(&mut description, 0, &[]);
            pcap.block(INTERFACE, &description)?;
        }
        Ok(pcap)
    }

    /// Adds a frame of the segment `interface`, `at_us` microseconds after the start of the run.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn frame(&mut self, interface: usize, at_us: u64, frame: &[u8]) -> Result<()> {
        if self.written >= FILE_BYTES_MAX {
            self.left_out += 1;
            return Ok(());
        }
        let at = self.epoch_us.saturating_add(at_us);
        let length = u32::try_from(frame.len())?;
        let mut block = Vec::with_capacity(frame.len() + 32);
        block.extend(u32::try_from(interface)?.to_le_bytes());
        block.extend(((at >> 32) as u32).to_le_bytes());
        block.extend((at as u32).to_le_bytes());
        block.extend(length.to_le_bytes());
        block.extend(length.to_le_bytes());
        block.extend(frame);
        pad(&mut block);
        self.block(PACKET, &block)
    }

    /// Ends the file. Returns where it is, and how many frames found no room in it.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self) -> Result<(PathBuf, u64)> {
        for interface in 0..self.interfaces {
            let mut block = interface.to_le_bytes().to_vec();
            block.extend(((self.epoch_us >> 32) as u32).to_le_bytes());
            block.extend((self.epoch_us as u32).to_le_bytes());
            // isb_ifdrop
            option(&mut block, 5, &self.left_out.to_le_bytes());
            option(&mut block, 0, &[]);
            self.block(STATISTICS, &block)?;
        }
        self.file.flush()?;
        Ok((self.path.clone(), self.left_out))
    }

    /// What has been written so far becomes visible to others.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn flush(&mut self) -> Result<()> {
        Ok(self.file.flush()?)
    }

    fn block(&mut self, kind: u32, body: &[u8]) -> Result<()> {
        let length = u32::try_from(body.len() + 12)?;
        self.file.write_all(&kind.to_le_bytes())?;
        self.file.write_all(&length.to_le_bytes())?;
        self.file.write_all(body)?;
        self.file.write_all(&length.to_le_bytes())?;
        self.written += u64::from(length);
        Ok(())
    }
}

fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    block.extend(code.to_le_bytes());
    block.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    block.extend(value);
    pad(block);
}

fn pad(block: &mut Vec<u8>) {
    block.resize(block.len().next_multiple_of(4), 0);
}

/// One frame of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The segment.
    pub interface: u32,
    /// Microseconds since 1970.
    pub at_us: u64,
    /// All octets.
    pub frame: Vec<u8>,
}

/// Reads a file back: the names of its interfaces and its frames.
///
/// # Errors
/// When it is not well formed to the last octet.
pub fn read(content: &[u8]) -> Result<(Vec<String>, Vec<Recorded>)> {
    let (mut names, mut frames) = (Vec::new(), Vec::new());
    let mut rest = content;
    let mut first = true;
    while !rest.is_empty() {
        let kind = number(rest, 0)?;
        let length = usize::try_from(number(rest, 4)?)?;
        ensure!(length >= 12 && length.is_multiple_of(4), "a block of {length} octets");
        let block = rest.get(..length).context("the last block is cut off")?;
        ensure!(usize::try_from(number(block, length - 4)?)? == length, "the lengths of a block differ");
        let body = &block[8..length - 4];
        ensure!(first == (kind == SECTION), "a section must begin the file, and only one");
        first = false;
        match kind {
            SECTION => ensure!(number(body, 0)? == BYTE_ORDER, "byte order"),
            INTERFACE => {
                ensure!(body.get(..2) == Some(&ETHERNET.to_le_bytes()), "link type");
                let name_length = usize::from(body.get(10).copied().context("no name")?);
                let name = body.get(12..12 + name_length).context("name cut off")?;
                names.push(String::from_utf8(name.to_vec())?);
            }
            PACKET => {
                let (captured, original) = (number(body, 12)?, number(body, 16)?);
                ensure!(captured == original, "a frame was cut off");
                let frame = body.get(20..20 + usize::try_from(captured)?).context("frame cut off")?;
                let interface = number(body, 0)?;
                ensure!(usize::try_from(interface)? < names.len(), "interface {interface} is unknown");
                let at_us = u64::from(number(body, 4)?) << 32 | u64::from(number(body, 8)?);
                frames.push(Recorded { interface, at_us, frame: frame.to_vec() });
            }
            STATISTICS => {}
            other => bail!("block of kind {other}"),
        }
        rest = &rest[length..];
    }
    Ok((names, frames))
}

fn number(octets: &[u8], at: usize) -> Result<u32> {
    let four = octets.get(at..at + 4).context("cut off")?;
    Ok(u32::from_le_bytes(four.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::process::ScratchDir;

    #[test]
    fn frames_of_every_length_read_back_as_they_were() {
        let scratch = ScratchDir::new().expect("temporary folder");
        let path = scratch.path().join("run.pcapng");
        let mut pcap = Pcap::create(&path, &["internet", "inside"]).expect("writable");
        for length in 0..70_u8 {
            pcap.frame(usize::from(length % 2), u64::from(length) * 1_000, &vec![length; length.into()])
                .expect("written");
        }
        assert_eq!(pcap.finish().expect("written").1, 0);
        let content = std::fs::read(&path).expect("readable");
        let (names, frames) = read(&content).expect("well formed");
        assert_eq!(names, ["internet", "inside"]);
        assert_eq!(frames.len(), 70);
        for (length, recorded) in (0..70_u8).zip(&frames) {
            assert_eq!(recorded.frame, vec![length; length.into()]);
            assert_eq!(recorded.interface, u32::from(length % 2));
            assert_eq!(recorded.at_us - frames[0].at_us, u64::from(length) * 1_000);
        }
        assert!(read(&content[..content.len() - 1]).is_err());
    }
}
