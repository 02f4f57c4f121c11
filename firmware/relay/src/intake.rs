//! Mail in: one session of an SMTP client.
//!
//! # Who may relay
//! The right is checked at RCPT, not at MAIL: it belongs to the pair of client and recipient, because mail for own
//! domains will be taken from anybody, and only at RCPT the recipient is known (RFC 5321 §3.6.2, §7.9 leaves the place
//! open). It also gives the log the sender and the recipient that were tried. Which rule is for a client is asked anew
//! at each MAIL; [`rights`](crate::rights) says what follows from it.
//!
//! # What is stored
//! The content exactly as it came; by BDAT that may be any octets. What leaves is made of it later ([`crate::decide`]). The trace field and, for relay clients, missing Date and Message-ID fields are put
//! before it when it leaves: they are part of the recipe ([`crate::decide`]), made from the arrival record.
//!
//! # When a message is ours
//! Room is reserved at MAIL for clients that may relay (as much as SIZE says), else with the first recipient that is
//! accepted. Nobody gets more than a share of the queue, neither a client nor the mail for one destination. Full is
//! `452 4.3.1` as long as it would fit an emptier queue. Nothing is written before content comes. Chunks go to flash while they arrive; `250` is said only after the commit record has been
//! read back.

use crate::clients::Pace;
use crate::counters::{count, count_most};
use crate::door::{self, Entry, Guest};
use crate::loops::loop_reply;
use crate::provenance::Provenance;
use crate::rights::{self, No};
use crate::route::Way;
use crate::schedule::{Claim, DestinationId, NewMessage};
use crate::time::within;
use crate::verify::Verification;
use crate::{Appliance, Platform, actions, attend, verify};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use embassy_futures::yield_now;
use envelope::{
    EnhancedStatus, Mailbox, Protocol, QueueId, RecipientParameters, ReversePath, SenderParameters,
};
use events::{Event, Stage};
use flash_log::Partition;
use limits::door::REFUSAL_S;
use limits::relay::{ERRANDS_PER_MESSAGE_MAX, RECEIVED_COUNT_MAX, SESSION_READ_BYTES};
use platform::{Origin, Stream, Timer};
use settings::{Judged, RelayRight};
use smime::Scanner;
use smtp::Reply;
use smtp::server::{Config, End, Event as Said, Question, Server, Violation};
use spool::{Admission, Arrival, Class, Incoming, NewRecipient, SpoolError, SpoolFull};

/// Serves one connection from greeting to close. Dropping the future half-way loses nothing that was answered with 250.
pub async fn session<P: Platform, S: Stream>(appliance: &Appliance<'_, P>, stream: &mut S, origin: Origin) {
    let counters = &appliance.counters;
    count(&counters.sessions, 1);
    let client = origin.client.to_canonical();
    let (most, config) = {
        let settings = appliance.settings();
        let most = settings.message_bytes_max;
        (most, Config::new(settings.banner_name().into(), most))
    };
    let judged = appliance.judge(client, origin.local, origin.interface);
    let message_bytes_max = judged.rights.message_bytes_max.unwrap_or(most);
    let config = Config { message_bytes_max, repair: judged.rights.repair, ..config };
    appliance.client(client, judged.class, |counts| counts.sessions = counts.sessions.saturating_add(1));
    let guest = match door::enter(appliance, &origin, &judged) {
        Entry::Guest(guest) => guest,
        Entry::Refused(reply, _telling) => {
            return Box::pin(turn_away(appliance, stream, Server::refusing(config, &reply))).await;
        }
        Entry::Dropped => return stream.abort(),
    };
    let server = Server::new(config);
    // In boxes: machine and buffer would otherwise be part of every session's static future.
    let mut session = Box::new(Session {
        appliance,
        peer: client,
        origin,
        judged,
        guest,
        server,
        asked_sender: ReversePath::Null,
        sender: ReversePath::Null,
        dsn: SenderParameters::default(),
        declared_size: None,
        recipients: Vec::new(),
        room: None,
        letter: None,
    });
    let mut buffer = vec![0; SESSION_READ_BYTES].into_boxed_slice();
    match session.serve(stream, &mut buffer).await {
        Ok(()) => stream.close().await,
        Err(Broken) => {
            count(&counters.sessions_broken, 1);
            session.vanished();
            stream.abort();
        }
    }
}

