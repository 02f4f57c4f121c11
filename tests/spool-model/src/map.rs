//! Which octets of an image belong to which message: the specification of the log, read a second time and apart from
//! the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use envelope::QueueId;

use crate::lab::BLOCK;

const UNIT: usize = 32;
const HEADER_UNITS: usize = 14;
/// Kinds of records: see the crate doc of `spool`.
const COMMIT: u8 = 1;
const CONTENT: u8 = 2;

/// A live record of a message.
#[derive(Clone, Debug)]
pub struct Record {
    /// The message.
    pub id: QueueId,
    /// Kind of record.
    pub kind: u8,
    block: usize,
    /// Its slot, and kill unit.
    slot: Range<usize>,
    /// Its payload.
    payload: Range<usize>,
}

/// An image as the specification reads it.
pub struct Map {
    records: Vec<Record>,
    /// Octets of headers, directories, and of all payloads that are not content.
    pub metadata: Vec<Range<usize>>,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// The salt of a slot: where it is, and in which life of its block.
fn slot_salt(sequence: u32, unit: usize) -> u32 {
    sequence ^ u32::try_from(unit).expect("small").rotate_left(16)
}

fn sealed(unit: &[u8], salt: u32) -> bool {
    let summed = [&salt.to_le_bytes(), &unit[..28]].concat();
    word(unit, 28) == flash_log::checksum(&summed)
}

fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xff)
}

impl Map {
    /// Reads an image that is not damaged.
    #[must_use]
    pub fn read(image: &[u8]) -> Self {
        let blocks: Vec<&[u8]> = image.chunks(BLOCK).collect();
        let opened = |block: &&[u8]| {
            let (erased, opened) = (&block[..UNIT], &block[UNIT..2 * UNIT]);
            let valid = &erased[..4] == b"SGfl" && sealed(erased, 0) && sealed(opened, 0);
            (valid && &opened[..4] == b"SGop").then(|| word(opened, 4))
        };
        let sequences: Vec<Option<u32>> = blocks.iter().map(opened).collect();
        let mut order: Vec<(u32, usize)> =
            sequences.iter().enumerate().filter_map(|(number, s)| s.map(|s| (s, number))).collect();
        order.sort_unstable();
        // What an erase intent names does not exist.
        for (sequence, number) in order.clone() {
            for unit in blocks[number][4 * UNIT..HEADER_UNITS * UNIT].chunks(UNIT) {
                if &unit[..4] == b"SGer" && sealed(unit, sequence) {
                    let doomed = (word(unit, 8), usize::from(unit[4]));
                    order.retain(|one| *one != doomed || doomed.0 >= sequence);
                }
            }
        }
        let mut latest = BTreeMap::new();
        let mut anchors = BTreeSet::new();
        let mut metadata: Vec<Range<usize>> = Vec::new();
        for (sequence, block) in order {
            let base = block * BLOCK;
            let at = |unit: usize| &image[base + unit * UNIT..base + (unit + 1) * UNIT];
            let mut unit = HEADER_UNITS;
            while unit + 1 < BLOCK / UNIT && !(blank(at(unit)) && blank(at(unit + 1))) {
                let slot = at(unit);
                if blank(slot) || !sealed(slot, slot_salt(sequence, unit)) {
                    unit += 1;
                    continue;
                }
                let anchor = slot[1] & 1 == 1;
                let units = if anchor { 2 } else { 1 };
                let start = base + (usize::from(slot[2]) | usize::from(slot[3]) << 8) * UNIT;
                let len = word(slot, 4) as usize;
                let id = QueueId(u64::from(word(slot, 8)) | u64::from(word(slot, 12)) << 32);
                let record = Record {
                    id,
                    kind: slot[0],
                    block,
                    slot: base + unit * UNIT..base + (unit + units) * UNIT,
                    payload: if len == 0 { base..base } else { start..start + len },
                };
                let dead = anchor && !blank(at(unit + 1));
                if !dead {
                    if record.kind == COMMIT {
                        anchors.insert(id);
                    }
                    let (part, version) = (word(slot, 16), word(slot, 20));
                    let known = latest.entry((id, record.kind, part)).or_insert((version, record.clone()));
                    if version >= known.0 {
                        *known = (version, record);
                    }
                }
                unit += units;
            }
            metadata.push(base..base + unit * UNIT);
        }
        let records: Vec<Record> = latest
            .into_iter()
            .filter(|((id, ..), _)| anchors.contains(id))
            .map(|(_, (_, record))| record)
            .collect();
        let payloads = records.iter().filter(|record| record.kind != CONTENT);
        metadata.extend(payloads.map(|record| record.payload.clone()));
        Self { records, metadata }
    }

    /// The messages that have records.
    #[must_use]
    pub fn messages(&self) -> BTreeSet<QueueId> {
        self.records.iter().map(|record| record.id).collect()
    }

    /// The messages that have a live record in a block.
    #[must_use]
    pub fn in_block(&self, block: usize) -> BTreeSet<QueueId> {
        self.records.iter().filter(|record| record.block == block).map(|record| record.id).collect()
    }

    /// The messages that a change of an image touches: one octet at least of a slot, kill unit or payload of a live
    /// record of theirs, or of the two units that say what their block is, is another one; or their block's directory
    /// ends before their slot, because a unit of it is blank now.
    #[must_use]
    pub fn touched(&self, before: &[u8], after: &[u8]) -> BTreeSet<QueueId> {
        let differs = |range: &Range<usize>| {
            let end = range.end.min(after.len());
            range.end > after.len() || before[range.start..end] != after[range.start..end]
        };
        let touched = |record: &&Record| {
            let base = record.block * BLOCK;
            if differs(&record.slot) || differs(&record.payload) || differs(&(base..base + 2 * UNIT)) {
                return true;
            }
            // A unit of the directory before it that is blank now ends the directory.
            let directory = base + HEADER_UNITS * UNIT..record.slot.start;
            differs(&directory)
                && after[directory.clone()]
                    .chunks(UNIT)
                    .zip(before[directory].chunks(UNIT))
                    .any(|(after, before)| after != before && blank(after))
        };
        self.records.iter().filter(touched).map(|record| record.id).collect()
    }
}
