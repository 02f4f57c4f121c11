//! Mail from `<>`, failures of it, and failures that nobody is told of.

use sim::letters::{letter, tag};
use sim::network::Link;
use sim::peers::Sink;
use sim::report::Report;
use sim::town::{ANN, Town};
use sim::world::{World, story};
use std::net::{IpAddr, SocketAddr};

const NULL_HOST: [u8; 4] = [10, 0, 0, 80];

fn null_host(world: &World) -> Sink {
    Sink::start(&world.executor, &world.network, SocketAddr::new(IpAddr::from(NULL_HOST), 25))
}

async fn send_from_nobody(town: &Town, tag: &str, to: &str) {
    let mut client = town.world.client().await;
    let reply = town.account.send(&mut client, "", &[to], tag, &letter(tag)).await;
    reply.expect("open").expect(250, "");
    client.quit().await;
}

/// What `queue show` says of the oldest message.
async fn show_first(town: &Town) -> String {
    let shown = town.gateway.console("queue").await;
    let id = shown
        .lines()
        .map(|line| line.split(' ').next().unwrap_or_default())
        .find(|id| id.starts_with("0000"));
    town.gateway.console(&format!("queue show {}", id.expect("a row"))).await
}

#[test]
fn mail_from_nobody_and_reports_take_their_own_route() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[("null-sender-next-hop", "10.0.0.80")]).await;
        let null = null_host(&world);
        let d = town.at(0);
        d.sink.behave(|b| b.recipients.push((d.mailbox("gone"), "550 5.1.1 no such user".into())));
        town.send("plain", &[&d.mailbox("bob")]).await;
        send_from_nobody(&town, "notice", &d.mailbox("bob")).await;
        town.send("fails", &[&d.mailbox("gone")]).await;
        assert!(world.wait_until(60, || town.gateway.queue_is_empty()).await);
        assert_eq!(d.sink.received().iter().map(tag).collect::<Vec<_>>(), ["plain"]);
        assert_eq!(town.senders.count(), 0);
        let received = null.received();
        assert_eq!(received.len(), 2, "the notice and the report");
        assert!(received.iter().all(|r| r.from.is_empty()));
        let report = received.iter().find_map(Report::read).expect("a report");
        assert_eq!((report.tag.as_str(), report.about[0].action.as_str()), ("fails", "failed"));
        assert!(received.iter().any(|r| tag(r) == "notice" && r.to == [d.mailbox("bob")]));
    });
}

#[test]
fn a_null_sender_route_that_is_dead_holds_up_no_other_mail() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[("null-sender-next-hop", "10.0.0.80")]).await;
        let null = null_host(&world);
        world.network.set_link(IpAddr::from(NULL_HOST), Link::Dark);
        let d = town.at(0);
        send_from_nobody(&town, "notice", &d.mailbox("bob")).await;
        world.sleep_ms(60_000).await;
        town.send("plain", &[&d.mailbox("bob")]).await;
        assert!(world.wait_until(2, || d.sink.count() == 1).await);
        world.network.set_link(IpAddr::from(NULL_HOST), Link::Up);
        assert!(world.wait_until(600, || null.count() == 1).await);
    });
}

#[test]
fn a_report_that_cannot_be_delivered_goes_to_the_postmaster() {
    story(|world| async move {
        let town = Town::start(&world, 2, &[("postmaster", "chief@d001.example")]).await;
        let (d, chief) = (town.at(0), town.at(1));
        d.sink.behave(|b| b.recipients.push((d.mailbox("gone"), "550 5.1.1 no such user".into())));
        town.senders.behave(|b| b.recipients.push((ANN.into(), "550 5.1.1 Ann left".into())));
        town.send("fails", &[&d.mailbox("gone")]).await;
        assert!(world.wait_until(120, || chief.sink.count() == 1).await, "the postmaster is told");
        assert!(world.wait_until(60, || town.gateway.queue_is_empty()).await);
        let received = &chief.sink.received()[0];
        assert_eq!((received.from.as_str(), &received.to[..]), ("", &["chief@d001.example".to_string()][..]));
        let report = Report::read(received).expect("a report");
        assert!(
            report.about.iter().any(|about| about.recipient == ANN && about.action == "failed"),
            "{report:?}"
        );
        world.sleep_ms(86_400_000).await;
        assert_eq!((chief.sink.count(), town.senders.count(), d.sink.count()), (1, 0, 0));
    });
}

