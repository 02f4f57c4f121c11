//! Which hosts take the mail of a domain, in which order: RFC 5321 §5.1, RFC 7505, and what they mean for a gateway that
//! stands in the MX of the domains behind it. No I/O: names and addresses are looked up by the caller, who asks on
//! only as far as it needs to.
//!
//! # Whose domain it is makes the rule
//! *Foreign*: if we are among the exchangers, so is everybody of our preference or a worse one left out, because those
//! would send it back to us (RFC 5321 §5.1). *Internal*: only we ourselves are left out, and all others stay, whatever
//! their preference: it is the site's own decision to let its mail come through the gateway first, and its MX records say
//! so in either order.
//!
//! We are recognised by each of our names, and by each of our addresses behind a name that we do not know.
//!
//! # Terms
//! A *group* is the hosts of one preference. A group is looked up whole before any of its hosts is tried, in an order
//! that chance decides: we may be one of them.

#[cfg(test)]
mod tests;

use super::ourselves::Ourselves;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use envelope::EnhancedStatus;
use limits::dns::EXCHANGERS_COUNT_MAX;
use limits::net::HOST_ADDRESSES_COUNT_MAX;
use limits::routing::ADDRESSES_TRIED_COUNT_MAX;

/// Whether a domain's mail ends behind us or out in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// One of the domains that this gateway protects.
    Internal,
    /// Any other.
    Foreign,
}

/// What DNS says about the exchangers of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MxAnswer<R> {
    /// There are MX records.
    Records(R),
    /// There are none: the domain's own addresses serve (RFC 5321 §5.1).
    NoData,
    /// The domain does not exist.
    NoSuchName,
    /// Nobody could say.
    Temporary,
}

/// What an MX record points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange<'a> {
    /// The root: the domain takes no mail (RFC 7505).
    Null,
    /// Something that cannot be a host, such as an IP address written as a name.
    NoHost,
    /// A host, by name.
    Host(&'a str),
}

/// What DNS says about the addresses of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostAnswer<'a> {
    /// These; `canonical` is the name at the end of its aliases, if it has any and that is known.
    Addresses {
        /// All of them, of both families.
        list: &'a [IpAddr],
        /// Where a CNAME led to.
        canonical: Option<&'a str>,
    },
    /// It does not exist or has no address.
    Nothing,
    /// Nobody could say.
    Temporary,
}

/// A place to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The host, as DNS names it.
    pub(crate) host: Box<str>,
    pub(crate) address: IpAddr,
}

/// Why there is nowhere to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nowhere {
    /// The domain does not exist.
    NoSuchDomain,
    /// It says that it takes no mail (RFC 7505).
    NullMx,
    /// It has neither exchangers nor an address.
    NoServer,
    /// It has exchangers, none of which is a host with an address.
    NoUsableHost,
    /// What is left of its exchangers is this gateway.
    OnlyOurselves,
    /// Its exchangers have addresses of a family only that this gateway does not speak.
    OtherFamily,
    /// DNS does not answer for the domain or for its exchangers.
    Temporary,
}

impl Nowhere {
    /// The status of a recipient that fails because of this, at once; `None`: trying again later makes sense.
    ///
    /// Mail for an internal domain never fails because of DNS: its records are the operator's, and so is the mistake.
    pub(crate) const fn failure(self, whose: Whose) -> Option<EnhancedStatus> {
        match (whose, self) {
            (Whose::Internal, _) | (_, Self::Temporary | Self::OtherFamily) => None,
            (Whose::Foreign, Self::NoSuchDomain | Self::NoServer | Self::NoUsableHost) => {
                Some(EnhancedStatus(5, 1, 2))
            }
            (Whose::Foreign, Self::NullMx) => Some(EnhancedStatus(5, 1, 10)),
            (Whose::Foreign, Self::OnlyOurselves) => Some(EnhancedStatus(5, 4, 6)),
        }
    }
}

impl fmt::Display for Nowhere {
    /// Reads after the name of the domain and a colon.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchDomain => "the domain does not exist",
            Self::NullMx => "the domain takes no mail (null MX)",
            Self::NoServer => "the domain has neither MX records nor an address",
            Self::NoUsableHost => "no MX record of the domain leads to a host with an address",
            Self::OnlyOurselves => {
                "the MX records of the domain lead to this gateway and to nobody behind it"
            }
            Self::OtherFamily => "the mail servers of the domain have no address that this gateway can reach",
            Self::Temporary => "the mail servers of the domain cannot be looked up now",
        })
    }
}

