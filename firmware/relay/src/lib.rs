//! The appliance: takes mail in, decides about it, signs it, delivers it, and lets its operator see and steer all
//! that. It runs over the traits of [`platform`], so the same code is the firmware and the simulator's subject.
//!
//! # How it is put together
//! [`Appliance::start`] mounts the stores and gives the one shared value, an [`Appliance`]. Everything else is a
//! task that borrows it; all run on one executor, none ever blocks it for long:
//!
//! | task | how many | what |
//! |---|---|---|
//! | [`intake::session`] | one per connection; from `SESSIONS_IN_COUNT_MAX` on they only say 421 | SMTP in, into the queue |
//! | [`decide::worker`] | `DECIDERS_COUNT` | what becomes of each message; signs |
//! | [`delivery::worker`] | `SESSIONS_OUT_COUNT_MAX` | SMTP out, from the queue |
//! | [`operator::run`] | 1 | the console |
//! | [`supervisor::tend`] | 1 | the schedule's clock, the attendant (routes, ages, reports), the TPM's return, cleaning the flash ahead of need, the operating time |
//!
//! # What is kept where
//! The queue on flash knows everything that must survive: content exactly as it came, envelope, facts, recipe, results.
//! The schedule in RAM knows who works on what and what waits for when; after a start it is made anew from the queue.
//! A message without a recipe is undecided and cannot be delivered; so "must be signed" can never become "was sent
//! unsigned", whatever fails in between.
//!
//! # Full, and whose fault that is
//! Room for a message is promised before a client hears yes, so what was let in always fits. One client, and the mail for
//! one destination, get a share of the queue each (`client-share`, `destination-share`), so that nobody keeps the others
//! out; one client address gets half of the sessions at most.
//!
//! # Time
//! Every age, retry and expiry is in operating seconds: how long the appliance has been running with its queue. A civil
//! clock that jumps, is unknown, or comes from 1970 changes none of them; it is only for people.
//!
//! # When a message is sent twice
//! Only if the power fails or the connection breaks after the next hop has taken it and before our record of that is on
//! flash (RFC 5321 §4.5.3.2.6 and §6.1 know no way around it).
//!
//! # What it does not do
//! It listens to no clock but the one it is given, and decides nothing that needs the civil time while that is unknown. It
//! has no mailboxes: mail for an address of its own is forwarded, refused or thrown away.
#![no_std]
#![forbid(unsafe_code)]
#![allow(async_fn_in_trait)]

extern crate alloc;

mod actions;
mod appliance;
mod attend;
mod clients;
mod counters;
pub mod decide;
pub mod delivery;
mod door;
pub mod intake;
mod key_records;
mod ledger;
mod loops;
mod machine;
pub mod operator;
mod provenance;
mod replies;
mod report;
mod reset;
mod resolver;
mod rights;
mod route;
mod schedule;
mod spare;
pub mod supervisor;
mod time;
mod verify;

pub use appliance::{Appliance, FlashUnusable, Parts, Platform, SharedFlash};
pub use counters::Counters;
pub use key_records::KeyRecords;
pub use machine::{Applied, Machine, Memory, NetworkState};
