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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use core::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn the_field_says_who_came_from_where_how_and_when() {
        let recipient = Mailbox::parse("b@example.net").expect("valid");
        let received = Received {
            helo: "client.example.org",
            peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
            by: "gate.example.com",
            protocol: Protocol::Esmtp,
            id: QueueId(31),
            only_recipient: Some(&recipient),
            unix_seconds: Some(1_795_357_845),
        };
        assert_eq!(
            received.to_string(),
            "Received: from client.example.org ([192.0.2.7])\r\n\
             \tby gate.example.com with ESMTP id 00000010\r\n\
             \tfor <b@example.net>;\r\n\
             \tSun, 22 Nov 2026 14:30:45 +0000\r\n"
        );
        let peer = IpAddr::V6(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped());
        let sparse =
            Received { peer, protocol: Protocol::Smtp, only_recipient: None, unix_seconds: None, ..received };
        assert_eq!(
            sparse.to_string(),
            "Received: from client.example.org ([192.0.2.7])\r\n\
             \tby gate.example.com with SMTP id 00000010;\r\n\
             \tThu, 1 Jan 1970 00:00:00 -0000 (clock not set)\r\n"
        );
        let v6 = Received { peer: IpAddr::V6(Ipv6Addr::LOCALHOST), ..sparse };
        assert!(v6.to_string().starts_with("Received: from client.example.org ([IPv6:::1])\r\n"));
    }
}
