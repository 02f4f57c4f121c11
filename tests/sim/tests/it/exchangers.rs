//! Mail finds its hosts by MX records and by routes of several hosts, and by nothing else.

use crate::{letter, tag};
use dns::{Data, Name};
use settings::{Action, Domain, Peer, Route};
use sim::gateway::{GATEWAY, Gateway};
use sim::network::Link;
use sim::peers::Sink;
use sim::world::{World, story};
use std::net::{IpAddr, SocketAddr};

/// A mail server at 10.60.0.`last`, under `name`.
fn server(world: &World, name: &str, last: u8) -> (Sink, IpAddr) {
    let address = IpAddr::from([10, 60, 0, last]);
    world.network.set_name(name, &[address]);
    (Sink::start(&world.executor, &world.network, SocketAddr::new(address, 25)), address)
}

fn mx(world: &World, domain: &str, records: &[(u16, &str)]) {
    let data = |(preference, host): &(u16, &str)| Data::Mx {
        preference: *preference,
        exchange: if *host == "." { Name::root() } else { Name::parse(host).expect("a name") },
    };
    world.network.set_records(domain, &records.iter().map(data).collect::<Vec<_>>());
}

/// A gateway without next hop, with what `rows` say of own domains.
async fn gateway(world: &World, domains: &[&str], routes: &[&str]) -> Gateway {
    let gateway = Gateway::new(world);
    gateway
        .configure(&[
            ("hostname", "gw.example"),
            ("relay-networks", "10.1.0.0/16"),
            ("without-identity", "pass"),
            ("own-names", "mx2.site.example"),
            ("own-addresses", "203.0.113.5"),
            ("delay-warning", "off"),
        ])
        .await;
    gateway.add_rows::<Domain>(domains).await;
    gateway.add_rows::<Route>(routes).await;
    world.network.set_name("gw.example", &[IpAddr::from(GATEWAY)]);
    world.network.set_name("gw.site.example", &[IpAddr::from(GATEWAY)]);
    world.network.set_name("mx2.site.example", &[IpAddr::from(GATEWAY)]);
    assert!(gateway.boot().await);
    gateway
}

async fn send(world: &World, tag: &str, to: &[&str]) {
    let mut client = world.client().await;
    client.send("ann@a.example", to, &letter(tag)).await.expect("open").expect(250, "");
    client.quit().await;
}

#[test]
fn own_names_and_addresses_are_left_out_of_the_mx_of_own_domains_whatever_their_preference() {
    for records in [
        // Our name before and behind the exchange, a second name of ours, both.
        &[(10, "exchange.site.example"), (15, "gw.site.example")][..],
        &[(10, "gw.site.example"), (15, "exchange.site.example")],
        &[(5, "mx2.site.example"), (10, "gw.example"), (15, "exchange.site.example")],
        // Our address behind a name that we do not know, and our public address in front of a translator.
        &[(10, "front.other.example"), (15, "exchange.site.example")],
        &[(10, "public.other.example"), (15, "exchange.site.example")],
        &[(10, "exchange.site.example"), (10, "public.other.example")],
    ] {
        story(move |world| async move {
            let (exchange, _) = server(&world, "exchange.site.example", 1);
            world.network.set_name("front.other.example", &[IpAddr::from(GATEWAY)]);
            world.network.set_name("public.other.example", &[IpAddr::from([203, 0, 113, 5])]);
            mx(&world, "site.example", records);
            let gateway = gateway(&world, &["site.example name gw.site.example"], &[]).await;
            for n in 0..5 {
                send(&world, &format!("n{n}"), &["bob@site.example"]).await;
            }
            assert!(world.wait_until(60, || exchange.count() == 5).await, "{records:?}");
            assert!(gateway.queue_is_empty());
            for own in [IpAddr::from(GATEWAY), IpAddr::from([203, 0, 113, 5])] {
                let to_us = world.network.attempts(own).len();
                // The client's connections come here too, one for each letter.
                assert_eq!(to_us, if own == IpAddr::from(GATEWAY) { 5 } else { 0 }, "{records:?}");
            }
        });
    }
}

