//! The key-value store beside a map, with power cuts at every flash operation.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use embassy_futures::block_on;
use flash_log::{KvError, KvStore, LogNotice, Partition, SharedFlash};
use flash_sim::{Fault, Random, SimFlash, Tear};

const BLOCK: usize = 4 * 1_024;
type Flash = SimFlash<BLOCK>;
type Store = KvStore<Flash>;
type Model = BTreeMap<u32, Vec<u8>>;

fn open(flash: &Flash) -> Store {
    block_on(KvStore::open(flash.clone())).unwrap()
}

fn content(store: &mut Store) -> Model {
    let mut out = [0; 1_024];
    let keys: Vec<u32> = store.keys().collect();
    let read = |key| {
        let len = block_on(store.get(key, &mut out)).unwrap().unwrap();
        (key, out[..len].to_vec())
    };
    keys.into_iter().map(read).collect()
}

/// A random change: a value of some length, or a deletion.
fn change(random: &mut Random) -> (u32, Option<Vec<u8>>) {
    let key = random.below(6) as u32;
    let len = [0, 5, 40, 200, 350][random.below(5)];
    let value = vec![random.below(256) as u8; len];
    (key, (random.below(4) > 0).then_some(value))
}

fn apply(store: &mut Store, key: u32, value: Option<&[u8]>) -> Result<(), KvError> {
    block_on(async {
        match value {
            Some(value) => store.set(key, value).await,
            None => store.delete(key).await,
        }
    })
}

fn apply_to(model: &mut Model, key: u32, value: Option<Vec<u8>>) {
    match value {
        Some(value) => model.insert(key, value),
        None => model.remove(&key),
    };
}

#[test]
fn values_survive_restarts_and_hundreds_of_rounds_of_cleaning() {
    for blocks in [2, 3, 4] {
        let flash = Flash::new(blocks).program_once();
        let mut random = Random::new(blocks as u64);
        let mut model = Model::new();
        for _ in 0..40 {
            let mut store = open(&flash);
            assert_eq!(content(&mut store), model);
            for _ in 0..50 {
                let (key, value) = change(&mut random);
                apply(&mut store, key, value.as_deref()).unwrap();
                apply_to(&mut model, key, value);
            }
            assert_eq!(content(&mut store), model);
        }
        let erases = flash.erases();
        let (min, max) = (erases.iter().min().unwrap(), erases.iter().max().unwrap());
        assert!(*min > 10 && max - min <= 5, "oldest first wears evenly: {erases:?}");
    }
}

#[test]
fn a_cut_at_every_flash_operation_leaves_the_old_or_the_new_value() {
    for blocks in [2, 3] {
        let flash = Flash::new(blocks).program_once();
        let mut model = Model::new();
        let mut random = Random::new(9);
        for step in 0..120u64 {
            let (key, value) = change(&mut random);
            for tear in [Tear::Before, Tear::Half(step), Tear::Half(step + 1_000), Tear::After] {
                for at in 0.. {
                    let flash = flash.fork();
                    let mut store = open(&flash);
                    flash.cut_after(at, tear);
                    if apply(&mut store, key, value.as_deref()).is_ok() && !flash.is_off() {
                        break;
                    }
                    // A second cut during the recovery from the first.
                    flash.power_on();
                    flash.cut_after(step % 3, Tear::Half(at));
                    let _ = apply(&mut open(&flash), 77, Some(&[7; 20]));
                    flash.power_on();
                    let mut store = open(&flash);
                    let mut found = content(&mut store);
                    found.remove(&77);
                    let mut after = model.clone();
                    apply_to(&mut after, key, value.clone());
                    assert!(found == model || found == after, "{found:?}\n{model:?}\n{after:?}");
                    // It goes on working.
                    for round in 0..12 {
                        apply(&mut store, 78, Some(&[round; 300])).unwrap();
                    }
                    let mut again = content(&mut open(&flash));
                    assert_eq!(again.remove(&78), Some(vec![11; 300]));
                    again.remove(&77);
                    assert_eq!(again, found);
                }
            }
            apply(&mut open(&flash), key, value.as_deref()).unwrap();
            apply_to(&mut model, key, value);
        }
    }
}

#[test]
fn a_full_store_says_so_and_keeps_what_it_has() {
    let flash = Flash::new(2).program_once();
    let mut store = open(&flash);
    let mut count = 0;
    while block_on(store.set(count, &[count as u8; 300])).is_ok() {
        count += 1;
    }
    assert_eq!(block_on(store.set(count, &[0; 300])), Err(KvError::Full));
    assert_eq!(block_on(store.set(count, &[0; 2_000])), Err(KvError::TooLong));
    assert!(count >= 7, "{count}");
    assert_eq!(content(&mut store).len() as u32, count);
    // Values can be replaced for ever, and deleting makes room.
    for round in 0..100u8 {
        block_on(store.set(u32::from(round) % count, &[round; 300])).unwrap();
    }
    block_on(store.delete(0)).unwrap();
    block_on(store.set(count, &[0; 300])).unwrap();
    assert_eq!(content(&mut open(&flash)).len() as u32, count);
    block_on(store.clear()).unwrap();
    assert_eq!(store.next_key(None), None);
    assert_eq!(open(&flash).next_key(None), None);
}

