//! The next hop changes, disappears, or does not want a message.

use crate::{letter, passing_gateway, tag};
use sim::gateway::NEXT_HOP;
use sim::network::Link;
use sim::peers::Sink;
use sim::world::{World, story};
use std::net::{IpAddr, SocketAddr};

async fn send(world: &World, tag: &str) {
    let mut client = world.client().await;
    client.send("ann@a.example", &["bob@b.example"], &letter(tag)).await.expect("open").expect(250, "");
    client.quit().await;
}

#[test]
fn a_message_too_large_for_the_peer_keeps_no_connection_busy() {
    story(|world| async move {
        let sink = world.next_hop();
        sink.behave(|b| b.keywords = vec!["PIPELINING".into(), "SIZE 100".into()]);
        let gateway = passing_gateway(&world).await;
        // Failures are shown to the operator, and no sender is told.
        gateway.console("set commissioning on").await;
        assert!(gateway.console("save").await.contains("Saved."));
        send(&world, "large").await;
        let said_goodbye = || sink.commands().iter().any(|command| command == "QUIT");
        assert!(world.wait_until(10, said_goodbye).await, "{:?}", sink.commands());
        let queue = gateway.console("queue").await;
        assert!(queue.contains("held") && queue.contains("552 5.3.4"), "{queue}");
        assert_eq!(sink.count(), 0);
    });
}

#[test]
fn mail_that_comes_while_the_next_hop_is_down_and_the_queue_is_empty_leaves_with_the_next_probe() {
    story(|world| async move {
        let hop = IpAddr::from(NEXT_HOP);
        world.network.set_link(hop, Link::Refusing);
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        send(&world, "held").await;
        world.sleep_ms(60_000).await;
        assert!(gateway.count("connections out, failed") > 2);
        assert!(gateway.console("queue hold all").await.contains("1 message held."));
        send(&world, "late").await;
        world.network.set_link(hop, Link::Up);
        assert!(world.wait_until(120, || sink.count() == 1).await, "nobody woke up");
        assert_eq!(tag(&sink.received()[0]), "late");
    });
}

#[test]
fn a_new_next_hop_gets_all_mail_from_there_on_also_while_connections_to_the_old_one_are_open() {
    story(|world| async move {
        let old = world.next_hop();
        let address = SocketAddr::from(([10, 0, 0, 26], 25));
        let new = Sink::start(&world.executor, &world.network, address);
        let gateway = passing_gateway(&world).await;
        for number in 0..5 {
            send(&world, &format!("old{number}")).await;
            world.sleep_ms(500).await;
        }
        assert_eq!((old.count(), old.connections()), (5, 1));
        gateway.console("set next-hop 10.0.0.26:25").await;
        assert!(gateway.console("save").await.contains("Saved."));
        for number in 0..5 {
            send(&world, &format!("new{number}")).await;
            world.sleep_ms(500).await;
        }
        assert!(world.wait_until(10, || gateway.queue_is_empty()).await);
        assert_eq!((old.count(), new.count()), (5, 5));
    });
}
