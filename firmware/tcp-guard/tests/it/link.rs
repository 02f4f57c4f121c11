//! Two TCP/IP stacks and a bad wire between them; the first may stand behind a guard.

use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;
use tcp_guard::Guard;

/// Numbers that follow from a seed (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// Frames that came and that go.
#[derive(Default)]
pub struct Card {
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
}

pub struct Frame(Vec<u8>);

impl RxToken for Frame {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

pub struct Room<'c>(&'c mut VecDeque<Vec<u8>>);

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Frame;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Frame, Room<'_>)> {
        Some((Frame(self.received.pop_front()?), Room(&mut self.sent)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Room<'_>> {
        Some(Room(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.max_transmission_unit = 1_514;
        capabilities.medium = Medium::Ethernet;
        capabilities
    }
}

pub struct Host {
    pub interface: Interface,
    pub sockets: SocketSet<'static>,
    pub card: Card,
}

impl Host {
    fn new(number: u8, seed: u64) -> Self {
        let mut card = Card::default();
        let hardware = HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, number]));
        let mut config = Config::new(hardware);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut card, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(v4(number), 24));
            let _ = addresses.push(IpCidr::new(v6(number), 64));
        });
        Self { interface, sockets: SocketSet::new(Vec::new()), card }
    }

    pub fn socket(&mut self) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 16 * 1_024]);
        self.sockets.add(tcp::Socket::new(buffer(), buffer()))
    }

    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    pub fn listen(&mut self, port: u16) -> SocketHandle {
        let handle = self.socket();
        self.tcp(handle).listen(port).expect("the port is free");
        handle
    }

    pub fn connect(&mut self, to: IpAddress, port: u16, from_port: u16) -> SocketHandle {
        let handle = self.socket();
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.connect(self.interface.context(), (to, port), from_port).expect("it may");
        handle
    }
}

pub fn v4(number: u8) -> IpAddress {
    IpAddress::v4(10, 0, 0, number)
}

pub fn v6(number: u8) -> IpAddress {
    IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number))
}

/// The gateway and somebody else, and what is between them.
pub struct Link {
    /// Behind the guard.
    pub near: Host,
    pub far: Host,
    pub guard: Option<Guard>,
    pub now: Instant,
    random: Random,
    /// Of a thousand frames so many are lost.
    pub lost_per_mille: u64,
    /// Most milliseconds that a frame is under way: those of more than one overtake each other.
    pub delay_ms_max: u64,
    /// When it arrives, whether at the near host, what.
    under_way: Vec<(Instant, bool, Vec<u8>)>,
    /// Frames as the wire had them: whether the near host sent it, what.
    pub wire: Vec<(bool, Vec<u8>)>,
    /// Frames as the near host got them.
    pub got: Vec<Vec<u8>>,
}

impl Link {
    pub fn new(seed: u64, guard: Option<Guard>) -> Self {
        Self {
            near: Host::new(1, seed),
            far: Host::new(2, seed ^ 0x5555),
            guard,
            now: Instant::ZERO,
            random: Random(seed),
            lost_per_mille: 0,
            delay_ms_max: 1,
            under_way: Vec::new(),
            wire: Vec::new(),
            got: Vec::new(),
        }
    }

    /// Lets one millisecond pass.
    pub fn step(&mut self) {
        for at_near in [true, false] {
            let host = if at_near { &mut self.near } else { &mut self.far };
            while host.interface.poll(self.now, &mut host.card, &mut host.sockets)
                == PollResult::SocketStateChanged
            {}
            for mut frame in host.card.sent.drain(..) {
                if at_near && let Some(guard) = &self.guard {
                    guard.outgoing(&mut frame);
                }
                self.wire.push((at_near, frame.clone()));
                if self.random.below(1_000) < self.lost_per_mille {
                    continue;
                }
                let delay = 1 + self.random.below(self.delay_ms_max);
                self.under_way.push((self.now + Duration::from_millis(delay), !at_near, frame));
            }
        }
        self.now += Duration::from_millis(1);
        let (arrived, rest): (Vec<_>, Vec<_>) =
            self.under_way.drain(..).partition(|(at, ..)| *at <= self.now);
        self.under_way = rest;
        for (_, at_near, mut frame) in arrived {
            if !at_near {
                self.far.card.received.push_back(frame);
                continue;
            }
            if let Some(guard) = &self.guard {
                guard.incoming(&mut frame);
            }
            self.got.push(frame.clone());
            self.near.card.received.push_back(frame);
        }
    }

    /// Lets time pass until `done`.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        for _ in 0..2_000_000 {
            self.step();
            if done(self) {
                return;
            }
        }
        panic!("it never came about: {what}");
    }
}

/// The TCP header of an Ethernet frame of these tests, if it is one.
pub fn tcp_of(frame: &[u8]) -> Option<&[u8]> {
    match frame.get(12..14)? {
        [0x08, 0x00] if frame[23] == 6 => frame.get(34..),
        [0x86, 0xdd] if frame[20] == 6 => frame.get(54..),
        _ => None,
    }
}

pub fn number(header: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(header[at..at + 4].try_into().expect("four octets"))
}
