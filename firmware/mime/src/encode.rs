//! Transfer encodings as machines: octets in pieces of any size in, encoded octets out (RFC 2045 §6.7 and §6.8).
//!
//! What leaves has only printable ASCII, spaces and tabs in lines of at most
//! [`ENCODED_LINE_BYTES_MAX`] octets, none of which ends in white space, begins with
//! `From ` or with a dot. A line break that an encoder adds is never followed by a dash, so that no line becomes a
//! delimiter that was none.

use crate::Output;
use alloc::vec::Vec;
use limits::mime::{ENCODED_LINE_BYTES_MAX, SAFE_LINE_BYTES_MAX};
use memchr::memchr3;

/// Octets of a quoted-printable line before the `=` of a soft break.
const QUOTED_LINE_BYTES_MAX: usize = ENCODED_LINE_BYTES_MAX - 1;
const HEX: &[u8; 16] = b"0123456789ABCDEF";
const FROM: &[u8; 4] = b"From";

/// Quoted-printable, from octets or from text that is quoted-printable already but not safe.
#[derive(Debug)]
pub struct QuotedPrintable {
    /// The input is quoted-printable: `=` keeps its meaning and white space at line ends has none.
    quoted_already: bool,
    /// The line that is being written, and room for its end.
    line: [u8; ENCODED_LINE_BYTES_MAX + 2],
    column: usize,
    after_soft_break: bool,
    /// How much of `From` stands at the start of the line, if nothing else does.
    from: usize,
    cr: bool,
    /// A `=` of quoted text, which is an escape or a soft break.
    equals: bool,
    /// The first digit after it.
    digit: Option<u8>,
}

impl QuotedPrintable {
    /// Encodes octets; CRLF becomes a line break.
    #[must_use]
    pub fn new() -> Self {
        Self {
            quoted_already: false,
            line: [0; ENCODED_LINE_BYTES_MAX + 2],
            column: 0,
            after_soft_break: false,
            from: 0,
            cr: false,
            equals: false,
            digit: None,
        }
    }

    /// Makes quoted-printable text safe without changing what it says.
    #[must_use]
    pub fn harden() -> Self {
        Self { quoted_already: true, ..Self::new() }
    }

    /// The next octets.
    pub fn push<O: Output>(&mut self, octets: &[u8], out: &mut O) {
        let mut rest = octets;
        while let Some((&c, after)) = rest.split_first() {
            // The long way only for what is special; runs of ordinary text are copied.
            let undecided = self.cr || self.equals;
            if self.column > self.from && !undecided {
                let room = QUOTED_LINE_BYTES_MAX.saturating_sub(self.column);
                let window = rest.get(..room).unwrap_or(rest);
                let run = window.iter().position(|c| !is_text(*c)).unwrap_or(window.len());
                if run > 0 {
                    let (run, beyond) = rest.split_at(run);
                    self.copy(run);
                    rest = beyond;
                    continue;
                }
            }
            self.octet(c, out);
            rest = after;
        }
    }

    /// The content is complete.
    pub fn finish<O: Output>(&mut self, out: &mut O) {
        if self.cr {
            self.bare_cr(out);
        }
        self.no_escape(out);
        self.end_spaces(out);
        out.put(self.line.get(..self.column).unwrap_or(&[]));
        self.new_line(false);
    }

    fn octet<O: Output>(&mut self, c: u8, out: &mut O) {
        if self.cr {
            if c == b'\n' {
                self.hard_break(out);
                return;
            }
            self.bare_cr(out);
        }
        if self.equals && self.escape_goes_on(c, out) {
            return;
        }
        if c == b'\r' {
            self.cr = true;
        } else if c == b'=' && self.quoted_already {
            self.equals = true;
        } else if is_text(c) {
            self.make_room(1, out);
            self.text(c, out);
        } else {
            self.escaped(c, out);
        }
    }

