//! An HMAC session, salted by ECDH with the storage key (part 1, sections 19.6 and 21).
//!
//! One session does everything: it proves that we know the auth value of the object used, encrypts the first parameter of
//! the command, of the response, or of both, and its MAC covers command and response. Its key comes from a salt that only
//! the owner of the storage key can read, so whoever listens on the bus from the first command on learns nothing, and whoever
//! changes anything breaks a MAC.

use crate::kdf::{ParameterCipher, hmac, hmac_is, kdf_a, kdf_e};
use crate::{AuthValue, TpmError};
use alloc::vec::Vec;
use platform::Entropy;
use zeroize::Zeroizing;

/// Octets of our nonces and the TPM's: the digest size.
pub(crate) const NONCE_BYTES: usize = 32;

/// The point of the storage key.
#[derive(Clone, Copy)]
pub(crate) struct StoragePoint {
    pub x: [u8; 32],
    pub y: [u8; 32],
}

/// What is sent to open a session, and the secret half that stays here.
pub(crate) struct Opening {
    pub nonce_caller: [u8; NONCE_BYTES],
    /// The ephemeral public point that goes to the TPM.
    pub x: [u8; 32],
    pub y: [u8; 32],
    salt: Zeroizing<[u8; 32]>,
}

impl Opening {
    /// Makes a nonce and a salt for the storage key at `point` (part 1, annex C.6.1).
    pub(crate) fn new(entropy: &impl Entropy, point: &StoragePoint) -> Result<Self, TpmError> {
        let mut sec1 = [4; 65];
        let (_, coordinates) = sec1.split_at_mut(1);
        coordinates.copy_from_slice([point.x, point.y].as_flattened());
        let storage = p256::PublicKey::from_sec1_bytes(&sec1).map_err(|_| TpmError::ForeignStorageKey)?;
        let mut octets = Zeroizing::new([0; 32]);
        // A random 256-bit number is outside the group order once in 2^32 times.
        let secret = loop {
            entropy.fill(octets.as_mut());
            if let Ok(secret) = p256::SecretKey::from_slice(octets.as_ref()) {
                break secret;
            }
        };
        let shared = p256::ecdh::diffie_hellman(secret.to_nonzero_scalar(), storage.as_affine());
        use p256::elliptic_curve::sec1::ToSec1Point;
        let public = secret.public_key().to_sec1_point(false);
        let coordinate = |octets: Option<&[u8]>| <[u8; 32]>::try_from(octets?).ok();
        let x = coordinate(public.x().map(|x| x.as_ref())).ok_or(TpmError::Encoding)?;
        let y = coordinate(public.y().map(|y| y.as_ref())).ok_or(TpmError::Encoding)?;
        let z = Zeroizing::new(shared.raw_secret_bytes().to_vec());
        let salt = kdf_e(&z, b"SECRET", &x, &point.x);
        let mut nonce_caller = [0; NONCE_BYTES];
        entropy.fill(&mut nonce_caller);
        Ok(Self { nonce_caller, x, y, salt })
    }

    /// The session that the TPM opened with this.
    pub(crate) fn finish(self, handle: u32, nonce_tpm: [u8; NONCE_BYTES]) -> Session {
        let mut key = Zeroizing::new([0; 32]);
        // Part 1, section 19.6.8: sessionKey; the session is not bound, so the salt alone is the key.
        kdf_a(self.salt.as_ref(), b"ATH", &nonce_tpm, &self.nonce_caller, key.as_mut());
        Session { handle, key, nonce_tpm, nonce_caller: self.nonce_caller }
    }
}

/// What a session does in one command beside its MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Protection {
    /// The first parameter of the command is encrypted (the TPM decrypts).
    pub command: bool,
    /// The first parameter of the response is encrypted.
    pub response: bool,
}

/// An open session.
pub(crate) struct Session {
    pub handle: u32,
    key: Zeroizing<[u8; 32]>,
    nonce_tpm: [u8; NONCE_BYTES],
    nonce_caller: [u8; NONCE_BYTES],
}

/// Session attributes (part 2, section 8.4).
const CONTINUE_SESSION: u8 = 0x01;
const DECRYPT: u8 = 0x20;
const ENCRYPT: u8 = 0x40;

