//! `cargo xtask lab`: lists scenarios, plays them on the simulator or with the real image.

use clap::Parser;
use lab::{
    play::{self, Place, Verdict},
    scenario::{Scenario, State},
    scenarios,
    simulator::seed_of,
    wire::{
        self,
        alone::{self, Alone},
        play::How,
    },
};
use std::{path::PathBuf, process::ExitCode, time::Instant};

#[derive(Parser)]
#[command(name = "lab", about = "Stories of the appliance in a virtual Internet.")]
struct Arguments {
    /// A row of the requirements, or the name of a scenario or its beginning.
    scenario: Vec<String>,
    /// The table of scenarios.
    #[arg(long)]
    list: bool,
    /// Every scenario.
    #[arg(long)]
    all: bool,
    /// On the simulator, in virtual time, instead of with the real image.
    #[arg(long)]
    sim: bool,
    /// All chance follows from it; without it, from the name of the scenario.
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Keeps the frames of the run in this file (pcapng).
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// No transcript of what is said on the wire.
    #[arg(long)]
    quiet: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    let alone: Vec<&Alone> = alone::ALL.iter().filter(|story| is_meant(&arguments, story)).collect();
    let chosen = match chosen(&arguments) {
        Ok(chosen) => chosen,
        Err(unknown) => {
            eprintln!("error: no scenario {unknown}; `--list` shows them all");
            return ExitCode::FAILURE;
        }
    };
    if chosen.is_empty() && alone.is_empty() {
        eprintln!("error: which scenario? `--list` shows them, `--all` plays them all");
        return ExitCode::FAILURE;
    }
    if arguments.pcap.is_some() && (arguments.sim || chosen.len() + alone.len() > 1) {
        eprintln!("error: --pcap is for one scenario with the real image");
        return ExitCode::FAILURE;
    }
    let place = if arguments.sim { Place::Simulator } else { Place::Image };
    let transcript = !arguments.quiet && chosen.len() == 1;
    // A failed story is told here, once; where in the source it failed is a part of it.
    let mut failed = Vec::new();
    for scenario in chosen {
        let seed = arguments.seed.unwrap_or_else(|| seed_of(scenario.name));
        let how = How { seed, pcap: arguments.pcap.clone(), transcript };
        let start = Instant::now();
        let verdict = play::play(scenario, place, &how);
        let took = start.elapsed().as_secs_f32();
        match verdict {
            Verdict::Shown => println!("shown   {:<5} {} ({took:.1} s)", scenario.row, scenario.title),
            Verdict::Skipped(why) => println!("skipped {:<5} {}: {why}", scenario.row, scenario.title),
            Verdict::Failed(why) => {
                println!("FAILED  {:<5} {} (seed {seed}, {took:.1} s)\n{why}", scenario.row, scenario.title);
                failed.push((scenario.name, seed));
            }
        }
    }
    for story in alone {
        let seed = arguments.seed.unwrap_or_else(|| seed_of(story.name));
        let how = How { seed, pcap: arguments.pcap.clone(), transcript };
        let start = Instant::now();
        let told = wire::play::play_alone(story, &how);
        let took = start.elapsed().as_secs_f32();
        match told {
            Ok(()) => println!("shown   {:<5} {} ({took:.1} s)", story.row, story.title),
            Err(why) => {
                println!("FAILED  {:<5} {} (seed {seed}, {took:.1} s)\n{why:#}", story.row, story.title);
                failed.push((story.name, seed));
            }
        }
    }
    for (name, seed) in &failed {
        let sim = if arguments.sim { " --sim" } else { "" };
        eprintln!("to repeat: cargo xtask lab {name}{sim} --seed {seed}");
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a story that needs the real image is asked for.
fn is_meant(arguments: &Arguments, story: &Alone) -> bool {
    let named = |name: &String| story.name.starts_with(name.as_str()) || story.row == name;
    !arguments.sim && ((arguments.all && story.open.is_none()) || arguments.scenario.iter().any(named))
}

/// The scenarios that were asked for, in the order of the table.
fn chosen(arguments: &Arguments) -> Result<Vec<&'static Scenario>, String> {
    if arguments.all {
        return Ok(scenarios::ALL.iter().collect());
    }
    let mut chosen: Vec<&'static Scenario> = Vec::new();
    for name in &arguments.scenario {
        let of_row = scenarios::ALL.iter().filter(|scenario| scenario.row == name);
        let before = chosen.len();
        chosen.extend(of_row);
        let alone = alone::ALL.iter().any(|story| story.name.starts_with(name.as_str()) || story.row == name);
        if chosen.len() == before && !alone {
            chosen.push(scenarios::find(name).ok_or_else(|| name.clone())?);
        }
    }
    Ok(chosen)
}

fn list() {
    for Scenario { row, name, title, state, runs, .. } in scenarios::ALL {
        let state = match state {
            State::Ready => String::from("ready"),
            State::Partly(why) => format!("partly: {why}"),
            State::Pending(why) => format!("pending: {why}"),
        };
        let alone = match runs {
            lab::scenario::Runs::Everywhere => String::new(),
            lab::scenario::Runs::Simulator(why) => format!("; simulator only: {why}"),
        };
        println!("{row:<5} {name}\n      {title}\n      {state}{alone}");
    }
    for Alone { row, name, title, open, .. } in alone::ALL {
        let state = open.map_or_else(|| String::from("ready"), |why| format!("open: {why}"));
        println!("{row:<5} {name}\n      {title}\n      {state}; real image only");
    }
}
