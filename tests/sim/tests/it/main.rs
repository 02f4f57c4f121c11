//! Stories of the whole appliance, at the level of mail.
//!
//! A failing story prints its seed and the command that repeats it. `SIM_SEED=… cargo test -p sim NAME` runs any story
//! with another seed.
#![forbid(unsafe_code)]

mod commands;
mod console;
mod courtesy;
mod crowd;
mod days;
mod delivery;
mod diag;
mod esmtp;
mod exchangers;
mod guides;
mod intake;
mod malformed_sessions;
mod names;
mod next_hop;
mod nobody;
mod operator;
mod outage;
mod overload;
mod power;
mod priorities;
mod quotas;
mod replies;
mod reports;
mod rights;
mod signing;
mod sizes;
mod slow_clients;
mod wear;

use sim::gateway::Gateway;
use sim::letters::{letter, tag, without_trace};
use sim::world::World;

/// An appliance without TPM that passes unsigned mail of everybody, configured and booted.
async fn passing_gateway(world: &World) -> Gateway {
    let gateway = Gateway::new(world);
    gateway.configure_default().await;
    gateway.configure(&[("without-identity", "pass")]).await;
    assert!(gateway.boot().await);
    gateway
}
