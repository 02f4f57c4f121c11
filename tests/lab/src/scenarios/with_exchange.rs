//! Exchange, online and on premises, beside the appliance.

use crate::letters::Letter;
use crate::peers::exchange::Version;
use crate::peers::internet::Manner;
use crate::plan::{GATEWAY, GATEWAY_SMTP};
use crate::world::World;

/// 0.11: the connector's smart host is an IP address and port 25.
pub async fn smart_host_by_address(world: World) {
    world.set_up(&["set relay-networks 10.40.0.1/32", "set next-hop 10.20.0.1"]).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let exchange = world.exchange(
        Version::Online,
        "contoso-example.mail.protection.outlook.com",
        "10.40.0.1",
        "contoso.example",
    );
    exchange.configure(|config| {
        config.all_by_smart_host = true;
        config.smart_hosts = vec![GATEWAY_SMTP];
    });
    let letter = Letter::new("by-address", "ann@contoso.example", &["bob@b.example"]);
    exchange.user_sends(&letter);
    let mail = world.arrives(120, &letter, "bob@b.example").await;
    assert_eq!(mail.message.sender, "ann@contoso.example");
    assert_eq!(exchange.reports(), Vec::<String>::new());
}

/// 0.14: all mail for Exchange leaves from the one address that its connector knows.
pub async fn one_source_address(world: World) {
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.40.0.1"]).await;
    let exchange = world.exchange(
        Version::Online,
        "contoso-example.mail.protection.outlook.com",
        "10.40.0.1",
        "contoso.example",
    );
    exchange.configure(|config| config.partners = vec![GATEWAY]);
    let outside = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let application = world.application("10.1.0.7", "app.contoso.example");
    for number in 0..30 {
        // Inside for anybody's mail; outside only because the source address says whose it is.
        let to = if number % 2 == 0 { "bob@contoso.example" } else { "eva@b.example" };
        let letter = Letter::new(&format!("source-{number}"), "app@contoso.example", &[to]);
        application.send(&letter).await.reply.expect(250, "");
        world.arrives(120, &letter, to).await;
    }
    assert!(exchange.received().iter().all(|mail| mail.from.ip() == GATEWAY));
    assert_eq!(outside.received().len(), 15);
}

/// 0.19: an on-premises Send connector (`SMTP:*;1`, no authentication, no DNS routing) sends anywhere; its neighbour may not.
pub async fn send_connector_on_premises(world: World) {
    world.set_up(&["set relay-networks 10.41.0.5/32", "set next-hop 10.20.0.1"]).await;
    let mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let mut exchanges = Vec::new();
    for (address, host) in [("10.41.0.5", "ex1.fabrikam.example"), ("10.41.0.6", "ex2.fabrikam.example")] {
        let exchange = world.exchange(Version::E2019, host, address, "fabrikam.example");
        exchange.configure(|config| {
            config.all_by_smart_host = true;
            config.smart_hosts = vec![GATEWAY_SMTP];
        });
        exchanges.push(exchange);
    }
    let (known, neighbour) = (&exchanges[0], &exchanges[1]);
    for (number, to) in ["bob@b.example", "eva@c.example", "ute@sub.d.example"].iter().enumerate() {
        let letter = Letter::new(&format!("anywhere-{number}"), "ann@fabrikam.example", &[to]);
        known.user_sends(&letter);
        world.arrives(120, &letter, to).await;
    }
    neighbour.user_sends(&Letter::new("neighbour", "ann@fabrikam.example", &["bob@b.example"]));
    assert!(world.wait_until(120, || neighbour.reports().len() == 1).await);
    assert!(neighbour.reports()[0].contains("554") && neighbour.reports()[0].contains("5.7.1"));
    assert_eq!(mx.received().len(), 3);
}

/// 0.20, 0.21: each version of Exchange, with all it says after EHLO, sends and gets mail; nothing private is used.
pub async fn every_version(world: World) {
    world.set_up(&["set relay-networks 10.42.0.0/16", "set next-hop 10.20.0.1"]).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    for (number, version) in Version::ON_PREMISES.into_iter().chain([Version::Online]).enumerate() {
        let (domain, address) = (format!("v{number}.example"), format!("10.42.0.{}", number + 1));
        let exchange = world.exchange(version, &format!("ex.{domain}"), &address, &domain);
        exchange.configure(|config| {
            config.all_by_smart_host = true;
            config.smart_hosts = vec![GATEWAY_SMTP];
        });
        world.gateway.command(&format!("route add {domain} {address} inside")).await;
        let (user, out) = (format!("ann@{domain}"), format!("out-{number}"));
        let letter = Letter::new(&out, &user, &["bob@b.example"]);
        exchange.user_sends(&letter);
        let mail = world.arrives(120, &letter, "bob@b.example").await;
        assert_eq!(mail.message.sender, user);
        let back = Letter::new(&format!("in-{number}"), "bob@b.example", &[&user]);
        world.application("10.42.9.9", "mx.b.example").send(&back).await.reply.expect(250, "");
        let mail = world.arrives(120, &back, &user).await;
        assert_eq!(mail.peer, exchange.host());
        assert!(mail.message.content.ends_with(&back.content));
    }
    // The servers write down AUTH, X-EXPS, XEXCH50 and the like as violations; the end of the story looks at them.
}

