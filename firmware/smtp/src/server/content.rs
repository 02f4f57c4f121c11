//! The content after DATA: takes the transparency dots away and finds the end (RFC 5321 §4.5.2, §2.3.8).
//!
//! Read this first. The end is the five octets CR LF `.` CR LF and nothing else, and the CR LF before the dot
//! belongs to the content. A CR without LF, an LF without CR and a NUL are violations wherever they stand:
//! servers that take such things for line ends disagree about where a message ends, and that is how a second
//! message is smuggled behind a first. After a violation the reader goes on to the true end by the same rule, so
//! that nothing which was sent as content is ever read as a command. The one end that can be disputed, a dot
//! after CR CR LF, is reported as such, and the session must not go on behind it.
//!
//! # Repair
//! For clients of one's own that cannot do better, an LF without CR may be taken for a line end of the content: it is
//! given out as CR LF. It is never part of the end, and a dot behind it is an octet like any other: such clients do not
//! know of transparency, and what they pass on may have been written by others.

use limits::smtp::{HEADER_BYTES_MAX, TEXT_LINE_BYTES_MAX};

use super::Violation;
use crate::scan::find_control;

/// What has just been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// CR LF, or nothing yet.
    LineStart,
    /// Some octet of a line.
    InLine,
    /// A CR inside a line.
    Cr,
    /// The dot at the start of a line.
    Dot,
    /// That dot and a CR.
    DotCr,
}

/// What the reader found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'i> {
    /// Content without transparency dots; never empty.
    Content(&'i [u8]),
    /// The first rule that is broken. Said once.
    Violation(Violation),
    /// The true end. `disputed` if the line before the dot ended in CR CR LF.
    End { disputed: bool },
    /// All input is taken.
    Nothing,
}

/// Reads the content of one message.
#[derive(Debug)]
pub(super) struct ContentReader {
    place: Place,
    in_header: bool,
    /// A LF without CR is given out as CR LF.
    repair: bool,
    /// Nothing is given out or checked any more.
    discarding: bool,
    /// The octet before the last CR was a CR too.
    cr_cr: bool,
    /// The line before ended in CR CR LF.
    odd_start: bool,
    /// Octets that the present line may still have.
    line_room: u32,
    /// Octets that the header block may still have.
    header_room: u32,
    /// Octets that the content may still have.
    room: u32,
    size_max: u32,
    /// Octets taken since discarding began.
    discarded: u64,
}

impl ContentReader {
    /// A reader for content of at most `size_max` octets, which mends line ends if `repair` says so.
    pub(super) const fn new(size_max: u32, repair: bool) -> Self {
        Self {
            place: Place::LineStart,
            in_header: true,
            repair,
            discarding: false,
            cr_cr: false,
            odd_start: false,
            line_room: TEXT_LINE_BYTES_MAX as u32,
            header_room: HEADER_BYTES_MAX as u32,
            room: size_max,
            size_max,
            discarded: 0,
        }
    }

    /// Octets of content so far.
    pub(super) const fn size(&self) -> u32 {
        self.size_max - self.room
    }

    /// Octets that have been thrown away since the first violation.
    pub(super) const fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Looks only for the end from here on.
    pub(super) const fn discard(&mut self) {
        self.discarding = true;
    }

