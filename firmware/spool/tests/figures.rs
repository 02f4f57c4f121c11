//! What operations cost on the real geometry, counted: 248 blocks of 256 KiB. Run with `--nocapture` to see it.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::{Counters, Random, SimFlash};
use spool::{Admission, Arrival, Attempt, Change, Class, RecipientState, Removal, Spool, SpoolError, Status};

type Flash = SimFlash<{ limits::flash::BLOCK_BYTES }>;

fn blank() -> Flash {
    Flash::new(limits::flash::SPOOL_BLOCKS.len())
}

fn put(spool: &Spool<Flash>, len: usize) -> Result<QueueId, SpoolError> {
    block_on(async {
        let admission =
            Admission { size: Some(len as u32), recipients: 1, recipients_bytes: 21, class: Class::Mail };
        let mut incoming = spool.begin(admission)?;
        let piece = [b'm'; 4_096];
        let mut left = len;
        while left > 0 {
            let now = left.min(piece.len());
            spool.append(&mut incoming, &piece[..now]).await?;
            left -= now;
        }
        let arrival = Arrival { sender: "sender@example.org", facts: &[5; 120], ..Arrival::default() };
        spool.commit(incoming, &arrival, ["recipient@example.org"].into_iter()).await
    })
}

/// An ordinary attempt that failed for now.
fn defer(spool: &Spool<Flash>, id: QueueId) {
    let status = Status::new(451, "451 4.7.1 Greylisted, try again later");
    let states = [(0, RecipientState::Deferred { status, attempts: 1, next_try: 900 })];
    let change = Change {
        moment: 5,
        attempt: Some(Attempt::new(Some(1_700_000_000), 451, "mx.example.org: 451 4.7.1 Greylisted")),
        reason: Some("451 4.7.1 Greylisted, try again later"),
        ..Change::default()
    };
    block_on(spool.change(id, &states, &change)).unwrap();
}

fn difference(flash: &Flash, before: Counters) -> (u64, u64, u64) {
    let now = flash.counters();
    (
        now.programs - before.programs,
        now.bytes_programmed - before.bytes_programmed,
        now.erases - before.erases,
    )
}

#[test]
fn a_small_message_costs_three_programs_and_each_later_step_two() {
    let flash = blank();
    let spool = block_on(Spool::mount(flash.clone())).unwrap().0;
    put(&spool, 10).unwrap();
    let cost = |name: &str, most: u64, step: &dyn Fn()| {
        let before = flash.counters();
        step();
        let (programs, bytes, _) = difference(&flash, before);
        println!("{name:28} {programs:4} programs {bytes:7} octets");
        assert!(programs <= most, "{name}: {programs}");
    };
    cost("store 1 KiB", 3, &|| {
        put(&spool, 1_024).unwrap();
    });
    cost("store 10 KiB", 6, &|| {
        put(&spool, 10_240).unwrap();
    });
    cost("store 1 MiB", 400, &|| {
        put(&spool, 1_048_576).unwrap();
    });
    let id = put(&spool, 1_024).unwrap();
    cost("recipe of 5,000 octets", 3, &|| block_on(spool.set_recipe(id, &[1; 5_000])).unwrap());
    for _ in 0..7 {
        cost("attempt, one recipient", 2, &|| defer(&spool, id));
    }
    cost("remove", 1, &|| block_on(spool.remove(id, Removal::Delivered)).unwrap());
}

#[test]
fn steady_traffic_is_written_once_and_wears_evenly() {
    let flash = blank();
    let spool = block_on(Spool::mount(flash.clone())).unwrap().0;
    let mut random = Random::new(1);
    let mut waiting = Vec::new();
    let mut wanted = 0;
    let before = flash.counters();
    // One message in twenty waits for long, the rest leaves at once.
    for _ in 0..5_000 {
        let len = [1_000, 3_000, 12_000, 60_000][random.below(4)];
        let id = put(&spool, len).unwrap();
        wanted += len as u64;
        if random.below(20) == 0 {
            waiting.push(id);
        } else {
            block_on(spool.remove(id, Removal::Delivered)).unwrap();
        }
        if waiting.len() > 300 {
            let id = waiting.swap_remove(random.below(300));
            block_on(spool.remove(id, Removal::Delivered)).unwrap();
        }
    }
    let (programs, bytes, erases) = difference(&flash, before);
    let usage = spool.usage();
    println!("5,000 messages: {wanted} octets of content, {bytes} programmed in {programs} operations");
    println!(
        "moved {} octets, {erases} erases, per block {} to {}",
        usage.moved, usage.erases_min, usage.erases_max
    );
    assert!(bytes < wanted + wanted / 10 + 5_000 * 400, "write amplification");
}

