//! Stored octets in, wire octets out.

use crate::facts::{Facts, Protection};
use crate::firewall::HeaderFilter;
use crate::plan::Plan;
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
    edit: Option<Edit<'r>>,
}

/// How the stored octets change.
#[derive(Debug)]
struct Edit<'r> {
    transform: Box<Transform>,
    plan: &'r Plan,
    /// Where it is signed, too.
    signed: Option<&'r Signed>,
}

/// Writes both streams into one.
struct Wire<'w> {
    signed: Option<&'w Signed>,
    out: &'w mut Vec<u8>,
}

impl PartOutput for Wire<'_> {
    fn outside(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }

    fn begin_part(&mut self) {
        if let Some(signed) = self.signed {
            before_part(&signed.boundary, self.out);
        }
    }

    fn inside(&mut self, octets: &[u8]) {
        self.out.extend_from_slice(octets);
    }
}

impl<'r> Emitter<'r> {
    /// An emitter at the first octet of the stored message.
    #[must_use]
    pub fn new(recipe: &'r Recipe, audience: Audience<'r>) -> Self {
        let in_place = |plan| Edit { transform: Box::new(Transform::in_place(plan)), plan, signed: None };
        let edit = match &recipe.form {
            Form::Pass => None,
            Form::Signed(signed) => {
                let transform = Box::new(Transform::new(&signed.plan));
                Some(Edit { transform, plan: &signed.plan, signed: Some(signed) })
            }
            Form::Canonical(canonical) => Some(in_place(&canonical.plan)),
        };
        Self::with(recipe, audience, edit)
    }

    /// An emitter for a next hop without 8BITMIME (RFC 6152 §3): a message that would leave as it is gets the plan of its
    /// facts, by which all that may be touched becomes 7-bit; [`Facts::eight_bit_when_signed`] tells whether that is all.
    /// Of a message with a protection, and of one that has another recipe, it is an ordinary emitter. What leaves is longer
    /// than [`Recipe::emitted_size`] says.
    #[must_use]
    pub fn seven_bit(recipe: &'r Recipe, audience: Audience<'r>, facts: &'r Facts) -> Self {
        if !recipe.is_pass() || facts.protection != Protection::None {
            return Self::new(recipe, audience);
        }
        let plan = &facts.plan;
        let edit = Edit { transform: Box::new(Transform::in_place(plan)), plan, signed: None };
        Self::with(recipe, audience, Some(edit))
    }

    fn with(recipe: &'r Recipe, audience: Audience<'r>, edit: Option<Edit<'r>>) -> Self {
        let filter =
            (recipe.removed_octets(audience) > 0).then(|| HeaderFilter::new(recipe.keeps_internal(audience)));
        Self { recipe, marker: audience.marker(), begun: false, filter, edit }
    }

    /// Takes the next stored octets and appends what they become to `out`, not dot-stuffed. Line ends are CRLF unless
    /// [`Facts`] say that the message leaves odd; its last line may have none. `out` grows
    /// by at most [`EXPANSION_FACTOR_MAX`](limits::mime::EXPANSION_FACTOR_MAX) times the piece plus what was held back,
    /// at most [`RECIPE_BYTES_MAX`](limits::mime::RECIPE_BYTES_MAX) twice.
    pub fn push(&mut self, stored: &[u8], out: &mut Vec<u8>) {
        self.begin(out);
        let Self { edit, filter, .. } = self;
        match filter {
            None => emit(edit, stored, out),
            Some(filter) => filter.push(stored, |kept| emit(edit, kept, out)),
        }
    }

    /// The stored message is at its end: appends the rest.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.begin(out);
        let Self { edit, filter, .. } = &mut self;
        if let Some(filter) = filter {
            filter.finish(|kept| emit(edit, kept, out));
        }
        if let Some(Edit { transform, plan, signed }) = edit {
            transform.finish(plan, &mut Wire { signed: *signed, out });
            if let Some(signed) = signed {
                after_part(&signed.boundary, &signed.cms, out);
            }
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
fn emit(edit: &mut Option<Edit<'_>>, octets: &[u8], out: &mut Vec<u8>) {
    match edit {
        Some(Edit { transform, plan, signed }) => {
            transform.push(plan, octets, &mut Wire { signed: *signed, out });
        }
        None => out.extend_from_slice(octets),
    }
}
