//! A crowd from the Internet that takes places and brings nothing.

use settings::Peer;
use sim::executor::Group;
use sim::gateway::{CLIENT, Gateway};
use sim::letters::letter;
use sim::peers::Client;
use sim::world::{World, story};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

/// Clients of the crowd, each with an address of its own.
const CROWD: u32 = 1_000;
/// Address of the Exchange server.
const EXCHANGE: [u8; 4] = [10, 2, 0, 7];
/// Messages by which the Exchange server's throughput is measured.
const MESSAGES: usize = 100;

/// A gateway that knows an Exchange server, an application and the Internet.
async fn gateway_with_classes(world: &World) -> Gateway {
    let gateway = Gateway::new(world);
    gateway.configure_default().await;
    gateway.configure(&[("without-identity", "pass")]).await;
    let rules = [
        "exchange 10.2.0.0/16 class exchange",
        "internet 0.0.0.0/0 class internet",
        "slowly 198.51.100.0/24 class internet tarpit 7",
    ];
    gateway.add_rows::<Peer>(&rules).await;
    assert!(gateway.boot().await);
    gateway
}

/// Sends an octet of a greeting every ten seconds, and comes again as soon as it is thrown out.
async fn drip(world: World, number: u32, served: Rc<Cell<u64>>, stop: Rc<Cell<bool>>) {
    let from = IpAddr::V4(Ipv4Addr::from_bits(0xcb00_0000 + number));
    while !stop.get() {
        world.executor.sleep_ms(u64::from(number % 97) * 10).await;
        let Ok(stream) = world.network.connect(from, Gateway::address()).await else { continue };
        let mut client = Client::new(stream);
        if client.reply().await.is_some_and(|reply| reply.code == 220) {
            served.set(served.get() + 1);
            for octet in b"EHLO a-client-with-a-long-name.example.net".chunks(1).cycle() {
                if stop.get() || client.raw(octet).await.is_err() {
                    break;
                }
                world.executor.sleep_ms(10_000).await;
            }
        }
        // Thrown out: a second later it is there again.
        world.executor.sleep_ms(1_000).await;
    }
}

/// Microseconds that the Exchange server takes for its messages, each over a connection of its own.
async fn throughput(world: &World) -> u64 {
    let begun = world.executor.now();
    for number in 0..MESSAGES {
        let mut client = Client::connect(&world.network, EXCHANGE.into(), Gateway::address()).await;
        client.greet().await;
        let (from, to) = ("a@exchange.example", "b@example.net");
        let reply = client.send(from, &[to], &letter(&format!("e{number}"))).await.expect("a reply");
        reply.expect(250, "");
        client.quit().await;
    }
    world.executor.now().micros_since(begun)
}

#[test]
fn a_thousand_slow_connections_do_not_hold_up_exchange() {
    story(|world| async move {
        let gateway = gateway_with_classes(&world).await;
        let undisturbed = throughput(&world).await;
        let (served, stop) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        for number in 0..CROWD {
            let task = drip(world.clone(), number, served.clone(), stop.clone());
            world.executor.spawn(Group::Outside, "slow client", task);
        }
        world.executor.sleep_ms(30_000).await;
        assert!(gateway.count("sessions open") >= 30, "the crowd is there");
        let disturbed = throughput(&world).await;
        println!("{undisturbed} us undisturbed, {disturbed} us with the crowd, {} served", served.get());
        assert!(undisturbed * 10 >= disturbed * 8, "{undisturbed} us, then {disturbed} us");
        // Applications find a place, too.
        let mut printer = Client::connect(&world.network, CLIENT.into(), Gateway::address()).await;
        printer.greet().await.expect(250, "");
        printer.quit().await;
        // Every one of the crowd has had its turn: nobody stays longer than a minute.
        let before = served.get();
        world.executor.sleep_ms(60_000).await;
        assert!(served.get() - before >= 40, "{} served within a minute", served.get() - before);
        stop.set(true);
        world.executor.sleep_ms(60_000).await;
        assert_eq!(gateway.count("sessions open"), 0);
        assert!(gateway.count("sessions open, most") <= 64);
    });
}

