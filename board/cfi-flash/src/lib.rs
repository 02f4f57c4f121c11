//! Driver for a bank of two interleaved 16-bit NOR flash chips that speak the Common Flash Interface with the Intel
//! command set (JEDEC JEP137, command set 0x0001).
//!
//! The bank is 32 bits wide: one chip on the lower, one on the upper half of the bus. Every command and every
//! status bit exists twice. Reads of the array are ordinary loads; programming goes through the chips' write
//! buffers; both are checked here by the rules of [`platform`]: a program operation that would turn a 0 bit into
//! a 1 is refused before anything is sent, and an operation is `Ok` only after the array has been read back.
//!
//! Between operations the bank is in array mode. A future that is dropped half-way leaves a mark, and the next
//! operation first waits until the chips are ready and puts them back into array mode.
//!
//! The hardware is behind [`Bus`], so that the driver is tested on a host against a model of the chips.
//!
//! Not here: erase suspend, one-time-programmable registers, block locking other than releasing a lock that is in
//! the way.
#![no_std]
#![forbid(unsafe_code)]

use platform::nor_flash::{
    ErrorType, MultiwriteNorFlash, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use platform::{Instant, Timer};

/// Access to the bank. Offsets are octets from its start and multiples of four.
pub trait Bus {
    /// Octets of address space of the bank.
    fn bytes(&self) -> usize;
    /// Reads one bus word.
    fn read(&self, offset: u32) -> u32;
    /// Writes one bus word: a command, a count, an address-bearing confirmation or data for a write buffer.
    fn write(&mut self, offset: u32, word: u32);
    /// Writes bus words one after the other, lowest address first: data for a write buffer. The length of `data` is
    /// a multiple of four.
    fn write_all(&mut self, offset: u32, data: &[u8]) {
        let mut at = offset;
        for word in data.as_chunks::<4>().0 {
            self.write(at, u32::from_le_bytes(*word));
            at += WORD;
        }
    }
    /// Copies array content to `out`, whose length is a multiple of four. Called in array mode only.
    fn copy(&self, offset: u32, out: &mut [u8]);
}

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Offset or length is not a multiple of the unit.
    NotAligned,
    /// The range is not in the bank.
    OutOfBounds,
    /// The data has a 1 bit where the array holds a 0: the caller's bookkeeping is wrong. Nothing was written.
    NeedsErase,
    /// A chip reported that programming or erasing failed, or what was read back differs: the block is worn out
    /// or damaged.
    Failed,
    /// The block is locked and could not be unlocked.
    Locked,
    /// The supply voltage for programming is too low.
    Voltage,
    /// A chip did not become ready in the time that it promises.
    Timeout,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotAligned => "offset or length not aligned",
            Self::OutOfBounds => "range outside the flash bank",
            Self::NeedsErase => "data needs bits that only an erase can set",
            Self::Failed => "flash block failed",
            Self::Locked => "flash block locked",
            Self::Voltage => "programming voltage too low",
            Self::Timeout => "flash chip not ready in time",
        })
    }
}

impl core::error::Error for Error {}

impl NorFlashError for Error {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            _ => NorFlashErrorKind::Other,
        }
    }
}

/// Why a bank cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeError {
    /// The chips do not answer a CFI query.
    NoAnswer,
    /// The chips speak another command set or have a geometry that this driver does not understand.
    Unsupported,
    /// The erase blocks are not of the size that the program was built for.
    WrongBlockSize,
}

/// What the chips say about themselves, in octets of the whole bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Size of the bank.
    pub bytes: u32,
    /// Size of an erase block.
    pub block_bytes: u32,
    /// Size of the write buffer; a buffered program stays inside one aligned unit of this size.
    pub buffer_bytes: u32,
    /// Longest time that programming a buffer takes.
    pub program_us_max: u64,
    /// Longest time that erasing a block takes.
    pub erase_us_max: u64,
}

/// A command or status value on both chips.
const fn both(value: u16) -> u32 {
    (value as u32) << 16 | value as u32
}

const READ_ARRAY: u32 = both(0xff);
const CLEAR_STATUS: u32 = both(0x50);
const READ_STATUS: u32 = both(0x70);
const QUERY: u32 = both(0x98);
const BUFFERED_PROGRAM: u32 = both(0xe8);
const ERASE: u32 = both(0x20);
const LOCK_SETUP: u32 = both(0x60);
const CONFIRM: u32 = both(0xd0);

