//! Content in chunks (RFC 3030): BDAT and the octets behind it.
//!
//! Read this first. Whether the octets behind BDAT are content or commands is decided by the number in the command and
//! by nothing else. Whatever is wrong with the chunk, with the message, or with the order of commands, so many octets are
//! taken before the answer goes out. Where there is no number that could be obeyed, nothing behind the command can be
//! understood, and the session ends.

use limits::smtp::{CONTENT_DISCARDED_BYTES_MAX, ERRORS_PER_SESSION_MAX, HEADER_BYTES_MAX};

use super::command::Fault;
use super::{Asked, End, EnhancedStatus, Event, Reply, Server, State, Transaction, Violation, no_recipients};

/// One chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Octets that are still to come.
    pub left: u64,
    /// It ends the message.
    pub last: bool,
}

/// A message that comes in chunks, so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunked {
    /// Octets of the chunks so far.
    size: u32,
    /// Octets that the header block may still have; `None` behind it.
    header_room: Option<u32>,
    /// Nothing but CR since the last LF.
    line_is_empty: bool,
}

impl Chunked {
    const NEW: Self = Self { size: 0, header_room: Some(HEADER_BYTES_MAX as u32), line_is_empty: true };

    /// Looks for the end of the header block. An empty line ends it, with CRLF or with LF alone.
    fn look(&mut self, octets: &[u8]) -> Result<(), Violation> {
        let Some(mut room) = self.header_room else { return Ok(()) };
        for octet in octets {
            room = room.checked_sub(1).ok_or(Violation::HeaderTooLong)?;
            match octet {
                b'\n' if self.line_is_empty => {
                    self.header_room = None;
                    return Ok(());
                }
                b'\n' => self.line_is_empty = true,
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
        self.header_room = Some(room);
        Ok(())
    }
}

impl Server {
    /// BDAT.
    pub(super) fn bdat(&mut self, chunk: Chunk) -> Option<Event<'static>> {
        if !self.config.offers.chunking {
            return self.fault(Fault::ChunkNotOffered);
        }
        let discarded = self.chunks_discarded.saturating_add(chunk.left);
        if chunk.left > CONTENT_DISCARDED_BYTES_MAX
            || (self.chunks_refused && discarded > CONTENT_DISCARDED_BYTES_MAX)
        {
            // Nobody waits for so much only to say no.
            let max = self.config.message_bytes_max;
            let text = format_args!("Message is larger than the {max} octets allowed");
            self.end_with(552, EnhancedStatus(5, 3, 4), text, End::Abuse);
            return None;
        }
        if chunk.left == 0
            && !chunk.last
            && let Some(event) = self.count_idle_command()
        {
            return event;
        }
        let out_of_order = |text| Err(Reply::new(503, EnhancedStatus(5, 5, 1), text));
        let judged = match &self.transaction {
            _ if self.chunks_refused => out_of_order("The message has been refused already"),
            _ if !self.extended => out_of_order("Say EHLO first"),
            None => out_of_order("Say MAIL and RCPT first"),
            Some(Transaction { recipients: 0, .. }) => Err(no_recipients()),
            Some(Transaction { chunked, .. }) => Ok(chunked.is_some()),
        };
        match judged {
            Ok(true) => self.state = State::Chunk(chunk),
            Ok(false) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.chunked = Some(Chunked::NEW);
                }
                return Some(Event::DataStart {
                    question: self.ask(Asked::ChunkStart(chunk)),
                    chunked: true,
                });
            }
            Err(reply) => {
                // The chunks that a client had sent ahead when it heard of a refusal are no further mistakes.
                if reply.code == 503 && !self.chunks_refused {
                    self.errors = self.errors.saturating_add(1);
                }
                if self.errors > ERRORS_PER_SESSION_MAX {
                    self.end_with(421, EnhancedStatus(4, 7, 0), "Too many errors", End::Abuse);
                    return None;
                }
                self.refusal = Some(reply);
                self.state = State::Chunk(chunk);
            }
        }
        None
    }

    /// Takes octets of the present chunk, at least one.
    pub(super) fn receive_chunk<'i>(&mut self, input: &'i [u8]) -> (usize, Option<Event<'i>>) {
        let State::Chunk(chunk) = &mut self.state else { return (0, None) };
        let count = usize::try_from(chunk.left).unwrap_or(usize::MAX).min(input.len());
        let octets = input.get(..count).unwrap_or_default();
        if self.refusal.is_some() {
            chunk.left = chunk.left.saturating_sub(count as u64);
            self.chunks_discarded = self.chunks_discarded.saturating_add(count as u64);
            return (count, None);
        }
        let max = self.config.message_bytes_max;
        let chunked = self.transaction.as_mut().and_then(|transaction| transaction.chunked.as_mut());
        let looked = match chunked {
            // The size is judged by what the command declares: the answer does not depend on the segments.
            Some(chunked) if u64::from(chunked.size).saturating_add(chunk.left) > u64::from(max) => {
                Err(Violation::TooLarge)
            }
            Some(chunked) => {
                // It fits: that was asked above.
                chunked.size = chunked.size.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
                chunked.look(octets)
            }
            None => Err(Violation::TooLarge),
        };
        match looked {
            Ok(()) => {
                chunk.left = chunk.left.saturating_sub(count as u64);
                (count, Some(Event::Data(octets)))
            }
            Err(violation) => {
                self.refusal = Some(violation.reply(max));
                self.transaction = None;
                (0, Some(Event::DataRefused(violation)))
            }
        }
    }

    /// All octets of the chunk have been taken: the answer.
    pub(super) fn end_chunk(&mut self, last: bool) -> Option<Event<'static>> {
        self.state = State::Command;
        if let Some(reply) = self.refusal.take() {
            // RFC 3030 §2: a chunk that is refused takes the whole message with it. What has been sent ahead follows.
            self.chunks_refused = !last;
            self.put_reply(&reply);
            if reply.code == 421 {
                self.close(End::Ours);
            }
            return None;
        }
        self.chunks_refused = false;
        let size = self.transaction.as_ref().and_then(|t| t.chunked.as_ref()).map_or(0, |c| c.size);
        if last {
            self.transaction = None;
            self.idle_commands = 0;
            return Some(Event::DataEnd { question: self.ask(Asked::DataEnd), size });
        }
        self.put(format_args!("250 2.0.0 {size} octets so far\r\n"));
        None
    }
}
