//! The record of what a peer said, on flash before anything else happens, and what follows from it.

use super::connection::Connection;
use super::transaction::{Ending, Handed, Letter, Page, Word, meaning, retry_times, unreadable};
use crate::counters::count;
use crate::schedule::{After, Errand};
use crate::time::backoff_s;
use crate::{Appliance, Platform, replies};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use envelope::{EnhancedStatus, Permanence, RecipientParameters};
use events::Event as Told;
use limits::relay::ATTEND_AGAIN_S;
use platform::Stream;
use smtp::Reply;
use smtp::client::MessageOutcome;
use spool::{Attempt, Change, MessageState, RecipientState, Removal, SpoolError, Status};

/// What a failure means for one recipient.
pub(super) struct Failure {
    pub(super) reply: Option<Reply>,
    pub(super) text: String,
    pub(super) permanence: Permanence,
}

impl Failure {
    pub(super) fn from_reply(reply: &Reply) -> Self {
        Self { text: format!("{reply}"), permanence: reply.permanence(), reply: Some(reply.clone()) }
    }

    /// Our own word: the peer was not asked.
    pub(super) fn unfit(why: &str) -> Self {
        Self { reply: None, text: why.into(), permanence: Permanence::Permanent }
    }

    /// The new state of a recipient that had so many attempts before.
    fn state(&self, attempts: u8, pauses: &Pauses) -> RecipientState {
        let status = Status::new(self.reply.as_ref().map_or(0, |r| r.code), &self.text);
        match self.permanence {
            Permanence::Transient => RecipientState::Deferred {
                status,
                attempts: attempts.saturating_add(1),
                next_try: pauses.next_try(attempts),
            },
            Permanence::Permanent => RecipientState::Failed(status),
        }
    }
}

/// When recipients are tried again that failed in the same transaction: those with as many attempts at the same moment,
/// so that they stay together.
struct Pauses {
    now_s: u64,
    first_s: u32,
    max_s: u32,
    random: u32,
}

impl Pauses {
    fn next_try(&self, attempts: u8) -> u64 {
        let pause = backoff_s(self.first_s, self.max_s, attempts.into(), self.random);
        self.now_s.saturating_add(pause.into())
    }
}

/// What became of an errand in one transaction.
pub(super) struct Outcome {
    pub(super) after: After,
    /// Whether something came out that must be reported.
    pub(super) news: bool,
    /// The first recipient that did not fit into the transaction.
    pub(super) again_from: Option<u16>,
}

/// The new state of one recipient, and to whom the event about it is addressed.
struct Fate<'h> {
    index: u16,
    to: Option<&'h Handed>,
    state: RecipientState,
}

