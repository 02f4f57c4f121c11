//! Which identity signs for an author.

use crate::identity::{Identity, IdentityId, IdentityState};
use core::cmp::Ordering;
use core::fmt;
use tpm::KeyAlgorithm;

/// The identity that signs for an author, if any, and why it is that one or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Who signs.
    pub id: Option<IdentityId>,
    /// Why.
    pub reason: Reason,
}

/// Why an identity was chosen, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is for exactly this address.
    Address(IdentityId),
    /// It is for the address's domain, and none is for exactly the address.
    Domain(IdentityId),
    /// No identity is for this address or its domain.
    NoIdentity,
    /// The one that would come first cannot sign, and no other can: it, and what keeps it.
    Unusable(IdentityId, IdentityState),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(id) => write!(f, "identity {id} is for this address"),
            Self::Domain(id) => write!(f, "identity {id} is for this domain"),
            Self::NoIdentity => f.write_str("no identity for this address or its domain"),
            Self::Unusable(id, state) => write!(f, "identity {id} cannot sign: {state}"),
        }
    }
}

/// Chooses among `identities`. Usable ones go before others; an exact address before a domain; then the certificate that
/// became valid last, so that a renewed certificate replaces the old one at once; then RSA before P-256, because
/// every S/MIME program in use verifies RSA; then the higher number. The order is total, so the choice depends on
/// nothing but the store and the time.
pub(crate) fn select<'a>(
    identities: impl Iterator<Item = &'a Identity>,
    mailbox: &str,
    now: Option<u64>,
) -> Selection {
    let best = identities
        .filter(|identity| identity.scope.covers(mailbox))
        .map(|identity| (identity, identity.state(now)))
        .max_by(|a, b| compare(*a, *b));
    match best {
        None => Selection { id: None, reason: Reason::NoIdentity },
        Some((identity, IdentityState::Ready | IdentityState::ReadyClockUnknown)) => {
            let id = identity.id;
            let reason = if identity.scope.is_domain() { Reason::Domain(id) } else { Reason::Address(id) };
            Selection { id: Some(id), reason }
        }
        Some((identity, state)) => Selection { id: None, reason: Reason::Unusable(identity.id, state) },
    }
}

fn compare(a: (&Identity, IdentityState), b: (&Identity, IdentityState)) -> Ordering {
    let rank = |(identity, state): (&Identity, IdentityState)| {
        (
            matches!(state, IdentityState::Ready | IdentityState::ReadyClockUnknown),
            !identity.scope.is_domain(),
            identity.chain.as_ref().map(|chain| chain.leaf().not_before()),
            identity.algorithm == KeyAlgorithm::Rsa2048,
            identity.id,
        )
    };
    rank(a).cmp(&rank(b))
}
