//! The key-value store beside a map: every operation of the flash cut, and again while it recovers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use embassy_futures::block_on;
use flash_log::{KvError, KvStore};
use flash_sim::{Random, SimFlash, Tear};
use spool_model::tape::{Event, Tape};

const BLOCK: usize = 4 * 1_024;
type Store = KvStore<Tape<BLOCK>>;
type Model = BTreeMap<u32, Vec<u8>>;

/// Of every so many first cuts one is followed by second cuts.
const SECOND_EVERY: u64 = 16;

#[derive(Clone, Debug)]
enum Op {
    Set(u32, Vec<u8>),
    Delete(u32),
    Clear,
}

fn op(random: &mut Random) -> Op {
    let key = random.below(8) as u32;
    match random.below(60) {
        0 => Op::Clear,
        1..12 => Op::Delete(key),
        _ => {
            let len = [0, 5, 40, 200, 350][random.below(5)];
            Op::Set(key, vec![random.below(256) as u8; len])
        }
    }
}

async fn apply(store: &mut Store, op: &Op) -> Result<(), KvError> {
    match op {
        Op::Set(key, value) => store.set(*key, value).await,
        Op::Delete(key) => store.delete(*key).await,
        Op::Clear => store.clear().await,
    }
}

fn apply_to(model: &mut Model, op: &Op) {
    match op {
        Op::Set(key, value) => drop(model.insert(*key, value.clone())),
        Op::Delete(key) => drop(model.remove(key)),
        Op::Clear => model.clear(),
    }
}

fn open(tape: &Tape<BLOCK>) -> Store {
    tape.limit_reads(1 << 22);
    block_on(KvStore::open(tape.clone())).unwrap()
}

fn content(store: &mut Store) -> Model {
    let mut out = [0; 1_024];
    let keys: Vec<u32> = store.keys().collect();
    let mut read = |key| {
        let len = block_on(store.get(key, &mut out)).unwrap().unwrap();
        (key, out[..len].to_vec())
    };
    keys.into_iter().map(&mut read).collect()
}

/// What a cut leaves must be the old or the new.
fn examine(tape: &Tape<BLOCK>, before: &Model, op: &Op) -> (Store, Model) {
    let mut store = open(tape);
    let found = content(&mut store);
    let mut after = before.clone();
    apply_to(&mut after, op);
    assert!(
        found == *before || found == after,
        "{op:?}\nfound {found:?}\nbefore {before:?}\nafter {after:?}"
    );
    (store, found)
}

fn tears(seed: u64) -> [Tear; 5] {
    let half = |n: u64| Tear::Half(seed.wrapping_mul(31).wrapping_add(n));
    [Tear::Before, half(1), half(2), half(3), Tear::After]
}

fn each_cut(
    shadow: &SimFlash<BLOCK>,
    events: &[Event],
    seed: u64,
    mut check: impl FnMut(SimFlash<BLOCK>, Tape<BLOCK>),
) {
    for (position, event) in events.iter().enumerate() {
        for tear in tears(seed ^ (position as u64) << 20) {
            let flash = shadow.fork();
            event.tear(&flash, tear);
            check(flash.fork(), Tape::new(flash));
        }
        event.repeat(shadow);
    }
}

#[test]
fn a_key_has_its_old_or_its_new_value_after_any_cut_and_after_a_second_one() {
    for blocks in [2, 3, 4] {
        let tape = Tape::new(SimFlash::<BLOCK>::new(blocks).program_once());
        let shadow = tape.flash.fork();
        let mut store = open(&tape);
        let mut model = Model::new();
        let mut random = Random::new(blocks as u64);
        let (mut first, mut second, mut step) = (0, 0, 0);
        while first < 3_000 {
            step += 1;
            let op = op(&mut random);
            let before = model.clone();
            // Reading is bounded for each operation.
            tape.limit_reads(1 << 22);
            match block_on(apply(&mut store, &op)) {
                Ok(()) => apply_to(&mut model, &op),
                Err(KvError::Full) => {}
                Err(error) => panic!("{op:?}: {error}"),
            }
            assert_eq!(content(&mut store), model);
            each_cut(&shadow, &tape.take(), step, |start, tape| {
                first += 1;
                let (mut store, found) = examine(&tape, &before, &op);
                if first % SECOND_EVERY > 0 {
                    return;
                }
                let next = Op::Set(3, vec![7; 300]);
                let done = block_on(apply(&mut store, &next));
                assert!(matches!(done, Ok(()) | Err(KvError::Full)), "{done:?}");
                each_cut(&start, &tape.take(), step, |_, tape| {
                    second += 1;
                    examine(&tape, &found, &next);
                });
            });
            if step % 40 == 0 {
                // A restart now and then.
                store = open(&tape);
            }
        }
        println!(
            "key-value store on {blocks} blocks: {first} first cuts, {second} second cuts, {step} operations"
        );
    }
}
