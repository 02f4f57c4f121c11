//! Who may do what, told in words.

use super::tables::{put, warn_of_damage};
use crate::{Appliance, Machine, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use console::{Outcome, Screen};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use embedded_io_async::Write;
use events::text::Escaped;
use limits::net::SMTP_PORT;
use settings::{Class, Judged, Listener, Peer, Place, RelayRight, Rights, Rule};

/// What rights are, in words.
fn words(class: Class, rights: &Rights) -> String {
    let mut words: Vec<String> = Vec::new();
    words.push(match rights.relay {
        RelayRight::None => "may send nothing".into(),
        RelayRight::Internal => "may send to own domains, and to no other".into(),
        RelayRight::Any => "may send to anywhere".into(),
    });
    if rights.relay == RelayRight::None {
        return words.concat();
    }
    if rights.restricts_senders() {
        let own = rights.senders_own.then_some("own domains");
        let domains: Vec<&str> =
            own.into_iter().chain(rights.sender_domains.iter().map(|name| &**name)).collect();
        let domains = domains.join(", ");
        words.push(if class.is_exchange() {
            format!("senders outside {domains} only to own domains")
        } else {
            format!("only as sender of {domains}")
        });
    }
    if rights.keep_headers {
        words.push("Exchange's own header fields are kept on the way to Exchange".into());
    }
    if class.is_exchange() {
        words.push("connections are reserved for it".into());
    }
    if let Some(bytes) = rights.message_bytes_max {
        words.push(format!("messages up to {}", super::view::Octets(bytes.into())));
    }
    if rights.rate != 0 {
        words.push(format!("at most {} messages a minute", rights.rate));
    }
    if rights.connections != 0 {
        words.push(format!("at most {} connections at a time", rights.connections));
    }
    if rights.repair {
        words.push("bare line feeds and missing Date and Message-ID are mended".into());
    }
    if let Some(rewrite) = &rights.rewrite_sender {
        words.push(format!("the envelope sender becomes {rewrite}"));
    }
    if rights.verify_sender {
        words.push("senders are asked for at their servers".into());
    }
    if rights.verify_recipient {
        words.push("recipients are asked for at their servers".into());
    }
    if !rights.starttls {
        words.push("TLS is not offered".into());
    }
    if rights.tarpit_s != 0 {
        words.push(format!("refusals are delayed by {} s", rights.tarpit_s));
    }
    words.join("; ")
}

/// Sources and place of a rule.
fn whence(peer: &Peer) -> String {
    let mut text = String::new();
    for network in peer.sources() {
        text.push_str(if text.is_empty() { "" } else { ", " });
        text.push_str(&format!("{network}"));
    }
    match (peer.listener(), peer.interface()) {
        (Some(listener), _) => text.push_str(&format!(", only on {listener}")),
        (None, Some(number)) => text.push_str(&format!(", only on if{number}")),
        (None, None) => {}
    }
    text
}

pub(super) async fn list<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    warn_of_damage(&appliance.peers, screen).await;
    // Collected, so that a slow terminal does not keep anybody from changing the table.
    let peers: Vec<Peer> = appliance.peers().iter().cloned().collect();
    let networks = appliance.settings().relay_networks.clone();
    for peer in &peers {
        screen.hanging(4, format_args!("{} ({}): {}", peer.name(), peer.class(), whence(peer))).await;
        let words = words(peer.class(), peer.rights());
        screen.hanging(4, format_args!("    {words}")).await;
    }
    if !networks.is_empty() {
        let mut text = String::new();
        for network in &networks {
            text.push_str(if text.is_empty() { "" } else { ", " });
            text.push_str(&format!("{network}"));
        }
        let (class, usual) = (Class::Application, Rights::of_relay_network());
        screen.hanging(4, format_args!("(setting relay-networks) ({class}): {text}")).await;
        screen.hanging(4, format_args!("    {}", words(class, &usual))).await;
    }
    let rest = if peers.is_empty() && networks.is_empty() { "Everybody" } else { "Everybody else" };
    screen.line(format_args!("{rest}: may send nothing. `peer test ADDRESS` tells who is who.")).await;
    Outcome::Done
}

