//! The whole appliance on the host: fake network, simulated flash, virtual time, one seed.
//!
//! A test is a [`world::story`]: it makes a [`gateway::Gateway`] and peers, lets them talk, cuts the power, looks at
//! what arrived. [`relay`] and everything below it run unchanged; the traits of [`platform`] are implemented here. Time
//! passes only when nobody has anything to do, so hours take milliseconds. Every choice (order of tasks, latencies,
//! segment sizes, where the power is cut) follows from one seed, which a failing run prints with the command that
//! repeats it.
#![forbid(unsafe_code)]

pub mod account;
pub mod datagrams;
pub mod day;
pub mod destination;
pub mod executor;
pub mod flash;
pub mod gateway;
pub mod interfaces;
pub mod letters;
pub mod machine;
pub mod names;
pub mod network;
pub mod peers;
pub mod queue;
pub mod random;
pub mod report;
pub mod terminal;
pub mod town;
pub mod tpm;
pub mod world;
