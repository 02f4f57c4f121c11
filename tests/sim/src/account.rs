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
    /// Failure reports beyond the first.
    pub reported_twice: Vec<String>,
    /// Recipients with two of: copy, failure report, place in the queue.
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
    /// Everything ended exactly once, or waits.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn expect_exactly_once(&self) -> &Self {
        assert!(self.doubles.is_empty(), "arrived twice: {:?}", self.doubles);
        self.expect_doubles_at_most(0)
    }

    /// Everything ended once, but for so many copies that the story explains.
    ///
    /// # Panics
    /// When it did not.
    #[track_caller]
    pub fn expect_doubles_at_most(&self, doubles: usize) -> &Self {
        assert!(self.lost.is_empty(), "lost: {:?}", self.lost);
        assert!(self.reported_twice.is_empty(), "reported twice: {:?}", self.reported_twice);
        assert!(self.contradictions.is_empty(), "more than one end: {:?}", self.contradictions);
        assert!(self.strange.is_empty(), "came from nowhere: {:?}", self.strange);
        assert!(self.doubles.len() <= doubles, "{doubles} doubles are explained, not {:?}", self.doubles);
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
                    counts.entry((tag.clone(), to.clone())).or_default().copies += 1;
                }
            });
        }
        for message in kept.iter().filter(|message| !message.is_report) {
            for (to, state) in &message.recipients {
                let ended = matches!(state, RecipientState::Delivered);
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
                let ends = [count.copies > 0, count.failed > 0, count.kept];
                let ends = ends.iter().filter(|end| **end).count();
                if *word == Word::Accepted {
                    settled.lost.extend((ends == 0).then(name));
                    settled.delivered += usize::from(count.copies > 0);
                    settled.failed += usize::from(count.failed > 0);
                    settled.kept += usize::from(count.kept);
                }
                settled.doubles.extend((1..count.copies).map(|_| name()));
                settled.reported_twice.extend((1..count.failed).map(|_| name()));
                settled.contradictions.extend((ends > 1).then(name));
            }
        }
        let known = |(tag, to): &&(String, String)| sent.get(tag).is_some_and(|sent| sent.to.contains(to));
        settled.strange =
            counts.keys().filter(|key| !known(key)).map(|(tag, to)| format!("{tag} to <{to}>")).collect();
        settled
    }
}
