//! One connection to a next hop: drives the client machine over a stream.

use crate::time::within;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
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

/// The stream is gone or stuck.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken;

pub(super) struct Connection<'a, 'f, P: Platform, S> {
    appliance: &'a Appliance<'f, P>,
    stream: S,
    pub(super) client: Client,
    pub(super) remote: SocketAddr,
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
        buffers: &'a mut Buffers,
    ) -> Self {
        let client = Client::new(appliance.settings().hostname().into());
        // What a connection that broke has left there.
        buffers.emitted.clear();
        buffers.gathered.clear();
        Self { appliance, stream, client, remote, buffers, start: 0, end: 0 }
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
                Err(Broken) => {
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
    pub(super) async fn send(&mut self) -> Result<bool, Broken> {
        let mut any = false;
        while !self.client.transmit().is_empty() {
            let timeout_s = u64::from(self.client.timeout_s());
            let write = self.stream.write(self.client.transmit());
            match within(&self.appliance.timer, timeout_s, write).await {
                Ok(Ok(count)) if count > 0 => self.client.transmitted(count),
                _ => return Err(Broken),
            }
            any = true;
        }
        if any {
            self.stream.flush().await.map_err(|_| Broken)?;
        }
        Ok(any)
    }

    /// Writes what stands in `buffers.emitted` as content, and empties it; less than a full write is kept for the next
    /// time, or for [`Self::flush_content`].
    pub(super) async fn send_content(&mut self) -> Result<(), Broken> {
        let Self { appliance, stream, client, buffers, .. } = self;
        let Buffers { emitted, gathered, .. } = &mut **buffers;
        let timeout_s = u64::from(client.timeout_s());
        let mut rest = emitted.as_slice();
        while !rest.is_empty() {
            // Content that a mail server must not send would be our bug: then nothing more may leave.
            let piece = client.content(rest).map_err(|_| Broken)?;
            if piece.taken == 0 && piece.send.is_empty() {
                return Err(Broken);
            }
            rest = rest.get(piece.taken..).unwrap_or_default();
            // A text of lines that begin with dots comes in tiny pieces; the wire wants full segments.
            if gathered.len() + piece.send.len() > GATHER_BYTES {
                write_all(appliance, stream, gathered, timeout_s).await?;
                gathered.clear();
            }
            if piece.send.len() >= GATHER_BYTES {
                write_all(appliance, stream, piece.send, timeout_s).await?;
            } else {
                gathered.extend_from_slice(piece.send);
            }
        }
        emitted.clear();
        Ok(())
    }

    /// Writes what [`Self::send_content`] has kept.
    pub(super) async fn flush_content(&mut self) -> Result<(), Broken> {
        let timeout_s = u64::from(self.client.timeout_s());
        write_all(self.appliance, &mut self.stream, &self.buffers.gathered, timeout_s).await?;
        self.buffers.gathered.clear();
        Ok(())
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

/// Writes all of `octets`; each write may take `timeout_s`.
async fn write_all<P: Platform, S: Stream>(
    appliance: &Appliance<'_, P>,
    stream: &mut S,
    octets: &[u8],
    timeout_s: u64,
) -> Result<(), Broken> {
    let mut rest = octets;
    while !rest.is_empty() {
        match within(&appliance.timer, timeout_s, stream.write(rest)).await {
            Ok(Ok(count)) if count > 0 => rest = rest.get(count..).unwrap_or_default(),
            _ => return Err(Broken),
        }
    }
    Ok(())
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
