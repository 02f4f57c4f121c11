//! The appliance as a black box: starting it in the emulator, typing on its console, pulling its plug.
//!
//! - [`process`]: child processes that never outlive their owner,
//! - [`swtpm`]: a TPM 2.0 on this machine,
//! - [`console`]: the serial console as a person uses it,
//! - [`machine`]: the emulated machine with flash banks, TPM, network and console.
//!
//! Nothing here knows how the firmware is built; [`firmware_image`] says where `cargo xtask build` puts it.
#![forbid(unsafe_code)]

pub mod console;
pub mod machine;
pub mod process;
pub mod swtpm;

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
