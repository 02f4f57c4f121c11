//! Reports about delivery (RFC 3464).

/// Octets of the largest message that a report returns whole; of a larger one its header is returned. A report must
/// find room where the message itself has already taken much, and many a mailbox is small.
pub const RETURNED_MESSAGE_BYTES_MAX: u32 = 1_024 * 1_024;
/// Octets of a returned header; a longer one is cut at the end of a line. Real ones stay below half of it, and what
/// identifies a message stands at neither end for certain, so most of it must fit.
pub const RETURNED_HEADER_BYTES_MAX: u32 = 64 * 1_024;
/// Octets of a reply or reason that is quoted in a report.
pub const REPLY_BYTES_MAX: usize = 400;
/// Octets of any other text that comes from outside: addresses (an ORCPT has 500), host names.
pub const TEXT_BYTES_MAX: usize = 512;
/// Octets of a line of the explaining text, where words allow it (RFC 5322 §2.1.1 asks for 78).
pub const TEXT_LINE_BYTES: usize = 76;
/// Octets that one step of writing a report adds at most, apart from returned content: the longest is one recipient
/// with every field at its longest.
pub const STEP_BYTES_MAX: usize = 8 * 1_024;

crate::const_assert!(RETURNED_HEADER_BYTES_MAX <= RETURNED_MESSAGE_BYTES_MAX);
crate::const_assert!(crate::smtp::ORCPT_BYTES_MAX <= TEXT_BYTES_MAX);
// With the longest name of a field and two more values of its kind in the same line.
crate::const_assert!(TEXT_BYTES_MAX + REPLY_BYTES_MAX + 64 <= crate::mime::SAFE_LINE_BYTES_MAX);
