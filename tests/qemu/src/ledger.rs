//! Accounts for every message over any number of power cuts: what the client heard, what the next hop got.

use crate::Golden;
use anyhow::{Context as _, Result, bail, ensure};
use harness::{
    message::Message,
    sink::{Delivery, Sink},
    verify,
};
use std::collections::BTreeMap;

/// What became of a message as far as its client knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It got 250: it must be delivered.
    Accepted {
        /// The queue ID of the reply.
        id: String,
    },
    /// It got an answer of 4yz or 5yz: it must not be delivered.
    Refused,
    /// The connection ended before the answer: it may be delivered.
    Unknown,
}

/// What the operator has done with an accepted message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Nothing.
    None,
    /// The power went before the answer to `queue remove`: either is right.
    Unknown,
    /// The console has confirmed it: it must not be delivered any more.
    Confirmed,
}

#[derive(Debug)]
struct Entry {
    message: Message,
    recipients: Vec<String>,
    fate: Fate,
    removal: Removal,
    /// SHA-256 of the content as it was first delivered, once that was verified.
    delivered: Option<[u8; 32]>,
}

/// How many messages there were of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that got 250.
    pub accepted: usize,
    /// Messages whose clients got no answer.
    pub unknown: usize,
    /// Messages that came twice for a reason: the power went between the next hop's 250 and the record of it.
    pub doubles: usize,
    /// Messages that were removed by the operator.
    pub removed: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.unknown += other.unknown;
        self.doubles += other.doubles;
        self.removed += other.removed;
    }
}

/// The account.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By Message-ID.
    entries: BTreeMap<String, Entry>,
    /// How many deliveries there had been at each power cut.
    cuts: Vec<usize>,
    /// How many deliveries have been verified.
    verified: usize,
}

impl Ledger {
    /// Notes a message, and what its client heard.
    pub fn sent(&mut self, message: Message, recipients: Vec<String>, fate: Fate) {
        let id = message.id.clone();
        self.entries.insert(id, Entry { message, recipients, fate, removal: Removal::None, delivered: None });
    }

    /// Notes what the operator did with the message of this queue ID.
    pub fn removed(&mut self, queue_id: &str, removal: Removal) {
        for entry in self.entries.values_mut() {
            if matches!(&entry.fate, Fate::Accepted { id } if id == queue_id) {
                entry.removal = removal;
            }
        }
    }

    /// Notes that the power has gone. Every connection to the sink must have ended.
    pub fn power_went(&mut self, sink: &Sink) {
        self.cuts.push(sink.count());
    }

    /// Whether everything that must be delivered has been.
    #[must_use]
    pub fn is_complete(&self, deliveries: &[Delivery]) -> bool {
        self.missing(deliveries).is_empty()
    }

    /// Message-IDs of what must be delivered and has not been.
    #[must_use]
    pub fn missing(&self, deliveries: &[Delivery]) -> Vec<&str> {
        let mut open: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, entry) in &self.entries {
            if matches!(entry.fate, Fate::Accepted { .. }) && entry.removal == Removal::None {
                open.insert(id, entry.recipients.iter().map(String::as_str).collect());
            }
        }
        for delivery in deliveries {
            let id = delivery.header("message-id").unwrap_or_default();
            if let Some(recipients) = open.get_mut(id.as_str()) {
                recipients.retain(|recipient| !delivery.recipients.iter().any(|got| got == recipient));
            }
        }
        open.into_iter().filter(|(_, recipients)| !recipients.is_empty()).map(|(id, _)| id).collect()
    }

    /// Judges all deliveries: nothing is missing, changed, unsigned, doubled without a reason, or back from removal.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn judge(&mut self, deliveries: &[Delivery]) -> Result<Tally> {
        let missing = self.missing(deliveries);
        ensure!(missing.is_empty(), "got 250 and did not come: {missing:?}");
        for delivery in deliveries.get(self.verified..).unwrap_or_default() {
            self.verify(delivery)?;
        }
        self.verified = deliveries.len();
        let mut tally = self.tally();
        tally.doubles = self.doubles(deliveries)?;
        Ok(tally)
    }

    fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for entry in self.entries.values() {
            match entry.fate {
                Fate::Accepted { .. } => tally.accepted += 1,
                Fate::Unknown => tally.unknown += 1,
                Fate::Refused => {}
            }
            tally.removed += usize::from(entry.removal == Removal::Confirmed);
        }
        tally
    }

    fn verify(&mut self, delivery: &Delivery) -> Result<()> {
        let id = delivery.header("message-id").context("a delivery without Message-ID")?;
        let entry = self.entries.get_mut(&id).with_context(|| format!("{id} came but was never sent"))?;
        ensure!(entry.fate != Fate::Refused, "{id} was refused, and came all the same");
        ensure!(entry.removal != Removal::Confirmed, "{id} was removed, and came all the same");
        ensure!(
            delivery.sender == entry.message.sender
                && delivery.recipients.iter().all(|got| entry.recipients.contains(got)),
            "{id} came from <{}> for {:?}",
            delivery.sender,
            delivery.recipients
        );
        match entry.delivered {
            // A copy must be the same to the octet: it is made from the same recipe.
            Some(first) => ensure!(first == delivery.sha256, "{id} came a second time, and otherwise"),
            None => {
                let Entry { message, .. } = entry;
                let root = &Golden::get()?.root;
                verify::judge(&message.content, &message.sender, &delivery.content, root)
                    .with_context(|| id.clone())?;
                entry.delivered = Some(delivery.sha256);
            }
        }
        Ok(())
    }

    /// Counts the messages that came twice, and wants a reason for each: a power cut between the two, and nothing after
    /// the first on its connection. (The record of a delivery is written before the next message is begun there.)
    fn doubles(&self, deliveries: &[Delivery]) -> Result<usize> {
        let mut copies: BTreeMap<(String, &str), Vec<usize>> = BTreeMap::new();
        for (number, delivery) in deliveries.iter().enumerate() {
            let id = delivery.header("message-id").unwrap_or_default();
            for recipient in &delivery.recipients {
                copies.entry((id.clone(), recipient)).or_default().push(number);
            }
        }
        let mut doubled: Vec<String> = Vec::new();
        for ((id, recipient), copies) in copies {
            for pair in copies.windows(2) {
                let [first, second] = pair else { continue };
                let cut = self.cuts.iter().find(|cut| first < cut && second >= *cut);
                let Some(cut) = cut else {
                    bail!("{id} came twice for {recipient} without a power cut in between");
                };
                let connection = deliveries.get(*first).map(|delivery| delivery.connection);
                let before = deliveries.get(..*cut).unwrap_or_default();
                let last = before.iter().rposition(|delivery| Some(delivery.connection) == connection);
                ensure!(
                    last == Some(*first),
                    "{id} came twice for {recipient}, though more came on that connection before the power went"
                );
            }
            if copies.len() > 1 {
                doubled.push(id);
            }
        }
        doubled.dedup();
        Ok(doubled.len())
    }
}
