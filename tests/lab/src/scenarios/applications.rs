//! Application mail: bursts, sloppiness, what the programs may.

use crate::letters::Letter;
use crate::peers::internet::Manner;
use crate::world::World;

/// 3.02: 1,000 mails at once leave at five a second, in order; none is lost, nobody is turned away for good.
pub async fn burst_of_a_thousand(world: World) {
    world
        .set_up(&[
            "set relay-networks 10.1.0.0/16",
            "set next-hop 10.20.0.1",
            "set destination-rate 300",
            "set destination-connections 1",
        ])
        .await;
    let mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let application = world.application("10.1.0.7", "app.a.example");
    let began = world.net.now();
    for number in 0..1_000 {
        let letter = Letter::new(&format!("burst-{number:04}"), "app@a.example", &["bob@b.example"]);
        application.send(&letter).await.reply.expect(250, "");
    }
    let taken_s = world.net.now().micros_since(began) / 1_000_000;
    assert!(
        world.wait_until(1_200, || mx.received().len() == 1_000).await,
        "{} of 1,000",
        mx.received().len()
    );
    let got = mx.received();
    let tags: Vec<_> = got.iter().map(|mail| mail.header("Subject").unwrap_or_default()).collect();
    assert!(tags.is_sorted(), "they arrive in the order in which they were sent");
    let all_s = got[999].when.micros_since(got[0].when) / 1_000_000;
    assert!((190..=260).contains(&all_s), "1,000 at five a second took {all_s} s (taken within {taken_s} s)");
    // A connection that is open may be used for ten seconds' worth ahead of time, and never for more.
    for (index, first) in got.iter().enumerate() {
        let within = got[index..].iter().take_while(|mail| mail.when.micros_since(first.when) < 10_000_000);
        let count = within.count();
        assert!(count <= 105, "{count} mails within ten seconds");
    }
    world.queue_empties(60).await;
}
