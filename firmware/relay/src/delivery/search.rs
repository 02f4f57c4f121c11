//! Where to connect to reach a destination: its hosts' addresses in the order in which to try them, looked up no further
//! than they are needed.

use crate::resolver::LookupError;
use crate::route::exchangers::{Chance, Exchange, HostAnswer, MxAnswer, Nowhere, Survey, Whose, literal};
use crate::route::{Course, Hosts, Ourselves};
use crate::time::within;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use limits::net::{HOST_ADDRESSES_COUNT_MAX, SMTP_PORT};
use limits::routing::LOOKUP_S;
use platform::Entropy;
use settings::{NextHop, NextHopHost};

/// Why a destination was not reached.
pub(crate) enum Missed {
    /// None of its hosts serves us now.
    Unreachable(String),
    /// DNS says that there is nobody.
    Nowhere {
        /// Whose exchangers were looked for.
        domain: Box<str>,
        whose: Whose,
        why: Nowhere,
    },
}

enum Hunt<'u> {
    /// Hosts that are not looked up yet, the next at the end.
    Listed(Vec<NextHop>),
    Survey {
        domain: &'u str,
        whose: Whose,
        survey: Survey<'u>,
    },
    Literal,
}

/// The places of one destination.
pub(crate) struct Search<'u> {
    hunt: Hunt<'u>,
    ready: VecDeque<SocketAddr>,
    /// Whether there was any place.
    any: bool,
    /// Why the last host that was looked up gave none.
    reason: String,
    chance: Chance,
}

fn chance<P: Platform>(appliance: &Appliance<'_, P>) -> Chance {
    let mut octets = [0; 8];
    appliance.entropy.fill(&mut octets);
    Chance::new(u64::from_le_bytes(octets))
}

impl<'u> Search<'u> {
    /// Begins to look for the hosts of a course.
    ///
    /// # Errors
    /// Why there is nobody to look for.
    pub(crate) async fn begin<P: Platform>(
        appliance: &Appliance<'_, P>,
        course: &'u Course,
        us: &'u Ourselves,
    ) -> Result<Self, Missed> {
        let mut chance = chance(appliance);
        let new = |hunt, ready, chance| Self { hunt, ready, any: false, reason: String::new(), chance };
        match &course.hosts {
            Hosts::Listed(list) => {
                let mut list: Vec<&(u8, NextHop)> = list.iter().collect();
                chance.shuffle(&mut list);
                // Stable: equals stay as chance put them. The cheapest stands at the end, from where it is taken.
                list.sort_by_key(|(cost, _)| core::cmp::Reverse(*cost));
                let hosts = list.into_iter().map(|(_, host)| host.clone()).collect();
                Ok(new(Hunt::Listed(hosts), VecDeque::new(), chance))
            }
            Hosts::Nobody => Ok(new(Hunt::Literal, VecDeque::new(), chance)),
            Hosts::Exchangers { domain, whose } => {
                let nowhere = |why| Missed::Nowhere { domain: domain.clone(), whose: *whose, why };
                if domain.starts_with('[') {
                    let address = envelope::literal_address(domain);
                    let found = address.ok_or(Nowhere::NoSuchDomain).and_then(|at| literal(at, us));
                    let place = SocketAddr::new(found.map_err(nowhere)?.address, SMTP_PORT);
                    return Ok(new(Hunt::Literal, VecDeque::from_iter([place]), chance));
                }
                let survey = begin_survey(appliance, domain, *whose, us, chance).await.map_err(nowhere)?;
                Ok(new(Hunt::Survey { domain, whose: *whose, survey }, VecDeque::new(), chance))
            }
        }
    }

