//! Which message is worked on next. In RAM only: what must survive a power cut is in the spool.
//!
//! Every message of the queue that can be worked on is in exactly one place: due for a decision, due for delivery,
//! waiting for a moment, or in somebody's hands. Held and damaged messages are in none. Each place is bounded by
//! the number of messages in the queue.
//!
//! All mail has one destination, the next hop. While it cannot be reached nothing is written to flash and nothing
//! is tried but one probe at a time, with growing pauses; the first success opens it for all workers.

use crate::time::{Seconds, backoff_s};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use envelope::QueueId;
use limits::relay::{DECIDERS_COUNT, PROBE_FIRST_S, PROBE_MAX_S, SESSIONS_OUT_COUNT_MAX};
use platform::Instant;

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// Decide about it.
    Decide,
    /// Deliver it.
    Deliver,
}

/// What becomes of a message after somebody had it in hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: it has left the queue, or waits for the operator.
    Nothing,
    /// This step, now.
    Now(Step),
    /// This step, from that moment on.
    At(Instant, Step),
}

/// Why nothing is delivered at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstruction {
    /// No next hop is set.
    NoNextHop,
    /// The next hop cannot be reached; the next probe is due then.
    Unreachable {
        /// When the next probe is due.
        until: Instant,
        /// What went wrong last.
        reason: String,
    },
}

/// A message to deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) id: QueueId,
    /// Whether this attempt decides if the destination is open.
    pub(crate) probe: bool,
    /// Which next hop it is for.
    pub(crate) hop: Hop,
}

/// Tells one setting of the next hop from the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hop(u32);

#[derive(Default)]
struct Destination {
    hop: Hop,
    /// Whether there is one at all.
    known: bool,
    /// Whether the last connection worked. While it did not, one probe at a time is let through.
    open: bool,
    probing: bool,
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
}

/// Tasks that wait for the same thing; there are never more than workers.
type Wakers = heapless::Vec<Waker, { SESSIONS_OUT_COUNT_MAX + DECIDERS_COUNT }>;

#[derive(Default)]
struct Inner {
    undecided: VecDeque<QueueId>,
    ready: VecDeque<QueueId>,
    waiting: BTreeMap<(Instant, QueueId), Step>,
    in_hands: Vec<QueueId>,
    /// Whether nothing is given out any more.
    stopping: bool,
    /// Why messages wait that wait in RAM only.
    reasons: BTreeMap<QueueId, String>,
    destination: Destination,
    deciders: Wakers,
    idle_workers: Wakers,
    connected_workers: Wakers,
    clockwork: Wakers,
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
    fn add(&mut self, id: QueueId, step: Step) {
        match step {
            Step::Decide => {
                self.undecided.push_back(id);
                wake_all(&mut self.deciders);
            }
            Step::Deliver => {
                self.ready.push_back(id);
                self.wake_workers();
                if !self.destination.open {
                    // The clock of the next probe stands while nothing is ready.
                    wake_all(&mut self.clockwork);
                }
            }
        }
    }

    /// A connected worker first: its connection is there already.
    fn wake_workers(&mut self) {
        wake_all(&mut self.connected_workers);
        if self.ready.len() > self.destination.lingering {
            wake_all(&mut self.idle_workers);
        }
    }

    fn wait(&mut self, id: QueueId, at: Instant, step: Step) {
        let is_first = self.waiting.first_key_value().is_none_or(|((first, _), _)| at < *first);
        self.waiting.insert((at, id), step);
        if is_first {
            wake_all(&mut self.clockwork);
        }
    }

    fn take_for_idle(&mut self, now: Instant) -> Option<Job> {
        let d = &mut self.destination;
        if self.stopping || !d.known || self.ready.is_empty() {
            return None;
        }
        if !d.open {
            if d.probing || now < d.probe_at {
                return None;
            }
            d.probing = true;
        } else if self.ready.len() <= d.lingering || d.connections >= d.connections_max {
            return None;
        }
        let (probe, hop) = (!d.open, d.hop);
        d.connections += 1;
        let id = self.ready.pop_front()?;
        self.in_hands.push(id);
        Some(Job { id, probe, hop })
    }

