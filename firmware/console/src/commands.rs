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
        "Asks for names, where Exchange is, networks, and what happens to mail that\n\
         cannot be signed or delivered; checks each answer, saves at the end. Enter\n\
         keeps the value in brackets, `back` goes back one question, Ctrl-C leaves\n\
         without any change.",
    ),
    entry(
        &["show"],
        "[TOPIC]",
        "show settings or the state of a part",
        "Topics: settings (also without a topic), config (everything as lines that can\n\
         be pasted into a console), peers, networks, domains, routes, relay, actions,\n\
         filter, network, destinations, queue, identities, flash, memory, counters,\n\
         time, version.",
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
    entry(&["peer", "list"], "", "tell who may do what, and why", ""),
    entry(
        &["peer", "add"],
        "NAME SOURCE[,SOURCE] class CLASS [OPTIONS]",
        "give clients rights by their address",
        "In force at once, without `save`; takes the place of an older one of the name.\n\
         SOURCE: a network, an address, or `any`. The most specific source decides.\n\
         class internet: mail for own domains. class application: mail to anywhere.\n\
         class exchange: Exchange's own, keeps its header fields. class trusted: the\n\
         same without limits of size and rate.\n\
         Options: `on LISTENER|ifN` only for connections there; `headers keep|remove`;\n\
         `relay none|internal|any`; `size 25M`; `rate N` a minute; `connections N`;\n\
         `senders own|DOMAIN[,DOMAIN]`; `starttls on|off`; `repair on|off`;\n\
         `verify-sender on|off`; `verify-recipient on|off`; `tarpit SECONDS`;\n\
         `rewrite ADDRESS|@DOMAIN|off`.",
    ),
    entry(
        &["peer", "source"],
        "NAME add|remove SOURCE[,SOURCE]",
        "change the sources of one peer",
        "For lists that are too long for one line, or that change.",
    ),
    entry(&["peer", "remove"], "NAME", "take a peer's rights away", ""),
    entry(
        &["peer", "test"],
        "ADDRESS [on LISTENER|ifN]",
        "tell what a client may do, and by which rule",
        "As in `peer test 10.0.0.5 on if1`; also `peers test`.",
    ),
    entry(
        &["peer", "confirm"],
        "",
        "after damage: the rules shown are all",
        "While a stored page of rules cannot be read nobody may relay. See\n\
         `show peers`, add what is missing, then confirm. Asks first.",
    ),
    entry(&["domain", "list"], "", "list the own domains", ""),
    entry(
        &["domain", "add"],
        "DOMAIN [name HOSTNAME] [+sub]",
        "make a domain one of the own ones",
        "In force at once. `name`: the name of this appliance in that domain, as in its\n\
         MX record. `+sub`: domains below it are own ones too.",
    ),
    entry(&["domain", "remove"], "DOMAIN", "let a domain be a foreign one", ""),
    entry(&["route", "list"], "", "list which domains go where", ""),
    entry(
        &["route", "add"],
        "DOMAIN|* HOST[,HOST] [cost N]|mx [OPTIONS]",
        "send mail for a domain to servers of its own",
        "In force at once, without `save`. Domains below DOMAIN go there too, unless\n\
         they have a route of their own; `*` is for all others. Takes the place of an\n\
         older one for DOMAIN; with `cost N`, only of its hosts of that cost. The\n\
         lowest cost is tried first, equals share. `mx`: by the domain's MX records.\n\
         `inside`: own servers, their mail goes first. `exchange`: own Exchange.\n\
         `from ADDRESS|ifN`, `helo NAME`: what connections come from and say.\n\
         `connections N`, `rate N`: in place of the settings for destinations.",
    ),
    entry(&["route", "remove"], "DOMAIN|*", "let a domain go where other mail goes", ""),
    entry(
        &["route", "test"],
        "ADDRESS|DOMAIN|<>",
        "tell where mail for an address goes",
        "`<>` stands for mail from the null sender: reports and auto-replies.",
    ),
    entry(&["action", "list"], "", "list the addresses with actions", ""),
    entry(
        &["action", "add"],
        "ADDRESS ACTION",
        "act on mail for an address of an own domain",
        "In force at once. ACTION: `forward ADDRESS`, `discard`, `reject [TEXT]`, or\n\
         `reply-once TEXT`, which throws the mail away and tells its sender TEXT: no\n\
         machine, and nobody twice a week.",
    ),
    entry(&["action", "remove"], "ADDRESS", "let mail for an address go its way", ""),
    entry(&["log", "tail"], "[LINES]", "print the last events", "20 lines if no number is given."),
    entry(
        &["diag"],
        "",
        "check network, flash, TPM, clock, next hop",
        "One line for each: `ok`, or what is wrong and what to do.",
    ),
    entry(
        &["diag", "dns"],
        "DOMAIN [from ADDRESS]",
        "check a domain's A, MX and SPF records",
        "What is expected beside what is there. SPF is evaluated for the addresses\n\
         that mail leaves from; `from ADDRESS` asks what it says about another one.",
    ),
    entry(
        &["diag", "smtp"],
        "HOST[:PORT]",
        "connect to a mail server and say hello",
        "Shows its greeting and what it offers. Nothing is sent.",
    ),
    entry(
        &["diag", "route"],
        "ADDRESS",
        "follow the way of mail for an address",
        "The rule, the hosts in their order, and their addresses.",
    ),
    entry(
        &["diag", "dnsbl"],
        "[ADDRESS]",
        "ask block lists about our addresses",
        "Addresses behind a translator are known from `set own-addresses`.",
    ),
    entry(
        &["diag", "exchange"],
        "[DOMAIN]",
        "check everything between Exchange and here",
        "Rules for Exchange, own names, MX order, SPF, reachability, the session\n\
         with which Exchange validates a connector, loops, and whether mail has come\n\
         at all. For one internal domain, or for all of them.",
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
    ("peer", "VERB", "rights: list, add, source, remove, test,\nconfirm"),
    ("domain", "VERB", "own domains: list, add, remove"),
    ("diag", "[VERB]", "checks: dns, smtp, route, dnsbl, exchange;\nthe appliance itself without a verb"),
    ("route", "VERB", "next hops of domains: list, add, remove, test"),
    ("action", "VERB", "for single addresses: list, add, remove"),
];

/// The topics of `show`.
pub const TOPICS: &[(&str, Topic)] = &[
    ("settings", Topic::Settings),
    ("config", Topic::Config),
    ("network", Topic::Network),
    ("destinations", Topic::Destinations),
    ("peers", Topic::Peers),
    ("clients", Topic::Clients),
    ("networks", Topic::Networks),
    ("domains", Topic::Domains),
    ("routes", Topic::Routes),
    ("relay", Topic::Relay),
    ("actions", Topic::Actions),
    ("filter", Topic::Filter),
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
