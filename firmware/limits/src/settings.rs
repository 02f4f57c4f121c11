//! Bounds of the configuration.

/// Octets of a host name (RFC 1035 §2.3.4, in text form without the final dot).
pub const HOST_NAME_BYTES_MAX: usize = 253;
/// Octets of one label of a host name (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;
/// Networks that may relay. A site has a handful; Exchange Online's published IPv4 and IPv6 list has about 20.
pub const RELAY_NETWORKS_COUNT_MAX: usize = 48;
/// Name servers that are asked; as many as the network stack holds.
pub const DNS_SERVERS_COUNT_MAX: usize = 3;
/// Octets of the whole configuration, encoded. Two names and every list full take about 1,500.
pub const ENCODED_BYTES_MAX: usize = 3_072;
/// Octets of one value as text: a full list of IPv6 networks is the longest.
pub const VALUE_TEXT_BYTES_MAX: usize = 2_304;
/// Smallest message size limit that can be set. RFC 5321 §4.5.3.1.7 asks every server to take 64 Ki octets.
pub const MESSAGE_BYTES_MAX_MIN: u32 = 65_536;
/// Largest message size limit that can be set: what the queue's flash can hold beside its own records.
pub const MESSAGE_BYTES_MAX_MAX: u32 = 48 * 1_024 * 1_024;
/// Seconds to the first new attempt, by default. Short, because a next hop that greylists or restarts is back soon.
pub const RETRY_FIRST_S_DEFAULT: u32 = 60;
/// Shortest time between two attempts that can be set: a peer must never be hammered.
pub const RETRY_S_MIN: u32 = 5;
/// Longest time between two attempts by default. RFC 5321 §4.5.4.1 asks for at least 30 minutes between late attempts.
pub const RETRY_MAX_S_DEFAULT: u32 = 3_600;
/// Longest time between two attempts that can be set.
pub const RETRY_MAX_S_MAX: u32 = 86_400;
/// How long undeliverable mail is kept, by default: 5 days (RFC 5321 §4.5.4.1 asks for at least 4 to 5).
pub const MESSAGE_LIFETIME_S_DEFAULT: u32 = 5 * 86_400;
/// Shortest and longest lifetime that can be set.
pub const MESSAGE_LIFETIME_S_MIN: u32 = 300;
/// See [`MESSAGE_LIFETIME_S_MIN`].
pub const MESSAGE_LIFETIME_S_MAX: u32 = 30 * 86_400;

crate::const_assert!(HOST_NAME_BYTES_MAX <= crate::smtp::DOMAIN_BYTES_MAX);
// 43 characters is the longest IPv6 network, and each is followed by a comma and a space.
crate::const_assert!(VALUE_TEXT_BYTES_MAX >= RELAY_NETWORKS_COUNT_MAX * 45);
// Two names, 18 octets a network, 17 a server, 32 for the rest.
crate::const_assert!(
    ENCODED_BYTES_MAX
        >= 3 * (HOST_NAME_BYTES_MAX + 2) + RELAY_NETWORKS_COUNT_MAX * 18 + DNS_SERVERS_COUNT_MAX * 17 + 64
);
crate::const_assert!(RETRY_S_MIN <= RETRY_FIRST_S_DEFAULT && RETRY_FIRST_S_DEFAULT <= RETRY_MAX_S_DEFAULT);
crate::const_assert!(RETRY_MAX_S_DEFAULT <= RETRY_MAX_S_MAX && RETRY_MAX_S_MAX <= MESSAGE_LIFETIME_S_MAX);
crate::const_assert!(crate::smtp::MESSAGE_BYTES_MAX_DEFAULT <= MESSAGE_BYTES_MAX_MAX);
/// Shortest prefix of an IPv4 network that may relay. `10.0.0.0/8` is the largest network that anyone owns; anything
/// larger is a mistake that makes an open relay.
pub const RELAY_PREFIX_V4_MIN: u8 = 8;
/// Shortest prefix of an IPv6 network that may relay: the unique local addresses, `fc00::/7` (RFC 4193).
pub const RELAY_PREFIX_V6_MIN: u8 = 7;
/// Longest prefix of an own static address: a /31 or /32 leaves no room for a gateway.
pub const OWN_PREFIX_V4_MAX: u8 = 30;
