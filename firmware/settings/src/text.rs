//! Settings by name: show, set, check, export.

use crate::fault::{Fault, Problem};
use crate::listener::Listener;
use crate::parse;
use crate::types::{
    Clock, HostName, IpNetwork, MailAddress, Network, Network6, NextHop, NextHopHost, Settings,
    WithoutIdentity,
};
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use heapless::Vec;
use limits::console::LINE_CHARS_MAX;
use limits::net::SMTP_PORT;

/// Every setting: its name and one line that explains it and its values.
pub const NAMES: &[(&str, &str)] = &[
    ("hostname", "own full host name, as in gw1.example.org"),
    ("banner-name", "name in greeting and replies, or none for hostname"),
    ("own-names", "further names of this appliance, or none"),
    ("own-addresses", "addresses that others see it at, or none"),
    ("network", "dhcp, or ADDRESS/BITS GATEWAY"),
    ("address6", "IPv6 ADDRESS/BITS [GATEWAY], or none"),
    ("network2", "second interface: off, dhcp, or ADDRESS/BITS GATEWAY"),
    ("address6-2", "second interface: IPv6 ADDRESS/BITS [GATEWAY], or none"),
    ("listeners", "where clients connect: *:25, ADDRESS:PORT, ifN:PORT"),
    ("dns-servers", "up to 3 addresses, or none for those from DHCP"),
    ("relay-networks", "clients that may send, ADDRESS/BITS, or none"),
    ("next-hop", "server for all mail, HOST[:PORT], or none"),
    ("next-hop-exchange", "on: next-hop is an own Exchange server; or off"),
    ("null-sender-next-hop", "server for reports and auto-replies, or none"),
    ("postmaster", "gets what can be returned to nobody, or none"),
    ("without-identity", "mail of senders without identity: hold or pass"),
    ("message-size-max", "largest message, as in 25M (64K to 48M)"),
    ("retry-first", "time to the first retry, doubles (5s to retry-max)"),
    ("retry-max", "longest time between retries (5s to 1d)"),
    ("message-lifetime", "undelivered mail fails after this (5m to 30d)"),
    ("delay-warning", "tell the sender of late mail after this, or off"),
    ("commissioning", "on: failed mail is held, no sender is told; or off"),
    ("destination-connections", "most at a time to one destination (1 to 16)"),
    ("destination-rate", "most messages a minute to one, or unlimited"),
    ("client-share", "percent of the queue for one client (10 to 100)"),
    ("destination-share", "percent of the queue for one destination"),
    ("clock", "rtc to trust the built-in clock, or manual"),
];

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address(), self.prefix())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dhcp => f.write_str("dhcp"),
            Self::Static { address, prefix, gateway: None } => write!(f, "{address}/{prefix}"),
            Self::Static { address, prefix, gateway: Some(gateway) } => {
                write!(f, "{address}/{prefix} {gateway}")
            }
        }
    }
}

impl fmt::Display for Network6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)?;
        self.gateway.map_or(Ok(()), |gateway| write!(f, " {gateway}"))
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            NextHopHost::Address(IpAddr::V6(address)) if self.port != SMTP_PORT => write!(f, "[{address}]")?,
            NextHopHost::Address(address) => write!(f, "{address}")?,
            NextHopHost::Name(name) => write!(f, "{name}")?,
        }
        if self.port == SMTP_PORT { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// A size as it would be typed: with the largest unit that divides it.
pub(crate) struct Size(pub u32);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n != 0 && n % (1 << 20) == 0 => write!(f, "{}M", n >> 20),
            n if n != 0 && n % (1 << 10) == 0 => write!(f, "{}K", n >> 10),
            n => write!(f, "{n}"),
        }
    }
}

/// A duration as it would be typed: with the largest unit that divides it.
struct Duration(u32);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n != 0 && n % 86_400 == 0 => write!(f, "{}d", n / 86_400),
            n if n != 0 && n % 3_600 == 0 => write!(f, "{}h", n / 3_600),
            n if n != 0 && n % 60 == 0 => write!(f, "{}m", n / 60),
            n => write!(f, "{n}s"),
        }
    }
}

