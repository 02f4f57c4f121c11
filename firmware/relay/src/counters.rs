//! What was counted since the start.

use core::cell::Cell;

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident: $label:literal,)+) => {
        /// What was counted since the start. Every count saturates.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: Cell<u64>,)+
        }

        impl Counters {
            /// Every count with its label, in the order of a letter's way.
            pub fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$(($label, self.$name.get()),)+].into_iter()
            }
        }
    };
}

counters! {
    /// SMTP sessions that were begun by clients.
    sessions: "sessions",
    /// SMTP sessions that are open now.
    sessions_open: "sessions open",
    /// The most sessions that were open at once.
    sessions_open_most: "sessions open, most",
    /// Clients that found no place.
    sessions_refused: "clients without a place",
    /// Sessions that ended because the client was silent or vanished.
    sessions_broken: "sessions broken off",
    /// Answers of 4yz and 5yz to commands that ask for something.
    refused: "refused",
    /// Loop markers on mail that came which were not ours, or came from the Internet.
    markers_removed: "foreign loop markers removed",
    /// Messages that were refused because they go round in circles.
    loops: "mail loops",
    /// Messages that were answered with 250.
    accepted: "accepted",
    /// Of these, messages that came from a peer of class exchange or trusted.
    accepted_exchange: "accepted from Exchange",
    /// Their octets.
    accepted_bytes: "accepted octets",
    /// Microseconds that the longest single wait of a session for the queue's flash took, its own writing included.
    store_wait_most_us: "longest store, microseconds",
    /// Messages that got a signature.
    signed: "signed",
    /// Messages that were decided to leave as they came.
    passed: "passed",
    /// Messages that were held, by decision or after failure.
    held: "held",
    /// Decisions that had to be put off.
    undecided: "decisions put off",
    /// Connections to a next hop that came about.
    connections: "connections out",
    /// Attempts to connect that failed.
    connections_failed: "connections out, failed",
    /// Recipients that were delivered.
    delivered: "delivered",
    /// Octets that were sent as content.
    delivered_bytes: "delivered octets",
    /// Attempts for a recipient that failed for now.
    deferred: "deferred",
    /// Recipients that failed for good.
    failed: "failed",
}

/// Adds to a counter.
pub(crate) fn count(counter: &Cell<u64>, by: u64) {
    counter.set(counter.get().saturating_add(by));
}

/// Raises a counter that keeps the most.
pub(crate) fn count_most(counter: &Cell<u64>, value: u64) {
    counter.set(counter.get().max(value));
}
