//! Heap, stacks, and what they have used at most.

use crate::start::STACK_PAINT;
use aarch32_rt::stacks::Stack;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ptr::addr_of;
use critical_section::Mutex;
use embedded_alloc::LlffHeap;

struct CountingHeap {
    heap: LlffHeap,
    used: Mutex<Cell<usize>>,
    high_water: Mutex<Cell<usize>>,
}

// SAFETY: every call goes to the allocator behind it; counting changes neither pointers nor layouts.
unsafe impl GlobalAlloc for CountingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on.
        let pointer = unsafe { self.heap.alloc(layout) };
        if !pointer.is_null() {
            critical_section::with(|cs| {
                let used = self.used.borrow(cs).get() + layout.size();
                self.used.borrow(cs).set(used);
                let high_water = self.high_water.borrow(cs);
                high_water.set(high_water.get().max(used));
            });
        }
        pointer
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: passed on.
        unsafe { self.heap.dealloc(pointer, layout) };
        critical_section::with(|cs| {
            let used = self.used.borrow(cs);
            used.set(used.get() - layout.size());
        });
    }
}

#[global_allocator]
static HEAP: CountingHeap = CountingHeap {
    heap: LlffHeap::empty(),
    used: Mutex::new(Cell::new(0)),
    high_water: Mutex::new(Cell::new(0)),
};

unsafe extern "C" {
    static __heap_start: u8;
    static __heap_end: u8;
    static __image_start: u8;
    static __image_end: u8;
    static __sdata: u8;
    static __edata: u8;
    static __sbss: u8;
    static __suninit: u8;
    static __ram_end: u8;
}

/// Hands the heap its memory.
///
/// # Safety
/// Called once, before the first allocation.
pub(crate) unsafe fn init() {
    let start = addr_of!(__heap_start) as usize;
    let bytes = addr_of!(__heap_end) as usize - start;
    // SAFETY: the linker script reserves this range for the heap alone.
    unsafe { HEAP.heap.init(start, bytes) };
}

/// The end of the memory that the image takes.
pub(crate) fn image_end() -> usize {
    addr_of!(__ram_end) as usize
}

/// Octets of memory, for `show memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryUse {
    /// RAM of the machine.
    pub ram: usize,
    /// Code and constants.
    pub code: usize,
    /// Variables and static buffers.
    pub statics: usize,
    /// Size of the heap.
    pub heap_size: usize,
    /// Heap in use now, without the allocator's own lists.
    pub heap_used: usize,
    /// Heap in use at most since reset.
    pub heap_high_water: usize,
    /// Size of the stack that tasks and interrupt handlers run on.
    pub stack_size: usize,
    /// Octets of that stack used at most since reset.
    pub stack_high_water: usize,
}

static RAM_BYTES: Mutex<Cell<usize>> = Mutex::new(Cell::new(0));

pub(crate) fn set_ram_bytes(bytes: usize) {
    critical_section::with(|cs| RAM_BYTES.borrow(cs).set(bytes));
}

/// Measures memory. Takes as long as the free part of the stack is long: some 10,000 instructions.
#[must_use]
pub fn memory_use() -> MemoryUse {
    let (bottom, top) = match Stack::Sys.range(0) {
        Some(range) => (range.start, range.end),
        None => {
            return MemoryUse {
                ram: 0,
                code: 0,
                statics: 0,
                heap_size: 0,
                heap_used: 0,
                heap_high_water: 0,
                stack_size: 0,
                stack_high_water: 0,
            };
        }
    };
    let mut free = bottom;
    // SAFETY: the range is the mapped system stack; words below the stack pointer are only read, volatile, and
    // an interrupt can only make them look used.
    while free < top && unsafe { free.read_volatile() } == STACK_PAINT {
        free = free.wrapping_add(1);
    }
    let distance = |from: *const u8, to: *const u8| to as usize - from as usize;
    let heap_size = distance(addr_of!(__heap_start), addr_of!(__heap_end));
    let (heap_used, heap_high_water, ram) = critical_section::with(|cs| {
        (HEAP.used.borrow(cs).get(), HEAP.high_water.borrow(cs).get(), RAM_BYTES.borrow(cs).get())
    });
    MemoryUse {
        ram,
        code: distance(addr_of!(__image_start), addr_of!(__sdata)),
        statics: distance(addr_of!(__sdata), addr_of!(__edata))
            + distance(addr_of!(__sbss), addr_of!(__suninit))
            + distance(addr_of!(__suninit), addr_of!(__heap_start)),
        heap_size,
        heap_used,
        heap_high_water,
        stack_size: top as usize - bottom as usize,
        stack_high_water: top as usize - free as usize,
    }
}
