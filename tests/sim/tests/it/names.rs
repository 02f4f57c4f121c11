//! Questions to DNS, seen from the mail that waits for the answers.

use crate::{letter, passing_gateway};
use dns::{Code, Data, Message, Name, Record};
use sim::gateway::{GATEWAY, Gateway};
use sim::names::name_server;
use sim::peers::Sink;
use sim::world::{World, story};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const HOST: [u8; 4] = [10, 9, 0, 1];
const FORGED: [u8; 4] = [10, 66, 6, 6];

async fn gateway_to(world: &World, next_hop: &str) -> Gateway {
    let gateway = Gateway::new(world);
    gateway.configure_default().await;
    gateway.configure(&[("without-identity", "pass"), ("next-hop", next_hop)]).await;
    assert!(gateway.boot().await);
    gateway
}

async fn send(world: &World) {
    let mut client = world.client().await;
    client.send("ann@a.example", &["bob@b.example"], &letter("x")).await.expect("open").expect(250, "");
    client.quit().await;
}

fn sink_at(world: &World, host: [u8; 4]) -> Sink {
    Sink::start(&world.executor, &world.network, SocketAddr::from((host, 25)))
}

#[test]
fn an_alias_is_followed_to_the_host() {
    story(|world| async move {
        let alias = Data::Cname(Name::parse("host.b.example").expect("a name"));
        world.network.set_records("mx.b.example", &[alias]);
        world.network.set_name("host.b.example", &[HOST.into()]);
        let sink = sink_at(&world, HOST);
        let _gateway = gateway_to(&world, "mx.b.example").await;
        send(&world).await;
        assert!(world.wait_until(60, || sink.count() == 1).await);
    });
}

#[test]
fn mx_records_too_many_for_a_datagram_come_over_tcp() {
    story(|world| async move {
        let mx = |number: u16| Data::Mx {
            preference: number,
            exchange: Name::parse(&format!("{}.{number}.example", "x".repeat(60))).expect("a name"),
        };
        let mut records: Vec<Data> = (10..60).map(mx).collect();
        records.push(Data::Mx { preference: 1, exchange: Name::parse("mx.b.example").expect("a name") });
        world.network.set_records("b.example", &records);
        world.network.set_name("mx.b.example", &[HOST.into()]);
        let sink = sink_at(&world, HOST);
        let gateway = Gateway::new(&world);
        gateway.configure_default().await;
        gateway.configure(&[("without-identity", "pass"), ("next-hop", "none")]).await;
        assert!(gateway.boot().await);
        send(&world).await;
        assert!(world.wait_until(60, || sink.count() == 1).await, "{}", gateway.console("queue").await);
        assert_eq!(world.network.attempts(name_server().ip()).len(), 1);
    });
}

#[test]
fn ten_thousand_forged_answers_lead_no_mail_astray_and_nothing_hangs() {
    story(|world| async move {
        world.network.set_name("mx.b.example", &[HOST.into()]);
        world.network.set_name_service(false);
        let (sink, thief) = (sink_at(&world, HOST), sink_at(&world, FORGED));
        let gateway = gateway_to(&world, "mx.b.example").await;
        send(&world).await;
        let (mut sent, mut number) = (0u32, 1u32);
        while sent < 10_000 {
            let ports = world.network.datagram_ports(IpAddr::from(GATEWAY));
            if ports.is_empty() {
                // Longer than it is remembered that nobody answers.
                world.sleep_ms(5_500).await;
                gateway.console("queue retry all").await;
            }
            for port in ports {
                for _ in 0..10 {
                    // From the server's address, to the right port: only identifier and spelling are guessed.
                    number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    let name = Name::parse("mx.b.example").expect("a name");
                    let question = dns::Question { name: name.clone(), kind: dns::RecordType::A };
                    let mut forged =
                        Message::query((number >> 16) as u16, question, None).reply(Code::NO_ERROR);
                    let address = Data::A(Ipv4Addr::from(FORGED));
                    forged.answers.push(Record { name, ttl: 86_400, data: address });
                    let to = SocketAddr::from((GATEWAY, port));
                    world.network.send_datagram(name_server(), to, &forged.encode(512));
                    sent += 1;
                }
            }
            world.sleep_ms(50).await;
        }
        assert_eq!(thief.connections(), 0);
        world.network.set_name_service(true);
        assert!(world.wait_until(900, || sink.count() == 1).await, "{}", gateway.console("queue").await);
        assert_eq!(thief.connections(), 0);
    });
}

#[test]
fn a_hundred_messages_ask_once() {
    story(|world| async move {
        world.network.set_name("mx.b.example", &[HOST.into()]);
        let sink = sink_at(&world, HOST);
        let _gateway = gateway_to(&world, "mx.b.example").await;
        let before = world.network.questions();
        for _ in 0..100 {
            send(&world).await;
        }
        assert!(world.wait_until(60, || sink.count() == 100).await);
        // The time to live of the answers is 10 s.
        assert!(world.network.questions() - before < 10, "{}", world.network.questions() - before);
    });
}

#[test]
fn a_name_that_does_not_exist_and_servers_that_do_not_answer_are_told_apart() {
    story(|world| async move {
        let gateway = passing_gateway(&world).await;
        let answer = gateway.console("diag smtp no.such.example").await;
        assert!(answer.contains("no.such.example: no such name."), "{answer}");
        world.network.set_name_service(false);
        let answer = gateway.console("diag smtp mx.b.example").await;
        assert!(answer.contains("no answer from the name servers"), "{answer}");
    });
}
