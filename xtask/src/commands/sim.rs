//! `cargo xtask sim`: power cuts and damage of the queue on a simulated flash, as much as one has time for.

use super::lint;
use anyhow::{Result, ensure};

/// Options of `sim`.
#[derive(clap::Args)]
pub struct Options {
    /// Power cuts in total, in random operations; a million takes some minutes.
    #[arg(long, default_value_t = 20_000)]
    cuts: u64,
    /// Instead: damages filled banks so many times in random ways.
    #[arg(long, value_name = "TIMES")]
    damage: Option<u64>,
    /// Instead: changes each octet of the metadata of a filled bank.
    #[arg(long)]
    flips: bool,
    /// Instead: cuts a fixed workload in each operation of the flash, and again in each while it recovers.
    #[arg(long)]
    exhaustive: bool,
    /// Seed of all cases: the same seed gives the same cuts.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Repeats exactly one case, as a failure told.
    #[arg(long)]
    case: Option<u64>,
    /// Without failing blocks, which otherwise every second case has.
    #[arg(long)]
    good_flash: bool,
    /// Cases at a time.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
}

/// Builds the runner optimised, with all checks of arithmetic, and runs it.
///
/// # Errors
/// When a case fails; the command that repeats it has been printed.
pub fn run(options: &Options) -> Result<()> {
    super::kill_children_on_signals();
    let mut cargo = lint::host_cargo();
    cargo.args(["run", "--quiet", "--profile", "sim", "--package", "spool-model", "--"]);
    cargo.args(["--cuts", &options.cuts.to_string(), "--seed", &options.seed.to_string()]);
    cargo.args(["--jobs", &options.jobs.to_string()]);
    if let Some(case) = options.case {
        cargo.args(["--case", &case.to_string()]);
    }
    if let Some(damage) = options.damage {
        cargo.args(["--damage", &damage.to_string()]);
    }
    let flags = [
        (options.good_flash, "--good-flash"),
        (options.flips, "--flips"),
        (options.exhaustive, "--exhaustive"),
    ];
    cargo.args(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag));
    let status = cargo.status()?;
    ensure!(status.success(), "the queue did not hold its promise");
    Ok(())
}
