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
/// Seconds that one connection attempt may take. RFC 5321 leaves it open; eight addresses are tried within four
/// minutes ([`crate::routing::MEETING_S`]).
pub const CONNECT_TIMEOUT_S: u64 = 30;

/// Destinations that the schedule knows at once: one for each route (512), and as many domains that are found by MX
/// records. With mail for more of them, those rest whose mail waits for its moment or whose servers do not answer.
pub const DESTINATIONS_COUNT_MAX: usize = 1_024;
/// Errands of one message: destinations that it goes to at the same time. One with more gets the others when some end.
pub const ERRANDS_PER_MESSAGE_MAX: usize = 64;
/// Errands beyond the first of each message, of all messages together: mail to several destinations is the exception.
pub const ERRANDS_FURTHER_COUNT_MAX: usize = 2 * crate::spool::MESSAGES_COUNT_MAX;

/// Seconds until a next hop that could not be reached is probed for the first time. A probe is one connection with
/// one message, whatever waits.
pub const PROBE_FIRST_S: u32 = 5;
/// Most seconds between two probes: so long does mail wait after the next hop is back.
pub const PROBE_MAX_S: u32 = 60;
/// Probes in a row that failed, after which the pauses grow on: an hour and a half of silence is no restart.
pub const PROBES_FAILED_LONG: u32 = 90;
/// Most seconds between two probes of a next hop that has been silent for so long.
pub const PROBE_LONG_S: u32 = 300;
/// Probes at once, of all next hops that were never reached or do not answer. The other workers are never taken by
/// them, so a living next hop finds one.
pub const PROBES_COUNT_MAX: usize = SESSIONS_OUT_COUNT_MAX - 4;
/// Probes at once while living next hops wait for workers.
pub const PROBES_BUSY_COUNT_MAX: usize = 6;
/// Probes at once of next hops that are known not to answer; what was never tried goes before them.
pub const PROBES_FAILING_COUNT_MAX: usize = 6;
/// Seconds that the first look at a next hop may take for a connection. Nearly all that live answer in one; 400 dead
/// ones are sorted out in three minutes. Whoever is slower is reached by a later probe, which waits longer.
pub const FIRST_LOOK_CONNECT_S: u64 = 5;
/// Seconds that the first look waits for the greeting, for the same reason.
pub const FIRST_LOOK_GREETING_S: u64 = 30;
/// Seconds that a later probe may take for a connection while more next hops are due for one than there may be probes.
pub const CROWDED_CONNECT_S: u64 = 10;
/// Messages in a row over one connection while other next hops wait for a worker.
pub const MESSAGES_PER_TURN_MAX: u32 = 20;
/// Of so many messages to a destination one is the oldest, whatever its priority: bulk mail is slow but never stands.
pub const OLDEST_EVERY: u8 = 4;
/// Recipients of a message from which on it is bulk: a letter to people has fewer.
pub const BULK_RECIPIENTS_COUNT: u16 = 50;
/// Seconds that a destination with a limited rate may be ahead of it, so that messages share connections.
pub const RATE_BURST_S: u64 = 10;
/// Seconds that a message whose fate is partly known waits for the rest, so that its sender gets one report.
pub const SETTLE_WAIT_S: u64 = 60;
/// Things that become due at the same moment and are made due without letting others run: below 1 M instructions.
pub const DUE_AT_ONCE_COUNT_MAX: usize = 256;
/// Seconds by which recipients of a message may be tried before their time, so that those that are due at nearly the same
/// moment share a transaction.
pub const DUE_TOGETHER_S: u64 = 5;
/// Seconds until a message that could not be read from flash is tried again.
pub const UNREADABLE_AGAIN_S: u64 = 60;
/// Seconds until a message with more destinations than it may have errands is routed again.
pub const ROUTE_AGAIN_S: u64 = 60;
/// Seconds until a message that could not be routed, warned about or reported because of the flash is attended to again.
pub const ATTEND_AGAIN_S: u64 = 60;
/// Seconds for which mail that the operator released is not given up, however old it is: he wants it to be tried.
pub const RELEASED_S: u64 = 3_600;
/// Seconds of operation with mail in the queue between two records of the operating time: 144 small records a day, and
/// what is lost by a power cut makes mail look ten minutes younger.
pub const OPERATING_TIME_SAVE_S: u64 = 600;
/// Sessions that one client address (IPv6: one /64) may have at once: a silent client cannot take all places.
pub const SESSIONS_PER_CLIENT_MAX: usize = SESSIONS_IN_COUNT_MAX / 2;
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
crate::const_assert!(PROBE_MAX_S <= PROBE_LONG_S);
crate::const_assert!(
    PROBES_BUSY_COUNT_MAX <= PROBES_COUNT_MAX && PROBES_FAILING_COUNT_MAX <= PROBES_COUNT_MAX
);
crate::const_assert!(
    DESTINATIONS_COUNT_MAX < u16::MAX as usize && ERRANDS_PER_MESSAGE_MAX <= u8::MAX as usize
);
