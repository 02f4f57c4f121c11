//! The queue's part of `cargo xtask bench`: what intake and delivery cost apart, how fast a full flash is mounted, how much
//! more is written than stored when the queue stays half full, and how long cleaning keeps a client waiting.
//!
//! Times are the appliance's own, from a clock that counts instructions as nanoseconds; throughput is what the processor
//! would do if it did nothing else, one instruction a nanosecond.

use super::{Figures, PATIENCE, busy_instructions, cost_of_asking};
use crate::commands::build;
use crate::step;
use anyhow::{Context as _, Result, ensure};
use harness::load;
use harness::machine::{Machine, Options as MachineOptions};
use harness::message::{Kind, Message, message};
use harness::operator::{Operator, mount_took_us, number};
use harness::process::ScratchDir;
use harness::rng::Rng;
use harness::sink::Sink;
use std::path::Path;
use std::time::Duration;

/// Microseconds of its own time that the appliance may take to mount a full queue.
const MOUNT_US_BUDGET: u64 = 1_000_000;
/// Microseconds of its own time that cleaning may keep a client waiting.
const STALL_US_BUDGET: u64 = 50_000;
/// Thousandths: octets programmed for each octet stored, in a queue that stays half full.
const AMPLIFICATION_BUDGET: u64 = 1_300;

/// Sizes of messages for throughput, and how many of each are averaged.
const SIZES: [(&str, usize, usize); 2] = [("1_kib", 1 << 10, 60), ("1_mib", 1 << 20, 4)];
/// Clients that send at once.
const CLIENTS: usize = 4;
/// Octets of the messages of a queue that stays half full: their lives end in random order.
const CHURN_BYTES: usize = 60_000;
/// Such messages that are half of the flash.
const CHURN_KEPT: usize = 490;
/// Messages that come and go there until the flash has been written over twice.
const CHURN_COUNT: usize = 2_000;
/// Of so many come, then as many go.
const CHURN_STEP: usize = 40;
/// Messages that come while the flash is cleaned, to see how long they wait.
const STALL_COUNT: usize = 400;
/// How often the console is asked before it is believed that nothing was moved.
const LOOKS_COUNT_MAX: usize = 40;
/// A sender without identity: whether its mail passes or is held is a setting.
const SENDER: &str = "plain@example.org";

/// Adds the queue's figures; prints goals and what became of them.
pub fn measure(bank: &Path, figures: &mut Figures) -> Result<()> {
    let scratch = ScratchDir::new()?;
    throughput(&options(bank, scratch.path(), "throughput"), figures)?;
    for (name, size) in [("small", 1 << 10), ("large", 1 << 20)] {
        mount_full(&options(bank, scratch.path(), name), name, size, figures)?;
    }
    half_full(&options(bank, scratch.path(), "churn"))
}

fn options(bank: &Path, scratch: &Path, name: &str) -> MachineOptions {
    let mut options =
        MachineOptions::new(bank, &scratch.join(format!("{name}.img")), &scratch.join(format!("{name}.tpm")));
    options.icount_shift = Some(0);
    options
}

/// One line about a goal.
fn verdict(name: &str, measured: &str, kept: bool, budget: &str) {
    let verdict = if kept { "kept" } else { "MISSED" };
    step::note(&format!("{name:<42}{measured:>16}  budget {budget}, {verdict}"));
}

fn make(name: &str, size: usize, number: usize) -> Message {
    let mut rng = Rng::new((number as u64) << 24 ^ size as u64);
    message(Kind::Sized(size), &format!("{name}{number}"), SENDER, "b@example.net", &mut rng)
}

