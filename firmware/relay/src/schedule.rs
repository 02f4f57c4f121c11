//! Who works on what, and what waits for when. In RAM only: what must survive a power cut is in the spool, and after a
//! start the schedule is made anew from it.
//!
//! # Terms
//! A *destination* is one or more hosts that recipients are routed to. An *errand* is one message for one destination: what a
//! delivery worker is given. A message has one errand for each of its destinations (at most `ERRANDS_PER_MESSAGE_MAX`
//! at a time; the other destinations follow when some end). The *attendant* is the one task that does for a message
//! what is neither deciding nor delivering: routing, the warning of a delay, giving up, reports.
//!
//! # Why no message is forgotten
//! Every message of the queue is in exactly one place ([`message::Place`]), and each place has somebody who empties it:
//!
//! | place | who takes it from there |
//! |---|---|
//! | undecided | a decider |
//! | to be decided later, resting | the clockwork, at its moment |
//! | with a decider, with the attendant | whoever has it gives it back |
//! | due | the attendant |
//! | out | its errands: each is ready (a worker takes it), waits for a moment (the clockwork), or is under way (a worker gives it back); there is at least one |
//! | off | the operator: it is held, damaged, or its outcome could not be written |
//!
//! All ways between the places go through one function, `settle_down`, which looks at what the message is and not at how
//! it got there: something to be attended to → due, no decision → undecided, no errand → to be routed, else out. A random
//! test runs every event in any order and counts after each.
//!
//! # Why a dead destination delays nobody
//! A worker is given a destination, and then a message for it; destinations that can use a worker take turns. One that
//! was never reached or does not answer gets one probe at a time, with growing pauses, and all probes together never take
//! more than `PROBES_COUNT_MAX` workers, `PROBES_BUSY_COUNT_MAX` while living destinations wait. Connections that fail
//! change nothing on flash and nothing about the messages.
//!
//! # Why nothing is lost when the clock jumps
//! Moments here are monotonic time; on flash they are operating seconds ([`crate::time::OperatingTime`]). Civil time is
//! not asked.
//!
//! # What goes first
//! Within a destination: reports and mail without sender, mail for inside destinations, other mail, bulk; each by age.
//! Every `OLDEST_EVERY`th message is the oldest, whatever its kind, so that bulk never stands.
//!
//! # More destinations than the table holds
//! A place in the table is for what can be worked on. If mail comes for one destination more, one gives its place that
//! loses nothing by it: first one whose mail waits for its moment, then one that does not answer. Its messages rest until
//! then and are routed again. So domains that are dead, however many, never keep mail for living ones waiting.
//!
//! # Size
//! Per message about 110 octets and two or three keys of 16 to 24 octets in ordered sets; per errand beyond the first of
//! a message 24 and one key; per destination about 400. With 4,096 messages, 8,192 further errands and 1,024 destinations
//! this is 1.5 MiB at most; with 4,096 messages for one next hop 0.7 MiB. Each step costs a few look-ups in ordered sets;
//! only changes of settings and commands for all messages go through everything.

mod addresses;
mod destination;
mod message;
mod plan;
#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use destination::{DestinationLimits, DestinationView};
pub(crate) use types::*;

use crate::ledger::{ClientKey, Use};
use crate::route::Way;
use crate::route::course::Shared;
use crate::time::Seconds;
use addresses::Addresses;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::net::{IpAddr, SocketAddr};
use core::task::{Poll, Waker};
use envelope::QueueId;
use limits::relay::{DECIDERS_COUNT, SESSIONS_OUT_COUNT_MAX};
use message::{ErrandState, Place};
use plan::Plan;
use platform::Instant;

/// Tasks that wait for the same thing; there are never more than workers.
type Wakers = heapless::Vec<Waker, { SESSIONS_OUT_COUNT_MAX + DECIDERS_COUNT }>;

