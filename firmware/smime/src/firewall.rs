//! The header firewall: which fields of the header block of a message leave, and to whom.
//!
//! # The list
//! This is the only place where names of such fields are written. `hw-docs/headers.md` says the same for people.
//!
//! | name | leaves |
//! |---|---|
//! | `X-Stargate-*` | never: whatever came under our own name was written by somebody else, or says nothing any more |
//! | the families and names of [`INTERNAL_FAMILIES`] and [`INTERNAL_NAMES`] | from a peer that may have them kept to an Exchange server of the site, octet for octet; else not |
//! | any other, fields of [`LOOP_FIELDS`] included | always, octet for octet |
//!
//! A server believes what the fields of the second row say about a message: who submitted it, whether it was checked,
//! to which tenant it belongs. From strangers they are forged; towards strangers they tell too much.
//!
//! Other `X-MS-Exchange-*` fields pass. Some must: Exchange Online names `X-MS-Exchange-SenderADCheck` in the `h=` tag of
//! its DKIM signatures, and `X-MS-Exchange-AntiSpam-MessageData-*` in its ARC seals, so without them the mail of other
//! tenants would fail its checks. Received and Resent fields pass as well, although Exchange's own firewall may
//! remove them: RFC 5321 §4.4 forbids that, and they are how loops are found.
//!
//! # How a field is told
//! By the octets of its line up to a colon or white space, whatever their case. So a name that is followed by white space,
//! or that has lost its colon to a fold, is told too: some reader would find the field in it. Folded lines belong to
//! their field. Only the header block of the message itself is looked at, never the header of a part.

use alloc::vec::Vec;
use limits::mime::FIREWALL_NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// What the names of our own fields begin with.
pub const OWN_FAMILY: &str = "x-stargate-";

/// The field that the loop marker is in.
pub const LOOP_MARKER_FIELD: &str = "x-stargate-loop";

/// What the names of fields begin with that one Exchange server says to another of its organisation, or of the tenant
/// beside it.
pub const INTERNAL_FAMILIES: &[&str] = &[
    // Verdicts, authentication and directionality inside the organisation: what Exchange's own header firewall removes.
    "x-ms-exchange-organization-",
    // The same inside the forest.
    "x-ms-exchange-forest-",
    // Fields of the organisation on their way between the site and its tenant, where they are renamed.
    "x-ms-exchange-crosspremises-",
    // Fields of the organisation on their way between tenants.
    "x-ms-exchange-crosstenant-",
    // What was done with the fields above (…Stamped, …Stripped, …Promoted).
    "x-ms-exchange-transport-crosstenantheaders",
    "x-crosspremisesheaders",
    "x-organizationheaders",
];

/// Names of further such fields.
pub const INTERNAL_NAMES: &[&str] = &[
    // The tenant that the message is attributed to.
    "x-originatororg",
];

/// Fields by which Exchange finds its own loops. Nothing above may ever catch one of them.
pub const LOOP_FIELDS: &[&str] = &[
    "x-ms-exchange-transport-rules-loop",
    "x-ms-exchange-inbox-rules-loop",
    "x-ms-exchange-moderation-loop",
    "x-ms-exchange-forwardingloop",
    "x-ld-processed",
    "x-eopattributedmessage",
    "x-eoptenantattributedmessage",
];

/// What the firewall thinks of a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldClass {
    /// Leaves always.
    #[default]
    Ordinary,
    /// Leaves between Exchange servers of the site.
    Internal,
    /// Never leaves.
    Own,
}

/// Octets of the fields that the firewall may remove from a message, line ends included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewalled {
    /// Of fields under our own name.
    pub own_octets: u32,
    /// Of fields of the inside of Exchange.
    pub internal_octets: u32,
}

impl Firewalled {
    /// Octets that are removed where internal fields are kept, or not.
    #[must_use]
    pub fn removed(&self, keep_internal: bool) -> u32 {
        let internal = if keep_internal { 0 } else { self.internal_octets };
        self.own_octets.saturating_add(internal)
    }

    pub(crate) fn count(&mut self, class: FieldClass, octets: usize) {
        let counter = match class {
            FieldClass::Ordinary => return,
            FieldClass::Internal => &mut self.internal_octets,
            FieldClass::Own => &mut self.own_octets,
        };
        *counter = counter.saturating_add(u32::try_from(octets).unwrap_or(u32::MAX));
    }
}

