//! GICv2 and the dispatch of interrupts to the drivers.

use crate::memory_map::{GICC_BASE, GICD_BASE, IRQ_TIMER, IRQ_UART, IRQ_VIRTIO, VIRTIO_SLOT_COUNT};
use crate::{time, uart, virtio};
use aarch32_rt::irq;
use arm_gic::gicv2::{
    GicV2,
    registers::{Gicc, Gicd},
};
use arm_gic::{IntId, InterruptGroup, Trigger};
use core::cell::RefCell;
use core::ptr;
use critical_section::Mutex;

static GIC: Mutex<RefCell<Option<GicV2<'static>>>> = Mutex::new(RefCell::new(None));

/// First of the numbers that mean that nothing is pending.
const SPECIAL: u32 = 1020;

/// Sets the controller up with every interrupt disabled and all at one priority: handlers do not nest.
pub(crate) fn init() {
    // SAFETY: the addresses are those of the controller and are mapped as device memory; this is the only
    // instance of the driver.
    let mut gic = unsafe { GicV2::new(GICD_BASE as *mut Gicd, GICC_BASE as *mut Gicc) };
    gic.setup();
    gic.enable_all_interrupts(false);
    for index in 0..64usize {
        // GICD_IPRIORITYR holds four interrupts a word; the crate's setter would clear three of them.
        // SAFETY: the register file of the distributor is mapped and interrupts are masked.
        unsafe { ptr::write_volatile((GICD_BASE as *mut u32).byte_add(0x400 + 4 * index), 0x8080_8080u32) };
        if index >= 8 {
            // GICD_ITARGETSR: everything to processor 0. The first eight words are read-only.
            // SAFETY: as above.
            unsafe {
                ptr::write_volatile((GICD_BASE as *mut u32).byte_add(0x800 + 4 * index), 0x0101_0101u32)
            };
        }
    }
    critical_section::with(|cs| GIC.borrow_ref_mut(cs).replace(gic));
}

/// Lets an interrupt through. `edge` is how the line signals.
pub(crate) fn enable(number: u32, edge: bool) {
    let id = if number < 32 { IntId::ppi(number - 16) } else { IntId::spi(number - 32) };
    critical_section::with(|cs| {
        if let Some(gic) = GIC.borrow_ref_mut(cs).as_mut() {
            if number >= 32 {
                gic.set_trigger(id, if edge { Trigger::Edge } else { Trigger::Level });
            }
            gic.enable_interrupt(id, true).expect("every interrupt of the memory map exists");
        }
    });
}

/// Lets interrupts reach the processor.
///
/// # Safety
/// Not inside a critical section, and after every driver is ready.
pub(crate) unsafe fn unmask() {
    // SAFETY: passed on to the caller.
    unsafe { aarch32_cpu::asm::irq_enable() }
}

#[irq]
fn dispatch() {
    loop {
        let id = critical_section::with(|cs| {
            GIC.borrow_ref_mut(cs)
                .as_mut()
                .and_then(|gic| gic.get_and_acknowledge_interrupt(InterruptGroup::Group0))
        });
        let Some(id) = id else { return };
        let number = id.raw_value();
        if number >= SPECIAL {
            return;
        }
        match number {
            IRQ_TIMER => time::on_interrupt(),
            IRQ_UART => uart::on_interrupt(),
            IRQ_VIRTIO.. => {
                let slot = (number - IRQ_VIRTIO) as usize;
                if slot < VIRTIO_SLOT_COUNT {
                    virtio::on_interrupt(slot);
                }
            }
            _ => {}
        }
        critical_section::with(|cs| {
            if let Some(gic) = GIC.borrow_ref_mut(cs).as_mut() {
                gic.end_interrupt(id, InterruptGroup::Group0);
            }
        });
    }
}
