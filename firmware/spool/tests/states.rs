//! What attempts, reports, releases and damage do to the recipients of a message.
#![allow(clippy::unwrap_used)]

use embassy_futures::block_on;
use envelope::QueueId;
use flash_sim::SimFlash;
use spool::{
    Admission, Arrival, Attempt, Change, Class, MessageState, MountReport, RecipientState, Spool, SpoolError,
    SpoolFull, Status,
};

const BLOCK: usize = 16 * 1_024;
const BLOCKS: usize = 20;
type Flash = SimFlash<BLOCK>;
type TestSpool = Spool<Flash>;

fn mount(flash: &Flash) -> (TestSpool, MountReport) {
    block_on(Spool::mount(flash.clone())).unwrap()
}

/// A queue with one message that arrived at moment 100.
fn one(recipients: usize) -> (Flash, TestSpool, QueueId) {
    let flash = Flash::new(BLOCKS).program_once();
    let (spool, _) = mount(&flash);
    let id = block_on(async {
        let admission = Admission {
            size: Some(5),
            recipients: recipients as u16,
            recipients_bytes: recipients as u32 * 20,
            class: Class::Mail,
        };
        let mut incoming = spool.begin(admission)?;
        spool.append(&mut incoming, b"hello").await?;
        let addresses: Vec<String> = (0..recipients).map(|n| format!("r{n}@example.org")).collect();
        let arrival = Arrival { sender: "s@example.org", moment: 100, ..Arrival::default() };
        spool.commit(incoming, &arrival, addresses.iter().map(String::as_str)).await
    });
    (flash, spool, id.unwrap())
}

fn states(spool: &TestSpool, id: QueueId) -> Vec<RecipientState> {
    let (mut out, mut page) = (Vec::new(), Vec::new());
    while out.len() < usize::from(spool.brief(id).unwrap().recipients) {
        block_on(spool.recipients(id, out.len() as u16, &mut page)).unwrap();
        out.extend(page.drain(..).map(|recipient| recipient.state));
    }
    out
}

fn reason(spool: &TestSpool) -> String {
    block_on(spool.next_summary(None)).unwrap().unwrap().reason.as_str().into()
}

fn deferred(next_try: u64) -> RecipientState {
    RecipientState::Deferred { status: Status::new(451, "later"), attempts: 1, next_try }
}

fn failed() -> RecipientState {
    RecipientState::Failed(Status::new(550, "5.1.1 unknown"))
}

#[test]
fn a_transaction_that_went_well_leaves_the_reason_of_the_one_before_and_the_log_keeps_both() {
    let (flash, spool, id) = one(2);
    let attempt = |code, text| Some(Attempt::new(Some(1_000), code, text));
    let first = Change { attempt: attempt(451, "mx1: later"), reason: Some("later"), ..Change::default() };
    block_on(spool.change(id, &[(0, deferred(160))], &first)).unwrap();
    let second = Change { attempt: attempt(250, "mx1: taken"), ..Change::default() };
    block_on(spool.change(id, &[(1, RecipientState::Delivered)], &second)).unwrap();
    for spool in [spool, mount(&flash).0] {
        assert_eq!(reason(&spool), "later");
        let history = block_on(spool.history(id)).unwrap();
        assert_eq!(history.iter().map(|attempt| attempt.code).collect::<Vec<_>>(), [451, 250]);
        assert_eq!(states(&spool, id), [deferred(160), RecipientState::Delivered]);
        assert_eq!(spool.brief(id).unwrap().attempts, 2);
    }
}

#[test]
fn the_clock_goes_on_where_the_last_change_was_and_not_at_the_next_attempt() {
    let (flash, spool, id) = one(1);
    assert_eq!(mount(&flash).1.moment, 100);
    let change = Change { moment: 150, ..Change::default() };
    block_on(spool.change(id, &[(0, deferred(9_000))], &change)).unwrap();
    assert_eq!(mount(&flash).1.moment, 150);
    // Held by somebody who did not say when.
    block_on(spool.hold(id, "operator")).unwrap();
    let (spool, report) = mount(&flash);
    assert_eq!((report.moment, spool.brief(id).unwrap().moment), (150, 100));
}

#[test]
fn a_report_and_what_it_tells_about_are_marked_once_however_often_that_is_said() {
    let (flash, spool, id) = one(40);
    let failures: Vec<_> = (10..40).map(|index| (index, failed())).collect();
    block_on(spool.change(id, &failures, &Change::default())).unwrap();
    assert_eq!(spool.brief(id).unwrap().recipients_unreported, 30);
    let told = |_: u16, state: &mut RecipientState| {
        if let RecipientState::Failed(status) = state {
            *state = RecipientState::Closed(status.clone());
        }
    };
    let change = Change { reports: 1, ..Change::default() };
    block_on(spool.change_each(id, &change, told)).unwrap();
    let programs = flash.counters().programs;
    block_on(spool.change_each(id, &change, told)).unwrap();
    assert_eq!(flash.counters().programs, programs, "nothing changed, nothing is written");
    block_on(spool.change(id, &[], &Change { reports: 0, warned: true, ..Change::default() })).unwrap();
    for spool in [spool, mount(&flash).0] {
        let brief = spool.brief(id).unwrap();
        assert_eq!((brief.reports, brief.recipients_unreported, brief.recipients_open), (1, 0, 10));
        assert!(brief.warned && !brief.is_finished());
    }
}

