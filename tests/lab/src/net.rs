//! A network with many hosts on it, as the peers of a scenario see it.
//!
//! Everything is single-threaded: futures need not be `Send`. The traits are object-safe, so peers and scenarios are
//! compiled once for all networks. Who implements [`Net`] decides what time is: virtual, or that of the wall.

pub use platform::{ConnectError, Instant, StreamError};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;

/// A future of this thread.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What serves the connections to one address.
pub type Handler = Rc<dyn Fn(Box<dyn Connection>) -> Later<'static, ()>>;

/// How a host can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Everything arrives.
    Up,
    /// New connections are refused; existing ones live on.
    Refusing,
    /// Nothing arrives, nothing is answered.
    Dark,
}

/// How the wire behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// Least time that something is under way, in microseconds.
    pub latency_us_min: u64,
    /// Most time that something is under way, in microseconds.
    pub latency_us_max: u64,
    /// Most octets of TCP data in one segment.
    pub segment_bytes_max: usize,
    /// Packets of 1,000 that are lost. Streams repeat what is lost; datagrams do not.
    pub lost_per_mille: u16,
    /// Packets of 1,000 that a later one overtakes.
    pub overtaken_per_mille: u16,
    /// Packets of 1,000 that arrive twice.
    pub doubled_per_mille: u16,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            latency_us_min: 200,
            latency_us_max: 2_000,
            segment_bytes_max: 1_460,
            lost_per_mille: 0,
            overtaken_per_mille: 0,
            doubled_per_mille: 0,
        }
    }
}

/// One end of a TCP connection. Dropping it resets the connection.
pub trait Connection {
    /// This end's address.
    fn local(&self) -> SocketAddr;
    /// The other end's address.
    fn remote(&self) -> SocketAddr;
    /// Reads what has arrived into `out`, which is not empty; 0 at the end of the peer's data.
    fn read<'a>(&'a mut self, out: &'a mut [u8]) -> Later<'a, Result<usize, StreamError>>;
    /// Writes some of `data` and returns how much. It is on its way without a flush.
    fn write<'a>(&'a mut self, data: &'a [u8]) -> Later<'a, Result<usize, StreamError>>;
    /// Sends the end mark, waits (bounded) until the peer has everything.
    fn close(&mut self) -> Later<'_, ()>;
    /// Resets the connection.
    fn abort(&mut self);
}

/// A UDP socket. Dropping it frees the port.
pub trait Datagrams {
    /// The address it is bound to.
    fn local(&self) -> SocketAddr;
    /// Sends one datagram, from the bound address.
    fn send<'a>(&'a mut self, data: &'a [u8], to: SocketAddr) -> Later<'a, ()>;
    /// Waits for one datagram; what does not fit `out` is cut off.
    fn receive<'a>(&'a mut self, out: &'a mut [u8]) -> Later<'a, (usize, SocketAddr)>;
    /// Sends one datagram that claims to come from `from`: what an attacker off the path does.
    fn send_as<'a>(&'a mut self, data: &'a [u8], from: SocketAddr, to: SocketAddr) -> Later<'a, ()>;
}

/// A network. Every address exists; who listens there answers, all others refuse.
pub trait Net {
    /// The present moment; never goes back.
    fn now(&self) -> Instant;
    /// Returns at `at` or soon afterwards.
    fn sleep_until(&self, at: Instant) -> Later<'static, ()>;
    /// Starts a task.
    fn spawn(&self, name: String, task: Later<'static, ()>);
    /// Serves connections to `at`, each by a task of its own, until [`Net::unlisten`].
    fn listen(&self, at: SocketAddr, handler: Handler);
    /// Stops serving `at`.
    fn unlisten(&self, at: SocketAddr);
    /// Connects from the host `from`, which need not exist otherwise.
    fn connect(&self, from: IpAddr, to: SocketAddr) -> Later<'_, Result<Box<dyn Connection>, ConnectError>>;
    /// Opens a UDP socket; port 0 means any.
    ///
    /// # Errors
    /// [`ConnectError::Refused`] when the port is taken.
    fn bind(&self, at: SocketAddr) -> Result<Box<dyn Datagrams>, ConnectError>;
    /// Changes how `host` can be reached.
    fn set_link(&self, host: IpAddr, link: Link);
    /// Changes how the wire behaves from now on.
    fn set_conditions(&self, conditions: Conditions);
}

/// What all networks share.
impl dyn Net {
    /// Returns after `ms` milliseconds.
    pub async fn sleep_ms(&self, ms: u64) {
        self.sleep_until(self.now().plus_ms(ms)).await;
    }
}
