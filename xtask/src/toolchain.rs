//! Finding a compiler for the appliance, in the order that costs least.
//!
//! 1. a target that rustup has already,
//! 2. `rustup target add`,
//! 3. the source of the active toolchain and a one-time build of core and alloc,
//! 4. Debian's packages.
//!
//! What was found is remembered in the sysroot's fingerprint file, so that later commands look at one file only.

use crate::project::{self, TARGET};
use crate::{packages, step};
use anyhow::{Context as _, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How core and alloc for the appliance come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// rustup's ready-made libraries for the target.
    Target,
    /// The active toolchain's source, built once.
    Source,
    /// Debian's compiler and source, built once.
    Debian,
}

/// A compiler for the appliance.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// Where its libraries come from.
    pub kind: Kind,
    /// The cargo that is called.
    pub cargo: PathBuf,
    /// The compiler; `None` where cargo finds its own.
    rustc: Option<PathBuf>,
    /// What the compiler says of itself.
    pub version: String,
}

impl Toolchain {
    /// The active toolchain, whatever `kind` its libraries are.
    fn active(kind: Kind) -> Result<Self> {
        Ok(Self {
            kind,
            cargo: std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from),
            rustc: None,
            version: step::output(Command::new(active_rustc()).arg("-vV"))?,
        })
    }

    fn debian() -> Result<Self> {
        let rustc = PathBuf::from("/usr/bin/rustc");
        let version = step::output(Command::new(&rustc).arg("-vV"))?;
        Ok(Self { kind: Kind::Debian, cargo: "/usr/bin/cargo".into(), rustc: Some(rustc), version })
    }

    /// Makes the toolchain of `kind` again, as remembered by a fingerprint file.
    ///
    /// # Errors
    /// When its compiler is gone.
    pub fn of(kind: Kind) -> Result<Self> {
        if kind == Kind::Debian { Self::debian() } else { Self::active(kind) }
    }

    /// A cargo that builds for the appliance.
    #[must_use]
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        self.prepare(&mut command);
        command
    }

    /// `cargo clippy` of this toolchain, up to and with the word `clippy`.
    #[must_use]
    pub fn clippy(&self) -> Command {
        let mut command = match self.rustc {
            // Called directly, because `cargo clippy` would find rustup's clippy first.
            Some(_) => Command::new("/usr/bin/cargo-clippy"),
            None => Command::new(&self.cargo),
        };
        self.prepare(&mut command);
        if self.rustc.is_some() {
            command.env("CARGO", &self.cargo);
        }
        command.arg("clippy");
        command
    }

    fn prepare(&self, command: &mut Command) {
        // Flags from the environment would replace the ones in the configuration, and with them the sysroot.
        command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS").current_dir(project::root());
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc).env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTDOC");
        }
    }

    /// The compiler itself.
    #[must_use]
    pub fn rustc(&self) -> Command {
        Command::new(self.rustc.clone().unwrap_or_else(active_rustc))
    }

    /// The folder of ready-made libraries for the target.
    ///
    /// # Errors
    /// When the compiler does not answer.
    pub fn target_libraries(&self) -> Result<PathBuf> {
        let folder = step::output(self.rustc().args(["--print", "target-libdir", "--target", TARGET]))?;
        Ok(folder.trim().into())
    }

    /// The source of the standard library, if it is installed.
    #[must_use]
    pub fn source(&self) -> Option<PathBuf> {
        let sysroot = step::output(self.rustc().args(["--print", "sysroot"])).ok()?;
        let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
        source.join("core/Cargo.toml").exists().then_some(source)
    }

    /// How a person builds for the appliance without xtask.
    #[must_use]
    pub fn plain_command(&self) -> String {
        let prefix = if self.kind == Kind::Debian { "RUSTC=/usr/bin/rustc " } else { "" };
        format!("{prefix}cargo build --release --target {TARGET} -p image")
    }
}

fn active_rustc() -> PathBuf {
    std::env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from)
}

/// Finds a toolchain, or installs what it takes; `only` skips everything but one way.
///
/// # Errors
/// When no way works; says what was tried.
pub fn find(only: Option<Kind>) -> Result<Toolchain> {
    let allowed = |kind| only.is_none_or(|only| only == kind);
    let has_rustup = project::find_program("rustup").is_some();
    let mut tried = Vec::new();
    if allowed(Kind::Target) {
        let toolchain = Toolchain::active(Kind::Target)?;
        if has_core(&toolchain.target_libraries()?) {
            return Ok(toolchain);
        }
        if has_rustup && rustup(&["target", "add", TARGET]) && has_core(&toolchain.target_libraries()?) {
            step::note(&format!("rustup installed the target {TARGET}"));
            return Ok(toolchain);
        }
        tried.push(format!("rustup has no target {TARGET} here and could not fetch it"));
    }
    if allowed(Kind::Source) {
        let toolchain = Toolchain::active(Kind::Source)?;
        if toolchain.source().is_some() {
            return Ok(toolchain);
        }
        if has_rustup && rustup(&["component", "add", "rust-src"]) && toolchain.source().is_some() {
            step::note("rustup installed the source of the standard library");
            return Ok(toolchain);
        }
        tried.push("rustup could not fetch rust-src either".to_owned());
    }
    if allowed(Kind::Debian) {
        for line in &tried {
            step::note(line);
        }
        packages::ensure(packages::DEBIAN_TOOLCHAIN).context("no compiler for the appliance")?;
        return Toolchain::debian();
    }
    bail!("no compiler for the appliance:\n     {}", tried.join("\n     "))
}

fn has_core(libraries: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(libraries) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libcore-"))
}

/// Runs rustup without a word and without patience: where nothing can be fetched, it must not hold anybody up.
fn rustup(arguments: &[&str]) -> bool {
    let child = Command::new("rustup")
        .args(arguments)
        .env("RUSTUP_MAX_RETRIES", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut child) = child else { return false };
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(100)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}
