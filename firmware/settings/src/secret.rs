//! The secret of the appliance.

use core::fmt;
use limits::settings::SECRET_BYTES;
use zeroize::Zeroize;

/// Random octets that only this appliance knows, made at its first start: keys for what it must recognise as its own are
/// derived from it. Never shown and never exported; wiped when it is dropped.
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// A secret of random octets.
    #[must_use]
    pub const fn new(octets: [u8; SECRET_BYTES]) -> Self {
        Self(octets)
    }

    /// The octets, for a keyed function and nothing else.
    #[must_use]
    pub const fn octets(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
