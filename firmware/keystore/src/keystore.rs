//! The store itself.

use crate::identity::{Identity, IdentityId};
use crate::record::{self, Header, Record};
use crate::selection::{self, Selection};
use crate::store::RecordStore;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use limits::keys::{IDENTITIES_COUNT_MAX, IDENTITY_RECORD_BYTES_MAX};
use pki::{Chain, ChainError, ChainFault, Expected, Request, Scope};
use platform::{Entropy, Timer, TpmTransport};
use tpm::{AuthValue, KeyAlgorithm, Name, Signature, Tpm, TpmError, WrappedKey};
use zeroize::{Zeroize, Zeroizing};

/// Why an operation on the store did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeystoreError {
    /// The TPM.
    Tpm(TpmError),
    /// The TPM that is there is not the one that this key was made with. Put the old one back, or make new identities.
    OtherTpm,
    /// Flash could not be read or written, or the store is full.
    Flash,
    /// There is no such identity.
    Unknown(IdentityId),
    /// `limits::keys::IDENTITIES_COUNT_MAX` identities exist; remove one first.
    Full,
    /// The identity cannot sign: no certificate, or disabled.
    NotReady(IdentityId),
    /// The chain was not taken; what is stored stays as it was.
    Chain(ChainError),
    /// The common name for a request is not usable.
    CommonName,
    /// What is in flash was written by a newer firmware, or is damaged; it is left alone.
    Record,
}

impl fmt::Display for KeystoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tpm(error) => error.fmt(f),
            Self::OtherTpm => {
                f.write_str("this key belongs to another TPM; put that TPM back or generate a new identity")
            }
            Self::Flash => f.write_str("flash could not be read or written"),
            Self::Unknown(id) => write!(f, "there is no identity {id}"),
            Self::Full => write!(f, "there are {IDENTITIES_COUNT_MAX} identities already; remove one first"),
            Self::NotReady(id) => write!(f, "identity {id} cannot sign yet; see 'identity list'"),
            Self::Chain(error) => error.fmt(f),
            Self::CommonName => f.write_str("the name must have 1 to 64 printable characters"),
            Self::Record => f.write_str("the stored identity cannot be read (newer firmware or damage)"),
        }
    }
}

impl core::error::Error for KeystoreError {}

impl From<TpmError> for KeystoreError {
    fn from(error: TpmError) -> Self {
        Self::Tpm(error)
    }
}

/// What [`Keystore::open`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenReport {
    /// Identities that were read.
    pub identities: usize,
    /// Stored values that could not be read; they are left as they are.
    pub unreadable: usize,
    /// Identities whose key is of another TPM.
    pub other_tpm: usize,
    /// What keeps the TPM from working; the store can be listed all the same.
    pub tpm: Option<TpmError>,
    /// Whether the TPM is another one than at the last start.
    pub tpm_changed: bool,
}

/// What [`Keystore::import_chain`] took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportReport {
    /// Certificates in the chain.
    pub certificates: usize,
    /// Whether validity was compared with a clock.
    pub validity_checked: bool,
    /// Last second of the certificate, Unix time.
    pub not_after: u64,
}

/// An identity with what is needed to use its key.
struct Entry {
    identity: Identity,
    key: WrappedKey,
    auth: AuthValue,
    storage_key: Vec<u8>,
}

/// The identities of this appliance, their flash and their TPM.
pub struct Keystore<S, T, E, C> {
    store: S,
    tpm: Tpm<T, E, C>,
    entropy: E,
    header: Header,
    entries: Vec<Entry>,
}

