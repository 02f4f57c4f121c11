//! From a line to a command.

use crate::command::{Check, Command, KeyKind, QueueTarget, Rows, Topic};
use crate::commands::{COMMANDS, Entry, TOPICS, usage_of};
use crate::time::parse_time;
use crate::wrong::{Wrong, nearest};
use alloc::format;
use alloc::string::{String, ToString};
use envelope::{MailboxRef, QueueId, check_domain};
use limits::console::{LOG_TAIL_LINES_DEFAULT, LOG_TAIL_LINES_MAX};

/// Names of settings, each with one line that explains it.
pub type Names = &'static [(&'static str, &'static str)];

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Nothing: the line is empty or a comment.
    Nothing,
    /// Overview or details; the console answers it itself.
    Help(Option<String>),
    /// A command that is complete.
    Run(Command),
    /// A command that is carried out after `word` has been typed.
    Confirm {
        /// What is about to happen.
        warning: String,
        /// The word.
        word: &'static str,
        /// The command.
        command: Command,
    },
    /// `identity import ID`: the certificates follow, if there is such an identity.
    Paste(u32),
}

/// The words of a line after the command, with what to say when there are too few or too many.
struct Arguments<'a> {
    words: core::str::SplitAsciiWhitespace<'a>,
    usage: &'static Entry,
}

impl<'a> Arguments<'a> {
    fn optional(&mut self) -> Option<&'a str> {
        self.words.next()
    }

    fn required(&mut self) -> Result<&'a str, Wrong<'a>> {
        self.words.next().ok_or(Wrong::Missing { usage: self.usage })
    }

    fn end<T>(mut self, value: T) -> Result<T, Wrong<'a>> {
        match self.words.next() {
            None => Ok(value),
            Some(word) => Err(Wrong::TooMany { word, usage: self.usage }),
        }
    }
}

fn is(word: &str, name: &str) -> bool {
    word.eq_ignore_ascii_case(name)
}

/// Reads one line.
pub fn parse(line: &str, names: Names) -> Result<Parsed, Wrong<'_>> {
    let line = line.trim();
    let mut words = line.split_ascii_whitespace();
    let Some(first) = words.next().filter(|word| !word.starts_with('#')) else {
        return Ok(Parsed::Nothing);
    };
    // `show peers` has taught it.
    let first = if is(first, "peers") { "peer" } else { first };
    let Some(command) = COMMANDS.iter().find_map(|e| e.words.first().filter(|name| is(first, name))) else {
        let near = nearest(first, COMMANDS.iter().filter_map(|e| e.words.first().copied()));
        return Err(Wrong::Command { word: first, near });
    };
    let mut arguments = Arguments { words, usage: usage_of(&[command]) };
    match *command {
        "help" => Ok(Parsed::Help(
            line.get(first.len()..).map(str::trim).filter(|rest| !rest.is_empty()).map(ToString::to_string),
        )),
        "setup" => arguments.end(Parsed::Run(Command::Setup)),
        "show" => {
            let topic = match arguments.optional() {
                None => Topic::Settings,
                Some(word) => match TOPICS.iter().find(|(name, _)| is(word, name)) {
                    Some((_, topic)) => *topic,
                    None => {
                        let near = nearest(word, TOPICS.iter().map(|(name, _)| *name));
                        return Err(Wrong::Topic { word, near });
                    }
                },
            };
            arguments.end(Parsed::Run(Command::Show(topic)))
        }
        "set" => parse_set(line, arguments, names),
        "save" => arguments.end(Parsed::Run(Command::Save)),
        "discard" => arguments.end(Parsed::Run(Command::Discard)),
        "identity" => parse_identity(arguments),
        "queue" => parse_queue(arguments),
        "peer" => parse_rows("peer", line, arguments),
        "domain" => parse_rows("domain", line, arguments),
        "route" => parse_rows("route", line, arguments),
        "action" => parse_rows("action", line, arguments),
        "log" => {
            if let Some(word) = arguments.optional().filter(|word| !is(word, "tail")) {
                return Err(Wrong::SubCommand {
                    command: "log",
                    word,
                    near: nearest(word, ["tail"].into_iter()),
                });
            }
            arguments.usage = usage_of(&["log", "tail"]);
            let lines = match arguments.optional() {
                None => LOG_TAIL_LINES_DEFAULT,
                Some(word) => word
                    .parse()
                    .ok()
                    .filter(|lines| (1..=LOG_TAIL_LINES_MAX).contains(lines))
                    .ok_or(Wrong::Lines(word))?,
            };
            arguments.end(Parsed::Run(Command::LogTail(lines)))
        }
        "diag" => parse_diag(arguments),
        "time" => {
            arguments.usage = usage_of(&["time", "set"]);
            let word = arguments.required()?;
            if !is(word, "set") {
                return Err(Wrong::SubCommand { command: "time", word, near: None });
            }
            let word = arguments.required()?;
            let seconds = parse_time(word).ok_or(Wrong::Time(word))?;
            arguments.end(Parsed::Run(Command::TimeSet(seconds)))
        }
        "reboot" => arguments.end(Parsed::Run(Command::Reboot)),
        // "factory-reset", the last one.
        _ => arguments.end(Parsed::Confirm {
            warning: "This erases settings, tables, all identities with their keys, and the queue.".into(),
            word: "erase",
            command: Command::FactoryReset,
        }),
    }
}

