//! The queue is filled to the brim and drained, three times, and nothing of it stays behind.

use anyhow::{Context as _, Result, ensure};
use harness::{
    load,
    machine::Machine,
    message::{Kind, Message, message},
    operator::{Operator, mount_took_us, number},
    process::ScratchDir,
    rng::{Rng, seed_of_this_run},
    sink::Delivery,
};
use qemu::{PATIENCE, PLAIN_SENDER, RECIPIENT, Rig, prove};
use std::{collections::BTreeMap, time::Duration};

/// How long a full queue may take. The emulator's flash takes a megabyte in a third of a second on a quiet machine.
const LONG: Duration = Duration::from_secs(600);
/// Clients that send at once.
const CLIENTS: usize = 4;
/// Messages that the index has to hold, at least, when all are small.
const SMALL_COUNT_MIN: usize = 4_000;
/// Octets that the flash has to hold, at least, when all are large.
const LARGE_BYTES_MIN: usize = 55 << 20;
/// Milliseconds of the appliance's own time that it may take to find its way in a full flash.
const MOUNT_MS_MAX: u64 = 1_000;
/// Octets by which the heap may differ between two moments of rest: what the network stack keeps of connections that are
/// only just gone.
const HEAP_JITTER_BYTES: u64 = 16_384;

/// Octets that tables which grew in the first round may keep, to be used again.
const HEAP_KEPT_BYTES_MAX: u64 = 256 << 10;

/// What fills the queue in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filling {
    /// Messages of 1 MiB, then ever smaller ones until none fits.
    Large,
    /// Messages of 1 KiB, until the index is full.
    Small,
    /// From 1 KiB to 1 MiB.
    Mixed,
}

#[test]
fn the_queue_is_filled_to_the_brim_and_drained_three_times() {
    let claim = "filled until 452 and drained three times: everything arrives once, the flash is empty and \
                 the heap where it was; a full queue mounts within a second of the appliance's time";
    prove(claim, || {
        let seed = seed_of_this_run("fill");
        let mut rig = Rig::set_up("fill")?;
        rig.operate(|operator| operator.configure(&[("without-identity", "pass"), ("client-share", "100")]))?;
        let mut start = None;
        for (round, filling) in [Filling::Small, Filling::Large, Filling::Mixed].into_iter().enumerate() {
            one_round(&mut rig, filling, seed.wrapping_add(round as u64), &mut start)
                .with_context(|| format!("round {round}, {filling:?}"))
                .map_err(|error| rig.explain(error))?;
        }
        Ok(())
    });
}

/// What an appliance at rest shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    messages: u64,
    used: u64,
    promised: u64,
    heap: u64,
}

fn one_round(rig: &mut Rig, filling: Filling, seed: u64, start: &mut Option<Rest>) -> Result<()> {
    rig.sink.go_down();
    rig.sink.clear();
    let before = at_rest(rig)?;
    let sent = fill(rig, filling, seed)?;
    let octets: usize = sent.iter().map(|message| message.content.len()).sum();
    match filling {
        Filling::Small => ensure!(sent.len() >= SMALL_COUNT_MIN, "full with {} messages", sent.len()),
        Filling::Large => ensure!(octets >= LARGE_BYTES_MIN, "full with {octets} octets"),
        Filling::Mixed => {}
    }
    rig.operate(|operator| operator.wait_for_decisions())?;
    let full = at_rest(rig)?;
    ensure!(full.messages == sent.len() as u64, "{} messages are there of {}", full.messages, sent.len());
    let took_us = mount_elsewhere(rig, full.messages)?;
    ensure!(took_us <= MOUNT_MS_MAX * 1_000, "mounting took {took_us} microseconds");
    rig.sink.come_up()?;
    rig.operate(|operator| operator.run("queue retry all"))?;
    let arrived = rig.sink.wait_for(sent.len(), LONG);
    ensure!(arrived, "{} of {} messages came", rig.sink.count(), sent.len());
    rig.operate(|operator| operator.wait_for_empty_queue(PATIENCE))?;
    judge(&sent, &rig.sink.deliveries())?;
    let after = drained(rig)?;
    println!(
        "{filling:?}: {} messages of {octets} octets until 452; mounted in {}.{:03} ms of its own time; all delivered once; \
         {} octets of the queue in use, heap {} before, {} full, {} after",
        sent.len(),
        took_us / 1_000,
        took_us % 1_000,
        after.used,
        before.heap,
        full.heap,
        after.heap
    );
    let start = start.get_or_insert(after);
    ensure!(
        (after.messages, after.used, after.promised) == (0, 0, 0),
        "something is still in the queue: {after:?}"
    );
    ensure!(
        after.heap <= before.heap.max(start.heap) + HEAP_JITTER_BYTES
            && after.heap <= before.heap + HEAP_KEPT_BYTES_MAX,
        "the heap had {} octets, after the first round {}, now {}",
        before.heap,
        start.heap,
        after.heap
    );
    Ok(())
}

