//! What the rules about peers allow, to whom, on which interface and listener.

use crate::letters::Letter;
use crate::net::Link;
use crate::peers::client::Client;
use crate::peers::exchange::Version;
use crate::peers::internet::Manner;
use crate::plan::{GATEWAY, GATEWAY_INSIDE};
use crate::world::{World, ip};
use std::net::SocketAddr;

/// A next hop for everything at 10.20.0.1, an internal domain with its Exchange, and these rules.
async fn site(world: &World, rules: &[&str]) -> crate::peers::exchange::Exchange {
    world.set_up(&["set next-hop 10.20.0.1"]).await;
    world.quietly("domain add contoso.example").await;
    world.quietly("route add contoso.example 10.40.0.1 exchange").await;
    for rule in rules {
        world.quietly(rule).await;
    }
    let exchange = world.exchange(Version::E2019, "ex.contoso.example", "10.40.0.1", "contoso.example");
    exchange.configure(|config| config.partners = vec![GATEWAY]);
    exchange
}

/// The answers to RCPT for somebody inside and somebody outside.
async fn asked(world: &World, from: &str, sender: &str) -> (u16, u16) {
    let peer = world.application(from, "peer.example");
    (peer.ask(sender, "ann@contoso.example").await.code, peer.ask(sender, "bob@b.example").await.code)
}

/// Switches the second interface on.
async fn second_interface(world: &World) {
    world.quietly(&format!("set network2 {GATEWAY_INSIDE}/16")).await;
    world.shows("save", "Saved.").await;
}

/// 4.14: two interfaces with rules of their own: applications inside, the Internet outside, nobody the wrong way round.
pub async fn two_interfaces(world: World) {
    let _exchange = site(
        &world,
        &[
            "peer add inside 10.0.0.0/8 on if2 class application",
            "peer add outside any on if1 class internet",
        ],
    )
    .await;
    second_interface(&world).await;
    let peer = |from: &str, to: std::net::IpAddr| {
        let mut peer = world.application(from, "peer.example");
        peer.relay = SocketAddr::new(to, 25);
        peer
    };
    for (from, to, expected) in [
        ("10.128.0.9", GATEWAY_INSIDE, (250, 250)),
        ("192.0.2.9", GATEWAY_INSIDE, (554, 554)),
        ("192.0.2.9", GATEWAY, (250, 554)),
        ("10.128.0.9", GATEWAY, (250, 554)),
    ] {
        let inside = peer(from, to).ask("eva@fabrikam.example", "ann@contoso.example").await.code;
        let outside = peer(from, to).ask("eva@fabrikam.example", "bob@b.example").await.code;
        assert_eq!((inside, outside), expected, "{from} to {to}");
    }
    world.shows("show network", &GATEWAY_INSIDE.to_string()).await;
}

/// 4.08: one listener on one own address for one client; every other address and client gets nothing.
pub async fn one_address_one_client(world: World) {
    let _exchange =
        site(&world, &["peer add last-resort 192.168.5.77/32 on 10.128.0.1:25 class application"]).await;
    second_interface(&world).await;
    world.quietly("set listeners 10.128.0.1:25").await;
    world.shows("save", "Saved.").await;
    let connect = async |from: &str, to: std::net::IpAddr| {
        Client::connect(&*world.net, ip(from), SocketAddr::new(to, 25)).await.is_ok()
    };
    assert!(!connect("192.168.5.77", GATEWAY).await, "nobody listens on the other address");
    assert!(connect("192.168.5.77", GATEWAY_INSIDE).await);
    for (from, expected) in [("192.168.5.77", 250), ("192.168.5.78", 554), ("192.168.5.76", 554)] {
        let mut peer = world.application(from, "legacy.example");
        peer.relay = SocketAddr::new(GATEWAY_INSIDE, 25);
        assert_eq!(peer.ask("x@contoso.example", "bob@b.example").await.code, expected, "{from}");
    }
}

