//! A queue under test: the real one on a simulated flash, the model beside it, and cuts wherever one wants them.
//!
//! The queue runs on a [`Tape`]. What its flash looked like at any moment, and what it would look like had the power
//! failed in any of its operations, is made afterwards from the tape: one run gives every cut of that run. What a
//! queue that lost its power knew in RAM is lost anyway.

use std::collections::{BTreeMap, BTreeSet};

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::{Random, SimFlash, Tear};
use spool::{MountReport, Spool, SpoolError};

use crate::letter::{self, Letter};
use crate::model::{Done, Model, Outcome};
use crate::tape::{Event, Tape};
use crate::work::{self, Plan};

/// Octets of an erase block: the smallest that the spool takes, so that everything happens soon.
pub const BLOCK: usize = 16 * 1_024;
/// The simulated device.
pub type Flash = SimFlash<BLOCK>;
/// The queue under test.
pub type TestSpool = Spool<Tape<BLOCK>>;

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Cuts, each followed by a mount and a comparison of everything.
    pub cuts: u64,
    /// Mounts, those without a cut included.
    pub mounts: u64,
    /// Operations on the queue.
    pub operations: u64,
    /// Programs of the flash in the runs that were cut.
    pub programs: u64,
    /// Erases, likewise.
    pub erases: u64,
    /// Programs and erases that failed.
    pub failures: u64,
    /// Futures that were dropped.
    pub dropped: u64,
    /// Octets that cleaning moved.
    pub moved: u64,
    /// Most octets that a mount read, in hundredths of the device.
    pub mount_percent: u64,
    /// Most milliseconds that a mount took.
    pub mount_ms: u64,
}

impl Counts {
    /// Adds what another run did.
    pub fn add(&mut self, other: &Self) {
        self.cuts += other.cuts;
        self.mounts += other.mounts;
        self.operations += other.operations;
        self.programs += other.programs;
        self.erases += other.erases;
        self.failures += other.failures;
        self.dropped += other.dropped;
        self.moved += other.moved;
        self.mount_percent = self.mount_percent.max(other.mount_percent);
        self.mount_ms = self.mount_ms.max(other.mount_ms);
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cuts, mounts, operations, programs, erases, failures, dropped, moved, .. } = self;
        let (percent, ms) = (self.mount_percent, self.mount_ms);
        write!(
            f,
            "{cuts} cuts, {mounts} mounts (worst: {ms} ms, {percent} % of the flash read), {operations} operations \
             ({dropped} dropped), {programs} programs, {erases} erases, {failures} of them failed, {moved} octets moved"
        )
    }
}

/// Most octets that a mount may read, in hundredths of the device: three walks over all directories, which are at
/// most all of the device, and its headers.
const MOUNT_PERCENT_MAX: u64 = 500;

/// Reads all messages of a queue.
///
/// # Errors
/// The first message that cannot be read.
pub fn read_all(spool: &TestSpool) -> Result<BTreeMap<QueueId, Letter>, String> {
    let mut ids = Vec::new();
    spool.for_each(|brief| ids.push(brief.id));
    let read = |id| {
        let letter = block_on(letter::read(spool, id)).map_err(|error| format!("message {id}: {error}"))?;
        Ok((id, letter))
    };
    ids.into_iter().map(read).collect()
}

/// Mounts, in bounded time.
///
/// # Errors
/// If the mount fails, or reads too much.
pub fn mount(tape: &Tape<BLOCK>, counts: &mut Counts) -> Result<(TestSpool, MountReport), String> {
    let before = tape.flash.counters().bytes_read;
    let clock = std::time::Instant::now();
    let mounted = block_on(Spool::mount(tape.clone()));
    counts.mount_ms = counts.mount_ms.max(clock.elapsed().as_millis() as u64);
    let read = tape.flash.counters().bytes_read - before;
    let percent = read * 100 / (tape.flash.programs().len() * BLOCK) as u64;
    counts.mounts += 1;
    counts.mount_percent = counts.mount_percent.max(percent);
    if percent > MOUNT_PERCENT_MAX {
        return Err(format!("the mount read {percent} % of the flash"));
    }
    mounted.map_err(|error| format!("mount: {error}"))
}

