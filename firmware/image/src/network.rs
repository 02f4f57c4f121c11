//! The IP stacks: interfaces, their configuration, and sockets as the product's streams.

use crate::doors::Doors;
use crate::guarded::Guarded;
use core::cell::Cell;
use core::net::{IpAddr, SocketAddr};
use embassy_executor::Spawner;
use embassy_futures::select::{Either, select};
use embassy_net::tcp::{self, TcpSocket};
use embassy_net::{
    Config, ConfigV4, ConfigV6, DhcpConfig, HardwareAddress, IpAddress, IpEndpoint, Ipv4Cidr, Ipv6Cidr,
    Runner, Stack, StackResources, StaticConfigV4, StaticConfigV6,
};
use embassy_time::{Duration, Timer};
use embedded_io_async::{ErrorType, Read, Write};
use heapless::Vec;
use limits::net::{
    ADDRESS_LOOKS_PER_S, ADDRESS_WAIT_S, CLOSE_WAIT_MS, DEAD_PEER_S, HANDSHAKE_S, INBOUND_RECEIVE_BYTES,
    INBOUND_SEND_BYTES, INTERFACES_COUNT, KEEP_ALIVE_S, OUTBOUND_RECEIVE_BYTES, OUTBOUND_SEND_BYTES,
    SEQUENCE_SECRET_BYTES, SOCKETS_COUNT, SPARE_CONNECTORS_COUNT, SPARE_SEND_BYTES,
};
use limits::relay::{LISTENERS_COUNT, SESSIONS_OUT_COUNT_MAX};
use platform::{ConnectError, Entropy as _, Origin, Source, StreamError};
use qemu_virt::{Entropy, NetworkDevice};
use relay::NetworkState;
use settings::{Network, Network6, Settings};
use static_cell::{ConstStaticCell, StaticCell};
use tcp_guard::Guard;

/// One interface and its stack.
struct Interface {
    stack: Stack<'static>,
    /// What was applied last: applying it again would end connections.
    applied: Cell<(Option<Network>, Option<Network6>)>,
}

/// The interfaces of the machine; one without any can reach nothing.
#[derive(Clone, Copy)]
pub struct Link(&'static Shared);

struct Shared {
    interfaces: Vec<Interface, INTERFACES_COUNT>,
    doors: Doors,
}

impl Link {
    /// Starts the stacks without addresses; [`Link::apply`] gives them some. Each gets a guard with a secret of its own.
    pub fn start(spawner: Spawner, devices: impl Iterator<Item = NetworkDevice>, entropy: &Entropy) -> Self {
        static RESOURCES: StaticCell<[StackResources<SOCKETS_COUNT>; INTERFACES_COUNT]> = StaticCell::new();
        static SHARED: StaticCell<Shared> = StaticCell::new();
        let resources = RESOURCES.init_with(|| [const { StackResources::new() }; INTERFACES_COUNT]);
        let mut interfaces = Vec::new();
        for (device, resources) in devices.zip(resources) {
            let (mut seed, mut secret) = ([0; 8], [0; SEQUENCE_SECRET_BYTES]);
            entropy.fill(&mut seed);
            entropy.fill(&mut secret);
            let device = Guarded::new(device, Guard::new(secret));
            let (stack, runner) =
                embassy_net::new(device, Config::default(), resources, u64::from_le_bytes(seed));
            spawner.spawn(run(runner).expect("one network task for each interface"));
            // There are no more resources than places.
            let _ = interfaces.push(Interface { stack, applied: Cell::new((None, None)) });
        }
        Self(SHARED.init(Shared { interfaces, doors: Doors::default() }))
    }

    /// The stacks, the first interface first.
    pub fn stacks(self) -> impl Iterator<Item = Stack<'static>> {
        self.0.interfaces.iter().map(|interface| interface.stack)
    }

    /// Puts the network settings in force. Connections from an address that is given up end.
    pub fn apply(self, settings: &Settings) {
        for (interface, wanted) in self.0.interfaces.iter().zip(settings.interfaces()) {
            let before = interface.applied.replace(wanted);
            if wanted.0 != before.0 {
                interface.stack.set_config_v4(config_v4(wanted.0, settings));
            }
            if wanted.1 != before.1 {
                interface.stack.set_config_v6(config_v6(wanted.1));
            }
        }
        self.0.doors.open(settings, self.0.interfaces.len());
    }

    /// Waits until the interface with this index has an address, or, if `up` is false, until it has none.
    pub async fn wait_for_address(self, index: usize, up: bool) {
        match self.0.interfaces.get(index) {
            Some(interface) if up => interface.stack.wait_config_up().await,
            Some(interface) => interface.stack.wait_config_down().await,
            None => core::future::pending().await,
        }
    }

    /// The interface that leads to `remote` from `source`, by its index. Waits a little for an address by DHCP: after
    /// power-on the queue is ready before DHCP is, and a message should not pause for that.
    pub async fn toward(self, remote: IpAddr, source: &Source) -> Option<(usize, Stack<'static>)> {
        for _ in 0..ADDRESS_WAIT_S * ADDRESS_LOOKS_PER_S {
            if let Some(found) = self.find(remote, source) {
                return Some(found);
            }
            let awaited = self.0.interfaces.iter().any(|interface| {
                interface.applied.get().0 == Some(Network::Dhcp) && !interface.stack.is_config_up()
            });
            if !awaited {
                return None;
            }
            Timer::after_millis(1_000 / ADDRESS_LOOKS_PER_S).await;
        }
        None
    }

    fn find(self, remote: IpAddr, source: &Source) -> Option<(usize, Stack<'static>)> {
        let mut by_gateway = None;
        for (index, interface) in self.0.interfaces.iter().enumerate() {
            if source.interface.is_some_and(|number| usize::from(number) != index + 1) {
                continue;
            }
            let Some((own, is_near, has_gateway)) = way(&interface.stack, remote) else { continue };
            if source.address.is_some_and(|address| address.to_canonical() != own) {
                continue;
            }
            if is_near {
                return Some((index, interface.stack));
            }
            if has_gateway && by_gateway.is_none() {
                by_gateway = Some((index, interface.stack));
            }
        }
        by_gateway
    }

    /// The interfaces as they are now.
    pub fn state(self) -> Vec<NetworkState, INTERFACES_COUNT> {
        let states = self.0.interfaces.iter().zip(1..).map(|(Interface { stack, .. }, number)| {
            let mut state = NetworkState { interface: number, ..NetworkState::default() };
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
            if let Some(config) = stack.config_v6() {
                state.address6 = Some(events::IpNetwork {
                    address: IpAddr::V6(config.address.address()),
                    prefix: config.address.prefix_len(),
                });
                state.gateway6 = config.gateway.map(IpAddr::V6);
            }
            state
        });
        states.collect()
    }
}

