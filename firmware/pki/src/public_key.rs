//! Public keys and what can be checked with them.

use alloc::vec::Vec;
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use core::fmt;
use der::asn1::{AnyRef, BitString, BitStringRef, UintRef};
use der::{Decode, Encode, Sequence};
use limits::keys::{RSA_MODULUS_BYTES_MAX, RSA_MODULUS_BYTES_MIN};
use rsa::BoxedUint;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::traits::SignatureScheme as _;
use sha2::{Digest, Sha256, Sha384, Sha512};
use signature::hazmat::PrehashVerifier;
use spki::SubjectPublicKeyInfoRef;

/// A public key of a kind that the gateway signs with or checks.
#[derive(Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA, 2,048 to 8,192 bit.
    Rsa {
        /// Modulus, big-endian, no leading zero.
        modulus: Vec<u8>,
        /// Public exponent.
        exponent: u32,
    },
    /// A point on NIST P-256.
    P256 {
        /// SEC 1 uncompressed form: 0x04, x, y.
        point: [u8; 65],
    },
}

/// Why a SubjectPublicKeyInfo is not a key we can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyError {
    /// It is not the DER of a SubjectPublicKeyInfo.
    Malformed,
    /// An RSA key below 2,048 or above 8,192 bit, or with an exponent that is even, 1, or above 32 bit.
    RsaSize,
    /// A key of this kind is not supported; the name is for the operator.
    Unsupported(&'static str),
}

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the public key cannot be read"),
            Self::RsaSize => f.write_str("the RSA key is too small or too large (2048 to 8192 bit)"),
            Self::Unsupported(name) => write!(f, "keys of kind {name} are not supported"),
        }
    }
}

impl core::error::Error for PublicKeyError {}

/// How a certificate or a message is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RsaSha512,
    /// ECDSA with SHA-256.
    EcdsaSha256,
    /// ECDSA with SHA-384.
    EcdsaSha384,
    /// ECDSA with SHA-512.
    EcdsaSha512,
    /// Anything else, with its usual name.
    Unsupported(&'static str),
}

impl SignatureAlgorithm {
    /// The algorithm that `oid` stands for.
    #[must_use]
    pub fn from_oid(oid: ObjectIdentifier) -> Self {
        match oid {
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION => Self::RsaSha256,
            rfc5912::SHA_384_WITH_RSA_ENCRYPTION => Self::RsaSha384,
            rfc5912::SHA_512_WITH_RSA_ENCRYPTION => Self::RsaSha512,
            rfc5912::ECDSA_WITH_SHA_256 => Self::EcdsaSha256,
            rfc5912::ECDSA_WITH_SHA_384 => Self::EcdsaSha384,
            rfc5912::ECDSA_WITH_SHA_512 => Self::EcdsaSha512,
            rfc5912::ID_RSASSA_PSS => Self::Unsupported("RSASSA-PSS"),
            rfc5912::SHA_1_WITH_RSA_ENCRYPTION => Self::Unsupported("RSA with SHA-1"),
            rfc5912::MD_5_WITH_RSA_ENCRYPTION => Self::Unsupported("RSA with MD5"),
            rfc8410::ID_ED_25519 => Self::Unsupported("Ed25519"),
            rfc8410::ID_ED_448 => Self::Unsupported("Ed448"),
            _ => Self::Unsupported("unknown"),
        }
    }
}

/// RFC 3279 section 2.2.3: ECDSA-Sig-Value.
#[derive(Sequence)]
struct EcdsaSignature<'a> {
    r: UintRef<'a>,
    s: UintRef<'a>,
}

/// RFC 8017 appendix A.1.1: RSAPublicKey.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

