//! What can be typed: the table of commands, the parser, and what is wrong with what was typed.

use crate::command::{Command, KeyKind, QueueTarget, Topic};
use crate::time::parse_time;
use alloc::string::{String, ToString};
use core::fmt;
use envelope::{AddressError, MailboxRef, QueueId, check_domain};
use events::text::Escaped;
use limits::console::{LINE_CHARS_MAX, LOG_TAIL_LINES_DEFAULT, LOG_TAIL_LINES_MAX};

/// Names of settings, each with one line that explains it.
pub type Names = &'static [(&'static str, &'static str)];

/// One command as `help` shows it.
pub struct Entry {
    /// The words that it begins with.
    pub words: &'static [&'static str],
    /// What follows them.
    pub arguments: &'static str,
    /// What it does, in one line of at most 45 characters.
    pub summary: &'static str,
    /// More about it, lines of at most 78 characters.
    pub details: &'static str,
}

const fn entry(
    words: &'static [&'static str],
    arguments: &'static str,
    summary: &'static str,
    details: &'static str,
) -> Entry {
    Entry { words, arguments, summary, details }
}

/// Every command, in the order of `help`.
pub const COMMANDS: &[Entry] = &[
    entry(&["help"], "[COMMAND]", "this overview, or one command in detail", ""),
    entry(
        &["setup"],
        "",
        "set up the appliance by questions",
        "Asks for host name, network, relay networks and next hop, checks each answer,\n\
         and saves at the end. Enter keeps the value in brackets, `back` goes back one\n\
         question, Ctrl-C leaves without any change.",
    ),
    entry(
        &["show"],
        "[TOPIC]",
        "show settings or the state of a part",
        "Topics: settings (also without a topic), config (the settings as `set` lines\n\
         that can be pasted into a console), network, memory, counters, flash, time,\n\
         version, queue, identities.",
    ),
    entry(
        &["set"],
        "NAME VALUE",
        "change a setting in the draft",
        "Nothing is in force before `save`. Lists take several values with commas or\n\
         spaces, and `add VALUE` or `remove VALUE`; `none` empties a value.",
    ),
    entry(
        &["save"],
        "",
        "check the draft, store it, put it in force",
        "The draft is checked as a whole. If something does not fit, nothing changes.",
    ),
    entry(&["discard"], "", "drop the draft", ""),
    entry(&["identity", "list"], "", "list keys and certificates", ""),
    entry(
        &["identity", "generate"],
        "rsa|p256 ADDRESS|@DOMAIN",
        "make a key inside the TPM",
        "The key serves one sender address or, with @DOMAIN, all senders of a domain.\n\
         It never leaves the TPM. RSA keys have 2,048 bits and take a while.",
    ),
    entry(
        &["identity", "csr"],
        "ID",
        "print a certificate request",
        "Prints a PKCS#10 request (PEM) for a certificate authority.",
    ),
    entry(
        &["identity", "import"],
        "ID",
        "import the certificate chain",
        "Paste the certificate and its chain (PEM, leaf first or in any order), then\n\
         type a line with a single `.`; Ctrl-C cancels.",
    ),
    entry(
        &["identity", "remove"],
        "ID",
        "remove a key and its certificates",
        "Asks first. The key cannot be brought back.",
    ),
    entry(&["queue"], "", "list the messages in the queue", ""),
    entry(&["queue", "show"], "ID", "show a message: envelope, state, reasons", ""),
    entry(&["queue", "retry"], "ID|all", "try delivery now", ""),
    entry(&["queue", "hold"], "ID|all", "keep messages in the queue", ""),
    entry(
        &["queue", "release"],
        "ID|all",
        "let held messages go",
        "They are decided anew, by the settings and identities of now: give a sender\n\
         without identity one first, or `set without-identity pass`.",
    ),
    entry(
        &["queue", "remove"],
        "ID|all",
        "remove messages for good",
        "Nobody is told. Asks first if it is `all`.",
    ),
    entry(&["log", "tail"], "[LINES]", "print the last events", "20 lines if no number is given."),
    entry(
        &["diag"],
        "",
        "check network, flash, TPM, clock, next hop",
        "One line for each: `ok`, or what is wrong and what to do.",
    ),
    entry(
        &["time", "set"],
        "YYYY-MM-DDTHH:MM:SSZ",
        "set the clock (UTC)",
        "As in `time set 2026-11-22T14:31:28Z`. Signatures carry this time.",
    ),
    entry(&["reboot"], "", "restart; the queue is kept", ""),
    entry(
        &["factory-reset"],
        "",
        "erase settings, keys and queue",
        "Asks first. Everything that is stored is lost, and the appliance restarts.",
    ),
];

