//! The real image in the emulator as [`Gateway`].
//!
//! The console is read by a thread of its own per command, because what waits for the console must not keep the network
//! waiting. One command runs at a time, as with a person.

use super::net::WireNet;
use crate::{
    gateway::Gateway,
    net::{Later, Net as _},
    plan,
};
use anyhow::{Context as _, Result, ensure};
use harness::{
    machine::{Machine, Options, Wire, erase_bank},
    operator::Operator,
    process::ScratchDir,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    cell::{Cell, RefCell},
    fs,
    future::poll_fn,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError},
    task::{Poll, Waker},
};

/// How long an appliance with a configuration may take until it takes connections.
const LISTENS_S: u64 = 60;

/// Network cards that the machine has.
const CARDS_COUNT: usize = 2;

/// The image under test: what the environment variable `STARGATE_FIRMWARE` names, else what `cargo xtask build` makes.
///
/// # Errors
/// If there is none; says how to make it.
pub fn firmware() -> Result<PathBuf> {
    let path = std::env::var_os("STARGATE_FIRMWARE").map_or_else(harness::firmware_image, PathBuf::from);
    ensure!(path.exists(), "no firmware image at {}: `cargo xtask build` makes it", path.display());
    Ok(path)
}

/// The appliance, blank and off at first.
pub struct WireGateway {
    net: WireNet,
    options: Options,
    machine: Arc<Mutex<Option<Machine>>>,
    /// The emulator's process, to end it while somebody waits for its console.
    process: Cell<Option<u32>>,
    boots: Cell<u32>,
    /// What was shown before the last start.
    shown: RefCell<String>,
    _scratch: ScratchDir,
}

impl WireGateway {
    /// A blank appliance on the wires of `net`. `adapt` may change what the machine is made of.
    ///
    /// # Errors
    /// When there is no image, or its flash cannot be made.
    pub fn new(net: &WireNet, adapt: impl FnOnce(&mut Options)) -> Result<Self> {
        let scratch = ScratchDir::new()?;
        let data = scratch.path().join("data");
        erase_bank(&data)?;
        let mut options = Options::new(&firmware()?, &data, &scratch.path().join("tpm"));
        options.forwards = Vec::new();
        options.wires =
            net.cards().into_iter().take(CARDS_COUNT).map(|(socket, card)| Wire { socket, card }).collect();
        adapt(&mut options);
        Ok(Self {
            net: net.clone(),
            options,
            machine: Arc::default(),
            process: Cell::new(None),
            boots: Cell::new(0),
            shown: RefCell::default(),
            _scratch: scratch,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Machine>> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switches it on and waits for the prompt.
    async fn boot(&self) -> Result<()> {
        let (machine, options) = (Arc::clone(&self.machine), self.options.clone());
        let process = in_thread(move || {
            let mut machine = machine.lock().unwrap_or_else(PoisonError::into_inner);
            *machine = None;
            let started = machine.insert(Machine::start(options)?);
            Operator::new(started.console()?)?;
            Ok(started.id())
        })
        .await?;
        self.process.set(Some(process));
        self.boots.set(self.boots.get() + 1);
        Ok(())
    }

    /// Waits until connections are taken. One that was never set up takes none.
    async fn wait_until_it_listens(&self) {
        let from = plan::ROUTER;
        let end = self.net.now().plus_s(LISTENS_S);
        while self.net.now() < end {
            if let Some(Ok(mut stream)) = self.net.within(5, self.net.connect(from, plan::GATEWAY_SMTP)).await
            {
                stream.close().await;
                return;
            }
            self.net.sleep_until(self.net.now().plus_ms(50)).await;
        }
    }

    /// Does something at the console.
    ///
    /// # Errors
    /// If it is off, or what `work` meets.
    pub async fn operate<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Operator<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let machine = Arc::clone(&self.machine);
        in_thread(move || {
            let mut machine = machine.lock().unwrap_or_else(PoisonError::into_inner);
            let machine = machine.as_mut().context("the appliance is off")?;
            work(&mut Operator::at_prompt(machine.console()?))
        })
        .await
    }

    /// As [`WireGateway::operate`]; what fails while the power is cut is what the console said last.
    async fn said(&self, work: impl FnOnce(&mut Operator<'_>) -> Result<String> + Send + 'static) -> String {
        match self.operate(work).await {
            Ok(said) => said,
            Err(_) if self.process.get().is_none() => String::new(),
            Err(error) => panic!("at the console: {error:#}"),
        }
    }
}

impl Gateway for WireGateway {
    fn power_on(&self) -> Later<'_, ()> {
        Box::pin(async {
            if self.process.get().is_none() {
                self.boot().await.expect("the appliance starts");
                if self.boots.get() > 1 {
                    self.wait_until_it_listens().await;
                }
            }
        })
    }

    fn pull_plug(&self) {
        let Some(process) = self.process.take() else { return };
        // Whoever waits for the console then sees it close, and gives the machine back.
        if let Some(process) = i32::try_from(process).ok().and_then(Pid::from_raw) {
            _ = kill_process(process, Signal::KILL);
        }
        let mut machine = self.lock();
        if let Some(machine) = machine.as_mut() {
            machine.kill();
            if let Ok(console) = machine.console() {
                self.shown.borrow_mut().push_str(&console.transcript());
            }
        }
        *machine = None;
        self.net.power_lost();
    }

    fn command<'a>(&'a self, line: &'a str) -> Later<'a, String> {
        let line = line.to_owned();
        Box::pin(self.said(move |operator| operator.run(&line)))
    }

    fn paste<'a>(&'a self, command: &'a str, lines: &'a str) -> Later<'a, String> {
        let (command, lines) = (command.to_owned(), lines.to_owned());
        Box::pin(self.said(move |operator| operator.paste(&command, &lines)))
    }

    fn shown(&self) -> String {
        let mut shown = self.shown.borrow().clone();
        let mut machine = match self.machine.try_lock() {
            Ok(machine) => machine,
            Err(TryLockError::Poisoned(machine)) => machine.into_inner(),
            Err(TryLockError::WouldBlock) => return shown + "\n(a command is under way)",
        };
        if let Some(Ok(console)) = machine.as_mut().map(Machine::console) {
            shown.push_str(&console.transcript());
        }
        shown
    }
}

impl Drop for WireGateway {
    fn drop(&mut self) {
        self.pull_plug();
    }
}

/// Runs `work` in a thread of its own, without keeping this one waiting.
async fn in_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    type Shared<T> = Arc<Mutex<(Option<Result<T>>, Option<Waker>)>>;
    let shared: Shared<T> = Arc::new(Mutex::new((None, None)));
    let theirs = Arc::clone(&shared);
    std::thread::spawn(move || {
        let done = work();
        let mut shared = theirs.lock().unwrap_or_else(PoisonError::into_inner);
        shared.0 = Some(done);
        if let Some(waker) = shared.1.take() {
            waker.wake();
        }
    });
    poll_fn(|context| {
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.1 = Some(context.waker().clone());
        shared.0.take().map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Where recordings and transcripts of failures are kept.
#[must_use]
pub fn kept() -> PathBuf {
    let folder = harness::workspace().join("target/lab");
    _ = fs::create_dir_all(&folder);
    folder
}
