//! Transfer encodings as machines: octets in pieces of any size in, encoded octets out (RFC 2045 §6.7 and §6.8).
//!
//! What leaves has only printable ASCII, spaces and tabs in lines of at most
//! [`ENCODED_LINE_BYTES_MAX`](limits::mime::ENCODED_LINE_BYTES_MAX) octets, none of which ends in white space, begins with
//! `From ` or with a dot. A line break that an encoder adds is never followed by a dash, so that no line becomes a
//! delimiter that was none.

use crate::Output;
use alloc::vec::Vec;
use limits::mime::{ENCODED_LINE_BYTES_MAX, SAFE_LINE_BYTES_MAX};

/// Octets of a quoted-printable line before the `=` of a soft break.
const QUOTED_LINE_BYTES_MAX: usize = ENCODED_LINE_BYTES_MAX - 1;
/// White space before a line end that is remembered to be left out; more than this is content.
const HELD_SPACE_BYTES_MAX: usize = 64;
const HEX: &[u8; 16] = b"0123456789ABCDEF";
const FROM: &[u8; 4] = b"From";

/// Quoted-printable, from octets or from text that is quoted-printable already but not safe.
#[derive(Debug)]
pub struct QuotedPrintable {
    /// The input is quoted-printable: `=` keeps its meaning and white space at line ends has none.
    quoted_already: bool,
    column: usize,
    after_soft_break: bool,
    /// How much of `From` stands at the start of the line, if nothing else does.
    from: usize,
    cr: bool,
    /// Octets of an escape that still follow.
    escape_left: u8,
    spaces: Vec<u8>,
}

