//! Key derivation of TPM 2.0 part 1, section 11.4.10, and the cipher of parameter encryption, with SHA-256 and AES-128.

use aes::Aes128;
use cfb_mode::cipher::KeyIvInit;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

/// HMAC-SHA-256 over `parts`, one after the other.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    keyed(key, parts).finalize().into_bytes().into()
}

/// Whether `mac` is the HMAC-SHA-256 over `parts`; takes the same time wherever they differ.
pub(crate) fn hmac_is(key: &[u8], parts: &[&[u8]], mac: &[u8]) -> bool {
    keyed(key, parts).verify_slice(mac).is_ok()
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes every key");
    for part in parts {
        mac.update(part);
    }
    mac
}

/// SHA-256 over `parts`, one after the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// KDFa (11.4.10.2): fills `out`, at most 32 octets, which is one round.
pub(crate) fn kdf_a(key: &[u8], label: &[u8], context_u: &[u8], context_v: &[u8], out: &mut [u8]) {
    let bits = u32::try_from(out.len().saturating_mul(8)).unwrap_or(u32::MAX);
    let one = 1u32.to_be_bytes();
    let mut block = hmac(key, &[&one, label, &[0], context_u, context_v, &bits.to_be_bytes()]);
    out.iter_mut().zip(block).for_each(|(to, from)| *to = from);
    block.zeroize();
}

/// KDFe (11.4.10.3) for 256 bit: one round of SHA-256.
pub(crate) fn kdf_e(z: &[u8], label: &[u8], party_u: &[u8], party_v: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(sha256(&[&1u32.to_be_bytes(), z, label, &[0], party_u, party_v]))
}

/// Key and IV of parameter encryption (part 1, section 21.3), wiped when dropped.
pub(crate) struct ParameterCipher(Zeroizing<[u8; 32]>);

impl ParameterCipher {
    /// For one direction of one command. `key` is session key and auth value.
    pub(crate) fn new(key: &[u8], nonce_newer: &[u8], nonce_older: &[u8]) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        kdf_a(key, b"CFB", nonce_newer, nonce_older, secret.as_mut());
        Self(secret)
    }

    pub(crate) fn encrypt(&self, data: &mut [u8]) {
        let (key, iv) = self.0.split_at(16);
        let cipher = cfb_mode::Encryptor::<Aes128>::new_from_slices(key, iv);
        cipher.expect("key and IV have 16 octets").encrypt(data);
    }

    pub(crate) fn decrypt(&self, data: &mut [u8]) {
        let (key, iv) = self.0.split_at(16);
        let cipher = cfb_mode::Decryptor::<Aes128>::new_from_slices(key, iv);
        cipher.expect("key and IV have 16 octets").decrypt(data);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encrypted_for_one_pair_of_nonces_is_read_only_with_the_same() {
        let mut data = *b"a secret of no full block";
        let clear = data;
        ParameterCipher::new(b"key", b"newer", b"older").encrypt(&mut data);
        assert_ne!(data, clear);
        let mut other = data;
        ParameterCipher::new(b"key", b"older", b"newer").decrypt(&mut other);
        assert_ne!(other, clear);
        ParameterCipher::new(b"key", b"newer", b"older").decrypt(&mut data);
        assert_eq!(data, clear);
    }

    #[test]
    fn a_mac_with_any_bit_changed_is_refused() {
        let mac = hmac(b"key", &[b"one", b"two"]);
        assert!(hmac_is(b"key", &[b"onetwo"], &mac));
        for bit in 0..256 {
            let mut wrong = mac;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!hmac_is(b"key", &[b"onetwo"], &wrong));
        }
        assert!(!hmac_is(b"key", &[b"onetwo"], &mac[..31]));
        assert!(!hmac_is(b"key", &[b"onetwo"], &[]));
    }
}
