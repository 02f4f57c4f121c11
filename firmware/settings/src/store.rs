//! Where the configuration is kept.

use crate::fault::Problem;
use crate::routes::Routes;
use crate::secret::Secret;
use crate::stored::{Unusable, decode, encode};
use crate::table::{Change, Row, Table, TableError};
use crate::types::Settings;
use core::cell::RefCell;
use core::fmt;
use flash_log::{KvError, KvStore};
use limits::settings::{ENCODED_BYTES_MAX, SECRET_BYTES, TABLE_PAGE_BYTES_MAX};
use platform::nor_flash::NorFlash;
use zeroize::Zeroize;

/// The key of the configuration. Never used for anything else, whatever its format.
const KEY: u32 = 1;
/// The key of the operating time.
const OPERATING_TIME_KEY: u32 = 2;
/// The key of the mark that a factory reset was begun.
const RESET_KEY: u32 = 3;
/// The key of the appliance's secret. The pages of tables follow far behind; see `TableKind`.
const SECRET_KEY: u32 = 4;
/// The first page of the memory of automatic answers.
const REPLIES_KEY: u32 = 0x500;

/// What was found at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// The stored configuration.
    Stored,
    /// Nothing is stored: the appliance is fresh from the factory.
    Fresh,
    /// The stored configuration cannot be used; the factory defaults are in force until the operator saves.
    Reset(Unusable),
    /// The stored configuration cannot be read from flash; the factory defaults are in force.
    Unreadable(KvError),
}

/// Why a configuration was not saved. The one that was stored before is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveError {
    /// The operator's: its values do not fit together.
    Problem(Problem),
    /// The flash's.
    Storage(KvError),
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Problem(problem) => problem.fmt(f),
            Self::Storage(KvError::Full | KvError::TooLong) => {
                f.write_str("the settings store is full; this should not happen, see `show flash`")
            }
            Self::Storage(KvError::Damaged | KvError::Flash) => {
                f.write_str("the flash did not take the settings; see `diag`, and try `save` again")
            }
        }
    }
}

impl core::error::Error for SaveError {}

/// The stored configuration on its partition.
pub struct Store<F> {
    kv: KvStore<F>,
}

impl<F: NorFlash> Store<F> {
    /// Mounts the store and reads the configuration. Whatever is on flash, there are settings afterwards.
    ///
    /// # Errors
    /// Only if the partition cannot be used at all; the caller goes on with the factory defaults.
    pub async fn open(flash: F) -> Result<(Self, Settings, Loaded), KvError> {
        let mut kv = KvStore::open(flash).await?;
        let mut buffer = alloc::vec![0; ENCODED_BYTES_MAX];
        let (settings, loaded) = match kv.get(KEY, &mut buffer).await {
            Ok(None) => (Settings::default(), Loaded::Fresh),
            Ok(Some(length)) => match decode(buffer.get(..length).unwrap_or_default()) {
                Ok(settings) => (settings, Loaded::Stored),
                Err(unusable) => (Settings::default(), Loaded::Reset(unusable)),
            },
            Err(KvError::TooLong) => (Settings::default(), Loaded::Reset(Unusable::Malformed)),
            Err(error) => (Settings::default(), Loaded::Unreadable(error)),
        };
        Ok((Self { kv }, settings, loaded))
    }

    /// Checks `settings` as a whole and stores them. Returns after they have been read back; if the future is dropped
    /// or the power fails half-way, the old or the new configuration is stored.
    ///
    /// # Errors
    /// See [`SaveError`]; nothing has changed then.
    pub async fn save(&mut self, settings: &Settings) -> Result<(), SaveError> {
        settings.check().map_err(SaveError::Problem)?;
        self.kv.set(KEY, &encode(settings)).await.map_err(SaveError::Storage)
    }

    /// Reads a table: once, at the start. What cannot be read of a page is skipped; the second value says how many pages
    /// that concerned.
    pub async fn table<R: Row>(&mut self) -> (Table<R>, u32) {
        let mut table = Table::default();
        let mut unreadable = 0;
        let mut buffer = alloc::vec![0; TABLE_PAGE_BYTES_MAX];
        for page in 0..R::KIND.pages() {
            let whole = match self.kv.get(R::KIND.key() + u32::from(page), &mut buffer).await {
                Ok(None) => true,
                Ok(Some(length)) => table.load(page, buffer.get(..length)),
                Err(_) => table.load(page, None),
            };
            unreadable += u32::from(!whole);
        }
        (table, unreadable)
    }

    /// Reads the table of routes; see [`Store::table`].
    pub async fn routes(&mut self) -> (Routes, u32) {
        self.table().await
    }

    /// Adds `row` to the table, in place of one with the same key. Returns after it has been read back; if the
    /// future is dropped or the power fails half-way, the table is stored with it or without it, nothing between.
    /// `table` is the one that [`Store::table`] gave; it is not borrowed while the flash is waited for.
    ///
    /// # Errors
    /// [`TableError::Full`], [`TableError::Storage`]; the table is as it was.
    pub async fn add<R: Row>(&mut self, table: &RefCell<Table<R>>, row: R) -> Result<(), TableError> {
        let change = table.borrow().adding(row)?;
        self.change(table, change).await
    }

