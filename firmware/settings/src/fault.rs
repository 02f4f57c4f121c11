//! What can be wrong with a value, said in one line together with what would be right.

use crate::table::TableKind;
use crate::types::{IpNetwork, Network};
use core::fmt;
use envelope::AddressError;
use events::text::Escaped;
use limits::net::INTERFACES_COUNT;
use limits::settings::{
    DNS_SERVERS_COUNT_MAX, LABEL_BYTES_MAX, OWN_PREFIX_V4_MAX, PEER_NAME_BYTES_MAX, RELAY_NETWORKS_COUNT_MAX,
    RELAY_PREFIX_V4_MIN, RELAY_PREFIX_V6_MIN, TABLE_TEXT_BYTES_MAX,
};

/// Characters of a wrong value that an error repeats.
const SHOWN_BYTES_MAX: usize = 60;

/// A word of the operator's, made safe to print and cut to a length that leaves room for the message.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_bytes();
        match bytes.get(..SHOWN_BYTES_MAX) {
            Some(start) if bytes.len() > SHOWN_BYTES_MAX => write!(f, "`{}~`", Escaped(start)),
            _ => write!(f, "`{}`", Escaped(bytes)),
        }
    }
}

/// Why a value was refused. The operator's fault each time; nothing has changed, and `Display` says what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault<'a> {
    /// No setting has this name.
    UnknownName(&'a str),
    /// There is no value.
    NoValue {
        /// What it would look like.
        example: &'static str,
    },
    /// There are more words than the value takes.
    TooManyWords(&'a str),
    /// Not a host name.
    HostName(&'a str),
    /// Not a mail domain.
    Domain(&'a str),
    /// A host name without a domain.
    NoDomain(&'a str),
    /// A label of a host name is too long.
    LabelTooLong(&'a str),
    /// Not an IP address.
    Address(&'a str),
    /// Not an address that a machine can have.
    UnusableAddress(&'a str),
    /// Not `ADDRESS/PREFIX`.
    NoPrefix(&'a str),
    /// The prefix length is not a number or too long.
    Prefix {
        /// As typed.
        text: &'a str,
        /// Bits of the address.
        bits: u8,
    },
    /// Bits behind the prefix are set.
    HostBits {
        /// As typed.
        text: &'a str,
        /// The network that it lies in.
        network: IpNetwork,
    },
    /// The network is so large that it could only be a mistake.
    OpenRelay(&'a str),
    /// An own static address with a prefix out of range.
    OwnPrefix(&'a str),
    /// The own address is the network's own or its broadcast address.
    NotAHost(&'a str),
    /// The gateway is not a neighbour.
    Gateway(&'a str),
    /// Neither `dhcp` nor an address.
    Network(&'a str),
    /// Not an own IPv6 address.
    Network6(&'a str),
    /// Not a port.
    Port(&'a str),
    /// Not one of the words that stand to choice.
    Choice {
        /// As typed.
        text: &'a str,
        /// The words, separated by commas.
        choices: &'static str,
    },
    /// Not a number.
    Number(&'a str),
    /// Not a mailbox.
    Mailbox {
        /// As typed.
        text: &'a str,
        /// What is wrong with it.
        why: AddressError,
    },
    /// Not a size.
    Size(&'a str),
    /// Not a duration.
    Duration(&'a str),
    /// A size or duration out of its range; the bounds as they would be typed.
    Range {
        /// As typed.
        text: &'a str,
        /// Smallest allowed.
        min: &'static str,
        /// Largest allowed.
        max: &'static str,
    },
    /// The list has the value already.
    AlreadyThere(&'a str),
    /// The list does not have the value.
    NotThere(&'a str),
    /// The list of networks is full.
    TooManyNetworks,
    /// The list of name servers is full.
    TooManyServers,
    /// A list is full.
    TooMany {
        /// What it holds.
        what: &'static str,
        /// How many it holds at most.
        max: usize,
    },
    /// Not a listener.
    Listener(&'a str),
    /// Not an interface of this machine.
    Interface(&'a str),
    /// Not the name of a row.
    RowName(&'a str),
    /// A word that is no option of such a row.
    Option {
        /// As typed.
        text: &'a str,
        /// What kind of row it is.
        row: TableKind,
    },
    /// An option is there twice.
    Twice(&'a str),
    /// The row is longer than a line.
    RowTooLong,
    /// A peer without a class.
    NoClass,
    /// A peer would have no source left.
    NoSourceLeft,
    /// Networks that nobody owns, in a class that may do more than the Internet.
    WideSource,
    /// The Internet would relay to anywhere.
    InternetRelaysAny,
    /// Internal header fields would be kept from somebody who is no Exchange server.
    HeadersNotKept,
    /// A route has hosts and goes by MX as well.
    MxAndHosts,
    /// A cost without a host before it.
    CostOfNothing,
    /// An address that would forward to itself.
    ForwardsToItself(&'a str),
    /// A text that cannot stand in a reply.
    ReplyText(&'a str),
}

impl fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::UnknownName(text) => {
                write!(f, "there is no setting {}; `show settings` lists them all", Quoted(text))
            }
            Self::NoValue { example } => write!(f, "a value is missing, for example `{example}`"),
            Self::TooManyWords(text) => {
                write!(f, "{} is one word too many; the value ends before it", Quoted(text))
            }
            Self::HostName(text) => write!(
                f,
                "{} is not a host name; labels of letters, digits and inner hyphens, as in `gw1.example.org`",
                Quoted(text)
            ),
            Self::Domain(text) => {
                write!(f, "{} is not a domain, as in `example.org`", Quoted(text))
            }
            Self::NoDomain(text) => {
                write!(f, "{} has no domain; write it in full, as in `gw1.example.org`", Quoted(text))
            }
            Self::LabelTooLong(text) => write!(
                f,
                "{} has a label or length that no host name has; a label has at most {LABEL_BYTES_MAX} characters",
                Quoted(text)
            ),
            Self::Address(text) => {
                write!(f, "{} is not an IP address, as in `192.0.2.53` or `2001:db8::53`", Quoted(text))
            }
            Self::UnusableAddress(text) => write!(
                f,
                "{} is not an address of another machine; loopback, multicast and 0.0.0.0 cannot be used",
                Quoted(text)
            ),
            Self::NoPrefix(text) => write!(
                f,
                "{} has no prefix length; write ADDRESS/BITS, as in `192.0.2.0/24` or `192.0.2.7/32`",
                Quoted(text)
            ),
            Self::Prefix { text, bits } => {
                write!(
                    f,
                    "{} has no valid prefix length; a number up to {bits} must follow the `/`",
                    Quoted(text)
                )
            }
            Self::HostBits { text, network } => write!(
                f,
                "{} has bits set behind its prefix; the network is `{network}`, the one machine `{}/{}`",
                Quoted(text),
                Escaped(text.split('/').next().unwrap_or_default().as_bytes()),
                if network.address().is_ipv4() { 32 } else { 128 }
            ),
            Self::OpenRelay(text) => write!(
                f,
                "{} is too large and would make an open relay; at least /{RELAY_PREFIX_V4_MIN} (IPv4) or \
                 /{RELAY_PREFIX_V6_MIN} (IPv6)",
                Quoted(text)
            ),
            Self::OwnPrefix(text) => write!(
                f,
                "{} has no usable prefix length; 1 to {OWN_PREFIX_V4_MAX}, as in `192.0.2.10/24`",
                Quoted(text)
            ),
            Self::NotAHost(text) => {
                write!(
                    f,
                    "{} names its whole network, not one machine in it, as `192.0.2.10/24` does",
                    Quoted(text)
                )
            }
            Self::Gateway(text) => {
                write!(f, "gateway {} must be another address inside the own network", Quoted(text))
            }
            Self::Network(text) => write!(
                f,
                "{} is not a network; `dhcp`, or `ADDRESS/BITS GATEWAY` as in `192.0.2.10/24 192.0.2.1`",
                Quoted(text)
            ),
            Self::Network6(text) => write!(
                f,
                "{} is not an IPv6 network; `ADDRESS/BITS [GATEWAY]` as in `2001:db8::10/64`, or `none`",
                Quoted(text)
            ),
            Self::Port(text) => {
                write!(f, "{} is not a port; a number from 1 to 65535, usually 25", Quoted(text))
            }
            Self::Choice { text, choices } => write!(f, "{} is not one of: {choices}", Quoted(text)),
            Self::Number(text) => write!(f, "{} is not a number; digits only", Quoted(text)),
            Self::Mailbox { text, why } => {
                write!(f, "{} is not an address ({why}); as in `postmaster@example.org`", Quoted(text))
            }
            Self::Size(text) => {
                write!(f, "{} is not a size; octets, or with K or M, as in `25M`", Quoted(text))
            }
            Self::Duration(text) => {
                write!(
                    f,
                    "{} is not a duration; seconds, or with m, h or d, as in `90`, `15m`, `5d`",
                    Quoted(text)
                )
            }
            Self::Range { text, min, max } => {
                write!(f, "{} is out of range; from {min} to {max}", Quoted(text))
            }
            Self::AlreadyThere(text) => write!(f, "{} is in the list already", Quoted(text)),
            Self::NotThere(text) => {
                write!(f, "{} is not in the list; `show settings` shows it", Quoted(text))
            }
            Self::TooManyNetworks => {
                write!(
                    f,
                    "the list holds at most {RELAY_NETWORKS_COUNT_MAX} networks; join neighbours to larger ones"
                )
            }
            Self::TooManyServers => write!(f, "the list holds at most {DNS_SERVERS_COUNT_MAX} name servers"),
            _ => self.fmt_of_row(f),
        }
    }
}

impl Fault<'_> {
    /// What is wrong with the row of a table.
    fn fmt_of_row(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TooMany { what, max } => write!(f, "at most {max} {what}"),
            Self::Listener(text) => write!(
                f,
                "{} is not a listener; as in `*:25`, `192.0.2.10:25`, `[2001:db8::1]:25` or `if1:587`",
                Quoted(text)
            ),
            Self::Interface(text) => {
                write!(f, "{} is not an interface; there are if1 to if{INTERFACES_COUNT}", Quoted(text))
            }
            Self::RowName(text) => write!(
                f,
                "{} is not a name; up to {PEER_NAME_BYTES_MAX} letters, digits and hyphens, as in `printers`",
                Quoted(text)
            ),
            Self::Option { text, row } => {
                let help = if row == TableKind::Domains { "domain add" } else { "peer add" };
                write!(f, "{} is not an option here; see `help {help}`", Quoted(text))
            }
            Self::Twice(text) => write!(f, "{} is there twice", Quoted(text)),
            Self::RowTooLong => {
                write!(
                    f,
                    "that is too long; at most {TABLE_TEXT_BYTES_MAX} characters, so leave something out"
                )
            }
            Self::NoClass => {
                f.write_str("a class is missing: `class internet`, `application`, `exchange` or `trusted`")
            }
            Self::NoSourceLeft => f.write_str("no source would be left; `peer remove NAME` removes the peer"),
            Self::WideSource => write!(
                f,
                "networks larger than /{RELAY_PREFIX_V4_MIN} (IPv4) or /{RELAY_PREFIX_V6_MIN} (IPv6) only go with \
                 `class internet`"
            ),
            Self::InternetRelaysAny => f.write_str(
                "`class internet` never relays to anywhere; `class application` is for own clients that may",
            ),
            Self::HeadersNotKept => {
                f.write_str("`headers keep` only goes with `class exchange` or `class trusted`")
            }
            Self::MxAndHosts => f.write_str("a route goes by `mx` or to hosts; leave one of them out"),
            Self::CostOfNothing => {
                f.write_str("`cost N` follows the hosts that it is for, as in `mx1 cost 10`")
            }
            Self::ForwardsToItself(text) => write!(f, "{} would forward to itself", Quoted(text)),
            Self::ReplyText(text) => write!(
                f,
                "{} cannot stand in a reply; a refusal is plain ASCII, and neither has control characters",
                Quoted(text)
            ),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for Fault<'_> {}

/// Why settings that are valid one by one do not fit together. The operator's fault; nothing was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Mail would be handled under a name that does not exist.
    NoHostname,
    /// A next hop by name, and nobody to ask for its address.
    NoDnsServer,
    /// A name server or next hop that only a machine with an IPv6 address reaches.
    NoIpv6,
    /// The next hop is outside the own network, and there is no gateway.
    NoGateway {
        /// The own network.
        network: Network,
    },
    /// The next hop is this appliance.
    NextHopIsSelf,
    /// The first retry would come after the last.
    RetryOrder,
    /// No second attempt would fit into the lifetime of a message.
    LifetimeTooShort,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHostname => {
                f.write_str("hostname is not set, and mail needs it; `set hostname gw1.example.org`")
            }
            Self::NoDnsServer => f.write_str(
                "next-hop is a name, but with a static network nobody resolves it; `set dns-servers ADDRESS`",
            ),
            Self::NoIpv6 => f.write_str(
                "dns-servers and next-hop cannot be IPv6 addresses without an own one; `set address6 ADDRESS/BITS`",
            ),
            Self::NoGateway { network } => write!(
                f,
                "next-hop lies outside network `{network}`, which has no gateway; `set network ADDRESS/BITS GATEWAY`"
            ),
            Self::NextHopIsSelf => {
                f.write_str("next-hop is this appliance itself; name the server that takes the mail")
            }
            Self::RetryOrder => f.write_str("retry-first is longer than retry-max; make one of them fit"),
            Self::LifetimeTooShort => f.write_str(
                "message-lifetime is shorter than retry-first; mail would fail without a second attempt",
            ),
        }
    }
}

impl core::error::Error for Problem {}
