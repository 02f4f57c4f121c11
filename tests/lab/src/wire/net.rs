//! The network of the real image: [`Net`] over frames, in real time.

use super::{
    executor::Executor,
    frames::{Ends, Mac},
    lease::Lease,
    pcap::Pcap,
    segment::Segment,
    stack::{Counted, Handshake, Key, Stack},
};
use crate::{
    net::{Conditions, ConnectError, Connection, Datagrams, Handler, Instant, Later, Link, Net, StreamError},
    plan,
};
use anyhow::Result;
use smoltcp::socket::tcp::{RecvError, State};
use std::{
    cell::RefCell,
    collections::HashMap,
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    pin::pin,
    rc::Rc,
    task::Poll,
};

/// How long a connection may take to come about.
const CONNECT_S: u64 = 75;
/// How long an end mark may take to be acknowledged.
const CLOSE_S: u64 = 10;
/// The names of the segments in recordings.
const NAMES: [&str; 2] = ["internet", "inside"];

/// What all handles share.
struct Inner {
    executor: Executor,
    stack: Rc<Stack>,
    handlers: RefCell<HashMap<SocketAddr, Handler>>,
    cards: Vec<(PathBuf, Mac)>,
}

/// The network. Cloning gives another handle to it.
#[derive(Clone)]
pub struct WireNet {
    inner: Rc<Inner>,
}

impl WireNet {
    /// A network with two segments, whose sockets are in `folder`.
    ///
    /// # Errors
    /// When the sockets cannot be made.
    pub fn new(executor: &Executor, folder: &Path, seed: u64) -> Result<Self> {
        let mut segments = Vec::new();
        for number in 0..2_u8 {
            segments.push(Segment::new(&folder.join(format!("net{number}")), number)?);
        }
        let cards = segments.iter().map(|segment| (segment.path().to_path_buf(), segment.guest)).collect();
        let appliance = [(plan::GATEWAY, 0), (plan::GATEWAY_6, 0), (plan::GATEWAY_INSIDE, 1)];
        let stack = Rc::new(Stack::new(segments, &appliance, seed));
        // A blank appliance asks for an address, and is given the one at which everybody looks for it.
        if let (IpAddr::V4(address), IpAddr::V4(router), IpAddr::V4(name_server)) =
            (plan::GATEWAY, plan::ROUTER, plan::NAME_SERVER)
        {
            let prefix = plan::PREFIX_LENGTH;
            stack.set_lease(0, Some(Lease { address, prefix, router, name_server }));
        }
        executor.attach(Rc::clone(&stack) as _);
        Ok(Self {
            inner: Rc::new(Inner { executor: executor.clone(), stack, handlers: RefCell::default(), cards }),
        })
    }

    /// Where the emulator connects its network cards, and their addresses.
    #[must_use]
    pub fn cards(&self) -> Vec<(PathBuf, Mac)> {
        self.inner.cards.clone()
    }

