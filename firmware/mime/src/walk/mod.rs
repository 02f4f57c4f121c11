//! The walker: a message in pieces of any size, told to a [`Visitor`] in order.

mod header;
mod lines;

use crate::content::{Encoding, Kind};
use alloc::boxed::Box;
use alloc::vec::Vec;
use header::HeaderReader;
use limits::mime::{BOUNDARY_BYTES_MAX, BOUNDARY_PADDING_BYTES_MAX, NESTING_COUNT_MAX};
pub use lines::Findings;
use lines::LineMeter;
use memchr::memchr;

/// Octets of a line that have to be seen before it is known whether it is a delimiter: `--`, boundary, `--`, padding, CRLF.
const LINE_START_BYTES_MAX: usize = 2 + BOUNDARY_BYTES_MAX + 2 + BOUNDARY_PADDING_BYTES_MAX + 2;
const FROM_SPACE: &[u8; 5] = b"From ";

/// Header fields that somebody here asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// `From`.
    From,
    /// `Date`.
    Date,
    /// `Message-ID`.
    MessageId,
    /// `Received`.
    Received,
    /// `MIME-Version`.
    MimeVersion,
    /// `Content-Type`.
    ContentType,
    /// `Content-Transfer-Encoding`.
    ContentTransferEncoding,
    /// Any other field whose name begins with `Content-`.
    OtherContent,
    /// Any other field.
    Other,
    /// A line that is no field and continues none.
    Junk,
}

impl Field {
    /// The field describes the body (RFC 2045 §9).
    #[must_use]
    pub fn is_content(self) -> bool {
        matches!(self, Self::ContentType | Self::ContentTransferEncoding | Self::OtherContent)
    }
}

/// An entity whose header has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entity {
    /// 0 is the message itself; counted in the order of headers.
    pub index: u32,
    /// What its body is.
    pub kind: Kind,
    /// Its transfer encoding.
    pub encoding: Encoding,
    /// It has a Content-Type field.
    pub has_type: bool,
    /// It has a Content-Transfer-Encoding field.
    pub has_encoding: bool,
    /// Readers may disagree about it: fields that occur once occur twice, junk between fields, a field that is too long.
    pub ambiguous: bool,
    /// A line of its header is no field.
    pub malformed: bool,
}

/// Hears what a message consists of. Written down in the order of the calls, the octets are the message.
pub trait Visitor {
    /// Whether the walker is to measure bodies for [`Findings`]; costs about one instruction per octet.
    const MEASURE: bool;

    /// A piece of a header field of entity `index`, or of a junk line, with line ends.
    fn header(&mut self, index: u32, field: Field, piece: &[u8]);
    /// The value of a field of the message itself (entity 0) is complete: all after the colon. Called for
    /// [`Field::From`] only; `None` if it was longer than [`FIELD_BYTES_MAX`](limits::mime::FIELD_BYTES_MAX).
    fn author_field(&mut self, _value: Option<&[u8]>) {}
    /// The header is complete. `empty_line` (a CRLF, or nothing if the entity ended without one) has not been told yet.
    fn header_end(&mut self, entity: &Entity, empty_line: &[u8]);
    /// A piece of the body of the leaf whose header ended last.
    fn body(&mut self, piece: &[u8]);
    /// A piece of a preamble or epilogue of the innermost open container.
    fn gap(&mut self, piece: &[u8]);
    /// The leaf is complete.
    fn leaf_end(&mut self, entity: &Entity, findings: &Findings);
    /// The preamble or epilogue is complete.
    fn gap_end(&mut self, findings: &Findings);
    /// The innermost open container is complete.
    fn container_end(&mut self);
    /// A delimiter of the innermost open container: the CRLF (or lone LF) before it, if there is one, the boundary line, its CRLF.
    fn delimiter(&mut self, octets: &[u8]);
}

/// An open container.
#[derive(Debug)]
struct Level {
    /// `None` for an attached message.
    boundary: Option<Box<[u8]>>,
    digest: bool,
    /// The closing delimiter has been seen; what follows is epilogue.
    closed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Header,
    Leaf,
    Gap,
    /// The body of the message, not looked at.
    Raw,
    /// All has been told.
    End,
}

