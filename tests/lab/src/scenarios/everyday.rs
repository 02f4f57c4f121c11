//! Everyday life: mail comes and goes, the operator looks on.

use crate::letters::Letter;
use crate::net::Net;
use crate::peers::client::Client;
use crate::peers::internet::Manner;
use crate::plan::GATEWAY_SMTP;
use crate::world::{World, ip};
use std::cell::Cell;
use std::rc::Rc;

/// Settings with which everything from 10.1.0.0/16 goes to the server at 10.20.0.1.
const SMART_HOST: &[&str] = &["set relay-networks 10.1.0.0/16", "set next-hop 10.20.0.1"];

/// 0.27: the queue is empty when everything works, and the log says what happened to each message.
pub async fn queue_is_empty_when_all_works(world: World) {
    world.set_up(SMART_HOST).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let application = world.application("10.1.0.7", "app.a.example");
    let letters: Vec<_> = (0..20)
        .map(|n| Letter::new(&format!("letter-{n:02}"), "ann@a.example", &["bob@b.example", "eva@b.example"]))
        .collect();
    for letter in &letters {
        application.send(letter).await.reply.expect(250, "");
    }
    for letter in &letters {
        world.arrives(60, letter, "bob@b.example").await;
        world.arrives(60, letter, "eva@b.example").await;
    }
    world.queue_empties(30).await;
    let log = world.gateway.command("log tail 50").await;
    let ends = log.lines().filter(|line| line.contains(" removed ") && line.contains("reason=\"delivered\""));
    assert!(ends.count() >= 9, "each message leaves one line at its end: {log}");
    world.shows("diag", "ok   queue           0 messages").await;
}

/// 0.05: the greeting, the answer to EHLO, our own EHLO and the trace field say one name.
pub async fn one_name_everywhere(world: World) {
    world.set_up(SMART_HOST).await;
    let mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::strict());
    let mut client =
        Client::connect(&*world.net, ip("10.1.0.7"), GATEWAY_SMTP).await.expect("the appliance listens");
    let greeting = client.reply().await.expect("a greeting");
    greeting.expect(220, "gw.example");
    assert_eq!(greeting.text().split(' ').next(), Some("gw.example"));
    let hello = client.command("EHLO app.a.example").await;
    assert_eq!(hello.lines[0].split(' ').next(), Some("gw.example"));
    client.quit().await;
    let letter = Letter::new("one-name", "ann@a.example", &["bob@b.example"]);
    world.application("10.1.0.7", "app.a.example").send(&letter).await.reply.expect(250, "");
    world.arrives(60, &letter, "bob@b.example").await;
    let received = &mx.received()[0];
    assert_eq!(received.hello, "EHLO gw.example");
    let trace = received.header("Received").expect("a trace field");
    assert!(trace.starts_with("from app.a.example") && trace.contains("by gw.example"), "{trace}");
}

/// 2.10: after a power cut the appliance greets again, with nobody at the console.
pub async fn starts_by_itself(world: World) {
    world.set_up(SMART_HOST).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    for round in 0..3 {
        world.gateway.pull_plug();
        world.sleep_s(5).await;
        let dead = Client::connect(&*world.net, ip("10.1.0.7"), GATEWAY_SMTP).await;
        assert!(dead.is_err(), "nobody answers while it is off");
        world.gateway.power_on().await;
        let letter = Letter::new(&format!("round-{round}"), "ann@a.example", &["bob@b.example"]);
        world.application("10.1.0.7", "app.a.example").send(&letter).await.reply.expect(250, "");
        world.arrives(60, &letter, "bob@b.example").await;
    }
}

