//! defmt frames to the virtio console.

use crate::virtio::console;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};
use critical_section::RestoreState;

struct Encoder {
    encoder: UnsafeCell<defmt::Encoder>,
    restore: UnsafeCell<RestoreState>,
}

// SAFETY: both cells are touched only between `acquire` and `release`, which are a critical section on the only
// core.
unsafe impl Sync for Encoder {}

static ENCODER: Encoder = Encoder {
    encoder: UnsafeCell::new(defmt::Encoder::new()),
    restore: UnsafeCell::new(RestoreState::invalid()),
};

/// Whether a frame is being written: formatting code that logs by itself would tear it.
static TAKEN: AtomicBool = AtomicBool::new(false);

#[defmt::global_logger]
struct Logger;

// SAFETY: `acquire` masks interrupts until `release`, so that no other caller can come between, and panics if it is
// called again before that, as the trait demands.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: paired with the release below; see the trait's contract.
        let restore = unsafe { critical_section::acquire() };
        assert!(!TAKEN.swap(true, Ordering::Relaxed), "a log frame within a log frame");
        // SAFETY: within the critical section, and nobody else has the encoder.
        unsafe {
            *ENCODER.restore.get() = restore;
            (*ENCODER.encoder.get()).start_frame(console::push);
        }
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: called once for each acquire.
        unsafe {
            (*ENCODER.encoder.get()).end_frame(console::push);
            console::end_frame();
            TAKEN.store(false, Ordering::Relaxed);
            critical_section::release(*ENCODER.restore.get());
        }
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: between acquire and release.
        unsafe { (*ENCODER.encoder.get()).write(bytes, console::push) }
    }
}

defmt::timestamp!("{=u64:us}", embassy_time::Instant::now().as_micros());

/// Log frames that were dropped because the log console did not keep up.
#[must_use]
pub fn log_frames_dropped() -> u32 {
    console::dropped()
}
