//! Who said what: a network that prints the SMTP conversations of the peers on it while they are held.
//!
//! It stands between peers and network and changes nothing, so it serves simulator and real image alike. A line of a
//! conversation is shown as it is, with octets that are not printable escaped; of a message only the beginning.

use crate::net::{
    Conditions, ConnectError, Connection, Datagrams, Handler, Instant, Later, Link, Net, StreamError,
};
use std::{
    cell::RefCell,
    io::{IsTerminal as _, Write as _},
    net::{IpAddr, SocketAddr},
    rc::Rc,
};

/// Lines of a message that are shown.
const MESSAGE_LINES_SHOWN: usize = 4;
/// Characters of a line that are shown.
const LINE_CHARS_SHOWN: usize = 160;

/// Where transcripts go.
#[derive(Debug)]
struct Printer {
    colours: bool,
}

impl Printer {
    fn line(&self, at: Instant, from: SocketAddr, to: SocketAddr, client: bool, text: &str) {
        let (ms, arrow) = (at.0 / 1_000, if client { "C" } else { "S" });
        let paint = match (self.colours, client) {
            (false, _) => ("", ""),
            (true, true) => ("\x1b[36m", "\x1b[0m"),
            (true, false) => ("\x1b[33m", "\x1b[0m"),
        };
        let shown: String = text.chars().take(LINE_CHARS_SHOWN).collect();
        let rest = text.chars().count().saturating_sub(LINE_CHARS_SHOWN);
        let rest = if rest > 0 { format!(" … {rest} more") } else { String::new() };
        let mut out = std::io::stdout().lock();
        _ = writeln!(out, "{ms:>8} {from} > {to}  {}{arrow}: {shown}{rest}{}", paint.0, paint.1);
    }
}

/// A network that tells what is said on it.
pub struct Told {
    net: Rc<dyn Net>,
    printer: Rc<Printer>,
}

impl Told {
    /// Prints to standard output, in colours if that is a terminal.
    #[must_use]
    pub fn new(net: Rc<dyn Net>) -> Self {
        Self { net, printer: Rc::new(Printer { colours: std::io::stdout().is_terminal() }) }
    }
}

impl Net for Told {
    fn now(&self) -> Instant {
        self.net.now()
    }

    fn sleep_until(&self, at: Instant) -> Later<'static, ()> {
        self.net.sleep_until(at)
    }

    fn spawn(&self, name: String, task: Later<'static, ()>) {
        self.net.spawn(name, task);
    }

    fn listen(&self, at: SocketAddr, handler: Handler) {
        let (net, printer) = (Rc::clone(&self.net), Rc::clone(&self.printer));
        self.net.listen(
            at,
            Rc::new(move |inner| {
                let talk = Rc::new(RefCell::new(Talk::default()));
                handler(Box::new(Overheard {
                    inner,
                    client: false,
                    talk,
                    net: Rc::clone(&net),
                    printer: Rc::clone(&printer),
                }))
            }),
        );
    }

    fn unlisten(&self, at: SocketAddr) {
        self.net.unlisten(at);
    }

    fn connect(&self, from: IpAddr, to: SocketAddr) -> Later<'_, Result<Box<dyn Connection>, ConnectError>> {
        Box::pin(async move {
            let inner = self.net.connect(from, to).await?;
            let (net, printer) = (Rc::clone(&self.net), Rc::clone(&self.printer));
            let talk = Rc::new(RefCell::new(Talk::default()));
            Ok(Box::new(Overheard { inner, client: true, talk, net, printer }) as _)
        })
    }

    fn bind(&self, at: SocketAddr) -> Result<Box<dyn Datagrams>, ConnectError> {
        self.net.bind(at)
    }

    fn set_link(&self, host: IpAddr, link: Link) {
        self.net.set_link(host, link);
    }

    fn set_conditions(&self, conditions: Conditions) {
        self.net.set_conditions(conditions);
    }
}

