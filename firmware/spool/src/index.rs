//! The index in RAM: which messages there are, where their records are, how much is promised. No flash access.

use alloc::vec::Vec;
use core::cell::Cell;

use envelope::QueueId;
use flash_log::{Entry, Location};
use limits::flash::{BLOCKS_COUNT_MAX, RECORD_ALIGN_BYTES};
use limits::spool::{
    BLOCKS_COUNT_RESERVED, CHUNK_BYTES, CURSORS_COUNT, INCOMING_COUNT_MAX, MESSAGES_COUNT_MAX,
    PAGE_RECIPIENTS_COUNT, RECIPE_BYTES_RESERVED, RECORDS_COUNT_MAX, REPORTS_BYTES_RESERVED,
    REPORTS_COUNT_RESERVED,
};

use crate::ended::Ended;
use crate::health::{Health, Notices};
use crate::record::{CONTENT, ENDED, ENVELOPE_BYTES_MAX, RECIPE, STATE, StateFacts, state_bytes_max};
use crate::types::{Admission, Brief, Class, MessageState, SpoolFull, Usage};

/// No record.
pub(crate) const NONE: u32 = u32::MAX;
/// Part of a record number in the key.
const PART_MASK: u32 = 0x00ff_ffff;

/// Units that `bytes` octets take.
pub(crate) const fn units(bytes: usize) -> u32 {
    bytes.div_ceil(RECORD_ALIGN_BYTES) as u32
}

/// Kind and part in one word.
pub(crate) const fn key(kind: u8, part: u32) -> u32 {
    (kind as u32) << 24 | (part & PART_MASK)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Incoming,
    Stored(MessageState),
}

/// A record of a message other than its commit record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordPlace {
    pub at: Location,
    pub next: u32,
    pub key: u32,
    pub version: u32,
    pub start: u16,
    pub units: u16,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub id: QueueId,
    pub status: Status,
    pub class: Class,
    /// The commit record: slot, first unit of payload, units.
    pub anchor: Location,
    pub anchor_start: u16,
    pub anchor_units: u16,
    /// Content records in order of their parts.
    pub content: u32,
    pub content_last: u32,
    pub content_count: u32,
    /// Recipient pages, state pages, recipe.
    pub others: u32,
    pub size: u32,
    /// Octets of a chunk when the message was stored.
    pub chunk_bytes: u32,
    /// Offset of the last piece of content in the commit record; 0 if it has a record of its own.
    pub tail_at: u32,
    pub time: Option<u64>,
    /// Moment of arrival.
    pub moment: u64,
    pub recipients: u16,
    pub open: u16,
    pub unreported: u16,
    pub attempts: u16,
    pub reports: u16,
    pub warned: bool,
    /// A state page was found damaged: held until it is released.
    pub uncertain: bool,
    /// Units promised: live records of the message and what may still come.
    pub promised: u32,
    /// Index records promised.
    pub promised_records: u32,
    /// Its records were erased while it arrived.
    pub lost: bool,
}

impl Message {
    pub(crate) fn new(id: QueueId, status: Status) -> Self {
        Self {
            id,
            status,
            class: Class::Mail,
            anchor: Location::default(),
            anchor_start: 0,
            anchor_units: 0,
            content: NONE,
            content_last: NONE,
            content_count: 0,
            others: NONE,
            size: 0,
            chunk_bytes: CHUNK_BYTES as u32,
            tail_at: 0,
            time: None,
            moment: 0,
            recipients: 0,
            open: 0,
            unreported: 0,
            attempts: 0,
            reports: 0,
            warned: false,
            uncertain: false,
            promised: 0,
            promised_records: 0,
            lost: false,
        }
    }

    /// Content records that are full, before the last piece.
    pub(crate) fn full_chunks(&self) -> u32 {
        if self.size == 0 { 0 } else { (self.size - 1) / self.chunk_bytes.max(1) }
    }

    /// Recipients of a page.
    pub(crate) fn page_recipients(&self, page: u32) -> usize {
        usize::from(self.recipients)
            .saturating_sub(page as usize * PAGE_RECIPIENTS_COUNT)
            .min(PAGE_RECIPIENTS_COUNT)
    }

