//! Attacks that need a real stack on a real wire: a thousand slow connections, forged and malformed answers of name
//! servers by the thousand, and an observer of handshakes.

use super::alone::Stage;
use crate::{
    letters::Letter,
    net::Net,
    peers::{dns::Fault, internet::Manner},
    plan::{GATEWAY_SMTP, NAME_SERVER, NAME_SERVER_2},
    world::{World, ip},
};
use harness::{operator::number, rng::Rng};
use std::{
    cell::Cell,
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

/// Connections that hold on to the appliance at once.
const SLOW_COUNT: u16 = 1_000;
/// Messages of one measurement on Exchange's side.
const MEASURED_COUNT: usize = 40;
/// Measurements; the host's other work makes single ones slower, never faster.
const ROUNDS: usize = 6;
/// Clients that must be greeted at once when the attack is over.
const GREETED_COUNT: usize = 20;
/// Octets by which the heap in use may differ when it is over: caches of clients and addresses are filled meanwhile.
const HEAP_BYTES: u64 = 64 << 10;

/// A thousand clients on the Internet side say one octet in ten seconds each. Exchange's mail goes on as before.
pub async fn slow_connections(stage: Stage) {
    let Stage { wire, world, .. } = stage;
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.20.0.1"]).await;
    world.quietly("peer add tenant 10.40.0.1/32 class exchange").await;
    world.quietly("peer add internet any class internet").await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    exchange_sends(&world, "warm").await;
    let mut before = u64::MAX;
    for round in 0..ROUNDS {
        before = before.min(exchange_sends(&world, &format!("before{round}")).await);
    }
    let heap_before = heap(&world).await;

    let attack = Rc::new(Cell::new(true));
    let (held, refused) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(0_u64)));
    for number in 0..SLOW_COUNT {
        let (net, attack) = (wire.clone(), Rc::clone(&attack));
        let (held, refused) = (Rc::clone(&held), Rc::clone(&refused));
        let [high, low] = number.to_be_bytes();
        wire.spawn(
            String::new(),
            Box::pin(async move {
                net.sleep_until(net.now().plus_ms(u64::from(number) * 10)).await;
                while attack.get() {
                    let connected = net.connect(IpAddr::from([198, 18, high, low]), GATEWAY_SMTP).await;
                    if let Ok(mut stream) = connected {
                        held.set(held.get() + 1);
                        for octet in b"EHLO slow.example\r\n".iter().cycle() {
                            if !attack.get() || stream.write(&[*octet]).await.is_err() {
                                break;
                            }
                            wait_while(&net, &attack, 10).await;
                        }
                    } else {
                        refused.set(refused.get() + 1);
                    }
                    wait_while(&net, &attack, 10).await;
                }
            }),
        );
    }
    world.sleep_s(15).await;
    let mut meanwhile = u64::MAX;
    for round in 0..ROUNDS {
        meanwhile = meanwhile.min(exchange_sends(&world, &format!("meanwhile{round}")).await);
    }
    let at_once = wire.connections();
    let heap_meanwhile = heap(&world).await;
    attack.set(false);
    let over = wire.now();
    let mut clients = Vec::new();
    while clients.len() < GREETED_COUNT {
        let passed = wire.now().micros_since(over) / 1_000_000;
        assert!(passed < 60, "{} of {GREETED_COUNT} places are free after {passed} s", clients.len());
        let from = IpAddr::from([203, 0, 113, u8::try_from(clients.len()).unwrap_or(0)]);
        let Ok(mut stream) = wire.connect(from, GATEWAY_SMTP).await else { continue };
        let mut greeting = [0; 3];
        match wire.within(5, stream.read(&mut greeting)).await {
            Some(Ok(3)) if &greeting == b"220" => clients.push(stream),
            _ => world.sleep_s(1).await,
        }
    }
    let free_ms = wire.now().micros_since(over) / 1_000;
    drop(clients);
    // The last of them notice after five seconds that it is over.
    world.sleep_s(20).await;
    let heap_after = heap(&world).await;
    let per_cent = before * 100 / meanwhile.max(1);
    println!(
        "{SLOW_COUNT} slow clients: {at_once} connections at once, {} taken, {} refused; {MEASURED_COUNT} messages of \
         Exchange took {} ms before and {} ms meanwhile ({per_cent} %); heap {heap_before}, {heap_meanwhile}, {heap_after} octets; \
         {GREETED_COUNT} places free after {free_ms} ms",
        held.get(),
        refused.get(),
        before / 1_000,
        meanwhile / 1_000,
    );
    assert!(per_cent >= 80, "throughput of Exchange fell to {per_cent} %");
    assert!(
        heap_meanwhile <= heap_before + HEAP_BYTES,
        "the heap grew from {heap_before} to {heap_meanwhile}"
    );
}

