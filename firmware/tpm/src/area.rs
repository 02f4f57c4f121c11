//! Public areas: the templates that keys are made from, and what is read from the areas that come back.

use crate::kdf::sha256;
use crate::{KeyAlgorithm, Name, PublicKey, TpmError, WrappedKey};
use alloc::vec::Vec;
use limits::keys::TPM_PUBLIC_BYTES_MAX;
use tpm2_protocol::data::{
    Tpm2bDigest, Tpm2bEccParameter, Tpm2bPublicKeyRsa, TpmAlgId, TpmEccCurve, TpmaObject, TpmsEccParms,
    TpmsEccPoint, TpmsRsaParms, TpmsSchemeHash, TpmtEccScheme, TpmtKdfScheme, TpmtPublic, TpmtRsaScheme,
    TpmtSymDefObject, TpmuAsymScheme, TpmuPublicId, TpmuPublicParms, TpmuSymKeyBits, TpmuSymMode,
};
use tpm2_protocol::{TpmMarshal, TpmUnmarshal, TpmWriter};

/// RSA public exponents: 0 in a public area stands for this one (part 2, section 12.2.3.5).
const RSA_EXPONENT_DEFAULT: u32 = 65_537;

/// Set in every key we make: it never leaves this TPM and this parent, the TPM itself made it, and using it takes the
/// auth value. Dictionary-attack protection is off (`noDA`): the auth values are 256 random bit, and a power cut while
/// a protected key is loaded counts as a failed try, so that plugs pulled often enough would lock the gateway out.
const OURS: u32 = TpmaObject::FIXED_TPM.bits()
    | TpmaObject::FIXED_PARENT.bits()
    | TpmaObject::SENSITIVE_DATA_ORIGIN.bits()
    | TpmaObject::USER_WITH_AUTH.bits()
    | TpmaObject::NO_DA.bits();

/// The storage key template of the TCG provisioning guidance (ECC P-256, AES-128-CFB), as every system uses it:
/// the same owner seed gives the same key.
pub(crate) fn storage_key() -> Result<TpmtPublic, TpmError> {
    let zeros = [0; 32];
    Ok(TpmtPublic {
        object_type: TpmAlgId::Ecc,
        name_alg: TpmAlgId::Sha256,
        object_attributes: TpmaObject::from_bits_truncate(
            OURS | TpmaObject::RESTRICTED.bits() | TpmaObject::DECRYPT.bits(),
        ),
        auth_policy: Tpm2bDigest::default(),
        parameters: TpmuPublicParms::Ecc(TpmsEccParms {
            symmetric: aes_128_cfb(),
            scheme: TpmtEccScheme::default(),
            curve_id: TpmEccCurve::NistP256,
            kdf: TpmtKdfScheme::default(),
        }),
        unique: TpmuPublicId::Ecc(TpmsEccPoint { x: ecc_parameter(&zeros)?, y: ecc_parameter(&zeros)? }),
    })
}

/// The template of a signing key. Scheme and hash are fixed in the key, so that it can never sign anything else.
pub(crate) fn signing_key(algorithm: KeyAlgorithm) -> TpmtPublic {
    let sha256 = TpmuAsymScheme::Hash(TpmsSchemeHash { hash_alg: TpmAlgId::Sha256 });
    let none = TpmtSymDefObject { algorithm: TpmAlgId::Null, ..Default::default() };
    let (object_type, parameters, unique) = match algorithm {
        KeyAlgorithm::Rsa2048 => (
            TpmAlgId::Rsa,
            TpmuPublicParms::Rsa(TpmsRsaParms {
                symmetric: none,
                scheme: TpmtRsaScheme { scheme: TpmAlgId::Rsassa, details: sha256 },
                key_bits: 2_048.into(),
                exponent: 0.into(),
            }),
            TpmuPublicId::Rsa(Tpm2bPublicKeyRsa::default()),
        ),
        KeyAlgorithm::P256 => (
            TpmAlgId::Ecc,
            TpmuPublicParms::Ecc(TpmsEccParms {
                symmetric: none,
                scheme: TpmtEccScheme { scheme: TpmAlgId::Ecdsa, details: sha256 },
                curve_id: TpmEccCurve::NistP256,
                kdf: TpmtKdfScheme::default(),
            }),
            TpmuPublicId::Ecc(TpmsEccPoint::default()),
        ),
    };
    TpmtPublic {
        object_type,
        name_alg: TpmAlgId::Sha256,
        object_attributes: TpmaObject::from_bits_truncate(OURS | TpmaObject::SIGN_ENCRYPT.bits()),
        auth_policy: Tpm2bDigest::default(),
        parameters,
        unique,
    }
}

