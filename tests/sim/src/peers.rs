//! The mail programs around the appliance: a client that sends, a server that receives.
//!
//! Both are written against the standard, not against the appliance's own machines, so that a misreading there
//! does not cancel itself out here.

use crate::executor::{Executor, Group};
use crate::network::{Network, SimStream};
use embedded_io_async::{Read, Write};
use platform::{Stream, StreamError};
use std::cell::RefCell;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::Poll;

/// One reply of an SMTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The text of each line.
    pub lines: Vec<String>,
}

impl Reply {
    /// All lines as one text.
    #[must_use]
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }

    /// Panics with the whole reply unless it has `code` and contains `text`.
    ///
    /// # Panics
    /// See above.
    #[track_caller]
    pub fn expect(&self, code: u16, text: &str) -> &Self {
        assert!(self.code == code && self.text().contains(text), "expected {code} {text}, got {self:?}");
        self
    }
}

/// An SMTP client under the control of a test, one command at a time or raw octets.
pub struct Client {
    stream: SimStream,
    received: Vec<u8>,
}

impl Client {
    /// A client on a connection that is open.
    #[must_use]
    pub fn new(stream: SimStream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Connects and does not wait for the greeting.
    ///
    /// # Panics
    /// When the connection fails.
    pub async fn connect(network: &Network, from: IpAddr, to: SocketAddr) -> Self {
        Self::new(network.connect(from, to).await.expect("the appliance listens"))
    }

    /// Sends octets as they are. While the server does not take them, what it says is read, so that neither waits for
    /// the other for ever.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn raw(&mut self, octets: &[u8]) -> Result<(), StreamError> {
        let mut rest = octets;
        while !rest.is_empty() {
            let Self { stream, received } = self;
            let written = poll_fn(|cx| {
                if let Poll::Ready(written) = stream.poll_write(rest, cx) {
                    return Poll::Ready(written);
                }
                let mut buffer = [0; 4096];
                match stream.poll_read(&mut buffer, cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(Ok(0)) => Poll::Ready(Err(StreamError::Reset)),
                    Poll::Ready(Ok(count)) => {
                        received.extend_from_slice(&buffer[..count]);
                        Poll::Ready(Ok(0))
                    }
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                }
            })
            .await?;
            rest = &rest[written..];
        }
        Ok(())
    }

    /// Ends this side in good order, without QUIT.
    pub async fn close(mut self) {
        self.stream.close().await;
    }

