//! Reports made as an appliance makes them.
#![allow(dead_code)] // each test file uses a part of it

use dsn::{Action, Occasion, Recipient, Report, Returned, Survey};
use envelope::{EnvelopeId, OriginalRecipient, QueueId};
use limits::dsn::STEP_BYTES_MAX;

pub const MESSAGE: &[u8] = b"Received: from client.example.org\r\nFrom: Author <author@example.org>\r\n\
    To: reader@example.net\r\nSubject: Quarterly figures\r\nMessage-ID: <1@example.org>\r\n\r\nHere they are.\r\n";

/// 22 November 2026, 14:30:45.
pub const NOON: u64 = 1_795_357_845;

pub fn survey(message: &[u8]) -> Survey {
    let mut survey = Survey::new();
    survey.push(message);
    survey
}

pub fn report(occasion: Occasion, returned: Returned) -> Report<'static> {
    Report {
        host: "stargate.example.com",
        to: "author@example.org",
        occasion,
        id: QueueId(31_000_000_000),
        random: *b"0123456789abcdef",
        now: Some(NOON),
        arrived: Some(NOON - 86_400),
        received_from: "client.example.org",
        envelope_id: None,
        international: false,
        returned,
    }
}

pub fn recipient(address: &'static str, action: Action, reply: &'static str) -> Recipient<'static> {
    Recipient { address, original: None, action, reply, remote: None, last_attempt: None, retry_until: None }
}

pub fn envelope_id(xtext: &str) -> EnvelopeId {
    EnvelopeId::parse(xtext.as_bytes()).expect("valid")
}

pub fn original(text: &str) -> OriginalRecipient {
    OriginalRecipient::parse(text.as_bytes()).expect("valid")
}

/// Writes a report, and checks that no step takes more than its bound.
pub fn render(report: Report<'_>, recipients: &[Recipient<'_>], message: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    let mut out = Vec::new();
    let mut step = |out: &mut Vec<u8>| {
        assert!(out.len() <= STEP_BYTES_MAX, "{}", out.len());
        all.append(out);
    };
    let mut text = report.begin(&mut out);
    step(&mut out);
    for recipient in recipients {
        text.recipient(recipient, &mut out);
        step(&mut out);
    }
    let mut status = text.end(&mut out);
    step(&mut out);
    for recipient in recipients {
        status.recipient(recipient, &mut out);
        step(&mut out);
    }
    let mut content = status.end(&mut out);
    step(&mut out);
    for piece in message.chunks(777) {
        let more = content.push(piece, &mut out);
        step(&mut out);
        if !more {
            break;
        }
    }
    content.end(&mut out);
    step(&mut out);
    all
}
