//! The stored message, edited by its plan: fields that stay outside, and the part that is signed.

use crate::plan::{Action, Container, Plan};
use alloc::vec::Vec;
use limits::mime::MOVED_FIELDS_BYTES_MAX;
use mime::Output;
use mime::content::Encoding;
use mime::encode::{Base64, CleanGap, QuotedPrintable, Rewrap};
use mime::walk::{Entity, Field, Findings, Visitor, Walker};

/// Where the two streams go.
pub(crate) trait PartOutput {
    /// Header octets that stay outside the signed part.
    fn outside(&mut self, octets: &[u8]);
    /// All that stays outside has been told; what follows is the signed part.
    fn begin_part(&mut self);
    /// Octets of the signed part.
    fn inside(&mut self, octets: &[u8]);
}

/// Applies a plan. The plan is an argument of every call and must always be the same.
#[derive(Debug)]
pub(crate) struct Transform {
    walker: Walker,
    editor: Editor,
}

impl Transform {
    pub fn new(plan: &Plan) -> Self {
        let mut walker = Walker::new();
        if plan.keeps_body() {
            walker.take_body_raw();
        }
        Self { walker, editor: Editor::new() }
    }

    pub fn push<O: PartOutput>(&mut self, plan: &Plan, octets: &[u8], out: &mut O) {
        self.walker.push(octets, &mut Writing { editor: &mut self.editor, plan, out });
    }

    pub fn finish<O: PartOutput>(&mut self, plan: &Plan, out: &mut O) {
        self.walker.finish(&mut Writing { editor: &mut self.editor, plan, out });
    }
}

#[derive(Debug)]
enum Coder {
    Copy,
    QuotedPrintable(QuotedPrintable),
    Base64(Base64),
    Rewrap(Rewrap),
}

#[derive(Debug)]
struct Editor {
    /// `Content-*` fields of the message, which move into the part.
    moved: Vec<u8>,
    has_mime_version: bool,
    last_outside: u8,
    coder: Coder,
    gap: CleanGap,
    /// For every open container whether its gaps are cleaned.
    clean_gaps: Vec<bool>,
}

impl Editor {
    fn new() -> Self {
        Self {
            moved: Vec::new(),
            has_mime_version: false,
            last_outside: b'\n',
            coder: Coder::Copy,
            gap: CleanGap::new(),
            clean_gaps: Vec::new(),
        }
    }
}

struct Writing<'w, O> {
    editor: &'w mut Editor,
    plan: &'w Plan,
    out: &'w mut O,
}

/// Lets an encoder write into the signed part.
struct Inside<'o, O>(&'o mut O);

impl<O: PartOutput> Output for Inside<'_, O> {
    fn put(&mut self, octets: &[u8]) {
        self.0.inside(octets);
    }
}

impl<O: PartOutput> Writing<'_, O> {
    /// A new Content-Transfer-Encoding in place of the one that was left out; none if none was.
    fn label(&mut self, entity: &Entity) {
        let value = if entity.kind.is_container() {
            match (self.plan.container(entity.index), entity.encoding) {
                (Container { relabel: false, clean_gaps: false }, _) => return,
                (Container { relabel: false, .. }, _) if !entity.has_encoding => return,
                (Container { relabel: false, .. }, Encoding::EightBit) => "8bit",
                (Container { relabel: false, .. }, Encoding::Binary) => "binary",
                _ => "7bit",
            }
        } else {
            match self.plan.action(entity.index) {
                Action::Keep => return,
                Action::Relabel => "7bit",
                Action::QuotedPrintable => "quoted-printable",
                Action::Base64 => "base64",
            }
        };
        self.out.inside(b"Content-Transfer-Encoding: ");
        self.out.inside(value.as_bytes());
        self.out.inside(b"\r\n");
    }

    /// The header of the message is complete: everything that stays outside goes first.
    fn begin_part(&mut self, entity: &Entity) {
        if self.editor.last_outside != b'\n' {
            self.out.outside(b"\r\n");
        }
        if !self.editor.has_mime_version {
            self.out.outside(b"MIME-Version: 1.0\r\n");
        }
        self.out.begin_part();
        let moved = core::mem::take(&mut self.editor.moved);
        self.out.inside(&moved);
        if !moved.is_empty() && !moved.ends_with(b"\n") {
            self.out.inside(b"\r\n");
        }
        if !entity.has_type {
            // RFC 2045 §5.2: this is what the absence means. No charset is claimed for octets above 127.
            let text: &[u8] = if self.plan.ascii_text {
                b"Content-Type: text/plain; charset=us-ascii\r\n"
            } else {
                b"Content-Type: text/plain\r\n"
            };
            self.out.inside(text);
        }
        self.label(entity);
        self.out.inside(b"\r\n");
    }

    fn cleans_gaps(&self) -> bool {
        self.editor.clean_gaps.last().copied().unwrap_or(false)
    }
}

