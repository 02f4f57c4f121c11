//! Where mail goes: the table of destinations, what is known of each, and whose turn it is.
//!
//! A destination is one or more hosts, listed or found by MX records. Number 0 is [`DestinationId::NOWHERE`]: mail without a route, which
//! waits there for the operator.
//!
//! # Lanes
//! A destination that has work and could use a further worker now stands in exactly one lane, at its end; workers take
//! from the front. *Living*: its last connection worked. *Untried*: nothing is known. *Failing*: the last probe failed
//! and the next is due. Only one probe of a destination runs at a time, and probes of all together never take more than
//! `PROBES_COUNT_MAX` workers, so a dead destination costs the living ones nothing. What keeps a destination out of its
//! lane is either an event (a message comes, a connection closes) or a moment, and then there is an alarm for it.

use super::types::{Connected, DestinationId, DestinationState, Look, Obstruction, Priority};
use crate::route::Way;
use crate::route::course::Shared;
use crate::time::{Seconds, backoff_s};
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use limits::relay::{
    DESTINATIONS_COUNT_MAX, ERRANDS_PER_MESSAGE_MAX, MESSAGES_PER_TURN_MAX, OLDEST_EVERY, PROBE_FIRST_S,
    PROBE_LONG_S, PROBE_MAX_S, PROBES_BUSY_COUNT_MAX, PROBES_COUNT_MAX, PROBES_FAILED_LONG,
    PROBES_FAILING_COUNT_MAX, RATE_BURST_S, SESSIONS_OUT_COUNT_MAX,
};
use limits::routing::{
    PROBE_FOREIGN_LONG_S, PROBE_FOREIGN_MAX_S, THROTTLED_MS, THROTTLED_MS_MAX, THROTTLED_MS_MIN,
};
use platform::Instant;
use settings::Settings;

/// What the operator allows each destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DestinationLimits {
    /// Connections at once.
    pub(crate) connections: usize,
    /// Messages a minute; 0: as many as can be.
    pub(crate) rate: u32,
}

impl Default for DestinationLimits {
    fn default() -> Self {
        Self { connections: SESSIONS_OUT_COUNT_MAX, rate: 0 }
    }
}

impl From<&Settings> for DestinationLimits {
    fn from(settings: &Settings) -> Self {
        Self { connections: settings.destination_connections.into(), rate: settings.destination_rate }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Living,
    Untried,
    Failing,
}

/// One destination, and what is known of it.
#[derive(Debug)]
pub(super) struct Destination {
    /// See [`crate::route`]; empty for nowhere.
    name: Box<str>,
    hash: u32,
    course: Option<Shared>,
    /// Mail for it goes before mail for others.
    inside: bool,
    /// No route leads there since the settings changed: connections to it get nothing any more.
    retired: bool,
    state: DestinationState,
    /// Whether an attempt runs that decides if it can be reached.
    probing: bool,
    /// Not to be probed before.
    probe_at: Instant,
    /// Probes that failed in a row.
    failures: u32,
    reason: String,
    /// Connections that are open or being opened.
    connections: usize,
    /// Most connections that the peer seems to want.
    connections_max: usize,
    /// Workers that wait for work with an open connection.
    lingering: usize,
    /// Errands, whatever they wait for, and the octets of their messages.
    errands: u32,
    octets: u64,
    /// Errands that wait for a worker and nothing else.
    ready: usize,
    /// Numbers when it was entered last.
    entered: u64,
    /// Counts what was taken.
    turn: u8,
    /// When the next message would be due if the rate were kept to the second.
    paced: Instant,
    /// Milliseconds between two messages because it said that it gets too many; 0: none.
    throttled_ms: u64,
    /// Because of that, no message before.
    throttled_until: Instant,
    /// What it says from then on is about the present pause; before, it may be about messages of before.
    throttle_tells_at: Instant,
    lane: Option<(Lane, u64)>,
    alarm: Option<Instant>,
}

impl Destination {
    fn new(name: Box<str>, hash: u32, course: Option<Shared>, inside: bool) -> Self {
        Self {
            name,
            hash,
            course,
            inside,
            retired: false,
            state: DestinationState::Untried,
            probing: false,
            probe_at: Instant(0),
            failures: 0,
            reason: String::new(),
            connections: 0,
            connections_max: SESSIONS_OUT_COUNT_MAX,
            lingering: 0,
            errands: 0,
            octets: 0,
            ready: 0,
            entered: 0,
            turn: 0,
            paced: Instant(0),
            throttled_ms: 0,
            throttled_until: Instant(0),
            throttle_tells_at: Instant(0),
            lane: None,
            alarm: None,
        }
    }

