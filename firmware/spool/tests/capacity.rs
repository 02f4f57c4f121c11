//! Whatever was let in can live its whole life: at 100 % fill, in the worst order, with the longest texts.
#![allow(clippy::unwrap_used)]

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::{Random, SimFlash};
use limits::spool::{ATTEMPT_TEXT_BYTES_MAX, REASON_BYTES_MAX, RECIPE_BYTES_RESERVED, STATUS_TEXT_BYTES_MAX};
use spool::{
    Admission, Arrival, Attempt, Change, Class, Incoming, NewRecipient, RecipientState, Removal, Spool,
    SpoolError, SpoolFull, Status, Usage,
};

const BLOCK: usize = 16 * 1_024;
type Flash = SimFlash<BLOCK>;
type TestSpool = Spool<Flash>;

/// Octets of a chunk on these small blocks.
const CHUNK: usize = 3_904;

fn mount(flash: &Flash) -> TestSpool {
    block_on(Spool::mount(flash.clone())).unwrap().0
}

#[derive(Clone, Copy, Debug)]
struct Kind {
    len: usize,
    recipients: usize,
    extra: usize,
    class: Class,
}

fn addresses(kind: &Kind) -> Vec<(String, Vec<u8>)> {
    (0..kind.recipients).map(|n| (format!("r{n}@example.org"), vec![b'e'; kind.extra])).collect()
}

fn begin<'s>(spool: &'s TestSpool, kind: &Kind, declared: bool) -> Result<Incoming<'s, Flash>, SpoolFull> {
    let bytes = addresses(kind).iter().map(|(address, extra)| address.len() + extra.len()).sum::<usize>();
    let mut incoming = spool.begin(Admission {
        size: declared.then_some(kind.len as u32),
        recipients: if declared { kind.recipients as u16 } else { 1 },
        recipients_bytes: if declared { bytes as u32 } else { 0 },
        class: kind.class,
    })?;
    if !declared {
        spool.extend(&mut incoming, kind.recipients as u16, bytes as u32)?;
    }
    Ok(incoming)
}

async fn store(spool: &TestSpool, incoming: Incoming<'_, Flash>, kind: &Kind) -> Result<QueueId, SpoolError> {
    let mut incoming = incoming;
    spool.append(&mut incoming, &vec![0xc3; kind.len]).await?;
    let recipients = addresses(kind);
    let recipients = recipients.iter().map(|(address, extra)| NewRecipient { address, extra });
    let long = "h".repeat(200);
    let arrival = Arrival { sender: "s@example.org", helo: &long, facts: &[7; 900], ..Arrival::default() };
    spool.commit(incoming, &arrival, recipients).await
}

/// Kinds of messages that pack badly: records that just do not fit what is left of a block.
fn awkward(random: &mut Random, scale: usize) -> Kind {
    let len = match random.below(6) {
        0 => random.below(60),
        1 => CHUNK - 1_500 + random.below(1_500),
        2 => CHUNK,
        3 => CHUNK + 1,
        4 => 2 * CHUNK - random.below(40),
        _ => random.below(3 * CHUNK),
    };
    let recipients = [1, 1, 1, 2, 15, 16, 17, 33][random.below(8)];
    Kind { len: len / scale, recipients, extra: random.below(120), class: Class::Mail }
}

/// Fills the queue until not even the smallest message is let in.
fn fill(spool: &TestSpool, random: &mut Random) -> Vec<(QueueId, Kind)> {
    let mut stored = Vec::new();
    for scale in [1, 1, 2, 10, 100] {
        let mut refused = 0;
        while refused < 10 {
            // Several arrive at once, and the first of them is finished last.
            let mut arriving = Vec::new();
            for _ in 0..=random.below(4) {
                let mut kind = awkward(random, scale);
                if scale == 100 {
                    (kind.len, kind.recipients) = (0, 1);
                }
                match begin(spool, &kind, random.below(3) > 0) {
                    Ok(incoming) => arriving.push((incoming, kind)),
                    Err(SpoolFull::Now) => refused += 1,
                    Err(SpoolFull::Never) => panic!("{kind:?}"),
                }
            }
            while let Some((incoming, kind)) = arriving.pop() {
                match block_on(store(spool, incoming, &kind)) {
                    Ok(id) => stored.push((id, kind)),
                    // Of undeclared size, and there was no more room.
                    Err(SpoolError::Full(SpoolFull::Now)) => refused += 1,
                    Err(error) => panic!("{kind:?}: {error}"),
                }
            }
        }
    }
    stored
}

