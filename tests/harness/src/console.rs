//! The serial console as a person uses it: type a line, read until something appears.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer may take unless the caller says otherwise. The machine may share its processor with others.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// What one look at the console takes of the patience at most.
const SLICE: Duration = Duration::from_millis(100);

/// Characters of what was seen that an error repeats.
const SHOWN_CHARS_MAX: usize = 2_000;

/// A connection to the console, with everything that was ever printed on it.
#[derive(Debug)]
pub struct Console {
    stream: UnixStream,
    seen: Arc<Seen>,
    /// Octets of the transcript that earlier expectations have used up.
    cursor: usize,
}

#[derive(Debug, Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    closed: bool,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Console {
    /// Connects to the socket that the emulator listens on; waits for it to appear.
    ///
    /// # Errors
    /// When nobody listens within `patience`.
    pub fn connect(socket: &Path, patience: Duration) -> Result<Self> {
        let deadline = Instant::now() + patience;
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() >= deadline => {
                    return Err(error).with_context(|| format!("no console at {}", socket.display()));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        let seen = Arc::new(Seen::default());
        let (mut reader, collected) = (stream.try_clone()?, Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let count = reader.read(&mut buffer).unwrap_or(0);
                let mut state = collected.lock();
                match buffer.get(..count) {
                    Some(read) if !read.is_empty() => state.text.extend_from_slice(read),
                    _ => state.closed = true,
                }
                collected.changed.notify_all();
                if state.closed {
                    return;
                }
            }
        });
        Ok(Self { stream, seen, cursor: 0 })
    }

    /// Types `text` as it is.
    ///
    /// # Errors
    /// When the machine is gone.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.stream.write_all(text.as_bytes()).context("the console is closed")
    }

    /// Types `line` and the Enter key.
    ///
    /// # Errors
    /// When the machine is gone.
    pub fn send_line(&mut self, line: &str) -> Result<()> {
        self.send(line)?;
        self.send("\r")
    }

    /// Reads until `text` appears and gives everything from the last expectation up to and with it.
    ///
    /// # Errors
    /// When it does not appear within [`PATIENCE`] or the machine is gone; carries what was seen instead.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        self.expect_any(&[text], PATIENCE).map(|(_, seen)| seen)
    }

    /// As [`Console::expect`], with another patience.
    ///
    /// # Errors
    /// As [`Console::expect`].
    pub fn expect_within(&mut self, text: &str, patience: Duration) -> Result<String> {
        self.expect_any(&[text], patience).map(|(_, seen)| seen)
    }

    /// Reads until the first of `texts` appears; gives its index and everything up to and with it.
    ///
    /// # Errors
    /// As [`Console::expect`].
    pub fn expect_any(&mut self, texts: &[&str], patience: Duration) -> Result<(usize, String)> {
        let first = |fresh: &[u8]| {
            let found =
                |(index, text): (usize, &&str)| Some((find(fresh, text.as_bytes())? + text.len(), index));
            texts.iter().enumerate().filter_map(found).min()
        };
        self.expect_what(first, &format!("{texts:?}"), patience)
    }

    /// Reads until the console asks for a command: a line that begins with a name of letters, digits and hyphens, perhaps
    /// a star, and `> `. Gives everything up to and with it.
    ///
    /// # Errors
    /// As [`Console::expect`].
    pub fn expect_prompt(&mut self, patience: Duration) -> Result<String> {
        self.expect_what(|fresh| Some((prompt_end(fresh)?, 0)), "a prompt", patience).map(|(_, seen)| seen)
    }

    /// Reads until `first` finds something: where it ends, and a number for it.
    fn expect_what(
        &mut self,
        first: impl Fn(&[u8]) -> Option<(usize, usize)>,
        what: &str,
        patience: Duration,
    ) -> Result<(usize, String)> {
        let mut left = patience;
        let mut state = self.seen.lock();
        loop {
            let fresh = state.text.get(self.cursor..).unwrap_or_default();
            if let Some((end, index)) = first(fresh) {
                let matched = String::from_utf8_lossy(fresh.get(..end).unwrap_or_default()).into_owned();
                self.cursor += end;
                return Ok((index, matched));
            }
            if state.closed || left.is_zero() {
                let why = if state.closed { "the machine closed the console" } else { "in vain" };
                let shown = String::from_utf8_lossy(fresh);
                let skipped = shown.chars().count().saturating_sub(SHOWN_CHARS_MAX);
                let shown: String = shown.chars().skip(skipped).collect();
                bail!("waited for {what} {why}; on the console since then:\n{shown}");
            }
            // Patience is counted in short slices: where the whole host stands still for a minute, the machine that is
            // waited for has stood still as well.
            let (slice, begun) = (left.min(SLICE), Instant::now());
            state = self.seen.changed.wait_timeout(state, slice).unwrap_or_else(PoisonError::into_inner).0;
            left = left.saturating_sub(begun.elapsed().min(slice));
        }
    }

    /// Everything that was printed since the start, as text.
    #[must_use]
    pub fn transcript(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().text).into_owned()
    }

    /// Writes the transcript to a file, for people who look for the cause of a failure.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save_transcript(&self, path: &Path) -> Result<()> {
        fs::write(path, &self.seen.lock().text).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // Ends the reading thread.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len().max(1)).position(|window| window == wanted)
}

