//! Reset and power-off through PSCI (ARM DEN 0022). On this machine the conduit is HVC.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

const SYSTEM_OFF: u32 = 0x8400_0008;
const SYSTEM_RESET: u32 = 0x8400_0009;

fn call(function: u32) -> ! {
    // SAFETY: both functions end the present life of the machine; if the call comes back, it sleeps.
    unsafe {
        asm!(".arch_extension virt", "hvc #0", inout("r0") function => _, options(nostack));
    }
    loop {
        aarch32_cpu::asm::wfi();
    }
}

/// Why the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartCause {
    /// Power came, or somebody pressed reset.
    PowerOn,
    /// The firmware was asked to restart.
    Reboot,
    /// The firmware found a mistake of its own.
    Panic,
    /// The processor did.
    Fault,
}

/// Kept over a reset in RAM that start-up does not touch. After power-on it holds anything.
///
/// SAFETY of the section: every bit pattern is a valid number.
#[unsafe(link_section = ".uninit.start_cause")]
static NOTE: AtomicU32 = AtomicU32::new(0);

/// What this start was, once it has been read from the note.
static CAUSE: AtomicU32 = AtomicU32::new(0);

/// Notes are recognised by this in their upper part.
const NOTE_MARK: u32 = 0x57a6_0000;

/// Reads and clears the note that the last life left. Called once, at start-up.
pub(crate) fn init() {
    let note = NOTE.swap(0, Ordering::Relaxed);
    CAUSE.store(if note & 0xffff_0000 == NOTE_MARK { note & 0xffff } else { 0 }, Ordering::Relaxed);
}

/// Why the machine was started.
#[must_use]
pub fn start_cause() -> StartCause {
    match CAUSE.load(Ordering::Relaxed) {
        1 => StartCause::Reboot,
        2 => StartCause::Panic,
        3 => StartCause::Fault,
        _ => StartCause::PowerOn,
    }
}

/// Restarts the machine from reset and leaves a note why.
pub(crate) fn reset(cause: StartCause) -> ! {
    let number = match cause {
        StartCause::PowerOn => 0,
        StartCause::Reboot => 1,
        StartCause::Panic => 2,
        StartCause::Fault => 3,
    };
    NOTE.store(NOTE_MARK | number, Ordering::Relaxed);
    // The note must be in memory, not in a cache that the reset invalidates.
    aarch32_cpu::cache::clean_data_cache_line_to_poc(NOTE.as_ptr() as u32);
    aarch32_cpu::asm::dsb();
    call(SYSTEM_RESET)
}

/// Switches the machine off.
pub(crate) fn power_off() -> ! {
    call(SYSTEM_OFF)
}

/// The machine's reset and power switch.
#[derive(Clone, Copy, Debug)]
pub struct Power(());

impl Power {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl platform::Power for Power {
    fn reboot(&self) -> ! {
        reset(StartCause::Reboot)
    }

    fn power_off(&self) -> ! {
        power_off()
    }
}
