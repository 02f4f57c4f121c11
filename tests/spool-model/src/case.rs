//! Random cases: operations, several at once, some dropped; cuts; and on from what a cut left.

use std::rc::Rc;

use envelope::QueueId;
use flash_sim::{Random, Tear};

use crate::lab::{Counts, Lab, Recovered};
use crate::letter::Letter;
use crate::tape::Failing;
use crate::work::{Op, Plan, Put, any_state, octets};

/// Cuts of a case, at least.
pub const CASE_CUTS: u64 = 500;

/// A random way of losing power in one operation.
pub fn any_tear(random: &mut Random) -> Tear {
    match random.below(6) {
        0 => Tear::Before,
        1 => Tear::After,
        _ => Tear::Half(random.next_u64()),
    }
}

/// A message: its recipients, and whether it has a recipe.
type Known = (QueueId, u16, bool);

/// A choice of operations that keeps the queue near its brim.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chooser {
    /// Messages are removed until there are only so many.
    pub drain_to: Option<usize>,
}

impl Chooser {
    /// The queue was full: some of so many messages must go, seldom many of them.
    pub fn full(&mut self, messages: usize, random: &mut Random) {
        let deep = random.below(12) == 0;
        let left =
            if deep { random.below(messages + 1) } else { messages.saturating_sub(1 + random.below(2)) };
        self.drain_to = Some(left);
    }

    /// One operation on the messages `ids`.
    fn op(&mut self, ids: &[Known], random: &mut Random) -> Op {
        if self.drain_to.is_some_and(|least| ids.len() <= least) {
            self.drain_to = None;
        }
        let draining = self.drain_to.is_some();
        let roll = random.below(40);
        if ids.is_empty() || roll < if draining { 4 } else { 14 } {
            let len = [0, 10, 10, 300, 300, 300, 1_500, 1_500, 3_904, 3_905, 9_000][random.below(11)];
            let recipients = [1, 1, 1, 1, 1, 1, 2, 2, 16, 17, 40][random.below(11)];
            let len = len + random.below(64) * random.below(2);
            let (declared, aborted) = (random.below(4) > 0, random.below(12) == 0);
            return Op::Put(Put { seed: random.next_u64(), len, recipients, declared, aborted });
        }
        // A small recipe gives room back that was kept for a large one: then many messages fill the queue.
        if let Some((id, ..)) = ids.iter().find(|(_, _, recipe)| !recipe).filter(|_| roll < 25) {
            return Op::Recipe(*id, Rc::new(octets(random.next_u64(), 50)));
        }
        let (id, recipients, _) = ids[random.below(ids.len())];
        match roll {
            14..20 => {
                let states = (0..recipients).filter(|_| random.below(3) == 0).collect::<Vec<_>>();
                let states = states.into_iter().map(|index| (index, any_state(random))).collect();
                Op::Attempt(id, states, random.next_u64() >> 30)
            }
            20..25 => {
                let len = [0, 50, 50, 50, 400, 400, 3_800][random.below(7)];
                Op::Recipe(id, Rc::new(octets(random.next_u64(), len)))
            }
            25 => Op::Told(id, random.below(4) as u16),
            26 | 27 => Op::Hold(id, random.below(2) == 0),
            28 => Op::Read(id),
            29..32 => Op::Clean,
            _ if draining || random.below(8) == 0 => Op::Remove(id),
            _ => Op::Clean,
        }
    }

    /// One to three operations at once, some to be dropped.
    pub fn plans(&mut self, lab: &Lab, random: &mut Random) -> Vec<Plan> {
        let known =
            |(id, letter): (&QueueId, &Letter)| (*id, letter.states.len() as u16, letter.recipe.is_some());
        let ids: Vec<Known> = lab.model.letters.iter().map(known).collect();
        // Sometimes all of them about one message.
        let one = random.below(ids.len().max(1));
        let few = if random.below(3) == 0 && !ids.is_empty() { &ids[one..=one] } else { &ids[..] };
        let count = [1, 1, 1, 2, 2, 3][random.below(6)];
        (0..count)
            .map(|_| {
                let polls = [4, 12, 40][random.below(3)];
                let dropped = (random.below(8) == 0).then(|| random.below(polls));
                (self.op(few, random), dropped)
            })
            .collect()
    }
}

/// What a case is to try beyond cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Faults {
    /// The flash works until the power fails.
    None,
    /// Programs and erases fail now and then, and blocks for good.
    Blocks,
}

/// Runs one case: the same for the same seed, number and kind.
///
/// # Errors
/// What is wrong.
pub fn run(seed: u64, number: u64, faults: Faults, cuts: u64) -> Result<Counts, String> {
    let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9).wrapping_add(number));
    random.next_u64();
    let blocks = [7, 8, 10, 14][random.below(4)];
    let mut lab = Lab::new(blocks);
    let mut chooser = Chooser::default();
    let mut failing_left = random.below(4);
    while lab.counts.cuts < cuts {
        if faults == Faults::Blocks && random.below(12) == 0 {
            let forever = failing_left > 0 && random.below(3) == 0;
            failing_left -= usize::from(forever);
            let how = if forever { Failing::Forever } else { Failing::Once };
            lab.tape.fail_after(random.below(20), how, random.next_u64());
        }
        let plans = chooser.plans(&lab, &mut random);
        let before = lab.model.clone();
        let batch = lab.batch(&plans, &mut random)?;
        if batch.done.iter().any(|one| format!("{:?}", one.outcome).contains("Refused")) {
            chooser.full(lab.model.letters.len(), &mut random);
        }
        // Some of the cuts of this batch; the queue goes on from one of them, or without any.
        let moments = batch.events.len() + 1;
        let wanted = random.below(5);
        let chosen: Vec<usize> = (0..wanted).map(|_| random.below(moments)).collect();
        let on = if random.below(3) == 0 { random.below(moments) } else { usize::MAX };
        let mut next = None;
        let mut tears = random.clone();
        lab.cut(
            &batch,
            |position, _| {
                let count = chosen.iter().filter(|at| **at == position).count() + usize::from(position == on);
                (0..count).map(|_| any_tear(&mut tears)).collect()
            },
            &before,
            |recovered: Recovered<'_>| {
                if recovered.position == on {
                    next = Some(((recovered.start)(), recovered.tape, recovered.spool, recovered.model));
                }
                Ok(())
            },
        )?;
        random = tears;
        if let Some((start, tape, spool, model)) = next {
            lab.go_on(start, tape, spool, model);
        }
    }
    Ok(lab.counts)
}
