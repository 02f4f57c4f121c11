//! The ring of the last events.

use crate::Event;
use core::cell::RefCell;
use core::fmt;
use envelope::LogDate;
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
            Some(_) => LogDate(self.unix).fmt(f),
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
    /// Events that made room for others, and events in all. They begin at 0, so that an empty ring is all zero and takes no
    /// room in the image.
    dropped: u64,
    recorded: u64,
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
        self.dropped += 1;
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
                dropped: 0,
                recorded: 0,
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
        ring.recorded += 1;
    }

    /// Events recorded since the start.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.ring.borrow().recorded
    }

    /// Events that are no longer in the ring.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let ring = self.ring.borrow();
        ring.dropped + ring.unencoded
    }

    /// A place before the last `count` events, or before the oldest one that is left.
    #[must_use]
    pub fn tail(&self, count: u64) -> Cursor {
        let ring = self.ring.borrow();
        let mut cursor = Cursor { number: ring.dropped, offset: ring.start };
        let from = ring.recorded.saturating_sub(count);
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
            if cursor.number < ring.dropped {
                *cursor = Cursor { number: ring.dropped, offset: ring.start };
            }
            if cursor.number >= ring.recorded {
                return None;
            }
            let length = ring.length_at(cursor.offset).min(EVENT_BYTES_MAX);
            ring.get(cursor.offset + LENGTH_BYTES, &mut buffer[..length]);
            cursor.number += 1;
            // People count from 1.
            let number = cursor.number;
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends in a panic")]
mod tests {
    extern crate std;
    use super::*;
    use crate::{Address, Private, Stage, Text};
    use envelope::{EnhancedStatus, QueueId};
    use std::boxed::Box;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    fn at(seconds: u64) -> Stamp {
        Stamp { micros: seconds * 1_000_000, unix: None }
    }

    fn lines(log: &Log, count: u64) -> Vec<String> {
        let mut cursor = log.tail(count);
        std::iter::from_fn(|| log.next(&mut cursor, |entry| entry.to_string())).collect()
    }

    #[test]
    fn tail_gives_the_last_events_in_order() {
        let log = Box::new(Log::new());
        for second in 0..5 {
            log.record(at(second), &Event::Listening { port: 25 });
        }
        assert_eq!(lines(&log, 2), ["+3.000s listening port=25", "+4.000s listening port=25"]);
        assert_eq!(lines(&log, 100).len(), 5);
        assert!(lines(&log, 0).is_empty());
        assert_eq!((log.recorded(), log.lost()), (5, 0));
    }

    #[test]
    fn a_full_ring_drops_the_oldest_and_counts_them() {
        let log = Box::new(Log::new());
        let text = "x".repeat(100);
        for second in 0..10_000 {
            let end = (second % 100) as usize;
            log.record(at(second), &Event::Error { area: "test".into(), what: text[..end].into() });
        }
        let kept = lines(&log, u64::MAX);
        assert_eq!(log.lost() + kept.len() as u64, 10_000);
        assert!(kept.len() > 500);
        for (line, second) in kept.iter().zip(log.lost()..) {
            let end = (second % 100) as usize;
            assert_eq!(*line, format!("+{second}.000s error area=test what=\"{}\"", &text[..end]));
        }
    }

    #[test]
    fn a_reader_that_is_overtaken_goes_on_at_the_oldest() {
        let log = Box::new(Log::new());
        log.record(at(0), &Event::SettingsSaved);
        let mut cursor = log.tail(1);
        for second in 1..10_000 {
            log.record(at(second), &Event::SettingsSaved);
        }
        let number = log.next(&mut cursor, |entry| entry.number).unwrap();
        assert_eq!(number, log.lost() + 1);
        assert_eq!(log.next(&mut cursor, |entry| entry.number), Some(number + 1));
    }

    #[test]
    fn recording_goes_on_while_somebody_reads() {
        let log = Box::new(Log::new());
        log.record(at(0), &Event::SettingsSaved);
        let mut cursor = log.tail(1);
        log.next(&mut cursor, |_| log.record(at(1), &Event::NetworkDown)).unwrap();
        assert_eq!(log.next(&mut cursor, |entry| entry.to_string()), Some("+1.000s network-down".into()));
        assert!(log.next(&mut cursor, |_| ()).is_none());
    }

    #[test]
    fn the_largest_event_fits() {
        let log = Box::new(Log::new());
        let (long, peer) = ([0x1b; 2_000], "2001:db8:1111:2222:3333:4444:5555:6666".parse().unwrap());
        let event = Event::Refused {
            peer,
            stage: Stage::Data,
            from: Address(&long),
            to: Address(&long),
            size: u32::MAX,
            code: 554,
            status: EnhancedStatus(5, 999, 999),
            reason: Text(&long),
        };
        log.record(Stamp { micros: u64::MAX, unix: Some(u64::MAX) }, &event);
        let accepted = Event::Accepted {
            id: QueueId(u64::MAX),
            from: Address(&long),
            peer,
            helo: Text(&long),
            protocol: Text(&long),
            size: u32::MAX,
            recipients: u16::MAX,
        };
        log.record(Stamp { micros: u64::MAX, unix: Some(u64::MAX) }, &accepted);
        assert_eq!(log.lost(), 0);
        for line in lines(&log, 2) {
            assert!(line.len() < limits::events::LINE_CHARS_MAX);
            assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)));
            assert!(line.contains("\\x1b~"));
        }
    }

    #[test]
    fn private_data_is_never_printed() {
        let secret = Private::new("PRIVATE-MARK");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(secret)), "[private] [private] Some([private])");
        assert_eq!(*secret.expose(), "PRIVATE-MARK");
    }
}
