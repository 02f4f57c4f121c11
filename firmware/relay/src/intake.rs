//! Mail in: one session of an SMTP client.

use crate::{Appliance, Platform};
use core::net::SocketAddr;
use platform::Stream;

/// Serves one connection from greeting to close. `peer` is the client's address. Dropping the future half-way loses
/// nothing that was answered with 250.
pub async fn session<P: Platform, S: Stream>(
    _appliance: &Appliance<'_, P>,
    _stream: &mut S,
    _peer: SocketAddr,
) {
    unimplemented!()
}
