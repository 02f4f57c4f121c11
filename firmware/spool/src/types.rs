//! What goes into the spool and what comes out.

use core::fmt;
use core::net::IpAddr;

use envelope::QueueId;
use heapless::String;
use limits::smtp::{DOMAIN_BYTES_MAX, MAILBOX_BYTES_MAX};
use limits::spool::{
    ATTEMPT_TEXT_BYTES_MAX, ATTEMPTS_LOGGED_MAX, ORIGIN_BYTES_MAX, REASON_BYTES_MAX,
    RECIPIENT_EXTRA_BYTES_MAX, SENDER_EXTRA_BYTES_MAX, STATUS_TEXT_BYTES_MAX,
};

/// Why a message is not let in. The peer hears `452` for `Now` and `552` for `Never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolFull {
    /// It would fit an emptier queue: try again later.
    Now,
    /// It would not fit an empty queue.
    Never,
}

impl fmt::Display for SpoolFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Now => "the queue is full",
            Self::Never => "larger than the whole queue",
        })
    }
}

impl core::error::Error for SpoolFull {}

/// Why an operation on the spool failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpoolError {
    /// No room (the peer: send later or send less).
    Full(SpoolFull),
    /// There is no such message (any more).
    NoSuchMessage,
    /// There is no such recipient.
    NoSuchRecipient,
    /// A value is longer than its bound in `limits::spool`: our caller's bug.
    TooLong,
    /// The record does not match its checksum: the message cannot be delivered; tell the operator.
    Damaged,
    /// The device failed (storage). What was committed before is still there.
    Flash,
}

impl From<SpoolFull> for SpoolError {
    fn from(full: SpoolFull) -> Self {
        Self::Full(full)
    }
}

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(full) => full.fmt(f),
            Self::NoSuchMessage => f.write_str("no such message"),
            Self::NoSuchRecipient => f.write_str("no such recipient"),
            Self::TooLong => f.write_str("value too long"),
            Self::Damaged => f.write_str("stored record is damaged"),
            Self::Flash => f.write_str("flash device failed"),
        }
    }
}

impl core::error::Error for SpoolError {}

/// Who competes for room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Class {
    /// Mail of others.
    #[default]
    Mail,
    /// Our own reports (bounces): may also take the room that is reserved for them.
    Report,
}

/// What a message will need, told before its content arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Admission {
    /// Octets of content, if declared. All of it is reserved at once. Without it one chunk is reserved and each
    /// further chunk when it is needed.
    pub size: Option<u32>,
    /// Recipients of the message.
    pub recipients: u16,
    /// Octets of all recipient addresses and their extras together.
    pub recipients_bytes: u32,
    /// Who competes for room.
    pub class: Class,
}

/// How a message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RFC 5321 HELO.
    #[default]
    Smtp,
    /// RFC 5321 EHLO.
    Esmtp,
    /// EHLO after STARTTLS (RFC 3848).
    Esmtps,
    /// Made by the appliance itself.
    Local,
    /// SMTPUTF8 was said on MAIL (RFC 6531 §3.7.3): whoever takes the message on must be able to.
    Utf8Smtp,
}

/// The envelope and circumstances of a message that is committed. The recipients are given beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Arrival<'a> {
    /// Reverse path without angle brackets; empty for `<>`.
    pub sender: &'a str,
    /// Envelope parameters of the sender, opaque to the spool (RET, ENVID, BODY).
    pub sender_extra: &'a [u8],
    /// Address of the peer; `None` for a message of our own.
    pub peer: Option<IpAddr>,
    /// What the peer called itself.
    pub helo: &'a str,
    /// How it came.
    pub protocol: Protocol,
    /// Seconds since 1970, if the time was known.
    pub time: Option<u64>,
    /// Where it came from and with which rights, opaque to the spool; at most [`ORIGIN_BYTES_MAX`] octets.
    pub origin: &'a [u8],
    /// What the scanner found, opaque to the spool; at most [`limits::spool::FACTS_BYTES_MAX`] octets.
    pub facts: &'a [u8],
    /// The moment of arrival, in the clock of the caller that all moments of the queue are in.
    pub moment: u64,
}

/// One recipient of a message that is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRecipient<'a> {
    /// Forward path without angle brackets.
    pub address: &'a str,
    /// Envelope parameters of the recipient, opaque to the spool (NOTIFY, ORCPT).
    pub extra: &'a [u8],
}

impl<'a> From<&'a str> for NewRecipient<'a> {
    fn from(address: &'a str) -> Self {
        Self { address, extra: &[] }
    }
}

