//! A simulated NOR flash that can lose power at any operation.
//!
//! # What it models
//! - Geometry: erase blocks of `ERASE` octets, program granularity of 4 octets, any number of blocks.
//! - The NOR rule: programming turns 1 bits into 0 bits. Anything else is refused with
//!   [`SimError::NotErased`] and changes nothing. With [`SimFlash::program_once`] a unit of 32 octets may moreover be
//!   programmed only once per erase cycle, as on parts that store a checksum beside each unit.
//! - Power: [`SimFlash::cut_after`] lets a number of program and erase operations pass and tears the next one.
//!   A torn program has changed a seeded random subset of the bits that it was to change: none, some or all. A
//!   torn erase leaves a mixture: every unit of 32 octets as it was, blank, or with a random subset of its bits
//!   set. Afterwards every operation, reads too, fails with [`SimError::PowerCut`] until
//!   [`SimFlash::power_on`].
//! - Worn blocks: [`SimFlash::break_block`] makes programs and erases of one block fail.
//! - Decay and foreign content: [`SimFlash::poke`] sets any octets, [`SimFlash::image`] and
//!   [`SimFlash::from_image`] save and load all of them.
//!
//! A [`SimFlash`] is a handle: clones share one device, so a machine (everything that was built on one handle) can
//! be dropped and another one be started on the same contents. It counts programs and erases per block.
//!
//! # What it does not model
//! Time, read disturb, marginal bits that read differently from one read to the next.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use embedded_storage::nor_flash::{ErrorType, NorFlashError, NorFlashErrorKind};
use embedded_storage_async::nor_flash::{MultiwriteNorFlash, NorFlash, ReadNorFlash};

/// Octets that [`SimFlash::program_once`] watches and that tear independently.
pub const UNIT_BYTES: usize = 32;

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimError {
    /// The power is off.
    PowerCut,
    /// A program would have turned a 0 bit into a 1 bit.
    NotErased,
    /// A unit was programmed a second time without an erase between.
    ProgrammedTwice,
    /// Address or length is not a multiple of the granularity.
    NotAligned,
    /// Beyond the end of the device.
    OutOfBounds,
    /// The block was broken by the test.
    Broken,
}

impl std::fmt::Display for SimError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for SimError {}

impl NorFlashError for SimError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            _ => NorFlashErrorKind::Other,
        }
    }
}

/// How the operation that meets the power cut ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// Nothing of it happened.
    Before,
    /// Part of it happened, chosen by the seed.
    Half(u64),
    /// All of it happened, but nobody heard of it.
    After,
}

/// Counters of the whole device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    /// Program operations.
    pub programs: u64,
    /// Octets programmed.
    pub bytes_programmed: u64,
    /// Erase operations, counted per block.
    pub erases: u64,
    /// Read operations.
    pub reads: u64,
    /// Octets read.
    pub bytes_read: u64,
}

struct Device {
    bytes: Vec<u8>,
    programmed: Option<Vec<bool>>,
    programs: Vec<u64>,
    erases: Vec<u64>,
    broken: Vec<bool>,
    counters: Counters,
    cut: Option<(u64, Tear)>,
    off: bool,
    yielding: bool,
}

/// A handle to a simulated device with erase blocks of `ERASE` octets.
pub struct SimFlash<const ERASE: usize> {
    device: Rc<RefCell<Device>>,
}

impl<const ERASE: usize> Clone for SimFlash<ERASE> {
    fn clone(&self) -> Self {
        Self { device: Rc::clone(&self.device) }
    }
}

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
    fn mask(&mut self, eighths: u64) -> u8 {
        (0..8).fold(0, |mask, _| (mask << 1) | u8::from(self.next_u64() % 8 < eighths))
    }
}

impl<const ERASE: usize> SimFlash<ERASE> {
    /// A blank device of `blocks` erase blocks.
    #[must_use]
    pub fn new(blocks: usize) -> Self {
        Self::from_image(vec![0xff; blocks * ERASE])
    }

