//! Mail in.

use crate::{letter, passing_gateway, tag, without_trace};
use sim::gateway::{CLIENT, Gateway};
use sim::network::Conditions;
use sim::peers::{Client, dot_stuffed};
use sim::world::{stories, story};
use std::net::IpAddr;

#[test]
fn a_plain_message_is_relayed_with_a_trace_field_and_nothing_else_changed() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        let sent = letter("plain");
        let mut client = world.client().await;
        let reply = client.send("ann@a.example", &["bob@b.example"], &sent).await.expect("open");
        reply.expect(250, "2.0.0");
        client.quit().await;
        assert!(world.wait_until(60, || sink.count() == 1).await, "not delivered");
        let received = &sink.received()[0];
        assert_eq!(
            (received.from.as_str(), &received.to[..]),
            ("ann@a.example", &["bob@b.example".into()][..])
        );
        assert_eq!(without_trace(received), sent);
        let trace = received.header("Received").expect("a trace field");
        for part in [
            "from client.example ([10.1.0.7])",
            "by gw.example with ESMTP id ",
            "for <bob@b.example>",
            "22 Nov 2026",
        ] {
            assert!(trace.contains(part), "{part} is missing in {trace}");
        }
        assert!(world.wait_until(5, || gateway.count("delivered") == 1).await);
        assert_eq!(sink.violations(), Vec::<String>::new());
    });
}

#[test]
fn a_client_outside_the_relay_networks_is_denied_at_rcpt() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        let mut client =
            Client::connect(&world.network, IpAddr::from([192, 0, 2, 9]), Gateway::address()).await;
        client.greet().await.expect(250, "");
        client.command("MAIL FROM:<ann@a.example>").await.expect(250, "");
        client.command("RCPT TO:<bob@b.example>").await.expect(554, "5.7.1");
        client.command("DATA").await.expect(554, "");
        client.quit().await;
        world.sleep_ms(60_000).await;
        assert_eq!((sink.count(), gateway.count("accepted")), (0, 0));
        let log = gateway.console("log tail 20").await;
        assert!(
            log.contains("refused peer=192.0.2.9 stage=rcpt from=<ann@a.example> to=<bob@b.example>"),
            "{log}"
        );
    });
}

#[test]
fn a_factory_fresh_appliance_relays_for_nobody() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        assert!(gateway.boot().await);
        for from in [CLIENT, [127, 0, 0, 1], [10, 0, 0, 1]] {
            let mut client = Client::connect(&world.network, IpAddr::from(from), Gateway::address()).await;
            client.greet().await.expect(250, "");
            client.command("MAIL FROM:<ann@a.example>").await.expect(250, "");
            client.command("RCPT TO:<bob@b.example>").await.expect(554, "5.7.1");
            client.quit().await;
        }
    });
}

#[test]
fn date_and_message_id_are_added_only_where_they_are_missing() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        let bare = b"From: ann@a.example\r\nSubject: bare\r\n\r\nx\r\n";
        client.send("ann@a.example", &["bob@b.example"], bare).await.expect("open").expect(250, "");
        let full = letter("full");
        client.send("ann@a.example", &["bob@b.example"], &full).await.expect("open").expect(250, "");
        assert!(world.wait_until(60, || sink.count() == 2).await);
        let mut received = sink.received();
        received.sort_by_key(tag);
        let date = received[0].header("Date").expect("added");
        assert!(date.starts_with("Sun, 22 Nov 2026 12:00:"), "{date}");
        let id = received[0].header("Message-ID").expect("added");
        assert!(id.starts_with('<') && id.ends_with("@gw.example>"), "{id}");
        assert!(received[0].content.ends_with(bare));
        assert_eq!(without_trace(&received[1]), full);
        drop(gateway);
    });
}

#[test]
fn while_the_time_is_unknown_no_date_is_invented() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = Gateway::new(&world);
        gateway.clock.set(None);
        gateway.configure_default().await;
        gateway.configure(&[("without-identity", "pass")]).await;
        assert!(gateway.boot().await);
        let mut client = world.client().await;
        let bare = b"From: ann@a.example\r\n\r\nx\r\n";
        client.send("ann@a.example", &["bob@b.example"], bare).await.expect("open").expect(250, "");
        assert!(world.wait_until(60, || sink.count() == 1).await);
        assert_eq!(sink.received()[0].header("Date"), None);
        assert!(sink.received()[0].header("Message-ID").is_some());
    });
}

#[test]
fn a_message_that_goes_round_in_circles_is_refused() {
    story(|world| async move {
        let gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        let hops = |n: usize| {
            let mut content =
                "Received: from x by y; Sun, 22 Nov 2026 12:00:00 +0000\r\n".repeat(n).into_bytes();
            content.extend_from_slice(&letter("loop"));
            content
        };
        let reply = client.send("ann@a.example", &["bob@b.example"], &hops(51)).await.expect("open");
        reply.expect(554, "5.4.6");
        let reply = client.send("ann@a.example", &["bob@b.example"], &hops(50)).await.expect("open");
        reply.expect(250, "");
        assert_eq!(gateway.count("accepted"), 1);
    });
}

