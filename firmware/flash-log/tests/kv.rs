//! The key-value store beside a map, with power cuts at every flash operation.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use embassy_futures::block_on;
use flash_log::{KvError, KvStore, Partition, SharedFlash};
use flash_sim::{Random, SimFlash, Tear};

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
    let used = Flash::new(3);
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
fn a_cut_during_a_factory_reset_brings_nothing_back() {
    let flash = Flash::new(4).program_once();
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
            assert!(found.iter().all(|(key, value)| model.get(key) == Some(value)), "{found:?}");
            assert!(cut || (done.is_ok() && found.is_empty()));
            apply(&mut open(&flash), 1, Some(b"works")).unwrap();
        }
    }
}
