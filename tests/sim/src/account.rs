//! The oracle: every message that was accepted ends exactly once.
//!
//! Messages are known by their tag, the Subject. For each recipient of each accepted message the world counts copies
//! that arrived, reports that say it failed, and whether it still waits in the queue. One of the three must be so, and
//! only one, and only once; what a story explains (a power cut between the peer's answer and our record) it subtracts.

use crate::peers::{Client, Reply, Sink};
use crate::queue::Kept;
use crate::report::Report;
use spool::RecipientState;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What the appliance answered for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// The content was sent, no answer came: it may or may not be in the queue.
    InDoubt,
    /// It was answered with 250.
    Accepted,
}

#[derive(Clone, Debug)]
struct Sent {
    sender: String,
    to: Vec<String>,
    word: Word,
}

/// What was sent. Cloning gives another handle to the same one.
#[derive(Clone, Default)]
pub struct Account {
    sent: Rc<RefCell<BTreeMap<String, Sent>>>,
}

/// How often something happened to one recipient of one message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Copies that arrived.
    pub copies: usize,
    /// Copies that nothing explains: an earlier one was confirmed.
    pub unexplained: usize,
    /// Whether a copy was confirmed: the appliance has read the peer's answer and written it down.
    pub confirmed: bool,
    /// Reports that it failed.
    pub failed: usize,
    /// Reports that it is delayed.
    pub delayed: usize,
    /// Reports that it was delivered or relayed.
    pub relayed: usize,
    /// Whether it is in the queue and has not ended there.
    pub kept: bool,
}

/// Every recipient of every message, by tag and address.
pub type Counts = BTreeMap<(String, String), Count>;

/// What [`Account::settle`] found.
#[derive(Clone, Debug, Default)]
pub struct Settled {
    /// Recipients that neither got a copy nor are in the queue, and of whom nobody was told.
    pub lost: Vec<String>,
    /// Copies beyond the first.
    pub doubles: Vec<String>,
    /// Copies after one that was confirmed.
    pub unexplained: Vec<String>,
    /// Failure reports beyond the first.
    pub reported_twice: Vec<String>,
    /// Recipients with two of: confirmed copy, failure report, place in the queue.
    pub contradictions: Vec<String>,
    /// Copies of what was never sent, or was refused.
    pub strange: Vec<String>,
    /// Recipients of accepted messages that got a copy.
    pub delivered: usize,
    /// Recipients of accepted messages that were reported as failed.
    pub failed: usize,
    /// Recipients of accepted messages that are in the queue.
    pub kept: usize,
}

impl Settled {
    /// Everything ended exactly once, or waits. For stories without power cuts and broken connections.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn expect_exactly_once(&self) -> &Self {
        assert!(self.doubles.is_empty(), "arrived twice: {:?}", self.doubles);
        self.expect_explained()
    }

    /// Everything ended once, but for second copies of what a power cut or a broken connection left in doubt between the
    /// peer's answer and the appliance's record.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn expect_explained(&self) -> &Self {
        assert!(self.lost.is_empty(), "lost: {:?}", self.lost);
        assert!(self.unexplained.is_empty(), "arrived again though recorded: {:?}", self.unexplained);
        assert!(self.reported_twice.is_empty(), "reported twice: {:?}", self.reported_twice);
        assert!(self.contradictions.is_empty(), "more than one end: {:?}", self.contradictions);
        assert!(self.strange.is_empty(), "came from nowhere: {:?}", self.strange);
        self
    }
}

impl Account {
    /// Sends a message whose Subject is `tag`, and writes down what becomes of it.
    pub async fn send(
        &self,
        client: &mut Client,
        sender: &str,
        to: &[&str],
        tag: &str,
        content: &[u8],
    ) -> Option<Reply> {
        self.note(tag, sender, to, Word::InDoubt);
        let reply = client.send(sender, to, content).await;
        match &reply {
            Some(reply) if reply.code == 250 => self.note(tag, sender, to, Word::Accepted),
            // A refusal before or after the content: it is not in the queue.
            Some(_) => _ = self.sent.borrow_mut().remove(tag),
            None => {}
        }
        reply
    }

    /// Writes down a message that is in the queue already.
    pub fn accepted(&self, tag: &str, sender: &str, to: &[&str]) {
        self.note(tag, sender, to, Word::Accepted);
    }

