//! The table of blocks: what the headers say at the mount, which blocks are free, how worn they are.

use alloc::vec::Vec;

use embedded_storage_async::nor_flash::NorFlash;
use limits::flash::NOTICES_COUNT_MAX;

use crate::format::{
    self, BAD_COUNT, BAD_UNIT, Bad, ERASED_UNIT, Erased, HEADER_UNITS, INTENT_COUNT, INTENT_UNIT, Intent,
    OPENED_AGAIN_UNIT, OPENED_UNIT, Opened, RETIRED_UNIT, UNIT, Unit,
};
use crate::log::{Block, Log, LogError, LogNotice, LogReport, State, read};

/// Bins of [`Wear::bins`].
pub const WEAR_BINS: usize = 8;

/// Erase counts of the blocks of a log that are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Wear {
    /// Smallest count.
    pub min: u32,
    /// Largest count.
    pub max: u32,
    /// Sum of all counts.
    pub total: u64,
    /// Blocks by count: bin `i` has those from `min + i * bin_width` on.
    pub bins: [u16; WEAR_BINS],
    /// Counts that share a bin.
    pub bin_width: u32,
    /// Blocks that are out of use.
    pub retired: u32,
    /// Blocks that failed and still hold records.
    pub failing: u32,
}

fn unit_of(header: &[u8], unit: u32) -> Unit {
    let mut out = [0; UNIT];
    out.copy_from_slice(&header[unit as usize * UNIT..][..UNIT]);
    out
}

/// What the headers say about other blocks than their own.
#[derive(Default)]
struct Hearsay {
    intents: Vec<Intent>,
    bad: Vec<Bad>,
    base: u32,
}

impl<F: NorFlash> Log<F> {
    pub(crate) async fn read_headers(&mut self, count: u16) -> Result<LogReport, LogError> {
        let mut report = LogReport::default();
        let mut hearsay = Hearsay::default();
        let mut header = [0; HEADER_UNITS as usize * UNIT];
        for number in 0..count {
            let address = self.address(number, 0);
            read(&mut self.flash, address, &mut header).await?;
            let block = self.read_header(&header, &mut hearsay);
            self.blocks.push(block);
        }
        self.base = hearsay.base;
        for bad in hearsay.bad {
            if let Some(block) = self.blocks.get_mut(usize::from(bad.block)) {
                block.retired |= !bad.failing;
                block.suspect |= bad.failing;
            }
        }
        for intent in &hearsay.intents {
            self.raise_owner_floor(intent.owner_floor);
            // The head that was abandoned may have been the newest: its number must not be given again while an intent
            // names it.
            self.raise_next_sequence(intent.sequence);
        }
        for number in 0..count {
            let base = self.base;
            let block = &mut self.blocks[usize::from(number)];
            let State::Open { sequence } = block.state else { continue };
            let condemned =
                hearsay.intents.iter().any(|intent| intent.block == number && intent.sequence == sequence);
            // A block is retired when it could not be erased; what it held had ended before.
            if condemned || block.retired || sequence < base {
                block.state = State::Doomed { sequence };
                report.erases_interrupted += u32::from(!block.retired);
            }
        }
        for block in &self.blocks {
            match block.state {
                _ if block.retired => report.blocks_retired += 1,
                State::Open { .. } => report.blocks_in_use += 1,
                _ => report.blocks_unformatted += 1,
            }
        }
        self.head = self.newest();
        // An erase count that a power cut took away, or that was never there, is replaced by the smallest that is
        // known: a factory-fresh block is used next, and a torn erase costs one erase more.
        let least = self.blocks.iter().map(|b| b.erases).filter(|e| *e != u32::MAX).min().unwrap_or(0);
        self.blocks.iter_mut().filter(|b| b.erases == u32::MAX).for_each(|b| b.erases = least);
        Ok(report)
    }

