//! Messages that cannot leave as they came, though nobody signs them: line ends and encodings are made those of mail.

use crate::facts::Facts;
use crate::plan::Plan;
use crate::recipe::{Canonical, Form, PrependInvalid, Recipe};
use crate::transform::{PartOutput, Transform};

/// Reads a stored message once to learn how long its canonical form is, and makes the recipe for it: text gets CRLF line
/// ends, what holds octets that no line may hold becomes base64, and so does what is labelled binary or has lines over 998
/// octets. Parts that somebody protected stay as they are ([`Facts::odd_when_canonical`]).
#[derive(Debug)]
pub struct Canonicalising {
    plan: Plan,
    recipe: Recipe,
    transform: Transform,
    octets: Counting,
}

/// Counts both streams.
#[derive(Debug)]
struct Counting(u64);

impl PartOutput for Counting {
    fn outside(&mut self, octets: &[u8]) {
        self.0 = self.0.saturating_add(octets.len() as u64);
    }

    fn begin_part(&mut self) {}

    fn inside(&mut self, octets: &[u8]) {
        self.0 = self.0.saturating_add(octets.len() as u64);
    }
}

impl Canonicalising {
    /// Starts with a message of these facts; `prepend` as for [`Recipe::pass`].
    ///
    /// # Errors
    /// [`PrependInvalid`].
    pub fn new(facts: &Facts, prepend: &[u8]) -> Result<Self, PrependInvalid> {
        let recipe = Recipe::pass(prepend, facts.header.firewalled)?;
        let transform = Transform::in_place(&facts.plan);
        Ok(Self { plan: facts.plan.clone(), recipe, transform, octets: Counting(0) })
    }

    /// The next octets of the stored message, from its first.
    pub fn push(&mut self, stored: &[u8]) {
        self.transform.push(&self.plan, stored, &mut self.octets);
    }

    /// The stored message is complete. A form of 4 GiB or more says `u32::MAX` of its size.
    #[must_use]
    pub fn finish(mut self) -> Recipe {
        self.transform.finish(&self.plan, &mut self.octets);
        let octets = self.octets.0.saturating_add(self.recipe.prepend.len() as u64);
        let emitted = u32::try_from(octets).unwrap_or(u32::MAX);
        Recipe { form: Form::Canonical(Canonical { plan: self.plan, emitted }), ..self.recipe }
    }
}
