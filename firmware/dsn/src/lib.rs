//! Reports about mail: delivery status notifications (RFC 3461, 3464, 6522; international mail: RFC 6533).
//!
//! # Who is told what, and when
//!
//! | what happened | the sender said | the sender gets |
//! |---|---|---|
//! | a recipient failed for good, or was given up after its lifetime | nothing, or NOTIFY with FAILURE | a report of failure |
//! | | NOTIFY=NEVER, or without FAILURE | nothing |
//! | recipients wait for longer than the delay warning (4 h) | nothing, or NOTIFY with DELAY | one warning per message |
//! | | NOTIFY=NEVER, or without DELAY | nothing |
//! | the next hop took it, and reports itself (it offers DSN) | anything | what the next hop reports |
//! | the next hop took it, and knows no reports | NOTIFY with SUCCESS | a report: relayed |
//! | | anything else | nothing |
//!
//! All recipients of a message that have something to be told share one report. Nobody is told about mail that was
//! refused while it came (the client knows), and nothing is ever sent to the null sender `<>`. Mail from `<>` that
//! fails (a *double bounce*, if it is a report of ours) goes to the postmaster inside such a report, or waits for the
//! operator where no postmaster is set; a report to the postmaster that fails waits for the operator, too.
//!
//! # What a report is
//! ```text
//! From: Mail Delivery System <mailer-daemon@HOST>     To, Subject, Date if the time is known, Message-ID,
//! Auto-Submitted: auto-replied                        so that no vacation responder answers (RFC 3834)
//! Content-Type: multipart/report; report-type=delivery-status
//!   text/plain                  what happened to whom, and what the sender can do
//!   message/delivery-status     the same for machines
//!   message/rfc822              the message, or
//!   text/rfc822-headers         its header
//! ```
//! The message comes back whole only where something failed, its sender said RET=FULL, it is not larger than
//! `limits::dsn::RETURNED_MESSAGE_BYTES_MAX`, and can stand inside another message as it is; else its header comes
//! back, cut at `limits::dsn::RETURNED_HEADER_BYTES_MAX`, and the text says why.
//!
//! # Octets above 127
//! A `message/rfc822` part must not be encoded, so it is labelled 8bit where it has such octets, and the report then
//! wants an 8-bit way ([`Report::is_eight_bit`]), as the message did. Everything else is 7-bit: a returned header with
//! such octets is quoted-printable. In a report that is [international](Report::international) the parts are
//! `message/global-delivery-status`, `message/global-headers` and `message/global` in 8bit instead (RFC 6533): only a
//! sender that uses such addresses is known to understand them.
//!
//! # How it is written
//! Step by step into a vector that the caller empties in between, so memory is bounded by one step whatever the number
//! of recipients and the size of the message: [`Report::begin`], every recipient into the text, [`Text::end`], every recipient
//! again, [`Status::end`], the stored message, [`Content::end`]. The types allow no other order.
//!
//! # What is believed
//! Nothing that comes from outside. Addresses, replies, host names and envelope ids are cut to their bounds and lose every
//! octet that could end a line or steer a terminal; the boundary is random. Lines have at most 998 octets.
//!
//! # What it does not do
//! It does not decide who is told, and reads and stores nothing. It does not sign, decrypt or quote anything that was
//! not stored as it came.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod clean;
mod survey;
mod words;

pub use survey::{Omitted, Returned, Survey};

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use clean::{cleaned, paragraph, utf8_address};
use core::fmt::{self, Write as _};
use envelope::{EnhancedStatus, EnvelopeId, MailDate, OriginalRecipient, QueueId};
use limits::dsn::{REPLY_BYTES_MAX, TEXT_BYTES_MAX};
use mime::encode::QuotedPrintable;
use survey::What;
use words::Advice;

