//! The driver against a model of two chips, register by register.

extern crate std;

use super::*;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;
use std::vec::Vec;

const BLOCK: usize = 4096;
const BYTES: usize = 4 * BLOCK;
/// Per chip 32 octets: 64 in the bank.
const BUFFER_EXPONENT: u8 = 5;

#[derive(Clone, Copy, PartialEq, Debug)]
enum Mode {
    Array,
    Status,
    Query,
    /// Expects the count.
    Count,
    /// Expects this many more words.
    Data(u32),
    /// Expects the confirmation of a buffered program.
    ProgramConfirm,
    EraseConfirm,
    Lock,
}

/// Both chips at once: every command must come doubled.
struct Model {
    array: Vec<u8>,
    mode: Mode,
    status: u16,
    /// Status reads until an operation is ready.
    busy: u32,
    busy_after_operation: u32,
    buffer: Vec<(u32, u32)>,
    locked: bool,
    /// The block at this offset does not take programs or erases, without saying so.
    worn: Option<u32>,
    /// Chips report failure.
    failing: bool,
    programs: u32,
    erases: u32,
    /// The upper chip answers the query differently.
    lame: bool,
}

#[derive(Clone)]
struct Chips(Rc<RefCell<Model>>);

impl Chips {
    fn new() -> Self {
        Self(Rc::new(RefCell::new(Model {
            array: std::vec![0xff; BYTES],
            mode: Mode::Array,
            status: 0x80,
            busy: 0,
            busy_after_operation: 0,
            buffer: Vec::new(),
            locked: false,
            worn: None,
            failing: false,
            programs: 0,
            erases: 0,
            lame: false,
        })))
    }
}

impl Model {
    fn query(&self, index: u32) -> u8 {
        match index {
            0x10 => b'Q',
            0x11 => b'R',
            0x12 => b'Y',
            0x13 => 1,
            0x20 => 7,
            0x21 => 10,
            0x24 | 0x25 => 2,
            // Half of the bank in each chip.
            0x27 => (BYTES / 2).trailing_zeros() as u8,
            0x2a => BUFFER_EXPONENT,
            0x2c => 1,
            0x2d => (BYTES / BLOCK - 1) as u8,
            0x2f => (BLOCK / 2 / 256) as u8,
            _ => 0,
        }
    }

    fn write(&mut self, offset: u32, word: u32) {
        match self.mode {
            Mode::Data(left) => {
                self.buffer.push((offset, word));
                self.mode = if left == 1 { Mode::ProgramConfirm } else { Mode::Data(left - 1) };
                return;
            }
            _ => assert_eq!(word & 0xffff, word >> 16, "commands go to both chips"),
        }
        let command = word as u16;
        self.mode = match self.mode {
            Mode::Count => {
                assert!(u32::from(command) < 1 << (BUFFER_EXPONENT - 1), "more words than the buffer holds");
                Mode::Data(u32::from(command) + 1)
            }
            Mode::ProgramConfirm => {
                assert_eq!(command, 0xd0);
                self.program(offset);
                Mode::Status
            }
            Mode::EraseConfirm => {
                assert_eq!(command, 0xd0);
                self.erase(offset);
                Mode::Status
            }
            Mode::Lock => {
                assert_eq!(command, 0xd0);
                self.locked = false;
                Mode::Status
            }
            _ => match command {
                0xff => Mode::Array,
                0x50 => {
                    self.status = 0x80;
                    Mode::Status
                }
                0x70 => Mode::Status,
                0x98 => {
                    assert_eq!(offset, 0x55 * 4);
                    Mode::Query
                }
                0xe8 => {
                    assert_eq!(self.busy, 0, "the chips were still busy");
                    self.buffer.clear();
                    Mode::Count
                }
                0x20 => Mode::EraseConfirm,
                0x60 => Mode::Lock,
                _ => panic!("unknown command {command:02x}"),
            },
        };
    }

    fn failure(&mut self, bit: u16) -> bool {
        self.busy = self.busy_after_operation;
        if self.locked {
            self.status |= 1 << 1 | bit;
        } else if self.failing {
            self.status |= bit;
        }
        self.locked || self.failing
    }

