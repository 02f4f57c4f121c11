//! Mailboxes and paths by the grammar of RFC 5321 §4.1.2.
//!
//! [`MailboxRef`] is the checked view of a text as it was written, [`Mailbox`] the small owned value that is
//! always valid and always in canonical form: the local part without quotes where it needs none and with the
//! fewest backslashes where it does, the domain in lower case, an address literal as the IP address prints
//! itself. Two spellings of one mailbox are therefore equal as values; the case of the local part counts
//! (RFC 5321 §2.4).
//!
//! Addresses may be internationalised (RFC 6531 §3.3): a local part may hold UTF-8, without characters that steer how
//! text is shown; a domain may too, and becomes A-labels at once ([`crate::idna`]), so that every domain inside is ASCII.
//! Whether a peer may use such an address, and whether a next hop takes it, is asked with [`Mailbox::is_ascii`].

use crate::idna::{is_steering, to_ascii, write_ascii};
use alloc::{boxed::Box, string::String};
use core::{
    fmt::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};
use limits::smtp::{DOMAIN_BYTES_MAX, LOCAL_PART_BYTES_MAX};
use serde::{Deserialize, Serialize};

/// Octets of one label of a domain name (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// What is wrong with a mailbox or a path. The peer's fault each time: the address is refused with `501 5.1.3`
/// (recipient) or `501 5.1.7` (sender).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Not enclosed in `<` and `>`, or text follows where the path should end.
    Brackets,
    /// A source route (`<@a,@b:user@c>`), obsolete since RFC 5321 appendix C and a classic of open relays.
    SourceRoute,
    /// Octets that are not UTF-8, or a character that steers how text is shown.
    NotText,
    /// No `@`.
    NoDomain,
    /// The local part is longer than 64 octets.
    LocalPartTooLong,
    /// The domain is longer than 255 octets.
    DomainTooLong,
    /// The local part is neither a dot-string nor a quoted string.
    LocalPart,
    /// The domain is no sequence of labels of letters, digits and hyphens, or its last label is a number.
    Domain,
    /// The address literal is neither `[a.b.c.d]` nor `[IPv6:…]`.
    Literal,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Brackets => "address must be enclosed in < and >",
            Self::SourceRoute => "source routes are not accepted",
            Self::NotText => "address contains what is no text in UTF-8",
            Self::NoDomain => "address has no domain",
            Self::LocalPartTooLong => "local part is longer than 64 octets",
            Self::DomainTooLong => "domain is longer than 255 octets",
            Self::LocalPart => "malformed local part",
            Self::Domain => "malformed domain",
            Self::Literal => "malformed address literal",
        })
    }
}

impl core::error::Error for AddressError {}

/// A checked mailbox as it was written. Borrowed; make it a [`Mailbox`] to keep it.
#[derive(Clone, Copy, Debug)]
pub struct MailboxRef<'a> {
    local_part: &'a str,
    domain: &'a str,
}

impl<'a> MailboxRef<'a> {
    /// Checks `text`, which must be a whole `Mailbox` of RFC 5321 §4.1.2 without angle brackets.
    ///
    /// # Errors
    /// The first thing that is wrong, from left to right.
    pub fn parse(text: &'a str) -> Result<Self, AddressError> {
        if !text.is_ascii() && text.chars().any(|c| !c.is_ascii() && is_steering(c)) {
            return Err(AddressError::NotText);
        }
        let at = if text.starts_with('"') {
            quoted_string_bytes(text.as_bytes()).ok_or(AddressError::LocalPart)?
        } else {
            text.find('@').ok_or(AddressError::NoDomain)?
        };
        let (local_part, rest) = text.split_at(at);
        let domain = rest.strip_prefix('@').ok_or(if rest.is_empty() {
            AddressError::NoDomain
        } else {
            AddressError::LocalPart
        })?;
        if local_part.len() > LOCAL_PART_BYTES_MAX {
            return Err(AddressError::LocalPartTooLong);
        }
        if !local_part.starts_with('"') && !is_dot_string(local_part) {
            return Err(AddressError::LocalPart);
        }
        if domain.is_ascii() {
            check_domain(domain)?;
        } else {
            check_domain(&to_ascii(domain)?)?;
        }
        Ok(Self { local_part, domain })
    }

