//! The power goes at any moment.

use crate::{letter, tag};
use flash_sim::Tear;
use sim::executor::Group;
use sim::gateway::{CLIENT, Gateway, NEXT_HOP};
use sim::network::Link;
use sim::peers::{Client, Sink};
use sim::world::{World, stories, story};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

/// What the world knows of each message by its tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    /// The content was sent, no answer came: it may or may not be ours.
    #[default]
    InDoubt,
    /// It was answered with 250: it is ours.
    Accepted,
}

#[derive(Clone, Default)]
struct Ledger(Rc<RefCell<BTreeMap<String, Fate>>>);

impl Ledger {
    /// Sends messages until the appliance is gone, and writes down what it answered.
    fn start_sender(&self, world: &World, name: String, count: u32) {
        let (ledger, world2) = (self.clone(), world.clone());
        world.executor.spawn(Group::Outside, name.clone(), async move {
            let from = IpAddr::from(CLIENT);
            let Ok(stream) = world2.network.connect(from, Gateway::address()).await else { return };
            let mut client = Client::new(stream);
            if client.reply().await.is_none() || client.raw(b"EHLO client.example\r\n").await.is_err() {
                return;
            }
            if client.reply().await.is_none() {
                return;
            }
            for i in 0..count {
                let tag = format!("{name}-{i}");
                let mut content = letter(&tag);
                // Some need several chunks on flash.
                let lines = [1, 10, 400, 1_500][world2.random_below(4) as usize];
                content.extend_from_slice(
                    "and a line of sixty octets to make it a little bit longer.\r\n".repeat(lines).as_bytes(),
                );
                ledger.0.borrow_mut().insert(tag.clone(), Fate::InDoubt);
                match client.send("ann@a.example", &["bob@b.example"], &content).await {
                    Some(reply) if reply.code == 250 => {
                        ledger.0.borrow_mut().insert(tag, Fate::Accepted);
                    }
                    Some(_) => _ = ledger.0.borrow_mut().remove(&tag),
                    None => return,
                }
            }
        });
    }

    /// What the appliance answered is worth looking at only if it answered something.
    fn expect_some(&self) {
        assert!(self.accepted() > 0, "nothing was accepted before the cut");
    }

    /// Every accepted message came; none twice but those whose delivery the cut interrupted.
    fn check(&self, sink: &Sink, doubles_allowed: usize) {
        let mut came: BTreeMap<String, usize> = BTreeMap::new();
        for received in sink.received() {
            *came.entry(tag(&received)).or_default() += 1;
        }
        for (tag, fate) in self.0.borrow().iter() {
            let times = came.get(tag).copied().unwrap_or(0);
            assert!(*fate != Fate::Accepted || times > 0, "{tag} was answered with 250 and is lost");
        }
        let doubles: usize = came.values().map(|times| times - 1).sum();
        assert!(doubles <= doubles_allowed, "{doubles} doubles, {doubles_allowed} explained: {came:?}");
        for received in sink.received() {
            assert!(received.content.ends_with(b".\r\n"), "{} is cut short", tag(&received));
        }
    }

    fn accepted(&self) -> usize {
        self.0.borrow().values().filter(|fate| **fate == Fate::Accepted).count()
    }
}

async fn gateway(world: &World) -> Gateway {
    let gateway = Gateway::new(world);
    gateway.configure_default().await;
    gateway.configure(&[("without-identity", "pass")]).await;
    gateway
}

#[test]
fn what_was_answered_with_250_survives_cuts_while_the_next_hop_is_down() {
    stories(12, |world| async move {
        let hop = IpAddr::from(NEXT_HOP);
        world.network.set_link(hop, Link::Refusing);
        let sink = world.next_hop();
        let gateway = gateway(&world).await;
        let ledger = Ledger::default();
        for round in 0..3 {
            assert!(gateway.boot().await);
            for sender in 0..6 {
                ledger.start_sender(&world, format!("r{round}s{sender}"), 12);
            }
            // Somewhere among the first few hundred operations on flash, in the middle of one.
            let tear = [Tear::Before, Tear::After, Tear::Half(world.random_below(u64::MAX))];
            gateway.bank.cut_after(world.random_below(400), tear[world.random_below(3) as usize]);
            world.wait_until(60, || !gateway.is_on()).await;
            gateway.power_cut();
            world.sleep_ms(1_000).await;
        }
        assert!(gateway.boot().await);
        world.network.set_link(hop, Link::Up);
        assert!(world.wait_until(600, || gateway.queue_is_empty()).await);
        ledger.expect_some();
        ledger.check(&sink, 0);
    });
}

