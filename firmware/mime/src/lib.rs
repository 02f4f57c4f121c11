//! MIME structure of mail (RFC 2045, 2046, 5322) for a gateway that has to keep octets.
//!
//! # Terms
//!
//! - *Entity*: a header block and a body; the message itself is entity 0, the others are counted in the order in
//!   which their headers begin.
//! - *Container*: an entity whose body is walked: `multipart/*` and `message/rfc822`. Everything else is a *leaf*.
//! - *Gap*: preamble and epilogue of a multipart, which readers ignore.
//! - *Delimiter*: a boundary line together with the CRLF before it, which belongs to it (RFC 2046 §5.1.1).
//!
//! # What it does
//!
//! [`walk::Walker`] takes a message in pieces of any size and tells a [`walk::Visitor`] what it sees. Every octet is
//! told exactly once and in order, so that a visitor that writes down what it hears writes down the message.
//! [`encode`] holds the transfer encodings as machines of the same kind. Values of header fields are understood by the
//! mail-parser library, one field at a time, and only here; its lenient reading is then compared with the octets, and
//! where another reader could see something else the answer is *ambiguous*.
//!
//! # Bounds
//!
//! Memory does not depend on the message: at most [`NESTING_COUNT_MAX`](limits::mime::NESTING_COUNT_MAX) boundaries of
//! [`BOUNDARY_BYTES_MAX`](limits::mime::BOUNDARY_BYTES_MAX), one field of
//! [`FIELD_BYTES_MAX`](limits::mime::FIELD_BYTES_MAX) and one line start. Work is linear in the octets.
//!
//! # What it expects
//!
//! Lines end in CRLF and neither CR nor LF stands alone, as far as content comes by DATA: the SMTP server refuses anything
//! else. Content that comes in chunks may hold anything. A lone LF ends a line everywhere and is noticed
//! ([`walk::Findings::bare_line_end`]); a lone CR and a NUL are content, and noticed by [`walk::Walker::of_chunks`].
//!
//! # What it does not do
//!
//! It decodes nothing, repairs nothing and has no opinion about character sets.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod content;
pub mod encode;
pub mod walk;

/// Where octets go. Implemented for a vector and by whoever hashes or counts.
pub trait Output {
    /// Takes the next octets.
    fn put(&mut self, octets: &[u8]);
}

impl Output for alloc::vec::Vec<u8> {
    fn put(&mut self, octets: &[u8]) {
        self.extend_from_slice(octets);
    }
}
