//! Who has sent how much since the start, and who sends too fast.
//!
//! In RAM, for a bounded number of clients: the one that has been silent longest makes room for a new one, those of
//! class internet before all others, so that strangers cannot make the appliance forget its own.

use crate::ledger::ClientKey;
use alloc::collections::BTreeMap;
use limits::clients::{CLIENT_RATE_BURST_S, CLIENT_RATE_WAIT_S_MAX, CLIENTS_COUNT_MAX};
use platform::Instant;
use settings::Class;

/// What is known of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Class by the rule that was for its last session.
    pub(crate) class: Class,
    /// Sessions.
    pub(crate) sessions: u32,
    /// Messages that were answered with 250, and their octets.
    pub(crate) messages: u32,
    pub(crate) octets: u64,
    /// Answers of 4yz and 5yz.
    pub(crate) refused: u32,
    /// Messages that were delayed or put off because of the rate.
    pub(crate) slowed: u32,
    /// When it was last heard of.
    pub(crate) seen: Instant,
    /// When the messages so far would be through at the rate that it may have.
    paid_until: Instant,
}

/// What becomes of a message of a client with a limited rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// It may come now.
    Now,
    /// It may come then.
    At(Instant),
    /// It is too much.
    TooMuch,
}

/// The counts of all clients.
#[derive(Debug, Default)]
pub(crate) struct Clients(BTreeMap<ClientKey, Counts>);

impl Clients {
    /// The counts of a client, which is heard of now.
    pub(crate) fn entry(&mut self, key: ClientKey, class: Class, now: Instant) -> &mut Counts {
        if !self.0.contains_key(&key) && self.0.len() >= CLIENTS_COUNT_MAX {
            let last = |(_, counts): &(&ClientKey, &Counts)| (counts.class != Class::Internet, counts.seen.0);
            if let Some(key) = self.0.iter().min_by_key(last).map(|(key, _)| *key) {
                self.0.remove(&key);
            }
        }
        let counts = self.0.entry(key).or_insert(Counts {
            class,
            sessions: 0,
            messages: 0,
            octets: 0,
            refused: 0,
            slowed: 0,
            seen: now,
            paid_until: now,
        });
        (counts.class, counts.seen) = (class, now);
        counts
    }

    /// All clients, those with most messages first.
    pub(crate) fn list(&self) -> alloc::vec::Vec<(ClientKey, Counts)> {
        let mut list: alloc::vec::Vec<_> = self.0.iter().map(|(key, counts)| (*key, *counts)).collect();
        list.sort_unstable_by_key(|(_, counts)| core::cmp::Reverse((counts.messages, counts.refused)));
        list
    }
}

impl Counts {
    /// Asks for one more message at `rate` messages a minute. Strangers are never made to wait: whoever keeps their
    /// connection open occupies a place.
    pub(crate) fn pace(&mut self, rate: u32, now: Instant) -> Pace {
        if rate == 0 {
            return Pace::Now;
        }
        let interval_us = 60_000_000 / u64::from(rate);
        // What is saved up: at least one message, else nobody could ever send.
        let burst_us = (CLIENT_RATE_BURST_S * 1_000_000).max(interval_us);
        let paid_until = self.paid_until.0.max(now.0).saturating_add(interval_us);
        let wait_us = paid_until.saturating_sub(now.0).saturating_sub(burst_us);
        if wait_us == 0 {
            self.paid_until = Instant(paid_until);
            return Pace::Now;
        }
        self.slowed = self.slowed.saturating_add(1);
        if self.class == Class::Internet || wait_us > CLIENT_RATE_WAIT_S_MAX * 1_000_000 {
            return Pace::TooMuch;
        }
        self.paid_until = Instant(paid_until);
        Pace::At(Instant(now.0.saturating_add(wait_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr};

    fn key(number: u32) -> ClientKey {
        ClientKey::new(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000)
    }

    #[test]
    fn a_program_is_delayed_and_its_messages_come_at_its_rate() {
        let mut clients = Clients::default();
        let counts = clients.entry(key(1), Class::Application, at(0));
        let mut now = at(0);
        for number in 0..200u64 {
            match counts.pace(60, now) {
                Pace::Now => assert!(number < 10 || now == at(number - 9)),
                Pace::At(moment) => {
                    assert_eq!(moment, at(number - 9), "one a second, ten ahead");
                    now = moment;
                }
                Pace::TooMuch => panic!("nobody waits for long who waits each time"),
            }
        }
        assert_eq!(counts.pace(60, at(100_000)), Pace::Now);
    }

    #[test]
    fn many_connections_of_a_program_wait_up_to_a_minute_and_then_hear_no() {
        let mut clients = Clients::default();
        let counts = clients.entry(key(1), Class::Application, at(0));
        let paces: alloc::vec::Vec<Pace> = (0..100).map(|_| counts.pace(60, at(0))).collect();
        let count = |wanted: fn(&Pace) -> bool| paces.iter().filter(|pace| wanted(pace)).count();
        assert_eq!(count(|pace| *pace == Pace::Now), 10);
        assert_eq!(count(|pace| matches!(pace, Pace::At(_))), 60);
        assert_eq!(count(|pace| *pace == Pace::TooMuch), 30);
        // What was refused has cost nothing.
        assert_eq!(counts.pace(60, at(61)), Pace::Now);
        assert_eq!(counts.slowed, 90);
    }

    #[test]
    fn a_stranger_is_never_made_to_wait_and_a_slow_rate_lets_single_messages_through() {
        let mut clients = Clients::default();
        let counts = clients.entry(key(1), Class::Internet, at(0));
        assert_eq!((counts.pace(1, at(0)), counts.pace(1, at(1))), (Pace::Now, Pace::TooMuch));
        assert_eq!((counts.pace(1, at(59)), counts.pace(1, at(60))), (Pace::TooMuch, Pace::Now));
    }

    #[test]
    fn strangers_in_any_number_do_not_make_it_forget_its_own() {
        let mut clients = Clients::default();
        clients.entry(key(1), Class::Exchange, at(0)).messages = 7;
        for number in 0..3 * CLIENTS_COUNT_MAX as u32 {
            clients.entry(key(100 + number), Class::Internet, at(1 + u64::from(number)));
        }
        assert_eq!(clients.list().len(), CLIENTS_COUNT_MAX);
        assert_eq!(clients.list()[0].1.messages, 7);
    }
}
