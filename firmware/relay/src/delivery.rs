//! Mail out: workers that take errands from the schedule and give them to their next hops.
//!
//! A worker opens a connection for one errand and goes on with others to the same destination over the same connection
//! while there are any. What the peer said is on flash before anything else happens, so that a message is sent twice only
//! if the power fails, or the connection breaks, between the peer's answer and our record.
//!
//! # Whose fault it is
//! | what happens | what follows |
//! |---|---|
//! | no connection, no greeting, a greeting or hello that is refused | the next address is tried, then the next host; with none left the destination waits, with growing pauses; nothing is written |
//! | DNS has nobody for the domain, for good | these recipients have failed; mail for an internal domain waits |
//! | 421 or a lost connection before a transaction of a used connection | another connection, at once |
//! | 421 within a transaction, before the content was answered | fewer connections, or the destination waits; the errand stands back so that another is tried first; nothing is written |
//! | a connection lost within a transaction | these recipients wait, with growing pauses |
//! | 4yz or 5yz to a recipient or the message | these recipients wait, or have failed |
//! | 4yz because we send too much | the same, and messages to the destination are spaced out |
//! | 452 4.5.3 to a recipient | a further transaction at once |

mod connection;
mod form;
mod outcome;
mod search;
mod transaction;

use crate::counters::count;
use crate::route::exchangers::{Nowhere, Whose};
use crate::route::{Course, Hosts};
use crate::schedule::{After, DestinationId, Errand, Look};
use crate::time::within;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use connection::{Buffers, Connection, Greeted};
use events::Event;
use limits::relay::{
    CONNECT_TIMEOUT_S, CONNECTION_LINGER_MS, CROWDED_CONNECT_S, FIRST_LOOK_CONNECT_S, FIRST_LOOK_GREETING_S,
    MESSAGES_PER_CONNECTION_MAX,
};
use limits::routing::{FIRST_MEETING_S, MEETING_S};
use platform::{ConnectError, Connector, Stream, Timer};
use search::Missed;
pub(crate) use search::Search;
use transaction::Verdict;

/// Delivers for ever, one message at a time, over connections that `connector` opens;
/// `limits::relay::SESSIONS_OUT_COUNT_MAX` of these run.
pub async fn worker<P: Platform, C: Connector>(appliance: &Appliance<'_, P>, connector: &mut C) -> ! {
    let mut buffers = Buffers::new();
    loop {
        let (errand, look) = appliance.schedule.next_errand(|| appliance.now()).await;
        let missed = match appliance.schedule.course(errand.destination) {
            Some(course) if course.hosts == Hosts::Nobody => {
                let (after, news) = Box::pin(outcome::discard(appliance, errand)).await;
                answered(appliance, errand, after, news);
                continue;
            }
            Some(course) => {
                let meeting = connect_and_deliver(appliance, connector, &course, errand, look, &mut buffers);
                meeting.await.err()
            }
            None => Some(Missed::Unreachable("no route leads anywhere".into())),
        };
        match missed {
            None => {}
            Some(Missed::Unreachable(reason)) => unreachable(appliance, errand, &reason),
            Some(Missed::Nowhere { domain, whose, why }) => {
                Box::pin(nobody_there(appliance, errand, &domain, whose, why)).await;
            }
        }
    }
}

/// DNS has nobody for the mail of a domain: for good, then its recipients fail; or not now.
async fn nobody_there<P: Platform>(
    appliance: &Appliance<'_, P>,
    errand: Errand,
    domain: &str,
    whose: Whose,
    why: Nowhere,
) {
    let reason = format!("{domain}: {why}");
    let Some(status) = why.failure(whose) else {
        let alarming = whose == Whose::Internal && !matches!(why, Nowhere::Temporary);
        if alarming && appliance.schedule.is_news(errand.destination, &reason) {
            appliance.record_error("routing", format_args!("{reason}; its mail waits"));
        }
        return unreachable(appliance, errand, &reason);
    };
    let code = if why == Nowhere::NullMx { 556 } else { 550 };
    let (after, news) =
        outcome::refuse(appliance, errand, status, &format!("{code} {status} {reason}")).await;
    answered(appliance, errand, after, news);
}

/// Gives an errand back for which no connection was needed.
fn answered<P: Platform>(appliance: &Appliance<'_, P>, errand: Errand, after: After, news: bool) {
    let now = appliance.now();
    appliance.schedule.needless(errand.destination, now);
    appliance.schedule.done(errand, after, news, now);
}

/// The destination was not reached: the errand goes back to the others, and nothing is written to flash.
fn unreachable<P: Platform>(appliance: &Appliance<'_, P>, errand: Errand, reason: &str) {
    count(&appliance.counters.connections_failed, 1);
    let (now, random) = (appliance.now(), appliance.random_u32());
    let pause = appliance.schedule.unreachable(errand.destination, reason, now, random);
    if let Some(retry_s) = pause {
        let (id, to, peer, code, status) = (errand.id, "".into(), None, 0, None);
        appliance.record(&Event::Deferred { id, to, peer, code, status, reply: reason.into(), retry_s });
    }
    appliance.schedule.done(errand, After::Untried, false, now);
}

