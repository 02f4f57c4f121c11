//! The schedule, situation by situation.

use super::*;
use crate::route::Course;
use alloc::rc::Rc;
use settings::Settings;

struct Plans {
    plan: Plan,
    settings: Settings,
}

fn at(seconds: u64) -> Instant {
    Instant(0).plus_s(seconds)
}

impl Plans {
    /// A plan with messages 1, 2, 3 … for one destination.
    fn new(messages: u64) -> Self {
        let mut settings = Settings::default();
        settings.set("next-hop", "10.0.0.25").expect("a next hop");
        let mut this = Self { plan: Plan::default(), settings };
        let to = this.destination("a");
        for id in 1..=messages {
            this.add(id, Priority::Ordinary, &[to]);
        }
        this
    }

    fn destination(&mut self, name: &str) -> DestinationId {
        let course = self.settings.next_hop.clone().map(|hop| Rc::new(Course::to(hop)));
        let way = Way::found(name, name.starts_with("inside"), course);
        self.plan.enter(&way, Instant(0)).expect("the table has room")
    }

    fn add(&mut self, id: u64, priority: Priority, to: &[DestinationId]) {
        let new = NewMessage { priority, size: 1_000, client: None, decided: true, to, age_at: None };
        self.plan.add(QueueId(id), new, at(0));
        self.plan.check();
    }

    fn take(&mut self, at_s: u64) -> Option<(Errand, Look)> {
        let taken = self.plan.take_for_idle(at(at_s));
        self.plan.check();
        taken
    }

    fn take_id(&mut self, at_s: u64) -> Option<u64> {
        self.take(at_s).map(|(errand, _)| errand.id.0)
    }

    fn take_connected(&mut self, to: DestinationId, sent: u32, at_s: u64) -> Result<u64, Connected> {
        self.plan.take_for_connected(to, sent, at(at_s)).map(|errand| errand.id.0)
    }

    fn reached(&mut self, errand: Errand) {
        assert!(self.plan.queues.destinations.reached(errand.destination, at(0)));
    }

    fn unreachable(&mut self, errand: Errand, at_s: u64) -> Option<Seconds> {
        let pause = self.plan.queues.destinations.unreachable(errand.destination, "no answer", at(at_s), 0);
        self.done(errand, After::Again, at_s);
        pause
    }

    fn closed(&mut self, to: DestinationId, at_s: u64) {
        self.plan.queues.destinations.closed(to, at(at_s));
        self.plan.check();
    }

    fn done(&mut self, errand: Errand, after: After, at_s: u64) {
        self.plan.errand_done(errand, after, false, at(at_s));
        self.plan.check();
    }

    fn turn(&mut self, at_s: u64) -> Option<Instant> {
        let next = self.plan.turn(at(at_s));
        self.plan.check();
        next
    }

    fn obstruction(&self) -> Option<Obstruction> {
        self.plan.queues.destinations.obstruction()
    }
}

#[test]
fn a_destination_that_was_never_reached_gets_one_look_and_then_everybody() {
    let mut plans = Plans::new(3);
    let (errand, look) = plans.take(0).expect("the first look");
    assert_eq!((errand.id, look), (QueueId(1), Look::First));
    assert_eq!(plans.take(0), None);
    plans.reached(errand);
    assert_eq!(plans.take(0).map(|(errand, look)| (errand.id.0, look)), Some((2, Look::Known)));
    assert_eq!(plans.take_id(0), Some(3));
    assert_eq!(plans.take(0), None);
}

#[test]
fn probes_of_a_dead_destination_come_one_by_one_with_growing_pauses() {
    let mut plans = Plans::new(2);
    let (mut now_s, mut pauses) = (0, Vec::new());
    for round in 0..6 {
        plans.turn(now_s);
        let (errand, look) = plans.take(now_s).expect("the probe is due");
        assert_eq!(look == Look::First, round == 0);
        assert_eq!(plans.take(now_s), None);
        let pause = plans.unreachable(errand, now_s).expect("nothing else works");
        let early = now_s + u64::from(pause) - 1;
        plans.turn(early);
        assert_eq!(plans.take(early), None);
        pauses.push(pause);
        now_s += u64::from(pause);
    }
    use limits::relay::{PROBE_FIRST_S, PROBE_MAX_S};
    assert!(pauses.is_sorted() && pauses[0] <= PROBE_FIRST_S && pauses[5] <= PROBE_MAX_S, "{pauses:?}");
    assert!(matches!(plans.obstruction(), Some(Obstruction::Unreachable { .. })));
}

