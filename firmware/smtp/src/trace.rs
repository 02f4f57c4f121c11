//! The Received field that every server adds on top of a message (RFC 5321 §4.4).

use core::{fmt, net::IpAddr};
use envelope::{MailDate, Mailbox, Protocol, QueueId};

/// What is known of a message that has just come in. Prints as a whole Received field of folded lines, each
/// ending in CRLF and shorter than 998 octets.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What the peer called itself, as [`crate::server::Server::helo`] gives it.
    pub helo: &'a str,
    /// Where the connection came from.
    pub peer: IpAddr,
    /// The own host name.
    pub by: &'a str,
    /// SMTP or ESMTP.
    pub protocol: Protocol,
    /// The queue id.
    pub id: QueueId,
    /// The recipient if there is exactly one: with several, `for` would tell each of the others
    /// (RFC 5321 §7.2).
    pub only_recipient: Option<&'a Mailbox>,
    /// The time, if the clock is trusted; else the field says so ([`MailDate`]).
    pub unix_seconds: Option<u64>,
}

impl fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { helo, peer, by, protocol, id, only_recipient, unix_seconds } = self;
        // The address is what we saw ourselves, so it stands in the TCP-info, whatever the peer said.
        match peer.to_canonical() {
            IpAddr::V4(address) => write!(f, "Received: from {helo} ([{address}])\r\n")?,
            IpAddr::V6(address) => write!(f, "Received: from {helo} ([IPv6:{address}])\r\n")?,
        }
        write!(f, "\tby {by} with {protocol} id {id}")?;
        if let Some(recipient) = only_recipient {
            write!(f, "\r\n\tfor <{recipient}>")?;
        }
        write!(f, ";\r\n\t{}\r\n", MailDate(*unix_seconds))
    }
}
