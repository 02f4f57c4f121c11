//! A raw SMTP client that can be made to behave as badly as a test wants.
//!
//! Sending never blocks: a thread of its own writes, so a test can go on sending while it reads replies, and a peer
//! that stops reading cannot stop the test.

use crate::{machine::FIRST_TRY, message::Message};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    fmt,
    io::{BufRead as _, BufReader, ErrorKind, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::mpsc::{Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// One reply with all its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// The lines, without CRLF, code and the character behind it.
    pub lines: Vec<String>,
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.lines.join(" / "))
    }
}

impl Reply {
    /// The last line as it was sent.
    #[must_use]
    pub fn last_line(&self) -> String {
        format!("{} {}", self.code, self.lines.last().map_or("", String::as_str))
    }

    /// The queue ID that the appliance names in its 250 to the content.
    #[must_use]
    pub fn queue_id(&self) -> Option<String> {
        self.lines.last()?.split_once("Queued as ").map(|(_, id)| id.trim().to_owned())
    }
}

enum Send {
    Octets { octets: Vec<u8>, piece: usize, pause: Duration },
    HalfClose,
}

/// One connection.
pub struct SmtpClient {
    reader: BufReader<TcpStream>,
    queue: Option<Sender<Send>>,
    writer: Option<JoinHandle<()>>,
}

