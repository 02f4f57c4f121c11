//! Bounds of the configuration.

/// Octets of a host name (RFC 1035 §2.3.4, in text form without the final dot).
pub const HOST_NAME_BYTES_MAX: usize = 253;
/// Octets of one label of a host name (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;
/// Networks that may relay. A site has a handful; Exchange Online's published IPv4 and IPv6 list has about 20.
pub const RELAY_NETWORKS_COUNT_MAX: usize = 48;
/// Places where clients may connect to: the usual port and one for applications, on two interfaces.
pub const LISTEN_PLACES_COUNT_MAX: usize = 4;
/// Name servers that are asked; as many as the network stack holds.
pub const DNS_SERVERS_COUNT_MAX: usize = 3;
/// Octets of the whole configuration, encoded. Every name, mailbox and list full takes about 4,700.
pub const ENCODED_BYTES_MAX: usize = 6_144;
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
/// Routes. Nobody routes more domains than this by hand, and every one costs RAM (about 200 octets).
pub const ROUTES_COUNT_MAX: usize = 512;
/// Rules about peers. A site has one for each kind of client, and one for each exception.
pub const PEERS_COUNT_MAX: usize = 64;
/// Own domains. Four times what the largest known site has.
pub const DOMAINS_COUNT_MAX: usize = 256;
/// Addresses with an action: those of applications, which send and are not read.
pub const ACTIONS_COUNT_MAX: usize = 128;
/// Rows of one stored page of routes, domains or actions. A change writes its page, so a page is small; and a full page
/// of the longest rows still is one value of the store.
pub const ROWS_PER_PAGE_MAX: usize = 16;
/// Rules of one stored page: they are longer, because of their sources.
pub const PEERS_PER_PAGE_MAX: usize = 4;
/// Most pages of a table.
pub const TABLE_PAGES_COUNT_MAX: usize = ROUTES_COUNT_MAX / ROWS_PER_PAGE_MAX;
/// Characters of one row as text, apart from a peer's sources: with its command it is one line of the console.
pub const TABLE_TEXT_BYTES_MAX: usize = 500;
/// Octets of one page as it is stored.
pub const TABLE_PAGE_BYTES_MAX: usize = 8_600;
/// Octets of all routes together, as they are stored: bounds the RAM, and leaves room for the settings. Three times what
/// usual ones take.
pub const ROUTES_BYTES_MAX: usize = 96 * 1_024;
/// Octets of all rules together, as they are stored: 500 for each, twelve times what one with one source takes.
pub const PEERS_BYTES_MAX: usize = 32 * 1_024;
/// Octets of all own domains together, as they are stored: 96 for each, three times what a usual one takes.
pub const DOMAINS_BYTES_MAX: usize = 24 * 1_024;
/// Octets of all actions together, as they are stored: 192 for each.
pub const ACTIONS_BYTES_MAX: usize = 24 * 1_024;
/// Characters of a peer's name: it stands in log lines and tables.
pub const PEER_NAME_BYTES_MAX: usize = 24;
/// Networks of one peer. Exchange Online's published list for mail has about 20.
pub const PEER_SOURCES_COUNT_MAX: usize = 32;
/// Networks of one peer that are printed in one line of `show config`: a line of the console takes 512 characters.
pub const PEER_SOURCES_PER_LINE: usize = 4;
/// Domains that the senders of one peer may be of.
pub const PEER_SENDER_DOMAINS_COUNT_MAX: usize = 16;
/// Most messages a minute of one client that can be set; none is the default. More than this appliance takes.
pub const PEER_RATE_MAX: u32 = 60_000;
/// Most connections of one client that can be set: as many as there are sessions.
pub const PEER_CONNECTIONS_MAX: u8 = 64;
/// Most seconds that a refusal is delayed: a client that waits occupies a session.
pub const PEER_TARPIT_S_MAX: u8 = 30;
/// Hosts of one route.
pub const ROUTE_HOSTS_COUNT_MAX: usize = 8;
/// Highest cost of a host, as in Exchange's connectors.
pub const ROUTE_COST_MAX: u8 = 100;
/// Further own names: one for each domain of the largest known site, and some.
pub const OWN_NAMES_COUNT_MAX: usize = 32;
/// Octets of all further own names together: 64 for each, three times what a usual one has.
pub const OWN_NAMES_BYTES_MAX: usize = 2_048;
/// Public addresses behind which an appliance stands: IPv4 and IPv6 of a few lines to the Internet.
pub const OWN_ADDRESSES_COUNT_MAX: usize = 8;
/// Octets of the appliance's secret: a key of HMAC-SHA-256.
pub const SECRET_BYTES: usize = 32;

