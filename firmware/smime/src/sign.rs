//! Signing: read the stored message once, ask for one signature, get a recipe.

use crate::cms::{Key, Signer, checked_ecdsa_value, ecdsa_value};
use crate::facts::{Facts, Obstacle, Protection};
use crate::firewall::Firewalled;
use crate::plan::Plan;
use crate::recipe::{Form, Recipe, Signed, after_part, before_part, check_prepend};
use crate::transform::{PartOutput, Transform};
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// The key algorithm that a signature is wanted from; it follows from the signer's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017 §8.2).
    RsaPkcs1Sha256,
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
}

/// What has to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignQuestion {
    /// SHA-256 of the DER encoding of the signed attributes. The key signs this digest (RSA: inside a DigestInfo).
    pub digest: [u8; 32],
    /// With which algorithm.
    pub purpose: Purpose,
}

/// The answer to a [`SignQuestion`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawSignature<'a> {
    /// RSA: as long as the modulus.
    Rsa(&'a [u8]),
    /// ECDSA: the integers r and s, big-endian.
    Ecdsa {
        /// The integer r.
        r: &'a [u8],
        /// The integer s.
        s: &'a [u8],
    },
    /// ECDSA: a DER `Ecdsa-Sig-Value` (RFC 3279 §2.2.3).
    EcdsaDer(&'a [u8]),
}

/// Why a message cannot be signed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningError {
    /// The message is protected already; pass it on.
    AlreadyProtected,
    /// The message cannot be signed.
    Obstacle(Obstacle),
    /// The chain is empty, too long for [`CHAIN_BYTES_MAX`](limits::mime::CHAIN_BYTES_MAX), or its first certificate cannot be
    /// read or has a key that is neither RSA nor P-256. The identity has to be repaired.
    Certificate,
    /// The fields to put before the message are not whole lines or too long.
    Prepend,
    /// The signature has the wrong kind or length.
    Signature,
    /// The signed message would have 4 GiB or more.
    TooLong,
}

impl core::fmt::Display for SigningError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::AlreadyProtected => "already signed or encrypted",
            Self::Obstacle(obstacle) => return obstacle.fmt(f),
            Self::Certificate => "certificate chain cannot be used",
            Self::Prepend => "fields to put before the message are too long or no whole lines",
            Self::Signature => "signature has the wrong form",
            Self::TooLong => "signed message is too long",
        })
    }
}

impl core::error::Error for SigningError {}

/// Reads the stored message and computes what is to be signed. About 45 instructions per octet on a small core, nearly
/// all of them SHA-256.
#[derive(Debug)]
pub struct Signing {
    plan: Plan,
    firewalled: Firewalled,
    prepend: Vec<u8>,
    time: Option<u64>,
    random: [u8; 24],
    signer: Signer,
    transform: Transform,
    output: Digesting,
}

/// Hashes the signed part and counts everything.
#[derive(Debug)]
struct Digesting {
    digest: Sha256,
    octets: u64,
}

impl PartOutput for Digesting {
    fn outside(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
    }

    fn begin_part(&mut self) {}

    fn inside(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        self.digest.update(octets);
    }
}

/// Counts what is the same in every message.
struct Count(u64);

impl mime::Output for Count {
    fn put(&mut self, octets: &[u8]) {
        self.0 += octets.len() as u64;
    }
}

impl Signing {
    /// Starts to sign a message with these facts.
    ///
    /// - `chain`: DER certificates, the signer's first, the way to the root after it. The root is left out.
    /// - `time`: seconds since 1970 if the clock is trusted; without it the signature says no time.
    /// - `random`: 24 octets from the entropy source; the boundary comes from them and from the content.
    /// - `prepend`: whole header fields, each with CRLF, that leave before the message; may be empty.
    ///
    /// # Errors
    /// See [`SigningError`].
    pub fn new(
        facts: &Facts,
        chain: &[&[u8]],
        time: Option<u64>,
        random: [u8; 24],
        prepend: &[u8],
    ) -> Result<Self, SigningError> {
        if facts.protection != Protection::None {
            return Err(SigningError::AlreadyProtected);
        }
        if let Some(obstacle) = facts.obstacle {
            return Err(SigningError::Obstacle(obstacle));
        }
        check_prepend(prepend).map_err(|_| SigningError::Prepend)?;
        let signer = Signer::new(chain).map_err(|_| SigningError::Certificate)?;
        Ok(Self {
            plan: facts.plan.clone(),
            firewalled: facts.header.firewalled,
            prepend: prepend.to_vec(),
            time,
            random,
            signer,
            transform: Transform::new(&facts.plan),
            output: Digesting { digest: Sha256::new(), octets: 0 },
        })
    }

