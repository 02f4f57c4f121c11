//! What commands print.
#![allow(clippy::unwrap_used, reason = "a test ends in a panic")]

mod common;

use common::compare;
use console::{Column, Screen, Table};
use embassy_futures::block_on;
use proptest::prelude::*;

const QUEUE: Table<5> = Table::new([
    Column::left("ID", 9),
    Column::right("SIZE", 9),
    Column::left("STATE", 9),
    Column::right("RCPTS", 6),
    Column::left("REASON", 42),
]);

fn printed(work: impl AsyncFnOnce(&mut Screen<&mut Vec<u8>>)) -> String {
    let mut bytes = Vec::new();
    block_on(work(&mut Screen::new(&mut bytes)));
    String::from_utf8(bytes).unwrap()
}

#[test]
fn tables_fields_and_progress_look_as_promised() {
    let text = printed(async |screen| {
        screen.heading(&QUEUE).await;
        let reason = "next hop refused: 450 4.2.0 <bert@example.net>: greylisted, come back later";
        screen.row(&QUEUE, [&"0FX71P6H", &1_234, &"deferred", &"1/2", &reason]).await;
        screen.row(&QUEUE, [&"0FX71P6J", &26_214_400, &"held", &"1/1", &"no identity for the sender"]).await;
        screen.row(&QUEUE, [&"0FX71P6K", &"", &"", &"", &""]).await;
        screen.row(&QUEUE, [&"", &"", &"", &"", &"a\nb\x1b[2J"]).await;
        screen.line("").await;
        screen.field("hostname", "gw1.example.org").await;
        let networks: Vec<_> = (0..12).map(|n| format!("10.{n}.0.0/16")).collect();
        screen.field("relay-networks", networks.join(",")).await;
        screen.field("unbroken", "x".repeat(130)).await;
        screen.progress("Generating an RSA key", 1, 3).await;
        screen.progress("Counting", 5, 0).await;
        screen.line("Done.").await;
        screen.text("no end").await;
        screen.line(": two\nlines").await;
    });
    assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b) || b"\r\n\x1b".contains(&b)));
    let shown = text.replace("\r\n", "\n").replace('\r', "<CR>").replace('\x1b', "<ESC>");
    for row in shown.lines().filter(|row| !row.contains('<')) {
        assert!(row.len() <= 80, "{row}");
    }
    compare("output.out", &shown);
}

#[test]
fn a_mebibyte_of_terminal_escapes_comes_out_as_printable_ascii() {
    let hostile: String =
        "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\r\0\u{7f}ü".chars().cycle().take(1 << 20).collect();
    let text = printed(async |screen| {
        screen.line(&hostile).await;
        screen.field("sender", &hostile).await;
        screen.row(&QUEUE, [&hostile, &hostile, &hostile, &hostile, &hostile]).await;
    });
    assert!(text.replace("\r\n", "").bytes().all(|b| (b' '..=b'~').contains(&b)));
    assert_eq!(text.matches('\r').count(), text.matches("\r\n").count());
    assert!(text.len() < 3 * limits::console::PAGE_BYTES_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn rows_of_any_text_fit_80_columns(cells in prop::array::uniform5(any::<String>())) {
        let text = printed(async |screen| {
            let [a, b, c, d, e] = &cells;
            screen.row(&QUEUE, [a, b, c, d, e]).await;
        });
        let row = text.strip_suffix("\r\n").unwrap();
        prop_assert!(row.len() <= 80 && row.bytes().all(|b| (b' '..=b'~').contains(&b)));
    }
}