/// 0.10: mail to any domain is taken from Exchange only; the Internet may write to the inside, everybody else to nobody.
pub async fn any_recipient_for_exchange_only(world: World) {
    let _exchange = site(
        &world,
        &["peer add tenant 10.40.0.1/32 class exchange", "peer add internet 10.20.0.0/16 class internet"],
    )
    .await;
    assert_eq!(asked(&world, "10.40.0.1", "ann@contoso.example").await, (250, 250));
    assert_eq!(asked(&world, "10.20.0.1", "bob@b.example").await, (250, 554));
    assert_eq!(asked(&world, "10.20.0.1", "ann@contoso.example").await, (250, 554));
    assert_eq!(asked(&world, "10.66.6.6", "ann@contoso.example").await, (554, 554));
    world.shows("peer test 10.40.0.1", "exchange").await;
    world.shows("peer test 10.66.6.6", "no rule is for it").await;
}

/// 2.11: internal recipients only, and any recipient, are different rights of networks that look alike.
pub async fn internal_or_any(world: World) {
    let _exchange = site(
        &world,
        &[
            "peer add apps 10.1.0.0/24 class application",
            "peer add printers 10.1.1.0/24 class application relay internal",
            "peer add guests 10.1.2.0/24 class application relay none",
            "peer add one-printer 10.1.1.9/32 class application relay any",
        ],
    )
    .await;
    for (from, expected) in [
        ("10.1.0.1", (250, 250)),
        ("10.1.1.1", (250, 554)),
        ("10.1.2.1", (554, 554)),
        ("10.1.1.9", (250, 250)),
        ("10.1.3.1", (554, 554)),
    ] {
        assert_eq!(asked(&world, from, "app@contoso.example").await, expected, "{from}");
    }
}

/// 2.06: a storage device that may write to the inside only.
pub async fn storage_inside_only(world: World) {
    let _exchange = site(&world, &["peer add storage 10.1.0.20/32 class application relay internal"]).await;
    assert_eq!(asked(&world, "10.1.0.20", "nas@contoso.example").await, (250, 554));
    let letter = Letter::new("nas", "nas@contoso.example", &["ann@contoso.example"]);
    world.application("10.1.0.20", "DiskStation").send(&letter).await.reply.expect(250, "");
    world.arrives(60, &letter, "ann@contoso.example").await;
}

/// 4.12: the right to relay and the right to keep internal fields are given apart.
pub async fn rights_one_by_one(world: World) {
    let _exchange = site(
        &world,
        &[
            "peer add full 10.41.0.1/32 class exchange",
            "peer add bare 10.41.0.2/32 class exchange headers remove",
            "peer add inside 10.41.0.3/32 class exchange relay internal",
        ],
    )
    .await;
    let field = "X-MS-Exchange-Organization-SCL: -1\r\n";
    for (number, (from, relays, keeps)) in
        [("10.41.0.1", 250, true), ("10.41.0.2", 250, false), ("10.41.0.3", 554, true)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(asked(&world, from, "eva@fabrikam.example").await, (250, relays), "{from}");
        let to = "ann@contoso.example";
        let letter = Letter::with_fields(&format!("rights-{number}"), "eva@fabrikam.example", &[to], field);
        world.application(from, "ex.fabrikam.example").send(&letter).await.reply.expect(250, "");
        let got = world.arrives(60, &letter, to).await.message.raw_fields(&["X-MS-Exchange-Organization-"]);
        assert_eq!(got.concat(), if keeps { field } else { "" }, "{from}");
    }
}

