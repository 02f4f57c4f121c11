//! One errand over one connection: its recipients, its content, what the peer said.

use super::connection::{Buffers, Connection, Interrupted, end_text};
use super::form::{Form, NOT_CONVERTIBLE, UTF8_NOT_TAKEN, UTF8_RECIPIENT_NOT_TAKEN};
use super::outcome::{Failure, record};
use crate::counters::count;
use crate::loops::MARKER_PLACE;
use crate::report::tells_of_delivery;
use crate::schedule::{After, Errand};
use crate::time::backoff_s;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use embassy_futures::yield_now;
use envelope::{Body, Mailbox, Permanence, QueueId, RecipientParameters, ReversePath, SenderParameters};
use limits::relay::{DUE_TOGETHER_S, UNREADABLE_AGAIN_S};
use platform::Stream;
use smime::{Audience, Emitter, Recipe};
use smtp::Reply;
use smtp::client::{
    BeginError, Capabilities, End, Event, MessageOutcome, RecipientOutcome, RecipientQuestion, Transaction,
};
use spool::{ArrivalInfo, MessageState, Recipient, RecipientState, SpoolError};

/// What became of an errand, and of the connection.
pub(super) struct Verdict {
    pub(super) after: After,
    /// Whether something came out that must be reported.
    pub(super) news: bool,
    /// Whether the connection may be ready for another message.
    pub(super) reusable: bool,
}

/// One recipient that was handed to the peer.
pub(super) struct Handed {
    pub(super) index: u16,
    pub(super) mailbox: Mailbox,
    /// Attempts before this one.
    pub(super) attempts: u8,
    /// Whether its sender wants to hear of the delivery, and the peer will not tell.
    pub(super) tell_success: bool,
    pub(super) word: Word,
}

/// The peer's word on one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    None,
    Accepted,
    /// Not in this transaction, but at once in another.
    Later,
    Refused(Reply),
    /// Not asked, because the peer cannot take it; our own words for it.
    Unfit(&'static str),
}

/// How one transaction ended.
pub(super) enum Ending {
    /// The peer answered for the whole message.
    Answered(MessageOutcome),
    /// The connection is over, and why.
    Closed(End),
    /// It cannot begin: the message is too large for the peer.
    TooLarge(u64),
    /// It cannot begin: the peer does not take such a message; our own words for it.
    Unfit(&'static str),
    /// The stored message cannot be read: the connection must not go on.
    Unreadable(SpoolError),
}

/// Everything that stays the same over the transactions of one errand.
pub(super) struct Letter {
    pub(super) errand: Errand,
    pub(super) arrival: ArrivalInfo,
    recipe: Recipe,
    form: Form,
    pub(super) transaction: Transaction,
    /// Whether it goes to an Exchange server of the site.
    exchange: bool,
}

impl Letter {
    /// The loop marker of this transaction; `None` for strangers.
    fn marker<P: Platform>(&self, appliance: &Appliance<'_, P>, handed: &[Handed]) -> Option<Vec<u8>> {
        let to = handed.iter().filter(|handed| matches!(handed.word, Word::Accepted | Word::None));
        self.exchange.then(|| appliance.loop_marker(&self.arrival.origin, to.map(|handed| &handed.mailbox)))
    }
}

/// Who a message leaves to.
fn audience(marker: Option<&[u8]>) -> Audience<'_> {
    marker.map_or(Audience::Internet, |marker| Audience::Exchange { marker })
}