    pub(crate) fn pages(&self) -> u32 {
        usize::from(self.recipients).div_ceil(PAGE_RECIPIENTS_COUNT) as u32
    }

    /// Takes over what page 0 of the states says about the message.
    pub(crate) fn take_over(&mut self, page: &StateFacts) {
        (self.attempts, self.reports, self.warned) = (page.attempts, page.reports, page.warned);
        self.uncertain |= page.uncertain;
        let state = if page.held { MessageState::Held } else { MessageState::Queued };
        self.status = Status::Stored(state);
    }

    pub(crate) fn state(&self) -> Option<MessageState> {
        match self.status {
            Status::Incoming => None,
            Status::Stored(MessageState::Queued) if self.uncertain => Some(MessageState::Held),
            Status::Stored(state) => Some(state),
        }
    }
}

/// Where a reader of content is: the record of a chunk whose checksum has been verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub id: QueueId,
    pub part: u32,
    /// Number of the record, [`NONE`] for the commit record.
    pub record: u32,
    used: u64,
}

/// Sizes that follow from the flash.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Geometry {
    pub chunk_bytes: u32,
    pub payload_max: usize,
    pub room_units: u32,
}

impl Geometry {
    /// `room` is the octets of a block that can hold records.
    pub(crate) fn new(room: u32) -> Self {
        let align = RECORD_ALIGN_BYTES;
        let payload_max = CHUNK_BYTES.min((room as usize / 4).saturating_sub(2 * align) / align * align);
        Self { chunk_bytes: payload_max as u32, payload_max, room_units: units(room as usize) }
    }

    /// Units that may stay empty at the end of a block because the next record does not fit.
    pub(crate) fn waste_units(&self) -> u32 {
        units(self.payload_max) + 1
    }

    /// Units that can be promised when `blocks` blocks are usable.
    pub(crate) fn capacity(&self, blocks: u32) -> u32 {
        // At the end of every block a record that just does not fit may stay out.
        let waste = self.waste_units();
        blocks.saturating_sub(BLOCKS_COUNT_RESERVED as u32) * (self.room_units - waste)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Anchor(usize),
    Record(u32),
    Ended,
}

pub(crate) struct Index {
    pub geometry: Geometry,
    pub capacity: u32,
    /// All messages, stored and arriving; free places are listed in `free_messages`.
    pub messages: Vec<Message>,
    free_messages: Vec<u16>,
    /// Places of messages in the order of ids.
    order: Vec<u16>,
    /// Where in the order the last one was found.
    hint: Cell<usize>,
    pub records: Vec<RecordPlace>,
    free_record: u32,
    records_used: u32,
    /// Units of live records in each block.
    live: Vec<u32>,
    cursors: Vec<Cursor>,
    clock: u64,
    next_id: u64,
    promised: u32,
    promised_records: u32,
    pub incoming: u32,
    stored: u32,
    /// Figures about blocks as of the last time they were asked for.
    pub usage: Usage,
    pub ended: Vec<Ended>,
    pub health: Health,
    pub notices: Notices,
}

impl Index {
    pub(crate) fn new(geometry: Geometry) -> Self {
        let messages = MESSAGES_COUNT_MAX + INCOMING_COUNT_MAX;
        Self {
            geometry,
            capacity: 0,
            messages: Vec::with_capacity(messages),
            free_messages: Vec::with_capacity(messages),
            order: Vec::with_capacity(messages),
            hint: Cell::new(0),
            records: Vec::with_capacity(RECORDS_COUNT_MAX),
            free_record: NONE,
            records_used: 0,
            live: alloc::vec![0; BLOCKS_COUNT_MAX],
            cursors: Vec::with_capacity(CURSORS_COUNT),
            clock: 0,
            next_id: 1,
            promised: 0,
            promised_records: 0,
            incoming: 0,
            stored: 0,
            usage: Usage::default(),
            ended: Vec::new(),
            health: Health::default(),
            notices: Notices::new(),
        }
    }

