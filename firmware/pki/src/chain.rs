//! A certificate with its issuers, and what may be wrong with it.

use crate::certificate::{Certificate, CertificateError};
use crate::mailbox::Scope;
use crate::pem::{self, PemError};
use crate::public_key::{PublicKey, SignatureAlgorithm};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use limits::keys::{CHAIN_BYTES_MAX, CHAIN_COUNT_MAX};

/// A certificate (first) and its issuers, each followed by the one that issued it. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain(Vec<Certificate>);

/// What a chain is for: everything that [`Chain::check`] compares it with.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The key that the first certificate must have.
    pub key: &'a PublicKey,
    /// The address or domain that it must be for.
    pub scope: &'a Scope,
    /// The present time, Unix seconds. `None`: unknown, and validity periods are not looked at.
    pub now: Option<u64>,
}

/// What is wrong with a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainFault {
    /// The text is not PEM with certificates.
    Pem(PemError),
    /// The certificate cannot be read or has a key of a kind that is not supported.
    Certificate(CertificateError),
    /// There is no certificate, or there are more than the store takes.
    Size,
    /// No certificate has the key of this identity: it was made for another request.
    WrongKey,
    /// It expired at this time (Unix seconds).
    Expired(u64),
    /// It becomes valid at this time (Unix seconds).
    NotYetValid(u64),
    /// Its usage extensions exclude signing mail.
    NotForMail,
    /// It does not name the address (or no address in the domain); the addresses that it does name.
    AddressMissing(String),
    /// It does not belong to the chain: it issued none of the certificates before it.
    Unrelated,
    /// Its signature is not by the certificate that bears its issuer's name.
    BadSignature,
    /// It is signed in a way that is not supported, so the link cannot be checked.
    Unsupported(&'static str),
    /// It issued the one before it, but is not an authority (basicConstraints, keyUsage, path length).
    NotAnAuthority,
    /// It has a critical extension that is not known here.
    CriticalExtension,
}

/// What is wrong, and with which certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainError {
    /// What is wrong.
    pub fault: ChainFault,
    /// Which certificate, counted from 1 in the order of the text; `None` where it is not about one.
    pub certificate: Option<usize>,
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(n) = self.certificate {
            write!(f, "certificate {n}: ")?;
        }
        match &self.fault {
            ChainFault::Pem(error) => error.fmt(f),
            ChainFault::Certificate(error) => error.fmt(f),
            ChainFault::Size => f.write_str("no certificate, or more than the store takes"),
            ChainFault::WrongKey => {
                f.write_str("wrong key: no certificate has the key of this identity; was it issued for another request?")
            }
            ChainFault::Expired(at) => write!(f, "expired at {}", Date(*at)),
            ChainFault::NotYetValid(at) => write!(f, "not valid before {}", Date(*at)),
            ChainFault::NotForMail => {
                f.write_str("not for e-mail: its usage extensions exclude signing mail (want emailProtection and digitalSignature)")
            }
            ChainFault::AddressMissing(found) if found.is_empty() => {
                f.write_str("address missing: it names no e-mail address")
            }
            ChainFault::AddressMissing(found) => write!(f, "address missing: it is for {found}"),
            ChainFault::Unrelated => {
                f.write_str("chain broken: it issued none of the other certificates; leave it out or add what is between")
            }
            ChainFault::BadSignature => f.write_str("chain broken: its signature is not by its issuer's key"),
            ChainFault::Unsupported(name) => {
                write!(f, "signed with an algorithm that is not supported ({name})")
            }
            ChainFault::NotAnAuthority => {
                f.write_str("chain broken: it is not an authority that may issue the one before it")
            }
            ChainFault::CriticalExtension => f.write_str("has a critical extension that is not known here"),
        }
    }
}

impl core::error::Error for ChainError {}

impl ChainError {
    fn about(index: usize, fault: ChainFault) -> Self {
        Self { fault, certificate: Some(index.saturating_add(1)) }
    }
    fn whole(fault: ChainFault) -> Self {
        Self { fault, certificate: None }
    }
}

