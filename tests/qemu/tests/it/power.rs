//! Pulling the plug loses nothing that was answered with 250.

use anyhow::{Context as _, Result, bail, ensure};
use harness::{
    message::{Kind, Message, message},
    rng::{Rng, seed_of_this_run},
    sink::Delivery,
    smtp_client::SmtpClient,
    verify,
};
use qemu::{Golden, P256_SENDER, PATIENCE, RECIPIENT, RSA_SENDER, Rig, prove};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Power cuts of one run.
const CUTS: usize = 20;
/// Messages that have been accepted before the clients go on sending into the cut.
const BACKLOG: usize = 50;
/// Clients that send while the power goes.
const CLIENTS: usize = 3;
/// The cut falls within so many milliseconds.
const WINDOW_MS: u64 = 1_200;
/// In every so-many-th round the next hop is up when the power goes, so that the cut falls into deliveries.
const UP_EVERY: usize = 4;

/// What a client knows of a message that it has handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It got its 250.
    Accepted,
    /// The connection ended before the answer.
    Unknown,
}

#[test]
fn what_was_answered_with_250_survives_a_power_cut_at_any_moment() {
    let claim = format!(
        "{CUTS} power cuts at random moments: every message that got 250 is delivered once, and verifies"
    );
    prove(&claim, || {
        let seed = seed_of_this_run("power");
        let mut rng = Rng::new(seed);
        let mut rig = Rig::set_up("power")?;
        let (mut accepted, mut unknown, mut doubles) = (0, 0, 0);
        for round in 0..CUTS {
            let result = one_cut(&mut rig, round, &mut rng);
            let tally = result.map_err(|error| rig.explain(error)).with_context(|| format!("cut {round}"))?;
            accepted += tally.accepted;
            unknown += tally.unknown;
            doubles += tally.doubles;
        }
        println!(
            "{accepted} messages were accepted, {unknown} were under way without an answer, {doubles} came twice because \
             the cut fell between the next hop's 250 and our record"
        );
        Ok(())
    });
}

#[derive(Default)]
struct Tally {
    accepted: usize,
    unknown: usize,
    doubles: usize,
}

fn one_cut(rig: &mut Rig, round: usize, rng: &mut Rng) -> Result<Tally> {
    let up_at_cut = round % UP_EVERY == UP_EVERY - 1;
    let down_at_start = round.is_multiple_of(UP_EVERY);
    rig.sink.go_down();
    rig.sink.clear();
    let address = rig.address()?;
    let mut sent = backlog(address, round, rng)?;
    if up_at_cut {
        rig.sink.come_up()?;
        ensure!(rig.sink.wait_for(1, PATIENCE), "nothing is delivered to a next hop that is up");
    }
    let moment = Duration::from_micros(rng.below(WINDOW_MS * 1_000));
    sent.extend(send_into_cut(rig, address, round, moment, rng)?);
    let before = rig.sink.deliveries();
    ensure!(up_at_cut || before.is_empty(), "something was delivered while the next hop was down");
    let accepted = sent.values().filter(|(_, fate)| *fate == Fate::Accepted).count();
    let start = Instant::now();
    // The next hop returns while the appliance starts, or after the first delivery has failed once more.
    if !down_at_start {
        rig.sink.come_up()?;
    }
    rig.power_on().context("starting again")?;
    rig.sink.come_up()?;
    let arrived = rig.sink.wait_until(PATIENCE, |deliveries| {
        let ids: BTreeSet<String> = deliveries.iter().filter_map(|d| d.header("message-id")).collect();
        sent.values().all(|(message, fate)| *fate == Fate::Unknown || ids.contains(&message.id))
    });
    if !arrived {
        let ids: BTreeSet<String> =
            rig.sink.deliveries().iter().filter_map(|d| d.header("message-id")).collect();
        let lost: Vec<&String> = sent
            .iter()
            .filter(|(id, (_, f))| *f == Fate::Accepted && !ids.contains(*id))
            .map(|s| s.0)
            .collect();
        let queue = rig.operate(|operator| operator.run("queue")).unwrap_or_default();
        bail!("got 250 and did not come within {PATIENCE:?}: {lost:?}; the queue:\n{queue}");
    }
    rig.operate(|operator| operator.wait_for_empty_queue(PATIENCE))?;
    let deliveries = rig.sink.deliveries();
    ensure!(rig.sink.breaches().is_empty(), "{:?}", rig.sink.breaches());
    let delivered = start.elapsed();
    let tally = judge(&sent, &deliveries, &before)?;
    println!(
        "cut {round:2}: after {:4} ms, next hop {}; {accepted} accepted, {} without an answer; all delivered {:.1} s after \
         power-on, {} twice; judged in {:.1} s",
        moment.as_millis(),
        if up_at_cut { format!("up, {} delivered before", before.len()) } else { "down".into() },
        tally.unknown,
        delivered.as_secs_f32(),
        tally.doubles,
        (start.elapsed() - delivered).as_secs_f32(),
    );
    Ok(tally)
}

