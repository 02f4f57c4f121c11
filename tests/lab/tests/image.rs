//! The scenarios that can be told with the real image, one after the other: the emulator wants the processor for itself.

use lab::{
    play::{Place, Verdict, play},
    scenarios,
    simulator::seed_of,
    wire::play::How,
};
use std::time::Instant;

/// Those that every run of all tests plays: one of each kind that takes a few seconds. `cargo xtask lab --all` plays the
/// others, too.
const ALWAYS: [&str; 13] = [
    "r0_05_one_name_everywhere",
    "r0_11_smart_host_by_address",
    "r0_14_one_source_address",
    "r0_19_send_connector_on_premises",
    "r0_21_every_version_of_exchange",
    "r0_23_relayhost_overrides",
    "r0_24_route_table",
    "r0_27_queue_is_empty_when_all_works",
    "r1_02_send_as",
    "r1_06_associated_domains",
    "r4_13_factory_state",
    "trap-4",
    "trap-8",
];

#[test]
fn scenarios_with_the_real_image() {
    let (mut shown, mut failed) = (0, Vec::new());
    let start = Instant::now();
    for scenario in ALWAYS.map(|name| scenarios::find(name).expect("a scenario of the table")) {
        let begun = Instant::now();
        let how = How { seed: seed_of(scenario.name), ..How::default() };
        match play(scenario, Place::Image, &how) {
            Verdict::Shown => {
                shown += 1;
                println!("{} {}: {:.1} s", scenario.row, scenario.title, begun.elapsed().as_secs_f32());
            }
            Verdict::Skipped(_) => {}
            Verdict::Failed(why) => failed.push(format!(
                "{} {}: {why}\nrepeat with: cargo xtask lab {} --seed {}",
                scenario.row, scenario.title, scenario.name, how.seed
            )),
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), failed.len() + shown, failed.join("\n"));
    println!("{shown} scenarios with the real image in {:.0} s", start.elapsed().as_secs_f32());
}