/// Tells what a line that begins a field begins. `line` is the whole line, or at least its first
/// [`FIREWALL_NAME_BYTES_MAX`] octets.
#[must_use]
pub fn class_of(line: &[u8]) -> FieldClass {
    // Nearly every line ends here.
    if !matches!(line.first(), Some(b'x' | b'X')) {
        return FieldClass::Ordinary;
    }
    let name = name_of(line);
    let begins =
        |family: &&str| name.get(..family.len()).is_some_and(|n| n.eq_ignore_ascii_case(family.as_bytes()));
    let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    if begins(&OWN_FAMILY) {
        FieldClass::Own
    } else if INTERNAL_FAMILIES.iter().any(begins) || INTERNAL_NAMES.iter().any(is) {
        FieldClass::Internal
    } else {
        FieldClass::Ordinary
    }
}

/// Whether a line begins a loop marker.
pub(crate) fn is_loop_marker(line: &[u8]) -> bool {
    name_of(line).eq_ignore_ascii_case(LOOP_MARKER_FIELD.as_bytes())
}

/// The octets of a line before a colon or white space.
fn name_of(line: &[u8]) -> &[u8] {
    let end =
        line.iter().position(|c| matches!(c, b':' | b' ' | b'\t' | b'\r' | b'\n')).unwrap_or(line.len());
    line.get(..end).unwrap_or(line)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the start of a line of the header.
    Start,
    /// In a line of which it is known what becomes of it.
    Line,
    /// Behind the empty line.
    Body,
}

/// Leaves fields out of a message that comes in pieces of any size. Holds the start of one line and nothing else, however
/// long the header is.
#[derive(Debug)]
pub(crate) struct HeaderFilter {
    keep_internal: bool,
    place: Place,
    class: FieldClass,
    start: Vec<u8>,
}

impl HeaderFilter {
    pub(crate) fn new(keep_internal: bool) -> Self {
        Self { keep_internal, place: Place::Start, class: FieldClass::Ordinary, start: Vec::new() }
    }

    fn keeps(&self) -> bool {
        match self.class {
            FieldClass::Ordinary => true,
            FieldClass::Internal => self.keep_internal,
            FieldClass::Own => false,
        }
    }

    /// Takes the next octets and shows those that stay to `keep`.
    pub(crate) fn push(&mut self, mut octets: &[u8], mut keep: impl FnMut(&[u8])) {
        while !octets.is_empty() {
            let window = match self.place {
                Place::Body => return keep(octets),
                Place::Line => octets,
                Place::Start => {
                    let room = FIREWALL_NAME_BYTES_MAX.saturating_sub(self.start.len()).max(1);
                    octets.get(..room).unwrap_or(octets)
                }
            };
            let end = window.iter().position(|c| *c == b'\n').map_or(window.len(), |at| at + 1);
            let (piece, rest) = octets.split_at_checked(end).unwrap_or((octets, &[]));
            octets = rest;
            if self.place == Place::Line {
                if self.keeps() {
                    keep(piece);
                }
                if piece.ends_with(b"\n") {
                    self.place = Place::Start;
                }
            } else {
                self.start.extend_from_slice(piece);
                if self.start.ends_with(b"\n") || self.start.len() >= FIREWALL_NAME_BYTES_MAX {
                    self.decide(&mut keep);
                }
            }
        }
    }

    /// The message is at its end.
    pub(crate) fn finish(&mut self, mut keep: impl FnMut(&[u8])) {
        if !self.start.is_empty() {
            self.decide(&mut keep);
        }
    }

