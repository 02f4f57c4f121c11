//! The server machine.

use alloc::boxed::Box;
use envelope::{Body, EnhancedStatus, Mailbox, Protocol, QueueId, ReversePath};

use crate::Reply;

/// What the server says of itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name in the greeting and in replies; a domain name.
    pub host_name: Box<str>,
    /// Octets of the largest message that is let in, announced with SIZE (RFC 1870).
    pub message_bytes_max: u32,
}

/// The right and the duty to answer one question. Give it back with the answer.
#[derive(Debug)]
#[must_use = "the peer waits until the question is answered"]
pub struct Question(());

/// What happened, and what is asked.
#[derive(Debug)]
pub enum Event<'i> {
    /// The peer has said HELO or EHLO; [`Server::helo`] and [`Server::protocol`] are known from here on. An open
    /// transaction, if any, is over (RFC 5321 §4.1.4).
    Hello,
    /// MAIL. Answer with [`Server::accept`] or [`Server::refuse`].
    Mail {
        /// Answer with this.
        question: Question,
        /// The envelope sender.
        sender: ReversePath,
        /// SIZE=: octets that the peer means to send; never more than the announced maximum.
        declared_size: Option<u32>,
        /// BODY=.
        body: Body,
    },
    /// RCPT. Answer with [`Server::accept`] or [`Server::refuse`]. Number and octets of the recipients are
    /// already within their bounds.
    Rcpt {
        /// Answer with this.
        question: Question,
        /// The recipient. A bare `<postmaster>` has been given the own host name.
        recipient: Mailbox,
    },
    /// DATA, with at least one recipient accepted. [`Server::accept`] sends `354`.
    DataStart {
        /// Answer with this.
        question: Question,
    },
    /// Content as it will be stored: lines end in CRLF, leading dots are as the author wrote them. Never empty.
    Data(&'i [u8]),
    /// The whole content has come and is well formed. Answer with [`Server::accept_message`] or
    /// [`Server::refuse`]; the transaction is over either way.
    DataEnd {
        /// Answer with this.
        question: Question,
        /// Octets of the content.
        size: u32,
    },
    /// The content breaks a rule or a limit. Sent at once, so that what was stored can be given up; the machine
    /// reads on to the true end of the content and then refuses it. The transaction is over.
    DataRefused(Violation),
    /// The open transaction is over without a message: RSET.
    Reset,
    /// Nothing more will be taken. Write [`Server::transmit`], then close.
    Closed(End),
}

/// What is wrong with a message's content. The peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A CR without LF: `554 5.6.0`.
    BareCr,
    /// An LF without CR: `554 5.6.0`.
    BareLf,
    /// A NUL: `554 5.6.0`.
    Nul,
    /// A line above `limits::smtp::TEXT_LINE_BYTES_MAX`: `554 5.6.0`.
    LineTooLong,
    /// A header block above `limits::smtp::HEADER_BYTES_MAX`: `552 5.3.4`.
    HeaderTooLong,
    /// More octets than announced with SIZE: `552 5.3.4`.
    TooLarge,
    /// [`Server::abandon_data`]: `reply` says why.
    Abandoned,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// QUIT.
    Quit,
    /// The driver refused with 421, or said [`Server::shut_down`].
    Ours,
    /// Too many errors, or a command line without end.
    Abuse,
    /// [`Server::timed_out`].
    TimedOut,
}

/// One session's server side.
#[derive(Debug)]
pub struct Server {
    config: Config,
}

impl Server {
    /// A session that begins with `220`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// A session that is refused with `reply` (421 or 554) in place of the greeting, and closed.
    #[must_use]
    pub fn refusing(config: Config, reply: &Reply) -> Self {
        _ = reply;
        Self { config }
    }

    /// Takes octets of the peer from the start of `input`. Returns how many it took, and an event.
    ///
    /// Returns `(0, None)` when it needs more input, when a question is open ([`Self::is_asking`]), when
    /// [`Self::transmit`] must be drained first, or when the session is over.
    pub fn receive<'i>(&mut self, input: &'i [u8]) -> (usize, Option<Event<'i>>) {
        _ = (input, &self.config);
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

    /// Answers yes: `250` to MAIL and RCPT, `354` to DATA. For a whole message use [`Self::accept_message`].
    pub fn accept(&mut self, question: Question) {
        _ = question;
        unimplemented!("skeleton")
    }

    /// Answers [`Event::DataEnd`] with `250 2.0.0 queued as ID`. From here on the message is ours.
    pub fn accept_message(&mut self, question: Question, id: QueueId) {
        _ = (question, id);
        unimplemented!("skeleton")
    }

    /// Answers no with a reply of 4yz or 5yz. With 421 the session is closed after it.
    pub fn refuse(&mut self, question: Question, reply: &Reply) {
        _ = (question, reply);
        unimplemented!("skeleton")
    }

    /// Gives up the content that is arriving, because the queue is full or the store fails: no further
    /// [`Event::Data`] comes, and at the true end the peer gets `reply`.
    pub fn abandon_data(&mut self, reply: &Reply) {
        _ = reply;
        unimplemented!("skeleton")
    }

    /// The time of [`Self::timeout_s`] has passed: sends `421 4.4.2` and closes. The next [`Self::receive`]
    /// says [`Event::Closed`].
    pub fn timed_out(&mut self) {
        unimplemented!("skeleton")
    }

    /// The appliance goes down: sends `421 4.3.2` and closes.
    pub fn shut_down(&mut self) {
        unimplemented!("skeleton")
    }

    /// Seconds to wait for the peer in the present state (RFC 5321 §4.5.3.2.7).
    #[must_use]
    pub fn timeout_s(&self) -> u32 {
        unimplemented!("skeleton")
    }

    /// Whether a question waits for its answer.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        unimplemented!("skeleton")
    }

    /// Whether the session is over: send what is left and close.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        unimplemented!("skeleton")
    }

    /// Whether the peer is between `354` and the end of the content.
    #[must_use]
    pub fn is_receiving_data(&self) -> bool {
        unimplemented!("skeleton")
    }

    /// The name that the peer gave with HELO or EHLO, in characters that cannot harm a header; empty before.
    #[must_use]
    pub fn helo(&self) -> &str {
        unimplemented!("skeleton")
    }

    /// ESMTP after EHLO, else SMTP.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        unimplemented!("skeleton")
    }

    /// A reply that several callers need: the relay is not for this peer.
    #[must_use]
    pub fn relay_denied() -> Reply {
        Reply::new(554, EnhancedStatus(5, 7, 1), "Relaying denied")
    }
}
