//! The IP stack: one interface, buffers for every session.

use embassy_executor::Spawner;
use embassy_net::{Config, DhcpConfig, Runner, Stack, StackResources};
use platform::Entropy as _;
use qemu_virt::{Entropy, NetworkDevice};
use static_cell::StaticCell;

const SOCKETS: usize = 100;
static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();

/// Starts the stack.
pub fn start(spawner: Spawner, device: NetworkDevice, entropy: Entropy) -> Stack<'static> {
    let mut seed = [0; 8];
    entropy.fill(&mut seed);
    let config = Config::dhcpv4(DhcpConfig::default());
    let (stack, runner) =
        embassy_net::new(device, config, RESOURCES.init(StackResources::new()), u64::from_le_bytes(seed));
    spawner.spawn(run(runner).expect("spawned once"));
    stack
}

#[embassy_executor::task]
async fn run(mut runner: Runner<'static, NetworkDevice>) {
    runner.run().await;
}

/// Receive and transmit buffer of one inbound session.
pub fn inbound_buffers() -> (&'static mut [u8], &'static mut [u8]) {
    (alloc::vec![0; 32768].leak(), alloc::vec![0; 4096].leak())
}
