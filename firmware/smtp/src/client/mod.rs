//! The client machine.
//!
//! # The way of a message
//! [`Event::Ready`] → [`Client::begin`] → [`Event::WantRecipient`] until the driver has no more, with
//! [`Event::Recipient`] in between as the peer speaks → [`Event::WantContent`] → [`Client::content`] … and
//! [`Client::content_end`] → [`Event::Message`] → [`Event::Ready`] for the next message on the same connection.
//! Where a step fails, [`Event::Message`] says so, the machine sets the peer back (RSET, or the lone dot of RFC
//! 2920 §3.1) and is ready again; where that cannot be, [`Event::Closed`] ends the connection.
//!
//! # Rules that hold whatever the peer does
//! - Commands go out together where the peer offers PIPELINING, else one by one.
//! - A reply that comes before its command has been written is no answer to it: [`Breach::Unasked`]. So nothing that somebody
//!   put behind a greeting is taken for an answer.
//! - `421` to anything ends the connection (RFC 5321 §3.8).
//! - No CR or LF leaves alone, in whatever pieces content is handed over.

mod reader;
mod stuffer;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use core::fmt::{self, Write as _};
use envelope::{Body, EnhancedStatus, Mailbox, RecipientParameters, ReversePath, SenderParameters};
use heapless::{Deque, Vec};
use limits::smtp::{
    CLIENT_COMMAND_BYTES_MAX, CLIENT_CONTENT_TIMEOUT_S, CLIENT_DATA_TIMEOUT_S, CLIENT_END_TIMEOUT_S,
    CLIENT_OUTPUT_BYTES, CLIENT_QUIT_TIMEOUT_S, CLIENT_REPLY_TIMEOUT_S, PIPELINED_COMMANDS_MAX,
};

use crate::Reply;
use reader::{Received, ReplyReader};
use stuffer::Stuffer;

/// What the peer offered in its answer to EHLO; everything is off after HELO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The peer speaks ESMTP.
    pub extended: bool,
    /// RFC 2920.
    pub pipelining: bool,
    /// RFC 6152.
    pub eight_bit_mime: bool,
    /// RFC 3461: the peer takes over the duty to report. Where it does not, reports that the sender asked for are ours.
    pub dsn: bool,
    /// RFC 1870 is offered.
    pub size: bool,
    /// Octets of the largest message that the peer takes, where it says so.
    pub size_max: Option<u64>,
    /// RFC 3030: content may come by BDAT.
    pub chunking: bool,
    /// RFC 3030 §3: content may be any octets.
    pub binary_mime: bool,
    /// RFC 6531: addresses and header fields may hold UTF-8.
    pub smtp_utf8: bool,
    /// RFC 9422: recipients that one transaction may have, where the peer says so; never 0.
    pub recipients_max: Option<u32>,
    /// RFC 9422: transactions that one connection may have; never 0.
    pub messages_max: Option<u32>,
    /// RFC 9422: domains that the recipients of one transaction may have; never 0.
    pub recipient_domains_max: Option<u32>,
}

/// A message about to be sent, without its recipients and content.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// The envelope sender.
    pub sender: ReversePath,
    /// Octets of the content that will be given, for SIZE=. For [`Body::BinaryMime`] exactly so many.
    pub size: u64,
    /// What octets the content has. For those above 127 `BODY=8BITMIME` is said where the peer offers it; where it does
    /// not, whoever drives this should have converted what can be. [`Body::BinaryMime`] goes by BDAT, to peers that offer
    /// CHUNKING and BINARYMIME; everything else goes by DATA, which every server reads alike.
    pub body: Body,
    /// What the message is by RFC 6531.
    pub utf8: Utf8,
    /// RET and ENVID, said where the peer offers DSN.
    pub dsn: SenderParameters,
}

/// Whether a message needs SMTPUTF8 of its way (RFC 6531 §3.4). Addresses are looked at beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Utf8 {
    /// It came without, or needs none.
    #[default]
    No,
    /// It came with SMTPUTF8 and its header is ASCII all the same: said where it is offered.
    Offered,
    /// Its header holds UTF-8: it goes to no peer that does not offer it.
    Needed,
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
    /// By BDAT: more or fewer octets than were announced.
    WrongSize,
}