#[derive(Default)]
struct Inner {
    plan: Plan,
    addresses: Addresses,
    deciders: Wakers,
    idle_workers: Wakers,
    connected_workers: heapless::Vec<(DestinationId, Waker), SESSIONS_OUT_COUNT_MAX>,
    attendant: Option<Waker>,
    clockwork: Option<Waker>,
    /// Whether the clockwork has something new to look at.
    clock_changed: bool,
}

/// The schedule. Never borrowed across an await.
#[derive(Default)]
pub(crate) struct Schedule {
    inner: RefCell<Inner>,
}

fn wake_all(wakers: &mut Wakers) {
    for waker in core::mem::take(wakers) {
        waker.wake();
    }
}

/// Registers a waker once.
fn register(wakers: &mut Wakers, waker: &Waker) {
    if wakers.iter().any(|w| w.will_wake(waker)) {
        return;
    }
    if wakers.is_full() {
        // An executor whose wakers do not know each other: those that still wait register again.
        wake_all(wakers);
    }
    // There is room now.
    _ = wakers.push(waker.clone());
}

impl Inner {
    fn register_connected(&mut self, destination: DestinationId, waker: &Waker) {
        let known = |(other, w): &(DestinationId, Waker)| *other == destination && w.will_wake(waker);
        if self.connected_workers.iter().any(known) {
            return;
        }
        if self.connected_workers.is_full() {
            self.wake_connected(|_| true);
        }
        // There is room now.
        _ = self.connected_workers.push((destination, waker.clone()));
    }

    fn wake_connected(&mut self, whom: impl Fn(DestinationId) -> bool) {
        self.connected_workers.retain(|(destination, waker)| {
            let wake = whom(*destination);
            if wake {
                waker.wake_by_ref();
            }
            !wake
        });
    }

    /// Wakes whom the last step concerns.
    fn wake(&mut self) {
        let wake = core::mem::take(&mut self.plan.queues.wake);
        let destinations = &mut self.plan.queues.destinations;
        let lanes_grew = core::mem::take(&mut destinations.lanes_grew);
        let clockwork = core::mem::take(&mut destinations.alarms_grew) || wake.clockwork;
        // Workers that wait with a connection make room for others.
        let rang = core::mem::take(&mut destinations.alarm_rang);
        let all_connected = wake.all_connected || rang || (lanes_grew && destinations.all_busy());
        if wake.deciders {
            wake_all(&mut self.deciders);
        }
        if wake.attendant
            && let Some(waker) = self.attendant.take()
        {
            waker.wake();
        }
        if all_connected {
            self.wake_connected(|_| true);
        } else if !wake.connected.is_empty() {
            self.wake_connected(|destination| wake.connected.contains(&destination));
        }
        if lanes_grew {
            wake_all(&mut self.idle_workers);
        }
        if clockwork {
            self.clock_changed = true;
            if let Some(waker) = self.clockwork.take() {
                waker.wake();
            }
        }
    }
}

impl Schedule {
    /// Does one step and wakes whom it concerns.
    fn step<T>(&self, step: impl FnOnce(&mut Plan) -> T) -> T {
        let mut inner = self.inner.borrow_mut();
        let done = step(&mut inner.plan);
        inner.wake();
        done
    }

    /// Puts a message onto the schedule that was not on it, or was off.
    pub(crate) fn add(&self, id: QueueId, new: NewMessage<'_>, now: Instant) {
        self.step(|plan| plan.add(id, new, now));
    }

    /// Puts a message onto the schedule for which nothing is planned: it is held or damaged.
    pub(crate) fn add_off(&self, id: QueueId, size: u32, now: Instant) {
        self.step(|plan| plan.add_off(id, size, now));
    }

    /// The message has left the queue, by the hand of the caller.
    pub(crate) fn forget(&self, id: QueueId, now: Instant) {
        self.step(|plan| plan.forget(id, now));
    }

    /// Takes a message off the schedule, for the operator. Returns whether that was possible: not while it is in
    /// somebody's hands.
    pub(crate) fn withdraw(&self, id: QueueId, now: Instant) -> bool {
        self.step(|plan| plan.withdraw(id, now))
    }

