//! The engine: mount, scan, append, copy, kill. The table of blocks is in `blocks`, erasing and opening
//! in `erase`.

use alloc::vec::Vec;

use embassy_futures::yield_now;
use embedded_storage_async::nor_flash::NorFlash;
use limits::flash::{BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, BLOCKS_COUNT_MAX, COPY_BYTES};

use crate::format::{self, GUARD_UNITS, HEADER_UNITS, Kill, Slot, UNIT, Unit, units};

/// Why an operation of the log failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogError {
    /// The device cannot be used by this format: block size, number of blocks or granularity.
    Geometry,
    /// The device failed to read.
    Read,
    /// The device failed to program, or read back something else. The head has been closed and will be retired;
    /// open another block and write the record again.
    Program,
    /// The record does not fit the head: open another block.
    HeadFull,
    /// No block can be erased: clean first.
    NoFreeBlock,
}

/// Where a record is: block and directory unit. Valid until the block is erased. The default names no record.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(u32);

impl Location {
    pub(crate) const fn new(block: u16, unit: u32) -> Self {
        Self((block as u32) << 16 | unit)
    }

    /// Number of the block.
    #[must_use]
    pub const fn block(self) -> u16 {
        (self.0 >> 16) as u16
    }

    pub(crate) const fn unit(self) -> u32 {
        self.0 & 0xffff
    }
}

/// What the owner of a log says about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Meaning of the record, chosen by the owner of the log.
    pub kind: u8,
    /// Whether the record carries a unit that can be programmed later to end its life: [`Log::kill`].
    pub anchor: bool,
    /// First part of the key.
    pub owner: u64,
    /// Second part of the key.
    pub part: u32,
    /// Grows with every new value of the same key: the greatest wins.
    pub version: u32,
}

/// A record as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where its slot is.
    pub at: Location,
    /// What the owner said.
    pub record: Record,
    /// Octets of payload.
    pub len: u32,
    /// Whether an anchor has ended.
    pub killed: bool,
    /// Whether something is wrong with the slot or the kill unit, though not enough to matter yet: the block should be
    /// moved and erased. An anchor whose kill unit is no longer blank cannot be killed by [`Log::kill`].
    pub worn: bool,
    /// First unit of the payload in the block.
    pub start: u16,
    pub(crate) payload_crc: u32,
}

impl Entry {
    /// Units of flash that the record takes, directory included.
    #[must_use]
    pub const fn footprint_units(&self) -> u32 {
        footprint_units(self.len, self.record.anchor)
    }
}

/// Units of flash that a record with `len` octets of payload takes, directory included.
#[must_use]
pub const fn footprint_units(len: u32, anchor: bool) -> u32 {
    units(len) + slot_units(anchor)
}

const fn slot_units(anchor: bool) -> u32 {
    if anchor { 2 } else { 1 }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum State {
    /// Must be erased before use: no valid header, or only that of an erase before the mount.
    #[default]
    Dirty,
    /// Erased, its header not programmed yet; units from the start that were seen to be blank.
    Erased { checked: u32 },
    /// Erased and seen to be blank since the mount, header of the erase programmed.
    Blank,
    /// Holds records.
    Open { sequence: u32 },
    /// Held only dead records when its erase was begun: its content does not exist any more.
    Doomed { sequence: u32 },
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Block {
    pub state: State,
    pub erases: u32,
    pub retired: bool,
    /// A program failed: retire it after its next erase.
    pub suspect: bool,
    /// Something in it was not read as it was written.
    pub worried: bool,
    /// Its list of bad blocks was programmed.
    pub listed_bad: bool,
    pub intents_used: u32,
    /// Units that hold slots or payload (for accounting; exact for blocks that were head since the mount).
    pub used_units: u32,
}

/// Which of the two heads appends and copies go to. What comes in together goes together, and what has stayed for long
/// stays: kept apart, blocks die as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Stream {
    /// What is new.
    #[default]
    New,
    /// What cleaning keeps.
    Kept,
}

/// The head of the stream that is not selected.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parked {
    pub block: u16,
    pub next_unit: u32,
    pub low_unit: u32,
    pub unfinished: bool,
}

