//! Checks of what lies outside: names, servers, ways, block lists, and the whole of it for Exchange.
//!
//! Each finding is one sentence that says what is and, where that is not good, what to do. Nothing is believed that was
//! learnt before the check began: whoever asks has often just changed something.

mod dialogue;
mod dns;
mod dnsbl;
mod exchange;
mod policy;
mod route;
mod smtp;

use super::view::Duration;
use crate::{Appliance, Machine as _, Platform};
use alloc::string::String;
use alloc::vec::Vec;
use console::{Check, Outcome, Screen};
use core::fmt::Display;
use core::net::IpAddr;
use embedded_io_async::Write;
use events::text::Escaped;

/// Runs one check.
pub(super) async fn run<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    check: Check,
    screen: &mut Screen<W>,
) -> Outcome {
    let mut findings = Findings { screen, bad: false };
    let understood = match &check {
        Check::Dns { domain, from } => dns::check(appliance, domain, from.as_deref(), &mut findings).await,
        Check::Smtp(host) => smtp::check(appliance, host, &mut findings).await,
        Check::Route(address) => route::check(appliance, address, &mut findings).await,
        Check::Dnsbl(address) => dnsbl::check(appliance, address.as_deref(), &mut findings).await,
        Check::Exchange(domain) => exchange::check(appliance, domain.as_deref(), &mut findings).await,
    };
    if let Err(Misunderstood { word, wanted }) = understood {
        findings.screen.line(format_args!("`{:.60}` is no {wanted}", Escaped(word.as_bytes()))).await;
        return Outcome::Failed;
    }
    if findings.bad { Outcome::Failed } else { Outcome::Done }
}

/// A word that does not mean anything here.
struct Misunderstood {
    word: String,
    /// What it should have been, with an example.
    wanted: &'static str,
}

/// Prints findings, and knows whether any of them was bad.
struct Findings<'s, W> {
    screen: &'s mut Screen<W>,
    bad: bool,
}

impl<W: Write> Findings<'_, W> {
    /// As it should be.
    async fn good(&mut self, text: impl Display) {
        self.screen.hanging(5, format_args!("ok   {text}")).await;
    }

    /// Worth a look; it may be meant so.
    async fn look(&mut self, text: impl Display) {
        self.screen.hanging(5, format_args!("look {text}")).await;
    }

    /// Wrong: mail is or will be lost, late or refused.
    async fn bad(&mut self, text: impl Display) {
        self.bad = true;
        self.screen.hanging(5, format_args!("BAD  {text}")).await;
    }

    /// What the findings are about.
    async fn note(&mut self, text: impl Display) {
        self.screen.hanging(5, format_args!("     {text}")).await;
    }
}

/// Domains are looked up as they are typed; what comes from there is shown with care.
fn domain(word: &str) -> Result<String, Misunderstood> {
    let domain = word.strip_suffix('.').unwrap_or(word).to_ascii_lowercase();
    if envelope::check_domain(&domain).is_ok() && !domain.starts_with('[') && domain.contains('.') {
        Ok(domain)
    } else {
        Err(Misunderstood { word: word.into(), wanted: "domain; as in `example.org`" })
    }
}

fn address(word: &str) -> Result<IpAddr, Misunderstood> {
    word.parse().map_err(|_| Misunderstood { word: word.into(), wanted: "address; as in `192.0.2.25`" })
}

/// The addresses that the world sees mail come from: those that the operator has named, else those of the interfaces.
fn egress<P: Platform>(appliance: &Appliance<'_, P>) -> Vec<IpAddr> {
    let named: Vec<IpAddr> = appliance.settings().own_addresses.iter().copied().collect();
    if !named.is_empty() {
        return named;
    }
    let network = appliance.machine.network();
    let interfaces = network.iter().flat_map(|state| [state.address, state.address6]);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for own in interfaces.flatten().map(|own| own.address) {
        if !addresses.contains(&own) {
            addresses.push(own);
        }
    }
    addresses
}

/// Whether an address means nothing to the rest of the world, because it is of a private or local network.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            let [a, b, ..] = four.octets();
            // Carriers translate 100.64.0.0/10 (RFC 6598).
            four.is_private()
                || four.is_link_local()
                || four.is_loopback()
                || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(six) => {
            let [first, ..] = six.segments();
            six.is_loopback() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}

/// Addresses in a row.
fn listed(addresses: &[IpAddr]) -> String {
    let mut text = String::new();
    for address in addresses {
        let separator = if text.is_empty() { "" } else { ", " };
        text.push_str(&alloc::format!("{separator}{address}"));
    }
    text
}