const READY: u32 = both(1 << 7);
const ERASE_FAILED: u32 = both(1 << 5);
const PROGRAM_FAILED: u32 = both(1 << 4);
const VOLTAGE_LOW: u32 = both(1 << 3);
const BLOCK_LOCKED: u32 = both(1 << 1);

const WORD: u32 = 4;
const QUERY_ADDRESS: u32 = 0x55 * WORD;

/// Status polls without a pause before the driver starts to sleep between them.
const EAGER_POLLS: u32 = 16;
/// Pause between status polls while a buffer is programmed.
const PROGRAM_POLL_US: u64 = 50;
/// Pause between status polls while a block is erased.
const ERASE_POLL_US: u64 = 1_000;
/// Time limits are never shorter than this, whatever the chips say: a host under load may stop the emulator.
const LIMIT_US_MIN: u64 = 1_000_000;
/// Octets compared at a time on the stack.
const COMPARE_BYTES: usize = 256;

/// One bank; `BLOCK` is the size of its erase blocks in octets.
#[derive(Debug)]
pub struct CfiFlash<B, T, const BLOCK: usize> {
    bus: B,
    timer: T,
    geometry: Geometry,
    /// A command was sent and the bank has not been put back into array mode since.
    unsettled: bool,
}

impl<B: Bus, T: Timer, const BLOCK: usize> CfiFlash<B, T, BLOCK> {
    /// Asks the chips what they are. Leaves them in array mode.
    ///
    /// # Errors
    /// See [`ProbeError`].
    pub fn probe(mut bus: B, timer: T) -> Result<Self, ProbeError> {
        bus.write(0, READ_ARRAY);
        bus.write(QUERY_ADDRESS, QUERY);
        let geometry = query(&bus);
        bus.write(0, READ_ARRAY);
        let geometry = geometry?;
        if geometry.block_bytes as usize != BLOCK {
            return Err(ProbeError::WrongBlockSize);
        }
        bus.write(0, CLEAR_STATUS);
        bus.write(0, READ_ARRAY);
        Ok(Self { bus, timer, geometry, unsettled: false })
    }

