//! The latest value of each 32-bit key, on a log that is cleaned strictly oldest block first.

use alloc::vec::Vec;

use embedded_storage_async::nor_flash::NorFlash;
use limits::flash::{KV_KEYS_COUNT_MAX, KV_VALUE_BYTES_MAX, PLACE_ATTEMPTS_MAX, RECORD_ALIGN_BYTES};

use crate::blocks::Wear;
use crate::erase::Prefer;
use crate::log::{Entry, Log, LogError, LogNotice, Record, footprint_units};

const LOG_KIND: u8 = b'K';
const VALUE: u8 = 1;
const DELETED: u8 = 2;

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

impl core::fmt::Display for KvError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Full => "the store is full",
            Self::TooLong => "value too long",
            Self::Damaged => "stored value is damaged",
            Self::Flash => "flash device failed",
        })
    }
}

impl core::error::Error for KvError {}

impl From<LogError> for KvError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::NoFreeBlock | LogError::HeadFull => Self::Full,
            LogError::Geometry | LogError::Read | LogError::Program => Self::Flash,
        }
    }
}

/// Values by 32-bit key on two or more erase blocks; the latest value wins, `set` and `delete` are atomic and
/// committed when they return.
///
/// # Why a deleted value does not come back
/// Blocks are erased strictly in the order in which they were opened, and an erase intent hides a block before
/// its erase begins. A deletion is a record of its own. It is dropped when its block is cleaned; then every older
/// block, and with it every older value of the key, has been erased or is hidden. Versions are counted for the
/// whole store, so that a key that is set again wins over its own deletion.
///
/// # Capacity
/// With `N` blocks that hold `R` octets each, all live records (each rounded up to 32 octets, plus 32) take at
/// most `(N - k) * (R - F)`, where `F` is the largest record, a quarter of a block at most, and `k` the blocks that
/// stay free: 2, one of which may fail; where only two blocks are left, 1.
///
/// # Cuts and failures while a block is cleaned
/// Values are stored only while `k` blocks are free. So when cleaning runs out of blocks, because cut after cut has
/// left half-written copies or because a block failed, whatever lives in the last head is a copy of what the oldest
/// block still holds. That head is given up ([`Log::abandon_head`]) and erased, and cleaning begins anew; nothing is
/// ever erased whose values are not elsewhere. Of two records with the same key and version the later is taken only if
/// its payload matches its checksum, so an erase of the head that is torn in its turn cannot hide an original.
pub struct KvStore<F> {
    log: Log<F>,
    /// Latest record of each key, sorted by key; deletions too while older values may exist on flash.
    index: Vec<Entry>,
    /// Greater than every version on flash. One count for all keys: a key that is set again after its deletion
    /// was dropped must still win over the deletion, which stays on flash until its block is erased.
    next_version: u32,
}

fn key_of(entry: &Entry) -> u32 {
    entry.record.part
}

impl<F: NorFlash> KvStore<F> {
    /// Mounts the store; blank or foreign flash becomes an empty store. Nothing is written.
    ///
    /// # Errors
    /// [`KvError::Flash`] if the device cannot be read or its geometry is unusable.
    pub async fn open(flash: F) -> Result<Self, KvError> {
        let (log, _) = Log::mount(flash, LOG_KIND).await?;
        let mut store = Self { log, index: Vec::new(), next_version: 0 };
        for block in store.log.blocks_in_order() {
            let Some(mut scan) = store.log.scan(block) else { continue };
            while let Some(entry) = store.log.next(&mut scan).await? {
                if !matches!(entry.record.kind, VALUE | DELETED) {
                    continue;
                }
                let copy = store.find(key_of(&entry)).is_ok_and(|at| store.index[at].record == entry.record);
                if !copy || store.log.verify(&entry).await? {
                    store.remember(entry);
                }
            }
        }
        Ok(store)
    }

    fn find(&self, key: u32) -> Result<usize, usize> {
        self.index.binary_search_by_key(&key, key_of)
    }

    /// Records are met in the order of writing: of equal versions the later is the copy that cleaning made.
    fn remember(&mut self, entry: Entry) {
        self.next_version = self.next_version.max(entry.record.version.saturating_add(1));
        match self.find(key_of(&entry)) {
            Ok(at) if entry.record.version >= self.index[at].record.version => self.index[at] = entry,
            Ok(_) => {}
            Err(at) if self.index.len() < KV_KEYS_COUNT_MAX => self.index.insert(at, entry),
            // Only foreign content has more keys.
            Err(_) => {}
        }
    }

    fn value(&self, key: u32) -> Option<&Entry> {
        self.find(key).ok().map(|at| &self.index[at]).filter(|entry| entry.record.kind == VALUE)
    }

