//! What the operator does with messages: retry, hold, release, bounce, remove.

use super::{failed, failed_one};
use crate::operator::view::{self, Count};
use crate::report::{self, Settled};
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use console::{Outcome, QueueTarget, Screen};
use embedded_io_async::Write;
use envelope::QueueId;
use events::Event;
use spool::{Change, MessageState, RecipientState, Removal, SpoolError, Status};

/// What is done with each of the messages that are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operator) enum Verb {
    Hold,
    Release,
    Bounce,
    Remove,
}

impl Verb {
    const fn done(self) -> &'static str {
        match self {
            Self::Hold => "held",
            Self::Release => "released",
            Self::Bounce => "given up",
            Self::Remove => "removed",
        }
    }

    /// Whether it can be done for some recipients of a message alone.
    const fn is_divisible(self) -> bool {
        matches!(self, Self::Bounce | Self::Remove)
    }
}

/// A message that is meant.
#[derive(Clone, Copy)]
struct Aim {
    id: QueueId,
    /// It also has open recipients that are not meant.
    shared: bool,
}

/// How it went with one message.
enum Done {
    Yes,
    /// It was so already.
    Already,
    /// Somebody works on it.
    Busy,
}

/// The messages that are meant.
async fn aims<P: Platform>(
    appliance: &Appliance<'_, P>,
    target: &QueueTarget,
) -> Result<Vec<Aim>, SpoolError> {
    let mut aims = Vec::new();
    if let QueueTarget::One(id) = target {
        aims.extend(appliance.spool.brief(*id).map(|brief| Aim { id: brief.id, shared: false }));
        return Ok(aims);
    }
    appliance.spool.for_each(|brief| aims.push(Aim { id: brief.id, shared: false }));
    let QueueTarget::Domain(domain) = target else { return Ok(aims) };
    let mut page = Vec::new();
    let mut kept = Vec::new();
    for aim in aims {
        let (mut meant, mut others) = (false, false);
        let mut next = 0;
        loop {
            match appliance.spool.recipients(aim.id, next, &mut page).await {
                Ok(()) => {}
                // It has just left, or cannot be read: then it is not known to be meant.
                Err(SpoolError::NoSuchMessage | SpoolError::Damaged) => break,
                Err(error) => return Err(error),
            }
            let Some(last) = page.last() else { break };
            next = last.index.saturating_add(1);
            for recipient in &page {
                let unfinished = recipient.state.is_open() || recipient.state.is_unreported();
                let inside = is_in(&recipient.address, domain);
                meant |= unfinished && inside;
                others |= unfinished && !inside;
            }
        }
        if meant {
            kept.push(Aim { shared: others, ..aim });
        }
    }
    Ok(kept)
}

/// Whether an address is in a domain.
fn is_in(address: &str, domain: &str) -> bool {
    address.rsplit_once('@').is_some_and(|(_, its)| its.eq_ignore_ascii_case(domain))
}

/// Does `verb` to every message that is meant, and says to how many.
pub(in crate::operator) async fn act<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    verb: Verb,
    target: &QueueTarget,
    screen: &mut Screen<W>,
) -> Outcome {
    let aims = match aims(appliance, target).await {
        Ok(aims) => aims,
        Err(error) => return failed(screen, error).await,
    };
    if let (QueueTarget::One(id), true) = (target, aims.is_empty()) {
        return failed_one(screen, *id, SpoolError::NoSuchMessage).await;
    }
    let (mut done, mut busy, mut shared) = (0u64, 0u64, 0u64);
    for aim in aims {
        let part = match target {
            QueueTarget::Domain(domain) if aim.shared && verb.is_divisible() => Some(domain.as_str()),
            _ => None,
        };
        let result = match verb {
            Verb::Hold => hold(appliance, aim.id).await,
            Verb::Release => release(appliance, aim.id).await,
            Verb::Bounce => bounce(appliance, aim.id, part).await,
            Verb::Remove => remove(appliance, aim.id, part).await,
        };
        match result {
            Ok(Done::Yes) => {
                done += 1;
                shared += u64::from(aim.shared);
            }
            Ok(Done::Already) | Err(SpoolError::NoSuchMessage) => {}
            Ok(Done::Busy) => busy += 1,
            Err(error) => return failed_one(screen, aim.id, error).await,
        }
    }
    match done {
        0 if busy == 0 => screen.line(format_args!("Nothing to be {}.", verb.done())).await,
        0 => {}
        _ => screen.line(format_args!("{} {}.", Count(done, "message"), verb.done())).await,
    }
    tell_shared(shared, verb.is_divisible(), screen).await;
    if busy > 0 {
        let count = Count(busy, "message");
        let them = if busy == 1 { "is" } else { "are" };
        screen.line(format_args!("{count} {them} being worked on; try again in a moment.")).await;
    }
    Outcome::Done
}

/// Says what became of recipients that were not meant.
async fn tell_shared<W: Write>(shared: u64, divisible: bool, screen: &mut Screen<W>) {
    if shared == 0 {
        return;
    }
    let of_them = if shared == 1 { String::from("1 of them has") } else { format!("{shared} of them have") };
    let rest = if divisible {
        "these recipients are still delivered to"
    } else {
        "a message is dealt with as a whole, so that goes for these too"
    };
    screen.line(format_args!("{of_them} recipients in other domains: {rest}.")).await;
}