/// 4.11: several Exchange servers are one peer: an address of each, one rule.
pub async fn one_group(world: World) {
    let _exchange = site(
        &world,
        &["peer add exchange 10.41.0.1, 10.41.0.2, 10.41.7.0/24, 2001:db8:41::/64 class exchange"],
    )
    .await;
    for from in ["10.41.0.1", "10.41.0.2", "10.41.7.200"] {
        assert_eq!(asked(&world, from, "eva@fabrikam.example").await, (250, 250), "{from}");
        world.shows(&format!("peer test {from}"), "exchange").await;
    }
    assert_eq!(asked(&world, "10.41.0.3", "eva@fabrikam.example").await, (554, 554));
}

/// 3.04: an application sends as its own domain, its neighbour as any; a violation is 550 5.7.1.
pub async fn sender_domains(world: World) {
    let _exchange = site(
        &world,
        &[
            "peer add shop 10.1.0.7/32 class application senders shop.contoso.example,contoso.example",
            "peer add others 10.1.0.0/16 class application",
            "peer add legacy 10.1.0.9/32 class application rewrite @apps.contoso.example",
        ],
    )
    .await;
    let shop = world.application("10.1.0.7", "shop.contoso.example");
    for (sender, allowed) in [
        ("orders@shop.contoso.example", true),
        ("orders@CONTOSO.example", true),
        ("orders@evil.example", false),
        ("orders@sub.contoso.example", false),
        ("orders@shop.contoso.example.evil.example", false),
    ] {
        let reply = shop.ask(sender, "ann@contoso.example").await;
        if allowed {
            reply.expect(250, "");
        } else {
            reply.expect(550, "5.7.1");
        }
    }
    world
        .application("10.1.0.8", "x.example")
        .ask("x@evil.example", "ann@contoso.example")
        .await
        .expect(250, "");
    let letter = Letter::new("rewritten", "root@old-host.example", &["ann@contoso.example"]);
    world.application("10.1.0.9", "old-host.example").send(&letter).await.reply.expect(250, "");
    let mail = world.arrives(60, &letter, "ann@contoso.example").await.message;
    assert_eq!(mail.sender, "root@apps.contoso.example");
    assert!(mail.content.ends_with(&letter.content), "only the envelope is rewritten");
}

/// 4.07: trusted on one interface; the same address on the other interface is nobody.
pub async fn trusted_by_interface(world: World) {
    let _exchange = site(&world, &["peer add tunnel 10.128.5.0/24 on if2 class trusted"]).await;
    second_interface(&world).await;
    let mut peer = world.application("10.128.5.1", "ex.fabrikam.example");
    peer.ask("eva@fabrikam.example", "bob@b.example").await.expect(554, "5.7.1");
    peer.relay = SocketAddr::new(GATEWAY_INSIDE, 25);
    peer.ask("eva@fabrikam.example", "bob@b.example").await.expect(250, "");
}

/// 2.04: who may connect, who may relay, where it goes, what is written down: each with its no.
pub async fn who_may(world: World) {
    let exchange = site(&world, &["peer add apps 10.1.0.0/24 class application"]).await;
    // Relay: yes and no, and both are in the log.
    assert_eq!(asked(&world, "10.1.0.1", "app@contoso.example").await, (250, 250));
    assert_eq!(asked(&world, "10.1.1.1", "app@contoso.example").await, (554, 554));
    let log = world.gateway.command("log tail 30").await;
    assert!(log.lines().any(|line| line.contains("refused") && line.contains("10.1.1.1")), "{log}");
    assert!(!log.lines().any(|line| line.contains("refused") && line.contains("10.1.0.1 ")), "{log}");
    // Smart host: while it is dark mail waits, and the console says for whom.
    world.net.set_link(exchange.source(), Link::Dark);
    let letter = Letter::new("waits", "app@contoso.example", &["ann@contoso.example"]);
    world.application("10.1.0.3", "app.contoso.example").send(&letter).await.reply.expect(250, "");
    world.sleep_s(60).await;
    world.shows("queue", "ann@contoso.example").await;
    world.net.set_link(exchange.source(), Link::Up);
    world.arrives(600, &letter, "ann@contoso.example").await;
}

