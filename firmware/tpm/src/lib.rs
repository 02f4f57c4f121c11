//! TPM 2.0: commands and sessions as values, and a driver that sends them.
//!
//! Read this first; `hw-docs/tpm-keys.md` tells the same to an operator.
//!
//! # Terms
//! - *Storage key*: the ECC P-256 primary key of the owner hierarchy by the TCG template, kept at handle 0x81000001. Its
//!   [`Name`] names the TPM: another TPM, or this one cleared, has another.
//! - [`WrappedKey`]: a signing key that the TPM made under the storage key and encrypted. It is what flash keeps; only the TPM
//!   that made it can use it, and only with its [`AuthValue`].
//! - *Session*: HMAC session, salted by ECDH with the storage key. One is open at a time and does everything.
//!
//! # What it promises
//! - No auth value, no digest to be signed and no random octet crosses the bus in clear: parameters that carry one are
//!   encrypted with AES-128-CFB under a key that comes from the salt (part 1, section 21). The one authorisation outside a
//!   session is the empty password of the owner hierarchy when the storage key is made.
//! - Nothing of a response is used before its MAC was compared, in constant time. Responses that have none (finding the storage
//!   key, opening a session, lists of handles) can at worst make a later MAC fail: the name of whatever a command acts on
//!   is in cpHash, and only the holder of the storage key can follow a session.
//! - Every signature is verified with the public key before it is returned, so that neither a fault in the TPM nor a hand on
//!   the bus gets a wrong one out of here.
//! - Every operation may be dropped half-way, and every one may fail: the next flushes whatever was left in the TPM and
//!   goes on with a new session.
//! - Retries after `TPM_RC_RETRY`, `YIELDED`, `TESTING` and `NV_RATE` are bounded in number and time (`limits::keys`).
//!
//! # What it expects
//! It is the TPM's only user, the owner hierarchy has an empty auth value, and the first start happens where nobody sits
//! between processor and TPM: the storage key that is found then is trusted from then on.
//!
//! # What is not here
//! Import, RSA decryption, sealing, policies and PCRs: later work. They need new commands over the same three steps of
//! [`Tpm`] (write, exchange, read) and no new session.
//!
//! # Layout
//! `driver` has the operations, `frame` whole commands and responses, `session` what protects them, `area` public areas and
//! templates, `kdf` the derivations, `verify` signatures, `codes` the names of response codes. Structures are marshalled by
//! `tpm2-protocol`. Section numbers are those of the TPM 2.0 library specification.
#![no_std]
#![forbid(unsafe_code)]
#![allow(async_fn_in_trait)]

extern crate alloc;

mod area;
mod codes;
mod driver;
mod error;
mod frame;
mod kdf;
mod object;
mod session;
mod verify;

pub use codes::ResponseCode;
pub use driver::Tpm;
pub use error::TpmError;
pub use object::{AuthValue, KeyAlgorithm, Name, PublicKey, Signature, WrappedKey};
