//! The whole appliance on the host: fake network, simulated flash, virtual time, one seed.
#![forbid(unsafe_code)]

pub mod executor;
pub mod machine;
pub mod network;
pub mod peers;
pub mod random;
