//! Bounds of the configuration.

/// Octets of a host name (RFC 1035 §2.3.4, in text form without the final dot).
pub const HOST_NAME_BYTES_MAX: usize = 253;
/// Octets of one label of a host name (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;
/// Networks that may relay. A site has a handful; Exchange Online's published IPv4 and IPv6 list has about 20.
pub const RELAY_NETWORKS_COUNT_MAX: usize = 48;
/// Name servers that are asked; as many as the network stack holds.
pub const DNS_SERVERS_COUNT_MAX: usize = 3;
/// Octets of the whole configuration, encoded. Every name, mailbox and list full takes about 2,400.
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
/// Seconds after which the sender is told that a message is late, by default: 4 hours, as most mail servers do.
pub const DELAY_WARNING_S_DEFAULT: u32 = 4 * 3_600;
/// Shortest delay warning that can be set, apart from none: a warning for every greylisting would be a nuisance.
pub const DELAY_WARNING_S_MIN: u32 = 300;
/// Connections to one destination at a time, by default: half of the workers, so that one large destination never has
/// them all.
pub const DESTINATION_CONNECTIONS_DEFAULT: u8 = 8;
/// Most connections to one destination that can be set: as many as there are workers.
pub const DESTINATION_CONNECTIONS_MAX: u8 = 16;
/// Most messages a minute to one destination that can be set; none is the default. More than this appliance delivers.
pub const DESTINATION_RATE_MAX: u32 = 60_000;
/// Percent of the queue that one client, or one destination of several, may fill, by default.
pub const SHARE_PERCENT_DEFAULT: u8 = 80;
/// Smallest share that can be set: less would refuse a single large message.
pub const SHARE_PERCENT_MIN: u8 = 10;
/// Routes. Nobody routes more domains than this by hand, and every one costs RAM (about 100 octets).
pub const ROUTES_COUNT_MAX: usize = 512;
/// Routes of one stored page. A change writes its page, so a page is small; and a full page of the longest routes still
/// is one value of the store.
pub const ROUTES_PER_PAGE_MAX: usize = 16;
/// Pages of the table of routes.
pub const ROUTE_PAGES_COUNT_MAX: usize = ROUTES_COUNT_MAX / ROUTES_PER_PAGE_MAX;
/// Octets of one route as it is stored: domain and next hop, each with its length, and flags.
pub const ROUTE_BYTES_MAX: usize = 2 * HOST_NAME_BYTES_MAX + 6 + 3;
/// Octets of all routes together, as they are stored: bounds the RAM, and leaves room for the settings. A quarter of a
/// kibioctet for each route, five times what a usual one takes.
pub const ROUTES_BYTES_MAX: usize = 128 * 1_024;

crate::const_assert!(HOST_NAME_BYTES_MAX <= crate::smtp::DOMAIN_BYTES_MAX);
// 43 characters is the longest IPv6 network, and each is followed by a comma and a space.
crate::const_assert!(VALUE_TEXT_BYTES_MAX >= RELAY_NETWORKS_COUNT_MAX * 45);
// Four names and a mailbox, 18 octets a network, 17 a server, 96 for the rest.
crate::const_assert!(
    ENCODED_BYTES_MAX
        >= 4 * (HOST_NAME_BYTES_MAX + 2)
            + (crate::smtp::MAILBOX_BYTES_MAX + 3)
            + RELAY_NETWORKS_COUNT_MAX * 18
            + DNS_SERVERS_COUNT_MAX * 17
            + 96
);
crate::const_assert!(RETRY_S_MIN <= RETRY_FIRST_S_DEFAULT && RETRY_FIRST_S_DEFAULT <= RETRY_MAX_S_DEFAULT);
crate::const_assert!(RETRY_MAX_S_DEFAULT <= RETRY_MAX_S_MAX && RETRY_MAX_S_MAX <= MESSAGE_LIFETIME_S_MAX);
crate::const_assert!(DELAY_WARNING_S_MIN <= DELAY_WARNING_S_DEFAULT);
crate::const_assert!(DESTINATION_CONNECTIONS_DEFAULT <= DESTINATION_CONNECTIONS_MAX);
crate::const_assert!(ROUTES_COUNT_MAX.is_multiple_of(ROUTES_PER_PAGE_MAX));
crate::const_assert!(ROUTES_PER_PAGE_MAX * ROUTE_BYTES_MAX + 2 <= crate::flash::KV_VALUE_BYTES_MAX);
// One block of the settings store holds everything that is live, beside one record that is being written.
crate::const_assert!(
    ROUTES_BYTES_MAX + ROUTE_PAGES_COUNT_MAX * 128 + ENCODED_BYTES_MAX + 2 * crate::flash::KV_VALUE_BYTES_MAX
        <= crate::flash::BLOCK_BYTES
);
crate::const_assert!(crate::smtp::MESSAGE_BYTES_MAX_DEFAULT <= MESSAGE_BYTES_MAX_MAX);
/// Shortest prefix of an IPv4 network that may relay. `10.0.0.0/8` is the largest network that anyone owns; anything
/// larger is a mistake that makes an open relay.
pub const RELAY_PREFIX_V4_MIN: u8 = 8;
/// Shortest prefix of an IPv6 network that may relay: the unique local addresses, `fc00::/7` (RFC 4193).
pub const RELAY_PREFIX_V6_MIN: u8 = 7;
/// Longest prefix of an own static address: a /31 or /32 leaves no room for a gateway.
pub const OWN_PREFIX_V4_MAX: u8 = 30;
