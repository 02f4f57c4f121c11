//! The configuration as one stored value: a version, then its fields.

use crate::types::Settings;
use alloc::format;
use alloc::vec::Vec;
use core::fmt;
use limits::settings::{ENCODED_BYTES_MAX, VALUE_TEXT_BYTES_MAX};

/// First octet of the stored value.
///
/// A firmware that changes the fields counts this up, keeps the struct of each version that was ever released, and
/// decodes an old value into its struct and then into [`Settings`]. A version from the future is not guessed at.
pub const VERSION: u8 = 2;

/// Why a stored configuration could not be used. The factory defaults, which relay for nobody, take its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It has no octets.
    Empty,
    /// Its version is not known to this firmware: it was stored by a newer one.
    Version(u8),
    /// Its octets are not a configuration.
    Malformed,
    /// It holds a value that nobody could have set.
    Invalid(&'static str),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("stored configuration is empty"),
            Self::Version(version) => {
                write!(f, "stored configuration has format {version}, this firmware reads {VERSION}")
            }
            Self::Malformed => f.write_str("stored configuration is malformed"),
            Self::Invalid(name) => write!(f, "stored configuration holds an invalid {name}"),
        }
    }
}

impl core::error::Error for Unusable {}

/// The configuration as it is stored, at most [`ENCODED_BYTES_MAX`] octets.
#[must_use]
pub fn encode(settings: &Settings) -> Vec<u8> {
    let mut encoded = alloc::vec![VERSION; ENCODED_BYTES_MAX];
    // The largest configuration fits: `limits` asserts it, and a test encodes it.
    let fields = encoded.get_mut(1..).and_then(|fields| postcard::to_slice(settings, fields).ok());
    let length = fields.map_or(0, |written| written.len());
    encoded.truncate(1 + length);
    encoded
}

/// Reads a stored configuration. Every value must be one that [`Settings::set`] would take, whatever the flash holds.
///
/// # Errors
/// See [`Unusable`].
pub fn decode(stored: &[u8]) -> Result<Settings, Unusable> {
    let (version, fields) = stored.split_first().ok_or(Unusable::Empty)?;
    if *version != VERSION {
        return Err(Unusable::Version(*version));
    }
    let (settings, rest) = postcard::take_from_bytes::<Settings>(fields).map_err(|_| Unusable::Malformed)?;
    if !rest.is_empty() {
        return Err(Unusable::Malformed);
    }
    let mut again = Settings::default();
    for (name, value) in settings.values() {
        let text = format!("{value}");
        if text.len() > VALUE_TEXT_BYTES_MAX || again.set(name, &text).is_err() {
            return Err(Unusable::Invalid(name));
        }
    }
    if again == settings { Ok(settings) } else { Err(Unusable::Malformed) }
}