    fn program(&mut self, offset: u32) {
        self.programs += 1;
        let unit = 2 << BUFFER_EXPONENT;
        if self.failure(1 << 4) {
            return;
        }
        for (at, word) in core::mem::take(&mut self.buffer) {
            assert_eq!(at / unit, offset / unit, "outside the buffer's address range");
            if self.worn == Some(at / BLOCK as u32 * BLOCK as u32) {
                continue;
            }
            for (index, octet) in word.to_le_bytes().iter().enumerate() {
                self.array[at as usize + index] &= octet;
            }
        }
    }

    fn erase(&mut self, offset: u32) {
        self.erases += 1;
        let start = offset as usize / BLOCK * BLOCK;
        if !self.failure(1 << 5) && self.worn != Some(start as u32) {
            self.array[start..start + BLOCK].fill(0xff);
        }
    }
}

impl Bus for Chips {
    fn bytes(&self) -> usize {
        BYTES
    }

    fn read(&self, offset: u32) -> u32 {
        assert!(offset.is_multiple_of(4));
        let mut model = self.0.borrow_mut();
        match model.mode {
            Mode::Array => {
                let at = offset as usize;
                u32::from_le_bytes(model.array[at..at + 4].try_into().expect("four octets"))
            }
            Mode::Query => {
                let octet = u32::from(model.query(offset / 4));
                if model.lame { octet } else { octet << 16 | octet }
            }
            _ => {
                if model.busy > 0 {
                    model.busy -= 1;
                    // One chip ready, the other not: not ready.
                    return 0x0080_0000;
                }
                u32::from(model.status) << 16 | u32::from(model.status)
            }
        }
    }

    fn write(&mut self, offset: u32, word: u32) {
        assert!(offset.is_multiple_of(4));
        self.0.borrow_mut().write(offset, word);
    }

    fn copy(&self, offset: u32, out: &mut [u8]) {
        assert!(offset.is_multiple_of(4) && out.len().is_multiple_of(4));
        let model = self.0.borrow();
        assert_eq!(model.mode, Mode::Array, "array read outside array mode");
        out.copy_from_slice(&model.array[offset as usize..offset as usize + out.len()]);
    }
}

/// Time passes when somebody sleeps.
#[derive(Clone, Default)]
struct Clock(Rc<Cell<u64>>);

impl Timer for Clock {
    fn now(&self) -> Instant {
        // Every look takes a while, so that a loop of looks ends.
        self.0.set(self.0.get() + 1);
        Instant(self.0.get())
    }

