//! Lines and octets over a connection.

use crate::net::{Connection, StreamError};
use std::net::SocketAddr;

/// Most octets of a line that a peer reads before it gives up.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A connection with what has arrived and was not asked for yet.
pub struct Talk {
    connection: Box<dyn Connection>,
    arrived: Vec<u8>,
}

impl Talk {
    /// Talks over `connection`.
    #[must_use]
    pub fn new(connection: Box<dyn Connection>) -> Self {
        Self { connection, arrived: Vec::new() }
    }

    /// This end's address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.connection.local()
    }

    /// The other end's address.
    #[must_use]
    pub fn remote(&self) -> SocketAddr {
        self.connection.remote()
    }

    /// Sends all octets.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn send(&mut self, mut octets: &[u8]) -> Result<(), StreamError> {
        while !octets.is_empty() {
            let count = self.connection.write(octets).await?;
            octets = &octets[count..];
        }
        Ok(())
    }

    /// Sends a line.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn say(&mut self, line: &str) -> Result<(), StreamError> {
        self.send(format!("{line}\r\n").as_bytes()).await
    }

    /// Waits for more. Returns whether there was any.
    async fn fill(&mut self) -> Result<bool, StreamError> {
        let mut buffer = [0; 16 * 1024];
        let count = self.connection.read(&mut buffer).await?;
        self.arrived.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }

    /// The next line with its LF, or `None` at the end.
    ///
    /// # Errors
    /// When the connection is gone, or the line is longer than anybody's.
    pub async fn raw_line(&mut self) -> Result<Option<Vec<u8>>, StreamError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.arrived[searched..].iter().position(|octet| *octet == b'\n') {
                return Ok(Some(self.arrived.drain(..=searched + end).collect()));
            }
            searched = self.arrived.len();
            if searched > LINE_BYTES_MAX {
                return Err(StreamError::Reset);
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Exactly `count` octets.
    ///
    /// # Errors
    /// When the connection is gone or ends before.
    pub async fn exactly(&mut self, count: usize) -> Result<Vec<u8>, StreamError> {
        while self.arrived.len() < count {
            if !self.fill().await? {
                return Err(StreamError::Reset);
            }
        }
        Ok(self.arrived.drain(..count).collect())
    }

    /// Ends this side in good order.
    pub async fn close(mut self) {
        self.connection.close().await;
    }

    /// Ends the connection without a word.
    pub fn abort(mut self) {
        self.connection.abort();
    }
}
