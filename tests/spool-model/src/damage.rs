//! Any content at all: a filled bank, damaged in every way one can think of, mounts to a defined state; what was not
//! touched is as it was; the queue goes on.

use std::collections::BTreeSet;

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::Random;
use spool::{MessageState, Removal, Spool, SpoolError};

use crate::case::Chooser;
use crate::lab::{BLOCK, Flash, Lab, TestSpool};
use crate::letter;
use crate::map::Map;
use crate::model::{Model, Outcome, describe};
use crate::tape::Tape;
use crate::work::{self, Op, Put, any_state};

/// Blocks of the bank.
const BLOCKS: usize = 8;
/// Most octets that a mount and everything after it may read, in sizes of the bank.
const READ_MAX: u64 = 400;

/// A filled bank that is in order.
pub struct Bank {
    /// What it holds.
    pub model: Model,
    image: Vec<u8>,
    map: Map,
}

impl Bank {
    /// Fills a bank by random operations until cleaning has moved much and the queue is nearly full.
    ///
    /// # Errors
    /// If the queue does not work.
    pub fn fill(seed: u64) -> Result<Self, String> {
        let mut random = Random::new(seed);
        let mut lab = Lab::new(BLOCKS);
        let mut chooser = Chooser::default();
        let mut rounds = 0;
        loop {
            let plans = chooser.plans(&lab, &mut random);
            let batch = lab.batch(&plans, &mut random)?;
            let full =
                batch.done.iter().any(|one| matches!(one.outcome, Outcome::Refused(SpoolError::Full(_))));
            rounds += 1;
            if full && lab.spool.usage().moved > 10_000 && rounds > 200 {
                break;
            }
            if full {
                chooser.full(lab.model.letters.len(), &mut random);
            }
        }
        let image = lab.tape.flash.image();
        let map = Map::read(&image);
        let listed: BTreeSet<QueueId> = lab.model.letters.keys().copied().collect();
        if map.messages() != listed {
            return Err(format!("the map names {:?}, the queue {listed:?}", map.messages()));
        }
        Ok(Self { model: lab.model, image, map })
    }

