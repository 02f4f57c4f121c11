//! The console: executes what the operator says.

use crate::{Appliance, Platform};
use embedded_io_async::{Read, Write};

/// Serves the console for ever. Input that cannot be read or output that cannot be written is ignored: the console
/// may be unplugged at any time.
pub async fn run<P: Platform, R: Read, W: Write>(_appliance: &Appliance<'_, P>, _input: R, _output: W) -> ! {
    unimplemented!()
}
