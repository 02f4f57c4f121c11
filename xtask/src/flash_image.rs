//! From the linked ELF file to the content of flash bank 0, as `hw-docs/boot.md` describes it.

use crate::crc32c;
use anyhow::{Context as _, Result, bail, ensure};
use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _, SectionHeader as _};
use object::{LittleEndian, elf};
use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

/// Octets of a flash bank; QEMU insists on this size.
pub const BANK_BYTES: usize = 64 * 1024 * 1024;
/// Octets of an erase block.
const BLOCK_BYTES: usize = 256 * 1024;
/// Where the boot header lies.
pub const HEADER_OFFSET: usize = 0x40;
/// Octets of the boot header.
const HEADER_BYTES: usize = 0x20;

/// One section of the firmware, for the size table.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its name in the ELF file.
    pub name: String,
    /// Its octets.
    pub bytes: u64,
    /// Whether it takes place in the flash.
    pub in_flash: bool,
    /// Where it is at run time.
    pub address: u64,
}

/// What is known of a linked firmware.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// Content of the bank up to the end of the last erase block that is used; the rest of the bank is empty.
    pub content: Vec<u8>,
    /// Octets of the image, as the boot header tells them.
    pub image_bytes: u64,
    /// All sections that are in memory at run time.
    pub sections: Vec<Section>,
}

impl Firmware {
    /// Reads a linked firmware and fills in the boot header.
    ///
    /// # Errors
    /// When the file is no ELF file for the machine, or its header does not match its segments.
    pub fn read(path: &Path) -> Result<Self> {
        let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let header = FileHeader32::<LittleEndian>::parse(&*data)?;
        let endian = header.endian()?;
        let mut content = Vec::new();
        for segment in header.program_headers(endian, &*data)? {
            let bytes = segment.data(endian, &*data).ok().context("a segment lies outside the file")?;
            if segment.p_type(endian) != PT_LOAD || bytes.is_empty() {
                continue;
            }
            place(&mut content, segment.p_paddr(endian) as usize, bytes)?;
        }
        let table = header.sections(endian, &*data)?;
        let mut sections = Vec::new();
        for section in table.iter() {
            let flags = section.sh_flags(endian);
            if flags.0 & elf::SHF_ALLOC.0 == 0 || section.sh_size(endian) == 0 {
                continue;
            }
            sections.push(Section {
                name: String::from_utf8_lossy(table.section_name(endian, section)?).into_owned(),
                bytes: section.sh_size(endian).into(),
                in_flash: section.sh_type(endian) != elf::SHT_NOBITS,
                address: section.sh_addr(endian).into(),
            });
        }
        let image_bytes = fill_in_header(&mut content)?;
        content.resize(content.len().next_multiple_of(BLOCK_BYTES), 0xff);
        Ok(Self { content, image_bytes, sections })
    }

    /// Writes the bank image: the content, then a hole up to the size of the bank.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        ensure!(self.content.len() <= BANK_BYTES, "the firmware does not fit into flash bank 0");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // A machine that runs keeps the old file open; renaming leaves it alone.
        let fresh = path.with_extension("new");
        let mut file = fs::File::create(&fresh)?;
        file.write_all(&self.content)?;
        file.set_len(BANK_BYTES as u64)?;
        file.seek(SeekFrom::Start(0))?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        Ok(())
    }
}

/// Puts `bytes` at `offset` of the bank; what was not there yet reads as erased flash.
fn place(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) -> Result<()> {
    let end = offset.checked_add(bytes.len()).filter(|end| *end <= BANK_BYTES);
    let Some(end) = end else { bail!("a segment at {offset:#x} lies outside flash bank 0") };
    if content.len() < end {
        content.resize(end, 0xff);
    }
    let Some(room) = content.get_mut(offset..end) else { bail!("a segment at {offset:#x} has no room") };
    ensure!(room.iter().all(|byte| *byte == 0xff), "two segments overlap at {offset:#x}");
    room.copy_from_slice(bytes);
    Ok(())
}

/// Checks the boot header against what was placed, and writes the checksum into it; gives the image's length.
fn fill_in_header(content: &mut [u8]) -> Result<u64> {
    let word = |at: usize| -> Result<usize> {
        let bytes =
            content.get(HEADER_OFFSET + at..HEADER_OFFSET + at + 4).context("there is no boot header")?;
        Ok(u32::from_le_bytes(bytes.try_into()?) as usize)
    };
    let magic = content.get(HEADER_OFFSET..HEADER_OFFSET + 8);
    ensure!(magic == Some(b"STARGATE".as_slice()), "the boot header does not start with its magic");
    ensure!(word(0x08)? == 1, "boot header version {} is unknown", word(0x08)?);
    let (start, ram, length, entry) = (word(0x0c)?, word(0x10)?, word(0x14)?, word(0x1c)?);
    ensure!(start >= HEADER_OFFSET + HEADER_BYTES, "the image overlaps the boot header");
    ensure!(length % 32 == 0 && length > 0, "the image is {length} octets long, no multiple of 32");
    ensure!((ram..ram + length).contains(&(entry & !1)), "the entry address {entry:#x} is outside the image");
    let end = start + length;
    ensure!(
        content.len() <= end && end - content.len() < BLOCK_BYTES,
        "the segments end at {:#x}, the boot header says {end:#x}",
        content.len()
    );
    let mut image = content.get(start..).context("the image starts beyond the segments")?.to_vec();
    image.resize(length, 0xff);
    let checksum = crc32c::checksum(&image);
    let field =
        content.get_mut(HEADER_OFFSET + 0x18..HEADER_OFFSET + 0x1c).context("there is no boot header")?;
    field.copy_from_slice(&checksum.to_le_bytes());
    Ok(length as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank(image: &[u8], length: u32) -> Vec<u8> {
        let mut content = Vec::new();
        let words = [1, 0x80, 0x4020_0000, length, u32::MAX, 0x4020_0001];
        let mut header = b"STARGATE".to_vec();
        header.extend(words.iter().flat_map(|word: &u32| word.to_le_bytes()));
        place(&mut content, HEADER_OFFSET, &header).expect("inside the bank");
        place(&mut content, 0x80, image).expect("inside the bank");
        content
    }

    #[test]
    fn checksum_covers_padding_as_erased_flash() {
        let mut content = bank(&[7; 40], 64);
        assert_eq!(fill_in_header(&mut content).expect("valid"), 64);
        let mut padded = vec![7; 40];
        padded.resize(64, 0xff);
        assert_eq!(content[0x58..0x5c], crc32c::checksum(&padded).to_le_bytes());
    }

    #[test]
    fn header_that_tells_another_length_is_refused() {
        assert!(fill_in_header(&mut bank(&[7; 96], 64)).is_err());
        assert!(fill_in_header(&mut bank(&[7; 40], 44)).is_err());
    }

    #[test]
    fn overlapping_segments_are_refused() {
        let mut content = bank(&[7; 64], 64);
        assert!(place(&mut content, 0x90, &[1]).is_err());
        assert!(place(&mut content, BANK_BYTES - 1, &[1, 2]).is_err());
    }
}
