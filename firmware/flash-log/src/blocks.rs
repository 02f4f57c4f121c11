//! The life of blocks: headers, choice, intent, erase, opening, retirement.

use alloc::vec::Vec;

use embassy_futures::yield_now;
use embedded_storage_async::nor_flash::NorFlash;
use limits::flash::COPY_BYTES;

use crate::format::{
    self, ERASED_UNIT, Erased, HEADER_UNITS, INTENT_COUNT, INTENT_UNIT, Intent, OPENED_UNIT, Opened,
    RETIRED_UNIT, UNIT, Unit,
};
use crate::log::{Block, Log, LogError, LogReport, State, program, read};

/// Erase counts of the blocks of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wear {
    /// Smallest count.
    pub min: u32,
    /// Largest count.
    pub max: u32,
    /// Sum of all counts.
    pub total: u64,
    /// Blocks that are out of use.
    pub retired: u32,
}

fn unit_of(header: &[u8], unit: u32) -> Unit {
    let mut out = [0; UNIT];
    out.copy_from_slice(&header[unit as usize * UNIT..][..UNIT]);
    out
}

impl<F: NorFlash> Log<F> {
    pub(crate) async fn read_headers(&mut self, count: u16) -> Result<LogReport, LogError> {
        let mut report = LogReport::default();
        let mut intents: Vec<(u32, Intent)> = Vec::new();
        let mut header = [0; HEADER_UNITS as usize * UNIT];
        for number in 0..count {
            let address = self.address(number, 0);
            read(&mut self.flash, address, &mut header).await?;
            let block = self.read_header(&header, &mut intents);
            match block.state {
                _ if block.retired => report.blocks_retired += 1,
                State::Open { .. } => report.blocks_in_use += 1,
                _ => report.blocks_unformatted += 1,
            }
            self.blocks.push(block);
        }
        for (holder, intent) in intents {
            self.raise_owner_floor(intent.owner_floor);
            let doomed = State::Open { sequence: intent.sequence };
            if let Some(block) = self.blocks.get_mut(usize::from(intent.block))
                && block.state == doomed
                && intent.sequence < holder
            {
                block.state = State::Doomed { sequence: intent.sequence };
                report.erases_interrupted += 1;
                report.blocks_in_use -= 1;
            }
        }
        let newest = (0..count).filter_map(|b| self.sequence(b).map(|sequence| (sequence, b))).max();
        self.head = newest.map(|(_, block)| block);
        // An erase count that a power cut took away, or that was never there, is replaced by the smallest that is
        // known: a factory-fresh block is used next, and a torn erase costs one erase more.
        let least = self.blocks.iter().map(|b| b.erases).filter(|e| *e != u32::MAX).min().unwrap_or(0);
        self.blocks.iter_mut().filter(|b| b.erases == u32::MAX).for_each(|b| b.erases = least);
        Ok(report)
    }

    fn read_header(&mut self, header: &[u8], intents: &mut Vec<(u32, Intent)>) -> Block {
        let mut block = Block {
            state: State::Dirty,
            erases: u32::MAX,
            retired: false,
            suspect: false,
            intents_used: 0,
            used_units: 0,
        };
        let erased = Erased::decode(&unit_of(header, ERASED_UNIT))
            .filter(|e| e.kind == self.kind && e.block_units == self.block_units() && e.erases != u32::MAX);
        let Some(erased) = erased else {
            return block;
        };
        block.erases = erased.erases;
        let opened = unit_of(header, OPENED_UNIT);
        if format::is_blank(&opened) {
            block.state = State::Blank { verified: false };
            block.retired = !format::is_blank(&unit_of(header, RETIRED_UNIT));
            return block;
        }
        let Some(opened) = Opened::decode(&opened) else {
            return block;
        };
        self.raise_owner_floor(opened.owner_floor);
        // An overflow can only come from foreign content; then no block can be opened any more.
        self.next_sequence =
            self.next_sequence.and_then(|next| Some(next.max(opened.sequence.checked_add(1)?)));
        block.state = State::Open { sequence: opened.sequence };
        block.used_units = HEADER_UNITS;
        for index in 0..INTENT_COUNT {
            let unit = unit_of(header, INTENT_UNIT + index);
            if !format::is_blank(&unit) {
                block.intents_used = index + 1;
                if let Some(intent) = Intent::decode(&unit, opened.sequence) {
                    intents.push((opened.sequence, intent));
                }
            }
        }
        block
    }