#[test]
fn after_the_own_network_came_back_the_next_probe_is_due_at_once() {
    let mut plans = Plans::new(1);
    let (errand, _) = plans.take(0).expect("the first look");
    plans.unreachable(errand, 0).expect("nothing else works");
    assert_eq!(plans.take(1), None);
    plans.plan.queues.destinations.hurry(None, true, at(1));
    assert!(plans.take(1).is_some());
}

#[test]
fn a_peer_that_refuses_a_further_connection_only_lowers_their_number() {
    let mut plans = Plans::new(5);
    let (first, _) = plans.take(0).expect("the first look");
    plans.reached(first);
    let (second, _) = plans.take(0).expect("another");
    assert_eq!(plans.unreachable(second, 0), None);
    assert_eq!(plans.take(0), None);
    assert_eq!(plans.obstruction(), None);
    plans.closed(first.destination, 0);
    plans.done(first, After::Gone, 0);
    assert!(plans.take(0).is_some());
}

#[test]
fn a_peer_that_sends_us_away_is_left_alone_for_a_while_and_another_message_tried_first() {
    let mut plans = Plans::new(2);
    let (first, _) = plans.take(0).expect("the first look");
    plans.reached(first);
    let pause = plans.plan.queues.destinations.sent_away(first.destination, "421", at(0), 0);
    let pause = u64::from(pause.expect("it was the only connection"));
    plans.done(first, After::SentAway(at(60)), 0);
    plans.closed(first.destination, 0);
    assert_eq!(plans.take(0), None);
    plans.turn(pause);
    let (second, _) = plans.take(pause).expect("the probe");
    assert_eq!(second.id, QueueId(2));
    plans.reached(second);
    plans.done(second, After::Gone, pause);
    plans.closed(second.destination, pause);
    plans.turn(60);
    assert_eq!(plans.take(60).map(|(errand, _)| (errand.id.0, errand.sent_away)), Some((1, 1)));
}

#[test]
fn after_a_change_of_routes_everything_is_routed_anew_and_old_connections_get_nothing() {
    let mut plans = Plans::new(3);
    let (errand, _) = plans.take(0).expect("the first look");
    plans.reached(errand);
    plans.plan.reroute(at(1));
    plans.plan.check();
    let old = errand.destination;
    assert_eq!(plans.take_connected(old, 1, 1), Err(Connected::Leave));
    for id in [2, 3] {
        let tasks = Tasks { route: true, ..Tasks::default() };
        assert_eq!(plans.plan.take_due(), Some((QueueId(id), tasks)));
        let to = plans.destination("b");
        assert_ne!(to, old);
        let legs = alloc::vec![Leg { destination: to, due: at(0) }];
        plans.plan.attended(QueueId(id), Attended::Routed(legs, false), Tasks::default(), at(1));
        plans.plan.check();
    }
    assert_eq!(plans.plan.take_due(), None, "the first is under way");
    plans.done(errand, After::At(at(100)), 1);
    assert_eq!(plans.plan.take_due().map(|(id, _)| id), Some(QueueId(1)));
    plans.closed(old, 1);
    assert_eq!(plans.take_id(1), Some(2));
}

#[test]
fn after_a_change_of_routes_nobody_waits_for_what_the_old_ones_deserved() {
    let mut plans = Plans::new(1);
    let (errand, _) = plans.take(0).expect("the first look");
    plans.reached(errand);
    plans.done(errand, After::At(at(3_600)), 0);
    plans.plan.reroute(at(1));
    plans.plan.hurry(None, at(1));
    plans.plan.check();
    assert!(plans.plan.take_due().is_some_and(|(id, tasks)| id == QueueId(1) && tasks.route));
    let to = plans.destination("b");
    let legs = alloc::vec![Leg { destination: to, due: at(3_600) }];
    plans.plan.attended(QueueId(1), Attended::Routed(legs, false), Tasks::default(), at(1));
    assert!(plans.take(1).is_some_and(|(errand, _)| errand.destination == to && errand.hurried));
}