/// Waits for `seconds`, or until the attack is over.
async fn wait_while(net: &dyn Net, attack: &Cell<bool>, seconds: u64) {
    let end = net.now().plus_s(seconds);
    // Seldom: a thousand of them would keep this machine busy with looking.
    while attack.get() && net.now() < end {
        net.sleep_until(net.now().plus_s(5).min(end)).await;
    }
}

/// Microseconds that Exchange needs for its messages, a connection each.
async fn exchange_sends(world: &World, name: &str) -> u64 {
    let exchange = world.application("10.40.0.1", "ex.a.example");
    let begun = world.net.now();
    for number in 0..MEASURED_COUNT {
        let letter = Letter::new(&format!("{name}-{number}"), "ann@a.example", &["bob@b.example"]);
        exchange.send(&letter).await.reply.expect(250, "");
    }
    world.net.now().micros_since(begun)
}

/// Octets of heap in use.
async fn heap(world: &World) -> u64 {
    let shown = world.gateway.command("show memory").await;
    number(&shown, "heap", 0).expect("the heap is shown")
}

/// Domains whose names are answered for by forgers as well, and forged answers to each question.
const FORGED_DOMAINS: u32 = 40;
const FORGED_ANSWERS: u32 = 125;
/// Domains whose questions the first name server answers with something malformed.
const MALFORMED_DOMAINS: u32 = 24;

/// Forgers answer with wrong numbers and wrong spellings, a server answers with messages that are none; every letter still
/// goes where it belongs.
pub async fn forged_answers(stage: Stage) {
    let Stage { wire, world, .. } = stage;
    // A flood may well keep an answer out; then it is asked for again.
    world.set_up(&["set relay-networks 10.1.0.0/16", "set retry-first 5s", "set retry-max 5s"]).await;
    let mut zone = String::new();
    for n in 0..FORGED_DOMAINS + MALFORMED_DOMAINS {
        zone += &format!("d{n}.example MX 10 mx.d{n}.example\nmx.d{n}.example A 10.20.0.1\n");
    }
    world.name_server(&zone);
    let liar = ip("10.66.0.1");
    for n in 0..FORGED_DOMAINS {
        for name in [format!("d{n}.example"), format!("mx.d{n}.example")] {
            world.dns.fault(&name, Some(Fault::Spoofed(FORGED_ANSWERS, liar)));
        }
    }
    let mx = world.internet_mx("mx.d.example", "10.20.0.1", "d0.example", Manner::default());
    let evil = world.internet_mx("evil.example", "10.66.0.1", "evil.example", Manner::default());
    let application = world.application("10.1.0.7", "app.a.example");
    for n in 0..FORGED_DOMAINS {
        let letter = Letter::new(&format!("forged-{n}"), "ann@a.example", &[&format!("bob@d{n}.example")]);
        application.send(&letter).await.reply.expect(250, "");
    }
    let arrived = world.wait_until(600, || mx.received().len() >= FORGED_DOMAINS as usize).await;
    assert!(arrived, "{} of {FORGED_DOMAINS} have arrived", mx.received().len());
    let questions = world.dns.asked().iter().filter(|(_, _, _, tcp)| !tcp).count();

    // Now the server that is asked first answers with messages that are none.
    let malformed = Rc::new(Cell::new(0_usize));
    serve_malformed(&wire, SocketAddr::new(NAME_SERVER_2, 53), world.seed, Rc::clone(&malformed));
    world.gateway.command(&format!("set dns-servers {NAME_SERVER_2},{NAME_SERVER}")).await;
    let saved = world.gateway.command("save").await;
    assert!(saved.contains("Saved."), "{saved}");
    for n in FORGED_DOMAINS..FORGED_DOMAINS + MALFORMED_DOMAINS {
        let letter = Letter::new(&format!("malformed-{n}"), "ann@a.example", &[&format!("bob@d{n}.example")]);
        application.send(&letter).await.reply.expect(250, "");
    }
    let all = (FORGED_DOMAINS + MALFORMED_DOMAINS) as usize;
    let arrived = world.wait_until(600, || mx.received().len() >= all).await;
    assert!(arrived, "{} of {all} have arrived", mx.received().len());
    assert_eq!(evil.connections(), 0, "a forged answer was believed");
    let forged = questions * FORGED_ANSWERS as usize;
    println!(
        "{forged} forged and {} malformed answers, none believed; {all} letters arrived",
        malformed.get()
    );
    assert!(forged >= 10_000, "only {forged} forged answers");
    assert!(malformed.get() > 0);
}

