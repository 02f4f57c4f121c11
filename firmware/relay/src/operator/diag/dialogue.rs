//! A conversation with a mail server, line by line, by which nothing is sent.

use crate::time::within;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use events::text::Escaped;
use limits::dns::{PROBE_CONNECT_S, PROBE_REPLY_BYTES_MAX, PROBE_REPLY_S};
use platform::{ConnectError, Source, Stream};

/// A reply: its code, and its lines without code, made printable.
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// Code and first line, as a server would be quoted.
    pub(super) fn quoted(&self) -> String {
        format!("{} {:.200}", self.code, self.lines.first().map_or("", String::as_str))
    }

    pub(super) const fn is_positive(&self) -> bool {
        self.code / 100 == 2 || self.code / 100 == 3
    }

    /// Whether a hello's reply offers a keyword.
    pub(super) fn offers(&self, keyword: &str) -> bool {
        let first =
            |line: &String| line.split(' ').next().is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        self.lines.iter().skip(1).any(first)
    }
}

/// What a server said before it was asked to do anything.
pub(super) struct Introduction {
    pub(super) greeting: Reply,
    /// The reply to EHLO, if the greeting was friendly.
    pub(super) hello: Option<Reply>,
    /// The replies to further commands, in order; the first refusal is the last.
    pub(super) replies: Vec<Reply>,
}

struct Dialogue<S> {
    stream: S,
    /// What has been read and not been taken yet.
    unread: Vec<u8>,
}

impl<S: Stream> Dialogue<S> {
    async fn reply(&mut self) -> Result<Reply, String> {
        let mut reply = Reply { code: 0, lines: Vec::new() };
        let mut bytes = 0usize;
        loop {
            while let Some(end) = self.unread.iter().position(|octet| *octet == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                bytes = bytes.saturating_add(line.len());
                let line = line.trim_ascii_end();
                let (code, rest) = line.split_at_checked(3).unwrap_or((line, b""));
                let code = core::str::from_utf8(code).ok().and_then(|code| code.parse().ok());
                reply.code =
                    code.ok_or_else(|| format!("it does not speak SMTP: `{:.60}`", Escaped(line)))?;
                let (mark, text) = rest.split_at_checked(1).unwrap_or((b" ", b""));
                reply.lines.push(format!("{}", Escaped(text)));
                if mark != b"-" {
                    return Ok(reply);
                }
            }
            if bytes.saturating_add(self.unread.len()) > PROBE_REPLY_BYTES_MAX {
                return Err("its reply has no end".into());
            }
            let mut buffer = [0; 256];
            match self.stream.read(&mut buffer).await {
                Ok(0) => return Err("it closed the connection".into()),
                Ok(count) => self.unread.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(_) => return Err("the connection broke".into()),
            }
        }
    }

    async fn say(&mut self, line: &str) -> Result<(), String> {
        let line = format!("{line}\r\n");
        self.stream.write_all(line.as_bytes()).await.map_err(|_| "the connection broke".into())
    }
}

/// Connects, says hello, then says `commands` as long as each is answered well, and goodbye.
///
/// # Errors
/// Why there is no conversation, in words that stand after the name of the server.
pub(super) async fn introduce<P: Platform>(
    appliance: &Appliance<'_, P>,
    server: SocketAddr,
    source: &Source,
    commands: &[String],
) -> Result<Introduction, String> {
    use platform::Connector as _;
    let timer = &appliance.timer;
    let leased = within(timer, PROBE_CONNECT_S, appliance.connectors.lease()).await;
    let mut connector =
        leased.map_err(|_| String::from("all connections for checks are in use; try again"))?;
    let connected = within(timer, PROBE_CONNECT_S, connector.connect(server, source)).await;
    let stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(ConnectError::Refused)) => {
            return Err("refuses the connection: its SMTP service does not run, or listens elsewhere".into());
        }
        Ok(Err(ConnectError::NoRoute)) => {
            return Err("cannot be reached: there is no network or route".into());
        }
        Ok(Err(ConnectError::Timeout)) | Err(_) => {
            return Err("does not answer: a firewall between here and there may drop port 25".into());
        }
    };
    let own_name = appliance.settings().hostname().to_ascii_lowercase();
    let mut dialogue = Dialogue { stream, unread: Vec::new() };
    let said = within(timer, PROBE_REPLY_S, converse(&mut dialogue, &own_name, commands)).await;
    dialogue.stream.abort();
    said.unwrap_or_else(|_| Err("accepted the connection and then did not answer in time".into()))
}

async fn converse<S: Stream>(
    dialogue: &mut Dialogue<S>,
    own_name: &str,
    commands: &[String],
) -> Result<Introduction, String> {
    let greeting = dialogue.reply().await?;
    let mut introduction = Introduction { greeting, hello: None, replies: Vec::new() };
    if introduction.greeting.is_positive() {
        dialogue.say(&format!("EHLO {own_name}")).await?;
        let hello = dialogue.reply().await?;
        let friendly = hello.is_positive();
        introduction.hello = Some(hello);
        for command in commands.iter().filter(|_| friendly) {
            dialogue.say(command).await?;
            let reply = dialogue.reply().await?;
            let friendly = reply.is_positive();
            introduction.replies.push(reply);
            if !friendly {
                break;
            }
        }
    }
    // A server that does not wait for it is none the worse.
    if dialogue.say("QUIT").await.is_ok() {
        let _ = dialogue.reply().await;
    }
    Ok(introduction)
}
