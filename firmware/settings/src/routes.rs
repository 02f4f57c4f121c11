//! Which servers take the mail for which domain.

use crate::domain::canonical;
use crate::fault::Fault;
use crate::parse;
use crate::table::{Row, Table, TableKind, boxed};
use crate::types::{HostName, NextHop};
use crate::words::Words;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use limits::settings::{
    DESTINATION_CONNECTIONS_MAX, DESTINATION_RATE_MAX, ROUTE_COST_MAX, ROUTE_HOSTS_COUNT_MAX,
    TABLE_TEXT_BYTES_MAX,
};

/// The cost of a host that names none.
const COST_DEFAULT: u8 = 1;

/// One server of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteHost {
    /// Where it is.
    pub next_hop: NextHop,
    /// 1 to 100; the lowest is tried first, equals share the mail.
    pub cost: u8,
}

/// Where the mail of a route goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// To the mail exchangers of the recipient's domain.
    Mx,
    /// To these servers: 1 to 8, by cost, in the order in which they were named.
    Hosts(Box<[RouteHost]>),
}

/// What connections of a route come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteSource {
    /// Any address of this interface.
    Interface(u8),
    /// This own address.
    Address(IpAddr),
}

/// One row of the table: where mail for a domain, and for every domain below it that has no route of its own, goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Canonical: A-labels, lower case; or `*`.
    domain: Box<str>,
    target: RouteTarget,
    /// The servers, and what connections to them are like; for a route by MX only the latter, after a space.
    name: Box<str>,
    inside: bool,
    exchange: bool,
    source: Option<RouteSource>,
    helo: Option<HostName>,
    connections: u8,
    rate: u32,
}

/// Words that begin an option of a route, in the order in which they are printed.
pub const ROUTE_OPTIONS: &[&str] =
    &["cost", "inside", "exchange", "from", "helo", "connections", "rate", "mx"];

impl Route {
    /// A route to one server.
    ///
    /// # Errors
    /// What is wrong with domain or next hop.
    pub fn new<'a>(domain: &'a str, next_hop: &'a str, inside: bool) -> Result<Self, Fault<'a>> {
        let domain = route_domain(domain)?;
        let host = RouteHost { next_hop: parse::next_hop(next_hop)?, cost: COST_DEFAULT };
        let target = RouteTarget::Hosts(Box::new([host]));
        Self { target, inside, ..Self::by_mx(domain) }.finished()
    }

    fn by_mx(domain: Box<str>) -> Self {
        Self {
            domain,
            target: RouteTarget::Mx,
            name: Box::default(),
            inside: false,
            exchange: false,
            source: None,
            helo: None,
            connections: 0,
            rate: 0,
        }
    }

    /// The route with its name, if it is short enough to be stored.
    fn finished<'a>(mut self) -> Result<Self, Fault<'a>> {
        self.name = match &self.target {
            RouteTarget::Mx => boxed(Identity(&self)),
            hosts @ RouteTarget::Hosts(_) => boxed(format_args!("{hosts}{}", Identity(&self))),
        };
        if format!("{self}").len() > TABLE_TEXT_BYTES_MAX { Err(Fault::RowTooLong) } else { Ok(self) }
    }

    /// The domain, in A-labels and lower case, or `*`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Where the mail goes.
    #[must_use]
    pub const fn target(&self) -> &RouteTarget {
        &self.target
    }

    /// What tells this destination from others: its servers with their costs, then what connections to them are like
    /// (` from …`, ` helo …`, ` connections …`, ` rate …`) where it is set. Two routes with the same text share connections. For a route by MX, only the latter part, to be put
    /// behind what stands for the recipient's domain.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The preferred server: the first of those with the lowest cost; none for a route by MX.
    #[must_use]
    pub fn next_hop(&self) -> Option<NextHop> {
        self.hosts().first().map(|host| host.next_hop.clone())
    }

    /// The servers, by cost; none for a route by MX.
    #[must_use]
    pub fn hosts(&self) -> &[RouteHost] {
        match &self.target {
            RouteTarget::Mx => &[],
            RouteTarget::Hosts(hosts) => hosts,
        }
    }

    /// The servers as they would be typed, or `mx`.
    #[must_use]
    pub fn target_text(&self) -> String {
        format!("{}", self.target)
    }

    /// Whether the servers are own ones: their mail goes before mail to the outside. So are Exchange servers.
    #[must_use]
    pub const fn inside(&self) -> bool {
        self.inside || self.exchange
    }

