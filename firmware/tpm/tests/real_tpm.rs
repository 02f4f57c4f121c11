//! The driver against a real TPM: `swtpm`, one per test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use embassy_futures::block_on;
use embassy_futures::select::{Either, select};
use platform::Entropy;
use swtpm::{Fault, Faults, Faulty, HostEntropy, HostTimer, Recording, Socket, Swtpm, Trace};
use tpm::{AuthValue, KeyAlgorithm, ResponseCode, Tpm, TpmError, WrappedKey};

type Bus = Faulty<Recording<Socket>>;
type Driver = Tpm<Bus, HostEntropy, HostTimer>;

const LOAD: u32 = 0x157;
const SIGN: u32 = 0x15d;
const GET_RANDOM: u32 = 0x17b;
const CREATE: u32 = 0x153;
const FLUSH: u32 = 0x165;
const START_AUTH_SESSION: u32 = 0x176;
const READ_PUBLIC: u32 = 0x173;
const CREATE_PRIMARY: u32 = 0x131;
const DIGEST: [u8; 32] = [0x5a; 32];

fn driver(swtpm: &Swtpm) -> (Driver, Trace, Faults) {
    let (recording, trace) = Recording::new(swtpm.connect().unwrap());
    let (bus, faults) = Faulty::new(recording);
    (Tpm::new(bus, HostEntropy, HostTimer::new()), trace, faults)
}

fn auth() -> AuthValue {
    let mut octets = [0; 32];
    HostEntropy.fill(&mut octets);
    AuthValue::new(octets)
}

fn started() -> (Swtpm, Driver, Trace, Faults) {
    let swtpm = Swtpm::start().unwrap();
    let (mut tpm, trace, faults) = driver(&swtpm);
    block_on(tpm.start()).unwrap();
    (swtpm, tpm, trace, faults)
}

fn with_key() -> (Swtpm, Driver, Trace, Faults, WrappedKey, AuthValue) {
    let (swtpm, mut tpm, trace, faults) = started();
    let auth = auth();
    let key = block_on(tpm.create(KeyAlgorithm::P256, &auth)).unwrap();
    (swtpm, tpm, trace, faults, key, auth)
}

fn assert_signs(tpm: &mut Driver, key: &WrappedKey, auth: &AuthValue) {
    let signature = block_on(tpm.sign(key, auth, &DIGEST)).unwrap();
    assert!(key.public_key().unwrap().verify(&DIGEST, &signature));
}

#[test]
fn keys_of_both_kinds_sign_and_survive_the_loss_of_power() {
    let (mut swtpm, mut tpm, _, _) = started();
    let name = tpm.storage_key_name().unwrap();
    let auth = auth();
    let keys = [KeyAlgorithm::Rsa2048, KeyAlgorithm::P256]
        .map(|algorithm| block_on(tpm.create(algorithm, &auth)).unwrap());
    for key in &keys {
        assert_signs(&mut tpm, key, &auth);
    }
    drop(tpm);
    swtpm.power_cycle().unwrap();
    let (mut tpm, trace, _) = driver(&swtpm);
    assert_eq!(block_on(tpm.start()).unwrap(), name);
    assert!(!trace.command_codes().contains(&CREATE_PRIMARY), "the storage key is found, not made again");
    for key in &keys {
        assert_signs(&mut tpm, key, &auth);
    }
}

#[test]
fn more_keys_than_the_tpm_has_room_for_sign_in_turn() {
    let (_swtpm, mut tpm, trace, _) = started();
    let auth = auth();
    let keys: Vec<_> = (0..5).map(|_| block_on(tpm.create(KeyAlgorithm::P256, &auth)).unwrap()).collect();
    for _ in 0..2 {
        for key in &keys {
            assert_signs(&mut tpm, key, &auth);
        }
    }
    trace.clear();
    assert_signs(&mut tpm, &keys[4], &auth);
    assert_eq!(trace.command_codes(), [SIGN], "a loaded key and an open session cost one command");
}

#[test]
fn a_probe_on_the_bus_sees_no_auth_value_no_digest_and_no_random_octets() {
    let (_swtpm, mut tpm, trace, _, key, auth) = with_key();
    let mut random = [0; 48];
    block_on(tpm.random(&mut random)).unwrap();
    assert_ne!(random, [0; 48]);
    assert_signs(&mut tpm, &key, &auth);
    for secret in [&auth.expose()[..], &auth.expose()[..8], &DIGEST, &random[..16], &random[32..]] {
        assert!(!trace.contains(secret));
    }
    // The probe does see what is not secret.
    assert!(trace.contains(key.name().as_bytes()));
    let sessions = trace.command_codes().iter().filter(|code| **code == START_AUTH_SESSION).count();
    assert_eq!(sessions, 1, "one session does everything");
}