    fn is_unused(&self) -> bool {
        self.errands == 0 && self.connections == 0
    }

    /// What the operator allows it: what its route says goes before what is said for all.
    fn limits(&self, all: DestinationLimits) -> DestinationLimits {
        let Some(course) = &self.course else { return all };
        let or = |own: usize, all: usize| if own > 0 { own } else { all };
        DestinationLimits {
            connections: or(course.connections.into(), all.connections),
            rate: if course.rate > 0 { course.rate } else { all.rate },
        }
    }

    /// The moment from which the rate, and the destination itself, allow another message.
    fn pace_at(&self, limits: DestinationLimits) -> Instant {
        let by_rate = match self.limits(limits).rate {
            0 => Instant(0),
            _ => Instant(self.paced.0.saturating_sub(RATE_BURST_S * 1_000_000)),
        };
        if self.throttled_ms > 0 { by_rate.max(self.throttled_until) } else { by_rate }
    }

    fn note_taken(&mut self, limits: DestinationLimits, now: Instant) {
        self.turn = self.turn.wrapping_add(1);
        let limits = self.limits(limits);
        if self.throttled_ms > 0 {
            self.throttled_until = now.plus_ms(self.throttled_ms);
        }
        if let Some(each) = 60_000_000u64.checked_div(limits.rate.into()) {
            self.paced = Instant(self.paced.max(now).0.saturating_add(each));
        }
    }

    /// In which lane it belongs now, or the moment at which to ask again.
    fn wish(&self, limits: DestinationLimits, now: Instant) -> (Option<Lane>, Option<Instant>) {
        if self.course.is_none() || self.retired || self.ready == 0 {
            return (None, None);
        }
        let (lane, at) = match self.state {
            DestinationState::Open => {
                let most = self.connections_max.min(self.limits(limits).connections).max(1);
                if self.ready <= self.lingering || self.connections >= most {
                    return (None, None);
                }
                (Lane::Living, self.pace_at(limits))
            }
            _ if self.probing => return (None, None),
            DestinationState::Untried => (Lane::Untried, self.probe_at),
            DestinationState::Failing => (Lane::Failing, self.probe_at),
        };
        if at > now { (None, Some(at)) } else { (Some(lane), None) }
    }
}

/// What the console shows of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DestinationView {
    /// See [`crate::route`]; empty: no route leads anywhere.
    pub(crate) name: String,
    pub(crate) state: DestinationState,
    /// Messages that go there.
    pub(crate) messages: u32,
    /// Octets of those.
    pub(crate) octets: u64,
    /// Of those, how many only wait for a connection.
    pub(crate) ready: usize,
    pub(crate) connections: usize,
    /// Most connections that it gets at present.
    pub(crate) connections_max: usize,
    /// Attempts to reach it that failed in a row.
    pub(crate) failures: u32,
    /// When it is probed next, if it is failing.
    pub(crate) next_probe: Option<Instant>,
    /// What went wrong last; empty if nothing did.
    pub(crate) reason: String,
}

/// All destinations.
pub(super) struct Destinations {
    table: Vec<Option<Box<Destination>>>,
    by_name: BTreeSet<(u32, DestinationId)>,
    living: BTreeSet<(u64, DestinationId)>,
    untried: BTreeSet<(u64, DestinationId)>,
    failing: BTreeSet<(u64, DestinationId)>,
    /// Numbers the places in the lanes.
    turns: u64,
    /// Counts what was entered.
    entries: u64,
    alarms: BTreeSet<(Instant, DestinationId)>,
    /// First looks and probes that run.
    looks: usize,
    /// Probes of destinations that failed before; the rest of `looks` are first looks.
    probes: usize,
    /// Workers that have a connection or open one.
    busy: usize,
    /// Whether the last worker went to a living destination though others waited for a look.
    living_last: bool,
    limits: DestinationLimits,
    /// Somebody entered a lane.
    pub(super) lanes_grew: bool,
    /// The first alarm may have moved forward.
    pub(super) alarms_grew: bool,
    /// An alarm rang: a worker that waits with a connection may have waited for it.
    pub(super) alarm_rang: bool,
}

