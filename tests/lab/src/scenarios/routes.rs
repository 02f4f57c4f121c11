//! Where mail goes.

use crate::letters::Letter;
use crate::net::Link;
use crate::peers::internet::Manner;
use crate::world::{World, ip};

/// 0.24: the route of the domain itself wins over the one of its parent, and that over the next hop of all others.
pub async fn route_table(world: World) {
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.20.0.1"]).await;
    let servers = [
        world.internet_mx("all.example", "10.20.0.1", "c.example", Manner::default()),
        world.internet_mx("parent.example", "10.20.0.2", "b.example", Manner::default()),
        world.internet_mx("exact.example", "10.20.0.3", "x.sub.b.example", Manner::default()),
    ];
    world.gateway.command("route add b.example 10.20.0.2").await;
    world.gateway.command("route add sub.b.example 10.20.0.3").await;
    let application = world.application("10.1.0.7", "app.a.example");
    let expected = [
        ("bob@c.example", 0),
        ("bob@b.example", 1),
        ("bob@other.b.example", 1),
        ("bob@sub.b.example", 2),
        ("bob@x.sub.b.example", 2),
        ("bob@notb.example", 0),
        ("bob@B.EXAMPLE", 1),
    ];
    for (number, (to, server)) in expected.into_iter().enumerate() {
        let letter = Letter::new(&format!("route-{number}"), "ann@a.example", &[to]);
        application.send(&letter).await.reply.expect(250, "");
        let mail = world.arrives(60, &letter, to).await;
        assert_eq!(mail.peer, ["all.example", "parent.example", "exact.example"][server], "{to}");
        world.shows(&format!("route test {to}"), &format!("10.20.0.{}", server + 1)).await;
    }
    assert_eq!(servers.map(|server| server.received().len()), [2, 3, 2]);
}

/// 3.03: when the route changes, what waits goes the new way, without a restart, once.
pub async fn changed_route_moves_the_queue(world: World) {
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.20.0.1"]).await;
    let old = world.internet_mx("old.example", "10.20.0.1", "b.example", Manner::default());
    let new = world.internet_mx("new.example", "10.20.0.2", "b.example", Manner::default());
    world.net.set_link(ip("10.20.0.1"), Link::Dark);
    let application = world.application("10.1.0.7", "app.a.example");
    let letters: Vec<_> =
        (0..10).map(|n| Letter::new(&format!("moved-{n}"), "ann@a.example", &["bob@b.example"])).collect();
    for letter in &letters {
        application.send(letter).await.reply.expect(250, "");
    }
    world.sleep_s(300).await;
    assert_eq!(new.received().len(), 0);
    world.gateway.command("route add b.example 10.20.0.2").await;
    for letter in &letters {
        assert_eq!(world.arrives(300, letter, "bob@b.example").await.peer, "new.example");
    }
    world.net.set_link(ip("10.20.0.1"), Link::Up);
    world.queue_empties(60).await;
    world.sleep_s(7_200).await;
    assert_eq!(old.received().len(), 0);
}