    /// Removes the row that an operator names by `typed`. As [`Store::add`].
    ///
    /// # Errors
    /// [`TableError::NoSuchRow`], [`TableError::Storage`]; the table is as it was.
    pub async fn remove<R: Row>(&mut self, table: &RefCell<Table<R>>, typed: &str) -> Result<(), TableError> {
        let change = table.borrow().removing(typed)?;
        self.change(table, change).await
    }

    /// Stores every damaged page anew, with what could be read of it: the operator has looked at the table and it is as
    /// it should be. If the power fails half-way some pages are still damaged.
    ///
    /// # Errors
    /// [`TableError::Storage`]; the page is damaged as before.
    pub async fn confirm<R: Row>(&mut self, table: &RefCell<Table<R>>) -> Result<(), TableError> {
        loop {
            let Some(change) = table.borrow().mending() else { return Ok(()) };
            let page = change.page;
            self.change(table, change).await?;
            table.borrow_mut().mended(page);
        }
    }

    async fn change<R: Row>(
        &mut self,
        table: &RefCell<Table<R>>,
        change: Change<R>,
    ) -> Result<(), TableError> {
        let key = R::KIND.key() + u32::from(change.page);
        let stored = self.kv.set(key, &change.bytes).await;
        stored.map_err(|error| TableError::Storage(R::KIND, error))?;
        table.borrow_mut().apply(change);
        Ok(())
    }

    /// The secret of the appliance, if it has one that can be read.
    ///
    /// # Errors
    /// [`KvError::Damaged`] and [`KvError::Flash`]: a new one must be made.
    pub async fn secret(&mut self) -> Result<Option<Secret>, KvError> {
        let mut octets = [0; SECRET_BYTES];
        let found = self.kv.get(SECRET_KEY, &mut octets).await;
        let secret = Secret::new(octets);
        octets.zeroize();
        match found? {
            Some(SECRET_BYTES) => Ok(Some(secret)),
            Some(_) => Err(KvError::Damaged),
            None => Ok(None),
        }
    }

    /// Stores the secret of the appliance.
    ///
    /// # Errors
    /// [`KvError::Flash`]; the one that was stored before is still there.
    pub async fn set_secret(&mut self, secret: &Secret) -> Result<(), KvError> {
        self.kv.set(SECRET_KEY, secret.octets()).await
    }

    /// The operating time that was stored last, in seconds; 0 if none was.
    ///
    /// # Errors
    /// [`KvError::Damaged`] and [`KvError::Flash`]: what the queue knows must do.
    pub async fn operating_time(&mut self) -> Result<u64, KvError> {
        let mut octets = [0; 8];
        match self.kv.get(OPERATING_TIME_KEY, &mut octets).await? {
            Some(8) => Ok(u64::from_le_bytes(octets)),
            Some(_) => Err(KvError::Damaged),
            None => Ok(0),
        }
    }

    /// Stores the operating time. A record of 64 octets: at one every 10 minutes a block is erased once a month.
    ///
    /// # Errors
    /// [`KvError::Flash`]; the value that was stored before is still there.
    pub async fn set_operating_time(&mut self, seconds: u64) -> Result<(), KvError> {
        self.kv.set(OPERATING_TIME_KEY, &seconds.to_le_bytes()).await
    }

    /// Reads a page of the memory of automatic answers into `out`. Returns its octets; 0 if there is none that can be read.
    pub async fn replies(&mut self, page: usize, out: &mut [u8]) -> usize {
        let Ok(page) = u32::try_from(page) else { return 0 };
        self.kv.get(REPLIES_KEY.saturating_add(page), out).await.ok().flatten().unwrap_or(0)
    }

    /// Stores a page of the memory of automatic answers.
    ///
    /// # Errors
    /// [`KvError::Flash`]; the page that was stored before is still there.
    pub async fn set_replies(&mut self, page: usize, bytes: &[u8]) -> Result<(), KvError> {
        let page = u32::try_from(page).map_err(|_| KvError::TooLong)?;
        self.kv.set(REPLIES_KEY.saturating_add(page), bytes).await
    }

    /// Marks the appliance as being reset. [`Store::factory_reset`], which comes last, takes the mark away; until then
    /// every start goes on with the reset.
    ///
    /// # Errors
    /// [`KvError::Flash`]: nothing has changed.
    pub async fn begin_factory_reset(&mut self) -> Result<(), KvError> {
        self.kv.set(RESET_KEY, &[1]).await
    }

    /// Whether a factory reset was begun and not finished.
    #[must_use]
    pub fn is_being_reset(&self) -> bool {
        self.kv.len_of(RESET_KEY).is_some()
    }

    /// Forgets everything, by erasing the partition: the next start finds factory defaults.
    ///
    /// # Errors
    /// [`KvError::Flash`] if the flash does not erase.
    pub async fn factory_reset(&mut self) -> Result<(), KvError> {
        self.kv.clear().await
    }
}
