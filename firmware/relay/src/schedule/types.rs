//! The words of the schedule.

use alloc::string::String;
use core::net::IpAddr;
use envelope::QueueId;
use platform::Instant;

/// Number of a destination. Stays the same while it has mail or connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DestinationId(pub(super) u16);

impl DestinationId {
    /// Where mail waits that no route leads anywhere for.
    pub(crate) const NOWHERE: Self = Self(0);
}

/// What is known of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DestinationState {
    /// Nothing.
    Untried,
    /// The last connection worked.
    Open,
    /// The last attempt failed; one probe at a time, with growing pauses.
    Failing,
}

/// How urgent mail is; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Our own reports, and mail without a sender: few, short, and somebody waits for them.
    Report,
    /// Mail for destinations inside the site.
    Inside,
    /// Everything else.
    Ordinary,
    /// Lists, bulk, many recipients.
    Bulk,
}

/// How a worker should meet the destination that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It worked a moment ago.
    Known,
    /// It was never tried: not long.
    First,
    /// It failed before. `crowded`: others wait for a probe too.
    Probe {
        /// Whether more destinations wait for a probe than can be probed at once.
        crowded: bool,
    },
}

/// A message that one worker delivers to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errand {
    pub(crate) id: QueueId,
    pub(crate) destination: DestinationId,
    /// To every open recipient there, also to those whose next attempt is not due.
    pub(crate) hurried: bool,
    /// How often the destination ended the connection because of it, as it seems.
    pub(crate) sent_away: u8,
}

/// What a worker with an open connection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connected {
    Errand,
    Wait,
    /// Others need the worker more, or the destination is none any more.
    Leave,
}

/// What becomes of a message after a decider had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decided {
    /// It is decided and can leave.
    Deliver,
    /// To be decided from that moment on.
    Later(Instant),
    /// It is held, or its outcome is unknown: nothing is planned for it.
    Off,
    /// It has left the queue.
    Gone,
}

/// What becomes of an errand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// The message has left the queue.
    Gone,
    /// It is held, or its outcome could not be written: nothing is planned for it.
    Off,
    /// Nothing is left to do there.
    Finished,
    /// Again at once.
    Again,
    /// Nobody was tried, because there was no connection: again at once, and as hurried as before.
    Untried,
    /// Again from that moment on.
    At(Instant),
    /// The destination ended the connection in the middle of it: again from that moment on.
    SentAway(Instant),
    /// It must be decided anew.
    Decide,
}

/// What is to be done for a message beside deciding and delivering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tasks {
    /// Find out where its open recipients go, and when they are due.
    pub(crate) route: bool,
    /// See whether it is too old, or its sender should hear of the delay.
    pub(crate) age: bool,
    /// Report what has come out, end it if nothing is left.
    pub(crate) settle: bool,
}

impl Tasks {
    pub(crate) const fn any(self) -> bool {
        self.route || self.age || self.settle
    }

    /// What stands in either.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self {
            route: self.route || other.route,
            age: self.age || other.age,
            settle: self.settle || other.settle,
        }
    }
}

/// Where a message goes, as far as it is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leg {
    pub(crate) destination: DestinationId,
    /// Not before.
    pub(crate) due: Instant,
}

/// What came of attending to a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Attended {
    /// It has left the queue.
    Gone,
    /// It is held, or its outcome could not be written: nothing is planned for it.
    Off,
    /// It goes on as it was.
    Done,
    /// It was routed. `more`: there are destinations beyond these, which have to wait.
    Routed(alloc::vec::Vec<Leg>, bool),
    /// It could not be attended to; again from that moment on.
    Later(Instant),
}

/// A message that comes onto the schedule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewMessage<'a> {
    /// The most urgent that it can be; [`Priority::Ordinary`] lets the destination decide.
    pub(crate) priority: Priority,
    /// Octets of content.
    pub(crate) size: u32,
    /// Who brought it, if that is known.
    pub(crate) client: Option<IpAddr>,
    /// Whether it has a recipe.
    pub(crate) decided: bool,
    /// Where all its recipients go, if that is known; empty: it is routed when it is its turn.
    pub(crate) to: &'a [DestinationId],
    /// When its age is to be looked at.
    pub(crate) age_at: Option<Instant>,
}

/// Why nothing is delivered at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstruction {
    /// No route leads anywhere.
    NoNextHop,
    /// The next hop cannot be reached; the next probe is due then.
    Unreachable {
        /// When the next probe is due.
        until: Instant,
        /// What went wrong last.
        reason: String,
    },
}

/// What the console shows of an errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ErrandView {
    /// See [`DestinationView::name`](super::DestinationView).
    pub(crate) destination: String,
    pub(crate) state: ErrandStage,
}

/// Where an errand stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrandStage {
    /// For the decision, or until what is done for the message ends.
    Waiting,
    /// For its next attempt.
    Until(Instant),
    /// For a worker; for the destination, if that is failing.
    Ready,
    /// A worker has it.
    UnderWay,
}
