//! Days without anybody to deliver to.

use sim::network::Link;
use sim::peers::Received;
use sim::report::Report;
use sim::town::Town;
use sim::world::{World, story};
use std::net::IpAddr;

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;

/// All destinations, and the host of the senders, go or come back.
fn everybody(town: &Town, link: Link) {
    for d in town.destinations.iter() {
        d.link(link);
    }
    town.world.network.set_link(IpAddr::from(sim::town::ANNS_HOST), link);
}

/// Half of the hosts refuse, half are silent, and the senders' is silent.
fn outage(town: &Town) {
    everybody(town, Link::Dark);
    for d in town.destinations.iter().step_by(2) {
        d.link(Link::Refusing);
    }
}

/// One letter every so many seconds, up to the moment `until`, in seconds of the world.
async fn trickle(world: &World, town: &Town, every_s: u64, until_s: u64) -> usize {
    let mut count = 0;
    while world.now_s() < until_s {
        let to = world.random_below(town.destinations.len() as u64) as usize;
        town.send(&format!("t{count:04}"), &[&town.at(to).mailbox("bob")]).await;
        count += 1;
        world.sleep_ms(every_s * 1_000).await;
    }
    count
}

fn reports(town: &Town) -> Vec<Report> {
    town.senders.received().iter().filter_map(Report::read).collect()
}

#[test]
fn after_five_days_without_any_destination_everything_is_delivered_once() {
    story(|world| async move {
        let town = Town::start(&world, 20, &[]).await;
        outage(&town);
        let count = trickle(&world, &town, 1_200, 5 * DAY_S - 2 * HOUR_S).await;
        assert!(count > 340, "{count}");
        world.sleep_ms(HOUR_S * 1_000).await;
        assert_eq!((town.arrived(), town.senders.count()), (0, 0));
        // An hour before the first letter would be given up.
        everybody(&town, Link::Up);
        assert!(world.wait_until(2 * HOUR_S, || town.gateway.queue_is_empty()).await);
        assert!(town.senders.received().iter().all(|r| Report::read(r).is_some()), "only reports come back");
        let counts = town.account.count(town.sinks(), &[]);
        for ((tag, _), count) in &counts {
            assert_eq!((count.copies, count.failed, count.relayed), (1, 0, 0), "{tag}");
            assert!(count.delayed <= 1, "{tag} was reported as delayed {} times", count.delayed);
        }
        // All but those of the last four hours were late, and the senders were told when they could be.
        let told = counts.values().filter(|count| count.delayed == 1).count();
        let late = count - (4 * HOUR_S - HOUR_S) as usize / 1_200;
        assert!(told.abs_diff(late) <= 2, "{told} delay reports for {late} late letters");
        assert_eq!(town.settle().await.expect_exactly_once().delivered, count);
    });
}

#[test]
fn what_outlives_its_lifetime_is_reported_once_for_each_message() {
    story(|world| async move {
        let settings = [("message-lifetime", "6h"), ("delay-warning", "1h")];
        let town = Town::start(&world, 10, &settings).await;
        outage(&town);
        world.network.set_link(IpAddr::from(sim::town::ANNS_HOST), Link::Up);
        let count = trickle(&world, &town, 240, 4 * HOUR_S).await;
        assert!(world.wait_until(8 * HOUR_S, || town.gateway.queue_is_empty()).await);
        everybody(&town, Link::Up);
        world.sleep_ms(DAY_S * 1_000).await;
        assert_eq!(town.arrived(), 0, "what was given up stays given up");
        for ((tag, to), each) in &town.account.count(town.sinks(), &[]) {
            assert_eq!((each.failed, each.delayed), (1, 1), "{tag} to {to}");
        }
        for report in reports(&town) {
            let [about] = &report.about[..] else { panic!("{report:?}") };
            let expected = if about.action == "failed" { '5' } else { '4' };
            assert!(about.status.starts_with(expected), "{about:?}");
        }
        assert_eq!(town.settle().await.expect_exactly_once().failed, count);
    });
}

/// Reports and letters that are about to be given up are told by the time at which they came.
fn hours(received: &[Received], since_s: u64) -> Vec<u64> {
    received.iter().map(|r| (r.at.0 / 1_000_000).saturating_sub(since_s) / HOUR_S).collect()
}

#[test]
fn no_jump_of_the_clock_and_no_time_without_power_ends_a_message() {
    story(|world| async move {
        let settings = [("message-lifetime", "2d"), ("delay-warning", "12h")];
        let town = Town::start(&world, 5, &settings).await;
        outage(&town);
        world.network.set_link(IpAddr::from(sim::town::ANNS_HOST), Link::Up);
        let count = trickle(&world, &town, 60, 3_600).await;
        let started_s = world.now_s();
        let attempts =
            || town.destinations.iter().map(|d| world.network.attempts(d.address).len()).sum::<usize>();
        let year = 365 * i64::try_from(DAY_S).expect("small");
        for trouble in 0..6 {
            match trouble {
                0 => town.gateway.clock.jump(year),
                1 => town.gateway.clock.set(Some(3_600)),
                2 => town.gateway.clock.set(None),
                3 => {
                    // Ten days without power, and a clock that knows it.
                    town.gateway.clock.set(Some(1_795_348_800 + world.now_s()));
                    town.gateway.power_cut();
                    world.sleep_ms(10 * DAY_S * 1_000).await;
                    assert!(town.gateway.boot().await);
                }
                4 => {
                    // Ten days more, and a clock whose battery is empty.
                    town.gateway.power_cut();
                    world.sleep_ms(10 * DAY_S * 1_000).await;
                    town.gateway.clock.set(Some(0));
                    assert!(town.gateway.boot().await);
                }
                _ => town.gateway.clock.set(Some(1_795_348_800 - 5 * 3_600)),
            }
            let before = attempts();
            world.sleep_ms(HOUR_S * 1_000).await;
            assert!(attempts() > before + 5, "nobody tries any more after trouble {trouble}");
            assert_eq!(town.gateway.appliance().queued() as usize, count, "after trouble {trouble}");
            assert_eq!(town.senders.count(), 0, "reports after trouble {trouble}: {:?}", reports(&town));
        }
        everybody(&town, Link::Up);
        assert!(world.wait_until(2 * HOUR_S, || town.gateway.queue_is_empty()).await);
        assert_eq!(hours(&town.senders.received(), started_s), Vec::<u64>::new());
        assert_eq!(town.settle().await.expect_exactly_once().delivered, count);
    });
}

#[test]
fn the_lifetime_is_counted_in_hours_of_operation() {
    story(|world| async move {
        let settings = [("message-lifetime", "10h"), ("delay-warning", "off")];
        let town = Town::start(&world, 1, &settings).await;
        town.at(0).link(Link::Refusing);
        town.send("patient", &[&town.at(0).mailbox("bob")]).await;
        // Nine times an hour of operation and a day without power; each start may lose ten minutes of the count.
        for _ in 0..9 {
            world.sleep_ms(HOUR_S * 1_000).await;
            assert_eq!(town.senders.count(), 0);
            town.gateway.power_cut();
            world.sleep_ms(DAY_S * 1_000).await;
            assert!(town.gateway.boot().await);
        }
        assert!(world.wait_until(3 * HOUR_S, || town.senders.count() == 1).await, "never given up");
        assert!(world.wait_until(60, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().failed, 1);
    });
}
