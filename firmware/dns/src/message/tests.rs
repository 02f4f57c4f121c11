//! Messages by hand, by chance, and against another implementation.

use super::*;
use crate::record::{Association, Soa};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use proptest::prelude::*;

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn record(of: &str, data: Data) -> Record {
    Record { name: name(of), ttl: 300, data }
}

/// `dig MX example.com`, put together by hand after RFC 1035 §4: compressed names, EDNS0.
const MX_ANSWER: &[u8] = b"\x12\x34\x81\x80\0\x01\0\x02\0\0\0\x01\
    \x07eXample\x03com\0\0\x0f\0\x01\
    \xc0\x0c\0\x0f\0\x01\0\0\x01\x2c\0\x08\0\x0a\x03mx1\xc0\x0c\
    \xc0\x0c\0\x0f\0\x01\0\0\x01\x2c\0\x08\0\x14\x03mx2\xc0\x0c\
    \0\0\x29\x04\xd0\0\0\0\0\0\0";

#[test]
fn an_answer_by_hand_reads_as_it_is_meant() {
    let message = Message::decode(MX_ANSWER).expect("well formed");
    assert_eq!((message.id, message.code, message.edns_bytes), (0x1234, Code::NO_ERROR, Some(1_232)));
    assert!(message.response && message.recursion_desired && message.recursion_available);
    assert!(!message.truncated && !message.authoritative);
    assert_eq!(message.question, Some(Question { name: name("example.com"), kind: RecordType::MX }));
    let mx = |preference, exchange| record("example.com", Data::Mx { preference, exchange: name(exchange) });
    assert_eq!(message.answers, [mx(10, "mx1.example.com"), mx(20, "mx2.example.com")]);
    assert!(message.authorities.is_empty() && message.additional.is_empty());
}

#[test]
fn a_question_is_encoded_as_the_standard_draws_it() {
    let question = Question { name: name("a.bc"), kind: RecordType::AAAA };
    let octets = Message::query(0xbeef, question.clone(), Some(1_232)).encode(512);
    let expected = b"\xbe\xef\x01\0\0\x01\0\0\0\0\0\x01\x01a\x02bc\0\0\x1c\0\x01\0\0\x29\x04\xd0\0\0\0\0\0\0";
    assert_eq!(octets, expected);
    assert_eq!(
        Message::query(0xbeef, question, None).encode(512),
        [&expected[..11], &[0], &expected[12..22]].concat()
    );
}

/// A message whose answer section is `answer`, with one question for the root.
fn with_answer(count: u8, answer: &[u8]) -> alloc::vec::Vec<u8> {
    [&[0, 1, 0x80, 0, 0, 1, 0, count, 0, 0, 0, 0, 0, 0, 16, 0, 1][..], answer].concat()
}

#[test]
fn names_that_lead_nowhere_forward_or_in_circles_are_refused() {
    for odd in [
        // To itself; forward; back and forth; beyond the end; a label of a kind that does not exist.
        &b"\xc0\x11\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04"[..],
        b"\xc0\x13\x01a\0\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04",
        b"\x01a\xc0\x11\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04",
        b"\xff\xff\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04",
        b"\x80\x11\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04",
        b"\x40\x11\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04",
    ] {
        assert_eq!(Message::decode(&with_answer(1, odd)), Err(Malformed::Name), "{odd:x?}");
    }
}

