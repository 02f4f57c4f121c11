//! The queue.

/// Messages that the queue holds at most; the index in RAM is sized for it.
pub const MESSAGES_COUNT_MAX: usize = 4_096;
/// Payload octets of one content chunk on flash; also the buffer of a message that is arriving.
pub const CHUNK_BYTES: usize = 16 * 1_024;
