//! One message in full.

use super::{Standing, failed_one};
use crate::operator::view::{self, Count, Duration};
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use console::{Outcome, Screen};
use embassy_futures::yield_now;
use embedded_io_async::Write;
use envelope::{LogDate, QueueId, RecipientParameters, SenderParameters};
use events::text::Escaped;
use limits::console::{SHOWN_EVENTS_MAX, SHOWN_HEADER_BYTES_MAX, SHOWN_HEADER_LINES_MAX};
use smime::{Audience, Recipe};
use spool::{Attempt, Recipient, RecipientState, SpoolError};

/// Events that are looked at before mail gets its turn.
const EVENTS_AT_A_TIME: u64 = 16;

pub(in crate::operator) async fn show<P: Platform, W: Write>(
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
    let standing = Standing::of(appliance, &summary);
    let arrival = appliance.spool.arrival(id).await?;
    screen.field("id", id).await;
    let parameters = SenderParameters::from_bytes(&arrival.sender_extra);
    screen.field("from", format_args!("<{}>{parameters}", arrival.sender)).await;
    screen.field("octets", arrival.size).await;
    let age = view::age(appliance, &brief).map_or_else(String::new, |age| format!(", {} ago", Duration(age)));
    screen.field("arrived", format_args!("{}{age}", LogDate(arrival.time))).await;
    match arrival.peer {
        Some(peer) => screen.field("client", format_args!("{peer}, called itself {}", arrival.helo)).await,
        None => screen.field("client", "none: this appliance made it").await,
    }
    screen.field("state", &standing.state).await;
    if !standing.reason.is_empty() {
        screen.field("reason", &standing.reason).await;
    }
    if !standing.next.is_empty() {
        screen.field("next step", &standing.next).await;
    }
    let warned = if brief.warned { ", its sender was told of the delay" } else { "" };
    screen.field("attempts", format_args!("{}{warned}", brief.attempts)).await;
    if brief.reports > 0 {
        screen.field("reports", brief.reports).await;
    }
    screen.field("decision", decision(appliance, id, arrival.size).await?).await;
    recipients(appliance, id, screen).await?;
    attempts(&appliance.spool.history(id).await?, screen).await;
    events(appliance, id, screen).await;
    header(appliance, id, screen).await
}

/// What will leave.
async fn decision<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    size: u32,
) -> Result<String, SpoolError> {
    let mut bytes = Vec::new();
    if !appliance.spool.recipe(id, &mut bytes).await? {
        return Ok("none yet".into());
    }
    Ok(match Recipe::from_bytes(&bytes) {
        Ok(recipe) if recipe.is_signed() => {
            format!("leaves signed, {} octets", recipe.emitted_size(size, Audience::Internet))
        }
        Ok(recipe) => {
            format!("leaves as it came, {} octets with trace", recipe.emitted_size(size, Audience::Internet))
        }
        Err(_) => "cannot be read by this firmware, is made anew".into(),
    })
}

async fn recipients<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    screen: &mut Screen<W>,
) -> Result<(), SpoolError> {
    let mut page = Vec::new();
    let mut next = 0u16;
    loop {
        appliance.spool.recipients(id, next, &mut page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        next = last.index.saturating_add(1);
        for recipient in &page {
            screen.field("to", recipient_text(appliance, recipient)).await;
        }
    }
}

fn recipient_text<P: Platform>(appliance: &Appliance<'_, P>, recipient: &Recipient) -> String {
    let state = match &recipient.state {
        RecipientState::Pending => "not tried yet".into(),
        RecipientState::Delivered => "delivered".into(),
        RecipientState::Relayed(_) => "delivered, report to come".into(),
        RecipientState::Deferred { attempts, next_try, .. } => {
            let tried = Count(u64::from(*attempts), "attempt");
            match view::until(appliance, *next_try) {
                Some(seconds) => format!("waiting after {tried}, next in {}", Duration(seconds)),
                None => format!("waiting after {tried}"),
            }
        }
        RecipientState::Failed(_) => "failed".into(),
        RecipientState::Closed(_) => "failed, dealt with".into(),
    };
    let answer = recipient.state.status().filter(|status| !status.text.is_empty());
    let answer = answer.map_or_else(String::new, |status| format!(": {}", status.text));
    let parameters = RecipientParameters::from_bytes(&recipient.extra);
    format!("<{}>{parameters} {state}{answer}", recipient.address)
}

async fn attempts<W: Write>(history: &[Attempt], screen: &mut Screen<W>) {
    for attempt in history {
        let code = if attempt.code == 0 { String::new() } else { format!("{} ", attempt.code) };
        let text = attempt.text.strip_prefix(code.as_str()).unwrap_or(&attempt.text);
        screen.field("attempt", format_args!("{} {code}{text}", LogDate(attempt.time))).await;
    }
}

/// What the log still has about the message, the latest last.
async fn events<P: Platform, W: Write>(appliance: &Appliance<'_, P>, id: QueueId, screen: &mut Screen<W>) {
    let last = appliance.log.recorded();
    let mark = format!(" id={id} ");
    let mut cursor = appliance.log.tail(u64::MAX);
    let mut found = heapless::Deque::<String, SHOWN_EVENTS_MAX>::new();
    while let Some((number, line)) = appliance.log.next(&mut cursor, |entry| {
        let line = format!("{entry} ");
        (entry.number, line.contains(&mark).then_some(line))
    }) {
        if let Some(line) = line {
            if found.is_full() {
                found.pop_front();
            }
            // There is room for one now.
            let _ = found.push_back(line);
        }
        if number >= last {
            break;
        }
        if number % EVENTS_AT_A_TIME == 0 {
            yield_now().await;
        }
    }
    for line in &found {
        screen.field("event", line.trim_end()).await;
    }
}

/// The start of the message up to the first empty line, with whatever a sender put there made harmless.
async fn header<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    screen: &mut Screen<W>,
) -> Result<(), SpoolError> {
    let mut bytes = vec![0; SHOWN_HEADER_BYTES_MAX];
    let mut length = 0;
    while let Some(room) = bytes.get_mut(length..).filter(|room| !room.is_empty()) {
        let read = appliance.spool.read(id, u32::try_from(length).unwrap_or(u32::MAX), room).await?;
        if read == 0 {
            break;
        }
        length += read;
    }
    let bytes = bytes.get(..length).unwrap_or_default();
    screen.line("").await;
    let mut shown = 0;
    let mut lines = bytes.split(|octet| *octet == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    loop {
        match lines.next() {
            None => break,
            Some(b"") => return Ok(()),
            Some(_) if shown >= SHOWN_HEADER_LINES_MAX => break,
            Some(line) => {
                // Indented, so that nothing in it can pass for the console's own words.
                screen.hanging(4, format_args!("  {}", Escaped(line))).await;
                shown += 1;
            }
        }
    }
    if length < SHOWN_HEADER_BYTES_MAX && shown < SHOWN_HEADER_LINES_MAX {
        return Ok(());
    }
    screen.line("The header goes on; only its beginning is shown.").await;
    Ok(())
}
