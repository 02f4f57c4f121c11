//! The wire side of the virtual Internet: the frames of the emulated machine end in this process.
//!
//! [`executor`] runs everything in one thread; [`segment`] takes the frames from QEMU, [`frames`] looks into them,
//! [`stack`] is all hosts at once, [`net`] gives them to peers and scenarios, [`pcap`] keeps what went over the wire.
//! [`gateway`] is the real image in the emulator, [`play`] tells a scenario with all of it.

pub mod executor;
pub mod frames;
pub mod gateway;
pub mod lease;
pub mod net;
pub mod pcap;
pub mod play;
pub mod segment;
pub mod stack;