    /// The local part as written, with its quotes if it has any.
    #[must_use]
    pub const fn local_part(&self) -> &'a str {
        self.local_part
    }

    /// The domain or address literal as written.
    #[must_use]
    pub const fn domain(&self) -> &'a str {
        self.domain
    }

    /// The canonical owned value.
    #[must_use]
    pub fn to_mailbox(&self) -> Mailbox {
        let mut text = String::with_capacity(self.local_part.len() + 1 + self.domain.len());
        match self.local_part.strip_prefix('"').and_then(|l| l.strip_suffix('"')) {
            None => text.push_str(self.local_part),
            Some(quoted) => push_unquoted(&mut text, quoted),
        }
        let at = text.len();
        text.push('@');
        match literal_address(self.domain) {
            Some(IpAddr::V4(address)) => _ = write!(text, "[{address}]"),
            Some(IpAddr::V6(address)) => _ = write!(text, "[IPv6:{address}]"),
            None if self.domain.is_ascii() => {
                text.extend(self.domain.chars().map(|c| c.to_ascii_lowercase()));
            }
            None => write_ascii(self.domain, &mut text),
        }
        // `at` is at most LOCAL_PART_BYTES_MAX: canonical form never lengthens a local part.
        Mailbox { text: text.into_boxed_str(), at: at as u8 }
    }
}

limits::const_assert!(LOCAL_PART_BYTES_MAX <= u8::MAX as usize);

/// A valid mailbox in canonical form: one heap block of at most `limits::smtp::MAILBOX_BYTES_MAX` octets.
///
/// Serialised as its text; deserialising checks it again.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mailbox {
    text: Box<str>,
    at: u8,
}

impl Mailbox {
    /// Checks `text` and makes it canonical.
    ///
    /// # Errors
    /// As [`MailboxRef::parse`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        MailboxRef::parse(text).map(|m| m.to_mailbox())
    }

    /// The canonical text, without angle brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The local part, quoted if it must be.
    #[must_use]
    pub fn local_part(&self) -> &str {
        self.text.split_at(usize::from(self.at)).0
    }

    /// The domain in lower case, or the address literal with its brackets.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.text.split_at(usize::from(self.at) + 1).1
    }

    /// The address if the domain is an address literal.
    #[must_use]
    pub fn literal_address(&self) -> Option<IpAddr> {
        literal_address(self.domain())
    }

    /// Whether this is the mailbox `postmaster` of whatever domain (any case: RFC 5321 §4.5.1).
    #[must_use]
    pub fn is_postmaster(&self) -> bool {
        self.local_part().eq_ignore_ascii_case("postmaster")
    }

    /// Whether the mailbox can be said without SMTPUTF8 (RFC 6531): the domain always can, as A-labels.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }

    /// Equality that ignores the case of the local part too, as the owners of most domains do.
    #[must_use]
    pub fn eq_ignore_case(&self, other: &Self) -> bool {
        self.text.eq_ignore_ascii_case(&other.text)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Mailbox {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<Mailbox> for String {
    fn from(mailbox: Mailbox) -> Self {
        mailbox.text.into_string()
    }
}

/// The sender of an envelope. Prints as the mailbox, and as nothing when it is null; put `<` and `>` around it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ReversePath {
    /// `<>`: the sender of notifications, never answered (RFC 5321 §4.5.5).
    Null,
    /// A mailbox that failures are reported to.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// Reads what [`Display`](fmt::Display) wrote: nothing is the null path.
    ///
    /// # Errors
    /// As [`MailboxRef::parse`].
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() { Ok(Self::Null) } else { Mailbox::parse(text).map(Self::Mailbox) }
    }

    /// The mailbox, or `None` for the null path.
    #[must_use]
    pub const fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// The canonical text, empty for the null path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.mailbox().map_or("", Mailbox::as_str)
    }

    /// As [`Mailbox::is_ascii`]; the null path is.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.as_str().is_ascii()
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What stands between `<` and `>` in MAIL and RCPT.
#[derive(Clone, Copy, Debug)]
pub enum PathRef<'a> {
    /// `<>`.
    Null,
    /// `<postmaster>` without a domain, in any case: RFC 5321 §4.1.1.3 has every server accept it.
    Postmaster,
    /// A mailbox.
    Mailbox(MailboxRef<'a>),
}

