//! Mail that this appliance has had in hands before: the marker on what goes to Exchange, and what it says when it returns.

use crate::counters::count;
use crate::provenance::Provenance;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use envelope::{EnhancedStatus, Mailbox};
use loop_marker::{Direction, Judgement, Marker};
use settings::Class;
use smime::Scanner;
use smtp::Reply;

/// As long as a marker: what a size is computed with before the recipients are known.
pub(crate) const MARKER_PLACE: &[u8] = &[b' '; loop_marker::FIELD_BYTES];

impl<P: Platform> Appliance<'_, P> {
    /// The word that is in every loop marker of this appliance: what a rule of Exchange can make its exception of.
    #[must_use]
    pub fn loop_token(&self) -> loop_marker::Token {
        self.loop_key.token()
    }

    /// Which way mail to these recipients goes.
    fn direction<'m>(&self, mut to: impl Iterator<Item = &'m Mailbox>) -> Direction {
        let domains = self.domains();
        if to.any(|mailbox| domains.is_internal(mailbox.domain())) { Direction::In } else { Direction::Out }
    }

    /// The marker of a transaction with these recipients, of a message with that origin.
    pub(crate) fn loop_marker<'m>(
        &self,
        origin: &[u8],
        to: impl Iterator<Item = &'m Mailbox> + Clone,
    ) -> Vec<u8> {
        let passes = Provenance::from_bytes(origin).passes.saturating_add(1);
        let direction = self.direction(to.clone());
        let mut addresses: Vec<&str> = to.map(Mailbox::as_str).collect();
        let recipients = self.loop_key.recipients(&mut addresses);
        let mut field = Vec::with_capacity(loop_marker::FIELD_BYTES);
        self.loop_key.write(&Marker { passes, direction, recipients }, &mut field);
        field
    }

    /// Looks for our marker in the header of a message that has come. Markers from the Internet, and those that we did not
    /// write, are counted and mean nothing: they do not leave again.
    ///
    /// # Errors
    /// The message goes round in circles: the passes behind it.
    pub(crate) fn passes_behind<'m>(
        &self,
        class: Class,
        scanner: &Scanner,
        to: impl Iterator<Item = &'m Mailbox> + Clone,
    ) -> Result<u8, u8> {
        let mut found: Option<Marker> = None;
        for field in scanner.loop_markers() {
            match self.loop_key.read(field) {
                Ok(marker) if class != Class::Internet => {
                    if found.is_none_or(|other| marker.passes > other.passes) {
                        found = Some(marker);
                    }
                }
                _ => count(&self.counters.markers_removed, 1),
            }
        }
        // Nearly all mail has none.
        if found.is_none() {
            return Ok(0);
        }
        let direction = self.direction(to.clone());
        let mut addresses: Vec<&str> = to.map(Mailbox::as_str).collect();
        let recipients = self.loop_key.recipients(&mut addresses);
        match loop_marker::judge(found.as_ref(), direction, recipients) {
            Judgement::GoesOn { passes } => Ok(passes),
            Judgement::Loops { passes } => Err(passes),
        }
    }

    /// What the operator reads about it: which exception is missing in the rule, by address and by header.
    /// `local` is the address that it came to.
    pub(crate) fn loop_reason(&self, local: IpAddr) -> String {
        // Behind NAT the other side sees the public address.
        let seen = self.settings().own_addresses.first().copied().unwrap_or(local);
        format!(
            "mail loop: the Exchange rule needs an exception for sender IP {seen}, or for header {} with {}",
            loop_marker::FIELD_NAME,
            self.loop_token()
        )
    }
}

/// What the peer hears about a message that goes round in circles.
pub(crate) fn loop_reply() -> Reply {
    Reply::new(
        554,
        EnhancedStatus(5, 4, 6),
        "Mail loop: this message came from here; the rule that sends it needs an exception",
    )
}
