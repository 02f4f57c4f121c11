//! The IP stack: one interface, its configuration, and sockets as the product's streams.

use core::net::{IpAddr, SocketAddr};
use embassy_executor::Spawner;
use embassy_futures::select::{Either, select};
use embassy_net::tcp::{self, TcpSocket};
use embassy_net::{
    Config, ConfigV4, DhcpConfig, HardwareAddress, IpAddress, IpEndpoint, Ipv4Cidr, Runner, Stack,
    StackResources, StaticConfigV4,
};
use embassy_time::{Duration, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use heapless::Vec;
use limits::net::{
    ADDRESS_WAIT_S, CLOSE_WAIT_MS, DEAD_PEER_S, INBOUND_RECEIVE_BYTES, INBOUND_SEND_BYTES, INTERFACES_COUNT,
    KEEP_ALIVE_S, OUTBOUND_RECEIVE_BYTES, OUTBOUND_SEND_BYTES, SMTP_PORT, SOCKETS_COUNT,
    SPARE_CONNECTORS_COUNT, SPARE_SEND_BYTES,
};
use limits::relay::{LISTENERS_COUNT, SESSIONS_OUT_COUNT_MAX};
use platform::{ConnectError, Entropy as _, Origin, Source, StreamError};
use qemu_virt::{Entropy, NetworkDevice};
use relay::NetworkState;
use settings::{Network, Settings};
use static_cell::{ConstStaticCell, StaticCell};

static RESOURCES: StaticCell<StackResources<SOCKETS_COUNT>> = StaticCell::new();

/// The stack behind the interface; a machine without one has none, and then nothing can be reached.
#[derive(Clone, Copy)]
pub struct Link(Option<Stack<'static>>);

impl Link {
    /// Starts the stack without an address; [`Link::apply`] gives it one.
    pub fn start(spawner: Spawner, device: Option<NetworkDevice>, entropy: Entropy) -> Self {
        let Some(device) = device else { return Self(None) };
        let mut seed = [0; 8];
        entropy.fill(&mut seed);
        let resources = RESOURCES.init(StackResources::new());
        let (stack, runner) =
            embassy_net::new(device, Config::default(), resources, u64::from_le_bytes(seed));
        spawner.spawn(run(runner).expect("one network task"));
        Self(Some(stack))
    }

    /// The stack, if there is an interface.
    pub fn stack(self) -> Option<Stack<'static>> {
        self.0
    }

    /// Puts the network settings in force. Connections from an address that is given up end.
    pub fn apply(self, settings: &Settings) {
        let Some(stack) = self.0 else { return };
        stack.set_config_v4(match settings.network {
            Network::Dhcp => {
                let mut config = DhcpConfig::default();
                // Only a name that somebody chose is worth telling; the option holds 32 octets.
                config.hostname = settings.hostname.as_ref().and_then(|_| settings.hostname().parse().ok());
                ConfigV4::Dhcp(config)
            }
            Network::Static { address, prefix, gateway } => {
                let servers = settings.dns_servers.iter().filter_map(|server| match server {
                    IpAddr::V4(server) => Some(*server),
                    IpAddr::V6(_) => None,
                });
                ConfigV4::Static(StaticConfigV4 {
                    address: Ipv4Cidr::new(address, prefix),
                    gateway,
                    dns_servers: servers.collect(),
                })
            }
        });
    }

    /// Waits until the interface has an address, or, if `up` is false, until it has none.
    pub async fn wait_for_address(self, up: bool) {
        match self.0 {
            Some(stack) if up => stack.wait_config_up().await,
            Some(stack) => stack.wait_config_down().await,
            None => core::future::pending().await,
        }
    }

    /// The stack once it has an address. Waits a little for one: after power-on the queue is ready before DHCP is, and
    /// a message should not pause for that.
    pub async fn usable(self) -> Option<Stack<'static>> {
        let stack = self.0?;
        let patience = Timer::after_secs(ADDRESS_WAIT_S);
        matches!(select(stack.wait_config_up(), patience).await, Either::First(())).then_some(stack)
    }

    /// The interfaces as they are now.
    pub fn state(self) -> Vec<NetworkState, INTERFACES_COUNT> {
        let Some(stack) = self.0 else { return Vec::new() };
        let mut state = NetworkState { interface: 1, ..NetworkState::default() };
        state.link_up = stack.is_link_up();
        let HardwareAddress::Ethernet(address) = stack.hardware_address();
        state.hardware_address = Some(address.0);
        if let Some(config) = stack.config_v4() {
            state.address = Some(events::IpNetwork {
                address: IpAddr::V4(config.address.address()),
                prefix: config.address.prefix_len(),
            });
            state.gateway = config.gateway.map(IpAddr::V4);
            state.dns_servers = config.dns_servers.iter().map(|server| IpAddr::V4(*server)).collect();
        }
        Vec::from_iter([state])
    }
}

#[embassy_executor::task]
async fn run(mut runner: Runner<'static, NetworkDevice>) {
    runner.run().await;
}

/// One TCP connection.
pub struct TcpStream<'a> {
    socket: TcpSocket<'a>,
}

impl<'a> TcpStream<'a> {
    fn new(stack: Stack<'static>, receive: &'a mut [u8], send: &'a mut [u8]) -> Self {
        let mut socket = TcpSocket::new(stack, receive, send);
        socket.set_timeout(Some(Duration::from_secs(DEAD_PEER_S)));
        socket.set_keep_alive(Some(Duration::from_secs(KEEP_ALIVE_S)));
        // Replies and content are written in whole; waiting for more would only add round trips.
        socket.set_nagle_enabled(false);
        Self { socket }
    }

