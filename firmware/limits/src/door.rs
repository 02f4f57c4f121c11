//! Bounds of clients at the door: who gets a session, and how patiently it is served.

use crate::relay::SESSIONS_IN_COUNT_MAX;

/// Sessions that only Exchange servers and trusted peers get, where there are rules about such: as many as Exchange Online
/// opens at a time to one connector under load. Everybody else shares the rest.
pub const SESSIONS_RESERVED_EXCHANGE_COUNT: usize = 16;
/// Of the others, sessions that the Internet does not get, where there are rules about applications.
pub const SESSIONS_RESERVED_APPLICATION_COUNT: usize = 8;
/// Sessions that one address of the Internet (IPv6: one /64) may have at once: large senders use several addresses.
pub const SESSIONS_PER_INTERNET_CLIENT_MAX: usize = 16;
/// Clients beyond the caps that are told so at a time. More than these are reset without a word.
pub const REFUSALS_COUNT_MAX: usize = 4;
/// Seconds that telling may take: the place must be free for the next at once.
pub const REFUSAL_S: u64 = 1;

/// Percent of the sessions that a class may have, in use, from which on they are scarce and patience shrinks.
pub const SCARCE_PERCENT: usize = 75;
/// Seconds between two looks at a session's patience, so that it shrinks for those who wait already.
pub const PATIENCE_LOOK_S: u64 = 5;
/// Octets a second that the content of a message must bring at least, on the average of a window: half of what the
/// slowest modem brings that anybody still has.
pub const CONTENT_RATE_MIN: u64 = 500;
/// Seconds of that window; as long as a server has to wait for the next octets of content at least (RFC 5321
/// §4.5.3.2.8 wishes 5 minutes for commands, 3 for content).
pub const CONTENT_WINDOW_S: u64 = 180;
/// Seconds of the window while sessions are scarce.
pub const CONTENT_WINDOW_SCARCE_S: u64 = 30;
/// Seconds that a client may take for a whole command while sessions are scarce, however it drips.
pub const COMMAND_SCARCE_S: u64 = 15;
/// The same for applications, which keep connections open between messages.
pub const COMMAND_APPLICATION_SCARCE_S: u64 = 50;
/// Seconds without a message taken, outside of content, after which a session ends while sessions are scarce.
pub const USELESS_SCARCE_S: u64 = 45;
/// Seconds that a session from the Internet may last; four hours are enough for the largest message at the least rate that
/// anybody has today.
pub const SESSION_S_MAX: u64 = 4 * 3_600;
/// Seconds that it may last while sessions are scarce.
pub const SESSION_SCARCE_S_MAX: u64 = 900;

crate::const_assert!(
    SESSIONS_RESERVED_EXCHANGE_COUNT + SESSIONS_RESERVED_APPLICATION_COUNT < SESSIONS_IN_COUNT_MAX
);
crate::const_assert!(REFUSALS_COUNT_MAX <= crate::relay::SESSIONS_REFUSED_COUNT_MAX);
// Whoever is slow is gone within a minute of scarcity.
crate::const_assert!(
    COMMAND_SCARCE_S + PATIENCE_LOOK_S < 60
        && COMMAND_APPLICATION_SCARCE_S + PATIENCE_LOOK_S < 60
        && USELESS_SCARCE_S + PATIENCE_LOOK_S < 60
        && CONTENT_WINDOW_SCARCE_S + PATIENCE_LOOK_S < 60
);
