//! Who may do what: rules by source, interface and listener.
//!
//! Whoever no rule is for may do nothing: that is the factory state. Of several rules that fit, the one with the most
//! specific source wins; among equals one for a listener, then one for an interface, then the first by name. The
//! setting `relay-networks` is a shorthand for rules of class application behind all others of the same source.
//!
//! # When rules are lost
//! A rule may forbid what a wider one allows. So while a stored page of rules cannot be read, nobody may relay
//! ([`Rule::Damaged`]): the appliance never becomes more permissive by damage. The operator looks, adds what is
//! missing, and says `peer confirm`.

use crate::domains::Domains;
use crate::fault::Fault;
use crate::listener::{Listener, Place};
use crate::parse;
use crate::table::{Row, Table, TableKind};
use crate::text::Size;
use crate::types::{HostName, IpNetwork, MailAddress};
use crate::words::Words;
use alloc::boxed::Box;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use limits::settings::{
    MESSAGE_BYTES_MAX_MAX, MESSAGE_BYTES_MAX_MIN, PEER_CONNECTIONS_MAX, PEER_NAME_BYTES_MAX, PEER_RATE_MAX,
    PEER_SENDER_DOMAINS_COUNT_MAX, PEER_SOURCES_COUNT_MAX, PEER_TARPIT_S_MAX, RELAY_PREFIX_V4_MIN,
    RELAY_PREFIX_V6_MIN, TABLE_TEXT_BYTES_MAX,
};

/// What kind of peer it is; gives the rights that a rule does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// A mail server that nobody here knows: mail for internal domains, nothing else.
    Internet,
    /// A program, printer or server of one's own that sends: mail to anywhere, small faults mended.
    Application,
    /// An Exchange server or Exchange Online: mail to anywhere, its internal header fields kept, connections reserved.
    Exchange,
    /// Secured from outside (a tunnel, a cable of its own): as Exchange, without limits of size and rate.
    Trusted,
}

/// Where mail of a peer may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelayRight {
    /// Nowhere.
    None,
    /// To internal domains.
    Internal,
    /// To anywhere.
    Any,
}

/// What takes the place of a peer's envelope senders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// This address in place of each.
    Address(MailAddress),
    /// This domain in place of the domain of each.
    Domain(HostName),
}

/// What a peer may do, and what is done for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Where its mail may go.
    pub relay: RelayRight,
    /// Whether header fields that only Exchange servers may write are kept when its mail goes to an Exchange server.
    pub keep_headers: bool,
    /// Largest message in octets; `None`: the setting `message-size-max`.
    pub message_bytes_max: Option<u32>,
    /// Messages a minute of one client; 0: as many as it sends.
    pub rate: u32,
    /// Connections of one client at a time; 0: what its class may have.
    pub connections: u8,
    /// Domains that its envelope senders must be of, canonical; empty: any. See [`Judged::relay_for`].
    pub sender_domains: Box<[Box<str>]>,
    /// Whether its envelope senders must be of own domains, or of [`Self::sender_domains`].
    pub senders_own: bool,
    /// Whether it is offered TLS, once the appliance has TLS: an old server may only speak versions that nobody does
    /// any more, and then fails instead of going on without.
    pub starttls: bool,
    /// Whether small faults are mended: bare line feeds, missing Date and Message-ID.
    pub repair: bool,
    /// Whether its envelope senders are asked for at their own servers.
    pub verify_sender: bool,
    /// Whether recipients are asked for at the server that has them, before they are accepted.
    pub verify_recipient: bool,
    /// What takes the place of its envelope senders; the null sender stays.
    pub rewrite_sender: Option<Rewrite>,
    /// Seconds that each refusal is delayed; 0: none.
    pub tarpit_s: u8,
}

