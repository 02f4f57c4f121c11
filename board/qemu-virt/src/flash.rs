//! The data flash: bank 1 behind the CFI driver.

use crate::memory_map::{FLASH_BANK_BYTES, FLASH_BLOCK_BYTES, FLASH1_BASE};
use crate::time::Timer;
use cfi_flash::{Bus, CfiFlash};
use core::arch::asm;
use core::ptr;

/// The registers and the array of bank 1. Only [`init`] makes one.
#[derive(Debug)]
pub struct Bank1(());

/// The data flash of this machine.
pub type DataFlash = CfiFlash<Bank1, Timer, FLASH_BLOCK_BYTES>;

impl Bank1 {
    fn address(offset: u32) -> *mut u32 {
        assert!(offset.is_multiple_of(4) && (offset as usize) < FLASH_BANK_BYTES, "outside the flash bank");
        (FLASH1_BASE + offset as usize) as *mut u32
    }
}

impl Bus for Bank1 {
    fn bytes(&self) -> usize {
        FLASH_BANK_BYTES
    }

    fn read(&self, offset: u32) -> u32 {
        // SAFETY: the bank is mapped as device memory and the address was checked.
        unsafe { ptr::read_volatile(Self::address(offset)) }
    }

    fn write(&mut self, offset: u32, word: u32) {
        // SAFETY: as above; the driver owns the only value of this type.
        unsafe { ptr::write_volatile(Self::address(offset), word) }
    }

    fn write_all(&mut self, offset: u32, data: &[u8]) {
        assert!(
            offset.is_multiple_of(4)
                && data.len().is_multiple_of(4)
                && offset as usize + data.len() <= FLASH_BANK_BYTES,
            "outside the flash bank"
        );
        // Double words: on a 32-bit bus they are two accesses in order, but the emulator leaves its translated code
        // once for both, and that is what programming costs there.
        let (mut offset, mut data) = (offset, data);
        if let Some((word, rest)) = data.split_first_chunk::<4>()
            && !offset.is_multiple_of(8)
        {
            self.write(offset, u32::from_le_bytes(*word));
            (offset, data) = (offset + 4, rest);
        }
        let (blocks, rest) = data.as_chunks::<32>();
        let mut from = blocks.as_ptr();
        let mut to = FLASH1_BASE + offset as usize;
        for _ in blocks {
            // SAFETY: both ranges were checked. Loads from normal memory need no alignment; stores to device memory
            // are aligned double words.
            unsafe {
                asm!(
                    "ldr r0, [{from}], #4",
                    "ldr r1, [{from}], #4",
                    "vmov d0, r0, r1",
                    "ldr r0, [{from}], #4",
                    "ldr r1, [{from}], #4",
                    "vmov d1, r0, r1",
                    "ldr r0, [{from}], #4",
                    "ldr r1, [{from}], #4",
                    "vmov d2, r0, r1",
                    "ldr r0, [{from}], #4",
                    "ldr r1, [{from}], #4",
                    "vmov d3, r0, r1",
                    "vstmia {to}!, {{d0-d3}}",
                    from = inout(reg) from,
                    to = inout(reg) to,
                    out("r0") _, out("r1") _,
                    out("d0") _, out("d1") _, out("d2") _, out("d3") _,
                    options(nostack, preserves_flags),
                );
            }
        }
        offset += (data.len() - rest.len()) as u32;
        for word in rest.as_chunks::<4>().0 {
            self.write(offset, u32::from_le_bytes(*word));
            offset += 4;
        }
    }

    fn copy(&self, offset: u32, out: &mut [u8]) {
        if out.is_empty() {
            return;
        }
        assert!(
            offset.is_multiple_of(4)
                && out.len().is_multiple_of(4)
                && offset as usize + out.len() <= FLASH_BANK_BYTES,
            "outside the flash bank"
        );
        let mut from = FLASH1_BASE + offset as usize;
        let (blocks, rest) = out.as_chunks_mut::<16>();
        let mut to = blocks.as_mut_ptr();
        for _ in 0..blocks.len() {
            // SAFETY: both ranges were checked. Loads from device memory are aligned words; stores to normal
            // memory need not be aligned.
            unsafe {
                asm!(
                    "ldmia {from}!, {{r0-r3}}",
                    "str r0, [{to}], #4",
                    "str r1, [{to}], #4",
                    "str r2, [{to}], #4",
                    "str r3, [{to}], #4",
                    from = inout(reg) from,
                    to = inout(reg) to,
                    out("r0") _, out("r1") _, out("r2") _, out("r3") _,
                    options(nostack, preserves_flags),
                );
            }
        }
        for word in rest.as_chunks_mut::<4>().0 {
            // SAFETY: inside the range that was checked, and aligned.
            *word = unsafe { ptr::read_volatile(from as *const u32) }.to_le_bytes();
            from += 4;
        }
    }
}

/// Asks the chips of bank 1 what they are.
pub(crate) fn init() -> Option<DataFlash> {
    CfiFlash::probe(Bank1(()), Timer::new()).ok()
}
