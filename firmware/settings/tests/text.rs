//! What the operator types and reads. `dialogue.txt` has the lines, `dialogue.out` the answers;
//! `BLESS=1 cargo test -p settings` writes the answers anew.
#![allow(clippy::unwrap_used, reason = "a test ends in a panic")]

use proptest::prelude::*;
use settings::{NAMES, Problem, Settings, decode, encode};
use std::net::IpAddr;

fn config() -> ProptestConfig {
    ProptestConfig {
        rng_seed: proptest::test_runner::RngSeed::Fixed(1),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn made(lines: &[&str]) -> Settings {
    let mut settings = Settings::default();
    for line in lines {
        let (name, value) = line.split_once(' ').unwrap();
        settings.set(name, value).unwrap_or_else(|fault| panic!("{line}: {fault}"));
    }
    settings
}

#[test]
fn every_value_and_every_fault_reads_as_promised() {
    let mut answers = String::new();
    let mut settings = Settings::default();
    for line in include_str!("dialogue.txt").lines() {
        let Some(rest) = line.strip_prefix("> ") else { continue };
        let (name, value) = rest.split_once(' ').unwrap_or((rest, ""));
        let before = settings.clone();
        let answer = match settings.set(name, value) {
            Ok(()) => format!("  = {}", settings.value(name).unwrap()),
            Err(fault) => {
                assert_eq!(settings, before, "{line} was applied in part");
                format!("  ! {fault}")
            }
        };
        assert!(answer.bytes().all(|b| (b' '..=b'~').contains(&b)), "{answer}");
        answers += &format!("> {}\n{answer}\n", rest.escape_default());
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dialogue.out");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(file, &answers).unwrap();
    }
    assert_eq!(answers, std::fs::read_to_string(file).unwrap_or_default(), "differs from {file}");
}

#[test]
fn factory_defaults_relay_for_nobody_and_fit_together() {
    let settings = Settings::default();
    assert_eq!(settings.check(), Ok(()));
    for peer in ["10.0.2.2", "127.0.0.1", "::1", "192.0.2.1", "::ffff:10.0.0.1"] {
        assert!(!settings.may_relay(peer.parse().unwrap()));
    }
    assert_eq!(settings.hostname(), "stargate.invalid");
}

#[test]
fn relay_networks_are_exactly_the_ones_named() {
    let settings = made(&["relay-networks 10.0.2.0/24, 192.0.2.7/32, 2001:db8::/32"]);
    for (peer, may) in [
        ("10.0.2.0", true),
        ("10.0.2.255", true),
        ("10.0.3.0", false),
        ("10.0.1.255", false),
        ("::ffff:10.0.2.9", true),
        ("192.0.2.7", true),
        ("192.0.2.8", false),
        ("2001:db8:ffff::1", true),
        ("2001:db9::", false),
        ("::10.0.2.9", false),
    ] {
        assert_eq!(settings.may_relay(peer.parse().unwrap()), may, "{peer}");
    }
}

#[test]
fn what_does_not_fit_together_is_found_before_it_is_saved() {
    let base = "hostname gw1.example.org";
    let fixed = "network 192.0.2.10/24";
    for (lines, problem) in [
        (vec!["next-hop 192.0.2.25"], Some("hostname is not set")),
        (vec!["relay-networks 192.0.2.0/24"], Some("hostname is not set")),
        (vec![base, "next-hop mx.example.org"], None),
        (vec![base, fixed, "next-hop mx.example.org"], Some("nobody resolves it")),
        (vec![base, fixed, "next-hop mx.example.org", "dns-servers 192.0.2.53"], None),
        (vec![base, fixed, "next-hop 192.0.2.25"], None),
        (vec![base, fixed, "next-hop 198.51.100.25"], Some("has no gateway")),
        (vec![base, "next-hop 2001:db8::25"], Some("cannot be IPv6 addresses without an own")),
        (vec![base, fixed, "dns-servers 2001:db8::53"], Some("cannot be IPv6 addresses without an own")),
        (vec![base, "dns-servers 192.0.2.53"], None),
        (vec![base, "next-hop 2001:db8::25", "address6-2 2001:db8::10/64"], None),
        (vec![base, "address6 2001:db8::10/64", "next-hop 2001:db8::10"], Some("this appliance itself")),
        (vec![base, fixed, "network2 198.51.100.10/24", "next-hop 198.51.100.25"], None),
        (vec![base, "network2 198.51.100.10/24", "next-hop 198.51.100.10"], Some("this appliance itself")),
        (vec![base, "listeners *:2525", "next-hop gw1.example.org"], None),
        (vec![base, "network 192.0.2.10/24 192.0.2.1", "next-hop 198.51.100.25"], None),
        (vec![base, fixed, "next-hop 192.0.2.10"], Some("this appliance itself")),
        (vec![base, "next-hop gw1.example.org"], Some("this appliance itself")),
        (vec!["null-sender-next-hop 192.0.2.25"], Some("hostname is not set")),
        (vec![base, "null-sender-next-hop gw1.example.org"], Some("this appliance itself")),
        (vec![base, fixed, "null-sender-next-hop 198.51.100.25"], Some("has no gateway")),
        (vec![base, "retry-first 2h"], Some("longer than retry-max")),
        (vec![base, "retry-first 10m", "message-lifetime 5m"], Some("message-lifetime is shorter")),
    ] {
        let found = made(&lines).check();
        assert_eq!(found.is_err(), problem.is_some(), "{lines:?}");
        let text = found.err().map_or(String::new(), |problem: Problem| problem.to_string());
        assert!(text.contains(problem.unwrap_or_default()), "{lines:?}: {text}");
    }
}

#[test]
fn names_and_their_explanations_fit_a_line() {
    for (name, explanation) in NAMES {
        assert!(name.len() <= limits::console::NAME_BYTES_MAX);
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
        assert!(20 + explanation.len() < limits::console::COLUMNS, "{name}");
    }
}

fn fullest() -> Settings {
    let label = "a".repeat(61);
    let host = format!("{label}.{label}.{label}.{label}.org");
    let mut settings = Settings::default();
    for name in ["hostname", "banner-name"] {
        settings.set(name, &host).unwrap();
    }
    for name in ["next-hop", "null-sender-next-hop"] {
        settings.set(name, &format!("{host}:65535")).unwrap();
    }
    settings.set("postmaster", &format!("{}@{host}", "p".repeat(64))).unwrap();
    for name in ["message-lifetime", "delay-warning"] {
        settings.set(name, "30d").unwrap();
    }
    settings.set("destination-rate", "60000").unwrap();
    settings.set("dns-servers", "2001:db8:1111:2222:3333:4444:5555:1 2001:db8::2 2001:db8::3").unwrap();
    for at in 0..limits::settings::RELAY_NETWORKS_COUNT_MAX {
        let network = format!("add 2001:db8:1111:2222:3333:4444:5555:{:x}/128", 0xff00 + at);
        settings.set("relay-networks", &network).unwrap();
    }
    for at in 0..limits::settings::OWN_NAMES_COUNT_MAX {
        settings.set("own-names", &format!("add {at:02}.{}.example", "n".repeat(52))).unwrap();
    }
    for at in 0..limits::settings::OWN_ADDRESSES_COUNT_MAX {
        settings.set("own-addresses", &format!("add 2001:db8::{at:x}1")).unwrap();
    }
    settings
}

#[test]
fn the_largest_configuration_is_stored_and_read_back() {
    let settings = fullest();
    assert!(settings.clone().set("relay-networks", "add 10.0.0.0/8").is_err());
    let encoded = encode(&settings);
    assert!(encoded.len() < limits::settings::ENCODED_BYTES_MAX);
    assert_eq!(decode(&encoded), Ok(settings));
}

/// Format 2 as it is on flash. If this fails, appliances in the field lose their configuration: count the version up
/// and keep a decoder for the old one.
#[test]
fn the_stored_format_does_not_change_under_a_version() {
    let settings = made(&[
        "hostname a.b",
        "network 192.0.2.10/24 192.0.2.1",
        "relay-networks 10.0.0.0/8",
        "next-hop [2001:db8::25]:2525",
        "without-identity pass",
        "null-sender-next-hop mx.b",
        "postmaster p@b",
        "commissioning on",
        "destination-rate 60",
    ]);
    let octets: &[u8] = b"\x02\x01\x03a.b\x00\x00\x00\x01\xc0\x00\x02\x0a\x18\x01\xc0\x00\x02\x01\x00\x00\x00\x01\x00\x19\
        \x00\x01\x00\x0a\x00\x00\x00\x08\x01\x01\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x25\
        \xdd\x13\x00\x01\x00\x04mx.b\x19\x01\x03p@b\x01\x80\x80\xc0\x0c\x3c\x90\x1c\x80\xaf\x1a\xc0p\x01\x08\x3c\x50\x50\x00";
    assert_eq!(encode(&settings), octets);
    assert_eq!(decode(octets), Ok(settings));
}

#[test]
fn a_configuration_from_the_future_is_not_guessed_at() {
    let mut stored = encode(&Settings::default());
    stored[0] = 3;
    assert_eq!(
        decode(&stored).unwrap_err().to_string(),
        "stored configuration has format 3, this firmware reads 2"
    );
    assert!(decode(&[]).is_err());
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_octets_decode_to_a_settable_configuration_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut stored = vec![settings::VERSION];
        stored.extend(&bytes);
        if let Ok(settings) = decode(&stored) {
            prop_assert_eq!(decode(&encode(&settings)), Ok(settings));
        }
        let _ = decode(&bytes);
    }

    #[test]
    fn a_stored_configuration_with_flipped_octets_never_relays_for_everybody(at in 0usize..50, value: u8) {
        let mut stored = encode(&made(&["hostname a.b", "relay-networks 10.0.0.0/8", "next-hop 192.0.2.1"]));
        let at = at % stored.len();
        stored[at] = value;
        if let Ok(settings) = decode(&stored) {
            let one: IpAddr = "192.0.2.1".parse().unwrap();
            let other: IpAddr = "203.0.113.1".parse().unwrap();
            prop_assert!(!(settings.may_relay(one) && settings.may_relay(other)));
        }
    }

    #[test]
    fn any_text_is_refused_or_prints_as_it_can_be_set(name in 0..NAMES.len(), value in "[ -~]{0,40}|(add |remove )?[0-9a-f.:/, ]{0,60}|[0-9]{1,4}[smhdKM]?") {
        let (name, _) = NAMES[name];
        let mut settings = Settings::default();
        match settings.set(name, &value) {
            Ok(()) => {
                let mut again = Settings::default();
                let text = settings.value(name).unwrap().to_string();
                again.set(name, &text).unwrap();
                prop_assert_eq!(&again, &settings);
                prop_assert_eq!(decode(&encode(&settings)), Ok(settings));
            }
            Err(fault) => {
                prop_assert_eq!(settings, Settings::default());
                let text = fault.to_string();
                prop_assert!(!text.is_empty() && text.len() < 400);
                prop_assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
            }
        }
    }

    #[test]
    fn an_export_pasted_back_makes_the_same_configuration(networks in prop::collection::btree_set(any::<(u32, bool)>(), 0..10), size in 64u32..48_000) {
        let mut settings = made(&["hostname a.b", "next-hop mx.b:26", "network 192.0.2.10/24"]);
        settings.set("message-size-max", &format!("{size}K")).unwrap();
        for (bits, v6) in networks {
            let network = if v6 {
                format!("add {}/64", std::net::Ipv6Addr::from(u128::from(bits) << 64 | 0x2001 << 112))
            } else {
                format!("add {}/32", std::net::Ipv4Addr::from(bits))
            };
            let _ = settings.set("relay-networks", &network);
        }
        let mut again = fullest();
        for line in settings.export().iter().chain(&fullest().export()).chain(&settings.export()) {
            prop_assert!(line.len() <= limits::console::LINE_CHARS_MAX);
            let (name, value) = line.strip_prefix("set ").unwrap().split_once(' ').unwrap();
            again.set(name, value).unwrap();
        }
        prop_assert_eq!(again, settings);
    }
}
