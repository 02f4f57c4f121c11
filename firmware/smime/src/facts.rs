//! What is learnt about a message while it arrives.

use alloc::vec::Vec;
use mime::address::Author;
use serde::{Deserialize, Serialize};

/// What the header block of the whole message says. Known as soon as the header has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Who the message says it is from.
    pub author: Author,
    /// There is a Date field.
    pub has_date: bool,
    /// There is a Message-ID field.
    pub has_message_id: bool,
    /// Received fields, for loop detection (saturating).
    pub received_count: u16,
    /// A line of the header is no header field, or the header never ended: nothing may be put before it.
    pub malformed: bool,
    /// Octets above 127 occur in the header (RFC 6532).
    pub eight_bit: bool,
}

/// Which protection a message carries already. Anything but `None` is passed on byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// None: an ordinary message.
    None,
    /// `multipart/signed` (S/MIME or OpenPGP).
    Signed,
    /// `application/pkcs7-mime`, opaque-signed.
    OpaqueSigned,
    /// `application/pkcs7-mime`, enveloped or auth-enveloped, or of a type that is not said.
    Encrypted,
    /// `multipart/encrypted` (OpenPGP/MIME).
    OpenPgpEncrypted,
    /// A text that is an inline OpenPGP message as a whole.
    OpenPgpInline,
}

/// Why a message cannot be signed. It is not repaired and not truncated: it is held, or passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// The header block holds a line that is no field.
    HeaderMalformed,
    /// Fields that may occur once occur twice or cannot be understood (Content-Type, Content-Transfer-Encoding).
    HeaderAmbiguous,
    /// The `Content-*` fields of the message take more than
    /// [`MOVED_FIELDS_BYTES_MAX`](limits::mime::MOVED_FIELDS_BYTES_MAX) octets.
    HeaderTooLong,
    /// A part that may not be re-encoded has lines over 998 octets.
    LineTooLong,
    /// There are more than [`ENTITIES_COUNT_MAX`](limits::mime::ENTITIES_COUNT_MAX) parts and some would have to be re-encoded.
    TooManyParts,
}

/// What is known about a stored message. Encoded it takes at most
/// [`FACTS_BYTES_MAX`](limits::mime::FACTS_BYTES_MAX) octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The header block of the message.
    pub header: Header,
    /// Protection that is there already.
    pub protection: Protection,
    /// Why it cannot be signed, if so.
    pub obstacle: Option<Obstacle>,
    /// The stored content (header or body) has octets above 127: passing it on as it is wants 8BITMIME.
    pub eight_bit: bool,
    /// The signed form would still have octets above 127 (parts that may not be touched, raw header octets).
    pub eight_bit_when_signed: bool,
}

/// The stored facts cannot be read: they were written by another version, or they are damaged. The caller scans
/// the stored message again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactsUnreadable;

impl Facts {
    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`FactsUnreadable`] for anything that [`to_bytes`](Self::to_bytes) of this version did not write.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, FactsUnreadable> {
        unimplemented!()
    }
}

/// Reads a message while it arrives, in pieces of any size, and learns the [`Facts`].
#[derive(Debug)]
pub struct Scanner {}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    /// A scanner at the first octet of a message.
    #[must_use]
    pub fn new() -> Self {
        unimplemented!()
    }

    /// The next octets of the stored message: CRLF line ends, not dot-stuffed.
    pub fn push(&mut self, _octets: &[u8]) {
        unimplemented!()
    }

    /// The header facts, once the header block is complete.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        unimplemented!()
    }

    /// The message is complete.
    #[must_use]
    pub fn finish(self) -> Facts {
        unimplemented!()
    }
}
