//! A next hop inside the test process: takes mail, remembers every delivery, and fails as it is told to.

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// One message that came whole.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// What stood between the brackets of MAIL.
    pub sender: String,
    /// What stood behind them.
    pub mail_parameters: String,
    /// What stood between the brackets of each RCPT that was accepted.
    pub recipients: Vec<String>,
    /// The content without transparency dots.
    pub content: Vec<u8>,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
    /// Whether the peer was sent its 250. If not, it cannot know that the message came.
    pub acknowledged: bool,
    /// Number of the connection it came on, from 0.
    pub connection: usize,
}

impl Delivery {
    /// The text of the first header field of this name, unfolded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        crate::mime::header(&self.content, name)
    }
}

/// Where a sink can refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// In place of the greeting.
    Greeting,
    /// EHLO.
    Hello,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// The end of the content.
    End,
}

/// How the sink behaves. Each connection looks at it again before each reply.
#[derive(Clone, Debug, Default)]
pub struct Behaviour {
    /// Answers `.1`, for example `451 4.3.0 Later`, at stage `.0`.
    pub refuse: Option<(Stage, String)>,
    /// Waits before every reply.
    pub delay: Duration,
    /// Takes the whole content, remembers it, and hangs up in place of 250.
    pub drop_before_reply: bool,
    /// Offers no extensions and does not know EHLO.
    pub no_extensions: bool,
}

#[derive(Debug, Default)]
struct Shared {
    deliveries: Mutex<Vec<Delivery>>,
    arrived: Condvar,
    behaviour: Mutex<Behaviour>,
    connections: AtomicUsize,
    breaches: Mutex<Vec<String>>,
    /// One end of each connection that is open, by number.
    open: Mutex<BTreeMap<usize, TcpStream>>,
}

/// A listening sink. Dropping it closes the port; what it has received is in [`Sink::deliveries`].
pub struct Sink {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Sink {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// If there is none.
    pub fn start() -> Result<Self> {
        let mut sink = Self::reserve()?;
        sink.come_up()?;
        Ok(sink)
    }

