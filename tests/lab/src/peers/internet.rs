//! A mail server somewhere on the Internet, strict or lenient, new or from another century.

use super::ledger::{Ledger, Received};
use super::server::{Character, Session, serve};
use crate::letters::domain_of;
use crate::net::{Instant, Net};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;

/// How an [`InternetMx`] behaves. Every reply is a whole one; absent ones are the usual.
#[derive(Clone, Debug)]
pub struct Manner {
    /// Keywords after EHLO; `None` when it knows HELO only.
    pub keywords: Option<Vec<String>>,
    /// Instead of the usual greeting.
    pub greeting: Option<String>,
    /// Answers to MAIL.
    pub mail: Option<String>,
    /// Answers to RCPT by mailbox.
    pub recipients: BTreeMap<String, String>,
    /// Domains that it takes mail for; all, when empty.
    pub domains: BTreeSet<String>,
    /// Answers to DATA.
    pub data: Option<String>,
    /// Answers after the content.
    pub content: Option<String>,
    /// Seconds for which a new triple of client, sender and recipient gets 450; 0 is no greylisting.
    pub greylist_s: u64,
    /// Recipients of one transaction above which each gets 452; 0 is no limit.
    pub recipients_max: usize,
    /// Transactions after which the connection gets 421; 0 is no limit.
    pub messages_max: u64,
    /// Whether it refuses what the standards do not allow but many servers let pass: a name without a dot after EHLO, no or
    /// more than one Date, From or Message-ID.
    pub strict: bool,
    /// Milliseconds before each answer.
    pub delay_ms: u64,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            keywords: Some(words(&[
                "PIPELINING",
                "SIZE 52428800",
                "8BITMIME",
                "SMTPUTF8",
                "DSN",
                "ENHANCEDSTATUSCODES",
                "CHUNKING",
            ])),
            greeting: None,
            mail: None,
            recipients: BTreeMap::new(),
            domains: BTreeSet::new(),
            data: None,
            content: None,
            greylist_s: 0,
            recipients_max: 0,
            messages_max: 0,
            strict: false,
            delay_ms: 0,
        }
    }
}

impl Manner {
    /// One that refuses whatever it may.
    #[must_use]
    pub fn strict() -> Self {
        Self { strict: true, ..Self::default() }
    }

    /// One that knows HELO only.
    #[must_use]
    pub fn without_extensions() -> Self {
        Self { keywords: None, ..Self::default() }
    }

    /// One without the extension `keyword`.
    #[must_use]
    pub fn without(keyword: &str) -> Self {
        let mut manner = Self::default();
        if let Some(keywords) = &mut manner.keywords {
            keywords.retain(|each| each.split(' ').next() != Some(keyword));
        }
        manner
    }

    /// One that lets new correspondents wait.
    #[must_use]
    pub fn greylisting(seconds: u64) -> Self {
        Self { greylist_s: seconds, ..Self::default() }
    }
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

/// A mail server on the Internet. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct InternetMx {
    inner: Rc<Inner>,
}

struct Inner {
    host: String,
    ledger: Ledger,
    manner: RefCell<Manner>,
    seen: RefCell<BTreeMap<(String, String, String), Instant>>,
    open: Cell<u64>,
    open_most: Cell<u64>,
    connections: Cell<u64>,
    commands: RefCell<Vec<(Instant, String)>>,
}

impl InternetMx {
    /// Starts the server `host` at `at`.
    #[must_use]
    pub fn start(net: &Rc<dyn Net>, ledger: &Ledger, host: &str, at: SocketAddr, manner: Manner) -> Self {
        let mx = Self {
            inner: Rc::new(Inner {
                host: host.to_string(),
                ledger: ledger.clone(),
                manner: RefCell::new(manner),
                seen: RefCell::default(),
                open: Cell::new(0),
                open_most: Cell::new(0),
                connections: Cell::new(0),
                commands: RefCell::default(),
            }),
        };
        mx.also_at(net, at);
        mx
    }

    /// Serves a further address.
    pub fn also_at(&self, net: &Rc<dyn Net>, at: SocketAddr) {
        serve(net, &self.inner.ledger, at, Rc::new(self.clone()));
    }

