//! `diag dnsbl`: whether block lists have our addresses (RFC 5782).

use super::{Findings, Misunderstood, egress, is_private};
use crate::resolver::LookupError;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use dns::{Data, Name, RecordType};
use embedded_io_async::Write;

/// Lists that many receivers ask, and where one asks to be removed.
const LISTS: [(&str, &str); 4] = [
    ("zen.spamhaus.org", "https://check.spamhaus.org"),
    ("bl.spamcop.net", "https://www.spamcop.net/bl.shtml"),
    ("b.barracudacentral.org", "https://www.barracudacentral.org/rbl/removal-request"),
    ("psbl.surriel.com", "https://psbl.org"),
];

pub(super) async fn check<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    word: Option<&str>,
    findings: &mut Findings<'_, W>,
) -> Result<(), Misunderstood> {
    let addresses = match word {
        Some(word) => Vec::from_iter([super::address(word)?]),
        None => egress(appliance),
    };
    for address in addresses {
        if is_private(address) {
            findings
                .look(format_args!(
                    "{address} is a private address, which no list has. `set own-addresses` says which public address \
                     stands for it."
                ))
                .await;
            continue;
        }
        for (list, removal) in LISTS {
            one(appliance, address, list, removal, findings).await;
        }
    }
    Ok(())
}

/// What a list calls an address: as in reverse look-ups, under the list's own name.
fn listed_as(address: IpAddr, list: &str) -> Option<Name> {
    let reverse = format!("{}", Name::reverse(address));
    let stem = reverse.strip_suffix(".in-addr.arpa").or(reverse.strip_suffix(".ip6.arpa"))?;
    Name::parse(&format!("{stem}.{list}")).ok()
}

async fn one<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    address: IpAddr,
    list: &str,
    removal: &str,
    findings: &mut Findings<'_, W>,
) {
    let Some(name) = listed_as(address, list) else { return };
    let answer = match appliance.resolver().fresh().records(name.clone(), RecordType::A).await {
        Ok(records) => {
            records.iter().find_map(|data| if let Data::A(answer) = data { Some(*answer) } else { None })
        }
        Err(LookupError::NoSuchName | LookupError::NoData) => None,
        Err(error) => return findings.look(format_args!("{list}: {address} {error}.")).await,
    };
    let Some(answer) = answer else {
        return findings.good(format_args!("{list} does not have {address}.")).await;
    };
    match answer.octets() {
        // Spamhaus says by these that it does not answer whoever asks (public resolvers, too many questions).
        [127, 255, 255, _] => {
            findings
                .look(format_args!(
                    "{list} does not answer our name servers ({answer}). Use name servers of your own for this check."
                ))
                .await;
        }
        [127, ..] => {
            let reason = reason(appliance, &name).await;
            findings
                .bad(format_args!(
                    "{list} has {address} ({answer}{reason}). Find what was sent from it; then see {removal}."
                ))
                .await;
        }
        _ => {
            findings
                .look(format_args!(
                    "{list} answers {answer}, which is no answer of a list: do your name servers forge?"
                ))
                .await;
        }
    }
}

async fn reason<P: Platform>(appliance: &Appliance<'_, P>, name: &Name) -> String {
    match appliance.resolver().fresh().records(name.clone(), RecordType::TXT).await {
        Ok(records) => match records.first() {
            Some(Data::Txt(text)) => format!(": {:.160}", String::from_utf8_lossy(text)),
            _ => String::new(),
        },
        Err(_) => String::new(),
    }
}
