//! The next hop by MX: whose mail goes where, and who we are.

use crate::letters::Letter;
use crate::net::Link;
use crate::peers::dns::Fault;
use crate::peers::exchange::{Exchange, Version};
use crate::peers::internet::Manner;
use crate::world::{World, ip};
use std::collections::BTreeSet;

const MX: u16 = 15;

/// An Exchange for `domain` at `address`, which `domain add` makes internal.
async fn own_domain(world: &World, domain: &str, options: &str, address: &str) -> Exchange {
    world.quietly(&format!("domain add {domain}{options}")).await;
    world.exchange(Version::E2019, &format!("ex.{domain}"), address, domain)
}

/// Sends a letter from an application and waits for it.
async fn reaches(world: &World, tag: &str, to: &str, peer: &str) {
    let letter = Letter::new(tag, "app@a.example", &[to]);
    world.application("10.1.0.7", "app.a.example").send(&letter).await.reply.expect(250, "");
    let mail = world.arrives(120, &letter, to).await;
    assert_eq!(mail.peer, peer, "{to}");
}

/// 0.22, trap 1: the appliance before or behind Exchange in the order of MX, under a second name, or under a foreign name
/// with its own address: it removes itself and nobody else.
pub async fn without_ourselves(world: World) {
    world.name_server(
        "gw.example A 10.0.0.1
         first.example MX 15 gw.example
         first.example MX 20 ex.first.example
         ex.first.example A 10.45.0.1
         last.example MX 10 ex.last.example
         last.example MX 20 gw.example
         ex.last.example A 10.45.0.2
         alias.example MX 5 mail-in.alias.example
         alias.example MX 10 gw.example
         alias.example MX 30 ex.alias.example
         mail-in.alias.example A 10.0.0.1
         ex.alias.example A 10.45.0.3
         address.example MX 10 somebody.provider.example
         address.example MX 10 ex.address.example
         somebody.provider.example A 10.0.0.1
         ex.address.example A 10.45.0.4
         nat.example MX 10 public.nat.example
         nat.example MX 20 ex.nat.example
         public.nat.example A 198.51.100.7
         ex.nat.example A 10.45.0.5",
    );
    world.set_up(&["set relay-networks 10.1.0.0/16", "set own-addresses 198.51.100.7"]).await;
    for (number, name) in ["first", "last", "alias", "address", "nat"].iter().enumerate() {
        let options = if *name == "alias" { " name mail-in.alias.example" } else { "" };
        let domain = format!("{name}.example");
        let exchange = own_domain(&world, &domain, options, &format!("10.45.0.{}", number + 1)).await;
        for round in 0..4 {
            let to = format!("ann@{domain}");
            reaches(&world, &format!("{name}-{round}"), &to, exchange.host()).await;
        }
    }
    world.queue_empties(60).await;
}

/// 0.22: nothing is left after removing ourselves: the mail waits, the operator is told, nobody gets a report; when the names
/// are mended it goes.
pub async fn nothing_left(world: World) {
    world.name_server("gw.example A 10.0.0.1\nonly.example MX 10 gw.example");
    world.set_up(&["set relay-networks 10.1.0.0/16"]).await;
    let exchange = own_domain(&world, "only.example", "", "10.45.0.1").await;
    let letter = Letter::new("only", "app@a.example", &["ann@only.example"]);
    world.application("10.1.0.7", "app.a.example").send(&letter).await.reply.expect(250, "");
    world.sleep_s(1_800).await;
    let shown = world.gateway.command("queue").await;
    assert!(shown.contains("ann@only.example") && shown.contains("waiting"), "{shown}");
    let log = world.gateway.command("log tail 50").await;
    assert!(!log.contains(" failed "), "{log}");
    world.dns.zone("only.example MX 20 ex.only.example\nex.only.example A 10.45.0.1");
    let mail = world.arrives(4 * 3_600, &letter, "ann@only.example").await;
    assert_eq!(mail.peer, exchange.host());
}

