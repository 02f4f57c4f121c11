//! A server that takes what it is given, keeps it for the test to look at, and misbehaves as told.

use crate::executor::{Executor, Group};
use crate::network::{Network, SimStream};
use embedded_io_async::{Read, Write};
use platform::{Instant, Stream, StreamError};
use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

/// A message that the [`Sink`] took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The argument of `MAIL FROM`, without brackets.
    pub from: String,
    /// What followed it (`RET=HDRS` and the like), in the order of the line.
    pub mail_parameters: Vec<String>,
    /// The arguments of the `RCPT TO` that were accepted.
    pub to: Vec<String>,
    /// What followed each of them.
    pub recipient_parameters: Vec<Vec<String>>,
    /// The content, dots removed.
    pub content: Vec<u8>,
    /// Which connection it came over, counted from 1.
    pub connection: u64,
    /// When the answer to the content was given.
    pub at: Instant,
    /// Whether another command came over the connection afterwards. Then the appliance has read the answer and written it
    /// down; before, a power cut or a broken connection explains a second copy.
    pub confirmed: bool,
}

impl Received {
    /// The value of the first header field `name`, unfolded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.content);
        let head = text.split("\r\n\r\n").next()?.to_string();
        let unfolded = head.replace("\r\n\t", " ").replace("\r\n ", " ");
        unfolded.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
        })
    }

    /// The octets after the first empty line.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        let end = self.content.windows(4).position(|w| w == b"\r\n\r\n");
        end.map_or(&[], |end| &self.content[end + 4..])
    }
}

/// How a [`Sink`] answers; every text is the whole reply line. After a reply that begins with 421 it closes the
/// connection, wherever that stands.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Instead of 220 at the start.
    pub greeting: String,
    /// Milliseconds before the greeting.
    pub greeting_delay_ms: u64,
    /// Answer to EHLO and HELO; the usual one when absent.
    pub hello: Option<String>,
    /// Keywords after EHLO.
    pub keywords: Vec<String>,
    /// Whether EHLO is unknown to it.
    pub helo_only: bool,
    /// Answers to MAIL; 250 when absent.
    pub mail: Option<String>,
    /// Answers to RCPT by mailbox; 250 for all others.
    pub recipients: Vec<(String, String)>,
    /// Seconds for which a pair of sender and recipient that is new gets 450; 0 is no greylisting.
    pub greylist_s: u64,
    /// Answer to DATA; 354 when absent.
    pub data: Option<String>,
    /// Answer after the content; 250 when absent.
    pub content: Option<String>,
    /// Whether the connection is dropped right after the content has been taken, before the answer.
    pub drop_after_content: bool,
    /// Milliseconds before each answer.
    pub delay_ms: u64,
    /// Recipients of one transaction above which each gets 452; 0 is no limit.
    pub recipients_max: usize,
    /// Transactions after which the connection gets 421; 0 is no limit.
    pub messages_max: u64,
    /// Connections at once above which further ones are greeted with 421; 0 is no limit.
    pub connections_max: u64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            greeting: "220 hop.example ESMTP".into(),
            greeting_delay_ms: 0,
            hello: None,
            keywords: ["PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES"]
                .map(String::from)
                .into(),
            helo_only: false,
            mail: None,
            recipients: Vec::new(),
            greylist_s: 0,
            data: None,
            content: None,
            drop_after_content: false,
            delay_ms: 0,
            recipients_max: 0,
            messages_max: 0,
            connections_max: 0,
        }
    }
}

impl Behaviour {
    fn offers(&self, keyword: &str) -> bool {
        !self.helo_only && self.keywords.iter().any(|k| k.split(' ').next() == Some(keyword))
    }

    fn hello_reply(&self) -> String {
        let mut lines = vec!["hop.example"];
        lines.extend(self.keywords.iter().map(String::as_str));
        let last = lines.len() - 1;
        let text: Vec<String> = lines
            .iter()
            .enumerate()
            .map(|(i, l)| format!("250{}{l}", if i == last { ' ' } else { '-' }))
            .collect();
        text.join("\r\n")
    }
}

