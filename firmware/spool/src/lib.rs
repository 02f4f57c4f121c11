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
//! - *Moment*: seconds of a clock of the caller, see below.
//! - *Open*: a recipient that needs an attempt. *Unreported*: one of whom the sender is still to be told.
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
//! # States
//! A recipient is in one of six states. The spool allows every change between them and gives them this meaning:
//!
//! | state | open | unreported | what follows |
//! |---|---|---|---|
//! | pending | yes | | an attempt, now |
//! | deferred, with its own count of attempts and next moment | yes | | an attempt, then |
//! | failed | | yes | a report of failure makes it closed; a release makes it pending |
//! | relayed | | yes | a report of success makes it delivered |
//! | delivered, closed | | | nothing |
//!
//! A message is finished when no recipient is open or unreported ([`Brief::is_finished`]); the caller then ends it.
//! [`Spool::change`] writes the new states of recipients, page by page from the last to the first, and with page 0 what
//! it says about the message: an attempt for the count and the log, the reason, the warning, the number of reports,
//! whether it is held. Each page is one record, there wholly or not at all; a page that does not change is not written.
//! So whoever sees after a restart that page 0 has a change sees it in the other pages too. The log keeps the last six
//! attempts.
//!
//! *A report is made once* if its maker does this: commit the report, with the number of reports so far and the
//! recipients it tells about in its facts; then change these recipients, and the number, in one [`Spool::change_each`];
//! only then send it. After a restart a report whose number is not below [`Brief::reports`] of its message was cut off
//! between the steps, and the change is made again: it says the same however often it is made, since states are set and
//! the number never goes down. Both steps have their room: the report from the reserve of [`Class::Report`], the change
//! from the promise of its message.
//!
//! # Moments
//! Moments are seconds of a clock of the caller that runs only while the appliance does, so that neither a wrong time nor
//! a time without power makes mail old. The spool compares no moments; it keeps them, and says after a mount which is
//! the greatest that has passed ([`MountReport::moment`]): of arrivals and changes, not of next attempts, which may lie
//! ahead. A clock that goes on there after a cut has lost only the time since the last change. Times, in seconds since
//! 1970, are only for people.
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
//! | 6 | end of a commit record that takes no kill mark | its block | sequence number of that | none |
//!
//! Other kinds are skipped, and vanish when their block is cleaned; they are free for later use.
//!
//! | commit | |
//! |---|---|
//! | 0 | version, 3 |
//! | 1 | 0 mail of others, 1 report of our own |
//! | 2 | protocol: 0 SMTP, 1 ESMTP, 2 ESMTPS, 3 local |
//! | 3 | address family of the peer: 0 none, 4, 6 |
//! | 4-7 | octets of content |
//! | 8-15 | time of arrival, seconds since 1970; all bits set if unknown |
//! | 16-31 | address of the peer |
//! | 32-35 | octets of a chunk in this message |
//! | 36-37 | recipients |
//! | 38-47 | octets of sender, HELO name, sender extra, facts, origin: two each |
//! | 48-51 | octets of the first page |
//! | 52-55 | where the tail begins in this payload; 0 if it is a content record, or empty |
//! | 56-63 | moment of arrival |
//! | 64-67 | CRC-32C of the envelope: octets 72 to the end of the first page |
//! | 68-71 | CRC-32C of octets 0-67 |
//! | 72 … | sender, HELO name, sender extra, origin, facts, first page |
//! | next multiple of 32 | tail |
//!
//! A recipient is two octets of address length, two of extra length, address, extra.
//!
//! | states | |
//! |---|---|
//! | 0 | version, 3 |
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
//! 1. First pass over all directories: every commit record that is not ended is a message. If there are two of one
//!    message, cleaning was interrupted between copy and kill; they are equal, and the older is ended now.
//! 2. Second pass, over the blocks that name a message that exists: content, pages, states and recipes of existing
//!    messages enter the index; everything else is dead. Of equal keys the greatest version stays, of equal versions
//!    (copies) the later.
//! 3. For each message the first 72 octets of the commit record and the state pages are read and checked.
//!
//! A message that lacks a chunk or a page, or whose first 72 octets are damaged, is listed as
//! [`MessageState::Damaged`]. One with a state page that does not match its checksum is held, since sending it might
//! send it twice, and says so ([`Brief::uncertain`]): the recipients of that page count as pending until
//! [`Spool::release`]. The same happens if that is found later. Content is checked against its checksum when a reader
//! comes to a chunk. Ids go on above every id in a slot, an open header or an intent; an id whose message was never
//! committed may be given again after a restart.
//!
//! A mount reads the directories twice (32 octets for each slot, rounded up to whole KiB in each block), 72 octets of each
//! message, and each state page with its slot; and computes checksums over no more. That is 0.7 MB for a bank full of
//! large messages, 2.5 MB for 4,032 small ones, 16.6 MB for the 255,000 recipients of 255 messages, and 43 MB for the
//! worst bank there can be, whose 657,000 records are all of 96 octets (`tests/figures.rs`).
//!
//! # Why `250` can be trusted
//! *All of it is there.* Chunks, pages and tail are whole on flash before the commit record is begun, because each
//! append returns after its slot was read back, and a slot proves its payload. Until the message ends they are live:
//! the index holds them, and only dead blocks are erased. So a commit record never refers to a torn or missing record.
//!
//! *It exists.* The commit record is one record: there wholly or not at all.
//!
//! *It ends once.* A commit record lives if its block is not doomed, its kill unit is not a mark, and no end record names
//! its message and its block's sequence number. A message exists if and only if a commit record of it lives. `remove`
//! programs the kill unit; if that fails (a failing block, decay) it appends an end record instead, and returns when one of
//! them has been read back. Could the message come back? Only through another commit record of the same id that lives.
//! Commit records are written by `commit`, once per id and again if the program failed, and by cleaning, which copies one
//! that lives. In each case the older is put on a list before anything else can happen, and ended like this: its kill mark
//! or, failing that, an end record. The list is worked off before any other operation, and **a commit record is not ended
//! while an older one of its message is on the list** (`remove` returns an error then). If the power fails before the
//! list is empty, the mount finds two that live, equal ones, and puts the older on the list. So when `remove` ends a
//! commit record it is the only one that lives. An end record counts until the block it names has been erased: it is
//! live until then, moved by cleaning like every live record, and copies of it say the same; a block is erased only after
//! an intent has doomed it, so there is no moment at which neither the end record nor the intent is on flash. Nor can a
//! torn erase turn a killed record into a living one, for the same reason. Nothing else must be kept to remember a removed
//! message, so nothing can be lost by cleaning.
//!
//! *A factory reset ends everything at once*, by one unit ([`flash_log::Log::clear`]).
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
//! wins back; what is left of the block that it was moved to fits any record. So cleaning always comes to an end, and
//! what was promised always fits.
//!
//! With `u(n)` for `n` rounded up to 32, plus 32, a message of `s` octets and `r` recipients in `p` pages of at most 16,
//! whose addresses and extras take `a` octets, is promised
//!
//! | | octets |
//! |---|---|
//! | content | `u(16,320)` for each full chunk, `u(rest)` |
//! | envelope and addresses | `64 + u(72 + 5 strings at their longest)` while it arrives, then what they take; `u(a + 4 r) + 64 p` |
//! | states at their longest | page 0: `u(20 + 96 + 6 * 59 + 141 * n)` with `n` recipients on it; other pages `u(20 + 141 * n)` |
//! | recipe | `u(6,144)`, or what it takes |
//!
//! and as many index records as that makes. Content without a declared size is promised chunk by chunk, recipients that
//! become known later by [`Spool::extend`]. `commit` gives back what was not needed. So everything that can happen to an
//! admitted message fits whatever else is in the queue, except a recipe larger than 6 KiB, which is checked when it
//! comes. (`tests/capacity.rs` fills queues to the brim and lets everything happen to everything, in the worst orders.)
//! Ordinary mail leaves 512 KiB (of small partitions a sixteenth), 512 index records and 64 messages to reports.
//!
//! [`SpoolFull::Never`] is the answer exactly if the promise is larger than what its class may have in an empty queue.
//! When a block is retired the capacity shrinks, perhaps below what has been promised: nobody is let in until enough has
//! left. What is in the queue goes on; one block of the reserve is for that, and promises are for the longest texts,
//! which hardly anybody needs. If several blocks fail within a short time, and everything that was promised is really
//! used, a change may find no room: it answers [`SpoolFull::Now`] and can be made again later. Ends need no room, so that
//! messages leave and make some.
//!
//! # Cleaning and wear
//! Two free blocks belong to cleaning. When no others are left, the closed block is cleaned that wins most: dead room
//! times age, divided by the cost, which is to read the block and to write what lives (the rule of log-structured file
//! systems; the age, counted in blocks opened since, stands for how long the room will stay won). A block that would win
//! nothing is not worth it; after a fruitless round the emptiest is taken, which the proof under *Capacity* needs. What is kept
//! goes to a head of its own in partitions of 24 blocks or more, so that mail that stays and mail that leaves do
//! not share blocks; the last free blocks are not spent on that. One record is moved at a time, with the flash released in
//! between.
//!
//! [`Spool::clean_step`] does this ahead of need, one bounded step a call, in this order:
//! 1. It keeps four blocks erased, and retires failing ones that are dead.
//! 2. While less than an eighth of the blocks is free it cleans blocks that are at least half dead.
//! 3. It moves what lives in failing blocks, and in blocks in which something was not read as it was written.
//! 4. It moves what lives in the block that was erased least, if it is behind the most worn by more than a quarter of
//!    that one's erases and one; the most worn of the erased blocks takes it. So all blocks wear, mail that stays for
//!    ever or not.
//! 5. It checks one record: *scrubbing*.
//!
//! A step holds the flash while it reads or copies one record (at most 16,384 octets and its slot), looks at 64 slots,
//! checks 32 KiB of an erased block, or erases one block.
//!
//! Measured (`tests/wear.rs`): octets programmed for each octet of records 1.00 while a half-full queue is emptied in order,
//! 1.05 in any order, 1.14 if half of the queue stays for ever, 1.4 to 1.7 at 98 %. After 100,000 mails on 248 blocks,
//! half of the queue staying, blocks have been erased 24 to 33 times.
//!
//! # Scrubbing
//! A walk reads every live record and every erased block again and again, one record for each call that finds nothing
//! better to do; each is compared with its checksum. What is wrong twice is damaged: a message that lacks content,
//! addresses or envelope becomes [`MessageState::Damaged`], one that lacks states or its recipe is held as uncertain. What
//! was wrong once and then right, a unit that had to be mended, a header that is not as it was, a spoilt kill
//! unit: its block is moved and erased. [`Spool::take_notices`] tells what happened, [`Spool::health`] how far the walk is.
//!
//! A block that fails costs one block of capacity, at once. Everything that was admitted still fits, because one block
//! of the reserve is kept for that; when the queue has shrunk to the new capacity the reserve is whole again.
//!
//! # Memory
//! Tables that are allocated once: 4,160 messages, 32,768 records, 32 reading positions; about 1.2 MiB. One chunk
//! buffer per incoming message, 64 at most, 1 MiB. A message of 25 MiB needs what one of 1 KiB needs. Look-up by id is
//! a binary search; new ids append, and the message that comes next is found without searching. Content records of a message are a list in order; a reader that goes on where it
//! was finds its place in its cursor.
//!
//! # What it does not do
//! It does not know SMTP or time, does not decide when to try again or what to report, does not encrypt, and does not
//! repair damage.
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
