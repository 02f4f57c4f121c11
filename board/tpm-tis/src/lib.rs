//! Driver for a TPM 2.0 behind the FIFO interface (TIS), locality 0, polled.
//!
//! After *TCG PC Client Platform TPM Profile Specification for TPM 2.0* (PTP) 1.05, chapter 6: request the locality,
//! bring the interface to *ready*, push the command as the burst count allows, start it, poll for data, fetch the
//! response, return to *idle*. Every wait has the limit of the specification and sleeps on a timer, so that no poll
//! holds the executor.
//!
//! The registers are behind [`Bus`], so that the driver is tested on a host against a model of the interface.
//!
//! Not here: interrupts, other localities, the CRB interface, and anything inside commands except the two header
//! fields that tell lengths.
#![no_std]
#![forbid(unsafe_code)]

use platform::{Instant, Timer, TpmTransport, TpmTransportError};

/// Access to the register file of locality 0. Offsets are octets.
pub trait Bus {
    /// Reads an 8-bit register or one octet of the FIFO.
    fn read_u8(&mut self, offset: u32) -> u8;
    /// Writes an 8-bit register or one octet of the FIFO.
    fn write_u8(&mut self, offset: u32, value: u8);
    /// Reads a 32-bit register or four octets of the FIFO, the first in the low byte.
    fn read_u32(&mut self, offset: u32) -> u32;
    /// Writes a 32-bit register or four octets of the FIFO, the first in the low byte.
    fn write_u32(&mut self, offset: u32, value: u32);
}

/// Register offsets (PTP table 16).
pub mod register {
    /// Access to the locality.
    pub const ACCESS: u32 = 0x00;
    /// What the interface can do.
    pub const CAPABILITY: u32 = 0x14;
    /// Status, burst count and control.
    pub const STATUS: u32 = 0x18;
    /// Command and response octets.
    pub const FIFO: u32 = 0x24;
    /// Device and vendor.
    pub const ID: u32 = 0xf00;
}

/// Bits of the access register (PTP table 18).
pub mod access {
    /// The other bits can be believed.
    pub const VALID: u8 = 1 << 7;
    /// This locality is in use.
    pub const ACTIVE: u8 = 1 << 5;
    /// Asks for the locality.
    pub const REQUEST: u8 = 1 << 1;
}

/// Bits of the status register (PTP table 20).
pub mod status {
    /// `EXPECT` and `DATA` can be believed.
    pub const VALID: u32 = 1 << 7;
    /// Read: ready for a command. Written: become ready, give up whatever was going on.
    pub const READY: u32 = 1 << 6;
    /// Starts the command.
    pub const GO: u32 = 1 << 5;
    /// There is response data.
    pub const DATA: u32 = 1 << 4;
    /// More octets of the command are expected.
    pub const EXPECT: u32 = 1 << 3;
    /// Cancels the command that is running.
    pub const CANCEL: u32 = 1 << 24;
    /// Octets that may be moved without looking again.
    pub const fn burst(status: u32) -> usize {
        (status >> 8 & 0xffff) as usize
    }
}

/// PTP table 15, TIMEOUT_A: locality.
const TIMEOUT_A_MS: u64 = 750;
/// TIMEOUT_B: commandReady, and the end of a cancelled command.
const TIMEOUT_B_MS: u64 = 2_000;
/// TIMEOUT_C: status valid, burst count.
const TIMEOUT_C_MS: u64 = 200;
/// Ordinary commands. The specification's longest is 2 s; TPMs under load exceed it.
const DURATION_MS: u64 = 20_000;
/// Commands that make a key: an RSA prime search has no bound, real parts stay below a minute.
const DURATION_KEY_MS: u64 = 300_000;

/// Polls without sleeping.
const EAGER_POLLS: u32 = 4;
/// First and longest pause between polls; in between it is an eighth of the time waited.
const PAUSE_US_MIN: u64 = 50;
const PAUSE_US_MAX: u64 = 5_000;

/// Octets of the header of commands and responses: tag, size, code.
const HEADER_BYTES: usize = 10;