#[test]
fn a_wrong_auth_value_is_denied_and_locks_nobody_out() {
    let (_swtpm, mut tpm, _, _, key, right) = with_key();
    for _ in 0..40 {
        assert!(matches!(block_on(tpm.sign(&key, &auth(), &DIGEST)), Err(TpmError::Denied(_))));
    }
    assert_signs(&mut tpm, &key, &right);
}

#[test]
fn an_auth_value_that_ends_in_zeros_works() {
    let (_swtpm, mut tpm, _, _) = started();
    let mut octets = [7; 32];
    octets[29..].fill(0);
    let auth = AuthValue::new(octets);
    let key = block_on(tpm.create(KeyAlgorithm::P256, &auth)).unwrap();
    assert_signs(&mut tpm, &key, &auth);
}

#[test]
fn a_key_of_another_tpm_is_refused_and_the_tpm_has_another_name() {
    let (_swtpm, tpm, _, _, key, auth) = with_key();
    let (_other_swtpm, mut other, _, _) = started();
    assert_ne!(tpm.storage_key_name(), other.storage_key_name());
    assert_eq!(block_on(other.sign(&key, &auth, &DIGEST)), Err(TpmError::Key));
}

#[test]
fn a_damaged_wrapped_key_is_refused() {
    let (_swtpm, mut tpm, _, _, key, auth) = with_key();
    for position in [0, 1, 2, 40, key.private.len() - 1] {
        let mut damaged = key.clone();
        damaged.private[position] ^= 1;
        assert!(block_on(tpm.sign(&damaged, &auth, &DIGEST)).is_err());
    }
    for position in 0..key.public.len() {
        let mut damaged = key.clone();
        damaged.public[position] ^= 1;
        assert!(block_on(tpm.sign(&damaged, &auth, &DIGEST)).is_err());
    }
    let mut damaged = key.clone();
    damaged.private.truncate(30);
    assert!(block_on(tpm.sign(&damaged, &auth, &DIGEST)).is_err());
    assert_signs(&mut tpm, &key, &auth);
}

#[test]
fn a_busy_tpm_is_asked_again() {
    let (_swtpm, mut tpm, trace, faults, key, auth) = with_key();
    assert_signs(&mut tpm, &key, &auth);
    trace.clear();
    for code in [0x922, 0x908, 0x90a] {
        faults.plan(SIGN, 0, Fault::Answer(code));
        assert_signs(&mut tpm, &key, &auth);
        assert!(!faults.is_pending());
    }
    assert_eq!(trace.command_codes(), [SIGN; 3], "the same session goes on");
}

#[test]
fn a_tpm_that_stays_busy_is_given_up_after_a_bounded_time() {
    /// Time that passes only by waiting for it.
    #[derive(Clone, Default)]
    struct Waiting(std::rc::Rc<std::cell::Cell<platform::Instant>>);
    impl platform::Timer for Waiting {
        fn now(&self) -> platform::Instant {
            self.0.get()
        }
        async fn sleep_until(&self, at: platform::Instant) {
            self.0.set(at);
        }
    }
    struct Busy;
    impl swtpm::TpmTransport for Busy {
        async fn transact(
            &mut self,
            _: &[u8],
            response: &mut [u8],
        ) -> Result<usize, swtpm::TpmTransportError> {
            response[..10].copy_from_slice(&[0x80, 1, 0, 0, 0, 10, 0, 0, 9, 0x22]);
            Ok(10)
        }
    }
    let timer = Waiting::default();
    let mut tpm = Tpm::new(Busy, HostEntropy, timer.clone());
    assert_eq!(block_on(tpm.start()), Err(TpmError::Busy));
    let waited = timer.0.get().0;
    assert!((5_000_000..30_000_000).contains(&waited), "{waited} us");
}

