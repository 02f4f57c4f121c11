//! The data flash of a machine that can lose power.

use crate::executor::{Executor, Group};
use embedded_storage_async::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};
use flash_sim::{SimError, SimFlash};
use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

/// Octets of an erase block, as on the appliance.
pub const BLOCK_BYTES: usize = limits::flash::BLOCK_BYTES;
/// A whole data bank.
pub type Bank = SimFlash<BLOCK_BYTES>;

/// Microseconds that an erase takes.
const ERASE_US: u64 = 20_000;
/// Microseconds that programming takes for each 2 KiB or part of it.
const PROGRAM_US: u64 = 120;

/// The flash as one start of the machine sees it. When the power goes during an operation, the operation never ends and
/// the machine's tasks are over. Operations take virtual time, so that other tasks run between them.
pub struct PoweredFlash {
    executor: Executor,
    group: Group,
    /// Empty once the machine is off; the flash itself belongs to the test.
    bank: Rc<RefCell<Option<Bank>>>,
}

impl PoweredFlash {
    /// The flash for the machine whose tasks are `group`.
    #[must_use]
    pub fn new(executor: &Executor, group: Group, bank: Rc<RefCell<Option<Bank>>>) -> Self {
        Self { executor: executor.clone(), group, bank }
    }

    /// The bank, or never if the machine is off.
    async fn bank(&self) -> Bank {
        let bank = self.bank.borrow().clone();
        match bank {
            Some(bank) => bank,
            None => pending().await,
        }
    }

    /// `result`, or never if the power went.
    async fn unless_cut(&self, result: Result<(), SimError>) -> Result<(), SimError> {
        if result == Err(SimError::PowerCut) {
            self.bank.borrow_mut().take();
            self.executor.kill(self.group);
            return pending().await;
        }
        result
    }

    async fn pass_us(&self, us: u64) {
        self.executor.sleep_until(platform::Instant(self.executor.now().0 + us)).await;
    }
}

impl ErrorType for PoweredFlash {
    type Error = SimError;
}

impl ReadNorFlash for PoweredFlash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimError> {
        let result = self.bank().await.read(offset, bytes).await;
        self.unless_cut(result).await
    }

    fn capacity(&self) -> usize {
        self.bank.borrow().as_ref().map_or(0, ReadNorFlash::capacity)
    }
}

impl NorFlash for PoweredFlash {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = BLOCK_BYTES;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), SimError> {
        self.pass_us(ERASE_US * u64::from((to - from) / BLOCK_BYTES as u32)).await;
        let result = self.bank().await.erase(from, to).await;
        self.unless_cut(result).await
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        self.pass_us(PROGRAM_US * bytes.len().div_ceil(2_048) as u64).await;
        let result = self.bank().await.write(offset, bytes).await;
        self.unless_cut(result).await
    }
}

impl MultiwriteNorFlash for PoweredFlash {}