/// Tells a client that there is no place for him, and makes room for the next within a moment.
async fn turn_away<P: Platform, S: Stream>(appliance: &Appliance<'_, P>, stream: &mut S, server: Server) {
    let telling = async {
        if stream.write_all(server.transmit()).await.is_ok() && stream.flush().await.is_ok() {
            stream.close().await;
        }
    };
    // Whether he has heard it is his affair.
    let _ = within(&appliance.timer, REFUSAL_S, telling).await;
    stream.abort();
}

/// The connection is gone.
struct Broken;

/// Room in the queue for a message that has been announced.
struct Room<'s, F: platform::nor_flash::NorFlash> {
    incoming: Incoming<'s, F>,
    /// Octets of the recipients that were accepted.
    recipients_bytes: u32,
    /// It counts for its client as if it were there.
    claim: Claim<'s>,
}

/// A message that is arriving.
struct Letter<'s, F: platform::nor_flash::NorFlash> {
    incoming: Incoming<'s, F>,
    claim: Claim<'s>,
    scanner: Box<Scanner>,
    /// Whether the header block has been seen to its end, and found good.
    header_checked: bool,
}

struct Session<'a, 'f, P: Platform> {
    appliance: &'a Appliance<'f, P>,
    peer: IpAddr,
    origin: Origin,
    /// What the client may do, as of its last MAIL.
    judged: Judged,
    guest: Guest<'a, 'f, P>,
    server: Server,
    /// As the client said it.
    asked_sender: ReversePath,
    /// As it is stored: a rule may put another in its place.
    sender: ReversePath,
    /// What the sender asked of reports.
    dsn: SenderParameters,
    declared_size: Option<u32>,
    recipients: Vec<(Mailbox, RecipientParameters)>,
    room: Option<Room<'a, Partition<'f, P::Flash>>>,
    letter: Option<Letter<'a, Partition<'f, P::Flash>>>,
}

impl<'a, 'f, P: Platform> Session<'a, 'f, P> {
    /// Lets the client wait, where a rule wants that.
    async fn linger(&self) {
        let tarpit_s = self.guest.tarpit_s();
        if tarpit_s > 0 {
            let until = self.appliance.now().plus_s(tarpit_s);
            Box::pin(self.appliance.timer.sleep_until(until)).await;
        }
    }

    async fn serve<S: Stream>(&mut self, stream: &mut S, buffer: &mut [u8]) -> Result<(), Broken> {
        self.linger().await;
        // `buffer[start..end]` has been read and not been taken yet.
        let (mut start, mut end) = (0, 0);
        loop {
            loop {
                let input = buffer.get(start..end).unwrap_or_default();
                let (taken, said) = self.server.receive(input);
                start += taken;
                match said {
                    Some(said) => {
                        if !matches!(said, Said::Data(_)) {
                            self.guest.went_on();
                        }
                        self.answer(said).await;
                    }
                    None if taken == 0 => break,
                    None => {}
                }
            }
            let sent = self.send(stream).await?;
            if sent {
                self.guest.went_on();
            }
            if self.server.is_closed() {
                return Ok(());
            }
            if sent && start < end {
                continue;
            }
            if start == end {
                (start, end) = (0, 0);
            } else if start > 0 {
                buffer.copy_within(start..end, 0);
                (start, end) = (0, end - start);
            }
            let room = buffer.get_mut(end..).unwrap_or_default();
            // The longest command fits the buffer, and content is taken as it comes.
            debug_assert!(!room.is_empty());
            let usual_s = u64::from(self.server.timeout_s());
            let Some(patience_s) = self.guest.patience(usual_s, self.server.is_receiving_data()) else {
                self.refused_by_time();
                self.server.timed_out();
                self.letter = None;
                continue;
            };
            match within(&self.appliance.timer, patience_s, stream.read(room)).await {
                Ok(Ok(0)) | Ok(Err(_)) => return Err(Broken),
                Ok(Ok(count)) => {
                    end += count;
                    self.guest.came(count);
                }
                // The door says whether that was all the time he had.
                Err(_) => {}
            }
            // A peer on a fast wire must not keep the other tasks waiting.
            yield_now().await;
        }
    }

