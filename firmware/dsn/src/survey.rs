//! How much of a message a report can give back, and in what form.

use limits::dsn::{RETURNED_HEADER_BYTES_MAX, RETURNED_MESSAGE_BYTES_MAX};
use limits::mime::SAFE_LINE_BYTES_MAX;

/// Looks at a stored message before it is returned: reads it in pieces of any size, in constant memory.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    octets: u32,
    /// Octets up to the end of the last line that fits a returned header.
    header_fitting: u32,
    header_ended: bool,
    header_cut: bool,
    header: Form,
    body: Form,
    line: usize,
    line_is_empty: bool,
    after_cr: bool,
    started: bool,
    utf8: Utf8,
}

/// What a stretch of octets is like.
#[derive(Clone, Copy, Debug, Default)]
struct Form {
    eight_bit: bool,
    /// A line over 998 octets.
    long: bool,
    /// NUL, or CR or LF alone.
    foul: bool,
}

impl Survey {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next octets of the message: CRLF line ends, not dot-stuffed.
    pub fn push(&mut self, octets: &[u8]) {
        for octet in octets {
            if self.header_ended {
                self.body_octet(*octet);
            } else {
                self.header_octet(*octet);
            }
            self.octets = self.octets.saturating_add(1);
        }
    }

    /// Whether more of the message can change the answer of [`Self::headers`].
    #[must_use]
    pub const fn header_is_complete(&self) -> bool {
        self.header_ended
    }

    fn header_octet(&mut self, octet: u8) {
        if !self.started {
            (self.started, self.line_is_empty) = (true, true);
        }
        let within = self.octets < RETURNED_HEADER_BYTES_MAX;
        let line_ends = self.after_cr && octet == b'\n';
        if line_ends && self.line_is_empty {
            self.header_ended = true;
            (self.line, self.after_cr) = (0, false);
            return;
        }
        if line_ends {
            if within {
                self.header_fitting = self.octets + 1;
            }
            self.line_is_empty = true;
        } else if octet != b'\r' {
            self.line_is_empty = false;
        }
        self.header_cut |= !within && octet != b'\r';
        if within {
            self.utf8.push(octet);
            look(&mut self.header, &mut self.line, &mut self.after_cr, octet);
        } else {
            look(&mut self.body, &mut self.line, &mut self.after_cr, octet);
        }
    }

    fn body_octet(&mut self, octet: u8) {
        look(&mut self.body, &mut self.line, &mut self.after_cr, octet);
    }

    /// The whole message, if it may be returned whole: not too large, and without anything that a `message/rfc822`
    /// part must not hold, because no encoding can help it (RFC 2046 §5.2.1). `international`: see
    /// [`crate::Report::international`].
    ///
    /// # Errors
    /// Why only the header can be returned.
    pub fn message(&self, international: bool) -> Result<Returned, Omitted> {
        if self.octets > RETURNED_MESSAGE_BYTES_MAX {
            return Err(Omitted::TooLarge);
        }
        if self.header.long || self.body.long || self.header.foul || self.body.foul || self.after_cr {
            return Err(Omitted::Unfit);
        }
        Ok(Returned {
            octets: self.octets,
            what: What::Message {
                eight_bit: self.header.eight_bit || self.body.eight_bit,
                global: international && self.header.eight_bit && self.utf8.is_valid(),
            },
            omitted: None,
        })
    }

    /// The header. `omitted` says why it is not the message, where that was wanted.
    #[must_use]
    pub fn headers(&self, international: bool, omitted: Option<Omitted>) -> Returned {
        let whole = !self.header_cut;
        // The header ends before the empty line, and without one at the end of the message.
        let octets = match (whole, self.header_ended) {
            (false, _) if self.header_fitting == 0 => RETURNED_HEADER_BYTES_MAX,
            (true, false) => self.octets,
            _ => self.header_fitting,
        };
        let Form { eight_bit, long, foul } = self.header;
        let plain = !long && !foul && !self.after_cr;
        let what = match eight_bit {
            _ if !plain => What::Quoted,
            true if international && self.utf8.is_valid() => What::Global,
            true => What::Quoted,
            false => What::Plain,
        };
        Returned { octets, what, omitted }
    }
}

/// Notes what one octet tells.
fn look(form: &mut Form, line: &mut usize, after_cr: &mut bool, octet: u8) {
    match octet {
        b'\n' if *after_cr => *line = 0,
        b'\n' | 0 => form.foul = true,
        _ if *after_cr => form.foul = true,
        _ => {}
    }
    if octet >= 0x80 {
        form.eight_bit = true;
    }
    if !matches!(octet, b'\r' | b'\n') {
        *line += 1;
        form.long |= *line > SAFE_LINE_BYTES_MAX;
    }
    *after_cr = octet == b'\r';
}

/// Checks UTF-8 octet by octet.
#[derive(Clone, Debug, Default)]
struct Utf8 {
    character: [u8; 4],
    length: usize,
    broken: bool,
}

impl Utf8 {
    fn push(&mut self, octet: u8) {
        if self.length == 0 && octet.is_ascii() || self.broken {
            return;
        }
        if let Some(place) = self.character.get_mut(self.length) {
            *place = octet;
            self.length += 1;
        }
        match core::str::from_utf8(self.character.get(..self.length).unwrap_or_default()) {
            Ok(_) => self.length = 0,
            Err(error) => self.broken = error.error_len().is_some(),
        }
    }

    const fn is_valid(&self) -> bool {
        !self.broken && self.length == 0
    }
}

