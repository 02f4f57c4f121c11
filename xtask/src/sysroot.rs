//! The sysroot of the appliance: core, alloc, compiler_builtins and our small `std`, made once.
//!
//! A fingerprint file says which compiler made it from which source. While it matches, every build is an ordinary
//! stable build that only has `--sysroot` among its flags; the flag stands in a generated cargo configuration, which
//! `.cargo/config.toml` includes, because it has to be an absolute path: cargo runs the compiler in the folder of each
//! registry package. The small `std` lies beside the sysroot's libraries, in a folder of its own that an `-L` flag
//! names: `cargo xtask tidy` shows that folder to `mail-parser` only, and so finds any other crate that needs it.

use crate::project::{self, TARGET};
use crate::step;
use crate::toolchain::{self, Kind, Toolchain};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The libraries that the appliance links.
const LIBRARIES: [&str; 3] = ["libcore-", "liballoc-", "libcompiler_builtins-"];

/// Raised when the recipe below changes, so that sysroots made by an older one are remade.
const RECIPE: u32 = 3;

/// The toolchain of the appliance with a sysroot that fits it; makes what is missing.
///
/// # Errors
/// When no compiler can be found or the build of core fails.
pub fn ensure() -> Result<Toolchain> {
    match remembered() {
        Some(toolchain) => Ok(toolchain),
        None => make(None),
    }
}

/// Finds a toolchain anew and makes the sysroot if it does not fit.
///
/// # Errors
/// As [`ensure`].
pub fn make(only: Option<Kind>) -> Result<Toolchain> {
    step::headline("Toolchain for the appliance");
    let toolchain = toolchain::find(only)?;
    let compiler = toolchain.version.lines().next().unwrap_or_default().to_owned();
    let origin = match toolchain.kind {
        Kind::Target => "libraries ready-made by rustup",
        Kind::Source => "core and alloc built once from the toolchain's source",
        Kind::Debian => "Debian's compiler; core and alloc built once from Debian's source",
    };
    step::note(&format!("{compiler}: {origin}"));
    let fingerprint = fingerprint(&toolchain)?;
    if fs::read_to_string(fingerprint_file()).is_ok_and(|known| known == fingerprint) {
        step::note(&format!("{} fits", project::shown(&project::sysroot())));
        return Ok(toolchain);
    }
    // No fingerprint while the sysroot is in the making: an interrupted run leaves nothing that looks finished.
    let _ = fs::remove_dir_all(project::sysroot());
    let libraries = project::sysroot().join("lib/rustlib").join(TARGET).join("lib");
    fs::create_dir_all(&libraries)?;
    if toolchain.kind == Kind::Target {
        copy_libraries(&toolchain.target_libraries()?, &libraries)?;
    } else {
        build_libraries(&toolchain, &libraries)?;
    }
    build_bare_std(&toolchain)?;
    fs::write(project::sysroot().join("cargo.toml"), cargo_configuration())?;
    fs::write(fingerprint_file(), fingerprint)?;
    step::note(&format!("{} is ready", project::shown(&project::sysroot())));
    Ok(toolchain)
}

fn fingerprint_file() -> std::path::PathBuf {
    project::sysroot().join("fingerprint")
}

/// The toolchain that made the present sysroot, if compiler, source and place are still the same.
fn remembered() -> Option<Toolchain> {
    let known = fs::read_to_string(fingerprint_file()).ok()?;
    let kind = match known.lines().next()? {
        "kind Target" => Kind::Target,
        "kind Source" => Kind::Source,
        "kind Debian" => Kind::Debian,
        _ => return None,
    };
    let toolchain = Toolchain::of(kind).ok()?;
    (fingerprint(&toolchain).ok()? == known).then_some(toolchain)
}

fn fingerprint(toolchain: &Toolchain) -> Result<String> {
    let shim = fs::read(bare_std_source()).context("the source of the bare-metal std")?;
    Ok(format!(
        "kind {:?}\nrecipe {RECIPE}\nplace {}\nbare-std {:08x}\n{}",
        toolchain.kind,
        project::sysroot().display(),
        crate::crc32c::checksum(&shim),
        toolchain.version
    ))
}

/// The folder with nothing but the small `std`.
#[must_use]
pub fn bare_std_folder() -> std::path::PathBuf {
    project::sysroot().join("bare-std")
}

fn bare_std_source() -> std::path::PathBuf {
    project::root().join("board/bare-std/src/lib.rs")
}

fn cargo_configuration() -> String {
    format!(
        "# Made by `cargo xtask setup`; included by .cargo/config.toml.\n\
         [target.{TARGET}]\nrustflags = [\"--sysroot\", \"{}\", \"-L\", \"{}\"]\n",
        project::sysroot().display(),
        bare_std_folder().display()
    )
}

/// Copies rustup's ready-made libraries.
fn copy_libraries(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let wanted = LIBRARIES.iter().any(|prefix| name.starts_with(prefix));
        if wanted && name.ends_with(".rlib") {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    check_complete(to)
}

/// Builds core and alloc with the one unstable switch of this project, then throws the workshop away.
fn build_libraries(toolchain: &Toolchain, to: &Path) -> Result<()> {
    let workshop = project::target().join("sysroot-workshop");
    let _ = fs::remove_dir_all(&workshop);
    fs::create_dir_all(workshop.join("src"))?;
    fs::write(
        workshop.join("Cargo.toml"),
        "[package]\nname = \"workshop\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
         [profile.release]\nopt-level = 3\npanic = \"abort\"\n",
    )?;
    fs::write(workshop.join("src/lib.rs"), "#![no_std]\n")?;
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(&workshop)
        .env("RUSTC_BOOTSTRAP", "1")
        // Without bitcode in them, fat LTO could not see into core and alloc.
        .env("RUSTFLAGS", "-C embed-bitcode=yes")
        .args(["build", "--release", "-Zbuild-std=core,alloc", "--target", TARGET, "--target-dir", "target"]);
    step::run("core and alloc for the appliance, once", &mut cargo)?;
    copy_libraries(&workshop.join("target").join(TARGET).join("release/deps"), to)?;
    fs::remove_dir_all(&workshop)?;
    Ok(())
}

fn check_complete(folder: &Path) -> Result<()> {
    for prefix in LIBRARIES {
        let found = fs::read_dir(folder)?
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
            .count();
        if found != 1 {
            bail!("{found} files {prefix}*.rlib in {} instead of one", folder.display());
        }
    }
    Ok(())
}

/// Compiles the small crate named `std`: it has no dependency beside core and alloc.
fn build_bare_std(toolchain: &Toolchain) -> Result<()> {
    fs::create_dir_all(bare_std_folder())?;
    let mut rustc: Command = toolchain.rustc();
    rustc
        .args(["--crate-name", "std", "--crate-type", "rlib", "--edition", "2024", "--target", TARGET])
        .arg("--sysroot")
        .arg(project::sysroot())
        .args([
            "-C",
            "opt-level=3",
            "-C",
            "panic=abort",
            "-C",
            "embed-bitcode=yes",
            "-C",
            "metadata=bare-std",
        ])
        .args(["-C", "extra-filename=-bare", "-D", "warnings", "--out-dir"])
        .arg(bare_std_folder())
        .arg(bare_std_source());
    step::run_silently("the bare-metal std", &mut rustc)?;
    Ok(())
}
