//! Power cuts, damage and foreign content: the spool beside a plain model of what it must hold.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::{Random, SimFlash, Tear};
use spool::{
    Admission, Arrival, Attempt, Change, Class, MessageState, RecipientState, Removal, Spool, SpoolError,
    Status,
};

const BLOCK: usize = 16 * 1_024;
const BLOCKS: usize = 8;
type Flash = SimFlash<BLOCK>;
type TestSpool = Spool<Flash>;

/// What the model knows about a message.
#[derive(Clone, Debug, PartialEq)]
struct Letter {
    bytes: Vec<u8>,
    states: Vec<RecipientState>,
    recipe: Option<Vec<u8>>,
    held: bool,
    attempts: u16,
    reports: u16,
    warned: bool,
    /// Code of the last attempt.
    last: u16,
    reason: String,
}

/// The messages, and whether the last one was refused: messages are removed only then, to stay at the brim.
#[derive(Clone, Debug, Default)]
struct Model(BTreeMap<QueueId, Letter>, bool);

/// An operation that the power cut met: the message is as before or as after.
#[derive(Debug)]
struct Doubt {
    id: QueueId,
    before: Option<Letter>,
    after: Option<Letter>,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Put { seed: u64, len: usize, recipients: usize },
    Attempt { which: usize, seed: u64 },
    Recipe { which: usize, seed: u64, len: usize },
    Hold { which: usize, hold: bool },
    Remove { which: usize },
    Clean,
}

fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    // Some content looks like blank flash.
    let byte = |n: u64| if seed.is_multiple_of(5) { 0xff } else { n as u8 };
    (0..len).map(|_| byte(random.next_u64())).collect()
}

fn random_op(random: &mut Random) -> Op {
    let which = random.below(1_000);
    match random.below(20) {
        0..6 => {
            let len = [10, 10, 300, 300, 300, 2_000, 3_904, 9_000][random.below(8)] + random.below(40);
            Op::Put { seed: random.next_u64(), len, recipients: [1, 1, 1, 2, 16, 17, 20][random.below(7)] }
        }
        6..10 => Op::Attempt { which, seed: random.next_u64() },
        // Small recipes give most of their reservation back: many small messages then fill the queue.
        10..15 => Op::Recipe { which, seed: random.next_u64(), len: [50, 50, 400, 3_800][random.below(4)] },
        15 => Op::Hold { which, hold: random.below(2) == 0 },
        16..19 => Op::Remove { which },
        _ => Op::Clean,
    }
}

impl Model {
    fn pick(&self, which: usize) -> Option<(QueueId, Letter)> {
        let at = which % self.0.len().max(1);
        self.0.iter().nth(at).map(|(id, letter)| (*id, letter.clone()))
    }

    /// Runs one operation on spool and model. `Some` if the power was cut in it.
    fn apply(&mut self, spool: &TestSpool, flash: &Flash, op: Op) -> Option<Doubt> {
        if matches!(op, Op::Remove { .. }) && !std::mem::take(&mut self.1) {
            return None;
        }
        let (doubt, result) = self.run(spool, op)?;
        match result {
            Ok(()) => {
                match doubt.after {
                    Some(after) => self.0.insert(doubt.id, after),
                    None => self.0.remove(&doubt.id),
                };
                None
            }
            Err(_) if flash.is_off() => Some(doubt),
            Err(SpoolError::Full(_)) if matches!(op, Op::Put { .. }) => {
                self.1 = true;
                None
            }
            // Only a first recipe has its room reserved.
            Err(SpoolError::Full(_)) if doubt.before.is_some_and(|before| before.recipe.is_some()) => {
                assert!(matches!(op, Op::Recipe { .. }));
                None
            }
            Err(error) => panic!("{op:?}: {error:?} without a power cut"),
        }
    }