    /// The next reply, or `None` when the server closed the connection instead.
    pub async fn reply(&mut self) -> Option<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            let code = line.get(..3)?.parse().ok()?;
            lines.push(line.get(4..).unwrap_or_default().to_string());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(Reply { code, lines });
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.received.windows(2).take(2_000).position(|w| w == b"\r\n") {
                let line = String::from_utf8_lossy(&self.received[..end]).into_owned();
                self.received.drain(..end + 2);
                return Some(line);
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Panics
    /// When the connection ends instead.
    pub async fn command(&mut self, command: &str) -> Reply {
        self.raw(format!("{command}\r\n").as_bytes()).await.expect("the connection is open");
        self.reply().await.unwrap_or_else(|| panic!("connection closed after {command}"))
    }

    /// Waits for the greeting and says EHLO.
    ///
    /// # Panics
    /// When the server does not greet.
    pub async fn greet(&mut self) -> Reply {
        self.reply().await.expect("a greeting").expect(220, "");
        self.command("EHLO client.example").await
    }

    /// Sends one message, and returns the reply that decided about it: the first refusal, or the one after the
    /// content. `content` has CRLF lines and no dot-stuffing. `None` when the connection ended.
    pub async fn send(&mut self, from: &str, to: &[&str], content: &[u8]) -> Option<Reply> {
        let mut commands = vec![format!("MAIL FROM:<{from}>")];
        commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        commands.push("DATA".to_string());
        for command in commands {
            self.raw(format!("{command}\r\n").as_bytes()).await.ok()?;
            let reply = self.reply().await?;
            if reply.code >= 400 {
                return Some(reply);
            }
        }
        self.raw(&dot_stuffed(content)).await.ok()?;
        self.reply().await
    }

    /// Says QUIT and waits for the answer.
    pub async fn quit(mut self) {
        if self.raw(b"QUIT\r\n").await.is_ok() {
            self.reply().await;
            self.stream.close().await;
        }
    }

    /// Ends the connection without a word.
    pub fn drop_connection(mut self) {
        self.stream.abort();
    }
}

/// `content` as it goes over the wire: dots doubled, closing line appended.
#[must_use]
pub fn dot_stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + 64);
    let mut at_line_start = true;
    for &octet in content {
        if at_line_start && octet == b'.' {
            out.push(b'.');
        }
        out.push(octet);
        at_line_start = octet == b'\n';
    }
    if !at_line_start {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// A message that the [`Sink`] took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The argument of `MAIL FROM`, without brackets.
    pub from: String,
    /// The arguments of the `RCPT TO` that were accepted.
    pub to: Vec<String>,
    /// The content, dots removed.
    pub content: Vec<u8>,
    /// Which connection it came over, counted from 1.
    pub connection: u64,
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

/// How a [`Sink`] answers; every text is the whole reply line.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Instead of 220 at the start.
    pub greeting: String,
    /// Keywords after EHLO; none and `helo_only` false means a bare 250.
    pub keywords: Vec<String>,
    /// Whether EHLO is unknown to it.
    pub helo_only: bool,
    /// Answers to MAIL; 250 when absent.
    pub mail: Option<String>,
    /// Answers to RCPT by mailbox; 250 for all others.
    pub recipients: Vec<(String, String)>,
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
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            greeting: "220 hop.example ESMTP".into(),
            keywords: ["PIPELINING", "SIZE 52428800", "8BITMIME", "ENHANCEDSTATUSCODES"]
                .map(String::from)
                .into(),
            helo_only: false,
            mail: None,
            recipients: Vec::new(),
            content: None,
            drop_after_content: false,
            delay_ms: 0,
            recipients_max: 0,
            messages_max: 0,
        }
    }
}

/// A next hop: takes what it is given and keeps it for the test to look at.
#[derive(Clone)]
pub struct Sink {
    state: Rc<RefCell<SinkState>>,
}

#[derive(Default)]
struct SinkState {
    behaviour: Behaviour,
    received: Vec<Received>,
    violations: Vec<String>,
    connections: u64,
    open: u64,
    open_most: u64,
    commands: Vec<String>,
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
                    SinkSession { stream, received: Vec::new(), state: state.clone(), executor };
                let _ = session.run(connection).await;
                state.borrow_mut().open -= 1;
            }
        });
        sink
    }

    /// Changes how it answers from now on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state.borrow_mut().behaviour);
    }

    /// The messages taken so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.borrow().received.clone()
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

    /// What the appliance did that a mail server may not do: bare CR or LF, overlong lines, commands out of turn.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state.borrow().violations.clone()
    }
}

struct SinkSession {
    stream: SimStream,
    received: Vec<u8>,
    state: Rc<RefCell<SinkState>>,
    executor: Executor,
}

