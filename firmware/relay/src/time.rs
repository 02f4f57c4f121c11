//! Operating time, waiting with a bound, and pauses that grow.

use core::cell::Cell;
use core::future::Future;
use embassy_futures::select::{Either, select};
use platform::{Instant, Timer};

/// A length of time in seconds.
pub(crate) type Seconds = u32;

/// Seconds that this appliance has been running with its queue, over all starts: the clock of every age, retry and
/// expiry. It has nothing to do with the civil time, which may be unknown, wrong, or set by anybody at any moment; and it
/// stands while the appliance is off, since nobody tries to deliver then.
///
/// It is stored now and then. After a start it goes on from what was stored or from the latest moment that the queue has
/// seen, whichever is greater: so it never goes back behind anything in the queue, and a power cut makes mail look a few
/// minutes younger at most.
pub(crate) struct OperatingTime {
    /// Its value when the machine started.
    base_s: u64,
    saved_s: Cell<u64>,
}

impl OperatingTime {
    /// `stored_s` is what was stored, `seen_s` the latest moment in the queue, `now` the present.
    pub(crate) fn new(stored_s: u64, seen_s: u64, now: Instant) -> Self {
        let base_s = stored_s.max(seen_s).saturating_sub(now.0 / 1_000_000);
        Self { base_s, saved_s: Cell::new(stored_s) }
    }

    /// The value at a moment.
    pub(crate) const fn at(&self, now: Instant) -> u64 {
        self.base_s.saturating_add(now.0 / 1_000_000)
    }

    /// The moment at which it has a value; the start of the machine if it had it before.
    pub(crate) const fn moment(&self, value_s: u64) -> Instant {
        Instant(value_s.saturating_sub(self.base_s).saturating_mul(1_000_000))
    }

    /// What was stored last.
    pub(crate) fn saved(&self) -> u64 {
        self.saved_s.get()
    }

    pub(crate) fn note_saved(&self, value_s: u64) {
        self.saved_s.set(value_s);
    }
}

/// The time was over first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimedOut;

/// Runs `future` for at most `seconds`, then drops it.
pub(crate) async fn within<T: Timer, F: Future>(
    timer: &T,
    seconds: u64,
    future: F,
) -> Result<F::Output, TimedOut> {
    match select(future, timer.sleep_until(timer.now().plus_s(seconds))).await {
        Either::First(output) => Ok(output),
        Either::Second(()) => Err(TimedOut),
    }
}

/// The pause before attempt number `failures` + 2: `first`, doubled for each failure, at most `max`, and then made
/// up to an eighth shorter or longer by `random`, so that what failed together does not come back together.
pub(crate) fn backoff_s(first: Seconds, max: Seconds, failures: u32, random: u32) -> Seconds {
    let doubled =
        first.saturating_mul(1u32.checked_shl(failures.min(20)).unwrap_or(u32::MAX)).clamp(1, max.max(1));
    let eighth = doubled / 8;
    // From -eighth to +eighth; the modulus is never 0.
    (doubled - eighth).saturating_add(random % (2 * eighth + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operating_time_goes_on_where_it_was_and_never_behind_the_queue() {
        let now = Instant(0).plus_s(5);
        for (stored_s, seen_s, begins_s) in [(0, 0, 5), (1_000, 0, 1_000), (1_000, 1_400, 1_400)] {
            let time = OperatingTime::new(stored_s, seen_s, now);
            assert_eq!(time.at(now), begins_s);
            assert_eq!(time.at(now.plus_s(60)), begins_s + 60);
            assert_eq!(time.moment(begins_s + 60), now.plus_s(60));
            assert_eq!(time.moment(0), Instant(0));
        }
    }

    #[test]
    fn pauses_double_up_to_the_bound_and_differ_by_an_eighth() {
        for (failures, base) in [(0, 60), (1, 120), (2, 240), (6, 3_600), (40, 3_600)] {
            for random in [0, 1, 77, u32::MAX] {
                let pause = backoff_s(60, 3_600, failures, random);
                assert!((base - base / 8..=base + base / 8).contains(&pause), "{failures} {random} {pause}");
            }
        }
        assert_eq!(backoff_s(0, 0, 0, 5), 1);
        assert!(backoff_s(u32::MAX, u32::MAX, 3, u32::MAX) > 0);
    }
}
