//! A question on the network: one task at a time asks it, the others that want to know the same wait for what it learns.

use super::Resolver;
use crate::time::within;
use crate::{Machine as _, Platform};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Poll, Waker};
use dns::{Attempt, Cache, Finding, Inquiry, Question, Servers, Step, Trouble};
use embassy_futures::select::{Either, select};
use embedded_io_async::{Read as _, Write as _};
use limits::dns::{QUESTIONS_COUNT_MAX, SERVERS_WAIT_MS, TCP_BYTES_MAX, TCP_PATIENCE_MS, WAITING_COUNT_MAX};
use limits::net::{ADDRESS_WAIT_S, DATAGRAM_BYTES_MAX};
use limits::settings::DNS_SERVERS_COUNT_MAX;
use platform::{
    BindError, Connector as _, DatagramSocket as _, Datagrams as _, Entropy as _, Instant, Source,
    Stream as _, Timer as _,
};

/// What an appliance knows about DNS, and what it is asking.
#[derive(Default)]
pub(crate) struct Knowledge {
    cache: RefCell<Cache>,
    servers: RefCell<Servers>,
    asking: RefCell<Asking>,
}

#[derive(Default)]
struct Asking {
    questions: heapless::Vec<Question, QUESTIONS_COUNT_MAX>,
    /// Tasks that wait until one of the questions is answered.
    waiting: heapless::Vec<Waker, WAITING_COUNT_MAX>,
}

impl Knowledge {
    /// Forgets every answer: somebody has changed something, or says so.
    pub(crate) fn forget(&self) {
        self.cache.borrow_mut().clear();
    }
}

/// What a task that wants to know something does.
enum Place<'k> {
    Known(Finding),
    /// It asks, and tells the others.
    Asks(Ours<'k>),
    Full,
}

/// The right to ask one question. Dropping it lets another task ask, or see what was learnt.
struct Ours<'k> {
    knowledge: &'k Knowledge,
    question: Question,
}

impl Drop for Ours<'_> {
    fn drop(&mut self) {
        let mut asking = self.knowledge.asking.borrow_mut();
        asking.questions.retain(|question| *question != self.question);
        let waiting = core::mem::take(&mut asking.waiting);
        drop(asking);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Knowledge {
    fn place(
        &self,
        question: &Question,
        not_before: Instant,
        now: Instant,
        waker: &Waker,
    ) -> Poll<Place<'_>> {
        let mut asking = self.asking.borrow_mut();
        let asked = asking.questions.contains(question);
        // Whoever asks now is about to know better than the memory.
        if !asked && let Some(finding) = self.cache.borrow_mut().find(question, not_before, now) {
            return Poll::Ready(Place::Known(finding));
        }
        if !asked && asking.questions.push(question.clone()).is_ok() {
            return Poll::Ready(Place::Asks(Ours { knowledge: self, question: question.clone() }));
        }
        if !asking.waiting.iter().any(|other| other.will_wake(waker))
            && asking.waiting.push(waker.clone()).is_err()
        {
            return Poll::Ready(Place::Full);
        }
        Poll::Pending
    }
}

impl<P: Platform> Resolver<'_, '_, P> {
    /// Finds out, from memory or from the servers.
    pub(super) async fn find(&self, question: Question) -> Finding {
        let knowledge = &self.appliance.dns;
        let not_before = if self.fresh { self.appliance.now() } else { Instant::default() };
        let place =
            poll_fn(|cx| knowledge.place(&question, not_before, self.appliance.now(), cx.waker())).await;
        let ours = match place {
            Place::Known(finding) => return finding,
            Place::Full => return Finding::Trouble(Trouble::Busy),
            Place::Asks(ours) => ours,
        };
        // In a box: most of the time nobody asks.
        let (finding, ttl_s) = Box::pin(self.ask(ours.question.clone())).await;
        // "No server" and "no network" are over as soon as there is one, without a pause.
        if !matches!(finding, Finding::Trouble(Trouble::NoServers | Trouble::NoNetwork)) {
            let now = self.appliance.now();
            knowledge.cache.borrow_mut().store(ours.question.clone(), finding.clone(), ttl_s, now);
        }
        finding
    }

    async fn ask(&self, question: Question) -> (Finding, u32) {
        let servers = self.wait_for_servers().await;
        let knowledge = &self.appliance.dns;
        if knowledge.servers.borrow_mut().set(&servers) {
            knowledge.forget();
        }
        let random = |out: &mut [u8]| self.appliance.entropy.fill(out);
        let now = self.appliance.now();
        let mut inquiry = Inquiry::new(question, &knowledge.servers.borrow(), now);
        let mut step = inquiry.start(now, &random);
        loop {
            step = match step {
                Step::Done(finding, ttl_s) => return (finding, ttl_s),
                Step::Datagram(attempt) => self.over_udp(&mut inquiry, &attempt).await,
                Step::Connection(attempt) => self.over_tcp(&mut inquiry, &attempt).await,
                // Whoever waits does so in `over_udp`.
                Step::Wait => {
                    inquiry.failed(self.appliance.now(), &random, &mut knowledge.servers.borrow_mut())
                }
            };
        }
    }

