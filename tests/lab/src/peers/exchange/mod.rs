//! Exchange, as the appliance meets it: online tenants and servers on premises.
//!
//! One [`Exchange`] takes mail by SMTP, judges it by its connectors and transport rules, and puts it into a mailbox, hands it
//! to its smart host or sends it into the Internet. Reply texts and limits are those of Microsoft's documentation and of
//! published reports: 5.7.64 "TenantAttribution; Relay Access Denied" (error reference of Exchange Online), 5.4.14 with ATTR34
//! and 5.4.6 for loops, 4.7.500 for throttling, 5.6.11 for bare line feeds where the next server has no CHUNKING. What is
//! not documented (the sender of a connector's validation mail, for example) can be set.

mod ehlo;
mod send;
mod stamps;

pub use ehlo::Version;

use super::ledger::{Ledger, Received};
use super::server::{Character, Session, serve};
use crate::letters::{Letter, domain_of};
use crate::net::{Instant, Net};
use crate::world::Directory;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Whom a transport rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Recipients outside the organisation.
    Outside,
    /// Recipients inside the organisation.
    Inside,
}

/// A transport rule: what it matches goes to the smart hosts of the outbound connector.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The condition.
    pub scope: Scope,
    /// Exception: the sending server's address.
    pub except_from: Vec<IpAddr>,
    /// Exception: a header field that contains a text.
    pub except_header: Option<(String, String)>,
}

/// How an Exchange is configured; what a real one has by default is the default.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Domains whose mailboxes are here.
    pub accepted_domains: BTreeSet<String>,
    /// Addresses in them that do not exist.
    pub unknown: BTreeSet<String>,
    /// Source addresses of the inbound connector (online) or of the externally secured Receive connector (on premises).
    pub partners: Vec<IpAddr>,
    /// Whether the connector retains internal Exchange headers.
    pub retains_headers: bool,
    /// Transport rules.
    pub rules: Vec<Rule>,
    /// Smart hosts of the outbound connector, or of the Send connector.
    pub smart_hosts: Vec<SocketAddr>,
    /// Whether the connector has the address space `SMTP:*;1`, so that all mail to the outside uses it without a rule.
    pub all_by_smart_host: bool,
    /// Whether mail is handed over by BDAT where CHUNKING is offered, as Exchange does.
    pub uses_bdat: bool,
    /// Instead of the usual answer to MAIL: throttling, for example.
    pub mail: Option<String>,
    /// Answers to RCPT, where the answer is not the usual one.
    pub rcpt: Vec<(String, String)>,
    /// Seconds until what was put off is tried again.
    pub retry_s: u64,
}

/// An Exchange organisation. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Exchange {
    inner: Rc<Inner>,
}

struct Inner {
    net: Rc<dyn Net>,
    ledger: Ledger,
    directory: Directory,
    /// The server's host name, and its name in the ledger.
    host: String,
    version: Version,
    /// Where it sends from.
    source: IpAddr,
    config: RefCell<Config>,
    counter: Cell<u64>,
    reports: RefCell<Vec<String>>,
    asked: RefCell<Vec<(Instant, String)>>,
}

/// A message on its way through the organisation.
#[derive(Clone, Debug)]
struct Item {
    sender: String,
    recipients: Vec<String>,
    content: Vec<u8>,
    /// The server that it came from; `None` for a mailbox here.
    came_from: Option<IpAddr>,
    /// What it came in as, for the mailbox.
    received: Option<Rc<Received>>,
}

impl Exchange {
    /// Starts an organisation with the server `host` at `at` (it sends from there, too) for `domain`.
    #[must_use]
    pub fn start(
        net: &Rc<dyn Net>,
        ledger: &Ledger,
        directory: &Directory,
        version: Version,
        host: &str,
        at: SocketAddr,
        domain: &str,
    ) -> Self {
        let exchange = Self {
            inner: Rc::new(Inner {
                net: net.clone(),
                ledger: ledger.clone(),
                directory: directory.clone(),
                host: host.to_string(),
                version,
                source: at.ip(),
                config: RefCell::new(Config {
                    accepted_domains: BTreeSet::from([domain.to_ascii_lowercase()]),
                    uses_bdat: true,
                    retry_s: 60,
                    ..Config::default()
                }),
                counter: Cell::new(0),
                reports: RefCell::default(),
                asked: RefCell::default(),
            }),
        };
        exchange.also_at(at);
        exchange
    }

