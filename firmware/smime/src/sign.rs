//! Signing: read the stored message once, ask for one signature, get a recipe.

use crate::facts::{Facts, Obstacle};
use crate::recipe::Recipe;

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

/// Reads the stored message and computes what is to be signed.
#[derive(Debug)]
pub struct Signing {}

impl Signing {
    /// Starts to sign a message with these facts.
    ///
    /// - `chain`: DER certificates, the signer's first, the way to the root after it.
    /// - `time`: seconds since 1970 if the clock is trusted.
    /// - `random`: 24 octets from the entropy source; they become the boundary.
    /// - `prepend`: whole header fields, each with CRLF, that leave before the message; may be empty.
    ///
    /// # Errors
    /// See [`SigningError`].
    pub fn new(
        _facts: &Facts,
        _chain: &[&[u8]],
        _time: Option<u64>,
        _random: [u8; 24],
        _prepend: &[u8],
    ) -> Result<Self, SigningError> {
        unimplemented!()
    }

    /// The next octets of the stored message.
    pub fn push(&mut self, _stored: &[u8]) {
        unimplemented!()
    }

    /// The stored message is complete: what has to be signed, and the token that takes the answer once.
    ///
    /// # Errors
    /// [`SigningError::TooLong`].
    pub fn finish(self) -> Result<(SignQuestion, AwaitingSignature), SigningError> {
        unimplemented!()
    }
}

/// Waits for the signature. Taking the answer consumes it: it cannot be answered twice.
#[derive(Debug)]
pub struct AwaitingSignature {}

impl AwaitingSignature {
    /// The signature has been made.
    ///
    /// # Errors
    /// [`SigningError::Signature`] if it does not have the form that the key must give.
    pub fn answer(self, _signature: RawSignature<'_>) -> Result<Recipe, SigningError> {
        unimplemented!()
    }
}
