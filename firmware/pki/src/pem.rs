//! PEM armor (RFC 7468): certificates out of pasted text, and armor around what is printed.
//!
//! Reading is lenient about everything outside the base64: any text before, between and after the blocks, any line
//! end, blanks at line ends, lines of any length. It is strict inside: a character that is no base64 is an error and
//! the padding must be right, so that a damaged paste is noticed here and not as a bad signature.

use alloc::string::String;
use alloc::vec::Vec;
use base64ct::{Base64, Encoding};
use core::fmt;
use limits::keys::{CERTIFICATE_BYTES_MAX, CHAIN_BYTES_MAX, CHAIN_COUNT_MAX, PEM_BYTES_MAX};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// Why a text holds no certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemError {
    /// Longer than `limits::keys::PEM_BYTES_MAX`.
    TooLong,
    /// No `-----BEGIN CERTIFICATE-----` in it.
    NoCertificate,
    /// Block number `0` (counted from 1) has no matching END line: the paste was cut off.
    Truncated(usize),
    /// Block number `0` has a character that is not base64, or wrong padding.
    Base64(usize),
    /// More than `limits::keys::CHAIN_COUNT_MAX` certificates, or more octets than the store takes.
    TooMany,
    /// A private key is among the blocks. It is not looked at; keys belong in the TPM.
    PrivateKey,
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the text is too long"),
            Self::NoCertificate => f.write_str("no -----BEGIN CERTIFICATE----- found"),
            Self::Truncated(n) => write!(f, "block {n} has no -----END line: is the paste complete?"),
            Self::Base64(n) => write!(f, "block {n} is damaged (not base64)"),
            Self::TooMany => write!(
                f,
                "too many certificates (at most {CHAIN_COUNT_MAX}, together {CHAIN_BYTES_MAX} octets)"
            ),
            Self::PrivateKey => f.write_str("the text contains a private key; paste certificates only"),
        }
    }
}

impl core::error::Error for PemError {}

/// The DER octets of every certificate in `text`, in order. Blocks with other labels (except private keys) are
/// skipped.
///
/// # Errors
/// See [`PemError`].
pub fn certificates(text: &[u8]) -> Result<Vec<Vec<u8>>, PemError> {
    if text.len() > PEM_BYTES_MAX {
        return Err(PemError::TooLong);
    }
    let mut found = Vec::new();
    let mut octets = 0usize;
    let mut block = 0usize;
    let mut lines = text.split(|c| *c == b'\n' || *c == b'\r');
    while let Some(line) = lines.next() {
        let Some(label) = boundary(line, BEGIN) else { continue };
        block = block.saturating_add(1);
        if label.ends_with("PRIVATE KEY") {
            return Err(PemError::PrivateKey);
        }
        let mut base64 = Vec::new();
        loop {
            let line = lines.next().ok_or(PemError::Truncated(block))?;
            if let Some(end) = boundary(line, END) {
                if end == label {
                    break;
                }
                return Err(PemError::Truncated(block));
            }
            if boundary(line, BEGIN).is_some() {
                return Err(PemError::Truncated(block));
            }
            base64.extend(line.iter().filter(|c| !c.is_ascii_whitespace()));
        }
        // The label of OpenSSL's "trusted" form carries more than a certificate and is not read.
        if label != "CERTIFICATE" && label != "X509 CERTIFICATE" {
            continue;
        }
        let text = core::str::from_utf8(&base64).map_err(|_| PemError::Base64(block))?;
        let der = Base64::decode_vec(text).map_err(|_| PemError::Base64(block))?;
        octets = octets.saturating_add(der.len());
        if found.len() >= CHAIN_COUNT_MAX || octets > CHAIN_BYTES_MAX || der.len() > CERTIFICATE_BYTES_MAX {
            return Err(PemError::TooMany);
        }
        found.push(der);
    }
    if found.is_empty() { Err(PemError::NoCertificate) } else { Ok(found) }
}

/// The label of a boundary line that starts with `kind`.
fn boundary<'a>(line: &'a [u8], kind: &str) -> Option<&'a str> {
    if !line.trim_ascii().starts_with(kind.as_bytes()) {
        return None;
    }
    core::str::from_utf8(line).ok()?.trim().strip_prefix(kind)?.strip_suffix(DASHES)
}

/// `der` in armor: 64 characters to a line, `\n` line ends.
#[must_use]
pub fn encode(label: &str, der: &[u8]) -> String {
    let base64 = Base64::encode_string(der);
    let mut out = String::with_capacity(base64.len() + base64.len() / 64 + 2 * label.len() + 40);
    for part in [BEGIN, label, DASHES, "\n"] {
        out.push_str(part);
    }
    for line in base64.as_bytes().chunks(64) {
        out.push_str(core::str::from_utf8(line).unwrap_or(""));
        out.push('\n');
    }
    for part in [END, label, DASHES, "\n"] {
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;

    #[test]
    fn several_blocks_with_text_around_and_any_line_end_are_found_in_order() {
        let one = encode("CERTIFICATE", &[1; 100]);
        let two = encode("CERTIFICATE", &[2; 3]).replace('\n', "  \r\n");
        let other = encode("CERTIFICATE REQUEST", &[9; 9]);
        let text = format!("subject=CN = me\n{one}\n\n{other}issuer=-----\r\n  {two} the end");
        assert_eq!(certificates(text.as_bytes()), Ok(vec![vec![1; 100], vec![2; 3]]));
    }

    #[test]
    fn a_cut_paste_is_told_from_a_damaged_one() {
        let one = encode("CERTIFICATE", &[1; 100]);
        assert_eq!(certificates(&one.as_bytes()[..100]), Err(PemError::Truncated(1)));
        let both = format!("{one}{}", &one[..60]);
        assert_eq!(certificates(both.as_bytes()), Err(PemError::Truncated(2)));
        assert_eq!(certificates(one.replacen("AQEB", "AQ*B", 1).as_bytes()), Err(PemError::Base64(1)));
        assert_eq!(certificates(b"hello"), Err(PemError::NoCertificate));
        assert_eq!(certificates(b"-----BEGIN PRIVATE KEY-----\nAAAA\n"), Err(PemError::PrivateKey));
        assert_eq!(certificates(one.repeat(9).as_bytes()), Err(PemError::TooMany));
        assert_eq!(certificates(&vec![b'x'; PEM_BYTES_MAX + 1]), Err(PemError::TooLong));
    }
}
