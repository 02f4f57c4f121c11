//! What is known of single addresses: those that did not serve come after the others of their destination for a while, so
//! that a dead server costs one attempt now and then and not one for each connection, whatever number of domains it
//! serves; and when it is back, mail goes there again.

use crate::time::backoff_s;
use alloc::vec::Vec;
use core::net::SocketAddr;
use limits::routing::{ADDRESS_DOWN_FIRST_S, ADDRESS_DOWN_MAX_S, ADDRESSES_DOWN_COUNT_MAX};
use platform::Instant;

#[derive(Debug)]
struct Down {
    address: SocketAddr,
    since: Instant,
    until: Instant,
    failures: u32,
}

/// Addresses that did not serve; at most [`ADDRESSES_DOWN_COUNT_MAX`].
#[derive(Debug, Default)]
pub(super) struct Addresses {
    list: Vec<Down>,
}

impl Addresses {
    fn place(&self, address: SocketAddr) -> Option<usize> {
        self.list.iter().position(|down| down.address == address)
    }

    /// Whether it is to come after others.
    pub(super) fn is_down(&self, address: SocketAddr, now: Instant) -> bool {
        self.list.iter().any(|down| down.address == address && down.until > now)
    }

    /// It did not serve.
    pub(super) fn failed(&mut self, address: SocketAddr, now: Instant, random: u32) {
        let pause = |failures| backoff_s(ADDRESS_DOWN_FIRST_S, ADDRESS_DOWN_MAX_S, failures, random).into();
        if let Some(down) = self.place(address).and_then(|place| self.list.get_mut(place)) {
            // Attempts that ran at the same time are one failure.
            if down.until <= now {
                down.failures = down.failures.saturating_add(1);
                down.until = now.plus_s(pause(down.failures));
            }
            return;
        }
        if self.list.len() >= ADDRESSES_DOWN_COUNT_MAX
            && let Some(oldest) = (0..self.list.len()).min_by_key(|at| self.list.get(*at).map(|d| d.since))
        {
            self.list.swap_remove(oldest);
        }
        self.list.push(Down { address, since: now, until: now.plus_s(pause(0)), failures: 0 });
    }

    /// It served.
    pub(super) fn served(&mut self, address: SocketAddr) {
        if let Some(place) = self.place(address) {
            self.list.swap_remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, n.to_be_bytes()[0], n.to_be_bytes()[1]], 25))
    }

    #[test]
    fn what_did_not_serve_stands_back_longer_each_time_and_is_forgotten_when_it_serves() {
        let mut addresses = Addresses::default();
        let (here, mut now) = (address(1), Instant(0).plus_s(1));
        assert!(!addresses.is_down(here, now));
        addresses.failed(here, now, 0);
        addresses.failed(here, now, 0);
        assert!(addresses.is_down(here, now) && !addresses.is_down(address(2), now));
        let first = now.plus_s((ADDRESS_DOWN_FIRST_S + ADDRESS_DOWN_FIRST_S / 8).into());
        assert!(!addresses.is_down(here, first), "two failures at once counted twice");
        now = first;
        addresses.failed(here, now, 0);
        assert!(addresses.is_down(here, now.plus_s(u64::from(ADDRESS_DOWN_FIRST_S) + 5)));
        addresses.served(here);
        assert!(!addresses.is_down(here, now));
    }

    #[test]
    fn with_too_many_the_oldest_is_forgotten() {
        let mut addresses = Addresses::default();
        for n in 0..=u16::try_from(ADDRESSES_DOWN_COUNT_MAX).expect("small") {
            addresses.failed(address(n), Instant(u64::from(n)), 0);
        }
        assert_eq!(addresses.list.len(), ADDRESSES_DOWN_COUNT_MAX);
        assert!(!addresses.is_down(address(0), Instant(0)) && addresses.is_down(address(1), Instant(0)));
    }
}
