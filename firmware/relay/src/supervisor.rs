//! Keeps the appliance whole while it runs.

use crate::{Appliance, Platform, attend};
use embassy_futures::join::join5;
use limits::relay::{CLEAN_IDLE_MS, CLEAN_PAUSE_MS, OPERATING_TIME_SAVE_S, TPM_AGAIN_S};
use platform::Timer;

/// Runs for ever: keeps the schedule's clock, attends to messages (routes, ages, reports), starts the TPM again while it
/// does not answer, cleans the queue's flash ahead of need, keeps the operating time.
pub async fn tend<P: Platform>(appliance: &Appliance<'_, P>) -> ! {
    let clockwork = appliance.schedule.run(&appliance.timer);
    let others = (tend_tpm(appliance), tend_flash(appliance), tend_time(appliance));
    join5(clockwork, attend::run(appliance), others.0, others.1, others.2).await.0
}

async fn tend_tpm<P: Platform>(appliance: &Appliance<'_, P>) -> ! {
    loop {
        appliance.timer.sleep_until(appliance.now().plus_s(TPM_AGAIN_S)).await;
        if !appliance.tpm_ready.get() && appliance.keys.lock().await.restart_tpm().await.is_ok() {
            appliance.tpm_ready.set(true);
            appliance.record_tpm(Ok(false));
            appliance.schedule.hurry_decisions(appliance.now());
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

/// Mail ages in operating time; while there is none nobody needs it.
async fn tend_time<P: Platform>(appliance: &Appliance<'_, P>) -> ! {
    loop {
        appliance.timer.sleep_until(appliance.now().plus_s(OPERATING_TIME_SAVE_S)).await;
        if appliance.queued() > 0 {
            appliance.keep_time().await;
        }
    }
}