    /// Writes all frames to `path` from now on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record(&self, path: &Path) -> Result<()> {
        self.inner.stack.record(Some(Pcap::create(path, &NAMES)?));
        Ok(())
    }

    /// Ends the recording. Returns where it is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end_recording(&self) -> Result<Option<PathBuf>> {
        let pcap = self.inner.stack.record(None);
        Ok(pcap.map(Pcap::finish).transpose()?.map(|(path, _)| path))
    }

    /// How the appliance accepted connections: what an observer on the path sees.
    #[must_use]
    pub fn handshakes(&self) -> Vec<Handshake> {
        self.inner.stack.handshakes()
    }

    /// What went over the wire.
    #[must_use]
    pub fn counted(&self) -> Counted {
        self.inner.stack.counted()
    }

    /// Connections that exist.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.inner.stack.connections()
    }

    /// The appliance has lost its power.
    pub fn power_lost(&self) {
        self.inner.stack.power_lost();
    }

    /// Starts the task that hands accepted connections to who serves them; ends with `self`.
    pub fn start(&self) {
        let net = self.clone();
        self.inner.executor.spawn(async move {
            loop {
                net.offer();
                poll_fn(|context| net.inner.stack.wake_when_accepted(context.waker())).await;
            }
        });
    }

    fn offer(&self) {
        while let Some(key) = self.inner.stack.accepted() {
            let stream = Stream { net: self.clone(), key };
            let handler = self.inner.handlers.borrow().get(&key.local).cloned();
            // Without one the stream is dropped here, which resets the connection.
            if let Some(handler) = handler {
                self.inner.executor.spawn(handler(Box::new(stream)));
            }
        }
    }

    /// The result, or `None` if it takes longer than `seconds`.
    pub async fn within<T>(&self, seconds: u64, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut end) = (pin!(work), pin!(self.sleep_until(self.now().plus_s(seconds))));
        poll_fn(|context| {
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            end.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}

impl Net for WireNet {
    fn now(&self) -> Instant {
        self.inner.executor.now()
    }

    fn sleep_until(&self, at: Instant) -> Later<'static, ()> {
        let executor = self.inner.executor.clone();
        Box::pin(async move { executor.wait_until(at).await })
    }

    fn spawn(&self, _name: String, task: Later<'static, ()>) {
        self.inner.executor.spawn(task);
    }

    fn listen(&self, at: SocketAddr, handler: Handler) {
        self.inner.handlers.borrow_mut().insert(at, handler);
        self.inner.stack.serve(at);
    }

    fn unlisten(&self, at: SocketAddr) {
        self.inner.stack.stop_serving(at);
        self.inner.handlers.borrow_mut().remove(&at);
    }

    fn connect(&self, from: IpAddr, to: SocketAddr) -> Later<'_, Result<Box<dyn Connection>, ConnectError>> {
        Box::pin(async move {
            let key = self.inner.stack.connect(from, to).ok_or(ConnectError::NoRoute)?;
            let stream = Stream { net: self.clone(), key };
            let established = self.within(
                CONNECT_S,
                stream.state_is(|state| !matches!(state, State::SynSent | State::SynReceived)),
            );
            match established.await {
                None => Err(ConnectError::Timeout),
                Some(None | Some(State::Closed)) => Err(ConnectError::Refused),
                Some(Some(_)) => Ok(Box::new(stream) as _),
            }
        })
    }

    fn bind(&self, at: SocketAddr) -> Result<Box<dyn Datagrams>, ConnectError> {
        let at = self.inner.stack.open_port(at).ok_or(ConnectError::Refused)?;
        Ok(Box::new(Port { stack: Rc::clone(&self.inner.stack), at }))
    }

    fn set_link(&self, host: IpAddr, link: Link) {
        self.inner.stack.set_link(host, link);
    }

    fn set_conditions(&self, conditions: Conditions) {
        self.inner.stack.set_conditions(conditions);
    }
}

/// One end of a connection.
struct Stream {
    net: WireNet,
    key: Key,
}

impl Stream {
    /// Waits until the state is one of those that `wanted` names; `None` if the connection is gone.
    async fn state_is(&self, wanted: impl Fn(State) -> bool) -> Option<State> {
        poll_fn(|context| {
            match self.net.inner.stack.watch(self.key, context.waker(), |socket| socket.state()) {
                Some(state) if !wanted(state) => Poll::Pending,
                state => Poll::Ready(state),
            }
        })
        .await
    }
}

impl Connection for Stream {
    fn local(&self) -> SocketAddr {
        self.key.local
    }

    fn remote(&self) -> SocketAddr {
        self.key.remote
    }

    fn read<'a>(&'a mut self, out: &'a mut [u8]) -> Later<'a, Result<usize, StreamError>> {
        Box::pin(poll_fn(move |context| {
            let stack = &self.net.inner.stack;
            let read = stack.watch(self.key, context.waker(), |socket| match socket.recv_slice(out) {
                Ok(0) if socket.state() == State::Closed => Some(Err(StreamError::Reset)),
                Ok(0) => None,
                Ok(count) => Some(Ok(count)),
                Err(RecvError::Finished) => Some(Ok(0)),
                Err(RecvError::InvalidState) => Some(Err(StreamError::Reset)),
            });
            match read {
                None => Poll::Ready(Err(StreamError::Reset)),
                Some(None) => Poll::Pending,
                Some(Some(read)) => {
                    // There is room again, which the peer should hear of.
                    stack.touch(self.key);
                    Poll::Ready(read)
                }
            }
        }))
    }

