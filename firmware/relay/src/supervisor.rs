//! Keeps the appliance whole while it runs.

use crate::{Appliance, Platform, attend};
use embassy_futures::join::join5;
use limits::relay::{CLEAN_IDLE_MS, CLEAN_PAUSE_MS, OPERATING_TIME_SAVE_S, TPM_AGAIN_S};
use platform::Timer;
use spool::Notice;

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
        for notice in appliance.spool.take_notices() {
            tell(appliance, notice);
        }
        let pause_ms = if more { CLEAN_PAUSE_MS } else { CLEAN_IDLE_MS };
        appliance.timer.sleep_until(appliance.now().plus_ms(pause_ms)).await;
    }
}

/// What happened to the queue's flash, for the operator. A message that is damaged is not worked on any more; whoever has
/// it in hands finds out by itself.
fn tell<P: Platform>(appliance: &Appliance<'_, P>, notice: Notice) {
    match notice {
        Notice::BlockFailing { block } => {
            appliance.record_error("queue flash", format_args!("block {block} fails and is emptied"));
        }
        Notice::BlockRetired { block } => {
            appliance.record_error("queue flash", format_args!("block {block} is out of use from now on"));
        }
        Notice::BlockRefreshed { block } => {
            appliance
                .record_error("queue flash", format_args!("block {block} had decayed bits, is written anew"));
        }
        Notice::MessageDamaged { id } => {
            appliance.schedule.withdraw(id, appliance.now());
            appliance.record_error("queue flash", format_args!("message {id} is damaged"));
        }
        Notice::Lost => {
            appliance.record_error("queue flash", "more happened than is told here; see `show flash`");
        }
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
