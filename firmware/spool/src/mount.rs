//! From flash to index.

use alloc::vec::Vec;
use core::cell::RefCell;

use embassy_futures::yield_now;
use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use flash_log::{Entry, Log, LogError};
use platform::Mutex;

use limits::flash::RECORD_ALIGN_BYTES;
use limits::spool::PAGE_RECIPIENTS_COUNT;

use crate::clean::Copied;
use crate::doubt::{Doubt, Unwanted};
use crate::ended::Ended;
use crate::index::{Geometry, Index, Message, NONE, Status, key};
use crate::record::{
    COMMIT, CONTENT, PREFIX_BYTES, Prefix, RECIPE, RECIPIENTS, STATE, StateFacts, state_bytes_max,
};
use crate::scrub::Walk;
use crate::types::{MessageState, MountReport, SpoolError};
use crate::{Inner, LOG_KIND, Spool, flash_error};

/// How a killed anchor ended, beyond the values of `Removal`.
pub(crate) const MOVED: u8 = 0x80;

impl<F: NorFlash> Spool<F> {
    /// Mounts the queue. Blank or foreign flash becomes an empty queue; any content gives a defined state.
    /// Reads directories, the first octets of every commit record and the state pages; content is checked when
    /// it is read. Writes nothing, except that it finishes a move of cleaning that a power cut interrupted.
    ///
    /// # Errors
    /// [`SpoolError::Flash`] if the device cannot be read or its geometry is unusable.
    pub async fn mount(flash: F) -> Result<(Self, MountReport), SpoolError> {
        let (log, found) = Log::mount(flash, LOG_KIND).await.map_err(flash_error)?;
        let mut report = MountReport {
            blocks_in_use: found.blocks_in_use,
            blocks_unformatted: found.blocks_unformatted,
            blocks_retired: found.blocks_retired,
            erases_interrupted: found.erases_interrupted,
            ..MountReport::default()
        };
        let geometry = Geometry::new(log.block_room());
        if geometry.payload_max < state_bytes_max(0, PAGE_RECIPIENTS_COUNT) {
            // A state page would not fit the blocks: nothing that this product runs on.
            return Err(SpoolError::Flash);
        }
        let mut mount = Mounting { index: Index::new(geometry), log, superseded: Vec::new() };
        let blocks = mount.log.blocks_in_order();
        let owners = mount.find_messages(&blocks, &mut report).await.map_err(flash_error)?;
        mount.end_superseded().await.map_err(flash_error)?;
        mount.find_records(&owners, &mut report).await.map_err(flash_error)?;
        for place in mount.index.places() {
            let moment = mount.complete(usize::from(place)).await.map_err(flash_error)?;
            report.moment = report.moment.max(moment);
            let message = &mount.index.messages[usize::from(place)];
            report.messages += 1;
            report.messages_damaged += u32::from(message.state() == Some(MessageState::Damaged));
            report.messages_uncertain += u32::from(message.uncertain);
        }
        let Mounting { log, mut index, superseded } = mount;
        index.capacity = index.geometry.capacity(log.usable_blocks());
        index.raise_next_id(log.owner_floor());
        let inner = Inner {
            log,
            cleaning: None,
            doubt: Doubt { unwanted: superseded, ..Doubt::default() },
            copied: Copied::default(),
            scrub: Walk::default(),
            stuck: Vec::new(),
        };
        Ok((Self { inner: Mutex::new(inner), index: RefCell::new(index) }, report))
    }
}

struct Mounting<F> {
    log: Log<F>,
    index: Index,
    /// Commit records of which there is a later copy.
    superseded: Vec<Unwanted>,
}

/// Whose records a block holds.
struct Owners {
    block: u16,
    least: u64,
    greatest: u64,
}

impl<F: NorFlash> Mounting<F> {
    /// First pass: the commit records that are not killed. Returns for each block the smallest and the greatest owner
    /// of its other records.
    async fn find_messages(
        &mut self,
        blocks: &[u16],
        report: &mut MountReport,
    ) -> Result<Vec<Owners>, LogError> {
        let mut out = Vec::with_capacity(blocks.len());
        for block in blocks {
            let Some(mut scan) = self.log.scan(*block) else { continue };
            let mut owners = Owners { block: *block, least: u64::MAX, greatest: 0 };
            while let Some(entry) = self.log.next(&mut scan).await? {
                if entry.record.kind != COMMIT {
                    owners.least = owners.least.min(entry.record.owner);
                    owners.greatest = owners.greatest.max(entry.record.owner);
                }
                report.records += 1;
                self.index.raise_next_id(entry.record.owner);
                if entry.record.kind == COMMIT && entry.record.anchor && !entry.killed {
                    self.found_commit(&entry, report);
                } else if let Some(ended) = Ended::of(&entry) {
                    self.found_end(ended, report);
                }
            }
            report.slots_damaged += scan.damaged();
            out.push(owners);
            yield_now().await;
        }
        Ok(out)
    }

    fn found_commit(&mut self, entry: &Entry, report: &mut MountReport) {
        let id = QueueId(entry.record.owner);
        let block = entry.at.block();
        if self.log.sequence(block).is_some_and(|sequence| self.index.is_ended(id.0, block, sequence)) {
            return;
        }
        if let Some(place) = self.index.find(id) {
            // Cleaning copied the record, and the power failed before it killed the older one.
            let older = self.index.messages[place].anchor;
            self.index.set_anchor(place, entry);
            self.superseded.push(Unwanted { owner: id.0, at: older });
            return;
        }
        match self.index.insert(Message::new(id, Status::Stored(MessageState::Queued))) {
            Some(place) => self.index.set_anchor(place, entry),
            None => report.beyond_index += 1,
        }
    }