/// Unix seconds as `2026-01-31 12:00:00 UTC`.
struct Date(u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match der::DateTime::from_unix_duration(core::time::Duration::from_secs(self.0)) {
            Ok(t) => write!(
                f,
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC",
                t.year(),
                t.month(),
                t.day(),
                t.hour(),
                t.minutes(),
                t.seconds()
            ),
            Err(_) => f.write_str("an impossible time"),
        }
    }
}

impl Chain {
    /// Reads the certificates in `text`, finds the one with the expected key, puts its issuers in order behind it and
    /// checks everything that can be checked without trust anchors: key, validity, usage, address, and for every link
    /// name, signature and the issuer's right to issue. The order in the text does not matter, and the same
    /// certificate twice is taken once. The last certificate need not be a root: a chain may stop anywhere.
    ///
    /// # Errors
    /// See [`ChainError`]; certificates are counted as in the text.
    pub fn from_pem(text: &[u8], expected: &Expected<'_>) -> Result<Self, ChainError> {
        let ders = pem::certificates(text).map_err(|e| ChainError::whole(ChainFault::Pem(e)))?;
        let mut pasted: Vec<(usize, Certificate)> = Vec::with_capacity(ders.len());
        for (index, der) in ders.iter().enumerate() {
            let certificate = Certificate::from_der(der)
                .map_err(|e| ChainError::about(index, ChainFault::Certificate(e)))?;
            if !pasted.iter().any(|(_, known)| known.der() == certificate.der()) {
                pasted.push((index, certificate));
            }
        }
        let ordered = order(pasted, expected)?;
        let mut chain = Vec::with_capacity(ordered.len());
        let mut indices = Vec::with_capacity(ordered.len());
        for (index, certificate) in ordered {
            indices.push(index);
            chain.push(certificate);
        }
        let chain = Self(chain);
        chain.check_with(expected, &indices)?;
        Ok(chain)
    }

    /// A chain that was stored: DER elements one after the other, leaf first, as [`to_der`](Self::to_der) wrote them.
    /// Nothing but their form is checked.
    ///
    /// # Errors
    /// [`ChainFault::Size`] and [`ChainFault::Certificate`].
    pub fn from_der(der: &[u8]) -> Result<Self, ChainError> {
        if der.len() > CHAIN_BYTES_MAX {
            return Err(ChainError::whole(ChainFault::Size));
        }
        let mut chain = Vec::new();
        let mut at = 0;
        while at < der.len() {
            let index = chain.len();
            if index >= CHAIN_COUNT_MAX {
                return Err(ChainError::whole(ChainFault::Size));
            }
            let malformed = || ChainError::about(index, ChainFault::Certificate(CertificateError::Malformed));
            let (_, contents) = crate::raw::element(der, at).ok_or_else(malformed)?;
            let one = der.get(at..contents.end).ok_or_else(malformed)?;
            chain.push(
                Certificate::from_der(one)
                    .map_err(|e| ChainError::about(index, ChainFault::Certificate(e)))?,
            );
            at = contents.end;
        }
        if chain.is_empty() { Err(ChainError::whole(ChainFault::Size)) } else { Ok(Self(chain)) }
    }