fn long(tag: usize) -> Status {
    Status::new(tag as u16, &"s".repeat(STATUS_TEXT_BYTES_MAX))
}

/// One thing that can happen to a message; none of them may fail.
fn live(spool: &TestSpool, id: QueueId, kind: &Kind, step: usize) {
    let done = happen(spool, id, kind, step);
    assert_eq!(done, Ok(()), "{id} {kind:?}, step {step}, {:?}", spool.usage());
}

fn happen(spool: &TestSpool, id: QueueId, kind: &Kind, step: usize) -> Result<(), SpoolError> {
    let reason = "r".repeat(REASON_BYTES_MAX);
    let recipe = RECIPE_BYTES_RESERVED.min(CHUNK);
    let attempt = Some(Attempt::new(Some(1), 451, &"a".repeat(ATTEMPT_TEXT_BYTES_MAX)));
    let change = Change { moment: 9, attempt, reason: Some(&reason), ..Change::default() };
    block_on(async {
        match step {
            0 => spool.set_recipe(id, &vec![0x0f; recipe]).await,
            1..=7 => {
                let deferred =
                    RecipientState::Deferred { status: long(step), attempts: step as u8, next_try: u64::MAX };
                let states: Vec<_> = (0..kind.recipients as u16).map(|n| (n, deferred.clone())).collect();
                spool.change(id, &states, &change).await
            }
            8 => spool.hold(id, &reason).await,
            9 => spool.bounce(id, &long(554), &reason).await,
            10 => spool.set_recipe(id, &vec![0xf0; recipe]).await,
            11 => {
                let told = |_: u16, state: &mut RecipientState| {
                    if let RecipientState::Failed(status) = state {
                        *state = RecipientState::Closed(status.clone());
                    }
                };
                spool.change_each(id, &Change { reports: 1, ..change }, told).await
            }
            _ => spool.remove(id, Removal::Bounced).await,
        }
    })
}

const STEPS: usize = 13;

/// The orders in which messages live: one after the other from either end, all of them step by step, at random.
fn lives(stored: &[(QueueId, Kind)], order: usize, random: &mut Random) -> Vec<(QueueId, Kind, usize)> {
    let mut out = Vec::new();
    match order {
        0 => (0..STEPS).for_each(|step| out.extend(stored.iter().map(|(id, kind)| (*id, *kind, step)))),
        1 => (0..STEPS).for_each(|step| out.extend(stored.iter().rev().map(|(id, kind)| (*id, *kind, step)))),
        2 => stored.iter().rev().for_each(|(id, kind)| out.extend((0..STEPS).map(|step| (*id, *kind, step)))),
        _ => {
            let mut left: Vec<_> = stored.iter().map(|(id, kind)| (*id, *kind, 0)).collect();
            while !left.is_empty() {
                let at = random.below(left.len());
                out.push(left[at]);
                left[at].2 += 1;
                if left[at].2 == STEPS {
                    left.swap_remove(at);
                }
            }
        }
    }
    out
}

fn is_empty(usage: &Usage) -> bool {
    (usage.used, usage.reserved, usage.messages, usage.incoming, usage.records) == (0, 0, 0, 0, 0)
}

#[test]
fn whatever_was_let_in_can_live_its_whole_life_in_a_full_queue() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let flash = Flash::new(14 + random.below(20)).program_once();
        let mut spool = mount(&flash);
        for round in 0..3 {
            let stored = fill(&spool, &mut random);
            assert!(!stored.is_empty());
            let usage = spool.usage();
            assert!(usage.used + usage.reserved <= usage.capacity, "{usage:?}");
            for (number, (id, kind, step)) in
                lives(&stored, (seed as usize + round) % 4, &mut random).into_iter().enumerate()
            {
                if number % 97 == 96 {
                    spool = mount(&flash);
                }
                live(&spool, id, &kind, step);
            }
            assert!(is_empty(&spool.usage()), "{:?}", spool.usage());
        }
    }
}