/// A name server that has the right number and question, and nothing sensible behind them.
fn serve_malformed(net: &dyn Net, at: SocketAddr, seed: u64, count: Rc<Cell<usize>>) {
    let mut socket = net.bind(at).expect("the port is free");
    net.spawn(
        "malformed".into(),
        Box::pin(async move {
            let (mut rng, mut buffer) = (Rng::new(seed), vec![0; 2_000]);
            loop {
                let (length, client) = socket.receive(&mut buffer).await;
                let answer = malformed(buffer.get(..length).unwrap_or_default(), count.get(), &mut rng);
                count.set(count.get() + 1);
                socket.send(&answer, client).await;
            }
        }),
    );
}

/// The `number`-th way to answer a question badly.
fn malformed(question: &[u8], number: usize, rng: &mut Rng) -> Vec<u8> {
    // The header and the question itself, without additional records.
    let end =
        question.iter().skip(12).position(|octet| *octet == 0).map_or(question.len(), |end| 12 + end + 5);
    let mut answer = question.get(..end).unwrap_or(question).to_vec();
    if let Some(header) = answer.get_mut(2..12) {
        header.copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    }
    let record = [0, 15, 0, 1, 0, 0, 1, 0];
    match number % 9 {
        // A name that points to itself.
        0 => {
            let here = u16::try_from(answer.len()).unwrap_or(0) | 0xc000;
            answer.extend(here.to_be_bytes());
            answer.extend(record);
        }
        // More records than there are.
        1 => answer[6..8].copy_from_slice(&[0xff, 0xff]),
        // Data longer than the message.
        2 => {
            answer.extend([0xc0, 12]);
            answer.extend(record);
            answer.extend([0xff, 0xff, 0, 10]);
        }
        // No data at all.
        3 => {
            answer.extend([0xc0, 12]);
            answer.extend(record);
            answer.extend([0, 0]);
        }
        // A label of a kind that does not exist.
        4 => answer.extend([0x80, 1, 2, 3]),
        // Less than a header.
        5 => answer.truncate(7),
        // A name longer than names are.
        6 => {
            for _ in 0..9 {
                answer.push(63);
                answer.extend([b'a'; 63]);
            }
            answer.push(0);
            answer.extend(record);
        }
        // As much as fits a packet.
        7 => {
            answer[6..8].copy_from_slice(&[0, 100]);
            answer.extend(rng.octets(1_452 - answer.len()));
        }
        // Two names that point to each other.
        _ => {
            let here = u16::try_from(answer.len()).unwrap_or(0) | 0xc000;
            answer.extend((here + 2).to_be_bytes());
            answer.extend(here.to_be_bytes());
            answer.extend(record);
        }
    }
    answer
}

