//! Certification requests (PKCS #10, RFC 2986) whose key signs elsewhere.
//!
//! The subject is a common name and an emailAddress, the SubjectAltName has the address as rfc822Name (where RFC 8550
//! section 3 wants it), and an extensionRequest (RFC 2985 section 5.4.2) asks for the usages of a key that signs mail.

use crate::mailbox::Scope;
use crate::public_key::{PublicKey, SignatureAlgorithm};
use crate::raw::{BIT_STRING, IA5_STRING, OCTET_STRING, SEQUENCE, SET, UTF8_STRING, wrap, wrap_all};
use alloc::vec::Vec;
use core::fmt;
use sha2::{Digest, Sha256};

/// RFC 5280 appendix A.1: ub-common-name.
const COMMON_NAME_CHARACTERS_MAX: usize = 64;

/// OBJECT IDENTIFIER elements as DER.
mod oid {
    pub const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
    pub const EMAIL_ADDRESS: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01];
    pub const EXTENSION_REQUEST: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];
    pub const SUBJECT_ALT_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x11];
    pub const KEY_USAGE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x0f];
    pub const EXTENDED_KEY_USAGE: &[u8] = &[0x06, 0x03, 0x55, 0x1d, 0x25];
    pub const EMAIL_PROTECTION: &[u8] = &[0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x04];
    pub const SHA256_WITH_RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    pub const ECDSA_WITH_SHA256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
}

/// keyUsage digitalSignature and nonRepudiation: bits 0 and 1, six bits unused.
const KEY_USAGE_SIGN: &[u8] = &[BIT_STRING, 0x02, 0x06, 0xc0];
const TRUE: &[u8] = &[0x01, 0x01, 0xff];
const NULL: &[u8] = &[0x05, 0x00];

/// Why there is no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The common name is empty, too long, or has control characters.
    CommonName,
    /// The public key does not encode.
    Key,
    /// The signature that was handed in is not by this key over this request.
    Signature,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommonName => "the name must have 1 to 64 printable characters",
            Self::Key => "the public key cannot be written",
            Self::Signature => "the signature over the request is not good",
        })
    }
}

impl core::error::Error for RequestError {}

/// A request that waits for its signature. Sign [`digest`](Self::digest) with the key and hand the signature to
/// [`finish`](Self::finish), which uses the request up.
#[must_use]
pub struct Request {
    key: PublicKey,
    info: Vec<u8>,
}

impl Request {
    /// A request for `key` to be certified for `scope`. `common_name` is what mail programs show; `None` takes the
    /// address itself.
    ///
    /// # Errors
    /// [`RequestError::CommonName`] and [`RequestError::Key`].
    pub fn new(key: &PublicKey, scope: &Scope, common_name: Option<&str>) -> Result<Self, RequestError> {
        let mailbox = scope.request_mailbox();
        let name = match common_name {
            Some(name) => {
                if name.is_empty()
                    || name.chars().count() > COMMON_NAME_CHARACTERS_MAX
                    || name.chars().any(char::is_control)
                {
                    return Err(RequestError::CommonName);
                }
                name
            }
            None if scope.is_domain() => scope.domain(),
            None => scope.as_str(),
        };
        let mut subject = Vec::new();
        // An address longer than a common name may be is left to emailAddress alone.
        if name.chars().count() <= COMMON_NAME_CHARACTERS_MAX {
            subject = attribute(oid::COMMON_NAME, &wrap(UTF8_STRING, name.as_bytes()));
        }
        subject.extend(attribute(oid::EMAIL_ADDRESS, &wrap(IA5_STRING, mailbox.as_bytes())));
        let subject = wrap(SEQUENCE, &subject);

        // GeneralName rfc822Name is [1] IMPLICIT IA5String.
        let alternative = wrap(SEQUENCE, &wrap(0x81, mailbox.as_bytes()));
        let extensions = wrap_all(
            SEQUENCE,
            &[
                &extension(oid::SUBJECT_ALT_NAME, false, &alternative),
                &extension(oid::KEY_USAGE, true, KEY_USAGE_SIGN),
                &extension(oid::EXTENDED_KEY_USAGE, false, &wrap(SEQUENCE, oid::EMAIL_PROTECTION)),
            ],
        );
        let requested = wrap_all(SEQUENCE, &[oid::EXTENSION_REQUEST, &wrap(SET, &extensions)]);
        let attributes = wrap(0xa0, &requested);
        let spki = key.to_spki().map_err(|_| RequestError::Key)?;
        let version: &[u8] = &[0x02, 0x01, 0x00];
        let info = wrap_all(SEQUENCE, &[version, &subject, &spki, &attributes]);
        Ok(Self { key: key.clone(), info })
    }

    /// SHA-256 of what must be signed.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.info).into()
    }

    /// The signed request, DER. `signature` is PKCS#1 v1.5 octets for RSA and DER for ECDSA.
    ///
    /// # Errors
    /// [`RequestError::Signature`] if it does not verify with the request's key.
    pub fn finish(self, signature: &[u8]) -> Result<Vec<u8>, RequestError> {
        let algorithm = self.key.signature_algorithm();
        if !self.key.verify(algorithm, &self.info, signature) {
            return Err(RequestError::Signature);
        }
        let algorithm = match algorithm {
            SignatureAlgorithm::EcdsaSha256 => wrap(SEQUENCE, oid::ECDSA_WITH_SHA256),
            // RFC 4055 section 5: parameters are NULL.
            _ => wrap_all(SEQUENCE, &[oid::SHA256_WITH_RSA, NULL]),
        };
        let signature = wrap_all(BIT_STRING, &[&[0], signature]);
        Ok(wrap_all(SEQUENCE, &[&self.info, &algorithm, &signature]))
    }
}

/// A RelativeDistinguishedName of one attribute.
fn attribute(oid: &[u8], value: &[u8]) -> Vec<u8> {
    wrap(SET, &wrap_all(SEQUENCE, &[oid, value]))
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical = if critical { TRUE } else { &[] };
    wrap_all(SEQUENCE, &[oid, critical, &wrap(OCTET_STRING, value)])
}
