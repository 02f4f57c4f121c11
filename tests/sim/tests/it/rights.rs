//! Who may send what to whom: every form of address at every listener from every class of peer.

use crate::{letter, tag};
use malformed::{INTERNAL_DOMAIN, OWN_NAME, Reach, address_forms};
use sim::gateway::{GATEWAY, Gateway};
use sim::letters::letter_with;
use sim::peers::{Client, Sink};
use sim::world::{World, story};
use std::net::{IpAddr, SocketAddr};

/// A class and an address of it; the last has no rule.
const PEERS: [(&str, [u8; 4]); 5] = [
    ("internet", [198, 51, 100, 9]),
    ("application", [10, 1, 0, 7]),
    ("exchange", [10, 2, 0, 7]),
    ("trusted", [10, 3, 0, 7]),
    ("nobody", [203, 0, 113, 9]),
];

/// A gateway with a rule for each class, an internal domain with an Exchange server, and everything else by a relay.
async fn gateway_with_rules(world: &World) -> (Gateway, Sink, Sink) {
    let gateway = Gateway::new(world);
    gateway
        .configure(&[
            ("hostname", OWN_NAME),
            ("next-hop", "10.0.0.25:25"),
            ("without-identity", "pass"),
            ("listeners", "*:25,10.0.0.1:587,if1:2525"),
        ])
        .await;
    gateway
        .add_rows::<settings::Peer>(&[
            "world 198.51.100.0/24 class internet",
            "apps 10.1.0.0/16 class application",
            "exchange 10.2.0.0/16 class exchange",
            "cable 10.3.0.0/16 class trusted",
        ])
        .await;
    gateway.add_rows::<settings::Domain>(&[INTERNAL_DOMAIN]).await;
    gateway.add_rows::<settings::Route>(&[&format!("{INTERNAL_DOMAIN} 10.0.0.26:25 exchange")]).await;
    let outside = world.next_hop();
    let exchange = Sink::start(&world.executor, &world.network, SocketAddr::from(([10, 0, 0, 26], 25)));
    assert!(gateway.boot().await);
    (gateway, outside, exchange)
}

async fn open(world: &World, from: [u8; 4], port: u16, sender: &str) -> Client {
    let mut client =
        Client::connect(&world.network, IpAddr::from(from), SocketAddr::from((GATEWAY, port))).await;
    client.greet().await.expect(250, "");
    client.command(&format!("MAIL FROM:<{sender}>")).await.expect(250, "");
    client
}

#[test]
fn nothing_is_relayed_that_should_not_be_by_any_form_of_address_listener_or_peer() {
    story(|world| async move {
        let (gateway, outside, exchange) = gateway_with_rules(&world).await;
        let mut asked = 0;
        for (class, from) in PEERS {
            for port in [25, 587, 2525] {
                for sender in ["", "someone@elsewhere.example", "ann@inside.example"] {
                    let mut client = open(&world, from, port, sender).await;
                    for form in address_forms() {
                        let allowed = match form.reach {
                            Reach::Nobody => false,
                            Reach::Senders => !matches!(class, "internet" | "nobody"),
                            Reach::Everybody => class != "nobody",
                        };
                        let reply = loop {
                            let line = [b"RCPT TO:", form.path.as_slice(), b"\r\n"].concat();
                            _ = client.raw(&line).await;
                            match client.reply().await {
                                Some(reply) if reply.code != 421 => break reply,
                                // It has had enough of our errors.
                                _ => client = open(&world, from, port, sender).await,
                            }
                        };
                        let path = form.path.escape_ascii();
                        assert_eq!(reply.code == 250, allowed, "{class} on {port} to {path}: {reply:?}");
                        assert!(
                            allowed || reply.code >= 500,
                            "{class} to {path}: refused for good, {reply:?}"
                        );
                        asked += 1;
                    }
                    client.drop_connection();
                }
            }
        }
        assert!(asked >= 60 * 3 * 5, "{asked}");
        world.sleep_ms(60_000).await;
        assert_eq!((gateway.count("accepted"), outside.count(), exchange.count()), (0, 0, 0));
    });
}

