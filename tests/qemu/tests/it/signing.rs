//! Mail of every kind goes in plain and comes out signed and otherwise unchanged.

use anyhow::{Context as _, Result, ensure};
use harness::{
    message::{Kind, Message, message},
    mime,
    rng::{Rng, seed_of_this_run},
    sink::{Behaviour, Delivery, Stage},
    verify,
};
use qemu::{Golden, P256_SENDER, PATIENCE, PLAIN_SENDER, RECIPIENT, RSA_SENDER, Rig, prove};
use std::time::Duration;

#[test]
fn mail_of_every_kind_arrives_signed_and_unchanged() {
    prove("mail of every kind arrives signed by its sender's key and is what was sent", || {
        let mut rig = Rig::set_up("signing")?;
        let mut rng = Rng::new(seed_of_this_run("signing"));
        let mut sent = Vec::new();
        let mut client = rig.client()?;
        for sender in [RSA_SENDER, P256_SENDER] {
            let sized = [1_024, 10_240, 1 << 20].map(Kind::Sized);
            for kind in [Kind::Plain, Kind::Utf8, Kind::Attachment].into_iter().chain(sized) {
                let message = message(kind, &format!("kind{}", sent.len()), sender, RECIPIENT, &mut rng);
                submit(&mut client, &message)?;
                sent.push(message);
            }
        }
        client.quit()?;
        arrive(&mut rig, &sent)?;
        let deliveries = rig.sink.deliveries();
        for message in &sent {
            let delivery = the_one(&deliveries, message)?;
            ensure!(delivery.sender == message.sender && delivery.recipients == [RECIPIENT]);
            verify::judge(&message.content, &message.sender, &delivery.content, &Golden::get()?.root)
                .with_context(|| message.id.clone())?;
            trace_is_on_top(delivery)?;
        }
        ensure!(rig.sink.breaches().is_empty(), "{:?}", rig.sink.breaches());
        ensure!(rig.sink.connections() < sent.len(), "no connection was used twice");
        rig.operate(|operator| operator.wait_for_empty_queue(PATIENCE))
    });
}

#[test]
fn mail_of_a_sender_without_identity_is_held_with_a_reason_and_can_be_released() {
    prove(
        "mail of a sender without identity is held, says why, and leaves unsigned only when that is allowed",
        || {
            let mut rig = Rig::set_up("held")?;
            let mut rng = Rng::new(1);
            let plain = message(Kind::Plain, "held", PLAIN_SENDER, RECIPIENT, &mut rng);
            let signed = message(Kind::Plain, "signed", P256_SENDER, RECIPIENT, &mut rng);
            let mut client = rig.client()?;
            submit(&mut client, &plain)?;
            submit(&mut client, &signed)?;
            arrive(&mut rig, std::slice::from_ref(&signed))?;
            let queue = rig.operate(|operator| operator.run("queue"))?;
            ensure!(queue.contains("held") && queue.contains("identity"), "no reason to be seen:\n{queue}");
            rig.operate(|operator| {
                operator.configure(&[("without-identity", "pass")])?;
                operator.run("queue release all")
            })?;
            arrive(&mut rig, std::slice::from_ref(&plain))?;
            let deliveries = rig.sink.deliveries();
            let delivery = the_one(&deliveries, &plain)?;
            ensure!(delivery.content.ends_with(&plain.content), "it did not leave byte for byte");
            rig.operate(|operator| operator.wait_for_empty_queue(PATIENCE))
        },
    );
}

#[test]
fn mail_that_is_signed_already_passes_untouched() {
    prove("a message that somebody has signed already passes byte for byte", || {
        let mut rig = Rig::set_up("untouched")?;
        let mut rng = Rng::new(2);
        let first = message(Kind::Attachment, "first", P256_SENDER, RECIPIENT, &mut rng);
        let mut client = rig.client()?;
        submit(&mut client, &first)?;
        arrive(&mut rig, std::slice::from_ref(&first))?;
        // What the appliance signed goes in again, under another Message-ID.
        let signed = the_one(&rig.sink.deliveries(), &first)?.content.clone();
        let again = Message {
            id: "<again@client.example.org>".into(),
            content: replaced(&signed, &first.id, "<again@client.example.org>"),
            ..first
        };
        submit(&mut client, &again)?;
        arrive(&mut rig, std::slice::from_ref(&again))?;
        let deliveries = rig.sink.deliveries();
        let delivery = the_one(&deliveries, &again)?;
        ensure!(delivery.content.ends_with(&again.content), "it was touched");
        verify::verify(&delivery.content, &Golden::get()?.root)?;
        Ok(())
    });
}

