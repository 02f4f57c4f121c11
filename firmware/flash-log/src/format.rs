//! The format octet by octet, as pure functions. The crate doc is the specification.

use crc::{CRC_32_ISCSI, Crc, Digest, Table};
use limits::flash::{BLOCK_HEADER_BYTES, RECORD_ALIGN_BYTES};

/// Octets of a unit.
pub(crate) const UNIT: usize = RECORD_ALIGN_BYTES;
/// Units of the block header.
pub(crate) const HEADER_UNITS: u32 = 14;
/// Units that stay blank between the directory and the payload area.
pub(crate) const GUARD_UNITS: u32 = 2;
/// Unit of the erase header.
pub(crate) const ERASED_UNIT: u32 = 0;
/// Unit of the open header.
pub(crate) const OPENED_UNIT: u32 = 1;
/// Unit of the retirement mark.
pub(crate) const RETIRED_UNIT: u32 = 2;
/// Unit of the list of bad blocks.
pub(crate) const BAD_UNIT: u32 = 3;
/// First unit of the erase intents.
pub(crate) const INTENT_UNIT: u32 = 4;
/// Units of erase intents.
pub(crate) const INTENT_COUNT: u32 = 9;
/// Unit of the second open header.
pub(crate) const OPENED_AGAIN_UNIT: u32 = INTENT_UNIT + INTENT_COUNT;
/// Version of the format that this code writes and reads.
pub(crate) const VERSION: u8 = 2;
/// Blocks that a list of bad blocks can name.
pub(crate) const BAD_COUNT: usize = (UNIT - 4) / 2;
/// Programmed bits that make a kill unit a kill mark. A mark has ten times as many; fewer are decay, or what a power
/// cut left of a mark whose programming nobody was told of.
pub(crate) const KILL_BITS: u32 = 16;

limits::const_assert!(OPENED_AGAIN_UNIT + 1 == HEADER_UNITS);
limits::const_assert!((HEADER_UNITS + GUARD_UNITS) as usize * UNIT == BLOCK_HEADER_BYTES);

const ERASED_MAGIC: [u8; 4] = *b"SGfl";
const OPENED_MAGIC: [u8; 4] = *b"SGop";
const RETIRED_MAGIC: [u8; 4] = *b"SGbd";
const INTENT_MAGIC: [u8; 4] = *b"SGer";
const KILLED_MAGIC: [u8; 4] = *b"SGrm";
const ANCHOR_FLAG: u8 = 1;
const FAILING_FLAG: u16 = 1 << 15;

// 16 tables (16 KiB of constants): a third of the time of one table, and every octet of mail passes twice.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// CRC-32C of a payload, piece by piece.
pub(crate) fn digest() -> Digest<'static, u32, Table<16>> {
    CRC.digest()
}

/// One unit.
pub(crate) type Unit = [u8; UNIT];

pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    // Without a branch per octet: whole blocks are checked after every erase.
    bytes.chunks(UNIT).all(|unit| unit.iter().fold(0xff, |all, byte| all & byte) == 0xff)
}

fn u16_at(unit: &Unit, at: usize) -> u16 {
    u16::from_le_bytes([unit[at], unit[at + 1]])
}

fn u32_at(unit: &Unit, at: usize) -> u32 {
    u32::from_le_bytes([unit[at], unit[at + 1], unit[at + 2], unit[at + 3]])
}

fn u64_at(unit: &Unit, at: usize) -> u64 {
    u64::from(u32_at(unit, at)) | u64::from(u32_at(unit, at + 4)) << 32
}

/// Checksum of a unit, over its first 28 octets preceded by `salt`.
fn sum(unit: &Unit, salt: u32) -> u32 {
    // In one piece of 32 octets, because the tables take 16 at a time: a mount does this for every slot.
    let mut bytes = [0; UNIT];
    let (front, back) = bytes.split_at_mut(4);
    front.copy_from_slice(&salt.to_le_bytes());
    back.copy_from_slice(&unit[..UNIT - 4]);
    CRC.checksum(&bytes)
}

fn seal(mut unit: Unit, salt: u32) -> Unit {
    let crc = sum(&unit, salt).to_le_bytes();
    unit[UNIT - 4..].copy_from_slice(&crc);
    unit
}

