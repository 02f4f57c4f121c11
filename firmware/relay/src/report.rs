//! Telling senders what became of their mail.
//!
//! Who is told what, and what a report looks like, is specified in [`dsn`]; here it is decided from the queue, made, and
//! made exactly once.
//!
//! # Who calls what
//! [`settle`] is called by whoever has recorded an outcome: it tells about every recipient that is `Failed` or
//! `Relayed`, all in one report, and ends the message when nothing is open any more. [`delayed`] is called when a
//! message has waited for the time of the delay warning, [`bounce`] when the operator gives mail up. [`recover`] is called
//! once at the start, before anything is scheduled. Nobody else may work on the message meanwhile.
//!
//! # Exactly once
//! A report is made in three steps, each of which a power cut may be the last of:
//! 1. The report is committed, with a [`ReportLink`]: the message, and how many reports were made about it before.
//! 2. The message is marked: its recipients become `Closed` or `Delivered` and its number of reports goes up by one, or it
//!    ends.
//! 3. The report is put on the schedule.
//!
//! After a cut before 1 there is no report, and the message asks for it again. After a cut between 1 and 2, `recover`
//! finds a report whose number is not below the one of its message, and does step 2; a message that does not exist any
//! more has been marked. So no report is made twice, and none leaves before step 2 is on flash. Within a run the same is
//! kept in RAM if the flash fails between 1 and 2. A report that is half-way through step 2 after a cut has marked some
//! pages of recipients; marking again changes nothing. The message of a report cannot be mistaken for another: ids only
//! grow while the report is on flash.
//!
//! # Room
//! Reports may take the room that the spool keeps for them. If even that is full the message stays as it is and the caller
//! asks again later. One report is made at a time.

mod link;

pub(crate) use link::{Kind, RecipientSet, ReportLink};

use crate::appliance::fitting;
use crate::{Appliance, Platform};
use crate::{attend, replies};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use dsn::{Action, Occasion, Report, Returned, Survey};
use embassy_futures::yield_now;
use envelope::{QueueId, RecipientParameters, Return, SenderParameters};
use events::Event;
use limits::relay::MESSAGE_READ_BYTES;
use platform::{Entropy, Mutex};
use settings::NextHopHost;
use spool::{
    Admission, Arrival, ArrivalInfo, Brief, Change, Class, MessageState, NewRecipient, Protocol, Recipient,
    RecipientState, Removal, SpoolError, Status,
};

/// How the reason of a recipient begins that was given up after its lifetime.
pub(crate) const GIVEN_UP: &str = "554 5.4.7 ";

/// Reports that are on flash while their message could not be marked, because the flash failed. There are hardly ever
/// any: a further report is only made after the first of them has been completed.
pub(crate) type Reports = Mutex<Vec<Unfinished>>;

/// A report that waits for its message to be marked.
#[derive(Debug)]
pub(crate) struct Unfinished {
    report: QueueId,
    link: ReportLink,
}

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

/// Whether a recipient is `Relayed` and not `Delivered` when the peer has taken the message: if the sender wants to hear
/// of it and the peer, which `offers_dsn` or not, will not report itself (RFC 3461 §5.2.2).
pub(crate) fn tells_of_delivery(parameters: &RecipientParameters, offers_dsn: bool) -> bool {
    parameters.wants_success() && !offers_dsn
}

/// Tells the sender of every recipient that failed, or whose delivery was to be reported, and was not told yet. Removes
/// the message if nobody is open after that; holds it in commissioning mode, or where a message without a sender failed
/// and no postmaster is set.
pub(crate) async fn settle<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Settled {
    later(appliance, id, Box::pin(tell(appliance, id, Behest::Schedule)).await)
}

/// Tells the sender that the message is delayed, once per message. Nothing to do where it was told before, where no open
/// recipient wants to be reported on, for messages without a sender, and in commissioning mode; the answer is the same.
pub(crate) async fn delayed<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Settled {
    later(appliance, id, Box::pin(warn(appliance, id)).await)
}

