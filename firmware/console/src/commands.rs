//! The table of commands, as `help` shows it.

use crate::command::Topic;
use alloc::string::String;
use core::fmt;

/// One command as `help` shows it.
pub struct Entry {
    /// The words that it begins with.
    pub words: &'static [&'static str],
    /// What follows them.
    pub arguments: &'static str,
    /// What it does, in one line of at most 45 characters.
    pub summary: &'static str,
    /// More about it, lines of at most 76 characters.
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
        "Asks for names, networks, next hop, and what happens to mail that cannot be\n\
         signed or delivered; checks each answer, saves at the end. Enter keeps the\n\
         value in brackets, `back` goes back one question, Ctrl-C leaves without any\n\
         change.",
    ),
    entry(
        &["show"],
        "[TOPIC]",
        "show settings or the state of a part",
        "Topics: settings (also without a topic), config (settings and routes as lines\n\
         that can be pasted into a console), network, destinations, routes, queue,\n\
         identities, flash, memory, counters, time, version.",
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
    entry(
        &["queue"],
        "",
        "list the messages in the queue",
        "Two rows each: who and how large, then where it stands and why.",
    ),
    entry(
        &["queue", "summary"],
        "",
        "count what waits by destination and age",
        "Columns: T all of them, 5 those younger than 5 minutes, 10 those younger\n\
         than 10, and so on; 1280+ those of 1,280 minutes (21 hours) and older.",
    ),
    entry(
        &["queue", "show"],
        "ID",
        "show one message in full",
        "Envelope, recipients, decision, attempts, events, header.",
    ),
    entry(&["queue", "retry"], "ID|all|DOMAIN", "try delivery now", ""),
    entry(&["queue", "hold"], "ID|all|DOMAIN", "keep messages in the queue", "Held mail never expires."),
    entry(
        &["queue", "release"],
        "ID|all|DOMAIN",
        "let held messages go",
        "They are decided anew by the settings and identities of now: give a sender\n\
         without identity one first, or `set without-identity pass`.",
    ),
    entry(
        &["queue", "bounce"],
        "ID|all|DOMAIN",
        "give messages up and tell their senders",
        "Asks first unless it is one ID.",
    ),
    entry(
        &["queue", "remove"],
        "ID|all|DOMAIN",
        "remove messages for good",
        "Nobody is told. Asks first unless it is one ID.\n\
         DOMAIN is that of recipients, as in `example.org`. Of messages that\n\
         also have others, bounce and remove take only those in DOMAIN; retry, hold\n\
         and release act on the whole message.",
    ),
    entry(&["route", "list"], "", "list which domains go where", ""),
    entry(
        &["route", "add"],
        "DOMAIN HOST[:PORT] [inside]",
        "send mail for a domain to a server of its own",
        "In force at once, without `save`. Domains below DOMAIN go there too, unless\n\
         they have a route of their own; takes the place of an older one for DOMAIN.\n\
         `inside`: it is one of your own servers, its mail goes before other mail.",
    ),
    entry(&["route", "remove"], "DOMAIN", "let a domain go to the next hop again", ""),
    entry(
        &["route", "test"],
        "ADDRESS|DOMAIN|<>",
        "tell where mail for an address goes",
        "`<>` stands for mail from the null sender: reports and auto-replies.",
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

/// Commands that have several verbs, as the overview shows them: first word, what stands behind it, summary.
pub const GROUPS: &[(&str, &str, &str)] = &[
    ("identity", "VERB", "keys: list, generate, csr, import, remove"),
    (
        "queue",
        "[VERB]",
        "mail: summary, show, retry, hold, release,\nbounce, remove; the list without a verb",
    ),
    ("route", "VERB", "next hops of domains: list, add, remove, test"),
];

/// The topics of `show`.
pub const TOPICS: &[(&str, Topic)] = &[
    ("settings", Topic::Settings),
    ("config", Topic::Config),
    ("network", Topic::Network),
    ("destinations", Topic::Destinations),
    ("routes", Topic::Routes),
    ("queue", Topic::Queue),
    ("identities", Topic::Identities),
    ("flash", Topic::Flash),
    ("memory", Topic::Memory),
    ("counters", Topic::Counters),
    ("time", Topic::Time),
    ("version", Topic::Version),
];

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

/// The entry of the command with exactly these words. The table has it; `help` stands in for a word that is misspelt
/// here.
pub fn usage_of(words: &[&str]) -> &'static Entry {
    static HELP: Entry = entry(&["help"], "[COMMAND]", "", "");
    COMMANDS.iter().find(|e| e.words == words).unwrap_or(&HELP)
}
