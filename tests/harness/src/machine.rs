//! The emulated machine: `qemu-system-arm -M virt` with two flash banks, a TPM, a network card and a console.

use crate::console::{Console, PATIENCE};
use crate::process::{ScratchDir, Supervised, free_port};
use crate::swtpm::Swtpm;
use anyhow::{Context as _, Result, bail, ensure};
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Octets of a flash bank; the emulator insists on them.
pub const BANK_BYTES: u64 = 64 << 20;

/// Address of this machine's loopback interface as the appliance sees it.
pub const HOST_SEEN_BY_GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// How long the first try waits for a greeting, and the later ones at most.
///
/// The emulator accepts a connection at once and knocks at the appliance behind it. If that has no address yet, it knocks
/// again after six seconds: a new connection is faster.
pub const FIRST_TRY: Duration = Duration::from_millis(150);
/// See [`FIRST_TRY`].
pub const LAST_TRY: Duration = Duration::from_secs(5);

/// Where the serial console goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Serial {
    /// To a [`Console`] of ours; the machine does not start before it is connected, so that nothing is lost.
    #[default]
    Ours,
    /// To the terminal of this process, with Ctrl-A X to leave.
    Terminal,
    /// To a socket that anybody may connect to, at any time.
    Socket(PathBuf),
    /// Nowhere.
    None,
}

/// A connection from this machine to a port of the appliance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Where this machine listens; port 0 is replaced by a free one.
    pub host: SocketAddr,
    /// The port of the appliance.
    pub guest: u16,
}

impl Forward {
    /// Any free port of the loopback interface, to `guest`.
    #[must_use]
    pub fn to(guest: u16) -> Self {
        Self { host: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), guest }
    }
}

/// What the machine is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Content of flash bank 0; never written.
    pub firmware: PathBuf,
    /// Content of flash bank 1; made erased where it does not exist.
    pub data: PathBuf,
    /// Where the content of flash bank 1 is served instead, see [`crate::bank`].
    pub data_served: Option<PathBuf>,
    /// State folder of the TPM; without one the machine has no TPM.
    pub tpm: Option<PathBuf>,
    /// RAM in MiB.
    pub memory_mib: u32,
    /// Connections to the appliance.
    pub forwards: Vec<Forward>,
    /// Lets the machine's clock count instructions instead of time: 2 to this power nanoseconds each.
    pub icount_shift: Option<u8>,
    /// The serial console.
    pub serial: Serial,
    /// File for the log frames of the firmware.
    pub log_frames: Option<PathBuf>,
    /// Cuts the network cable.
    pub no_network: bool,
    /// Network cards on wires of somebody else's instead of the emulator's own network, at most two.
    pub wires: Vec<Wire>,
}

/// A network card on a wire: a Unix socket that takes frames, each with its length in four octets in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Where somebody listens already.
    pub socket: PathBuf,
    /// Address of the card.
    pub card: [u8; 6],
}

impl Options {
    /// A machine of 64 MiB with SMTP forwarded from a free port.
    #[must_use]
    pub fn new(firmware: &Path, data: &Path, tpm: &Path) -> Self {
        Self {
            firmware: firmware.to_path_buf(),
            data: data.to_path_buf(),
            data_served: None,
            tpm: Some(tpm.to_path_buf()),
            memory_mib: 64,
            forwards: vec![Forward::to(25)],
            icount_shift: None,
            serial: Serial::Ours,
            log_frames: None,
            no_network: false,
            wires: Vec::new(),
        }
    }
}

/// A running machine. Dropping it pulls the plug.
#[derive(Debug)]
pub struct Machine {
    // Declared in the order in which they have to go: the emulator before its TPM.
    qemu: Supervised,
    tpm: Option<Swtpm>,
    console: Option<Console>,
    options: Options,
    said: PathBuf,
    _scratch: ScratchDir,
}