impl Default for Destinations {
    fn default() -> Self {
        let nowhere = Destination::new(Box::default(), 0, None, false);
        Self {
            table: Vec::from_iter([Some(Box::new(nowhere))]),
            by_name: BTreeSet::new(),
            living: BTreeSet::new(),
            untried: BTreeSet::new(),
            failing: BTreeSet::new(),
            turns: 0,
            entries: 0,
            alarms: BTreeSet::new(),
            looks: 0,
            probes: 0,
            busy: 0,
            living_last: false,
            limits: DestinationLimits::default(),
            lanes_grew: false,
            alarms_grew: false,
            alarm_rang: false,
        }
    }
}

/// FNV-1a.
fn hash_of(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193))
}

impl Destinations {
    fn get(&self, id: DestinationId) -> Option<&Destination> {
        self.table.get(usize::from(id.0)).and_then(Option::as_deref)
    }

    fn all(&self) -> impl Iterator<Item = &Destination> {
        self.table.iter().filter_map(Option::as_deref)
    }

    fn get_mut(&mut self, id: DestinationId) -> Option<&mut Destination> {
        self.table.get_mut(usize::from(id.0)).and_then(Option::as_deref_mut)
    }

    /// The destination of that name, if it is in the table.
    pub(super) fn find(&self, name: &str) -> Option<DestinationId> {
        if name.is_empty() {
            return Some(DestinationId::NOWHERE);
        }
        let hash = hash_of(name);
        self.by_name
            .range((hash, DestinationId(0))..=(hash, DestinationId(u16::MAX)))
            .map(|(_, id)| *id)
            .find(|id| self.get(*id).is_some_and(|d| *d.name == *name))
    }

    /// The destination that a way leads to, new if need be. `None`: the table is full of destinations that are in use.
    pub(super) fn enter(&mut self, way: &Way<'_>) -> Option<DestinationId> {
        self.entries += 1;
        let entered = self.entries;
        if let Some(id) = self.find(&way.name) {
            if let Some(destination) = self.get_mut(id) {
                if core::mem::take(&mut destination.retired) {
                    // The name says nearly all; whose domain it is may have changed.
                    destination.course = way.course();
                }
                (destination.inside, destination.entered) = (way.inside, entered);
            }
            return Some(id);
        }
        let Some(course) = way.course() else { return Some(DestinationId::NOWHERE) };
        let id = self.place()?;
        let hash = hash_of(&way.name);
        if let Some(place) = self.table.get_mut(usize::from(id.0)) {
            let new = Destination::new((*way.name).into(), hash, Some(course), way.inside);
            *place = Some(Box::new(Destination { entered, ..new }));
            self.by_name.insert((hash, id));
        }
        Some(id)
    }

    /// Whom others may have the place of, where the table is full: one whose mail waits for its moment anyway; else, of
    /// those that do not answer, the one that is probed last. With it the moment at which its mail may ask for a place again.
    pub(super) fn dispensable(&self) -> Option<(DestinationId, Instant)> {
        let idle = |d: &Destination| d.errands > 0 && d.connections == 0 && !d.probing;
        let rested = |d: &Destination| idle(d) && d.ready == 0;
        let failing = |d: &Destination| idle(d) && d.state == DestinationState::Failing;
        let numbered = || self.table.iter().enumerate().skip(1).filter_map(|(n, d)| Some((n, d.as_deref()?)));
        let of = |(n, d): (usize, &Destination)| Some((DestinationId(u16::try_from(n).ok()?), d.probe_at));
        let rested = numbered().find(|(_, d)| rested(d));
        rested.or_else(|| numbered().filter(|(_, d)| failing(d)).max_by_key(|(_, d)| d.probe_at)).and_then(of)
    }

