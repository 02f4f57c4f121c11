//! A range of blocks of one device, so that several logs share it.

use core::ops::Range;

use embedded_storage_async::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashErrorKind, ReadNorFlash,
};

/// A flash device that several partitions share. One operation runs at a time.
pub type SharedFlash<F> = platform::Mutex<F>;

/// Blocks `range` of a shared device, addressed from 0. Implements [`NorFlash`] itself.
pub struct Partition<'a, F> {
    flash: &'a SharedFlash<F>,
    start: u32,
    bytes: usize,
}

impl<'a, F: NorFlash> Partition<'a, F> {
    /// The blocks of `range` (numbers of erase blocks, for example [`limits::flash::SPOOL_BLOCKS`]).
    ///
    /// # Panics
    /// If the range does not fit 32-bit addresses: ranges are constants, so that is our bug. A range beyond the
    /// end of the device is reported by the device at the first access.
    #[must_use]
    pub fn new(flash: &'a SharedFlash<F>, range: Range<u32>) -> Self {
        let block = F::ERASE_SIZE as u32;
        let start = range.start.checked_mul(block).expect("partition starts inside 4 GiB");
        let bytes = range.end.checked_sub(range.start).and_then(|n| n.checked_mul(block));
        Self { flash, start, bytes: bytes.expect("partition ends inside 4 GiB") as usize }
    }

    fn check(&self, offset: u32, len: usize) -> Result<u32, NorFlashErrorKind> {
        let end = (offset as usize).checked_add(len).ok_or(NorFlashErrorKind::OutOfBounds)?;
        if end > self.bytes {
            return Err(NorFlashErrorKind::OutOfBounds);
        }
        self.start.checked_add(offset).ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl<F: NorFlash> ErrorType for Partition<'_, F> {
    type Error = NorFlashErrorKind;
}

fn kind<E: embedded_storage_async::nor_flash::NorFlashError>(error: E) -> NorFlashErrorKind {
    error.kind()
}

impl<F: NorFlash> ReadNorFlash for Partition<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        let at = self.check(offset, bytes.len())?;
        self.flash.lock().await.read(at, bytes).await.map_err(kind)
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl<F: NorFlash> NorFlash for Partition<'_, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        let len = to.checked_sub(from).ok_or(NorFlashErrorKind::OutOfBounds)? as usize;
        let at = self.check(from, len)?;
        self.flash.lock().await.erase(at, at + len as u32).await.map_err(kind)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        let at = self.check(offset, bytes.len())?;
        self.flash.lock().await.write(at, bytes).await.map_err(kind)
    }
}

impl<F: MultiwriteNorFlash> MultiwriteNorFlash for Partition<'_, F> {}
