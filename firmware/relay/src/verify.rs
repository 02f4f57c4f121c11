//! Whether an address exists, as the server says that has it.
//!
//! *Own domains*: the mailbox is asked for with RCPT at the server that its mail would go to, in a transaction without
//! sender that is broken off (RFC 5321 §3.3 lets a client do so at any time). So a stranger who asks for an address that
//! Exchange does not have hears `550 5.1.1` here and not later in a report, and a program that sends from an address that
//! nobody could answer is told at once. It also makes this gateway answer truly when others call back.
//!
//! *Other domains*: no mailbox is asked for; that would be a burden to people who have nothing to do with us, and many
//! answer it with a block. Of a sender there it is only looked up whether DNS knows any way to answer.
//!
//! # What is not known harms nobody
//! A server that is down, slow, or says 4yz, and a DNS that is silent, make the answer [`Verification::Unknown`], and the
//! mail is taken as if nobody had asked. Only a clear "no such mailbox" refuses.
//!
//! # Memory
//! Answers are kept in RAM, at most [`VERIFIED_COUNT_MAX`], so that a mailing costs one question for each address. One
//! probe runs at a time, with a bound on all of it.

use crate::delivery::Search;
use crate::resolver::LookupError;
use crate::route::Hosts;
use crate::time::within;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use core::cell::RefCell;
use envelope::{
    Body, EnhancedStatus, Mailbox, Permanence, RecipientParameters, ReversePath, SenderParameters,
};
use limits::relay::{FIRST_LOOK_CONNECT_S, REPLY_READ_BYTES};
use limits::routing::{
    VERIFIED_COUNT_MAX, VERIFIED_NO_S, VERIFIED_UNKNOWN_S, VERIFIED_YES_S, VERIFY_PLACES_COUNT_MAX, VERIFY_S,
};
use platform::embedded_io_async::Write as _;
use platform::{Connector, Instant, Mutex, Stream};
use smtp::Reply;
use smtp::client::{Client, Event, RecipientOutcome, Transaction, Utf8};

/// What became of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verification {
    /// There is such an address.
    Exists,
    /// There is none: what to answer.
    Refused(Reply),
    /// Nobody could say, or nobody is to be asked.
    Unknown,
}

/// An answer as it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    NoMailbox,
    NoDomain,
    NullMx,
    Unknown,
}

impl Known {
    const fn lasts_s(self) -> u64 {
        match self {
            Self::Yes => VERIFIED_YES_S,
            Self::NoMailbox | Self::NoDomain | Self::NullMx => VERIFIED_NO_S,
            Self::Unknown => VERIFIED_UNKNOWN_S,
        }
    }
}

/// Answers of a while ago.
#[derive(Debug, Default)]
struct Memory {
    answers: BTreeMap<Box<str>, (Instant, Known)>,
}

impl Memory {
    fn find(&self, key: &str, now: Instant) -> Option<Known> {
        self.answers.get(key).filter(|(until, _)| *until > now).map(|(_, known)| *known)
    }

    fn keep(&mut self, key: &str, known: Known, now: Instant) {
        if self.answers.len() >= VERIFIED_COUNT_MAX && !self.answers.contains_key(key) {
            self.answers.retain(|_, (until, _)| *until > now);
            let soonest =
                self.answers.iter().min_by_key(|(_, (until, _))| *until).map(|(key, _)| key.clone());
            if let Some(soonest) = soonest.filter(|_| self.answers.len() >= VERIFIED_COUNT_MAX) {
                self.answers.remove(&soonest);
            }
        }
        self.answers.insert(key.into(), (now.plus_s(known.lasts_s()), known));
    }
}

/// What is kept between questions.
pub(crate) struct Verifier {
    memory: RefCell<Memory>,
    turn: Mutex<()>,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { memory: RefCell::default(), turn: Mutex::new(()) }
    }
}

impl Verifier {
    /// Forgets everything: addresses have been made or removed, or the routes changed.
    pub(crate) fn forget(&self) {
        self.memory.borrow_mut().answers.clear();
    }
}

/// Asks whether a recipient of an own domain exists; of other domains nothing is known. Takes up to
/// [`VERIFY_S`] seconds; dropping it half-way forgets the question.
pub(crate) async fn recipient<P: Platform>(appliance: &Appliance<'_, P>, to: &Mailbox) -> Verification {
    if !appliance.domains().is_internal(to.domain()) || appliance.actions().action_for(to.as_str()).is_some()
    {
        return Verification::Unknown;
    }
    match mailbox(appliance, to).await {
        Known::Yes => Verification::Exists,
        Known::NoMailbox => {
            let text = "No such recipient here";
            Verification::Refused(Reply::new(550, EnhancedStatus(5, 1, 1), text))
        }
        _ => Verification::Unknown,
    }
}