    /// The operator took a message away: it has ended.
    pub fn removed(&self, tag: &str) {
        self.sent.borrow_mut().remove(tag);
    }

    fn note(&self, tag: &str, sender: &str, to: &[&str], word: Word) {
        let to = to.iter().map(ToString::to_string).collect();
        self.sent.borrow_mut().insert(tag.to_string(), Sent { sender: sender.to_string(), to, word });
    }

    /// Messages that were answered with 250.
    #[must_use]
    pub fn accepted_count(&self) -> usize {
        self.sent.borrow().values().filter(|sent| sent.word == Word::Accepted).count()
    }

    /// Counts what arrived at `sinks` and what is in the queue.
    #[must_use]
    pub fn count<'a>(&self, sinks: impl IntoIterator<Item = &'a Sink>, kept: &[Kept]) -> Counts {
        let mut counts = Counts::new();
        let mut reports = BTreeSet::new();
        let mut copies = BTreeMap::new();
        for sink in sinks {
            sink.for_each(|received| {
                if let Some(report) = Report::read(received) {
                    let id = received.header("Message-ID").expect("a report has its name");
                    // A second copy of one report is a double on the way, not a second report.
                    if !reports.insert((id, received.to.clone())) {
                        return;
                    }
                    for about in &report.about {
                        let count = counts.entry((report.tag.clone(), about.recipient.clone())).or_default();
                        match about.action.as_str() {
                            "failed" => count.failed += 1,
                            "delayed" => count.delayed += 1,
                            _ => count.relayed += 1,
                        }
                    }
                    return;
                }
                let tag = received.header("Subject").unwrap_or_default();
                for to in &received.to {
                    let key = (tag.clone(), to.clone());
                    copies.entry(key).or_insert_with(Vec::new).push((received.at, received.confirmed));
                }
            });
        }
        for (key, mut copies) in copies {
            copies.sort_unstable();
            let count = counts.entry(key).or_default();
            count.copies = copies.len();
            count.confirmed = copies.iter().any(|(_, confirmed)| *confirmed);
            let first = copies.iter().position(|(_, confirmed)| *confirmed);
            count.unexplained = first.map_or(0, |first| copies.len() - first - 1);
        }
        for message in kept.iter().filter(|message| !message.is_report) {
            for (to, state) in &message.recipients {
                let ended = matches!(
                    state,
                    RecipientState::Delivered | RecipientState::Relayed(_) | RecipientState::Closed(_)
                );
                counts.entry((message.tag.clone(), to.clone())).or_default().kept |= !ended;
            }
        }
        counts
    }

    /// Compares what was accepted with what became of it.
    #[must_use]
    pub fn settle<'a>(&self, sinks: impl IntoIterator<Item = &'a Sink>, kept: &[Kept]) -> Settled {
        let counts = self.count(sinks, kept);
        let sent = self.sent.borrow();
        let mut settled = Settled::default();
        for (tag, Sent { to, word, sender }) in sent.iter() {
            for to in to {
                let count = counts.get(&(tag.clone(), to.clone())).copied().unwrap_or_default();
                let name = || format!("{tag} from <{sender}> to <{to}>: {count:?}");
                let ends =
                    [count.copies > 0, count.failed > 0, count.kept].iter().filter(|end| **end).count();
                let sure = [count.confirmed, count.failed > 0, count.kept].iter().filter(|end| **end).count();
                if *word == Word::Accepted {
                    settled.lost.extend((ends == 0).then(name));
                    settled.delivered += usize::from(count.copies > 0);
                    settled.failed += usize::from(count.failed > 0);
                    settled.kept += usize::from(count.kept);
                }
                settled.doubles.extend((1..count.copies).map(|_| name()));
                settled.reported_twice.extend((1..count.failed).map(|_| name()));
                settled.unexplained.extend((0..count.unexplained).map(|_| name()));
                settled.contradictions.extend((sure > 1).then(name));
            }
        }
        let known = |(tag, to): &&(String, String)| sent.get(tag).is_some_and(|sent| sent.to.contains(to));
        settled.strange =
            counts.keys().filter(|key| !known(key)).map(|(tag, to)| format!("{tag} to <{to}>")).collect();
        settled
    }
}