    /// Copies the value of `key` into `out` and returns its length, `None` if there is no value.
    ///
    /// # Errors
    /// [`KvError::TooLong`] if `out` is too short, [`KvError::Damaged`], [`KvError::Flash`].
    pub async fn get(&mut self, key: u32, out: &mut [u8]) -> Result<Option<usize>, KvError> {
        let Some(entry) = self.value(key).copied() else {
            return Ok(None);
        };
        let out = out.get_mut(..entry.len as usize).ok_or(KvError::TooLong)?;
        self.log.read(&entry, 0, out).await?;
        if Log::<F>::matches(&entry, out) { Ok(Some(out.len())) } else { Err(KvError::Damaged) }
    }

    /// Length of the value of `key`, `None` if there is none.
    #[must_use]
    pub fn len_of(&self, key: u32) -> Option<usize> {
        self.value(key).map(|entry| entry.len as usize)
    }

    /// Stores `value` under `key`. Returns after the record has been read back. If the future is dropped
    /// half-way, or the power fails, the key has either its old or its new value.
    ///
    /// # Errors
    /// [`KvError::Full`], [`KvError::TooLong`], [`KvError::Flash`].
    pub async fn set(&mut self, key: u32, value: &[u8]) -> Result<(), KvError> {
        let longest = KV_VALUE_BYTES_MAX.min(self.largest_units() as usize * RECORD_ALIGN_BYTES);
        if value.len() > longest {
            return Err(KvError::TooLong);
        }
        let old = self.value(key).map_or(0, Entry::footprint_units);
        let live: u32 = self.index.iter().map(Entry::footprint_units).sum();
        if live - old + footprint_units(value.len() as u32, false) > self.capacity_units() {
            return Err(KvError::Full);
        }
        self.put(key, VALUE, value).await
    }

    /// Removes `key`. Nothing happens if there is no value.
    ///
    /// # Errors
    /// [`KvError::Full`] cannot happen on a store that only this crate wrote; [`KvError::Flash`].
    pub async fn delete(&mut self, key: u32) -> Result<(), KvError> {
        if self.value(key).is_none() { Ok(()) } else { self.put(key, DELETED, &[]).await }
    }

