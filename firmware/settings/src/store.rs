//! Where the configuration is kept.

use crate::fault::Problem;
use crate::stored::{Unusable, decode, encode};
use crate::types::Settings;
use core::fmt;
use flash_log::{KvError, KvStore};
use limits::settings::ENCODED_BYTES_MAX;
use platform::nor_flash::NorFlash;

/// The key of the configuration. Never used for anything else, whatever its format.
const KEY: u32 = 1;

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
        let mut buffer = [0; ENCODED_BYTES_MAX];
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

    /// Forgets everything, by erasing the partition: the next start finds factory defaults.
    ///
    /// # Errors
    /// [`KvError::Flash`] if the flash does not erase.
    pub async fn factory_reset(&mut self) -> Result<(), KvError> {
        self.kv.clear().await
    }
}
