//! Mail out: workers that take errands from the schedule and give them to their next hops.
//!
//! A worker opens a connection for one errand and goes on with others to the same destination over the same connection
//! while there are any. What the peer said is on flash before anything else happens, so that a message is sent twice only
//! if the power fails, or the connection breaks, between the peer's answer and our record.
//!
//! # Whose fault it is
//! | what happens | what follows |
//! |---|---|
//! | no connection, no greeting, a greeting or hello that is refused | the destination waits, with growing pauses; nothing is written |
//! | 421 or a lost connection before a transaction of a used connection | another connection, at once |
//! | 421 within a transaction, before the content was answered | fewer connections, or the destination waits; the errand stands back so that another is tried first; nothing is written |
//! | a connection lost within a transaction | these recipients wait, with growing pauses |
//! | 4yz or 5yz to a recipient or the message | these recipients wait, or have failed |
//! | 452 4.5.3 to a recipient | a further transaction at once |

mod connection;
mod outcome;
mod transaction;

use crate::counters::count;
use crate::resolver::LookupError;
use crate::schedule::{After, DestinationId, Errand, Look};
use crate::time::within;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use connection::{Buffers, Connection, Greeted};
use core::net::{IpAddr, SocketAddr};
use events::Event;
use heapless::Vec;
use limits::relay::{
    ADDRESSES_COUNT_MAX, CONNECT_TIMEOUT_S, CONNECTION_LINGER_MS, CROWDED_CONNECT_S, FIRST_LOOK_CONNECT_S,
    FIRST_LOOK_GREETING_S, MESSAGES_PER_CONNECTION_MAX,
};
use platform::{ConnectError, Connector, Source, Stream, Timer};
use settings::{NextHop, NextHopHost};
use transaction::Verdict;

/// Delivers for ever, one message at a time, over connections that `connector` opens;
/// `limits::relay::SESSIONS_OUT_COUNT_MAX` of these run.
pub async fn worker<P: Platform, C: Connector>(appliance: &Appliance<'_, P>, connector: &mut C) -> ! {
    let mut buffers = Buffers::new();
    loop {
        let (errand, look) = appliance.schedule.next_errand(|| appliance.now()).await;
        let next_hop = appliance.schedule.next_hop(errand.destination).map(Box::new);
        let failed = match next_hop {
            Some(next_hop) => {
                let meeting =
                    connect_and_deliver(appliance, connector, &next_hop, errand, look, &mut buffers);
                meeting.await.err()
            }
            None => Some(String::from("no next hop is set")),
        };
        if let Some(reason) = failed {
            unreachable(appliance, errand, &reason);
        }
    }
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

/// Tries the addresses of the next hop in order, and delivers over the first that serves us: the errand, then whatever
/// else is due there.
///
/// # Errors
/// Why the last address did not serve us; the errand is still in hands.
async fn connect_and_deliver<P: Platform, C: Connector>(
    appliance: &Appliance<'_, P>,
    connector: &mut C,
    next_hop: &NextHop,
    errand: Errand,
    look: Look,
    buffers: &mut Buffers,
) -> Result<(), String> {
    let mut reason = String::from("the next hop has no address");
    let (connect_s, greeting_s) = patience(look);
    let found = within(&appliance.timer, connect_s, addresses(appliance, next_hop)).await;
    for address in found.unwrap_or_else(|_| Err("the name servers do not answer in time".into()))? {
        let remote = SocketAddr::new(address, next_hop.port);
        let stream =
            match within(&appliance.timer, connect_s, connector.connect(remote, &Source::default())).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    reason = format!("{remote}: {}", connect_text(error));
                    continue;
                }
                Err(_) => {
                    reason = format!("{remote}: {}", connect_text(ConnectError::Timeout));
                    continue;
                }
            };
        let mut connection = Box::new(Connection::new(appliance, stream, remote, buffers));
        let greeted = match greeting_s {
            None => connection.greet().await,
            Some(seconds) => match within(&appliance.timer, seconds, connection.greet()).await {
                Ok(greeted) => greeted,
                Err(_) => Greeted::Closed("no greeting in time".into()),
            },
        };
        match greeted {
            Greeted::Ready => {
                if !appliance.schedule.reached(errand.destination, appliance.now()) {
                    connection.abort();
                    return Err("the next hop was changed".into());
                }
                count(&appliance.counters.connections, 1);
                let _counted = Reached(appliance, errand.destination);
                deliver_many(appliance, &mut connection, errand).await;
                return Ok(());
            }
            Greeted::Closed(why) => {
                connection.abort();
                reason = format!("{remote}: {why}");
            }
        }
    }
    Err(reason)
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
        if sent >= MESSAGES_PER_CONNECTION_MAX {
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

async fn addresses<P: Platform>(
    appliance: &Appliance<'_, P>,
    next_hop: &NextHop,
) -> Result<Vec<IpAddr, ADDRESSES_COUNT_MAX>, String> {
    let name = match &next_hop.host {
        NextHopHost::Address(address) => return Ok(Vec::from_iter([*address])),
        NextHopHost::Name(name) => name.as_str(),
    };
    match appliance.resolver().addresses(name).await {
        Ok(addresses) => Ok(addresses),
        Err(LookupError::Temporary(why)) => Err(format!("{name} cannot be looked up: {why}")),
        Err(LookupError::NoSuchName | LookupError::NoData) => {
            Err(format!("{name} does not exist or has no address"))
        }
    }
}

fn connect_text(error: ConnectError) -> &'static str {
    match error {
        ConnectError::NoRoute => "no network",
        ConnectError::Refused => "connection refused",
        ConnectError::Timeout => "no answer",
    }
}