    /// Whether the servers are Exchange servers of one's own: mail to them may keep the header fields that only these may
    /// write, and gets the mark by which a loop is recognised.
    #[must_use]
    pub const fn exchange(&self) -> bool {
        self.exchange
    }

    /// What its connections come from, if not from what fits.
    #[must_use]
    pub const fn source(&self) -> Option<RouteSource> {
        self.source
    }

    /// The name in EHLO, if not the host name.
    #[must_use]
    pub const fn helo(&self) -> Option<&HostName> {
        self.helo.as_ref()
    }

    /// Most connections at a time; 0: the setting `destination-connections`.
    #[must_use]
    pub const fn connections(&self) -> u8 {
        self.connections
    }

    /// Most messages a minute; 0: the setting `destination-rate`.
    #[must_use]
    pub const fn rate(&self) -> u32 {
        self.rate
    }

    /// This route with the hosts of an older one for the same domain that have other costs: how several rows for one
    /// domain become one route. Options that this one does not name are those of the older one. Unchanged if this one or the other goes by MX.
    ///
    /// # Errors
    /// It would have too many hosts, or be too long.
    pub fn joined<'a>(mut self, older: &Self) -> Result<Self, Fault<'a>> {
        let (RouteTarget::Hosts(own), RouteTarget::Hosts(others)) = (&self.target, &older.target) else {
            return Ok(self);
        };
        let is_other =
            |host: &&RouteHost| own.iter().all(|new| new.cost != host.cost && new.next_hop != host.next_hop);
        let mut hosts: Vec<_> = own.iter().chain(others.iter().filter(is_other)).cloned().collect();
        if hosts.len() > ROUTE_HOSTS_COUNT_MAX {
            return Err(Fault::TooMany { what: "hosts in one route", max: ROUTE_HOSTS_COUNT_MAX });
        }
        hosts.sort_by_key(|host| host.cost);
        self.target = RouteTarget::Hosts(hosts.into_boxed_slice());
        // What the newer row does not say is as it was: it names one more server, not another kind of route.
        self.inside |= older.inside;
        self.exchange |= older.exchange;
        self.source = self.source.or(older.source);
        self.helo = self.helo.or_else(|| older.helo.clone());
        self.connections = if self.connections == 0 { older.connections } else { self.connections };
        self.rate = if self.rate == 0 { older.rate } else { self.rate };
        self.finished()
    }
}

fn route_domain(text: &str) -> Result<Box<str>, Fault<'_>> {
    if text == "*" { Ok("*".into()) } else { parse::domain(text) }
}

impl Row for Route {
    const KIND: TableKind = TableKind::Routes;