    fn position(&self, id: QueueId) -> Result<usize, usize> {
        let at =
            |position: usize| self.order.get(position).map(|place| self.messages[usize::from(*place)].id);
        // New messages have the greatest id.
        if self.order.last().is_none_or(|last| self.messages[usize::from(*last)].id < id) {
            return Err(self.order.len());
        }
        // Records of one message, or of one after the other, often follow each other: a mount asks a million times.
        let hint = self.hint.get();
        for position in [hint, hint + 1] {
            if at(position) == Some(id) {
                self.hint.set(position);
                return Ok(position);
            }
        }
        let found = self.order.binary_search_by_key(&id, |place| self.messages[usize::from(*place)].id);
        if let Ok(position) = found {
            self.hint.set(position);
        }
        found
    }

    /// Place of a message, stored or arriving.
    pub(crate) fn find(&self, id: QueueId) -> Option<usize> {
        self.position(id).ok().map(|position| usize::from(self.order[position]))
    }

    /// Place of a stored message.
    pub(crate) fn stored(&self, id: QueueId) -> Option<usize> {
        self.find(id).filter(|place| self.messages[*place].status != Status::Incoming)
    }

    /// Stored messages with an id greater than `after`, in order.
    pub(crate) fn after(&self, after: Option<QueueId>) -> impl Iterator<Item = &Message> {
        let from = after.map_or(0, |id| self.position(id).map_or_else(|at| at, |at| at + 1));
        self.order[from..]
            .iter()
            .map(|place| &self.messages[usize::from(*place)])
            .filter(|message| message.status != Status::Incoming)
    }

    /// Whether there is a message with an id from `least` to `greatest`.
    pub(crate) fn has_any(&self, least: QueueId, greatest: QueueId) -> bool {
        let at = self.position(least).unwrap_or_else(|at| at);
        self.order.get(at).is_some_and(|place| self.messages[usize::from(*place)].id <= greatest)
    }

    pub(crate) fn places(&self) -> Vec<u16> {
        self.order.clone()
    }

    /// Adds a message; `None` if the table is full or the id exists.
    pub(crate) fn insert(&mut self, message: Message) -> Option<usize> {
        let Err(position) = self.position(message.id) else {
            return None;
        };
        let place = match self.free_messages.pop() {
            Some(place) => place,
            None if self.messages.len() < MESSAGES_COUNT_MAX + INCOMING_COUNT_MAX => {
                self.messages.push(message);
                (self.messages.len() - 1) as u16
            }
            None => return None,
        };
        self.messages[usize::from(place)] = message;
        self.order.insert(position, place);
        match message.status {
            Status::Incoming => self.incoming += 1,
            Status::Stored(_) => self.stored += 1,
        }
        self.live[usize::from(message.anchor.block())] += u32::from(message.anchor_units);
        Some(usize::from(place))
    }

    /// Forgets a message, its records and its promise.
    pub(crate) fn remove(&mut self, place: usize) {
        let message = self.messages[place];
        let Ok(position) = self.position(message.id) else {
            return;
        };
        self.order.remove(position);
        self.free_messages.push(place as u16);
        self.free_list(message.content);
        self.free_list(message.others);
        self.live[usize::from(message.anchor.block())] -= u32::from(message.anchor_units);
        self.promised -= message.promised;
        self.promised_records -= message.promised_records;
        match message.status {
            Status::Incoming => self.incoming -= 1,
            Status::Stored(_) => self.stored -= 1,
        }
        self.cursors.retain(|cursor| cursor.id != message.id);
    }

    /// Forgets the records of an arriving message, which has no future then.
    pub(crate) fn forget_records(&mut self, place: usize) {
        let message = self.messages[place];
        self.free_list(message.content);
        self.free_list(message.others);
        let message = &mut self.messages[place];
        (message.content, message.content_last, message.others) = (NONE, NONE, NONE);
        message.lost = true;
    }

    fn free_list(&mut self, mut record: u32) {
        while record != NONE {
            let next = self.records[record as usize].next;
            self.free_record(record);
            record = next;
        }
    }

    fn free_record(&mut self, record: u32) {
        let place = &mut self.records[record as usize];
        self.live[usize::from(place.at.block())] -= u32::from(place.units);
        place.next = self.free_record;
        self.free_record = record;
        self.records_used -= 1;
    }

