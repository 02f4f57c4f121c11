//! One certificate and what the gateway needs to know of it.

use crate::public_key::{PublicKey, PublicKeyError, SignatureAlgorithm};
use crate::raw;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use core::fmt;
use core::ops::Range;
use der::Decode;
use der::asn1::{Ia5StringRef, Utf8StringRef};
use limits::keys::{
    CERTIFICATE_BYTES_MAX, CERTIFICATE_MAILBOXES_COUNT_MAX, MAILBOX_BYTES_MAX, NAME_TEXT_BYTES_MAX,
};
use sha2::{Digest, Sha256};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};

/// RFC 9598 section 3: id-on-SmtpUTF8Mailbox.
const SMTP_UTF8_MAILBOX: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.8.9");
/// RFC 5280 section 4.2.1.12.
const ANY_EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// RFC 2985 section 5.2.1.
const EMAIL_ADDRESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1");

/// Why octets are not a certificate we can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// Longer than `limits::keys::CERTIFICATE_BYTES_MAX`.
    TooLong,
    /// Not the DER of an X.509 certificate.
    Malformed,
    /// An extension that matters here cannot be read, or is there twice.
    Extension,
    /// The two places that name the signature algorithm differ (RFC 5280 section 4.1.1.2).
    AlgorithmMismatch,
    /// The public key.
    Key(PublicKeyError),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("the certificate is too long"),
            Self::Malformed => f.write_str("this is not an X.509 certificate"),
            Self::Extension => f.write_str("an extension of the certificate cannot be read"),
            Self::AlgorithmMismatch => {
                f.write_str("the certificate names two different signature algorithms")
            }
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CertificateError {}

/// A certificate: its DER octets and the facts read from them.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    tbs: Range<usize>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
    issuer_text: String,
    subject_text: String,
    not_before: u64,
    not_after: u64,
    key: PublicKey,
    algorithm: SignatureAlgorithm,
    signature: Vec<u8>,
    mailboxes: Vec<String>,
    subject_key_id: Option<Vec<u8>>,
    authority_key_id: Option<Vec<u8>>,
    usages: Usages,
}

/// What the key may be used for, from the extensions. `None` where the extension is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Usages {
    /// keyUsage: (digitalSignature or nonRepudiation, keyCertSign, keyEncipherment or keyAgreement)
    key: Option<(bool, bool, bool)>,
    /// extendedKeyUsage has emailProtection or anyExtendedKeyUsage.
    email: Option<bool>,
    /// basicConstraints: cA and pathLenConstraint.
    ca: Option<(bool, Option<u8>)>,
    /// A critical extension that this crate does not know.
    unknown_critical: bool,
}

