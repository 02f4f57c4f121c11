//! Macros (RFC 7208 §7): parts of a name that depend on who sends.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::IpAddr;
use dns::Name;
use limits::spf::EXPANDED_BYTES_MAX;

/// Characters that may cut a value into parts.
const DELIMITERS: &str = ".-+,/_=";
/// Octets of a name as text.
const NAME_TEXT_BYTES_MAX: usize = 253;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Macro(Macro),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Macro {
    /// In lower case.
    letter: u8,
    /// Written in upper case: what is no letter, digit or hyphen … is escaped as in an address of the Web.
    escaped: bool,
    /// Parts to be kept, from the right.
    keep: Option<usize>,
    reversed: bool,
    delimiters: String,
}

/// A text with macros, well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MacroString {
    pieces: Vec<Piece>,
}

/// What macros stand for.
#[derive(Clone, Debug)]
pub(crate) struct Values<'a> {
    /// `l`
    pub(crate) local_part: &'a str,
    /// `o`
    pub(crate) sender_domain: &'a str,
    /// `d`
    pub(crate) domain: &'a Name,
    /// `i`, `v`
    pub(crate) client: IpAddr,
    /// `h`
    pub(crate) helo: &'a str,
    /// `p`
    pub(crate) client_name: &'a str,
}

impl MacroString {
    /// Reads any text with macros.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if c != '%' {
                if !c.is_ascii_graphic() {
                    return None;
                }
                literal.push(c);
                rest = rest.get(1..)?;
                continue;
            }
            let kind = rest.as_bytes().get(1)?;
            match kind {
                b'%' => literal.push('%'),
                b'_' => literal.push(' '),
                b'-' => literal.push_str("%20"),
                b'{' => {
                    let (inner, after) = rest.get(2..)?.split_once('}')?;
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(core::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Macro(Macro::parse(inner)?));
                    rest = after;
                    continue;
                }
                _ => return None,
            }
            rest = rest.get(2..)?;
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Some(Self { pieces })
    }

    /// Reads a `domain-spec`: a text that ends in a macro, or in a dot and a label that can be a top-level domain.
    pub(crate) fn domain(text: &str) -> Option<Self> {
        let this = Self::parse(text)?;
        let ends_well = match this.pieces.last()? {
            Piece::Macro(_) => true,
            Piece::Text(literal) => {
                let whole = literal.strip_suffix('.').unwrap_or(literal);
                // The dot may be all that stands between a macro and the label, but it must be there.
                let (_, top) = whole.rsplit_once('.')?;
                is_top_label(top)
            }
        };
        // `%{c}`, `%{r}` and `%{t}` are for explanations only.
        let names = this.pieces.iter().all(|p| !matches!(p, Piece::Macro(m) if b"crt".contains(&m.letter)));
        // An escaped `%` at the end is no label.
        (ends_well && names && !["%%", "%_", "%-"].iter().any(|end| text.ends_with(end))).then_some(this)
    }

    /// Whether the name of the client is needed, which costs questions.
    pub(crate) fn needs_client_name(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Macro(m) if m.letter == b'p'))
    }

    /// The name that this stands for; `None` if it is none. What is longer than a name may be loses labels on the left
    /// (RFC 7208 §7.3).
    pub(crate) fn expand(&self, values: &Values<'_>) -> Option<Name> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Macro(item) => item.expand(values, &mut text),
            }
            if text.len() > EXPANDED_BYTES_MAX {
                return None;
            }
        }
        let mut text = text.strip_suffix('.').unwrap_or(&text);
        while text.len() > NAME_TEXT_BYTES_MAX {
            (_, text) = text.split_once('.')?;
        }
        Name::from_dotted(text).ok()
    }
}

/// Letters, digits and inner hyphens, not digits alone.
fn is_top_label(label: &str) -> bool {
    let octets = label.as_bytes();
    [octets.first(), octets.last()].iter().all(|octet| octet.is_some_and(u8::is_ascii_alphanumeric))
        && octets.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-')
        && !octets.iter().all(u8::is_ascii_digit)
}

impl Macro {
    fn parse(inner: &str) -> Option<Self> {
        let (letter, rest) = inner.split_at_checked(1)?;
        let letter = *letter.as_bytes().first()?;
        if !b"slodiphcrtv".contains(&letter.to_ascii_lowercase()) {
            return None;
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = rest.split_at_checked(digits)?;
        let keep = match number {
            "" => None,
            // More parts than fit a number are all parts; none is an error (RFC 7208 §7.1).
            number => Some(number.parse().unwrap_or(usize::MAX)).filter(|keep| *keep > 0).map(Some)?,
        };
        let (reversed, delimiters) = match rest.as_bytes().first() {
            Some(b'r' | b'R') => (true, rest.get(1..)?),
            _ => (false, rest),
        };
        if !delimiters.chars().all(|c| DELIMITERS.contains(c)) {
            return None;
        }
        let delimiters = if delimiters.is_empty() { "." } else { delimiters };
        Some(Self {
            letter: letter.to_ascii_lowercase(),
            escaped: letter.is_ascii_uppercase(),
            keep,
            reversed,
            delimiters: delimiters.into(),
        })
    }

    fn value(&self, values: &Values<'_>) -> String {
        let mut value = String::new();
        // Writing to a string does not fail.
        let _ = match (self.letter, values.client) {
            (b's', _) => write!(value, "{}@{}", values.local_part, values.sender_domain),
            (b'l', _) => value.write_str(values.local_part),
            (b'o', _) => value.write_str(values.sender_domain),
            (b'd', _) => write!(value, "{}", values.domain),
            (b'h', _) => value.write_str(values.helo),
            (b'p', _) => value.write_str(values.client_name),
            (b'v', IpAddr::V4(_)) => value.write_str("in-addr"),
            (b'v', IpAddr::V6(_)) => value.write_str("ip6"),
            (b'i', IpAddr::V4(address)) => write!(value, "{address}"),
            (b'i', IpAddr::V6(address)) => address.octets().iter().enumerate().try_for_each(|(at, octet)| {
                let dot = if at == 0 { "" } else { "." };
                write!(value, "{dot}{:x}.{:x}", octet >> 4, octet & 15)
            }),
            _ => Ok(()),
        };
        value
    }

    fn expand(&self, values: &Values<'_>, out: &mut String) {
        let value = self.value(values);
        let mut parts: Vec<&str> = value.split(|c| self.delimiters.contains(c)).collect();
        if self.reversed {
            parts.reverse();
        }
        let left_out = parts.len().saturating_sub(self.keep.unwrap_or(usize::MAX));
        let expanded = parts.get(left_out..).unwrap_or_default().join(".");
        if !self.escaped {
            out.push_str(&expanded);
            return;
        }
        for octet in expanded.bytes() {
            if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
                out.push(octet.into());
            } else {
                let _ = write!(out, "%{octet:02X}");
            }
        }
    }
}