/// Pairs of address and sender for which an automatic answer is remembered; 12 octets each, in RAM and on flash.
pub const REPLIES_COUNT_MAX: usize = 256;
/// Of those, how many are stored together: each answer writes one such page of 384 octets.
pub const REPLIES_PER_PAGE: usize = 32;

crate::const_assert!(REPLIES_COUNT_MAX.is_multiple_of(REPLIES_PER_PAGE));
crate::const_assert!(HOST_NAME_BYTES_MAX <= crate::smtp::DOMAIN_BYTES_MAX);
// 43 characters is the longest IPv6 network, and each is followed by a comma and a space.
crate::const_assert!(VALUE_TEXT_BYTES_MAX >= RELAY_NETWORKS_COUNT_MAX * 45);
crate::const_assert!(VALUE_TEXT_BYTES_MAX >= OWN_NAMES_BYTES_MAX + OWN_NAMES_COUNT_MAX);
// Four names and a mailbox, 18 octets a network, 17 a server, 96 for the rest.
crate::const_assert!(
    ENCODED_BYTES_MAX
        >= 4 * (HOST_NAME_BYTES_MAX + 2)
            + OWN_NAMES_BYTES_MAX
            + OWN_NAMES_COUNT_MAX * 2
            + OWN_ADDRESSES_COUNT_MAX * 17
            + (crate::smtp::MAILBOX_BYTES_MAX + 3)
            + RELAY_NETWORKS_COUNT_MAX * 18
            + DNS_SERVERS_COUNT_MAX * 17
            + 96
);
crate::const_assert!(RETRY_S_MIN <= RETRY_FIRST_S_DEFAULT && RETRY_FIRST_S_DEFAULT <= RETRY_MAX_S_DEFAULT);
crate::const_assert!(RETRY_MAX_S_DEFAULT <= RETRY_MAX_S_MAX && RETRY_MAX_S_MAX <= MESSAGE_LIFETIME_S_MAX);
crate::const_assert!(DELAY_WARNING_S_MIN <= DELAY_WARNING_S_DEFAULT);
crate::const_assert!(DESTINATION_CONNECTIONS_DEFAULT <= DESTINATION_CONNECTIONS_MAX);
// A page is one value of the store, and its number one bit of a word.
crate::const_assert!(ROWS_PER_PAGE_MAX * (2 + TABLE_TEXT_BYTES_MAX) < TABLE_PAGE_BYTES_MAX);
// 43 characters is the longest IPv6 network, and each is followed by a comma.
crate::const_assert!(
    PEERS_PER_PAGE_MAX * (2 + TABLE_TEXT_BYTES_MAX + PEER_SOURCES_COUNT_MAX * 44) < TABLE_PAGE_BYTES_MAX
);
crate::const_assert!(TABLE_PAGE_BYTES_MAX <= crate::flash::KV_VALUE_BYTES_MAX);
crate::const_assert!(TABLE_PAGES_COUNT_MAX <= 64);
crate::const_assert!(PEERS_COUNT_MAX.div_ceil(PEERS_PER_PAGE_MAX) <= TABLE_PAGES_COUNT_MAX);
crate::const_assert!(DOMAINS_COUNT_MAX.div_ceil(ROWS_PER_PAGE_MAX) <= TABLE_PAGES_COUNT_MAX);
crate::const_assert!(ACTIONS_COUNT_MAX.div_ceil(ROWS_PER_PAGE_MAX) <= TABLE_PAGES_COUNT_MAX);
// `action add ` is the longest command that adds a row, and `peer source NAME add ` the longest that adds sources.
crate::const_assert!(11 + TABLE_TEXT_BYTES_MAX <= crate::console::LINE_CHARS_MAX);
// One block of the settings store holds everything that is live, beside one record that is being written. Each page
// takes a slot and up to a unit of padding.
crate::const_assert!(
    ROUTES_BYTES_MAX
        + PEERS_BYTES_MAX
        + DOMAINS_BYTES_MAX
        + ACTIONS_BYTES_MAX
        + 4 * TABLE_PAGES_COUNT_MAX * 96
        + REPLIES_COUNT_MAX * 12
        + REPLIES_COUNT_MAX / REPLIES_PER_PAGE * 96
        + ENCODED_BYTES_MAX
        + 2 * crate::flash::KV_VALUE_BYTES_MAX
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
/// Longest prefix of the own IPv6 network: two machines (RFC 6164).
pub const OWN_PREFIX_V6_MAX: u8 = 127;
