//! The emulated machine `qemu-system-arm -M virt -cpu cortex-a15`, from reset to devices that the product can use.
//!
//! This crate and the driver crates beside it are the only place of `unsafe`. What leaves it is safe: the binary
//! names its main function with [`entry!`] and gets a [`Board`], whose fields are the devices, each handed out
//! once. Everything runs on one core in one executor; interrupt handlers wake tasks and do nothing else that
//! takes time.
//!
//! Not here: anything that knows mail, and any decision of the product.
//!
//! Read `memory_map` first, then `boot`, `start` and `mmu` in the order of a start, then the devices.
#![no_std]

pub mod memory_map;

#[cfg(target_arch = "arm")]
extern crate alloc;

#[cfg(target_arch = "arm")]
mod machine {
    use crate::{
        copy, dtb, entropy, flash, interrupts, memory, memory_map, mmu, psci, rtc, time, tpm, uart, virtio,
    };

    /// All devices of the machine, each once.
    #[derive(Debug)]
    pub struct Board {
        /// Monotonic time.
        pub timer: time::Timer,
        /// Civil time.
        pub clock: rtc::WallClock,
        /// Random octets.
        pub entropy: entropy::Entropy,
        /// Reset and power-off.
        pub power: psci::Power,
        /// What is typed on the serial console.
        pub console_input: uart::ConsoleInput,
        /// What the serial console shows.
        pub console_output: uart::ConsoleOutput,
        /// The network interfaces that the machine has, the first one first.
        pub network: heapless::Vec<virtio::net::NetworkDevice, { limits::net::INTERFACES_COUNT }>,
        /// The data flash, bank 1; `None` if there is no flash that this firmware understands.
        pub flash: Option<flash::DataFlash>,
        /// The TPM.
        pub tpm: tpm::Tpm,
    }

    impl Board {
        /// Brings the machine up, in the order of `hw-docs/boot.md`. Called once, by the start-up code.
        pub(crate) fn bring_up() -> Self {
            // SAFETY: nothing has written to the start of RAM: the image lies behind it.
            let found = unsafe { dtb::read() };
            let needed = memory::image_end() - memory_map::RAM_BASE;
            // Without a device tree the firmware takes what it cannot do without.
            let ram_bytes = found.ram().unwrap_or(needed.next_multiple_of(1 << 20));
            assert!(ram_bytes >= needed, "this machine has {ram_bytes} octets of RAM, {needed} are needed");
            // SAFETY: start-up: once, interrupts masked, MMU off, heap unused.
            unsafe {
                mmu::enable(ram_bytes);
                memory::init();
            }
            copy::self_test();
            psci::init();
            memory::set_ram_bytes(ram_bytes);
            interrupts::init();
            time::init();
            uart::init();
            rtc::init();
            virtio::console::init();
            entropy::init();
            let (console_input, console_output) = uart::halves();
            Self {
                timer: time::Timer::new(),
                clock: rtc::WallClock::new(),
                entropy: entropy::Entropy::new(),
                power: psci::Power::new(),
                console_input,
                console_output,
                network: virtio::net::init(),
                flash: flash::init(),
                tpm: tpm::init(found.tpm),
            }
        }
    }
}

#[cfg(target_arch = "arm")]
mod boot;
#[cfg(target_arch = "arm")]
mod copy;
#[cfg(target_arch = "arm")]
mod dtb;
#[cfg(target_arch = "arm")]
mod entropy;
#[cfg(target_arch = "arm")]
mod executor;
#[cfg(target_arch = "arm")]
mod fault;
#[cfg(target_arch = "arm")]
mod flash;
#[cfg(target_arch = "arm")]
mod interrupts;
#[cfg(target_arch = "arm")]
mod log;
#[cfg(target_arch = "arm")]
mod memory;
#[cfg(target_arch = "arm")]
mod mmu;
#[cfg(target_arch = "arm")]
mod psci;
#[cfg(target_arch = "arm")]
mod rtc;
#[cfg(target_arch = "arm")]
mod start;
#[cfg(target_arch = "arm")]
mod time;
#[cfg(target_arch = "arm")]
mod tpm;
#[cfg(target_arch = "arm")]
mod uart;
#[cfg(target_arch = "arm")]
mod virtio;

#[cfg(target_arch = "arm")]
pub use {
    entropy::Entropy,
    executor::{ProcessorTime, processor_time},
    flash::DataFlash,
    log::log_frames_dropped,
    machine::Board,
    memory::{MemoryUse, memory_use},
    psci::{Power, StartCause, start_cause},
    rtc::WallClock,
    start::run,
    time::Timer,
    tpm::Tpm,
    uart::{ConsoleInput, ConsoleOutput},
    virtio::net::NetworkDevice,
};
