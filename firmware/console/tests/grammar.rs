//! Every command and every wrong line, with what the console makes of it: `lines.txt` has the lines, `lines.out` the
//! answers; `BLESS=1 cargo test -p console` writes the answers anew.
#![allow(clippy::unwrap_used, reason = "a test ends in a panic")]

mod common;

use common::{Session, compare};
use std::fmt::Write as _;

#[test]
fn every_line_is_understood_or_answered_in_one_line() {
    let mut found = String::new();
    for line in include_str!("lines.txt").lines() {
        let mut session = Session::new();
        session.typed(line.as_bytes()).typed(b"\r");
        writeln!(found, "> {line}").unwrap();
        for command in &session.commands {
            writeln!(found, "  = {command:?}").unwrap();
        }
        let screen = session.screen();
        for row in screen.lines().filter(|row| !row.starts_with("stargate>")) {
            writeln!(found, "  | {row}").unwrap();
        }
    }
    compare("lines.out", &found);
}

#[test]
fn help_fits_the_screen() {
    let mut session = Session::new();
    session.typed(b"help\r");
    let screen = session.screen();
    assert!(screen.len() < 4_096 - 512 && screen.lines().count() <= 24);
    compare("help.out", &screen);
}

#[test]
fn the_overview_names_every_verb() {
    let (mut overview, mut verbs) = (Session::new(), Session::new());
    overview.typed(b"help\r");
    let overview = overview.screen();
    for command in ["identity", "queue", "route"] {
        verbs.typed(format!("help {command}\r").as_bytes());
        for row in verbs.screen().lines().filter(|row| row.starts_with(&format!(" {command} "))) {
            let verb = row.split_whitespace().nth(1).unwrap();
            assert!(verb.starts_with('[') || overview.contains(verb), "{verb}");
        }
    }
}

#[test]
fn every_command_has_help_of_its_own() {
    let mut all = Session::new();
    all.typed(b"help\r");
    let overview = all.screen();
    for row in overview.lines().filter(|row| row.starts_with(' ') && !row.starts_with("  ")) {
        let words: Vec<_> = row
            .split_whitespace()
            .take_while(|w| w.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
            .take(2)
            .collect();
        let first = words[0];
        let mut session = Session::new();
        session.typed(format!("help {first}\r").as_bytes());
        assert!(session.screen().contains(&format!("\n {first}")), "{first}: {}", session.screen());
    }
}
