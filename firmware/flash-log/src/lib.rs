//! A record log on NOR flash that survives a power cut at any moment, and a key-value store on top of it. This page
//! is the specification of the format; the code obeys it.
//!
//! # Terms
//! - *Block*: what one erase clears. *Unit*: 32 octets, the smallest thing that is programmed.
//! - *Record*: a kind, an owner, a part, a version and a payload. What these mean is the business of the *owner of
//!   the log* (the spool, the key-value store); the log only promises that a record is there whole or not at all.
//! - *Slot*: the unit that describes a record. *Directory*: the slots of a block.
//! - *Anchor*: a record with a *kill unit* of its own, which ends its life when it is programmed.
//! - *Head*: a block that is being filled; there is one for each [`Stream`]. *Closed*: a block that was head. *Dead*: a
//!   closed block without live records; the owner of the log knows which records are live.
//! - *Doomed*: a block that is named by an erase intent, or is older than the base. Its content does not exist, whatever
//!   can be read in it.
//! - *Base*: a sequence number; blocks below it ended when the log was cleared.
//! - *Failing*: a program in the block failed, it still holds records. *Retired*: out of use for ever.
//!
//! # What is expected of the flash
//! - A program turns 1 bits into 0 bits and touches nothing outside its range. When it returns the driver has read
//!   back and compared; the log does so once more for everything up to 1 KiB: headers, slots, marks, small payloads.
//! - A program that is torn, or fails, leaves any of the bits that it was to change unchanged, and changes no others.
//! - A torn erase leaves anything in its block: old octets, blank ones, mixtures; nothing outside the block changes.
//!   What it left blank may not stay blank. An erase that fails may leave the same.
//! - No unit is programmed twice between erases (parts that keep a checksum beside each unit forbid it), with one
//!   exception that such a part must tolerate: a unit that reads blank after a torn program may be programmed.
//! - Blocks of 4 KiB to 2 MiB, 2 to 256 of them; read and write granularity divide 32. Blocks may fail at any time and
//!   for good: see *Failing blocks*. Single bits may flip: see *Decay*.
//! - The content at the first mount is arbitrary.
//!
//! # Operations
//! [`Log::mount`] reads the block headers and the directory of the head and writes nothing. [`Log::scan`] and
//! [`Log::next`] walk over the records of a block, [`Log::append`] writes one, [`Log::copy`] moves one to the head,
//! [`Log::kill`] ends an anchor, [`Log::open_next`] erases a free block and makes it the head, [`Log::erase_ahead`] does
//! the erasing in bounded steps before it is needed, [`Log::clear`] ends everything. Choosing what to clean is the
//! owner's part: it copies what lives in a block, after which the block is dead and can be erased.
//! [`Log::select`] chooses between two heads. [`Partition`] lets several logs share one device; [`KvStore`] is a
//! complete owner.
//!
//! # A block, octet by octet
//! Numbers are little-endian. Checksums are CRC-32C (Castagnoli). The checksum of a unit covers four octets of *salt*
//! and its first 28 octets. Octets that are not mentioned are 0.
//!
//! | units | content |
//! |---|---|
//! | 0 | erase header, programmed after each erase |
//! | 1 | open header, programmed when the block becomes a head |
//! | 2 | retirement mark; counts only while the open headers are blank |
//! | 3 | list of bad blocks, or blank |
//! | 4-12 | erase intents, taken in order while the block is a head |
//! | 13 | the open header again |
//! | 14 … | directory, growing upwards |
//! | at least 2 | blank guard |
//! | … last | payloads, each starting at a unit, growing downwards |
//!
//! | erase header | | open header | | erase intent | |
//! |---|---|---|---|---|---|
//! | 0-3 | `SGfl` | 0-3 | `SGop` | 0-3 | `SGer` |
//! | 4 | version, 2 | 4-7 | sequence number | 4-5 | block |
//! | 5 | kind of log | 8-15 | owner floor | 8-11 | its sequence number |
//! | 8-11 | erase count | 16-19 | base | 12-19 | owner floor |
//! | 12-15 | units per block | 20-23 | erase count | | |
//! | | | 24, 25 | version, 2; kind of log | | |
//! | | | 26-27 | units per block, less one | | |
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
//! | 28-31 | checksum, salt: sequence number of the block, exclusive-or 65,536 times the slot's own unit |
//!
//! A kill mark is `SGrm`, the way of ending in octet 4, and the checksum with the block's sequence number. A kill unit
//! with 16 or more programmed bits is a mark; with fewer it is *spoilt*: the anchor lives, and cannot be killed there.
//! A retirement mark is `SGbd` and the checksum with salt 0. A list of bad blocks is 14 places of two octets, the number
//! of a block or all bits set, bit 15 set for a failing one, and the checksum with the block's sequence number.
//!
//! Sequence numbers start at 1 and grow by 1 with every block that is opened; none is given twice while anything names
//! it. The owner floor is the greatest owner number that had been used, so that it is known when the blocks with its
//! records are gone. Formats of another version or kind and blocks of another size count as foreign and are erased when
//! their block is needed.
//!
//! # Order of programming
//! *Append*: payload, read back, slot, read back. *Open*: intent (if the block holds records), erase, all units read
//! blank, erase header; open header, the same again, list of bad blocks (if there are any), the intents that still matter.
//! *Clean*: copies, then (for anchors) the kill mark of the old one.
//!
//! # Mount
//! 1. A block with a valid open header of this kind and size, in either place, is *open*. Every other block, erased or
//!    not, is *dirty*: it is erased before it is used. If an erase header is there it gives the erase count.
//! 2. A valid intent in an open block dooms the block it names if that still has the sequence number it names. The
//!    greatest base in an open header dooms every block with a smaller sequence number. What a list of bad blocks names
//!    as retired is retired, and doomed if it is open; what it names as failing is failing.
//! 3. The open block with the greatest sequence number is the head. Its directory is read to the end, and the gap
//!    between directory and payloads up to the first unit that is not blank: what a torn append left lies below the
//!    last payload, and the payload area continues below it. The head of the other stream is closed.
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
//!   behind it even if the last slot is damaged, and the salt disowns slots of an earlier life of
//!   the block, and slots that are found in a wrong place.
//! - *A torn append costs only its own room*: step 3.
//! - *Nothing comes back from a torn erase.* Before a block with records is erased, the intent that dooms it is on
//!   flash in a head, and a head is not erased. Whenever a new head is opened it repeats the intents of the blocks
//!   that are still doomed, so they do not depend on the old ones. If the erase is torn so that an open header
//!   survives, the intent hides the block; if not, it is dirty, and erased again even if it reads blank. The intent ends
//!   to apply when the block is opened under another sequence number.
//! - *An anchor ends once.* Its end is programmed beside it, in the same block: there is no tombstone that could be
//!   lost or cleaned away before what it buries. A torn mark is a mark or is not, by the count of its bits; either way
//!   nobody was told that it was programmed, and every later mount counts the same. An anchor whose kill unit fails is
//!   the one case in which the owner must say elsewhere that it has ended ([`Log::kill`]).
//! - *A move is atomic.* Copies of a record have the same owner, part and version: the owner of the log takes either.
//!   Of two anchors that are alive one was copied from the other, and the owner ends one of them before it goes on.
//! - *Clearing is atomic.* The open header with the new base is one unit: before it is valid everything is there, after
//!   it nothing. Every later head carries the base.
//! - *Two heads need no recovery.* After a mount the older head is a closed block like others; a torn append is the last
//!   thing in it. Copies may be in a block with a smaller sequence number than their originals; nothing rests on which of
//!   two equal records is the later.
//!
//! The salt and the checksum are no defence against somebody who can write the flash; they defend against accident.
//!
//! # Decay
//! A unit that matches its checksum after one of its bits is flipped is taken for the mended one (at 32 octets CRC-32C
//! tells one flipped bit from up to four others): headers, slots, intents and lists survive any single flipped bit. A
//! kill unit survives up to 15. Payloads are not mended. [`Entry::worn`], [`Log::headers_intact`], [`Log::verify`] and
//! [`Log::recheck_blank`] tell the owner what should be moved and erased while it can be, which [`Log::worry`] notes.
//!
//! # Failing blocks
//! An append that is dropped half-way, and a copy that cannot be read, close the head: a blank slot would end the
//! directory before the records behind it. A program that fails closes the head and makes its block *failing*; the
//! record goes into the next one. A kill mark that fails makes its block failing. The owner moves what lives in a failing
//! block ([`Log::is_failing`]); when it is erased it is retired. A block that cannot be erased, or is not blank afterwards,
//! or does not take its headers, is retired at once: it is marked, its open headers are overwritten if that is possible,
//! and every later head lists it, the first 14 of them. So retirement rests on good blocks. A retired block is never
//! programmed, erased or believed again. Of the last two blocks none is retired.
//!
//! If all nine places for intents of the heads are used or fail, the next erase goes without;
//! [`Log::erase_ahead`] waits for the next head instead.
//!
//! # Bounded steps
//! | operation | octets read | programmed | erases |
//! |---|---|---|---|
//! | [`Log::erase_ahead`], one step | 32 KiB | 64 | or 1, with an intent |
//! | [`Log::recheck_blank`] | 32 KiB | | |
//! | [`Log::append`], [`Log::copy`], [`Log::verify`] | the record, twice | the record | |
//! | [`Log::kill`], [`Log::entry`] | 64 | 32 | |
//! | [`Log::next`] | 1 KiB, unless it meets damaged slots | | |
//! | [`Log::open_next`] | a block, if none was erased ahead | up to 13 units | then 1 |
//!
//! # Capacity and wear
//! A block of `B` octets holds `B - 512` octets of records; a record with `n` octets of payload takes `n` rounded up
//! to 32, plus 32, plus 32 for an anchor. Free blocks are used in the order of their erase counts, the least worn first
//! or, on demand, the most worn ([`Prefer`]); an erase count that is lost in a power cut is replaced by the smallest
//! known. What is never rewritten keeps its block: moving cold records is the choice of the owner. A block that was
//! erased ahead when the power went is erased once more: a start costs a log of many blocks up to four erases.
//!
//! A log of `N` blocks that stand `E` erases each takes `E * N * (B - 512)` octets of records in its life, divided by
//! what the owner's cleaning multiplies them with.
//!
//! # What it does not do
//! It does not encrypt, does not mend payloads, does not decide what lives. It has no locks: one owner at a time.
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
