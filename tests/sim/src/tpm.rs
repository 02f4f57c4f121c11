//! The TPM of the simulated machine: a real swtpm, or none.
//!
//! A command takes no virtual time; how long a TPM takes is measured on the emulated machine.

use platform::{TpmTransport, TpmTransportError};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use swtpm::{Socket, Swtpm};

/// A TPM that survives the machine's starts.
#[derive(Clone)]
pub struct TpmChip {
    process: Rc<RefCell<Swtpm>>,
    answering: Rc<Cell<bool>>,
}

impl TpmChip {
    /// A TPM fresh from the factory.
    ///
    /// # Panics
    /// When swtpm is not installed.
    #[must_use]
    pub fn new() -> Self {
        let process = Swtpm::start().expect("swtpm starts");
        Self { process: Rc::new(RefCell::new(process)), answering: Rc::new(Cell::new(true)) }
    }

    /// Whether it answers from now on, or is as if it were not there.
    pub fn set_answering(&self, answering: bool) {
        self.answering.set(answering);
    }

    /// Takes its power away and gives it back, as a restart of the machine does.
    ///
    /// # Panics
    /// When swtpm does not start again.
    pub fn power_cycle(&self) {
        self.process.borrow_mut().power_cycle().expect("swtpm starts again");
    }
}

impl Default for TpmChip {
    fn default() -> Self {
        Self::new()
    }
}

/// The transport of one start of the machine.
pub struct SimTpm {
    chip: Option<TpmChip>,
    socket: Option<Socket>,
}

impl SimTpm {
    /// A transport to `chip`; without one every command is answered with `Absent`.
    #[must_use]
    pub fn new(chip: Option<TpmChip>) -> Self {
        Self { chip, socket: None }
    }
}

impl TpmTransport for SimTpm {
    async fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TpmTransportError> {
        let Some(chip) = self.chip.as_ref().filter(|chip| chip.answering.get()) else {
            return Err(TpmTransportError::Absent);
        };
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                let socket = chip.process.borrow().connect().map_err(|_| TpmTransportError::Absent)?;
                none.insert(socket)
            }
        };
        socket.transact(command, response).await
    }
}
