//! One message over one connection: its recipients, its content, what the peer said, and the record of it.

use super::connection::{Broken, Connection, end_text};
use crate::counters::count;
use crate::schedule::{Next, Step};
use crate::time::backoff_s;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use embassy_futures::yield_now;
use envelope::{
    Body, EnhancedStatus, Mailbox, Permanence, QueueId, RecipientParameters, ReversePath, SenderParameters,
};
use events::Event as Told;
use platform::Stream;
use smime::{Emitter, Facts, Recipe};
use smtp::Reply;
use smtp::client::{
    BeginError, End, Event, MessageOutcome, RecipientOutcome, RecipientQuestion, Transaction,
};
use spool::{ArrivalInfo, Attempt, Change, Recipient, RecipientState, Removal, SpoolError, Status};

/// What became of a message, and of the connection.
pub(super) struct Verdict {
    pub(super) next: Next,
    /// Whether the connection is ready for another message.
    pub(super) reusable: bool,
}

/// One recipient that was handed to the peer.
struct Handed {
    index: u16,
    mailbox: Mailbox,
    word: Word,
}

/// The peer's word on one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    None,
    Accepted,
    /// Not in this transaction, but at once in another.
    Later,
    Refused(Reply),
}

/// How one transaction ended.
enum Ending {
    /// The peer answered for the whole message.
    Answered(MessageOutcome),
    /// The connection is over: why, whether the peer may have the message, and whether it had been asked anything.
    Closed(End),
    /// It cannot begin: the message is too large for the peer.
    TooLarge(u64),
    /// The stored message cannot be read: the connection must not go on.
    Unreadable(SpoolError),
}

/// Everything that stays the same over the transactions of one message.
struct Letter {
    arrival: ArrivalInfo,
    recipe: Recipe,
    transaction: Transaction,
}

/// Delivers a message over a connection that is ready: to all recipients that are open, in as many transactions as the
/// peer wants.
pub(super) async fn deliver<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &mut Connection<'_, '_, P, S>,
    id: QueueId,
    connection_was_used: bool,
) -> Verdict {
    let letter = match load(appliance, id).await {
        Ok(Some(letter)) => letter,
        // No recipe that this firmware understands: decide anew.
        Ok(None) => return Verdict { next: Next::Now(Step::Decide), reusable: true },
        Err(error) => return Verdict { next: unreadable(appliance, id, error).await, reusable: true },
    };
    let mut first = 0u16;
    loop {
        let mut handed = Vec::new();
        let ending = transact(appliance, connection, &letter, &mut first, &mut handed).await;
        let again = handed.iter().any(|h| h.word == Word::Later);
        let too_large = matches!(ending, Ending::TooLarge(_));
        let reusable = too_large || matches!(ending, Ending::Answered(_));
        if let Ending::Closed(end) = &ending
            && connection_was_used
            && !connection.client.is_in_doubt()
            && handed.iter().all(|h| h.word == Word::None)
        {
            // The peer had enough of this connection, not of this message: try another one at once.
            _ = end;
            return Verdict { next: Next::Now(Step::Deliver), reusable: false };
        }
        let next = record(appliance, connection, &letter, ending, &handed).await;
        if !reusable {
            return Verdict { next, reusable: false };
        }
        if too_large {
            // Nothing was said to the peer, so nothing comes back.
            return Verdict { next, reusable: true };
        }
        if handed.is_empty() || next == Next::Nothing || !again {
            let reusable = connection_is_ready(connection).await;
            return Verdict { next, reusable };
        }
        // Some recipients did not fit into this transaction; progress was made, so this ends.
        if !connection_is_ready(connection).await {
            return Verdict { next, reusable: false };
        }
        first = handed.iter().find(|h| h.word == Word::Later).map_or(0, |h| h.index);
    }
}

async fn connection_is_ready<P: Platform, S: Stream>(connection: &mut Connection<'_, '_, P, S>) -> bool {
    matches!(connection.next().await, Event::Ready)
}