    /// Gives the stack time to send what is left: the rest of a close, or the reset of an abort.
    pub async fn finish(&mut self) {
        let _ = select(self.socket.flush(), Timer::after_millis(CLOSE_WAIT_MS)).await;
    }
}

impl ErrorType for TcpStream<'_> {
    type Error = StreamError;
}

impl Read for TcpStream<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        self.socket.read(buffer).await.map_err(|_| StreamError::Reset)
    }
}

impl Write for TcpStream<'_> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, StreamError> {
        self.socket.write(data).await.map_err(|_| StreamError::Reset)
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        // What is in the send buffer is sent without being asked; waiting for the peer's acknowledgement would
        // cost a round trip each time.
        Ok(())
    }
}

impl platform::Stream for TcpStream<'_> {
    async fn close(&mut self) {
        self.socket.close();
        self.finish().await;
    }

    fn abort(&mut self) {
        self.socket.abort();
    }
}

/// Memory of one socket buffer, on a cache line: copies from and to an odd address take twice as long.
#[repr(C, align(64))]
struct Ring<const BYTES: usize>([u8; BYTES]);

impl<const BYTES: usize> Ring<BYTES> {
    const NEW: Self = Self([0; BYTES]);
}

/// Buffers of one inbound session.
pub struct Listener {
    stack: Stack<'static>,
    receive: &'static mut [u8],
    send: &'static mut [u8],
}

impl Listener {
    /// One listener for each connection that may be open at once; none without a network.
    pub fn all(link: Link) -> impl Iterator<Item = Self> {
        static RECEIVE: ConstStaticCell<[Ring<INBOUND_RECEIVE_BYTES>; LISTENERS_COUNT]> =
            ConstStaticCell::new([Ring::NEW; LISTENERS_COUNT]);
        static SEND: ConstStaticCell<[Ring<INBOUND_SEND_BYTES>; LISTENERS_COUNT]> =
            ConstStaticCell::new([Ring::NEW; LISTENERS_COUNT]);
        link.0.into_iter().flat_map(|stack| {
            RECEIVE.take().iter_mut().zip(SEND.take()).map(move |(receive, send)| Self {
                stack,
                receive: &mut receive.0,
                send: &mut send.0,
            })
        })
    }

    /// Waits for a connection to the SMTP port. Returns the stream and where it came from.
    pub async fn accept(&mut self) -> (TcpStream<'_>, Origin) {
        let Self { stack, receive, send } = self;
        let mut stream = TcpStream::new(*stack, receive, send);
        loop {
            let accepted = stream.socket.accept(SMTP_PORT).await;
            let ends = (stream.socket.remote_endpoint(), stream.socket.local_endpoint());
            if let (Ok(()), (Some(peer), Some(local))) = (accepted, ends) {
                let local = SocketAddr::new(local.addr.into(), local.port);
                return (stream, Origin::new(peer.addr.into(), local, 1));
            }
            // The client was gone before it was served.
            stream.socket.abort();
            stream.finish().await;
        }
    }
}

/// Buffers of one outbound connection at a time.
pub struct Connector {
    link: Link,
    receive: &'static mut [u8],
    send: &'static mut [u8],
}

impl Connector {
    /// One connector for each delivery that may run at once.
    pub fn all(link: Link) -> impl Iterator<Item = Self> {
        static RECEIVE: ConstStaticCell<[Ring<OUTBOUND_RECEIVE_BYTES>; SESSIONS_OUT_COUNT_MAX]> =
            ConstStaticCell::new([Ring::NEW; SESSIONS_OUT_COUNT_MAX]);
        static SEND: ConstStaticCell<[Ring<OUTBOUND_SEND_BYTES>; SESSIONS_OUT_COUNT_MAX]> =
            ConstStaticCell::new([Ring::NEW; SESSIONS_OUT_COUNT_MAX]);
        RECEIVE.take().iter_mut().zip(SEND.take()).map(move |(receive, send)| Self {
            link,
            receive: &mut receive.0,
            send: &mut send.0,
        })
    }

    /// The spare ones.
    pub fn spare(link: Link) -> Vec<Self, SPARE_CONNECTORS_COUNT> {
        static RECEIVE: ConstStaticCell<[Ring<OUTBOUND_RECEIVE_BYTES>; SPARE_CONNECTORS_COUNT]> =
            ConstStaticCell::new([Ring::NEW; SPARE_CONNECTORS_COUNT]);
        static SEND: ConstStaticCell<[Ring<SPARE_SEND_BYTES>; SPARE_CONNECTORS_COUNT]> =
            ConstStaticCell::new([Ring::NEW; SPARE_CONNECTORS_COUNT]);
        let buffers = RECEIVE.take().iter_mut().zip(SEND.take());
        buffers.map(|(receive, send)| Self { link, receive: &mut receive.0, send: &mut send.0 }).collect()
    }
}

impl platform::Connector for Connector {
    type Stream<'a> = TcpStream<'a>;

    async fn connect(&mut self, remote: SocketAddr, _source: &Source) -> Result<TcpStream<'_>, ConnectError> {
        let stack = self.link.usable().await.ok_or(ConnectError::NoRoute)?;
        let mut stream = TcpStream::new(stack, self.receive, self.send);
        let endpoint = IpEndpoint { addr: IpAddress::from(remote.ip()), port: remote.port() };
        match stream.socket.connect(endpoint).await {
            Ok(()) => Ok(stream),
            Err(tcp::ConnectError::ConnectionReset) => Err(ConnectError::Refused),
            Err(tcp::ConnectError::TimedOut) => Err(ConnectError::Timeout),
            Err(tcp::ConnectError::NoRoute | tcp::ConnectError::InvalidState) => Err(ConnectError::NoRoute),
        }
    }
}
