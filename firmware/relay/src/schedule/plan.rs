//! The pure part of the schedule: every message in its place, and the ways between the places. No I/O, no waiting; time
//! and chance are arguments. Whom a step wakes stands in [`Plan::wake`] afterwards.

use super::destination::Destinations;
use super::message::{ErrandState, Message, Place, Trip};
use super::types::{
    After, Attended, Connected, Decided, DestinationId, Errand, Leg, Look, NewMessage, Priority, Tasks,
};
use crate::ledger::{ClientKey, Ledger};
use crate::route::Way;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use envelope::QueueId;
use limits::relay::{
    DUE_AT_ONCE_COUNT_MAX, ERRANDS_FURTHER_COUNT_MAX, ERRANDS_PER_MESSAGE_MAX, RELEASED_S, ROUTE_AGAIN_S,
    SETTLE_WAIT_S,
};
use platform::Instant;

/// What a moment in `waiting` is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    /// [`Place::Later`].
    Decide,
    /// [`Place::Resting`].
    Attend,
    /// [`Message::alarm`].
    Alarm,
    /// [`ErrandState::At`].
    Errand(DestinationId),
}

/// Whom to wake.
#[derive(Debug, Default)]
pub(super) struct Wake {
    pub(super) deciders: bool,
    pub(super) attendant: bool,
    /// The first moment to wait for may have moved forward.
    pub(super) clockwork: bool,
    /// Destinations that have something for a worker with a connection to them.
    pub(super) connected: heapless::Vec<DestinationId, 4>,
    /// All workers with a connection: destinations were retired, or there are too many to name.
    pub(super) all_connected: bool,
}

/// Everything but the messages.
#[derive(Default)]
pub(super) struct Queues {
    /// Reports first, then by age.
    undecided: BTreeSet<(bool, QueueId)>,
    due: BTreeSet<QueueId>,
    ready: BTreeSet<(DestinationId, Priority, QueueId)>,
    waiting: BTreeSet<(Instant, QueueId, Wait)>,
    pub(super) destinations: Destinations,
    /// Errands beyond the first of each message.
    further: usize,
    /// Messages in the hands of deciders and the attendant, and errands in those of workers.
    in_hands: usize,
    pub(super) wake: Wake,
}

/// All messages of the queue.
#[derive(Default)]
pub(super) struct Plan {
    messages: BTreeMap<QueueId, Box<Message>>,
    pub(super) queues: Queues,
    pub(super) ledger: Ledger,
    /// Nothing is given out any more.
    pub(super) stopping: bool,
}

impl Queues {
    fn wait(&mut self, at: Instant, id: QueueId, what: Wait) {
        self.wake.clockwork |= self.waiting.first().is_none_or(|(first, ..)| at < *first);
        self.waiting.insert((at, id, what));
    }

    /// Brings the alarm of a message to where it should be.
    fn set_alarm(&mut self, id: QueueId, message: &mut Message) {
        let wanted = message.alarm_wanted();
        if message.alarm == wanted {
            return;
        }
        if let Some(before) = core::mem::replace(&mut message.alarm, wanted) {
            self.waiting.remove(&(before, id, Wait::Alarm));
        }
        if let Some(at) = wanted {
            self.wait(at, id, Wait::Alarm);
        }
    }

    /// Takes a message out of the collection of its place. Its errands stay where they are, but those that were ready
    /// are parked.
    fn leave(&mut self, id: QueueId, message: &mut Message, now: Instant) {
        match message.place {
            Place::Undecided => _ = self.undecided.remove(&(message.priority != Priority::Report, id)),
            Place::Later(at) => _ = self.waiting.remove(&(at, id, Wait::Decide)),
            Place::Resting(at) => _ = self.waiting.remove(&(at, id, Wait::Attend)),
            Place::Due => _ = self.due.remove(&id),
            Place::Deciding | Place::Attended => self.in_hands = self.in_hands.saturating_sub(1),
            Place::Out => {
                for trip in message.trips_mut() {
                    self.park(id, trip, now);
                }
            }
            Place::Off => {}
        }
    }

