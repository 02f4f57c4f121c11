//! `diag smtp`: how a mail server greets us, and what it offers.

use super::dialogue::{Introduction, introduce};
use super::{Findings, Misunderstood};
use crate::{Appliance, Platform};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use embedded_io_async::Write;
use limits::dns::PROBE_ADDRESSES_COUNT_MAX;
use platform::Source;
use settings::NextHopHost;

pub(super) async fn check<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    word: &str,
    findings: &mut Findings<'_, W>,
) -> Result<(), Misunderstood> {
    let wanted = "mail server; as in `mx.example.org` or `192.0.2.25:2525`";
    let host = settings::next_hop(word).map_err(|_| Misunderstood { word: word.into(), wanted })?;
    let addresses: Vec<IpAddr> = match &host.host {
        NextHopHost::Address(address) => Vec::from_iter([*address]),
        NextHopHost::Name(name) => match appliance.resolver().fresh().addresses(name.as_str()).await {
            Ok(addresses) => addresses.to_vec(),
            Err(error) => {
                findings.bad(format_args!("{}: {error}.", name.as_str())).await;
                return Ok(());
            }
        },
    };
    for address in addresses.iter().take(PROBE_ADDRESSES_COUNT_MAX) {
        let server = SocketAddr::new(*address, host.port);
        match introduce(appliance, server, &Source::default(), &[]).await {
            Ok(introduction) => show(server, &introduction, findings).await,
            Err(why) => findings.bad(format_args!("{server} {why}.")).await,
        }
    }
    Ok(())
}

async fn show<W: Write>(server: SocketAddr, introduction: &Introduction, findings: &mut Findings<'_, W>) {
    let Introduction { greeting, hello, .. } = introduction;
    let Some(hello) = hello else {
        let said = greeting.quoted();
        findings
            .bad(format_args!(
                "{server} does not serve us: `{said}`. Ask its administrator whether it blocks our address."
            ))
            .await;
        return;
    };
    findings.good(format_args!("{server} greets: {}", greeting.quoted())).await;
    if !hello.is_positive() {
        findings
            .bad(format_args!("{server} refuses our hello: `{}`. See `set hostname`.", hello.quoted()))
            .await;
        return;
    }
    for line in hello.lines.iter().skip(1) {
        findings.note(format_args!("offers {line:.200}")).await;
    }
    if !hello.offers("STARTTLS") {
        findings
            .look(format_args!("{server} offers no STARTTLS: mail crosses the network in the clear."))
            .await;
    }
}