/// What happened to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogNotice {
    /// A program in it failed; move what lives in it, then it will be retired.
    Failing(u16),
    /// It is out of use for ever.
    Retired(u16),
}

/// What the mount of a log found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LogReport {
    /// Blocks with valid headers.
    pub blocks_in_use: u32,
    /// Blocks without: blank, foreign or torn.
    pub blocks_unformatted: u32,
    /// Blocks that are marked as bad.
    pub blocks_retired: u32,
    /// Blocks whose erase was begun and not finished.
    pub erases_interrupted: u32,
}

/// A log on the blocks of one NOR flash (or [`Partition`](crate::Partition)).
pub struct Log<F> {
    pub(crate) flash: F,
    pub(crate) kind: u8,
    pub(crate) block_bytes: u32,
    pub(crate) blocks: Vec<Block>,
    pub(crate) head: Option<u16>,
    /// Next free directory unit of the head.
    pub(crate) next_unit: u32,
    /// First unit of the payload area of the head.
    pub(crate) low_unit: u32,
    /// A record has taken its units of the head and is not whole. Where this is found the future of an append was dropped,
    /// or a copy could not be read: its slot may be blank, and a mount looks for no slot behind a blank one.
    pub(crate) unfinished: bool,
    pub(crate) stream: Stream,
    pub(crate) parked: Option<Parked>,
    pub(crate) next_sequence: Option<u32>,
    pub(crate) owner_floor: u64,
    /// Blocks with a smaller sequence number do not exist.
    pub(crate) base: u32,
    pub(crate) programmed: u64,
    pub(crate) erases: u64,
    pub(crate) notices: Vec<LogNotice>,
}

/// A walk over the directory of one block.
pub struct Scan {
    block: u16,
    sequence: u32,
    unit: u32,
    /// One past the last unit that is not blank.
    end: u32,
    low: u32,
    after_damage: bool,
    damaged: u32,
    first: u32,
    filled: u32,
    buffer: [u8; COPY_BYTES],
}

impl Scan {
    /// Slots so far that match no checksum.
    #[must_use]
    pub const fn damaged(&self) -> u32 {
        self.damaged
    }

    /// Whether the block still holds the records that the walk began with.
    #[must_use]
    pub fn is_current<F: NorFlash>(&self, log: &Log<F>) -> bool {
        log.sequence(self.block) == Some(self.sequence)
    }

    /// The block that is walked.
    #[must_use]
    pub const fn block(&self) -> u16 {
        self.block
    }
}

impl<F: NorFlash> Log<F> {
    /// Reads the headers of all blocks. `kind` tells logs of different purpose apart; blocks of another kind
    /// count as foreign. Nothing is written.
    ///
    /// # Errors
    /// [`LogError::Geometry`], [`LogError::Read`].
    pub async fn mount(flash: F, kind: u8) -> Result<(Self, LogReport), LogError> {
        let erase = F::ERASE_SIZE;
        let count = flash.capacity() / erase.max(1);
        let fits = (BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&erase)
            && erase.is_multiple_of(UNIT)
            && UNIT.is_multiple_of(F::WRITE_SIZE)
            && UNIT.is_multiple_of(F::READ_SIZE)
            && (2..=BLOCKS_COUNT_MAX).contains(&count);
        let block_bytes = u32::try_from(erase).map_err(|_| LogError::Geometry)?;
        if !fits || block_bytes.checked_mul(count as u32).is_none() {
            return Err(LogError::Geometry);
        }
        let mut log = Self {
            flash,
            kind,
            block_bytes,
            blocks: Vec::with_capacity(count),
            head: None,
            next_unit: HEADER_UNITS,
            low_unit: HEADER_UNITS,
            unfinished: false,
            stream: Stream::New,
            parked: None,
            next_sequence: Some(1),
            owner_floor: 0,
            base: 0,
            programmed: 0,
            erases: 0,
            notices: Vec::new(),
        };
        let report = log.read_headers(count as u16).await?;
        log.recover_head().await?;
        Ok((log, report))
    }

