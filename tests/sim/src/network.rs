//! A network of fake hosts: byte streams with latency, cut into random segments, over links that can go dark.
//!
//! A connection is two pipes. What is written becomes segments of random size that arrive after the latency of
//! the moment, in order; at most [`WINDOW_BYTES`] are under way. Nothing is lost on a link that is up. A dark
//! link delivers nothing until it is up again, as TCP does while it retransmits.

use crate::datagrams::Inbox;
use crate::executor::{Executor, Group, Sleep};
use crate::names::name_server;
use crate::random::Random;
use dns::Data;
use embedded_io_async::{ErrorType, Read, Write};
use platform::{ConnectError, Instant, Stream, StreamError};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// Octets that one direction of a connection holds before its writer waits.
pub const WINDOW_BYTES: usize = 64 * 1024;
const CONNECT_TIMEOUT_MS: u64 = 30_000;
const CLOSE_TIMEOUT_MS: u64 = 10_000;

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

/// How streams behave.
#[derive(Clone, Copy, Debug)]
pub struct Conditions {
    /// Least time a segment is under way, in microseconds.
    pub latency_us_min: u64,
    /// Most time a segment is under way, in microseconds.
    pub latency_us_max: u64,
    /// Most octets in one segment; every segment has a random size from 1 to this.
    pub segment_bytes_max: usize,
}

impl Default for Conditions {
    fn default() -> Self {
        Self { latency_us_min: 200, latency_us_max: 2_000, segment_bytes_max: 1_460 }
    }
}

type Handler = Rc<dyn Fn(SimStream) -> Pin<Box<dyn Future<Output = ()>>>>;

struct State {
    listeners: HashMap<SocketAddr, (Group, Handler)>,
    links: HashMap<IpAddr, Link>,
    names: HashMap<String, Vec<IpAddr>>,
    records: HashMap<String, Vec<Data>>,
    questions: u64,
    name_service_up: bool,
    conditions: Conditions,
    random: Random,
    dark_waiters: Vec<Waker>,
    next_port: u16,
    connections: u64,
    /// When somebody tried to connect to a host.
    attempts: HashMap<IpAddr, Vec<Instant>>,
    /// Writes and octets by the host that wrote.
    written: HashMap<IpAddr, (u64, u64)>,
    inboxes: HashMap<SocketAddr, Rc<RefCell<Inbox>>>,
}

/// The network; cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Network {
    executor: Executor,
    state: Rc<RefCell<State>>,
}

impl Network {
    /// A network without hosts.
    #[must_use]
    pub fn new(executor: &Executor, seed: u64) -> Self {
        Self {
            executor: executor.clone(),
            state: Rc::new(RefCell::new(State {
                listeners: HashMap::new(),
                links: HashMap::new(),
                names: HashMap::new(),
                records: HashMap::new(),
                questions: 0,
                name_service_up: true,
                conditions: Conditions::default(),
                random: Random::new(seed),
                dark_waiters: Vec::new(),
                next_port: 40_000,
                connections: 0,
                attempts: HashMap::new(),
                written: HashMap::new(),
                inboxes: HashMap::new(),
            })),
        }
    }

