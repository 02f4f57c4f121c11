//! Checking what the TPM signed. A signature made under a fault can give the key away, and one changed on the bus is
//! useless; neither leaves this crate.

use crate::{PublicKey, Signature};
use rsa::BoxedUint;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::traits::SignatureScheme as _;
use sha2::Sha256;
use signature::hazmat::PrehashVerifier;

impl PublicKey {
    /// Whether `signature` over the SHA-256 `digest` is this key's.
    #[must_use]
    pub fn verify(&self, digest: &[u8; 32], signature: &Signature) -> bool {
        match (self, signature) {
            (Self::Rsa { modulus, exponent }, Signature::Rsa(octets)) => {
                let n = BoxedUint::from_be_slice_vartime(modulus);
                let Ok(key) = rsa::RsaPublicKey::new(n, BoxedUint::from(*exponent)) else { return false };
                Pkcs1v15Sign::new::<Sha256>().verify(&key, digest, octets).is_ok()
            }
            (Self::P256 { x, y }, Signature::P256 { r, s }) => {
                let mut point = [4; 65];
                let (_, coordinates) = point.split_at_mut(1);
                coordinates.copy_from_slice([*x, *y].as_flattened());
                let Ok(key) = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point) else { return false };
                let Ok(signature) = p256::ecdsa::Signature::from_scalars(*r, *s) else { return false };
                key.verify_prehash(digest, &signature).is_ok()
            }
            _ => false,
        }
    }
}