impl Certificate {
    /// Reads one certificate; nothing may follow it.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLong);
        }
        let parsed = x509_cert::Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        let parts = cut(der).ok_or(CertificateError::Malformed)?;
        let tbs = parsed.tbs_certificate();
        if tbs.signature() != parsed.signature_algorithm() {
            return Err(CertificateError::AlgorithmMismatch);
        }
        let key = PublicKey::from_spki(der.get(parts.spki.clone()).unwrap_or(&[]))
            .map_err(CertificateError::Key)?;
        let mut this = Self {
            der: der.to_vec(),
            tbs: parts.tbs,
            serial: parts.serial,
            issuer: parts.issuer,
            subject: parts.subject,
            spki: parts.spki,
            issuer_text: bounded_text(tbs.issuer()),
            subject_text: bounded_text(tbs.subject()),
            not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
            not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
            key,
            algorithm: SignatureAlgorithm::from_oid(parsed.signature_algorithm().oid),
            signature: parsed.signature().as_bytes().ok_or(CertificateError::Malformed)?.to_vec(),
            mailboxes: Vec::new(),
            subject_key_id: None,
            authority_key_id: None,
            usages: Usages::default(),
        };
        let mut seen: Vec<ObjectIdentifier> = Vec::new();
        for extension in tbs.extensions().map_or(&[][..], |list| list.as_slice()) {
            // RFC 5280 section 4.2: no extension twice.
            if seen.contains(&extension.extn_id) {
                return Err(CertificateError::Extension);
            }
            seen.push(extension.extn_id);
            this.read_extension(extension.extn_id, extension.critical, extension.extn_value.as_bytes())
                .map_err(|_| CertificateError::Extension)?;
        }
        // RFC 8550 section 3: certificates of old have the address in the subject. Where the subjectAltName names mailboxes it
        // alone counts, because that is what mail programs compare first.
        if this.mailboxes.is_empty() {
            for attribute in tbs.subject().iter() {
                if attribute.oid == EMAIL_ADDRESS
                    && let Ok(text) = attribute.value.decode_as::<Ia5StringRef<'_>>()
                {
                    this.add_mailbox(text.as_str());
                }
            }
        }
        Ok(this)
    }

    fn read_extension(&mut self, oid: ObjectIdentifier, critical: bool, value: &[u8]) -> der::Result<()> {
        match oid {
            rfc5280::ID_CE_KEY_USAGE => {
                let usage = KeyUsage::from_der(value)?;
                self.usages.key = Some((
                    usage.digital_signature() || usage.non_repudiation(),
                    usage.key_cert_sign(),
                    usage.key_encipherment() || usage.key_agreement(),
                ));
            }
            rfc5280::ID_CE_EXT_KEY_USAGE => {
                let usage = ExtendedKeyUsage::from_der(value)?;
                self.usages.email = Some(
                    usage
                        .0
                        .iter()
                        .any(|p| *p == rfc5280::ID_KP_EMAIL_PROTECTION || *p == ANY_EXTENDED_KEY_USAGE),
                );
            }
            rfc5280::ID_CE_BASIC_CONSTRAINTS => {
                let constraints = BasicConstraints::from_der(value)?;
                self.usages.ca = Some((constraints.ca, constraints.path_len_constraint));
            }
            rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER => {
                self.subject_key_id = Some(SubjectKeyIdentifier::from_der(value)?.0.as_bytes().to_vec());
            }
            rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER => {
                self.authority_key_id =
                    AuthorityKeyIdentifier::from_der(value)?.key_identifier.map(|id| id.as_bytes().to_vec());
            }
            rfc5280::ID_CE_SUBJECT_ALT_NAME => {
                for name in &SubjectAltName::from_der(value)?.0 {
                    match name {
                        GeneralName::Rfc822Name(text) => self.add_mailbox(text.as_str()),
                        GeneralName::OtherName(other) if other.type_id == SMTP_UTF8_MAILBOX => {
                            self.add_mailbox(other.value.decode_as::<Utf8StringRef<'_>>()?.as_str());
                        }
                        _ => {}
                    }
                }
            }
            // These say which certificates an issuer may issue, where to look something up, or how to name policies.
            // Whoever verifies our mail applies them; they do not change what the certificate is.
            rfc5280::ID_CE_NAME_CONSTRAINTS
            | rfc5280::ID_CE_CERTIFICATE_POLICIES
            | rfc5280::ID_CE_POLICY_MAPPINGS
            | rfc5280::ID_CE_POLICY_CONSTRAINTS
            | rfc5280::ID_CE_INHIBIT_ANY_POLICY
            | rfc5280::ID_CE_CRL_DISTRIBUTION_POINTS => {}
            _ => self.usages.unknown_critical |= critical,
        }
        Ok(())
    }

    fn add_mailbox(&mut self, text: &str) {
        let known = self.mailboxes.iter().any(|m| m.eq_ignore_ascii_case(text));
        if !known
            && text.len() <= MAILBOX_BYTES_MAX
            && self.mailboxes.len() < CERTIFICATE_MAILBOXES_COUNT_MAX
            && !text.chars().any(char::is_control)
        {
            self.mailboxes.push(text.to_string());
        }
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.der.get(range.clone()).unwrap_or(&[])
    }

    /// The certificate as it came, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The part that the issuer signed: the whole DER element TBSCertificate.
    #[must_use]
    pub fn tbs_der(&self) -> &[u8] {
        self.part(&self.tbs)
    }

    /// The serial number as DER INTEGER, for a CMS IssuerAndSerialNumber.
    #[must_use]
    pub fn serial_der(&self) -> &[u8] {
        self.part(&self.serial)
    }

    /// The issuer's name as DER, for a CMS IssuerAndSerialNumber.
    #[must_use]
    pub fn issuer_der(&self) -> &[u8] {
        self.part(&self.issuer)
    }

    /// The subject's name as DER.
    #[must_use]
    pub fn subject_der(&self) -> &[u8] {
        self.part(&self.subject)
    }

    /// The SubjectPublicKeyInfo as DER.
    #[must_use]
    pub fn spki_der(&self) -> &[u8] {
        self.part(&self.spki)
    }

    /// The subject as RFC 4514 text, cut at `limits::keys::NAME_TEXT_BYTES_MAX`. Its content is the subject's choice:
    /// escape it before it goes to a terminal or a header.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject_text
    }

    /// The issuer as RFC 4514 text; as [`subject`](Self::subject).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer_text
    }

    /// First second of validity, Unix time.
    #[must_use]
    pub fn not_before(&self) -> u64 {
        self.not_before
    }

    /// Last second of validity, Unix time.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// Whether `now` lies in the validity period, both ends included.
    #[must_use]
    pub fn is_valid_at(&self, now: u64) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// The subject's key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// How the issuer signed it.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    /// The e-mail addresses: rfc822Name and SmtpUTF8Mailbox of the subjectAltName, or, if it names none, emailAddress of
    /// the subject.
    #[must_use]
    pub fn mailboxes(&self) -> &[String] {
        &self.mailboxes
    }

    /// The subjectKeyIdentifier extension.
    #[must_use]
    pub fn subject_key_id(&self) -> Option<&[u8]> {
        self.subject_key_id.as_deref()
    }

    /// The key identifier of the authorityKeyIdentifier extension.
    #[must_use]
    pub fn authority_key_id(&self) -> Option<&[u8]> {
        self.authority_key_id.as_deref()
    }

    /// SHA-256 of the DER, as signingCertificateV2 (RFC 5035) and operators name a certificate.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.der).into()
    }

    /// Whether mail may be signed under it: RFC 8550 sections 4.4.2 and 4.4.4. An absent extension forbids nothing.
    #[must_use]
    pub fn allows_mail_signing(&self) -> bool {
        self.usages.email.unwrap_or(true) && self.usages.key.is_none_or(|(sign, _, _)| sign)
    }

    /// Whether mail may be encrypted to it.
    #[must_use]
    pub fn allows_mail_encryption(&self) -> bool {
        self.usages.email.unwrap_or(true) && self.usages.key.is_none_or(|(_, _, encrypt)| encrypt)
    }

    /// Whether it may issue certificates (RFC 5280 section 6.1.4 k-n), with `below` intermediate authorities between
    /// it and the end entity.
    #[must_use]
    pub fn allows_issuing(&self, below: usize) -> bool {
        let Some((true, path)) = self.usages.ca else { return false };
        path.is_none_or(|most| below <= usize::from(most)) && self.usages.key.is_none_or(|(_, sign, _)| sign)
    }

    /// Whether it has a critical extension that this crate does not know (RFC 5280 section 4.2 wants it refused).
    #[must_use]
    pub fn has_unknown_critical_extension(&self) -> bool {
        self.usages.unknown_critical
    }

    /// Whether subject and issuer are the same name.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject_der() == self.issuer_der()
    }

    /// Whether `issuer`'s name and key made this certificate. An algorithm that is not supported counts as no; ask
    /// [`signature_algorithm`](Self::signature_algorithm) first.
    #[must_use]
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        self.issuer_der() == issuer.subject_der()
            && issuer.key.verify(self.algorithm, self.tbs_der(), &self.signature)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("subject", &self.subject_text)
            .field("issuer", &self.issuer_text)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