    /// Serves a further address.
    pub fn also_at(&self, at: SocketAddr) {
        serve(&self.inner.net, &self.inner.ledger, at, Rc::new(self.clone()));
    }

    /// Its host name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.inner.host
    }

    /// Where it sends from.
    #[must_use]
    pub fn source(&self) -> IpAddr {
        self.inner.source
    }

    /// Changes the configuration.
    pub fn configure(&self, change: impl FnOnce(&mut Config)) {
        change(&mut self.inner.config.borrow_mut());
    }

    /// What it took by SMTP, in order.
    #[must_use]
    pub fn received(&self) -> Vec<Rc<Received>> {
        self.inner.ledger.at(&self.inner.host)
    }

    /// Non-delivery reports that it made, one line each: recipient and reason.
    #[must_use]
    pub fn reports(&self) -> Vec<String> {
        self.inner.reports.borrow().clone()
    }

    /// When which recipient was asked for; a transaction's beginning counts as `MAIL`.
    #[must_use]
    pub fn asked(&self) -> Vec<(Instant, String)> {
        self.inner.asked.borrow().clone()
    }

    /// Somebody with a mailbox here sends a letter.
    pub fn user_sends(&self, letter: &Letter) {
        self.process(Item {
            sender: letter.sender.clone(),
            recipients: letter.to.clone(),
            content: stamps::at_submission(self, &letter.content),
            came_from: None,
            received: None,
        });
    }

    fn is_accepted(&self, address: &str) -> bool {
        self.inner.config.borrow().accepted_domains.contains(&domain_of(address))
    }

    fn is_partner(&self, client: IpAddr) -> bool {
        self.inner.config.borrow().partners.contains(&client)
    }

    fn number(&self) -> u64 {
        self.inner.counter.set(self.inner.counter.get() + 1);
        self.inner.counter.get()
    }

    /// Sorts the recipients: mailbox, connector, Internet.
    fn process(&self, item: Item) {
        let (mut by_connector, mut outside) = (Vec::new(), Vec::new());
        for to in item.recipients.clone() {
            if self.rule_matches(&item, &to) {
                by_connector.push(to);
            } else if self.is_accepted(&to) {
                self.deposit(&item, &to);
            } else if self.inner.config.borrow().all_by_smart_host {
                by_connector.push(to);
            } else {
                outside.push(to);
            }
        }
        if !by_connector.is_empty() {
            let smart_hosts = self.inner.config.borrow().smart_hosts.clone();
            self.hand_over(Item { recipients: by_connector, ..item.clone() }, smart_hosts, true);
        }
        let domains: BTreeSet<String> = outside.iter().map(|to| domain_of(to)).collect();
        for domain in domains {
            let recipients: Vec<String> =
                outside.iter().filter(|to| domain_of(to) == domain).cloned().collect();
            let hosts = self.inner.directory.hosts(&domain);
            self.hand_over(Item { recipients, ..item.clone() }, hosts, false);
        }
    }

    fn rule_matches(&self, item: &Item, to: &str) -> bool {
        let inside = self.is_accepted(to);
        let config = self.inner.config.borrow();
        config.rules.iter().any(|rule| {
            let in_scope = inside == (rule.scope == Scope::Inside);
            let from_excepted = item.came_from.is_some_and(|from| rule.except_from.contains(&from));
            let header_excepted = rule.except_header.as_ref().is_some_and(|(name, text)| {
                stamps::values(&item.content, name).iter().any(|value| value.contains(text.as_str()))
            });
            in_scope && !from_excepted && !header_excepted
        })
    }

    fn deposit(&self, item: &Item, to: &str) {
        if self.inner.config.borrow().unknown.contains(&to.to_ascii_lowercase()) {
            self.report(
                item,
                to,
                "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            );
            return;
        }
        let message = item.received.clone().unwrap_or_else(|| {
            Rc::new(Received {
                peer: self.inner.host.clone(),
                from: SocketAddr::new(self.inner.source, 0),
                at: SocketAddr::new(self.inner.source, 0),
                hello: String::new(),
                sender: item.sender.clone(),
                sender_parameters: Vec::new(),
                recipients: vec![(to.to_string(), Vec::new())],
                content: item.content.clone(),
                chunked: false,
                connection: 0,
                when: self.inner.net.now(),
            })
        });
        self.inner.ledger.delivered(&self.inner.host, to, &message);
    }

    /// Makes a non-delivery report for one recipient and sends it to the sender, if there is one.
    fn report(&self, item: &Item, to: &str, reason: &str) {
        self.inner.reports.borrow_mut().push(format!("{to}: {reason}"));
        if item.sender.is_empty() {
            return;
        }
        let tag = format!("undeliverable-{}-{}", self.number(), self.inner.host);
        let words = format!("Auto-Submitted: auto-replied\r\nX-Failed-Recipients: {to}\r\n");
        let letter = Letter::with_fields(&tag, "", &[item.sender.as_str()], &words);
        self.process(Item {
            sender: String::new(),
            recipients: letter.to.clone(),
            content: letter.content,
            came_from: None,
            received: None,
        });
    }

    fn relay_denied(&self, to: &str) -> String {
        match self.inner.version {
            Version::Online => {
                format!("550 5.7.64 TenantAttribution; Relay Access Denied [{}]", self.inner.host)
            }
            Version::E2007 | Version::E2010 => "550 5.7.1 Unable to relay".into(),
            _ => format!("550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain <{to}>"),
        }
    }

    fn loop_refusal(&self) -> String {
        match self.inner.version {
            Version::Online => {
                format!("554 5.4.14 Hop count exceeded - possible mail loop ATTR34 [{}]", self.inner.host)
            }
            _ => "554 5.4.6 Hop count exceeded - possible mail loop".into(),
        }
    }
}

