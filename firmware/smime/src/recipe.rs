//! How a stored message leaves.

use alloc::vec::Vec;

/// How a stored message leaves: with fields put before it, and as it is or signed. What leaves is a pure function of
/// the stored octets and the recipe. Encoded it takes at most [`RECIPE_BYTES_MAX`](limits::mime::RECIPE_BYTES_MAX) octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {}

/// A stored recipe cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipeUnreadable;

/// The fields to put before a message exceed [`PREPEND_BYTES_MAX`](limits::mime::PREPEND_BYTES_MAX), or are not
/// whole lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrependInvalid;

impl Recipe {
    /// The message leaves byte for byte as it is stored, after `prepend` (whole header fields, each with CRLF; may be empty).
    ///
    /// # Errors
    /// [`PrependInvalid`].
    pub fn pass(_prepend: &[u8]) -> Result<Self, PrependInvalid> {
        unimplemented!()
    }

    /// The stored form.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        unimplemented!()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// [`RecipeUnreadable`] for anything that [`to_bytes`](Self::to_bytes) of a known version did not write.
    pub fn from_bytes(_bytes: &[u8]) -> Result<Self, RecipeUnreadable> {
        unimplemented!()
    }

    /// Whether the message leaves signed.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        unimplemented!()
    }

    /// Octets that leave (CRLF line ends, before dot-stuffing), for SIZE=.
    #[must_use]
    pub fn emitted_size(&self, _stored_size: u32) -> u32 {
        unimplemented!()
    }
}