    /// Whether somebody works on the message at this moment.
    pub(crate) fn is_in_hands(&self, id: QueueId) -> bool {
        self.inner.borrow().plan.get(id).is_some_and(message::Message::is_in_hands)
    }

    /// Whether nobody has the message and nothing is planned for it. Not so for a report that is not on the schedule yet,
    /// because its message must be marked first.
    pub(crate) fn is_stuck(&self, id: QueueId) -> bool {
        self.inner.borrow().plan.get(id).is_some_and(|message| message.place == Place::Off)
    }

    /// Keeps why a message waits or is stuck, until it moves on or is taken away. Returns whether that is news.
    pub(crate) fn explain(&self, id: QueueId, reason: &str) -> bool {
        let mut inner = self.inner.borrow_mut();
        let Some(message) = inner.plan.get_mut(id) else { return true };
        let before = message.reason.replace(Box::from(reason));
        before.is_none_or(|before| *before != *reason)
    }

    /// Why a message waits, if that is known here.
    pub(crate) fn reason(&self, id: QueueId) -> Option<String> {
        self.inner.borrow().plan.get(id).and_then(|message| message.reason.as_deref().map(String::from))
    }

    /// When the next step of a waiting message is due; `None` if it is due now, in hands, or not scheduled, or if all of it
    /// waits for destinations in trouble: that is what [`Self::obstruction_of`] tells.
    pub(crate) fn due_at(&self, id: QueueId) -> Option<Instant> {
        let inner = self.inner.borrow();
        let message = inner.plan.get(id)?;
        let destinations = &inner.plan.queues.destinations;
        match message.place {
            Place::Later(at) | Place::Resting(at) => Some(at),
            Place::Out if !message.is_in_hands() => {
                let at = |trip: &message::Trip| match trip.state {
                    ErrandState::At(at) => Some(at),
                    _ => destinations.trouble(trip.destination).is_none().then_some(Instant(0)),
                };
                message.trips().filter_map(at).min().filter(|at| *at > Instant(0))
            }
            _ => None,
        }
    }

    /// The errands of a message.
    pub(crate) fn errands(&self, id: QueueId) -> Vec<ErrandView> {
        let inner = self.inner.borrow();
        let Some(message) = inner.plan.get(id) else { return Vec::new() };
        let view = |trip: &message::Trip| ErrandView {
            destination: String::from(inner.plan.queues.destinations.name(trip.destination)),
            state: match trip.state {
                ErrandState::Parked => ErrandStage::Waiting,
                ErrandState::At(at) => ErrandStage::Until(at),
                ErrandState::Ready(_) => ErrandStage::Ready,
                ErrandState::UnderWay => ErrandStage::UnderWay,
            },
        };
        message.trips().map(view).collect()
    }

    /// What keeps a message from leaving, if all its destinations are in trouble.
    pub(crate) fn obstruction_of(&self, id: QueueId) -> Option<Obstruction> {
        let inner = self.inner.borrow();
        let destinations = &inner.plan.queues.destinations;
        let mut first = None;
        for trip in inner.plan.get(id)?.trips() {
            let trouble = destinations.trouble(trip.destination)?;
            first.get_or_insert(trouble);
        }
        first
    }

    /// Every destination that has mail or connections or is in trouble.
    pub(crate) fn destinations(&self) -> Vec<DestinationView> {
        self.inner.borrow().plan.queues.destinations.views()
    }

    /// Why nothing is delivered at present, if that is so for all destinations that have mail. Without mail: whether
    /// the last that was tried answered.
    pub(crate) fn obstruction(&self) -> Option<Obstruction> {
        self.inner.borrow().plan.queues.destinations.obstruction()
    }

    /// Open connections, of all destinations.
    pub(crate) fn connections(&self) -> usize {
        self.inner.borrow().plan.queues.destinations.connections()
    }

