//! One line of input and how it looks. The line is shown in one row of the screen: when it is longer than the row, the
//! row is a window that moves with the cursor. Nothing is ever asked of the terminal, and a redraw never starts a row.

use crate::output::Output;
use alloc::string::String;
use limits::console::{COLUMNS, LINE_BYTES_MAX, LINE_CHARS_MAX};

/// The line being edited.
#[derive(Debug, Default)]
pub struct Editor {
    text: String,
    /// Where the next character goes, in octets.
    cursor: usize,
    /// First character of the window.
    left: usize,
    /// More was typed than a line holds: the line must not be used.
    overflowed: bool,
    /// The screen does not show the line as it is.
    dirty: bool,
}

impl Editor {
    /// The line so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The part of the line before the cursor.
    pub fn before_cursor(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    /// Whether the cursor stands at the end.
    pub fn at_end(&self) -> bool {
        self.cursor == self.text.len()
    }

    /// Whether more was typed than a line holds.
    pub const fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Takes the line and begins a new one.
    pub fn take(&mut self) -> String {
        let text = core::mem::take(&mut self.text);
        *self = Self::default();
        text
    }

    /// Puts another line in place of this one, cursor at its end.
    pub fn replace(&mut self, text: &str) {
        self.text.clear();
        self.text.push_str(text);
        self.cursor = self.text.len();
        self.overflowed = false;
        self.dirty = true;
    }

    /// The screen has to be drawn anew.
    pub const fn touch(&mut self) {
        self.dirty = true;
    }

    /// Inserts `c` at the cursor. At the end of a short line it is echoed at once; else the line is drawn later.
    pub fn insert(&mut self, c: char, prompt: &str, out: &mut Output) {
        if self.text.len() + c.len_utf8() > LINE_BYTES_MAX || self.text.chars().count() >= LINE_CHARS_MAX {
            self.overflowed = true;
            out.raw(b"\x07");
            return;
        }
        let echo = self.at_end() && !self.dirty;
        self.text.insert(self.cursor, c);
        self.cursor += c.len_utf8();
        if echo && self.left == 0 && self.text.len() < room(prompt) {
            out.raw(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            self.dirty = true;
        }
    }

    /// Inserts text at the cursor, as completion does.
    pub fn insert_text(&mut self, text: &str, prompt: &str, out: &mut Output) {
        for c in text.chars() {
            self.insert(c, prompt, out);
        }
    }

    fn previous(&self) -> Option<usize> {
        self.before_cursor().char_indices().next_back().map(|(at, _)| at)
    }

    fn next(&self) -> Option<usize> {
        self.text.get(self.cursor..)?.chars().next().map(|c| self.cursor + c.len_utf8())
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.text.replace_range(from..to, "");
        self.cursor = from;
        // The end of what was typed is still missing after an overflow: only an empty line is whole again.
        self.overflowed &= !self.text.is_empty();
        self.dirty = true;
    }

    pub fn backspace(&mut self) {
        if let Some(at) = self.previous() {
            self.remove(at, self.cursor);
        }
    }

    pub fn delete(&mut self) {
        if let Some(at) = self.next() {
            self.remove(self.cursor, at);
        }
    }

    pub fn kill_before(&mut self) {
        self.remove(0, self.cursor);
    }

    pub fn kill_after(&mut self) {
        self.remove(self.cursor, self.text.len());
    }

    pub fn kill_word(&mut self) {
        let trimmed = self.before_cursor().trim_end();
        let start = trimmed.rfind(' ').map_or(0, |space| space + 1);
        self.remove(start, self.cursor);
    }

    pub fn left(&mut self) {
        self.move_to(self.previous());
    }

    pub fn right(&mut self) {
        self.move_to(self.next());
    }

    pub fn home(&mut self) {
        self.move_to(Some(0));
    }

    pub fn end(&mut self) {
        self.move_to(Some(self.text.len()));
    }

    fn move_to(&mut self, to: Option<usize>) {
        if let Some(to) = to {
            self.cursor = to;
            self.dirty = true;
        }
    }

    /// Draws the row if the screen does not show it as it is.
    pub fn draw(&mut self, prompt: &str, out: &mut Output) {
        if !core::mem::replace(&mut self.dirty, false) {
            return;
        }
        let room = room(prompt);
        let at = self.before_cursor().chars().count();
        // The window moves by a third of its width, so that it does not move at every key.
        if at < self.left || at - self.left >= room {
            self.left = if at < room { 0 } else { at - room * 2 / 3 };
        }
        out.raw(b"\r");
        out.raw(prompt.as_bytes());
        let mut encoded = [0; 4];
        let mut shown = 0;
        for c in self.text.chars().skip(self.left).take(room) {
            out.raw(c.encode_utf8(&mut encoded).as_bytes());
            shown += 1;
        }
        out.raw(b"\x1b[K");
        // CSI n D moves left; n is below the width of the row.
        let back = shown - (at - self.left).min(shown);
        if back > 0 {
            out.raw(b"\x1b[");
            out.text(back);
            out.raw(b"D");
        }
    }
}

/// Characters of the line that fit the row. The last column stays free: some terminals go to the next row when it is
/// used, some do not.
fn room(prompt: &str) -> usize {
    COLUMNS.saturating_sub(1 + prompt.len()).max(8)
}