/// The DER form (RFC 3279 section 2.2.3) of a P-256 signature given as `r` and `s`, each 32 octets big-endian.
#[must_use]
pub fn ecdsa_signature_der(r: &[u8; 32], s: &[u8; 32]) -> Vec<u8> {
    let encoded = UintRef::new(r)
        .and_then(|r| UintRef::new(s).map(|s| EcdsaSignature { r, s }))
        .and_then(|value| value.to_der());
    // Two integers of 32 octets always encode.
    encoded.unwrap_or_default()
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    ///
    /// # Errors
    /// See [`PublicKeyError`].
    pub fn from_spki(spki: &[u8]) -> Result<Self, PublicKeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| PublicKeyError::Malformed)?;
        let key = spki.subject_public_key.as_bytes().ok_or(PublicKeyError::Malformed)?;
        match spki.algorithm.oid {
            rfc5912::RSA_ENCRYPTION => {
                let key = RsaPublicKey::from_der(key).map_err(|_| PublicKeyError::Malformed)?;
                Self::rsa(key.modulus.as_bytes(), key.exponent.as_bytes())
            }
            rfc5912::ID_EC_PUBLIC_KEY => {
                let curve: ObjectIdentifier =
                    spki.algorithm.parameters_oid().map_err(|_| PublicKeyError::Malformed)?;
                match curve {
                    rfc5912::SECP_256_R_1 => Self::p256(key),
                    rfc5912::SECP_384_R_1 => Err(PublicKeyError::Unsupported("EC P-384")),
                    rfc5912::SECP_521_R_1 => Err(PublicKeyError::Unsupported("EC P-521")),
                    _ => Err(PublicKeyError::Unsupported("EC on another curve")),
                }
            }
            rfc5912::ID_RSASSA_PSS => Err(PublicKeyError::Unsupported("RSASSA-PSS")),
            rfc8410::ID_ED_25519 => Err(PublicKeyError::Unsupported("Ed25519")),
            rfc8410::ID_ED_448 => Err(PublicKeyError::Unsupported("Ed448")),
            _ => Err(PublicKeyError::Unsupported("unknown")),
        }
    }

    /// An RSA key from big-endian modulus and exponent.
    ///
    /// # Errors
    /// [`PublicKeyError::RsaSize`] if either is out of range.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, PublicKeyError> {
        let zeros = modulus.iter().take_while(|b| **b == 0).count();
        let modulus = modulus.get(zeros..).unwrap_or(&[]);
        // An even modulus is no product of odd primes, and Montgomery arithmetic does not take one.
        if modulus.len() < RSA_MODULUS_BYTES_MIN
            || modulus.len() > RSA_MODULUS_BYTES_MAX
            || modulus.last().is_none_or(|low| low & 1 == 0)
        {
            return Err(PublicKeyError::RsaSize);
        }
        let mut value = 0u32;
        let zeros = exponent.iter().take_while(|b| **b == 0).count();
        let exponent = exponent.get(zeros..).unwrap_or(&[]);
        if exponent.len() > 4 {
            return Err(PublicKeyError::RsaSize);
        }
        for octet in exponent {
            value = (value << 8) | u32::from(*octet);
        }
        if value < 3 || value & 1 == 0 {
            return Err(PublicKeyError::RsaSize);
        }
        Ok(Self::Rsa { modulus: modulus.to_vec(), exponent: value })
    }

    /// A P-256 key from its SEC 1 form, compressed or not. The point is checked to lie on the curve.
    ///
    /// # Errors
    /// [`PublicKeyError::Malformed`] if it is no such point.
    pub fn p256(sec1: &[u8]) -> Result<Self, PublicKeyError> {
        let key = p256::PublicKey::from_sec1_bytes(sec1).map_err(|_| PublicKeyError::Malformed)?;
        use p256::elliptic_curve::sec1::ToSec1Point;
        let encoded = key.to_sec1_point(false);
        let point = encoded.as_bytes().try_into().map_err(|_| PublicKeyError::Malformed)?;
        Ok(Self::P256 { point })
    }

    /// The DER of the SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`PublicKeyError::Malformed`] if the parts do not encode, which a key made by this type does not do.
    pub fn to_spki(&self) -> Result<Vec<u8>, PublicKeyError> {
        self.encode_spki().map_err(|_| PublicKeyError::Malformed)
    }

    fn encode_spki(&self) -> der::Result<Vec<u8>> {
        let (oid, parameters, key) = match self {
            Self::Rsa { modulus, exponent } => {
                let exponent = exponent.to_be_bytes();
                let key =
                    RsaPublicKey { modulus: UintRef::new(modulus)?, exponent: UintRef::new(&exponent)? }
                        .to_der()?;
                (rfc5912::RSA_ENCRYPTION, AnyRef::NULL.to_der()?, key)
            }
            Self::P256 { point } => {
                (rfc5912::ID_EC_PUBLIC_KEY, rfc5912::SECP_256_R_1.to_der()?, point.to_vec())
            }
        };
        SubjectPublicKeyInfoRef {
            algorithm: spki::AlgorithmIdentifierRef { oid, parameters: Some(AnyRef::from_der(&parameters)?) },
            subject_public_key: BitStringRef::from_bytes(&key)?,
        }
        .to_der()
    }

    /// The content of the key BIT STRING, whose SHA-1 many use as key identifier (RFC 5280 section 4.2.1.2).
    ///
    /// # Errors
    /// As [`to_spki`](Self::to_spki).
    pub fn key_octets(&self) -> Result<Vec<u8>, PublicKeyError> {
        let spki = self.to_spki()?;
        let parsed = spki::SubjectPublicKeyInfo::<AnyRef<'_>, BitString>::from_der(&spki)
            .map_err(|_| PublicKeyError::Malformed)?;
        Ok(parsed.subject_public_key.raw_bytes().to_vec())
    }

    /// What the operator calls it: `RSA-2048`, `P-256`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Rsa { modulus, .. } => match modulus.len() {
                256 => "RSA-2048",
                384 => "RSA-3072",
                512 => "RSA-4096",
                _ => "RSA",
            },
            Self::P256 { .. } => "P-256",
        }
    }

    /// The algorithm that this key signs with here.
    #[must_use]
    pub fn signature_algorithm(&self) -> SignatureAlgorithm {
        match self {
            Self::Rsa { .. } => SignatureAlgorithm::RsaSha256,
            Self::P256 { .. } => SignatureAlgorithm::EcdsaSha256,
        }
    }

    /// Whether `signature` over `message` is good: PKCS#1 v1.5 octets for RSA, DER for ECDSA. A key of the other kind
    /// and every unsupported algorithm is simply not good.
    #[must_use]
    pub fn verify(&self, algorithm: SignatureAlgorithm, message: &[u8], signature: &[u8]) -> bool {
        use SignatureAlgorithm as A;
        match algorithm {
            A::RsaSha256 => {
                self.verify_rsa(&Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature)
            }
            A::RsaSha384 => {
                self.verify_rsa(&Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message), signature)
            }
            A::RsaSha512 => {
                self.verify_rsa(&Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message), signature)
            }
            A::EcdsaSha256 => self.verify_ecdsa(&Sha256::digest(message), signature),
            A::EcdsaSha384 => self.verify_ecdsa(&Sha384::digest(message), signature),
            A::EcdsaSha512 => self.verify_ecdsa(&Sha512::digest(message), signature),
            A::Unsupported(_) => false,
        }
    }

    /// Whether `signature` over a SHA-256 `digest` is good, with this key's own algorithm.
    #[must_use]
    pub fn verify_sha256(&self, digest: &[u8; 32], signature: &[u8]) -> bool {
        match self {
            Self::Rsa { .. } => self.verify_rsa(&Pkcs1v15Sign::new::<Sha256>(), digest, signature),
            Self::P256 { .. } => self.verify_ecdsa(digest, signature),
        }
    }

    fn verify_rsa(&self, scheme: &Pkcs1v15Sign, digest: &[u8], signature: &[u8]) -> bool {
        let Self::Rsa { modulus, exponent } = self else { return false };
        if signature.len() != modulus.len() {
            return false;
        }
        let n = BoxedUint::from_be_slice_vartime(modulus);
        let e = BoxedUint::from(*exponent);
        let bits = RSA_MODULUS_BYTES_MIN * 8..=RSA_MODULUS_BYTES_MAX * 8;
        let Ok(key) = rsa::RsaPublicKey::new_with_size_limits(n, e, bits) else { return false };
        // The scheme is consumed by the check; it holds a prefix of a few octets.
        scheme.clone().verify(&key, digest, signature).is_ok()
    }

    fn verify_ecdsa(&self, digest: &[u8], signature: &[u8]) -> bool {
        let Self::P256 { point } = self else { return false };
        let Ok(key) = p256::ecdsa::VerifyingKey::from_sec1_bytes(point) else { return false };
        let Ok(signature) = p256::ecdsa::Signature::from_der(signature) else { return false };
        key.verify_prehash(digest, &signature).is_ok()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}