    fn new_record(&mut self, entry: &Entry, next: u32) -> Option<u32> {
        let place = RecordPlace {
            at: entry.at,
            next,
            key: key(entry.record.kind, entry.record.part),
            version: entry.record.version,
            start: entry.start,
            units: entry.footprint_units() as u16,
        };
        let record = if self.free_record != NONE {
            let record = self.free_record;
            self.free_record = self.records[record as usize].next;
            self.records[record as usize] = place;
            record
        } else if self.records.len() < RECORDS_COUNT_MAX {
            self.records.push(place);
            (self.records.len() - 1) as u32
        } else {
            return None;
        };
        self.records_used += 1;
        self.live[usize::from(entry.at.block())] += entry.footprint_units();
        Some(record)
    }

    /// Forgets the records of a message that are in a block. Of content the order of the others stays.
    pub(crate) fn drop_records_in(&mut self, place: usize, block: u16) {
        for content in [true, false] {
            let message = &mut self.messages[place];
            let head = if content { &mut message.content } else { &mut message.others };
            let mut record = core::mem::replace(head, NONE);
            let (mut last, mut count) = (NONE, 0);
            while record != NONE {
                let found = self.records[record as usize];
                if found.at.block() == block {
                    self.free_record(record);
                } else {
                    match self.records.get_mut(last as usize) {
                        Some(before) if last != NONE => before.next = record,
                        _ if content => self.messages[place].content = record,
                        _ => self.messages[place].others = record,
                    }
                    self.records[record as usize].next = NONE;
                    (last, count) = (record, count + 1);
                }
                record = found.next;
            }
            if content {
                let message = &mut self.messages[place];
                (message.content_last, message.content_count) = (last, count);
            }
        }
    }

    /// Adds the next content record; `false` if the table is full.
    pub(crate) fn push_content(&mut self, place: usize, entry: &Entry) -> bool {
        let Some(record) = self.new_record(entry, NONE) else {
            return false;
        };
        let message = &mut self.messages[place];
        if message.content_last == NONE {
            message.content = record;
        } else {
            self.records[message.content_last as usize].next = record;
        }
        message.content_last = record;
        message.content_count += 1;
        true
    }

    /// Brings the content records of a message, which the mount found in any order, into the order of parts.
    /// Of two copies the one found later stays. Returns whether the parts are 0, 1, 2 … without a gap.
    pub(crate) fn sort_content(&mut self, place: usize) -> bool {
        let mut found: Vec<(u32, u32)> = Vec::new();
        let mut record = self.messages[place].content;
        while record != NONE {
            found.push((self.records[record as usize].key, record));
            record = self.records[record as usize].next;
        }
        found.sort_by_key(|(key, _)| *key);
        let message = &mut self.messages[place];
        (message.content, message.content_last, message.content_count) = (NONE, NONE, 0);
        let mut whole = true;
        for (number, (key_found, record)) in found.iter().enumerate() {
            if found.get(number + 1).is_some_and(|(next, _)| next == key_found) {
                self.free_record(*record);
                continue;
            }
            let message = &mut self.messages[place];
            whole &= *key_found == key(CONTENT, message.content_count);
            message.content_count += 1;
            if message.content_last == NONE {
                message.content = *record;
            } else {
                self.records[message.content_last as usize].next = *record;
            }
            message.content_last = *record;
            self.records[*record as usize].next = NONE;
        }
        whole
    }

    /// The record of a key among recipients, states and recipe.
    pub(crate) fn other(&self, place: usize, key: u32) -> Option<u32> {
        self.other_of(&self.messages[place], key)
    }

    fn other_of(&self, message: &Message, key: u32) -> Option<u32> {
        let mut record = message.others;
        while record != NONE {
            let found = &self.records[record as usize];
            if found.key == key {
                return Some(record);
            }
            record = found.next;
        }
        None
    }

    /// Version that the next record of a key gets.
    pub(crate) fn next_version(&self, place: usize, key: u32) -> u32 {
        self.other(place, key).map_or(0, |record| self.records[record as usize].version.saturating_add(1))
    }

