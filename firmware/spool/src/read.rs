//! Reading: content, envelope, recipients, recipe, lists.

use alloc::boxed::Box;
use alloc::vec::Vec;

use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use flash_log::{Location, Log};
use heapless::String;
use limits::spool::PAGE_RECIPIENTS_COUNT;

use crate::index::{NONE, key};
use crate::record::{
    PREFIX_BYTES, Prefix, RECIPE, RECIPIENTS, STATE, StatePage, Strings, page_recipients, strings,
};
use crate::types::{ArrivalInfo, Brief, History, MessageState, Recipient, SpoolError, Summary, Usage};
use crate::{Inner, Spool, flash_error};

impl<F: NorFlash> Spool<F> {
    /// Reads content from `offset`; returns the octets read, 0 at the end, fewer than asked only there. Fast when
    /// it goes on where an earlier read of the same message ended; otherwise one chunk is checked first.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchMessage`], [`SpoolError::Damaged`], [`SpoolError::Flash`].
    pub async fn read(&self, id: QueueId, offset: u32, out: &mut [u8]) -> Result<usize, SpoolError> {
        let mut done = 0;
        while done < out.len() {
            let at = offset.checked_add(done as u32).ok_or(SpoolError::TooLong)?;
            match self.read_chunk(id, at, &mut out[done..]).await? {
                0 => break,
                count => done += count,
            }
        }
        Ok(done)
    }

    /// Reads what one chunk has.
    async fn read_chunk(&self, id: QueueId, offset: u32, out: &mut [u8]) -> Result<usize, SpoolError> {
        let mut inner = self.lock().await;
        let (part, record, verified, message, at, start) = {
            let mut index = self.index.borrow_mut();
            let place = index.stored(id).ok_or(SpoolError::NoSuchMessage)?;
            let message = index.messages[place];
            if message.state() == Some(MessageState::Damaged) {
                return Err(SpoolError::Damaged);
            }
            if offset >= message.size {
                return Ok(0);
            }
            let part = (offset / message.chunk_bytes).min(message.full_chunks());
            let (record, verified) = index.seek(place, part).ok_or(SpoolError::Damaged)?;
            let (at, start) = match index.records.get(record as usize) {
                Some(place) if record != NONE => (place.at, place.start),
                _ => (message.anchor, message.anchor_start),
            };
            (part, record, verified, message, at, start)
        };
        if !verified {
            let entry = inner.log.entry(at).await.map_err(flash_error)?.ok_or(SpoolError::Damaged)?;
            if !inner.log.verify(&entry).await.map_err(flash_error)? {
                return Err(SpoolError::Damaged);
            }
            self.index.borrow_mut().verified(id, part, record);
        }
        let base = part * message.chunk_bytes;
        let end = if part == message.full_chunks() { message.size } else { base + message.chunk_bytes };
        let count = out.len().min((end - offset) as usize);
        let inside = offset - base + if record == NONE { message.tail_at } else { 0 };
        let out = &mut out[..count];
        inner.log.read_at(at.block(), start, inside, out).await.map_err(flash_error)?;
        Ok(count)
    }

    /// Octets of content, `None` if there is no such message.
    #[must_use]
    pub fn content_size(&self, id: QueueId) -> Option<u32> {
        self.brief(id).map(|brief| brief.size)
    }

    /// Reads a whole record and checks it.
    async fn load(&self, inner: &mut Inner<F>, at: Location, out: &mut Vec<u8>) -> Result<(), SpoolError> {
        let entry = inner.log.entry(at).await.map_err(flash_error)?.ok_or(SpoolError::Damaged)?;
        out.clear();
        out.resize(entry.len as usize, 0);
        inner.log.read(&entry, 0, out).await.map_err(flash_error)?;
        if Log::<F>::matches(&entry, out) { Ok(()) } else { Err(SpoolError::Damaged) }
    }