#[test]
fn a_failed_self_test_and_a_lockout_have_their_own_errors() {
    let (_swtpm, mut tpm, _, faults, key, auth) = with_key();
    faults.plan(SIGN, 0, Fault::Answer(0x101));
    assert_eq!(block_on(tpm.sign(&key, &auth, &DIGEST)), Err(TpmError::Failure));
    faults.plan(SIGN, 0, Fault::Answer(0x921));
    assert_eq!(block_on(tpm.sign(&key, &auth, &DIGEST)), Err(TpmError::Lockout));
    faults.plan(SIGN, 0, Fault::Answer(0x123));
    assert_eq!(block_on(tpm.sign(&key, &auth, &DIGEST)), Err(TpmError::Refused(ResponseCode(0x123))));
    assert_signs(&mut tpm, &key, &auth);
}

#[test]
fn lost_sessions_lost_keys_and_full_slots_are_made_good_without_the_caller() {
    let (_swtpm, mut tpm, _, faults, key, auth) = with_key();
    for (command, code) in [
        (SIGN, 0x18b),
        (SIGN, 0x910),
        (SIGN, 0x918),
        (LOAD, 0x902),
        (START_AUTH_SESSION, 0x903),
        (SIGN, 0x100),
    ] {
        assert_signs(&mut tpm, &key, &auth);
        if command != SIGN {
            // Loses key and session, so that the command is needed.
            faults.plan(SIGN, 0, Fault::Answer(0x123));
            assert!(block_on(tpm.sign(&key, &auth, &DIGEST)).is_err());
        }
        faults.plan(command, 0, Fault::Answer(code));
        assert_signs(&mut tpm, &key, &auth);
        assert!(!faults.is_pending());
    }
}

#[test]
fn a_dropped_operation_leaves_nothing_behind_whatever_it_was_waiting_for() {
    let (_swtpm, mut tpm, trace, faults, key, auth) = with_key();
    for round in 0..12 {
        let command = [SIGN, LOAD, START_AUTH_SESSION][round % 3];
        if command != SIGN {
            faults.plan(SIGN, 0, Fault::Answer(0x123));
            assert!(block_on(tpm.sign(&key, &auth, &DIGEST)).is_err());
        }
        faults.plan(command, 0, Fault::Hang);
        block_on(async {
            let first = select(tpm.sign(&key, &auth, &DIGEST), core::future::ready(())).await;
            assert!(matches!(first, Either::Second(())), "the operation hangs");
        });
        assert!(!faults.is_pending());
    }
    faults.plan(CREATE, 0, Fault::Hang);
    block_on(async {
        let _ = select(tpm.create(KeyAlgorithm::P256, &auth), core::future::ready(())).await;
    });
    trace.clear();
    assert_signs(&mut tpm, &key, &auth);
    let flushed = trace.command_codes().iter().filter(|code| **code == FLUSH).count();
    assert!(flushed <= 2, "at most one session and one key were left: {flushed}");
}

#[test]
fn a_driver_that_restarts_while_the_tpm_stays_on_frees_what_the_former_run_left() {
    let (swtpm, mut tpm, _, _, key, auth) = with_key();
    for _ in 0..5 {
        assert_signs(&mut tpm, &key, &auth);
        drop(tpm);
        let (mut next, _, _) = driver(&swtpm);
        block_on(next.start()).unwrap();
        tpm = next;
    }
    assert_signs(&mut tpm, &key, &auth);
}

#[test]
fn a_tpm_that_loses_power_under_the_driver_is_started_again() {
    // The bus of the appliance stays when the TPM restarts; here the connection is made anew inside the transport.
    struct Reconnecting(std::rc::Rc<std::cell::RefCell<Swtpm>>, Option<Socket>);
    impl swtpm::TpmTransport for Reconnecting {
        async fn transact(
            &mut self,
            command: &[u8],
            response: &mut [u8],
        ) -> Result<usize, swtpm::TpmTransportError> {
            if let Some(socket) = &mut self.1
                && let Ok(length) = socket.transact(command, response).await
            {
                return Ok(length);
            }
            let mut socket = self.0.borrow().connect().unwrap();
            let length = socket.transact(command, response).await;
            self.1 = Some(socket);
            length
        }
    }
    let swtpm = std::rc::Rc::new(std::cell::RefCell::new(Swtpm::start().unwrap()));
    let mut tpm = Tpm::new(Reconnecting(swtpm.clone(), None), HostEntropy, HostTimer::new());
    block_on(tpm.start()).unwrap();
    let auth = auth();
    let key = block_on(tpm.create(KeyAlgorithm::P256, &auth)).unwrap();
    block_on(tpm.sign(&key, &auth, &DIGEST)).unwrap();
    swtpm.borrow_mut().power_cycle().unwrap();
    block_on(tpm.sign(&key, &auth, &DIGEST)).unwrap();
}