    /// The certificates as DER elements one after the other, leaf first.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for certificate in &self.0 {
            out.extend_from_slice(certificate.der());
        }
        out
    }

    /// The certificate itself.
    #[must_use]
    pub fn leaf(&self) -> &Certificate {
        // Every constructor refuses an empty chain.
        self.0.first().expect("a chain has at least one certificate")
    }

    /// All certificates, leaf first.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// Checks the chain as [`from_pem`](Self::from_pem) does, in the order that it has.
    ///
    /// # Errors
    /// The first fault found, going from the leaf up.
    pub fn check(&self, expected: &Expected<'_>) -> Result<(), ChainError> {
        let indices: Vec<usize> = (0..self.0.len()).collect();
        self.check_with(expected, &indices)
    }

    fn check_with(&self, expected: &Expected<'_>, indices: &[usize]) -> Result<(), ChainError> {
        let at = |position: usize, fault| {
            ChainError::about(indices.get(position).copied().unwrap_or(position), fault)
        };
        let leaf = self.leaf();
        if leaf.public_key() != expected.key {
            return Err(ChainError::whole(ChainFault::WrongKey));
        }
        if !leaf.allows_mail_signing() {
            return Err(at(0, ChainFault::NotForMail));
        }
        if !leaf.mailboxes().iter().any(|mailbox| expected.scope.covers(mailbox)) {
            return Err(at(0, ChainFault::AddressMissing(leaf.mailboxes().join(", "))));
        }
        let mut authorities = 0;
        for (position, certificate) in self.0.iter().enumerate() {
            if certificate.has_unknown_critical_extension() {
                return Err(at(position, ChainFault::CriticalExtension));
            }
            if let Some(now) = expected.now {
                if now > certificate.not_after() {
                    return Err(at(position, ChainFault::Expired(certificate.not_after())));
                }
                if now < certificate.not_before() {
                    return Err(at(position, ChainFault::NotYetValid(certificate.not_before())));
                }
            }
            if position > 0 {
                if !certificate.allows_issuing(authorities) {
                    return Err(at(position, ChainFault::NotAnAuthority));
                }
                // RFC 5280 section 4.2.1.9: self-issued certificates do not count for the path length.
                if !certificate.is_self_issued() {
                    authorities = authorities.saturating_add(1);
                }
            }
            // The last one's issuer is not here unless it issued itself.
            let issuer = match self.0.get(position.saturating_add(1)) {
                Some(issuer) => issuer,
                None if certificate.is_self_issued() => certificate,
                None => break,
            };
            if certificate.issuer_der() != issuer.subject_der() {
                return Err(at(position.saturating_add(1), ChainFault::Unrelated));
            }
            if !certificate.is_issued_by(issuer) {
                return Err(match certificate.signature_algorithm() {
                    SignatureAlgorithm::Unsupported(name) => at(position, ChainFault::Unsupported(name)),
                    _ => at(position, ChainFault::BadSignature),
                });
            }
        }
        Ok(())
    }
}

/// Puts the certificate with the expected key first and behind each the one that issued it. Certificates that are
/// left over belong to no chain of this key.
fn order(
    mut pasted: Vec<(usize, Certificate)>,
    expected: &Expected<'_>,
) -> Result<Vec<(usize, Certificate)>, ChainError> {
    // Several certificates for one key happen after a renewal: the last to expire is meant.
    let leaf = pasted
        .iter()
        .enumerate()
        .filter(|(_, (_, c))| c.public_key() == expected.key)
        .max_by_key(|(_, (_, c))| c.not_after())
        .map(|(position, _)| position)
        .ok_or_else(|| ChainError::whole(ChainFault::WrongKey))?;
    let mut ordered = Vec::with_capacity(pasted.len());
    ordered.push(pasted.remove(leaf));
    while let Some((_, last)) = ordered.last() {
        if last.is_self_issued() && last.is_issued_by(last) {
            break;
        }
        let named = |c: &Certificate| c.subject_der() == last.issuer_der();
        // Two authorities of one name (a renewed or cross-signed one): the key decides. Where no key fits, the
        // first of the name stays in place so that the check reports the signature.
        let next = pasted
            .iter()
            .position(|(_, c)| named(c) && last.is_issued_by(c))
            .or_else(|| pasted.iter().position(|(_, c)| named(c)));
        let Some(next) = next else { break };
        ordered.push(pasted.remove(next));
    }
    match pasted.first() {
        Some((index, _)) => Err(ChainError::about(*index, ChainFault::Unrelated)),
        None => Ok(ordered),
    }
}