/// 2.04: a third connection of a client that may have two finds no place, and a place that is free again is there at once.
pub async fn connections_of_one_client(world: World) {
    let _exchange = site(&world, &["peer add apps 10.1.0.0/24 class application connections 2"]).await;
    let greet = async |address: &str| {
        let connected = Client::connect(&*world.net, ip(address), crate::plan::GATEWAY_SMTP).await;
        let mut client = connected.ok()?;
        let reply = client.reply().await?;
        Some((client, reply.code))
    };
    let mut open = Vec::new();
    for _ in 0..2 {
        let (client, code) = greet("10.1.0.2").await.expect("a greeting");
        assert_eq!(code, 220);
        open.push(client);
    }
    assert!(greet("10.1.0.2").await.is_none_or(|(_, code)| code == 421), "the third is told to come later");
    assert_eq!(
        greet("10.1.0.3").await.map(|(_, code)| code),
        Some(220),
        "its neighbour has places of its own"
    );
    for client in open {
        client.quit().await;
    }
    world.sleep_s(2).await;
    assert_eq!(greet("10.1.0.2").await.map(|(_, code)| code), Some(220));
}

/// 0.26: relay, networks, domains, filter, routes and peers in words.
pub async fn show_the_configuration(world: World) {
    let _exchange = site(&world, &["peer add apps 10.1.0.0/24 class application"]).await;
    for (topic, text) in [
        ("relay", "10.20.0.1"),
        ("networks", "10.1.0.0/24"),
        ("domains", "contoso.example"),
        ("filter", "pass"),
        ("routes", "contoso.example"),
        ("peers", "apps"),
    ] {
        world.shows(&format!("show {topic}"), text).await;
    }
}

/// 1.10: what an old printer sends is mended for an application, and for nobody else.
pub async fn sloppy_applications(world: World) {
    let exchange = site(
        &world,
        &[
            "peer add printers 10.1.0.0/24 class application repair on",
            "peer add internet 10.20.0.0/16 class internet",
        ],
    )
    .await;
    let printer = world.application("10.1.0.5", "printer");
    printer.send_as_printer("scan@contoso.example", "ann@contoso.example", "Scan").await.expect(250, "");
    assert!(world.wait_until(60, || exchange.received().len() == 1).await);
    let mail = &exchange.received()[0];
    assert!(!crate::peers::server::has_bare(&mail.content));
    assert_eq!((mail.headers("Date").len(), mail.headers("Message-ID").len()), (1, 1));
    assert!(mail.body().windows(8).any(|w| w == b"document"), "{:?}", String::from_utf8_lossy(mail.body()));
    // A server on the Internet with bare line feeds is refused, or at least never believed about an end of data.
    let stranger = world.application("10.20.0.7", "stranger.example");
    let reply = stranger.send_as_printer("eva@b.example", "ann@contoso.example", "Smuggled").await;
    assert!(reply.code >= 500, "{reply:?}");
    assert_eq!(exchange.received().len(), 1);
}

