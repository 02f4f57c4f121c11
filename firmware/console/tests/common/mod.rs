//! A terminal that shows what the console sends: 80 columns, and only the control sequences that the crate promises.

#![allow(dead_code, clippy::unwrap_used, reason = "shared by tests that each use a part")]

use console::{Command, Console, Outcome, Request};

pub const NAMES: &[(&str, &str)] = &[
    ("hostname", "own full host name, as in gw1.example.org"),
    ("network", "dhcp, or ADDRESS/BITS GATEWAY"),
    ("dns-servers", "up to 3 addresses, or none for those from DHCP"),
    ("relay-networks", "clients that may send, ADDRESS/BITS, or none"),
    ("next-hop", "server for all mail, HOST[:PORT], or none"),
    ("retry-first", "time to the first retry"),
    ("retry-max", "longest time between retries"),
    ("without-identity", "mail of senders without identity: hold or pass"),
];

/// Rows of text and a cursor. Panics at anything that is not promised.
#[derive(Default)]
pub struct Terminal {
    pub rows: Vec<Vec<char>>,
    row: usize,
    column: usize,
    pub bells: usize,
    rest: Vec<u8>,
}

impl Terminal {
    pub fn show(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let rest = std::mem::take(&mut self.rest);
        let mut text = std::str::from_utf8(&rest).expect("output is UTF-8").chars();
        if self.rows.is_empty() {
            self.rows.push(Vec::new());
        }
        while let Some(c) = text.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => {
                    self.row += 1;
                    if self.row == self.rows.len() {
                        self.rows.push(Vec::new());
                    }
                }
                '\x07' => self.bells += 1,
                '\x08' => self.column = self.column.checked_sub(1).expect("no backspace at the margin"),
                '\x1b' => self.control(&mut text),
                c => {
                    assert!(!c.is_control(), "control character {c:?}");
                    assert!(self.column < 80, "a row is as wide as the screen");
                    let row = &mut self.rows[self.row];
                    row.resize(row.len().max(self.column + 1), ' ');
                    row[self.column] = c;
                    self.column += 1;
                }
            }
        }
    }

    fn control(&mut self, text: &mut std::str::Chars<'_>) {
        assert_eq!(text.next(), Some('['));
        let digits: String = text.clone().take_while(char::is_ascii_digit).collect();
        let name = text.nth(digits.len()).unwrap();
        match (name, digits.as_str()) {
            ('K', "") => self.rows[self.row].truncate(self.column),
            ('H', "") => self.column = 0,
            ('J', "2") => {
                self.rows = vec![Vec::new()];
                self.row = 0;
            }
            ('D', digits) => {
                self.column = self.column.checked_sub(digits.parse().unwrap()).expect("moves within the row");
            }
            other => panic!("unexpected control sequence {other:?}"),
        }
    }

    /// The screen, rows without spaces at their ends; `|` stands at the cursor if it is not at the end of its row.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            let mut row = row.clone();
            if at == self.row && self.column < row.len() {
                row.insert(self.column, '|');
            }
            text += row.into_iter().collect::<String>().trim_end();
            text.push('\n');
        }
        text
    }
}

/// A console with its terminal, and an operator's hands.
pub struct Session {
    pub console: Console,
    pub terminal: Terminal,
    pub commands: Vec<Command>,
    /// Answers to the set-up dialogue that are refused.
    pub refused: Vec<&'static str>,
    /// Whether there is no identity with the number that is asked for.
    pub unknown_identity: bool,
}

impl Session {
    pub fn new() -> Self {
        let mut session = Self {
            console: Console::new(NAMES),
            terminal: Terminal::default(),
            commands: Vec::new(),
            refused: Vec::new(),
            unknown_identity: false,
        };
        session.console.greet("0", false);
        session.drain();
        session.terminal = Terminal::default();
        session.typed(b"\x0c");
        session
    }

    pub fn drain(&mut self) {
        while !self.console.transmit().is_empty() {
            let bytes = self.console.transmit().to_vec();
            // Two steps, so that a sequence may be cut.
            self.terminal.show(&bytes);
            self.console.transmitted(bytes.len());
        }
    }

    /// Types `bytes`; every command is done at once.
    pub fn typed(&mut self, bytes: &[u8]) -> &mut Self {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.console.receive(rest);
            rest = &rest[taken..];
            self.drain();
            self.work();
        }
        self
    }

    fn work(&mut self) {
        while let Some(request) = self.console.poll() {
            let Request::Run(command) = request else { continue };
            let outcome = match &command {
                Command::Setup => {
                    self.console.setup(|name| {
                        let value = match name {
                            "network" => "dhcp",
                            "pattern" | "domains" | "exchange" | "exchange-peers" => "",
                            _ => "none",
                        };
                        value.to_string()
                    });
                    Outcome::Done
                }
                Command::TryAnswer(answer) if self.refused.contains(&answer.value.as_str()) => {
                    self.terminal.show(b"that is refused\r\n");
                    Outcome::Failed
                }
                Command::IdentityImportBegin(_) if self.unknown_identity => Outcome::Failed,
                _ => Outcome::Done,
            };
            self.commands.push(command);
            self.console.done(outcome);
            self.drain();
        }
    }

    pub fn screen(&self) -> String {
        self.terminal.text()
    }

    pub fn last_row(&self) -> String {
        self.screen().lines().last().unwrap_or_default().to_string()
    }
}

/// Compares with a file of expected output; `BLESS=1` writes it.
pub fn compare(name: &str, found: &str) {
    let file = format!("{}/tests/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    assert_eq!(found, std::fs::read_to_string(&file).unwrap_or_default(), "differs from {file}");
}