/// What a checksum changes by when bit `i` of the first 28 octets of a unit flips (CRCs are linear: it depends on the
/// place alone).
static SYNDROMES: [u32; (UNIT - 4) * 8] = syndromes();

const fn syndromes() -> [u32; (UNIT - 4) * 8] {
    let mut out = [0; (UNIT - 4) * 8];
    // From the last octet back: one octet further in front is eight shifts more.
    let mut bit = 0;
    while bit < out.len() {
        // The polynomial of CRC-32C, reflected.
        let mut crc = 1u32 << (bit % 8);
        let mut shifts = ((UNIT - 4) - bit / 8) * 8;
        while shifts > 0 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            shifts -= 1;
        }
        out[bit] = crc;
        bit += 1;
    }
    out
}

/// The unit as it was programmed, if it matches its checksum or does so with one bit flipped: at this length CRC-32C
/// tells one flipped bit from any four others.
fn mended(unit: &Unit, salt: u32) -> Option<Unit> {
    let syndrome = u32_at(unit, UNIT - 4) ^ sum(unit, salt);
    if syndrome == 0 {
        return Some(*unit);
    }
    let mut out = *unit;
    if !syndrome.is_power_of_two() {
        let bit = SYNDROMES.iter().position(|one| *one == syndrome)?;
        out[bit / 8] ^= 1 << (bit % 8);
    }
    Some(seal(out, salt))
}

/// Whether the unit is exactly as it was programmed.
pub(crate) fn intact(unit: &Unit, salt: u32) -> bool {
    u32_at(unit, UNIT - 4) == sum(unit, salt)
}

fn with_magic(magic: [u8; 4]) -> Unit {
    let mut unit = [0; UNIT];
    unit[..4].copy_from_slice(&magic);
    unit
}

/// Programmed after an erase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Erased {
    pub kind: u8,
    pub erases: u32,
    pub block_units: u32,
}

impl Erased {
    pub(crate) fn encode(self) -> Unit {
        let mut unit = with_magic(ERASED_MAGIC);
        unit[4] = VERSION;
        unit[5] = self.kind;
        unit[8..12].copy_from_slice(&self.erases.to_le_bytes());
        unit[12..16].copy_from_slice(&self.block_units.to_le_bytes());
        seal(unit, 0)
    }

    pub(crate) fn decode(unit: &Unit) -> Option<Self> {
        let unit = &mended(unit, 0)?;
        (unit[..4] == ERASED_MAGIC && unit[4] == VERSION).then(|| Self {
            kind: unit[5],
            erases: u32_at(unit, 8),
            block_units: u32_at(unit, 12),
        })
    }
}

/// Programmed twice when the block becomes the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    pub kind: u8,
    pub sequence: u32,
    pub owner_floor: u64,
    /// Blocks with a smaller sequence number do not exist: the log was cleared when this one was opened.
    pub base: u32,
    pub erases: u32,
    pub block_units: u32,
}

impl Opened {
    pub(crate) fn encode(self) -> Unit {
        let mut unit = with_magic(OPENED_MAGIC);
        unit[4..8].copy_from_slice(&self.sequence.to_le_bytes());
        unit[8..16].copy_from_slice(&self.owner_floor.to_le_bytes());
        unit[16..20].copy_from_slice(&self.base.to_le_bytes());
        unit[20..24].copy_from_slice(&self.erases.to_le_bytes());
        unit[24] = VERSION;
        unit[25] = self.kind;
        // Blocks have 128 to 65,536 units.
        unit[26..28].copy_from_slice(&((self.block_units - 1) as u16).to_le_bytes());
        seal(unit, 0)
    }

    pub(crate) fn decode(unit: &Unit) -> Option<Self> {
        let unit = &mended(unit, 0)?;
        (unit[..4] == OPENED_MAGIC && unit[24] == VERSION).then(|| Self {
            kind: unit[25],
            sequence: u32_at(unit, 4),
            owner_floor: u64_at(unit, 8),
            base: u32_at(unit, 16),
            erases: u32_at(unit, 20),
            block_units: u32::from(u16_at(unit, 26)) + 1,
        })
    }
}

