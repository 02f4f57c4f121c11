//! Replies on their way in (RFC 5321 §4.2.1): generous about the text, strict about the code.

use alloc::string::String;
use core::fmt::Write as _;
use envelope::EnhancedStatus;
use heapless::Vec;
use limits::smtp::{REPLY_LINE_RECEIVED_BYTES_MAX, REPLY_LINES_MAX};

use super::{Breach, Capabilities};
use crate::{Reply, reply::Printable};

/// Puts replies together from octets.
#[derive(Debug)]
pub(super) struct ReplyReader {
    line: Vec<u8, REPLY_LINE_RECEIVED_BYTES_MAX>,
    /// Lines of the present reply so far.
    lines: usize,
    code: u16,
    status: Option<EnhancedStatus>,
    text: Printable,
    /// What the lines after the first say if this is the reply to EHLO.
    offered: Capabilities,
}

/// A whole reply, and the extensions that it names if it answers EHLO.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) reply: Reply,
    pub(super) offered: Capabilities,
}

impl ReplyReader {
    pub(super) const fn new() -> Self {
        Self {
            line: Vec::new(),
            lines: 0,
            code: 0,
            status: None,
            text: Printable(String::new()),
            offered: Capabilities::NONE,
        }
    }

    /// Takes octets up to the end of one reply.
    pub(super) fn read(&mut self, input: &[u8]) -> Result<(usize, Option<Received>), Breach> {
        let mut taken = 0;
        loop {
            let rest = input.get(taken..).unwrap_or_default();
            // An LF ends a line here, with or without CR: replies carry nothing that could be smuggled, and the
            // driver would only wait in vain.
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                self.line.extend_from_slice(rest).map_err(|_| Breach::ReplyTooLong)?;
                return Ok((input.len(), None));
            };
            let part = rest.get(..end).unwrap_or_default();
            self.line.extend_from_slice(part).map_err(|_| Breach::ReplyTooLong)?;
            taken += end + 1;
            let line = core::mem::take(&mut self.line);
            if self.take_line(line.strip_suffix(b"\r").unwrap_or(&line))? {
                let text = core::mem::take(&mut self.text.0).into_boxed_str();
                let reply = Reply { code: self.code, status: self.status, text };
                let offered = core::mem::take(&mut self.offered);
                self.lines = 0;
                return Ok((taken, Some(Received { reply, offered })));
            }
        }
    }

    /// Takes one line, and says whether it was the last of its reply.
    fn take_line(&mut self, line: &[u8]) -> Result<bool, Breach> {
        let (code, rest) = line.split_first_chunk::<3>().ok_or(Breach::MalformedReply)?;
        if !matches!(code, [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']) {
            return Err(Breach::MalformedReply);
        }
        let code = code.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(Breach::MalformedReply),
        };
        if self.lines == 0 {
            self.code = code;
            self.status = None;
        } else if self.code != code {
            return Err(Breach::CodeChanged);
        }
        if self.lines == REPLY_LINES_MAX {
            return Err(Breach::ReplyTooLong);
        }
        let (status, text) = split_status(code, text);
        if self.lines == 0 {
            self.status = status;
        } else {
            self.offered.note(text);
            if !text.is_empty() {
                self.text.push(b" ");
            }
        }
        self.text.push(text);
        self.lines += 1;
        Ok(last)
    }
}

impl Printable {
    fn push(&mut self, text: &[u8]) {
        for chunk in text.utf8_chunks() {
            // Writing into this never fails.
            _ = self.write_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                _ = self.write_str("?");
            }
        }
    }
}

/// Takes an enhanced status code off the start of a text, if there is one of the class of `code` (RFC 2034 §4).
fn split_status(code: u16, text: &[u8]) -> (Option<EnhancedStatus>, &[u8]) {
    let end = text.iter().position(|b| *b == b' ').unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end).unwrap_or((text, &[]));
    let mut numbers = word.split(|b| *b == b'.').map(|digits| {
        let short = (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
        short.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
    });
    let mut next = || numbers.next().flatten();
    match (next(), next(), next(), numbers.next()) {
        (Some(class), Some(subject), Some(detail), None) if class == code / 100 => {
            // `class` is one digit, as `code` begins with it.
            (Some(EnhancedStatus(class as u8, subject, detail)), rest.strip_prefix(b" ").unwrap_or(rest))
        }
        _ => (None, text),
    }
}

impl Capabilities {
    const NONE: Self = Self {
        extended: false,
        pipelining: false,
        eight_bit_mime: false,
        dsn: false,
        size: false,
        size_max: None,
        chunking: false,
        binary_mime: false,
        smtp_utf8: false,
        recipients_max: None,
        messages_max: None,
        recipient_domains_max: None,
    };

    /// Notes the extension that one line of the reply to EHLO names.
    fn note(&mut self, line: &[u8]) {
        let mut words = line.split(|b| *b == b' ').filter(|w| !w.is_empty());
        let Some(keyword) = words.next() else { return };
        let is = |name: &[u8]| keyword.eq_ignore_ascii_case(name);
        if is(b"PIPELINING") {
            self.pipelining = true;
        } else if is(b"8BITMIME") {
            self.eight_bit_mime = true;
        } else if is(b"DSN") {
            self.dsn = true;
        } else if is(b"CHUNKING") {
            self.chunking = true;
        } else if is(b"BINARYMIME") {
            self.binary_mime = true;
        } else if is(b"SMTPUTF8") {
            self.smtp_utf8 = true;
        } else if is(b"LIMITS") {
            words.for_each(|limit| self.note_limit(limit));
        } else if is(b"SIZE") {
            self.size = true;
            // RFC 1870 §4: 0 means that there is no fixed maximum.
            let number = words.next().and_then(|w| core::str::from_utf8(w).ok());
            self.size_max = number.and_then(|n| n.parse().ok()).filter(|n| *n > 0);
        }
    }

    /// Notes one `name=number` of LIMITS (RFC 9422 §3). Names that are not known and numbers that are none, or 0, mean
    /// nothing.
    fn note_limit(&mut self, limit: &[u8]) {
        let Some(equals) = limit.iter().position(|b| *b == b'=') else { return };
        let (name, value) = limit.split_at(equals);
        let number = core::str::from_utf8(value.get(1..).unwrap_or_default()).ok();
        let number = number.and_then(|n| n.parse::<u32>().ok()).filter(|n| *n > 0);
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"RCPTMAX") {
            self.recipients_max = number;
        } else if is(b"MAILMAX") {
            self.messages_max = number;
        } else if is(b"RCPTDOMAINMAX") {
            self.recipient_domains_max = number;
        }
    }
}