/// A line end at the end of a piece that may belong to a delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Nothing,
    Cr,
    /// A LF without CR.
    Lf,
    CrLf,
}

/// Walks a message.
#[derive(Debug)]
pub struct Walker {
    levels: Vec<Level>,
    place: Place,
    header: HeaderReader,
    entity: Entity,
    entities: u32,
    body_raw: bool,
    /// Content may hold anything: lone CRs and NULs are looked for.
    chunks: bool,
    meter: LineMeter,
    /// The start of a line that is not decided yet; only at a line start.
    start: Vec<u8>,
    held: Held,
}

struct Delimiter {
    level: usize,
    close: bool,
}

impl Default for Walker {
    fn default() -> Self {
        Self::new()
    }
}

impl Walker {
    /// A walker at the first octet of a message.
    #[must_use]
    pub fn new() -> Self {
        Self {
            levels: Vec::new(),
            place: Place::Header,
            header: HeaderReader::new(0, false),
            entity: Entity {
                index: 0,
                kind: Kind::Text,
                encoding: Encoding::SevenBit,
                has_type: false,
                has_encoding: false,
                ambiguous: false,
                malformed: false,
            },
            entities: 1,
            body_raw: false,
            chunks: false,
            meter: LineMeter::new(),
            start: Vec::new(),
            held: Held::Nothing,
        }
    }

    /// A walker of content that came in chunks (RFC 3030) and may hold any octets. A lone LF is a line end to it as to
    /// every walker; it also looks for lone CRs and NULs, which costs about one instruction per octet.
    #[must_use]
    pub fn of_chunks() -> Self {
        Self { chunks: true, ..Self::new() }
    }

    /// From the end of the message's header on everything is one body that is not looked at. Has no effect later.
    pub fn take_body_raw(&mut self) {
        self.body_raw = true;
    }

    /// The next octets of the message.
    pub fn push<V: Visitor>(&mut self, mut octets: &[u8], visitor: &mut V) {
        while !octets.is_empty() {
            let used = match self.place {
                Place::Header => self.header_line(octets, visitor),
                Place::Leaf | Place::Gap => self.body_lines(octets, visitor),
                Place::Raw => {
                    visitor.body(octets);
                    octets.len()
                }
                Place::End => return,
            };
            octets = octets.get(used..).unwrap_or(&[]);
        }
    }

    /// The message is complete.
    pub fn finish<V: Visitor>(&mut self, visitor: &mut V) {
        let start = core::mem::take(&mut self.start);
        match self.place {
            Place::Header if !start.is_empty() => self.header_text(&start, visitor),
            Place::Leaf | Place::Gap if !start.is_empty() => match self.match_delimiter(&start) {
                // A closing delimiter without CRLF at the very end is one.
                Some(delimiter) => self.delimiter::<V>(&delimiter, &start, visitor),
                None => self.line_piece(&start, visitor),
            },
            _ => {}
        }
        self.end_inner(visitor);
        for _ in core::mem::take(&mut self.levels) {
            visitor.container_end();
        }
        self.place = Place::End;
    }

    /// Tells that the innermost thing is complete: header, leaf or gap.
    fn end_inner<V: Visitor>(&mut self, visitor: &mut V) {
        match self.place {
            Place::Header => {
                self.end_header(b"", visitor);
                match self.place {
                    Place::Leaf => visitor.leaf_end(&self.entity, &Findings::default()),
                    Place::Gap => visitor.gap_end(&Findings::default()),
                    // An attached message without a single line has one more header that ends here.
                    Place::Header => self.end_inner_of_empty_attachment(visitor),
                    Place::Raw | Place::End => {}
                }
            }
            Place::Leaf | Place::Gap => {
                self.release(visitor);
                let findings = self.meter.finish();
                if self.place == Place::Leaf {
                    visitor.leaf_end(&self.entity, &findings);
                } else {
                    visitor.gap_end(&findings);
                }
            }
            Place::Raw | Place::End => {}
        }
    }

