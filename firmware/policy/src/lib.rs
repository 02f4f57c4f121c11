//! What is to be done with a message: pure decisions, each with its reason.
//!
//! [`decide`] looks at three things and nothing else: what the scanner found out about the message
//! ([`Message`]), whether this appliance can sign for its sender ([`Identity`]), and what the operator wants
//! ([`Rules`]). The same inputs give the same [`Decision`] at any time and on any appliance, so a decision that
//! is recorded can be explained years later from its [`Reason`].
//!
//! Fail closed: whatever would have to be signed and cannot be is [`Action::Hold`] (a person must do
//! something) or [`Action::Defer`] (it gets better by itself); it is never passed in silence.
//!
//! It does not look at envelope recipients (that is for encryption), and knows no clock.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt;
use serde::{Deserialize, Serialize};

/// How far a message is protected already when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protection {
    /// Nothing that S/MIME or PGP/MIME would have left behind.
    None,
    /// Somebody signed it: `multipart/signed`, or `pkcs7-mime` with signed content.
    Signed,
    /// Somebody encrypted it.
    Encrypted,
}

/// The author as the header names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Author {
    /// Exactly one address in exactly one `From` field.
    One,
    /// No `From` field, or one without an address.
    Missing,
    /// Several addresses in one `From` field: no certificate can speak for all of them.
    Several,
    /// Several `From` fields, or one that different readers understand differently.
    Ambiguous,
}

/// What the scanner found out about one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// How far it is protected already.
    pub protection: Protection,
    /// Who wrote it.
    pub author: Author,
    /// Whether its structure stayed within the bounds that signing needs; `false` when it is nested too deep, has
    /// too many parts or contradicts itself.
    pub signable: bool,
}

/// Whether this appliance can sign for an author.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<Id> {
    /// This identity has a key and a certificate for the author.
    Usable(Id),
    /// No identity serves the author.
    None,
    /// An identity serves the author, but it cannot sign: no certificate yet, expired, switched off.
    Unusable,
    /// Whether there is one cannot be known now: the TPM or the key store does not answer.
    Unknown,
}

/// What the operator wants for authors without an identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WithoutIdentity {
    /// Keep the message and wait for a person.
    #[default]
    Hold,
    /// Send it on as it came.
    Pass,
}

/// The operator's wishes, as far as they concern decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// For authors without an identity.
    pub without_identity: WithoutIdentity,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<Id> {
    /// Sign with this identity, then send.
    Sign(Id),
    /// Send on byte for byte.
    Pass,
    /// Keep until a person acts.
    Hold,
    /// Decide again later.
    Defer,
}

/// Why. One text of at most 60 characters, for queue tables and event lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// An identity serves the author.
    IdentityServesAuthor,
    /// The author signed it already.
    AlreadySigned,
    /// The author encrypted it already.
    AlreadyEncrypted,
    /// The operator lets authors without an identity pass.
    PassWithoutIdentity,
    /// No identity serves the author, and such mail is held.
    NoIdentity,
    /// The identity that serves the author cannot sign: no certificate yet, expired, switched off.
    IdentityUnusable,
    /// There is no author that a signature could speak for.
    NoAuthor,
    /// There are several authors; no signature can speak for all.
    SeveralAuthors,
    /// The author cannot be told for certain.
    AmbiguousAuthor,
    /// The structure is beyond the bounds within which a signature would be safe.
    NotSignable,
    /// The TPM or the key store does not answer.
    KeysUnavailable,
    /// The appliance made it to tell a sender what became of a message.
    OwnReport,
}

impl Reason {
    /// The text, without a full stop.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::IdentityServesAuthor => "an identity serves the author",
            Self::AlreadySigned => "already signed by its author",
            Self::AlreadyEncrypted => "already encrypted by its author",
            Self::PassWithoutIdentity => "no identity for the author, such mail passes",
            Self::NoIdentity => "no identity for the author",
            Self::IdentityUnusable => "the author's identity cannot sign",
            Self::NoAuthor => "no From address to sign for",
            Self::SeveralAuthors => "several From addresses, cannot sign for all",
            Self::AmbiguousAuthor => "From is not one plain address, cannot tell the author",
            Self::NotSignable => "structure too complex to sign safely",
            Self::KeysUnavailable => "TPM or key store does not answer",
            Self::OwnReport => "report of this appliance",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

/// What is to be done with one message, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<Id> {
    /// What is to be done.
    pub action: Action<Id>,
    /// Why.
    pub reason: Reason,
}