/// A block that must not be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub block: u16,
    /// It still holds records; otherwise it is retired.
    pub failing: bool,
}

/// The list of bad blocks that every head carries, of the first [`BAD_COUNT`] of them.
pub(crate) fn bad_list(bad: impl Iterator<Item = Bad>, salt: u32) -> Unit {
    let mut unit = [0xff; UNIT];
    for (place, bad) in unit[..UNIT - 4].as_chunks_mut::<2>().0.iter_mut().zip(bad) {
        *place = (bad.block | if bad.failing { FAILING_FLAG } else { 0 }).to_le_bytes();
    }
    seal(unit, salt)
}

/// `salt` is the sequence number of the block that holds the list.
pub(crate) fn decode_bad_list(unit: &Unit, salt: u32) -> heapless::Vec<Bad, BAD_COUNT> {
    let unit = mended(unit, salt).unwrap_or([0xff; UNIT]);
    let places = unit[..UNIT - 4].as_chunks::<2>().0.iter().map(|place| u16::from_le_bytes(*place));
    places
        .filter(|place| *place != u16::MAX)
        .map(|place| Bad { block: place & !FAILING_FLAG, failing: place & FAILING_FLAG != 0 })
        .collect()
}

/// Programmed into the head before a block that holds dead records is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Intent {
    pub block: u16,
    pub sequence: u32,
    pub owner_floor: u64,
}

impl Intent {
    /// `salt` is the sequence number of the block that holds the intent.
    pub(crate) fn encode(self, salt: u32) -> Unit {
        let mut unit = with_magic(INTENT_MAGIC);
        unit[4..6].copy_from_slice(&self.block.to_le_bytes());
        unit[8..12].copy_from_slice(&self.sequence.to_le_bytes());
        unit[12..20].copy_from_slice(&self.owner_floor.to_le_bytes());
        seal(unit, salt)
    }

    pub(crate) fn decode(unit: &Unit, salt: u32) -> Option<Self> {
        let unit = &mended(unit, salt)?;
        (unit[..4] == INTENT_MAGIC).then(|| Self {
            block: u16_at(unit, 4),
            sequence: u32_at(unit, 8),
            owner_floor: u64_at(unit, 12),
        })
    }
}

/// The mark of a block that is never erased or written again.
pub(crate) fn retired_mark() -> Unit {
    seal(with_magic(RETIRED_MAGIC), 0)
}

/// What the kill unit of an anchor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kill {
    /// It lives.
    Blank,
    /// It lives, and the unit cannot be programmed any more.
    Spoilt,
    /// It has ended.
    Done,
}

pub(crate) fn kill_of(unit: &[u8]) -> Kill {
    match unit.iter().map(|byte| byte.count_zeros()).sum::<u32>() {
        0 => Kill::Blank,
        1..KILL_BITS => Kill::Spoilt,
        _ => Kill::Done,
    }
}

/// The mark that ends the life of an anchor.
pub(crate) fn killed_mark(how: u8, salt: u32) -> Unit {
    let mut unit = with_magic(KILLED_MAGIC);
    unit[4] = how;
    seal(unit, salt)
}

/// A directory slot: everything about a record except its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub kind: u8,
    pub anchor: bool,
    /// First unit of the payload, from the start of the block.
    pub start: u16,
    /// Octets of payload.
    pub len: u32,
    pub owner: u64,
    pub part: u32,
    pub version: u32,
    pub payload_crc: u32,
}

/// The salt of a slot: the sequence number of its block, and in the upper half its own unit, so that a slot that is
/// found in a wrong place matches no checksum and hides nothing behind it.
pub(crate) const fn slot_salt(sequence: u32, unit: u32) -> u32 {
    sequence ^ unit.rotate_left(16)
}

impl Slot {
    /// `salt` is its [`slot_salt`].
    pub(crate) fn encode(self, salt: u32) -> Unit {
        let mut unit = [0; UNIT];
        unit[0] = self.kind;
        unit[1] = if self.anchor { ANCHOR_FLAG } else { 0 };
        unit[2..4].copy_from_slice(&self.start.to_le_bytes());
        unit[4..8].copy_from_slice(&self.len.to_le_bytes());
        unit[8..16].copy_from_slice(&self.owner.to_le_bytes());
        unit[16..20].copy_from_slice(&self.part.to_le_bytes());
        unit[20..24].copy_from_slice(&self.version.to_le_bytes());
        unit[24..28].copy_from_slice(&self.payload_crc.to_le_bytes());
        seal(unit, salt)
    }