    /// Changes how streams behave from now on.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.state.borrow_mut().conditions = conditions;
    }

    /// Changes how `host` can be reached.
    pub fn set_link(&self, host: IpAddr, link: Link) {
        let waiters = {
            let mut state = self.state.borrow_mut();
            state.links.insert(host, link);
            std::mem::take(&mut state.dark_waiters)
        };
        for waker in waiters {
            waker.wake();
        }
    }

    /// Gives `name` its addresses; no addresses means that the name does not exist.
    pub fn set_name(&self, name: &str, addresses: &[IpAddr]) {
        self.state.borrow_mut().names.insert(name.to_ascii_lowercase(), addresses.to_vec());
    }

    /// Whether the name service answers.
    pub fn set_name_service(&self, up: bool) {
        self.state.borrow_mut().name_service_up = up;
    }

    /// Questions that the name server has had.
    #[must_use]
    pub fn questions(&self) -> u64 {
        self.state.borrow().questions
    }

    pub(crate) fn note_question(&self) {
        self.state.borrow_mut().questions += 1;
    }

    pub(crate) fn put_records(&self, name: &str, records: Vec<Data>) {
        self.state.borrow_mut().records.insert(name.to_ascii_lowercase(), records);
    }

    /// All records of a name: `None` while the name service does not answer.
    pub(crate) fn name_data(&self, name: &str) -> Option<Vec<Data>> {
        let state = self.state.borrow();
        if !state.name_service_up {
            return None;
        }
        let addresses = state.names.get(name).into_iter().flatten().map(|address| match address {
            IpAddr::V4(address) => Data::A(*address),
            IpAddr::V6(address) => Data::Aaaa(*address),
        });
        Some(addresses.chain(state.records.get(name).into_iter().flatten().cloned()).collect())
    }

    /// Connections that came about so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.borrow().connections
    }

    /// When connections to `host` were begun, whatever came of them.
    #[must_use]
    pub fn attempts(&self, host: IpAddr) -> Vec<Instant> {
        self.state.borrow().attempts.get(&host).cloned().unwrap_or_default()
    }

    /// How often `host` wrote to a stream, and how many octets in all.
    #[must_use]
    pub fn written(&self, host: IpAddr) -> (u64, u64) {
        self.state.borrow().written.get(&host).copied().unwrap_or_default()
    }

    /// Serves connections to `address`: each runs `handler` as a task of `group`.
    pub fn listen<F, Fut>(&self, group: Group, address: SocketAddr, handler: F)
    where
        F: Fn(SimStream) -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let handler: Handler = Rc::new(move |stream| Box::pin(handler(stream)));
        self.state.borrow_mut().listeners.insert(address, (group, handler));
    }

    /// Stops serving `address`.
    pub fn unlisten(&self, address: SocketAddr) {
        self.state.borrow_mut().listeners.remove(&address);
    }

    /// Stops serving everything that tasks of `group` served.
    pub fn unlisten_group(&self, group: Group) {
        self.state.borrow_mut().listeners.retain(|_, (g, _)| *g != group);
    }

    /// Connects from the host `from` to `to`.
    ///
    /// # Errors
    /// As a TCP stack would report it; a dark link costs the full time-out.
    pub async fn connect(&self, from: IpAddr, to: SocketAddr) -> Result<SimStream, ConnectError> {
        let now = self.executor.now();
        self.state.borrow_mut().attempts.entry(to.ip()).or_default().push(now);
        if self.link(from) == Link::Dark || self.link(to.ip()) == Link::Dark {
            self.executor.sleep_ms(CONNECT_TIMEOUT_MS).await;
            return Err(ConnectError::Timeout);
        }
        let round_trip = self.latency_us() + self.latency_us();
        self.executor.sleep_until(Instant(self.executor.now().0 + round_trip)).await;
        let listener = match self.link(to.ip()) {
            Link::Up => self.state.borrow().listeners.get(&to).cloned(),
            Link::Refusing | Link::Dark => None,
        };
        let listener = listener.or_else(|| self.name_listener(to));
        let Some((group, handler)) = listener else { return Err(ConnectError::Refused) };
        let here = {
            let mut state = self.state.borrow_mut();
            state.connections += 1;
            state.next_port = state.next_port.checked_add(1).unwrap_or(40_000);
            SocketAddr::new(from, state.next_port)
        };
        let (out, back) = (Rc::new(RefCell::new(Pipe::default())), Rc::new(RefCell::new(Pipe::default())));
        let ends = |read: &Rc<RefCell<Pipe>>, write: &Rc<RefCell<Pipe>>, local, remote| SimStream {
            network: self.clone(),
            local,
            remote,
            read: read.clone(),
            write: write.clone(),
            timer: None,
            traffic: Rc::default(),
            closed: Cell::new(false),
        };
        let near = ends(&back, &out, here, to);
        let far = ends(&out, &back, to, here);
        self.executor.spawn(group, format!("connection {here} to {to}"), handler(far));
        Ok(near)
    }

    /// Ports on which `host` waits for datagrams: what somebody on its wire sees.
    #[must_use]
    pub fn datagram_ports(&self, host: IpAddr) -> Vec<u16> {
        let state = self.state.borrow();
        let mut ports: Vec<u16> =
            state.inboxes.keys().filter(|at| at.ip() == host).map(SocketAddr::port).collect();
        ports.sort_unstable();
        ports
    }

    /// The name server's handler, unless it is down: it needs no task until somebody connects.
    fn name_listener(&self, to: SocketAddr) -> Option<(Group, Handler)> {
        let here =
            to == name_server() && self.state.borrow().name_service_up && self.link(to.ip()) == Link::Up;
        let network = self.clone();
        here.then(|| -> (Group, Handler) {
            (Group::Outside, Rc::new(move |stream| Box::pin(network.clone().serve_names(stream))))
        })
    }

    pub(crate) fn executor(&self) -> &Executor {
        &self.executor
    }

    /// Puts an inbox at an address, if there is none yet.
    pub(crate) fn add_inbox(&self, local: SocketAddr, inbox: &Rc<RefCell<Inbox>>) -> bool {
        let mut state = self.state.borrow_mut();
        let free = !state.inboxes.contains_key(&local);
        if free {
            state.inboxes.insert(local, inbox.clone());
        }
        free
    }

    pub(crate) fn inbox(&self, local: SocketAddr) -> Option<Rc<RefCell<Inbox>>> {
        self.state.borrow().inboxes.get(&local).cloned()
    }

    pub(crate) fn remove_inbox(&self, local: SocketAddr) {
        self.state.borrow_mut().inboxes.remove(&local);
    }

    pub(crate) fn link(&self, host: IpAddr) -> Link {
        self.state.borrow().links.get(&host).copied().unwrap_or(Link::Up)
    }

    pub(crate) fn latency_us(&self) -> u64 {
        let mut state = self.state.borrow_mut();
        let Conditions { latency_us_min, latency_us_max, .. } = state.conditions;
        state.random.between(latency_us_min, latency_us_max)
    }

    fn segment_bytes(&self) -> usize {
        let mut state = self.state.borrow_mut();
        let most = state.conditions.segment_bytes_max.max(1) as u64;
        // Mostly full segments, as on a real wire; now and then a tiny one, to find split points.
        if state.random.below(4) == 0 { state.random.between(1, most) as usize } else { most as usize }
    }

    fn wait_for_light(&self, cx: &Context<'_>) {
        self.state.borrow_mut().dark_waiters.push(cx.waker().clone());
    }
}

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    segments: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    last_arrival: Instant,
    end_at: Option<Instant>,
    reset_at: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

