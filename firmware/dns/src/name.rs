//! Domain names (RFC 1035 §3.1) as values that are always valid.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::net::IpAddr;
use core::str::FromStr;
use limits::dns::{LABEL_BYTES_MAX, NAME_BYTES_MAX};

/// What is wrong with the text of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// Two dots in a row, a dot at the start, or nothing at all.
    EmptyLabel,
    /// More than 63 octets between two dots.
    LabelTooLong,
    /// More than 255 octets on the wire: 253 as text.
    TooLong,
    /// A space, a control character, or an octet outside ASCII. Internationalised names are written as A-labels.
    Character,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EmptyLabel => "a name has something between its dots",
            Self::LabelTooLong => "a label has at most 63 characters",
            Self::TooLong => "a name has at most 253 characters",
            Self::Character => "a name has no spaces, and only ASCII characters",
        })
    }
}

impl core::error::Error for NameError {}

/// A fully qualified domain name, in lower case: DNS compares without case (RFC 4343), so two spellings of one name
/// are one value. At most 255 octets, one heap block.
///
/// Labels may hold any octet, as on the wire: what is a host name is for others to say, see [`Name::host`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Wire form without compression, the final zero included.
    wire: Box<[u8]>,
}

impl Name {
    /// The root: a name without labels.
    #[must_use]
    pub fn root() -> Self {
        Self { wire: Box::new([0]) }
    }

    /// Reads a name as people write it; a dot at the end changes nothing.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == "." {
            return Ok(Self::root());
        }
        if !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return Err(NameError::Character);
        }
        Self::from_dotted(text)
    }

    /// Makes a name of whatever stands between the dots of a text, spaces included: for names that are put together from
    /// what others say.
    ///
    /// # Errors
    /// [`NameError::EmptyLabel`], [`NameError::LabelTooLong`], [`NameError::TooLong`].
    pub fn from_dotted(text: &str) -> Result<Self, NameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut builder = Builder::default();
        for label in text.split('.') {
            if label.is_empty() {
                return Err(NameError::EmptyLabel);
            }
            builder.label(label.as_bytes())?;
        }
        Ok(builder.finish())
    }

    /// The name under which the host name of an address is found (RFC 1035 §3.5, RFC 3596 §2.5).
    #[must_use]
    pub fn reverse(address: IpAddr) -> Self {
        let mut text = String::new();
        // Writing to a string does not fail, and what is written here is always a name.
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, d] = v4.octets();
                let _ = write!(text, "{d}.{c}.{b}.{a}.in-addr.arpa");
            }
            IpAddr::V6(v6) => {
                for octet in v6.octets().iter().rev() {
                    let _ = write!(text, "{:x}.{:x}.", octet & 15, octet >> 4);
                }
                text.push_str("ip6.arpa");
            }
        }
        Self::parse(&text).unwrap_or_else(|_| Self::root())
    }

    /// The wire form without compression, the final zero included.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The labels from left to right, without the root's.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.wire;
        core::iter::from_fn(move || {
            let (length, after) = rest.split_first()?;
            let (label, after) =
                after.split_at_checked(usize::from(*length)).filter(|(l, _)| !l.is_empty())?;
            rest = after;
            Some(label)
        })
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.wire.len() == 1
    }

    /// Whether this name is `zone` or below it.
    #[must_use]
    pub fn is_within(&self, zone: &Self) -> bool {
        // Where the wire forms end alike, a label of this one must begin there: octets alone may lie inside a label.
        let Some(at) = self.wire.len().checked_sub(zone.wire.len()) else { return false };
        let mut begins = 0;
        for label in self.labels() {
            if begins >= at {
                break;
            }
            begins += 1 + label.len();
        }
        begins == at && self.wire.get(at..) == Some(&*zone.wire)
    }

    /// The text of a host name (RFC 1123 §2.1: letters, digits and hyphens), without a dot at the end; `None` if this
    /// is none.
    #[must_use]
    pub fn host(&self) -> Option<String> {
        let well_formed = |label: &[u8]| {
            [label.first(), label.last()].iter().all(|b| b.is_some_and(u8::is_ascii_alphanumeric))
                && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        };
        let number = self.labels().last().is_none_or(|label| label.iter().all(u8::is_ascii_digit));
        (!number && self.labels().all(well_formed)).then(|| {
            let mut text = String::with_capacity(self.wire.len());
            let _ = write!(text, "{self}");
            text
        })
    }
}

