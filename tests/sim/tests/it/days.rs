//! Random days. See [`sim::day`].

use sim::day::Day;
use sim::world::{stories, story};

fn days() -> u64 {
    std::env::var("SIM_DAYS").ok().and_then(|days| days.parse().ok()).unwrap_or(1)
}

#[test]
fn on_a_day_with_power_cuts_every_message_ends_once() {
    stories(3, |world| async move {
        let evening = Day { days: days(), ..Day::default() }.live(&world).await;
        let s = &evening.settled;
        println!(
            "{} accepted, {} cuts: {} delivered, {} reported, {} doubles",
            evening.accepted,
            evening.cuts,
            s.delivered,
            s.failed,
            s.doubles.len()
        );
        assert!(evening.accepted > 100 && s.delivered > 100);
        s.expect_explained();
    });
}

#[test]
fn on_a_day_without_power_cuts_every_message_ends_once() {
    story(|world| async move {
        let evening = Day { days: days(), hours_between_cuts: 0, ..Day::default() }.live(&world).await;
        evening.settled.expect_explained();
        assert_eq!(evening.settled.kept, 0);
    });
}