pub(crate) fn aes_128_cfb() -> TpmtSymDefObject {
    TpmtSymDefObject {
        algorithm: TpmAlgId::Aes,
        key_bits: TpmuSymKeyBits::Aes(128.into()),
        mode: TpmuSymMode::Aes(TpmAlgId::Cfb),
    }
}

pub(crate) fn ecc_parameter(octets: &[u8]) -> Result<Tpm2bEccParameter, TpmError> {
    Tpm2bEccParameter::try_from(octets).map_err(|_| TpmError::Encoding)
}

/// Whether `area` is what `template` asked for: everything equal but the unique part.
pub(crate) fn follows(area: &TpmtPublic, template: &TpmtPublic) -> bool {
    area.object_type == template.object_type
        && area.name_alg == template.name_alg
        && area.object_attributes == template.object_attributes
        && area.auth_policy == template.auth_policy
        && area.parameters == template.parameters
}

/// The octets of `area`.
pub(crate) fn encode(area: &TpmtPublic) -> Result<Vec<u8>, TpmError> {
    let mut buffer = [0; TPM_PUBLIC_BYTES_MAX];
    let mut writer = TpmWriter::new(&mut buffer);
    area.marshal(&mut writer).map_err(|_| TpmError::Encoding)?;
    Ok(writer.as_bytes().to_vec())
}

/// Reads a whole public area.
pub(crate) fn decode(octets: &[u8]) -> Result<TpmtPublic, TpmError> {
    if octets.len() > TPM_PUBLIC_BYTES_MAX {
        return Err(TpmError::Key);
    }
    match TpmtPublic::unmarshal(octets) {
        Ok((area, [])) => Ok(area),
        _ => Err(TpmError::Key),
    }
}

/// Part 1, section 16: name algorithm and digest of the public area.
pub(crate) fn name(octets: &[u8]) -> Name {
    let mut name = [0; 34];
    let (algorithm, digest) = name.split_at_mut(2);
    algorithm.copy_from_slice(&TpmAlgId::Sha256.value().to_be_bytes());
    digest.copy_from_slice(&sha256(&[octets]));
    Name(name)
}

/// A coordinate in 32 octets; TPMs may leave leading zeros away.
pub(crate) fn coordinate(octets: &[u8]) -> Result<[u8; 32], TpmError> {
    let mut out = [0; 32];
    let start = out.len().checked_sub(octets.len()).ok_or(TpmError::Key)?;
    out.get_mut(start..).ok_or(TpmError::Key)?.copy_from_slice(octets);
    Ok(out)
}

impl WrappedKey {
    /// The algorithm and the public key in the public area.
    ///
    /// # Errors
    /// [`TpmError::Key`] if it is not the public area of a signing key as this crate makes them.
    pub fn public_key(&self) -> Result<PublicKey, TpmError> {
        let area = decode(&self.public)?;
        let algorithm = match area.object_type {
            TpmAlgId::Rsa => KeyAlgorithm::Rsa2048,
            TpmAlgId::Ecc => KeyAlgorithm::P256,
            _ => return Err(TpmError::Key),
        };
        if !follows(&area, &signing_key(algorithm)) {
            return Err(TpmError::Key);
        }
        match area.unique {
            TpmuPublicId::Rsa(modulus) if modulus.len() == 256 => {
                Ok(PublicKey::Rsa { modulus: modulus.to_vec(), exponent: RSA_EXPONENT_DEFAULT })
            }
            TpmuPublicId::Ecc(point) => {
                Ok(PublicKey::P256 { x: coordinate(&point.x)?, y: coordinate(&point.y)? })
            }
            _ => Err(TpmError::Key),
        }
    }

    /// The name of the key (TPM 2.0 part 1, section 16).
    #[must_use]
    pub fn name(&self) -> Name {
        name(&self.public)
    }
}
