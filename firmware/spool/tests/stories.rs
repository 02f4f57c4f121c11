//! The life of messages in the spool, told on a simulated flash.
#![allow(clippy::unwrap_used)]

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::{Random, SimFlash};
use spool::{
    Admission, Arrival, Attempt, Change, Class, MessageState, NewRecipient, Protocol, RecipientState,
    Removal, Spool, SpoolError, SpoolFull, Status,
};

const BLOCK: usize = 16 * 1_024;
type Flash = SimFlash<BLOCK>;
type TestSpool = Spool<Flash>;

fn mount(flash: &Flash) -> TestSpool {
    block_on(Spool::mount(flash.clone())).unwrap().0
}

fn content(seed: u64, len: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..len.div_ceil(8)).flat_map(|_| random.next_u64().to_le_bytes()).take(len).collect()
}

fn admission(len: usize, recipients: usize) -> Admission {
    Admission {
        size: Some(len as u32),
        recipients: recipients as u16,
        recipients_bytes: recipients as u32 * 32,
        class: Class::Mail,
    }
}

fn try_put(spool: &TestSpool, bytes: &[u8], recipients: usize) -> Result<QueueId, SpoolError> {
    block_on(async {
        let mut incoming = spool.begin(admission(bytes.len(), recipients))?;
        for piece in bytes.chunks(700) {
            spool.append(&mut incoming, piece).await?;
        }
        let addresses: Vec<String> = (0..recipients).map(|n| format!("rcpt{n}@example.org")).collect();
        let arrival = Arrival {
            sender: "sender@example.org",
            peer: Some([192, 0, 2, 1].into()),
            helo: "client.example.org",
            protocol: Protocol::Esmtp,
            time: Some(1_000),
            facts: b"facts",
            ..Arrival::default()
        };
        spool.commit(incoming, &arrival, addresses.iter().map(String::as_str)).await
    })
}

fn put(spool: &TestSpool, bytes: &[u8], recipients: usize) -> QueueId {
    try_put(spool, bytes, recipients).unwrap()
}

fn get(spool: &TestSpool, id: QueueId) -> Vec<u8> {
    let mut out = vec![0; spool.content_size(id).unwrap() as usize + 10];
    let len = block_on(spool.read(id, 0, &mut out)).unwrap();
    out.truncate(len);
    out
}

fn deferred(text: &str) -> RecipientState {
    RecipientState::Deferred { status: Status::new(451, text), attempts: 1, next_try: 900 }
}

fn attempt(moment: u64, reason: &str) -> Change<'_> {
    let attempt = Some(Attempt::new(Some(1_000), 451, reason));
    Change { moment, attempt, reason: Some(reason), ..Change::default() }
}

fn ids(spool: &TestSpool) -> Vec<QueueId> {
    let mut ids = Vec::new();
    spool.for_each(|brief| ids.push(brief.id));
    ids
}

#[test]
fn a_message_comes_back_as_it_was_stored_before_and_after_a_restart() {
    let flash = Flash::new(24).program_once();
    let spool = mount(&flash);
    let mut stored = Vec::new();
    for (seed, len) in [0, 1, 31, 700, 3_903, 3_904, 3_905, 7_808, 7_809, 20_000].into_iter().enumerate() {
        let bytes = content(seed as u64, len);
        stored.push((put(&spool, &bytes, seed + 1), bytes, seed + 1));
    }
    let check = |spool: &TestSpool| {
        assert_eq!(ids(spool), stored.iter().map(|(id, ..)| *id).collect::<Vec<_>>());
        for (id, bytes, recipients) in &stored {
            assert_eq!(&get(spool, *id), bytes);
            let arrival = block_on(spool.arrival(*id)).unwrap();
            assert_eq!(arrival.sender, "sender@example.org");
            assert_eq!(arrival.helo, "client.example.org");
            assert_eq!(arrival.peer, Some([192, 0, 2, 1].into()));
            assert_eq!(arrival.time, Some(1_000));
            assert_eq!(arrival.protocol, Protocol::Esmtp);
            assert_eq!(usize::from(arrival.recipients), *recipients);
            let mut facts = Vec::new();
            block_on(spool.facts(*id, &mut facts)).unwrap();
            assert_eq!(facts, b"facts");
            let last = block_on(spool.recipient(*id, *recipients as u16 - 1)).unwrap();
            assert_eq!(last.address, format!("rcpt{}@example.org", recipients - 1).as_str());
            assert_eq!(last.state, RecipientState::Pending);
        }
    };
    check(&spool);
    drop(spool);
    check(&mount(&flash));
}

