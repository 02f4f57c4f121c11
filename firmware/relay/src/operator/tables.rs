//! What all tables of the configuration have in common at the console: rows are added and removed one by one, and in
//! force when the command returns.

use super::view::destinations_changed;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use console::{Outcome, Rows, Screen};
use core::cell::RefCell;
use embedded_io_async::Write;
use settings::{Action, Domain, Peer, Route, Row, Table, TableKind};

pub(super) async fn add<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    rows: Rows,
    text: &str,
    screen: &mut Screen<W>,
) -> Outcome {
    let added = match rows {
        Rows::Peers => match Peer::parse(text) {
            Ok(peer) => put(appliance, &appliance.peers, peer).await,
            Err(fault) => Err(format!("{fault}")),
        },
        Rows::Domains => match Domain::parse(text) {
            Ok(domain) => put(appliance, &appliance.domains, domain).await,
            Err(fault) => Err(format!("{fault}")),
        },
        Rows::Routes => match super::routes::read(appliance, text) {
            Ok(route) => put(appliance, &appliance.routes, route).await,
            Err(fault) => Err(fault),
        },
        Rows::Actions => match Action::parse(text) {
            Ok(action) => put(appliance, &appliance.actions, action).await,
            Err(fault) => Err(format!("{fault}")),
        },
    };
    let text = match added {
        Ok(text) => text,
        Err(why) => {
            screen.line(why).await;
            return Outcome::Failed;
        }
    };
    screen.line(format_args!("Added, in force now: {text}")).await;
    if let Some(note) = note_on(appliance, rows, &text) {
        screen.line(note).await;
    }
    Outcome::Done
}

/// Stores a row and puts it in force. Gives its text.
pub(super) async fn put<P: Platform, R: Row>(
    appliance: &Appliance<'_, P>,
    table: &RefCell<Table<R>>,
    row: R,
) -> Result<String, String> {
    let text = format!("{row}");
    let added = appliance.settings_store.lock().await.add(table, row).await;
    added.map_err(|error| format!("{error}"))?;
    changed(appliance, R::KIND);
    Ok(text)
}

/// What hangs on a table follows it.
fn changed<P: Platform>(appliance: &Appliance<'_, P>, kind: TableKind) {
    appliance.factory_fresh.set(false);
    match kind {
        TableKind::Routes | TableKind::Domains | TableKind::Actions => destinations_changed(appliance),
        // They are asked anew for every message.
        TableKind::Peers => {}
    }
}

/// What the operator should know about a row that is right by itself.
fn note_on<P: Platform>(appliance: &Appliance<'_, P>, rows: Rows, text: &str) -> Option<String> {
    let key = text.split(' ').next()?;
    match rows {
        Rows::Peers => {
            let peers = appliance.peers();
            let peer = peers.get(key)?;
            if peers.is_damaged() {
                return Some("Rules are missing, so nobody may relay before `peer confirm`.".into());
            }
            let internal = peer.rights().relay == settings::RelayRight::Internal;
            (internal && appliance.domains().is_empty())
                .then(|| "No domain is an own one yet, so they may send to none; see `domain add`.".into())
        }
        Rows::Actions => {
            let (_, domain) = key.rsplit_once('@')?;
            (!appliance.domains().is_internal(domain))
                .then(|| format!("{domain} is not an own domain yet, so nothing happens; see `domain add`."))
        }
        Rows::Domains | Rows::Routes => None,
    }
}

pub(super) async fn remove<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    rows: Rows,
    name: &str,
    screen: &mut Screen<W>,
) -> Outcome {
    let mut store = appliance.settings_store.lock().await;
    let (kind, removed) = match rows {
        Rows::Peers => (TableKind::Peers, store.remove(&appliance.peers, name).await),
        Rows::Domains => (TableKind::Domains, store.remove(&appliance.domains, name).await),
        Rows::Routes => (TableKind::Routes, store.remove(&appliance.routes, name).await),
        Rows::Actions => (TableKind::Actions, store.remove(&appliance.actions, name).await),
    };
    drop(store);
    if let Err(error) = removed {
        screen.line(error).await;
        return Outcome::Failed;
    }
    changed(appliance, kind);
    screen.line("Removed, in force now.").await;
    Outcome::Done
}

/// Says that rows may be missing.
pub(super) async fn warn_of_damage<R: Row, W: Write>(table: &RefCell<Table<R>>, screen: &mut Screen<W>) {
    if !table.borrow().is_damaged() {
        return;
    }
    let row = R::KIND.row();
    let line = match R::KIND {
        TableKind::Peers => {
            "Some rules cannot be read from flash, so nobody may relay. Add what is missing, then `peer confirm`."
                .into()
        }
        _ => format!("Some {row}s cannot be read from flash; add what is missing."),
    };
    screen.line(line).await;
}

/// The tables as lines that make them again.
pub(super) fn lines<P: Platform>(appliance: &Appliance<'_, P>) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(appliance.domains().iter().map(|domain| format!("domain add {domain}")));
    lines.extend(appliance.routes().iter().map(|route: &Route| format!("route add {route}")));
    for peer in appliance.peers().iter() {
        let (first, rest) = peer.lines();
        lines.push(format!("peer add {first}"));
        lines.extend(rest.iter().map(|more| format!("peer source {} add {more}", peer.name())));
    }
    lines.extend(appliance.actions().iter().map(|action| format!("action add {action}")));
    lines
}

/// The addresses with actions.
pub(super) async fn actions<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    warn_of_damage(&appliance.actions, screen).await;
    // Collected, so that a slow terminal does not keep anybody from changing the table.
    let actions: Vec<Action> = appliance.actions().iter().cloned().collect();
    for action in &actions {
        let (_, domain) = action.address().rsplit_once('@').unwrap_or_default();
        let own =
            if appliance.domains().is_internal(domain) { "" } else { "   (not an own domain: not used)" };
        screen.hanging(4, format_args!("{}: {}{own}", action.address(), action.what())).await;
    }
    if actions.is_empty() {
        screen.line("No address has an action; see `action add`.").await;
    }
    Outcome::Done
}