/// Delivers a message over a connection that is ready: to all recipients that are due at its destination, in as many
/// transactions as the peer wants.
pub(super) async fn deliver<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &mut Connection<'_, '_, P, S>,
    errand: Errand,
    connection_was_used: bool,
) -> Verdict {
    if appliance.spool.brief(errand.id).is_some_and(|brief| brief.state != MessageState::Queued) {
        // Held while somebody had it in hands, because its states or its recipe have decayed.
        return Verdict { after: After::Off, news: false, reusable: true };
    }
    let letter = match load(appliance, errand).await {
        Ok(Some(letter)) => letter,
        // No recipe that this firmware understands: decide anew.
        Ok(None) => return Verdict { after: After::Decide, news: false, reusable: true },
        Err(error) => return unread(appliance, errand.id, error).await,
    };
    let mut page = Page::new(appliance, &letter);
    let (mut news, mut tried) = (false, false);
    loop {
        // Nothing is said to the peer for nobody.
        match page.seek(appliance).await {
            Ok(true) => {}
            Ok(false) => return Verdict { after: page.after(appliance), news, reusable: true },
            Err(error) => return unread(appliance, errand.id, error).await,
        }
        let mut handed = Vec::new();
        let ending = transact(appliance, connection, &letter, &mut page, &mut handed).await;
        if let Ending::Closed(end) = &ending
            && let Some(after) = sent_away(appliance, connection, &letter, end, &handed, connection_was_used)
        {
            // Who was deferred in an earlier transaction is not tried again at once.
            let after = if tried && after == After::Untried { After::Again } else { after };
            return Verdict { after, news, reusable: false };
        }
        tried = true;
        let reusable = matches!(ending, Ending::Answered(_) | Ending::TooLarge(_) | Ending::Unfit(_));
        let outcome = record(appliance, connection, &letter, ending, &handed, &mut page).await;
        news |= outcome.news;
        let Some(index) = outcome.again_from.filter(|_| reusable) else {
            return Verdict { after: outcome.after, news, reusable };
        };
        // Some recipients did not fit into this transaction; progress was made, so this ends.
        if !connection.is_ready_again().await {
            return Verdict { after: After::Again, news, reusable: false };
        }
        if connection.is_spent() {
            return Verdict { after: After::Again, news, reusable: true };
        }
        page.rewind(index);
    }
}

async fn unread<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId, error: SpoolError) -> Verdict {
    Verdict { after: unreadable(appliance, id, error).await, news: false, reusable: true }
}

/// What follows if the peer ended the connection and not the transaction; `None` if it was about these recipients.
fn sent_away<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &Connection<'_, '_, P, S>,
    letter: &Letter,
    end: &End,
    handed: &[Handed],
    connection_was_used: bool,
) -> Option<After> {
    if connection.client.is_in_doubt() {
        return None;
    }
    if connection_was_used && handed.iter().all(|h| h.word == Word::None) {
        // The peer had enough of this connection, not of this message: try another one at once.
        return Some(After::Untried);
    }
    let End::Refused(reply) = end else { return None };
    let errand = letter.errand;
    let (now, random) = (appliance.now(), appliance.random_u32());
    let reason = format!("{}: {reply}", connection.remote);
    let pause = appliance.schedule.sent_away(errand.destination, &reason, now, random);
    let (first_s, max_s) = retry_times(appliance);
    // If it is about this message after all, others must not wait behind it for ever.
    let retry_s = backoff_s(first_s, max_s, errand.sent_away.into(), random).max(pause.unwrap_or(0));
    appliance.schedule.explain(errand.id, &reason);
    appliance.record(&events::Event::Deferred {
        id: errand.id,
        to: "".into(),
        peer: Some(connection.remote.ip()),
        code: reply.code,
        status: reply.status,
        reply: (&*reply.text).into(),
        retry_s,
    });
    Some(After::SentAway(now.plus_s(retry_s.into())))
}

/// The first and the longest pause between two attempts for a recipient.
pub(super) fn retry_times<P: Platform>(appliance: &Appliance<'_, P>) -> (u32, u32) {
    let settings = appliance.settings();
    (settings.retry_first_s, settings.retry_max_s)
}

async fn load<P: Platform>(
    appliance: &Appliance<'_, P>,
    errand: Errand,
) -> Result<Option<Letter>, SpoolError> {
    let id = errand.id;
    let arrival = appliance.spool.arrival(id).await?;
    let mut bytes = Vec::new();
    if !appliance.spool.recipe(id, &mut bytes).await? {
        return Ok(None);
    }
    let Ok(recipe) = Recipe::from_bytes(&bytes) else { return Ok(None) };
    appliance.spool.facts(id, &mut bytes).await?;
    let form = Form::of(&arrival, &recipe, &bytes);
    let exchange = appliance.schedule.is_exchange(errand.destination);
    let audience = audience(exchange.then_some(MARKER_PLACE));
    let transaction = Transaction {
        sender: ReversePath::parse(&arrival.sender).map_err(|_| SpoolError::Damaged)?,
        size: recipe.emitted_size(arrival.size, audience).into(),
        // Known when it is known who takes it.
        body: Body::SevenBit,
        utf8: form.utf8,
        dsn: SenderParameters::from_bytes(&arrival.sender_extra),
    };
    Ok(Some(Letter { errand, arrival, recipe, form, transaction, exchange }))
}

