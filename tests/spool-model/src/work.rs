//! What is done to the queue: operations by themselves or several at once, run to their end or dropped.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use flash_sim::Random;
use spool::{
    Admission, Arrival, ArrivalInfo, Attempt, Change, Class, NewRecipient, Protocol, RecipientState, Removal,
    Spool, SpoolError, Status,
};

use crate::letter::{Fixed, Letter, Page, Step, page_of, release, told};
use crate::model::{Done, Outcome};

/// A message that arrives.
#[derive(Clone, Copy, Debug)]
pub struct Put {
    /// Of its content and envelope.
    pub seed: u64,
    /// Octets of content.
    pub len: usize,
    /// Number of recipients.
    pub recipients: usize,
    /// Whether its size is declared.
    pub declared: bool,
    /// Given up before it is committed.
    pub aborted: bool,
}

/// One operation.
#[derive(Clone, Debug)]
pub enum Op {
    /// A message arrives.
    Put(Put),
    /// New states of some recipients.
    Attempt(QueueId, Vec<(u16, RecipientState)>, u64),
    /// The sender was told of failures, so many times by now.
    Told(QueueId, u16),
    /// A message is held, or released.
    Hold(QueueId, bool),
    /// A recipe is stored.
    Recipe(QueueId, Rc<Vec<u8>>),
    /// A message ends.
    Remove(QueueId),
    /// A message is read.
    Read(QueueId),
    /// A step of cleaning ahead of need.
    Clean,
}

impl Op {
    /// For people.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Recipe(id, recipe) => format!("Recipe({id}, {} octets)", recipe.len()),
            Self::Attempt(id, states, _) => format!("Attempt({id}, {} states)", states.len()),
            other => format!("{other:?}"),
        }
    }
}

/// Octets that follow from a seed; some look like blank flash.
#[must_use]
pub fn octets(seed: u64, len: usize) -> Vec<u8> {
    if seed.is_multiple_of(7) {
        return vec![0xff; len];
    }
    let mut random = Random::new(seed);
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        out.extend_from_slice(&random.next_u64().to_le_bytes());
    }
    out.truncate(len);
    out
}

/// What an operation tells while it runs.
type Sheet = RefCell<Option<(QueueId, Vec<Step>)>>;

/// A state that an attempt may lead to.
pub fn any_state(random: &mut Random) -> RecipientState {
    let text = "4.2.2 mailbox full, try again ".repeat(5);
    let text = &text[..random.below(129)];
    let status = Status::new(450, text);
    match random.below(7) {
        0 => RecipientState::Pending,
        1 => RecipientState::Delivered,
        2 | 3 => RecipientState::Deferred { status, attempts: 3, next_try: random.next_u64() >> 30 },
        4 => RecipientState::Failed(status),
        5 => RecipientState::Relayed(status),
        _ => RecipientState::Closed(status),
    }
}

/// Makes the message of a [`Put`], as it must look once it is committed.
fn letter(put: &Put, id: QueueId) -> Letter {
    let mut random = Random::new(put.seed ^ 0x0ff5_e1ed);
    let class = if random.below(8) == 0 { Class::Report } else { Class::Mail };
    let extra = |random: &mut Random, max| octets(random.next_u64(), random.below(max));
    let recipients: Vec<_> = (0..put.recipients)
        .map(|number| (format!("r{number}@h{}.example.org", random.below(1_000)), extra(&mut random, 20)))
        .collect();
    let peer = match random.below(3) {
        0 => None,
        1 => Some(IpAddr::V4(Ipv4Addr::from(random.next_u64() as u32))),
        _ => Some(IpAddr::V6(Ipv6Addr::from(u128::from(random.next_u64())))),
    };
    let sender =
        if random.below(4) == 0 { String::new() } else { format!("s{}@example.com", random.below(9)) };
    let arrival = ArrivalInfo {
        id,
        size: put.len as u32,
        sender: sender.as_str().try_into().expect("short"),
        sender_extra: extra(&mut random, 100).as_slice().try_into().expect("short"),
        origin: extra(&mut random, 41).as_slice().try_into().expect("short"),
        peer,
        helo: "client.example.com".try_into().expect("short"),
        protocol: [Protocol::Smtp, Protocol::Esmtp, Protocol::Esmtps, Protocol::Local][random.below(4)],
        time: (random.below(5) > 0).then(|| random.next_u64() >> 20),
        moment: random.below(1_000) as u64,
        recipients: put.recipients as u16,
        class,
    };
    let facts = extra(&mut random, 200);
    let content = octets(put.seed, put.len);
    Letter {
        fixed: Rc::new(Fixed { content, arrival, facts, recipients }),
        states: vec![RecipientState::Pending; put.recipients],
        recipe: None,
        held: false,
        attempts: 0,
        log: Vec::new(),
        warned: false,
        reports: 0,
        reason: String::new(),
    }
}

