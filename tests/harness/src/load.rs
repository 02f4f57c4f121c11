//! Mail in quantity: from several clients at once, until there is no more room.

use crate::{message::Message, smtp_client::SmtpClient};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    net::SocketAddr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long between two clients that connect: the emulator's network drops what comes all at once.
pub const STAGGER: Duration = Duration::from_millis(20);

/// A message that got 250.
#[derive(Clone, Debug)]
pub struct Taken {
    /// As it was sent.
    pub message: Message,
    /// The queue ID of the reply.
    pub id: String,
}

/// How often a client that was told to come later, for another reason than a full queue, does so.
const LATER_COUNT_MAX: usize = 100;

/// Messages that one client hands in over one connection.
const MESSAGES_PER_SESSION: usize = 500;

/// Hands in messages from `clients` clients, each over one connection at a time, until `most` have been taken or the queue is full
/// (`452`). `make` makes a message from its number. Gives what was taken, and whether the queue is full.
///
/// # Errors
/// An answer that is neither 250 nor 4yz, or a connection that breaks.
pub fn hand_in(
    address: SocketAddr,
    clients: usize,
    most: usize,
    patience: Duration,
    make: impl Fn(usize) -> Message + Sync,
) -> Result<(Vec<Taken>, bool)> {
    let (next, full) = (AtomicUsize::new(0), AtomicBool::new(false));
    let taken = Mutex::new(Vec::new());
    let one = || -> Result<()> {
        let mut client = SmtpClient::connect_when_ready(address, patience, patience)?;
        client.hello()?;
        let (mut later, mut in_session) = (0, 0);
        while !full.load(Ordering::SeqCst) {
            if in_session == MESSAGES_PER_SESSION {
                // The appliance says with LIMITS (RFC 9422) how many it takes, and ends the session beyond.
                client.quit()?;
                client = SmtpClient::connect_when_ready(address, patience, patience)?;
                client.hello()?;
                in_session = 0;
            }
            in_session += 1;
            let number = next.fetch_add(1, Ordering::SeqCst);
            if number >= most {
                break;
            }
            let message = make(number);
            let reply = loop {
                let reply = client.hand_in(&message)?;
                later += 1;
                if reply.code / 100 != 4 || reply.code == 452 || later > LATER_COUNT_MAX {
                    break reply;
                }
                std::thread::sleep(STAGGER);
            };
            match reply.code {
                250 => {
                    let id = reply.queue_id().context("250 without a queue ID")?;
                    taken.lock().unwrap_or_else(PoisonError::into_inner).push(Taken { message, id });
                }
                452 => full.store(true, Ordering::SeqCst),
                _ => bail!("message {number} of {} octets got {reply}", message.content.len()),
            }
        }
        client.quit()
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|_| {
                let thread = scope.spawn(one);
                std::thread::sleep(STAGGER);
                thread
            })
            .collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    for result in results {
        let Ok(result) = result else { bail!("a client panicked") };
        result?;
    }
    let taken = taken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let full = full.into_inner();
    ensure!(full || taken.len() == most, "{} of {most} messages were taken", taken.len());
    Ok((taken, full))
}