impl Rights {
    /// The rights that a class has by itself.
    #[must_use]
    pub fn of(class: Class) -> Self {
        Self {
            relay: if class == Class::Internet { RelayRight::Internal } else { RelayRight::Any },
            keep_headers: class.is_exchange(),
            message_bytes_max: (class == Class::Trusted).then_some(MESSAGE_BYTES_MAX_MAX),
            rate: 0,
            connections: 0,
            sender_domains: Box::default(),
            senders_own: false,
            starttls: true,
            repair: class == Class::Application,
            verify_sender: false,
            verify_recipient: false,
            rewrite_sender: None,
            tarpit_s: 0,
        }
    }

    /// The rights of a network of the setting `relay-networks`: those were allowed to send, and never to send sloppily; a
    /// rule of its own says what else is wanted.
    #[must_use]
    pub fn of_relay_network() -> Self {
        Self { repair: false, ..Self::of(Class::Application) }
    }

    /// The rights of whom no rule is for: none.
    #[must_use]
    pub fn none() -> Self {
        Self { relay: RelayRight::None, ..Self::of(Class::Internet) }
    }

    /// Whether the peer may send from addresses of `domain`, in any letter case; `domains` are the own ones.
    #[must_use]
    pub fn allows_sender(&self, domains: &Domains, domain: &str) -> bool {
        (self.senders_own && domains.is_internal(domain)) || self.allows_sender_domain(domain)
    }

    /// As [`Self::allows_sender`], without what the own domains allow.
    #[must_use]
    pub fn allows_sender_domain(&self, domain: &str) -> bool {
        let among = |name: &str| self.sender_domains.iter().any(|known| **known == *name);
        let any = self.sender_domains.is_empty() && !self.senders_own;
        any || crate::domain::canonical(domain).is_some_and(|name| among(&name))
    }

    /// Whether its envelope senders must be of certain domains.
    #[must_use]
    pub fn restricts_senders(&self) -> bool {
        self.senders_own || !self.sender_domains.is_empty()
    }
}

impl Class {
    /// Whether peers of this class write Exchange's own header fields and have connections reserved.
    #[must_use]
    pub const fn is_exchange(self) -> bool {
        matches!(self, Self::Exchange | Self::Trusted)
    }

    /// The class as it is typed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internet => "internet",
            Self::Application => "application",
            Self::Exchange => "exchange",
            Self::Trusted => "trusted",
        }
    }

    fn parse(text: &str) -> Result<Self, Fault<'_>> {
        [Self::Internet, Self::Application, Self::Exchange, Self::Trusted]
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or(Fault::Choice { text, choices: "internet, application, exchange, trusted" })
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for RelayRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Internal => "internal",
            Self::Any => "any",
        })
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Domain(domain) => write!(f, "@{domain}"),
        }
    }
}

/// Which connections of its sources a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Everything,
    Interface(u8),
    Listener(Listener),
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    name: Rc<str>,
    sources: Box<[IpNetwork]>,
    on: On,
    class: Class,
    rights: Rc<Rights>,
}

/// Words that begin an option of a rule, in the order in which they are printed.
pub const PEER_OPTIONS: &[&str] = &[
    "on",
    "class",
    "relay",
    "headers",
    "size",
    "rate",
    "connections",
    "senders",
    "starttls",
    "repair",
    "verify-sender",
    "verify-recipient",
    "rewrite",
    "tarpit",
];

impl Peer {
    /// The name, in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The networks that it is for; at least one.
    #[must_use]
    pub fn sources(&self) -> &[IpNetwork] {
        &self.sources
    }

    /// The interface whose connections it is for, if it is only for one.
    #[must_use]
    pub const fn interface(&self) -> Option<u8> {
        match self.on {
            On::Interface(number) => Some(number),
            On::Listener(Listener { place: Place::Interface(number), .. }) => Some(number),
            _ => None,
        }
    }

    /// The listener whose connections it is for, if it is only for one.
    #[must_use]
    pub const fn listener(&self) -> Option<&Listener> {
        match &self.on {
            On::Listener(listener) => Some(listener),
            _ => None,
        }
    }