    fn park(&mut self, id: QueueId, trip: &mut Trip, now: Instant) {
        if let ErrandState::Ready(priority) = trip.state {
            self.ready.remove(&(trip.destination, priority, id));
            self.destinations.remove_ready(trip.destination, now);
            trip.state = ErrandState::Parked;
        }
    }

    fn make_ready(&mut self, id: QueueId, of_message: Priority, trip: &mut Trip, now: Instant) {
        let priority = match of_message {
            Priority::Ordinary => self.destinations.priority(trip.destination),
            other => other,
        };
        trip.state = ErrandState::Ready(priority);
        self.ready.insert((trip.destination, priority, id));
        self.destinations.add_ready(trip.destination, now);
        if !self.wake.connected.contains(&trip.destination) {
            self.wake.all_connected |= self.wake.connected.push(trip.destination).is_err();
        }
    }

    /// Drops an errand that no worker has.
    fn drop_trip(&mut self, id: QueueId, mut trip: Trip, size: u32, now: Instant) {
        self.park(id, &mut trip, now);
        if let ErrandState::At(at) = trip.state {
            self.waiting.remove(&(at, id, Wait::Errand(trip.destination)));
        }
        self.destinations.remove_errand(trip.destination, size);
    }

    /// Drops all errands that no worker has.
    fn drop_trips(&mut self, id: QueueId, message: &mut Message, now: Instant) {
        let trips = message.first.take().into_iter().chain(core::mem::take(&mut message.further));
        let before: Vec<Trip> = trips.collect();
        self.further -= before.len().saturating_sub(1);
        for trip in before {
            if trip.state == ErrandState::UnderWay {
                self.further += usize::from(message.add_trip(trip));
            } else {
                self.drop_trip(id, trip, message.size, now);
            }
        }
    }

    /// Puts a message that has left its place where it belongs now.
    fn settle_down(&mut self, id: QueueId, message: &mut Message, now: Instant) {
        if message.under_way == 0 && message.settle_at.is_some() && !self.rest_may_come_soon(message) {
            message.settle_at = None;
            message.tasks.settle = true;
        }
        if message.decided && message.trips().next().is_none() {
            message.tasks.route = true;
        }
        if message.off && message.under_way == 0 {
            return self.set_off(id, message, now);
        }
        message.place = if message.under_way > 0 {
            // What is to be done waits for those; nothing new begins before.
            Place::Out
        } else if message.tasks.any() {
            self.due.insert(id);
            self.wake.attendant = true;
            Place::Due
        } else if !message.decided {
            self.undecided.insert((message.priority != Priority::Report, id));
            self.wake.deciders = true;
            Place::Undecided
        } else {
            Place::Out
        };
        if message.may_go() {
            let priority = message.priority;
            for trip in message.trips_mut().filter(|trip| trip.state == ErrandState::Parked) {
                self.make_ready(id, priority, trip, now);
            }
        }
        self.set_alarm(id, message);
    }

    /// Whether another destination is likely to have its say within a minute.
    fn rest_may_come_soon(&self, message: &Message) -> bool {
        message.trips().any(|trip| {
            matches!(trip.state, ErrandState::Ready(_) | ErrandState::Parked)
                && self.destinations.is_hopeful(trip.destination)
        })
    }

    fn set_off(&mut self, id: QueueId, message: &mut Message, now: Instant) {
        self.drop_trips(id, message, now);
        (message.place, message.off) = (Place::Off, false);
        message.tasks = Tasks::default();
        (message.settle_at, message.more_at, message.more) = (None, None, false);
        self.set_alarm(id, message);
    }

    /// Gives a message errands. Returns whether all of `legs` have one.
    fn add_trips(
        &mut self,
        id: QueueId,
        message: &mut Message,
        legs: impl Iterator<Item = Leg>,
        now: Instant,
    ) -> bool {
        for leg in legs {
            if message.trips().any(|trip| trip.destination == leg.destination) {
                continue;
            }
            let count = message.further.len() + usize::from(message.first.is_some());
            if count >= ERRANDS_PER_MESSAGE_MAX || (count > 0 && self.further >= ERRANDS_FURTHER_COUNT_MAX) {
                return false;
            }
            let waits = leg.due > now && !message.hurried;
            let state = if waits { ErrandState::At(leg.due) } else { ErrandState::Parked };
            if let ErrandState::At(at) = state {
                self.wait(at, id, Wait::Errand(leg.destination));
            }
            self.destinations.add_errand(leg.destination, message.size);
            let hurried = message.hurried;
            let trip = Trip { destination: leg.destination, state, hurried, sent_away: 0 };
            self.further += usize::from(message.add_trip(trip));
        }
        true
    }