#[test]
fn content_that_drips_ends_when_places_are_scarce_and_not_before() {
    story(|world| async move {
        let gateway = gateway_with_classes(&world).await;
        let mut crowd = Vec::new();
        let mut client = Client::connect(&world.network, CLIENT.into(), Gateway::address()).await;
        client.greet().await;
        for (command, code) in
            [("MAIL FROM:<a@example.org>", 250), ("RCPT TO:<b@example.net>", 250), ("DATA", 354)]
        {
            client.command(command).await.expect(code, "");
        }
        // A hundred octets a second for two minutes: too slow, but there is place for everybody.
        for _ in 0..12 {
            client.raw(&[b"x".repeat(998), b"\r\n".to_vec()].concat()).await.expect("it is open");
            world.executor.sleep_ms(10_000).await;
        }
        for number in 0..48 {
            let from = IpAddr::from([203, 0, 113, number]);
            let mut one = Client::connect(&world.network, from, Gateway::address()).await;
            one.greet().await;
            crowd.push(one);
            if gateway.count("sessions open") >= 41 {
                break;
            }
        }
        let begun = world.executor.now();
        client.reply().await.expect("a reason").expect(421, "Timed out");
        assert!(world.executor.now().micros_since(begun) < 60_000_000, "served for too long");
    });
}

#[test]
fn who_comes_when_his_class_is_full_hears_421_and_is_reset() {
    story(|world| async move {
        let gateway = gateway_with_classes(&world).await;
        let mut crowd = Vec::new();
        for number in 0..40 {
            let from = IpAddr::from([203, 0, 113, number]);
            let mut client = Client::connect(&world.network, from, Gateway::address()).await;
            client.greet().await;
            crowd.push(client);
        }
        let from = IpAddr::from([203, 0, 113, 99]);
        let mut stream = world.network.connect(from, Gateway::address()).await.expect("it listens");
        let begun = world.executor.now();
        let mut client = Client::new(stream);
        client.reply().await.expect("a reason").expect(421, "Too many connections");
        assert!(client.reply().await.is_none());
        assert!(world.executor.now().micros_since(begun) < 2_000_000);
        // Own servers come in all the same.
        for from in [CLIENT, EXCHANGE] {
            let mut own = Client::connect(&world.network, from.into(), Gateway::address()).await;
            own.greet().await.expect(250, "");
            own.quit().await;
        }
        // One client from the Internet has a share only.
        crowd.clear();
        world.executor.sleep_ms(1_000).await;
        for _ in 0..16 {
            let mut client = Client::connect(&world.network, from, Gateway::address()).await;
            client.greet().await;
            crowd.push(client);
        }
        stream = world.network.connect(from, Gateway::address()).await.expect("it listens");
        Client::new(stream).reply().await.expect("a reason").expect(421, "from your address");
        assert_eq!(gateway.count("clients without a place"), 2);
    });
}

#[test]
fn a_tarpit_delays_the_greeting_and_every_refusal() {
    story(|world| async move {
        let gateway = gateway_with_classes(&world).await;
        assert_eq!(gateway.count("clients without a place"), 0);
        let from = IpAddr::from([198, 51, 100, 9]);
        let begun = world.executor.now();
        let mut client = Client::connect(&world.network, from, Gateway::address()).await;
        client.greet().await;
        assert!(world.executor.now().micros_since(begun) >= 7_000_000);
        let begun = world.executor.now();
        client.command("MAIL FROM:<a@example.org>").await.expect(250, "");
        assert!(world.executor.now().micros_since(begun) < 1_000_000);
        client.command("RCPT TO:<b@example.net>").await.expect(554, "");
        assert!(world.executor.now().micros_since(begun) >= 7_000_000);
    });
}