/// A list with commas, or `none`.
struct List<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (at, item) in self.0.iter().enumerate() {
            write!(f, "{}{item}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A value, or `none`.
struct OrNone<'a, T>(&'a Option<T>);

impl<T: fmt::Display> fmt::Display for OrNone<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// The value of one setting; prints what `set` would take.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    settings: &'a Settings,
    name: &'static str,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = self.settings;
        match self.name {
            "hostname" => OrNone(&settings.hostname).fmt(f),
            "banner-name" => OrNone(&settings.banner_name).fmt(f),
            "own-names" => List(&settings.own_names).fmt(f),
            "own-addresses" => List(&settings.own_addresses).fmt(f),
            "network" => settings.network.fmt(f),
            "address6" => OrNone(&settings.address6).fmt(f),
            "network2" if settings.network2.is_none() => f.write_str("off"),
            "network2" => OrNone(&settings.network2).fmt(f),
            "address6-2" => OrNone(&settings.address6_2).fmt(f),
            "listeners" => List(&settings.listeners).fmt(f),
            "dns-servers" => List(&settings.dns_servers).fmt(f),
            "relay-networks" => List(&settings.relay_networks).fmt(f),
            "next-hop" => OrNone(&settings.next_hop).fmt(f),
            "next-hop-exchange" => f.write_str(on_off(settings.next_hop_exchange)),
            "null-sender-next-hop" => OrNone(&settings.null_sender_next_hop).fmt(f),
            "postmaster" => OrNone(&settings.postmaster).fmt(f),
            "without-identity" => f.write_str(match settings.without_identity {
                WithoutIdentity::Hold => "hold",
                WithoutIdentity::Pass => "pass",
            }),
            "message-size-max" => Size(settings.message_bytes_max).fmt(f),
            "retry-first" => Duration(settings.retry_first_s).fmt(f),
            "retry-max" => Duration(settings.retry_max_s).fmt(f),
            "message-lifetime" => Duration(settings.message_lifetime_s).fmt(f),
            "delay-warning" if settings.delay_warning_s == 0 => f.write_str("off"),
            "delay-warning" => Duration(settings.delay_warning_s).fmt(f),
            "commissioning" => f.write_str(on_off(settings.commissioning)),
            "destination-connections" => settings.destination_connections.fmt(f),
            "destination-rate" if settings.destination_rate == 0 => f.write_str("unlimited"),
            "destination-rate" => settings.destination_rate.fmt(f),
            "client-share" => settings.client_share.fmt(f),
            "destination-share" => settings.destination_share.fmt(f),
            "clock" => f.write_str(match settings.clock {
                Clock::Rtc => "rtc",
                Clock::Manual => "manual",
            }),
            _ => Ok(()),
        }
    }
}

const fn on_off(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

/// Reads `on` or `off`.
fn switch(value: &str) -> Result<bool, Fault<'_>> {
    match parse::one_word(value, "on")? {
        "on" => Ok(true),
        "off" => Ok(false),
        text => Err(Fault::Choice { text, choices: "on, off" }),
    }
}

/// What is done to a list.
enum Edit<'a> {
    Replace(&'a str),
    Add(&'a str),
    Remove(&'a str),
}

impl<'a> Edit<'a> {
    fn of(value: &'a str) -> Self {
        match value.split_once(|c: char| c.is_ascii_whitespace()) {
            Some(("add", rest)) => Self::Add(rest),
            Some(("remove", rest)) => Self::Remove(rest),
            _ if value == "add" => Self::Add(""),
            _ if value == "remove" => Self::Remove(""),
            _ => Self::Replace(value),
        }
    }
}

/// Applies `value` to a copy of `list`, so that a fault in the middle changes nothing.
fn edit_list<'a, T: PartialEq + Clone, const N: usize>(
    list: &Vec<T, N>,
    value: &'a str,
    example: &'static str,
    full: Fault<'a>,
    parse: impl Fn(&'a str) -> Result<T, Fault<'a>>,
) -> Result<Vec<T, N>, Fault<'a>> {
    let edit = Edit::of(value);
    let (mut list, items) = match edit {
        Edit::Replace(items) => (Vec::new(), items),
        Edit::Add(items) | Edit::Remove(items) => (list.clone(), items),
    };
    let mut items =
        items.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|item| !item.is_empty()).peekable();
    if matches!(edit, Edit::Replace(_)) && items.next_if_eq(&"none").is_some() {
        return items.next().map_or(Ok(list), |more| Err(Fault::TooManyWords(more)));
    }
    if items.peek().is_none() {
        return Err(Fault::NoValue { example });
    }
    for text in items {
        let item = parse(text)?;
        let at = list.iter().position(|there| *there == item);
        match (&edit, at) {
            (Edit::Remove(_), Some(at)) => drop(list.remove(at)),
            (Edit::Remove(_), None) => return Err(Fault::NotThere(text)),
            (_, Some(_)) => return Err(Fault::AlreadyThere(text)),
            (_, None) => list.push(item).map_err(|_| full)?,
        }
    }
    Ok(list)
}

