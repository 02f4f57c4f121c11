//! Where a message came from and with which rights: what of that is stored with it, because it decides later what leaves.
//!
//! Stored in the arrival record as octets: flags (bits 0-1 class, bit 2 internal header fields are kept, bit 3 missing
//! fields are added), interface, passes behind it, then the rule in words, cut. A message without the record (a report of
//! our own) reads as one from nobody with no rights.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use limits::spool::ORIGIN_BYTES_MAX;
use settings::{Class, Judged};

const KEEP_INTERNAL: u8 = 1 << 2;
const COMPLETE: u8 = 1 << 3;
/// Octets before the rule.
const FIXED_BYTES: usize = 3;

/// What is remembered of where a message came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Provenance {
    /// Class of the peer.
    pub(crate) class: Class,
    /// Header fields of the inside of Exchange are believed and kept.
    pub(crate) keep_internal: bool,
    /// Missing Date and Message-ID fields are added.
    pub(crate) complete: bool,
    /// The interface that it came in by.
    pub(crate) interface: u8,
    /// How often this appliance has had it in hands before.
    pub(crate) passes: u8,
    /// The rule that gave the rights, in words.
    pub(crate) rule: String,
}

impl Provenance {
    /// What is to be remembered of a message of a peer that was judged so.
    pub(crate) fn new(judged: &Judged, interface: u8, passes: u8) -> Self {
        Self {
            class: judged.class,
            keep_internal: judged.rights.keep_headers,
            // RFC 6409 §8: what submits mail for the first time may leave that to its server.
            complete: judged.rights.repair || judged.class == Class::Application,
            interface,
            passes,
            rule: format!("{}", judged.rule),
        }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let class = match self.class {
            Class::Internet => 0,
            Class::Application => 1,
            Class::Exchange => 2,
            Class::Trusted => 3,
        };
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = class | flag(self.keep_internal, KEEP_INTERNAL) | flag(self.complete, COMPLETE);
        let mut rule = self.rule.as_str();
        while rule.len() > ORIGIN_BYTES_MAX - FIXED_BYTES {
            let mut chars = rule.chars();
            chars.next_back();
            rule = chars.as_str();
        }
        [&[flags, self.interface, self.passes], rule.as_bytes()].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let (fixed, rule) = bytes.split_first_chunk::<FIXED_BYTES>().unwrap_or((&[0; FIXED_BYTES], &[]));
        let [flags, interface, passes] = *fixed;
        Self {
            class: match flags & 3 {
                0 => Class::Internet,
                1 => Class::Application,
                2 => Class::Exchange,
                _ => Class::Trusted,
            },
            keep_internal: flags & KEEP_INTERNAL != 0,
            complete: flags & COMPLETE != 0,
            interface,
            passes,
            rule: String::from_utf8_lossy(rule).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_reads_back_and_a_long_rule_is_cut() {
        for class in [Class::Internet, Class::Application, Class::Exchange, Class::Trusted] {
            for keep in [false, true] {
                let origin = Provenance {
                    class,
                    keep_internal: keep,
                    complete: !keep,
                    interface: 2,
                    passes: 5,
                    rule: "peer exchange".into(),
                };
                assert_eq!(Provenance::from_bytes(&origin.to_bytes()), origin);
                let long =
                    Provenance { rule: "relay-networks 2001:db8:1111:2222:3333::/96".into(), ..origin };
                let bytes = long.to_bytes();
                assert_eq!(bytes.len(), ORIGIN_BYTES_MAX);
                assert!(long.rule.starts_with(&Provenance::from_bytes(&bytes).rule));
            }
        }
    }

    #[test]
    fn a_message_of_nobody_has_no_rights() {
        let nobody = Provenance::from_bytes(&[]);
        assert_eq!((nobody.class, nobody.keep_internal, nobody.complete), (Class::Internet, false, false));
        assert_eq!((nobody.passes, nobody.rule.as_str()), (0, ""));
    }
}
