//! A story: one seed, one world, told by an async function.

use crate::destination::Destination;
use crate::executor::Executor;
use crate::network::Network;
use crate::peers::{Client, Sink};
use crate::random::Random;
use platform::Instant;
use std::cell::RefCell;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// Everything outside the appliance.
#[derive(Clone)]
pub struct World {
    /// Tasks and time.
    pub executor: Executor,
    /// The network.
    pub network: Network,
    /// Where all chance comes from.
    pub seed: u64,
    random: Rc<RefCell<Random>>,
}

impl World {
    /// A world of its own, for a story within a story.
    #[must_use]
    pub fn with_seed(seed: u64) -> Self {
        let executor = Executor::new(seed);
        let network = Network::new(&executor, seed ^ 0x6e65_7477);
        Self { executor, network, seed, random: Rc::new(RefCell::new(Random::new(seed ^ 0x776f_726c))) }
    }

    /// A number from 0 to `bound` - 1.
    #[must_use]
    pub fn random_below(&self, bound: u64) -> u64 {
        self.random.borrow_mut().below(bound)
    }

    /// Waits for virtual time to pass.
    pub async fn sleep_ms(&self, ms: u64) {
        self.executor.sleep_ms(ms).await;
    }

    /// Looks again and again whether `done`, for at most `seconds` of virtual time: every 10 ms at first, and never more
    /// seldom than after another five hundredth of the wait. Returns whether it came about.
    pub async fn wait_until(&self, seconds: u64, done: impl Fn() -> bool) -> bool {
        let begun = self.executor.now();
        let end = begun.plus_s(seconds);
        while !done() {
            let now = self.executor.now();
            if now >= end {
                return false;
            }
            let pause_us = (now.micros_since(begun) / 500).max(10_000);
            self.executor.sleep_until(Instant(now.0 + pause_us).min(end)).await;
        }
        true
    }

    /// Seconds of virtual time since the world began.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        self.executor.now().0 / 1_000_000
    }

    /// Starts `count` destinations that work, one domain and one host each. See [`Destination`].
    #[must_use]
    pub fn destinations(&self, count: usize) -> Vec<Destination> {
        (0..count).map(|number| Destination::start(self, number)).collect()
    }

    /// Starts a next hop at the address that [`crate::gateway::NEXT_HOP`] names.
    #[must_use]
    pub fn next_hop(&self) -> Sink {
        Sink::start(
            &self.executor,
            &self.network,
            SocketAddr::new(IpAddr::from(crate::gateway::NEXT_HOP), 25),
        )
    }

    /// Connects a client that may relay, and greets.
    pub async fn client(&self) -> Client {
        let from = IpAddr::from(crate::gateway::CLIENT);
        let mut client = Client::connect(&self.network, from, crate::gateway::Gateway::address()).await;
        client.greet().await.expect(250, "");
        client
    }
}

/// The seed of a run: `SIM_SEED` if set, else one that follows from the test's name, so that runs repeat.
fn seed_of(name: &str) -> u64 {
    match std::env::var("SIM_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("SIM_SEED={text} is no number")),
        Err(_) => name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
        }),
    }
}

/// Tells a story. On failure the seed and the command that repeats the run are printed.
pub fn story<F, Fut>(tell: F)
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let name = std::thread::current().name().unwrap_or("story").to_string();
    run(&name, seed_of(&name), tell);
}

/// Tells a story `count` times with different seeds (once, with `SIM_SEED`).
pub fn stories<F, Fut>(count: u64, tell: F)
where
    F: Fn(World) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let name = std::thread::current().name().unwrap_or("story").to_string();
    let repeats = if std::env::var_os("SIM_SEED").is_some() { 1 } else { count };
    for i in 0..repeats {
        run(&name, seed_of(&name).wrapping_add(i), &tell);
    }
}

fn run<F, Fut>(name: &str, seed: u64, tell: F)
where
    F: FnOnce(World) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let world = World::with_seed(seed);
        let executor = world.executor.clone();
        let story = tell(world);
        executor.block_on(story);
        executor.clear();
    }));
    if let Err(payload) = outcome {
        eprintln!("repeat with: SIM_SEED={seed} cargo test -p sim {name}");
        resume_unwind(payload);
    }
}
