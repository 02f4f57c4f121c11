//! Payloads of the records octet by octet, as pure functions. The crate doc is the specification.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flash_log::checksum;
use heapless::String;
use limits::smtp::{DOMAIN_BYTES_MAX, MAILBOX_BYTES_MAX};
use limits::spool::{
    ATTEMPT_TEXT_BYTES_MAX, ATTEMPTS_LOGGED_MAX, FACTS_BYTES_MAX, ORIGIN_BYTES_MAX, PAGE_RECIPIENTS_COUNT,
    REASON_BYTES_MAX, RECIPIENT_EXTRA_BYTES_MAX, SENDER_EXTRA_BYTES_MAX, STATUS_TEXT_BYTES_MAX,
};

use crate::types::{
    Arrival, Attempt, Change, Class, History, NewRecipient, Protocol, RecipientState, SpoolError, Status, cut,
};

/// Kinds of records in the log of the spool.
pub(crate) const COMMIT: u8 = 1;
pub(crate) const CONTENT: u8 = 2;
pub(crate) const RECIPIENTS: u8 = 3;
pub(crate) const STATE: u8 = 4;
pub(crate) const RECIPE: u8 = 5;
pub(crate) const ENDED: u8 = 6;

/// Octets of the fixed part of a commit record.
pub(crate) const PREFIX_BYTES: usize = 72;
const PREFIX_SUMMED: usize = 68;
/// Version of commit records and state pages.
const VERSION: u8 = 3;
const TIME_UNKNOWN: u64 = u64::MAX;

/// Octets of an envelope without recipients at most.
pub(crate) const ENVELOPE_BYTES_MAX: usize = PREFIX_BYTES
    + MAILBOX_BYTES_MAX
    + DOMAIN_BYTES_MAX
    + SENDER_EXTRA_BYTES_MAX
    + ORIGIN_BYTES_MAX
    + FACTS_BYTES_MAX;

/// Octets of the fixed part of a state page.
const STATE_HEADER_BYTES: usize = 20;
/// Octets of the state of one recipient at most: tag, code, attempts, next attempt, octets of text, text.
const STATE_BYTES_MAX: usize = 1 + 2 + 1 + 8 + 1 + STATUS_TEXT_BYTES_MAX;
/// Octets of an entry of the log at most: time, code, octets of text, text.
const ATTEMPT_BYTES_MAX: usize = 8 + 2 + 1 + ATTEMPT_TEXT_BYTES_MAX;

/// Octets of a state page with `recipients` recipients at most; only page 0 has reason and log.
pub(crate) const fn state_bytes_max(page: u32, recipients: usize) -> usize {
    let head = if page == 0 { REASON_BYTES_MAX + ATTEMPTS_LOGGED_MAX * ATTEMPT_BYTES_MAX } else { 0 };
    STATE_HEADER_BYTES + head + recipients * STATE_BYTES_MAX
}

/// A reader over octets that came from flash: every access is checked.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text<const N: usize>(&mut self, count: usize) -> Option<String<N>> {
        String::try_from(core::str::from_utf8(self.take(count)?).ok()?).ok()
    }
}

/// The fixed part of a commit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub class: Class,
    pub protocol: Protocol,
    pub peer: Option<IpAddr>,
    pub size: u32,
    pub time: Option<u64>,
    pub chunk_bytes: u32,
    pub recipients: u16,
    pub sender_len: u16,
    pub helo_len: u16,
    pub extra_len: u16,
    pub facts_len: u16,
    pub origin_len: u16,
    pub page_len: u32,
    /// Offset of the last piece of content in the payload; 0 if it has a record of its own.
    pub tail_at: u32,
    pub moment: u64,
    pub envelope_crc: u32,
}