    /// The keys that have a value, in ascending order.
    pub fn keys(&self) -> impl Iterator<Item = u32> + '_ {
        self.index.iter().filter(|entry| entry.record.kind == VALUE).map(key_of)
    }

    /// The smallest key with a value that is greater than `after` (or the smallest of all).
    #[must_use]
    pub fn next_key(&self, after: Option<u32>) -> Option<u32> {
        self.keys().find(|key| after.is_none_or(|after| *key > after))
    }

    /// Deletes every key and erases all blocks. After a power cut in between, all keys are there or none.
    ///
    /// # Errors
    /// [`KvError::Flash`], [`KvError::Full`] if all blocks have failed.
    pub async fn clear(&mut self) -> Result<(), KvError> {
        // So that a block is free for the head that says that everything older has ended.
        let _ = self.make_room(0).await;
        let dead = self.dead();
        self.index.clear();
        Ok(self.log.clear(|block| dead == Some(block)).await?)
    }

    /// Erase counts.
    #[must_use]
    pub fn wear(&self) -> Wear {
        self.log.wear()
    }

    /// What happened to blocks since the last call: the owner of the appliance should be told.
    pub fn take_notices(&mut self) -> Vec<LogNotice> {
        self.log.take_notices()
    }

    /// Largest payload that the capacity formula allows for, in units.
    fn largest_units(&self) -> u32 {
        let room = self.log.block_room() / RECORD_ALIGN_BYTES as u32;
        (room / 4).min(footprint_units(KV_VALUE_BYTES_MAX as u32, false)) - 1
    }

    fn capacity_units(&self) -> u32 {
        let room = self.log.block_room() / RECORD_ALIGN_BYTES as u32;
        self.log.usable_blocks().saturating_sub(self.blocks_kept_free()) * (room - self.largest_units() - 1)
    }

    async fn put(&mut self, key: u32, kind: u8, value: &[u8]) -> Result<(), KvError> {
        if self.find(key).is_err() {
            self.make_key_room().await?;
        }
        let version = self.next_version;
        let record = Record { kind, anchor: false, owner: 0, part: key, version };
        for _ in 0..PLACE_ATTEMPTS_MAX {
            self.make_room(value.len() as u32).await?;
            match self.log.append(record, &[value]).await {
                Ok(entry) => {
                    self.remember(entry);
                    return Ok(());
                }
                Err(LogError::Program | LogError::HeadFull) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(KvError::Flash)
    }

    /// The oldest block with records, if it is not the head, and whether it holds a live one.
    fn oldest(&self) -> Option<(u16, bool)> {
        let oldest = *self.log.blocks_in_order().first()?;
        let live = self.index.iter().any(|entry| entry.at.block() == oldest);
        (self.log.head() != Some(oldest)).then_some((oldest, live))
    }

    /// The one block that may be erased: the oldest, once it holds nothing live.
    fn dead(&self) -> Option<u16> {
        self.oldest().and_then(|(block, live)| (!live).then_some(block))
    }

    /// Blocks that stay free: one to clean into, and one that may fail where there are enough.
    fn blocks_kept_free(&self) -> u32 {
        if self.log.usable_blocks() >= 3 { 2 } else { 1 }
    }

    /// Makes the head fit a record of `len` octets and keeps [`Self::blocks_kept_free`].
    async fn make_room(&mut self, len: u32) -> Result<(), KvError> {
        // Once around all blocks packs everything as tightly as it gets; the rest is for blocks that fail on the way.
        for _ in 0..8 * u32::from(self.log.block_count()) {
            if self.log.usable_blocks() < 2 {
                return Err(KvError::Flash);
            }
            let dead = self.dead();
            let free = self.log.free_blocks(|block| dead == Some(block));
            // Only when it is erased the next one is the oldest.
            if let Some(block) =
                dead.filter(|block| free < self.blocks_kept_free() || self.log.is_failing(*block))
            {
                self.log.reclaim(block).await?;
            } else if free < self.blocks_kept_free() {
                self.clean_oldest().await?;
            } else if self.log.fits(len, false) {
                return Ok(());
            } else {
                self.log.open_next(|block| dead == Some(block), Prefer::LeastWorn).await?;
            }
        }
        Err(KvError::Full)
    }

    /// Deletions fill the index until their blocks are cleaned; cleans until there is room for one more key.
    async fn make_key_room(&mut self) -> Result<(), KvError> {
        for _ in 0..2 * self.log.block_count() {
            if self.index.len() < KV_KEYS_COUNT_MAX {
                return Ok(());
            }
            self.make_room(0).await?;
            let dead = self.dead();
            self.log.open_next(|block| dead == Some(block), Prefer::LeastWorn).await?;
            self.clean_oldest().await?;
        }
        if self.index.len() < KV_KEYS_COUNT_MAX { Ok(()) } else { Err(KvError::Full) }
    }

    /// Copies the live values of the oldest block to the head; deletions in it have done their work.
    async fn clean_oldest(&mut self) -> Result<(), KvError> {
        let Some((victim, _)) = self.oldest() else {
            // Everything is in the head. That a block is missing is for the next step.
            self.log.open_next(|_| false, Prefer::LeastWorn).await?;
            return Ok(());
        };
        self.index.retain(|entry| entry.at.block() != victim || entry.record.kind == VALUE);
        for at in 0..self.index.len() {
            let entry = self.index[at];
            if entry.at.block() != victim {
                continue;
            }
            if !self.log.fits(entry.len, false) {
                return self.continue_cleaning().await;
            }
            match self.log.copy(&entry).await {
                Ok(copy) => self.index[at] = copy,
                Err(LogError::Program | LogError::HeadFull) => return self.continue_cleaning().await,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The head is full, of what power cuts left half-written or because a program failed, before the oldest block is
    /// empty. Cleaning goes on in a free block if there is one. If there is none, everything that lives in the head is a
    /// copy, because values are only stored while a block is free: the head is given up, erased, and used again.
    async fn continue_cleaning(&mut self) -> Result<(), KvError> {
        if self.log.free_blocks(|_| false) == 0 {
            self.give_head_up().await?;
        }
        self.log.open_next(|_| false, Prefer::LeastWorn).await?;
        Ok(())
    }

    async fn give_head_up(&mut self) -> Result<(), KvError> {
        let head = self.log.head();
        let mut originals = Vec::new();
        for block in self.log.blocks_in_order().into_iter().filter(|block| Some(*block) != head) {
            let Some(mut scan) = self.log.scan(block) else { continue };
            while let Some(entry) = self.log.next(&mut scan).await? {
                if self.find(key_of(&entry)).is_ok_and(|at| {
                    let copy = &self.index[at];
                    Some(copy.at.block()) == head && copy.record == entry.record
                }) {
                    originals.push(entry);
                }
            }
        }
        let copies = self.index.iter().filter(|entry| Some(entry.at.block()) == head).count();
        originals.sort_by_key(key_of);
        originals.dedup_by_key(|entry| key_of(entry));
        if originals.len() < copies || !self.log.abandon_head().await {
            return Err(KvError::Full);
        }
        for original in originals {
            if let Ok(at) = self.find(key_of(&original)) {
                self.index[at] = original;
            }
        }
        Ok(())
    }
}
