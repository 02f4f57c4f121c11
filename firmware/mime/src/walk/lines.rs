//! What lines of a body contain that does not survive every relay.

use limits::mime::SAFE_LINE_BYTES_MAX;
use memchr::memchr2;

/// What was found in the body of a leaf or in a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Octets.
    pub octets: u32,
    /// Octets above 127.
    pub eight_bit: u32,
    /// A line is longer than [`SAFE_LINE_BYTES_MAX`](limits::mime::SAFE_LINE_BYTES_MAX).
    pub long_line: bool,
    /// A line ends in a space or tab, which some relays remove.
    pub trailing_space: bool,
    /// A line begins with `From `, which some mail stores change.
    pub from_line: bool,
    /// A LF stands without a CR.
    pub bare_line_end: bool,
    /// A CR stands without a LF. Only looked for by a walker of chunks.
    pub bare_cr: bool,
    /// There is a NUL. Only looked for by a walker of chunks.
    pub nul: bool,
    /// A line begins like a delimiter of an open multipart but goes on: RFC 2046 would let it pass as one.
    pub near_delimiter: bool,
    /// The first line that is not empty opens an OpenPGP message or signed message.
    pub pgp_armor: bool,
}

impl Findings {
    /// It does not survive every relay as it is.
    #[must_use]
    pub fn is_unsafe(&self) -> bool {
        self.eight_bit > 0 || self.long_line || self.trailing_space || self.from_line
    }

    /// It holds octets that cannot go by DATA: a lone CR or LF, or a NUL (RFC 5321 §2.3.8).
    #[must_use]
    pub fn is_odd(&self) -> bool {
        self.bare_line_end || self.bare_cr || self.nul
    }
}

/// Measures lines, in pieces.
#[derive(Debug)]
pub(super) struct LineMeter {
    findings: Findings,
    /// Octets of the line so far, without LF.
    line_octets: usize,
    /// The last two octets of the line so far.
    tail: [u8; 2],
    only_empty_lines: bool,
    /// The last octet that was looked at for lone CRs was a CR.
    cr: bool,
}

impl LineMeter {
    pub fn new() -> Self {
        Self {
            findings: Findings::default(),
            line_octets: 0,
            tail: [0; 2],
            only_empty_lines: true,
            cr: false,
        }
    }

    pub fn at_line_start(&self) -> bool {
        self.line_octets == 0
    }

    /// A piece of a line, without LF.
    pub fn piece(&mut self, piece: &[u8]) {
        self.tail = match piece {
            [.., a, b] => [*a, *b],
            [b] => [self.tail[1], *b],
            [] => return,
        };
        self.line_octets = self.line_octets.saturating_add(piece.len());
    }

    /// The last piece of a line, without its LF.
    #[inline]
    pub fn line_end(&mut self, piece: &[u8]) {
        let [before, last] = match piece {
            [.., a, b] => [*a, *b],
            [b] => [self.tail[1], *b],
            [] => self.tail,
        };
        // A lone CR before the LF leaves the octet of an earlier line in no place: the tail is cleared below.
        let octets = self.line_octets.saturating_add(piece.len());
        if last == b'\r' {
            self.close_line(octets.saturating_sub(1), before);
        } else {
            self.findings.bare_line_end = true;
            self.close_line(octets, last);
        }
    }

    #[inline]
    fn close_line(&mut self, text_octets: usize, last: u8) {
        if text_octets > 0 {
            self.only_empty_lines = false;
            if text_octets > SAFE_LINE_BYTES_MAX {
                self.findings.long_line = true;
            }
            if last == b' ' || last == b'\t' {
                self.findings.trailing_space = true;
            }
        }
        self.line_octets = 0;
        self.tail = [0; 2];
    }

    /// Counts octets, wherever lines begin and end in them.
    pub fn octets(&mut self, octets: &[u8]) {
        self.findings.octets =
            self.findings.octets.saturating_add(u32::try_from(octets.len()).unwrap_or(u32::MAX));
        if !octets.is_ascii() {
            let high = octets.iter().filter(|c| !c.is_ascii()).count();
            self.findings.eight_bit =
                self.findings.eight_bit.saturating_add(u32::try_from(high).unwrap_or(u32::MAX));
        }
    }

    /// Looks for lone CRs and NULs, wherever lines begin and end.
    pub fn look_for_odd(&mut self, octets: &[u8]) {
        let mut rest = octets;
        loop {
            if core::mem::take(&mut self.cr) && !rest.is_empty() && rest.first() != Some(&b'\n') {
                self.findings.bare_cr = true;
            }
            let Some(at) = memchr2(b'\r', 0, rest) else { return };
            match rest.get(at) {
                Some(b'\r') => self.cr = true,
                _ => self.findings.nul = true,
            }
            rest = rest.get(at + 1..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
        }
    }

    /// A line begins with `From `.
    pub fn saw_from_space(&mut self) {
        self.findings.from_line = true;
    }

    /// A line begins with a boundary and goes on.
    pub fn near_delimiter(&mut self) {
        self.findings.near_delimiter = true;
    }

    /// A line begins with two dashes.
    pub fn dashes(&mut self, line: &[u8]) {
        if self.only_empty_lines
            && (line.starts_with(b"-----BEGIN PGP MESSAGE-----")
                || line.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----"))
        {
            self.findings.pgp_armor = true;
        }
    }

    /// The body is complete; its last line may have no line end.
    pub fn finish(&mut self) -> Findings {
        if self.line_octets > 0 {
            let [before, last] = self.tail;
            if last == b'\r' {
                self.close_line(self.line_octets - 1, before);
            } else {
                self.close_line(self.line_octets, last);
            }
        }
        self.findings.bare_cr |= core::mem::take(&mut self.cr);
        self.findings
    }
}