/// A next hop: takes what it is given and keeps it for the test to look at.
#[derive(Clone)]
pub struct Sink {
    state: Rc<RefCell<SinkState>>,
}

#[derive(Default)]
struct SinkState {
    behaviour: Rc<Behaviour>,
    received: Vec<Received>,
    violations: Vec<String>,
    connections: u64,
    open: u64,
    open_most: u64,
    commands: Vec<String>,
    /// When a pair of sender and recipient was seen first.
    greylist: HashMap<(String, String), Instant>,
}

impl Sink {
    /// Starts a next hop at `address`.
    #[must_use]
    pub fn start(executor: &Executor, network: &Network, address: SocketAddr) -> Self {
        let sink = Self { state: Rc::default() };
        let (state, executor) = (sink.state.clone(), executor.clone());
        network.listen(Group::Outside, address, move |stream| {
            let (state, executor) = (state.clone(), executor.clone());
            async move {
                let connection = {
                    let mut s = state.borrow_mut();
                    s.connections += 1;
                    s.open += 1;
                    s.open_most = s.open_most.max(s.open);
                    s.connections
                };
                let mut session =
                    SinkSession { stream, received: Vec::new(), taken: None, state: state.clone(), executor };
                let _ = session.run(connection).await;
                state.borrow_mut().open -= 1;
            }
        });
        sink
    }

    /// Changes how it answers from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(Rc::make_mut(&mut self.state.borrow_mut().behaviour));
    }

    /// The messages taken so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.borrow().received.clone()
    }

    /// Looks at each message taken so far, without copying it.
    pub fn for_each(&self, look: impl FnMut(&Received)) {
        self.state.borrow().received.iter().for_each(look);
    }

    /// How many messages were taken so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.borrow().received.len()
    }

    /// Connections seen so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.borrow().connections
    }

    /// The most connections that were open at once.
    #[must_use]
    pub fn connections_at_once(&self) -> u64 {
        self.state.borrow().open_most
    }

    /// Every command line received so far.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        self.state.borrow().commands.clone()
    }

    /// What the appliance did that a mail server may not do: bare CR or LF, overlong lines, commands out of turn,
    /// parameters of extensions that were not offered.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.borrow().violations.clone()
    }
}

struct SinkSession {
    stream: SimStream,
    received: Vec<u8>,
    /// The message taken last, while nobody has said a word since.
    taken: Option<usize>,
    state: Rc<RefCell<SinkState>>,
    executor: Executor,
}

/// Whether the session goes on.
type Goes = Result<bool, StreamError>;

impl SinkSession {
    async fn run(&mut self, connection: u64) -> Result<(), StreamError> {
        let (behaviour, open) = {
            let state = self.state.borrow();
            (state.behaviour.clone(), state.open)
        };
        self.executor.sleep_ms(behaviour.greeting_delay_ms).await;
        let crowded = behaviour.connections_max > 0 && open > behaviour.connections_max;
        let greeting = if crowded { "421 4.7.0 too many connections" } else { &behaviour.greeting };
        if !self.say(greeting).await? {
            return Ok(());
        }
        let mut transaction: Option<Received> = None;
        let mut messages = 0;
        while let Some(line) = self.line().await? {
            let behaviour = {
                let mut state = self.state.borrow_mut();
                if let Some(taken) = self.taken.take() {
                    state.received[taken].confirmed = true;
                }
                state.commands.push(line.clone());
                state.behaviour.clone()
            };
            let upper = line.to_ascii_uppercase();
            let goes = if upper.starts_with("EHLO ") && !behaviour.helo_only {
                let usual = || behaviour.hello_reply();
                self.say(&behaviour.hello.clone().unwrap_or_else(usual)).await?
            } else if upper.starts_with("HELO ") {
                self.say(behaviour.hello.as_deref().unwrap_or("250 hop.example")).await?
            } else if let Some((from, parameters)) = path(&line, "MAIL FROM:") {
                if behaviour.messages_max > 0 && messages >= behaviour.messages_max {
                    self.say("421 4.7.0 enough for one connection").await?
                } else {
                    self.mail(&behaviour, &mut transaction, from, parameters, connection).await?
                }
            } else if let Some((to, parameters)) = path(&line, "RCPT TO:") {
                self.rcpt(&behaviour, &mut transaction, to, parameters).await?
            } else if upper == "DATA" {
                messages += 1;
                self.data(&behaviour, transaction.take()).await?
            } else if let Some(size) = upper.strip_prefix("BDAT ") {
                messages += 1;
                self.chunk(&behaviour, size, transaction.take()).await?
            } else if upper == "RSET" {
                transaction = None;
                self.say("250 2.0.0 reset").await?
            } else if upper == "NOOP" {
                self.say("250 2.0.0 ok").await?
            } else if upper == "QUIT" {
                self.say("221 2.0.0 bye").await?;
                self.stream.close().await;
                false
            } else {
                self.say("502 5.5.1 unknown").await?
            };
            if !goes {
                break;
            }
        }
        Ok(())
    }