    /// Wakes up what is due, returns when to look again.
    fn turn(&mut self, now: Instant) -> Option<Instant> {
        while let Some(entry) = self.waiting.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((_, id), step) = entry.remove_entry();
            self.add(id, step);
        }
        let d = &self.destination;
        let probe_at = (d.known && !d.open && !d.probing && !self.ready.is_empty()).then_some(d.probe_at);
        if probe_at.is_some_and(|at| at <= now) {
            wake_all(&mut self.idle_workers);
        }
        let first = self.waiting.first_key_value().map(|((at, _), _)| *at);
        [first, probe_at.filter(|at| *at > now)].into_iter().flatten().min()
    }
}

impl Schedule {
    /// Puts a message that nobody has in hands on the schedule.
    pub(crate) fn add(&self, id: QueueId, next: Next) {
        let mut inner = self.inner.borrow_mut();
        match next {
            Next::Nothing => {}
            Next::Now(step) => inner.add(id, step),
            Next::At(at, step) => inner.wait(id, at, step),
        }
    }

    /// Gives back a message that was in hands.
    pub(crate) fn done(&self, id: QueueId, next: Next) {
        let mut inner = self.inner.borrow_mut();
        inner.in_hands.retain(|other| *other != id);
        if matches!(next, Next::Now(_)) {
            inner.reasons.remove(&id);
        }
        drop(inner);
        self.add(id, next);
    }

    /// Takes a message off the schedule, for the operator. Returns whether that was possible: not while it is in
    /// somebody's hands.
    pub(crate) fn withdraw(&self, id: QueueId) -> bool {
        let mut inner = self.inner.borrow_mut();
        if inner.in_hands.contains(&id) {
            return false;
        }
        inner.reasons.remove(&id);
        inner.undecided.retain(|other| *other != id);
        inner.ready.retain(|other| *other != id);
        inner.waiting.retain(|(_, other), _| *other != id);
        true
    }

    /// Whether somebody works on the message at this moment.
    pub(crate) fn is_in_hands(&self, id: QueueId) -> bool {
        self.inner.borrow().in_hands.contains(&id)
    }

    /// Whether nobody has the message and nothing is planned for it.
    pub(crate) fn is_stuck(&self, id: QueueId) -> bool {
        let inner = self.inner.borrow();
        let planned = inner.undecided.contains(&id)
            || inner.ready.contains(&id)
            || inner.waiting.keys().any(|(_, other)| *other == id);
        !planned && !inner.in_hands.contains(&id)
    }

    /// Keeps why a message waits or is stuck, until it moves on or is taken away. Returns whether that is news.
    pub(crate) fn explain(&self, id: QueueId, reason: &str) -> bool {
        let before = self.inner.borrow_mut().reasons.insert(id, String::from(reason));
        before.is_none_or(|before| before != reason)
    }

    /// Why a message waits, if that is known here.
    pub(crate) fn reason(&self, id: QueueId) -> Option<String> {
        self.inner.borrow().reasons.get(&id).cloned()
    }

    /// When the next step of a waiting message is due; `None` if it is due now, in hands, or not scheduled.
    pub(crate) fn due_at(&self, id: QueueId) -> Option<Instant> {
        self.inner.borrow().waiting.keys().find(|(_, other)| *other == id).map(|(at, _)| *at)
    }

    /// Makes all messages due now that wait for a decision.
    pub(crate) fn hurry_decisions(&self) {
        let mut inner = self.inner.borrow_mut();
        let due: Vec<_> =
            inner.waiting.iter().filter(|(_, step)| **step == Step::Decide).map(|(key, _)| *key).collect();
        for key in due {
            inner.waiting.remove(&key);
            inner.add(key.1, Step::Decide);
        }
    }

    /// Makes waiting messages due now: one or all.
    pub(crate) fn hurry(&self, only: Option<QueueId>) {
        let mut inner = self.inner.borrow_mut();
        let due: Vec<_> = inner
            .waiting
            .iter()
            .filter(|((_, id), _)| only.is_none_or(|o| o == *id))
            .map(|(k, s)| (*k, *s))
            .collect();
        for (key, step) in due {
            inner.waiting.remove(&key);
            inner.add(key.1, step);
        }
        inner.destination.probe_at = Instant(0);
        wake_all(&mut inner.idle_workers);
        wake_all(&mut inner.clockwork);
    }