impl Prefix {
    pub(crate) fn encode(&self) -> [u8; PREFIX_BYTES] {
        let mut out = [0; PREFIX_BYTES];
        out[0] = VERSION;
        out[1] = u8::from(self.class == Class::Report);
        out[2] = match self.protocol {
            Protocol::Smtp => 0,
            Protocol::Esmtp => 1,
            Protocol::Esmtps => 2,
            Protocol::Local => 3,
            Protocol::Utf8Smtp => 4,
        };
        match self.peer {
            None => {}
            Some(IpAddr::V4(v4)) => {
                out[3] = 4;
                out[16..20].copy_from_slice(&v4.octets());
            }
            Some(IpAddr::V6(v6)) => {
                out[3] = 6;
                out[16..32].copy_from_slice(&v6.octets());
            }
        }
        out[4..8].copy_from_slice(&self.size.to_le_bytes());
        out[8..16].copy_from_slice(&self.time.unwrap_or(TIME_UNKNOWN).to_le_bytes());
        out[32..36].copy_from_slice(&self.chunk_bytes.to_le_bytes());
        out[36..38].copy_from_slice(&self.recipients.to_le_bytes());
        out[38..40].copy_from_slice(&self.sender_len.to_le_bytes());
        out[40..42].copy_from_slice(&self.helo_len.to_le_bytes());
        out[42..44].copy_from_slice(&self.extra_len.to_le_bytes());
        out[44..46].copy_from_slice(&self.facts_len.to_le_bytes());
        out[46..48].copy_from_slice(&self.origin_len.to_le_bytes());
        out[48..52].copy_from_slice(&self.page_len.to_le_bytes());
        out[52..56].copy_from_slice(&self.tail_at.to_le_bytes());
        out[56..64].copy_from_slice(&self.moment.to_le_bytes());
        out[64..68].copy_from_slice(&self.envelope_crc.to_le_bytes());
        let crc = checksum(&out[..PREFIX_SUMMED]).to_le_bytes();
        out[PREFIX_SUMMED..].copy_from_slice(&crc);
        out
    }

    pub(crate) fn decode(bytes: &[u8; PREFIX_BYTES]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let [version, class, protocol, peer] = reader.array()?;
        let size = reader.u32()?;
        let time = reader.u64()?;
        let address: [u8; 16] = reader.array()?;
        let [a, b, c, d, ..] = address;
        let prefix = Self {
            class: if class == 1 { Class::Report } else { Class::Mail },
            protocol: match protocol {
                0 => Protocol::Smtp,
                1 => Protocol::Esmtp,
                2 => Protocol::Esmtps,
                4 => Protocol::Utf8Smtp,
                _ => Protocol::Local,
            },
            peer: match peer {
                4 => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
                6 => Some(IpAddr::V6(Ipv6Addr::from(address))),
                _ => None,
            },
            size,
            time: (time != TIME_UNKNOWN).then_some(time),
            chunk_bytes: reader.u32()?,
            recipients: reader.u16()?,
            sender_len: reader.u16()?,
            helo_len: reader.u16()?,
            extra_len: reader.u16()?,
            facts_len: reader.u16()?,
            origin_len: reader.u16()?,
            page_len: reader.u32()?,
            tail_at: reader.u32()?,
            moment: reader.u64()?,
            envelope_crc: reader.u32()?,
        };
        (version == VERSION && reader.u32()? == checksum(&bytes[..PREFIX_SUMMED])).then_some(prefix)
    }

    /// Octets of the envelope behind the prefix.
    pub(crate) fn envelope_len(&self) -> u32 {
        let fixed = [self.sender_len, self.helo_len, self.extra_len, self.origin_len, self.facts_len];
        fixed.into_iter().map(u32::from).sum::<u32>().saturating_add(self.page_len)
    }

    /// Offset of the facts behind the prefix, and of the first page of recipients.
    pub(crate) fn facts_at(&self) -> (usize, usize) {
        let before = [self.sender_len, self.helo_len, self.extra_len, self.origin_len];
        let facts: usize = before.into_iter().map(usize::from).sum();
        (facts, facts + usize::from(self.facts_len))
    }
}