/// Asks whether a sender could be answered: in an own domain, whether the mailbox exists; in another, whether DNS knows a
/// server. The null sender is [`Verification::Unknown`]. Takes as long as [`recipient`].
pub(crate) async fn sender<P: Platform>(appliance: &Appliance<'_, P>, from: &ReversePath) -> Verification {
    let Some(from) = from.mailbox() else { return Verification::Unknown };
    let known = if appliance.actions().action_for(from.as_str()).is_some() {
        Known::Yes
    } else if appliance.domains().is_internal(from.domain()) {
        mailbox(appliance, from).await
    } else if from.literal_address().is_some() {
        Known::Unknown
    } else {
        domain(appliance, from.domain()).await
    };
    let no = |status, text| Verification::Refused(Reply::new(550, status, text));
    match known {
        Known::Yes => Verification::Exists,
        Known::NoMailbox => no(EnhancedStatus(5, 1, 0), "Sender address does not exist"),
        Known::NoDomain => no(EnhancedStatus(5, 1, 8), "Sender domain cannot be answered: no mail server"),
        // RFC 7505 §4.2.
        Known::NullMx => no(EnhancedStatus(5, 7, 27), "Sender domain takes no mail"),
        Known::Unknown => Verification::Unknown,
    }
}

async fn domain<P: Platform>(appliance: &Appliance<'_, P>, domain: &str) -> Known {
    let resolver = appliance.resolver();
    let asked = within(&appliance.timer, VERIFY_S, async {
        match resolver.mx(domain).await {
            Ok(list) if list.iter().all(|mx| mx.exchange.is_root()) => Known::NullMx,
            Ok(_) => Known::Yes,
            Err(LookupError::NoSuchName) => Known::NoDomain,
            Err(LookupError::Temporary(_)) => Known::Unknown,
            Err(LookupError::NoData) => match resolver.addresses(domain).await {
                Ok(_) => Known::Yes,
                Err(LookupError::Temporary(_)) => Known::Unknown,
                Err(_) => Known::NoDomain,
            },
        }
    });
    // DNS has a memory of its own.
    asked.await.unwrap_or(Known::Unknown)
}

async fn mailbox<P: Platform>(appliance: &Appliance<'_, P>, mailbox: &Mailbox) -> Known {
    let key = mailbox.as_str().to_lowercase();
    let remembered = || appliance.verifier.memory.borrow().find(&key, appliance.now());
    if let Some(known) = remembered() {
        return known;
    }
    let asking = async {
        let _turn = appliance.verifier.turn.lock().await;
        // Somebody else may have asked the same while this one waited.
        match remembered() {
            Some(known) => known,
            None => probe(appliance, mailbox).await,
        }
    };
    let known = within(&appliance.timer, VERIFY_S, Box::pin(asking)).await.unwrap_or(Known::Unknown);
    appliance.verifier.memory.borrow_mut().keep(&key, known, appliance.now());
    known
}

/// Asks the first server of the mailbox's destination that answers.
async fn probe<P: Platform>(appliance: &Appliance<'_, P>, mailbox: &Mailbox) -> Known {
    let Some(course) = appliance.way(false, mailbox.as_str(), |way| way.course()) else {
        return Known::Unknown;
    };
    if course.hosts == Hosts::Nobody {
        return Known::Yes;
    }
    let us = appliance.ourselves();
    let Ok(mut search) = Search::begin(appliance, &course, &us).await else { return Known::Unknown };
    let source = course.connect_from();
    let hello: Box<str> = course.helo.clone().unwrap_or_else(|| appliance.settings().hostname().into());
    let mut connector = appliance.connectors.lease().await;
    for _ in 0..VERIFY_PLACES_COUNT_MAX {
        let Some(remote) = search.next(appliance).await else { break };
        let connecting = connector.connect(remote, &source);
        let Ok(Ok(mut stream)) = within(&appliance.timer, FIRST_LOOK_CONNECT_S, connecting).await else {
            continue;
        };
        let word = ask(&mut stream, hello.clone(), mailbox).await;
        // The transaction ends with the connection.
        _ = stream.write(b"QUIT\r\n").await;
        _ = stream.flush().await;
        stream.close().await;
        match word {
            Some(word) => return meaning(&word),
            None => continue,
        }
    }
    Known::Unknown
}

