//! Room: opening blocks, cleaning, placing records.

use embassy_futures::yield_now;
use embedded_storage_async::nor_flash::NorFlash;
use flash_log::{Entry, LogError, LogNotice, Prefer, Record, Scan, Stream};
use limits::flash::PLACE_ATTEMPTS_MAX;
use limits::spool::STEP_SLOTS_COUNT_MAX;
use platform::MutexGuard;

use crate::doubt::Unwanted;
use crate::health::Notice;
use crate::index::{Index, Target};
use crate::mount::MOVED;
use crate::types::{SpoolError, SpoolFull};
use crate::{Inner, Spool, flash_error};

/// Free blocks that only cleaning may open.
const FREE_FOR_CLEANING: u32 = 2;
/// Erased blocks that the idle task keeps ready.
const ERASED_AHEAD: u32 = 4;

/// Blocks of a partition from which on what cleaning keeps goes to a head of its own.
const STREAMS_BLOCKS_MIN: u16 = 24;

/// Why a block is cleaned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To win back room.
    Room,
    /// It fails, or something in it was not read as it was written.
    Refresh,
    /// It was erased much less often than others.
    Level,
}

/// A block that is being cleaned.
pub(crate) struct Cleaning {
    purpose: Purpose,
    victim: u16,
    scan: Scan,
    /// A live record that could not be placed yet.
    next: Option<Entry>,
}

/// What one step of cleaning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Moved a record, opened a block or looked at some dead slots.
    Moved,
    /// Finished a block.
    Finished,
    /// Found nothing worth cleaning.
    Nothing,
}

/// Which blocks are worth cleaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worth {
    /// The best of all, because room is needed.
    Any,
    /// The emptiest, because cost and benefit have not led anywhere.
    Emptiest,
    /// At least half of it is dead.
    HalfDead,
}

/// Octets that cleaning has copied, by purpose.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copied {
    pub room: u64,
    pub refresh: u64,
    pub level: u64,
}

impl Copied {
    pub(crate) const fn total(&self) -> u64 {
        self.room + self.refresh + self.level
    }
}

pub(crate) type Guard<'a, F> = MutexGuard<'a, Inner<F>>;

impl<F: NorFlash> Spool<F> {
    fn free_blocks(&self, inner: &Inner<F>) -> u32 {
        let index = self.index.borrow();
        inner.log.free_blocks(|block| index.is_dead(block))
    }

    pub(crate) async fn open_next(&self, inner: &mut Inner<F>) -> Result<(), LogError> {
        let level = inner.cleaning.as_ref().is_some_and(|cleaning| cleaning.purpose == Purpose::Level);
        // What has stayed for long will stay: it rests a block that is worn.
        let prefer = if level { Prefer::MostWorn } else { Prefer::LeastWorn };
        inner.log.raise_owner_floor(self.index.borrow().last_id());
        inner.log.open_next(|block| self.index.borrow().is_dead(block), prefer).await?;
        self.note_blocks(inner);
        Ok(())
    }

    /// Takes over what erasing has changed: end records of erased blocks are dead, retired blocks are no capacity.
    fn note_blocks(&self, inner: &mut Inner<F>) {
        let usable = inner.log.usable_blocks();
        let mut index = self.index.borrow_mut();
        index.capacity = index.geometry.capacity(usable);
        index.drop_ended(|block, sequence| inner.log.may_hold(block, sequence));
        inner.stuck.retain(|block| !index.is_dead(*block));
        for notice in inner.log.take_notices() {
            index.note(match notice {
                LogNotice::Failing(block) => Notice::BlockFailing { block },
                LogNotice::Retired(block) => Notice::BlockRetired { block },
            });
        }
    }

    /// One bounded step of erasing ahead; whether there was something to do.
    async fn erase_step(&self, inner: &mut Inner<F>) -> Result<bool, LogError> {
        inner.log.raise_owner_floor(self.index.borrow().last_id());
        let done = inner.log.erase_ahead(|block| self.index.borrow().is_dead(block)).await;
        self.note_blocks(inner);
        done
    }