/// Flips bits of response octets of one command and checks that an operation either fails or gives a right result.
fn flip_every_octet(command: u32, mut operation: impl FnMut(&mut Driver, &WrappedKey, &AuthValue) -> bool) {
    let (_swtpm, mut tpm, trace, faults, key, auth) = with_key();
    // Makes the next operation need every command.
    let lose_all = |tpm: &mut Driver| {
        faults.plan(SIGN, 0, Fault::Answer(0x123));
        assert!(block_on(tpm.sign(&key, &auth, &DIGEST)).is_err());
        faults.cancel();
    };
    lose_all(&mut tpm);
    trace.clear();
    assert!(operation(&mut tpm, &key, &auth));
    let length = trace
        .exchanges()
        .iter()
        .find(|(sent, _)| sent[6..10] == command.to_be_bytes())
        .map(|(_, response)| response.len())
        .unwrap();
    let mut accepted = 0;
    for octet in 0..length {
        let mask = 1 << (octet % 8);
        lose_all(&mut tpm);
        faults.plan(command, 0, Fault::Flip(octet, mask));
        if operation(&mut tpm, &key, &auth) {
            accepted += 1;
        }
        assert!(!faults.is_pending(), "octet {octet} was flipped");
    }
    for short in [0, 1, 9, 10, 14, length - 1] {
        lose_all(&mut tpm);
        faults.plan(command, 0, Fault::Cut(short));
        assert!(!operation(&mut tpm, &key, &auth), "cut at {short}");
    }
    // Only octets that no MAC covers may be made good by a second try: the handles of loaded objects and sessions
    // and the response code.
    assert!(accepted <= 8, "{accepted} of {length} flipped responses to 0x{command:x} were made good");
    assert_signs(&mut tpm, &key, &auth);
}

/// True if the operation succeeded; then its result must be right.
fn sign_is_right(tpm: &mut Driver, key: &WrappedKey, auth: &AuthValue) -> bool {
    match block_on(tpm.sign(key, auth, &DIGEST)) {
        Ok(signature) => {
            assert!(key.public_key().unwrap().verify(&DIGEST, &signature));
            true
        }
        Err(_) => false,
    }
}

#[test]
fn no_flipped_octet_of_a_signature_response_is_accepted() {
    flip_every_octet(SIGN, sign_is_right);
}

#[test]
fn no_flipped_octet_of_a_load_response_leads_to_a_wrong_result() {
    flip_every_octet(LOAD, sign_is_right);
}

#[test]
fn no_flipped_octet_when_a_session_is_opened_leads_to_a_wrong_result() {
    flip_every_octet(START_AUTH_SESSION, sign_is_right);
}

#[test]
fn no_flipped_octet_of_random_data_is_accepted() {
    flip_every_octet(GET_RANDOM, |tpm, _, _| block_on(tpm.random(&mut [0; 32])).is_ok());
}

#[test]
fn no_flipped_octet_of_a_new_key_is_accepted() {
    flip_every_octet(CREATE, |tpm, _, auth| match block_on(tpm.create(KeyAlgorithm::P256, auth)) {
        Ok(key) => sign_is_right(tpm, &key, auth),
        Err(_) => false,
    });
}

#[test]
fn no_flipped_octet_of_the_storage_key_is_accepted_at_start() {
    let (_swtpm, mut tpm, trace, faults, key, auth) = with_key();
    let name = tpm.storage_key_name().unwrap();
    trace.clear();
    block_on(tpm.start()).unwrap();
    let exchanges = trace.exchanges();
    let (_, response) = exchanges.iter().find(|(sent, _)| sent[6..10] == READ_PUBLIC.to_be_bytes()).unwrap();
    for octet in 0..response.len() {
        faults.plan(READ_PUBLIC, 0, Fault::Flip(octet, 0x10));
        // What lies behind the public area is not used and may be anything.
        if let Ok(found) = block_on(tpm.start()) {
            assert_eq!(found, name, "octet {octet}");
        }
    }
    block_on(tpm.start()).unwrap();
    assert_signs(&mut tpm, &key, &auth);
}

