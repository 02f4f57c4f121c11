//! `diag route`: the way of mail for an address, as far as the addresses of the hosts.

use super::dns::{Exchanger, Exchangers, exchangers};
use super::{Findings, Misunderstood, listed};
use crate::route::Hosts;
use crate::route::exchangers::Whose;
use crate::schedule::DestinationState;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use embedded_io_async::Write;
use envelope::MailboxRef;
use limits::net::SMTP_PORT;
use settings::NextHopHost;

/// The hosts of a way, in the order in which they are tried, each with its addresses.
pub(super) async fn places<P: Platform>(
    appliance: &Appliance<'_, P>,
    recipient: &str,
) -> Result<Vec<(String, Vec<SocketAddr>)>, String> {
    let Some(course) = appliance.way(false, recipient, |way| way.course()) else {
        return Err("mail for it goes nowhere: no next hop is set; see `set next-hop` and `route add`".into());
    };
    let at = |list: &[IpAddr], port| list.iter().map(|address| SocketAddr::new(*address, port)).collect();
    let mut places: Vec<(String, Vec<SocketAddr>)> = Vec::new();
    match &course.hosts {
        Hosts::Nobody => return Err("mail for it is thrown away by an action; see `show actions`".into()),
        Hosts::Listed(hosts) => {
            for (cost, host) in hosts {
                let addresses = match &host.host {
                    NextHopHost::Address(address) => Vec::from_iter([*address]),
                    NextHopHost::Name(name) => {
                        let found = appliance.resolver().fresh().addresses(name.as_str()).await;
                        found.map(|list| list.to_vec()).unwrap_or_default()
                    }
                };
                let cost = if hosts.len() > 1 { format!(", cost {cost}") } else { String::new() };
                places.push((format!("{host}{cost}"), at(&addresses, host.port)));
            }
        }
        Hosts::Exchangers { domain, .. } if domain.starts_with('[') => {
            let address: Vec<IpAddr> = envelope::literal_address(domain).into_iter().collect();
            places.push((String::from(&**domain), at(&address, SMTP_PORT)));
        }
        Hosts::Exchangers { domain, whose } => {
            let found: Vec<Exchanger> = match exchangers(appliance, domain).await {
                Ok(Exchangers::Records(found)) => found,
                Ok(Exchangers::Implicit(host)) => Vec::from_iter([host]),
                Ok(Exchangers::Null) => return Err(format!("{domain} takes no mail (null MX)")),
                Err(error) => return Err(format!("{domain}: {error}")),
            };
            // From our own preference on nobody is asked for a foreign domain (RFC 5321 §5.1).
            let cut = found.iter().filter(|host| host.ours).map(|host| host.preference).min();
            let cut = cut.filter(|_| *whose == Whose::Foreign).unwrap_or(u16::MAX);
            for other in found.iter().filter(|host| !host.ours && (host.preference < cut || cut == u16::MAX))
            {
                let Some(host) = &other.host else { continue };
                let addresses = other.addresses.clone().unwrap_or_default();
                places.push((format!("{host}, MX {}", other.preference), at(&addresses, SMTP_PORT)));
            }
            if places.is_empty() {
                return Err(format!(
                    "the MX records of {domain} lead to this gateway and to nobody behind it; see `route add`"
                ));
            }
        }
    }
    Ok(places)
}

pub(super) async fn check<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    address: &str,
    findings: &mut Findings<'_, W>,
) -> Result<(), Misunderstood> {
    let wanted = "address or domain; as in `ann@example.org`";
    let (recipient, domain) = match MailboxRef::parse(address) {
        Ok(mailbox) => (String::from(address), String::from(mailbox.domain())),
        Err(_) => {
            let word = |_| Misunderstood { word: address.into(), wanted };
            let domain = super::domain(address).map_err(word)?;
            (format!("postmaster@{domain}"), domain)
        }
    };
    let internal =
        if appliance.whose(&domain) == Whose::Internal { "an internal domain" } else { "a foreign domain" };
    let name = appliance.way(false, &recipient, |way| String::from(&*way.name));
    let by = match name.strip_prefix("mx:") {
        Some(_) => String::from("goes where its MX records lead"),
        None if name.is_empty() => String::from("goes nowhere"),
        None => format!("goes to {name}"),
    };
    findings.note(format_args!("{domain} is {internal}; mail for it {by}.")).await;
    match places(appliance, &recipient).await {
        Ok(places) => {
            for (number, (host, addresses)) in places.iter().enumerate() {
                let addresses: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).collect();
                if addresses.is_empty() {
                    findings.bad(format_args!("{}. {host}: it has no address in DNS now.", number + 1)).await;
                } else {
                    findings.good(format_args!("{}. {host}: {}", number + 1, listed(&addresses))).await;
                }
            }
        }
        Err(why) => findings.bad(format_args!("{why}.")).await,
    }
    match appliance.schedule.state_of(&name) {
        DestinationState::Untried => findings.note("Nothing was sent there since the start.").await,
        DestinationState::Open => findings.good("The last connection there worked.").await,
        DestinationState::Failing => {
            findings
                .bad("The last attempts to connect failed; `show destinations` says why, `diag smtp` tries.")
                .await;
        }
    }
    Ok(())
}