    /// The next place to try; `None`: there is no other.
    pub(crate) async fn next<P: Platform>(&mut self, appliance: &Appliance<'_, P>) -> Option<SocketAddr> {
        loop {
            if let Some(place) = self.ready.pop_front() {
                self.any = true;
                return Some(place);
            }
            match &mut self.hunt {
                Hunt::Literal => return None,
                Hunt::Listed(hosts) => {
                    let host = hosts.pop()?;
                    match addresses(appliance, &host).await {
                        Ok(mut list) => {
                            self.chance.shuffle(&mut list);
                            self.ready
                                .extend(list.iter().map(|address| SocketAddr::new(*address, host.port)));
                        }
                        Err(reason) => self.reason = reason,
                    }
                }
                Hunt::Survey { survey, .. } => {
                    while let Some(name) = survey.question().map(String::from) {
                        match look_up(appliance, &name).await {
                            Ok(list) => survey.answer(HostAnswer::Addresses { list: &list, canonical: None }),
                            Err(error) if error.is_temporary() => survey.answer(HostAnswer::Temporary),
                            Err(_) => survey.answer(HostAnswer::Nothing),
                        }
                    }
                    let batch = survey.batch();
                    if batch.is_empty() {
                        return None;
                    }
                    self.ready.extend(batch.iter().map(|c| SocketAddr::new(c.address, SMTP_PORT)));
                }
            }
        }
    }

    /// Why there is no (further) place, after [`Self::next`] said so; `tried` is why the last place did not serve.
    pub(super) fn end(self, tried: Option<String>) -> Missed {
        match (self.hunt, tried) {
            (Hunt::Survey { domain, whose, survey }, None) if !self.any => {
                Missed::Nowhere { domain: Box::from(domain), whose, why: survey.nowhere() }
            }
            (_, Some(reason)) => Missed::Unreachable(reason),
            (_, None) => Missed::Unreachable(self.reason),
        }
    }
}

async fn begin_survey<'u, P: Platform>(
    appliance: &Appliance<'_, P>,
    domain: &str,
    whose: Whose,
    us: &'u Ourselves,
    chance: Chance,
) -> Result<Survey<'u>, Nowhere> {
    let asked = within(&appliance.timer, LOOKUP_S, appliance.resolver().mx(domain)).await;
    let records: Vec<(u16, Option<String>, bool)> = match &asked {
        Ok(Ok(list)) => {
            list.iter().map(|mx| (mx.preference, mx.exchange.host(), mx.exchange.is_root())).collect()
        }
        _ => Vec::new(),
    };
    let exchanges = records.iter().map(|(preference, host, null)| {
        let exchange = match host {
            _ if *null => Exchange::Null,
            Some(host) => Exchange::Host(host),
            None => Exchange::NoHost,
        };
        (*preference, exchange)
    });
    let answer = match asked {
        Ok(Ok(_)) => MxAnswer::Records(exchanges),
        Ok(Err(LookupError::NoData)) => MxAnswer::NoData,
        Ok(Err(LookupError::NoSuchName)) => MxAnswer::NoSuchName,
        Ok(Err(LookupError::Temporary(_))) | Err(_) => MxAnswer::Temporary,
    };
    Survey::new(domain, answer, whose, us, chance)
}

type Addresses = heapless::Vec<IpAddr, HOST_ADDRESSES_COUNT_MAX>;

async fn look_up<P: Platform>(appliance: &Appliance<'_, P>, name: &str) -> Result<Addresses, LookupError> {
    let asked = within(&appliance.timer, LOOKUP_S, appliance.resolver().addresses(name)).await;
    asked.unwrap_or(Err(LookupError::Temporary(dns::Trouble::Silence)))
}

async fn addresses<P: Platform>(
    appliance: &Appliance<'_, P>,
    next_hop: &NextHop,
) -> Result<Addresses, String> {
    let name = match &next_hop.host {
        NextHopHost::Address(address) => return Ok(Addresses::from_iter([*address])),
        NextHopHost::Name(name) => name.as_str(),
    };
    look_up(appliance, name).await.map_err(|error| match error {
        LookupError::Temporary(why) => format!("{name} cannot be looked up: {why}"),
        LookupError::NoSuchName | LookupError::NoData => format!("{name} does not exist or has no address"),
    })
}
