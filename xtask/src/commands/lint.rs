//! `cargo xtask lint`: format, clippy on the host and for the appliance, licences and advisories.

use crate::failures::Failures;
use crate::project::{self, TARGET};
use crate::{step, sysroot};
use anyhow::{Context as _, Result};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// Options of `lint`.
#[derive(clap::Args)]
pub struct Options {
    /// Rewrites the sources where `rustfmt` can, instead of complaining.
    #[arg(long)]
    fix: bool,
}

/// Packages that are built for the appliance.
pub const FIRMWARE_ROOT: &str = "image";

/// Runs every linter and reports all failures at the end.
///
/// # Errors
/// When any of them complains.
pub fn run(options: &Options) -> Result<()> {
    let mut failures = Failures::new();
    collect(options.fix, &mut failures);
    failures.report("lint")
}

/// As [`run`], adding to the failures of a larger run.
pub fn collect(fix: bool, failures: &mut Failures) {
    step::headline("Lint");
    failures.attempt("format", "cargo xtask lint --fix", || format(fix));
    failures.attempt(
        "clippy on the host",
        "cargo clippy --workspace --all-targets -- -D warnings",
        clippy_host,
    );
    failures.attempt("clippy for the appliance", "cargo xtask lint", clippy_target);
    failures.attempt("licences, sources, advisories", "cargo deny check", deny);
}

/// A cargo of the host's toolchain.
#[must_use]
pub fn host_cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(project::root());
    cargo
}

fn format(fix: bool) -> Result<()> {
    let mut cargo = host_cargo();
    cargo.args(["fmt", "--all"]);
    // It is no member of the workspace, so cargo does not know of it.
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.current_dir(project::root()).args(["--edition", "2024", "board/bare-std/src/lib.rs"]);
    if !fix {
        cargo.arg("--check");
        rustfmt.arg("--check");
    }
    step::run("format", &mut cargo)?;
    step::run_silently("format of bare-std", &mut rustfmt)?;
    Ok(())
}

fn clippy_host() -> Result<()> {
    let mut cargo = host_cargo();
    cargo.args(["clippy", "--workspace", "--all-targets", "--keep-going", "--", "-D", "warnings"]);
    step::run("clippy on the host", &mut cargo)?;
    Ok(())
}

/// Clippy on everything that the image is made of, for its real target.
///
/// It runs with a compiler wrapper that lets only the crates named in `layers` see the small `std`: any other crate
/// that needs one does not compile here, which is how `tidy`'s rule about it is kept.
fn clippy_target() -> Result<()> {
    step::run("clippy for the appliance", &mut target_check("clippy")?)?;
    Ok(())
}

/// `cargo check` or `cargo clippy` of the firmware in which `std` is hidden from all but its known users.
///
/// # Errors
/// When there is no toolchain, or the wrapper cannot be written.
pub fn target_check(verb: &str) -> Result<Command> {
    let toolchain = sysroot::ensure()?;
    let wrapper = write_wrapper()?;
    let mut cargo = if verb == "clippy" { toolchain.clippy() } else { toolchain.cargo() };
    if verb != "clippy" {
        cargo.arg(verb);
    }
    cargo.args(["--target", TARGET, "--package", FIRMWARE_ROOT]);
    // Members below the image as well, but not their tests: those are the host's.
    for member in members_of_firmware()? {
        cargo.args(["--package", &member]);
    }
    cargo.env("RUSTC_WRAPPER", wrapper);
    cargo.env("RUSTFLAGS", format!("--sysroot {}", project::sysroot().display()));
    if verb == "clippy" {
        cargo.args(["--", "-D", "warnings"]);
    }
    Ok(cargo)
}

fn write_wrapper() -> Result<std::path::PathBuf> {
    let users: Vec<String> = crate::layers::USERS_OF_STD
        .iter()
        .map(|name| format!("*' --crate-name {} '*", name.replace('-', "_")))
        .collect();
    let script = format!(
        "#!/bin/sh\n# Made by `cargo xtask lint`: only the crates named below may use the bare-metal std.\n\
         case \" $* \" in\n{}) exec \"$@\" -L 'crate={2}' ;;\n\
         *' --target {1} '*) exec \"$@\" -L 'dependency={2}' ;;\n*) exec \"$@\" ;;\nesac\n",
        users.join("|"),
        TARGET,
        sysroot::bare_std_folder().display()
    );
    let path = project::target().join("std-for-few");
    if fs::read_to_string(&path).ok().as_deref() != Some(&script) {
        fs::write(&path, &script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(path)
}

/// Names of the packages under `firmware/` and `board/`.
fn members_of_firmware() -> Result<Vec<String>> {
    let metadata = crate::metadata::Metadata::read()?;
    Ok(metadata
        .members
        .iter()
        .filter(|member| member.folder.starts_with("firmware/") || member.folder.starts_with("board/"))
        .map(|member| member.name.clone())
        .collect())
}

fn deny() -> Result<()> {
    if project::find_program("cargo-deny").is_none() {
        // `tidy` checks licences and sources by itself; advisories need cargo-deny's database.
        step::note(
            "cargo-deny is not installed (`cargo install --locked cargo-deny`): advisories not checked",
        );
        return Ok(());
    }
    let mut cargo = host_cargo();
    cargo.args(["deny", "--offline", "check", "bans", "licenses", "sources"]);
    step::run("licences and sources", &mut cargo)?;
    if !has_advisory_database() {
        step::note(
            "no advisory database on this machine (`cargo deny fetch` gets it): advisories not checked",
        );
        return Ok(());
    }
    let mut cargo = host_cargo();
    cargo.args(["deny", "--offline", "check", "advisories"]);
    step::run("advisories", &mut cargo)
        .context("an advisory concerns us, or deny.toml ignores one needlessly")?;
    Ok(())
}

fn has_advisory_database() -> bool {
    let home = std::env::var_os("CARGO_HOME")
        .map(std::path::PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| std::path::Path::new(&home).join(".cargo")));
    let Some(home) = home else { return false };
    ["advisory-dbs", "advisory-db"]
        .iter()
        .any(|name| fs::read_dir(home.join(name)).is_ok_and(|mut entries| entries.next().is_some()))
}