    /// The appliance's own network came back: probes that failed without it say nothing about the next hop.
    pub(crate) fn network_is_up(&self) {
        let mut inner = self.inner.borrow_mut();
        (inner.destination.probe_at, inner.destination.failures) = (Instant(0), 0);
        wake_all(&mut inner.idle_workers);
    }

    /// The next message to decide about.
    pub(crate) async fn next_undecided(&self) -> QueueId {
        poll_fn(|cx| {
            let mut inner = self.inner.borrow_mut();
            if !inner.stopping
                && let Some(id) = inner.undecided.pop_front()
            {
                inner.in_hands.push(id);
                return Poll::Ready(id);
            }
            register(&mut inner.deciders, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// The next message for a worker without a connection. Counts the connection that it will open.
    pub(crate) async fn next_job(&self, now: impl Fn() -> Instant) -> Job {
        poll_fn(|cx| {
            let mut inner = self.inner.borrow_mut();
            if let Some(job) = inner.take_for_idle(now()) {
                return Poll::Ready(job);
            }
            register(&mut inner.idle_workers, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// The next message for a worker whose connection to `hop` is open; `None` once the next hop is another. Dropping the
    /// future gives the place up.
    pub(crate) async fn next_job_connected(&self, hop: Hop) -> Option<QueueId> {
        let _place = Lingering::new(self);
        poll_fn(|cx| {
            let mut inner = self.inner.borrow_mut();
            if inner.destination.hop != hop {
                return Poll::Ready(None);
            }
            if inner.destination.known
                && !inner.stopping
                && let Some(id) = inner.ready.pop_front()
            {
                inner.in_hands.push(id);
                return Poll::Ready(Some(id));
            }
            register(&mut inner.connected_workers, cx.waker());
            Poll::Pending
        })
        .await
    }

    /// The clockwork: makes waiting messages due when their moment comes. One task runs it for ever.
    pub(crate) async fn run<T: platform::Timer>(&self, timer: &T) -> ! {
        loop {
            let next = self.inner.borrow_mut().turn(timer.now());
            let sleep = async {
                match next {
                    Some(at) => timer.sleep_until(at).await,
                    None => core::future::pending().await,
                }
            };
            embassy_futures::select::select(sleep, self.changed()).await;
        }
    }

    /// Ends when a moment was added that lies before all others.
    async fn changed(&self) {
        let mut registered = false;
        poll_fn(|cx| {
            if core::mem::replace(&mut registered, true) {
                return Poll::Ready(());
            }
            register(&mut self.inner.borrow_mut().clockwork, cx.waker());
            Poll::Pending
        })
        .await;
    }

    /// The next hop was set, changed or taken away: it is open to a probe at once, and connections to the old one get
    /// nothing any more.
    pub(crate) fn set_destination(&self, known: bool) {
        let mut inner = self.inner.borrow_mut();
        let d = &mut inner.destination;
        *d = Destination {
            hop: Hop(d.hop.0.wrapping_add(1)),
            known,
            connections: d.connections,
            connections_max: SESSIONS_OUT_COUNT_MAX,
            lingering: d.lingering,
            ..Destination::default()
        };
        wake_all(&mut inner.connected_workers);
        wake_all(&mut inner.idle_workers);
    }

    /// A connection to `hop` was opened and greeted. `false`: it is not the next hop any more.
    pub(crate) fn reached(&self, hop: Hop) -> bool {
        let mut inner = self.inner.borrow_mut();
        let d = &mut inner.destination;
        if d.hop != hop {
            return false;
        }
        let was_closed = !d.open;
        (d.open, d.probing, d.failures) = (true, false, 0);
        d.reason.clear();
        if was_closed {
            d.connections_max = SESSIONS_OUT_COUNT_MAX;
        }
        wake_all(&mut inner.idle_workers);
        true
    }

    /// No connection to `hop` came about. Returns the seconds until the next probe, `None` if other connections work and
    /// only their number seems to be limited, or if it is not the next hop any more.
    pub(crate) fn unreachable(&self, hop: Hop, reason: &str, now: Instant, random: u32) -> Option<Seconds> {
        let mut inner = self.inner.borrow_mut();
        let d = &mut inner.destination;
        d.connections = d.connections.saturating_sub(1);
        if d.hop != hop {
            return None;
        }
        if d.open && d.connections > 0 {
            d.connections_max = d.connections;
            return None;
        }
        let pause = backoff_s(PROBE_FIRST_S, PROBE_MAX_S, d.failures, random);
        (d.open, d.probing) = (false, false);
        d.failures = d.failures.saturating_add(1);
        d.probe_at = now.plus_s(pause.into());
        d.reason = String::from(reason);
        wake_all(&mut inner.clockwork);
        Some(pause)
    }

    /// A connection that was reached is closed.
    pub(crate) fn closed(&self) {
        let mut inner = self.inner.borrow_mut();
        let d = &mut inner.destination;
        d.connections = d.connections.saturating_sub(1);
        d.connections_max = (d.connections_max + 1).min(SESSIONS_OUT_COUNT_MAX);
        wake_all(&mut inner.idle_workers);
    }

    /// Why nothing is delivered at present, if so.
    pub(crate) fn obstruction(&self) -> Option<Obstruction> {
        let inner = self.inner.borrow();
        let d = &inner.destination;
        if !d.known {
            return Some(Obstruction::NoNextHop);
        }
        (!d.open && d.failures > 0)
            .then(|| Obstruction::Unreachable { until: d.probe_at, reason: d.reason.clone() })
    }

    /// Gives nothing out any more; what is in hands is finished. The machine goes down.
    pub(crate) fn stop(&self) {
        self.inner.borrow_mut().stopping = true;
    }

    /// Whether nobody has a message in hands.
    pub(crate) fn is_idle(&self) -> bool {
        self.inner.borrow().in_hands.is_empty()
    }

    /// Whether the next hop served the last connection. `false` also before the first.
    pub(crate) fn is_open(&self) -> bool {
        self.inner.borrow().destination.open
    }

    /// Open connections to the next hop.
    pub(crate) fn connections(&self) -> usize {
        self.inner.borrow().destination.connections
    }
}

/// A worker that waits with an open connection.
struct Lingering<'s>(&'s Schedule);

impl<'s> Lingering<'s> {
    fn new(schedule: &'s Schedule) -> Self {
        schedule.inner.borrow_mut().destination.lingering += 1;
        Self(schedule)
    }
}

impl Drop for Lingering<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.inner.borrow_mut();
        inner.destination.lingering = inner.destination.lingering.saturating_sub(1);
        if !inner.ready.is_empty() {
            inner.wake_workers();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(messages: u64) -> Schedule {
        let schedule = Schedule::default();
        schedule.set_destination(true);
        for id in 1..=messages {
            schedule.add(QueueId(id), Next::Now(Step::Deliver));
        }
        schedule
    }

    fn take(schedule: &Schedule, at_s: u64) -> Option<Job> {
        schedule.inner.borrow_mut().take_for_idle(Instant(0).plus_s(at_s))
    }

    #[test]
    fn a_destination_that_was_never_reached_gets_one_probe_and_then_everybody() {
        let schedule = schedule(3);
        assert_eq!(take(&schedule, 0), Some(Job { id: QueueId(1), probe: true, hop: Hop(1) }));
        assert_eq!(take(&schedule, 0), None);
        assert!(schedule.reached(Hop(1)));
        assert_eq!(take(&schedule, 0), Some(Job { id: QueueId(2), probe: false, hop: Hop(1) }));
        assert_eq!(take(&schedule, 0), Some(Job { id: QueueId(3), probe: false, hop: Hop(1) }));
        assert_eq!(take(&schedule, 0), None);
    }

    #[test]
    fn probes_of_a_dead_destination_come_one_by_one_with_growing_pauses() {
        let schedule = schedule(2);
        let (mut now_s, mut pauses) = (0, Vec::new());
        for _ in 0..6 {
            let job = take(&schedule, now_s).expect("the probe is due");
            assert!(job.probe && take(&schedule, now_s).is_none());
            let pause = schedule
                .unreachable(job.hop, "no answer", Instant(0).plus_s(now_s), 0)
                .expect("nothing else works");
            schedule.done(job.id, Next::Now(Step::Deliver));
            assert_eq!(take(&schedule, now_s + u64::from(pause) - 1), None);
            pauses.push(pause);
            now_s += u64::from(pause);
        }
        assert!(pauses.is_sorted() && pauses[0] <= PROBE_FIRST_S && pauses[5] <= PROBE_MAX_S, "{pauses:?}");
        assert!(matches!(schedule.obstruction(), Some(Obstruction::Unreachable { .. })));
    }

    #[test]
    fn after_the_own_network_came_back_the_next_probe_is_due_at_once() {
        let schedule = schedule(1);
        let job = take(&schedule, 0).expect("the probe");
        schedule.unreachable(job.hop, "no network", Instant(0), 0).expect("nothing else works");
        schedule.done(job.id, Next::Now(Step::Deliver));
        assert_eq!(take(&schedule, 1), None);
        schedule.network_is_up();
        assert!(take(&schedule, 1).is_some_and(|job| job.probe));
    }

    #[test]
    fn a_peer_that_refuses_a_further_connection_only_lowers_their_number() {
        let schedule = schedule(5);
        let first = take(&schedule, 0).expect("the probe");
        assert!(schedule.reached(Hop(1)));
        let second = take(&schedule, 0).expect("another");
        assert_eq!(schedule.unreachable(second.hop, "421 too many", Instant(0), 0), None);
        schedule.done(second.id, Next::Now(Step::Deliver));
        assert_eq!(take(&schedule, 0), None);
        assert_eq!(schedule.obstruction(), None);
        schedule.closed();
        schedule.done(first.id, Next::Nothing);
        assert!(take(&schedule, 0).is_some());
    }

    #[test]
    fn what_happens_to_the_old_next_hop_says_nothing_about_the_new_one() {
        let schedule = schedule(2);
        let old = take(&schedule, 0).expect("the probe");
        schedule.set_destination(true);
        assert!(!schedule.reached(old.hop));
        let new = take(&schedule, 0).expect("a probe of the new one");
        assert_eq!(schedule.unreachable(old.hop, "no answer", Instant(0), 0), None);
        assert!(schedule.reached(new.hop));
        assert_eq!((schedule.obstruction(), schedule.connections()), (None, 1));
    }

    #[test]
    fn a_message_for_which_nothing_is_planned_is_stuck_and_keeps_its_reason() {
        let schedule = schedule(1);
        assert!(!schedule.is_stuck(QueueId(1)));
        let job = take(&schedule, 0).expect("the probe");
        assert!(!schedule.is_stuck(QueueId(1)));
        schedule.explain(job.id, "flash");
        schedule.done(job.id, Next::Nothing);
        assert!(schedule.is_stuck(QueueId(1)));
        assert_eq!(schedule.reason(QueueId(1)).as_deref(), Some("flash"));
        assert!(schedule.withdraw(QueueId(1)));
        assert_eq!(schedule.reason(QueueId(1)), None);
    }

    #[test]
    fn what_is_in_hands_is_not_taken_off_the_schedule() {
        let schedule = schedule(2);
        let job = take(&schedule, 0).expect("the probe");
        assert!(!schedule.withdraw(job.id) && schedule.is_in_hands(job.id));
        assert!(schedule.withdraw(QueueId(2)));
        assert!(schedule.reached(Hop(1)));
        assert_eq!(take(&schedule, 0), None);
    }

    #[test]
    fn waiting_messages_become_due_in_their_time_or_when_they_are_hurried() {
        let schedule = schedule(0);
        for (id, at_s) in [(1, 30), (2, 10)] {
            schedule.add(QueueId(id), Next::At(Instant(0).plus_s(at_s), Step::Deliver));
        }
        assert_eq!(schedule.due_at(QueueId(2)), Some(Instant(0).plus_s(10)));
        assert_eq!(schedule.inner.borrow_mut().turn(Instant(0)), Some(Instant(0).plus_s(10)));
        assert_eq!(schedule.inner.borrow_mut().turn(Instant(0).plus_s(10)), Some(Instant(0).plus_s(30)));
        assert_eq!(take(&schedule, 10).map(|job| job.id), Some(QueueId(2)));
        assert!(schedule.reached(Hop(1)));
        schedule.hurry(Some(QueueId(1)));
        assert_eq!(take(&schedule, 10).map(|job| job.id), Some(QueueId(1)));
    }
}