/// How an interface reaches `remote`: its own address of that family, whether the remote one is in its network, and
/// whether it has a gateway.
fn way(stack: &Stack<'static>, remote: IpAddr) -> Option<(IpAddr, bool, bool)> {
    match remote.to_canonical() {
        IpAddr::V4(remote) => {
            let config = stack.config_v4()?;
            let own = IpAddr::V4(config.address.address());
            Some((own, config.address.contains_addr(&remote), config.gateway.is_some()))
        }
        IpAddr::V6(remote) => {
            let config = stack.config_v6()?;
            let own = IpAddr::V6(config.address.address());
            Some((own, config.address.contains_addr(&remote), config.gateway.is_some()))
        }
    }
}

fn config_v4(network: Option<Network>, settings: &Settings) -> ConfigV4 {
    match network {
        None => ConfigV4::None,
        Some(Network::Dhcp) => {
            let mut config = DhcpConfig::default();
            // Only a name that somebody chose is worth telling; the option holds 32 octets.
            config.hostname = settings.hostname.as_ref().and_then(|_| settings.hostname().parse().ok());
            ConfigV4::Dhcp(config)
        }
        Some(Network::Static { address, prefix, gateway }) => ConfigV4::Static(StaticConfigV4 {
            address: Ipv4Cidr::new(address, prefix),
            gateway,
            dns_servers: Vec::new(),
        }),
    }
}

fn config_v6(network: Option<Network6>) -> ConfigV6 {
    network.map_or(ConfigV6::None, |Network6 { address, prefix, gateway }| {
        ConfigV6::Static(StaticConfigV6 {
            address: Ipv6Cidr::new(address, prefix),
            gateway,
            dns_servers: Vec::new(),
        })
    })
}

#[embassy_executor::task(pool_size = INTERFACES_COUNT)]
async fn run(mut runner: Runner<'static, Guarded<NetworkDevice>>) {
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
    link: Link,
    receive: &'static mut [u8],
    send: &'static mut [u8],
}

impl Listener {
    /// One listener for each connection that may be open at once.
    pub fn all(link: Link) -> impl Iterator<Item = Self> {
        static RECEIVE: ConstStaticCell<[Ring<INBOUND_RECEIVE_BYTES>; LISTENERS_COUNT]> =
            ConstStaticCell::new([Ring::NEW; LISTENERS_COUNT]);
        static SEND: ConstStaticCell<[Ring<INBOUND_SEND_BYTES>; LISTENERS_COUNT]> =
            ConstStaticCell::new([Ring::NEW; LISTENERS_COUNT]);
        RECEIVE.take().iter_mut().zip(SEND.take()).map(move |(receive, send)| Self {
            link,
            receive: &mut receive.0,
            send: &mut send.0,
        })
    }

    /// Waits for a client at one of the doors. Returns the stream and where it came from; `None` if the door was closed, or
    /// the client was gone before it was served: then ask again.
    pub async fn accept(&mut self) -> Option<(TcpStream<'_>, Origin)> {
        let Self { link, receive, send } = self;
        let doors = &link.0.doors;
        let door = doors.turn().await;
        let Some(interface) = link.0.interfaces.get(door.interface) else {
            doors.left(&door);
            return None;
        };
        let mut stream = TcpStream::new(interface.stack, receive, send);
        // Who does not finish the handshake must not keep a place for long.
        stream.socket.set_timeout(Some(Duration::from_secs(HANDSHAKE_S)));
        let accepted = select(stream.socket.accept(door.endpoint), doors.closed(&door)).await;
        doors.left(&door);
        let ends = (stream.socket.remote_endpoint(), stream.socket.local_endpoint());
        if let (Either::First(Ok(())), (Some(peer), Some(local))) = (accepted, ends) {
            stream.socket.set_timeout(Some(Duration::from_secs(DEAD_PEER_S)));
            let local = SocketAddr::new(local.addr.into(), local.port);
            let number = u8::try_from(door.interface + 1).unwrap_or(u8::MAX);
            return Some((stream, Origin::new(peer.addr.into(), local, number)));
        }
        stream.socket.abort();
        stream.finish().await;
        None
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

    async fn connect(&mut self, remote: SocketAddr, source: &Source) -> Result<TcpStream<'_>, ConnectError> {
        let (_, stack) = self.link.toward(remote.ip(), source).await.ok_or(ConnectError::NoRoute)?;
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