#[test]
fn a_message_for_which_nothing_is_planned_is_off_and_can_come_back() {
    let mut plans = Plans::new(1);
    let (errand, _) = plans.take(0).expect("the first look");
    plans.done(errand, After::Off, 0);
    assert_eq!(plans.plan.get(QueueId(1)).map(|m| m.place), Some(Place::Off));
    assert_eq!(plans.turn(1_000_000), None);
    plans.add(1, Priority::Ordinary, &[]);
    assert_eq!(plans.plan.take_due().map(|(_, tasks)| tasks.route), Some(true));
}

#[test]
fn what_is_in_hands_is_not_taken_off_the_schedule() {
    let mut plans = Plans::new(2);
    let (errand, _) = plans.take(0).expect("the first look");
    assert!(!plans.plan.withdraw(errand.id, at(0)));
    assert!(plans.plan.withdraw(QueueId(2), at(0)));
    plans.reached(errand);
    assert_eq!(plans.take(0), None);
}

#[test]
fn waiting_errands_become_due_in_their_time_or_when_they_are_hurried() {
    let mut plans = Plans::new(2);
    let (first, _) = plans.take(0).expect("the first look");
    plans.reached(first);
    let (second, _) = plans.take(0).expect("the second");
    plans.done(first, After::At(at(30)), 0);
    plans.done(second, After::At(at(10)), 0);
    plans.closed(first.destination, 0);
    plans.closed(first.destination, 0);
    assert_eq!(plans.turn(0), Some(at(10)));
    assert_eq!(plans.turn(10), Some(at(30)));
    assert_eq!(plans.take(10).map(|(errand, _)| (errand.id.0, errand.hurried)), Some((2, false)));
    plans.plan.hurry(Some(QueueId(1)), at(10));
    plans.plan.check();
    assert_eq!(plans.take(10).map(|(errand, _)| (errand.id.0, errand.hurried)), Some((1, true)));
}

#[test]
fn four_hundred_dead_destinations_leave_workers_to_the_living_one() {
    let mut plans = Plans::new(0);
    let living = plans.destination("living");
    plans.add(1, Priority::Ordinary, &[living]);
    let (errand, _) = plans.take(0).expect("the first look");
    plans.reached(errand);
    for number in 0..400 {
        let dead = plans.destination(&alloc::format!("dead{number}"));
        plans.add(1_000 + number, Priority::Ordinary, &[dead]);
    }
    let mut looks = 0;
    while plans.take(0).is_some() {
        looks += 1;
    }
    assert_eq!(looks, limits::relay::PROBES_COUNT_MAX, "nothing living waits, so the dead get most workers");
    for id in 2..=20 {
        plans.add(id, Priority::Ordinary, &[living]);
    }
    let mut to_living = 0;
    while let Some((errand, look)) = plans.take(0) {
        assert_eq!((errand.destination, look), (living, Look::Known));
        to_living += 1;
        if to_living == 3 {
            break;
        }
    }
    assert_eq!(to_living, 3, "and the others are there for the living");
}

#[test]
fn destinations_take_turns_however_much_waits_for_one() {
    let mut plans = Plans::new(100);
    let other = plans.destination("b");
    plans.add(1_000, Priority::Ordinary, &[other]);
    plans.add(1_001, Priority::Ordinary, &[other]);
    let (a, _) = plans.take(0).expect("a look at a");
    let (b, _) = plans.take(0).expect("a look at b");
    plans.reached(a);
    plans.reached(b);
    let to: Vec<_> = (0..2).filter_map(|_| plans.take(0)).map(|(errand, _)| errand.destination).collect();
    assert!(to.contains(&a.destination) && to.contains(&other), "{to:?}");
}

#[test]
fn a_busy_connection_makes_room_when_others_wait_and_all_workers_are_taken() {
    let mut plans = Plans::new(200);
    let (first, _) = plans.take(0).expect("the first look");
    plans.reached(first);
    while plans.take(0).is_some() {}
    let (a, turn) = (first.destination, limits::relay::MESSAGES_PER_TURN_MAX);
    assert!(plans.take_connected(a, turn, 0).is_ok(), "nobody else waits");
    let other = plans.destination("b");
    plans.add(1_000, Priority::Ordinary, &[other]);
    assert!(plans.take_connected(a, turn - 1, 0).is_ok());
    assert_eq!(plans.take_connected(a, turn, 0), Err(Connected::Leave));
}

