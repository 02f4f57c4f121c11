//! What is learnt about a message while it arrives, and what it takes to sign it.
//!
//! # Which bodies are re-encoded
//!
//! RFC 8551 §3.1.3 asks for content that is 7-bit. Some octets are 7-bit and still do not survive every relay, so a leaf is
//! *unsafe* if it has octets above 127, a line over 998 octets, a line that ends in white space, or one that begins with
//! `From `. Lines of 77 to 998 octets are safe: RFC 5322 §2.1.1 allows them and no relay in use wraps them.
//!
//! | leaf | transfer encoding | unsafe body becomes |
//! |---|---|---|
//! | `text/*` | 7bit, 8bit, binary, none | quoted-printable; base64 if more than a third of it is above 127 |
//! | other | 7bit, 8bit, binary, none | base64 |
//! | any | quoted-printable | quoted-printable that says the same: white space at line ends, which means nothing, goes |
//! | any | base64 | base64 without white space, in lines of 76; as it is if it holds octets above 127 |
//! | any | unknown | as it is |
//! | `message/*` other than an attached message, opaque multipart, ambiguous header | any | as it is |
//! | protected (S/MIME, OpenPGP) | any | as it is |
//!
//! A safe leaf that is labelled 8bit or binary is relabelled 7bit, and so is a container whose leaves have all become
//! 7-bit: relays convert by label. Where a body stays as it is with octets above 127, the message is still
//! signed and [`Facts::eight_bit_when_signed`] says that the way has to be 8-bit clean; lines over 998 octets in such a
//! body are an [`Obstacle`], because RFC 5321 lets relays cut them.
//!
//! Preamble and epilogue of a multipart with parts are made harmless, because readers ignore them; without a part they
//! are what readers show, and stay.
//!
//! A text without a charset gets none: its octets are kept and only their encoding changes. A missing closing delimiter is
//! not added; what follows the last delimiter is the last part, as every reader sees it.

use crate::firewall::{FieldClass, Firewalled, class_of, is_loop_marker};
use crate::plan::{Action, Container, Plan};
use alloc::vec::Vec;
use limits::mime::{LOOP_MARKER_READ_BYTES_MAX, LOOP_MARKERS_COUNT_MAX, MOVED_FIELDS_BYTES_MAX};
use mime::address::Author;
use mime::content::{Encoding, Kind};
use mime::walk::{Entity, Field, Findings, Visitor, Walker};
use serde::{Deserialize, Serialize};

/// Version of the stored form of [`Facts`]; raised with every change to it.
const FACTS_VERSION: u8 = 4;

/// What the header block of the whole message says. Known as soon as the header has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Who the message says it is from.
    pub author: Author,
    /// There is a Date field.
    pub has_date: bool,
    /// There is a Message-ID field.
    pub has_message_id: bool,
    /// Received fields, for loop detection (saturating).
    pub received_count: u16,
    /// A line of the header is no header field. Fields that are put before it still work.
    pub malformed: bool,
    /// Octets above 127 occur in the header (RFC 6532).
    pub eight_bit: bool,
    /// It says of itself that it may wait: of a mailing list (RFC 2919 List-Id, RFC 2369 List-Unsubscribe), Precedence
    /// bulk, junk or list, or made by a machine (RFC 3834 Auto-Submitted other than `no`).
    pub bulk: bool,
    /// What the header firewall may remove.
    pub firewalled: Firewalled,
}

/// Which protection a message carries already. Anything but `None` is passed on byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// None: an ordinary message.
    None,
    /// `multipart/signed` (S/MIME or OpenPGP).
    Signed,
    /// `application/pkcs7-mime`, opaque-signed.
    OpaqueSigned,
    /// `application/pkcs7-mime`, enveloped or auth-enveloped, or of a type that is not said.
    Encrypted,
    /// `multipart/encrypted` (OpenPGP/MIME).
    OpenPgpEncrypted,
    /// A text that is an inline OpenPGP message as a whole.
    OpenPgpInline,
}