/// Mounts what a cut left and compares it with what it may be.
///
/// # Errors
/// What is wrong.
pub fn examine(
    model: &Model,
    done: &[Done],
    cut: usize,
    tape: &Tape<BLOCK>,
    counts: &mut Counts,
) -> Result<(TestSpool, Model), String> {
    let (spool, report) = mount(tape, counts)?;
    let found = read_all(&spool)?;
    if report.messages as usize != found.len() || report.beyond_index > 0 {
        return Err(format!("{} messages, and the mount says {report:?}", found.len()));
    }
    let usage = spool.usage();
    if usage.incoming > 0 || usage.used + usage.reserved > usage.capacity && !tape.troubled() {
        return Err(format!("more is promised than there is: {usage:?}"));
    }
    Ok((spool, model.restart(done, cut, found)?))
}

/// A queue under test.
pub struct Lab {
    /// Its flash.
    pub tape: Tape<BLOCK>,
    /// The queue.
    pub spool: TestSpool,
    /// What it must hold.
    pub model: Model,
    /// The flash before what is on the tape.
    shadow: Flash,
    /// Ids of all messages that were ever committed.
    used: BTreeSet<QueueId>,
    /// The same before what is on the tape.
    used_before: BTreeSet<QueueId>,
    /// What was done.
    pub counts: Counts,
}

/// What a batch of operations did.
pub struct Batch {
    /// The operations.
    pub done: Vec<Done>,
    /// What they did to the flash.
    pub events: Vec<Event>,
}

impl Lab {
    /// An empty queue on blank flash.
    ///
    /// # Panics
    /// If it does not mount.
    #[must_use]
    pub fn new(blocks: usize) -> Self {
        let flash = Flash::new(blocks).program_once();
        let tape = Tape::new(flash);
        let mut counts = Counts::default();
        let (spool, _) = mount(&tape, &mut counts).expect("blank flash mounts");
        let shadow = tape.flash.fork();
        Self {
            tape,
            spool,
            model: Model::default(),
            shadow,
            used: BTreeSet::new(),
            used_before: BTreeSet::new(),
            counts,
        }
    }

    /// Runs operations at once, and compares what the queue shows when all have ended.
    ///
    /// # Errors
    /// What is wrong.
    pub fn batch(&mut self, plans: &[Plan], random: &mut Random) -> Result<Batch, String> {
        self.tape.flash.set_yielding(plans.len() > 1 || plans.iter().any(|(_, dropped)| dropped.is_some()));
        let failures = self.tape.failures();
        let moved = self.spool.usage().moved;
        let mut done = work::run(&self.spool, plans, random, || self.tape.position());
        self.tape.flash.set_yielding(false);
        // Whoever takes the flash next settles what dropped futures left in doubt.
        block_on(self.spool.next_summary(None)).map_err(|error| format!("summary: {error}"))?;
        let failed = self.tape.failures() > failures;
        self.counts.moved += self.spool.usage().moved - moved;
        for one in &done {
            self.counts.operations += 1;
            self.counts.dropped += u64::from(one.outcome == Outcome::Dropped);
            self.check_outcome(one, plans.len() > 1, failed)?;
        }
        for one in done.iter_mut().filter(|_| self.tape.troubled()) {
            // It may have failed on one block before it found no room on another.
            if matches!(one.outcome, Outcome::Dropped | Outcome::Refused(SpoolError::Full(_))) {
                one.outcome = Outcome::Refused(SpoolError::Flash);
            }
        }
        let found = read_all(&self.spool)?;
        let events = self.tape.take();
        if std::env::var_os("TRACE").is_some() {
            for one in &done {
                let id = one.message.as_ref().map(|(id, _)| id.to_string());
                println!("{} -> {:?} {:?} to {}", one.what, id, one.outcome, one.to);
            }
            for event in &events {
                println!("     {}{}", describe(event), if event.failed.is_some() { " FAILED" } else { "" });
            }
        }
        self.model.settle(&done, found).map_err(|error| error + &format!("\nplans {plans:?}"))?;
        self.used_before.clone_from(&self.used);
        self.used.extend(self.model.letters.keys());
        Ok(Batch { done, events })
    }

