//! The serial console as a machine: bytes in, screen text and [`Command`]s out.
//!
//! # The driver's loop
//! `Console::new(settings)` takes the names and one-line explanations of all settings, for completion and `help`. Then:
//! 1. `greet(version, factory_fresh)` once; `set_prompt(hostname, draft_unsaved)` whenever one of the two changes.
//! 2. Give what was read to `receive(&[u8]) -> usize`; octets that it did not take are given again later.
//! 3. Write `transmit() -> &[u8]` to the terminal, say `transmitted(n)`.
//! 4. `poll() -> Option<Request>`: `Request::Run(Command)` is executed (its output goes through `Screen`); then say
//!    `done(Outcome::Done)`, or `done(Outcome::Failed)` after an error was printed, and go on at 3.
//!    `Request::Interrupt` is Ctrl-C while a command runs: stop it if it can be stopped.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod command;
mod time;

pub use command::{Answer, Command, KeyKind, QueueTarget, Topic};
pub use time::parse_time;
