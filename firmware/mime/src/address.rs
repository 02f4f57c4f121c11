//! Who a message says it is from.

use alloc::string::String;
use serde::{Deserialize, Serialize};

/// The author of a message as far as a machine may rely on it (RFC 5322 §3.6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// There is no From field.
    Missing,
    /// Exactly one From field with exactly one mailbox: its addr-spec, at most
    /// [`MAILBOX_BYTES_MAX`](limits::smtp::MAILBOX_BYTES_MAX) octets, as written (case kept).
    One(String),
    /// One From field with several mailboxes. Nobody can sign for all of them.
    Several,
    /// Two From fields, or one that different readers understand differently. No identity may be derived from it.
    Ambiguous,
}