/// One TPM.
#[derive(Debug)]
pub struct TpmTis<B, T> {
    bus: B,
    timer: T,
    /// The FIFO takes four octets at a time.
    wide: bool,
    /// A command was started or is half sent, and its response has not been fetched.
    in_flight: bool,
}

impl<B: Bus, T: Timer> TpmTis<B, T> {
    /// A driver for the interface on `bus`. Nothing is accessed yet.
    pub const fn new(bus: B, timer: T) -> Self {
        Self { bus, timer, wide: false, in_flight: false }
    }

    /// Device in the upper, vendor in the lower half.
    ///
    /// # Errors
    /// [`TpmTransportError::Absent`] if there is no TPM.
    pub fn id(&mut self) -> Result<u32, TpmTransportError> {
        match self.bus.read_u32(register::ID) {
            0 | u32::MAX => Err(TpmTransportError::Absent),
            id => Ok(id),
        }
    }

    /// Polls `probe` until it returns something.
    async fn wait<R>(
        &mut self,
        limit_ms: u64,
        mut probe: impl FnMut(&mut B) -> Option<R>,
    ) -> Result<R, TpmTransportError> {
        let start = self.timer.now();
        let mut polls = 0;
        loop {
            if let Some(result) = probe(&mut self.bus) {
                return Ok(result);
            }
            let now = self.timer.now();
            let waited = now.micros_since(start);
            if waited > limit_ms * 1_000 {
                return Err(TpmTransportError::Timeout);
            }
            polls += 1;
            if polls > EAGER_POLLS {
                let pause = (waited / 8).clamp(PAUSE_US_MIN, PAUSE_US_MAX);
                self.timer.sleep_until(Instant(now.0.saturating_add(pause))).await;
            }
        }
    }

    async fn take_locality(&mut self) -> Result<(), TpmTransportError> {
        const OURS: u8 = access::VALID | access::ACTIVE;
        // An empty slot reads as all ones, which looks like an active locality.
        self.id()?;
        if self.bus.read_u8(register::ACCESS) & OURS == OURS {
            return Ok(());
        }
        // Interface capability, data transfer size (PTP table 19): 00 means single octets only.
        self.wide = self.bus.read_u32(register::CAPABILITY) >> 9 & 0b11 != 0;
        self.bus.write_u8(register::ACCESS, access::REQUEST);
        self.wait(TIMEOUT_A_MS, |bus| (bus.read_u8(register::ACCESS) & OURS == OURS).then_some(())).await
    }

    /// Ends a command whose future was dropped.
    async fn cancel(&mut self) -> Result<(), TpmTransportError> {
        self.bus.write_u32(register::STATUS, status::CANCEL);
        // Whether it was cancelled or just finished: there is a response, or nothing was running.
        let ended = self
            .wait(TIMEOUT_B_MS, |bus| {
                let value = bus.read_u32(register::STATUS);
                (value & status::READY != 0
                    || value & (status::VALID | status::DATA) == status::VALID | status::DATA)
                    .then_some(())
            })
            .await;
        // A TPM that does not react gets the stronger word below: becoming ready aborts.
        match ended {
            Ok(()) | Err(TpmTransportError::Timeout) => {}
            Err(error) => return Err(error),
        }
        self.in_flight = false;
        Ok(())
    }

    async fn become_ready(&mut self) -> Result<(), TpmTransportError> {
        if self.bus.read_u32(register::STATUS) & status::READY != 0 {
            return Ok(());
        }
        self.bus.write_u32(register::STATUS, status::READY);
        self.wait(TIMEOUT_B_MS, |bus| (bus.read_u32(register::STATUS) & status::READY != 0).then_some(()))
            .await
    }

    /// Waits until at least one octet may be moved; returns how many.
    async fn burst(&mut self) -> Result<usize, TpmTransportError> {
        self.wait(TIMEOUT_C_MS, |bus| match status::burst(bus.read_u32(register::STATUS)) {
            0 => None,
            count => Some(count),
        })
        .await
    }

    /// Waits for a valid status.
    async fn valid_status(&mut self) -> Result<u32, TpmTransportError> {
        self.wait(TIMEOUT_C_MS, |bus| {
            let value = bus.read_u32(register::STATUS);
            (value & status::VALID != 0).then_some(value)
        })
        .await
    }