#[test]
fn a_name_of_pointers_only_ends_soon() {
    // Each pointer leads to the one before it: allowed piece by piece, too many in all.
    let mut octets = with_answer(1, b"\0\0\x10\0\x01\0\0\0\0");
    let (length_at, first) = (octets.len(), octets.len() + 2);
    octets.extend([0, 0]);
    octets.extend(b"\x01a\0");
    for number in 0..100u16 {
        let target = if number == 0 { first } else { first + 3 + 2 * (usize::from(number) - 1) };
        octets.extend((0xc000 | target as u16).to_be_bytes());
    }
    let length = (octets.len() - first) as u16;
    octets[length_at..first].copy_from_slice(&length.to_be_bytes());
    octets[13 + 5 + 1] = 99;
    let last = octets.len() - 2;
    octets[7] = 2;
    octets.extend((0xc000 | last as u16).to_be_bytes());
    octets.extend(b"\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03\x04");
    assert_eq!(Message::decode(&octets), Err(Malformed::Name));
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    for (answer, error) in [
        (&b"\0\0\x01\0\x01\0\0\0\0\0\x03\x01\x02\x03"[..], Malformed::Data),
        (b"\0\0\x01\0\x01\0\0\0\0\0\x05\x01\x02\x03\x04\x05", Malformed::Data),
        (b"\0\0\x01\0\x01\0\0\0\0\0\x04\x01\x02\x03", Malformed::Short),
        (b"\0\0\x10\0\x01\0\0\0\0\0\x03\x03ab", Malformed::Data),
        (b"\0\0\x0f\0\x01\0\0\0\0\0\x01\0", Malformed::Data),
        (b"\0\0\x34\0\x01\0\0\0\0\0\x02\x03\x01", Malformed::Data),
        (b"\0\0\x06\0\x01\0\0\0\0\0\x06\0\0\0\0\0\0", Malformed::Data),
        (b"", Malformed::Short),
    ] {
        assert_eq!(Message::decode(&with_answer(1, answer)), Err(error), "{answer:x?}");
    }
    for count in 0..12 {
        assert_eq!(Message::decode(&MX_ANSWER[..count]), Err(Malformed::Short));
    }
    // A name must not run out of its record.
    let answer = b"\0\0\x05\0\x01\0\0\0\0\0\x02\x03abc\0";
    assert_eq!(Message::decode(&with_answer(1, answer)), Err(Malformed::Data));
}

#[test]
fn other_classes_are_left_out_and_their_data_is_not_read() {
    let answer = b"\0\0\x01\0\x03\0\0\0\0\0\x01\x01";
    assert_eq!(Message::decode(&with_answer(1, answer)).map(|m| m.answers), Ok(vec![]));
}

#[test]
fn more_records_than_we_take_are_refused_before_they_are_read() {
    let mut octets = MX_ANSWER.to_vec();
    octets[6..8].copy_from_slice(&u16::MAX.to_be_bytes());
    assert_eq!(Message::decode(&octets), Err(Malformed::TooMany));
    octets[6..8].copy_from_slice(&[0, 2]);
    octets[5] = 2;
    assert_eq!(Message::decode(&octets), Err(Malformed::TooMany));
}

#[test]
fn what_does_not_fit_is_left_out_and_said() {
    let question = Question { name: name("big.example"), kind: RecordType::TXT };
    let query = Message::query(7, question, Some(1_232)).encode(512);
    let mut reply = Message::decode(&query).expect("our own").reply(Code::NO_ERROR);
    for number in 0..10 {
        reply.answers.push(record("big.example", Data::Txt(vec![number; 100].into())));
    }
    let short = Message::decode(&reply.encode(512)).expect("our own");
    assert!(short.truncated && short.edns_bytes.is_some());
    assert_eq!(short.answers, reply.answers[..3]);
    assert_eq!(Message::decode(&reply.encode(65_535)).expect("our own"), reply);
}

#[test]
fn a_time_with_its_highest_bit_set_is_none() {
    let answer = b"\0\0\x01\0\x01\x80\0\0\0\0\x04\x01\x02\x03\x04";
    assert_eq!(Message::decode(&with_answer(1, answer)).expect("well formed").answers[0].ttl, 0);
}

fn names() -> impl Strategy<Value = Name> {
    prop::collection::vec("[a-z0-9_*-]{1,20}", 0..6)
        .prop_map(|labels| if labels.is_empty() { Name::root() } else { name(&labels.join(".")) })
}