/// What a word on a recipient says about the mailbox.
fn meaning(word: &RecipientOutcome) -> Known {
    match word {
        RecipientOutcome::Accepted => Known::Yes,
        RecipientOutcome::Refused(reply) if reply.permanence() == Permanence::Permanent => match reply.status
        {
            // RFC 3463 §3.2: about the address. 5.2.1: there is a mailbox, and it takes nothing.
            None | Some(EnhancedStatus(5, 1, _) | EnhancedStatus(5, 2, 1)) => Known::NoMailbox,
            // About us, or about policy: it says nothing about the mailbox.
            Some(_) => Known::Unknown,
        },
        _ => Known::Unknown,
    }
}

/// Names the mailbox to a server as the recipient of a message without sender, and returns its word.
async fn ask<S: Stream>(stream: &mut S, hello: Box<str>, mailbox: &Mailbox) -> Option<RecipientOutcome> {
    let mut client = Box::new(Client::new(hello));
    let transaction = Transaction {
        sender: ReversePath::Null,
        size: 0,
        body: Body::SevenBit,
        utf8: Utf8::No,
        dsn: SenderParameters::default(),
    };
    let mut buffer = vec![0; REPLY_READ_BYTES].into_boxed_slice();
    let (mut start, mut end) = (0, 0);
    let mut handed = false;
    loop {
        let (taken, event) = client.receive(buffer.get(start..end).unwrap_or_default());
        start += taken;
        match event {
            Some(Event::Ready) => client.begin(&transaction).ok()?,
            // The right to name a second recipient is not used and not given back: without that there is no DATA.
            Some(Event::WantRecipient(_)) if handed => {}
            Some(Event::WantRecipient(question)) => {
                handed = true;
                client.recipient(question, mailbox, &RecipientParameters::default());
            }
            Some(Event::Recipient { outcome, .. }) => return Some(outcome),
            Some(_) => return None,
            None if taken > 0 => {}
            None => {
                while !client.transmit().is_empty() {
                    let count = stream.write(client.transmit()).await.ok().filter(|count| *count > 0)?;
                    client.transmitted(count);
                }
                stream.flush().await.ok()?;
                buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
                let room = buffer.get_mut(end..).filter(|room| !room.is_empty())?;
                end += stream.read(room).await.ok().filter(|count| *count > 0)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn the_memory_is_bounded_and_answers_expire_by_their_kind() {
        let mut memory = Memory::default();
        let now = Instant(0).plus_s(10);
        for n in 0..=VERIFIED_COUNT_MAX {
            memory.keep(&format!("u{n}@site.example"), Known::Yes, now.plus_s(n as u64));
        }
        assert_eq!(memory.answers.len(), VERIFIED_COUNT_MAX);
        assert_eq!(memory.find("u0@site.example", now), None);
        for (known, lasts) in [
            (Known::Yes, VERIFIED_YES_S),
            (Known::NoMailbox, VERIFIED_NO_S),
            (Known::Unknown, VERIFIED_UNKNOWN_S),
        ] {
            memory.keep("one@site.example", known, now);
            assert_eq!(memory.find("one@site.example", now.plus_s(lasts - 1)), Some(known));
            assert_eq!(memory.find("one@site.example", now.plus_s(lasts)), None);
        }
    }

    #[test]
    fn only_a_word_about_the_address_says_that_there_is_none() {
        let said = |code, status| RecipientOutcome::Refused(Reply { code, status, text: "".into() });
        for (word, known) in [
            (RecipientOutcome::Accepted, Known::Yes),
            (said(550, Some(EnhancedStatus(5, 1, 1))), Known::NoMailbox),
            (said(550, Some(EnhancedStatus(5, 1, 10))), Known::NoMailbox),
            (said(550, None), Known::NoMailbox),
            (said(550, Some(EnhancedStatus(5, 2, 1))), Known::NoMailbox),
            (said(552, Some(EnhancedStatus(5, 2, 2))), Known::Unknown),
            (said(550, Some(EnhancedStatus(5, 7, 1))), Known::Unknown),
            (said(554, Some(EnhancedStatus(5, 7, 64))), Known::Unknown),
            (said(450, Some(EnhancedStatus(4, 2, 0))), Known::Unknown),
            (said(451, None), Known::Unknown),
        ] {
            assert_eq!(meaning(&word), known, "{word:?}");
        }
    }
}
