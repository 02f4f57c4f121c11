//! Why nobody could answer.

use core::fmt;

/// Why a question stays open: none of these says anything about the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No name server is known.
    NoServers,
    /// There is no network, or no way to the servers.
    NoNetwork,
    /// No server answered in time.
    Silence,
    /// The servers answered that they failed (SERVFAIL); often the domain's own servers are down or its DNSSEC is
    /// broken.
    ServerFailed,
    /// The servers do not answer questions of ours (REFUSED, NOTIMP).
    Refused,
    /// What the servers answered is no sense: not DNS, too long, or aliases without end.
    Nonsense,
    /// So many questions are being asked that this one found no place.
    Busy,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoServers => "no name server is set",
            Self::NoNetwork => "no network to the name servers",
            Self::Silence => "no answer from the name servers",
            Self::ServerFailed => "the name servers report a failure of the domain's servers",
            Self::Refused => "the name servers refuse to answer",
            Self::Nonsense => "the name servers answer nonsense",
            Self::Busy => "too many questions at once",
        })
    }
}

impl core::error::Error for Trouble {}
