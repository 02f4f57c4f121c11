//! The attendant: does for messages what is neither deciding nor delivering, one message at a time.
//!
//! *Routing*: where the recipients go that are still open, and when they are due. Mail that has just come is routed from
//! what intake knows; this is for mail of before the start, and for all mail after the routes changed. *Age*: the warning
//! that mail is late, and giving it up. *Settling*: reports about what failed, and the end of messages of which nothing is
//! left.
//!
//! The schedule gives a message to the attendant only when no delivery of it is under way, and lets none begin before
//! the attendant gives it back.
//!
//! Ages are in operating seconds, so mail ages only while somebody tries to deliver it. Mail that is held does not end by
//! itself: a person has decided, or must decide, about it. Mail that waits for its decision ends like other mail.

use crate::counters::count;
use crate::report::{self, Settled};
use crate::route::Way;
use crate::route::course::Shared;
use crate::schedule::{Attended, DestinationState, Leg, Priority, Tasks};
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use envelope::QueueId;
use events::Event;
use limits::relay::{ATTEND_AGAIN_S, BULK_RECIPIENTS_COUNT, ERRANDS_PER_MESSAGE_MAX, ROUTE_AGAIN_S};
use platform::Instant;
use spool::{Brief, Change, Class, MessageState, RecipientState, SpoolError, Status};

/// Attends for ever; one of these runs.
pub(crate) async fn run<P: Platform>(appliance: &Appliance<'_, P>) -> ! {
    loop {
        let (id, tasks) = appliance.schedule.next_due().await;
        let (attended, again) = match Box::pin(attend(appliance, id, tasks)).await {
            Ok(done) => done,
            Err(SpoolError::NoSuchMessage) => (Attended::Gone, Tasks::default()),
            Err(SpoolError::Damaged) => {
                appliance.spool_failed(id, SpoolError::Damaged);
                appliance.hold(id, "cannot be read: a stored record is damaged").await;
                (Attended::Off, Tasks::default())
            }
            Err(error) => {
                appliance.spool_failed(id, error);
                (Attended::Later(appliance.now().plus_s(ATTEND_AGAIN_S)), tasks)
            }
        };
        appliance.schedule.attended(id, attended, again, appliance.now());
    }
}

async fn attend<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    tasks: Tasks,
) -> Result<(Attended, Tasks), SpoolError> {
    let brief = appliance.spool.brief(id).ok_or(SpoolError::NoSuchMessage)?;
    if brief.state != MessageState::Queued {
        return Ok((Attended::Off, Tasks::default()));
    }
    // After a start nobody remembers that something came out.
    let mut settle = tasks.settle || (tasks.route && brief.recipients_unreported > 0);
    let mut told = Settled::Open;
    if tasks.age {
        match look_at_age(appliance, &brief).await? {
            Age::Expired => settle = true,
            Age::Late => told = report::delayed(appliance, id).await,
            Age::Young => {}
        }
        let brief = appliance.spool.brief(id).ok_or(SpoolError::NoSuchMessage)?;
        appliance.schedule.set_age_at(id, age_at(appliance, &brief));
    }
    if settle && told == Settled::Open {
        told = report::settle(appliance, id).await;
    }
    match told {
        Settled::Ended => return Ok((Attended::Gone, Tasks::default())),
        Settled::Held => return Ok((Attended::Off, Tasks::default())),
        Settled::Later => return Ok((later(appliance), Tasks { settle, ..tasks })),
        Settled::Open => {}
    }
    let brief = appliance.spool.brief(id).ok_or(SpoolError::NoSuchMessage)?;
    if brief.recipients_open == 0 && settle {
        // It should have ended; a report that cannot be made now must not be asked for again at once.
        return Ok((later(appliance), Tasks { settle, ..tasks }));
    }
    if tasks.route { route(appliance, &brief).await } else { Ok((Attended::Done, Tasks::default())) }
}

fn later<P: Platform>(appliance: &Appliance<'_, P>) -> Attended {
    Attended::Later(appliance.now().plus_s(ATTEND_AGAIN_S))
}

/// How old a message is.
enum Age {
    Young,
    /// Its sender should hear of it.
    Late,
    /// It has been given up.
    Expired,
}

async fn look_at_age<P: Platform>(appliance: &Appliance<'_, P>, brief: &Brief) -> Result<Age, SpoolError> {
    let age_s = appliance.operating_seconds().saturating_sub(brief.moment);
    let (lifetime_s, warning_s) = {
        let settings = appliance.settings();
        (u64::from(settings.message_lifetime_s), u64::from(settings.delay_warning_s))
    };
    if age_s >= lifetime_s {
        expire(appliance, brief.id).await?;
        return Ok(Age::Expired);
    }
    let late = warning_s > 0 && age_s >= warning_s && !brief.warned && brief.class == Class::Mail;
    Ok(if late { Age::Late } else { Age::Young })
}

/// When the age of a message must be looked at next.
pub(crate) fn age_at<P: Platform>(appliance: &Appliance<'_, P>, brief: &Brief) -> Option<Instant> {
    let settings = appliance.settings();
    let now_s = appliance.operating_seconds();
    let end = brief.moment.saturating_add(settings.message_lifetime_s.into());
    let warning = brief.moment.saturating_add(settings.delay_warning_s.into());
    let warns =
        settings.delay_warning_s > 0 && !brief.warned && brief.class == Class::Mail && warning > now_s;
    Some(appliance.instant_of(if warns { end.min(warning) } else { end }))
}