impl<O: PartOutput> Visitor for Writing<'_, O> {
    const MEASURE: bool = false;

    fn header(&mut self, index: u32, field: Field, piece: &[u8]) {
        if field == Field::ContentTransferEncoding && !self.plan.keeps(index) {
            return;
        }
        if index > 0 {
            self.out.inside(piece);
        } else if field.is_content() {
            // The scanner has seen to it that they fit.
            if self.editor.moved.len() + piece.len() <= MOVED_FIELDS_BYTES_MAX {
                self.editor.moved.extend_from_slice(piece);
            }
        } else {
            self.editor.has_mime_version |= field == Field::MimeVersion;
            self.editor.last_outside = piece.last().copied().unwrap_or(self.editor.last_outside);
            self.out.outside(piece);
        }
    }

    fn header_end(&mut self, entity: &Entity, empty_line: &[u8]) {
        if entity.index == 0 {
            self.begin_part(entity);
        } else {
            self.label(entity);
            self.out.inside(empty_line);
        }
        if entity.kind.is_container() {
            self.editor.clean_gaps.push(self.plan.container(entity.index).clean_gaps);
            self.editor.coder = Coder::Copy;
            return;
        }
        self.editor.coder = match self.plan.action(entity.index) {
            Action::Keep | Action::Relabel => Coder::Copy,
            Action::QuotedPrintable if entity.encoding == Encoding::QuotedPrintable => {
                Coder::QuotedPrintable(QuotedPrintable::harden())
            }
            Action::QuotedPrintable => Coder::QuotedPrintable(QuotedPrintable::new()),
            Action::Base64 if entity.encoding == Encoding::Base64 => Coder::Rewrap(Rewrap::new()),
            Action::Base64 => Coder::Base64(Base64::new()),
        };
    }

    fn body(&mut self, piece: &[u8]) {
        let inside = &mut Inside(&mut *self.out);
        match &mut self.editor.coder {
            Coder::Copy => inside.put(piece),
            Coder::QuotedPrintable(coder) => coder.push(piece, inside),
            Coder::Base64(coder) => coder.push(piece, inside),
            Coder::Rewrap(coder) => coder.push(piece, inside),
        }
    }

    fn gap(&mut self, piece: &[u8]) {
        if self.cleans_gaps() {
            self.editor.gap.push(piece, &mut Inside(&mut *self.out));
        } else {
            self.out.inside(piece);
        }
    }

    fn leaf_end(&mut self, _entity: &Entity, _findings: &Findings) {
        let inside = &mut Inside(&mut *self.out);
        match &mut self.editor.coder {
            Coder::Copy | Coder::Rewrap(_) => {}
            Coder::QuotedPrintable(coder) => coder.finish(inside),
            Coder::Base64(coder) => coder.finish(inside),
        }
        self.editor.coder = Coder::Copy;
    }

    fn gap_end(&mut self, _findings: &Findings) {
        if self.cleans_gaps() {
            self.editor.gap.finish(&mut Inside(&mut *self.out));
        }
    }

    fn container_end(&mut self) {
        self.editor.clean_gaps.pop();
    }

    fn delimiter(&mut self, octets: &[u8]) {
        match octets.strip_suffix(b"\r\n") {
            Some(line) if self.cleans_gaps() => {
                let (before, text) = match line.strip_prefix(b"\r\n") {
                    Some(text) => (&b"\r\n"[..], text),
                    None => (&b""[..], line),
                };
                self.out.inside(before);
                self.out.inside(text.trim_ascii_end());
                self.out.inside(b"\r\n");
            }
            _ => self.out.inside(octets),
        }
    }
}
