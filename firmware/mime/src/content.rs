//! Content-Type and Content-Transfer-Encoding of an entity (RFC 2045 §5 and §6).

use crate::address::count_encoded_words;
use alloc::boxed::Box;
use limits::mime::{BOUNDARY_BYTES_MAX, ENCODED_WORDS_COUNT_MAX, PARAMETER_PIECES_COUNT_MAX};
use mail_parser::{ContentType, HeaderValue, parsers::MessageStream};

/// What a body is, as far as a gateway cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `multipart/*`, walked.
    Multipart,
    /// `message/rfc822` and `message/global`: a message inside, walked.
    AttachedMessage,
    /// `text/*`, or no Content-Type at all.
    Text,
    /// Any other single body, which may have any transfer encoding.
    Other,
    /// `message/*` that is not walked: only identity encodings are allowed (RFC 2046 §5.2), so it stays as it is.
    OtherMessage,
    /// A multipart that is not walked: nested too deeply, or its boundary can be read in more than one way.
    OpaqueMultipart,
    /// `multipart/signed` (RFC 1847).
    Signed,
    /// `multipart/encrypted` (RFC 1847).
    Encrypted,
    /// `application/pkcs7-mime` that is signed data (RFC 8551 §3.5.2).
    Pkcs7Signed,
    /// `application/pkcs7-mime` that is enveloped, or does not say.
    Pkcs7Enveloped,
}

impl Kind {
    /// Somebody protected it; no octet of it may change.
    #[must_use]
    pub fn is_protected(self) -> bool {
        matches!(self, Self::Signed | Self::Encrypted | Self::Pkcs7Signed | Self::Pkcs7Enveloped)
    }

    /// Its body is walked.
    #[must_use]
    pub fn is_container(self) -> bool {
        matches!(self, Self::Multipart | Self::AttachedMessage)
    }
}

/// A Content-Transfer-Encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `7bit`, or no field.
    SevenBit,
    /// `8bit`.
    EightBit,
    /// `binary`.
    Binary,
    /// `quoted-printable`.
    QuotedPrintable,
    /// `base64`.
    Base64,
    /// Anything else; what the octets mean is not known.
    Unknown,
}

impl Encoding {
    /// Reads the value of the field.
    #[must_use]
    pub fn from_field(value: &[u8]) -> Self {
        let value = value.trim_ascii();
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("7bit") => Self::SevenBit,
            () if is("8bit") => Self::EightBit,
            () if is("binary") => Self::Binary,
            () if is("quoted-printable") => Self::QuotedPrintable,
            () if is("base64") => Self::Base64,
            () => Self::Unknown,
        }
    }

    /// The octets of the body are the octets of the content.
    #[must_use]
    pub fn is_identity(self) -> bool {
        matches!(self, Self::SevenBit | Self::EightBit | Self::Binary)
    }
}

/// A Content-Type field, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MediaType {
    pub kind: Kind,
    /// `multipart/digest`: parts without a Content-Type are messages (RFC 2046 §5.1.5).
    pub digest: bool,
    pub boundary: Option<Box<[u8]>>,
}

impl MediaType {
    pub const TEXT: Self = Self { kind: Kind::Text, digest: false, boundary: None };
    pub const MESSAGE: Self = Self { kind: Kind::AttachedMessage, digest: false, boundary: None };

    /// Reads the value of the field, folds and final CRLF included.
    pub fn from_field(value: &[u8]) -> Self {
        let other = Self { kind: Kind::Other, digest: false, boundary: None };
        let pieces = value.iter().filter(|c| **c == b'*').count();
        if count_encoded_words(value) > ENCODED_WORDS_COUNT_MAX || pieces > PARAMETER_PIECES_COUNT_MAX {
            // If it was a multipart the boundary is unknown; nothing may be re-encoded then.
            return Self { kind: Kind::OpaqueMultipart, ..other };
        }
        let well_formed = is_well_formed(value);
        if !well_formed && mentions_container(value) {
            return Self { kind: Kind::OpaqueMultipart, ..other };
        }
        let HeaderValue::ContentType(parsed) = MessageStream::new(value).parse_content_type() else {
            return other;
        };
        let main = parsed.c_type.as_ref();
        let sub = parsed.c_subtype.as_deref().unwrap_or("");
        let sub = sub.trim();
        let kind = match main.trim() {
            "multipart" => match sub {
                "signed" => Kind::Signed,
                "encrypted" => Kind::Encrypted,
                _ => return Self::multipart(value, &parsed, sub),
            },
            "message" if sub == "rfc822" || sub == "global" => Kind::AttachedMessage,
            "message" => Kind::OtherMessage,
            "text" => Kind::Text,
            "application" => application(&parsed, sub),
            _ => Kind::Other,
        };
        Self { kind, ..other }
    }

