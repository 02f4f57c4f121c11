//! The appliance as a whole.

/// SMTP sessions that are served at once.
pub const SESSIONS_IN_COUNT_MAX: usize = 64;
/// Deliveries that run at once.
pub const SESSIONS_OUT_COUNT_MAX: usize = 16;
