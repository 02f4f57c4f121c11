//! The factory reset: nothing that makes an appliance this one stays on its flash.
//!
//! A mark in the settings comes first, and the settings go last and take it with them; so a reset that a power cut
//! interrupts is finished by the next start, before anything is served.

use flash_log::{Partition, SharedFlash};
use limits::flash::{EVENTS_BLOCKS, KEYSTORE_BLOCKS, SETTINGS_BLOCKS};
use platform::nor_flash::NorFlash;
use spool::Spool;

/// Erases queue, identities, events and settings, in this order. Returns whether all of it was erased; if not, a mark
/// that was set is still there. The store of the settings must be opened anew before it is used again.
pub(crate) async fn erase<F: NorFlash>(
    flash: &SharedFlash<F>,
    settings: &mut settings::Store<Partition<'_, F>>,
    spool: &Spool<Partition<'_, F>>,
) -> bool {
    let mut erased = spool.clear().await.is_ok();
    for block in KEYSTORE_BLOCKS.chain(EVENTS_BLOCKS) {
        erased &= erase_block(flash, block).await;
    }
    if !erased || settings.factory_reset().await.is_err() {
        return false;
    }
    // Blocks that count for nothing may still hold old octets. The first erase of the three that hits the empty head takes
    // nothing with it: all others are empty or worth nothing by now.
    for block in SETTINGS_BLOCKS {
        erased &= erase_block(flash, block).await;
    }
    erased
}

async fn erase_block<F: NorFlash>(flash: &SharedFlash<F>, block: u32) -> bool {
    let bytes = F::ERASE_SIZE as u32;
    let (Some(from), Some(to)) = (block.checked_mul(bytes), block.saturating_add(1).checked_mul(bytes))
    else {
        return false;
    };
    flash.lock().await.erase(from, to).await.is_ok()
}
