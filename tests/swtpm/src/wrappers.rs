//! A probe on the bus and a hand on the bus.

use platform::{TpmTransport, TpmTransportError};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// One exchange: command and response.
pub type Exchange = (Vec<u8>, Vec<u8>);

/// Everything that went over a bus: command and response of each exchange. Cheap to clone; all clones show the same.
#[derive(Clone, Debug, Default)]
pub struct Trace(Rc<RefCell<Vec<Exchange>>>);

impl Trace {
    /// How many commands were sent.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// Forgets what was seen.
    pub fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// Whether `octets` went over the bus in either direction within one command or response.
    #[must_use]
    pub fn contains(&self, octets: &[u8]) -> bool {
        let within = |frame: &[u8]| frame.windows(octets.len().max(1)).any(|window| window == octets);
        self.0.borrow().iter().any(|(command, response)| within(command) || within(response))
    }

    /// The exchanges: command, response.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.0.borrow().clone()
    }

    /// The command codes that were sent, in order.
    #[must_use]
    pub fn command_codes(&self) -> Vec<u32> {
        let code = |command: &[u8]| Some(u32::from_be_bytes(command.get(6..10)?.try_into().ok()?));
        self.0.borrow().iter().filter_map(|(command, _)| code(command)).collect()
    }
}

/// A transport whose traffic is kept in a [`Trace`].
#[derive(Debug)]
pub struct Recording<T> {
    inner: T,
    trace: Trace,
}

impl<T> Recording<T> {
    /// Wraps `inner`.
    pub fn new(inner: T) -> (Self, Trace) {
        let trace = Trace::default();
        (Self { inner, trace: trace.clone() }, trace)
    }
}

impl<T: TpmTransport> TpmTransport for Recording<T> {
    async fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TpmTransportError> {
        let length = self.inner.transact(command, response).await?;
        let seen = response.get(..length).unwrap_or(&[]).to_vec();
        self.trace.0.borrow_mut().push((command.to_vec(), seen));
        Ok(length)
    }
}

/// What a hand on the bus does to one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Flips bits of one octet of the response: offset and mask.
    Flip(usize, u8),
    /// Flips bits of one octet of the command before the TPM sees it: offset and mask.
    FlipCommand(usize, u8),
    /// Cuts the response to this length.
    Cut(usize),
    /// Answers with this response code instead of sending the command.
    Answer(u32),
    /// Never answers: the future stays pending for ever. The command was carried out.
    Hang,
}

/// Plans faults for a [`Faulty`] transport. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Faults(Rc<Cell<Option<(u32, u32, Fault)>>>);

impl Faults {
    /// Does `fault` to the `nth` exchange (0: the next) of commands with code `code`, once.
    pub fn plan(&self, code: u32, nth: u32, fault: Fault) {
        self.0.set(Some((code, nth, fault)));
    }

    /// Whether the planned fault has not happened yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.0.get().is_some()
    }

    /// Forgets the plan.
    pub fn cancel(&self) {
        self.0.set(None);
    }

    fn due(&self, command: &[u8]) -> Option<Fault> {
        let (code, nth, fault) = self.0.get()?;
        let sent = u32::from_be_bytes(command.get(6..10)?.try_into().ok()?);
        if sent != code {
            return None;
        }
        if nth > 0 {
            self.0.set(Some((code, nth - 1, fault)));
            return None;
        }
        self.0.set(None);
        Some(fault)
    }
}

/// A transport that somebody interferes with.
#[derive(Debug)]
pub struct Faulty<T> {
    inner: T,
    faults: Faults,
}

impl<T> Faulty<T> {
    /// Wraps `inner`; without a plan nothing changes.
    pub fn new(inner: T) -> (Self, Faults) {
        let faults = Faults::default();
        (Self { inner, faults: faults.clone() }, faults)
    }
}

impl<T: TpmTransport> TpmTransport for Faulty<T> {
    async fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TpmTransportError> {
        let fault = self.faults.due(command);
        if let Some(Fault::Answer(code)) = fault {
            let answer = [&[0x80, 0x01, 0, 0, 0, 10][..], &code.to_be_bytes()].concat();
            let out = response.get_mut(..10).ok_or(TpmTransportError::ResponseTooLong)?;
            out.copy_from_slice(&answer);
            return Ok(10);
        }
        let mut command = command.to_vec();
        if let Some(Fault::FlipCommand(offset, mask)) = fault
            && let Some(octet) = command.get_mut(offset)
        {
            *octet ^= mask;
        }
        let length = self.inner.transact(&command, response).await?;
        match fault {
            Some(Fault::Flip(offset, mask)) => {
                if let Some(octet) = response.get_mut(..length).and_then(|r| r.get_mut(offset)) {
                    *octet ^= mask;
                }
                Ok(length)
            }
            Some(Fault::Cut(short)) => Ok(length.min(short)),
            Some(Fault::Hang) => core::future::pending().await,
            _ => Ok(length),
        }
    }
}
