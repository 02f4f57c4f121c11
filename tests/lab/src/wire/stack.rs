//! All hosts of the virtual Internet in one TCP/IP stack.
//!
//! smoltcp does TCP, one socket per connection, each in a socket set of its own: a packet is given to the connection
//! that it belongs to and to no other, so a thousand idle connections cost nothing but their buffers, which the system
//! only fills with memory when they are used. A host does not need to be configured: a socket comes into being with the
//! first segment for an address and port that somebody serves, and every other one is refused.
//!
//! Whatever passes between two hosts goes through one queue, which is where it is delayed, lost, doubled and overtaken.
//! A packet for a host that is not the appliance comes straight back in: peers can talk to each other.

use super::{
    executor::{Driven, Socket},
    frames::{self, Content, Ends, Packet},
    lease::{self, Lease},
    pcap::Pcap,
    segment::Segment,
};
use crate::net::{Conditions, Link};
use harness::rng::Rng;
use platform::Instant;
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp,
    time::{Duration, Instant as StackInstant},
    wire::{HardwareAddress, IpCidr, IpEndpoint},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    task::{Poll, Waker},
};

/// Octets of each of a connection's two buffers.
const BUFFER_BYTES: usize = 16 << 10;
/// Octets of headers in front of a segment's data: TCP's and those of either IP.
const HEADERS_4_BYTES: usize = 40;
/// See [`HEADERS_4_BYTES`].
const HEADERS_6_BYTES: usize = 60;
/// Octets of a packet at most.
const PACKET_BYTES_MAX: usize = 1_500;
/// A peer that says nothing at all for so long is gone, and is asked whether it is there as often as the second says.
const DEAD_PEER_S: u64 = 120;
const KEEP_ALIVE_S: u64 = 30;
/// Datagrams that wait for their reader; more are lost.
const DATAGRAMS_WAITING_MAX: usize = 4_096;
/// Handshakes that are remembered.
const HANDSHAKES_COUNT_MAX: usize = 4_096;

/// A connection's name: the end that is a host of ours, and the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The host of ours.
    pub local: SocketAddr,
    /// Whom it talks to.
    pub remote: SocketAddr,
}

/// How the appliance accepted a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// Where it listens.
    pub from: SocketAddr,
    /// Who connected.
    pub to: SocketAddr,
    /// The first sequence number that it chose.
    pub sequence: u32,
    /// When.
    pub at: Instant,
}

struct Connection {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    mtu: usize,
    due: Option<Instant>,
    /// Whom to tell that something has changed.
    wakers: Vec<Waker>,
    /// Waits to be handed to who serves the address.
    offered: bool,
    /// Nobody holds it any more: it ends by itself.
    orphan: bool,
}

impl Connection {
    fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }
}

/// A UDP port that is open.
#[derive(Default)]
struct Port {
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    waker: Option<Waker>,
}

/// What is under way: where to, and the packet.
struct UnderWay {
    /// The segment that it leaves on, or `None` for a host of ours.
    segment: Option<usize>,
    packet: Vec<u8>,
}

/// The inside of [`Stack`].
struct State {
    segments: Vec<Segment>,
    /// An interface per packet size.
    interfaces: BTreeMap<usize, Interface>,
    connections: HashMap<Key, Connection>,
    timers: BTreeSet<(Instant, Key)>,
    touched: Vec<Key>,
    served: BTreeSet<SocketAddr>,
    /// Connections that are established and wait for [`Stack::accepted`].
    accepted: VecDeque<Key>,
    acceptor: Option<Waker>,
    ports: HashMap<SocketAddr, Port>,
    links: HashMap<IpAddr, Link>,
    conditions: Conditions,
    rng: Rng,
    under_way: BTreeMap<(Instant, u64), UnderWay>,
    /// When the last packet of a pair of hosts arrives: order is kept unless one is to be overtaken.
    last: HashMap<(IpAddr, IpAddr), Instant>,
    serial: u64,
    next_port: u16,
    /// The appliance's addresses, and on which segment they are.
    appliance: HashMap<IpAddr, usize>,
    /// What the appliance is given when it asks, by segment.
    leases: HashMap<usize, Lease>,
    handshakes: VecDeque<Handshake>,
    pcap: Option<Pcap>,
    counted: Counted,
    now: Instant,
}

