//! The stored message, edited by its plan: fields that stay outside, and the part that is signed.

use crate::facts::line_ends_are_form;
use crate::plan::{Action, Container, Plan};
use alloc::vec::Vec;
use limits::mime::MOVED_FIELDS_BYTES_MAX;
use mime::Output;
use mime::content::Encoding;
use mime::encode::{Base64, CanonicalLines, CleanGap, QuotedPrintable, Rewrap};
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
    /// Divides the message: fields that stay outside, and the part that is signed.
    pub fn new(plan: &Plan) -> Self {
        Self::with(plan, false)
    }

    /// Leaves the message in one piece, its fields in their order. Both streams are one, and its part begins with the empty
    /// line behind the header.
    pub fn in_place(plan: &Plan) -> Self {
        Self::with(plan, true)
    }

    fn with(plan: &Plan, in_place: bool) -> Self {
        let mut walker = Walker::new();
        if plan.keeps_body() {
            walker.take_body_raw();
        }
        Self { walker, editor: Editor::new(in_place) }
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
    /// Content fields of the message are not moved.
    in_place: bool,
    /// Line ends of a message that is made canonical: of the present header, and of the present body or gap.
    header_lines: CanonicalLines,
    lines: CanonicalLines,
    /// The present body gets its line ends.
    canonical_body: bool,
}

impl Editor {
    fn new(in_place: bool) -> Self {
        Self {
            in_place,
            header_lines: CanonicalLines::of_header(),
            lines: CanonicalLines::new(),
            canonical_body: false,
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

/// Lets the canonical line ends of a header go where its fields go.
struct Outside<'o, O>(&'o mut O);

impl<O: PartOutput> Output for Outside<'_, O> {
    fn put(&mut self, octets: &[u8]) {
        self.0.outside(octets);
    }
}

/// Lets text with canonical line ends into its encoder.
struct Through<'c, O> {
    coder: &'c mut Coder,
    out: &'c mut O,
}

impl<O: PartOutput> Output for Through<'_, O> {
    fn put(&mut self, octets: &[u8]) {
        self.coder.put(octets, &mut Inside(&mut *self.out));
    }
}

impl Coder {
    fn put<O: Output>(&mut self, octets: &[u8], out: &mut O) {
        match self {
            Self::Copy => out.put(octets),
            Self::QuotedPrintable(coder) => coder.push(octets, out),
            Self::Base64(coder) => coder.push(octets, out),
            Self::Rewrap(coder) => coder.push(octets, out),
        }
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
        if self.editor.in_place {
            if !self.plan.keeps(0) && !self.editor.has_mime_version {
                self.out.outside(b"MIME-Version: 1.0\r\n");
            }
            self.out.begin_part();
            self.label(entity);
            self.out.inside(b"\r\n");
            return;
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
        let Editor { moved, header_lines, in_place, .. } = &mut *self.editor;
        if index > 0 {
            if self.plan.canonical {
                header_lines.push(piece, &mut Inside(&mut *self.out));
            } else {
                self.out.inside(piece);
            }
        } else if field.is_content() && !*in_place {
            // The scanner has seen to it that they fit.
            if moved.len() + piece.len() <= MOVED_FIELDS_BYTES_MAX {
                if self.plan.canonical {
                    header_lines.push(piece, moved);
                } else {
                    moved.extend_from_slice(piece);
                }
            }
        } else {
            if self.plan.canonical {
                header_lines.push(piece, &mut Outside(&mut *self.out));
            } else {
                self.out.outside(piece);
            }
            self.editor.has_mime_version |= field == Field::MimeVersion;
            self.editor.last_outside = piece.last().copied().unwrap_or(self.editor.last_outside);
        }
    }

    fn header_end(&mut self, entity: &Entity, empty_line: &[u8]) {
        // A CR that nothing follows any more ends nothing.
        self.editor.header_lines = CanonicalLines::of_header();
        if entity.index == 0 {
            self.begin_part(entity);
        } else {
            self.label(entity);
            let canonical = self.plan.canonical && !empty_line.is_empty();
            self.out.inside(if canonical { b"\r\n" } else { empty_line });
        }
        if entity.kind.is_container() {
            self.editor.clean_gaps.push(self.plan.container(entity.index).clean_gaps);
            self.editor.coder = Coder::Copy;
            self.editor.canonical_body = false;
            return;
        }
        // Base64 keeps every octet: the scanner has chosen it for text only where that has its line ends or is none.
        let exact = self.plan.action(entity.index) == Action::Base64 && entity.encoding != Encoding::Base64;
        self.editor.canonical_body = self.plan.canonical && !exact && line_ends_are_form(entity);
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
        let Editor { coder, lines, canonical_body, .. } = &mut *self.editor;
        if *canonical_body {
            lines.push(piece, &mut Through { coder, out: &mut *self.out });
        } else {
            coder.put(piece, &mut Inside(&mut *self.out));
        }
    }

    fn gap(&mut self, piece: &[u8]) {
        if self.cleans_gaps() {
            self.editor.gap.push(piece, &mut Inside(&mut *self.out));
        } else if self.plan.canonical {
            self.editor.lines.push(piece, &mut Inside(&mut *self.out));
        } else {
            self.out.inside(piece);
        }
    }

    fn leaf_end(&mut self, _entity: &Entity, _findings: &Findings) {
        let Editor { coder, lines, canonical_body, .. } = &mut *self.editor;
        if core::mem::take(canonical_body) {
            lines.finish(&mut Through { coder, out: &mut *self.out });
        }
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
        } else if self.plan.canonical {
            self.editor.lines.finish(&mut Inside(&mut *self.out));
        }
    }

    fn container_end(&mut self) {
        self.editor.clean_gaps.pop();
    }

    fn delimiter(&mut self, octets: &[u8]) {
        if self.plan.canonical {
            let (before, rest) =
                octets.split_at(octets.iter().take_while(|c| matches!(c, b'\r' | b'\n')).count());
            let text = rest.trim_ascii_end();
            if !before.is_empty() {
                self.out.inside(b"\r\n");
            }
            self.out.inside(text);
            if rest.ends_with(b"\n") {
                self.out.inside(b"\r\n");
            }
            return;
        }
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