    /// Waits until the head fits a record and returns with the flash taken. Cleans as much as it must, one record
    /// at a time, and lets others work in between.
    pub(crate) async fn room(&self, len: u32, anchor: bool) -> Result<Guard<'_, F>, SpoolError> {
        let mut fruitless = 0;
        loop {
            let mut inner = self.lock().await;
            let free = self.free_blocks(&inner);
            if free >= FREE_FOR_CLEANING && inner.log.fits(len, anchor) {
                return Ok(inner);
            }
            if free > FREE_FOR_CLEANING {
                // An erase ahead of the opening, so that the flash is released after each of its steps.
                if inner.log.erased_blocks() > 0 || !self.erase_step(&mut inner).await.map_err(flash_error)? {
                    self.open_next(&mut inner).await.map_err(flash_error)?;
                    continue;
                }
                drop(inner);
                yield_now().await;
                continue;
            }
            let blocks = u32::from(inner.log.block_count());
            let worth = if fruitless > blocks { Worth::Emptiest } else { Worth::Any };
            match self.clean(&mut inner, worth).await.map_err(flash_error)? {
                Step::Moved => {}
                Step::Finished => fruitless += 1,
                Step::Nothing => return Err(SpoolError::Full(SpoolFull::Now)),
            }
            // Twice more around all blocks packs everything as tightly as it gets.
            if fruitless > 3 * blocks {
                return Err(SpoolError::Full(SpoolFull::Now));
            }
            drop(inner);
            yield_now().await;
        }
    }

    /// Writes a record wherever there is room and enters it into the index before anybody else takes the flash.
    pub(crate) async fn place(
        &self,
        record: Record,
        payload: &[&[u8]],
        enter: impl FnOnce(&mut Index, &Entry) -> bool,
    ) -> Result<(), SpoolError> {
        let len: usize = payload.iter().map(|piece| piece.len()).sum();
        for _ in 0..PLACE_ATTEMPTS_MAX {
            let mut inner = self.room(len as u32, record.anchor).await?;
            match self.write_record(&mut inner, record, payload).await {
                Ok(entry) => {
                    let entered = enter(&mut self.index.borrow_mut(), &entry);
                    if entered {
                        inner.doubt.settle(&entry);
                    }
                    return if entered { Ok(()) } else { Err(SpoolError::Full(SpoolFull::Now)) };
                }
                Err(LogError::Program | LogError::HeadFull) => {}
                Err(error) => return Err(flash_error(error)),
            }
        }
        Err(SpoolError::Flash)
    }

    /// Appends under a lock that is held. The caller enters the record into the index and then settles the doubt.
    pub(crate) async fn write_record(
        &self,
        inner: &mut Inner<F>,
        record: Record,
        payload: &[&[u8]],
    ) -> Result<Entry, LogError> {
        // A future that is dropped after the slot was programmed leaves a record that nobody knows of.
        let at = inner.log.next_location();
        if record.anchor {
            inner.doubt.unwanted.extend(at.map(|at| Unwanted { owner: record.owner, at }));
        } else {
            inner.doubt.written = at;
        }
        let result = inner.log.append(record, payload).await;
        if result.is_err() {
            // The caller writes it again, in the same version: whichever of the two is found says the same.
            inner.doubt.written = None;
        }
        result
    }

    /// One step of cleaning: at most one record is moved, at most [`STEP_SLOTS_COUNT_MAX`] slots are looked at.
    async fn clean(&self, inner: &mut Inner<F>, worth: Worth) -> Result<Step, LogError> {
        // The victim may have died and been erased meanwhile.
        if !inner.cleaning.as_ref().is_some_and(|cleaning| cleaning.scan.is_current(&inner.log)) {
            inner.cleaning = None;
            let Some(victim) = self.victim(inner, worth) else {
                return Ok(Step::Nothing);
            };
            self.begin_cleaning(inner, victim, Purpose::Room);
        }
        self.clean_on(inner).await
    }

    fn begin_cleaning(&self, inner: &mut Inner<F>, victim: u16, purpose: Purpose) {
        inner.cleaning = inner.log.scan(victim).map(|scan| Cleaning { purpose, victim, scan, next: None });
    }

    /// Goes on with the block that is being cleaned.
    async fn clean_on(&self, inner: &mut Inner<F>) -> Result<Step, LogError> {
        let Some(mut cleaning) = inner.cleaning.take() else {
            return Ok(Step::Nothing);
        };
        for _ in 0..STEP_SLOTS_COUNT_MAX {
            let entry = match cleaning.next.take() {
                Some(entry) => Some(entry),
                None => inner.log.next(&mut cleaning.scan).await?,
            };
            let Some(entry) = entry else {
                self.finish_cleaning(inner, cleaning.victim);
                return Ok(Step::Finished);
            };
            let target = self.index.borrow().target(&entry);
            let Some(target) = target else { continue };
            let purpose = cleaning.purpose;
            cleaning.next = Some(entry);
            inner.cleaning = Some(cleaning);
            if !self.select_for(inner, &entry) {
                self.open_next(inner).await?;
                return Ok(Step::Moved);
            }
            match self.move_record(inner, &entry, target).await {
                Ok(octets) => {
                    match purpose {
                        Purpose::Room => inner.copied.room += octets,
                        Purpose::Refresh => inner.copied.refresh += octets,
                        Purpose::Level => inner.copied.level += octets,
                    }
                    if let Some(cleaning) = &mut inner.cleaning {
                        cleaning.next = None;
                    }
                }
                // The head is closed; the record goes to the next one.
                Err(LogError::Program | LogError::HeadFull) => {}
                Err(error) => return Err(error),
            }
            return Ok(Step::Moved);
        }
        inner.cleaning = Some(cleaning);
        Ok(Step::Moved)
    }

    /// Selects a head for a record that cleaning keeps; `false` if one must be opened first.
    fn select_for(&self, inner: &mut Inner<F>, entry: &Entry) -> bool {
        let fits = |inner: &Inner<F>| inner.log.fits(entry.len, entry.record.anchor);
        if inner.log.block_count() < STREAMS_BLOCKS_MIN {
            return fits(inner);
        }
        inner.log.select(Stream::Kept);
        if fits(inner) {
            return true;
        }
        // The last free blocks are not spent on keeping things apart.
        if self.free_blocks(inner) <= FREE_FOR_CLEANING {
            inner.log.select(Stream::New);
            if fits(inner) {
                return true;
            }
            inner.log.select(Stream::Kept);
        }
        false
    }

    fn finish_cleaning(&self, inner: &mut Inner<F>, victim: u16) {
        let mut index = self.index.borrow_mut();
        if index.is_dead(victim) {
            return;
        }
        // A slot has decayed since the mount: what it describes can be neither read nor moved.
        index.strand(victim);
        if !index.is_dead(victim) && !inner.stuck.contains(&victim) {
            inner.stuck.push(victim);
        }
    }

    /// Copies a live record to the head and ends the old one. Returns the octets that it took.
    async fn move_record(&self, inner: &mut Inner<F>, old: &Entry, target: Target) -> Result<u64, LogError> {
        let owner = old.record.owner;
        let anchor = matches!(target, Target::Anchor(_));
        if anchor {
            inner.doubt.unwanted.extend(inner.log.next_location().map(|at| Unwanted { owner, at }));
        }
        let copy = inner.log.copy(old).await?;
        {
            // An arriving message may have been dropped meanwhile.
            let mut index = self.index.borrow_mut();
            if index.target(old) == Some(target) {
                index.moved(target, &copy);
            }
        }
        if anchor {
            // From here on the older one must not live. If neither its kill unit nor an end record can be programmed it
            // stays on the list, and until it has ended the newer one is not ended either.
            inner.doubt.unwanted.push(Unwanted { owner, at: old.at });
            inner.doubt.settle(&copy);
            if self.end_anchor(inner, owner, old.at, MOVED).await.is_ok() {
                inner.doubt.settle(old);
            }
        }
        Ok(u64::from(copy.footprint_units()) * 32)
    }

    /// The closed block whose cleaning wins most for what it costs.
    fn victim(&self, inner: &Inner<F>, worth: Worth) -> Option<u16> {
        let index = self.index.borrow();
        let room = index.geometry.room_units;
        // What stays empty at the end of a block because the next record did not fit.
        let worth_it = room.saturating_sub(index.geometry.waste_units());
        let newest = inner.log.newest_sequence();
        let candidates = || {
            (0..inner.log.block_count())
                .filter(|block| !inner.log.is_head(*block) && !inner.stuck.contains(block))
                .filter_map(|block| Some((block, inner.log.sequence(block)?, index.live(block))))
                .filter(|(_, _, live)| *live > 0 && (worth != Worth::HalfDead || *live <= room / 2))
        };
        let best = candidates()
            .filter(|(_, _, live)| worth != Worth::Emptiest && *live <= worth_it)
            .max_by_key(|(_, sequence, live)| {
                // Benefit: the dead part, and how long it will stay won, for which the age stands. Cost: reading the
                // block and writing the live part.
                let age = u64::from(newest.saturating_sub(*sequence)) + 1;
                let dead = u64::from(room.saturating_sub(*live));
                (dead * age * 1_024) / u64::from(room + *live)
            });
        best.or_else(|| candidates().min_by_key(|(_, _, live)| *live)).map(|(block, _, _)| block)
    }

    /// A closed block that fails or worries and holds live records.
    fn endangered(&self, inner: &Inner<F>) -> Option<u16> {
        let index = self.index.borrow();
        (0..inner.log.block_count())
            .filter(|block| inner.log.is_failing(*block) || inner.log.is_worrying(*block))
            .filter(|block| inner.log.sequence(*block).is_some() && !inner.log.is_head(*block))
            .find(|block| !index.is_dead(*block) && !inner.stuck.contains(block))
    }

    /// The closed block with live records that was erased least often, if others were erased much more often.
    fn rested(&self, inner: &Inner<F>) -> Option<u16> {
        let index = self.index.borrow();
        let most = inner.log.wear().max;
        (0..inner.log.block_count())
            .filter(|block| inner.log.sequence(*block).is_some() && !inner.log.is_head(*block))
            .filter(|block| !index.is_dead(*block) && !inner.stuck.contains(block))
            .map(|block| (inner.log.erase_count(block), block))
            .min()
            .filter(|(least, _)| most - least > 1 + most / 4)
            .map(|(_, block)| block)
    }

    /// One bounded step of work ahead of need: one erase, the check of a part of an erased block, one record moved, or
    /// one record read and checked. Returns whether there is more that should be done soon; checking goes on for ever,
    /// at the pace of the calls that find nothing else to do. For the idle task; every other operation cleans
    /// for itself when it must.
    ///
    /// # Errors
    /// [`SpoolError::Flash`].
    pub async fn clean_step(&self) -> Result<bool, SpoolError> {
        let mut inner = self.lock().await;
        let step = self.tend(&mut inner).await.map_err(flash_error);
        self.note_blocks(&mut inner);
        step
    }

    async fn tend(&self, inner: &mut Inner<F>) -> Result<bool, LogError> {
        let free = self.free_blocks(inner);
        let blocks = inner.log.block_count();
        let wanted = (u32::from(blocks) / 8).max(FREE_FOR_CLEANING + 1);
        let retire = (0..blocks)
            .any(|block| inner.log.is_failing(block) && !inner.log.is_head(block) && self.is_dead(block));
        if (retire || inner.log.erased_blocks() < ERASED_AHEAD.min(free)) && self.erase_step(inner).await? {
            return Ok(true);
        }
        let current = inner.cleaning.as_ref().is_some_and(|cleaning| cleaning.scan.is_current(&inner.log));
        if current || free < wanted {
            // Ahead of need only blocks that are at least half dead are worth the copying.
            let step = self.clean(inner, Worth::HalfDead).await?;
            if step != Step::Nothing {
                return Ok(true);
            }
        }
        if free > FREE_FOR_CLEANING {
            let next = self.endangered(inner).map(|block| (block, Purpose::Refresh));
            let next = next.or_else(|| self.rested(inner).map(|block| (block, Purpose::Level)));
            if let Some((victim, purpose)) = next {
                if purpose == Purpose::Refresh && !inner.log.is_failing(victim) {
                    self.index.borrow_mut().note(Notice::BlockRefreshed { block: victim });
                    inner.scrub.found.refreshed += 1;
                }
                self.begin_cleaning(inner, victim, purpose);
                return Ok(true);
            }
        }
        self.scrub_step(inner).await?;
        Ok(self.endangered(inner).is_some() && free > FREE_FOR_CLEANING)
    }

    fn is_dead(&self, block: u16) -> bool {
        self.index.borrow().is_dead(block)
    }
}
