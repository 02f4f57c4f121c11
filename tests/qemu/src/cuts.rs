//! Cutting the power of a rig at one chosen operation of its data flash, whatever is going on.

use crate::{PATIENCE, Rig};
use anyhow::{Context as _, Result, bail};
use harness::{
    bank::{Kind, Operation, Tear},
    process,
    rng::Rng,
};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Where the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// At the so-many-th operation from now: 1 is the next.
    pub count: u64,
    /// Which operations count; all of them, or one kind.
    pub only: Option<Kind>,
    /// How that operation ends.
    pub tear: Tear,
}

impl Cut {
    /// An operation from the next to the `span`-th, and one of the ways to end it.
    pub fn any(span: u64, only: Option<Kind>, rng: &mut Rng) -> Self {
        let count = 1 + rng.below(span.max(1));
        let tear = match rng.below(5) {
            0 => Tear::Before,
            1 => Tear::After,
            _ => Tear::Half(rng.next()),
        };
        Self { count, only, tear }
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let how = match self.tear {
            Tear::Before => "before",
            Tear::Half(_) => "in the middle of",
            Tear::After => "after",
        };
        let what = match self.only {
            None => "operation",
            Some(Kind::Erase) => "erase",
            Some(_) => "program",
        };
        write!(f, "{how} {what} {}", self.count)
    }
}

impl Rig {
    /// Does `work` until it is done or the power goes at `cut`. Says at which operation it went.
    ///
    /// When it goes the machine stands still and is then killed, so `work` sees its connections and the console end; its
    /// error is then what was to be expected, and forgotten. Afterwards the machine is off and nobody is connected to
    /// the sink. If `work` is done before, the cut is forgotten and the machine runs on.
    ///
    /// # Errors
    /// Those of `work`, if the power did not go.
    pub fn work_into(
        &mut self,
        cut: Cut,
        work: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Option<Operation>> {
        let bank = std::sync::Arc::clone(self.bank()?);
        let machine = self.machine()?.id();
        bank.cut_after(cut.count, cut.only, cut.tear);
        let over = AtomicBool::new(false);
        let (worked, stopped) = std::thread::scope(|scope| {
            let watcher = scope.spawn(|| {
                let patience = PATIENCE * 10;
                let stopped = bank.wait_until_stopped(patience, || over.load(Ordering::SeqCst));
                if matches!(stopped, Ok(Some(_))) {
                    process::kill(machine);
                }
                stopped
            });
            let worked = work(self);
            over.store(true, Ordering::SeqCst);
            (worked, watcher.join())
        });
        let Ok(stopped) = stopped else { bail!("the watcher panicked") };
        // It may have stopped between the end of the work and now.
        bank.forget_plan();
        let stopped = match stopped? {
            None => bank.stopped(),
            stopped => stopped,
        };
        match (stopped, worked) {
            (None, worked) => worked.map(|()| None),
            (Some(operation), _) => {
                self.cut_power()?;
                self.wait_for_silence()?;
                Ok(Some(operation))
            }
        }
    }

    /// Waits until nobody is connected to the sink: what it got before the power went has then been counted.
    fn wait_for_silence(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.sink.connections_open() > 0 {
            if Instant::now() > deadline {
                bail!("connections to the next hop outlive the machine");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Switches on, and cuts the power again at each of `cuts` while the appliance comes back. Gives the operations at
    /// which that happened; the machine runs at the end, and has greeted.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn recover(&mut self, cuts: &[Cut], mut after_each: impl FnMut(&Self)) -> Result<Vec<Operation>> {
        let mut met = Vec::new();
        for cut in cuts {
            self.switch_on().context("switching on")?;
            let operation = self.work_into(*cut, |rig| {
                rig.first_prompt()?;
                rig.machine()?.wait_for_greeting(25, PATIENCE)?;
                // What it finds to do by itself: looking after the flash, deciding, delivering.
                std::thread::sleep(Duration::from_millis(300));
                Ok(())
            })?;
            match operation {
                Some(operation) => {
                    after_each(self);
                    met.push(operation);
                }
                // It came up with fewer operations: nothing to repeat.
                None => return Ok(met),
            }
        }
        self.power_on()?;
        self.machine()?.wait_for_greeting(25, PATIENCE)?;
        Ok(met)
    }
}
