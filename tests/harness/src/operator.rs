//! The operator at the serial console: types commands, reads answers, sets an appliance up.

use crate::{
    ca::{Ca, Use},
    console::{Console, PATIENCE},
};
use anyhow::{Context as _, Result, bail, ensure};
use std::time::Duration;

/// The host name that [`Operator::set_up`] gives.
pub const HOST_NAME: &str = "stargate.example.com";

/// How long the TPM may take for an RSA key. The machine may share its processor with others.
const KEY_PATIENCE: Duration = Duration::from_secs(180);

/// Types on a console.
#[derive(Debug)]
pub struct Operator<'c> {
    console: &'c mut Console,
}

impl<'c> Operator<'c> {
    /// Waits until the console asks for a command.
    ///
    /// # Errors
    /// If it does not.
    pub fn new(console: &'c mut Console) -> Result<Self> {
        console.expect_prompt(PATIENCE).context("no prompt after the start")?;
        Ok(Self { console })
    }

    /// Goes on at a console that has asked for a command already.
    pub const fn at_prompt(console: &'c mut Console) -> Self {
        Self { console }
    }

    /// Types a command and returns what it printed, without escapes.
    ///
    /// # Errors
    /// If the prompt does not come back.
    pub fn run(&mut self, command: &str) -> Result<String> {
        self.run_within(command, PATIENCE)
    }