/// What has been said on one connection and not been printed yet.
#[derive(Debug, Default)]
struct Talk {
    /// Beginnings of lines: the client's and the server's.
    open: [Vec<u8>; 2],
    /// Lines of the message that is under way.
    message: Option<(usize, usize)>,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Line(String),
    /// Belongs to a message of which enough has been shown.
    Nothing,
}

impl Talk {
    /// Takes what one side said; gives the whole lines that are to be shown.
    fn hear(&mut self, client: bool, octets: &[u8]) -> Vec<Shown> {
        let side = usize::from(!client);
        let mut lines = Vec::new();
        self.open[side].extend(octets);
        while let Some(end) = self.open[side].iter().position(|octet| *octet == b'\n') {
            let line: Vec<u8> = self.open[side].drain(..=end).collect();
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let (line, odd) = match line.strip_suffix(b"\r") {
                Some(line) => (line, ""),
                None => (line, "  [LF alone]"),
            };
            lines.push(self.line(client, line, odd));
        }
        lines
    }

    fn line(&mut self, client: bool, line: &[u8], odd: &str) -> Shown {
        if !client && line.starts_with(b"354") {
            self.message = Some((0, 0));
        } else if client && let Some((lines, octets)) = &mut self.message {
            if line == b"." {
                let text = format!(". [message of {lines} lines, {octets} octets]");
                self.message = None;
                return Shown::Line(text);
            }
            *lines += 1;
            *octets += line.len() + 2;
            if *lines > MESSAGE_LINES_SHOWN && odd.is_empty() {
                return Shown::Nothing;
            }
        }
        Shown::Line(line.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'") + odd)
    }
}

/// A connection that is listened to.
struct Overheard {
    inner: Box<dyn Connection>,
    /// Whether our end is the client.
    client: bool,
    talk: Rc<RefCell<Talk>>,
    net: Rc<dyn Net>,
    printer: Rc<Printer>,
}

impl Overheard {
    fn heard(&self, ours: bool, octets: &[u8]) {
        let (local, remote) = (self.inner.local(), self.inner.remote());
        let (from, to) = if ours { (local, remote) } else { (remote, local) };
        let client = ours == self.client;
        for shown in self.talk.borrow_mut().hear(client, octets) {
            if let Shown::Line(text) = shown {
                self.printer.line(self.net.now(), from, to, client, &text);
            }
        }
    }
}

impl Connection for Overheard {
    fn local(&self) -> SocketAddr {
        self.inner.local()
    }

    fn remote(&self) -> SocketAddr {
        self.inner.remote()
    }

    fn read<'a>(&'a mut self, out: &'a mut [u8]) -> Later<'a, Result<usize, StreamError>> {
        Box::pin(async move {
            let count = self.inner.read(out).await?;
            self.heard(false, &out[..count]);
            Ok(count)
        })
    }

    fn write<'a>(&'a mut self, data: &'a [u8]) -> Later<'a, Result<usize, StreamError>> {
        Box::pin(async move {
            let count = self.inner.write(data).await?;
            self.heard(true, &data[..count]);
            Ok(count)
        })
    }

    fn close(&mut self) -> Later<'_, ()> {
        self.inner.close()
    }

    fn abort(&mut self) {
        self.inner.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_shortened_and_odd_line_ends_named() {
        let mut talk = Talk::default();
        assert_eq!(talk.hear(true, b"DA"), []);
        assert_eq!(talk.hear(true, b"TA\r\n"), [Shown::Line("DATA".into())]);
        assert_eq!(talk.hear(false, b"354 go\r\n"), [Shown::Line("354 go".into())]);
        let shown = talk.hear(true, b"1\r\n2\r\n3\r\n4\r\n5\r\n6\n.\r\nQUIT\r\n");
        let lines: Vec<&str> = shown
            .iter()
            .filter_map(|shown| match shown {
                Shown::Line(text) => Some(text.as_str()),
                Shown::Nothing => None,
            })
            .collect();
        assert_eq!(lines, ["1", "2", "3", "4", "6  [LF alone]", ". [message of 6 lines, 18 octets]", "QUIT"]);
    }
}