#[test]
fn extensions_that_lend_somebody_elses_identity_are_neither_offered_nor_understood() {
    story(|world| async move {
        let (_gateway, ..) = gateway_with_rules(&world).await;
        for (class, from) in PEERS {
            let mut client =
                Client::connect(&world.network, IpAddr::from(from), SocketAddr::from((GATEWAY, 25))).await;
            let hello = client.greet().await.text();
            for word in ["XCLIENT", "XFORWARD", "AUTH", "XEXCH50", "X-EXPS", "STARTTLS"] {
                assert!(!hello.contains(word), "{class} is offered {word}");
            }
            for command in [
                "XCLIENT ADDR=10.3.0.7 NAME=trusted.example",
                "XFORWARD ADDR=10.3.0.7",
                "PROXY TCP4 10.3.0.7 10.0.0.1 1 25",
                "AUTH PLAIN AGEAYg==",
                "MAIL FROM:<a@elsewhere.example> AUTH=<ann@inside.example>",
                "MAIL FROM:<a@elsewhere.example> XOORG=inside.example",
            ] {
                // Some of these end the session.
                let mut client =
                    Client::connect(&world.network, IpAddr::from(from), SocketAddr::from((GATEWAY, 25)))
                        .await;
                client.greet().await.expect(250, "");
                let reply = client.command(command).await;
                assert!(reply.code >= 500, "{class}: {command} got {reply:?}");
            }
            client.quit().await;
        }
    });
}

const INSIDE_FIELDS: &str = "X-MS-Exchange-Organization-AuthAs: Internal\r\nX-OriginatorOrg: inside.example\r\n\
    X-MS-Exchange-Transport-Rules-Loop: 1\r\nX-Stargate-Signature: valid\r\n";

#[test]
fn exchange_keeps_its_fields_among_its_own_and_strangers_neither_give_nor_get_them() {
    story(|world| async move {
        let (gateway, outside, exchange) = gateway_with_rules(&world).await;
        for (class, from) in &PEERS[..4] {
            let to: &[&str] = if *class == "internet" {
                &["ann@inside.example"]
            } else {
                &["ann@inside.example", "bob@b.example"]
            };
            let mut client =
                Client::connect(&world.network, IpAddr::from(*from), SocketAddr::from((GATEWAY, 25))).await;
            client.greet().await.expect(250, "");
            let reply = client.send("x@a.example", to, &letter_with(class, INSIDE_FIELDS)).await;
            reply.expect("open").expect(250, "");
        }
        assert!(world.wait_until(120, || exchange.count() == 4 && outside.count() == 3).await);
        for mail in exchange.received() {
            let trusted = matches!(tag(&mail).as_str(), "exchange" | "trusted");
            let field = |name| mail.header(name);
            assert_eq!(field("X-MS-Exchange-Organization-AuthAs").is_some(), trusted, "{}", tag(&mail));
            assert_eq!(field("X-OriginatorOrg").is_some(), trusted);
            assert!(field("X-MS-Exchange-Transport-Rules-Loop").is_some());
            assert!(field("X-Stargate-Signature").is_none());
            assert!(field("X-Stargate-Loop").is_some_and(|marker| marker.contains("; n=1; d=in;")));
        }
        for mail in outside.received() {
            for name in [
                "X-MS-Exchange-Organization-AuthAs",
                "X-OriginatorOrg",
                "X-Stargate-Signature",
                "X-Stargate-Loop",
            ] {
                assert!(mail.header(name).is_none(), "{} got {name}", tag(&mail));
            }
            assert!(mail.header("X-MS-Exchange-Transport-Rules-Loop").is_some());
        }
        assert_eq!((exchange.violations(), outside.violations()), (vec![], vec![]), "sizes are exact");
        let clients = gateway.console("show clients").await;
        for (class, from) in &PEERS[..4] {
            let line = clients.lines().find(|line| line.starts_with(&IpAddr::from(*from).to_string()));
            assert!(line.is_some_and(|line| line.contains(class)), "{clients}");
        }
        assert!(clients.lines().all(|line| line.len() <= 80), "{clients}");
    });
}

