//! The queue: table, one message, retry, hold, release, remove.

use super::look::Duration;
use crate::schedule::Obstruction;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use console::{Column, Outcome, QueueTarget, Screen, Table};
use embedded_io_async::Write;
use envelope::{LogDate, QueueId};
use events::Event;
use smime::Recipe;
use spool::{Brief, MessageState, RecipientState, Removal, SpoolError, Summary};

const TABLE: Table<7> = Table::new([
    Column::left("ID", 8),
    Column::right("AGE", 6),
    Column::right("OCTETS", 8),
    Column::right("OPEN", 7),
    Column::left("STATE", 8),
    Column::right("NEXT", 6),
    Column::left("REASON", 30),
]);

pub(super) async fn list<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let mut after = None;
    let mut rows = 0u32;
    loop {
        let summary = match appliance.spool.next_summary(after).await {
            Ok(Some(summary)) => summary,
            Ok(None) => break,
            Err(error) => return failed(screen, error).await,
        };
        after = Some(summary.brief.id);
        if rows == 0 {
            screen.heading(&TABLE).await;
        }
        rows = rows.saturating_add(1);
        let Row { age, state, next, reason } = Row::new(appliance, &summary);
        let Brief { id, size, recipients, recipients_open, .. } = summary.brief;
        let open = format!("{recipients_open}/{recipients}");
        screen.row(&TABLE, [&id, &age, &size, &open, &state, &next, &reason]).await;
    }
    match appliance.schedule.obstruction() {
        Some(obstruction) if rows > 0 => screen.line(obstruction_text(appliance, &obstruction)).await,
        _ if rows == 0 => screen.line("The queue is empty.").await,
        _ => {}
    }
    Outcome::Done
}

fn obstruction_text<P: Platform>(appliance: &Appliance<'_, P>, obstruction: &Obstruction) -> String {
    match obstruction {
        Obstruction::NoNextHop => "Nothing is delivered: no next hop is set; see `set next-hop`.".into(),
        Obstruction::Unreachable { until, reason } => {
            let wait = Duration(until.micros_since(appliance.now()) / 1_000_000);
            format!("Nothing is delivered: {reason}. Next probe in {wait}.")
        }
    }
}

/// The cells of a message that depend on the moment.
struct Row {
    age: String,
    state: &'static str,
    next: String,
    reason: String,
}

impl Row {
    fn new<P: Platform>(appliance: &Appliance<'_, P>, summary: &Summary) -> Self {
        let brief = &summary.brief;
        let age = match (brief.time, appliance.unix_seconds()) {
            (Some(then), Some(now)) => format!("{}", Duration(now.saturating_sub(then))),
            _ => "?".into(),
        };
        let busy = appliance.schedule.is_in_hands(brief.id);
        let (state, waits) = match (brief.state, busy, brief.has_recipe) {
            (MessageState::Damaged, ..) => ("damaged", false),
            (MessageState::Held, ..) => ("held", false),
            (MessageState::Queued, true, true) => ("sending", false),
            (MessageState::Queued, true, false) => ("deciding", false),
            (MessageState::Queued, false, true) => ("waiting", true),
            (MessageState::Queued, false, false) => ("decide", true),
        };
        let obstruction = if brief.has_recipe { appliance.schedule.obstruction() } else { None };
        let next = match (waits, appliance.schedule.due_at(brief.id), &obstruction) {
            (false, ..) => String::new(),
            (true, Some(at), _) => format!("{}", Duration(at.micros_since(appliance.now()) / 1_000_000)),
            (true, None, Some(Obstruction::Unreachable { until, .. })) => {
                format!("{}", Duration(until.micros_since(appliance.now()) / 1_000_000))
            }
            (true, None, Some(Obstruction::NoNextHop)) => "-".into(),
            (true, None, None) => "now".into(),
        };
        let reason = if !summary.reason.is_empty() {
            String::from(summary.reason.as_str())
        } else if let Some(reason) = appliance.schedule.reason(brief.id) {
            reason
        } else {
            match obstruction {
                Some(Obstruction::Unreachable { reason, .. }) if waits => reason,
                Some(Obstruction::NoNextHop) if waits => "no next hop is set".into(),
                _ => String::new(),
            }
        };
        Self { age, state, next, reason }
    }
}