/// Puts the outcome of a transaction into the spool, tells it, and says what comes next.
pub(super) async fn record<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &Connection<'_, '_, P, S>,
    letter: &Letter,
    ending: Ending,
    handed: &[Handed],
    page: &mut Page,
) -> Outcome {
    let id = letter.arrival.id;
    // A refused MAIL, a message too large: the answer is for all that are due here, however many of them were handed over
    // before it came.
    let nobody_heard = handed.iter().all(|h| h.word == Word::None);
    let about_all =
        handed.is_empty() || (nobody_heard && matches!(ending, Ending::Answered(MessageOutcome::Refused(_))));
    let for_accepted = match meaning(ending, connection.client.is_in_doubt(), letter.transaction.size) {
        Ok(meaning) => meaning,
        Err(error) => return Outcome::only(unreadable(appliance, id, error).await),
    };
    let (first_s, max_s) = retry_times(appliance);
    let now_s = appliance.operating_seconds();
    let pauses = Pauses { now_s, first_s, max_s, random: appliance.random_u32() };
    let mut results = Vec::with_capacity(handed.len());
    for h in handed.iter().filter(|_| !about_all) {
        let state = match (&h.word, &for_accepted) {
            (Word::Later, _) | (Word::None, Ok(_)) => continue,
            (Word::Accepted, Ok(reply)) if h.tell_success => {
                RecipientState::Relayed(Status::new(reply.code, &format!("{reply}")))
            }
            (Word::Accepted, Ok(_)) => RecipientState::Delivered,
            (Word::Unfit(why), _) => Failure::unfit(why).state(h.attempts, &pauses),
            (Word::Refused(reply), _) => Failure::from_reply(reply).state(h.attempts, &pauses),
            (Word::Accepted | Word::None, Err(failure)) => failure.state(h.attempts, &pauses),
        };
        results.push(Fate { index: h.index, to: Some(h), state });
    }
    if let Err(failure) = &for_accepted
        && about_all
    {
        page.rewind(0);
        loop {
            match page.next(appliance).await {
                Ok(Some(recipient)) => {
                    let attempts = match recipient.state {
                        RecipientState::Deferred { attempts, .. } => attempts,
                        _ => 0,
                    };
                    let state = failure.state(attempts, &pauses);
                    let to = handed.iter().find(|h| h.index == recipient.index);
                    results.push(Fate { index: recipient.index, to, state });
                }
                Ok(None) => break,
                Err(error) => return Outcome::only(unreadable(appliance, id, error).await),
            }
        }
    }
    let again_from = handed.iter().find(|h| h.word == Word::Later).map(|h| h.index);
    let deferred = results.iter().filter_map(|result| match result.state {
        RecipientState::Deferred { next_try, .. } => Some(next_try),
        _ => None,
    });
    let next = deferred.chain(page.later()).min();
    let after = match (again_from, next) {
        (Some(_), _) => After::Again,
        (None, Some(moment)) => After::At(appliance.instant_of(moment)),
        (None, None) => After::Finished,
    };
    let news = results.iter().any(|result| result.state.is_unreported());
    let destination = letter.errand.destination;
    if handed.iter().any(|h| matches!(&h.word, Word::Refused(reply) if is_throttle(reply, false)))
        || matches!(&for_accepted, Err(Failure { reply: Some(reply), .. }) if is_throttle(reply, true))
    {
        appliance.schedule.throttled(destination, appliance.now());
    } else if for_accepted.is_ok() {
        appliance.schedule.took_one(destination, appliance.now());
    }
    let peer = connection.remote.ip();
    let reply = for_accepted.as_ref().ok();
    let after = match commit(appliance, letter, &results, peer, reply, after).await {
        Ok(after) => after,
        // Blocks have failed and nothing fits until something leaves (see the crate docs of the spool). The peer took
        // nothing, so nothing is sent twice by an attempt that is forgotten.
        Err(SpoolError::Full(_))
            if results.iter().all(|fate| matches!(fate.state, RecipientState::Deferred { .. })) =>
        {
            after
        }
        Err(error) => {
            // What the peer took must not be sent again because our flash fails: off the schedule until a restart.
            appliance.spool_failed(id, error);
            appliance.schedule.explain(id, "its outcome could not be written to flash");
            After::Off
        }
    };
    tell(appliance, letter, &results, peer, reply, now_s);
    if after == After::Gone {
        appliance.record(&Told::Removed { id, reason: "delivered".into() });
    }
    // Whatever could not be written must not be tried again in this connection either.
    let again_from = again_from.filter(|_| after == After::Again);
    Outcome { after, news, again_from }
}

impl Outcome {
    const fn only(after: After) -> Self {
        Self { after, news: false, again_from: None }
    }
}

/// Fails every recipient that is open at the destination of an errand, without having asked anybody. Returns what comes
/// next, and whether there is something to report.
pub(super) async fn refuse<P: Platform>(
    appliance: &Appliance<'_, P>,
    errand: Errand,
    status: EnhancedStatus,
    text: &str,
) -> (After, bool) {
    let id = errand.id;
    if appliance.spool.brief(id).is_none_or(|brief| brief.state != MessageState::Queued) {
        return (After::Off, false);
    }
    match fail_all(appliance, errand, status, text).await {
        Ok(any) => (After::Finished, any),
        Err(error) => (unreadable(appliance, id, error).await, false),
    }
}

