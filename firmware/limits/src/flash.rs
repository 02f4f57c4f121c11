//! Flash log geometry that all on-flash formats share, and the map of the data bank.

use core::ops::Range;

/// Octets to which every record is aligned, and the smallest unit that is programmed, once.
pub const RECORD_ALIGN_BYTES: usize = 32;
/// Octets of every block that hold no records: 14 units of header, 2 that stay blank between slots and payload.
pub const BLOCK_HEADER_BYTES: usize = 16 * RECORD_ALIGN_BYTES;
/// Octets of an erase block of the data bank.
pub const BLOCK_BYTES: usize = 256 * 1_024;
/// Blocks of the data bank; the tables of a log are sized for it.
pub const BLOCKS_COUNT_MAX: usize = 256;
/// Largest erase block that the format can address: offsets are 16 bits, in units.
pub const BLOCK_BYTES_MAX: usize = 65_536 * RECORD_ALIGN_BYTES;
/// Smallest erase block that a log accepts.
pub const BLOCK_BYTES_MIN: usize = 4 * 1_024;
/// Octets that are compared, copied and checked at a time; one buffer of this size lives on the stack.
pub const COPY_BYTES: usize = 1_024;
/// Octets of an erased block that are checked in one step, with the flash released in between: about a millisecond.
pub const ERASE_CHECK_BYTES: usize = 32 * 1_024;
/// Notices about failing blocks that a log keeps until its owner asks.
pub const NOTICES_COUNT_MAX: usize = 8;
/// Erases that a block of NOR flash stands, as its makers promise; what the estimated lifetime is reckoned with.
pub const BLOCK_ENDURANCE_ERASES: u32 = 100_000;
/// Attempts to place one record before the flash is declared broken; each failure closes a block.
pub const PLACE_ATTEMPTS_MAX: usize = 4;
/// Keys of a key-value store.
pub const KV_KEYS_COUNT_MAX: usize = 512;
/// Octets of a value in a key-value store.
pub const KV_VALUE_BYTES_MAX: usize = 16_320;

/// Blocks of the data bank that hold the settings: one that is filled, one to clean into, one that may fail.
pub const SETTINGS_BLOCKS: Range<u32> = 0..3;
/// Blocks of the data bank that hold identities and certificates.
pub const KEYSTORE_BLOCKS: Range<u32> = 3..7;
/// Block of the data bank that is kept for the crash record.
pub const EVENTS_BLOCKS: Range<u32> = 7..8;
/// Blocks of the data bank that hold the queue.
pub const SPOOL_BLOCKS: Range<u32> = 8..256;

crate::const_assert!(BLOCK_BYTES <= BLOCK_BYTES_MAX);
crate::const_assert!(COPY_BYTES.is_multiple_of(RECORD_ALIGN_BYTES));
crate::const_assert!(SETTINGS_BLOCKS.end == KEYSTORE_BLOCKS.start);
crate::const_assert!(KEYSTORE_BLOCKS.end == EVENTS_BLOCKS.start);
crate::const_assert!(EVENTS_BLOCKS.end == SPOOL_BLOCKS.start);
crate::const_assert!(SPOOL_BLOCKS.end as usize == BLOCKS_COUNT_MAX);
