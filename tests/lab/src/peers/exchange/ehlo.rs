//! What each Exchange answers to EHLO.
//!
//! Seen in sessions that people published: Exchange Online (2022 to 2025), 2019 (a scan, with SMTPUTF8 before XRDST), 2016
//! (Microsoft's example session in "Use Telnet to test SMTP communication on Exchange servers", without SMTPUTF8), and the
//! XEXCH50 and XRDST of older servers (a network scanner's fingerprint that names no version). Not seen in any session, and
//! put in so that unknown keywords are met: XSHADOW, XSHADOWREQUEST, which version has XEXCH50, and the SIZE of 2007 and
//! 2010. The limits of recipients and hops below are those of the documentation where it gives one, else a choice.

/// Which Exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The service.
    Online,
    /// Exchange Server 2007.
    E2007,
    /// Exchange Server 2010.
    E2010,
    /// Exchange Server 2013.
    E2013,
    /// Exchange Server 2016.
    E2016,
    /// Exchange Server 2019.
    E2019,
}

impl Version {
    /// The servers that stand in somebody's own rooms.
    pub const ON_PREMISES: [Self; 5] = [Self::E2007, Self::E2010, Self::E2013, Self::E2016, Self::E2019];

    /// The keywords after EHLO before any TLS, in the server's order.
    #[must_use]
    pub fn keywords(self) -> Vec<&'static str> {
        let size = match self {
            Self::Online => "SIZE 157286400",
            Self::E2007 | Self::E2010 => "SIZE 10485760",
            Self::E2013 | Self::E2016 | Self::E2019 => "SIZE 37748736",
        };
        let mut list = vec![size, "PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "STARTTLS"];
        if self != Self::Online {
            list.extend(["X-ANONYMOUSTLS", "AUTH NTLM", "X-EXPS GSSAPI NTLM"]);
        }
        list.extend(["8BITMIME", "BINARYMIME", "CHUNKING"]);
        list.extend_from_slice(match self {
            Self::Online => &["SMTPUTF8"],
            Self::E2007 => &["XEXCH50"],
            Self::E2010 => &["XEXCH50", "XRDST", "XSHADOW"],
            Self::E2013 => &["XEXCH50", "XRDST", "XSHADOWREQUEST"],
            Self::E2016 => &["XRDST", "XSHADOWREQUEST"],
            Self::E2019 => &["SMTPUTF8", "XRDST", "XSHADOWREQUEST"],
        });
        list
    }

    /// How many Received fields it tolerates.
    #[must_use]
    pub fn hops_max(self) -> usize {
        if self == Self::Online { 30 } else { 60 }
    }

    /// Most recipients of one message from a peer.
    #[must_use]
    pub fn recipients_max(self) -> usize {
        if self == Self::Online { 500 } else { 200 }
    }
}
