//! The long run: `cargo xtask sim` starts it.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use spool_model::case::{self, Faults};
use spool_model::damage::{self, Bank};
use spool_model::exhaustive::{self, Extent};
use spool_model::lab;

/// Cuts the power of the queue, on a simulated flash, until it breaks or the number is reached.
#[derive(Parser)]
struct Options {
    /// Cuts in total.
    #[arg(long, default_value_t = 20_000)]
    cuts: u64,
    /// Damages filled banks instead, so many times.
    #[arg(long)]
    damage: Option<u64>,
    /// Changes each octet of the metadata of a filled bank instead.
    #[arg(long)]
    flips: bool,
    /// Runs a fixed workload instead and cuts each of its operations, each followed by second cuts.
    #[arg(long)]
    exhaustive: bool,
    /// Seed of all cases.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Repeats exactly this case.
    #[arg(long)]
    case: Option<u64>,
    /// Without failing blocks, which otherwise every second case has.
    #[arg(long)]
    good_flash: bool,
    /// Cases at a time.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
}

/// Damaged images of a case.
const CASE_IMAGES: u64 = 500;
/// Octets of metadata of a case.
const CASE_OCTETS: usize = 2_000;

/// What was done, whichever it was.
#[derive(Default)]
struct Total {
    cuts: lab::Counts,
    damage: damage::Counts,
    second: u64,
}

impl Total {
    fn add(&mut self, other: &Self) {
        self.cuts.add(&other.cuts);
        self.damage.add(&other.damage);
        self.second += other.second;
    }
}

impl std::fmt::Display for Total {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.damage.images > 0 {
            return self.damage.fmt(f);
        }
        self.cuts.fmt(f)?;
        if self.second > 0 { write!(f, ", {} of the cuts second ones", self.second) } else { Ok(()) }
    }
}

impl Options {
    fn faults(&self, number: u64) -> Faults {
        if self.good_flash || number.is_multiple_of(2) { Faults::None } else { Faults::Blocks }
    }

    /// One case of what was asked for.
    fn one(&self, number: u64) -> Result<Total, String> {
        let mut total = Total::default();
        if self.damage.is_some() {
            let bank = Bank::fill(self.seed.wrapping_add(number))?;
            for case in number * CASE_IMAGES..(number + 1) * CASE_IMAGES {
                damage::random(&bank, self.seed, case, &mut total.damage)?;
            }
        } else if self.flips {
            let bank = Bank::fill(self.seed)?;
            let octets = bank.metadata();
            let from = (number as usize * CASE_OCTETS).min(octets.len());
            for at in &octets[from..octets.len().min(from + CASE_OCTETS)] {
                damage::flip(&bank, *at, 0xff, at % 8 == 0, &mut total.damage)?;
                damage::flip(&bank, *at, 1 << (at % 8), false, &mut total.damage)?;
            }
        } else if self.exhaustive {
            let extent = Extent { cuts: 500, second_every: 1, seed: self.seed.wrapping_add(number) };
            let done = exhaustive::run(extent)?;
            (total.cuts, total.second) = (done.counts, done.second);
        } else {
            total.cuts = case::run(self.seed, number, self.faults(number), case::CASE_CUTS)?;
        }
        Ok(total)
    }

    /// The kind of run, as it is asked for.
    fn kind(&self) -> String {
        let damage = self.damage.map(|_| " --damage 1".to_string()).unwrap_or_default();
        let flag = |set, name: &str| if set { format!(" --{name}") } else { String::new() };
        let flips = flag(self.flips, "flips");
        damage + &flips + &flag(self.exhaustive, "exhaustive") + &flag(self.good_flash, "good-flash")
    }

    /// Whether so much is enough.
    fn enough(&self, total: &Total, last: &Total) -> bool {
        match self.damage {
            Some(images) => total.damage.images >= images,
            None if self.flips => last.damage.images == 0,
            None => total.cuts.cuts >= self.cuts,
        }
    }

    /// Runs a case; a panic is a failure like others.
    fn run(&self, number: u64) -> Result<Total, String> {
        let result = std::panic::catch_unwind(|| self.one(number));
        let panicked = |panic: Box<dyn std::any::Any + Send>| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).into())).unwrap_or_default())
        };
        result.unwrap_or_else(panicked).map_err(|error| {
            format!("{error}\nrepeat: cargo xtask sim{} --seed {} --case {number}", self.kind(), self.seed)
        })
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    println!("seed {}", options.seed);
    let start = Instant::now();
    let total = Mutex::new(Total::default());
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let failures = Mutex::new(Vec::new());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = options.case.unwrap_or_else(|| next.fetch_add(1, Ordering::Relaxed));
            let result = options.run(number);
            let mut total = total.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match result {
                Ok(counts) => {
                    total.add(&counts);
                    if options.enough(&total, &counts) || options.case.is_some() {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                Err(error) => {
                    println!("\n{error}");
                    failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(number);
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.case.map_or(options.jobs.max(1), |_| 1) {
            scope.spawn(work);
        }
        let mut told = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
            if told.elapsed() > Duration::from_secs(10) {
                told = Instant::now();
                let total = total.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                println!("{:4} s: {total}", start.elapsed().as_secs());
            }
        }
    });
    let total = total.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    println!("{} s: {total}", start.elapsed().as_secs());
    let failures = failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
