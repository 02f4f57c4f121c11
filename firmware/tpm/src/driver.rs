//! The driver: sends commands, keeps one session and a few loaded keys.
//!
//! Every operation has three steps: a command is written to a buffer (nothing of it stays in the future that is waiting),
//! it is exchanged, the response is checked and read. From the moment a command is sent until its response was accepted
//! the driver counts itself *unsure* of what the TPM holds. Whoever finds it unsure, because an operation failed or
//! its future was dropped, first flushes every session and every transient object that the TPM has; there is no other
//! user. So nothing leaks, whatever happened.

use crate::area::{self, coordinate};
use crate::frame::{self, Authorisation};
use crate::session::{NONCE_BYTES, Opening, Protection, Session, StoragePoint};
use crate::{AuthValue, KeyAlgorithm, Name, ResponseCode, Signature, TpmError, WrappedKey};
use alloc::vec;
use alloc::vec::Vec;
use limits::keys::{
    TPM_BUFFER_BYTES, TPM_HANDLES_COUNT_MAX, TPM_LOADED_KEYS_COUNT_MAX, TPM_OPERATION_TRIES_COUNT_MAX,
    TPM_PRIVATE_BYTES_MAX, TPM_RANDOM_BYTES_MAX, TPM_RETRIES_COUNT_MAX, TPM_RETRY_PAUSE_MS_MAX,
    TPM_RETRY_PAUSE_MS_MIN,
};
use platform::{Entropy, Timer, TpmTransport};
use tpm2_protocol::data::{
    Tpm2bAuth, Tpm2bDigest, Tpm2bEncryptedSecret, Tpm2bNonce, Tpm2bPrivate, Tpm2bPublic,
    Tpm2bSensitiveCreate, TpmAlgId, TpmCap, TpmRh, TpmSe, TpmSt, TpmSu, TpmsSensitiveCreate, TpmtPublic,
    TpmtSigScheme, TpmtTkHashcheck, TpmuCapabilities, TpmuPublicId, TpmuSignature,
};
use tpm2_protocol::frame::{
    TpmCreateCommand, TpmCreatePrimaryCommand, TpmCreatePrimaryResponse, TpmCreateResponse,
    TpmEvictControlCommand, TpmEvictControlResponse, TpmFlushContextCommand, TpmFlushContextResponse,
    TpmFrame, TpmGetCapabilityCommand, TpmGetCapabilityResponse, TpmGetRandomCommand, TpmGetRandomResponse,
    TpmLoadCommand, TpmLoadResponse, TpmReadPublicCommand, TpmReadPublicResponse, TpmSelfTestCommand,
    TpmSelfTestResponse, TpmSignCommand, TpmSignResponse, TpmStartAuthSessionCommand,
    TpmStartAuthSessionResponse, TpmStartupCommand, TpmStartupResponse, TpmUnmarshalBody,
};
use zeroize::Zeroize;

/// Where the storage key stays: the handle that the TCG provisioning guidance reserves for it.
const STORAGE_KEY_HANDLE: u32 = 0x8100_0001;
const OWNER: u32 = TpmRh::Owner.value();
const NULL: u32 = TpmRh::Null.value();
/// First handles of transient objects and of loaded HMAC sessions (part 2, section 7.2).
const TRANSIENT_FIRST: u32 = 0x8000_0000;
const SESSION_FIRST: u32 = 0x0200_0000;
/// `TPM_RC_HANDLE` for the first handle.
const NO_SUCH_HANDLE: u32 = 0x18b;

/// Nothing is secret: the MAC alone.
const PLAIN: Protection = Protection { command: false, response: false };
/// The command carries something that a probe need not see.
const SECRET_IN: Protection = Protection { command: true, response: false };
/// The response does.
const SECRET_OUT: Protection = Protection { command: false, response: true };
/// Both do.
const SECRET_BOTH: Protection = Protection { command: true, response: true };

/// What is known of the storage key.
#[derive(Clone, Copy)]
struct StorageKey {
    name: Name,
    point: StoragePoint,
}