/// Intake with the next hop down, then delivery of what came in.
fn throughput(options: &MachineOptions, figures: &mut Figures) -> Result<()> {
    let mut sink = Sink::reserve()?;
    let mut machine = Machine::start(options.clone())?;
    let address = machine.address(25)?;
    let mut operator = Operator::new(machine.console()?)?;
    operator.set_up(sink.address().port())?;
    operator.configure(&[("without-identity", "pass")])?;
    for (size_name, bytes, count) in SIZES {
        sink.go_down();
        sink.clear();
        // One ahead, so that nothing is done for the first time.
        load::hand_in(address, 1, 1, PATIENCE, |number| make("ahead", bytes, number))?;
        std::thread::sleep(Duration::from_millis(500));
        let question = cost_of_asking(&mut operator)?;
        let before = busy_instructions(&mut operator)?;
        load::hand_in(address, CLIENTS, count, PATIENCE, |number| make(size_name, bytes, number))?;
        // The decision is a part of the intake's work.
        std::thread::sleep(Duration::from_millis(500));
        let between = busy_instructions(&mut operator)?;
        sink.come_up()?;
        operator.run("queue retry all")?;
        ensure!(sink.wait_for(count + 1, PATIENCE), "{} of {count} messages came out", sink.count());
        operator.wait_for_empty_queue(PATIENCE)?;
        let after = busy_instructions(&mut operator)?;
        let intake = between.saturating_sub(before).saturating_sub(question) / count as u64;
        let delivery = after.saturating_sub(between).saturating_sub(question) / (count as u64 + 1);
        for (what, each) in [("intake", intake), ("delivery", delivery)] {
            let per_second = 1e9 / each.max(1) as f64;
            step::note(&format!(
                "{:<26}{:>16} instructions; {per_second:.0} messages/s, {:.1} MiB/s of the appliance's time",
                format!("{what}_{size_name}"),
                build::grouped(each),
                per_second * bytes as f64 / (1 << 20) as f64
            ));
            figures.insert(format!("instructions_{what}_{size_name}"), each);
        }
    }
    Ok(())
}

/// Fills the queue, without counting, and then counts what a start on that takes.
fn mount_full(options: &MachineOptions, name: &str, size: usize, figures: &mut Figures) -> Result<()> {
    let mut quick = options.clone();
    quick.icount_shift = None;
    let mut machine = Machine::start(quick)?;
    let address = machine.address(25)?;
    let mut operator = Operator::new(machine.console()?)?;
    operator.set_up(harness::process::free_port()?)?;
    operator.configure(&[("without-identity", "pass"), ("client-share", "100")])?;
    let (taken, _) =
        load::hand_in(address, CLIENTS, usize::MAX, PATIENCE, |number| make(name, size, number))?;
    operator.wait_for_decisions()?;
    let mut machine = machine.restart_with(|options| {
        options.icount_shift = Some(0);
        options.no_network = true;
        options.forwards.clear();
    })?;
    let mut operator = Operator::new(machine.console()?)?;
    let there = number(&operator.run_within("show flash", PATIENCE)?, "messages", 0)?;
    ensure!(there == taken.len() as u64, "{there} messages are there of {}", taken.len());
    let took_us = mount_took_us(&operator.run_within("log tail 200", PATIENCE)?)?;
    figures.insert(format!("instructions_mount_full_{name}"), took_us * 1_000);
    verdict(
        &format!("mount full queue, {there} {name} messages"),
        &format!("{}.{:03} ms", took_us / 1_000, took_us % 1_000),
        took_us <= MOUNT_US_BUDGET,
        &format!("{} ms", MOUNT_US_BUDGET / 1_000),
    );
    Ok(())
}

