//! The machine: what is being asked, what has been typed, what is to be done.

use crate::command::Command;
use crate::commands::{COMMANDS, GROUPS};
use crate::editor::Editor;
use crate::grammar::{Names, Parsed, candidates, parse};
use crate::history::History;
use crate::keys::{Key, Keys};
use crate::output::Output;
use crate::setup::Setup;
use crate::wrong::Wrong;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use events::text::Escaped;
use heapless::Vec;
use limits::console::{COLUMNS, PASTE_BYTES_MAX, TYPE_AHEAD_BYTES_MAX};

/// What the machine wants from its driver.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// Carry out this command, then say [`Console::done`].
    Run(Command),
    /// Ctrl-C was pressed while a command runs: stop it if it can be stopped. [`Console::done`] is still to be said.
    Interrupt,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it was wanted.
    Done,
    /// Not, and one line has been printed that says why.
    Failed,
}

/// What the next line is for.
#[derive(Debug)]
enum Mode {
    Command,
    Confirm {
        word: &'static str,
        command: Command,
    },
    /// It is being found out whether the identity of this number exists.
    BeforePaste(u32),
    Paste(Paste),
    Setup(Setup),
}

#[derive(Debug)]
struct Paste {
    id: u32,
    text: String,
    /// Where the present line begins in `text`.
    line_start: usize,
    overflowed: bool,
}

impl Paste {
    /// Too much was pasted: nothing of it will be used, but the line that ends it must still be found.
    fn overflow(&mut self) {
        self.overflowed = true;
        self.text.clear();
        self.line_start = 0;
    }
}

/// Words that a command has at most before the last one; completion looks no further.
const WORDS_MAX: usize = 24;
/// Characters of the host name that the prompt shows.
const PROMPT_NAME_CHARS_MAX: usize = 20;
/// Characters of a default that a question shows.
const DEFAULT_CHARS_MAX: usize = 56;

/// The console. See the [crate] for the driver's loop.
///
/// Memory: the line, 16 lines of history, one paste, typed-ahead and unsent octets, each bounded by
/// [`limits::console`].
#[derive(Debug)]
pub struct Console {
    names: Names,
    keys: Keys,
    editor: Editor,
    history: History,
    out: Output,
    mode: Mode,
    /// The name in the prompt of the command line.
    name: String,
    /// The prompt of the present line.
    prompt: String,
    /// A command is running.
    busy: bool,
    type_ahead: VecDeque<u8>,
    request: Option<Request>,
    interrupted: bool,
    /// Nothing has been set up yet.
    fresh: bool,
}

impl Console {
    /// A console that knows these settings: their names, each with one line that explains it.
    #[must_use]
    pub fn new(names: &'static [(&'static str, &'static str)]) -> Self {
        Self {
            names,
            keys: Keys::new(),
            editor: Editor::default(),
            history: History::default(),
            out: Output::default(),
            mode: Mode::Command,
            name: "stargate> ".to_string(),
            prompt: String::new(),
            busy: false,
            type_ahead: VecDeque::new(),
            request: None,
            interrupted: false,
            fresh: false,
        }
    }

    /// Says who is there and asks for the first command. `version` is printed behind the word; `factory_fresh`: nothing has
    /// been set up yet, and the operator is shown the way.
    pub fn greet(&mut self, version: &str, factory_fresh: bool) {
        self.fresh = factory_fresh;
        self.out.raw(b"\r\n");
        self.out.line(format_args!("Stargate S/MIME mail gateway, version {version}"));
        if factory_fresh {
            self.hint();
        } else {
            self.out.line("`help` lists all commands.");
        }
        self.ask();
    }

    fn hint(&mut self) {
        self.out.line("This appliance has not been set up and relays for nobody.");
        self.out.line("Type `setup`: a few questions, and it is ready. `help` lists all commands.");
    }