    /// Writes what the machine has to say. Returns whether that was anything.
    async fn send<S: Stream>(&mut self, stream: &mut S) -> Result<bool, Broken> {
        let mut any = false;
        if matches!(self.server.transmit().first(), Some(b'4' | b'5')) {
            self.linger().await;
        }
        while !self.server.transmit().is_empty() {
            let timeout_s = self.guest.patience_to_write(self.server.timeout_s().into());
            let write = stream.write(self.server.transmit());
            match within(&self.appliance.timer, timeout_s, write).await {
                Ok(Ok(count)) if count > 0 => self.server.transmitted(count),
                _ => return Err(Broken),
            }
            any = true;
        }
        if any && stream.flush().await.is_err() {
            return Err(Broken);
        }
        Ok(any)
    }

    async fn answer(&mut self, said: Said<'_>) {
        match said {
            Said::Hello | Said::Reset => self.forget(),
            Said::Mail { question, sender, declared_size, dsn, .. } => {
                self.mail(question, sender, declared_size, dsn).await;
            }
            Said::Rcpt { question, recipient, dsn } => {
                self.rcpt(question, recipient, dsn).await;
            }
            Said::DataStart { question, chunked } => self.data_start(question, chunked),
            // In boxes: what the store needs while it writes would otherwise be in every session's static future, and
            // few sessions write at the same moment.
            Said::Data(content) => Box::pin(self.data(content)).await,
            Said::DataEnd { question, size } => Box::pin(self.data_end(question, size)).await,
            Said::DataRefused(violation) => self.data_refused(violation),
            Said::Closed(end) => {
                if end == End::Abuse {
                    let reply = Reply::new(421, EnhancedStatus(4, 7, 0), "too many errors");
                    self.record_refused(Stage::Command, None, 0, &reply);
                }
                self.forget();
            }
        }
    }

    /// The transaction is over; what was stored of it is given up.
    fn forget(&mut self) {
        (self.room, self.letter) = (None, None);
        self.sender = ReversePath::Null;
        self.dsn = SenderParameters::default();
        self.recipients = Vec::new();
    }

    async fn mail(
        &mut self,
        question: Question,
        sender: ReversePath,
        declared_size: Option<u32>,
        dsn: SenderParameters,
    ) {
        self.forget();
        // Asked anew for each message: clients keep connections for hours, and rules change.
        self.judged = self.appliance.judge(self.peer, self.origin.local, self.origin.interface);
        let allowed = rights::sender(&self.judged, &self.appliance.domains(), &sender);
        self.asked_sender = sender.clone();
        self.sender = rights::rewritten(&self.judged, sender);
        self.dsn = dsn;
        self.declared_size = declared_size;
        if self.appliance.stopping.get() {
            return self.refuse(question, Stage::Mail, None, &stopping_reply());
        }
        if let Err(no) = allowed {
            return self.deny(question, Stage::Mail, None, &no);
        }
        let (now, rate) = (self.appliance.now(), self.judged.rights.rate);
        if rate > 0 && self.judged.rights.relay != RelayRight::None {
            match self.appliance.client(self.peer, self.judged.class, |counts| counts.pace(rate, now)) {
                Pace::Now => {}
                Pace::At(moment) => Box::pin(self.appliance.timer.sleep_until(moment)).await,
                Pace::TooMuch => {
                    let reply = Reply::new(
                        450,
                        EnhancedStatus(4, 7, 1),
                        "Too many messages a minute, try again later",
                    );
                    let why = format!("more than {rate} a minute, the rate of {}", self.judged.rule);
                    return self.deny(question, Stage::Mail, None, &No { reply, why });
                }
            }
        }
        if self.judged.rights.verify_sender
            && let Verification::Refused(reply) = Box::pin(verify::sender(self.appliance, &self.sender)).await
        {
            return self.refuse(question, Stage::Mail, None, &reply);
        }
        // Told now, a client that knows its size need not send it (RFC 1870 §6).
        match self.make_room() {
            Ok(room) => {
                // Who may not relay occupies nothing before a recipient was accepted.
                self.room = (self.judged.rights.relay == RelayRight::Any).then_some(room);
                self.server.accept(question);
            }
            Err(reply) => self.refuse(question, Stage::Mail, None, &reply),
        }
    }

