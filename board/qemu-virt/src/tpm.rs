//! The TPM: register access for the TIS driver.

use crate::memory_map::TPM_BASE;
use crate::time::Timer;
use core::ptr;
use tpm_tis::{Bus, TpmTis};

/// The registers of locality 0. Only [`init`] makes one.
#[derive(Debug)]
pub struct Registers {
    /// Where there is no TPM a register access is a bus error, so every register reads as all ones instead.
    present: bool,
}

/// The TPM of this machine. Whether there is one shows the first command.
pub type Tpm = TpmTis<Registers, Timer>;

impl Registers {
    fn address(offset: u32) -> usize {
        assert!(offset < 0x1000, "outside locality 0");
        TPM_BASE + offset as usize
    }
}

impl Bus for Registers {
    fn read_u8(&mut self, offset: u32) -> u8 {
        if !self.present {
            return u8::MAX;
        }
        // SAFETY: the register file is mapped as device memory and the address was checked.
        unsafe { ptr::read_volatile(Self::address(offset) as *const u8) }
    }

    fn write_u8(&mut self, offset: u32, value: u8) {
        if !self.present {
            return;
        }
        // SAFETY: as above.
        unsafe { ptr::write_volatile(Self::address(offset) as *mut u8, value) }
    }

    fn read_u32(&mut self, offset: u32) -> u32 {
        if !self.present {
            return u32::MAX;
        }
        // SAFETY: as above; the driver's offsets of 32-bit registers are multiples of four.
        unsafe { ptr::read_volatile(Self::address(offset) as *const u32) }
    }

    fn write_u32(&mut self, offset: u32, value: u32) {
        if !self.present {
            return;
        }
        // SAFETY: as above.
        unsafe { ptr::write_volatile(Self::address(offset) as *mut u32, value) }
    }
}

pub(crate) fn init(present: bool) -> Tpm {
    TpmTis::new(Registers { present }, Timer::new())
}
