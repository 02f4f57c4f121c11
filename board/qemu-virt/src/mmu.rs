//! Page tables, caches and branch prediction.
//!
//! One flat map, virtual = physical. ARMv7 short descriptors: 1 MiB sections, and 4 KiB pages where permissions
//! change inside a section. Everything that is not listed here faults.

use crate::memory_map::{
    DEVICE_TREE_BYTES, FLASH_BANK_BYTES, FLASH_BLOCK_BYTES, FLASH0_BASE, FLASH1_BASE, GICD_BASE, IMAGE_BASE,
    RAM_BASE, TPM_BASE, UART_BASE, VIRTIO_BASE,
};
use core::arch::asm;
use core::cell::UnsafeCell;
use core::ptr::addr_of;

const SECTION_BYTES: usize = 1 << 20;
const PAGE_BYTES: usize = 1 << 12;
const PAGES_PER_SECTION: usize = 256;
/// Second-level tables: one for the start of flash, the others for code, constants, data and stacks.
const SECOND_LEVEL_COUNT: usize = 24;

/// What a range of memory may be used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// Nothing is mapped.
    None,
    /// Device registers and flash: ordered, never cached, never executed.
    Device,
    /// Code: read and execute.
    Code,
    /// Constants: read.
    Constant,
    /// Data: read and write.
    Data,
}

impl Access {
    /// Section descriptor without the address. ARM DDI 0406C §B3.5.1.
    const fn section(self) -> u32 {
        // Bits: 1 = section, 2 = B, 3 = C, 4 = XN, 10-11 = AP[1:0], 12-14 = TEX, 15 = AP[2], 16 = S.
        // Normal memory is write-back, write-allocate (TEX 001, C, B) and shareable, because virtio devices
        // read and write it; only privileged code runs here (AP[1:0] = 01).
        const NORMAL: u32 = (1 << 16) | (0b001 << 12) | (1 << 3) | (1 << 2);
        match self {
            Self::None => 0,
            Self::Device => 0b10 | (1 << 2) | (1 << 4) | (0b01 << 10),
            Self::Code => 0b10 | NORMAL | (1 << 15) | (0b01 << 10),
            Self::Constant => 0b10 | NORMAL | (1 << 4) | (1 << 15) | (0b01 << 10),
            Self::Data => 0b10 | NORMAL | (1 << 4) | (0b01 << 10),
        }
    }

    /// Small-page descriptor without the address. ARM DDI 0406C §B3.5.1.
    const fn page(self) -> u32 {
        // Bits: 0 = XN, 1 = page, 2 = B, 3 = C, 4-5 = AP[1:0], 6-8 = TEX, 9 = AP[2], 10 = S.
        const NORMAL: u32 = (1 << 10) | (0b001 << 6) | (1 << 3) | (1 << 2);
        match self {
            Self::None => 0,
            Self::Device => 0b11 | (1 << 2) | (0b01 << 4),
            Self::Code => 0b10 | NORMAL | (1 << 9) | (0b01 << 4),
            Self::Constant => 0b11 | NORMAL | (1 << 9) | (0b01 << 4),
            Self::Data => 0b11 | NORMAL | (0b01 << 4),
        }
    }
}

#[repr(C, align(16384))]
struct Tables {
    first: UnsafeCell<[u32; 4096]>,
    second: UnsafeCell<[[u32; PAGES_PER_SECTION]; SECOND_LEVEL_COUNT]>,
}

// SAFETY: written once by `enable`, before interrupts are on and on the only core; read by hardware afterwards.
unsafe impl Sync for Tables {}

// SAFETY: `enable` writes every entry before the MMU reads one, so that the section needs no start value.
#[unsafe(link_section = ".uninit.page_tables")]
static TABLES: Tables = Tables {
    first: UnsafeCell::new([0; 4096]),
    second: UnsafeCell::new([[0; PAGES_PER_SECTION]; SECOND_LEVEL_COUNT]),
};

unsafe extern "C" {
    static __stext: u8;
    static __etext: u8;
    static __srodata: u8;
    static __erodata: u8;
    static _und_guard: u8;
    static _svc_guard: u8;
    static _abt_guard: u8;
    static _irq_guard: u8;
    static _fiq_guard: u8;
    static _sys_guard: u8;
}

struct Builder<'a> {
    first: &'a mut [u32; 4096],
    second: &'a mut [[u32; PAGES_PER_SECTION]; SECOND_LEVEL_COUNT],
    second_used: usize,
}

