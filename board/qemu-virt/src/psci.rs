//! Reset and power-off through PSCI (ARM DEN 0022). On this machine the conduit is HVC.

use core::arch::asm;

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

/// Restarts the machine from reset.
pub(crate) fn reset() -> ! {
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
        reset()
    }

    fn power_off(&self) -> ! {
        power_off()
    }
}