/// The envelope of a stored message. Its facts are read by `Spool::facts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivalInfo {
    /// The message.
    pub id: QueueId,
    /// Octets of content as stored.
    pub size: u32,
    /// Reverse path; empty for `<>`.
    pub sender: String<MAILBOX_BYTES_MAX>,
    /// Envelope parameters of the sender.
    pub sender_extra: heapless::Vec<u8, SENDER_EXTRA_BYTES_MAX>,
    /// Where it came from and with which rights.
    pub origin: heapless::Vec<u8, ORIGIN_BYTES_MAX>,
    /// Address of the peer.
    pub peer: Option<IpAddr>,
    /// What the peer called itself.
    pub helo: String<DOMAIN_BYTES_MAX>,
    /// How it came.
    pub protocol: Protocol,
    /// Seconds since 1970, if the time was known.
    pub time: Option<u64>,
    /// The moment of arrival.
    pub moment: u64,
    /// Number of recipients.
    pub recipients: u16,
    /// Whether it is a report of our own.
    pub class: Class,
}

/// Result of an attempt for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// SMTP reply code, 0 if there was no reply.
    pub code: u16,
    /// Reply or reason; cut at [`limits::spool::STATUS_TEXT_BYTES_MAX`] octets.
    pub text: String<STATUS_TEXT_BYTES_MAX>,
}

impl Status {
    /// Makes a status; a long text is cut at a character boundary.
    #[must_use]
    pub fn new(code: u16, text: &str) -> Self {
        Self { code, text: cut(text) }
    }
}

/// The longest prefix of `text` that fits.
pub(crate) fn cut<const N: usize>(text: &str) -> String<N> {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    String::try_from(&text[..end]).unwrap_or_default()
}

/// Where a recipient stands. A message may end when nobody is open ([`Self::is_open`]) and nobody is owed a report
/// ([`Self::is_unreported`]).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum RecipientState {
    /// No attempt was decided yet.
    #[default]
    Pending,
    /// The next hop took responsibility, and nobody wants to be told.
    Delivered,
    /// Failed for now (4xx, connection lost, no route …).
    Deferred {
        /// What went wrong.
        status: Status,
        /// Attempts that failed for now, this one included.
        attempts: u8,
        /// The next attempt is due at this moment.
        next_try: u64,
    },
    /// Failed for good, and the sender was not told yet.
    Failed(Status),
    /// The next hop took responsibility, and the sender was not yet told, but wants to be.
    Relayed(Status),
    /// Over: failed and told, failed with nobody to tell, or given up by the operator.
    Closed(Status),
}

impl RecipientState {
    /// Whether another attempt is due: pending or deferred.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Pending | Self::Deferred { .. })
    }

    /// Whether a report about it is still owed: failed or relayed.
    #[must_use]
    pub const fn is_unreported(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Relayed(_))
    }

    /// What the last attempt brought, if there was one that is remembered.
    #[must_use]
    pub const fn status(&self) -> Option<&Status> {
        match self {
            Self::Pending | Self::Delivered => None,
            Self::Deferred { status, .. }
            | Self::Failed(status)
            | Self::Relayed(status)
            | Self::Closed(status) => Some(status),
        }
    }
}

/// One attempt at a message, as its log keeps it: the latest [`limits::spool::ATTEMPTS_LOGGED_MAX`] of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Seconds since 1970, if the time was known.
    pub time: Option<u64>,
    /// SMTP reply code, 0 if there was no reply.
    pub code: u16,
    /// With whom and what came of it.
    pub text: String<ATTEMPT_TEXT_BYTES_MAX>,
}

impl Attempt {
    /// Makes an entry of the log; a long text is cut at a character boundary.
    #[must_use]
    pub fn new(time: Option<u64>, code: u16, text: &str) -> Self {
        Self { time, code, text: cut(text) }
    }
}

/// Attempts at a message, the oldest first.
pub type History = heapless::Vec<Attempt, ATTEMPTS_LOGGED_MAX>;

/// What is recorded about a message in one step. The default changes nothing: name what changes, leave the rest.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// The present moment. The greatest that the queue has seen is known after a restart.
    pub moment: u64,
    /// An attempt: counted, and put into the log.
    pub attempt: Option<Attempt>,
    /// Whether the message waits for the operator.
    pub held: Option<bool>,
    /// The sender was told of the delay. Never taken back.
    pub warned: bool,
    /// Reports that were made about the message; a smaller number than the one on record changes nothing.
    pub reports: u16,
    /// Why it waits; `None` leaves the reason that is on record, an empty one removes it. Cut at
    /// [`limits::spool::REASON_BYTES_MAX`] octets.
    pub reason: Option<&'a str>,
}

