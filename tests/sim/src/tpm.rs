//! The TPM of the simulated machine: a real swtpm, or none.

use platform::{TpmTransport, TpmTransportError};

/// Where a TPM can be reached; shared by all starts of a machine.
pub type TpmSocket =
    std::rc::Rc<std::cell::RefCell<Box<dyn FnMut(&[u8], &mut [u8]) -> Result<usize, TpmTransportError>>>>;

/// The transport of one start.
pub struct SimTpm {
    socket: Option<TpmSocket>,
}

impl SimTpm {
    /// A transport to `socket`; without one every command is answered with `Absent`.
    #[must_use]
    pub fn new(socket: Option<TpmSocket>) -> Self {
        Self { socket }
    }
}

impl TpmTransport for SimTpm {
    async fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TpmTransportError> {
        match &self.socket {
            None => Err(TpmTransportError::Absent),
            Some(socket) => (socket.borrow_mut())(command, response),
        }
    }
}
