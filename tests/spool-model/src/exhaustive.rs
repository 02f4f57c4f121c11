//! A fixed workload on a small flash, cut in every operation of the flash.

use std::rc::Rc;

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::{Random, Tear};

use crate::lab::{Batch, Counts, Lab, Recovered, examine};
use crate::tape::Failing;
use crate::work::{self, Op, Plan, Put, any_state, octets};

/// Blocks of the flash: few, so that cleaning has to move much.
const BLOCKS: usize = 7;

/// How each operation is cut: before it, after it, and three ways in the middle. (Of a torn program any subset of the
/// bits that were to change has changed; a torn erase leaves any mixture. The seed chooses.)
fn tears(seed: u64) -> [Tear; 5] {
    let half = |n: u64| Tear::Half(seed.wrapping_mul(31).wrapping_add(n));
    [Tear::Before, half(1), half(2), half(3), Tear::After]
}

/// What the workload does: what there is in the life of a message, over and over, with the sizes that matter (no
/// content, all in the commit record, just not, several chunks; one page of recipients, two, three).
struct Workload {
    step: u64,
    random: Random,
}

impl Workload {
    fn next(&mut self, lab: &Lab) -> Vec<Plan> {
        self.step += 1;
        let random = &mut self.random;
        let ids: Vec<(QueueId, u16)> =
            lab.model.letters.iter().map(|(id, letter)| (*id, letter.states.len() as u16)).collect();
        let put = |random: &mut Random, len, recipients| {
            let declared = random.below(2) == 0;
            Op::Put(Put { seed: random.next_u64(), len, recipients, declared, aborted: false })
        };
        let usage = lab.spool.usage();
        // The queue is kept nearly full: then every few records need room that cleaning must make.
        if (usage.used + usage.reserved) * 10 > usage.capacity * 8
            && ids.len() > 4
            && self.step.is_multiple_of(3)
        {
            return vec![(Op::Remove(ids[random.below(ids.len())].0), None)];
        }
        let (id, recipients) = ids.get(random.below(ids.len().max(1))).copied().unwrap_or((QueueId(0), 0));
        let op = match self.step % 16 {
            0 => put(random, 0, 1),
            1 => put(random, 3_000, 1),
            2 => put(random, 3_890, 2),
            3 => put(random, 9_000, 1),
            4 => put(random, 500, 17),
            5 => put(random, 200, 40),
            _ if ids.is_empty() => put(random, 100, 1),
            6 | 7 => Op::Recipe(id, Rc::new(octets(self.step, 60))),
            8 => Op::Recipe(id, Rc::new(octets(self.step, 3_000))),
            9..=11 => {
                let states =
                    (0..recipients).filter(|index| (u64::from(*index) + self.step).is_multiple_of(3));
                let states: Vec<_> = states.map(|index| (index, any_state(random))).collect();
                Op::Attempt(id, states, self.step)
            }
            12 => Op::Hold(id, self.step.is_multiple_of(32)),
            13 => Op::Told(id, (self.step % 5) as u16),
            14 => Op::Clean,
            _ => {
                // Three at once.
                let first = put(random, 1_000, 1);
                let second = put(random, 4_500, 1);
                return vec![(first, None), (second, None), (Op::Clean, None)];
            }
        };
        vec![(op, None)]
    }
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// First cuts, at least; the batch that reaches them is cut to its end.
    pub cuts: u64,
    /// Of every so many first cuts one is followed by second cuts: each operation of the mount and of the next
    /// operations, in every way.
    pub second_every: u64,
    /// Seed.
    pub seed: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// All cuts.
    pub counts: Counts,
    /// First cuts.
    pub first: u64,
    /// Second cuts.
    pub second: u64,
    /// Octets that cleaning moved.
    pub moved: u64,
    /// Blocks that were retired.
    pub retired: u32,
}

