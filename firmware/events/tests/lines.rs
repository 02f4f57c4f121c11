//! One line of every event, compared with `lines.out`. `BLESS=1 cargo test -p events` writes the file anew.
#![allow(clippy::unwrap_used, reason = "a test ends in a panic")]

use core::net::IpAddr;
use envelope::{EnhancedStatus, QueueId};
use events::{Decision, Event, IpNetwork, Log, Stage, Stamp, Store, TpmState};

#[test]
fn every_event_prints_the_line_that_is_promised() {
    let id = QueueId(12_345_678_901);
    let (client, server): (IpAddr, IpAddr) = ("192.0.2.25".parse().unwrap(), "2001:db8::25".parse().unwrap());
    let (from, to) = ("anna@example.org".into(), "bert@example.net".into());
    let status = Some(EnhancedStatus(2, 0, 0));
    let down = Some(EnhancedStatus(4, 4, 1));
    let events = [
        Event::Accepted {
            id,
            from,
            peer: client,
            helo: "mail.example.org".into(),
            protocol: "ESMTP".into(),
            size: 1_234,
            recipients: 2,
        },
        Event::Accepted {
            id,
            from: "".into(),
            peer: client,
            helo: "\x1b[2J evil\r\n".into(),
            protocol: "SMTP".into(),
            size: 9,
            recipients: 1,
        },
        Event::Decided {
            id,
            decision: Decision::Sign { identity: 3 },
            reason: "sender has an identity".into(),
        },
        Event::Decided { id, decision: Decision::PassUntouched, reason: "already signed".into() },
        Event::Decided { id, decision: Decision::Pass, reason: "no identity, and policy says pass".into() },
        Event::Decided { id, decision: Decision::Hold, reason: "no identity for the sender".into() },
        Event::Delivered {
            id,
            to,
            peer: server,
            size: 4_321,
            delay_s: 2,
            code: 250,
            status,
            reply: "Ok: queued as 4B1F".into(),
        },
        Event::Deferred {
            id,
            to,
            peer: Some(server),
            code: 451,
            status: down,
            reply: "try \"later\"".into(),
            retry_s: 60,
        },
        Event::Deferred {
            id,
            to,
            peer: None,
            code: 0,
            status: down,
            reply: "no next hop is set".into(),
            retry_s: 60,
        },
        Event::Failed { id, to, peer: Some(server), code: 550, status: None, reply: "no such user".into() },
        Event::Refused {
            peer: client,
            stage: Stage::Rcpt,
            from,
            to: "x> id=1 <y".into(),
            size: 0,
            code: 554,
            status: EnhancedStatus(5, 7, 1),
            reason: "relay access denied".into(),
        },
        Event::Held { id, reason: "by operator".into() },
        Event::Reported { id, report: QueueId(id.0 + 1), to: from, about: "failure".into(), recipients: 2 },
        Event::Released { id },
        Event::Removed { id, reason: "delivered".into() },
        Event::Boot { version: "0.1.0".into(), cause: "power-on".into() },
        Event::Mounted { store: Store::Queue, records: 100, torn: 1, blank: 0, micros: 12_034 },
        Event::NetworkUp {
            address: IpNetwork { address: "10.0.2.15".parse().unwrap(), prefix: 24 },
            gateway: Some("10.0.2.2".parse().unwrap()),
        },
        Event::NetworkUp { address: IpNetwork { address: client, prefix: 30 }, gateway: None },
        Event::NetworkDown,
        Event::Listening { port: 25 },
        Event::ClockSet { unix: 1_795_357_845, source: "rtc".into() },
        Event::Tpm { state: TpmState::Ready, detail: "IBM SW TPM".into() },
        Event::SettingsSaved,
        Event::SettingsReset { reason: "stored by a newer firmware (format 9)".into() },
        Event::Identity { identity: 3, action: "generated".into(), serves: "@example.org".into() },
        Event::Stopping { reason: "reboot".into() },
        Event::Error { area: "spool".into(), what: "a record does not read back".into() },
    ];
    let log = Box::new(Log::new());
    for (second, event) in (0u64..).zip(&events) {
        let unix = (second % 2 == 0).then_some(1_795_357_845 + second);
        log.record(Stamp { micros: second * 1_001_000, unix }, event);
    }
    let mut lines = String::new();
    let mut cursor = log.tail(u64::MAX);
    let mut at = 0;
    while let Some(line) = log.next(&mut cursor, |entry| {
        assert_eq!(entry.event, events[at]);
        entry.to_string()
    }) {
        lines += &line;
        lines.push('\n');
        at += 1;
    }
    assert_eq!(at, events.len());

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lines.out");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, &lines).unwrap();
    }
    assert_eq!(lines, std::fs::read_to_string(file).unwrap_or_default(), "differs from {file}");
}
