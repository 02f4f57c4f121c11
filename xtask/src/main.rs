//! All automation of the project: `cargo xtask --help` lists it, one file per command under `commands/`.
//!
//! Every command sees to what it needs itself: packages, the toolchain for the appliance, images.

mod commands;
mod crc32c;
mod failures;
mod flash_image;
mod layers;
mod metadata;
mod packages;
mod project;
mod step;
mod sysroot;
mod toolchain;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs, shows and tests the appliance.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Finds or installs what the other commands need, and makes the toolchain for the appliance ready.
    Setup(commands::setup::Options),
    /// Builds the firmware and writes target/appliance/firmware.img.
    Build(commands::build::Options),
    /// Shows the main job from nothing: boot, set-up, keys in the TPM, signed mail to a real server, verification.
    Demo(commands::demo::Options),
    /// Starts an appliance with its console on this terminal.
    Run(commands::run::Options),
    /// Everything that must pass; tells all failures at the end, each with the command that repeats it.
    Test(commands::test::Options),
    /// Format, clippy on the host and for the appliance, licences and advisories.
    Lint(commands::lint::Options),
    /// Counts instructions per message and compares with the committed figures.
    Bench(commands::bench::Options),
    /// Cuts the power of the queue on a simulated flash, again and again, and checks that it keeps its promises.
    Sim(commands::sim::Options),
    /// Plays scenarios in a virtual Internet: with the real image, or on the simulator.
    Lab(commands::lab::Options),
    /// Rules of this project that no compiler knows.
    Tidy(commands::tidy::Options),
    /// What the continuous integration does: .ci/run in a clean clone.
    Ci(commands::ci::Options),
}

fn main() -> std::process::ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup(options) => commands::setup::run(&options),
        Command::Build(options) => commands::build::run(&options).map(drop),
        Command::Demo(options) => commands::demo::run(&options),
        Command::Run(options) => commands::run::run(&options),
        Command::Test(options) => commands::test::run(&options),
        Command::Lint(options) => commands::lint::run(&options),
        Command::Bench(options) => commands::bench::run(&options),
        Command::Sim(options) => commands::sim::run(&options),
        Command::Lab(options) => commands::lab::run(&options),
        Command::Tidy(options) => commands::tidy::run(&options),
        Command::Ci(options) => commands::ci::run(&options),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
