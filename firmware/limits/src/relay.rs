//! The appliance as a whole.

/// 2026-01-01T00:00:00Z in Unix seconds. A clock that shows less than the year in which this firmware was made is wrong:
/// a message that came in under it would look years old once the clock is right, and be given up.
pub const CLOCK_EARLIEST_S: u64 = 1_767_225_600;
/// SMTP sessions that are served at once.
pub const SESSIONS_IN_COUNT_MAX: usize = 64;
/// Connections beyond those, which are told `421` and closed: a peer that hears a reason comes back later, one that is
/// reset may think the host is down.
pub const SESSIONS_REFUSED_COUNT_MAX: usize = 4;
/// Connections to the SMTP port at once.
pub const LISTENERS_COUNT: usize = SESSIONS_IN_COUNT_MAX + SESSIONS_REFUSED_COUNT_MAX;
/// Deliveries that run at once.
pub const SESSIONS_OUT_COUNT_MAX: usize = 16;
/// Messages that are decided and signed at once: one waits for the TPM while the next is hashed.
pub const DECIDERS_COUNT: usize = 2;

/// Octets that a session reads at a time. Two segments of TCP and more than the longest command line, so that a
/// command always fits whole; small, because every session has such a buffer.
pub const SESSION_READ_BYTES: usize = 4 * 1_024;
/// Octets of a stored message that are read from flash, transformed and sent at a time. At 100 instructions an
/// octet this is below 1 M instructions, a few milliseconds on the target.
pub const MESSAGE_READ_BYTES: usize = 8 * 1_024;
/// Octets that a delivery reads of the peer's replies at a time.
pub const REPLY_READ_BYTES: usize = 1_024;

/// Received fields above which a message is taken to go round in circles (RFC 5321 §6.3 speaks of 100; Postfix
/// uses 50).
pub const RECEIVED_COUNT_MAX: u16 = 50;

/// Messages that are sent over one connection before it is closed: keeps load balancers of the peer fair.
pub const MESSAGES_PER_CONNECTION_MAX: u32 = 100;
/// Milliseconds that a connection without work is kept: the next message of a steady flow finds it open.
pub const CONNECTION_LINGER_MS: u64 = 2_000;
/// Addresses of a next hop that are tried in order.
pub const ADDRESSES_COUNT_MAX: usize = 8;
/// Seconds that one connection attempt may take. RFC 5321 leaves it open; eight addresses are tried within four
/// minutes.
pub const CONNECT_TIMEOUT_S: u64 = 30;

/// Seconds until a next hop that could not be reached is probed for the first time. A probe is one connection with
/// one message, whatever waits.
pub const PROBE_FIRST_S: u32 = 5;
/// Most seconds between two probes: so long does mail wait after the next hop is back.
pub const PROBE_MAX_S: u32 = 60;
/// Seconds until a message whose decision had to be put off (TPM or flash trouble) is decided again; sooner when the
/// TPM is back.
pub const DECIDE_AGAIN_S: u32 = 30;
/// Seconds between two attempts to start the TPM while it does not answer.
pub const TPM_AGAIN_S: u64 = 10;
/// Milliseconds between two steps of cleaning the queue's flash ahead of need, while there is something to clean. An
/// erase keeps the device busy for tens of milliseconds; so much is left to the mail.
pub const CLEAN_PAUSE_MS: u64 = 200;
/// Milliseconds between two looks whether there is something to clean.
pub const CLEAN_IDLE_MS: u64 = 10_000;

crate::const_assert!(SESSION_READ_BYTES >= crate::smtp::COMMAND_LINE_BYTES_MAX + 2);
crate::const_assert!(PROBE_FIRST_S <= PROBE_MAX_S);