#[test]
fn urgent_mail_goes_first_and_bulk_does_not_starve() {
    let mut plans = Plans::new(0);
    let to = plans.destination("a");
    plans.add(1, Priority::Bulk, &[to]);
    for id in 2..=9 {
        plans.add(id, Priority::Ordinary, &[to]);
    }
    plans.add(10, Priority::Report, &[to]);
    let (first, _) = plans.take(0).expect("the first look");
    plans.reached(first);
    let order: Vec<_> = (0..9).map_while(|sent| plans.take_connected(to, sent, 0).ok()).collect();
    assert_eq!(first.id, QueueId(10));
    assert_eq!(order[..3], [2, 3, 1], "every fourth is the oldest");
    assert_eq!(order.len(), 9);
}

#[test]
fn mail_for_inside_goes_before_mail_for_outside_where_both_are_ordinary() {
    let mut plans = Plans::new(0);
    let inside = plans.destination("inside");
    assert_eq!(plans.plan.queues.destinations.priority(inside), Priority::Inside);
    let outside = plans.destination("outside");
    assert_eq!(plans.plan.queues.destinations.priority(outside), Priority::Ordinary);
}

#[test]
fn a_rate_limits_what_a_destination_gets_in_any_minute() {
    let mut plans = Plans::new(200);
    let limits = DestinationLimits { connections: 2, rate: 30 };
    plans.plan.queues.destinations.set_limits(limits, at(0));
    let (first, _) = plans.take(0).expect("the first look");
    plans.reached(first);
    let mut taken = 1;
    let mut most = 0;
    let mut by_second = Vec::new();
    for second in 0..300 {
        plans.turn(second);
        while let Ok(id) = plans.take_connected(first.destination, 1, second) {
            plans.plan.forget(QueueId(id), at(second));
            taken += 1;
        }
        by_second.push(taken);
        if second >= 60 {
            most = most.max(taken - by_second[usize::try_from(second - 60).expect("small")]);
        }
    }
    assert!((30..=30 + 5).contains(&most), "{most} in a minute");
    assert!(taken > 140, "{taken} in five minutes");
}

#[test]
fn no_destination_gets_more_connections_than_are_allowed() {
    let mut plans = Plans::new(50);
    let limits = DestinationLimits { connections: 3, rate: 0 };
    plans.plan.queues.destinations.set_limits(limits, at(0));
    let (first, _) = plans.take(0).expect("the first look");
    plans.reached(first);
    let others = core::iter::from_fn(|| plans.take(0)).count();
    assert_eq!(1 + others, 3);
}

#[test]
fn a_message_of_several_destinations_is_settled_when_the_living_have_answered() {
    let mut plans = Plans::new(0);
    let (living, dead) = (plans.destination("living"), plans.destination("dead"));
    plans.add(1, Priority::Ordinary, &[living, dead]);
    let (first, _) = plans.take(0).expect("a look");
    let (second, _) = plans.take(0).expect("a look");
    assert_eq!((first.id, second.id), (QueueId(1), QueueId(1)));
    plans.reached(first);
    // The living one refuses a recipient for good while the other is still looked for.
    plans.plan.errand_done(first, After::Finished, true, at(0));
    plans.plan.check();
    assert_eq!(plans.plan.take_due(), None);
    plans.unreachable(second, 5).expect("nothing else works");
    let (id, tasks) = plans.plan.take_due().expect("the sender hears of it at once");
    assert!(id == QueueId(1) && tasks.settle);
    plans.plan.attended(id, Attended::Done, Tasks::default(), at(5));
    plans.plan.check();
    plans.turn(100);
    assert_eq!(plans.take_id(100), Some(1), "and the dead one is probed on");
}

