//! The loop marker: a header field by which the appliance knows mail again that it has had in hands.
//!
//! A rule of Exchange sends mail to this gateway, and the gateway returns it. If the rule has no exception for returned
//! mail, Exchange sends it out again, for ever. The marker is on what goes to Exchange servers of the site; it is looked
//! at on what comes from them; it never leaves towards the Internet.
//!
//! # Format
//! ```text
//! X-Stargate-Loop: TOKEN; n=PASS; d=in|out; to=DIGEST;
//!  m=MAC
//! ```
//! - `TOKEN`: 16 hexadecimal digits, the same on all mail of one appliance, so that a rule can look for it as a word.
//! - `n`: passes so far, this one included: one digit.
//! - `d`: `in` where a recipient is in an internal domain, else `out`.
//! - `to`: 16 digits, a keyed digest of the recipients of the transaction, sorted and in lower case.
//! - `m`: 32 digits, the authentication code.
//!
//! Every marker takes [`FIELD_BYTES`] octets. White space may be folded and changed on the way; values may not.
//!
//! # Cryptography
//! All values come from HMAC-SHA-256 under one secret of 32 octets that only the appliance has. What is authenticated
//! begins with another text for each purpose, so no value of one kind can stand for another:
//! token (`"stargate loop token"`, first 8 octets), recipients (`"stargate loop to"`, then each address after its length in
//! two octets; first 8 octets), and code (`"stargate loop mark"`, then the octets of token, pass, direction and
//! recipients; first 16 octets). 128 bits of code cannot be guessed; codes are compared in constant time. 64 bits of
//! digest only tell recipients apart: whoever finds two sets with one digest gets his own mail refused.
//!
//! A marker that is copied to another message is valid there. That is no weakness: it can only have that message
//! refused, if it is for the same recipients, or make it count as passed before. It opens nothing.
//!
//! # What it does not do
//! It knows no message and no peer: who is asked for a marker, and who gets one, is the caller's to decide.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;
use core::fmt;
use hmac::{Hmac, KeyInit, Mac};
use limits::loops::{LOOP_PASSES_MAX, LOOP_PASSES_ONE_WAY_MAX};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Name of the field as it is written.
pub const FIELD_NAME: &str = "X-Stargate-Loop";
/// Octets of every marker, with its CRLF.
pub const FIELD_BYTES: usize = FIELD_NAME.len()
    + 2
    + 16
    + "; n=1".len()
    + "; d=out".len()
    + "; to=".len()
    + 16
    + ";\r\n m=".len()
    + 32
    + 2;

/// Which way mail goes, seen from the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To a recipient in an internal domain, maybe among others.
    In,
    /// To recipients elsewhere.
    Out,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::In => "in",
            Self::Out => "out",
        })
    }
}

/// Digest of a set of recipients under the key of one appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipients([u8; 8]);

/// What a marker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Passes so far, at least 1 and at most [`LOOP_PASSES_MAX`].
    pub passes: u8,
    /// Which way the mail went.
    pub direction: Direction,
    /// Who it was for.
    pub recipients: Recipients,
}

/// Why a field is no marker of this appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOurs {
    /// It has another token, or none: of another appliance, or nonsense.
    Foreign,
    /// It has our token and a wrong code: somebody made it up, or changed it.
    Forged,
}

impl fmt::Display for NotOurs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "not of this appliance",
            Self::Forged => "not valid",
        })
    }
}

impl core::error::Error for NotOurs {}

/// What follows from the markers of a message that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It may go on. So many passes are behind it; 0 if it has no marker.
    GoesOn {
        /// Passes behind it.
        passes: u8,
    },
    /// It goes round in circles.
    Loops {
        /// Passes behind it.
        passes: u8,
    },
}

