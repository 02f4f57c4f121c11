//! Stories of the whole appliance, at the level of mail.
//!
//! A failing story prints its seed and the command that repeats it. `SIM_SEED=… cargo test -p sim NAME` runs any story
//! with another seed.
#![forbid(unsafe_code)]

mod console;
mod delivery;
mod intake;
mod malformed_sessions;
mod next_hop;
mod power;
mod signing;
mod sizes;

use sim::gateway::Gateway;
use sim::peers::Received;
use sim::world::World;

/// An appliance without TPM that passes unsigned mail of everybody, configured and booted.
async fn passing_gateway(world: &World) -> Gateway {
    let gateway = Gateway::new(world);
    gateway.configure_default().await;
    gateway.configure(&[("without-identity", "pass")]).await;
    assert!(gateway.boot().await);
    gateway
}

/// A short message with everything that a message should have; `tag` makes it recognisable.
fn letter(tag: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@a.example>\r\nTo: bob@b.example\r\nSubject: {tag}\r\n\
         Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{tag}@a.example>\r\n\r\nHello {tag}.\r\n"
    )
    .into_bytes()
}

/// The tag of a received [`letter`].
fn tag(received: &Received) -> String {
    received.header("Subject").unwrap_or_default()
}

/// What the sink got without the trace field that the appliance put before it.
fn without_trace(received: &Received) -> &[u8] {
    let content = &received.content;
    assert!(content.starts_with(b"Received: from "), "no trace field on top");
    let mut at = 0;
    loop {
        let end = content[at..].windows(2).position(|w| w == b"\r\n").expect("lines end") + at + 2;
        if !matches!(content.get(end), Some(b' ' | b'\t')) {
            return &content[end..];
        }
        at = end;
    }
}