pub(super) async fn show<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    screen: &mut Screen<W>,
) -> Outcome {
    match show_message(appliance, id, screen).await {
        Ok(()) => Outcome::Done,
        Err(error) => failed_one(screen, id, error).await,
    }
}

async fn show_message<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    screen: &mut Screen<W>,
) -> Result<(), SpoolError> {
    let brief = appliance.spool.brief(id).ok_or(SpoolError::NoSuchMessage)?;
    let before = id.0.checked_sub(1).map(QueueId);
    let summary = appliance.spool.next_summary(before).await?;
    let summary = summary.filter(|summary| summary.brief.id == id).ok_or(SpoolError::NoSuchMessage)?;
    let row = Row::new(appliance, &summary);
    let arrival = appliance.spool.arrival(id).await?;
    screen.field("id", id).await;
    screen.field("from", format_args!("<{}>", arrival.sender)).await;
    screen.field("octets", arrival.size).await;
    screen.field("arrived", format_args!("{}, {} ago", LogDate(arrival.time), row.age)).await;
    if let Some(peer) = arrival.peer {
        screen.field("client", format_args!("{peer}, called itself {}", arrival.helo)).await;
    }
    screen.field("state", row.state).await;
    if !row.reason.is_empty() {
        screen.field("reason", &row.reason).await;
    }
    if !row.next.is_empty() {
        screen.field("next step in", &row.next).await;
    }
    screen.field("attempts", brief.attempts).await;
    let mut bytes = Vec::new();
    let decision = if appliance.spool.recipe(id, &mut bytes).await? {
        match Recipe::from_bytes(&bytes) {
            Ok(recipe) if recipe.is_signed() => {
                format!("leaves signed, {} octets", recipe.emitted_size(arrival.size))
            }
            Ok(recipe) => {
                format!("leaves as it came, {} octets with trace", recipe.emitted_size(arrival.size))
            }
            Err(_) => "cannot be read by this firmware, is made anew".into(),
        }
    } else {
        String::from("none yet")
    };
    screen.field("decision", decision).await;
    let mut page = Vec::new();
    let mut next = 0u16;
    loop {
        appliance.spool.recipients(id, next, &mut page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        next = last.index.saturating_add(1);
        for recipient in &page {
            let to = &recipient.address;
            match &recipient.state {
                RecipientState::Pending => screen.field("to", format_args!("<{to}> not tried yet")).await,
                RecipientState::Delivered => screen.field("to", format_args!("<{to}> delivered")).await,
                RecipientState::Deferred { status, .. } => {
                    screen.field("to", format_args!("<{to}> tried again later: {}", status.text)).await;
                }
                RecipientState::Failed(status) => {
                    screen.field("to", format_args!("<{to}> failed: {}", status.text)).await;
                }
                RecipientState::Relayed(_) => {
                    screen.field("to", format_args!("<{to}> delivered, report to come")).await;
                }
                RecipientState::Closed(status) => {
                    screen.field("to", format_args!("<{to}> failed and closed: {}", status.text)).await;
                }
            }
        }
    }
}

/// The messages that are meant, if there are any.
fn targets<P: Platform>(appliance: &Appliance<'_, P>, target: QueueTarget) -> Vec<QueueId> {
    match target {
        QueueTarget::One(id) => appliance.spool.brief(id).map(|brief| brief.id).into_iter().collect(),
        QueueTarget::All => {
            let mut ids = Vec::new();
            appliance.spool.for_each(|brief| ids.push(brief.id));
            ids
        }
    }
}

pub(super) async fn retry<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    target: QueueTarget,
    screen: &mut Screen<W>,
) -> Outcome {
    let only = match target {
        QueueTarget::All => {
            let mut any = false;
            appliance.spool.for_each(|brief| any |= brief.state == MessageState::Queued);
            if !any {
                screen.line("Nothing to be tried; held mail waits for `queue release`.").await;
                return Outcome::Done;
            }
            None
        }
        QueueTarget::One(id) => match appliance.spool.brief(id) {
            None => return failed_one(screen, id, SpoolError::NoSuchMessage).await,
            Some(Brief { state: MessageState::Held, .. }) => {
                screen.line(format_args!("{id} is held; `queue release {id}` lets it go.")).await;
                return Outcome::Failed;
            }
            Some(brief) => {
                if appliance.schedule.is_stuck(id) {
                    // Its outcome could not be written: the operator says what a restart would do.
                    appliance.schedule.add(id, appliance.next_step(&brief));
                }
                Some(id)
            }
        },
    };
    appliance.schedule.hurry(only);
    screen.line("Tried now.").await;
    Outcome::Done
}

