//! `cargo xtask lab`: stories of the appliance in a virtual Internet.

use super::{build, lint};
use crate::packages;
use anyhow::{Result, ensure};
use std::path::PathBuf;

/// Options of `lab`.
#[derive(clap::Args)]
pub struct Options {
    /// Rows of the requirements, or names of scenarios or their beginnings.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,
    /// The table of scenarios and their state.
    #[arg(long)]
    list: bool,
    /// Every scenario.
    #[arg(long)]
    all: bool,
    /// On the simulator, in virtual time, instead of with the real image.
    #[arg(long)]
    sim: bool,
    /// All chance follows from it; without it, from the name of the scenario.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Keeps the frames of the run in this file, for Wireshark. Without it they are kept when a scenario fails.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// No transcript of what is said on the wire.
    #[arg(long)]
    quiet: bool,
    /// Plays with the image that is there instead of building it.
    #[arg(long)]
    no_build: bool,
}

/// Builds the image where it is needed, and the player, and plays.
///
/// # Errors
/// When a scenario fails or does not exist.
pub fn run(options: &Options) -> Result<()> {
    super::kill_children_on_signals();
    if !options.list && !options.sim {
        packages::ensure(&[packages::MACHINE, packages::PEERS].concat())?;
        packages::unpack_peers()?;
        if !options.no_build {
            build::run(&build::Options::quiet())?;
        }
    }
    let mut cargo = lint::host_cargo();
    cargo.args(["run", "--quiet", "--package", "lab", "--"]).args(&options.scenarios);
    if let Some(seed) = options.seed {
        cargo.args(["--seed", &seed.to_string()]);
    }
    if let Some(pcap) = &options.pcap {
        cargo.arg("--pcap").arg(pcap);
    }
    let flags = [
        (options.list, "--list"),
        (options.all, "--all"),
        (options.sim, "--sim"),
        (options.quiet, "--quiet"),
    ];
    cargo.args(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag));
    let status = cargo.status()?;
    ensure!(status.success(), "not every scenario went as told");
    Ok(())
}
