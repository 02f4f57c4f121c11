//! The set-up dialogue: its questions and how far it is.

use crate::command::Answer;
use alloc::string::String;
use alloc::vec::Vec;
use limits::console::SETUP_QUESTIONS_COUNT_MAX;

/// One question.
pub struct Question {
    /// The setting that the answer goes to.
    pub name: &'static str,
    /// The question, lines of at most 74 characters.
    pub text: &'static str,
    /// What an answer looks like, where `none` will not do.
    pub example: Option<&'static str>,
}

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
        name: "relay-networks",
        text: "Which machines may send mail through it? Networks as in `192.0.2.0/24`,\n\
               or `192.0.2.7/32` for one machine, with spaces between; `none` for nobody.",
        example: None,
    },
    Question {
        name: "next-hop",
        text: "Which server takes all mail that leaves? HOST or HOST:PORT.",
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

    /// Number of the question, and how many are asked at most.
    pub const fn position(&self) -> (usize, usize) {
        (self.step + 1, QUESTIONS.len())
    }

    fn is_asked(&self, step: usize) -> bool {
        let is_static = QUESTIONS
            .iter()
            .zip(&self.values)
            .any(|(question, value)| question.name == "network" && value.trim() != "dhcp");
        is_static || QUESTIONS.get(step).is_none_or(|question| question.name != ONLY_STATIC)
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

    /// The answers to all questions; what was not asked has no place in what was answered.
    pub fn answers(&self) -> Vec<Answer> {
        let answer = |(step, (question, value)): (usize, (&Question, &String))| {
            let value = if self.is_asked(step) { value.clone() } else { String::from("none") };
            Answer { name: question.name, value }
        };
        QUESTIONS.iter().zip(&self.values).enumerate().map(answer).collect()
    }
}