/// `TPMS_AUTH_COMMAND` of a session of ours: handle, nonce, attributes, MAC.
pub(crate) const AUTH_COMMAND_BYTES: usize = 4 + 2 + NONCE_BYTES + 1 + 2 + 32;
/// `TPMS_AUTH_RESPONSE`: nonce, attributes, MAC.
pub(crate) const AUTH_RESPONSE_BYTES: usize = 2 + NONCE_BYTES + 1 + 2 + 32;

impl Session {
    /// Session key and auth value: the key of MACs and of parameter encryption (part 1, sections 19.6.9 and 21.3).
    fn secret(&self, auth: Option<&AuthValue>) -> Zeroizing<Vec<u8>> {
        let mut secret = Zeroizing::new(Vec::with_capacity(64));
        secret.extend_from_slice(self.key.as_ref());
        if let Some(auth) = auth {
            // Part 1, section 19.6.5: trailing zeros of an auth value do not count.
            let octets = auth.expose();
            let zeros = octets.iter().rev().take_while(|octet| **octet == 0).count();
            secret.extend_from_slice(octets.get(..octets.len() - zeros).unwrap_or(octets));
        }
        secret
    }

    fn attributes(protection: Protection) -> u8 {
        CONTINUE_SESSION
            | if protection.command { DECRYPT } else { 0 }
            | if protection.response { ENCRYPT } else { 0 }
    }

    /// Protects one command: takes a new nonce, encrypts the first parameter of `parameters` in place if asked, and
    /// writes the authorisation to `out`. `hash` makes cpHash from the parameters as they are sent.
    pub(crate) fn protect(
        &mut self,
        entropy: &impl Entropy,
        auth: Option<&AuthValue>,
        protection: Protection,
        parameters: &mut [u8],
        hash: impl FnOnce(&[u8]) -> [u8; 32],
        out: &mut [u8; AUTH_COMMAND_BYTES],
    ) -> Result<(), TpmError> {
        entropy.fill(&mut self.nonce_caller);
        let secret = self.secret(auth);
        if protection.command {
            let first = first_parameter(parameters).ok_or(TpmError::Encoding)?;
            ParameterCipher::new(&secret, &self.nonce_caller, &self.nonce_tpm).encrypt(first);
        }
        let attributes = Self::attributes(protection);
        let digest = hash(parameters);
        let mac = hmac(&secret, &[&digest, &self.nonce_caller, &self.nonce_tpm, &[attributes]]);
        let size = [0, 32];
        let parts: [&[u8]; 6] =
            [&self.handle.to_be_bytes(), &size, &self.nonce_caller, &[attributes], &size, &mac];
        out.copy_from_slice(&parts.concat());
        Ok(())
    }

    /// Checks one response: the MAC over `digest` (rpHash), with the auth value used in the command, and the attributes;
    /// then decrypts the first of `parameters` in place if that was asked for.
    pub(crate) fn accept(
        &mut self,
        auth: Option<&AuthValue>,
        protection: Protection,
        digest: &[u8; 32],
        authorisation: &[u8],
        parameters: &mut [u8],
    ) -> Result<(), TpmError> {
        let authorisation: &[u8; AUTH_RESPONSE_BYTES] =
            authorisation.try_into().map_err(|_| TpmError::Tampered)?;
        let (nonce_size, rest) = authorisation.split_at(2);
        let (nonce, rest) = rest.split_at(NONCE_BYTES);
        let (attributes, rest) = rest.split_at(1);
        let (mac_size, mac) = rest.split_at(2);
        if nonce_size != [0, 32] || mac_size != [0, 32] || attributes != [Self::attributes(protection)] {
            return Err(TpmError::Tampered);
        }
        let secret = self.secret(auth);
        if !hmac_is(&secret, &[digest, nonce, &self.nonce_caller, attributes], mac) {
            return Err(TpmError::Tampered);
        }
        self.nonce_tpm.copy_from_slice(nonce);
        if protection.response {
            let first = first_parameter(parameters).ok_or(TpmError::Tampered)?;
            ParameterCipher::new(&secret, &self.nonce_tpm, &self.nonce_caller).decrypt(first);
        }
        Ok(())
    }
}

/// The data of the sized buffer that `parameters` start with; its size is never encrypted.
fn first_parameter(parameters: &mut [u8]) -> Option<&mut [u8]> {
    let size: [u8; 2] = parameters.get(..2)?.try_into().ok()?;
    parameters.get_mut(2..)?.get_mut(..usize::from(u16::from_be_bytes(size)))
}
