//! Lines that were entered.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use limits::console::{HISTORY_BYTES_MAX, HISTORY_COUNT_MAX};

/// The last lines, oldest first, and where the cursor keys are among them.
#[derive(Debug, Default)]
pub struct History {
    lines: VecDeque<String>,
    /// Lines back from the newest; 0 is the line being typed.
    back: usize,
    /// The line being typed, while an older one is shown.
    draft: String,
}

impl History {
    /// Remembers `line`, unless it is empty or the newest one again, and goes back to the line being typed.
    pub fn remember(&mut self, line: &str) {
        self.back = 0;
        self.draft.clear();
        if line.is_empty() || self.lines.back().is_some_and(|newest| newest == line) {
            return;
        }
        self.lines.push_back(line.to_string());
        while self.lines.len() > HISTORY_COUNT_MAX
            || self.lines.iter().map(String::len).sum::<usize>() > HISTORY_BYTES_MAX
        {
            self.lines.pop_front();
        }
    }

    /// The line before the one that is shown; `shown` is kept if it is the one being typed.
    pub fn older(&mut self, shown: &str) -> Option<&str> {
        let back = self.back + 1;
        let at = self.lines.len().checked_sub(back)?;
        if self.back == 0 {
            self.draft.clear();
            self.draft.push_str(shown);
        }
        self.back = back;
        self.lines.get(at).map(String::as_str)
    }

    /// The line after the one that is shown; at the end the one that was being typed.
    pub fn newer(&mut self) -> Option<&str> {
        self.back = self.back.checked_sub(1)?;
        if self.back == 0 {
            return Some(&self.draft);
        }
        self.lines.get(self.lines.len().checked_sub(self.back)?).map(String::as_str)
    }
}