    /// Reserves room for a message of the announced size, without recipients, if the queue has it and the client does not
    /// have too much of the queue already.
    fn make_room(&self) -> Result<Room<'a, Partition<'f, P::Flash>>, Reply> {
        let appliance = self.appliance;
        let admission =
            Admission { size: self.declared_size, recipients: 0, recipients_bytes: 0, class: Class::Mail };
        let incoming = appliance.spool.begin(admission).map_err(full_reply)?;
        let octets = u64::from(self.declared_size.unwrap_or(0));
        let share = appliance.settings().client_share;
        if !appliance.schedule.used_by_client(self.peer).allows(octets, share, appliance.whole_queue()) {
            return Err(share_reply());
        }
        Ok(Room { incoming, recipients_bytes: 0, claim: appliance.schedule.claim(self.peer, octets) })
    }

    async fn rcpt(&mut self, question: Question, recipient: Mailbox, dsn: RecipientParameters) {
        let recipient = self.postmaster_for(recipient);
        let allowed =
            rights::recipient(&self.judged, &self.appliance.domains(), &self.asked_sender, &recipient);
        if self.appliance.stopping.get() {
            self.refuse(question, Stage::Rcpt, Some(&recipient), &stopping_reply());
        } else if let Err(no) = allowed {
            self.deny(question, Stage::Rcpt, Some(&recipient), &no);
        } else {
            if let Some(reply) = actions::refusal(self.appliance, recipient.as_str()) {
                return self.refuse(question, Stage::Rcpt, Some(&recipient), &reply);
            }
            if self.judged.rights.verify_recipient
                && let Verification::Refused(reply) =
                    Box::pin(verify::recipient(self.appliance, &recipient)).await
            {
                return self.refuse(question, Stage::Rcpt, Some(&recipient), &reply);
            }
            let (recipient, dsn) = actions::readdressed(self.appliance, recipient, dsn);
            match self.admit(&recipient, &dsn) {
                Ok(()) => {
                    self.recipients.push((recipient, dsn));
                    self.server.accept(question);
                }
                Err(reply) => self.refuse(question, Stage::Rcpt, Some(&recipient), &reply),
            }
        }
    }

    /// Who gets the mail to `postmaster` of this appliance, which every server must take (RFC 5321 §4.5.1): the
    /// postmaster of the settings. Any other recipient stays.
    fn postmaster_for(&self, recipient: Mailbox) -> Mailbox {
        if !recipient.is_postmaster() {
            return recipient;
        }
        let (settings, domains) = (self.appliance.settings(), self.appliance.domains());
        let own =
            settings.is_own_name(&domains, recipient.domain()) && !domains.is_internal(recipient.domain());
        match &settings.postmaster {
            Some(postmaster) if own => Mailbox::parse(postmaster.as_str()).unwrap_or(recipient),
            _ => recipient,
        }
    }

    /// Reserves room for one more recipient, if mail for its destination does not have too much of the queue already.
    fn admit(&mut self, recipient: &Mailbox, dsn: &RecipientParameters) -> Result<(), Reply> {
        let appliance = self.appliance;
        if appliance.has_several_destinations() {
            let octets = u64::from(self.declared_size.unwrap_or(0));
            let share = appliance.settings().destination_share;
            let null_sender = self.sender == ReversePath::Null;
            let used = appliance.way(null_sender, recipient.as_str(), |way| {
                appliance.schedule.used_by_destination(&way.name)
            });
            if !used.allows(octets, share, appliance.whole_queue()) {
                let text = "Too much waits for that destination, try again later";
                return Err(Reply::new(452, EnhancedStatus(4, 3, 1), text));
            }
        }
        let mut room = match self.room.take() {
            Some(room) => room,
            None => self.make_room()?,
        };
        let octets = u32::try_from(recipient.as_str().len() + dsn.stored_bytes()).unwrap_or(u32::MAX);
        let bytes = room.recipients_bytes.saturating_add(octets);
        let count = u16::try_from(self.recipients.len() + 1).unwrap_or(u16::MAX);
        let admitted = appliance.spool.extend(&mut room.incoming, count, bytes);
        if admitted.is_ok() {
            room.recipients_bytes = bytes;
        }
        self.room = Some(room);
        admitted.map_err(full_reply)
    }