fn len16(bytes: &[u8], max: usize) -> Result<u16, SpoolError> {
    if bytes.len() > max {
        return Err(SpoolError::TooLong);
    }
    u16::try_from(bytes.len()).map_err(|_| SpoolError::TooLong)
}

/// Makes the envelope part of a commit record: prefix, strings, first page.
pub(crate) fn envelope(
    arrival: &Arrival<'_>,
    class: Class,
    size: u32,
    chunk_bytes: u32,
    recipients: u16,
    page: &[u8],
) -> Result<(Prefix, Vec<u8>), SpoolError> {
    let mut prefix = Prefix {
        class,
        protocol: arrival.protocol,
        peer: arrival.peer,
        size,
        time: arrival.time,
        chunk_bytes,
        recipients,
        sender_len: len16(arrival.sender.as_bytes(), MAILBOX_BYTES_MAX)?,
        helo_len: len16(arrival.helo.as_bytes(), DOMAIN_BYTES_MAX)?,
        extra_len: len16(arrival.sender_extra, SENDER_EXTRA_BYTES_MAX)?,
        facts_len: len16(arrival.facts, FACTS_BYTES_MAX)?,
        origin_len: len16(arrival.origin, ORIGIN_BYTES_MAX)?,
        page_len: u32::try_from(page.len()).map_err(|_| SpoolError::TooLong)?,
        tail_at: 0,
        moment: arrival.moment,
        envelope_crc: 0,
    };
    let mut out = Vec::with_capacity(PREFIX_BYTES + prefix.envelope_len() as usize + 32);
    out.resize(PREFIX_BYTES, 0);
    out.extend_from_slice(arrival.sender.as_bytes());
    out.extend_from_slice(arrival.helo.as_bytes());
    out.extend_from_slice(arrival.sender_extra);
    out.extend_from_slice(arrival.origin);
    out.extend_from_slice(arrival.facts);
    out.extend_from_slice(page);
    prefix.envelope_crc = checksum(&out[PREFIX_BYTES..]);
    Ok((prefix, out))
}

/// Strings of an envelope.
pub(crate) struct Strings {
    pub sender: String<MAILBOX_BYTES_MAX>,
    pub helo: String<DOMAIN_BYTES_MAX>,
    pub sender_extra: heapless::Vec<u8, SENDER_EXTRA_BYTES_MAX>,
    pub origin: heapless::Vec<u8, ORIGIN_BYTES_MAX>,
}

/// Splits the envelope behind `prefix`.
pub(crate) fn strings(prefix: &Prefix, envelope: &[u8]) -> Option<Strings> {
    let mut reader = Reader(envelope);
    Some(Strings {
        sender: reader.text(prefix.sender_len.into())?,
        helo: reader.text(prefix.helo_len.into())?,
        sender_extra: heapless::Vec::from_slice(reader.take(prefix.extra_len.into())?).ok()?,
        origin: heapless::Vec::from_slice(reader.take(prefix.origin_len.into())?).ok()?,
    })
}

/// Appends a recipient to a page.
pub(crate) fn put_recipient(page: &mut Vec<u8>, recipient: &NewRecipient<'_>) -> Result<(), SpoolError> {
    let address = len16(recipient.address.as_bytes(), MAILBOX_BYTES_MAX)?;
    let extra = len16(recipient.extra, RECIPIENT_EXTRA_BYTES_MAX)?;
    page.extend_from_slice(&address.to_le_bytes());
    page.extend_from_slice(&extra.to_le_bytes());
    page.extend_from_slice(recipient.address.as_bytes());
    page.extend_from_slice(recipient.extra);
    Ok(())
}

/// Address and extra of one recipient.
pub(crate) type StoredRecipient = (String<MAILBOX_BYTES_MAX>, heapless::Vec<u8, RECIPIENT_EXTRA_BYTES_MAX>);

