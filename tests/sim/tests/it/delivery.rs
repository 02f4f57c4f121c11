//! Mail out.

use crate::{letter, passing_gateway, tag, without_trace};
use sim::gateway::{GATEWAY, Gateway, NEXT_HOP};
use sim::network::{Conditions, Link};
use sim::peers::Sink;
use sim::world::{World, stories, story};
use std::net::{IpAddr, SocketAddr};

async fn send(world: &World, tags: &[&str], to: &[&str]) {
    let mut client = world.client().await;
    for tag in tags {
        client.send("ann@a.example", to, &letter(tag)).await.expect("open").expect(250, "");
    }
    client.quit().await;
}

fn tags(sink: &Sink) -> Vec<String> {
    let mut tags: Vec<_> = sink.received().iter().map(tag).collect();
    tags.sort();
    tags
}

#[test]
fn mail_waits_while_the_next_hop_is_down_and_flows_soon_after_it_is_back() {
    for link in [Link::Refusing, Link::Dark] {
        story(move |world| async move {
            let hop = IpAddr::from(NEXT_HOP);
            world.network.set_link(hop, link);
            let sink = world.next_hop();
            let gateway = passing_gateway(&world).await;
            let names: Vec<String> = (0..20).map(|i| format!("m{i:02}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            send(&world, &names, &["bob@b.example"]).await;
            world.sleep_ms(1_800_000).await;
            let queue = gateway.console("queue").await;
            let why = if link == Link::Dark { "no answer" } else { "connection refused" };
            assert!(queue.contains(&format!("Nothing is delivered: 10.0.0.25:25: {why}")), "{queue}");
            let programs = gateway.bank.counters().programs;
            let failed = gateway.count("connections out, failed");
            world.sleep_ms(600_000).await;
            // One record of the operating time: two programs.
            let worn = gateway.bank.counters().programs - programs;
            assert!(worn <= 2, "waiting wears the flash: {worn}");
            let probes = gateway.count("connections out, failed") - failed;
            assert!((6..=14).contains(&probes), "{probes} probes in ten minutes");
            world.network.set_link(hop, Link::Up);
            assert!(world.wait_until(120, || sink.count() == 20).await, "{} came", sink.count());
            assert!(world.wait_until(10, || gateway.queue_is_empty()).await);
            assert_eq!(tags(&sink), names);
        });
    }
}

#[test]
fn queue_retry_probes_at_once() {
    story(|world| async move {
        let hop = IpAddr::from(NEXT_HOP);
        world.network.set_link(hop, Link::Refusing);
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        send(&world, &["x"], &["bob@b.example"]).await;
        world.sleep_ms(600_000).await;
        world.network.set_link(hop, Link::Up);
        gateway.console("queue retry all").await;
        assert!(world.wait_until(2, || sink.count() == 1).await);
    });
}

#[test]
fn each_recipient_gets_its_own_result() {
    story(|world| async move {
        let sink = world.next_hop();
        sink.behave(|b| {
            b.recipients.push(("later@b.example".into(), "450 4.2.0 greylisted".into()));
            b.recipients.push(("never@b.example".into(), "550 5.1.1 unknown user".into()));
        });
        let gateway = passing_gateway(&world).await;
        // Failures are shown to the operator, and no sender is told.
        gateway.console("set commissioning on").await;
        assert!(gateway.console("save").await.contains("Saved."));
        send(&world, &["three"], &["bob@b.example", "later@b.example", "never@b.example"]).await;
        assert!(world.wait_until(10, || gateway.count("failed") == 1).await);
        assert_eq!(sink.received()[0].to, ["bob@b.example"]);
        let queue = gateway.console("queue").await;
        assert!(queue.contains("1 of 3 open") && queue.contains("450 4.2.0 greylisted"), "{queue}");
        sink.behave(|b| b.recipients.retain(|(to, _)| to != "later@b.example"));
        assert!(world.wait_until(120, || sink.count() == 2).await);
        assert_eq!(sink.received()[1].to, ["later@b.example"]);
        assert!(world.wait_until(10, || gateway.count("delivered") == 2).await);
        world.sleep_ms(86_400_000).await;
        assert_eq!(sink.count(), 2, "nobody gets it twice");
        let queue = gateway.console("queue").await;
        // The screen wraps where it must.
        let words: Vec<&str> = queue.split_whitespace().collect();
        assert!(queue.contains("held") && words.join(" ").contains("550 5.1.1 unknown"), "{queue}");
        let id = ids_of(&queue, "held")[0];
        let shown = gateway.console(&format!("queue show {id}")).await;
        assert!(shown.contains("<never@b.example> failed: 550 5.1.1 unknown user"), "{shown}");
        assert!(shown.contains("<bob@b.example> delivered"), "{shown}");
        // The operator sees that the address exists now, and lets it go.
        sink.behave(|b| b.recipients.clear());
        gateway.console(&format!("queue release {id}")).await;
        assert!(world.wait_until(60, || sink.count() == 3).await);
        assert_eq!(sink.received()[2].to, ["never@b.example"]);
        assert!(world.wait_until(10, || gateway.queue_is_empty()).await);
    });
}

#[test]
fn a_refusal_for_now_is_tried_again_with_growing_pauses() {
    story(|world| async move {
        let sink = world.next_hop();
        sink.behave(|b| b.content = Some("451 4.3.0 try again".into()));
        let gateway = passing_gateway(&world).await;
        send(&world, &["x"], &["bob@b.example"]).await;
        world.sleep_ms(3 * 3_600_000).await;
        let tries = gateway.count("deferred");
        // 1, 2, 4 … 32 minutes, then every hour, each an eighth shorter or longer.
        assert!((7..=9).contains(&tries), "{tries} tries in three hours");
        sink.behave(|b| b.content = None);
        assert!(world.wait_until(2 * 3_600, || sink.count() == 1).await);
    });
}

#[test]
fn a_message_that_nobody_takes_is_given_up_after_its_lifetime_and_kept_visible() {
    story(|world| async move {
        let sink = world.next_hop();
        sink.behave(|b| b.mail = Some("451 4.3.0 not today".into()));
        let gateway = passing_gateway(&world).await;
        // Failures are shown to the operator, and no sender is told.
        gateway.console("set commissioning on").await;
        assert!(gateway.console("save").await.contains("Saved."));
        send(&world, &["x"], &["bob@b.example"]).await;
        world.sleep_ms(6 * 86_400_000).await;
        let queue = gateway.console("queue").await;
        assert!(queue.contains("held") && queue.contains("given up"), "{queue}");
        assert_eq!(sink.count(), 0);
    });
}

#[test]
fn messages_share_connections() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        let names: Vec<String> = (0..60).map(|i| format!("m{i:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        send(&world, &names, &["bob@b.example"]).await;
        assert!(world.wait_until(60, || sink.count() == 60).await);
        assert!(sink.connections() <= 16, "{} connections for 60 messages", sink.connections());
        assert!(world.wait_until(60, || gateway.count("connections out") == sink.connections()).await);
        world.sleep_ms(10_000).await;
        assert_eq!(sink.commands().iter().filter(|c| *c == "QUIT").count() as u64, sink.connections());
    });
}

#[test]
fn a_peer_that_limits_messages_and_connections_gets_everything_all_the_same() {
    story(|world| async move {
        let sink = world.next_hop();
        sink.behave(|b| b.messages_max = 3);
        let _gateway = passing_gateway(&world).await;
        let names: Vec<String> = (0..40).map(|i| format!("m{i:02}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        send(&world, &names, &["bob@b.example"]).await;
        assert!(world.wait_until(120, || sink.count() >= 40).await, "{} came", sink.count());
        assert_eq!(tags(&sink), names);
    });
}

#[test]
fn a_peer_without_extensions_is_served_too() {
    story(|world| async move {
        let sink = world.next_hop();
        sink.behave(|b| b.helo_only = true);
        let _gateway = passing_gateway(&world).await;
        send(&world, &["old", "older"], &["bob@b.example", "eve@b.example"]).await;
        assert!(world.wait_until(60, || sink.count() == 2).await);
        assert_eq!(sink.violations(), Vec::<String>::new());
        assert!(!sink.commands().iter().any(|c| c.contains("SIZE=") || c.contains("BODY=")));
    });
}

#[test]
fn many_recipients_go_in_one_transaction_and_all_arrive() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        let to: Vec<String> = (0..300).map(|i| format!("user{i:03}@b.example")).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        send(&world, &["many"], &to).await;
        assert!(world.wait_until(60, || gateway.count("delivered") == 300).await);
        let mut got: Vec<String> = sink.received().into_iter().flat_map(|r| r.to).collect();
        got.sort();
        assert_eq!(got, to);
        assert_eq!(sink.count(), 1);
    });
}