fn parse_set<'a>(line: &'a str, mut arguments: Arguments<'a>, names: Names) -> Result<Parsed, Wrong<'a>> {
    let word = arguments.required()?;
    let Some((name, explanation)) = names.iter().find(|(name, _)| is(word, name)) else {
        let near = nearest(word, names.iter().map(|(name, _)| *name));
        return Err(Wrong::Setting { word, near });
    };
    let value = behind(line, 2);
    let value = value.strip_prefix('"').and_then(|inside| inside.strip_suffix('"')).unwrap_or(value);
    if value.is_empty() {
        return Err(Wrong::MissingValue { name, explanation });
    }
    Ok(Parsed::Run(Command::Set { name: name.to_string(), value: value.to_string() }))
}

fn parse_identity(mut arguments: Arguments<'_>) -> Result<Parsed, Wrong<'_>> {
    let Some(word) = arguments.optional() else { return Ok(Parsed::Run(Command::IdentityList)) };
    arguments.usage = verb("identity", word)?;
    match arguments.usage.words.get(1).copied() {
        Some("generate") => {
            let word = arguments.required()?;
            let kind = match word {
                _ if is(word, "rsa") => KeyKind::Rsa,
                _ if is(word, "p256") => KeyKind::P256,
                _ => return Err(Wrong::KeyKind(word)),
            };
            let word = arguments.required()?;
            match word.strip_prefix('@') {
                Some(domain) => check_domain(domain),
                None => MailboxRef::parse(word).map(|_| ()),
            }
            .map_err(|why| Wrong::Serves { word, why })?;
            arguments.end(Parsed::Run(Command::IdentityGenerate { kind, serves: word.to_string() }))
        }
        Some("csr") => {
            let id = identity(arguments.required()?)?;
            arguments.end(Parsed::Run(Command::IdentityCsr(id)))
        }
        Some("import") => {
            let id = identity(arguments.required()?)?;
            arguments.end(Parsed::Paste(id))
        }
        Some("remove") => {
            let id = identity(arguments.required()?)?;
            arguments.end(Parsed::Confirm {
                warning: "This removes the key, which cannot be brought back, and its certificates.".into(),
                word: "remove",
                command: Command::IdentityRemove(id),
            })
        }
        _ => arguments.end(Parsed::Run(Command::IdentityList)),
    }
}

fn parse_queue(mut arguments: Arguments<'_>) -> Result<Parsed, Wrong<'_>> {
    let Some(word) = arguments.optional() else { return Ok(Parsed::Run(Command::QueueList)) };
    if is(word, "list") {
        return arguments.end(Parsed::Run(Command::QueueList));
    }
    arguments.usage = verb("queue", word)?;
    let verb = arguments.usage.words.get(1).copied().unwrap_or_default();
    if verb == "summary" {
        return arguments.end(Parsed::Run(Command::QueueSummary));
    }
    let word = arguments.required()?;
    if verb == "show" {
        let id = word.parse::<QueueId>().map_err(|()| Wrong::Queue(word))?;
        return arguments.end(Parsed::Run(Command::QueueShow(id)));
    }
    let target = queue_target(word)?;
    let what = match &target {
        QueueTarget::One(_) => None,
        QueueTarget::All => Some(String::from("every message in the queue")),
        QueueTarget::Domain(domain) => Some(format!("every recipient in {domain}")),
    };
    let confirm = |verb: &str, word, after: &str, command| match what {
        None => Parsed::Run(command),
        Some(what) => Parsed::Confirm { warning: format!("This {verb} {what}{after}"), word, command },
    };
    arguments.end(match verb {
        "retry" => Parsed::Run(Command::QueueRetry(target)),
        "hold" => Parsed::Run(Command::QueueHold(target)),
        "release" => Parsed::Run(Command::QueueRelease(target)),
        "bounce" => confirm("gives up", "bounce", "; the senders are told.", Command::QueueBounce(target)),
        _ => confirm("removes", "remove", ", and nobody is told.", Command::QueueRemove(target)),
    })
}

/// `all`, a queue ID, or a domain: with a dot in it, or behind an `@`, so that a slip in an ID is not taken for one.
fn queue_target(word: &str) -> Result<QueueTarget, Wrong<'_>> {
    if is(word, "all") {
        return Ok(QueueTarget::All);
    }
    if let Ok(id) = word.parse() {
        return Ok(QueueTarget::One(id));
    }
    let domain = match word.strip_prefix('@') {
        Some(domain) => domain,
        None if word.contains('.') => word,
        None => return Err(Wrong::Target(word)),
    };
    check_domain(domain).map_err(|_| Wrong::Target(word))?;
    Ok(QueueTarget::Domain(domain.to_ascii_lowercase()))
}

/// The rest of a line as it was typed, behind so many words.
fn behind(line: &str, words: usize) -> &str {
    let after_word = |text: &'_ str| -> usize {
        let start = text.len() - text.trim_ascii_start().len();
        let word = text.trim_ascii_start().find(|c: char| c.is_ascii_whitespace());
        word.map_or(text.len(), |end| start + end)
    };
    let rest = (0..words).fold(line, |text, _| text.get(after_word(text)..).unwrap_or_default());
    rest.trim_ascii()
}

