//! The long run: `cargo xtask sim` starts it.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use spool_model::case::{self, Faults};
use spool_model::lab::Counts;

/// Cuts the power of the queue, on a simulated flash, until it breaks or the number is reached.
#[derive(Parser)]
struct Options {
    /// Cuts in total.
    #[arg(long, default_value_t = 20_000)]
    cuts: u64,
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

impl Options {
    fn faults(&self, number: u64) -> Faults {
        if self.good_flash || number.is_multiple_of(2) { Faults::None } else { Faults::Blocks }
    }

    /// Runs a case; a panic is a failure like others.
    fn run(&self, number: u64) -> Result<Counts, String> {
        let run = || case::run(self.seed, number, self.faults(number), case::CASE_CUTS);
        let result = std::panic::catch_unwind(run);
        let panicked = |panic: Box<dyn std::any::Any + Send>| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).into())).unwrap_or_default())
        };
        let flag = if self.good_flash { " --good-flash" } else { "" };
        result.unwrap_or_else(panicked).map_err(|error| {
            format!("{error}\nrepeat: cargo xtask sim{flag} --seed {} --case {number}", self.seed)
        })
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    println!("seed {}", options.seed);
    let start = Instant::now();
    let total = Mutex::new(Counts::default());
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let failures = Mutex::new(Vec::new());
    let work = || {
        while !stop.load(Ordering::Relaxed) {
            let number = options.case.unwrap_or_else(|| next.fetch_add(1, Ordering::Relaxed));
            let result = options.run(number);
            let mut total = total.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match result {
                Ok(counts) => total.add(&counts),
                Err(error) => {
                    println!("\n{error}");
                    failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(number);
                    stop.store(true, Ordering::Relaxed);
                }
            }
            if total.cuts >= options.cuts || options.case.is_some() {
                stop.store(true, Ordering::Relaxed);
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
