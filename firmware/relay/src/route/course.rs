//! How a destination is reached: what a worker needs to know that opens a connection.

use super::exchangers::Whose;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use platform::Source;
use settings::{NextHop, Route, RouteSource, RouteTarget};

/// The hosts of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hosts {
    /// These, each with its cost: the cheapest first, equals in any order.
    Listed(Vec<(u8, NextHop)>),
    /// Those that DNS names for a domain when a connection is made; or the one of a literal.
    Exchangers {
        /// As DNS knows it, or `[literal]`.
        domain: Box<str>,
        whose: Whose,
    },
    /// None: what goes there is thrown away.
    Nobody,
}

/// How a destination is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) hosts: Hosts,
    /// Whether an Exchange organisation is there: what only its servers may see stays in the mail.
    pub(crate) exchange: bool,
    /// What its connections come from; `None`: what fits.
    pub(crate) source: Option<RouteSource>,
    /// Name to say hello with, where it is not the gateway's host name.
    pub(crate) helo: Option<Box<str>>,
    /// Most connections at once; 0: as for all.
    pub(crate) connections: u8,
    /// Most messages a minute; 0: as for all.
    pub(crate) rate: u32,
}

impl Course {
    /// To one host, with nothing special.
    pub(crate) fn to(next_hop: NextHop) -> Self {
        Self {
            hosts: Hosts::Listed(Vec::from_iter([(0, next_hop)])),
            exchange: false,
            source: None,
            helo: None,
            connections: 0,
            rate: 0,
        }
    }

    /// To nobody, because what goes there stays here.
    pub(crate) const fn nowhere() -> Self {
        Self { hosts: Hosts::Nobody, exchange: false, source: None, helo: None, connections: 0, rate: 0 }
    }

    /// To the exchangers of a domain.
    pub(crate) fn to_exchangers(domain: &str, whose: Whose) -> Self {
        Self {
            hosts: Hosts::Exchangers { domain: Box::from(domain), whose },
            exchange: whose == Whose::Internal,
            source: None,
            helo: None,
            connections: 0,
            rate: 0,
        }
    }

    /// By a route; `domain` and `whose` it is count where that goes by MX.
    pub(crate) fn by(route: &Route, domain: &str, whose: Whose) -> Self {
        let (hosts, internal) = match route.target() {
            RouteTarget::Mx => {
                (Hosts::Exchangers { domain: Box::from(domain), whose }, whose == Whose::Internal)
            }
            RouteTarget::Hosts(hosts) => {
                let hosts = hosts.iter().map(|host| (host.cost, host.next_hop.clone()));
                (Hosts::Listed(hosts.collect()), false)
            }
        };
        Self {
            hosts,
            exchange: route.exchange() || internal,
            source: route.source(),
            helo: route.helo().map(|helo| Box::from(helo.as_str())),
            connections: route.connections(),
            rate: route.rate(),
        }
    }

    /// The host, if there is only one that it can be.
    pub(crate) fn only_host(&self) -> Option<&NextHop> {
        match &self.hosts {
            Hosts::Listed(list) => match list.as_slice() {
                [(_, only)] => Some(only),
                _ => None,
            },
            Hosts::Exchangers { .. } | Hosts::Nobody => None,
        }
    }

    /// What its connections come from, as a machine understands it.
    pub(crate) const fn connect_from(&self) -> Source {
        match self.source {
            None => Source { interface: None, address: None },
            Some(RouteSource::Interface(interface)) => Source { interface: Some(interface), address: None },
            Some(RouteSource::Address(address)) => Source { interface: None, address: Some(address) },
        }
    }

    /// Whether it leads to somebody who did not ask for our mail server to be his concern: such are asked less often when
    /// they do not answer.
    pub(crate) const fn is_foreign(&self) -> bool {
        matches!(self.hosts, Hosts::Exchangers { whose: Whose::Foreign, .. })
    }
}

/// A course that several hold.
pub(crate) type Shared = Rc<Course>;
