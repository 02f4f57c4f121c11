//! The header firewall at work: what leaves to whom, of which size, with a signature that still holds.
#![allow(clippy::unwrap_used)]

mod common;

use common::{identities, scan, sign, signed_part};
use proptest::prelude::*;
use smime::{Audience, Emitter, Recipe};

const EXCHANGE: Audience<'static> = Audience::Exchange { marker: b"X-Stargate-Loop: ours\r\n" };

fn emit(recipe: &Recipe, message: &[u8], piece: usize, audience: Audience<'_>) -> Vec<u8> {
    let (mut emitter, mut out) = (Emitter::new(recipe, audience), Vec::new());
    message.chunks(piece).for_each(|octets| emitter.push(octets, &mut out));
    emitter.finish(&mut out);
    assert_eq!(out.len(), recipe.emitted_size(message.len() as u32, audience) as usize, "the announced size");
    out
}

/// Every piece size gives the same.
fn emit_all_ways(recipe: &Recipe, message: &[u8], audience: Audience<'_>) -> String {
    let whole = emit(recipe, message, usize::MAX, audience);
    for piece in [1, 2, 3, 7, 63, 64, 65, 198, 1_460] {
        assert_eq!(emit(recipe, message, piece, audience), whole, "pieces of {piece}");
    }
    String::from_utf8(whole).unwrap()
}

const LETTER: &str = "Received: from tenant.example by edge.example; now\r\n\
    X-MS-Exchange-Organization-AuthAs: Internal\r\n\
    x-ms-exchange-forest-indexagent: 1\r\n\t2\r\n\
    X-MS-Exchange-Transport-Rules-Loop:  1\r\n\
    X-LD-Processed: 00000000-0000-0000-0000-000000000001,ExtAddr\r\n\
    From: Joe <joe@example.org>\r\n\
    Subject: =?utf-8?q?caf=C3=A9?=\r\n\
    X-OriginatorOrg: example.org\r\n\
    X-Stargate-Loop: forged;\r\n folded\r\n\
    X-Stargate-Signature: valid, believe me\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\
    \r\n--b\r\nX-Stargate-Part: stays\r\nX-OriginatorOrg: stays\r\n\r\ntext  \r\n--b--\r\n";

#[test]
fn strangers_get_neither_fields_of_the_inside_nor_ours() {
    let facts = scan(LETTER.as_bytes(), 100);
    for keep in [false, true] {
        let recipe =
            Recipe::pass(b"Received: by us\r\n", facts.header.firewalled).unwrap().keep_internal(keep);
        let out = emit_all_ways(&recipe, LETTER.as_bytes(), Audience::Internet);
        let expected = "Received: by us\r\nReceived: from tenant.example by edge.example; now\r\n\
            X-MS-Exchange-Transport-Rules-Loop:  1\r\n\
            X-LD-Processed: 00000000-0000-0000-0000-000000000001,ExtAddr\r\n\
            From: Joe <joe@example.org>\r\n\
            Subject: =?utf-8?q?caf=C3=A9?=\r\n\
            Content-Type: multipart/mixed; boundary=b\r\n\
            \r\n--b\r\nX-Stargate-Part: stays\r\nX-OriginatorOrg: stays\r\n\r\ntext  \r\n--b--\r\n";
        assert_eq!(out, expected);
    }
}

#[test]
fn between_exchange_servers_all_but_ours_stays_octet_for_octet_behind_the_marker() {
    let facts = scan(LETTER.as_bytes(), 7);
    let recipe = Recipe::pass(b"Received: by us\r\n", facts.header.firewalled).unwrap();
    let kept = LETTER
        .replace("X-Stargate-Loop: forged;\r\n folded\r\n", "")
        .replace("X-Stargate-Signature: valid, believe me\r\n", "");
    let out = emit_all_ways(&recipe.clone().keep_internal(true), LETTER.as_bytes(), EXCHANGE);
    assert_eq!(out, format!("X-Stargate-Loop: ours\r\nReceived: by us\r\n{kept}"));
    // What came from elsewhere is not believed there either.
    let out = emit_all_ways(&recipe, LETTER.as_bytes(), EXCHANGE);
    assert!(
        out.contains("X-Stargate-Loop: ours\r\n")
            && !out.contains("AuthAs")
            && !out.contains("example.org\r\nX-")
    );
    assert!(out.contains("X-MS-Exchange-Transport-Rules-Loop:  1\r\n"));
}