    /// Errors that an operation must not return.
    fn check_outcome(&self, one: &Done, together: bool, failed: bool) -> Result<(), String> {
        let Done { what, message, outcome, .. } = one;
        let id = message.as_ref().map(|(id, _)| *id);
        match outcome {
            Outcome::Acknowledged
                if what.starts_with("Put") && id.is_some_and(|id| self.used.contains(&id)) =>
            {
                Err(format!("{what} was given the id of an earlier message: {id:?}"))
            }
            Outcome::Acknowledged | Outcome::Dropped => Ok(()),
            Outcome::Refused(SpoolError::Full(_))
                if what.starts_with("Put") || what.starts_with("Recipe") =>
            {
                Ok(())
            }
            // Promises hold as long as the blocks do.
            Outcome::Refused(SpoolError::Full(_)) if self.tape.troubled() => Ok(()),
            Outcome::Refused(SpoolError::NoSuchMessage) if together => Ok(()),
            Outcome::Refused(SpoolError::Flash) if failed || self.tape.troubled() => Ok(()),
            Outcome::Refused(error) => Err(format!("{what}: {error}")),
        }
    }

    /// Cuts a batch: `choose` tells how for each operation of the flash, and for the moment after the last one.
    /// Each outcome is mounted and compared, and given to `after`. The batch is behind the lab then.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn cut(
        &mut self,
        batch: &Batch,
        mut choose: impl FnMut(usize, &Event) -> Vec<Tear>,
        before: &Model,
        mut after: impl FnMut(Recovered<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        for (position, event) in batch.events.iter().enumerate() {
            for tear in choose(position, event) {
                let start = || {
                    let flash = self.shadow.fork();
                    event.tear(&flash, tear);
                    flash
                };
                let tape = self.tape.like(start());
                self.counts.cuts += 1;
                let place = || format!("cut in operation {position} ({}), {tear:?}", describe(event));
                let (spool, model) = examine(before, &batch.done, position, &tape, &mut self.counts)
                    .map_err(|error| format!("{error}\n{}", place()))?;
                let recovered =
                    Recovered { tape, spool, model, start: &start, position, counts: &mut self.counts };
                after(recovered).map_err(|error| format!("{error}\nafter the {}", place()))?;
            }
            event.repeat(&self.shadow);
            match event.action {
                crate::tape::Action::Program(..) => self.counts.programs += 1,
                crate::tape::Action::Erase(_) => self.counts.erases += 1,
            }
            self.counts.failures += u64::from(event.failed.is_some());
        }
        // The moment when nothing is going on.
        let start = || self.shadow.fork();
        let tape = self.tape.like(start());
        self.counts.cuts += 1;
        let (spool, model) = examine(before, &batch.done, batch.events.len(), &tape, &mut self.counts)
            .map_err(|error| format!("{error}\ncut between two operations"))?;
        self.compare_usage(&spool)?;
        let position = batch.events.len();
        after(Recovered { tape, spool, model, start: &start, position, counts: &mut self.counts })
    }

    /// What the running queue counts is what a restart counts.
    fn compare_usage(&self, restarted: &TestSpool) -> Result<(), String> {
        let (running, restarted) = (self.spool.usage(), restarted.usage());
        let figures =
            |usage: &spool::Usage| [usage.used, usage.reserved, usage.messages.into(), usage.records.into()];
        if self.model.ghosts.is_empty() && !self.tape.troubled() && figures(&running) != figures(&restarted) {
            return Err(format!("the running queue counts {running:?}\na restart counts {restarted:?}"));
        }
        Ok(())
    }

    /// Goes on from what a cut left.
    pub fn go_on(&mut self, start: Flash, tape: Tape<BLOCK>, spool: TestSpool, model: Model) {
        if std::env::var_os("TRACE").is_some() {
            println!("---- restarted");
        }
        self.shadow = start;
        self.used.clone_from(&self.used_before);
        self.used.extend(model.letters.keys());
        (self.tape, self.spool, self.model) = (tape, spool, model);
    }
}

/// A queue that was cut and has recovered. Its tape holds what the mount did to the flash.
pub struct Recovered<'a> {
    /// Its flash.
    pub tape: Tape<BLOCK>,
    /// The queue.
    pub spool: TestSpool,
    /// What it holds.
    pub model: Model,
    /// Makes its flash as the cut left it, before the mount.
    pub start: &'a dyn Fn() -> Flash,
    /// Operations of the flash before the cut.
    pub position: usize,
    /// For further counting.
    pub counts: &'a mut Counts,
}

fn describe(event: &Event) -> String {
    match &event.action {
        crate::tape::Action::Program(at, bytes) => {
            let (block, unit) = (*at as usize / BLOCK, *at as usize % BLOCK / 32);
            format!("program of {} octets at block {block}, unit {unit}", bytes.len())
        }
        crate::tape::Action::Erase(at) => format!("erase of block {}", *at as usize / BLOCK),
    }
}