/// One TPM behind `T`. `E` makes nonces and salts, `C` waits between retries.
///
/// Operations take `&mut self`; concurrent users share it through an async mutex. Every operation may be dropped half-way:
/// the next one cleans up. Making an RSA key occupies the TPM for seconds.
pub struct Tpm<T, E, C> {
    transport: T,
    entropy: E,
    timer: C,
    command: Vec<u8>,
    response: Vec<u8>,
    storage_key: Option<StorageKey>,
    session: Option<Session>,
    /// Loaded keys, the one used last at the end.
    loaded: Vec<(Name, u32)>,
    unsure: bool,
}

impl<T: TpmTransport, E: Entropy, C: Timer> Tpm<T, E, C> {
    /// A driver that has not spoken to its TPM yet.
    #[must_use]
    pub fn new(transport: T, entropy: E, timer: C) -> Self {
        Self {
            transport,
            entropy,
            timer,
            command: vec![0; TPM_BUFFER_BYTES],
            response: vec![0; TPM_BUFFER_BYTES],
            storage_key: None,
            session: None,
            loaded: Vec::with_capacity(TPM_LOADED_KEYS_COUNT_MAX),
            unsure: true,
        }
    }

    /// Starts the TPM if it needs that, has it test itself, frees what a former run left in it, finds the storage key at
    /// handle 0x81000001 or makes it, and has the TPM prove that it holds it. Returns the storage key's name, which
    /// names the TPM: compare it with the one remembered. May be called again at any time.
    ///
    /// # Errors
    /// See [`TpmError`]; [`TpmError::ForeignStorageKey`] if the handle is taken by something else.
    pub async fn start(&mut self) -> Result<Name, TpmError> {
        self.storage_key = None;
        self.begin().await?;
        self.prepare(
            &TpmReadPublicCommand { handles: [STORAGE_KEY_HANDLE.into()] },
            &[],
            Authorisation::None,
        )?;
        let found = match self.exchange().await {
            Ok(length) => {
                let response: TpmReadPublicResponse = self.finish(length, Authorisation::None)?;
                Some(storage_key(&response.out_public.inner)?)
            }
            Err(TpmError::Refused(ResponseCode(NO_SUCH_HANDLE))) => {
                self.unsure = false;
                None
            }
            Err(error) => return Err(error),
        };
        let key = match found {
            Some(key) => key,
            None => self.make_storage_key().await?,
        };
        self.storage_key = Some(key);
        // Whoever answers this correctly has the private half of that key.
        let mut proof = [0; 1];
        if let Err(error) = self.random_once(&mut proof).await {
            self.storage_key = None;
            return Err(error);
        }
        Ok(key.name)
    }

    /// The name of the storage key, once started.
    #[must_use]
    pub fn storage_key_name(&self) -> Option<Name> {
        self.storage_key.map(|key| key.name)
    }

