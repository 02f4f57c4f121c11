//! The life of blocks: choice, intent, erase, check, opening, retirement, clearing.

use embassy_futures::yield_now;
use embedded_storage_async::nor_flash::NorFlash;
use limits::flash::{COPY_BYTES, ERASE_CHECK_BYTES};

use crate::format::{
    self, BAD_COUNT, BAD_UNIT, ERASED_UNIT, Erased, HEADER_UNITS, INTENT_COUNT, INTENT_UNIT, Intent,
    OPENED_AGAIN_UNIT, OPENED_UNIT, Opened, RETIRED_UNIT, UNIT,
};
use crate::log::{Log, LogError, LogNotice, State, program, read};

/// Units that are checked in one step.
const CHECK_UNITS: u32 = (ERASE_CHECK_BYTES / UNIT) as u32;

/// Which of several erased blocks becomes the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// The least worn: for what will soon be erased.
    LeastWorn,
    /// The most worn: for what is known to stay.
    MostWorn,
}

/// How far a step brought a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Prepared {
    /// It can be opened.
    Ready,
    /// More steps are needed.
    Going,
    /// It had to be retired.
    Retired,
}

impl<F: NorFlash> Log<F> {
    /// The free block to use next.
    fn choose(&self, dead: &impl Fn(u16) -> bool, prefer: Prefer) -> Option<u16> {
        (0..self.block_count()).filter(|number| self.is_free(*number, dead)).min_by_key(|number| {
            let block = &self.blocks[usize::from(*number)];
            // What is erased is used first. Of the rest a doomed block goes first: the sooner it is erased, the sooner
            // nothing depends on its intent.
            let rank = match block.state {
                State::Blank => 0,
                State::Erased { .. } => 1,
                State::Doomed { .. } => 2,
                _ => 3,
            };
            (rank, if prefer == Prefer::MostWorn { u32::MAX - block.erases } else { block.erases })
        })
    }

    /// The free block to erase or to check next, if there is one.
    fn choose_to_erase(&self, dead: &impl Fn(u16) -> bool) -> Option<u16> {
        // Without a place for an intent a block with records has to wait for the next head.
        let intent = self.heads().next().is_none()
            || self.heads().any(|head| self.blocks[usize::from(head)].intents_used < INTENT_COUNT);
        (0..self.block_count())
            .filter(|number| self.is_free(*number, dead))
            .filter_map(|number| {
                let block = &self.blocks[usize::from(number)];
                let rank = match block.state {
                    State::Blank => return None,
                    State::Open { .. } if !intent => return None,
                    State::Erased { .. } => 0,
                    State::Doomed { .. } => 1,
                    _ if block.suspect => 2,
                    _ => 3,
                };
                Some((rank, block.erases, number))
            })
            .min()
            .map(|(_, _, number)| number)
    }

    /// Makes a free block the new head: erases it if need be, programs its headers, each read back. The old head
    /// is closed for good.
    ///
    /// If the future is dropped half-way the old head stays and the block is erased again later.
    ///
    /// # Errors
    /// [`LogError::NoFreeBlock`]; [`LogError::Read`]. Blocks that fail are retired, and the next one is tried;
    /// [`LogError::Program`] if it is one of the last two.
    pub async fn open_next(&mut self, dead: impl Fn(u16) -> bool, prefer: Prefer) -> Result<u16, LogError> {
        self.open(dead, prefer, false).await
    }