/// Runs the workload until cleaning has begun, then cuts every operation of it.
///
/// # Errors
/// What is wrong.
pub fn run(extent: Extent) -> Result<Done, String> {
    let mut lab = Lab::new(BLOCKS);
    let mut workload = Workload { step: 0, random: Random::new(extent.seed) };
    let mut random = Random::new(extent.seed);
    while lab.spool.usage().moved < 20_000 {
        let plans = workload.next(&lab);
        let before = lab.model.clone();
        let batch = lab.batch(&plans, &mut random)?;
        lab.cut(&batch, |_, _| Vec::new(), &before, |_| Ok(()))?;
    }
    let mut done = Done::default();
    lab.counts = Counts::default();
    let mut failed = 0;
    while done.first < extent.cuts {
        // One block fails for good in the middle of it, and another one once.
        if failed < 2 && done.first > extent.cuts / 3 * (failed + 1) {
            let how = if failed == 0 { Failing::Once } else { Failing::Forever };
            lab.tape.fail_after(2, how, 1);
            failed += 1;
        }
        let plans = workload.next(&lab);
        let before = lab.model.clone();
        let batch = lab.batch(&plans, &mut random)?;
        let seed = workload.step;
        let (first, second) = (&mut done.first, &mut done.second);
        lab.cut(
            &batch,
            |position, _| tears(seed ^ (position as u64) << 20).to_vec(),
            &before,
            |recovered| {
                *first += 1;
                if first.is_multiple_of(extent.second_every) {
                    *second += again(recovered, *first)?;
                }
                Ok(())
            },
        )?;
    }
    // And the end of everything.
    let batch = clear(&mut lab)?;
    let before = std::mem::take(&mut lab.model);
    lab.cut(&batch, |position, _| tears(position as u64).to_vec(), &before, |_| Ok(()))?;
    done.counts = lab.counts;
    done.moved = lab.spool.usage().moved;
    done.retired = lab.spool.usage().blocks_retired;
    Ok(done)
}

/// Second cuts: what the mount did, and what a few operations after it do, is cut everywhere.
fn again(recovered: Recovered<'_>, seed: u64) -> Result<u64, String> {
    let Recovered { tape, spool, model, counts, start, .. } = recovered;
    let mut random = Random::new(seed);
    let put = Put { seed, len: 2_000, recipients: 1, declared: true, aborted: false };
    let mut plans = vec![(Op::Put(put), None), (Op::Clean, None), (Op::Clean, None)];
    let ids: Vec<_> = model.letters.keys().copied().collect();
    if let Some(id) = ids.get(random.below(ids.len().max(1))) {
        plans.push((Op::Remove(*id), None));
        plans.push((Op::Attempt(ids[0], vec![(0, any_state(&mut random))], seed), None));
    }
    let mut done = Vec::new();
    for plan in plans {
        // One after the other: each relies on those before it.
        done.extend(work::run(&spool, &[plan], &mut random, || tape.position()));
    }
    let shadow = start();
    let mut cuts = 0;
    for (position, event) in tape.take().iter().enumerate() {
        for tear in tears(seed ^ position as u64) {
            let flash = shadow.fork();
            event.tear(&flash, tear);
            counts.cuts += 1;
            cuts += 1;
            examine(&model, &done, position, &tape.like(flash), counts).map_err(|error| {
                format!("{error}\nsecond cut in operation {position} ({event:?}), {tear:?}")
            })?;
        }
        event.repeat(&shadow);
    }
    Ok(cuts)
}

/// Erases everything: each message may be there or not until it has returned, and none afterwards.
fn clear(lab: &mut Lab) -> Result<Batch, String> {
    block_on(lab.spool.clear()).map_err(|error| format!("clear: {error}"))?;
    let events = lab.tape.take();
    let gone = |id: &QueueId| work::ended(*id, events.len());
    let done = lab.model.letters.keys().map(gone).collect();
    let found = crate::lab::read_all(&lab.spool)?;
    if found.is_empty() { Ok(Batch { done, events }) } else { Err("not everything was erased".into()) }
}
