//! An SMTP client, one command at a time or raw octets.

use super::talk::Talk;
use crate::net::{ConnectError, Net, StreamError};
use std::net::{IpAddr, SocketAddr};

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

    /// Whether a line after EHLO begins with `keyword`.
    #[must_use]
    pub fn offers(&self, keyword: &str) -> bool {
        self.lines.iter().skip(1).any(|line| line.split(' ').next() == Some(keyword))
    }

    /// Whether it means yes.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }
}

/// How a message is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission<'a> {
    /// The envelope sender; empty for the null sender.
    pub sender: &'a str,
    /// What follows it in MAIL.
    pub sender_parameters: &'a str,
    /// The recipients.
    pub to: &'a [&'a str],
    /// The content.
    pub content: &'a [u8],
    /// Octets of one BDAT chunk; `None` uses DATA.
    pub chunk_bytes: Option<usize>,
}

/// What became of a submission: the answers that decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Refused recipients with the answers.
    pub refused: Vec<(String, Reply)>,
    /// The answer about the whole message: after the content, or the one that ended it earlier.
    pub reply: Reply,
}

/// A client on an open connection.
pub struct Client {
    talk: Talk,
}

impl Client {
    /// Connects from the host `from`, without waiting for the greeting.
    ///
    /// # Errors
    /// When no connection comes about.
    pub async fn connect(net: &dyn Net, from: IpAddr, to: SocketAddr) -> Result<Self, ConnectError> {
        Ok(Self { talk: Talk::new(net.connect(from, to).await?) })
    }

    /// Connects and says EHLO.
    ///
    /// # Panics
    /// When the server is not there or does not greet.
    pub async fn greet(net: &dyn Net, from: IpAddr, to: SocketAddr, name: &str) -> (Self, Reply) {
        let mut client = Self::connect(net, from, to).await.expect("somebody listens");
        client.reply().await.expect("a greeting").expect(220, "");
        let reply = client.command(&format!("EHLO {name}")).await;
        (client, reply)
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn raw(&mut self, octets: &[u8]) -> Result<(), StreamError> {
        self.talk.send(octets).await
    }

    /// The next reply, or `None` when the server closed the connection instead.
    pub async fn reply(&mut self) -> Option<Reply> {
        let mut lines = Vec::new();
        loop {
            let line = self.talk.raw_line().await.ok()??;
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            let code = line.get(..3)?.parse().ok()?;
            lines.push(line.get(4..).unwrap_or_default().to_string());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Some(Reply { code, lines });
            }
        }
    }

    /// Sends a command and waits for its reply; `None` when the connection ends instead.
    pub async fn try_command(&mut self, command: &str) -> Option<Reply> {
        self.talk.say(command).await.ok()?;
        self.reply().await
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Panics
    /// When the connection ends instead.
    pub async fn command(&mut self, command: &str) -> Reply {
        self.try_command(command).await.unwrap_or_else(|| panic!("connection closed after {command}"))
    }

    /// Hands one message over. `None` when the connection ended.
    pub async fn submit(&mut self, submission: &Submission<'_>) -> Option<Outcome> {
        let Submission { sender, sender_parameters, to, content, chunk_bytes } = submission;
        let space = if sender_parameters.is_empty() { "" } else { " " };
        let reply = self.try_command(&format!("MAIL FROM:<{sender}>{space}{sender_parameters}")).await?;
        let mut refused = Vec::new();
        if !reply.is_positive() {
            return Some(Outcome { refused, reply });
        }
        for to in *to {
            let reply = self.try_command(&format!("RCPT TO:<{to}>")).await?;
            if !reply.is_positive() {
                refused.push((to.to_string(), reply));
            }
        }
        if refused.len() == to.len() {
            let reply = refused.last().map(|(_, reply)| reply.clone())?;
            self.try_command("RSET").await?;
            return Some(Outcome { refused, reply });
        }
        let reply = match chunk_bytes {
            None => {
                let reply = self.try_command("DATA").await?;
                if reply.is_positive() {
                    self.raw(&dot_stuffed(content)).await.ok()?;
                    self.reply().await?
                } else {
                    reply
                }
            }
            Some(chunk) => self.chunks(content, (*chunk).max(1)).await?,
        };
        Some(Outcome { refused, reply })
    }

    async fn chunks(&mut self, content: &[u8], chunk_bytes: usize) -> Option<Reply> {
        let mut rest = content;
        loop {
            let (chunk, after) = rest.split_at(chunk_bytes.min(rest.len()));
            rest = after;
            let last = if rest.is_empty() { " LAST" } else { "" };
            self.raw(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes()).await.ok()?;
            self.raw(chunk).await.ok()?;
            let reply = self.reply().await?;
            if rest.is_empty() || !reply.is_positive() {
                return Some(reply);
            }
        }
    }

    /// Says QUIT and waits for the answer.
    pub async fn quit(mut self) {
        if self.try_command("QUIT").await.is_some() {
            self.talk.close().await;
        }
    }

    /// Ends the connection without a word.
    pub fn abort(self) {
        self.talk.abort();
    }
}

/// `content` as it goes over the wire by DATA: dots doubled, closing line appended.
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