    /// Changes how it behaves from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.inner.manner.borrow_mut());
    }

    /// What it took, in order.
    #[must_use]
    pub fn received(&self) -> Vec<Rc<Received>> {
        self.inner.ledger.at(&self.inner.host)
    }

    /// Connections seen.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.inner.connections.get()
    }

    /// The most connections that were open at once.
    #[must_use]
    pub fn connections_at_once(&self) -> u64 {
        self.inner.open_most.get()
    }

    /// When which recipient was asked for.
    #[must_use]
    pub fn asked(&self) -> Vec<(Instant, String)> {
        self.inner.commands.borrow().clone()
    }

    fn answer(&self, choose: impl Fn(&Manner) -> Option<String>, usual: &str) -> String {
        choose(&self.inner.manner.borrow()).unwrap_or_else(|| usual.to_string())
    }

    fn greylisted(&self, session: &Session, to: &str) -> bool {
        let seconds = self.inner.manner.borrow().greylist_s;
        if seconds == 0 {
            return false;
        }
        let triple =
            (session.client.ip().to_string(), session.sender.clone().unwrap_or_default(), to.to_string());
        let first = *self.inner.seen.borrow_mut().entry(triple).or_insert(session.now);
        session.now < first.plus_s(seconds)
    }
}

impl Character for InternetMx {
    fn name(&self) -> String {
        self.inner.host.clone()
    }

    fn greeting(&self, _session: &Session) -> String {
        let open = self.inner.open.get() + 1;
        self.inner.open.set(open);
        self.inner.open_most.set(self.inner.open_most.get().max(open));
        self.inner.connections.set(self.inner.connections.get() + 1);
        self.answer(|m| m.greeting.clone(), &format!("220 {} ESMTP ready", self.inner.host))
    }

    fn gone(&self, _session: &Session) {
        self.inner.open.set(self.inner.open.get() - 1);
    }

    fn hello(&self, _session: &Session) -> String {
        self.inner.host.clone()
    }

    fn keywords(&self, _session: &Session) -> Option<Vec<String>> {
        self.inner.manner.borrow().keywords.clone()
    }

    fn mail(&self, session: &Session) -> String {
        let manner = self.inner.manner.borrow();
        if manner.messages_max > 0 && session.messages >= manner.messages_max {
            return "421 4.7.0 enough for one connection".into();
        }
        let name = session.hello.split(' ').nth(1).unwrap_or_default();
        if manner.strict && !name.contains('.') && !name.starts_with('[') {
            return format!("550 5.5.2 {name}: not a full host name");
        }
        manner.mail.clone().unwrap_or_else(|| "250 2.1.0 Ok".into())
    }

    fn rcpt(&self, session: &Session, to: &str) -> String {
        self.inner.commands.borrow_mut().push((session.now, to.to_string()));
        let manner = self.inner.manner.borrow().clone();
        if manner.recipients_max > 0 && session.recipients.len() >= manner.recipients_max {
            return "452 4.5.3 Too many recipients".into();
        }
        if let Some(reply) = manner.recipients.get(to) {
            return reply.clone();
        }
        if !manner.domains.is_empty() && !manner.domains.contains(&domain_of(to)) {
            return format!("554 5.7.1 <{to}>: Relay access denied");
        }
        if self.greylisted(session, to) {
            return "450 4.7.1 Greylisted, come back later".into();
        }
        "250 2.1.5 Ok".into()
    }

    fn data(&self, _session: &Session) -> Option<String> {
        self.inner.manner.borrow().data.clone()
    }

    fn taken(&self, _session: &Session, message: &Received) -> String {
        let manner = self.inner.manner.borrow();
        if manner.strict {
            for field in ["Date", "From", "Message-ID"] {
                if message.headers(field).len() != 1 {
                    return format!("550 5.6.0 not exactly one {field} field");
                }
            }
        }
        manner.content.clone().unwrap_or_else(|| "250 2.0.0 Ok: queued".into())
    }

    fn keep(&self, message: Rc<Received>) {
        for (to, _) in &message.recipients {
            self.inner.ledger.delivered(&self.inner.host, to, &message);
        }
    }

    fn delay_ms(&self) -> u64 {
        self.inner.manner.borrow().delay_ms
    }
}
