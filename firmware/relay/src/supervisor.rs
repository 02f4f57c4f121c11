//! Keeps the appliance whole while it runs.

use crate::{Appliance, Platform};
use embassy_futures::join::join3;
use limits::relay::{CLEAN_IDLE_MS, CLEAN_PAUSE_MS, TPM_AGAIN_S};
use platform::Timer;

/// Runs for ever: keeps the schedule's clock, starts the TPM again while it does not answer, cleans the queue's flash
/// ahead of need.
pub async fn tend<P: Platform>(appliance: &Appliance<'_, P>) -> ! {
    join3(appliance.schedule.run(&appliance.timer), tend_tpm(appliance), tend_flash(appliance)).await.0
}

async fn tend_tpm<P: Platform>(appliance: &Appliance<'_, P>) -> ! {
    loop {
        appliance.timer.sleep_until(appliance.now().plus_s(TPM_AGAIN_S)).await;
        if !appliance.tpm_ready.get() && appliance.keys.lock().await.restart_tpm().await.is_ok() {
            appliance.tpm_ready.set(true);
            appliance.record_tpm(Ok(false));
            appliance.schedule.hurry_decisions();
        }
    }
}

async fn tend_flash<P: Platform>(appliance: &Appliance<'_, P>) -> ! {
    loop {
        // An error here comes back to whoever needs the room.
        let more = appliance.spool.clean_step().await.unwrap_or(false);
        let pause_ms = if more { CLEAN_PAUSE_MS } else { CLEAN_IDLE_MS };
        appliance.timer.sleep_until(appliance.now().plus_ms(pause_ms)).await;
    }
}