#[test]
fn random_answers_are_errors_and_never_a_panic() {
    struct Babbling(u64);
    impl swtpm::TpmTransport for Babbling {
        async fn transact(
            &mut self,
            _: &[u8],
            response: &mut [u8],
        ) -> Result<usize, swtpm::TpmTransportError> {
            let mut next = || {
                self.0 =
                    self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (self.0 >> 33) as usize
            };
            let length = next() % 200;
            response[..length].iter_mut().for_each(|octet| *octet = next() as u8);
            // Most look like a success of the right length, or nothing behind the header would ever be read.
            if length >= 14 && next() % 8 != 0 {
                let tag = if next() % 2 == 0 { 1 } else { 2 };
                response[..10].copy_from_slice(&[0x80, tag, 0, 0, 0, length as u8, 0, 0, 0, 0]);
                response[10..12].fill(0);
            }
            Ok(length)
        }
    }
    let mut tpm = Tpm::new(Babbling(1), HostEntropy, HostTimer::new());
    let key = WrappedKey { public: vec![0; 40], private: vec![0; 40] };
    for _ in 0..5_000 {
        let _ = block_on(tpm.start());
        assert!(block_on(tpm.random(&mut [0; 4])).is_err());
        assert!(block_on(tpm.sign(&key, &auth(), &DIGEST)).is_err());
    }
}

#[test]
fn waiting_for_the_tpm_takes_little_memory() {
    let (_swtpm, mut tpm, _, _, key, auth) = with_key();
    let start = core::mem::size_of_val(&tpm.start());
    let sign = core::mem::size_of_val(&tpm.sign(&key, &auth, &DIGEST));
    let create = core::mem::size_of_val(&tpm.create(KeyAlgorithm::P256, &auth));
    println!("futures: start {start}, sign {sign}, create {create} octets");
    assert!(start.max(sign).max(create) < 8_192, "start {start}, sign {sign}, create {create}");
}

#[test]
fn damaged_public_areas_are_errors_and_never_a_panic() {
    let (_swtpm, mut tpm, _, _) = started();
    for algorithm in [KeyAlgorithm::Rsa2048, KeyAlgorithm::P256] {
        let key = block_on(tpm.create(algorithm, &auth())).unwrap();
        let wanted = key.public_key().unwrap();
        let mut seed = 11u64;
        let mut below = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % bound
        };
        for _ in 0..2_000 {
            let mut damaged = key.clone();
            let at = below(damaged.public.len());
            match below(4) {
                0 => damaged.public.truncate(at),
                1 => damaged.public.insert(at, below(256) as u8),
                2 => drop(damaged.public.remove(at)),
                _ => damaged.public[at] ^= 1 << below(8),
            }
            if let Ok(other) = damaged.public_key() {
                assert!(other != wanted || damaged == key);
            }
        }
    }
}

#[test]
fn no_flipped_octet_of_a_command_makes_the_tpm_sign_something_else() {
    let (_swtpm, mut tpm, trace, faults, key, auth) = with_key();
    assert_signs(&mut tpm, &key, &auth);
    trace.clear();
    assert_signs(&mut tpm, &key, &auth);
    let length = trace.exchanges()[0].0.len();
    // A wrong size in the header only makes the socket wait.
    for octet in (0..2).chain(10..length) {
        faults.plan(SIGN, 0, Fault::FlipCommand(octet, 1 << (octet % 8)));
        sign_is_right(&mut tpm, &key, &auth);
        assert!(!faults.is_pending());
    }
    assert_signs(&mut tpm, &key, &auth);
}

#[test]
fn a_storage_key_that_is_not_the_one_asked_for_is_noticed() {
    let swtpm = Swtpm::start().unwrap();
    let (mut tpm, trace, faults) = driver(&swtpm);
    // The attributes in the template lie behind header, handle, password, empty sensitive part, size, type and name algorithm.
    let attributes = 10 + 4 + 4 + 9 + 6 + 2 + 4;
    faults.plan(CREATE_PRIMARY, 0, Fault::FlipCommand(attributes + 2, 0x04));
    assert_eq!(block_on(tpm.start()), Err(TpmError::ForeignStorageKey));
    assert!(!faults.is_pending());
    let (sent, _) =
        trace.exchanges().into_iter().find(|(c, _)| c[6..10] == CREATE_PRIMARY.to_be_bytes()).unwrap();
    assert_eq!(sent[attributes..attributes + 4], 0x0003_0072u32.to_be_bytes(), "noDA was taken away");
    assert_eq!(block_on(tpm.random(&mut [0; 4])), Err(TpmError::NotStarted));
    block_on(tpm.start()).unwrap();
}