    fn end_inner_of_empty_attachment<V: Visitor>(&mut self, visitor: &mut V) {
        // The inner message has no field, so it is a text: this cannot nest.
        self.end_header(b"", visitor);
        if self.place == Place::Leaf {
            visitor.leaf_end(&self.entity, &Findings::default());
        }
    }

    // --- header

    fn header_line<V: Visitor>(&mut self, octets: &[u8], visitor: &mut V) -> usize {
        if self.header.inside_line() {
            let end = memchr(b'\n', octets).map_or(octets.len(), |n| n + 1);
            let (piece, _) = octets.split_at(end);
            self.header.rest_of_line(piece, visitor);
            return end;
        }
        // A line start: usually the whole line is there.
        if self.start.is_empty() {
            let window = octets.get(..LINE_START_BYTES_MAX).unwrap_or(octets);
            let end = memchr(b'\n', window).map_or(window.len(), |n| n + 1);
            let (line, _) = window.split_at(end);
            if line.ends_with(b"\n") || line.len() == LINE_START_BYTES_MAX {
                self.header_text(line, visitor);
            } else {
                self.start.extend_from_slice(line);
            }
            return end;
        }
        let room = LINE_START_BYTES_MAX - self.start.len().min(LINE_START_BYTES_MAX - 1);
        let window = octets.get(..room).unwrap_or(octets);
        let end = memchr(b'\n', window).map_or(window.len(), |n| n + 1);
        self.start.extend_from_slice(window.get(..end).unwrap_or(window));
        if self.start.ends_with(b"\n") || self.start.len() >= LINE_START_BYTES_MAX {
            let mut start = core::mem::take(&mut self.start);
            self.header_text(&start, visitor);
            start.clear();
            self.start = start;
        }
        end
    }

    /// A line of a header, whole or its first [`LINE_START_BYTES_MAX`] octets.
    fn header_text<V: Visitor>(&mut self, line: &[u8], visitor: &mut V) {
        if line == b"\r\n" || line == b"\n" {
            self.end_header(line, visitor);
            return;
        }
        if line.starts_with(b"--")
            && let Some(delimiter) = self.match_delimiter(line)
        {
            self.delimiter(&delimiter, line, visitor);
            return;
        }
        self.header.start_of_line(line, visitor);
    }

    fn end_header<V: Visitor>(&mut self, empty_line: &[u8], visitor: &mut V) {
        let (mut entity, media) = self.header.finish(visitor);
        let mut boundary = media.boundary;
        if entity.ambiguous {
            boundary = None;
        }
        entity.kind = self.walkable_kind(&entity, boundary.as_deref());
        self.entity = entity;
        visitor.header_end(&entity, empty_line);
        self.meter = LineMeter::new();
        self.held = Held::Nothing;
        if self.body_raw {
            self.place = Place::Raw;
            return;
        }
        self.place = match entity.kind {
            Kind::Multipart => {
                self.levels.push(Level { boundary, digest: media.digest, closed: false });
                Place::Gap
            }
            Kind::AttachedMessage => {
                self.levels.push(Level { boundary: None, digest: false, closed: false });
                self.begin_entity(false);
                Place::Header
            }
            _ => Place::Leaf,
        };
    }

    /// Containers that may not or cannot be walked become leaves.
    fn walkable_kind(&self, entity: &Entity, boundary: Option<&[u8]>) -> Kind {
        let walkable =
            self.levels.len() < NESTING_COUNT_MAX && !entity.ambiguous && entity.encoding.is_identity();
        match entity.kind {
            // RFC 2045 §6.4 forbids other encodings of containers, and readers disagree when they meet one.
            Kind::Multipart if !walkable || boundary.is_none_or(|b| self.collides(b)) => {
                Kind::OpaqueMultipart
            }
            Kind::AttachedMessage if !walkable => Kind::OtherMessage,
            kind => kind,
        }
    }