    async fn sleep_until(&self, at: Instant) {
        self.0.set(self.0.get().max(at.0));
        embassy_futures::yield_now().await;
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let mut future = core::pin::pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

fn flash() -> (CfiFlash<Chips, Clock, BLOCK>, Chips) {
    let chips = Chips::new();
    let flash = CfiFlash::probe(chips.clone(), Clock::default()).expect("the model answers");
    (flash, chips)
}

#[test]
fn the_query_gives_the_geometry_of_the_whole_bank() {
    let (flash, chips) = flash();
    let geometry = flash.geometry();
    assert_eq!(
        (geometry.bytes, geometry.block_bytes, geometry.buffer_bytes),
        (BYTES as u32, BLOCK as u32, 64)
    );
    assert_eq!(geometry.erase_us_max, 4_096_000);
    assert_eq!(chips.0.borrow().mode, Mode::Array);
}

#[test]
fn a_wrong_block_size_or_unequal_chips_are_refused() {
    let chips = Chips::new();
    let other = CfiFlash::<_, _, 8192>::probe(chips.clone(), Clock::default());
    assert_eq!(other.err(), Some(ProbeError::WrongBlockSize));
    chips.0.borrow_mut().lame = true;
    let lame = CfiFlash::<_, _, BLOCK>::probe(chips, Clock::default());
    assert_eq!(lame.err(), Some(ProbeError::NoAnswer));
}

#[test]
fn what_is_written_across_buffers_reads_back_at_any_offset_and_length() {
    let (mut flash, chips) = flash();
    let data: Vec<u8> = (0..600).map(|index| (index * 7 % 251) as u8).collect();
    run(flash.write(36, &data)).expect("blank flash");
    // 28 octets to the end of the first buffer unit, then eight whole ones, then the rest.
    assert_eq!(chips.0.borrow().programs, 10);
    for (offset, length) in [(36, 600), (37, 1), (38, 598), (39, 2), (40, 3), (41, 7), (43, 5), (36, 0)] {
        let mut back = std::vec![0; length];
        run(flash.read(offset, &mut back)).expect("inside");
        assert_eq!(back, data[offset as usize - 36..offset as usize - 36 + length], "{offset} {length}");
    }
}

#[test]
fn a_bit_that_only_an_erase_can_set_is_refused_before_anything_is_sent() {
    let (mut flash, chips) = flash();
    run(flash.write(0, &[0xf0; 4])).expect("blank flash");
    let programs = chips.0.borrow().programs;
    assert_eq!(run(flash.write(0, &[0xf1; 4])), Err(Error::NeedsErase));
    assert_eq!(chips.0.borrow().programs, programs);
    run(flash.write(0, &[0x30; 4])).expect("only clears bits");
    run(flash.erase(0, BLOCK as u32)).expect("erases");
    run(flash.write(0, &[0xf1; 4])).expect("blank again");
}

#[test]
fn ranges_outside_the_bank_and_odd_offsets_are_refused() {
    let (mut flash, _) = flash();
    assert_eq!(run(flash.write(2, &[0; 4])), Err(Error::NotAligned));
    assert_eq!(run(flash.write(0, &[0; 3])), Err(Error::NotAligned));
    assert_eq!(run(flash.write(BYTES as u32 - 4, &[0; 8])), Err(Error::OutOfBounds));
    assert_eq!(run(flash.read(BYTES as u32, &mut [0])), Err(Error::OutOfBounds));
    assert_eq!(run(flash.read(u32::MAX, &mut [0; 2])), Err(Error::OutOfBounds));
    assert_eq!(run(flash.erase(0, 100)), Err(Error::NotAligned));
    assert_eq!(run(flash.erase(BLOCK as u32, 0)), Err(Error::OutOfBounds));
}

#[test]
fn a_locked_block_is_unlocked_and_the_operation_repeated() {
    let (mut flash, chips) = flash();
    chips.0.borrow_mut().locked = true;
    run(flash.write(0, &[1, 2, 3, 4])).expect("unlocked on the way");
    chips.0.borrow_mut().locked = true;
    run(flash.erase(0, BLOCK as u32)).expect("unlocked on the way");
    assert_eq!(chips.0.borrow().mode, Mode::Array);
}

#[test]
fn chips_that_report_failure_are_believed_and_left_in_array_mode() {
    let (mut flash, chips) = flash();
    chips.0.borrow_mut().failing = true;
    assert_eq!(run(flash.write(0, &[0; 4])), Err(Error::Failed));
    assert_eq!(run(flash.erase(0, BLOCK as u32)), Err(Error::Failed));
    let model = chips.0.borrow();
    assert_eq!((model.mode, model.status), (Mode::Array, 0x80));
}

#[test]
fn a_block_that_silently_forgets_is_found_by_reading_back() {
    let (mut flash, chips) = flash();
    run(flash.write(BLOCK as u32, &[0; 4])).expect("still good");
    chips.0.borrow_mut().worn = Some(BLOCK as u32);
    assert_eq!(run(flash.write(BLOCK as u32 + 8, &[0; 4])), Err(Error::Failed));
    assert_eq!(run(flash.erase(BLOCK as u32, 2 * BLOCK as u32)), Err(Error::Failed));
}

#[test]
fn a_slow_erase_is_waited_for_and_a_dead_chip_is_given_up() {
    let (mut flash, chips) = flash();
    chips.0.borrow_mut().busy_after_operation = 1_000;
    run(flash.erase(0, BLOCK as u32)).expect("slow, but ready in the end");
    chips.0.borrow_mut().busy_after_operation = u32::MAX;
    assert_eq!(run(flash.erase(0, BLOCK as u32)), Err(Error::Timeout));
}

#[test]
fn a_dropped_operation_is_settled_by_the_next_one() {
    let (mut flash, chips) = flash();
    chips.0.borrow_mut().busy_after_operation = 500;
    {
        let mut erase = core::pin::pin!(flash.erase(0, BLOCK as u32));
        assert!(erase.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(chips.0.borrow().mode, Mode::Status);
    let mut back = [0; 8];
    run(flash.read(0, &mut back)).expect("settles first");
    assert_eq!(back, [0xff; 8]);
    assert_eq!(chips.0.borrow().mode, Mode::Array);
}