impl fmt::Display for Name {
    /// Without a dot at the end, except the root. Octets that would mislead a reader are escaped (RFC 1035 §5.1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (number, label) in self.labels().enumerate() {
            if number > 0 {
                f.write_char('.')?;
            }
            for octet in label {
                match octet {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(*octet))?,
                    0x21..=0x7e => f.write_char(char::from(*octet))?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

/// Puts a name together label by label.
#[derive(Default)]
pub(crate) struct Builder {
    wire: Vec<u8>,
}

impl Builder {
    /// Adds a label of at least one octet.
    pub(crate) fn label(&mut self, label: &[u8]) -> Result<(), NameError> {
        let length = u8::try_from(label.len()).map_err(|_| NameError::LabelTooLong)?;
        if label.len() > LABEL_BYTES_MAX {
            return Err(NameError::LabelTooLong);
        }
        // One octet more for the root.
        if self.wire.len() + 1 + label.len() + 1 > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        self.wire.push(length);
        self.wire.extend(label.iter().map(u8::to_ascii_lowercase));
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Name {
        self.wire.push(0);
        Name { wire: self.wire.into_boxed_slice() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::{format, vec};

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn spellings_of_one_name_are_one_value() {
        assert_eq!(name("Mail.Example.COM"), name("mail.example.com."));
        assert_eq!(name("Mail.Example").wire(), b"\x04mail\x07example\0");
        assert_eq!(name("."), Name::root());
        assert_eq!(name("a.b").to_string(), "a.b");
        assert_eq!(Name::root().to_string(), ".");
        assert_eq!(
            name("_25._tcp.mx.example").labels().collect::<vec::Vec<_>>(),
            [&b"_25"[..], b"_tcp", b"mx", b"example"]
        );
    }

    #[test]
    fn what_is_too_long_or_misshaped_is_no_name() {
        let (most, more) = ("a".repeat(63), "a".repeat(64));
        assert!(Name::parse(&most).is_ok());
        assert_eq!(Name::parse(&more), Err(NameError::LabelTooLong));
        let long = format!("{most}.{most}.{most}.{}", "a".repeat(61));
        assert_eq!((long.len(), name(&long).wire().len()), (253, 255));
        assert_eq!(Name::parse(&format!("{long}a")), Err(NameError::TooLong));
        for empty in ["", "a..b", ".a", ".."] {
            assert_eq!(Name::parse(empty), Err(NameError::EmptyLabel), "{empty:?}");
        }
        for odd in ["a b", "b\u{fc}cher.example", "a\n"] {
            assert_eq!(Name::parse(odd), Err(NameError::Character), "{odd:?}");
        }
    }

    #[test]
    fn only_what_lies_below_a_zone_is_within_it() {
        let zone = name("example.com");
        for inside in ["example.com", "a.example.com", "b.a.example.com"] {
            assert!(name(inside).is_within(&zone), "{inside}");
        }
        for outside in ["com", "ample.com", "badexample.com", "example.org", "example.com.evil"] {
            assert!(!name(outside).is_within(&zone), "{outside}");
        }
        assert!(name("x").is_within(&Name::root()));
        // The length octet 11 of this label followed by what looks like the wire form of the zone.
        let mut builder = Builder::default();
        builder.label(b"x\x07example\x03co").expect("short");
        assert!(!builder.finish().is_within(&zone));
    }

    #[test]
    fn reverse_names_are_those_of_the_standards() {
        assert_eq!(Name::reverse([192, 0, 2, 1].into()), name("1.2.0.192.in-addr.arpa"));
        assert_eq!(
            Name::reverse("::ffff:192.0.2.1".parse().expect("an address")),
            name("1.2.0.192.in-addr.arpa")
        );
        let six: IpAddr = "2001:db8::567:89ab".parse().expect("an address");
        let text = "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
        assert_eq!(Name::reverse(six), name(text));
    }

    #[test]
    fn not_every_name_is_a_host() {
        assert_eq!(name("MX1.example.com").host().as_deref(), Some("mx1.example.com"));
        for other in [".", "_dmarc.example.com", "192.0.2.1", "-a.example", "a-.example", "a*b.example"] {
            assert_eq!(name(other).host(), None, "{other}");
        }
    }
}