    /// The boundary, or its closing form, is that of an open multipart.
    fn collides(&self, boundary: &[u8]) -> bool {
        self.levels.iter().filter_map(|level| level.boundary.as_deref()).any(|open| {
            let (short, long) = if open.len() < boundary.len() { (open, boundary) } else { (boundary, open) };
            long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest == b"--")
        })
    }

    fn begin_entity(&mut self, in_digest: bool) {
        self.header = HeaderReader::new(self.entities, in_digest);
        self.entities = self.entities.saturating_add(1);
        self.place = Place::Header;
    }

    // --- bodies

    fn body_lines<V: Visitor>(&mut self, octets: &[u8], visitor: &mut V) -> usize {
        if !self.start.is_empty() {
            return self.resume_line_start(octets, visitor);
        }
        let mut position = 0;
        while let Some(rest) = octets.get(position..).filter(|rest| !rest.is_empty()) {
            if self.meter.at_line_start() {
                let wanted = match rest.first() {
                    Some(b'-') => LINE_START_BYTES_MAX,
                    Some(b'F') => FROM_SPACE.len(),
                    _ => 0,
                };
                if wanted > 0 {
                    let window = rest.get(..wanted).unwrap_or(rest);
                    let line = memchr(b'\n', window).and_then(|n| window.get(..=n)).unwrap_or(window);
                    if !line.ends_with(b"\n") && line.len() < wanted {
                        // Not decidable yet.
                        self.told::<V>(octets.get(..position).unwrap_or(&[]), visitor);
                        self.start.extend_from_slice(line);
                        return octets.len();
                    }
                    if let Some(delimiter) = self.look_at_start(line) {
                        self.told::<V>(octets.get(..position).unwrap_or(&[]), visitor);
                        self.delimiter(&delimiter, line, visitor);
                        return position + line.len();
                    }
                }
            }
            match memchr(b'\n', rest) {
                Some(n) => {
                    self.meter.line_end(rest.get(..n).unwrap_or(rest));
                    position += n + 1;
                }
                None => {
                    self.meter.piece(rest);
                    break;
                }
            }
        }
        self.told::<V>(octets, visitor);
        octets.len()
    }

    fn resume_line_start<V: Visitor>(&mut self, octets: &[u8], visitor: &mut V) -> usize {
        let wanted = if self.start.first() == Some(&b'-') { LINE_START_BYTES_MAX } else { FROM_SPACE.len() };
        let room = wanted.saturating_sub(self.start.len()).max(1);
        let window = octets.get(..room).unwrap_or(octets);
        let used = memchr(b'\n', window).map_or(window.len(), |n| n + 1);
        self.start.extend_from_slice(window.get(..used).unwrap_or(window));
        if self.start.ends_with(b"\n") || self.start.len() >= wanted {
            let mut start = core::mem::take(&mut self.start);
            match self.look_at_start(&start) {
                Some(delimiter) => self.delimiter(&delimiter, &start, visitor),
                None => self.line_piece(&start, visitor),
            }
            start.clear();
            self.start = start;
        }
        used
    }

    /// Content that begins a line, measured and told.
    fn line_piece<V: Visitor>(&mut self, line: &[u8], visitor: &mut V) {
        match line.strip_suffix(b"\n") {
            Some(text) => self.meter.line_end(text),
            None => self.meter.piece(line),
        }
        self.told::<V>(line, visitor);
    }

    /// A line start that is decidable: delimiter, or content that is noted.
    fn look_at_start(&mut self, line: &[u8]) -> Option<Delimiter> {
        if line.starts_with(b"--") {
            let found = self.match_delimiter(line);
            if found.is_none() {
                self.meter.dashes(line);
            }
            return found;
        }
        if line.starts_with(FROM_SPACE) {
            self.meter.saw_from_space();
        }
        None
    }

    /// RFC 2046 §5.1.1, read as today's readers do: the line is the boundary, nothing but white space after it. The
    /// innermost multipart is asked first.
    fn match_delimiter(&mut self, line: &[u8]) -> Option<Delimiter> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let text = text.strip_prefix(b"--")?;
        let bare = text.trim_ascii_end();
        for (level, open) in self.levels.iter().enumerate().rev() {
            let Some(boundary) = open.boundary.as_deref().filter(|_| !open.closed) else { continue };
            if let Some(rest) = text.strip_prefix(boundary) {
                let padding = text.len() - bare.len();
                if padding <= BOUNDARY_PADDING_BYTES_MAX && bare == boundary {
                    return Some(Delimiter { level, close: false });
                }
                if padding <= BOUNDARY_PADDING_BYTES_MAX
                    && rest.starts_with(b"--")
                    && bare.len() == boundary.len() + 2
                {
                    return Some(Delimiter { level, close: true });
                }
                self.meter.near_delimiter();
            }
        }
        None
    }

    fn delimiter<V: Visitor>(&mut self, delimiter: &Delimiter, line: &[u8], visitor: &mut V) {
        let held = core::mem::replace(&mut self.held, Held::Nothing);
        self.end_inner(visitor);
        while self.levels.len() > delimiter.level + 1 {
            self.levels.pop();
            visitor.container_end();
        }
        match held {
            Held::Nothing => visitor.delimiter(line),
            Held::Lf => {
                let mut octets = [b'\n'; 1 + LINE_START_BYTES_MAX];
                let end = (1 + line.len()).min(octets.len());
                octets[1..end].copy_from_slice(&line[..end - 1]);
                visitor.delimiter(&octets[..end]);
            }
            Held::Cr | Held::CrLf => {
                let mut octets = [0; 2 + LINE_START_BYTES_MAX];
                octets[..2].copy_from_slice(b"\r\n");
                let end = (2 + line.len()).min(octets.len());
                octets[2..end].copy_from_slice(&line[..end - 2]);
                visitor.delimiter(&octets[..end]);
            }
        }
        let digest = match self.levels.last_mut() {
            Some(level) => {
                level.closed |= delimiter.close;
                level.digest
            }
            None => false,
        };
        if delimiter.close {
            self.meter = LineMeter::new();
            self.place = Place::Gap;
        } else {
            self.begin_entity(digest);
        }
    }

    /// Content octets that have been measured. Inside a multipart a line end at their end is held back, because the next
    /// line may be a delimiter.
    fn told<V: Visitor>(&mut self, mut octets: &[u8], visitor: &mut V) {
        if octets.is_empty() {
            return;
        }
        if V::MEASURE {
            self.meter.octets(octets);
            if self.chunks {
                self.meter.look_for_odd(octets);
            }
        }
        if self.levels.is_empty() {
            self.tell(octets, visitor);
            return;
        }
        match (self.held, octets) {
            (Held::Cr, [b'\n', rest @ ..]) => {
                self.held = Held::CrLf;
                octets = rest;
                if octets.is_empty() {
                    return;
                }
                self.release(visitor);
            }
            _ => self.release(visitor),
        }
        if let Some(rest) = octets.strip_suffix(b"\r\n") {
            self.held = Held::CrLf;
            octets = rest;
        } else if let Some(rest) = octets.strip_suffix(b"\n") {
            self.held = Held::Lf;
            octets = rest;
        } else if let Some(rest) = octets.strip_suffix(b"\r") {
            self.held = Held::Cr;
            octets = rest;
        }
        if !octets.is_empty() {
            self.tell(octets, visitor);
        }
    }

    fn release<V: Visitor>(&mut self, visitor: &mut V) {
        match core::mem::replace(&mut self.held, Held::Nothing) {
            Held::Nothing => {}
            Held::Cr => self.tell(b"\r", visitor),
            Held::Lf => self.tell(b"\n", visitor),
            Held::CrLf => self.tell(b"\r\n", visitor),
        }
    }

    fn tell<V: Visitor>(&self, octets: &[u8], visitor: &mut V) {
        if self.place == Place::Gap { visitor.gap(octets) } else { visitor.body(octets) }
    }
}

#[cfg(test)]
mod tests;