#[test]
fn a_message_is_never_let_in_exactly_if_an_empty_queue_has_no_room_for_it() {
    let flash = Flash::new(16);
    let spool = mount(&flash);
    let verdict = |len: usize| {
        let kind = Kind { len, recipients: 3, extra: 0, class: Class::Mail };
        begin(&spool, &kind, true).err()
    };
    // The largest that fits, by halving.
    let (mut fits, mut fails) = (0, BLOCK * 16);
    while fails - fits > 1 {
        let middle = usize::midpoint(fits, fails);
        if verdict(middle).is_none() { fits = middle } else { fails = middle }
    }
    assert_eq!((verdict(fits), verdict(fits + 1)), (None, Some(SpoolFull::Never)));
    // While something is in the queue it is "not now", and beyond the limit still "never".
    let small = Kind { len: 10, recipients: 1, extra: 0, class: Class::Mail };
    let id = block_on(store(&spool, begin(&spool, &small, true).unwrap(), &small)).unwrap();
    assert_eq!((verdict(fits), verdict(fits + 1)), (Some(SpoolFull::Now), Some(SpoolFull::Never)));
    block_on(spool.remove(id, Removal::Delivered)).unwrap();
    // And the largest really fits, with everything that can happen to it.
    let kind = Kind { len: fits, recipients: 3, extra: 0, class: Class::Mail };
    let id = block_on(store(&spool, begin(&spool, &kind, true).unwrap(), &kind)).unwrap();
    (0..STEPS).for_each(|step| live(&spool, id, &kind, step));
    assert!(is_empty(&spool.usage()));
}

#[test]
fn reports_about_everything_in_a_full_queue_find_room_one_after_the_other() {
    let flash = Flash::new(40).program_once();
    let spool = mount(&flash);
    let mut random = Random::new(5);
    let stored = fill(&spool, &mut random);
    let report = Kind { len: 2_000, recipients: 1, extra: 0, class: Class::Report };
    for (id, kind) in &stored {
        (0..10).for_each(|step| live(&spool, *id, kind, step));
        // Mail has no room any more, the report about it has.
        let about = block_on(store(&spool, begin(&spool, &report, true).unwrap(), &report)).unwrap();
        live(&spool, *id, kind, 11);
        live(&spool, about, &report, 0);
        live(&spool, about, &report, 12);
    }
    assert_eq!(spool.usage().messages as usize, stored.len());
}

/// Blocks fail while everything is promised: nothing is let in until there is room again, and everything that is in
/// the queue goes on.
#[test]
fn when_blocks_fail_in_a_full_queue_nothing_is_stuck_and_intake_waits() {
    let mut shrunk = 0;
    for seed in 0..20 {
        let mut random = Random::new(900 + seed);
        let flash = Flash::new(30);
        let spool = mount(&flash);
        let stored = fill(&spool, &mut random);
        let lives = lives(&stored, seed as usize % 4, &mut random);
        let count = lives.len();
        for (number, (id, kind, step)) in lives.into_iter().enumerate() {
            if number < count / 4 && number % (count / 8).max(1) == 0 {
                flash.break_block(random.below(30), true);
            }
            // Also a message whose commit record lies in a block that takes no mark any more ends.
            let done = happen(&spool, id, &kind, step);
            assert_eq!(done, Ok(()), "{id} {kind:?}, step {step}, {:?}", spool.usage());
            let usage = spool.usage();
            if usage.used + usage.reserved > usage.capacity {
                shrunk += 1;
                let kind = Kind { len: 100, recipients: 1, extra: 0, class: Class::Mail };
                assert_eq!(begin(&spool, &kind, true).err(), Some(SpoolFull::Now));
            }
        }
        assert_eq!(spool.usage().messages, 0);
        assert!(!fill(&spool, &mut random).is_empty());
    }
    assert!(shrunk > 0);
}