    /// An end record may be met before or after the commit record that it ends, and that one may have a copy.
    fn found_end(&mut self, ended: Ended, report: &mut MountReport) {
        if self.log.sequence(ended.block) != Some(ended.sequence) {
            return;
        }
        self.superseded.retain(|old| (old.owner, old.at.block()) != (ended.owner, ended.block));
        if let Some(place) = self.index.find(QueueId(ended.owner))
            && self.index.messages[place].anchor.block() == ended.block
        {
            self.index.remove(place);
        }
        report.beyond_index += u32::from(!self.index.add_ended(ended));
    }

    /// Ends the older of two commit records: cleaning copied it, and the power failed before it was killed. What does not
    /// take the mark gets an end record before anything else happens.
    async fn end_superseded(&mut self) -> Result<(), LogError> {
        let mut left = Vec::new();
        for old in core::mem::take(&mut self.superseded) {
            match self.log.kill(old.at, MOVED).await {
                Ok(()) => {}
                Err(LogError::Program) => left.push(old),
                Err(error) => return Err(error),
            }
        }
        self.superseded = left;
        Ok(())
    }

    /// Second pass: the other records of messages that exist. Blocks that hold records of the dead only, which with
    /// mail that leaves soon is most of them, are not read again.
    async fn find_records(&mut self, blocks: &[Owners], report: &mut MountReport) -> Result<(), LogError> {
        for Owners { block, least, greatest } in blocks {
            if !self.index.has_any(QueueId(*least), QueueId(*greatest)) {
                continue;
            }
            let Some(mut scan) = self.log.scan(*block) else { continue };
            while let Some(entry) = self.log.next(&mut scan).await? {
                let Some(place) = self.index.find(QueueId(entry.record.owner)) else { continue };
                let kept = match entry.record.kind {
                    CONTENT => self.index.push_content(place, &entry),
                    RECIPIENTS | STATE | RECIPE => self.index.put_other(place, &entry),
                    _ => true,
                };
                report.beyond_index += u32::from(!kept);
            }
            yield_now().await;
        }
        Ok(())
    }

    /// Third: what the records of a message say about it. Returns the greatest moment that they name.
    async fn complete(&mut self, place: usize) -> Result<u64, LogError> {
        let mut moment = 0;
        let mut bytes = [0; PREFIX_BYTES];
        let message = self.index.messages[place];
        let mut prefix = None;
        if usize::from(message.anchor_units.saturating_sub(2)) * RECORD_ALIGN_BYTES >= PREFIX_BYTES {
            self.log.read_at(message.anchor.block(), message.anchor_start, 0, &mut bytes).await?;
            prefix = Prefix::decode(&bytes).filter(|prefix| prefix.chunk_bytes > 0);
        }
        let mut whole = self.index.sort_content(place);
        if let Some(prefix) = prefix {
            let message = &mut self.index.messages[place];
            message.class = prefix.class;
            message.size = prefix.size;
            message.chunk_bytes = prefix.chunk_bytes;
            message.tail_at = prefix.tail_at;
            message.time = prefix.time;
            message.moment = prefix.moment;
            message.recipients = prefix.recipients;
            message.open = prefix.recipients;
            let last = u32::from(prefix.tail_at == 0 && prefix.size > 0);
            whole &= message.content_count == message.full_chunks() + last;
            let tail_end = u64::from(prefix.tail_at)
                + u64::from(prefix.size - message.full_chunks() * prefix.chunk_bytes);
            let units = u64::from(message.anchor_units.saturating_sub(2));
            whole &= prefix.tail_at == 0 || tail_end.div_ceil(RECORD_ALIGN_BYTES as u64) <= units;
            for page in 1..message.pages() {
                whole &= self.index.other(place, key(RECIPIENTS, page)).is_some();
            }
            moment = prefix.moment.max(self.read_states(place).await?);
        }
        if prefix.is_none() || !whole {
            self.index.messages[place].status = Status::Stored(MessageState::Damaged);
        }
        self.index.settle(place);
        Ok(moment)
    }

    async fn read_states(&mut self, place: usize) -> Result<u64, LogError> {
        let mut moment = 0;
        let mut record = self.index.messages[place].others;
        let mut payload = Vec::new();
        while record != NONE {
            let found = self.index.records[record as usize];
            record = found.next;
            if found.key >> 24 != u32::from(STATE) {
                continue;
            }
            let page_number = found.key & 0x00ff_ffff;
            let recipients = self.index.messages[place].page_recipients(page_number);
            let page = match self.log.entry(found.at).await? {
                Some(entry) => {
                    payload.clear();
                    payload.resize(entry.len as usize, 0);
                    self.log.read(&entry, 0, &mut payload).await?;
                    Log::<F>::matches(&entry, &payload)
                        .then(|| StateFacts::decode(&payload, recipients))
                        .flatten()
                }
                None => None,
            };
            let message = &mut self.index.messages[place];
            let Some(page) = page else {
                // Who was delivered is not known any more: the operator decides.
                message.uncertain = true;
                continue;
            };
            moment = moment.max(page.moment);
            message.open = message.open.saturating_sub(recipients as u16 - page.open);
            message.unreported += page.unreported;
            if page_number == 0 {
                message.take_over(&page);
            }
        }
        Ok(moment)
    }
}