/// 3.10: mail for an application's address goes to a person, is thrown away, is refused, or is answered once.
pub async fn local_actions(world: World) {
    let exchange = site(
        &world,
        &[
            "peer add apps 10.1.0.0/24 class application",
            "action add shop@contoso.example forward ann@contoso.example",
            "action add noreply@contoso.example discard",
            "action add closed@contoso.example reject This address is closed.",
            "action add robot@contoso.example reply-once Nobody reads this; write to help@contoso.example.",
        ],
    )
    .await;
    let outside = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::strict());
    let sender = world.application("10.1.0.7", "app.contoso.example");
    let to_shop = Letter::new("to-shop", "bob@b.example", &["shop@contoso.example"]);
    sender.send(&to_shop).await.reply.expect(250, "");
    world.arrives(60, &to_shop, "ann@contoso.example").await;
    sender
        .send(&Letter::new("to-noreply", "bob@b.example", &["noreply@contoso.example"]))
        .await
        .reply
        .expect(250, "");
    sender.ask("bob@b.example", "closed@contoso.example").await.expect(550, "closed");
    for number in 0..3 {
        let letter = Letter::new(&format!("to-robot-{number}"), "bob@b.example", &["robot@contoso.example"]);
        sender.send(&letter).await.reply.expect(250, "");
    }
    // Neither a robot nor the null sender gets an answer (RFC 3834 section 2).
    let robot = Letter::with_fields(
        "from-robot",
        "eva@b.example",
        &["robot@contoso.example"],
        "Auto-Submitted: auto-generated\r\n",
    );
    sender.send(&robot).await.reply.expect(250, "");
    sender.send(&Letter::new("from-null", "", &["robot@contoso.example"])).await.reply.expect(250, "");
    world.sleep_s(120).await;
    let answers = outside.received();
    assert_eq!(answers.len(), 1, "one answer, to Bob");
    assert_eq!((answers[0].sender.as_str(), answers[0].to()), ("", vec!["bob@b.example"]));
    assert!(answers[0].header("Auto-Submitted").is_some_and(|value| value.starts_with("auto-replied")));
    assert_eq!(exchange.received().len(), 1);
    world.queue_empties(60).await;
}

/// 3.05: senders are verified at the Exchange, recipients too; whoever calls us back gets the right answer.
pub async fn call_backs(world: World) {
    let exchange = site(
        &world,
        &[
            "peer add apps 10.1.0.0/24 class application verify-sender on",
            "peer add internet 10.20.0.0/16 class internet verify-recipient on",
        ],
    )
    .await;
    exchange.configure(|config| {
        config.rcpt.push(("gone@contoso.example".into(), "550 5.1.10 Recipient not found".into()));
    });
    let application = world.application("10.1.0.7", "app.contoso.example");
    application.ask("ann@contoso.example", "bob@b.example").await.expect(250, "");
    let refused = application.ask("gone@contoso.example", "bob@b.example").await;
    assert!(refused.code >= 550, "{refused:?}");
    // A receiver calls back before it takes our mail: the null sender asks whether the mailbox exists.
    let receiver = world.application("10.20.0.9", "mx.b.example");
    receiver.ask("", "ann@contoso.example").await.expect(250, "");
    receiver.ask("", "gone@contoso.example").await.expect(550, "5.1.1");
    let probes = exchange.asked().len();
    for _ in 0..20 {
        receiver.ask("", "ann@contoso.example").await.expect(250, "");
        receiver.ask("", "gone@contoso.example").await.expect(550, "5.1.1");
    }
    assert_eq!(exchange.asked().len(), probes, "answers are remembered");
}

/// 1.11: the one place to look at: what each client did.
pub async fn single_choke_point(world: World) {
    let _exchange = site(&world, &["peer add apps 10.1.0.0/24 class application"]).await;
    let busy = world.application("10.1.0.7", "busy.contoso.example");
    for number in 0..3 {
        let letter = Letter::new(&format!("busy-{number}"), "app@contoso.example", &["ann@contoso.example"]);
        busy.send(&letter).await.reply.expect(250, "");
        world.arrives(60, &letter, "ann@contoso.example").await;
    }
    world
        .application("10.9.9.9", "stranger.example")
        .ask("x@y.example", "bob@b.example")
        .await
        .expect(554, "");
    let log = world.gateway.command("log tail 60").await;
    assert_eq!(
        log.lines().filter(|line| line.contains("accepted") && line.contains("peer=10.1.0.7")).count(),
        3
    );
    let shown = world.gateway.command("show clients").await;
    let row = |address: &str| shown.lines().find(|line| line.contains(address)).map(String::from);
    assert!(row("10.1.0.7").is_some_and(|row| row.contains('3')), "{shown}");
    assert!(row("10.9.9.9").is_some(), "{shown}");
}