/// Why a transaction cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeginError {
    /// The peer announced a maximum of so many octets: the message fails for good at this peer (`5.3.4`).
    TooLarge(u64),
    /// The content goes by BDAT only, and the peer does not offer CHUNKING and BINARYMIME: it fails for good at this peer
    /// (`5.6.3`).
    BinaryNotOffered,
    /// The sender or the header is in UTF-8, and the peer does not offer SMTPUTF8: it fails for good at this peer
    /// (`5.6.7`).
    Utf8NotOffered,
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

/// What a reply will answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    Greeting,
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    /// The octets of a chunk that have not all been given yet.
    Chunk,
    /// The dot that ends content, or the last octet of a chunk.
    End,
    /// The dot that ends nothing.
    LoneDot,
    Rset,
    Quit,
}

#[derive(Debug)]
enum State {
    /// Greeting and hello, RSET, QUIT: only replies move the machine.
    Waiting,
    /// [`Event::Ready`] has been said.
    Ready,
    /// From MAIL to the reply to DATA.
    Envelope(Envelope),
    /// From the `354` to the dot.
    Content(Stuffer),
    /// From BDAT to the last octet of its chunk; so many are still to be given.
    Chunk(u64),
    /// After the dot or the chunk.
    Ended,
    Closed,
}

/// How far the envelope has got.
#[derive(Debug, Default)]
struct Envelope {
    /// A recipient has been asked for and neither given nor denied.
    asked: bool,
    /// There are no further recipients, or none are wanted any more.
    all_handed: bool,
    /// Replies to RCPT so far; the number of the next one.
    answered: u32,
    accepted: u32,
    /// What is still to come for.
    unanswered: u32,
    mail_refusal: Option<Reply>,
    data_sent: bool,
    /// What DATA got.
    data_reply: Option<Reply>,
    /// The content goes by BDAT: so many octets.
    chunk: Option<u64>,
    /// SMTPUTF8 has been said.
    utf8_said: bool,
}

/// One connection's client side. Its size is fixed: an output buffer, a reply line, and the replies that are
/// awaited.
#[derive(Debug)]
pub struct Client {
    own_name: Box<str>,
    state: State,
    capabilities: Capabilities,
    reader: ReplyReader,
    /// What the coming replies answer, in order.
    awaited: Deque<Awaited, PIPELINED_COMMANDS_MAX>,
    /// How many of these have not been written whole; each is one line of the output.
    unsent: usize,
    output: Vec<u8, CLIENT_OUTPUT_BYTES>,
    /// Told before anything else happens.
    events: Deque<Event, 4>,
}

impl Client {
    /// A connection that has just been opened. `own_name` is what EHLO says: a domain name or address literal.
    #[must_use]
    pub fn new(own_name: Box<str>) -> Self {
        let mut awaited = Deque::new();
        // There is room for more than one.
        _ = awaited.push_back(Awaited::Greeting);
        Self {
            own_name,
            state: State::Waiting,
            capabilities: Capabilities::default(),
            reader: ReplyReader::new(),
            awaited,
            unsent: 0,
            output: Vec::new(),
            events: Deque::new(),
        }
    }

    /// Takes octets of the peer from the start of `input`. Returns how many it took, and an event. Events also
    /// come without input: call it with an empty slice.
    pub fn receive(&mut self, input: &[u8]) -> (usize, Option<Event>) {
        let mut taken = 0;
        loop {
            self.advance_envelope();
            if let Some(event) = self.events.pop_front() {
                return (taken, Some(event));
            }
            let rest = input.get(taken..).unwrap_or_default();
            if rest.is_empty() || self.is_closed() {
                return (taken, None);
            }
            match self.reader.read(rest) {
                Ok((count, received)) => {
                    taken += count;
                    if let Some(received) = received {
                        self.take_reply(received);
                    }
                }
                Err(breach) => self.close(End::Protocol(breach)),
            }
        }
    }