/// One recipient of a stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Position in the envelope, from 0.
    pub index: u16,
    /// Forward path.
    pub address: String<MAILBOX_BYTES_MAX>,
    /// Envelope parameters of the recipient.
    pub extra: heapless::Vec<u8, RECIPIENT_EXTRA_BYTES_MAX>,
    /// Where it stands.
    pub state: RecipientState,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Waits for its next attempt.
    Queued,
    /// Waits for the operator.
    Held,
    /// Part of it cannot be read any more; only `remove` works.
    Damaged,
}

/// One line about a message, from RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brief {
    /// The message.
    pub id: QueueId,
    /// Octets of content.
    pub size: u32,
    /// Octets of flash that the message takes or may still take.
    pub room: u64,
    /// Seconds since 1970 when it arrived, if the time was known.
    pub time: Option<u64>,
    /// The moment of arrival, in the clock of the caller.
    pub moment: u64,
    /// Where it stands.
    pub state: MessageState,
    /// A record of its recipients' states cannot be read: it is held, and those recipients count as pending although
    /// some of them may have got it.
    pub uncertain: bool,
    /// Recipients in total.
    pub recipients: u16,
    /// Recipients that still need an attempt.
    pub recipients_open: u16,
    /// Recipients that a report is still owed for.
    pub recipients_unreported: u16,
    /// Attempts so far.
    pub attempts: u16,
    /// Whether the sender was told of the delay.
    pub warned: bool,
    /// Reports that were made about it.
    pub reports: u16,
    /// Whether a recipe is stored.
    pub has_recipe: bool,
    /// Mail or report.
    pub class: Class,
}

impl Brief {
    /// Whether nothing is left to do: nobody is open and nobody is owed a report.
    #[must_use]
    pub const fn is_finished(&self) -> bool {
        self.recipients_open == 0 && self.recipients_unreported == 0
    }
}

/// [`Brief`] and what a table about the queue shows besides, read from flash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The line.
    pub brief: Brief,
    /// Reverse path; empty for `<>`, and if it cannot be read.
    pub sender: String<MAILBOX_BYTES_MAX>,
    /// The first recipient; empty if it cannot be read.
    pub recipient: String<MAILBOX_BYTES_MAX>,
    /// Reason why it waits or is held, as short text; empty if there is none.
    pub reason: String<REASON_BYTES_MAX>,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Every recipient was delivered.
    Delivered,
    /// Finished, and failures were reported to the sender (or there was nobody to report to).
    Bounced,
    /// The operator removed it.
    Operator,
}

/// Room and wear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Usage {
    /// Blocks of the partition.
    pub blocks: u32,
    /// Blocks that were retired because they failed.
    pub blocks_retired: u32,
    /// Blocks that hold nothing live (erased, or erased before their next use).
    pub blocks_free: u32,
    /// Octets that can be promised to messages.
    pub capacity: u64,
    /// Octets of live records.
    pub used: u64,
    /// Octets promised to messages beyond their live records (content that is arriving, recipes, states).
    pub reserved: u64,
    /// Octets of dead records that cleaning will win back.
    pub dead: u64,
    /// Messages in the queue.
    pub messages: u32,
    /// Messages that are arriving.
    pub incoming: u32,
    /// Index records in use, of [`limits::spool::RECORDS_COUNT_MAX`].
    pub records: u32,
    /// Smallest erase count of a block.
    pub erases_min: u32,
    /// Largest erase count of a block.
    pub erases_max: u32,
    /// Sum of all erase counts.
    pub erases_total: u64,
    /// Octets that cleaning copied since the mount.
    pub moved: u64,
    /// Octets that were programmed since the mount, cleaning included.
    pub programmed: u64,
}

/// What the mount found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MountReport {
    /// Messages in the queue.
    pub messages: u32,
    /// Messages of which a record is missing or damaged; they are listed as [`MessageState::Damaged`].
    pub messages_damaged: u32,
    /// Messages that are held because a record of their recipients' states is damaged: see [`Brief::uncertain`].
    pub messages_uncertain: u32,
    /// The greatest moment that has passed according to the queue: of arrivals and of changes. The clock of the
    /// caller must not go back behind it. Moments of next attempts do not count, they may lie ahead.
    pub moment: u64,
    /// Valid records.
    pub records: u32,
    /// Directory slots that match no checksum: torn by a power cut, or damaged.
    pub slots_damaged: u32,
    /// Blocks with valid headers.
    pub blocks_in_use: u32,
    /// Blocks without a valid header: blank, foreign, or torn while they were erased.
    pub blocks_unformatted: u32,
    /// Blocks that were marked as bad.
    pub blocks_retired: u32,
    /// Blocks whose erase was interrupted.
    pub erases_interrupted: u32,
    /// Live messages or records beyond the bounds of the index. Only foreign flash content has such.
    pub beyond_index: u32,
}
