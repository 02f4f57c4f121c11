//! A virtual Internet around the appliance: the peers it meets in the world, and the stories they live through together.
//!
//! Three things meet here. [`net::Net`] is a network that hosts any number of addresses, with faults on demand;
//! [`gateway::Gateway`] is the appliance as a person sees it: a console, a power switch. [`peers`] are written once over
//! `Net`, against the standards and what is known of the real servers, never with the product's own protocol code. A
//! [`scenario::Scenario`] is an async function over a [`world::World`] of these, named by the requirement that it shows; it
//! does not know whether the world is the simulator ([`simulator`]: virtual time, one seed) or frames of a virtual machine.
#![forbid(unsafe_code)]

pub mod gateway;
pub mod letters;
pub mod net;
pub mod peers;
pub mod plan;
pub mod play;
pub mod scenario;
pub mod scenarios;
pub mod simulator;
pub mod transcript;
pub mod wire;
pub mod world;
