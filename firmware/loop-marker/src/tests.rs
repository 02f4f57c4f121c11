use super::*;
use alloc::string::{String, ToString};
use alloc::vec;
use proptest::prelude::*;

fn key() -> Key {
    Key::new(&[7; 32])
}

fn written(key: &Key, marker: &Marker) -> Vec<u8> {
    let mut out = Vec::new();
    key.write(marker, &mut out);
    assert_eq!(out.len(), FIELD_BYTES);
    out
}

fn marker(passes: u8, direction: Direction, to: &mut [&str]) -> Marker {
    Marker { passes, direction, recipients: key().recipients(to) }
}

#[test]
fn a_marker_is_a_folded_field_whose_first_word_is_the_token() {
    let key = key();
    let field =
        String::from_utf8(written(&key, &marker(1, Direction::In, &mut ["ann@example.org"]))).unwrap();
    assert!(
        field.starts_with(&alloc::format!("X-Stargate-Loop: {}; n=1; d=in;  to=", key.token())),
        "{field}"
    );
    assert_eq!(key.token().to_string().len(), 16);
    assert!(
        field.ends_with("\r\n") && field.lines().count() == 2 && field.lines().all(|line| line.len() <= 78)
    );
    assert_ne!(Key::new(&[8; 32]).token(), key.token());
}

#[test]
fn a_marker_reads_back_however_a_server_folds_it() {
    let key = key();
    for direction in [Direction::In, Direction::Out] {
        for passes in 1..=LOOP_PASSES_MAX {
            let marker = marker(passes, direction, &mut ["a@example.org", "b@example.org"]);
            let field = written(&key, &marker);
            assert_eq!(key.read(&field), Ok(marker));
            let text = String::from_utf8(field).unwrap();
            for other in [
                text.replace("\r\n m", " m"),
                text.replace("; ", ";\r\n\t"),
                text.replace("; ", ";"),
                text.replace("X-Stargate-Loop: ", "x-stargate-loop :  "),
                text.trim_end().to_string(),
            ] {
                assert_eq!(key.read(other.as_bytes()), Ok(marker), "{other}");
            }
        }
    }
}

#[test]
fn what_another_appliance_wrote_is_foreign_and_what_nobody_wrote_is_forged() {
    let (key, other) = (key(), Key::new(&[8; 32]));
    let ours = marker(1, Direction::Out, &mut ["a@example.org"]);
    assert_eq!(key.read(&written(&other, &ours)), Err(NotOurs::Foreign));
    assert_eq!(key.read(b"X-Stargate-Loop: valid\r\n"), Err(NotOurs::Foreign));
    assert_eq!(key.read(b"X-Stargate-Loop"), Err(NotOurs::Foreign));
    // The token is no secret to those who get mail.
    let known = alloc::format!("X-Stargate-Loop: {}; n=1; d=in; to=", key.token());
    assert_eq!(key.read(known.as_bytes()), Err(NotOurs::Forged));
    let text = String::from_utf8(written(&key, &ours)).unwrap();
    for (from, to) in
        [("n=1", "n=2"), ("d=out", "d=in"), ("n=1", "n=0"), ("; n=1", "; n=1; n=1"), ("m=", "m=00")]
    {
        assert_eq!(key.read(text.replace(from, to).as_bytes()), Err(NotOurs::Forged), "{from} -> {to}");
    }
    assert_eq!(key.read(text.replace("\r\n m", "; x\r\n m").as_bytes()), Err(NotOurs::Forged));
}

#[test]
fn recipients_are_the_same_in_any_order_and_case_and_different_in_any_other_way() {
    let key = key();
    let same = key.recipients(&mut ["a@example.org", "b@example.org"]);
    assert_eq!(key.recipients(&mut ["B@Example.org", "A@example.ORG"]), same);
    assert_ne!(key.recipients(&mut ["a@example.org"]), same);
    assert_ne!(key.recipients(&mut ["a@example.orgb@example.org"]), same);
    assert_ne!(key.recipients(&mut ["a@example.org", "b@example.org", "b@example.org"]), same);
    assert_ne!(key.recipients(&mut ["a@example.org", "b@example.orh"]), same);
    assert_ne!(Key::new(&[8; 32]).recipients(&mut ["a@example.org", "b@example.org"]), same);
}

