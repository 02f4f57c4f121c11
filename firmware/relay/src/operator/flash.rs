//! `show flash`: room, wear, and how long the flash will last.

use super::view::{Duration, Octets};
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use console::{Outcome, Screen};
use embedded_io_async::Write;
use limits::flash::{BLOCK_BYTES, BLOCK_ENDURANCE_ERASES};
use platform::Timer;
use spool::Health;

/// Characters of the longest bar.
const BAR_CHARS: u32 = 30;
/// Seconds of operation before a rate means anything.
const RATE_AFTER_S: u64 = 3_600;
/// Looks at figures that nobody has made yet, and milliseconds between them.
const LOOKS_MAX: u32 = 50;
const AGAIN_MS: u64 = 10;
const DAY_S: u64 = 86_400;

pub(super) async fn show<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let (mut usage, mut health) = (appliance.spool.usage(), appliance.spool.health());
    for _ in 0..LOOKS_MAX {
        if health.blocks > 0 {
            break;
        }
        // Nobody asked before, and somebody has the flash: in a moment he has not.
        appliance.timer.sleep_until(appliance.now().plus_ms(AGAIN_MS)).await;
        (usage, health) = (appliance.spool.usage(), appliance.spool.health());
    }
    screen.field("messages", format_args!("{}, {} arriving", usage.messages, usage.incoming)).await;
    screen
        .field(
            "room",
            format_args!("{} of {} octets used, {} promised", usage.used, usage.capacity, usage.reserved),
        )
        .await;
    screen.field("to be cleaned", format_args!("{} octets", usage.dead)).await;
    screen
        .field(
            "blocks",
            format_args!(
                "{} of {}K, {} free ({} erased), {} failing, {} retired",
                health.blocks,
                BLOCK_BYTES / 1_024,
                health.free,
                health.erased,
                health.failing,
                health.retired
            ),
        )
        .await;
    let mean = health.erases_mean_percent;
    screen
        .field(
            "erases",
            format_args!(
                "{} in all, {} to {} of one block, {}.{:02} on average",
                usage.erases_total,
                health.erases_min,
                health.erases_max,
                mean / 100,
                mean % 100
            ),
        )
        .await;
    wear(&health, screen).await;
    let running_s = appliance.now().0 / 1_000_000;
    screen
        .field(
            "programmed",
            format_args!("{} octets since the start {} ago", health.programmed(), Duration(running_s)),
        )
        .await;
    screen
        .field(
            "moved by cleaning",
            format_args!(
                "{} octets; levelling {}, refreshing {}",
                health.programmed_cleaning,
                Octets(health.programmed_levelling),
                Octets(health.programmed_refreshing)
            ),
        )
        .await;
    let cost = health.write_amplification_percent();
    screen
        .field(
            "amplification",
            format_args!("{}.{:02} octets for each octet of mail", cost / 100, cost % 100),
        )
        .await;
    let [rate, lifetime] = outlook(&health, running_s);
    screen.field("rate", rate).await;
    screen.field("lifetime", lifetime).await;
    let scrub = &health.scrub;
    screen
        .field(
            "check of all mail",
            format_args!(
                "passes: {} and {}.{} %; damaged: {}, misread: {}, refreshed: {}",
                scrub.passes,
                scrub.done_permille / 10,
                scrub.done_permille % 10,
                scrub.damaged,
                scrub.reread,
                scrub.refreshed
            ),
        )
        .await;
    Outcome::Done
}

/// Blocks by erase count, as bars.
async fn wear<W: Write>(health: &Health, screen: &mut Screen<W>) {
    let most = health.wear_bins.iter().copied().max().unwrap_or(0);
    if most == 0 || health.erases_max == health.erases_min {
        return;
    }
    let width = health.wear_bin_width.max(1);
    let mut from = health.erases_min;
    for (at, blocks) in health.wear_bins.iter().enumerate() {
        if from > health.erases_max {
            break;
        }
        let to = from.saturating_add(width - 1);
        let name = if at == 0 { "wear" } else { "" };
        let range = if width == 1 { format!("{from}") } else { format!("{from} to {to}") };
        // The smallest bar still shows that there is something.
        let length = (u32::from(*blocks) * BAR_CHARS).div_ceil(u32::from(most));
        let bar: String = (0..length).map(|_| '#').collect();
        screen.field(name, format_args!("{range:>16} {blocks:>4} {bar}")).await;
        from = to.saturating_add(1);
    }
}

/// Octets a day, and how long the flash stands that, in words.
fn outlook(health: &Health, running_s: u64) -> [String; 2] {
    if running_s < RATE_AFTER_S {
        let later = "not known before an hour of operation";
        return [later.into(), later.into()];
    }
    let programmed = health.programmed();
    let a_day = u128::from(programmed) * u128::from(DAY_S) / u128::from(running_s);
    let rate = format!("{} a day", Octets(u64::try_from(a_day).unwrap_or(u64::MAX)));
    // What was programmed must be erased sooner or later, so it counts where fewer blocks have been.
    let erases = health.erases.max(programmed.div_ceil(BLOCK_BYTES as u64));
    let left = health.erases_left(BLOCK_ENDURANCE_ERASES);
    let days = (u128::from(left) * u128::from(running_s)).checked_div(u128::from(erases) * u128::from(DAY_S));
    let at = format!("at this rate ({BLOCK_ENDURANCE_ERASES} erases a block)");
    let lifetime = match days {
        _ if left == 0 => "used up: replace the flash".into(),
        None => format!("more than 1000 years {at}"),
        Some(days) if days / 365 >= 1_000 => format!("more than 1000 years {at}"),
        Some(days) if days >= 730 => format!("about {} years {at}", days / 365),
        Some(days) => format!("about {days} days {at}"),
    };
    [rate, lifetime]
}

#[cfg(test)]
mod tests {
    use super::outlook;
    use alloc::string::String;
    use spool::Health;

    fn lifetime(health: &Health, seconds: u64) -> String {
        let [_, lifetime] = outlook(health, seconds);
        lifetime
    }

    #[test]
    fn the_lifetime_follows_from_what_was_erased() {
        let new = Health { blocks: 248, ..Health::default() };
        assert!(lifetime(&new, 60).contains("not known"));
        assert!(lifetime(&new, 86_400).contains("more than 1000 years"));
        // 248 blocks of 100,000 erases: 24.8 million, at 24,800 a day a thousand days.
        let busy = Health { erases: 24_800, ..new };
        assert!(lifetime(&busy, 86_400).contains("about 2 years"));
        // 6.2 GB a day fill as many blocks, also while the erased ones last.
        let filling = Health { programmed_intake: 24_800 * 262_144, ..new };
        assert!(lifetime(&filling, 86_400).contains("about 2 years"));
        assert_eq!(outlook(&filling, 86_400)[0], "6.0G a day");
        let worn = Health { erases_mean_percent: 10_000_000, erases: 1, ..new };
        assert!(lifetime(&worn, 86_400).contains("used up"));
    }
}