/// 2.10: the test client of the console: what a server greets with and offers, or why it does not.
pub async fn test_client(world: World) {
    world.set_up(SMART_HOST).await;
    let mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let shown = world.gateway.command("diag smtp 10.20.0.1").await;
    for text in ["10.20.0.1:25 greets: 220 mx.b.example", "PIPELINING", "CHUNKING"] {
        assert!(shown.contains(text), "{shown}");
    }
    mx.behave(|manner| manner.greeting = Some("554 5.7.1 go away".into()));
    world.shows("diag smtp 10.20.0.1", "554 5.7.1 go away").await;
    world.shows("diag smtp 10.20.0.2:2525", "refuses the connection").await;
    assert!(mx.received().is_empty());
}

/// 1.01: fifty systems send at once, without credentials, each over a connection of its own.
pub async fn fifty_clients(world: World) {
    world.set_up(SMART_HOST).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let (taken, letters) = (Rc::new(Cell::new(0)), letters_of(50));
    for (number, letter) in letters.iter().enumerate() {
        let application =
            world.application(&format!("10.1.1.{}", number + 1), &format!("host{number}.a.example"));
        let (letter, taken, net) = (letter.clone(), taken.clone(), world.net.clone());
        world.net.spawn(
            format!("client {number}"),
            Box::pin(async move {
                // A server may say 421 when all its places are taken; a system tries again.
                for _ in 0..60 {
                    if application.try_send(&letter).await.is_some_and(|sent| sent.reply.code == 250) {
                        taken.set(taken.get() + 1);
                        return;
                    }
                    <dyn Net>::sleep_ms(&*net, 2_000).await;
                }
            }),
        );
    }
    assert!(world.wait_until(180, || taken.get() == 50).await, "{} of 50 were taken", taken.get());
    for letter in &letters {
        world.arrives(120, letter, "bob@b.example").await;
    }
}

fn letters_of(count: usize) -> Vec<Letter> {
    (0..count).map(|n| Letter::new(&format!("letter-{n:03}"), "ann@a.example", &["bob@b.example"])).collect()
}

/// 1.02: whatever From a system uses, nothing is rewritten: neither the envelope nor a single octet of the message.
pub async fn send_as(world: World) {
    world.set_up(SMART_HOST).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let application = world.application("10.1.0.7", "app.a.example");
    for (number, from) in
        ["Sales <sales@a.example>", "noreply@sub.a.example", "\"A, B\" <x@other.example>"].iter().enumerate()
    {
        let mut letter =
            Letter::new(&format!("send-as-{number}"), "bounces+7@a.example", &["Bob.Builder@b.example"]);
        let text = String::from_utf8(letter.content).expect("text");
        letter.content =
            text.replacen("From: <bounces+7@a.example>", &format!("From: {from}"), 1).into_bytes();
        application.send(&letter).await.reply.expect(250, "");
        let mail = world.arrives(60, &letter, "bob.builder@b.example").await.message;
        assert_eq!((mail.sender.as_str(), mail.to()), ("bounces+7@a.example", vec!["Bob.Builder@b.example"]));
        assert!(mail.content.ends_with(&letter.content), "only a trace field is put in front");
        assert!(mail.content.starts_with(b"Received: "));
    }
}

/// Trap 8: what somebody signed arrives octet by octet, also where every re-encoding would seem harmless.
pub async fn signed_parts_stay(world: World) {
    world.set_up(SMART_HOST).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::strict());
    let mut letter = Letter::new("signed", "ann@a.example", &["bob@b.example"]);
    letter.content = b"From: <ann@a.example>\r\nTo: <bob@b.example>\r\nSubject: signed\r\n\
        Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <signed@lab.example>\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=b\r\n\r\n\
        preamble  \r\n--b\r\nContent-Type: text/plain;  charset=utf-8\r\nContent-Transfer-Encoding:quoted-printable\r\n\r\n\
        trailing spaces  \t\r\n=E2=82=AC=\r\n.\r\n\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nMIIB\r\n--b--\r\nepilogue\r\n"
        .to_vec();
    world.application("10.1.0.7", "app.a.example").send(&letter).await.reply.expect(250, "");
    let mail = world.arrives(60, &letter, "bob@b.example").await.message;
    assert!(mail.content.ends_with(&letter.content));
}
