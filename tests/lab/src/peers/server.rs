//! The SMTP server that all peers are: the standard's part here, what makes one different in its [`Character`].
//!
//! It takes what RFC 5321, 3030 (CHUNKING, BINARYMIME) and 2920 (PIPELINING) allow and writes down as a violation
//! whatever the appliance sends beyond what was offered to it.

use super::ledger::{Ledger, Received};
use super::talk::Talk;
use crate::net::{Connection, Instant, Later, Net, StreamError};
use std::net::SocketAddr;
use std::rc::Rc;

/// What a character knows when it is asked.
#[derive(Clone, Debug)]
pub struct Session {
    /// The client.
    pub client: SocketAddr,
    /// The address that it connected to.
    pub local: SocketAddr,
    /// Which connection of the whole world this is.
    pub connection: u64,
    /// What the client called itself, with the verb; empty before.
    pub hello: String,
    /// Whether it said EHLO.
    pub extended: bool,
    /// The envelope sender, in a transaction.
    pub sender: Option<String>,
    /// What followed it.
    pub sender_parameters: Vec<String>,
    /// Recipients accepted so far.
    pub recipients: Vec<(String, Vec<String>)>,
    /// Messages taken over this connection.
    pub messages: u64,
    /// What time it is.
    pub now: Instant,
}

/// What makes one server different. All texts are whole replies; after one that begins with 421 the connection is
/// closed.
pub trait Character {
    /// Who this is, in the ledger.
    fn name(&self) -> String;
    /// The greeting.
    fn greeting(&self, session: &Session) -> String;
    /// What follows 250 in the first line of the answer to EHLO and HELO.
    fn hello(&self, session: &Session) -> String;
    /// Keywords after EHLO; `None` when EHLO is unknown here.
    fn keywords(&self, session: &Session) -> Option<Vec<String>>;
    /// Answers MAIL.
    fn mail(&self, session: &Session) -> String;
    /// Answers RCPT for one more recipient.
    fn rcpt(&self, session: &Session, to: &str) -> String;
    /// Answers DATA with something other than 354.
    fn data(&self, _session: &Session) -> Option<String> {
        None
    }
    /// Has a message, not yet in the ledger, and answers; what begins with 2 is written into the ledger and then given to
    /// [`Character::keep`].
    fn taken(&self, session: &Session, message: &Received) -> String;
    /// Keeps a message that was accepted.
    fn keep(&self, message: Rc<Received>);
    /// Milliseconds before each answer.
    fn delay_ms(&self) -> u64 {
        0
    }
    /// A connection has ended.
    fn gone(&self, _session: &Session) {}
}

/// Serves `at` with `character`.
pub fn serve(net: &Rc<dyn Net>, ledger: &Ledger, at: SocketAddr, character: Rc<dyn Character>) {
    let (ledger, inner) = (ledger.clone(), net.clone());
    net.listen(
        at,
        Rc::new(move |connection: Box<dyn Connection>| -> Later<'static, ()> {
            let serving = Serving {
                session: Session {
                    client: connection.remote(),
                    local: connection.local(),
                    connection: ledger.connection(),
                    hello: String::new(),
                    extended: false,
                    sender: None,
                    sender_parameters: Vec::new(),
                    recipients: Vec::new(),
                    messages: 0,
                    now: inner.now(),
                },
                talk: Talk::new(connection),
                character: character.clone(),
                ledger: ledger.clone(),
                net: inner.clone(),
                chunks: None,
            };
            Box::pin(serving.run())
        }),
    );
}

struct Serving {
    session: Session,
    talk: Talk,
    character: Rc<dyn Character>,
    ledger: Ledger,
    net: Rc<dyn Net>,
    /// Content by BDAT so far.
    chunks: Option<Vec<u8>>,
}

/// Whether the session goes on.
type Goes = Result<bool, StreamError>;

impl Serving {
    async fn run(mut self) {
        let ended = self.serve().await;
        self.character.gone(&self.session);
        if ended.is_ok() {
            self.talk.close().await;
        }
    }

    async fn serve(&mut self) -> Result<(), StreamError> {
        let greeting = self.character.greeting(&self.session);
        if !self.say(&greeting).await? {
            return Ok(());
        }
        while let Some(line) = self.talk.raw_line().await? {
            self.session.now = self.net.now();
            let line = self.checked(&line);
            if !self.command(&line).await? {
                break;
            }
        }
        Ok(())
    }

    /// A command line as text, without its end.
    fn checked(&self, line: &[u8]) -> String {
        if !line.ends_with(b"\r\n") {
            self.violation("a command line ends in a bare LF");
        }
        if line.len() > 2_048 {
            self.violation("a command line is longer than any extension allows");
        }
        String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']).to_string()
    }

