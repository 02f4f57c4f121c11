//! Bounds of SPF.

/// Terms of a record, and of all that it includes, that ask DNS (RFC 7208 §4.6.4).
pub const LOOKUPS_COUNT_MAX: u8 = 10;
/// Of these, terms whose question finds nothing (RFC 7208 §4.6.4).
pub const VOID_LOOKUPS_COUNT_MAX: u8 = 2;
/// Hosts of one `mx` term, and names of one address (RFC 7208 §4.6.4).
pub const HOSTS_COUNT_MAX: usize = 10;
/// Octets of one record. A name server gives no more than this in one answer over UDP without its being cut, and the
/// standard asks for 450 (RFC 7208 §3.4).
pub const RECORD_BYTES_MAX: usize = 4_096;
/// Octets that a macro string grows to before it is cut to the length of a name.
pub const EXPANDED_BYTES_MAX: usize = 1_024;
