//! What a scenario has around it.

use crate::gateway::Gateway;
use crate::net::{Instant, Net};
use std::rc::Rc;

/// A network, an appliance, and where all chance comes from. Cloning gives another handle to the same world.
#[derive(Clone)]
pub struct World {
    /// The network with everybody on it.
    pub net: Rc<dyn Net>,
    /// The appliance, blank and switched off when the scenario begins.
    pub gateway: Rc<dyn Gateway>,
    /// The seed of this run.
    pub seed: u64,
}

impl World {
    /// Looks again and again whether `done`, for at most `seconds`: every 10 ms at first, and never more seldom than after
    /// another fiftieth of the wait. Returns whether it came about.
    pub async fn wait_until(&self, seconds: u64, done: impl Fn() -> bool) -> bool {
        let begun = self.net.now();
        let end = begun.plus_s(seconds);
        while !done() {
            let now = self.net.now();
            if now >= end {
                return false;
            }
            let pause_us = (now.micros_since(begun) / 50).max(10_000);
            self.net.sleep_until(Instant(now.0 + pause_us).min(end)).await;
        }
        true
    }

    /// Waits.
    pub async fn sleep_s(&self, seconds: u64) {
        self.net.sleep_ms(seconds * 1_000).await;
    }
}
