//! The queue on the screen: its list. What is done with it is in the modules below.

mod act;
mod show;
mod summary;

use super::view::{self, Count, Octets, until_instant};
use crate::schedule::Obstruction;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use console::{Column, Outcome, Screen, Table};
use embedded_io_async::Write;
use envelope::QueueId;
use spool::{Brief, MessageState, SpoolError, Summary};

pub(super) use act::{Verb, act, retry};
pub(super) use show::show;
pub(super) use summary::{destinations, summary};

const TABLE: Table<5> = Table::new([
    Column::left("ID", 8),
    Column::right("AGE", 6),
    Column::right("SIZE", 7),
    Column::left("FROM", 27),
    Column::left("TO", 27),
]);

/// Columns before what stands below the first row of a message: where it stands, and why, in full.
const STANDING_INDENT: usize = 9;

pub(super) async fn list<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let mut after = None;
    let (mut rows, mut held) = (0u32, 0u32);
    loop {
        let summary = match appliance.spool.next_summary(after).await {
            Ok(Some(summary)) => summary,
            Ok(None) => break,
            Err(error) => return failed(screen, error).await,
        };
        after = Some(summary.brief.id);
        if rows == 0 {
            screen.heading(&TABLE).await;
            screen.line(format_args!("{:STANDING_INDENT$}STATE, NEXT STEP: REASON", "")).await;
        }
        rows = rows.saturating_add(1);
        held += u32::from(summary.brief.state == MessageState::Held);
        list_message(appliance, &summary, screen).await;
    }
    if rows == 0 {
        screen.line("The queue is empty.").await;
        return Outcome::Done;
    }
    let all_held = held == rows;
    let held = if held > 0 { format!(", {held} held") } else { String::new() };
    screen.line(format_args!("{}{held}.", Count(rows.into(), "message"))).await;
    let failing = view::places(appliance).iter().filter(|place| place.is_failing()).count() as u64;
    match appliance.schedule.obstruction() {
        // What is held waits for the operator, and for no destination.
        _ if all_held => {}
        Some(Obstruction::Unreachable { .. }) if failing > 1 => {
            let places = Count(failing, "destination");
            screen.line(format_args!("Nothing is delivered: {places} fail; see `show destinations`.")).await;
        }
        Some(obstruction) => screen.line(obstruction_text(appliance, &obstruction)).await,
        None if failing > 0 => {
            let places = Count(failing, "destination");
            screen.line(format_args!("{places} failing; see `show destinations`.")).await;
        }
        None => {}
    }
    Outcome::Done
}

async fn list_message<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    summary: &Summary,
    screen: &mut Screen<W>,
) {
    let Brief { id, size, recipients, .. } = summary.brief;
    let age =
        view::age(appliance, &summary.brief).map_or_else(|| "?".into(), |s| format!("{}", view::Duration(s)));
    let from: &str = if summary.sender.is_empty() { "<>" } else { &summary.sender };
    // The number of the others stays to be seen however long the address is.
    let to = match recipients.saturating_sub(1) {
        0 => String::from(summary.recipient.as_str()),
        others => {
            let others = format!(" +{others}");
            let room = 27usize.saturating_sub(others.len());
            let address = summary.recipient.as_str();
            match address.get(..room.saturating_sub(1)) {
                Some(start) if address.len() > room => format!("{start}~{others}"),
                _ => format!("{address}{others}"),
            }
        }
    };
    screen.row(&TABLE, [&id, &age, &Octets(size.into()), &from, &to]).await;
    screen
        .hanging(STANDING_INDENT, format_args!("{:STANDING_INDENT$}{}", "", Standing::of(appliance, summary)))
        .await;
}

fn obstruction_text<P: Platform>(appliance: &Appliance<'_, P>, obstruction: &Obstruction) -> String {
    match obstruction {
        Obstruction::NoNextHop => "Nothing is delivered: no route leads anywhere; see `show routes`.".into(),
        Obstruction::Unreachable { until, reason } => {
            let wait = until_instant(appliance, *until);
            format!("Nothing is delivered: {reason}. Next probe in {wait}.")
        }
    }
}

/// Where a message stands, for whoever reads it: state, next step, reason.
struct Standing {
    state: &'static str,
    /// `1 of 3 open`, where it is not all of one.
    left: String,
    /// When something happens next, where it waits for that.
    next: String,
    reason: String,
}

impl Standing {
    fn of<P: Platform>(appliance: &Appliance<'_, P>, summary: &Summary) -> Self {
        let brief = &summary.brief;
        let busy = view::is_in_hands(appliance, brief.id);
        let (state, waits) = match (brief.state, busy, brief.has_recipe) {
            (MessageState::Damaged, ..) => ("damaged", false),
            (MessageState::Held, ..) => ("held", false),
            (MessageState::Queued, true, true) => ("being sent", false),
            (MessageState::Queued, true, false) => ("being decided", false),
            (MessageState::Queued, false, _) if brief.recipients_open == 0 => ("report to come", false),
            (MessageState::Queued, false, true) => ("waiting", true),
            (MessageState::Queued, false, false) => ("not decided yet", true),
        };
        let obstruction = if brief.has_recipe { appliance.schedule.obstruction_of(brief.id) } else { None };
        let due = appliance.schedule.due_at(brief.id);
        let next = match (waits, due, &obstruction) {
            (false, ..) | (true, None, Some(Obstruction::NoNextHop)) => String::new(),
            (true, Some(at), _) => format!("next try in {}", until_instant(appliance, at)),
            (true, None, Some(Obstruction::Unreachable { until, .. })) => {
                format!("next probe in {}", until_instant(appliance, *until))
            }
            (true, None, None) => "next try now".into(),
        };
        let reason =
            if let (true, None, Some(Obstruction::Unreachable { reason, .. })) = (waits, due, &obstruction) {
                // It waits for its destination, whatever became of recipients elsewhere.
                reason.clone()
            } else if !summary.reason.is_empty() {
                String::from(summary.reason.as_str())
            } else if let Some(reason) = appliance.schedule.reason(brief.id) {
                reason
            } else {
                match obstruction {
                    Some(Obstruction::Unreachable { reason, .. }) if waits => reason,
                    Some(Obstruction::NoNextHop) if waits => "no route leads anywhere".into(),
                    _ => String::new(),
                }
            };
        let left = match (brief.recipients_open, brief.recipients) {
            (_, 0 | 1) => String::new(),
            // Somebody of a message that is held with nobody open failed; which of them, `queue show` says.
            (0, all) if brief.state == MessageState::Held => {
                format!("{} of {all} unreported", brief.recipients_unreported)
            }
            (0, _) => String::new(),
            (open, all) if open == all => String::new(),
            (open, all) => format!("{open} of {all} open"),
        };
        Self { state, left, next, reason }
    }
}

impl core::fmt::Display for Standing {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.state)?;
        for part in [&self.left, &self.next] {
            if !part.is_empty() {
                write!(f, ", {part}")?;
            }
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, ": {}", self.reason) }
    }
}

async fn failed_one<W: Write>(screen: &mut Screen<W>, id: QueueId, error: SpoolError) -> Outcome {
    screen.line(format_args!("{id}: {error}")).await;
    Outcome::Failed
}

async fn failed<W: Write>(screen: &mut Screen<W>, error: SpoolError) -> Outcome {
    screen.line(error).await;
    Outcome::Failed
}