    /// Adds or replaces the record of a key, unless a later version is known; `false` if the table is full.
    pub(crate) fn put_other(&mut self, place: usize, entry: &Entry) -> bool {
        let wanted = key(entry.record.kind, entry.record.part);
        if let Some(record) = self.other(place, wanted) {
            if entry.record.version >= self.records[record as usize].version {
                self.move_record(record, entry);
            }
            return true;
        }
        let Some(record) = self.new_record(entry, self.messages[place].others) else {
            return false;
        };
        self.messages[place].others = record;
        true
    }

    fn move_record(&mut self, record: u32, entry: &Entry) {
        let place = &mut self.records[record as usize];
        self.live[usize::from(place.at.block())] -= u32::from(place.units);
        (place.at, place.start, place.version) = (entry.at, entry.start, entry.record.version);
        place.units = entry.footprint_units() as u16;
        self.live[usize::from(entry.at.block())] += entry.footprint_units();
    }

    /// Sets the commit record of a message.
    pub(crate) fn set_anchor(&mut self, place: usize, entry: &Entry) {
        let message = &mut self.messages[place];
        self.live[usize::from(message.anchor.block())] -= u32::from(message.anchor_units);
        (message.anchor, message.anchor_start) = (entry.at, entry.start);
        message.anchor_units = entry.footprint_units() as u16;
        self.live[usize::from(entry.at.block())] += entry.footprint_units();
    }

    /// An arriving message becomes a stored one.
    pub(crate) fn set_stored(&mut self, place: usize) {
        self.messages[place].status = Status::Stored(MessageState::Queued);
        self.incoming -= 1;
        self.stored += 1;
    }

    /// What a record on flash is to the index: `None` if it is dead.
    pub(crate) fn target(&self, entry: &Entry) -> Option<Target> {
        if entry.record.kind == ENDED {
            return self.ended.iter().any(|ended| ended.at == entry.at).then_some(Target::Ended);
        }
        let place = self.find(QueueId(entry.record.owner))?;
        let message = &self.messages[place];
        if entry.record.anchor {
            let current = message.anchor_units != 0 && message.anchor == entry.at;
            return current.then_some(Target::Anchor(place));
        }
        let list = if entry.record.kind == CONTENT { message.content } else { message.others };
        let mut record = list;
        while record != NONE {
            let found = &self.records[record as usize];
            if found.at == entry.at {
                return Some(Target::Record(record));
            }
            record = found.next;
        }
        None
    }

    /// Notes that cleaning has copied a record.
    pub(crate) fn moved(&mut self, target: Target, to: &Entry) {
        match target {
            Target::Anchor(place) => self.set_anchor(place, to),
            Target::Record(record) => self.move_record(record, to),
            Target::Ended => {
                if let Some(ended) = Ended::of(to) {
                    self.add_ended(ended);
                }
            }
        }
    }

    /// Moves live units from one block to another.
    pub(crate) fn shift_live(&mut self, from: Option<Location>, to: Option<Location>, units: u32) {
        for (at, gained) in [(from, false), (to, true)] {
            if let Some(live) = at.and_then(|at| self.live.get_mut(usize::from(at.block()))) {
                *live = if gained { *live + units } else { live.saturating_sub(units) };
            }
        }
    }

    /// Units of live records in a block.
    pub(crate) fn live(&self, block: u16) -> u32 {
        self.live.get(usize::from(block)).copied().unwrap_or(0)
    }

    pub(crate) fn is_dead(&self, block: u16) -> bool {
        self.live(block) == 0
    }

    pub(crate) fn live_total(&self) -> u64 {
        self.live.iter().map(|units| u64::from(*units)).sum()
    }

    pub(crate) const fn promised_units(&self) -> u32 {
        self.promised
    }

    pub(crate) const fn records_used(&self) -> u32 {
        self.records_used
    }

    pub(crate) const fn stored_count(&self) -> u32 {
        self.stored
    }

    /// The greatest id that was given.
    pub(crate) const fn last_id(&self) -> u64 {
        self.next_id - 1
    }

    /// Ids above every id that flash knows.
    pub(crate) fn raise_next_id(&mut self, used: u64) {
        self.next_id = self.next_id.max(used.saturating_add(1));
    }

    // --- promises

    /// Units and index records of content with `size` octets, the last piece counted as a record of its own.
    fn content_cost(&self, size: u32) -> (u32, u32) {
        let chunk = self.geometry.chunk_bytes.max(1);
        let full = size / chunk;
        let per_chunk = units(chunk as usize) + 1;
        (full.saturating_mul(per_chunk).saturating_add(units((size % chunk) as usize) + 1), full + 1)
    }

