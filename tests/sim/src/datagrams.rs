//! Datagrams of the fake network: each arrives whole after the latency of the moment, or, if a link is dark or nobody
//! listens, not at all.

use crate::executor::Executor;
use crate::interfaces::Interfaces;
use crate::names::name_server;
use crate::network::{Link, Network};
use platform::{BindError, ConnectError, DatagramSocket, Datagrams, Instant, Source};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Datagrams that wait in a socket; more are lost.
const WAITING_COUNT_MAX: usize = 64;

/// What waits for the owner of a socket.
#[derive(Default)]
pub(crate) struct Inbox {
    /// When it arrives, from whom, what.
    waiting: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
    reader: Option<Waker>,
}

/// A socket for datagrams on one address. Dropping it frees the address.
pub struct SimDatagramSocket {
    network: Network,
    /// This end's address.
    pub local: SocketAddr,
    inbox: Rc<RefCell<Inbox>>,
}

impl Network {
    /// A socket on `local`, or `None` if somebody has one there.
    #[must_use]
    pub fn bind(&self, local: SocketAddr) -> Option<SimDatagramSocket> {
        let inbox = Rc::new(RefCell::new(Inbox::default()));
        self.add_inbox(local, &inbox).then(|| SimDatagramSocket { network: self.clone(), local, inbox })
    }

    /// Sends one datagram that says it is from `from`, which may be a lie.
    pub fn send_datagram(&self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        if self.link(from.ip()) == Link::Dark || self.link(to.ip()) == Link::Dark {
            return;
        }
        let Some(inbox) = self.inbox(to) else {
            if to == name_server()
                && let Some(answer) = self.name_answer(datagram, true)
            {
                self.send_datagram(to, from, &answer);
            }
            return;
        };
        let at = Instant(self.executor().now().0 + self.latency_us());
        let mut inbox = inbox.borrow_mut();
        if inbox.waiting.len() < WAITING_COUNT_MAX {
            inbox.waiting.push_back((at, from, datagram.to_vec()));
        }
        if let Some(reader) = inbox.reader.take() {
            reader.wake();
        }
    }
}

impl SimDatagramSocket {
    /// Takes what has arrived, if anything has; else says when the next arrives.
    fn take(&self, executor: &Executor) -> Result<(SocketAddr, Vec<u8>), Option<Instant>> {
        let mut inbox = self.inbox.borrow_mut();
        let first = inbox.waiting.iter().enumerate().min_by_key(|(_, (at, ..))| *at);
        let first = first.map(|(index, (at, ..))| (index, *at));
        match first {
            Some((index, at)) if at <= executor.now() => {
                let (_, from, datagram) = inbox.waiting.remove(index).expect("it is there");
                Ok((from, datagram))
            }
            other => Err(other.map(|(_, at)| at)),
        }
    }
}

impl DatagramSocket for SimDatagramSocket {
    async fn send_to(&self, datagram: &[u8], remote: SocketAddr) -> Result<(), ConnectError> {
        self.network.send_datagram(self.local, remote, datagram);
        Ok(())
    }

    async fn receive_from(&self, buffer: &mut [u8]) -> (usize, SocketAddr) {
        let executor = self.network.executor().clone();
        loop {
            match self.take(&executor) {
                Ok((from, datagram)) => {
                    let Some(place) = buffer.get_mut(..datagram.len()) else { continue };
                    place.copy_from_slice(&datagram);
                    return (datagram.len(), from);
                }
                Err(Some(at)) => executor.sleep_until(at).await,
                Err(None) => {
                    poll_fn(|cx| {
                        let mut inbox = self.inbox.borrow_mut();
                        if !inbox.waiting.is_empty() {
                            return Poll::Ready(());
                        }
                        inbox.reader = Some(cx.waker().clone());
                        Poll::Pending
                    })
                    .await;
                }
            }
        }
    }
}

impl Drop for SimDatagramSocket {
    fn drop(&mut self) {
        self.network.remove_inbox(self.local);
    }
}

/// Sockets of the machine.
#[derive(Clone)]
pub struct SimDatagrams {
    /// The network.
    pub network: Network,
    /// The machine's addresses.
    pub interfaces: Interfaces,
}

impl Datagrams for SimDatagrams {
    type Socket = SimDatagramSocket;

    async fn bind(&self, local_port: u16, toward: IpAddr) -> Result<SimDatagramSocket, BindError> {
        let from = self.interfaces.toward(toward, &Source::default()).ok_or(BindError::NoRoute)?;
        self.network.bind(SocketAddr::new(from, local_port)).ok_or(BindError::PortTaken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::Group;

    #[test]
    fn a_question_is_answered_and_a_dark_host_hears_nothing() {
        let executor = Executor::new(7);
        let network = Network::new(&executor, 7);
        let (asker, server) =
            (SocketAddr::from(([10, 0, 0, 1], 1_025)), SocketAddr::from(([10, 0, 0, 2], 53)));
        let socket = network.bind(server).expect("free");
        assert!(network.bind(server).is_none());
        executor.spawn(Group::Outside, "server", async move {
            let mut buffer = [0; 16];
            loop {
                let (count, from) = socket.receive_from(&mut buffer).await;
                socket.send_to(&buffer[..count], from).await.expect("it leaves");
            }
        });
        let (e, n) = (executor.clone(), network);
        executor.block_on(async move {
            let socket = n.bind(asker).expect("free");
            let mut buffer = [0; 16];
            socket.send_to(b"dark", server).await.expect("it leaves");
            n.set_link(server.ip(), Link::Dark);
            socket.send_to(b"lost", server).await.expect("it leaves");
            e.sleep_ms(100).await;
            n.set_link(server.ip(), Link::Up);
            socket.send_to(b"light", server).await.expect("it leaves");
            // Sent before the link went dark, so it was under way and its answer was lost.
            let (count, from) = socket.receive_from(&mut buffer).await;
            assert_eq!((&buffer[..count], from), (&b"light"[..], server));
        });
    }
}
