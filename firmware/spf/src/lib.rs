//! Sender Policy Framework: whether a domain says that its mail comes from an address (RFC 7208).
//!
//! [`check_host`] asks what it needs through [`Lookup`] and follows records into those that they include, over a stack of
//! its own: the bounds of the standard (ten terms that ask, two that find nothing) end every chain, also one that leads in
//! circles.
//!
//! # What it does not do
//! It does not fetch explanations (`exp`), which are texts by strangers; it checks that they are written well.
#![no_std]
#![forbid(unsafe_code)]
// One executor, one thread: futures need not be `Send`.
#![allow(async_fn_in_trait)]

extern crate alloc;

mod check;
mod macros;
mod record;

pub use check::check_host;
pub use record::{Qualifier, is_record};

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use dns::Name;

/// Why a question has no answer of the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The name does not exist.
    NoSuchName,
    /// The name has no such records.
    NoData,
    /// Nobody could say.
    Temporary,
}

/// Who answers questions to DNS. An answer is never empty.
pub trait Lookup {
    /// The texts of a name, each with its strings joined.
    ///
    /// # Errors
    /// See [`LookupError`].
    async fn txt(&self, name: &Name) -> Result<Vec<Vec<u8>>, LookupError>;
    /// The IPv4 addresses of a name, or its IPv6 addresses.
    ///
    /// # Errors
    /// See [`LookupError`].
    async fn addresses(&self, name: &Name, six: bool) -> Result<Vec<IpAddr>, LookupError>;
    /// The mail exchangers of a domain, all of them.
    ///
    /// # Errors
    /// See [`LookupError`].
    async fn mx(&self, name: &Name) -> Result<Vec<Name>, LookupError>;
    /// The names of an address.
    ///
    /// # Errors
    /// See [`LookupError`].
    async fn ptr(&self, address: IpAddr) -> Result<Vec<Name>, LookupError>;
}

/// Who sends.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The local part of the sender; `postmaster` if there is none.
    pub local_part: &'a str,
    /// The domain of the sender, or what the client said in its hello if there is no sender.
    pub domain: &'a str,
    /// What the client said in its hello.
    pub helo: &'a str,
}

/// What a domain says about a sender (RFC 7208 §2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has published nothing, or is no domain.
    None,
    /// It says nothing about this client.
    Neutral,
    /// The client may send for it.
    Pass,
    /// The client may not send for it.
    Fail,
    /// The client probably may not.
    SoftFail,
    /// DNS did not answer.
    TempError,
    /// What it has published cannot be read.
    PermError,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        })
    }
}

/// What keeps a record from being evaluated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There are several records where one is allowed.
    SeveralRecords,
    /// The record is longer than we read.
    TooLong,
    /// The record has octets outside ASCII.
    NotAscii,
    /// A term that is no term, as it was written.
    Syntax(Box<str>),
    /// More than ten terms ask DNS.
    TooManyLookups,
    /// More than two questions find nothing.
    TooManyVoidLookups,
    /// More than ten hosts in one `mx` term.
    TooManyHosts,
    /// A record that is included or redirected to does not exist.
    NoRecord(Name),
    /// The name that is included or redirected to is none.
    NoName,
    /// DNS did not answer about this name.
    Unanswered(Name),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SeveralRecords => f.write_str("there are several v=spf1 records; one is allowed"),
            Self::TooLong => f.write_str("the record is too long"),
            Self::NotAscii => f.write_str("the record has characters outside ASCII"),
            Self::Syntax(term) => write!(f, "`{term}` is no term of SPF"),
            Self::TooManyLookups => f.write_str("more than 10 terms ask DNS"),
            Self::TooManyVoidLookups => f.write_str("more than 2 terms ask for what does not exist"),
            Self::TooManyHosts => f.write_str("an mx term has more than 10 hosts"),
            Self::NoRecord(name) => write!(f, "{name} is included and has no record"),
            Self::NoName => f.write_str("an include or redirect leads to no name"),
            Self::Unanswered(name) => write!(f, "no answer from DNS about {name}"),
        }
    }
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluation {
    /// What the domain says.
    pub outcome: Outcome,
    /// The term that decided, as it was written, and whose record it stands in.
    pub decided_by: Option<(Name, Box<str>)>,
    /// Why there is no better outcome, for the two errors.
    pub problem: Option<Problem>,
    /// Terms that asked DNS.
    pub lookups: u8,
    /// Records that were included or redirected to, in order.
    pub included: Vec<Name>,
}