    /// Units and index records of the states of `recipients` recipients at their longest.
    pub(crate) fn states_cost(recipients: u16) -> (u32, u32) {
        let recipients = usize::from(recipients);
        let pages = recipients.div_ceil(PAGE_RECIPIENTS_COUNT).max(1) as u32;
        let page = |number, count| units(state_bytes_max(number, count)) + 1;
        let last = recipients - (pages as usize - 1) * PAGE_RECIPIENTS_COUNT;
        let cost = match pages {
            1 => page(0, last),
            _ => {
                let full = page(1, PAGE_RECIPIENTS_COUNT);
                page(0, PAGE_RECIPIENTS_COUNT) + (pages - 2) * full + page(1, last)
            }
        };
        (cost, pages)
    }

    /// Units that are kept for a recipe.
    pub(crate) fn recipe_cost(&self) -> u32 {
        units(RECIPE_BYTES_RESERVED.min(self.geometry.payload_max)) + 1
    }

    fn cost(&self, admission: &Admission) -> (u32, u32) {
        let size = admission.size.unwrap_or(self.geometry.chunk_bytes);
        let (content, chunks) = self.content_cost(size);
        let pages = usize::from(admission.recipients).div_ceil(PAGE_RECIPIENTS_COUNT);
        let recipients = admission.recipients_bytes as usize + 4 * usize::from(admission.recipients);
        let envelope = units(ENVELOPE_BYTES_MAX) + 2 + units(recipients) + 2 * pages as u32;
        let (states, state_pages) = Self::states_cost(admission.recipients);
        let records = chunks + pages as u32 + state_pages + 1;
        (content.saturating_add(envelope).saturating_add(states) + self.recipe_cost(), records)
    }

    fn limits_of(&self, class: Class) -> (u32, u32) {
        let reports = units(REPORTS_BYTES_RESERVED).min(self.capacity / 16);
        match class {
            Class::Mail => (self.capacity - reports, (RECORDS_COUNT_MAX - REPORTS_COUNT_RESERVED * 8) as u32),
            Class::Report => (self.capacity, RECORDS_COUNT_MAX as u32),
        }
    }

    /// Takes room for an arriving message.
    pub(crate) fn admit(&mut self, admission: &Admission) -> Result<(usize, QueueId), SpoolFull> {
        let (units, records) = self.cost(admission);
        let (units_max, records_max) = self.limits_of(admission.class);
        if units > units_max || records > records_max || self.next_id == u64::MAX {
            return Err(SpoolFull::Never);
        }
        let places = self.stored as usize + self.incoming as usize;
        let places_max = match admission.class {
            Class::Mail => MESSAGES_COUNT_MAX - REPORTS_COUNT_RESERVED,
            Class::Report => MESSAGES_COUNT_MAX,
        };
        if places >= places_max || self.incoming as usize >= INCOMING_COUNT_MAX {
            return Err(SpoolFull::Now);
        }
        let id = QueueId(self.next_id);
        let mut message = Message::new(id, Status::Incoming);
        message.class = admission.class;
        message.chunk_bytes = self.geometry.chunk_bytes;
        self.check(units, records, admission.class)?;
        let place = self.insert(message).ok_or(SpoolFull::Now)?;
        self.next_id += 1;
        self.promise(place, units, records);
        Ok((place, id))
    }

    fn check(&self, units: u32, records: u32, class: Class) -> Result<(), SpoolFull> {
        let (units_max, records_max) = self.limits_of(class);
        let fits = self.promised.saturating_add(units) <= units_max
            && self.promised_records.saturating_add(records) <= records_max;
        if fits { Ok(()) } else { Err(SpoolFull::Now) }
    }

    fn promise(&mut self, place: usize, units: u32, records: u32) {
        let message = &mut self.messages[place];
        message.promised += units;
        message.promised_records += records;
        self.promised += units;
        self.promised_records += records;
    }

