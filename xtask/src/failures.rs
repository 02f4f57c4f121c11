//! Collecting failures, so that one run tells all of them, each with the command that repeats it.

use crate::step;
use anyhow::{Result, bail};

/// What failed so far.
#[derive(Default)]
pub struct Failures {
    failed: Vec<(String, String)>,
    passed: usize,
}

impl Failures {
    /// Nothing failed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Does `work`, the part called `what`; a failure is printed and remembered with the command that repeats it.
    pub fn attempt(&mut self, what: &str, repeat: &str, work: impl FnOnce() -> Result<()>) {
        match work() {
            Ok(()) => self.passed += 1,
            Err(error) => {
                eprintln!("   FAILED: {what}: {error:#}");
                self.failed.push((what.to_owned(), repeat.to_owned()));
            }
        }
    }

    /// Tells the outcome.
    ///
    /// # Errors
    /// When anything failed.
    pub fn report(self, whole: &str) -> Result<()> {
        if self.failed.is_empty() {
            step::headline(&format!("{whole}: all {} parts passed", self.passed));
            println!("{} passed, 0 failed", self.passed);
            return Ok(());
        }
        step::headline(&format!(
            "{whole}: {} of {} parts failed",
            self.failed.len(),
            self.passed + self.failed.len()
        ));
        for (what, repeat) in &self.failed {
            step::note(&format!("{what}; to repeat it: {repeat}"));
        }
        println!("{} passed, {} failed", self.passed, self.failed.len());
        bail!("{whole} failed")
    }
}
