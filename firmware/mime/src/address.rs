//! Who a message says it is from.

use alloc::string::String;
use limits::mime::ENCODED_WORDS_COUNT_MAX;
use limits::smtp::MAILBOX_BYTES_MAX;
use mail_parser::{Address, HeaderValue, parsers::MessageStream};
use serde::{Deserialize, Serialize};

/// The author of a message as far as a machine may rely on it (RFC 5322 §3.6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// There is no From field.
    Missing,
    /// Exactly one From field with exactly one mailbox: its addr-spec, at most
    /// [`MAILBOX_BYTES_MAX`] octets, as written (case kept).
    One(String),
    /// One From field with several mailboxes. Nobody can sign for all of them.
    Several,
    /// Two From fields, or one that different readers understand differently. No identity may be derived from it.
    Ambiguous,
}

impl Author {
    /// Reads the value of a From field: everything after the colon, folds and final CRLF included.
    #[must_use]
    pub fn from_field(value: &[u8]) -> Self {
        if count_encoded_words(value) > ENCODED_WORDS_COUNT_MAX {
            return Self::Ambiguous;
        }
        let HeaderValue::Address(parsed) = MessageStream::new(value).parse_address() else {
            return Self::Ambiguous;
        };
        let mut mailboxes = match &parsed {
            Address::List(list) => list.as_slice(),
            // A group cannot stand in From (RFC 5322 §3.6.2); RFC 6854 allows it, but a group signs nothing.
            Address::Group(_) => return Self::Ambiguous,
        }
        .iter();
        let Some(first) = mailboxes.next() else { return Self::Ambiguous };
        if mailboxes.next().is_some() {
            return Self::Several;
        }
        match first.address.as_deref() {
            Some(address) if is_plain_address(address) && only_reading(value, address.as_bytes()) => {
                Self::One(String::from(address))
            }
            _ => Self::Ambiguous,
        }
    }
}

pub(crate) fn count_encoded_words(value: &[u8]) -> usize {
    value.windows(2).filter(|w| w == b"=?").count()
}

/// An addr-spec in the form that people use and certificates hold: a dot-atom, `@`, a domain. Quoted local parts
/// and domain literals exist in the standard; no certificate names them.
fn is_plain_address(address: &str) -> bool {
    let Some((local, domain)) = address.split_once('@') else { return false };
    let atoms = |text: &str| text.split('.').all(|atom| !atom.is_empty());
    let plain = |c: char| !c.is_control() && !c.is_whitespace() && !"()<>[]:;@\\,\"".contains(c);
    address.len() <= MAILBOX_BYTES_MAX
        && local.chars().all(plain)
        && domain.chars().all(plain)
        && atoms(local)
        && atoms(domain)
        && !address.contains('\u{fffd}')
}

/// Whether the octets outside quotes and comments name this address and no other. `joe@a.example <eve@b.example>` is
/// read as either by different programs; so is a second pair of angle brackets.
fn only_reading(value: &[u8], address: &[u8]) -> bool {
    let mut angles = 0usize;
    let mut comment_depth = 0usize;
    let mut quoted = false;
    let mut escaped = false;
    let mut atoms_with_at = 0usize;
    let mut rest = value;
    while let Some((&c, after)) = rest.split_first() {
        if escaped {
            escaped = false;
            rest = after;
            continue;
        }
        match c {
            b'\\' if quoted || comment_depth > 0 => escaped = true,
            b'"' if comment_depth == 0 => quoted = !quoted,
            b'(' if !quoted => comment_depth += 1,
            b')' if !quoted && comment_depth > 0 => comment_depth -= 1,
            _ if quoted || comment_depth > 0 => {}
            b'<' => angles += 1,
            b'>' | b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => {
                // An atom: up to the next octet that cannot be part of an address.
                let end = rest.iter().position(|c| b" \t\r\n<>()\",;".contains(c)).unwrap_or(rest.len());
                let (atom, beyond) = rest.split_at(end);
                if atom.contains(&b'@') {
                    if atom != address {
                        return false;
                    }
                    atoms_with_at += 1;
                }
                // A lone separator would not advance.
                rest = if end == 0 { after } else { beyond };
                continue;
            }
        }
        rest = after;
    }
    angles <= 1 && !quoted && comment_depth == 0 && atoms_with_at >= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn author(field: &str) -> Author {
        Author::from_field(field.as_bytes())
    }

    #[test]
    fn one_mailbox_in_every_usual_dress() {
        for field in [
            " joe@example.org\r\n",
            "joe@example.org\r\n",
            " <joe@example.org>\r\n",
            " Joe <joe@example.org>\r\n",
            " \"Doe, Joe (Sales)\" <joe@example.org>\r\n",
            " =?utf-8?q?J=C3=B6?= <joe@example.org>\r\n",
            " joe@example.org (Joe Doe)\r\n",
            " Joe\r\n <joe@example.org>\r\n",
            " joe@example.org <joe@example.org>\r\n",
            " \"eve@evil.example\" <joe@example.org>\r\n",
            " =?utf-8?q?eve=40evil.example?= <joe@example.org>\r\n",
            " J\u{f6} <joe@example.org>\r\n",
        ] {
            assert_eq!(author(field), Author::One("joe@example.org".into()), "{field:?}");
        }
        assert_eq!(author(" Joe.Doe@Example.ORG\r\n"), Author::One("Joe.Doe@Example.ORG".into()));
        assert_eq!(
            author(" j\u{f6}@b\u{fc}cher.example\r\n"),
            Author::One("j\u{f6}@b\u{fc}cher.example".into())
        );
    }

    #[test]
    fn several_authors_are_several() {
        assert_eq!(author(" a@example.org, b@example.org\r\n"), Author::Several);
        assert_eq!(author(" A <a@example.org>,\r\n B <b@example.org>\r\n"), Author::Several);
    }

    #[test]
    fn whatever_can_be_read_twice_is_ambiguous() {
        for field in [
            "\r\n",
            " Joe\r\n",
            " undisclosed:;\r\n",
            " staff: joe@example.org;\r\n",
            " joe@a.example <eve@b.example>\r\n",
            " <joe@a.example> <eve@b.example>\r\n",
            " <joe@a.example><eve@b.example>\r\n",
            " joe@a.example eve@b.example\r\n",
            " joe@a.example@b.example\r\n",
            " joe @example.org\r\n",
            " joe@example.org\0@b.example\r\n",
            " \"joe@example.org\r\n",
            " joe@\r\n",
            " @example.org\r\n",
            " joe..doe@example.org\r\n",
            " \"joe doe\"@example.org\r\n",
            " =?utf-8?q?joe=40example.org?=\r\n",
            " <joe@example.org\r\n b@example.org>\r\n",
        ] {
            assert_eq!(author(field), Author::Ambiguous, "{field:?}");
        }
        let flood = " =?utf-8?q?a?=".repeat(200) + " <joe@example.org>\r\n";
        assert_eq!(author(&flood), Author::Ambiguous);
        let long = alloc::format!(" {}@example.org\r\n", "a".repeat(400));
        assert_eq!(author(&long), Author::Ambiguous);
    }
}
