//! The traits of `platform` over virtual time and the fake network.

use crate::executor::{Executor, PowerEvent};
use crate::network::{Network, SimStream};
use crate::random::Random;
use platform::{ConnectError, Connector, Entropy, Instant, Power, ResolveError, Resolver, Timer, WallClock};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::rc::Rc;

/// Monotonic time: the executor's.
#[derive(Clone)]
pub struct SimTimer(pub Executor);

impl Timer for SimTimer {
    fn now(&self) -> Instant {
        self.0.now()
    }

    async fn sleep_until(&self, at: Instant) {
        self.0.sleep_until(at).await;
    }
}

/// Civil time that runs with virtual time once it is known.
#[derive(Clone)]
pub struct SimClock {
    executor: Executor,
    /// Unix seconds at virtual time 0.
    epoch: Rc<Cell<Option<u64>>>,
}

impl SimClock {
    /// A clock that read `epoch` at virtual time 0, or does not know the time.
    #[must_use]
    pub fn new(executor: &Executor, epoch: Option<u64>) -> Self {
        Self { executor: executor.clone(), epoch: Rc::new(Cell::new(epoch)) }
    }
}

impl WallClock for SimClock {
    fn unix_seconds(&self) -> Option<u64> {
        self.epoch.get().map(|epoch| epoch + self.executor.now().0 / 1_000_000)
    }

    fn set_unix_seconds(&self, seconds: u64) {
        self.epoch.set(Some(seconds.saturating_sub(self.executor.now().0 / 1_000_000)));
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

/// Names of the fake network.
#[derive(Clone)]
pub struct SimResolver {
    /// Where the names are.
    pub network: Network,
    /// Time that a look-up takes; the time-out when the name service is down is thirty times as long.
    pub delay_ms: u64,
    /// What time it is.
    pub executor: Executor,
}

impl Resolver for SimResolver {
    async fn addresses(&self, name: &str) -> Result<heapless::Vec<IpAddr, 8>, ResolveError> {
        let answer = self.network.lookup(name);
        self.executor.sleep_ms(self.delay_ms * if answer.is_some() { 1 } else { 30 }).await;
        let addresses = answer.ok_or(ResolveError::Temporary)?;
        if addresses.is_empty() {
            return Err(ResolveError::NotFound);
        }
        Ok(addresses.into_iter().take(8).collect())
    }
}

/// Opens connections from one host of the fake network.
pub struct SimConnector {
    /// The network.
    pub network: Network,
    /// The host's address.
    pub from: IpAddr,
}

impl Connector for SimConnector {
    type Stream<'a> = SimStream;

    async fn connect(&mut self, remote: SocketAddr) -> Result<SimStream, ConnectError> {
        self.network.connect(self.from, remote).await
    }
}