    /// What the chips say about themselves.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    fn check(&self, offset: u32, length: usize, unit: u32) -> Result<(), Error> {
        if !offset.is_multiple_of(unit) || !length.is_multiple_of(unit as usize) {
            return Err(Error::NotAligned);
        }
        let end = usize::try_from(offset).ok().and_then(|offset| offset.checked_add(length));
        match end {
            Some(end) if end <= self.geometry.bytes as usize => Ok(()),
            _ => Err(Error::OutOfBounds),
        }
    }

    /// Waits until both chips are ready and returns their status, which is cleared. The bank is in array mode
    /// afterwards, unless the time is up.
    async fn finish(&mut self, offset: u32, pause_us: u64, limit_us: u64) -> Result<(), Error> {
        let start = self.timer.now();
        let mut polls = 0;
        let status = loop {
            let status = self.bus.read(offset);
            if status & READY == READY {
                break status;
            }
            let now = self.timer.now();
            if now.micros_since(start) > limit_us {
                return Err(Error::Timeout);
            }
            polls += 1;
            if polls > EAGER_POLLS {
                self.timer.sleep_until(Instant(now.0.saturating_add(pause_us))).await;
            }
        };
        self.bus.write(offset, CLEAR_STATUS);
        self.bus.write(offset, READ_ARRAY);
        self.unsettled = false;
        if status & BLOCK_LOCKED != 0 {
            Err(Error::Locked)
        } else if status & VOLTAGE_LOW != 0 {
            Err(Error::Voltage)
        } else if status & (ERASE_FAILED | PROGRAM_FAILED) != 0 {
            Err(Error::Failed)
        } else {
            Ok(())
        }
    }

    /// Puts the bank into array mode after an operation whose future was dropped.
    async fn settle(&mut self) -> Result<(), Error> {
        if !self.unsettled {
            return Ok(());
        }
        self.bus.write(0, READ_STATUS);
        let limit = self.geometry.erase_us_max;
        // What became of the abandoned operation is its caller's loss; only readiness counts here.
        match self.finish(0, ERASE_POLL_US, limit).await {
            Err(Error::Timeout) => Err(Error::Timeout),
            _ => Ok(()),
        }
    }

    async fn unlock(&mut self, offset: u32) -> Result<(), Error> {
        self.unsettled = true;
        self.bus.write(offset, LOCK_SETUP);
        self.bus.write(offset, CONFIRM);
        self.bus.write(offset, READ_STATUS);
        self.finish(offset, PROGRAM_POLL_US, self.geometry.program_us_max).await
    }

    /// Sends one write buffer: `data` lies inside one aligned buffer unit.
    ///
    /// Everything goes to addresses inside that unit, also the command, the count and the confirmation.
    async fn program(&mut self, offset: u32, data: &[u8]) -> Result<(), Error> {
        self.unsettled = true;
        self.bus.write(offset, BUFFERED_PROGRAM);
        let start = self.timer.now();
        while self.bus.read(offset) & READY != READY {
            if self.timer.now().micros_since(start) > LIMIT_US_MIN {
                return Err(Error::Timeout);
            }
        }
        // Words per chip, less one; the buffer has at most 65,536 of them.
        let words = data.len() / WORD as usize;
        let count =
            words.checked_sub(1).and_then(|count| u16::try_from(count).ok()).ok_or(Error::OutOfBounds)?;
        self.bus.write(offset, both(count));
        self.bus.write_all(offset, data);
        self.bus.write(offset, CONFIRM);
        self.finish(offset, PROGRAM_POLL_US, self.geometry.program_us_max).await
    }

    async fn erase_block(&mut self, offset: u32) -> Result<(), Error> {
        self.unsettled = true;
        self.bus.write(offset, ERASE);
        self.bus.write(offset, CONFIRM);
        self.finish(offset, ERASE_POLL_US, self.geometry.erase_us_max).await
    }

    /// Whether `data` can be programmed over what the array holds.
    fn only_clears_bits(&self, offset: u32, data: &[u8]) -> bool {
        self.all_match(offset, data, |old, new| old & new == new)
    }

    fn reads_back(&self, offset: u32, data: &[u8]) -> bool {
        self.all_match(offset, data, |old, new| old == new)
    }

    fn all_match(&self, offset: u32, data: &[u8], fits: impl Fn(u32, u32) -> bool) -> bool {
        let mut buffer = [0; COMPARE_BYTES];
        let mut at = offset;
        for part in data.chunks(COMPARE_BYTES) {
            let held = &mut buffer[..part.len()];
            self.bus.copy(at, held);
            let pairs = held.as_chunks::<4>().0.iter().zip(part.as_chunks::<4>().0);
            let mut good = true;
            for (old, new) in pairs {
                good &= fits(u32::from_le_bytes(*old), u32::from_le_bytes(*new));
            }
            if !good {
                return false;
            }
            at += COMPARE_BYTES as u32;
        }
        true
    }
}

/// Reads the CFI table (JEP137 §2). Both chips must say the same.
fn query<B: Bus>(bus: &B) -> Result<Geometry, ProbeError> {
    let octet = |index: u32| -> Option<u8> {
        let word = bus.read(index * WORD);
        let (low, high) = (word & 0xffff, word >> 16);
        (low == high).then_some(low as u8)
    };
    let signature = [octet(0x10), octet(0x11), octet(0x12)];
    if signature != [Some(b'Q'), Some(b'R'), Some(b'Y')] {
        return Err(ProbeError::NoAnswer);
    }
    let byte = |index| octet(index).ok_or(ProbeError::Unsupported);
    let half = |index| Ok(u32::from(byte(index)?) | u32::from(byte(index + 1)?) << 8);
    // Command set 1 (Intel extended) or 3 (Intel standard), and one erase region.
    if !matches!(half(0x13)?, 1 | 3) || byte(0x2c)? != 1 {
        return Err(ProbeError::Unsupported);
    }
    let power = |exponent: u8| 1u32.checked_shl(u32::from(exponent)).ok_or(ProbeError::Unsupported);
    let double = |value: u32| value.checked_mul(2).ok_or(ProbeError::Unsupported);
    let bytes = double(power(byte(0x27)?)?)?;
    let buffer_exponent = half(0x2a)?;
    let buffer_bytes = double(power(u8::try_from(buffer_exponent).map_err(|_| ProbeError::Unsupported)?)?)?;
    let blocks = half(0x2d)? + 1;
    let block_bytes = double(half(0x2f)?.checked_mul(256).ok_or(ProbeError::Unsupported)?)?;
    if block_bytes.checked_mul(blocks) != Some(bytes)
        || bytes as usize > bus.bytes()
        || !block_bytes.is_multiple_of(buffer_bytes)
        || !(8..=256 * 1024).contains(&buffer_bytes)
    {
        return Err(ProbeError::Unsupported);
    }
    // Typical time as a power of two, and the factor to the longest time as another.
    let limit = |typical: u32, factor: u32, unit_us: u64| -> Result<u64, ProbeError> {
        let exponent = u32::from(byte(typical)?) + u32::from(byte(factor)?);
        let units = 1u64.checked_shl(exponent.min(40)).unwrap_or(u64::MAX);
        Ok(units.saturating_mul(unit_us).max(LIMIT_US_MIN))
    };
    Ok(Geometry {
        bytes,
        block_bytes,
        buffer_bytes,
        program_us_max: limit(0x20, 0x24, 1)?,
        erase_us_max: limit(0x21, 0x25, 1_000)?,
    })
}