/// Runs one transaction to the peer's answer. Nothing is recorded here.
async fn transact<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &mut Connection<'_, '_, P, S>,
    letter: &Letter,
    page: &mut Page,
    handed: &mut Vec<Handed>,
) -> Ending {
    let peer = connection.client.capabilities();
    let body = match letter.form.body(peer) {
        Ok(body) => body,
        Err(why) => return Ending::Unfit(why),
    };
    let mut transaction = Transaction { body, ..letter.transaction.clone() };
    if body == Body::BinaryMime {
        // Said before the first octet, and to the octet.
        transaction.size = match emitted_octets(appliance, connection, letter).await {
            Ok(octets) => octets,
            Err(error) => return Ending::Unreadable(error),
        };
    }
    match connection.client.begin(&transaction) {
        Ok(()) => {}
        Err(BeginError::TooLarge(most)) => return Ending::TooLarge(most),
        Err(BeginError::BinaryNotOffered) => return Ending::Unfit(NOT_CONVERTIBLE),
        Err(BeginError::Utf8NotOffered) => return Ending::Unfit(UTF8_NOT_TAKEN),
        Err(BeginError::NotReady) => return Ending::Closed(End::Disconnected),
    }
    connection.transactions = connection.transactions.saturating_add(1);
    // Recipients that the peer is not asked about.
    let mut unasked = Vec::new();
    let ending = loop {
        match connection.next().await {
            Event::WantRecipient(question) => {
                let next = page.next(appliance).await;
                if let Err(error) = hand_over(connection, letter, question, next, handed, &mut unasked) {
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
            Event::WantContent => match send_content(appliance, connection, letter, body, handed).await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => connection.read_last_words(why).await,
                Err(error) => return Ending::Unreadable(error),
            },
            Event::Message(outcome) => break Ending::Answered(outcome),
            Event::Closed(end) => return Ending::Closed(end),
            Event::Ready => return Ending::Closed(End::Disconnected),
        }
    };
    handed.append(&mut unasked);
    ending
}

fn hand_over<P: Platform, S: Stream>(
    connection: &mut Connection<'_, '_, P, S>,
    letter: &Letter,
    question: RecipientQuestion,
    next: Result<Option<&Recipient>, SpoolError>,
    handed: &mut Vec<Handed>,
    unasked: &mut Vec<Handed>,
) -> Result<(), SpoolError> {
    let Some(recipient) = next? else {
        connection.client.no_more_recipients(question);
        return Ok(());
    };
    let mailbox = Mailbox::parse(&recipient.address).map_err(|_| SpoolError::Damaged)?;
    let dsn = RecipientParameters::from_bytes(&recipient.extra);
    let peer = connection.client.capabilities();
    let attempts = match recipient.state {
        RecipientState::Deferred { attempts, .. } => attempts,
        _ => 0,
    };
    let tell_success = letter.transaction.sender != ReversePath::Null && tells_of_delivery(&dsn, peer.dsn);
    let index = recipient.index;
    if is_beyond(peer, &mailbox, handed) {
        connection.client.no_more_recipients(question);
        unasked.push(Handed { index, mailbox, attempts, tell_success, word: Word::Later });
    } else if connection.client.recipient(question, &mailbox, &dsn) {
        handed.push(Handed { index, mailbox, attempts, tell_success, word: Word::None });
    } else {
        let word = Word::Unfit(UTF8_RECIPIENT_NOT_TAKEN);
        unasked.push(Handed { index, mailbox, attempts, tell_success, word });
    }
    Ok(())
}

/// Whether a recipient is one more than the peer takes in one transaction, by the limits that it announced (RFC 9422 §4).
fn is_beyond(peer: Capabilities, next: &Mailbox, handed: &[Handed]) -> bool {
    let reached = |most: Option<u32>, count: usize| {
        most.is_some_and(|most| count >= usize::try_from(most).unwrap_or(usize::MAX))
    };
    if reached(peer.recipients_max, handed.len()) {
        return true;
    }
    let Some(most) = peer.recipient_domains_max else { return false };
    if handed.iter().any(|other| other.mailbox.domain() == next.domain()) {
        return false;
    }
    // One new domain after the other: each is counted where it stands first.
    let first = |(at, one): &(usize, &Handed)| {
        !handed.iter().take(*at).any(|other| other.mailbox.domain() == one.mailbox.domain())
    };
    reached(Some(most), handed.iter().enumerate().filter(first).count())
}

/// The recipients of a message that are due at one destination, read page by page.
pub(super) struct Page {
    errand: Errand,
    null_sender: bool,
    /// Who is to be tried after this moment is not due.
    due_by: u64,
    recipients: Vec<Recipient>,
    next: u16,
    used: usize,
    /// The earliest moment of those that are not due.
    later: Option<u64>,
}

impl Page {
    fn new<P: Platform>(appliance: &Appliance<'_, P>, letter: &Letter) -> Self {
        let due_by = if letter.errand.hurried {
            u64::MAX
        } else {
            appliance.operating_seconds().saturating_add(DUE_TOGETHER_S)
        };
        Self::of(letter.errand, letter.transaction.sender == ReversePath::Null, due_by)
    }

    /// All that are open at the destination of an errand and due by a moment.
    pub(super) const fn of(errand: Errand, null_sender: bool, due_by: u64) -> Self {
        Self { errand, null_sender, due_by, recipients: Vec::new(), next: 0, used: 0, later: None }
    }

    /// Goes back to a recipient.
    pub(super) fn rewind(&mut self, index: u16) {
        self.recipients.clear();
        (self.next, self.used) = (index, 0);
    }

    /// What follows if nobody is due any more.
    fn after<P: Platform>(&self, appliance: &Appliance<'_, P>) -> After {
        self.later.map_or(After::Finished, |moment| After::At(appliance.instant_of(moment)))
    }

    /// The earliest moment of those that were not due.
    pub(super) const fn later(&self) -> Option<u64> {
        self.later
    }

    /// Goes on to the next recipient that is due here, without taking it. Returns whether there is one.
    async fn seek<P: Platform>(&mut self, appliance: &Appliance<'_, P>) -> Result<bool, SpoolError> {
        loop {
            while let Some(recipient) = self.recipients.get(self.used) {
                if self.is_due(appliance, recipient) {
                    return Ok(true);
                }
                if let RecipientState::Deferred { next_try, .. } = recipient.state
                    && next_try > self.due_by
                    && self.is_here(appliance, recipient)
                {
                    self.later = Some(self.later.map_or(next_try, |later| later.min(next_try)));
                }
                self.used += 1;
            }
            appliance.spool.recipients(self.errand.id, self.next, &mut self.recipients).await?;
            self.used = 0;
            match self.recipients.last() {
                Some(last) => self.next = last.index.saturating_add(1),
                None => return Ok(false),
            }
        }
    }

    fn is_due<P: Platform>(&self, appliance: &Appliance<'_, P>, recipient: &Recipient) -> bool {
        let due = match recipient.state {
            RecipientState::Pending => true,
            RecipientState::Deferred { next_try, .. } => next_try <= self.due_by,
            _ => false,
        };
        due && self.is_here(appliance, recipient)
    }

    fn is_here<P: Platform>(&self, appliance: &Appliance<'_, P>, recipient: &Recipient) -> bool {
        appliance.way(self.null_sender, &recipient.address, |way| {
            appliance.schedule.is_named(self.errand.destination, &way.name)
        })
    }

    /// The next recipient that is due here.
    pub(super) async fn next<P: Platform>(
        &mut self,
        appliance: &Appliance<'_, P>,
    ) -> Result<Option<&Recipient>, SpoolError> {
        if !self.seek(appliance).await? {
            return Ok(None);
        }
        self.used += 1;
        Ok(self.recipients.get(self.used - 1))
    }
}

/// Counts what would leave.
async fn emitted_octets<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &mut Connection<'_, '_, P, S>,
    letter: &Letter,
) -> Result<u64, SpoolError> {
    let audience = audience(letter.exchange.then_some(MARKER_PLACE));
    let mut emitter = Box::new(Emitter::new(&letter.recipe, audience));
    let (mut offset, mut octets) = (0u32, 0u64);
    let Buffers { stored, emitted, .. } = &mut *connection.buffers;
    loop {
        let read = appliance.spool.read(letter.arrival.id, offset, stored).await?;
        if read == 0 {
            break;
        }
        offset = offset.saturating_add(u32::try_from(read).unwrap_or(u32::MAX));
        emitter.push(stored.get(..read).unwrap_or_default(), emitted);
        octets = octets.saturating_add(emitted.len() as u64);
        emitted.clear();
        yield_now().await;
    }
    emitter.finish(emitted);
    octets = octets.saturating_add(emitted.len() as u64);
    emitted.clear();
    Ok(octets)
}