/// Why a message cannot be signed. It is not repaired and not truncated: it is held, or passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Obstacle {
    /// The header block holds a line that is no field, or a line anywhere ends without CR, which the SMTP server refuses.
    HeaderMalformed,
    /// Fields that may occur once occur twice or cannot be understood (Content-Type, Content-Transfer-Encoding).
    HeaderAmbiguous,
    /// The `Content-*` fields of the message take more than
    /// [`MOVED_FIELDS_BYTES_MAX`] octets.
    HeaderTooLong,
    /// A part that may not be re-encoded has lines over 998 octets.
    LineTooLong,
    /// A part that may not be changed holds a CR or LF alone or a NUL, which no signature survives.
    LoneLineEnds,
    /// There are more than [`ENTITIES_COUNT_MAX`](limits::mime::ENTITIES_COUNT_MAX) parts and one beyond would have to
    /// be re-encoded.
    TooManyParts,
}

impl core::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::HeaderMalformed => "a line of the header is no field",
            Self::HeaderAmbiguous => "header can be read in more than one way",
            Self::HeaderTooLong => "Content fields are too long",
            Self::LineTooLong => "a part that may not be changed has lines over 998 octets",
            Self::LoneLineEnds => "a part that may not be changed holds a CR or LF alone or a NUL",
            Self::TooManyParts => "too many parts",
        })
    }
}

/// What is known about a stored message. Encoded it takes at most
/// [`FACTS_BYTES_MAX`](limits::mime::FACTS_BYTES_MAX) octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The header block of the message.
    pub header: Header,
    /// Protection that is there already.
    pub protection: Protection,
    /// Why it cannot be signed, if so.
    pub obstacle: Option<Obstacle>,
    /// The stored content (header or body) has octets above 127: passing it on as it is wants 8BITMIME.
    pub eight_bit: bool,
    /// The signed form would still have octets above 127 (parts that may not be touched, raw header octets).
    pub eight_bit_when_signed: bool,
    /// The stored content cannot go by DATA as it is: it holds a CR or LF alone or a NUL, or a part that calls itself
    /// binary, or a line over 998 octets that came in a chunk. Unless it is protected, it leaves in canonical form.
    pub odd: bool,
    /// The canonical form would still hold such octets, in parts that may not be touched: only BINARYMIME takes it on.
    pub odd_when_canonical: bool,
    /// A header holds a NUL or a CR alone, which nothing makes good: the message is refused.
    pub odd_header: bool,
    pub(crate) plan: Plan,
}

/// The stored facts cannot be read: they were written by another version, or they are damaged. The caller scans
/// the stored message again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FactsUnreadable;

impl core::fmt::Display for FactsUnreadable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("stored facts cannot be read")
    }
}

impl core::error::Error for FactsUnreadable {}

impl Facts {
    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Writing to a vector cannot fail; an empty record reads back as unreadable, and the message is scanned again.
        postcard::to_allocvec(&(FACTS_VERSION, self)).unwrap_or_default()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`FactsUnreadable`] for anything that [`to_bytes`](Self::to_bytes) of this version did not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FactsUnreadable> {
        if bytes.first() != Some(&FACTS_VERSION) {
            return Err(FactsUnreadable);
        }
        let ((_, facts), rest): ((u8, Self), &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|_| FactsUnreadable)?;
        if rest.is_empty() { Ok(facts) } else { Err(FactsUnreadable) }
    }
}

/// Reads a message while it arrives, in pieces of any size, and learns the [`Facts`]. Memory is bounded by the walker's
/// bounds and the plan.
#[derive(Debug, Default)]
pub struct Scanner {
    walker: Walker,
    survey: Survey,
}

impl Scanner {
    /// A scanner at the first octet of a message.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A scanner of a message that comes in chunks and may hold any octets. What comes by DATA it reads as
    /// [`Self::new`] does, only slower.
    #[must_use]
    pub fn of_chunks() -> Self {
        Self { walker: Walker::of_chunks(), survey: Survey { chunks: true, ..Survey::default() } }
    }

    /// The next octets of the stored message, not dot-stuffed.
    pub fn push(&mut self, octets: &[u8]) {
        self.walker.push(octets, &mut self.survey);
    }

