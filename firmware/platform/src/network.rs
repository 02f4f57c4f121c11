//! Connections and datagrams.
//!
//! The machine has up to [`INTERFACES_COUNT`](limits::net::INTERFACES_COUNT) network interfaces, numbered from 1 as the
//! operator counts them. An address is always the canonical one: an IPv4 address that came in an IPv6 dress is IPv4.

use core::net::{IpAddr, SocketAddr};

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The peer reset the connection, or it timed out below us.
    Reset,
}

impl core::fmt::Display for StreamError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("connection reset")
    }
}

impl core::error::Error for StreamError {}

impl embedded_io_async::Error for StreamError {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        embedded_io_async::ErrorKind::ConnectionReset
    }
}

/// A connected byte stream: TCP today, TLS over it tomorrow. `read` returns 0 at the end of the peer's data.
pub trait Stream:
    embedded_io_async::Read<Error = StreamError> + embedded_io_async::Write<Error = StreamError>
{
    /// Sends what is buffered and the end mark, waits (bounded) until the peer has it.
    async fn close(&mut self);
    /// Drops the connection at once.
    fn abort(&mut self);
}

/// Where an accepted connection came from, and where it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The client's address, canonical.
    pub client: IpAddr,
    /// Our address and port that the client connected to.
    pub local: SocketAddr,
    /// Number of the interface, from 1.
    pub interface: u8,
}

impl Origin {
    /// A connection from `client` to `local` on `interface`; the addresses are made canonical.
    #[must_use]
    pub const fn new(client: IpAddr, local: SocketAddr, interface: u8) -> Self {
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        Self { client: client.to_canonical(), local, interface }
    }
}

/// Where an outbound connection shall leave. The default leaves it to the machine: the interface whose network holds the
/// peer, else the one with a gateway, and that interface's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// Number of the interface, from 1.
    pub interface: Option<u8>,
    /// Own address to connect from. If no interface has it there is no connection, rather than one from another address.
    pub address: Option<IpAddr>,
}

/// Why no connection came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    /// The network is down, or there is no route from the source that was asked for.
    NoRoute,
    /// The peer refused.
    Refused,
    /// The peer did not answer in time.
    Timeout,
}

/// Opens outbound connections. One value serves one delivery at a time and owns its buffers.
pub trait Connector {
    /// The connected stream; borrows the buffers of the connector.
    type Stream<'a>: Stream
    where
        Self: 'a;
    /// Connects to `remote`, from where `source` says. Dropping the future aborts the attempt.
    ///
    /// # Errors
    /// See [`ConnectError`].
    async fn connect(
        &mut self,
        remote: SocketAddr,
        source: &Source,
    ) -> Result<Self::Stream<'_>, ConnectError>;
}

/// Why there is no socket for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindError {
    /// No interface has a way to the peer now.
    NoRoute,
    /// The local port is in use: take another.
    PortTaken,
    /// All sockets are in use: wait until one is dropped.
    TooMany,
}

impl core::fmt::Display for BindError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NoRoute => "no route",
            Self::PortTaken => "local port in use",
            Self::TooMany => "too many sockets",
        })
    }
}

impl core::error::Error for BindError {}

/// Makes sockets for datagrams (UDP). A handle: cloning gives another one to the same machine.
pub trait Datagrams: Clone {
    /// A bound socket. Dropping it frees its port and its place.
    type Socket: DatagramSocket;
    /// A socket on `local_port` (not 0: whoever asks knows how to choose one that cannot be guessed), on the interface
    /// that leads to `toward`, with that interface's address of the same family.
    ///
    /// # Errors
    /// See [`BindError`].
    async fn bind(&self, local_port: u16, toward: IpAddr) -> Result<Self::Socket, BindError>;
}

/// Sends and receives datagrams. Loss, doubles and forged senders are the caller's to cope with.
pub trait DatagramSocket {
    /// Hands one datagram to the network; at most `limits::net::DATAGRAM_BYTES_MAX` octets. Waits while the send buffer is
    /// full.
    ///
    /// # Errors
    /// [`ConnectError::NoRoute`] if it cannot leave.
    async fn send_to(&self, datagram: &[u8], remote: SocketAddr) -> Result<(), ConnectError>;
    /// Waits for a datagram and copies it to `buffer`; what does not fit is dropped whole, as on the wire. Gives its length
    /// and sender. Dropping the future loses nothing.
    async fn receive_from(&self, buffer: &mut [u8]) -> (usize, SocketAddr);
}