#[test]
fn the_signature_holds_whatever_the_firewall_removes() {
    for identity in identities() {
        let recipe = sign(LETTER.as_bytes(), identity, None).unwrap().keep_internal(true);
        let stored = Recipe::from_bytes(&recipe.to_bytes()).unwrap();
        let inside = emit_all_ways(&stored, LETTER.as_bytes(), EXCHANGE);
        let outside = emit_all_ways(&stored, LETTER.as_bytes(), Audience::Internet);
        assert!(inside.contains("AuthAs: Internal") && !outside.contains("AuthAs"));
        assert!(!outside.contains("X-Stargate-Loop") && outside.contains("X-Stargate-Part: stays"));
        assert_eq!(signed_part(inside.as_bytes()), signed_part(outside.as_bytes()));
        identity.verify(inside.as_bytes()).unwrap();
        identity.verify(outside.as_bytes()).unwrap();
    }
}

#[test]
fn a_header_of_several_megabytes_is_filtered_in_the_memory_of_one_line_start() {
    let mut letter = Vec::new();
    for number in 0..20_000 {
        letter.extend_from_slice(
            format!("X-MS-Exchange-Organization-{number}: {}\r\n", "x".repeat(60)).as_bytes(),
        );
        letter.extend_from_slice(format!("\t{}\r\nX-Note-{number}: stays\r\n", "y".repeat(60)).as_bytes());
    }
    letter.extend_from_slice(b"\r\nbody\r\n");
    let facts = scan(&letter, 4_096);
    let recipe = Recipe::pass(b"", facts.header.firewalled).unwrap();
    let out = emit(&recipe, &letter, 4_096, Audience::Internet);
    assert!(letter.len() > 3_000_000 && out.starts_with(b"X-Note-0: stays\r\nX-Note-1: stays\r\n"));
    assert!(out.ends_with(b"X-Note-19999: stays\r\n\r\nbody\r\n"));
}

#[test]
fn loop_markers_are_shown_as_they_came_and_in_bounds() {
    let long = format!("X-Stargate-Loop: {}\r\n", "m".repeat(1_000));
    let letter =
        format!("x-stargate-LOOP : a\r\n\tb\r\nX-Stargate-Looped: no\r\n{long}{}\r\n", long.repeat(9));
    let mut scanner = smime::Scanner::new();
    letter.as_bytes().chunks(5).for_each(|octets| scanner.push(octets));
    let markers: Vec<&[u8]> = scanner.loop_markers().collect();
    assert_eq!(markers.len(), limits::mime::LOOP_MARKERS_COUNT_MAX);
    assert_eq!(markers[0], b"x-stargate-LOOP : a\r\n\tb\r\n");
    assert_eq!(markers[1].len(), limits::mime::LOOP_MARKER_READ_BYTES_MAX);
}

/// Lines that are nearly or quite what the firewall looks for, and line ends of all kinds.
fn odd_line() -> impl Strategy<Value = String> {
    let start = prop_oneof![
        Just("X-Stargate-"),
        Just("x-stargate-loop"),
        Just("X-MS-Exchange-Organization-"),
        Just("X-OriginatorOrg"),
        Just("X-MS-Exchange-Transport-Rules-Loop"),
        Just(" "),
        Just("\t"),
        Just(""),
        Just("Subject"),
        Just("\r"),
        Just(
            "X-MS-Exchange-Forest-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        ),
    ];
    let middle = prop_oneof![Just(""), Just(":"), Just(" : b"), Just("abc: d"), Just("\u{fc}: e"), Just(" ")];
    let end = prop_oneof![4 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r"), 1 => Just("")];
    (start, middle, end).prop_map(|(start, middle, end)| format!("{start}{middle}{end}"))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn scanner_and_emitter_agree_to_the_octet_about_any_header(
        lines in prop::collection::vec(odd_line(), 0..12), piece in 1usize..300, keep: bool,
    ) {
        let letter = lines.concat();
        let facts = scan(letter.as_bytes(), piece);
        let recipe = Recipe::pass(b"Received: x\r\n", facts.header.firewalled).unwrap().keep_internal(keep);
        for audience in [Audience::Internet, EXCHANGE] {
            // The announced size is compared in there.
            let out = emit(&recipe, letter.as_bytes(), piece, audience);
            // What has been filtered once has nothing left that would be filtered again.
            let marked = matches!(audience, Audience::Exchange { .. });
            let again = scan(&out, 50).header.firewalled;
            let marker = if marked { 23 } else { 0 };
            prop_assert_eq!(again.own_octets, marker);
            prop_assert!(again.internal_octets == 0 || (keep && marked));
        }
    }
}