fn parse_rows<'a>(
    command: &'static str,
    line: &'a str,
    mut arguments: Arguments<'a>,
) -> Result<Parsed, Wrong<'a>> {
    let (rows, topic) = match command {
        "peer" => (Rows::Peers, Topic::Peers),
        "domain" => (Rows::Domains, Topic::Domains),
        "route" => (Rows::Routes, Topic::Routes),
        _ => (Rows::Actions, Topic::Actions),
    };
    let Some(word) = arguments.optional() else { return Ok(Parsed::Run(Command::Show(topic))) };
    arguments.usage = verb(command, word)?;
    match arguments.usage.words.get(1).copied() {
        Some("add") => {
            let _ = arguments.required()?;
            // Every row has at least two words, but for a domain.
            if rows != Rows::Domains {
                let _ = arguments.required()?;
            }
            Ok(Parsed::Run(Command::RowAdd { rows, text: behind(line, 2).to_string() }))
        }
        Some("remove") => {
            let name = arguments.required()?.to_string();
            arguments.end(Parsed::Run(Command::RowRemove { rows, name }))
        }
        Some("source") => {
            let name = arguments.required()?.to_string();
            let add = match arguments.required()? {
                word if is(word, "add") => true,
                word if is(word, "remove") => false,
                word => return Err(Wrong::AddOrRemove(word)),
            };
            let _ = arguments.required()?;
            Ok(Parsed::Run(Command::PeerSource { name, add, sources: behind(line, 4).to_string() }))
        }
        Some("confirm") => arguments.end(Parsed::Confirm {
            warning: "The rules that `show peers` lists become all that there are.".into(),
            word: "confirm",
            command: Command::PeerConfirm,
        }),
        Some("test") if rows == Rows::Peers => {
            let address = arguments.required()?.to_string();
            let on = match arguments.optional() {
                None => None,
                Some(word) if is(word, "on") => Some(arguments.required()?.to_string()),
                Some(word) => return Err(Wrong::TooMany { word, usage: arguments.usage }),
            };
            arguments.end(Parsed::Run(Command::PeerTest { address, on }))
        }
        Some("test") => {
            let address = arguments.required()?.to_string();
            arguments.end(Parsed::Run(Command::RouteTest(address)))
        }
        _ => arguments.end(Parsed::Run(Command::Show(topic))),
    }
}

