//! Where mail goes: one domain, one host, one server that behaves as told.

use crate::executor::{Executor, Group};
use crate::network::{Link, Network};
use crate::peers::Sink;
use crate::world::World;
use std::net::{IpAddr, SocketAddr};

/// A domain whose mail one host takes. There can be thousands; those that nobody talks to cost nothing.
#[derive(Clone)]
pub struct Destination {
    /// `d007.example`.
    pub domain: String,
    /// `mx.d007.example`, which the name service knows.
    pub host: String,
    /// The address of the host.
    pub address: IpAddr,
    /// The server on the host.
    pub sink: Sink,
    executor: Executor,
    network: Network,
}

impl Destination {
    /// Starts destination `number`: a host `mx.dNNN.example` at an address of its own, with a server that takes
    /// everything.
    #[must_use]
    pub fn start(world: &World, number: usize) -> Self {
        let [high, low] =
            u16::try_from(number).expect("a world of at most 65,536 destinations").to_be_bytes();
        let address = IpAddr::from([10, 50, high, low]);
        let domain = format!("d{number:03}.example");
        let host = format!("mx.{domain}");
        world.network.set_name(&host, &[address]);
        let sink = Sink::start(&world.executor, &world.network, SocketAddr::new(address, 25));
        Self { domain, host, address, sink, executor: world.executor.clone(), network: world.network.clone() }
    }

    /// Changes how the host can be reached.
    pub fn link(&self, link: Link) {
        self.network.set_link(self.address, link);
    }

    /// Changes how the host can be reached `seconds` from now.
    pub fn link_in(&self, seconds: u64, link: Link) {
        let this = self.clone();
        self.executor.spawn(Group::Outside, format!("fate of {}", self.domain), async move {
            this.executor.sleep_ms(seconds * 1_000).await;
            this.link(link);
        });
    }

    /// A mailbox there.
    #[must_use]
    pub fn mailbox(&self, local: &str) -> String {
        format!("{local}@{}", self.domain)
    }
}
