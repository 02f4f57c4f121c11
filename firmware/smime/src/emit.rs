//! Stored octets in, wire octets out.

use crate::firewall::HeaderFilter;
use crate::recipe::{Form, Recipe, Signed, after_part, before_part};
use crate::transform::{PartOutput, Transform};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Who a message leaves to: what of its header is for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience<'m> {
    /// Strangers.
    Internet,
    /// An Exchange server of the site.
    Exchange {
        /// A whole header field with CRLF that goes before everything: the loop marker. May be empty.
        marker: &'m [u8],
    },
}

impl<'m> Audience<'m> {
    /// The loop marker, empty if there is none.
    pub(crate) const fn marker(self) -> &'m [u8] {
        match self {
            Self::Internet => &[],
            Self::Exchange { marker } => marker,
        }
    }
}

/// Turns a stored message into what leaves. The same recipe, audience and stored octets give the same wire octets on
/// every attempt, however they are cut into pieces. Dropping an emitter half-way loses nothing.
#[derive(Debug)]
pub struct Emitter<'r> {
    recipe: &'r Recipe,
    marker: &'r [u8],
    begun: bool,
    /// `None` where nothing is to be removed.
    filter: Option<HeaderFilter>,
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
    pub fn new(recipe: &'r Recipe, audience: Audience<'r>) -> Self {
        let filter =
            (recipe.removed_octets(audience) > 0).then(|| HeaderFilter::new(recipe.keeps_internal(audience)));
        let transform = match &recipe.form {
            Form::Pass => None,
            Form::Signed(signed) => Some(Box::new(Transform::new(&signed.plan))),
        };
        Self { recipe, marker: audience.marker(), begun: false, filter, transform }
    }

    /// Takes the next stored octets and appends what they become to `out`: CRLF line ends, not dot-stuffed. `out` grows
    /// by at most [`EXPANSION_FACTOR_MAX`](limits::mime::EXPANSION_FACTOR_MAX) times the piece plus what was held back,
    /// at most [`RECIPE_BYTES_MAX`](limits::mime::RECIPE_BYTES_MAX) twice.
    pub fn push(&mut self, stored: &[u8], out: &mut Vec<u8>) {
        self.begin(out);
        let Self { recipe, transform, filter, .. } = self;
        match filter {
            None => emit(recipe, transform, stored, out),
            Some(filter) => filter.push(stored, |kept| emit(recipe, transform, kept, out)),
        }
    }

    /// The stored message is at its end: appends the rest.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.begin(out);
        let Self { recipe, transform, filter, .. } = &mut self;
        if let Some(filter) = filter {
            filter.finish(|kept| emit(recipe, transform, kept, out));
        }
        if let (Form::Signed(signed), Some(transform)) = (&self.recipe.form, &mut self.transform) {
            transform.finish(&signed.plan, &mut Wire { signed, out });
            after_part(&signed.boundary, &signed.cms, out);
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            // First of all: a message that begins with a continuation line adds to the field before it.
            out.extend_from_slice(self.marker);
            out.extend_from_slice(&self.recipe.prepend);
        }
    }
}

/// Writes what octets that passed the firewall become.
fn emit(recipe: &Recipe, transform: &mut Option<Box<Transform>>, octets: &[u8], out: &mut Vec<u8>) {
    match (&recipe.form, transform) {
        (Form::Signed(signed), Some(transform)) => {
            transform.push(&signed.plan, octets, &mut Wire { signed, out });
        }
        _ => out.extend_from_slice(octets),
    }
}
