//! Power-fail-safe record log on NOR flash. (The specification of the format follows with the engine.)
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod blocks;
mod format;
mod kv;
mod log;
mod partition;

pub use blocks::Wear;
pub use kv::{KvError, KvStore};
pub use log::{Entry, Location, Log, LogError, LogReport, Record, Scan, checksum, footprint_units};
pub use partition::{Partition, SharedFlash};
