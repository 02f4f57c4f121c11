//! Running programs quietly: one line while they work, their output only when they fail.

use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Lines of a failed program's output that are shown.
const SHOWN_LINES_MAX: usize = 120;

/// Seconds between two signs of life where the terminal cannot rewrite a line.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// Announces a larger piece of work.
pub fn headline(text: &str) {
    eprintln!("\n== {text}");
}

/// Reports one finished fact.
pub fn note(text: &str) {
    eprintln!("   {text}");
}

/// What a program that succeeded had to say.
pub struct Finished {
    /// Its standard output.
    pub stdout: String,
    /// How long it took.
    pub took: Duration,
}

/// Runs `command` as the step called `what`, and shows what it is busy with.
///
/// # Errors
/// When the program is missing or fails; its last lines have been printed then.
pub fn run(what: &str, command: &mut Command) -> Result<Finished> {
    let finished = run_silently(what, command)?;
    eprintln!("   {what}: {}", seconds(finished.took));
    Ok(finished)
}

/// As [`run`], without the closing line.
///
/// # Errors
/// As [`run`].
pub fn run_silently(what: &str, command: &mut Command) -> Result<Finished> {
    let shown = show(command);
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{what}: cannot start `{shown}`"))?;
    let (sender, lines) = mpsc::channel();
    let readers = [
        child.stdout.take().map(|stream| forward(stream, true, sender.clone())),
        child.stderr.take().map(|stream| forward(stream, false, sender.clone())),
    ];
    drop(sender);
    let mut stdout = String::new();
    let mut transcript: Vec<String> = Vec::new();
    let mut progress = Progress::new(what);
    loop {
        match lines.recv_timeout(Duration::from_millis(500)) {
            Ok((from_stdout, line)) => {
                if let Some(busy) = busy_with(&line) {
                    progress.busy(&busy);
                }
                if from_stdout {
                    stdout.push_str(&line);
                    stdout.push('\n');
                }
                // Machine-readable messages would only bury the lines that explain a failure.
                if !line.starts_with('{') {
                    transcript.push(line);
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => progress.tick(),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        }
    }
    for reader in readers.into_iter().flatten() {
        let _ = reader.join();
    }
    let status = child.wait()?;
    progress.clear();
    if !status.success() {
        let skipped = transcript.len().saturating_sub(SHOWN_LINES_MAX);
        if skipped > 0 {
            eprintln!("     ({skipped} earlier lines left out)");
        }
        for line in transcript.iter().skip(skipped) {
            eprintln!("     {line}");
        }
        bail!("{what} failed ({status}); to repeat it alone:\n     {shown}");
    }
    Ok(Finished { stdout, took: start.elapsed() })
}

/// Runs a program for its output, silently; the error carries what it said.
///
/// # Errors
/// When the program is missing or fails.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as it can be typed again.
#[must_use]
pub fn show(command: &Command) -> String {
    let mut shown = String::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shown.push_str(&format!("{}={} ", name.to_string_lossy(), quoted(value)));
        }
    }
    shown.push_str(&quoted(command.get_program()));
    for argument in command.get_args() {
        shown.push(' ');
        shown.push_str(&quoted(argument));
    }
    shown
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// A duration for people.
#[must_use]
pub fn seconds(took: Duration) -> String {
    let whole = took.as_secs();
    if whole >= 100 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}

/// The crate or test that a line of cargo's tells of.
fn busy_with(line: &str) -> Option<String> {
    let line = line.trim_start();
    for verb in
        ["Compiling ", "Checking ", "Downloading ", "Downloaded ", "Running ", "Unpacking ", "Setting up "]
    {
        if let Some(rest) = line.strip_prefix(verb) {
            let name = rest.split([' ', ':']).next().unwrap_or(rest);
            return Some(format!("{} {name}", verb.trim().to_lowercase()));
        }
    }
    let test = line.strip_prefix("test ")?;
    Some(format!("test {}", test.split(' ').next().unwrap_or(test)))
}

fn forward(
    stream: impl Read + Send + 'static,
    from_stdout: bool,
    into: mpsc::Sender<(bool, String)>,
) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n') {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if into.send((from_stdout, line)).is_err() {
                break;
            }
        }
    })
}

/// The line that shows what a long step is doing.
struct Progress {
    what: String,
    busy: String,
    things: usize,
    start: Instant,
    last_sign: Instant,
    rewrites: bool,
}

impl Progress {
    fn new(what: &str) -> Self {
        let rewrites = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        let now = Instant::now();
        Self { what: what.to_owned(), busy: String::new(), things: 0, start: now, last_sign: now, rewrites }
    }

    fn busy(&mut self, with: &str) {
        self.things += 1;
        with.clone_into(&mut self.busy);
        self.tick();
    }

    fn tick(&mut self) {
        let pause = if self.rewrites { Duration::from_millis(200) } else { HEARTBEAT };
        if self.last_sign.elapsed() < pause {
            return;
        }
        self.last_sign = Instant::now();
        let at =
            if self.busy.is_empty() { String::new() } else { format!(" ({}: {})", self.things, self.busy) };
        let line = format!("   {} … {}{at}", self.what, seconds(self.start.elapsed()));
        if self.rewrites {
            let line: String = line.chars().take(78).collect();
            eprint!("\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }

    fn clear(&self) {
        if self.rewrites {
            eprint!("\r\x1b[K");
            let _ = std::io::stderr().flush();
        }
    }
}
