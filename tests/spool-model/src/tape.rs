//! A flash that remembers what was done to it, so that a cut at any moment can be looked at afterwards.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use embassy_futures::block_on;
use embedded_storage_async::nor_flash::{ErrorType, NorFlash, ReadNorFlash};
use flash_sim::{Random, SimError, SimFlash, Tear};

/// What one operation was asked to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Octets programmed at an address.
    Program(u32, Vec<u8>),
    /// The block that begins at an address erased.
    Erase(u32),
}

/// One operation on the flash.
#[derive(Clone, Debug)]
pub struct Event {
    /// What was asked for.
    pub action: Action,
    /// If it failed: what its range, or block, held afterwards.
    pub failed: Option<Vec<u8>>,
}

impl Event {
    /// Does the operation again, on a device in the state before it.
    ///
    /// # Panics
    /// If the device does not do what it did the first time.
    pub fn repeat<const ERASE: usize>(&self, flash: &SimFlash<ERASE>) {
        match (&self.failed, &self.action) {
            (Some(after), Action::Program(at, _) | Action::Erase(at)) => flash.poke(*at as usize, after),
            (None, _) => self.ask(flash).expect("what worked once works again"),
        }
    }

    /// Cuts the power in the operation, on a device in the state before it. The power is on again afterwards.
    pub fn tear<const ERASE: usize>(&self, flash: &SimFlash<ERASE>, tear: Tear) {
        flash.cut_after(0, tear);
        let _ = self.ask(flash);
        flash.power_on();
        if let Action::Erase(at) = self.action {
            // What reads blank after a torn erase counts as blank: the log cannot know better.
            flash.poke(at as usize, &flash.peek(at as usize, ERASE));
        }
    }

    fn ask<const ERASE: usize>(&self, flash: &SimFlash<ERASE>) -> Result<(), SimError> {
        let mut flash = flash.clone();
        match &self.action {
            Action::Program(at, bytes) => block_on(flash.write(*at, bytes)),
            Action::Erase(at) => block_on(flash.erase(*at, *at + ERASE as u32)),
        }
    }
}

/// How a block fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failing {
    /// It works.
    Not,
    /// One operation failed; the block goes on working.
    Once,
    /// It takes nothing any more.
    Forever,
}

/// What every handle of one device shares.
struct Shared {
    events: RefCell<Vec<Event>>,
    failing: RefCell<Vec<Failing>>,
    /// Operations until one fails, how its block fails, and a seed of what it leaves.
    next: Cell<Option<(usize, Failing, u64)>>,
    failures: Cell<u64>,
    /// Octets that may still be read.
    reads: Cell<u64>,
}

/// A handle to a simulated device that notes every program and erase, and has blocks that fail.
pub struct Tape<const ERASE: usize> {
    /// The device.
    pub flash: SimFlash<ERASE>,
    shared: Rc<Shared>,
}

impl<const ERASE: usize> Clone for Tape<ERASE> {
    fn clone(&self) -> Self {
        Self { flash: self.flash.clone(), shared: Rc::clone(&self.shared) }
    }
}

impl<const ERASE: usize> Tape<ERASE> {
    /// An empty tape for a device.
    #[must_use]
    pub fn new(flash: SimFlash<ERASE>) -> Self {
        let blocks = flash.capacity() / ERASE;
        let shared = Shared {
            events: RefCell::default(),
            failing: RefCell::new(vec![Failing::Not; blocks]),
            next: Cell::default(),
            failures: Cell::default(),
            reads: Cell::new(u64::MAX),
        };
        Self { flash, shared: Rc::new(shared) }
    }

    /// An empty tape for another device, on which the same blocks fail as on this one.
    #[must_use]
    pub fn like(&self, flash: SimFlash<ERASE>) -> Self {
        let tape = Self::new(flash);
        tape.shared.failing.borrow_mut().clone_from(&self.shared.failing.borrow());
        tape
    }

    /// Lets the operation after `operations` further ones fail, and its block from then on as told. A failing
    /// program or erase has done any part of its work, or nothing; of small programs some claim to have worked.
    pub fn fail_after(&self, operations: usize, how: Failing, seed: u64) {
        self.shared.next.set(Some((operations, how, seed)));
    }

    /// Allows operations that break a rule of the flash: with foreign content nobody knows better. The device refuses
    /// them.
    pub fn distrust(&self) {
        self.shared.failing.borrow_mut().fill(Failing::Once);
    }

