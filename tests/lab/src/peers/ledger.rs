//! Everything that any peer ever got, and what is to be said about it afterwards.

use crate::net::Instant;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;

/// A message that a peer took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Who took it.
    pub peer: String,
    /// The end of the connection that it came from.
    pub from: SocketAddr,
    /// The end of the connection that took it.
    pub at: SocketAddr,
    /// What the sender called itself, with the verb.
    pub hello: String,
    /// The argument of `MAIL FROM`, without brackets.
    pub sender: String,
    /// What followed it.
    pub sender_parameters: Vec<String>,
    /// The arguments of the `RCPT TO` that were accepted, with what followed them.
    pub recipients: Vec<(String, Vec<String>)>,
    /// The content, dots removed.
    pub content: Vec<u8>,
    /// Whether it came by BDAT.
    pub chunked: bool,
    /// Which connection of the whole world it came over, counted from 1.
    pub connection: u64,
    /// When it was taken.
    pub when: Instant,
}

impl Received {
    /// The recipients' addresses.
    #[must_use]
    pub fn to(&self) -> Vec<&str> {
        self.recipients.iter().map(|(to, _)| to.as_str()).collect()
    }

    /// The value of the first header field `name`, unfolded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers(name).into_iter().next()
    }

    /// The values of all header fields `name`, unfolded, from the top.
    #[must_use]
    pub fn headers(&self, name: &str) -> Vec<String> {
        fields(&self.content)
            .into_iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, raw)| {
                let text = String::from_utf8_lossy(raw);
                let value = text.split_once(':').map_or("", |(_, value)| value);
                value.replace("\r\n", "").trim().to_string()
            })
            .collect()
    }

    /// The header fields as they stand, each with its line ends, whose name begins with one of `prefixes`.
    #[must_use]
    pub fn raw_fields(&self, prefixes: &[&str]) -> Vec<String> {
        let begins = |name: &str, prefix: &str| {
            name.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
        };
        fields(&self.content)
            .into_iter()
            .filter(|(name, _)| prefixes.iter().any(|prefix| begins(name, prefix)))
            .map(|(_, raw)| String::from_utf8_lossy(raw).into_owned())
            .collect()
    }

    /// The octets after the first empty line.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        let end = self.content.windows(4).position(|w| w == b"\r\n\r\n");
        end.map_or(&[], |end| &self.content[end + 4..])
    }

    /// The Message-ID without brackets; empty when there is none.
    #[must_use]
    pub fn message_id(&self) -> String {
        self.header("Message-ID").unwrap_or_default().trim_matches(['<', '>']).to_string()
    }

    /// What makes two messages of one Message-ID different: a fingerprint of the body.
    #[must_use]
    pub fn body_print(&self) -> u64 {
        fingerprint(self.body())
    }
}

/// The header fields of a message: name, and the field as it stands with its folded lines and line ends.
#[must_use]
pub fn fields(content: &[u8]) -> Vec<(String, &[u8])> {
    let mut found: Vec<(String, &[u8])> = Vec::new();
    let mut start = 0;
    while start < content.len() {
        let mut end = start;
        loop {
            end = content[end..].iter().position(|o| *o == b'\n').map_or(content.len(), |p| end + p + 1);
            if !matches!(content.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let field = &content[start..end];
        let Some(colon) = field.iter().position(|o| *o == b':') else { break };
        found.push((String::from_utf8_lossy(&field[..colon]).trim().to_string(), field));
        start = end;
    }
    found
}

/// FNV-1a, 64 bits: enough to tell the few bodies of a scenario apart.
#[must_use]
pub fn fingerprint(octets: &[u8]) -> u64 {
    octets.iter().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A message in somebody's mailbox: the end of its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The mailbox, in lower case.
    pub mailbox: String,
    /// Whose mailbox server it was.
    pub peer: String,
    /// What is in it.
    pub message: Rc<Received>,
}

#[derive(Default)]
struct Pages {
    received: Vec<Rc<Received>>,
    delivered: Vec<Delivered>,
    violations: Vec<String>,
    forgiven: BTreeSet<String>,
    connections: u64,
}

/// The record of a world's mail. Cloning gives another handle to the same one.
#[derive(Clone, Default)]
pub struct Ledger {
    pages: Rc<RefCell<Pages>>,
}

impl Ledger {
    /// The number of a new connection.
    #[must_use]
    pub fn connection(&self) -> u64 {
        let mut pages = self.pages.borrow_mut();
        pages.connections += 1;
        pages.connections
    }

    /// Writes down what a peer took.
    pub fn received(&self, message: Received) -> Rc<Received> {
        let message = Rc::new(message);
        self.pages.borrow_mut().received.push(message.clone());
        message
    }

    /// Writes down what reached a mailbox.
    pub fn delivered(&self, peer: &str, mailbox: &str, message: &Rc<Received>) {
        let (peer, mailbox) = (peer.to_string(), mailbox.to_ascii_lowercase());
        self.pages.borrow_mut().delivered.push(Delivered { mailbox, peer, message: message.clone() });
    }

    /// Writes down what the appliance did that a mail server may not do.
    pub fn violation(&self, peer: &str, what: &str) {
        self.pages.borrow_mut().violations.push(format!("{peer}: {what}"));
    }

    /// Every message that `peer` took, in order.
    #[must_use]
    pub fn at(&self, peer: &str) -> Vec<Rc<Received>> {
        self.pages.borrow().received.iter().filter(|message| message.peer == peer).cloned().collect()
    }

    /// What is in `mailbox`.
    #[must_use]
    pub fn mailbox(&self, mailbox: &str) -> Vec<Delivered> {
        let mailbox = mailbox.to_ascii_lowercase();
        self.pages.borrow().delivered.iter().filter(|mail| mail.mailbox == mailbox).cloned().collect()
    }

    /// Messages in all mailboxes.
    #[must_use]
    pub fn delivered_count(&self) -> usize {
        self.pages.borrow().delivered.len()
    }

    /// Everything in every mailbox.
    #[must_use]
    pub fn all_delivered(&self) -> Vec<Delivered> {
        self.pages.borrow().delivered.clone()
    }

    /// What was done against the standards so far.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.pages.borrow().violations.clone()
    }

    /// Second copies of the message may reach a mailbox: the scenario explains why, in a comment beside its call.
    pub fn forgive_copies_of(&self, message_id: &str) {
        self.pages.borrow_mut().forgiven.insert(message_id.to_string());
    }

    /// Mailboxes that got a message more than once, in words.
    #[must_use]
    pub fn doubles(&self) -> Vec<String> {
        let pages = self.pages.borrow();
        let mut copies: BTreeMap<(String, String), usize> = BTreeMap::new();
        for mail in &pages.delivered {
            let id = mail.message.message_id();
            // Without a name of its own a message is told apart by what it says.
            let key = if id.is_empty() { format!("body {:016x}", mail.message.body_print()) } else { id };
            if !pages.forgiven.contains(&key) {
                *copies.entry((mail.mailbox.clone(), key)).or_default() += 1;
            }
        }
        let doubles = copies.into_iter().filter(|(_, count)| *count > 1);
        doubles.map(|((mailbox, id), count)| format!("{mailbox} got <{id}> {count} times")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cut_at_their_folded_ends() {
        let content = b"A: 1\r\n 2\r\nBb:\t3\r\n\r\nC: no\r\n";
        let found = fields(content);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], ("A".to_string(), &b"A: 1\r\n 2\r\n"[..]));
        assert_eq!(found[1].0, "Bb");
    }
}
