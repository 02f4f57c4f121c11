//! `cargo xtask ci`: what the continuous integration does, here: a clean clone, no terminal, `.ci/run`.

use crate::{project, step};
use anyhow::{Context as _, Result};
use std::fs;
use std::process::{Command, Stdio};

/// Options of `ci`.
#[derive(clap::Args)]
pub struct Options {
    /// Keeps the clone (target/ci) for a look.
    #[arg(long)]
    keep: bool,
}

/// Clones what is committed into target/ci and runs `.ci/run` there.
///
/// # Errors
/// When it fails there.
pub fn run(options: &Options) -> Result<()> {
    super::kill_children_on_signals();
    let clone = project::target().join("ci");
    let _ = fs::remove_dir_all(&clone);
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--no-hardlinks"]).arg(project::root()).arg(&clone);
    step::run("clone of what is committed", &mut git)?;
    let status = Command::new("bash")
        .arg(".ci/run")
        .current_dir(&clone)
        .env("CI", "true")
        // What cargo told us about ourselves must not reach the other workspace.
        .env_remove("CARGO_MANIFEST_DIR")
        .stdin(Stdio::null())
        .status()
        .context("bash .ci/run")?;
    if !options.keep {
        let _ = fs::remove_dir_all(&clone);
    }
    anyhow::ensure!(status.success(), ".ci/run ended with {status}");
    Ok(())
}