/// Messages that are in the queue before anything happens.
fn backlog(address: SocketAddr, round: usize, rng: &mut Rng) -> Result<BTreeMap<String, (Message, Fate)>> {
    let mut client = SmtpClient::connect_when_ready(address, PATIENCE, PATIENCE)?;
    client.hello()?;
    let mut sent = BTreeMap::new();
    for number in 0..BACKLOG {
        let message = any_message(&format!("cut{round}.backlog{number}"), rng);
        let reply = client.hand_in(&message)?;
        ensure!(reply.code == 250, "{reply}");
        sent.insert(message.id.clone(), (message, Fate::Accepted));
    }
    client.quit()?;
    Ok(sent)
}

/// Sends from several clients until the power is cut after `moment`.
fn send_into_cut(
    rig: &mut Rig,
    address: SocketAddr,
    round: usize,
    moment: Duration,
    rng: &mut Rng,
) -> Result<BTreeMap<String, (Message, Fate)>> {
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| rng.next()).collect();
    let (off, started) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = seeds
            .iter()
            .enumerate()
            .map(|(who, seed)| {
                let (off, started) = (&off, &started);
                scope.spawn(move || {
                    let mut rng = Rng::new(*seed);
                    let mut sent = Vec::new();
                    let connected = SmtpClient::connect_when_ready(address, PATIENCE, PATIENCE);
                    started.fetch_add(1, Ordering::SeqCst);
                    let Ok(mut client) = connected else { return sent };
                    if client.hello().is_err() {
                        return sent;
                    }
                    while !off.load(Ordering::SeqCst) {
                        let name = format!("cut{round}.client{who}.{}", sent.len());
                        let message = any_message(&name, &mut rng);
                        let reply = client.hand_in(&message);
                        match reply {
                            Ok(reply) if reply.code == 250 => sent.push((message, Fate::Accepted)),
                            Ok(_) => {}
                            Err(_) => {
                                sent.push((message, Fate::Unknown));
                                break;
                            }
                        }
                    }
                    sent
                })
            })
            .collect();
        while started.load(Ordering::SeqCst) < CLIENTS {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(moment);
        let cut = rig.cut_power();
        off.store(true, Ordering::SeqCst);
        let mut sent = BTreeMap::new();
        for client in clients {
            let Ok(messages) = client.join() else { bail!("a client panicked") };
            sent.extend(messages.into_iter().map(|(message, fate)| (message.id.clone(), (message, fate))));
        }
        cut.map(|()| sent)
    })
}

fn any_message(name: &str, rng: &mut Rng) -> Message {
    let kind = match rng.below(8) {
        0 => Kind::Utf8,
        1 => Kind::Attachment,
        2 => Kind::Sized(30_000 + rng.below(100_000) as usize),
        3..5 => Kind::Sized(1_024),
        _ => Kind::Plain,
    };
    let sender = if rng.below(4) == 0 { RSA_SENDER } else { P256_SENDER };
    message(kind, name, sender, RECIPIENT, rng)
}

/// Checks every delivery. `before` is what had come when the power went.
fn judge(
    sent: &BTreeMap<String, (Message, Fate)>,
    deliveries: &[Delivery],
    before: &[Delivery],
) -> Result<Tally> {
    let mut tally = Tally::default();
    for (_, fate) in sent.values() {
        match fate {
            Fate::Accepted => tally.accepted += 1,
            Fate::Unknown => tally.unknown += 1,
        }
    }
    let root = &Golden::get()?.root;
    let mut copies: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, delivery) in deliveries.iter().enumerate() {
        let id = delivery.header("message-id").context("a delivery without Message-ID")?;
        let (message, _) = sent.get(&id).with_context(|| format!("{id} came but was never sent"))?;
        verify::judge(&message.content, &message.sender, &delivery.content, root).context(id.clone())?;
        copies.entry(id).or_default().push(number);
    }
    for (id, copies) in copies {
        match copies.as_slice() {
            [_] => {}
            [first, second] if *first < before.len() && *second >= before.len() => {
                // The cut fell between the peer's 250 and our record: then nothing else came on that connection.
                let first = &deliveries[*first];
                let last = before.iter().rfind(|d| d.connection == first.connection);
                ensure!(
                    last.is_some_and(|d| d.sha256 == first.sha256),
                    "{id} came twice, though more came after it before the cut"
                );
                tally.doubles += 1;
            }
            more => bail!("{id} came {} times", more.len()),
        }
    }
    Ok(tally)
}
