//! The values. Each is always valid: the only way from text into them is a checked parse.

use crate::listener::{Listener, Place};
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use heapless::Vec;
use limits::net::{INTERFACES_COUNT, SMTP_PORT};
use limits::settings::{
    DELAY_WARNING_S_DEFAULT, DESTINATION_CONNECTIONS_DEFAULT, DNS_SERVERS_COUNT_MAX, LISTEN_PLACES_COUNT_MAX,
    MESSAGE_LIFETIME_S_DEFAULT, OWN_ADDRESSES_COUNT_MAX, RELAY_NETWORKS_COUNT_MAX, RETRY_FIRST_S_DEFAULT,
    RETRY_MAX_S_DEFAULT, SHARE_PERCENT_DEFAULT,
};
use serde::{Deserialize, Serialize};

/// A host name: letters, digits, hyphens and dots, in lower case, without the final dot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostName(pub(crate) Box<str>);

impl HostName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A mailbox, `user@domain`, as it was typed: valid in RFC 5321's sense.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailAddress(pub(crate) Box<str>);

impl MailAddress {
    /// The address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A range of addresses: IPv4 or IPv6 address and prefix length, host bits zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IpNetwork {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

/// How the appliance gets its own address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// Address, gateway and name servers from DHCPv4.
    Dhcp,
    /// A fixed IPv4 address.
    Static {
        /// Own address.
        address: Ipv4Addr,
        /// Prefix length, 1 to 30.
        prefix: u8,
        /// Default route, inside the network; without it only neighbours are reached.
        gateway: Option<Ipv4Addr>,
    },
}

/// A fixed IPv6 address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network6 {
    /// Own address.
    pub address: Ipv6Addr,
    /// Prefix length, 1 to 127.
    pub prefix: u8,
    /// Default route, inside the network or link-local; without it only neighbours are reached.
    pub gateway: Option<Ipv6Addr>,
}

/// Where the next hop is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NextHopHost {
    /// To be resolved (A, AAAA; no MX).
    Name(HostName),
    /// An address.
    Address(IpAddr),
}

/// The server that takes everything that leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextHop {
    /// Where it is.
    pub host: NextHopHost,
    /// TCP port.
    pub port: u16,
}

/// What happens to mail whose sender has no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WithoutIdentity {
    /// Kept in the queue, with the reason, until the operator decides.
    Hold,
    /// Passed on unsigned.
    Pass,
}

/// Where civil time comes from at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Clock {
    /// The battery-backed clock is trusted.
    Rtc,
    /// Time is unknown until the operator sets it.
    Manual,
}

/// The whole configuration. The order of the fields is the stored format; see [`VERSION`](crate::VERSION).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Own host name: in EHLO, Received and Message-ID. `None` until it is set; then `stargate.invalid` stands in.
    pub hostname: Option<HostName>,
    /// Name in the banner and in replies, where it must differ from `hostname`.
    pub banner_name: Option<HostName>,
    /// Further names of this appliance, for loops to be recognised; at most 32.
    pub own_names: alloc::vec::Vec<HostName>,
    /// Addresses that others see this appliance at, where a device between them translates.
    pub own_addresses: Vec<IpAddr, OWN_ADDRESSES_COUNT_MAX>,
    /// Own address on the first interface.
    pub network: Network,
    /// Its IPv6 address, if it has one.
    pub address6: Option<Network6>,
    /// Own address on the second interface; `None`: it is off.
    pub network2: Option<Network>,
    /// Its IPv6 address, if it has one.
    pub address6_2: Option<Network6>,
    /// Where clients may connect to; never empty.
    pub listeners: Vec<Listener, LISTEN_PLACES_COUNT_MAX>,
    /// Name servers; empty: those that DHCP names.
    pub dns_servers: Vec<IpAddr, DNS_SERVERS_COUNT_MAX>,
    /// Clients that may relay; empty: nobody.
    pub relay_networks: Vec<IpNetwork, RELAY_NETWORKS_COUNT_MAX>,
    /// Where mail goes that no route sends elsewhere; without it such mail is accepted and waits.
    pub next_hop: Option<NextHop>,
    /// Whether `next_hop` is an Exchange server of one's own: mail to it may keep the header fields that only these
    /// write, and gets the mark by which a loop is recognised.
    pub next_hop_exchange: bool,
    /// Where mail with the null sender goes, whatever the routes say: a connector of Exchange Online that knows its
    /// clients by their address refuses it. `None`: as other mail.
    pub null_sender_next_hop: Option<NextHop>,
    /// Who gets what can be returned to nobody. `None`: such mail is held.
    pub postmaster: Option<MailAddress>,
    /// Mail whose sender has no identity.
    pub without_identity: WithoutIdentity,
    /// Largest message, octets as received.
    pub message_bytes_max: u32,
    /// Seconds to the first new attempt; doubles from there.
    pub retry_first_s: u32,
    /// Most seconds between two attempts.
    pub retry_max_s: u32,
    /// Seconds of operation after which undelivered mail fails.
    pub message_lifetime_s: u32,
    /// Seconds of operation after which the sender is told once that a message is late; 0: never.
    pub delay_warning_s: u32,
    /// Commissioning: what fails for good is held and shown, and no sender is told anything.
    pub commissioning: bool,
    /// Most connections to one destination at a time, at least 1.
    pub destination_connections: u8,
    /// Most messages a minute to one destination; 0: as many as it takes.
    pub destination_rate: u32,
    /// Percent of the queue that the mail of one client may fill.
    pub client_share: u8,
    /// Percent of the queue that the mail for one destination may fill, where there are several.
    pub destination_share: u8,
    /// Trust in the battery-backed clock.
    pub clock: Clock,
}

