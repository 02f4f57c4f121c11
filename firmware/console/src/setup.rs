//! The set-up dialogue: its questions and how far it is.

use crate::command::Answer;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use limits::console::SETUP_QUESTIONS_COUNT_MAX;

/// One question.
pub struct Question {
    /// The setting that the answer goes to, or one of the names of [`tables`].
    pub name: &'static str,
    /// The question, lines of at most 72 characters.
    pub text: &'static str,
    /// What an answer looks like, where `none` will not do.
    pub example: Option<&'static str>,
}

/// Questions whose answers are not settings but become rows of tables.
pub mod tables {
    /// How the appliance stands to Exchange: one of [`PATTERNS`].
    pub const PATTERN: &str = "pattern";
    /// The own domains, with spaces or commas between.
    pub const DOMAINS: &str = "domains";
    /// The Exchange server of each own domain, in their order, or one for all; or `mx`.
    pub const EXCHANGE: &str = "exchange";
    /// The addresses that Exchange sends from.
    pub const EXCHANGE_PEERS: &str = "exchange-peers";
    /// What can be answered to [`PATTERN`].
    pub const PATTERNS: &[&str] = &["online-behind", "online-front", "onprem", "applications", "by-hand"];
}

/// What Exchange Online sends from, as Microsoft publishes it for its mail protection: the proposal, to be compared with
/// the list of the day.
const ONLINE_SOURCES: &str = "40.92.0.0/15,40.107.0.0/16,52.100.0.0/14,52.238.78.88/32,104.47.0.0/17,\
                              2a01:111:f400::/48,2a01:111:f403::/48";

/// The questions, in the order in which they are asked.
pub const QUESTIONS: &[Question] = &[
    Question {
        name: "hostname",
        text: "What is the full name of this appliance in DNS?",
        example: Some("gw1.example.org"),
    },
    Question {
        name: "network",
        text: "How does it get its own address? `dhcp`, or ADDRESS/BITS GATEWAY, as in\n\
               `192.0.2.10/24 192.0.2.1`.",
        example: None,
    },
    Question {
        name: "dns-servers",
        text: "Which name servers does it ask? Up to 3 addresses, with spaces between.",
        example: None,
    },
    Question {
        name: tables::PATTERN,
        text: "What does it work with?\n\
               `online-behind`  Exchange Online has the MX record, and sends mail\n\
               \x20                through this appliance by a connector\n\
               `online-front`   Exchange Online; the MX record leads to this appliance\n\
               `onprem`         an Exchange server of your own; the MX leads here\n\
               `applications`   programs, printers and servers that send\n\
               `by-hand`        leave the tables of peers, domains and routes alone",
        example: Some("online-behind"),
    },
    Question {
        name: tables::DOMAINS,
        text: "Which mail domains are yours? With spaces between.",
        example: Some("example.org"),
    },
    Question {
        name: tables::EXCHANGE,
        text: "Which Exchange server takes their mail? One, or one for each domain in\n\
               their order; `mx`: by the MX records of each domain, without this\n\
               appliance. For Exchange Online compare with its admin centre.",
        example: Some("mail1.example.org"),
    },
    Question {
        name: tables::EXCHANGE_PEERS,
        text: "From which addresses does Exchange send? Networks or addresses. For\n\
               Exchange Online compare with the list that Microsoft publishes.",
        example: Some("192.0.2.20"),
    },
    Question {
        name: "own-names",
        text: "Which other names lead to this appliance, in MX records for example?",
        example: None,
    },
    Question {
        name: "relay-networks",
        text: "Which other machines of yours may send through it to anywhere?\n\
               Networks as in `192.0.2.0/24`, or `192.0.2.7/32` for one machine, with\n\
               spaces between; `none` for nobody.",
        example: None,
    },
    Question {
        name: "next-hop",
        text: "Which server takes all mail that leaves? HOST or HOST:PORT, or `none`:\n\
               it goes to the servers that each recipient's domain names in DNS.",
        example: None,
    },
    Question {
        name: "without-identity",
        text: "What happens to mail of senders who have no key and certificate here?\n\
               `hold` keeps it in the queue until you decide, `pass` sends it unsigned.",
        example: None,
    },
    Question {
        name: "postmaster",
        text: "Who gets mail that fails and can be returned to nobody? Your address, or\n\
               `none` to keep it in the queue.",
        example: None,
    },
    Question {
        name: "commissioning",
        text: "Do you still try things out? `on` keeps mail that fails in the queue and\n\
               tells no sender, until you turn it `off`.",
        example: None,
    },
];

/// The host of Exchange Online that takes the mail of a domain: its dots become hyphens.
///
/// A hyphen of the domain itself falls away, and a code behind the name tells where it was: `0`, the number of whole
/// groups of four characters before it (nothing for none), and `b`, `c`, `e` or `i` for its place in its group. Microsoft
/// does not document that; it holds for every domain with one hyphen that was looked at. `None`: more hyphens, or one far
/// behind, for which the admin centre must be asked.
#[must_use]
pub fn online_host(domain: &str) -> Option<String> {
    let domain = domain.trim_end_matches('.').to_ascii_lowercase();
    let code = match domain.match_indices('-').next() {
        None => String::new(),
        Some((at, _)) => {
            let place = b"bcei".get(at % 4).copied().map(char::from)?;
            match at / 4 {
                0 => format!("0{place}"),
                group @ 1..=9 => format!("0{group}{place}"),
                _ => return None,
            }
        }
    };
    if domain.matches('-').count() > 1 || !domain.contains('.') {
        return None;
    }
    let name = domain.replace('-', "").replace('.', "-");
    Some(format!("{name}{code}.mail.protection.outlook.com"))
}