/// The operator gives a message up, or its recipients of one `domain`: those that are open fail with `reason`, and the
/// sender is told also in commissioning mode.
pub(crate) async fn bounce<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    domain: Option<&str>,
    reason: &str,
) -> Settled {
    let given_up = async {
        give_up(appliance, id, domain, reason).await?;
        tell(appliance, id, Behest::Operator).await
    };
    later(appliance, id, Box::pin(given_up).await)
}

/// Completes what a power cut interrupted: messages whose report was queued are marked as told, and messages of which
/// nothing is left end. Call it at the start, before anything is scheduled.
pub(crate) async fn recover<P: Platform>(appliance: &Appliance<'_, P>) {
    let mut reports = Vec::new();
    appliance.spool.for_each(|brief| {
        if brief.class == Class::Report {
            reports.push(brief.id);
        }
    });
    for report in reports {
        let Ok(Some(link)) = link_of(appliance, report).await else { continue };
        if link.kind == Kind::Reply {
            if let Err(error) = replies::recover(appliance, &link).await {
                appliance.spool_failed(link.about, error);
            }
            continue;
        }
        let marked = appliance.spool.brief(link.about).is_none_or(|about| link.number < about.reports);
        // Nothing more is ever said about a damaged message, so its report need not wait for it.
        if !marked
            && let Err(error) = mark(appliance, &link).await
            && error != SpoolError::Damaged
        {
            appliance.spool_failed(link.about, error);
            appliance.reports.lock().await.push(Unfinished { report, link });
        }
    }
    let mut finished = Vec::new();
    appliance.spool.for_each(|brief| {
        if brief.is_finished() && brief.state != MessageState::Damaged {
            finished.push(brief.id);
        }
    });
    for id in finished {
        if let Err(error) = end(appliance, id, Removal::Bounced).await {
            appliance.spool_failed(id, error);
        }
    }
}

/// Whether a stored message is a report that needs an 8-bit way; `None` if its facts are those of other mail.
pub(crate) fn is_eight_bit(facts: &[u8]) -> Option<bool> {
    ReportLink::from_bytes(facts).map(|link| link.eight_bit)
}

/// Whether a report waits for its message to be marked, and must not leave before that.
pub(crate) fn is_unfinished<P: Platform>(appliance: &Appliance<'_, P>, report: QueueId) -> bool {
    appliance.reports.try_lock().is_ok_and(|reports| reports.iter().any(|one| one.report == report))
}

/// Who wants the sender to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behest {
    Schedule,
    Operator,
}

fn later<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    told: Result<Settled, SpoolError>,
) -> Settled {
    told.unwrap_or_else(|error| match error {
        SpoolError::NoSuchMessage => Settled::Ended,
        error => {
            appliance.spool_failed(id, error);
            Settled::Later
        }
    })
}

/// What is to be said about a message.
#[derive(Debug, Default)]
struct Findings {
    /// Recipients that a report names.
    named: RecipientSet,
    /// Those, and recipients that nothing is to be said about although something became of them.
    settled: RecipientSet,
    failed: bool,
    relayed: bool,
    /// Why the first of them failed.
    reason: Option<Status>,
}

/// Whom a report goes to.
enum Addressee {
    Nobody,
    Sender,
    Postmaster(String),
    /// There is nobody, and it must not be forgotten.
    Operator(&'static str),
}

async fn tell<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    behest: Behest,
) -> Result<Settled, SpoolError> {
    let mut unfinished = appliance.reports.lock().await;
    complete(appliance, &mut unfinished, id).await?;
    let brief = appliance.spool.brief(id).ok_or(SpoolError::NoSuchMessage)?;
    if brief.state == MessageState::Damaged
        || (brief.state == MessageState::Held && behest == Behest::Schedule)
    {
        return Ok(Settled::Held);
    }
    let findings = outcomes(appliance, id).await?;
    if findings.settled.len() == 0 {
        return rest(appliance, &brief).await;
    }
    let commissioning = appliance.settings().commissioning && behest == Behest::Schedule;
    if commissioning && findings.failed {
        return hold_if_over(appliance, &brief, &findings, "failed, nobody is told (commissioning)").await;
    }
    let arrival = appliance.spool.arrival(id).await?;
    let link = |kind, settles: &RecipientSet| ReportLink {
        about: id,
        number: brief.reports,
        kind,
        eight_bit: false,
        settles: settles.clone(),
    };
    let (to, kind) = match addressee(appliance, &arrival, &findings, commissioning).await? {
        Addressee::Operator(why) => return hold_if_over(appliance, &brief, &findings, why).await,
        Addressee::Nobody => {
            mark_told(appliance, &brief, &link(Kind::Outcome, &findings.settled), 0).await?;
            return rest_of(appliance, id).await;
        }
        Addressee::Sender => (crate::actions::addressee(appliance, &arrival.sender), Kind::Outcome),
        Addressee::Postmaster(to) => (to, Kind::Undeliverable),
    };
    let occasion = match (kind, findings.failed) {
        (Kind::Undeliverable, _) => Occasion::Undeliverable,
        (_, true) => Occasion::Failure,
        (_, false) => Occasion::Success,
    };
    let draft = Draft { to: &to, occasion, named: &findings.named, link: link(kind, &findings.settled) };
    let Some(report) = draft.put(appliance, &arrival).await? else { return Ok(Settled::Later) };
    finish(appliance, &mut unfinished, report, true).await?;
    rest_of(appliance, id).await
}

