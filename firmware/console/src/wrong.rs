//! What is wrong with a line, and what would be right.

use crate::commands::{COMMANDS, Entry, TOPICS};
use core::fmt;
use envelope::AddressError;
use events::text::Escaped;
use limits::console::{LINE_CHARS_MAX, LOG_TAIL_LINES_MAX};

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
    Target(&'a str),
    Lines(&'a str),
    Time(&'a str),
    AddOrRemove(&'a str),
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
            Self::AddOrRemove(word) => {
                write!(f, "{} is neither `add` nor `remove`", Quoted(word))
            }
            Self::Identity(word) => {
                write!(f, "{} is not the number of an identity; `identity list` shows them", Quoted(word))
            }
            Self::Queue(word) => write!(f, "{} is not a queue ID; `queue` lists them", Quoted(word)),
            Self::Target(word) => write!(
                f,
                "{} is not a queue ID, `all` or a domain as in `example.org`; `queue` lists the IDs",
                Quoted(word)
            ),
            Self::Lines(word) => {
                write!(f, "{} is not a number of lines; from 1 to {LOG_TAIL_LINES_MAX}", Quoted(word))
            }
            Self::Time(word) => {
                write!(f, "{} is not a time in UTC; as in `2026-11-22T14:31:28Z`", Quoted(word))
            }
        }
    }
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
pub fn nearest(word: &str, candidates: impl Iterator<Item = &'static str>) -> Option<&'static str> {
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
