//! Waiting with a bound, and pauses that grow.

use core::future::Future;
use embassy_futures::select::{Either, select};
use platform::Timer;

/// A length of time in seconds.
pub(crate) type Seconds = u32;

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