#[test]
fn cuts_during_delivery_double_at_most_what_was_on_the_way() {
    stories(12, |world| async move {
        let sink = world.next_hop();
        let gateway = gateway(&world).await;
        let ledger = Ledger::default();
        let mut doubles_allowed = 0;
        for round in 0..4 {
            assert!(gateway.boot().await);
            for sender in 0..4 {
                ledger.start_sender(&world, format!("r{round}s{sender}"), 8);
            }
            let tear = [Tear::Before, Tear::After, Tear::Half(world.random_below(u64::MAX))];
            gateway.bank.cut_after(world.random_below(300), tear[world.random_below(3) as usize]);
            world.wait_until(60, || !gateway.is_on()).await;
            // One for each connection that could have been between the peer's answer and our record.
            doubles_allowed += 16;
            gateway.power_cut();
            world.sleep_ms(1_000).await;
        }
        assert!(gateway.boot().await);
        assert!(world.wait_until(600, || gateway.queue_is_empty()).await);
        ledger.expect_some();
        ledger.check(&sink, doubles_allowed);
    });
}

#[test]
fn a_single_message_survives_a_cut_at_every_operation_of_its_way() {
    story(|world| async move {
        // How many operations there are from the start to the empty queue.
        let mut operations = 0;
        loop {
            let inner = World::with_seed(world.seed);
            let end = inner.executor.clone().block_on(one_cut(inner, operations));
            if end {
                break;
            }
            operations += 1;
        }
        assert!(operations > 10, "only {operations} operations were tried");
    });
}

/// Sends one message with a power cut after so many operations. Returns whether no cut came about.
async fn one_cut(world: World, operations: u64) -> bool {
    let sink = world.next_hop();
    let gateway = gateway(&world).await;
    assert!(gateway.boot().await);
    let ledger = Ledger::default();
    ledger.start_sender(&world, "one".into(), 1);
    gateway.bank.cut_after(operations, Tear::Half(world.seed ^ operations));
    world.wait_until(20, || !gateway.is_on()).await;
    let untouched = gateway.is_on();
    gateway.power_cut();
    assert!(gateway.boot().await);
    assert!(world.wait_until(600, || gateway.queue_is_empty()).await, "cut at {operations}");
    ledger.check(&sink, 1);
    assert!(!untouched || ledger.accepted() == 1);
    untouched
}

#[test]
fn a_queue_of_many_messages_is_there_after_a_restart() {
    story(|world| async move {
        let hop = IpAddr::from(NEXT_HOP);
        world.network.set_link(hop, Link::Dark);
        let sink = world.next_hop();
        let gateway = gateway(&world).await;
        assert!(gateway.boot().await);
        let ledger = Ledger::default();
        for sender in 0..10 {
            ledger.start_sender(&world, format!("s{sender}"), 30);
        }
        assert!(world.wait_until(300, || ledger.accepted() == 300).await, "{}", ledger.accepted());
        assert!(gateway.boot().await);
        world.network.set_link(hop, Link::Up);
        assert!(world.wait_until(600, || gateway.queue_is_empty()).await);
        ledger.check(&sink, 0);
        assert_eq!(sink.count(), 300);
    });
}

#[test]
fn a_factory_reset_is_finished_by_the_next_start_wherever_the_power_fails() {
    stories(24, |world| async move {
        let gateway = gateway(&world).await;
        assert!(gateway.boot().await);
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Refusing);
        let mut client = world.client().await;
        let reply = client.send("ann@a.example", &["bob@b.example"], &letter("secret")).await.expect("open");
        reply.expect(250, "");
        drop(client);
        world.sleep_ms(1_000).await;
        gateway.terminal.type_text("factory-reset\r");
        world.sleep_ms(1_000).await;
        gateway.terminal.type_text("erase\r");
        let tear = [Tear::Before, Tear::After, Tear::Half(world.random_below(u64::MAX))];
        let operation = world.random_below(40);
        gateway.bank.cut_after(operation, tear[world.random_below(3) as usize]);
        world.wait_until(120, || !gateway.is_on()).await;
        gateway.power_cut();
        assert!(gateway.boot().await);
        let mail = !gateway.console("queue").await.contains("empty");
        let configured = gateway.console("show settings").await.contains("gw.example");
        assert_eq!(mail, configured, "operation {operation}: a part is left");
        if operation > 8 {
            assert!(!mail, "operation {operation}: the reset was forgotten");
        }
        // What is saved from now on stays.
        gateway.console("set hostname new.example").await;
        gateway.console("save").await;
        gateway.power_cut();
        assert!(gateway.boot().await);
        assert!(gateway.console("show settings").await.contains("new.example"), "operation {operation}");
    });
}