impl SinkSession {
    async fn run(&mut self, connection: u64) -> Result<(), StreamError> {
        let greeting = self.state.borrow().behaviour.greeting.clone();
        self.say(&greeting).await?;
        let mut transaction: Option<Received> = None;
        let mut messages = 0;
        loop {
            let Some(line) = self.line().await? else { return Ok(()) };
            let behaviour = {
                let mut state = self.state.borrow_mut();
                state.commands.push(line.clone());
                state.behaviour.clone()
            };
            let upper = line.to_ascii_uppercase();
            if upper.starts_with("EHLO ") && !behaviour.helo_only {
                let mut lines = vec!["hop.example".to_string()];
                lines.extend(behaviour.keywords.iter().cloned());
                let last = lines.len() - 1;
                let text: Vec<String> = lines
                    .iter()
                    .enumerate()
                    .map(|(i, l)| format!("250{}{l}", if i == last { ' ' } else { '-' }))
                    .collect();
                self.say(&text.join("\r\n")).await?;
            } else if upper.starts_with("HELO ") {
                self.say("250 hop.example").await?;
            } else if let Some(from) = path(&line, "MAIL FROM:") {
                if behaviour.messages_max > 0 && messages >= behaviour.messages_max {
                    self.say("421 4.7.0 enough for one connection").await?;
                    self.stream.close().await;
                    return Ok(());
                }
                if transaction.is_some() {
                    self.violation("MAIL inside a transaction");
                }
                let reply = behaviour.mail.clone().unwrap_or_else(|| "250 2.1.0 sender ok".into());
                if reply.starts_with('2') {
                    transaction = Some(Received { from, to: Vec::new(), content: Vec::new(), connection });
                }
                self.say(&reply).await?;
            } else if let Some(to) = path(&line, "RCPT TO:") {
                let special = behaviour.recipients.iter().find(|(mailbox, _)| *mailbox == to);
                let reply =
                    special.map_or_else(|| "250 2.1.5 recipient ok".into(), |(_, reply)| reply.clone());
                match &mut transaction {
                    None => self.say("503 5.5.1 no MAIL").await?,
                    Some(t) if behaviour.recipients_max > 0 && t.to.len() >= behaviour.recipients_max => {
                        self.say("452 4.5.3 too many recipients").await?;
                    }
                    Some(t) => {
                        if reply.starts_with('2') {
                            t.to.push(to);
                        }
                        self.say(&reply).await?;
                    }
                }
            } else if upper == "DATA" {
                match transaction.take() {
                    Some(t) if !t.to.is_empty() => {
                        self.say("354 go on").await?;
                        let content = self.content().await?;
                        messages += 1;
                        let reply = behaviour.content.clone().unwrap_or_else(|| "250 2.0.0 taken".into());
                        if reply.starts_with('2') {
                            self.state.borrow_mut().received.push(Received { content, ..t });
                        }
                        if behaviour.drop_after_content {
                            self.stream.abort();
                            return Ok(());
                        }
                        self.say(&reply).await?;
                    }
                    _ => self.say("554 5.5.1 no valid recipients").await?,
                }
            } else if upper == "RSET" {
                transaction = None;
                self.say("250 2.0.0 reset").await?;
            } else if upper == "NOOP" {
                self.say("250 2.0.0 ok").await?;
            } else if upper == "QUIT" {
                self.say("221 2.0.0 bye").await?;
                self.stream.close().await;
                return Ok(());
            } else {
                self.say("502 5.5.1 unknown").await?;
            }
        }
    }

    fn violation(&self, what: &str) {
        self.state.borrow_mut().violations.push(what.to_string());
    }

    async fn say(&mut self, text: &str) -> Result<(), StreamError> {
        let delay_ms = self.state.borrow().behaviour.delay_ms;
        if delay_ms > 0 {
            self.executor.sleep_ms(delay_ms).await;
        }
        self.stream.write_all(format!("{text}\r\n").as_bytes()).await
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

/// The path after `verb`, without brackets and parameters.
fn path(line: &str, verb: &str) -> Option<String> {
    let head = line.get(..verb.len())?;
    if !head.eq_ignore_ascii_case(verb) {
        return None;
    }
    let rest = line.get(verb.len()..)?.trim_start();
    let end = rest.find('>')?;
    Some(rest.get(1..end)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_sink_understand_each_other() {
        let executor = Executor::new(3);
        let network = Network::new(&executor, 3);
        let hop = SocketAddr::new(IpAddr::from([10, 0, 0, 2]), 25);
        let sink = Sink::start(&executor, &network, hop);
        sink.behave(|b| b.recipients.push(("no@b.example".into(), "550 5.1.1 unknown".into())));
        let content = b"Subject: x\r\n\r\n.dot\r\n..\r\nend\r\n";
        executor.block_on(async move {
            let mut client = Client::connect(&network, IpAddr::from([10, 0, 0, 1]), hop).await;
            client.greet().await.expect(250, "PIPELINING");
            client.send("a@a.example", &["b@b.example"], content).await.expect("open").expect(250, "taken");
            client.send("a@a.example", &["no@b.example"], content).await.expect("open").expect(550, "5.1.1");
            client.quit().await;
        });
        let received = sink.received();
        assert_eq!((received.len(), &received[0].content[..]), (1, &content[..]));
        assert_eq!(received[0].header("subject").as_deref(), Some("x"));
        assert_eq!(sink.violations(), Vec::<String>::new());
    }
}
