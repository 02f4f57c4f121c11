//! Commands as data.

use alloc::string::String;
use alloc::vec::Vec;
use envelope::QueueId;

/// What `show` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// `show`, `show settings`: every setting with its value, drafts marked.
    Settings,
    /// `show config`: `set` lines that can be pasted back.
    Config,
    /// Address, gateway, name servers, link, connections.
    Network,
    /// Static, heap and stack memory with high-water marks.
    Memory,
    /// What was counted since the start.
    Counters,
    /// Blocks, free space and wear of the data flash.
    Flash,
    /// Civil time, its source, time since the start.
    Time,
    /// Version of the firmware.
    Version,
    /// Every next hop that has mail or was heard of, and how it is.
    Destinations,
    /// The table of routes.
    Routes,
    /// Who may do what, in words.
    Peers,
    /// The own domains, with where their mail goes.
    Domains,
    /// The addresses with actions.
    Actions,
    /// Where mail goes that leaves.
    Relay,
    /// What each client has done since the start.
    Clients,
    /// Which addresses may relay.
    Networks,
    /// What happens to mail on its way through.
    Filter,
    /// As `queue`.
    Queue,
    /// As `identity list`.
    Identities,
}

/// A table whose rows are added and removed by commands of the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// `peer`.
    Peers,
    /// `domain`.
    Domains,
    /// `route`.
    Routes,
    /// `action`.
    Actions,
}

/// Which algorithm an identity's key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA with 2,048 bits.
    Rsa,
    /// ECDSA on NIST P-256.
    P256,
}

/// Which messages of the queue are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueTarget {
    /// One message.
    One(QueueId),
    /// All of them.
    All,
    /// Those with recipients in this domain, which has been checked; letter case has no meaning.
    Domain(String),
}

/// What `diag` looks at beyond the appliance itself. Words are as typed and not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// `diag dns DOMAIN [from ADDRESS]`: the records of a domain; SPF for our addresses, or for the one that is given.
    Dns {
        /// The domain.
        domain: String,
        /// What if mail came from there.
        from: Option<String>,
    },
    /// `diag smtp HOST[:PORT]`: connects and says hello.
    Smtp(String),
    /// `diag route ADDRESS`: where mail for an address goes, down to the hosts' addresses.
    Route(String),
    /// `diag dnsbl [ADDRESS]`: whether block lists have our addresses, or the one that is given.
    Dnsbl(Option<String>),
    /// `diag exchange [DOMAIN]`: everything between Exchange and this appliance, for one internal domain or for all.
    Exchange(Option<String>),
}

/// One name and value of the set-up dialogue. Most names are those of settings; the others are for the executor to understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Name of the setting or question.
    pub name: &'static str,
    /// Its new value as typed.
    pub value: String,
}

/// What the operator wants. The grammar has been checked, and every confirmation has been asked for and given; what
/// only the rest of the appliance can know (does the identity exist, is the value valid) is for the executor to check.
/// Strings are bounded by `limits::console::LINE_BYTES_MAX` and `PASTE_BYTES_MAX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `show [TOPIC]`.
    Show(Topic),
    /// `set NAME VALUE…`: changes the draft. `value` is the rest of the line, trimmed, without surrounding quotes;
    /// lists also take `add VALUE` and `remove VALUE`.
    Set {
        /// Name of the setting, one of those that [`Console::new`](crate::Console::new) was given.
        name: String,
        /// Its new value as typed.
        value: String,
    },
    /// `save`: checks the draft as a whole, stores it and puts it in force.
    Save,
    /// `discard`: drops the draft.
    Discard,
    /// The set-up dialogue begins; answer with [`Console::setup`](crate::Console::setup).
    Setup,
    /// The set-up dialogue asks whether an answer is valid on its own: check it against a copy of the settings, print
    /// one line if it is not, keep nothing.
    TryAnswer(Answer),
    /// The set-up dialogue is complete: apply all answers to a copy of the settings in force, check it as a whole, store
    /// it and put it in force; print one line if it is refused.
    ApplySetup(Vec<Answer>),
    /// `identity generate rsa|p256 ADDRESS|@DOMAIN`.
    IdentityGenerate {
        /// Algorithm of the key.
        kind: KeyKind,
        /// `user@example.org` or `@example.org`; only the shape has been checked.
        serves: String,
    },
    /// `identity csr ID`.
    IdentityCsr(u32),
    /// `identity import ID` begins: whether there is such an identity. After [`Outcome::Done`](crate::Outcome::Done) the
    /// console asks for the certificates.
    IdentityImportBegin(u32),
    /// `identity import ID` with the pasted PEM text.
    IdentityImport {
        /// Number of the identity.
        id: u32,
        /// What was pasted, lines ended by LF.
        pem: String,
    },
    /// `identity list`.
    IdentityList,
    /// `identity remove ID`, confirmed.
    IdentityRemove(u32),
    /// `queue`.
    QueueList,
    /// `queue show ID`.
    QueueShow(QueueId),
    /// `queue summary`.
    QueueSummary,
    /// `queue retry ID|all|DOMAIN`: next attempt now.
    QueueRetry(QueueTarget),
    /// `queue hold ID|all|DOMAIN`.
    QueueHold(QueueTarget),
    /// `queue release ID|all|DOMAIN`.
    QueueRelease(QueueTarget),
    /// `queue bounce ID|all|DOMAIN`; confirmed, unless it is one message.
    QueueBounce(QueueTarget),
    /// `queue remove ID|all|DOMAIN`; confirmed, unless it is one message.
    QueueRemove(QueueTarget),
    /// `peer|domain|route|action add ROW…`: the rest of the line as typed, not checked.
    RowAdd {
        /// The table.
        rows: Rows,
        /// The row as typed.
        text: String,
    },
    /// `peer|domain|route|action remove NAME`.
    RowRemove {
        /// The table.
        rows: Rows,
        /// Which row, as typed.
        name: String,
    },
    /// `peer source NAME add|remove SOURCE[,SOURCE…]`; as typed.
    PeerSource {
        /// Which peer.
        name: String,
        /// Whether sources are added.
        add: bool,
        /// The sources.
        sources: String,
    },
    /// `peer test ADDRESS [on LISTENER|ifN]`; as typed.
    PeerTest {
        /// Address of the client.
        address: String,
        /// Where it connects.
        on: Option<String>,
    },
    /// `peer confirm`, confirmed: the rules that could be read are all that there are to be.
    PeerConfirm,
    /// `route test ADDRESS|DOMAIN|<>`: an address or domain as typed, or the null sender.
    RouteTest(String),
    /// `log tail [N]`: the last lines.
    LogTail(u32),
    /// `diag`: checks network, flash, TPM, clock and next hop, one line each.
    Diag,
    /// `diag` with a verb.
    Check(Check),
    /// `time set YYYY-MM-DDTHH:MM:SSZ`: seconds since 1970.
    TimeSet(u64),
    /// `reboot`.
    Reboot,
    /// `factory-reset`, confirmed.
    FactoryReset,
}
