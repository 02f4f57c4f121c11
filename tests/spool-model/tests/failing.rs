//! A flash that dies block by block, with power cuts in between.
#![allow(clippy::unwrap_used)]

use flash_sim::Random;
use spool_model::case::{Chooser, any_tear};
use spool_model::lab::{Counts, Lab, read_all};
use spool_model::model::Outcome;
use spool_model::tape::Failing;
use spool_model::work::Op;

const BLOCKS: usize = 14;
const LIVES: u64 = 12;

#[test]
fn blocks_fail_one_by_one_until_the_queue_is_full_and_what_it_holds_is_still_delivered() {
    let (mut counts, mut left, mut delivered, mut dead) = (Counts::default(), 0, 0, 0);
    for seed in 0..LIVES {
        let mut random = Random::new(seed);
        let mut lab = Lab::new(BLOCKS);
        let mut chooser = Chooser::default();
        let mut rounds = 0;
        // Six usable blocks are the least that takes mail.
        while lab.tape.failing() < BLOCKS - 5 {
            rounds += 1;
            if rounds % 12 == 0 {
                lab.tape.fail_after(random.below(6), Failing::Forever, random.next_u64());
            }
            let plans = chooser.plans(&lab, &mut random);
            let before = lab.model.clone();
            let batch = lab.batch(&plans, &mut random).unwrap_or_else(|error| panic!("{error}\nlife {seed}"));
            if batch.done.iter().any(|one| matches!(one.outcome, Outcome::Refused(_))) {
                chooser.full(lab.model.letters.len(), &mut random);
            }
            let on = random.below(batch.events.len() * 3 + 1);
            let mut next = None;
            let tear = any_tear(&mut random);
            let cut = lab.cut(
                &batch,
                |position, _| if position == on { vec![tear] } else { Vec::new() },
                &before,
                |recovered| {
                    if recovered.position == on {
                        let start = (recovered.start)();
                        next = Some((start, recovered.tape, recovered.spool, recovered.model));
                    }
                    Ok(())
                },
            );
            cut.unwrap_or_else(|error| panic!("{error}\nlife {seed}"));
            if let Some((start, tape, spool, model)) = next {
                lab.go_on(start, tape, spool, model);
            }
            assert!(rounds < 3_000, "{:?}", lab.spool.usage());
        }
        // Whatever is left can be read (a batch reads all), and its end is written and stays.
        left += lab.model.letters.len();
        for id in lab.model.letters.keys().copied().collect::<Vec<_>>() {
            let before = lab.model.clone();
            let batch = lab.batch(&[(Op::Read(id), None), (Op::Remove(id), None)], &mut random);
            let batch = batch.unwrap_or_else(|error| panic!("{error}\nlife {seed}"));
            let restart = lab.cut(&batch, |_, _| Vec::new(), &before, |_| Ok(()));
            restart.unwrap_or_else(|error| panic!("{error}\nlife {seed}"));
            let gone = |one: &&spool_model::model::Done| {
                one.what.starts_with("Remove") && one.outcome == Outcome::Acknowledged
            };
            delivered += batch.done.iter().filter(gone).count();
        }
        assert_eq!(read_all(&lab.spool).unwrap(), lab.model.letters);
        dead += lab.tape.failing();
        counts.add(&lab.counts);
    }
    println!(
        "failing: {dead} blocks of {LIVES} flashes died; {delivered} of {left} messages delivered at the end; {counts}"
    );
    assert!(delivered * 10 >= left * 9, "{delivered} of {left}");
}
