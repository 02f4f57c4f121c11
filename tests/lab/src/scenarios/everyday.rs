//! Everyday life: mail comes and goes, the operator looks on.

use crate::world::World;

/// 0.27: the queue is empty when everything works.
pub async fn queue_is_empty_when_all_works(world: World) {
    world.gateway.power_on().await;
    let shown = world.gateway.command("queue").await;
    assert!(shown.contains("The queue is empty."), "{shown}");
}