#[test]
fn more_destinations_than_errands_are_served_one_after_the_other() {
    use limits::relay::{ERRANDS_PER_MESSAGE_MAX, ROUTE_AGAIN_S};
    let mut plans = Plans::new(0);
    let to: Vec<_> = (0..100).map(|n| plans.destination(&alloc::format!("d{n}"))).collect();
    plans.add(1, Priority::Bulk, &to);
    assert_eq!(plans.plan.get(QueueId(1)).map(|m| m.trips().count()), Some(ERRANDS_PER_MESSAGE_MAX));
    assert_eq!(plans.turn(0), Some(at(ROUTE_AGAIN_S)));
    plans.turn(ROUTE_AGAIN_S);
    assert_eq!(plans.plan.take_due().map(|(_, tasks)| tasks.route), Some(true));
}

#[test]
fn undecided_mail_ages_too_and_a_decision_that_runs_is_waited_for() {
    let mut plans = Plans::new(0);
    for id in [1, 2] {
        let new = NewMessage {
            priority: Priority::Ordinary,
            size: 1,
            client: None,
            decided: false,
            to: &[],
            age_at: Some(at(100)),
        };
        plans.plan.add(QueueId(id), new, at(0));
    }
    assert_eq!(plans.plan.take_undecided(), Some(QueueId(1)));
    plans.turn(100);
    let (id, tasks) = plans.plan.take_due().expect("its time has come");
    assert!(id == QueueId(2) && tasks.age);
    assert_eq!(plans.plan.take_due(), None, "the other is being decided");
    plans.plan.decided(QueueId(1), Decided::Later(at(130)), at(100));
    assert_eq!(plans.plan.take_due().map(|(id, _)| id), Some(QueueId(1)));
    plans.plan.check();
}

#[test]
fn what_a_client_and_a_destination_occupy_is_counted_and_given_back() {
    let mut plans = Plans::new(0);
    let to = [plans.destination("a")];
    let client = IpAddr::from([10, 1, 0, 7]);
    let new = |size| NewMessage {
        priority: Priority::Ordinary,
        size,
        client: Some(client),
        decided: true,
        to: &to,
        age_at: None,
    };
    plans.plan.add(QueueId(1), new(100), at(0));
    plans.plan.add(QueueId(2), new(50), at(0));
    let used = |plans: &Plans| plans.plan.ledger.used(ClientKey::new(client));
    assert_eq!(used(&plans), Use { messages: 2, octets: 150 });
    assert_eq!(plans.plan.queues.destinations.load(to[0]), (2, 150));
    assert!(plans.plan.withdraw(QueueId(1), at(0)));
    assert_eq!(used(&plans), Use { messages: 2, octets: 150 }, "held mail counts for its client");
    assert_eq!(plans.plan.queues.destinations.load(to[0]), (1, 50), "and for no destination");
    plans.plan.forget(QueueId(1), at(0));
    plans.plan.forget(QueueId(2), at(0));
    assert_eq!((used(&plans), plans.plan.ledger.total()), (Use::default(), Use::default()));
}

#[test]
fn mail_that_is_held_counts_for_its_client_until_it_leaves() {
    let mut plans = Plans::new(0);
    let (id, client) = (QueueId(1), IpAddr::from([10, 0, 0, 9]));
    let priority = Priority::Ordinary;
    let new =
        NewMessage { priority, size: 1_000, client: Some(client), decided: true, to: &[], age_at: None };
    plans.plan.add(id, new, at(0));
    assert!(plans.plan.withdraw(id, at(1)));
    // Some of its recipients were given up, and it stays held.
    plans.plan.add_off(id, 1_000, at(2));
    plans.plan.check();
    assert_eq!(plans.plan.ledger.used(ClientKey::new(client)), Use { messages: 1, octets: 1_000 });
    plans.plan.forget(id, at(3));
    assert_eq!(plans.plan.ledger.total(), Use::default());
}

#[test]
fn released_mail_keeps_its_hour_when_settings_change() {
    let mut plans = Plans::new(1);
    plans.plan.set_age_at(QueueId(1), Some(at(3_600)));
    plans.plan.review_age(QueueId(1), Some(at(0)), at(10));
    plans.turn(11);
    assert_eq!(plans.plan.take_due(), None);
    plans.turn(3_600);
    assert!(plans.plan.take_due().is_some_and(|(_, tasks)| tasks.age));
}
