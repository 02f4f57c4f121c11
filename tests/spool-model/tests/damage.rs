//! Damage of any kind.
#![allow(clippy::unwrap_used)]

use spool_model::damage::{self, Bank, Counts};

/// Damaged images; `cargo xtask sim --damage 100000` tries more.
const IMAGES: u64 = 4_000;
/// Each bank is damaged so often.
const PER_BANK: u64 = 500;
/// Of the octets of metadata every so many are changed here; `cargo xtask sim --flips` changes each.
const STRIDE: usize = 11;

#[test]
fn any_damage_leaves_what_it_did_not_touch_and_a_queue_that_works() {
    let mut counts = Counts::default();
    for number in 0..IMAGES / PER_BANK {
        let bank = Bank::fill(number).unwrap();
        for case in number * PER_BANK..(number + 1) * PER_BANK {
            damage::random(&bank, 1, case, &mut counts)
                .unwrap_or_else(|error| panic!("{error}\ncase {case}"));
        }
    }
    println!("damage: {counts}");
}

#[test]
fn any_changed_octet_of_metadata_leaves_what_it_did_not_touch() {
    let bank = Bank::fill(1).unwrap();
    let mut counts = Counts::default();
    for (number, at) in bank.metadata().into_iter().enumerate().step_by(STRIDE) {
        let mask = [0xff, 1 << (number % 8)][number / STRIDE % 2];
        damage::flip(&bank, at, mask, number % (STRIDE * 8) == 0, &mut counts)
            .unwrap_or_else(|error| panic!("{error}"));
    }
    println!("metadata: {counts}");
}
