//! Bounds of finding the next hop.

/// Addresses that are tried to reach one destination, of all its hosts together: 16 hosts with two each, or four with
/// eight.
pub const ADDRESSES_TRIED_COUNT_MAX: usize = 32;

crate::const_assert!(ADDRESSES_TRIED_COUNT_MAX >= crate::net::HOST_ADDRESSES_COUNT_MAX);
crate::const_assert!(ADDRESSES_TRIED_COUNT_MAX >= crate::dns::EXCHANGERS_COUNT_MAX);
