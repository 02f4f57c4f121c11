//! In which form a message can go to a peer, by what its octets need and what the peer offers.
//!
//! | what leaves has | the peer offers | form |
//! |---|---|---|
//! | octets above 127 | 8BITMIME | as it is, BODY=8BITMIME |
//! | octets above 127, in parts that may be touched | no 8BITMIME | 7-bit (RFC 6152 §3): quoted-printable or base64 |
//! | octets above 127 in its header | no 8BITMIME | as it is: nothing could be done, and every server in use passes it on |
//! | octets above 127 in protected parts | no 8BITMIME | fails, 5.6.3 |
//! | lone CR or LF, NUL, in protected parts | CHUNKING and BINARYMIME | by BDAT, BODY=BINARYMIME |
//! | lone CR or LF, NUL, in protected parts | not both | fails, 5.6.3 |
//! | a header or sender in UTF-8, said so by SMTPUTF8 | SMTPUTF8 | SMTPUTF8 is said |
//! | a header or sender in UTF-8, said so by SMTPUTF8 | no SMTPUTF8 | fails, 5.6.7 |
//!
//! Everything else goes by DATA, also where BDAT is offered: what leaves is canonical, so that BDAT would win nothing but
//! the stuffing of dots, and DATA is what all servers, and all the boxes between, understand alike.

use crate::report;
use alloc::boxed::Box;
use envelope::Body;
use smime::{Facts, Protection, Recipe};
use smtp::client::{Capabilities, Utf8};
use spool::{ArrivalInfo, Class, Protocol};

/// Said of a message that has octets which the peer does not take, in places that nobody may touch. RFC 3463 §3.7:
/// conversion required but not supported.
pub(super) const NOT_CONVERTIBLE: &str =
    "554 5.6.3 protected content cannot be converted, and the next hop does not take it as it is";
/// RFC 6531 §3.4, for a message.
pub(super) const UTF8_NOT_TAKEN: &str = "554 5.6.7 the message is in UTF-8, the next hop takes ASCII only";
/// RFC 6531 §3.4, for a recipient.
pub(super) const UTF8_RECIPIENT_NOT_TAKEN: &str =
    "553 5.6.7 the address is in UTF-8, the next hop takes ASCII only";

/// What the octets of a message that leaves need.
pub(super) struct Form {
    /// Octets above 127.
    eight_bit: bool,
    /// These would stay in parts that nobody may touch.
    eight_bit_stays: bool,
    /// Lone CR or LF, or NUL.
    pub(super) odd: bool,
    pub(super) utf8: Utf8,
    /// By these facts it becomes 7-bit.
    convertible: Option<Box<Facts>>,
}

impl Form {
    /// `facts` as they are stored.
    pub(super) fn of(arrival: &ArrivalInfo, recipe: &Recipe, facts: &[u8]) -> Self {
        let said = arrival.protocol == Protocol::Utf8Smtp;
        if let Some(eight_bit) = report::is_eight_bit(facts) {
            // Our own: its header is in UTF-8 only where its recipient is.
            let utf8 = if eight_bit { Utf8::Offered } else { Utf8::No };
            return Self { eight_bit, eight_bit_stays: false, odd: false, utf8, convertible: None };
        }
        let Ok(facts) = Facts::from_bytes(facts) else {
            // Facts of another version: assume what harms least.
            let utf8 = if said || arrival.class == Class::Report { Utf8::Offered } else { Utf8::No };
            return Self { eight_bit: true, eight_bit_stays: false, odd: false, utf8, convertible: None };
        };
        let utf8 = match (said, facts.header.eight_bit) {
            (true, true) => Utf8::Needed,
            (true, false) => Utf8::Offered,
            (false, _) => Utf8::No,
        };
        let protected = facts.protection != Protection::None;
        let stays = if protected { facts.eight_bit } else { facts.eight_bit_when_signed };
        Self {
            eight_bit: if recipe.is_pass() { facts.eight_bit } else { facts.eight_bit_when_signed },
            eight_bit_stays: stays && !facts.header.eight_bit,
            odd: if recipe.is_pass() { facts.odd } else { facts.odd_when_canonical },
            utf8,
            convertible: (recipe.is_pass() && facts.eight_bit && !protected).then(|| Box::new(facts)),
        }
    }

    /// What to say of the octets to a peer.
    ///
    /// # Errors
    /// Why it cannot go there.
    pub(super) const fn body(&self, peer: Capabilities) -> Result<Body, &'static str> {
        if self.odd {
            let taken = peer.chunking && peer.binary_mime;
            return if taken { Ok(Body::BinaryMime) } else { Err(NOT_CONVERTIBLE) };
        }
        match (self.eight_bit, peer.eight_bit_mime) {
            (false, _) => Ok(Body::SevenBit),
            (true, true) => Ok(Body::EightBitMime),
            (true, false) if self.eight_bit_stays => Err(NOT_CONVERTIBLE),
            (true, false) => Ok(Body::SevenBit),
        }
    }

    /// The facts by which the message has to be made 7-bit for a peer.
    pub(super) fn conversion(&self, peer: Capabilities) -> Option<&Facts> {
        if peer.eight_bit_mime { None } else { self.convertible.as_deref() }
    }
}