pub(super) async fn hold<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    target: QueueTarget,
    screen: &mut Screen<W>,
) -> Outcome {
    let mut done = 0;
    let ids = targets(appliance, target);
    if let (QueueTarget::One(id), true) = (target, ids.is_empty()) {
        return failed_one(screen, id, SpoolError::NoSuchMessage).await;
    }
    for id in ids {
        let held = appliance.spool.brief(id).is_none_or(|brief| brief.state != MessageState::Queued);
        if held || !taken_off(appliance, id, target, screen).await {
            continue;
        }
        appliance.hold(id, "held by the operator").await;
        done += 1;
    }
    report(screen, done, "held").await
}

pub(super) async fn release<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    target: QueueTarget,
    screen: &mut Screen<W>,
) -> Outcome {
    let ids = targets(appliance, target);
    if let (QueueTarget::One(id), true) = (target, ids.is_empty()) {
        return failed_one(screen, id, SpoolError::NoSuchMessage).await;
    }
    let mut done = 0;
    for id in ids {
        let Some(brief) = appliance.spool.brief(id).filter(|b| b.state == MessageState::Held) else {
            continue;
        };
        // Whoever has just held it still has it for a moment.
        if appliance.schedule.is_in_hands(id) {
            screen.line(format_args!("{id} is being worked on; try again in a moment.")).await;
            continue;
        }
        if let Err(error) = appliance.spool.release(brief.id, "").await {
            return failed_one(screen, id, error).await;
        }
        appliance.record(&Event::Released { id });
        if let Some(brief) = appliance.spool.brief(id) {
            appliance.schedule.add(id, appliance.next_step(&brief));
        }
        done += 1;
    }
    report(screen, done, "released").await
}

pub(super) async fn remove<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    target: QueueTarget,
    screen: &mut Screen<W>,
) -> Outcome {
    let ids = targets(appliance, target);
    if let (QueueTarget::One(id), true) = (target, ids.is_empty()) {
        return failed_one(screen, id, SpoolError::NoSuchMessage).await;
    }
    let mut done = 0;
    for id in ids {
        if !taken_off(appliance, id, target, screen).await {
            continue;
        }
        match appliance.spool.remove(id, Removal::Operator).await {
            Ok(()) => {
                appliance.record(&Event::Removed { id, reason: "by the operator".into() });
                done += 1;
            }
            Err(SpoolError::NoSuchMessage) => {}
            Err(error) => return failed_one(screen, id, error).await,
        }
    }
    report(screen, done, "removed").await
}

/// Takes a message off the schedule, or says why it cannot be now.
async fn taken_off<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    target: QueueTarget,
    screen: &mut Screen<W>,
) -> bool {
    let free = appliance.schedule.withdraw(id);
    if !free {
        let again = if matches!(target, QueueTarget::One(_)) { "; try again in a moment" } else { "" };
        screen.line(format_args!("{id} is being worked on{again}.")).await;
    }
    free
}

async fn report<W: Write>(screen: &mut Screen<W>, done: u32, what: &str) -> Outcome {
    match done {
        0 => screen.line(format_args!("Nothing to be {what}.")).await,
        1 => screen.line(format_args!("1 message {what}.")).await,
        _ => screen.line(format_args!("{done} messages {what}.")).await,
    }
    Outcome::Done
}

async fn failed_one<W: Write>(screen: &mut Screen<W>, id: QueueId, error: SpoolError) -> Outcome {
    screen.line(format_args!("{id}: {error}")).await;
    Outcome::Failed
}

async fn failed<W: Write>(screen: &mut Screen<W>, error: SpoolError) -> Outcome {
    screen.line(error).await;
    Outcome::Failed
}