    /// Whether a block can be made the head: not retired, and it holds nothing that lives.
    fn is_free(&self, number: u16, dead: &impl Fn(u16) -> bool) -> bool {
        self.blocks.get(usize::from(number)).is_some_and(|block| {
            !block.retired
                && match block.state {
                    State::Dirty | State::Blank { .. } | State::Doomed { .. } => true,
                    State::Open { .. } => self.head != Some(number) && dead(number),
                }
        })
    }

    /// Number of blocks that can become the head, erased already or not. `dead` tells whether a block that holds
    /// records holds no live one.
    pub fn free_blocks(&self, dead: impl Fn(u16) -> bool) -> u32 {
        (0..self.block_count()).filter(|block| self.is_free(*block, &dead)).count() as u32
    }

    /// Number of blocks that are erased and can become the head at once.
    #[must_use]
    pub fn erased_blocks(&self) -> u32 {
        let erased = |b: &&Block| !b.retired && matches!(b.state, State::Blank { verified: true });
        self.blocks.iter().filter(erased).count() as u32
    }

    /// Number of blocks that are not retired.
    #[must_use]
    pub fn usable_blocks(&self) -> u32 {
        self.blocks.iter().filter(|block| !block.retired).count() as u32
    }

    /// Erase counts.
    #[must_use]
    pub fn wear(&self) -> Wear {
        Wear {
            min: self.blocks.iter().map(|b| b.erases).min().unwrap_or(0),
            max: self.blocks.iter().map(|b| b.erases).max().unwrap_or(0),
            total: self.blocks.iter().map(|b| u64::from(b.erases)).sum(),
            retired: self.blocks.iter().filter(|b| b.retired).count() as u32,
        }
    }

    /// The free block to use next: an interrupted erase first, then (if `erased` is preferred) one that is
    /// ready, then the least worn.
    fn choose(&self, dead: &impl Fn(u16) -> bool, erased_first: bool) -> Option<u16> {
        (0..self.block_count()).filter(|number| self.is_free(*number, dead)).min_by_key(|number| {
            let block = &self.blocks[usize::from(*number)];
            let rank = match block.state {
                State::Doomed { .. } => 0,
                State::Blank { .. } if erased_first => 1,
                State::Blank { .. } => 3,
                _ => 2,
            };
            (rank, block.erases)
        })
    }

    /// Makes a free block the new head: erases it if need be, programs its headers, each read back. The old head
    /// is closed for good. `erased` is called with each block whose records have ceased to exist.
    ///
    /// If the future is dropped half-way the old head stays and the block is erased again later.
    ///
    /// # Errors
    /// [`LogError::NoFreeBlock`]; [`LogError::Read`]. Blocks that fail are retired, and the next one is tried.
    pub async fn open_next(&mut self, dead: impl Fn(u16) -> bool) -> Result<u16, LogError> {
        loop {
            let number = self.choose(&dead, true).ok_or(LogError::NoFreeBlock)?;
            let sequence = self.next_sequence.ok_or(LogError::NoFreeBlock)?;
            if !self.make_blank(number).await? {
                continue;
            }
            let opened = Opened { sequence, owner_floor: self.owner_floor };
            let address = self.address(number, OPENED_UNIT);
            self.next_sequence = sequence.checked_add(1);
            self.block_mut(number).state = State::Dirty;
            if program(&mut self.flash, &mut self.programmed, address, &opened.encode()).await.is_err() {
                self.retire(number).await;
                continue;
            }
            let block = self.block_mut(number);
            block.state = State::Open { sequence };
            block.intents_used = 0;
            block.used_units = HEADER_UNITS;
            self.head = Some(number);
            self.next_unit = HEADER_UNITS;
            self.low_unit = self.block_units();
            self.unfinished = false;
            self.repeat_intents().await;
            return Ok(number);
        }
    }

