//! The ring of the last events.

use crate::Event;
use crate::time::Civil;
use core::cell::RefCell;
use core::fmt;
use limits::events::{EVENT_BYTES_MAX, RING_BYTES};
use serde::{Deserialize, Serialize};

/// When an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Microseconds since the appliance was started.
    pub micros: u64,
    /// Seconds since 1970, while the clock is trusted.
    pub unix: Option<u64>,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unix {
            Some(seconds) => Civil(seconds).fmt(f),
            None => write!(f, "+{}.{:03}s", self.micros / 1_000_000, self.micros / 1_000 % 1_000),
        }
    }
}

/// An event with its number and time, as it comes out of the log. `Display` prints the whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Counts from 1 since the appliance was started.
    pub number: u64,
    /// When.
    pub at: Stamp,
    /// What.
    pub event: Event<'a>,
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.at, self.event)
    }
}

/// A place in the log. It stays valid while events are recorded: if the ring overtakes it, it moves on to the oldest
/// event that is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    number: u64,
    offset: usize,
}

/// Octets before each stored event: its length, little-endian.
const LENGTH_BYTES: usize = 2;

struct Ring {
    bytes: [u8; RING_BYTES],
    /// Offset of the oldest event; `used` octets from there, round the end, are events.
    start: usize,
    used: usize,
    first_number: u64,
    next_number: u64,
    /// Events that could not be encoded. Bounds make that impossible; counted all the same.
    unencoded: u64,
}

impl Ring {
    fn put(&mut self, bytes: &[u8]) {
        let at = (self.start + self.used) % RING_BYTES;
        let until_end = RING_BYTES - at;
        let (head, tail) = bytes.split_at(bytes.len().min(until_end));
        self.bytes[at..at + head.len()].copy_from_slice(head);
        self.bytes[..tail.len()].copy_from_slice(tail);
        self.used += bytes.len();
    }

    fn get(&self, offset: usize, out: &mut [u8]) {
        let offset = offset % RING_BYTES;
        let until_end = RING_BYTES - offset;
        let split = out.len().min(until_end);
        let (head, tail) = out.split_at_mut(split);
        head.copy_from_slice(&self.bytes[offset..offset + head.len()]);
        tail.copy_from_slice(&self.bytes[..tail.len()]);
    }

    fn length_at(&self, offset: usize) -> usize {
        let mut length = [0; LENGTH_BYTES];
        self.get(offset, &mut length);
        usize::from(u16::from_le_bytes(length))
    }

    fn drop_oldest(&mut self) {
        let size = LENGTH_BYTES + self.length_at(self.start);
        self.start = (self.start + size) % RING_BYTES;
        self.used = self.used.saturating_sub(size);
        self.first_number += 1;
    }
}

/// The event log: shared by reference on one executor, never blocks, never fails. Takes [`RING_BYTES`] of RAM; make it a
/// static or box it.
pub struct Log {
    ring: RefCell<Ring>,
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl Log {
    /// An empty log.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ring: RefCell::new(Ring {
                bytes: [0; RING_BYTES],
                start: 0,
                used: 0,
                first_number: 1,
                next_number: 1,
                unencoded: 0,
            }),
        }
    }

    /// Records `event`; the oldest events make room. With the feature `defmt` the line is also sent as a frame.
    pub fn record(&self, at: Stamp, event: &Event<'_>) {
        #[cfg(feature = "defmt")]
        mirror(at, event);
        let mut buffer = [0; EVENT_BYTES_MAX];
        let mut ring = self.ring.borrow_mut();
        let Ok(encoded) = postcard::to_slice(&(at, event), &mut buffer) else {
            ring.unencoded += 1;
            return;
        };
        let Ok(length) = u16::try_from(encoded.len()) else {
            ring.unencoded += 1;
            return;
        };
        while RING_BYTES - ring.used < LENGTH_BYTES + encoded.len() {
            ring.drop_oldest();
        }
        ring.put(&length.to_le_bytes());
        ring.put(encoded);
        ring.next_number += 1;
    }

    /// Events recorded since the start.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.ring.borrow().next_number - 1
    }

    /// Events that are no longer in the ring.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let ring = self.ring.borrow();
        ring.first_number - 1 + ring.unencoded
    }

    /// A place before the last `count` events, or before the oldest one that is left.
    #[must_use]
    pub fn tail(&self, count: u64) -> Cursor {
        let ring = self.ring.borrow();
        let mut cursor = Cursor { number: ring.first_number, offset: ring.start };
        let from = ring.next_number.saturating_sub(count);
        while cursor.number < from {
            cursor.offset = (cursor.offset + LENGTH_BYTES + ring.length_at(cursor.offset)) % RING_BYTES;
            cursor.number += 1;
        }
        cursor
    }

    /// Shows the event at `cursor` to `visit` and moves the cursor on; `None` when there is no newer event yet.
    /// `visit` must not record an event.
    pub fn next<R>(&self, cursor: &mut Cursor, visit: impl FnOnce(&Entry<'_>) -> R) -> Option<R> {
        let mut buffer = [0; EVENT_BYTES_MAX];
        let (number, length) = {
            let ring = self.ring.borrow();
            if cursor.number < ring.first_number {
                *cursor = Cursor { number: ring.first_number, offset: ring.start };
            }
            if cursor.number >= ring.next_number {
                return None;
            }
            let length = ring.length_at(cursor.offset).min(EVENT_BYTES_MAX);
            ring.get(cursor.offset + LENGTH_BYTES, &mut buffer[..length]);
            let number = cursor.number;
            cursor.number += 1;
            cursor.offset = (cursor.offset + LENGTH_BYTES + length) % RING_BYTES;
            (number, length)
        };
        let (at, event) = postcard::from_bytes(&buffer[..length]).ok()?;
        Some(visit(&Entry { number, at, event }))
    }
}

/// The same line as on the console, so that one `grep` serves both.
#[cfg(feature = "defmt")]
fn mirror(at: Stamp, event: &Event<'_>) {
    use crate::event::Level;
    let line = defmt::Display2Format(event);
    match event.level() {
        Level::Info => defmt::info!("{} {}", defmt::Display2Format(&at), line),
        Level::Warn => defmt::warn!("{} {}", defmt::Display2Format(&at), line),
        Level::Error => defmt::error!("{} {}", defmt::Display2Format(&at), line),
    }
}
