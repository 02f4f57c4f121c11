//! The server machine.
//!
//! # Rules that hold whatever the peer does
//! - Commands are answered one by one in order, however they were cut into segments; pipelined ones share a
//!   flush (RFC 2920). Octets behind DATA wait until the `354` or its refusal is decided.
//! - A command line ends in CRLF. One that has a bare CR, a bare LF or a NUL, or is too long, is answered once
//!   with `500`, thrown away up to its CRLF, and counted; a line that will not end closes the session.
//! - Content behind DATA ends in CRLF `.` CRLF and nothing else; see [`Violation`] for what it may not contain.
//! - The octets that BDAT declares (RFC 3030) are content whatever becomes of them: also those of a chunk that is
//!   refused are taken and thrown away, never read as commands. Where their number cannot be read, or is beyond all
//!   reason, the session ends.
//! - Too many errors, or too many commands that lead to no message, end the session with `421`.
//! - Number and octets of recipients are bounded; the ones beyond get `452 4.5.3`, so that the peer comes again.
//!
//! # What it does not do
//! It does not decide who may relay what to whom, and keeps neither sender nor recipients: whoever drives it
//! does. It knows nothing of TLS or AUTH.

mod chunk;
mod command;
mod content;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use core::fmt::{self, Write as _};
use envelope::{
    Body, EnhancedStatus, Mailbox, Protocol, QueueId, RecipientParameters, ReversePath, SenderParameters,
};
use heapless::{String, Vec};
use limits::smtp::{
    COMMAND_LINE_BYTES_MAX, COMMAND_LINE_DISCARDED_BYTES_MAX, CONTENT_DISCARDED_BYTES_MAX, DOMAIN_BYTES_MAX,
    ERRORS_PER_SESSION_MAX, IDLE_COMMANDS_MAX, MESSAGES_PER_SESSION_MAX, RECIPIENTS_BYTES_MAX,
    RECIPIENTS_MAX, REPLY_LINE_BYTES_MAX, SERVER_COMMAND_TIMEOUT_S, SERVER_DATA_TIMEOUT_S,
    SERVER_OUTPUT_BYTES,
};

use crate::{Reply, scan::find_control};
use chunk::{Chunk, Chunked};
use command::{Command, Fault, Recipient};
use content::{ContentReader, Found};

/// What the server says of itself.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name in the greeting and in replies; a domain name.
    pub host_name: Box<str>,
    /// Octets of the largest message that is let in, announced with SIZE (RFC 1870).
    pub message_bytes_max: u32,
    /// The extensions that this peer may use.
    pub offers: Offers,
    /// Whether small faults of this peer are mended: a LF without CR in content behind DATA is a line end, and HELO and
    /// EHLO with a name that is none, or without one, count as said.
    pub repair: bool,
}

impl Config {
    /// A server with every extension.
    #[must_use]
    pub const fn new(host_name: Box<str>, message_bytes_max: u32) -> Self {
        Self { host_name, message_bytes_max, offers: Offers::ALL, repair: false }
    }
}

/// The extensions that can be left out. The others are always offered after EHLO: PIPELINING, SIZE, 8BITMIME, DSN and
/// ENHANCEDSTATUSCODES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offers {
    /// CHUNKING: content by BDAT (RFC 3030). Without it BDAT ends the session, because chunks could not be told from
    /// commands.
    pub chunking: bool,
    /// BINARYMIME (RFC 3030 §3); means nothing without `chunking`.
    pub binary_mime: bool,
    /// SMTPUTF8: addresses and header fields in UTF-8 (RFC 6531).
    pub smtp_utf8: bool,
    /// LIMITS (RFC 9422): how many recipients and messages are taken. They hold also where they are not announced.
    pub limits: bool,
}

impl Offers {
    /// Every extension.
    pub const ALL: Self = Self { chunking: true, binary_mime: true, smtp_utf8: true, limits: true };
    /// None of those that can be left out.
    pub const NONE: Self = Self { chunking: false, binary_mime: false, smtp_utf8: false, limits: false };

