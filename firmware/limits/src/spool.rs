//! The queue.

use crate::flash::{BLOCK_BYTES, BLOCK_HEADER_BYTES, RECORD_ALIGN_BYTES};
use crate::smtp::{DOMAIN_BYTES_MAX, ENVID_BYTES_MAX, MAILBOX_BYTES_MAX, ORCPT_BYTES_MAX, RECIPIENTS_MAX};

/// Messages that the queue holds at most; the index in RAM is sized for it.
pub const MESSAGES_COUNT_MAX: usize = 4_096;
/// Messages that may arrive at the same moment, one per inbound session.
pub const INCOMING_COUNT_MAX: usize = crate::relay::SESSIONS_IN_COUNT_MAX;
/// Places in the index that ordinary mail never takes, so that a bounce can always be queued.
pub const REPORTS_COUNT_RESERVED: usize = 64;
/// Payload octets of one content chunk on flash; also the buffer of a message that is arriving. 16 chunks with
/// their directory slots fill a block of 256 KiB to the last octet.
pub const CHUNK_BYTES: usize = 16_320;
/// Octets of a recipe: one record.
pub const RECIPE_BYTES_MAX: usize = CHUNK_BYTES;
/// Octets that are kept free for the recipe of a message that has none yet. A recipe with a chain of three
/// RSA-2048 certificates takes about 5 KiB; a larger one is admitted while there is room.
pub const RECIPE_BYTES_RESERVED: usize = 6 * 1_024;
/// Octets of the facts that the scanner found while the message arrived.
pub const FACTS_BYTES_MAX: usize = 2_048;
/// Octets of the envelope parameters that belong to the sender (RFC 3461 RET and ENVID).
pub const SENDER_EXTRA_BYTES_MAX: usize = 128;
/// Octets about where a message came from that its owner wants to have again: flags and the name of a rule.
pub const ORIGIN_BYTES_MAX: usize = 40;
/// Octets of the envelope parameters of one recipient (RFC 3461 NOTIFY and ORCPT; ORCPT alone may take 500).
pub const RECIPIENT_EXTRA_BYTES_MAX: usize = 512;
/// Octets of the last answer that is kept for a recipient.
pub const STATUS_TEXT_BYTES_MAX: usize = 128;
/// Octets of the reason why a message waits or is held.
pub const REASON_BYTES_MAX: usize = 96;
/// Attempts at a message that its log keeps: the latest. Enough to see what happened in the last hours, and little
/// enough that an attempt stays one small record.
pub const ATTEMPTS_LOGGED_MAX: usize = 6;
/// Octets of text of an entry of that log.
pub const ATTEMPT_TEXT_BYTES_MAX: usize = 48;
/// Recipients whose addresses, and whose states, share one record.
pub const PAGE_RECIPIENTS_COUNT: usize = 16;
/// Records that the index can name: content chunks, envelopes, recipient pages, states and recipes of all
/// messages together. 62 MiB hold 3,968 chunks; 4,096 messages with one recipient need 3 records each; the rest
/// is for messages with many recipients.
pub const RECORDS_COUNT_MAX: usize = 32_768;
/// Octets of flash that only reports (bounces) may take, beyond what ordinary mail can fill.
pub const REPORTS_BYTES_RESERVED: usize = 512 * 1_024;
/// Blocks that are never promised to messages: two that stay free for cleaning (one to copy into, one for what
/// power cuts leave half-written), one for the head, one so that the emptiest block is always worth cleaning, one
/// that may fail.
pub const BLOCKS_COUNT_RESERVED: usize = 5;
/// Commit records whose end had to be written elsewhere because their kill unit failed. A block of 256 KiB that fails as
/// a whole holds some 500 commit records; an end takes 32 octets until that block is erased.
pub const ENDED_COUNT_MAX: usize = 4_096;
/// Slots that one step of cleaning or scrubbing looks at.
pub const STEP_SLOTS_COUNT_MAX: usize = 64;
/// Notices about the flash that wait for the owner of the queue. They are rare; one is kept for "there was more".
pub const NOTICES_COUNT_MAX: usize = 16;
/// Reads of message content that keep their place (the block and record where the last one ended).
pub const CURSORS_COUNT: usize = 32;

crate::const_assert!(CHUNK_BYTES.is_multiple_of(RECORD_ALIGN_BYTES));
crate::const_assert!((CHUNK_BYTES + RECORD_ALIGN_BYTES) * 16 <= BLOCK_BYTES - BLOCK_HEADER_BYTES);
// The fixed fields, the sender, HELO, the facts and a full first page of recipients are one record.
crate::const_assert!(
    128 + MAILBOX_BYTES_MAX
        + DOMAIN_BYTES_MAX
        + SENDER_EXTRA_BYTES_MAX
        + ORIGIN_BYTES_MAX
        + FACTS_BYTES_MAX
        + PAGE_RECIPIENTS_COUNT * (4 + MAILBOX_BYTES_MAX + RECIPIENT_EXTRA_BYTES_MAX)
        <= CHUNK_BYTES
);
crate::const_assert!(
    64 + REASON_BYTES_MAX
        + ATTEMPTS_LOGGED_MAX * (16 + ATTEMPT_TEXT_BYTES_MAX)
        + PAGE_RECIPIENTS_COUNT * (16 + STATUS_TEXT_BYTES_MAX)
        <= CHUNK_BYTES
);
crate::const_assert!(RECIPIENTS_MAX < u16::MAX as usize);
crate::const_assert!(RECORDS_COUNT_MAX >= 4 * MESSAGES_COUNT_MAX + 2 * 3_968);
crate::const_assert!(MESSAGES_COUNT_MAX + INCOMING_COUNT_MAX < u16::MAX as usize);
// Version and one octet stand before the value.
crate::const_assert!(ENVID_BYTES_MAX + 2 <= SENDER_EXTRA_BYTES_MAX);
crate::const_assert!(ORCPT_BYTES_MAX + 2 <= RECIPIENT_EXTRA_BYTES_MAX);
