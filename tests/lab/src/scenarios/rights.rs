//! Who may do what.

use crate::letters::Letter;
use crate::peers::client::Client;
use crate::peers::internet::Manner;
use crate::plan::{GATEWAY_6, GATEWAY_SMTP};
use crate::world::{World, ip};
use std::net::SocketAddr;

/// Forms of a recipient that once made servers relay, and what they try.
const CLASSIC_FORMS: &[&str] = &[
    "victim@elsewhere.example",
    "victim%elsewhere.example@a.example",
    "victim%elsewhere.example@gw.example",
    "victim%elsewhere.example@[10.0.0.1]",
    "victim%elsewhere.example",
    "\"victim@elsewhere.example\"",
    "\"victim%elsewhere.example\"",
    "\"victim@elsewhere.example\"@gw.example",
    "\"victim@elsewhere.example\"@[10.0.0.1]",
    "@gw.example:victim@elsewhere.example",
    "@a.example,@gw.example:victim@elsewhere.example",
    "elsewhere.example!victim",
    "elsewhere.example!victim@gw.example",
    "elsewhere.example!victim@[10.0.0.1]",
    "victim@elsewhere.example@a.example",
    "victim@[10.20.0.1]",
    "victim@gw.example.elsewhere.example",
    "victim@elsewhere.example%gw.example",
    "postmaster%elsewhere.example@gw.example",
    "\"victim\\@elsewhere.example\"@a.example",
    "victim@ELSEWHERE.EXAMPLE",
    "victim@elsewhere.example.",
];

/// 0.15: from a stranger no form of address goes anywhere, whoever he says he is.
pub async fn open_relay_forms(world: World) {
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.20.0.1"]).await;
    let mx = world.internet_mx("mx.elsewhere.example", "10.20.0.1", "elsewhere.example", Manner::default());
    let senders = ["", "ann@a.example", "root@gw.example", "postmaster@[10.0.0.1]", "spam@elsewhere.example"];
    for sender in senders {
        let (mut client, _) =
            Client::greet(&*world.net, ip("10.66.6.6"), GATEWAY_SMTP, "mail.stranger.example").await;
        for form in CLASSIC_FORMS {
            client.try_command(&format!("MAIL FROM:<{sender}>")).await;
            let reply = client.try_command(&format!("RCPT TO:<{form}>")).await;
            let Some(reply) = reply.filter(|reply| reply.code != 421) else {
                // It has had enough of this client: another one goes on.
                (client, _) =
                    Client::greet(&*world.net, ip("10.66.6.6"), GATEWAY_SMTP, "mail.stranger.example").await;
                continue;
            };
            assert!(reply.code >= 500, "<{form}> from <{sender}>: {reply:?}");
            client.try_command("RSET").await;
        }
        client.quit().await;
    }
    world.queue_empties(5).await;
    assert_eq!(mx.connections(), 0, "nothing leaves");
}

/// 1.09: the networks that may relay end at the last bit; nobody may by default.
pub async fn networks_to_the_last_bit(world: World) {
    world.set_up(&["set next-hop 10.20.0.1"]).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let ask = async |address: &str| {
        let reply = world.application(address, "app.a.example").ask("ann@a.example", "bob@b.example").await;
        reply.code
    };
    for address in ["10.1.0.7", "192.0.2.1", "127.0.0.1"] {
        assert!(ask(address).await >= 500, "nobody may by default, {address} neither");
    }
    world.shows("set relay-networks 10.1.0.4/30, 10.2.0.0/23, 10.3.3.3/32, 2001:db8:7::/64", "").await;
    world.shows("save", "Saved.").await;
    for address in ["10.1.0.4", "10.1.0.7", "10.2.0.0", "10.2.1.255", "10.3.3.3"] {
        assert_eq!(ask(address).await, 250, "{address} is inside");
    }
    for address in ["10.1.0.3", "10.1.0.8", "10.2.2.0", "10.1.255.255", "10.3.3.2", "10.3.3.4"] {
        assert!(ask(address).await >= 500, "{address} is outside");
    }
    // What would open it to everybody is refused, and changes nothing.
    world.shows("set relay-networks 0.0.0.0/0", "open relay").await;
    world.shows("set relay-networks ::/0", "open relay").await;
    assert!(ask("10.1.0.8").await >= 500);
}

