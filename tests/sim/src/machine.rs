//! The traits of `platform` over virtual time and the fake network.

use crate::executor::{Executor, PowerEvent};
use crate::interfaces::Interfaces;
use crate::network::{Network, SimStream};
use crate::random::Random;
use platform::{ConnectError, Connector, Entropy, Instant, Power, Source, Timer, WallClock};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::rc::Rc;

/// Monotonic time, from the start of the machine: nothing that it shows means anything after the next start.
#[derive(Clone)]
pub struct SimTimer {
    executor: Executor,
    start: Instant,
}

impl SimTimer {
    /// A timer that is 0 now.
    #[must_use]
    pub fn start(executor: &Executor) -> Self {
        Self { executor: executor.clone(), start: executor.now() }
    }
}

impl Timer for SimTimer {
    fn now(&self) -> Instant {
        Instant(self.executor.now().micros_since(self.start))
    }

    async fn sleep_until(&self, at: Instant) {
        self.executor.sleep_until(Instant(self.start.0.saturating_add(at.0))).await;
    }
}

/// A clock with a battery of its own: civil time goes on while the machine is off, and jumps when somebody sets it.
/// Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct SimClock {
    executor: Executor,
    /// Unix seconds at virtual time 0.
    epoch: Rc<Cell<Option<i64>>>,
}

impl SimClock {
    /// A clock that reads `epoch` at virtual time 0, or does not know the time.
    #[must_use]
    pub fn new(executor: &Executor, epoch: Option<u64>) -> Self {
        let epoch = epoch.map(|seconds| i64::try_from(seconds).expect("a time of this aeon"));
        Self { executor: executor.clone(), epoch: Rc::new(Cell::new(epoch)) }
    }

    /// Sets the clock, or makes it forget the time.
    pub fn set(&self, unix: Option<u64>) {
        let now = (self.executor.now().0 / 1_000_000) as i64;
        self.epoch.set(unix.map(|seconds| i64::try_from(seconds).expect("a time of this aeon") - now));
    }

    /// Moves the clock by so many seconds, in either direction; it never shows less than 0.
    pub fn jump(&self, seconds: i64) {
        self.epoch.set(self.epoch.get().map(|epoch| epoch + seconds));
    }
}

impl WallClock for SimClock {
    fn unix_seconds(&self) -> Option<u64> {
        let now = (self.executor.now().0 / 1_000_000) as i64;
        self.epoch.get().map(|epoch| u64::try_from(epoch + now).unwrap_or(0))
    }

    fn set_unix_seconds(&self, seconds: u64) {
        self.set(Some(seconds));
    }
}

/// Random octets that follow from the seed.
#[derive(Clone)]
pub struct SimEntropy(Rc<RefCell<Random>>);

impl SimEntropy {
    /// Entropy that is none: everything follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Random::new(seed))))
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, out: &mut [u8]) {
        self.0.borrow_mut().fill(out);
    }

    /// Nothing: a run is repeated by its seed alone, and a real TPM's octets are not part of that.
    fn reseed(&self, _seed: &[u8; 32]) {}
}

/// Restarts by unwinding out of the firmware; the executor catches it and ends the appliance's tasks.
#[derive(Clone, Copy, Debug)]
pub struct SimPower;

impl Power for SimPower {
    fn reboot(&self) -> ! {
        resume_unwind(Box::new(PowerEvent::Reboot))
    }

    fn power_off(&self) -> ! {
        resume_unwind(Box::new(PowerEvent::Off))
    }
}

/// Opens connections from the machine.
pub struct SimConnector {
    /// The network.
    pub network: Network,
    /// The machine's addresses.
    pub interfaces: Interfaces,
}

impl Connector for SimConnector {
    type Stream<'a> = SimStream;

    async fn connect(&mut self, remote: SocketAddr, source: &Source) -> Result<SimStream, ConnectError> {
        let from = self.interfaces.toward(remote.ip(), source).ok_or(ConnectError::NoRoute)?;
        self.network.connect(from, remote).await
    }
}
