//! What the index does about records that have decayed.

use flash_log::Entry;

use crate::health::Notice;
use crate::index::{Index, NONE, Status, Target};
use crate::record::{RECIPE, STATE};
use crate::types::MessageState;

impl Index {
    /// Keeps a notice for the owner of the queue.
    pub(crate) fn note(&mut self, notice: Notice) {
        if self.notices.len() + 1 < self.notices.capacity() {
            let _ = self.notices.push(notice);
        } else if self.notices.len() < self.notices.capacity() {
            let _ = self.notices.push(Notice::Lost);
        }
    }

    /// A live record does not match its checksum. Returns whether that is news.
    pub(crate) fn damage(&mut self, entry: &Entry) -> bool {
        let Some(place) = self.find(envelope::QueueId(entry.record.owner)) else {
            return false;
        };
        match self.target(entry) {
            Some(Target::Anchor(_) | Target::Record(_)) => self.mark_damaged(place, entry.record.kind),
            Some(Target::Ended) | None => false,
        }
    }

    /// A message whose states are lost might be sent twice, and one whose recipe is lost could not be sent the same
    /// again: the operator decides. What lacks content or envelope cannot be sent.
    fn mark_damaged(&mut self, place: usize, kind: u8) -> bool {
        let message = &mut self.messages[place];
        let Status::Stored(state) = message.status else {
            // It is arriving: its commit would promise what is not there.
            let news = !message.lost;
            message.lost = true;
            return news;
        };
        let held = matches!(kind, STATE | RECIPE);
        let news = state != MessageState::Damaged && !(held && message.uncertain);
        if held {
            message.uncertain = true;
        } else {
            message.status = Status::Stored(MessageState::Damaged);
        }
        let id = message.id;
        if news {
            self.note(Notice::MessageDamaged { id });
        }
        news
    }

    /// The slots of the records that are still live in a block cannot be read any more. Their messages are damaged;
    /// commit records stay, so that the operator sees the message until it is removed.
    pub(crate) fn strand(&mut self, block: u16) {
        for place in self.places().into_iter().map(usize::from) {
            let message = self.messages[place];
            if message.anchor_units != 0 && message.anchor.block() == block {
                self.mark_damaged(place, crate::record::COMMIT);
            }
            for list in [message.content, message.others] {
                let mut record = list;
                while record != NONE {
                    let found = self.records[record as usize];
                    record = found.next;
                    if found.units != 0 && found.at.block() == block {
                        self.mark_damaged(place, (found.key >> 24) as u8);
                    }
                }
            }
            self.drop_records_in(place, block);
        }
    }
}
