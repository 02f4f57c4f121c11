//! The data flash bank served to the emulator by `nbdkit`, so that its owner decides what becomes of each write.
//!
//! Between emulator and file stands `bank.py`, a plugin. It asks here before every program and every erase. While the
//! answer is withheld the whole machine stands still, because the emulator writes its flash image with everything
//! stopped: processor, network, console. That makes three things exact:
//!
//! - *Count*: operations are numbered from 1, in the order in which the firmware does them.
//! - *Hold*: an operation can be held back for as long as one likes, and then let go.
//! - *Cut*: the power goes at an operation: before it, in it (a seeded part of the bits that were to change, a seeded
//!   mixture of an erase), or after it. The machine never runs on after that, so whatever it has said it said before.
//!
//! The file is the content of the bank at any moment, also while the machine stands still.

use crate::process::{ScratchDir, Supervised};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The plugin. It lies beside this file and travels in the program.
const PLUGIN: &str = include_str!("bank.py");
/// How long nbdkit may take to come up.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Octets of a question: what kind, where from, how many octets.
const QUESTION_BYTES: usize = 9;

/// What the firmware does to the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bits are cleared.
    Program,
    /// A whole block is set to ones.
    Erase,
    /// Bits would be set without an erase. No flash does that.
    Breach,
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number since the bank was served, from 1.
    pub number: u64,
    /// What it is.
    pub kind: Kind,
    /// The first octet that it changes.
    pub offset: u32,
    /// Octets from there to the last one that it changes.
    pub octets: u32,
}

/// How the operation ends in which the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// Nothing of it happened.
    Before,
    /// A part of it, chosen by the seed.
    Half(u64),
    /// All of it, but nobody heard.
    After,
}

impl Tear {
    fn code(self) -> (u8, u64) {
        match self {
            Self::Before => (b'b', 0),
            Self::Half(seed) => (b'h', seed),
            Self::After => (b'a', 0),
        }
    }
}

/// What is planned.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Operations that still pass, of those that count.
    left: u64,
    /// The kind that counts, or all.
    only: Option<Kind>,
    /// How to cut the power; `None` holds the operation.
    cut: Option<Tear>,
}

impl Plan {
    /// Counts an operation; says whether it is the one.
    fn meets(&mut self, kind: Kind) -> bool {
        let counts = self.only.is_none_or(|only| only == kind);
        let due = counts && self.left == 0;
        self.left = self.left.saturating_sub(u64::from(counts));
        due
    }
}

/// Whether the machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    No,
    /// It stands still before this operation, which waits for [`Bank::let_go`].
    Held(Operation),
    /// The power has gone at this operation.
    Cut(Operation),
}

#[derive(Debug)]
struct State {
    done: u64,
    erases: u64,
    octets_programmed: u64,
    plan: Option<Plan>,
    stop: Stop,
    /// The answer to the operation that is held.
    released: bool,
    breaches: Vec<Operation>,
    /// The last operations, newest last; bounded by [`LOG_COUNT_MAX`].
    log: Vec<Operation>,
    ended: bool,
}

/// Operations that are remembered.
const LOG_COUNT_MAX: usize = 10_000;

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A bank that is served. Dropping it ends the server; the file stays.
#[derive(Debug)]
pub struct Bank {
    shared: Arc<Shared>,
    control: UnixStream,
    image: PathBuf,
    scratch: ScratchDir,
    _server: Supervised,
}