async fn warn<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Result<Settled, SpoolError> {
    let mut unfinished = appliance.reports.lock().await;
    complete(appliance, &mut unfinished, id).await?;
    let brief = appliance.spool.brief(id).ok_or(SpoolError::NoSuchMessage)?;
    if brief.state != MessageState::Queued {
        return Ok(Settled::Held);
    }
    if brief.warned || brief.class == Class::Report || appliance.settings().commissioning {
        return Ok(Settled::Open);
    }
    let arrival = appliance.spool.arrival(id).await?;
    let mut named = RecipientSet::default();
    if !arrival.sender.is_empty() {
        each_recipient(appliance, id, |recipient| {
            if recipient.state.is_open() && RecipientParameters::from_bytes(&recipient.extra).wants_delay() {
                named.insert(recipient.index);
            }
        })
        .await?;
    }
    if named.len() == 0 {
        return Ok(Settled::Open);
    }
    let waited_s = moment(appliance).saturating_sub(brief.moment);
    let remaining_s = u64::from(appliance.settings().message_lifetime_s).saturating_sub(waited_s);
    let link = ReportLink {
        about: id,
        number: brief.reports,
        kind: Kind::Delay,
        eight_bit: false,
        settles: RecipientSet::default(),
    };
    let occasion = Occasion::Delay { waited_s, remaining_s };
    let draft = Draft { to: &arrival.sender, occasion, named: &named, link };
    let Some(report) = draft.put(appliance, &arrival).await? else { return Ok(Settled::Later) };
    finish(appliance, &mut unfinished, report, true).await?;
    Ok(Settled::Open)
}

/// Fails the recipients that are open, all or those of one domain.
async fn give_up<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    domain: Option<&str>,
    reason: &str,
) -> Result<(), SpoolError> {
    let status = Status::new(0, reason);
    let Some(domain) = domain else { return appliance.spool.bounce(id, &status, fitting(reason)).await };
    let mut chosen = RecipientSet::default();
    each_recipient(appliance, id, |recipient| {
        let of_domain =
            recipient.address.rsplit_once('@').is_some_and(|(_, d)| d.eq_ignore_ascii_case(domain));
        if of_domain && recipient.state.is_open() {
            chosen.insert(recipient.index);
        }
    })
    .await?;
    if chosen.len() == 0 {
        return Ok(());
    }
    let change = Change { moment: moment(appliance), ..Change::default() };
    let edit = |index: u16, state: &mut RecipientState| {
        if chosen.contains(index) && state.is_open() {
            *state = RecipientState::Failed(status.clone());
        }
    };
    appliance.spool.change_each(id, &change, edit).await
}