    /// The next octets of the stored message, from its first.
    pub fn push(&mut self, stored: &[u8]) {
        self.transform.push(&self.plan, stored, &mut self.output);
    }

    /// The stored message is complete: what has to be signed, and the token that takes the answer once.
    ///
    /// # Errors
    /// [`SigningError::TooLong`].
    pub fn finish(mut self) -> Result<(SignQuestion, AwaitingSignature), SigningError> {
        self.transform.finish(&self.plan, &mut self.output);
        let octets = u32::try_from(self.output.octets).map_err(|_| SigningError::TooLong)?;
        let content_digest: [u8; 32] = self.output.digest.finalize().into();
        let attributes = self.signer.signed_attributes(&content_digest, self.time);
        // The content was complete before its digest was known: it cannot hold a boundary that is made of the digest,
        // not even on the day when two messages get the same random octets.
        let mut source = Sha256::new();
        source.update(self.random);
        source.update(content_digest);
        let source: [u8; 32] = source.finalize().into();
        let mut boundary = [0; 16];
        boundary.copy_from_slice(&source[..16]);
        let purpose = match self.signer.key {
            Key::Rsa { .. } => Purpose::RsaPkcs1Sha256,
            Key::EcdsaP256 => Purpose::EcdsaP256Sha256,
        };
        let question = SignQuestion { digest: Signer::digest_of_attributes(&attributes), purpose };
        let (plan, firewalled, prepend, signer) = (self.plan, self.firewalled, self.prepend, self.signer);
        Ok((question, AwaitingSignature { plan, firewalled, prepend, signer, attributes, boundary, octets }))
    }
}

/// Waits for the signature. Taking the answer consumes it: it cannot be answered twice.
#[derive(Debug)]
pub struct AwaitingSignature {
    plan: Plan,
    firewalled: Firewalled,
    prepend: Vec<u8>,
    signer: Signer,
    attributes: Vec<u8>,
    boundary: [u8; 16],
    octets: u32,
}

impl AwaitingSignature {
    /// The signature has been made.
    ///
    /// # Errors
    /// [`SigningError::Signature`] if it does not have the form that the key must give; whether it is right is not
    /// checked here. [`SigningError::TooLong`].
    pub fn answer(self, signature: RawSignature<'_>) -> Result<Recipe, SigningError> {
        let value = match (self.signer.key, signature) {
            (Key::Rsa { octets }, RawSignature::Rsa(value)) if value.len() == octets => Some(value.to_vec()),
            (Key::EcdsaP256, RawSignature::Ecdsa { r, s }) => ecdsa_value(r, s),
            (Key::EcdsaP256, RawSignature::EcdsaDer(der)) => checked_ecdsa_value(der),
            _ => None,
        }
        .ok_or(SigningError::Signature)?;
        let cms = self.signer.signed_data(&self.attributes, &value);
        let mut frame = Count(u64::from(self.octets) + self.prepend.len() as u64);
        before_part(&self.boundary, &mut frame);
        after_part(&self.boundary, &cms, &mut frame);
        let emitted = u32::try_from(frame.0).map_err(|_| SigningError::TooLong)?;
        let signed = Signed { plan: self.plan, boundary: self.boundary, cms, emitted };
        Ok(Recipe {
            prepend: self.prepend,
            form: Form::Signed(signed),
            firewalled: self.firewalled,
            keep_internal: false,
        })
    }
}