    /// Reads the envelope part of a commit record behind its prefix and checks it.
    async fn load_envelope(
        &self,
        inner: &mut Inner<F>,
        id: QueueId,
        out: &mut Vec<u8>,
    ) -> Result<Prefix, SpoolError> {
        let message = {
            let index = self.index.borrow();
            index.messages[index.stored(id).ok_or(SpoolError::NoSuchMessage)?]
        };
        let mut bytes = [0; PREFIX_BYTES];
        let (block, start) = (message.anchor.block(), message.anchor_start);
        inner.log.read_at(block, start, 0, &mut bytes).await.map_err(flash_error)?;
        let prefix = Prefix::decode(&bytes).ok_or(SpoolError::Damaged)?;
        let len = prefix.envelope_len() as usize;
        if PREFIX_BYTES + len > usize::from(message.anchor_units) * 32 {
            return Err(SpoolError::Damaged);
        }
        out.clear();
        out.resize(len, 0);
        inner.log.read_at(block, start, PREFIX_BYTES as u32, out).await.map_err(flash_error)?;
        if flash_log::checksum(out) == prefix.envelope_crc { Ok(prefix) } else { Err(SpoolError::Damaged) }
    }

    /// The envelope.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchMessage`], [`SpoolError::Damaged`], [`SpoolError::Flash`].
    pub async fn arrival(&self, id: QueueId) -> Result<ArrivalInfo, SpoolError> {
        let mut inner = self.lock().await;
        let mut bytes = Vec::new();
        let prefix = self.load_envelope(&mut inner, id, &mut bytes).await?;
        let Strings { sender, helo, sender_extra, origin } =
            strings(&prefix, &bytes).ok_or(SpoolError::Damaged)?;
        Ok(ArrivalInfo {
            id,
            size: prefix.size,
            sender,
            sender_extra,
            origin,
            peer: prefix.peer,
            helo,
            protocol: prefix.protocol,
            time: prefix.time,
            moment: prefix.moment,
            recipients: prefix.recipients,
            class: prefix.class,
        })
    }

    /// Replaces `out` by the scanner's facts.
    ///
    /// # Errors
    /// As [`Self::arrival`].
    pub async fn facts(&self, id: QueueId, out: &mut Vec<u8>) -> Result<(), SpoolError> {
        let mut inner = self.lock().await;
        let prefix = self.load_envelope(&mut inner, id, out).await?;
        let (from, to) = prefix.facts_at();
        out.truncate(to);
        out.drain(..from.min(to));
        Ok(())
    }

    /// The state page of some recipients, as recorded or fresh, and whether it could be read. If not it counts as
    /// fresh, and the message is held from now on: the operator decides whether to send again.
    pub(crate) async fn load_state(
        &self,
        inner: &mut Inner<F>,
        place: usize,
        page: u32,
    ) -> Result<(Box<StatePage>, bool), SpoolError> {
        let (state, readable) = self.load_state_page(inner, place, page).await?;
        if !readable && !self.index.borrow().messages[place].uncertain {
            // The figures in RAM are about states that nobody can read any more.
            self.recount(inner, place).await?;
        }
        Ok((state, readable))
    }

    /// Brings the figures of a message in RAM to what its state pages say.
    pub(crate) async fn recount(&self, inner: &mut Inner<F>, place: usize) -> Result<(), SpoolError> {
        let (mut open, mut unreported, mut uncertain) = (0, 0, false);
        let mut first = None;
        let pages = self.index.borrow().messages[place].pages();
        for page in 0..pages {
            let (state, readable) = self.load_state_page(inner, place, page).await?;
            let facts = state.facts();
            open += facts.open;
            unreported += facts.unreported;
            uncertain |= !readable;
            if page == 0 && readable {
                first = Some(facts);
            }
        }
        let message = &mut self.index.borrow_mut().messages[place];
        (message.uncertain, message.open, message.unreported) = (uncertain, open, unreported);
        if let Some(first) = first {
            message.take_over(&first);
        }
        Ok(())
    }

