//! The detached SignedData of RFC 5652 that a signature part holds, written octet by octet.
//!
//! ```text
//! ContentInfo { signedData, [0] SignedData {
//!   version 1, digestAlgorithms { sha256 }, encapContentInfo { data, absent },
//!   certificates [0] { signer, way to the root without the root },
//!   signerInfos { SignerInfo {
//!     version 1, issuerAndSerialNumber, sha256,
//!     signedAttrs [0] { contentType, messageDigest, signingTime?, sMIMECapabilities, signingCertificateV2 },
//!     rsaEncryption NULL | ecdsa-with-SHA256, signature } } } }
//! ```
//!
//! Choices, where the standard leaves one:
//! - SHA-256 stands without parameters (RFC 5754 §2), RSA as `rsaEncryption` with NULL (RFC 5754 §3.2; what clients write).
//! - The root is left out: a reader either trusts its own copy or none (RFC 8551 §2.3).
//! - signingCertificateV2 (RFC 5035 §4) has the SHA-256 of the certificate and no issuerSerial, which the SignerInfo says.
//! - Without a trusted clock there is no signingTime: the attribute is optional (RFC 5652 §11.3), and a reader that
//!   misses it takes the Date of the message or its own time; a wrong one could make a good certificate look expired.
//! - Sets are in DER order, so that a reader that encodes the attributes anew gets the same octets.

use alloc::vec::Vec;
use der::{Header, Reader, SliceReader, Tag};
use limits::mime::{CHAIN_BYTES_MAX, CHAIN_COUNT_MAX};
use sha2::{Digest, Sha256};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const CONTEXT_0: u8 = 0xa0;

/// OBJECT IDENTIFIER values with tag and length.
mod oid {
    /// 1.2.840.113549.1.7.1
    pub const DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
    /// 1.2.840.113549.1.7.2
    pub const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
    /// 2.16.840.1.101.3.4.2.1
    pub const SHA_256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
    /// 1.2.840.113549.1.1.1
    pub const RSA_ENCRYPTION: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
    /// 1.2.840.10045.2.1
    pub const EC_PUBLIC_KEY: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
    /// 1.2.840.10045.3.1.7
    pub const P_256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    /// 1.2.840.10045.4.3.2
    pub const ECDSA_WITH_SHA_256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
    /// 1.2.840.113549.1.9.3
    pub const CONTENT_TYPE: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
    /// 1.2.840.113549.1.9.4
    pub const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
    /// 1.2.840.113549.1.9.5
    pub const SIGNING_TIME: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05";
    /// 1.2.840.113549.1.9.15
    pub const SMIME_CAPABILITIES: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0f";
    /// 1.2.840.113549.1.9.16.2.47
    pub const SIGNING_CERTIFICATE_V2: &[u8] = b"\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02\x2f";
    /// Content ciphers that we decrypt, in order of preference (RFC 8551 §2.5.2): AES-256-GCM, AES-128-GCM,
    /// AES-256-CBC, AES-128-CBC: 2.16.840.1.101.3.4.1.46, .6, .42, .2
    pub const CAPABILITIES: [&[u8]; 4] = [
        b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2e",
        b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x06",
        b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a",
        b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x02",
    ];
}

/// The algorithm of the signer's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// With octets of the modulus.
    Rsa {
        /// Length of the modulus, and of every signature.
        octets: usize,
    },
    EcdsaP256,
}

/// A certificate or chain cannot be used for signing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChainUnusable;

impl From<der::Error> for ChainUnusable {
    fn from(_: der::Error) -> Self {
        Self
    }
}

/// What is needed of a certificate, each with tag and length.
struct Certificate<'c> {
    serial: &'c [u8],
    issuer: &'c [u8],
    subject: &'c [u8],
    key: &'c [u8],
}

/// Enters a SEQUENCE: a reader over its contents.
fn enter<'c>(reader: &mut SliceReader<'c>) -> Result<SliceReader<'c>, ChainUnusable> {
    let header = <Header as der::Decode>::decode(reader)?;
    if header.tag() != Tag::Sequence {
        return Err(ChainUnusable);
    }
    Ok(SliceReader::new(reader.read_slice(header.length())?)?)
}