    /// Frees the place of a destination that has no errands any more.
    pub(super) fn give_place(&mut self, id: DestinationId) {
        if self.get(id).is_some_and(Destination::is_unused) {
            self.clear(id);
        }
    }

    /// A free place in the table; one whose destination is of no use any more if need be.
    fn place(&mut self) -> Option<DestinationId> {
        if let Some(free) = self.table.iter().position(Option::is_none) {
            return u16::try_from(free).ok().map(DestinationId);
        }
        if self.table.len() < DESTINATIONS_COUNT_MAX {
            self.table.push(None);
            return u16::try_from(self.table.len() - 1).ok().map(DestinationId);
        }
        // Those that were just entered are for a message that is being put together.
        let used_soon = self.entries.saturating_sub(ERRANDS_PER_MESSAGE_MAX as u64);
        let unused = |d: &Option<Box<Destination>>| {
            d.as_ref().is_some_and(|d| d.is_unused() && d.entered <= used_soon)
        };
        let place = self.table.iter().skip(1).position(unused)?.checked_add(1)?;
        let id = u16::try_from(place).ok().map(DestinationId)?;
        self.clear(id);
        Some(id)
    }

    fn clear(&mut self, id: DestinationId) {
        self.set_lane(id, None);
        self.set_alarm(id, None);
        if let Some(gone) = self.table.get_mut(usize::from(id.0)).and_then(Option::take) {
            self.by_name.remove(&(gone.hash, id));
        }
    }

    /// The settings changed: what is not entered again is retired, and what failed may be tried at once.
    pub(super) fn retire_all(&mut self, now: Instant) {
        for place in 1..self.table.len() {
            let Ok(id) = u16::try_from(place).map(DestinationId) else { return };
            if self.get(id).is_some_and(Destination::is_unused) {
                self.clear(id);
            } else if let Some(destination) = self.get_mut(id) {
                destination.retired = true;
                self.reconsider(id, now);
            }
        }
    }

    pub(super) fn set_limits(&mut self, limits: DestinationLimits, now: Instant) {
        self.limits = limits;
        self.reconsider_all(now);
    }

    fn reconsider_all(&mut self, now: Instant) {
        for place in 1..self.table.len() {
            if let Ok(place) = u16::try_from(place) {
                self.reconsider(DestinationId(place), now);
            }
        }
    }

    fn lane(&mut self, lane: Lane) -> &mut BTreeSet<(u64, DestinationId)> {
        match lane {
            Lane::Living => &mut self.living,
            Lane::Untried => &mut self.untried,
            Lane::Failing => &mut self.failing,
        }
    }

    fn set_lane(&mut self, id: DestinationId, wanted: Option<Lane>) {
        let turn = self.turns;
        let Some(destination) = self.get_mut(id) else { return };
        if destination.lane.map(|(lane, _)| lane) == wanted {
            return;
        }
        let before = core::mem::replace(&mut destination.lane, wanted.map(|lane| (lane, turn)));
        if let Some((lane, turn)) = before {
            self.lane(lane).remove(&(turn, id));
        }
        if let Some(lane) = wanted {
            self.turns += 1;
            self.lane(lane).insert((turn, id));
            self.lanes_grew = true;
        }
    }

    fn set_alarm(&mut self, id: DestinationId, wanted: Option<Instant>) {
        let Some(destination) = self.get_mut(id) else { return };
        if destination.alarm == wanted {
            return;
        }
        let before = core::mem::replace(&mut destination.alarm, wanted);
        if let Some(before) = before {
            self.alarms.remove(&(before, id));
        }
        if let Some(at) = wanted {
            self.alarms.insert((at, id));
            self.alarms_grew = true;
        }
    }

    /// Puts a destination into the lane where it belongs after something changed.
    fn reconsider(&mut self, id: DestinationId, now: Instant) {
        let limits = self.limits;
        let Some(destination) = self.get(id) else { return };
        let (lane, alarm) = destination.wish(limits, now);
        self.set_lane(id, lane);
        self.set_alarm(id, alarm);
    }

