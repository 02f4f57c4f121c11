//! Text on its way to the terminal.

use alloc::vec::Vec;
use core::fmt;
use limits::console::{COLUMNS, OUTPUT_BYTES_MAX};

/// Octets that one key may cause at most: the overview of all commands.
const PER_KEY_BYTES_MAX: usize = 4 * 1_024;
limits::const_assert!(OUTPUT_BYTES_MAX >= 2 * PER_KEY_BYTES_MAX);

/// What is to be sent. Holds at most [`OUTPUT_BYTES_MAX`] octets.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    sent: usize,
}

impl Output {
    /// Whether there is room for whatever the next key causes.
    pub fn has_room(&self) -> bool {
        OUTPUT_BYTES_MAX - (self.bytes.len() - self.sent) >= PER_KEY_BYTES_MAX
    }

    /// What is to be sent next.
    pub fn pending(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    /// `count` octets of [`Output::pending`] have been sent.
    pub fn sent(&mut self, count: usize) {
        self.sent = (self.sent + count).min(self.bytes.len());
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }

    /// Adds octets as they are: text that is known to be harmless, and control sequences of our own.
    pub fn raw(&mut self, bytes: &[u8]) {
        if self.sent > 0 && self.bytes.len() + bytes.len() > OUTPUT_BYTES_MAX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        // `has_room` is asked before every key, so this holds; if it did not, a line on a screen would be cut.
        if self.bytes.len() + bytes.len() <= OUTPUT_BYTES_MAX {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Adds a line of text, made printable, and ends it. What is too long for a row goes on in the next.
    pub fn line(&mut self, text: impl fmt::Display) {
        let mut rows = Rows::new(0, |bytes: &[u8]| self.raw(bytes));
        let _ = fmt::write(&mut Printable(|bytes: &[u8]| rows.write(bytes)), format_args!("{text}"));
        rows.end();
        self.raw(b"\r\n");
    }

    /// Adds text, made printable.
    pub fn text(&mut self, text: impl fmt::Display) {
        // The only errors of this writer are those of `Display`, which has none here.
        let _ = fmt::write(&mut Printable(|bytes: &[u8]| self.raw(bytes)), format_args!("{text}"));
    }
}

/// Breaks printable text into rows that fit the screen, at spaces and after commas; a word that is longer than a row is cut to pieces. The
/// last column stays free.
pub struct Rows<F> {
    out: F,
    /// Columns that a row which goes on begins with.
    hanging: usize,
    column: usize,
    /// Spaces before the word, written only if the word stands in the same row.
    spaces: usize,
    word: heapless::Vec<u8, { COLUMNS - 1 }>,
}

impl<F: FnMut(&[u8])> Rows<F> {
    /// Starts at the left margin; rows that go on begin with `hanging` spaces.
    pub fn new(hanging: usize, out: F) -> Self {
        Self { out, hanging: hanging.min(COLUMNS / 2), column: 0, spaces: 0, word: heapless::Vec::new() }
    }

    /// Takes text that is printable ASCII with CRLF between lines.
    pub fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.end();
                    (self.out)(b"\r\n");
                    self.column = 0;
                }
                b'\r' => {}
                b' ' => {
                    self.end_word();
                    self.spaces += 1;
                }
                byte => {
                    if self.word.len() >= COLUMNS - 1 - self.hanging {
                        self.end_word();
                    }
                    // There is room: the word has just ended, or is shorter.
                    let _ = self.word.push(*byte);
                    if *byte == b',' {
                        self.end_word();
                    }
                }
            }
        }
    }

    /// Writes the last word.
    pub fn end(&mut self) {
        self.end_word();
        self.spaces = 0;
    }

    fn end_word(&mut self) {
        const SPACES: &[u8] = &[b' '; COLUMNS];
        if self.word.is_empty() {
            return;
        }
        let mut spaces = self.spaces.min(COLUMNS - 1);
        if self.column + spaces + self.word.len() > COLUMNS - 1 && self.column > 0 {
            (self.out)(b"\r\n");
            (self.column, spaces) = (0, self.hanging);
        }
        (self.out)(SPACES.get(..spaces).unwrap_or_default());
        (self.out)(&self.word);
        self.column += spaces + self.word.len();
        self.spaces = 0;
        self.word.clear();
    }
}

/// A writer that lets only printable ASCII and line ends through: LF becomes CRLF, everything else `\xNN`. The last
/// gate before the terminal; text that was escaped before passes unchanged.
pub struct Printable<F>(pub F);

impl<F: FnMut(&[u8])> fmt::Write for Printable<F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut rest = text.as_bytes();
        loop {
            let plain = rest.iter().position(|b| !(b' '..=b'~').contains(b)).unwrap_or(rest.len());
            let (run, after) = rest.split_at(plain);
            (self.0)(run);
            match after.split_first() {
                None => return Ok(()),
                Some((b'\n', tail)) => {
                    (self.0)(b"\r\n");
                    rest = tail;
                }
                Some((byte, tail)) => {
                    (self.0)(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
                    rest = tail;
                }
            }
        }
    }
}
