//! Keys, names and signatures as values.

use alloc::vec::Vec;
use core::fmt;
use zeroize::Zeroize;

/// The name of an object: the algorithm of its name (SHA-256) and the digest of its public area (Part 1, section 16).
/// Two objects with one name are the same object.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(pub [u8; 34]);

impl Name {
    /// The octets as they go into hashes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    /// The first eight octets of the digest in hexadecimal: enough for an operator to tell two TPMs apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().skip(2).take(8).try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The secret that lets a key be used. Wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq, Zeroize)]
#[zeroize(drop)]
pub struct AuthValue([u8; 32]);

impl AuthValue {
    /// An auth value of 32 random octets.
    #[must_use]
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// The octets, to be stored or to key a MAC.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthValue(..)")
    }
}

/// Kinds of signing key that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// RSA-2048 with exponent 65537; signs RSASSA-PKCS1-v1_5 with SHA-256.
    Rsa2048,
    /// ECC on NIST P-256; signs ECDSA with SHA-256.
    P256,
}

/// A key that only the TPM which made it can use: public area and encrypted private area, both as the TPM gave them,
/// without their size fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedKey {
    /// `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// The content of `TPM2B_PRIVATE`, encrypted by the parent.
    pub private: Vec<u8>,
}

/// The public half of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublicKey {
    /// RSA.
    Rsa {
        /// Big-endian modulus.
        modulus: Vec<u8>,
        /// Public exponent.
        exponent: u32,
    },
    /// P-256.
    P256 {
        /// Big-endian affine coordinate.
        x: [u8; 32],
        /// Big-endian affine coordinate.
        y: [u8; 32],
    },
}

/// A signature as the TPM makes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signature {
    /// RSASSA-PKCS1-v1_5, as long as the modulus.
    Rsa(Vec<u8>),
    /// ECDSA on P-256, both numbers big-endian.
    P256 {
        /// First number.
        r: [u8; 32],
        /// Second number.
        s: [u8; 32],
    },
}
