//! The header block of one entity, field by field.

use super::{Entity, Field, Visitor};
use crate::content::{Encoding, Kind, MediaType};
use alloc::vec::Vec;
use limits::mime::{FIELD_BYTES_MAX, FIELD_NAME_BYTES_MAX};

#[derive(Debug)]
pub(super) struct HeaderReader {
    entity: Entity,
    media: Option<MediaType>,
    in_digest: bool,
    field: Field,
    /// The value of the field so far, if somebody wants it.
    value: Vec<u8>,
    value_wanted: bool,
    value_overflow: bool,
    inside_line: bool,
}

impl HeaderReader {
    pub fn new(index: u32, in_digest: bool) -> Self {
        Self {
            entity: Entity {
                index,
                kind: Kind::Text,
                encoding: Encoding::SevenBit,
                has_type: false,
                has_encoding: false,
                ambiguous: false,
                malformed: false,
            },
            media: None,
            in_digest,
            field: Field::Junk,
            value: Vec::new(),
            value_wanted: false,
            value_overflow: false,
            inside_line: false,
        }
    }

    /// The present line is not complete.
    pub fn inside_line(&self) -> bool {
        self.inside_line
    }

    /// A line, or the start of a long one; neither empty nor a delimiter.
    pub fn start_of_line<V: Visitor>(&mut self, line: &[u8], visitor: &mut V) {
        self.inside_line = !line.ends_with(b"\n");
        if matches!(line.first(), Some(b' ' | b'\t')) {
            // Nothing but white space: some readers see a fold, others the end of the header.
            if line.trim_ascii().is_empty() && (self.entity.index > 0 || self.field.is_content()) {
                self.entity.ambiguous = true;
            }
            self.keep(line);
            self.entity.malformed |= self.field == Field::Junk;
            visitor.header(self.entity.index, self.field, line);
            return;
        }
        self.end_field(visitor);
        let (field, value) = field_of(line);
        self.field = match field {
            Some((field, strict)) => {
                // RFC 5322 §4.5.8 once allowed white space before the colon; some readers never did.
                self.entity.ambiguous |= !strict && field != Field::Other;
                field
            }
            None => {
                self.entity.malformed = true;
                Field::Junk
            }
        };
        self.value_wanted = match self.field {
            Field::ContentType | Field::ContentTransferEncoding => true,
            Field::From => self.entity.index == 0,
            _ => false,
        };
        self.keep(value);
        visitor.header(self.entity.index, self.field, line);
    }

    /// More of a line that [`start_of_line`](Self::start_of_line) began.
    pub fn rest_of_line<V: Visitor>(&mut self, piece: &[u8], visitor: &mut V) {
        self.inside_line = !piece.ends_with(b"\n");
        self.keep(piece);
        visitor.header(self.entity.index, self.field, piece);
    }

    /// The header is complete.
    pub fn finish<V: Visitor>(&mut self, visitor: &mut V) -> (Entity, MediaType) {
        self.end_field(visitor);
        self.entity.ambiguous |= self.entity.malformed && self.entity.index > 0;
        let media =
            self.media.take().unwrap_or(if self.in_digest { MediaType::MESSAGE } else { MediaType::TEXT });
        self.entity.kind = media.kind;
        (self.entity, media)
    }

    fn keep(&mut self, octets: &[u8]) {
        if !self.value_wanted || self.value_overflow {
            return;
        }
        if self.value.len() + octets.len() > FIELD_BYTES_MAX {
            self.value_overflow = true;
        } else {
            self.value.extend_from_slice(octets);
        }
    }

    fn end_field<V: Visitor>(&mut self, visitor: &mut V) {
        if self.value_wanted {
            let value = (!self.value_overflow).then_some(self.value.as_slice());
            let entity = &mut self.entity;
            match self.field {
                Field::From => visitor.author_field(value),
                Field::ContentType => {
                    entity.ambiguous |= entity.has_type || value.is_none();
                    entity.has_type = true;
                    let media = value.map_or(
                        MediaType { kind: Kind::OpaqueMultipart, digest: false, boundary: None },
                        MediaType::from_field,
                    );
                    // Of two the more protected reading counts, and nothing of it is changed.
                    if self.media.as_ref().is_none_or(|first| !first.kind.is_protected()) {
                        self.media = Some(media);
                    }
                }
                Field::ContentTransferEncoding => {
                    entity.ambiguous |= entity.has_encoding || value.is_none();
                    entity.has_encoding = true;
                    entity.encoding = value.map_or(Encoding::Unknown, Encoding::from_field);
                }
                _ => {}
            }
        }
        self.value.clear();
        self.value_wanted = false;
        self.value_overflow = false;
    }
}

/// The field that a line begins, whether its name is written strictly, and what of its value the line holds.
fn field_of(line: &[u8]) -> (Option<(Field, bool)>, &[u8]) {
    let Some(colon) = line.iter().position(|c| *c == b':') else { return (None, &[]) };
    let (name, value) = line.split_at(colon);
    let value = value.get(1..).unwrap_or(&[]);
    let spaces = name.iter().rev().take_while(|c| matches!(c, b' ' | b'\t')).count();
    let strict = name.get(..name.len() - spaces).unwrap_or(name);
    if strict.is_empty() || !strict.iter().all(u8::is_ascii_graphic) {
        return (None, &[]);
    }
    (Some((field_by_name(strict), strict.len() == name.len())), value)
}

fn field_by_name(name: &[u8]) -> Field {
    if name.len() > FIELD_NAME_BYTES_MAX {
        return match name.get(..8) {
            Some(start) if start.eq_ignore_ascii_case(b"content-") => Field::OtherContent,
            _ => Field::Other,
        };
    }
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.first().map(u8::to_ascii_lowercase) {
        Some(b'c') if name.len() > 8 && name[..8].eq_ignore_ascii_case(b"content-") => {
            if is("content-type") {
                Field::ContentType
            } else if is("content-transfer-encoding") {
                Field::ContentTransferEncoding
            } else {
                Field::OtherContent
            }
        }
        Some(b'd') if is("date") => Field::Date,
        Some(b'f') if is("from") => Field::From,
        Some(b'm') if is("message-id") => Field::MessageId,
        Some(b'm') if is("mime-version") => Field::MimeVersion,
        Some(b'r') if is("received") => Field::Received,
        _ => Field::Other,
    }
}
