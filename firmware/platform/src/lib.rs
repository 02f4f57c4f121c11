//! What the product needs from a machine, as traits.
//!
//! Everything above this crate runs unchanged on the appliance and on a host: `board/*` implements these traits
//! on hardware, `tests/sim` implements them with simulated flash, a fake network and virtual time. Nothing here
//! knows mail, and nothing here is `unsafe`.
//!
//! Flash is [`embedded_storage_async::nor_flash::NorFlash`]: `READ_SIZE`, `WRITE_SIZE` and `ERASE_SIZE` in
//! octets, addresses from 0 to `capacity()`. Two rules are added to that trait, and every driver keeps them:
//! a program operation may only turn 1 bits into 0 bits (the driver refuses anything else), and it returns
//! `Ok` only after the data has been read back and compared.
#![no_std]
#![forbid(unsafe_code)]
// The executor is single-threaded on the appliance and in the simulator: futures need not be `Send`.
#![allow(async_fn_in_trait)]

mod mutex;
mod network;

pub use mutex::{Busy, Mutex, MutexGuard};
pub use network::{
    BindError, ConnectError, Connector, DatagramSocket, Datagrams, Origin, Source, Stream, StreamError,
};

pub use embedded_io_async;
pub use embedded_storage_async::nor_flash;

/// A moment of monotonic time, in microseconds since the appliance was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The moment `ms` milliseconds later; stops at the end of time instead of wrapping.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000)))
    }

    /// The moment `s` seconds later; stops at the end of time instead of wrapping.
    #[must_use]
    pub const fn plus_s(self, s: u64) -> Self {
        self.plus_ms(s.saturating_mul(1_000))
    }

    /// Microseconds from `earlier` to `self`, 0 if `earlier` is later.
    #[must_use]
    pub const fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Monotonic time and waiting. Cheap to copy; every task has its own.
pub trait Timer: Clone {
    /// The present moment. Never goes back.
    fn now(&self) -> Instant;
    /// Returns at `at` or as soon afterwards as the executor gets to it. Dropping the future cancels the wait.
    async fn sleep_until(&self, at: Instant);
}

/// Civil time. It may be unknown, and then nothing that needs it is decided.
pub trait WallClock: Clone {
    /// Seconds since 1970-01-01T00:00:00Z, or `None` while the clock is not trusted.
    fn unix_seconds(&self) -> Option<u64>;
    /// Sets the clock and makes it trusted.
    fn set_unix_seconds(&self, seconds: u64);
}

/// Random bytes fit for keys and nonces. Implementations never fail: they are seeded before the product starts
/// and stop the machine otherwise.
pub trait Entropy: Clone {
    /// Fills `out` with random octets.
    fn fill(&self, out: &mut [u8]);
    /// Mixes octets of another source in. The generator is never worse afterwards, whatever they are.
    fn reseed(&self, seed: &[u8; 32]);
}

/// Why a TPM did not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TpmTransportError {
    /// There is no TPM at the address.
    Absent,
    /// The TPM did not answer within the time the specification allows.
    Timeout,
    /// The answer does not fit the buffer that was given.
    ResponseTooLong,
    /// The interface reported a state that the specification does not allow here.
    Protocol,
}

/// One TPM 2.0 behind some bus: whole commands in, whole responses out.
pub trait TpmTransport {
    /// Sends `command` and returns the length of the response placed in `response`.
    ///
    /// If the future is dropped half-way the implementation cancels the command before it sends the next one.
    ///
    /// # Errors
    /// See [`TpmTransportError`]. A TPM response code other than success is not an error at this level.
    async fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TpmTransportError>;
}

/// How the machine is brought down.
pub trait Power {
    /// Restarts from reset.
    fn reboot(&self) -> !;
    /// Switches off where the machine can, else restarts.
    fn power_off(&self) -> !;
}
