//! The typed event log.
#![no_std]
#![forbid(unsafe_code)]
