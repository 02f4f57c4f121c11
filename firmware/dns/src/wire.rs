//! Octets in and out: integers, names, and where they may end.

use crate::name::{Builder, Name};
use alloc::vec::Vec;
use core::fmt;
use limits::dns::NAME_POINTERS_COUNT_MAX;

/// What is wrong with a message. The sender's fault each time; the message is as if it had not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It ends before it should.
    Short,
    /// A name that is longer than 255 octets, or whose pointers lead nowhere, forward, or round and round.
    Name,
    /// A record's data is longer or shorter than its type allows.
    Data,
    /// More questions or records than we take.
    TooMany,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "message ends too early",
            Self::Name => "malformed name",
            Self::Data => "malformed record",
            Self::TooMany => "too many records",
        })
    }
}

impl core::error::Error for Malformed {}

/// Two upper bits of a length octet: both set for a pointer, none for a label; the rest was never given a meaning that
/// lasted (RFC 6891 §5).
const POINTER: u8 = 0b1100_0000;

/// Reads a message from its start; names may lead back to any part before them.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    whole: &'a [u8],
    at: usize,
    /// Where reading ends: the end of the message, or of a record's data.
    end: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(whole: &'a [u8]) -> Self {
        Self { whole, at: 0, end: whole.len() }
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.at >= self.end
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let next = self.at.checked_add(count).filter(|next| *next <= self.end).ok_or(Malformed::Short)?;
        let taken = self.whole.get(self.at..next).ok_or(Malformed::Short)?;
        self.at = next;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed::Short)
    }

    pub(crate) fn octet(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[octet]| octet)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn octets<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.array()
    }

    /// A reader of the next `count` octets, which this one then has behind it.
    pub(crate) fn part(&mut self, count: usize) -> Result<Self, Malformed> {
        let at = self.at;
        self.take(count)?;
        Ok(Self { whole: self.whole, at, end: self.at })
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = self.whole.get(self.at..self.end).unwrap_or_default();
        self.at = self.end;
        rest
    }

    /// Reads a name. Each pointer must lead to before the piece that it ends: so there are no loops, and a message of
    /// any shape costs no more than a few hundred steps for each name.
    pub(crate) fn name(&mut self) -> Result<Name, Malformed> {
        let mut builder = Builder::default();
        // Where the next length octet is read; after the first pointer the reader itself has its place already.
        let mut piece = self.clone();
        let mut piece_start = self.at;
        let mut pointers = 0;
        loop {
            let length = piece.octet()?;
            if length & POINTER == POINTER {
                let target = usize::from(u16::from_be_bytes([length & !POINTER, piece.octet()?]));
                if pointers == 0 {
                    self.at = piece.at;
                }
                pointers += 1;
                if target >= piece_start || pointers > NAME_POINTERS_COUNT_MAX {
                    return Err(Malformed::Name);
                }
                piece = Self { whole: self.whole, at: target, end: self.whole.len() };
                piece_start = target;
                continue;
            }
            if length & POINTER != 0 {
                return Err(Malformed::Name);
            }
            if length == 0 {
                break;
            }
            builder.label(piece.take(length.into())?).map_err(|_| Malformed::Name)?;
        }
        if pointers == 0 {
            self.at = piece.at;
        }
        Ok(builder.finish())
    }
}

/// What was written would be longer than a message may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Writes a message of at most so many octets.
pub(crate) struct Writer {
    octets: Vec<u8>,
    most: usize,
}

impl Writer {
    pub(crate) const fn new(most: usize) -> Self {
        Self { octets: Vec::new(), most }
    }

    pub(crate) fn put(&mut self, octets: &[u8]) -> Result<(), Full> {
        if self.octets.len().saturating_add(octets.len()) > self.most {
            return Err(Full);
        }
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    pub(crate) fn u16(&mut self, value: u16) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn u32(&mut self, value: u32) -> Result<(), Full> {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn name(&mut self, name: &Name) -> Result<(), Full> {
        self.put(name.wire())
    }

    /// Writes a length of two octets and then what `write` writes.
    pub(crate) fn sized(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        let at = self.octets.len();
        self.u16(0)?;
        write(self)?;
        let length = u16::try_from(self.octets.len() - at - 2).map_err(|_| Full)?;
        self.replace(at, length);
        Ok(())
    }

    /// Puts another number where one was written.
    pub(crate) fn replace(&mut self, at: usize, value: u16) {
        if let Some(place) = self.octets.get_mut(at..at + 2) {
            place.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Keeps so many octets back from what may be written.
    pub(crate) const fn most_reduce(&mut self, bytes: usize) {
        self.most = self.most.saturating_sub(bytes);
    }

    /// Gives them free again.
    pub(crate) const fn most_extend(&mut self, bytes: usize) {
        self.most = self.most.saturating_add(bytes);
    }

    pub(crate) const fn len(&self) -> usize {
        self.octets.len()
    }

    pub(crate) fn truncate(&mut self, length: usize) {
        self.octets.truncate(length);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.octets
    }
}