    /// Takes more room for a message than it was admitted with.
    pub(crate) fn grow(&mut self, place: usize, units: u32, records: u32) -> Result<(), SpoolFull> {
        let class = self.messages[place].class;
        if self.messages[place].promised.saturating_add(units) > self.limits_of(class).0 {
            return Err(SpoolFull::Never);
        }
        self.check(units, records, class)?;
        self.promise(place, units, records);
        Ok(())
    }

    /// Takes the room that `new` needs beyond `old`, which was taken before.
    pub(crate) fn extend(&mut self, place: usize, old: &Admission, new: &Admission) -> Result<(), SpoolFull> {
        let (old_units, old_records) = self.cost(old);
        let (new_units, new_records) = self.cost(new);
        self.grow(place, new_units.saturating_sub(old_units), new_records.saturating_sub(old_records))
    }

    /// Units of one more full chunk.
    pub(crate) fn chunk_cost(&self) -> u32 {
        units(self.geometry.chunk_bytes as usize) + 1
    }

    /// Replaces the promise of a stored message by what it has and what may still come.
    pub(crate) fn settle(&mut self, place: usize) {
        let message = self.messages[place];
        let (states, state_pages) = Self::states_cost(message.recipients);
        let mut units = u32::from(message.anchor_units);
        let mut records = 0;
        let mut recipe = self.recipe_cost();
        for list in [message.content, message.others] {
            let mut record = list;
            while record != NONE {
                let found = self.records[record as usize];
                if found.key == key(RECIPE, 0) {
                    recipe = u32::from(found.units);
                } else if found.key >> 24 != u32::from(STATE) {
                    units += u32::from(found.units);
                    records += 1;
                }
                record = found.next;
            }
        }
        units += states + recipe;
        records += state_pages + 1;
        let message = &mut self.messages[place];
        self.promised = self.promised - message.promised + units;
        self.promised_records = self.promised_records - message.promised_records + records;
        (message.promised, message.promised_records) = (units, records);
    }

    // --- reading

    /// The record that holds part `part` of the content of a message ([`NONE`]: the commit record), and whether
    /// its checksum has been verified since a reader came to it.
    pub(crate) fn seek(&mut self, place: usize, part: u32) -> Option<(u32, bool)> {
        let message = self.messages[place];
        self.clock += 1;
        let clock = self.clock;
        if let Some(cursor) = self.cursors.iter_mut().find(|c| c.id == message.id && c.part == part) {
            cursor.used = clock;
            return Some((cursor.record, true));
        }
        if message.tail_at != 0 && part == message.full_chunks() {
            return Some((NONE, false));
        }
        if part.checked_add(1) == Some(message.content_count) {
            return Some((message.content_last, false));
        }
        let nearest = self
            .cursors
            .iter()
            .filter(|c| c.id == message.id && c.part < part && c.record != NONE)
            .max_by_key(|c| c.part);
        let (mut at, mut record) = nearest.map_or((0, message.content), |c| (c.part, c.record));
        while at < part && record != NONE {
            record = self.records[record as usize].next;
            at += 1;
        }
        (record != NONE).then_some((record, false))
    }

    /// Remembers that a part has been verified, in the place of the cursor that was not used for longest: one that
    /// a reader left behind, never one where a reader is.
    pub(crate) fn verified(&mut self, id: QueueId, part: u32, record: u32) {
        let cursor = Cursor { id, part, record, used: self.clock };
        if self.cursors.len() < CURSORS_COUNT {
            self.cursors.push(cursor);
        } else if let Some(oldest) = self.cursors.iter_mut().min_by_key(|cursor| cursor.used) {
            *oldest = cursor;
        }
    }

    /// One line about a stored message.
    pub(crate) fn brief(&self, message: &Message) -> Option<Brief> {
        Some(Brief {
            id: message.id,
            size: message.size,
            room: u64::from(message.promised) * RECORD_ALIGN_BYTES as u64,
            time: message.time,
            moment: message.moment,
            state: message.state()?,
            uncertain: message.uncertain,
            recipients: message.recipients,
            recipients_open: message.open,
            recipients_unreported: message.unreported,
            attempts: message.attempts,
            warned: message.warned,
            reports: message.reports,
            has_recipe: self.other_of(message, key(RECIPE, 0)).is_some(),
            class: message.class,
        })
    }
}