/// The topics of `show`.
const TOPICS: &[(&str, Topic)] = &[
    ("settings", Topic::Settings),
    ("config", Topic::Config),
    ("network", Topic::Network),
    ("memory", Topic::Memory),
    ("counters", Topic::Counters),
    ("flash", Topic::Flash),
    ("time", Topic::Time),
    ("version", Topic::Version),
    ("queue", Topic::Queue),
    ("identities", Topic::Identities),
];

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
        warning: &'static str,
        /// The word.
        word: &'static str,
        /// The command.
        command: Command,
    },
    /// `identity import ID`: the certificates follow.
    Paste(u32),
}

/// What is wrong with a line. The operator's fault each time; `Display` says in one line what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong<'a> {
    LineTooLong,
    Command { word: &'a str, near: Option<&'static str> },
    SubCommand { command: &'static str, word: &'a str, near: Option<&'static str> },
    Topic { word: &'a str, near: Option<&'static str> },
    Setting { word: &'a str, near: Option<&'static str> },
    Missing { usage: &'static Entry },
    MissingValue { name: &'static str, explanation: &'static str },
    TooMany { word: &'a str, usage: &'static Entry },
    KeyKind(&'a str),
    Serves { word: &'a str, why: AddressError },
    Identity(&'a str),
    Queue(&'a str),
    Lines(&'a str),
    Time(&'a str),
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_usage(f)
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.words == other.words
    }
}

impl Eq for Entry {}

impl Entry {
    fn fmt_usage(&self, f: &mut impl fmt::Write) -> fmt::Result {
        for (at, word) in self.words.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { " " })?;
            f.write_str(word)?;
        }
        if !self.arguments.is_empty() {
            write!(f, " {}", self.arguments)?;
        }
        Ok(())
    }

    /// The command with its arguments.
    pub fn usage(&self) -> String {
        let mut usage = String::new();
        let _ = self.fmt_usage(&mut usage);
        usage
    }

    /// Whether the command begins with `words`, in letters of either case.
    pub fn begins_with(&self, words: &[&str]) -> bool {
        words.len() <= self.words.len()
            && words.iter().zip(self.words).all(|(a, b)| a.eq_ignore_ascii_case(b))
    }
}

/// A word of the operator's: printable and not too long for an error message.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_BYTES_MAX: usize = 60;
        match self.0.as_bytes() {
            bytes if bytes.len() <= SHOWN_BYTES_MAX => write!(f, "`{}`", Escaped(bytes)),
            bytes => write!(f, "`{}~`", Escaped(bytes.get(..SHOWN_BYTES_MAX).unwrap_or_default())),
        }
    }
}

/// `; did you mean …?`, or what to do otherwise.
struct Near(Option<&'static str>, &'static str);

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(near) => write!(f, "; did you mean `{near}`?"),
            None => write!(f, "; {}", self.1),
        }
    }
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::LineTooLong => {
                write!(
                    f,
                    "the line has more than {LINE_CHARS_MAX} characters; nothing was done, make it shorter"
                )
            }
            Self::Command { word, near } => {
                write!(f, "{} is not a command{}", Quoted(word), Near(near, "`help` lists them all"))
            }
            Self::SubCommand { command, word, near } => {
                write!(f, "`{command}` cannot do {}", Quoted(word))?;
                if let Some(near) = near {
                    return write!(f, "; did you mean `{near}`?");
                }
                f.write_str("; it can do: ")?;
                let verbs = COMMANDS.iter().filter(|e| e.words.first() == Some(&command));
                for (at, verb) in verbs.filter_map(|e| e.words.get(1)).enumerate() {
                    write!(f, "{}{verb}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Topic { word, near } => {
                write!(f, "{} cannot be shown", Quoted(word))?;
                if near.is_some() {
                    return Near(near, "").fmt(f);
                }
                f.write_str("; what can: ")?;
                for (at, (topic, _)) in TOPICS.iter().enumerate() {
                    write!(f, "{}{topic}", if at == 0 { "" } else { ", " })?;
                }
                Ok(())
            }
            Self::Setting { word, near } => {
                write!(
                    f,
                    "there is no setting {}{}",
                    Quoted(word),
                    Near(near, "`show settings` lists them all")
                )
            }
            Self::Missing { usage } => write!(f, "something is missing; the command is `{}`", usage.usage()),
            Self::MissingValue { name, explanation } => {
                write!(f, "the value is missing; `set {name} VALUE`: {explanation}")
            }
            Self::TooMany { word, usage } => {
                write!(f, "{} is one word too many; the command is `{}`", Quoted(word), usage.usage())
            }
            Self::KeyKind(word) => write!(f, "{} is not a kind of key; `rsa` or `p256`", Quoted(word)),
            Self::Serves { word, why } => write!(
                f,
                "{} serves nobody ({why}); as in `info@example.org` or, for a whole domain, `@example.org`",
                Quoted(word)
            ),
            Self::Identity(word) => {
                write!(f, "{} is not the number of an identity; `identity list` shows them", Quoted(word))
            }
            Self::Queue(word) => write!(f, "{} is not a queue ID; `queue` lists them", Quoted(word)),
            Self::Lines(word) => {
                write!(f, "{} is not a number of lines; from 1 to {LOG_TAIL_LINES_MAX}", Quoted(word))
            }
            Self::Time(word) => {
                write!(f, "{} is not a time in UTC; as in `2026-11-22T14:31:28Z`", Quoted(word))
            }
        }
    }
}