/// 0.06: the lower preference first; chance among equals; the next one when one is down.
pub async fn preference_and_chance(world: World) {
    world.name_server(
        "b.example MX 10 mx1.b.example
         b.example MX 20 mx2.b.example
         b.example MX 20 mx3.b.example
         mx1.b.example A 10.20.0.1
         mx2.b.example A 10.20.0.2
         mx3.b.example A 10.20.0.3",
    );
    world.set_up(&["set relay-networks 10.1.0.0/16"]).await;
    let servers: Vec<_> = (1..=3)
        .map(|n| {
            let address = format!("10.20.0.{n}");
            world.internet_mx(&format!("mx{n}.b.example"), &address, "b.example", Manner::default())
        })
        .collect();
    for number in 0..5 {
        reaches(&world, &format!("first-{number}"), "bob@b.example", "mx1.b.example").await;
        world.sleep_s(120).await;
    }
    world.net.set_link(ip("10.20.0.1"), Link::Refusing);
    for number in 0..16 {
        let letter = Letter::new(&format!("second-{number}"), "app@a.example", &["bob@b.example"]);
        world.application("10.1.0.7", "app.a.example").send(&letter).await.reply.expect(250, "");
        world.arrives(600, &letter, "bob@b.example").await;
        world.sleep_s(400).await;
    }
    let counts: Vec<_> = servers.iter().map(|server| server.received().len()).collect();
    assert_eq!(counts[0], 5);
    assert!(counts[1] >= 2 && counts[2] >= 2, "equals share: {counts:?}");
}

/// 0.23: with a relayhost nobody is asked for MX; without it again everybody is, at once.
pub async fn relayhost_overrides(world: World) {
    world.name_server("b.example MX 10 mx.b.example\nmx.b.example A 10.20.0.1");
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.20.0.9"]).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let _relay = world.internet_mx("relayhost.example", "10.20.0.9", "c.example", Manner::default());
    for number in 0..3 {
        reaches(&world, &format!("by-relayhost-{number}"), "bob@b.example", "relayhost.example").await;
    }
    assert_eq!(world.dns.asked_for("b.example", MX), 0);
    world.quietly("set next-hop none").await;
    world.shows("save", "Saved.").await;
    reaches(&world, "by-mx", "bob@b.example", "mx.b.example").await;
    assert!(world.dns.asked_for("b.example", MX) >= 1);
    world.quietly("set next-hop 10.20.0.9").await;
    world.shows("save", "Saved.").await;
    reaches(&world, "by-relayhost-again", "bob@b.example", "relayhost.example").await;
}

/// 2.01: to the Internet by MX, by A where there is no MX, never where the null MX says no; a name server that fails delays and
/// fails nothing.
pub async fn direct_delivery(world: World) {
    world.name_server(
        "mx.example MX 10 host.mx.example
         host.mx.example A 10.20.0.1
         noaddress.example MX 10 gone.noaddress.example
         noaddress.example MX 20 host.mx.example
         plain.example A 10.20.0.2
         never.example MX 0 .
         never.example A 10.20.0.2
         alias.example MX 10 www.alias.example
         www.alias.example CNAME host.mx.example
         a.example MX 10 mx.a.example
         mx.a.example A 10.20.0.3
         broken.example MX 10 host.mx.example",
    );
    world.set_up(&["set relay-networks 10.1.0.0/16"]).await;
    let _one = world.internet_mx("one.example", "10.20.0.1", "mx.example", Manner::strict());
    let _two = world.internet_mx("two.example", "10.20.0.2", "plain.example", Manner::strict());
    let senders = world.internet_mx("mx.a.example", "10.20.0.3", "a.example", Manner::strict());
    reaches(&world, "by-mx", "bob@mx.example", "one.example").await;
    reaches(&world, "second-mx", "bob@noaddress.example", "one.example").await;
    reaches(&world, "by-a", "bob@plain.example", "two.example").await;
    reaches(&world, "by-alias", "bob@alias.example", "one.example").await;
    for (number, to) in ["bob@never.example", "bob@does.not.exist.example"].into_iter().enumerate() {
        let letter = Letter::new(&format!("never-{number}"), "app@a.example", &[to]);
        world.application("10.1.0.7", "app.a.example").send(&letter).await.reply.expect(250, "");
        assert!(world.wait_until(120, || senders.received().len() == number + 1).await, "{to}");
        let report = String::from_utf8_lossy(&senders.received()[number].content).into_owned();
        let status = ["Status: 5.1.10", "Status: 5.1.2"][number];
        assert!(report.contains(status), "{to}: {report}");
    }
    world.dns.fault("broken.example", Some(Fault::ServFail));
    let letter = Letter::new("broken", "app@a.example", &["bob@broken.example"]);
    world.application("10.1.0.7", "app.a.example").send(&letter).await.reply.expect(250, "");
    world.sleep_s(3_600).await;
    world.dns.fault("broken.example", None);
    world.arrives(2 * 3_600, &letter, "bob@broken.example").await;
    assert_eq!(senders.received().len(), 2);
}

