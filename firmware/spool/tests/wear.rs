//! Wear and write amplification, simulated on fewer octets than the real geometry has. Run with `--nocapture` to see the
//! figures that `hw-docs/flash-layout.md` names; with `--include-ignored` for the long runs.
#![allow(clippy::unwrap_used)]

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::{Random, SimFlash};
use spool::{Admission, Arrival, Class, Health, Removal, Spool, SpoolError};

fn put<const B: usize>(spool: &Spool<SimFlash<B>>, len: usize) -> Result<QueueId, SpoolError> {
    block_on(async {
        let admission =
            Admission { size: Some(len as u32), recipients: 1, recipients_bytes: 21, class: Class::Mail };
        let mut incoming = spool.begin(admission)?;
        let piece = [b'm'; 16_384];
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

/// Steps of work ahead of need, each of them bounded: what the flash mutex is held for.
fn tend<const B: usize>(spool: &Spool<SimFlash<B>>, flash: &SimFlash<B>, steps: usize) {
    for _ in 0..steps {
        let before = flash.counters();
        let more = block_on(spool.clean_step()).unwrap();
        let after = flash.counters();
        let (read, programmed) =
            (after.bytes_read - before.bytes_read, after.bytes_programmed - before.bytes_programmed);
        assert!(
            read <= 64 * 1_024 && programmed <= 17 * 1_024,
            "{read} octets read, {programmed} programmed"
        );
        assert!(after.erases - before.erases <= 1);
        if !more {
            break;
        }
    }
}

/// Fills `percent` of the capacity with mail that stays, then lets `mails` pass, the oldest of the others leaving.
fn run<const B: usize>(
    flash: &SimFlash<B>,
    cold_percent: u64,
    hot_percent: u64,
    mails: u32,
    sizes: &[usize],
    recipe: usize,
    order: impl Fn(&mut Random, usize) -> usize,
) -> (Health, Health) {
    let spool = block_on(Spool::mount(flash.clone())).unwrap().0;
    let mut random = Random::new(7);
    let share = |percent| spool.usage().capacity * percent / 100;
    let occupied = || spool.usage().used + spool.usage().reserved;
    let store = |random: &mut Random| {
        let id = put(&spool, sizes[random.below(sizes.len())])?;
        block_on(spool.set_recipe(id, &vec![1; recipe]))?;
        Ok::<_, SpoolError>(id)
    };
    while occupied() < share(cold_percent) {
        store(&mut random).unwrap();
    }
    let mut hot = Vec::new();
    let mut warm = None;
    for number in 0..mails {
        let mut stored = None;
        while stored.is_none() {
            if occupied() < share(cold_percent + hot_percent)
                && let Ok(id) = store(&mut random)
            {
                stored = Some(id);
            } else {
                let id = hot.remove(order(&mut random, hot.len()));
                block_on(spool.remove(id, Removal::Delivered)).unwrap();
            }
        }
        hot.extend(stored);
        tend(&spool, flash, 3);
        if number == mails / 3 {
            warm = Some(spool.health());
        }
    }
    (warm.unwrap(), spool.health())
}

/// Octets programmed for each octet of intake, between two moments, in hundredths.
fn amplification(before: &Health, after: &Health) -> u64 {
    let intake = after.programmed_intake - before.programmed_intake;
    (after.programmed() - before.programmed()) * 100 / intake
}

fn show(name: &str, before: &Health, after: &Health) {
    println!(
        "{name}: amplification {}%, erases per block {} to {}, mean {}, levelled {} KiB, cleaned {} KiB",
        amplification(before, after),
        after.erases_min,
        after.erases_max,
        after.erases_mean_percent as f64 / 100.0,
        after.programmed_levelling / 1_024,
        after.programmed_cleaning / 1_024,
    );
}

const OLDEST: fn(&mut Random, usize) -> usize = |_, _| 0;
const ANY: fn(&mut Random, usize) -> usize = |random, len| random.below(len);

/// A quarter of the blocks' size, and mails in proportion: what matters is how many of them a block holds.
fn scaled() -> SimFlash<{ 64 * 1_024 }> {
    SimFlash::new(limits::flash::SPOOL_BLOCKS.len())
}

#[test]
fn a_half_full_queue_is_written_hardly_more_than_once() {
    for (name, order) in [("half full, first in first out", OLDEST), ("half full, in any order", ANY)] {
        let (before, after) = run(&scaled(), 0, 50, 8_000, &[700, 700, 3_000, 9_000], 1_500, order);
        show(name, &before, &after);
        assert!(amplification(&before, &after) <= 130);
    }
}

#[test]
fn at_98_percent_cleaning_copies_less_than_what_arrives() {
    for (name, cold, hot) in
        [("98 percent full, in any order", 0, 98), ("98 percent full, 80 of them stay", 80, 18)]
    {
        let (before, after) = run(&scaled(), cold, hot, 12_000, &[700, 700, 3_000, 9_000], 1_500, ANY);
        show(name, &before, &after);
        assert!(amplification(&before, &after) <= 250);
    }
}

#[test]
fn mail_that_stays_for_ever_does_not_keep_its_blocks_from_wearing() {
    let flash = SimFlash::<{ 32 * 1_024 }>::new(120);
    let (before, after) = run(&flash, 48, 2, 24_000, &[1_000, 3_000, 9_000], 1_500, OLDEST);
    show("half of the queue stays", &before, &after);
    // What the log says is what the flash went through.
    let erases = flash.erases();
    assert_eq!(u64::from(after.erases_max), *erases.iter().max().unwrap());
    assert_eq!(u64::from(after.erases_min), *erases.iter().min().unwrap());
    assert!(after.erases_min > 10 && after.erases_max * 2 <= after.erases_min * 3, "{erases:?}");
}

#[test]
#[ignore = "a minute: 100,000 mails on the real geometry"]
fn after_100_000_mails_on_the_real_geometry_wear_is_level() {
    for (name, cold, hot) in [("100,000 mails, half stays", 48, 2), ("100,000 mails, none stays", 0, 50)] {
        let flash = SimFlash::<{ limits::flash::BLOCK_BYTES }>::new(limits::flash::SPOOL_BLOCKS.len());
        let (before, after) = run(&flash, cold, hot, 100_000, &[1_000, 3_000, 12_000, 40_000], 1_500, OLDEST);
        show(name, &before, &after);
        assert!(after.erases_max * 2 <= after.erases_min * 3, "{:?}", flash.erases());
    }
}