    fn run(&self, spool: &TestSpool, op: Op) -> Option<(Doubt, Result<(), SpoolError>)> {
        if let Op::Put { seed, len, recipients } = op {
            return Some(put(spool, seed, len, recipients));
        }
        if let Op::Clean = op {
            let result = block_on(spool.clean_step()).map(|_| ());
            return Some((Doubt { id: QueueId(0), before: None, after: None }, result));
        }
        let (Op::Attempt { which, .. }
        | Op::Recipe { which, .. }
        | Op::Hold { which, .. }
        | Op::Remove { which }) = op
        else {
            return None;
        };
        let (id, before) = self.pick(which)?;
        let mut after = before.clone();
        let result = match op {
            Op::Attempt { seed, .. } => {
                let mut random = Random::new(seed);
                // One page at a time is atomic.
                let page = random.below(after.states.len().div_ceil(16));
                let mut changes = Vec::new();
                for index in page * 16..after.states.len().min(page * 16 + 16) {
                    if random.below(2) == 0 {
                        continue;
                    }
                    let text = "t".repeat(random.below(128));
                    let status = Status::new(450, &text);
                    let state = match random.below(5) {
                        0 => RecipientState::Delivered,
                        1 => RecipientState::Deferred { status, attempts: 3, next_try: seed },
                        2 => RecipientState::Failed(status),
                        3 => RecipientState::Relayed(status),
                        _ => RecipientState::Closed(status),
                    };
                    after.states[index] = state.clone();
                    changes.push((index as u16, state));
                }
                if page > 0 {
                    // Page 0 follows; a cut between the two is checked by `accepts`.
                    changes.truncate(1);
                    after.states.clone_from(&before.states);
                    changes
                        .iter()
                        .for_each(|(index, state)| after.states[usize::from(*index)] = state.clone());
                }
                after.attempts += 1;
                after.last = (seed % 1_000) as u16;
                after.warned |= seed % 7 == 0;
                after.reports = after.reports.max((seed % 3) as u16);
                let change = Change {
                    moment: seed,
                    attempt: Some(Attempt::new(Some(seed), after.last, "mx.example.org: later")),
                    warned: seed % 7 == 0,
                    reports: (seed % 3) as u16,
                    reason: (seed % 2 == 0).then_some("later"),
                    ..Change::default()
                };
                if let Some(reason) = change.reason {
                    after.reason = reason.into();
                }
                block_on(spool.change(id, &changes, &change))
            }
            Op::Recipe { seed, len, .. } => {
                let recipe = bytes(seed, len);
                after.recipe = Some(recipe.clone());
                block_on(spool.set_recipe(id, &recipe))
            }
            Op::Hold { hold: true, .. } => {
                (after.held, after.reason) = (true, "held".into());
                block_on(spool.hold(id, "held"))
            }
            Op::Hold { hold: false, .. } => {
                (after.held, after.reason) = (false, String::new());
                after.states.iter_mut().for_each(|state| match state {
                    RecipientState::Failed(_) => *state = RecipientState::Pending,
                    RecipientState::Deferred { next_try, .. } => *next_try = 0,
                    _ => {}
                });
                block_on(spool.release(id, ""))
            }
            _ => {
                let result = block_on(spool.remove(id, Removal::Delivered));
                return Some((Doubt { id, before: Some(before), after: None }, result));
            }
        };
        Some((Doubt { id, before: Some(before), after: Some(after) }, result))
    }

    /// Compares, and takes over what became of the operation in doubt.
    fn check(&mut self, spool: &TestSpool, doubt: Option<Doubt>) {
        let mut ids = Vec::new();
        spool.for_each(|brief| ids.push(brief.id));
        let stored: BTreeMap<_, _> = ids.iter().map(|id| (*id, letter(spool, *id))).collect();
        if let Some(doubt) = doubt {
            let found = stored.get(&doubt.id);
            assert!(accepts(&doubt, found), "{doubt:?}\nfound {found:?}");
            match found {
                Some(found) => self.0.insert(doubt.id, found.clone()),
                None => self.0.remove(&doubt.id),
            };
        }
        assert_eq!(stored.keys().collect::<Vec<_>>(), self.0.keys().collect::<Vec<_>>());
        for (id, letter) in &self.0 {
            assert!(stored[id] == *letter, "{id}: {:?}\n{:?}", stored[id], letter);
        }
    }
}

fn accepts(doubt: &Doubt, found: Option<&Letter>) -> bool {
    if found == doubt.before.as_ref() || found == doubt.after.as_ref() {
        return true;
    }
    // The later page is written, page 0 with the count of attempts not yet.
    match (found, &doubt.before, &doubt.after) {
        (Some(found), Some(before), Some(after)) => {
            let first = 16.min(before.states.len());
            let mut states = after.states.clone();
            states[..first].clone_from_slice(&before.states[..first]);
            *found == Letter { states, ..before.clone() }
        }
        _ => false,
    }
}

