//! Sockets for datagrams: made once with their buffers, and bound and closed again for each use.

use crate::network::Link;
use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};
use embassy_net::Stack;
use embassy_net::udp::{PacketMetadata, UdpSocket};
use embassy_net::{IpEndpoint, IpListenEndpoint};
use heapless::Vec;
use limits::net::{DATAGRAM_BYTES_MAX, DATAGRAM_SOCKETS_COUNT, DATAGRAMS_WAITING_COUNT, INTERFACES_COUNT};
use platform::{BindError, ConnectError, Source};
use static_cell::{ConstStaticCell, StaticCell};

/// Memory of one socket: all zero, so that it takes no room in the image.
struct Buffers {
    receive: [u8; DATAGRAM_BYTES_MAX * DATAGRAMS_WAITING_COUNT],
    send: [u8; DATAGRAM_BYTES_MAX],
}

impl Buffers {
    const NEW: Self =
        Self { receive: [0; DATAGRAM_BYTES_MAX * DATAGRAMS_WAITING_COUNT], send: [0; DATAGRAM_BYTES_MAX] };

    fn socket(&'static mut self, marks: &'static mut Marks, stack: Stack<'static>) -> UdpSocket<'static> {
        UdpSocket::new(stack, &mut marks.receive, &mut self.receive, &mut marks.send, &mut self.send)
    }
}

/// What is in the buffers of one socket. Not zero at first, and therefore apart from them.
struct Marks {
    receive: [PacketMetadata; DATAGRAMS_WAITING_COUNT],
    send: [PacketMetadata; 1],
}

impl Marks {
    const NEW: Self =
        Self { receive: [PacketMetadata::EMPTY; DATAGRAMS_WAITING_COUNT], send: [PacketMetadata::EMPTY] };
}

/// The sockets of one interface.
#[derive(Default)]
struct Pool {
    idle: Vec<UdpSocket<'static>, DATAGRAM_SOCKETS_COUNT>,
    /// Ports of the others.
    ports: Vec<u16, DATAGRAM_SOCKETS_COUNT>,
}

type Pools = [RefCell<Pool>; INTERFACES_COUNT];

/// Makes sockets while there are buffers for them.
#[derive(Clone, Copy)]
pub struct Datagrams {
    link: Link,
    pools: &'static Pools,
}

impl Datagrams {
    /// All sockets of the machine. Called once.
    pub fn new(link: Link) -> Self {
        static BUFFERS: ConstStaticCell<[[Buffers; DATAGRAM_SOCKETS_COUNT]; INTERFACES_COUNT]> =
            ConstStaticCell::new(
                [const { [const { Buffers::NEW }; DATAGRAM_SOCKETS_COUNT] }; INTERFACES_COUNT],
            );
        static MARKS: ConstStaticCell<[[Marks; DATAGRAM_SOCKETS_COUNT]; INTERFACES_COUNT]> =
            ConstStaticCell::new(
                [const { [const { Marks::NEW }; DATAGRAM_SOCKETS_COUNT] }; INTERFACES_COUNT],
            );
        static POOLS: StaticCell<Pools> = StaticCell::new();
        let pools = POOLS.init(Pools::default());
        let memory = BUFFERS.take().iter_mut().zip(MARKS.take());
        for ((pool, stack), (buffers, marks)) in pools.iter_mut().zip(link.stacks()).zip(memory) {
            let sockets = buffers.iter_mut().zip(marks).map(|(buffers, marks)| buffers.socket(marks, stack));
            pool.get_mut().idle.extend(sockets);
        }
        Self { link, pools }
    }
}

impl platform::Datagrams for Datagrams {
    type Socket = Socket;

    async fn bind(&self, local_port: u16, toward: IpAddr) -> Result<Socket, BindError> {
        let found = self.link.toward(toward, &Source::default()).await;
        let (index, stack) = found.ok_or(BindError::NoRoute)?;
        let address = match toward.to_canonical() {
            IpAddr::V4(_) => stack.config_v4().map(|config| config.address.address().into()),
            IpAddr::V6(_) => stack.config_v6().map(|config| config.address.address().into()),
        };
        let pool = self.pools.get(index).ok_or(BindError::NoRoute)?;
        let (address, mut places) = (address.ok_or(BindError::NoRoute)?, pool.borrow_mut());
        if places.ports.contains(&local_port) {
            return Err(BindError::PortTaken);
        }
        let mut udp = places.idle.pop().ok_or(BindError::TooMany)?;
        let here = IpListenEndpoint { addr: Some(address), port: local_port };
        if local_port == 0 || udp.bind(here).is_err() {
            let _ = places.idle.push(udp);
            return Err(BindError::PortTaken);
        }
        // There are as many places as sockets.
        let _ = places.ports.push(local_port);
        Ok(Socket { udp: Some(udp), port: local_port, pool })
    }
}

/// A bound socket.
pub struct Socket {
    /// Empty only while it is dropped.
    udp: Option<UdpSocket<'static>>,
    port: u16,
    pool: &'static RefCell<Pool>,
}

impl Socket {
    fn udp(&self) -> &UdpSocket<'static> {
        self.udp.as_ref().expect("only drop takes the socket")
    }
}

impl platform::DatagramSocket for Socket {
    async fn send_to(&self, datagram: &[u8], remote: SocketAddr) -> Result<(), ConnectError> {
        let to = IpEndpoint { addr: remote.ip().into(), port: remote.port() };
        self.udp().send_to(datagram, to).await.map_err(|_| ConnectError::NoRoute)
    }

    async fn receive_from(&self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        loop {
            // One that does not fit is dropped by the stack.
            if let Ok((count, from)) = self.udp().recv_from(buffer).await {
                return (count, SocketAddr::new(from.endpoint.addr.into(), from.endpoint.port));
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some(mut udp) = self.udp.take() else { return };
        udp.close();
        let mut pool = self.pool.borrow_mut();
        pool.ports.retain(|port| *port != self.port);
        // It came from there: there is a place for it.
        let _ = pool.idle.push(udp);
    }
}