/// Decides about one message. `identity` is what the key store said about its author; it is not looked at where
/// the message itself settles the matter.
#[must_use]
pub fn decide<Id>(message: Message, identity: Identity<Id>, rules: Rules) -> Decision<Id> {
    let (action, reason) = match (message.protection, message.author) {
        // A gateway is the last to modify a message and never touches what somebody signed.
        (Protection::Signed, _) => (Action::Pass, Reason::AlreadySigned),
        (Protection::Encrypted, _) => (Action::Pass, Reason::AlreadyEncrypted),
        (Protection::None, Author::Missing) => unsigned(rules, Reason::NoAuthor),
        (Protection::None, Author::Several) => unsigned(rules, Reason::SeveralAuthors),
        (Protection::None, Author::Ambiguous) => unsigned(rules, Reason::AmbiguousAuthor),
        (Protection::None, Author::One) => match identity {
            Identity::Usable(_) if !message.signable => (Action::Hold, Reason::NotSignable),
            Identity::Usable(id) => (Action::Sign(id), Reason::IdentityServesAuthor),
            Identity::None => unsigned(rules, Reason::NoIdentity),
            // The operator began to set this author up: passing now would surprise more than waiting.
            Identity::Unusable => (Action::Hold, Reason::IdentityUnusable),
            Identity::Unknown => (Action::Defer, Reason::KeysUnavailable),
        },
    };
    Decision { action, reason }
}

/// Decides about a report of the appliance itself: it passes whoever has an identity. A signature would have to be put
/// around it, and what is not a `multipart/report` by its own header is no report to programs (RFC 3464 §2).
#[must_use]
pub const fn decide_report<Id>() -> Decision<Id> {
    Decision { action: Action::Pass, reason: Reason::OwnReport }
}

/// What becomes of mail that no identity can sign.
fn unsigned<Id>(rules: Rules, reason: Reason) -> (Action<Id>, Reason) {
    match rules.without_identity {
        WithoutIdentity::Hold => (Action::Hold, reason),
        WithoutIdentity::Pass => (Action::Pass, Reason::PassWithoutIdentity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Message = Message { protection: Protection::None, author: Author::One, signable: true };
    const HOLD: Rules = Rules { without_identity: WithoutIdentity::Hold };
    const PASS: Rules = Rules { without_identity: WithoutIdentity::Pass };

    fn check(message: Message, identity: Identity<u8>, rules: Rules, action: Action<u8>, reason: Reason) {
        assert_eq!(decide(message, identity, rules), Decision { action, reason });
    }

    #[test]
    fn an_author_with_an_identity_is_signed_for() {
        check(PLAIN, Identity::Usable(7), HOLD, Action::Sign(7), Reason::IdentityServesAuthor);
        check(PLAIN, Identity::Usable(7), PASS, Action::Sign(7), Reason::IdentityServesAuthor);
    }

    #[test]
    fn an_author_without_an_identity_is_held_unless_the_operator_passes_such_mail() {
        check(PLAIN, Identity::None, HOLD, Action::Hold, Reason::NoIdentity);
        check(PLAIN, Identity::None, PASS, Action::Pass, Reason::PassWithoutIdentity);
        assert_eq!(Rules::default().without_identity, WithoutIdentity::Hold);
    }

    #[test]
    fn protected_mail_passes_whatever_the_keys_say() {
        for identity in [Identity::Usable(1), Identity::None, Identity::Unusable, Identity::Unknown] {
            for signable in [true, false] {
                let signed = Message { protection: Protection::Signed, signable, ..PLAIN };
                check(signed, identity, HOLD, Action::Pass, Reason::AlreadySigned);
                let encrypted = Message { protection: Protection::Encrypted, signable, ..PLAIN };
                check(encrypted, identity, HOLD, Action::Pass, Reason::AlreadyEncrypted);
            }
        }
    }

    #[test]
    fn a_silent_tpm_defers_even_where_unsigned_mail_may_pass() {
        check(PLAIN, Identity::Unknown, HOLD, Action::Defer, Reason::KeysUnavailable);
        check(PLAIN, Identity::Unknown, PASS, Action::Defer, Reason::KeysUnavailable);
    }

    #[test]
    fn what_should_be_signed_and_cannot_be_never_passes() {
        let knotted = Message { signable: false, ..PLAIN };
        check(knotted, Identity::Usable(1), PASS, Action::Hold, Reason::NotSignable);
        check(PLAIN, Identity::Unusable, PASS, Action::Hold, Reason::IdentityUnusable);
    }

    #[test]
    fn several_authors_or_none_count_as_having_no_identity() {
        let several = Message { author: Author::Several, ..PLAIN };
        check(several, Identity::Usable(1), HOLD, Action::Hold, Reason::SeveralAuthors);
        check(several, Identity::Usable(1), PASS, Action::Pass, Reason::PassWithoutIdentity);
        let ambiguous = Message { author: Author::Ambiguous, ..PLAIN };
        check(ambiguous, Identity::Usable(1), HOLD, Action::Hold, Reason::AmbiguousAuthor);
        check(ambiguous, Identity::Usable(1), PASS, Action::Pass, Reason::PassWithoutIdentity);
        let missing = Message { author: Author::Missing, ..PLAIN };
        check(missing, Identity::None, HOLD, Action::Hold, Reason::NoAuthor);
    }

    #[test]
    fn every_reason_fits_a_table() {
        use Reason::*;
        for reason in [
            IdentityServesAuthor,
            AlreadySigned,
            AlreadyEncrypted,
            PassWithoutIdentity,
            NoIdentity,
            IdentityUnusable,
            NoAuthor,
            SeveralAuthors,
            AmbiguousAuthor,
            NotSignable,
            KeysUnavailable,
            OwnReport,
        ] {
            assert!(reason.text().len() <= 60 && reason.text().is_ascii());
        }
    }
}
