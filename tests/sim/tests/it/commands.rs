//! What the operator's commands do to mail.

use sim::letters::tag;
use sim::network::Link;
use sim::report::Report;
use sim::town::Town;
use sim::world::{World, story};

/// Three destinations that refuse connections, two letters for each: `m0000`, `m0003` for the first and so on.
async fn waiting(world: &World) -> Town {
    let town = Town::start(world, 3, &[("delay-warning", "off")]).await;
    for d in town.destinations.iter() {
        d.link(Link::Refusing);
    }
    town.flood(0, 6, 1, |n| vec![town.at(n % 3).mailbox("bob")]).await;
    world.sleep_ms(30_000).await;
    town
}

fn all_up(town: &Town) {
    for d in town.destinations.iter() {
        d.link(Link::Up);
    }
}

/// The queue IDs in the order of arrival: what the rows of `queue` begin with.
async fn ids(town: &Town) -> Vec<String> {
    let shown = town.gateway.console("queue").await;
    let is_id = |word: &&str| word.len() >= 8 && !word.contains(|c: char| c.is_ascii_lowercase());
    let rows = shown.lines().filter_map(|line| line.split(' ').next().filter(is_id));
    let ids: Vec<String> = rows.map(String::from).collect();
    assert!(!ids.is_empty(), "{shown}");
    ids
}

fn tags(town: &Town) -> Vec<String> {
    let mut tags: Vec<_> =
        town.destinations.iter().flat_map(|d| d.sink.received()).map(|received| tag(&received)).collect();
    tags.sort();
    tags
}

#[test]
fn one_held_message_stays_while_the_others_go() {
    story(|world| async move {
        let town = waiting(&world).await;
        let ids = ids(&town).await;
        assert_eq!(ids.len(), 6);
        town.gateway.console(&format!("queue hold {}", ids[1])).await;
        all_up(&town);
        assert!(world.wait_until(120, || town.arrived() == 5).await);
        world.sleep_ms(7 * 86_400_000).await;
        assert_eq!(tags(&town), ["m0000", "m0002", "m0003", "m0004", "m0005"]);
        assert_eq!(town.senders.count(), 0, "what the operator holds does not expire");
        // Its lifetime is over, but it has not had its chance.
        town.gateway.console(&format!("queue release {}", ids[1])).await;
        assert!(world.wait_until(120, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 6);
    });
}

#[test]
fn the_mail_of_a_domain_is_held_and_released() {
    story(|world| async move {
        let town = waiting(&world).await;
        town.gateway.console("queue hold d001.example").await;
        all_up(&town);
        assert!(world.wait_until(120, || town.arrived() == 4).await);
        world.sleep_ms(3_600_000).await;
        assert_eq!(tags(&town), ["m0000", "m0002", "m0003", "m0005"]);
        town.gateway.console("queue release d001.example").await;
        assert!(world.wait_until(60, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 6);
    });
}

#[test]
fn removed_mail_never_leaves_and_nobody_is_told() {
    story(|world| async move {
        let town = waiting(&world).await;
        let ids = ids(&town).await;
        town.gateway.console(&format!("queue remove {}", ids[4])).await;
        town.account.removed("m0004");
        all_up(&town);
        assert!(world.wait_until(120, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.senders.count(), 0);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 5);
    });
}

#[test]
fn bounced_mail_is_returned_at_once_and_once() {
    story(|world| async move {
        let town = waiting(&world).await;
        let ids = ids(&town).await;
        town.gateway.console(&format!("queue bounce {}", ids[0])).await;
        assert!(world.wait_until(60, || town.senders.count() == 1).await);
        let report = Report::read(&town.senders.received()[0]).expect("a report");
        assert_eq!((report.tag.as_str(), report.about[0].action.as_str()), ("m0000", "failed"));
        all_up(&town);
        assert!(world.wait_until(120, || town.gateway.queue_is_empty()).await);
        let settled = town.settle().await;
        settled.expect_exactly_once();
        assert_eq!((settled.delivered, settled.failed), (5, 1));
    });
}

#[test]
fn retry_of_a_domain_asks_only_there() {
    story(|world| async move {
        let town = waiting(&world).await;
        world.sleep_ms(3_600_000).await;
        all_up(&town);
        let before: Vec<usize> =
            town.destinations.iter().map(|d| world.network.attempts(d.address).len()).collect();
        town.gateway.console("queue retry d002.example").await;
        assert!(world.wait_until(2, || town.at(2).sink.count() == 2).await);
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        assert!(world.network.attempts(town.at(2).address).len() > before[2]);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, 6);
    });
}
