//! What a report in the queue says about the message that it is about: its facts, in the spool's words.
//!
//! | octets | |
//! |---|---|
//! | 0 | `R`, which no version of a scanner's facts begins with |
//! | 1 | version, 1 |
//! | 2 | 1 outcome, 2 delay, 3 undeliverable, 4 automatic answer |
//! | 3 | bit 0: the report has octets above 127 |
//! | 4-11 | id of the message |
//! | 12-13 | number of the report among those about the message, from 0; of an answer, the recipient that gives it |
//! | 14 … | recipients that it settles: one bit each, the first in bit 0 of the first octet |

use alloc::vec::Vec;
use envelope::QueueId;
use limits::smtp::RECIPIENTS_MAX;

const MAGIC: [u8; 2] = [b'R', 1];

/// Octets of a set of recipients.
const SET_BYTES: usize = RECIPIENTS_MAX.div_ceil(8);

limits::const_assert!(14 + SET_BYTES <= limits::spool::FACTS_BYTES_MAX);

/// Some recipients of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecipientSet([u8; SET_BYTES]);

impl Default for RecipientSet {
    fn default() -> Self {
        Self([0; SET_BYTES])
    }
}

impl RecipientSet {
    /// Adds the recipient at `index`; one beyond the bound, which no message has, is not added.
    pub(crate) fn insert(&mut self, index: u16) {
        if let Some(octet) = self.0.get_mut(usize::from(index / 8)) {
            *octet |= 1 << (index % 8);
        }
    }

    pub(crate) fn contains(&self, index: u16) -> bool {
        self.0.get(usize::from(index / 8)).is_some_and(|octet| octet & (1 << (index % 8)) != 0)
    }

    pub(crate) fn len(&self) -> u16 {
        self.0.iter().map(|octet| octet.count_ones() as u16).sum()
    }
}

/// What kind of report it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// What became of recipients, for the sender.
    Outcome,
    /// That recipients wait, for the sender.
    Delay,
    /// What became of mail without a sender, for the postmaster.
    Undeliverable,
    /// No report: the answer of an address, for the sender. Nobody is told what became of it.
    Reply,
}

/// Ties a report to its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportLink {
    /// The message.
    pub(crate) about: QueueId,
    /// Reports that were made about it before.
    pub(crate) number: u16,
    /// What kind it is.
    pub(crate) kind: Kind,
    /// Whether it wants an 8-bit way.
    pub(crate) eight_bit: bool,
    /// The recipients that nothing more is to be said about.
    pub(crate) settles: RecipientSet,
}

impl ReportLink {
    /// The stored form.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let kind = match self.kind {
            Kind::Outcome => 1,
            Kind::Delay => 2,
            Kind::Undeliverable => 3,
            Kind::Reply => 4,
        };
        let mut bytes = Vec::with_capacity(14 + SET_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[kind, self.eight_bit.into()]);
        bytes.extend_from_slice(&self.about.0.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        let used = self.settles.0.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
        bytes.extend_from_slice(self.settles.0.get(..used).unwrap_or_default());
        bytes
    }

    /// Reads the stored form; `None` for anything else.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (fixed, set) = bytes.split_first_chunk::<14>()?;
        let [b'R', 1, kind, flags, id @ .., low, high] = fixed else { return None };
        let kind = match kind {
            1 => Kind::Outcome,
            2 => Kind::Delay,
            3 => Kind::Undeliverable,
            4 => Kind::Reply,
            _ => return None,
        };
        let mut settles = RecipientSet::default();
        settles.0.get_mut(..set.len())?.copy_from_slice(set);
        Some(Self {
            about: QueueId(u64::from_le_bytes(*id)),
            number: u16::from_le_bytes([*low, *high]),
            kind,
            eight_bit: flags & 1 != 0,
            settles,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_read_back() {
        for recipients in [&[][..], &[0], &[7, 8, 999], &[5_000]] {
            let mut settles = RecipientSet::default();
            recipients.iter().for_each(|index| settles.insert(*index));
            for kind in [Kind::Outcome, Kind::Delay, Kind::Undeliverable] {
                let link = ReportLink {
                    about: QueueId(77),
                    number: 513,
                    kind,
                    eight_bit: true,
                    settles: settles.clone(),
                };
                let bytes = link.to_bytes();
                assert_eq!(ReportLink::from_bytes(&bytes), Some(link));
                assert!(smime::Facts::from_bytes(&bytes).is_err());
                assert_eq!(ReportLink::from_bytes(&bytes[..13]), None);
            }
        }
        let mut set = RecipientSet::default();
        [0, 7, 8, 999].iter().for_each(|index| set.insert(*index));
        assert_eq!(set.len(), 4);
        assert!(set.contains(999) && !set.contains(998) && !set.contains(u16::MAX));
    }
}