async fn load<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Result<Option<Letter>, SpoolError> {
    let arrival = appliance.spool.arrival(id).await?;
    let mut bytes = Vec::new();
    if !appliance.spool.recipe(id, &mut bytes).await? {
        return Ok(None);
    }
    let Ok(recipe) = Recipe::from_bytes(&bytes) else { return Ok(None) };
    appliance.spool.facts(id, &mut bytes).await?;
    // Facts of another version: assume what harms least.
    let eight_bit = Facts::from_bytes(&bytes)
        .map_or(true, |facts| if recipe.is_signed() { facts.eight_bit_when_signed } else { facts.eight_bit });
    let transaction = Transaction {
        sender: ReversePath::parse(&arrival.sender).map_err(|_| SpoolError::Damaged)?,
        size: recipe.emitted_size(arrival.size).into(),
        body: if eight_bit { Body::EightBitMime } else { Body::SevenBit },
        dsn: SenderParameters::from_bytes(&arrival.sender_extra),
    };
    Ok(Some(Letter { arrival, recipe, transaction }))
}

/// Runs one transaction to the peer's answer. Nothing is recorded here.
async fn transact<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &mut Connection<'_, '_, P, S>,
    letter: &Letter,
    first: &mut u16,
    handed: &mut Vec<Handed>,
) -> Ending {
    match connection.client.begin(&letter.transaction) {
        Ok(()) => {}
        Err(BeginError::TooLarge(most)) => return Ending::TooLarge(most),
        Err(BeginError::NotReady) => return Ending::Closed(End::Disconnected),
    }
    let mut page = Page::new(*first);
    loop {
        match connection.next().await {
            Event::WantRecipient(question) => {
                let next = page.next_open(appliance, letter.arrival.id).await;
                if let Err(error) = hand_over(connection, question, next, handed) {
                    return Ending::Unreadable(error);
                }
            }
            Event::Recipient { index, outcome } => {
                if let Some(handed) = usize::try_from(index).ok().and_then(|i| handed.get_mut(i)) {
                    handed.word = match outcome {
                        RecipientOutcome::Accepted => Word::Accepted,
                        RecipientOutcome::Refused(reply) => Word::Refused(reply),
                        RecipientOutcome::TooManyRecipients(_) => Word::Later,
                    };
                }
            }
            Event::WantContent => match send_content(appliance, connection, letter).await {
                Ok(Ok(())) => {}
                Ok(Err(Broken)) => connection.client.disconnected(),
                Err(error) => return Ending::Unreadable(error),
            },
            Event::Message(outcome) => return Ending::Answered(outcome),
            Event::Closed(end) => return Ending::Closed(end),
            Event::Ready => return Ending::Closed(End::Disconnected),
        }
    }
}

fn hand_over<P: Platform, S: Stream>(
    connection: &mut Connection<'_, '_, P, S>,
    question: RecipientQuestion,
    next: Result<Option<Recipient>, SpoolError>,
    handed: &mut Vec<Handed>,
) -> Result<(), SpoolError> {
    match next? {
        None => connection.client.no_more_recipients(question),
        Some(recipient) => {
            let mailbox = Mailbox::parse(&recipient.address).map_err(|_| SpoolError::Damaged)?;
            let dsn = RecipientParameters::from_bytes(&recipient.extra);
            connection.client.recipient(question, &mailbox, &dsn);
            handed.push(Handed { index: recipient.index, mailbox, word: Word::None });
        }
    }
    Ok(())
}

/// The recipients of a message, read page by page.
struct Page {
    recipients: Vec<Recipient>,
    next: u16,
    used: usize,
}

impl Page {
    fn new(first: u16) -> Self {
        Self { recipients: Vec::new(), next: first, used: 0 }
    }

    /// The next recipient that still needs an attempt.
    async fn next_open<P: Platform>(
        &mut self,
        appliance: &Appliance<'_, P>,
        id: QueueId,
    ) -> Result<Option<Recipient>, SpoolError> {
        loop {
            while let Some(recipient) = self.recipients.get(self.used) {
                self.used += 1;
                if recipient.state.is_open() {
                    return Ok(Some(recipient.clone()));
                }
            }
            appliance.spool.recipients(id, self.next, &mut self.recipients).await?;
            self.used = 0;
            match self.recipients.last() {
                Some(last) => self.next = last.index.saturating_add(1),
                None => return Ok(None),
            }
        }
    }
}

