//! The queue: messages from `250` to their end, on NOR flash, bounded, through any power cut.
//!
//! A message is stored once, as received. What is sent is made from the stored content and a *recipe*. This page is
//! the specification of what the spool keeps in its log; the log itself (blocks, slots, erasing, why a record is there
//! whole or not at all) is specified in [`flash_log`].
//!
//! # Terms
//! - *Chunk*: 16,320 octets of content, one record. *Tail*: the last 1 to 16,320 octets.
//! - *Page*: 16 recipients; their addresses are one record, their states another.
//! - *Commit record*: envelope, first page of addresses and (if it fits) the tail, in one anchor record. It makes the
//!   message exist; its kill unit ends it.
//! - *Incoming*: a message that is arriving. It has an id and promised room, and nothing else that anybody can see.
//! - *Promise*: flash that a message may still need, counted before it is let in.
//!
//! # Life of a message
//! [`Spool::begin`] promises room (or says [`SpoolFull::Now`] or [`SpoolFull::Never`]) and writes nothing.
//! [`Spool::append`] fills a buffer of one chunk and writes it only when more comes: a message of up to one chunk, and
//! every message that is given up before, costs no write. [`Spool::commit`] writes further pages, then the commit
//! record, and returns after that has been read back: `250` rests on it. A dropped [`Incoming`] gives everything
//! back. [`Spool::set_recipe`], [`Spool::change`], [`Spool::hold`] and so on append records, the latest of a
//! key wins. [`Spool::remove`] programs the kill unit; when it returns the message can never come back.
//!
//! Operations take `&self` and may run concurrently; the flash is taken for one record at a time. If a future is
//! dropped half-way, the operation has happened or not, and a commit that was dropped has not. The next operation
//! settles that before it does anything else: it undoes a commit record that may have been written, and takes over a
//! state page, a recipe or an end that is on flash. So what is seen then is what will be seen after a restart.
//!
//! # What is expected of the flash
//! What [`flash_log`] expects, blocks of 16 KiB or more, at least 6 of them.
//!
//! # Moments
//! Moments are seconds of a clock of the caller that runs only while the appliance does, so that neither a wrong time nor
//! a time without power makes mail old. The spool compares no moments; it keeps them, and says after a mount which is
//! the greatest that has passed ([`MountReport::moment`]).
//!
//! # Records
//! All of them have the id of the message as owner. Numbers are little-endian; octets that are not mentioned are 0.
//!
//! | kind | record | part | version | payload |
//! |---|---|---|---|---|
//! | 1 | commit, anchor | 0 | 0 | below |
//! | 2 | content | number of the chunk | 0 | octets |
//! | 3 | addresses of a page | number of the page, from 1 | 0 | recipients, below |
//! | 4 | states of a page | number of the page, from 0 | counts up | below |
//! | 5 | recipe | 0 | counts up | octets |
//!
//! Other kinds are skipped, and vanish when their block is cleaned; they are free for later use.
//!
//! | commit | |
//! |---|---|
//! | 0 | version, 2 |
//! | 1 | 0 mail of others, 1 report of our own |
//! | 2 | protocol: 0 SMTP, 1 ESMTP, 2 ESMTPS, 3 local |
//! | 3 | address family of the peer: 0 none, 4, 6 |
//! | 4-7 | octets of content |
//! | 8-15 | time of arrival, seconds since 1970; all bits set if unknown |
//! | 16-31 | address of the peer |
//! | 32-35 | octets of a chunk in this message |
//! | 36-37 | recipients |
//! | 38-45 | octets of sender, HELO name, sender extra, facts: two each |
//! | 48-51 | octets of the first page |
//! | 52-55 | where the tail begins in this payload; 0 if it is a content record, or empty |
//! | 56-63 | moment of arrival |
//! | 64-67 | CRC-32C of the envelope: octets 72 to the end of the first page |
//! | 68-71 | CRC-32C of octets 0-67 |
//! | 72 … | sender, HELO name, sender extra, facts, first page |
//! | next multiple of 32 | tail |
//!
//! A recipient is two octets of address length, two of extra length, address, extra.
//!
//! | states | |
//! |---|---|
//! | 0 | version, 2 |
//! | 1 | page 0: bit 0 held, bit 1 sender warned of the delay, bit 2 states were lost |
//! | 2-3 | page 0: attempts |
//! | 4-5 | page 0: reports made |
//! | 6, 7, 8 | octets of the reason; number of states; entries of the log |
//! | 12-19 | moment of the change |
//! | 20 … | page 0: reason |
//! | … | per recipient a state |
//! | … | page 0: entries of the log, the oldest first: seconds since 1970 (eight octets), status |
//!
//! | state | |
//! |---|---|
//! | 0 | pending |
//! | 1 | delivered |
//! | 2 | deferred; attempts (one octet), moment of the next attempt (eight), status |
//! | 3, 4, 5 | failed, relayed, closed; status |
//!
//! A status is a reply code (two octets), octets of text (one), the text. A recipient of whom no state is recorded is
//! pending. Kill marks say how a message ended: 1 delivered, 2 bounced, 3 operator, 0x80 moved.
//!
//! # Mount
//! 1. First pass over all directories: every commit record that is not killed is a message. If there are two of one
//!    message, cleaning was interrupted between copy and kill; they are equal, and the older is killed now.
//! 2. Second pass: content, pages, states and recipes of existing messages enter the index; everything else is dead.
//!    Of equal keys the greatest version stays, of equal versions (copies) the later.
//! 3. For each message the first 72 octets of the commit record and the state pages are read.
//!
//! A message that lacks a chunk or a page, or whose first 72 octets are damaged, is listed as
//! [`MessageState::Damaged`]; one whose states are damaged is held and says so ([`Brief::uncertain`]), since sending it
//! might send it twice. Content is
//! checked against its checksum when a reader comes to a chunk. Ids go on above every id in a slot, an open header or
//! an intent; an id whose message was never committed may be given again after a restart.
//!
//! # Why `250` can be trusted
//! *All of it is there.* Chunks, pages and tail are whole on flash before the commit record is begun, because each
//! append returns after its slot was read back, and a slot proves its payload. Until the message ends they are live:
//! the index holds them, and only dead blocks are erased. So a commit record never refers to a torn or missing record.
//!
//! *It exists.* The commit record is one record: there wholly or not at all.
//!
//! *It ends once.* A message exists if and only if a commit record of it is on flash in a block that is not doomed,
//! and its kill unit is blank. `remove` programs that unit; any bit of it counts. Could a killed message come back? Only
//! through another commit record of the same id that is not killed. Commit records are written by `commit`, once per
//! id, and by cleaning, which copies one that lives and then kills the older. Between those two steps there are two;
//! the flash is not released in between, so no `remove` falls there; if the power fails there, the mount kills the
//! older before anything else happens, and if it fails again during that, the next mount does. So whenever `remove` can
//! run there is exactly one, and it is the one that is killed. Nor can a torn erase turn a killed record into a living
//! one: the block was doomed by an intent before. Nothing must be kept to remember a removed message, so nothing can be
//! lost by cleaning.
//!
//! *It is sent once.* States are appended before the next step depends on them. A cut between the peer's `250` and our
//! record makes a duplicate; nothing else does.
//!
//! # Capacity
//! With `N` usable blocks of `B` octets, `R = B - 512`, and the largest record `F = 16,320 + 64`:
//!
//! `capacity = (N - 5) * (R - F + 32)`: 59,603,040 octets (56.8 MiB) on 248 blocks of 256 KiB.
//!
//! A block that is full may have up to `F - 32` octets that the next record did not fit. Two free blocks belong to
//! cleaning, so `N - 3` closed blocks share at most `(N - 5) * (R - F + 32)` live octets: the emptiest of them has
//! less than `R - F + 32`, and moving it, with what stays empty at the end of a block, takes less than the `R` that it
//! wins back. So cleaning always comes to an end, and what was promised always fits. Ordinary mail leaves 512 KiB (of small partitions a sixteenth) and 64 index places to
//! reports.
//!
//! A message counts with its records (each payload rounded up to 32, plus 32), the longest states that its
//! recipients can get (640 octets for one, 2.8 KiB for a page), and its recipe or 6 KiB for one. While it arrives
//! the longest envelope is counted; `commit` gives back what was not needed. So everything that happens to an admitted
//! message fits, except a recipe larger than 6 KiB, which is checked when it comes.
//!
//! # Cleaning and wear
//! A block is erased when it is needed, the least worn of the dead ones first. When no more than two are free, the
//! closed block with the fewest live octets is copied away, one record at a time, with the flash released in between.
//! [`Spool::clean_step`] does the same ahead of need, and keeps four blocks erased. Ten thousand messages that leave
//! soon cost next to no copying, because blocks die as a whole.
//!
//! # Memory
//! Tables that are allocated once: 4,160 messages, 32,768 records, 32 reading positions; about 1.2 MiB. One chunk
//! buffer per incoming message, 64 at most, 1 MiB. A message of 25 MiB needs what one of 1 KiB needs. Look-up by id is
//! a binary search; new ids append. Content records of a message are a list in order; a reader that goes on where it
//! was finds its place in its cursor.
//!
//! # What it does not do
//! It does not know SMTP or time, does not decide when to try again, does not encrypt, and does not repair damage.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod clean;
mod damage;
mod doubt;
mod ended;
mod health;
mod index;
mod mount;
mod read;
mod record;
mod scrub;
mod store;
mod types;