/// `number` if it lies in the range; the bounds are given twice, as numbers and as they would be typed.
pub(crate) fn in_range<'a>(
    text: &'a str,
    number: u64,
    range: core::ops::RangeInclusive<u32>,
    [min, max]: [&'static str; 2],
) -> Result<u32, Fault<'a>> {
    u32::try_from(number).ok().filter(|number| range.contains(number)).ok_or(Fault::Range { text, min, max })
}

/// A number of one octet that lies in the range.
pub(crate) fn small<'a>(
    text: &'a str,
    range: core::ops::RangeInclusive<u32>,
    [min, max]: [&'static str; 2],
) -> Result<u8, Fault<'a>> {
    let number = in_range(text, parse::count(text)?, range, [min, max])?;
    u8::try_from(number).map_err(|_| Fault::Range { text, min, max })
}

/// A share of the queue in percent, with or without its sign.
fn share(value: &str) -> Result<u8, Fault<'_>> {
    let text = parse::one_word(value, "80")?;
    let range = u32::from(limits::settings::SHARE_PERCENT_MIN)..=100;
    small(text.strip_suffix('%').unwrap_or(text), range, ["10", "100"])
}

impl Settings {
    /// Changes one setting from its text. Lists also take `add VALUES` and `remove VALUES`; `none` empties a value that
    /// may be empty.
    ///
    /// # Errors
    /// What is wrong with the name or value; then nothing has changed.
    pub fn set<'a>(&mut self, name: &'a str, value: &'a str) -> Result<(), Fault<'a>> {
        use limits::settings as bounds;
        let value = value.trim_ascii();
        match name {
            "hostname" => {
                let word = parse::one_word(value, "gw1.example.org")?;
                self.hostname = if word == "none" { None } else { Some(parse::full_host_name(word)?) };
            }
            "banner-name" => {
                let word = parse::one_word(value, "mail.example.org")?;
                self.banner_name = if word == "none" { None } else { Some(parse::full_host_name(word)?) };
            }
            "own-names" => {
                let full = Fault::TooMany { what: "own names", max: bounds::OWN_NAMES_COUNT_MAX };
                let names = Vec::<HostName, { bounds::OWN_NAMES_COUNT_MAX }>::from_slice(&self.own_names);
                let names = names.map_err(|_| full)?;
                let names = edit_list(&names, value, "mail.example.org", full, parse::full_host_name)?;
                if names.iter().map(|name| name.as_str().len()).sum::<usize>() > bounds::OWN_NAMES_BYTES_MAX {
                    return Err(full);
                }
                self.own_names = names.iter().cloned().collect();
            }
            "own-addresses" => {
                let full = Fault::TooMany { what: "own addresses", max: bounds::OWN_ADDRESSES_COUNT_MAX };
                self.own_addresses =
                    edit_list(&self.own_addresses, value, "198.51.100.7", full, parse::address)?;
            }
            "network" => self.network = parse::own_network(value)?,
            "address6" => self.address6 = parse::own_network6(value)?,
            "network2" if value == "off" || value == "none" => self.network2 = None,
            "network2" => self.network2 = Some(parse::own_network(value)?),
            "address6-2" => self.address6_2 = parse::own_network6(value)?,
            "listeners" => {
                let full = Fault::TooMany { what: "listeners", max: bounds::LISTEN_PLACES_COUNT_MAX };
                let listeners = edit_list(&self.listeners, value, "*:25", full, Listener::parse)?;
                if listeners.is_empty() {
                    return Err(Fault::NoValue { example: "*:25" });
                }
                self.listeners = listeners;
            }
            "dns-servers" => {
                self.dns_servers =
                    edit_list(&self.dns_servers, value, "192.0.2.53", Fault::TooManyServers, parse::address)?;
            }
            "relay-networks" => {
                self.relay_networks = edit_list(
                    &self.relay_networks,
                    value,
                    "192.0.2.0/24",
                    Fault::TooManyNetworks,
                    parse::network,
                )?;
            }
            "next-hop" => {
                let word = parse::one_word(value, "mx.example.org:25")?;
                self.next_hop = if word == "none" { None } else { Some(parse::next_hop(word)?) };
            }
            "next-hop-exchange" => self.next_hop_exchange = switch(value)?,
            "null-sender-next-hop" => {
                let word = parse::one_word(value, "mx.example.org:25")?;
                self.null_sender_next_hop = if word == "none" { None } else { Some(parse::next_hop(word)?) };
            }
            "postmaster" => {
                let word = parse::one_word(value, "postmaster@example.org")?;
                self.postmaster = if word == "none" { None } else { Some(parse::mail_address(word)?) };
            }
            "without-identity" => {
                self.without_identity = match parse::one_word(value, "hold")? {
                    "hold" => WithoutIdentity::Hold,
                    "pass" => WithoutIdentity::Pass,
                    text => return Err(Fault::Choice { text, choices: "hold, pass" }),
                };
            }
            "message-size-max" => {
                let text = parse::one_word(value, "25M")?;
                let range = bounds::MESSAGE_BYTES_MAX_MIN..=bounds::MESSAGE_BYTES_MAX_MAX;
                self.message_bytes_max = in_range(text, parse::size(text)?, range, ["64K", "48M"])?;
            }
            "retry-first" => {
                let text = parse::one_word(value, "60s")?;
                let range = bounds::RETRY_S_MIN..=bounds::RETRY_MAX_S_MAX;
                self.retry_first_s = in_range(text, parse::duration(text)?, range, ["5s", "1d"])?;
            }
            "retry-max" => {
                let text = parse::one_word(value, "1h")?;
                let range = bounds::RETRY_S_MIN..=bounds::RETRY_MAX_S_MAX;
                self.retry_max_s = in_range(text, parse::duration(text)?, range, ["5s", "1d"])?;
            }
            "message-lifetime" => {
                let text = parse::one_word(value, "5d")?;
                let range = bounds::MESSAGE_LIFETIME_S_MIN..=bounds::MESSAGE_LIFETIME_S_MAX;
                self.message_lifetime_s = in_range(text, parse::duration(text)?, range, ["5m", "30d"])?;
            }
            "delay-warning" => {
                let text = parse::one_word(value, "4h")?;
                let range = bounds::DELAY_WARNING_S_MIN..=bounds::MESSAGE_LIFETIME_S_MAX;
                self.delay_warning_s = if matches!(text, "off" | "0") {
                    0
                } else {
                    in_range(text, parse::duration(text)?, range, ["5m", "30d, or off"])?
                };
            }
            "commissioning" => self.commissioning = switch(value)?,
            "destination-connections" => {
                let text = parse::one_word(value, "8")?;
                let most = u32::from(bounds::DESTINATION_CONNECTIONS_MAX);
                self.destination_connections = small(text, 1..=most, ["1", "16"])?;
            }
            "destination-rate" => {
                let text = parse::one_word(value, "60")?;
                let range = 1..=bounds::DESTINATION_RATE_MAX;
                self.destination_rate = if matches!(text, "unlimited" | "0") {
                    0
                } else {
                    in_range(text, parse::count(text)?, range, ["1", "60000, or unlimited"])?
                };
            }
            "client-share" => self.client_share = share(value)?,
            "destination-share" => self.destination_share = share(value)?,
            "clock" => {
                self.clock = match parse::one_word(value, "rtc")? {
                    "rtc" => Clock::Rtc,
                    "manual" => Clock::Manual,
                    text => return Err(Fault::Choice { text, choices: "rtc, manual" }),
                };
            }
            _ => return Err(Fault::UnknownName(name)),
        }
        Ok(())
    }

