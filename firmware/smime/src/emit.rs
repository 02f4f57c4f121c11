//! Stored octets in, wire octets out.

use crate::recipe::Recipe;
use alloc::vec::Vec;

/// Turns a stored message into what leaves. The same recipe and the same stored octets give the same wire octets on
/// every attempt, however they are cut into pieces.
#[derive(Debug)]
pub struct Emitter<'r> {
    recipe: &'r Recipe,
}

impl<'r> Emitter<'r> {
    /// An emitter at the first octet of the stored message.
    #[must_use]
    pub fn new(recipe: &'r Recipe) -> Self {
        Self { recipe }
    }

    /// Takes the next stored octets and appends what they become to `out`: CRLF line ends, not dot-stuffed. `out` grows
    /// by at most [`EXPANSION_FACTOR_MAX`](limits::mime::EXPANSION_FACTOR_MAX) times the piece plus what was held back,
    /// at most [`RECIPE_BYTES_MAX`](limits::mime::RECIPE_BYTES_MAX) twice.
    pub fn push(&mut self, _stored: &[u8], _out: &mut Vec<u8>) {
        let _ = self.recipe;
        unimplemented!()
    }

    /// The stored message is at its end: appends the rest.
    pub fn finish(self, _out: &mut Vec<u8>) {
        unimplemented!()
    }
}