/// The next value with tag and length; it must have this tag.
fn element<'c>(reader: &mut SliceReader<'c>, tag: Tag) -> Result<&'c [u8], ChainUnusable> {
    if Tag::peek(reader)? != tag {
        return Err(ChainUnusable);
    }
    Ok(reader.tlv_bytes()?)
}

impl<'c> Certificate<'c> {
    /// RFC 5280 §4.1, as far as needed.
    fn parse(der: &'c [u8]) -> Result<Self, ChainUnusable> {
        let mut outer = SliceReader::new(der)?;
        let mut certificate = enter(&mut outer)?;
        if !outer.is_finished() {
            return Err(ChainUnusable);
        }
        let mut tbs = enter(&mut certificate)?;
        if matches!(Tag::peek(&tbs)?, Tag::ContextSpecific { .. }) {
            tbs.tlv_bytes()?;
        }
        let serial = element(&mut tbs, Tag::Integer)?;
        element(&mut tbs, Tag::Sequence)?;
        let issuer = element(&mut tbs, Tag::Sequence)?;
        element(&mut tbs, Tag::Sequence)?;
        let subject = element(&mut tbs, Tag::Sequence)?;
        let key = element(&mut tbs, Tag::Sequence)?;
        Ok(Self { serial, issuer, subject, key })
    }

    fn key(&self) -> Result<Key, ChainUnusable> {
        let mut outer = SliceReader::new(self.key)?;
        let mut spki = enter(&mut outer)?;
        let mut algorithm = enter(&mut spki)?;
        let bits = element(&mut spki, Tag::BitString)?;
        let oid = element(&mut algorithm, Tag::ObjectIdentifier)?;
        if oid == oid::EC_PUBLIC_KEY {
            let curve = element(&mut algorithm, Tag::ObjectIdentifier)?;
            return if curve == oid::P_256 { Ok(Key::EcdsaP256) } else { Err(ChainUnusable) };
        }
        if oid != oid::RSA_ENCRYPTION {
            return Err(ChainUnusable);
        }
        // BIT STRING: no unused bits, then SEQUENCE { modulus, exponent }.
        let mut outer = SliceReader::new(bits)?;
        let header = <Header as der::Decode>::decode(&mut outer)?;
        let contents = outer.read_slice(header.length())?;
        let mut outer = SliceReader::new(contents.strip_prefix(&[0]).ok_or(ChainUnusable)?)?;
        let mut numbers = enter(&mut outer)?;
        let modulus = <der::asn1::UintRef<'_> as der::Decode>::decode(&mut numbers)?;
        let octets = modulus.as_bytes().len();
        if (256..=512).contains(&octets) { Ok(Key::Rsa { octets }) } else { Err(ChainUnusable) }
    }
}

