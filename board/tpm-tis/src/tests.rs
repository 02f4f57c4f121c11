//! The driver against a model of the register file.

extern crate std;

use super::*;
use core::cell::{Cell, RefCell};
use core::future::Future;
use core::task::{Context, Poll, Waker};
use std::rc::Rc;
use std::vec::Vec;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Idle,
    Ready,
    Receiving,
    /// Running; ends after so many status reads.
    Running(u32),
    Done,
}

struct Model {
    present: bool,
    active: bool,
    state: State,
    command: Vec<u8>,
    response: Vec<u8>,
    sent: usize,
    /// Status reads that a command takes.
    duration: u32,
    burst: u32,
    wide: bool,
    cancelled: u32,
    commands: u32,
    /// Answers with a response whose size field says this.
    size: Option<u32>,
}

#[derive(Clone)]
struct Interface(Rc<RefCell<Model>>);

impl Interface {
    fn new() -> Self {
        Self(Rc::new(RefCell::new(Model {
            present: true,
            active: false,
            state: State::Idle,
            command: Vec::new(),
            response: Vec::new(),
            sent: 0,
            duration: 3,
            burst: 7,
            wide: true,
            cancelled: 0,
            commands: 0,
            size: None,
        })))
    }
}

impl Model {
    fn expect(&self) -> bool {
        let length =
            self.command.get(2..6).map(|size| u32::from_be_bytes(size.try_into().expect("four octets")));
        length.is_none_or(|length| self.command.len() < length as usize)
    }

    fn finish(&mut self, code: u32) {
        let body = self.command.get(10..).unwrap_or(&[]);
        let size = self.size.unwrap_or(10 + body.len() as u32);
        self.response = [&[0x80, 1][..], &size.to_be_bytes(), &code.to_be_bytes(), body].concat();
        self.sent = 0;
        self.state = State::Done;
    }

    fn status(&mut self) -> u32 {
        if let State::Running(left) = self.state {
            match left {
                0 => self.finish(0),
                _ => self.state = State::Running(left - 1),
            }
        }
        let burst = self.burst << 8;
        match self.state {
            State::Idle | State::Running(_) => status::VALID,
            State::Ready => status::VALID | status::READY | burst,
            State::Receiving if self.expect() => status::VALID | status::EXPECT | burst,
            State::Receiving => status::VALID | burst,
            State::Done if self.sent < self.response.len() => status::VALID | status::DATA | burst,
            State::Done => status::VALID,
        }
    }

    fn control(&mut self, value: u32) {
        if value & status::CANCEL != 0 && matches!(self.state, State::Running(_)) {
            self.cancelled += 1;
            // TPM_RC_CANCELED
            self.finish(0x909);
        }
        if value & status::READY != 0 {
            assert!(!matches!(self.state, State::Running(_)), "aborted without being cancelled");
            self.state = if self.state == State::Idle { State::Ready } else { State::Idle };
            self.command.clear();
        }
        if value & status::GO != 0 {
            assert_eq!(self.state, State::Receiving);
            assert!(!self.expect(), "started before the command was whole");
            self.commands += 1;
            self.state = State::Running(self.duration);
        }
    }

    fn push(&mut self, octet: u8) {
        assert!(matches!(self.state, State::Ready | State::Receiving), "octets in state {:?}", self.state);
        assert!(self.state == State::Ready || self.expect(), "more octets than the command has");
        self.state = State::Receiving;
        self.command.push(octet);
    }

    fn pop(&mut self) -> u8 {
        assert_eq!(self.state, State::Done);
        self.sent += 1;
        self.response[self.sent - 1]
    }
}

impl Bus for Interface {
    fn read_u8(&mut self, offset: u32) -> u8 {
        let mut model = self.0.borrow_mut();
        match offset {
            register::ACCESS if !model.present => 0xff,
            register::ACCESS if model.active => access::VALID | access::ACTIVE,
            register::ACCESS => access::VALID,
            register::FIFO => model.pop(),
            _ => panic!("octet read at {offset:#x}"),
        }
    }

    fn write_u8(&mut self, offset: u32, value: u8) {
        let mut model = self.0.borrow_mut();
        match offset {
            register::ACCESS => model.active |= value & access::REQUEST != 0,
            register::FIFO => model.push(value),
            _ => panic!("octet write at {offset:#x}"),
        }
    }

    fn read_u32(&mut self, offset: u32) -> u32 {
        let mut model = self.0.borrow_mut();
        match offset {
            register::ID if model.present => 0x0001_1014,
            register::ID => u32::MAX,
            register::CAPABILITY => u32::from(model.wide) << 9,
            register::STATUS => model.status(),
            register::FIFO => {
                assert!(model.wide);
                u32::from_le_bytes(core::array::from_fn(|_| model.pop()))
            }
            _ => panic!("word read at {offset:#x}"),
        }
    }

    fn write_u32(&mut self, offset: u32, value: u32) {
        let mut model = self.0.borrow_mut();
        match offset {
            register::STATUS => model.control(value),
            register::FIFO => {
                assert!(model.wide);
                for octet in value.to_le_bytes() {
                    model.push(octet);
                }
            }
            _ => panic!("word write at {offset:#x}"),
        }
    }
}