limits::const_assert!(QUESTIONS.len() <= SETUP_QUESTIONS_COUNT_MAX);

/// Which questions are asked only with a static network: DHCP brings name servers along.
const ONLY_STATIC: &str = "dns-servers";

/// How far the dialogue is.
#[derive(Debug)]
pub struct Setup {
    /// The question that is asked; the number of questions: the last word, whether to save.
    step: usize,
    /// The values as they will be, one for each question.
    values: Vec<String>,
    /// The answer that is being checked.
    pub checking: Option<String>,
}

impl Setup {
    /// Begins with the present values.
    pub fn new(mut current: impl FnMut(&'static str) -> String) -> Self {
        Self {
            step: 0,
            values: QUESTIONS.iter().map(|question| current(question.name)).collect(),
            checking: None,
        }
    }

    /// The question that is asked and its default; `None` at the end.
    pub fn question(&self) -> Option<(&'static Question, &str)> {
        QUESTIONS.get(self.step).zip(self.values.get(self.step).map(String::as_str))
    }

    fn value(&self, name: &str) -> &str {
        let at = QUESTIONS.iter().position(|question| question.name == name);
        at.and_then(|at| self.values.get(at)).map_or("", |value| value.trim())
    }

    /// Proposes what follows from the answers so far, where nothing was there or the answer before was proposed.
    fn propose(&mut self) {
        let Some(question) = QUESTIONS.get(self.step) else { return };
        let online = self.value(tables::PATTERN).starts_with("online");
        let proposal = match question.name {
            tables::EXCHANGE if online => {
                let domains =
                    self.value(tables::DOMAINS).split([' ', ',']).filter(|domain| !domain.is_empty());
                let hosts: Option<Vec<String>> = domains.map(online_host).collect();
                hosts.map(|hosts| hosts.join(","))
            }
            tables::EXCHANGE_PEERS if online => Some(ONLINE_SOURCES.into()),
            _ => None,
        };
        if let (Some(proposal), Some(value)) = (proposal, self.values.get_mut(self.step))
            && (value.is_empty() || value.contains(".mail.protection.outlook.com"))
        {
            *value = proposal;
        }
    }

    /// Number of the question, and how many are asked at most.
    pub const fn position(&self) -> (usize, usize) {
        (self.step + 1, QUESTIONS.len())
    }

    fn is_asked(&self, step: usize) -> bool {
        match QUESTIONS.get(step).map(|question| question.name) {
            Some(ONLY_STATIC) => self.value("network") != "dhcp",
            Some(tables::DOMAINS | tables::EXCHANGE | tables::EXCHANGE_PEERS) => {
                !matches!(self.value(tables::PATTERN), "applications" | "by-hand")
            }
            _ => true,
        }
    }

    /// Keeps the answer that was checked, and goes on.
    pub fn accept(&mut self) {
        if let (Some(answer), Some(value)) = (self.checking.take(), self.values.get_mut(self.step)) {
            *value = answer;
        }
        self.step += 1;
        while !self.is_asked(self.step) {
            self.step += 1;
        }
        self.propose();
    }

    /// Goes back one question.
    pub fn back(&mut self) {
        self.checking = None;
        let before = (0..self.step).rev().find(|step| self.is_asked(*step));
        self.step = before.unwrap_or(0);
    }

    /// Goes back to the first question and keeps the answers.
    pub fn restart(&mut self) {
        self.checking = None;
        self.step = 0;
    }

    /// The answers to all questions; what was not asked has no place in what was answered: `none`.
    pub fn answers(&self) -> Vec<Answer> {
        let answer = |(step, (question, value)): (usize, (&Question, &String))| {
            let value = if self.is_asked(step) { value.clone() } else { String::from("none") };
            Answer { name: question.name, value }
        };
        QUESTIONS.iter().zip(&self.values).enumerate().map(answer).collect()
    }

    /// The answers that are shown before they are saved: those that have to do with the pattern only if it was asked for.
    pub fn shown_answers(&self) -> impl Iterator<Item = Answer> {
        let asked: Vec<bool> = (0..QUESTIONS.len()).map(|step| self.is_asked(step)).collect();
        let is_shown = move |step: usize, name: &str| name == ONLY_STATIC || asked.get(step) == Some(&true);
        self.answers()
            .into_iter()
            .enumerate()
            .filter(move |(step, answer)| is_shown(*step, answer.name))
            .map(|(_, answer)| answer)
    }
}

#[cfg(test)]
mod tests {
    use super::online_host;

    #[test]
    fn the_host_of_exchange_online_follows_from_the_domain() {
        for (domain, host) in [
            ("vrgnservices.eu", Some("vrgnservices-eu")),
            ("Example.CO.UK.", Some("example-co-uk")),
            ("abc-def.example", Some("abcdef-example0i")),
            ("abcd-ef.example", Some("abcdef-example01b")),
            ("abcdefgh-ij.example", Some("abcdefghij-example02b")),
            ("abcdefghij-k.example", Some("abcdefghijk-example02e")),
            ("a-b-c.example", None),
            ("localhost", None),
        ] {
            let host = host.map(|name| alloc::format!("{name}.mail.protection.outlook.com"));
            assert_eq!(online_host(domain), host, "{domain}");
        }
    }
}
