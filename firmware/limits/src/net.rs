//! Bounds of addresses and the network.

/// Port of SMTP relay (RFC 5321 §4.5.4.2).
pub const SMTP_PORT: u16 = 25;
/// Addresses of one host that are tried.
pub const HOST_ADDRESSES_COUNT_MAX: usize = 8;