    async fn command(&mut self, line: &str) -> Goes {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "EHLO" | "HELO" => self.hello(&verb, line).await,
            "MAIL" => self.mail(line).await,
            "RCPT" => self.rcpt(line).await,
            "DATA" => self.data().await,
            "BDAT" => self.bdat(line).await,
            "RSET" => {
                self.forget();
                self.say("250 2.0.0 Resetting").await
            }
            "NOOP" => self.say("250 2.0.0 OK").await,
            "QUIT" => {
                self.say("221 2.0.0 Service closing transmission channel").await?;
                Ok(false)
            }
            "X" | "AUTH" | "XEXCH50" | "XRDST" | "XSHADOW" | "XSHADOWREQUEST" | "XPROXY" => {
                self.violation(&format!("uses {verb}, which is between Exchange servers only"));
                self.say("500 5.3.3 Unrecognized command").await
            }
            _ => self.say("500 5.3.3 Unrecognized command").await,
        }
    }

    async fn hello(&mut self, verb: &str, line: &str) -> Goes {
        self.forget();
        let keywords = self.character.keywords(&self.session);
        if verb == "EHLO" && keywords.is_none() {
            return self.say("500 5.5.1 Command not recognized").await;
        }
        self.session.hello = line.to_string();
        self.session.extended = verb == "EHLO";
        let first = self.character.hello(&self.session);
        let mut lines = vec![first];
        lines.extend(keywords.filter(|_| self.session.extended).unwrap_or_default());
        let last = lines.len() - 1;
        let rows = lines.iter().enumerate();
        let text: Vec<String> =
            rows.map(|(i, row)| format!("250{}{row}", if i == last { ' ' } else { '-' })).collect();
        self.say(&text.join("\r\n")).await
    }

    async fn mail(&mut self, line: &str) -> Goes {
        let Some((sender, parameters)) = path(line, "MAIL FROM:") else {
            return self.say("501 5.5.4 Invalid arguments").await;
        };
        if self.session.sender.is_some() {
            self.violation("MAIL inside a transaction");
            return self.say("503 5.5.2 Sender already specified").await;
        }
        self.check_parameters(&parameters);
        if !sender.is_ascii() && !parameters.iter().any(|p| p == "SMTPUTF8") {
            self.violation("an address beyond ASCII without SMTPUTF8");
        }
        (self.session.sender, self.session.sender_parameters) = (Some(sender), parameters);
        let reply = self.character.mail(&self.session);
        if !reply.starts_with('2') {
            self.forget();
        }
        self.say(&reply).await
    }

    async fn rcpt(&mut self, line: &str) -> Goes {
        let Some((to, parameters)) = path(line, "RCPT TO:") else {
            return self.say("501 5.5.4 Invalid arguments").await;
        };
        if self.session.sender.is_none() {
            return self.say("503 5.5.2 Need mail command").await;
        }
        self.check_parameters(&parameters);
        let reply = self.character.rcpt(&self.session, &to);
        if reply.starts_with('2') {
            self.session.recipients.push((to, parameters));
        }
        self.say(&reply).await
    }

    async fn data(&mut self) -> Goes {
        if self.session.recipients.is_empty() {
            self.forget();
            return self.say("554 5.5.1 No valid recipients").await;
        }
        if self.chunks.is_some() {
            self.violation("DATA after BDAT");
        }
        if self.session.sender_parameters.iter().any(|p| p == "BODY=BINARYMIME") {
            self.violation("DATA with BODY=BINARYMIME (RFC 3030 section 3)");
        }
        if let Some(reply) = self.character.data(&self.session) {
            self.forget();
            return self.say(&reply).await;
        }
        self.say("354 Start mail input; end with <CRLF>.<CRLF>").await?;
        let content = self.content().await?;
        self.take(content, false).await
    }

    async fn bdat(&mut self, line: &str) -> Goes {
        let mut words = line.split_whitespace().skip(1);
        let count = words.next().and_then(|word| word.parse::<usize>().ok());
        let Some(count) = count.filter(|count| *count <= 200 << 20) else {
            return self.say("501 5.5.4 Invalid arguments").await;
        };
        let last = words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST"));
        if !self.offers("CHUNKING") {
            self.violation("BDAT without CHUNKING");
        }
        let chunk = self.talk.exactly(count).await?;
        if self.session.recipients.is_empty() {
            self.forget();
            return self.say("554 5.5.1 No valid recipients").await;
        }
        self.chunks.get_or_insert_default().extend_from_slice(&chunk);
        if !last {
            return self.say(&format!("250 2.1.5 Chunk received OK, {count} octets")).await;
        }
        let content = self.chunks.take().unwrap_or_default();
        if !self.session.sender_parameters.iter().any(|p| p == "BODY=BINARYMIME") && has_bare(&content) {
            self.violation("bare CR or LF in content that is not said to be binary");
        }
        self.take(content, true).await
    }

    async fn take(&mut self, content: Vec<u8>, chunked: bool) -> Goes {
        self.session.now = self.net.now();
        let message = Received {
            peer: self.character.name(),
            from: self.session.client,
            at: self.session.local,
            hello: self.session.hello.clone(),
            sender: self.session.sender.clone().unwrap_or_default(),
            sender_parameters: self.session.sender_parameters.clone(),
            recipients: self.session.recipients.clone(),
            content,
            chunked,
            connection: self.session.connection,
            when: self.session.now,
        };
        let declared = |p: &String| p == "BODY=8BITMIME" || p == "BODY=BINARYMIME" || p == "SMTPUTF8";
        if !message.content.is_ascii() && !message.sender_parameters.iter().any(declared) {
            self.violation("octets beyond ASCII that were not declared");
        }
        let reply = self.character.taken(&self.session, &message);
        self.forget();
        if reply.starts_with('2') {
            self.session.messages += 1;
            let message = self.ledger.received(message);
            self.character.keep(message);
        }
        self.say(&reply).await
    }

    fn forget(&mut self) {
        self.session.sender = None;
        self.session.sender_parameters.clear();
        self.session.recipients.clear();
        self.chunks = None;
    }

    fn offers(&self, keyword: &str) -> bool {
        self.session.extended
            && self
                .character
                .keywords(&self.session)
                .is_some_and(|all| all.iter().any(|each| each.split(' ').next() == Some(keyword)))
    }

    /// Parameters may only be those of extensions that were offered (RFC 5321 section 2.2.1).
    fn check_parameters(&self, parameters: &[String]) {
        for parameter in parameters {
            let name = parameter.split('=').next().unwrap_or_default().to_ascii_uppercase();
            let extension = match (name.as_str(), parameter.as_str()) {
                ("BODY", "BODY=BINARYMIME") => "BINARYMIME",
                ("BODY", _) => "8BITMIME",
                ("RET" | "ENVID" | "NOTIFY" | "ORCPT", _) => "DSN",
                (other, _) => other,
            };
            if !self.offers(extension) {
                self.violation(&format!("{parameter} without {extension}"));
            }
        }
    }

    fn violation(&self, what: &str) {
        self.ledger.violation(&self.character.name(), what);
    }

    /// Sends a reply; after one of 421 the session is over.
    async fn say(&mut self, text: &str) -> Goes {
        let delay_ms = self.character.delay_ms();
        if delay_ms > 0 {
            self.net.sleep_ms(delay_ms).await;
        }
        self.talk.say(text).await?;
        Ok(!text.starts_with("421"))
    }

    /// Reads to the line with the lone dot; returns the content without doubled dots.
    async fn content(&mut self) -> Result<Vec<u8>, StreamError> {
        let mut content = Vec::new();
        loop {
            let Some(line) = self.talk.raw_line().await? else { return Err(StreamError::Reset) };
            if line.len() > 1_000 {
                self.violation("a line of more than 998 octets in content");
            }
            if line == b".\r\n" {
                if has_bare(&content) {
                    self.violation("bare CR or LF in content");
                }
                if content.contains(&0) {
                    self.violation("NUL in content");
                }
                return Ok(content);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }
}

/// Whether there is a CR without LF or a LF without CR.
#[must_use]
pub fn has_bare(content: &[u8]) -> bool {
    let mut before = b'\n';
    for &octet in content {
        if (octet == b'\n') != (before == b'\r') {
            return true;
        }
        before = octet;
    }
    before == b'\r'
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
    Some((rest.strip_prefix('<')?.get(..end - 1)?.to_string(), parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_line_ends_are_seen_wherever_they_stand() {
        for clean in [&b""[..], b"a\r\nb\r\n", b"\r\n", b"a"] {
            assert!(!has_bare(clean), "{clean:?}");
        }
        for bare in [&b"\n"[..], b"a\nb", b"a\rb\r\n", b"a\r", b"a\r\r\n", b"a\n\r\n"] {
            assert!(has_bare(bare), "{bare:?}");
        }
    }

    #[test]
    fn a_path_and_its_parameters_are_taken_apart() {
        assert_eq!(path("MAIL FROM:<>", "MAIL FROM:"), Some((String::new(), vec![])));
        let expected = Some(("a@b.example".to_string(), vec!["SIZE=3".to_string()]));
        assert_eq!(path("mail from: <a@b.example> SIZE=3", "MAIL FROM:"), expected);
        assert_eq!(path("MAIL FROM:a@b.example", "MAIL FROM:"), None);
    }
}