    /// Rings what is due; returns when to look again.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, id)) = self.alarms.first().copied() {
            if at > now {
                return Some(at);
            }
            self.alarm_rang = true;
            self.set_alarm(id, None);
            self.reconsider(id, now);
        }
        None
    }

    /// An errand was made.
    pub(super) fn add_errand(&mut self, id: DestinationId, octets: u32) {
        if let Some(destination) = self.get_mut(id) {
            destination.errands += 1;
            destination.octets += u64::from(octets);
        }
    }

    /// An errand has ended.
    pub(super) fn remove_errand(&mut self, id: DestinationId, octets: u32) {
        let Some(destination) = self.get_mut(id) else { return };
        destination.errands = destination.errands.saturating_sub(1);
        destination.octets = destination.octets.saturating_sub(octets.into());
        if destination.retired && destination.is_unused() {
            self.clear(id);
        }
    }

    /// An errand waits for a worker.
    pub(super) fn add_ready(&mut self, id: DestinationId, now: Instant) {
        if let Some(destination) = self.get_mut(id) {
            destination.ready += 1;
            self.reconsider(id, now);
        }
    }

    /// An errand does not wait for a worker any more.
    pub(super) fn remove_ready(&mut self, id: DestinationId, now: Instant) {
        if let Some(destination) = self.get_mut(id) {
            destination.ready = destination.ready.saturating_sub(1);
            self.reconsider(id, now);
        }
    }

    /// Whether a worker there is likely to come soon: nothing is known against it.
    pub(super) fn is_hopeful(&self, id: DestinationId) -> bool {
        self.get(id).is_some_and(|d| d.course.is_some() && d.state != DestinationState::Failing)
    }

    /// How urgent mail for the destination is, if nothing about the message says otherwise.
    pub(super) fn priority(&self, id: DestinationId) -> Priority {
        match self.get(id) {
            Some(destination) if destination.inside => Priority::Inside,
            _ => Priority::Ordinary,
        }
    }

    /// Which destination a worker without connection serves now; its connection counts from here on. The caller takes an
    /// errand of it and then calls [`Self::taken`].
    pub(super) fn next_for_idle(&mut self, now: Instant) -> Option<(DestinationId, Look)> {
        loop {
            let lane = self.next_lane()?;
            let (_, id) = self.lane(lane).first().copied()?;
            self.set_lane(id, None);
            let limits = self.limits;
            let destination = self.get(id)?;
            if destination.wish(limits, now).0 != Some(lane) {
                self.reconsider(id, now);
                continue;
            }
            self.living_last = lane == Lane::Living;
            let crowded = self.failing.len() > PROBES_FAILING_COUNT_MAX;
            let look = match lane {
                Lane::Living => Look::Known,
                Lane::Untried => Look::First,
                Lane::Failing => Look::Probe { crowded },
            };
            self.busy += 1;
            self.looks += usize::from(lane != Lane::Living);
            self.probes += usize::from(lane == Lane::Failing);
            let destination = self.get_mut(id)?;
            destination.connections += 1;
            destination.probing = lane != Lane::Living;
            return Some((id, look));
        }
    }

    fn next_lane(&self) -> Option<Lane> {
        match (self.next_look(), self.living.is_empty()) {
            (None, true) => None,
            (None, false) => Some(Lane::Living),
            (Some(look), true) => Some(look),
            (Some(look), false) => Some(if self.living_last { look } else { Lane::Living }),
        }
    }

    /// The lane of the next first look or probe, if one may begin.
    fn next_look(&self) -> Option<Lane> {
        let most = if self.living.is_empty() { PROBES_COUNT_MAX } else { PROBES_BUSY_COUNT_MAX };
        if self.looks >= most {
            None
        } else if !self.untried.is_empty() {
            Some(Lane::Untried)
        } else if !self.failing.is_empty() && self.probes < PROBES_FAILING_COUNT_MAX {
            Some(Lane::Failing)
        } else {
            None
        }
    }

    /// Whether other destinations wait for a worker and there is none.
    fn others_wait(&self, id: DestinationId) -> bool {
        let other = |(_, waiting): &(u64, DestinationId)| *waiting != id;
        self.all_busy() && (self.next_look().is_some() || self.living.iter().any(other))
    }

    /// What a worker with an open connection should do that has sent `sent` messages over it: take an errand if there is
    /// one ([`Connected::Errand`]), wait, or make room for others.
    pub(super) fn next_for_connected(&self, id: DestinationId, sent: u32, now: Instant) -> Connected {
        let Some(destination) = self.get(id).filter(|d| !d.retired) else { return Connected::Leave };
        let others_wait = self.others_wait(id);
        if destination.ready == 0 {
            return if others_wait { Connected::Leave } else { Connected::Wait };
        }
        if others_wait && sent >= MESSAGES_PER_TURN_MAX {
            return Connected::Leave;
        }
        if destination.pace_at(self.limits) > now { Connected::Wait } else { Connected::Errand }
    }

    /// Whether the next message to it is to be the oldest, whatever its priority.
    pub(super) fn is_turn_of_oldest(&self, id: DestinationId) -> bool {
        self.get(id).is_some_and(|d| d.turn % OLDEST_EVERY == OLDEST_EVERY - 1)
    }

    /// A ready errand was given to a worker.
    pub(super) fn taken(&mut self, id: DestinationId, now: Instant) {
        let limits = self.limits;
        if let Some(destination) = self.get_mut(id) {
            destination.note_taken(limits, now);
            destination.ready = destination.ready.saturating_sub(1);
        }
        self.reconsider(id, now);
    }

    pub(super) fn linger(&mut self, id: DestinationId, begins: bool, now: Instant) {
        if let Some(destination) = self.get_mut(id) {
            let lingering = &mut destination.lingering;
            *lingering = if begins { *lingering + 1 } else { lingering.saturating_sub(1) };
            self.reconsider(id, now);
        }
    }

    /// The attempt that decided whether it can be reached is over.
    fn end_look(&mut self, id: DestinationId) {
        let Some(destination) = self.get_mut(id) else { return };
        if core::mem::take(&mut destination.probing) {
            let failed_before = destination.state == DestinationState::Failing;
            self.looks = self.looks.saturating_sub(1);
            self.probes = self.probes.saturating_sub(usize::from(failed_before));
            // The bound on probes may have kept others waiting.
            self.lanes_grew = true;
        }
    }

    /// A connection was opened and greeted by the peer. `false`: no route leads there any more.
    pub(super) fn reached(&mut self, id: DestinationId, now: Instant) -> bool {
        self.end_look(id);
        let Some(destination) = self.get_mut(id) else { return false };
        if destination.state != DestinationState::Open {
            destination.connections_max = SESSIONS_OUT_COUNT_MAX;
        }
        (destination.state, destination.failures) = (DestinationState::Open, 0);
        destination.reason.clear();
        let retired = destination.retired;
        self.reconsider(id, now);
        !retired
    }

    /// No connection came about. See [`Schedule::unreachable`](super::Schedule::unreachable).
    pub(super) fn unreachable(
        &mut self,
        id: DestinationId,
        reason: &str,
        now: Instant,
        random: u32,
    ) -> Option<Seconds> {
        self.end_look(id);
        self.busy = self.busy.saturating_sub(1);
        let destination = self.get_mut(id)?;
        destination.connections = destination.connections.saturating_sub(1);
        let pause = if destination.retired {
            None
        } else if destination.state == DestinationState::Open && destination.connections > 0 {
            destination.connections_max = destination.connections;
            None
        } else {
            Some(destination.fail(reason, now, random))
        };
        self.reconsider(id, now);
        self.forget_retired(id);
        pause
    }

    /// DNS said for good that nobody is there, so no connection was needed: the mail is answered, and the next is too.
    pub(super) fn needless(&mut self, id: DestinationId, now: Instant) {
        self.end_look(id);
        self.busy = self.busy.saturating_sub(1);
        if let Some(destination) = self.get_mut(id) {
            destination.connections = destination.connections.saturating_sub(1);
            (destination.state, destination.failures) = (DestinationState::Untried, 0);
            destination.probe_at = Instant(0);
            destination.reason.clear();
            self.reconsider(id, now);
        }
        self.forget_retired(id);
    }

    /// It said that it gets too much (4yz for reasons that lie with us all): a pause between messages, which grows each
    /// time that it says so, and half of the connections. Returns the pause in milliseconds.
    pub(super) fn throttled(&mut self, id: DestinationId, now: Instant) -> u64 {
        let Some(destination) = self.get_mut(id) else { return 0 };
        // What was under way when the pause began says it too, and says nothing new.
        if destination.throttled_ms == 0 || destination.throttle_tells_at <= now {
            let doubled = destination.throttled_ms.saturating_mul(2);
            destination.throttled_ms = doubled.clamp(THROTTLED_MS, THROTTLED_MS_MAX);
            destination.throttle_tells_at = now.plus_ms(destination.throttled_ms);
        }
        let pause = destination.throttled_ms;
        destination.throttled_until = now.plus_ms(pause);
        destination.connections_max = (destination.connections / 2).max(1);
        self.reconsider(id, now);
        pause
    }

    /// It took a message.
    pub(super) fn took_one(&mut self, id: DestinationId, now: Instant) {
        let Some(destination) = self.get_mut(id).filter(|d| d.throttled_ms > 0) else { return };
        let shorter = destination.throttled_ms - destination.throttled_ms / 8;
        destination.throttled_ms = if shorter < THROTTLED_MS_MIN { 0 } else { shorter };
        self.reconsider(id, now);
    }

    /// The peer sent us away in the middle of a connection (421): fewer connections if it has others, a pause if not.
    pub(super) fn sent_away(
        &mut self,
        id: DestinationId,
        reason: &str,
        now: Instant,
        random: u32,
    ) -> Option<Seconds> {
        let destination = self.get_mut(id)?;
        let pause = if destination.retired {
            None
        } else if destination.connections > 1 {
            destination.connections_max = destination.connections - 1;
            None
        } else {
            Some(destination.fail(reason, now, random))
        };
        self.reconsider(id, now);
        pause
    }

    /// A connection that was reached is closed.
    pub(super) fn closed(&mut self, id: DestinationId, now: Instant) {
        self.busy = self.busy.saturating_sub(1);
        if let Some(destination) = self.get_mut(id) {
            destination.connections = destination.connections.saturating_sub(1);
            destination.connections_max = (destination.connections_max + 1).min(SESSIONS_OUT_COUNT_MAX);
            self.reconsider(id, now);
        }
        self.forget_retired(id);
    }

    fn forget_retired(&mut self, id: DestinationId) {
        if self.get(id).is_some_and(|d| d.retired && d.is_unused()) {
            self.clear(id);
        }
    }

    /// What failed may be tried at once: one destination, or all.
    pub(super) fn hurry(&mut self, only: Option<DestinationId>, forget_failures: bool, now: Instant) {
        for (place, destination) in self.table.iter_mut().enumerate() {
            let Some(destination) = destination else { continue };
            if only.is_none_or(|only| usize::from(only.0) == place) {
                destination.probe_at = Instant(0);
                if forget_failures {
                    destination.failures = 0;
                }
            }
        }
        match only {
            Some(id) => self.reconsider(id, now),
            None => self.reconsider_all(now),
        }
    }

    /// Why nothing is delivered at present, if there is mail and all its destinations are in trouble.
    pub(super) fn obstruction(&self) -> Option<Obstruction> {
        let mut with_mail = self.all().filter(|d| d.errands > 0).peekable();
        if with_mail.peek().is_none() {
            let failing = |d: &&Destination| d.state == DestinationState::Failing && !d.retired;
            return self.all().find(failing).map(Destination::trouble);
        }
        let in_trouble = |d: &Destination| d.course.is_none() || d.state == DestinationState::Failing;
        let worst = self.all().find(|d| d.errands > 0 && in_trouble(d));
        if with_mail.all(in_trouble) { worst.map(|d| d.trouble()) } else { None }
    }

    /// Whether every worker has a connection.
    pub(super) const fn all_busy(&self) -> bool {
        self.busy >= SESSIONS_OUT_COUNT_MAX
    }

    /// Open connections, of all destinations.
    pub(super) fn connections(&self) -> usize {
        self.all().map(|d| d.connections).sum()
    }

    /// What is in the way of mail for one destination.
    pub(super) fn trouble(&self, id: DestinationId) -> Option<Obstruction> {
        let destination = self.get(id)?;
        let troubled = destination.course.is_none() || destination.state == DestinationState::Failing;
        troubled.then(|| destination.trouble())
    }

    pub(super) fn state(&self, id: DestinationId) -> DestinationState {
        self.get(id).map_or(DestinationState::Untried, |d| d.state)
    }

    pub(super) fn course(&self, id: DestinationId) -> Option<Shared> {
        self.get(id).and_then(|d| d.course.clone())
    }

    /// Whether a destination is an Exchange server of the site.
    pub(super) fn is_exchange(&self, id: DestinationId) -> bool {
        self.get(id).and_then(|d| d.course.as_ref()).is_some_and(|course| course.exchange)
    }

    /// Messages and octets of a destination.
    pub(super) fn load(&self, id: DestinationId) -> (u32, u64) {
        self.get(id).map_or((0, 0), |d| (d.errands, d.octets))
    }

    /// How a destination is named.
    pub(super) fn name(&self, id: DestinationId) -> &str {
        self.get(id).map_or("", |d| &d.name)
    }

    /// Every destination that has mail or connections or is in trouble.
    pub(super) fn views(&self) -> Vec<DestinationView> {
        let limits = self.limits;
        let shown = |d: &&Destination| !d.is_unused() || d.state == DestinationState::Failing;
        self.all().filter(shown).map(|d| d.view(limits)).collect()
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let looks = self.all().filter(|d| d.probing).count();
        assert_eq!(looks, self.looks);
        assert!(self.looks <= PROBES_COUNT_MAX && self.probes <= PROBES_FAILING_COUNT_MAX);
        assert_eq!(self.connections(), self.busy);
        for (place, destination) in self.table.iter().enumerate() {
            let Some(d) = destination else { continue };
            let id = DestinationId(u16::try_from(place).expect("small"));
            let places = [&self.living, &self.untried, &self.failing]
                .map(|lane| lane.iter().filter(|(_, other)| *other == id).count());
            assert_eq!(places.iter().sum::<usize>(), usize::from(d.lane.is_some()), "{d:?}");
            assert_eq!(self.alarms.iter().filter(|(_, o)| *o == id).count(), usize::from(d.alarm.is_some()));
            assert!(
                d.connections <= d.limits(self.limits).connections.max(1)
                    || d.state != DestinationState::Open
            );
            assert!(d.lingering <= d.connections && d.ready <= d.errands as usize, "{d:?}");
        }
    }
}