    /// A sink that is down: its port is chosen but nobody listens.
    ///
    /// # Errors
    /// If there is no free port.
    pub fn reserve() -> Result<Self> {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Ok(Self { address, shared: Arc::default(), listener: None })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens again after [`Self::go_down`].
    ///
    /// # Errors
    /// If the port has been taken meanwhile.
    pub fn come_up(&mut self) -> Result<()> {
        if self.listener.is_some() {
            return Ok(());
        }
        let listener =
            TcpListener::bind(self.address).with_context(|| format!("listening on {}", self.address))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&self.shared), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                if let Ok(stream) = stream {
                    let shared = Arc::clone(&shared);
                    let number = shared.connections.fetch_add(1, Ordering::SeqCst);
                    if let Ok(end) = stream.try_clone() {
                        lock(&shared.open).insert(number, end);
                    }
                    std::thread::spawn(move || {
                        let open = Arc::clone(&shared);
                        // A connection that breaks is the peer's affair.
                        _ = Connection { shared, number, stopped_peer: None }.serve(stream);
                        lock(&open.open).remove(&number);
                    });
                }
            }
        });
        self.listener = Some((stop, thread));
        Ok(())
    }

    /// Refuses connections from here on, and ends those that exist.
    pub fn go_down(&mut self) {
        if let Some((stop, thread)) = self.listener.take() {
            stop.store(true, Ordering::SeqCst);
            // Wakes the thread up.
            _ = TcpStream::connect(self.address);
            _ = thread.join();
            let open = std::mem::take(&mut *lock(&self.shared.open));
            for stream in open.into_values() {
                _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Behaves so from here on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// Everything that has come, in order.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.shared.deliveries).clone()
    }

    /// How much has come.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.shared.deliveries).len()
    }

    /// Forgets what has come.
    pub fn clear(&self) {
        lock(&self.shared.deliveries).clear();
    }

    /// How many connections there have been.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections there are now.
    #[must_use]
    pub fn connections_open(&self) -> usize {
        lock(&self.shared.open).len()
    }

    /// What the peer did against the rules: bare CR or LF, commands out of order.
    #[must_use]
    pub fn breaches(&self) -> Vec<String> {
        lock(&self.shared.breaches).clone()
    }

    /// Waits until `enough` says so of all that has come, at most `patience`. Returns whether it did.
    pub fn wait_until(&self, patience: Duration, mut enough: impl FnMut(&[Delivery]) -> bool) -> bool {
        let start = Instant::now();
        let mut deliveries = lock(&self.shared.deliveries);
        while !enough(&deliveries) {
            let Some(left) = patience.checked_sub(start.elapsed()) else { return false };
            deliveries =
                self.shared.arrived.wait_timeout(deliveries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits for so many deliveries. Returns whether they came.
    #[must_use]
    pub fn wait_for(&self, count: usize, patience: Duration) -> bool {
        self.wait_until(patience, |deliveries| deliveries.len() >= count)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.go_down();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Connection {
    shared: Arc<Shared>,
    number: usize,
    stopped_peer: Option<()>,
}

impl Connection {
    fn serve(&mut self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(600)))?;
        let mut wire = stream.try_clone()?;
        let mut reader = BufReader::with_capacity(65_536, stream);
        if let Some(reply) = self.refusal(Stage::Greeting) {
            return self.say(&mut wire, &reply);
        }
        self.say(&mut wire, "220 sink.example.net ESMTP")?;
        let (mut sender, mut recipients) = (None, Vec::new());
        while let Some(line) = self.line(&mut reader)? {
            let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
            let stage = match verb.as_str() {
                "EHLO" | "HELO" => Some(Stage::Hello),
                "MAIL" => Some(Stage::Mail),
                "RCPT" => Some(Stage::Rcpt),
                "DATA" => Some(Stage::Data),
                _ => None,
            };
            if let Some(reply) = stage.and_then(|s| self.refusal(s)) {
                self.say(&mut wire, &reply)?;
                continue;
            }
            let behaviour = lock(&self.shared.behaviour).clone();
            match verb.as_str() {
                "EHLO" if behaviour.no_extensions => self.say(&mut wire, "502 5.5.1 What?")?,
                "EHLO" => {
                    let offers = ["PIPELINING", "SIZE 104857600", "8BITMIME", "ENHANCEDSTATUSCODES"];
                    let lines: String = offers[..3].iter().map(|o| format!("250-{o}\r\n")).collect();
                    self.say(&mut wire, &format!("250-sink.example.net\r\n{lines}250 {}", offers[3]))?;
                }
                "HELO" => self.say(&mut wire, "250 sink.example.net")?,
                "MAIL" => {
                    if sender.is_some() {
                        self.breach(format!("MAIL within a transaction: {line}"));
                    }
                    sender = Some(bracketed(&line));
                    recipients.clear();
                    self.say(&mut wire, "250 2.1.0 OK")?;
                }
                "RCPT" if sender.is_some() => {
                    recipients.push(bracketed(&line).0);
                    self.say(&mut wire, "250 2.1.5 OK")?;
                }
                "DATA" if !recipients.is_empty() => {
                    self.say(&mut wire, "354 Go on")?;
                    let Some(content) = self.content(&mut reader)? else { return Ok(()) };
                    let (sender, mail_parameters) = sender.take().unwrap_or_default();
                    let delivery = Delivery {
                        sender,
                        mail_parameters,
                        recipients: std::mem::take(&mut recipients),
                        sha256: Sha256::digest(&content).into(),
                        content,
                        acknowledged: false,
                        connection: self.number,
                    };
                    if !self.end(&mut wire, delivery)? {
                        return Ok(());
                    }
                }
                "RSET" => {
                    sender = None;
                    recipients.clear();
                    self.say(&mut wire, "250 2.0.0 OK")?;
                }
                "NOOP" => self.say(&mut wire, "250 2.0.0 OK")?,
                "QUIT" => return self.say(&mut wire, "221 2.0.0 Bye"),
                _ => {
                    // A pipelining client cannot know that its MAIL was refused.
                    if verb != "RCPT" && verb != "DATA" {
                        self.breach(format!("unknown command: {line}"));
                    }
                    self.say(&mut wire, "503 5.5.1 Bad sequence of commands")?;
                }
            }
        }
        Ok(())
    }

    /// Answers the end of the content. Says whether the connection goes on.
    fn end(&mut self, wire: &mut TcpStream, mut delivery: Delivery) -> Result<bool> {
        if let Some(reply) = self.refusal(Stage::End) {
            self.say(wire, &reply)?;
            return Ok(true);
        }
        if lock(&self.shared.behaviour).drop_before_reply {
            self.keep(delivery);
            return Ok(false);
        }
        delivery.acknowledged = true;
        // Kept first: a test that sees it may go on, the peer that sees 250 may, too.
        self.keep(delivery);
        self.say(wire, "250 2.0.0 Taken")?;
        Ok(true)
    }

    fn keep(&self, delivery: Delivery) {
        lock(&self.shared.deliveries).push(delivery);
        self.shared.arrived.notify_all();
    }

    fn refusal(&self, at: Stage) -> Option<String> {
        let behaviour = lock(&self.shared.behaviour);
        behaviour.refuse.as_ref().filter(|(stage, _)| *stage == at).map(|(_, reply)| reply.clone())
    }

    fn breach(&mut self, what: String) {
        if self.stopped_peer.replace(()).is_none() {
            lock(&self.shared.breaches).push(what);
        }
    }

    fn say(&self, wire: &mut TcpStream, reply: &str) -> Result<()> {
        let delay = lock(&self.shared.behaviour).delay;
        std::thread::sleep(delay);
        Ok(wire.write_all(format!("{reply}\r\n").as_bytes())?)
    }

    /// A line without its CRLF, `None` at the end.
    fn raw_line(&mut self, reader: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n") else { return Ok(None) };
        let Some(text) = text.strip_suffix(b"\r") else {
            self.breach(format!("bare LF: {:?}", String::from_utf8_lossy(&line)));
            return Ok(Some(text.to_vec()));
        };
        if text.contains(&b'\r') || text.contains(&0) {
            self.breach(format!("bare CR or NUL: {:?}", String::from_utf8_lossy(text)));
        }
        Ok(Some(text.to_vec()))
    }

    fn line(&mut self, reader: &mut impl BufRead) -> Result<Option<String>> {
        Ok(self.raw_line(reader)?.map(|l| String::from_utf8_lossy(&l).into_owned()))
    }

    /// Content up to the lone dot; `None` if the connection ends before it.
    fn content(&mut self, reader: &mut impl BufRead) -> Result<Option<Vec<u8>>> {
        let mut content = Vec::new();
        while let Some(line) = self.raw_line(reader)? {
            let text = line.strip_prefix(b".").unwrap_or(&line);
            if text.is_empty() && !line.is_empty() {
                return Ok(Some(content));
            }
            content.extend_from_slice(text);
            content.extend_from_slice(b"\r\n");
        }
        Ok(None)
    }
}

/// What stands between the first `<` and the last `>`, and what follows.
fn bracketed(line: &str) -> (String, String) {
    let inner = line.split_once('<').and_then(|(_, rest)| rest.rsplit_once('>'));
    inner.map_or_else(Default::default, |(path, rest)| (path.to_owned(), rest.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::smtp_client::SmtpClient;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn client(sink: &Sink) -> SmtpClient {
        let mut client = SmtpClient::connect_when_ready(sink.address(), PATIENCE, PATIENCE).expect("greeted");
        client.hello().expect("EHLO");
        client
    }

    #[test]
    fn deliveries_are_remembered_as_they_were_sent() {
        let sink = Sink::start().expect("port");
        let mut client = client(&sink);
        let content = b"Subject: a\r\n b\r\n\r\n.dot\r\n..\r\n\r\n";
        let recipients = ["b@example.net".to_owned(), "c@example.net".to_owned()];
        for _ in 0..2 {
            let reply = client.submit("a@example.org", &recipients, content).expect("reply");
            assert_eq!(reply.code, 250);
        }
        client.quit().expect("QUIT");
        assert!(sink.wait_for(2, PATIENCE));
        let delivery = &sink.deliveries()[1];
        assert_eq!((delivery.sender.as_str(), &delivery.recipients[..]), ("a@example.org", &recipients[..]));
        assert_eq!(delivery.content, content);
        assert_eq!(delivery.header("subject").as_deref(), Some("a b"));
        assert!(delivery.acknowledged && sink.breaches().is_empty());
        assert_eq!(sink.connections(), 1);
    }

    #[test]
    fn it_goes_down_and_comes_up_on_the_same_port_and_fails_as_told() {
        let mut sink = Sink::start().expect("port");
        let mut open = client(&sink);
        sink.go_down();
        assert!(open.command("NOOP").is_err(), "connections that exist end, too");
        assert!(SmtpClient::connect(sink.address(), PATIENCE).is_err());
        sink.come_up().expect("the same port");
        let recipients = ["b@example.net".to_owned()];
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::End] {
            sink.behave(Behaviour {
                refuse: Some((stage, "451 4.3.0 Later".into())),
                ..Behaviour::default()
            });
            let reply = client(&sink).submit("", &recipients, b"x\r\n").expect("reply");
            assert_eq!(reply.code, 451, "{stage:?}");
        }
        sink.behave(Behaviour { drop_before_reply: true, ..Behaviour::default() });
        assert!(client(&sink).submit("", &recipients, b"x\r\n").is_err());
        assert!(!sink.deliveries()[0].acknowledged);
        assert_eq!(sink.count(), 1);
    }

    #[test]
    fn bare_line_feeds_are_noticed() {
        let sink = Sink::start().expect("port");
        let mut client = client(&sink);
        client.send("NOOP\n");
        client.expect("250").expect("answered");
        assert_eq!(sink.breaches().len(), 1);
    }
}