    /// After a `=` of quoted text. `false`: the octet is no part of an escape and still has to be written.
    fn escape_goes_on<O: Output>(&mut self, c: u8, out: &mut O) -> bool {
        match self.digit {
            None if c == b'\r' => false,
            None if c.is_ascii_hexdigit() => {
                self.digit = Some(c);
                true
            }
            None if c == b' ' || c == b'\t' => {
                // At the end of the line this is a soft break, and the white space means nothing.
                self.equals = false;
                self.make_room(1, out);
                self.copy(b"=");
                false
            }
            Some(digit) if c.is_ascii_hexdigit() => {
                self.equals = false;
                self.digit = None;
                self.make_room(3, out);
                self.copy(&[b'=', digit, c]);
                true
            }
            _ => {
                self.no_escape(out);
                false
            }
        }
    }

    /// A `=` that begins no escape: readers show it, so it is written as what they show.
    fn no_escape<O: Output>(&mut self, out: &mut O) {
        if self.equals {
            self.equals = false;
            self.escaped(b'=', out);
            if let Some(digit) = self.digit.take() {
                self.make_room(1, out);
                self.text(digit, out);
            }
        }
    }

    /// A printable octet or white space, for which there is room.
    fn text<O: Output>(&mut self, c: u8, out: &mut O) {
        if self.column == 0 && (c == b'.' || (c == b'-' && self.after_soft_break)) {
            self.escaped(c, out);
            return;
        }
        if self.from == FROM.len() && self.column == FROM.len() && !is_plain(c) {
            self.column = 0;
            self.copy(b"=46rom");
        }
        if self.from == self.column && FROM.get(self.from) == Some(&c) {
            self.from += 1;
        }
        self.copy(&[c]);
    }

    /// The CR that was waited with has no LF.
    fn bare_cr<O: Output>(&mut self, out: &mut O) {
        self.cr = false;
        self.no_escape(out);
        self.escaped(b'\r', out);
    }

    fn hard_break<O: Output>(&mut self, out: &mut O) {
        self.cr = false;
        if self.equals {
            // A soft break that was there.
            self.equals = false;
            self.copy(b"=");
        }
        self.end_spaces(out);
        self.copy(b"\r\n");
        out.put(self.line.get(..self.column).unwrap_or(&[]));
        self.new_line(false);
    }

    fn spaces_at_end(&self) -> usize {
        let line = self.line.get(..self.column).unwrap_or(&[]);
        line.iter().rev().take_while(|c| matches!(c, b' ' | b'\t')).count()
    }

    /// The line ends after white space: it is encoded, or left out where it means nothing (RFC 2045 §6.7 rule 3).
    fn end_spaces<O: Output>(&mut self, out: &mut O) {
        let spaces = self.spaces_at_end();
        if self.quoted_already {
            self.column -= spaces;
        } else if spaces > 0
            && let Some(&space) = self.line.get(self.column - 1)
        {
            self.column -= 1;
            self.escaped(space, out);
        }
    }

    fn copy(&mut self, octets: &[u8]) {
        if let Some(room) = self.line.get_mut(self.column..self.column + octets.len()) {
            room.copy_from_slice(octets);
            self.column += octets.len();
        }
    }

