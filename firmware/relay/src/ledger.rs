//! Who occupies how much of the queue. In RAM: counted when a message comes, and after a start when it is routed.
//!
//! A client is an IPv4 address or an IPv6 network of 64 bits, since whoever has one address of such a network has all of
//! them. Held mail counts for its client too, or policy would make it free. Mail that was held before the last start
//! counts for nobody until it is released.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

/// One client, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientKey(u64);

impl ClientKey {
    pub(crate) fn new(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No IPv6 network that a client can have begins with these bits (RFC 4291 §2.5.5).
            IpAddr::V4(address) => Self(0xffff_0000_0000 | u64::from(address.to_bits())),
            IpAddr::V6(address) => Self((address.to_bits() >> 64) as u64),
        }
    }
}

impl core::fmt::Display for ClientKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0.checked_sub(0xffff_0000_0000).and_then(|rest| u32::try_from(rest).ok()) {
            Some(bits) => f.pad(&alloc::format!("{}", core::net::Ipv4Addr::from_bits(bits))),
            None => f.pad(&alloc::format!("{}/64", core::net::Ipv6Addr::from_bits(u128::from(self.0) << 64))),
        }
    }
}

/// Places and octets of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Use {
    /// Messages, those included that are arriving.
    pub(crate) messages: u32,
    /// Octets of their content, announced or stored.
    pub(crate) octets: u64,
}

impl Use {
    /// Whether one more message of `octets` stays within `percent` of `whole`. A whole of nothing allows nothing, any
    /// other allows whoever has nothing one message: a large one would be put off for ever.
    pub(crate) fn allows(self, octets: u64, percent: u8, whole: Self) -> bool {
        let share = |all: u64| all.saturating_mul(percent.into()) / 100;
        if self.messages == 0 {
            return whole.messages > 0;
        }
        u64::from(self.messages) < share(whole.messages.into())
            && self.octets.saturating_add(octets) <= share(whole.octets)
    }

    /// Whether what is counted already stays within `percent` of `whole`, or is one message.
    pub(crate) fn is_within(self, percent: u8, whole: Self) -> bool {
        self.messages <= 1 || self.octets <= whole.octets.saturating_mul(percent.into()) / 100
    }
}

/// What each client occupies; at most one entry for each message of the queue or arriving.
#[derive(Debug, Default)]
pub(crate) struct Ledger(BTreeMap<ClientKey, Use>);

impl Ledger {
    pub(crate) fn add(&mut self, client: ClientKey, octets: u64) {
        let entry = self.0.entry(client).or_default();
        entry.messages = entry.messages.saturating_add(1);
        entry.octets = entry.octets.saturating_add(octets);
    }

    pub(crate) fn remove(&mut self, client: ClientKey, octets: u64) {
        let Some(entry) = self.0.get_mut(&client) else { return };
        entry.messages = entry.messages.saturating_sub(1);
        entry.octets = entry.octets.saturating_sub(octets);
        if entry.messages == 0 {
            self.0.remove(&client);
        }
    }

    /// More octets of a message that is counted.
    pub(crate) fn grow(&mut self, client: ClientKey, octets: u64) {
        if let Some(entry) = self.0.get_mut(&client) {
            entry.octets = entry.octets.saturating_add(octets);
        }
    }

    pub(crate) fn used(&self, client: ClientKey) -> Use {
        self.0.get(&client).copied().unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn total(&self) -> Use {
        self.0.values().fold(Use::default(), |sum, one| Use {
            messages: sum.messages + one.messages,
            octets: sum.octets + one.octets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_an_address_or_a_network_of_64_bits() {
        let key = |text: &str| ClientKey::new(text.parse().expect("an address"));
        assert_eq!(key("10.1.0.7"), key("::ffff:10.1.0.7"));
        assert_ne!(key("10.1.0.7"), key("10.1.0.8"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn a_share_bounds_places_and_octets_and_what_is_given_back_is_free() {
        let whole = Use { messages: 10, octets: 1_000 };
        let (client, mut ledger) = (ClientKey::new([10, 0, 0, 1].into()), Ledger::default());
        for _ in 0..8 {
            assert!(ledger.used(client).allows(50, 80, whole));
            ledger.add(client, 50);
        }
        assert!(!ledger.used(client).allows(1, 80, whole), "eight of ten places");
        ledger.remove(client, 50);
        assert!(ledger.used(client).allows(450, 80, whole) && !ledger.used(client).allows(451, 80, whole));
        for _ in 0..7 {
            ledger.remove(client, 50);
        }
        assert_eq!((ledger.used(client), ledger.total()), (Use::default(), Use::default()));
    }

    #[test]
    fn whoever_has_nothing_may_have_one_message_however_large_and_small_the_share() {
        let whole = Use { messages: 10, octets: 1_000 };
        assert!(
            Use::default().allows(900, 10, whole) && Use { messages: 1, octets: 900 }.is_within(10, whole)
        );
        assert!(!Use { messages: 1, octets: 900 }.allows(1, 10, whole));
        assert!(!Use { messages: 2, octets: 901 }.is_within(10, whole));
        assert!(!Use::default().allows(0, 80, Use::default()), "no queue at all");
    }
}