/// What went over the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Frames from the appliance.
    pub from_appliance: u64,
    /// Frames to it.
    pub to_appliance: u64,
    /// Packets that were lost on purpose.
    pub lost: u64,
    /// Packets that were overtaken on purpose.
    pub overtaken: u64,
    /// Packets that came twice on purpose.
    pub doubled: u64,
}

/// The stack.
pub struct Stack {
    state: RefCell<State>,
}

impl Stack {
    /// A stack for these segments. `appliance` says which of its addresses is on which of them.
    #[must_use]
    pub fn new(segments: Vec<Segment>, appliance: &[(IpAddr, usize)], seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let next_port = 20_000 + u16::try_from(rng.below(20_000)).unwrap_or(0);
        Self {
            state: RefCell::new(State {
                segments,
                interfaces: BTreeMap::new(),
                connections: HashMap::new(),
                timers: BTreeSet::new(),
                touched: Vec::new(),
                served: BTreeSet::new(),
                accepted: VecDeque::new(),
                acceptor: None,
                ports: HashMap::new(),
                links: HashMap::new(),
                conditions: Conditions::default(),
                rng,
                under_way: BTreeMap::new(),
                last: HashMap::new(),
                serial: 0,
                next_port,
                appliance: appliance.iter().copied().collect(),
                leases: HashMap::new(),
                handshakes: VecDeque::new(),
                pcap: None,
                counted: Counted::default(),
                now: Instant(0),
            }),
        }
    }

    /// Writes every frame to `pcap` from now on; gives back the file that was written before.
    pub fn record(&self, pcap: Option<Pcap>) -> Option<Pcap> {
        std::mem::replace(&mut self.state.borrow_mut().pcap, pcap)
    }

    /// Gives the appliance an address when it asks for one on the segment; `None` ends that.
    pub fn set_lease(&self, segment: usize, lease: Option<Lease>) {
        let leases = &mut self.state.borrow_mut().leases;
        match lease {
            Some(lease) => _ = leases.insert(segment, lease),
            None => _ = leases.remove(&segment),
        }
    }