    /// Ends the test if more than so many octets are read from now on.
    pub fn limit_reads(&self, octets: u64) {
        self.shared.reads.set(octets);
    }

    /// Blocks that take nothing any more.
    #[must_use]
    pub fn failing(&self) -> usize {
        self.shared.failing.borrow().iter().filter(|how| **how == Failing::Forever).count()
    }

    /// Whether any block has failed ever.
    #[must_use]
    pub fn troubled(&self) -> bool {
        self.shared.failing.borrow().iter().any(|how| *how != Failing::Not)
    }

    /// Operations that failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.shared.failures.get()
    }

    /// Whether this operation fails. If so, it has happened as far as it will.
    fn fails(&self, action: &Action) -> bool {
        let (Action::Program(at, _) | Action::Erase(at)) = action;
        let block = *at as usize / ERASE;
        let mut torn = None;
        match self.shared.next.get() {
            Some((0, how, seed)) => {
                self.shared.next.set(None);
                self.shared.failing.borrow_mut()[block] = how;
                torn = Some(seed);
            }
            Some((left, how, seed)) => self.shared.next.set(Some((left - 1, how, seed))),
            None => {}
        }
        if torn.is_none() && self.shared.failing.borrow()[block] != Failing::Forever {
            return false;
        }
        self.shared.failures.set(self.shared.failures.get() + 1);
        let mut random = Random::new(torn.unwrap_or(u64::from(*at)).wrapping_add(self.shared.failures.get()));
        let tear = [Tear::Before, Tear::Half(random.next_u64()), Tear::After][random.below(3)];
        Event { action: action.clone(), failed: None }.tear(&self.flash, tear);
        true
    }

    /// Operations since the tape was taken.
    #[must_use]
    pub fn position(&self) -> usize {
        self.shared.events.borrow().len()
    }

    /// What is on the tape, which is empty afterwards.
    #[must_use]
    pub fn take(&self) -> Vec<Event> {
        self.shared.events.take()
    }

    fn note(&self, action: Action, len: usize, result: Result<(), SimError>) -> Result<(), SimError> {
        let rules =
            [SimError::NotErased, SimError::ProgrammedTwice, SimError::NotAligned, SimError::OutOfBounds];
        let (Action::Program(at, _) | Action::Erase(at)) = action;
        if let Err(error) = result
            && rules.contains(&error)
        {
            // On a block that has failed, what is blank is not known any more.
            let failed = self.shared.failing.borrow()[at as usize / ERASE] != Failing::Not;
            assert!(failed, "a rule of the flash was broken: {error} in {action:?}");
        }
        let failed = result.is_err().then(|| self.flash.peek(at as usize, len));
        self.shared.events.borrow_mut().push(Event { action, failed });
        result
    }
}

impl<const ERASE: usize> ErrorType for Tape<ERASE> {
    type Error = SimError;
}

impl<const ERASE: usize> ReadNorFlash for Tape<ERASE> {
    const READ_SIZE: usize = SimFlash::<ERASE>::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        let left = self.shared.reads.get().checked_sub(bytes.len() as u64);
        self.shared.reads.set(left.expect("reading comes to an end"));
        self.flash.read(offset, bytes).await
    }

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
}

impl<const ERASE: usize> NorFlash for Tape<ERASE> {
    const WRITE_SIZE: usize = SimFlash::<ERASE>::WRITE_SIZE;
    const ERASE_SIZE: usize = ERASE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        // Whoever suspends here does so before anything has happened.
        self.flash.read(from, &mut []).await?;
        let action = Action::Erase(from);
        let result =
            if self.fails(&action) { Err(SimError::Broken) } else { block_on(self.flash.erase(from, to)) };
        self.note(action, (to - from) as usize, result)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        self.flash.read(offset, &mut []).await?;
        let action = Action::Program(offset, bytes.to_vec());
        let failed = self.fails(&action);
        let result = if failed { Err(SimError::Broken) } else { block_on(self.flash.write(offset, bytes)) };
        let result = self.note(action, bytes.len(), result);
        // Small programs are read back by the log: a driver that notices nothing must not matter.
        let unnoticed = failed
            && bytes.len() <= limits::flash::COPY_BYTES
            && (self.failures() + u64::from(offset / 32)).is_multiple_of(4);
        if unnoticed { Ok(()) } else { result }
    }
}