impl Builder<'_> {
    fn sections(&mut self, start: usize, bytes: usize, access: Access) {
        for section in start / SECTION_BYTES..(start + bytes).div_ceil(SECTION_BYTES) {
            self.first[section] = match access {
                Access::None => 0,
                _ => (section * SECTION_BYTES) as u32 | access.section(),
            };
        }
    }

    /// Maps pages; `around` is what the rest of their section is, should it have to be split.
    fn pages(&mut self, start: usize, end: usize, access: Access, around: Access) {
        for page in start / PAGE_BYTES..end / PAGE_BYTES {
            let section = page / PAGES_PER_SECTION;
            let table = self.second_level(section, around);
            self.second[table][page % PAGES_PER_SECTION] = match access {
                Access::None => 0,
                _ => (page * PAGE_BYTES) as u32 | access.page(),
            };
        }
    }

    fn second_level(&mut self, section: usize, around: Access) -> usize {
        let base = addr_of!(self.second[0]) as usize;
        let entry = self.first[section];
        if entry & 0b11 == 0b01 {
            return ((entry & !0x3ff) as usize - base) / size_of::<[u32; PAGES_PER_SECTION]>();
        }
        let table = self.second_used;
        assert!(table < SECOND_LEVEL_COUNT, "more second-level page tables than planned");
        self.second_used += 1;
        for (index, descriptor) in self.second[table].iter_mut().enumerate() {
            *descriptor = match around {
                Access::None => 0,
                _ => (section * SECTION_BYTES + index * PAGE_BYTES) as u32 | around.page(),
            };
        }
        self.first[section] = addr_of!(self.second[table]) as u32 | 0b01;
        table
    }
}

/// Builds the page tables and switches the MMU, both caches and branch prediction on.
///
/// # Safety
/// Called once, at start-up, with interrupts masked and the MMU off. `ram_bytes` is the size of the RAM.
pub(crate) unsafe fn enable(ram_bytes: usize) {
    // SAFETY: the caller promises that nobody else is here and that the MMU does not read the tables yet.
    let (first, second) = unsafe { (&mut *TABLES.first.get(), &mut *TABLES.second.get()) };
    first.fill(0);
    let mut map = Builder { first, second, second_used: 0 };

    // Address 0 is flash, but a null pointer must fault: the block of the first stage is left out.
    map.sections(FLASH0_BASE, FLASH_BANK_BYTES, Access::Device);
    map.pages(FLASH0_BASE, FLASH0_BASE + FLASH_BLOCK_BYTES, Access::None, Access::Device);
    map.sections(FLASH1_BASE, FLASH_BANK_BYTES, Access::Device);
    for device in [GICD_BASE, UART_BASE, VIRTIO_BASE, TPM_BASE] {
        map.sections(device, SECTION_BYTES, Access::Device);
    }

    map.sections(RAM_BASE, DEVICE_TREE_BYTES, Access::Constant);
    map.sections(IMAGE_BASE, ram_bytes - DEVICE_TREE_BYTES, Access::Data);
    let at = |symbol: *const u8| symbol as usize;
    map.pages(at(addr_of!(__stext)), at(addr_of!(__etext)), Access::Code, Access::Data);
    map.pages(at(addr_of!(__srodata)), at(addr_of!(__erodata)), Access::Constant, Access::Data);
    let guards = [
        addr_of!(_und_guard),
        addr_of!(_svc_guard),
        addr_of!(_abt_guard),
        addr_of!(_irq_guard),
        addr_of!(_fiq_guard),
        addr_of!(_sys_guard),
    ];
    for guard in guards {
        map.pages(at(guard), at(guard) + PAGE_BYTES, Access::None, Access::Data);
    }

    // Table walks are cached like the tables themselves: inner and outer write-back, shareable (§B4.1.154).
    let ttbr0 = TABLES.first.get() as u32 | (1 << 6) | (0b01 << 3) | (1 << 1);
    // SAFETY: the tables map the code that runs, the stack and all data one to one, so that execution goes on at
    // the same addresses. The caches come out of reset invalid on this core; instruction cache, branch predictor
    // and TLB are invalidated because the image has just been written. The SMP bit of ACTLR must be set before
    // the caches are used (Cortex-A15 TRM §4.3.28).
    unsafe {
        asm!(
            "mrc p15, 0, {t}, c1, c0, 1",
            "orr {t}, {t}, #0x40",
            "mcr p15, 0, {t}, c1, c0, 1",
            "mcr p15, 0, {zero}, c7, c5, 0",
            "mcr p15, 0, {zero}, c7, c5, 6",
            "mcr p15, 0, {zero}, c8, c7, 0",
            "mcr p15, 0, {zero}, c2, c0, 2",
            "mcr p15, 0, {ttbr0}, c2, c0, 0",
            "mcr p15, 0, {dacr}, c3, c0, 0",
            "dsb",
            "isb",
            "mrc p15, 0, {t}, c1, c0, 0",
            // MMU, data cache, branch prediction, instruction cache, writable implies execute-never
            "orr {t}, {t}, #0x1",
            "orr {t}, {t}, #0x4",
            "orr {t}, {t}, #0x800",
            "orr {t}, {t}, #0x1000",
            "orr {t}, {t}, #0x80000",
            // no alignment checks for normal memory, no TEX remap, no access flag
            "bic {t}, {t}, #0x2",
            "bic {t}, {t}, #0x10000000",
            "bic {t}, {t}, #0x20000000",
            "mcr p15, 0, {t}, c1, c0, 0",
            "dsb",
            "isb",
            t = out(reg) _,
            zero = in(reg) 0,
            ttbr0 = in(reg) ttbr0,
            dacr = in(reg) 0b01,
            options(nostack),
        );
    }
}
