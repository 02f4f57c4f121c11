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
//! - Worn blocks: a [`Fault`] makes the erases of a block fail, or its programs, at once or after a number of them,
//!   leaving nothing or part of what was wanted. A fault lasts through power cuts and is copied by [`SimFlash::fork`].
//! - Stuck bits: [`SimFlash::stick`] fixes bits to a value. Programs and erases that want another one fail, as a driver
//!   that reads back would report it.
//! - Decay: [`SimFlash::decay`] flips random stored bits, [`SimFlash::poke`] sets any octets. [`SimFlash::misread`] lets
//!   some reads of an octet show flipped bits, after which it reads well again.
//! - Foreign content: [`SimFlash::image`] and [`SimFlash::from_image`] save and load everything.
//!
//! A [`SimFlash`] is a handle: clones share one device, so a machine (everything that was built on one handle) can
//! be dropped and another one be started on the same contents. It counts programs and erases per block.
//!
//! # What it does not model
//! Time, read disturb, what a failed erase leaves other than the old content.
#![forbid(unsafe_code)]

mod device;
mod random;

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use embedded_storage::nor_flash::{ErrorType, NorFlashError, NorFlashErrorKind};
use embedded_storage_async::nor_flash::{MultiwriteNorFlash, NorFlash, ReadNorFlash};

use device::Device;
pub use device::Fault;
pub use random::Random;

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

/// A handle to a simulated device with erase blocks of `ERASE` octets.
pub struct SimFlash<const ERASE: usize> {
    device: Rc<RefCell<Device>>,
}

impl<const ERASE: usize> Clone for SimFlash<ERASE> {
    fn clone(&self) -> Self {
        Self { device: Rc::clone(&self.device) }
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
        Self { device: Rc::new(RefCell::new(Device::new(image, blocks))) }
    }

    /// The whole content.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        self.device.borrow().bytes.clone()
    }

    /// Another device with the same content and the same lasting faults, powered, with fresh counters.
    #[must_use]
    pub fn fork(&self) -> Self {
        let copy = Self::from_image(self.image());
        copy.device.borrow_mut().copy_faults(&self.device.borrow());
        copy
    }

    /// Refuses from now on to program a unit of 32 octets twice between erases. Units that are not blank count as
    /// programmed.
    #[must_use]
    pub fn program_once(self) -> Self {
        {
            let mut device = self.device.borrow_mut();
            let programmed = device.bytes.chunks(UNIT_BYTES).map(|unit| !device::is_blank(unit)).collect();
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
        self.set_fault(block, broken.then_some(Fault::Dead));
    }

    /// Gives a block a lasting fault, or mends it.
    pub fn set_fault(&self, block: usize, fault: Option<Fault>) {
        self.device.borrow_mut().set_fault(block, fault);
    }

    /// Fixes the bits of `mask` at `offset` to their value in `value`, for ever. A mask of 0 frees them.
    pub fn stick(&self, offset: usize, mask: u8, value: u8) {
        self.device.borrow_mut().stick(offset, mask, value);
    }

    /// Flips `bits` bits that the seed chooses in `len` octets from `offset`: decay.
    pub fn decay(&self, offset: usize, len: usize, bits: usize, seed: u64) {
        let mut random = Random::new(seed);
        for _ in 0..bits {
            let at = offset + random.below(len);
            let flipped = self.peek(at, 1)[0] ^ (1 << random.below(8));
            self.poke(at, &[flipped]);
        }
    }

    /// Lets the next `times` reads that contain `offset` see the bits of `mask` flipped.
    pub fn misread(&self, offset: usize, mask: u8, times: u32) {
        self.device.borrow_mut().misreads.push((offset, mask, times));
    }

    /// Sets octets without any rule: decay, foreign content.
    pub fn poke(&self, offset: usize, bytes: &[u8]) {
        let device = &mut *self.device.borrow_mut();
        device.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        if let Some(programmed) = &mut device.programmed {
            let units = offset / UNIT_BYTES..(offset + bytes.len()).div_ceil(UNIT_BYTES);
            let bytes = device.bytes[units.start * UNIT_BYTES..units.end * UNIT_BYTES].chunks(UNIT_BYTES);
            programmed[units].iter_mut().zip(bytes).for_each(|(flag, unit)| *flag = !device::is_blank(unit));
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
        device.read(offset as usize, bytes);
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

    #[test]
    fn faults_of_a_block_come_one_by_one_and_stay() {
        let mut flash = Flash::new(3);
        flash.set_fault(0, Some(Fault::Erase));
        flash.set_fault(1, Some(Fault::Program { after: 2, part: Some(7) }));
        run(flash.write(0, &[0; 4])).unwrap();
        assert_eq!(run(flash.erase(0, 1024)), Err(SimError::Broken));
        assert_eq!(flash.peek(0, 4), [0; 4]);
        run(flash.write(1024, &[0; 4])).unwrap();
        run(flash.write(1028, &[0; 4])).unwrap();
        flash.power_on();
        let mut flash = flash.fork();
        assert_eq!(run(flash.write(1032, &[0x0f; 32])), Err(SimError::Broken));
        assert!(flash.peek(1032, 32).iter().all(|byte| byte & 0x0f == 0x0f));
        run(flash.erase(1024, 2048)).unwrap();
        flash.set_fault(1, None);
        run(flash.write(1024, &[0; 4])).unwrap();
    }

    #[test]
    fn stuck_bits_refuse_what_they_cannot_hold() {
        let mut flash = Flash::new(1);
        flash.stick(5, 0x01, 0x00);
        assert_eq!(run(flash.write(0, &[0xff; 8])), Err(SimError::NotErased));
        run(flash.write(0, &[0xfe; 8])).unwrap();
        assert_eq!(run(flash.erase(0, 1024)), Err(SimError::Broken));
        let mut seen = [0; 2];
        run(flash.read(4, &mut seen)).unwrap();
        assert_eq!(seen, [0xff, 0xfe]);
        flash.stick(5, 0, 0);
        run(flash.erase(0, 1024)).unwrap();
        flash.stick(9, 0x80, 0x80);
        assert_eq!(run(flash.write(8, &[0; 4])), Err(SimError::Broken));
        assert_eq!(flash.peek(8, 4), [0, 0x80, 0, 0]);
    }

    #[test]
    fn a_misread_passes_and_decay_stays() {
        let mut flash = Flash::new(1);
        flash.misread(3, 0x80, 1);
        let mut seen = [0; 4];
        run(flash.read(0, &mut seen)).unwrap();
        assert_eq!(seen, [0xff, 0xff, 0xff, 0x7f]);
        run(flash.read(0, &mut seen)).unwrap();
        assert_eq!(seen, [0xff; 4]);
        flash.decay(0, 64, 1, 3);
        assert_eq!(flash.peek(0, 64).iter().map(|byte| byte.count_zeros()).sum::<u32>(), 1);
    }
}