    fn multipart(raw: &[u8], parsed: &ContentType<'_>, sub: &str) -> Self {
        let boundary = sole_attribute(parsed, "boundary")
            .map(str::as_bytes)
            .filter(|boundary| is_usable_boundary(boundary) && stands_verbatim(raw, boundary));
        match boundary {
            Some(boundary) => {
                Self { kind: Kind::Multipart, digest: sub == "digest", boundary: Some(boundary.into()) }
            }
            None => Self { kind: Kind::OpaqueMultipart, digest: false, boundary: None },
        }
    }
}

/// The grammar of RFC 2045 §5.1, with the liberties that every reader takes: a `;` too many, and special characters in
/// values without quotes. What is not of this form is read differently by different programs.
fn is_well_formed(value: &[u8]) -> bool {
    let is_token = |c: &u8| c.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(c);
    let is_value = |c: &u8| c.is_ascii_graphic() && !b"();\"".contains(c);
    let Some(rest) = after_token(after_space(value), is_token) else { return false };
    let Some(rest) = rest.strip_prefix(b"/") else { return false };
    let Some(mut rest) = after_token(rest, is_token) else { return false };
    loop {
        rest = after_space(rest);
        let Some(parameter) = rest.strip_prefix(b";") else { return rest.is_empty() };
        rest = after_space(parameter);
        if rest.is_empty() || rest.starts_with(b";") {
            continue;
        }
        let Some(after_name) = after_token(rest, is_token) else { return false };
        let Some(value) = after_space(after_name).strip_prefix(b"=") else { return false };
        let value = after_space(value);
        let after_value = match value.strip_prefix(b"\"") {
            Some(quoted) => after_quotes(quoted),
            None => after_token(value, is_value),
        };
        let Some(after_value) = after_value else { return false };
        rest = after_value;
    }
}

/// What follows white space, folds and one comment that does not nest.
fn after_space(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    match text.strip_prefix(b"(") {
        Some(comment) => match comment.iter().position(|c| b"()\\".contains(c)) {
            Some(end) if comment.get(end) == Some(&b')') => {
                comment.get(end + 1..).unwrap_or(&[]).trim_ascii_start()
            }
            _ => text,
        },
        None => text,
    }
}

fn after_token(text: &[u8], belongs: impl Fn(&u8) -> bool) -> Option<&[u8]> {
    let end = text.iter().position(|c| !belongs(c)).unwrap_or(text.len());
    if end == 0 { None } else { text.get(end..) }
}

/// What follows the closing quote.
fn after_quotes(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        let special = rest.iter().position(|c| *c == b'"' || *c == b'\\')?;
        let beyond = rest.get(special + 1..)?;
        if rest.get(special) == Some(&b'"') {
            return Some(beyond);
        }
        rest = beyond.get(1..)?;
    }
}

fn mentions_container(value: &[u8]) -> bool {
    let mentions = |name: &[u8]| value.windows(name.len()).any(|w| w.eq_ignore_ascii_case(name));
    mentions(b"multipart") || mentions(b"message")
}

fn application(parsed: &ContentType<'_>, sub: &str) -> Kind {
    // RFC 8551 §3.9: a name that ends in .p7m makes an octet-stream an S/MIME object, too.
    let named_p7m = parsed
        .attribute("name")
        .is_some_and(|name| name.len() >= 4 && name.to_ascii_lowercase().ends_with(".p7m"));
    let pkcs7 = matches!(sub, "pkcs7-mime" | "x-pkcs7-mime") || (sub == "octet-stream" && named_p7m);
    if !pkcs7 {
        return Kind::Other;
    }
    let smime_type = parsed.attribute("smime-type").unwrap_or("");
    let is = |name: &str| smime_type.eq_ignore_ascii_case(name);
    if is("signed-data") || is("signed-receipt") {
        Kind::Pkcs7Signed
    } else if is("certs-only") || is("compressed-data") {
        Kind::Other
    } else {
        Kind::Pkcs7Enveloped
    }
}

fn sole_attribute<'c>(parsed: &'c ContentType<'_>, name: &str) -> Option<&'c str> {
    let mut found = parsed.attributes.iter().flatten().filter(|a| a.name.eq_ignore_ascii_case(name));
    let first = found.next()?;
    if found.next().is_some() { None } else { Some(first.value.as_ref()) }
}

