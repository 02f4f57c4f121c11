//! A client under the control of a test.

use crate::network::{Network, SimStream};
use embedded_io_async::Read;
use platform::{Stream, StreamError};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
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
                // The queue may have room for a message and not for its recipient: then a transaction is open.
                if reply.code != 421 && !command.starts_with("MAIL") {
                    self.raw(b"RSET\r\n").await.ok()?;
                    self.reply().await?;
                }
                return Some(reply);
            }
        }
        self.raw(&dot_stuffed(content)).await.ok()?;
        self.reply().await
    }

    /// Sends one message by BDAT, in chunks of at most so many octets, and returns the reply that decided about it. What
    /// stands behind the addresses are their parameters. `None` when the connection ended.
    pub async fn send_chunks(
        &mut self,
        from: &str,
        to: &[&str],
        content: &[u8],
        most: usize,
    ) -> Option<Reply> {
        let mut commands = vec![format!("MAIL FROM:{from}").into_bytes()];
        commands.extend(to.iter().map(|to| format!("RCPT TO:{to}").into_bytes()));
        for chunk in content.chunks(most) {
            commands.push([format!("BDAT {}\r\n", chunk.len()).as_bytes(), chunk].concat());
        }
        for mut command in commands {
            if !command.starts_with(b"BDAT") {
                command.extend_from_slice(b"\r\n");
            }
            self.raw(&command).await.ok()?;
            let reply = self.reply().await?;
            if reply.code >= 400 {
                return Some(reply);
            }
        }
        self.raw(b"BDAT 0 LAST\r\n").await.ok()?;
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
