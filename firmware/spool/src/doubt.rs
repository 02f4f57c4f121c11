//! What a dropped future left in doubt is settled before the flash is used again: whatever the flash says is what
//! happened, so that a restart never shows anything else.

use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use flash_log::{Location, LogError};

use crate::clean::Guard;
use crate::mount::MOVED;
use crate::record::{RECIPE, STATE};
use crate::types::SpoolError;
use crate::{Inner, Spool};

/// Steps of which it is not known whether they reached the flash. Each is entered before its first program and
/// taken out when the index knows about it.
#[derive(Default)]
pub(crate) struct Doubt {
    /// An anchor that must not live if it does.
    pub unwanted: Option<Location>,
    /// A state page or a recipe, which counts if it is there.
    pub written: Option<Location>,
    /// A message that is over if its kill unit is not blank.
    pub ending: Option<QueueId>,
}

impl<F: NorFlash> Spool<F> {
    /// Takes the flash. Finishes what a dropped future left in doubt.
    pub(crate) async fn lock(&self) -> Guard<'_, F> {
        let mut inner = self.inner.lock().await;
        if let Some(at) = inner.doubt.unwanted {
            if let Ok(Some(entry)) = inner.log.entry(at).await
                && entry.record.anchor
                && !entry.killed
            {
                // On failure the block is suspect and will be erased; there is nothing better to do.
                let _ = inner.log.kill(at, MOVED).await;
            }
            inner.doubt.unwanted = None;
        }
        // If the device fails here the doubt stays, and whoever comes next looks again.
        if let Some(at) = inner.doubt.written
            && self.adopt(&mut inner, at).await.is_ok()
        {
            inner.doubt.written = None;
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
        if let Some((place, anchor)) = found
            && inner.log.entry(anchor).await?.is_some_and(|entry| entry.killed)
        {
            self.index.borrow_mut().remove(place);
        }
        Ok(())
    }
}