/// Where a client connects that an operator asks about.
fn place<P: Platform>(appliance: &Appliance<'_, P>, on: Option<&str>) -> Result<(SocketAddr, u8), String> {
    let interfaces = appliance.machine.network();
    let address_of = |number: u8| {
        let state = interfaces.iter().find(|state| state.interface == number);
        let network = state.and_then(|state| state.address.or(state.address6));
        network.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |network| network.address)
    };
    let at = |number: u8| (SocketAddr::new(address_of(number), SMTP_PORT), number);
    let Some(on) = on else { return Ok(at(1)) };
    let number = on.strip_prefix("if").and_then(|digits| digits.parse::<u8>().ok());
    if let Some(number) =
        number.filter(|number| (1..=limits::net::INTERFACES_COUNT).contains(&usize::from(*number)))
    {
        return Ok(at(number));
    }
    let listener = Listener::parse(on).map_err(|fault| format!("{fault}"))?;
    let (address, number) = match listener.place {
        Place::Any => (address_of(1), 1),
        Place::Interface(number) => (address_of(number), number),
        Place::Address(address) => {
            let has = |network: Option<events::IpNetwork>| network.is_some_and(|own| own.address == address);
            let state = interfaces.iter().find(|state| has(state.address) || has(state.address6));
            (address, state.map_or(1, |state| state.interface))
        }
    };
    Ok((SocketAddr::new(address, listener.port), number))
}

/// Says what a client may do, and by which rule.
pub(super) async fn test<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    address: &str,
    on: Option<&str>,
    screen: &mut Screen<W>,
) -> Outcome {
    let Ok(client) = address.parse::<IpAddr>() else {
        let shown = Escaped(address.as_bytes());
        screen.line(format_args!("`{shown:.60}` is no IP address, as in `10.0.0.5` or `2001:db8::5`")).await;
        return Outcome::Failed;
    };
    let (local, interface) = match place(appliance, on) {
        Ok(place) => place,
        Err(why) => {
            screen.line(why).await;
            return Outcome::Failed;
        }
    };
    let client = client.to_canonical();
    let Judged { class, rights, rule } = appliance.judge(client, local, interface);
    let port = if local.port() == SMTP_PORT { String::new() } else { format!(", port {}", local.port()) };
    let who = format!("{client} on if{interface}{port}");
    match &rule {
        Rule::Nobody => {
            screen
                .line(format_args!(
                    "{who}: no rule is for it, so all its mail is refused with 554 5.7.1; see `peer add`."
                ))
                .await;
        }
        Rule::Damaged => warn_of_damage(&appliance.peers, screen).await,
        Rule::Peer(_) | Rule::RelayNetwork(_) => {
            let by = match &rule {
                Rule::Peer(name) => format!("by peer {name}"),
                other => format!("by the setting {other}"),
            };
            screen.hanging(4, format_args!("{who}: class {class}, {by}: {}.", words(class, &rights))).await;
        }
    }
    let others: Vec<String> = {
        let peers = appliance.peers();
        let is_other = |peer: &&Peer| !matches!(&rule, Rule::Peer(name) if **name == *peer.name());
        let others = peers.iter().filter(is_other);
        others
            .filter(|peer| peer.sources().iter().any(|network| network.contains(client)))
            .map(|peer| format!("{} ({})", peer.name(), whence(peer)))
            .collect()
    };
    for other in &others {
        let why = "has it in its sources too, and is less specific or for another place";
        screen.hanging(4, format_args!("Peer {other} {why}.")).await;
    }
    Outcome::Done
}

/// Changes the sources of a rule.
pub(super) async fn source<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    name: &str,
    add: bool,
    sources: &str,
    screen: &mut Screen<W>,
) -> Outcome {
    let key = <Peer as settings::Row>::key_of(name);
    let peer = key.and_then(|key| appliance.peers().get(&key).cloned());
    let Some(peer) = peer else {
        screen.line("there is no peer of exactly this name; see `show peers`").await;
        return Outcome::Failed;
    };
    let changed = if add { peer.with_sources(sources) } else { peer.without_sources(sources) };
    let put = match changed {
        Ok(peer) => put(appliance, &appliance.peers, peer).await,
        Err(fault) => Err(format!("{fault}")),
    };
    match put {
        Ok(text) => {
            screen.line(format_args!("In force now: {text}")).await;
            Outcome::Done
        }
        Err(why) => {
            screen.line(why).await;
            Outcome::Failed
        }
    }
}

/// The operator has looked: the rules that could be read are all that there are to be.
pub(super) async fn confirm<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    if !appliance.peers().is_damaged() {
        screen.line("Nothing is to be confirmed: every rule could be read.").await;
        return Outcome::Done;
    }
    let confirmed = appliance.settings_store.lock().await.confirm(&appliance.peers).await;
    match confirmed {
        Ok(()) => {
            screen.line("Confirmed; the rules are in force now.").await;
            Outcome::Done
        }
        Err(error) => {
            screen.line(error).await;
            Outcome::Failed
        }
    }
}
