//! SMTP (RFC 5321) as two machines without input or output of their own: [`server::Server`] and
//! [`client::Client`].
//!
//! # The contract, the same for both
//! One input, drain the outputs, wait:
//! 1. give what the peer sent to `receive(input)`: it returns how many octets it took and at most one event, and
//!    must be called again with the rest (or with nothing) until it takes nothing and says nothing;
//! 2. do what the event asks;
//! 3. if `transmit()` is not empty, write it to the peer, say so with `transmitted(n)`, and go on with 1, even if
//!    there is no input: what was held back for want of room comes now;
//! 4. else wait at most `timeout_s()` for the peer, and call `timed_out()` if nothing came.
//!
//! An event that asks something carries a token that must be handed back with the answer. It cannot be copied or
//! made elsewhere, so a question is answered once. Until then `receive` takes nothing: what a peer has sent ahead
//! stays with the driver.
//!
//! Message content never goes through a buffer of a machine: the server hands out parts of the input
//! ([`server::Event::Data`]), the client hands back parts of the content to write ([`client::Client::content`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod client;
pub mod reply;
mod scan;
pub mod server;
pub mod trace;

pub use reply::Reply;

/// Takes the first `count` octets off a buffer.
fn drop_front<const N: usize>(buffer: &mut heapless::Vec<u8, N>, count: usize) {
    let count = count.min(buffer.len());
    buffer.rotate_left(count);
    buffer.truncate(buffer.len() - count);
}
