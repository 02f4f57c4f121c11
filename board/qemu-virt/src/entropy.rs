//! The random generator: ChaCha20, seeded from virtio-rng, with fast key erasure.
//!
//! After every request the key is replaced by output of the generator, so that what was handed out cannot be
//! computed from memory that is read later.

use crate::virtio;
use chacha20::ChaCha20Rng;
use core::cell::RefCell;
use critical_section::Mutex;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroize;

static GENERATOR: Mutex<RefCell<Option<ChaCha20Rng>>> = Mutex::new(RefCell::new(None));

/// Seeds the generator.
///
/// # Panics
/// If the machine has no working virtio-rng: the firmware does not run without random numbers.
pub(crate) fn init() {
    let mut seed = [0; 32];
    virtio::rng::seed(&mut seed).expect("no entropy: the machine has no virtio-rng or it does not answer");
    critical_section::with(|cs| GENERATOR.borrow_ref_mut(cs).replace(ChaCha20Rng::from_seed(seed)));
    seed.zeroize();
}

fn fill(out: &mut [u8], mix: &[u8]) {
    critical_section::with(|cs| {
        let mut generator = GENERATOR.borrow_ref_mut(cs);
        let generator = generator.as_mut().expect("seeded before the product starts");
        generator.fill_bytes(out);
        let mut key = [0; 32];
        generator.fill_bytes(&mut key);
        for (key, mix) in key.iter_mut().zip(mix) {
            *key ^= mix;
        }
        *generator = ChaCha20Rng::from_seed(key);
        key.zeroize();
    });
}

/// The random generator of the machine.
#[derive(Clone, Copy, Debug)]
pub struct Entropy(());

impl Entropy {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl platform::Entropy for Entropy {
    fn fill(&self, out: &mut [u8]) {
        fill(out, &[]);
    }

    fn reseed(&self, seed: &[u8; 32]) {
        fill(&mut [], seed);
    }
}
