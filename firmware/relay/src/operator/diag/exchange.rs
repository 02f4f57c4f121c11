//! `diag exchange`: everything that stands between Exchange and this appliance, before and after a connector is made.
//!
//! What goes wrong there has few causes, and each has a finding of its own here:
//!
//! | trouble | finding |
//! |---|---|
//! | mail does not leave Exchange | "No mail has come from Exchange" |
//! | mail goes round, or arrives twice | "loops" |
//! | Exchange's mail is not accepted here | "rules for Exchange" |
//! | Exchange refuses our mail | "refuses mail for" |
//! | TLS fails | "STARTTLS" |
//! | the connector's validation fails | "validation" |

use super::dialogue::introduce;
use super::dns::{mx, own_name};
use super::route::places;
use super::{Duration, Findings, Misunderstood, egress, is_private, listed, policy};
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use embedded_io_async::Write;
use limits::dns::{PROBE_ADDRESSES_COUNT_MAX, PROBE_DOMAINS_COUNT_MAX};
use platform::Source;
use settings::RelayRight;

pub(super) async fn check<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    word: Option<&str>,
    findings: &mut Findings<'_, W>,
) -> Result<(), Misunderstood> {
    let domains: Vec<String> = match word {
        Some(word) => Vec::from_iter([super::domain(word)?]),
        None => {
            let domains = appliance.domains.borrow();
            domains.iter().map(|domain| String::from(domain.name())).take(PROBE_DOMAINS_COUNT_MAX).collect()
        }
    };
    rules(appliance, findings).await;
    seen(appliance, findings).await;
    loops(appliance, findings).await;
    own_name(appliance, findings).await;
    if domains.is_empty() {
        findings
            .bad("There is no internal domain: mail from the Internet is refused for all. Say `domain add example.org`.")
            .await;
    }
    for domain in &domains {
        findings.note(format_args!("--- {domain}")).await;
        let online = mx(appliance, domain, findings).await;
        let addresses = egress(appliance);
        if !addresses.iter().all(|address| is_private(*address)) {
            policy::check(appliance, domain, &addresses, online, findings).await;
        }
        servers(appliance, domain, findings).await;
    }
    Ok(())
}

/// Whether anybody may send as Exchange.
async fn rules<P: Platform, W: Write>(appliance: &Appliance<'_, P>, findings: &mut Findings<'_, W>) {
    let local = SocketAddr::new(
        egress(appliance).first().copied().unwrap_or(IpAddr::from([0; 4])),
        limits::net::SMTP_PORT,
    );
    let rules: Vec<(String, Vec<IpAddr>)> = {
        let peers = appliance.peers.borrow();
        let exchange = peers.iter().filter(|peer| peer.class().is_exchange());
        exchange
            .map(|peer| {
                (String::from(peer.name()), peer.sources().iter().map(|network| network.address()).collect())
            })
            .collect()
    };
    if rules.is_empty() {
        findings
            .bad(
                "There are no rules for Exchange: its mail is refused with 554 5.7.1. Say `peer add exchange \
                 ADDRESS/BITS class exchange`, with the networks that it sends from.",
            )
            .await;
    }
    for (name, sources) in rules {
        for source in sources {
            // A narrower rule may stand in front of it for part of the network.
            let judged = {
                let (peers, settings) = (appliance.peers.borrow(), appliance.settings());
                peers.judge(&settings.relay_networks, source, local, 1)
            };
            if judged.rights.relay == RelayRight::Any {
                findings
                    .good(format_args!("Mail from {source} is accepted by the rules for Exchange ({name})."))
                    .await;
            } else {
                findings
                    .bad(format_args!(
                        "Mail from {source} is not accepted for everybody although the rules for Exchange ({name}) name \
                         it: `peer test {source}` says which rule comes first."
                    ))
                    .await;
            }
        }
    }
}

/// Whether Exchange has sent anything.
async fn seen<P: Platform, W: Write>(appliance: &Appliance<'_, P>, findings: &mut Findings<'_, W>) {
    let running = Duration(appliance.now().0 / 1_000_000);
    match appliance.counters.accepted_exchange.get() {
        0 => {
            findings
                .look(format_args!(
                    "No mail has come from Exchange since the start, {running} ago. If there should be some: in Exchange, \
                     turn on the connector and the mail flow rule (both are made turned off), see that the connector \
                     names this gateway, and let message trace show where the mail waits."
                ))
                .await;
        }
        count => {
            findings
                .good(format_args!("Mail has come from Exchange: {count} since the start, {running} ago."))
                .await
        }
    }
}

