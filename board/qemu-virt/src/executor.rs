//! The executor: embassy's, with an idle loop that sleeps in WFI and counts.
//!
//! WFE would be the usual choice, but the emulator runs it as a yield and burns a whole host core.

use crate::{interrupts, time};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};
use critical_section::Mutex;
use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

static PENDING: AtomicBool = AtomicBool::new(true);
static IDLE: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

/// Called by the executor from tasks and interrupt handlers when a task becomes ready.
#[unsafe(export_name = "__pender")]
fn pender(_context: *mut ()) {
    PENDING.store(true, Ordering::Release);
}

/// Runs `start` once and the tasks that it spawns for ever.
pub(crate) fn run(start: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    start(executor.spawner());
    // SAFETY: every driver is ready; no critical section is open here.
    unsafe { interrupts::unmask() };
    loop {
        while PENDING.swap(false, Ordering::Acquire) {
            // SAFETY: the only call, and the pender never calls it.
            unsafe { executor.poll() };
        }
        aarch32_cpu::asm::irq_disable();
        if !PENDING.load(Ordering::Acquire) {
            // A pending interrupt ends WFI although it is masked; it is taken, and counted as work, below.
            let before = time::counter();
            aarch32_cpu::asm::dsb();
            aarch32_cpu::asm::wfi();
            let slept = time::counter() - before;
            critical_section::with(|cs| {
                let idle = IDLE.borrow(cs);
                idle.set(idle.get() + slept);
            });
        }
        // SAFETY: masked above, no critical section is open here.
        unsafe { interrupts::unmask() };
    }
}

/// How the processor spent its time since reset, in counts of [`COUNTER_HZ`](crate::memory_map::COUNTER_HZ).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessorTime {
    /// Counts since reset.
    pub total: u64,
    /// Counts that were not spent asleep: the work of tasks, interrupt handlers and start-up.
    pub busy: u64,
}

/// Reads the counts. Under `-icount` they are instructions times a constant, and repeat exactly.
#[must_use]
pub fn processor_time() -> ProcessorTime {
    let total = time::counter();
    let idle = critical_section::with(|cs| IDLE.borrow(cs).get());
    ProcessorTime { total, busy: total.saturating_sub(idle) }
}
