//! What the flash of the queue has been through, and what its owner must hear.

use embedded_storage_async::nor_flash::NorFlash;
use envelope::QueueId;
use flash_log::WEAR_BINS;
use limits::spool::NOTICES_COUNT_MAX;

use crate::Spool;

/// Something about the flash that the owner of the appliance should hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A program in this block failed. What lives in it is moved away, then the block is retired.
    BlockFailing {
        /// Number of the block in the partition of the queue.
        block: u16,
    },
    /// A block is out of use for ever; the capacity has shrunk by one block.
    BlockRetired {
        /// Number of the block in the partition of the queue.
        block: u16,
    },
    /// Bits in this block have decayed, or were read wrongly once. What lives in it is moved away, then the block is
    /// erased and used again.
    BlockRefreshed {
        /// Number of the block in the partition of the queue.
        block: u16,
    },
    /// A record of this message does not match its checksum any more: it is listed as damaged, or, where only its
    /// states or its recipe are lost, held.
    MessageDamaged {
        /// The message.
        id: QueueId,
    },
    /// More happened than the list of notices holds.
    Lost,
}

/// The notices since the last call of [`Spool::take_notices`].
pub type Notices = heapless::Vec<Notice, NOTICES_COUNT_MAX>;

/// Progress and findings of the walk that reads everything again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Scrub {
    /// Complete walks since the mount.
    pub passes: u32,
    /// How much of the present walk is done, in thousandths.
    pub done_permille: u16,
    /// Live records that were read and matched, since the mount.
    pub records: u64,
    /// Messages found damaged, since the mount.
    pub damaged: u32,
    /// Records that were misread and matched when they were read again.
    pub reread: u32,
    /// Blocks that were moved and erased because of decayed bits or misreads.
    pub refreshed: u32,
}

/// Wear and write amplification. Counts "since the mount" begin at 0 with each start of the appliance; erase counts
/// are those of the blocks' whole lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Health {
    /// Blocks of the partition.
    pub blocks: u32,
    /// Blocks out of use.
    pub retired: u32,
    /// Blocks that have failed and still hold records.
    pub failing: u32,
    /// Blocks that hold nothing live, erased or not.
    pub free: u32,
    /// Blocks that are erased, checked and ready.
    pub erased: u32,
    /// Smallest erase count of a usable block.
    pub erases_min: u32,
    /// Largest erase count of a usable block.
    pub erases_max: u32,
    /// Mean erase count of the usable blocks, in hundredths.
    pub erases_mean_percent: u64,
    /// Usable blocks by erase count: bin `i` counts those from `erases_min + i * wear_bin_width` on.
    pub wear_bins: [u16; WEAR_BINS],
    /// Erase counts that share a bin.
    pub wear_bin_width: u32,
    /// Erases since the mount.
    pub erases: u64,
    /// Octets programmed for messages and their states since the mount, records and headers of blocks.
    pub programmed_intake: u64,
    /// Octets copied by cleaning since the mount, to win back room.
    pub programmed_cleaning: u64,
    /// Octets copied since the mount to level wear.
    pub programmed_levelling: u64,
    /// Octets copied since the mount out of failing and decaying blocks.
    pub programmed_refreshing: u64,
    /// The walk that checks everything.
    pub scrub: Scrub,
}

impl Health {
    /// Octets programmed since the mount.
    #[must_use]
    pub const fn programmed(&self) -> u64 {
        self.programmed_intake
            .saturating_add(self.programmed_cleaning)
            .saturating_add(self.programmed_levelling)
            .saturating_add(self.programmed_refreshing)
    }

    /// Octets programmed for each octet of intake, in hundredths; 100 while nothing was programmed.
    #[must_use]
    pub const fn write_amplification_percent(&self) -> u64 {
        match self.programmed().saturating_mul(100).checked_div(self.programmed_intake) {
            Some(percent) => percent,
            None => 100,
        }
    }

    /// Erases that the usable blocks still stand together, where each stands `endurance`.
    #[must_use]
    pub const fn erases_left(&self, endurance: u32) -> u64 {
        let usable = self.blocks.saturating_sub(self.retired) as u64;
        let done = self.erases_mean_percent.saturating_mul(usable) / 100;
        (endurance as u64).saturating_mul(usable).saturating_sub(done)
    }
}

impl<F: NorFlash> Spool<F> {
    /// What happened to the flash since the last call, oldest first; at most [`NOTICES_COUNT_MAX`], the last of them
    /// [`Notice::Lost`] if there was more.
    pub fn take_notices(&self) -> Notices {
        core::mem::take(&mut self.index.borrow_mut().notices)
    }

    /// Wear and write amplification. While another operation has the flash the figures are those of the last call.
    #[must_use]
    pub fn health(&self) -> Health {
        let inner = self.inner.try_lock();
        let mut index = self.index.borrow_mut();
        if let Ok(inner) = &inner {
            let log = &inner.log;
            let wear = log.wear();
            let copied = inner.copied;
            index.health = Health {
                blocks: u32::from(log.block_count()),
                retired: wear.retired,
                failing: wear.failing,
                free: log.free_blocks(|block| index.is_dead(block)),
                erased: log.erased_blocks(),
                erases_min: wear.min,
                erases_max: wear.max,
                erases_mean_percent: (wear.total * 100)
                    .checked_div(u64::from(log.usable_blocks()))
                    .unwrap_or(0),
                wear_bins: wear.bins,
                wear_bin_width: wear.bin_width,
                erases: log.erases(),
                programmed_intake: log.programmed().saturating_sub(copied.total()),
                programmed_cleaning: copied.room,
                programmed_levelling: copied.level,
                programmed_refreshing: copied.refresh,
                scrub: inner.scrub.found,
            };
        }
        index.health
    }
}