    /// The slot, and whether it is exactly as it was programmed. `None` also for a slot whose payload would lie outside
    /// `HEADER_UNITS..block_units`.
    pub(crate) fn decode(unit: &Unit, salt: u32, block_units: u32) -> Option<(Self, bool)> {
        let intact = intact(unit, salt);
        let mended = if intact { None } else { Some(mended(unit, salt)?) };
        let unit = mended.as_ref().unwrap_or(unit);
        if unit[1] & !ANCHOR_FLAG != 0 {
            return None;
        }
        let slot = Self {
            kind: unit[0],
            anchor: unit[1] & ANCHOR_FLAG != 0,
            start: u16_at(unit, 2),
            len: u32_at(unit, 4),
            owner: u64_at(unit, 8),
            part: u32_at(unit, 16),
            version: u32_at(unit, 20),
            payload_crc: u32_at(unit, 24),
        };
        let end = u32::from(slot.start).checked_add(units(slot.len))?;
        let inside = slot.len == 0 || (u32::from(slot.start) > HEADER_UNITS && end <= block_units);
        inside.then_some((slot, intact))
    }
}

/// Units that `len` octets of payload take.
pub(crate) const fn units(len: u32) -> u32 {
    len.div_ceil(UNIT as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_decodes_to_what_was_encoded_one_flipped_bit_is_mended_and_two_are_noticed() {
        let slot = Slot {
            kind: 3,
            anchor: true,
            start: 8_000,
            len: 6_000,
            owner: u64::MAX - 5,
            part: 77,
            version: 9,
            payload_crc: 0x1234_5678,
        };
        let unit = slot.encode(42);
        assert_eq!(Slot::decode(&unit, 42, 8_192), Some((slot, true)));
        assert_eq!(Slot::decode(&unit, 43, 8_192), None, "a slot of another life of the block");
        assert_eq!(Slot::decode(&unit, 42, 8_187), None, "payload beyond the block");
        for bit in 0..256 {
            let mut flipped = unit;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Slot::decode(&flipped, 42, 8_192), Some((slot, false)));
            for second in (0..256).filter(|second| *second != bit) {
                let mut flipped = flipped;
                flipped[second / 8] ^= 1 << (second % 8);
                assert_eq!(Slot::decode(&flipped, 42, 8_192), None);
            }
        }
        let erased = Erased { kind: 1, erases: 7, block_units: 8_192 };
        assert_eq!(Erased::decode(&erased.encode()), Some(erased));
        let opened = Opened {
            kind: 7,
            sequence: 9,
            owner_floor: u64::MAX,
            base: 4,
            erases: 1_000,
            block_units: 65_536,
        };
        assert_eq!(Opened::decode(&opened.encode()), Some(opened));
        let intent = Intent { block: 5, sequence: 9, owner_floor: 1 };
        assert_eq!(Intent::decode(&intent.encode(3), 3), Some(intent));
        assert_eq!(Intent::decode(&intent.encode(3), 4), None);
        let bad = [Bad { block: 0, failing: true }, Bad { block: 255, failing: false }];
        assert_eq!(decode_bad_list(&bad_list(bad.into_iter(), 6), 6), bad);
        assert!(decode_bad_list(&bad_list(bad.into_iter(), 6), 5).is_empty());
        assert!(decode_bad_list(&[0xff; UNIT], 6).is_empty());
        assert!(killed_mark(0xff, 5).iter().map(|byte| byte.count_zeros()).sum::<u32>() > 10 * KILL_BITS);
    }

    #[test]
    fn blank_and_zero_units_decode_to_nothing() {
        for unit in [[0xff; UNIT], [0; UNIT]] {
            assert_eq!(Slot::decode(&unit, 0, 8_192), None);
            assert_eq!(Erased::decode(&unit), None);
            assert_eq!(Opened::decode(&unit), None);
            assert_eq!(Intent::decode(&unit, 0), None);
        }
    }
}