    /// The header facts, once the header block is complete.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.survey.header_done.then_some(&self.survey.header)
    }

    /// The loop markers in the header so far, whoever wrote them: each a whole field as it came, or its first
    /// [`LOOP_MARKER_READ_BYTES_MAX`] octets; at most [`LOOP_MARKERS_COUNT_MAX`] of them.
    pub fn loop_markers(&self) -> impl Iterator<Item = &[u8]> {
        self.survey.loop_markers.iter().map(Vec::as_slice)
    }

    /// The message is complete.
    #[must_use]
    pub fn finish(mut self) -> Facts {
        self.walker.finish(&mut self.survey);
        let mut survey = self.survey;
        survey.odd |= survey.header_lines.lone_lf;
        let odd_header = survey.header_lines.is_unfit();
        survey.odd |= odd_header;
        let protected = survey.protection != Protection::None;
        survey.odd_stays |= protected && survey.odd;
        if survey.odd_stays && !protected {
            survey.obstacle(Obstacle::LoneLineEnds);
        }
        survey.plan.canonical = survey.odd && !protected;
        Facts {
            odd: survey.odd,
            odd_when_canonical: survey.odd_stays,
            odd_header,
            eight_bit: survey.eight_bit || survey.header.eight_bit,
            eight_bit_when_signed: survey.eight_bit_stays || survey.header.eight_bit,
            header: survey.header,
            protection: survey.protection,
            obstacle: survey.obstacle,
            plan: survey.plan,
        }
    }
}

/// The octets of all headers, looked at for what no header may hold. Only where the message comes in chunks.
#[derive(Debug, Default)]
struct HeaderLines {
    cr: bool,
    lone_cr: bool,
    lone_lf: bool,
    nul: bool,
}

impl HeaderLines {
    fn look(&mut self, octets: &[u8]) {
        for octet in octets {
            match (core::mem::replace(&mut self.cr, *octet == b'\r'), octet) {
                (true, b'\n') => {}
                (true, _) => self.lone_cr = true,
                (false, b'\n') => self.lone_lf = true,
                (false, _) => {}
            }
            self.nul |= *octet == 0;
        }
    }

    const fn is_unfit(&self) -> bool {
        self.lone_cr || self.cr || self.nul
    }
}

/// An open container.
#[derive(Debug)]
struct Open {
    index: u32,
    encoding: Encoding,
    without_body: bool,
    /// A body inside stays as it is with octets above 127.
    eight_bit_stays: bool,
    /// It has a part (a closing delimiter alone begins none). Without one, readers show what would be the preamble.
    delimited: bool,
    /// A line of its gaps is nearly a delimiter: they are not touched.
    gaps_doubtful: bool,
    /// Its gaps and delimiters are not safe, its gaps hold octets above 127, or lines over 998 octets.
    gaps_unsafe: bool,
    gaps_eight_bit: bool,
    gaps_long: bool,
}

#[derive(Debug)]
struct Survey {
    header: Header,
    header_done: bool,
    /// The last piece of header did not end its line.
    inside_line: bool,
    /// What the firewall thinks of the present field.
    class: FieldClass,
    loop_markers: Vec<Vec<u8>>,
    /// The present field is the last of those.
    in_loop_marker: bool,
    author_fields: u32,
    moved_octets: usize,
    protection: Protection,
    obstacle: Option<Obstacle>,
    eight_bit: bool,
    eight_bit_stays: bool,
    open: Vec<Open>,
    without_body: bool,
    plan: Plan,
    /// The message comes in chunks and may hold any octets.
    chunks: bool,
    header_lines: HeaderLines,
    odd: bool,
    odd_stays: bool,
}

