//! Records: from text to terms (RFC 7208 §12).

use crate::Problem;
use crate::macros::MacroString;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use limits::spf::RECORD_BYTES_MAX;

/// What a term that matches makes of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qualifier {
    /// `+`
    Pass,
    /// `-`
    Fail,
    /// `~`
    SoftFail,
    /// `?`
    Neutral,
}

/// Lengths of the networks that addresses are compared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefixes {
    pub(crate) four: u8,
    pub(crate) six: u8,
}

impl Prefixes {
    const WHOLE: Self = Self { four: 32, six: 128 };

    /// Whether both addresses are of one family and in one network of these lengths.
    pub(crate) fn same_network(self, one: IpAddr, other: IpAddr) -> bool {
        match (one, other) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.four.min(32))).unwrap_or(0);
                one.to_bits() & mask == other.to_bits() & mask
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.six.min(128))).unwrap_or(0);
                one.to_bits() & mask == other.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// What a term compares with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    All,
    Include(MacroString),
    A(Option<MacroString>, Prefixes),
    Mx(Option<MacroString>, Prefixes),
    Ptr(Option<MacroString>),
    Ip(IpAddr, Prefixes),
    Exists(MacroString),
}

/// A mechanism with its qualifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directive {
    pub(crate) qualifier: Qualifier,
    pub(crate) mechanism: Mechanism,
    /// As it was written.
    pub(crate) text: Box<str>,
}

/// One record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) directives: Vec<Directive>,
    pub(crate) redirect: Option<MacroString>,
}

/// What a record begins with, in any case.
const VERSION: &[u8] = b"v=spf1";

/// Whether a text is an SPF record, well formed or not (RFC 7208 §4.5).
#[must_use]
pub fn is_record(text: &[u8]) -> bool {
    match text.split_at_checked(VERSION.len()) {
        Some((version, rest)) => {
            version.eq_ignore_ascii_case(VERSION) && rest.first().is_none_or(|octet| *octet == b' ')
        }
        None => false,
    }
}

impl Record {
    /// Reads a record. One term that is wrong makes the whole record wrong (RFC 7208 §4.6).
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Problem> {
        let text =
            text.get(VERSION.len()..).filter(|_| text.len() <= RECORD_BYTES_MAX).ok_or(Problem::TooLong)?;
        let text = core::str::from_utf8(text).ok().filter(|text| text.is_ascii()).ok_or(Problem::NotAscii)?;
        let mut record = Self::default();
        let mut explained = false;
        for term in text.split(' ').filter(|term| !term.is_empty()) {
            let wrong = || Problem::Syntax(term.into());
            match modifier(term) {
                Some((name, value)) if name.eq_ignore_ascii_case("redirect") => {
                    let target = MacroString::domain(value).ok_or_else(wrong)?;
                    if record.redirect.replace(target).is_some() {
                        return Err(wrong());
                    }
                }
                Some((name, value)) if name.eq_ignore_ascii_case("exp") => {
                    MacroString::domain(value).ok_or_else(wrong)?;
                    if core::mem::replace(&mut explained, true) {
                        return Err(wrong());
                    }
                }
                Some((_, value)) => _ = MacroString::parse(value).ok_or_else(wrong)?,
                None => record.directives.push(directive(term).ok_or_else(wrong)?),
            }
        }
        Ok(record)
    }
}

/// The name and value of a modifier: a name, then `=`. A mechanism has none of these before its first `:` or `/`.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let mut octets = name.bytes();
    let begins = octets.next().is_some_and(|octet| octet.is_ascii_alphabetic());
    (begins && octets.all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet)))
        .then_some((name, value))
}

fn directive(term: &str) -> Option<Directive> {
    let (qualifier, rest) = match term.as_bytes().first()? {
        b'+' => (Qualifier::Pass, term.get(1..)?),
        b'-' => (Qualifier::Fail, term.get(1..)?),
        b'~' => (Qualifier::SoftFail, term.get(1..)?),
        b'?' => (Qualifier::Neutral, term.get(1..)?),
        _ => (Qualifier::Pass, term),
    };
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let mechanism = if is("all") {
        rest.is_empty().then_some(Mechanism::All)?
    } else if is("include") {
        Mechanism::Include(MacroString::domain(rest.strip_prefix(':')?)?)
    } else if is("exists") {
        Mechanism::Exists(MacroString::domain(rest.strip_prefix(':')?)?)
    } else if is("ptr") {
        Mechanism::Ptr(match rest.strip_prefix(':') {
            Some(domain) => Some(MacroString::domain(domain)?),
            None => rest.is_empty().then_some(None)?,
        })
    } else if is("a") {
        let (domain, prefixes) = target(rest)?;
        Mechanism::A(domain, prefixes)
    } else if is("mx") {
        let (domain, prefixes) = target(rest)?;
        Mechanism::Mx(domain, prefixes)
    } else if is("ip4") {
        let (address, prefix) = network(rest.strip_prefix(':')?, 32)?;
        Mechanism::Ip(IpAddr::V4(ipv4(address)?), Prefixes { four: prefix, six: 0 })
    } else if is("ip6") {
        let (address, prefix) = network(rest.strip_prefix(':')?, 128)?;
        Mechanism::Ip(IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), Prefixes { four: 0, six: prefix })
    } else {
        return None;
    };
    Some(Directive { qualifier, mechanism, text: term.into() })
}

/// Four numbers, as the standard has them: no leading zeros.
fn ipv4(text: &str) -> Option<Ipv4Addr> {
    text.parse().ok()
}

fn network(text: &str, most: u8) -> Option<(&str, u8)> {
    match text.split_once('/') {
        Some((address, length)) => Some((address, prefix(length, most)?)),
        None => Some((text, most)),
    }
}

/// A length of a network: a number without leading zeros.
fn prefix(text: &str, most: u8) -> Option<u8> {
    let digits = !text.is_empty() && text.len() <= 3 && text.bytes().all(|octet| octet.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok().filter(|length| *length <= most)
}

/// `[ ":" domain-spec ] [ dual-cidr-length ]`: `/24`, `//64` or `/24//64` at the end.
fn target(text: &str) -> Option<(Option<MacroString>, Prefixes)> {
    let mut prefixes = Prefixes::WHOLE;
    let mut rest = text;
    // Names may have slashes too, so a length is what is a number at the end.
    let number = |(_, length): &(&str, &str)| length.bytes().all(|octet| octet.is_ascii_digit());
    if let Some((before, length)) = rest.rsplit_once("//").filter(number) {
        prefixes.six = prefix(length, 128)?;
        rest = before;
    }
    if let Some((before, length)) = rest.rsplit_once('/').filter(number) {
        prefixes.four = prefix(length, 32)?;
        rest = before;
    }
    let domain = match rest.strip_prefix(':') {
        Some(domain) => Some(MacroString::domain(domain)?),
        None => rest.is_empty().then_some(None)?,
    };
    Some((domain, prefixes))
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pass => "+",
            Self::Fail => "-",
            Self::SoftFail => "~",
            Self::Neutral => "?",
        })
    }
}
