//! The bounded queue on flash. (The specification follows with the implementation; the interface is settled.)
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod types;

pub use types::*;

use alloc::vec::Vec;
use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;

/// A message that is arriving. Dropping it forgets the message and gives its reservation back.
pub struct Incoming<'s, F: NorFlash> {
    spool: &'s Spool<F>,
}

impl<F: NorFlash> Incoming<'_, F> {
    /// The id that the message will have. It names nothing until [`Spool::commit`] has returned.
    #[must_use]
    pub fn id(&self) -> QueueId {
        let _ = self.spool;
        todo!()
    }

    /// Octets that were appended.
    #[must_use]
    pub fn size(&self) -> u32 {
        todo!()
    }
}

/// The queue. All methods take `&self`; operations on flash are serialised inside.
pub struct Spool<F> {
    _flash: F,
}

#[allow(unused_variables)]
impl<F: NorFlash> Spool<F> {
    /// Mounts the queue. Blank or foreign flash becomes an empty queue; any content gives a defined state.
    ///
    /// # Errors
    /// [`SpoolError::Flash`] if the device cannot be read or its geometry is unusable.
    pub async fn mount(flash: F) -> Result<(Self, MountReport), SpoolError> {
        todo!()
    }

    /// Reserves room for a message. Writes nothing.
    ///
    /// # Errors
    /// See [`SpoolFull`].
    pub fn begin(&self, admission: Admission) -> Result<Incoming<'_, F>, SpoolFull> {
        todo!()
    }

    /// Appends content. Nothing is written until a chunk is full.
    ///
    /// # Errors
    /// [`SpoolError::Full`] only beyond the declared size, [`SpoolError::Flash`]. The message should be aborted.
    pub async fn append(&self, incoming: &mut Incoming<'_, F>, bytes: &[u8]) -> Result<(), SpoolError> {
        todo!()
    }

    /// Makes the message exist. Returns after the commit record has been read back: from then on it survives
    /// any power cut. If the future is dropped half-way the message may or may not exist.
    ///
    /// # Errors
    /// [`SpoolError::TooLong`] (a field beyond its bound), [`SpoolError::Full`] only if there are more
    /// recipients or octets than were admitted, [`SpoolError::Flash`].
    pub async fn commit<'r, R: Into<NewRecipient<'r>>>(
        &self,
        incoming: Incoming<'_, F>,
        arrival: &Arrival<'_>,
        recipients: impl Iterator<Item = R>,
    ) -> Result<QueueId, SpoolError> {
        todo!()
    }

    /// Forgets an arriving message; the same as dropping it.
    pub fn abort(&self, incoming: Incoming<'_, F>) {
        drop(incoming);
    }

    /// Reads content from `offset`; returns the octets read, 0 at the end. Fast when it goes on where an earlier
    /// read of the same message ended.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchMessage`], [`SpoolError::Damaged`], [`SpoolError::Flash`].
    pub async fn read(&self, id: QueueId, offset: u32, out: &mut [u8]) -> Result<usize, SpoolError> {
        todo!()
    }

    /// Octets of content, `None` if there is no such message.
    #[must_use]
    pub fn content_size(&self, id: QueueId) -> Option<u32> {
        todo!()
    }

    /// The envelope.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchMessage`], [`SpoolError::Damaged`], [`SpoolError::Flash`].
    pub async fn arrival(&self, id: QueueId) -> Result<ArrivalInfo, SpoolError> {
        todo!()
    }

    /// Replaces `out` by the scanner's facts.
    ///
    /// # Errors
    /// As [`Self::arrival`].
    pub async fn facts(&self, id: QueueId, out: &mut Vec<u8>) -> Result<(), SpoolError> {
        todo!()
    }

    /// One recipient with its state.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchRecipient`] and as [`Self::arrival`].
    pub async fn recipient(&self, id: QueueId, index: u16) -> Result<Recipient, SpoolError> {
        todo!()
    }

    /// Replaces `out` by up to [`limits::spool::PAGE_RECIPIENTS_COUNT`] recipients from `first` on, at least one
    /// unless `first` is the number of recipients.
    ///
    /// # Errors
    /// As [`Self::arrival`].
    pub async fn recipients(
        &self,
        id: QueueId,
        first: u16,
        out: &mut Vec<Recipient>,
    ) -> Result<(), SpoolError> {
        todo!()
    }

    /// Stores the recipe, replacing an earlier one. Committed when it returns.
    ///
    /// # Errors
    /// [`SpoolError::TooLong`] beyond [`limits::spool::RECIPE_BYTES_MAX`]; [`SpoolError::Full`] only if it is
    /// larger than [`limits::spool::RECIPE_BYTES_RESERVED`].
    pub async fn set_recipe(&self, id: QueueId, recipe: &[u8]) -> Result<(), SpoolError> {
        todo!()
    }

    /// Replaces `out` by the recipe; `false` if there is none.
    ///
    /// # Errors
    /// As [`Self::arrival`].
    pub async fn recipe(&self, id: QueueId, out: &mut Vec<u8>) -> Result<bool, SpoolError> {
        todo!()
    }

    /// Records an attempt: new states of some recipients (in any order), when the next attempt is due and why.
    /// Counts as one attempt. Committed when it returns; after a cut in the middle each page of
    /// [`limits::spool::PAGE_RECIPIENTS_COUNT`] recipients has either its old or its new states.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchRecipient`] and as [`Self::arrival`]. Never [`SpoolError::Full`].
    pub async fn record_attempt(
        &self,
        id: QueueId,
        states: &[(u16, RecipientState)],
        next_try: u64,
        reason: &str,
    ) -> Result<(), SpoolError> {
        todo!()
    }

    /// Moves the next attempt without counting one.
    ///
    /// # Errors
    /// As [`Self::record_attempt`].
    pub async fn reschedule(&self, id: QueueId, next_try: u64, reason: &str) -> Result<(), SpoolError> {
        todo!()
    }

    /// Holds the message until [`Self::release`].
    ///
    /// # Errors
    /// As [`Self::record_attempt`].
    pub async fn hold(&self, id: QueueId, reason: &str) -> Result<(), SpoolError> {
        todo!()
    }

    /// Releases a held message; its next attempt is due at once.
    ///
    /// # Errors
    /// As [`Self::record_attempt`].
    pub async fn release(&self, id: QueueId, reason: &str) -> Result<(), SpoolError> {
        todo!()
    }

    /// Ends the message. When it returns the message can never come back.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchMessage`], [`SpoolError::Flash`].
    pub async fn remove(&self, id: QueueId, how: Removal) -> Result<(), SpoolError> {
        todo!()
    }

    /// One line about a message, from RAM.
    #[must_use]
    pub fn brief(&self, id: QueueId) -> Option<Brief> {
        todo!()
    }

    /// Calls `visit` for every message, oldest first, from RAM. `visit` must not call the spool.
    pub fn for_each(&self, visit: impl FnMut(&Brief)) {
        todo!()
    }

    /// The first message after `after` (or the first of all) in order of ids, with its reason. Listing by
    /// repeated calls sees every message that exists throughout exactly once.
    ///
    /// # Errors
    /// [`SpoolError::Flash`]. A damaged message is listed as such.
    pub async fn next_summary(&self, after: Option<QueueId>) -> Result<Option<Summary>, SpoolError> {
        todo!()
    }

    /// One bounded step of cleaning ahead of need (at most one record moved or one block erased). Returns
    /// whether there is more to do now. For the idle task; every other operation cleans for itself when it must.
    ///
    /// # Errors
    /// [`SpoolError::Flash`].
    pub async fn clean_step(&self) -> Result<bool, SpoolError> {
        todo!()
    }

    /// Room and wear.
    #[must_use]
    pub fn usage(&self) -> Usage {
        todo!()
    }

    /// Erases everything (factory reset).
    ///
    /// # Errors
    /// [`SpoolError::Flash`].
    pub async fn clear(&self) -> Result<(), SpoolError> {
        todo!()
    }
}
