//! virtio-mmio: finding devices, memory for their queues, and their interrupts.

pub(crate) mod console;
pub(crate) mod net;
pub(crate) mod rng;

use crate::interrupts;
use crate::memory_map::{IRQ_VIRTIO, VIRTIO_BASE, VIRTIO_SLOT_BYTES, VIRTIO_SLOT_COUNT};
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use bitflags::bitflags;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};
use limits::net::INTERFACES_COUNT;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

bitflags! {
    /// What our own drivers of simple devices agree to (virtio 1.1, chapter 6).
    #[derive(Clone, Copy, Debug)]
    struct Features: u64 {
        const VERSION_1 = 1 << 32;
    }
}

/// Memory as the devices see it: physical = virtual, and coherent.
#[derive(Debug)]
pub(crate) struct Memory;

const fn pages(count: usize) -> Layout {
    match Layout::from_size_align(count * PAGE_SIZE, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("more pages than there are addresses"),
    }
}

// SAFETY: pages come zeroed and aligned from the heap and are returned to it by the same layout; sharing a
// buffer changes nothing because the map is one to one and the devices are coherent with the caches.
unsafe impl Hal for Memory {
    fn dma_alloc(count: usize, _direction: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        // SAFETY: no queue has zero pages.
        let pointer = unsafe { alloc_zeroed(pages(count)) };
        match NonNull::new(pointer) {
            Some(address) => (pointer as usize as PhysAddr, address),
            None => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_physical: PhysAddr, address: NonNull<u8>, count: usize) -> i32 {
        // SAFETY: the caller returns what `dma_alloc` gave.
        unsafe { dealloc(address.as_ptr(), pages(count)) };
        0
    }

    unsafe fn mmio_phys_to_virt(physical: PhysAddr, _size: usize) -> NonNull<u8> {
        NonNull::new(physical as usize as *mut u8).expect("only the PCI transport asks, and there is none")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _direction: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr() as usize as PhysAddr
    }

    unsafe fn unshare(_physical: PhysAddr, _buffer: NonNull<[u8]>, _direction: BufferDirection) {}
}

const NO_SLOT: usize = usize::MAX;
static NET_SLOTS: [AtomicUsize; INTERFACES_COUNT] = [const { AtomicUsize::new(NO_SLOT) }; INTERFACES_COUNT];
static CONSOLE_SLOT: AtomicUsize = AtomicUsize::new(NO_SLOT);

fn slot_base(slot: usize) -> usize {
    VIRTIO_BASE + slot * VIRTIO_SLOT_BYTES
}

/// The slots with devices of a kind, in the order of the emulator's command line: it fills them from the last one down.
fn slots(kind: DeviceType) -> impl Iterator<Item = usize> {
    // A transport resets its device when it is dropped, so none is made before the right slot is known.
    (0..VIRTIO_SLOT_COUNT).rev().filter(move |slot| {
        // SAFETY: all slots exist and are mapped as device memory. Offset 8: device ID, 0 if the slot is empty.
        let id = unsafe { ptr::read_volatile((slot_base(*slot) as *const u32).byte_add(8)) };
        DeviceType::try_from(id) == Ok(kind)
    })
}

/// The device in a slot. Each is opened once.
fn open(slot: usize) -> Option<MmioTransport<'static>> {
    let header = NonNull::new(slot_base(slot) as *mut VirtIOHeader)?;
    // SAFETY: the slot is mapped as device memory, and each device is opened once.
    unsafe { MmioTransport::new(header, VIRTIO_SLOT_BYTES) }.ok()
}

/// The first device of a kind, and its slot. Each kind is looked for once.
fn find(kind: DeviceType) -> Option<(MmioTransport<'static>, usize)> {
    let slot = slots(kind).next()?;
    Some((open(slot)?, slot))
}

fn enable_interrupt(slot: usize) {
    // Level, not edge: an interrupt that comes between the two lines of the acknowledgement is not lost.
    interrupts::enable(IRQ_VIRTIO + slot as u32, false);
}

/// Acknowledges and passes on. The acknowledge registers are touched here and nowhere else.
pub(crate) fn on_interrupt(slot: usize) {
    let base = slot_base(slot) as *mut u32;
    // SAFETY: the slot is mapped. Offsets (virtio 1.1 §4.2.2): 0x60 interrupt status, 0x64 acknowledge.
    unsafe {
        let status = ptr::read_volatile(base.byte_add(0x60));
        ptr::write_volatile(base.byte_add(0x64), status);
    }
    if let Some(index) = NET_SLOTS.iter().position(|net| net.load(Ordering::Relaxed) == slot) {
        net::on_interrupt(index);
    } else if slot == CONSOLE_SLOT.load(Ordering::Relaxed) {
        console::on_interrupt();
    }
}
