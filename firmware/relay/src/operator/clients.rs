//! What each client has done since the start.

use super::view::{Duration, Octets};
use crate::{Appliance, Platform};
use alloc::format;
use console::{Column, Outcome, Screen, Table};
use embedded_io_async::Write;

const CLIENTS: Table<8> = Table::new([
    Column::left("CLIENT", 20),
    Column::left("CLASS", 11),
    Column::right("SESSIONS", 8),
    Column::right("MESSAGES", 8),
    Column::right("OCTETS", 6),
    Column::right("REFUSED", 7),
    Column::right("SLOWED", 6),
    Column::right("SEEN", 6),
]);

/// `show clients`: those that sent most first.
pub(super) async fn show<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let clients = appliance.clients.borrow().list();
    if clients.is_empty() {
        screen.line("Nobody has connected since the start.").await;
        return Outcome::Done;
    }
    screen.heading(&CLIENTS).await;
    for (client, counts) in &clients {
        let seen = Duration(appliance.now().micros_since(counts.seen) / 1_000_000);
        screen
            .row(
                &CLIENTS,
                [
                    client,
                    &counts.class,
                    &counts.sessions,
                    &counts.messages,
                    &Octets(counts.octets),
                    &counts.refused,
                    &counts.slowed,
                    &seen,
                ],
            )
            .await;
    }
    let number = clients.len();
    let plural = if number == 1 { "" } else { "s" };
    screen.line(format!("{number} client{plural}; SEEN is the time since then.")).await;
    Outcome::Done
}