/// Does all recipients of an errand whose mail is thrown away. Returns as [`refuse`].
pub(super) async fn discard<P: Platform>(appliance: &Appliance<'_, P>, errand: Errand) -> (After, bool) {
    let id = errand.id;
    if appliance.spool.brief(id).is_none_or(|brief| brief.state != MessageState::Queued) {
        return (After::Off, false);
    }
    match discard_all(appliance, errand).await {
        Ok(done) => done,
        Err(error) => (unreadable(appliance, id, error).await, false),
    }
}

async fn discard_all<P: Platform>(
    appliance: &Appliance<'_, P>,
    errand: Errand,
) -> Result<(After, bool), SpoolError> {
    let id = errand.id;
    let arrival = appliance.spool.arrival(id).await?;
    let null_sender = arrival.sender.is_empty();
    let mut page = Page::of(errand, null_sender, u64::MAX);
    let (mut states, mut news) = (Vec::new(), false);
    while let Some(recipient) = page.next(appliance).await? {
        if !Box::pin(replies::answer(appliance, &arrival, recipient)).await? {
            return Ok((After::At(appliance.now().plus_s(ATTEND_AGAIN_S)), false));
        }
        let dsn = RecipientParameters::from_bytes(&recipient.extra);
        let tell = !null_sender && dsn.wants_success();
        news |= tell;
        let state = if tell {
            RecipientState::Relayed(Status::new(250, "250 2.0.0 taken and thrown away, as it is set"))
        } else {
            RecipientState::Delivered
        };
        states.push((recipient.index, state));
    }
    let Some(brief) = appliance.spool.brief(id) else { return Ok((After::Gone, false)) };
    let all = usize::from(brief.recipients_open) <= states.len() && brief.recipients_unreported == 0;
    if all && !news {
        appliance.spool.remove(id, Removal::Delivered).await?;
        appliance.record(&Told::Removed { id, reason: "thrown away, as it is set".into() });
        return Ok((After::Gone, false));
    }
    let change = Change { moment: appliance.operating_seconds(), ..Change::default() };
    appliance.spool.change(id, &states, &change).await?;
    Ok((After::Finished, news))
}

async fn fail_all<P: Platform>(
    appliance: &Appliance<'_, P>,
    errand: Errand,
    status: EnhancedStatus,
    text: &str,
) -> Result<bool, SpoolError> {
    let id = errand.id;
    let null_sender = appliance.spool.arrival(id).await?.sender.is_empty();
    let mut page = Page::of(errand, null_sender, u64::MAX);
    let (mut states, mut addresses) = (Vec::new(), Vec::new());
    // Our own word, as of a message that is too large: no peer has said it.
    let failed = RecipientState::Failed(Status::new(0, text));
    while let Some(recipient) = page.next(appliance).await? {
        states.push((recipient.index, failed.clone()));
        addresses.push(recipient.address.clone());
    }
    if states.is_empty() {
        return Ok(false);
    }
    let change = Change {
        moment: appliance.operating_seconds(),
        attempt: Some(Attempt::new(appliance.unix_seconds(), 0, text)),
        reason: Some(text),
        ..Change::default()
    };
    appliance.spool.change(id, &states, &change).await?;
    count(&appliance.counters.failed, u64::try_from(states.len()).unwrap_or(u64::MAX));
    for to in &addresses {
        let (to, reply) = (to.as_str().into(), text.into());
        appliance.record(&Told::Failed { id, to, peer: None, code: 0, status: Some(status), reply });
    }
    Ok(true)
}

/// Whether a refusal is about how much we send, or about how much the peer can do at all, and not about a recipient or a
/// message: 4yz with a status of the kinds that say so (RFC 3463 §3.4, §3.5, §3.8), or without any where it is about all.
fn is_throttle(reply: &Reply, about_all: bool) -> bool {
    if reply.permanence() != Permanence::Transient {
        return false;
    }
    match reply.status {
        Some(EnhancedStatus(4, 7, _) | EnhancedStatus(4, 4, 5) | EnhancedStatus(4, 3, 1 | 2)) => true,
        Some(_) => false,
        None => about_all,
    }
}