impl Machine {
    /// Switches a machine on.
    ///
    /// # Errors
    /// When a flash image is missing or has the wrong size, or a program is missing or ends at once.
    pub fn start(options: Options) -> Result<Self> {
        let mut options = options;
        check_bank(&options.firmware).context("flash bank 0 (`cargo xtask build` makes it)")?;
        if !options.data.exists() {
            erase_bank(&options.data)?;
        }
        check_bank(&options.data).context("flash bank 1")?;
        for forward in &mut options.forwards {
            if forward.host.port() == 0 {
                forward.host.set_port(free_port()?);
            }
        }
        let scratch = ScratchDir::new()?;
        let tpm = options.tpm.as_deref().map(Swtpm::start).transpose()?;
        let console_socket = match &options.serial {
            Serial::Socket(path) => path.clone(),
            _ => scratch.path().join("console"),
        };
        let mut command = Command::new("qemu-system-arm");
        command.args(arguments(&options, tpm.as_ref().map(Swtpm::socket), &console_socket));
        let said = scratch.path().join("qemu.log");
        let qemu = if options.serial == Serial::Terminal {
            Supervised::start_on_terminal("qemu-system-arm", &mut command)?
        } else {
            let file = fs::File::create(&said)?;
            command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
            Supervised::start("qemu-system-arm", &mut command)?
        };
        let mut machine = Self { qemu, tpm, console: None, options, said, _scratch: scratch };
        if machine.options.serial == Serial::Ours {
            machine.console = Some(machine.connect(&console_socket)?);
        }
        Ok(machine)
    }