    /// The class.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The rights.
    #[must_use]
    pub fn rights(&self) -> &Rights {
        &self.rights
    }

    /// The same rule with more sources, as they are typed.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn with_sources<'a>(&self, text: &'a str) -> Result<Self, Fault<'a>> {
        let mut sources = self.sources.to_vec();
        let mut words = Words::new(text);
        words.list("192.0.2.0/24", |item| add_source(&mut sources, item))?;
        words.end()?;
        check_widths(&sources, self.class)?;
        Ok(Self { sources: sources.into_boxed_slice(), ..self.clone() })
    }

    /// The same rule without some of its sources, as they are typed.
    ///
    /// # Errors
    /// The rule does not have one of them, or would have none left.
    pub fn without_sources<'a>(&self, text: &'a str) -> Result<Self, Fault<'a>> {
        let mut sources = self.sources.to_vec();
        let mut words = Words::new(text);
        words.list("192.0.2.0/24", |item| {
            let mut named = Vec::new();
            add_source(&mut named, item)?;
            for network in named {
                let at = sources.iter().position(|there| *there == network).ok_or(Fault::NotThere(item))?;
                sources.remove(at);
            }
            Ok(())
        })?;
        words.end()?;
        if sources.is_empty() {
            return Err(Fault::NoSourceLeft);
        }
        Ok(Self { sources: sources.into_boxed_slice(), ..self.clone() })
    }

    /// How specific the rule is for a connection: bits of the source, then listener, then interface. `None`: it is not
    /// for this connection.
    fn fit(&self, client: IpAddr, local: SocketAddr, interface: u8) -> Option<(u8, u8)> {
        let narrowed = match &self.on {
            On::Everything => 0,
            On::Interface(number) if *number == interface => 1,
            On::Listener(listener) if listener.takes(local, interface) => 2,
            On::Interface(_) | On::Listener(_) => return None,
        };
        let within = self.sources.iter().filter(|network| network.contains(client));
        within.map(IpNetwork::prefix).max().map(|bits| (bits, narrowed))
    }
}

/// Adds one source, as it is typed: a network, one address, or `any`.
fn add_source<'a>(sources: &mut Vec<IpNetwork>, text: &'a str) -> Result<(), Fault<'a>> {
    let mut add = |network: IpNetwork| {
        if sources.contains(&network) {
            return Err(Fault::AlreadyThere(text));
        }
        if sources.len() >= PEER_SOURCES_COUNT_MAX {
            return Err(Fault::TooMany { what: "sources in one rule", max: PEER_SOURCES_COUNT_MAX });
        }
        sources.push(network);
        Ok(())
    };
    if text == "any" {
        return IpNetwork::EVERYWHERE.into_iter().try_for_each(add);
    }
    add(parse::source(text)?)
}

/// Only a rule for the Internet may be for networks that nobody owns.
fn check_widths(sources: &[IpNetwork], class: Class) -> Result<(), Fault<'static>> {
    let is_wide = |network: &IpNetwork| {
        network.prefix() < if network.address().is_ipv4() { RELAY_PREFIX_V4_MIN } else { RELAY_PREFIX_V6_MIN }
    };
    if class != Class::Internet && sources.iter().any(is_wide) { Err(Fault::WideSource) } else { Ok(()) }
}

fn on_off(text: &str) -> Result<bool, Fault<'_>> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Fault::Choice { text, choices: "on, off" }),
    }
}

fn peer_name(text: &str) -> Result<String, Fault<'_>> {
    let fits = (1..=PEER_NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        && !text.starts_with('-')
        && !text.eq_ignore_ascii_case("relay-networks");
    if fits { Ok(text.to_ascii_lowercase()) } else { Err(Fault::RowName(text)) }
}

