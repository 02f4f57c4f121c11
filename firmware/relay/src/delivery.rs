//! Mail out.

use crate::{Appliance, Platform};
use platform::Connector;

/// Delivers for ever, one message at a time, over connections that `connector` opens;
/// `limits::relay::SESSIONS_OUT_COUNT_MAX` of these run.
pub async fn worker<P: Platform, C: Connector>(_appliance: &Appliance<'_, P>, _connector: &mut C) -> ! {
    unimplemented!()
}