    fn escaped<O: Output>(&mut self, c: u8, out: &mut O) {
        self.make_room(3, out);
        self.copy(&[b'=', HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
    }

    fn make_room<O: Output>(&mut self, octets: usize, out: &mut O) {
        if self.column + octets <= QUOTED_LINE_BYTES_MAX {
            return;
        }
        // In quoted text white space before the break may be the end of its line and mean nothing: it goes along, unless
        // it is all there is.
        let carried = self.spaces_at_end();
        let mut spaces = [0; ENCODED_LINE_BYTES_MAX + 2];
        let carry = self.quoted_already && carried + octets <= QUOTED_LINE_BYTES_MAX;
        if carry {
            self.column -= carried;
            let from = self.line.get(self.column..self.column + carried).unwrap_or(&[]);
            spaces[..from.len()].copy_from_slice(from);
        }
        self.copy(b"=");
        out.put(self.line.get(..self.column).unwrap_or(&[]));
        out.put(b"\r\n");
        self.new_line(true);
        if carry {
            self.copy(spaces.get(..carried).unwrap_or(&[]));
        }
    }

    fn new_line(&mut self, soft: bool) {
        self.column = 0;
        self.from = 0;
        self.after_soft_break = soft;
    }
}

impl Default for QuotedPrintable {
    fn default() -> Self {
        Self::new()
    }
}

/// Stands for itself in quoted-printable (RFC 2045 §6.7 rule 2).
const fn is_plain(c: u8) -> bool {
    c > b' ' && c < 127 && c != b'='
}

/// The same, or white space.
const fn is_text(c: u8) -> bool {
    is_plain(c) || c == b' ' || c == b'\t'
}

/// Base64 in lines of 76 (RFC 2045 §6.8); the last line has no line end.
#[derive(Debug)]
pub struct Base64 {
    carry: [u8; 3],
    carried: usize,
    /// CRLF, and the line that is being written.
    line: [u8; 2 + ENCODED_LINE_BYTES_MAX],
    filled: usize,
    lines: bool,
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Base64 {
    /// Nothing encoded yet.
    #[must_use]
    pub fn new() -> Self {
        let mut line = [0; 2 + ENCODED_LINE_BYTES_MAX];
        line[..2].copy_from_slice(b"\r\n");
        Self { carry: [0; 3], carried: 0, line, filled: 0, lines: false }
    }

    /// The next octets.
    pub fn push<O: Output>(&mut self, mut octets: &[u8], out: &mut O) {
        while self.carried > 0 && !octets.is_empty() {
            let Some((&c, rest)) = octets.split_first() else { break };
            self.carry[self.carried] = c;
            self.carried += 1;
            octets = rest;
            if self.carried == 3 {
                self.carried = 0;
                let group = self.carry;
                self.group(group, out);
            }
        }
        let mut groups = octets.chunks_exact(3);
        for group in &mut groups {
            self.group([group[0], group[1], group[2]], out);
        }
        for c in groups.remainder() {
            self.carry[self.carried] = *c;
            self.carried += 1;
        }
    }

    #[inline]
    fn group<O: Output>(&mut self, [a, b, c]: [u8; 3], out: &mut O) {
        let bits = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
        let letter = |shift: u32| ALPHABET[(bits >> shift & 63) as usize];
        self.four([letter(18), letter(12), letter(6), letter(0)], out);
    }

    #[inline]
    fn four<O: Output>(&mut self, letters: [u8; 4], out: &mut O) {
        if let Some(space) = self.line.get_mut(self.filled + 2..self.filled + 6) {
            space.copy_from_slice(&letters);
        }
        self.filled += 4;
        if self.filled >= ENCODED_LINE_BYTES_MAX {
            self.flush(out);
        }
    }

    fn flush<O: Output>(&mut self, out: &mut O) {
        if self.filled > 0 {
            // The line end before the line, none before the first.
            let start = if self.lines { 0 } else { 2 };
            out.put(self.line.get(start..self.filled + 2).unwrap_or(&[]));
            self.lines = true;
            self.filled = 0;
        }
    }

    /// The content is complete.
    pub fn finish<O: Output>(&mut self, out: &mut O) {
        let [a, b, _] = self.carry;
        let bits = u32::from(a) << 16 | u32::from(b) << 8;
        let letter = |shift: u32| ALPHABET[(bits >> shift & 63) as usize];
        match self.carried {
            1 => {
                let bits = u32::from(a) << 16;
                let letter = |shift: u32| ALPHABET[(bits >> shift & 63) as usize];
                self.four([letter(18), letter(12), b'=', b'='], out);
            }
            2 => self.four([letter(18), letter(12), letter(6), b'='], out),
            _ => {}
        }
        self.carried = 0;
        self.flush(out);
    }
}

impl Default for Base64 {
    fn default() -> Self {
        Self::new()
    }
}

/// Base64 text without white space in lines of at most 76. Everything else stays, line ends too. A line that begins with a
/// dash gets a space before it.
#[derive(Debug)]
pub struct Rewrap {
    column: usize,
}

impl Rewrap {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self { column: 0 }
    }

    /// The next octets.
    pub fn push<O: Output>(&mut self, octets: &[u8], out: &mut O) {
        let mut rest = octets;
        while let Some(&first) = rest.first() {
            match first {
                b' ' | b'\t' => {
                    rest = rest.get(1..).unwrap_or(&[]);
                    continue;
                }
                b'\r' | b'\n' => {
                    out.put(&[first]);
                    self.column = 0;
                    rest = rest.get(1..).unwrap_or(&[]);
                    continue;
                }
                _ if self.column >= ENCODED_LINE_BYTES_MAX => {
                    out.put(b"\r\n");
                    self.column = 0;
                }
                _ => {}
            }
            if self.column == 0 && first == b'-' {
                // Dashes are no base64, and without its white space a line could become a delimiter.
                out.put(b" ");
                self.column = 1;
            }
            let window = rest.get(..ENCODED_LINE_BYTES_MAX - self.column).unwrap_or(rest);
            let run = window.iter().position(|c| c.is_ascii_whitespace()).unwrap_or(window.len()).max(1);
            let (letters, beyond) = rest.split_at(run);
            out.put(letters);
            self.column += run;
            rest = beyond;
        }
    }
}

impl Default for Rewrap {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a gap safe: readers ignore it, so octets above 127 become `?`, white space at line ends goes, long lines are
/// cut, and `From ` is quoted with `>`. The gap has no [near delimiter](crate::walk::Findings::near_delimiter).
#[derive(Debug)]
pub struct CleanGap {
    line: Vec<u8>,
    cr: bool,
}

impl CleanGap {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self { line: Vec::new(), cr: false }
    }

    /// The next octets.
    pub fn push<O: Output>(&mut self, octets: &[u8], out: &mut O) {
        for &c in octets {
            if self.cr && c != b'\n' {
                self.add(b'?', out);
            }
            self.cr = c == b'\r';
            match c {
                b'\r' => {}
                b'\n' => {
                    self.flush(out);
                    out.put(b"\r\n");
                }
                b'\t' | b' '..=b'~' => self.add(c, out),
                _ => self.add(b'?', out),
            }
        }
    }

    fn add<O: Output>(&mut self, c: u8, out: &mut O) {
        if self.line.len() >= SAFE_LINE_BYTES_MAX - 1 {
            self.flush(out);
            out.put(b"\r\n");
            // A new line start must not look like a delimiter.
            if c == b'-' {
                self.line.push(b'>');
            }
        }
        self.line.push(c);
    }

    fn flush<O: Output>(&mut self, out: &mut O) {
        let text = self.line.trim_ascii_end();
        if text.starts_with(b"From ") {
            out.put(b">");
        }
        out.put(text);
        self.line.clear();
    }

    /// The gap is complete.
    pub fn finish<O: Output>(&mut self, out: &mut O) {
        self.flush(out);
        self.cr = false;
    }
}

impl Default for CleanGap {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives text the line ends of mail: a lone LF and a lone CR become CRLF, a NUL becomes a question mark. What is canonical
/// already stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct CanonicalLines {
    /// A CR whose LF has not come yet.
    cr: bool,
    /// It is a header: a lone CR ends no line of it, so that nothing in a field becomes a field.
    header: bool,
}

impl CanonicalLines {
    /// At the start of a text.
    #[must_use]
    pub const fn new() -> Self {
        Self { cr: false, header: false }
    }

    /// For a header: a lone CR becomes a space.
    #[must_use]
    pub const fn of_header() -> Self {
        Self { cr: false, header: true }
    }

    const fn lone_cr(self) -> &'static [u8] {
        if self.header { b" " } else { b"\r\n" }
    }

    /// Takes the next octets.
    pub fn push<O: Output>(&mut self, octets: &[u8], out: &mut O) {
        let mut rest = octets;
        while let Some(&first) = rest.first() {
            if core::mem::take(&mut self.cr) {
                if first == b'\n' {
                    out.put(b"\r\n");
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                out.put(self.lone_cr());
            }
            let run = memchr3(b'\r', b'\n', 0, rest).unwrap_or(rest.len());
            let (text, beyond) = rest.split_at(run);
            if !text.is_empty() {
                out.put(text);
            }
            match beyond.first() {
                Some(b'\r') => self.cr = true,
                Some(b'\n') => out.put(b"\r\n"),
                Some(_) => out.put(b"?"),
                None => {}
            }
            rest = beyond.get(1..).unwrap_or_default();
        }
    }

    /// The text is complete; ready for another one.
    pub fn finish<O: Output>(&mut self, out: &mut O) {
        if core::mem::take(&mut self.cr) {
            out.put(self.lone_cr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn quoted(mut coder: QuotedPrintable, octets: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        octets.chunks(piece).for_each(|piece| coder.push(piece, &mut out));
        coder.finish(&mut out);
        out
    }

    fn base64(octets: &[u8], piece: usize) -> Vec<u8> {
        let mut out = Vec::new();
        let mut coder = Base64::new();
        octets.chunks(piece).for_each(|piece| coder.push(piece, &mut out));
        coder.finish(&mut out);
        out
    }

    /// A decoder by the letter of RFC 2045 §6.7.
    fn unquoted(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let lines: Vec<&[u8]> = text.split(|c| *c == b'\n').collect();
        for (i, line) in lines.iter().enumerate() {
            let last = i + 1 == lines.len();
            let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_end();
            let (line, soft) = match line.strip_suffix(b"=") {
                Some(line) => (line, true),
                None => (line, false),
            };
            let mut rest = line;
            while let Some((&c, after)) = rest.split_first() {
                let hex = after.get(..2).and_then(|h| core::str::from_utf8(h).ok());
                match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
                    Some(octet) if c == b'=' => {
                        out.push(octet);
                        rest = &after[2..];
                    }
                    _ => {
                        out.push(c);
                        rest = after;
                    }
                }
            }
            if !soft && !last {
                out.extend_from_slice(b"\r\n");
            }
        }
        out
    }

    fn assert_safe(text: &[u8]) {
        let text = core::str::from_utf8(text).expect("ASCII");
        assert!(text.is_ascii());
        for line in text.split("\r\n") {
            assert!(line.len() <= ENCODED_LINE_BYTES_MAX, "{line:?}");
            assert!(!line.ends_with([' ', '\t']), "{line:?}");
            assert!(!line.starts_with("From ") && !line.starts_with('.'), "{line:?}");
            assert!(!line.contains(['\r', '\n']), "{line:?}");
        }
    }

    #[test]
    fn quoted_printable_as_people_write_it() {
        for (plain, encoded) in [
            ("", ""),
            ("hello\r\n", "hello\r\n"),
            ("a=b", "a=3Db"),
            ("caf\u{e9}\r\n\r\n", "caf=C3=A9\r\n\r\n"),
            ("end \r\n \r\nx\t", "end=20\r\n=20\r\nx=09"),
            (".\r\n..\r\na.\r\n", "=2E\r\n=2E.\r\na.\r\n"),
            ("From x\r\nFromx\r\n From x\r\n", "=46rom x\r\nFromx\r\n From x\r\n"),
            ("-- \r\n--b\r\n", "--=20\r\n--b\r\n"),
            ("a\rb\nc\r", "a=0Db=0Ac=0D"),
        ] {
            for piece in [1, 2, 100] {
                let out = quoted(QuotedPrintable::new(), plain.as_bytes(), piece);
                assert_eq!(core::str::from_utf8(&out), Ok(encoded));
            }
        }
    }

    #[test]
    fn soft_breaks_make_no_delimiter() {
        let line = ["x".repeat(75).as_str(), "--boundary", &"y".repeat(65), ".dot"].concat();
        let out = quoted(QuotedPrintable::new(), line.as_bytes(), 1_000);
        let text = core::str::from_utf8(&out).expect("ASCII");
        assert!(!text.contains("\r\n-") && !text.contains("\r\n."), "{text}");
        assert_eq!(unquoted(&out), line.as_bytes());
    }

    #[test]
    fn hardened_text_says_the_same() {
        for (unsafe_text, hardened) in [
            ("a=3Db\r\n", "a=3Db\r\n"),
            ("soft=\r\nbreak =\r\n", "soft=\r\nbreak =\r\n"),
            ("gone \t\r\nx\r\n", "gone\r\nx\r\n"),
            ("From =\r\nhere\r\n.\r\n", "=46rom =\r\nhere\r\n=2E\r\n"),
            ("caf\u{e9}\r\n", "caf=C3=A9\r\n"),
            ("=c3=4=\u{e9}==41=x=", "=c3=3D4=3D=C3=A9=3D=41=3Dx=3D"),
        ] {
            for piece in [1, 2, 100] {
                let out = quoted(QuotedPrintable::harden(), unsafe_text.as_bytes(), piece);
                assert_eq!(core::str::from_utf8(&out), Ok(hardened));
            }
        }
    }

    #[test]
    fn base64_of_every_length() {
        assert_eq!(base64(b"", 1), b"");
        assert_eq!(base64(b"f", 1), b"Zg==");
        assert_eq!(base64(b"fo", 1), b"Zm8=");
        assert_eq!(base64(b"foobar", 4), b"Zm9vYmFy");
        let line = base64(&[0; 58], 7);
        assert_eq!(line[76..], *b"\r\nAA==");
        assert_eq!(base64(&[0; 57], 7).len(), 76);
    }

    #[test]
    fn rewrapped_base64_keeps_all_but_white_space() {
        let text = [
            vec![b'Q'; 200],
            b" \r\nQU JD=\t\r\n\r\nfooter!\r\n".to_vec(),
            vec![b'Q'; 76],
            b"--b\r\n-\t-c".to_vec(),
        ]
        .concat();
        for piece in [1, 9, 1_000] {
            let mut out = Vec::new();
            let mut coder = Rewrap::new();
            text.chunks(piece).for_each(|piece| coder.push(piece, &mut out));
            let lines =
                [vec![b'Q'; 76], b"\r\n".to_vec(), vec![b'Q'; 76], b"\r\n".to_vec(), vec![b'Q'; 48]].concat();
            let rest =
                [b"\r\nQUJD=\r\n\r\nfooter!\r\n".to_vec(), vec![b'Q'; 76], b"\r\n --b\r\n --c".to_vec()]
                    .concat();
            assert_eq!(out, [lines, rest].concat());
        }
    }

    #[test]
    fn gaps_become_harmless() {
        let mut out = Vec::new();
        let mut coder = CleanGap::new();
        coder.push("caf\u{e9} \r\nFrom me\r\n\tok\r\n".as_bytes(), &mut out);
        coder.push(&[b'-'; 2_000], &mut out);
        coder.finish(&mut out);
        let text = core::str::from_utf8(&out).expect("ASCII");
        assert!(text.starts_with("caf??\r\n>From me\r\n\tok\r\n---"));
        assert!(text.split("\r\n").all(|line| line.len() <= 998));
        assert_eq!(text.matches("\r\n>-").count(), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(2), ..Default::default()
        })]

        #[test]
        fn encoded_octets_come_back(octets in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            "[ F\t.a=\r\n-]{0,300}(From )?[a-z -]{0,300}".prop_map(alloc::string::String::into_bytes),
        ], piece in 1..40usize) {
            let whole = quoted(QuotedPrintable::new(), &octets, usize::MAX);
            assert_safe(&whole);
            prop_assert_eq!(&unquoted(&whole), &octets);
            prop_assert_eq!(&quoted(QuotedPrintable::new(), &octets, piece), &whole);
            prop_assert!(whole.len() <= octets.len() * limits::mime::EXPANSION_FACTOR_MAX);
            let encoded = base64(&octets, usize::MAX);
            assert_safe(&encoded);
            prop_assert_eq!(&base64(&octets, piece), &encoded);
            prop_assert_eq!(encoded.iter().filter(|c| **c != b'\r' && **c != b'\n').count(), octets.len().div_ceil(3) * 4);
            // What is safe already stays as it is.
            prop_assert_eq!(&quoted(QuotedPrintable::harden(), &whole, piece), &whole);
            // What is not says the same afterwards.
            let hardened = quoted(QuotedPrintable::harden(), &octets, piece);
            assert_safe(&hardened);
        }

        #[test]
        fn hardened_text_decodes_to_the_same(tokens in prop::collection::vec(prop::sample::select(vec![
            "=41", "=3D", "=\r\n", "= \r\n", "\r\n", " ", "\t", "    ", "word", "From ", ".", "-", "caf\u{e9}", "--b",
        ]), 0..80), piece in 1..40usize) {
            let text = tokens.concat();
            let hardened = quoted(QuotedPrintable::harden(), text.as_bytes(), piece);
            assert_safe(&hardened);
            prop_assert_eq!(unquoted(&hardened), unquoted(text.as_bytes()));
        }
    }
}
