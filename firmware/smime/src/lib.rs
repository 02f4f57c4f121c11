//! (specification follows)
#![no_std]
#![forbid(unsafe_code)]