#[test]
fn ever_new_keys_that_are_deleted_again_never_fill_the_store() {
    let flash = Flash::new(2).program_once();
    let mut store = open(&flash);
    block_on(store.set(0, b"stays")).unwrap();
    for key in 1..2_000 {
        block_on(store.set(key, b"goes")).unwrap();
        block_on(store.delete(key)).unwrap();
    }
    assert_eq!(store.keys().collect::<Vec<_>>(), [0]);
    assert_eq!(content(&mut open(&flash)), Model::from([(0, b"stays".to_vec())]));
}

#[test]
fn any_content_opens_and_works() {
    let used = Flash::new(4);
    let mut store = open(&used);
    let mut random = Random::new(1);
    for _ in 0..100 {
        let (key, value) = change(&mut random);
        apply(&mut store, key, value.as_deref()).unwrap();
    }
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let flash = used.fork();
        for _ in 0..=random.below(20) {
            let at = random.below(3 * BLOCK);
            flash.poke(at, &[flash.peek(at, 1)[0] ^ (1 << random.below(8))]);
            let block = random.below(3) * BLOCK;
            if random.below(8) == 0 {
                flash.poke(random.below(3) * BLOCK, &flash.peek(block, BLOCK));
            }
        }
        let mut store = open(&flash);
        let mut out = [0; 1_024];
        for key in store.keys().collect::<Vec<_>>() {
            let _ = block_on(store.get(key, &mut out));
        }
        for key in 0..20 {
            block_on(store.set(key, &[5; 40])).unwrap();
        }
        assert_eq!(block_on(open(&flash).get(19, &mut out)), Ok(Some(40)));
    }
    let mut random = Random::new(5);
    let noise = (0..3 * BLOCK).map(|_| random.next_u64() as u8).collect();
    block_on(open(&Flash::from_image(noise)).set(1, b"x")).unwrap();
}

#[test]
fn partitions_of_one_device_do_not_touch_each_other() {
    let flash = Flash::new(8);
    let shared: SharedFlash<Flash> = SharedFlash::new(flash.clone());
    let mut first = block_on(KvStore::open(Partition::new(&shared, 0..2))).unwrap();
    let mut second = block_on(KvStore::open(Partition::new(&shared, 2..6))).unwrap();
    for round in 0..100u8 {
        block_on(first.set(1, &[round; 300])).unwrap();
        block_on(second.set(1, &[!round; 300])).unwrap();
    }
    let mut out = [0; 300];
    block_on(first.get(1, &mut out)).unwrap();
    assert_eq!(out, [99; 300]);
    block_on(second.get(1, &mut out)).unwrap();
    assert_eq!(out, [!99; 300]);
    assert_eq!(flash.peek(6 * BLOCK, 2 * BLOCK), vec![0xff; 2 * BLOCK]);
    let mut beyond = block_on(KvStore::open(Partition::new(&shared, 6..9)));
    assert_eq!(beyond.as_mut().err(), Some(&mut KvError::Flash));
}

#[test]
fn a_cut_during_a_factory_reset_leaves_all_or_nothing() {
    for blocks in [2, 3, 4] {
        let flash = Flash::new(blocks).program_once();
        let mut model = Model::new();
        let mut random = Random::new(3);
        let mut store = open(&flash);
        for _ in 0..400 {
            let (key, value) = change(&mut random);
            apply(&mut store, key, value.as_deref()).unwrap();
            apply_to(&mut model, key, value);
        }
        model.remove(&3);
        apply(&mut store, 3, None).unwrap();
        for at in 0..40 {
            for tear in [Tear::Before, Tear::Half(at), Tear::Half(at + 100), Tear::After] {
                let flash = flash.fork();
                let mut store = open(&flash);
                flash.cut_after(at, tear);
                let done = block_on(store.clear());
                let cut = flash.is_off();
                flash.power_on();
                let found = content(&mut open(&flash));
                assert!(found.is_empty() || (cut && found == model), "{found:?}");
                assert!(cut || done.is_ok());
                apply(&mut open(&flash), 1, Some(b"works")).unwrap();
            }
        }
    }
}

/// Values of a store that is nearly full, so that every block of changes needs cleaning.
fn nearly_full(flash: &Flash) -> Model {
    let mut model = Model::new();
    let mut store = open(flash);
    for key in 0..6u32 {
        for round in 0..=key {
            block_on(store.set(key, &[key as u8; 380])).unwrap();
            model.insert(key, vec![key as u8; 380]);
            assert!(round <= key);
        }
    }
    model
}