impl QuotedPrintable {
    /// Encodes octets; CRLF becomes a line break.
    #[must_use]
    pub fn new() -> Self {
        Self {
            quoted_already: false,
            column: 0,
            after_soft_break: false,
            from: 0,
            cr: false,
            escape_left: 0,
            spaces: Vec::new(),
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
            // The long way only for what is special; runs of ordinary octets are copied.
            if self.column > FROM.len() && !self.cr && self.escape_left == 0 && self.spaces.is_empty() {
                let room = QUOTED_LINE_BYTES_MAX.saturating_sub(self.column);
                let window = rest.get(..room).unwrap_or(rest);
                let plain = window.iter().position(|c| !is_plain(*c)).unwrap_or(window.len());
                if plain > 0 {
                    let (run, beyond) = rest.split_at(plain);
                    out.put(run);
                    self.column += plain;
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
            self.cr = false;
            self.let_spaces_go(out);
            self.escaped(b'\r', out);
        }
        self.end_spaces(out);
    }

    fn octet<O: Output>(&mut self, c: u8, out: &mut O) {
        if self.cr {
            self.cr = false;
            if c == b'\n' {
                self.end_spaces(out);
                out.put(b"\r\n");
                self.new_line(false);
                return;
            }
            self.let_spaces_go(out);
            self.escaped(b'\r', out);
        }
        match c {
            b'\r' => {
                self.cr = true;
                self.escape_left = 0;
            }
            b' ' | b'\t' => self.space(c, out),
            _ => {
                self.let_spaces_go(out);
                self.visible(c, out);
            }
        }
    }

    fn visible<O: Output>(&mut self, c: u8, out: &mut O) {
        if self.escape_left > 0 {
            self.escape_left -= 1;
            if is_plain(c) || c == b'=' {
                self.literal(c, out);
                return;
            }
        }
        let at_start = self.column == 0;
        if c == b'=' && self.quoted_already {
            // The two octets after it must stay beside it.
            self.make_room(3, out);
            self.literal(c, out);
            self.escape_left = 2;
        } else if !is_plain(c) || (at_start && c == b'.') || (at_start && c == b'-' && self.after_soft_break)
        {
            self.escaped(c, out);
        } else {
            self.make_room(1, out);
            // The break may just have been made.
            if self.column == 0 && (c == b'.' || (c == b'-' && self.after_soft_break)) {
                self.escaped(c, out);
            } else {
                if FROM.get(self.from) == Some(&c) && self.from == self.column {
                    self.from += 1;
                }
                self.literal(c, out);
            }
        }
    }

    fn space<O: Output>(&mut self, c: u8, out: &mut O) {
        self.escape_left = 0;
        if self.quoted_already {
            // Whether it means something shows at the end of the line.
            if self.spaces.len() >= HELD_SPACE_BYTES_MAX {
                self.let_spaces_go(out);
            }
        } else {
            self.let_spaces_go(out);
        }
        self.spaces.push(c);
    }

    /// Something follows the white space in its line: it may stand as it is.
    fn let_spaces_go<O: Output>(&mut self, out: &mut O) {
        if self.spaces.is_empty() {
            return;
        }
        let mut spaces = core::mem::take(&mut self.spaces);
        for space in spaces.drain(..) {
            if self.from == FROM.len() && self.column == FROM.len() {
                self.escaped(space, out);
            } else {
                self.make_room(1, out);
                self.literal(space, out);
            }
        }
        self.spaces = spaces;
    }

    /// The line ends after the white space: it is encoded, or left out where it means nothing (RFC 2045 §6.7 rule 3).
    fn end_spaces<O: Output>(&mut self, out: &mut O) {
        let spaces = core::mem::take(&mut self.spaces);
        if !self.quoted_already
            && let Some(space) = spaces.last()
        {
            self.escaped(*space, out);
        }
        self.spaces = spaces;
        self.spaces.clear();
    }

    fn literal<O: Output>(&mut self, c: u8, out: &mut O) {
        out.put(&[c]);
        self.column += 1;
    }

    fn escaped<O: Output>(&mut self, c: u8, out: &mut O) {
        self.make_room(3, out);
        out.put(&[b'=', HEX[usize::from(c >> 4)], HEX[usize::from(c & 15)]]);
        self.column += 3;
    }

    fn make_room<O: Output>(&mut self, octets: usize, out: &mut O) {
        if self.column + octets > QUOTED_LINE_BYTES_MAX {
            out.put(b"=\r\n");
            self.new_line(true);
        }
    }

    fn new_line(&mut self, soft: bool) {
        self.column = 0;
        self.from = 0;
        self.escape_left = 0;
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

/// Base64 in lines of 76 (RFC 2045 §6.8); the last line has no line end.
#[derive(Debug)]
pub struct Base64 {
    carry: [u8; 3],
    carried: usize,
    line: [u8; ENCODED_LINE_BYTES_MAX],
    filled: usize,
    lines: bool,
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Base64 {
    /// Nothing encoded yet.
    #[must_use]
    pub fn new() -> Self {
        Self { carry: [0; 3], carried: 0, line: [0; ENCODED_LINE_BYTES_MAX], filled: 0, lines: false }
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
        if let Some(space) = self.line.get_mut(self.filled..self.filled + 4) {
            space.copy_from_slice(&letters);
        }
        self.filled += 4;
        if self.filled >= ENCODED_LINE_BYTES_MAX {
            self.flush(out);
        }
    }

    fn flush<O: Output>(&mut self, out: &mut O) {
        if self.filled > 0 {
            if self.lines {
                out.put(b"\r\n");
            }
            out.put(&self.line[..self.filled]);
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

/// Base64 text in new lines: the letters stay, everything that decoders must ignore (RFC 2045 §6.8) goes.
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
        let is_letter = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=');
        let mut rest = octets;
        while !rest.is_empty() {
            if self.column == ENCODED_LINE_BYTES_MAX && rest.iter().any(is_letter) {
                out.put(b"\r\n");
                self.column = 0;
            }
            let window = rest.get(..ENCODED_LINE_BYTES_MAX - self.column).unwrap_or(rest);
            let run = window.iter().position(|c| !is_letter(c)).unwrap_or(window.len());
            let (letters, beyond) = rest.split_at(run);
            if run > 0 {
                out.put(letters);
                self.column += run;
            }
            let junk = beyond.iter().position(is_letter).unwrap_or(beyond.len());
            rest = beyond.get(junk..).unwrap_or(&[]);
        }
    }
}

impl Default for Rewrap {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a gap safe: readers ignore it, so octets above 127 become `?`, white space at line ends goes, long lines are
/// cut, and `From ` is quoted with `>`.
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
