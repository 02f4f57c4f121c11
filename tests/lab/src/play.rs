//! Playing a scenario, wherever.

use crate::{
    scenario::{Runs, Scenario, State},
    simulator,
    wire::{self, play::How},
};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Where a scenario is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In virtual time, the appliance's code in this process.
    Simulator,
    /// With the real image in the emulator.
    Image,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It went as told.
    Shown,
    /// It was not played, and why.
    Skipped(&'static str),
    /// It did not go as told, and why.
    Failed(String),
}

/// Plays `scenario` at `place`.
#[must_use]
pub fn play(scenario: &'static Scenario, place: Place, how: &How) -> Verdict {
    match (scenario.state, scenario.runs, place) {
        (State::Pending(why), ..) => Verdict::Skipped(why),
        (_, Runs::Simulator(why), Place::Image) => Verdict::Skipped(why),
        (_, _, Place::Image) => match wire::play::play(scenario, how) {
            Ok(()) => Verdict::Shown,
            Err(error) => Verdict::Failed(format!("{error:#}")),
        },
        (_, _, Place::Simulator) => {
            let told =
                catch_unwind(AssertUnwindSafe(|| simulator::play_told(scenario, how.seed, how.transcript)));
            match told {
                Ok(()) => Verdict::Shown,
                Err(panic) => Verdict::Failed(wire::play::panic_text(&*panic)),
            }
        }
    }
}
