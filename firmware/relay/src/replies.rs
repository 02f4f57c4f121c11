//! Answers that an address gives by itself, by the rules of RFC 3834: never to the null sender, to a mailing list, to bulk
//! mail or to another machine's answer, and once to each sender in a while.
//!
//! # Exactly once
//! An answer is made in three steps: it is committed, with a [`ReportLink`] to the message that it answers; its sender is
//! remembered on flash; it is put on the schedule. Only then is the recipient marked as done. After a power cut
//! before the first step there is no answer, and the message asks for it again. After one between the first and the second
//! [`recover`] finds the answer in the queue and remembers its sender, before anything leaves. So the message, which
//! asks again until it is marked, finds its sender remembered.
//!
//! # What is remembered
//! A digest of address and sender, and when, for [`REPLIES_COUNT_MAX`] pairs. With more the oldest is forgotten, and its
//! sender may hear the same again before his time.

use crate::report::{Kind, RecipientSet, ReportLink};
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;
use envelope::{MailDate, QueueId};
use events::Event;
use limits::relay::MESSAGE_READ_BYTES;
use limits::routing::REPLY_AGAIN_S;
use limits::settings::{REPLIES_COUNT_MAX, REPLIES_PER_PAGE};
use platform::Entropy;
use settings::What;
use spool::{Admission, Arrival, ArrivalInfo, Class, NewRecipient, Protocol, Recipient, SpoolError};

/// Octets of a remembered answer on flash.
const ENTRY_BYTES: usize = 12;
/// Characters of a line of the text.
const LINE_CHARS: usize = 72;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// 0: none.
    digest: u64,
    /// In operating seconds.
    at_s: u32,
}

/// Whom we have answered.
pub(crate) struct Replies {
    entries: RefCell<Box<[Entry]>>,
}

impl Default for Replies {
    fn default() -> Self {
        Self { entries: RefCell::new(vec![Entry::default(); REPLIES_COUNT_MAX].into_boxed_slice()) }
    }
}