/// The entry of the command with exactly these words. The table has it; `help` stands in for a word that is misspelt
/// here.
fn usage_of(words: &[&str]) -> &'static Entry {
    static HELP: Entry = entry(&["help"], "[COMMAND]", "", "");
    COMMANDS.iter().find(|e| e.words == words).unwrap_or(&HELP)
}

/// The number of single-character changes that make `b` of `a`, up to a bound above which no one is interested.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 32;
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let mut row = [0; LONGEST + 1];
    for (at, cell) in row.iter_mut().enumerate() {
        *cell = at;
    }
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The candidate that `word` was most likely meant to be: begins like it, or differs in at most two characters.
fn nearest(word: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    candidates
        .map(|candidate| {
            let starts = word.len() >= 2
                && candidate.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
            (if starts { 0 } else { distance(word, candidate) }, candidate)
        })
        .filter(|(distance, candidate)| *distance <= 2 && *distance * 2 <= candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
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
        "diag" => arguments.end(Parsed::Run(Command::Diag)),
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
            warning: "This erases the settings, all identities with their keys, and the queue.",
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
    // The value is the rest of the line as it was typed, behind two words.
    let after_word = |text: &'a str| {
        let text = text.trim_start();
        text.split_once(|c: char| c.is_ascii_whitespace()).map_or("", |(_, rest)| rest)
    };
    let value = after_word(after_word(line)).trim();
    let value = value.strip_prefix('"').and_then(|inside| inside.strip_suffix('"')).unwrap_or(value);
    if value.is_empty() {
        return Err(Wrong::MissingValue { name, explanation });
    }
    Ok(Parsed::Run(Command::Set { name: name.to_string(), value: value.to_string() }))
}

fn parse_identity(mut arguments: Arguments<'_>) -> Result<Parsed, Wrong<'_>> {
    let Some(word) = arguments.optional() else { return Ok(Parsed::Run(Command::IdentityList)) };
    let verbs = || COMMANDS.iter().filter(|e| e.words.first() == Some(&"identity"));
    let Some(usage) = verbs().find(|e| e.words.get(1).is_some_and(|verb| is(word, verb))) else {
        let near = nearest(word, verbs().filter_map(|e| e.words.get(1).copied()));
        return Err(Wrong::SubCommand { command: "identity", word, near });
    };
    arguments.usage = usage;
    match usage.words.get(1).copied() {
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
                warning: "This removes the key, which cannot be brought back, and its certificates.",
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
    let verbs = || COMMANDS.iter().filter(|e| e.words.first() == Some(&"queue") && e.words.len() == 2);
    let Some(usage) = verbs().find(|e| e.words.get(1).is_some_and(|verb| is(word, verb))) else {
        let near = nearest(word, verbs().filter_map(|e| e.words.get(1).copied()));
        return Err(Wrong::SubCommand { command: "queue", word, near });
    };
    arguments.usage = usage;
    let word = arguments.required()?;
    let verb = usage.words.get(1).copied().unwrap_or_default();
    if verb == "show" {
        let id = word.parse::<QueueId>().map_err(|()| Wrong::Queue(word))?;
        return arguments.end(Parsed::Run(Command::QueueShow(id)));
    }
    let target = if is(word, "all") {
        QueueTarget::All
    } else {
        QueueTarget::One(word.parse().map_err(|()| Wrong::Queue(word))?)
    };
    arguments.end(match (verb, target) {
        ("retry", _) => Parsed::Run(Command::QueueRetry(target)),
        ("hold", _) => Parsed::Run(Command::QueueHold(target)),
        ("release", _) => Parsed::Run(Command::QueueRelease(target)),
        (_, QueueTarget::One(_)) => Parsed::Run(Command::QueueRemove(target)),
        (_, QueueTarget::All) => Parsed::Confirm {
            warning: "This removes every message in the queue, and nobody is told.",
            word: "remove",
            command: Command::QueueRemove(target),
        },
    })
}

fn identity(word: &str) -> Result<u32, Wrong<'_>> {
    if word.bytes().all(|b| b.is_ascii_digit()) {
        word.parse().map_err(|_| Wrong::Identity(word))
    } else {
        Err(Wrong::Identity(word))
    }
}

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
        && ["retry", "hold", "release", "remove"].iter().any(|known| is(verb, known)));
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
}
