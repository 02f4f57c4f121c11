//! `cargo xtask run`: an appliance to type at.

use super::build;
use crate::{packages, project, step};
use anyhow::{Context as _, Result, bail};
use harness::machine::{Forward, Machine, Options as MachineOptions, Serial};
use harness::process::Supervised;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Options of `run`.
#[derive(clap::Args)]
pub struct Options {
    /// No terminal: run until Ctrl-C; the serial console is at the socket of --console.
    #[arg(long)]
    headless: bool,
    /// Socket for the serial console, for scripts (connect with `socat -,raw,echo=0 UNIX:SOCKET`).
    #[arg(long, value_name = "SOCKET")]
    console: Option<PathBuf>,
    /// Forwards a TCP port of this machine to a port of the appliance, as [ADDRESS:]PORT:PORT. May be repeated.
    #[arg(long, value_name = "HOST:GUEST", default_value = "127.0.0.1:2525:25")]
    forward: Vec<String>,
    /// Content of the data flash bank; made erased if it does not exist, and kept.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// State folder of the TPM; made if it does not exist, and kept.
    #[arg(long, value_name = "DIR")]
    tpm: Option<PathBuf>,
    /// RAM of the machine.
    #[arg(long, value_name = "MIB", default_value_t = 64)]
    memory: u32,
    /// The machine's clock counts instructions (one nanosecond each), for measurements that repeat.
    #[arg(long)]
    icount: bool,
    /// Decodes the firmware's log to this file; `-` is the terminal, with --headless only.
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Runs the image that is there instead of building it.
    #[arg(long)]
    no_build: bool,
}

/// Builds if needed, starts the machine and stays until it ends.
///
/// # Errors
/// When something is missing or the machine does not start.
pub fn run(options: &Options) -> Result<()> {
    packages::ensure(packages::MACHINE)?;
    let built = if options.no_build { build::present()? } else { build::run(&build::Options::quiet())? };
    let folder = project::appliance();
    fs::create_dir_all(&folder)?;
    let machine_options = MachineOptions {
        firmware: built.bank.clone(),
        data: options.data.clone().unwrap_or_else(|| folder.join("data.img")),
        data_served: None,
        tpm: Some(options.tpm.clone().unwrap_or_else(|| folder.join("tpm"))),
        memory_mib: options.memory,
        forwards: options.forward.iter().map(|text| parse_forward(text)).collect::<Result<_>>()?,
        icount_shift: options.icount.then_some(0),
        serial: match (&options.console, options.headless) {
            (Some(socket), _) => Serial::Socket(socket.clone()),
            (None, true) => Serial::None,
            (None, false) => Serial::Terminal,
        },
        log_frames: options.log.as_ref().map(|_| folder.join("log-frames.bin")),
        no_network: false,
        wires: Vec::new(),
    };
    super::kill_children_on_signals();
    if options.log.is_some() {
        build_log_decoder()?;
    }
    explain(&machine_options);
    let _terminal = TerminalGuard::remember();
    let on_terminal = machine_options.serial == Serial::Terminal;
    let frames = machine_options.log_frames.clone();
    if let Some(frames) = &frames {
        fs::write(frames, b"")?;
    }
    let mut machine = Machine::start(machine_options)?;
    let _log = match (&options.log, &frames) {
        (Some(to), Some(frames)) => Some(start_log(to, frames, &built.elf, on_terminal)?),
        _ => None,
    };
    let status = machine.wait()?;
    if !status.success() {
        bail!("the machine ended with {status}: {}", machine.words());
    }
    Ok(())
}

