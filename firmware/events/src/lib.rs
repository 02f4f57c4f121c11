//! What happened: typed events, kept in a ring and printed as one greppable line each.
//!
//! An [`Event`] borrows its texts, so that telling costs no copy; [`Log::record`] encodes it (postcard) into a ring of
//! [`limits::events::RING_BYTES`] octets, where the oldest events make room and are counted as lost. Every event has
//! a number that never repeats while the appliance runs.
//!
//! # The line
//! `TIME WORD key=value …`: TIME is `2026-11-22T14:31:28Z`, or `+12.345s` (since start) while the clock is not trusted;
//! WORD is [`Event::word`]. Values without spaces stand bare, texts stand in double quotes, addresses in angle brackets.
//! Whatever came from outside is escaped to printable ASCII ([`text`]), cut at a bound of `limits` and then marked with
//! `~`. A log line can therefore never move a cursor, start a second line or fill a terminal.
//!
//! # What is never in it
//! Subject, content, passwords, keys. Envelope addresses are, as in every mail log: an operator is asked "where is my
//! mail". Other personal data is wrapped in [`Private`], which prints nothing.
//!
//! # The mirror
//! With the feature `defmt`, [`Log::record`] also sends the same line as a defmt frame.
#![no_std]
#![forbid(unsafe_code)]

mod event;
mod log;
mod private;
pub mod text;

pub use event::{Decision, Event, IpNetwork, Level, Stage, Store, TpmState};
pub use log::{Cursor, Entry, Log, Stamp};
pub use private::Private;
pub use text::{Address, Text};
