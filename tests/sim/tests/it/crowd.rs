//! A full index, and many destinations of which most are dead.

use sim::letters::letter;
use sim::network::Link;
use sim::queue::{Put, Queue};
use sim::town::{ANN, Town};
use sim::world::{World, story};
use std::net::IpAddr;

/// Messages that fill the index: what is beyond is kept for reports.
const MESSAGES: usize = limits::spool::MESSAGES_COUNT_MAX - limits::spool::REPORTS_COUNT_RESERVED;
const DESTINATIONS: usize = 500;

/// Four of five are dead: half of those refuse, half are silent.
fn fate(number: usize) -> Link {
    match number % 5 {
        0 => Link::Up,
        1 | 2 => Link::Refusing,
        _ => Link::Dark,
    }
}

/// A town whose queue is full when its appliance starts: message `n` goes to destination `n % 500`.
async fn full_town(world: &World) -> Town {
    let town = Town::build(world, DESTINATIONS, &[("delay-warning", "off")]).await;
    for (number, d) in town.destinations.iter().enumerate() {
        d.link(fate(number));
    }
    let letters: Vec<(String, String, Vec<u8>)> = (0..MESSAGES)
        .map(|n| (format!("m{n:04}"), town.at(n % DESTINATIONS).mailbox("bob")))
        .map(|(tag, to)| (tag.clone(), to, letter(&tag)))
        .collect();
    let recipients: Vec<[&str; 1]> = letters.iter().map(|(_, to, _)| [to.as_str()]).collect();
    let puts = letters.iter().zip(&recipients).enumerate().map(|(n, ((_, _, content), to))| Put {
        sender: ANN,
        to,
        content,
        client: IpAddr::from([10, 1, 7, (n % 16) as u8]),
    });
    assert_eq!(Queue::of(&town.gateway.bank).fill(puts).await, MESSAGES);
    for (tag, to, _) in &letters {
        town.account.accepted(tag, ANN, &[to]);
    }
    assert!(town.gateway.boot().await);
    town
}

#[test]
fn a_full_index_for_500_destinations_of_which_400_are_dead_delays_none_of_the_living() {
    story(|world| async move {
        let town = full_town(&world).await;
        let living: Vec<_> = town.destinations.iter().step_by(5).cloned().collect();
        let waiting: usize = (0..MESSAGES).filter(|n| fate(n % DESTINATIONS) == Link::Up).count();

        // Nobody knows yet who is dead: 200 silent hosts at 5 s each, a dozen at a time, are 83 s.
        assert!(
            world.wait_until(100, || living.iter().all(|d| d.sink.count() > 0)).await,
            "{} of {} living destinations got mail in 100 s",
            living.iter().filter(|d| d.sink.count() > 0).count(),
            living.len()
        );
        assert!(world.wait_until(30, || town.arrived() == waiting).await, "{} of {waiting}", town.arrived());

        // From now on it is known. Mail for the living is not held up by probes of 400 dead destinations.
        let mut slowest = 0;
        for n in 0..150 {
            let d = &living[world.random_below(living.len() as u64) as usize];
            let before = d.sink.count();
            town.send(&format!("later{n:03}"), &[&d.mailbox("bob")]).await;
            let accepted = world.executor.now();
            assert!(world.wait_until(2, || d.sink.count() > before).await, "not within 2 s: {}", d.domain);
            slowest = slowest.max(world.executor.now().micros_since(accepted) / 1_000);
            world.sleep_ms(3_000 + world.random_below(20_000)).await;
        }
        println!("slowest letter to a living destination: {slowest} ms");

        // The dead are asked seldom, and none of it is written down.
        world.sleep_ms(3_600_000).await;
        let wear = town.gateway.queue_wear();
        world.sleep_ms(3_600_000).await;
        assert_eq!(town.gateway.queue_wear(), wear, "an hour of failing connections wears the flash");
        for (_, d) in town.destinations.iter().enumerate().filter(|(n, _)| fate(*n) != Link::Up) {
            let at: Vec<u64> = world.network.attempts(d.address).iter().map(|at| at.0 / 1_000_000).collect();
            let pauses: Vec<u64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let late = &pauses[pauses.len() - 5..];
            // Never more often than once a minute less an eighth of jitter, and in turn with the others.
            assert!(late.iter().all(|pause| (50..600).contains(pause)), "{}: {pauses:?}", d.domain);
        }

        for d in town.destinations.iter() {
            d.link(Link::Up);
        }
        assert!(world.wait_until(3_600, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, MESSAGES + 150);
    });
}
