//! MIME structure of mail (RFC 2045, 2046, 5322): header fields, a streaming walker over bodies, transfer encoders.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