    /// The name servers in force: those of the settings, else those that DHCP named.
    fn servers(&self) -> heapless::Vec<IpAddr, DNS_SERVERS_COUNT_MAX> {
        let set: heapless::Vec<IpAddr, DNS_SERVERS_COUNT_MAX> =
            self.appliance.settings().dns_servers.iter().copied().take(DNS_SERVERS_COUNT_MAX).collect();
        if !set.is_empty() {
            return set;
        }
        let mut named = heapless::Vec::new();
        for server in self.appliance.machine.network().iter().flat_map(|state| state.dns_servers.iter()) {
            if !named.contains(server) && named.push(*server).is_err() {
                break;
            }
        }
        named
    }

    /// As [`Self::servers`]. After power-on mail is there before a lease is, so this waits a little for one.
    async fn wait_for_servers(&self) -> heapless::Vec<IpAddr, DNS_SERVERS_COUNT_MAX> {
        let until = self.appliance.now().plus_s(ADDRESS_WAIT_S);
        loop {
            let (servers, now) = (self.servers(), self.appliance.now());
            if !servers.is_empty() || now >= until {
                return servers;
            }
            self.appliance.timer.sleep_until(now.plus_ms(SERVERS_WAIT_MS)).await;
        }
    }

    async fn over_udp(&self, inquiry: &mut Inquiry, attempt: &Attempt) -> Step {
        let knowledge = &self.appliance.dns;
        let random = |out: &mut [u8]| self.appliance.entropy.fill(out);
        let bound = self.appliance.datagrams.bind(attempt.local_port, attempt.server.ip()).await;
        let socket = match bound {
            Ok(socket) => socket,
            Err(BindError::NoRoute) => return inquiry.no_route(self.appliance.now(), &random),
            Err(BindError::PortTaken) => return inquiry.port_taken(self.appliance.now(), &random),
            Err(BindError::TooMany) => {
                let soon = self.appliance.now().plus_ms(SERVERS_WAIT_MS);
                self.appliance.timer.sleep_until(soon).await;
                return inquiry.port_taken(self.appliance.now(), &random);
            }
        };
        if socket.send_to(&attempt.message, attempt.server).await.is_err() {
            return inquiry.no_route(self.appliance.now(), &random);
        }
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        loop {
            let over = self.appliance.timer.sleep_until(attempt.until);
            let came = select(socket.receive_from(&mut buffer), over).await;
            let now = self.appliance.now();
            let mut servers = knowledge.servers.borrow_mut();
            let Either::First((count, from)) = came else {
                return inquiry.failed(now, &random, &mut servers);
            };
            let octets = buffer.get(..count).unwrap_or_default();
            match inquiry.datagram(from, octets, now, &random, &mut servers) {
                Step::Wait => {}
                step => return step,
            }
        }
    }

    async fn over_tcp(&self, inquiry: &mut Inquiry, attempt: &Attempt) -> Step {
        let knowledge = &self.appliance.dns;
        let random = |out: &mut [u8]| self.appliance.entropy.fill(out);
        let exchange = self.exchange(attempt.server, &attempt.message);
        let answer = within(&self.appliance.timer, TCP_PATIENCE_MS / 1_000, exchange).await;
        let (now, mut servers) = (self.appliance.now(), knowledge.servers.borrow_mut());
        match answer {
            Ok(Some(octets)) => inquiry.stream(&octets, now, &random, &mut servers),
            Ok(None) | Err(_) => inquiry.failed(now, &random, &mut servers),
        }
    }

    /// One question and its answer over TCP (RFC 7766 §8), `None` if that did not come about.
    async fn exchange(&self, server: SocketAddr, message: &[u8]) -> Option<Vec<u8>> {
        let mut connector = self.appliance.connectors.lease().await;
        let mut stream = connector.connect(server, &Source::default()).await.ok()?;
        let length = u16::try_from(message.len()).ok()?.to_be_bytes();
        // In one segment: there are servers that read only the first.
        stream.write_all(&[&length[..], message].concat()).await.ok()?;
        let mut length = [0; 2];
        stream.read_exact(&mut length).await.ok()?;
        let length =
            Some(usize::from(u16::from_be_bytes(length))).filter(|length| *length <= TCP_BYTES_MAX)?;
        let mut octets = alloc::vec![0; length];
        stream.read_exact(&mut octets).await.ok()?;
        stream.abort();
        Some(octets)
    }
}
