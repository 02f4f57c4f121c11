//! Real mail servers as next hop and as client, behind the bridge: 200 messages each way, all compared.

use super::{alone::Stage, bridge, net::WireNet};
use crate::{net::Net, peers::internet::Manner, plan::GATEWAY_SMTP, world::ip};
use harness::{
    message::{Kind as Content, Message, message},
    process::ScratchDir,
    real::{Kind, Server, missing},
    receiver::DOMAIN,
    rng::Rng,
    smtp_client::SmtpClient,
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Messages each way.
const MESSAGES: usize = 200;
/// Messages that are handed in on one connection; OpenSMTPD takes a hundred.
const SESSION_MESSAGES: usize = 50;
/// Where the real server is in the virtual Internet.
const SERVER: &str = "10.30.0.1";
/// How long a reply may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Seconds that all messages of one way may take.
const ARRIVAL_S: u64 = 400;

/// Postfix both ways.
pub async fn postfix(stage: Stage) {
    both_ways(stage, Kind::Postfix).await;
}

/// Exim both ways.
pub async fn exim(stage: Stage) {
    both_ways(stage, Kind::Exim).await;
}

/// OpenSMTPD both ways.
pub async fn opensmtpd(stage: Stage) {
    both_ways(stage, Kind::OpenSmtpd).await;
}

async fn both_ways(stage: Stage, kind: Kind) {
    if let Some(why) = missing(kind) {
        println!("{kind:?} is left out: {why}");
        return;
    }
    let Stage { executor, wire, world } = stage;
    world
        .set_up(
            &[
                "set relay-networks 10.1.0.0/16,10.30.0.0/16",
                "set next-hop 10.20.0.1",
                &format!("route add {DOMAIN} {SERVER}"),
            ][..],
        )
        .await;
    let mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let relay = bridge::inward(&executor, &wire, ip(SERVER), GATEWAY_SMTP).expect("a port");
    let scratch = ScratchDir::new().expect("temporary folder");
    let server = Server::start(kind, &scratch.path().join("server"), relay).expect("the server starts");
    bridge::outward(&executor, &wire, SocketAddr::new(ip(SERVER), 25), server.port());
    let application = bridge::inward(&executor, &wire, ip("10.1.0.7"), GATEWAY_SMTP).expect("a port");

    let mut rng = Rng::new(world.seed);
    let begun = wire.now();
    // To the appliance, which hands on to the real server.
    let to_server = messages("in", DOMAIN, &mut rng);
    hand_in(application, &to_server, &wire).await;
    let arrives =
        world.wait_until(ARRIVAL_S, || server.messages().is_ok_and(|arrived| arrived.len() >= MESSAGES));
    assert!(
        arrives.await,
        "{} of {MESSAGES} have arrived at {kind:?}",
        server.messages().map_or(0, |m| m.len())
    );
    compare(&to_server, &server.messages().expect("readable"));
    let first = wire.now();
    // To the real server, which hands on to the appliance.
    let from_server = messages("out", "b.example", &mut rng);
    hand_in(server.port(), &from_server, &wire).await;
    let arrives = world.wait_until(ARRIVAL_S, || mx.received().len() >= MESSAGES);
    assert!(arrives.await, "{} of {MESSAGES} have come from {kind:?}", mx.received().len());
    let arrived: Vec<Vec<u8>> = mx.received().iter().map(|received| received.content.clone()).collect();
    compare(&from_server, &arrived);
    let took = |from: crate::net::Instant, to: crate::net::Instant| to.micros_since(from) / 1_000_000;
    println!(
        "{kind:?}: {MESSAGES} messages each way, all the same; {} s there, {} s back",
        took(begun, first),
        took(first, wire.now())
    );
}

/// Messages of all sorts.
fn messages(name: &str, domain: &str, rng: &mut Rng) -> Vec<Message> {
    let kinds = [Content::Plain, Content::Utf8, Content::Attachment, Content::Sized(20_000)];
    let make = |number: usize| {
        let kind = kinds[number % kinds.len()];
        message(kind, &format!("{name}{number}"), "ann@a.example", &format!("bob@{domain}"), rng)
    };
    (0..MESSAGES).map(make).collect()
}

/// Hands all messages to a port of this machine, from a thread of its own.
async fn hand_in(port: u16, messages: &[Message], net: &WireNet) {
    let messages = messages.to_vec();
    let client = std::thread::spawn(move || -> anyhow::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for some in messages.chunks(SESSION_MESSAGES) {
            let mut client = SmtpClient::connect_when_ready(address, PATIENCE, PATIENCE)?;
            client.hello()?;
            for message in some {
                let reply = client.submit_in_steps(&message.sender, &message.recipient, &message.content)?;
                anyhow::ensure!(reply.code == 250, "{reply:?}");
            }
            client.quit()?;
        }
        Ok(())
    });
    while !client.is_finished() {
        net.sleep_until(net.now().plus_ms(20)).await;
    }
    client.join().expect("no panic").expect("every message is taken");
}

/// Each message that was sent has arrived once; below what was put on top, octet by octet the same.
fn compare(sent: &[Message], arrived: &[Vec<u8>]) {
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    for content in arrived {
        let id = harness::mime::header(content, "message-id").expect("every message has one");
        let message = sent.iter().find(|message| message.id == id).expect("one of ours");
        *by_id.entry(&message.id).or_default() += 1;
        if !content.ends_with(&message.content) {
            let (was, is) = (String::from_utf8_lossy(&message.content), String::from_utf8_lossy(content));
            panic!("{} is not what was sent:\n{was}\nbut\n{is}", message.id);
        }
    }
    assert_eq!(by_id.len(), sent.len(), "some are missing");
    assert!(by_id.values().all(|count| *count == 1), "some have come twice");
}
