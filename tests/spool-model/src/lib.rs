//! The queue beside a plain model of what it must hold, with power cuts, failing blocks and damage.
//!
//! # What is shown
//! - Nothing acknowledged is lost or changed: content octet for octet, envelope, facts, recipients and their states,
//!   recipe, hold, attempts, reason.
//! - Nothing that ended returns; nothing half-written is visible; no id of a stored message is given twice.
//! - An operation that a cut meets has its old or its new outcome. What takes several pages has the outcome of a
//!   whole number of them, in the order that is documented. Several at once have the outcome of some order of them.
//! - What the running queue counts is what a restart counts.
//!
//! # How
//! [`lab`] holds a queue on a flash that writes down what is done to it ([`tape`]), and cuts it afterwards at any of
//! these operations. [`work`] does operations, several at once, some of them dropped. [`model`] knows what may
//! be found. [`case`] strings random ones together: one seed and one number repeat a case.
#![forbid(unsafe_code)]

pub mod case;
pub mod damage;
pub mod exhaustive;
pub mod lab;
pub mod letter;
pub mod map;
pub mod model;
pub mod tape;
pub mod work;
