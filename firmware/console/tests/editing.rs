//! Stories of a person at the terminal.
#![allow(clippy::unwrap_used, reason = "a test ends in a panic")]

mod common;

use common::Session;
use console::{Command, Console, Request};
use envelope::QueueId;
use proptest::prelude::*;

fn set(name: &str, value: &str) -> Command {
    Command::Set { name: name.into(), value: value.into() }
}

#[test]
fn a_line_is_typed_and_corrected_in_the_middle() {
    let mut session = Session::new();
    session.typed(b"set hostnam gw1");
    assert_eq!(session.last_row(), "stargate> set hostnam gw1");
    session.typed(b"\x1b[D\x1b[D\x1b[D\x1b[D");
    assert_eq!(session.last_row(), "stargate> set hostnam| gw1");
    session.typed(b"e\x05.example.org\r");
    assert_eq!(session.commands, [set("hostname", "gw1.example.org")]);
    assert_eq!(session.screen(), "stargate> set hostname gw1.example.org\nstargate>\n");
}

#[test]
fn words_and_ends_of_lines_are_erased_by_one_key() {
    let mut session = Session::new();
    session.typed(b"set hostname gw1.example.org\x17");
    assert_eq!(session.last_row(), "stargate> set hostname");
    session.typed(b"\x01\x0b");
    assert_eq!(session.last_row(), "stargate>");
    session.typed(b"junk\x15show\x02\x02\x7f\x7f\x7f\x1b[3~\x1b[3~\x1b[3~");
    assert_eq!(session.last_row(), "stargate>");
    session.typed(b"diagg\x08\r");
    assert_eq!(session.commands, [Command::Diag]);
}

#[test]
fn characters_outside_ascii_are_one_step_each() {
    let mut session = Session::new();
    session.typed("set hostname zü€😀".as_bytes()).typed(b"\x1b[D\x1b[D");
    assert_eq!(session.last_row(), "stargate> set hostname zü|€😀");
    session.typed(b"\x7f\x1b[3~");
    assert_eq!(session.last_row(), "stargate> set hostname z|😀");
    session.typed(b"\r");
    assert_eq!(session.commands, [set("hostname", "z😀")]);
}

#[test]
fn a_long_line_moves_through_a_window_and_arrives_whole() {
    let mut session = Session::new();
    let long: String = (0..35).map(|n| format!("10.{n}.0.0/16,")).collect();
    session.typed(b"set relay-networks ").typed(long.as_bytes());
    assert!(session.last_row().ends_with("10.34.0.0/16,"));
    session.typed(b"\x01");
    assert!(session.last_row().starts_with("stargate> |set relay-networks 10.0.0.0/16,"));
    for _ in 0..100 {
        session.typed(b"\x1b[C");
    }
    session.typed(b"\r");
    assert_eq!(session.commands, [set("relay-networks", &long)]);
    assert_eq!(session.terminal.rows.len(), 2);
}

#[test]
fn a_line_that_is_too_long_is_refused_as_a_whole() {
    let mut session = Session::new();
    session.typed(b"set hostname ").typed(&[b'a'; 600]);
    assert!(session.terminal.bells > 0);
    session.typed(b"\r");
    assert!(session.commands.is_empty());
    assert!(session.screen().contains("the line has more than 512 characters; nothing was done"));
    // What was cut off is still missing after a correction elsewhere in the line.
    session.typed(b"set hostname ").typed(&[b'a'; 600]).typed(b"\x7f\x7f\r");
    assert!(session.commands.is_empty());
    session.typed(&[b'a'; 600]).typed(b"\x15diag\r");
    assert_eq!(session.commands, [Command::Diag]);
}

#[test]
fn earlier_lines_come_back() {
    let mut session = Session::new();
    session.typed(b"diag\rshow time\r\rshow time\r");
    session.typed(b"que\x1b[A");
    assert_eq!(session.last_row(), "stargate> show time");
    session.typed(b"\x10");
    assert_eq!(session.last_row(), "stargate> diag");
    session.typed(b"\x1b[A");
    assert_eq!(session.last_row(), "stargate> diag");
    session.typed(b"\x1b[B\x1b[B");
    assert_eq!(session.last_row(), "stargate> que");
    session.typed(b"ue\r");
    assert_eq!(session.commands.last(), Some(&Command::QueueList));
    session.commands.clear();
    for at in 1..=20 {
        session.typed(format!("log tail {at}\r").as_bytes());
    }
    session.typed(&b"\x1b[A".repeat(50)).typed(b"\r");
    assert_eq!(session.commands.last(), Some(&Command::LogTail(5)), "16 lines are remembered");
}