fn bounded_text(name: &x509_cert::name::Name) -> String {
    let mut text = String::new();
    let mut sink = Bounded(&mut text);
    // Running out of room ends the printing; what fits is kept.
    let _ = fmt::Write::write_fmt(&mut sink, format_args!("{name}"));
    text
}

/// Keeps the first `NAME_TEXT_BYTES_MAX` octets that are written to it.
struct Bounded<'a>(&'a mut String);

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.0.len() + c.len_utf8() > NAME_TEXT_BYTES_MAX {
                return Err(fmt::Error);
            }
            self.0.push(c);
        }
        Ok(())
    }
}

/// Where the elements lie whose octets matter.
struct Parts {
    tbs: Range<usize>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    spki: Range<usize>,
}

/// RFC 5280 section 4.1: the order of TBSCertificate's elements.
fn cut(der: &[u8]) -> Option<Parts> {
    let (_, certificate) = raw::element(der, 0)?;
    let (_, contents) = raw::element(der, certificate.start)?;
    let tbs = certificate.start..contents.end;
    let mut at = contents.start;
    let mut next = || {
        let start = at;
        let (tag, inner) = raw::element(der, start)?;
        at = inner.end;
        Some((tag, start..inner.end))
    };
    let (tag, first) = next()?;
    // version [0] is absent in version 1.
    let serial = if tag == 0xa0 { next()?.1 } else { first };
    let _signature = next()?;
    let issuer = next()?.1;
    let _validity = next()?;
    let subject = next()?.1;
    let spki = next()?.1;
    Some(Parts { tbs, serial, issuer, subject, spki })
}