fn put(spool: &TestSpool, seed: u64, len: usize, recipients: usize) -> (Doubt, Result<(), SpoolError>) {
    let content = bytes(seed, len);
    let letter = Letter {
        bytes: content.clone(),
        states: vec![RecipientState::Pending; recipients],
        recipe: None,
        held: false,
        attempts: 0,
        reports: 0,
        warned: false,
        last: 0,
        reason: String::new(),
    };
    let addresses: Vec<String> = (0..recipients).map(|n| format!("r{n}@example.org")).collect();
    let bytes_total = addresses.iter().map(String::len).sum::<usize>() as u32;
    let admission = Admission {
        size: Some(len as u32),
        recipients: recipients as u16,
        recipients_bytes: bytes_total,
        class: Class::Mail,
    };
    let mut incoming = match spool.begin(admission) {
        Ok(incoming) => incoming,
        Err(full) => {
            return (Doubt { id: QueueId(0), before: None, after: None }, Err(full.into()));
        }
    };
    let id = incoming.id();
    let result = block_on(async {
        for piece in content.chunks(1_500) {
            spool.append(&mut incoming, piece).await?;
        }
        let arrival = Arrival { sender: "s@example.org", moment: 3, ..Arrival::default() };
        spool.commit(incoming, &arrival, addresses.iter().map(String::as_str)).await
    });
    (Doubt { id, before: None, after: Some(letter) }, result.map(|_| ()))
}

fn letter(spool: &TestSpool, id: QueueId) -> Letter {
    block_on(async {
        let brief = spool.brief(id).unwrap();
        assert_ne!(brief.state, MessageState::Damaged);
        let mut bytes = vec![0; brief.size as usize];
        assert_eq!(spool.read(id, 0, &mut bytes).await, Ok(bytes.len()));
        let mut states = Vec::new();
        let mut page = Vec::new();
        while states.len() < usize::from(brief.recipients) {
            spool.recipients(id, states.len() as u16, &mut page).await.unwrap();
            states.extend(page.drain(..).map(|recipient| recipient.state));
        }
        let open = states.iter().filter(|state| state.is_open()).count();
        assert_eq!(usize::from(brief.recipients_open), open);
        let unreported = states.iter().filter(|state| state.is_unreported()).count();
        assert_eq!(usize::from(brief.recipients_unreported), unreported);
        let summary = spool.next_summary(id.0.checked_sub(1).map(QueueId)).await.unwrap().unwrap();
        assert_eq!((summary.brief, &*summary.sender), (brief, "s@example.org"));
        let history = spool.history(id).await.unwrap();
        assert_eq!(history.len(), usize::from(brief.attempts).min(6));
        assert_eq!(spool.arrival(id).await.unwrap().sender, "s@example.org");
        let mut recipe = Vec::new();
        let has = spool.recipe(id, &mut recipe).await.unwrap();
        Letter {
            bytes,
            states,
            recipe: has.then_some(recipe),
            held: brief.state == MessageState::Held,
            attempts: brief.attempts,
            reports: brief.reports,
            warned: brief.warned,
            last: history.last().map_or(0, |attempt| attempt.code),
            reason: summary.reason.as_str().into(),
        }
    })
}

fn mount(flash: &Flash) -> TestSpool {
    let (spool, report) = block_on(Spool::mount(flash.clone())).unwrap();
    assert_eq!((report.messages_damaged, report.beyond_index), (0, 0));
    spool
}

/// A flash that has been in use for long enough that every block was erased and cleaning is needed.
fn used_flash(seed: u64) -> (Flash, Model, Random) {
    let flash = Flash::new(BLOCKS).program_once();
    let mut model = Model::default();
    let mut random = Random::new(seed);
    let spool = mount(&flash);
    for _ in 0..12_000 {
        if spool.usage().moved > 3_000 {
            break;
        }
        let op = random_op(&mut random);
        assert!(model.apply(&spool, &flash, op).is_none());
    }
    assert!(spool.usage().moved > 3_000, "{:?}", spool.usage());
    model.check(&spool, None);
    (flash, model, random)
}