/// Why a report is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Recipients failed; others may be reported as relayed beside them.
    Failure,
    /// Recipients wait for longer than usual.
    Delay {
        /// Seconds that the message has waited.
        waited_s: u64,
        /// Seconds for which it will be tried further.
        remaining_s: u64,
    },
    /// Recipients were delivered or relayed, and none failed.
    Success,
    /// A message without a sender failed; the report goes to the postmaster.
    Undeliverable,
}

/// What became of a recipient (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It failed for good.
    Failed,
    /// It will be tried again.
    Delayed,
    /// It is in its mailbox.
    Delivered,
    /// A mail system took it that sends no reports.
    Relayed,
    /// It was given to several others.
    Expanded,
}

impl Action {
    const fn class(self) -> u8 {
        match self {
            Self::Failed => 5,
            Self::Delayed => 4,
            Self::Delivered | Self::Relayed | Self::Expanded => 2,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
            Self::Expanded => "expanded",
        })
    }
}

/// One recipient in a report.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'r> {
    /// The address that was tried.
    pub address: &'r str,
    /// ORCPT, if it was said.
    pub original: Option<&'r OriginalRecipient>,
    /// What became of it.
    pub action: Action,
    /// The last reply as it was received, code first (`550 5.1.1 No such user`), or a reason of our own.
    pub reply: &'r str,
    /// The host that replied.
    pub remote: Option<&'r str>,
    /// When it was last tried, if the time was known.
    pub last_attempt: Option<u64>,
    /// Until when it will be tried, if that can be told.
    pub retry_until: Option<u64>,
}

impl Recipient<'_> {
    /// The status code: the one in the reply if its class fits what happened, else one of the right class.
    #[must_use]
    pub fn status(&self) -> EnhancedStatus {
        let class = self.action.class();
        let (subject, detail) = reply_status(self.reply).unwrap_or_default();
        EnhancedStatus(class, subject, detail)
    }

    /// Whether the reply is one of a mail system.
    fn is_reply(&self) -> bool {
        reply_rest(self.reply).is_some()
    }
}

