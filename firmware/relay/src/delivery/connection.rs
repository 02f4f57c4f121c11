//! One connection to a next hop: drives the client machine over a stream.

use crate::time::within;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::task::Poll;
use limits::relay::{MESSAGE_READ_BYTES, REPLY_READ_BYTES};
use platform::Stream;
use smtp::client::{Breach, Client, End, Event};

/// Octets up to which small pieces are collected before they are written: three full segments.
const GATHER_BYTES: usize = 4 * 1_024;

/// The buffers of one worker, on the heap and used again for every connection.
pub(super) struct Buffers {
    replies: Box<[u8]>,
    /// Stored octets as read from flash.
    pub(super) stored: Box<[u8]>,
    /// What becomes of them.
    pub(super) emitted: Vec<u8>,
    /// Small pieces of it on their way to one write.
    gathered: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self {
            replies: vec![0; REPLY_READ_BYTES].into_boxed_slice(),
            stored: vec![0; MESSAGE_READ_BYTES].into_boxed_slice(),
            emitted: Vec::with_capacity(2 * MESSAGE_READ_BYTES),
            gathered: Vec::with_capacity(GATHER_BYTES),
        }
    }
}

/// How the greeting went.
pub(super) enum Greeted {
    Ready,
    Closed(String),
}

/// Why no more can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interrupted {
    /// The stream is gone or stuck.
    Broken,
    /// The peer has said something in the middle of the content: what it was, the next event tells.
    Spoken,
}

/// Seconds after which a write that does not get on is interrupted, to see whether the peer has said why.
const LOOK_UP_S: u64 = 5;
/// Seconds that the last words of a peer are waited for that does not take any more.
const LAST_WORDS_S: u64 = 2;

pub(super) struct Connection<'a, 'f, P: Platform, S> {
    appliance: &'a Appliance<'f, P>,
    stream: S,
    pub(super) client: Client,
    pub(super) remote: SocketAddr,
    /// Transactions that were begun.
    pub(super) transactions: u32,
    pub(super) buffers: &'a mut Buffers,
    /// `buffers.replies[start..end]` has been read and not been taken yet.
    start: usize,
    end: usize,
}

impl<'a, 'f, P: Platform, S: Stream> Connection<'a, 'f, P, S> {
    pub(super) fn new(
        appliance: &'a Appliance<'f, P>,
        stream: S,
        remote: SocketAddr,
        helo: Option<&str>,
        buffers: &'a mut Buffers,
    ) -> Self {
        let client = match helo {
            Some(helo) => Client::new(helo.into()),
            None => Client::new(appliance.settings().hostname().into()),
        };
        // What a connection that broke has left there.
        buffers.emitted.clear();
        buffers.gathered.clear();
        Self { appliance, stream, client, remote, transactions: 0, buffers, start: 0, end: 0 }
    }

    /// Reads the greeting and says hello.
    pub(super) async fn greet(&mut self) -> Greeted {
        match self.next().await {
            Event::Ready => Greeted::Ready,
            Event::Closed(end) => Greeted::Closed(end_text(&end)),
            _ => Greeted::Closed("unexpected event before the first transaction".into()),
        }
    }

    /// The next event of the machine. After [`Event::Closed`] there is none.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            let input = self.buffers.replies.get(self.start..self.end).unwrap_or_default();
            let (taken, event) = self.client.receive(input);
            self.start += taken;
            if let Some(event) = event {
                return event;
            }
            if taken > 0 {
                continue;
            }
            match self.send().await {
                Ok(true) if self.start < self.end => continue,
                Ok(_) => {}
                Err(_) => {
                    self.client.disconnected();
                    continue;
                }
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        self.buffers.replies.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = self.buffers.replies.get_mut(self.end..).unwrap_or_default();
        let timeout_s = u64::from(self.client.timeout_s());
        match within(&self.appliance.timer, timeout_s, self.stream.read(room)).await {
            Ok(Ok(count)) if count > 0 => self.end += count,
            Ok(_) => self.client.disconnected(),
            Err(_) => self.client.timed_out(),
        }
    }

    /// Writes what the machine has to say. Returns whether that was anything.
    pub(super) async fn send(&mut self) -> Result<bool, Interrupted> {
        let mut any = false;
        while !self.client.transmit().is_empty() {
            let timeout_s = u64::from(self.client.timeout_s());
            let write = self.stream.write(self.client.transmit());
            match within(&self.appliance.timer, timeout_s, write).await {
                Ok(Ok(count)) if count > 0 => self.client.transmitted(count),
                _ => return Err(Interrupted::Broken),
            }
            any = true;
        }
        if any {
            self.stream.flush().await.map_err(|_| Interrupted::Broken)?;
        }
        Ok(any)
    }

    /// Writes what stands in `buffers.emitted` as content, and empties it; less than a full write is kept for the next
    /// time, or for [`Self::flush_content`].
    pub(super) async fn send_content(&mut self) -> Result<(), Interrupted> {
        self.listen()?;
        // Out of the buffers while it is written, so that the replies can be looked at in between.
        let mut emitted = core::mem::take(&mut self.buffers.emitted);
        let mut gathered = core::mem::take(&mut self.buffers.gathered);
        let sent = self.send_pieces(&emitted, &mut gathered).await;
        emitted.clear();
        (self.buffers.emitted, self.buffers.gathered) = (emitted, gathered);
        sent
    }