    fn data_start(&mut self, question: Question, chunked: bool) {
        if self.appliance.stopping.get() {
            return self.refuse(question, Stage::Data, None, &stopping_reply());
        }
        // It is there: DATA without an accepted recipient is refused by the machine.
        let Some(Room { incoming, claim, .. }) = self.room.take() else {
            let reply = store_reply(SpoolError::Flash);
            return self.refuse(question, Stage::Data, None, &reply);
        };
        // By DATA comes nothing that a line may not hold: the machine sees to it, and the scanner need not.
        let scanner = Box::new(if chunked { Scanner::of_chunks() } else { Scanner::new() });
        self.letter = Some(Letter { incoming, claim, scanner, header_checked: false });
        self.server.accept(question);
    }

    async fn data(&mut self, content: &[u8]) {
        // After the content was given up the machine says no more Data, and there is no letter.
        let Some(letter) = &mut self.letter else { return };
        letter.scanner.push(content);
        if !letter.header_checked
            && let Some(header) = letter.scanner.header()
        {
            letter.header_checked = true;
            if header.received_count > RECEIVED_COUNT_MAX {
                let reply =
                    Reply::new(554, EnhancedStatus(5, 4, 6), "Too many hops, this looks like a mail loop");
                return self.abandon(&reply);
            }
        }
        // A client that did not say how much it has, or said less, hears now that it is too much.
        let size = u64::from(letter.incoming.size()).saturating_add(content.len() as u64);
        let share = self.appliance.settings().client_share;
        if !letter.claim.raise(size).is_within(share, self.appliance.whole_queue()) {
            return self.abandon(&share_reply());
        }
        let begun = self.appliance.now();
        let stored = self.appliance.spool.append(&mut letter.incoming, content).await;
        let waited_us = self.appliance.now().micros_since(begun);
        count_most(&self.appliance.counters.store_wait_most_us, waited_us);
        if let Err(error) = stored {
            self.abandon(&store_reply(error));
        }
    }

    async fn data_end(&mut self, question: Question, size: u32) {
        let Some(letter) = self.letter.take() else {
            let reply = store_reply(SpoolError::Flash);
            return self.refuse(question, Stage::Data, None, &reply);
        };
        let to = self.recipients.iter().map(|(mailbox, _)| mailbox);
        let passes = match self.appliance.passes_behind(self.judged.class, &letter.scanner, to) {
            Ok(passes) => passes,
            Err(_) => return self.refuse_loop(question, letter.incoming.size()),
        };
        let facts = letter.scanner.finish();
        if facts.odd_header {
            let text = "Message refused: a NUL or a CR without LF in a header";
            let reply = Reply::new(554, EnhancedStatus(5, 6, 0), text);
            return self.refuse(question, Stage::Data, None, &reply);
        }
        // A header that never ends was not checked on the way.
        if facts.header.received_count > RECEIVED_COUNT_MAX {
            let reply =
                Reply::new(554, EnhancedStatus(5, 4, 6), "Too many hops, this looks like a mail loop");
            return self.refuse(question, Stage::Data, None, &reply);
        }
        if self.appliance.stopping.get() {
            return self.refuse(question, Stage::Data, None, &stopping_reply());
        }
        let bulk = facts.header.bulk;
        let facts = facts.to_bytes();
        let protocol = self.server.protocol();
        let sender_extra = self.dsn.to_bytes();
        let origin = Provenance::new(&self.judged, self.origin.interface, passes).to_bytes();
        let arrival = Arrival {
            sender: self.sender.as_str(),
            sender_extra: &sender_extra,
            origin: &origin,
            peer: Some(self.peer),
            helo: self.server.helo(),
            protocol: match protocol {
                Protocol::Smtp => spool::Protocol::Smtp,
                Protocol::Esmtp => spool::Protocol::Esmtp,
                Protocol::Utf8Smtp => spool::Protocol::Utf8Smtp,
            },
            time: self.appliance.unix_seconds(),
            facts: &facts,
            moment: self.appliance.operating_seconds(),
        };
        let extras: Vec<Vec<u8>> = self.recipients.iter().map(|(_, dsn)| dsn.to_bytes()).collect();
        let recipients = self.recipients.iter().zip(&extras);
        let recipients = recipients.map(|((to, _), extra)| NewRecipient { address: to.as_str(), extra });
        let begun = self.appliance.now();
        let committed = self.appliance.spool.commit(letter.incoming, &arrival, recipients).await;
        let waited_us = self.appliance.now().micros_since(begun);
        count_most(&self.appliance.counters.store_wait_most_us, waited_us);
        match committed {
            Ok(id) => {
                self.guest.has_brought_a_message();
                self.accepted(id, protocol, size, bulk);
                self.server.accept_message(question, id);
            }
            Err(error) => self.refuse(question, Stage::Data, None, &store_reply(error)),
        }
        self.forget();
    }