#[test]
fn a_full_queue_answers_452_and_keeps_what_it_has() {
    story(|world| async move {
        // A next hop where nobody answers: everything stays.
        let gateway = Gateway::new(&world);
        gateway
            .configure(&[
                ("hostname", "gw.example"),
                ("relay-networks", "10.1.0.0/16"),
                ("without-identity", "pass"),
                ("next-hop", "10.0.0.99"),
            ])
            .await;
        assert!(gateway.boot().await);
        world.network.set_conditions(Conditions {
            latency_us_min: 10,
            latency_us_max: 20,
            segment_bytes_max: 65_000,
        });
        let mut client = world.client().await;
        let mut content = letter("large");
        content.extend_from_slice(
            "0123456789012345678901234567890123456789012345678901234567\r\n".repeat(150_000).as_bytes(),
        );
        let mut accepted = 0;
        loop {
            let reply = client.send("ann@a.example", &["bob@b.example"], &content).await.expect("open");
            if reply.code != 250 {
                reply.expect(452, "4.3.1");
                break;
            }
            accepted += 1;
            assert!(accepted < 10, "the queue takes more than it has room for");
        }
        assert!(accepted >= 5, "only {accepted} of 9 MB fit into 56 MiB");
        // RFC 1870: a client that says how much it has is told before it sends.
        client.command("RSET").await.expect(250, "");
        client.command("MAIL FROM:<ann@a.example> SIZE=20000000").await.expect(452, "4.3.1");
        // A small one still fits.
        let small = client.send("ann@a.example", &["bob@b.example"], &letter("small")).await.expect("open");
        small.expect(250, "");
        client.quit().await;
        let sink = world.next_hop();
        gateway.console("set next-hop 10.0.0.25").await;
        gateway.console("save").await;
        assert!(world.wait_until(600, || sink.count() == accepted + 1).await, "{} came", sink.count());
        assert!(world.wait_until(60, || gateway.count("delivered") == accepted as u64 + 1).await);
        let mut client = world.client().await;
        let reply = client.send("ann@a.example", &["bob@b.example"], &content).await.expect("open");
        reply.expect(250, "");
    });
}

#[test]
fn pipelined_commands_in_any_segments_are_answered_in_order() {
    stories(20, |world| async move {
        let sink = world.next_hop();
        let _gateway = passing_gateway(&world).await;
        let most = 1 + world.random_below(40) as usize;
        world.network.set_conditions(Conditions { segment_bytes_max: most, ..Conditions::default() });
        let mut client = world.client().await;
        let mut wire = Vec::new();
        for tag in ["one", "two", "three"] {
            wire.extend_from_slice(b"MAIL FROM:<ann@a.example>\r\nRCPT TO:<bob@b.example>\r\nDATA\r\n");
            wire.extend_from_slice(&dot_stuffed(&letter(tag)));
        }
        wire.extend_from_slice(b"QUIT\r\n");
        client.raw(&wire).await.expect("open");
        for _ in 0..3 {
            for code in [250, 250, 354, 250] {
                client.reply().await.expect("a reply").expect(code, "");
            }
        }
        client.reply().await.expect("a reply").expect(221, "");
        assert!(world.wait_until(60, || sink.count() == 3).await);
        let mut tags: Vec<_> = sink.received().iter().map(tag).collect();
        tags.sort();
        assert_eq!(tags, ["one", "three", "two"]);
    });
}

#[test]
fn sixty_four_clients_at_once_are_served() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        let done = std::rc::Rc::new(std::cell::Cell::new(0));
        for i in 0..64u8 {
            let (world2, done) = (world.clone(), done.clone());
            world.executor.spawn(sim::executor::Group::Outside, format!("client {i}"), async move {
                let mut client =
                    Client::connect(&world2.network, IpAddr::from([10, 1, 1, i]), Gateway::address()).await;
                client.greet().await.expect(250, "");
                world2.sleep_ms(500).await;
                for n in 0..3 {
                    let content = letter(&format!("c{i}n{n}"));
                    let reply =
                        client.send("ann@a.example", &["bob@b.example"], &content).await.expect("open");
                    reply.expect(250, "");
                }
                client.quit().await;
                done.set(done.get() + 1);
            });
        }
        assert!(world.wait_until(120, || done.get() == 64).await, "{} clients ended", done.get());
        assert!(world.wait_until(120, || sink.count() == 192).await, "{} came", sink.count());
        assert_eq!(gateway.count("sessions open, most"), 64);
        let mut tags: Vec<_> = sink.received().iter().map(tag).collect();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 192);
    });
}

#[test]
fn a_silent_client_gets_421_and_its_half_message_is_forgotten() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        for command in ["MAIL FROM:<ann@a.example>", "RCPT TO:<bob@b.example>", "DATA"] {
            assert!(client.command(command).await.code < 400);
        }
        client.raw(b"Subject: half\r\n\r\nhalf a mess").await.expect("open");
        client.reply().await.expect("a reply").expect(421, "4.4.2");
        assert!(client.reply().await.is_none(), "the connection is closed");
        assert_eq!((sink.count(), gateway.count("accepted")), (0, 0));
        let queue = gateway.console("queue").await;
        assert!(queue.contains("empty"), "{queue}");
    });
}