/// 1.09: the same for IPv6.
pub async fn networks_of_ipv6(world: World) {
    world.set_up(&["set relay-networks 2001:db8:7::/126, 2001:db8:8::1/128", "set next-hop 10.20.0.1"]).await;
    world.with_ipv6().await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    for (address, expected) in [
        ("2001:db8:7::", 250),
        ("2001:db8:7::3", 250),
        ("2001:db8:7::4", 554),
        ("2001:db8:6:ffff:ffff:ffff:ffff:ffff", 554),
        ("2001:db8:8::1", 250),
        ("2001:db8:8::2", 554),
    ] {
        let mut application = world.application(address, "app.a.example");
        application.relay = SocketAddr::new(GATEWAY_6, 25);
        assert_eq!(application.ask("ann@a.example", "bob@b.example").await.code, expected, "{address}");
    }
}

/// 2.06: a storage device relays when it is on the list, and not when it is not.
pub async fn network_storage(world: World) {
    world.set_up(&["set relay-networks 10.1.0.20/32", "set next-hop 10.20.0.1"]).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    for (address, allowed) in [("10.1.0.20", true), ("10.1.0.21", false)] {
        let (mut device, _) = Client::greet(&*world.net, ip(address), GATEWAY_SMTP, "DiskStation").await;
        device.command("MAIL FROM:<nas@a.example>").await.expect(250, "");
        let reply = device.command("RCPT TO:<admin@b.example>").await;
        if !allowed {
            reply.expect(554, "5.7.1");
            device.quit().await;
            continue;
        }
        reply.expect(250, "");
        device.command("DATA").await.expect(354, "");
        let content = "Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nFrom: DiskStation <nas@a.example>\r\n\
             To: admin@b.example\r\nSubject: =?UTF-8?B?VGVzdA==?=\r\nMIME-Version: 1.0\r\nMessage-ID: <nas@lab.example>\r\n\
             Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n\r\nVGVzdA==\r\n.\r\n";
        device.raw(content.as_bytes()).await.expect("the connection holds");
        device.reply().await.expect("an answer").expect(250, "");
        device.quit().await;
        let letter = Letter::new("nas", "nas@a.example", &["admin@b.example"]);
        world.arrives(60, &letter, "admin@b.example").await;
    }
    let log = world.gateway.command("log tail 20").await;
    assert!(log.lines().any(|line| line.contains("refused") && line.contains("10.1.0.21")), "{log}");
}

/// 4.13: a new appliance relays for nobody, from nowhere, to nowhere.
pub async fn factory_state(world: World) {
    world.gateway.power_on().await;
    for address in ["10.1.0.7", "10.0.0.2", "192.0.2.9"] {
        let connected = Client::connect(&*world.net, ip(address), GATEWAY_SMTP).await;
        // Without a name it may not even talk; but whatever it answers, it takes nothing.
        let Ok(mut client) = connected else { continue };
        client.reply().await;
        for command in ["EHLO app.a.example", "MAIL FROM:<ann@a.example>"] {
            client.try_command(command).await;
        }
        for to in ["bob@b.example", "postmaster", "root@[10.0.0.1]", "ann@a.example"] {
            if let Some(reply) = client.try_command(&format!("RCPT TO:<{to}>")).await {
                assert!(reply.code >= 400, "{address} to {to}: {reply:?}");
            }
        }
        client.abort();
    }
    let shown = world.gateway.command("show settings").await;
    let networks = shown.lines().find(|line| line.starts_with("relay-networks")).expect("it is a setting");
    assert!(networks.ends_with("none"), "{networks}");
}
