//! Data about a person that must not reach a log by accident.

use core::fmt;

/// Wraps a value that no log may show: `Debug`, `Display` and defmt print `[private]`. The value is reached only by
/// [`Private::expose`], so that a reviewer finds every place with one search.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Private<T>(T);

impl<T> Private<T> {
    /// Wraps `value`.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for work on it; never for a log.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// Unwraps the value.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("[private]")
    }
}

impl<T> fmt::Display for Private<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("[private]")
    }
}

#[cfg(feature = "defmt")]
impl<T> defmt::Format for Private<T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "[private]");
    }
}