    /// Octets of metadata.
    #[must_use]
    pub fn metadata(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.map.metadata.iter().cloned().flatten().collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// What was done and found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Damaged images.
    pub images: u64,
    /// Messages that were not touched, all of them identical.
    pub intact: u64,
    /// Messages that were touched, and are listed as damaged or held.
    pub known: u64,
    /// Messages that were touched, and read without complaint as they were, or in an earlier state.
    pub readable: u64,
    /// Messages that were touched, and of which reading tells the damage.
    pub unreadable: u64,
    /// Messages that were touched, and are gone.
    pub gone: u64,
    /// Messages that had ended, and whose mark of that was destroyed.
    pub returned: u64,
    /// Messages that were taken and finished afterwards.
    pub taken: u64,
}

impl Counts {
    /// Adds what another run found.
    pub fn add(&mut self, other: &Self) {
        self.images += other.images;
        self.intact += other.intact;
        self.known += other.known;
        self.readable += other.readable;
        self.unreadable += other.unreadable;
        self.gone += other.gone;
        self.returned += other.returned;
        self.taken += other.taken;
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { images, intact, known, readable, unreadable, gone, returned, taken } = self;
        write!(
            f,
            "{images} damaged images mounted; messages not touched: {intact}, all identical; touched: {known} listed \
             as damaged or held, {unreadable} unreadable when read, {readable} readable, {gone} gone; {returned} came \
             back whose end was destroyed; {taken} new ones taken and finished"
        )
    }
}

/// Damages a bank in a random way. Returns the image and the messages that it touches.
fn damage(bank: &Bank, random: &mut Random) -> (Vec<u8>, BTreeSet<QueueId>, String) {
    let mut image = bank.image.clone();
    let size = image.len();
    let block = |random: &mut Random| random.below(BLOCKS) * BLOCK;
    let kind = random.below(10);
    let what = match kind {
        0 => {
            // Bits here and there.
            let count = 1 + random.below(200);
            for _ in 0..count {
                let at = random.below(size);
                image[at] ^= 1 << random.below(8);
            }
            format!("{count} bits")
        }
        1 | 2 => {
            // Metadata first of all.
            let ranges = &bank.map.metadata;
            let count = 1 + random.below(20);
            for _ in 0..count {
                let range = &ranges[random.below(ranges.len())];
                if !range.is_empty() {
                    image[range.start + random.below(range.len())] ^= 1 + random.below(255) as u8;
                }
            }
            format!("{count} octets of metadata")
        }
        3 | 4 => {
            let count = 1 + random.below(3);
            for _ in 0..count {
                let from = random.below(size);
                let longest = [32, 600, BLOCK, 3 * BLOCK][random.below(4)];
                let to = size.min(from + 1 + random.below(longest));
                let fill = random.below(3);
                for byte in &mut image[from..to] {
                    *byte = [0, 0xff, random.next_u64() as u8][fill];
                }
            }
            format!("{count} ranges filled")
        }
        5 => {
            // Units in wrong places.
            let count = 1 + random.below(20);
            for _ in 0..count {
                let from = block(random) + random.below(BLOCK / 32) * 32;
                let to = block(random) + random.below(48) * 32;
                image.copy_within(from..from + 32, to);
            }
            format!("{count} units copied")
        }
        6 => {
            let (from, to) = (block(random), block(random));
            image.copy_within(from..from + BLOCK, to);
            let touched = if from == to { BTreeSet::new() } else { bank.map.in_block(to / BLOCK) };
            return (image, touched, format!("block {} copied to {}", from / BLOCK, to / BLOCK));
        }
        7 => {
            let (from, to) = (block(random), block(random));
            for at in 0..BLOCK {
                image.swap(from + at, to + at);
            }
            return (image, BTreeSet::new(), format!("blocks {} and {} swapped", from / BLOCK, to / BLOCK));
        }
        8 => {
            // The end is missing.
            let left = random.below(size);
            image[left..].fill([0, 0xff][random.below(2)]);
            format!("truncated to {left}")
        }
        _ => {
            let whole = block(random);
            let fill = random.below(3);
            for byte in &mut image[whole..whole + BLOCK] {
                *byte = [0, 0xff, random.next_u64() as u8][fill];
            }
            format!("block {} filled", whole / BLOCK)
        }
    };
    let touched = bank.map.touched(&bank.image, &image);
    (image, touched, what)
}

/// Random damage number `number` of a bank.
///
/// # Errors
/// What is wrong.
pub fn random(bank: &Bank, seed: u64, number: u64, counts: &mut Counts) -> Result<(), String> {
    let mut random = Random::new(seed.wrapping_mul(0x51_7cc1).wrapping_add(number));
    let (image, touched, what) = damage(bank, &mut random);
    try_image(bank, image, &touched, Some(number), counts).map_err(|error| format!("{error}\nafter {what}"))
}

/// One octet of metadata changed.
///
/// # Errors
/// What is wrong.
pub fn flip(bank: &Bank, at: usize, mask: u8, go_on: bool, counts: &mut Counts) -> Result<(), String> {
    let mut image = bank.image.clone();
    image[at] ^= mask;
    let touched = bank.map.touched(&bank.image, &image);
    let seed = go_on.then_some(at as u64);
    try_image(bank, image, &touched, seed, counts).map_err(|error| {
        format!("{error}\nafter octet {at:#x} (block {}) was changed by {mask:#x}", at / BLOCK)
    })
}

fn try_image(
    bank: &Bank,
    image: Vec<u8>,
    touched: &BTreeSet<QueueId>,
    go_on: Option<u64>,
    counts: &mut Counts,
) -> Result<(), String> {
    let tape = Tape::new(Flash::from_image(image).program_once());
    tape.distrust();
    tape.limit_reads(READ_MAX * (BLOCKS * BLOCK) as u64);
    counts.images += 1;
    let (spool, _) = block_on(Spool::mount(tape.clone())).map_err(|error| format!("mount: {error}"))?;
    compare(bank, &spool, touched, counts)?;
    if let Some(seed) = go_on {
        go_on_working(bank, &tape, spool, touched, seed, counts)?;
    }
    Ok(())
}

fn compare(
    bank: &Bank,
    spool: &TestSpool,
    touched: &BTreeSet<QueueId>,
    counts: &mut Counts,
) -> Result<(), String> {
    let mut briefs = Vec::new();
    spool.for_each(|brief| briefs.push(*brief));
    for (id, letter) in &bank.model.letters {
        let there = briefs.iter().find(|brief| brief.id == *id);
        if !touched.contains(id) {
            let found = block_on(letter::read(spool, *id))
                .map_err(|error| format!("message {id} was not touched: {error}"))?;
            if found != *letter {
                let (found, letter) = (describe(Some(&found)), describe(Some(letter)));
                return Err(format!("message {id} was not touched and is {found}\nmust be {letter}"));
            }
            counts.intact += 1;
            continue;
        }
        match there {
            None => counts.gone += 1,
            Some(brief) if brief.state == MessageState::Damaged || brief.uncertain => counts.known += 1,
            Some(_) if read_anyhow(spool, *id) => counts.readable += 1,
            Some(_) => counts.unreadable += 1,
        }
    }
    let old = briefs.iter().filter(|brief| !bank.model.letters.contains_key(&brief.id));
    for brief in old {
        read_anyhow(spool, brief.id);
        counts.returned += 1;
    }
    Ok(())
}

/// Reads all there is of a message, whatever it says. Whether all of it could be read.
fn read_anyhow(spool: &TestSpool, id: QueueId) -> bool {
    block_on(async {
        let mut whole = true;
        let mut out = vec![0; 2_000];
        let mut at = 0;
        loop {
            match spool.read(id, at, &mut out).await {
                Ok(0) => break,
                Ok(count) => at += count as u32,
                Err(_) => {
                    whole = false;
                    break;
                }
            }
        }
        whole &= spool.arrival(id).await.is_ok();
        whole &= spool.facts(id, &mut out).await.is_ok();
        whole &= spool.recipe(id, &mut out).await.is_ok();
        whole &= spool.history(id).await.is_ok();
        let count = spool.brief(id).map_or(0, |brief| brief.recipients);
        let mut page = Vec::new();
        for first in (0..count).step_by(16) {
            whole &= spool.recipients(id, first, &mut page).await.is_ok();
        }
        let before = id.0.checked_sub(1).map(QueueId);
        whole & spool.next_summary(before).await.is_ok()
    })
}

/// Removes a message; where its mark of the end cannot be written it must be moved first, which cleaning does.
fn remove(spool: &TestSpool, id: QueueId) -> Result<(), String> {
    for _ in 0..200 {
        match block_on(spool.remove(id, Removal::Operator)) {
            Ok(()) => return Ok(()),
            Err(SpoolError::Flash) => {
                block_on(spool.clean_step()).map_err(|error| format!("cleaning: {error}"))?;
            }
            Err(error) => return Err(format!("removing {id}: {error}")),
        }
    }
    Err(format!("message {id} can never be removed"))
}

/// New mail is taken and finished, room permitting: what was touched is removed, and more if need be.
fn go_on_working(
    bank: &Bank,
    tape: &Tape<BLOCK>,
    spool: TestSpool,
    touched: &BTreeSet<QueueId>,
    seed: u64,
    counts: &mut Counts,
) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut ids = Vec::new();
    spool.for_each(|brief| ids.push(brief.id));
    let mut left = Model::default();
    for id in ids {
        let intact = bank.model.letters.get(&id).filter(|_| !touched.contains(&id));
        let room =
            |spool: &TestSpool| (spool.usage().used + spool.usage().reserved) * 4 < spool.usage().capacity;
        match intact {
            Some(letter) if room(&spool) => drop(left.letters.insert(id, letter.clone())),
            _ => {
                // An attempt on a damaged message may be refused; its end may not.
                let states = [(0, any_state(&mut random))];
                let _ = block_on(spool.change(id, &states, &spool::Change::default()));
                remove(&spool, id)?;
            }
        }
    }
    let usable = |spool: &TestSpool| spool.usage().blocks - spool.usage().blocks_retired;
    let mut expected = left.clone();
    for round in 0..3 {
        let put = Put { seed: seed + round, len: 3_000, recipients: 2, declared: true, aborted: false };
        let mut done = work::run(&spool, &[(Op::Put(put), None)], &mut random, || 0);
        done.extend(work::run(&spool, &[(Op::Clean, None)], &mut random, || 0));
        for one in &done {
            match one.outcome {
                Outcome::Acknowledged => {}
                Outcome::Refused(SpoolError::Full(_)) if usable(&spool) < 7 => return Ok(()),
                outcome => return Err(format!("{}: {outcome:?} {:?}", one.what, spool.usage())),
            }
        }
        let found = crate::lab::read_all(&spool)?;
        expected.settle(&done, found)?;
        let newest = expected.letters.keys().next_back().copied();
        if let Some(id) = newest.filter(|_| round < 2) {
            let states = vec![(0, spool::RecipientState::Delivered)];
            let plans = [(Op::Attempt(id, states, seed), None)];
            let done = work::run(&spool, &plans, &mut random, || 0);
            expected.settle(&done, crate::lab::read_all(&spool)?)?;
            let done = work::run(&spool, &[(Op::Remove(id), None)], &mut random, || 0);
            expected.settle(&done, crate::lab::read_all(&spool)?)?;
            counts.taken += 1;
        }
    }
    // And all of it is there after a restart.
    drop(spool);
    let (spool, _) = block_on(Spool::mount(tape.clone())).map_err(|error| format!("mount: {error}"))?;
    let found = crate::lab::read_all(&spool)?;
    expected.restart(&[], 0, found).map(drop).map_err(|error| format!("{error}\nat the second restart"))
}