    /// What went over the wire so far.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.state.borrow().counted
    }

    /// Connections that exist, also those that are ending.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.borrow().connections.len()
    }

    /// How the appliance accepted connections so far, oldest first; the last few thousand.
    #[must_use]
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.state.borrow().handshakes.iter().copied().collect()
    }

    /// Whether a machine is connected to the segment.
    #[must_use]
    pub fn is_connected(&self, segment: usize) -> bool {
        self.state.borrow().segments.get(segment).is_some_and(Segment::is_connected)
    }

    /// Serves `at`: connections to it are accepted.
    pub fn serve(&self, at: SocketAddr) {
        self.state.borrow_mut().served.insert(at);
    }

    /// Refuses connections to `at` from now on.
    pub fn stop_serving(&self, at: SocketAddr) {
        self.state.borrow_mut().served.remove(&at);
    }

    /// The oldest connection that was accepted and not handed out yet.
    #[must_use]
    pub fn accepted(&self) -> Option<Key> {
        self.state.borrow_mut().accepted.pop_front()
    }

    /// Ready when there is such a connection; else `waker` is woken when there is one.
    pub fn wake_when_accepted(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.borrow_mut();
        if !state.accepted.is_empty() {
            return Poll::Ready(());
        }
        state.acceptor = Some(waker.clone());
        Poll::Pending
    }

    /// Lets a connection act on what was done with its socket.
    pub fn touch(&self, key: Key) {
        self.state.borrow_mut().touched.push(key);
    }

    /// How `host` can be reached.
    pub fn set_link(&self, host: IpAddr, link: Link) {
        self.state.borrow_mut().links.insert(host, link);
    }

    /// How the wire behaves.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.state.borrow_mut().conditions = conditions;
    }

    /// Begins a connection.
    #[must_use]
    pub fn connect(&self, from: IpAddr, to: SocketAddr) -> Option<Key> {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let mut key = Key { local: SocketAddr::new(from, 0), remote: to };
        loop {
            state.next_port = if state.next_port >= 60_000 { 20_000 } else { state.next_port + 1 };
            key.local.set_port(state.next_port);
            if !state.connections.contains_key(&key) {
                break;
            }
        }
        let mtu = state.mtu(to);
        let mut connection = connection(mtu);
        let remote = IpEndpoint::from(to);
        let local = IpEndpoint::from(key.local);
        let context = state.interface(mtu).context();
        connection.socket().connect(context, remote, local).ok()?;
        state.connections.insert(key, connection);
        state.touched.push(key);
        Some(key)
    }

    /// Does something with a connection's socket, and lets it act on it. `None` if the connection is gone.
    pub fn with<T>(&self, key: Key, work: impl FnOnce(&mut tcp::Socket<'static>) -> T) -> Option<T> {
        let mut state = self.state.borrow_mut();
        let done = work(state.connections.get_mut(&key)?.socket());
        state.touched.push(key);
        Some(done)
    }

    /// Looks at a connection's socket; wakes `waker` when something may have changed. `None` if it is gone.
    pub fn watch<T>(
        &self,
        key: Key,
        waker: &Waker,
        look: impl FnOnce(&mut tcp::Socket<'static>) -> T,
    ) -> Option<T> {
        let mut state = self.state.borrow_mut();
        let connection = state.connections.get_mut(&key)?;
        if !connection.wakers.iter().any(|known| known.will_wake(waker)) {
            connection.wakers.push(waker.clone());
        }
        Some(look(connection.socket()))
    }

    /// Nobody holds the connection any more: unless it is closing it is reset.
    pub fn let_go(&self, key: Key) {
        let mut state = self.state.borrow_mut();
        let Some(connection) = state.connections.get_mut(&key) else { return };
        connection.orphan = true;
        connection.wakers.clear();
        if connection.socket().may_send() {
            connection.socket().abort();
        }
        state.touched.push(key);
    }

    /// The appliance has lost its power: everything that was under way is lost, every connection ends.
    pub fn power_lost(&self) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.under_way.clear();
        state.last.clear();
        for (key, connection) in &mut state.connections {
            if state.appliance.contains_key(&key.remote.ip()) {
                connection.socket().abort();
                state.touched.push(*key);
            }
        }
    }

    /// Opens a UDP port; 0 means any. `None` if it is taken.
    #[must_use]
    pub fn open_port(&self, at: SocketAddr) -> Option<SocketAddr> {
        let mut state = self.state.borrow_mut();
        let mut at = at;
        while at.port() == 0 || (state.ports.contains_key(&at) && at.port() == state.next_port) {
            state.next_port = if state.next_port >= 60_000 { 20_000 } else { state.next_port + 1 };
            at.set_port(state.next_port);
        }
        if state.ports.contains_key(&at) {
            return None;
        }
        state.ports.insert(at, Port::default());
        Some(at)
    }

    /// Closes a UDP port.
    pub fn close_port(&self, at: SocketAddr) {
        self.state.borrow_mut().ports.remove(&at);
    }

    /// Sends a datagram.
    pub fn send_datagram(&self, ends: Ends, data: &[u8]) {
        if let Some(packet) = frames::datagram(ends, data) {
            self.state.borrow_mut().dispatch(packet);
        }
    }

    /// The next datagram for an open port, or `waker` is woken when there is one.
    pub fn next_datagram(&self, at: SocketAddr, waker: &Waker) -> Option<(SocketAddr, Vec<u8>)> {
        let mut state = self.state.borrow_mut();
        let port = state.ports.get_mut(&at)?;
        let first = port.waiting.pop_front();
        if first.is_none() {
            port.waker = Some(waker.clone());
        }
        first
    }
}

