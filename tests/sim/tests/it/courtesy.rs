//! Peers that want to be treated with care: limits, refusals for now, greylisting.

use sim::letters::letter;
use sim::network::Link;
use sim::town::{ANN, Town};
use sim::world::story;
use std::collections::BTreeMap;

#[test]
fn of_three_recipients_only_the_one_that_was_put_off_is_tried_again() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[]).await;
        let d = town.at(0);
        d.sink.behave(|b| b.recipients.push((d.mailbox("later"), "450 4.2.0 busy".into())));
        town.send("three", &[&d.mailbox("bob"), &d.mailbox("later"), &d.mailbox("eve")]).await;
        assert!(world.wait_until(10, || d.sink.count() == 1).await);
        assert_eq!(d.sink.received()[0].to, [d.mailbox("bob"), d.mailbox("eve")]);
        world.sleep_ms(600_000).await;
        let asked = |mailbox: &str| {
            let line = format!("RCPT TO:<{}>", d.mailbox(mailbox));
            d.sink.commands().iter().filter(|c| c.starts_with(&line)).count()
        };
        assert_eq!((asked("bob"), asked("eve")), (1, 1));
        assert!((2..=6).contains(&asked("later")), "{} attempts in ten minutes", asked("later"));
        d.sink.behave(|b| b.recipients.clear());
        assert!(world.wait_until(1_200, || d.sink.count() == 2).await);
        assert_eq!(d.sink.received()[1].to, [d.mailbox("later")]);
        assert!(world.wait_until(10, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 3);
    });
}

#[test]
fn greylisting_is_outlasted_by_each_recipient_on_its_own() {
    story(|world| async move {
        let town = Town::start(&world, 2, &[]).await;
        town.at(0).sink.behave(|b| b.greylist_s = 300);
        let to = [town.at(0).mailbox("a"), town.at(0).mailbox("b"), town.at(1).mailbox("c")];
        town.send("grey", &to.each_ref().map(String::as_str)).await;
        assert!(world.wait_until(10, || town.at(1).sink.count() == 1).await);
        assert_eq!(town.at(0).sink.count(), 0);
        // 60 s and 120 s and 240 s, an eighth more or less: after the third pause at the latest.
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        assert!(world.now_s() >= 300, "{}", world.now_s());
        assert_eq!(town.at(0).sink.count(), 1, "both in one transaction");
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 3);
    });
}

#[test]
fn four_recipients_at_a_time_are_given_four_at_a_time() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[]).await;
        let d = town.at(0);
        d.sink.behave(|b| b.recipients_max = 4);
        let to: Vec<String> = (0..42).map(|n| d.mailbox(&format!("u{n:02}"))).collect();
        town.send("many", &to.iter().map(String::as_str).collect::<Vec<_>>()).await;
        assert!(world.wait_until(30, || town.gateway.queue_is_empty()).await);
        assert_eq!(d.sink.count(), 11);
        assert!(d.sink.received().iter().all(|r| r.to.len() <= 4));
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 42);
    });
}

#[test]
fn a_421_at_any_place_costs_time_and_nothing_else() {
    story(|world| async move {
        let places = ["greeting", "hello", "mail", "rcpt", "data", "content"];
        let town = Town::start(&world, places.len(), &[]).await;
        let reply = || String::from("421 4.3.2 going down");
        for (number, place) in places.iter().enumerate() {
            let d = town.at(number);
            d.sink.behave(|b| match *place {
                "greeting" => b.greeting = reply(),
                "hello" => b.hello = Some(reply()),
                "mail" => b.mail = Some(reply()),
                "rcpt" => b.recipients.push((d.mailbox("bob"), reply())),
                "data" => b.data = Some(reply()),
                _ => b.content = Some(reply()),
            });
        }
        town.flood(0, 30, 3, |n| vec![town.at(n % places.len()).mailbox("bob")]).await;
        world.sleep_ms(600_000).await;
        assert_eq!(town.arrived(), 0);
        for d in town.destinations.iter() {
            let connections = d.sink.connections();
            assert!(connections <= 60, "{connections} connections to {} in ten minutes", d.domain);
            d.sink.behave(|b| {
                (b.hello, b.mail, b.data, b.content) = (None, None, None, None);
                b.recipients.clear();
                b.greeting = "220 hop.example ESMTP".into();
            });
        }
        assert!(world.wait_until(2 * 3_600, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 30);
    });
}

#[test]
fn a_destination_gets_no_more_connections_than_it_may() {
    story(|world| async move {
        let town = Town::start(&world, 2, &[("destination-connections", "3")]).await;
        for d in town.destinations.iter() {
            d.sink.behave(|b| b.delay_ms = 40);
        }
        town.flood(0, 200, 8, |n| vec![town.at(n % 2).mailbox("bob")]).await;
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        for d in town.destinations.iter() {
            assert_eq!(d.sink.connections_at_once(), 3);
            assert!(d.sink.connections() <= 12, "{} connections for 100 messages", d.sink.connections());
        }
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 200);
    });
}

#[test]
fn a_peer_that_takes_two_connections_is_not_offended_again_and_again() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[]).await;
        let d = town.at(0);
        d.sink.behave(|b| (b.connections_max, b.delay_ms) = (2, 50));
        town.flood(0, 150, 8, |_| vec![d.mailbox("bob")]).await;
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        let refused = town.gateway.count("connections out, failed");
        assert!(refused <= 20, "{refused} connections were refused");
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 150);
    });
}

