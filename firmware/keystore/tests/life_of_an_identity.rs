//! The store with a real TPM (`swtpm`) and a real authority (`openssl`).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../pki/tests/authority/mod.rs"]
mod authority;

use authority::{Authority, DAY, P256, RSA, mail, now};
use embassy_futures::block_on;
use keystore::{
    Algorithm, ChainError, ChainFault, IdentityId, IdentityState, Keystore, KeystoreError, OpenReport,
    Reason, RecordStore, Scope, Selection,
};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use swtpm::{HostEntropy, HostTimer, Recording, Socket, Swtpm, Trace};

/// Flash as a map. Survives the store; fails to write when told to.
#[derive(Clone, Default)]
struct Flash(Rc<RefCell<BTreeMap<u32, Vec<u8>>>>, Rc<RefCell<Option<u32>>>);

impl Flash {
    fn may_write(&self) -> Result<(), ()> {
        match self.1.borrow_mut().as_mut() {
            None => Ok(()),
            Some(0) => Err(()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
    fn fail_after(&self, writes: Option<u32>) {
        *self.1.borrow_mut() = writes;
    }
}

impl RecordStore for Flash {
    type Error = ();
    async fn get(&mut self, key: u32, value: &mut Vec<u8>) -> Result<bool, ()> {
        value.clear();
        let map = self.0.borrow();
        let found = map.get(&key);
        value.extend(found.into_iter().flatten());
        Ok(found.is_some())
    }
    async fn put(&mut self, key: u32, value: &[u8]) -> Result<(), ()> {
        self.may_write()?;
        self.0.borrow_mut().insert(key, value.to_vec());
        Ok(())
    }
    async fn delete(&mut self, key: u32) -> Result<(), ()> {
        self.may_write()?;
        self.0.borrow_mut().remove(&key);
        Ok(())
    }
    async fn keys(&mut self) -> Result<Vec<u32>, ()> {
        Ok(self.0.borrow().keys().copied().collect())
    }
}

type Store = Keystore<Flash, Recording<Socket>, HostEntropy, HostTimer>;

fn open(flash: &Flash, swtpm: &Swtpm) -> (Store, OpenReport, Trace) {
    let (transport, trace) = Recording::new(swtpm.connect().unwrap());
    let opened = Keystore::open(flash.clone(), transport, HostEntropy, HostTimer::new());
    let (store, report) = block_on(opened).unwrap();
    (store, report, trace)
}

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

fn generate(store: &mut Store, algorithm: Algorithm, whom: &str) -> IdentityId {
    block_on(store.generate(algorithm, scope(whom), Some(now()))).unwrap()
}

/// Has the authority certify the identity's request and returns the chain.
fn certify(store: &mut Store, ca: &Authority, id: IdentityId, extensions: &str) -> String {
    let request = block_on(store.csr(id, None)).unwrap();
    let name = format!("id{id}");
    ca.directory.write(&format!("{name}.csr"), &request);
    let (good, text) = ca.directory.try_openssl(&format!("req -in {name}.csr -noout -verify"));
    assert!(good && text.contains("verify OK"), "{text}");
    format!("{}{}{}", ca.issue(&name, "issuing", extensions), ca.issuing(), ca.root())
}

/// Checks a signature with openssl and the leaf's key.
fn assert_verifies(ca: &Authority, id: IdentityId, digest: &[u8; 32], signature: &[u8]) {
    ca.directory.write("digest", digest);
    ca.directory.write("signature", signature);
    ca.directory.openssl(&format!(
        "pkeyutl -verify -certin -inkey id{id}.pem -in digest -sigfile signature -pkeyopt digest:sha256"
    ));
}

const DIGEST: [u8; 32] = [0xa5; 32];

#[test]
fn identities_of_both_kinds_live_from_key_to_signature_and_survive_a_restart() {
    let (flash, mut swtpm) = (Flash::default(), Swtpm::start().unwrap());
    let (mut store, report, trace) = open(&flash, &swtpm);
    assert_eq!(
        report,
        OpenReport { identities: 0, unreadable: 0, other_tpm: 0, tpm: None, tpm_changed: false }
    );
    let ca = Authority::new(RSA, "-sha256");
    let rsa = generate(&mut store, Algorithm::Rsa2048, "ann@example.org");
    let ec = generate(&mut store, Algorithm::P256, "@example.com");
    assert_eq!((rsa, ec), (IdentityId(1), IdentityId(2)));
    assert_eq!(block_on(store.sign(rsa, &DIGEST)), Err(KeystoreError::NotReady(rsa)));
    assert_eq!(store.identity(rsa).unwrap().state(None), IdentityState::NoCertificate);

    for (id, address) in [(rsa, "ann@example.org"), (ec, "sales@example.com")] {
        let chain = certify(&mut store, &ca, id, &mail(address));
        let report = block_on(store.import_chain(id, chain.as_bytes(), Some(now()))).unwrap();
        assert_eq!((report.certificates, report.validity_checked), (3, true));
        assert_eq!(store.identity(id).unwrap().state(Some(now())), IdentityState::Ready);
        assert_eq!(store.identity(id).unwrap().state(None), IdentityState::ReadyClockUnknown);
        assert_eq!(store.identity(id).unwrap().state(Some(now() + 40 * DAY)), IdentityState::Expired);
        assert_eq!(store.identity(id).unwrap().state(Some(1)), IdentityState::NotYetValid);
        let signature = block_on(store.sign(id, &DIGEST)).unwrap();
        assert_verifies(&ca, id, &DIGEST, &signature);
    }

    // The auth values, as flash has them, never crossed the bus.
    for key in [2, 4] {
        let record = flash.0.borrow()[&key].clone();
        let public = store.identity(IdentityId(key / 2)).unwrap().public_key.clone();
        assert!(matches!(public, keystore::PublicKey::Rsa { .. } | keystore::PublicKey::P256 { .. }));
        assert!(record.windows(24).any(|piece| trace.contains(piece)), "the wrapped key did");
        let auth = auth_value_in(&record);
        assert!(!trace.contains(&auth) && !trace.contains(&auth[..8]));
    }

    drop(store);
    swtpm.power_cycle().unwrap();
    let (mut store, report, _) = open(&flash, &swtpm);
    assert_eq!((report.identities, report.other_tpm, report.tpm_changed), (2, 0, false));
    for id in [rsa, ec] {
        assert_eq!(store.chain(id).unwrap().certificates().len(), 3);
        let signature = block_on(store.sign(id, &DIGEST)).unwrap();
        assert_verifies(&ca, id, &DIGEST, &signature);
    }
    let identity = store.identity(ec).unwrap();
    assert_eq!(
        (identity.scope.as_str(), identity.algorithm, identity.enabled),
        ("@example.com", Algorithm::P256, true)
    );
    assert!(identity.created.is_some());
}

/// The 32 octets before the storage key's name (a length octet 34, then 0x000b) in a record.
fn auth_value_in(record: &[u8]) -> Vec<u8> {
    let at = (32..record.len() - 3).find(|at| record[*at..*at + 3] == [34, 0, 11]).unwrap();
    record[at - 32..at].to_vec()
}

#[test]
fn a_chain_that_does_not_fit_is_refused_with_the_reason_and_the_old_one_stays() {
    let (flash, swtpm) = (Flash::default(), Swtpm::start().unwrap());
    let (mut store, _, _) = open(&flash, &swtpm);
    let ca = Authority::new(P256, "-sha256");
    let ann = generate(&mut store, Algorithm::P256, "ann@example.org");
    let bob = generate(&mut store, Algorithm::P256, "bob@example.org");
    let good = certify(&mut store, &ca, ann, &mail("ann@example.org"));
    let not_after = block_on(store.import_chain(ann, good.as_bytes(), None)).unwrap().not_after;
    let before = store.chain(ann).unwrap();

    let mut fault = |id, text: &str, time| match block_on(store.import_chain(id, text.as_bytes(), time)) {
        Err(KeystoreError::Chain(ChainError { fault, .. })) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault(bob, &good, None), ChainFault::WrongKey);
    assert_eq!(fault(ann, &good, Some(not_after + 1)), ChainFault::Expired(not_after));
    assert!(matches!(fault(ann, &good, Some(1)), ChainFault::NotYetValid(_)));
    assert!(matches!(fault(ann, &good[..good.len() - 30], None), ChainFault::Pem(_)));
    let other = ca.issue("id1", "issuing", &mail("eve@example.org"));
    assert_eq!(fault(ann, &other, None), ChainFault::AddressMissing("eve@example.org".into()));
    let server =
        ca.issue("id1", "issuing", "subjectAltName=email:ann@example.org\nextendedKeyUsage=serverAuth\n");
    assert_eq!(fault(ann, &server, None), ChainFault::NotForMail);
    assert_eq!(
        block_on(store.import_chain(IdentityId(9), good.as_bytes(), None)),
        Err(KeystoreError::Unknown(IdentityId(9)))
    );
    assert_eq!(*store.chain(ann).unwrap(), *before);
    assert!(store.chain(bob).is_none());
}

#[test]
fn another_tpm_is_noticed_and_says_so_and_the_old_one_is_welcome_back() {
    let (flash, mut first) = (Flash::default(), Swtpm::start().unwrap());
    let (mut store, _, _) = open(&flash, &first);
    let ca = Authority::new(P256, "-sha256");
    let ann = generate(&mut store, Algorithm::P256, "ann@example.org");
    let chain = certify(&mut store, &ca, ann, &mail("ann@example.org"));
    block_on(store.import_chain(ann, chain.as_bytes(), None)).unwrap();
    let name = store.tpm_name().unwrap();
    drop(store);

    let second = Swtpm::start().unwrap();
    let (mut store, report, _) = open(&flash, &second);
    assert_eq!((report.identities, report.other_tpm, report.tpm_changed), (1, 1, true));
    assert_ne!(store.tpm_name().unwrap(), name);
    assert_eq!(block_on(store.sign(ann, &DIGEST)), Err(KeystoreError::OtherTpm));
    assert_eq!(block_on(store.csr(ann, None)), Err(KeystoreError::OtherTpm));
    assert_eq!(
        store.select("ann@example.org", None),
        Selection { id: None, reason: Reason::Unusable(ann, IdentityState::OtherTpm) }
    );
    let new = generate(&mut store, Algorithm::P256, "ann@example.org");
    assert_eq!(new, IdentityId(2));
    drop(store);

    first.power_cycle().unwrap();
    let (mut store, report, _) = open(&flash, &first);
    assert_eq!((report.identities, report.other_tpm, report.tpm_changed), (2, 1, true));
    block_on(store.sign(ann, &DIGEST)).unwrap();
}

#[test]
fn a_store_without_a_tpm_can_be_listed_and_works_once_the_tpm_is_back() {
    let (flash, swtpm) = (Flash::default(), Swtpm::start().unwrap());
    let (mut store, _, _) = open(&flash, &swtpm);
    let ann = generate(&mut store, Algorithm::P256, "ann@example.org");
    drop(store);
    struct Absent;
    impl swtpm::TpmTransport for Absent {
        async fn transact(&mut self, _: &[u8], _: &mut [u8]) -> Result<usize, swtpm::TpmTransportError> {
            Err(swtpm::TpmTransportError::Absent)
        }
    }
    let opened = Keystore::open(flash.clone(), Absent, HostEntropy, HostTimer::new());
    let (mut store, report) = block_on(opened).unwrap();
    let absent = keystore::TpmError::Transport(swtpm::TpmTransportError::Absent);
    assert_eq!((report.identities, report.tpm, report.tpm_changed), (1, Some(absent), false));
    assert_eq!(store.list().count(), 1);
    assert_eq!(block_on(store.csr(ann, None)), Err(KeystoreError::Tpm(absent)));
    assert_eq!(block_on(store.restart_tpm()), Err(KeystoreError::Tpm(absent)));
    drop(store);
    let (mut store, _, _) = open(&flash, &swtpm);
    assert_eq!(block_on(store.restart_tpm()), Ok(()));
    block_on(store.csr(ann, None)).unwrap();
}

#[test]
fn who_signs_follows_from_the_store_and_the_time_alone() {
    let (flash, swtpm) = (Flash::default(), Swtpm::start().unwrap());
    let (mut store, _, _) = open(&flash, &swtpm);
    let ca = Authority::new(P256, "-sha256");
    let select = |store: &Store, address: &str| store.select(address, Some(now())).reason;
    assert_eq!(select(&store, "ann@example.org"), Reason::NoIdentity);
    let domain = generate(&mut store, Algorithm::P256, "@example.org");
    assert_eq!(select(&store, "ann@example.org"), Reason::Unusable(domain, IdentityState::NoCertificate));
    let chain = certify(&mut store, &ca, domain, &mail("gateway@example.org"));
    block_on(store.import_chain(domain, chain.as_bytes(), None)).unwrap();
    assert_eq!(select(&store, "Ann@Example.ORG"), Reason::Domain(domain));
    assert_eq!(select(&store, "ann@mail.example.org"), Reason::NoIdentity);
    // An exact one without certificate does not displace a domain's that can sign.
    let exact = generate(&mut store, Algorithm::P256, "ann@example.org");
    assert_eq!(select(&store, "ann@example.org"), Reason::Domain(domain));
    let chain = certify(&mut store, &ca, exact, &mail("ann@example.org"));
    block_on(store.import_chain(exact, chain.as_bytes(), None)).unwrap();
    assert_eq!(select(&store, "ann@example.org"), Reason::Address(exact));
    assert_eq!(select(&store, "bob@example.org"), Reason::Domain(domain));
    // A renewed one, valid from later on, replaces it.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let renewed = generate(&mut store, Algorithm::P256, "ann@example.org");
    let chain = certify(&mut store, &ca, renewed, &mail("ann@example.org"));
    block_on(store.import_chain(renewed, chain.as_bytes(), None)).unwrap();
    assert_eq!(select(&store, "ann@example.org"), Reason::Address(renewed));
    block_on(store.set_enabled(renewed, false)).unwrap();
    assert_eq!(select(&store, "ann@example.org"), Reason::Address(exact));
    assert_eq!(block_on(store.sign(renewed, &DIGEST)), Err(KeystoreError::NotReady(renewed)));
    block_on(store.remove(exact)).unwrap();
    assert_eq!(select(&store, "ann@example.org"), Reason::Domain(domain));
    block_on(store.remove(domain)).unwrap();
    assert_eq!(select(&store, "ann@example.org"), Reason::Unusable(renewed, IdentityState::Disabled));
    assert_eq!(store.select("ann@example.org", None).reason.to_string(), "identity 3 cannot sign: disabled");
    drop(store);
    let (store, _, _) = open(&flash, &swtpm);
    assert_eq!(
        store.list().map(|identity| (identity.id, identity.enabled)).collect::<Vec<_>>(),
        [(renewed, false)]
    );
}

#[test]
fn a_write_that_fails_leaves_the_store_as_before_or_after_and_no_number_is_given_twice() {
    let (flash, swtpm) = (Flash::default(), Swtpm::start().unwrap());
    let (mut store, _, _) = open(&flash, &swtpm);
    let first = generate(&mut store, Algorithm::P256, "ann@example.org");
    for writes in 0..3 {
        flash.fail_after(Some(writes));
        let made = block_on(store.generate(Algorithm::P256, scope("bob@example.org"), None));
        assert_eq!(made, Err(KeystoreError::Flash));
        assert_eq!(store.list().count(), 1);
        assert_eq!(block_on(store.set_enabled(first, false)), Err(KeystoreError::Flash));
        assert!(store.identity(first).unwrap().enabled);
    }
    flash.fail_after(None);
    drop(store);
    let (mut store, report, _) = open(&flash, &swtpm);
    assert_eq!((report.identities, report.unreadable), (1, 0));
    let next = generate(&mut store, Algorithm::P256, "bob@example.org");
    assert!(next > first);
    block_on(store.remove(next)).unwrap();
    drop(store);
    let (mut store, _, _) = open(&flash, &swtpm);
    assert!(generate(&mut store, Algorithm::P256, "bob@example.org") > next);
}

#[test]
fn any_flash_content_opens_and_what_cannot_be_read_is_counted() {
    let (flash, swtpm) = (Flash::default(), Swtpm::start().unwrap());
    let (mut store, _, _) = open(&flash, &swtpm);
    let ca = Authority::new(P256, "-sha256");
    let ann = generate(&mut store, Algorithm::P256, "ann@example.org");
    let chain = certify(&mut store, &ca, ann, &mail("ann@example.org"));
    block_on(store.import_chain(ann, chain.as_bytes(), None)).unwrap();
    drop(store);
    struct Absent;
    impl swtpm::TpmTransport for Absent {
        async fn transact(&mut self, _: &[u8], _: &mut [u8]) -> Result<usize, swtpm::TpmTransportError> {
            Err(swtpm::TpmTransportError::Absent)
        }
    }
    let good = flash.0.borrow().clone();
    let mut seed = 7u64;
    let mut below = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    for round in 0..2_000 {
        let mut content = good.clone();
        for key in [0, 2, 3] {
            let value = content.get_mut(&key).unwrap();
            for _ in 0..below(3) {
                let at = below(value.len().max(1));
                match below(4) {
                    0 => value.truncate(at),
                    1 => value.insert(at, below(256) as u8),
                    _ => value.iter_mut().skip(at).take(1).for_each(|octet| *octet ^= 1 << below(8)),
                }
            }
        }
        content.insert(below(200) as u32 + 4, vec![1; below(50)]);
        let damaged = Flash(Rc::new(RefCell::new(content)), Rc::default());
        let (store, report) =
            block_on(Keystore::open(damaged, Absent, HostEntropy, HostTimer::new())).unwrap();
        assert!(report.identities <= 1 && report.identities == store.list().count(), "round {round}");
        let _ = store.select("ann@example.org", None);
    }
    // A record of a later version is left where it is.
    flash.0.borrow_mut().get_mut(&2).unwrap()[0] = 2;
    let (mut store, report, _) = open(&flash, &swtpm);
    assert_eq!((report.identities, report.unreadable), (0, 1));
    assert_eq!(generate(&mut store, Algorithm::P256, "ann@example.org"), IdentityId(2));
    assert_eq!(flash.0.borrow()[&2][0], 2);
}