async fn hold<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Result<Done, SpoolError> {
    let queued = |state| state == MessageState::Queued;
    if !appliance.spool.brief(id).is_some_and(|brief| queued(brief.state)) {
        return Ok(Done::Already);
    }
    if !appliance.schedule.withdraw(id, appliance.now()) {
        return Ok(Done::Busy);
    }
    appliance.hold(id, "held by the operator").await;
    Ok(Done::Yes)
}

/// Lets a message go; recipients that had failed are tried again, for why else would one release it.
async fn release<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Result<Done, SpoolError> {
    if !appliance.spool.brief(id).is_some_and(|brief| brief.state == MessageState::Held) {
        return Ok(Done::Already);
    }
    // Whoever has just held it still has it for a moment.
    if view::is_in_hands(appliance, id) {
        return Ok(Done::Busy);
    }
    appliance.spool.release(id, "").await?;
    appliance.record(&Event::Released { id });
    appliance.schedule_released(id);
    Ok(Done::Yes)
}

/// Gives a message up, or its recipients in `part` alone; whoever sent it is told.
async fn bounce<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    part: Option<&str>,
) -> Result<Done, SpoolError> {
    if appliance.spool.brief(id).is_some_and(|brief| brief.state == MessageState::Damaged) {
        // Nobody can be told for whom it was; it can only be removed.
        return Ok(Done::Already);
    }
    if !appliance.schedule.withdraw(id, appliance.now()) {
        return Ok(Done::Busy);
    }
    match report::bounce(appliance, id, part, "given up by the operator").await {
        Settled::Ended => view::forget(appliance, id),
        Settled::Held => {}
        Settled::Open | Settled::Later => view::schedule_again(appliance, id),
    }
    Ok(Done::Yes)
}

/// Removes a message, or its recipients in `part` alone; nobody is told.
async fn remove<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    part: Option<&str>,
) -> Result<Done, SpoolError> {
    if !appliance.schedule.withdraw(id, appliance.now()) {
        return Ok(Done::Busy);
    }
    if let Some(domain) = part {
        let closed = close_in(appliance, id, domain).await;
        view::schedule_again(appliance, id);
        return closed.map(|()| Done::Yes);
    }
    if let Err(error) = appliance.spool.remove(id, Removal::Operator).await {
        // It is still there, and goes on.
        view::schedule_again(appliance, id);
        return Err(error);
    }
    view::forget(appliance, id);
    appliance.record(&Event::Removed { id, reason: "by the operator".into() });
    Ok(Done::Yes)
}

/// Closes the recipients of a message that are in a domain, page by page: a power cut leaves the rest as it was, and the
/// operator says it again.
async fn close_in<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    domain: &str,
) -> Result<(), SpoolError> {
    let mut page = Vec::new();
    let mut next = 0;
    loop {
        appliance.spool.recipients(id, next, &mut page).await?;
        let Some(last) = page.last() else { return Ok(()) };
        next = last.index.saturating_add(1);
        let states: Vec<_> = page
            .iter()
            .filter(|recipient| recipient.state.is_open() || recipient.state.is_unreported())
            .filter(|recipient| is_in(&recipient.address, domain))
            .map(|recipient| {
                (recipient.index, RecipientState::Closed(Status::new(0, "removed by the operator")))
            })
            .collect();
        if !states.is_empty() {
            appliance.spool.change(id, &states, &Change::default()).await?;
        }
    }
}

/// Makes messages due now.
pub(in crate::operator) async fn retry<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    target: &QueueTarget,
    screen: &mut Screen<W>,
) -> Outcome {
    let aims = match aims(appliance, target).await {
        Ok(aims) => aims,
        Err(error) => return failed(screen, error).await,
    };
    if let QueueTarget::One(id) = target {
        match appliance.spool.brief(*id).map(|brief| brief.state) {
            None => return failed_one(screen, *id, SpoolError::NoSuchMessage).await,
            Some(MessageState::Held) => {
                screen.line(format_args!("{id} is held; `queue release {id}` lets it go.")).await;
                return Outcome::Failed;
            }
            Some(_) => {}
        }
    }
    let (mut done, mut shared) = (0u64, 0u64);
    for aim in aims {
        if !appliance.spool.brief(aim.id).is_some_and(|brief| brief.state == MessageState::Queued) {
            continue;
        }
        if appliance.schedule.is_stuck(aim.id) {
            // Its outcome could not be written: the operator says what a restart would do.
            view::schedule_again(appliance, aim.id);
        }
        if *target != QueueTarget::All {
            appliance.schedule.hurry(Some(aim.id), appliance.now());
        }
        done += 1;
        shared += u64::from(aim.shared);
    }
    if done == 0 {
        screen.line("Nothing to be tried; held mail waits for `queue release`.").await;
        return Outcome::Done;
    }
    if *target == QueueTarget::All {
        appliance.schedule.hurry(None, appliance.now());
    }
    screen.line("Tried now.").await;
    tell_shared(shared, false, screen).await;
    Outcome::Done
}

#[cfg(test)]
mod tests {
    use super::is_in;

    #[test]
    fn an_address_is_in_its_own_domain_only() {
        assert!(is_in("ann@Example.ORG", "example.org"));
        assert!(is_in("\"a@b.example\"@example.org", "example.org"));
        for other in
            ["ann@sub.example.org", "ann@myexample.org", "example.org", "", "\"x@example.org\"@a.example"]
        {
            assert!(!is_in(other, "example.org"), "{other}");
        }
    }
}