#[test]
fn an_own_domain_with_nobody_left_waits_with_an_alarm_and_goes_on_when_dns_is_mended() {
    story(|world| async move {
        mx(&world, "site.example", &[(10, "gw.site.example"), (20, "mx2.site.example")]);
        let gateway = gateway(&world, &["site.example name gw.site.example"], &[]).await;
        send(&world, "waits", &["bob@site.example"]).await;
        world.sleep_ms(3_600_000).await;
        assert!(!gateway.queue_is_empty(), "it must not bounce");
        assert_eq!(gateway.count("failed"), 0);
        let log = gateway.console("log tail 50").await;
        assert!(log.contains("lead to this gateway"), "{log}");
        let (exchange, _) = server(&world, "exchange.site.example", 1);
        mx(&world, "site.example", &[(10, "gw.site.example"), (20, "exchange.site.example")]);
        assert!(world.wait_until(400, || exchange.count() == 1).await);
    });
}

#[test]
fn preferences_are_kept_a_dead_server_is_passed_over_and_preferred_again_when_it_is_back() {
    story(|world| async move {
        let (first, at) = server(&world, "a.far.example", 1);
        let (second, _) = server(&world, "b.far.example", 2);
        mx(&world, "far.example", &[(20, "b.far.example"), (10, "a.far.example")]);
        let _gateway = gateway(&world, &[], &[]).await;
        send(&world, "one", &["bob@far.example"]).await;
        assert!(world.wait_until(30, || first.count() == 1).await);
        world.network.set_link(at, Link::Dark);
        world.sleep_ms(5_000).await;
        for n in 0..5 {
            send(&world, &format!("dark{n}"), &["bob@far.example"]).await;
            world.sleep_ms(4_000).await;
        }
        assert!(world.wait_until(120, || second.count() == 5).await, "{}", second.count());
        // It took until the first of those attempts ended to learn that it is dead; from then on it is left alone.
        let tried = world.network.attempts(at).len();
        for n in 0..5 {
            send(&world, &format!("more{n}"), &["bob@far.example"]).await;
            world.sleep_ms(3_000).await;
        }
        assert!(world.wait_until(60, || second.count() == 10).await, "{}", second.count());
        assert!(
            world.network.attempts(at).len() <= tried + 2,
            "{tried} {}",
            world.network.attempts(at).len()
        );
        world.network.set_link(at, Link::Up);
        world.sleep_ms(400_000).await;
        send(&world, "back", &["bob@far.example"]).await;
        assert!(world.wait_until(30, || first.count() == 2).await);
        assert_eq!(tag(&first.received()[1]), "back");
    });
}

#[test]
fn what_dns_knows_to_be_final_fails_at_once_and_the_sender_is_told_why() {
    story(|world| async move {
        let (home, _) = server(&world, "mail.a.example", 9);
        mx(&world, "a.example", &[(10, "mail.a.example")]);
        mx(&world, "null.example", &[(0, ".")]);
        mx(&world, "loop.example", &[(10, "gw.example"), (20, "mail.a.example")]);
        mx(&world, "broken.example", &[(10, "nowhere.broken.example")]);
        let gateway = gateway(&world, &[], &[]).await;
        for (domain, status) in [
            ("gone.example", "5.1.2"),
            ("broken.example", "5.1.2"),
            ("null.example", "5.1.10"),
            ("loop.example", "5.4.6"),
        ] {
            let before = home.count();
            send(&world, domain, &[&format!("bob@{domain}")]).await;
            assert!(world.wait_until(100, || home.count() > before).await, "{domain}");
            let report = String::from_utf8_lossy(home.received()[before].body()).into_owned();
            assert!(report.contains(&format!("Status: {status}")), "{domain}: {report}");
        }
        assert!(world.wait_until(10, || gateway.queue_is_empty()).await);
    });
}

#[test]
fn name_servers_that_are_silent_and_domains_without_mx_records_fail_nobody() {
    story(|world| async move {
        let (host, _) = server(&world, "plain.example", 1);
        let gateway = gateway(&world, &[], &[]).await;
        world.network.set_name_service(false);
        send(&world, "early", &["bob@plain.example"]).await;
        world.sleep_ms(120_000).await;
        assert_eq!((host.count(), gateway.count("failed")), (0, 0));
        world.network.set_name_service(true);
        assert!(world.wait_until(1_000, || host.count() == 1).await);
    });
}