/// Gives up every recipient that is still open.
async fn expire<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Result<(), SpoolError> {
    let last = last_reason(appliance, id).await?;
    let reason = format!("given up after its lifetime; last: {last}");
    let change = Change { moment: appliance.operating_seconds(), reason: Some(&reason), ..Change::default() };
    let given_up = |_: u16, state: &mut RecipientState| {
        if state.is_open() {
            let last = state.status().map_or(&*last, |status| status.text.as_str());
            *state = RecipientState::Failed(Status::new(
                554,
                &format!("{}given up after its lifetime; last: {last}", report::GIVEN_UP),
            ));
        }
    };
    let open = appliance.spool.brief(id).map_or(0, |brief| brief.recipients_open);
    appliance.spool.change_each(id, &change, given_up).await?;
    count(&appliance.counters.failed, open.into());
    appliance.record(&Event::Failed {
        id,
        to: "".into(),
        peer: None,
        code: 0,
        status: Some(envelope::EnhancedStatus(5, 4, 7)),
        reply: reason.as_str().into(),
    });
    Ok(())
}

/// Why a message waits: as recorded, or what keeps its destinations from being reached.
pub(crate) async fn last_reason<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
) -> Result<String, SpoolError> {
    use crate::schedule::Obstruction::{NoNextHop, Unreachable};
    match appliance.schedule.obstruction_of(id) {
        Some(Unreachable { reason, .. }) => return Ok(reason),
        Some(NoNextHop) => return Ok("no route leads anywhere".into()),
        None => {}
    }
    if let Some(reason) = appliance.schedule.reason(id) {
        return Ok(reason);
    }
    let summary = appliance.spool.next_summary(id.0.checked_sub(1).map(QueueId)).await?;
    let reason = summary.filter(|summary| summary.brief.id == id).map(|summary| summary.reason);
    Ok(match reason {
        Some(reason) if !reason.is_empty() => String::from(reason.as_str()),
        _ => "it was not its turn".into(),
    })
}

/// A destination that a message goes to, while its recipients are read.
struct Found {
    name: Box<str>,
    inside: bool,
    course: Option<Shared>,
    due: u64,
}

/// Reads the recipients that are open and finds their ways.
async fn route<P: Platform>(
    appliance: &Appliance<'_, P>,
    brief: &Brief,
) -> Result<(Attended, Tasks), SpoolError> {
    let id = brief.id;
    let arrival = appliance.spool.arrival(id).await?;
    let null_sender = arrival.sender.is_empty();
    let mut facts = Vec::new();
    appliance.spool.facts(id, &mut facts).await?;
    let bulk = smime::Facts::from_bytes(&facts).is_ok_and(|facts| facts.header.bulk);
    let priority = priority(brief.class, null_sender, brief.recipients, bulk);
    appliance.schedule.know(id, arrival.peer, priority);
    let mut found: Vec<Found> = Vec::new();
    let (mut more, mut any) = (false, false);
    let (mut page, mut next) = (Vec::new(), 0u16);
    loop {
        appliance.spool.recipients(id, next, &mut page).await?;
        let Some(last) = page.last() else { break };
        next = last.index.saturating_add(1);
        for recipient in page.iter().filter(|recipient| recipient.state.is_open()) {
            any = true;
            let due = match recipient.state {
                RecipientState::Deferred { next_try, .. } => next_try,
                _ => 0,
            };
            more |=
                !appliance.way(null_sender, &recipient.address, |way| note(appliance, &mut found, way, due));
        }
    }
    if !any && brief.recipients_open > 0 {
        // Never asked for again and again: what is in RAM and what is on flash do not agree.
        return Err(SpoolError::Damaged);
    }
    let mut legs = Vec::with_capacity(found.len());
    for found in found {
        let way = Way::found(&found.name, found.inside, found.course);
        match appliance.schedule.destination(&way, appliance.now()) {
            Some(destination) => legs.push(Leg { destination, due: appliance.instant_of(found.due) }),
            None => more = true,
        }
    }
    if more && legs.is_empty() {
        appliance.schedule.explain(id, "mail for very many domains is under way");
        let again = Attended::Later(appliance.now().plus_s(ROUTE_AGAIN_S));
        return Ok((again, Tasks { route: true, ..Tasks::default() }));
    }
    Ok((Attended::Routed(legs, more), Tasks::default()))
}

/// Adds a way to those that were found, or says that there are too many. Then destinations that do not answer wait.
fn note<P: Platform>(appliance: &Appliance<'_, P>, found: &mut Vec<Found>, way: &Way<'_>, due: u64) -> bool {
    if let Some(known) = found.iter_mut().find(|found| *found.name == *way.name) {
        known.due = known.due.min(due);
        return true;
    }
    let new = || Found { name: (*way.name).into(), inside: way.inside, course: way.course(), due };
    if found.len() < ERRANDS_PER_MESSAGE_MAX {
        found.push(new());
        return true;
    }
    let fails = |name: &str| appliance.schedule.state_of(name) == DestinationState::Failing;
    if !fails(&way.name)
        && let Some(place) = found.iter_mut().find(|found| fails(&found.name))
    {
        *place = new();
    }
    false
}

/// How urgent a message is by itself. `bulk`: it says of itself that it is.
pub(crate) fn priority(class: Class, null_sender: bool, recipients: u16, bulk: bool) -> Priority {
    if class == Class::Report || null_sender {
        Priority::Report
    } else if bulk || recipients > BULK_RECIPIENTS_COUNT {
        Priority::Bulk
    } else {
        Priority::Ordinary
    }
}