impl Destination {
    fn fail(&mut self, reason: &str, now: Instant, random: u32) -> Seconds {
        let (most, long) = match &self.course {
            Some(course) if course.is_foreign() => (PROBE_FOREIGN_MAX_S, PROBE_FOREIGN_LONG_S),
            _ => (PROBE_MAX_S, PROBE_LONG_S),
        };
        let most = if self.failures < PROBES_FAILED_LONG { most } else { long };
        let pause = backoff_s(PROBE_FIRST_S, most, self.failures, random);
        self.state = DestinationState::Failing;
        self.failures = self.failures.saturating_add(1);
        self.probe_at = now.plus_s(pause.into());
        self.reason = String::from(reason);
        pause
    }

    fn trouble(&self) -> Obstruction {
        match self.course {
            None => Obstruction::NoNextHop,
            Some(_) => Obstruction::Unreachable { until: self.probe_at, reason: self.reason.clone() },
        }
    }

    fn view(&self, limits: DestinationLimits) -> DestinationView {
        let failing = self.state == DestinationState::Failing;
        DestinationView {
            name: String::from(&*self.name),
            state: self.state,
            messages: self.errands,
            octets: self.octets,
            ready: self.ready,
            connections: self.connections,
            connections_max: self.connections_max.min(self.limits(limits).connections),
            failures: self.failures,
            next_probe: failing.then_some(self.probe_at),
            reason: self.reason.clone(),
        }
    }
}
