//! Random cuts.
#![allow(clippy::unwrap_used)]
use spool_model::case::{self, Faults};
use spool_model::lab::Counts;

/// Cases of the random run: as `cargo xtask sim --seed 1` does them, every second one with failing blocks.
const CASES: u64 = 20;

#[test]
fn random_cuts_of_operations_at_once_dropped_ones_and_failing_blocks_lose_nothing() {
    let mut counts = Counts::default();
    for number in 0..CASES {
        let faults = if number.is_multiple_of(2) { Faults::None } else { Faults::Blocks };
        let done = case::run(1, number, faults, case::CASE_CUTS);
        let repeat = format!("repeat: cargo xtask sim --seed 1 --case {number}");
        counts.add(&done.unwrap_or_else(|error| panic!("{error}\n{repeat}")));
    }
    println!("random: {counts}");
}
