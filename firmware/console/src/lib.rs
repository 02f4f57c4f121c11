//! The serial console as a machine: bytes in, screen text and [`Command`]s out.
//!
//! # The driver's loop
//! [`Console::new`] takes the names and one-line explanations of all settings, for completion and `help`. Then:
//! 1. [`Console::greet`] once; [`Console::set_prompt`] when the host name or the state of the draft changes, before
//!    [`Console::done`].
//! 2. Give what was read to [`Console::receive`]; octets that it did not take are given again later.
//! 3. Write [`Console::transmit`] to the terminal, say [`Console::transmitted`], until it is empty.
//! 4. [`Console::poll`]: [`Request::Run`] is carried out, its output goes through a [`Screen`]; then say
//!    [`Console::done`] with [`Outcome::Done`], or with [`Outcome::Failed`] after a line was printed that says why, and
//!    go on at 3. [`Request::Interrupt`] is Ctrl-C while a command runs.
//!
//! [`Command::IdentityImportBegin`] only asks whether certificates may be pasted: after [`Outcome::Done`] the console asks
//! for them. Three commands belong to the set-up dialogue: in answer to [`Command::Setup`] call [`Console::setup`];
//! [`Command::TryAnswer`] and [`Command::ApplySetup`] are checked or applied, and [`Outcome`] says how it went: the
//! dialogue asks the same question again, or starts over with the answers kept.
//!
//! # The terminal
//! A raw serial terminal of 80 columns that understands the VT100's `CSI K`, `CSI H`, `CSI J` and `CSI n D`; nothing is
//! ever asked of it, so that a program can stand in for it. CR, LF and CRLF end a line once each. A line is UTF-8 of at
//! most [`limits::console::LINE_CHARS_MAX`] characters and stays in one row, which becomes a window on it when it is
//! longer. **A prompt stands behind a line end when a new line is asked for, and only then**: redraws begin with CR. A
//! program waits for LF, the prompt, and nothing after it.
//!
//! Everything that is printed is printable ASCII ([`Screen`], [`events::text`]), except the echo of what was typed.
//!
//! # What it does not do
//! It does not know whether an identity or a message exists and whether the value of a setting is valid: that is for the
//! executor. It has no clock: pasted lines end by a line with a single `.`, not by a pause.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod command;
mod commands;
mod editor;
mod grammar;
mod history;
mod keys;
mod machine;
mod output;
mod screen;
mod setup;
mod time;
mod wrong;

pub use command::{Answer, Check, Command, KeyKind, QueueTarget, Rows, Topic};
pub use machine::{Console, Outcome, Request};
pub use screen::{Column, Screen, Table};
pub use setup::{online_host, tables as setup_tables};
pub use time::parse_time;