    /// Reads `DOMAIN|* mx|HOST[,HOST…] [cost N] [HOST… cost N]… [OPTION…]`.
    fn parse(text: &str) -> Result<Self, Fault<'_>> {
        const EXAMPLE: &str = "example.org mx1.example.org";
        let mut words = Words::new(text);
        let domain = route_domain(words.word(EXAMPLE)?)?;
        let mut route = Self::by_mx(domain);
        let mut hosts: Vec<RouteHost> = Vec::new();
        let (mut by_mx, mut costed) = (false, 0);
        while let Some(word) = words.peek() {
            if !ROUTE_OPTIONS.contains(&word) {
                words.list(EXAMPLE, |item| {
                    let next_hop = parse::next_hop(item)?;
                    if hosts.iter().any(|host| host.next_hop == next_hop) {
                        return Err(Fault::AlreadyThere(item));
                    }
                    if hosts.len() >= ROUTE_HOSTS_COUNT_MAX {
                        return Err(Fault::TooMany {
                            what: "hosts in one route",
                            max: ROUTE_HOSTS_COUNT_MAX,
                        });
                    }
                    hosts.push(RouteHost { next_hop, cost: COST_DEFAULT });
                    Ok(())
                })?;
                continue;
            }
            let _ = words.next();
            let twice = match word {
                "mx" => core::mem::replace(&mut by_mx, true),
                "inside" => core::mem::replace(&mut route.inside, true),
                "exchange" => core::mem::replace(&mut route.exchange, true),
                "cost" => {
                    let text = words.word("10")?;
                    let range = 1..=u32::from(ROUTE_COST_MAX);
                    let cost = crate::text::small(text, range, ["1", "100"])?;
                    // It is the cost of the hosts before it that have none yet.
                    let Some(fresh @ [_, ..]) = hosts.get_mut(costed..) else {
                        return Err(Fault::CostOfNothing);
                    };
                    fresh.iter_mut().for_each(|host| host.cost = cost);
                    costed = hosts.len();
                    false
                }
                "from" => {
                    let text = words.word("if1")?;
                    let source = match parse::interface(text) {
                        Some(number) => RouteSource::Interface(number?),
                        None => RouteSource::Address(parse::address(text)?),
                    };
                    route.source.replace(source).is_some()
                }
                "helo" => {
                    let name = parse::full_host_name(words.word("mail.example.org")?)?;
                    route.helo.replace(name).is_some()
                }
                "connections" => {
                    let text = words.word("4")?;
                    let range = 1..=u32::from(DESTINATION_CONNECTIONS_MAX);
                    let number = crate::text::small(text, range, ["1", "16"])?;
                    core::mem::replace(&mut route.connections, number) != 0
                }
                _ => {
                    let text = words.word("60")?;
                    let range = 1..=DESTINATION_RATE_MAX;
                    let rate = crate::text::in_range(text, parse::count(text)?, range, ["1", "60000"])?;
                    core::mem::replace(&mut route.rate, rate) != 0
                }
            };
            if twice {
                return Err(Fault::Twice(word));
            }
        }
        route.target = match (by_mx, hosts.is_empty()) {
            (true, true) => RouteTarget::Mx,
            (true, false) => return Err(Fault::MxAndHosts),
            (false, true) => return Err(Fault::NoValue { example: EXAMPLE }),
            (false, false) => {
                hosts.sort_by_key(|host| host.cost);
                RouteTarget::Hosts(hosts.into_boxed_slice())
            }
        };
        route.finished()
    }

    fn key(&self) -> &str {
        &self.domain
    }

    fn key_of(typed: &str) -> Option<String> {
        route_domain(typed).ok().map(String::from)
    }
}

impl fmt::Display for RouteTarget {
    /// As `route add` takes it; costs only where there are different ones, or one that is not the usual.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Hosts(hosts) = self else { return f.write_str("mx") };
        let plain = hosts.iter().all(|host| host.cost == COST_DEFAULT);
        for (at, group) in hosts.chunk_by(|a, b| a.cost == b.cost).enumerate() {
            for (within, host) in group.iter().enumerate() {
                let before = match (at, within) {
                    (0, 0) => "",
                    (_, 0) => " ",
                    _ => ",",
                };
                write!(f, "{before}{}", host.next_hop)?;
            }
            if let (false, Some(host)) = (plain, group.first()) {
                write!(f, " cost {}", host.cost)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for RouteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interface(number) => write!(f, "if{number}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What connections of a route are like.
struct Identity<'r>(&'r Route);

impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = self.0.source {
            write!(f, " from {source}")?;
        }
        if let Some(helo) = &self.0.helo {
            write!(f, " helo {helo}")?;
        }
        if self.0.connections != 0 {
            write!(f, " connections {}", self.0.connections)?;
        }
        if self.0.rate != 0 {
            write!(f, " rate {}", self.0.rate)?;
        }
        Ok(())
    }
}

impl fmt::Display for Route {
    /// As `route add` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.domain, self.target)?;
        f.write_str(if self.inside { " inside" } else { "" })?;
        f.write_str(if self.exchange { " exchange" } else { "" })?;
        Identity(self).fmt(f)
    }
}

/// The table of routes.
pub type Routes = Table<Route>;

impl Table<Route> {
    /// The route for the mail to `domain` (any letter case, with or without final dot, A-labels or U-labels): that of the
    /// domain itself or, if it has none, of the closest domain above it, or the one for `*`. `None`: no route, so the
    /// default next hop.
    #[must_use]
    pub fn route_for(&self, domain: &str) -> Option<&Route> {
        if self.is_empty() {
            return None;
        }
        self.closest(domain).or_else(|| self.get("*"))
    }

    /// As [`Self::route_for`], without the one for `*`. Address literals never have one.
    fn closest(&self, domain: &str) -> Option<&Route> {
        if domain.starts_with('[') {
            return None;
        }
        let name = canonical(domain)?;
        let mut rest = name.as_str();
        loop {
            if let Some(route) = self.get(rest) {
                return Some(route);
            }
            (_, rest) = rest.split_once('.')?;
        }
    }
}
