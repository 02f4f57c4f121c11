//! Writing: arrival, recipe, states, end.

use alloc::vec::Vec;

use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use flash_log::{LogError, Record};
use limits::flash::{PLACE_ATTEMPTS_MAX, RECORD_ALIGN_BYTES};
use limits::spool::{PAGE_RECIPIENTS_COUNT, RECIPE_BYTES_MAX};

use crate::index::{Index, key, units};
use crate::record::{
    self, COMMIT, CONTENT, PREFIX_BYTES, RECIPE, RECIPIENTS, STATE, StatePage, state_bytes_max,
};
use crate::types::{
    Admission, Arrival, MessageState, NewRecipient, RecipientState, Removal, SpoolError, SpoolFull, cut,
};
use crate::{Spool, flash_error};

/// A message that is arriving. Dropping it forgets the message and gives its reservation back.
pub struct Incoming<'s, F: NorFlash> {
    spool: &'s Spool<F>,
    place: usize,
    id: QueueId,
    buffer: Vec<u8>,
    size: u32,
    /// Octets of content that room has been taken for.
    admitted: u32,
    recipients: u16,
    recipients_bytes: u32,
    committed: bool,
}

impl<F: NorFlash> Incoming<'_, F> {
    /// The id that the message will have. It names nothing until [`Spool::commit`] has returned.
    #[must_use]
    pub const fn id(&self) -> QueueId {
        self.id
    }

    /// Octets that were appended.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }
}

impl<F: NorFlash> Drop for Incoming<'_, F> {
    fn drop(&mut self) {
        if !self.committed {
            self.spool.index.borrow_mut().remove(self.place);
        }
    }
}

/// What a state page is changed to.
struct Change<'a> {
    states: &'a [(u16, RecipientState)],
    /// The rest is for page 0.
    attempt: bool,
    held: Option<bool>,
    next_try: Option<u64>,
    reason: &'a str,
}

