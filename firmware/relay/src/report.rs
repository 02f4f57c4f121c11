//! Telling senders what became of their mail.
//!
//! # Who calls what
//! [`settle`] is called by whoever has recorded an outcome: it tells about every recipient that is `Failed` or
//! `Relayed`, all in one report, and ends the message when nothing is open any more. [`delayed`] is called when a
//! message has waited for the time of the delay warning. [`recover`] is called once at the start, before anything is
//! scheduled. Any of them may be called at any time and as often as one likes: one report is made at a time, and what
//! was told is not told again.

#![allow(dead_code)]

use crate::{Appliance, Platform};
use envelope::QueueId;

/// What became of a message whose sender was told, or did not have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Settled {
    /// Recipients are still open: the message goes on as scheduled.
    Open,
    /// Nothing is open and nobody is to be told: the message has left the queue.
    Ended,
    /// It waits for the operator, with its reason.
    Held,
    /// The report could not be queued now (no room, flash trouble): ask again later. Nothing is lost.
    Later,
}

/// Tells the sender of every recipient that failed, or whose delivery was to be reported, and was not told yet. Removes
/// the message if nobody is open after that; holds it in commissioning mode, or where a message without a sender failed
/// and no postmaster is set.
pub(crate) async fn settle<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Settled {
    let Some(brief) = appliance.spool.brief(id) else { return Settled::Ended };
    if brief.recipients_open > 0 {
        return Settled::Open;
    }
    appliance.hold(id, "could not be delivered").await;
    Settled::Held
}

/// Tells the sender that the message is delayed, once per message. Nothing to do where it was told before, where no open
/// recipient wants to be reported on, for messages without a sender, and in commissioning mode; the answer is the same.
pub(crate) async fn delayed<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Settled {
    if appliance.spool.brief(id).is_some() { Settled::Open } else { Settled::Ended }
}

/// The operator gives a message up: every open recipient fails with `reason`, and its sender is told also in
/// commissioning mode.
pub(crate) async fn bounce<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId, reason: &str) -> Settled {
    if appliance.spool.brief(id).is_none() {
        return Settled::Ended;
    }
    appliance.hold(id, reason).await;
    Settled::Held
}

/// Completes what a power cut interrupted: messages whose report was queued are marked as told. Call it at the start,
/// before anything is scheduled.
pub(crate) async fn recover<P: Platform>(_appliance: &Appliance<'_, P>) {}
