//! `cargo xtask test`: everything that must pass.

use super::{build, lint, tidy};
use crate::failures::Failures;
use crate::{metadata::Metadata, packages, step, sysroot};
use anyhow::Result;
use std::time::Instant;

/// Packages whose tests need the real machine and run after the firmware was built.
const MACHINE_TESTS: &[&str] = &["qemu"];
/// The whole appliance on the host.
const SIMULATION: &[&str] = &["sim"];
/// Scenarios in the virtual Internet: on the simulator with the host's tests, with the real image after it was built.
const LAB: &[&str] = &["lab"];
/// The queue beside a plain model: tells what it tried.
const MODEL: &[&str] = &["spool-model"];

/// Options of `test`.
#[derive(clap::Args)]
pub struct Options {
    /// Only these parts: tidy, lint, host, sim, machine. May be repeated.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Cuts the power of the real image at so many writes of its flash, instead of 200.
    #[arg(long, value_name = "COUNT")]
    cuts: Option<u64>,
    /// Random choices of the machine tests follow from this; without it, from the clock. Each test prints its own.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// A part of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Rules of the project.
    Tidy,
    /// Format, clippy, licences.
    Lint,
    /// Unit and property tests of all crates on the host.
    Host,
    /// The whole appliance on the host.
    Sim,
    /// The real image in the emulator.
    Machine,
}

/// Runs every part, collects all failures and tells them at the end with the commands that repeat them.
///
/// # Errors
/// When anything fails.
pub fn run(options: &Options) -> Result<()> {
    let start = Instant::now();
    let chosen = |part| options.only.is_empty() || options.only.contains(&part);
    super::kill_children_on_signals();
    let mut failures = Failures::new();
    let wanted = [packages::MACHINE, packages::PEERS, packages::FAULTS].concat();
    packages::ensure(&wanted)?;
    sysroot::ensure()?;
    let members: Vec<String> = Metadata::read()?.members.into_iter().map(|member| member.name).collect();
    let present = |names: &[&str]| members.iter().any(|member| names.contains(&member.as_str()));
    if chosen(Part::Tidy) {
        tidy::collect(&mut failures);
    }
    if chosen(Part::Host) {
        step::headline("Tests on the host");
        let others: Vec<&str> = [MACHINE_TESTS, SIMULATION, MODEL, LAB].concat();
        let mut arguments = vec!["--workspace"];
        for name in others.iter().filter(|name| present(&[name])) {
            arguments.extend(["--exclude", name]);
        }
        cargo_test("unit and property tests", &arguments, &[], Told::Count, &mut failures);
        if present(MODEL) {
            let arguments = ["--package", "spool-model"];
            cargo_test("the queue beside its model", &arguments, &[], Told::Proofs, &mut failures);
        }
    }
    if chosen(Part::Sim) && present(SIMULATION) {
        step::headline("The appliance on the host");
        cargo_test("simulation", &["--package", "sim"], &[], Told::Count, &mut failures);
        if present(LAB) {
            let arguments = ["--package", "lab", "--lib"];
            cargo_test("scenarios on the simulator", &arguments, &[], Told::Count, &mut failures);
        }
    }
    if chosen(Part::Machine) && present(MACHINE_TESTS) {
        let mut built = false;
        failures.attempt("building the firmware", "cargo xtask build", || {
            build::run(&build::Options::quiet())?;
            built = true;
            Ok(())
        });
        if built {
            step::headline("The real image in the emulator");
            let given = [("STARGATE_CUTS", options.cuts), ("STARGATE_SEED", options.seed)];
            let variables: Vec<_> =
                given.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
            cargo_test("machine tests", &["--package", "qemu"], &variables, Told::Proofs, &mut failures);
            if present(LAB) {
                failures.attempt("servers for the lab", "cargo xtask setup", packages::unpack_peers);
                let arguments = ["--package", "lab", "--test", "image"];
                cargo_test(
                    "scenarios with the real image",
                    &arguments,
                    &variables,
                    Told::Proofs,
                    &mut failures,
                );
            }
        }
    }
    if chosen(Part::Lint) {
        lint::collect(false, &mut failures);
    }
    step::note(&format!("took {}", step::seconds(start.elapsed())));
    failures.report("test")
}

/// What is told of tests that passed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// How many they were.
    Count,
    /// Also what each printed: what it proves, from which seed.
    Proofs,
}

/// One run of `cargo test`; compiled first, so that the time of the tests themselves shows.
fn cargo_test(
    what: &str,
    arguments: &[&str],
    variables: &[(&str, u64)],
    told: Told,
    failures: &mut Failures,
) {
    let set: String = variables.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    let repeat = format!("{set}cargo test {}", arguments.join(" "));
    failures.attempt(what, &repeat, || {
        let mut compile = lint::host_cargo();
        compile.arg("test").args(arguments).arg("--no-run");
        step::run(&format!("compiling {what}"), &mut compile)?;
        let mut cargo = lint::host_cargo();
        // The documentation's examples are tests of the public interface; they run with the rest.
        cargo.arg("test").args(arguments).arg("--no-fail-fast");
        cargo.envs(variables.iter().map(|(name, value)| (name, value.to_string())));
        if told == Told::Proofs {
            cargo.args(["--", "--show-output"]);
        }
        let finished = step::run_silently(what, &mut cargo)?;
        if told == Told::Proofs {
            printed_by_tests(&finished.stdout).for_each(step::note);
        }
        let passed: u64 = finished.stdout.lines().filter_map(passed_in).sum();
        step::note(&format!("{what}: {passed} passed in {}", step::seconds(finished.took)));
        Ok(())
    });
}

/// The lines that passing tests printed, from the output of `--show-output`: each block has a heading
/// `---- NAME stdout ----` and ends with an empty line.
fn printed_by_tests(output: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    output.lines().filter(move |line| {
        let heading = line.starts_with("---- ") && line.ends_with(" stdout ----");
        inside = heading || (inside && !line.is_empty());
        inside && !heading
    })
}

/// The count in `test result: ok. 12 passed; …`.
fn passed_in(line: &str) -> Option<u64> {
    line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse().ok()
}
