//! The seam to flash.

use alloc::vec::Vec;

/// Values under 32-bit keys, each replaced as a whole: what the identity store needs from flash.
///
/// A value that `put` reported as written survives any power cut; one that was being written is either the old or the
/// new one afterwards.
pub trait RecordStore {
    /// Why flash did not do it.
    type Error: core::fmt::Debug;
    /// Reads the value of `key` into `value` (emptied first); `false` if there is none.
    ///
    /// # Errors
    /// Whatever keeps flash from answering.
    async fn get(&mut self, key: u32, value: &mut Vec<u8>) -> Result<bool, Self::Error>;
    /// Writes the value of `key`.
    ///
    /// # Errors
    /// Whatever keeps flash from writing, a full store included.
    async fn put(&mut self, key: u32, value: &[u8]) -> Result<(), Self::Error>;
    /// Removes the value of `key`; nothing happens if there is none.
    ///
    /// # Errors
    /// Whatever keeps flash from writing.
    async fn delete(&mut self, key: u32) -> Result<(), Self::Error>;
    /// The keys that have a value, in any order.
    ///
    /// # Errors
    /// Whatever keeps flash from answering.
    async fn keys(&mut self) -> Result<Vec<u32>, Self::Error>;
}