/// Streams flash → emitter → client → wire.
async fn send_content<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &mut Connection<'_, '_, P, S>,
    letter: &Letter,
    body: Body,
    handed: &[Handed],
) -> Result<Result<(), Interrupted>, SpoolError> {
    if let Err(why) = connection.send().await {
        return Ok(Err(why));
    }
    let marker = letter.marker(appliance, handed);
    let audience = audience(marker.as_deref());
    // Alone in memory because of its size: the worker's future stays small.
    let mut emitter = Box::new(match letter.form.conversion(connection.client.capabilities()) {
        Some(facts) => Emitter::seven_bit(&letter.recipe, audience, facts),
        None => Emitter::new(&letter.recipe, audience),
    });
    let mut offset = 0u32;
    let mut last = b'\n';
    loop {
        let stored = &mut connection.buffers.stored;
        let read = appliance.spool.read(letter.arrival.id, offset, stored).await?;
        if read == 0 {
            break;
        }
        offset = offset.saturating_add(u32::try_from(read).unwrap_or(u32::MAX));
        let (stored, emitted) = (&connection.buffers.stored, &mut connection.buffers.emitted);
        emitter.push(stored.get(..read).unwrap_or_default(), emitted);
        last = emitted.last().copied().unwrap_or(last);
        count(&appliance.counters.delivered_bytes, emitted.len() as u64);
        if let Err(why) = connection.send_content().await {
            return Ok(Err(why));
        }
        yield_now().await;
    }
    if offset != letter.arrival.size {
        return Err(SpoolError::Damaged);
    }
    let emitted = &mut connection.buffers.emitted;
    emitter.finish(emitted);
    if emitted.last().copied().unwrap_or(last) != b'\n' && body != Body::BinaryMime {
        // RFC 3030 §2: what came by BDAT may end without a line end; DATA cannot.
        emitted.extend_from_slice(b"\r\n");
    }
    count(&appliance.counters.delivered_bytes, connection.buffers.emitted.len() as u64);
    if let Err(why) = connection.send_content().await {
        return Ok(Err(why));
    }
    if let Err(why) = connection.flush_content().await {
        return Ok(Err(why));
    }
    if connection.client.content_end().is_err() {
        return Ok(Err(Interrupted::Broken));
    }
    Ok(connection.send().await.map(|_| ()))
}