    fn write<'a>(&'a mut self, data: &'a [u8]) -> Later<'a, Result<usize, StreamError>> {
        Box::pin(poll_fn(move |context| {
            let stack = &self.net.inner.stack;
            let written = stack.watch(self.key, context.waker(), |socket| match socket.send_slice(data) {
                Ok(0) if !data.is_empty() => None,
                Ok(count) => Some(Ok(count)),
                Err(_) => Some(Err(StreamError::Reset)),
            });
            match written {
                None => Poll::Ready(Err(StreamError::Reset)),
                Some(None) => Poll::Pending,
                Some(Some(written)) => {
                    stack.touch(self.key);
                    Poll::Ready(written)
                }
            }
        }))
    }

    fn close(&mut self) -> Later<'_, ()> {
        Box::pin(async move {
            self.net.inner.stack.with(self.key, |socket| socket.close());
            let acknowledged = |state| matches!(state, State::FinWait2 | State::TimeWait | State::Closed);
            self.net.within(CLOSE_S, self.state_is(acknowledged)).await;
        })
    }

    fn abort(&mut self) {
        self.net.inner.stack.with(self.key, |socket| socket.abort());
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.net.inner.stack.let_go(self.key);
    }
}

/// A UDP socket.
struct Port {
    stack: Rc<Stack>,
    at: SocketAddr,
}

impl Datagrams for Port {
    fn local(&self) -> SocketAddr {
        self.at
    }

    fn send<'a>(&'a mut self, data: &'a [u8], to: SocketAddr) -> Later<'a, ()> {
        self.send_as(data, self.at, to)
    }

    fn receive<'a>(&'a mut self, out: &'a mut [u8]) -> Later<'a, (usize, SocketAddr)> {
        Box::pin(poll_fn(move |context| match self.stack.next_datagram(self.at, context.waker()) {
            None => Poll::Pending,
            Some((from, data)) => {
                let count = data.len().min(out.len());
                out[..count].copy_from_slice(&data[..count]);
                Poll::Ready((count, from))
            }
        }))
    }

