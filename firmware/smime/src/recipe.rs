//! How a stored message leaves.

use crate::emit::Audience;
use crate::firewall::Firewalled;
use crate::plan::Plan;
use alloc::vec::Vec;
use limits::mime::{PREPEND_BYTES_MAX, RECIPE_BYTES_MAX};
use mime::Output;
use mime::encode::Base64;
use serde::{Deserialize, Serialize};

/// Version of the stored form; raised with every change to it.
const RECIPE_VERSION: u8 = 3;

/// How a stored message leaves: with fields put before it, and as it is, in canonical form, or signed. What leaves is a pure function of
/// the stored octets, the recipe and the audience. Encoded it takes at most [`RECIPE_BYTES_MAX`] octets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    pub(crate) prepend: Vec<u8>,
    pub(crate) form: Form,
    pub(crate) firewalled: Firewalled,
    /// Internal fields stay where it goes to an Exchange server of the site.
    pub(crate) keep_internal: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Form {
    Pass,
    Signed(Signed),
    Canonical(Canonical),
}

/// Not signed, but with its line ends and encodings made those of mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Canonical {
    pub plan: Plan,
    /// Octets that leave.
    pub emitted: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signed {
    pub plan: Plan,
    /// The source of the boundary.
    pub boundary: [u8; 16],
    /// The ContentInfo.
    pub cms: Vec<u8>,
    /// Octets that leave.
    pub emitted: u32,
}

/// A stored recipe cannot be read: it is damaged, or from another version. The message has to be decided anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeUnreadable;

impl core::fmt::Display for RecipeUnreadable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("stored recipe cannot be read")
    }
}

impl core::error::Error for RecipeUnreadable {}

/// The fields to put before a message exceed [`PREPEND_BYTES_MAX`], or are not
/// whole lines. A mistake of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrependInvalid;

impl core::fmt::Display for PrependInvalid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("fields to put before a message are too long or no whole lines")
    }
}

impl core::error::Error for PrependInvalid {}

/// Whole header fields and nothing that would end a header.
pub(crate) fn check_prepend(fields: &[u8]) -> Result<(), PrependInvalid> {
    let well_formed = fields.is_empty()
        || (fields.ends_with(b"\r\n")
            && !fields.starts_with(b"\r\n")
            && !fields.windows(4).any(|w| w == b"\r\n\r\n")
            && fields.split(|c| *c == b'\n').all(|line| line.is_empty() || line.ends_with(b"\r"))
            && !fields.contains(&0)
            && !matches!(fields.first(), Some(b' ' | b'\t')));
    if well_formed && fields.len() <= PREPEND_BYTES_MAX { Ok(()) } else { Err(PrependInvalid) }
}

impl Recipe {
    /// The message leaves byte for byte as it is stored, after `prepend` (whole header fields, each with CRLF; may be empty)
    /// and without what the firewall removes: `firewalled` is what the scanner found of that.
    ///
    /// # Errors
    /// [`PrependInvalid`].
    pub fn pass(prepend: &[u8], firewalled: Firewalled) -> Result<Self, PrependInvalid> {
        check_prepend(prepend)?;
        Ok(Self { prepend: prepend.to_vec(), form: Form::Pass, firewalled, keep_internal: false })
    }

    /// The same recipe for mail of a peer whose internal header fields are believed: they stay on the way to an Exchange
    /// server of the site. Nowhere else, whatever is said here.
    #[must_use]
    pub fn keep_internal(self, keep: bool) -> Self {
        Self { keep_internal: keep, ..self }
    }

    /// Whether internal fields stay on the way to this audience.
    pub(crate) fn keeps_internal(&self, audience: Audience<'_>) -> bool {
        self.keep_internal && matches!(audience, Audience::Exchange { .. })
    }

    /// Octets of the header that do not leave to this audience.
    #[must_use]
    pub fn removed_octets(&self, audience: Audience<'_>) -> u32 {
        self.firewalled.removed(self.keeps_internal(audience))
    }

    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Writing to a vector cannot fail; an empty record reads back as unreadable.
        postcard::to_allocvec(&(RECIPE_VERSION, self)).unwrap_or_default()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`RecipeUnreadable`] for anything that [`to_bytes`](Self::to_bytes) of a known version did not write.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecipeUnreadable> {
        if bytes.first() != Some(&RECIPE_VERSION) || bytes.len() > RECIPE_BYTES_MAX {
            return Err(RecipeUnreadable);
        }
        let ((_, recipe), rest): ((u8, Self), &[u8]) =
            postcard::take_from_bytes(bytes).map_err(|_| RecipeUnreadable)?;
        if rest.is_empty() && check_prepend(&recipe.prepend).is_ok() {
            Ok(recipe)
        } else {
            Err(RecipeUnreadable)
        }
    }

    /// Whether the message leaves signed.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        matches!(self.form, Form::Signed(_))
    }

    /// Whether the message leaves octet for octet as it is stored, but for its header.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        matches!(self.form, Form::Pass)
    }

    /// Octets that leave to this audience (CRLF line ends, before dot-stuffing), for SIZE=.
    #[must_use]
    pub fn emitted_size(&self, stored_size: u32, audience: Audience<'_>) -> u32 {
        let whole = match &self.form {
            Form::Pass => stored_size.saturating_add(u32::try_from(self.prepend.len()).unwrap_or(u32::MAX)),
            Form::Signed(signed) => signed.emitted,
            Form::Canonical(canonical) => canonical.emitted,
        };
        let marker = u32::try_from(audience.marker().len()).unwrap_or(u32::MAX);
        whole.saturating_sub(self.removed_octets(audience)).saturating_add(marker)
    }
}

/// Fields and text between the header of the message and the signed part (RFC 1847 §2.1, RFC 8551 §3.5.3).
pub(crate) fn before_part<O: Output>(boundary: &[u8; 16], out: &mut O) {
    out.put(b"Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\";\r\n micalg=sha-256; boundary=\"");
    put_boundary(boundary, out);
    out.put(b"\"\r\n\r\nThis is a message with an S/MIME signature.\r\n\r\n--");
    put_boundary(boundary, out);
    out.put(b"\r\n");
}

/// All that follows the signed part.
pub(crate) fn after_part<O: Output>(boundary: &[u8; 16], cms: &[u8], out: &mut O) {
    out.put(b"\r\n--");
    put_boundary(boundary, out);
    out.put(
        b"\r\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\n\
        Content-Transfer-Encoding: base64\r\n\
        Content-Disposition: attachment; filename=\"smime.p7s\"\r\n\
        Content-Description: S/MIME Cryptographic Signature\r\n\r\n",
    );
    let mut base64 = Base64::new();
    base64.push(cms, out);
    base64.finish(out);
    out.put(b"\r\n\r\n--");
    put_boundary(boundary, out);
    out.put(b"--\r\n");
}

/// `=_` occurs in no quoted-printable and no base64 text (RFC 2045 §6.7 suggests it).
fn put_boundary<O: Output>(boundary: &[u8; 16], out: &mut O) {
    out.put(b"=_sig_");
    for octet in boundary {
        let digit = |n: u8| b"0123456789abcdef"[usize::from(n & 15)];
        out.put(&[digit(octet >> 4), digit(*octet)]);
    }
}
