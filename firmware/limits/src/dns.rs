//! Bounds of the resolver.

/// Octets of one label of a name (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;
/// Octets of a name on the wire, lengths and the root included (RFC 1035 §2.3.4).
pub const NAME_BYTES_MAX: usize = 255;
/// Mail exchangers of one domain that are looked at, the best first: more than any real domain has.
pub const EXCHANGERS_COUNT_MAX: usize = 16;
/// Octets of a message over UDP: what crosses every network of today in one piece (DNS Flag Day 2020), and what we say
/// that we take (EDNS0, RFC 6891 §6.2.3).
pub const UDP_BYTES_MAX: usize = 1_232;
/// Octets of a message over TCP that are taken. The protocol allows 65,535; nothing that mail asks for is half as long as
/// this, and whoever sends more wants something else.
pub const TCP_BYTES_MAX: usize = 16_384;
/// Records of one message. The largest real answers (a domain's TXT records) have a few dozen.
pub const RECORDS_COUNT_MAX: usize = 256;
/// Pointers that one name may be put together from (RFC 1035 §4.1.4). Real messages need two or three.
pub const NAME_POINTERS_COUNT_MAX: usize = 16;
/// Aliases followed from the name that was asked for to the one that has the records.
pub const ALIASES_COUNT_MAX: usize = 8;

crate::const_assert!(UDP_BYTES_MAX < TCP_BYTES_MAX && TCP_BYTES_MAX <= u16::MAX as usize);

/// Port of name servers (RFC 1035 §4.2).
pub const PORT: u16 = 53;
/// Milliseconds that a server has for its answer, in the first, second and third round over all servers. A resolver that
/// has the answer needs a few; one that has to ask around first may need a second or two.
pub const PATIENCE_MS: [u64; 3] = [1_500, 3_000, 5_000];
/// Milliseconds for an answer over TCP, opening the connection included.
pub const TCP_PATIENCE_MS: u64 = 5_000;
/// Milliseconds after which a question is given up, whatever was tried until then.
pub const QUESTION_MS_MAX: u64 = 15_000;
/// Datagrams that come to the port of a question and are not its answer, before the question is asked over TCP instead:
/// somebody guesses. So many guesses hit an identifier of 16 bits with a chance of 1 in 3,000, and first they have to
/// find the port and the spelling.
pub const NEAR_MISSES_COUNT_MAX: u32 = 20;
/// Seconds that a server which did not answer stands behind the others.
pub const SERVER_PENALTY_S: u64 = 60;
/// Seconds for which a server that could not read EDNS0 is asked without.
pub const WITHOUT_EDNS_S: u64 = 3_600;
/// Octets of heap of one answer, with its names at full length.
pub const ANSWER_BYTES_MAX: usize = 32 * 1_024;

/// Questions that are asked at once; others wait. Each takes a socket and two buffers.
pub const QUESTIONS_COUNT_MAX: usize = 8;

/// Answers that are remembered.
pub const CACHE_ENTRIES_COUNT_MAX: usize = 512;
/// Octets that remembered answers take, about.
pub const CACHE_BYTES_MAX: usize = 128 * 1_024;
/// Seconds for which an answer is remembered at least, also one that says 0: whoever can make us ask again and again
/// gets as many chances to answer wrongly.
pub const TTL_S_MIN: u32 = 5;
/// Seconds for which an answer is remembered at most: a day, so that a record with a mistake in its time does not
/// outlive everybody's patience.
pub const TTL_S_MAX: u32 = 86_400;
/// Seconds for which a "no" is remembered at most. RFC 2308 §5 allows hours; an operator who has just added the missing
/// record should not wait for so long.
pub const NEGATIVE_TTL_S_MAX: u32 = 900;
/// Seconds for which it is remembered that nobody could answer (RFC 9520 §3.2 wants one at least and five minutes at most).
pub const TROUBLE_TTL_S: u32 = 5;

crate::const_assert!(ANSWER_BYTES_MAX < CACHE_BYTES_MAX);
crate::const_assert!(
    TTL_S_MIN <= TROUBLE_TTL_S && TTL_S_MIN < NEGATIVE_TTL_S_MAX && NEGATIVE_TTL_S_MAX < TTL_S_MAX
);
/// Tasks that may wait for answers: every delivery, every session that asks about its client's mail, and a few others.
pub const WAITING_COUNT_MAX: usize =
    crate::relay::SESSIONS_OUT_COUNT_MAX + crate::relay::SESSIONS_IN_COUNT_MAX + 8;
/// Milliseconds between two looks whether there are name servers, or a socket.
pub const SERVERS_WAIT_MS: u64 = 250;

crate::const_assert!(TCP_PATIENCE_MS.is_multiple_of(1_000));

/// Seconds that a check of the operator's waits for a connection.
pub const PROBE_CONNECT_S: u64 = 15;
/// Seconds that a whole conversation of a check may take; servers that tarpit take up to half a minute before they greet.
pub const PROBE_REPLY_S: u64 = 60;
/// Octets of one reply in a check.
pub const PROBE_REPLY_BYTES_MAX: usize = 4_096;
/// Addresses of one host that a check connects to.
pub const PROBE_ADDRESSES_COUNT_MAX: usize = 4;
/// Domains that one run of a check goes through.
pub const PROBE_DOMAINS_COUNT_MAX: usize = 64;
