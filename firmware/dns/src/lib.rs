//! DNS as a stub resolver needs it: names, messages, and the machine that asks name servers and believes little.
//!
//! Nothing here does input or output, knows the time or draws random numbers: all three are arguments.
//!
//! # Parts
//! - [`Name`] and [`Message`] are the codec: values that are always valid, both ways. Reading takes bounded time for any
//!   octets; names are put together without recursion.
//! - [`Inquiry`] is one question on its way: several servers, rounds, EDNS0 and without, TCP where UDP does not do, and
//!   the rules by which an answer is ours.
//! - [`Cache`] remembers what was found, "no" and failure included; [`Servers`] which servers to ask first.
//!
//! # Why no library
//! The codec is a few hundred lines, and what matters in it are its bounds and what it refuses. Libraries that know every
//! record type bring several times that, and their own ideas of names; one of them checks this one in the tests.
//!
//! # What it does not do
//! It asks servers that ask others (recursive ones) and does not walk from the root itself. It does not validate DNSSEC:
//! whoever can change what the servers say, or what goes between them and us, can say anything.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cache;
mod inquiry;
mod message;
mod name;
mod record;
mod servers;
mod trouble;
mod wire;

pub use cache::Cache;
pub use inquiry::{Attempt, Inquiry, Random, Step};
pub use message::{Code, Message, Question};
pub use name::{Name, NameError};
pub use record::{Association, Data, Record, RecordType, Soa};
pub use servers::Servers;
pub use trouble::Trouble;
pub use wire::Malformed;

use alloc::rc::Rc;

/// What became of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There are such records; never none.
    Records(Rc<[Data]>),
    /// The name does not exist.
    NoSuchName,
    /// The name exists and has no such record.
    NoData,
    /// Nobody could say.
    Trouble(Trouble),
}

impl Finding {
    /// Octets of heap that this takes, about.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::Records(records) => records.iter().map(|data| size_of::<Data>() + data.heap_bytes()).sum(),
            Self::NoSuchName | Self::NoData | Self::Trouble(_) => 0,
        }
    }
}