    pub(crate) const fn block_units(&self) -> u32 {
        self.block_bytes / UNIT as u32
    }

    pub(crate) fn address(&self, block: u16, unit: u32) -> u32 {
        u32::from(block) * self.block_bytes + unit * UNIT as u32
    }

    /// Blocks of the log.
    #[must_use]
    pub fn block_count(&self) -> u16 {
        self.blocks.len() as u16
    }

    /// Octets of a block that can hold records.
    #[must_use]
    pub const fn block_room(&self) -> u32 {
        self.block_bytes - limits::flash::BLOCK_HEADER_BYTES as u32
    }

    /// The block that is being filled.
    #[must_use]
    pub const fn head(&self) -> Option<u16> {
        self.head
    }

    /// Whether a block is the head of one of the streams.
    #[must_use]
    pub fn is_head(&self, block: u16) -> bool {
        self.head == Some(block) || self.parked.is_some_and(|parked| parked.block == block)
    }

    /// Selects the head for the operations that follow; that of a stream which has none is opened by
    /// [`Self::open_next`]. A mount goes on with the newest head as [`Stream::New`]; the other is closed.
    pub fn select(&mut self, stream: Stream) {
        if core::mem::replace(&mut self.stream, stream) == stream {
            return;
        }
        let parked = self.head.map(|block| Parked {
            block,
            next_unit: self.next_unit,
            low_unit: self.low_unit,
            unfinished: self.unfinished,
        });
        let chosen = core::mem::replace(&mut self.parked, parked);
        self.head = chosen.map(|chosen| chosen.block);
        if let Some(chosen) = chosen {
            (self.next_unit, self.low_unit) = (chosen.next_unit, chosen.low_unit);
            self.unfinished = chosen.unfinished;
        }
    }

    /// The greatest sequence number of a block that holds records, 0 if there is none.
    #[must_use]
    pub fn newest_sequence(&self) -> u32 {
        self.newest().and_then(|block| self.sequence(block)).unwrap_or(0)
    }

    /// The greatest owner that a header names. Owners of records in blocks that were erased are not above it.
    #[must_use]
    pub const fn owner_floor(&self) -> u64 {
        self.owner_floor
    }

    /// Raises the owner floor that the next header will hold.
    pub fn raise_owner_floor(&mut self, owner: u64) {
        self.owner_floor = self.owner_floor.max(owner);
    }

    /// Octets programmed since the mount.
    #[must_use]
    pub const fn programmed(&self) -> u64 {
        self.programmed
    }

    /// Erases since the mount.
    #[must_use]
    pub const fn erases(&self) -> u64 {
        self.erases
    }

    /// The blocks that hold records, oldest first.
    #[must_use]
    pub fn blocks_in_order(&self) -> Vec<u16> {
        let mut order: Vec<(u32, u16)> = (0..self.block_count())
            .filter_map(|block| self.sequence(block).map(|sequence| (sequence, block)))
            .collect();
        order.sort_unstable();
        order.into_iter().map(|(_, block)| block).collect()
    }

    /// Sequence number of a block that holds records.
    #[must_use]
    pub fn sequence(&self, block: u16) -> Option<u32> {
        match self.blocks.get(usize::from(block))?.state {
            State::Open { sequence } => Some(sequence),
            _ => None,
        }
    }

    /// Units of a block that are used by headers, slots and payload; known exactly for blocks filled since the
    /// mount, set by the owner for others.
    #[must_use]
    pub fn used_units(&self, block: u16) -> u32 {
        self.blocks.get(usize::from(block)).map_or(0, |b| b.used_units)
    }

    /// Starts a walk over the records of a block; `None` if it holds none.
    #[must_use]
    pub fn scan(&self, block: u16) -> Option<Scan> {
        self.sequence(block).map(|sequence| Scan {
            block,
            sequence,
            unit: HEADER_UNITS,
            end: HEADER_UNITS,
            low: self.block_units(),
            after_damage: false,
            damaged: 0,
            first: 0,
            filled: 0,
            buffer: [0xff; COPY_BYTES],
        })
    }

