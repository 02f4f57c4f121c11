//! Which domains go where.

use super::tables::warn_of_damage;
use super::view::Count;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use console::{Column, Outcome, Screen, Table};
use embedded_io_async::Write;
use envelope::{MailboxRef, check_domain};
use events::text::Escaped;
use settings::{Route, RouteTarget, Row, Settings};

const TABLE: Table<3> =
    Table::new([Column::left("DOMAIN", 30), Column::left("NEXT HOP", 32), Column::left("OPTIONS", 15)]);

pub(super) async fn list<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    warn_of_damage(&appliance.routes, screen).await;
    // Collected, so that a slow terminal does not keep anybody from changing the table.
    let routes: Vec<Route> = appliance.routes().iter().cloned().collect();
    if !routes.is_empty() {
        screen.heading(&TABLE).await;
    }
    for route in &routes {
        let text = format!("{route}");
        let options = text.get(route.domain().len() + 1 + route.target_text().len()..).unwrap_or_default();
        screen.row(&TABLE, [&route.domain(), &route.target_text(), &options.trim_ascii()]).await;
    }
    let settings = appliance.settings().clone();
    let rest = if routes.is_empty() { "(all mail)" } else { "(all others)" };
    match &settings.next_hop {
        // Nothing is left for it.
        _ if appliance.routes().get("*").is_some() => {}
        Some(hop) => {
            let exchange = if settings.next_hop_exchange { "exchange" } else { "" };
            screen.row(&TABLE, [&rest, &format!("{hop}"), &exchange]).await;
        }
        None => screen.row(&TABLE, [&rest, &"mx", &""]).await,
    }
    if let Some(hop) = &settings.null_sender_next_hop {
        screen.row(&TABLE, [&"(mail from <>, all domains)", &format!("{hop}"), &""]).await;
    }
    if !routes.is_empty() {
        screen.line(format_args!("{}.", Count(routes.len() as u64, "route"))).await;
    }
    Outcome::Done
}

/// Reads a route, checks that it can work with the settings, and joins it with the one that is there if it is one of its
/// costs only.
pub(super) fn read<P: Platform>(appliance: &Appliance<'_, P>, text: &str) -> Result<Route, String> {
    let mut route = Route::parse(text).map_err(|fault| format!("{fault}"))?;
    let settings = appliance.settings();
    for host in route.hosts() {
        settings.check_next_hop(&host.next_hop).map_err(|problem| format!("{problem}"))?;
    }
    let of_one_cost = text.split_ascii_whitespace().filter(|word| *word == "cost").count() == 1;
    if of_one_cost && let Some(older) = appliance.routes().get(route.domain()) {
        route = route.joined(older).map_err(|fault| format!("{fault}"))?;
    }
    Ok(route)
}

/// Where mail for a domain goes, and why.
pub(super) fn whither<P: Platform>(appliance: &Appliance<'_, P>, domain: &str) -> (String, String) {
    let settings = appliance.settings();
    if let Some(route) = appliance.routes().route_for(domain) {
        let by = match route.domain() {
            "*" => "by the route for all others".into(),
            domain => format!("by the route for {domain}"),
        };
        let target = match route.target() {
            RouteTarget::Mx => "the MX of its domain".into(),
            RouteTarget::Hosts(_) => route.target_text(),
        };
        return (target, by);
    }
    match &settings.next_hop {
        Some(hop) => {
            (format!("{hop}"), "the default next hop: no route is for this domain or one above it".into())
        }
        None => ("the MX of its domain".into(), "as no route is for it and no next hop is set".into()),
    }
}

/// Says where mail goes, and why.
pub(super) async fn test<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    address: &str,
    screen: &mut Screen<W>,
) -> Outcome {
    let settings = appliance.settings().clone();
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
    let (target, by) = whither(appliance, domain);
    let flags =
        appliance.routes().route_for(domain).map_or("", |route| match (route.exchange(), route.inside()) {
            (true, _) => ", own Exchange",
            (false, true) => ", inside",
            (false, false) => "",
        });
    screen.line(format_args!("{target}{flags}, {by}")).await;
    let own = appliance.domains().internal(domain).map(|row| String::from(row.name()));
    if let Some(own) = own {
        screen.line(format_args!("It is an own domain, by `domain add {own}`.")).await;
    }
    let action = appliance.actions().action_for(address).cloned();
    if let Some(action) = action {
        screen.line(format_args!("The address has an action: {}.", action.what())).await;
    }
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

/// The first route whose next hop does not fit the settings, with what does not fit.
pub(super) fn misfit<P: Platform>(appliance: &Appliance<'_, P>, settings: &Settings) -> Option<String> {
    appliance.routes().iter().find_map(|route| {
        let mut hosts = route.hosts().iter();
        let problem = hosts.find_map(|host| settings.check_next_hop(&host.next_hop).err())?;
        Some(format!("The route for {} no longer works: {problem}", route.domain()))
    })
}