#[test]
fn tab_completes_commands_topics_and_settings() {
    let mut session = Session::new();
    session.typed(b"sh\t");
    assert_eq!(session.last_row(), "stargate> show");
    session.typed(b"mem\t\rset rel\t10.0.0.0/8\rid\tgen\tr\t@example.org\rqueue ret\ta\t\r");
    assert_eq!(
        session.commands,
        [
            Command::Show(console::Topic::Memory),
            set("relay-networks", "10.0.0.0/8"),
            Command::IdentityGenerate { kind: console::KeyKind::Rsa, serves: "@example.org".into() },
            Command::QueueRetry(console::QueueTarget::All),
        ]
    );
}

#[test]
fn tab_shows_the_choice_when_there_is_one() {
    let mut session = Session::new();
    session.typed(b"set ret\t");
    assert_eq!(session.last_row(), "stargate> set retry-");
    session.typed(b"\t");
    assert_eq!(session.screen(), "stargate> set retry-\nretry-first  retry-max\nstargate> set retry-\n");
    session.typed(b"\x15xyz\t");
    assert_eq!(session.terminal.bells, 1);
    session.typed(b"\x15\t");
    let screen = session.screen();
    assert!(["peer", "domain", "route", "action"].iter().all(|word| screen.contains(word)), "{screen}");
    session.typed(b"help identity \t");
    assert!(session.screen().contains("list  generate  csr  import  remove"));
}

#[test]
fn ctrl_c_drops_the_line_and_every_question() {
    let mut session = Session::new();
    session.typed(b"set hostname x\x03");
    assert_eq!(session.screen(), "stargate> set hostname x^C\nstargate>\n");
    session.typed(b"factory-reset\r\x03identity import 1\rMII\x03setup\r").typed(b"\x03diag\r");
    assert_eq!(session.commands, [Command::IdentityImportBegin(1), Command::Setup, Command::Diag]);
    let screen = session.screen();
    for line in ["Nothing was done.", "Nothing was imported.", "Nothing was changed."] {
        assert!(screen.contains(line), "{line}");
    }
}

#[test]
fn what_is_dangerous_wants_a_word_typed() {
    let mut session = Session::new();
    session.typed(b"factory-reset\r");
    assert_eq!(session.last_row(), "Type `erase` to go on:");
    session.typed(b"yes\r");
    assert!(session.commands.is_empty());
    assert!(session.screen().contains("Nothing was done: that was not `erase`."));
    session.typed(
        b"factory-reset\rerase\rqueue remove all\rremove\rqueue remove 00000001\ridentity remove 2\rremove\r\
          queue bounce Example.org\rremove\rqueue bounce @Example.org\rbounce\rqueue bounce 00000001\r",
    );
    assert_eq!(
        session.commands,
        [
            Command::FactoryReset,
            Command::QueueRemove(console::QueueTarget::All),
            Command::QueueRemove(console::QueueTarget::One(QueueId(1))),
            Command::IdentityRemove(2),
            Command::QueueBounce(console::QueueTarget::Domain("example.org".into())),
            Command::QueueBounce(console::QueueTarget::One(QueueId(1))),
        ]
    );
}

fn chain(lines: usize, end: &str) -> String {
    let mut pem = format!("-----BEGIN CERTIFICATE-----{end}");
    for at in 0..lines {
        pem += &format!("{:0>64}{end}", at);
    }
    pem + &format!("-----END CERTIFICATE-----{end}")
}

#[test]
fn a_chain_is_pasted_at_full_speed_with_any_line_ends() {
    for end in ["\r", "\n", "\r\n"] {
        let mut session = Session::new();
        let typed = format!("identity import 7{end}{}{}.{end}diag{end}", chain(100, end), chain(60, end));
        session.typed(typed.as_bytes());
        let pem = chain(100, "\n") + &chain(60, "\n");
        let begin = Command::IdentityImportBegin(7);
        assert_eq!(session.commands, [begin, Command::IdentityImport { id: 7, pem }, Command::Diag]);
    }
}

