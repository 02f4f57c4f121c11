//! What costs flash, and what must not.

use crate::{letter, passing_gateway};
use sim::gateway::Gateway;
use sim::letters::long_letter;
use sim::peers::Client;
use sim::world::{World, story};
use std::net::IpAddr;

async fn stranger(world: &World) -> Client {
    let from = IpAddr::from([192, 0, 2, 9]);
    let mut client = Client::connect(&world.network, from, Gateway::address()).await;
    client.greet().await.expect(250, "");
    client
}

/// An appliance that has erased the blocks that it keeps ready.
async fn rested_gateway(world: &World) -> Gateway {
    let gateway = passing_gateway(world).await;
    world.sleep_ms(300_000).await;
    gateway
}

/// Nothing of the queue's flash was programmed or erased since `before`, also not a minute later.
async fn expect_no_wear(world: &World, gateway: &Gateway, before: u64, what: &str) {
    world.sleep_ms(60_000).await;
    assert_eq!(gateway.queue_wear() - before, 0, "{what}");
}

#[test]
fn sessions_that_bring_nothing_cost_nothing() {
    story(|world| async move {
        let _sink = world.next_hop();
        let gateway = rested_gateway(&world).await;
        let before = gateway.queue_wear();
        for _ in 0..20 {
            let mut client = stranger(&world).await;
            client.command("MAIL FROM:<spam@x.example> SIZE=20000000").await.expect(250, "");
            client.command("RCPT TO:<bob@b.example>").await.expect(554, "5.7.1");
            client.command("DATA").await.expect(554, "");
            client.quit().await;
        }
        expect_no_wear(&world, &gateway, before, "relaying was refused").await;
        for _ in 0..20 {
            let mut client = world.client().await;
            client.command("MAIL FROM:<ann@a.example> SIZE=1000000").await.expect(250, "");
            client.command("RCPT TO:<bob@b.example>").await.expect(250, "");
            client.quit().await;
        }
        expect_no_wear(&world, &gateway, before, "QUIT after RCPT").await;
        for octets in [0, 1, 300, 16_000] {
            let mut client = world.client().await;
            for command in ["MAIL FROM:<ann@a.example>", "RCPT TO:<bob@b.example>", "DATA"] {
                assert!(client.command(command).await.code < 400);
            }
            client.raw(&long_letter("half", octets)[..octets.min(200)]).await.expect("open");
            client
                .raw(
                    &b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n"
                        .repeat(octets / 64),
                )
                .await
                .expect("open");
            world.sleep_ms(1_000).await;
            client.drop_connection();
        }
        expect_no_wear(&world, &gateway, before, "given up within the first chunk").await;
        let mut client = world.client().await;
        let bad = b"Subject: bad\r\n\r\nbare \n line\r\n";
        let reply = client.send("ann@a.example", &["bob@b.example"], bad).await.expect("open");
        assert!(reply.code >= 500, "{reply:?}");
        expect_no_wear(&world, &gateway, before, "refused for its content").await;
        assert_eq!(gateway.count("accepted"), 0);
    });
}

#[test]
fn a_message_refused_as_too_large_at_its_announcement_costs_nothing() {
    story(|world| async move {
        let gateway = rested_gateway(&world).await;
        let before = gateway.queue_wear();
        let mut client = world.client().await;
        client.command("MAIL FROM:<ann@a.example> SIZE=99999999").await.expect(552, "5.3.4");
        expect_no_wear(&world, &gateway, before, "refused at MAIL").await;
    });
}

#[test]
fn a_letter_costs_few_programs_on_its_way() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        client.send("ann@a.example", &["bob@b.example"], &letter("first")).await.expect("open");
        assert!(world.wait_until(60, || sink.count() == 1 && gateway.queue_is_empty()).await);
        let before = gateway.queue_wear();
        client.send("ann@a.example", &["bob@b.example"], &letter("second")).await.expect("open");
        assert!(world.wait_until(60, || sink.count() == 2 && gateway.queue_is_empty()).await);
        let programs = gateway.queue_wear() - before;
        // Commit record and slot, recipe and slot, states and slot, the kill unit.
        assert!(programs <= 8, "{programs} programs for one letter");
    });
}