impl Rights {
    /// Takes one option of a rule.
    fn set<'a>(&mut self, option: &'a str, words: &mut Words<'a>) -> Result<(), Fault<'a>> {
        match option {
            "relay" => {
                self.relay = match words.word("internal")? {
                    "none" => RelayRight::None,
                    "internal" => RelayRight::Internal,
                    "any" => RelayRight::Any,
                    text => return Err(Fault::Choice { text, choices: "none, internal, any" }),
                }
            }
            "headers" => {
                self.keep_headers = match words.word("keep")? {
                    "keep" => true,
                    "remove" => false,
                    text => return Err(Fault::Choice { text, choices: "keep, remove" }),
                }
            }
            "size" => {
                let text = words.word("25M")?;
                let range = MESSAGE_BYTES_MAX_MIN..=MESSAGE_BYTES_MAX_MAX;
                self.message_bytes_max = match text {
                    "default" => None,
                    _ => Some(crate::text::in_range(text, parse::size(text)?, range, ["64K", "48M"])?),
                }
            }
            "rate" => {
                let text = words.word("60")?;
                self.rate = match text {
                    "unlimited" => 0,
                    _ => crate::text::in_range(text, parse::count(text)?, 1..=PEER_RATE_MAX, ["1", "60000"])?,
                }
            }
            "connections" => {
                let text = words.word("4")?;
                let range = 1..=u32::from(PEER_CONNECTIONS_MAX);
                self.connections = match text {
                    "default" => 0,
                    _ => crate::text::small(text, range, ["1", "64, or default"])?,
                }
            }
            "senders" => {
                let mut domains = Vec::new();
                let mut own = false;
                if words.peek() == Some("any") {
                    let _ = words.next();
                } else {
                    words.list("example.org", |item| {
                        if item == "own" {
                            own = true;
                            return Ok(());
                        }
                        let name = parse::domain(item)?;
                        if domains.contains(&name) {
                            return Err(Fault::AlreadyThere(item));
                        }
                        if domains.len() >= PEER_SENDER_DOMAINS_COUNT_MAX {
                            let max = PEER_SENDER_DOMAINS_COUNT_MAX;
                            return Err(Fault::TooMany { what: "sender domains in one rule", max });
                        }
                        domains.push(name);
                        Ok(())
                    })?;
                }
                (self.sender_domains, self.senders_own) = (domains.into_boxed_slice(), own);
            }
            "starttls" => self.starttls = on_off(words.word("off")?)?,
            "repair" => self.repair = on_off(words.word("on")?)?,
            "verify-sender" => self.verify_sender = on_off(words.word("on")?)?,
            "verify-recipient" => self.verify_recipient = on_off(words.word("on")?)?,
            "rewrite" => {
                let text = words.word("@apps.example.org")?;
                self.rewrite_sender = match text.strip_prefix('@') {
                    Some(domain) => Some(Rewrite::Domain(parse::host_name(domain)?)),
                    None if text == "off" => None,
                    None => Some(Rewrite::Address(parse::mail_address(text)?)),
                }
            }
            "tarpit" => {
                let text = words.word("5")?;
                let range = 0..=u32::from(PEER_TARPIT_S_MAX);
                self.tarpit_s = crate::text::small(text, range, ["0", "30"])?;
            }
            text => return Err(Fault::Option { text, row: TableKind::Peers }),
        }
        Ok(())
    }