    const fn binary(self) -> bool {
        self.chunking && self.binary_mime
    }
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
        /// SMTPUTF8 was said (RFC 6531 §3.4): addresses and header fields may hold UTF-8, and whoever takes the message
        /// on must be able to.
        smtp_utf8: bool,
        /// RET= and ENVID=.
        dsn: SenderParameters,
    },
    /// RCPT. Answer with [`Server::accept`] or [`Server::refuse`]. Number and octets of the recipients are
    /// already within their bounds.
    Rcpt {
        /// Answer with this.
        question: Question,
        /// The recipient. A bare `<postmaster>` has been given the own host name.
        recipient: Mailbox,
        /// NOTIFY= and ORCPT=.
        dsn: RecipientParameters,
    },
    /// DATA or the first BDAT, with at least one recipient accepted. [`Server::accept`] lets the content come.
    DataStart {
        /// Answer with this.
        question: Question,
        /// The content comes in chunks (BDAT): it may hold any octets, also a lone CR or LF or a NUL, and need not end in
        /// a line end. Content by DATA never does.
        chunked: bool,
    },
    /// Content as it will be stored, leading dots as the author wrote them. Never empty. By DATA its lines end in CRLF;
    /// by BDAT it is what the peer sent, octet for octet.
    Data(&'i [u8]),
    /// The whole content has come. Answer with [`Server::accept_message`] or
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

/// What is wrong with a message's content. The peer's fault. Of content by BDAT only the two lengths of header and message
/// are looked at.
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

/// What the session waits for.
#[derive(Debug)]
enum State {
    /// A command.
    Command,
    /// The rest of a command line that has been answered already; so many octets of it have come.
    Discarding { octets: usize },
    /// The answer to a question.
    Asking(Asked),
    /// Content behind DATA.
    Data(ContentReader),
    /// The octets of a chunk.
    Chunk(Chunk),
    /// Nothing.
    Closed,
}

/// The question that is open.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Mail,
    Rcpt { octets: usize },
    DataStart,
    ChunkStart(Chunk),
    DataEnd,
}

/// An open transaction: MAIL has been accepted.
#[derive(Clone, Copy, Debug, Default)]
struct Transaction {
    recipients: usize,
    recipient_octets: usize,
    /// BODY=BINARYMIME was said.
    binary: bool,
    /// SMTPUTF8 was said.
    smtp_utf8: bool,
    /// Content has begun to come in chunks.
    chunked: Option<Chunked>,
}

/// One session's server side. Its size is fixed: a command line, an output buffer and some counters.
#[derive(Debug)]
pub struct Server {
    config: Config,
    state: State,
    /// The start of a command line whose end has not come yet.
    line: Vec<u8, COMMAND_LINE_BYTES_MAX>,
    /// The last octet of the line so far was a CR.
    line_cr: bool,
    output: Vec<u8, SERVER_OUTPUT_BYTES>,
    helo: String<DOMAIN_BYTES_MAX>,
    extended: bool,
    transaction: Option<Transaction>,
    /// What MAIL said, for the transaction that it may open.
    announced: Transaction,
    /// Answer for the end of content, or of a chunk, that has been refused while it came.
    refusal: Option<Reply>,
    /// A chunk has been refused, and the further ones of its message are not here yet.
    chunks_refused: bool,
    /// Octets of refused chunks that have been thrown away since MAIL.
    chunks_discarded: u64,
    /// MAIL commands.
    messages: u16,
    errors: u8,
    idle_commands: u16,
    /// An end that has not been told yet.
    end: Option<End>,
}