/// The key of one appliance. Holds the prepared states of the hash, so that a marker takes four blocks of SHA-256.
#[derive(Clone)]
pub struct Key {
    mac: Hmac<Sha256>,
    token: [u8; 8],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// The word of an appliance that is in every marker of it. Prints as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token([u8; 8]);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl Key {
    /// Makes the key of the secret of an appliance.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        // RFC 2104 §2: a key shorter than a block is the block that begins with it and goes on with zeros.
        let mut block = [0; 64];
        block.iter_mut().zip(secret).for_each(|(to, from)| *to = *from);
        let mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
        let mut key = Self { mac, token: [0; 8] };
        key.token = key.digest(|mac| mac.update(b"stargate loop token"));
        key
    }

    /// The word that a rule of Exchange may look for.
    #[must_use]
    pub const fn token(&self) -> Token {
        Token(self.token)
    }

    /// The digest of a set of recipients; their order and case do not matter. Sorts `addresses`.
    pub fn recipients(&self, addresses: &mut [&str]) -> Recipients {
        let lower =
            |address: &str| -> Vec<u8> { address.bytes().map(|octet| octet.to_ascii_lowercase()).collect() };
        addresses.sort_unstable_by(|a, b| {
            a.bytes()
                .map(|octet| octet.to_ascii_lowercase())
                .cmp(b.bytes().map(|octet| octet.to_ascii_lowercase()))
        });
        Recipients(self.digest(|mac| {
            mac.update(b"stargate loop to");
            for address in addresses.iter() {
                let length = u16::try_from(address.len()).unwrap_or(u16::MAX);
                mac.update(&length.to_be_bytes());
                mac.update(&lower(address));
            }
        }))
    }

    /// Appends a marker as a whole header field of [`FIELD_BYTES`] octets. Passes beyond [`LOOP_PASSES_MAX`] are written as
    /// that.
    pub fn write(&self, marker: &Marker, out: &mut Vec<u8>) {
        let marker = Marker { passes: marker.passes.clamp(1, LOOP_PASSES_MAX), ..*marker };
        out.extend_from_slice(FIELD_NAME.as_bytes());
        out.extend_from_slice(b": ");
        put_hex(&self.token, out);
        out.extend_from_slice(b"; n=");
        out.push(b'0' + marker.passes);
        // As long in both directions: the size of the message is announced before the direction is known for certain.
        out.extend_from_slice(match marker.direction {
            Direction::In => b"; d=in;  to=",
            Direction::Out => b"; d=out; to=",
        });
        put_hex(&marker.recipients.0, out);
        out.extend_from_slice(b";\r\n m=");
        put_hex(&self.code(&marker), out);
        out.extend_from_slice(b"\r\n");
    }

    /// Reads a whole header field, name included, however its white space was folded.
    ///
    /// # Errors
    /// [`NotOurs`].
    pub fn read(&self, field: &[u8]) -> Result<Marker, NotOurs> {
        let colon = field.iter().position(|octet| *octet == b':').ok_or(NotOurs::Foreign)?;
        let value = field.get(colon + 1..).unwrap_or_default();
        let mut parts = value.split(|octet| *octet == b';').map(<[u8]>::trim_ascii);
        let token: [u8; 8] = parts.next().and_then(hex).ok_or(NotOurs::Foreign)?;
        if token != self.token {
            return Err(NotOurs::Foreign);
        }
        let mut next = |name: &str| {
            parts.next().and_then(|part| part.strip_prefix(name.as_bytes())).ok_or(NotOurs::Forged)
        };
        let passes = match next("n=")? {
            [digit @ b'1'..=b'9'] => digit - b'0',
            _ => return Err(NotOurs::Forged),
        };
        let direction = match next("d=")? {
            b"in" => Direction::In,
            b"out" => Direction::Out,
            _ => return Err(NotOurs::Forged),
        };
        let recipients = Recipients(hex(next("to=")?).ok_or(NotOurs::Forged)?);
        let code: [u8; 16] = hex(next("m=")?).ok_or(NotOurs::Forged)?;
        let marker = Marker { passes, direction, recipients };
        let right = bool::from(code.ct_eq(&self.code(&marker)))
            && parts.next().is_none()
            && passes <= LOOP_PASSES_MAX;
        if right { Ok(marker) } else { Err(NotOurs::Forged) }
    }

    fn code(&self, marker: &Marker) -> [u8; 16] {
        self.digest(|mac| {
            mac.update(b"stargate loop mark");
            mac.update(&self.token);
            mac.update(&[marker.passes, u8::from(marker.direction == Direction::Out)]);
            mac.update(&marker.recipients.0);
        })
    }

    /// The first octets of the code of what `feed` puts in.
    fn digest<const N: usize>(&self, feed: impl FnOnce(&mut Hmac<Sha256>)) -> [u8; N] {
        const { assert!(N <= 32) };
        let mut mac = self.mac.clone();
        feed(&mut mac);
        let whole = mac.finalize().into_bytes();
        let mut first = [0; N];
        first.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
        first
    }
}

/// Judges a message that has come from a server of the site, by a valid marker in it.
///
/// It loops if it went the same way to the same recipients before, or the same way twice, or ways enough altogether.
/// What was redirected or forwarded has other recipients or another direction, and goes on.
#[must_use]
pub fn judge(found: Option<&Marker>, direction: Direction, recipients: Recipients) -> Judgement {
    let Some(marker) = found else { return Judgement::GoesOn { passes: 0 } };
    let passes = marker.passes;
    let same_way = marker.direction == direction;
    let loops = passes >= LOOP_PASSES_MAX
        || (same_way && (passes >= LOOP_PASSES_ONE_WAY_MAX || marker.recipients == recipients));
    if loops { Judgement::Loops { passes } } else { Judgement::GoesOn { passes } }
}

fn put_hex(octets: &[u8], out: &mut Vec<u8>) {
    for octet in octets {
        for digit in [octet >> 4, octet & 15] {
            out.push(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit });
        }
    }
}

fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    if digits.len() != 2 * N {
        return None;
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|n| u8::try_from(n).ok());
    let mut out = [0; N];
    for (to, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *to = value(*high)? << 4 | value(*low)?;
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
