//! Runs the malformed sessions of the `malformed` crate over TCP.

use crate::smtp_client::SmtpClient;
use anyhow::{Context as _, Result, bail, ensure};
use malformed::{Ending, Session, Step};
use std::{net::SocketAddr, time::Duration};

/// Runs one malformed session and checks every reply and how it ends. Returns the connection if the client is to
/// vanish: keep it open for as long as that shall last.
///
/// # Errors
/// What was not as it must be, with the name of the session.
pub fn run(session: &Session, server: SocketAddr, patience: Duration) -> Result<Option<SmtpClient>> {
    face(session, server, patience).with_context(|| format!("malformed session {}", session.name))
}

fn face(session: &Session, server: SocketAddr, patience: Duration) -> Result<Option<SmtpClient>> {
    let mut client = SmtpClient::connect(server, patience)?;
    client.expect("220").context("greeting")?;
    let mut accepted = 0;
    for (number, step) in session.steps.iter().enumerate() {
        let (count, allowed) = match step {
            Step::Send(octets) => {
                client.send(octets.clone());
                continue;
            }
            Step::Expect(allowed) => (1, allowed),
            Step::ExpectMany(count, allowed) => (*count, allowed),
        };
        for which in 0..count {
            let reply = client.reply().with_context(|| format!("step {number}, reply {which}"))?;
            let line = reply.last_line();
            ensure!(
                allowed.iter().any(|start| line.starts_with(start)),
                "step {number}, reply {which}: got {reply}, expected one of {allowed:?}"
            );
            accepted += usize::from(line.starts_with("250 2.0.0 Queued"));
        }
    }
    ensure!(accepted == session.accepted, "{accepted} messages accepted, expected {}", session.accepted);
    match session.ending {
        Ending::Usable => client.quit()?,
        Ending::Closed => client.expect_end()?,
        Ending::ClientCloses => {
            client.half_close();
            // Whatever it still says, it must end.
            for _ in 0..10 {
                if client.next_reply()?.is_none() {
                    return Ok(None);
                }
            }
            bail!("the server goes on after the client has closed");
        }
        Ending::ClientVanishes => return Ok(Some(client)),
    }
    Ok(None)
}