/// The recipients of a page.
pub(crate) fn page_recipients(page: &[u8]) -> impl Iterator<Item = Option<StoredRecipient>> {
    let mut reader = Reader(page);
    core::iter::from_fn(move || {
        (!reader.0.is_empty()).then(|| {
            let address = reader.u16()?.into();
            let extra = reader.u16()?.into();
            let address = reader.text(address)?;
            Some((address, heapless::Vec::from_slice(reader.take(extra)?).ok()?))
        })
    })
}

/// The states of one page of recipients; page 0 also holds the state of the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StatePage {
    pub held: bool,
    pub warned: bool,
    /// The state of some recipients was lost.
    pub uncertain: bool,
    pub attempts: u16,
    pub reports: u16,
    /// When the page was written.
    pub moment: u64,
    pub reason: String<REASON_BYTES_MAX>,
    /// At most `PAGE_RECIPIENTS_COUNT`; on the heap, because most pages have one, and pages are handed from function to
    /// function.
    pub states: Vec<RecipientState>,
    pub history: History,
}

/// What the index keeps of a state page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateFacts {
    pub held: bool,
    pub warned: bool,
    pub uncertain: bool,
    pub attempts: u16,
    pub reports: u16,
    pub moment: u64,
    /// Recipients that are open, and that are owed a report.
    pub open: u16,
    pub unreported: u16,
}

const HELD: u8 = 1;
const WARNED: u8 = 2;
const UNCERTAIN: u8 = 4;

impl StatePage {
    /// The page of recipients of which nothing has been recorded.
    pub(crate) fn fresh(recipients: usize) -> Self {
        Self {
            held: false,
            warned: false,
            uncertain: false,
            attempts: 0,
            reports: 0,
            moment: 0,
            reason: String::new(),
            states: (0..recipients.min(PAGE_RECIPIENTS_COUNT)).map(|_| RecipientState::Pending).collect(),
            history: History::new(),
        }
    }

    /// What the index keeps of the page.
    pub(crate) fn facts(&self) -> StateFacts {
        let StatePage { held, warned, uncertain, attempts, reports, moment, .. } = *self;
        let open = self.states.iter().filter(|state| state.is_open()).count() as u16;
        let unreported = self.states.iter().filter(|state| state.is_unreported()).count() as u16;
        StateFacts { held, warned, uncertain, attempts, reports, moment, open, unreported }
    }

