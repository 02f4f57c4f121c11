//! The latest value of each 32-bit key.

use embedded_storage_async::nor_flash::NorFlash;

/// Why an operation of a key-value store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvError {
    /// The value does not fit beside the others: delete something first.
    Full,
    /// The value is longer than one record, or the buffer of the caller is shorter than the value.
    TooLong,
    /// The stored value does not match its checksum. It is as good as absent; write it anew.
    Damaged,
    /// The device failed. What was committed before is still there.
    Flash,
}

/// Values by 32-bit key on two or more erase blocks; the latest value wins, `set` and `delete` are atomic and
/// committed when they return.
pub struct KvStore<F> {
    _flash: F,
}

impl<F: NorFlash> KvStore<F> {
    /// Mounts the store; blank or foreign flash becomes an empty store.
    ///
    /// # Errors
    /// [`KvError::Flash`] if the device cannot be read or its geometry is unusable.
    pub async fn open(flash: F) -> Result<Self, KvError> {
        let _ = flash;
        todo!()
    }

    /// Copies the value of `key` into `out` and returns its length, `None` if there is no value.
    ///
    /// # Errors
    /// [`KvError::TooLong`] if `out` is too short, [`KvError::Damaged`], [`KvError::Flash`].
    pub async fn get(&mut self, key: u32, out: &mut [u8]) -> Result<Option<usize>, KvError> {
        let _ = (key, out);
        todo!()
    }

    /// Length of the value of `key`, `None` if there is none.
    #[must_use]
    pub fn len_of(&self, key: u32) -> Option<usize> {
        let _ = key;
        todo!()
    }

    /// Stores `value` under `key`. Returns after the record has been read back. If the future is dropped
    /// half-way, or the power fails, the key has either its old or its new value.
    ///
    /// # Errors
    /// [`KvError::Full`], [`KvError::TooLong`], [`KvError::Flash`].
    pub async fn set(&mut self, key: u32, value: &[u8]) -> Result<(), KvError> {
        let _ = (key, value);
        todo!()
    }

    /// Removes `key`. Nothing happens if there is no value.
    ///
    /// # Errors
    /// [`KvError::Full`] cannot happen on a store that only this crate wrote; [`KvError::Flash`].
    pub async fn delete(&mut self, key: u32) -> Result<(), KvError> {
        let _ = key;
        todo!()
    }

    /// The keys that have a value, in ascending order.
    pub fn keys(&self) -> impl Iterator<Item = u32> + '_ {
        core::iter::empty()
    }

    /// The smallest key with a value that is greater than `after` (or the smallest of all).
    #[must_use]
    pub fn next_key(&self, after: Option<u32>) -> Option<u32> {
        let _ = after;
        todo!()
    }

    /// Deletes every key by erasing all blocks.
    ///
    /// # Errors
    /// [`KvError::Flash`].
    pub async fn clear(&mut self) -> Result<(), KvError> {
        todo!()
    }
}