impl Driven for Stack {
    fn drive(&self, now: Instant) -> bool {
        let mut state = self.state.borrow_mut();
        state.now = now;
        let mut busy = false;
        for segment in 0..state.segments.len() {
            let received = state.segments.get_mut(segment).map(Segment::receive).unwrap_or_default();
            for frame in received {
                busy = true;
                state.receive(segment, &frame);
            }
        }
        busy |= state.run();
        state.segments.iter_mut().for_each(Segment::flush);
        busy
    }

    fn due(&self) -> Option<Instant> {
        let state = self.state.borrow();
        let timer = state.timers.first().map(|(at, _)| *at);
        let arrival = state.under_way.first_key_value().map(|((at, _), _)| *at);
        if !state.touched.is_empty() {
            return Some(Instant(0));
        }
        timer.into_iter().chain(arrival).min()
    }

    fn sockets(&self) -> Vec<(Socket, bool)> {
        self.state.borrow().segments.iter().flat_map(Segment::sockets).collect()
    }
}

impl State {
    fn mtu(&self, peer: SocketAddr) -> usize {
        let headers = if peer.is_ipv4() { HEADERS_4_BYTES } else { HEADERS_6_BYTES };
        (self.conditions.segment_bytes_max.clamp(1, PACKET_BYTES_MAX) + headers).min(PACKET_BYTES_MAX)
    }

    fn interface(&mut self, mtu: usize) -> &mut Interface {
        let seed = self.rng.clone().next();
        let now = StackInstant::from_micros(i64::try_from(self.now.0).unwrap_or(i64::MAX));
        self.interfaces.entry(mtu).or_insert_with(|| interface(mtu, seed, now))
    }

    /// A frame from the appliance.
    fn receive(&mut self, segment: usize, frame: &[u8]) {
        self.counted.from_appliance += 1;
        self.record(segment, frame);
        let Some((_, content)) = frames::open(frame) else { return };
        match content {
            Content::WhoHas { asker, target } => {
                let ours = !self.appliance.contains_key(&target) && !asker.is_unspecified();
                let Some(at) = self.segments.get(segment).filter(|_| ours && !self.is_dark(target)) else {
                    return;
                };
                if let Some(answer) = frames::is_here(asker, target, at.guest, at.ours) {
                    self.transmit(segment, &answer);
                }
            }
            Content::Ip(packet) => {
                if let Some(Packet::Udp { ends, data }) = frames::look_into(packet)
                    && ends.to.port() == lease::SERVER_PORT
                {
                    let reply = self.leases.get(&segment).and_then(|lease| lease::answer(data, lease));
                    let Some((reply, at)) = reply.zip(self.segments.get(segment)) else { return };
                    let frame = frames::enclose(at.guest, at.ours, &reply);
                    return self.transmit(segment, &frame);
                }
                if let Some(Packet::Tcp { ends, accepts: Some(sequence), .. }) = frames::look_into(packet) {
                    if self.handshakes.len() >= HANDSHAKES_COUNT_MAX {
                        self.handshakes.pop_front();
                    }
                    let Ends { from, to } = ends;
                    self.handshakes.push_back(Handshake { from, to, sequence, at: self.now });
                }
                self.dispatch(packet.to_vec());
            }
            Content::Other => {}
        }
    }

    fn record(&mut self, segment: usize, frame: &[u8]) {
        if let Some(pcap) = &mut self.pcap
            && pcap.frame(segment, self.now.0, frame).is_err()
        {
            // A full disk ends the recording, not the run.
            self.pcap = None;
        }
    }

    fn transmit(&mut self, segment: usize, frame: &[u8]) {
        self.record(segment, frame);
        self.counted.to_appliance += 1;
        if let Some(segment) = self.segments.get_mut(segment) {
            segment.send(frame);
        }
    }

    fn is_dark(&self, host: IpAddr) -> bool {
        self.links.get(&host) == Some(&Link::Dark)
    }