/// Fills the queue until it says 452 to the smallest message.
fn fill(rig: &mut Rig, filling: Filling, seed: u64) -> Result<Vec<Message>> {
    let address = rig.address()?;
    let sizes: &[usize] = match filling {
        Filling::Large => &[1 << 20, 128 << 10, 16 << 10, 1 << 10],
        Filling::Small | Filling::Mixed => &[1 << 10],
    };
    let mut sent = Vec::new();
    if filling == Filling::Mixed {
        let make = |number: usize| {
            let mut rng = Rng::new(seed ^ (number as u64) << 20);
            let size = 1_024 << rng.below(11);
            message(Kind::Sized(size), &format!("mixed{number}"), PLAIN_SENDER, RECIPIENT, &mut rng)
        };
        sent.extend(
            load::hand_in(address, CLIENTS, usize::MAX, LONG, make)?.0.into_iter().map(|taken| taken.message),
        );
    }
    for size in sizes {
        // One client at the end: several that are refused together have each promised themselves room meanwhile.
        for clients in [CLIENTS, 1] {
            let known = sent.len();
            let make = |number: usize| {
                let number = known + number;
                let mut rng = Rng::new(seed ^ (number as u64) << 20 ^ *size as u64);
                message(Kind::Sized(*size), &format!("f{number}"), PLAIN_SENDER, RECIPIENT, &mut rng)
            };
            let (taken, full) = load::hand_in(address, clients, usize::MAX, LONG, make)?;
            ensure!(full);
            sent.extend(taken.into_iter().map(|taken| taken.message));
        }
    }
    Ok(sent)
}

/// Switches a second machine on with a copy of the full flash and a clock that counts instructions; gives the microseconds
/// of its own time that it took to find its way in the queue.
fn mount_elsewhere(rig: &mut Rig, messages: u64) -> Result<u64> {
    let scratch = ScratchDir::new()?;
    let data = scratch.path().join("data");
    std::fs::copy(rig.data(), &data)?;
    let mut options = rig.machine()?.options().clone();
    options.data = data;
    options.tpm = None;
    options.forwards.clear();
    // It must not deliver anything.
    options.no_network = true;
    options.icount_shift = Some(0);
    let mut machine = Machine::start(options)?;
    let mut operator = Operator::new(machine.console()?)?;
    let there = number(&operator.run_within("show flash", LONG)?, "messages", 0)?;
    ensure!(there == messages, "a start on this flash finds {there} messages instead of {messages}");
    mount_took_us(&operator.run_within("log tail 200", LONG)?)
}

/// Every message came once, and as it was.
fn judge(sent: &[Message], deliveries: &[Delivery]) -> Result<()> {
    let mut came: BTreeMap<String, &Delivery> = BTreeMap::new();
    for delivery in deliveries {
        let id = delivery.header("message-id").context("a delivery without Message-ID")?;
        ensure!(came.insert(id.clone(), delivery).is_none(), "{id} came twice");
    }
    for message in sent {
        let delivery = came.get(&message.id).with_context(|| format!("{} did not come", message.id))?;
        ensure!(delivery.content.ends_with(&message.content), "{} is not what was sent", message.id);
    }
    ensure!(came.len() == sent.len(), "{} messages were sent, {} came", sent.len(), came.len());
    Ok(())
}

/// Waits until the last promises are given back and connections are gone, and looks.
fn drained(rig: &mut Rig) -> Result<Rest> {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let rest = at_rest(rig)?;
        let idle = rig.operate(|operator| operator.run("show network"))?;
        let open = number(&idle, "connections out", 0)? + number(&idle, "sessions in", 0)?;
        if (open == 0 && rest.promised == 0) || std::time::Instant::now() > deadline {
            return Ok(rest);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn at_rest(rig: &mut Rig) -> Result<Rest> {
    rig.operate(|operator| {
        let flash = operator.run("show flash")?;
        let memory = operator.run("show memory")?;
        Ok(Rest {
            messages: number(&flash, "messages", 0)?,
            used: number(&flash, "room", 0)?,
            promised: number(&flash, "room", 2)?,
            heap: number(&memory, "heap", 0)?,
        })
    })
}
