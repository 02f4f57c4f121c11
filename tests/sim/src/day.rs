//! A random day of mixed mail among destinations that come and go, with power cuts and a clock that cannot be trusted.
//!
//! Everything follows from the seed of the world. `SIM_SEED=… SIM_DAYS=… cargo test -p sim day` repeats any day.

use crate::account::Settled;
use crate::destination::Destination;
use crate::executor::Group;
use crate::gateway::Gateway;
use crate::letters::{letter_with, long_letter};
use crate::network::Link;
use crate::peers::{Behaviour, Client};
use crate::town::{ANN, ANNS_HOST, Town};
use crate::world::World;
use flash_sim::Tear;
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;

const HOUR_MS: u64 = 3_600_000;

/// What a day is like.
#[derive(Clone, Copy, Debug)]
pub struct Day {
    /// How many days it lasts.
    pub days: u64,
    /// Destinations, besides the senders' own.
    pub destinations: usize,
    /// Clients that send.
    pub clients: usize,
    /// Mean minutes between two letters of one client.
    pub minutes_between_letters: u64,
    /// Mean hours between two power cuts; 0 is none.
    pub hours_between_cuts: u64,
}

impl Default for Day {
    fn default() -> Self {
        Self { days: 1, destinations: 25, clients: 6, minutes_between_letters: 8, hours_between_cuts: 2 }
    }
}

/// How a day ended.
#[derive(Clone, Debug)]
pub struct Evening {
    /// The account of all mail.
    pub settled: Settled,
    /// Messages that were accepted.
    pub accepted: usize,
    /// How often the power was cut.
    pub cuts: u32,
}

impl Day {
    /// Lives the day, mends everything in the evening, waits until the queue is empty, and settles the account.
    ///
    /// # Panics
    /// When the appliance does not start, or the queue does not become empty.
    pub async fn live(self, world: &World) -> Evening {
        let settings =
            [("postmaster", "chief@d000.example"), ("delay-warning", "2h"), ("message-lifetime", "12h")];
        let town = Town::start(world, self.destinations, &settings).await;
        let over = Rc::new(Cell::new(false));
        // Destination 0 is the postmaster's: always there, and refuses nobody.
        for d in town.destinations.iter().skip(1) {
            d.sink.behave(|b| b.recipients.push((d.mailbox("gone"), "550 5.1.1 no such user".into())));
        }
        for d in town.destinations.iter().skip(1) {
            let (world2, d, over) = (world.clone(), d.clone(), over.clone());
            world.executor.spawn(Group::Outside, format!("fate of {}", d.domain), async move {
                fate(&world2, &d, &over).await;
            });
        }
        for number in 0..self.clients {
            let (town2, over) = (town.clone(), over.clone());
            world.executor.spawn(Group::Outside, format!("client {number}"), async move {
                self.send_letters(&town2, number, &over).await;
            });
        }
        let end = world.executor.now().plus_s(self.days * 86_400);
        let mut cuts = 0;
        while world.executor.now() < end {
            if self.hours_between_cuts == 0 {
                world.sleep_ms(HOUR_MS).await;
                continue;
            }
            self.cut(&town).await;
            cuts += 1;
        }
        over.set(true);
        for d in town.destinations.iter() {
            d.link(Link::Up);
            mend(d);
        }
        world.network.set_link(IpAddr::from(ANNS_HOST), Link::Up);
        // The last letters are still being sent.
        world.sleep_ms(HOUR_MS).await;
        let done = world.wait_until(3 * 86_400, || town.gateway.queue_is_empty()).await;
        assert!(done, "{}", town.gateway.console("queue").await);
        Evening { settled: town.settle().await, accepted: town.account.accepted_count(), cuts }
    }