#[test]
fn a_relay_host_takes_everything_and_without_it_mx_records_count_again_also_for_what_waits() {
    story(|world| async move {
        let (exchanger, at) = server(&world, "mail.far.example", 1);
        mx(&world, "far.example", &[(10, "mail.far.example")]);
        let gateway = gateway(&world, &[], &[]).await;
        world.network.set_link(at, Link::Refusing);
        send(&world, "queued", &["bob@far.example"]).await;
        world.sleep_ms(10_000).await;
        let relay = world.next_hop();
        gateway.console("set next-hop 10.0.0.25").await;
        assert!(gateway.console("save").await.contains("Saved."));
        send(&world, "relayed", &["bob@far.example"]).await;
        assert!(world.wait_until(30, || relay.count() == 2).await);
        let before = world.network.attempts(at).len();
        gateway.console("set next-hop none").await;
        assert!(gateway.console("save").await.contains("Saved."));
        world.network.set_link(at, Link::Up);
        send(&world, "direct", &["bob@far.example"]).await;
        assert!(world.wait_until(30, || exchanger.count() == 1).await);
        assert!(world.network.attempts(at).len() > before && relay.count() == 2);
    });
}

#[test]
fn a_route_of_several_hosts_goes_by_cost_spreads_equals_and_comes_back_to_the_cheapest() {
    story(|world| async move {
        let (a, at_a) = server(&world, "a.site.example", 1);
        let (b, at_b) = server(&world, "b.site.example", 2);
        let (c, _) = server(&world, "c.site.example", 3);
        let row = "site.example a.site.example,b.site.example cost 10 10.60.0.3 cost 20 exchange helo out.gw.example";
        let _gateway = gateway(&world, &[], &[row]).await;
        let spread = async |tag: &str, count: usize| {
            for n in 0..count {
                send(&world, &format!("{tag}{n}"), &["bob@site.example"]).await;
                world.sleep_ms(3_000).await;
            }
        };
        spread("all", 24).await;
        assert!(world.wait_until(60, || a.count() + b.count() == 24).await);
        assert!(a.count() >= 4 && b.count() >= 4 && c.count() == 0, "{} {}", a.count(), b.count());
        assert!(a.commands().iter().any(|line| line == "EHLO out.gw.example"), "{:?}", a.commands());
        world.network.set_link(at_a, Link::Refusing);
        world.network.set_link(at_b, Link::Refusing);
        spread("dear", 4).await;
        assert!(world.wait_until(60, || c.count() == 4).await);
        world.network.set_link(at_b, Link::Up);
        world.sleep_ms(400_000).await;
        spread("back", 4).await;
        assert!(world.wait_until(60, || a.count() + b.count() == 28).await);
        assert_eq!(c.count(), 4);
    });
}

#[test]
fn a_peer_that_throttles_is_sent_less_and_gets_everything_in_the_end() {
    story(|world| async move {
        let (peer, _) = server(&world, "mail.far.example", 1);
        mx(&world, "far.example", &[(10, "mail.far.example")]);
        peer.behave(|b| b.mail = Some("451 4.7.500 Server busy. Please try again later".into()));
        let gateway = gateway(&world, &[], &[]).await;
        for n in 0..60 {
            send(&world, &format!("n{n}"), &["bob@far.example"]).await;
        }
        world.sleep_ms(60_000).await;
        let asked = || peer.commands().iter().filter(|line| line.starts_with("MAIL")).count();
        let at_first = asked();
        assert!(at_first <= 20, "{at_first} messages were offered to a peer that wants none");
        peer.behave(|b| b.mail = None);
        assert!(world.wait_until(3_600, || peer.count() == 60).await, "{}", peer.count());
        assert!(gateway.queue_is_empty());
    });
}

#[test]
fn mail_for_single_addresses_is_refused_forwarded_or_thrown_away() {
    story(|world| async move {
        let (exchange, _) = server(&world, "exchange.site.example", 1);
        mx(&world, "site.example", &[(10, "exchange.site.example")]);
        let gateway = Gateway::new(&world);
        gateway.configure(&[("hostname", "gw.example"), ("relay-networks", "10.1.0.0/16")]).await;
        gateway.configure(&[("without-identity", "pass")]).await;
        gateway.add_rows::<Domain>(&["site.example"]).await;
        gateway
            .add_rows::<Action>(&[
                "noreply@site.example discard",
                "orders@site.example forward desk@site.example",
                "old@site.example reject Nobody is here any more",
            ])
            .await;
        assert!(gateway.boot().await);
        let mut client = world.client().await;
        let refused = client.send("ann@a.example", &["Old@Site.example"], &letter("no")).await.expect("open");
        refused.expect(550, "Nobody is here any more");
        client.quit().await;
        send(&world, "both", &["NoReply@site.example", "orders@site.example"]).await;
        assert!(world.wait_until(30, || exchange.count() == 1).await);
        assert_eq!(exchange.received()[0].to, ["desk@site.example"]);
        send(&world, "lost", &["noreply@site.example"]).await;
        assert!(world.wait_until(30, || gateway.queue_is_empty()).await);
        world.sleep_ms(10_000).await;
        assert_eq!((exchange.count(), gateway.count("failed")), (1, 0));
    });
}

