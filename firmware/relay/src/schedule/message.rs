//! One message on the schedule, and where it is.

use super::types::{DestinationId, Priority, Tasks};
use crate::ledger::ClientKey;
use alloc::boxed::Box;
use alloc::vec::Vec;
use platform::Instant;

/// Where a message is. It is in exactly one of these places, and [`Plan`](super::plan::Plan) has it in the collection
/// that belongs to the place and in no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In `undecided`: due for a decision.
    Undecided,
    /// In `waiting`: to be decided again from that moment on.
    Later(Instant),
    /// A decider has it.
    Deciding,
    /// In `due`: the attendant takes it next.
    Due,
    /// In `waiting`: the attendant could not do its work and tries again at that moment.
    Resting(Instant),
    /// The attendant has it.
    Attended,
    /// Its errands say where it is; there is at least one.
    Out,
    /// Held, damaged, or with an outcome that could not be written: the operator decides.
    Off,
}

/// Where an errand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrandState {
    /// The message is not [`Place::Out`]; becomes ready when it is.
    Parked,
    /// In `ready`, under the priority that stands here.
    Ready(Priority),
    /// In `waiting`.
    At(Instant),
    /// A worker has it.
    UnderWay,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Trip {
    pub(super) destination: DestinationId,
    pub(super) state: ErrandState,
    pub(super) hurried: bool,
    pub(super) sent_away: u8,
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) place: Place,
    pub(super) priority: Priority,
    pub(super) size: u32,
    pub(super) client: Option<ClientKey>,
    pub(super) decided: bool,
    /// What the attendant is to do as soon as nothing is under way.
    pub(super) tasks: Tasks,
    /// The first errand, without a list of its own: there is hardly ever a second.
    pub(super) first: Option<Trip>,
    pub(super) further: Vec<Trip>,
    /// Errands that a worker has.
    pub(super) under_way: u8,
    /// Its recipients go to more destinations than it has errands.
    pub(super) more: bool,
    /// When its age is to be looked at.
    pub(super) age_at: Option<Instant>,
    /// Something has come out that must be reported: until then the rest is waited for.
    pub(super) settle_at: Option<Instant>,
    /// When the destinations that have no errand are to be looked at again.
    pub(super) more_at: Option<Instant>,
    /// The earliest of these three, as it stands in `waiting`.
    pub(super) alarm: Option<Instant>,
    /// Its recipients are tried at once when it has been routed, also those whose next attempt is not due.
    pub(super) hurried: bool,
    /// Nothing is planned for it once what is under way has ended.
    pub(super) off: bool,
    /// Why it waits, if that stands nowhere else.
    pub(super) reason: Option<Box<str>>,
}

impl Message {
    /// A message for which nothing is planned.
    pub(super) fn new(priority: Priority, size: u32) -> Self {
        Self {
            place: Place::Off,
            priority,
            size,
            client: None,
            decided: false,
            tasks: Tasks::default(),
            first: None,
            further: Vec::new(),
            under_way: 0,
            more: false,
            age_at: None,
            settle_at: None,
            more_at: None,
            alarm: None,
            hurried: false,
            off: false,
            reason: None,
        }
    }

    pub(super) fn trips(&self) -> impl Iterator<Item = &Trip> {
        self.first.iter().chain(&self.further)
    }

    pub(super) fn trips_mut(&mut self) -> impl Iterator<Item = &mut Trip> {
        self.first.iter_mut().chain(&mut self.further)
    }

    pub(super) fn trip_mut(&mut self, destination: DestinationId) -> Option<&mut Trip> {
        self.trips_mut().find(|trip| trip.destination == destination)
    }

    /// Takes an errand out.
    pub(super) fn remove_trip(&mut self, destination: DestinationId) -> Option<Trip> {
        if self.first.is_some_and(|trip| trip.destination == destination) {
            return core::mem::replace(&mut self.first, self.further.pop());
        }
        let at = self.further.iter().position(|trip| trip.destination == destination)?;
        Some(self.further.swap_remove(at))
    }

    /// Puts an errand in. Returns whether it is one beyond the first.
    pub(super) fn add_trip(&mut self, trip: Trip) -> bool {
        if self.first.is_none() {
            self.first = Some(trip);
            return false;
        }
        self.further.push(trip);
        true
    }

    /// Whether somebody works on it at this moment.
    pub(super) const fn is_in_hands(&self) -> bool {
        self.under_way > 0 || matches!(self.place, Place::Deciding | Place::Attended)
    }

    /// Whether its errands may begin. If not while it is out, what is under way is waited for.
    pub(super) const fn may_go(&self) -> bool {
        matches!(self.place, Place::Out) && self.decided && !self.off && !self.tasks.any()
    }

    /// The moment that `alarm` should have.
    pub(super) fn alarm_wanted(&self) -> Option<Instant> {
        if self.place == Place::Off {
            return None;
        }
        [self.age_at, self.settle_at, self.more_at].into_iter().flatten().min()
    }
}
