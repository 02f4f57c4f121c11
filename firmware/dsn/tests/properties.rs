//! Whatever comes from outside, a report is a well-formed message.

mod common;

use common::{render, survey};
use dsn::{Action, Occasion, Recipient, Report};
use envelope::{EnvelopeId, OriginalRecipient, QueueId};
use proptest::prelude::*;

fn fixed_seed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(3_464),
        ..ProptestConfig::default()
    }
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        Just(Action::Failed),
        Just(Action::Delayed),
        Just(Action::Delivered),
        Just(Action::Relayed),
        Just(Action::Expanded)
    ]
}

/// Text that somebody hostile may have sent.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[ -~]{0,1200}",
        Just("\r\nX-Injected: 1\r\n\r\n--=_report_6465666768696a6b--\r\n".to_owned()),
        Just("550 5.1.1 a\r\n b\n\u{2028}c\u{202e}".to_owned()),
        Just("5\u{fc}0 x".to_owned()),
        "[2-5][0-9]{2}[ -]?([245]\\.[0-9]{1,4}\\.[0-9]{1,4})? ?[ -~]{0,600}",
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"Subject: x\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just("Subject: \u{fc}\r\n".as_bytes().to_vec()),
        Just(b"\xff\xfe\r\n".to_vec()),
        Just(b"From x\r\n".to_vec()),
        Just(b"--=_x\r\n".to_vec()),
        Just(vec![b'y'; 1_200]),
        proptest::collection::vec(any::<u8>(), 0..60),
    ];
    proptest::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

/// Checks that `octets` are lines of at most 998 octets that end in CRLF, and nothing else.
fn assert_lines(octets: &[u8]) -> Result<(), TestCaseError> {
    prop_assert!(octets.ends_with(b"\r\n"));
    for line in octets.split_inclusive(|b| *b == b'\n') {
        prop_assert!(line.ends_with(b"\r\n"));
        let line = &line[..line.len() - 2];
        prop_assert!(line.len() <= 998, "{}", line.len());
        prop_assert!(!line.contains(&b'\r') && !line.contains(&0), "{line:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(fixed_seed(1_500))]

    #[test]
    fn any_input_makes_a_well_formed_report(
        texts in proptest::collection::vec(text(), 8),
        actions in proptest::collection::vec(action(), 1..4),
        occasion in prop_oneof![
            Just(Occasion::Failure),
            Just(Occasion::Success),
            Just(Occasion::Undeliverable),
            any::<(u64, u64)>().prop_map(|(waited_s, remaining_s)| Occasion::Delay { waited_s, remaining_s }),
        ],
        message in message(),
        international in any::<bool>(),
        whole in any::<bool>(),
        time in any::<Option<u64>>(),
    ) {
        let survey = survey(&message);
        let returned = match survey.message(international) {
            Ok(returned) if whole => returned,
            Ok(_) => survey.headers(international, None),
            Err(omitted) => survey.headers(international, Some(omitted)),
        };
        let id = EnvelopeId::parse(texts[0].as_bytes()).ok();
        let original = OriginalRecipient::parse(format!("utf-8;{}", texts[1]).as_bytes()).ok();
        let report = Report {
            host: &texts[2],
            to: &texts[3],
            occasion,
            id: QueueId(7),
            random: *b"0123456789ABCDEF",
            now: time,
            arrived: time,
            received_from: &texts[4],
            envelope_id: id.as_ref(),
            international,
            returned,
        };
        let recipients: Vec<Recipient<'_>> = actions
            .into_iter()
            .map(|action| Recipient {
                address: &texts[5],
                original: original.as_ref(),
                action,
                reply: &texts[6],
                remote: Some(&texts[7]),
                last_attempt: time,
                retry_until: time,
            })
            .collect();
        let eight_bit = report.is_eight_bit();
        let octets = render(report, &recipients, &message);
        assert_lines(&octets)?;
        prop_assert!(eight_bit || octets.is_ascii());
        // Nothing that was put in begins a line of its own: the delimiters are ours, four of them.
        let delimiters = octets.windows(19).filter(|w| w == b"\r\n--=_report_383941").count();
        prop_assert_eq!(delimiters, 4);
        let (ours, theirs) = octets.split_at(octets.len() - message.len().min(octets.len()));
        _ = theirs;
        prop_assert!(!ours.windows(12).any(|w| w == b"\nX-Injected:"));
    }
}
