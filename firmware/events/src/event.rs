//! The events, and the line that each of them prints.

use crate::text::{Address, Text};
use core::fmt;
use core::net::IpAddr;
use envelope::{EnhancedStatus, LogDate, QueueId};
use serde::{Deserialize, Serialize};

/// Where in an SMTP session something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Before the banner.
    Connect,
    /// At EHLO or HELO, or at a command outside a transaction.
    Command,
    /// At MAIL FROM.
    Mail,
    /// At RCPT TO.
    Rcpt,
    /// At DATA or in the content.
    Data,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "connect",
            Self::Command => "command",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
        })
    }
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// Signed with this identity.
    Sign {
        /// Number of the identity, as `identity list` shows it.
        identity: u32,
    },
    /// Passed on byte for byte because it is signed or encrypted already.
    PassUntouched,
    /// Passed on unsigned.
    Pass,
    /// Kept in the queue until the operator releases it.
    Hold,
}

/// An address with the prefix length of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpNetwork {
    /// The address itself, host bits included.
    pub address: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// A store on flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Store {
    /// The configuration.
    Settings,
    /// Identities and certificates.
    Identities,
    /// The queue.
    Queue,
    /// The event log on flash.
    Events,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Settings => "settings",
            Self::Identities => "identities",
            Self::Queue => "queue",
            Self::Events => "events",
        })
    }
}

/// How the TPM is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TpmState {
    /// It answers and its storage key is there.
    Ready,
    /// It answered an error; see the text.
    Failed,
    /// There is none.
    Absent,
}

impl fmt::Display for TpmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Absent => "absent",
        })
    }
}