impl<F: NorFlash> Spool<F> {
    /// Reserves room for a message. Writes nothing.
    ///
    /// # Errors
    /// See [`SpoolFull`].
    pub fn begin(&self, admission: Admission) -> Result<Incoming<'_, F>, SpoolFull> {
        let mut index = self.index.borrow_mut();
        let (place, id) = index.admit(&admission)?;
        let chunk = index.geometry.chunk_bytes;
        Ok(Incoming {
            spool: self,
            place,
            id,
            buffer: Vec::with_capacity(admission.size.unwrap_or(chunk).min(chunk) as usize),
            size: 0,
            admitted: admission.size.unwrap_or(chunk),
            recipients: admission.recipients,
            recipients_bytes: admission.recipients_bytes,
            committed: false,
        })
    }

    /// Appends content. Nothing is written until more than a chunk has come. If the future is dropped half-way
    /// the message can only be aborted.
    ///
    /// # Errors
    /// [`SpoolError::Full`] only beyond the declared size, [`SpoolError::Flash`]. The message should be aborted.
    pub async fn append(&self, incoming: &mut Incoming<'_, F>, bytes: &[u8]) -> Result<(), SpoolError> {
        let chunk = self.index.borrow().geometry.chunk_bytes as usize;
        let mut rest = bytes;
        while !rest.is_empty() {
            if incoming.buffer.len() == chunk {
                self.put_content(incoming).await?;
            }
            let (now, later) = rest.split_at(rest.len().min(chunk - incoming.buffer.len()));
            let size = u32::try_from(now.len()).ok().and_then(|count| incoming.size.checked_add(count));
            let size = size.ok_or(SpoolFull::Never)?;
            while size > incoming.admitted {
                let mut index = self.index.borrow_mut();
                let cost = index.chunk_cost();
                index.grow(incoming.place, cost, 1)?;
                incoming.admitted = incoming.admitted.saturating_add(chunk as u32);
            }
            if incoming.buffer.capacity() < incoming.buffer.len() + now.len() {
                // More than was declared: a whole chunk at once, so that the buffer never doubles beyond it.
                incoming.buffer.reserve_exact(chunk - incoming.buffer.len());
            }
            incoming.buffer.extend_from_slice(now);
            incoming.size = size;
            rest = later;
        }
        Ok(())
    }

    /// Whether the message was not erased by [`Self::clear`] while it arrived.
    fn check_present(&self, incoming: &Incoming<'_, F>) -> Result<(), SpoolError> {
        let lost = self.index.borrow().messages[incoming.place].lost;
        if lost { Err(SpoolError::NoSuchMessage) } else { Ok(()) }
    }

    /// Writes the buffer as the next content record.
    async fn put_content(&self, incoming: &mut Incoming<'_, F>) -> Result<(), SpoolError> {
        let place = incoming.place;
        let part = self.index.borrow().messages[place].content_count;
        let record = Record { kind: CONTENT, anchor: false, owner: incoming.id.0, part, version: 0 };
        self.check_present(incoming)?;
        self.place(record, &[&incoming.buffer], |index, entry| index.push_content(place, entry)).await?;
        incoming.buffer.clear();
        Ok(())
    }

    /// Makes the message exist. Returns after the commit record has been read back: from then on it survives
    /// any power cut. If the future is dropped half-way the message does not exist, unless the power fails before
    /// the next operation on the spool.
    ///
    /// # Errors
    /// [`SpoolError::TooLong`] (a field beyond its bound), [`SpoolError::NoSuchRecipient`] (no recipients),
    /// [`SpoolError::Full`] only if there are more recipients or octets than were admitted,
    /// [`SpoolError::Flash`].
    pub async fn commit<'r, R: Into<NewRecipient<'r>>>(
        &self,
        incoming: Incoming<'_, F>,
        arrival: &Arrival<'_>,
        recipients: impl Iterator<Item = R>,
    ) -> Result<QueueId, SpoolError> {
        let mut incoming = incoming;
        self.check_present(&incoming)?;
        let (first_page, count) = self.put_recipients(&mut incoming, recipients).await?;
        let (class, chunk_bytes, payload_max) = {
            let index = self.index.borrow();
            let message = &index.messages[incoming.place];
            (message.class, message.chunk_bytes, index.geometry.payload_max)
        };
        let size = incoming.size;
        let (mut prefix, mut envelope) =
            record::envelope(arrival, class, size, chunk_bytes, count, &first_page)?;
        let padded = envelope.len().next_multiple_of(RECORD_ALIGN_BYTES);
        if padded > payload_max {
            return Err(SpoolError::TooLong);
        }
        if padded + incoming.buffer.len() <= payload_max {
            envelope.resize(padded, 0);
            prefix.tail_at = if incoming.buffer.is_empty() { 0 } else { padded as u32 };
        } else {
            self.put_content(&mut incoming).await?;
        }
        envelope[..PREFIX_BYTES].copy_from_slice(&prefix.encode());
        let place = incoming.place;
        let commit = Record { kind: COMMIT, anchor: true, owner: incoming.id.0, part: 0, version: 0 };
        let tail: &[u8] = &incoming.buffer;
        let pieces: &[&[u8]] = if tail.is_empty() { &[&envelope] } else { &[&envelope, tail] };
        self.place(commit, pieces, |index, entry| {
            if index.messages[place].lost {
                return false;
            }
            index.set_anchor(place, entry);
            index.set_stored(place);
            let message = &mut index.messages[place];
            message.size = size;
            message.tail_at = prefix.tail_at;
            message.time = arrival.time;
            message.next_try = arrival.next_try;
            message.recipients = count;
            message.open = count;
            index.settle(place);
            true
        })
        .await?;
        incoming.committed = true;
        Ok(incoming.id)
    }

    /// Writes all pages of recipients but the first, which it returns with the number of recipients.
    async fn put_recipients<'r, R: Into<NewRecipient<'r>>>(
        &self,
        incoming: &mut Incoming<'_, F>,
        recipients: impl Iterator<Item = R>,
    ) -> Result<(Vec<u8>, u16), SpoolError> {
        let (mut first, mut page) = (Vec::new(), Vec::new());
        let (mut count, mut bytes) = (0usize, 0u32);
        for recipient in recipients {
            let recipient = recipient.into();
            if count >= limits::smtp::RECIPIENTS_MAX {
                return Err(SpoolError::TooLong);
            }
            if count > 0 && count.is_multiple_of(PAGE_RECIPIENTS_COUNT) {
                self.put_page(incoming, count, &mut first, &mut page).await?;
            }
            record::put_recipient(&mut page, &recipient)?;
            count += 1;
            let len = recipient.address.len() + recipient.extra.len();
            bytes = bytes.saturating_add(len as u32);
            if count > usize::from(incoming.recipients) || bytes > incoming.recipients_bytes {
                let cost = units(len + 4) + units(state_bytes_max(1)) + 3;
                self.index.borrow_mut().grow(incoming.place, cost, 2)?;
            }
        }
        if count == 0 {
            return Err(SpoolError::NoSuchRecipient);
        }
        self.put_page(incoming, count, &mut first, &mut page).await?;
        Ok((first, count as u16))
    }

    /// Puts the page that ends before recipient `end`.
    async fn put_page(
        &self,
        incoming: &Incoming<'_, F>,
        end: usize,
        first: &mut Vec<u8>,
        page: &mut Vec<u8>,
    ) -> Result<(), SpoolError> {
        let part = ((end - 1) / PAGE_RECIPIENTS_COUNT) as u32;
        if part == 0 {
            core::mem::swap(first, page);
            return Ok(());
        }
        if page.len() > self.index.borrow().geometry.payload_max {
            return Err(SpoolError::TooLong);
        }
        let place = incoming.place;
        let record = Record { kind: RECIPIENTS, anchor: false, owner: incoming.id.0, part, version: 0 };
        self.place(record, &[page.as_slice()], |index, entry| index.put_other(place, entry)).await?;
        page.clear();
        Ok(())
    }

    /// Forgets an arriving message; the same as dropping it.
    pub fn abort(&self, incoming: Incoming<'_, F>) {
        drop(incoming);
    }

    /// Stores the recipe, replacing an earlier one. Committed when it returns.
    ///
    /// # Errors
    /// [`SpoolError::TooLong`] beyond [`limits::spool::RECIPE_BYTES_MAX`]; [`SpoolError::Full`] only if it is
    /// larger than [`limits::spool::RECIPE_BYTES_RESERVED`] or than the one it replaces, and then the earlier one
    /// stays; [`SpoolError::NoSuchMessage`],
    /// [`SpoolError::Flash`].
    pub async fn set_recipe(&self, id: QueueId, recipe: &[u8]) -> Result<(), SpoolError> {
        let wanted = units(recipe.len()) + 1;
        {
            let mut index = self.index.borrow_mut();
            if recipe.len() > RECIPE_BYTES_MAX.min(index.geometry.payload_max) {
                return Err(SpoolError::TooLong);
            }
            let place = index.stored(id).ok_or(SpoolError::NoSuchMessage)?;
            let had = index.other(place, key(RECIPE, 0)).map(|record| index.records[record as usize].units);
            let had = had.map_or(index.recipe_cost(), u32::from);
            if wanted > had {
                index.grow(place, wanted - had, 0)?;
            }
        }
        let done = self.put_recipe(id, recipe).await;
        let mut index = self.index.borrow_mut();
        if let Some(place) = index.stored(id) {
            index.settle(place);
        }
        done
    }

    async fn put_recipe(&self, id: QueueId, recipe: &[u8]) -> Result<(), SpoolError> {
        for _ in 0..PLACE_ATTEMPTS_MAX {
            let mut inner = self.room(recipe.len() as u32, false).await?;
            let place = self.index.borrow().stored(id).ok_or(SpoolError::NoSuchMessage)?;
            let version = self.index.borrow().next_version(place, key(RECIPE, 0));
            let record = Record { kind: RECIPE, anchor: false, owner: id.0, part: 0, version };
            match self.write_record(&mut inner, record, &[recipe]).await {
                Ok(entry) => {
                    let entered = self.index.borrow_mut().put_other(place, &entry);
                    return if entered { Ok(()) } else { Err(SpoolError::Full(SpoolFull::Now)) };
                }
                Err(LogError::Program | LogError::HeadFull) => {}
                Err(error) => return Err(flash_error(error)),
            }
        }
        Err(SpoolError::Flash)
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
        let change = Change { states, attempt: true, held: None, next_try: Some(next_try), reason };
        self.change(id, &change).await
    }

    /// Moves the next attempt without counting one.
    ///
    /// # Errors
    /// As [`Self::record_attempt`].
    pub async fn reschedule(&self, id: QueueId, next_try: u64, reason: &str) -> Result<(), SpoolError> {
        let change = Change { states: &[], attempt: false, held: None, next_try: Some(next_try), reason };
        self.change(id, &change).await
    }

    /// Holds the message until [`Self::release`].
    ///
    /// # Errors
    /// As [`Self::record_attempt`].
    pub async fn hold(&self, id: QueueId, reason: &str) -> Result<(), SpoolError> {
        let change = Change { states: &[], attempt: false, held: Some(true), next_try: None, reason };
        self.change(id, &change).await
    }

    /// Releases a held message; its next attempt is due at once.
    ///
    /// # Errors
    /// As [`Self::record_attempt`].
    pub async fn release(&self, id: QueueId, reason: &str) -> Result<(), SpoolError> {
        let change = Change { states: &[], attempt: false, held: Some(false), next_try: Some(0), reason };
        self.change(id, &change).await
    }

    async fn change(&self, id: QueueId, change: &Change<'_>) -> Result<(), SpoolError> {
        let pages = {
            let index = self.index.borrow();
            let message = &index.messages[index.stored(id).ok_or(SpoolError::NoSuchMessage)?];
            if message.state() == Some(MessageState::Damaged) {
                return Err(SpoolError::Damaged);
            }
            if change.states.iter().any(|(recipient, _)| *recipient >= message.recipients) {
                return Err(SpoolError::NoSuchRecipient);
            }
            message.pages()
        };
        // Page 0 last: it counts the attempt.
        for page in (1..pages).rev() {
            if change.states.iter().any(|(recipient, _)| page_of(*recipient) == page) {
                self.change_page(id, page, change).await?;
            }
        }
        self.change_page(id, 0, change).await
    }

    async fn change_page(&self, id: QueueId, page: u32, change: &Change<'_>) -> Result<(), SpoolError> {
        for _ in 0..PLACE_ATTEMPTS_MAX {
            let len = {
                let index = self.index.borrow();
                let place = index.stored(id).ok_or(SpoolError::NoSuchMessage)?;
                state_bytes_max(index.messages[place].page_recipients(page)) as u32
            };
            // Whoever has the flash has the page: read, change and write are one.
            let mut inner = self.room(len, false).await?;
            let place = self.index.borrow().stored(id).ok_or(SpoolError::NoSuchMessage)?;
            let mut state = self.load_state(&mut inner, place, page).await?;
            let before = state.open();
            apply(&mut state, page, change);
            let version = self.index.borrow().next_version(place, key(STATE, page));
            let record = Record { kind: STATE, anchor: false, owner: id.0, part: page, version };
            match self.write_record(&mut inner, record, &[&state.encode()]).await {
                Ok(entry) => {
                    let mut index = self.index.borrow_mut();
                    let entered = index.put_other(place, &entry);
                    note(&mut index, place, page, before, &state);
                    return if entered { Ok(()) } else { Err(SpoolError::Full(SpoolFull::Now)) };
                }
                Err(LogError::Program | LogError::HeadFull) => {}
                Err(error) => return Err(flash_error(error)),
            }
        }
        Err(SpoolError::Flash)
    }

    /// Ends the message. When it returns the message can never come back.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchMessage`], [`SpoolError::Flash`].
    pub async fn remove(&self, id: QueueId, how: Removal) -> Result<(), SpoolError> {
        let mut inner = self.lock().await;
        let place = self.index.borrow().stored(id).ok_or(SpoolError::NoSuchMessage)?;
        let anchor = self.index.borrow().messages[place].anchor;
        let how = match how {
            Removal::Delivered => 1,
            Removal::Bounced => 2,
            Removal::Operator => 3,
        };
        inner.log.kill(anchor, how).await.map_err(flash_error)?;
        self.index.borrow_mut().remove(place);
        Ok(())
    }

    /// Erases everything (factory reset). Messages that are arriving fail at their next step. A power cut in
    /// between may leave some messages.
    ///
    /// # Errors
    /// [`SpoolError::Flash`].
    pub async fn clear(&self) -> Result<(), SpoolError> {
        let mut inner = self.lock().await;
        inner.log.raise_owner_floor(self.index.borrow().last_id());
        {
            let mut index = self.index.borrow_mut();
            for place in index.places() {
                if index.messages[usize::from(place)].state().is_some() {
                    index.remove(usize::from(place));
                } else {
                    index.forget_records(usize::from(place));
                }
            }
        }
        inner.cleaning = None;
        inner.log.clear().await.map_err(flash_error)
    }
}

const fn page_of(recipient: u16) -> u32 {
    (recipient as usize / PAGE_RECIPIENTS_COUNT) as u32
}

fn apply(state: &mut StatePage, page: u32, change: &Change<'_>) {
    for (recipient, new) in change.states.iter().filter(|(recipient, _)| page_of(*recipient) == page) {
        if let Some(slot) = state.states.get_mut(usize::from(*recipient) % PAGE_RECIPIENTS_COUNT) {
            slot.clone_from(new);
        }
    }
    if page == 0 {
        state.attempts = state.attempts.saturating_add(u16::from(change.attempt));
        state.held = change.held.unwrap_or(state.held);
        state.next_try = change.next_try.unwrap_or(state.next_try);
        state.reason = cut(change.reason);
    }
}

fn note(index: &mut Index, place: usize, page: u32, before: u16, state: &StatePage) {
    let message = &mut index.messages[place];
    message.open = (message.open + state.open()).saturating_sub(before);
    if page == 0 {
        message.attempts = state.attempts;
        message.next_try = state.next_try;
        let held = if state.held { MessageState::Held } else { MessageState::Queued };
        message.status = crate::index::Status::Stored(held);
    }
}
