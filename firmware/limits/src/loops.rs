//! Mail that goes round in circles.

/// Passes of a message in one direction at which it is refused whoever it is for: a rule that sends back what we returned
/// is found at the first return, or at the second if the other server splits messages by recipients.
pub const LOOP_PASSES_ONE_WAY_MAX: u8 = 2;
/// Passes in whatever directions at which a message is refused. A redirection outward and one back make three; nobody
/// means five. One digit, because the size of the marker must be known before the message is sent.
pub const LOOP_PASSES_MAX: u8 = 5;

crate::const_assert!(LOOP_PASSES_ONE_WAY_MAX < LOOP_PASSES_MAX && LOOP_PASSES_MAX < 9);