    /// Sets the name in the prompt, from the next prompt on: the first label of `hostname`, with an asterisk while the
    /// draft of the settings is not saved.
    pub fn set_prompt(&mut self, hostname: &str, draft_unsaved: bool) {
        self.name.clear();
        let label = hostname.split('.').next().unwrap_or_default();
        self.name.extend(label.chars().filter(char::is_ascii_graphic).take(PROMPT_NAME_CHARS_MAX));
        self.name.push_str(if draft_unsaved { "*> " } else { "> " });
    }

    /// Takes octets from the terminal and says how many it took; the others are to be given again after output has been
    /// sent or the running command is done. Keys that are typed while a command runs wait here, up to
    /// [`TYPE_AHEAD_BYTES_MAX`].
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for byte in bytes {
            if self.busy || !self.type_ahead.is_empty() {
                if self.busy && *byte == 0x03 {
                    self.interrupted = true;
                    self.type_ahead.clear();
                    if matches!(self.mode, Mode::BeforePaste(_)) {
                        self.mode = Mode::Command;
                        self.out.line("Nothing was imported.");
                    }
                } else if self.type_ahead.len() < TYPE_AHEAD_BYTES_MAX {
                    self.type_ahead.push_back(*byte);
                } else {
                    break;
                }
            } else if self.out.has_room() {
                self.byte(*byte);
            } else {
                break;
            }
            taken += 1;
        }
        self.catch_up();
        taken
    }

    /// Works off what was typed ahead, and draws the line.
    fn catch_up(&mut self) {
        while !self.busy && self.out.has_room() {
            let Some(byte) = self.type_ahead.pop_front() else { break };
            self.byte(byte);
        }
        if !self.busy && self.out.has_room() {
            self.editor.draw(&self.prompt, &mut self.out);
        }
    }

    /// What is to be written to the terminal next.
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        self.out.pending()
    }

    /// `count` octets of [`Console::transmit`] have been written.
    pub fn transmitted(&mut self, count: usize) {
        self.out.sent(count);
        self.catch_up();
    }

    /// What the driver is to do, once. Write [`Console::transmit`] first: the line that was typed comes before its
    /// output.
    pub fn poll(&mut self) -> Option<Request> {
        if let Some(request) = self.request.take() {
            return Some(request);
        }
        (core::mem::take(&mut self.interrupted) && self.busy).then_some(Request::Interrupt)
    }

    /// Whether a command runs.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Begins the set-up dialogue, in answer to [`Command::Setup`] and before [`Console::done`]; `current` gives the
    /// present value of a setting as text.
    pub fn setup(&mut self, current: impl FnMut(&'static str) -> String) {
        self.mode = Mode::Setup(Setup::new(current));
        self.out.line("A few questions. Enter keeps the value in brackets, `back` goes back, Ctrl-C");
        self.out.line("leaves; nothing changes before the end.");
    }

    /// The command has been carried out.
    pub fn done(&mut self, outcome: Outcome) {
        if !core::mem::replace(&mut self.busy, false) {
            return;
        }
        self.interrupted = false;
        let mut leave = false;
        if let Mode::Setup(setup) = &mut self.mode {
            let applied = setup.question().is_none();
            match outcome {
                Outcome::Done if applied => leave = true,
                Outcome::Done if setup.checking.is_some() => setup.accept(),
                Outcome::Done => {}
                Outcome::Failed if applied => setup.restart(),
                Outcome::Failed => setup.checking = None,
            }
        }
        if leave {
            self.mode = Mode::Command;
            self.fresh = false;
        }
        if let Mode::BeforePaste(id) = self.mode {
            self.mode = if outcome == Outcome::Done {
                self.out.line("Paste the certificate and its chain (PEM), then a line with a single `.`");
                Mode::Paste(Paste { id, text: String::new(), line_start: 0, overflowed: false })
            } else {
                Mode::Command
            };
        }
        self.ask();
        self.catch_up();
    }

    /// Begins a line: says what is asked, and shows the prompt. Every prompt stands at the start of a row that a line
    /// end has begun.
    fn ask(&mut self) {
        self.prompt.clear();
        match &self.mode {
            Mode::Command => self.prompt.push_str(&self.name),
            Mode::Confirm { word, .. } => self.prompt = format!("Type `{word}` to go on: "),
            Mode::BeforePaste(_) | Mode::Paste(_) => {}
            Mode::Setup(setup) => match setup.question() {
                Some((question, default)) => {
                    let (number, of) = setup.position();
                    self.out.raw(b"\r\n");
                    for (at, line) in question.text.lines().enumerate() {
                        if at == 0 {
                            let place = format!("{number}/{of}");
                            self.out.line(format_args!("{place:<7}{line}"));
                        } else {
                            self.out.line(format_args!("       {line}"));
                        }
                    }
                    self.prompt = match default {
                        "" => format!("{}: ", question.name),
                        _ => format!("{} [{}]: ", question.name, shown(default, DEFAULT_CHARS_MAX)),
                    };
                }
                None => {
                    self.out.raw(b"\r\n");
                    for answer in setup.shown_answers() {
                        let value = shown(&answer.value, COLUMNS - 24);
                        self.out.line(format_args!("{:<22}{value}", answer.name));
                    }
                    self.prompt.push_str("Save this and put it in force? yes, no or back [yes]: ");
                }
            },
        }
        // The line is empty: nothing but the prompt, so that a program sees LF and the prompt.
        self.out.raw(self.prompt.as_bytes());
    }

    fn run(&mut self, command: Command) {
        self.busy = true;
        self.request = Some(Request::Run(command));
    }

    fn byte(&mut self, byte: u8) {
        let Some(key) = self.keys.feed(byte) else { return };
        if matches!(self.mode, Mode::Paste(_)) {
            self.paste_key(key);
        } else {
            self.line_key(key);
        }
    }

    fn line_key(&mut self, key: Key) {
        let Self { editor, history, out, prompt, .. } = self;
        match key {
            Key::Char(c) => editor.insert(c, prompt, out),
            Key::Backspace => editor.backspace(),
            Key::Delete => editor.delete(),
            Key::EndOfInput if !editor.text().is_empty() => editor.delete(),
            Key::EndOfInput => out.raw(b"\x07"),
            Key::Left => editor.left(),
            Key::Right => editor.right(),
            Key::Home => editor.home(),
            Key::End => editor.end(),
            Key::KillBefore => editor.kill_before(),
            Key::KillAfter => editor.kill_after(),
            Key::KillWord => editor.kill_word(),
            Key::Redraw => {
                out.raw(b"\x1b[H\x1b[2J");
                editor.touch();
            }
            Key::Up | Key::Down | Key::Tab if !matches!(self.mode, Mode::Command) => out.raw(b"\x07"),
            Key::Up => match history.older(editor.text()) {
                Some(line) => editor.replace(line),
                None => out.raw(b"\x07"),
            },
            Key::Down => match history.newer() {
                Some(line) => editor.replace(line),
                None => out.raw(b"\x07"),
            },
            Key::Tab => self.complete(),
            Key::Interrupt => self.cancel(),
            Key::Enter => self.enter(),
        }
    }

    /// Ctrl-C: drops the line and whatever was being asked.
    fn cancel(&mut self) {
        self.editor.draw(&self.prompt, &mut self.out);
        self.out.raw(b"^C\r\n");
        self.editor.take();
        match core::mem::replace(&mut self.mode, Mode::Command) {
            Mode::Command | Mode::BeforePaste(_) => {}
            Mode::Confirm { .. } => self.out.line("Nothing was done."),
            Mode::Paste(_) => self.out.line("Nothing was imported."),
            Mode::Setup(_) => self.out.line("Nothing was changed."),
        }
        self.ask();
    }

    fn enter(&mut self) {
        self.editor.end();
        self.editor.draw(&self.prompt, &mut self.out);
        self.out.raw(b"\r\n");
        let overflowed = self.editor.overflowed();
        let line = self.editor.take();
        if overflowed {
            self.out.line(Wrong::LineTooLong);
            return self.ask();
        }
        match core::mem::replace(&mut self.mode, Mode::Command) {
            Mode::Command => self.enter_command(&line),
            Mode::Confirm { word, command } => {
                if line.trim() == word {
                    self.run(command);
                } else {
                    self.out.line(format_args!("Nothing was done: that was not `{word}`."));
                    self.ask();
                }
            }
            Mode::Setup(setup) => self.enter_answer(setup, line.trim()),
            // Keys go elsewhere in these.
            mode @ (Mode::BeforePaste(_) | Mode::Paste(_)) => self.mode = mode,
        }
    }

    fn enter_command(&mut self, line: &str) {
        self.history.remember(line.trim());
        match parse(line, self.names) {
            Err(wrong) => self.out.line(wrong),
            Ok(Parsed::Nothing) => {
                if self.fresh && line.trim().is_empty() {
                    self.hint();
                }
            }
            Ok(Parsed::Help(topic)) => self.help(topic.as_deref()),
            Ok(Parsed::Run(command)) => return self.run(command),
            Ok(Parsed::Confirm { warning, word, command }) => {
                self.out.line(warning);
                self.mode = Mode::Confirm { word, command };
            }
            Ok(Parsed::Paste(id)) => {
                self.mode = Mode::BeforePaste(id);
                return self.run(Command::IdentityImportBegin(id));
            }
        }
        self.ask();
    }

    fn enter_answer(&mut self, mut setup: Setup, answer: &str) {
        let question = setup.question().map(|(question, default)| (question, default.to_string()));
        match (question, answer) {
            (_, "back") => setup.back(),
            (Some((question, default)), _) => {
                let value = if answer.is_empty() { default } else { answer.to_string() };
                match question.example {
                    Some(example) if value == "none" || value.is_empty() => {
                        self.out.line(format_args!("An answer is needed here, as in `{example}`."));
                    }
                    _ => {
                        let answer = crate::Answer { name: question.name, value: value.clone() };
                        setup.checking = Some(value);
                        self.mode = Mode::Setup(setup);
                        return self.run(Command::TryAnswer(answer));
                    }
                }
            }
            (None, "" | "y" | "yes") => {
                let answers = setup.answers();
                self.mode = Mode::Setup(setup);
                return self.run(Command::ApplySetup(answers));
            }
            (None, "n" | "no") => {
                self.out.line("Nothing was changed.");
                return self.ask();
            }
            (None, _) => self.out.line("`yes` saves, `no` leaves without any change, `back` asks once more."),
        }
        self.mode = Mode::Setup(setup);
        self.ask();
    }

    fn paste_key(&mut self, key: Key) {
        let Mode::Paste(paste) = &mut self.mode else { return };
        let column = paste.text.len() - paste.line_start;
        let visible = column < COLUMNS - 1;
        match key {
            Key::Char(c) if paste.text.len() + c.len_utf8() < PASTE_BYTES_MAX => {
                paste.text.push(c);
                if visible {
                    self.out.raw(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            Key::Char(_) => paste.overflow(),
            Key::Enter if paste.text.get(paste.line_start..).is_some_and(|line| line.trim() == ".") => {
                paste.text.truncate(paste.line_start);
                self.end_paste();
            }
            Key::Enter => {
                if paste.text.len() >= PASTE_BYTES_MAX {
                    paste.overflow();
                }
                paste.text.push('\n');
                paste.line_start = paste.text.len();
                self.out.raw(b"\r\n");
            }
            Key::Backspace if column > 0 => {
                paste.text.pop();
                self.out.raw(b"\x08 \x08");
            }
            Key::KillBefore => {
                paste.text.truncate(paste.line_start);
                self.out.raw(b"\r\x1b[K");
            }
            Key::EndOfInput => self.end_paste(),
            Key::Interrupt => self.cancel(),
            _ => {}
        }
    }

    fn end_paste(&mut self) {
        self.out.raw(b"\r\n");
        let Mode::Paste(paste) = core::mem::replace(&mut self.mode, Mode::Command) else { return };
        if paste.overflowed {
            self.out.line(format_args!(
                "More than {PASTE_BYTES_MAX} octets were pasted; nothing was imported. Leave out the root certificate."
            ));
            return self.ask();
        }
        self.run(Command::IdentityImport { id: paste.id, pem: paste.text });
    }

    /// Tab: completes as far as there is no choice; if there is, shows it.
    fn complete(&mut self) {
        let before = self.editor.before_cursor().to_string();
        let start = before.rfind(' ').map_or(0, |space| space + 1);
        let (head, partial) = before.split_at(start);
        let mut words = Vec::<&str, WORDS_MAX>::new();
        if head.split_ascii_whitespace().any(|word| words.push(word).is_err()) {
            return self.out.raw(b"\x07");
        }
        let fits = |candidate: &&'static str| {
            candidate.get(..partial.len()).is_some_and(|start| start.eq_ignore_ascii_case(partial))
        };
        let mut found = candidates(&words, self.names).filter(fits);
        let Some(first) = found.next() else { return self.out.raw(b"\x07") };
        let (mut common, mut single) = (first, true);
        for other in found {
            let same = common.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
            common = common.get(..same).unwrap_or_default();
            single = false;
        }
        let more = common.get(partial.len()..).unwrap_or_default();
        if single {
            let more = format!("{more} ");
            self.editor.insert_text(&more, &self.prompt, &mut self.out);
        } else if !more.is_empty() {
            self.editor.insert_text(more, &self.prompt, &mut self.out);
        } else {
            self.out.raw(b"\r\n");
            let mut column = 0;
            for candidate in candidates(&words, self.names).filter(fits) {
                if column > 0 && column + candidate.len() + 2 >= COLUMNS {
                    self.out.raw(b"\r\n");
                    column = 0;
                }
                self.out.text(format_args!("{candidate}  "));
                column += candidate.len() + 2;
            }
            self.out.raw(b"\r\n");
            self.editor.touch();
        }
    }

    fn help(&mut self, topic: Option<&str>) {
        let Some(topic) = topic else {
            let mut last = "";
            for entry in COMMANDS {
                let first = entry.words.first().copied().unwrap_or_default();
                match GROUPS.iter().find(|(word, ..)| *word == first) {
                    Some(_) if last == first => {}
                    Some((word, arguments, summary)) => {
                        self.help_line(&format!("{word} {arguments}"), summary)
                    }
                    None => self.help_line(&entry.usage(), entry.summary),
                }
                last = first;
            }
            self.out.line("`help queue`, for example, tells more about a command and all its verbs.");
            return self
                .out
                .line("Tab completes, the cursor keys bring back earlier lines, Ctrl-C drops a line.");
        };
        let mut words = Vec::<&str, WORDS_MAX>::new();
        let fits = topic.split_ascii_whitespace().all(|word| words.push(word).is_ok());
        if let ["set", name] = words[..]
            && let Some((name, explanation)) = self.names.iter().find(|(known, _)| *known == name)
        {
            return self.out.line(format_args!("set {name} VALUE: {explanation}"));
        }
        let mut any = false;
        for entry in COMMANDS.iter().filter(|entry| fits && entry.begins_with(&words)) {
            any = true;
            self.help_line(&entry.usage(), entry.summary);
            for line in entry.details.lines() {
                self.out.line(format_args!("   {line}"));
            }
        }
        if any && words[..] == ["set"] {
            for (name, explanation) in self.names {
                self.help_line(name, explanation);
            }
        }
        if !any {
            self.out.line(Wrong::Command { word: topic, near: None });
        }
    }

    fn help_line(&mut self, usage: &str, summary: &str) {
        const USAGE_CHARS: usize = 29;
        if usage.len() > USAGE_CHARS {
            self.out.line(format_args!(" {usage}"));
            self.out.line(format_args!(" {:<USAGE_CHARS$} {summary}", ""));
        } else {
            let mut left = usage;
            for line in summary.lines() {
                self.out.line(format_args!(" {left:<USAGE_CHARS$} {line}"));
                left = "";
            }
        }
    }
}

/// The start of a value, printable, at most `chars` characters long; `~` stands for the rest.
fn shown(value: &str, chars: usize) -> String {
    let mut shown = Escaped(value.as_bytes()).to_string();
    if shown.len() > chars {
        shown.truncate(chars.saturating_sub(1));
        shown.push('~');
    }
    shown
}
