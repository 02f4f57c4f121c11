//! TPM 2.0: commands and sessions as values, and a driver that sends them.
//!
//! (specification follows)
#![no_std]
#![forbid(unsafe_code)]
#![allow(async_fn_in_trait)]

extern crate alloc;

mod codes;
mod driver;
mod error;
mod object;

pub use codes::ResponseCode;
pub use driver::Tpm;
pub use error::TpmError;
pub use object::{AuthValue, KeyAlgorithm, Name, PublicKey, Signature, WrappedKey};
