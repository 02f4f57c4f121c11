//! The appliance as a black box: starting it in the emulator, typing on its console, pulling its plug.
//!
//! - [`process`]: child processes that never outlive their owner,
//! - [`swtpm`]: a TPM 2.0 on this machine,
//! - [`bank`]: the data flash served write by write, to hold one or to cut the power in it,
//! - [`console`]: the serial console as a person uses it,
//! - [`machine`]: the emulated machine with flash banks, TPM, network and console,
//! - [`smtp_client`]: a client that sends whatever a test wants,
//! - [`misbehave`]: the malformed sessions over TCP,
//! - [`operator`]: the operator who sets it up and asks it how it is,
//! - [`receiver`]: a real mail server on this machine that receives,
//! - [`real`]: real mail servers that also send,
//! - [`sink`]: a next hop that remembers, and fails when told to,
//! - [`ca`], [`verify`]: a throw-away certification authority, and the judge of signed messages,
//! - [`load`]: mail in quantity,
//! - [`message`], [`mime`], [`rng`]: messages to send, and reading them back.
//!
//! Nothing here knows how the firmware is built; [`firmware_image`] says where `cargo xtask build` puts it.
#![forbid(unsafe_code)]

pub mod bank;
pub mod ca;
pub mod console;
pub mod load;
pub mod machine;
pub mod message;
pub mod mime;
pub mod misbehave;
pub mod operator;
pub mod process;
pub mod real;
pub mod receiver;
pub mod rng;
pub mod sink;
pub mod smtp_client;
pub mod swtpm;
pub mod verify;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR"));
    harness.ancestors().nth(2).unwrap_or(harness).to_path_buf()
}

/// The content of flash bank 0, as `cargo xtask build` writes it.
#[must_use]
pub fn firmware_image() -> PathBuf {
    workspace().join("target/appliance/firmware.img")
}