#[test]
fn a_failing_postmaster_makes_no_circle() {
    story(|world| async move {
        let town = Town::start(&world, 2, &[("postmaster", "chief@d001.example")]).await;
        let (d, chief) = (town.at(0), town.at(1));
        for (sink, mailbox) in
            [(&d.sink, d.mailbox("gone")), (&town.senders, ANN.into()), (&chief.sink, chief.mailbox("chief"))]
        {
            sink.behave(|b| b.recipients.push((mailbox, "550 5.1.1 no such user".into())));
        }
        town.send("fails", &[&d.mailbox("gone")]).await;
        world.sleep_ms(3_600_000).await;
        // The last report is kept for the operator; it is not sent round and round.
        let queue = town.gateway.console("queue").await;
        assert_eq!(town.gateway.appliance().queued(), 1, "{queue}");
        assert!(queue.contains("held"), "{queue}");
        assert!(town.gateway.count("connections out") < 20);
    });
}

#[test]
fn without_a_postmaster_what_can_be_returned_to_nobody_is_held() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[]).await;
        let d = town.at(0);
        d.sink.behave(|b| b.recipients.push((d.mailbox("gone"), "550 5.1.1 no such user".into())));
        send_from_nobody(&town, "notice", &d.mailbox("gone")).await;
        world.sleep_ms(3_600_000).await;
        let queue = town.gateway.console("queue").await;
        assert!(queue.contains("held"), "{queue}");
        let shown = show_first(&town).await;
        assert!(shown.contains("550 5.1.1"), "{shown}");
        assert_eq!((town.senders.count(), town.gateway.appliance().queued()), (0, 1));
        // The operator sees that the address exists now.
        d.sink.behave(|b| b.recipients.clear());
        town.gateway.console("queue release all").await;
        assert!(world.wait_until(60, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 1);
    });
}

#[test]
fn while_commissioning_nothing_is_returned_and_everything_is_kept_and_shown() {
    story(|world| async move {
        let settings = [("commissioning", "on"), ("message-lifetime", "6h"), ("delay-warning", "1h")];
        let town = Town::start(&world, 2, &settings).await;
        let (wrong, dead) = (town.at(0), town.at(1));
        dead.link(Link::Refusing);
        wrong.sink.behave(|b| b.recipients.push((wrong.mailbox("gone"), "550 5.1.1 no such user".into())));
        town.send("refused", &[&wrong.mailbox("gone"), &wrong.mailbox("bob")]).await;
        town.send("expires", &[&dead.mailbox("bob")]).await;
        world.sleep_ms(12 * 3_600_000).await;
        assert_eq!(town.senders.count(), 0, "nothing is returned, nobody is warned");
        assert_eq!(wrong.sink.count(), 1, "what can be delivered is delivered");
        let queue = town.gateway.console("queue").await;
        assert_eq!(town.gateway.appliance().queued(), 2, "{queue}");
        assert!(queue.contains("2 messages, 2 held."), "{queue}");
        let shown = show_first(&town).await;
        assert!(shown.contains("550 5.1.1"), "{shown}");
        // The cause is mended, the operator lets both go.
        wrong.sink.behave(|b| b.recipients.clear());
        dead.link(Link::Up);
        town.gateway.console("queue release all").await;
        assert!(world.wait_until(300, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.senders.count(), 0);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 3);
    });
}

#[test]
fn after_commissioning_what_was_kept_is_returned_when_it_fails_again() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[("commissioning", "on")]).await;
        let d = town.at(0);
        d.sink.behave(|b| b.recipients.push((d.mailbox("gone"), "550 5.1.1 no such user".into())));
        town.send("refused", &[&d.mailbox("gone")]).await;
        world.sleep_ms(60_000).await;
        assert_eq!(town.senders.count(), 0);
        for line in ["set commissioning off", "save", "queue release all"] {
            town.gateway.console(line).await;
        }
        assert!(
            world.wait_until(120, || town.senders.count() == 1).await,
            "{}",
            town.gateway.console("queue").await
        );
        assert!(world.wait_until(60, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().failed, 1);
    });
}