/// Streams flash → emitter → client → wire.
async fn send_content<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &mut Connection<'_, '_, P, S>,
    letter: &Letter,
) -> Result<Result<(), Broken>, SpoolError> {
    // Alone in memory because of its size: the worker's future stays small.
    let mut emitter = Box::new(Emitter::new(&letter.recipe));
    let mut offset = 0u32;
    loop {
        let stored = &mut connection.buffers.stored;
        let read = appliance.spool.read(letter.arrival.id, offset, stored).await?;
        if read == 0 {
            break;
        }
        offset = offset.saturating_add(u32::try_from(read).unwrap_or(u32::MAX));
        let (stored, emitted) = (&connection.buffers.stored, &mut connection.buffers.emitted);
        emitter.push(stored.get(..read).unwrap_or_default(), emitted);
        count(&appliance.counters.delivered_bytes, emitted.len() as u64);
        if connection.send_content().await.is_err() {
            return Ok(Err(Broken));
        }
        yield_now().await;
    }
    if offset != letter.arrival.size {
        return Err(SpoolError::Damaged);
    }
    emitter.finish(&mut connection.buffers.emitted);
    count(&appliance.counters.delivered_bytes, connection.buffers.emitted.len() as u64);
    let sent = connection.send_content().await.is_ok() && connection.flush_content().await.is_ok();
    if !sent || connection.client.content_end().is_err() {
        return Ok(Err(Broken));
    }
    Ok(connection.send().await.map(|_| ()))
}

/// What a failure means for one recipient.
struct Failure {
    reply: Option<Reply>,
    text: String,
    permanence: Permanence,
}

impl Failure {
    fn from_reply(reply: &Reply) -> Self {
        Self { text: format!("{reply}"), permanence: reply.permanence(), reply: Some(reply.clone()) }
    }

    fn state(&self) -> RecipientState {
        let status = Status::new(self.reply.as_ref().map_or(0, |r| r.code), &self.text);
        match self.permanence {
            Permanence::Transient => RecipientState::Deferred { status, attempts: 1, next_try: 0 },
            Permanence::Permanent => RecipientState::Failed(status),
        }
    }
}

/// Puts the outcome of a transaction into the spool, tells it, and says what comes next.
async fn record<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &Connection<'_, '_, P, S>,
    letter: &Letter,
    ending: Ending,
    handed: &[Handed],
) -> Next {
    let id = letter.arrival.id;
    let for_accepted = match ending {
        Ending::Answered(MessageOutcome::Delivered(reply)) => Ok(reply),
        Ending::Answered(MessageOutcome::Refused(reply)) => Err(Failure::from_reply(&reply)),
        // Nobody was accepted: each recipient has its own answer.
        Ending::Answered(MessageOutcome::NoRecipients) => Err(Failure {
            reply: None,
            text: "no recipient was accepted".into(),
            permanence: Permanence::Transient,
        }),
        Ending::Closed(End::Refused(reply)) => {
            Err(Failure { permanence: Permanence::Transient, ..Failure::from_reply(&reply) })
        }
        Ending::Closed(end) => {
            let doubt = if connection.client.is_in_doubt() { ", the peer may have taken it" } else { "" };
            let text = format!("{}{doubt}", end_text(&end));
            Err(Failure { reply: None, text, permanence: Permanence::Transient })
        }
        Ending::TooLarge(most) => Err(Failure {
            reply: Some(Reply::new(552, EnhancedStatus(5, 3, 4), "")),
            text: format!("552 5.3.4 {} octets, the next hop takes {most}", letter.transaction.size),
            permanence: Permanence::Permanent,
        }),
        Ending::Unreadable(error) => return unreadable(appliance, id, error).await,
    };
    let mut states: Vec<(u16, RecipientState)> = Vec::with_capacity(handed.len());
    for h in handed {
        let failure = match (&h.word, &for_accepted) {
            (Word::Later, _) => continue,
            (Word::Accepted, Ok(_)) => {
                states.push((h.index, RecipientState::Delivered));
                continue;
            }
            (Word::Refused(reply), _) => Failure::from_reply(reply).state(),
            (Word::Accepted | Word::None, Err(failure)) => failure.state(),
            (Word::None, Ok(_)) => continue,
        };
        states.push((h.index, failure));
    }
    // A refused MAIL, a message too large: no recipient was handed over, and the answer is for all that are open.
    let for_all = match &for_accepted {
        Err(failure) if handed.is_empty() => Some(failure),
        _ => None,
    };
    if let Some(failure) = for_all
        && let Err(error) = all_open(appliance, id, failure, &mut states).await
    {
        return unreadable(appliance, id, error).await;
    }
    let outcome = Outcome { appliance, letter, states, handed };
    let next = outcome.commit().await;
    outcome.tell(connection.remote.ip(), for_accepted.as_ref().ok(), next);
    next
}

