//! The name servers, and what was learnt about them.

use alloc::vec::Vec;
use core::net::IpAddr;
use limits::dns::{SERVER_PENALTY_S, WITHOUT_EDNS_S};
use limits::settings::DNS_SERVERS_COUNT_MAX;
use platform::Instant;

#[derive(Clone, Copy, Debug)]
struct Server {
    address: IpAddr,
    /// Until when it stands behind the others.
    penalty: Instant,
    /// Until when it is asked without EDNS0.
    without_edns: Instant,
}

/// The servers in the operator's order, the silent ones last.
#[derive(Debug, Default)]
pub struct Servers {
    list: Vec<Server>,
}

impl Servers {
    /// Says which servers there are, at most `DNS_SERVERS_COUNT_MAX`. Returns whether these are others than before; what
    /// the earlier ones answered need not be true any more then.
    pub fn set(&mut self, addresses: &[IpAddr]) -> bool {
        let addresses = addresses.get(..DNS_SERVERS_COUNT_MAX).unwrap_or(addresses);
        if self.list.iter().map(|server| server.address).eq(addresses.iter().copied()) {
            return false;
        }
        let fresh = |address: &IpAddr| Server {
            address: *address,
            penalty: Instant::default(),
            without_edns: Instant::default(),
        };
        self.list = addresses.iter().map(fresh).collect();
        true
    }

    /// The servers in the order in which they are asked, each with whether it is asked with EDNS0.
    #[must_use]
    pub fn in_order(&self, now: Instant) -> Vec<(IpAddr, bool)> {
        let mut servers = self.list.clone();
        servers.sort_by_key(|server| server.penalty > now);
        servers.iter().map(|server| (server.address, server.without_edns <= now)).collect()
    }

    /// The server did not answer.
    pub(crate) fn was_silent(&mut self, address: IpAddr, now: Instant) {
        self.with(address, |server| server.penalty = now.plus_s(SERVER_PENALTY_S));
    }

    /// The server answered, whatever it said.
    pub(crate) fn has_answered(&mut self, address: IpAddr) {
        self.with(address, |server| server.penalty = Instant::default());
    }

    /// The server cannot read EDNS0.
    pub(crate) fn knows_no_edns(&mut self, address: IpAddr, now: Instant) {
        self.with(address, |server| server.without_edns = now.plus_s(WITHOUT_EDNS_S));
    }

    fn with(&mut self, address: IpAddr, change: impl FnOnce(&mut Server)) {
        if let Some(server) = self.list.iter_mut().find(|server| server.address == address) {
            change(server);
        }
    }
}