    /// The next ready errand of a destination: the most urgent and of those the oldest, or now and then the oldest of all.
    fn pick(&self, destination: DestinationId) -> Option<(Priority, QueueId)> {
        let first_from = |priority| {
            let from = (destination, priority, QueueId(0));
            let to = (destination, Priority::Bulk, QueueId(u64::MAX));
            self.ready.range(from..=to).next().map(|(_, priority, id)| (*priority, *id))
        };
        let urgent = first_from(Priority::Report)?;
        if !self.destinations.is_turn_of_oldest(destination) {
            return Some(urgent);
        }
        let others =
            [Priority::Inside, Priority::Ordinary, Priority::Bulk].into_iter().filter_map(first_from);
        core::iter::once(urgent).chain(others).min_by_key(|(_, id)| *id)
    }
}

impl Plan {
    /// Puts a message onto the schedule that was not on it, or was off.
    pub(super) fn add(&mut self, id: QueueId, new: NewMessage<'_>, now: Instant) {
        self.forget(id, now);
        let Self { messages, queues, ledger, .. } = self;
        let client = new.client.map(ClientKey::new);
        if let Some(client) = client {
            ledger.add(client, new.size.into());
        }
        let mut message = Box::new(Message::new(new.priority, new.size));
        (message.client, message.decided, message.age_at) = (client, new.decided, new.age_at);
        let legs = new.to.iter().map(|destination| Leg { destination: *destination, due: Instant(0) });
        if !queues.add_trips(id, &mut message, legs, now) {
            message.more = true;
            message.more_at = Some(now.plus_s(ROUTE_AGAIN_S));
        }
        queues.settle_down(id, &mut message, now);
        messages.insert(id, message);
    }

    /// Puts a message onto the schedule for which nothing is planned: it is held or damaged.
    pub(super) fn add_off(&mut self, id: QueueId, size: u32, now: Instant) {
        if self.messages.contains_key(&id) {
            // It goes on counting for its client.
            _ = self.withdraw(id, now);
            return;
        }
        self.messages.insert(id, Box::new(Message::new(Priority::Ordinary, size)));
    }

    /// The message has left the queue. Nobody may have it in hands but the caller.
    pub(super) fn forget(&mut self, id: QueueId, now: Instant) {
        let Self { messages, queues, ledger, .. } = self;
        let Some(mut message) = messages.remove(&id) else { return };
        queues.leave(id, &mut message, now);
        for trip in message.trips_mut().filter(|trip| trip.state == ErrandState::UnderWay) {
            trip.state = ErrandState::Parked;
            queues.in_hands = queues.in_hands.saturating_sub(1);
        }
        message.under_way = 0;
        queues.set_off(id, &mut message, now);
        if let Some(client) = message.client {
            ledger.remove(client, message.size.into());
        }
    }

    /// The destination that a way leads to; where the table is full, in the place of one that can rest.
    pub(super) fn enter(&mut self, way: &Way<'_>, now: Instant) -> Option<DestinationId> {
        if let Some(id) = self.queues.destinations.enter(way) {
            return Some(id);
        }
        let (rests, until) = self.queues.destinations.dispensable()?;
        self.rest(rests, until.max(now.plus_s(ROUTE_AGAIN_S)), now);
        self.queues.destinations.enter(way)
    }