#[test]
fn a_paste_ends_at_ctrl_d_too_and_its_lines_can_be_corrected() {
    let mut session = Session::new();
    session.typed(b"identity import 7\rabx\x7fc\rwrong\x15right\r\x04");
    assert_eq!(session.commands.last(), Some(&Command::IdentityImport { id: 7, pem: "abc\nright\n".into() }));
}

#[test]
fn certificates_for_an_identity_that_does_not_exist_are_not_asked_for() {
    let mut session = Session::new();
    session.unknown_identity = true;
    session.typed(b"identity import 9\rdiag\r");
    assert_eq!(session.commands, [Command::IdentityImportBegin(9), Command::Diag]);
    assert!(!session.screen().contains("Paste"));
}

#[test]
fn a_paste_that_is_too_long_is_refused_as_a_whole() {
    let mut session = Session::new();
    session.typed(b"identity import 7\r").typed(chain(1_000, "\r").as_bytes()).typed(b".\rdiag\r");
    assert_eq!(session.commands, [Command::IdentityImportBegin(7), Command::Diag]);
    assert!(session.screen().contains("octets were pasted; nothing was imported"));
}

#[test]
fn settings_are_pasted_as_a_block_while_commands_run() {
    let mut session = Session::new();
    let block: String = (0..60).map(|n| format!("set relay-networks add 10.{n}.0.0/16\r\n")).collect();
    session.typed(block.as_bytes());
    assert_eq!(session.commands.len(), 60);
    assert_eq!(session.commands[59], set("relay-networks", "add 10.59.0.0/16"));
}

#[test]
fn keys_typed_ahead_wait_and_ctrl_c_interrupts() {
    let mut console = Console::new(common::NAMES);
    assert_eq!(console.receive(b"diag\rshow time\rq"), 16);
    assert_eq!(console.poll(), Some(Request::Run(Command::Diag)));
    assert_eq!(console.poll(), None);
    assert_eq!(console.receive(&[b'x'; 600]), 501, "more stays with the driver");
    assert_eq!(console.receive(b"x"), 0);
    assert_eq!(console.receive(b"\x03"), 1);
    assert_eq!(console.poll(), Some(Request::Interrupt));
    assert_eq!(console.poll(), None);
    console.done(console::Outcome::Failed);
    assert_eq!(console.poll(), None, "what was typed ahead is dropped with the command");
    console.receive(b"diag\r");
    assert_eq!(console.poll(), Some(Request::Run(Command::Diag)));
}

#[test]
fn a_terminal_that_does_not_read_stops_the_input_and_loses_nothing() {
    let mut console = Console::new(common::NAMES);
    let typed = b"help\rset \t\x15".repeat(100);
    let (mut rest, mut shown) = (&typed[..], Vec::new());
    while !rest.is_empty() || !console.transmit().is_empty() {
        let taken = console.receive(rest);
        rest = &rest[taken..];
        assert!(console.transmit().len() <= limits::console::OUTPUT_BYTES_MAX);
        // A slow line: a hundred octets, then the next attempt.
        let sent = console.transmit().len().min(100);
        shown.extend_from_slice(&console.transmit()[..sent]);
        console.transmitted(sent);
    }
    let shown = String::from_utf8(shown).unwrap();
    assert_eq!(shown.matches(" help [COMMAND] ").count(), 100);
    assert_eq!(shown.matches("Ctrl-C drops a line.\r\nstargate> ").count(), 100);
    assert_eq!(shown.matches("\r\nhostname  network  ").count(), 100);
}

#[test]
fn a_new_prompt_follows_a_line_end_and_a_redraw_does_not() {
    let mut console = Console::new(common::NAMES);
    console.set_prompt("gw1.example.org", false);
    console.greet("0", false);
    let take = |console: &mut Console| {
        let bytes = console.transmit().to_vec();
        console.transmitted(bytes.len());
        String::from_utf8(bytes).unwrap()
    };
    assert!(take(&mut console).ends_with("\ngw1> "));
    console.receive(b"diga\x1b[D\x1b[D");
    assert!(!take(&mut console).contains('\n'));
    console.set_prompt("gw1.example.org", true);
    console.receive(b"\r");
    assert!(take(&mut console).ends_with("\ngw1*> "));
}

