//! The own domains, and what happens to mail on its way through.

use super::routes;
use super::tables::warn_of_damage;
use super::view::Count;
use crate::{Appliance, Machine, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use console::{Column, Outcome, Screen, Table};
use embedded_io_async::Write;
use settings::{Domain, WithoutIdentity};

const TABLE: Table<3> =
    Table::new([Column::left("DOMAIN", 30), Column::left("OWN NAME", 22), Column::left("MAIL GOES TO", 25)]);

pub(super) async fn list<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    warn_of_damage(&appliance.domains, screen).await;
    // Collected, so that a slow terminal does not keep anybody from changing the table.
    let domains: Vec<Domain> = appliance.domains().iter().cloned().collect();
    if domains.is_empty() {
        screen.line("No domain is an own one; see `domain add`.").await;
    } else {
        screen.heading(&TABLE).await;
    }
    let hostname = String::from(appliance.settings().hostname());
    for domain in &domains {
        let name = format!("{}{}", domain.name(), if domain.subdomains() { " and below" } else { "" });
        let own_name = domain.own_name().map_or(hostname.as_str(), settings::HostName::as_str);
        let (hop, _) = routes::whither(appliance, domain.name());
        screen.row(&TABLE, [&name, &own_name, &hop]).await;
    }
    if !domains.is_empty() {
        screen.line(format_args!("{}.", Count(domains.len() as u64, "domain"))).await;
    }
    let settings = appliance.settings().clone();
    let mut names = String::from(settings.hostname());
    for name in settings.banner_name.iter().chain(&settings.own_names) {
        names.push_str(", ");
        names.push_str(name.as_str());
    }
    let in_domains = domains.iter().filter_map(Domain::own_name);
    for name in
        in_domains.filter(|name| !names.split(", ").any(|known| known == name.as_str())).collect::<Vec<_>>()
    {
        names.push_str(", ");
        names.push_str(name.as_str());
    }
    screen.field("own names", names).await;
    let mut addresses = String::new();
    let mut add = |address: &dyn core::fmt::Display| {
        addresses.push_str(if addresses.is_empty() { "" } else { ", " });
        addresses.push_str(&format!("{address}"));
    };
    for state in &appliance.machine.network() {
        state.address.iter().chain(&state.address6).for_each(|network| add(&network.address));
    }
    settings.own_addresses.iter().for_each(|address| add(address));
    screen.field("own addresses", if addresses.is_empty() { "none yet" } else { &addresses }).await;
    Outcome::Done
}

/// Where mail goes that leaves.
pub(super) async fn relay<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let settings = appliance.settings().clone();
    let kept = |is: bool| if is { ", an own Exchange server" } else { "" };
    match &settings.next_hop {
        Some(hop) => {
            screen.field("next-hop", format_args!("{hop}{}", kept(settings.next_hop_exchange))).await
        }
        None => screen.field("next-hop", "none: by the MX records of each recipient's domain").await,
    }
    match &settings.null_sender_next_hop {
        Some(hop) => screen.field("mail from <>", hop).await,
        None => screen.field("mail from <>", "as other mail").await,
    }
    let (routes, domains) = (appliance.routes().len(), appliance.domains().len());
    screen.field("routes", format_args!("{routes}; see `show routes`")).await;
    screen.field("own domains", format_args!("{domains}; see `show domains`")).await;
    let rate = match settings.destination_rate {
        0 => "as many as it takes".into(),
        rate => format!("{rate} a minute"),
    };
    screen.field("loop mark", format_args!("header X-Stargate-Loop, word {}", appliance.loop_token())).await;
    let connections = settings.destination_connections;
    screen.field("each destination", format_args!("up to {connections} connections, messages: {rate}")).await;
    Outcome::Done
}

/// Which addresses may relay, as short as it can be said; `show peers` tells more.
pub(super) async fn networks<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    warn_of_damage(&appliance.peers, screen).await;
    const NETWORKS: Table<4> = Table::new([
        Column::left("NETWORK", 30),
        Column::left("TO", 9),
        Column::left("BY", 25),
        Column::left("ONLY ON", 12),
    ]);
    let mut rows: Vec<(String, settings::RelayRight, String, String)> = Vec::new();
    for peer in appliance.peers().iter() {
        let on = match (peer.listener(), peer.interface()) {
            (Some(listener), _) => format!("{listener}"),
            (None, Some(number)) => format!("if{number}"),
            (None, None) => String::new(),
        };
        for network in peer.sources() {
            rows.push((
                format!("{network}"),
                peer.rights().relay,
                format!("peer {}", peer.name()),
                on.clone(),
            ));
        }
    }
    for network in &appliance.settings().relay_networks {
        let by = "setting relay-networks".into();
        rows.push((format!("{network}"), settings::RelayRight::Any, by, String::new()));
    }
    if rows.is_empty() {
        screen.line("None: nobody may send through this appliance; see `peer add`.").await;
        return Outcome::Done;
    }
    screen.heading(&NETWORKS).await;
    for (network, relay, by, on) in &rows {
        let to = match relay {
            settings::RelayRight::None => "nowhere",
            settings::RelayRight::Internal => "own",
            settings::RelayRight::Any => "anywhere",
        };
        screen.row(&NETWORKS, [network, &to, by, on]).await;
    }
    screen.line("Everybody else may send nothing.").await;
    Outcome::Done
}

/// What happens to mail on its way through.
pub(super) async fn filter<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let settings = appliance.settings().clone();
    let identities = appliance.keys.lock().await.list().count();
    screen.field("signing", format_args!("{}; see `identity list`", Count(identities as u64, "key"))).await;
    let without = match settings.without_identity {
        WithoutIdentity::Hold => "is kept in the queue until you decide",
        WithoutIdentity::Pass => "is passed on unsigned",
    };
    screen.field("other mail", without).await;
    let size = super::view::Octets(settings.message_bytes_max.into());
    screen.field("largest message", format_args!("{size}, where its peer has no other limit")).await;
    screen
        .field("header fields", "Exchange's own: kept from Exchange to Exchange, removed from all other mail")
        .await;
    screen.field("loops", "own mark on mail to Exchange; refused when it comes back unchanged").await;
    let actions = appliance.actions().len() as u64;
    screen.field("actions", format_args!("{}; see `action list`", Count(actions, "action"))).await;
    Outcome::Done
}
