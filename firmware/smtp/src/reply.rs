//! Replies: three digits, an enhanced status code, a line of text.

use alloc::{boxed::Box, string::String};
use core::fmt::Write as _;
use envelope::{EnhancedStatus, Permanence};
use limits::smtp::REPLY_TEXT_BYTES_MAX;

/// One whole reply, sent or received. A value of bounded size that can go into a queue record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// RFC 3463 status; `None` where the peer sent none.
    pub status: Option<EnhancedStatus>,
    /// The text after code and status. Lines of a multi-line reply are joined with one space; octets outside
    /// printable ASCII have become `?`. At most [`REPLY_TEXT_BYTES_MAX`] octets.
    pub text: Box<str>,
}

impl Reply {
    /// A reply with an enhanced status code. Text beyond its bound is cut off, octets outside printable ASCII
    /// become `?`, so that nothing a peer sent can end a reply line early.
    #[must_use]
    pub fn new(code: u16, status: EnhancedStatus, text: impl core::fmt::Display) -> Self {
        let mut writer = Printable(String::new());
        // The writer never fails: what does not fit is cut off.
        _ = write!(writer, "{text}");
        Self { code, status: Some(status), text: writer.0.into_boxed_str() }
    }

    /// 2yz or 3yz.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        matches!(self.code, 200..=399)
    }

    /// Whether a negative reply is worth another try.
    #[must_use]
    pub const fn permanence(&self) -> Permanence {
        if matches!(self.code, 500..=599) { Permanence::Permanent } else { Permanence::Transient }
    }
}

/// `450 4.2.0 text`, as logs and queue listings show it.
impl core::fmt::Display for Reply {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(status) = self.status {
            write!(f, " {status}")?;
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, " {}", self.text) }
    }
}

/// Collects text, keeps printable ASCII, drops what does not fit.
#[derive(Debug)]
pub(crate) struct Printable(pub(crate) String);

impl core::fmt::Write for Printable {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for c in text.chars() {
            if self.0.len() == REPLY_TEXT_BYTES_MAX {
                break;
            }
            self.0.push(if matches!(c, ' '..='~') { c } else { '?' });
        }
        Ok(())
    }
}
