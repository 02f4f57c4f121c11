//! Stored octets in, wire octets out.

use crate::recipe::{Form, Recipe, Signed, after_part, before_part};
use crate::transform::{PartOutput, Transform};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Turns a stored message into what leaves. The same recipe and the same stored octets give the same wire octets on
/// every attempt, however they are cut into pieces. Dropping an emitter half-way loses nothing.
#[derive(Debug)]
pub struct Emitter<'r> {
    recipe: &'r Recipe,
    begun: bool,
    transform: Option<Box<Transform>>,
}

/// Writes both streams into one.
struct Wire<'w> {
    signed: &'w Signed,
    out: &'w mut Vec<u8>,
}

impl PartOutput for Wire<'_> {
    fn outside(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    fn begin_part(&mut self) {
        before_part(&self.signed.boundary, self.out);
    }

    fn inside(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }
}

impl<'r> Emitter<'r> {
    /// An emitter at the first octet of the stored message.
    #[must_use]
    pub fn new(recipe: &'r Recipe) -> Self {
        let transform = match &recipe.form {
            Form::Pass => None,
            Form::Signed(signed) => Some(Box::new(Transform::new(&signed.plan))),
        };
        Self { recipe, begun: false, transform }
    }

    /// Takes the next stored octets and appends what they become to `out`: CRLF line ends, not dot-stuffed. `out` grows
    /// by at most [`EXPANSION_FACTOR_MAX`](limits::mime::EXPANSION_FACTOR_MAX) times the piece plus what was held back,
    /// at most [`RECIPE_BYTES_MAX`](limits::mime::RECIPE_BYTES_MAX) twice.
    pub fn push(&mut self, stored: &[u8], out: &mut Vec<u8>) {
        self.begin(out);
        match (&self.recipe.form, &mut self.transform) {
            (Form::Signed(signed), Some(transform)) => {
                transform.push(&signed.plan, stored, &mut Wire { signed, out });
            }
            _ => out.extend_from_slice(stored),
        }
    }

    /// The stored message is at its end: appends the rest.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.begin(out);
        if let (Form::Signed(signed), Some(transform)) = (&self.recipe.form, &mut self.transform) {
            transform.finish(&signed.plan, &mut Wire { signed, out });
            after_part(&signed.boundary, &signed.cms, out);
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(&self.recipe.prepend);
        }
    }
}
