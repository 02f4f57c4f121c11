//! Writing: arrival, recipe, states, end.

use alloc::vec::Vec;

use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use flash_log::{LogError, Record};
use limits::flash::{PLACE_ATTEMPTS_MAX, RECORD_ALIGN_BYTES};
use limits::spool::{PAGE_RECIPIENTS_COUNT, RECIPE_BYTES_MAX};

use crate::doubt::Doubt;
use crate::index::{key, units};
use crate::record::{self, COMMIT, CONTENT, PREFIX_BYTES, RECIPE, RECIPIENTS, STATE, state_bytes_max};
use crate::types::{
    Admission, Arrival, Change, MessageState, NewRecipient, RecipientState, Removal, SpoolError, SpoolFull,
    Status,
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
    /// What room has been taken for; content beyond the declared size is counted in `admitted` only.
    admission: Admission,
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

/// How a killed anchor ended: the operator removed it.
const OPERATOR: u8 = 3;

/// Makes the promise of a message exact, also when a future is dropped that has raised it.
struct Settling<'s, F: NorFlash> {
    spool: &'s Spool<F>,
    id: QueueId,
}

impl<F: NorFlash> Drop for Settling<'_, F> {
    fn drop(&mut self) {
        let mut index = self.spool.index.borrow_mut();
        if let Some(place) = index.stored(self.id) {
            index.settle(place);
        }
    }
}