    /// Takes all errands of a destination off, none of which is under way; their messages are routed again from the
    /// moment on at which they would have been tried, which is `until` for those that were ready.
    fn rest(&mut self, destination: DestinationId, until: Instant, now: Instant) {
        let Self { messages, queues, .. } = self;
        for (id, message) in messages.iter_mut() {
            let had_further = !message.further.is_empty();
            let Some(trip) = message.remove_trip(destination) else { continue };
            queues.further -= usize::from(had_further);
            let at = match trip.state {
                ErrandState::At(at) => at.max(now.plus_s(ROUTE_AGAIN_S)),
                _ => until,
            };
            queues.drop_trip(*id, trip, message.size, now);
            message.more = true;
            message.more_at = Some(message.more_at.map_or(at, |before| before.min(at)));
            if message.place == Place::Out && message.trips().next().is_none() {
                // Nobody has it in hands, or it would have an errand.
                queues.leave(*id, message, now);
                message.tasks.route = true;
                message.place = Place::Resting(at);
                queues.wait(at, *id, Wait::Attend);
            }
            queues.set_alarm(*id, message);
        }
        queues.destinations.give_place(destination);
    }

    /// Takes a message off the schedule, unless somebody has it in hands. Returns whether it is off now.
    pub(super) fn withdraw(&mut self, id: QueueId, now: Instant) -> bool {
        let Self { messages, queues, .. } = self;
        let Some(message) = messages.get_mut(&id) else { return true };
        if message.is_in_hands() {
            return false;
        }
        queues.leave(id, message, now);
        message.reason = None;
        queues.set_off(id, message, now);
        true
    }

    pub(super) fn take_undecided(&mut self) -> Option<QueueId> {
        if self.stopping {
            return None;
        }
        let (_, id) = self.queues.undecided.pop_first()?;
        if let Some(message) = self.messages.get_mut(&id) {
            message.place = Place::Deciding;
            self.queues.in_hands += 1;
        }
        Some(id)
    }

    /// A decider gives a message back.
    pub(super) fn decided(&mut self, id: QueueId, decided: Decided, now: Instant) {
        if decided == Decided::Gone {
            return self.forget(id, now);
        }
        let Self { messages, queues, .. } = self;
        let Some(message) = messages.get_mut(&id).filter(|message| message.place == Place::Deciding) else {
            return;
        };
        queues.leave(id, message, now);
        match decided {
            Decided::Off => queues.set_off(id, message, now),
            Decided::Later(at) if !message.tasks.any() => {
                message.place = Place::Later(at);
                queues.wait(at, id, Wait::Decide);
                queues.set_alarm(id, message);
            }
            Decided::Deliver | Decided::Later(_) | Decided::Gone => {
                message.decided = decided == Decided::Deliver;
                if message.decided {
                    message.reason = None;
                }
                queues.settle_down(id, message, now);
            }
        }
    }

    /// The next message that the attendant is to look after, and what is to be done.
    pub(super) fn take_due(&mut self) -> Option<(QueueId, Tasks)> {
        if self.stopping {
            return None;
        }
        let id = self.queues.due.pop_first()?;
        let message = self.messages.get_mut(&id)?;
        message.place = Place::Attended;
        self.queues.in_hands += 1;
        Some((id, core::mem::take(&mut message.tasks)))
    }

    /// The attendant gives a message back. `again`: what was not done, to be done later.
    pub(super) fn attended(&mut self, id: QueueId, attended: Attended, again: Tasks, now: Instant) {
        if attended == Attended::Gone {
            return self.forget(id, now);
        }
        let Self { messages, queues, .. } = self;
        let Some(message) = messages.get_mut(&id).filter(|message| message.place == Place::Attended) else {
            return;
        };
        queues.leave(id, message, now);
        match attended {
            Attended::Off => return queues.set_off(id, message, now),
            Attended::Later(at) => {
                message.tasks = message.tasks.and(again);
                message.place = Place::Resting(at);
                queues.wait(at, id, Wait::Attend);
                return queues.set_alarm(id, message);
            }
            Attended::Routed(legs, more) => {
                queues.drop_trips(id, message, now);
                let all = queues.add_trips(id, message, legs.iter().copied(), now);
                message.hurried = false;
                message.more = more || !all;
                message.more_at = message.more.then(|| now.plus_s(ROUTE_AGAIN_S));
                if legs.is_empty() {
                    // Nobody is open any more: what came out is all there is.
                    message.tasks.settle = true;
                }
            }
            Attended::Done | Attended::Gone => {}
        }
        queues.settle_down(id, message, now);
    }

