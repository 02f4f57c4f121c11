//! Everybody whom the appliance talks with, written over [`crate::net::Net`] only.
//!
//! None of them uses the product's protocol code, so a misreading there does not cancel itself out here.

pub mod application;
pub mod client;
pub mod dns;
pub mod exchange;
pub mod internet;
pub mod ledger;
pub mod server;
pub mod talk;