impl<S: RecordStore, T: TpmTransport, E: Entropy, C: Timer> Keystore<S, T, E, C> {
    /// Reads the store and starts the TPM. Whatever flash and TPM hold, a store comes out of it; the report says what is
    /// wrong. A new TPM is remembered only once an identity is made with it.
    ///
    /// # Errors
    /// [`KeystoreError::Flash`] if flash cannot be read at all.
    pub async fn open(
        store: S,
        transport: T,
        entropy: E,
        timer: C,
    ) -> Result<(Self, OpenReport), KeystoreError> {
        let tpm = Tpm::new(transport, entropy.clone(), timer);
        let mut this = Self { store, tpm, entropy, header: Header::default(), entries: Vec::new() };
        let mut report =
            OpenReport { identities: 0, unreadable: 0, other_tpm: 0, tpm: None, tpm_changed: false };
        let started = this.tpm.start().await;
        let present = match started {
            Ok(name) => Some(name),
            Err(error) => {
                report.tpm = Some(error);
                None
            }
        };
        this.read(present, &mut report).await?;
        Ok((this, report))
    }

    async fn read(&mut self, present: Option<Name>, report: &mut OpenReport) -> Result<(), KeystoreError> {
        let mut value = Vec::new();
        // One damaged value does not keep the others from use: what cannot be read is counted and left alone.
        match self.get(record::HEADER_KEY, &mut value).await {
            Ok(false) => {}
            Ok(true) => match record::decode(&value) {
                Some(header) => self.header = header,
                None => report.unreadable += 1,
            },
            Err(_) => report.unreadable += 1,
        }
        let mut keys = self.store.keys().await.map_err(|_| KeystoreError::Flash)?;
        keys.sort_unstable();
        for key in keys {
            if key == record::HEADER_KEY || key % 2 != 0 {
                continue;
            }
            let id = IdentityId(key / 2);
            // A number once given is not given again, whatever happened to the header.
            self.header.next_id = self.header.next_id.max(id.0.saturating_add(1));
            if self.entries.len() >= IDENTITIES_COUNT_MAX {
                report.unreadable += 1;
                continue;
            }
            match self.read_entry(id, present).await {
                Some(entry) => {
                    report.identities += 1;
                    report.other_tpm += usize::from(present.is_some() && !entry.identity.key_present);
                    self.entries.push(entry);
                }
                None => report.unreadable += 1,
            }
        }
        self.header.next_id = self.header.next_id.max(1);
        report.tpm_changed = !self.header.storage_key.is_empty()
            && present.is_some_and(|name| name.as_bytes() != self.header.storage_key.as_slice());
        Ok(())
    }

    async fn read_entry(&mut self, id: IdentityId, present: Option<Name>) -> Option<Entry> {
        let (record_key, chain_key) = record::keys(id.0)?;
        let mut value = Vec::new();
        let there = self.get(record_key, &mut value).await.ok()?;
        if !there || value.len() > IDENTITY_RECORD_BYTES_MAX {
            return None;
        }
        let mut entry = entry_of(id, &value, present)?;
        value.zeroize();
        if let Ok(true) = self.get(chain_key, &mut value).await
            && let Ok(chain) = Chain::from_der(&value)
            // A chain whose identity was replaced between two writes is not this identity's.
            && *chain.leaf().public_key() == entry.identity.public_key
        {
            entry.identity.chain = Some(Rc::new(chain));
        }
        Some(entry)
    }

    async fn get(&mut self, key: u32, value: &mut Vec<u8>) -> Result<bool, KeystoreError> {
        self.store.get(key, value).await.map_err(|_| KeystoreError::Flash)
    }

    async fn put(&mut self, key: u32, value: &[u8]) -> Result<(), KeystoreError> {
        self.store.put(key, value).await.map_err(|_| KeystoreError::Flash)
    }

    /// Starts the TPM again and looks anew which keys belong to it. Operations do that themselves where the TPM did not
    /// start before; this is for an operator who wants to know.
    ///
    /// # Errors
    /// [`KeystoreError::Tpm`].
    pub async fn restart_tpm(&mut self) -> Result<(), KeystoreError> {
        let name = self.tpm.start().await?;
        for entry in &mut self.entries {
            entry.identity.key_present = entry.storage_key == name.as_bytes();
        }
        Ok(())
    }

    /// A TPM that did not start yet gets another chance.
    async fn need_tpm(&mut self) -> Result<(), KeystoreError> {
        if self.tpm.storage_key_name().is_some() { Ok(()) } else { self.restart_tpm().await }
    }