#[test]
fn a_new_appliance_shows_the_way_until_it_is_set_up() {
    let mut session = Session::new();
    session.refused = vec!["gw 1"];
    session.console.greet("0", true);
    session.drain();
    session.typed(b"\r");
    session.typed(b"setup\r\rgw 1\rgw1.example.org\rback\r\r\r");
    session.typed(b"online-behind\rexample.org my-site.example\r\r\r");
    session.typed(b"mail.example.org\r10.0.0.0/8\r\rpass\rann@example.org\ron\r");
    session.typed(b"maybe\r\r");
    session.typed(b"\r");
    common::compare("setup.out", &session.screen());
    let Some(Command::ApplySetup(answers)) = session.commands.last() else { panic!() };
    let answers: Vec<_> = answers.iter().map(|answer| (answer.name, answer.value.as_str())).collect();
    assert_eq!(
        answers,
        [
            ("hostname", "gw1.example.org"),
            ("network", "dhcp"),
            ("dns-servers", "none"),
            ("pattern", "online-behind"),
            ("domains", "example.org my-site.example"),
            (
                "exchange",
                "example-org.mail.protection.outlook.com,mysite-example0e.mail.protection.outlook.com"
            ),
            (
                "exchange-peers",
                "40.92.0.0/15,40.107.0.0/16,52.100.0.0/14,52.238.78.88/32,104.47.0.0/17,\
                 2a01:111:f400::/48,2a01:111:f403::/48"
            ),
            ("own-names", "mail.example.org"),
            ("relay-networks", "10.0.0.0/8"),
            ("next-hop", "none"),
            ("without-identity", "pass"),
            ("postmaster", "ann@example.org"),
            ("commissioning", "on"),
        ]
    );
}

#[test]
fn the_dialogue_asks_for_name_servers_only_with_a_static_address_and_can_be_left() {
    let mut session = Session::new();
    session.typed(
        b"setup\rgw1.example.org\r192.0.2.10/24 192.0.2.1\r192.0.2.53\rapplications\r\r\r\r\r\r\rback\rback\r\r\rno\r",
    );
    assert!(session.screen().contains("3/13   Which name servers"));
    assert!(session.screen().contains("Nothing was changed."));
    assert!(!session.commands.iter().any(|command| matches!(command, Command::ApplySetup(_))));
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_octets_leave_a_console_that_works(chunks in prop::collection::vec(prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "(set|show|queue|identity|help|setup|log|time|[a-z]{1,8})( [ -~]{0,20})?\r".prop_map(String::into_bytes),
        "\x1b\\[[0-9;]{0,4}[A-Z~]".prop_map(String::into_bytes),
        "[\t\x01-\x1f]{1,5}".prop_map(String::into_bytes),
        prop::collection::vec(any::<char>(), 0..100).prop_map(|c| c.into_iter().collect::<String>().into_bytes()),
    ], 0..60)) {
        // The terminal panics at anything that the crate does not promise.
        let mut session = Session::new();
        for chunk in chunks {
            session.typed(&chunk);
        }
        session.commands.clear();
        session.typed(b"\x03\x03diag\r");
        prop_assert_eq!(session.commands, [Command::Diag]);
    }

    #[test]
    fn keys_in_any_order_keep_the_screen_and_the_line_alike(keys in prop::collection::vec(prop_oneof![
        4 => "[a-z ]{1,9}".prop_map(String::into_bytes),
        2 => prop::sample::select(vec!["\x1b[D", "\x1b[C", "\x7f", "\x1b[3~", "\x01", "\x05", "\x17", "\x0b", "ü"])
            .prop_map(|s| s.as_bytes().to_vec()),
    ], 0..80)) {
        let mut session = Session::new();
        for key in keys {
            session.typed(&key);
        }
        // The same line drawn at once by a console that never saw the editing.
        let row = session.last_row();
        session.typed(b"\x05\x01");
        let from_start = session.last_row();
        session.typed(b"\x0c");
        prop_assert_eq!(session.last_row(), from_start);
        prop_assert!(row.chars().count() <= 80);
    }
}
