//! Answers that are remembered, for as long as they say and as many as there is room for.

use crate::Finding;
use crate::message::Question;
use alloc::collections::BTreeMap;
use limits::dns::{
    CACHE_BYTES_MAX, CACHE_ENTRIES_COUNT_MAX, NEGATIVE_TTL_S_MAX, TROUBLE_TTL_S, TTL_S_MAX, TTL_S_MIN,
};
use platform::Instant;

struct Entry {
    finding: Finding,
    stored: Instant,
    expires: Instant,
    /// Number of the last look at this entry: the smallest goes first.
    used: u64,
    bytes: usize,
}

/// The remembered answers: at most `CACHE_ENTRIES_COUNT_MAX`, at most `CACHE_BYTES_MAX` octets.
#[derive(Default)]
pub struct Cache {
    entries: BTreeMap<Question, Entry>,
    bytes: usize,
    looks: u64,
}

/// How long a finding may be remembered, given what its records say.
fn lifetime_s(finding: &Finding, ttl_s: u32) -> u32 {
    match finding {
        Finding::Records(_) => ttl_s.clamp(TTL_S_MIN, TTL_S_MAX),
        Finding::NoSuchName | Finding::NoData => ttl_s.clamp(TTL_S_MIN, NEGATIVE_TTL_S_MAX),
        Finding::Trouble(_) => TROUBLE_TTL_S,
    }
}

impl Cache {
    /// What is remembered about a question, unless it is over or was found before `not_before`.
    pub fn find(&mut self, question: &Question, not_before: Instant, now: Instant) -> Option<Finding> {
        let entry = self.entries.get_mut(question)?;
        if entry.expires <= now || entry.stored < not_before {
            return None;
        }
        self.looks += 1;
        entry.used = self.looks;
        Some(entry.finding.clone())
    }

    /// Remembers a finding whose records say `ttl_s` seconds. What is over goes first for it, then what was not looked
    /// at for longest.
    pub fn store(&mut self, question: Question, finding: Finding, ttl_s: u32, now: Instant) {
        self.remove(&question.clone());
        let bytes = size_of::<(Question, Entry)>() + question.name.wire().len() + finding.heap_bytes();
        if self.entries.len() >= CACHE_ENTRIES_COUNT_MAX || self.bytes.saturating_add(bytes) > CACHE_BYTES_MAX
        {
            self.forget_expired(now);
        }
        while self.entries.len() >= CACHE_ENTRIES_COUNT_MAX
            || self.bytes.saturating_add(bytes) > CACHE_BYTES_MAX
        {
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.used) else { return };
            let oldest = oldest.0.clone();
            self.remove(&oldest);
        }
        self.looks += 1;
        let expires = now.plus_s(lifetime_s(&finding, ttl_s).into());
        self.bytes += bytes;
        self.entries.insert(question, Entry { finding, stored: now, expires, used: self.looks, bytes });
    }

    /// Forgets everything: other servers may know otherwise.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// How many answers are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Octets that the remembered answers take, about.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    fn forget_expired(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.expires > now);
        self.bytes = self.entries.values().map(|entry| entry.bytes).sum();
    }

    fn remove(&mut self, question: &Question) {
        if let Some(entry) = self.entries.remove(question) {
            self.bytes = self.bytes.saturating_sub(entry.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Data, Name, RecordType, Trouble};
    use alloc::format;
    use alloc::vec;

    fn question(name: &str) -> Question {
        Question { name: Name::parse(name).expect("a name"), kind: RecordType::A }
    }

    fn found(bytes: usize) -> Finding {
        Finding::Records(vec![Data::Txt(vec![b'x'; bytes].into())].into())
    }

    const fn at(seconds: u64) -> Instant {
        Instant(seconds * 1_000_000)
    }

    #[test]
    fn an_answer_is_remembered_as_long_as_it_says_within_bounds() {
        let never = Instant(0);
        for (finding, ttl_s, seconds) in [
            (found(1), 60, 60),
            (found(1), 0, 5),
            (found(1), u32::MAX, 86_400),
            (Finding::NoSuchName, 300, 300),
            (Finding::NoData, 86_400, 900),
            (Finding::NoData, 0, 5),
            (Finding::Trouble(Trouble::Silence), 3_600, 5),
        ] {
            let mut cache = Cache::default();
            cache.store(question("a.example"), finding.clone(), ttl_s, at(100));
            assert_eq!(cache.find(&question("A.Example"), never, at(99 + seconds)), Some(finding.clone()));
            assert_eq!(cache.find(&question("a.example"), never, at(100 + seconds)), None, "{finding:?}");
            assert_eq!(cache.find(&question("b.example"), never, at(100)), None);
        }
    }

    #[test]
    fn who_wants_a_fresh_answer_gets_none_that_is_older() {
        let mut cache = Cache::default();
        cache.store(question("a.example"), found(1), 60, at(100));
        assert_eq!(cache.find(&question("a.example"), at(101), at(102)), None);
        assert!(cache.find(&question("a.example"), at(100), at(102)).is_some());
    }

    #[test]
    fn what_was_not_looked_at_for_longest_goes_first() {
        let mut cache = Cache::default();
        for number in 0..CACHE_ENTRIES_COUNT_MAX {
            cache.store(question(&format!("n{number}.example")), Finding::NoData, 60, at(1));
        }
        assert!(cache.find(&question("n0.example"), at(0), at(2)).is_some());
        cache.store(question("new.example"), Finding::NoData, 60, at(2));
        assert_eq!(cache.len(), CACHE_ENTRIES_COUNT_MAX);
        assert!(cache.find(&question("n0.example"), at(0), at(2)).is_some());
        assert!(cache.find(&question("n1.example"), at(0), at(2)).is_none());
        assert!(cache.find(&question("new.example"), at(0), at(2)).is_some());
    }

    #[test]
    fn big_answers_push_others_out_and_the_octets_stay_in_bounds() {
        let mut cache = Cache::default();
        for number in 0..100 {
            cache.store(question(&format!("n{number}.example")), found(30_000), 60, at(number));
            assert!(cache.bytes() <= CACHE_BYTES_MAX && !cache.is_empty());
        }
        cache.store(question("n99.example"), found(10), 60, at(100));
        let before = cache.bytes();
        cache.store(question("n99.example"), found(10), 60, at(100));
        assert_eq!(cache.bytes(), before);
        cache.clear();
        assert_eq!((cache.len(), cache.bytes()), (0, 0));
    }
}
