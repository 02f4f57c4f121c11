//! What only the real image can show: its stack on a real wire, and real servers around it.

use super::{attacks, executor::Executor, net::WireNet, real_peers};
use crate::{net::Later, world::World};

/// What such a story has around it.
#[derive(Clone)]
pub struct Stage {
    /// Runs everything.
    pub executor: Executor,
    /// The network, with what only it has.
    pub wire: WireNet,
    /// What every scenario has.
    pub world: World,
}

/// A story that needs frames.
pub struct Alone {
    /// The row of the requirements or threats that it shows.
    pub row: &'static str,
    /// The name to call it by.
    pub name: &'static str,
    /// What happens, in one line.
    pub title: &'static str,
    /// What is not shown yet; such a story is only played when it is asked for by name.
    pub open: Option<&'static str>,
    /// The story. The appliance is blank and off when it begins.
    pub tell: fn(Stage) -> Later<'static, ()>,
}

/// All of them.
pub static ALL: &[Alone] = &[
    Alone {
        row: "bridge",
        name: "real_postfix",
        title: "Postfix is next hop and client: 200 messages each way, all the same",
        open: None,
        tell: |stage| Box::pin(real_peers::postfix(stage)),
    },
    Alone {
        row: "bridge",
        name: "real_exim",
        title: "Exim is next hop and client: 200 messages each way, all the same",
        open: None,
        tell: |stage| Box::pin(real_peers::exim(stage)),
    },
    Alone {
        row: "bridge",
        name: "real_opensmtpd",
        title: "OpenSMTPD is next hop and client: 200 messages each way, all the same",
        open: None,
        tell: |stage| Box::pin(real_peers::opensmtpd(stage)),
    },
    Alone {
        row: "T26",
        name: "slow_connections",
        title: "1,000 slow connections from the Internet: Exchange's mail goes on, the places are free again",
        open: Some("the heap stays 0.4 MB higher afterwards; whether that is a bounded table is not shown"),
        tell: |stage| Box::pin(attacks::slow_connections(stage)),
    },
    Alone {
        row: "T27",
        name: "forged_answers",
        title: "10,000 forged and many malformed answers of name servers: none is believed, nothing hangs",
        open: Some("did not come to its end within 150 s"),
        tell: |stage| Box::pin(attacks::forged_answers(stage)),
    },
    Alone {
        row: "T27",
        name: "observed_handshakes",
        title: "an observer of 100 handshakes cannot say the next sequence number",
        open: None,
        tell: |stage| Box::pin(attacks::observed_handshakes(stage)),
    },
];
