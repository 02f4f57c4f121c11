//! One identity.

use alloc::rc::Rc;
use core::fmt;
use pki::{Chain, PublicKey, Scope};
use tpm::KeyAlgorithm;

/// Names one identity for ever; never given twice. Counts from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdentityId(pub u32);

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an identity is good for at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityState {
    /// It signs.
    Ready,
    /// It signs, but the clock is not set and so its validity is not known.
    ReadyClockUnknown,
    /// It has no certificate yet: fetch the request, have it signed, import the chain.
    NoCertificate,
    /// A certificate of its chain expired.
    Expired,
    /// Its certificate is not valid yet.
    NotYetValid,
    /// The operator switched it off.
    Disabled,
    /// Its key was made by another TPM and cannot be used here.
    OtherTpm,
}

impl fmt::Display for IdentityState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ready => "ready",
            Self::ReadyClockUnknown => "ready (clock unknown)",
            Self::NoCertificate => "no certificate",
            Self::Expired => "expired",
            Self::NotYetValid => "not yet valid",
            Self::Disabled => "disabled",
            Self::OtherTpm => "other TPM",
        })
    }
}

/// What is known of an identity: everything but the key.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Its number.
    pub id: IdentityId,
    /// Whom it signs for.
    pub scope: Scope,
    /// Its kind of key.
    pub algorithm: KeyAlgorithm,
    /// Its public key.
    pub public_key: PublicKey,
    /// Its certificates, if any were imported.
    pub chain: Option<Rc<Chain>>,
    /// When its key was made, Unix seconds; `None` if the clock was not set then.
    pub created: Option<u64>,
    /// Whether the operator lets it sign.
    pub enabled: bool,
    /// Whether its key belongs to the TPM that is there.
    pub key_present: bool,
}

impl Identity {
    /// What it is good for at `now` (Unix seconds, `None`: unknown).
    #[must_use]
    pub fn state(&self, now: Option<u64>) -> IdentityState {
        if !self.enabled {
            return IdentityState::Disabled;
        }
        if !self.key_present {
            return IdentityState::OtherTpm;
        }
        let Some(chain) = &self.chain else { return IdentityState::NoCertificate };
        let Some(now) = now else { return IdentityState::ReadyClockUnknown };
        if chain.certificates().iter().any(|c| now > c.not_after()) {
            IdentityState::Expired
        } else if chain.certificates().iter().any(|c| now < c.not_before()) {
            IdentityState::NotYetValid
        } else {
            IdentityState::Ready
        }
    }
}
