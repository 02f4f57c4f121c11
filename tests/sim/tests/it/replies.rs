//! Addresses that answer by themselves, once.

use crate::letter;
use flash_sim::Tear;
use settings::{Action, Domain};
use sim::gateway::Gateway;
use sim::peers::Sink;
use sim::world::{World, story};
use std::collections::BTreeSet;

async fn start(world: &World) -> (Gateway, Sink) {
    let sink = world.next_hop();
    let gateway = Gateway::new(world);
    gateway.configure_default().await;
    gateway.configure(&[("without-identity", "pass")]).await;
    gateway.add_rows::<Domain>(&["site.example"]).await;
    let row = "help@site.example reply-once This address is not read. Please write to desk@site.example.";
    gateway.add_rows::<Action>(&[row]).await;
    assert!(gateway.boot().await);
    (gateway, sink)
}

async fn send(world: &World, from: &str, extra: &str) {
    let mut client = world.client().await;
    let content = [extra.as_bytes(), &letter("question")].concat();
    client.send(from, &["help@site.example"], &content).await.expect("open").expect(250, "");
    client.quit().await;
}

#[test]
fn a_sender_is_answered_once_a_week_and_machines_never() {
    story(|world| async move {
        let (gateway, sink) = start(&world).await;
        for _ in 0..3 {
            send(&world, "ann@a.example", "").await;
        }
        assert!(world.wait_until(60, || gateway.queue_is_empty()).await);
        assert_eq!(sink.count(), 1);
        let reply = &sink.received()[0];
        assert_eq!((reply.from.as_str(), reply.to.as_slice()), ("", &["ann@a.example".to_string()][..]));
        assert_eq!(reply.header("Auto-Submitted").as_deref(), Some("auto-replied"));
        assert!(String::from_utf8_lossy(reply.body()).contains("Please write to desk@site.example."));
        send(&world, "", "").await;
        send(&world, "owner-list@a.example", "").await;
        send(&world, "bea@a.example", "List-Id: <l.a.example>\r\n").await;
        send(&world, "cem@a.example", "Auto-Submitted: auto-generated\r\n").await;
        send(&world, "dan@a.example", "Precedence: bulk\r\n").await;
        assert!(world.wait_until(60, || gateway.queue_is_empty()).await);
        assert_eq!(sink.count(), 1);
        // Also after a restart.
        gateway.power_cut();
        assert!(gateway.boot().await);
        send(&world, "ann@a.example", "").await;
        assert!(world.wait_until(60, || gateway.queue_is_empty()).await);
        assert_eq!(sink.count(), 1);
        world.sleep_ms(8 * 86_400 * 1_000).await;
        send(&world, "ann@a.example", "").await;
        assert!(world.wait_until(60, || sink.count() == 2).await);
    });
}

#[test]
fn a_cut_at_any_operation_of_an_answer_makes_no_second_one_and_loses_none() {
    story(|world| async move {
        let mut cuts = 0;
        for tear in [Tear::Before, Tear::After, Tear::Half(world.seed)] {
            for operations in 0.. {
                let inner = World::with_seed(world.seed);
                cuts += 1;
                if inner.executor.clone().block_on(one_cut(inner, operations, tear)) {
                    break;
                }
            }
        }
        assert!(cuts > 15, "only {cuts} cuts were tried");
    });
}

/// One letter, and a power cut after so many operations from the moment it was accepted. Returns whether no cut came
/// about.
async fn one_cut(world: World, operations: u64, tear: Tear) -> bool {
    let (gateway, sink) = start(&world).await;
    send(&world, "ann@a.example", "").await;
    gateway.bank.cut_after(operations, tear);
    world.wait_until(20, || !gateway.is_on()).await;
    let untouched = gateway.is_on();
    gateway.power_cut();
    assert!(gateway.boot().await);
    assert!(world.wait_until(600, || gateway.queue_is_empty()).await, "cut at {operations}, {tear:?}");
    // One may come twice, if the power went between the peer's answer and our record; two may not.
    let ids: BTreeSet<_> = sink.received().iter().map(|message| message.header("Message-ID")).collect();
    assert_eq!(ids.len(), 1, "cut at {operations}, {tear:?}");
    untouched
}