    async fn open(
        &mut self,
        dead: impl Fn(u16) -> bool,
        prefer: Prefer,
        clear: bool,
    ) -> Result<u16, LogError> {
        loop {
            let number = self.choose(&dead, prefer).ok_or(LogError::NoFreeBlock)?;
            let sequence = self.next_sequence.ok_or(LogError::NoFreeBlock)?;
            if !self.make_blank(number).await? {
                continue;
            }
            let opened = Opened {
                kind: self.kind,
                sequence,
                owner_floor: self.owner_floor,
                base: if clear { sequence } else { self.base },
                erases: self.block_mut(number).erases,
                block_units: self.block_units(),
            };
            self.next_sequence = sequence.checked_add(1);
            self.block_mut(number).state = State::Dirty;
            let mut good = true;
            for unit in [OPENED_UNIT, OPENED_AGAIN_UNIT] {
                let address = self.address(number, unit);
                good = good
                    && program(&mut self.flash, &mut self.programmed, address, &opened.encode())
                        .await
                        .is_ok();
            }
            if !good {
                self.retire(number).await?;
                continue;
            }
            let block = self.block_mut(number);
            block.state = State::Open { sequence };
            block.intents_used = 0;
            block.used_units = HEADER_UNITS;
            block.listed_bad = false;
            self.base = opened.base;
            if clear {
                self.parked = None;
            }
            self.head = Some(number);
            self.next_unit = HEADER_UNITS;
            self.low_unit = self.block_units();
            self.unfinished = false;
            let listed = self.list_bad_blocks().await;
            self.repeat_intents(listed).await;
            return Ok(number);
        }
    }

    /// Writes down, in the head, which blocks are bad, unless it has a list already: then the next head will.
    /// Returns whether the head has a list with all of them.
    async fn list_bad_blocks(&mut self) -> bool {
        let Some((head, salt)) = self.head.and_then(|head| Some((head, self.sequence(head)?))) else {
            return false;
        };
        let bad = self.bad_blocks();
        if bad.is_empty() || core::mem::replace(&mut self.block_mut(head).listed_bad, true) {
            return false;
        }
        let list = format::bad_list(bad.into_iter(), salt);
        let address = self.address(head, BAD_UNIT);
        // If it fails the next head tries again, and the blocks carry their own marks.
        let all = self.blocks.iter().filter(|block| block.retired || block.suspect).count() <= BAD_COUNT;
        program(&mut self.flash, &mut self.programmed, address, &list).await.is_ok() && all
    }