/// 2.01: a server that has only an IPv6 address, and one that has both and answers only one of them.
pub async fn direct_delivery_by_ipv6(world: World) {
    world.name_server(
        "six.example MX 10 mx.six.example
         mx.six.example AAAA 2001:db8:20::1
         both.example MX 10 mx.both.example
         mx.both.example AAAA 2001:db8:20::2
         mx.both.example A 10.20.0.2",
    );
    world.set_up(&["set relay-networks 10.1.0.0/16"]).await;
    world.with_ipv6().await;
    let six = world.internet_mx("mx.six.example", "2001:db8:20::1", "six.example", Manner::strict());
    let _four = world.internet_mx("mx.both.example", "10.20.0.2", "both.example", Manner::strict());
    reaches(&world, "six", "bob@six.example", "mx.six.example").await;
    assert_eq!(six.received()[0].from.ip(), crate::plan::GATEWAY_6);
    reaches(&world, "both", "bob@both.example", "mx.both.example").await;
}

/// Trap 1: for a domain that is not ours the rule of RFC 5321 stays: whoever stands behind us is no way out.
pub async fn foreign_domain_by_the_rfc(world: World) {
    world.name_server(
        "gw.example A 10.0.0.1
         before.example MX 10 mx.before.example
         before.example MX 20 gw.example
         mx.before.example A 10.20.0.1
         behind.example MX 10 gw.example
         behind.example MX 20 mx.behind.example
         mx.behind.example A 10.20.0.2
         a.example MX 10 mx.a.example
         mx.a.example A 10.20.0.3",
    );
    world.set_up(&["set relay-networks 10.1.0.0/16"]).await;
    let _before = world.internet_mx("mx.before.example", "10.20.0.1", "before.example", Manner::default());
    let behind = world.internet_mx("mx.behind.example", "10.20.0.2", "behind.example", Manner::default());
    let senders = world.internet_mx("mx.a.example", "10.20.0.3", "a.example", Manner::default());
    reaches(&world, "before", "bob@before.example", "mx.before.example").await;
    let letter = Letter::new("behind", "app@a.example", &["bob@behind.example"]);
    world.application("10.1.0.7", "app.a.example").send(&letter).await.reply.expect(250, "");
    assert!(world.wait_until(120, || senders.received().len() == 1).await);
    let report = String::from_utf8_lossy(&senders.received()[0].content).into_owned();
    assert!(report.contains("5.4.6"), "{report}");
    assert_eq!(behind.connections(), 0);
}