impl Default for Survey {
    fn default() -> Self {
        Self {
            header: Header {
                author: Author::Missing,
                has_date: false,
                has_message_id: false,
                received_count: 0,
                malformed: false,
                eight_bit: false,
                bulk: false,
                firewalled: Firewalled::default(),
            },
            header_done: false,
            inside_line: false,
            class: FieldClass::Ordinary,
            loop_markers: Vec::new(),
            in_loop_marker: false,
            author_fields: 0,
            moved_octets: 0,
            protection: Protection::None,
            obstacle: None,
            eight_bit: false,
            eight_bit_stays: false,
            open: Vec::new(),
            without_body: false,
            plan: Plan::default(),
            chunks: false,
            header_lines: HeaderLines::default(),
            odd: false,
            odd_stays: false,
        }
    }
}

impl Survey {
    /// The first obstacle is the one that is reported.
    fn obstacle(&mut self, obstacle: Obstacle) {
        self.obstacle.get_or_insert(obstacle);
    }

    /// A LF without CR, somewhere. By DATA it cannot come.
    fn lone_line_end(&mut self) {
        self.odd = true;
        if !self.chunks {
            self.obstacle(Obstacle::HeaderMalformed);
        }
    }

    fn act(&mut self, index: u32, action: Action) {
        if !self.plan.set(index, action) {
            self.obstacle(Obstacle::TooManyParts);
        }
    }

    fn message_header_end(&mut self, entity: &Entity) {
        self.header_done = true;
        self.header.malformed = entity.malformed;
        if entity.malformed {
            self.obstacle(Obstacle::HeaderMalformed);
        }
        // The line that a signed form would end, and the firewall would have removed by then.
        if self.inside_line && self.class != FieldClass::Ordinary {
            self.obstacle(Obstacle::HeaderMalformed);
        }
        if entity.ambiguous {
            self.obstacle(Obstacle::HeaderAmbiguous);
        }
        if self.moved_octets > MOVED_FIELDS_BYTES_MAX {
            self.obstacle(Obstacle::HeaderTooLong);
        }
        self.protection = match entity.kind {
            Kind::Signed => Protection::Signed,
            Kind::Encrypted => Protection::OpenPgpEncrypted,
            Kind::Pkcs7Signed => Protection::OpaqueSigned,
            Kind::Pkcs7Enveloped => Protection::Encrypted,
            _ => Protection::None,
        };
    }

    fn keep_loop_marker(&mut self, piece: &[u8]) {
        if let Some(marker) = self.loop_markers.last_mut() {
            let room = LOOP_MARKER_READ_BYTES_MAX.saturating_sub(marker.len());
            marker.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
    }

    /// The body stays as it is.
    fn keep(&mut self, findings: &Findings) {
        if findings.eight_bit > 0 {
            self.eight_bit_stays = true;
            if let Some(open) = self.open.last_mut() {
                open.eight_bit_stays = true;
            }
        }
    }
}

/// Whether a line of the header says that the message is of the kind that may wait. Values that are folded before their
/// first word are not looked for: nobody writes them.
fn says_bulk(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|octet| *octet == b':') else { return false };
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    let name = name.trim_ascii_end();
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let is = |field: &[u8]| name.eq_ignore_ascii_case(field);
    let word = value.split(|octet| b" \t;(".contains(octet)).next().unwrap_or_default();
    let says = |words: &[&[u8]]| words.iter().any(|known| word.eq_ignore_ascii_case(known));
    is(b"List-Id")
        || is(b"List-Unsubscribe")
        || (is(b"Precedence") && says(&[b"bulk", b"junk", b"list"]))
        || (is(b"Auto-Submitted") && !word.is_empty() && !says(&[b"no"]))
}

/// Whether the line ends of a body are only a form, so that they may be made canonical: text, encoded text, and the text of
/// which containers are made that are not walked. In everything else they are content.
pub(crate) fn line_ends_are_form(entity: &Entity) -> bool {
    let encoded = matches!(entity.encoding, Encoding::QuotedPrintable | Encoding::Base64);
    let text = matches!(entity.kind, Kind::Text | Kind::OtherMessage | Kind::OpaqueMultipart)
        && entity.encoding != Encoding::Unknown;
    !entity.kind.is_protected() && !entity.ambiguous && (encoded || text)
}

