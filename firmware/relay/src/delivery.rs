//! Mail out: workers that take messages from the schedule and give them to the next hop.
//!
//! A worker opens a connection for one message and goes on with others over the same connection while there are any.
//! What the peer said is on flash before anything else happens, so that a message is sent twice only if the power
//! fails, or the connection breaks, between the peer's answer and our record.

mod connection;
mod transaction;

use crate::counters::count;
use crate::schedule::{Hop, Job, Next, Step};
use crate::time::within;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use connection::{Buffers, Connection, Greeted};
use core::net::{IpAddr, SocketAddr};
use envelope::QueueId;
use events::Event;
use heapless::Vec;
use limits::relay::{
    ADDRESSES_COUNT_MAX, CONNECT_TIMEOUT_S, CONNECTION_LINGER_MS, MESSAGES_PER_CONNECTION_MAX,
};
use platform::{ConnectError, Connector, ResolveError, Resolver, Stream, Timer};
use settings::{NextHop, NextHopHost};
use transaction::Verdict;

/// Delivers for ever, one message at a time, over connections that `connector` opens;
/// `limits::relay::SESSIONS_OUT_COUNT_MAX` of these run.
pub async fn worker<P: Platform, C: Connector>(appliance: &Appliance<'_, P>, connector: &mut C) -> ! {
    let mut buffers = Buffers::new();
    loop {
        let job = appliance.schedule.next_job(|| appliance.now()).await;
        // The setting may have gone since the job was given out.
        let next_hop = appliance.settings().next_hop.clone();
        let failed = match next_hop {
            Some(next_hop) => {
                connect_and_deliver(appliance, connector, &next_hop, job, &mut buffers).await.err()
            }
            None => Some(String::from("no next hop is set")),
        };
        if let Some(reason) = failed {
            unreachable(appliance, job, &reason).await;
        }
    }
}

/// The next hop was not reached: the message goes back to the others, and nothing is written to flash, unless the
/// message is too old.
async fn unreachable<P: Platform>(appliance: &Appliance<'_, P>, Job { id, hop, .. }: Job, reason: &str) {
    count(&appliance.counters.connections_failed, 1);
    let pause = appliance.schedule.unreachable(hop, reason, appliance.now(), appliance.random_u32());
    if let Some(retry_s) = pause {
        let (to, peer, code, status) = ("".into(), None, 0, None);
        appliance.record(&Event::Deferred { id, to, peer, code, status, reply: reason.into(), retry_s });
    }
    let next = if transaction::is_expired(appliance, id) {
        Box::pin(transaction::expire(appliance, id, reason)).await
    } else {
        Next::Now(Step::Deliver)
    };
    appliance.schedule.done(id, next);
}

/// Tries the addresses of the next hop in order, and delivers over the first that serves us: the message of `job`, then
/// whatever else is due.
///
/// # Errors
/// Why the last address did not serve us; the message is still in hands.
async fn connect_and_deliver<P: Platform, C: Connector>(
    appliance: &Appliance<'_, P>,
    connector: &mut C,
    next_hop: &NextHop,
    Job { id, hop, .. }: Job,
    buffers: &mut Buffers,
) -> Result<(), String> {
    let mut reason = String::from("the next hop has no address");
    for address in addresses(appliance, next_hop).await? {
        let remote = SocketAddr::new(address, next_hop.port);
        let stream = match within(&appliance.timer, CONNECT_TIMEOUT_S, connector.connect(remote)).await {
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
        match connection.greet().await {
            Greeted::Ready => {
                if !appliance.schedule.reached(hop) {
                    connection.abort();
                    return Err("the next hop was changed".into());
                }
                count(&appliance.counters.connections, 1);
                let _counted = Reached(appliance);
                deliver_many(appliance, &mut connection, hop, id).await;
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
struct Reached<'a, 'f, P: Platform>(&'a Appliance<'f, P>);

impl<P: Platform> Drop for Reached<'_, '_, P> {
    fn drop(&mut self) {
        self.0.schedule.closed();
    }
}

async fn deliver_many<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    connection: &mut Connection<'_, '_, P, S>,
    hop: Hop,
    first: QueueId,
) {
    let mut id = first;
    let mut sent = 0u32;
    loop {
        // In a box for each message: idle workers are small.
        let delivering = Box::pin(transaction::deliver(appliance, connection, id, sent > 0));
        let Verdict { next, reusable } = delivering.await;
        appliance.schedule.done(id, next);
        sent = sent.saturating_add(1);
        if !reusable {
            return connection.abort();
        }
        if sent >= MESSAGES_PER_CONNECTION_MAX {
            break;
        }
        let linger = appliance.timer.sleep_until(appliance.now().plus_ms(CONNECTION_LINGER_MS));
        match embassy_futures::select::select(appliance.schedule.next_job_connected(hop), linger).await {
            embassy_futures::select::Either::First(Some(next)) => id = next,
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
    match appliance.resolver.addresses(name).await {
        Ok(addresses) => Ok(addresses),
        Err(ResolveError::NotFound) => Err(format!("{name} does not exist or has no address")),
        Err(ResolveError::Temporary) => {
            Err(format!("{name} cannot be looked up: no answer from the name servers"))
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