    /// Lets some hours pass, cuts the power in the middle of some operation, and starts the appliance again, now and then
    /// with another cut while it starts.
    async fn cut(self, town: &Town) {
        let world = &town.world;
        world.sleep_ms(world.random_below(2 * self.hours_between_cuts * HOUR_MS)).await;
        let tear = || match world.random_below(4) {
            0 => Tear::Before,
            1 => Tear::After,
            _ => Tear::Half(world.random_below(u64::MAX)),
        };
        town.gateway.bank.cut_after(world.random_below(60), tear());
        world.wait_until(1_800, || !town.gateway.is_on()).await;
        town.gateway.power_cut();
        let off_ms = [100, 60_000, HOUR_MS, 5 * HOUR_MS][world.random_below(4) as usize];
        world.sleep_ms(world.random_below(off_ms)).await;
        match world.random_below(6) {
            0 => town.gateway.clock.set(None),
            1 => town.gateway.clock.jump(world.random_below(800 * 86_400) as i64 - 400 * 86_400),
            2 => town.gateway.clock.set(Some(1_795_348_800 + world.now_s())),
            _ => {}
        }
        while world.random_below(4) == 0 {
            // `boot` gives the power back, so the cut is set while it starts.
            let (town2, world2) = (town.clone(), world.clone());
            let (operations, tear) = (world.random_below(12), tear());
            world.executor.spawn(Group::Outside, "cut while it starts", async move {
                world2.sleep_ms(1).await;
                town2.gateway.bank.cut_after(operations, tear);
            });
            town.gateway.boot().await;
            world.sleep_ms(world.random_below(5_000)).await;
            town.gateway.power_cut();
        }
        assert!(town.gateway.boot().await, "it does not start");
    }

    async fn send_letters(self, town: &Town, number: usize, over: &Cell<bool>) {
        let world = &town.world;
        for n in 0.. {
            world.sleep_ms(world.random_below(2 * self.minutes_between_letters * 60_000)).await;
            if over.get() {
                return;
            }
            let tag = format!("c{number}n{n:04}");
            let to: Vec<String> = (0..1 + world.random_below(4)).map(|_| self.recipient(town)).collect();
            let sender = if world.random_below(10) == 0 { "" } else { ANN };
            let content = match world.random_below(8) {
                0 => letter_with(&tag, "Precedence: bulk\r\n"),
                1 => long_letter(&tag, 40_000),
                _ => letter_with(&tag, ""),
            };
            let from = IpAddr::from([10, 1, 9, number as u8]);
            let Ok(stream) = world.network.connect(from, Gateway::address()).await else { continue };
            let mut client = Client::new(stream);
            if client.reply().await.is_none() || client.raw(b"EHLO client.example\r\n").await.is_err() {
                continue;
            }
            if client.reply().await.is_some() {
                let mut unique = to;
                unique.sort();
                unique.dedup();
                let to: Vec<&str> = unique.iter().map(String::as_str).collect();
                town.account.send(&mut client, sender, &to, &tag, &content).await;
                client.quit().await;
            }
        }
    }

    fn recipient(self, town: &Town) -> String {
        let world = &town.world;
        let d = town.at(world.random_below(self.destinations as u64) as usize);
        let local = ["bob", "eve", "joe", "gone"][world.random_below(4) as usize];
        d.mailbox(local)
    }
}

/// A destination changes its mind every few hours.
async fn fate(world: &World, d: &Destination, over: &Cell<bool>) {
    while !over.get() {
        world.sleep_ms(world.random_below(4 * HOUR_MS)).await;
        if over.get() {
            return;
        }
        d.link(Link::Up);
        mend(d);
        match world.random_below(14) {
            0 => d.link(Link::Refusing),
            1 => d.link(Link::Dark),
            2 => d.sink.behave(|b| b.greeting = "421 4.3.2 not now".into()),
            3 => d.sink.behave(|b| b.greeting = "554 5.3.2 not for you".into()),
            4 => d.sink.behave(|b| b.mail = Some("451 4.3.0 not now".into())),
            5 => d.sink.behave(|b| b.content = Some("452 4.2.2 mailbox full".into())),
            6 => d.sink.behave(|b| b.recipients_max = 1),
            7 => d.sink.behave(|b| b.greylist_s = 600),
            8 => d.sink.behave(|b| b.delay_ms = 3_000),
            9 => d.sink.behave(|b| b.drop_after_content = true),
            10 => d.sink.behave(|b| b.data = Some("421 4.3.2 going down".into())),
            _ => {}
        }
    }
}

/// The server behaves well again; who is gone stays gone.
fn mend(d: &Destination) {
    d.sink
        .behave(|b| *b = Behaviour { recipients: std::mem::take(&mut b.recipients), ..Behaviour::default() });
}