    /// Prints the options in which these rights differ from those of the class.
    fn write_options(&self, class: Class, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = Self::of(class);
        let switch = |f: &mut fmt::Formatter<'_>, name: &str, own: bool, usual: bool| {
            if own == usual { Ok(()) } else { write!(f, " {name} {}", if own { "on" } else { "off" }) }
        };
        if self.relay != usual.relay {
            write!(f, " relay {}", self.relay)?;
        }
        if self.keep_headers != usual.keep_headers {
            f.write_str(if self.keep_headers { " headers keep" } else { " headers remove" })?;
        }
        if self.message_bytes_max != usual.message_bytes_max {
            match self.message_bytes_max {
                Some(bytes) => write!(f, " size {}", Size(bytes))?,
                None => f.write_str(" size default")?,
            }
        }
        if self.rate != 0 {
            write!(f, " rate {}", self.rate)?;
        }
        if self.connections != 0 {
            write!(f, " connections {}", self.connections)?;
        }
        let own = self.senders_own.then_some("own");
        for (at, domain) in own.into_iter().chain(self.sender_domains.iter().map(|name| &**name)).enumerate()
        {
            write!(f, "{}{domain}", if at == 0 { " senders " } else { "," })?;
        }
        switch(f, "starttls", self.starttls, usual.starttls)?;
        switch(f, "repair", self.repair, usual.repair)?;
        switch(f, "verify-sender", self.verify_sender, usual.verify_sender)?;
        switch(f, "verify-recipient", self.verify_recipient, usual.verify_recipient)?;
        if let Some(rewrite) = &self.rewrite_sender {
            write!(f, " rewrite {rewrite}")?;
        }
        if self.tarpit_s != 0 {
            write!(f, " tarpit {}", self.tarpit_s)?;
        }
        Ok(())
    }
}

impl Row for Peer {
    const KIND: TableKind = TableKind::Peers;

    /// Reads `NAME SOURCE[,SOURCE…] class CLASS [on LISTENER|ifN] [OPTION VALUE]…`.
    fn parse(text: &str) -> Result<Self, Fault<'_>> {
        let mut words = Words::new(text);
        let name = peer_name(words.word("printers")?)?;
        let mut sources = Vec::new();
        words.list("192.0.2.0/24", |item| {
            if PEER_OPTIONS.contains(&item) {
                return Err(Fault::NoValue { example: "192.0.2.0/24" });
            }
            add_source(&mut sources, item)
        })?;
        // Options may stand before the class that they change, so the class is looked for first.
        let class = text.split_ascii_whitespace().skip_while(|word| *word != "class").nth(1);
        let class = Class::parse(class.ok_or(Fault::NoClass)?)?;
        let (mut on, mut rights) = (On::Everything, Rights::of(class));
        let mut seen = 0u32;
        while let Some(option) = words.next() {
            let at = PEER_OPTIONS.iter().position(|known| *known == option);
            let at = at.ok_or(Fault::Option { text: option, row: TableKind::Peers })?;
            if seen & (1 << at) != 0 {
                return Err(Fault::Twice(option));
            }
            seen |= 1 << at;
            match option {
                "class" => drop(words.word("application")?),
                "on" => {
                    let place = words.word("if1")?;
                    on = match parse::interface(place) {
                        Some(number) => On::Interface(number?),
                        None => On::Listener(Listener::parse(place)?),
                    };
                }
                _ => rights.set(option, &mut words)?,
            }
        }
        check_widths(&sources, class)?;
        if class == Class::Internet && rights.relay == RelayRight::Any {
            return Err(Fault::InternetRelaysAny);
        }
        if !class.is_exchange() && rights.keep_headers {
            return Err(Fault::HeadersNotKept);
        }
        let (name, rights) = (Rc::from(name), Rc::new(rights));
        let peer = Self { name, sources: sources.into_boxed_slice(), on, class, rights };
        let sources: usize = peer.sources.iter().map(|network| format!("{network},").len()).sum();
        if format!("{peer}").len().saturating_sub(sources) > TABLE_TEXT_BYTES_MAX {
            return Err(Fault::RowTooLong);
        }
        Ok(peer)
    }

    fn key(&self) -> &str {
        &self.name
    }

    fn key_of(typed: &str) -> Option<String> {
        peer_name(typed).ok()
    }
}

impl Peer {
    /// The rule as lines that make it again when they are typed, none longer than a console takes: what follows
    /// `peer add`, then what follows `peer source NAME add` as often as needed.
    pub fn lines(&self) -> (String, Vec<String>) {
        let mut rest = self.sources.chunks(limits::settings::PEER_SOURCES_PER_LINE);
        let first = rest.next().unwrap_or_default();
        let short = Self { sources: first.into(), ..self.clone() };
        (format!("{short}"), rest.map(|networks| format!("{}", Commas(networks))).collect())
    }
}