#[test]
fn cut_after_cut_while_a_block_is_cleaned_never_fills_the_store_for_ever() {
    for blocks in [2, 3] {
        for seed in 0..40 {
            let flash = Flash::new(blocks).program_once();
            let mut model = nearly_full(&flash);
            let mut random = Random::new(seed);
            let mut cuts = 0;
            for round in 0..400u32 {
                // Cleaning makes a few steps at most between them.
                flash.cut_after(random.below(10) as u64, Tear::Half(random.next_u64()));
                let value = vec![round as u8; 380];
                if let Ok(mut store) = block_on(KvStore::open(flash.clone())) {
                    match block_on(store.set(round % 6, &value)) {
                        Ok(()) => {}
                        Err(error) => assert!(
                            flash.is_off(),
                            "{error} after {cuts} cuts, {blocks} blocks, seed {seed}, round {round}"
                        ),
                    }
                }
                cuts += u32::from(flash.is_off());
                flash.power_on();
                let mut found = content(&mut open(&flash));
                if found[&(round % 6)] == value {
                    model.insert(round % 6, value);
                }
                assert_eq!(found, model);
                found.clear();
            }
            assert!(cuts > 100, "{cuts}");
            block_on(open(&flash).set(0, b"works")).unwrap();
        }
    }
}

#[test]
fn a_program_that_fails_once_does_not_fill_the_store_until_the_restart() {
    for after in 0..60 {
        for victim in 0..2 {
            let flash = Flash::new(2).program_once();
            let mut model = nearly_full(&flash);
            let mut store = open(&flash);
            let before = flash.programs()[victim];
            flash.set_fault(victim, Some(Fault::Program { after, part: Some(after) }));
            let mut refused = 0;
            for round in 0..40u32 {
                match block_on(store.set(round % 6, &[round as u8; 380])) {
                    Ok(()) => {
                        model.insert(round % 6, vec![round as u8; 380]);
                    }
                    Err(error) => {
                        assert_eq!(error, KvError::Flash, "{after} {victim} {round}");
                        refused += 1;
                    }
                }
                if flash.programs()[victim] > before + after {
                    flash.set_fault(victim, None);
                }
                assert_eq!(content(&mut store), model, "{after} {victim} {round}");
            }
            assert!(refused <= 1, "{refused} refused, {after} {victim}");
            drop(store);
            assert_eq!(content(&mut open(&flash)), model);
        }
    }
}

#[test]
fn with_a_spare_block_a_block_that_fails_at_any_moment_is_not_even_noticed() {
    for fault in [None, Some(5)] {
        for after in 0..60 {
            for victim in 0..3 {
                let flash = Flash::new(3).program_once();
                let mut model = nearly_full(&flash);
                let mut store = open(&flash);
                flash.set_fault(victim, Some(Fault::Program { after, part: fault }));
                for round in 0..40u32 {
                    let done = block_on(store.set(round % 6, &[round as u8; 380]));
                    assert_eq!(done, Ok(()), "{after} {victim} {round}");
                    model.insert(round % 6, vec![round as u8; 380]);
                    assert_eq!(content(&mut store), model, "{after} {victim} {round}");
                }
                drop(store);
                assert_eq!(content(&mut open(&flash)), model);
            }
        }
    }
}

#[test]
fn a_bad_block_is_retired_for_ever_and_the_store_goes_on_with_the_others() {
    for fault in [Fault::Dead, Fault::Erase, Fault::Program { after: 3, part: Some(1) }] {
        let flash = Flash::new(4).program_once();
        let mut store = open(&flash);
        let mut model = Model::new();
        for round in 0..300u32 {
            if round == 50 {
                flash.set_fault(1, Some(fault));
            }
            if round == 200 {
                // The erase count of a bad block is known; it reads as before, but nobody trusts it any more.
                assert_eq!(store.wear().retired, 1, "{fault:?}");
                assert!(store.take_notices().contains(&LogNotice::Retired(1)));
                drop(store);
                flash.set_fault(1, None);
                let before = flash.programs()[1] + flash.erases()[1];
                for _ in 0..3 {
                    assert_eq!(content(&mut open(&flash)), model);
                }
                store = open(&flash);
                assert_eq!((store.wear().retired, flash.programs()[1] + flash.erases()[1]), (1, before));
            }
            block_on(store.set(round % 5, &[round as u8; 300])).unwrap();
            model.insert(round % 5, vec![round as u8; 300]);
            assert_eq!(content(&mut store), model, "{fault:?} {round}");
        }
        assert_eq!(store.wear().retired, 1, "{fault:?}");
    }
}
