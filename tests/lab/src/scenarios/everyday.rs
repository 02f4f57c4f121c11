//! Everyday life: mail comes and goes, the operator looks on.

use crate::letters::Letter;
use crate::peers::internet::Manner;
use crate::world::World;

/// 0.27: the queue is empty when everything works, and the log says what happened to each message.
pub async fn queue_is_empty_when_all_works(world: World) {
    world.set_up(&["set relay-networks 10.1.0.0/16", "set next-hop 10.20.0.1"]).await;
    let _mx = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::default());
    let application = world.application("10.1.0.7", "app.a.example");
    let letters: Vec<_> = (0..20)
        .map(|n| Letter::new(&format!("letter-{n:02}"), "ann@a.example", &["bob@b.example", "eva@b.example"]))
        .collect();
    for letter in &letters {
        application.send(letter).await.reply.expect(250, "");
    }
    for letter in &letters {
        world.arrives(60, letter, "bob@b.example").await;
        world.arrives(60, letter, "eva@b.example").await;
    }
    world.queue_empties(30).await;
    let log = world.gateway.command("log tail 50").await;
    let ends = log.lines().filter(|line| line.contains(" removed ") && line.contains("reason=\"delivered\""));
    assert!(ends.count() >= 9, "each message leaves one line at its end: {log}");
    world.shows("diag", "ok   queue           0 messages").await;
}
