//! Content on its way out: dots are stuffed, and nothing that is no line leaves (RFC 5321 §4.5.2, §2.3.8).

use super::{ContentError, Piece};
use crate::scan::find_control;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// CR LF, or nothing yet.
    LineStart,
    /// The stuffed dot; the author's own is next.
    Stuffed,
    InLine,
    Cr,
}

/// Stuffs dots into one message without copying it.
#[derive(Debug)]
pub(super) struct Stuffer(Place);

impl Stuffer {
    pub(super) const fn new() -> Self {
        Self(Place::LineStart)
    }

    /// Whether the content could end here.
    pub(super) const fn is_at_line_start(&self) -> bool {
        matches!(self.0, Place::LineStart)
    }

    /// The next piece to send.
    pub(super) fn next<'c>(&mut self, content: &'c [u8]) -> Result<Piece<'c>, ContentError> {
        let mut at = 0;
        while let Some(&octet) = content.get(at) {
            match (self.0, octet) {
                (Place::LineStart, b'.') => {
                    if at > 0 {
                        break;
                    }
                    self.0 = Place::Stuffed;
                    return Ok(Piece { send: b".", taken: 0 });
                }
                (Place::Cr, b'\n') => {
                    self.0 = Place::LineStart;
                    at += 1;
                }
                (Place::Cr, _) => return Err(ContentError::BareCr),
                (_, b'\r') => {
                    self.0 = Place::Cr;
                    at += 1;
                }
                (_, b'\n') => return Err(ContentError::BareLf),
                (_, 0) => return Err(ContentError::Nul),
                (_, _) => {
                    self.0 = Place::InLine;
                    let rest = content.get(at..).unwrap_or_default();
                    at += find_control(rest).unwrap_or(rest.len());
                }
            }
        }
        Ok(Piece { send: content.get(..at).unwrap_or_default(), taken: at })
    }
}