    async fn load_state_page(
        &self,
        inner: &mut Inner<F>,
        place: usize,
        page: u32,
    ) -> Result<(Box<StatePage>, bool), SpoolError> {
        let (recipients, at) = {
            let index = self.index.borrow();
            let message = &index.messages[place];
            let record = index.other(place, key(STATE, page));
            let at = record.map(|record| index.records[record as usize].at);
            (message.page_recipients(page), at)
        };
        let Some(at) = at else {
            return Ok((Box::new(StatePage::fresh(recipients)), true));
        };
        let mut payload = Vec::new();
        let found = match self.load(inner, at, &mut payload).await {
            Ok(()) => StatePage::decode(&payload, recipients),
            Err(SpoolError::Damaged) => None,
            Err(error) => return Err(error),
        };
        let readable = found.is_some();
        Ok((Box::new(found.unwrap_or_else(|| StatePage::fresh(recipients))), readable))
    }

    /// The latest attempts at a message, oldest first.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchMessage`], [`SpoolError::Flash`].
    pub async fn history(&self, id: QueueId) -> Result<History, SpoolError> {
        let mut inner = self.lock().await;
        let place = self.index.borrow().stored(id).ok_or(SpoolError::NoSuchMessage)?;
        Ok(self.load_state(&mut inner, place, 0).await?.0.history)
    }

    /// One recipient with its state.
    ///
    /// # Errors
    /// [`SpoolError::NoSuchRecipient`] and as [`Self::arrival`].
    pub async fn recipient(&self, id: QueueId, index: u16) -> Result<Recipient, SpoolError> {
        let mut page = Vec::new();
        self.recipients(id, index, &mut page).await?;
        page.into_iter().next().ok_or(SpoolError::NoSuchRecipient)
    }

    /// Replaces `out` by up to [`limits::spool::PAGE_RECIPIENTS_COUNT`] recipients from `first` on, at least one
    /// unless `first` is the number of recipients or more. If their states cannot be read they count as pending;
    /// the message is held then (see [`Brief::uncertain`]), and whoever finds that out is told once.
    ///
    /// # Errors
    /// As [`Self::arrival`].
    pub async fn recipients(
        &self,
        id: QueueId,
        first: u16,
        out: &mut Vec<Recipient>,
    ) -> Result<(), SpoolError> {
        out.clear();
        let mut inner = self.lock().await;
        let page = (usize::from(first) / PAGE_RECIPIENTS_COUNT) as u32;
        let (place, count, certain, at) = {
            let index = self.index.borrow();
            let place = index.stored(id).ok_or(SpoolError::NoSuchMessage)?;
            let message = &index.messages[place];
            let record = index.other(place, key(RECIPIENTS, page));
            let at = record.map(|record| index.records[record as usize].at);
            (place, message.recipients, !message.uncertain, at)
        };
        if first >= count {
            return Ok(());
        }
        let mut bytes = Vec::new();
        if page == 0 {
            let prefix = self.load_envelope(&mut inner, id, &mut bytes).await?;
            let (_, from) = prefix.facts_at();
            bytes.drain(..from.min(bytes.len()));
        } else {
            self.load(&mut inner, at.ok_or(SpoolError::Damaged)?, &mut bytes).await?;
        }
        let (state, _) = self.load_state(&mut inner, place, page).await?;
        if certain && self.index.borrow().messages[place].uncertain {
            return Err(SpoolError::Damaged);
        }
        let stored = page_recipients(&bytes).take(PAGE_RECIPIENTS_COUNT);
        for ((number, recipient), state) in stored.enumerate().zip(state.states) {
            let index = page as usize * PAGE_RECIPIENTS_COUNT + number;
            let (address, extra) = recipient.ok_or(SpoolError::Damaged)?;
            if index >= usize::from(first) {
                out.push(Recipient { index: index as u16, address, extra, state });
            }
        }
        if out.is_empty() { Err(SpoolError::Damaged) } else { Ok(()) }
    }