#[test]
fn a_next_hop_that_refuses_for_now_is_tried_again() {
    prove(
        "4yz at every stage defers the message, and it is delivered once when the next hop has recovered",
        || {
            let mut rig = Rig::set_up("deferred")?;
            let mut rng = Rng::new(3);
            for stage in [Stage::Greeting, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::End] {
                let refuse = Some((stage, "451 4.3.0 Not now".to_owned()));
                rig.sink.behave(Behaviour { refuse, ..Behaviour::default() });
                let message = message(Kind::Plain, &format!("{stage:?}"), P256_SENDER, RECIPIENT, &mut rng);
                submit(&mut rig.client()?, &message)?;
                let start = std::time::Instant::now();
                while !rig.operate(|operator| operator.run("queue"))?.contains("451") {
                    ensure!(start.elapsed() < PATIENCE, "{stage:?}: the queue does not show the refusal");
                    std::thread::sleep(Duration::from_millis(200));
                }
                rig.sink.behave(Behaviour::default());
                arrive(&mut rig, std::slice::from_ref(&message)).with_context(|| format!("{stage:?}"))?;
                the_one(&rig.sink.deliveries(), &message)?;
            }
            rig.operate(|operator| operator.wait_for_empty_queue(PATIENCE))
        },
    );
}

fn submit(client: &mut harness::smtp_client::SmtpClient, message: &Message) -> Result<()> {
    let reply = client.hand_in(message)?;
    ensure!(reply.code == 250, "{} got {reply}", message.id);
    Ok(())
}

/// Waits until all of these have come.
fn arrive(rig: &mut Rig, sent: &[Message]) -> Result<()> {
    let is_there = |deliveries: &[Delivery], message: &Message| {
        deliveries.iter().any(|d| d.header("message-id").as_deref() == Some(&message.id))
    };
    let all = rig.sink.wait_until(PATIENCE, |deliveries| sent.iter().all(|m| is_there(deliveries, m)));
    if !all {
        let deliveries = rig.sink.deliveries();
        let missing: Vec<&str> =
            sent.iter().filter(|m| !is_there(&deliveries, m)).map(|m| m.id.as_str()).collect();
        let queue = rig.operate(|operator| operator.run("queue")).unwrap_or_default();
        return Err(rig.explain(anyhow::anyhow!("not delivered: {missing:?}\n{queue}")));
    }
    Ok(())
}

fn the_one<'d>(deliveries: &'d [Delivery], message: &Message) -> Result<&'d Delivery> {
    let mut copies = deliveries.iter().filter(|d| d.header("message-id").as_deref() == Some(&message.id));
    let first = copies.next().with_context(|| format!("{} did not come", message.id))?;
    ensure!(copies.next().is_none(), "{} came twice", message.id);
    Ok(first)
}

fn trace_is_on_top(delivery: &Delivery) -> Result<()> {
    let first = mime::split(&delivery.content).0.first().map(|f| String::from_utf8_lossy(f).into_owned());
    let first = first.unwrap_or_default();
    ensure!(
        first.starts_with("Received: from client.example.org ([10.0.2.2])")
            && first.contains("by stargate.example.com with ESMTP id "),
        "the first field is {first:?}"
    );
    Ok(())
}

fn replaced(content: &[u8], old: &str, new: &str) -> Vec<u8> {
    let at = content.windows(old.len()).position(|w| w == old.as_bytes());
    at.map_or_else(Vec::new, |at| [&content[..at], new.as_bytes(), &content[at + old.len()..]].concat())
}
