//! Certificates: reading them, asking for them (PKCS#10), and checking a chain before it is stored.
//!
//! The crate knows X.509 and PKCS#10, no keys: private operations are asked of somebody else as a digest and come
//! back as a signature ([`Request`]). The time is an argument, `None` where it is not known.
//!
//! # What is here
//! - [`Certificate`]: a certificate and the facts that a mail gateway needs from it. Decoded strictly as DER; the
//!   original octets are kept and are what signatures are checked over.
//! - [`pem`]: certificates out of pasted text, and PEM armor around what we print.
//! - [`Request`]: a certification request (RFC 2986) whose key lives elsewhere.
//! - [`Chain`]: a certificate and its issuers in order; [`Chain::check`] says precisely what is wrong with it.
//! - [`PublicKey`]: RSA and P-256 keys, their encodings and the verification of signatures.
//!
//! # What is not here
//! No trust anchors and no path building: whoever imports a chain for his own key says by that that he wants it.
//! No revocation. Signature algorithms other than RSA PKCS#1 v1.5 and P-256 ECDSA with SHA-2 are recognised by name
//! and reported as not supported, never taken as valid.
//!
//! # Bounds
//! Every input length is checked against `limits::keys` before it is read; decoding recurses only as deep as the
//! types nest, never as deep as the input does.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod certificate;
mod chain;
mod csr;
mod mailbox;
mod public_key;
mod raw;

pub mod pem;

pub use certificate::{Certificate, CertificateError};
pub use chain::{Chain, ChainError, ChainFault, Expected};
pub use csr::{Request, RequestError};
pub use mailbox::{Scope, ScopeError};
pub use public_key::{PublicKey, PublicKeyError, SignatureAlgorithm, ecdsa_signature_der};