    /// Reads from the start of `input` and returns how many octets it took.
    pub(super) fn read<'i>(&mut self, input: &'i [u8]) -> (usize, Found<'i>) {
        let (taken, found) = self.step(input);
        if self.discarding {
            self.discarded = self.discarded.saturating_add(taken as u64);
        }
        (taken, found)
    }

    fn step<'i>(&mut self, input: &'i [u8]) -> (usize, Found<'i>) {
        // Content begins here in the input.
        let mut start = 0;
        let mut at = 0;
        while let Some(&octet) = input.get(at) {
            let outcome = match (self.place, octet) {
                (Place::LineStart, b'.') => {
                    if at > start && !self.discarding {
                        return (at, content(input, start, at));
                    }
                    self.place = Place::Dot;
                    at += 1;
                    start = at;
                    continue;
                }
                (Place::Dot, b'\r') => {
                    self.place = Place::DotCr;
                    at += 1;
                    start = at;
                    continue;
                }
                (Place::DotCr, b'\n') => return (at + 1, Found::End { disputed: self.odd_start }),
                (Place::DotCr, _) => {
                    self.place = Place::InLine;
                    Err(Violation::BareCr)
                }
                (Place::Cr, b'\n') => {
                    at += 1;
                    self.line_end()
                }
                (Place::Cr, b'\r') => {
                    self.cr_cr = true;
                    at += 1;
                    Err(Violation::BareCr)
                }
                (Place::Cr, _) => {
                    self.place = Place::InLine;
                    Err(Violation::BareCr)
                }
                (_, b'\r') => {
                    self.place = Place::Cr;
                    self.cr_cr = false;
                    at += 1;
                    self.spend(1, false)
                }
                (_, b'\n') if self.repair && !self.discarding => {
                    if at > start {
                        return (at, content(input, start, at));
                    }
                    at += 1;
                    match self.mended_line_end() {
                        Ok(()) => return (at, Found::Content(b"\r\n")),
                        Err(violation) => Err(violation),
                    }
                }
                (_, b'\n') => {
                    self.place = Place::InLine;
                    at += 1;
                    Err(Violation::BareLf)
                }
                (_, 0) => {
                    self.place = Place::InLine;
                    at += 1;
                    Err(Violation::Nul)
                }
                (_, _) => {
                    self.place = Place::InLine;
                    let rest = input.get(at..).unwrap_or_default();
                    let text = find_control(rest).unwrap_or(rest.len());
                    at += text;
                    self.spend(text, true)
                }
            };
            if let Err(violation) = outcome
                && !self.discarding
            {
                self.discarding = true;
                return (at, Found::Violation(violation));
            }
        }
        (at, if self.discarding { Found::Nothing } else { content(input, start, at) })
    }

    /// A whole CR LF has been read.
    fn line_end(&mut self) -> Result<(), Violation> {
        self.place = Place::LineStart;
        self.odd_start = self.cr_cr;
        self.cr_cr = false;
        let outcome = self.spend(1, false);
        if self.line_room == TEXT_LINE_BYTES_MAX as u32 {
            // The empty line that ends the header block and counts with it.
            self.in_header = false;
        }
        self.line_room = TEXT_LINE_BYTES_MAX as u32;
        outcome
    }

    /// A LF has been read that is to be a line end. What follows is never the dot of an end, nor a transparency dot.
    fn mended_line_end(&mut self) -> Result<(), Violation> {
        self.place = Place::InLine;
        (self.cr_cr, self.odd_start) = (false, false);
        let outcome = self.spend(2, false);
        if self.line_room == TEXT_LINE_BYTES_MAX as u32 {
            self.in_header = false;
        }
        self.line_room = TEXT_LINE_BYTES_MAX as u32;
        outcome
    }

    /// Accounts for `count` octets of content. Which limit is named does not depend on how the content is cut
    /// into segments: it is the one that is passed first.
    fn spend(&mut self, count: usize, of_line: bool) -> Result<(), Violation> {
        if self.discarding {
            return Ok(());
        }
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let line_room = if of_line { self.line_room } else { u32::MAX };
        let header_room = if self.in_header { self.header_room } else { u32::MAX };
        let first = self.room.min(line_room).min(header_room);
        if count > first {
            return Err(if first == self.room {
                Violation::TooLarge
            } else if first == header_room {
                Violation::HeaderTooLong
            } else {
                Violation::LineTooLong
            });
        }
        self.room -= count;
        if of_line {
            self.line_room -= count;
        }
        if self.in_header {
            self.header_room -= count;
        }
        Ok(())
    }
}