#[test]
fn a_peer_that_takes_few_recipients_at_a_time_gets_the_rest_in_further_transactions() {
    story(|world| async move {
        let sink = world.next_hop();
        let to: Vec<String> = (0..25).map(|i| format!("user{i:02}@b.example")).collect();
        sink.behave(|b| b.recipients_max = 10);
        let gateway = passing_gateway(&world).await;
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        send(&world, &["many"], &to).await;
        assert!(
            world.wait_until(20, || gateway.count("delivered") == 25).await,
            "{}",
            gateway.count("delivered")
        );
        let mut got: Vec<String> = sink.received().into_iter().flat_map(|r| r.to).collect();
        got.sort();
        assert_eq!(got, to);
        assert_eq!(sink.count(), 3);
    });
}

#[test]
fn every_address_of_a_named_next_hop_is_tried_until_one_serves() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        gateway.configure_default().await;
        gateway.configure(&[("without-identity", "pass"), ("next-hop", "mx.b.example:2525")]).await;
        let addresses: Vec<IpAddr> = (1..=4).map(|i| IpAddr::from([10, 9, 0, i])).collect();
        world.network.set_name("mx.b.example", &addresses);
        world.network.set_link(addresses[1], Link::Dark);
        let refusing = Sink::start(&world.executor, &world.network, SocketAddr::new(addresses[2], 2525));
        refusing.behave(|b| b.greeting = "554 no service here".into());
        let sink = Sink::start(&world.executor, &world.network, SocketAddr::new(addresses[3], 2525));
        assert!(gateway.boot().await);
        send(&world, &["x"], &["bob@b.example"]).await;
        assert!(world.wait_until(120, || sink.count() == 1).await);
        // Chance decides the order; nobody is asked twice.
        assert!(refusing.connections() <= 1);
        assert!(addresses.iter().all(|address| world.network.attempts(*address).len() <= 1));
    });
}