    async fn scan_unit(&mut self, scan: &mut Scan, unit: u32) -> Result<Unit, LogError> {
        if unit >= self.block_units() {
            return Ok([0xff; UNIT]);
        }
        if unit < scan.first || unit >= scan.first + scan.filled {
            let count = (COPY_BYTES / UNIT) as u32;
            let count = count.min(self.block_units() - unit);
            let address = self.address(scan.block, unit);
            read(&mut self.flash, address, &mut scan.buffer[..count as usize * UNIT]).await?;
            (scan.first, scan.filled) = (unit, count);
        }
        let at = (unit - scan.first) as usize * UNIT;
        let mut out = [0; UNIT];
        out.copy_from_slice(&scan.buffer[at..at + UNIT]);
        Ok(out)
    }

    /// The next valid record of the walk; `None` at the end of the directory. Slots that match no checksum are
    /// skipped and counted.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn next(&mut self, scan: &mut Scan) -> Result<Option<Entry>, LogError> {
        while scan.unit < scan.low {
            let unit = self.scan_unit(scan, scan.unit).await?;
            if format::is_blank(&unit) {
                if !scan.after_damage {
                    break;
                }
                // It may be the kill unit of a damaged anchor; the directory goes on behind it, or two are blank.
                scan.after_damage = false;
                scan.unit += 1;
                continue;
            }
            let salt = format::slot_salt(scan.sequence, scan.unit);
            let Some((slot, intact)) = Slot::decode(&unit, salt, self.block_units()) else {
                scan.damaged += 1;
                scan.after_damage = true;
                scan.unit += 1;
                scan.end = scan.unit;
                continue;
            };
            let at = Location::new(scan.block, scan.unit);
            let kill = match slot.anchor {
                true => format::kill_of(&self.scan_unit(scan, scan.unit + 1).await?),
                false => Kill::Blank,
            };
            let worn = kill == Kill::Spoilt || !intact;
            scan.after_damage = false;
            scan.unit += slot_units(slot.anchor);
            scan.end = scan.unit;
            if slot.len > 0 {
                scan.low = scan.low.min(u32::from(slot.start));
            }
            return Ok(Some(entry(at, slot, kill, worn)));
        }
        // Enough is known for the accounting: everything but the gap is used.
        if let Some(block) = self.blocks.get_mut(usize::from(scan.block)) {
            let used = scan.end.min(scan.low) + (self.block_bytes / UNIT as u32 - scan.low);
            block.used_units = block.used_units.max(used);
        }
        Ok(None)
    }

    /// Finds the end of the directory of the head, and where its payload area begins, what a power cut left
    /// there included.
    async fn recover_head(&mut self) -> Result<(), LogError> {
        let Some(mut scan) = self.head.and_then(|head| self.scan(head)) else {
            return Ok(());
        };
        while self.next(&mut scan).await?.is_some() {}
        self.next_unit = scan.end;
        self.low_unit = scan.low.max(scan.end);
        let mut unit = scan.end;
        let mut buffer = [0; COPY_BYTES];
        while unit < self.low_unit {
            let count = ((COPY_BYTES / UNIT) as u32).min(self.low_unit - unit);
            let bytes = &mut buffer[..count as usize * UNIT];
            let address = self.address(scan.block, unit);
            read(&mut self.flash, address, bytes).await?;
            if let Some(torn) = bytes.chunks(UNIT).position(|unit| !format::is_blank(unit)) {
                self.low_unit = unit + torn as u32;
                break;
            }
            unit += count;
        }
        if let Some(block) = self.blocks.get_mut(usize::from(scan.block)) {
            block.used_units = self.next_unit + (self.block_bytes / UNIT as u32 - self.low_unit);
        }
        Ok(())
    }

    /// Whether a record with `len` octets of payload fits the head. Nothing fits a head with an append that was dropped.
    #[must_use]
    pub fn fits(&self, len: u32, anchor: bool) -> bool {
        let needed = footprint_units(len, anchor) + GUARD_UNITS;
        self.head.is_some() && !self.unfinished && self.next_unit + needed <= self.low_unit
    }

    /// Where the next record that fits will be.
    #[must_use]
    pub fn next_location(&self) -> Option<Location> {
        self.head.map(|head| Location::new(head, self.next_unit))
    }

    /// Takes the units of a record. They stay taken whatever happens to the programs that follow.
    fn take(&mut self, len: u32, anchor: bool) -> Result<(u16, u32, u32), LogError> {
        let head = self.head.ok_or(LogError::HeadFull)?;
        if !self.fits(len, anchor) {
            return Err(LogError::HeadFull);
        }
        self.unfinished = true;
        self.low_unit -= units(len);
        let unit = self.next_unit;
        self.next_unit += slot_units(anchor);
        if let Some(block) = self.blocks.get_mut(usize::from(head)) {
            block.used_units += footprint_units(len, anchor);
        }
        Ok((head, unit, self.low_unit))
    }

    /// Closes the head after a failed program.
    fn close_failed(&mut self, head: u16) -> LogError {
        self.suspect(head);
        self.low_unit = self.next_unit;
        LogError::Program
    }

    /// Appends a record. Payload first, then the slot, each read back: when this returns the record is on flash,
    /// and if it does not return there is no record, or (only if the power failed or the future was dropped in
    /// the very last step) a whole one. All pieces of the payload but the last must be whole units.
    ///
    /// # Errors
    /// [`LogError::HeadFull`], [`LogError::Program`], [`LogError::Read`].
    ///
    /// # Panics
    /// If an inner piece is not a whole number of units.
    pub async fn append(&mut self, record: Record, payload: &[&[u8]]) -> Result<Entry, LogError> {
        let bytes: usize = payload.iter().map(|piece| piece.len()).sum();
        let len = u32::try_from(bytes).map_err(|_| LogError::HeadFull)?;
        let inner = payload.split_last().map_or(&[][..], |(_, inner)| inner);
        assert!(inner.iter().all(|piece| piece.len().is_multiple_of(UNIT)), "inner pieces are whole units");
        let (head, unit, start) = self.take(len, record.anchor)?;
        let mut digest = format::digest();
        let mut address = self.address(head, start);
        for piece in payload {
            digest.update(piece);
            if program(&mut self.flash, &mut self.programmed, address, piece).await.is_err() {
                return Err(self.close_failed(head));
            }
            address += units(piece.len() as u32) * UNIT as u32;
        }
        self.put_slot(head, unit, record, len, start, digest.finalize()).await
    }

    async fn put_slot(
        &mut self,
        head: u16,
        unit: u32,
        record: Record,
        len: u32,
        start: u32,
        payload_crc: u32,
    ) -> Result<Entry, LogError> {
        let slot = Slot {
            kind: record.kind,
            anchor: record.anchor,
            start: if len == 0 { 0 } else { start as u16 },
            len,
            owner: record.owner,
            part: record.part,
            version: record.version,
            payload_crc,
        };
        let salt = self.sequence(head).ok_or(LogError::HeadFull)?;
        let address = self.address(head, unit);
        let sealed = slot.encode(format::slot_salt(salt, unit));
        if program(&mut self.flash, &mut self.programmed, address, &sealed).await.is_err() {
            if record.anchor {
                // The slot may be valid although its program failed. The caller will write the record again, and
                // there must not be two.
                let mark = format::killed_mark(0, salt);
                let _ = program(&mut self.flash, &mut self.programmed, address + UNIT as u32, &mark).await;
            }
            return Err(self.close_failed(head));
        }
        self.unfinished = false;
        Ok(entry(Location::new(head, unit), slot, Kill::Blank, false))
    }

    /// Copies a record to the head, payload as it is (a damaged one stays recognisably damaged). The old one is
    /// not touched.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub async fn copy(&mut self, old: &Entry) -> Result<Entry, LogError> {
        let (head, unit, start) = self.take(old.len, old.record.anchor)?;
        let mut buffer = [0; COPY_BYTES];
        let mut done = 0;
        while done < old.len {
            let count = (old.len - done).min(COPY_BYTES as u32);
            let bytes = &mut buffer[..count as usize];
            self.read(old, done, bytes).await?;
            let address = self.address(head, start) + done;
            if program(&mut self.flash, &mut self.programmed, address, bytes).await.is_err() {
                return Err(self.close_failed(head));
            }
            done += count;
        }
        self.put_slot(head, unit, old.record, old.len, start, old.payload_crc).await
    }

    /// Ends the life of an anchor for good by programming its kill unit. `how` is for people who look at an
    /// image.
    ///
    /// # Errors
    /// [`LogError::Program`] if the mark cannot be programmed: the record may or may not live on, and its owner must
    /// say elsewhere that it has ended. [`LogError::Read`].
    pub async fn kill(&mut self, at: Location, how: u8) -> Result<(), LogError> {
        let salt = self.sequence(at.block()).ok_or(LogError::Program)?;
        let address = self.address(at.block(), at.unit() + 1);
        let mut present = [0; UNIT];
        read(&mut self.flash, address, &mut present).await?;
        match format::kill_of(&present) {
            // An earlier attempt that was dropped half-way.
            Kill::Done => return Ok(()),
            // Torn, decayed: no unit is programmed twice.
            Kill::Spoilt => return Err(LogError::Program),
            Kill::Blank => {}
        }
        let mark = format::killed_mark(how, salt);
        if program(&mut self.flash, &mut self.programmed, address, &mark).await.is_ok() {
            return Ok(());
        }
        self.suspect(at.block());
        Err(LogError::Program)
    }

    /// Reads the slot at `at` again; `None` if it is not valid (any more).
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn entry(&mut self, at: Location) -> Result<Option<Entry>, LogError> {
        let Some(sequence) = self.sequence(at.block()) else {
            return Ok(None);
        };
        if at.unit() + 1 >= self.block_units() {
            return Ok(None);
        }
        let mut bytes = [0; 2 * UNIT];
        let address = self.address(at.block(), at.unit());
        read(&mut self.flash, address, &mut bytes).await?;
        let (first, second) = bytes.split_at(UNIT);
        let mut unit = [0; UNIT];
        unit.copy_from_slice(first);
        let salt = format::slot_salt(sequence, at.unit());
        Ok(Slot::decode(&unit, salt, self.block_units()).map(|(slot, intact)| {
            let kill = if slot.anchor { format::kill_of(second) } else { Kill::Blank };
            entry(at, slot, kill, kill == Kill::Spoilt || !intact)
        }))
    }

    /// Reads payload octets of a record from `offset`; the range must lie inside the payload.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn read(&mut self, entry: &Entry, offset: u32, out: &mut [u8]) -> Result<(), LogError> {
        if offset as usize + out.len() > entry.len as usize {
            return Err(LogError::Read);
        }
        let address = self.address(entry.at.block(), u32::from(entry.start)) + offset;
        read(&mut self.flash, address, out).await
    }

    /// Reads payload octets by place: block, first unit of the payload, offset. For owners that keep the place
    /// of a record in their index.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn read_at(
        &mut self,
        block: u16,
        start: u16,
        offset: u32,
        out: &mut [u8],
    ) -> Result<(), LogError> {
        let end = u32::from(start) * UNIT as u32 + offset;
        if block >= self.block_count() || end as usize + out.len() > self.block_bytes as usize {
            return Err(LogError::Read);
        }
        let address = self.address(block, u32::from(start)) + offset;
        read(&mut self.flash, address, out).await
    }

    /// Whether the payload of a record matches its checksum.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn verify(&mut self, entry: &Entry) -> Result<bool, LogError> {
        let mut digest = format::digest();
        let mut buffer = [0; COPY_BYTES];
        let mut done = 0;
        while done < entry.len {
            let count = (entry.len - done).min(COPY_BYTES as u32);
            let bytes = &mut buffer[..count as usize];
            self.read(entry, done, bytes).await?;
            digest.update(bytes);
            done += count;
        }
        Ok(digest.finalize() == entry.payload_crc)
    }

    /// Whether `payload` is the whole payload of the record.
    #[must_use]
    pub fn matches(entry: &Entry, payload: &[u8]) -> bool {
        let mut digest = format::digest();
        digest.update(payload);
        entry.len as usize == payload.len() && digest.finalize() == entry.payload_crc
    }
}

