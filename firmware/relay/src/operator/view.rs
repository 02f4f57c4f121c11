//! What the screens show of the schedule, and how figures look.

use crate::schedule::{DestinationState, DestinationView};
use crate::{Appliance, Platform};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use envelope::QueueId;
use platform::Instant;
use spool::Brief;

/// How a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// No next hop leads there.
    NoRoute,
    /// Nobody tried yet.
    Untried,
    /// The last connection worked.
    Working,
    /// The last attempt failed.
    Failing,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoRoute => "no route",
            Self::Untried => "not tried",
            Self::Working => "working",
            Self::Failing => "failing",
        })
    }
}

/// A destination as the screens show it.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) health: Health,
    /// Messages that go there.
    pub(super) messages: u32,
    pub(super) connections: usize,
    /// What went wrong last; empty if nothing did.
    pub(super) reason: String,
    pub(super) next_probe: Option<Instant>,
}

impl Place {
    /// Whether mail waits for it and it does not answer.
    pub(super) fn is_failing(&self) -> bool {
        self.health == Health::Failing && self.messages > 0
    }
}

/// Name of the place where mail waits that no next hop is known for.
pub(super) const NOWHERE: &str = "(no next hop)";

/// Every destination that has mail or connections or is in trouble.
pub(super) fn places<P: Platform>(appliance: &Appliance<'_, P>) -> Vec<Place> {
    let place = |view: DestinationView| Place {
        health: match view.state {
            _ if view.name.is_empty() => Health::NoRoute,
            DestinationState::Untried => Health::Untried,
            DestinationState::Open => Health::Working,
            DestinationState::Failing => Health::Failing,
        },
        name: name(view.name),
        messages: view.messages,
        connections: view.connections,
        reason: view.reason,
        next_probe: view.next_probe,
    };
    appliance.schedule.destinations().into_iter().map(place).collect()
}

fn name(name: String) -> String {
    if name.is_empty() { NOWHERE.into() } else { name }
}

/// Names of the destinations that a message still goes to, as far as it is routed.
pub(super) fn places_of<P: Platform>(appliance: &Appliance<'_, P>, brief: &Brief) -> Vec<String> {
    appliance.schedule.errands(brief.id).into_iter().map(|errand| name(errand.destination)).collect()
}

/// Seconds of operation since a message arrived.
pub(super) fn age<P: Platform>(appliance: &Appliance<'_, P>, brief: &Brief) -> Option<u64> {
    Some(appliance.operating_seconds().saturating_sub(brief.moment))
}

/// Seconds until a recipient's next attempt, which the spool keeps in the clock of the queue; `None`: it is due.
pub(super) fn until<P: Platform>(appliance: &Appliance<'_, P>, next_try: u64) -> Option<u64> {
    next_try.checked_sub(appliance.operating_seconds()).filter(|seconds| *seconds > 0)
}

/// Whether somebody works on the message.
pub(super) fn is_in_hands<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> bool {
    appliance.schedule.is_in_hands(id)
}

/// Puts a message onto the schedule again, by what the spool knows of it.
pub(super) fn schedule_again<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) {
    appliance.schedule_again(id);
}

/// Nothing is known of a message any more that has left the queue.
pub(super) fn forget<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) {
    appliance.schedule.forget(id, appliance.now());
}

/// Settings or routes have changed: mail goes where it goes now, at once.
pub(super) fn destinations_changed<P: Platform>(appliance: &Appliance<'_, P>) {
    appliance.routing_changed();
}

/// Seconds as `12s`, `5min`, `3h`, `9d`: at most six characters.
pub(super) struct Duration(pub(super) u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        match seconds {
            0..=119 => write!(f, "{seconds}s"),
            120..=7_199 => write!(f, "{}min", seconds / 60),
            7_200..=172_799 => write!(f, "{}h", seconds / 3_600),
            _ => write!(f, "{}d", seconds / 86_400),
        }
    }
}

/// The time until `at`.
pub(super) fn until_instant<P: Platform>(appliance: &Appliance<'_, P>, at: Instant) -> Duration {
    Duration(at.micros_since(appliance.now()) / 1_000_000)
}

/// Octets as `9999`, `1.2K`, `25.0M`, `1.5G`, powers of 1,024: at most six characters.
pub(super) struct Octets(pub(super) u64);

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unit = 1_u64;
        for name in ["", "K", "M", "G"] {
            let next = unit.saturating_mul(1_024);
            if self.0 < next || name == "G" {
                let tenths = u128::from(self.0) * 10 / u128::from(unit);
                return match name {
                    "" => write!(f, "{}", self.0),
                    _ => write!(f, "{}.{}{name}", tenths / 10, tenths % 10),
                };
            }
            unit = next;
        }
        Ok(())
    }
}

/// A number of things: `1 message`, `2 messages`.
pub(super) struct Count(pub(super) u64, pub(super) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, Duration, Octets};
    use alloc::string::ToString;

    #[test]
    fn figures_are_short_and_right() {
        for (octets, text) in [
            (0, "0"),
            (1_023, "1023"),
            (1_024, "1.0K"),
            (1_023 * 1_024, "1023.0K"),
            (25 << 20, "25.0M"),
            (u64::from(u32::MAX), "3.9G"),
        ] {
            assert_eq!(Octets(octets).to_string(), text);
        }
        for (seconds, text) in [(0, "0s"), (119, "119s"), (120, "2min"), (7_200, "2h"), (172_800, "2d")] {
            assert_eq!(Duration(seconds).to_string(), text);
        }
        assert_eq!(
            (Count(1, "message").to_string(), Count(0, "hour").to_string()),
            ("1 message".into(), "0 hours".into())
        );
    }
}