    /// A device with the given content.
    ///
    /// # Panics
    /// If the image is not a whole number of blocks.
    #[must_use]
    pub fn from_image(image: Vec<u8>) -> Self {
        assert!(
            image.len().is_multiple_of(ERASE) && ERASE.is_multiple_of(UNIT_BYTES),
            "whole blocks of whole units"
        );
        let blocks = image.len() / ERASE;
        Self {
            device: Rc::new(RefCell::new(Device {
                bytes: image,
                programmed: None,
                programs: vec![0; blocks],
                erases: vec![0; blocks],
                broken: vec![false; blocks],
                counters: Counters::default(),
                cut: None,
                off: false,
                yielding: false,
            })),
        }
    }

    /// The whole content.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        self.device.borrow().bytes.clone()
    }

    /// Another device with the same content, powered, with fresh counters.
    #[must_use]
    pub fn fork(&self) -> Self {
        let copy = Self::from_image(self.image());
        copy.device.borrow_mut().programmed.clone_from(&self.device.borrow().programmed);
        copy
    }

    /// Refuses from now on to program a unit of 32 octets twice between erases. Units that are not blank count as
    /// programmed.
    #[must_use]
    pub fn program_once(self) -> Self {
        {
            let mut device = self.device.borrow_mut();
            let programmed = device.bytes.chunks(UNIT_BYTES).map(|unit| !is_blank(unit)).collect();
            device.programmed = Some(programmed);
        }
        self
    }

    /// Lets every operation suspend once, so that other tasks run in between and futures can be dropped half-way.
    pub fn set_yielding(&self, yielding: bool) {
        self.device.borrow_mut().yielding = yielding;
    }

    /// Lets `operations` further programs and erases pass, then cuts the power in the next one.
    pub fn cut_after(&self, operations: u64, tear: Tear) {
        self.device.borrow_mut().cut = Some((operations, tear));
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.device.borrow().off
    }

    /// Switches the power on; a cut that has not happened is forgotten.
    pub fn power_on(&self) {
        let mut device = self.device.borrow_mut();
        device.off = false;
        device.cut = None;
    }

    /// Makes programs and erases of a block fail (or work again).
    pub fn break_block(&self, block: usize, broken: bool) {
        self.device.borrow_mut().broken[block] = broken;
    }

    /// Sets octets without any rule: decay, foreign content.
    pub fn poke(&self, offset: usize, bytes: &[u8]) {
        let device = &mut *self.device.borrow_mut();
        device.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        if let Some(programmed) = &mut device.programmed {
            let units = offset / UNIT_BYTES..(offset + bytes.len()).div_ceil(UNIT_BYTES);
            let bytes = device.bytes[units.start * UNIT_BYTES..units.end * UNIT_BYTES].chunks(UNIT_BYTES);
            programmed[units].iter_mut().zip(bytes).for_each(|(flag, unit)| *flag = !is_blank(unit));
        }
    }

    /// Octets at `offset`, without counting.
    #[must_use]
    pub fn peek(&self, offset: usize, len: usize) -> Vec<u8> {
        self.device.borrow().bytes[offset..offset + len].to_vec()
    }

    /// Counters since the handle's device was made.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.device.borrow().counters
    }

    /// Program operations of each block.
    #[must_use]
    pub fn programs(&self) -> Vec<u64> {
        self.device.borrow().programs.clone()
    }

    /// Erase operations of each block.
    #[must_use]
    pub fn erases(&self) -> Vec<u64> {
        self.device.borrow().erases.clone()
    }

    async fn pause(&self) {
        if self.device.borrow().yielding {
            let mut first = true;
            poll_fn(|context| {
                if core::mem::take(&mut first) {
                    context.waker().wake_by_ref();
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
        }
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xff)
}

impl Device {
    fn bounds(&self, from: usize, len: usize, granularity: usize) -> Result<(), SimError> {
        if !from.is_multiple_of(granularity) || !len.is_multiple_of(granularity) {
            return Err(SimError::NotAligned);
        }
        match from.checked_add(len) {
            Some(end) if end <= self.bytes.len() => Ok(()),
            _ => Err(SimError::OutOfBounds),
        }
    }

    fn powered(&self) -> Result<(), SimError> {
        if self.off { Err(SimError::PowerCut) } else { Ok(()) }
    }

    /// Counts one operation against the planned cut; `Some` if this one is torn.
    fn tear(&mut self) -> Option<Tear> {
        let (left, tear) = self.cut?;
        if left > 0 {
            self.cut = Some((left - 1, tear));
            return None;
        }
        self.cut = None;
        self.off = true;
        Some(tear)
    }

    fn program(&mut self, at: usize, new: &[u8], erase: usize) -> Result<(), SimError> {
        self.powered()?;
        self.bounds(at, new.len(), 4)?;
        let old = &self.bytes[at..at + new.len()];
        if old.iter().zip(new).any(|(old, new)| !old & new != 0) {
            return Err(SimError::NotErased);
        }
        if let Some(programmed) = &self.programmed {
            let units = at / UNIT_BYTES..(at + new.len()).div_ceil(UNIT_BYTES);
            if programmed[units].contains(&true) {
                return Err(SimError::ProgrammedTwice);
            }
        }
        let block = at / erase;
        let tear = self.tear();
        if self.broken[block] && tear.is_none() {
            return Err(SimError::Broken);
        }
        match tear {
            Some(Tear::Before) => return Err(SimError::PowerCut),
            None | Some(Tear::After) => self.bytes[at..at + new.len()].copy_from_slice(new),
            Some(Tear::Half(seed)) => {
                let mut random = Random::new(seed);
                for (unit, new) in self.bytes[at..at + new.len()].chunks_mut(4).zip(new.chunks(4)) {
                    let eighths = [0, 0, 1, 4, 7, 8, 8][random.below(7)];
                    for (old, new) in unit.iter_mut().zip(new) {
                        // Only bits that were changing may have changed.
                        *old &= *new | !random.mask(eighths);
                    }
                }
            }
        }
        if let Some(programmed) = &mut self.programmed {
            let units = at / UNIT_BYTES..(at + new.len()).div_ceil(UNIT_BYTES);
            let bytes = self.bytes[units.start * UNIT_BYTES..units.end * UNIT_BYTES].chunks(UNIT_BYTES);
            programmed[units].iter_mut().zip(bytes).for_each(|(flag, unit)| *flag = !is_blank(unit));
        }
        self.programs[block] += 1;
        self.counters.programs += 1;
        self.counters.bytes_programmed += new.len() as u64;
        if tear.is_some() { Err(SimError::PowerCut) } else { Ok(()) }
    }

    fn erase_block(&mut self, block: usize, erase: usize) -> Result<(), SimError> {
        let tear = self.tear();
        if self.broken[block] && tear.is_none() {
            return Err(SimError::Broken);
        }
        let range = block * erase..(block + 1) * erase;
        match tear {
            Some(Tear::Before) => return Err(SimError::PowerCut),
            None | Some(Tear::After) => self.bytes[range.clone()].fill(0xff),
            Some(Tear::Half(seed)) => {
                let mut random = Random::new(seed);
                // Some torn erases have hardly begun, some were nearly done.
                let style = random.below(4);
                for unit in self.bytes[range.clone()].chunks_mut(UNIT_BYTES) {
                    match (style, random.below(16)) {
                        (0, 1..) | (1, 8..) => {}
                        (2, 1..) | (1, 1..4) => unit.fill(0xff),
                        (_, choice) => {
                            let eighths = (choice % 8) as u64;
                            unit.iter_mut().for_each(|byte| *byte |= random.mask(eighths));
                        }
                    }
                }
            }
        }
        if let Some(programmed) = &mut self.programmed {
            let units = range.start / UNIT_BYTES..range.end / UNIT_BYTES;
            programmed[units].fill(tear.is_some_and(|t| t != Tear::After));
        }
        self.erases[block] += 1;
        self.counters.erases += 1;
        if tear.is_some() { Err(SimError::PowerCut) } else { Ok(()) }
    }
}

impl<const ERASE: usize> ErrorType for SimFlash<ERASE> {
    type Error = SimError;
}

impl<const ERASE: usize> ReadNorFlash for SimFlash<ERASE> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        self.pause().await;
        let mut device = self.device.borrow_mut();
        device.powered()?;
        device.bounds(offset as usize, bytes.len(), 1)?;
        bytes.copy_from_slice(&device.bytes[offset as usize..offset as usize + bytes.len()]);
        device.counters.reads += 1;
        device.counters.bytes_read += bytes.len() as u64;
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.device.borrow().bytes.len()
    }
}