    /// Octets to send to the peer.
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        &self.output
    }

    /// Says that the first `count` octets of [`Self::transmit`] are on their way.
    pub fn transmitted(&mut self, count: usize) {
        let lines = self.output.iter().take(count).filter(|b| **b == b'\n').count();
        self.unsent = self.unsent.saturating_sub(lines);
        crate::drop_front(&mut self.output, count);
    }

    /// What the peer offered.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Begins a transaction after [`Event::Ready`].
    ///
    /// # Errors
    /// See [`BeginError`]. The client stays as it is.
    pub fn begin(&mut self, transaction: &Transaction) -> Result<(), BeginError> {
        if !matches!(self.state, State::Ready) {
            return Err(BeginError::NotReady);
        }
        let Transaction { sender, size, body, utf8, dsn } = transaction;
        let Capabilities { chunking, binary_mime, smtp_utf8, eight_bit_mime, .. } = self.capabilities;
        let binary = *body == Body::BinaryMime;
        if binary && !(chunking && binary_mime) {
            return Err(BeginError::BinaryNotOffered);
        }
        if !smtp_utf8 && (*utf8 == Utf8::Needed || !sender.is_ascii()) {
            return Err(BeginError::Utf8NotOffered);
        }
        if let Some(max) = self.capabilities.size_max.filter(|max| size > max) {
            return Err(BeginError::TooLarge(max));
        }
        let size_parameter = Parameter(self.capabilities.size.then_some(*size));
        let body_parameter = match body {
            Body::BinaryMime => " BODY=BINARYMIME",
            Body::EightBitMime if eight_bit_mime => " BODY=8BITMIME",
            _ => "",
        };
        // Recipients in UTF-8 come only with a message that said it.
        let utf8_said = smtp_utf8 && (*utf8 != Utf8::No || !sender.is_ascii());
        let utf8_parameter = if utf8_said { " SMTPUTF8" } else { "" };
        let unsaid = SenderParameters::default();
        let dsn = if self.capabilities.dsn { dsn } else { &unsaid };
        let chunk = binary.then_some(*size);
        self.state = State::Envelope(Envelope { chunk, utf8_said, ..Envelope::default() });
        let line =
            format_args!("MAIL FROM:<{sender}>{size_parameter}{body_parameter}{utf8_parameter}{dsn}\r\n");
        self.command(Awaited::Mail, line);
        Ok(())
    }

    /// Hands over the next recipient. `dsn` is said where the peer offers it.
    ///
    /// Returns whether the peer can be asked. A recipient in UTF-8 at a peer without SMTPUTF8 cannot: it fails for good
    /// (`5.6.7`), has no number, and the next one is wanted.
    pub fn recipient(
        &mut self,
        question: RecipientQuestion,
        recipient: &Mailbox,
        dsn: &RecipientParameters,
    ) -> bool {
        let RecipientQuestion(()) = question;
        if let State::Envelope(envelope) = &mut self.state
            && !recipient.is_ascii()
            && !envelope.utf8_said
        {
            envelope.asked = false;
            return false;
        }
        if let State::Envelope(envelope) = &mut self.state
            && core::mem::take(&mut envelope.asked)
            && !envelope.all_handed
        {
            envelope.unanswered += 1;
            let unsaid = RecipientParameters::default();
            let dsn = if self.capabilities.dsn { dsn } else { &unsaid };
            self.command(Awaited::Rcpt, format_args!("RCPT TO:<{recipient}>{dsn}\r\n"));
        }
        true
    }

    /// Says that all recipients of the transaction have been handed over.
    pub const fn no_more_recipients(&mut self, question: RecipientQuestion) {
        let RecipientQuestion(()) = question;
        if let State::Envelope(envelope) = &mut self.state {
            envelope.asked = false;
            envelope.all_handed = true;
        }
    }

    /// Takes content after [`Event::WantContent`] and says what to write: call it with the rest until all is
    /// taken. By DATA content consists of lines that end in CRLF; dots are stuffed here (RFC 5321 §4.5.2). By BDAT it is any
    /// octets, as many as were announced. Writing goes past [`Self::transmit`], which must have been written before.
    ///
    /// If the connection has ended meanwhile, it takes everything and has nothing written; the next
    /// [`Self::receive`] says why.
    ///
    /// # Errors
    /// [`ContentError`]; nothing may be written any more, drop the connection.
    pub fn content<'c>(&mut self, content: &'c [u8]) -> Result<Piece<'c>, ContentError> {
        let stuffer = match &mut self.state {
            State::Content(stuffer) => stuffer,
            State::Chunk(left) => {
                let Some(rest) = left.checked_sub(content.len() as u64) else {
                    self.close(End::Content(ContentError::WrongSize));
                    return Err(ContentError::WrongSize);
                };
                *left = rest;
                return Ok(Piece { send: content, taken: content.len() });
            }
            _ => return Ok(Piece { send: &[], taken: content.len() }),
        };
        stuffer.next(content).inspect_err(|error| self.close(End::Content(*error)))
    }

    /// Ends the content: by DATA with the lone dot, into [`Self::transmit`].
    ///
    /// # Errors
    /// [`ContentError::Unterminated`], [`ContentError::WrongSize`]: drop the connection.
    pub fn content_end(&mut self) -> Result<(), ContentError> {
        let stuffer = match &self.state {
            State::Content(stuffer) => stuffer,
            State::Chunk(0) => {
                self.state = State::Ended;
                if self.awaited.front() == Some(&Awaited::Chunk) {
                    // From here on the peer may have the message.
                    self.awaited.clear();
                    _ = self.awaited.push_back(Awaited::End);
                }
                return Ok(());
            }
            State::Chunk(_) => {
                self.close(End::Content(ContentError::WrongSize));
                return Err(ContentError::WrongSize);
            }
            _ => return Ok(()),
        };
        if !stuffer.is_at_line_start() {
            self.close(End::Content(ContentError::Unterminated));
            return Err(ContentError::Unterminated);
        }
        self.state = State::Ended;
        self.command(Awaited::End, format_args!(".\r\n"));
        Ok(())
    }

    /// Ends the connection: politely while [`Event::Ready`] stands, else at once.
    pub fn quit(&mut self) {
        if matches!(self.state, State::Ready) {
            self.state = State::Waiting;
            self.command(Awaited::Quit, format_args!("QUIT\r\n"));
        } else {
            self.close(End::Quit);
        }
    }

    /// The time of [`Self::timeout_s`] has passed. The next [`Self::receive`] says [`Event::Closed`].
    pub fn timed_out(&mut self) {
        self.close(End::TimedOut);
    }

    /// The peer has closed the connection, or it broke. The next [`Self::receive`] says [`Event::Closed`].
    pub fn disconnected(&mut self) {
        // Many close behind QUIT without a word.
        let end = if self.awaited.front() == Some(&Awaited::Quit) { End::Quit } else { End::Disconnected };
        self.close(end);
    }

    /// Seconds to wait for the peer in the present state (RFC 5321 §4.5.3.2).
    #[must_use]
    pub fn timeout_s(&self) -> u32 {
        match self.awaited.front() {
            None if matches!(self.state, State::Content(_)) => CLIENT_CONTENT_TIMEOUT_S,
            Some(Awaited::Chunk) => CLIENT_CONTENT_TIMEOUT_S,
            Some(Awaited::Data) => CLIENT_DATA_TIMEOUT_S,
            Some(Awaited::End | Awaited::LoneDot) => CLIENT_END_TIMEOUT_S,
            Some(Awaited::Quit) => CLIENT_QUIT_TIMEOUT_S,
            _ => CLIENT_REPLY_TIMEOUT_S,
        }
    }

    /// Whether the whole content has been handed over and the peer's word on it is not known. If the connection
    /// ends now, the peer may have the message: a further try may make a second copy (RFC 5321 §4.5.3.2.6).
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        self.awaited.front() == Some(&Awaited::End)
    }

    /// Whether a transaction can begin now: [`Event::Ready`] has been fetched.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready) && self.events.is_empty()
    }

    /// Whether the connection is over: send what is left and close.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    fn take_reply(&mut self, Received { reply, offered }: Received) {
        if self.awaited.len() <= self.unsent || self.awaited.front() == Some(&Awaited::Chunk) {
            self.take_unasked(reply);
            return;
        }
        // Not empty: its length was compared.
        let Some(awaited) = self.awaited.pop_front() else { return };
        if reply.code == 421 && awaited != Awaited::Quit {
            if awaited == Awaited::End {
                self.tell(Event::Message(MessageOutcome::Refused(reply.clone())));
            }
            self.close(End::Refused(reply));
            return;
        }
        match (awaited, reply.code / 100) {
            (Awaited::Greeting, 2) => {
                let name = self.own_name.clone();
                self.command(Awaited::Ehlo, format_args!("EHLO {name}\r\n"));
            }
            (Awaited::Ehlo, 2) => {
                self.capabilities = Capabilities { extended: true, ..offered };
                self.ready();
            }
            (Awaited::Ehlo, 5) => {
                // RFC 5321 §3.2: a server that does not know EHLO may know HELO.
                let name = self.own_name.clone();
                self.command(Awaited::Helo, format_args!("HELO {name}\r\n"));
            }
            (Awaited::Helo, 2) => self.ready(),
            (Awaited::Greeting | Awaited::Ehlo | Awaited::Helo, 4 | 5) => {
                // RFC 5321 §3.1: the one that is refused says QUIT, and need not wait for the answer.
                self.put(format_args!("QUIT\r\n"));
                self.close(End::Refused(reply));
            }
            (Awaited::Mail | Awaited::Rcpt, 2 | 4 | 5) | (Awaited::Data, 4 | 5) => {
                self.take_envelope_reply(awaited, reply);
            }
            (Awaited::Data, _) if reply.code == 354 => self.take_envelope_reply(awaited, reply),
            (Awaited::End, 2) => {
                self.tell(Event::Message(MessageOutcome::Delivered(reply)));
                self.ready();
            }
            (Awaited::End, 4 | 5) => {
                self.tell(Event::Message(MessageOutcome::Refused(reply)));
                self.ready();
            }
            (Awaited::LoneDot | Awaited::Rset, 2 | 4 | 5) => self.ready(),
            (Awaited::Quit, _) => self.close(End::Quit),
            _ => self.close(End::Protocol(Breach::WrongCode(reply.code))),
        }
    }

    /// A reply while none is due.
    fn take_unasked(&mut self, reply: Reply) {
        if reply.code == 421 {
            // RFC 5321 §3.8: a server that goes down may say so at any time.
            self.close(End::Refused(reply));
        } else if matches!(self.state, State::Content(_) | State::Chunk(_) | State::Ended)
            && !reply.is_positive()
        {
            // It does not want to hear the rest. There is no way to stop content but to hang up.
            self.tell(Event::Message(MessageOutcome::Refused(reply.clone())));
            self.close(End::Refused(reply));
        } else {
            self.close(End::Protocol(Breach::Unasked));
        }
    }

    fn take_envelope_reply(&mut self, awaited: Awaited, reply: Reply) {
        let State::Envelope(envelope) = &mut self.state else { return };
        match awaited {
            Awaited::Mail if !reply.is_positive() => {
                envelope.mail_refusal = Some(reply);
                envelope.all_handed = true;
            }
            Awaited::Rcpt => {
                let index = envelope.answered;
                envelope.answered += 1;
                envelope.unanswered -= 1;
                if envelope.mail_refusal.is_some() {
                    return;
                }
                let outcome = if reply.is_positive() {
                    envelope.accepted += 1;
                    RecipientOutcome::Accepted
                } else if envelope.accepted > 0 && says_too_many(&reply) {
                    RecipientOutcome::TooManyRecipients(reply)
                } else {
                    RecipientOutcome::Refused(reply)
                };
                self.tell(Event::Recipient { index, outcome });
            }
            Awaited::Data => envelope.data_reply = Some(reply),
            _ => {}
        }
    }

    /// Does what the envelope allows next without a word of the peer.
    fn advance_envelope(&mut self) {
        let window = if self.capabilities.pipelining { PIPELINED_COMMANDS_MAX } else { 1 };
        let room = self.output.capacity() - self.output.len() >= CLIENT_COMMAND_BYTES_MAX;
        let may_send = room && self.awaited.len() < window;
        let State::Envelope(envelope) = &mut self.state else { return };
        if !self.events.is_empty() || envelope.asked {
            return;
        }
        if !envelope.all_handed {
            if may_send {
                envelope.asked = true;
                self.tell(Event::WantRecipient(RecipientQuestion(())));
            }
        } else if !envelope.data_sent
            && envelope.chunk.is_none()
            && envelope.mail_refusal.is_none()
            && envelope.accepted + envelope.unanswered > 0
        {
            if may_send {
                envelope.data_sent = true;
                self.command(Awaited::Data, format_args!("DATA\r\n"));
            }
        } else if self.awaited.is_empty() {
            self.finish_envelope();
        }
    }

    /// Every reply up to the one to DATA has come.
    fn finish_envelope(&mut self) {
        let State::Envelope(envelope) = &mut self.state else { return };
        let may_send_content = envelope.data_reply.as_ref().is_some_and(Reply::is_positive);
        let outcome = match (envelope.mail_refusal.take(), envelope.data_reply.take()) {
            (Some(refusal), _) => MessageOutcome::Refused(refusal),
            (None, _) if envelope.accepted == 0 => MessageOutcome::NoRecipients,
            (None, None) if let Some(size) = envelope.chunk => {
                self.state = State::Chunk(size);
                // RFC 3030 §2: the answer comes behind the octets.
                self.command(Awaited::Chunk, format_args!("BDAT {size} LAST\r\n"));
                self.tell(Event::WantContent);
                return;
            }
            (None, Some(refusal)) if !may_send_content => MessageOutcome::Refused(refusal),
            (None, _) => {
                self.state = State::Content(Stuffer::new());
                self.tell(Event::WantContent);
                return;
            }
        };
        let opened = !matches!(outcome, MessageOutcome::Refused(_)) || envelope.accepted > 0;
        self.state = State::Waiting;
        self.tell(Event::Message(outcome));
        if may_send_content {
            // RFC 2920 §3.1: a server that said 354 in spite of it all gets a message of nothing for nobody.
            self.command(Awaited::LoneDot, format_args!(".\r\n"));
        } else if opened {
            self.command(Awaited::Rset, format_args!("RSET\r\n"));
        } else {
            self.ready();
        }
    }

    fn ready(&mut self) {
        self.state = State::Ready;
        self.tell(Event::Ready);
    }

    fn close(&mut self, end: End) {
        if !self.is_closed() {
            self.state = State::Closed;
            self.tell(Event::Closed(end));
        }
    }

    /// Keeps an event until the driver fetches it. There is room: replies are only read when all have been
    /// fetched, and none makes more than two.
    fn tell(&mut self, event: Event) {
        _ = self.events.push_back(event);
    }

    fn command(&mut self, awaited: Awaited, line: fmt::Arguments<'_>) {
        // There is room: the window and the output were looked at before, or nothing is on its way.
        _ = self.awaited.push_back(awaited);
        self.unsent += 1;
        self.put(line);
    }

    fn put(&mut self, line: fmt::Arguments<'_>) {
        _ = self.output.write_fmt(line);
    }
}

/// RFC 5321 §4.5.3.1.10: the recipients beyond a limit are refused with 452, by old servers with 552, and belong
/// into a further transaction. A status code that says something else is believed.
fn says_too_many(reply: &Reply) -> bool {
    matches!(reply.code, 452 | 552)
        && reply.status.is_none_or(|EnhancedStatus(_, subject, detail)| (subject, detail) == (5, 3))
}

/// ` SIZE=n`, or nothing.
struct Parameter(Option<u64>);

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |size| write!(f, " SIZE={size}"))
    }
}