fn entry(at: Location, slot: Slot, kill: Kill, worn: bool) -> Entry {
    Entry {
        at,
        record: Record {
            kind: slot.kind,
            anchor: slot.anchor,
            owner: slot.owner,
            part: slot.part,
            version: slot.version,
        },
        len: slot.len,
        killed: kill == Kill::Done,
        worn,
        start: slot.start,
        payload_crc: slot.payload_crc,
    }
}

/// CRC-32C, the checksum of the log, for checks inside a payload.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u32 {
    let mut digest = format::digest();
    digest.update(bytes);
    digest.finalize()
}

/// Reads any range, also from devices that want aligned reads.
pub(crate) async fn read<F: NorFlash>(flash: &mut F, address: u32, out: &mut [u8]) -> Result<(), LogError> {
    let size = F::READ_SIZE as u32;
    if address.is_multiple_of(size) && out.len().is_multiple_of(F::READ_SIZE) {
        return flash.read(address, out).await.map_err(|_| LogError::Read);
    }
    let mut done = 0;
    while done < out.len() {
        // A unit is a multiple of every granularity that the mount accepts.
        let mut unit = [0; UNIT];
        let at = address + done as u32;
        let skip = (at % UNIT as u32) as usize;
        flash.read(at - skip as u32, &mut unit).await.map_err(|_| LogError::Read)?;
        let count = (UNIT - skip).min(out.len() - done);
        out[done..done + count].copy_from_slice(&unit[skip..skip + count]);
        done += count;
    }
    Ok(())
}

