//! Bounds of finding the next hop.

/// Addresses that are tried to reach one destination, of all its hosts together: 16 hosts with two each, or four with
/// eight.
pub const ADDRESSES_TRIED_COUNT_MAX: usize = 32;

/// Seconds that all attempts of one worker to reach a destination may take together: eight dead addresses, after which
/// the worker is more useful elsewhere. The next attempt begins with those that were not tried.
pub const MEETING_S: u64 = 240;
/// The same for a destination that was never tried.
pub const FIRST_MEETING_S: u64 = 40;

/// Seconds that one question to DNS may take here, whatever the resolver still tries.
pub const LOOKUP_S: u64 = 20;

/// Seconds that asking whether an address exists may take, waiting for its turn included: the client waits meanwhile, and
/// RFC 5321 §4.5.3.2 gives it five minutes.
pub const VERIFY_S: u64 = 20;
/// Places that are asked for an address, if the first do not answer.
pub const VERIFY_PLACES_COUNT_MAX: usize = 3;
/// Answers that are remembered, about 100 octets each.
pub const VERIFIED_COUNT_MAX: usize = 1_024;
/// Seconds for which an address that exists is believed to.
pub const VERIFIED_YES_S: u64 = 4 * 3_600;
/// Seconds for which one that does not is believed not to: so long does a new mailbox wait for its first stranger.
pub const VERIFIED_NO_S: u64 = 1_800;
/// Seconds for which nobody is asked again after nobody could say.
pub const VERIFIED_UNKNOWN_S: u64 = 300;

/// Operating seconds for which a sender gets no second automatic answer of an address: a week (RFC 3834 §2 leaves it open,
/// seven days are usual).
pub const REPLY_AGAIN_S: u64 = 7 * 86_400;

/// Forwardings of one address in a row that are followed; more are a circle.
pub const FORWARDS_COUNT_MAX: usize = 4;

/// Addresses that are known not to serve at present. With more, the one that has been so for longest is forgotten, and
/// costs one attempt.
pub const ADDRESSES_DOWN_COUNT_MAX: usize = 256;
/// Seconds for which an address that did not serve comes after all others of its destination: so long does mail go to a
/// dearer host after the preferred one is back.
pub const ADDRESS_DOWN_FIRST_S: u32 = 30;
/// Most of those seconds after many failures in a row.
pub const ADDRESS_DOWN_MAX_S: u32 = 300;

/// Most seconds between two probes of a foreign domain whose servers do not answer: its mail is retried as often as
/// others retry theirs, and a restart there is still noticed soon.
pub const PROBE_FOREIGN_MAX_S: u32 = 900;
/// Most seconds between two probes of a foreign domain that has been silent for a long time.
pub const PROBE_FOREIGN_LONG_S: u32 = 1_800;

/// Milliseconds between two messages to a destination that has just said that it gets too many; doubled each time it
/// says so again.
pub const THROTTLED_MS: u64 = 1_000;
/// Most milliseconds between two messages to a destination that goes on saying so.
pub const THROTTLED_MS_MAX: u64 = 60_000;
/// Below so many milliseconds the pause is dropped, after messages were taken that shortened it by an eighth each.
pub const THROTTLED_MS_MIN: u64 = 100;

crate::const_assert!(THROTTLED_MS_MIN < THROTTLED_MS && THROTTLED_MS <= THROTTLED_MS_MAX);
crate::const_assert!(ADDRESS_DOWN_FIRST_S <= ADDRESS_DOWN_MAX_S);
crate::const_assert!(PROBE_FOREIGN_MAX_S <= PROBE_FOREIGN_LONG_S);
crate::const_assert!(ADDRESSES_TRIED_COUNT_MAX >= crate::net::HOST_ADDRESSES_COUNT_MAX);
crate::const_assert!(ADDRESSES_TRIED_COUNT_MAX >= crate::dns::EXCHANGERS_COUNT_MAX);