    /// Fills `out` with random octets of the TPM. They are encrypted on the bus.
    ///
    /// # Errors
    /// See [`TpmError`]; `out` is not to be used then.
    pub async fn random(&mut self, out: &mut [u8]) -> Result<(), TpmError> {
        let mut done = 0;
        let mut tries = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.random_once(rest).await {
                Ok(count) => done += count,
                Err(error) => self.consider(error, &mut tries).await?,
            }
        }
        Ok(())
    }

    /// Makes a signing key that only this TPM can use and only with `auth`. Takes seconds for RSA.
    ///
    /// # Errors
    /// See [`TpmError`].
    pub async fn create(
        &mut self,
        algorithm: KeyAlgorithm,
        auth: &AuthValue,
    ) -> Result<WrappedKey, TpmError> {
        let mut tries = 0;
        loop {
            match self.create_once(algorithm, auth).await {
                Ok(key) => return Ok(key),
                Err(error) => self.consider(error, &mut tries).await?,
            }
        }
    }

    /// Signs a SHA-256 digest with `key`. The signature was verified with the public key before it is returned.
    ///
    /// # Errors
    /// See [`TpmError`]; [`TpmError::Key`] if the key is not of this TPM, [`TpmError::Denied`] if `auth` is wrong.
    pub async fn sign(
        &mut self,
        key: &WrappedKey,
        auth: &AuthValue,
        digest: &[u8; 32],
    ) -> Result<Signature, TpmError> {
        let public = key.public_key()?;
        let mut tries = 0;
        let signature = loop {
            match self.sign_once(key, auth, digest).await {
                Ok(signature) => break signature,
                Err(error) => self.consider(error, &mut tries).await?,
            }
        };
        if public.verify(digest, &signature) {
            Ok(signature)
        } else {
            self.unsure = true;
            Err(TpmError::BadSignature)
        }
    }

    /// Returns to try again after errors that a fresh start of the session cures, else gives the error back.
    async fn consider(&mut self, error: TpmError, tries: &mut u32) -> Result<(), TpmError> {
        *tries += 1;
        let TpmError::Refused(code) = error else { return Err(error) };
        if *tries >= TPM_OPERATION_TRIES_COUNT_MAX {
            return Err(error);
        }
        if code == ResponseCode::INITIALIZE {
            // The TPM lost power under us. It may not be the same one any more.
            let before = self.storage_key_name();
            let now = self.start().await?;
            return if before == Some(now) { Ok(()) } else { Err(TpmError::Key) };
        }
        if code.means_lost() || code.means_full() { Ok(()) } else { Err(error) }
    }

    async fn random_once(&mut self, out: &mut [u8]) -> Result<usize, TpmError> {
        self.ready().await?;
        let wanted = out.len().min(TPM_RANDOM_BYTES_MAX);
        let authorisation = Authorisation::Session(None, SECRET_OUT);
        let count = u16::try_from(wanted).map_err(|_| TpmError::Encoding)?;
        self.prepare(
            &TpmGetRandomCommand { handles: [], bytes_requested: count.into() },
            &[],
            authorisation,
        )?;
        let length = self.exchange().await?;
        let response: TpmGetRandomResponse = self.finish(length, authorisation)?;
        let octets: &[u8] = &response.random_bytes;
        let out = out.get_mut(..octets.len()).filter(|out| !out.is_empty() && out.len() <= wanted);
        out.ok_or(TpmError::Response)?.copy_from_slice(octets);
        Ok(octets.len())
    }

    async fn create_once(
        &mut self,
        algorithm: KeyAlgorithm,
        auth: &AuthValue,
    ) -> Result<WrappedKey, TpmError> {
        let parent = self.ready().await?;
        let authorisation = Authorisation::Session(None, SECRET_BOTH);
        self.prepare(&create_command(algorithm, auth)?, &[parent.as_bytes()], authorisation)?;
        let length = self.exchange().await?;
        let response: TpmCreateResponse = self.finish(length, authorisation)?;
        let area = &response.out_public.inner;
        if !area::follows(area, &area::signing_key(algorithm))
            || response.out_private.len() > TPM_PRIVATE_BYTES_MAX
        {
            return Err(TpmError::Key);
        }
        let key = WrappedKey { public: area::encode(area)?, private: response.out_private.to_vec() };
        key.public_key()?;
        Ok(key)
    }

    async fn sign_once(
        &mut self,
        key: &WrappedKey,
        auth: &AuthValue,
        digest: &[u8; 32],
    ) -> Result<Signature, TpmError> {
        self.ready().await?;
        let name = key.name();
        let handle = self.load(key, &name).await?;
        let authorisation = Authorisation::Session(Some(auth), SECRET_IN);
        self.prepare(&sign_command(handle, digest)?, &[name.as_bytes()], authorisation)?;
        let length = self.exchange().await?;
        let response: TpmSignResponse = self.finish(length, authorisation)?;
        signature(&response.signature.signature)
    }

    /// The handle of `key`, which is loaded if it is not. Frees the key used longest ago if there is no room.
    async fn load(&mut self, key: &WrappedKey, name: &Name) -> Result<u32, TpmError> {
        if let Some(position) = self.loaded.iter().position(|(known, _)| known == name) {
            let entry = self.loaded.remove(position);
            self.loaded.push(entry);
            return Ok(entry.1);
        }
        if self.loaded.len() >= TPM_LOADED_KEYS_COUNT_MAX {
            let (_, oldest) = self.loaded.remove(0);
            self.flush(oldest).await?;
        }
        let parent = self.storage_key_name().ok_or(TpmError::NotStarted)?;
        let authorisation = Authorisation::Session(None, SECRET_IN);
        self.prepare(&load_command(key)?, &[parent.as_bytes()], authorisation)?;
        let length = match self.exchange().await {
            // Part 3, section 12.2: a blob that this parent did not wrap fails its integrity check.
            Err(TpmError::Refused(code)) if matches!(code.base(), 0x09f | 0x095 | 0x084) => {
                return Err(TpmError::Key);
            }
            other => other?,
        };
        let response: TpmLoadResponse = self.finish(length, authorisation)?;
        let [handle] = response.handles;
        let handle = u32::from(handle);
        if *response.name != *name.as_bytes() {
            self.unsure = true;
            return Err(TpmError::Key);
        }
        self.loaded.push((*name, handle));
        Ok(handle)
    }

    /// Makes the driver sure of what the TPM holds and opens a session if there is none. Returns the parent's name.
    async fn ready(&mut self) -> Result<Name, TpmError> {
        let key = self.storage_key.ok_or(TpmError::NotStarted)?;
        if self.unsure {
            self.clean_up().await?;
        }
        if self.session.is_none() {
            self.open_session(STORAGE_KEY_HANDLE, &key.point).await?;
        }
        Ok(key.name)
    }

    /// Startup, self-test, clean-up.
    async fn begin(&mut self) -> Result<(), TpmError> {
        self.prepare(
            &TpmStartupCommand { handles: [], startup_type: TpmSu::Clear },
            &[],
            Authorisation::None,
        )?;
        match self.exchange().await {
            Ok(length) => {
                let _: TpmStartupResponse = self.finish(length, Authorisation::None)?;
            }
            // It was started before us, by firmware or by our own former run.
            Err(TpmError::Refused(ResponseCode::INITIALIZE)) => {}
            Err(error) => return Err(error),
        }
        let only_what_is_untested = false.into();
        self.prepare(
            &TpmSelfTestCommand { handles: [], full_test: only_what_is_untested },
            &[],
            Authorisation::None,
        )?;
        let length = self.exchange().await?;
        let _: TpmSelfTestResponse = self.finish(length, Authorisation::None)?;
        self.clean_up().await
    }

    /// Flushes every loaded session and transient object of the TPM.
    async fn clean_up(&mut self) -> Result<(), TpmError> {
        self.session = None;
        self.loaded.clear();
        for first in [SESSION_FIRST, TRANSIENT_FIRST] {
            for handle in self.handles(first).await? {
                match self.flush(handle).await {
                    // Gone already.
                    Ok(()) | Err(TpmError::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        self.unsure = false;
        Ok(())
    }

    /// The handles in the TPM that start at `first` and are of its kind.
    async fn handles(&mut self, first: u32) -> Result<Vec<u32>, TpmError> {
        let command = TpmGetCapabilityCommand {
            handles: [],
            cap: TpmCap::Handles,
            property: first.into(),
            property_count: TPM_HANDLES_COUNT_MAX.into(),
        };
        self.prepare(&command, &[], Authorisation::None)?;
        let length = self.exchange().await?;
        let response: TpmGetCapabilityResponse = self.finish(length, Authorisation::None)?;
        let TpmuCapabilities::Handles(list) = &response.capability_data.data else {
            return Err(TpmError::Response);
        };
        let mut handles = Vec::new();
        for handle in list.iter().take(usize::try_from(TPM_HANDLES_COUNT_MAX).unwrap_or(usize::MAX)) {
            let handle = u32::from(*handle);
            // This answer has no MAC: nobody talks us into flushing anything else.
            if handle >> 24 == first >> 24 {
                handles.push(handle);
            }
        }
        Ok(handles)
    }

    async fn flush(&mut self, handle: u32) -> Result<(), TpmError> {
        self.prepare(
            &TpmFlushContextCommand { handles: [], flush_handle: handle.into() },
            &[],
            Authorisation::None,
        )?;
        let length = self.exchange().await?;
        let _: TpmFlushContextResponse = self.finish(length, Authorisation::None)?;
        Ok(())
    }

    /// Opens a session salted with the key at `handle`, whose point is `point`.
    async fn open_session(&mut self, handle: u32, point: &StoragePoint) -> Result<(), TpmError> {
        self.session = None;
        let opening = Opening::new(&self.entropy, point)?;
        self.prepare(&session_command(handle, &opening)?, &[], Authorisation::None)?;
        let length = self.exchange().await?;
        let response: TpmStartAuthSessionResponse = self.finish(length, Authorisation::None)?;
        let [handle] = response.handles;
        let nonce: &[u8] = &response.nonce_tpm;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| TpmError::Response)?;
        self.session = Some(opening.finish(handle.into(), nonce));
        Ok(())
    }

    /// Makes the storage key and has the TPM keep it.
    async fn make_storage_key(&mut self) -> Result<StorageKey, TpmError> {
        self.prepare(&primary_command()?, &[&OWNER.to_be_bytes()], Authorisation::EmptyPassword)?;
        let length = self.exchange().await?;
        let (key, transient) = {
            let response: TpmCreatePrimaryResponse = self.finish(length, Authorisation::EmptyPassword)?;
            let [handle] = response.handles;
            (storage_key(&response.out_public.inner)?, u32::from(handle))
        };
        self.open_session(transient, &key.point).await?;
        let command = TpmEvictControlCommand {
            handles: [OWNER.into(), transient.into()],
            persistent_handle: STORAGE_KEY_HANDLE.into(),
        };
        let authorisation = Authorisation::Session(None, PLAIN);
        self.prepare(&command, &[&OWNER.to_be_bytes(), key.name.as_bytes()], authorisation)?;
        let length = self.exchange().await?;
        let _: TpmEvictControlResponse = self.finish(length, authorisation)?;
        self.flush(transient).await?;
        Ok(key)
    }

    /// Writes a command to the buffer.
    fn prepare<F: TpmFrame>(
        &mut self,
        command: &F,
        names: &[&[u8]],
        authorisation: Authorisation<'_>,
    ) -> Result<(), TpmError> {
        self.command.resize(TPM_BUFFER_BYTES, 0);
        let session = self.session.as_mut();
        let length = frame::write(command, names, authorisation, session, &self.entropy, &mut self.command)?;
        self.command.truncate(length);
        Ok(())
    }

    /// Sends the command, again while the TPM asks for that, and returns the length of a successful response.
    async fn exchange(&mut self) -> Result<usize, TpmError> {
        self.unsure = true;
        let mut pause_ms = TPM_RETRY_PAUSE_MS_MIN;
        for _ in 0..TPM_RETRIES_COUNT_MAX {
            let sent = self.transport.transact(&self.command, &mut self.response).await;
            let length = sent.map_err(TpmError::Transport)?;
            let response = self.response.get(..length).ok_or(TpmError::Response)?;
            let code = frame::code(response)?;
            if code == ResponseCode::SUCCESS {
                return Ok(length);
            }
            if !code.means_try_again() {
                return Err(refusal(code));
            }
            self.timer.sleep_until(self.timer.now().plus_ms(pause_ms)).await;
            pause_ms = pause_ms.saturating_mul(2).min(TPM_RETRY_PAUSE_MS_MAX);
        }
        Err(TpmError::Busy)
    }

    /// Checks and reads the response. Afterwards the driver is sure again.
    fn finish<R: TpmUnmarshalBody>(
        &mut self,
        length: usize,
        authorisation: Authorisation<'_>,
    ) -> Result<R, TpmError> {
        let response = self.response.get_mut(..length).ok_or(TpmError::Response)?;
        let read = frame::read(response, authorisation, self.session.as_mut());
        if matches!(authorisation, Authorisation::Session(_, Protection { response: true, .. })) {
            // It was decrypted in place.
            self.response.zeroize();
            self.response.resize(TPM_BUFFER_BYTES, 0);
        }
        let value = read?;
        self.unsure = false;
        Ok(value)
    }
}

fn refusal(code: ResponseCode) -> TpmError {
    if code.means_denied() {
        TpmError::Denied(code)
    } else if code.means_lockout() {
        TpmError::Lockout
    } else if code == ResponseCode::FAILURE {
        TpmError::Failure
    } else {
        TpmError::Refused(code)
    }
}

fn storage_key(area: &TpmtPublic) -> Result<StorageKey, TpmError> {
    if !area::follows(area, &area::storage_key()?) {
        return Err(TpmError::ForeignStorageKey);
    }
    let TpmuPublicId::Ecc(point) = &area.unique else { return Err(TpmError::ForeignStorageKey) };
    let point = StoragePoint { x: coordinate(&point.x)?, y: coordinate(&point.y)? };
    Ok(StorageKey { name: area::name(&area::encode(area)?), point })
}

fn primary_command() -> Result<TpmCreatePrimaryCommand, TpmError> {
    Ok(TpmCreatePrimaryCommand {
        handles: [OWNER.into()],
        in_public: Tpm2bPublic { inner: area::storage_key()? },
        ..Default::default()
    })
}

fn create_command(algorithm: KeyAlgorithm, auth: &AuthValue) -> Result<TpmCreateCommand, TpmError> {
    let user_auth = Tpm2bAuth::try_from(auth.expose().as_slice()).map_err(|_| TpmError::Encoding)?;
    Ok(TpmCreateCommand {
        handles: [STORAGE_KEY_HANDLE.into()],
        in_sensitive: Tpm2bSensitiveCreate { inner: TpmsSensitiveCreate { user_auth, ..Default::default() } },
        in_public: Tpm2bPublic { inner: area::signing_key(algorithm) },
        outside_info: Default::default(),
        creation_pcr: Default::default(),
    })
}

fn load_command(key: &WrappedKey) -> Result<TpmLoadCommand, TpmError> {
    Ok(TpmLoadCommand {
        handles: [STORAGE_KEY_HANDLE.into()],
        in_private: Tpm2bPrivate::try_from(key.private.as_slice()).map_err(|_| TpmError::Key)?,
        in_public: Tpm2bPublic { inner: area::decode(&key.public)? },
    })
}

fn sign_command(handle: u32, digest: &[u8; 32]) -> Result<TpmSignCommand, TpmError> {
    Ok(TpmSignCommand {
        handles: [handle.into()],
        digest: Tpm2bDigest::try_from(digest.as_slice()).map_err(|_| TpmError::Encoding)?,
        // The key's own scheme.
        in_scheme: TpmtSigScheme::default(),
        // Part 2, section 10.6.5: the null ticket; an unrestricted key signs any digest.
        validation: TpmtTkHashcheck {
            tag: TpmSt::HashCheck,
            hierarchy: TpmRh::Null,
            digest: Tpm2bDigest::default(),
        },
    })
}

fn session_command(handle: u32, opening: &Opening) -> Result<TpmStartAuthSessionCommand, TpmError> {
    // Part 1, annex C.6.1: the ephemeral point as TPMS_ECC_POINT.
    let size = [0, 32];
    let point = [&size[..], &opening.x, &size, &opening.y].concat();
    Ok(TpmStartAuthSessionCommand {
        handles: [handle.into(), NULL.into()],
        nonce_caller: Tpm2bNonce::try_from(opening.nonce_caller.as_slice())
            .map_err(|_| TpmError::Encoding)?,
        encrypted_salt: Tpm2bEncryptedSecret::try_from(point.as_slice()).map_err(|_| TpmError::Encoding)?,
        session_type: TpmSe::Hmac,
        symmetric: area::aes_128_cfb(),
        auth_hash: TpmAlgId::Sha256,
    })
}

fn signature(signature: &TpmuSignature) -> Result<Signature, TpmError> {
    match signature {
        TpmuSignature::Rsassa(rsa) => Ok(Signature::Rsa(rsa.sig.to_vec())),
        TpmuSignature::Ecdsa(ecc) => {
            Ok(Signature::P256 { r: coordinate(&ecc.signature_r)?, s: coordinate(&ecc.signature_s)? })
        }
        _ => Err(TpmError::Response),
    }
}