#[test]
fn release_tries_again_what_failed_and_was_not_reported_and_bounce_fails_what_is_open() {
    let (flash, spool, id) = one(20);
    let closed = RecipientState::Closed(Status::new(550, "told"));
    let relayed = RecipientState::Relayed(Status::new(250, "taken"));
    let set = [(0, failed()), (1, closed.clone()), (2, relayed.clone()), (17, deferred(900)), (18, failed())];
    block_on(spool.change(id, &set, &Change { held: Some(true), ..Change::default() })).unwrap();
    block_on(spool.release(id, "")).unwrap();
    let after = states(&spool, id);
    assert_eq!((&after[0], &after[18]), (&RecipientState::Pending, &RecipientState::Pending));
    assert_eq!((&after[1], &after[2], &after[17]), (&closed, &relayed, &deferred(0)));
    assert_eq!(spool.brief(id).unwrap().state, MessageState::Queued);
    block_on(spool.bounce(id, &Status::new(554, "by the operator"), "bounced")).unwrap();
    for spool in [spool, mount(&flash).0] {
        let brief = spool.brief(id).unwrap();
        assert_eq!((brief.recipients_open, brief.recipients_unreported), (0, 19));
        assert_eq!((states(&spool, id)[1].clone(), reason(&spool).as_str()), (closed.clone(), "bounced"));
    }
}

/// Damages every copy of a text on the flash.
fn damage(flash: &Flash, text: &str) {
    let image = flash.peek(0, BLOCK * BLOCKS);
    let places: Vec<_> =
        image.windows(text.len()).enumerate().filter(|(_, w)| *w == text.as_bytes()).collect();
    assert!(!places.is_empty());
    places.iter().for_each(|(at, _)| flash.poke(*at, &[0]));
}

#[test]
fn a_message_whose_states_are_damaged_is_held_says_so_and_is_released_by_the_operator() {
    // Of 20 recipients the last is on page 1, whose state is damaged; page 0 is not.
    for found_by_mount in [true, false] {
        let (flash, spool, id) = one(20);
        let lost = RecipientState::Failed(Status::new(550, "DAMAGE-ME"));
        block_on(spool.change(id, &[(0, RecipientState::Delivered), (19, lost)], &Change::default()))
            .unwrap();
        damage(&flash, "DAMAGE-ME");
        let spool = if found_by_mount {
            let (spool, report) = mount(&flash);
            assert_eq!((report.messages_uncertain, report.messages_damaged), (1, 0));
            spool
        } else {
            assert!(!spool.brief(id).unwrap().uncertain);
            assert_eq!(block_on(spool.recipients(id, 16, &mut Vec::new())), Err(SpoolError::Damaged));
            spool
        };
        let check = |spool: &TestSpool| {
            let brief = spool.brief(id).unwrap();
            assert_eq!((brief.state, brief.uncertain), (MessageState::Held, true));
            assert_eq!((brief.recipients_open, brief.recipients_unreported), (19, 0));
        };
        check(&spool);
        // Something else is written: the doubt is not forgotten, now or after a restart.
        block_on(spool.change(id, &[(18, RecipientState::Delivered)], &Change::default())).unwrap();
        block_on(spool.change(id, &[(18, RecipientState::Pending)], &Change::default())).unwrap();
        check(&spool);
        let (spool, report) = mount(&flash);
        assert_eq!(report.messages_uncertain, 1);
        check(&spool);
        block_on(spool.release(id, "")).unwrap();
        for (spool, uncertain) in [(spool, 0), (mount(&flash).0, mount(&flash).1.messages_uncertain)] {
            let brief = spool.brief(id).unwrap();
            assert_eq!((brief.state, brief.uncertain, uncertain), (MessageState::Queued, false, 0));
            assert_eq!(states(&spool, id)[0], RecipientState::Delivered);
        }
    }
}

#[test]
fn recipients_that_become_known_later_get_their_room_or_an_answer() {
    let flash = Flash::new(BLOCKS);
    let (spool, _) = mount(&flash);
    let mut incoming = spool.begin(Admission { size: Some(100), ..Admission::default() }).unwrap();
    let before = spool.usage().reserved;
    let mut recipients = 0;
    let full = loop {
        match spool.extend(&mut incoming, recipients + 1, u32::from(recipients + 1) * 20) {
            Ok(()) => recipients += 1,
            Err(full) => break full,
        }
    };
    assert_eq!(full, SpoolFull::Never);
    assert!(recipients > 100 && spool.usage().reserved > before);
    let addresses: Vec<String> = (0..recipients).map(|n| format!("r{n}@example.org")).collect();
    let id =
        block_on(spool.commit(incoming, &Arrival::default(), addresses.iter().map(String::as_str))).unwrap();
    let long = RecipientState::Closed(Status::new(550, &"x".repeat(128)));
    block_on(spool.change_each(id, &Change::default(), |_, state| state.clone_from(&long))).unwrap();
    assert!(spool.brief(id).unwrap().is_finished());
}
