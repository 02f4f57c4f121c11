//! How Exchange hands mail to others.

use super::{Exchange, Item, Version};
use crate::peers::client::{Client, Submission};
use crate::peers::server::has_bare;
use std::net::SocketAddr;

/// How often a message is tried before it is given up.
const ATTEMPTS_MAX: u32 = 20;
/// Octets of one BDAT chunk, so that a message of any size has several.
const CHUNK_BYTES: usize = 4_096;

/// What is left to do after one attempt.
enum Left {
    /// Nothing: every recipient is settled.
    Nothing,
    /// These recipients, later.
    Later(Vec<String>),
}

impl Exchange {
    /// Hands `item` to the first of `hosts` that talks, again and again until all recipients are settled.
    pub(super) fn hand_over(&self, item: Item, hosts: Vec<SocketAddr>, by_connector: bool) {
        let exchange = self.clone();
        let name = format!("{} hands over", self.inner.host);
        self.inner.net.spawn(
            name,
            Box::pin(async move {
                let mut item = item;
                for _ in 0..ATTEMPTS_MAX {
                    match exchange.attempt(&item, &hosts).await {
                        Left::Nothing => return,
                        Left::Later(recipients) => item.recipients = recipients,
                    }
                    let retry_s = exchange.inner.config.borrow().retry_s;
                    exchange.inner.net.sleep_ms(retry_s * 1_000).await;
                }
                let kind = if by_connector { "the smart host" } else { "the remote server" };
                for to in item.recipients.clone() {
                    exchange.report(
                        &item,
                        &to,
                        &format!("550 5.4.300 Message expired, {kind} does not take it"),
                    );
                }
            }),
        );
    }

    async fn attempt(&self, item: &Item, hosts: &[SocketAddr]) -> Left {
        let later = || Left::Later(item.recipients.clone());
        for host in hosts {
            let net = &*self.inner.net;
            let Ok(mut client) = Client::connect(net, self.inner.source, *host).await else { continue };
            let Some(greeting) = client.reply().await.filter(|reply| reply.is_positive()) else { continue };
            drop(greeting);
            let Some(hello) = client.try_command(&format!("EHLO {}", self.inner.host)).await else {
                continue;
            };
            let chunking = hello.offers("CHUNKING") && self.inner.config.borrow().uses_bdat;
            if has_bare(&item.content) && !chunking {
                // Exchange Online repairs nothing: without BDAT a bare line feed cannot travel.
                for to in &item.recipients {
                    self.report(
                        item,
                        to,
                        "550 5.6.11 SMTPSEND.BareLinefeedsAreIllegal; message contains bare linefeeds, which cannot be sent via DATA and receiving system does not support BDAT",
                    );
                }
                client.quit().await;
                return Left::Nothing;
            }
            let utf8 = !item.recipients.iter().all(|to| to.is_ascii()) && hello.offers("SMTPUTF8");
            let mut parameters = Vec::new();
            if hello.offers("SIZE") {
                parameters.push(format!("SIZE={}", item.content.len()));
            }
            if !item.content.is_ascii() && hello.offers("8BITMIME") {
                parameters.push("BODY=8BITMIME".to_string());
            } else if has_bare(&item.content) && hello.offers("BINARYMIME") {
                parameters.push("BODY=BINARYMIME".to_string());
            }
            if utf8 && matches!(self.inner.version, Version::Online | Version::E2016 | Version::E2019) {
                parameters.push("SMTPUTF8".to_string());
            }
            let to: Vec<&str> = item.recipients.iter().map(String::as_str).collect();
            let outcome = client
                .submit(&Submission {
                    sender: &item.sender,
                    sender_parameters: &parameters.join(" "),
                    to: &to,
                    content: &item.content,
                    chunk_bytes: chunking.then_some(CHUNK_BYTES),
                })
                .await;
            let Some(outcome) = outcome else { return later() };
            client.quit().await;
            return self.settle(item, &outcome);
        }
        later()
    }

    fn settle(&self, item: &Item, outcome: &crate::peers::client::Outcome) -> Left {
        let mut later = Vec::new();
        for to in &item.recipients {
            let refusal = outcome.refused.iter().find(|(refused, _)| refused == to).map(|(_, reply)| reply);
            let reply = refusal.unwrap_or(&outcome.reply);
            match reply.code {
                500.. => self.report(item, to, &format!("{} {}", reply.code, reply.text())),
                400.. => later.push(to.clone()),
                _ => {}
            }
        }
        if later.is_empty() { Left::Nothing } else { Left::Later(later) }
    }
}
