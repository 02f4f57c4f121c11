//! What the operator may ask about the machine itself.

use core::net::IpAddr;
use events::IpNetwork;
use heapless::Vec;
use limits::settings::DNS_SERVERS_COUNT_MAX;

/// Memory of the machine, in octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Code and constants.
    pub code_bytes: usize,
    /// Static variables, the tasks' futures included.
    pub static_bytes: usize,
    /// The heap as a whole.
    pub heap_bytes: usize,
    /// Of the heap, in use now.
    pub heap_used_bytes: usize,
    /// Of the heap, the most that was ever in use.
    pub heap_high_water_bytes: usize,
    /// The stack as a whole.
    pub stack_bytes: usize,
    /// Of the stack, the most that was ever in use.
    pub stack_high_water_bytes: usize,
}

/// The network as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkState {
    /// Whether there is a carrier.
    pub link_up: bool,
    /// Own address, once there is one.
    pub address: Option<IpNetwork>,
    /// Default route.
    pub gateway: Option<IpAddr>,
    /// Name servers in use.
    pub dns_servers: Vec<IpAddr, DNS_SERVERS_COUNT_MAX>,
    /// Hardware address.
    pub hardware_address: Option<[u8; 6]>,
}

/// When a change of the network settings takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in force.
    Now,
    /// After the next start.
    AfterReboot,
}

/// The machine as far as only `image` knows it. Shared by reference: implementations are handles.
pub trait Machine {
    /// Version of the firmware, as `show version` prints it.
    fn version(&self) -> &str;
    /// Why the machine started: `power-on`, `reboot`, `panic` …
    fn start_cause(&self) -> &str;
    /// Memory, with high-water marks.
    fn memory(&self) -> Memory;
    /// Microseconds that the executor was not idle, since the start.
    fn busy_us(&self) -> u64;
    /// The network as it is now.
    fn network(&self) -> NetworkState;
    /// Puts the network settings (`network`, `dns_servers`) in force, or says that it takes a reboot.
    fn apply_network(&self, settings: &settings::Settings) -> Applied;
}