fn parse_diag(mut arguments: Arguments<'_>) -> Result<Parsed, Wrong<'_>> {
    let Some(word) = arguments.optional() else { return Ok(Parsed::Run(Command::Diag)) };
    arguments.usage = verb("diag", word)?;
    let check = match arguments.usage.words.get(1).copied() {
        Some("dns") => {
            let domain = arguments.required()?.to_string();
            let from = match arguments.optional() {
                None => None,
                Some(word) if is(word, "from") => Some(arguments.required()?.to_string()),
                Some(word) => return Err(Wrong::TooMany { word, usage: arguments.usage }),
            };
            Check::Dns { domain, from }
        }
        Some("smtp") => Check::Smtp(arguments.required()?.to_string()),
        Some("route") => Check::Route(arguments.required()?.to_string()),
        Some("dnsbl") => Check::Dnsbl(arguments.optional().map(ToString::to_string)),
        _ => Check::Exchange(arguments.optional().map(ToString::to_string)),
    };
    arguments.end(Parsed::Run(Command::Check(check)))
}

/// The entry of a command's verb.
fn verb<'a>(command: &'static str, word: &'a str) -> Result<&'static Entry, Wrong<'a>> {
    let verbs = || COMMANDS.iter().filter(|e| e.words.first() == Some(&command) && e.words.len() == 2);
    verbs().find(|e| e.words.get(1).is_some_and(|verb| is(word, verb))).ok_or_else(|| {
        let near = nearest(word, verbs().filter_map(|e| e.words.get(1).copied()));
        Wrong::SubCommand { command, word, near }
    })
}

fn identity(word: &str) -> Result<u32, Wrong<'_>> {
    if word.bytes().all(|b| b.is_ascii_digit()) {
        word.parse().map_err(|_| Wrong::Identity(word))
    } else {
        Err(Wrong::Identity(word))
    }
}

/// What can stand in a line that adds a peer: its options and what the more frequent of them take.
const PEER_WORDS: &[&str] = &[
    "class",
    "internet",
    "application",
    "exchange",
    "trusted",
    "on",
    "relay",
    "none",
    "internal",
    "any",
    "headers",
    "keep",
    "remove",
    "size",
    "rate",
    "connections",
    "senders",
    "starttls",
    "repair",
    "verify-sender",
    "verify-recipient",
    "rewrite",
    "tarpit",
    "off",
];

/// What can stand in a line that adds a route.
const ROUTE_WORDS: &[&str] =
    &["mx", "cost", "inside", "exchange", "from", "if1", "if2", "helo", "connections", "rate"];

/// What can stand after the words `before`, for completion.
pub fn candidates<'a>(before: &'a [&'a str], names: Names) -> impl Iterator<Item = &'static str> + 'a {
    // `help` is followed by a command.
    let before = match before.split_first() {
        Some((first, rest)) if is(first, "help") => rest,
        _ => before,
    };
    let after_set = matches!(before, [set] if is(set, "set"));
    let after_show = matches!(before, [show] if is(show, "show"));
    let after_generate =
        matches!(before, [identity, verb] if is(identity, "identity") && is(verb, "generate"));
    let after_queue = matches!(before, [queue, verb] if is(queue, "queue")
        && ["retry", "hold", "release", "bounce", "remove"].iter().any(|known| is(verb, known)));
    let options: &[&str] = match before {
        [peer, add, _, _, ..] if is(peer, "peer") && is(add, "add") => PEER_WORDS,
        [route, add, _, ..] if is(route, "route") && is(add, "add") => ROUTE_WORDS,
        [domain, add, _, ..] if is(domain, "domain") && is(add, "add") => &["name", "+sub"],
        [action, add, _] if is(action, "action") && is(add, "add") => {
            &["forward", "discard", "reject", "reply-once"]
        }
        [peer, source, _] if is(peer, "peer") && is(source, "source") => &["add", "remove"],
        _ => &[],
    };
    let mut last = "";
    COMMANDS
        .iter()
        .filter(|e| e.begins_with(before))
        .filter_map(|e| e.words.get(before.len()).copied())
        // Commands of two words stand together in the table.
        .filter(move |word| core::mem::replace(&mut last, word) != *word)
        .chain(names.iter().filter(move |_| after_set).map(|(name, _)| *name))
        .chain(TOPICS.iter().filter(move |_| after_show).map(|(name, _)| *name))
        .chain(["rsa", "p256"].into_iter().filter(move |_| after_generate))
        .chain(["all"].into_iter().filter(move |_| after_queue))
        .chain(options.iter().copied())
}