impl Character for Exchange {
    fn name(&self) -> String {
        self.inner.host.clone()
    }

    fn greeting(&self, _session: &Session) -> String {
        format!(
            "220 {} Microsoft ESMTP MAIL Service ready at Sun, 22 Nov 2026 12:00:00 +0000",
            self.inner.host
        )
    }

    fn hello(&self, session: &Session) -> String {
        format!("{} Hello [{}]", self.inner.host, session.client.ip())
    }

    fn keywords(&self, _session: &Session) -> Option<Vec<String>> {
        Some(self.inner.version.keywords().into_iter().map(String::from).collect())
    }

    fn mail(&self, session: &Session) -> String {
        self.inner.asked.borrow_mut().push((session.now, "MAIL".into()));
        self.inner.config.borrow().mail.clone().unwrap_or_else(|| "250 2.1.0 Sender OK".into())
    }

    fn rcpt(&self, session: &Session, to: &str) -> String {
        self.inner.asked.borrow_mut().push((session.now, to.to_string()));
        if session.recipients.len() >= self.inner.version.recipients_max() {
            return "452 4.5.3 Too many recipients".into();
        }
        let special = self.inner.config.borrow().rcpt.iter().find(|(mailbox, _)| mailbox == to).cloned();
        if let Some((_, reply)) = special {
            return reply;
        }
        if self.is_accepted(to) {
            return "250 2.1.5 Recipient OK".into();
        }
        let sender = session.sender.clone().unwrap_or_default();
        // Online, the source address alone says whose mail this is only together with a sender in one of the tenant's
        // domains; the null sender is nobody's. On premises an externally secured connector asks nothing.
        let attributed = self.inner.version != Version::Online || self.is_accepted(&sender);
        if self.is_partner(session.client.ip()) && attributed {
            return "250 2.1.5 Recipient OK".into();
        }
        self.relay_denied(to)
    }

    fn taken(&self, _session: &Session, message: &Received) -> String {
        if message.headers("Received").len() > self.inner.version.hops_max() {
            return self.loop_refusal();
        }
        format!(
            "250 2.6.0 <{}> [InternalId={}, Hostname={}] Queued mail for delivery",
            message.message_id(),
            self.number(),
            self.inner.host
        )
    }

    fn keep(&self, message: Rc<Received>) {
        let client = message.from.ip();
        let by_partner = self.is_partner(client);
        let trusted = by_partner && self.inner.config.borrow().retains_headers;
        self.process(Item {
            sender: message.sender.clone(),
            recipients: message.recipients.iter().map(|(to, _)| to.clone()).collect(),
            content: stamps::at_arrival(self, &message, trusted),
            came_from: Some(client),
            received: Some(message),
        });
    }
}
