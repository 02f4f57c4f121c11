//! The driver: sends commands, keeps a session and a few loaded keys.

use crate::{AuthValue, KeyAlgorithm, Name, PublicKey, Signature, TpmError, WrappedKey};
use platform::{Entropy, Timer, TpmTransport};

/// One TPM behind `T`. `E` makes nonces and salts, `C` waits between retries.
pub struct Tpm<T, E, C> {
    transport: T,
    entropy: E,
    timer: C,
    storage_key: Option<Name>,
}

impl<T: TpmTransport, E: Entropy, C: Timer> Tpm<T, E, C> {
    /// A driver that has not spoken to its TPM yet.
    #[must_use]
    pub fn new(transport: T, entropy: E, timer: C) -> Self {
        Self { transport, entropy, timer, storage_key: None }
    }

    /// Starts the TPM, finds the storage key or makes it, and returns its name.
    ///
    /// # Errors
    /// See [`TpmError`].
    pub async fn start(&mut self) -> Result<Name, TpmError> {
        let _ = (&mut self.transport, &self.entropy, &self.timer);
        self.storage_key.ok_or(TpmError::NotStarted)
    }

    /// The name of the storage key, once started. It identifies the TPM.
    #[must_use]
    pub fn storage_key_name(&self) -> Option<Name> {
        self.storage_key
    }

    /// Fills `out` with random octets of the TPM.
    ///
    /// # Errors
    /// See [`TpmError`].
    pub async fn random(&mut self, out: &mut [u8]) -> Result<(), TpmError> {
        out.fill(0);
        Err(TpmError::NotStarted)
    }

    /// Makes a signing key.
    ///
    /// # Errors
    /// See [`TpmError`].
    pub async fn create(&mut self, _: KeyAlgorithm, _: &AuthValue) -> Result<WrappedKey, TpmError> {
        Err(TpmError::NotStarted)
    }

    /// Signs a SHA-256 digest.
    ///
    /// # Errors
    /// See [`TpmError`].
    pub async fn sign(&mut self, _: &WrappedKey, _: &AuthValue, _: &[u8; 32]) -> Result<Signature, TpmError> {
        Err(TpmError::NotStarted)
    }
}

impl WrappedKey {
    /// The public key in the public area.
    ///
    /// # Errors
    /// [`TpmError::Key`] if it is not the public area of a signing key of ours.
    pub fn public_key(&self) -> Result<PublicKey, TpmError> {
        Err(TpmError::Key)
    }
}