    fn send_as<'a>(&'a mut self, data: &'a [u8], from: SocketAddr, to: SocketAddr) -> Later<'a, ()> {
        self.stack.send_datagram(Ends { from, to }, data);
        Box::pin(std::future::ready(()))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.stack.close_port(self.at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness::{process::ScratchDir, rng::Rng};
    use std::cell::Cell;

    fn network(seed: u64) -> (Executor, WireNet, ScratchDir) {
        let scratch = ScratchDir::new().expect("temporary folder");
        let executor = Executor::new().expect("sockets");
        let net = WireNet::new(&executor, scratch.path(), seed).expect("sockets");
        net.start();
        (executor, net, scratch)
    }

    /// Serves an echo at `at`.
    fn serve_echo(net: &WireNet, at: SocketAddr) {
        net.listen(
            at,
            Rc::new(|mut stream| {
                Box::pin(async move {
                    let mut buffer = [0; 700];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        let mut rest = &buffer[..count];
                        while !rest.is_empty() {
                            let Ok(written) = stream.write(rest).await else { return };
                            rest = &rest[written..];
                        }
                    }
                    stream.close().await;
                })
            }),
        );
    }

    async fn is_echoed(net: &WireNet, from: IpAddr, at: SocketAddr, data: &[u8]) -> bool {
        let Ok(mut stream) = net.connect(from, at).await else { return false };
        let (mut sent, mut got) = (0, Vec::<u8>::new());
        let mut buffer = [0; 900];
        while got.len() < data.len() {
            if sent < data.len() {
                let end = (sent + 4_000).min(data.len());
                let Ok(count) = stream.write(&data[sent..end]).await else { return false };
                sent += count;
            }
            let Ok(count @ 1..) = stream.read(&mut buffer).await else { return false };
            got.extend(&buffer[..count]);
        }
        stream.close().await;
        got == data
    }

    #[test]
    fn streams_between_any_addresses_stay_whole_on_a_bad_wire() {
        let (executor, net, _scratch) = network(7);
        net.set_conditions(Conditions {
            latency_us_min: 100,
            latency_us_max: 3_000,
            segment_bytes_max: 333,
            lost_per_mille: 30,
            overtaken_per_mille: 50,
            doubled_per_mille: 50,
        });
        let data = Rng::new(8).octets(20_000);
        for (from, at) in [("198.51.100.7", "203.0.113.9:2525"), ("2001:db8:7::1", "[2001:db8:9::1]:25")] {
            let at = at.parse().expect("address");
            serve_echo(&net, at);
            let echoed = is_echoed(&net, from.parse().expect("address"), at, &data);
            assert!(executor.block_on(echoed), "{from} and {at}");
        }
        let counted = net.counted();
        assert!(counted.lost > 0 && counted.overtaken > 0 && counted.doubled > 0, "{counted:?}");
    }

    #[test]
    fn a_thousand_connections_at_once() {
        let (executor, net, _scratch) = network(9);
        let at: SocketAddr = "203.0.113.9:25".parse().expect("address");
        serve_echo(&net, at);
        let done = Rc::new(Cell::new(0));
        for n in 0..1_000_u16 {
            let (net, done) = (net.clone(), Rc::clone(&done));
            let [high, low] = n.to_be_bytes();
            let from = IpAddr::from([198, 18, high, low]);
            executor.spawn(async move {
                if is_echoed(&net, from, at, &[high, low]).await {
                    done.set(done.get() + 1);
                }
            });
        }
        executor.block_on(async {
            while done.get() < 1_000 {
                net.sleep_until(net.now().plus_ms(10)).await;
            }
        });
    }

    #[test]
    fn refused_and_dark_hosts_and_ports_that_nobody_serves() {
        let (executor, net, _scratch) = network(10);
        let (served, other): (SocketAddr, SocketAddr) =
            ("203.0.113.9:25".parse().expect("address"), "203.0.113.9:26".parse().expect("address"));
        let from = "198.51.100.7".parse().expect("address");
        serve_echo(&net, served);
        executor.block_on(async {
            assert!(net.connect(from, served).await.is_ok());
            assert_eq!(net.connect(from, other).await.err(), Some(ConnectError::Refused));
            net.set_link(served.ip(), Link::Refusing);
            assert_eq!(net.connect(from, served).await.err(), Some(ConnectError::Refused));
            net.set_link(served.ip(), Link::Dark);
            assert!(net.within(3, net.connect(from, served)).await.is_none());
            net.set_link(served.ip(), Link::Up);
            assert!(net.connect(from, served).await.is_ok());
        });
    }

    #[test]
    fn connections_that_are_dropped_leave_nothing_behind() {
        let (executor, net, _scratch) = network(11);
        let at: SocketAddr = "203.0.113.9:25".parse().expect("address");
        serve_echo(&net, at);
        executor.block_on(async {
            for _ in 0..20 {
                let stream = net.connect("198.51.100.7".parse().expect("address"), at).await;
                drop(stream.expect("served"));
            }
            let gone = async {
                while net.connections() > 0 {
                    net.sleep_until(net.now().plus_ms(10)).await;
                }
            };
            assert!(net.within(20, gone).await.is_some(), "{} are left", net.connections());
        });
    }

    #[test]
    fn datagrams_find_their_port_also_under_a_false_name() {
        let (executor, net, _scratch) = network(12);
        let at: SocketAddr = "203.0.113.53:53".parse().expect("address");
        let mut server = net.bind(at).expect("free");
        assert_eq!(net.bind(at).err(), Some(ConnectError::Refused));
        let mut client = net.bind("198.51.100.7:0".parse().expect("address")).expect("free");
        let false_name: SocketAddr = "192.0.2.66:66".parse().expect("address");
        executor.block_on(async {
            let mut buffer = [0; 4];
            client.send(b"question", at).await;
            assert_eq!(server.receive(&mut buffer).await, (4, client.local()));
            assert_eq!(&buffer, b"ques");
            server.send_as(b"lie", false_name, client.local()).await;
            assert_eq!(client.receive(&mut buffer).await, (3, false_name));
        });
    }
}
