//! RFC 5321 section 4.5.3: sizes and timeouts of the SMTP machines.

/// Octets of a command line without CRLF. RFC 5321 §4.5.3.1.4 asks for 512; extensions add to it (RFC 3461,
/// RFC 6531), and 2,048 holds every combination of the parameters that are understood.
pub const COMMAND_LINE_BYTES_MAX: usize = 2_048;
/// Octets of a reply line that is sent, with CRLF (RFC 5321 §4.5.3.1.5).
pub const REPLY_LINE_BYTES_MAX: usize = 512;
/// Octets of a line of message text that is accepted, without CRLF. RFC 5321 §4.5.3.1.6 lets a sender use 998;
/// real applications send long HTML lines, and content of any line length can be re-encoded before it leaves.
pub const TEXT_LINE_BYTES_MAX: usize = 65_536;
/// Octets of a header block. Exchange stops at 256 KiB too.
pub const HEADER_BYTES_MAX: usize = 262_144;
/// Octets of a local part (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_BYTES_MAX: usize = 64;
/// Octets of a domain (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_BYTES_MAX: usize = 255;
/// Octets of a mailbox: local part, `@`, domain.
pub const MAILBOX_BYTES_MAX: usize = LOCAL_PART_BYTES_MAX + 1 + DOMAIN_BYTES_MAX;
/// Octets of an ENVID as written (RFC 3461 §4.4).
pub const ENVID_BYTES_MAX: usize = 100;
/// Octets of an ORCPT as written, type and semicolon included (RFC 3461 §4.2).
pub const ORCPT_BYTES_MAX: usize = 500;
/// Recipients of one message. RFC 5321 §4.5.3.1.8 demands at least 100; Exchange uses 200 to 5,000.
pub const RECIPIENTS_MAX: usize = 1_000;
/// Octets that all recipients of one transaction may take together while it is open; then `452 4.5.3`.
/// At least 100 recipients of the longest kind fit, as RFC 5321 §4.5.3.1.8 demands; with the longest ORCPT each it is
/// half of them, and the others come in a further transaction.
pub const RECIPIENTS_BYTES_MAX: usize = 48 * 1_024;
/// Largest message by default, in octets as received.
pub const MESSAGE_BYTES_MAX_DEFAULT: u32 = 25 * 1_024 * 1_024;
/// Bad commands after which a session is ended with 421.
pub const ERRORS_PER_SESSION_MAX: u8 = 20;
/// Octets of a command line that are thrown away, from its start, before the session is ended with 421: enough
/// to answer every honest mistake, too little to be kept busy with.
pub const COMMAND_LINE_DISCARDED_BYTES_MAX: usize = 65_536;
/// Octets of content that are thrown away after it has been refused, before the session is ended: ten times the
/// largest message by default, for peers that announce no size and only look at the last reply.
pub const CONTENT_DISCARDED_BYTES_MAX: u64 = 10 * MESSAGE_BYTES_MAX_DEFAULT as u64;
/// Commands that lead to no message (HELO, EHLO, NOOP, RSET, VRFY, HELP) between two messages of a session. Clients that
/// keep a connection open send a NOOP now and then.
pub const IDLE_COMMANDS_MAX: u16 = 100;
/// MAIL commands of one session, announced with LIMITS (RFC 9422 §4.1). Far above what clients send over one
/// connection; whoever goes on for ever has to ask for a place again.
pub const MESSAGES_PER_SESSION_MAX: u16 = 1_000;
/// Digits of the size in BDAT. 20 hold every number of 64 bits; more than a few zeros before it is no number.
pub const CHUNK_DIGITS_MAX: usize = 24;
/// Octets of replies that a server session holds until they are sent: several replies to pipelined commands.
pub const SERVER_OUTPUT_BYTES: usize = 2_048;
/// Server: seconds without a command (RFC 5321 §4.5.3.2.7).
pub const SERVER_COMMAND_TIMEOUT_S: u32 = 300;
/// Server: seconds without data inside DATA.
pub const SERVER_DATA_TIMEOUT_S: u32 = 300;

/// Octets of the text of one reply, sent or kept. Fits a reply line with code and status before it.
pub const REPLY_TEXT_BYTES_MAX: usize = 240;

/// Client: octets of the longest command, a RCPT with a mailbox, NOTIFY and ORCPT.
pub const CLIENT_COMMAND_BYTES_MAX: usize = MAILBOX_BYTES_MAX + 64 + ORCPT_BYTES_MAX;
/// Client: octets of commands that are held until they are sent. Small enough to fit any peer's window whole, so
/// that a pipelining client never waits for a peer that waits for it (RFC 2920 §3.1).
pub const CLIENT_OUTPUT_BYTES: usize = 2_048;
/// Client: commands that may be unanswered at once where the peer offers PIPELINING.
pub const PIPELINED_COMMANDS_MAX: usize = 64;
/// Client: octets of a reply line that is received, with its end; twice what RFC 5321 §4.5.3.1.5 allows.
pub const REPLY_LINE_RECEIVED_BYTES_MAX: usize = 2 * REPLY_LINE_BYTES_MAX;
/// Client: lines of one reply.
pub const REPLY_LINES_MAX: usize = 100;
/// Client: seconds to wait for the greeting, and for the replies to EHLO, MAIL, RCPT and RSET
/// (RFC 5321 §4.5.3.2.1 to .3).
pub const CLIENT_REPLY_TIMEOUT_S: u32 = 300;
/// Client: seconds to wait for the 354 (RFC 5321 §4.5.3.2.4).
pub const CLIENT_DATA_TIMEOUT_S: u32 = 120;
/// Client: seconds in which the peer must take a further piece of content (RFC 5321 §4.5.3.2.5).
pub const CLIENT_CONTENT_TIMEOUT_S: u32 = 180;
/// Client: seconds to wait for the word on the message (RFC 5321 §4.5.3.2.6).
pub const CLIENT_END_TIMEOUT_S: u32 = 600;
/// Client: seconds to wait for the goodbye. Nothing depends on it.
pub const CLIENT_QUIT_TIMEOUT_S: u32 = 10;

crate::const_assert!(CLIENT_OUTPUT_BYTES >= 2 * CLIENT_COMMAND_BYTES_MAX);
crate::const_assert!(SERVER_OUTPUT_BYTES >= 2 * REPLY_LINE_BYTES_MAX);
// The longest reply to EHLO: host name and extensions.
crate::const_assert!(DOMAIN_BYTES_MAX + 220 <= REPLY_LINE_BYTES_MAX);
crate::const_assert!(COMMAND_LINE_DISCARDED_BYTES_MAX > COMMAND_LINE_BYTES_MAX);
crate::const_assert!(REPLY_TEXT_BYTES_MAX + 32 <= REPLY_LINE_BYTES_MAX);
crate::const_assert!(RECIPIENTS_BYTES_MAX >= 100 * (MAILBOX_BYTES_MAX + 2));
// Around the mailboxes: MAIL FROM:<> SIZE= BODY= SMTPUTF8 RET= ENVID=, and RCPT TO:<> NOTIFY= ORCPT=, with all of their words.
crate::const_assert!(90 + ENVID_BYTES_MAX <= 64 + ORCPT_BYTES_MAX);
crate::const_assert!(COMMAND_LINE_BYTES_MAX >= CLIENT_COMMAND_BYTES_MAX);
