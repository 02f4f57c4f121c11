//! Cuts in every operation of the flash.

use spool_model::exhaustive::{Extent, run};

/// Of every so many first cuts one is followed by second cuts.
const SECOND_EVERY: u64 = 16;

#[test]
fn a_cut_in_every_operation_of_the_flash_and_a_second_one_while_it_recovers_lose_nothing() {
    let extent = Extent { cuts: 8_000, second_every: SECOND_EVERY, seed: 1 };
    let done = run(extent).unwrap_or_else(|error| panic!("{error}"));
    println!(
        "every operation: {} first cuts, {} second cuts; {}; {} octets moved, {} blocks retired",
        done.first, done.second, done.counts, done.moved, done.retired
    );
    assert!(done.first >= 5_000 && done.second >= 5_000 && done.moved > 20_000);
}