#[test]
fn a_rule_without_exception_is_found_at_the_first_return() {
    let to = key().recipients(&mut ["ann@example.org"]);
    assert_eq!(judge(None, Direction::In, to), Judgement::GoesOn { passes: 0 });
    let first = Marker { passes: 1, direction: Direction::In, recipients: to };
    assert_eq!(judge(Some(&first), Direction::In, to), Judgement::Loops { passes: 1 });
}

#[test]
fn a_server_that_splits_messages_is_found_at_the_second_return() {
    let all = key().recipients(&mut ["ann@example.org", "bob@example.org"]);
    let one = key().recipients(&mut ["ann@example.org"]);
    let first = Marker { passes: 1, direction: Direction::Out, recipients: all };
    assert_eq!(judge(Some(&first), Direction::Out, one), Judgement::GoesOn { passes: 1 });
    let second = Marker { passes: 2, direction: Direction::Out, recipients: one };
    assert_eq!(judge(Some(&second), Direction::Out, one), Judgement::Loops { passes: 2 });
}

#[test]
fn what_is_redirected_outward_and_forwarded_goes_on_but_not_for_ever() {
    let (inside, outside) =
        (key().recipients(&mut ["ann@example.org"]), key().recipients(&mut ["x@elsewhere.example"]));
    let mut passes = 0;
    let mut found = None;
    for pass in 0..100 {
        let (direction, recipients) =
            if pass % 2 == 0 { (Direction::In, inside) } else { (Direction::Out, outside) };
        match judge(found.as_ref(), direction, recipients) {
            Judgement::GoesOn { passes: before } => {
                passes = before + 1;
                found = Some(Marker { passes, direction, recipients });
            }
            Judgement::Loops { passes } => {
                assert_eq!(passes, LOOP_PASSES_MAX);
                return;
            }
        }
    }
    panic!("{passes} passes and no end");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_makes_a_marker_without_the_key(
        secret: [u8; 32], theirs: [u8; 32], passes in 1u8..=5, out: bool, at in 0usize..FIELD_BYTES, octet: u8,
    ) {
        prop_assume!(secret != theirs);
        let (key, other) = (Key::new(&secret), Key::new(&theirs));
        let direction = if out { Direction::Out } else { Direction::In };
        let marker = Marker { passes, direction, recipients: key.recipients(&mut ["a@example.org"]) };
        let field = written(&key, &marker);
        prop_assert_eq!(key.read(&field), Ok(marker));
        prop_assert!(other.read(&field).is_err());
        // Whoever knows the token, and has another key, or only changes an octet.
        let mut forged = written(&other, &marker);
        forged[17..33].copy_from_slice(&field[17..33]);
        prop_assert_eq!(key.read(&forged), Err(NotOurs::Forged));
        let mut changed = field.clone();
        changed[at] = octet;
        match key.read(&changed) {
            Ok(read) => prop_assert_eq!(read, marker, "only its writing has changed"),
            Err(_) => prop_assert!(changed != field),
        }
    }

    #[test]
    fn no_octets_at_all_are_more_than_an_error(field in prop::collection::vec(any::<u8>(), 0..300)) {
        let key = key();
        prop_assert!(key.read(&field).is_err());
        let mut with_token = vec![];
        with_token.extend_from_slice(alloc::format!("X-Stargate-Loop: {};", key.token()).as_bytes());
        with_token.extend_from_slice(&field);
        prop_assert_eq!(key.read(&with_token), Err(NotOurs::Forged));
    }
}
