//! Reports are read by Python's email package, which shares no line of code with us.

mod common;

use common::{MESSAGE, NOON, envelope_id, original, recipient, render, report, survey};
use dsn::{Action, Occasion, Recipient, Report};
use std::process::Command;

fn read_by_python(name: &str, octets: &[u8], expected: &str) {
    let path = std::env::temp_dir().join(format!("stargate-dsn-{}-{name}.eml", std::process::id()));
    std::fs::write(&path, octets).expect("writable");
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/read.py"))
        .arg(&path)
        .output()
        .expect("python3 is installed (Debian: apt install python3)");
    std::fs::remove_file(&path).expect("removable");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{name}");
}

#[test]
fn a_failure_is_read_as_it_was_meant() {
    let id = envelope_id("QQ314159+20a");
    let named = original("rfc822;Reader+2Bmail@Example.net");
    let report =
        Report { envelope_id: Some(&id), ..report(Occasion::Failure, survey(MESSAGE).headers(false, None)) };
    let recipients = [
        Recipient {
            original: Some(&named),
            remote: Some("mx.example.net"),
            last_attempt: Some(NOON),
            ..recipient("reader@example.net", Action::Failed, "550 5.1.1 No such user here")
        },
        recipient("other@example.net", Action::Relayed, "250 2.1.5 OK"),
    ];
    read_by_python(
        "failure",
        &render(report, &recipients, MESSAGE),
        "multipart/report delivery-status to=author@example.org auto-submitted=auto-replied\n\
         part text/plain\n\
         part message/delivery-status\n\
         message original-envelope-id=QQ314159 a\n\
         message reporting-mta=dns; stargate.example.com\n\
         message received-from-mta=dns; client.example.org\n\
         message arrival-date=Sat, 21 Nov 2026 14:30:45 +0000\n\
         recipient original-recipient=rfc822; Reader+mail@Example.net\n\
         recipient final-recipient=rfc822; reader@example.net\n\
         recipient action=failed\n\
         recipient status=5.1.1\n\
         recipient remote-mta=dns; mx.example.net\n\
         recipient diagnostic-code=smtp; 550 5.1.1 No such user here\n\
         recipient last-attempt-date=Sun, 22 Nov 2026 14:30:45 +0000\n\
         recipient final-recipient=rfc822; other@example.net\n\
         recipient action=relayed\n\
         recipient status=2.1.5\n\
         recipient diagnostic-code=smtp; 250 2.1.5 OK\n\
         part text/rfc822-headers\n\
         returned subject=Quarterly figures\n\
         returned from=Author <author@example.org>\n",
    );
}

#[test]
fn a_returned_message_is_the_message() {
    let message = [MESSAGE, "Gr\u{fc}\u{df}e\r\n--=_report_6162\r\n.\r\nFrom here\r\n".as_bytes()].concat();
    let report = report(Occasion::Failure, survey(&message).message(false).expect("fit"));
    let octets = render(report, &[recipient("reader@example.net", Action::Failed, "550 no")], &message);
    // Octet for octet, before anybody reads it.
    assert!(octets.windows(message.len()).any(|w| w == message));
    read_by_python(
        "returned",
        &octets,
        "multipart/report delivery-status to=author@example.org auto-submitted=auto-replied\n\
         part text/plain\n\
         part message/delivery-status\n\
         message reporting-mta=dns; stargate.example.com\n\
         message received-from-mta=dns; client.example.org\n\
         message arrival-date=Sat, 21 Nov 2026 14:30:45 +0000\n\
         recipient final-recipient=rfc822; reader@example.net\n\
         recipient action=failed\n\
         recipient status=5.0.0\n\
         recipient diagnostic-code=smtp; 550 no\n\
         part message/rfc822\n\
         returned subject=Quarterly figures\n\
         returned from=Author <author@example.org>\n",
    );
}

#[test]
fn quoted_headers_are_read_back() {
    let message =
        "From: J\u{fc}rgen <author@example.org>\r\nSubject: Gr\u{fc}\u{df}e\r\n\r\nHallo\r\n".as_bytes();
    let report = report(Occasion::Failure, survey(message).headers(false, None));
    read_by_python(
        "quoted",
        &render(report, &[recipient("reader@example.net", Action::Failed, "gone")], message),
        "multipart/report delivery-status to=author@example.org auto-submitted=auto-replied\n\
         part text/plain\n\
         part message/delivery-status\n\
         message reporting-mta=dns; stargate.example.com\n\
         message received-from-mta=dns; client.example.org\n\
         message arrival-date=Sat, 21 Nov 2026 14:30:45 +0000\n\
         recipient final-recipient=rfc822; reader@example.net\n\
         recipient action=failed\n\
         recipient status=5.0.0\n\
         recipient diagnostic-code=x-stargate; gone\n\
         part text/rfc822-headers\n\
         returned subject=Gr\u{fc}\u{df}e\n\
         returned from=J\u{fc}rgen <author@example.org>\n",
    );
}

#[test]
fn a_thousand_recipients_fit_one_report() {
    let report = report(Occasion::Failure, survey(MESSAGE).headers(false, None));
    let recipients = vec![recipient("reader@example.net", Action::Failed, "550 5.1.1 No such user"); 1_000];
    let octets = render(report, &recipients, MESSAGE);
    let text = String::from_utf8(octets).expect("ASCII");
    assert_eq!(text.matches("\r\nFinal-Recipient: rfc822; reader@example.net\r\n").count(), 1_000);
}