#[test]
fn nothing_is_written_before_a_small_message_is_complete_and_then_one_record() {
    let flash = Flash::new(12);
    let spool = mount(&flash);
    put(&spool, b"opens the first block", 1);
    let before = flash.counters();
    for _ in 0..100 {
        let mut incoming = spool.begin(admission(3_000, 1)).unwrap();
        block_on(spool.append(&mut incoming, &[b'x'; 3_000])).unwrap();
        spool.abort(incoming);
    }
    assert_eq!(flash.counters().programs, before.programs);
    put(&spool, &[b'x'; 992], 1);
    // Envelope (with a filled-up last unit), content, slot.
    assert!(flash.counters().programs - before.programs <= 4);
    assert_eq!(spool.usage().incoming, 0);
}

#[test]
fn states_recipe_hold_and_reason_survive_a_restart() {
    let flash = Flash::new(12).program_once();
    let spool = mount(&flash);
    let id = put(&spool, b"hello", 40);
    let deferred = deferred("4.7.1 come back later");
    let failed = RecipientState::Failed(Status::new(550, "5.1.1 unknown"));
    block_on(async {
        let states = [(0, RecipientState::Delivered), (17, deferred.clone()), (39, failed.clone())];
        spool.change(id, &states, &attempt(77, "connection lost")).await.unwrap();
        spool.set_recipe(id, &[7; 1_000]).await.unwrap();
        spool.set_recipe(id, &[8; 2_000]).await.unwrap();
    });
    for round in 0..2 {
        let spool = mount(&flash);
        let brief = spool.brief(id).unwrap();
        assert_eq!((brief.recipients, brief.recipients_open, brief.recipients_unreported), (40, 38, 1));
        assert!(brief.has_recipe && brief.attempts == 1);
        let mut recipe = Vec::new();
        assert!(block_on(spool.recipe(id, &mut recipe)).unwrap());
        assert_eq!(recipe, [8; 2_000]);
        let state = |index| block_on(spool.recipient(id, index)).unwrap().state;
        assert_eq!(state(0), RecipientState::Delivered);
        assert_eq!(state(17), deferred);
        assert_eq!(state(39), failed);
        assert_eq!(state(38), RecipientState::Pending);
        let summary = block_on(spool.next_summary(None)).unwrap().unwrap();
        if round == 0 {
            assert_eq!(summary.brief.state, MessageState::Queued);
            assert_eq!(summary.reason, "connection lost");
            block_on(spool.hold(id, "no identity")).unwrap();
        } else {
            assert_eq!(summary.brief.state, MessageState::Held);
            assert_eq!(summary.reason, "no identity");
            block_on(spool.release(id, "")).unwrap();
            let brief = spool.brief(id).unwrap();
            assert_eq!((brief.state, brief.recipients_open), (MessageState::Queued, 39));
        }
    }
}

#[test]
fn a_removed_message_stays_removed_and_its_id_is_not_given_again() {
    let flash = Flash::new(12).program_once();
    let mut last = QueueId(0);
    for round in 0..200 {
        let spool = mount(&flash);
        assert_eq!(ids(&spool), []);
        let id = put(&spool, &content(round, 9_000), 2);
        assert!(id > last);
        last = id;
        block_on(spool.remove(id, Removal::Delivered)).unwrap();
        assert_eq!(block_on(spool.remove(id, Removal::Delivered)), Err(SpoolError::NoSuchMessage));
    }
    assert!(flash.erases().iter().sum::<u64>() > 20);
}

#[test]
fn a_full_queue_says_so_and_keeps_what_it_has_and_drains_to_the_same_capacity() {
    let flash = Flash::new(16).program_once();
    let spool = mount(&flash);
    let mut counts = Vec::new();
    for round in 0..6u64 {
        let mut stored = Vec::new();
        let error = loop {
            let bytes = content(round * 1_000 + stored.len() as u64, 2_500);
            match try_put(&spool, &bytes, 1) {
                Ok(id) => stored.push((id, bytes)),
                Err(error) => break error,
            }
        };
        assert_eq!(error, SpoolError::Full(SpoolFull::Now));
        counts.push(stored.len());
        // Everything that was promised still fits: recipes and the longest states.
        let long = deferred(&"y".repeat(128));
        for (id, _) in &stored {
            block_on(spool.set_recipe(*id, &[1; 3_904])).unwrap();
            for _ in 0..3 {
                block_on(spool.change(*id, &[(0, long.clone())], &attempt(5, &"z".repeat(96)))).unwrap();
            }
        }
        for (id, bytes) in &stored {
            assert_eq!(&get(&spool, *id), bytes);
            block_on(spool.remove(*id, Removal::Bounced)).unwrap();
        }
        let usage = spool.usage();
        assert_eq!((usage.used, usage.reserved, usage.messages, usage.records), (0, 0, 0, 0));
    }
    assert!(counts[0] > 5 && counts.iter().all(|count| *count == counts[0]), "{counts:?}");
}

