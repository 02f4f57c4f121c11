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

/// 4.09: several smart hosts: the second when the first is down, back to the first when it is up again, equal ones share.
pub async fn several_smart_hosts(world: World) {
    world.set_up(&["set relay-networks 10.1.0.0/16"]).await;
    let servers: Vec<_> = (1..=4)
        .map(|n| {
            let address = format!("10.20.0.{n}");
            world.internet_mx(&format!("hop{n}.example"), &address, "b.example", Manner::default())
        })
        .collect();
    world.quietly("route add b.example 10.20.0.1 cost 1 10.20.0.2 cost 5").await;
    world.quietly("route add c.example 10.20.0.3 10.20.0.4").await;
    let application = world.application("10.1.0.7", "app.a.example");
    let send = async |tag: String, to: &str| {
        let letter = Letter::new(&tag, "ann@a.example", &[to]);
        application.send(&letter).await.reply.expect(250, "");
        let peer = world.arrives(900, &letter, to).await.peer;
        // Long enough that no open connection is used again.
        world.sleep_s(900).await;
        peer
    };
    for (round, link, expected) in [
        (0, Link::Up, "hop1.example"),
        (1, Link::Refusing, "hop2.example"),
        (2, Link::Dark, "hop2.example"),
        (3, Link::Up, "hop1.example"),
    ] {
        world.net.set_link(ip("10.20.0.1"), link);
        if round == 3 {
            world.sleep_s(3_600).await;
        }
        assert_eq!(send(format!("fail-over-{round}"), "bob@b.example").await, expected, "round {round}");
    }
    servers[0].behave(|manner| manner.greeting = Some("421 4.3.2 Service not available".into()));
    assert_eq!(send("greets-421".into(), "bob@b.example").await, "hop2.example");
    for number in 0..16 {
        send(format!("share-{number}"), "bob@c.example").await;
    }
    let (three, four) = (servers[2].received().len(), servers[3].received().len());
    assert!(three + four == 16 && three >= 2 && four >= 2, "equals share: {three} and {four}");
}

/// 4.10: exact domain, then parent, then `*`, then the next hop; the cost breaks ties.
pub async fn address_spaces(world: World) {
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.20.0.9"]).await;
    for n in 1..=9 {
        let address = format!("10.20.0.{n}");
        let _hop = world.internet_mx(&format!("hop{n}.example"), &address, "b.example", Manner::default());
    }
    for route in ["* 10.20.0.1", "b.example 10.20.0.3 cost 7 10.20.0.2 cost 3", "x.b.example 10.20.0.4"] {
        world.quietly(&format!("route add {route}")).await;
    }
    let application = world.application("10.1.0.7", "app.a.example");
    for (number, (to, hop)) in [
        ("bob@c.example", 1),
        ("bob@b.example", 2),
        ("bob@y.b.example", 2),
        ("bob@x.b.example", 4),
        ("bob@z.x.b.example", 4),
    ]
    .into_iter()
    .enumerate()
    {
        let letter = Letter::new(&format!("space-{number}"), "ann@a.example", &[to]);
        application.send(&letter).await.reply.expect(250, "");
        assert_eq!(world.arrives(60, &letter, to).await.peer, format!("hop{hop}.example"), "{to}");
        world.shows(&format!("route test {to}"), &format!("10.20.0.{hop}")).await;
    }
    world.quietly("route remove *").await;
    let letter = Letter::new("no-star", "ann@a.example", &["bob@c.example"]);
    application.send(&letter).await.reply.expect(250, "");
    assert_eq!(world.arrives(60, &letter, "bob@c.example").await.peer, "hop9.example");
}
