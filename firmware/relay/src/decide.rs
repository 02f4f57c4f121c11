//! What becomes of each message in the queue, and signing.

use crate::{Appliance, Platform};

/// Decides about messages for ever, one at a time; `limits::relay::DECIDERS_COUNT` of these run.
pub async fn worker<P: Platform>(_appliance: &Appliance<'_, P>) -> ! {
    unimplemented!()
}