#[test]
fn larger_than_the_whole_queue_is_never_and_reports_have_room_when_mail_has_none() {
    let flash = Flash::new(40);
    let spool = mount(&flash);
    assert_eq!(spool.begin(admission(BLOCK * 40, 1)).err(), Some(SpoolFull::Never));
    while try_put(&spool, &[b'x'; 3_000], 1).is_ok() {}
    assert_eq!(spool.begin(admission(3_000, 1)).err(), Some(SpoolFull::Now));
    assert!(spool.begin(Admission { class: Class::Report, ..admission(3_000, 1) }).is_ok());
}

#[test]
fn undeclared_size_grows_chunk_by_chunk_until_the_queue_is_full() {
    let flash = Flash::new(16);
    let spool = mount(&flash);
    let mut incoming = spool.begin(Admission { recipients: 1, ..Admission::default() }).unwrap();
    let mut count = 0;
    let error = loop {
        match block_on(spool.append(&mut incoming, &[b'x'; 1_000])) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(count > 50);
    assert!(matches!(error, SpoolError::Full(_)));
    drop(incoming);
    let usage = spool.usage();
    assert_eq!((usage.used, usage.reserved, usage.incoming, usage.records), (0, 0, 0, 0));
    put(&spool, &content(1, 40_000), 3);
}

#[test]
fn long_lived_messages_are_moved_out_of_the_way_and_stay_whole() {
    let flash = Flash::new(18).program_once();
    let spool = mount(&flash);
    let mut old = Vec::new();
    for round in 0..400u64 {
        let bytes = content(round, 1_000 + (round as usize * 37) % 6_000);
        let id = put(&spool, &bytes, 1);
        if round % 25 == 0 {
            old.push((id, bytes));
        } else {
            block_on(spool.remove(id, Removal::Delivered)).unwrap();
        }
    }
    assert!(spool.usage().moved > 0);
    let check = |spool: &TestSpool| {
        assert_eq!(ids(spool).len(), old.len());
        old.iter().for_each(|(id, bytes)| assert_eq!(&get(spool, *id), bytes));
    };
    check(&spool);
    drop(spool);
    check(&mount(&flash));
}

#[test]
fn envelope_extras_are_kept_and_bounds_are_enforced() {
    let flash = Flash::new(12);
    let spool = mount(&flash);
    let recipients = [NewRecipient { address: "a@example.org", extra: b"NOTIFY=NEVER" }];
    let commit = |arrival: Arrival<'static>| {
        let incoming = spool.begin(admission(10, 1)).unwrap();
        block_on(spool.commit(incoming, &arrival, recipients.into_iter()))
    };
    let id = commit(Arrival { sender_extra: b"RET=HDRS", ..Arrival::default() }).unwrap();
    assert_eq!(block_on(spool.arrival(id)).unwrap().sender_extra, b"RET=HDRS");
    assert_eq!(block_on(spool.recipient(id, 0)).unwrap().extra, b"NOTIFY=NEVER");
    assert_eq!(block_on(spool.recipient(id, 1)), Err(SpoolError::NoSuchRecipient));
    let long = "x".repeat(400).leak();
    assert_eq!(commit(Arrival { sender: long, ..Arrival::default() }), Err(SpoolError::TooLong));
    let usage = spool.usage();
    assert_eq!((usage.messages, usage.incoming), (1, 0));
}

#[test]
fn sequential_reads_from_several_readers_check_each_chunk_once() {
    let flash = Flash::new(24);
    let spool = mount(&flash);
    let bytes = content(1, 60_000);
    let id = put(&spool, &bytes, 1);
    let before = flash.counters().bytes_read;
    let mut at = [0usize, 0];
    let mut out = [0; 500];
    while at[1] < bytes.len() {
        for reader in &mut at {
            let count = block_on(spool.read(id, *reader as u32, &mut out)).unwrap();
            assert_eq!(out[..count], bytes[*reader..*reader + count]);
            *reader += count;
        }
    }
    let read = flash.counters().bytes_read - before;
    assert!(read < 3 * 60_000 + 10_000, "{read}");
    // Any offset works.
    for offset in (0..61_000u32).step_by(777).rev() {
        let count = block_on(spool.read(id, offset, &mut out)).unwrap();
        let rest = &bytes[(offset as usize).min(bytes.len())..];
        assert_eq!(out[..count], rest[..rest.len().min(500)]);
    }
}

#[test]
fn a_factory_reset_empties_the_queue_and_keeps_counting_ids() {
    let flash = Flash::new(12);
    let spool = mount(&flash);
    let id = put(&spool, &content(1, 9_000), 1);
    block_on(spool.clear()).unwrap();
    assert_eq!(ids(&spool), []);
    assert!(put(&spool, b"x", 1) > id);
    assert_eq!(ids(&mount(&flash)).len(), 1);
}

