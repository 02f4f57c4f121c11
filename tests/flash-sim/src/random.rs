//! Pseudo-random numbers.

/// A small, fast generator of pseudo-random numbers (SplitMix64): one seed repeats a run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator that is fully determined by `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (0 if `bound` is 0).
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.next_u64() % bound as u64) as usize }
    }

    /// A mask in which each bit is set with a probability of `eighths` in eight.
    pub(crate) fn mask(&mut self, eighths: u64) -> u8 {
        (0..8).fold(0, |mask, _| (mask << 1) | u8::from(self.next_u64() % 8 < eighths))
    }
}
