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
//! | [`supervisor::tend`] | 1 | opens the key store again when the TPM comes back |
#![no_std]
#![forbid(unsafe_code)]
#![allow(async_fn_in_trait)]

extern crate alloc;

mod appliance;
mod counters;
pub mod decide;
pub mod delivery;
pub mod intake;
mod key_records;
mod machine;
pub mod operator;
mod schedule;
pub mod supervisor;
mod time;

pub use appliance::{Appliance, FlashUnusable, Parts, Platform, SharedFlash};
pub use counters::Counters;
pub use key_records::KeyRecords;
pub use machine::{Applied, Machine, Memory, NetworkState};