    /// What is known of a destination.
    pub(crate) fn state_of(&self, name: &str) -> DestinationState {
        let inner = self.inner.borrow();
        let destinations = &inner.plan.queues.destinations;
        destinations.find(name).map_or(DestinationState::Untried, |id| destinations.state(id))
    }

    /// Makes all messages due now that wait for a decision.
    pub(crate) fn hurry_decisions(&self, now: Instant) {
        self.step(|plan| plan.hurry_decisions(now));
    }

    /// Makes waiting messages due now: one or all.
    pub(crate) fn hurry(&self, only: Option<QueueId>, now: Instant) {
        self.step(|plan| plan.hurry(only, now));
    }

    /// The appliance's own network came back: probes that failed without it say nothing about the next hops.
    pub(crate) fn network_is_up(&self, now: Instant) {
        self.step(|plan| plan.queues.destinations.hurry(None, true, now));
    }

    /// The routes changed: everything is routed anew, and connections to what is no destination any more get nothing.
    pub(crate) fn reroute(&self, now: Instant) {
        self.step(|plan| plan.reroute(now));
    }

    /// What the operator allows each destination.
    pub(crate) fn set_limits(&self, limits: DestinationLimits, now: Instant) {
        self.step(|plan| plan.queues.destinations.set_limits(limits, now));
    }

    /// The destination that a way leads to, for [`NewMessage`] and [`Leg`]: to be used before anything else happens.
    /// `None`: there are too many for now; the message is to be routed again later.
    pub(crate) fn destination(&self, way: &Way<'_>, now: Instant) -> Option<DestinationId> {
        self.step(|plan| plan.enter(way, now))
    }

    /// How a destination is reached that a worker has an errand for.
    pub(crate) fn course(&self, destination: DestinationId) -> Option<Shared> {
        self.inner.borrow().plan.queues.destinations.course(destination)
    }

    /// DNS said for good that nobody is there; in place of [`Self::reached`] or [`Self::unreachable`].
    pub(crate) fn needless(&self, destination: DestinationId, now: Instant) {
        self.step(|plan| plan.queues.destinations.needless(destination, now));
    }

    /// A destination said that it gets too much. Returns the milliseconds between two messages from now on.
    pub(crate) fn throttled(&self, destination: DestinationId, now: Instant) -> u64 {
        self.step(|plan| plan.queues.destinations.throttled(destination, now))
    }

    /// A destination took a message.
    pub(crate) fn took_one(&self, destination: DestinationId, now: Instant) {
        self.step(|plan| plan.queues.destinations.took_one(destination, now));
    }

    /// Whether a destination is not known to be in trouble for that reason.
    pub(crate) fn is_news(&self, destination: DestinationId, reason: &str) -> bool {
        let trouble = self.inner.borrow().plan.queues.destinations.trouble(destination);
        !matches!(trouble, Some(Obstruction::Unreachable { reason: known, .. }) if known == reason)
    }

    /// Whether an address did not serve when it was last tried, and is not yet worth to be tried before others.
    pub(crate) fn is_down(&self, address: SocketAddr, now: Instant) -> bool {
        self.inner.borrow().addresses.is_down(address, now)
    }

    /// An address did not serve.
    pub(crate) fn address_failed(&self, address: SocketAddr, now: Instant, random: u32) {
        self.inner.borrow_mut().addresses.failed(address, now, random);
    }

    /// An address served.
    pub(crate) fn address_served(&self, address: SocketAddr) {
        self.inner.borrow_mut().addresses.served(address);
    }

    /// Whether a destination is an Exchange server of the site: it gets the loop marker, and may get internal fields.
    pub(crate) fn is_exchange(&self, destination: DestinationId) -> bool {
        self.inner.borrow().plan.queues.destinations.is_exchange(destination)
    }

    /// Whether a destination has that name.
    pub(crate) fn is_named(&self, destination: DestinationId, name: &str) -> bool {
        self.inner.borrow().plan.queues.destinations.name(destination) == name
    }