/// What went over one end of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Calls of `write`.
    pub writes: u64,
    /// Octets written.
    pub written_bytes: u64,
    /// Octets read.
    pub read_bytes: u64,
}

/// One end of a connection. Dropping it resets the connection.
pub struct SimStream {
    network: Network,
    /// This end's address.
    pub local: SocketAddr,
    /// The other end's address.
    pub remote: SocketAddr,
    read: Rc<RefCell<Pipe>>,
    write: Rc<RefCell<Pipe>>,
    timer: Option<Pin<Box<Sleep>>>,
    traffic: Rc<Cell<Traffic>>,
    closed: Cell<bool>,
}

impl SimStream {
    /// A handle to the counters of this end, which outlives it.
    #[must_use]
    pub fn traffic(&self) -> Rc<Cell<Traffic>> {
        self.traffic.clone()
    }

    fn is_dark(&self) -> bool {
        self.network.link(self.local.ip()) == Link::Dark || self.network.link(self.remote.ip()) == Link::Dark
    }

    /// Arranges to be polled again at `at`.
    fn wake_at(&mut self, at: Instant, cx: &mut Context<'_>) {
        let mut sleep = Box::pin(self.network.executor.sleep_until(at));
        if sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        self.timer = Some(sleep);
    }

    /// Reads what has arrived into `out`: 0 at the end of the peer's data.
    pub fn poll_read(&mut self, out: &mut [u8], cx: &mut Context<'_>) -> Poll<Result<usize, StreamError>> {
        if self.is_dark() {
            self.network.wait_for_light(cx);
            return Poll::Pending;
        }
        let now = self.network.executor.now();
        let read = self.read.clone();
        let mut pipe = read.borrow_mut();
        if pipe.reset_at.is_some_and(|at| at <= now) {
            return Poll::Ready(Err(StreamError::Reset));
        }
        let mut taken = 0;
        while taken < out.len() {
            let Some((at, segment)) = pipe.segments.front_mut() else { break };
            if *at > now {
                break;
            }
            let count = segment.len().min(out.len() - taken);
            out[taken..taken + count].copy_from_slice(&segment[..count]);
            taken += count;
            if count == segment.len() {
                pipe.segments.pop_front();
            } else {
                segment.drain(..count);
            }
        }
        if taken > 0 {
            pipe.bytes -= taken;
            pipe.wake_writer();
            let mut traffic = self.traffic.get();
            traffic.read_bytes += taken as u64;
            self.traffic.set(traffic);
            return Poll::Ready(Ok(taken));
        }
        if pipe.segments.is_empty() && pipe.end_at.is_some_and(|at| at <= now) {
            return Poll::Ready(Ok(0));
        }
        pipe.reader = Some(cx.waker().clone());
        let next = [pipe.segments.front().map(|(at, _)| *at), pipe.end_at, pipe.reset_at];
        if let Some(at) = next.into_iter().flatten().filter(|at| *at > now).min() {
            self.wake_at(at, cx);
        }
        Poll::Pending
    }