    /// Changes what page 0 says about the message.
    pub(crate) fn apply(&mut self, change: &Change<'_>) {
        self.held = change.held.unwrap_or(self.held);
        self.warned |= change.warned;
        self.reports = self.reports.max(change.reports);
        if let Some(reason) = change.reason {
            self.reason = cut(reason);
        }
        if let Some(attempt) = &change.attempt {
            self.attempts = self.attempts.saturating_add(1);
            if self.history.is_full() {
                self.history.remove(0);
            }
            // There is room now.
            let _ = self.history.push(attempt.clone());
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(STATE_HEADER_BYTES + REASON_BYTES_MAX);
        out.push(VERSION);
        let flags = [(self.held, HELD), (self.warned, WARNED), (self.uncertain, UNCERTAIN)];
        out.push(flags.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum());
        out.extend_from_slice(&self.attempts.to_le_bytes());
        out.extend_from_slice(&self.reports.to_le_bytes());
        out.push(self.reason.len() as u8);
        out.push(self.states.len() as u8);
        out.push(self.history.len() as u8);
        out.extend_from_slice(&[0; 3]);
        out.extend_from_slice(&self.moment.to_le_bytes());
        out.extend_from_slice(self.reason.as_bytes());
        self.states.iter().for_each(|state| put_state(&mut out, state));
        for Attempt { time, code, text } in &self.history {
            out.extend_from_slice(&time.unwrap_or(TIME_UNKNOWN).to_le_bytes());
            put_status(&mut out, *code, text);
        }
        out
    }

    /// `recipients` is the number that the page must have.
    pub(crate) fn decode(bytes: &[u8], recipients: usize) -> Option<Self> {
        let mut reader = Reader(bytes);
        let head = StateHead::read(&mut reader, recipients)?;
        let reason = reader.text(head.reason)?;
        if recipients > PAGE_RECIPIENTS_COUNT {
            return None;
        }
        let mut states = Vec::with_capacity(recipients);
        for _ in 0..recipients {
            states.push(reader.state()?);
        }
        let mut history = History::new();
        for _ in 0..head.logged {
            let time = reader.u64()?;
            let code = reader.u16()?;
            let len = reader.u8()?.into();
            let text = reader.text(len)?;
            history.push(Attempt { time: (time != TIME_UNKNOWN).then_some(time), code, text }).ok()?;
        }
        let StateFacts { held, warned, uncertain, attempts, reports, moment, .. } = head.facts;
        Some(Self { held, warned, uncertain, attempts, reports, moment, reason, states, history })
    }
}

/// The fixed part of a state page.
struct StateHead {
    facts: StateFacts,
    /// Octets of the reason.
    reason: usize,
    /// Entries of the log.
    logged: u8,
}

impl StateHead {
    fn read(reader: &mut Reader<'_>, recipients: usize) -> Option<Self> {
        let [version, flags] = reader.array()?;
        let attempts = reader.u16()?;
        let reports = reader.u16()?;
        let [reason, count, logged, ..] = reader.array::<6>()?;
        let facts = StateFacts {
            held: flags & HELD != 0,
            warned: flags & WARNED != 0,
            uncertain: flags & UNCERTAIN != 0,
            attempts,
            reports,
            moment: reader.u64()?,
            open: 0,
            unreported: 0,
        };
        let known = version == VERSION && usize::from(count) == recipients;
        known.then_some(Self { facts, reason: reason.into(), logged })
    }
}

impl StateFacts {
    /// Reads no more of a page than a mount needs: no texts, no log. The page has been checked against its checksum.
    pub(crate) fn decode(bytes: &[u8], recipients: usize) -> Option<Self> {
        let mut reader = Reader(bytes);
        let StateHead { mut facts, reason, .. } = StateHead::read(&mut reader, recipients)?;
        reader.take(reason)?;
        for _ in 0..recipients {
            let tag = reader.u8()?;
            let status_at = match tag {
                0 | 1 => None,
                2 => Some(11),
                3..=5 => Some(2),
                _ => return None,
            };
            if let Some(before) = status_at {
                reader.take(before)?;
                let len = reader.u8()?.into();
                reader.take(len)?;
            }
            facts.open += u16::from(matches!(tag, 0 | 2));
            facts.unreported += u16::from(matches!(tag, 3 | 4));
        }
        Some(facts)
    }
}

fn put_status(out: &mut Vec<u8>, code: u16, text: &str) {
    out.extend_from_slice(&code.to_le_bytes());
    out.push(text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

fn put_state(out: &mut Vec<u8>, state: &RecipientState) {
    match state {
        RecipientState::Pending => out.push(0),
        RecipientState::Delivered => out.push(1),
        RecipientState::Deferred { attempts, next_try, .. } => {
            out.extend_from_slice(&[2, *attempts]);
            out.extend_from_slice(&next_try.to_le_bytes());
        }
        RecipientState::Failed(_) => out.push(3),
        RecipientState::Relayed(_) => out.push(4),
        RecipientState::Closed(_) => out.push(5),
    }
    if let Some(Status { code, text }) = state.status() {
        put_status(out, *code, text);
    }
}

impl Reader<'_> {
    fn status(&mut self) -> Option<Status> {
        let code = self.u16()?;
        let len = self.u8()?.into();
        Some(Status { code, text: self.text(len)? })
    }

    fn state(&mut self) -> Option<RecipientState> {
        Some(match self.u8()? {
            0 => RecipientState::Pending,
            1 => RecipientState::Delivered,
            2 => {
                let attempts = self.u8()?;
                let next_try = self.u64()?;
                RecipientState::Deferred { status: self.status()?, attempts, next_try }
            }
            3 => RecipientState::Failed(self.status()?),
            4 => RecipientState::Relayed(self.status()?),
            5 => RecipientState::Closed(self.status()?),
            _ => return None,
        })
    }
}

limits::const_assert!(ATTEMPT_TEXT_BYTES_MAX <= u8::MAX as usize);
limits::const_assert!(STATUS_TEXT_BYTES_MAX <= u8::MAX as usize);
limits::const_assert!(REASON_BYTES_MAX <= u8::MAX as usize);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn prefix_reads_back_and_a_flipped_bit_is_noticed() {
        let arrival = Arrival {
            sender: "a@example.org",
            peer: Some("2001:db8::7".parse().unwrap()),
            helo: "mail.example.org",
            time: Some(5),
            origin: &[4, 5],
            facts: &[1, 2, 3],
            moment: 99,
            ..Arrival::default()
        };
        let (mut prefix, _) = envelope(&arrival, Class::Report, 70_000, 16_320, 3, &[9; 40]).unwrap();
        prefix.tail_at = 512;
        let bytes = prefix.encode();
        assert_eq!(Prefix::decode(&bytes), Some(prefix));
        for bit in 0..PREFIX_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Prefix::decode(&flipped), None);
        }
    }

    #[test]
    fn state_page_reads_back_and_any_cut_of_it_is_refused() {
        let mut page = StatePage::fresh(6);
        let long = "x".repeat(500);
        let status = Status::new(451, "4.7.1 greylisted");
        page.states[1] = RecipientState::Delivered;
        page.states[2] = RecipientState::Deferred { status, attempts: 3, next_try: u64::MAX };
        page.states[3] = RecipientState::Failed(Status::new(550, &long));
        page.states[4] = RecipientState::Relayed(Status::new(250, ""));
        page.states[5] = RecipientState::Closed(Status::new(0, "removed"));
        page.moment = 77;
        for attempt in 0..9 {
            let attempt = Some(Attempt::new((attempt > 7).then_some(5), attempt, &long));
            page.apply(&Change {
                attempt,
                warned: true,
                reports: 2,
                reason: Some(&long),
                ..Change::default()
            });
        }
        let bytes = page.encode();
        assert!(bytes.len() <= state_bytes_max(0, 6));
        let facts = page.facts();
        assert_eq!((facts.open, facts.unreported, facts.attempts, page.history[0].code), (2, 2, 9, 3));
        assert_eq!(StateFacts::decode(&bytes, 6), Some(facts));
        assert_eq!(StatePage::decode(&bytes, 6), Some(page));
        assert_eq!(StatePage::decode(&bytes, 5), None);
        for end in 0..bytes.len() {
            assert_eq!(StatePage::decode(&bytes[..end], 6), None);
        }
    }

    #[test]
    fn the_largest_page_takes_what_is_kept_for_it_to_the_octet() {
        for (number, recipients) in [(0, 1), (0, 16), (1, 16)] {
            let status = Status::new(451, &"s".repeat(STATUS_TEXT_BYTES_MAX));
            let mut page = StatePage::fresh(recipients);
            for state in &mut page.states {
                *state = RecipientState::Deferred { status: status.clone(), attempts: 1, next_try: 1 };
            }
            if number == 0 {
                let long = "r".repeat(REASON_BYTES_MAX);
                for _ in 0..=ATTEMPTS_LOGGED_MAX {
                    let attempt = Some(Attempt::new(None, 1, &long));
                    page.apply(&Change { attempt, reason: Some(&long), ..Change::default() });
                }
            }
            assert_eq!(page.encode().len(), state_bytes_max(number, recipients));
        }
    }
}