#[test]
fn name_servers_that_do_not_answer_are_waited_for() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        gateway.configure_default().await;
        gateway.configure(&[("without-identity", "pass"), ("next-hop", "mx.b.example")]).await;
        world.network.set_name("mx.b.example", &[IpAddr::from(NEXT_HOP)]);
        world.network.set_name_service(false);
        let sink = world.next_hop();
        assert!(gateway.boot().await);
        send(&world, &["x"], &["bob@b.example"]).await;
        world.sleep_ms(300_000).await;
        let queue = gateway.console("queue").await;
        let queue = queue.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(queue.contains("no answer from the name servers"), "{queue}");
        world.network.set_name_service(true);
        assert!(world.wait_until(120, || sink.count() == 1).await);
    });
}

#[test]
fn a_message_of_25_mib_passes_unchanged() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        world.network.set_conditions(Conditions { segment_bytes_max: 16_000, ..Conditions::default() });
        let mut content = letter("big");
        let line = "....................................................................\r\n";
        while content.len() + line.len() < 25 * 1_024 * 1_024 {
            content.extend_from_slice(line.as_bytes());
        }
        let mut client = world.client().await;
        client.send("ann@a.example", &["bob@b.example"], &content).await.expect("open").expect(250, "");
        let over = [&content[..], line.as_bytes()].concat();
        let reply = client.send("ann@a.example", &["bob@b.example"], &over).await.expect("open");
        reply.expect(552, "5.3.4");
        assert!(world.wait_until(600, || sink.count() == 1).await);
        assert!(without_trace(&sink.received()[0]) == content, "content changed");
        // Every line begins with a dot that is doubled, and still the wire sees full segments.
        let (writes, octets) = world.network.written(IpAddr::from(GATEWAY));
        assert!(octets / writes > 3_000, "{octets} octets in {writes} writes");
        drop(gateway);
    });
}