async fn put<F: NorFlash>(spool: &Spool<F>, put: &Put, sheet: &Sheet) -> Result<(), SpoolError> {
    let made = letter(put, QueueId(0));
    let fixed = &made.fixed;
    let addresses = |(address, extra): &(String, Vec<u8>)| address.len() + extra.len();
    let admission = Admission {
        size: put.declared.then_some(put.len as u32),
        recipients: fixed.recipients.len() as u16,
        recipients_bytes: fixed.recipients.iter().map(addresses).sum::<usize>() as u32,
        class: fixed.arrival.class,
    };
    let mut incoming = spool.begin(admission)?;
    let id = incoming.id();
    if !put.aborted {
        let fixed = Fixed { arrival: ArrivalInfo { id, ..fixed.arrival.clone() }, ..(**fixed).clone() };
        let letter = Letter { fixed: Rc::new(fixed), ..made.clone() };
        *sheet.borrow_mut() = Some((id, vec![Step::Commit(letter)]));
    }
    for piece in fixed.content.chunks(1_777) {
        spool.append(&mut incoming, piece).await?;
    }
    if put.aborted {
        spool.abort(incoming);
        return Ok(());
    }
    let told = &fixed.arrival;
    let arrival = Arrival {
        sender: &told.sender,
        sender_extra: &told.sender_extra,
        peer: told.peer,
        helo: &told.helo,
        protocol: told.protocol,
        time: told.time,
        origin: &told.origin,
        facts: &fixed.facts,
        moment: told.moment,
    };
    let recipients = fixed.recipients.iter().map(|(address, extra)| NewRecipient { address, extra });
    spool.commit(incoming, &arrival, recipients).await.map(|_| ())
}

/// The steps of a change of states: later pages first, page 0 last.
fn pages(states: &[(u16, RecipientState)], zero: Page) -> Vec<Step> {
    let last = states.iter().map(|(index, _)| page_of(*index)).max().unwrap_or(0);
    let of = |page| states.iter().filter(move |(index, _)| page_of(*index) == page).cloned().collect();
    let mut steps = Vec::new();
    for page in (1..=last).rev() {
        let states: Vec<_> = of(page);
        if !states.is_empty() {
            steps.push(Step::Page(Page { page, states, ..Page::default() }));
        }
    }
    steps.push(Step::Page(Page { states: of(0), ..zero }));
    steps
}

/// The steps of a change of every state.
fn every_page<F: NorFlash>(
    spool: &Spool<F>,
    id: QueueId,
    each: fn(&mut RecipientState),
    zero: Page,
) -> Vec<Step> {
    let last = spool.brief(id).map_or(0, |brief| page_of(brief.recipients.saturating_sub(1)));
    let later = (1..=last).rev().map(|page| Page { page, each: Some(each), ..Page::default() });
    later.chain([Page { each: Some(each), ..zero }]).map(Step::Page).collect()
}

