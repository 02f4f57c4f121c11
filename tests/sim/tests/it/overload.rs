//! More than there is room for.

use sim::executor::Group;
use sim::letters::long_letter;
use sim::network::Link;
use sim::town::{ANN, Town};
use sim::world::story;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Octets of the letters that fill the queue: a block of flash holds about four, so that blocks die in part.
const LETTER_BYTES: usize = 60_000;

#[test]
fn sixty_four_sessions_while_the_flash_is_cleaned_at_98_percent() {
    story(|world| async move {
        let settings = [("client-share", "100"), ("destination-share", "100"), ("delay-warning", "off")];
        let town = Town::start(&world, 8, &settings).await;
        for d in town.destinations.iter() {
            d.link(Link::Refusing);
        }
        // To the brim, in turn for all destinations.
        let mut client = town.client(0).await;
        let mut filled = 0;
        loop {
            let tag = format!("fill{filled:04}");
            let to = town.at(filled % 8).mailbox("bob");
            let content = long_letter(&tag, LETTER_BYTES);
            let reply = town.account.send(&mut client, ANN, &[&to], &tag, &content).await.expect("open");
            if reply.code != 250 {
                reply.expect(452, "4.3.1");
                break;
            }
            filled += 1;
        }
        client.quit().await;
        assert!(filled > 850, "{filled} letters of 60 kB fill the queue");
        // Every eighth letter leaves: room in every block, and in none of them much. Then 64 clients want it.
        town.at(3).link(Link::Up);
        let stop_at = world.executor.now().plus_s(600);
        let (done, waits) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
        for number in 0..64 {
            let (town, done, waits) = (town.clone(), done.clone(), waits.clone());
            town.world.clone().executor.spawn(Group::Outside, format!("client {number}"), async move {
                let mut client = town.client(1 + number).await;
                for n in 0.. {
                    if town.world.executor.now() >= stop_at {
                        break;
                    }
                    let tag = format!("c{number:02}n{n:03}");
                    // Every other letter stays.
                    let to = town.at(if n % 2 == 0 { 3 } else { number % 3 }).mailbox("bob");
                    let octets = [900, 9_000, LETTER_BYTES][(number + n) % 3];
                    let begun = town.world.executor.now();
                    let content = long_letter(&tag, octets);
                    let reply =
                        town.account.send(&mut client, ANN, &[&to], &tag, &content).await.expect("open");
                    waits.borrow_mut().push(town.world.executor.now().micros_since(begun) / 1_000);
                    match reply.code {
                        250 => {}
                        452 => {
                            // As mail servers do: they come again later.
                            client.quit().await;
                            town.world.sleep_ms(5_000).await;
                            client = town.client(1 + number).await;
                        }
                        _ => panic!("{reply:?}"),
                    }
                }
                client.quit().await;
                done.set(done.get() + 1);
            });
        }
        assert!(world.wait_until(1_200, || done.get() == 64).await);
        let usage = town.gateway.console("show flash").await;
        let mut waits = waits.take();
        waits.sort_unstable();
        let (longest, median) = (waits[waits.len() - 1], waits[waits.len() / 2]);
        let flash_ms = town.gateway.count("longest store, microseconds") / 1_000;
        println!(
            "{} letters: median {median} ms, longest {longest} ms, for flash {flash_ms} ms\n{usage}",
            waits.len()
        );
        // Sixty-three others are served in turn, and an erase takes 20 ms.
        assert!(longest <= 4_000, "one letter took {longest} ms");
        assert!(flash_ms <= 1_500, "one wait for the flash took {flash_ms} ms");
        for d in town.destinations.iter() {
            d.link(Link::Up);
        }
        assert!(world.wait_until(3_600, || town.gateway.queue_is_empty()).await);
        let settled = town.settle().await;
        settled.expect_exactly_once();
        assert_eq!(settled.delivered, town.account.accepted_count());
    });
}