    /// Writes as much of `data` as the window has room for.
    pub fn poll_write(&mut self, data: &[u8], cx: &mut Context<'_>) -> Poll<Result<usize, StreamError>> {
        let now = self.network.executor.now();
        if self.closed.get() || self.read.borrow().reset_at.is_some_and(|at| at <= now) {
            return Poll::Ready(Err(StreamError::Reset));
        }
        let mut pipe = self.write.borrow_mut();
        let room = WINDOW_BYTES.saturating_sub(pipe.bytes).min(data.len());
        if room == 0 {
            pipe.writer = Some(cx.waker().clone());
            // A reset by the peer must end the wait too.
            self.read.borrow_mut().writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut rest = &data[..room];
        while !rest.is_empty() {
            let (segment, after) = rest.split_at(self.network.segment_bytes().min(rest.len()));
            rest = after;
            let at = Instant(now.0 + self.network.latency_us()).max(pipe.last_arrival);
            pipe.last_arrival = at;
            pipe.segments.push_back((at, segment.to_vec()));
        }
        pipe.bytes += room;
        pipe.wake_reader();
        let mut traffic = self.traffic.get();
        traffic.writes += 1;
        traffic.written_bytes += room as u64;
        self.traffic.set(traffic);
        let mut state = self.network.state.borrow_mut();
        let (writes, octets) = state.written.entry(self.local.ip()).or_default();
        (*writes, *octets) = (*writes + 1, *octets + room as u64);
        Poll::Ready(Ok(room))
    }

    fn reset(&self) {
        let at = Instant(self.network.executor.now().0 + self.network.latency_us());
        for pipe in [&self.write, &self.read] {
            let mut pipe = pipe.borrow_mut();
            pipe.reset_at.get_or_insert(at);
            pipe.wake_reader();
            pipe.wake_writer();
        }
        self.closed.set(true);
    }
}

impl ErrorType for SimStream {
    type Error = StreamError;
}

impl Read for SimStream {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, StreamError> {
        if buf.is_empty() {
            return Ok(0);
        }
        poll_fn(|cx| self.poll_read(buf, cx)).await
    }
}

impl Write for SimStream {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, StreamError> {
        if buf.is_empty() {
            return Ok(0);
        }
        poll_fn(|cx| self.poll_write(buf, cx)).await
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }
}

impl Stream for SimStream {
    async fn close(&mut self) {
        if self.closed.replace(true) {
            return;
        }
        let arrival = {
            let mut pipe = self.write.borrow_mut();
            let at =
                Instant(self.network.executor.now().0 + self.network.latency_us()).max(pipe.last_arrival);
            pipe.end_at = Some(at);
            pipe.wake_reader();
            at
        };
        let give_up = arrival.plus_ms(CLOSE_TIMEOUT_MS);
        while self.network.executor.now() < give_up {
            let done = {
                let pipe = self.write.borrow();
                pipe.segments.is_empty() || pipe.reset_at.is_some()
            };
            if done && self.network.executor.now() >= arrival {
                return;
            }
            self.network.executor.sleep_ms(5).await;
        }
    }

    fn abort(&mut self) {
        self.reset();
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        if !self.closed.get() {
            self.reset();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(last: u8, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from([10, 0, 0, last]), port)
    }

    #[test]
    fn a_megabyte_arrives_in_order_and_ends() {
        let executor = Executor::new(7);
        let network = Network::new(&executor, 7);
        network.listen(Group::Outside, at(2, 25), |mut stream| async move {
            let data: Vec<u8> = (0..1_000_000u32).map(|i| (i % 251) as u8).collect();
            stream.write_all(&data).await.expect("the reader reads it all");
            stream.close().await;
        });
        let n = network.clone();
        let got = executor.block_on(async move {
            let mut stream = n.connect(at(1, 0).ip(), at(2, 25)).await.expect("there is a listener");
            let mut got = Vec::new();
            let mut buffer = [0; 4_000];
            loop {
                match stream.read(&mut buffer).await.expect("no reset") {
                    0 => return got,
                    count => got.extend_from_slice(&buffer[..count]),
                }
            }
        });
        assert!(got.iter().enumerate().all(|(i, b)| *b == (i % 251) as u8));
        assert_eq!(got.len(), 1_000_000);
    }

    #[test]
    fn connections_fail_as_the_link_says() {
        let executor = Executor::new(7);
        let network = Network::new(&executor, 7);
        let (e, n) = (executor.clone(), network);
        executor.block_on(async move {
            let from = at(1, 0).ip();
            assert_eq!(n.connect(from, at(2, 25)).await.err(), Some(ConnectError::Refused));
            n.set_link(at(2, 25).ip(), Link::Dark);
            let before = e.now();
            assert_eq!(n.connect(from, at(2, 25)).await.err(), Some(ConnectError::Timeout));
            assert!(e.now() >= before.plus_ms(CONNECT_TIMEOUT_MS));
        });
    }

    #[test]
    fn a_dropped_end_resets_the_other() {
        let executor = Executor::new(7);
        let network = Network::new(&executor, 7);
        network.listen(Group::Outside, at(2, 25), |stream| async move { drop(stream) });
        executor.block_on(async move {
            let mut stream = network.connect(at(1, 0).ip(), at(2, 25)).await.expect("listening");
            assert_eq!(stream.read(&mut [0; 8]).await, Err(StreamError::Reset));
        });
    }
}
