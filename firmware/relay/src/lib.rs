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
//! | [`supervisor::tend`] | 1 | the schedule's clock, the TPM's return, cleaning the flash ahead of need |
//!
//! # What is kept where
//! The queue on flash knows everything that must survive: content exactly as it came, envelope, facts, recipe, results.
//! The schedule in RAM knows who works on what and what waits for when; after a start it is made anew from the queue.
//! A message without a recipe is undecided and cannot be delivered; so "must be signed" can never become "was sent
//! unsigned", whatever fails in between.
//!
//! # When a message is sent twice
//! Only if the power fails or the connection breaks after the next hop has taken it and before our record of that is on
//! flash (RFC 5321 §4.5.3.2.6 and §6.1 know no way around it).
//!
//! # What it does not do
//! It sends no reports: mail that fails stays in the queue, held, with its reason. It has one destination for all mail.
//! It listens to no clock but the one it is given, and decides nothing that needs the time while that is unknown.
#![no_std]
#![forbid(unsafe_code)]
#![allow(async_fn_in_trait)]

extern crate alloc;

mod appliance;
mod attend;
mod counters;
pub mod decide;
pub mod delivery;
pub mod intake;
mod key_records;
mod ledger;
mod machine;
pub mod operator;
mod report;
mod route;
mod schedule;
pub mod supervisor;
mod time;

pub use appliance::{Appliance, FlashUnusable, Parts, Platform, SharedFlash};
pub use counters::Counters;
pub use key_records::KeyRecords;
pub use machine::{Applied, Machine, Memory, NetworkState};