impl Bank {
    /// Serves `image` and changes it in place.
    ///
    /// # Errors
    /// When nbdkit or its Python plugin is missing or does not come up; carries what it said.
    pub fn serve(image: &Path) -> Result<Self> {
        let scratch = ScratchDir::new()?;
        let plugin = scratch.path().join("bank.py");
        fs::write(&plugin, PLUGIN)?;
        let listener = UnixListener::bind(scratch.path().join("control"))?;
        listener.set_nonblocking(true)?;
        let said = scratch.path().join("nbdkit.log");
        let log = fs::File::create(&said)?;
        let mut command = Command::new("nbdkit");
        command.args(["--foreground", "--newstyle", "--unix"]).arg(scratch.path().join("nbd"));
        command.arg("python").arg(&plugin);
        command.arg(format!("image={}", image.canonicalize()?.display()));
        command.arg(format!("control={}", scratch.path().join("control").display()));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let mut server = Supervised::start("nbdkit", &mut command)?;
        let deadline = Instant::now() + START_LIMIT;
        let control = loop {
            match listener.accept() {
                Ok((control, _)) => break control,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if server.ended()?.is_some() || Instant::now() >= deadline {
                let said = fs::read_to_string(&said).unwrap_or_default();
                bail!("nbdkit did not start (`cargo xtask setup` installs what is missing): {}", said.trim());
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        control.set_nonblocking(false)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                done: 0,
                erases: 0,
                octets_programmed: 0,
                plan: None,
                stop: Stop::No,
                released: false,
                breaches: Vec::new(),
                log: Vec::new(),
                ended: false,
            }),
            changed: Condvar::new(),
        });
        let (decider, asked) = (Arc::clone(&shared), control.try_clone()?);
        std::thread::spawn(move || {
            // An error is the end of the server.
            _ = decide(&decider, asked);
            decider.lock().ended = true;
            decider.changed.notify_all();
        });
        Ok(Self { shared, control, image: image.to_path_buf(), scratch, _server: server })
    }

    /// Where the emulator connects.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.scratch.path().join("nbd")
    }

    /// The file with the content.
    #[must_use]
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// Operations that have been done so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.shared.lock().done
    }

    /// Erases among them, and octets from the first to the last changed one of all programs.
    #[must_use]
    pub fn wear(&self) -> (u64, u64) {
        let state = self.shared.lock();
        (state.erases, state.octets_programmed)
    }

    /// The operations with numbers above `after`, as far as they are remembered.
    #[must_use]
    pub fn log(&self, after: u64) -> Vec<Operation> {
        self.shared.lock().log.iter().filter(|operation| operation.number > after).copied().collect()
    }

    /// Operations that no flash could do.
    #[must_use]
    pub fn breaches(&self) -> Vec<Operation> {
        self.shared.lock().breaches.clone()
    }

    /// Cuts the power at the `count`-th operation from now (1 is the next one); `only` lets one kind count.
    pub fn cut_after(&self, count: u64, only: Option<Kind>, tear: Tear) {
        self.shared.lock().plan = Some(Plan { left: count.saturating_sub(1), only, cut: Some(tear) });
    }

    /// Holds the `count`-th operation from now.
    pub fn hold_after(&self, count: u64) {
        self.shared.lock().plan = Some(Plan { left: count.saturating_sub(1), only: None, cut: None });
    }

    /// Forgets what was planned and has not happened. Says whether something was.
    pub fn forget_plan(&self) -> bool {
        self.shared.lock().plan.take().is_some()
    }

    /// The operation at which the machine stands still, if it does.
    #[must_use]
    pub fn stopped(&self) -> Option<Operation> {
        match self.shared.lock().stop {
            Stop::No => None,
            Stop::Held(operation) | Stop::Cut(operation) => Some(operation),
        }
    }

    /// Waits until the machine stands still, or `enough` says that it will not. Asks `enough` every few milliseconds.
    ///
    /// # Errors
    /// When the server has ended, or nothing happens within `patience`.
    pub fn wait_until_stopped(
        &self,
        patience: Duration,
        mut enough: impl FnMut() -> bool,
    ) -> Result<Option<Operation>> {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.lock();
        loop {
            match state.stop {
                Stop::Held(operation) | Stop::Cut(operation) => return Ok(Some(operation)),
                Stop::No => {}
            }
            ensure!(!state.ended, "nbdkit has ended");
            if enough() {
                return Ok(None);
            }
            ensure!(Instant::now() < deadline, "neither the operation nor the end within {patience:?}");
            let pause = Duration::from_millis(5);
            state = self.shared.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets the operation happen that is held.
    ///
    /// # Errors
    /// When none is.
    pub fn let_go(&self) -> Result<()> {
        let mut state = self.shared.lock();
        ensure!(matches!(state.stop, Stop::Held(_)), "no operation is held");
        state.stop = Stop::No;
        state.released = true;
        self.shared.changed.notify_all();
        Ok(())
    }

    /// The machine is dead: takes back what was asked last, and is ready for the next one.
    pub fn power_on(&self) {
        let mut state = self.shared.lock();
        state.plan = None;
        if let Stop::Cut(_) | Stop::Held(_) = state.stop {
            state.stop = Stop::No;
            state.released = false;
            // The plugin waits for any answer; this one makes it forget the dead machine.
            _ = (&self.control).write_all(&answer(b'x', 0));
            self.shared.changed.notify_all();
        }
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        // Ends the deciding thread.
        _ = self.control.shutdown(std::net::Shutdown::Both);
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
    }
}

fn answer(code: u8, seed: u64) -> [u8; 9] {
    let mut answer = [code; 9];
    answer[1..].copy_from_slice(&seed.to_le_bytes());
    answer
}

/// Answers the plugin's questions until it goes away.
fn decide(shared: &Shared, mut asked: UnixStream) -> Result<()> {
    let mut question = [0; QUESTION_BYTES];
    // The operation that is being torn, until the plugin says that it is done.
    let mut torn = None;
    loop {
        asked.read_exact(&mut question).context("the plugin has gone")?;
        let [kind, o0, o1, o2, o3, n0, n1, n2, n3] = question;
        let (offset, octets) = (u32::from_le_bytes([o0, o1, o2, o3]), u32::from_le_bytes([n0, n1, n2, n3]));
        let kind = match kind {
            0 => {
                if let Some(operation) = torn.take() {
                    shared.lock().stop = Stop::Cut(operation);
                    shared.changed.notify_all();
                }
                continue;
            }
            1 => Kind::Program,
            2 => Kind::Erase,
            3 => Kind::Breach,
            other => bail!("the plugin asks a question of kind {other}"),
        };
        let mut state = shared.lock();
        let operation = Operation { number: state.done + 1, kind, offset, octets };
        if kind == Kind::Breach {
            state.breaches.push(operation);
        }
        let due = state.plan.take_if(|plan| plan.meets(kind));
        match due.map(|plan| plan.cut) {
            Some(Some(tear)) => {
                torn = Some(operation);
                drop(state);
                let (code, seed) = tear.code();
                asked.write_all(&answer(code, seed))?;
                continue;
            }
            Some(None) => {
                state.stop = Stop::Held(operation);
                state.released = false;
                shared.changed.notify_all();
                while state.stop != Stop::No && !state.ended {
                    state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                if !state.released {
                    // Switched off while it was held; the answer has been given.
                    continue;
                }
            }
            None => {}
        }
        state.done = operation.number;
        match kind {
            Kind::Erase => state.erases += 1,
            _ => state.octets_programmed += u64::from(octets),
        }
        if state.log.len() >= LOG_COUNT_MAX {
            state.log.drain(..LOG_COUNT_MAX / 2);
        }
        state.log.push(operation);
        drop(state);
        asked.write_all(&answer(b'g', 0))?;
    }
}