/// Every program and erase of a workload, each cut three ways; after each cut the contents are checked, and
/// the queue goes on working.
#[test]
fn a_cut_at_every_flash_operation_of_a_workload_loses_nothing() {
    let (flash, mut model, mut random) = used_flash(1);
    let mut cuts = 0;
    for step in 0..220u64 {
        let op = random_op(&mut random);
        for tear in [Tear::Before, Tear::Half(step), Tear::Half(step + 1_000_000), Tear::After] {
            for at in 0.. {
                let (flash, mut model) = (flash.fork(), model.clone());
                let spool = mount(&flash);
                flash.cut_after(at, tear);
                let doubt = model.apply(&spool, &flash, op);
                if doubt.is_none() && !flash.is_off() {
                    break;
                }
                cuts += 1;
                drop(spool);
                flash.power_on();
                let spool = mount(&flash);
                model.check(&spool, doubt);
                let more = Op::Put { seed: at, len: 4_000, recipients: 1 };
                assert!(model.apply(&spool, &flash, more).is_none());
                drop(spool);
                model.check(&mount(&flash), None);
            }
        }
        let spool = mount(&flash);
        assert!(model.apply(&spool, &flash, op).is_none());
    }
    assert!(cuts > 1_000, "{cuts}");
}

#[test]
fn a_factory_reset_that_is_cut_leaves_whole_messages_with_their_latest_states_or_none() {
    let (flash, model, _) = used_flash(3);
    let messages = model.0.len();
    let (mut survivors, mut cuts) = (0, 0u32);
    for at in 0.. {
        let (flash, mut model) = (flash.fork(), model.clone());
        let spool = mount(&flash);
        flash.cut_after(at, [Tear::Before, Tear::Half(at), Tear::After][at as usize % 3]);
        if block_on(spool.clear()).is_ok() && !flash.is_off() {
            break;
        }
        cuts += 1;
        drop(spool);
        flash.power_on();
        let spool = mount(&flash);
        let mut left = Vec::new();
        spool.for_each(|brief| left.push(brief.id));
        model.0.retain(|id, _| left.contains(id));
        survivors += left.len();
        model.check(&spool, None);
    }
    assert!(cuts as usize > messages && survivors > 0, "{cuts} {survivors}");
}

/// Long runs with random cuts, some of them again during the recovery from the last one.
#[test]
fn random_cuts_and_cuts_during_recovery_lose_nothing() {
    for seed in 0..12 {
        let (flash, mut model, mut random) = used_flash(100 + seed);
        let mut spool = mount(&flash);
        for _ in 0..60 {
            let tear = [Tear::Before, Tear::Half(random.next_u64()), Tear::After][random.below(3)];
            flash.cut_after(random.below(120) as u64, tear);
            let mut doubt = None;
            while !flash.is_off() && doubt.is_none() {
                let op = random_op(&mut random);
                doubt = model.apply(&spool, &flash, op);
            }
            flash.power_on();
            // The second and third cut come while the mount or the first cleaning is at work.
            for _ in 0..random.below(3) {
                flash.cut_after(random.below(4) as u64, Tear::Half(random.next_u64()));
                if let Ok((spool, _)) = block_on(Spool::mount(flash.clone())) {
                    while !flash.is_off() && block_on(spool.clean_step()) == Ok(true) {}
                }
                flash.power_on();
            }
            spool = mount(&flash);
            model.check(&spool, doubt);
        }
    }
}

/// Polls a future up to `polls` times, then drops it.
fn poll_and_drop<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    })
}

