//! `diag dns`: what DNS says about a domain, beside what should be there.

use super::{Findings, Misunderstood, egress, is_private, listed, policy};
use crate::resolver::LookupError;
use crate::route::exchangers::Whose;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use embedded_io_async::Write;

/// What Exchange Online's hosts end in.
const EXCHANGE_ONLINE_HOSTS: [&str; 2] = [".mail.protection.outlook.com", ".mx.microsoft"];

/// One exchanger of a domain.
pub(super) struct Exchanger {
    pub(super) preference: u16,
    /// `None`: what the record names is no host.
    pub(super) host: Option<String>,
    pub(super) addresses: Result<Vec<IpAddr>, LookupError>,
    /// Whether it is this gateway.
    pub(super) ours: bool,
}

/// What a domain says about who takes its mail.
pub(super) enum Exchangers {
    /// These, the best first.
    Records(Vec<Exchanger>),
    /// No MX record: the domain's own addresses.
    Implicit(Exchanger),
    /// It takes no mail.
    Null,
}

/// Whether a host is one of Exchange Online.
pub(super) fn is_exchange_online(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    EXCHANGE_ONLINE_HOSTS.iter().any(|suffix| host.ends_with(suffix))
}

/// Looks the exchangers of a domain and their addresses up.
pub(super) async fn exchangers<P: Platform>(
    appliance: &Appliance<'_, P>,
    domain: &str,
) -> Result<Exchangers, LookupError> {
    let us = appliance.ourselves();
    let look_up = async |preference: u16, host: Option<String>| {
        let addresses = match &host {
            Some(host) => appliance.resolver().fresh().addresses(host).await.map(|list| list.to_vec()),
            None => Err(LookupError::NoSuchName),
        };
        let ours = host.as_ref().is_some_and(|host| us.is_name(host))
            || addresses.as_ref().is_ok_and(|list| list.iter().any(|address| us.is_address(*address)));
        Exchanger { preference, host, addresses, ours }
    };
    let records = match appliance.resolver().fresh().mx(domain).await {
        Ok(records) => records,
        Err(LookupError::NoData) => return Ok(Exchangers::Implicit(look_up(0, Some(domain.into())).await)),
        Err(error) => return Err(error),
    };
    if records.iter().any(|mx| mx.exchange.is_root()) {
        return Ok(Exchangers::Null);
    }
    let mut found = Vec::new();
    for mx in records {
        found.push(look_up(mx.preference, mx.exchange.host()).await);
    }
    Ok(Exchangers::Records(found))
}

/// Whether mail of the domain has to do with Exchange Online, by its exchangers and its route.
pub(super) fn uses_exchange_online<P: Platform>(
    appliance: &Appliance<'_, P>,
    domain: &str,
    found: &[Exchanger],
) -> bool {
    let by_mx = found.iter().filter_map(|other| other.host.as_ref()).any(|host| is_exchange_online(host));
    by_mx
        || appliance.way(false, &format!("postmaster@{domain}"), |way| {
            way.name.to_ascii_lowercase().contains(EXCHANGE_ONLINE_HOSTS[0])
        })
}

pub(super) async fn check<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    word: &str,
    from: Option<&str>,
    findings: &mut Findings<'_, W>,
) -> Result<(), Misunderstood> {
    let domain = super::domain(word)?;
    let addresses = match from {
        Some(from) => Vec::from_iter([super::address(from)?]),
        None => egress(appliance),
    };
    own_name(appliance, findings).await;
    let online = mx(appliance, &domain, findings).await;
    if from.is_none() && addresses.iter().all(|address| is_private(*address)) {
        findings
            .look(format_args!(
                "SPF: mail leaves from {}, which the world never sees. `set own-addresses` says which public \
                 addresses stand for it; until then SPF is not evaluated.",
                listed(&addresses)
            ))
            .await;
    } else {
        policy::check(appliance, &domain, &addresses, online, findings).await;
    }
    Ok(())
}

/// The appliance's own name must lead to its address, and back.
pub(super) async fn own_name<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    findings: &mut Findings<'_, W>,
) {
    let name = String::from(appliance.settings().hostname());
    let expected = egress(appliance);
    match appliance.resolver().fresh().addresses(&name).await {
        Ok(found) if found.iter().any(|address| expected.contains(address)) => {
            findings.good(format_args!("A: {name}, this gateway, has the address {}.", listed(&found))).await;
        }
        Ok(found) => {
            findings
                .bad(format_args!(
                    "A: {name}, this gateway, has the address {}; expected is {}. Correct the record, or say \
                     `set own-addresses` if that is translated to us.",
                    listed(&found),
                    listed(&expected)
                ))
                .await;
        }
        Err(error @ LookupError::Temporary(_)) => findings.bad(format_args!("A: {name}: {error}.")).await,
        Err(_) => {
            findings
                .bad(format_args!(
                    "A: {name}, the name of this gateway, has no address. Add an A record for it with {}.",
                    listed(&expected)
                ))
                .await;
        }
    }
    for address in expected.iter().filter(|address| !is_private(**address)) {
        match appliance.resolver().fresh().ptr(*address).await {
            Ok(names) if names.iter().any(|other| other.eq_ignore_ascii_case(&name)) => {
                findings.good(format_args!("PTR: {address} leads back to {name}.")).await;
            }
            Ok(names) => {
                let first = names.first().map_or("no host name", String::as_str);
                findings
                    .look(format_args!(
                        "PTR: {address} leads to {first}; expected is {name}. Many receivers distrust such mail: ask \
                         whoever gave you the address to correct it."
                    ))
                    .await;
            }
            Err(error @ LookupError::Temporary(_)) => {
                findings.look(format_args!("PTR: {address}: {error}.")).await
            }
            Err(_) => {
                findings
                    .look(format_args!(
                        "PTR: {address} has no name; expected is {name}. Many receivers refuse such mail: ask whoever \
                         gave you the address to add it."
                    ))
                    .await;
            }
        }
    }
}