    /// What mail for a destination occupies of the queue.
    pub(crate) fn used_by_destination(&self, name: &str) -> Use {
        let inner = self.inner.borrow();
        let destinations = &inner.plan.queues.destinations;
        let (messages, octets) = destinations.find(name).map_or((0, 0), |id| destinations.load(id));
        Use { messages, octets }
    }

    /// What a client occupies of the queue.
    pub(crate) fn used_by_client(&self, client: IpAddr) -> Use {
        self.inner.borrow().plan.ledger.used(ClientKey::new(client))
    }

    /// Counts a message of a client that is arriving, until the claim is dropped.
    pub(crate) fn claim(&self, client: IpAddr, octets: u64) -> Claim<'_> {
        let client = ClientKey::new(client);
        self.inner.borrow_mut().plan.ledger.add(client, octets);
        Claim { schedule: self, client, octets }
    }

    /// The next message to decide about.
    pub(crate) async fn next_undecided(&self) -> QueueId {
        poll_fn(|cx| {
            let mut inner = self.inner.borrow_mut();
            if let Some(id) = inner.plan.take_undecided() {
                return Poll::Ready(id);
            }
            register(&mut inner.deciders, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// A decider gives a message back.
    pub(crate) fn decided(&self, id: QueueId, decided: Decided, now: Instant) {
        self.step(|plan| plan.decided(id, decided, now));
    }

    /// The next message that must be attended to, and what is to be done.
    pub(crate) async fn next_due(&self) -> (QueueId, Tasks) {
        poll_fn(|cx| {
            let mut inner = self.inner.borrow_mut();
            if let Some(due) = inner.plan.take_due() {
                return Poll::Ready(due);
            }
            inner.attendant = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// The attendant gives a message back; with [`Attended::Later`], `again` is what is to be done then.
    pub(crate) fn attended(&self, id: QueueId, attended: Attended, again: Tasks, now: Instant) {
        self.step(|plan| plan.attended(id, attended, again, now));
    }

    /// Sets when the age of a message is looked at next.
    pub(crate) fn set_age_at(&self, id: QueueId, at: Option<Instant>) {
        self.step(|plan| plan.set_age_at(id, at));
    }

    /// As [`Self::set_age_at`], because settings have changed.
    pub(crate) fn review_age(&self, id: QueueId, at: Option<Instant>, now: Instant) {
        self.step(|plan| plan.review_age(id, at, now));
    }

    /// Keeps what only the envelope on flash tells of a message that the attendant has.
    pub(crate) fn know(&self, id: QueueId, client: Option<IpAddr>, priority: Priority) {
        self.inner.borrow_mut().plan.know(id, client, priority);
    }

    /// The next errand for a worker without a connection, and how to meet its destination. Counts the connection that it
    /// will open: [`Self::unreachable`], or [`Self::reached`] and later [`Self::closed`], must follow.
    pub(crate) async fn next_errand(&self, now: impl Fn() -> Instant) -> (Errand, Look) {
        poll_fn(|cx| {
            let taken = self.step(|plan| plan.take_for_idle(now()));
            match taken {
                Some(taken) => Poll::Ready(taken),
                None => {
                    register(&mut self.inner.borrow_mut().idle_workers, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// The next errand for a worker whose connection to `destination` is open and has carried `sent` messages. `None`:
    /// end it, others need the worker or no route leads there any more. Dropping the future gives the place up.
    pub(crate) async fn next_errand_connected(
        &self,
        destination: DestinationId,
        sent: u32,
        now: impl Fn() -> Instant,
    ) -> Option<Errand> {
        let mut place = None;
        poll_fn(|cx| {
            let taken = self.step(|plan| plan.take_for_connected(destination, sent, now()));
            match taken {
                Ok(errand) => Poll::Ready(Some(errand)),
                Err(Connected::Leave) => Poll::Ready(None),
                Err(_) => {
                    if place.is_none() {
                        place = Some(Lingering::new(self, destination, now()));
                    }
                    self.inner.borrow_mut().register_connected(destination, cx.waker());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// A worker gives an errand back. `news`: a recipient has failed, or was delivered and its sender wants to hear of
    /// it.
    pub(crate) fn done(&self, errand: Errand, after: After, news: bool, now: Instant) {
        self.step(|plan| plan.errand_done(errand, after, news, now));
    }

    /// The clockwork: makes waiting messages due when their moment comes. One task runs it for ever.
    pub(crate) async fn run<T: platform::Timer>(&self, timer: &T) -> ! {
        loop {
            let now = timer.now();
            let next = self.step(|plan| plan.turn(now));
            if next.is_some_and(|at| at <= now) {
                // There is more; the others get their turn in between.
                embassy_futures::yield_now().await;
                continue;
            }
            let sleep = async {
                match next {
                    Some(at) => timer.sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            embassy_futures::select::select(sleep, self.clock_changed()).await;
        }
    }

    /// Ends when a moment was added that lies before all others.
    async fn clock_changed(&self) {
        poll_fn(|cx| {
            let mut inner = self.inner.borrow_mut();
            if core::mem::take(&mut inner.clock_changed) {
                return Poll::Ready(());
            }
            inner.clockwork = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// A connection was opened and greeted. `false`: no route leads there any more.
    pub(crate) fn reached(&self, destination: DestinationId, now: Instant) -> bool {
        self.step(|plan| plan.queues.destinations.reached(destination, now))
    }

    /// No connection came about. Returns the seconds until the next probe, `None` if other connections work and only
    /// their number seems to be limited, or if no route leads there any more.
    pub(crate) fn unreachable(
        &self,
        destination: DestinationId,
        reason: &str,
        now: Instant,
        random: u32,
    ) -> Option<Seconds> {
        self.step(|plan| plan.queues.destinations.unreachable(destination, reason, now, random))
    }

    /// The peer sent us away in the middle of a transaction (421). Returns as [`Self::unreachable`]; the connection still
    /// counts until [`Self::closed`].
    pub(crate) fn sent_away(
        &self,
        destination: DestinationId,
        reason: &str,
        now: Instant,
        random: u32,
    ) -> Option<Seconds> {
        self.step(|plan| plan.queues.destinations.sent_away(destination, reason, now, random))
    }

    /// A connection that was reached is closed.
    pub(crate) fn closed(&self, destination: DestinationId, now: Instant) {
        self.step(|plan| plan.queues.destinations.closed(destination, now));
    }

    /// Gives nothing out any more; what is in hands is finished. The machine goes down.
    pub(crate) fn stop(&self) {
        self.inner.borrow_mut().plan.stopping = true;
    }

    /// Whether nobody has a message in hands.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.borrow().plan.is_idle()
    }
}

/// A message that is arriving, counted for its client.
pub(crate) struct Claim<'s> {
    schedule: &'s Schedule,
    client: ClientKey,
    octets: u64,
}

impl Claim<'_> {
    /// Counts so many octets, if that is more than before. Returns what the client occupies now.
    pub(crate) fn raise(&mut self, octets: u64) -> Use {
        let ledger = &mut self.schedule.inner.borrow_mut().plan.ledger;
        if let Some(more) = octets.checked_sub(self.octets) {
            ledger.grow(self.client, more);
            self.octets = octets;
        }
        ledger.used(self.client)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.schedule.inner.borrow_mut().plan.ledger.remove(self.client, self.octets);
    }
}

/// A worker that waits with an open connection.
struct Lingering<'s> {
    schedule: &'s Schedule,
    destination: DestinationId,
    since: Instant,
}

impl<'s> Lingering<'s> {
    fn new(schedule: &'s Schedule, destination: DestinationId, now: Instant) -> Self {
        schedule.step(|plan| plan.queues.destinations.linger(destination, true, now));
        Self { schedule, destination, since: now }
    }
}

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        // An earlier moment than now only delays what has a rate, until its alarm.
        self.schedule.step(|plan| plan.queues.destinations.linger(self.destination, false, self.since));
    }
}
