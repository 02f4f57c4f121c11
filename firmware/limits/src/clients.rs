//! What is remembered of clients, and how they are slowed down.

/// Clients (IPv4 addresses, IPv6 networks of 64 bits) of which counts are kept since the start. The one that has been
/// silent longest makes room for a new one. About 100 octets each.
pub const CLIENTS_COUNT_MAX: usize = 512;
/// Seconds that a client with a limited rate may be ahead of it: programs send in bursts.
pub const CLIENT_RATE_BURST_S: u64 = 10;
/// Seconds that a message of a known client is delayed at most before it hears 450. Programs wait for five minutes for
/// an answer to MAIL (RFC 5321 §4.5.3.2.2) and not all come again, so waiting is kinder than refusing.
pub const CLIENT_RATE_WAIT_S_MAX: u64 = 60;

crate::const_assert!(CLIENT_RATE_WAIT_S_MAX < crate::smtp::CLIENT_REPLY_TIMEOUT_S as u64);