fn associations() -> impl Strategy<Value = Association> {
    (any::<[u8; 3]>(), prop::collection::vec(any::<u8>(), 0..80)).prop_map(
        |([usage, selector, matching], data)| Association { usage, selector, matching, data: data.into() },
    )
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Data::A(Ipv4Addr::from(octets))),
        any::<[u8; 16]>().prop_map(|octets| Data::Aaaa(Ipv6Addr::from(octets))),
        names().prop_map(Data::Ns),
        names().prop_map(Data::Cname),
        names().prop_map(Data::Ptr),
        (any::<u16>(), names()).prop_map(|(preference, exchange)| Data::Mx { preference, exchange }),
        prop::collection::vec(any::<u8>(), 0..600).prop_map(|text| Data::Txt(text.into())),
        (names(), names(), any::<[u32; 4]>(), any::<u32>()).prop_map(|(primary, mailbox, times, minimum)| {
            Data::Soa(Box::new(Soa { primary, mailbox, times, minimum }))
        }),
        associations().prop_map(Data::Tlsa),
        associations().prop_map(Data::Smimea),
        prop::collection::vec(any::<u8>(), 1..40)
            .prop_map(|octets| Data::Other(RecordType(99), octets.into())),
    ]
}

fn records() -> impl Strategy<Value = alloc::vec::Vec<Record>> {
    let record =
        (names(), 0..=i32::MAX as u32, data()).prop_map(|(name, ttl, data)| Record { name, ttl, data });
    prop::collection::vec(record, 0..5)
}

fn messages() -> impl Strategy<Value = Message> {
    let flags = any::<[bool; 4]>();
    (
        any::<u16>(),
        flags,
        names(),
        any::<u16>(),
        records(),
        records(),
        records(),
        any::<Option<u16>>(),
        0..16u16,
    )
        .prop_map(
            |(id, [a, b, c, d], name, kind, answers, authorities, additional, edns_bytes, code)| Message {
                id,
                response: a,
                opcode: 0,
                authoritative: b,
                truncated: false,
                recursion_desired: c,
                recursion_available: d,
                code: Code(code | if edns_bytes.is_some() { 0x10 } else { 0 }),
                question: Some(Question { name, kind: RecordType(kind) }),
                answers,
                authorities,
                additional,
                edns_bytes,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(1_035),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_encoded_reads_back_the_same(message in messages()) {
        prop_assert_eq!(Message::decode(&message.encode(65_535)), Ok(message));
    }

    #[test]
    fn whatever_is_cut_or_changed_reading_ends_with_an_answer(
        message in messages(),
        cut in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let mut octets = message.encode(65_535);
        for (at, octet) in changes {
            let at = at.index(octets.len());
            octets[at] = octet;
        }
        octets.truncate(cut.index(octets.len() + 1));
        if let Ok(read) = Message::decode(&octets) {
            // What was understood can be said again, and then it says the same.
            if !read.truncated {
                prop_assert_eq!(Message::decode(&read.encode(65_535)).map(|m| m.answers), Ok(read.answers));
            }
        }
    }

    #[test]
    fn any_octets_at_all_are_read_or_refused(octets in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = Message::decode(&octets);
    }

    #[test]
    fn another_implementation_reads_what_we_encode_and_we_read_what_it_encodes(message in messages()) {
        use hickory_proto::op::Message as Other;
        // It believes that it knows what a TTL or a code of OPT should be; that is not what this is about.
        let message = Message { edns_bytes: None, code: Code(message.code.0 & 5), ..message };
        let octets = message.encode(65_535);
        let read = Other::from_vec(&octets);
        prop_assert!(read.is_ok(), "{:?} {:?}", read, message);
        let read = read.expect("checked");
        prop_assert_eq!(read.answers.len(), message.answers.len());
        // Its encoder compresses names.
        let theirs = read.to_vec().expect("it read it itself");
        prop_assert_eq!(Message::decode(&theirs), Ok(message), "{}", format!("{theirs:x?}"));
    }
}
