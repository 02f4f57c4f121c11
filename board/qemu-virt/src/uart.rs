//! The serial console: PL011 with interrupt-driven rings in both directions.
//!
//! When the receive ring is full the receive interrupt is masked and octets stay in the device's FIFO, so a paste
//! that is faster than the console is held back instead of lost, as long as the other side honours flow control.

use crate::interrupts;
use crate::memory_map::{IRQ_UART, UART_BASE, UART_BAUD, UART_CLOCK_HZ};
use arm_pl011_uart::{
    DataBits, FifoLevel, Interrupts, LineConfig, PL011Registers, Parity, StopBits, Uart, UniqueMmioPointer,
};
use core::cell::RefCell;
use core::convert::Infallible;
use core::ptr::NonNull;
use critical_section::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pipe::Pipe;
use embedded_io_async::{ErrorType, Read, Write};

/// Octets typed or pasted and not yet read by the console: a certificate chain in one paste.
const RECEIVE_RING_BYTES: usize = 8 * 1024;
/// Octets printed and not yet sent.
const TRANSMIT_RING_BYTES: usize = 4 * 1024;

static UART: Mutex<RefCell<Option<Uart<'static>>>> = Mutex::new(RefCell::new(None));
static RECEIVED: Pipe<CriticalSectionRawMutex, RECEIVE_RING_BYTES> = Pipe::new();
static TO_SEND: Pipe<CriticalSectionRawMutex, TRANSMIT_RING_BYTES> = Pipe::new();

/// Sets the port to 115,200 bit/s, 8N1, and lets the receive interrupt through.
pub(crate) fn init() {
    let registers = NonNull::new(UART_BASE as *mut PL011Registers).expect("not address 0");
    // SAFETY: the port is mapped as device memory for the life of the image; the fault reporter writes to it
    // only after everything else has stopped.
    let mut uart = Uart::new(unsafe { UniqueMmioPointer::new(registers) });
    let line = LineConfig { data_bits: DataBits::Bits8, parity: Parity::None, stop_bits: StopBits::One };
    uart.enable(line, UART_BAUD, UART_CLOCK_HZ).expect("the speed divides the clock");
    uart.set_interrupt_fifo_levels(FifoLevel::Bytes16, FifoLevel::Bytes8);
    uart.clear_interrupts(Interrupts::all());
    uart.set_interrupt_masks(Interrupts::RXI | Interrupts::RTI);
    critical_section::with(|cs| UART.borrow_ref_mut(cs).replace(uart));
    interrupts::enable(IRQ_UART, false);
}

/// Moves octets between FIFOs and rings, and leaves exactly those interrupts unmasked that can lead to more.
fn pump() {
    critical_section::with(|cs| {
        let mut uart = UART.borrow_ref_mut(cs);
        let Some(uart) = uart.as_mut() else { return };
        let mut masks = Interrupts::RXI | Interrupts::RTI;
        while !uart.is_rx_fifo_empty() {
            if RECEIVED.is_full() {
                masks = Interrupts::empty();
                break;
            }
            // A word with a framing or parity error is dropped, and so is a break.
            if let Ok(Some(octet)) = uart.read_word() {
                let _ = RECEIVED.try_write(&[octet]);
            }
        }
        let mut octet = [0];
        while !uart.is_tx_fifo_full() {
            match TO_SEND.try_read(&mut octet) {
                Ok(_) => uart.write_word(octet[0]),
                Err(_) => break,
            }
        }
        if !TO_SEND.is_empty() {
            masks |= Interrupts::TXI;
        }
        uart.set_interrupt_masks(masks);
    });
}

pub(crate) fn on_interrupt() {
    critical_section::with(|cs| {
        if let Some(uart) = UART.borrow_ref_mut(cs).as_mut() {
            // Receive interrupts fall when the FIFO is read; the rest is cleared here.
            uart.clear_interrupts(Interrupts::all());
        }
    });
    pump();
}

/// The receiving half of the console.
#[derive(Debug)]
pub struct ConsoleInput(());

/// The sending half of the console.
#[derive(Debug)]
pub struct ConsoleOutput(());

pub(crate) const fn halves() -> (ConsoleInput, ConsoleOutput) {
    (ConsoleInput(()), ConsoleOutput(()))
}

impl ErrorType for ConsoleInput {
    type Error = Infallible;
}

impl Read for ConsoleInput {
    /// Waits for at least one octet. Nothing is lost when the future is dropped.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let count = RECEIVED.read(buffer).await;
        // Room again: what waits in the FIFO may come in.
        pump();
        Ok(count)
    }
}

impl ErrorType for ConsoleOutput {
    type Error = Infallible;
}

impl Write for ConsoleOutput {
    /// Waits for room for at least one octet. If the future is dropped nothing was taken.
    async fn write(&mut self, data: &[u8]) -> Result<usize, Infallible> {
        let count = TO_SEND.write(data).await;
        pump();
        Ok(count)
    }

    /// Waits until everything has been handed to the device.
    async fn flush(&mut self) -> Result<(), Infallible> {
        while !TO_SEND.is_empty() {
            embassy_time::Timer::after_millis(1).await;
        }
        Ok(())
    }
}
