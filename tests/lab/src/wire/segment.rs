//! One Ethernet segment: the emulator's network card at one end, this process at the other.
//!
//! QEMU connects to a socket of ours (`-netdev stream`) and puts a length of four octets in front of each frame. Unlike
//! its datagram sockets that loses nothing: the system holds ten datagrams for a reader that is busy, and no more.
//! While the machine is off nobody is connected, and what is sent falls on the floor.

use super::{executor::Socket, frames::Mac};
use anyhow::{Context as _, Result};
use std::{
    collections::VecDeque,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    rc::Rc,
};

/// Octets that wait for the emulator to read them; what comes on top is lost, as on a wire.
const BACKLOG_BYTES_MAX: usize = 4 << 20;
/// Octets of a frame at most; a longer one means that the stream is no stream of frames.
const FRAME_BYTES_MAX: usize = 65_535;
/// Octets that one look takes at most, so that tasks get their turn.
const LOOK_BYTES_MAX: usize = 256 << 10;

/// The segment.
#[derive(Debug)]
pub struct Segment {
    listener: Rc<UnixListener>,
    stream: Option<Rc<UnixStream>>,
    path: PathBuf,
    received: Vec<u8>,
    unsent: VecDeque<u8>,
    /// The appliance's card.
    pub guest: Mac,
    /// The card of everybody else.
    pub ours: Mac,
}

impl Segment {
    /// A segment whose socket is at `path`. `number` tells segments apart.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn new(path: &Path, number: u8) -> Result<Self> {
        let listener =
            UnixListener::bind(path).with_context(|| format!("no socket at {}", path.display()))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: Rc::new(listener),
            stream: None,
            path: path.to_path_buf(),
            received: Vec::new(),
            unsent: VecDeque::new(),
            guest: [0x52, 0x54, 0, 0, 0, 1 + number],
            ours: [2, 0, 0, 0, 1, number],
        })
    }

    /// Where the emulator connects.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a machine is connected.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// The frames that have arrived since the last look.
    pub fn receive(&mut self) -> Vec<Vec<u8>> {
        if let Ok((stream, _)) = self.listener.accept()
            && stream.set_nonblocking(true).is_ok()
        {
            // A machine that was switched on: what was under way to the one before is lost.
            self.received.clear();
            self.unsent.clear();
            self.stream = Some(Rc::new(stream));
        }
        let mut taken = 0;
        let mut buffer = vec![0; 64 << 10];
        while let Some(stream) = &self.stream {
            match (&**stream).read(&mut buffer) {
                Ok(0) => self.stream = None,
                Ok(count) => {
                    self.received.extend(buffer.iter().take(count));
                    taken += count;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.stream = None,
            }
            if taken >= LOOK_BYTES_MAX {
                break;
            }
        }
        self.take_frames()
    }

    fn take_frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(length) = self.received.get(at..at + 4) {
            let length = length.iter().fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
            if length > FRAME_BYTES_MAX {
                self.stream = None;
                self.received.clear();
                return frames;
            }
            let Some(frame) = self.received.get(at + 4..at + 4 + length) else { break };
            frames.push(frame.to_vec());
            at += 4 + length;
        }
        self.received.drain(..at);
        frames
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &[u8]) {
        if self.stream.is_none() || self.unsent.len() > BACKLOG_BYTES_MAX {
            return;
        }
        self.unsent.extend(u32::try_from(frame.len()).unwrap_or(0).to_be_bytes());
        self.unsent.extend(frame);
    }

    /// Hands over what waits, as far as the emulator takes it.
    pub fn flush(&mut self) {
        while let Some(stream) = &self.stream {
            let (first, _) = self.unsent.as_slices();
            if first.is_empty() {
                return;
            }
            match (&**stream).write(first) {
                Ok(count) => _ = self.unsent.drain(..count),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.stream = None,
            }
        }
    }

    /// What to wait for: a machine or its frames, and room where something waits.
    #[must_use]
    pub fn sockets(&self) -> Vec<(Socket, bool)> {
        let mut sockets: Vec<(Socket, bool)> = vec![(Rc::clone(&self.listener) as Socket, false)];
        if let Some(stream) = &self.stream {
            sockets.push((Rc::clone(stream) as Socket, false));
            if !self.unsent.is_empty() {
                sockets.push((Rc::clone(stream) as Socket, true));
            }
        }
        sockets
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::process::ScratchDir;

    #[test]
    fn frames_that_come_in_pieces_are_whole_again() {
        let scratch = ScratchDir::new().expect("temporary folder");
        let mut segment = Segment::new(&scratch.path().join("net"), 0).expect("socket");
        let mut machine = UnixStream::connect(segment.path()).expect("connects");
        assert_eq!(segment.receive(), Vec::<Vec<u8>>::new());
        for octet in [0, 0, 0, 3, 1, 2, 3, 0, 0, 0, 1] {
            machine.write_all(&[octet]).expect("written");
            let expected: &[&[u8]] =
                if octet == 3 && segment.received.len() == 6 { &[&[1, 2, 3]] } else { &[] };
            assert_eq!(segment.receive(), expected);
        }
        machine.write_all(&[9]).expect("written");
        assert_eq!(segment.receive(), [[9]]);
        segment.send(&[7, 8]);
        segment.flush();
        let mut got = [0; 6];
        machine.read_exact(&mut got).expect("readable");
        assert_eq!(got, [0, 0, 0, 2, 7, 8]);
        drop(machine);
        assert!(segment.receive().is_empty());
        assert!(!segment.is_connected());
    }
}