impl SmtpClient {
    /// Connects, and lets no read last longer than `patience`. The greeting has not been read.
    ///
    /// # Errors
    /// Those of the network.
    pub fn connect(address: SocketAddr, patience: Duration) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, patience)
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        let mut wire = stream.try_clone()?;
        let (queue, jobs) = channel();
        let writer = std::thread::spawn(move || {
            for job in jobs {
                let done = match job {
                    Send::Octets { octets, piece, pause } => octets.chunks(piece).try_for_each(|octets| {
                        wire.write_all(octets)?;
                        std::thread::sleep(pause);
                        Ok::<_, std::io::Error>(())
                    }),
                    Send::HalfClose => wire.shutdown(Shutdown::Write),
                };
                // The peer has closed: whoever reads will see it.
                if done.is_err() {
                    break;
                }
            }
        });
        Ok(Self { reader: BufReader::new(stream), queue: Some(queue), writer: Some(writer) })
    }

    /// Connects as often as it takes to be greeted with 220, for at most `deadline`. For servers that are starting,
    /// behind forwarders that accept connections before the server does.
    ///
    /// # Errors
    /// What the last try met.
    pub fn connect_when_ready(address: SocketAddr, patience: Duration, deadline: Duration) -> Result<Self> {
        let start = Instant::now();
        let mut limit = FIRST_TRY.min(patience);
        loop {
            let tried = Self::connect(address, limit).and_then(|mut client| {
                client.expect("220")?;
                client.reader.get_ref().set_read_timeout(Some(patience))?;
                Ok(client)
            });
            limit = (limit * 2).min(patience);
            match tried {
                Err(_) if start.elapsed() < deadline => std::thread::sleep(Duration::from_millis(50)),
                result => return result.with_context(|| format!("no 220 within {deadline:?}")),
            }
        }
    }

    /// Sends octets as they are.
    pub fn send(&mut self, octets: impl Into<Vec<u8>>) {
        self.send_in_pieces(octets, usize::MAX, Duration::ZERO);
    }

    /// Sends octets in segments of `piece` octets, each followed by `pause`.
    pub fn send_in_pieces(&mut self, octets: impl Into<Vec<u8>>, piece: usize, pause: Duration) {
        if let Some(queue) = &self.queue {
            // If the writer has ended the peer has closed, which reading will show.
            _ = queue.send(Send::Octets { octets: octets.into(), piece, pause });
        }
    }

    /// Lets no read last longer than this from here on.
    ///
    /// # Errors
    /// Those of the system.
    pub fn patience(&mut self, patience: Duration) -> Result<()> {
        Ok(self.reader.get_ref().set_read_timeout(Some(patience))?)
    }

    /// Says that nothing more will be sent, after what is on its way.
    pub fn half_close(&mut self) {
        if let Some(queue) = &self.queue {
            _ = queue.send(Send::HalfClose);
        }
    }

    /// The next reply, or `None` if the peer has closed or reset the connection.
    ///
    /// # Errors
    /// Silence for longer than the patience, and replies that are none.
    pub fn next_reply(&mut self) -> Result<Option<Reply>> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = Vec::new();
            match self.reader.read_until(b'\n', &mut line) {
                Ok(0) if lines.is_empty() => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(None),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    bail!("no reply, the peer is silent")
                }
                Err(error) => return Err(error.into()),
            }
            let Some(text) = line.strip_suffix(b"\r\n").filter(|l| l.is_ascii() && l.len() >= 3) else {
                bail!("not a reply line: {:?}", String::from_utf8_lossy(&line))
            };
            let text = String::from_utf8_lossy(text);
            let (code, rest) = text.split_at(3);
            let code: u16 = code.parse().with_context(|| format!("not a reply line: {text:?}"))?;
            lines.push(rest.get(1..).unwrap_or_default().to_owned());
            if !rest.starts_with('-') {
                return Ok(Some(Reply { code, lines }));
            }
        }
    }

    /// The next reply; a closed connection is an error.
    ///
    /// # Errors
    /// As [`Self::next_reply`].
    pub fn reply(&mut self) -> Result<Reply> {
        self.next_reply()?.context("connection closed instead of a reply")
    }

    /// Reads one reply and wants its last line to begin with `start`.
    ///
    /// # Errors
    /// As [`Self::reply`], and another reply.
    pub fn expect(&mut self, start: &str) -> Result<Reply> {
        let reply = self.reply()?;
        ensure!(reply.last_line().starts_with(start), "expected {start}, got {reply}");
        Ok(reply)
    }

    /// Sends a line and returns the reply.
    ///
    /// # Errors
    /// As [`Self::reply`].
    pub fn command(&mut self, line: &str) -> Result<Reply> {
        self.send(format!("{line}\r\n"));
        self.reply().with_context(|| format!("after {line}"))
    }

    /// Says EHLO.
    ///
    /// # Errors
    /// Everything but 250.
    pub fn hello(&mut self) -> Result<()> {
        let reply = self.command("EHLO client.example.org")?;
        ensure!(reply.code == 250, "EHLO got {reply}");
        Ok(())
    }

    /// Hands in one message with all commands pipelined, and returns the reply to its content, or the first negative
    /// reply on the way. `content` must consist of lines that end in CRLF; dots are stuffed here.
    ///
    /// # Errors
    /// Those of the connection; whether the message was accepted is then not known.
    pub fn submit(&mut self, sender: &str, recipients: &[String], content: &[u8]) -> Result<Reply> {
        let mut envelope = format!("MAIL FROM:<{sender}>\r\n");
        for recipient in recipients {
            envelope += &format!("RCPT TO:<{recipient}>\r\n");
        }
        self.send(envelope + "DATA\r\n");
        let mut refusal = None;
        for _ in 0..1 + recipients.len() {
            let reply = self.reply()?;
            if reply.code != 250 {
                refusal.get_or_insert(reply);
            }
        }
        let reply = self.reply()?;
        if reply.code != 354 {
            return Ok(refusal.unwrap_or(reply));
        }
        self.send([&stuffed(content)[..], b".\r\n"].concat());
        let reply = self.reply()?;
        Ok(refusal.unwrap_or(reply))
    }

    /// As [`Self::submit`], waiting for each reply: for servers that do not offer PIPELINING.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn submit_in_steps(&mut self, sender: &str, recipient: &str, content: &[u8]) -> Result<Reply> {
        for command in [format!("MAIL FROM:<{sender}>"), format!("RCPT TO:<{recipient}>"), "DATA".to_owned()]
        {
            let reply = self.command(&command)?;
            if reply.code >= 400 {
                return Ok(reply);
            }
        }
        self.send([&stuffed(content)[..], b".\r\n"].concat());
        self.reply()
    }

    /// Hands in one message for its one recipient; see [`Self::submit`].
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn hand_in(&mut self, message: &Message) -> Result<Reply> {
        self.submit(&message.sender, std::slice::from_ref(&message.recipient), &message.content)
    }

    /// Says QUIT and waits for the end.
    ///
    /// # Errors
    /// Everything but 221 and the end.
    pub fn quit(mut self) -> Result<()> {
        let reply = self.command("QUIT")?;
        ensure!(reply.code == 221, "QUIT got {reply}");
        self.expect_end()
    }

    /// Wants the peer to close without a further reply.
    ///
    /// # Errors
    /// A reply, or silence.
    pub fn expect_end(&mut self) -> Result<()> {
        match self.next_reply()? {
            None => Ok(()),
            Some(reply) => bail!("expected the end of the connection, got {reply}"),
        }
    }
}

impl Drop for SmtpClient {
    fn drop(&mut self) {
        // Both directions, so that a writer that is stuck comes free.
        _ = self.reader.get_ref().shutdown(Shutdown::Both);
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            _ = writer.join();
        }
    }
}

/// Doubles the dot at the start of each line.
#[must_use]
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + content.len() / 64);
    for line in content.split_inclusive(|b| *b == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    out
}