/// What became of recipients and was not told.
async fn outcomes<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Result<Findings, SpoolError> {
    let mut findings = Findings::default();
    each_recipient(appliance, id, |recipient| {
        let parameters = RecipientParameters::from_bytes(&recipient.extra);
        let wanted = match &recipient.state {
            RecipientState::Failed(status) => {
                findings.failed = true;
                findings.reason.get_or_insert_with(|| status.clone());
                parameters.wants_failure()
            }
            RecipientState::Relayed(_) => {
                findings.relayed = true;
                parameters.wants_success()
            }
            _ => return,
        };
        findings.settled.insert(recipient.index);
        if wanted {
            findings.named.insert(recipient.index);
        }
    })
    .await?;
    Ok(findings)
}

async fn addressee<P: Platform>(
    appliance: &Appliance<'_, P>,
    arrival: &ArrivalInfo,
    findings: &Findings,
    commissioning: bool,
) -> Result<Addressee, SpoolError> {
    if findings.named.len() == 0 || commissioning {
        return Ok(Addressee::Nobody);
    }
    if !arrival.sender.is_empty() {
        return Ok(Addressee::Sender);
    }
    // RFC 5321 §4.5.5, §6.1: nothing is ever sent to the null sender.
    if !findings.failed {
        return Ok(Addressee::Nobody);
    }
    let link = if arrival.class == Class::Report { link_of(appliance, arrival.id).await? } else { None };
    if link.as_ref().is_some_and(|link| link.kind == Kind::Reply) {
        return Ok(Addressee::Nobody);
    }
    if link.is_some_and(|link| link.kind == Kind::Undeliverable) {
        return Ok(Addressee::Operator("the postmaster could not be told"));
    }
    Ok(match &appliance.settings().postmaster {
        Some(postmaster) => Addressee::Postmaster(alloc::format!("{postmaster}")),
        None => Addressee::Operator("failed, has no sender, and no postmaster is set"),
    })
}

/// Keeps a message with failures that nobody is told of: held as soon as nobody is open any more.
async fn hold_if_over<P: Platform>(
    appliance: &Appliance<'_, P>,
    brief: &Brief,
    findings: &Findings,
    why: &str,
) -> Result<Settled, SpoolError> {
    if brief.recipients_open > 0 {
        return Ok(Settled::Open);
    }
    if brief.state != MessageState::Held {
        let last = findings.reason.as_ref().map_or("", |status| status.text.as_str());
        let reason = alloc::format!("{why}: {last}");
        appliance.hold(brief.id, &reason).await;
    }
    Ok(Settled::Held)
}

/// What is left of a message about which nothing is to be said now.
async fn rest<P: Platform>(appliance: &Appliance<'_, P>, brief: &Brief) -> Result<Settled, SpoolError> {
    if brief.recipients_open > 0 {
        return Ok(Settled::Open);
    }
    if brief.is_finished() {
        end(appliance, brief.id, Removal::Delivered).await?;
        return Ok(Settled::Ended);
    }
    // The counts in RAM say that somebody is owed a report, and flash does not.
    Err(SpoolError::Damaged)
}

async fn rest_of<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Result<Settled, SpoolError> {
    match appliance.spool.brief(id) {
        Some(brief) => rest(appliance, &brief).await,
        None => Ok(Settled::Ended),
    }
}

async fn end<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId, how: Removal) -> Result<(), SpoolError> {
    appliance.spool.remove(id, how).await?;
    let reason = match how {
        Removal::Delivered => "delivered",
        Removal::Bounced => "settled",
        Removal::Operator => "by the operator",
    };
    appliance.record(&Event::Removed { id, reason: reason.into() });
    Ok(())
}

/// Completes reports about `id`, and about messages that have left the queue, that are on flash and wait.
async fn complete<P: Platform>(
    appliance: &Appliance<'_, P>,
    unfinished: &mut Vec<Unfinished>,
    id: QueueId,
) -> Result<(), SpoolError> {
    let is_due = |one: &Unfinished| one.link.about == id || appliance.spool.brief(one.link.about).is_none();
    while let Some(place) = unfinished.iter().position(is_due) {
        let one = unfinished.swap_remove(place);
        finish(appliance, unfinished, one, false).await?;
    }
    Ok(())
}

