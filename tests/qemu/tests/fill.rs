//! The queue is filled to the brim and drained, three times, and nothing of it stays behind.

use anyhow::{Context as _, Result, ensure};
use harness::{
    load,
    message::{Kind, Message, message},
    operator::{mount_took_us, number},
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
    let claim = "filled until 452 and drained three times, restarted full: everything arrives once, the flash is empty and \
                 the heap as it was before; a full queue mounts within a second";
    prove(claim, || {
        let seed = seed_of_this_run("fill");
        let mut rig = Rig::set_up("fill")?;
        rig.operate(|operator| operator.configure(&[("without-identity", "pass")]))?;
        let mut start = None;
        for (round, filling) in [Filling::Large, Filling::Small, Filling::Mixed].into_iter().enumerate() {
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
    // A full queue survives the plug, and a machine whose clock counts instructions tells how long it took to find it.
    rig.power_on_with(|options| options.icount_shift = Some(0))?;
    let log = rig.operate(|operator| operator.run("log tail 200"))?;
    let took_us = mount_took_us(&log)?;
    ensure!(took_us <= MOUNT_MS_MAX * 1_000, "mounting took {took_us} microseconds");
    rig.power_on_with(|options| options.icount_shift = None)?;
    rig.machine()?.wait_for_greeting(25, PATIENCE)?;
    let full = at_rest(rig)?;
    ensure!(full.messages == sent.len() as u64, "{} messages are there of {}", full.messages, sent.len());
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
    // The first round's end is what every later one has to come back to.
    let start = start.get_or_insert(after);
    ensure!(
        (after.messages, after.used, after.promised) == (0, 0, 0),
        "something is still in the queue: {after:?}"
    );
    ensure!(after.heap.abs_diff(start.heap) <= HEAP_JITTER_BYTES, "the heap: {start:?}, then {after:?}");
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
        sent.extend(load::hand_in(address, CLIENTS, usize::MAX, LONG, make)?.0);
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
            sent.extend(taken);
        }
    }
    Ok(sent)
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