impl Server {
    /// A session that begins with `220`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let mut server = Self {
            config,
            state: State::Command,
            line: Vec::new(),
            line_cr: false,
            output: Vec::new(),
            helo: String::new(),
            extended: false,
            transaction: None,
            announced: Transaction::default(),
            refusal: None,
            chunks_refused: false,
            chunks_discarded: 0,
            messages: 0,
            errors: 0,
            idle_commands: 0,
            end: None,
        };
        // Product and version are nobody's business.
        let name = server.config.host_name.clone();
        server.put(format_args!("220 {name} ESMTP\r\n"));
        server
    }

    /// A session that is refused with `reply` (421 or 554) in place of the greeting, and closed.
    #[must_use]
    pub fn refusing(config: Config, reply: &Reply) -> Self {
        let mut server = Self::new(config);
        server.output.clear();
        let name = server.config.host_name.clone();
        server.put(format_args!("{} {name} {}\r\n", reply.code, reply.text));
        server.close(End::Ours);
        server
    }

    /// Takes octets of the peer from the start of `input`. Returns how many it took, and an event.
    ///
    /// Returns `(0, None)` when it needs more input, when a question is open ([`Self::is_asking`]), when
    /// [`Self::transmit`] must be drained first, or when the session is over ([`Self::is_closed`]).
    pub fn receive<'i>(&mut self, input: &'i [u8]) -> (usize, Option<Event<'i>>) {
        let mut taken = 0;
        loop {
            if let Some(end) = self.end.take() {
                return (taken, Some(Event::Closed(end)));
            }
            let rest = input.get(taken..).unwrap_or_default();
            if self.output.capacity() - self.output.len() < REPLY_LINE_BYTES_MAX {
                return (taken, None);
            }
            if let State::Chunk(Chunk { left: 0, last }) = self.state {
                match self.end_chunk(last) {
                    Some(event) => return (taken, Some(event)),
                    None => continue,
                }
            }
            if rest.is_empty() {
                return (taken, None);
            }
            let (count, event) = match &mut self.state {
                State::Command => self.receive_line(rest),
                State::Discarding { .. } => (self.discard_line(rest), None),
                State::Data(_) => self.receive_content(rest),
                State::Chunk(_) => self.receive_chunk(rest),
                State::Asking(_) | State::Closed => return (taken, None),
            };
            taken += count;
            if event.is_some() {
                return (taken, event);
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
        crate::drop_front(&mut self.output, count);
    }

    /// Answers yes: `250` to MAIL and RCPT, `354` to DATA, to the first BDAT nothing before its octets are there. For a whole message use [`Self::accept_message`].
    pub fn accept(&mut self, question: Question) {
        match self.take_asked(question) {
            Some(Asked::Mail) => {
                self.transaction = Some(self.announced);
                self.put(format_args!("250 2.1.0 Sender accepted\r\n"));
            }
            Some(Asked::Rcpt { octets }) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.recipients += 1;
                    transaction.recipient_octets += octets;
                }
                self.put(format_args!("250 2.1.5 Recipient accepted\r\n"));
            }
            Some(Asked::DataStart) => {
                self.state =
                    State::Data(ContentReader::new(self.config.message_bytes_max, self.config.repair));
                self.put(format_args!("354 Send the message, end it with a dot on a line of its own\r\n"));
            }
            Some(Asked::ChunkStart(chunk)) => self.state = State::Chunk(chunk),
            Some(Asked::DataEnd) => self.put(format_args!("250 2.0.0 Message accepted\r\n")),
            None => {}
        }
    }

    /// Answers [`Event::DataEnd`] with `250 2.0.0 queued as ID`. From here on the message is ours.
    pub fn accept_message(&mut self, question: Question, id: QueueId) {
        if self.take_asked(question).is_some() {
            self.put(format_args!("250 2.0.0 Queued as {id}\r\n"));
        }
    }

    /// Answers no with a reply of 4yz or 5yz. With 421 the session is closed after it. A refused DATA or BDAT ends the
    /// transaction: nobody may go on with recipients that one side has forgotten. The reply to BDAT goes out when the
    /// octets of the chunk have been thrown away.
    pub fn refuse(&mut self, question: Question, reply: &Reply) {
        if let Some(asked) = self.take_asked(question) {
            if matches!(asked, Asked::DataStart | Asked::ChunkStart(_)) {
                self.transaction = None;
            }
            if let Asked::ChunkStart(chunk) = asked
                && reply.code != 421
            {
                self.refusal = Some(reply.clone());
                self.state = State::Chunk(chunk);
                return;
            }
            if matches!(asked, Asked::Rcpt { .. }) && reply.code >= 500 {
                // Whoever tries recipient after recipient is guessing.
                self.errors = self.errors.saturating_add(1);
                if self.errors > ERRORS_PER_SESSION_MAX {
                    self.end_with(421, EnhancedStatus(4, 7, 0), "Too many errors", End::Abuse);
                    return;
                }
            }
            self.put_reply(reply);
            if reply.code == 421 {
                self.close(End::Ours);
            }
        }
    }

    /// Gives up the content that is arriving, because the queue is full or the store fails: no further
    /// [`Event::Data`] comes, and at the true end the peer gets `reply`. The transaction is over.
    pub fn abandon_data(&mut self, reply: &Reply) {
        if self.refusal.is_some() {
            return;
        }
        match &mut self.state {
            State::Data(reader) => reader.discard(),
            State::Chunk(_) => self.transaction = None,
            _ => return,
        }
        self.refusal = Some(reply.clone());
    }

    /// The time of [`Self::timeout_s`] has passed: sends `421 4.4.2` and closes. The next [`Self::receive`]
    /// says [`Event::Closed`].
    pub fn timed_out(&mut self) {
        self.end_with(421, EnhancedStatus(4, 4, 2), "Timed out waiting for you", End::TimedOut);
    }

    /// The appliance goes down: sends `421 4.3.2` and closes.
    pub fn shut_down(&mut self) {
        self.end_with(421, EnhancedStatus(4, 3, 2), "Going down, come again later", End::Ours);
    }

    /// Seconds to wait for the peer in the present state (RFC 5321 §4.5.3.2.7).
    #[must_use]
    pub const fn timeout_s(&self) -> u32 {
        match self.state {
            State::Data(_) | State::Chunk(_) => SERVER_DATA_TIMEOUT_S,
            _ => SERVER_COMMAND_TIMEOUT_S,
        }
    }

    /// Whether a question waits for its answer.
    #[must_use]
    pub const fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking(_))
    }

    /// Whether the session is over: send what is left and close.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether the peer is in the middle of content: between `354` and the end, or within a chunk.
    #[must_use]
    pub const fn is_receiving_data(&self) -> bool {
        matches!(self.state, State::Data(_) | State::Chunk(_))
    }

    /// The name that the peer gave with HELO or EHLO, in characters that cannot harm a header; empty before.
    #[must_use]
    pub fn helo(&self) -> &str {
        &self.helo
    }

    /// How the message of the last MAIL comes: ESMTP after EHLO, UTF8SMTP if it said SMTPUTF8, else SMTP.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match (self.extended, self.announced.smtp_utf8) {
            (true, true) => Protocol::Utf8Smtp,
            (true, false) => Protocol::Esmtp,
            (false, _) => Protocol::Smtp,
        }
    }

    /// A reply that several callers need: the relay is not for this peer.
    #[must_use]
    pub fn relay_denied() -> Reply {
        Reply::new(554, EnhancedStatus(5, 7, 1), "Relaying denied")
    }

    /// Takes a part of a command line, and obeys it if that was the last one.
    fn receive_line(&mut self, input: &[u8]) -> (usize, Option<Event<'static>>) {
        if self.line_cr {
            // The CR was the last octet of the input before.
            self.line_cr = false;
            if input.first() != Some(&b'\n') {
                return (0, self.bad_line(b"", "Bare CR in a command"));
            }
            let line = core::mem::take(&mut self.line);
            return (1, self.obey(&line));
        }
        let end = find_control(input).unwrap_or(input.len());
        let (text, rest) = input.split_at_checked(end).unwrap_or((input, &[]));
        if self.line.len() + text.len() > COMMAND_LINE_BYTES_MAX {
            // How much of the line is thrown away is counted from its start, whatever the segments.
            self.state = State::Discarding { octets: self.line.len() };
            if self.may_be_chunk(text) {
                return (0, self.fault(Fault::ChunkSize));
            }
            return (0, self.fault_with(500, EnhancedStatus(5, 5, 2), &"Line too long"));
        }
        match rest {
            [] => {
                // It fits: that was asked above.
                _ = self.line.extend_from_slice(text);
                (end, None)
            }
            [b'\r'] => {
                _ = self.line.extend_from_slice(text);
                self.line_cr = true;
                (end + 1, None)
            }
            [b'\r', b'\n', ..] if self.line.is_empty() => (end + 2, self.obey(text)),
            [b'\r', b'\n', ..] => {
                _ = self.line.extend_from_slice(text);
                let line = core::mem::take(&mut self.line);
                (end + 2, self.obey(&line))
            }
            [b'\r', ..] => (end + 1, self.bad_line(text, "Bare CR in a command")),
            [b'\n', ..] => (end + 1, self.bad_line(text, "Bare LF in a command")),
            [_, ..] => (end + 1, self.bad_line(text, "NUL in a command")),
        }
    }

    /// A line that must not be obeyed whatever else it says, after `text` on top of what is kept and one octet more.
    fn bad_line(&mut self, text: &[u8], why: &str) -> Option<Event<'static>> {
        self.state = State::Discarding { octets: self.line.len() + text.len() + 1 };
        if self.may_be_chunk(text) {
            return self.fault(Fault::ChunkSize);
        }
        self.fault_with(500, EnhancedStatus(5, 5, 2), &why)
    }

    /// Whether the line that is kept, with `text` behind it, may be meant as BDAT: what follows must not be read as commands
    /// then.
    fn may_be_chunk(&self, text: &[u8]) -> bool {
        let line = self.line.iter().chain(text).skip_while(|octet| octet.is_ascii_whitespace());
        line.take(4).map(u8::to_ascii_uppercase).eq(*b"BDAT")
    }

    /// Throws away what belongs to a line that has been answered.
    fn discard_line(&mut self, input: &[u8]) -> usize {
        self.line.clear();
        let State::Discarding { octets } = self.state else { return 0 };
        let room = COMMAND_LINE_DISCARDED_BYTES_MAX.saturating_sub(octets);
        let (mut at, mut cr) = (0, self.line_cr);
        self.line_cr = false;
        for octet in input.iter().take(room) {
            at += 1;
            if cr && *octet == b'\n' {
                self.state = State::Command;
                return at;
            }
            cr = *octet == b'\r';
        }
        if at == room {
            self.end_with(421, EnhancedStatus(4, 7, 0), "Line without end", End::Abuse);
        } else {
            self.line_cr = cr;
            self.state = State::Discarding { octets: octets + at };
        }
        at
    }

    /// Obeys one command line.
    fn obey(&mut self, line: &[u8]) -> Option<Event<'static>> {
        let command = match command::parse(line, self.extended) {
            Ok(command) => command,
            Err(Fault::BadHostName | Fault::ArgumentMissing)
                if self.config.repair && command::is_hello(line) =>
            {
                return self.hello("unknown", command::is_ehlo(line));
            }
            Err(fault) => return self.fault(fault),
        };
        match command {
            Command::Helo(name) => self.hello(name, false),
            Command::Ehlo(name) => self.hello(name, true),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt { recipient, international, dsn } => self.rcpt(recipient, international, dsn),
            Command::Data => self.data(),
            Command::Bdat(chunk) => self.bdat(chunk),
            Command::Rset => {
                let open = self.transaction.take().is_some();
                self.chunks_refused = false;
                self.idle_command(250, EnhancedStatus(2, 0, 0), "Forgotten");
                open.then_some(Event::Reset)
            }
            Command::Noop => self.idle_command(250, EnhancedStatus(2, 0, 0), "OK"),
            // RFC 5321 §3.5.3: a server that does not verify says so with 252.
            Command::Vrfy => self.idle_command(252, EnhancedStatus(2, 0, 0), "Send mail and see"),
            Command::Help => self.idle_command(214, EnhancedStatus(2, 0, 0), "See RFC 5321"),
            Command::Quit => {
                self.put(format_args!("221 2.0.0 Goodbye\r\n"));
                self.close(End::Quit);
                None
            }
        }
    }

    fn hello(&mut self, name: &str, extended: bool) -> Option<Event<'static>> {
        self.helo.clear();
        // The parser lets no longer name through.
        _ = self.helo.push_str(name);
        self.extended = extended;
        self.transaction = None;
        self.chunks_refused = false;
        if let Some(event) = self.count_idle_command() {
            return event;
        }
        let host = self.config.host_name.clone();
        if extended {
            let Config { message_bytes_max, offers, .. } = self.config;
            let word = |offered: bool, word: &'static str| if offered { word } else { "" };
            let chunking = word(offers.chunking, "250-CHUNKING\r\n");
            let binary = word(offers.binary(), "250-BINARYMIME\r\n");
            let utf8 = word(offers.smtp_utf8, "250-SMTPUTF8\r\n");
            self.put(format_args!(
                "250-{host}\r\n250-PIPELINING\r\n250-SIZE {message_bytes_max}\r\n250-8BITMIME\r\n{chunking}{binary}{utf8}"
            ));
            if offers.limits {
                let line = format_args!(
                    "250-LIMITS RCPTMAX={RECIPIENTS_MAX} MAILMAX={MESSAGES_PER_SESSION_MAX}\r\n"
                );
                self.put(line);
            }
            self.put(format_args!("250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n"));
        } else {
            self.put(format_args!("250 {host}\r\n"));
        }
        Some(Event::Hello)
    }

    fn mail(&mut self, mail: command::Mail) -> Option<Event<'static>> {
        let command::Mail { sender, international, size, body, smtp_utf8, dsn } = mail;
        let offers = self.config.offers;
        if self.helo.is_empty() {
            return self.out_of_order("Say HELO or EHLO first");
        }
        if self.transaction.is_some() {
            return self.out_of_order("A transaction is open already");
        }
        if (smtp_utf8 && !offers.smtp_utf8) || (body == Some(Body::BinaryMime) && !offers.binary()) {
            return self.fault(Fault::UnknownParameter);
        }
        if !smtp_utf8 && international {
            return self.fault(Fault::Utf8NotAnnounced);
        }
        let max = self.config.message_bytes_max;
        // RFC 1870 §6.1.
        if size.is_some_and(|s| s > u64::from(max)) {
            self.put_reply(&too_large(max));
            return None;
        }
        self.messages = self.messages.saturating_add(1);
        if self.messages > MESSAGES_PER_SESSION_MAX {
            // RFC 9422 §4.1. An honest client comes again with what it has left.
            let text = "Too many messages in one session, connect again";
            self.end_with(421, EnhancedStatus(4, 5, 3), text, End::Ours);
            return None;
        }
        let binary = body == Some(Body::BinaryMime);
        self.announced = Transaction { binary, smtp_utf8, ..Transaction::default() };
        (self.chunks_refused, self.chunks_discarded) = (false, 0);
        Some(Event::Mail {
            question: self.ask(Asked::Mail),
            sender,
            declared_size: size.and_then(|s| u32::try_from(s).ok()),
            body: body.unwrap_or_default(),
            smtp_utf8,
            dsn,
        })
    }

    fn rcpt(
        &mut self,
        recipient: Recipient,
        international: bool,
        dsn: RecipientParameters,
    ) -> Option<Event<'static>> {
        let Some(transaction) = self.transaction else {
            return self.out_of_order("Say MAIL first");
        };
        if transaction.chunked.is_some() {
            return self.out_of_order(CHUNKS_WAITED_FOR);
        }
        let recipient = match recipient.into_mailbox(&self.config.host_name) {
            Ok(_) if international && !transaction.smtp_utf8 => return self.fault(Fault::Utf8NotAnnounced),
            Ok(mailbox) => mailbox,
            Err(fault) => return self.fault(fault),
        };
        if !transaction.smtp_utf8
            && dsn.original.as_ref().is_some_and(|original| !original.as_written().is_ascii())
        {
            // RFC 6533 §3: raw UTF-8 needs SMTPUTF8, its escaped form does not.
            return self.fault(Fault::BadParameter);
        }
        let octets = recipient.as_str().len() + dsn.stored_bytes();
        if transaction.recipients >= RECIPIENTS_MAX
            || transaction.recipient_octets + octets > RECIPIENTS_BYTES_MAX
        {
            // RFC 5321 §4.5.3.1.10: 452, so that the peer sends to the others in a further transaction.
            self.put(format_args!("452 4.5.3 Too many recipients\r\n"));
            return None;
        }
        Some(Event::Rcpt { question: self.ask(Asked::Rcpt { octets }), recipient, dsn })
    }

    fn data(&mut self) -> Option<Event<'static>> {
        match self.transaction {
            None => self.out_of_order("Say MAIL and RCPT first"),
            // RFC 3030 §2: BDAT and DATA do not mix.
            Some(Transaction { chunked: Some(_), .. }) => self.out_of_order(CHUNKS_WAITED_FOR),
            // RFC 3030 §3: such content has no lines that a dot could stand on.
            Some(Transaction { binary: true, .. }) => self.out_of_order("BINARYMIME comes by BDAT"),
            Some(Transaction { recipients: 0, .. }) => {
                // RFC 5321 §3.3; RFC 2920 §3.1 has clients rely on the refusal.
                self.put_reply(&no_recipients());
                None
            }
            Some(_) => Some(Event::DataStart { question: self.ask(Asked::DataStart), chunked: false }),
        }
    }

    fn receive_content<'i>(&mut self, input: &'i [u8]) -> (usize, Option<Event<'i>>) {
        let State::Data(reader) = &mut self.state else { return (0, None) };
        let (taken, found) = reader.read(input);
        let event = match found {
            Found::Content(octets) => Some(Event::Data(octets)),
            Found::Violation(violation) => {
                self.refusal = Some(violation.reply(self.config.message_bytes_max));
                self.transaction = None;
                Some(Event::DataRefused(violation))
            }
            Found::End { disputed } => {
                let size = reader.size();
                self.transaction = None;
                self.state = State::Command;
                match self.refusal.take() {
                    None => {
                        self.idle_commands = 0;
                        Some(Event::DataEnd { question: self.ask(Asked::DataEnd), size })
                    }
                    Some(reply) => {
                        self.put_reply(&reply);
                        if disputed {
                            // Whether the peer takes what follows for commands or for content is not known.
                            self.close(End::Abuse);
                        } else if reply.code == 421 {
                            self.close(End::Ours);
                        }
                        None
                    }
                }
            }
            Found::Nothing if reader.discarded() > CONTENT_DISCARDED_BYTES_MAX => {
                self.end_with(421, EnhancedStatus(4, 7, 0), "Content without end", End::Abuse);
                None
            }
            Found::Nothing => None,
        };
        (taken, event)
    }

    fn ask(&mut self, asked: Asked) -> Question {
        self.state = State::Asking(asked);
        Question(())
    }

    fn take_asked(&mut self, question: Question) -> Option<Asked> {
        let Question(()) = question;
        let State::Asking(asked) = self.state else { return None };
        self.state = State::Command;
        Some(asked)
    }

    fn fault(&mut self, fault: Fault) -> Option<Event<'static>> {
        let (code, status) = fault.code();
        if fault.ends_session() {
            self.end_with(code, status, fault, End::Abuse);
            return None;
        }
        self.fault_with(code, status, &fault)
    }

    fn out_of_order(&mut self, text: &str) -> Option<Event<'static>> {
        self.fault_with(503, EnhancedStatus(5, 5, 1), &text)
    }

    /// Answers an error of the peer, or ends the session if it is one too many.
    fn fault_with(
        &mut self,
        code: u16,
        status: EnhancedStatus,
        text: &dyn fmt::Display,
    ) -> Option<Event<'static>> {
        self.errors = self.errors.saturating_add(1);
        if self.errors > ERRORS_PER_SESSION_MAX {
            self.end_with(421, EnhancedStatus(4, 7, 0), "Too many errors", End::Abuse);
        } else {
            self.put(format_args!("{code} {status} {text}\r\n"));
        }
        None
    }

    /// Answers a command that leads to no message.
    fn idle_command(&mut self, code: u16, status: EnhancedStatus, text: &str) -> Option<Event<'static>> {
        if let Some(event) = self.count_idle_command() {
            return event;
        }
        self.put(format_args!("{code} {status} {text}\r\n"));
        None
    }

    /// `Some` if that was one too many and the session is over.
    fn count_idle_command(&mut self) -> Option<Option<Event<'static>>> {
        self.idle_commands = self.idle_commands.saturating_add(1);
        (self.idle_commands > IDLE_COMMANDS_MAX).then(|| {
            self.end_with(421, EnhancedStatus(4, 7, 0), "Too many commands without a message", End::Abuse);
            None
        })
    }

    fn end_with(&mut self, code: u16, status: EnhancedStatus, text: impl fmt::Display, end: End) {
        if !self.is_closed() {
            self.put(format_args!("{code} {status} {text}\r\n"));
            self.close(end);
        }
    }

    fn close(&mut self, end: End) {
        self.state = State::Closed;
        self.transaction = None;
        self.end = Some(end);
    }

    fn put_reply(&mut self, reply: &Reply) {
        let Reply { code, status, text } = reply;
        match status {
            Some(status) => self.put(format_args!("{code} {status} {text}\r\n")),
            None => self.put(format_args!("{code} {text}\r\n")),
        }
    }

    /// Adds a reply to the output. There is room: `receive` takes nothing while there is less than the longest
    /// reply. A driver that does not drain before it gives up loses the farewell, nothing else.
    fn put(&mut self, reply: fmt::Arguments<'_>) {
        let before = self.output.len();
        if self.output.write_fmt(reply).is_err() {
            self.output.truncate(before);
        }
    }
}

impl Violation {
    fn reply(self, message_bytes_max: u32) -> Reply {
        let bad = |text: &str| Reply::new(554, EnhancedStatus(5, 6, 0), text);
        match self {
            Self::BareCr => bad("Message refused: a CR without LF"),
            Self::BareLf => bad("Message refused: an LF without CR"),
            Self::Nul => bad("Message refused: a NUL"),
            Self::LineTooLong => bad("Message refused: a line is too long"),
            Self::HeaderTooLong => {
                Reply::new(552, EnhancedStatus(5, 3, 4), "Message refused: the header is too long")
            }
            Self::TooLarge => too_large(message_bytes_max),
        }
    }
}

/// What a client hears that says something else between two chunks.
const CHUNKS_WAITED_FOR: &str = "Content has begun to come: BDAT or RSET";

fn no_recipients() -> Reply {
    Reply::new(554, EnhancedStatus(5, 5, 1), "No valid recipients")
}

fn too_large(message_bytes_max: u32) -> Reply {
    Reply::new(
        552,
        EnhancedStatus(5, 3, 4),
        format_args!("Message is larger than the {message_bytes_max} octets allowed"),
    )
}