    /// As [`Self::run`], with another patience.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_within(&mut self, command: &str, patience: Duration) -> Result<String> {
        self.console.send_line(command)?;
        // The line editor draws the prompt again while it echoes; only behind the line's end it means an answer.
        self.console.expect("\n").with_context(|| format!("echo of {command}"))?;
        let answer = self.console.expect_prompt(patience).with_context(|| format!("answer to {command}"))?;
        Ok(without_prompt(&answer))
    }

    /// Sets values in the draft and saves it.
    ///
    /// # Errors
    /// If the appliance does not show them as stored afterwards.
    pub fn configure(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        let mut said = String::new();
        for (name, value) in settings {
            said += &self.run(&format!("set {name} {value}"))?;
        }
        said += &self.run("save")?;
        let config = self.run("show config")?;
        for (name, value) in settings {
            let line = format!("set {name} {value}");
            ensure!(config.lines().any(|l| l.trim() == line), "`{line}` is not in force:\n{said}{config}");
        }
        Ok(())
    }

    /// Sets a new appliance up: host name, DHCP, the emulator's network as relay network, next hop on this machine.
    ///
    /// # Errors
    /// As [`Self::configure`].
    pub fn set_up(&mut self, next_hop_port: u16) -> Result<()> {
        self.configure(&[
            ("hostname", HOST_NAME),
            ("relay-networks", "10.0.2.0/24"),
            ("next-hop", &next_hop(next_hop_port)),
            ("retry-first", "5s"),
            ("retry-max", "5s"),
        ])
    }

    /// Makes a key (`rsa` or `p256`) for `address`, has `ca` certify it, imports the chain. Returns the number of the
    /// identity.
    ///
    /// # Errors
    /// If one of the steps fails.
    pub fn make_identity(&mut self, kind: &str, address: &str, ca: &mut Ca) -> Result<u32> {
        let said = self.run_within(&format!("identity generate {kind} {address}"), KEY_PATIENCE)?;
        let list = self.run("identity list")?;
        let id = list
            .lines()
            .find(|line| line.contains(address))
            .and_then(|line| line.split_whitespace().find_map(|word| word.parse().ok()))
            .with_context(|| format!("no identity for {address} in the list:\n{said}{list}"))?;
        let csr = self.run(&format!("identity csr {id}"))?;
        let chain = ca.issue(&pem(&csr, "CERTIFICATE REQUEST")?, Use::Mail, 30)?;
        let said = self.import(id, &chain)?;
        let list = self.run("identity list")?;
        let line = list.lines().find(|line| line.contains(address)).unwrap_or_default();
        ensure!(line.contains("ready"), "the identity is not ready:\n{said}{list}");
        Ok(id)
    }

    /// Pastes a certificate chain. Returns what was said to it.
    ///
    /// # Errors
    /// If the prompt does not come back.
    pub fn import(&mut self, id: u32, chain: &str) -> Result<String> {
        self.paste(&format!("identity import {id}"), chain)
    }

    /// Types a command that asks for lines, those lines, and the dot that ends them. Returns what was said to it.
    ///
    /// # Errors
    /// If the prompt does not come back.
    pub fn paste(&mut self, command: &str, lines: &str) -> Result<String> {
        self.console.send_line(command)?;
        // The console repeats its prompt in the echo of the line; that one does not end the paste.
        self.console.expect("\n").with_context(|| format!("echo of {command}"))?;
        for line in lines.lines() {
            self.console.send_line(line)?;
        }
        self.console.send_line(".")?;
        let said = self.console.expect_prompt(PATIENCE).context("after the paste")?;
        Ok(without_prompt(&said))
    }

    /// Waits until no further message is decided: as many as have come in, or none for a while.
    ///
    /// # Errors
    /// If the counters are not to be read.
    pub fn wait_for_decisions(&mut self) -> Result<()> {
        let (mut before, mut quiet) = (None, 0);
        while quiet < 4 {
            std::thread::sleep(Duration::from_millis(500));
            let counters = self.run("show counters")?;
            let labels = ["signed", "passed", "held"];
            let decided = labels.map(|label| number(&counters, label, 0)).into_iter().sum::<Result<u64>>()?;
            quiet = if before == Some(decided) { quiet + 1 } else { 0 };
            before = Some(decided);
        }
        Ok(())
    }

    /// Waits until the queue is empty.
    ///
    /// # Errors
    /// If it is not within `patience`; carries the queue.
    pub fn wait_for_empty_queue(&mut self, patience: Duration) -> Result<()> {
        let start = std::time::Instant::now();
        loop {
            let queue = self.run("queue")?;
            if queue.contains("empty") {
                return Ok(());
            }
            ensure!(start.elapsed() < patience, "the queue is not empty after {patience:?}:\n{queue}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The number at `index` of the line of an answer that starts with `label`.
///
/// # Errors
/// If there is no such line, or it has fewer numbers.
pub fn number(answer: &str, label: &str, index: usize) -> Result<u64> {
    let line = answer.lines().find_map(|line| line.trim().strip_prefix(label));
    let line = line.with_context(|| format!("no `{label}` in:\n{answer}"))?;
    line.split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .nth(index)
        .and_then(|digits| digits.parse().ok())
        .with_context(|| format!("no number {index} after `{label}` in:\n{answer}"))
}

/// Microseconds that the queue took to mount, from the answer to `log tail` after a start.
///
/// # Errors
/// If the log does not tell.
pub fn mount_took_us(log: &str) -> Result<u64> {
    let line = log.lines().find(|line| line.contains("mounted store=queue"));
    let line = line.with_context(|| format!("the log does not tell of the queue:\n{log}"))?;
    let took = line.split_once("took=").and_then(|(_, rest)| rest.split_once("ms"));
    let (whole, thousandths) = took.and_then(|(took, _)| took.split_once('.')).context("how long")?;
    Ok(whole.parse::<u64>()? * 1_000 + thousandths.parse::<u64>()?)
}

/// The value of `next-hop` for a port of this machine.
#[must_use]
pub fn next_hop(port: u16) -> String {
    format!("{}:{port}", crate::machine::HOST_SEEN_BY_GUEST)
}

/// The first PEM block of this label.
///
/// # Errors
/// If there is none.
pub fn pem(text: &str, label: &str) -> Result<String> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let lines = text.lines().map(str::trim);
    let block: Vec<&str> = lines.skip_while(|l| *l != begin).take_while(|l| *l != end).collect();
    if block.is_empty() {
        bail!("no {label} in:\n{text}");
    }
    Ok(block.join("\n") + "\n" + &end + "\n")
}

/// Takes the prompt off the end of an answer, and terminal escapes and carriage returns out of it.
fn without_prompt(answer: &str) -> String {
    let plain = without_escapes(answer);
    let (text, _prompt) = plain.rsplit_once('\n').unwrap_or(("", &plain));
    text.to_owned() + "\n"
}

/// Takes terminal escapes (CSI sequences) and carriage returns out of a text.
#[must_use]
pub fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' if chars.next() == Some('[') => _ = chars.find(|c| ('@'..='~').contains(c)),
            '\x1b' | '\r' => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_plain_text_without_the_prompt() {
        assert_eq!(without_prompt("\x1b[1mhead\x1b[0m\r\nline\r\nstargate> "), "head\nline\n");
        assert_eq!(without_prompt("stargate> "), "\n");
    }

    #[test]
    fn numbers_of_answers() {
        let answer =
            "heap              12 of 4096 octets in use, high-water mark 99\nmicroseconds busy   7\n";
        assert_eq!(number(answer, "heap", 2).expect("there"), 99);
        assert_eq!(number(answer, "microseconds busy", 0).expect("there"), 7);
        assert!(number(answer, "stack", 0).is_err());
        let log =
            "+0.1s mounted store=settings took=1.000ms\n+0.2s mounted store=queue records=1 took=12.034ms\n";
        assert_eq!(mount_took_us(log).expect("there"), 12_034);
    }

    #[test]
    fn pem_blocks_are_cut_out() {
        let text = "here:\r\n-----BEGIN X-----\r\nAA==\r\n-----END X-----\r\nthere\r\n";
        assert_eq!(pem(text, "X").expect("there"), "-----BEGIN X-----\nAA==\n-----END X-----\n");
        assert!(pem(text, "Y").is_err());
    }
}