#[test]
fn a_connection_lost_after_the_content_may_bring_a_second_copy_but_never_loses_the_message() {
    story(|world| async move {
        let sink = world.next_hop();
        sink.behave(|b| b.drop_after_content = true);
        let gateway = passing_gateway(&world).await;
        send(&world, &["x"], &["bob@b.example"]).await;
        assert!(world.wait_until(60, || sink.count() == 1).await);
        let log = gateway.console("log tail 5").await;
        assert!(log.contains("the peer may have taken it"), "{log}");
        sink.behave(|b| b.drop_after_content = false);
        assert!(world.wait_until(300, || gateway.queue_is_empty()).await);
        assert_eq!(sink.count(), 2);
    });
}

/// The IDs of messages whose second row in the list contains `part`.
fn ids_of<'q>(queue: &'q str, part: &str) -> Vec<&'q str> {
    let rows: Vec<&str> = queue.lines().collect();
    let meant = rows.windows(2).filter(|two| two[1].starts_with(' ') && two[1].contains(part));
    meant.filter_map(|two| two[0].split(' ').next()).collect()
}

#[test]
fn held_mail_waits_for_release_and_removed_mail_never_leaves() {
    story(|world| async move {
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Refusing);
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        send(&world, &["one", "two", "three"], &["bob@b.example"]).await;
        world.sleep_ms(10_000).await;
        gateway.console("queue hold all").await;
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Up);
        world.sleep_ms(3_600_000).await;
        assert_eq!(sink.count(), 0);
        let queue = gateway.console("queue").await;
        let ids = ids_of(&queue, "held: held by");
        assert_eq!(ids.len(), 3, "{queue}");
        gateway.console(&format!("queue remove {}", ids[1])).await;
        gateway.console("queue release all").await;
        assert!(world.wait_until(60, || sink.count() == 2).await);
        assert_eq!(tags(&sink), ["one", "three"]);
    });
}

#[test]
fn a_flood_over_a_bad_network_arrives_exactly_once() {
    stories(5, |world| async move {
        let sink = world.next_hop();
        sink.behave(|b| b.delay_ms = 3);
        let gateway = passing_gateway(&world).await;
        let conditions = Conditions {
            latency_us_min: 1_000,
            latency_us_max: 80_000,
            segment_bytes_max: 1 + world.random_below(1_460) as usize,
        };
        world.network.set_conditions(conditions);
        let names: Vec<String> = (0..60).map(|i| format!("m{i:02}")).collect();
        for part in names.chunks(15) {
            let (world2, part) = (world.clone(), part.to_vec());
            world.executor.spawn(sim::executor::Group::Outside, "sender", async move {
                let part: Vec<&str> = part.iter().map(String::as_str).collect();
                send(&world2, &part, &["bob@b.example"]).await;
            });
        }
        for _ in 0..5 {
            world.sleep_ms(200 + world.random_below(3_000)).await;
            world.network.set_link(
                IpAddr::from(NEXT_HOP),
                [Link::Dark, Link::Refusing][world.random_below(2) as usize],
            );
            world.sleep_ms(world.random_below(8_000)).await;
            world.network.set_link(IpAddr::from(NEXT_HOP), Link::Up);
        }
        assert!(world.wait_until(3_600, || sink.count() >= 60 && gateway.queue_is_empty()).await);
        assert_eq!(tags(&sink), names);
    });
}