async fn perform<F: NorFlash>(spool: &Spool<F>, op: &Op, sheet: &Sheet) -> Result<(), SpoolError> {
    let plan = |id: QueueId, steps| *sheet.borrow_mut() = Some((id, steps));
    match op {
        Op::Put(one) => put(spool, one, sheet).await,
        Op::Attempt(id, states, seed) => {
            let reason = (seed % 3 > 0).then(|| format!("attempt {}", seed % 100));
            let attempt =
                Attempt::new((seed % 5 > 0).then_some(*seed), (seed % 600) as u16, "mx.example.org");
            let warned = seed % 11 == 0;
            let (moment, text) = (*seed, reason.as_deref());
            let change =
                Change { moment, attempt: Some(attempt.clone()), warned, reason: text, ..Change::default() };
            let zero = Page { attempt: Some(attempt), warned, reason: reason.clone(), ..Page::default() };
            plan(*id, pages(states, zero));
            spool.change(*id, states, &change).await
        }
        Op::Told(id, reports) => {
            let zero = Page { reports: *reports, ..Page::default() };
            plan(*id, every_page(spool, *id, told, zero));
            let change = Change { reports: *reports, ..Change::default() };
            spool.change_each(*id, &change, |_, state| told(state)).await
        }
        Op::Hold(id, true) => {
            let reason = Some("by the operator".into());
            let zero = Page { held: Some(true), reason, ..Page::default() };
            plan(*id, pages(&[], zero));
            spool.hold(*id, "by the operator").await
        }
        Op::Hold(id, false) => {
            let zero = Page { held: Some(false), reason: Some(String::new()), ..Page::default() };
            plan(*id, every_page(spool, *id, release, zero));
            spool.release(*id, "").await
        }
        Op::Recipe(id, recipe) => {
            plan(*id, vec![Step::Recipe(Rc::clone(recipe))]);
            spool.set_recipe(*id, recipe).await
        }
        Op::Remove(id) => {
            plan(*id, vec![Step::End]);
            spool.remove(*id, Removal::Delivered).await
        }
        Op::Read(id) => {
            let mut buffer = [0; 700];
            let mut at = 0;
            while let count @ 1.. = spool.read(*id, at, &mut buffer).await? {
                at += count as u32;
            }
            Ok(())
        }
        Op::Clean => spool.clean_step().await.map(|_| ()),
    }
}

/// A message that ended with the operation of the flash before position `to`.
#[must_use]
pub fn ended(id: QueueId, to: usize) -> Done {
    let message = Some((id, vec![Step::End]));
    Done { what: format!("Clear({id})"), message, to, outcome: Outcome::Acknowledged }
}

/// An operation, and after how often being polled its future is dropped.
pub type Plan = (Op, Option<usize>);

struct Running<'a> {
    future: Pin<Box<dyn Future<Output = Result<(), SpoolError>> + 'a>>,
    number: usize,
    polls_left: usize,
}

/// Runs operations at once, in an order that `random` chooses, and tells how each ended. `position` is asked when
/// one ends.
pub fn run<F: NorFlash>(
    spool: &Spool<F>,
    plans: &[Plan],
    random: &mut Random,
    position: impl Fn() -> usize,
) -> Vec<Done> {
    let sheets: Vec<Sheet> = plans.iter().map(|_| RefCell::default()).collect();
    let mut running: Vec<Running<'_>> = plans
        .iter()
        .zip(&sheets)
        .enumerate()
        .map(|(number, ((op, dropped), sheet))| Running {
            future: Box::pin(perform(spool, op, sheet)),
            number,
            polls_left: dropped.unwrap_or(usize::MAX),
        })
        .collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut done = Vec::new();
    while !running.is_empty() {
        let chosen = random.below(running.len());
        let one = &mut running[chosen];
        let outcome = if one.polls_left == 0 {
            Outcome::Dropped
        } else {
            one.polls_left -= 1;
            match one.future.as_mut().poll(&mut context) {
                Poll::Ready(Ok(())) => Outcome::Acknowledged,
                Poll::Ready(Err(error)) => Outcome::Refused(error),
                Poll::Pending => continue,
            }
        };
        let Running { future, number, .. } = running.swap_remove(chosen);
        drop(future);
        let message = sheets[number].take();
        done.push(Done { what: plans[number].0.describe(), message, to: position(), outcome });
    }
    done
}