/// Where the first prompt ends. The line editor may have sent an escape sequence in front of it.
fn prompt_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(found) = find(text.get(at..)?, b"> ") {
        let mark = at + found;
        let before = text.get(..mark).unwrap_or_default();
        let name = before.strip_suffix(b"*").unwrap_or(before);
        let other = name.iter().rposition(|octet| !octet.is_ascii_alphanumeric() && *octet != b'-');
        let begins = match other {
            None => true,
            Some(at) => {
                matches!(name.get(at), Some(b'\n' | b'\r'))
                    || name.get(..=at).is_some_and(|n| n.ends_with(b"\x1b["))
            }
        };
        if begins {
            return Some(mark + 2);
        }
        at = mark + 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ScratchDir;
    use std::os::unix::net::UnixListener;

    fn pair() -> (Console, UnixStream, ScratchDir) {
        let scratch = ScratchDir::new().expect("temporary folder");
        let path = scratch.path().join("console");
        let listener = UnixListener::bind(&path).expect("socket");
        let console = Console::connect(&path, PATIENCE).expect("connects");
        let machine = listener.accept().expect("accepts").0;
        (console, machine, scratch)
    }

    #[test]
    fn answer_that_comes_in_pieces_is_found_once() {
        let (mut console, mut machine, _scratch) = pair();
        machine.write_all(b"host").expect("written");
        machine.write_all(b"name = relay\r\n> and more").expect("written");
        assert_eq!(console.expect("hostname = relay").expect("it is there"), "hostname = relay");
        assert_eq!(console.expect("> ").expect("it is there"), "\r\n> ");
        assert!(console.expect_within("hostname", Duration::from_millis(50)).is_err());
    }

    #[test]
    fn prompts_of_every_name_and_nothing_else() {
        for prompt in ["gw> ", "\r\ngw*> ", "mail-1> ", "\n> ", "x\n\x1b[0Kgw> ", "a => b\r\ngw> "] {
            assert_eq!(prompt_end(prompt.as_bytes()), Some(prompt.len()), "{prompt:?}");
        }
        for text in ["a => b", "From <a@b> to <c@d> \r\n", "gw>", "id 5, <x>\n"] {
            assert_eq!(prompt_end(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn machine_that_dies_ends_the_waiting() {
        let (mut console, machine, _scratch) = pair();
        drop(machine);
        let error = console.expect("login").expect_err("nobody answers");
        assert!(error.to_string().contains("closed the console"), "{error}");
    }
}