/// Whether mail has gone round, and what keeps it from that.
async fn loops<P: Platform, W: Write>(appliance: &Appliance<'_, P>, findings: &mut Findings<'_, W>) {
    let count = appliance.counters.loops.get();
    let addresses = listed(&egress(appliance));
    let token = appliance.loop_token();
    if count > 0 {
        findings
            .bad(format_args!(
                "Mail goes in loops: {count} came back and was refused with 5.4.6. The rule in Exchange that sends mail \
                 here lacks its exception: for the sender address {addresses}, or for the header X-Stargate-Loop with \
                 {token}."
            ))
            .await;
    } else {
        findings
            .good(format_args!(
                "No loops since the start. The rule in Exchange that sends mail here needs an exception for the sender \
                 address {addresses} or for the header X-Stargate-Loop with {token}."
            ))
            .await;
    }
}

/// Whether the servers behind a domain take mail from us: the session that a validation is, up to the content.
async fn servers<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    domain: &str,
    findings: &mut Findings<'_, W>,
) {
    let recipient = format!("postmaster@{domain}");
    let places = match places(appliance, &recipient).await {
        Ok(places) => places,
        Err(why) => return findings.bad(format_args!("Mail for {domain} cannot go on: {why}.")).await,
    };
    let source = appliance.way(false, &recipient, |way| way.course()).map(|course| course.connect_from());
    for (host, addresses) in places {
        // Without its cost or preference.
        let host = host.split(',').next().unwrap_or_default();
        if addresses.is_empty() {
            findings
                .bad(format_args!("{host} for {domain} has no address in DNS. Add an A record for it."))
                .await;
        }
        for server in addresses.into_iter().take(PROBE_ADDRESSES_COUNT_MAX) {
            server_of(appliance, domain, host, server, &source.unwrap_or_default(), findings).await;
        }
    }
}

async fn server_of<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    domain: &str,
    host: &str,
    server: SocketAddr,
    source: &Source,
    findings: &mut Findings<'_, W>,
) {
    let commands = [
        format!("MAIL FROM:<O365ConnectorValidation@{domain}>"),
        format!("RCPT TO:<postmaster@{domain}>"),
        String::from("RSET"),
    ];
    let introduction = match introduce(appliance, server, source, &commands).await {
        Ok(introduction) => introduction,
        Err(why) => return findings.bad(format_args!("{host} ({server}) for {domain} {why}.")).await,
    };
    let Some(hello) = introduction.hello.as_ref().filter(|hello| hello.is_positive()) else {
        let said = introduction.hello.as_ref().unwrap_or(&introduction.greeting).quoted();
        findings
            .bad(format_args!(
                "{host} ({server}) does not talk to us: `{said}`. Name our address in its receive connector, or ask for \
                 it to be removed from its block list."
            ))
            .await;
        return;
    };
    findings.good(format_args!("{host} ({server}) answers: {}", introduction.greeting.quoted())).await;
    if hello.offers("STARTTLS") {
        findings.good(format_args!("{host} offers STARTTLS.")).await;
    } else {
        findings
            .look(format_args!(
                "{host} offers no STARTTLS: a connector that demands TLS will fail. Give the server a certificate, or \
                 look for a firewall that hides the offer."
            ))
            .await;
    }
    match introduction.replies.iter().find(|reply| !reply.is_positive()) {
        None if introduction.replies.len() == commands.len() => {
            findings
                .good(format_args!(
                    "The validation of a connector would get through: {host} takes postmaster@{domain}."
                ))
                .await;
        }
        None => {
            findings.bad(format_args!("{host} broke the validation session off. Look into its log.")).await
        }
        Some(refusal) if introduction.replies.len() == 1 => {
            findings
                .bad(format_args!(
                    "The validation of a connector would fail: {host} refuses the sender: `{}`. It must accept mail of \
                     {domain} from our address.",
                    refusal.quoted()
                ))
                .await;
        }
        Some(refusal) => {
            findings
                .bad(format_args!(
                    "{host} refuses mail for {domain} from us: `{}`. Is it an accepted domain there, and is our address \
                     in the inbound connector?",
                    refusal.quoted()
                ))
                .await;
        }
    }
}