#[test]
fn blocks_that_fail_are_retired_and_no_message_is_lost() {
    let flash = Flash::new(20);
    let spool = mount(&flash);
    let mut kept = Vec::new();
    for round in 0..300u64 {
        if round == 50 || round == 150 {
            flash.break_block(spool_head(&flash), true);
        }
        let bytes = content(round, 3_000);
        let id = put(&spool, &bytes, 1);
        if round % 40 == 0 {
            kept.push((id, bytes));
        } else {
            block_on(spool.remove(id, Removal::Delivered)).ok();
        }
    }
    assert!(spool.usage().blocks_retired >= 2);
    kept.iter().for_each(|(id, bytes)| assert_eq!(&get(&spool, *id), bytes));
    let again = mount(&flash);
    kept.iter().for_each(|(id, bytes)| assert_eq!(&get(&again, *id), bytes));
}

/// The block that was programmed most: good enough as a victim.
fn spool_head(flash: &Flash) -> usize {
    flash.programs().iter().enumerate().max_by_key(|(_, count)| **count).map(|(block, _)| block).unwrap()
}

#[test]
fn sixty_four_messages_arrive_at_once_while_the_queue_is_cleaned_and_read() {
    let flash = Flash::new(90).program_once();
    let spool = mount(&flash);
    let session = |number: u64| {
        let spool = &spool;
        async move {
            let mut kept = Vec::new();
            for round in 0..6u64 {
                let bytes = content(
                    number * 100 + round,
                    400 + (number as usize * 131 + round as usize * 977) % 6_000,
                );
                let mut incoming = spool.begin(Admission { size: None, ..admission(0, 1) })?;
                for piece in bytes.chunks(900) {
                    spool.append(&mut incoming, piece).await?;
                }
                if (number + round).is_multiple_of(5) {
                    spool.abort(incoming);
                    continue;
                }
                let id = spool.commit(incoming, &Arrival::default(), ["a@example.org"].into_iter()).await?;
                let mut back = vec![0; bytes.len()];
                assert_eq!(spool.read(id, 0, &mut back).await, Ok(bytes.len()));
                assert_eq!(back, bytes);
                spool.clean_step().await?;
                if round < 5 {
                    spool.remove(id, Removal::Delivered).await?;
                } else {
                    kept.push((id, bytes));
                }
            }
            Ok::<_, SpoolError>(kept)
        }
    };
    flash.set_yielding(true);
    let sessions: [_; 64] = core::array::from_fn(|number| Box::pin(session(number as u64)));
    let kept = block_on(embassy_futures::join::join_array(sessions));
    flash.set_yielding(false);
    let kept: Vec<_> = kept.into_iter().flat_map(|kept| kept.unwrap()).collect();
    assert!(kept.len() > 40);
    drop(spool);
    let spool = mount(&flash);
    assert_eq!(ids(&spool).len(), kept.len());
    kept.iter().for_each(|(id, bytes)| assert_eq!(&get(&spool, *id), bytes));
}

#[test]
fn a_thousand_recipients_each_get_their_state() {
    let flash = Flash::new(60).program_once();
    let spool = mount(&flash);
    let id = put(&spool, &content(1, 5_000), 1_000);
    let long = RecipientState::Failed(Status::new(550, &"n".repeat(128)));
    let states: Vec<(u16, RecipientState)> = (0..1_000).map(|index| (index, long.clone())).collect();
    for part in states.chunks(300).rev() {
        block_on(spool.change(id, part, &attempt(9, "many failed"))).unwrap();
    }
    let spool = mount(&flash);
    let brief = spool.brief(id).unwrap();
    assert_eq!((brief.recipients, brief.recipients_open, brief.attempts), (1_000, 0, 4));
    for index in [0, 15, 16, 517, 999] {
        let recipient = block_on(spool.recipient(id, index)).unwrap();
        assert_eq!((recipient.index, &recipient.state), (index, &long));
        assert_eq!(recipient.address, format!("rcpt{index}@example.org").as_str());
    }
}

#[test]
fn futures_and_tables_stay_small() {
    let flash = Flash::new(12);
    let spool = mount(&flash);
    let id = put(&spool, b"x", 1);
    let incoming = spool.begin(admission(10, 1)).unwrap();
    let arrival = Arrival::default();
    let commit = spool.commit(incoming, &arrival, ["a"].into_iter());
    let change = Change::default();
    let attempt = spool.change(id, &[], &change);
    let mut out = [0; 8];
    let read = spool.read(id, 0, &mut out);
    let sizes = [size_of_val(&commit), size_of_val(&attempt), size_of_val(&read), size_of::<TestSpool>()];
    println!("commit, attempt, read futures and spool: {sizes:?} octets");
    assert!(sizes.iter().all(|size| *size < 20_000), "{sizes:?}");
}