    /// Makes a key in the TPM for `scope` and stores it. `now` is kept as the time of creation. RSA takes seconds.
    ///
    /// Dropped half-way, nothing is stored; the key is forgotten.
    ///
    /// # Errors
    /// [`KeystoreError::Full`], [`KeystoreError::Tpm`], [`KeystoreError::Flash`].
    pub async fn generate(
        &mut self,
        algorithm: KeyAlgorithm,
        scope: Scope,
        now: Option<u64>,
    ) -> Result<IdentityId, KeystoreError> {
        if self.entries.len() >= IDENTITIES_COUNT_MAX {
            return Err(KeystoreError::Full);
        }
        self.need_tpm().await?;
        let id = IdentityId(self.header.next_id);
        let (record_key, chain_key) = record::keys(id.0).ok_or(KeystoreError::Full)?;
        let mut octets = [0; 32];
        self.entropy.fill(&mut octets);
        let auth = AuthValue::new(octets);
        octets.zeroize();
        let key = self.tpm.create(algorithm, &auth).await?;
        let public_key = public_key(&key)?;
        let storage_key =
            self.tpm.storage_key_name().ok_or(KeystoreError::Tpm(TpmError::NotStarted))?.as_bytes().to_vec();
        let identity = Identity {
            id,
            scope,
            algorithm,
            public_key,
            chain: None,
            created: now,
            enabled: true,
            key_present: true,
        };
        let entry = Entry { identity, key, auth, storage_key };
        // The number is used up before the identity exists, so that no cut can give it twice.
        let header = Header { storage_key: entry.storage_key.clone(), next_id: id.0.saturating_add(1) };
        let encoded = record::encode(&header).ok_or(KeystoreError::Record)?;
        self.put(record::HEADER_KEY, &encoded).await?;
        self.header = header;
        self.store.delete(chain_key).await.map_err(|_| KeystoreError::Flash)?;
        self.put(record_key, &encode_entry(&entry)?).await?;
        self.entries.push(entry);
        Ok(id)
    }

    /// A certification request for `id`, PEM. `common_name` is the name that mail programs show; `None` takes the
    /// address.
    ///
    /// # Errors
    /// [`KeystoreError::Unknown`], [`KeystoreError::OtherTpm`], [`KeystoreError::CommonName`], [`KeystoreError::Tpm`].
    pub async fn csr(&mut self, id: IdentityId, common_name: Option<&str>) -> Result<String, KeystoreError> {
        let entry = find(&self.entries, id)?;
        let identity = &entry.identity;
        let request =
            Request::new(&identity.public_key, &identity.scope, common_name).map_err(
                |error| match error {
                    pki::RequestError::CommonName => KeystoreError::CommonName,
                    _ => KeystoreError::Record,
                },
            )?;
        let signature = self.sign_with(id, &request.digest()).await?;
        let der = request.finish(&signature).map_err(|_| KeystoreError::Tpm(TpmError::BadSignature))?;
        Ok(pki::pem::encode("CERTIFICATE REQUEST", &der))
    }

    /// Takes the certificate of `id` and its issuers out of `pem` after checking them ([`Chain::from_pem`]), and stores
    /// them in place of what was there. Where the clock is not set validity is not checked, and the report says so.
    ///
    /// # Errors
    /// [`KeystoreError::Chain`] says what is wrong with which certificate; [`KeystoreError::Unknown`];
    /// [`KeystoreError::Flash`].
    pub async fn import_chain(
        &mut self,
        id: IdentityId,
        pem: &[u8],
        now: Option<u64>,
    ) -> Result<ImportReport, KeystoreError> {
        let identity = &find(&self.entries, id)?.identity;
        let expected = Expected { key: &identity.public_key, scope: &identity.scope, now };
        let chain = Chain::from_pem(pem, &expected).map_err(KeystoreError::Chain)?;
        let (_, chain_key) = record::keys(id.0).ok_or(KeystoreError::Unknown(id))?;
        let der = chain.to_der();
        if der.len() > limits::keys::CHAIN_BYTES_MAX {
            return Err(KeystoreError::Chain(ChainError { fault: ChainFault::Size, certificate: None }));
        }
        self.put(chain_key, &der).await?;
        let report = ImportReport {
            certificates: chain.certificates().len(),
            validity_checked: now.is_some(),
            not_after: chain.leaf().not_after(),
        };
        let entry = find_mut(&mut self.entries, id)?;
        entry.identity.chain = Some(Rc::new(chain));
        Ok(report)
    }