/// What follows the code of a reply.
fn reply_rest(reply: &str) -> Option<&str> {
    let (code, rest) = reply.split_at_checked(3)?;
    let begins = matches!(code.as_bytes(), [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9']);
    (begins && (rest.is_empty() || rest.starts_with(' '))).then(|| rest.trim_start())
}

/// Subject and detail of the status code in a reply.
fn reply_status(reply: &str) -> Option<(u16, u16)> {
    let word = reply_rest(reply)?.split(' ').next()?;
    let mut numbers = word.split('.').map(|number| {
        let is_number = (1..=3).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        if is_number { number.parse::<u16>().ok() } else { None }
    });
    match (numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()) {
        (Some(2 | 4 | 5), Some(subject), Some(detail), None) => Some((subject, detail)),
        _ => None,
    }
}

/// Everything that is known about a report before its recipients.
#[derive(Clone, Copy, Debug)]
pub struct Report<'r> {
    /// Our own name; a domain name.
    pub host: &'r str,
    /// The mailbox that the report goes to.
    pub to: &'r str,
    /// Why it is made.
    pub occasion: Occasion,
    /// The message that it is about.
    pub id: QueueId,
    /// Random octets, used for nothing else: boundary and Message-ID are made of them.
    pub random: [u8; 16],
    /// Seconds since 1970, if the time is known.
    pub now: Option<u64>,
    /// When the message came, if the time was known.
    pub arrived: Option<u64>,
    /// What the mail system called itself that the message came from; empty if it said nothing.
    pub received_from: &'r str,
    /// ENVID, if it was said.
    pub envelope_id: Option<&'r EnvelopeId>,
    /// Whether the reader understands international mail (RFC 6533): the message came from, or is for, an address that
    /// is not ASCII.
    pub international: bool,
    /// What is returned of the message.
    pub returned: Returned,
}

impl<'r> Report<'r> {
    /// Whether the report has octets above 127 and wants an 8-bit way.
    #[must_use]
    pub const fn is_eight_bit(&self) -> bool {
        self.international || self.returned.is_eight_bit()
    }

    /// Writes the header and the beginning of the explaining text.
    pub fn begin(self, out: &mut Vec<u8>) -> Text<'r> {
        let host = cleaned(self.host, TEXT_BYTES_MAX, false);
        let to = cleaned(self.to, TEXT_BYTES_MAX, self.international);
        let subject = match self.occasion {
            Occasion::Failure => "Your mail could not be delivered",
            Occasion::Delay { .. } => "Your mail is delayed",
            Occasion::Success => "Your mail was passed on",
            Occasion::Undeliverable => "Mail without a sender could not be delivered",
        };
        let mut w = Writer(out);
        w.line(format_args!("From: Mail Delivery System <mailer-daemon@{host}>"));
        w.line(format_args!("To: <{to}>"));
        w.line(format_args!("Subject: {subject}"));
        if self.now.is_some() {
            w.line(format_args!("Date: {}", MailDate(self.now)));
        }
        let (unique, _) = self.random.split_at(8);
        w.line(format_args!("Message-ID: <report.{}.{}@{host}>", self.id, Hex(unique)));
        w.line(format_args!("Auto-Submitted: auto-replied"));
        w.line(format_args!("MIME-Version: 1.0"));
        w.line(format_args!("Content-Type: multipart/report; report-type=delivery-status;"));
        w.line(format_args!(" boundary=\"{}\"", self.boundary()));
        if self.is_eight_bit() {
            w.line(format_args!("Content-Transfer-Encoding: 8bit"));
        }
        w.line(format_args!(""));
        w.line(format_args!("This is a report about mail, in a form that programs can read."));
        w.line(format_args!("--{}", self.boundary()));
        if self.international {
            w.line(format_args!("Content-Type: text/plain; charset=utf-8"));
            w.line(format_args!("Content-Transfer-Encoding: 8bit"));
        } else {
            w.line(format_args!("Content-Type: text/plain; charset=us-ascii"));
        }
        w.line(format_args!(""));
        paragraph(out, 0, &format!("This is the mail system at {host}."));
        empty(out);
        paragraph(out, 0, &self.opening());
        empty(out);
        Text { report: self, advice: Advice::default() }
    }

    /// What happened, in one paragraph.
    fn opening(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        _ = match self.occasion {
            Occasion::Undeliverable => write!(text, "A message without a sender"),
            _ => write!(text, "Your message"),
        };
        if self.arrived.is_some() {
            _ = write!(text, " of {}", MailDate(self.arrived));
        }
        _ = write!(text, " (here called {})", self.id);
        _ = match self.occasion {
            Occasion::Failure => {
                write!(text, " could not be delivered to everybody. This is what became of it:")
            }
            Occasion::Delay { waited_s, remaining_s } => write!(
                text,
                " has been waiting for {} and could not be delivered to everybody so far. This is only a warning: you \
                 need not send it again. It will be tried for another {}, and if that does not help you will be told. \
                 These recipients are waiting:",
                Duration(waited_s),
                Duration(remaining_s)
            ),
            Occasion::Success => write!(text, " was passed on, as you wanted to know:"),
            Occasion::Undeliverable => write!(
                text,
                ", most likely a report itself, could not be delivered, and there is nobody else to tell but you. This \
                 is what became of it:"
            ),
        };
        text
    }

    fn boundary(&self) -> impl fmt::Display {
        let (_, random) = self.random.split_at(8);
        let mut text = String::from("=_report_");
        _ = write!(text, "{}", Hex(random));
        text
    }
}

/// The explaining text is being written.
#[derive(Debug)]
#[must_use = "the report has only begun"]
pub struct Text<'r> {
    report: Report<'r>,
    advice: Advice,
}