    fn accepted(&self, id: QueueId, protocol: Protocol, size: u32, bulk: bool) {
        let appliance = self.appliance;
        count(&appliance.counters.accepted, 1);
        count(&appliance.counters.accepted_exchange, self.judged.class.is_exchange().into());
        count(&appliance.counters.accepted_bytes, size.into());
        appliance.client(self.peer, self.judged.class, |counts| {
            counts.messages = counts.messages.saturating_add(1);
            counts.octets = counts.octets.saturating_add(size.into());
        });
        appliance.record(&Event::Accepted {
            id,
            from: self.sender.as_str().into(),
            peer: self.peer,
            helo: self.server.helo().into(),
            protocol: match protocol {
                Protocol::Smtp => "SMTP".into(),
                Protocol::Esmtp => "ESMTP".into(),
                Protocol::Utf8Smtp => "UTF8SMTP".into(),
            },
            size,
            recipients: u16::try_from(self.recipients.len()).unwrap_or(u16::MAX),
        });
        self.schedule(id, size, bulk);
    }

    /// Puts the message onto the schedule, with its ways: nobody needs to read the recipients again for that.
    fn schedule(&self, id: QueueId, size: u32, bulk: bool) {
        let appliance = self.appliance;
        let null_sender = self.sender == ReversePath::Null;
        let mut to: heapless::Vec<DestinationId, ERRANDS_PER_MESSAGE_MAX> = heapless::Vec::new();
        let mut more = false;
        for (recipient, _) in &self.recipients {
            let enter = |way: &Way<'_>| appliance.schedule.destination(way, appliance.now());
            more |= match appliance.way(null_sender, recipient.as_str(), enter) {
                Some(id) => !to.contains(&id) && to.push(id).is_err(),
                None => true,
            };
        }
        let recipients = u16::try_from(self.recipients.len()).unwrap_or(u16::MAX);
        let new = NewMessage {
            priority: attend::priority(Class::Mail, null_sender, recipients, bulk),
            size,
            client: Some(self.peer),
            decided: false,
            // So many are routed by the attendant, which knows which can wait.
            to: if more { &[] } else { &to },
            age_at: appliance.spool.brief(id).and_then(|brief| attend::age_at(appliance, &brief)),
        };
        appliance.schedule.add(id, new, appliance.now());
    }

    /// Gives up the content that is arriving; the peer hears `reply` at its end.
    fn abandon(&mut self, reply: &Reply) {
        let size = self.letter.take().map_or(0, |letter| letter.incoming.size());
        self.record_refused(Stage::Data, None, size, reply);
        self.server.abandon_data(reply);
        self.forget();
    }

