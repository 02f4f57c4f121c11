//! Room: opening blocks, cleaning, placing records.

use embassy_futures::yield_now;
use embedded_storage_async::nor_flash::NorFlash;
use flash_log::{Entry, LogError, Prefer, Record, Scan};
use limits::flash::PLACE_ATTEMPTS_MAX;
use platform::MutexGuard;

use crate::doubt::Doubt;
use crate::index::{Index, Target};
use crate::mount::MOVED;
use crate::types::{SpoolError, SpoolFull};
use crate::{Inner, Spool, flash_error};

/// Free blocks that only cleaning may open.
const FREE_FOR_CLEANING: u32 = 2;
/// Erased blocks that the idle task keeps ready.
const ERASED_AHEAD: u32 = 4;

/// A block that is being cleaned.
pub(crate) struct Cleaning {
    victim: u16,
    scan: Scan,
    /// A live record that could not be placed yet.
    next: Option<Entry>,
}

/// What one step of cleaning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Moved a record or opened a block.
    Moved,
    /// Finished a block.
    Finished,
    /// Found nothing worth cleaning.
    Nothing,
}

pub(crate) type Guard<'a, F> = MutexGuard<'a, Inner<F>>;

impl<F: NorFlash> Spool<F> {
    fn free_blocks(&self, inner: &Inner<F>) -> u32 {
        let index = self.index.borrow();
        inner.log.free_blocks(|block| index.is_dead(block))
    }

    async fn open_next(&self, inner: &mut Inner<F>) -> Result<(), LogError> {
        inner.log.raise_owner_floor(self.index.borrow().last_id());
        inner.log.open_next(|block| self.index.borrow().is_dead(block), Prefer::LeastWorn).await?;
        inner.stuck.clear();
        let usable = inner.log.usable_blocks();
        let mut index = self.index.borrow_mut();
        index.capacity = index.geometry.capacity(usable);
        Ok(())
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
                self.open_next(&mut inner).await.map_err(flash_error)?;
                continue;
            }
            match self.clean(&mut inner, u32::MAX).await.map_err(flash_error)? {
                Step::Moved => {}
                Step::Finished => fruitless += 1,
                Step::Nothing => return Err(SpoolError::Full(SpoolFull::Now)),
            }
            // Twice around all blocks packs everything as tightly as it gets.
            if fruitless > 2 * u32::from(inner.log.block_count()) {
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
                        inner.doubt = Doubt::default();
                    }
                    return if entered { Ok(()) } else { Err(SpoolError::Full(SpoolFull::Now)) };
                }
                Err(LogError::Program | LogError::HeadFull) => {}
                Err(error) => return Err(flash_error(error)),
            }
        }
        Err(SpoolError::Flash)
    }

    /// Appends under a lock that is held. The caller enters the record into the index and then clears the doubt.
    pub(crate) async fn write_record(
        &self,
        inner: &mut Inner<F>,
        record: Record,
        payload: &[&[u8]],
    ) -> Result<Entry, LogError> {
        // A future that is dropped after the slot was programmed leaves a record that nobody knows of.
        let at = inner.log.next_location();
        inner.doubt = if record.anchor {
            Doubt { unwanted: at, ..Doubt::default() }
        } else {
            Doubt { written: at, ..Doubt::default() }
        };
        let result = inner.log.append(record, payload).await;
        if result.is_err() {
            // The caller writes it again, in the same version: whichever of the two is found says the same.
            inner.doubt.written = None;
        }
        result
    }

    /// One step of cleaning. A new victim is chosen only among blocks with at most `live_max` live units.
    async fn clean(&self, inner: &mut Inner<F>, live_max: u32) -> Result<Step, LogError> {
        // The victim may have died and been erased meanwhile.
        if !inner.cleaning.as_ref().is_some_and(|cleaning| cleaning.scan.is_current(&inner.log)) {
            inner.cleaning = None;
            let Some(victim) = self.victim(inner, live_max) else {
                return Ok(Step::Nothing);
            };
            inner.cleaning = inner.log.scan(victim).map(|scan| Cleaning { victim, scan, next: None });
        }
        let Some(mut cleaning) = inner.cleaning.take() else {
            return Ok(Step::Nothing);
        };
        loop {
            let entry = match cleaning.next.take() {
                Some(entry) => Some(entry),
                None => inner.log.next(&mut cleaning.scan).await?,
            };
            let Some(entry) = entry else {
                if !self.index.borrow().is_dead(cleaning.victim) {
                    // A slot has decayed since the mount: its record cannot be moved. Leave the block alone.
                    inner.stuck.push(cleaning.victim);
                }
                return Ok(Step::Finished);
            };
            let target = self.index.borrow().target(&entry);
            let Some(target) = target else { continue };
            if !inner.log.fits(entry.len, entry.record.anchor) {
                cleaning.next = Some(entry);
                inner.cleaning = Some(cleaning);
                self.open_next(inner).await?;
                return Ok(Step::Moved);
            }
            cleaning.next = Some(entry);
            inner.cleaning = Some(cleaning);
            match self.move_record(inner, &entry, target).await {
                Ok(()) => {
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
    }

    async fn move_record(&self, inner: &mut Inner<F>, old: &Entry, target: Target) -> Result<(), LogError> {
        let anchor = matches!(target, Target::Anchor(_));
        inner.doubt.unwanted = if anchor { inner.log.next_location() } else { None };
        let copy = inner.log.copy(old).await?;
        inner.moved += u64::from(copy.footprint_units()) * 32;
        {
            // An arriving message may have been dropped meanwhile.
            let mut index = self.index.borrow_mut();
            if index.target(old) == Some(target) {
                index.moved(target, &copy);
            }
        }
        if anchor {
            inner.doubt.unwanted = Some(old.at);
            let _ = inner.log.kill(old.at, MOVED).await;
        }
        inner.doubt.unwanted = None;
        Ok(())
    }

    /// The closed block with the fewest live units.
    fn victim(&self, inner: &Inner<F>, live_max: u32) -> Option<u16> {
        let index = self.index.borrow();
        (0..inner.log.block_count())
            .filter(|block| inner.log.sequence(*block).is_some() && inner.log.head() != Some(*block))
            .filter(|block| !inner.stuck.contains(block))
            .map(|block| (index.live(block), block))
            .filter(|(live, _)| *live > 0 && *live <= live_max)
            .min()
            .map(|(_, block)| block)
    }

    /// One bounded step of cleaning ahead of need (at most one record moved or one block erased). Returns
    /// whether there is more to do now. For the idle task; every other operation cleans for itself when it must.
    ///
    /// # Errors
    /// [`SpoolError::Flash`].
    pub async fn clean_step(&self) -> Result<bool, SpoolError> {
        let mut inner = self.lock().await;
        inner.log.raise_owner_floor(self.index.borrow().last_id());
        let free = self.free_blocks(&inner);
        let wanted = (u32::from(inner.log.block_count()) / 8).max(FREE_FOR_CLEANING + 1);
        if inner.log.erased_blocks() < ERASED_AHEAD.min(free) {
            let dead = |block| self.index.borrow().is_dead(block);
            if inner.log.erase_ahead(dead).await.map_err(flash_error)? {
                return Ok(true);
            }
        }
        if inner.cleaning.is_none() && free >= wanted {
            return Ok(false);
        }
        // Ahead of need only blocks that are at least half dead are worth the copying.
        let half = self.index.borrow().geometry.room_units / 2;
        let step = self.clean(&mut inner, half).await.map_err(flash_error)?;
        Ok(step != Step::Nothing)
    }
}
