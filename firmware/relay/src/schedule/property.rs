//! Every event in any order: after each, every message is in exactly one place, every bound is kept, and in the end
//! nothing is forgotten.

extern crate std;

use super::*;
use crate::route::Course;
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use flash_sim::Random;
use limits::relay::PROBES_COUNT_MAX;
use settings::Settings;

/// Destinations with odd numbers are dead until the end.
const DESTINATIONS: u64 = 24;
const MESSAGES: usize = 60;
const EVENTS: u32 = 4_000;

struct World {
    random: Random,
    settings: Settings,
    plan: Plan,
    now: Instant,
    next_id: u64,
    /// What is in the queue.
    alive: BTreeSet<QueueId>,
    deciding: Vec<QueueId>,
    attending: Vec<(QueueId, Tasks)>,
    /// Workers that open a connection, and workers that have one and an errand.
    looking: Vec<Errand>,
    sending: Vec<Errand>,
    /// Workers that have a connection and no errand.
    lingering: Vec<DestinationId>,
    /// The last generation of routes.
    generation: u64,
    healed: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut settings = Settings::default();
        settings.set("next-hop", "10.0.0.25").expect("a next hop");
        let mut plan = Plan::default();
        let limits = DestinationLimits { connections: 3, rate: 0 };
        plan.queues.destinations.set_limits(limits, Instant(0));
        Self {
            random: Random::new(seed),
            settings,
            plan,
            now: Instant(0),
            next_id: 1,
            alive: BTreeSet::new(),
            deciding: Vec::new(),
            attending: Vec::new(),
            looking: Vec::new(),
            sending: Vec::new(),
            lingering: Vec::new(),
            generation: 0,
            healed: false,
        }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound as usize) as u64
    }

    fn one_of<T: Copy>(&mut self, list: &[T]) -> Option<T> {
        list.get(self.random.below(list.len().max(1))).copied()
    }

    fn destinations(&mut self) -> Vec<DestinationId> {
        let count = if self.below(10) == 0 { self.below(70) } else { 1 + self.below(3) };
        (0..count)
            .map(|_| {
                let name =
                    alloc::format!("d{}-{}", self.generation, self.random.below(DESTINATIONS as usize));
                let course = self.settings.next_hop.clone().map(|hop| Rc::new(Course::to(hop)));
                self.plan.enter(&Way::found(&name, false, course), self.now).expect("the table has room")
            })
            .collect()
    }

    fn is_dead(&self, destination: DestinationId) -> bool {
        let name = self.plan.queues.destinations.name(destination);
        !self.healed && name.bytes().last().is_some_and(|digit| digit % 2 == 1)
    }

    fn arrive(&mut self) {
        if self.alive.len() >= MESSAGES {
            return;
        }
        let to = self.destinations();
        let id = QueueId(self.next_id);
        self.next_id += 1;
        self.alive.insert(id);
        let priority = [Priority::Report, Priority::Inside, Priority::Ordinary, Priority::Bulk];
        let new = NewMessage {
            priority: self.one_of(&priority).expect("four"),
            size: 100,
            client: Some([10, 0, 0, 1].into()),
            decided: self.below(2) == 0,
            to: if self.below(4) == 0 { &[] } else { &to },
            age_at: (self.below(2) == 0).then(|| self.now.plus_s(500)),
        };
        self.plan.add(id, new, self.now);
    }

    fn later(&mut self) -> Instant {
        let seconds = self.below(400);
        self.now.plus_s(seconds)
    }

    fn decide(&mut self) {
        if self.deciding.len() < DECIDERS_COUNT
            && let Some(id) = self.plan.take_undecided()
        {
            assert!(self.alive.contains(&id));
            self.deciding.push(id);
        } else if let Some(id) = self.deciding.pop() {
            let decided = match self.below(8) {
                0 => Decided::Later(self.later()),
                1 if !self.healed => Decided::Off,
                2 => {
                    self.alive.remove(&id);
                    Decided::Gone
                }
                _ => Decided::Deliver,
            };
            self.plan.decided(id, decided, self.now);
        }
    }

    fn attend(&mut self) {
        if self.attending.is_empty()
            && let Some((id, tasks)) = self.plan.take_due()
        {
            assert!(self.alive.contains(&id) && tasks.any());
            assert!(!self.sending.iter().chain(&self.looking).any(|e| e.id == id), "it is under way");
            self.attending.push((id, tasks));
        } else if let Some((id, tasks)) = self.attending.pop() {
            let attended = match self.below(10) {
                0 => Attended::Later(self.later()),
                1 if !self.healed => Attended::Off,
                2 => {
                    self.alive.remove(&id);
                    Attended::Gone
                }
                _ if tasks.route => {
                    let due = self.later();
                    let now = self.now;
                    let to = self.destinations();
                    let some_later = self.below(2) == 0;
                    let leg = |d| Leg { destination: d, due: if some_later { due } else { now } };
                    Attended::Routed(to.into_iter().map(leg).collect(), self.below(8) == 0)
                }
                _ => Attended::Done,
            };
            self.plan.attended(id, attended, tasks, self.now);
        }
    }

    fn begin(&mut self) {
        let busy = self.looking.len() + self.sending.len() + self.lingering.len();
        if busy >= SESSIONS_OUT_COUNT_MAX {
            return;
        }
        if let Some((errand, look)) = self.plan.take_for_idle(self.now) {
            assert!(self.alive.contains(&errand.id));
            let twice = |e: &Errand| e.id == errand.id && e.destination == errand.destination;
            assert!(!self.sending.iter().chain(&self.looking).any(twice), "two workers have it");
            if look == Look::Known {
                assert!(!self.is_dead(errand.destination));
            }
            self.looking.push(errand);
            assert!(self.looking.len() <= SESSIONS_OUT_COUNT_MAX);
            let probes = self.looking.iter().filter(|e| self.is_dead(e.destination)).count();
            assert!(probes <= PROBES_COUNT_MAX);
        }
    }

    fn meet(&mut self) {
        if self.looking.is_empty() {
            return;
        }
        let at = usize::try_from(self.below(self.looking.len() as u64)).expect("small");
        let errand = self.looking.swap_remove(at);
        let refused = self.below(20) == 0;
        if self.is_dead(errand.destination) || refused {
            let random = self.random.next_u64() as u32;
            self.plan.queues.destinations.unreachable(errand.destination, "dead", self.now, random);
            self.plan.errand_done(errand, After::Again, false, self.now);
        } else if self.plan.queues.destinations.reached(errand.destination, self.now) {
            self.sending.push(errand);
        } else {
            self.plan.queues.destinations.unreachable(errand.destination, "changed", self.now, 0);
            self.plan.errand_done(errand, After::Again, false, self.now);
        }
    }

    fn finish(&mut self) {
        let Some(errand) = self.sending.pop() else { return };
        let after = match self.below(12) {
            0 => After::Again,
            1 => After::At(self.later()),
            2 => After::SentAway(self.later()),
            3 => After::Decide,
            4 if !self.healed => After::Off,
            5 | 6 => After::Finished,
            _ => {
                // The message leaves the queue only if nobody else has something of it.
                let others = self.sending.iter().chain(&self.looking).any(|other| other.id == errand.id);
                if !others {
                    self.alive.remove(&errand.id);
                }
                if others { After::Finished } else { After::Gone }
            }
        };
        let news = self.below(5) == 0;
        self.plan.errand_done(errand, after, news, self.now);
        self.plan.check();
        if self.below(3) == 0 {
            self.plan.queues.destinations.closed(errand.destination, self.now);
            return;
        }
        match self.plan.take_for_connected(errand.destination, 1, self.now) {
            Ok(next) => self.sending.push(next),
            Err(Connected::Wait) => {
                self.plan.queues.destinations.linger(errand.destination, true, self.now);
                self.lingering.push(errand.destination);
            }
            Err(_) => self.plan.queues.destinations.closed(errand.destination, self.now),
        }
    }

    fn wake_or_leave(&mut self) {
        let Some(destination) = self.lingering.pop() else { return };
        self.plan.queues.destinations.linger(destination, false, self.now);
        match self.plan.take_for_connected(destination, 1, self.now) {
            Ok(errand) => self.sending.push(errand),
            Err(_) => self.plan.queues.destinations.closed(destination, self.now),
        }
    }

    fn operate(&mut self) {
        let alive: Vec<_> = self.alive.iter().copied().collect();
        let Some(id) = self.one_of(&alive) else { return };
        match self.below(6) {
            0 => _ = self.plan.withdraw(id, self.now),
            1 if self.plan.withdraw(id, self.now) => {
                self.plan.forget(id, self.now);
                self.alive.remove(&id);
            }
            2 => self.plan.hurry(Some(id), self.now),
            3 => self.plan.hurry(None, self.now),
            4 => self.plan.hurry_decisions(self.now),
            5 if self.below(5) == 0 => {
                self.generation += 1;
                self.plan.reroute(self.now);
            }
            _ => {}
        }
    }

    fn event(&mut self) {
        match self.below(20) {
            0..3 => self.arrive(),
            3..6 => self.decide(),
            6..9 => self.attend(),
            9..12 => self.begin(),
            12..14 => self.meet(),
            14..16 => self.finish(),
            16 => self.wake_or_leave(),
            17 => self.operate(),
            _ => {
                let ms = self.below(20_000);
                self.now = self.now.plus_ms(ms);
                self.plan.turn(self.now);
            }
        }
        self.plan.check();
    }

    /// Everything lives again: after a while the queue is empty but for what the operator must look after.
    fn drain(&mut self) {
        self.healed = true;
        for _ in 0..60_000 {
            if self.alive.iter().all(|id| self.plan.get(*id).is_some_and(|m| m.place == Place::Off)) {
                return;
            }
            match self.below(8) {
                0 => self.decide(),
                1 => self.attend(),
                2 => self.begin(),
                3 => self.meet(),
                4 => self.finish(),
                5 => self.wake_or_leave(),
                _ => {
                    let ms = self.below(60_000);
                    self.now = self.now.plus_ms(ms);
                    self.plan.turn(self.now);
                }
            }
        }
        let stuck: Vec<_> = self
            .alive
            .iter()
            .filter(|id| self.plan.get(**id).is_some_and(|m| m.place != Place::Off))
            .map(|id| (id, self.plan.get(*id)))
            .collect();
        panic!("forgotten: {stuck:?}");
    }
}

#[test]
fn whatever_happens_in_whatever_order_every_message_is_in_one_place_and_none_is_forgotten() {
    for seed in 0..8 {
        let told = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..EVENTS {
                world.event();
            }
            world.drain();
            let off = world.alive.len() as u32;
            assert_eq!(world.plan.ledger.total().messages, off, "what left the queue counts for nobody");
        });
        assert!(told.is_ok(), "seed {seed}");
    }
}
