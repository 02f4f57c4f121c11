//! The store on the real key-value log over simulated flash: the power is cut at every single flash operation.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../pki/tests/authority/mod.rs"]
mod authority;

use authority::{Authority, P256, mail};
use embassy_futures::block_on;
use flash_log::{KvError, KvStore};
use flash_sim::{SimFlash, Tear};
use keystore::{Algorithm, IdentityId, Keystore, KeystoreError, OpenReport, RecordStore, Scope};
use swtpm::{HostEntropy, HostTimer, Socket, Swtpm};

type Device = SimFlash<32_768>;

/// The key-value log as the product uses it.
struct Records(KvStore<Device>);

impl RecordStore for Records {
    type Error = KvError;
    async fn get(&mut self, key: u32, value: &mut Vec<u8>) -> Result<bool, KvError> {
        value.clear();
        let Some(length) = self.0.len_of(key) else { return Ok(false) };
        value.resize(length, 0);
        Ok(self.0.get(key, value).await?.is_some())
    }
    async fn put(&mut self, key: u32, value: &[u8]) -> Result<(), KvError> {
        self.0.set(key, value).await
    }
    async fn delete(&mut self, key: u32) -> Result<(), KvError> {
        self.0.delete(key).await
    }
    async fn keys(&mut self) -> Result<Vec<u32>, KvError> {
        Ok(self.0.keys().collect())
    }
}

type Store = Keystore<Records, Socket, HostEntropy, HostTimer>;

fn open(device: &Device, swtpm: &Swtpm) -> (Store, OpenReport) {
    let records = Records(block_on(KvStore::open(device.clone())).unwrap());
    block_on(Keystore::open(records, swtpm.connect().unwrap(), HostEntropy, HostTimer::new())).unwrap()
}

/// What an operator sees: number, enabled, certificate present.
type State = Vec<(u32, bool, bool)>;

fn state(store: &Store) -> State {
    store.list().map(|identity| (identity.id.0, identity.enabled, identity.chain.is_some())).collect()
}

fn step(store: &mut Store, number: usize, chain: &str) -> Result<(), KeystoreError> {
    let first = IdentityId(1);
    match number {
        0 => block_on(store.import_chain(first, chain.as_bytes(), None)).map(drop),
        1 => block_on(store.generate(Algorithm::P256, Scope::parse("@example.org").unwrap(), None)).map(drop),
        2 => block_on(store.set_enabled(first, false)),
        _ => block_on(store.remove(first)),
    }
}

#[test]
fn the_power_cut_at_any_flash_operation_leaves_the_state_before_or_after() {
    let swtpm = Swtpm::start().unwrap();
    let base = Device::new(4).program_once();
    let chain = {
        let (mut store, _) = open(&base, &swtpm);
        let scope = Scope::parse("ann@example.org").unwrap();
        let first = block_on(store.generate(Algorithm::P256, scope, None)).unwrap();
        let ca = Authority::new(P256, "-sha256");
        ca.directory.write("ann.csr", block_on(store.csr(first, None)).unwrap());
        format!("{}{}", ca.issue("ann", "issuing", &mail("ann@example.org")), ca.issuing())
    };
    let states: [State; 5] = [
        vec![(1, true, false)],
        vec![(1, true, true)],
        vec![(1, true, true), (2, true, false)],
        vec![(1, false, true), (2, true, false)],
        vec![(2, true, false)],
    ];
    let mut cuts = 0;
    for operations in 0.. {
        let mut finished = false;
        for tear in [Tear::Before, Tear::Half(operations), Tear::After] {
            let device = base.fork();
            let (mut store, _) = open(&device, &swtpm);
            assert_eq!(state(&store), states[0]);
            device.cut_after(operations, tear);
            let done = (0..4).take_while(|number| step(&mut store, *number, &chain).is_ok()).count();
            finished = !device.is_off();
            drop(store);
            device.power_on();
            let (mut store, report) = open(&device, &swtpm);
            let found = state(&store);
            assert!(
                found == states[done] || states.get(done + 1) == Some(&found),
                "cut {tear:?} after {operations}: {done} steps done, found {found:?}"
            );
            assert_eq!((report.unreadable, report.other_tpm, report.tpm), (0, 0, None));
            // Whatever was left, the store goes on, and no number that anybody saw is given again.
            let seen = if done > 1 { 2 } else { 1 };
            let next = block_on(store.generate(Algorithm::P256, Scope::parse("@example.net").unwrap(), None));
            assert!(next.unwrap().0 > seen);
            cuts += 1;
        }
        if finished {
            break;
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 15);
}
