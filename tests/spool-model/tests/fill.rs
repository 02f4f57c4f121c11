//! Filled to the brim and drained, again and again.
#![allow(clippy::unwrap_used)]

use std::rc::Rc;

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::Random;
use spool::{RecipientState, Spool, SpoolError, SpoolFull, Usage};
use spool_model::lab::{Flash, TestSpool, read_all};
use spool_model::model::{Model, Outcome};
use spool_model::tape::Tape;
use spool_model::work::{self, Op, Put, octets};

const BLOCKS: usize = 9;
const ROUNDS: u64 = 1_000;

/// Octets of memory that this process has in use.
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

struct Bench {
    tape: Tape<{ spool_model::lab::BLOCK }>,
    spool: TestSpool,
    model: Model,
    random: Random,
}

impl Bench {
    fn done(&mut self, op: Op) -> Outcome {
        let done = work::run(&self.spool, &[(op, None)], &mut self.random, || 0);
        let outcome = done[0].outcome;
        if outcome == Outcome::Acknowledged
            && let Some((id, steps)) = &done[0].message
        {
            let before = self.model.letters.remove(id);
            if let Some(after) = steps.iter().fold(before, |letter, step| step.apply(letter)) {
                self.model.letters.insert(*id, after);
            }
        }
        drop(self.tape.take());
        outcome
    }

    fn must(&mut self, op: Op) {
        let what = op.describe();
        assert_eq!(self.done(op), Outcome::Acknowledged, "{what}: {:?}", self.spool.usage());
    }

    fn fill(&mut self, round: u64) {
        for number in 0.. {
            let len = [20, 20, 400, 1_900, 3_900, 7_000][self.random.below(6)];
            let recipients = [1, 1, 1, 1, 1, 1, 2, 2, 17][self.random.below(9)];
            let seed = round << 16 | number;
            match self.done(Op::Put(Put { seed, len, recipients, declared: true, aborted: false })) {
                Outcome::Acknowledged => {}
                Outcome::Refused(SpoolError::Full(SpoolFull::Now)) => return,
                outcome => panic!("{outcome:?}"),
            }
            let newest = *self.model.letters.keys().next_back().unwrap();
            if self.random.below(3) > 0 {
                self.must(Op::Recipe(newest, Rc::new(octets(seed, 40))));
            }
        }
    }

    fn drain(&mut self, keep: QueueId) {
        while self.model.letters.len() > 1 {
            let others: Vec<QueueId> = self.model.letters.keys().copied().filter(|id| *id != keep).collect();
            let id = others[self.random.below(others.len())];
            let recipients = self.model.letters[&id].states.len() as u16;
            let delivered = (0..recipients).map(|index| (index, RecipientState::Delivered)).collect();
            self.must(Op::Read(id));
            self.must(Op::Attempt(id, delivered, 7));
            self.must(Op::Remove(id));
        }
        while block_on(self.spool.clean_step()).unwrap() {}
        drop(self.tape.take());
    }
}

#[test]
fn a_queue_that_is_filled_and_drained_a_thousand_times_is_as_it_was() {
    let tape = Tape::new(Flash::new(BLOCKS).program_once());
    let (spool, _) = block_on(Spool::mount(tape.clone())).unwrap();
    let mut bench = Bench { tape, spool, model: Model::default(), random: Random::new(4) };
    // One message stays all the time: its block is no excuse for uneven wear.
    bench.must(Op::Put(Put { seed: 1, len: 100, recipients: 1, declared: true, aborted: false }));
    let keep = *bench.model.letters.keys().next().unwrap();
    bench.must(Op::Recipe(keep, Rc::new(octets(1, 40))));
    let places = |usage: &Usage| [usage.used, usage.reserved, usage.records.into(), usage.messages.into()];
    let (first, mut memory, mut messages) = (bench.spool.usage(), 0, 0);
    for round in 0..ROUNDS {
        bench.fill(round);
        assert!(bench.model.letters.len() > 2, "round {round}");
        messages += bench.model.letters.len() - 1;
        if round % 10 == 0 {
            assert_eq!(read_all(&bench.spool).unwrap(), bench.model.letters);
        }
        bench.drain(keep);
        let usage = bench.spool.usage();
        assert_eq!(places(&usage), places(&first), "round {round}");
        assert!(usage.blocks_free as usize >= BLOCKS - 2, "round {round}: {usage:?}");
        assert_eq!(usage.incoming, 0);
        if round == ROUNDS / 10 {
            memory = resident();
        }
        if round % 100 == 99 {
            // A restart finds the same.
            let (spool, _) = block_on(Spool::mount(bench.tape.clone())).unwrap();
            assert_eq!(places(&spool.usage()), places(&usage));
            assert_eq!(read_all(&spool).unwrap(), bench.model.letters);
            bench.spool = spool;
        }
    }
    let grown = resident().saturating_sub(memory);
    let usage = bench.spool.usage();
    println!(
        "filled and drained {ROUNDS} times: {messages} messages, blocks erased {} to {} times, memory grew by {} KiB",
        usage.erases_min,
        usage.erases_max,
        grown / 1_024
    );
    assert!(grown < 4 << 20);
    assert!(usage.erases_max * 2 <= usage.erases_min * 3, "{usage:?}");
}