/// Marks the message of a report that is on flash, then lets the report go. `fresh`: nothing has happened to the message
/// since the report was drafted.
async fn finish<P: Platform>(
    appliance: &Appliance<'_, P>,
    unfinished: &mut Vec<Unfinished>,
    one: Unfinished,
    fresh: bool,
) -> Result<(), SpoolError> {
    let brief = appliance.spool.brief(one.link.about);
    let marked = match &brief {
        // All that is owed is in this report: ending the message says so with one record.
        Some(brief) if fresh => {
            mark_told(appliance, brief, &one.link, one.link.number.saturating_add(1)).await
        }
        Some(_) => mark(appliance, &one.link).await,
        None => Ok(()),
    };
    if let Err(error) = marked
        && !matches!(error, SpoolError::NoSuchMessage | SpoolError::Damaged)
    {
        unfinished.push(one);
        return Err(error);
    }
    put_on_schedule(appliance, one.report);
    Ok(())
}

/// Marks what a report that was just made, or need not be made, says about a message; or ends it if nothing is left.
async fn mark_told<P: Platform>(
    appliance: &Appliance<'_, P>,
    brief: &Brief,
    link: &ReportLink,
    reports: u16,
) -> Result<(), SpoolError> {
    if brief.recipients_open == 0 && link.settles.len() == brief.recipients_unreported {
        return end(appliance, brief.id, Removal::Bounced).await;
    }
    mark_as(appliance, link, reports).await
}

async fn mark<P: Platform>(appliance: &Appliance<'_, P>, link: &ReportLink) -> Result<(), SpoolError> {
    mark_as(appliance, link, link.number.saturating_add(1)).await
}

async fn mark_as<P: Platform>(
    appliance: &Appliance<'_, P>,
    link: &ReportLink,
    reports: u16,
) -> Result<(), SpoolError> {
    let warned = link.kind == Kind::Delay;
    let change = Change { moment: moment(appliance), warned, reports, ..Change::default() };
    let edit = |index: u16, state: &mut RecipientState| {
        if !link.settles.contains(index) {
            return;
        }
        match state {
            RecipientState::Failed(status) => *state = RecipientState::Closed(status.clone()),
            RecipientState::Relayed(_) => *state = RecipientState::Delivered,
            _ => {}
        }
    };
    appliance.spool.change_each(link.about, &change, edit).await
}

/// A report before it is in the queue.
struct Draft<'d> {
    to: &'d str,
    occasion: Occasion,
    named: &'d RecipientSet,
    link: ReportLink,
}

