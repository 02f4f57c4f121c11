//! The bounded queue on flash. (The specification follows with the implementation; the interface is settled.)
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod clean;
mod index;
mod mount;
mod read;
mod record;
mod store;
mod types;

pub use store::Incoming;
pub use types::*;

use alloc::vec::Vec;
use core::cell::RefCell;

use flash_log::{Location, Log, LogError};
use platform::Mutex;

/// Tells the log of the spool from other logs.
const LOG_KIND: u8 = b'S';

/// What needs the flash; whoever has it has the log.
struct Inner<F> {
    log: Log<F>,
    cleaning: Option<clean::Cleaning>,
    /// An anchor that must not live if it does: its writer was dropped half-way.
    in_doubt: Option<Location>,
    /// Octets that cleaning copied.
    moved: u64,
    /// Blocks in which cleaning met records that it could not read.
    stuck: Vec<u16>,
}

/// The queue. All methods take `&self`; operations on flash are serialised inside, one record at a time.
pub struct Spool<F> {
    inner: Mutex<Inner<F>>,
    /// Never borrowed across an await; taken after `inner`.
    index: RefCell<index::Index>,
}

fn flash_error(error: LogError) -> SpoolError {
    match error {
        LogError::NoFreeBlock | LogError::HeadFull => SpoolError::Full(SpoolFull::Now),
        LogError::Geometry | LogError::Read | LogError::Program => SpoolError::Flash,
    }
}
