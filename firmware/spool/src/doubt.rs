//! What a dropped future left in doubt is settled before the flash is used again: whatever the flash says is what
//! happened, so that a restart never shows anything else.

use alloc::vec::Vec;

use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use flash_log::{Entry, Location, LogError, Stream};

use crate::clean::Guard;
use crate::ended::Ended;
use crate::record::{RECIPE, STATE};
use crate::types::SpoolError;
use crate::{Inner, Spool};

/// A commit record that must not live if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unwanted {
    pub owner: u64,
    pub at: Location,
}

/// Steps of which it is not known whether they reached the flash. Each is entered before its first program and
/// taken out when the index knows about it.
#[derive(Default)]
pub(crate) struct Doubt {
    /// Commit records that must not live: their writing was not finished, or they were copied. One at most, unless the
    /// flash does not take their ends.
    pub unwanted: Vec<Unwanted>,
    /// A state page, a recipe or an end record, which counts if it is there.
    pub written: Option<Location>,
    /// A message that is over if its kill unit is not blank.
    pub ending: Option<QueueId>,
}

impl Doubt {
    /// A record is what the index says, or has ended.
    pub(crate) fn settle(&mut self, entry: &Entry) {
        self.unwanted.retain(|unwanted| unwanted.at != entry.at);
        if self.written == Some(entry.at) {
            self.written = None;
        }
    }
}

impl<F: NorFlash> Spool<F> {
    /// Takes the flash. Finishes what a dropped future left in doubt.
    pub(crate) async fn lock(&self) -> Guard<'_, F> {
        let mut inner = self.inner.lock().await;
        // Cleaning has selected the other, perhaps in a future that was dropped.
        inner.log.select(Stream::New);
        // If the device fails here the doubt stays, and whoever comes next looks again.
        if let Some(at) = inner.doubt.written
            && self.adopt(&mut inner, at).await.is_ok()
        {
            inner.doubt.written = None;
        }
        if !inner.doubt.unwanted.is_empty() {
            self.end_unwanted(&mut inner).await;
        }
        if let Some(id) = inner.doubt.ending
            && self.end(&mut inner, id).await.is_ok()
        {
            inner.doubt.ending = None;
        }
        inner
    }

    async fn adopt(&self, inner: &mut Inner<F>, at: Location) -> Result<(), SpoolError> {
        let found = inner.log.entry(at).await.map_err(crate::flash_error)?;
        if let Some(ended) = found.as_ref().and_then(Ended::of) {
            self.index.borrow_mut().add_ended(ended);
            return Ok(());
        }
        let Some(entry) = found.filter(|entry| matches!(entry.record.kind, STATE | RECIPE)) else {
            return Ok(());
        };
        let place = self.index.borrow().stored(QueueId(entry.record.owner));
        let Some(place) = place else { return Ok(()) };
        self.index.borrow_mut().put_other(place, &entry);
        if entry.record.kind == STATE {
            return self.recount(inner, place).await;
        }
        self.index.borrow_mut().settle(place);
        Ok(())
    }

    async fn end(&self, inner: &mut Inner<F>, id: QueueId) -> Result<(), LogError> {
        let found = {
            let index = self.index.borrow();
            index.stored(id).map(|place| (place, index.messages[place].anchor))
        };
        if let Some((place, anchor)) = found {
            let sequence = inner.log.sequence(anchor.block());
            let killed = inner.log.entry(anchor).await?.is_some_and(|entry| entry.killed);
            let mut index = self.index.borrow_mut();
            if killed || sequence.is_some_and(|sequence| index.is_ended(id.0, anchor.block(), sequence)) {
                index.remove(place);
            }
        }
        Ok(())
    }
}