/// A value with tag and length.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 5);
    out.push(tag);
    let octets = (length as u64).to_be_bytes();
    if length < 128 {
        out.push(octets[7]);
    } else {
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        let digits = &octets[zeros.min(7)..];
        out.push(0x80 | octets.len().saturating_sub(zeros) as u8);
        out.extend_from_slice(digits);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// The contents of a SET OF in DER order (X.690 §11.6).
fn sorted(mut values: Vec<Vec<u8>>) -> Vec<u8> {
    values.sort();
    values.concat()
}

fn attribute(oid: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(SEQUENCE, &[oid, &tlv(SET, &[value])])
}

/// RFC 5652 §11.3: UTCTime up to 2049, GeneralizedTime after it, always with seconds and `Z`.
fn time(unix: u64) -> Option<Vec<u8>> {
    let date = der::DateTime::from_unix_duration(core::time::Duration::from_secs(unix)).ok()?;
    let digits = [
        u32::from(date.year()) / 100,
        u32::from(date.year()) % 100,
        u32::from(date.month()),
        u32::from(date.day()),
        u32::from(date.hour()),
        u32::from(date.minutes()),
        u32::from(date.seconds()),
    ];
    let mut text = Vec::with_capacity(15);
    for pair in digits {
        text.push(b'0' + (pair / 10 % 10) as u8);
        text.push(b'0' + (pair % 10) as u8);
    }
    text.push(b'Z');
    Some(if (1950..2050).contains(&date.year()) {
        tlv(UTC_TIME, &[text.get(2..)?])
    } else {
        tlv(GENERALIZED_TIME, &[&text])
    })
}

/// All of a SignedData that does not depend on the message.
#[derive(Debug)]
pub(crate) struct Signer {
    pub key: Key,
    /// `certificates`, with tag and length.
    certificates: Vec<u8>,
    /// `issuerAndSerialNumber`, with tag and length.
    sid: Vec<u8>,
    certificate_digest: [u8; 32],
}

impl Signer {
    /// Takes a chain of DER certificates, the signer's first.
    pub fn new(chain: &[&[u8]]) -> Result<Self, ChainUnusable> {
        let octets: usize = chain.iter().map(|certificate| certificate.len()).sum();
        let first = *chain.first().ok_or(ChainUnusable)?;
        if chain.len() > CHAIN_COUNT_MAX || octets > CHAIN_BYTES_MAX {
            return Err(ChainUnusable);
        }
        let signer = Certificate::parse(first)?;
        let mut included = Vec::with_capacity(chain.len());
        for (i, der) in chain.iter().enumerate() {
            let certificate = Certificate::parse(der)?;
            let is_root = certificate.issuer == certificate.subject;
            if i == 0 || !is_root {
                included.push(der.to_vec());
            }
        }
        Ok(Self {
            key: signer.key()?,
            certificates: tlv(CONTEXT_0, &[&sorted(included)]),
            sid: tlv(SEQUENCE, &[signer.issuer, signer.serial]),
            certificate_digest: Sha256::digest(first).into(),
        })
    }

    /// The contents of the signed attributes for content with this digest.
    pub fn signed_attributes(&self, content_digest: &[u8; 32], unix: Option<u64>) -> Vec<u8> {
        let capabilities: Vec<u8> = oid::CAPABILITIES.iter().flat_map(|oid| tlv(SEQUENCE, &[oid])).collect();
        let certificate_id = tlv(SEQUENCE, &[&tlv(OCTET_STRING, &[&self.certificate_digest])]);
        let mut attributes = alloc::vec![
            attribute(oid::CONTENT_TYPE, oid::DATA),
            attribute(oid::MESSAGE_DIGEST, &tlv(OCTET_STRING, &[content_digest])),
            attribute(oid::SMIME_CAPABILITIES, &tlv(SEQUENCE, &[&capabilities])),
            attribute(oid::SIGNING_CERTIFICATE_V2, &tlv(SEQUENCE, &[&tlv(SEQUENCE, &[&certificate_id])])),
        ];
        if let Some(time) = unix.and_then(time) {
            attributes.push(attribute(oid::SIGNING_TIME, &time));
        }
        sorted(attributes)
    }

    /// What the key signs: the digest of the attributes as a SET OF (RFC 5652 §5.4).
    pub fn digest_of_attributes(attributes: &[u8]) -> [u8; 32] {
        Sha256::digest(tlv(SET, &[attributes])).into()
    }

    /// The ContentInfo.
    pub fn signed_data(&self, attributes: &[u8], signature: &[u8]) -> Vec<u8> {
        let version_1 = tlv(INTEGER, &[&[1]]);
        let sha_256 = tlv(SEQUENCE, &[oid::SHA_256]);
        let algorithm = match self.key {
            Key::Rsa { .. } => tlv(SEQUENCE, &[oid::RSA_ENCRYPTION, b"\x05\x00"]),
            Key::EcdsaP256 => tlv(SEQUENCE, &[oid::ECDSA_WITH_SHA_256]),
        };
        let signer_info = tlv(
            SEQUENCE,
            &[
                &version_1,
                &self.sid,
                &sha_256,
                &tlv(CONTEXT_0, &[attributes]),
                &algorithm,
                &tlv(OCTET_STRING, &[signature]),
            ],
        );
        let signed_data = tlv(
            SEQUENCE,
            &[
                &version_1,
                &tlv(SET, &[&sha_256]),
                &tlv(SEQUENCE, &[oid::DATA]),
                &self.certificates,
                &tlv(SET, &[&signer_info]),
            ],
        );
        tlv(SEQUENCE, &[oid::SIGNED_DATA, &tlv(CONTEXT_0, &[&signed_data])])
    }
}

/// A DER `Ecdsa-Sig-Value` (RFC 3279 §2.2.3) from r and s, big-endian. `None` if one is zero or longer than 32 octets.
pub(crate) fn ecdsa_value(r: &[u8], s: &[u8]) -> Option<Vec<u8>> {
    Some(tlv(SEQUENCE, &[&positive_integer(r)?, &positive_integer(s)?]))
}

fn positive_integer(number: &[u8]) -> Option<Vec<u8>> {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    let digits = number.get(zeros..).filter(|digits| (1..=32).contains(&digits.len()))?;
    let sign: &[u8] = if digits.first().is_some_and(|first| first & 0x80 != 0) { &[0] } else { &[] };
    Some(tlv(INTEGER, &[sign, digits]))
}

/// The same, checked: a DER `Ecdsa-Sig-Value` for P-256.
pub(crate) fn checked_ecdsa_value(der: &[u8]) -> Option<Vec<u8>> {
    let mut outer = SliceReader::new(der).ok()?;
    let mut numbers = enter(&mut outer).ok()?;
    let r = <der::asn1::UintRef<'_> as der::Decode>::decode(&mut numbers).ok()?;
    let s = <der::asn1::UintRef<'_> as der::Decode>::decode(&mut numbers).ok()?;
    if !outer.is_finished() || !numbers.is_finished() {
        return None;
    }
    ecdsa_value(r.as_bytes(), s.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_as_short_as_der_wants() {
        assert_eq!(tlv(4, &[]), [4, 0]);
        assert_eq!(tlv(4, &[&[7; 127]])[..2], [4, 127]);
        assert_eq!(tlv(4, &[&[7; 128]])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[&[7; 255], &[8]])[..4], [4, 0x82, 1, 0]);
        assert_eq!(tlv(4, &[&[7; 70_000]])[..5], [4, 0x83, 0x01, 0x11, 0x70]);
    }

    #[test]
    fn times_on_both_sides_of_2050() {
        assert_eq!(time(0).as_deref(), Some(&b"\x17\x0d700101000000Z"[..]));
        assert_eq!(time(1_795_000_000).as_deref(), Some(&b"\x17\x0d261118110640Z"[..]));
        assert_eq!(time(2_524_607_999).as_deref(), Some(&b"\x17\x0d491231235959Z"[..]));
        assert_eq!(time(2_524_608_000).as_deref(), Some(&b"\x18\x0f20500101000000Z"[..]));
        assert_eq!(time(u64::MAX), None);
    }

    #[test]
    fn ecdsa_integers_are_positive_and_minimal() {
        let mut r = [0; 32];
        r[31] = 0x80;
        let s = [0xff; 32];
        let der = ecdsa_value(&r, &s).expect("a signature");
        assert_eq!(der[..8], [0x30, 2 + 2 + 2 + 33, 2, 2, 0, 0x80, 2, 33]);
        assert_eq!(checked_ecdsa_value(&der), Some(der.clone()));
        assert_eq!(ecdsa_value(&[0; 32], &s), None);
        assert_eq!(ecdsa_value(&[1; 33], &s), None);
        assert_eq!(checked_ecdsa_value(&der[1..]), None);
        assert_eq!(checked_ecdsa_value(&[der.as_slice(), &[0]].concat()), None);
    }

    #[test]
    fn garbage_is_no_certificate() {
        for garbage in [
            &b""[..],
            b"\x30\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\x00",
            b"\x30\x02\x30\x00",
            b"\x02\x01\x00",
        ] {
            assert!(Signer::new(&[garbage]).is_err());
        }
        assert!(Signer::new(&[]).is_err());
    }
}