    /// All identities in the order of their numbers.
    pub fn list(&self) -> impl Iterator<Item = &Identity> {
        self.entries.iter().map(|entry| &entry.identity)
    }

    /// One identity.
    #[must_use]
    pub fn identity(&self, id: IdentityId) -> Option<&Identity> {
        self.list().find(|identity| identity.id == id)
    }

    /// Who signs for `mailbox` (`user@domain`) at `now` (Unix seconds, `None`: unknown, and then validity periods are not
    /// looked at). The rule is in the crate's documentation; the reason prints as text.
    #[must_use]
    pub fn select(&self, mailbox: &str, now: Option<u64>) -> Selection {
        selection::select(self.list(), mailbox, now)
    }

    /// The chain of `id`, leaf first, to be kept as long as wanted.
    #[must_use]
    pub fn chain(&self, id: IdentityId) -> Option<Rc<Chain>> {
        self.identity(id)?.chain.clone()
    }

    /// Signs a SHA-256 digest with the key of `id`, which must be enabled and have a certificate: PKCS#1 v1.5 octets for
    /// RSA, DER for P-256, as CMS and X.509 carry them. The signature was verified before it is returned.
    ///
    /// Cancel-safe: dropped half-way, the next operation cleans up in the TPM and goes on.
    ///
    /// # Errors
    /// [`KeystoreError::Unknown`], [`KeystoreError::NotReady`], [`KeystoreError::OtherTpm`], [`KeystoreError::Tpm`].
    pub async fn sign(&mut self, id: IdentityId, digest: &[u8; 32]) -> Result<Vec<u8>, KeystoreError> {
        let identity = &find(&self.entries, id)?.identity;
        if !identity.enabled || identity.chain.is_none() {
            return Err(KeystoreError::NotReady(id));
        }
        self.sign_with(id, digest).await
    }

    async fn sign_with(&mut self, id: IdentityId, digest: &[u8; 32]) -> Result<Vec<u8>, KeystoreError> {
        find(&self.entries, id)?;
        self.need_tpm().await?;
        let entry = find(&self.entries, id)?;
        if !entry.identity.key_present {
            return Err(KeystoreError::OtherTpm);
        }
        let signature = self.tpm.sign(&entry.key, &entry.auth, digest).await?;
        Ok(match signature {
            Signature::Rsa(octets) => octets,
            Signature::P256 { r, s } => pki::ecdsa_signature_der(&r, &s),
        })
    }

    /// Lets `id` sign, or not.
    ///
    /// # Errors
    /// [`KeystoreError::Unknown`], [`KeystoreError::Flash`].
    pub async fn set_enabled(&mut self, id: IdentityId, enabled: bool) -> Result<(), KeystoreError> {
        let (record_key, _) = record::keys(id.0).ok_or(KeystoreError::Unknown(id))?;
        let entry = find_mut(&mut self.entries, id)?;
        let before = core::mem::replace(&mut entry.identity.enabled, enabled);
        let encoded = encode_entry(entry);
        // What is in memory is what is in flash, also if this future is dropped.
        entry.identity.enabled = before;
        self.put(record_key, &encoded?).await?;
        find_mut(&mut self.entries, id)?.identity.enabled = enabled;
        Ok(())
    }