    /// Connects the console, unless the emulator ends first; then its words are the error.
    fn connect(&mut self, socket: &Path) -> Result<Console> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.qemu.ended()? {
                bail!("qemu-system-arm ended at once ({status}): {}", self.words());
            }
            match Console::connect(socket, Duration::from_millis(100)) {
                Ok(console) => return Ok(console),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// What the emulator itself had to say.
    #[must_use]
    pub fn words(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default().trim().to_owned()
    }

    /// The serial console.
    ///
    /// # Errors
    /// When the machine was started with its console elsewhere.
    pub fn console(&mut self) -> Result<&mut Console> {
        self.console.as_mut().context("the console of this machine goes elsewhere")
    }

    /// Where this machine listens for `guest`, a port of the appliance.
    ///
    /// # Errors
    /// When the port is not forwarded.
    pub fn address(&self, guest: u16) -> Result<SocketAddr> {
        let forward = self.options.forwards.iter().find(|forward| forward.guest == guest);
        Ok(forward.with_context(|| format!("port {guest} is not forwarded"))?.host)
    }

    /// Connects to `guest` until the appliance greets with `220`, and gives the greeting.
    ///
    /// The emulator accepts connections before the appliance listens, so a connection alone proves nothing.
    ///
    /// # Errors
    /// When it has not greeted within `patience`.
    pub fn wait_for_greeting(&mut self, guest: u16, patience: Duration) -> Result<String> {
        let address = self.address(guest)?;
        let deadline = Instant::now() + patience;
        let mut limit = FIRST_TRY;
        loop {
            if let Some(status) = self.qemu.ended()? {
                bail!("the machine ended ({status}): {}", self.words());
            }
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            if let Some(greeting) = greeting(address, limit.min(left)) {
                return Ok(greeting);
            }
            limit = (limit * 2).min(LAST_TRY);
            ensure!(Instant::now() < deadline, "no 220 from port {guest} within {} s", patience.as_secs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Pulls the plug: nothing is flushed, nothing said goodbye to.
    pub fn kill(&mut self) {
        self.qemu.kill();
        if let Some(tpm) = &mut self.tpm {
            tpm.finish();
        }
    }

    /// Waits until the machine ends by itself (power-off, or a person left the terminal).
    ///
    /// # Errors
    /// When the system does not answer.
    pub fn wait(&mut self) -> Result<std::process::ExitStatus> {
        let status = self.qemu.wait()?;
        if let Some(tpm) = &mut self.tpm {
            tpm.finish();
        }
        Ok(status)
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system does not answer.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.qemu.ended()?.is_none())
    }

    /// Process id of the emulator.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.qemu.id()
    }

    /// Pulls the plug and switches on again with the same flash, TPM and ports.
    ///
    /// # Errors
    /// As [`Machine::start`].
    pub fn restart(self) -> Result<Self> {
        self.restart_with(|_| ())
    }

    /// As [`Machine::restart`], with something about the machine changed.
    ///
    /// # Errors
    /// As [`Machine::start`].
    pub fn restart_with(mut self, change: impl FnOnce(&mut Options)) -> Result<Self> {
        self.kill();
        let mut options = self.options.clone();
        drop(self);
        change(&mut options);
        Self::start(options)
    }

    /// What the machine is made of, with the ports that were chosen.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

fn greeting(address: SocketAddr, limit: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') && line.len() < 600 {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        line.extend_from_slice(&byte);
    }
    let _ = stream.write_all(b"QUIT\r\n");
    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
    line.starts_with("220").then_some(line)
}

/// The arguments of `qemu-system-arm` for a machine like this.
fn arguments(options: &Options, tpm: Option<&Path>, console: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
    add(&["-M", "virt", "-cpu", "cortex-a15", "-m", &format!("{}M", options.memory_mib)]);
    add(&["-display", "none", "-nodefaults", "-no-user-config"]);
    let bank =
        |unit, path: &Path, more| format!("if=pflash,unit={unit},format=raw,file={}{more}", escaped(path));
    add(&["-drive", &bank(0, &options.firmware, ",readonly=on")]);
    match &options.data_served {
        Some(socket) => {
            let source = format!("file=nbd+unix:///?socket={}", escaped(socket));
            add(&["-drive", &format!("if=pflash,unit=1,format=raw,{source}")]);
        }
        None => add(&["-drive", &bank(1, &options.data, "")]),
    }
    add(&["-global", "virtio-mmio.force-legacy=false"]);
    add(&["-device", "virtio-rng-device"]);
    match &options.serial {
        Serial::Ours => {
            add(&["-chardev", &format!("socket,id=serial,path={},server=on,wait=on", escaped(console))]);
        }
        Serial::Socket(_) => {
            add(&["-chardev", &format!("socket,id=serial,path={},server=on,wait=off", escaped(console))]);
        }
        // Ctrl-C belongs to the appliance's line editor.
        Serial::Terminal => add(&["-chardev", "stdio,id=serial,mux=on,signal=off", "-mon", "chardev=serial"]),
        Serial::None => add(&["-chardev", "null,id=serial"]),
    }
    add(&["-serial", "chardev:serial"]);
    for (number, wire) in options.wires.iter().enumerate() {
        let socket = escaped(&wire.socket);
        add(&["-netdev", &format!("stream,id=wire{number},server=off,addr.type=unix,addr.path={socket}")]);
        let card = wire.card.map(|octet| format!("{octet:02x}")).join(":");
        add(&["-device", &format!("virtio-net-device,netdev=wire{number},mac={card}")]);
    }
    if !options.no_network && options.wires.is_empty() {
        let mut network = "user,id=net".to_owned();
        for forward in &options.forwards {
            network.push_str(&format!(",hostfwd=tcp:{}-:{}", forward.host, forward.guest));
        }
        add(&["-netdev", &network, "-device", "virtio-net-device,netdev=net"]);
    }
    if let Some(path) = &options.log_frames {
        add(&["-chardev", &format!("file,id=log,path={}", escaped(path))]);
    } else {
        add(&["-chardev", "null,id=log"]);
    }
    add(&["-device", "virtio-serial-device", "-device", "virtconsole,chardev=log"]);
    if let Some(socket) = tpm {
        add(&["-chardev", &format!("socket,id=tpm,path={}", escaped(socket))]);
        add(&["-tpmdev", "emulator,id=tpm0,chardev=tpm", "-device", "tpm-tis-device,tpmdev=tpm0"]);
    }
    if let Some(shift) = options.icount_shift {
        add(&["-icount", &format!("shift={shift}")]);
    }
    arguments
}

/// A comma separates the emulator's options; a doubled one is a comma.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// Makes an erased flash bank.
///
/// # Errors
/// When the file cannot be written.
pub fn erase_bank(path: &Path) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = fs::File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
    let block = vec![0xff; 1 << 20];
    for _ in 0..BANK_BYTES / (1 << 20) {
        file.write_all(&block)?;
    }
    Ok(())
}

fn check_bank(path: &Path) -> Result<()> {
    let bytes = fs::metadata(path).with_context(|| format!("cannot open {}", path.display()))?.len();
    ensure!(bytes == BANK_BYTES, "{} has {bytes} octets instead of {BANK_BYTES}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_paths_do_not_become_options() {
        let options = Options::new(Path::new("/a,b/fw"), Path::new("/d"), Path::new("/t"));
        let words = arguments(&options, None, Path::new("/c"));
        assert!(words.iter().any(|word| word.to_string_lossy().contains("file=/a,,b/fw,readonly=on")));
    }

    #[test]
    fn bank_of_the_wrong_size_is_refused() {
        let scratch = ScratchDir::new().expect("temporary folder");
        let firmware = scratch.path().join("fw");
        fs::write(&firmware, b"short").expect("written");
        let error =
            Machine::start(Options::new(&firmware, &firmware, scratch.path())).expect_err("too short");
        assert!(format!("{error:#}").contains("5 octets"), "{error:#}");
    }
}