#[test]
fn more_dead_domains_than_the_table_holds_keep_no_living_one_waiting_and_lose_nothing() {
    story(|world| async move {
        let (living, _) = server(&world, "living.example", 1);
        let dead = IpAddr::from([10, 61, 0, 1]);
        let sink = Sink::start(&world.executor, &world.network, SocketAddr::new(dead, 25));
        world.network.set_link(dead, Link::Refusing);
        let gateway = gateway(&world, &[], &[]).await;
        for letter in 0..18 {
            let to: Vec<String> = (0..64).map(|n| format!("bob@d{}.example", letter * 64 + n)).collect();
            for address in &to {
                let (_, domain) = address.split_once('@').expect("an address");
                world.network.set_name(domain, &[dead]);
            }
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            send(&world, &format!("dead{letter}"), &to).await;
        }
        world.sleep_ms(120_000).await;
        for n in 0..3 {
            send(&world, &format!("living{n}"), &["bob@living.example"]).await;
            assert!(world.wait_until(120, || living.count() == n + 1).await, "it waits behind the dead");
            world.sleep_ms(20_000).await;
        }
        world.network.set_link(dead, Link::Up);
        let all = || gateway.count("delivered") == 18 * 64 + 3;
        assert!(world.wait_until(4 * 3_600, all).await, "{}", gateway.count("delivered"));
        assert!(gateway.queue_is_empty() && gateway.count("failed") == 0);
        assert_eq!(sink.received().iter().map(|letter| letter.to.len()).sum::<usize>(), 18 * 64);
    });
}

#[test]
fn addresses_that_the_exchange_does_not_have_are_refused_to_those_who_are_asked_and_once() {
    story(|world| async move {
        let (exchange, at) = server(&world, "exchange.site.example", 1);
        exchange.behave(|b| {
            b.recipients = ["ghost", "phantom"]
                .map(|who| (format!("{who}@site.example"), "550 5.1.1 no such user".into()))
                .into();
        });
        mx(&world, "site.example", &[(10, "exchange.site.example")]);
        mx(&world, "null.example", &[(0, ".")]);
        mx(&world, "a.example", &[(10, "exchange.site.example")]);
        let gateway = Gateway::new(&world);
        gateway.configure(&[("hostname", "gw.example"), ("without-identity", "pass")]).await;
        gateway.add_rows::<Domain>(&["site.example"]).await;
        let peer = "world 10.1.0.0/16 class internet verify-sender on verify-recipient on";
        gateway.add_rows::<Peer>(&[peer]).await;
        assert!(gateway.boot().await);
        let mut client = world.client().await;
        for (from, reply) in
            [("ghost@site.example", "5.1.0"), ("bob@gone.example", "5.1.8"), ("bob@null.example", "5.7.27")]
        {
            client.command(&format!("MAIL FROM:<{from}>")).await.expect(550, reply);
        }
        for _ in 0..3 {
            client.command("MAIL FROM:<ann@a.example>").await.expect(250, "");
            client.command("RCPT TO:<phantom@site.example>").await.expect(550, "5.1.1");
            client.command("RCPT TO:<bob@site.example>").await.expect(250, "");
            client.command("RSET").await.expect(250, "");
        }
        let asked = |who: &str| exchange.commands().iter().filter(|line| line.contains(who)).count();
        assert_eq!((asked("phantom@"), asked("bob@"), asked("ghost@")), (1, 1, 1));
        assert!(!exchange.commands().iter().any(|line| line == "DATA"));
        assert_eq!((exchange.count(), exchange.violations()), (0, vec![]));
        // Where nobody can say, the mail is taken.
        world.network.set_link(at, Link::Dark);
        client.command("MAIL FROM:<ann@a.example>").await.expect(250, "");
        client.command("RCPT TO:<new@site.example>").await.expect(250, "");
        client.quit().await;
    });
}
