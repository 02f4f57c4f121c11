//! Identities: keys that live in the TPM, their certificates, and whom they sign for.
//!
//! (specification follows)
//!
//! A [`Keystore`] owns the TPM. Its methods that use TPM or flash take `&mut self`; concurrent users share it through
//! an async mutex. [`Keystore::select`] and [`Keystore::chain`] only read memory.
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
pub use tpm::KeyAlgorithm as Algorithm;
