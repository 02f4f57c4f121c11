//! Bad clients get what they deserve, and the next good one is served.

use anyhow::{Context as _, Result, ensure};
use harness::{
    message::{Kind, message},
    misbehave,
    operator::next_hop,
    rng::Rng,
    smtp_client::SmtpClient,
};
use qemu::{P256_SENDER, PATIENCE, RECIPIENT, Rig, prove};

#[test]
fn malformed_sessions_get_the_right_reply_and_the_next_good_message_passes() {
    let sessions = malformed::sessions();
    let count = sessions.len();
    prove(&format!("{count} malformed sessions are answered, and after each a good message passes"), || {
        let mut rig = Rig::set_up("malformed")?;
        let address = rig.address()?;
        let mut rng = Rng::new(count as u64);
        let (mut vanished, mut good) = (Vec::new(), Vec::new());
        for session in &sessions {
            vanished.extend(misbehave::run(session, address, PATIENCE).map_err(|error| rig.explain(error))?);
            let message = message(Kind::Plain, session.name, P256_SENDER, RECIPIENT, &mut rng);
            let mut client = rig.client().context(session.name)?;
            let reply = client.hand_in(&message)?;
            ensure!(reply.code == 250, "the good message after {} got {reply}", session.name);
            client.quit().context(session.name)?;
            good.push(message);
        }
        ensure!(vanished.len() >= 2, "the half-open sessions are still open");
        let arrived = rig.sink.wait_until(PATIENCE * 2, |deliveries| {
            let ids: Vec<_> = deliveries.iter().filter_map(|d| d.header("message-id")).collect();
            good.iter().all(|m| ids.contains(&m.id))
        });
        ensure!(arrived, "not every good message was delivered");
        for delivery in rig.sink.deliveries() {
            let text = String::from_utf8_lossy(&delivery.content);
            ensure!(
                !text.contains("\r\nsmuggled") && delivery.sender != "x@example.org",
                "smuggled:\n{text}"
            );
        }
        ensure!(rig.sink.breaches().is_empty(), "{:?}", rig.sink.breaches());
        Ok(())
    });
}

#[test]
fn only_configured_networks_relay() {
    prove(
        "the factory default relays for nobody, configured networks relay, everyone else gets 554 5.7.1",
        || {
            let mut rig = Rig::factory_fresh("relay-rights")?;
            let port = rig.sink.address().port();
            refused(&mut rig).context("factory default")?;
            let hop = next_hop(port);
            rig.operate(|operator| {
                operator.configure(&[("hostname", harness::operator::HOST_NAME), ("next-hop", &hop)])?;
                operator.configure(&[("relay-networks", "192.0.2.0/24"), ("without-identity", "pass")])
            })?;
            refused(&mut rig).context("another network")?;
            rig.operate(|operator| operator.configure(&[("relay-networks", "10.0.2.3/32")]))?;
            refused(&mut rig).context("the machine beside it")?;
            rig.operate(|operator| operator.configure(&[("relay-networks", "192.0.2.0/24,10.0.2.2/32")]))?;
            let message = message(Kind::Plain, "allowed", P256_SENDER, RECIPIENT, &mut Rng::new(1));
            let reply = rig.client()?.hand_in(&message)?;
            ensure!(reply.code == 250, "a configured network got {reply}");
            ensure!(rig.sink.wait_for(1, PATIENCE), "not delivered");
            ensure!(rig.sink.count() == 1, "something else was relayed");
            Ok(())
        },
    );
}

/// Tries every known way to a relay that is not open.
fn refused(rig: &mut Rig) -> Result<()> {
    for sender in ["sender@example.org", "", "postmaster@stargate.example.com", "root@localhost"] {
        let mut client = transaction(rig, sender)?;
        for path in malformed::relay_attempts() {
            let reply = loop {
                client.send([b"RCPT TO:", path.as_bytes(), b"\r\n"].concat());
                match client.next_reply()? {
                    Some(reply) if reply.code != 421 => break reply,
                    // It has had enough of our errors.
                    _ => client = transaction(rig, sender)?,
                }
            };
            let line = reply.last_line();
            let allowed = ["554 5.7.1", "501 5.1.3", "501 5.5.4", "553 5.6.7", "555 5.5.4"];
            ensure!(allowed.iter().any(|a| line.starts_with(a)), "RCPT TO:{path} got {reply}");
        }
        let reply = client.command("DATA")?;
        ensure!(reply.code >= 500 || reply.code == 421, "DATA without a recipient got {reply}");
    }
    Ok(())
}

fn transaction(rig: &mut Rig, sender: &str) -> Result<SmtpClient> {
    let mut client = rig.client()?;
    let reply = client.command(&format!("MAIL FROM:<{sender}>"))?;
    ensure!(reply.code == 250, "MAIL FROM:<{sender}> got {reply}");
    Ok(client)
}
