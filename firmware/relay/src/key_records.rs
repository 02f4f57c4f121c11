//! The key store's records in the key-value store on flash.

use alloc::vec::Vec;
use flash_log::{KvError, KvStore, Partition};
use platform::nor_flash::NorFlash;

/// The partition of identities and certificates, as the key store wants to see it.
pub struct KeyRecords<'f, F> {
    store: KvStore<Partition<'f, F>>,
}

impl<'f, F: NorFlash> KeyRecords<'f, F> {
    /// Mounts the partition.
    ///
    /// # Errors
    /// [`KvError::Flash`] if the device cannot be read.
    pub(crate) async fn open(partition: Partition<'f, F>) -> Result<Self, KvError> {
        Ok(Self { store: KvStore::open(partition).await? })
    }
}

impl<F: NorFlash> keystore::RecordStore for KeyRecords<'_, F> {
    type Error = KvError;

    async fn get(&mut self, key: u32, value: &mut Vec<u8>) -> Result<bool, KvError> {
        value.clear();
        let Some(length) = self.store.len_of(key) else { return Ok(false) };
        value.resize(length, 0);
        match self.store.get(key, value).await? {
            Some(read) => value.truncate(read),
            None => return Ok(false),
        }
        Ok(true)
    }

    async fn put(&mut self, key: u32, value: &[u8]) -> Result<(), KvError> {
        self.store.set(key, value).await
    }

    async fn delete(&mut self, key: u32) -> Result<(), KvError> {
        self.store.delete(key).await
    }

    async fn keys(&mut self) -> Result<Vec<u32>, KvError> {
        Ok(self.store.keys().collect())
    }
}