impl<'a> PathRef<'a> {
    /// Takes the path from the start of `input` and returns it with what follows the `>`.
    ///
    /// # Errors
    /// See [`AddressError`]; a source route is recognised and refused.
    pub fn parse_prefix(input: &'a [u8]) -> Result<(Self, &'a [u8]), AddressError> {
        let inner = input.strip_prefix(b"<").ok_or(AddressError::Brackets)?;
        let end = path_bytes(inner).ok_or(AddressError::Brackets)?;
        let (text, rest) = inner.split_at_checked(end).ok_or(AddressError::Brackets)?;
        let rest = rest.get(1..).unwrap_or_default();
        let text = core::str::from_utf8(text).map_err(|_| AddressError::NotText)?;
        let path = if text.is_empty() {
            Self::Null
        } else if text.starts_with('@') {
            return Err(AddressError::SourceRoute);
        } else if text.eq_ignore_ascii_case("postmaster") {
            Self::Postmaster
        } else {
            Self::Mailbox(MailboxRef::parse(text)?)
        };
        Ok((path, rest))
    }
}

/// Checks a domain name or an address literal (RFC 5321 §4.1.2).
///
/// # Errors
/// [`AddressError::Domain`], [`AddressError::DomainTooLong`], [`AddressError::Literal`].
pub fn check_domain(domain: &str) -> Result<(), AddressError> {
    if domain.len() > DOMAIN_BYTES_MAX {
        return Err(AddressError::DomainTooLong);
    }
    if domain.starts_with('[') {
        return literal_address(domain).map(|_| ()).ok_or(AddressError::Literal);
    }
    let mut last_is_number = true;
    for label in domain.split('.') {
        let bytes = label.as_bytes();
        let edges = [bytes.first(), bytes.last()];
        let well_formed = bytes.len() <= LABEL_BYTES_MAX
            && edges.iter().all(|b| b.is_some_and(u8::is_ascii_alphanumeric))
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        if !well_formed {
            return Err(AddressError::Domain);
        }
        last_is_number = bytes.iter().all(u8::is_ascii_digit);
    }
    // RFC 1123 §2.1: the highest label of a host name is never a number, so 192.0.2.1 is no name.
    if last_is_number { Err(AddressError::Domain) } else { Ok(()) }
}

/// The address of `[a.b.c.d]` or `[IPv6:…]`, `None` for anything else.
#[must_use]
pub fn literal_address(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    match inner.split_at_checked(5) {
        Some((tag, address)) if tag.eq_ignore_ascii_case("IPv6:") => {
            Ipv6Addr::from_str(address).ok().map(IpAddr::V6)
        }
        _ => Ipv4Addr::from_str(inner).ok().map(IpAddr::V4),
    }
}

/// Octets before the `>` that ends a path; one inside a quoted string does not end it.
fn path_bytes(inner: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in inner.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Octets of the quoted string that `text` starts with, quotes included; `None` if it is not well formed.
fn quoted_string_bytes(text: &[u8]) -> Option<usize> {
    let mut rest = text.iter().enumerate().skip(1);
    while let Some((at, byte)) = rest.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => _ = rest.next().filter(|(_, b)| is_printable(**b))?,
            b if is_printable(*b) => {}
            _ => return None,
        }
    }
    None
}

