//! Identities: keys that live in the TPM, their certificates, and whom they sign for.
//!
//! Read this first; `hw-docs/tpm-keys.md` tells the same to an operator.
//!
//! # Terms
//! - *Identity*: a signing key, the address or domain it signs for ([`Scope`]), and, once imported, a certificate with its
//!   issuers ([`Chain`]). It has a number that is never given twice.
//! - *State*: what an identity is good for at a moment ([`IdentityState`]). Only `Ready` ones sign; where the clock is not
//!   set, validity periods are not looked at.
//!
//! # Operations
//! [`Keystore::generate`] makes a key in the TPM; [`Keystore::csr`] asks for a certificate; [`Keystore::import_chain`] takes it
//! after checking everything that can be checked without trust anchors; [`Keystore::select`] says who signs for an author and
//! why; [`Keystore::sign`] signs. A [`Keystore`] owns the TPM. Methods that use TPM or flash take `&mut self`;
//! concurrent users share it through an async mutex, and while an RSA key is made (seconds) the others wait.
//! [`Keystore::select`], [`Keystore::list`] and [`Keystore::chain`] only read memory.
//!
//! # Who signs
//! Of the identities whose scope covers the author: those that can sign before those that cannot; an exact address before a
//! domain; the certificate that became valid last (a renewed one replaces the old at once); RSA before P-256, because every
//! S/MIME program in use verifies RSA; the higher number. The order is total: the choice depends on the store, the author
//! and the time, on nothing else. If even the first cannot sign, the reason names it and what keeps it.
//!
//! # What is stored
//! Through [`RecordStore`], which the product implements over the flash log. Key 0: version octet (1), then the postcard of
//! (name of the storage key: octets, next number: u32). Key `2 n`, identity `n`: version octet (1), then the postcard
//! of (algorithm u8: 0 RSA-2048, 1 P-256; purpose u8: 0 signing mail; scope: text; `TPMT_PUBLIC`: octets; content of
//! `TPM2B_PRIVATE`: octets; auth value: 32 octets; name of the storage key: octets; created: optional u64 Unix seconds;
//! enabled: bool). Key `2 n + 1`: the chain, DER certificates one after the other, leaf first. An unknown version, purpose or
//! algorithm is left alone and reported.
//!
//! The private area is encrypted by the TPM's storage key and the auth value is worthless without that TPM: what flash holds signs
//! nothing by itself.
//!
//! # Power cuts and dropped futures
//! A number is used up before its identity exists; an identity exists once its record is written; a chain that does not
//! belong to the key of its record is not read. So every cut leaves the state before or after the operation, at worst with a
//! number that nobody has. A TPM operation that is dropped half-way is cleaned up by the next one.
//!
//! # Bounds
//! `limits::keys`: 64 identities, eight certificates and 16,000 octets each. All are held in RAM, about 1.1 MiB at most.
#![no_std]
#![forbid(unsafe_code)]
#![allow(async_fn_in_trait)]

extern crate alloc;

mod identity;
mod keystore;
mod record;
mod selection;
mod store;

pub use identity::{Identity, IdentityId, IdentityState};
pub use keystore::{ImportReport, Keystore, KeystoreError, OpenReport};
pub use pki::{Certificate, Chain, ChainError, ChainFault, PublicKey, Scope, ScopeError};
pub use selection::{Reason, Selection};
pub use store::RecordStore;
pub use tpm::{KeyAlgorithm as Algorithm, TpmError};