    fn read_header(&mut self, header: &[u8], hearsay: &mut Hearsay) -> Block {
        let mut block = Block { state: State::Dirty, erases: u32::MAX, ..Block::default() };
        let erased = Erased::decode(&unit_of(header, ERASED_UNIT))
            .filter(|e| e.kind == self.kind && e.block_units == self.block_units() && e.erases != u32::MAX);
        if let Some(erased) = erased {
            block.erases = erased.erases;
        }
        let (first, second) = (unit_of(header, OPENED_UNIT), unit_of(header, OPENED_AGAIN_UNIT));
        if format::is_blank(&first) && format::is_blank(&second) {
            // Blank or not: its erase, or a later one that left the header, may have been torn, and cells that have hardly
            // been erased read blank today and not tomorrow. It is erased again when it is needed.
            block.retired = erased.is_some() && !format::is_blank(&unit_of(header, RETIRED_UNIT));
            return block;
        }
        let opened = Opened::decode(&first).or_else(|| Opened::decode(&second));
        let opened = opened.filter(|o| o.kind == self.kind && o.block_units == self.block_units());
        let Some(opened) = opened.filter(|o| o.erases != u32::MAX) else {
            return block;
        };
        block.erases = opened.erases;
        self.raise_owner_floor(opened.owner_floor);
        hearsay.base = hearsay.base.max(opened.base.min(opened.sequence));
        self.raise_next_sequence(opened.sequence);
        block.state = State::Open { sequence: opened.sequence };
        block.used_units = HEADER_UNITS;
        let bad = unit_of(header, BAD_UNIT);
        block.listed_bad = !format::is_blank(&bad);
        if hearsay.bad.len() < self.blocks.capacity() * BAD_COUNT {
            hearsay.bad.extend(format::decode_bad_list(&bad, opened.sequence));
        }
        for index in 0..INTENT_COUNT {
            let unit = unit_of(header, INTENT_UNIT + index);
            if !format::is_blank(&unit) {
                block.intents_used = index + 1;
                if let Some(intent) = Intent::decode(&unit, opened.sequence) {
                    hearsay.intents.push(intent);
                }
            }
        }
        block
    }

    fn raise_next_sequence(&mut self, used: u32) {
        // An overflow can only come from foreign content; then no block can be opened any more.
        self.next_sequence = self.next_sequence.and_then(|next| Some(next.max(used.checked_add(1)?)));
    }

    /// Whether the headers of a block on flash still say what the mount, or the opening, knew. A scrubber asks; if not,
    /// the block should be moved and erased while what it holds can still be found.
    ///
    /// # Errors
    /// [`LogError::Read`].
    pub async fn headers_intact(&mut self, block: u16) -> Result<bool, LogError> {
        let Some(sequence) = self.sequence(block) else {
            return Ok(true);
        };
        let mut header = [0; HEADER_UNITS as usize * UNIT];
        let address = self.address(block, 0);
        read(&mut self.flash, address, &mut header).await?;
        Ok([OPENED_UNIT, OPENED_AGAIN_UNIT].into_iter().all(|unit| {
            let unit = unit_of(&header, unit);
            format::intact(&unit, 0) && Opened::decode(&unit).is_some_and(|o| o.sequence == sequence)
        }))
    }

    /// The open block with the greatest sequence number.
    pub(crate) fn newest(&self) -> Option<u16> {
        let open = (0..self.block_count()).filter_map(|block| Some((self.sequence(block)?, block)));
        open.max().map(|(_, block)| block)
    }

    /// Whether a block can be made the head: not retired, and it holds nothing that lives.
    pub(crate) fn is_free(&self, number: u16, dead: &impl Fn(u16) -> bool) -> bool {
        self.blocks.get(usize::from(number)).is_some_and(|block| {
            !block.retired
                && match block.state {
                    State::Dirty | State::Blank | State::Erased { .. } | State::Doomed { .. } => true,
                    State::Open { .. } => !self.is_head(number) && dead(number),
                }
        })
    }

    /// Number of blocks that can become the head, erased already or not. `dead` tells whether a block that holds
    /// records holds no live one. Blocks that will be retired when they are erased do not count.
    pub fn free_blocks(&self, dead: impl Fn(u16) -> bool) -> u32 {
        let spare = self.usable_blocks() <= 2;
        (0..self.block_count())
            .filter(|number| spare || !self.is_failing(*number))
            .filter(|number| self.is_free(*number, &dead))
            .count() as u32
    }

