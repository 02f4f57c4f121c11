//! DNS as a stub resolver needs it: names, messages, and the machine that asks name servers and believes little.
//!
//! Nothing here does input or output, knows the time or draws random numbers: all three are arguments.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod name;
mod trouble;

pub use name::{Name, NameError};
pub use trouble::Trouble;
