//! The generic timer: embassy's time driver, and counts of busy and idle time.

use crate::interrupts;
use crate::memory_map::{COUNTER_HZ, IRQ_TIMER};
use aarch32_cpu::generic_timer::{El1PhysicalTimer, GenericTimer};
use core::arch::asm;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;
use critical_section::{CriticalSection, Mutex};
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

/// Microseconds per count, times 2^64: one multiplication instead of a division by 62.5.
const MICROS_PER_COUNT: u64 = ((1_000_000u128 << 64) / COUNTER_HZ as u128) as u64;

/// What the counter showed at the last reset: it runs on through a reset that is no power-on.
static AT_RESET: AtomicU64 = AtomicU64::new(0);

/// Counts since the last reset.
pub(crate) fn counter() -> u64 {
    hardware_counter().wrapping_sub(AT_RESET.load(Ordering::Relaxed))
}

fn hardware_counter() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: CNTPCT is readable at this level and reading it has no effect. The barrier keeps the read in
    // program order.
    unsafe {
        asm!("isb", "mrrc p15, 0, {}, {}, c14", out(reg) low, out(reg) high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Counts to microseconds.
fn micros(count: u64) -> u64 {
    ((u128::from(count) * u128::from(MICROS_PER_COUNT)) >> 64) as u64
}

/// The first count at which [`micros`] is at least `at`.
fn count_at(at: u64) -> u64 {
    // 62.5 counts per microsecond. The far future stays the far future.
    at.checked_mul(125).map_or(u64::MAX, |doubled| doubled / 2 + 2)
}

struct TimeDriver {
    queue: Mutex<RefCell<Queue>>,
}

impl TimeDriver {
    fn set_alarm(&self, cs: CriticalSection<'_>, queue: &mut Queue) {
        let _ = cs;
        // SAFETY: interrupts are masked, and no other code of the image uses this timer.
        let mut timer = unsafe { El1PhysicalTimer::new() };
        let next = queue.next_expiration(self.now());
        if next == u64::MAX {
            timer.enable(false);
        } else {
            // A moment that has just passed raises the interrupt at once: the comparison is "not before".
            timer.counter_compare_set(count_at(next).saturating_add(AT_RESET.load(Ordering::Relaxed)));
            timer.interrupt_mask(false);
            timer.enable(true);
        }
    }
}

impl Driver for TimeDriver {
    fn now(&self) -> u64 {
        micros(counter())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let mut queue = self.queue.borrow_ref_mut(cs);
            if queue.schedule_wake(at, waker) {
                self.set_alarm(cs, &mut queue);
            }
        });
    }
}

embassy_time_driver::time_driver_impl!(static DRIVER: TimeDriver = TimeDriver {
    queue: Mutex::new(RefCell::new(Queue::new())),
});

/// The counter at reset, which the first stage left in the two thread registers.
fn counter_at_reset() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: TPIDRURW and TPIDRPRW are readable at this level, and nothing else uses them.
    unsafe {
        asm!("mrc p15, 0, {}, c13, c0, 2", "mrc p15, 0, {}, c13, c0, 4", out(reg) low, out(reg) high, options(nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Lets time begin at the last reset, checks the frequency and lets the timer interrupt through.
pub(crate) fn init() {
    AT_RESET.store(counter_at_reset().min(hardware_counter()), Ordering::Relaxed);
    // SAFETY: start-up, interrupts masked, nobody else uses the timer.
    let timer = unsafe { El1PhysicalTimer::new() };
    assert!(u64::from(timer.frequency_hz()) == COUNTER_HZ, "the generic timer does not run at 62.5 MHz");
    timer.enable(false);
    interrupts::enable(IRQ_TIMER, false);
}

/// Wakes what is due. The interrupt line stays up until the comparison moves, which `set_alarm` does.
pub(crate) fn on_interrupt() {
    critical_section::with(|cs| {
        let mut queue = DRIVER.queue.borrow_ref_mut(cs);
        DRIVER.set_alarm(cs, &mut queue);
    });
}

/// Monotonic time for the product.
#[derive(Clone, Copy, Debug)]
pub struct Timer(());

impl Timer {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl platform::Timer for Timer {
    fn now(&self) -> platform::Instant {
        platform::Instant(DRIVER.now())
    }

    async fn sleep_until(&self, at: platform::Instant) {
        embassy_time::Timer::at(embassy_time::Instant::from_micros(at.0)).await;
    }
}