impl<'r> Text<'r> {
    /// Writes what became of one recipient.
    pub fn recipient(&mut self, recipient: &Recipient<'_>, out: &mut Vec<u8>) {
        let international = self.report.international;
        let address = cleaned(recipient.address, TEXT_BYTES_MAX, international);
        paragraph(out, 0, &format!("<{address}>"));
        let status = recipient.status();
        let reply = cleaned(recipient.reply, REPLY_BYTES_MAX, international);
        let expired = matches!(status, EnhancedStatus(_, 4, 7));
        let said = if recipient.is_reply() && !expired {
            format!("The other mail system said: {reply}")
        } else if recipient.reply.is_empty() {
            String::new()
        } else {
            format!("The reason: {reply}.")
        };
        let what = match recipient.action {
            Action::Failed => {
                self.advice.note(status);
                format!("Not delivered: {}. {said}", words::meaning(status))
            }
            Action::Delayed => format!("Not delivered yet: {}. {said}", words::meaning(status)),
            Action::Delivered => String::from("Delivered."),
            Action::Relayed => String::from(
                "Passed on to a mail system that sends no reports of this kind: whether it arrives will not be told.",
            ),
            Action::Expanded => String::from("Passed on to several others, who will not be reported on."),
        };
        paragraph(out, 4, &what);
        empty(out);
    }

    /// Ends the text and begins the part for machines. Every recipient follows once more, in any order.
    pub fn end(self, out: &mut Vec<u8>) -> Status<'r> {
        let report = self.report;
        if matches!(report.occasion, Occasion::Failure) {
            for sentence in self.advice.sentences() {
                paragraph(out, 0, sentence);
            }
            empty(out);
        }
        match report.returned.omitted {
            Some(Omitted::TooLarge) => {
                paragraph(out, 0, "The message is too large to be returned. Its header is attached.");
            }
            Some(Omitted::Unfit) => {
                let text = "The message has lines that are too long to be returned. Its header is attached.";
                paragraph(out, 0, text);
            }
            None if matches!(report.returned.what, What::Message { .. }) => {
                paragraph(out, 0, "The message is attached.");
            }
            None => paragraph(out, 0, "The header of the message is attached."),
        }
        let mut w = Writer(out);
        w.delimiter(&report);
        if report.international {
            w.line(format_args!("Content-Type: message/global-delivery-status"));
            w.line(format_args!("Content-Transfer-Encoding: 8bit"));
        } else {
            w.line(format_args!("Content-Type: message/delivery-status"));
        }
        w.line(format_args!(""));
        if let Some(id) = report.envelope_id {
            let id = cleaned(&id.decoded(), TEXT_BYTES_MAX, false);
            w.line(format_args!("Original-Envelope-Id: {id}"));
        }
        let host = cleaned(report.host, TEXT_BYTES_MAX, false);
        w.line(format_args!("Reporting-MTA: dns; {host}"));
        if !report.received_from.is_empty() {
            let name = cleaned(report.received_from, TEXT_BYTES_MAX, false);
            w.line(format_args!("Received-From-MTA: dns; {name}"));
        }
        if report.arrived.is_some() {
            w.line(format_args!("Arrival-Date: {}", MailDate(report.arrived)));
        }
        Status { report }
    }
}

/// The part for machines is being written.
#[derive(Debug)]
#[must_use = "the report is not complete"]
pub struct Status<'r> {
    report: Report<'r>,
}