/// How long to wait for a connection and for its greeting, where that is not the usual time.
const fn patience(look: Look) -> (u64, Option<u64>) {
    match look {
        Look::Known | Look::Probe { crowded: false } => (CONNECT_TIMEOUT_S, None),
        Look::First => (FIRST_LOOK_CONNECT_S, Some(FIRST_LOOK_GREETING_S)),
        Look::Probe { crowded: true } => (CROWDED_CONNECT_S, None),
    }
}

/// Tries the places of the destination in order, those last that did not serve a moment ago, and delivers over the first
/// that serves us: the errand, then whatever else is due there.
///
/// # Errors
/// Why none served us; the errand is still in hands.
async fn connect_and_deliver<P: Platform, C: Connector>(
    appliance: &Appliance<'_, P>,
    connector: &mut C,
    course: &Course,
    errand: Errand,
    look: Look,
    buffers: &mut Buffers,
) -> Result<(), Missed> {
    let us = appliance.ourselves();
    let source = course.connect_from();
    let mut search = Box::pin(Search::begin(appliance, course, &us)).await.map(Box::new)?;
    let (connect_s, greeting_s) = patience(look);
    let meeting_s = if look == Look::First { FIRST_MEETING_S } else { MEETING_S };
    let end_at = appliance.now().plus_s(meeting_s);
    let mut last_resort = VecDeque::new();
    let mut reason = None;
    while reason.is_none() || appliance.now() < end_at {
        let remote = match Box::pin(search.next(appliance)).await {
            Some(remote) if appliance.schedule.is_down(remote, appliance.now()) => {
                last_resort.push_back(remote);
                continue;
            }
            Some(remote) => remote,
            None => match last_resort.pop_front() {
                Some(remote) => remote,
                None => break,
            },
        };
        let failed = |why: &str| {
            appliance.schedule.address_failed(remote, appliance.now(), appliance.random_u32());
            Some(format!("{remote}: {why}"))
        };
        let stream = match within(&appliance.timer, connect_s, connector.connect(remote, &source)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                reason = failed(connect_text(error));
                continue;
            }
            Err(_) => {
                reason = failed(connect_text(ConnectError::Timeout));
                continue;
            }
        };
        let mut connection =
            Box::new(Connection::new(appliance, stream, remote, course.helo.as_deref(), buffers));
        let greeted = match greeting_s {
            None => connection.greet().await,
            Some(seconds) => match within(&appliance.timer, seconds, connection.greet()).await {
                Ok(greeted) => greeted,
                Err(_) => Greeted::Closed("no greeting in time".into()),
            },
        };
        match greeted {
            Greeted::Ready => {
                appliance.schedule.address_served(remote);
                if !appliance.schedule.reached(errand.destination, appliance.now()) {
                    connection.abort();
                    return Err(Missed::Unreachable("the route was changed".into()));
                }
                count(&appliance.counters.connections, 1);
                let _counted = Reached(appliance, errand.destination);
                deliver_many(appliance, &mut connection, errand).await;
                return Ok(());
            }
            Greeted::Closed(why) => {
                connection.abort();
                reason = failed(&why);
            }
        }
    }
    Err(search.end(reason))
}

/// Gives the connection's place back, also when the worker is dropped.
struct Reached<'a, 'f, P: Platform>(&'a Appliance<'f, P>, DestinationId);

impl<P: Platform> Drop for Reached<'_, '_, P> {
    fn drop(&mut self) {
        self.0.schedule.closed(self.1, self.0.now());
    }
}

async fn deliver_many<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &mut Connection<'_, '_, P, S>,
    first: Errand,
) {
    let mut errand = first;
    let mut sent = 0u32;
    loop {
        // In a box for each message: idle workers are small.
        let delivering = Box::pin(transaction::deliver(appliance, connection, errand, sent > 0));
        let Verdict { after, news, reusable } = delivering.await;
        // Before the peer has answered RSET: whoever waits for the message need not wait for the peer.
        appliance.schedule.done(errand, after, news, appliance.now());
        sent = sent.saturating_add(1);
        if !reusable || !connection.is_ready_again().await {
            return connection.abort();
        }
        if sent >= MESSAGES_PER_CONNECTION_MAX || connection.is_spent() {
            break;
        }
        let linger = appliance.timer.sleep_until(appliance.now().plus_ms(CONNECTION_LINGER_MS));
        let next = appliance.schedule.next_errand_connected(errand.destination, sent, || appliance.now());
        match embassy_futures::select::select(next, linger).await {
            embassy_futures::select::Either::First(Some(next)) => errand = next,
            _ => break,
        }
    }
    connection.quit().await;
}

fn connect_text(error: ConnectError) -> &'static str {
    match error {
        ConnectError::NoRoute => "no network",
        ConnectError::Refused => "connection refused",
        ConnectError::Timeout => "no answer",
    }
}