impl Draft<'_> {
    /// Writes the report and commits it. `None`: there is no room for it now.
    async fn put<P: Platform>(
        mut self,
        appliance: &Appliance<'_, P>,
        arrival: &ArrivalInfo,
    ) -> Result<Option<Unfinished>, SpoolError> {
        let admission = Admission {
            size: None,
            recipients: 1,
            recipients_bytes: u32::try_from(self.to.len()).unwrap_or(u32::MAX),
            class: Class::Report,
        };
        let Ok(mut incoming) = appliance.spool.begin(admission) else { return Ok(None) };
        // Dropped on every way out but the last, the incoming report is forgotten.
        match self.write(appliance, arrival, &mut incoming).await {
            Ok(()) => {}
            Err(SpoolError::Full(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        let facts = self.link.to_bytes();
        let letter = Arrival {
            protocol: Protocol::Local,
            time: appliance.unix_seconds(),
            facts: &facts,
            moment: moment(appliance),
            ..Arrival::default()
        };
        let to = core::iter::once(NewRecipient::from(self.to));
        let report = match appliance.spool.commit(incoming, &letter, to).await {
            Ok(report) => report,
            Err(SpoolError::Full(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let about = match self.occasion {
            Occasion::Failure => "failure",
            Occasion::Delay { .. } => "delay",
            Occasion::Success => "success",
            Occasion::Undeliverable => "undeliverable",
        };
        appliance.record(&Event::Reported {
            id: self.link.about,
            report,
            to: self.to.into(),
            about: about.into(),
            recipients: self.named.len(),
        });
        Ok(Some(Unfinished { report, link: self.link }))
    }

    async fn write<'a, 'f, P: Platform>(
        &mut self,
        appliance: &'a Appliance<'f, P>,
        arrival: &ArrivalInfo,
        incoming: &mut IncomingOf<'a, 'f, P>,
    ) -> Result<(), SpoolError> {
        let id = self.link.about;
        let sender = SenderParameters::from_bytes(&arrival.sender_extra);
        let international = !arrival.sender.is_ascii();
        let whole = matches!(self.occasion, Occasion::Failure) && sender.ret == Some(Return::Full);
        let mut buffer = vec![0; MESSAGE_READ_BYTES].into_boxed_slice();
        let returned = survey(appliance, id, whole, international, &mut buffer).await?;
        let mut random = [0; 16];
        appliance.entropy.fill(&mut random);
        let host = String::from(appliance.settings().hostname());
        let report = Report {
            host: &host,
            to: self.to,
            occasion: self.occasion,
            id,
            random,
            now: appliance.unix_seconds(),
            arrived: arrival.time,
            received_from: &arrival.helo,
            envelope_id: sender.envelope_id.as_ref(),
            international,
            returned,
        };
        self.link.eight_bit = report.is_eight_bit();
        let reason = match self.occasion {
            Occasion::Delay { .. } => attend::last_reason(appliance, id).await?,
            _ => String::new(),
        };
        let circumstances = Circumstances {
            null_sender: arrival.sender.is_empty(),
            reason,
            last_attempt: appliance.spool.history(id).await?.last().and_then(|attempt| attempt.time),
            retry_until: match (self.occasion, appliance.unix_seconds()) {
                (Occasion::Delay { remaining_s, .. }, Some(now)) => Some(now.saturating_add(remaining_s)),
                _ => None,
            },
        };
        let mut out = Vec::new();
        let mut text = report.begin(&mut out);
        let mut pages = Pages::new(id);
        while let Some(page) = pages.next(appliance).await? {
            for recipient in page.iter().filter(|recipient| self.named.contains(recipient.index)) {
                circumstances.with(appliance, recipient, |recipient| text.recipient(recipient, &mut out));
            }
            append(appliance, incoming, &mut out).await?;
        }
        let mut status = text.end(&mut out);
        let mut pages = Pages::new(id);
        while let Some(page) = pages.next(appliance).await? {
            for recipient in page.iter().filter(|recipient| self.named.contains(recipient.index)) {
                circumstances.with(appliance, recipient, |recipient| status.recipient(recipient, &mut out));
            }
            append(appliance, incoming, &mut out).await?;
        }
        let mut content = status.end(&mut out);
        let mut offset = 0u32;
        while offset < returned.octets() {
            let count = match appliance.spool.read(id, offset, &mut buffer).await {
                Ok(count) => count,
                // It was readable a moment ago; what is missing is missing at its end.
                Err(SpoolError::Damaged) => 0,
                Err(error) => return Err(error),
            };
            if count == 0 {
                break;
            }
            offset = offset.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            let more = content.push(buffer.get(..count).unwrap_or_default(), &mut out);
            append(appliance, incoming, &mut out).await?;
            if !more {
                break;
            }
        }
        content.end(&mut out);
        append(appliance, incoming, &mut out).await
    }
}

type IncomingOf<'s, 'f, P> = spool::Incoming<'s, flash_log::Partition<'f, <P as Platform>::Flash>>;

async fn append<'a, 'f, P: Platform>(
    appliance: &'a Appliance<'f, P>,
    incoming: &mut IncomingOf<'a, 'f, P>,
    out: &mut Vec<u8>,
) -> Result<(), SpoolError> {
    appliance.spool.append(incoming, out).await?;
    out.clear();
    yield_now().await;
    Ok(())
}

/// What is the same for all recipients of a report.
struct Circumstances {
    null_sender: bool,
    /// Why a recipient waits that was never tried.
    reason: String,
    last_attempt: Option<u64>,
    retry_until: Option<u64>,
}

impl Circumstances {
    /// Shows a recipient to `each` as the report wants it.
    fn with<P: Platform>(
        &self,
        appliance: &Appliance<'_, P>,
        recipient: &Recipient,
        each: impl FnOnce(&dsn::Recipient<'_>),
    ) {
        let original = RecipientParameters::from_bytes(&recipient.extra).original;
        let action = match &recipient.state {
            RecipientState::Relayed(_) => Action::Relayed,
            state if state.is_open() => Action::Delayed,
            _ => Action::Failed,
        };
        let status = recipient.state.status();
        let reply = status.map_or(self.reason.as_str(), |status| status.text.as_str());
        // What is our own word was said by no other host.
        let replied = status.is_some_and(|status| status.code != 0 && !reply.starts_with(GIVEN_UP));
        let remote = if replied { remote(appliance, self.null_sender, &recipient.address) } else { None };
        each(&dsn::Recipient {
            address: &recipient.address,
            original: original.as_ref(),
            action,
            reply,
            remote: remote.as_deref(),
            last_attempt: status.and(self.last_attempt),
            retry_until: self.retry_until,
        });
    }
}

/// The host that mail to `address` goes to, as reports name hosts, if there is only one that it can be.
fn remote<P: Platform>(appliance: &Appliance<'_, P>, null_sender: bool, address: &str) -> Option<String> {
    let course = appliance.way(null_sender, address, |way| way.course())?;
    // Which of several it was is not kept.
    Some(match &course.only_host()?.host {
        NextHopHost::Name(name) => String::from(name.as_str()),
        NextHopHost::Address(address) => alloc::format!("[{address}]"),
    })
}

/// What can be returned of a message.
async fn survey<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    whole: bool,
    international: bool,
    buffer: &mut [u8],
) -> Result<Returned, SpoolError> {
    let mut survey = Survey::new();
    let size = appliance.spool.content_size(id).unwrap_or(0);
    let whole_fits = whole && size <= limits::dsn::RETURNED_MESSAGE_BYTES_MAX;
    let most =
        if whole { limits::dsn::RETURNED_MESSAGE_BYTES_MAX } else { limits::dsn::RETURNED_HEADER_BYTES_MAX };
    let mut offset = 0u32;
    // One octet more than fits shows that it does not.
    while offset <= most && (whole_fits || !survey.header_is_complete()) {
        let count = match appliance.spool.read(id, offset, buffer).await {
            Ok(count) => count,
            // A report that returns less is better than none.
            Err(SpoolError::Damaged) => return Ok(Survey::new().headers(international, None)),
            Err(error) => return Err(error),
        };
        if count == 0 {
            break;
        }
        survey.push(buffer.get(..count).unwrap_or_default());
        offset = offset.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        yield_now().await;
    }
    Ok(match whole_fits.then(|| survey.message(international)) {
        Some(Ok(message)) => message,
        Some(Err(omitted)) => survey.headers(international, Some(omitted)),
        None => survey.headers(international, whole.then_some(dsn::Omitted::TooLarge)),
    })
}

/// The recipients of a message, page by page.
struct Pages {
    id: QueueId,
    next: u16,
    page: Vec<Recipient>,
}

impl Pages {
    const fn new(id: QueueId) -> Self {
        Self { id, next: 0, page: Vec::new() }
    }

    async fn next<P: Platform>(
        &mut self,
        appliance: &Appliance<'_, P>,
    ) -> Result<Option<&[Recipient]>, SpoolError> {
        appliance.spool.recipients(self.id, self.next, &mut self.page).await?;
        let Some(last) = self.page.last() else { return Ok(None) };
        self.next = last.index.saturating_add(1);
        Ok(Some(&self.page))
    }
}

async fn each_recipient<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    mut each: impl FnMut(&Recipient),
) -> Result<(), SpoolError> {
    let mut pages = Pages::new(id);
    while let Some(page) = pages.next(appliance).await? {
        page.iter().for_each(&mut each);
    }
    Ok(())
}

async fn link_of<P: Platform>(
    appliance: &Appliance<'_, P>,
    report: QueueId,
) -> Result<Option<ReportLink>, SpoolError> {
    let mut facts = Vec::new();
    appliance.spool.facts(report, &mut facts).await?;
    Ok(ReportLink::from_bytes(&facts))
}

/// The present moment in the clock of the queue.
fn moment<P: Platform>(appliance: &Appliance<'_, P>) -> u64 {
    appliance.operating_seconds()
}

fn put_on_schedule<P: Platform>(appliance: &Appliance<'_, P>, report: QueueId) {
    appliance.schedule_again(report);
}
