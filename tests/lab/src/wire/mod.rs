//! The wire side of the virtual Internet: the frames of the emulated machine end in this process.
//!
//! [`executor`] runs everything in one thread; [`segment`] takes the frames from QEMU, [`frames`] looks into them,
//! [`stack`] is all hosts at once, [`net`] gives them to peers and scenarios, [`pcap`] keeps what went over the wire.
//! [`bridge`] joins an address to a real server on this machine; [`alone`] has what only the real image can show.
//! [`gateway`] is the real image in the emulator, [`play`] tells a scenario with all of it.

pub mod alone;
pub mod attacks;
pub mod bridge;
pub mod executor;
pub mod frames;
pub mod gateway;
pub mod lease;
pub mod net;
pub mod pcap;
pub mod play;
pub mod real_peers;
pub mod segment;
pub mod stack;