struct Commas<'a>(&'a [IpNetwork]);

impl fmt::Display for Commas<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, network) in self.0.iter().enumerate() {
            write!(f, "{}{network}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, Commas(&self.sources))?;
        match &self.on {
            On::Everything => {}
            On::Interface(number) => write!(f, " on if{number}")?,
            On::Listener(listener) => write!(f, " on {listener}")?,
        }
        write!(f, " class {}", self.class)?;
        self.rights.write_options(self.class, f)
    }
}

/// The rules.
pub type Peers = Table<Peer>;

/// Which rule decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// None is for this connection: nothing is allowed.
    Nobody,
    /// Stored rules cannot be read: nothing is allowed until the operator has looked. It will change, so whoever is
    /// refused for it should hear of a transient failure.
    Damaged,
    /// The peer of this name.
    Peer(Rc<str>),
    /// A network of the setting `relay-networks`.
    RelayNetwork(IpNetwork),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("no rule"),
            Self::Damaged => f.write_str("rules cannot be read"),
            Self::Peer(name) => write!(f, "peer {name}"),
            Self::RelayNetwork(network) => write!(f, "relay-networks {network}"),
        }
    }
}

/// What the rules say about a connection. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The class.
    pub class: Class,
    /// The rights.
    pub rights: Rc<Rights>,
    /// The rule that gave them.
    pub rule: Rule,
}

impl Judged {
    /// Where mail from a sender of `sender_domain` may go; `None`: from the null sender. `domains` are the own ones.
    ///
    /// The addresses of Exchange Online are those of all its customers. So an Exchange server whose senders must be of
    /// certain domains may go on bringing mail of strangers for internal domains, but not for others. Of any other class
    /// mail of such senders goes nowhere. Reports have no sender and are not restricted.
    #[must_use]
    pub fn relay_for(&self, domains: &Domains, sender_domain: Option<&str>) -> RelayRight {
        match sender_domain {
            Some(domain) if !self.rights.allows_sender(domains, domain) => {
                if self.class.is_exchange() {
                    self.rights.relay.min(RelayRight::Internal)
                } else {
                    RelayRight::None
                }
            }
            _ => self.rights.relay,
        }
    }
}

impl Table<Peer> {
    /// What a client may do that has the address `client`, connected to the own address `local`, and came in by
    /// `interface`. `relay_networks` is the setting of that name. An IPv4-mapped address counts as IPv4.
    #[must_use]
    pub fn judge(
        &self,
        relay_networks: &[IpNetwork],
        client: IpAddr,
        local: SocketAddr,
        interface: u8,
    ) -> Judged {
        let nothing = |rule| Judged { class: Class::Internet, rights: Rc::new(Rights::none()), rule };
        if self.is_damaged() {
            return nothing(Rule::Damaged);
        }
        let client = client.to_canonical();
        let mut best: Option<((u8, u8), &Peer)> = None;
        for peer in self.iter() {
            if let Some(fit) = peer.fit(client, local, interface)
                && best.is_none_or(|(other, _)| fit > other)
            {
                best = Some((fit, peer));
            }
        }
        let networks = relay_networks.iter().filter(|network| network.contains(client));
        let network = networks.max_by_key(|network| network.prefix());
        match (best, network) {
            (Some(((bits, _), _)), Some(network)) if network.prefix() > bits => by_network(*network),
            (Some((_, peer)), _) => Judged {
                class: peer.class,
                rights: Rc::clone(&peer.rights),
                rule: Rule::Peer(Rc::clone(&peer.name)),
            },
            (None, Some(network)) => by_network(*network),
            (None, None) => nothing(Rule::Nobody),
        }
    }
}

fn by_network(network: IpNetwork) -> Judged {
    let class = Class::Application;
    Judged { class, rights: Rc::new(Rights::of_relay_network()), rule: Rule::RelayNetwork(network) }
}
