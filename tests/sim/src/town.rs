//! An appliance among many destinations: what most stories about the queue begin with.

use crate::account::{Account, Settled};
use crate::destination::Destination;
use crate::executor::Group;
use crate::gateway::Gateway;
use crate::letters::letter;
use crate::peers::{Client, Sink};
use crate::world::World;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The mailbox that most messages are from; reports about them go there.
pub const ANN: &str = "ann@a.example";
/// The host of [`ANN`]'s domain.
pub const ANNS_HOST: [u8; 4] = [10, 0, 0, 70];
/// Settings of every town, before its own.
const SETTINGS: &[(&str, &str)] =
    &[("hostname", "gw.example"), ("relay-networks", "10.1.0.0/16"), ("without-identity", "pass")];

/// An appliance, the destinations it has routes to, and an account of the mail between them.
#[derive(Clone)]
pub struct Town {
    /// Time and network.
    pub world: World,
    /// The appliance.
    pub gateway: Rc<Gateway>,
    /// Where mail goes, one route each.
    pub destinations: Rc<Vec<Destination>>,
    /// The server of `a.example`, where reports arrive; it has a route, too.
    pub senders: Sink,
    /// What was sent.
    pub account: Account,
}

impl Town {
    /// A town of `count` destinations and an appliance with routes to them and `settings` beyond the usual; it is off.
    pub async fn build(world: &World, count: usize, settings: &[(&str, &str)]) -> Self {
        let gateway = Gateway::new(world);
        gateway.configure(&[SETTINGS, settings].concat()).await;
        let destinations = world.destinations(count);
        let mut routes: Vec<_> =
            destinations.iter().map(|d| (d.domain.clone(), d.host.clone(), false)).collect();
        routes.push(("a.example".into(), IpAddr::from(ANNS_HOST).to_string(), false));
        gateway.add_routes(&routes).await;
        let senders =
            Sink::start(&world.executor, &world.network, SocketAddr::new(IpAddr::from(ANNS_HOST), 25));
        Self {
            world: world.clone(),
            gateway: Rc::new(gateway),
            destinations: Rc::new(destinations),
            senders,
            account: Account::default(),
        }
    }

    /// As [`Self::build`], and switched on.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(world: &World, count: usize, settings: &[(&str, &str)]) -> Self {
        let town = Self::build(world, count, settings).await;
        assert!(town.gateway.boot().await);
        town
    }

    /// Destination `number`.
    #[must_use]
    pub fn at(&self, number: usize) -> &Destination {
        &self.destinations[number]
    }

    /// Every server that may get mail.
    pub fn sinks(&self) -> impl Iterator<Item = &Sink> {
        self.destinations.iter().map(|d| &d.sink).chain([&self.senders])
    }

    /// Sends one letter of Ann's over a connection of its own.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn send(&self, tag: &str, to: &[&str]) {
        self.send_content(tag, to, &letter(tag)).await;
    }

    /// As [`Self::send`], with the content `content`, whose Subject is `tag`.
    ///
    /// # Panics
    /// When it is not accepted.
    pub async fn send_content(&self, tag: &str, to: &[&str], content: &[u8]) {
        let mut client = self.world.client().await;
        let reply = self.account.send(&mut client, ANN, to, tag, content).await;
        reply.expect("the connection is open").expect(250, "");
        client.quit().await;
    }

    /// Sends `count` letters, numbered from `first`, each to the destinations that `to` says, over `clients` connections
    /// at once. Returns when all are accepted. Tags are `m0000` and so on.
    ///
    /// # Panics
    /// When one is not accepted within an hour.
    pub async fn flood(&self, first: usize, count: usize, clients: usize, to: impl Fn(usize) -> Vec<String>) {
        let letters: Vec<(String, Vec<String>)> =
            (first..first + count).map(|n| (format!("m{n:04}"), to(n))).collect();
        let before = self.account.accepted_count();
        for (number, part) in letters.chunks(count.div_ceil(clients).max(1)).enumerate() {
            let (this, part) = (self.clone(), part.to_vec());
            self.world.executor.spawn(Group::Outside, format!("client {number}"), async move {
                let mut client = this.client(number).await;
                for (tag, to) in part {
                    let to: Vec<&str> = to.iter().map(String::as_str).collect();
                    let reply = this.account.send(&mut client, ANN, &to, &tag, &letter(&tag)).await;
                    reply.expect("the connection is open").expect(250, "");
                }
                client.quit().await;
            });
        }
        let all = || self.account.accepted_count() >= before + count;
        assert!(self.world.wait_until(3_600, all).await, "only {} accepted", self.account.accepted_count());
    }

    /// A greeted client that may relay; each number has an address of its own.
    pub async fn client(&self, number: usize) -> Client {
        let [high, low] = u16::try_from(number).expect("a town of few clients").to_be_bytes();
        let from = IpAddr::from([10, 1, 100 + high, low]);
        let mut client = Client::connect(&self.world.network, from, Gateway::address()).await;
        client.greet().await.expect(250, "");
        client
    }

    /// Messages that arrived, reports not counted.
    #[must_use]
    pub fn arrived(&self) -> usize {
        self.destinations.iter().map(|d| d.sink.count()).sum()
    }

    /// Cuts the power, looks into the queue and compares with the account.
    pub async fn settle(&self) -> Settled {
        self.gateway.power_cut();
        let kept = self.gateway.kept().await;
        for sink in self.sinks() {
            assert_eq!(sink.violations(), Vec::<String>::new());
        }
        self.account.settle(self.sinks(), &kept)
    }
}