    /// Erases the least worn free block ahead of need. Returns whether there was one.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn erase_ahead(&mut self, dead: impl Fn(u16) -> bool) -> Result<bool, LogError> {
        match self.choose(&dead, false) {
            Some(number) if self.block_mut(number).state != (State::Blank { verified: true }) => {
                self.make_blank(number).await?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn block_mut(&mut self, number: u16) -> &mut Block {
        // Numbers come from this module's own loops over the table.
        &mut self.blocks[usize::from(number)]
    }

    /// Brings a free block into the state `Blank { verified: true }`; `false` if it had to be retired.
    async fn make_blank(&mut self, number: u16) -> Result<bool, LogError> {
        match self.block_mut(number).state {
            State::Blank { verified: true } => return Ok(true),
            State::Blank { verified: false } => {
                // Its erase, or the one before, may have been torn: the header alone proves nothing.
                if self.blank_from(number, ERASED_UNIT + 1).await? {
                    self.block_mut(number).state = State::Blank { verified: true };
                    return Ok(true);
                }
                self.block_mut(number).state = State::Dirty;
            }
            State::Open { sequence } => {
                self.put_intent(number, sequence).await;
                self.block_mut(number).state = State::Doomed { sequence };
            }
            State::Dirty | State::Doomed { .. } => {}
        }
        let from = self.address(number, 0);
        yield_now().await;
        let erased = self.flash.erase(from, from + self.block_bytes).await.is_ok();
        if !erased || !self.blank_from(number, 0).await? {
            self.retire(number).await;
            return Ok(false);
        }
        let (kind, block_units) = (self.kind, self.block_units());
        let block = self.block_mut(number);
        block.state = State::Dirty;
        block.used_units = 0;
        block.erases = block.erases.saturating_add(1).min(u32::MAX - 1);
        let erased = Erased { kind, erases: block.erases, block_units };
        let suspect = block.suspect;
        let done = program(&mut self.flash, &mut self.programmed, from, &erased.encode()).await;
        if suspect || done.is_err() {
            self.retire(number).await;
            return Ok(false);
        }
        self.block_mut(number).state = State::Blank { verified: true };
        Ok(true)
    }

    async fn blank_from(&mut self, number: u16, unit: u32) -> Result<bool, LogError> {
        let mut buffer = [0; COPY_BYTES];
        let mut unit = unit;
        while unit < self.block_units() {
            let count = ((COPY_BYTES / UNIT) as u32).min(self.block_units() - unit);
            let bytes = &mut buffer[..count as usize * UNIT];
            let address = self.address(number, unit);
            read(&mut self.flash, address, bytes).await?;
            if !format::is_blank(bytes) {
                return Ok(false);
            }
            unit += count;
        }
        Ok(true)
    }

    /// Writes down, in the head, that the content of a block ceases to exist. Without a head there is nothing
    /// that could contradict. A failed program takes the next unit.
    async fn put_intent(&mut self, victim: u16, sequence: u32) {
        let Some((head, salt)) = self.head.and_then(|head| Some((head, self.sequence(head)?))) else {
            return;
        };
        let intent = Intent { block: victim, sequence, owner_floor: self.owner_floor };
        while self.block_mut(head).intents_used < INTENT_COUNT {
            let unit = INTENT_UNIT + self.block_mut(head).intents_used;
            self.block_mut(head).intents_used += 1;
            let address = self.address(head, unit);
            if program(&mut self.flash, &mut self.programmed, address, &intent.encode(salt)).await.is_ok() {
                return;
            }
        }
    }

    /// Blocks that could not be erased stay condemned when the head that condemned them is erased in its turn.
    async fn repeat_intents(&mut self) {
        for number in 0..self.block_count() {
            if let State::Doomed { sequence } = self.block_mut(number).state {
                self.put_intent(number, sequence).await;
            }
        }
    }

    /// Takes a block out of use and says so on it as well as it can be said.
    async fn retire(&mut self, number: u16) {
        self.block_mut(number).retired = true;
        let address = self.address(number, 0);
        if let State::Doomed { .. } = self.block_mut(number).state {
            // It cannot be erased, but perhaps spoilt: without a header its records do not exist.
            if program(&mut self.flash, &mut self.programmed, address, &[0; UNIT]).await.is_ok() {
                self.block_mut(number).state = State::Dirty;
            }
            return;
        }
        let mark = format::retired_mark();
        let at = self.address(number, RETIRED_UNIT);
        let _ = program(&mut self.flash, &mut self.programmed, at, &mark).await;
    }

    /// Erases every block that holds records, oldest first, and starts anew in an empty head. For a factory reset.
    /// What a power cut in between leaves is the newest part of the log; nothing that had ended comes back.
    ///
    /// # Errors
    /// [`LogError::Read`], [`LogError::NoFreeBlock`] if all blocks have failed.
    pub async fn clear(&mut self) -> Result<(), LogError> {
        for number in self.blocks_in_order() {
            if self.head == Some(number) {
                // The newest: its successor can doom it.
                self.open_next(|_| false).await?;
            } else if self.head.is_some_and(|head| self.block_mut(head).intents_used >= INTENT_COUNT) {
                self.open_next(|_| false).await?;
            }
            self.make_blank(number).await?;
        }
        Ok(())
    }
}
