//! Untrusted text made safe to print: one escape for the log, the console and every error message.

use core::fmt::{self, Write};
use limits::events::{ADDRESS_BYTES_MAX, TEXT_BYTES_MAX};
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes `bytes` as printable ASCII. Printable ASCII stands for itself, except the backslash and the octets in
/// `also`; every other octet becomes `\xNN`, two lower-case hexadecimal digits. Runs of plain text are written as one
/// slice, so that ordinary text costs one scan.
///
/// # Errors
/// Only those of `out`.
pub fn escape(out: &mut (impl Write + ?Sized), bytes: &[u8], also: &[u8]) -> fmt::Result {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let is_plain = |b: u8| (b' '..=b'~').contains(&b) && b != b'\\' && !also.contains(&b);
    let mut rest = bytes;
    while !rest.is_empty() {
        let plain = rest.iter().position(|b| !is_plain(*b)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(plain);
        // A run of printable ASCII is UTF-8; the empty text stands for what cannot happen.
        out.write_str(core::str::from_utf8(run).unwrap_or_default())?;
        let Some((byte, tail)) = after.split_first() else { break };
        let escaped = [b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        out.write_str(core::str::from_utf8(&escaped).unwrap_or_default())?;
        rest = tail;
    }
    Ok(())
}

/// Any octets, printed as printable ASCII without quotes and without a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(f, self.0, &[])
    }
}

/// The first `max` octets of `bytes`, and whether that is not all.
fn cut(bytes: &[u8], max: usize) -> (&[u8], bool) {
    match bytes.get(..max) {
        Some(start) => (start, bytes.len() > max),
        None => (bytes, false),
    }
}

/// A text from outside in an event. Prints in double quotes, escaped, cut at [`TEXT_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub &'a [u8]);

/// Prints a [`Text`] without quotes, spaces escaped: for words of our own that need no quotes.
#[derive(Clone, Copy, Debug)]
pub struct Bare<'a>(&'a [u8]);

/// An envelope address or host name from outside in an event. Prints in angle brackets, spaces and brackets escaped, so
/// that it stays one word; cut at [`ADDRESS_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a>(pub &'a [u8]);

impl<'a> Text<'a> {
    /// The same text without quotes; spaces are escaped.
    #[must_use]
    pub const fn bare(self) -> Bare<'a> {
        Bare(self.0)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, more) = cut(self.0, TEXT_BYTES_MAX);
        f.write_char('"')?;
        escape(f, shown, b"\"")?;
        f.write_str(if more { "~\"" } else { "\"" })
    }
}

impl fmt::Display for Bare<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, more) = cut(self.0, TEXT_BYTES_MAX);
        escape(f, shown, b"\" ")?;
        f.write_str(if more { "~" } else { "" })
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, more) = cut(self.0, ADDRESS_BYTES_MAX);
        f.write_char('<')?;
        escape(f, shown, b"<> ")?;
        f.write_str(if more { "~>" } else { ">" })
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Text<'a> {
    fn from(text: &'a [u8]) -> Self {
        Self(text)
    }
}

impl<'a> From<&'a str> for Address<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Address<'a> {
    fn from(text: &'a [u8]) -> Self {
        Self(text)
    }
}

struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = &'de [u8];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("octets")
    }

    fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(bytes)
    }
}

/// Octets up to one more than is shown are stored, so that the mark of a cut survives.
macro_rules! stored_as_octets {
    ($name:ident, $max:expr) => {
        impl Serialize for $name<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(cut(self.0, $max + 1).0)
            }
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $name<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = deserializer.deserialize_bytes(Bytes)?;
                if bytes.len() > $max + 1 {
                    return Err(D::Error::custom("too long"));
                }
                Ok(Self(bytes))
            }
        }
    };
}

stored_as_octets!(Text, TEXT_BYTES_MAX);
stored_as_octets!(Address, ADDRESS_BYTES_MAX);

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends in a panic")]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::string::{String, ToString};
    use std::vec::Vec;

    #[test]
    fn plain_text_stands_for_itself() {
        assert_eq!(Text::from("250 2.0.0 Ok: queued").to_string(), "\"250 2.0.0 Ok: queued\"");
        assert_eq!(Address::from("a.b+c@example.org").to_string(), "<a.b+c@example.org>");
        assert_eq!(Address::from("").to_string(), "<>");
        assert_eq!(Text::from("power-on").bare().to_string(), "power-on");
    }

    #[test]
    fn nothing_leaves_its_quotes_or_brackets() {
        assert_eq!(Text::from("a\"b\\c").to_string(), r#""a\x22b\x5cc""#);
        assert_eq!(Address::from("\"a b\"@x> peer=1").to_string(), r#"<"a\x20b"@x\x3e\x20peer=1>"#);
        assert_eq!(Text::from("a b").bare().to_string(), r"a\x20b");
    }

    #[test]
    fn a_mebibyte_of_terminal_escapes_comes_out_as_printable_ascii() {
        let hostile: Vec<u8> = b"\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\x00\x7f\xc3\xbc"
            .iter()
            .copied()
            .cycle()
            .take(1 << 20)
            .collect();
        let mut shown = String::new();
        escape(&mut shown, &hostile, &[]).unwrap();
        assert!(shown.bytes().all(|b| (b' '..=b'~').contains(&b)));
        assert!(shown.starts_with(r"\x1b[2J\x1b]0;owned\x07\x9b31m\x0d\x0a\x00\x7f\xc3\xbc\x1b"));
    }

    #[test]
    fn long_text_is_cut_and_marked() {
        let long = "a".repeat(TEXT_BYTES_MAX + 1);
        assert!(Text::from(long.as_str()).to_string().ends_with("a~\""));
        assert!(Text::from(&long[1..]).to_string().ends_with("a\""));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: proptest::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_octets_print_as_one_printable_word_or_quoted_text(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let text = Text(&bytes).to_string();
            let address = Address(&bytes).to_string();
            for line in [&text, &address] {
                prop_assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)));
            }
            prop_assert_eq!(text.matches('"').count(), 2);
            prop_assert!(!address.contains(' '));
            prop_assert_eq!(address.matches(['<', '>']).count(), 2);
        }
    }
}