/// Octets that are programmed in one operation before other tasks run.
const PROGRAM_BYTES: usize = 4 * 1_024;

/// Programs whole units and reads them back; the last unit is filled up with 0xFF.
pub(crate) async fn program<F: NorFlash>(
    flash: &mut F,
    programmed: &mut u64,
    address: u32,
    bytes: &[u8],
) -> Result<(), LogError> {
    // What ends inside a unit is filled up in a buffer, together with what fits before it: one operation less.
    let filled = if bytes.len().is_multiple_of(UNIT) { 0 } else { bytes.len() % COPY_BYTES };
    let (body, rest) = bytes.split_at(bytes.len() - filled);
    let mut at = address;
    for piece in body.chunks(PROGRAM_BYTES) {
        write_and_compare(flash, at, piece).await?;
        at += piece.len() as u32;
        if piece.len() == PROGRAM_BYTES {
            yield_now().await;
        }
    }
    let end = rest.len().next_multiple_of(UNIT);
    if !rest.is_empty() {
        let mut buffer = [0xff; COPY_BYTES];
        buffer[..rest.len()].copy_from_slice(rest);
        write_and_compare(flash, at, &buffer[..end]).await?;
    }
    *programmed += (body.len() + end) as u64;
    Ok(())
}

async fn write_and_compare<F: NorFlash>(flash: &mut F, address: u32, bytes: &[u8]) -> Result<(), LogError> {
    flash.write(address, bytes).await.map_err(|_| LogError::Program)?;
    // The driver has compared already (a rule of `platform`). Headers, slots and marks, on which everything rests,
    // are compared a second time from this side; for the bulk of content that would cost as much as its checksum.
    if bytes.len() <= COPY_BYTES {
        let mut buffer = [0; COPY_BYTES];
        let back = &mut buffer[..bytes.len()];
        flash.read(address, back).await.map_err(|_| LogError::Program)?;
        if back != bytes {
            return Err(LogError::Program);
        }
    }
    Ok(())
}