    /// Sets when the age of a message is looked at next.
    pub(super) fn set_age_at(&mut self, id: QueueId, at: Option<Instant>) {
        let Self { messages, queues, .. } = self;
        if let Some(message) = messages.get_mut(&id) {
            message.age_at = at;
            queues.set_alarm(id, message);
        }
    }

    /// As [`Self::set_age_at`], because settings have changed. What would be given up at once, and was to be soon, keeps its
    /// moment: the operator may have released it, and is just setting right where it goes.
    pub(super) fn review_age(&mut self, id: QueueId, at: Option<Instant>, now: Instant) {
        let soon = |before: &Instant| *before > now && *before <= now.plus_s(RELEASED_S);
        let kept = self.get(id).and_then(|message| message.age_at).filter(soon);
        let at_once = at.is_some_and(|at| at <= now);
        self.set_age_at(id, if at_once { kept.or(at) } else { at });
    }

    /// Keeps what only the envelope on flash tells: who brought a message, how urgent it is.
    pub(super) fn know(&mut self, id: QueueId, client: Option<core::net::IpAddr>, priority: Priority) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        if message.client.is_none()
            && let Some(client) = client.map(ClientKey::new)
        {
            message.client = Some(client);
            self.ledger.add(client, message.size.into());
        }
        // Only in the attendant's hands: then no collection is ordered by it.
        if message.place == Place::Attended {
            message.priority = priority;
        }
    }

    fn take_errand(&mut self, destination: DestinationId, now: Instant) -> Option<Errand> {
        let Self { messages, queues, .. } = self;
        let (priority, id) = queues.pick(destination)?;
        queues.ready.remove(&(destination, priority, id));
        queues.destinations.taken(destination, now);
        let message = messages.get_mut(&id)?;
        message.under_way = message.under_way.saturating_add(1);
        queues.in_hands += 1;
        let trip = message.trip_mut(destination)?;
        trip.state = ErrandState::UnderWay;
        let hurried = core::mem::take(&mut trip.hurried);
        Some(Errand { id, destination, hurried, sent_away: trip.sent_away })
    }

    /// The next errand for a worker without a connection. Counts the connection that it will open.
    pub(super) fn take_for_idle(&mut self, now: Instant) -> Option<(Errand, Look)> {
        if self.stopping {
            return None;
        }
        let (destination, look) = self.queues.destinations.next_for_idle(now)?;
        let errand = self.take_errand(destination, now)?;
        Some((errand, look))
    }

    /// The next errand for a worker with an open connection over which it has sent `sent` messages.
    pub(super) fn take_for_connected(
        &mut self,
        destination: DestinationId,
        sent: u32,
        now: Instant,
    ) -> Result<Errand, Connected> {
        if self.stopping {
            return Err(Connected::Wait);
        }
        match self.queues.destinations.next_for_connected(destination, sent, now) {
            Connected::Errand => self.take_errand(destination, now).ok_or(Connected::Wait),
            other => Err(other),
        }
    }

    /// A worker gives an errand back. `news`: a recipient has failed, or was delivered and its sender wants to hear of
    /// it.
    pub(super) fn errand_done(&mut self, errand: Errand, after: After, news: bool, now: Instant) {
        let Errand { id, destination, .. } = errand;
        if after == After::Gone {
            return self.forget(id, now);
        }
        let Self { messages, queues, .. } = self;
        let Some(message) = messages.get_mut(&id) else { return };
        let Some(trip) = message.trip_mut(destination).filter(|t| t.state == ErrandState::UnderWay) else {
            return;
        };
        trip.state = ErrandState::Parked;
        message.under_way = message.under_way.saturating_sub(1);
        queues.in_hands = queues.in_hands.saturating_sub(1);
        if !matches!(after, After::SentAway(_) | After::Off) {
            message.reason = None;
        }
        if news {
            message.settle_at.get_or_insert(now.plus_s(SETTLE_WAIT_S));
        }
        match after {
            After::Finished => {
                let had_further = !message.further.is_empty();
                message.remove_trip(destination);
                queues.further -= usize::from(had_further);
                queues.destinations.remove_errand(destination, message.size);
                message.tasks.route |= message.more;
            }
            After::Decide => message.decided = false,
            After::At(at) | After::SentAway(at) => {
                if let Some(trip) = message.trip_mut(destination)
                    && at > now
                {
                    trip.state = ErrandState::At(at);
                    trip.sent_away = match after {
                        After::SentAway(_) => trip.sent_away.saturating_add(1),
                        _ => 0,
                    };
                    queues.wait(at, id, Wait::Errand(destination));
                }
            }
            After::Off => {
                // The others finish what they have, and nothing follows.
                message.off = true;
                queues.drop_trips(id, message, now);
            }
            After::Untried => {
                if let Some(trip) = message.trip_mut(destination) {
                    trip.hurried |= errand.hurried;
                }
            }
            After::Again | After::Gone => {}
        }
        queues.leave(id, message, now);
        queues.settle_down(id, message, now);
    }

    /// Makes due what is due, a bounded number of things at a time; returns when to look again, which may be at once.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Instant> {
        for _ in 0..DUE_AT_ONCE_COUNT_MAX {
            let Some((_, id, what)) = self.queues.waiting.first().copied().filter(|(at, ..)| *at <= now)
            else {
                break;
            };
            self.queues.waiting.pop_first();
            self.ring(id, what, now);
        }
        let alarm = self.queues.destinations.turn(now);
        let first = self.queues.waiting.first().map(|(at, ..)| *at);
        [first, alarm].into_iter().flatten().min()
    }

    fn ring(&mut self, id: QueueId, what: Wait, now: Instant) {
        let Self { messages, queues, .. } = self;
        let Some(message) = messages.get_mut(&id) else { return };
        match what {
            Wait::Decide | Wait::Attend => queues.settle_down(id, message, now),
            Wait::Errand(destination) => {
                let may_go = message.may_go();
                let priority = message.priority;
                if let Some(trip) = message.trip_mut(destination) {
                    trip.state = ErrandState::Parked;
                    if may_go {
                        queues.make_ready(id, priority, trip, now);
                    }
                }
            }
            Wait::Alarm => {
                message.alarm = None;
                let due = |at: &mut Option<Instant>| at.take_if(|at| *at <= now).is_some();
                message.tasks.age |= due(&mut message.age_at);
                message.tasks.settle |= due(&mut message.settle_at);
                message.tasks.route |= due(&mut message.more_at);
                if message.is_in_hands() || matches!(message.place, Place::Due | Place::Resting(_)) {
                    // Whoever gives it back sees what is to be done; nothing new begins before.
                    for trip in message.trips_mut() {
                        queues.park(id, trip, now);
                    }
                    return queues.set_alarm(id, message);
                }
                queues.leave(id, message, now);
                queues.settle_down(id, message, now);
            }
        }
    }

    /// Takes what waits for its time at once: one message, or all. What failed is tried again.
    pub(super) fn hurry(&mut self, only: Option<QueueId>, now: Instant) {
        let Self { messages, queues, .. } = self;
        let mut hurry = |id: QueueId, message: &mut Message| {
            message.hurried = message.tasks.route || message.place == Place::Attended;
            for trip in message.trips_mut() {
                trip.hurried = true;
                if let ErrandState::At(at) = trip.state {
                    queues.waiting.remove(&(at, id, Wait::Errand(trip.destination)));
                    trip.state = ErrandState::Parked;
                }
                if only.is_some() {
                    queues.destinations.hurry(Some(trip.destination), false, now);
                }
            }
            if !matches!(message.place, Place::Off | Place::Due | Place::Deciding | Place::Attended) {
                queues.leave(id, message, now);
                queues.settle_down(id, message, now);
            }
        };
        match only {
            Some(id) => {
                if let Some(message) = messages.get_mut(&id) {
                    hurry(id, message);
                }
            }
            None => {
                messages.iter_mut().for_each(|(id, message)| hurry(*id, message));
                queues.destinations.hurry(None, false, now);
            }
        }
    }

    /// Makes all messages due now that wait for a decision.
    pub(super) fn hurry_decisions(&mut self, now: Instant) {
        let Self { messages, queues, .. } = self;
        for (id, message) in messages.iter_mut().filter(|(_, m)| matches!(m.place, Place::Later(_))) {
            queues.leave(*id, message, now);
            queues.settle_down(*id, message, now);
        }
    }

    /// The routes changed: everything is routed anew, and connections to what is no destination any more get nothing.
    pub(super) fn reroute(&mut self, now: Instant) {
        let Self { messages, queues, .. } = self;
        for (id, message) in messages.iter_mut().filter(|(_, m)| m.place != Place::Off) {
            let in_hands = message.is_in_hands();
            if message.place == Place::Out {
                for trip in message.trips_mut() {
                    queues.park(*id, trip, now);
                }
            }
            queues.drop_trips(*id, message, now);
            // What is under way may come back for the old destination, also to be decided anew.
            message.tasks.route |= message.decided || message.under_way > 0;
            if message.place == Place::Out && !in_hands {
                queues.leave(*id, message, now);
                queues.settle_down(*id, message, now);
            }
        }
        queues.destinations.retire_all(now);
        queues.wake.all_connected = true;
    }

    pub(super) fn get(&self, id: QueueId) -> Option<&Message> {
        self.messages.get(&id).map(|message| &**message)
    }

    pub(super) fn get_mut(&mut self, id: QueueId) -> Option<&mut Message> {
        self.messages.get_mut(&id).map(|message| &mut **message)
    }

    /// Whether nobody has anything in hands.
    pub(super) const fn is_idle(&self) -> bool {
        self.queues.in_hands == 0
    }

    /// Every message is in exactly one place, every bound is kept.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let q = &self.queues;
        let (mut further, mut in_hands, mut waits, mut ready, mut due, mut undecided) = (0, 0, 0, 0, 0, 0);
        for (id, m) in &self.messages {
            let wait = |at: Instant, what| {
                assert!(q.waiting.contains(&(at, *id, what)), "{id} {m:?}");
                1
            };
            match m.place {
                Place::Undecided => {
                    undecided += 1;
                    assert!(q.undecided.contains(&(m.priority != Priority::Report, *id)));
                }
                Place::Later(at) => waits += wait(at, Wait::Decide),
                Place::Resting(at) => waits += wait(at, Wait::Attend),
                Place::Due => {
                    due += 1;
                    assert!(q.due.contains(id) && m.tasks.any());
                }
                Place::Deciding | Place::Attended => in_hands += 1,
                Place::Out => assert!(m.first.is_some(), "nobody would ever look after {id}: {m:?}"),
                Place::Off => assert!(m.first.is_none() && m.alarm.is_none()),
            }
            if m.place == Place::Out && !m.may_go() {
                assert!(m.under_way > 0, "it waits for nobody: {m:?}");
            }
            assert!(m.under_way == 0 || m.place == Place::Out, "{m:?}");
            assert!(m.first.is_some() || m.further.is_empty());
            further += m.further.len();
            let mut under_way = 0;
            for trip in m.trips() {
                match trip.state {
                    ErrandState::UnderWay => under_way += 1,
                    ErrandState::At(at) => waits += wait(at, Wait::Errand(trip.destination)),
                    ErrandState::Ready(priority) => {
                        ready += 1;
                        assert!(q.ready.contains(&(trip.destination, priority, *id)));
                        assert!(m.may_go());
                    }
                    ErrandState::Parked => {
                        assert!(!m.may_go(), "a parked errand is forgotten: {m:?}");
                    }
                }
            }
            assert_eq!(under_way, usize::from(m.under_way));
            in_hands += under_way;
            assert_eq!(m.alarm, m.alarm_wanted(), "{m:?}");
            if let Some(at) = m.alarm {
                waits += wait(at, Wait::Alarm);
            }
        }
        assert_eq!((q.waiting.len(), q.ready.len()), (waits, ready));
        assert_eq!((q.due.len(), q.undecided.len()), (due, undecided));
        assert_eq!((q.further, q.in_hands), (further, in_hands));
        assert!(further <= ERRANDS_FURTHER_COUNT_MAX);
        q.destinations.check();
    }
}
