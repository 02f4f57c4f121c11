//! Where things are.

use std::path::{Path, PathBuf};

/// The target triple of the appliance.
pub const TARGET: &str = "armv7a-none-eabihf";

/// The folder of the workspace.
#[must_use]
pub fn root() -> PathBuf {
    // Cargo tells where the manifest is now; the compiled-in path serves a binary that is started by hand.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The folder of everything that is made and may be deleted.
#[must_use]
pub fn target() -> PathBuf {
    root().join("target")
}

/// The sysroot of the appliance.
#[must_use]
pub fn sysroot() -> PathBuf {
    target().join("sysroot")
}

/// The folder of flash images and the development TPM.
#[must_use]
pub fn appliance() -> PathBuf {
    target().join("appliance")
}

/// Whether a person sits at the terminal.
#[must_use]
pub fn interactive() -> bool {
    use std::io::IsTerminal as _;
    std::env::var_os("CI").is_none() && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// A path as people like to read it: relative to the workspace where it is inside.
#[must_use]
pub fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The full path of a program, if `PATH` or the administrator's folders have it.
#[must_use]
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into(), "/usr/local/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}
