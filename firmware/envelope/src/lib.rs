//! The vocabulary that a letter's way is told in: mailboxes, queue ids, enhanced status codes, and what
//! senders ask of reports.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod date;
pub mod dsn;
pub mod idna;
pub mod mailbox;

pub use date::{Civil, LogDate, MailDate};
pub use dsn::{EnvelopeId, Notify, OriginalRecipient, RecipientParameters, Return, SenderParameters};
pub use mailbox::{AddressError, Mailbox, MailboxRef, PathRef, ReversePath, check_domain, literal_address};

use core::fmt;
use serde::{Deserialize, Serialize};

/// Names one message from `250` to its end. Never used twice on one appliance. Printed as 8 or more characters of
/// the consonant-and-digit alphabet `0123456789BCDFGHJKLMNPQRSTVWXYZ` (base 31), which spells no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueId(pub u64);

const QUEUE_ID_ALPHABET: &[u8; 31] = b"0123456789BCDFGHJKLMNPQRSTVWXYZ";
const QUEUE_ID_DIGITS_MIN: usize = 8;

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [b'0'; 13];
        let mut rest = self.0;
        let mut first = digits.len();
        while rest > 0 || digits.len() - first < QUEUE_ID_DIGITS_MIN {
            first -= 1;
            digits[first] = QUEUE_ID_ALPHABET[(rest % 31) as usize];
            rest /= 31;
        }
        f.pad(core::str::from_utf8(&digits[first..]).unwrap_or("?"))
    }
}

impl core::str::FromStr for QueueId {
    type Err = ();
    /// Reads what [`Display`](fmt::Display) wrote; letters of either case.
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() {
            return Err(());
        }
        let mut id = 0u64;
        for c in text.bytes() {
            let digit = QUEUE_ID_ALPHABET.iter().position(|a| *a == c.to_ascii_uppercase()).ok_or(())? as u64;
            id = id.checked_mul(31).and_then(|i| i.checked_add(digit)).ok_or(())?;
        }
        Ok(Self(id))
    }
}

/// RFC 3463 enhanced status code: class (2, 4, 5), subject, detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnhancedStatus(pub u8, pub u16, pub u16);

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// Whether a condition is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permanence {
    /// Try again later (4xx).
    Transient,
    /// It will not change by itself (5xx).
    Permanent,
}

/// How a message came in: the `with` keyword of its Received field (RFC 3848).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    /// The peer said HELO.
    Smtp,
    /// The peer said EHLO.
    Esmtp,
    /// The peer said SMTPUTF8 on MAIL (RFC 6531 §3.7.3).
    Utf8Smtp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Smtp => "SMTP",
            Self::Esmtp => "ESMTP",
            Self::Utf8Smtp => "UTF8SMTP",
        })
    }
}

/// What octets the sender says that the content has (RFC 6152). A declaration, not a fact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body {
    /// Octets 1 to 127, the rule where nothing is said.
    #[default]
    SevenBit,
    /// Octets 1 to 255 in lines.
    EightBitMime,
    /// Any octets, not necessarily in lines (RFC 3030 §3); only by BDAT.
    BinaryMime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_id_reads_back_what_it_prints() {
        extern crate std;
        use std::string::ToString;
        for id in [0, 1, 30, 31, 31u64.pow(8), u64::MAX] {
            let text = QueueId(id).to_string();
            assert!(text.len() >= 8);
            assert_eq!(text.parse(), Ok(QueueId(id)));
            assert_eq!(text.to_lowercase().parse(), Ok(QueueId(id)));
        }
        assert_eq!("".parse::<QueueId>(), Err(()));
        assert_eq!("A".parse::<QueueId>(), Err(()));
        assert_eq!("ZZZZZZZZZZZZZZZ".parse::<QueueId>(), Err(()));
    }
}