/// Time passes when somebody sleeps.
#[derive(Clone, Default)]
struct Clock(Rc<Cell<u64>>);

impl Timer for Clock {
    fn now(&self) -> Instant {
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

fn tpm() -> (TpmTis<Interface, Clock>, Interface, Clock) {
    let (interface, clock) = (Interface::new(), Clock::default());
    (TpmTis::new(interface.clone(), clock.clone()), interface, clock)
}

/// A command with `body` behind its header, and the response that the model gives to it.
fn exchange(body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let size = (10 + body.len() as u32).to_be_bytes();
    let command = [&[0x80, 1][..], &size, &[0, 0, 1, 0x7b], body].concat();
    let response = [&[0x80, 1][..], &size, &[0, 0, 0, 0], body].concat();
    (command, response)
}

#[test]
fn commands_of_every_length_come_back_whole_by_words_and_by_octets() {
    for wide in [true, false] {
        let (mut tpm, interface, _) = tpm();
        interface.0.borrow_mut().wide = wide;
        for length in 0..40 {
            let body: Vec<u8> = (0..length).collect();
            let (command, response) = exchange(&body);
            let mut out = [0; 64];
            let count = run(tpm.transact(&command, &mut out)).expect("answers");
            assert_eq!(out[..count], response);
        }
        assert_eq!(interface.0.borrow().commands, 40);
        assert_eq!(interface.0.borrow().state, State::Idle);
    }
}

#[test]
fn an_empty_slot_is_absent() {
    let (mut tpm, interface, _) = tpm();
    interface.0.borrow_mut().present = false;
    interface.0.borrow_mut().active = true;
    // All ones look like an active locality; the identity does not.
    assert_eq!(tpm.id(), Err(TpmTransportError::Absent));
    let (command, _) = exchange(&[]);
    assert_eq!(run(tpm.transact(&command, &mut [0; 64])), Err(TpmTransportError::Absent));
}

#[test]
fn a_slow_command_is_slept_over_not_spun_over() {
    let (mut tpm, interface, clock) = tpm();
    interface.0.borrow_mut().duration = 200;
    let (command, response) = exchange(b"slow");
    let mut out = [0; 64];
    let count = run(tpm.transact(&command, &mut out)).expect("answers");
    assert_eq!(out[..count], response);
    assert!(clock.0.get() > 100 * PAUSE_US_MIN);
}

#[test]
fn a_command_that_never_ends_times_out_and_is_cancelled_by_the_next() {
    let (mut tpm, interface, clock) = tpm();
    interface.0.borrow_mut().duration = u32::MAX;
    let (command, response) = exchange(b"forever");
    let mut out = [0; 64];
    assert_eq!(run(tpm.transact(&command, &mut out)), Err(TpmTransportError::Timeout));
    assert!(clock.0.get() >= DURATION_MS * 1_000);
    interface.0.borrow_mut().duration = 1;
    let count = run(tpm.transact(&command, &mut out)).expect("answers");
    assert_eq!(out[..count], response);
    assert_eq!(interface.0.borrow().cancelled, 1);
}

#[test]
fn a_dropped_command_is_cancelled_before_the_next() {
    let (mut tpm, interface, _) = tpm();
    interface.0.borrow_mut().duration = 1_000_000;
    let (first, _) = exchange(b"dropped");
    let mut out = [0; 64];
    {
        let mut transact = core::pin::pin!(tpm.transact(&first, &mut out));
        for _ in 0..50 {
            assert!(transact.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }
    assert!(matches!(interface.0.borrow().state, State::Running(_)));
    interface.0.borrow_mut().duration = 1;
    let (second, response) = exchange(b"next");
    let count = run(tpm.transact(&second, &mut out)).expect("answers");
    assert_eq!(out[..count], response);
    assert_eq!(interface.0.borrow().cancelled, 1);
}

#[test]
fn a_response_that_does_not_fit_or_lies_about_its_size_is_an_error_and_the_next_command_works() {
    let (mut tpm, interface, _) = tpm();
    let (command, response) = exchange(&[7; 30]);
    assert_eq!(run(tpm.transact(&command, &mut [0; 20])), Err(TpmTransportError::ResponseTooLong));
    for size in [0, 9] {
        interface.0.borrow_mut().size = Some(size);
        assert_eq!(run(tpm.transact(&command, &mut [0; 64])), Err(TpmTransportError::Protocol));
    }
    interface.0.borrow_mut().size = Some(u32::MAX);
    assert_eq!(run(tpm.transact(&command, &mut [0; 64])), Err(TpmTransportError::ResponseTooLong));
    // Shorter than what is there: octets are left over.
    interface.0.borrow_mut().size = Some(12);
    assert_eq!(run(tpm.transact(&command, &mut [0; 64])), Err(TpmTransportError::Protocol));
    interface.0.borrow_mut().size = None;
    let mut out = [0; 64];
    let count = run(tpm.transact(&command, &mut out)).expect("answers");
    assert_eq!(out[..count], response);
}

#[test]
fn an_empty_command_is_refused() {
    let (mut tpm, _, _) = tpm();
    assert_eq!(run(tpm.transact(&[], &mut [0; 64])), Err(TpmTransportError::Protocol));
}