    /// Puts a packet on its way, under the conditions of the wire.
    fn dispatch(&mut self, packet: Vec<u8>) {
        let Some((from, to)) = frames::look_into(&packet).map(|packet| packet.hosts()) else { return };
        if self.is_dark(from) || self.is_dark(to) || to.is_multicast() {
            return;
        }
        let conditions = self.conditions;
        let mut chance = |per_mille: u16| self.rng.below(1_000) < u64::from(per_mille);
        if chance(conditions.lost_per_mille) {
            self.counted.lost += 1;
            return;
        }
        let overtaken = chance(conditions.overtaken_per_mille);
        let doubled = chance(conditions.doubled_per_mille);
        let segment = self.appliance.get(&to).copied();
        for copy in 0..=u8::from(doubled) {
            let spread = conditions.latency_us_max.saturating_sub(conditions.latency_us_min);
            let latency = conditions.latency_us_min + self.rng.below(spread + 1);
            let mut at = Instant(self.now.0.saturating_add(latency));
            if overtaken {
                // Later than anything that is sent within the next moment.
                at = Instant(at.0.saturating_add(conditions.latency_us_max.max(1_000) * 2));
                self.counted.overtaken += 1;
            } else {
                let last = self.last.entry((from, to)).or_insert(at);
                at = at.max(*last);
                *last = at;
            }
            self.counted.doubled += u64::from(copy);
            self.serial += 1;
            self.under_way.insert((at, self.serial), UnderWay { segment, packet: packet.clone() });
        }
    }

    /// Lets arrive what is due, and lets connections do what they have to.
    fn run(&mut self) -> bool {
        let mut busy = false;
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let UnderWay { segment, packet } = entry.remove();
            busy = true;
            match segment {
                Some(segment) => {
                    let Some(at) = self.segments.get(segment) else { continue };
                    let frame = frames::enclose(at.guest, at.ours, &packet);
                    self.transmit(segment, &frame);
                }
                None => self.arrive(packet),
            }
        }
        while let Some(&(at, key)) = self.timers.first().filter(|(at, _)| *at <= self.now) {
            self.timers.remove(&(at, key));
            busy = true;
            self.turn(key, None);
        }
        for key in std::mem::take(&mut self.touched) {
            busy = true;
            self.turn(key, None);
        }
        busy
    }

    /// A packet has reached a host of ours.
    fn arrive(&mut self, packet: Vec<u8>) {
        match frames::look_into(&packet) {
            Some(Packet::Udp { ends, data }) => {
                if let Some(port) = self.ports.get_mut(&ends.to)
                    && port.waiting.len() < DATAGRAMS_WAITING_MAX
                {
                    port.waiting.push_back((ends.from, data.to_vec()));
                    if let Some(waker) = port.waker.take() {
                        waker.wake();
                    }
                }
            }
            Some(Packet::Tcp { ends, opens, .. }) => {
                let key = Key { local: ends.to, remote: ends.from };
                let open = self.served.contains(&key.local)
                    && self.links.get(&key.local.ip()).is_none_or(|link| *link == Link::Up);
                if opens && open && !self.connections.contains_key(&key) {
                    let mut connection = connection(self.mtu(key.remote));
                    connection.offered = true;
                    if connection.socket().listen(IpEndpoint::from(key.local)).is_ok() {
                        self.connections.insert(key, connection);
                    }
                }
                self.turn(key, Some(packet));
            }
            _ => {}
        }
    }

    /// One turn of a connection, with or without a packet for it. Without a connection, a packet is refused.
    fn turn(&mut self, key: Key, packet: Option<Vec<u8>>) {
        let mtu =
            self.connections.get(&key).map_or_else(|| self.mtu(key.remote), |connection| connection.mtu);
        let at = StackInstant::from_micros(i64::try_from(self.now.0).unwrap_or(i64::MAX));
        let mut wire = Wire { arriving: packet, leaving: Vec::new(), mtu };
        self.interface(mtu);
        let Some(interface) = self.interfaces.get_mut(&mtu) else { return };
        let Some(connection) = self.connections.get_mut(&key) else {
            let mut nobody = SocketSet::new(Vec::new());
            interface.poll(at, &mut wire, &mut nobody);
            return wire.leaving.into_iter().for_each(|packet| self.dispatch(packet));
        };
        interface.poll(at, &mut wire, &mut connection.sockets);
        let due = interface.poll_at(at, &connection.sockets);
        let due = due
            .map(|due| Instant(u64::try_from(due.total_micros()).unwrap_or(0)).max(Instant(self.now.0 + 1)));
        if connection.due != due {
            if let Some(before) = connection.due {
                self.timers.remove(&(before, key));
            }
            connection.due = due;
        }
        if let Some(due) = due {
            self.timers.insert((due, key));
        }
        let state = connection.socket().state();
        if connection.offered {
            match state {
                tcp::State::SynReceived => {}
                // The client took it back before it was established.
                tcp::State::Listen | tcp::State::Closed => connection.orphan = true,
                _ => {
                    connection.offered = false;
                    self.accepted.push_back(key);
                    if let Some(waker) = self.acceptor.take() {
                        waker.wake();
                    }
                }
            }
        }
        connection.wakers.drain(..).for_each(Waker::wake);
        let over = matches!(state, tcp::State::Closed | tcp::State::TimeWait | tcp::State::Listen);
        if connection.orphan && over {
            if let Some(due) = connection.due {
                self.timers.remove(&(due, key));
            }
            self.connections.remove(&key);
        }
        wire.leaving.into_iter().for_each(|packet| self.dispatch(packet));
    }
}

