//! What has to be done to each entity so that the signed content survives every relay.

use alloc::vec::Vec;
use limits::mime::ENTITIES_COUNT_MAX;
use serde::{Deserialize, Serialize};

/// What is done to a leaf.
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

/// What is done to a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Container {
    /// All inside is or became 7-bit: the label is set to `7bit`.
    pub relabel: bool,
    /// Its preamble, epilogue and delimiters are made safe.
    pub clean_gaps: bool,
}

/// The actions for all entities of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Two bits per entity, lowest first; entities beyond the end are kept. What they say depends on whether it is a leaf
    /// or a container, which shows at the end of its header.
    actions: Vec<u8>,
    /// The message has no Content-Type and is plain ASCII: the signed part says so.
    pub ascii_text: bool,
    /// The stored octets are not all in lines that end in CRLF, or hold NULs: text gets its line ends.
    pub canonical: bool,
}

impl Plan {
    fn code(&self, index: u32) -> u8 {
        let index = index as usize;
        self.actions.get(index / 4).map_or(0, |four| four >> (index % 4 * 2) & 3)
    }

    /// Nothing is done to this entity.
    pub fn keeps(&self, index: u32) -> bool {
        self.code(index) == 0
    }

    /// What is done to this container.
    pub fn container(&self, index: u32) -> Container {
        let code = self.code(index);
        Container { relabel: code & 1 != 0, clean_gaps: code & 2 != 0 }
    }

    /// The action for a leaf.
    pub fn action(&self, index: u32) -> Action {
        match self.code(index) {
            0 => Action::Keep,
            1 => Action::Relabel,
            2 => Action::QuotedPrintable,
            _ => Action::Base64,
        }
    }

    /// Sets the action for a leaf, once. `false` if there are too many entities for a plan.
    pub fn set(&mut self, index: u32, action: Action) -> bool {
        self.set_code(
            index,
            match action {
                Action::Keep => 0,
                Action::Relabel => 1,
                Action::QuotedPrintable => 2,
                Action::Base64 => 3,
            },
        )
    }

    /// The same for a container.
    pub fn set_container(&mut self, index: u32, container: Container) -> bool {
        self.set_code(index, u8::from(container.relabel) | u8::from(container.clean_gaps) << 1)
    }

    fn set_code(&mut self, index: u32, bits: u8) -> bool {
        let index = index as usize;
        if bits == 0 {
            return true;
        }
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
        if self.canonical {
            return false;
        }
        // The label of the message itself is in its header, not in its body.
        self.actions.iter().enumerate().all(|(i, four)| *four == 0 || (i == 0 && *four == 1))
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