    async fn mail(
        &mut self,
        behaviour: &Behaviour,
        transaction: &mut Option<Received>,
        from: String,
        mail_parameters: Vec<String>,
        connection: u64,
    ) -> Goes {
        if transaction.is_some() {
            self.violation("MAIL inside a transaction");
        }
        self.check_parameters(behaviour, &mail_parameters);
        let reply = behaviour.mail.as_deref().unwrap_or("250 2.1.0 sender ok");
        if reply.starts_with('2') {
            *transaction = Some(Received {
                from,
                mail_parameters,
                to: Vec::new(),
                recipient_parameters: Vec::new(),
                content: Vec::new(),
                connection,
                at: Instant(0),
                confirmed: false,
            });
        }
        self.say(reply).await
    }

    async fn rcpt(
        &mut self,
        behaviour: &Behaviour,
        transaction: &mut Option<Received>,
        to: String,
        parameters: Vec<String>,
    ) -> Goes {
        self.check_parameters(behaviour, &parameters);
        let Some(t) = transaction else { return self.say("503 5.5.1 no MAIL").await };
        if behaviour.recipients_max > 0 && t.to.len() >= behaviour.recipients_max {
            return self.say("452 4.5.3 too many recipients").await;
        }
        if behaviour.greylist_s > 0 {
            let now = self.executor.now();
            let pair = (t.from.clone(), to.clone());
            let first = *self.state.borrow_mut().greylist.entry(pair).or_insert(now);
            if now < first.plus_s(behaviour.greylist_s) {
                return self.say("450 4.7.1 greylisted, come back").await;
            }
        }
        let special = behaviour.recipients.iter().find(|(mailbox, _)| *mailbox == to);
        let reply = special.map_or("250 2.1.5 recipient ok", |(_, reply)| reply);
        if reply.starts_with('2') {
            t.to.push(to);
            t.recipient_parameters.push(parameters);
        }
        self.say(reply).await
    }

    async fn data(&mut self, behaviour: &Behaviour, transaction: Option<Received>) -> Goes {
        let Some(t) = transaction.filter(|t| !t.to.is_empty()) else {
            return self.say("554 5.5.1 no valid recipients").await;
        };
        if let Some(reply) = &behaviour.data {
            return self.say(reply).await;
        }
        self.say("354 go on").await?;
        let content = self.content().await?;
        let reply = behaviour.content.as_deref().unwrap_or("250 2.0.0 taken");
        if reply.starts_with('2') {
            let at = self.executor.now();
            let mut state = self.state.borrow_mut();
            self.taken = Some(state.received.len());
            state.received.push(Received { content, at, ..t });
        }
        if behaviour.drop_after_content {
            self.stream.abort();
            return Ok(false);
        }
        self.say(reply).await
    }