/// Writes the new states to flash. The whole message is removed with one record if everybody has it and nobody is to be
/// told.
async fn commit<P: Platform>(
    appliance: &Appliance<'_, P>,
    letter: &Letter,
    results: &[Fate<'_>],
    peer: IpAddr,
    reply: Option<&Reply>,
    after: After,
) -> Result<After, SpoolError> {
    let id = letter.arrival.id;
    let Some(brief) = appliance.spool.brief(id) else { return Ok(After::Gone) };
    let closed = results.iter().filter(|result| !result.state.is_open()).count();
    let owed = results.iter().any(|result| result.state.is_unreported());
    if usize::from(brief.recipients_open) <= closed && brief.recipients_unreported == 0 && !owed {
        appliance.spool.remove(id, Removal::Delivered).await?;
        return Ok(After::Gone);
    }
    // What still waits is the reason why the message is here; what failed has an end of its own, and `Relayed` is none.
    let of = |wanted: fn(&RecipientState) -> bool| {
        results.iter().filter(|result| wanted(&result.state)).find_map(|result| result.state.status())
    };
    let failure = of(|state| matches!(state, RecipientState::Deferred { .. }))
        .or_else(|| of(|state| matches!(state, RecipientState::Failed(_))));
    let (code, said) = match (failure, reply) {
        (Some(status), _) => (status.code, status.text.as_str()),
        (None, Some(reply)) => (reply.code, &*reply.text),
        (None, None) => (0, ""),
    };
    let change = Change {
        moment: appliance.operating_seconds(),
        attempt: Some(Attempt::new(appliance.unix_seconds(), code, &format!("{peer}: {said}"))),
        // A transaction without a failure leaves the reason of an earlier one.
        reason: failure.map(|status| status.text.as_str()),
        ..Change::default()
    };
    let states: Vec<_> = results.iter().map(|result| (result.index, result.state.clone())).collect();
    appliance.spool.change(id, &states, &change).await?;
    Ok(after)
}

/// One event for each recipient, after the flash has it.
fn tell<P: Platform>(
    appliance: &Appliance<'_, P>,
    letter: &Letter,
    results: &[Fate<'_>],
    peer: IpAddr,
    delivered: Option<&Reply>,
    now_s: u64,
) {
    let arrival = &letter.arrival;
    let delay_s = u32::try_from(now_s.saturating_sub(arrival.moment)).unwrap_or(u32::MAX);
    let counters = &appliance.counters;
    for result in results {
        let to = result.to.map_or("", |handed| handed.mailbox.as_str());
        let (id, to) = (arrival.id, to.into());
        match &result.state {
            RecipientState::Delivered | RecipientState::Relayed(_) => {
                count(&counters.delivered, 1);
                let size = u32::try_from(letter.transaction.size).unwrap_or(u32::MAX);
                let (code, status) = delivered.map_or((250, None), |r| (r.code, r.status));
                let reply = delivered.map_or("", |r| &*r.text).into();
                appliance.record(&Told::Delivered { id, to, peer, size, delay_s, code, status, reply });
            }
            RecipientState::Deferred { status: Status { code, text }, next_try, .. } => {
                count(&counters.deferred, 1);
                let retry_s = u32::try_from(next_try.saturating_sub(now_s)).unwrap_or(u32::MAX);
                let (peer, code, reply) = (Some(peer), *code, text.as_str().into());
                appliance.record(&Told::Deferred { id, to, peer, code, status: None, reply, retry_s });
            }
            RecipientState::Failed(Status { code, text }) => {
                count(&counters.failed, 1);
                let (peer, code, reply) = (Some(peer), *code, text.as_str().into());
                appliance.record(&Told::Failed { id, to, peer, code, status: None, reply });
            }
            RecipientState::Pending | RecipientState::Closed(_) => {}
        }
    }
}
