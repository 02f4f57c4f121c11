//! A record log on NOR flash that survives a power cut at any moment, and a key-value store on top of it. This page
//! is the specification of the format; the code obeys it.
//!
//! # Terms
//! - *Block*: what one erase clears. *Unit*: 32 octets, the smallest thing that is programmed.
//! - *Record*: a kind, an owner, a part, a version and a payload. What these mean is the business of the *owner of
//!   the log* (the spool, the key-value store); the log only promises that a record is there whole or not at all.
//! - *Slot*: the unit that describes a record. *Directory*: the slots of a block.
//! - *Anchor*: a record with a *kill unit* of its own, which ends its life when it is programmed.
//! - *Head*: the one block that is being filled. *Closed*: a block that was head. *Dead*: a closed block without live
//!   records; the owner of the log knows which records are live.
//! - *Doomed*: a block that is named by an erase intent. Its content does not exist, whatever can be read in it.
//!
//! # What is expected of the flash
//! - A program turns 1 bits into 0 bits and touches nothing outside its range. When it returns the driver has read
//!   back and compared; the log does so once more for everything up to 1 KiB: headers, slots, marks, small payloads.
//! - A torn program leaves any of the bits that it was to change unchanged, and changes no others.
//! - A torn erase leaves anything in its block: old octets, blank ones, mixtures; nothing outside the block changes.
//! - No unit is programmed twice between erases (parts that keep a checksum beside each unit forbid it), with one
//!   exception that such a part must tolerate: a unit that reads blank after a torn program may be programmed.
//! - Blocks of 4 KiB to 2 MiB, 2 to 256 of them; read and write granularity divide 32. Blocks may fail: see *retire*.
//! - The content at the first mount is arbitrary.
//!
//! # Operations
//! [`Log::mount`] reads the block headers and the directory of the head and writes nothing. [`Log::scan`] and
//! [`Log::next`] walk over the records of a block, [`Log::append`] writes one, [`Log::copy`] moves one to the head,
//! [`Log::kill`] ends an anchor, [`Log::open_next`] erases a free block and makes it the head. Choosing what to clean
//! is the owner's part: it copies what lives in a block, after which the block is dead and can be erased.
//! [`Partition`] lets several logs share one device; [`KvStore`] is a complete owner.
//!
//! # A block, octet by octet
//! Numbers are little-endian. Checksums are CRC-32C (Castagnoli). The checksum of a unit covers four octets of *salt*
//! and its first 28 octets. Octets that are not mentioned are 0.
//!
//! | units | content |
//! |---|---|
//! | 0 | erase header, programmed after each erase |
//! | 1 | open header, programmed when the block becomes the head |
//! | 2 | retirement mark; counts only while unit 1 is blank |
//! | 3 | blank, for later use |
//! | 4-13 | erase intents, taken in order while the block is the head |
//! | 14 … | directory, growing upwards |
//! | at least 2 | blank guard |
//! | … last | payloads, each starting at a unit, growing downwards |
//!
//! | erase header | | open header | | erase intent | |
//! |---|---|---|---|---|---|
//! | 0-3 | `SGfl` | 0-3 | `SGop` | 0-3 | `SGer` |
//! | 4 | version, 1 | 4-7 | sequence number | 4-5 | block |
//! | 5 | kind of log | 8-15 | owner floor | 8-11 | its sequence number |
//! | 8-11 | erase count | | | 12-19 | owner floor |
//! | 12-15 | units per block | | | | |
//! | 28-31 | checksum, salt 0 | 28-31 | checksum, salt 0 | 28-31 | checksum, salt: sequence number of this block |
//!
//! | slot | |
//! |---|---|
//! | 0 | kind of record |
//! | 1 | bit 0: anchor; the next unit is its kill unit |
//! | 2-3 | first unit of the payload |
//! | 4-7 | octets of payload |
//! | 8-15 | owner |
//! | 16-19 | part |
//! | 20-23 | version |
//! | 24-27 | CRC-32C of the payload |
//! | 28-31 | checksum, salt: sequence number of the block |
//!
//! A kill mark is `SGrm`, the way of ending in octet 4, and the checksum with the block's sequence number; any bit that
//! is programmed counts as the mark. A retirement mark is `SGbd` and the checksum with salt 0.
//!
//! Sequence numbers start at 1 and grow by 1 with every block that is opened. The owner floor is the greatest owner
//! number that had been used, so that it is known when the blocks with its records are gone. Formats of another
//! version or kind and blocks of another size count as foreign and are erased when their block is needed; a later
//! version reads version 1 and writes its own in every block that it opens, which converts the log as it is cleaned.
//!
//! # Order of programming
//! *Append*: payload, read back, slot, read back. *Open*: intent (if the block holds records), erase, all units read
//! blank, erase header, open header. *Clean*: copies, then (for anchors) the kill mark of the old one.
//!
//! # Mount
//! 1. A block without a valid erase header is *dirty*; with one and a blank unit 1 it is *blank* (all of it is read
//!    before it is used, since the erase that preceded may have been torn); with one and a damaged unit 1 it is dirty;
//!    with both it is *open*.
//! 2. A valid intent in an open block dooms the block it names if that still has the sequence number it names, and a
//!    smaller one than the holder of the intent.
//! 3. The open block with the greatest sequence number is the head. Its directory is read to the end, and the gap
//!    between directory and payloads up to the first unit that is not blank: what a torn append left lies below the
//!    last payload, and the payload area continues below it.
//! 4. A directory ends at a blank unit, or two of them behind a unit that matches no checksum (which may be a damaged
//!    anchor, followed by its blank kill unit). Damaged slots are skipped one by one and counted.
//!
//! Every step reads each unit at most twice: any content at all mounts, in bounded time.
//!
//! # Why it survives
//! - *A valid slot proves a whole payload.* The slot is programmed after the payload was read back. A torn slot does
//!   not match its checksum. So the mount need not read payloads; their checksum guards against decay, and is checked
//!   by whoever reads.
//! - *No payload is ever taken for a slot.* Slots are only looked for in the directory, the guard keeps a blank unit
//!   behind it even if the last slot is damaged, and the salt disowns slots of an earlier life of the block.
//! - *A torn append costs only its own room*: step 3.
//! - *Nothing comes back from a torn erase.* Before a block with records is erased, the intent that dooms it is on
//!   flash in the head. The head cannot itself be erased while a doomed block waits, because doomed blocks are always
//!   used first, and one that cannot be erased is condemned again in every later head. If the erase is torn so that
//!   both headers survive, the intent hides the block; if not, it is dirty. The intent ends to apply when the block is
//!   opened under another sequence number.
//! - *An anchor ends once.* Its end is programmed beside it, in the same block: there is no tombstone that could be
//!   lost or cleaned away before what it buries. Any programmed bit counts, so a torn mark is an ended anchor.
//! - *A move is atomic.* Copies of a record have the same owner, part and version: the owner of the log takes either.
//!   Of two anchors that are alive the later was copied from the earlier, and the mount kills the earlier again.
//!
//! The salt and the checksum are no defence against somebody who can write the flash; they defend against accident.
//!
//! # Failing blocks
//! An append that is dropped half-way, and a copy that cannot be read, close the head: a blank slot would end the
//! directory before the records behind it. A program that fails closes the head; the record goes into the next one, and the block is retired after its next
//! erase. A block that cannot be erased is retired at once: its headers are overwritten if that is possible. If ten
//! programs of intents fail in a row in one head, the next erase goes without.
//!
//! # Capacity and wear
//! A block of `B` octets holds `B - 512` octets of records; a record with `n` octets of payload takes `n` rounded up
//! to 32, plus 32, plus 32 for an anchor. Free blocks are used in the order of their erase counts; an erase count that
//! is lost in a power cut is replaced by the smallest known. What is never rewritten keeps its block: moving cold
//! records is the choice of the owner.
//!
//! # What it does not do
//! It does not encrypt, does not correct errors, does not decide what lives. It has no locks: one owner at a time.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod blocks;
mod erase;
mod format;
mod kv;
mod log;
mod partition;

pub use blocks::{WEAR_BINS, Wear};
pub use erase::Prefer;
pub use kv::{KvError, KvStore};
pub use log::{
    Entry, Location, Log, LogError, LogNotice, LogReport, Record, Scan, Stream, checksum, footprint_units,
};
pub use partition::{Partition, SharedFlash};