impl<const ERASE: usize> NorFlash for SimFlash<ERASE> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = ERASE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        self.pause().await;
        let mut device = self.device.borrow_mut();
        device.powered()?;
        let len = to.checked_sub(from).ok_or(SimError::OutOfBounds)?;
        device.bounds(from as usize, len as usize, ERASE)?;
        (from as usize / ERASE..to as usize / ERASE).try_for_each(|block| device.erase_block(block, ERASE))
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        self.pause().await;
        self.device.borrow_mut().program(offset as usize, bytes, ERASE)
    }
}

impl<const ERASE: usize> MultiwriteNorFlash for SimFlash<ERASE> {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    fn run<T>(future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return value;
            }
        }
    }

    type Flash = SimFlash<1024>;

    #[test]
    fn programming_only_clears_bits() {
        let mut flash = Flash::new(2);
        run(flash.write(0, &[0xf0; 32])).unwrap();
        assert_eq!(run(flash.write(0, &[0xff; 32])), Err(SimError::NotErased));
        run(flash.write(0, &[0x30; 32])).unwrap();
        run(flash.erase(0, 1024)).unwrap();
        assert_eq!(flash.peek(0, 1024), [0xff; 1024]);
        assert_eq!(flash.erases(), [1, 0]);
        assert_eq!(flash.programs(), [2, 0]);
    }

    #[test]
    fn a_unit_is_programmed_once_per_erase_where_the_part_demands_it() {
        let mut flash = Flash::new(1).program_once();
        run(flash.write(32, &[0; 4])).unwrap();
        assert_eq!(run(flash.write(36, &[0; 4])), Err(SimError::ProgrammedTwice));
        run(flash.erase(0, 1024)).unwrap();
        run(flash.write(36, &[0; 4])).unwrap();
    }

    #[test]
    fn a_torn_program_changes_only_bits_that_were_changing_and_the_power_stays_off() {
        for seed in 0..100 {
            let mut flash = Flash::new(1);
            flash.cut_after(1, Tear::Half(seed));
            run(flash.write(0, &[0x0f; 32])).unwrap();
            assert_eq!(run(flash.write(32, &[0xaa; 64])), Err(SimError::PowerCut));
            assert_eq!(run(flash.read(0, &mut [0; 4])), Err(SimError::PowerCut));
            assert!(flash.is_off());
            flash.power_on();
            assert_eq!(flash.peek(0, 32), [0x0f; 32]);
            assert!(flash.peek(32, 64).iter().all(|byte| byte & 0xaa == 0xaa));
            assert_eq!(flash.peek(96, 32), [0xff; 32]);
        }
    }

    #[test]
    fn a_torn_erase_sets_bits_and_clears_none() {
        for seed in 0..100 {
            let mut flash = Flash::from_image((0..2048).map(|i| i as u8).collect());
            flash.cut_after(0, Tear::Half(seed));
            assert_eq!(run(flash.erase(0, 1024)), Err(SimError::PowerCut));
            for (i, byte) in flash.image().iter().enumerate() {
                assert_eq!(byte & i as u8, i as u8);
                assert!(i < 1024 || *byte == i as u8);
            }
        }
    }

    #[test]
    fn a_broken_block_refuses_and_others_work() {
        let mut flash = Flash::new(2);
        flash.break_block(0, true);
        assert_eq!(run(flash.write(0, &[0; 4])), Err(SimError::Broken));
        assert_eq!(run(flash.erase(0, 1024)), Err(SimError::Broken));
        run(flash.write(1024, &[0; 4])).unwrap();
    }
}
