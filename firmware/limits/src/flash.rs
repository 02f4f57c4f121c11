//! Flash log geometry that all on-flash formats share.

/// Octets to which every record is aligned, and the smallest unit that is programmed, once.
pub const RECORD_ALIGN_BYTES: usize = 32;