/// What a transaction that ended without a word on each recipient means for them.
pub(super) fn meaning(
    ending: Ending,
    in_doubt: bool,
    size: u64,
) -> Result<Result<Reply, Failure>, SpoolError> {
    Ok(match ending {
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
            let doubt = if in_doubt { ", the peer may have taken it" } else { "" };
            let text = format!("{}{doubt}", end_text(&end));
            Err(Failure { reply: None, text, permanence: Permanence::Transient })
        }
        Ending::TooLarge(most) => Err(Failure {
            // Our own word: the peer was not asked.
            reply: None,
            text: format!("552 5.3.4 {size} octets, the next hop takes {most}"),
            permanence: Permanence::Permanent,
        }),
        Ending::Unfit(why) => Err(Failure::unfit(why)),
        Ending::Unreadable(error) => return Err(error),
    })
}

/// The stored message cannot be read: it is kept for the operator.
pub(super) async fn unreadable<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    error: SpoolError,
) -> After {
    if error == SpoolError::NoSuchMessage {
        return After::Gone;
    }
    appliance.spool_failed(id, error);
    match error {
        SpoolError::Damaged => {
            appliance.hold(id, "cannot be read: a stored record is damaged").await;
            After::Off
        }
        _ => After::At(appliance.now().plus_s(UNREADABLE_AGAIN_S)),
    }
}
