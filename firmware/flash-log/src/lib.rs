//! Power-fail-safe record log on NOR flash. (The specification of the format follows with the engine.)
#![no_std]
#![forbid(unsafe_code)]

mod kv;
mod partition;

pub use kv::{KvError, KvStore};
pub use partition::{Partition, SharedFlash};
