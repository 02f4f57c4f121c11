//! virtio-net as an embassy-net driver.
//!
//! The stack writes frames straight into buffers that the device reads, and reads frames where the device has
//! put them: nothing is copied in between. Both directions have [`BUFFER_COUNT`] buffers in flight; nothing waits
//! in a loop for the device.

use super::{Memory, NET_SLOTS, enable_interrupt, open, slots};
use core::sync::atomic::Ordering;
use core::task::Context;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::AtomicWaker;
use limits::net::INTERFACES_COUNT;
use static_cell::ConstStaticCell;
use virtio_drivers::device::net::VirtIONetRaw;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::MmioTransport;

/// Frames in flight in each direction: two full TCP windows of 64 KiB fit.
const BUFFER_COUNT: usize = 128;
/// Octets of a frame with its Ethernet header, without checksum.
const FRAME_BYTES: usize = 1514;
/// Octets that virtio puts before the frame (virtio 1.1 §5.1.6).
const HEADER_BYTES: usize = 12;
/// What the device demands of a receive buffer, rounded up.
const BUFFER_BYTES: usize = 1536;

/// The frame starts two octets off a word boundary, so that the IP and TCP headers and the payload behind the
/// Ethernet header lie on one.
#[repr(C, align(4))]
struct Buffer {
    padding: [u8; 4],
    data: [u8; BUFFER_BYTES],
}

impl Buffer {
    const NEW: Self = Self { padding: [0; 4], data: [0; BUFFER_BYTES] };
    /// Header (12) and Ethernet header (14) are 26 octets: two more make 28.
    const START: usize = 2;

    fn packet(&mut self) -> &mut [u8] {
        &mut self.data[Self::START..]
    }
}

struct Buffers {
    receive: [Buffer; BUFFER_COUNT],
    transmit: [Buffer; BUFFER_COUNT],
}

impl Buffers {
    const NEW: Self = Self {
        receive: [const { Buffer::NEW }; BUFFER_COUNT],
        transmit: [const { Buffer::NEW }; BUFFER_COUNT],
    };
}

type Device = VirtIONetRaw<Memory, MmioTransport<'static>, BUFFER_COUNT>;

static WAKERS: [AtomicWaker; INTERFACES_COUNT] = [const { AtomicWaker::new() }; INTERFACES_COUNT];

pub(crate) fn on_interrupt(index: usize) {
    if let Some(waker) = WAKERS.get(index) {
        waker.wake();
    }
}

/// The network interface.
pub struct NetworkDevice {
    waker: &'static AtomicWaker,
    device: Device,
    receive: &'static mut [Buffer; BUFFER_COUNT],
    /// Receive buffer behind each token of the receive queue.
    receive_at: [u8; BUFFER_COUNT],
    /// The buffer that the stack has read last: it goes back to the device at the next call.
    read: Option<u8>,
    sender: Sender,
}

/// Buffers of the transmit direction.
struct Sender {
    transmit: &'static mut [Buffer; BUFFER_COUNT],
    /// Transmit buffer behind each token of the transmit queue, with the length in use.
    transmit_at: [(u8, u16); BUFFER_COUNT],
    free: heapless::Vec<u8, BUFFER_COUNT>,
}

const _: () = assert!(BUFFER_COUNT <= u8::MAX as usize + 1);
const _: () = assert!(HEADER_BYTES + FRAME_BYTES + Buffer::START <= BUFFER_BYTES);

impl core::fmt::Debug for NetworkDevice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NetworkDevice").field("address", &self.device.mac_address()).finish_non_exhaustive()
    }
}

/// Looks for the devices and gives each all its receive buffers. The first on the emulator's command line is the first.
pub(crate) fn init() -> heapless::Vec<NetworkDevice, INTERFACES_COUNT> {
    static BUFFERS: ConstStaticCell<[Buffers; INTERFACES_COUNT]> =
        ConstStaticCell::new([const { Buffers::NEW }; INTERFACES_COUNT]);
    let mut devices = heapless::Vec::new();
    let places = BUFFERS.take().iter_mut().zip(&WAKERS).zip(&NET_SLOTS);
    for (slot, ((buffers, waker), net_slot)) in slots(DeviceType::Network).zip(places) {
        let Some(device) = open(slot).and_then(|transport| VirtIONetRaw::new(transport).ok()) else {
            continue;
        };
        let mut network = NetworkDevice {
            waker,
            device,
            receive: &mut buffers.receive,
            receive_at: [0; BUFFER_COUNT],
            read: None,
            sender: Sender {
                transmit: &mut buffers.transmit,
                transmit_at: [(0, 0); BUFFER_COUNT],
                free: (0..BUFFER_COUNT).map(|index| index as u8).collect(),
            },
        };
        for index in 0..BUFFER_COUNT {
            network.give(index as u8);
        }
        net_slot.store(slot, Ordering::Relaxed);
        enable_interrupt(slot);
        // There are as many places as buffers.
        let _ = devices.push(network);
    }
    devices
}