async fn all_open<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    failure: &Failure,
    states: &mut Vec<(u16, RecipientState)>,
) -> Result<(), SpoolError> {
    let mut page = Page::new(0);
    while let Some(recipient) = page.next_open(appliance, id).await? {
        states.push((recipient.index, failure.state()));
    }
    Ok(())
}

struct Outcome<'o, 'f, P: Platform> {
    appliance: &'o Appliance<'f, P>,
    letter: &'o Letter,
    states: Vec<(u16, RecipientState)>,
    handed: &'o [Handed],
}

impl<P: Platform> Outcome<'_, '_, P> {
    /// Writes the new states to flash. The whole message is removed with one record if everybody has it.
    async fn commit(&self) -> Next {
        let (appliance, id) = (self.appliance, self.letter.arrival.id);
        let Some(brief) = appliance.spool.brief(id) else { return Next::Nothing };
        let closed = self.states.iter().filter(|(_, state)| !state.is_open()).count();
        let failed_now = self.states.iter().any(|(_, state)| matches!(state, RecipientState::Failed(_)));
        let still_open = usize::from(brief.recipients_open).saturating_sub(closed);
        let written = if still_open > 0 {
            self.commit_deferred(brief.attempts).await
        } else if let Some(failure) = self.any_failure(failed_now, brief.recipients).await {
            self.commit_failed(&failure).await
        } else {
            appliance.spool.remove(id, Removal::Delivered).await.map(|()| Next::Nothing)
        };
        match written {
            Ok(next) => next,
            Err(error) => {
                // What the peer took must not be sent again because our flash fails: off the schedule until a restart.
                appliance.spool_failed(id, error);
                appliance.schedule.explain(id, "its outcome could not be written to flash");
                Next::Nothing
            }
        }
    }

    /// The text of a recipient's failure, in this attempt or an earlier one.
    async fn any_failure(&self, failed_now: bool, recipients: u16) -> Option<String> {
        if failed_now {
            return self.first_failure().map(|status| status.text.as_str().into());
        }
        if usize::from(recipients) == self.handed.len() {
            return None;
        }
        let id = self.letter.arrival.id;
        let mut page = Vec::new();
        let mut next = 0;
        while self.appliance.spool.recipients(id, next, &mut page).await.is_ok() {
            for recipient in &page {
                if let RecipientState::Failed(status) = &recipient.state {
                    return Some(status.text.as_str().into());
                }
            }
            match page.last() {
                Some(last) => next = last.index.saturating_add(1),
                None => return None,
            }
        }
        // Keep it for the operator rather than call it delivered.
        Some("its recipients cannot be read".into())
    }

    /// Nobody is open any more and somebody failed: the message stays for the operator.
    async fn commit_failed(&self, reason: &str) -> Result<Next, SpoolError> {
        let id = self.letter.arrival.id;
        self.appliance.spool.change(id, &self.states, &self.attempt(reason)).await?;
        self.appliance.hold(id, reason).await;
        Ok(Next::Nothing)
    }

    async fn commit_deferred(&self, attempts: u16) -> Result<Next, SpoolError> {
        let (appliance, id) = (self.appliance, self.letter.arrival.id);
        let postponed_only = self.handed.iter().any(|h| h.word == Word::Later)
            && !self.states.iter().any(|(_, state)| matches!(state, RecipientState::Deferred { .. }));
        let (first_s, max_s) = (appliance.settings().retry_first_s, appliance.settings().retry_max_s);
        let pause = backoff_s(first_s, max_s, attempts.into(), appliance.random_u32());
        let reason = self.first_failure().map_or_else(String::new, |status| status.text.as_str().into());
        appliance.spool.change(id, &self.states, &self.attempt(&reason)).await?;
        if postponed_only {
            return Ok(Next::Now(Step::Deliver));
        }
        if is_expired(appliance, id) {
            return Ok(expire(appliance, id, &reason).await);
        }
        Ok(Next::At(appliance.now().plus_s(pause.into()), Step::Deliver))
    }

    fn first_failure(&self) -> Option<&Status> {
        self.states.iter().find_map(|(_, state)| state.status())
    }

