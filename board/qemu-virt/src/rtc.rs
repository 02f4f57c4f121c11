//! Civil time from the PL031.

use crate::memory_map::RTC_BASE;
use arm_pl031::Rtc;
use core::cell::{Cell, RefCell};
use critical_section::Mutex;
use limits::relay::CLOCK_EARLIEST_S;

static RTC: Mutex<RefCell<Option<Rtc>>> = Mutex::new(RefCell::new(None));
static SET: Mutex<Cell<bool>> = Mutex::new(Cell::new(false));

pub(crate) fn init() {
    // SAFETY: the clock is mapped as device memory, and this is the only instance of its driver.
    let rtc = unsafe { Rtc::new(RTC_BASE as *mut u32) };
    critical_section::with(|cs| RTC.borrow_ref_mut(cs).replace(rtc));
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct WallClock(());

impl WallClock {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl platform::WallClock for WallClock {
    fn unix_seconds(&self) -> Option<u64> {
        critical_section::with(|cs| {
            let rtc = RTC.borrow_ref(cs);
            let seconds = u64::from(rtc.as_ref()?.get_unix_timestamp());
            // A clock before that has lost its battery and is not believed until somebody sets it.
            (SET.borrow(cs).get() || seconds >= CLOCK_EARLIEST_S).then_some(seconds)
        })
    }

    /// The device holds 32 bits: a later moment is stored as the last one, in the year 2106.
    fn set_unix_seconds(&self, seconds: u64) {
        critical_section::with(|cs| {
            if let Some(rtc) = RTC.borrow_ref_mut(cs).as_mut() {
                rtc.set_unix_timestamp(u32::try_from(seconds).unwrap_or(u32::MAX));
                SET.borrow(cs).set(true);
            }
        });
    }
}
