//! Ends of commit records whose kill unit does not take the mark. The crate doc says why this is right.

use embedded_storage_async::nor_flash::NorFlash;
use flash_log::{Entry, Location, LogError, Record};
use limits::flash::PLACE_ATTEMPTS_MAX;
use limits::spool::ENDED_COUNT_MAX;

use crate::index::Index;
use crate::mount::MOVED;
use crate::record::ENDED;
use crate::{Inner, Spool};

/// An end record: the commit records of `owner` in `block` do not live, while the block has that sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub owner: u64,
    pub block: u16,
    pub sequence: u32,
    /// Where the end record is.
    pub at: Location,
}

impl Ended {
    /// What an end record says; `None` if it names no block.
    pub(crate) fn of(entry: &Entry) -> Option<Self> {
        let block = u16::try_from(entry.record.part).ok()?;
        let (owner, sequence) = (entry.record.owner, entry.record.version);
        (entry.record.kind == ENDED).then_some(Self { owner, block, sequence, at: entry.at })
    }
}

impl Index {
    pub(crate) fn is_ended(&self, owner: u64, block: u16, sequence: u32) -> bool {
        let says = |ended: &Ended| (ended.owner, ended.block, ended.sequence) == (owner, block, sequence);
        self.ended.iter().any(says)
    }

    /// Adds an end record or its later copy; `false` if the table is full.
    pub(crate) fn add_ended(&mut self, new: Ended) -> bool {
        let same = |ended: &&mut Ended| {
            (ended.owner, ended.block, ended.sequence) == (new.owner, new.block, new.sequence)
        };
        if let Some(known) = self.ended.iter_mut().find(same) {
            let old = core::mem::replace(&mut known.at, new.at);
            self.shift_live(Some(old), Some(new.at), 1);
            return true;
        }
        if self.ended.len() >= ENDED_COUNT_MAX {
            return false;
        }
        self.ended.push(new);
        self.shift_live(None, Some(new.at), 1);
        true
    }

    /// Drops the end records whose block has been erased: they are dead then.
    pub(crate) fn drop_ended(&mut self, holds: impl Fn(u16, u32) -> bool) {
        let mut at = 0;
        while let Some(ended) = self.ended.get(at).copied() {
            if holds(ended.block, ended.sequence) {
                at += 1;
            } else {
                self.ended.swap_remove(at);
                self.shift_live(Some(ended.at), None, 1);
            }
        }
    }
}

impl<F: NorFlash> Spool<F> {
    /// Makes sure that a commit record does not live: kills it, or writes an end record for it.
    ///
    /// On failure it may live, and its owner's newer commit record must not be ended.
    pub(crate) async fn end_anchor(
        &self,
        inner: &mut Inner<F>,
        owner: u64,
        at: Location,
        how: u8,
    ) -> Result<(), LogError> {
        match inner.log.kill(at, how).await {
            Ok(()) => Ok(()),
            Err(LogError::Program) => self.entomb(inner, owner, at).await,
            Err(error) => Err(error),
        }
    }

    async fn entomb(&self, inner: &mut Inner<F>, owner: u64, at: Location) -> Result<(), LogError> {
        let Some(sequence) = inner.log.sequence(at.block()) else {
            // The block has been erased, or does not count any more.
            return Ok(());
        };
        if self.index.borrow().is_ended(owner, at.block(), sequence) {
            return Ok(());
        }
        if inner.doubt.written.is_some() || self.index.borrow().ended.len() >= ENDED_COUNT_MAX {
            return Err(LogError::Program);
        }
        let part = u32::from(at.block());
        let record = Record { kind: ENDED, anchor: false, owner, part, version: sequence };
        for _ in 0..PLACE_ATTEMPTS_MAX {
            if !inner.log.fits(0, false) {
                self.open_next(inner).await?;
            }
            inner.doubt.written = inner.log.next_location();
            let result = inner.log.append(record, &[]).await;
            inner.doubt.written = None;
            match result {
                Ok(entry) => {
                    let ended = Ended { owner, block: at.block(), sequence, at: entry.at };
                    self.index.borrow_mut().add_ended(ended);
                    return Ok(());
                }
                Err(LogError::Program | LogError::HeadFull) => {}
                Err(error) => return Err(error),
            }
        }
        Err(LogError::Program)
    }

    /// Ends the commit records that must not live. What cannot be ended stays on the list.
    pub(crate) async fn end_unwanted(&self, inner: &mut Inner<F>) {
        let mut waiting = core::mem::take(&mut inner.doubt.unwanted);
        while let Some(unwanted) = waiting.pop() {
            // A dropped future must not forget it.
            inner.doubt.unwanted.push(unwanted);
            let found = inner.log.entry(unwanted.at).await;
            let lives = match found {
                Ok(Some(entry)) => {
                    entry.record.anchor && !entry.killed && entry.record.owner == unwanted.owner
                }
                Ok(None) => false,
                Err(_) => true,
            };
            if !lives || self.end_anchor(inner, unwanted.owner, unwanted.at, MOVED).await.is_ok() {
                inner.doubt.unwanted.retain(|other| *other != unwanted);
            }
        }
    }
}
