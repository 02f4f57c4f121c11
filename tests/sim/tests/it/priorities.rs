//! What goes first when not everything can go at once.

use sim::executor::Group;
use sim::letters::{letter, letter_with, tag};
use sim::network::Link;
use sim::town::{ANN, Town};
use sim::world::story;
use std::cell::Cell;
use std::rc::Rc;

/// A town with one destination over one slow connection: about 20 letters a second.
async fn narrow(world: &sim::world::World) -> Town {
    let town = Town::start(world, 2, &[("destination-connections", "1")]).await;
    town.at(0).link(Link::Refusing);
    town.at(0).sink.behave(|b| b.delay_ms = 10);
    town
}

/// Puts so many bulk letters for the first `wide` destinations into the queue.
async fn bulk(town: &Town, count: usize, wide: usize) {
    let done = Rc::new(Cell::new(0));
    for client in 0..10 {
        let (town2, done2) = (town.clone(), done.clone());
        town.world.executor.spawn(Group::Outside, format!("list {client}"), async move {
            let mut session = town2.client(client).await;
            for n in (client..count).step_by(10) {
                let tag = format!("bulk{n:04}");
                let content = letter_with(&tag, "Precedence: bulk\r\n");
                let to = town2.at(n % wide).mailbox("bob");
                let reply = town2.account.send(&mut session, ANN, &[&to], &tag, &content).await;
                reply.expect("open").expect(250, "");
                done2.set(done2.get() + 1);
            }
        });
    }
    assert!(town.world.wait_until(3_600, || done.get() == count).await);
}

#[test]
fn ordinary_mail_and_notices_from_nobody_pass_a_thousand_bulk_messages() {
    story(|world| async move {
        let town = narrow(&world).await;
        let d = town.at(0).clone();
        bulk(&town, 1_000, 1).await;
        d.link(Link::Up);
        assert!(world.wait_until(120, || d.sink.count() >= 20).await);
        town.send("ordinary", &[&d.mailbox("bob")]).await;
        let mut client = world.client().await;
        let reply =
            town.account.send(&mut client, "", &[&d.mailbox("bob")], "notice", &letter("notice")).await;
        reply.expect("open").expect(250, "");
        let before = d.sink.count();
        let come = |name: &str| d.sink.received().iter().position(|r| tag(r) == name);
        assert!(world.wait_until(60, || come("ordinary").is_some() && come("notice").is_some()).await);
        for name in ["ordinary", "notice"] {
            let behind = come(name).expect("it came") - before;
            assert!(behind <= 10, "{name} came behind {behind} bulk messages");
        }
        assert!(world.wait_until(3_600, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 1_002);
    });
}

#[test]
fn inside_mail_and_reports_pass_bulk_that_keeps_every_worker_busy() {
    story(|world| async move {
        let town = Town::build(&world, 26, &[]).await;
        let (inside, gone) = (town.at(25).clone(), town.at(24).clone());
        town.gateway.add_routes(&[(inside.domain.clone(), inside.host.clone(), true)]).await;
        gone.sink.behave(|b| b.recipients.push((gone.mailbox("gone"), "550 5.1.1 no such user".into())));
        assert!(town.gateway.boot().await);
        for d in &town.destinations[..24] {
            d.link(Link::Refusing);
            d.sink.behave(|b| b.delay_ms = 150);
        }
        bulk(&town, 1_000, 24).await;
        for d in &town.destinations[..24] {
            d.link(Link::Up);
        }
        town.gateway.console("queue retry all").await;
        let bulk_come = || town.destinations[..24].iter().map(|d| d.sink.count()).sum::<usize>();
        assert!(world.wait_until(60, || bulk_come() > 200).await, "{}", bulk_come());
        town.send("inside", &[&inside.mailbox("joe")]).await;
        town.send("returned", &[&gone.mailbox("gone")]).await;
        assert!(world.wait_until(10, || inside.sink.count() == 1).await, "inside mail waits for bulk");
        assert!(world.wait_until(20, || town.senders.count() == 1).await, "the report waits for bulk");
        assert!(bulk_come() < 900, "{}: there was nothing left to pass", bulk_come());
        assert!(world.wait_until(3_600, || town.gateway.queue_is_empty()).await);
        let settled = town.settle().await;
        settled.expect_exactly_once();
        assert_eq!((settled.delivered, settled.failed), (1_001, 1));
    });
}

#[test]
fn bulk_is_not_starved_by_a_steady_flow_of_other_mail() {
    story(|world| async move {
        let town = narrow(&world).await;
        let d = town.at(0).clone();
        bulk(&town, 100, 1).await;
        // More than the connection can carry, for ten minutes.
        for client in 20..24 {
            let town2 = town.clone();
            world.executor.spawn(Group::Outside, format!("busy {client}"), async move {
                let mut session = town2.client(client).await;
                for n in 0..3_000 {
                    let tag = format!("busy{client}-{n}");
                    let to = town2.at(0).mailbox("bob");
                    let reply = town2.account.send(&mut session, ANN, &[&to], &tag, &letter(&tag)).await;
                    if reply.is_none_or(|reply| reply.code != 250) {
                        return;
                    }
                    town2.world.sleep_ms(150).await;
                }
            });
        }
        d.link(Link::Up);
        let bulk_come = || d.sink.received().iter().filter(|r| tag(r).starts_with("bulk")).count();
        world.sleep_ms(240_000).await;
        let (bulk, all) = (bulk_come(), d.sink.count());
        assert!(bulk >= 10, "{bulk} of {all} letters in four minutes were bulk");
        assert!(bulk * 3 <= all, "{bulk} of {all}: bulk is not that important");
        assert!(world.wait_until(3_600, || town.gateway.queue_is_empty()).await);
        town.settle().await.expect_exactly_once();
    });
}
