//! virtio-console: the way out for log frames.
//!
//! Frames wait in a ring until the device has taken the chunk before. Nothing waits for the device: a frame for
//! which there is no room is dropped whole and counted.

use super::{CONSOLE_SLOT, Features, Memory, enable_interrupt, find};
use core::cell::RefCell;
use core::sync::atomic::Ordering;
use critical_section::{CriticalSection, Mutex};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceType, Transport};

/// Octets of frames that may wait.
const RING_BYTES: usize = 32 * 1024;
/// Octets handed to the device at once.
const CHUNK_BYTES: usize = 4 * 1024;
/// Queue 0 receives, queue 1 sends (virtio 1.1 §5.3.2).
const TRANSMIT_QUEUE: u16 = 1;

struct Device {
    transport: MmioTransport<'static>,
    queue: VirtQueue<Memory, 4>,
    /// The request that the device is working on, and its length in `chunk`.
    in_flight: Option<(u16, usize)>,
}

struct Frames {
    ring: [u8; RING_BYTES],
    chunk: [u8; CHUNK_BYTES],
    /// Next octet that goes to the device; positions count octets since reset and wrap.
    head: usize,
    /// End of the last whole frame.
    tail: usize,
    /// End of what has been written of the present frame.
    write: usize,
    overflow: bool,
    dropped: u32,
}

// SAFETY: one core, and the mutex around it is a critical section; raw pointers in the queue are to memory that
// belongs to it.
unsafe impl Send for Device {}

static DEVICE: Mutex<RefCell<Option<Device>>> = Mutex::new(RefCell::new(None));
/// Apart from the device, so that the buffers are zero at start and take no room in the image.
static FRAMES: Mutex<RefCell<Frames>> = Mutex::new(RefCell::new(Frames {
    ring: [0; RING_BYTES],
    chunk: [0; CHUNK_BYTES],
    head: 0,
    tail: 0,
    write: 0,
    overflow: false,
    dropped: 0,
}));

impl Frames {
    fn push(&mut self, data: &[u8]) {
        if self.overflow || data.len() > RING_BYTES - self.write.wrapping_sub(self.head) {
            self.overflow = true;
            return;
        }
        for octet in data {
            self.ring[self.write % RING_BYTES] = *octet;
            self.write = self.write.wrapping_add(1);
        }
    }

    fn end_frame(&mut self) {
        if self.overflow {
            self.write = self.tail;
            self.overflow = false;
            self.dropped = self.dropped.saturating_add(1);
        } else {
            self.tail = self.write;
        }
    }
}

/// Takes back what the device has sent and gives it the next chunk.
fn pump(cs: CriticalSection<'_>) {
    let mut slot = DEVICE.borrow_ref_mut(cs);
    let Some(device) = slot.as_mut() else { return };
    let frames = &mut *FRAMES.borrow_ref_mut(cs);
    if let Some((token, length)) = device.in_flight {
        if !device.queue.can_pop() {
            return;
        }
        device.in_flight = None;
        // SAFETY: the buffer of this request has not changed since it was added.
        if unsafe { device.queue.pop_used(token, &[&frames.chunk[..length]], &mut []) }.is_err() {
            // A device that answers out of turn gets nothing more.
            *slot = None;
            return;
        }
    }
    let length = frames.tail.wrapping_sub(frames.head).min(CHUNK_BYTES);
    if length == 0 {
        return;
    }
    for octet in &mut frames.chunk[..length] {
        *octet = frames.ring[frames.head % RING_BYTES];
        frames.head = frames.head.wrapping_add(1);
    }
    // SAFETY: `chunk` is in a static and is not written while the request is in flight.
    match unsafe { device.queue.add(&[&frames.chunk[..length]], &mut []) } {
        Ok(token) => {
            device.in_flight = Some((token, length));
            device.transport.notify(TRANSMIT_QUEUE);
        }
        Err(_) => *slot = None,
    }
}

/// Looks for the device. Without one, frames fill the ring once and are counted as dropped from then on.
pub(crate) fn init() {
    let Some((mut transport, slot)) = find(DeviceType::Console) else { return };
    transport.begin_init(Features::VERSION_1);
    let Ok(queue) = VirtQueue::new(&mut transport, TRANSMIT_QUEUE, false, false) else { return };
    transport.finish_init();
    critical_section::with(|cs| {
        DEVICE.borrow_ref_mut(cs).replace(Device { transport, queue, in_flight: None });
        pump(cs);
    });
    CONSOLE_SLOT.store(slot, Ordering::Relaxed);
    enable_interrupt(slot);
}

pub(crate) fn on_interrupt() {
    critical_section::with(pump);
}

pub(crate) fn push(data: &[u8]) {
    critical_section::with(|cs| FRAMES.borrow_ref_mut(cs).push(data));
}

pub(crate) fn end_frame() {
    critical_section::with(|cs| {
        FRAMES.borrow_ref_mut(cs).end_frame();
        pump(cs);
    });
}

pub(crate) fn dropped() -> u32 {
    critical_section::with(|cs| FRAMES.borrow_ref(cs).dropped)
}
