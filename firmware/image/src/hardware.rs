//! The machine as the product sees it: a bundle of types, and the statistics that only the image knows.

use crate::datagrams::Datagrams;
use crate::network::{Connector, Link};
use heapless::Vec;
use limits::net::INTERFACES_COUNT;
use qemu_virt::memory_map::COUNTER_HZ;
use relay::{Applied, Machine, Memory, NetworkState, Platform};
use settings::Settings;

/// This machine.
pub struct Hardware;

impl Platform for Hardware {
    type Flash = qemu_virt::DataFlash;
    type Tpm = qemu_virt::Tpm;
    type Timer = qemu_virt::Timer;
    type Clock = qemu_virt::WallClock;
    type Entropy = qemu_virt::Entropy;
    type Datagrams = Datagrams;
    type Connector = Connector;
    type Power = qemu_virt::Power;
    type Machine = Statistics;
}

/// What the operator may ask about the machine.
#[derive(Clone, Copy)]
pub struct Statistics {
    /// The network.
    pub link: Link,
}

impl Machine for Statistics {
    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn start_cause(&self) -> &str {
        match qemu_virt::start_cause() {
            qemu_virt::StartCause::PowerOn => "power-on",
            qemu_virt::StartCause::Reboot => "reboot",
            qemu_virt::StartCause::Panic => "panic",
            qemu_virt::StartCause::Fault => "fault",
        }
    }

    fn memory(&self) -> Memory {
        let memory = qemu_virt::memory_use();
        Memory {
            code_bytes: memory.code,
            static_bytes: memory.statics,
            heap_bytes: memory.heap_size,
            heap_used_bytes: memory.heap_used,
            heap_high_water_bytes: memory.heap_high_water,
            stack_bytes: memory.stack_size,
            stack_high_water_bytes: memory.stack_high_water,
        }
    }

    fn busy_us(&self) -> u64 {
        // Millions of counts a second: the quotient is exact for centuries.
        qemu_virt::processor_time().busy.saturating_mul(1_000) / (COUNTER_HZ / 1_000)
    }

    fn network(&self) -> Vec<NetworkState, INTERFACES_COUNT> {
        self.link.state()
    }

    fn apply_network(&self, settings: &Settings) -> Applied {
        self.link.apply(settings);
        Applied::Now
    }
}