/// 0.25, trap 2: so many domains, each with its own name for the appliance and its own Exchange; each mail lands only there.
async fn many_domains(world: World, count: usize) {
    let mut zone = String::from("gw.example A 10.0.0.1\n");
    for n in 0..count {
        // As in the manual: in some the appliance is first, in some Exchange.
        let (ours, theirs) = if n % 2 == 0 { (15, 20) } else { (20, 15) };
        zone += &format!(
            "d{n}.example MX {ours} gw.d{n}.example\nd{n}.example MX {theirs} ex.d{n}.example\n\
             gw.d{n}.example A 10.0.0.1\nex.d{n}.example A 10.46.0.{}\n",
            n + 1
        );
    }
    world.name_server(&zone);
    world.set_up(&["set relay-networks 10.1.0.0/16"]).await;
    world.quietly("peer add internet any class internet").await;
    let mut exchanges = Vec::new();
    for n in 0..count {
        let options = format!(" name gw.d{n}.example");
        exchanges.push(
            own_domain(&world, &format!("d{n}.example"), &options, &format!("10.46.0.{}", n + 1)).await,
        );
    }
    let mut letters = Vec::new();
    for n in 0..count {
        let (to, next) = (format!("ann@d{n}.example"), format!("carl@d{}.example", (n + 1) % count));
        // One from the Internet for one domain, one from an application for two.
        let one = Letter::new(&format!("one-{n}"), "bob@b.example", &[&to]);
        let two = Letter::new(&format!("two-{n}"), "app@a.example", &[&to, &next]);
        world.application("10.66.0.1", "mx.b.example").send(&one).await.reply.expect(250, "");
        world.application("10.1.0.7", "app.a.example").send(&two).await.reply.expect(250, "");
        letters.push((one, vec![to.clone()]));
        letters.push((two, vec![to, next]));
    }
    for (letter, to) in &letters {
        for to in to {
            let mail = world.arrives(600, letter, to).await;
            assert_eq!(mail.peer, format!("ex.{}", crate::letters::domain_of(to)), "{to}");
        }
    }
    world.queue_empties(120).await;
    for exchange in &exchanges {
        let domains: BTreeSet<String> = exchange
            .received()
            .iter()
            .flat_map(|mail| mail.to().into_iter().map(crate::letters::domain_of).collect::<Vec<_>>())
            .collect();
        assert_eq!(domains.len(), 1, "{} got mail for {domains:?}", exchange.host());
        assert_eq!(exchange.received().len(), 3);
    }
}

/// 0.25: the 26 domains of the manual.
pub async fn twenty_six_domains(world: World) {
    many_domains(world, 26).await;
}

/// 0.25: the capacity, 64 domains.
pub async fn sixty_four_domains(world: World) {
    many_domains(world, 64).await;
}

/// Forged, wrong, slow and truncated answers: the mail goes where the truth says.
pub async fn lying_name_service(world: World) {
    world.name_server(
        "b.example MX 10 mx.b.example\nmx.b.example A 10.20.0.1\nslow.example MX 10 mx.b.example\nlong.example MX 10 mx.b.example\nevil.example A 10.66.6.6",
    );
    world.set_up(&["set relay-networks 10.1.0.0/16"]).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let thief = world.internet_mx("evil.example", "10.66.6.6", "evil.example", Manner::default());
    world.dns.fault("b.example", Some(Fault::Spoofed(50, ip("10.66.6.6"))));
    world.dns.fault("mx.b.example", Some(Fault::Spoofed(50, ip("10.66.6.6"))));
    reaches(&world, "spoofed", "bob@b.example", "mx.b.example").await;
    world.dns.fault("slow.example", Some(Fault::Slow(2_500)));
    reaches(&world, "slow", "bob@slow.example", "mx.b.example").await;
    world.dns.fault("long.example", Some(Fault::Truncated));
    reaches(&world, "truncated", "bob@long.example", "mx.b.example").await;
    assert!(world.dns.asked().iter().any(|(_, name, _, by_stream)| name == "long.example" && *by_stream));
    assert_eq!(thief.connections(), 0);
}
