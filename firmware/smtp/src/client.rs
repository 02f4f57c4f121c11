//! The client machine.

use alloc::boxed::Box;
use envelope::{Body, Mailbox, ReversePath};

use crate::Reply;

/// What the peer offered in its answer to EHLO; everything is off after HELO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The peer speaks ESMTP.
    pub extended: bool,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 1870 is offered.
    pub size: bool,
    /// Octets of the largest message that the peer takes, where it says so.
    pub size_max: Option<u64>,
}

/// A message about to be sent, without its recipients and content.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The envelope sender.
    pub sender: ReversePath,
    /// Octets of the content that will be given, for SIZE=.
    pub size: u64,
    /// Whether the content has octets above 127. `BODY=8BITMIME` is said where the peer offers it; where it does
    /// not, the content goes out as it is, which every server in use passes on.
    pub body: Body,
}

/// The right to hand over the next recipient.
#[derive(Debug)]
#[must_use = "the transaction waits for its recipients"]
pub struct RecipientQuestion(());

/// What happened, and what is asked.
#[derive(Debug)]
pub enum Event {
    /// The peer is ready for a transaction: call [`Client::begin`] or [`Client::quit`]. Comes after the hello and
    /// after each transaction.
    Ready,
    /// Hand over the next recipient, or say that there is none: [`Client::recipient`],
    /// [`Client::no_more_recipients`].
    WantRecipient(RecipientQuestion),
    /// The peer's word on the recipient that was handed over as number `index` of this transaction (from 0).
    Recipient {
        /// Which one, in the order in which they were handed over.
        index: u32,
        /// What the peer said.
        outcome: RecipientOutcome,
    },
    /// At least one recipient was accepted: hand over the content with [`Client::content`], then call
    /// [`Client::content_end`].
    WantContent,
    /// The transaction is over. Recipients that were accepted share this outcome.
    Message(MessageOutcome),
    /// The connection is over: write [`Client::transmit`] as far as it goes, then close. What has no outcome yet
    /// failed for the reason given.
    Closed(End),
}

/// The peer's word on one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// Accepted, if the message is.
    Accepted,
    /// Refused, for now or for good.
    Refused(Reply),
    /// `452 4.5.3` or `452`/`552` in that sense: not this time, but at once in a further transaction.
    TooManyRecipients(Reply),
}

/// The peer's word on the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageOutcome {
    /// Accepted for every recipient that was accepted: the peer has it now.
    Delivered(Reply),
    /// Refused for all recipients that had been accepted; after a refused MAIL no recipient has been tried.
    Refused(Reply),
    /// No recipient was accepted; each has its own outcome.
    NoRecipients,
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// After [`Client::quit`].
    Quit,
    /// The peer refused to serve us: its greeting or its answer to HELO was negative, or it said 421.
    Refused(Reply),
    /// The peer broke the protocol.
    Protocol(Breach),
    /// [`Client::timed_out`].
    TimedOut,
    /// [`Client::disconnected`].
    Disconnected,
    /// The content was not what [`Client::content`] demands.
    Content(ContentError),
}

/// How a peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A reply line that does not begin with three digits and a space, a hyphen or its end.
    MalformedReply,
    /// The lines of one reply have different codes.
    CodeChanged,
    /// A reply line or a number of lines above the limits.
    ReplyTooLong,
    /// A reply to nothing that was asked.
    Unasked,
    /// A reply code that cannot answer what was asked.
    WrongCode(u16),
}

/// What is wrong with content that was handed over: the caller's fault. Nothing of it must reach the peer as a
/// message, so the connection has to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentError {
    /// A CR without LF.
    BareCr,
    /// An LF without CR.
    BareLf,
    /// A NUL.
    Nul,
    /// The content does not end in CRLF.
    Unterminated,
}

/// Why a transaction cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginError {
    /// The peer announced a maximum of so many octets: the message fails for good at this peer (`5.3.4`).
    TooLarge(u64),
    /// [`Event::Ready`] has not been said: our bug.
    NotReady,
}

/// A part of the content to write to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'c> {
    /// Write these, in order, before anything else. Part of the content, or a stuffed dot.
    pub send: &'c [u8],
    /// Octets of the content that are done with.
    pub taken: usize,
}

/// One connection's client side.
#[derive(Debug)]
pub struct Client {
    own_name: Box<str>,
}

impl Client {
    /// A connection that has just been opened. `own_name` is what EHLO says: a domain name or address literal.
    #[must_use]
    pub fn new(own_name: Box<str>) -> Self {
        Self { own_name }
    }

    /// Takes octets of the peer from the start of `input`. Returns how many it took, and an event. Events also
    /// come without input: call it with an empty slice.
    pub fn receive(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        _ = (input, &self.own_name);
        unimplemented!("skeleton")
    }

    /// Octets to send to the peer.
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        unimplemented!("skeleton")
    }

    /// Says that the first `count` octets of [`Self::transmit`] are on their way.
    pub fn transmitted(&mut self, count: usize) {
        _ = count;
        unimplemented!("skeleton")
    }

    /// What the peer offered.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        unimplemented!("skeleton")
    }

    /// Begins a transaction after [`Event::Ready`].
    ///
    /// # Errors
    /// See [`BeginError`]. The client stays ready.
    pub fn begin(&mut self, transaction: &Transaction) -> Result<(), BeginError> {
        _ = transaction;
        unimplemented!("skeleton")
    }

    /// Hands over the next recipient.
    pub fn recipient(&mut self, question: RecipientQuestion, recipient: &Mailbox) {
        _ = (question, recipient);
        unimplemented!("skeleton")
    }

    /// Says that all recipients of the transaction have been handed over.
    pub fn no_more_recipients(&mut self, question: RecipientQuestion) {
        _ = question;
        unimplemented!("skeleton")
    }

    /// Takes content after [`Event::WantContent`] and says what to write: call it with the rest until all is
    /// taken. Content consists of lines that end in CRLF; dots are stuffed here (RFC 5321 §4.5.2). Writing goes
    /// past [`Self::transmit`], which is empty now.
    ///
    /// # Errors
    /// [`ContentError`]; nothing may be written any more, drop the connection.
    pub fn content<'c>(&mut self, content: &'c [u8]) -> Result<Piece<'c>, ContentError> {
        _ = content;
        unimplemented!("skeleton")
    }

    /// Ends the content with the lone dot, into [`Self::transmit`].
    ///
    /// # Errors
    /// [`ContentError::Unterminated`]: drop the connection.
    pub fn content_end(&mut self) -> Result<(), ContentError> {
        unimplemented!("skeleton")
    }

    /// Ends the connection politely; allowed while [`Event::Ready`] stands.
    pub fn quit(&mut self) {
        unimplemented!("skeleton")
    }

    /// The time of [`Self::timeout_s`] has passed. The next [`Self::receive`] says [`Event::Closed`].
    pub fn timed_out(&mut self) {
        unimplemented!("skeleton")
    }

    /// The peer has closed the connection, or it broke. The next [`Self::receive`] says [`Event::Closed`].
    pub fn disconnected(&mut self) {
        unimplemented!("skeleton")
    }

    /// Seconds to wait for the peer in the present state (RFC 5321 §4.5.3.2).
    #[must_use]
    pub fn timeout_s(&self) -> u32 {
        unimplemented!("skeleton")
    }

    /// Whether the whole content has been sent and the peer's word on it is not known. If the connection ends
    /// now, the peer may have the message: a further try may make a second copy (RFC 5321 §4.5.3.2.6).
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        unimplemented!("skeleton")
    }
}