    async fn push(&mut self, data: &[u8]) -> Result<(), TpmTransportError> {
        let mut rest = data;
        while !rest.is_empty() {
            let (part, tail) = rest.split_at(self.burst().await?.min(rest.len()));
            let (words, octets) = if self.wide { part.as_chunks::<4>() } else { (&[][..], part) };
            for word in words {
                self.bus.write_u32(register::FIFO, u32::from_le_bytes(*word));
            }
            for octet in octets {
                self.bus.write_u8(register::FIFO, *octet);
            }
            rest = tail;
        }
        Ok(())
    }

    async fn fetch(&mut self, out: &mut [u8]) -> Result<(), TpmTransportError> {
        let mut rest = out;
        while !rest.is_empty() {
            let count = self.burst().await?.min(rest.len());
            let (part, tail) = rest.split_at_mut(count);
            let wide = self.wide;
            let whole = if wide { count / 4 * 4 } else { 0 };
            let (words, octets) = part.split_at_mut(whole);
            for word in words.as_chunks_mut::<4>().0 {
                *word = self.bus.read_u32(register::FIFO).to_le_bytes();
            }
            for octet in octets {
                *octet = self.bus.read_u8(register::FIFO);
            }
            rest = tail;
        }
        Ok(())
    }

    async fn exchange(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TpmTransportError> {
        let (last, body) = command.split_last().ok_or(TpmTransportError::Protocol)?;
        self.push(body).await?;
        // The last octet goes alone, so that the end can be checked on both sides of it (PTP §6.5.2.6).
        if self.valid_status().await? & status::EXPECT == 0 {
            return Err(TpmTransportError::Protocol);
        }
        self.push(core::slice::from_ref(last)).await?;
        if self.valid_status().await? & status::EXPECT != 0 {
            return Err(TpmTransportError::Protocol);
        }
        self.bus.write_u32(register::STATUS, status::GO);

        const DONE: u32 = status::VALID | status::DATA;
        self.wait(duration_ms(command), |bus| (bus.read_u32(register::STATUS) & DONE == DONE).then_some(()))
            .await?;
        let (header, _) =
            response.split_at_mut_checked(HEADER_BYTES).ok_or(TpmTransportError::ResponseTooLong)?;
        self.fetch(header).await?;
        let length = match header {
            [_, _, a, b, c, d, ..] => u32::from_be_bytes([*a, *b, *c, *d]) as usize,
            _ => return Err(TpmTransportError::Protocol),
        };
        if length < HEADER_BYTES {
            return Err(TpmTransportError::Protocol);
        }
        let rest = response.get_mut(HEADER_BYTES..length).ok_or(TpmTransportError::ResponseTooLong)?;
        self.fetch(rest).await?;
        if self.valid_status().await? & status::DATA != 0 {
            return Err(TpmTransportError::Protocol);
        }
        Ok(length)
    }
}

/// How long a command may take, by its code.
fn duration_ms(command: &[u8]) -> u64 {
    match command {
        // Create, CreatePrimary, CreateLoaded
        [_, _, _, _, _, _, 0, 0, 0x01, 0x53 | 0x31 | 0x91, ..] => DURATION_KEY_MS,
        _ => DURATION_MS,
    }
}

impl<B: Bus, T: Timer> TpmTransport for TpmTis<B, T> {
    async fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize, TpmTransportError> {
        self.take_locality().await?;
        if self.in_flight {
            self.cancel().await?;
            self.bus.write_u32(register::STATUS, status::READY);
        }
        self.become_ready().await?;
        // From here on a dropped future leaves the mark, and the next call cancels.
        self.in_flight = true;
        let result = self.exchange(command, response).await;
        // Back to idle, whatever happened; after a failure this also aborts. A command that is still running is
        // cancelled by the next call.
        if result != Err(TpmTransportError::Timeout) {
            self.bus.write_u32(register::STATUS, status::READY);
            self.in_flight = false;
        }
        result
    }
}

#[cfg(test)]
mod tests;