    /// The whole content in one chunk, as the appliance sends it.
    async fn chunk(&mut self, behaviour: &Behaviour, size: &str, transaction: Option<Received>) -> Goes {
        let size = size.strip_suffix(" LAST").and_then(|size| size.parse::<usize>().ok());
        let Some(size) = size else {
            self.violation("BDAT without LAST");
            return Ok(false);
        };
        while self.received.len() < size {
            if !self.fill().await? {
                return Err(StreamError::Reset);
            }
        }
        let content: Vec<u8> = self.received.drain(..size).collect();
        if !behaviour.offers("CHUNKING") {
            self.violation("BDAT without CHUNKING");
        }
        let Some(t) = transaction.filter(|t| !t.to.is_empty()) else {
            return self.say("554 5.5.1 no valid recipients").await;
        };
        let reply = behaviour.content.as_deref().unwrap_or("250 2.0.0 taken");
        if reply.starts_with('2') {
            let at = self.executor.now();
            let mut state = self.state.borrow_mut();
            self.taken = Some(state.received.len());
            state.received.push(Received { content, at, ..t });
        }
        self.say(reply).await
    }

    /// Parameters may only be those of extensions that were offered (RFC 5321 §2.2.1).
    fn check_parameters(&self, behaviour: &Behaviour, parameters: &[String]) {
        for parameter in parameters {
            let name = parameter.split('=').next().unwrap_or_default().to_ascii_uppercase();
            let extension = match name.as_str() {
                "SIZE" => "SIZE",
                "BODY" if parameter.ends_with("BINARYMIME") => "BINARYMIME",
                "BODY" => "8BITMIME",
                "RET" | "ENVID" | "NOTIFY" | "ORCPT" => "DSN",
                _ => name.as_str(),
            };
            if !behaviour.offers(extension) {
                self.violation(&format!("{parameter} without {extension}"));
            }
        }
    }

    fn violation(&self, what: &str) {
        self.state.borrow_mut().violations.push(what.to_string());
    }

    /// Sends a reply; after one of 421 the connection is closed.
    async fn say(&mut self, text: &str) -> Goes {
        let delay_ms = self.state.borrow().behaviour.delay_ms;
        if delay_ms > 0 {
            self.executor.sleep_ms(delay_ms).await;
        }
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await?;
        let over = text.starts_with("421");
        if over {
            self.stream.close().await;
        }
        Ok(!over)
    }

    async fn fill(&mut self) -> Result<bool, StreamError> {
        let mut buffer = vec![0; 32 * 1024];
        let count = self.stream.read(&mut buffer).await?;
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }

    async fn line(&mut self) -> Result<Option<String>, StreamError> {
        let mut searched = 0;
        loop {
            if let Some(end) =
                self.received[searched..].iter().position(|o| *o == b'\n').map(|p| p + searched)
            {
                let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..=end);
                if !line.ends_with('\r') {
                    self.violation("bare LF in a command");
                }
                return Ok(Some(line.trim_end_matches('\r').to_string()));
            }
            searched = self.received.len();
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Reads to the line with the lone dot; returns the content without doubled dots.
    async fn content(&mut self) -> Result<Vec<u8>, StreamError> {
        let mut content = Vec::new();
        let mut start = 0;
        loop {
            while let Some(end) = self.received[start..].iter().position(|o| *o == b'\n').map(|p| p + start) {
                let line = &self.received[start..=end];
                start = end + 1;
                if !line.ends_with(b"\r\n") {
                    self.violation("bare LF in content");
                }
                if line.contains(&0) {
                    self.violation("NUL in content");
                }
                if line.len() > 1_000 {
                    self.violation("line over 998 octets in content");
                }
                if line == b".\r\n" {
                    self.received.drain(..start);
                    if content
                        .iter()
                        .enumerate()
                        .any(|(i, o)| *o == b'\r' && content.get(i + 1) != Some(&b'\n'))
                    {
                        self.violation("bare CR in content");
                    }
                    return Ok(content);
                }
                content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            }
            self.received.drain(..start);
            start = 0;
            if !self.fill().await? {
                return Err(StreamError::Reset);
            }
        }
    }
}

/// The path after `verb`, without brackets, and its parameters.
fn path(line: &str, verb: &str) -> Option<(String, Vec<String>)> {
    let head = line.get(..verb.len())?;
    if !head.eq_ignore_ascii_case(verb) {
        return None;
    }
    let rest = line.get(verb.len()..)?.trim_start();
    let end = rest.find('>')?;
    let parameters = rest.get(end + 1..)?.split_whitespace().map(String::from).collect();
    Some((rest.get(1..end)?.to_string(), parameters))
}
