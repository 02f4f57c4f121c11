//! A real TPM for host tests: starts `swtpm` and speaks to it over a Unix socket.
//!
//! - [`Swtpm`]: one `swtpm` process with its state directory, temporary or kept. Dropping it ends the process.
//! - [`Socket`]: [`TpmTransport`] over its data socket. Every call blocks the calling thread until the TPM has answered.
//! - [`Recording`] and [`Faulty`]: wrappers around any transport, a probe on the bus and a hand on the bus.
//! - [`HostTimer`], [`HostEntropy`]: what else a TPM driver asks of a machine.
//!
//! The program `swtpm` (Debian package `swtpm`) must be installed; nothing here needs root or a network.
#![forbid(unsafe_code)]
#![allow(async_fn_in_trait)]

mod machine;
mod process;
mod wrappers;

pub use machine::{HostEntropy, HostTimer};
pub use platform::{TpmTransport, TpmTransportError};
pub use process::{Socket, Swtpm};
pub use wrappers::{Exchange, Fault, Faults, Faulty, Recording, Trace};
