//! Time and randomness of the host.

use platform::{Entropy, Instant, Timer};
use std::io::Read;
use std::time::Duration;

/// Monotonic time of the host; waiting blocks the thread.
#[derive(Clone, Copy, Debug)]
pub struct HostTimer(std::time::Instant);

impl HostTimer {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Default for HostTimer {
    fn default() -> Self {
        Self::new()
    }
}

impl Timer for HostTimer {
    fn now(&self) -> Instant {
        Instant(u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX))
    }
    async fn sleep_until(&self, at: Instant) {
        std::thread::sleep(Duration::from_micros(at.micros_since(self.now())));
    }
}

/// Random octets of the host.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostEntropy;

impl Entropy for HostEntropy {
    fn fill(&self, out: &mut [u8]) {
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(out))
            .expect("the host has random octets");
    }

    /// Nothing: the host's generator needs no help.
    fn reseed(&self, _seed: &[u8; 32]) {}
}