#[test]
fn a_future_dropped_at_any_point_leaves_the_old_or_the_new_and_no_ghost() {
    let (flash, mut model, mut random) = used_flash(50);
    let spool = mount(&flash);
    let mut finished = 0;
    for round in 0..600u64 {
        let polls = random.below(24);
        let (id, before) = model.pick(random.below(100)).unwrap();
        let mut after = Some(before.clone());
        flash.set_yielding(true);
        let mut doubt = None;
        let done = match random.below(4) {
            0 => {
                let future = async {
                    let admission = Admission { size: Some(2_000), recipients: 1, ..Admission::default() };
                    let mut incoming = spool.begin(admission)?;
                    spool.append(&mut incoming, &bytes(round, 2_000)).await?;
                    spool.commit(incoming, &Arrival::default(), ["a@example.org"].into_iter()).await
                };
                match poll_and_drop(future, polls) {
                    Some(Ok(id)) => {
                        flash.set_yielding(false);
                        block_on(spool.remove(id, Removal::Operator)).unwrap();
                        true
                    }
                    Some(Err(SpoolError::Full(_))) => true,
                    Some(Err(error)) => panic!("{error}"),
                    None => false,
                }
            }
            1 => {
                after = Some(Letter { held: true, reason: "held".into(), ..before.clone() });
                poll_and_drop(spool.hold(id, "held"), polls).is_some()
            }
            2 => {
                after = Some(Letter { recipe: Some(vec![3; 40]), ..before.clone() });
                poll_and_drop(spool.set_recipe(id, &[3; 40]), polls).is_some()
            }
            _ => {
                after = None;
                model.0.len() > 3 && poll_and_drop(spool.remove(id, Removal::Operator), polls).is_some()
            }
        };
        flash.set_yielding(false);
        finished += u32::from(done);
        doubt.get_or_insert(Doubt { id, before: Some(before.clone()), after });
        // Any further operation settles what was in doubt.
        block_on(spool.clean_step()).unwrap();
        model.check(&spool, doubt);
        if round % 5 == 0 {
            // A restart shows what is seen now.
            model.check(&mount(&flash.fork()), None);
        }
        while model.0.len() < 4 {
            model.apply(&spool, &flash, Op::Put { seed: round, len: 500, recipients: 1 });
        }
    }
    assert!(finished > 100 && finished < 550, "{finished}");
}

/// Anything at all can be on the flash: the mount ends, nothing panics, and the queue works afterwards.
#[test]
fn any_flash_content_mounts_to_a_working_queue() {
    let (flash, ..) = used_flash(7);
    for seed in 0..60u64 {
        let mut random = Random::new(seed);
        let flash = flash.fork();
        for _ in 0..=random.below(60) {
            let at = random.below(BLOCK * BLOCKS - 64);
            match random.below(4) {
                0 => flash.poke(at, &[flash.peek(at, 1)[0] ^ (1 << random.below(8))]),
                1 => flash.poke(at, &bytes(random.next_u64(), 64)),
                // Parts of headers and directories are copied to wrong places.
                2 => {
                    let from = random.below(BLOCKS) * BLOCK + random.below(32) * 32;
                    flash.poke(at / 32 * 32, &flash.peek(from, 32));
                }
                _ => {
                    let block = random.below(BLOCKS) * BLOCK;
                    flash.poke(block, &flash.peek(random.below(BLOCKS) * BLOCK, BLOCK));
                }
            }
        }
        exercise(&flash);
    }
    for seed in 0..4 {
        exercise(&Flash::from_image(bytes(seed * 5 + 1, BLOCK * BLOCKS)));
    }
    exercise(&Flash::from_image(vec![0; BLOCK * BLOCKS]));
}

fn exercise(flash: &Flash) {
    let (spool, _) = block_on(Spool::mount(flash.clone())).unwrap();
    let mut ids = Vec::new();
    spool.for_each(|brief| ids.push(brief.id));
    let mut out = [0; 4_000];
    for id in ids {
        block_on(async {
            let mut at = 0;
            while let Ok(count @ 1..) = spool.read(id, at, &mut out).await {
                at += count as u32;
            }
            let _ = spool.arrival(id).await;
            let _ = spool.next_summary(Some(id)).await;
            let _ = spool.recipients(id, 0, &mut Vec::new()).await;
            let _ = spool.recipe(id, &mut Vec::new()).await;
            let _ = spool.change(id, &[(0, RecipientState::Delivered)], &Change::default()).await;
            spool.remove(id, Removal::Operator).await.unwrap();
        });
    }
    let mut model = Model::default();
    for seed in 1..60 {
        assert!(model.apply(&spool, flash, Op::Put { seed, len: 3_000, recipients: 2 }).is_none());
        assert!(model.apply(&spool, flash, Op::Clean).is_none());
        if seed % 3 == 0 {
            model.1 = true;
            assert!(model.apply(&spool, flash, Op::Remove { which: seed as usize }).is_none());
        }
    }
    assert!(!model.0.is_empty());
    model.check(&spool, None);
}
