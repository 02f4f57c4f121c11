//! Whole reports, octet for octet. `BLESS=1 cargo test -p dsn` writes them anew.

mod common;

use common::{MESSAGE, NOON, envelope_id, original, recipient, render, report, survey};
use dsn::{Action, Occasion, Recipient, Report};
use std::path::Path;

fn check(name: &str, octets: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name).with_extension("txt");
    let text = String::from_utf8(octets.to_vec()).expect("UTF-8").replace("\r\n", "\n");
    assert!(!text.contains('\r'));
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &text).expect("writable");
    }
    let expected = std::fs::read_to_string(&path).expect("a golden file");
    assert_eq!(text, expected, "{name}");
}

#[test]
fn failure_of_one_recipient_with_everything_known() {
    let id = envelope_id("QQ314159+20a");
    let named = original("rfc822;Reader+2Bmail@Example.net");
    let report =
        Report { envelope_id: Some(&id), ..report(Occasion::Failure, survey(MESSAGE).headers(false, None)) };
    let reader = Recipient {
        original: Some(&named),
        remote: Some("mx.example.net"),
        last_attempt: Some(NOON - 60),
        ..recipient("reader@example.net", Action::Failed, "550 5.1.1 No such user here")
    };
    check("failure", &render(report, &[reader], MESSAGE));
}

#[test]
fn failure_of_several_with_the_message_returned() {
    let report = report(Occasion::Failure, survey(MESSAGE).message(false).expect("fit"));
    let recipients = [
        recipient("full@example.net", Action::Failed, "552 5.2.2 Mailbox full"),
        recipient(
            "late@example.net",
            Action::Failed,
            "554 5.4.7 given up after its lifetime; last: no answer",
        ),
        recipient("policy@example.net", Action::Failed, "550 5.7.1 Rejected"),
        recipient("told@example.net", Action::Relayed, "250 2.1.5 OK"),
        recipient("old@example.net", Action::Failed, "no route to this domain"),
    ];
    check("failures", &render(report, &recipients, MESSAGE));
}

#[test]
fn delay_while_the_time_is_known() {
    let occasion = Occasion::Delay { waited_s: 4 * 3_600, remaining_s: 5 * 86_400 - 4 * 3_600 };
    let report = report(occasion, survey(MESSAGE).headers(false, None));
    let waiting = Recipient {
        last_attempt: Some(NOON - 60),
        retry_until: Some(NOON + 400_000),
        ..recipient("reader@example.net", Action::Delayed, "451 4.7.1 Greylisted")
    };
    check("delay", &render(report, &[waiting], MESSAGE));
}

#[test]
fn success_while_the_time_is_unknown() {
    let returned = survey(MESSAGE).headers(false, None);
    let report =
        Report { now: None, arrived: None, received_from: "", ..report(Occasion::Success, returned) };
    check("success", &render(report, &[recipient("reader@example.net", Action::Relayed, "250 OK")], MESSAGE));
}

#[test]
fn a_failed_report_for_the_postmaster() {
    let returned = survey(MESSAGE).headers(false, None);
    let report = Report { to: "postmaster@example.com", ..report(Occasion::Undeliverable, returned) };
    let lost = recipient("author@example.org", Action::Failed, "550 5.1.1 No such user");
    check("postmaster", &render(report, &[lost], MESSAGE));
}

#[test]
fn eight_bit_headers_are_quoted_for_readers_who_know_no_better() {
    let message =
        "From: J\u{fc}rgen <author@example.org>\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nHallo\r\n".as_bytes();
    let named = original("utf-8;\\x{FC}ber@example.net");
    let report = report(Occasion::Failure, survey(message).headers(false, None));
    assert!(!report.is_eight_bit());
    let reader = Recipient {
        original: Some(&named),
        ..recipient("reader@example.net", Action::Failed, "550 5.1.1 No such user")
    };
    check("quoted", &render(report, &[reader], message));
}

#[test]
fn an_international_report_says_everything_as_it_is() {
    let message =
        "From: J\u{fc}rgen <j\u{fc}rgen@example.org>\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nHallo\r\n".as_bytes();
    let named = original("utf-8;\\x{FC}ber@example.net");
    let report = Report {
        to: "j\u{fc}rgen@example.org",
        international: true,
        ..report(Occasion::Failure, survey(message).headers(true, None))
    };
    assert!(report.is_eight_bit());
    let reader = Recipient {
        original: Some(&named),
        ..recipient("\u{fc}ber+x@example.net", Action::Failed, "550 5.6.7 K\u{e4}nn ich nicht")
    };
    check("international", &render(report, &[reader], message));
}