impl<'r> Status<'r> {
    /// Writes the fields of one recipient.
    pub fn recipient(&mut self, recipient: &Recipient<'_>, out: &mut Vec<u8>) {
        let international = self.report.international;
        let mut w = Writer(out);
        w.line(format_args!(""));
        if let Some(original) = recipient.original {
            let kind = cleaned(original.address_type(), TEXT_BYTES_MAX, false);
            let meant = original.decoded();
            let address = if original.is_utf8() {
                utf8_address(&meant, international)
            } else {
                cleaned(&meant, TEXT_BYTES_MAX, false)
            };
            w.line(format_args!("Original-Recipient: {kind}; {address}"));
        }
        if recipient.address.is_ascii() {
            let address = cleaned(recipient.address, TEXT_BYTES_MAX, false);
            w.line(format_args!("Final-Recipient: rfc822; {address}"));
        } else {
            let address = utf8_address(recipient.address, international);
            w.line(format_args!("Final-Recipient: utf-8; {address}"));
        }
        w.line(format_args!("Action: {}", recipient.action));
        w.line(format_args!("Status: {}", recipient.status()));
        if let Some(remote) = recipient.remote {
            w.line(format_args!("Remote-MTA: dns; {}", cleaned(remote, TEXT_BYTES_MAX, false)));
        }
        if !recipient.reply.is_empty() {
            let kind = if recipient.is_reply() { "smtp" } else { "x-stargate" };
            let reply = cleaned(recipient.reply, REPLY_BYTES_MAX, international);
            w.line(format_args!("Diagnostic-Code: {kind}; {reply}"));
        }
        if recipient.last_attempt.is_some() {
            w.line(format_args!("Last-Attempt-Date: {}", MailDate(recipient.last_attempt)));
        }
        if recipient.action == Action::Delayed && recipient.retry_until.is_some() {
            w.line(format_args!("Will-Retry-Until: {}", MailDate(recipient.retry_until)));
        }
    }

    /// Ends the part for machines and begins what is returned of the message.
    pub fn end(self, out: &mut Vec<u8>) -> Content<'r> {
        let report = self.report;
        let mut w = Writer(out);
        w.delimiter(&report);
        let (kind, encoding) = match report.returned.what {
            What::Message { eight_bit: false, .. } => ("message/rfc822", None),
            What::Message { eight_bit: true, global: false } => ("message/rfc822", Some("8bit")),
            What::Message { eight_bit: true, global: true } => ("message/global", Some("8bit")),
            What::Plain => ("text/rfc822-headers", None),
            What::Quoted => ("text/rfc822-headers", Some("quoted-printable")),
            What::Global => ("message/global-headers", Some("8bit")),
        };
        w.line(format_args!("Content-Type: {kind}"));
        if let Some(encoding) = encoding {
            w.line(format_args!("Content-Transfer-Encoding: {encoding}"));
        }
        w.line(format_args!(""));
        let quoted = matches!(report.returned.what, What::Quoted).then(QuotedPrintable::new);
        Content { report, left: report.returned.octets, quoted }
    }
}

/// The returned message or header is being written.
#[derive(Debug)]
#[must_use = "the report is not complete"]
pub struct Content<'r> {
    report: Report<'r>,
    left: u32,
    quoted: Option<QuotedPrintable>,
}

impl Content<'_> {
    /// Writes the next octets of the stored message, from its start; at most four times as many come out. `false`: it
    /// needs no more of them.
    pub fn push(&mut self, octets: &[u8], out: &mut Vec<u8>) -> bool {
        let count = octets.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let octets = octets.get(..count).unwrap_or_default();
        // Not more than is left, which is 32 bits.
        self.left -= count as u32;
        match &mut self.quoted {
            Some(quoted) => quoted.push(octets, out),
            None => out.extend_from_slice(octets),
        }
        self.left > 0
    }

    /// Ends the report.
    pub fn end(mut self, out: &mut Vec<u8>) {
        if let Some(quoted) = &mut self.quoted {
            quoted.finish(out);
        }
        Writer(out).line(format_args!("\r\n--{}--", self.report.boundary()));
    }
}

/// Lines with CRLF.
struct Writer<'o>(&'o mut Vec<u8>);

impl Writer<'_> {
    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a vector does not fail.
        _ = self.write_fmt(line);
        self.0.extend_from_slice(b"\r\n");
    }

    /// The CRLF before a delimiter belongs to it.
    fn delimiter(&mut self, report: &Report<'_>) {
        self.line(format_args!("\r\n--{}", report.boundary()));
    }
}

impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

fn empty(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

struct Hex<'b>(&'b [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// A length of time in the largest unit that says enough.
struct Duration(u64);

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, unit) = match self.0 {
            s if s >= 2 * 86_400 => (s / 86_400, "day"),
            s if s >= 2 * 3_600 => (s / 3_600, "hour"),
            s => (s / 60, "minute"),
        };
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}
