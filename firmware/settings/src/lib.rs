//! The configuration: typed, edited as text, stored as one value.
//!
//! # Text
//! Every setting has a name ([`NAMES`]). [`Settings::set`] reads its value from text and either changes the one setting
//! or, with a one-line [`Fault`] that says what was wrong and what would be right, nothing. [`Settings::value`] prints
//! what `set` would take, [`Settings::export`] the whole as `set` lines. [`Settings::check`] finds what does not fit
//! together and is asked before anything is stored.
//!
//! # Factory defaults
//! [`Settings::default`]: address by DHCP, no host name, no next hop, and relay for nobody.
//!
//! # Stored format
//! One value: one octet [`VERSION`], then the fields of [`Settings`] in their order, in postcard's encoding (LEB128
//! integers, little end first; an option is 0 or 1 before its value; lists and texts are preceded by their length; an
//! enum is preceded by the number of its variant). It is stored whole under one key, so a power cut leaves the old
//! configuration or the new one. What cannot be read is [`Unusable`]: the factory defaults take its place, and the
//! reason is reported; it is never a brick, and never an open relay.
//!
//! # Tables
//! [`Routes`], [`Peers`], [`Domains`] and [`Actions`] are tables of their own, because they may be long and are changed row
//! by row: `route add`, for example, is in force and on flash when it returns, without `save`. A table is kept in pages
//! of up to 16 rows (4 peers), one value each; a change writes the one page that it concerns, so it is stored whole or
//! not at all, and a row that replaces another is in the page of that one. A page: one octet 2 (its format); then each
//! row: its length (two octets, little end first) and its text, as the command takes it that adds the row. Text that is
//! not exactly what the row prints was not written here, and ends the page.
//!
//! What cannot be read is skipped and counted, and the operator is told. Mail of a lost route goes where other mail goes, a
//! lost domain is a foreign one, a lost action is none. A lost peer may have been one that forbids: so while a page of
//! peers cannot be read, nobody may relay ([`Rule::Damaged`]).
//!
//! Keys: 1 the settings, 2 operating time, 3 factory reset, 4 the appliance's [`Secret`]; pages from 256 (routes), 512
//! (peers), 768 (domains) and 1,024 (actions).
//!
//! # Operating time
//! The store also keeps how long the appliance has been running with its queue (eight octets, little end first), so that
//! the age of mail does not depend on a clock that may be wrong.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod actions;
mod domain;
mod domains;
mod fault;
mod listener;
mod parse;
mod peers;
mod routes;
mod secret;
mod store;
mod stored;
mod table;
mod text;
mod types;
mod words;

pub use actions::{Action, Actions, What};
pub use domain::canonical;
pub use domains::{Domain, Domains};
pub use fault::{Fault, Problem};
pub use listener::{Listener, Place};
pub use peers::{Class, Judged, PEER_OPTIONS, Peer, Peers, RelayRight, Rewrite, Rights, Rule};
pub use routes::{ROUTE_OPTIONS, Route, RouteHost, RouteSource, RouteTarget, Routes};
pub use secret::Secret;
pub use store::{Loaded, SaveError, Store};
pub use stored::{Unusable, VERSION, decode, encode};
pub use table::{Row, Table, TableError, TableKind};
pub use text::{NAMES, Value};
pub use types::{
    Clock, HostName, IpNetwork, MailAddress, Network, Network6, NextHop, NextHopHost, Settings,
    WithoutIdentity,
};

/// Reads a server as an operator writes it: `HOST`, `HOST:PORT`, an address or `[IPv6]:PORT`.
///
/// # Errors
/// What is wrong with it.
pub fn next_hop(text: &str) -> Result<NextHop, Fault<'_>> {
    parse::next_hop(text)
}

/// Parses a host name, for callers that build settings without text.
///
/// # Errors
/// As [`Settings::set`] for `hostname`.
pub fn host_name(text: &str) -> Result<HostName, Fault<'_>> {
    parse::full_host_name(text)
}

/// Parses one relay network, `ADDRESS/BITS`.
///
/// # Errors
/// As [`Settings::set`] for `relay-networks`.
pub fn relay_network(text: &str) -> Result<IpNetwork, Fault<'_>> {
    parse::network(text)
}
