//! The appliance: all machines of the product on the devices of one board.
//!
//! Start order: board (see `hw-docs/boot.md`), then [`main`](start::main) spawns the tasks, and from then on everything
//! waits for events. There is no code here that decides anything about mail.
#![cfg_attr(target_arch = "arm", no_std, no_main)]

#[cfg(target_arch = "arm")]
extern crate alloc;

#[cfg(target_arch = "arm")]
mod datagrams;
#[cfg(target_arch = "arm")]
mod doors;
#[cfg(target_arch = "arm")]
mod guarded;
#[cfg(target_arch = "arm")]
mod hardware;
#[cfg(target_arch = "arm")]
mod network;
#[cfg(target_arch = "arm")]
mod start;

#[cfg(target_arch = "arm")]
qemu_virt::entry!(crate::start::main);

/// The image is for the target only; this makes `cargo check` of the whole workspace work on a host.
#[cfg(not(target_arch = "arm"))]
fn main() {}