    /// Enough of a line is there.
    fn decide(&mut self, keep: &mut impl FnMut(&[u8])) {
        let mut start = core::mem::take(&mut self.start);
        self.place = match start.as_slice() {
            b"\r\n" | b"\n" => {
                self.class = FieldClass::Ordinary;
                Place::Body
            }
            line => {
                if !matches!(line.first(), Some(b' ' | b'\t')) {
                    self.class = class_of(line);
                }
                if line.ends_with(b"\n") { Place::Start } else { Place::Line }
            }
        };
        if self.keeps() {
            keep(&start);
        }
        start.clear();
        self.start = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a message, cut in pieces of every small size.
    fn filtered(message: &[u8], keep_internal: bool) -> Vec<u8> {
        let filter = |piece: usize| {
            let (mut filter, mut out) = (HeaderFilter::new(keep_internal), Vec::new());
            message.chunks(piece).for_each(|octets| filter.push(octets, |kept| out.extend_from_slice(kept)));
            filter.finish(|kept| out.extend_from_slice(kept));
            out
        };
        let whole = filter(usize::MAX);
        for piece in (1..80).chain([100, 1_000]) {
            assert_eq!(filter(piece), whole, "pieces of {piece}");
        }
        whole
    }

    #[test]
    fn no_field_against_loops_is_in_a_family_that_is_removed() {
        for name in LOOP_FIELDS {
            assert_eq!(class_of(alloc::format!("{name}: 1\r\n").as_bytes()), FieldClass::Ordinary, "{name}");
        }
        for signed in ["X-MS-Exchange-SenderADCheck: 1\r\n", "X-MS-Exchange-AntiSpam-MessageData-0: x\r\n"] {
            assert_eq!(class_of(signed.as_bytes()), FieldClass::Ordinary, "{signed}");
        }
    }

    #[test]
    fn every_name_of_the_list_is_shorter_than_what_is_looked_at() {
        let names = INTERNAL_FAMILIES.iter().chain(INTERNAL_NAMES).chain(LOOP_FIELDS);
        for name in names.chain([&OWN_FAMILY, &LOOP_MARKER_FIELD]) {
            assert!(name.len() < FIREWALL_NAME_BYTES_MAX, "{name}");
            assert_eq!(*name, name.to_ascii_lowercase(), "written in lower case");
        }
    }

    #[test]
    fn fields_are_told_in_any_case_folded_and_with_white_space_before_the_colon() {
        let message = b"Received: from a\r\n\tby b\r\n\
            X-MS-Exchange-Organization-SCL: -1\r\n\
            x-ms-exchange-organization-authas : Internal\r\n\
            X-MS-EXCHANGE-ORGANIZATION-AuthSource\r\n : a.example\r\n\
            X-MS-Exchange-Forest-Language: de\r\n\tfolded\r\n  twice\r\n\
            X-MS-Exchange-Transport-Rules-Loop: 1\r\n\
            X-OriginatorOrg: example.com\r\n\
            X-OriginatorOrganisation: stays\r\n\
            X-Stargate-Verdict: valid\r\n folded\r\n\
            Subject: X-Stargate-Verdict\r\n X-MS-Exchange-Organization-SCL: -1\r\n\
            \r\nX-Stargate-Body: stays\r\n";
        let towards_strangers = b"Received: from a\r\n\tby b\r\n\
            X-MS-Exchange-Transport-Rules-Loop: 1\r\n\
            X-OriginatorOrganisation: stays\r\n\
            Subject: X-Stargate-Verdict\r\n X-MS-Exchange-Organization-SCL: -1\r\n\
            \r\nX-Stargate-Body: stays\r\n";
        assert_eq!(filtered(message, false), towards_strangers);
        let kept = filtered(message, true);
        let own = b"X-Stargate-Verdict: valid\r\n folded\r\n";
        assert_eq!(kept.len(), message.len() - own.len());
        assert!(kept.windows(10).any(|w| w == b"Forest-Lan"));
    }

    #[test]
    fn a_header_without_end_and_a_line_without_end_are_filtered_too() {
        assert_eq!(filtered(b"X-Stargate-A: b", false), b"");
        assert_eq!(filtered(b"Subject: a\r\nX-Stargate-A: b\r\n c", false), b"Subject: a\r\n");
        assert_eq!(filtered(b"\r\nX-Stargate-A: b", false), b"\r\nX-Stargate-A: b");
        let long = [&b"X-Stargate-"[..], &[b'a'; 300], b": b\r\nTo: c\r\n\r\n"].concat();
        assert_eq!(filtered(&long, true), b"To: c\r\n\r\n");
        assert_eq!(filtered(b" X-Stargate-A: b\r\n\r\n", false), b" X-Stargate-A: b\r\n\r\n");
    }
}