/// Prints what a person needs to know before the terminal belongs to the appliance.
fn explain(options: &MachineOptions) {
    step::headline("Appliance");
    step::note(&format!("data flash  {}", project::shown(&options.data)));
    if let Some(tpm) = &options.tpm {
        step::note(&format!("TPM         {}", project::shown(tpm)));
    }
    for forward in &options.forwards {
        step::note(&format!("network     {} -> port {} of the appliance", forward.host, forward.guest));
    }
    match &options.serial {
        Serial::Terminal => {
            step::note(
                "console     this terminal; to leave press Ctrl-A, then X (Ctrl-C goes to the appliance)",
            );
        }
        Serial::Socket(path) => {
            step::note(&format!("console     {}; Ctrl-C here ends the machine", path.display()))
        }
        _ => step::note("console     none; Ctrl-C ends the machine"),
    }
    step::note(&format!(
        "this machine is {} for the appliance; connections forwarded to it come from there as well",
        harness::machine::HOST_SEEN_BY_GUEST
    ));
    if let Some(forward) = options.forwards.iter().find(|forward| forward.guest == 25) {
        step::note("a first mail, from another terminal, once relaying from 10.0.2.0/24 is set up:");
        step::note(&format!("  {}", first_mail(forward.host)));
    }
    eprintln!();
}

/// A line that sends a mail with nothing but a shell.
fn first_mail(address: SocketAddr) -> String {
    format!(
        "bash -c 'exec 3<>/dev/tcp/{}/{}; r() {{ read -r l <&3; echo \"$l\"; }}; s() {{ printf \"$1\\r\\n\" >&3; r; }}; r; \
         s \"HELO me.example\"; s \"MAIL FROM:<me@example.org>\"; s \"RCPT TO:<you@example.net>\"; s DATA; \
         s \"From: me@example.org\\r\\nTo: you@example.net\\r\\nSubject: hello\\r\\n\\r\\nHello.\\r\\n.\"; s QUIT'",
        address.ip(),
        address.port()
    )
}

/// `2525:25`, `127.0.0.1:2525:25` or `[::1]:2525:25`.
fn parse_forward(text: &str) -> Result<Forward> {
    let explain = || format!("`{text}` is no forward; `127.0.0.1:2525:25` would be one");
    let (host, guest) = text.rsplit_once(':').with_context(explain)?;
    let guest = guest.parse().with_context(explain)?;
    let host = if host.contains(':') { host.to_owned() } else { format!("127.0.0.1:{host}") };
    Ok(Forward { host: host.parse().with_context(explain)?, guest })
}

fn build_log_decoder() -> Result<()> {
    let mut cargo = super::lint::host_cargo();
    cargo.args(["build", "--profile", "tools", "--package", "defmt-log"]);
    step::run("building the log decoder", &mut cargo)?;
    Ok(())
}

/// Starts the decoder that follows the file of log frames.
fn start_log(to: &Path, frames: &Path, elf: &Path, on_terminal: bool) -> Result<Supervised> {
    let mut decoder = Command::new(project::target().join("tools/defmt-log"));
    decoder.arg(elf).arg("--follow").arg(frames).stdin(Stdio::null());
    if to.as_os_str() == "-" {
        if on_terminal {
            bail!("--log - would write between the lines of the console; give a file, or use --headless");
        }
    } else {
        decoder.stdout(fs::File::create(to).with_context(|| format!("cannot write {}", to.display()))?);
        step::note(&format!("log         {}", to.display()));
    }
    Supervised::start("defmt-log", &mut decoder)
}

/// Puts the terminal back as it was, however this ends.
struct TerminalGuard(Option<rustix::termios::Termios>);

impl TerminalGuard {
    fn remember() -> Self {
        Self(rustix::termios::tcgetattr(std::io::stdin()).ok())
    }
}

impl Drop for TerminalGuard {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            let _ =
                rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_with_and_without_an_address() {
        let forward = parse_forward("2525:25").expect("valid");
        assert_eq!((forward.host.to_string().as_str(), forward.guest), ("127.0.0.1:2525", 25));
        assert_eq!(parse_forward("0.0.0.0:25:587").expect("valid").host.to_string(), "0.0.0.0:25");
        assert!(parse_forward("25").is_err());
        assert!(parse_forward("x:25").is_err());
    }
}
