//! Which domains go where.

use super::view::{Count, destinations_changed};
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use console::{Column, Outcome, Screen, Table};
use embedded_io_async::Write;
use envelope::{MailboxRef, check_domain};
use events::text::Escaped;
use settings::{Route, Settings};

const TABLE: Table<3> =
    Table::new([Column::left("DOMAIN", 36), Column::left("NEXT HOP", 34), Column::left("", 6)]);

pub(super) async fn list<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    // Collected, so that a slow terminal does not keep anybody from changing the table.
    let routes: Vec<Route> = appliance.routes().iter().cloned().collect();
    if !routes.is_empty() {
        screen.heading(&TABLE).await;
    }
    for route in &routes {
        let inside = if route.inside() { "inside" } else { "" };
        screen.row(&TABLE, [&route.domain(), &route.target_text(), &inside]).await;
    }
    let settings = appliance.settings().clone();
    let rest = if routes.is_empty() { "(all mail)" } else { "(all others)" };
    let hop =
        settings.next_hop.as_ref().map_or_else(|| "none; see `set next-hop`".into(), |hop| format!("{hop}"));
    screen.row(&TABLE, [&rest, &hop, &""]).await;
    if let Some(hop) = &settings.null_sender_next_hop {
        screen.row(&TABLE, [&"(mail from <>, whatever the domain)", &format!("{hop}"), &""]).await;
    }
    if !routes.is_empty() {
        screen.line(format_args!("{}.", Count(routes.len() as u64, "route"))).await;
    }
    Outcome::Done
}

pub(super) async fn add<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    domain: &str,
    next_hop: &str,
    inside: bool,
    screen: &mut Screen<W>,
) -> Outcome {
    let route = match Route::new(domain, next_hop, inside) {
        Ok(route) => route,
        Err(fault) => {
            screen.line(fault).await;
            return Outcome::Failed;
        }
    };
    let settings = appliance.settings().clone();
    if let Some(Err(problem)) = route.next_hop().map(|hop| settings.check_next_hop(&hop)) {
        screen.line(problem).await;
        return Outcome::Failed;
    }
    let text = format!("{route}");
    let added = appliance.settings_store.lock().await.add(&appliance.routes, route).await;
    if let Err(error) = added {
        screen.line(error).await;
        return Outcome::Failed;
    }
    destinations_changed(appliance);
    screen.line(format_args!("Added, in force now: {text}")).await;
    Outcome::Done
}

pub(super) async fn remove<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    domain: &str,
    screen: &mut Screen<W>,
) -> Outcome {
    let removed = appliance.settings_store.lock().await.remove(&appliance.routes, domain).await;
    if let Err(error) = removed {
        screen.line(error).await;
        return Outcome::Failed;
    }
    destinations_changed(appliance);
    screen.line("Removed, in force now.").await;
    Outcome::Done
}

/// Says where mail goes, and why.
pub(super) async fn test<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    address: &str,
    screen: &mut Screen<W>,
) -> Outcome {
    let settings = appliance.settings().clone();
    let default = |why: &str| match &settings.next_hop {
        Some(hop) => format!("{hop}, the default next hop: {why}"),
        None => format!("the MX records of the domain: {why}, and no next hop is set"),
    };
    if address == "<>" {
        let line = match &settings.null_sender_next_hop {
            Some(hop) => format!("{hop}, the next hop for mail from the null sender, whatever its recipient"),
            None => "as other mail, by its recipient; `set null-sender-next-hop` changes that".into(),
        };
        screen.line(line).await;
        return Outcome::Done;
    }
    let domain = match domain_of(address) {
        Some(domain) => domain,
        None => {
            let shown = Escaped(address.as_bytes());
            screen.line(format_args!("`{shown:.60}` is no address or domain; as in `ann@example.org`")).await;
            return Outcome::Failed;
        }
    };
    let line = match appliance.routes().route_for(domain) {
        Some(route) => {
            let inside = if route.inside() { ", inside" } else { "" };
            format!("{}{inside}, by the route for {}", route.target_text(), route.domain())
        }
        None => default("no route is for this domain or one above it"),
    };
    screen.line(line).await;
    if settings.null_sender_next_hop.is_some() {
        screen.line("Mail from the null sender goes elsewhere; see `route test <>`.").await;
    }
    Outcome::Done
}

/// The domain of an address, or a domain itself.
fn domain_of(text: &str) -> Option<&str> {
    if let Ok(mailbox) = MailboxRef::parse(text) {
        return Some(mailbox.domain());
    }
    let domain = text.strip_prefix('@').unwrap_or(text);
    // A domain in its own script is a domain too, and becomes A-labels where it is looked up.
    let plausible = check_domain(domain).is_ok() || (!domain.is_ascii() && !domain.contains('@'));
    plausible.then_some(domain)
}

/// The table as lines that make it again.
pub(super) fn lines<P: Platform>(appliance: &Appliance<'_, P>) -> Vec<String> {
    appliance.routes().iter().map(|route| format!("route add {route}")).collect()
}

/// The first route whose next hop does not fit the settings, with what does not fit.
pub(super) fn misfit<P: Platform>(appliance: &Appliance<'_, P>, settings: &Settings) -> Option<String> {
    appliance.routes().iter().find_map(|route| {
        let problem = settings.check_next_hop(&route.next_hop()?).err()?;
        Some(format!("The route for {} no longer works: {problem}", route.domain()))
    })
}