    /// The value of the setting `name`, or `None` if there is no such setting.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Value<'_>> {
        let (name, _) = NAMES.iter().find(|(known, _)| *known == name)?;
        Some(Value { settings: self, name })
    }

    /// Every setting with its value, in the order of [`NAMES`].
    pub fn values(&self) -> impl Iterator<Item = (&'static str, Value<'_>)> {
        NAMES.iter().map(|(name, _)| (*name, Value { settings: self, name }))
    }

    /// `set` lines that make this configuration from any other. A list that is too long for a line of the console is
    /// continued by lines that add to it.
    #[must_use]
    pub fn export(&self) -> alloc::vec::Vec<String> {
        let mut lines = alloc::vec::Vec::new();
        for (name, value) in self.values() {
            let value = format!("{value}");
            let mut line = format!("set {name} ");
            let start = line.len();
            for item in value.split(',') {
                if line.len() + 1 + item.len() > LINE_CHARS_MAX && line.len() > start {
                    lines.push(core::mem::replace(&mut line, format!("set {name} add ")));
                }
                line.push_str(if line.ends_with(' ') { "" } else { "," });
                line.push_str(item);
            }
            lines.push(line);
        }
        lines
    }

    /// Checks whether the values fit together.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self) -> Result<(), Problem> {
        let carries_mail =
            self.next_hop.is_some() || self.null_sender_next_hop.is_some() || !self.relay_networks.is_empty();
        if self.hostname.is_none() && carries_mail {
            return Err(Problem::NoHostname);
        }
        let has_ipv6 = self.address6.is_some() || self.address6_2.is_some();
        if !has_ipv6 && self.dns_servers.iter().any(IpAddr::is_ipv6) {
            return Err(Problem::NoIpv6);
        }
        for next_hop in self.next_hop.iter().chain(&self.null_sender_next_hop) {
            self.check_next_hop(next_hop)?;
        }
        if self.retry_first_s > self.retry_max_s {
            return Err(Problem::RetryOrder);
        }
        if self.message_lifetime_s < self.retry_first_s {
            return Err(Problem::LifetimeTooShort);
        }
        Ok(())
    }

    /// Checks whether `next_hop` can be found and reached with the other settings as they are, and is not this
    /// appliance: asked for the next hops of the settings and for those of routes.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check_next_hop(&self, next_hop: &NextHop) -> Result<(), Problem> {
        let is_ours = match &next_hop.host {
            NextHopHost::Name(name) => self.hostname.as_ref() == Some(name),
            NextHopHost::Address(hop) => self.interfaces().iter().any(|(v4, v6)| match hop {
                IpAddr::V4(hop) => matches!(v4, Some(Network::Static { address, .. }) if address == hop),
                IpAddr::V6(hop) => v6.is_some_and(|v6| v6.address == *hop),
            }),
        };
        if is_ours && self.listeners.iter().any(|listener| listener.port == next_hop.port) {
            return Err(Problem::NextHopIsSelf);
        }
        let by_dhcp = self.network == Network::Dhcp || self.network2 == Some(Network::Dhcp);
        match &next_hop.host {
            NextHopHost::Name(_) if !by_dhcp && self.dns_servers.is_empty() => Err(Problem::NoDnsServer),
            NextHopHost::Address(IpAddr::V6(_)) if self.address6.is_none() && self.address6_2.is_none() => {
                Err(Problem::NoIpv6)
            }
            NextHopHost::Address(IpAddr::V4(hop)) if !by_dhcp && !self.may_reach(*hop) => {
                Err(Problem::NoGateway { network: self.network })
            }
            _ => Ok(()),
        }
    }

    /// Whether a static network holds the address or has a gateway.
    fn may_reach(&self, hop: Ipv4Addr) -> bool {
        self.interfaces().iter().any(|(network, _)| match network {
            Some(Network::Static { gateway: Some(_), .. }) => true,
            Some(Network::Static { address, prefix, gateway: None }) => {
                let network = |address: Ipv4Addr| crate::types::masked_v4(address.to_bits(), *prefix);
                network(hop) == network(*address)
            }
            Some(Network::Dhcp) | None => false,
        })
    }
}