/// One thing that happened. Texts are borrowed, whatever their origin: they are cut and escaped where they are stored
/// and printed. `Display` writes the line of the [crate] without its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event<'a> {
    /// A message was committed to flash and answered with 250.
    Accepted {
        /// The message.
        id: QueueId,
        /// Reverse path; empty for `<>`.
        #[serde(borrow)]
        from: Address<'a>,
        /// The client.
        peer: IpAddr,
        /// What it called itself in EHLO or HELO.
        helo: Text<'a>,
        /// `SMTP`, `ESMTP` …: the keyword of the Received field.
        protocol: Text<'a>,
        /// Octets as received, with the trace that was added.
        size: u32,
        /// Recipients of the message.
        recipients: u16,
    },
    /// A message's treatment was decided and, when signed, its recipe committed.
    Decided {
        /// The message.
        id: QueueId,
        /// What is done.
        decision: Decision,
        /// Why.
        reason: Text<'a>,
    },
    /// A recipient's next hop took the message.
    Delivered {
        /// The message.
        id: QueueId,
        /// The recipient.
        to: Address<'a>,
        /// The server that took it.
        peer: IpAddr,
        /// Octets sent.
        size: u32,
        /// Seconds from acceptance to delivery.
        delay_s: u32,
        /// Reply code, 250 as a rule.
        code: u16,
        /// Enhanced status, where the server gave one.
        status: Option<EnhancedStatus>,
        /// Text of the reply.
        reply: Text<'a>,
    },
    /// A recipient could not be served now and is tried again.
    Deferred {
        /// The message.
        id: QueueId,
        /// The recipient.
        to: Address<'a>,
        /// The server, if the attempt got that far.
        peer: Option<IpAddr>,
        /// Reply code; 0 if there was no reply.
        code: u16,
        /// Enhanced status, the server's or our own.
        status: Option<EnhancedStatus>,
        /// Text of the reply, or what went wrong.
        reply: Text<'a>,
        /// Seconds until the next attempt.
        retry_s: u32,
    },
    /// A recipient will never be served.
    Failed {
        /// The message.
        id: QueueId,
        /// The recipient.
        to: Address<'a>,
        /// The server, if the attempt got that far.
        peer: Option<IpAddr>,
        /// Reply code; 0 if there was no reply.
        code: u16,
        /// Enhanced status, the server's or our own.
        status: Option<EnhancedStatus>,
        /// Text of the reply, or what went wrong.
        reply: Text<'a>,
    },
    /// A peer was refused something.
    Refused {
        /// The client.
        peer: IpAddr,
        /// Where in the session.
        stage: Stage,
        /// Reverse path, if there was one.
        from: Address<'a>,
        /// Recipient, if there was one.
        to: Address<'a>,
        /// Octets of the message that had arrived.
        size: u32,
        /// Reply code.
        code: u16,
        /// Enhanced status.
        status: EnhancedStatus,
        /// Why.
        reason: Text<'a>,
    },
    /// A message waits for the operator.
    Held {
        /// The message.
        id: QueueId,
        /// Why.
        reason: Text<'a>,
    },
    /// A report about a message was put into the queue.
    Reported {
        /// The message that it is about.
        id: QueueId,
        /// The report.
        report: QueueId,
        /// Who gets it.
        to: Address<'a>,
        /// `failure`, `delay`, `success` or `undeliverable`.
        about: Text<'a>,
        /// Recipients that it names.
        recipients: u16,
    },
    /// The operator let a held message go.
    Released {
        /// The message.
        id: QueueId,
    },
    /// A message left the queue.
    Removed {
        /// The message.
        id: QueueId,
        /// `delivered`, `failed`, `by operator` …
        reason: Text<'a>,
    },
    /// The firmware has started.
    Boot {
        /// Version of the firmware.
        version: Text<'a>,
        /// Why it started: `power-on`, `reboot`, `panic` …
        cause: Text<'a>,
    },
    /// What was found on flash.
    Mounted {
        /// Which store.
        store: Store,
        /// Valid records.
        records: u32,
        /// Records that a cut had left half-written, and which do not count.
        torn: u32,
        /// Blocks that are blank or foreign: free, and formatted when they are needed.
        blank: u32,
        /// Microseconds that it took.
        micros: u32,
    },
    /// The network is usable.
    NetworkUp {
        /// Own address.
        address: IpNetwork,
        /// Default route.
        gateway: Option<IpAddr>,
    },
    /// The network is no longer usable.
    NetworkDown,
    /// An SMTP listener is open.
    Listening {
        /// TCP port.
        port: u16,
    },
    /// The clock was set.
    ClockSet {
        /// Seconds since 1970.
        unix: u64,
        /// `rtc`, `operator` …
        source: Text<'a>,
    },
    /// The TPM's state changed.
    Tpm {
        /// How it is.
        state: TpmState,
        /// Vendor, or the error.
        detail: Text<'a>,
    },
    /// The operator saved the configuration.
    SettingsSaved,
    /// The stored configuration could not be used, and the factory defaults are in force.
    SettingsReset {
        /// Why.
        reason: Text<'a>,
    },
    /// An identity was made, got a certificate or was removed.
    Identity {
        /// Its number.
        identity: u32,
        /// `generated`, `certified`, `removed`.
        action: Text<'a>,
        /// The address or `@domain` that it serves.
        serves: Address<'a>,
    },
    /// The operator or the firmware ends this run.
    Stopping {
        /// `reboot`, `factory-reset` …
        reason: Text<'a>,
    },
    /// Something went wrong that has no event of its own.
    Error {
        /// Part of the product, as its crate is called.
        area: Text<'a>,
        /// What went wrong.
        what: Text<'a>,
    },
}

/// How loud an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Info,
    /// Somebody may want to look.
    Warn,
    /// Somebody must look.
    Error,
}

impl Event<'_> {
    /// The word that follows the time in the line; one per kind of event, for `grep`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Accepted { .. } => "accepted",
            Self::Decided { .. } => "decided",
            Self::Delivered { .. } => "delivered",
            Self::Deferred { .. } => "deferred",
            Self::Failed { .. } => "failed",
            Self::Refused { .. } => "refused",
            Self::Held { .. } => "held",
            Self::Reported { .. } => "reported",
            Self::Released { .. } => "released",
            Self::Removed { .. } => "removed",
            Self::Boot { .. } => "boot",
            Self::Mounted { .. } => "mounted",
            Self::NetworkUp { .. } => "network-up",
            Self::NetworkDown => "network-down",
            Self::Listening { .. } => "listening",
            Self::ClockSet { .. } => "clock-set",
            Self::Tpm { .. } => "tpm",
            Self::SettingsSaved => "settings-saved",
            Self::SettingsReset { .. } => "settings-reset",
            Self::Identity { .. } => "identity",
            Self::Stopping { .. } => "stopping",
            Self::Error { .. } => "error",
        }
    }

    /// How loud the event is.
    #[must_use]
    pub const fn level(&self) -> Level {
        match self {
            Self::Failed { .. }
            | Self::Deferred { .. }
            | Self::Refused { .. }
            | Self::Held { .. }
            | Self::NetworkDown
            | Self::Tpm { state: TpmState::Absent, .. } => Level::Warn,
            Self::Error { .. } | Self::SettingsReset { .. } | Self::Tpm { state: TpmState::Failed, .. } => {
                Level::Error
            }
            _ => Level::Info,
        }
    }
}

