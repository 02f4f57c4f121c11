//! All automation of the project: `cargo xtask --help` lists it, one file per command under `commands/`.
//!
//! Every command sees to what it needs itself: packages, the toolchain for the appliance, images.

mod commands;
mod crc32c;
mod flash_image;
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
}

fn main() -> std::process::ExitCode {
    let result = match Arguments::parse().command {
        Command::Setup(options) => commands::setup::run(&options),
        Command::Build(options) => commands::build::run(&options).map(drop),
    };
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
