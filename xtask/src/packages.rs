//! Debian packages: what is missing, what it is for, and how it gets here.

use crate::{project, step};
use anyhow::{Result, bail};
use std::io::{BufRead as _, Write as _};
use std::process::Command;

/// Something from Debian that a command of ours needs.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// The name for apt-get.
    pub name: &'static str,
    /// A file that tells that it is there: a program by name, or a path.
    pub witness: &'static str,
    /// What it is for.
    pub purpose: &'static str,
}

/// The emulated machine and its TPM.
pub const MACHINE: &[Package] = &[
    Package {
        name: "qemu-system-arm",
        witness: "qemu-system-arm",
        purpose: "the emulated machine that runs the firmware",
    },
    Package { name: "swtpm", witness: "swtpm", purpose: "the TPM 2.0 of the emulated machine" },
];

/// Peers and checkers from the real world.
pub const PEERS: &[Package] = &[
    Package {
        name: "openssl",
        witness: "openssl",
        purpose: "the throw-away CA, and verification of signatures",
    },
    Package {
        name: "postfix",
        witness: "smtp-sink",
        purpose: "a real mail server that receives (set up below target/, never started as a service)",
    },
];

/// What only the tests need.
pub const FAULTS: &[Package] = &[
    Package {
        name: "nbdkit",
        witness: "nbdkit",
        purpose: "serves the data flash write by write, so that tests cut the power in any of them",
    },
    Package {
        name: "nbdkit-plugin-python",
        // The plugin's own path has the processor's name in it.
        witness: "/usr/share/doc/nbdkit-plugin-python/copyright",
        purpose: "what is served is a small Python program",
    },
];

/// Mail servers that are unpacked, not installed: as packages each excludes the other and Postfix. A library that most
/// systems lack comes along.
const UNPACKED: &[&str] = &["exim4-base", "exim4-daemon-light", "opensmtpd", "libidn12"];

/// Sees to it that Exim and OpenSMTPD lie below `target/peers/root`, where the lab starts them: nothing is installed, no
/// service is set up, and ordinary users may do it.
///
/// # Errors
/// When they cannot be fetched.
pub fn unpack_peers() -> Result<()> {
    let root = harness::real::unpacked();
    if root.join("usr/sbin/smtpd").exists() && root.join("usr/sbin/exim4").exists() {
        return Ok(());
    }
    if project::find_program("apt-get").is_none() {
        bail!("this is no Debian: the lab wants Exim and OpenSMTPD unpacked below {}", root.display());
    }
    std::fs::create_dir_all(&root)?;
    let fetch = "cd \"$1\"; apt-get download $2 || { apt-get update; apt-get download $2; }\n\
                 for package in *.deb; do dpkg -x \"$package\" root; done; rm -f *.deb";
    let mut command = Command::new("sh");
    command.args(["-ec", fetch, "fetch"]).arg(root.parent().unwrap_or(&root)).arg(UNPACKED.join(" "));
    step::run(
        "unpacking Exim and OpenSMTPD (they exclude each other and Postfix as packages)",
        &mut command,
    )?;
    Ok(())
}

/// Debian's own compiler, for machines whose rustup can fetch nothing.
pub const DEBIAN_TOOLCHAIN: &[Package] = &[
    Package { name: "rustc-web", witness: "/usr/bin/rustc", purpose: "Rust compiler for the firmware" },
    Package { name: "cargo-web", witness: "/usr/bin/cargo", purpose: "the cargo that belongs to it" },
    Package {
        name: "rust-web-src",
        witness: "/usr/lib/rustlib/src/rust/library/core/Cargo.toml",
        purpose: "source of core and alloc, built once for the appliance's processor",
    },
    Package { name: "rust-web-clippy", witness: "/usr/bin/clippy-driver", purpose: "lints for the firmware" },
    Package { name: "lld-22", witness: "/usr/bin/rust-lld", purpose: "the linker of the firmware" },
];

/// The packages of `wanted` that are not there.
#[must_use]
pub fn missing(wanted: &[Package]) -> Vec<Package> {
    wanted.iter().copied().filter(|package| !is_present(package)).collect()
}

fn is_present(package: &Package) -> bool {
    if package.witness.starts_with('/') {
        std::path::Path::new(package.witness).exists()
    } else {
        project::find_program(package.witness).is_some()
    }
}

/// Sees to it that every package of `wanted` is installed.
///
/// As root it installs; a person is asked before sudo is used; otherwise the commands are printed.
///
/// # Errors
/// When something stays missing.
pub fn ensure(wanted: &[Package]) -> Result<()> {
    let missing = missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    step::headline("Debian packages that are missing");
    for package in &missing {
        step::note(&format!("{:<18} {}", package.name, package.purpose));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let script = install_script(&names);
    let Some(_) = project::find_program("apt-get") else {
        bail!("this is no Debian: please install by hand what gives you {}", names.join(", "));
    };
    if is_root() {
        step::run("apt-get install", Command::new("sh").args(["-ec", &script]))?;
    } else if project::interactive() && project::find_program("sudo").is_some() && agreed(&script)? {
        // sudo may ask for a password on the terminal, which a captured step would hide.
        let status = Command::new("sudo").args(["sh", "-ec", &script]).status()?;
        if !status.success() {
            bail!("apt-get failed ({status})");
        }
    } else {
        bail!("please run as root, then repeat:\n{script}");
    }
    let still = self::missing(wanted);
    if !still.is_empty() {
        let names: Vec<&str> = still.iter().map(|package| package.name).collect();
        bail!("apt-get succeeded, yet these are still missing: {}", names.join(", "));
    }
    Ok(())
}

/// Whether we may do everything here.
#[must_use]
pub fn is_root() -> bool {
    step::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

fn install_script(names: &[&str]) -> String {
    let mut script = String::new();
    let install = format!(
        "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {}",
        names.join(" ")
    );
    if names.contains(&"postfix") {
        // Without a main.cf of its own Debian's Postfix never starts by itself; policy-rc.d covers the installation.
        script.push_str(
            "echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections\n\
             if [ ! -e /usr/sbin/policy-rc.d ]; then\n  \
               printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d\n  \
               trap 'rm -f /usr/sbin/policy-rc.d' EXIT\nfi\n",
        );
    }
    script.push_str(&format!("{install} || {{ apt-get update; {install}; }}\n"));
    script
}

fn agreed(script: &str) -> Result<bool> {
    eprintln!("   To install them, this runs with sudo:\n");
    for line in script.lines() {
        eprintln!("     {line}");
    }
    eprint!("\n   Go ahead? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