/// Handshakes that the observer sees.
const HANDSHAKES_COUNT: u16 = 100;

/// Somebody watches a hundred handshakes: neither a generator's state nor a pattern is to be found in them.
pub async fn observed_handshakes(stage: Stage) {
    let Stage { wire, world, .. } = stage;
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.20.0.1"]).await;
    for _ in 0..HANDSHAKES_COUNT {
        let stream = wire.connect(ip("10.1.0.7"), GATEWAY_SMTP).await.expect("the appliance listens");
        drop(stream);
        world.net.sleep_ms(5).await;
    }
    let seen: Vec<u32> = wire.handshakes().iter().map(|handshake| handshake.sequence).collect();
    assert!(seen.len() >= usize::from(HANDSHAKES_COUNT), "{} handshakes", seen.len());
    let distinct: BTreeSet<u32> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len(), "a number came twice");
    let steps: Vec<u32> = seen.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let distinct: BTreeSet<u32> = steps.iter().copied().collect();
    assert_eq!(distinct.len(), steps.len(), "a step came twice");
    // Each bit of numbers and steps is as often set as not, within five standard deviations.
    for (what, values) in [("number", &seen), ("step", &steps)] {
        let (count, mean) = (values.len(), values.len() / 2);
        let spread = values.len().isqrt() * 5 / 2 + 1;
        for bit in 0..32 {
            let set = values.iter().filter(|value| **value >> bit & 1 == 1).count();
            assert!(set.abs_diff(mean) <= spread, "bit {bit} of each {what}: {set} of {count}");
        }
    }
    assert_eq!(
        recover(seen.get(..RECOVERED_COUNT).unwrap_or(&seen)),
        None,
        "the generator's state is to be seen"
    );
    println!("{} handshakes: no state of a generator and no pattern in them", seen.len());
}

/// Numbers that the attack on the generator looks at: one in eight gives it a start, a dozen it uses for each try.
const RECOVERED_COUNT: usize = 12;

/// Looks for the state of smoltcp's generator (its multiplier and increment are published with its source) behind numbers
/// that it has shown one after the other: about one in eight comes from bits 22 to 53 of a state whose upper three bits are
/// ones; then 22 bits are to be guessed, the lower 54 bits of the next state follow, and seven bits are left.
fn recover(seen: &[u32]) -> Option<u64> {
    const LOW: u64 = (1 << 54) - 1;
    let next = |state: u64| state.wrapping_mul(0xbb2e_fcec_3c39_611d).wrapping_add(0x7590_ef39);
    let shown = |state: u64| (state >> (29 - (state >> 61))) & 0xffff_ffff;
    // The last ones only confirm: with fewer something always fits.
    for (index, pair) in seen.windows(2).enumerate().take(seen.len().saturating_sub(4)) {
        for guess in 0..1_u64 << 22 {
            let low = u64::from(pair[0]) << 22 | guess;
            let after = next(low) & LOW;
            let fits = (22..=29).any(|shift: u32| {
                let visible = (54 - shift).min(32);
                (after >> shift ^ u64::from(pair[1])) & ((1 << visible) - 1) == 0
            });
            if !fits {
                continue;
            }
            for middle in 0..1 << 7 {
                let mut state = 7 << 61 | middle << 54 | low;
                let all = seen.iter().skip(index + 1).all(|seen| {
                    state = next(state);
                    shown(state) == u64::from(*seen)
                });
                if all {
                    return Some(state);
                }
            }
        }
    }
    None
}