/// 1.06: Exchange refuses one of three recipients: the sender hears of that one only, once.
pub async fn associated_domains(world: World) {
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.40.0.1"]).await;
    let exchange = world.exchange(
        Version::Online,
        "contoso-example.mail.protection.outlook.com",
        "10.40.0.1",
        "contoso.example",
    );
    // Nobody's connector: the tenant takes mail for its own domains only.
    let letter = Letter::new(
        "associated",
        "ann@contoso.example",
        &["bob@contoso.example", "eva@elsewhere.example", "ute@contoso.example"],
    );
    world.application("10.1.0.7", "app.contoso.example").send(&letter).await.reply.expect(250, "");
    world.arrives(120, &letter, "bob@contoso.example").await;
    world.arrives(120, &letter, "ute@contoso.example").await;
    assert!(world.wait_until(120, || !world.ledger.mailbox("ann@contoso.example").is_empty()).await);
    world.queue_empties(60).await;
    let reports = world.ledger.mailbox("ann@contoso.example");
    assert_eq!(reports.len(), 1);
    let report = String::from_utf8_lossy(&reports[0].message.content).into_owned();
    assert_eq!(reports[0].message.sender, "");
    assert!(
        report.contains("Final-Recipient: rfc822; eva@elsewhere.example")
            || report.contains("Final-Recipient: rfc822;eva@elsewhere.example"),
        "{report}"
    );
    assert!(
        report.contains("5.7.64") && !report.contains("; bob@") && !report.contains("; ute@"),
        "{report}"
    );
    assert_eq!(exchange.reports(), Vec::<String>::new());
}

/// 3.08: the service says that it is busy: we come back less and less often, and deliver when it has calmed down.
pub async fn throttled(world: World) {
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.40.0.1"]).await;
    let exchange = world.exchange(
        Version::Online,
        "contoso-example.mail.protection.outlook.com",
        "10.40.0.1",
        "contoso.example",
    );
    exchange.configure(|config| {
        config.mail =
            Some("451 4.7.500 Server busy. Please try again later from [10.0.0.1]. (AS77712344)".into());
    });
    let application = world.application("10.1.0.7", "app.contoso.example");
    let letters: Vec<_> = (0..40)
        .map(|n| Letter::new(&format!("busy-{n:02}"), "app@contoso.example", &["bob@contoso.example"]))
        .collect();
    for letter in &letters {
        application.send(letter).await.reply.expect(250, "");
    }
    world.sleep_s(3_600).await;
    let begun = exchange.asked()[0].0;
    let asked_until =
        |seconds: u64| exchange.asked().iter().filter(|(at, _)| *at < begun.plus_s(seconds)).count();
    let (first, last) = (asked_until(1_800), asked_until(3_600) - asked_until(1_800));
    assert!(first <= 40 * 6 && last <= 40 * 2, "40 messages were tried {first} times, then {last} times");
    world.shows("queue", "451 4.7.500").await;
    exchange.configure(|config| config.mail = None);
    for letter in &letters {
        world.arrives(2 * 3_600, letter, "bob@contoso.example").await;
    }
    world.queue_empties(60).await;
}

/// Trap 4: a connector that knows us by address refuses mail without a sender: such mail has a route of its own.
pub async fn null_sender_has_its_route(world: World) {
    world
        .set_up(&[
            "set relay-networks 10.1.0.0/16",
            "set next-hop 10.40.0.1",
            "set null-sender-next-hop 10.20.0.1",
        ])
        .await;
    let exchange = world.exchange(
        Version::Online,
        "contoso-example.mail.protection.outlook.com",
        "10.40.0.1",
        "contoso.example",
    );
    exchange.configure(|config| {
        config.partners = vec![GATEWAY];
        config.rcpt.push(("gone@b.example".into(), "550 5.1.10 Recipient not found".into()));
    });
    let outside = world.internet_mx("mx.a.example", "10.20.0.1", "a.example", Manner::default());
    // The sender is outside of the tenant's domains: what we report to him could not go through the connector.
    let letter = Letter::new("trap-4", "ann@a.example", &["gone@b.example"]);
    world.application("10.1.0.7", "app.contoso.example").send(&letter).await.reply.expect(250, "");
    assert!(world.wait_until(120, || !world.ledger.mailbox("ann@a.example").is_empty()).await);
    assert_eq!(outside.received()[0].sender, "");
    assert!(exchange.received().is_empty());
    world.queue_empties(60).await;
}