    /// Replaces `out` by the recipe; `false` if there is none.
    ///
    /// # Errors
    /// As [`Self::arrival`].
    pub async fn recipe(&self, id: QueueId, out: &mut Vec<u8>) -> Result<bool, SpoolError> {
        out.clear();
        let mut inner = self.lock().await;
        let at = {
            let index = self.index.borrow();
            let place = index.stored(id).ok_or(SpoolError::NoSuchMessage)?;
            index.other(place, key(RECIPE, 0)).map(|record| index.records[record as usize].at)
        };
        match at {
            Some(at) => self.load(&mut inner, at, out).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// One line about a message, from RAM.
    #[must_use]
    pub fn brief(&self, id: QueueId) -> Option<Brief> {
        let index = self.index.borrow();
        index.stored(id).and_then(|place| index.brief(&index.messages[place]))
    }

    /// Calls `visit` for every message, oldest first, from RAM. `visit` must not call the spool.
    pub fn for_each(&self, visit: impl FnMut(&Brief)) {
        let index = self.index.borrow();
        let mut visit = visit;
        index.after(None).filter_map(|message| index.brief(message)).for_each(|brief| visit(&brief));
    }

    /// The first message after `after` (or the first of all) in order of ids, with what a table shows. Listing by
    /// repeated calls sees every message that exists throughout exactly once.
    ///
    /// # Errors
    /// [`SpoolError::Flash`]. A damaged message is listed as such.
    pub async fn next_summary(&self, after: Option<QueueId>) -> Result<Option<Summary>, SpoolError> {
        let mut inner = self.lock().await;
        let found = {
            let index = self.index.borrow();
            let id = index.after(after).next().map(|message| message.id);
            id.and_then(|id| Some((id, index.stored(id)?)))
        };
        let Some((id, place)) = found else {
            return Ok(None);
        };
        let reason = match self.load_state(&mut inner, place, 0).await {
            Ok((state, _)) => state.reason,
            Err(SpoolError::Flash) => return Err(SpoolError::Flash),
            Err(_) => String::new(),
        };
        let mut bytes = Vec::new();
        let (sender, recipient) = match self.load_envelope(&mut inner, id, &mut bytes).await {
            Ok(prefix) => {
                let sender = strings(&prefix, &bytes).map(|strings| strings.sender);
                let page = bytes.get(prefix.facts_at().1..).unwrap_or_default();
                let first = page_recipients(page).next().flatten().map(|(address, _)| address);
                (sender.unwrap_or_default(), first.unwrap_or_default())
            }
            Err(SpoolError::Flash) => return Err(SpoolError::Flash),
            Err(_) => Default::default(),
        };
        let index = self.index.borrow();
        let brief = index.brief(&index.messages[place]);
        Ok(brief.map(|brief| Summary { brief, sender, recipient, reason }))
    }

    /// Room and wear. While another operation has the flash, the figures about blocks are those of the last call.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let inner = self.inner.try_lock();
        let mut index = self.index.borrow_mut();
        if let Ok(inner) = &inner {
            let log = &inner.log;
            let wear = log.wear();
            let dead = (0..log.block_count())
                .filter(|block| log.sequence(*block).is_some())
                .map(|block| u64::from(log.used_units(block).saturating_sub(14 + index.live(block))))
                .sum::<u64>();
            index.usage = Usage {
                blocks: u32::from(log.block_count()),
                blocks_retired: wear.retired,
                blocks_free: log.free_blocks(|block| index.is_dead(block)),
                dead: dead * 32,
                erases_min: wear.min,
                erases_max: wear.max,
                erases_total: wear.total,
                moved: inner.copied.total(),
                programmed: log.programmed(),
                ..Usage::default()
            };
        }
        let used = index.live_total() * 32;
        Usage {
            capacity: u64::from(index.capacity) * 32,
            used,
            reserved: (u64::from(index.promised_units()) * 32).saturating_sub(used),
            messages: index.stored_count(),
            incoming: index.incoming,
            records: index.records_used(),
            ..index.usage
        }
    }
}
