//! The machine as a whole: time, restart, factory reset.

use super::view::Duration;
use crate::{Appliance, Platform, reset};
use console::{Outcome, Screen};
use embedded_io_async::Write;
use events::Event;
use limits::relay::CLOCK_EARLIEST_S;
use platform::{Power, Timer, WallClock};

/// Seconds by which a clock that is set by hand may differ from what it was before anybody wonders: a slip in the day is
/// more, what a clock loses in years is less.
const CLOCK_JUMP_S: u64 = 12 * 3_600;

/// Milliseconds for the last words to reach the terminal.
const LAST_WORDS_MS: u64 = 200;

/// Milliseconds that messages in hands get to be finished before a restart: what the next hop has just taken should
/// not be sent again. A peer that takes longer is not waited for.
const FINISH_MS: u64 = 3_000;

/// Milliseconds between two looks at what is in hands.
const FINISH_LOOK_MS: u64 = 20;

pub(super) async fn set_time<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    unix: u64,
    screen: &mut Screen<W>,
) -> Outcome {
    if unix < CLOCK_EARLIEST_S {
        screen
            .line("That was before this firmware was made; `time set` takes the present time, in UTC.")
            .await;
        return Outcome::Failed;
    }
    let before = appliance.unix_seconds();
    appliance.clock.set_unix_seconds(unix);
    appliance.clock_set.set(true);
    appliance.record(&Event::ClockSet { unix, source: "operator".into() });
    screen.line(format_args!("It is {}.", envelope::LogDate(Some(unix)))).await;
    if let Some(before) = before.filter(|before| unix.abs_diff(*before) > CLOCK_JUMP_S) {
        let by = Duration(unix.abs_diff(before));
        let way = if unix > before { "later" } else { "earlier" };
        screen
            .line(format_args!(
                "That is {by} {way} than before. The queue does not mind: it counts hours of operation. Are year \
                 and month right?"
            ))
            .await;
    }
    Outcome::Done
}

pub(super) async fn reboot<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    appliance.record(&Event::Stopping { reason: "reboot".into() });
    screen.line("Restarting. What is in the queue stays there.").await;
    stop(appliance).await;
    restart(appliance).await
}

/// Takes no more mail, lets nothing new leave, and waits a little for what is in hands.
async fn stop<P: Platform>(appliance: &Appliance<'_, P>) {
    appliance.stopping.set(true);
    appliance.schedule.stop();
    let end = appliance.now().plus_ms(FINISH_MS);
    while !appliance.schedule.is_idle() && appliance.now() < end {
        appliance.timer.sleep_until(appliance.now().plus_ms(FINISH_LOOK_MS)).await;
    }
    appliance.keep_time().await;
}

async fn restart<P: Platform>(appliance: &Appliance<'_, P>) -> Outcome {
    appliance.timer.sleep_until(appliance.now().plus_ms(LAST_WORDS_MS)).await;
    appliance.power.reboot()
}

/// Erases everything that makes this appliance this one: [`crate::reset`].
pub(super) async fn factory_reset<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    appliance.record(&Event::Stopping { reason: "factory-reset".into() });
    screen.line("Erasing settings, identities and the queue; then it restarts.").await;
    // What would be accepted from here on would be erased, or outlive the erasing.
    stop(appliance).await;
    appliance.settings.replace(settings::Settings::default());
    appliance.routing_changed();
    let mut store = appliance.settings_store.lock().await;
    let marked = store.begin_factory_reset().await.is_ok();
    let erased = reset::erase(appliance.flash, &mut store, &appliance.spool).await;
    drop(store);
    if !erased {
        let then = if marked { "The restart goes on with it." } else { "Restarting; try again." };
        screen
            .line(format_args!(
                "The flash could not be erased as a whole. {then} If that repeats, replace the flash."
            ))
            .await;
    }
    restart(appliance).await
}