    fn data_refused(&mut self, violation: Violation) {
        let size = self.letter.take().map_or(0, |letter| letter.incoming.size());
        let (code, status, text) = match violation {
            Violation::BareCr => (554, EnhancedStatus(5, 6, 0), "bare CR in content"),
            Violation::BareLf => (554, EnhancedStatus(5, 6, 0), "bare LF in content"),
            Violation::Nul => (554, EnhancedStatus(5, 6, 0), "NUL in content"),
            Violation::LineTooLong => (554, EnhancedStatus(5, 6, 0), "line too long"),
            Violation::HeaderTooLong => (552, EnhancedStatus(5, 3, 4), "header too long"),
            Violation::TooLarge => (552, EnhancedStatus(5, 3, 4), "message too large"),
        };
        self.record_refused(Stage::Data, None, size, &Reply::new(code, status, text));
        self.forget();
    }

    fn refuse(&mut self, question: Question, stage: Stage, to: Option<&Mailbox>, reply: &Reply) {
        self.record_refused(stage, to, 0, reply);
        self.server.refuse(question, reply);
    }

    /// Refuses for a reason that the peer need not know, and the operator must.
    fn deny(&mut self, question: Question, stage: Stage, to: Option<&Mailbox>, no: &No) {
        self.record_denied(stage, to, 0, no);
        self.server.refuse(question, &no.reply);
    }

    fn refuse_loop(&mut self, question: Question, size: u32) {
        count(&self.appliance.counters.loops, 1);
        let (reply, why) = (loop_reply(), self.appliance.loop_reason(self.origin.local.ip()));
        self.record(Stage::Data, None, size, &reply, &why);
        self.server.refuse(question, &reply);
        self.forget();
    }

    /// The client is gone without QUIT. Worth a line only within a transaction: port scanners and health checks do it all
    /// day.
    fn vanished(&self) {
        if self.letter.is_some() || !self.recipients.is_empty() {
            let stage = if self.letter.is_some() { Stage::Data } else { Stage::Rcpt };
            let size = self.letter.as_ref().map_or(0, |letter| letter.incoming.size());
            self.record_refused(
                stage,
                None,
                size,
                &Reply::new(421, EnhancedStatus(4, 4, 2), "connection lost"),
            );
        }
    }

    fn refused_by_time(&self) {
        count(&self.appliance.counters.sessions_broken, 1);
        let stage = if self.server.is_receiving_data() { Stage::Data } else { Stage::Command };
        let size = self.letter.as_ref().map_or(0, |letter| letter.incoming.size());
        self.record_refused(stage, None, size, &Reply::new(421, EnhancedStatus(4, 4, 2), "timed out"));
    }

    fn record_refused(&self, stage: Stage, to: Option<&Mailbox>, size: u32, reply: &Reply) {
        self.record(stage, to, size, reply, &reply.text);
    }

    fn record_denied(&self, stage: Stage, to: Option<&Mailbox>, size: u32, no: &No) {
        self.record(stage, to, size, &no.reply, &format!("{}: {}", no.reply.text, no.why));
    }

    fn record(&self, stage: Stage, to: Option<&Mailbox>, size: u32, reply: &Reply, reason: &str) {
        count(&self.appliance.counters.refused, 1);
        self.appliance.client(self.peer, self.judged.class, |counts| {
            counts.refused = counts.refused.saturating_add(1);
        });
        self.appliance.record(&Event::Refused {
            peer: self.peer,
            stage,
            from: self.sender.as_str().into(),
            to: to.map_or("", Mailbox::as_str).into(),
            size,
            code: reply.code,
            status: reply.status.unwrap_or(EnhancedStatus(5, 0, 0)),
            reason: reason.into(),
        });
    }
}

fn full_reply(full: SpoolFull) -> Reply {
    match full {
        SpoolFull::Now => Reply::new(452, EnhancedStatus(4, 3, 1), "Queue is full, try again later"),
        SpoolFull::Never => Reply::new(552, EnhancedStatus(5, 3, 4), "Message is larger than the queue"),
    }
}

fn share_reply() -> Reply {
    Reply::new(452, EnhancedStatus(4, 3, 1), "You have too much in the queue, try again later")
}

fn stopping_reply() -> Reply {
    Reply::new(421, EnhancedStatus(4, 3, 2), "Restarting, try again later")
}

fn store_reply(error: SpoolError) -> Reply {
    match error {
        SpoolError::Full(full) => full_reply(full),
        _ => Reply::new(451, EnhancedStatus(4, 3, 0), "Cannot store the message now, try again later"),
    }
}