    /// What is recorded about this attempt. A transaction without a failure leaves the reason of an earlier one.
    fn attempt<'r>(&self, reason: &'r str) -> Change<'r> {
        let code = self.first_failure().map_or(250, |status| status.code);
        Change {
            attempt: Some(Attempt::new(self.appliance.unix_seconds(), code, reason)),
            reason: (!reason.is_empty()).then_some(reason),
            ..Change::default()
        }
    }

    /// One event for each recipient, after the flash has it.
    fn tell(&self, peer: core::net::IpAddr, delivered: Option<&Reply>, next: Next) {
        let (appliance, arrival) = (self.appliance, &self.letter.arrival);
        let retry_s = match next {
            Next::At(at, _) => {
                u32::try_from(at.micros_since(appliance.now()) / 1_000_000).unwrap_or(u32::MAX)
            }
            Next::Now(_) | Next::Nothing => 0,
        };
        let delay_s = match (arrival.time, appliance.unix_seconds()) {
            (Some(then), Some(now)) => u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX),
            _ => 0,
        };
        let counters = &appliance.counters;
        for (index, state) in &self.states {
            let to = self.handed.iter().find(|h| h.index == *index).map_or("", |h| h.mailbox.as_str());
            let (id, to) = (arrival.id, to.into());
            match state {
                RecipientState::Delivered => {
                    count(&counters.delivered, 1);
                    let size = u32::try_from(self.letter.transaction.size).unwrap_or(u32::MAX);
                    let (code, status) = delivered.map_or((250, None), |r| (r.code, r.status));
                    let reply = delivered.map_or("", |r| &*r.text).into();
                    appliance.record(&Told::Delivered { id, to, peer, size, delay_s, code, status, reply });
                }
                RecipientState::Deferred { status: Status { code, text }, .. } => {
                    count(&counters.deferred, 1);
                    let (peer, code, reply) = (Some(peer), *code, text.as_str().into());
                    appliance.record(&Told::Deferred { id, to, peer, code, status: None, reply, retry_s });
                }
                RecipientState::Failed(Status { code, text }) => {
                    count(&counters.failed, 1);
                    let (peer, code, reply) = (Some(peer), *code, text.as_str().into());
                    appliance.record(&Told::Failed { id, to, peer, code, status: None, reply });
                }
                RecipientState::Pending | RecipientState::Relayed(_) | RecipientState::Closed(_) => {}
            }
        }
        if appliance.spool.brief(arrival.id).is_none() {
            appliance.record(&Told::Removed { id: arrival.id, reason: "delivered".into() });
        }
    }
}

/// The stored message cannot be read: it is kept for the operator.
async fn unreadable<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId, error: SpoolError) -> Next {
    if error == SpoolError::NoSuchMessage {
        return Next::Nothing;
    }
    appliance.spool_failed(id, error);
    match error {
        SpoolError::Damaged => appliance.hold(id, "cannot be read: a stored record is damaged").await,
        _ => return Next::At(appliance.now().plus_s(60), Step::Deliver),
    }
    Next::Nothing
}

/// Whether a message has waited longer than mail is kept. While the time is unknown nothing expires.
pub(super) fn is_expired<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> bool {
    let lifetime_s = u64::from(appliance.settings().message_lifetime_s);
    let arrived = appliance.spool.brief(id).and_then(|brief| brief.time);
    match (arrived, appliance.unix_seconds()) {
        (Some(arrived), Some(now)) => now.saturating_sub(arrived) > lifetime_s,
        _ => false,
    }
}

/// Fails every recipient that is still open, because the message is too old; it stays for the operator.
pub(super) async fn expire<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId, last: &str) -> Next {
    let reason = format!("given up after its lifetime; last: {last}");
    let failure = Failure {
        reply: Some(Reply::new(554, EnhancedStatus(5, 4, 7), "")),
        text: reason.clone(),
        permanence: Permanence::Permanent,
    };
    let mut states = Vec::new();
    let written = match all_open(appliance, id, &failure, &mut states).await {
        Ok(()) => {
            let change = Change { reason: Some(&reason), ..Change::default() };
            appliance.spool.change(id, &states, &change).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = written {
        return unreadable(appliance, id, error).await;
    }
    count(&appliance.counters.failed, states.len() as u64);
    appliance.hold(id, &reason).await;
    Next::Nothing
}
