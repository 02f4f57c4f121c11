//! A world of virtual time: [`Net`] and [`Gateway`] over `tests/sim`.
//!
//! A run depends on nothing but its seed. Hours of retries take milliseconds.

use crate::gateway::Gateway;
use crate::net::{Conditions, Connection, Datagrams, Handler, Later, Link, Net};
use crate::scenario::Scenario;
use crate::world::World;
use embedded_io_async::{Read, Write};
use platform::{ConnectError, DatagramSocket, Instant, Stream, StreamError};
use sim::datagrams::SimDatagramSocket;
use sim::executor::{Executor, Group};
use sim::network::{Network, SimStream};
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

/// The simulator's network.
#[derive(Clone)]
pub struct SimNet {
    executor: Executor,
    network: Network,
}

impl Net for SimNet {
    fn now(&self) -> Instant {
        self.executor.now()
    }

    fn sleep_until(&self, at: Instant) -> Later<'static, ()> {
        Box::pin(self.executor.sleep_until(at))
    }

    fn spawn(&self, name: String, task: Later<'static, ()>) {
        self.executor.spawn(Group::Outside, name, task);
    }

    fn listen(&self, at: SocketAddr, handler: Handler) {
        self.network.listen(Group::Outside, at, move |stream| handler(Box::new(stream)));
    }

    fn unlisten(&self, at: SocketAddr) {
        self.network.unlisten(at);
    }

    fn connect(&self, from: IpAddr, to: SocketAddr) -> Later<'_, Result<Box<dyn Connection>, ConnectError>> {
        Box::pin(async move {
            let stream = self.network.connect(from, to).await?;
            Ok(Box::new(stream) as Box<dyn Connection>)
        })
    }

    fn bind(&self, at: SocketAddr) -> Result<Box<dyn Datagrams>, ConnectError> {
        let socket = self.network.bind(at).ok_or(ConnectError::Refused)?;
        Ok(Box::new(SimSocket { socket, network: self.network.clone() }))
    }

    fn set_link(&self, host: IpAddr, link: Link) {
        let link = match link {
            Link::Up => sim::network::Link::Up,
            Link::Refusing => sim::network::Link::Refusing,
            Link::Dark => sim::network::Link::Dark,
        };
        self.network.set_link(host, link);
    }

    fn set_conditions(&self, conditions: Conditions) {
        // Loss and overtaking are below what the simulator shows of a stream.
        self.network.set_conditions(sim::network::Conditions {
            latency_us_min: conditions.latency_us_min,
            latency_us_max: conditions.latency_us_max,
            segment_bytes_max: conditions.segment_bytes_max,
        });
    }
}

/// A socket of the simulator's network, and that network for false names.
struct SimSocket {
    socket: SimDatagramSocket,
    network: Network,
}

impl Datagrams for SimSocket {
    fn local(&self) -> SocketAddr {
        self.socket.local
    }

    fn send<'a>(&'a mut self, data: &'a [u8], to: SocketAddr) -> Later<'a, ()> {
        Box::pin(async move { self.network.send_datagram(self.socket.local, to, data) })
    }

    fn receive<'a>(&'a mut self, out: &'a mut [u8]) -> Later<'a, (usize, SocketAddr)> {
        Box::pin(self.socket.receive_from(out))
    }

    fn send_as<'a>(&'a mut self, data: &'a [u8], from: SocketAddr, to: SocketAddr) -> Later<'a, ()> {
        Box::pin(async move { self.network.send_datagram(from, to, data) })
    }
}

impl Connection for SimStream {
    fn local(&self) -> SocketAddr {
        self.local
    }

    fn remote(&self) -> SocketAddr {
        self.remote
    }

    fn read<'a>(&'a mut self, out: &'a mut [u8]) -> Later<'a, Result<usize, StreamError>> {
        Box::pin(Read::read(self, out))
    }

    fn write<'a>(&'a mut self, data: &'a [u8]) -> Later<'a, Result<usize, StreamError>> {
        Box::pin(Write::write(self, data))
    }

    fn close(&mut self) -> Later<'_, ()> {
        Box::pin(Stream::close(self))
    }

    fn abort(&mut self) {
        Stream::abort(self);
    }
}

/// The appliance in the simulator.
pub struct SimGateway {
    inner: sim::gateway::Gateway,
    executor: Executor,
}

impl Gateway for SimGateway {
    fn power_on(&self) -> Later<'_, ()> {
        Box::pin(async {
            if !self.inner.is_on() {
                assert!(self.inner.boot().await, "the appliance does not start");
            }
        })
    }

    fn pull_plug(&self) {
        self.inner.power_cut();
    }

    fn command<'a>(&'a self, line: &'a str) -> Later<'a, String> {
        Box::pin(self.inner.console(line))
    }

    fn paste<'a>(&'a self, command: &'a str, lines: &'a str) -> Later<'a, String> {
        Box::pin(self.inner.console_paste(command, lines))
    }

    fn shown(&self) -> String {
        format!("{}\nat {} ms", self.inner.terminal.shown(), self.executor.now().0 / 1_000)
    }
}

/// Plays `scenario` with `seed`.
///
/// # Panics
/// When the scenario fails.
pub fn play(scenario: &'static Scenario, seed: u64) {
    play_told(scenario, seed, false);
}

/// As [`play`], and prints what is said on the wire if `transcript`.
///
/// # Panics
/// When the scenario fails.
pub fn play_told(scenario: &'static Scenario, seed: u64, transcript: bool) {
    let inside = sim::world::World::with_seed(seed);
    let executor = inside.executor.clone();
    let mut net: Rc<dyn Net> =
        Rc::new(SimNet { executor: executor.clone(), network: inside.network.clone() });
    if transcript {
        net = Rc::new(crate::transcript::Told::new(net));
    }
    let gateway: Rc<dyn Gateway> =
        Rc::new(SimGateway { inner: sim::gateway::Gateway::new(&inside), executor: executor.clone() });
    let world = World::new(net, gateway, seed);
    let story = scenario.play(world);
    executor.block_on(story);
    executor.clear();
}

/// The seed of a run: `SIM_SEED` if set, else one that follows from the name, so that runs repeat.
///
/// # Panics
/// When `SIM_SEED` is no number.
#[must_use]
pub fn seed_of(name: &str) -> u64 {
    match std::env::var("SIM_SEED") {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("SIM_SEED={text} is no number")),
        Err(_) => name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
        }),
    }
}

/// Plays the scenario `name` as a test; a failure prints the command that repeats it.
///
/// # Panics
/// When the scenario fails or does not exist.
pub fn play_in_test(name: &str) {
    let scenario = crate::scenarios::find(name).unwrap_or_else(|| panic!("no scenario {name}"));
    let seed = seed_of(name);
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| play(scenario, seed))) {
        eprintln!("repeat with: SIM_SEED={seed} cargo test -p lab {name}");
        resume_unwind(payload);
    }
}