pub use flash_log::WEAR_BINS;
pub use health::{Health, Notice, Notices, Scrub};
pub use store::Incoming;
pub use types::*;

use alloc::vec::Vec;
use core::cell::RefCell;

use flash_log::{Log, LogError};
use platform::Mutex;

/// Tells the log of the spool from other logs.
const LOG_KIND: u8 = b'S';

/// What needs the flash; whoever has it has the log.
struct Inner<F> {
    log: Log<F>,
    cleaning: Option<clean::Cleaning>,
    doubt: doubt::Doubt,
    /// Octets that cleaning copied.
    copied: clean::Copied,
    scrub: scrub::Walk,
    /// Blocks in which cleaning met records that it could not read.
    stuck: Vec<u16>,
}

/// The queue. All methods take `&self`; operations on flash are serialised inside, one record at a time.
pub struct Spool<F> {
    inner: Mutex<Inner<F>>,
    /// Never borrowed across an await; taken after `inner`.
    index: RefCell<index::Index>,
}

fn flash_error(error: LogError) -> SpoolError {
    match error {
        LogError::NoFreeBlock | LogError::HeadFull => SpoolError::Full(SpoolFull::Now),
        LogError::Geometry | LogError::Read | LogError::Program => SpoolError::Flash,
    }
}