#[test]
fn a_rate_is_kept_for_each_destination_and_slows_no_other() {
    story(|world| async move {
        let town = Town::start(&world, 3, &[("destination-rate", "30")]).await;
        town.flood(0, 180, 4, |n| vec![town.at(n % 2).mailbox("bob")]).await;
        town.send("elsewhere", &[&town.at(2).mailbox("bob")]).await;
        assert!(world.wait_until(2, || town.at(2).sink.count() == 1).await, "a full rate elsewhere delays");
        assert!(world.wait_until(900, || town.gateway.queue_is_empty()).await);
        for d in &town.destinations[..2] {
            let mut at: Vec<u64> = d.sink.received().iter().map(|r| r.at.0 / 1_000).collect();
            at.sort_unstable();
            for (n, begin) in at.iter().enumerate() {
                let minute = at[n..].iter().take_while(|t| **t < begin + 60_000).count();
                // A bucket that is full at the start lets so many through at once, and then one every two seconds.
                assert!(minute <= 61, "{minute} messages in one minute");
            }
            let took = at[at.len() - 1] - at[0];
            assert!(took <= 240_000, "90 messages at 30 a minute took {took} ms");
        }
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 181);
    });
}

#[test]
fn one_connection_carries_many_messages() {
    story(|world| async move {
        let town = Town::start(&world, 2, &[("destination-connections", "1")]).await;
        town.at(0).link(Link::Refusing);
        town.flood(0, 90, 4, |_| vec![town.at(0).mailbox("bob")]).await;
        town.at(0).link(Link::Up);
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.at(0).sink.connections(), 1);
        let helloes = town.at(0).sink.commands().iter().filter(|c| c.starts_with("EHLO")).count();
        assert_eq!(helloes, 1);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 90);
    });
}

#[test]
fn destinations_take_turns() {
    story(|world| async move {
        let town = Town::start(&world, 40, &[]).await;
        for d in town.destinations.iter() {
            d.link(Link::Refusing);
            d.sink.behave(|b| b.delay_ms = 20);
        }
        // A thousand for one destination came first, ten for each of 39 others afterwards.
        town.flood(0, 1_000, 8, |_| vec![town.at(0).mailbox("bob")]).await;
        town.flood(1_000, 390, 8, |n| vec![town.at(1 + n % 39).mailbox("bob")]).await;
        for d in town.destinations.iter() {
            d.link(Link::Up);
        }
        let begun = world.executor.now();
        assert!(world.wait_until(3_600, || town.gateway.queue_is_empty()).await);
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        for d in town.destinations.iter() {
            let end = d.sink.received().iter().map(|r| r.at.micros_since(begun) / 1_000_000).max();
            last.insert(&d.domain, end.expect("all mail came"));
        }
        let big = last.remove(town.at(0).domain.as_str()).expect("it is there");
        let slowest = last.values().max().copied().unwrap_or_default();
        assert!(slowest < big, "small destinations took {slowest} s, the large one {big} s");
        // Probes of failing destinations are at most a minute apart.
        assert!(slowest <= 90, "small destinations took {slowest} s");
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 1_390);
    });
}

#[test]
fn a_dead_recipient_of_a_letter_to_many_places_holds_nobody_up() {
    story(|world| async move {
        let town = Town::start(&world, 60, &[]).await;
        for d in town.destinations.iter().step_by(3) {
            d.link(Link::Dark);
        }
        let to: Vec<String> = town.destinations.iter().map(|d| d.mailbox("bob")).collect();
        let mut client = world.client().await;
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        let reply = town.account.send(&mut client, ANN, &to, "everywhere", &letter("everywhere")).await;
        reply.expect("open").expect(250, "");
        assert!(world.wait_until(60, || town.arrived() == 40).await, "{} of 40 in a minute", town.arrived());
        for d in town.destinations.iter() {
            d.link(Link::Up);
        }
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 60);
    });
}

#[test]
fn connections_that_fail_are_not_written_down() {
    story(|world| async move {
        let town = Town::start(&world, 4, &[]).await;
        town.at(0).link(Link::Refusing);
        town.at(1).link(Link::Dark);
        town.at(2).sink.behave(|b| b.greeting = "421 4.3.2 not now".into());
        town.at(3).sink.behave(|b| b.greeting = "554 5.3.2 never".into());
        town.flood(0, 40, 4, |n| vec![town.at(n % 4).mailbox("bob")]).await;
        world.sleep_ms(300_000).await;
        let before = town.gateway.queue_wear();
        let failed = town.gateway.count("connections out, failed");
        world.sleep_ms(3 * 3_600_000).await;
        assert!(town.gateway.count("connections out, failed") > failed + 100);
        assert_eq!(town.gateway.queue_wear() - before, 0, "programs and erases in three hours of failing");
        for d in town.destinations.iter() {
            let at = world.network.attempts(d.address);
            let pauses: Vec<u64> =
                at.windows(2).map(|pair| pair[1].micros_since(pair[0]) / 1_000_000).collect();
            assert!(pauses[0] < 15 && pauses[6..].iter().all(|p| (50..400).contains(p)), "{pauses:?}");
        }
        for d in town.destinations.iter() {
            d.link(Link::Up);
            d.sink.behave(|b| b.greeting = "220 hop.example ESMTP".into());
        }
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 40);
    });
}
