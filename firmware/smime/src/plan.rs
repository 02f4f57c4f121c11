//! What has to be done to each entity so that the signed content survives every relay.

use alloc::vec::Vec;
use limits::mime::ENTITIES_COUNT_MAX;
use serde::{Deserialize, Serialize};

/// What is done to one entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    Keep,
    /// Its octets are 7-bit although its label says otherwise, or became so: the label is set to `7bit`.
    Relabel,
    /// Its body becomes quoted-printable; if it was, it is made safe.
    QuotedPrintable,
    /// Its body becomes base64; if it was, its lines are made anew.
    Base64,
}

/// The actions for all entities of a message, and how gaps are treated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Two bits per entity, lowest first; entities beyond the end are kept.
    actions: Vec<u8>,
    /// Preambles, epilogues and delimiters are made safe.
    pub clean_gaps: bool,
    /// The message has no Content-Type and is plain ASCII: the signed part says so.
    pub ascii_text: bool,
}

impl Plan {
    /// The action for an entity.
    pub fn action(&self, index: u32) -> Action {
        let index = index as usize;
        match self.actions.get(index / 4).map_or(0, |four| four >> (index % 4 * 2) & 3) {
            0 => Action::Keep,
            1 => Action::Relabel,
            2 => Action::QuotedPrintable,
            _ => Action::Base64,
        }
    }

    /// Sets the action for an entity, once. `false` if there are too many entities for a plan.
    pub fn set(&mut self, index: u32, action: Action) -> bool {
        let index = index as usize;
        let bits = match action {
            Action::Keep => return true,
            Action::Relabel => 1,
            Action::QuotedPrintable => 2,
            Action::Base64 => 3,
        };
        if index >= ENTITIES_COUNT_MAX {
            return false;
        }
        if self.actions.len() <= index / 4 {
            self.actions.resize(index / 4 + 1, 0);
        }
        if let Some(four) = self.actions.get_mut(index / 4) {
            *four |= bits << (index % 4 * 2);
        }
        true
    }

    /// The body stays as it is, octet for octet.
    pub fn keeps_body(&self) -> bool {
        // The label of the message itself is in its header, not in its body.
        !self.clean_gaps
            && self.actions.iter().enumerate().all(|(i, four)| *four == 0 || (i == 0 && *four == 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entity_has_its_own_action() {
        let mut plan = Plan::default();
        assert!(plan.keeps_body());
        for index in 0..ENTITIES_COUNT_MAX as u32 {
            let action =
                [Action::Keep, Action::Relabel, Action::QuotedPrintable, Action::Base64][index as usize % 4];
            assert!(plan.set(index, action));
        }
        assert_eq!(plan.action(0), Action::Keep);
        assert_eq!(plan.action(5), Action::Relabel);
        assert_eq!(plan.action(6), Action::QuotedPrintable);
        assert_eq!(plan.action(4_095), Action::Base64);
        assert_eq!(plan.action(u32::MAX), Action::Keep);
        assert!(!plan.set(ENTITIES_COUNT_MAX as u32, Action::Base64));
        assert!(plan.set(u32::MAX, Action::Keep));
        assert!(!plan.keeps_body());
    }
}