/// What becomes of a leaf with lone CRs, lone LFs or NULs whose body may be re-encoded. Base64 keeps every octet; text gets
/// its line ends first, unless a NUL says that it is no text.
fn odd_leaf_action(entity: &Entity, findings: &Findings) -> Action {
    match entity.encoding {
        Encoding::QuotedPrintable => Action::QuotedPrintable,
        Encoding::Base64 => Action::Base64,
        _ if entity.kind != Kind::Text || findings.nul => Action::Base64,
        _ if findings.is_unsafe() || findings.bare_cr => Action::QuotedPrintable,
        Encoding::EightBit | Encoding::Binary => Action::Relabel,
        _ => Action::Keep,
    }
}

/// What becomes of a leaf whose body may be re-encoded.
fn leaf_action(entity: &Entity, findings: &Findings) -> Action {
    if findings.is_odd() {
        return odd_leaf_action(entity, findings);
    }
    let identity = entity.encoding.is_identity();
    if !findings.is_unsafe() {
        return match entity.encoding {
            Encoding::EightBit | Encoding::Binary => Action::Relabel,
            _ => Action::Keep,
        };
    }
    match entity.encoding {
        Encoding::QuotedPrintable => Action::QuotedPrintable,
        Encoding::Base64 => Action::Base64,
        _ if identity && entity.kind == Kind::Text && findings.eight_bit <= findings.octets / 3 => {
            Action::QuotedPrintable
        }
        _ => Action::Base64,
    }
}

impl Visitor for Survey {
    const MEASURE: bool = true;

    fn header(&mut self, index: u32, field: Field, piece: &[u8]) {
        let eight_bit = !piece.is_ascii();
        if self.chunks {
            self.header_lines.look(piece);
        }
        if index > 0 {
            // Raw octets in the header of a part are nothing that a transfer encoding could help.
            self.eight_bit |= eight_bit;
            self.eight_bit_stays |= eight_bit;
            return;
        }
        self.header.eight_bit |= eight_bit;
        let begins_line = !core::mem::replace(&mut self.inside_line, !piece.ends_with(b"\n"));
        if begins_line && !matches!(piece.first(), Some(b' ' | b'\t')) {
            self.class = class_of(piece);
            self.in_loop_marker = self.class == FieldClass::Own
                && is_loop_marker(piece)
                && self.loop_markers.len() < LOOP_MARKERS_COUNT_MAX;
            if self.in_loop_marker {
                self.loop_markers.push(Vec::new());
            }
        }
        if self.class != FieldClass::Ordinary {
            self.header.firewalled.count(self.class, piece.len());
            if self.in_loop_marker {
                self.keep_loop_marker(piece);
            }
        }
        match field {
            Field::Date => self.header.has_date = true,
            Field::MessageId => self.header.has_message_id = true,
            // Continuation lines come separately and begin with white space.
            Field::Received if !matches!(piece.first(), Some(b' ' | b'\t')) => {
                self.header.received_count = self.header.received_count.saturating_add(1);
            }
            Field::Other if begins_line => self.header.bulk |= says_bulk(piece),
            field if field.is_content() => self.moved_octets = self.moved_octets.saturating_add(piece.len()),
            _ => {}
        }
    }

    fn author_field(&mut self, value: Option<&[u8]>) {
        self.author_fields = self.author_fields.saturating_add(1);
        self.header.author = match value {
            Some(value) if self.author_fields == 1 => Author::from_field(value),
            _ => Author::Ambiguous,
        };
    }

    fn header_end(&mut self, entity: &Entity, empty_line: &[u8]) {
        if entity.index == 0 {
            self.message_header_end(entity);
        }
        if empty_line == b"\n" {
            self.lone_line_end();
        }
        if self.chunks {
            // A header that ends in a CR alone: the next one begins anew.
            let lines = &mut self.header_lines;
            lines.lone_cr |= core::mem::take(&mut lines.cr);
            self.odd |= entity.encoding == Encoding::Binary;
        }
        self.without_body = empty_line.is_empty() && entity.index > 0;
        if let Some(open) = self.open.last_mut() {
            open.delimited = true;
        }
        if entity.kind.is_container() {
            self.open.push(Open {
                index: entity.index,
                encoding: entity.encoding,
                without_body: self.without_body,
                eight_bit_stays: false,
                delimited: false,
                gaps_doubtful: false,
                gaps_unsafe: false,
                gaps_eight_bit: false,
                gaps_long: false,
            });
        }
    }