/// ` status=5.7.1`, or nothing.
struct Status(Option<EnhancedStatus>);

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(status) => write!(f, " status={status}"),
            None => Ok(()),
        }
    }
}

/// ` peer=192.0.2.1`, or nothing.
struct Peer(Option<IpAddr>);

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => write!(f, " peer={peer}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match *self {
            Self::Accepted { id, from, peer, helo, protocol, size, recipients } => write!(
                f,
                " id={id} from={from} peer={peer} helo={helo} proto={} size={size} rcpts={recipients}",
                protocol.bare()
            ),
            Self::Decided { id, decision, reason } => {
                write!(f, " id={id} decision=")?;
                match decision {
                    Decision::Sign { identity } => write!(f, "sign identity={identity}")?,
                    Decision::PassUntouched => f.write_str("pass-untouched")?,
                    Decision::Pass => f.write_str("pass")?,
                    Decision::Hold => f.write_str("hold")?,
                }
                write!(f, " reason={reason}")
            }
            Self::Delivered { id, to, peer, size, delay_s, code, status, reply } => write!(
                f,
                " id={id} to={to} peer={peer} size={size} delay={delay_s}s code={code}{} reply={reply}",
                Status(status)
            ),
            Self::Deferred { id, to, peer, code, status, reply, retry_s } => write!(
                f,
                " id={id} to={to}{} code={code}{} retry={retry_s}s reply={reply}",
                Peer(peer),
                Status(status)
            ),
            Self::Failed { id, to, peer, code, status, reply } => {
                write!(f, " id={id} to={to}{} code={code}{} reply={reply}", Peer(peer), Status(status))
            }
            Self::Refused { peer, stage, from, to, size, code, status, reason } => write!(
                f,
                " peer={peer} stage={stage} from={from} to={to} size={size} code={code} status={status} reason={reason}"
            ),
            Self::Held { id, reason } | Self::Removed { id, reason } => write!(f, " id={id} reason={reason}"),
            Self::Reported { id, report, to, about, recipients } => {
                write!(f, " id={id} report={report} to={to} about={about} rcpts={recipients}")
            }
            Self::Released { id } => write!(f, " id={id}"),
            Self::Boot { version, cause } => write!(f, " version={} cause={}", version.bare(), cause.bare()),
            Self::Mounted { store, records, torn, blank, micros } => write!(
                f,
                " store={store} records={records} torn={torn} blank={blank} took={}.{:03}ms",
                micros / 1_000,
                micros % 1_000
            ),
            Self::NetworkUp { address, gateway: Some(gateway) } => {
                write!(f, " address={address} gateway={gateway}")
            }
            Self::NetworkUp { address, gateway: None } => write!(f, " address={address}"),
            Self::NetworkDown | Self::SettingsSaved => Ok(()),
            Self::Listening { port } => write!(f, " port={port}"),
            Self::ClockSet { unix, source } => {
                write!(f, " time={} source={}", LogDate(Some(unix)), source.bare())
            }
            Self::Tpm { state, detail } => write!(f, " state={state} detail={detail}"),
            Self::SettingsReset { reason } | Self::Stopping { reason } => write!(f, " reason={reason}"),
            Self::Identity { identity, action, serves } => {
                write!(f, " identity={identity} action={} serves={serves}", action.bare())
            }
            Self::Error { area, what } => write!(f, " area={} what={what}", area.bare()),
        }
    }
}
