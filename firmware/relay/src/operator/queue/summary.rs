//! What waits, by destination and age, as qshape shows it; and how the destinations are.

use crate::operator::view::{self, Count, Duration, Health, NOWHERE, Place, until_instant};
use crate::{Appliance, Platform};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use console::{Column, Outcome, Screen, Table};
use embassy_futures::yield_now;
use embedded_io_async::Write;
use spool::{Brief, MessageState};

/// Upper bounds of the columns of age, minutes.
const MINUTES: [u64; 9] = [5, 10, 20, 40, 80, 160, 320, 640, 1_280];
/// One more for older mail.
const AGES: usize = MINUTES.len() + 1;

const TABLE: Table<12> = Table::new([
    Column::left("DESTINATION", 23),
    Column::right("T", 4),
    Column::right("5", 4),
    Column::right("10", 4),
    Column::right("20", 4),
    Column::right("40", 4),
    Column::right("80", 4),
    Column::right("160", 4),
    Column::right("320", 4),
    Column::right("640", 4),
    Column::right("1280", 4),
    Column::right("1280+", 5),
]);

const TROUBLE: Table<2> = Table::new([Column::left("", 2), Column::left("", 76)]);

const DESTINATIONS: Table<5> = Table::new([
    Column::left("DESTINATION", 38),
    Column::left("STATE", 9),
    Column::right("MAIL", 5),
    Column::right("OPEN", 5),
    Column::right("PROBE IN", 8),
]);

/// Messages looked at before mail gets its turn.
const AT_A_TIME: usize = 64;

/// Messages by age; the first is those of all ages.
#[derive(Clone, Copy, Default)]
struct Ages {
    all: u32,
    by_age: [u32; AGES],
}

impl Ages {
    /// Counts a message; one of unknown age is as young as can be, because it came before the clock was set.
    fn count(&mut self, age: Option<u64>) {
        let minutes = age.unwrap_or(0) / 60;
        let column = MINUTES.iter().position(|bound| minutes < *bound).unwrap_or(AGES - 1);
        self.all += 1;
        if let Some(count) = self.by_age.get_mut(column) {
            *count += 1;
        }
    }
}

/// The name of the row for mail that waits for the operator.
const HELD: &str = "(held)";
/// The name of the row for mail that is not decided, or not routed yet.
const UNDECIDED: &str = "(not decided)";

pub(in crate::operator) async fn summary<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let mut briefs = Vec::<Brief>::new();
    appliance.spool.for_each(|brief| briefs.push(*brief));
    let mut total = Ages::default();
    let mut rows = BTreeMap::<String, Ages>::new();
    for (at, brief) in briefs.iter().enumerate() {
        let age = view::age(appliance, brief);
        total.count(age);
        let mut names = view::places_of(appliance, brief);
        if brief.state != MessageState::Queued {
            names = alloc::vec![HELD.into()];
        } else if names.is_empty() {
            names.push(UNDECIDED.into());
        }
        for name in names {
            rows.entry(name).or_default().count(age);
        }
        if at % AT_A_TIME == AT_A_TIME - 1 {
            yield_now().await;
        }
    }
    if total.all == 0 {
        screen.line("The queue is empty.").await;
        return Outcome::Done;
    }
    // The most mail first.
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by(|(a, of_a), (b, of_b)| of_b.all.cmp(&of_a.all).then_with(|| a.cmp(b)));
    screen.line("Messages by destination and age: below 5 those younger than 5 minutes.").await;
    screen.heading(&TABLE).await;
    row("TOTAL", &total, screen).await;
    let places = view::places(appliance);
    for (name, ages) in &rows {
        row(name, ages, screen).await;
        if let Some(place) = places.iter().find(|place| place.name == *name)
            && let Some(text) = trouble(appliance, place)
        {
            screen.row(&TROUBLE, [&"", &text]).await;
        }
    }
    Outcome::Done
}

async fn row<W: Write>(name: &str, ages: &Ages, screen: &mut Screen<W>) {
    let cell = |count: u32| if count == 0 { String::new() } else { format!("{count}") };
    let [a, b, c, d, e, f, g, h, i, j] = ages.by_age.map(cell);
    screen.row(&TABLE, [&name, &ages.all, &a, &b, &c, &d, &e, &f, &g, &h, &i, &j]).await;
}

/// What is wrong with a destination, and when it is probed again.
fn trouble<P: Platform>(appliance: &Appliance<'_, P>, place: &Place) -> Option<String> {
    match place.health {
        Health::Working => None,
        Health::NoRoute => Some("no route leads anywhere; see `show routes`".into()),
        Health::Untried => Some("not tried yet".into()),
        Health::Failing => {
            let probe = match place.next_probe.map(|at| until_instant(appliance, at)) {
                Some(Duration(0)) => ", probed now".into(),
                Some(wait) => format!(", next probe in {wait}"),
                None => String::new(),
            };
            // A reason that begins with the name and its port says it once.
            let reason = place.reason.as_str();
            let rest = reason.strip_prefix(place.name.as_str()).and_then(|rest| rest.split_once(": "));
            Some(format!("failing{probe}: {}", rest.map_or(reason, |(_, rest)| rest)))
        }
    }
}

/// Every destination and how it is.
pub(in crate::operator) async fn destinations<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let places = view::places(appliance);
    let places: Vec<_> = places.iter().filter(|place| place.name != NOWHERE || place.messages > 0).collect();
    if places.is_empty() {
        screen.line("No mail goes anywhere at present.").await;
        return Outcome::Done;
    }
    screen.heading(&DESTINATIONS).await;
    for place in &places {
        let probe = match place.next_probe.map(|at| until_instant(appliance, at)) {
            Some(Duration(0)) => "now".into(),
            Some(wait) => format!("{wait}"),
            None => String::new(),
        };
        let Place { name, health, messages, connections, reason, .. } = place;
        screen.row(&DESTINATIONS, [name, health, messages, connections, &probe]).await;
        if !reason.is_empty() && *health == Health::Failing {
            screen.row(&TROUBLE, [&"", reason]).await;
        }
    }
    let failing = places.iter().filter(|place| place.health == Health::Failing).count();
    let failing = if failing > 0 { format!(", {failing} failing") } else { String::new() };
    screen.line(format_args!("{}{failing}.", Count(places.len() as u64, "destination"))).await;
    Outcome::Done
}

#[cfg(test)]
mod tests {
    use super::Ages;

    #[test]
    fn every_age_has_its_column() {
        for (seconds, column) in [
            (0, 0),
            (299, 0),
            (300, 1),
            (600, 2),
            (1_200, 3),
            (2_400, 4),
            (4_800, 5),
            (9_600, 6),
            (19_200, 7),
            (38_400, 8),
            (76_799, 8),
            (76_800, 9),
            (u64::MAX, 9),
        ] {
            let mut ages = Ages::default();
            ages.count(Some(seconds));
            assert_eq!((ages.all, ages.by_age[column]), (1, 1), "{seconds}");
        }
    }
}
