//! The list of malformed sessions against the whole appliance.

use crate::{letter, passing_gateway, tag};
use malformed::{Ending, Step};
use sim::gateway::{CLIENT, Gateway};
use sim::network::Conditions;
use sim::peers::Client;
use sim::world::{World, story};
use std::net::IpAddr;

#[test]
fn every_malformed_session_gets_its_reply_and_good_mail_passes_afterwards() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        let mut accepted = 0;
        for case in malformed::sessions() {
            // A megabyte in tiny segments shows nothing that a kilobyte does not, and takes long.
            let long = case.steps.iter().any(|s| matches!(s, Step::Send(octets) if octets.len() > 10_000));
            let most =
                if long || world.random_below(3) > 0 { 1_460 } else { 1 + world.random_below(60) as usize };
            world.network.set_conditions(Conditions { segment_bytes_max: most, ..Conditions::default() });
            run(&world, &case).await;
            accepted += case.accepted;
            assert_eq!(gateway.count("accepted"), accepted as u64, "after {}", case.name);
            assert!(gateway.is_on(), "{} brought the appliance down", case.name);
        }
        world.network.set_conditions(Conditions::default());
        let mut client = world.client().await;
        let reply = client.send("ann@a.example", &["bob@b.example"], &letter("good")).await.expect("open");
        reply.expect(250, "");
        assert!(world.wait_until(120, || sink.received().iter().any(|r| tag(r) == "good")).await);
        assert_eq!(sink.count(), accepted + 1);
        assert_eq!(sink.violations(), Vec::<String>::new());
    });
}

async fn run(world: &World, case: &malformed::Session) {
    let mut client = Client::connect(&world.network, IpAddr::from(CLIENT), Gateway::address()).await;
    client.reply().await.expect("a greeting").expect(220, "");
    for step in &case.steps {
        match step {
            // A server that has closed is a fine answer to many of these.
            Step::Send(octets) => _ = client.raw(octets).await,
            Step::Expect(replies) => expect(case, &mut client, replies).await,
            Step::ExpectMany(count, replies) => {
                for _ in 0..*count {
                    expect(case, &mut client, replies).await;
                }
            }
        }
    }
    match case.ending {
        Ending::Usable => {
            client.raw(b"QUIT\r\n").await.expect("usable");
            expect(case, &mut client, &["221 "]).await;
            assert!(client.reply().await.is_none(), "{}: still open after QUIT", case.name);
        }
        Ending::Closed => assert!(client.reply().await.is_none(), "{}: not closed", case.name),
        Ending::ClientCloses => client.close().await,
        Ending::ClientVanishes => {
            // Until the server loses patience.
            world.sleep_ms(700_000).await;
            assert!(client.reply().await.is_none_or(|r| r.code == 421), "{}: waits for ever", case.name);
        }
    }
    world.sleep_ms(100).await;
}

async fn expect(case: &malformed::Session, client: &mut Client, replies: &[&str]) {
    let Some(reply) = client.reply().await else {
        panic!("{}: closed, expected {replies:?}", case.name);
    };
    let last = format!("{} {}", reply.code, reply.lines.last().map_or("", String::as_str));
    assert!(replies.iter().any(|r| last.starts_with(r)), "{}: {last}, expected {replies:?}", case.name);
}