/// Why a message is not returned whole although its sender wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Omitted {
    /// It is larger than `limits::dsn::RETURNED_MESSAGE_BYTES_MAX`.
    TooLarge,
    /// It has lines over 998 octets, which must not be inside another message as they are and must not be encoded.
    Unfit,
}

/// What a report gives back of the message, as [`Survey`] found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Returned {
    /// Octets from the start of the message.
    pub(crate) octets: u32,
    pub(crate) what: What,
    pub(crate) omitted: Option<Omitted>,
}

impl Returned {
    /// Octets of the message, from its start, that the report takes.
    #[must_use]
    pub const fn octets(&self) -> u32 {
        self.octets
    }

    /// Whether the returned part has octets above 127.
    #[must_use]
    pub const fn is_eight_bit(&self) -> bool {
        matches!(self.what, What::Message { eight_bit: true, .. } | What::Global)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// `message/rfc822`, or `message/global`.
    Message { eight_bit: bool, global: bool },
    /// `text/rfc822-headers`, in 7-bit lines.
    Plain,
    /// `text/rfc822-headers` in quoted-printable (RFC 6522 §4).
    Quoted,
    /// `message/global-headers`.
    Global,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn survey(message: &[u8]) -> Survey {
        let mut survey = Survey::new();
        survey.push(message);
        let mut pieces = Survey::new();
        for octet in message.chunks(1) {
            pieces.push(octet);
        }
        assert_eq!(survey.headers(true, None), pieces.headers(true, None));
        assert_eq!(survey.message(true), pieces.message(true));
        survey
    }

    #[test]
    fn a_header_ends_before_the_empty_line_or_with_the_message() {
        for (message, octets) in
            [("A: b\r\nC: d\r\n\r\nbody\r\n", 12), ("A: b\r\n", 6), ("A: b", 4), ("\r\nbody\r\n", 0), ("", 0)]
        {
            let returned = survey(message.as_bytes()).headers(false, None);
            assert_eq!((returned.octets, returned.what), (octets, What::Plain), "{message:?}");
        }
    }

    #[test]
    fn what_seven_bit_lines_cannot_carry_is_quoted() {
        let long = [b"A: ".as_slice(), &[b'x'; 996], b"\r\n\r\n"].concat();
        let fits = [b"A: ".as_slice(), &[b'x'; 995], b"\r\n\r\n"].concat();
        for (message, international, what) in [
            ("A: \u{fc}\r\n\r\n".as_bytes(), false, What::Quoted),
            ("A: \u{fc}\r\n\r\n".as_bytes(), true, What::Global),
            (b"A: \xfc\r\n\r\n", true, What::Quoted),
            (b"A: \xc3", true, What::Quoted),
            (b"A: \xc0\x80\r\n", true, What::Quoted),
            (b"A: \0\r\n\r\n", true, What::Quoted),
            (b"A: b\nC: d\r\n\r\n", true, What::Quoted),
            (b"A: b\rC: d\r\n\r\n", true, What::Quoted),
            (&long, true, What::Quoted),
            (&fits, true, What::Plain),
            (b"A: b\r\n\r\n\xfc\0\n", true, What::Plain),
        ] {
            assert_eq!(survey(message).headers(international, None).what, what, "{message:?}");
        }
    }

    #[test]
    fn a_message_is_returned_whole_if_it_can_stand_inside_another() {
        let plain = survey(b"A: b\r\n\r\nbody\r\n").message(false).expect("fit");
        assert_eq!(plain.what, What::Message { eight_bit: false, global: false });
        let body = survey(b"A: b\r\n\r\nb\xf6dy\r\n").message(true).expect("fit");
        assert_eq!(body.what, What::Message { eight_bit: true, global: false });
        let header = survey("A: \u{f6}\r\n\r\nbody\r\n".as_bytes());
        let global = header.message(true).expect("fit");
        assert_eq!(global.what, What::Message { eight_bit: true, global: true });
        let not_global = header.message(false).expect("fit");
        assert_eq!(not_global.what, What::Message { eight_bit: true, global: false });
        let long = [b"A: b\r\n\r\n".as_slice(), &[b'x'; 999], b"\r\n"].concat();
        assert_eq!(survey(&long).message(false), Err(Omitted::Unfit));
        assert_eq!(survey(b"A: b\r\n\r\nx\ny\r\n").message(false), Err(Omitted::Unfit));
        let mut large = Survey::new();
        large.push(b"A: b\r\n\r\n");
        for _ in 0..=RETURNED_MESSAGE_BYTES_MAX / 64 {
            large.push(&[b'x', b'\r', b'\n', b'\r', b'\n'].repeat(13));
        }
        assert_eq!(large.message(false), Err(Omitted::TooLarge));
        assert_eq!(large.headers(false, Some(Omitted::TooLarge)).octets, 6);
    }

    #[test]
    fn a_header_that_is_too_long_is_cut_at_the_end_of_a_line() {
        let line = [b"A: ".as_slice(), &[b'x'; 95], b"\r\n"].concat();
        let mut message: Vec<u8> = line.repeat(700);
        message.extend_from_slice(b"B: \xfc\r\n\r\nbody\r\n");
        let returned = survey(&message).headers(false, None);
        assert_eq!((returned.octets, returned.what), (65_500, What::Plain));
        let one_line = [b"A: ".as_slice(), &[b'x'; 70_000], b"\r\n\r\n"].concat();
        let returned = survey(&one_line).headers(false, None);
        assert_eq!((returned.octets, returned.what), (RETURNED_HEADER_BYTES_MAX, What::Quoted));
    }
}