/// Says what the MX records of a domain mean. Returns whether the domain has to do with Exchange Online, if that can be
/// known.
pub(super) async fn mx<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    domain: &str,
    findings: &mut Findings<'_, W>,
) -> Option<bool> {
    let internal = appliance.whose(domain) == Whose::Internal;
    let name = String::from(appliance.settings().hostname());
    let found = match exchangers(appliance, domain).await {
        Ok(Exchangers::Records(found)) => found,
        Ok(Exchangers::Implicit(host)) => {
            let text = match &host.addresses {
                Ok(addresses) => format!("mail goes to its own address {}", listed(addresses)),
                Err(_) => String::from("it has no address either, so nobody can write to it"),
            };
            findings.look(format_args!("MX: {domain} has no MX record; {text}.")).await;
            Vec::from_iter([host])
        }
        Ok(Exchangers::Null) => {
            findings.look(format_args!("MX: {domain} says that it takes no mail (null MX).")).await;
            Vec::new()
        }
        Err(LookupError::NoSuchName) => {
            findings.bad(format_args!("MX: {domain} does not exist in DNS. Is it spelt correctly?")).await;
            return None;
        }
        Err(error) => {
            findings.bad(format_args!("MX: {domain}: {error}.")).await;
            return None;
        }
    };
    for exchanger in &found {
        one_exchanger(domain, exchanger, findings).await;
    }
    let online = uses_exchange_online(appliance, domain, &found);
    if !internal {
        findings.note(format_args!("{domain} is no internal domain here (`show domains`).")).await;
        return Some(online);
    }
    match (found.iter().find(|host| host.ours), found.iter().find(|host| !host.ours)) {
        (Some(own), Some(other)) if own.preference > other.preference => {
            findings
                .look(format_args!(
                    "MX: this gateway comes behind {} for {domain}: mail from the Internet arrives there first. Give the \
                     gateway the smaller number if it is to see that mail.",
                    other.host.as_deref().unwrap_or("another host")
                ))
                .await;
        }
        (Some(_), Some(_)) => {
            findings
                .good(format_args!("MX: mail for {domain} comes here first and goes on from here."))
                .await;
        }
        (Some(_), None) if has_route(appliance, domain) => {
            findings.good(format_args!("MX: mail for {domain} comes here and goes on by its route.")).await;
        }
        (Some(_), None) => {
            findings
                .bad(format_args!(
                    "MX: {domain} leads to this gateway only, and no route says where its mailboxes are: mail for it \
                     waits. Say `route add {domain} HOST`, or add an MX record for the server behind."
                ))
                .await;
        }
        (None, _) => {
            findings
                .look(format_args!(
                    "MX: no MX record of {domain} names this gateway: mail from the Internet does not pass here. Add \
                     `MX 10 {name}` if it should."
                ))
                .await;
        }
    }
    Some(online)
}

/// Whether something else than MX records says where mail for the domain goes.
pub(super) fn has_route<P: Platform>(appliance: &Appliance<'_, P>, domain: &str) -> bool {
    appliance.way(false, &format!("postmaster@{domain}"), |way| {
        !way.name.starts_with("mx:") && !way.name.is_empty()
    })
}

async fn one_exchanger<W: Write>(domain: &str, exchanger: &Exchanger, findings: &mut Findings<'_, W>) {
    let Exchanger { preference, host, addresses, ours } = exchanger;
    let Some(host) = host else {
        findings
            .bad(format_args!(
                "MX: a record of {domain} with preference {preference} names no host (an address, perhaps). Write a name."
            ))
            .await;
        return;
    };
    let whose = if *ours { ", this gateway" } else { "" };
    match addresses {
        Ok(addresses) => {
            findings
                .good(format_args!("MX: {domain} {preference} {host}{whose} ({}).", listed(addresses)))
                .await;
        }
        Err(error @ LookupError::Temporary(_)) => findings.bad(format_args!("MX: {host}: {error}.")).await,
        Err(_) => {
            findings
                .bad(format_args!(
                    "MX: {host} (preference {preference} of {domain}) has no address. Add an A record for it."
                ))
                .await;
        }
    }
}