    /// One bounded step of making free blocks ready ahead of need: one erase, or the check of
    /// [`ERASE_CHECK_BYTES`] octets. Returns whether there was anything to do.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn erase_ahead(&mut self, dead: impl Fn(u16) -> bool) -> Result<bool, LogError> {
        match self.choose_to_erase(&dead) {
            Some(number) => {
                self.prepare(number).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Whether a part of an erased block still is blank; if not, it will be erased again before it is used. For a
    /// scrubber. `from` is in units.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn recheck_blank(&mut self, number: u16, from: u32) -> Result<bool, LogError> {
        if self.blocks.get(usize::from(number)).map(|block| block.state) != Some(State::Blank) {
            return Ok(true);
        }
        let to = (from + CHECK_UNITS).min(self.block_units());
        let blank = self.blank_between(number, from.max(ERASED_UNIT + 1), to).await?;
        if !blank {
            self.block_mut(number).state = State::Dirty;
        }
        Ok(blank)
    }

    /// Brings a free block into the state `Blank`, checked as a whole; `false` if it had to be retired.
    pub(crate) async fn make_blank(&mut self, number: u16) -> Result<bool, LogError> {
        loop {
            match self.prepare(number).await? {
                Prepared::Ready => return Ok(true),
                Prepared::Retired => return Ok(false),
                Prepared::Going => yield_now().await,
            }
        }
    }

    /// One step towards a blank block.
    async fn prepare(&mut self, number: u16) -> Result<Prepared, LogError> {
        match self.block_mut(number).state {
            State::Blank => return Ok(Prepared::Ready),
            State::Erased { checked } => return self.check_erased(number, checked).await,
            State::Open { sequence } => {
                self.put_intent(number, sequence).await;
                self.block_mut(number).state = State::Doomed { sequence };
            }
            State::Dirty | State::Doomed { .. } => {}
        }
        let from = self.address(number, 0);
        if self.flash.erase(from, from + self.block_bytes).await.is_err() {
            return self.retire(number).await;
        }
        self.erases += 1;
        let block = self.block_mut(number);
        block.state = State::Erased { checked: 0 };
        block.used_units = 0;
        block.worried = false;
        block.erases = block.erases.saturating_add(1).min(u32::MAX - 1);
        Ok(Prepared::Going)
    }

    /// Checks a further part of a block that was erased, and programs its header after the last.
    async fn check_erased(&mut self, number: u16, checked: u32) -> Result<Prepared, LogError> {
        let to = (checked + CHECK_UNITS).min(self.block_units());
        if !self.blank_between(number, checked, to).await? {
            self.block_mut(number).state = State::Dirty;
            return self.retire(number).await;
        }
        self.block_mut(number).state = State::Erased { checked: to };
        if to < self.block_units() {
            return Ok(Prepared::Going);
        }
        let (kind, block_units) = (self.kind, self.block_units());
        let last_two = self.usable_blocks() <= 2;
        let block = self.block_mut(number);
        block.state = State::Dirty;
        // One of the last two blocks is used as long as it can be erased.
        block.suspect &= !last_two;
        let suspect = block.suspect;
        let erased = Erased { kind, erases: block.erases, block_units };
        let from = self.address(number, ERASED_UNIT);
        let done = program(&mut self.flash, &mut self.programmed, from, &erased.encode()).await;
        if suspect || done.is_err() {
            return self.retire(number).await;
        }
        self.block_mut(number).state = State::Blank;
        Ok(Prepared::Ready)
    }

    async fn blank_between(&mut self, number: u16, from: u32, to: u32) -> Result<bool, LogError> {
        let mut buffer = [0; COPY_BYTES];
        let mut unit = from;
        while unit < to {
            let count = ((COPY_BYTES / UNIT) as u32).min(to - unit);
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

    /// Writes down, in a head, that the content of a block ceases to exist. Without a head there is nothing
    /// that could contradict. A failed program takes the next unit.
    async fn put_intent(&mut self, victim: u16, sequence: u32) {
        let heads = [self.head, self.parked.map(|parked| parked.block)];
        for head in heads.into_iter().flatten() {
            if self.put_intent_into(head, victim, sequence).await {
                return;
            }
        }
    }

    fn heads(&self) -> impl Iterator<Item = u16> {
        self.head.into_iter().chain(self.parked.map(|parked| parked.block))
    }

    async fn put_intent_into(&mut self, holder: u16, victim: u16, sequence: u32) -> bool {
        let Some(salt) = self.sequence(holder) else {
            return false;
        };
        let intent = Intent { block: victim, sequence, owner_floor: self.owner_floor };
        while self.block_mut(holder).intents_used < INTENT_COUNT {
            let unit = INTENT_UNIT + self.block_mut(holder).intents_used;
            self.block_mut(holder).intents_used += 1;
            let address = self.address(holder, unit);
            if program(&mut self.flash, &mut self.programmed, address, &intent.encode(salt)).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// Doomed blocks stay condemned when the head that condemned them is erased in its turn. Those below the base are
    /// condemned by the base that every head carries, retired ones by its list of bad blocks.
    async fn repeat_intents(&mut self, listed: bool) {
        let base = self.base;
        for number in 0..self.block_count() {
            let block = *self.block_mut(number);
            match block.state {
                State::Doomed { sequence } if sequence >= base && !(block.retired && listed) => {
                    self.put_intent(number, sequence).await;
                }
                _ => {}
            }
        }
    }

    /// Takes a block out of use and says so on it as well as it can be said; the next head lists it too. One of the
    /// last two blocks stays in use: perhaps it works the next time, and without it nothing does.
    async fn retire(&mut self, number: u16) -> Result<Prepared, LogError> {
        if self.usable_blocks() <= 2 {
            return Err(LogError::Program);
        }
        self.block_mut(number).retired = true;
        self.note(LogNotice::Retired(number));
        if let State::Doomed { .. } = self.block_mut(number).state {
            // It cannot be erased, but perhaps spoilt: without headers its records do not exist.
            let mut spoilt = true;
            for unit in [OPENED_UNIT, OPENED_AGAIN_UNIT] {
                let address = self.address(number, unit);
                spoilt &= program(&mut self.flash, &mut self.programmed, address, &[0; UNIT]).await.is_ok();
            }
            if spoilt {
                self.block_mut(number).state = State::Dirty;
            }
        } else {
            let mark = format::retired_mark();
            let at = self.address(number, RETIRED_UNIT);
            let _ = program(&mut self.flash, &mut self.programmed, at, &mark).await;
        }
        self.list_bad_blocks().await;
        Ok(Prepared::Retired)
    }

    /// Gives up the head, whose every live record must also be in an older block: what is in it ceases to exist, and the
    /// block is free. Then the newest of the others counts as head, and nothing fits it. For an owner that ran
    /// out of free blocks in the middle of cleaning. `false` if there is no older block.
    ///
    /// The intent goes into an older block. If none has room for it, the head is erased without: then copies that a
    /// torn erase has damaged may be found beside their originals, and the owner must take the original.
    pub async fn abandon_head(&mut self) -> bool {
        let Some((head, sequence)) = self.head.and_then(|head| Some((head, self.sequence(head)?))) else {
            return false;
        };
        let mut older = self.blocks_in_order();
        older.retain(|block| *block != head);
        if older.is_empty() {
            return false;
        }
        for holder in older.into_iter().rev() {
            if self.put_intent_into(holder, head, sequence).await {
                break;
            }
        }
        self.block_mut(head).state = State::Doomed { sequence };
        self.head = self.newest();
        // The next block that is opened follows it; nothing is appended to a block that was closed.
        (self.next_unit, self.low_unit) = (self.block_units(), self.block_units());
        true
    }

    /// Erases a block that holds nothing live, or takes it out of use. `false` if it was retired.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn reclaim(&mut self, number: u16) -> Result<bool, LogError> {
        if usize::from(number) >= self.blocks.len() || self.is_head(number) {
            return Ok(false);
        }
        self.make_blank(number).await
    }

    /// Ends everything: opens an empty head that says that all older blocks do not exist, then erases those. After a
    /// power cut there is either all of the old content or nothing. For a factory reset; `dead` tells which blocks
    /// hold nothing live.
    ///
    /// Where no block is free, the oldest blocks are erased first, and only then a power cut may leave a part: the
    /// newest.
    ///
    /// # Errors
    /// [`LogError::Read`], [`LogError::NoFreeBlock`] if all blocks have failed.
    pub async fn clear(&mut self, dead: impl Fn(u16) -> bool) -> Result<(), LogError> {
        match self.open(dead, Prefer::LeastWorn, true).await {
            Ok(_) => {}
            Err(LogError::NoFreeBlock) => {
                self.parked = None;
                for number in self.blocks_in_order() {
                    if self.head != Some(number) {
                        self.make_blank(number).await?;
                    }
                }
                self.open(|_| false, Prefer::LeastWorn, true).await?;
            }
            Err(error) => return Err(error),
        }
        for number in 0..self.block_count() {
            if let State::Open { sequence } = self.block_mut(number).state
                && sequence < self.base
            {
                self.block_mut(number).state = State::Doomed { sequence };
            }
            if let State::Doomed { .. } = self.block_mut(number).state
                && !self.block_mut(number).retired
            {
                self.make_blank(number).await?;
            }
        }
        Ok(())
    }

    /// Remembers that a block should be moved and erased: something in it was not read as it was written.
    pub fn worry(&mut self, block: u16) {
        if let Some(block) = self.blocks.get_mut(usize::from(block)) {
            block.worried = true;
        }
    }

    /// Whether [`Self::worry`] was said of a block since it was erased.
    #[must_use]
    pub fn is_worrying(&self, block: u16) -> bool {
        self.blocks.get(usize::from(block)).is_some_and(|block| block.worried)
    }
}