fn content(input: &[u8], start: usize, end: usize) -> Found<'_> {
    match input.get(start..end) {
        Some(octets) if !octets.is_empty() => Found::Content(octets),
        _ => Found::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{vec, vec::Vec};

    /// Content, violation and what is left after the end; `None` where the end was not found.
    fn read(input: &[u8], segment: usize, size_max: u32) -> (Vec<u8>, Option<Violation>, Option<usize>) {
        let mut reader = ContentReader::new(size_max, false);
        let (mut octets, mut violation, mut at) = (Vec::new(), None, 0);
        while at < input.len() {
            let end = input.len().min(at + segment);
            let (taken, found) = reader.read(&input[at..end]);
            at += taken;
            match found {
                Found::Content(piece) => octets.extend_from_slice(piece),
                Found::Violation(v) => violation = Some(v),
                Found::End { disputed } => {
                    assert!(!disputed || violation.is_some());
                    assert!(violation.is_some() || reader.size() as usize == octets.len());
                    return (octets, violation, Some(input.len() - at));
                }
                Found::Nothing => {}
            }
        }
        (octets, violation, None)
    }

    fn all_ways(input: &[u8]) -> (Vec<u8>, Option<Violation>, Option<usize>) {
        let whole = read(input, usize::MAX / 2, 1_000);
        for segment in 1..input.len().min(20) {
            let (octets, violation, rest) = read(input, segment, 1_000);
            assert_eq!((violation, rest), (whole.1, whole.2), "{input:?} by {segment}");
            if violation.is_none() {
                assert_eq!(octets, whole.0, "{input:?} by {segment}");
            }
        }
        whole
    }

    #[test]
    fn dots_at_line_starts_lose_one_dot() {
        for (wire, octets) in [
            (&b".\r\n"[..], &b""[..]),
            (b"a\r\n.\r\n", b"a\r\n"),
            (b"..\r\n.\r\n", b".\r\n"),
            (b"...a\r\n..\r\n.b\r\n\r\n.\r\n", b"..a\r\n.\r\nb\r\n\r\n"),
            (b"a.b\r\n.\r\n", b"a.b\r\n"),
        ] {
            assert_eq!(all_ways(wire), (octets.to_vec(), None, Some(0)), "{wire:?}");
        }
    }

    #[test]
    fn only_the_five_octets_end_the_content() {
        let before = [&b"\r\n"[..], b"\n", b"\r", b"\r\r\n", b"\r\n\0"];
        let after = [&b"\r\n"[..], b"\n", b"\r", b"\r\r\n", b"\0\r\n"];
        let mut variants = 0;
        for (b, before) in before.iter().enumerate() {
            for (a, after) in after.iter().enumerate() {
                let smuggled = b"MAIL FROM:<a@example.org>\r\n";
                let wire = [b"text", *before, b".", after, smuggled, b"\r\n.\r\nQUIT\r\n"].concat();
                let (_, violation, rest) = all_ways(&wire);
                match (b, a) {
                    (0, 0) => {
                        assert_eq!((violation, rest), (None, Some(smuggled.len() + 11)));
                    }
                    // CR CR LF ends a line, after a violation: the end that follows is a true one.
                    (3, 0) => {
                        assert_eq!((violation, rest), (Some(Violation::BareCr), Some(smuggled.len() + 11)));
                        variants += 1;
                    }
                    _ => {
                        assert!(violation.is_some(), "{wire:?}");
                        assert_eq!(rest, Some(6), "{wire:?}");
                        variants += 1;
                    }
                }
            }
        }
        assert_eq!(variants, 24);
    }

    #[test]
    fn mended_line_ends_are_never_part_of_an_end() {
        let mended = |input: &[u8], segment: usize| {
            let mut reader = ContentReader::new(1_000, true);
            let (mut octets, mut at) = (Vec::new(), 0);
            while at < input.len() {
                let (taken, found) = reader.read(&input[at..input.len().min(at + segment)]);
                at += taken;
                match found {
                    Found::Content(content) => octets.extend_from_slice(content),
                    Found::Violation(violation) => return (octets, Err(violation), at),
                    Found::End { disputed } => {
                        assert!(!disputed);
                        assert_eq!(reader.size() as usize, octets.len());
                        return (octets, Ok(true), at);
                    }
                    Found::Nothing => {}
                }
            }
            (octets, Ok(false), at)
        };
        let rest = b"MAIL FROM:<a@example.org>\r\n";
        for (wire, octets) in [
            (&b"a: b\nc: d\n\nbody\n\r\n.\r\n"[..], &b"a: b\r\nc: d\r\n\r\nbody\r\n\r\n"[..]),
            (b"a\n.\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\n.\r\nb\r\n.\r\n", b"a\r\n.\r\nb\r\n"),
            (b"a\n..\r\nb\r\n.\r\n", b"a\r\n..\r\nb\r\n"),
            (b"a\r\n.\nb\r\n.\r\n", b"a\r\n\r\nb\r\n"),
            (b"a\r\n..b\n\r\n.\r\n", b"a\r\n.b\r\n\r\n"),
            (b"\n.\r\n\n.\n\r\n.\r\n", b"\r\n.\r\n\r\n.\r\n\r\n"),
        ] {
            for segment in 1..=wire.len() + rest.len() {
                let all = [wire, rest].concat();
                assert_eq!(
                    mended(&all, segment),
                    (octets.to_vec(), Ok(true), wire.len()),
                    "{wire:?} by {segment}"
                );
            }
        }
        for (wire, violation) in [
            (&b"a\rb\n\r\n.\r\n"[..], Violation::BareCr),
            (b"a\n\0\r\n.\r\n", Violation::Nul),
            (b"a\n\r\r\n.\r\n", Violation::BareCr),
        ] {
            for segment in 1..=wire.len() {
                assert_eq!(mended(wire, segment).1, Err(violation), "{wire:?}");
            }
        }
        assert_eq!(mended(&b"\n".repeat(501), 9).1, Err(Violation::TooLarge));
    }

    #[test]
    fn a_message_of_exactly_the_limit_passes_and_one_octet_more_does_not() {
        let mut wire = vec![b'x'; 998];
        wire.extend_from_slice(b"\r\n.\r\n");
        assert_eq!(all_ways(&wire).1, None);
        wire.insert(0, b'x');
        assert_eq!(all_ways(&wire), (vec![], Some(Violation::TooLarge), Some(0)));
    }

    #[test]
    fn lines_and_headers_have_limits_and_the_first_one_passed_is_named() {
        let read_all = |wire: &[u8]| {
            let whole = read(wire, usize::MAX / 2, u32::MAX);
            for segment in [1, 7, 1_460, 65_536] {
                let (_, violation, rest) = read(wire, segment, u32::MAX);
                assert_eq!((violation, rest), (whole.1, whole.2));
            }
            whole.1
        };
        let line = |length: usize| [&vec![b'x'; length][..], b"\r\n"].concat();
        let mut wire = [b"\r\n", &line(TEXT_LINE_BYTES_MAX)[..], b".\r\n"].concat();
        assert_eq!(read_all(&wire), None);
        wire.insert(2, b'x');
        assert_eq!(read_all(&wire), Some(Violation::LineTooLong));
        let header = line(98).repeat(HEADER_BYTES_MAX / 100);
        let rest = HEADER_BYTES_MAX - header.len();
        let exactly = [&header, &line(rest - 4)[..], b"\r\nbody\r\n.\r\n"].concat();
        assert_eq!(read_all(&exactly), None);
        let above = [&header, &line(rest - 3)[..], b"\r\nbody\r\n.\r\n"].concat();
        assert_eq!(read_all(&above), Some(Violation::HeaderTooLong));
    }
}