/// A queue that stays half full while messages come and go in random order.
fn half_full(options: &MachineOptions) -> Result<()> {
    let mut quick = options.clone();
    quick.icount_shift = None;
    let mut machine = Machine::start(quick)?;
    let address = machine.address(25)?;
    let mut operator = Operator::new(machine.console()?)?;
    operator.set_up(harness::process::free_port()?)?;
    // Nothing is delivered; the operator ends what comes.
    operator.configure(&[("without-identity", "hold"), ("client-share", "100")])?;
    let (mut made, mut living, mut rng) = (0, Vec::<String>::new(), Rng::new(1));
    let mut counted = None;
    while made < CHURN_KEPT + CHURN_COUNT {
        let step = if living.len() < CHURN_KEPT { CHURN_KEPT } else { CHURN_STEP };
        let first = made;
        let make = |number| make("churn", CHURN_BYTES, first + number);
        let (taken, full) = load::hand_in(address, CLIENTS, step, PATIENCE, make)?;
        ensure!(!full, "the queue is full with {} messages", living.len());
        living.extend(taken.into_iter().map(|taken| taken.id));
        made += step;
        // From here on as much goes as comes. The flash is written to its end once before anything is counted.
        if counted.is_none() && made >= CHURN_KEPT + CHURN_COUNT / 2 {
            counted = Some(written(&mut operator)?);
        }
        while living.len() > CHURN_KEPT {
            let id = living.swap_remove(rng.below(living.len() as u64) as usize);
            operator.run(&format!("queue remove {id}"))?;
        }
    }
    let (programmed, moved) = written(&mut operator)?;
    let (programmed_before, moved_before) = counted.context("nothing was counted")?;
    let (programmed, moved) = (programmed - programmed_before, moved - moved_before);
    let stored = programmed.saturating_sub(moved).max(1);
    let amplification = programmed * 1_000 / stored;
    verdict(
        "write amplification, queue half full",
        &format!("{}.{:03}", amplification / 1_000, amplification % 1_000),
        amplification <= AMPLIFICATION_BUDGET,
        &format!("{}.{:03}", AMPLIFICATION_BUDGET / 1_000, AMPLIFICATION_BUDGET % 1_000),
    );
    // Filled, and every second message taken out again: wherever room is made, half of a block has to be moved.
    let first = made;
    let make_full = |number| make("full", CHURN_BYTES, first + number);
    let (taken, _) = load::hand_in(address, CLIENTS, usize::MAX, PATIENCE, make_full)?;
    living.extend(taken.into_iter().map(|taken| taken.id));
    for _ in 0..living.len() / 2 {
        let id = living.swap_remove(rng.below(living.len() as u64) as usize);
        operator.run(&format!("queue remove {id}"))?;
    }
    let mut machine = machine.restart_with(|options| options.icount_shift = Some(0))?;
    let address = machine.address(25)?;
    let mut operator = Operator::new(machine.console()?)?;
    let moved_before = written(&mut operator)?.1;
    let make_more = |number| make("stall", CHURN_BYTES, number);
    let (taken, _) = load::hand_in(address, CLIENTS, STALL_COUNT, PATIENCE, make_more)?;
    let stall_us = number(&operator.run("show counters")?, "longest store, microseconds", 0)?;
    // While the flash is busy the console shows what it last knew.
    let mut moved = 0;
    for _ in 0..LOOKS_COUNT_MAX {
        moved = written(&mut operator)?.1.saturating_sub(moved_before);
        if moved > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    ensure!(
        moved > 0,
        "nothing had to be cleaned, so the longest wait says nothing:\n{}",
        operator.run("show flash")?
    );
    let moved = build::grouped(moved);
    step::note(&format!("{moved} octets were moved by cleaning while {} messages came", taken.len()));
    verdict(
        "longest wait for the flash while it is cleaned",
        &format!("{}.{:03} ms", stall_us / 1_000, stall_us % 1_000),
        stall_us <= STALL_US_BUDGET,
        &format!("{} ms", STALL_US_BUDGET / 1_000),
    );
    Ok(())
}

/// Octets that were programmed and octets that cleaning moved, since the start.
fn written(operator: &mut Operator<'_>) -> Result<(u64, u64)> {
    let flash = operator.run("show flash")?;
    Ok((number(&flash, "programmed", 0)?, number(&flash, "moved by cleaning", 0)?))
}
