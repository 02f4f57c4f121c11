//! The process and the socket.

use anyhow::{Context, Result, bail};
use platform::{TpmTransport, TpmTransportError};
use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for the process to listen.
const START_TIME: Duration = Duration::from_secs(20);
/// Longest wait for one answer. Making an RSA key takes seconds, on a busy machine many.
const ANSWER_TIME: Duration = Duration::from_secs(120);

/// A running `swtpm`. It is ended, and a temporary state directory removed, when this is dropped.
#[derive(Debug)]
pub struct Swtpm {
    child: RefCell<Child>,
    state: PathBuf,
    run: PathBuf,
    temporary: bool,
}

impl Swtpm {
    /// Starts a TPM fresh from the factory; nothing is left of it afterwards.
    ///
    /// # Errors
    /// `swtpm` is not installed or does not start.
    pub fn start() -> Result<Self> {
        let run = run_directory()?;
        let state = run.join("state");
        std::fs::create_dir(&state).context("make the state directory")?;
        Self::spawn(state, run, true)
    }

    /// Starts the TPM whose state is in `state`, fresh from the factory if that directory is empty. The state stays.
    ///
    /// # Errors
    /// As [`start`](Self::start); also if another process uses the state.
    pub fn start_in(state: &Path) -> Result<Self> {
        std::fs::create_dir_all(state).context("make the state directory")?;
        // swtpm wants absolute paths.
        let state = state.canonicalize().context("find the state directory")?;
        Self::spawn(state, run_directory()?, false)
    }

    fn spawn(state: PathBuf, run: PathBuf, temporary: bool) -> Result<Self> {
        let child = spawn(&state, &run)?;
        Ok(Self { child: RefCell::new(child), state, run, temporary })
    }

    /// Where the TPM keeps its state.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// A connection to the TPM, as soon as it listens. There is one at a time: close the former first.
    ///
    /// # Errors
    /// The process ended, or does not listen within 20 s; its log is in the error.
    pub fn connect(&self) -> Result<Socket> {
        let stream = self.connect_when_it_listens()?;
        stream.set_read_timeout(Some(ANSWER_TIME))?;
        stream.set_write_timeout(Some(ANSWER_TIME))?;
        Ok(Socket(stream))
    }

    /// Takes the TPM's power away without warning and gives it back.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn power_cycle(&mut self) -> Result<()> {
        self.end();
        let _ = std::fs::remove_file(self.socket());
        self.child = RefCell::new(spawn(&self.state, &self.run)?);
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.run.join("tpm")
    }

    fn connect_when_it_listens(&self) -> Result<UnixStream> {
        let start = Instant::now();
        loop {
            let error = match UnixStream::connect(self.socket()) {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            let ended = self.child.borrow_mut().try_wait()?;
            if ended.is_some() || start.elapsed() > START_TIME {
                let log = std::fs::read_to_string(self.run.join("log")).unwrap_or_default();
                bail!("swtpm does not listen ({error}); its log: {log}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        self.end();
        if self.temporary {
            let _ = std::fs::remove_dir_all(&self.state);
        }
        let _ = std::fs::remove_dir_all(&self.run);
    }
}

/// A new directory with a short name: the path of a Unix socket has at most 107 octets.
fn run_directory() -> Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let base = std::env::temp_dir().canonicalize().context("find the directory for temporary files")?;
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("swtpm-{}-{number}", std::process::id()));
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).context("make a directory for temporary files"),
        }
    }
}

fn spawn(state: &Path, run: &Path) -> Result<Child> {
    let log = std::fs::File::create(run.join("log")).context("make swtpm's log")?;
    Command::new("swtpm")
        .arg("socket")
        .arg("--tpm2")
        .arg("--tpmstate")
        .arg(format!("dir={}", state.display()))
        .arg("--server")
        .arg(format!("type=unixio,path={}", run.join("tpm").display()))
        .args(["--flags", "not-need-init"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start swtpm (Debian package: swtpm)")
}

/// The data socket of a running TPM.
#[derive(Debug)]
pub struct Socket(UnixStream);

impl Socket {
    fn exchange(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TpmTransportError> {
        let absent = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => TpmTransportError::Timeout,
            _ => TpmTransportError::Absent,
        };
        self.0.write_all(command).map_err(absent)?;
        let (head, rest) = response.split_at_mut_checked(10).ok_or(TpmTransportError::ResponseTooLong)?;
        self.0.read_exact(head).map_err(absent)?;
        // TPM 2.0 part 1, section 18: tag, size, code; the size counts itself and the tag.
        let size =
            head.get(2..6).and_then(|size| <[u8; 4]>::try_from(size).ok()).map_or(0, u32::from_be_bytes);
        let size = usize::try_from(size).map_err(|_| TpmTransportError::Protocol)?;
        let body = size.checked_sub(10).ok_or(TpmTransportError::Protocol)?;
        let body = rest.get_mut(..body).ok_or(TpmTransportError::ResponseTooLong)?;
        self.0.read_exact(body).map_err(absent)?;
        Ok(size)
    }
}

impl TpmTransport for Socket {
    async fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TpmTransportError> {
        self.exchange(command, response)
    }
}