/// Chance that can be repeated: what is random here only spreads load, so a seed of 64 bits is plenty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// `splitmix64`.
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Every order is as likely as any other.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
            // The bias of the remainder is 16 in 2^64.
            let chosen = usize::try_from(self.next() % bound).unwrap_or(last);
            items.swap(chosen, last);
        }
    }
}

#[derive(Debug)]
struct Host {
    preference: u16,
    /// Orders hosts of one preference.
    lot: u64,
    name: Box<str>,
}

/// Looks for the hosts of one domain: ask [`Self::question`] and [`Self::answer`] it until there is none, then take the
/// places of [`Self::batch`] and try them; if none of them serves, go on asking. An empty batch is the end, and
/// [`Self::nowhere`] says why there was nothing, if there was nothing.
#[derive(Debug)]
pub(crate) struct Survey<'u> {
    us: &'u Ourselves,
    whose: Whose,
    chance: Chance,
    /// Ordered, each name once; `next` is the first that has not been looked up.
    hosts: Vec<Host>,
    next: usize,
    /// What the present group has brought.
    batch: Vec<Candidate>,
    /// Addresses that have been given out.
    seen: Vec<IpAddr>,
    /// The preference from which on nobody is asked: we have it.
    cut: Option<u16>,
    implicit: bool,
    ourselves: bool,
    temporary: bool,
    other_family: bool,
}

