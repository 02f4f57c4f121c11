//! Bounds of the event log.

/// Octets of RAM that hold the last events, encoded. A message event takes about 100 octets with its addresses, so this
/// keeps the last several hundred; older ones are counted as lost.
pub const RING_BYTES: usize = 64 * 1_024;
/// Octets of one untrusted text in an event (reply of a peer, reason); longer text is cut and marked with `~`.
pub const TEXT_BYTES_MAX: usize = 160;
/// Octets of one address in an event; longer addresses are cut and marked with `~`.
pub const ADDRESS_BYTES_MAX: usize = crate::smtp::MAILBOX_BYTES_MAX;
/// Octets of one encoded event with its time: the largest has two addresses and two texts, and small numbers.
pub const EVENT_BYTES_MAX: usize = 2 * ADDRESS_BYTES_MAX + 2 * TEXT_BYTES_MAX + 128;
/// Characters that one event takes at most when it is printed: every octet may become an escape of 4 (`\x1b`).
pub const LINE_CHARS_MAX: usize = 4 * EVENT_BYTES_MAX;

crate::const_assert!(EVENT_BYTES_MAX < u16::MAX as usize);
crate::const_assert!(RING_BYTES >= 32 * EVENT_BYTES_MAX);