    /// Forgets `id`: its key, which no one can bring back, and its certificates.
    ///
    /// # Errors
    /// [`KeystoreError::Unknown`], [`KeystoreError::Flash`].
    pub async fn remove(&mut self, id: IdentityId) -> Result<(), KeystoreError> {
        find(&self.entries, id)?;
        let (record_key, chain_key) = record::keys(id.0).ok_or(KeystoreError::Unknown(id))?;
        // The record first: a chain without record is never read.
        self.store.delete(record_key).await.map_err(|_| KeystoreError::Flash)?;
        self.entries.retain(|entry| entry.identity.id != id);
        self.store.delete(chain_key).await.map_err(|_| KeystoreError::Flash)
    }

    /// Random octets of the TPM, for seeding.
    ///
    /// # Errors
    /// [`KeystoreError::Tpm`].
    pub async fn tpm_random(&mut self, out: &mut [u8]) -> Result<(), KeystoreError> {
        self.need_tpm().await?;
        Ok(self.tpm.random(out).await?)
    }

    /// Names the TPM that is there, in short, if it was started.
    #[must_use]
    pub fn tpm_name(&self) -> Option<String> {
        self.tpm.storage_key_name().map(|name| name.to_string())
    }
}

fn find(entries: &[Entry], id: IdentityId) -> Result<&Entry, KeystoreError> {
    entries.iter().find(|entry| entry.identity.id == id).ok_or(KeystoreError::Unknown(id))
}

fn find_mut(entries: &mut [Entry], id: IdentityId) -> Result<&mut Entry, KeystoreError> {
    entries.iter_mut().find(|entry| entry.identity.id == id).ok_or(KeystoreError::Unknown(id))
}

fn public_key(key: &WrappedKey) -> Result<pki::PublicKey, KeystoreError> {
    let bad = |_| KeystoreError::Tpm(TpmError::Key);
    match key.public_key()? {
        tpm::PublicKey::Rsa { modulus, exponent } => {
            pki::PublicKey::rsa(&modulus, &exponent.to_be_bytes()).map_err(bad)
        }
        tpm::PublicKey::P256 { x, y } => {
            let mut point = [4; 65];
            let (_, coordinates) = point.split_at_mut(1);
            coordinates.copy_from_slice([x, y].as_flattened());
            pki::PublicKey::p256(&point).map_err(bad)
        }
    }
}

/// The number of a purpose: only one exists today.
const SIGNING_MAIL: u8 = 0;

fn encode_entry(entry: &Entry) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let encoded = record::encode(&Record {
        algorithm: match entry.identity.algorithm {
            KeyAlgorithm::Rsa2048 => 0,
            KeyAlgorithm::P256 => 1,
        },
        purpose: SIGNING_MAIL,
        scope: entry.identity.scope.as_str().to_string(),
        public: entry.key.public.clone(),
        private: entry.key.private.clone(),
        auth: *entry.auth.expose(),
        storage_key: entry.storage_key.clone(),
        created: entry.identity.created,
        enabled: entry.identity.enabled,
    })
    .map(Zeroizing::new)
    .ok_or(KeystoreError::Record)?;
    if encoded.len() > IDENTITY_RECORD_BYTES_MAX {
        return Err(KeystoreError::Record);
    }
    Ok(encoded)
}

fn entry_of(id: IdentityId, octets: &[u8], present: Option<Name>) -> Option<Entry> {
    let record: Record = record::decode(octets)?;
    let algorithm = match record.algorithm {
        0 => KeyAlgorithm::Rsa2048,
        1 => KeyAlgorithm::P256,
        _ => return None,
    };
    if record.purpose != SIGNING_MAIL {
        return None;
    }
    let key = WrappedKey { public: record.public.clone(), private: record.private.clone() };
    let identity = Identity {
        id,
        scope: Scope::parse(&record.scope).ok()?,
        algorithm,
        public_key: public_key(&key).ok()?,
        chain: None,
        created: record.created,
        enabled: record.enabled,
        key_present: present.is_some_and(|name| name.as_bytes() == record.storage_key.as_slice()),
    };
    let auth = AuthValue::new(record.auth);
    Some(Entry { identity, key, auth, storage_key: record.storage_key.clone() })
}