    /// Number of blocks that are erased and can become the head at once.
    #[must_use]
    pub fn erased_blocks(&self) -> u32 {
        let erased = |b: &&Block| !b.retired && b.state == State::Blank;
        self.blocks.iter().filter(erased).count() as u32
    }

    /// Whether a block is erased and was seen to be blank.
    #[must_use]
    pub fn is_blank(&self, block: u16) -> bool {
        self.blocks.get(usize::from(block)).is_some_and(|b| !b.retired && b.state == State::Blank)
    }

    /// Number of blocks that are not retired.
    #[must_use]
    pub fn usable_blocks(&self) -> u32 {
        self.blocks.iter().filter(|block| !block.retired).count() as u32
    }

    /// Whether a block still has the content that it had under a sequence number, or may have it after a power cut.
    #[must_use]
    pub fn may_hold(&self, block: u16, sequence: u32) -> bool {
        let state = self.blocks.get(usize::from(block)).map(|block| block.state);
        state == Some(State::Open { sequence }) || state == Some(State::Doomed { sequence })
    }

    /// Whether a program in this block has failed: it will be retired when it is erased.
    #[must_use]
    pub fn is_failing(&self, block: u16) -> bool {
        self.blocks.get(usize::from(block)).is_some_and(|b| b.suspect && !b.retired)
    }

    /// Erases of a block in its life, as far as they are known.
    #[must_use]
    pub fn erase_count(&self, block: u16) -> u32 {
        self.blocks.get(usize::from(block)).map_or(0, |b| b.erases)
    }

    /// Erase counts.
    #[must_use]
    pub fn wear(&self) -> Wear {
        let usable = || self.blocks.iter().filter(|block| !block.retired);
        let min = usable().map(|b| b.erases).min().unwrap_or(0);
        let max = usable().map(|b| b.erases).max().unwrap_or(0);
        let mut wear = Wear {
            min,
            max,
            total: usable().map(|b| u64::from(b.erases)).sum(),
            bins: [0; WEAR_BINS],
            bin_width: (max - min) / WEAR_BINS as u32 + 1,
            retired: self.blocks.iter().filter(|b| b.retired).count() as u32,
            failing: usable().filter(|b| b.suspect).count() as u32,
        };
        for block in usable() {
            if let Some(bin) = wear.bins.get_mut(((block.erases - min) / wear.bin_width) as usize) {
                *bin += 1;
            }
        }
        wear
    }

    pub(crate) fn block_mut(&mut self, number: u16) -> &mut Block {
        // Numbers come from this crate's own loops over the table.
        &mut self.blocks[usize::from(number)]
    }

    /// Marks a block in which a program failed.
    pub(crate) fn suspect(&mut self, number: u16) {
        if let Some(block) = self.blocks.get_mut(usize::from(number))
            && !block.suspect
        {
            block.suspect = true;
            self.note(LogNotice::Failing(number));
        }
    }

    pub(crate) fn note(&mut self, notice: LogNotice) {
        if self.notices.len() < NOTICES_COUNT_MAX {
            self.notices.push(notice);
        }
    }

    /// What happened to blocks since the last call, oldest first; beyond [`NOTICES_COUNT_MAX`] the later are missing.
    pub fn take_notices(&mut self) -> Vec<LogNotice> {
        core::mem::take(&mut self.notices)
    }

    /// The bad blocks that a head should list: retired ones first, they are the ones that cannot say it themselves.
    pub(crate) fn bad_blocks(&self) -> heapless::Vec<Bad, BAD_COUNT> {
        let listed = |failing| {
            (0..self.block_count()).filter_map(move |block| {
                let found = &self.blocks[usize::from(block)];
                let wanted = if failing { found.suspect && !found.retired } else { found.retired };
                wanted.then_some(Bad { block, failing })
            })
        };
        listed(false).chain(listed(true)).take(BAD_COUNT).collect()
    }
}
