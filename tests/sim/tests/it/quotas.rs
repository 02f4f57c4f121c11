//! Nobody can take the whole queue.

use sim::letters::{letter, long_letter};
use sim::network::Link;
use sim::peers::{Client, Reply};
use sim::town::{ANN, Town};
use sim::world::story;

/// Sends letters until one is refused, and returns how many were accepted and the refusal.
async fn until_refused(town: &Town, client: &mut Client, name: &str, to: &str) -> (usize, Reply) {
    for n in 0..5_000 {
        let tag = format!("{name}{n:04}");
        let reply = town.account.send(client, ANN, &[to], &tag, &letter(&tag)).await.expect("open");
        if reply.code != 250 {
            return (n, reply);
        }
    }
    panic!("{name} fills the queue");
}

#[test]
fn one_client_cannot_fill_the_queue() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[("client-share", "10")]).await;
        town.at(0).link(Link::Refusing);
        let to = town.at(0).mailbox("bob");
        let mut greedy = town.client(1).await;
        let (accepted, refusal) = until_refused(&town, &mut greedy, "greedy", &to).await;
        refusal.expect(452, "4.3.1");
        let share = limits::spool::MESSAGES_COUNT_MAX / 10;
        assert!(accepted.abs_diff(share) <= 16, "{accepted} of a share of {share}");
        let mut again = town.client(1).await;
        again.command(&format!("MAIL FROM:<{ANN}>")).await.expect(452, "4.3.1");
        let mut modest = town.client(2).await;
        let reply = town.account.send(&mut modest, ANN, &[&to], "modest", &letter("modest")).await;
        reply.expect("open").expect(250, "");
        town.at(0).link(Link::Up);
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        let reply = town.account.send(&mut again, ANN, &[&to], "afterwards", &letter("afterwards")).await;
        reply.expect("open").expect(250, "");
        assert!(world.wait_until(60, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, accepted + 2);
    });
}

#[test]
fn one_client_cannot_fill_the_queue_with_few_large_messages() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[("client-share", "10")]).await;
        town.at(0).link(Link::Refusing);
        let to = town.at(0).mailbox("bob");
        let mut greedy = town.client(1).await;
        let mut octets = 0;
        for n in 0..40 {
            let tag = format!("large{n}");
            let content = long_letter(&tag, 500_000);
            match town.account.send(&mut greedy, ANN, &[&to], &tag, &content).await.expect("open").code {
                250 => octets += content.len(),
                452 => break,
                code => panic!("{code}"),
            }
        }
        assert!((4_000_000..7_000_000).contains(&octets), "{octets} octets of one client");
        let mut modest = town.client(2).await;
        let content = long_letter("modest", 500_000);
        let reply = town.account.send(&mut modest, ANN, &[&to], "modest", &content).await;
        reply.expect("open").expect(250, "");
        town.at(0).link(Link::Up);
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        town.settle().await.expect_exactly_once();
    });
}

#[test]
fn one_dead_destination_cannot_fill_the_queue() {
    story(|world| async move {
        let town = Town::start(&world, 2, &[("destination-share", "10")]).await;
        town.at(0).link(Link::Dark);
        let (dead, alive) = (town.at(0).mailbox("bob"), town.at(1).mailbox("bob"));
        let mut client = town.client(1).await;
        let (accepted, refusal) = until_refused(&town, &mut client, "dead", &dead).await;
        refusal.expect(452, "4.3.1");
        let share = limits::spool::MESSAGES_COUNT_MAX / 10;
        assert!(accepted.abs_diff(share) <= 16, "{accepted} of a share of {share}");
        let mut client = town.client(1).await;
        client.command(&format!("MAIL FROM:<{ANN}>")).await.expect(250, "");
        client.command(&format!("RCPT TO:<{dead}>")).await.expect(452, "4.3.1");
        client.command(&format!("RCPT TO:<{alive}>")).await.expect(250, "");
        client.command("RSET").await.expect(250, "");
        for n in 0..50 {
            let tag = format!("alive{n}");
            let reply = town.account.send(&mut client, ANN, &[&alive], &tag, &letter(&tag)).await;
            reply.expect("open").expect(250, "");
        }
        assert!(world.wait_until(10, || town.at(1).sink.count() == 50).await);
        town.at(0).link(Link::Up);
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, accepted + 50);
    });
}

#[test]
fn shares_are_counted_again_after_a_restart() {
    story(|world| async move {
        let settings = [("client-share", "10"), ("destination-share", "20")];
        let town = Town::start(&world, 2, &settings).await;
        town.at(0).link(Link::Refusing);
        let to = town.at(0).mailbox("bob");
        let (accepted, _) = until_refused(&town, &mut town.client(1).await, "first", &to).await;
        assert!(town.gateway.boot().await);
        world.sleep_ms(5_000).await;
        let mut client = town.client(1).await;
        client.command(&format!("MAIL FROM:<{ANN}>")).await.expect(452, "4.3.1");
        let (more, refusal) = until_refused(&town, &mut town.client(2).await, "second", &to).await;
        refusal.expect(452, "4.3.1");
        let share = limits::spool::MESSAGES_COUNT_MAX / 5;
        assert!((accepted + more).abs_diff(share) <= 32, "{accepted} and {more} of a share of {share}");
        town.at(0).link(Link::Up);
        assert!(world.wait_until(600, || town.gateway.queue_is_empty()).await);
        assert_eq!(town.settle().await.expect_exactly_once().delivered, accepted + more);
    });
}

#[test]
fn an_announced_size_is_reserved_at_mail_and_given_back() {
    story(|world| async move {
        let settings = [("message-size-max", "48M"), ("client-share", "100")];
        let town = Town::start(&world, 1, &settings).await;
        let large = format!("MAIL FROM:<{ANN}> SIZE=45000000");
        let mut first = town.client(1).await;
        first.command(&large).await.expect(250, "");
        let mut second = town.client(2).await;
        second.command(&large).await.expect(452, "4.3.1");
        second.command(&format!("MAIL FROM:<{ANN}> SIZE=60000000")).await.expect(552, "5.3.4");
        second.command(&format!("MAIL FROM:<{ANN}> SIZE=1000000")).await.expect(250, "");
        second.command("RSET").await.expect(250, "");
        first.command("RSET").await.expect(250, "");
        second.command(&large).await.expect(250, "");
        first.command(&large).await.expect(452, "4.3.1");
        second.drop_connection();
        world.sleep_ms(1_000).await;
        first.command(&large).await.expect(250, "");
        first.quit().await;
        world.sleep_ms(1_000).await;
        town.client(3).await.command(&large).await.expect(250, "");
    });
}

#[test]
fn strangers_reserve_nothing_with_their_announcements() {
    story(|world| async move {
        let town = Town::start(&world, 1, &[("message-size-max", "48M")]).await;
        let mut strangers = Vec::new();
        for n in 0..20u8 {
            let from = std::net::IpAddr::from([192, 0, 2, n]);
            let mut client = Client::connect(&world.network, from, sim::gateway::Gateway::address()).await;
            client.greet().await.expect(250, "");
            client.command("MAIL FROM:<x@x.example> SIZE=40000000").await;
            client.command("RCPT TO:<bob@d000.example>").await.expect(554, "5.7.1");
            strangers.push(client);
        }
        let mut own = town.client(1).await;
        own.command(&format!("MAIL FROM:<{ANN}> SIZE=40000000")).await.expect(250, "");
    });
}