impl NetworkDevice {
    /// Gives a receive buffer to the device.
    fn give(&mut self, index: u8) {
        let buffer = self.receive[usize::from(index)].packet();
        // SAFETY: the buffer is in a static and is not touched until its token comes back.
        match unsafe { self.device.receive_begin(buffer) } {
            Ok(token) => self.receive_at[usize::from(token)] = index,
            // There are as many descriptors as buffers; if the queue refuses, one buffer is lost, not memory.
            Err(_) => debug_assert!(false, "receive queue full"),
        }
    }

    /// The next buffer with a frame in it, and where that lies: after a header, so many octets long. A buffer that the
    /// device gives back with something that cannot be a frame goes to the device again.
    fn completed(&mut self) -> Option<(u8, usize, usize)> {
        loop {
            let token = self.device.poll_receive()?;
            let index = self.receive_at[usize::from(token) % BUFFER_COUNT];
            let packet = self.receive[usize::from(index)].packet();
            let room = packet.len();
            // SAFETY: this is the buffer that was given away under this token.
            match unsafe { self.device.receive_complete(token, packet) } {
                Ok((header, length)) if length <= room - header => return Some((index, header, length)),
                // It has left the queue, with a length that is too short for a header, or longer than it is.
                Ok(_) | Err(virtio_drivers::Error::IoError) => self.give(index),
                // It is in the queue still.
                Err(_) => return None,
            }
        }
    }

    /// Takes back what the device and the stack have finished with.
    fn recycle(&mut self) {
        if let Some(index) = self.read.take() {
            self.give(index);
        }
        while let Some(token) = self.device.poll_transmit() {
            let (index, length) = self.sender.transmit_at[usize::from(token) % BUFFER_COUNT];
            let buffer = &self.sender.transmit[usize::from(index)].packet()[..usize::from(length)];
            // SAFETY: this is the buffer that was given away under this token.
            if unsafe { self.device.transmit_complete(token, buffer) }.is_err()
                || self.sender.free.push(index).is_err()
            {
                return;
            }
        }
    }
}

/// A frame that has arrived.
pub struct Received<'a> {
    frame: &'a mut [u8],
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        read(self.frame)
    }
}

/// Room for a frame to send.
pub struct Transmit<'a> {
    device: &'a mut Device,
    sender: &'a mut Sender,
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let index = self.sender.free.pop().expect("a token is made only while a buffer is free");
        let packet = &mut self.sender.transmit[usize::from(index)].packet()[..HEADER_BYTES + length];
        let (header, frame) = packet.split_at_mut(HEADER_BYTES);
        // No offloads: every field of the header is zero.
        header.fill(0);
        let result = write(frame);
        // SAFETY: the buffer is in a static and is not touched until its token comes back.
        match unsafe { self.device.transmit_begin(packet) } {
            Ok(token) => {
                self.sender.transmit_at[usize::from(token) % BUFFER_COUNT] = (index, packet.len() as u16);
            }
            // The queue has a descriptor for every buffer. Should it refuse, the frame is lost as on any network.
            Err(_) => {
                let _ = self.sender.free.push(index);
            }
        }
        result
    }
}

impl Driver for NetworkDevice {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Transmit<'a>;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Received<'_>, Transmit<'_>)> {
        self.waker.register(cx.waker());
        self.recycle();
        // A reply may have to be sent at once.
        if self.sender.free.is_empty() {
            return None;
        }
        let (index, header, length) = self.completed()?;
        self.read = Some(index);
        let frame = self.receive[usize::from(index)].packet().get_mut(header..header + length)?;
        Some((Received { frame }, Transmit { device: &mut self.device, sender: &mut self.sender }))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Transmit<'_>> {
        self.waker.register(cx.waker());
        self.recycle();
        if self.sender.free.is_empty() {
            return None;
        }
        Some(Transmit { device: &mut self.device, sender: &mut self.sender })
    }

    fn link_state(&mut self, _cx: &mut Context<'_>) -> LinkState {
        LinkState::Up
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = FRAME_BYTES;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ethernet(self.device.mac_address())
    }
}
