//! A walk over everything that is stored, for ever: what decays is found while it can still be moved.

use embedded_storage_async::nor_flash::NorFlash;
use flash_log::{Entry, LogError, Scan};
use limits::flash::{ERASE_CHECK_BYTES, RECORD_ALIGN_BYTES};
use limits::spool::STEP_SLOTS_COUNT_MAX;

use crate::health::Scrub;
use crate::{Inner, Spool};

/// Where the walk is, and what it found since the mount.
#[derive(Default)]
pub(crate) struct Walk {
    block: u16,
    scan: Option<Scan>,
    /// Units of an erased block that were looked at.
    blank: u32,
    pub found: Scrub,
}

impl<F: NorFlash> Spool<F> {
    /// One bounded step: the payload of one live record (at most [`limits::spool::CHUNK_BYTES`] and an envelope), or
    /// [`STEP_SLOTS_COUNT_MAX`] dead slots, or [`ERASE_CHECK_BYTES`] of an erased block.
    pub(crate) async fn scrub_step(&self, inner: &mut Inner<F>) -> Result<(), LogError> {
        let count = inner.log.block_count();
        let walk = &mut inner.scrub;
        walk.found.done_permille = (u32::from(walk.block) * 1_000 / u32::from(count.max(1))) as u16;
        if !walk.scan.as_ref().is_some_and(|scan| scan.is_current(&inner.log)) {
            walk.scan = inner.log.scan(walk.block);
            if inner.scrub.scan.is_none() {
                return self.scrub_blank(inner).await;
            }
            let block = inner.scrub.block;
            if !inner.log.headers_intact(block).await? && !inner.log.headers_intact(block).await? {
                inner.log.worry(block);
            }
        }
        let Some(mut scan) = inner.scrub.scan.take() else {
            return Ok(());
        };
        for _ in 0..STEP_SLOTS_COUNT_MAX {
            let Some(entry) = inner.log.next(&mut scan).await? else {
                next_block(inner);
                return Ok(());
            };
            if self.index.borrow().target(&entry).is_some() {
                inner.scrub.scan = Some(scan);
                return self.scrub_record(inner, &entry).await;
            }
        }
        inner.scrub.scan = Some(scan);
        Ok(())
    }

    async fn scrub_blank(&self, inner: &mut Inner<F>) -> Result<(), LogError> {
        let (block, from) = (inner.scrub.block, inner.scrub.blank);
        let step = (ERASE_CHECK_BYTES / RECORD_ALIGN_BYTES) as u32;
        let blank = inner.log.recheck_blank(block, from).await?;
        let end = inner.log.block_room() / RECORD_ALIGN_BYTES as u32;
        if blank && inner.log.is_blank(block) && from + step < end {
            inner.scrub.blank = from + step;
        } else {
            next_block(inner);
        }
        Ok(())
    }

    async fn scrub_record(&self, inner: &mut Inner<F>, entry: &Entry) -> Result<(), LogError> {
        if entry.worn {
            inner.log.worry(entry.at.block());
        }
        if inner.log.verify(entry).await? {
            inner.scrub.found.records += 1;
        } else if inner.log.verify(entry).await? {
            // It was misread and is right: a cell that begins to fail.
            inner.scrub.found.reread += 1;
            inner.log.worry(entry.at.block());
        } else if self.index.borrow_mut().damage(entry) {
            inner.scrub.found.damaged += 1;
        }
        Ok(())
    }
}

fn next_block<F: NorFlash>(inner: &mut Inner<F>) {
    let walk = &mut inner.scrub;
    (walk.scan, walk.blank) = (None, 0);
    walk.block += 1;
    if walk.block >= inner.log.block_count() {
        walk.block = 0;
        walk.found.passes = walk.found.passes.saturating_add(1);
    }
}
