//! `cargo xtask setup`: what is missing, what it is for, and how it gets here.

use crate::toolchain::Kind;
use crate::{packages, step, sysroot};
use anyhow::Result;

/// Options of `setup`.
#[derive(clap::Args)]
pub struct Options {
    /// Use only this way to libraries for the appliance's processor, instead of the first that works.
    #[arg(long, value_enum)]
    toolchain: Option<Kind>,
    /// Only the toolchain; no packages for running and testing.
    #[arg(long)]
    toolchain_only: bool,
}

/// Installs what is missing and makes the sysroot.
///
/// # Errors
/// When something cannot be had; says how to get it.
pub fn run(options: &Options) -> Result<()> {
    if !options.toolchain_only {
        let wanted = [packages::MACHINE, packages::PEERS, packages::FAULTS].concat();
        packages::ensure(&wanted)?;
        packages::unpack_peers()?;
    }
    let toolchain = sysroot::make(options.toolchain)?;
    step::note("everything is there; without xtask the firmware builds with");
    step::note(&format!("  {}", toolchain.plain_command()));
    Ok(())
}
