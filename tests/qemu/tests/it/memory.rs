//! Memory does not depend on the size of messages.

use anyhow::{Context as _, Result, ensure};
use harness::{
    message::{Kind, message},
    rng::Rng,
    verify,
};
use qemu::{Golden, PATIENCE, RECIPIENT, RSA_SENDER, Rig, prove};

/// Octets by which the mark of the stack may differ between two runs that do the same: an interrupt finds the deepest
/// function or the one before it.
const STACK_JITTER_BYTES: u64 = 512;
/// The largest message that the appliance takes by default.
const LARGEST_BYTES: usize = 25 << 20;

#[test]
fn a_message_of_25_mib_needs_no_more_memory_than_one_of_1_kib() {
    prove("a signed message of 25 MiB leaves the same high-water marks as one of 1 KiB", || {
        let small = high_water("memory-small", 1_024)?;
        let large = high_water("memory-large", LARGEST_BYTES)?;
        println!("high-water marks after 1 KiB: {small:?}, after 25 MiB: {large:?}");
        ensure!(
            (small.static_octets, small.heap) == (large.static_octets, large.heap)
                && small.stack.abs_diff(large.stack) <= STACK_JITTER_BYTES,
            "after 1 KiB: {small:?}, after 25 MiB: {large:?}"
        );
        Ok(())
    });
}

/// What the console shows.
#[derive(Debug)]
struct HighWater {
    static_octets: u64,
    /// The mark when the message has gone.
    heap: u64,
    /// The mark before the message came.
    #[expect(
        dead_code,
        reason = "shown, not compared: it says how much of the heap's mark is the message's"
    )]
    heap_before: u64,
    stack: u64,
}

/// Sends one message of `size` octets through an appliance that has just been started, and reads the marks.
fn high_water(name: &'static str, size: usize) -> Result<HighWater> {
    let mut rig = Rig::set_up(name)?;
    let heap_before = marks(&mut rig)?.heap;
    let message = message(Kind::Sized(size), name, RSA_SENDER, RECIPIENT, &mut Rng::new(size as u64));
    let mut client = rig.client()?;
    let reply = client.hand_in(&message)?;
    ensure!(reply.code == 250, "{reply}");
    // Nothing else is at work meanwhile, whatever the size: the session stays open until the message has gone, and the
    // operator waits for the record of the delivery. Otherwise the mark is that of tasks that happened to overlap.
    ensure!(rig.sink.wait_for(1, PATIENCE * 2), "it was not delivered");
    std::thread::sleep(std::time::Duration::from_secs(2));
    client.quit()?;
    rig.operate(|operator| operator.wait_for_empty_queue(PATIENCE))?;
    let delivery = &rig.sink.deliveries()[0];
    verify::judge(&message.content, RSA_SENDER, &delivery.content, &Golden::get()?.root)?;
    Ok(HighWater { heap_before, ..marks(&mut rig)? })
}

fn marks(rig: &mut Rig) -> Result<HighWater> {
    let shown = rig.operate(|operator| operator.run("show memory"))?;
    let number = |label: &str, before: &str| {
        let line = shown.lines().find(|line| line.trim_start().starts_with(label))?;
        let (_, rest) = line.split_once(before)?;
        rest.split_whitespace().next()?.trim_end_matches(',').parse().ok()
    };
    let read = || {
        Some(HighWater {
            static_octets: number("static", "static")?,
            heap: number("heap", "high-water mark")?,
            heap_before: 0,
            stack: number("stack", "high-water mark")?,
        })
    };
    read().with_context(|| format!("not understood:\n{shown}"))
}
