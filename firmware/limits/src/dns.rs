//! Bounds of the resolver.

/// Octets of one label of a name (RFC 1035 §2.3.4).
pub const LABEL_BYTES_MAX: usize = 63;
/// Octets of a name on the wire, lengths and the root included (RFC 1035 §2.3.4).
pub const NAME_BYTES_MAX: usize = 255;
/// Mail exchangers of one domain that are looked at, the best first: more than any real domain has.
pub const EXCHANGERS_COUNT_MAX: usize = 16;
