//! Programs and machines that send mail without being mail servers.

use super::client::{Client, Outcome, Reply, Submission};
use crate::letters::Letter;
use crate::net::Net;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// A program at an address that sends through the appliance.
#[derive(Clone)]
pub struct Application {
    net: Rc<dyn Net>,
    /// Where it sends from.
    pub address: IpAddr,
    /// What it calls itself.
    pub name: String,
    /// Where it sends to.
    pub relay: SocketAddr,
}

impl Application {
    /// A program on the host `address` that sends to `relay`.
    #[must_use]
    pub fn at(net: &Rc<dyn Net>, address: IpAddr, name: &str, relay: SocketAddr) -> Self {
        Self { net: net.clone(), address, name: name.to_string(), relay }
    }

    /// Sends one letter over a connection of its own, as a good program does.
    ///
    /// # Panics
    /// When no connection comes about or it ends early.
    pub async fn send(&self, letter: &Letter) -> Outcome {
        self.try_send(letter).await.expect("the connection holds")
    }

    /// As [`Application::send`]; `None` when there is no connection, no greeting, or it ends early.
    pub async fn try_send(&self, letter: &Letter) -> Option<Outcome> {
        let mut client = Client::connect(&*self.net, self.address, self.relay).await.ok()?;
        let greeting = client.reply().await?;
        if !greeting.is_positive() {
            return Some(Outcome { refused: Vec::new(), reply: greeting });
        }
        let hello = client.try_command(&format!("EHLO {}", self.name)).await?;
        let eight_bit = !letter.content.is_ascii() && hello.offers("8BITMIME");
        let outcome = client
            .submit(&Submission {
                sender: &letter.sender,
                sender_parameters: if eight_bit { "BODY=8BITMIME" } else { "" },
                to: &letter.recipients(),
                content: &letter.content,
                chunk_bytes: None,
            })
            .await?;
        client.quit().await;
        Some(outcome)
    }

    /// Asks whether mail from `sender` to `to` would be taken, and leaves.
    ///
    /// # Panics
    /// When no connection comes about or it ends early.
    pub async fn ask(&self, sender: &str, to: &str) -> Reply {
        let (mut client, _) = Client::greet(&*self.net, self.address, self.relay, &self.name).await;
        let mut reply = client.command(&format!("MAIL FROM:<{sender}>")).await;
        if reply.is_positive() {
            reply = client.command(&format!("RCPT TO:<{to}>")).await;
        }
        client.quit().await;
        reply
    }

    /// Sends as an old multi-function printer does: HELO with a name without dots, lines that end in a bare LF, neither Date nor
    /// Message-ID, and no QUIT at the end.
    ///
    /// # Panics
    /// When no connection comes about or it ends early.
    pub async fn send_as_printer(&self, sender: &str, to: &str, subject: &str) -> Reply {
        let mut client =
            Client::connect(&*self.net, self.address, self.relay).await.expect("the appliance listens");
        client.reply().await.expect("a greeting").expect(220, "");
        for command in
            ["HELO printer".to_string(), format!("MAIL FROM: <{sender}>"), format!("RCPT TO: <{to}>")]
        {
            let reply = client.command(&command).await;
            if !reply.is_positive() {
                return reply;
            }
        }
        client.command("DATA").await.expect(354, "");
        let scan =
            format!("From: {sender}\nTo: {to}\nSubject: {subject}\n\nScanned document\nattached.\n\r\n.\r\n");
        client.raw(scan.as_bytes()).await.expect("the connection holds");
        let reply = client.reply().await.expect("an answer");
        client.abort();
        reply
    }
}
