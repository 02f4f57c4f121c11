//! Keeps the appliance whole while it runs.

use crate::{Appliance, Platform};

/// Runs for ever: tries to open the key store again while the TPM does not answer.
pub async fn tend<P: Platform>(_appliance: &Appliance<'_, P>) -> ! {
    unimplemented!()
}
