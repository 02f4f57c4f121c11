//! A TPM 2.0 on this machine: `swtpm`, started anew for each run of the emulator because it ends with it.

use crate::process::{ScratchDir, Supervised};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the TPM may take to open its control socket.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running TPM. Its state stays in the state folder: the same folder is the same TPM.
#[derive(Debug)]
pub struct Swtpm {
    process: Supervised,
    socket: PathBuf,
    // The socket is in there.
    _scratch: ScratchDir,
}

impl Swtpm {
    /// Starts a TPM whose state is in `state`; the folder is made if it does not exist, and then the TPM is new.
    ///
    /// # Errors
    /// When swtpm is missing or does not come up; carries what it said.
    pub fn start(state: &Path) -> Result<Self> {
        fs::create_dir_all(state).with_context(|| format!("cannot make {}", state.display()))?;
        // swtpm may change its folder: relative paths would then miss.
        let state = state.canonicalize()?;
        let scratch = ScratchDir::new()?;
        let socket = scratch.path().join("tpm");
        let log = state.join("swtpm.log");
        let said = fs::File::create(&log)?;
        let mut command = Command::new("swtpm");
        // Without `--terminate` it would outlive an emulator that was killed.
        command.arg("socket").arg("--tpm2").arg("--terminate");
        command.arg("--tpmstate").arg(format!("dir={}", state.display()));
        command.arg("--ctrl").arg(format!("type=unixio,path={}", socket.display()));
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let mut process = Supervised::start("swtpm", &mut command)?;
        let deadline = Instant::now() + START_LIMIT;
        while !socket.exists() {
            if process.ended()?.is_some() || Instant::now() >= deadline {
                let said = fs::read_to_string(&log).unwrap_or_default();
                bail!("swtpm did not start: {}", said.trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { process, socket, _scratch: scratch })
    }

    /// The control socket, for the emulator.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Lets it end after the emulator went away, so that its state is written completely.
    pub fn finish(&mut self) {
        if !matches!(self.process.wait_for(Duration::from_secs(5)), Ok(Some(_))) {
            self.process.stop(Duration::from_secs(5));
        }
    }
}
