//! The scenarios that can be told with the real image, one after the other: the emulator wants the processor for itself.

use lab::{
    play::{Place, Verdict, play},
    scenarios,
    simulator::seed_of,
    wire::{
        alone,
        play::{How, play_alone},
    },
};
use std::time::Instant;

#[test]
fn scenarios_with_the_real_image() {
    let (mut shown, mut failed) = (0, Vec::new());
    let start = Instant::now();
    for scenario in scenarios::ALL {
        let how = How { seed: seed_of(scenario.name), ..How::default() };
        match play(scenario, Place::Image, &how) {
            Verdict::Shown => shown += 1,
            Verdict::Skipped(_) => {}
            Verdict::Failed(why) => failed.push(format!(
                "{} {}: {why}\nrepeat with: cargo xtask lab {} --seed {}",
                scenario.row, scenario.title, scenario.name, how.seed
            )),
        }
    }
    for story in alone::ALL.iter().filter(|story| story.open.is_none()) {
        let how = How { seed: seed_of(story.name), ..How::default() };
        match play_alone(story, &how) {
            Ok(()) => shown += 1,
            Err(why) => failed.push(format!(
                "{} {}: {why:#}\nrepeat with: cargo xtask lab {} --seed {}",
                story.row, story.title, story.name, how.seed
            )),
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), failed.len() + shown, failed.join("\n"));
    println!("{shown} scenarios with the real image in {:.0} s", start.elapsed().as_secs_f32());
}