/// FNV-1a, of 64 bits; never 0.
fn digest(address: &str, sender: &str) -> u64 {
    let octets = address.bytes().chain([0]).chain(sender.bytes());
    let hash =
        octets.map(|octet| octet.to_ascii_lowercase()).fold(0xcbf2_9ce4_8422_2325u64, |hash, octet| {
            (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    hash.max(1)
}

impl Replies {
    /// Takes over a stored page.
    pub(crate) fn load(&self, page: usize, bytes: &[u8]) {
        let mut entries = self.entries.borrow_mut();
        let places = entries.iter_mut().skip(page * REPLIES_PER_PAGE).take(REPLIES_PER_PAGE);
        for (place, stored) in places.zip(bytes.chunks_exact(ENTRY_BYTES)) {
            if let Some((digest, at_s)) = stored.split_first_chunk::<8>()
                && let Ok(at_s) = <[u8; 4]>::try_from(at_s)
            {
                *place = Entry { digest: u64::from_le_bytes(*digest), at_s: u32::from_le_bytes(at_s) };
            }
        }
    }

    fn is_recent(&self, digest: u64, now_s: u64) -> bool {
        let recent = |entry: &Entry| u64::from(entry.at_s).saturating_add(REPLY_AGAIN_S) > now_s;
        self.entries.borrow().iter().any(|entry| entry.digest == digest && recent(entry))
    }

    /// Keeps an answer in RAM. Returns the page that it stands in, with its octets.
    fn note(&self, digest: u64, now_s: u64) -> (usize, Vec<u8>) {
        let mut entries = self.entries.borrow_mut();
        let known = entries.iter().position(|entry| entry.digest == digest);
        let oldest = || {
            (0..entries.len()).min_by_key(|at| entries.get(*at).map(|entry| (entry.digest != 0, entry.at_s)))
        };
        let place = known.or_else(oldest).unwrap_or(0);
        if let Some(entry) = entries.get_mut(place) {
            *entry = Entry { digest, at_s: u32::try_from(now_s).unwrap_or(u32::MAX) };
        }
        let page = place / REPLIES_PER_PAGE;
        let mut bytes = Vec::with_capacity(REPLIES_PER_PAGE * ENTRY_BYTES);
        for entry in entries.iter().skip(page * REPLIES_PER_PAGE).take(REPLIES_PER_PAGE) {
            bytes.extend_from_slice(&entry.digest.to_le_bytes());
            bytes.extend_from_slice(&entry.at_s.to_le_bytes());
        }
        (page, bytes)
    }
}

/// Remembers an answer in RAM and on flash. If the flash fails it is remembered until the next start.
async fn remember<P: Platform>(appliance: &Appliance<'_, P>, digest: u64) {
    let (page, bytes) = appliance.replies.note(digest, appliance.operating_seconds());
    if let Err(error) = appliance.settings_store.lock().await.set_replies(page, &bytes).await {
        appliance.record_error("settings", format_args!("automatic answers: {error}"));
    }
}

/// At the start: remembers who is answered by an answer that is in the queue, whatever became of what followed it.
pub(crate) async fn recover<P: Platform>(
    appliance: &Appliance<'_, P>,
    link: &ReportLink,
) -> Result<(), SpoolError> {
    if appliance.spool.brief(link.about).is_none() {
        return Ok(());
    }
    let sender = appliance.spool.arrival(link.about).await?.sender;
    let mut page = Vec::new();
    appliance.spool.recipients(link.about, link.number, &mut page).await?;
    if let Some(recipient) = page.first().filter(|recipient| recipient.index == link.number) {
        remember(appliance, digest(&recipient.address, &sender)).await;
    }
    Ok(())
}

/// Whether what an address is called says that no person reads there.
fn is_machine(address: &str) -> bool {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local).to_ascii_lowercase();
    let names = [
        "mailer-daemon",
        "postmaster",
        "noreply",
        "no-reply",
        "donotreply",
        "do-not-reply",
        "listserv",
        "majordomo",
    ];
    names.contains(&&*local)
        || local.starts_with("owner-")
        || local.ends_with("-request")
        || local.ends_with("-bounces")
}

/// Answers a message for one of its recipients, if that is to be and was not done. `false`: there is no room for the
/// answer now; ask again later.
pub(crate) async fn answer<P: Platform>(
    appliance: &Appliance<'_, P>,
    arrival: &ArrivalInfo,
    recipient: &Recipient,
) -> Result<bool, SpoolError> {
    let text = match appliance.actions().action_for(&recipient.address).map(settings::Action::what) {
        Some(What::ReplyOnce(text)) => String::from(&**text),
        _ => return Ok(true),
    };
    let sender: &str = &arrival.sender;
    let digest = digest(&recipient.address, sender);
    let nobody = sender.is_empty() || arrival.class == Class::Report || is_machine(sender);
    // A circle of answers would end by the header, and still be two too many.
    let ours = crate::actions::stays(appliance, sender);
    if nobody
        || ours
        || appliance.settings().commissioning
        || appliance.replies.is_recent(digest, appliance.operating_seconds())
    {
        return Ok(true);
    }
    let mut facts = Vec::new();
    appliance.spool.facts(arrival.id, &mut facts).await?;
    if smime::Facts::from_bytes(&facts).map_or(true, |facts| facts.header.bulk) {
        return Ok(true);
    }
    let Some(reply) = put(appliance, arrival, recipient, &text).await? else { return Ok(false) };
    remember(appliance, digest).await;
    appliance.schedule_again(reply);
    Ok(true)
}

/// Commits the answer. `None`: there is no room.
async fn put<P: Platform>(
    appliance: &Appliance<'_, P>,
    arrival: &ArrivalInfo,
    recipient: &Recipient,
    text: &str,
) -> Result<Option<QueueId>, SpoolError> {
    let mut buffer = vec![0; MESSAGE_READ_BYTES].into_boxed_slice();
    let count = appliance.spool.read(arrival.id, 0, &mut buffer).await?;
    let mut random = [0; 8];
    appliance.entropy.fill(&mut random);
    let content = content(
        &arrival.sender,
        &recipient.address,
        text,
        buffer.get(..count).unwrap_or_default(),
        &format!(
            "reply.{}.{:016x}@{}",
            arrival.id,
            u64::from_le_bytes(random),
            appliance.settings().hostname()
        ),
        appliance.unix_seconds(),
    );
    let admission = Admission {
        size: None,
        recipients: 1,
        recipients_bytes: u32::try_from(arrival.sender.len()).unwrap_or(u32::MAX),
        class: Class::Report,
    };
    let Ok(mut incoming) = appliance.spool.begin(admission) else { return Ok(None) };
    let link = ReportLink {
        about: arrival.id,
        // Which recipient answers.
        number: recipient.index,
        kind: Kind::Reply,
        eight_bit: !content.is_ascii(),
        settles: RecipientSet::default(),
    };
    let facts = link.to_bytes();
    let letter = Arrival {
        protocol: Protocol::Local,
        time: appliance.unix_seconds(),
        facts: &facts,
        moment: appliance.operating_seconds(),
        ..Arrival::default()
    };
    let to = core::iter::once(NewRecipient::from(&*arrival.sender));
    let committed = match appliance.spool.append(&mut incoming, content.as_bytes()).await {
        Ok(()) => appliance.spool.commit(incoming, &letter, to).await,
        Err(error) => Err(error),
    };
    let report = match committed {
        Ok(report) => report,
        Err(SpoolError::Full(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let (to, about) = (arrival.sender.as_str().into(), "reply".into());
    appliance.record(&Event::Reported { id: arrival.id, report, to, about, recipients: 1 });
    Ok(Some(report))
}

/// The value of a field in the header at the start of a message, if it is of one line of printable ASCII.
fn field<'h>(header: &'h [u8], name: &str) -> Option<&'h str> {
    let mut lines = header.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii_end).peekable();
    while let Some(line) = lines.next().filter(|line| !line.is_empty()) {
        let Some((said, value)) = line.split_at_checked(name.len()) else { continue };
        let Some(value) = value.strip_prefix(b":").filter(|_| said.eq_ignore_ascii_case(name.as_bytes()))
        else {
            continue;
        };
        let folded = lines.peek().is_some_and(|next| matches!(next.first(), Some(b' ' | b'\t')));
        let value = core::str::from_utf8(value.trim_ascii()).ok()?;
        let plain =
            !folded && value.len() <= 200 && value.bytes().all(|octet| (b' '..=b'~').contains(&octet));
        return plain.then_some(value);
    }
    None
}

/// The answer as a message (RFC 3834 §3.1).
fn content(to: &str, from: &str, text: &str, asked: &[u8], id: &str, now: Option<u64>) -> String {
    let mut out = format!("From: <{from}>\r\nTo: <{to}>\r\n");
    let mut line = |line: &str| {
        out.push_str(line);
        out.push_str("\r\n");
    };
    line(&format!("Subject: Auto: {}", field(asked, "Subject").unwrap_or("your message")));
    if now.is_some() {
        line(&format!("Date: {}", MailDate(now)));
    }
    line(&format!("Message-ID: <{id}>"));
    if let Some(of) = field(asked, "Message-ID").filter(|of| of.starts_with('<') && of.ends_with('>')) {
        line(&format!("In-Reply-To: {of}"));
        line(&format!("References: {of}"));
    }
    line("Auto-Submitted: auto-replied");
    line("MIME-Version: 1.0");
    line("Content-Type: text/plain; charset=utf-8");
    line(if text.is_ascii() { "Content-Transfer-Encoding: 7bit" } else { "Content-Transfer-Encoding: 8bit" });
    line("");
    let mut shown = String::new();
    for word in text.split(' ') {
        if !shown.is_empty() && shown.chars().count() + 1 + word.chars().count() > LINE_CHARS {
            line(&shown);
            shown.clear();
        }
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown.push_str(word);
    }
    line(&shown);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_what_it_is_and_what_it_answers() {
        let asked =
            b"received: x\r\n y\r\nSUBJECT: Where is it?\r\nMessage-Id: <1@a.example>\r\n\r\nSubject: no\r\n";
        let text = format!("{}end", "Nobody reads here. ".repeat(10));
        let said = content(
            "ann@a.example",
            "noreply@site.example",
            &text,
            asked,
            "reply.1@gw.example",
            Some(1_795_348_800),
        );
        for line in [
            "Subject: Auto: Where is it?",
            "In-Reply-To: <1@a.example>",
            "References: <1@a.example>",
            "Auto-Submitted: auto-replied",
            "Content-Transfer-Encoding: 7bit",
        ] {
            assert!(said.lines().any(|there| there == line), "{line}: {said}");
        }
        assert!(said.lines().all(|line| line.len() <= 76) && said.ends_with("end\r\n"));
        let folded = content("a@b", "c@d", "x", b"Subject: a\r\n b\r\n\r\nMessage-ID: <2@a>\r\n", "i", None);
        assert!(folded.contains("Subject: Auto: your message\r\n") && !folded.contains("In-Reply-To"));
    }

    #[test]
    fn whom_we_answered_is_remembered_for_a_while_and_over_a_restart() {
        let replies = Replies::default();
        let one = digest("noreply@site.example", "Ann@A.example");
        assert_eq!(one, digest("NoReply@site.example", "ann@a.example"));
        assert!(!replies.is_recent(one, 10));
        let (page, bytes) = replies.note(one, 10);
        assert!(replies.is_recent(one, 9 + REPLY_AGAIN_S) && !replies.is_recent(one, 10 + REPLY_AGAIN_S));
        let again = Replies::default();
        again.load(page, &bytes);
        assert!(again.is_recent(one, 20) && !again.is_recent(one + 1, 20));
        for n in 0..REPLIES_COUNT_MAX as u64 {
            _ = again.note(n + 100, 1_000 + n);
        }
        assert!(!again.is_recent(one, 1_000), "the oldest made room");
        assert!(again.is_recent(100, 1_000));
    }

    #[test]
    fn machines_are_not_answered() {
        for machine in ["MAILER-DAEMON@x", "owner-list@x", "list-request@x", "no-reply@x", "x-bounces@y"] {
            assert!(is_machine(machine), "{machine}");
        }
        assert!(!is_machine("ann@a.example") && !is_machine("ownership@a.example"));
    }
}
