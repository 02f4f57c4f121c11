//! What is in flash, byte by byte.
//!
//! Key 0 holds the header, key `2 n` the record of identity `n`, key `2 n + 1` its chain (DER certificates one after the
//! other, leaf first). Header and record start with a version octet; the rest is postcard. A record of a version that is
//! not known is left alone, and its number is not given again.

use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// The version written by this firmware.
pub(crate) const VERSION: u8 = 1;

pub(crate) const HEADER_KEY: u32 = 0;

/// The keys of an identity's two values; `None` for numbers that have none.
pub(crate) fn keys(id: u32) -> Option<(u32, u32)> {
    let record = id.checked_mul(2)?;
    (id > 0).then_some((record, record.checked_add(1)?))
}

/// What is stored once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Default)]
pub(crate) struct Header {
    /// Name of the storage key of the TPM that identities are made with; empty before the first start.
    pub storage_key: Vec<u8>,
    /// The next identity's number.
    pub next_id: u32,
}

/// What is stored of an identity, without its chain.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// 0 RSA-2048, 1 P-256.
    pub algorithm: u8,
    /// 0 signing mail.
    pub purpose: u8,
    /// `user@domain` or `@domain`.
    pub scope: String,
    /// `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// Content of `TPM2B_PRIVATE`: encrypted by the storage key.
    pub private: Vec<u8>,
    /// Lets the TPM use the key. Worthless without this TPM.
    pub auth: [u8; 32],
    /// Name of the storage key that wrapped it.
    pub storage_key: Vec<u8>,
    /// Unix seconds.
    pub created: Option<u64>,
    /// Whether it may sign.
    pub enabled: bool,
}

impl Drop for Record {
    fn drop(&mut self) {
        self.auth.zeroize();
    }
}

/// Version octet and postcard of `value`.
pub(crate) fn encode<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    postcard::to_extend(value, alloc::vec![VERSION]).ok()
}

/// What [`encode`] wrote; `None` for other versions, damage, and anything behind the value.
pub(crate) fn decode<'a, T: Deserialize<'a>>(octets: &'a [u8]) -> Option<T> {
    let (version, rest) = octets.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (value, rest) = postcard::take_from_bytes(rest).ok()?;
    rest.is_empty().then_some(value)
}