/// RFC 2046 §5.1.1 `bchars`, a little wider (real mailers use `;` and `&` too) but never a space at the end.
fn is_usable_boundary(boundary: &[u8]) -> bool {
    (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary.iter().all(|c| (b' '..=b'~').contains(c) && *c != b'"' && *c != b'\\')
        && boundary.last() != Some(&b' ')
}

/// The boundary stands in the field as it is used: not pieced together (RFC 2231), escaped or encoded, which readers do
/// not agree on.
fn stands_verbatim(raw: &[u8], boundary: &[u8]) -> bool {
    let pieced = raw.windows(9).any(|w| w.eq_ignore_ascii_case(b"boundary*"));
    let mut places = raw.windows(boundary.len()).enumerate().filter(|(_, window)| *window == boundary);
    let whole = places.any(|(at, _)| {
        let before = at.checked_sub(1).and_then(|before| raw.get(before));
        let after = raw.get(at + boundary.len());
        before.is_some_and(|c| b"=\" \t\n".contains(c)) && after.is_none_or(|c| b"\"; \t\r\n".contains(c))
    });
    whole && !pieced
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(field: &str) -> Kind {
        MediaType::from_field(field.as_bytes()).kind
    }

    #[test]
    fn usual_types() {
        assert_eq!(kind(" text/plain; charset=utf-8\r\n"), Kind::Text);
        assert_eq!(kind(" TEXT/HTML\r\n"), Kind::Text);
        assert_eq!(kind(" multipart/mixed; boundary=abc\r\n"), Kind::Multipart);
        assert_eq!(kind(" Multipart/Signed; boundary=abc\r\n"), Kind::Signed);
        assert_eq!(kind(" multipart/encrypted; boundary=abc\r\n"), Kind::Encrypted);
        assert_eq!(kind(" message/rfc822\r\n"), Kind::AttachedMessage);
        assert_eq!(kind(" message/partial; id=x; number=1\r\n"), Kind::OtherMessage);
        assert_eq!(kind(" message/delivery-status\r\n"), Kind::OtherMessage);
        assert_eq!(kind(" image/png\r\n"), Kind::Other);
        assert_eq!(kind("\r\n"), Kind::Other);
        assert_eq!(kind(" application/pkcs7-mime; smime-type=enveloped-data\r\n"), Kind::Pkcs7Enveloped);
        assert_eq!(kind(" application/x-pkcs7-mime;\r\n\tsmime-type=\"signed-data\"\r\n"), Kind::Pkcs7Signed);
        assert_eq!(kind(" application/pkcs7-mime; smime-type=certs-only\r\n"), Kind::Other);
        assert_eq!(kind(" application/octet-stream; name=SMIME.P7M\r\n"), Kind::Pkcs7Enveloped);
        assert_eq!(kind(" application/pkcs7-signature; name=smime.p7s\r\n"), Kind::Other);
    }

    #[test]
    fn boundaries_as_mailers_write_them() {
        for (field, boundary) in [
            (" multipart/mixed; boundary=abc\r\n", "abc"),
            (" multipart/mixed; charset=x;\r\n boundary=\"=_ab c'()+_,-./:=?\"\r\n", "=_ab c'()+_,-./:=?"),
            (
                " multipart/mixed;\r\n\tboundary=\"----=_NextPart_000_0001_01D0.ABC\"\r\n",
                "----=_NextPart_000_0001_01D0.ABC",
            ),
            (" multipart/mixed; (a comment) boundary=a--=_b;; x=\"y\\\"z\";\r\n", "a--=_b"),
            (" multipart/mixed; BOUNDARY=AbC; type=\"text/html\"\r\n", "AbC"),
        ] {
            let media = MediaType::from_field(field.as_bytes());
            assert_eq!(media.boundary.as_deref(), Some(boundary.as_bytes()), "{field:?}");
        }
    }

    #[test]
    fn boundary_that_can_be_read_twice_makes_the_multipart_opaque() {
        let long = alloc::format!(" multipart/mixed; boundary={}\r\n", "x".repeat(2_000));
        for field in [
            " multipart/mixed\r\n",
            " multipart/mixed; boundary=\r\n",
            " multipart/mixed; boundary=\"\"\r\n",
            " multipart/mixed; boundary=a; boundary=b\r\n",
            " multipart/mixed; boundary*0=a; boundary*1=b\r\n",
            " multipart/mixed; boundary*=us-ascii''ab\r\n",
            " multipart/mixed; boundary=\"a\\b\"\r\n",
            " multipart/mixed; boundary=\"=?utf-8?q?ab?=\"\r\n",
            " multipart/mixed; boundary=\"a \"\r\n",
            " multipart/mixed; boundary=\"a\r\n",
            " multipart/mixed; boundary=\"a\"b\r\n",
            " multipart/mixed; boundary=\"a\" b; x=y\r\n",
            " multipart/mixed boundary=a\r\n",
            " multipart; boundary=a\r\n",
            " multi\"part/mixed; x=multipart; boundary=a\r\n",
            " \x1fmultipart/mixed; boundary=a\r\n",
            " multipart/mixed; (a (b)) boundary=a\r\n",
            long.as_str(),
        ] {
            assert_eq!(kind(field), Kind::OpaqueMultipart, "{field:?}");
        }
    }

    #[test]
    fn encodings() {
        assert_eq!(Encoding::from_field(b" Base64 \r\n"), Encoding::Base64);
        assert_eq!(Encoding::from_field(b" 8BIT\r\n"), Encoding::EightBit);
        assert_eq!(Encoding::from_field(b" x-uuencode\r\n"), Encoding::Unknown);
        assert_eq!(Encoding::from_field(b"\r\n"), Encoding::Unknown);
    }
}
