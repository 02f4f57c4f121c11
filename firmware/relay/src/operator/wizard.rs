//! What the answers of the set-up dialogue become that are not settings: own domains, routes to Exchange, and peers.

use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use console::setup_tables::{DOMAINS, EXCHANGE, EXCHANGE_PEERS, PATTERN, PATTERNS};
use console::{Answer, Rows};
use settings::{Domain, Peer, Route, Row};

/// The name of the peer that is Exchange.
const EXCHANGE_NAME: &str = "exchange";

/// Whether an answer is for tables, not for a setting.
pub(super) fn is_for_tables(name: &str) -> bool {
    matches!(name, PATTERN | DOMAINS | EXCHANGE | EXCHANGE_PEERS)
}

fn items(list: &str) -> impl Iterator<Item = &str> + Clone {
    list.split([' ', ',']).filter(|item| !item.is_empty())
}

/// Checks an answer on its own; `None` if it is for a setting.
pub(super) fn check(answer: &Answer) -> Option<Result<(), String>> {
    let value = answer.value.trim();
    let checked = match answer.name {
        PATTERN if PATTERNS.contains(&value) => Ok(()),
        PATTERN => Err(format!("that is not one of: {}", PATTERNS.join(", "))),
        DOMAINS => items(value).try_for_each(|domain| parsed::<Domain>(domain.to_string()).map(drop)),
        EXCHANGE => items(value).try_for_each(|host| parsed::<Route>(format!("x.invalid {host}")).map(drop)),
        EXCHANGE_PEERS => parsed::<Peer>(exchange_peer(value, false)).map(drop),
        _ => return None,
    };
    Some(checked)
}

fn parsed<R: Row>(text: String) -> Result<R, String> {
    R::parse(&text).map_err(|fault| format!("{fault}"))
}

fn exchange_peer(sources: &str, own_only: bool) -> String {
    let sources: Vec<&str> = items(sources).collect();
    let senders = if own_only { " senders own" } else { "" };
    format!("{EXCHANGE_NAME} {} class exchange{senders}", sources.join(","))
}

/// The rows that the answers make, in the order in which they are to be added: nothing may be sent before it is known
/// where it goes.
pub(super) fn rows(answers: &[Answer]) -> Result<Vec<(Rows, String)>, String> {
    let answer = |name: &str| {
        answers.iter().find(|answer| answer.name == name).map_or("", |answer| answer.value.trim())
    };
    let pattern = answer(PATTERN);
    let mut rows = Vec::new();
    if matches!(pattern, "applications" | "by-hand") {
        return Ok(rows);
    }
    let domains: Vec<&str> = items(answer(DOMAINS)).collect();
    let hosts: Vec<&str> = items(answer(EXCHANGE)).collect();
    if hosts.len() > 1 && hosts.len() != domains.len() {
        return Err(format!(
            "there are {} domains and {} servers; name one server, or one for each domain in their order",
            domains.len(),
            hosts.len()
        ));
    }
    for (at, domain) in domains.iter().enumerate() {
        let host = hosts.get(at).or(hosts.first()).copied().unwrap_or("mx");
        rows.push((Rows::Domains, domain.to_string()));
        rows.push((Rows::Routes, format!("{domain} {host} exchange")));
    }
    // Its addresses are those of all customers of Exchange Online: only mail of the own domains may leave by it.
    let own_only = pattern.starts_with("online");
    rows.push((Rows::Peers, exchange_peer(answer(EXCHANGE_PEERS), own_only)));
    if pattern != "online-behind" {
        rows.push((Rows::Peers, "internet any class internet".into()));
    }
    for (kind, text) in &rows {
        match kind {
            Rows::Domains => parsed::<Domain>(text.clone()).map(drop)?,
            Rows::Peers => parsed::<Peer>(text.clone()).map(drop)?,
            _ => parsed::<Route>(text.clone()).map(drop)?,
        }
    }
    Ok(rows)
}

/// What is there now, as the answer to a question that is not for a setting; empty if nothing is.
pub(super) fn current<P: Platform>(appliance: &Appliance<'_, P>, name: &str) -> Option<String> {
    let domains = appliance.domains();
    let list = |texts: Vec<String>| texts.join(",");
    Some(match name {
        PATTERN if domains.is_empty() && appliance.peers().is_empty() => {
            // Who has set networks before wants to change something else.
            let networks = appliance.settings().relay_networks.is_empty();
            if networks { String::new() } else { "by-hand".into() }
        }
        PATTERN => "by-hand".into(),
        DOMAINS => list(domains.iter().map(|domain| domain.name().to_string()).collect()),
        EXCHANGE => String::new(),
        EXCHANGE_PEERS => {
            let peers = appliance.peers();
            let sources = peers.get(EXCHANGE_NAME).map(Peer::sources).unwrap_or_default();
            list(sources.iter().map(ToString::to_string).collect())
        }
        _ => return None,
    })
}