fn connection(mtu: usize) -> Connection {
    let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
    let mut socket = tcp::Socket::new(buffer(), buffer());
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket.set_timeout(Some(Duration::from_secs(DEAD_PEER_S)));
    socket.set_keep_alive(Some(Duration::from_secs(KEEP_ALIVE_S)));
    let mut sockets = SocketSet::new(Vec::with_capacity(1));
    let handle = sockets.add(socket);
    Connection { sockets, handle, mtu, due: None, wakers: Vec::new(), offered: false, orphan: false }
}

fn interface(mtu: usize, seed: u64, now: StackInstant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut wire = Wire { arriving: None, leaving: Vec::new(), mtu };
    let mut interface = Interface::new(config, &mut wire, now);
    // Any address is ours; the addresses given are only what routes need to name.
    let (four, six) = (Ipv4Addr::new(192, 0, 2, 254), Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0xfe));
    interface.update_ip_addrs(|addresses| {
        _ = addresses.push(IpCidr::new(IpAddr::from(four).into(), 32));
        _ = addresses.push(IpCidr::new(IpAddr::from(six).into(), 128));
    });
    interface.set_any_ip(true);
    _ = interface.routes_mut().add_default_ipv4_route(four);
    _ = interface.routes_mut().add_default_ipv6_route(six);
    interface
}

/// What the stack sees of the wire: at most one packet arrives per turn.
struct Wire {
    arriving: Option<Vec<u8>>,
    leaving: Vec<Vec<u8>>,
    mtu: usize,
}

/// A packet that arrives.
struct Arriving(Vec<u8>);

/// The right to send one.
struct Leaving<'w>(&'w mut Vec<Vec<u8>>);

impl Device for Wire {
    type RxToken<'a> = Arriving;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _: StackInstant) -> Option<(Arriving, Leaving<'_>)> {
        self.arriving.take().map(|packet| (Arriving(packet), Leaving(&mut self.leaving)))
    }

    fn transmit(&mut self, _: StackInstant) -> Option<Leaving<'_>> {
        Some(Leaving(&mut self.leaving))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

impl RxToken for Arriving {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, work: F) -> R {
        work(&self.0)
    }
}

impl TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, work: F) -> R {
        let mut packet = vec![0; length];
        let done = work(&mut packet);
        self.0.push(packet);
        done
    }
}