    async fn send_pieces(&mut self, emitted: &[u8], gathered: &mut Vec<u8>) -> Result<(), Interrupted> {
        let mut rest = emitted;
        while !rest.is_empty() {
            // Content that a mail server must not send would be our bug: then nothing more may leave.
            let piece = self.client.content(rest).map_err(|_| Interrupted::Broken)?;
            if piece.taken == 0 && piece.send.is_empty() {
                return Err(Interrupted::Broken);
            }
            rest = rest.get(piece.taken..).unwrap_or_default();
            // A text of lines that begin with dots comes in tiny pieces; the wire wants full segments.
            if gathered.len() + piece.send.len() > GATHER_BYTES {
                self.write_content(gathered).await?;
                gathered.clear();
            }
            if piece.send.len() >= GATHER_BYTES {
                self.write_content(piece.send).await?;
            } else {
                gathered.extend_from_slice(piece.send);
            }
        }
        Ok(())
    }

    /// Writes what [`Self::send_content`] has kept.
    pub(super) async fn flush_content(&mut self) -> Result<(), Interrupted> {
        let mut gathered = core::mem::take(&mut self.buffers.gathered);
        let sent = self.write_content(&gathered).await;
        gathered.clear();
        self.buffers.gathered = gathered;
        sent
    }

    /// Writes all of `octets`; each write may take the time that the machine gives.
    async fn write_content(&mut self, octets: &[u8]) -> Result<(), Interrupted> {
        let mut rest = octets;
        let mut stuck_s = 0;
        while !rest.is_empty() {
            match within(&self.appliance.timer, LOOK_UP_S, self.stream.write(rest)).await {
                Ok(Ok(count)) if count > 0 => {
                    rest = rest.get(count..).unwrap_or_default();
                    stuck_s = 0;
                }
                Ok(_) => return Err(Interrupted::Broken),
                Err(_) => {
                    self.listen()?;
                    stuck_s += LOOK_UP_S;
                    if stuck_s >= u64::from(self.client.timeout_s()) {
                        return Err(Interrupted::Broken);
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks without waiting whether the peer has said something. While content goes out that is a refusal, as of a
    /// message that is too large (RFC 1870 §6.3): the rest would be sent in vain.
    fn listen(&mut self) -> Result<(), Interrupted> {
        let room = self.buffers.replies.get_mut(self.end..).unwrap_or_default();
        match embassy_futures::poll_once(self.stream.read(room)) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(count)) if count > 0 => {
                self.end += count;
                Err(Interrupted::Spoken)
            }
            Poll::Ready(_) => Err(Interrupted::Broken),
        }
    }

    /// The peer takes no more content. Many say why and hang up, and our next piece meets a closed door: what has
    /// arrived of their word is read before the connection counts as lost.
    pub(super) async fn read_last_words(&mut self, why: Interrupted) {
        if why == Interrupted::Spoken {
            return;
        }
        let room = self.buffers.replies.get_mut(self.end..).unwrap_or_default();
        match within(&self.appliance.timer, LAST_WORDS_S, self.stream.read(room)).await {
            Ok(Ok(count)) if count > 0 => self.end += count,
            _ => self.client.disconnected(),
        }
    }

    /// After a transaction: waits until the peer is ready for another one. `false`: the connection is over.
    pub(super) async fn is_ready_again(&mut self) -> bool {
        self.client.is_ready() || matches!(self.next().await, Event::Ready)
    }

    /// Whether the peer takes no further transaction over this connection, by the limit that it announced (RFC 9422 §4.1).
    pub(super) fn is_spent(&self) -> bool {
        self.client.capabilities().messages_max.is_some_and(|most| self.transactions >= most)
    }

    /// Says QUIT, waits for the answer, closes.
    pub(super) async fn quit(&mut self) {
        self.client.quit();
        while !matches!(self.next().await, Event::Closed(_)) {}
        self.stream.close().await;
    }

    /// Drops the connection.
    pub(super) fn abort(&mut self) {
        self.stream.abort();
    }
}

/// Why a connection is over, for people.
pub(super) fn end_text(end: &End) -> String {
    match end {
        End::Quit => "connection closed".into(),
        End::Refused(reply) => format!("{reply}"),
        End::Protocol(breach) => format!(
            "not understood: {}",
            match breach {
                Breach::MalformedReply => "malformed reply",
                Breach::CodeChanged => "reply with two codes",
                Breach::ReplyTooLong => "reply too long",
                Breach::Unasked => "reply to nothing that was asked",
                Breach::WrongCode(code) => return format!("unexpected reply {code}"),
            }
        ),
        End::TimedOut => "no answer in time".into(),
        End::Disconnected => "connection lost".into(),
        End::Content(_) => "the content is not fit to be sent".into(),
    }
}