/// Adds a local part that was quoted, in its shortest form.
fn push_unquoted(text: &mut String, quoted: &str) {
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    if is_dot_string(&plain) {
        text.push_str(&plain);
        return;
    }
    text.push('"');
    for c in plain.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

fn is_dot_string(text: &str) -> bool {
    text.split('.').all(|atom| !atom.is_empty() && atom.bytes().all(is_atext))
}

/// RFC 5322 `atext` and the octets of UTF-8 (RFC 6531 §3.3).
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// Space to tilde, what RFC 5321 allows inside quotes, and the octets of UTF-8 (RFC 6531 §3.3).
const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};

    fn canonical(text: &str) -> Result<String, AddressError> {
        Mailbox::parse(text).map(|m| m.to_string())
    }

    #[test]
    fn internationalised_mailboxes_keep_their_local_part_and_get_an_ascii_domain() {
        for (written, printed, ascii) in [
            ("b\u{fc}ro@example.org", "b\u{fc}ro@example.org", false),
            ("office@B\u{fc}cher.example", "office@xn--bcher-kva.example", true),
            ("\"b\u{fc} ro\"@b\u{fc}cher.example", "\"b\u{fc} ro\"@xn--bcher-kva.example", false),
            ("\"\u{7528}\u{6237}\"@example.org", "\u{7528}\u{6237}@example.org", false),
        ] {
            let mailbox = Mailbox::parse(written).expect(written);
            assert_eq!((mailbox.as_str(), mailbox.is_ascii()), (printed, ascii), "{written}");
            assert_eq!(Mailbox::parse(mailbox.as_str()), Ok(mailbox.clone()));
            assert!(mailbox.domain().is_ascii() && !mailbox.local_part().is_empty());
        }
        let long = "\u{fc}".repeat(33) + "@example.org";
        assert_eq!(Mailbox::parse(&long), Err(AddressError::LocalPartTooLong));
    }

    #[test]
    fn mailboxes_are_printed_in_canonical_form() {
        for (written, printed) in [
            ("user@example.org", "user@example.org"),
            ("User.Name+tag@EXAMPLE.Org", "User.Name+tag@example.org"),
            ("\"user\"@example.org", "user@example.org"),
            ("\"us\\er\"@example.org", "user@example.org"),
            ("\"a b\"@example.org", "\"a b\"@example.org"),
            ("\"a\\ b\"@example.org", "\"a b\"@example.org"),
            ("\"a@b\"@example.org", "\"a@b\"@example.org"),
            ("\"a\\\"\\\\b\"@example.org", "\"a\\\"\\\\b\"@example.org"),
            ("\"\"@example.org", "\"\"@example.org"),
            ("\".a\"@example.org", "\".a\"@example.org"),
            ("a%b@example.org", "a%b@example.org"),
            ("a!b@example.org", "a!b@example.org"),
            ("a@localhost", "a@localhost"),
            ("a@1and1.example", "a@1and1.example"),
            ("a@[192.0.2.1]", "a@[192.0.2.1]"),
            ("a@[ipv6:2001:DB8:0:0:0:0:0:1]", "a@[IPv6:2001:db8::1]"),
            ("{|}~`'*/=?^_@example.org", "{|}~`'*/=?^_@example.org"),
        ] {
            assert_eq!(canonical(written).as_deref(), Ok(printed), "{written}");
            assert_eq!(canonical(printed).as_deref(), Ok(printed), "{written} twice");
        }
    }

    #[test]
    fn malformed_mailboxes_say_what_is_wrong() {
        use AddressError::*;
        for (text, error) in [
            ("", NoDomain),
            ("user", NoDomain),
            ("@example.org", LocalPart),
            (".a@example.org", LocalPart),
            ("a.@example.org", LocalPart),
            ("a..b@example.org", LocalPart),
            ("a b@example.org", LocalPart),
            ("a(b)@example.org", LocalPart),
            ("a\"b\"@example.org", LocalPart),
            ("\"a\"b@example.org", LocalPart),
            ("\"a\"", NoDomain),
            ("\"a@example.org", LocalPart),
            ("\"a\\", LocalPart),
            ("\"a\r\n\"@example.org", LocalPart),
            ("a\0@example.org", LocalPart),
            ("a@", Domain),
            ("a@.", Domain),
            ("a@example.org.", Domain),
            ("a@.example.org", Domain),
            ("a@example..org", Domain),
            ("a@-example.org", Domain),
            ("a@example-.org", Domain),
            ("a@exa_mple.org", Domain),
            ("a@b@example.org", Domain),
            ("a@192.0.2.1", Domain),
            ("a@example.org\r\nX-Injected: 1", Domain),
            ("a@[192.0.2.256]", Literal),
            ("a@[192.0.2.1", Literal),
            ("a@[2001:db8::1]", Literal),
            ("a@[IPv6:2001:db8::g]", Literal),
            ("a@[tag:content]", Literal),
            ("a@[]", Literal),
            ("a\u{202e}@example.org", NotText),
            ("a\u{85}b@example.org", NotText),
            ("\u{feff}a@example.org", NotText),
            ("a@\u{2603}.example", Domain),
        ] {
            assert_eq!(Mailbox::parse(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn lengths_are_limited() {
        let local = "l".repeat(64);
        assert!(Mailbox::parse(&format!("{local}@example.org")).is_ok());
        assert_eq!(Mailbox::parse(&format!("{local}l@example.org")), Err(AddressError::LocalPartTooLong));
        let label = "d".repeat(63);
        let longest = format!("{label}.{label}.{label}.{label}");
        assert!(Mailbox::parse(&format!("{local}@{longest}")).is_ok());
        assert_eq!(Mailbox::parse(&format!("a@{longest}.e")), Err(AddressError::DomainTooLong));
        assert_eq!(Mailbox::parse(&format!("a@{label}d.org")), Err(AddressError::Domain));
    }

    #[test]
    fn spellings_of_one_mailbox_are_equal_and_the_case_of_the_local_part_counts() {
        let parse = |t| Mailbox::parse(t).expect("valid");
        assert_eq!(parse("\"a\"@EXAMPLE.org"), parse("a@example.org"));
        assert_ne!(parse("A@example.org"), parse("a@example.org"));
        assert!(parse("A@example.org").eq_ignore_case(&parse("a@example.org")));
        assert!(parse("PostMaster@example.org").is_postmaster());
        let mailbox = parse("\"a@b\"@[192.0.2.1]");
        assert_eq!((mailbox.local_part(), mailbox.domain()), ("\"a@b\"", "[192.0.2.1]"));
        assert_eq!(mailbox.literal_address(), Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))));
    }

    #[test]
    fn paths_end_where_the_bracket_closes_outside_quotes() {
        let path = |t: &'static str| PathRef::parse_prefix(t.as_bytes());
        assert!(matches!(path("<>"), Ok((PathRef::Null, b""))));
        assert!(matches!(path("<> SIZE=1"), Ok((PathRef::Null, b" SIZE=1"))));
        assert!(matches!(path("<POSTmaster>"), Ok((PathRef::Postmaster, b""))));
        let Ok((PathRef::Mailbox(mailbox), b" X")) = path("<\"a>\\\"b\"@example.org> X") else {
            panic!("not read")
        };
        assert_eq!(mailbox.local_part(), "\"a>\\\"b\"");
        for (text, error) in [
            ("", AddressError::Brackets),
            ("a@example.org", AddressError::Brackets),
            ("<a@example.org", AddressError::Brackets),
            ("<\"a@example.org>", AddressError::Brackets),
            ("<@a.example,@b.example:c@example.org>", AddressError::SourceRoute),
            ("<@a.example:c@example.org>", AddressError::SourceRoute),
            ("< a@example.org>", AddressError::LocalPart),
            ("<a@example.org >", AddressError::Domain),
            ("<<a@example.org>>", AddressError::LocalPart),
        ] {
            assert_eq!(path(text).map(|_| ()), Err(error), "{text:?}");
        }
        assert_eq!(PathRef::parse_prefix(b"<\xff@a.example>").map(|_| ()), Err(AddressError::NotText));
    }

    #[test]
    fn the_null_path_prints_as_nothing() {
        assert_eq!(ReversePath::parse(""), Ok(ReversePath::Null));
        assert_eq!(ReversePath::Null.to_string(), "");
        assert_eq!(
            ReversePath::parse("a@example.org").map(|p| p.to_string()).as_deref(),
            Ok("a@example.org")
        );
    }
}