#[test]
fn what_exchange_sends_back_is_refused_and_what_a_user_redirects_is_not() {
    story(|world| async move {
        let (gateway, outside, exchange) = gateway_with_rules(&world).await;
        let (server, app) = (PEERS[2].1, PEERS[1].1);
        let mut client =
            Client::connect(&world.network, IpAddr::from(app), SocketAddr::from((GATEWAY, 25))).await;
        client.greet().await.expect(250, "");
        client
            .send("x@a.example", &["ann@inside.example"], &letter("once"))
            .await
            .expect("open")
            .expect(250, "");
        assert!(world.wait_until(120, || exchange.count() == 1).await);
        let returned = exchange.received().remove(0).content;

        let mut back =
            Client::connect(&world.network, IpAddr::from(server), SocketAddr::from((GATEWAY, 25))).await;
        back.greet().await.expect(250, "");
        // The rule has no exception.
        let reply = back.send("x@a.example", &["ANN@inside.example"], &returned).await.expect("open");
        reply.expect(554, "5.4.6");
        // She has it redirected to somebody outside.
        let reply = back.send("x@a.example", &["ann@home.example"], &returned).await.expect("open");
        reply.expect(250, "");
        assert!(world.wait_until(120, || outside.count() == 1).await);
        assert!(outside.received()[0].header("X-Stargate-Loop").is_none());
        // The same from the Internet is believed nothing, and a marker of somebody else means nothing.
        let world_peer = PEERS[0].1;
        let mut stranger =
            Client::connect(&world.network, IpAddr::from(world_peer), SocketAddr::from((GATEWAY, 25))).await;
        stranger.greet().await.expect(250, "");
        let reply = stranger.send("x@a.example", &["ann@inside.example"], &returned).await.expect("open");
        reply.expect(250, "");
        assert!(world.wait_until(120, || exchange.count() == 2).await);
        let marker = exchange.received()[1].header("X-Stargate-Loop").expect("ours");
        assert!(marker.contains("; n=1;"), "{marker}");
        assert_eq!((gateway.count("mail loops"), gateway.count("foreign loop markers removed")), (1, 1));
        let log = gateway.console("log tail 50").await;
        assert_eq!(log.matches("mail loop:").count(), 1, "one event:\n{log}");
        assert!(log.contains("sender IP 10.0.0.1") && log.contains("X-Stargate-Loop with"), "{log}");
    });
}

#[test]
fn a_program_with_line_feeds_is_understood_where_its_rule_says_so_and_nothing_is_smuggled() {
    story(|world| async move {
        let (_gateway, outside, _) = gateway_with_rules(&world).await;
        let content = b"From: a@a.example\nTo: b@b.example\nSubject: sloppy\n\nfirst\n.\r\nMAIL FROM:<evil@a.example>\n.\nend\n\r\n.\r\n";
        for (class, from) in &PEERS[1..3] {
            let mut client =
                Client::connect(&world.network, IpAddr::from(*from), SocketAddr::from((GATEWAY, 25))).await;
            client.greet().await.expect(250, "");
            client.command("MAIL FROM:<a@a.example>").await.expect(250, "");
            client.command("RCPT TO:<b@b.example>").await.expect(250, "");
            client.command("DATA").await.expect(354, "");
            client.raw(content).await.expect("open");
            let reply = client.reply().await.expect("an answer");
            assert_eq!(reply.code, if *class == "application" { 250 } else { 554 }, "{class}: {reply:?}");
        }
        assert!(world.wait_until(120, || outside.count() == 1).await);
        let mail = outside.received().remove(0);
        assert_eq!(mail.body(), b"first\r\n.\r\nMAIL FROM:<evil@a.example>\r\n.\r\nend\r\n\r\n");
        assert!(mail.header("Date").is_some() && mail.header("Message-ID").is_some());
        assert_eq!(outside.violations(), Vec::<String>::new());
    });
}