impl Default for Settings {
    /// The factory defaults: DHCP, and relay for nobody.
    fn default() -> Self {
        Self {
            hostname: None,
            banner_name: None,
            own_names: alloc::vec::Vec::new(),
            own_addresses: Vec::new(),
            network: Network::Dhcp,
            address6: None,
            network2: None,
            address6_2: None,
            listeners: Vec::from_iter([Listener { place: Place::Any, port: SMTP_PORT }]),
            dns_servers: Vec::new(),
            relay_networks: Vec::new(),
            next_hop: None,
            next_hop_exchange: false,
            null_sender_next_hop: None,
            postmaster: None,
            without_identity: WithoutIdentity::Hold,
            message_bytes_max: limits::smtp::MESSAGE_BYTES_MAX_DEFAULT,
            retry_first_s: RETRY_FIRST_S_DEFAULT,
            retry_max_s: RETRY_MAX_S_DEFAULT,
            message_lifetime_s: MESSAGE_LIFETIME_S_DEFAULT,
            delay_warning_s: DELAY_WARNING_S_DEFAULT,
            commissioning: false,
            destination_connections: DESTINATION_CONNECTIONS_DEFAULT,
            destination_rate: 0,
            client_share: SHARE_PERCENT_DEFAULT,
            destination_share: SHARE_PERCENT_DEFAULT,
            clock: Clock::Rtc,
        }
    }
}

impl Settings {
    /// What is set for each interface, the first one first: IPv4 (`None`: off) and IPv6.
    #[must_use]
    pub const fn interfaces(&self) -> [(Option<Network>, Option<Network6>); INTERFACES_COUNT] {
        [(Some(self.network), self.address6), (self.network2, self.address6_2)]
    }

    /// Own host name, or the stand-in of RFC 2606 while none is set.
    #[must_use]
    pub fn hostname(&self) -> &str {
        self.hostname.as_ref().map_or("stargate.invalid", HostName::as_str)
    }

    /// Name for banner and replies.
    #[must_use]
    pub fn banner_name(&self) -> &str {
        self.banner_name.as_ref().map_or(self.hostname(), HostName::as_str)
    }

    /// Whether the client at `peer` may relay. An IPv4 client that arrives as an IPv4-mapped IPv6 address counts as
    /// what it is.
    #[must_use]
    pub fn may_relay(&self, peer: IpAddr) -> bool {
        self.relay_networks.iter().any(|network| network.contains(peer))
    }
}

impl IpNetwork {
    /// Every address, of IPv4 and of IPv6.
    pub(crate) const EVERYWHERE: [Self; 2] = [
        Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 },
        Self { address: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix: 0 },
    ];

    /// The network's first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Prefix length in bits.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => own.to_bits() == masked_v4(other.to_bits(), self.prefix),
            (IpAddr::V6(own), IpAddr::V6(other)) => own.to_bits() == masked_v6(other.to_bits(), self.prefix),
            _ => false,
        }
    }
}

/// `bits` with all but the first `prefix` bits cleared.
pub(crate) fn masked_v4(bits: u32, prefix: u8) -> u32 {
    bits & u32::MAX.checked_shl(32u32.saturating_sub(prefix.into())).unwrap_or(0)
}

/// `bits` with all but the first `prefix` bits cleared.
pub(crate) fn masked_v6(bits: u128, prefix: u8) -> u128 {
    bits & u128::MAX.checked_shl(128u32.saturating_sub(prefix.into())).unwrap_or(0)
}