impl<'u> Survey<'u> {
    /// Begins with what DNS says about the MX records of `domain`, which is as DNS knows it and no literal.
    ///
    /// # Errors
    /// Why nobody needs to be looked up.
    pub(crate) fn new<'a, R: IntoIterator<Item = (u16, Exchange<'a>)>>(
        domain: &str,
        answer: MxAnswer<R>,
        whose: Whose,
        us: &'u Ourselves,
        chance: Chance,
    ) -> Result<Self, Nowhere> {
        let mut this = Self {
            us,
            whose,
            chance,
            hosts: Vec::new(),
            next: 0,
            batch: Vec::new(),
            seen: Vec::new(),
            cut: None,
            implicit: false,
            ourselves: false,
            temporary: false,
            other_family: false,
        };
        match answer {
            MxAnswer::Records(records) => this.enter_all(records)?,
            MxAnswer::NoData => {
                this.implicit = true;
                this.enter(0, domain);
            }
            MxAnswer::NoSuchName => return Err(Nowhere::NoSuchDomain),
            MxAnswer::Temporary => return Err(Nowhere::Temporary),
        }
        if let Some(cut) = this.cut {
            this.hosts.retain(|host| host.preference < cut);
        }
        if this.hosts.is_empty() { Err(this.nowhere()) } else { Ok(this) }
    }

    fn enter_all<'a>(
        &mut self,
        records: impl IntoIterator<Item = (u16, Exchange<'a>)>,
    ) -> Result<(), Nowhere> {
        let (mut null, mut other) = (false, false);
        for (preference, exchange) in records {
            match exchange {
                Exchange::Null => null = true,
                Exchange::NoHost => other = true,
                Exchange::Host(name) => {
                    other = true;
                    self.enter(preference, name);
                }
            }
        }
        // RFC 7505 §3: it stands alone. Where it does not, the others are what somebody meant.
        if null && !other { Err(Nowhere::NullMx) } else { Ok(()) }
    }

    /// Takes a host in, unless it is us or more than enough better ones are there.
    fn enter(&mut self, preference: u16, name: &str) {
        if self.us.is_name(name) {
            return self.found_ourselves(preference);
        }
        let known = self.hosts.iter().position(|host| host.name.eq_ignore_ascii_case(name));
        if let Some(known) = known {
            if self.hosts.get(known).is_some_and(|host| host.preference <= preference) {
                return;
            }
            self.hosts.remove(known);
        }
        let lot = self.chance.next();
        let place = self.hosts.partition_point(|host| (host.preference, host.lot) < (preference, lot));
        if place < EXCHANGERS_COUNT_MAX {
            self.hosts.truncate(EXCHANGERS_COUNT_MAX - 1);
            self.hosts.insert(place, Host { preference, lot, name: Box::from(name) });
        }
    }

    fn found_ourselves(&mut self, preference: u16) {
        self.ourselves = true;
        if self.whose == Whose::Foreign {
            self.cut = Some(self.cut.map_or(preference, |cut| cut.min(preference)));
        }
    }

    /// The host whose addresses are to be looked up next. `None`: the group is complete, or there is no other.
    pub(crate) fn question(&self) -> Option<&str> {
        let host = self.hosts.get(self.next)?;
        if self.cut.is_some_and(|cut| host.preference >= cut)
            || self.seen.len() + self.batch.len() >= ADDRESSES_TRIED_COUNT_MAX
        {
            return None;
        }
        // A group that brought nothing is no reason to stop.
        let before = self.next.checked_sub(1).and_then(|before| self.hosts.get(before));
        let begins_group = before.is_some_and(|before| before.preference != host.preference);
        (!begins_group || self.batch.is_empty()).then_some(&*host.name)
    }

    /// Takes the answer to [`Self::question`].
    pub(crate) fn answer(&mut self, answer: HostAnswer<'_>) {
        let Some(host) = self.hosts.get_mut(self.next) else { return };
        let (preference, name) = (host.preference, core::mem::take(&mut host.name));
        self.next += 1;
        let (list, canonical) = match answer {
            HostAnswer::Addresses { list, canonical } => (list, canonical),
            HostAnswer::Nothing => return,
            HostAnswer::Temporary => {
                self.temporary = true;
                return;
            }
        };
        if canonical.is_some_and(|name| self.us.is_name(name))
            || list.iter().any(|address| self.us.is_address(*address))
        {
            self.found_ourselves(preference);
            if self.whose == Whose::Foreign {
                // The rest of the group would send it to us too.
                self.batch.clear();
            }
            return;
        }
        let hosts = list.iter().map(IpAddr::to_canonical).filter(is_host);
        let mut list: heapless::Vec<IpAddr, HOST_ADDRESSES_COUNT_MAX> =
            hosts.take(HOST_ADDRESSES_COUNT_MAX).collect();
        self.chance.shuffle(&mut list);
        for address in list {
            if !self.us.speaks_family_of(address) {
                self.other_family = true;
                continue;
            }
            let known = self.seen.contains(&address) || self.batch.iter().any(|c| c.address == address);
            if !known && self.seen.len() + self.batch.len() < ADDRESSES_TRIED_COUNT_MAX {
                self.batch.push(Candidate { host: name.clone(), address });
            }
        }
    }

    /// The places of the group that has been looked up, in the order in which to try them. Empty: there are no more.
    pub(crate) fn batch(&mut self) -> Vec<Candidate> {
        let batch = core::mem::take(&mut self.batch);
        self.seen.extend(batch.iter().map(|candidate| candidate.address));
        batch
    }

    /// Why there was no place to try.
    pub(crate) const fn nowhere(&self) -> Nowhere {
        if self.temporary {
            Nowhere::Temporary
        } else if self.ourselves {
            Nowhere::OnlyOurselves
        } else if self.other_family {
            Nowhere::OtherFamily
        } else if self.implicit {
            Nowhere::NoServer
        } else {
            Nowhere::NoUsableHost
        }
    }
}

/// Whether an address can be one of a host at all.
fn is_host(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast() && v4.octets().first() != Some(&0),
        IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unicast_link_local(),
    }
}

/// What a literal says where mail goes (RFC 5321 §4.1.3, §5.1): to that address, with no question to DNS.
///
/// # Errors
/// Why nobody is there.
pub(crate) fn literal(address: IpAddr, us: &Ourselves) -> Result<Candidate, Nowhere> {
    let address = address.to_canonical();
    if us.is_address(address) {
        return Err(Nowhere::OnlyOurselves);
    }
    if !is_host(&address) {
        return Err(Nowhere::NoUsableHost);
    }
    if !us.speaks_family_of(address) {
        return Err(Nowhere::OtherFamily);
    }
    Ok(Candidate { host: alloc::format!("[{address}]").into_boxed_str(), address })
}