    fn body(&mut self, _piece: &[u8]) {}

    fn gap(&mut self, _piece: &[u8]) {}

    fn leaf_end(&mut self, entity: &Entity, findings: &Findings) {
        self.eight_bit |= findings.eight_bit > 0;
        self.odd |= findings.is_odd() || (self.chunks && findings.long_line);
        let pgp = findings.pgp_armor && entity.kind == Kind::Text && entity.encoding.is_identity();
        if pgp && entity.index == 0 && self.protection == Protection::None {
            self.protection = Protection::OpenPgpInline;
        }
        if entity.kind.is_protected() || pgp {
            // The line ends of a text that is armoured inside a message are those of a text.
            let form = pgp && entity.index > 0 && !findings.nul && line_ends_are_form(entity);
            self.odd_stays |= findings.is_odd() && !form;
            self.keep(findings);
            return;
        }
        if findings.bare_line_end {
            self.lone_line_end();
        }
        let fixed = matches!(entity.kind, Kind::OtherMessage | Kind::OpaqueMultipart)
            || entity.encoding == Encoding::Unknown
            || entity.ambiguous
            || findings.near_delimiter
            // Not what it says it is. Decoders ignore such octets or give up; neither helps if we remove them.
            || (entity.encoding == Encoding::Base64 && findings.eight_bit > 0)
            || self.without_body;
        if fixed {
            if findings.long_line {
                self.obstacle(Obstacle::LineTooLong);
            }
            self.odd_stays |= findings.is_odd() && (findings.nul || !line_ends_are_form(entity));
            self.keep(findings);
            return;
        }
        if entity.index == 0 && !entity.has_type && entity.encoding.is_identity() && findings.eight_bit == 0 {
            self.plan.ascii_text = true;
        }
        self.act(entity.index, leaf_action(entity, findings));
    }

    fn gap_end(&mut self, findings: &Findings) {
        self.eight_bit |= findings.eight_bit > 0;
        self.odd |= findings.is_odd();
        if findings.bare_line_end {
            self.lone_line_end();
        }
        if let Some(open) = self.open.last_mut() {
            open.gaps_doubtful |= findings.near_delimiter;
            open.gaps_unsafe |= findings.is_unsafe();
            open.gaps_eight_bit |= findings.eight_bit > 0;
            open.gaps_long |= findings.long_line;
        }
    }

    fn container_end(&mut self) {
        let Some(closed) = self.open.pop() else { return };
        let mut eight_bit_stays = closed.eight_bit_stays;
        let cleanable = closed.delimited && !closed.gaps_doubtful;
        if !cleanable {
            eight_bit_stays |= closed.gaps_eight_bit;
            if closed.gaps_long {
                self.obstacle(Obstacle::LineTooLong);
            }
        }
        if eight_bit_stays {
            self.eight_bit_stays = true;
            if let Some(outer) = self.open.last_mut() {
                outer.eight_bit_stays = true;
            }
        }
        let labelled = matches!(closed.encoding, Encoding::EightBit | Encoding::Binary);
        let container = Container {
            relabel: labelled && !eight_bit_stays && !closed.without_body,
            clean_gaps: closed.gaps_unsafe && cleanable,
        };
        if !self.plan.set_container(closed.index, container) {
            self.obstacle(Obstacle::TooManyParts);
        }
    }

    fn delimiter(&mut self, octets: &[u8]) {
        // A LF before it or at its end has no CR.
        let lone = octets.starts_with(b"\n") || (octets.ends_with(b"\n") && !octets.ends_with(b"\r\n"));
        if lone {
            self.lone_line_end();
        }
        let line = octets.strip_suffix(b"\r\n").unwrap_or(octets);
        if let Some(open) = self.open.last_mut() {
            open.gaps_unsafe |= line.last().is_some_and(|c| *c == b' ' || *c == b'\t');
        }
    }
}
