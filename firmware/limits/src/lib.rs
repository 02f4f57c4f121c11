//! Every capacity, size and timeout of the product, in one place.
//!
//! A name ends in its unit (`_bytes`, `_count`, `_s`, `_ms`) and in `_MAX` or `_MIN` where it is a bound. The
//! reason stands beside the number, and a `const` assertion ties a number to its neighbours where they must
//! agree. Other crates never write a bound of their own: memory, time and recursion are finite because of
//! this crate.
#![no_std]
#![forbid(unsafe_code)]

pub mod clients;
pub mod console;
pub mod dns;
pub mod door;
pub mod dsn;
pub mod events;
pub mod flash;
pub mod keys;
pub mod loops;
pub mod mime;
pub mod net;
pub mod relay;
pub mod routing;
pub mod settings;
pub mod smtp;
pub mod spf;
pub mod spool;

/// Checks a relation between two bounds at compile time.
#[macro_export]
macro_rules! const_assert {
    ($condition:expr) => {
        const _: () = assert!($condition);
    };
}