impl<B, T, const BLOCK: usize> ErrorType for CfiFlash<B, T, BLOCK> {
    type Error = Error;
}

impl<B: Bus, T: Timer, const BLOCK: usize> ReadNorFlash for CfiFlash<B, T, BLOCK> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Error> {
        self.check(offset, bytes.len(), 1)?;
        self.settle().await?;
        let mut at = offset;
        let mut rest = bytes;
        // Bus words only: an unaligned head and tail are cut out of whole words.
        let skip = (at % WORD) as usize;
        if skip != 0 {
            let word = self.bus.read(at - skip as u32).to_le_bytes();
            let count = rest.len().min(word.len() - skip);
            let (head, tail) = rest.split_at_mut(count);
            head.copy_from_slice(&word[skip..skip + count]);
            rest = tail;
            at += count as u32;
        }
        let (middle, tail) = rest.split_at_mut(rest.len() / 4 * 4);
        if !middle.is_empty() {
            self.bus.copy(at, middle);
        }
        if !tail.is_empty() {
            let word = self.bus.read(at + middle.len() as u32).to_le_bytes();
            tail.copy_from_slice(&word[..tail.len()]);
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.geometry.bytes as usize
    }
}

impl<B: Bus, T: Timer, const BLOCK: usize> NorFlash for CfiFlash<B, T, BLOCK> {
    const WRITE_SIZE: usize = WORD as usize;
    const ERASE_SIZE: usize = BLOCK;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Error> {
        let length = to.checked_sub(from).ok_or(Error::OutOfBounds)?;
        self.check(from, length as usize, BLOCK as u32)?;
        self.settle().await?;
        let mut offset = from;
        while offset < to {
            let mut result = self.erase_block(offset).await;
            if result == Err(Error::Locked) {
                self.unlock(offset).await?;
                result = self.erase_block(offset).await;
            }
            result?;
            let mut at = offset;
            while at < offset + BLOCK as u32 {
                if !self.reads_back(at, &[0xff; COMPARE_BYTES]) {
                    return Err(Error::Failed);
                }
                at += COMPARE_BYTES as u32;
            }
            offset += BLOCK as u32;
            embassy_futures::yield_now().await;
        }
        Ok(())
    }

    /// Programs buffer by buffer and lets other tasks run in between. If it fails or the future is dropped, what
    /// was programmed before stays.
    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        self.check(offset, bytes.len(), WORD)?;
        self.settle().await?;
        let buffer = self.geometry.buffer_bytes;
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = (buffer - at % buffer) as usize;
            let (part, tail) = rest.split_at(room.min(rest.len()));
            if !self.only_clears_bits(at, part) {
                return Err(Error::NeedsErase);
            }
            let mut result = self.program(at, part).await;
            if result == Err(Error::Locked) {
                self.unlock(at).await?;
                result = self.program(at, part).await;
            }
            result?;
            if !self.reads_back(at, part) {
                return Err(Error::Failed);
            }
            at += part.len() as u32;
            rest = tail;
            if !rest.is_empty() {
                embassy_futures::yield_now().await;
            }
        }
        Ok(())
    }
}

/// Single bits of a word may be cleared later: the chips program bit by bit.
impl<B: Bus, T: Timer, const BLOCK: usize> MultiwriteNorFlash for CfiFlash<B, T, BLOCK> {}

#[cfg(test)]
mod tests;