/// How the states of recipients change.
enum Edit<'a> {
    /// These recipients, in any order.
    Some(&'a [(u16, RecipientState)]),
    /// Every recipient is shown.
    Each(&'a dyn Fn(u16, &mut RecipientState)),
}

impl Edit<'_> {
    fn may_touch(&self, page: u32) -> bool {
        match self {
            Self::Some(states) => states.iter().any(|(recipient, _)| page_of(*recipient) == page),
            Self::Each(_) => true,
        }
    }

    fn apply(&self, page: u32, states: &mut [RecipientState]) {
        match self {
            Self::Some(new) => {
                for (recipient, new) in new.iter().filter(|(recipient, _)| page_of(*recipient) == page) {
                    if let Some(state) = states.get_mut(usize::from(*recipient) % PAGE_RECIPIENTS_COUNT) {
                        state.clone_from(new);
                    }
                }
            }
            Self::Each(edit) => {
                let first = page as usize * PAGE_RECIPIENTS_COUNT;
                for (number, state) in states.iter_mut().enumerate() {
                    edit((first + number) as u16, state);
                }
            }
        }
    }
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
            buffer: Vec::new(),
            size: 0,
            admitted: admission.size.unwrap_or(chunk),
            admission,
            committed: false,
        })
    }

    /// Raises what room was reserved for to so many recipients, and so many octets of all their addresses and extras
    /// together; what is smaller than before changes nothing. Writes nothing.
    ///
    /// # Errors
    /// See [`SpoolFull`]; what was reserved before stays.
    pub fn extend(
        &self,
        incoming: &mut Incoming<'_, F>,
        recipients: u16,
        recipients_bytes: u32,
    ) -> Result<(), SpoolFull> {
        let old = incoming.admission;
        let new = Admission {
            recipients: old.recipients.max(recipients),
            recipients_bytes: old.recipients_bytes.max(recipients_bytes),
            ..old
        };
        self.index.borrow_mut().extend(incoming.place, &old, &new)?;
        incoming.admission = new;
        Ok(())
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
                // What was declared, and if more comes a whole chunk: the buffer never doubles beyond it.
                let declared = incoming.admission.size.map_or(chunk, |size| chunk.min(size as usize));
                let wanted = if declared > incoming.buffer.len() + now.len() { declared } else { chunk };
                incoming.buffer.reserve_exact(wanted - incoming.buffer.len());
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
            message.moment = arrival.moment;
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
            self.extend(incoming, count as u16, bytes)?;
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
        let _settling = Settling { spool: self, id };
        self.put_recipe(id, recipe).await
    }

    async fn put_recipe(&self, id: QueueId, recipe: &[u8]) -> Result<(), SpoolError> {
        for _ in 0..PLACE_ATTEMPTS_MAX {
            let mut inner = self.room(recipe.len() as u32, false).await?;
            let place = self.index.borrow().stored(id).ok_or(SpoolError::NoSuchMessage)?;
            let version = self.index.borrow().next_version(place, key(RECIPE, 0));
            let record = Record { kind: RECIPE, anchor: false, owner: id.0, part: 0, version };
            match self.write_record(&mut inner, record, &[recipe]).await {
                Ok(entry) => {
                    inner.doubt.written = None;
                    let entered = self.index.borrow_mut().put_other(place, &entry);
                    return if entered { Ok(()) } else { Err(SpoolError::Full(SpoolFull::Now)) };
                }
                Err(LogError::Program | LogError::HeadFull) => {}
                Err(error) => return Err(flash_error(error)),
            }
        }
        Err(SpoolError::Flash)
    }

    /// Records new states of some recipients (in any order) and what `change` says about the message: an attempt, for
    /// example. Committed when it returns. After a power cut in the middle each page of
    /// [`limits::spool::PAGE_RECIPIENTS_COUNT`] recipients has either its old or its new states; page 0 and what
    /// `change` says come last, in one record. Writes nothing where nothing changes.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchRecipient`], [`SpoolError::NoSuchMessage`], [`SpoolError::Damaged`] (the message cannot be
    /// read and only [`Self::remove`] works), [`SpoolError::Flash`]. [`SpoolError::Full`] only if several blocks have
    /// failed while the queue was full: try again when something has left it.
    pub async fn change(
        &self,
        id: QueueId,
        states: &[(u16, RecipientState)],
        change: &Change<'_>,
    ) -> Result<(), SpoolError> {
        {
            let index = self.index.borrow();
            let message = &index.messages[index.stored(id).ok_or(SpoolError::NoSuchMessage)?];
            if states.iter().any(|(recipient, _)| *recipient >= message.recipients) {
                return Err(SpoolError::NoSuchRecipient);
            }
        }
        self.change_pages(id, &Edit::Some(states), change, false).await
    }

    /// Shows the state of every recipient to `edit`, which may change it, and records the result like
    /// [`Self::change`]. `edit` may see a recipient more than once.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub async fn change_each(
        &self,
        id: QueueId,
        change: &Change<'_>,
        edit: impl Fn(u16, &mut RecipientState),
    ) -> Result<(), SpoolError> {
        self.change_pages(id, &Edit::Each(&edit), change, false).await
    }

    /// Holds the message until [`Self::release`].
    ///
    /// # Errors
    /// As [`Self::change`].
    pub async fn hold(&self, id: QueueId, reason: &str) -> Result<(), SpoolError> {
        let change = Change { held: Some(true), reason: Some(reason), ..Change::default() };
        self.change_pages(id, &Edit::Some(&[]), &change, false).await
    }

    /// Releases a message: recipients that failed and were not reported are pending again, as are those whose state
    /// was lost, and whoever waits for a next attempt is due at once.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub async fn release(&self, id: QueueId, reason: &str) -> Result<(), SpoolError> {
        let edit = |_: u16, state: &mut RecipientState| match state {
            RecipientState::Failed(_) => *state = RecipientState::Pending,
            RecipientState::Deferred { next_try, .. } => *next_try = 0,
            _ => {}
        };
        let change = Change { held: Some(false), reason: Some(reason), ..Change::default() };
        self.change_pages(id, &Edit::Each(&edit), &change, true).await
    }

    /// Gives up on every recipient that is open: failed with `status`, to be reported. The message is not held any more.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub async fn bounce(&self, id: QueueId, status: &Status, reason: &str) -> Result<(), SpoolError> {
        let edit = |_: u16, state: &mut RecipientState| {
            if state.is_open() {
                *state = RecipientState::Failed(status.clone());
            }
        };
        let change = Change { held: Some(false), reason: Some(reason), ..Change::default() };
        self.change_pages(id, &Edit::Each(&edit), &change, true).await
    }

    /// `resolve`: the operator has decided what becomes of a message whose states were lost.
    async fn change_pages(
        &self,
        id: QueueId,
        edit: &Edit<'_>,
        change: &Change<'_>,
        resolve: bool,
    ) -> Result<(), SpoolError> {
        let (pages, uncertain) = {
            let index = self.index.borrow();
            let message = &index.messages[index.stored(id).ok_or(SpoolError::NoSuchMessage)?];
            if message.state() == Some(MessageState::Damaged) {
                return Err(SpoolError::Damaged);
            }
            (message.pages(), message.uncertain)
        };
        if uncertain && pages > 1 {
            // Written down before a damaged page, which proves it, is replaced.
            self.change_page(id, 0, &Edit::Some(&[]), &Change::default(), false).await?;
        }
        // Page 0 last: it counts the attempt.
        for page in (1..pages).rev() {
            if edit.may_touch(page) {
                self.change_page(id, page, edit, change, false).await?;
            }
        }
        self.change_page(id, 0, edit, change, resolve).await
    }

    async fn change_page(
        &self,
        id: QueueId,
        page: u32,
        edit: &Edit<'_>,
        change: &Change<'_>,
        resolve: bool,
    ) -> Result<(), SpoolError> {
        for _ in 0..PLACE_ATTEMPTS_MAX {
            let len = {
                let index = self.index.borrow();
                let place = index.stored(id).ok_or(SpoolError::NoSuchMessage)?;
                state_bytes_max(page, index.messages[place].page_recipients(page)) as u32
            };
            // Whoever has the flash has the page: read, change and write are one.
            let mut inner = self.room(len, false).await?;
            let place = self.index.borrow().stored(id).ok_or(SpoolError::NoSuchMessage)?;
            let (before, readable) = self.load_state(&mut inner, place, page).await?;
            let mut state = before.clone();
            edit.apply(page, &mut state.states);
            if page == 0 {
                state.apply(change);
                state.uncertain |= self.index.borrow().messages[place].uncertain;
                state.uncertain &= !resolve;
            }
            if state == before && readable {
                return Ok(());
            }
            state.moment = before.moment.max(change.moment);
            let version = self.index.borrow().next_version(place, key(STATE, page));
            let record = Record { kind: STATE, anchor: false, owner: id.0, part: page, version };
            match self.write_record(&mut inner, record, &[&state.encode()]).await {
                Ok(entry) => {
                    inner.doubt.written = None;
                    let mut index = self.index.borrow_mut();
                    let entered = index.put_other(place, &entry);
                    let message = &mut index.messages[place];
                    let (old, new) = (before.facts(), state.facts());
                    message.open = (message.open + new.open).saturating_sub(old.open);
                    message.unreported = (message.unreported + new.unreported).saturating_sub(old.unreported);
                    if page == 0 {
                        message.uncertain &= !resolve;
                        message.take_over(&new);
                    }
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
            Removal::Operator => OPERATOR,
        };
        if inner.doubt.unwanted.iter().any(|other| other.owner == id.0) {
            // An older copy may live and could not be ended: it would come back.
            return Err(SpoolError::Flash);
        }
        inner.doubt.ending = Some(id);
        self.end_anchor(&mut inner, id.0, anchor, how).await.map_err(flash_error)?;
        inner.doubt.ending = None;
        self.index.borrow_mut().remove(place);
        Ok(())
    }

    /// Erases everything (factory reset). Messages that are arriving fail at their next step. After a power cut in
    /// between there are all messages or none.
    ///
    /// # Errors
    /// [`SpoolError::Flash`].
    pub async fn clear(&self) -> Result<(), SpoolError> {
        let mut inner = self.lock().await;
        inner.log.raise_owner_floor(self.index.borrow().last_id());
        let dead: Vec<bool> = {
            let mut index = self.index.borrow_mut();
            let dead = (0..inner.log.block_count()).map(|block| index.is_dead(block)).collect();
            for place in index.places() {
                if index.messages[usize::from(place)].state().is_some() {
                    index.remove(usize::from(place));
                } else {
                    index.forget_records(usize::from(place));
                }
            }
            index.drop_ended(|_, _| false);
            dead
        };
        inner.doubt = Doubt::default();
        inner.cleaning = None;
        let dead = |block: u16| dead.get(usize::from(block)).copied().unwrap_or(false);
        inner.log.clear(dead).await.map_err(flash_error)
    }
}

const fn page_of(recipient: u16) -> u32 {
    (recipient as usize / PAGE_RECIPIENTS_COUNT) as u32
}