/// Mounts and prints what that costs. `MOUNTS` in the environment repeats it, for a profiler.
fn measure_mount(name: &str, flash: &Flash, messages: u32) -> u64 {
    let before = flash.counters();
    let started = Instant::now();
    let (spool, report) = block_on(Spool::mount(flash.clone())).unwrap();
    let elapsed = started.elapsed();
    let now = flash.counters();
    assert_eq!((report.messages, report.messages_damaged), (messages, 0));
    assert_eq!(now.programs, before.programs);
    let bytes = now.bytes_read - before.bytes_read;
    println!(
        "{name}: {messages} messages, {} of {} octets used; mount: {} records, {} reads of {bytes} octets, {elapsed:?}",
        spool.usage().used,
        spool.usage().capacity,
        report.records,
        now.reads - before.reads,
    );
    let again = std::env::var("MOUNTS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    (0..again).for_each(|_| drop(block_on(Spool::mount(flash.clone())).unwrap()));
    bytes
}

/// Stores messages of `len` octets until the queue is full.
fn fill(spool: &Spool<Flash>, len: usize) -> Vec<QueueId> {
    let mut stored = Vec::new();
    loop {
        match put(spool, len) {
            Ok(id) => stored.push(id),
            Err(SpoolError::Full(_)) => return stored,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_queue_full_of_small_messages_mounts_by_reading_little() {
    let flash = blank();
    let spool = block_on(Spool::mount(flash.clone())).unwrap().0;
    let stored = fill(&spool, 1_024);
    for id in &stored {
        block_on(spool.set_recipe(*id, &[1; 5_000])).unwrap();
        defer(&spool, *id);
    }
    assert!(stored.len() >= 4_032, "{}", stored.len());
    drop(spool);
    let bytes = measure_mount("small messages", &flash, stored.len() as u32);
    assert!(bytes < 8 * 1_024 * 1_024, "{bytes}");
}

#[test]
fn a_queue_full_of_large_messages_mounts_by_reading_little() {
    let flash = blank();
    let spool = block_on(Spool::mount(flash.clone())).unwrap().0;
    let stored = fill(&spool, 1_048_576);
    assert!(stored.len() >= 50, "{}", stored.len());
    drop(spool);
    let bytes = measure_mount("large messages", &flash, stored.len() as u32);
    assert!(bytes < 1_024 * 1_024, "{bytes}");
}

/// The dearest queue to mount: small messages, and every block that they leave is full of states that are dead.
#[test]
fn a_bank_full_of_small_records_mounts_in_bounded_time() {
    let flash = blank();
    let spool = block_on(Spool::mount(flash.clone())).unwrap().0;
    let mut stored = Vec::new();
    for _ in 0..4_032 {
        stored.push(put(&spool, 100).unwrap());
    }
    let erased = |spool: &Spool<Flash>| spool.usage().blocks_free > 2 && spool.usage().erases_total < 248;
    for round in 0u64.. {
        if !erased(&spool) {
            break;
        }
        for id in &stored {
            let states =
                [(0, RecipientState::Deferred { status: Status::new(0, ""), attempts: 1, next_try: round })];
            block_on(spool.change(*id, &states, &Change::default())).unwrap();
        }
    }
    drop(spool);
    measure_mount("small records", &flash, 4_032);
}

#[test]
fn messages_of_a_thousand_recipients_fill_the_index_and_mount() {
    let flash = blank();
    let spool = block_on(Spool::mount(flash.clone())).unwrap().0;
    let mut stored = 0;
    loop {
        let admission =
            Admission { size: Some(500), recipients: 1_000, recipients_bytes: 20_000, class: Class::Mail };
        let Ok(mut incoming) = spool.begin(admission) else { break };
        let id = block_on(async {
            spool.append(&mut incoming, &[b'm'; 500]).await?;
            let addresses: Vec<String> = (0..1_000).map(|n| format!("r{n}@example.org")).collect();
            spool.commit(incoming, &Arrival::default(), addresses.iter().map(String::as_str)).await
        });
        let status = Status::new(451, "451 4.7.1 Greylisted, try again later");
        let deferred = |_: u16, state: &mut RecipientState| {
            *state = RecipientState::Deferred { status: status.clone(), attempts: 1, next_try: 900 };
        };
        block_on(spool.change_each(id.unwrap(), &Change::default(), deferred)).unwrap();
        stored += 1;
    }
    assert!(stored > 100, "{stored} {:?}", spool.usage());
    drop(spool);
    measure_mount("a thousand recipients", &flash, stored);
}

#[test]
fn at_the_brim_random_replacement_goes_on_for_ever() {
    type Small = SimFlash<{ 32 * 1_024 }>;
    let flash = Small::new(80);
    let spool = block_on(Spool::mount(flash.clone())).unwrap().0;
    let store = |len: usize| {
        block_on(async {
            let admission =
                Admission { size: Some(len as u32), recipients: 1, recipients_bytes: 13, class: Class::Mail };
            let mut incoming = spool.begin(admission)?;
            spool.append(&mut incoming, &vec![b'b'; len]).await?;
            let id = spool.commit(incoming, &Arrival::default(), ["a@example.org"].into_iter()).await?;
            spool.set_recipe(id, &[2; 6_000]).await?;
            Ok::<_, SpoolError>(id)
        })
    };
    let mut random = Random::new(3);
    let mut waiting = Vec::new();
    let mut before = (flash.counters(), spool.usage());
    for round in 0..1_500 {
        if round == 500 {
            before = (flash.counters(), spool.usage());
        }
        loop {
            match store([700, 700, 3_000, 9_000][random.below(4)]) {
                Ok(id) => waiting.push(id),
                Err(SpoolError::Full(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let id = waiting.swap_remove(random.below(waiting.len()));
        block_on(spool.remove(id, Removal::Delivered)).unwrap();
    }
    let usage = spool.usage();
    let programmed = flash.counters().bytes_programmed - before.0.bytes_programmed;
    let moved = usage.moved - before.1.moved;
    println!(
        "at the brim: {} messages, {} of {} used, {programmed} programmed, {moved} of it moved",
        usage.messages, usage.used, usage.capacity
    );
    assert!(usage.used > usage.capacity * 7 / 10 && programmed < 6 * (programmed - moved));
}
