//! What the operator may ask about the machine itself.

use core::net::IpAddr;
use events::IpNetwork;
use heapless::Vec;
use limits::net::INTERFACES_COUNT;
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

/// One interface as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkState {
    /// Its number, from 1.
    pub interface: u8,
    /// Whether there is a carrier.
    pub link_up: bool,
    /// Own IPv4 address, once there is one.
    pub address: Option<IpNetwork>,
    /// Default route of IPv4.
    pub gateway: Option<IpAddr>,
    /// Own IPv6 address.
    pub address6: Option<IpNetwork>,
    /// Default route of IPv6.
    pub gateway6: Option<IpAddr>,
    /// Name servers that DHCP named; the setting `dns-servers` has precedence over them.
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
    /// The interfaces that the machine has, as they are now.
    fn network(&self) -> Vec<NetworkState, INTERFACES_COUNT>;
    /// Puts the network settings (addresses, listeners) in force, or says that it takes a reboot.
    fn apply_network(&self, settings: &settings::Settings) -> Applied;
}
