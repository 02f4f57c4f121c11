//! Peers, own domains, actions and routes as rows: what is typed, what is refused, who may do what, and what damage and
//! power cuts leave.

#![allow(clippy::unwrap_used, reason = "a test ends in a panic")]

use core::cell::RefCell;
use core::net::{IpAddr, SocketAddr};
use embassy_futures::block_on;
use flash_sim::{Random, SimFlash, Tear};
use limits::console::LINE_CHARS_MAX;
use limits::settings::{PEER_SOURCES_COUNT_MAX, PEERS_COUNT_MAX};
use settings::{
    Action, Actions, Class, Domain, Domains, Judged, Peer, Peers, RelayRight, Rights, Route, Row, Rule,
    Secret, Settings, Store, TableError, TableKind, What,
};
use std::collections::BTreeMap;

type Flash = SimFlash<{ 256 * 1_024 }>;

fn peers(lines: &[&str]) -> Peers {
    table(lines)
}

fn table<R: Row>(lines: &[&str]) -> settings::Table<R> {
    let (mut store, ..) = block_on(Store::open(Flash::new(2))).unwrap();
    let table = RefCell::new(settings::Table::default());
    for line in lines {
        let row = R::parse(line).unwrap_or_else(|fault| panic!("{line}: {fault}"));
        block_on(store.add(&table, row)).unwrap();
    }
    table.into_inner()
}

/// What a client may do that connects to port 25 of the first interface.
fn judged(peers: &Peers, client: &str) -> Judged {
    judged_on(peers, client, "10.9.9.9:25", 1)
}

fn judged_on(peers: &Peers, client: &str, local: &str, interface: u8) -> Judged {
    let local: SocketAddr = local.parse().unwrap();
    peers.judge(&[], client.parse::<IpAddr>().unwrap(), local, interface)
}

#[test]
fn a_factory_fresh_appliance_lets_nobody_relay() {
    let settings = Settings::default();
    let none = Peers::default();
    for client in ["10.0.2.2", "127.0.0.1", "::1", "192.0.2.1", "::ffff:10.0.0.1", "2001:db8::1", "0.0.0.0"] {
        let judged =
            none.judge(&settings.relay_networks, client.parse().unwrap(), "10.0.0.1:25".parse().unwrap(), 1);
        assert_eq!((judged.rights.relay, judged.rule), (RelayRight::None, Rule::Nobody), "{client}");
        assert!(!judged.rights.keep_headers);
    }
}

#[test]
fn the_most_specific_source_decides_then_listener_then_interface_then_name() {
    let peers = peers(&[
        "wide any class internet",
        "site 10.0.0.0/8 class application",
        "guests 10.66.0.0/16 class internet relay none",
        "scanner 10.66.7.0/24 class application relay internal",
        "a-twin 10.1.0.0/16 class application",
        "b-twin 10.1.0.0/16 class exchange",
        "nic 10.2.0.0/16 on if2 class exchange",
        "port 10.2.0.0/16 on *:587 class trusted",
        "adapter 10.3.0.0/16 on 10.2.3.4:25 class application rate 5",
        "six 2001:db8::/32 class application",
    ]);
    for (client, local, interface, rule) in [
        ("203.0.113.1", "10.9.9.9:25", 1, "wide"),
        ("2a00::1", "10.9.9.9:25", 1, "wide"),
        ("10.5.0.1", "10.9.9.9:25", 1, "site"),
        ("::ffff:10.5.0.1", "10.9.9.9:25", 1, "site"),
        ("10.66.1.1", "10.9.9.9:25", 1, "guests"),
        ("10.66.7.9", "10.9.9.9:25", 1, "scanner"),
        ("10.1.1.1", "10.9.9.9:25", 1, "a-twin"),
        ("10.2.1.1", "10.9.9.9:25", 1, "site"),
        ("10.2.1.1", "10.9.9.9:25", 2, "nic"),
        ("10.2.1.1", "10.9.9.9:587", 2, "port"),
        ("10.3.1.1", "10.2.3.4:25", 1, "adapter"),
        ("10.3.1.1", "10.2.3.5:25", 1, "site"),
        ("10.3.1.1", "10.2.3.4:26", 1, "site"),
        ("2001:db8::9", "[2001:db8::1]:25", 2, "six"),
    ] {
        let found = judged_on(&peers, client, local, interface);
        assert_eq!(found.rule, Rule::Peer(rule.into()), "{client} {local} if{interface}");
    }
    // The setting `relay-networks` stands behind a rule of the same source, and before a wider one.
    let networks = ["10.66.0.0/16", "10.5.0.0/24"].map(|text| settings::relay_network(text).unwrap());
    let judge = |client: &str| {
        peers.judge(&networks, client.parse().unwrap(), "10.9.9.9:25".parse().unwrap(), 1).rule
    };
    assert_eq!(judge("10.66.1.1"), Rule::Peer("guests".into()));
    assert_eq!(judge("10.5.0.7"), Rule::RelayNetwork(networks[1]));
}

#[test]
fn classes_give_the_rights_that_a_rule_does_not_name() {
    for (line, rights) in [
        ("a any class internet", Rights::of(Class::Internet)),
        ("a 10.0.0.1 class application", Rights::of(Class::Application)),
        (
            "a 10.0.0.1 class application repair off rate 60 senders own,apps.Example.org tarpit 5",
            Rights {
                repair: false,
                rate: 60,
                senders_own: true,
                sender_domains: Box::new(["apps.example.org".into()]),
                tarpit_s: 5,
                ..Rights::of(Class::Application)
            },
        ),
        (
            "a 10.0.0.1 class exchange headers remove starttls off size 36M connections 4",
            Rights {
                keep_headers: false,
                starttls: false,
                message_bytes_max: Some(36 << 20),
                connections: 4,
                ..Rights::of(Class::Exchange)
            },
        ),
        (
            "a 10.0.0.1 relay internal verify-sender on verify-recipient on class trusted size default",
            Rights {
                relay: RelayRight::Internal,
                verify_sender: true,
                verify_recipient: true,
                message_bytes_max: None,
                ..Rights::of(Class::Trusted)
            },
        ),
    ] {
        let peer = Peer::parse(line).unwrap_or_else(|fault| panic!("{line}: {fault}"));
        assert_eq!(*peer.rights(), rights, "{line}");
        assert_eq!(Peer::parse(&peer.to_string()).unwrap(), peer, "{peer}");
    }
    let internet = Rights::of(Class::Internet);
    assert!(internet.relay == RelayRight::Internal && !internet.keep_headers && !internet.repair);
}

#[test]
fn a_wrong_row_says_what_would_be_right() {
    for (line, part) in [
        ("", "a value is missing"),
        ("printers", "a value is missing"),
        ("printers class application", "a value is missing"),
        ("pr!nters 10.0.0.1 class application", "not a name"),
        ("relay-networks 10.0.0.1 class application", "not a name"),
        ("printers 10.0.0.1", "a class is missing"),
        ("printers 10.0.0.1 class", "a class is missing"),
        ("printers 10.0.0.1 class server", "internet, application, exchange, trusted"),
        ("printers 10.0.0.300 class application", "not an IP address"),
        ("printers 10.0.0.1/24 class application", "the network is `10.0.0.0/24`"),
        ("printers 10.0.0.1,10.0.0.1 class application", "already"),
        ("printers any class application", "only go with `class internet`"),
        ("printers 0.0.0.0/1 class exchange", "only go with `class internet`"),
        ("internet any class internet relay any", "never relays to anywhere"),
        ("internet any class internet headers keep", "`headers keep` only goes with"),
        ("app 10.0.0.1 class application headers keep", "`headers keep` only goes with"),
        ("app 10.0.0.1 class application rate 0", "out of range"),
        ("app 10.0.0.1 class application rate 5 rate 6", "there twice"),
        ("app 10.0.0.1 class application colour red", "not an option"),
        ("app 10.0.0.1 class application on if3", "not an interface"),
        ("app 10.0.0.1 class application on if1:0", "not a port"),
        ("app 10.0.0.1 class application on 10.2.3.4", "not a listener"),
        ("app 10.0.0.1 class application on 2001:db8::1:25", "not a listener"),
        ("app 10.0.0.1 class application senders", "a value is missing"),
        ("app 10.0.0.1 class application senders exa_mple", "not a domain"),
        ("app 10.0.0.1 class application rewrite nobody", "not an address"),
        ("app 10.0.0.1 class application tarpit 31", "out of range"),
    ] {
        check_fault::<Peer>(line, part);
    }
    for (line, part) in [
        ("exa_mple", "not a domain"),
        ("example.org name gw", "has no domain"),
        ("example.org +sub +sub", "there twice"),
        ("example.org inside", "not an option"),
    ] {
        check_fault::<Domain>(line, part);
    }
    for (line, part) in [
        ("noreply", "not an address"),
        ("noreply@example.org", "a value is missing"),
        ("noreply@example.org explode", "forward, discard, reject, reply-once"),
        ("noreply@example.org discard now", "one word too many"),
        ("noreply@example.org forward", "a value is missing"),
        ("noreply@example.org forward nobody", "not an address"),
        ("NoReply@Example.org forward noreply@example.org", "forward to itself"),
        ("noreply@example.org reply-once", "a value is missing"),
        ("noreply@example.org reject b\u{fc}", "cannot stand in a reply"),
        ("noreply@example.org reply-once a\u{1}b", "cannot stand in a reply"),
    ] {
        check_fault::<Action>(line, part);
    }
    for (line, part) in [
        ("example.org", "a value is missing"),
        ("example.org inside", "a value is missing"),
        ("example.org mx 10.0.0.1", "`mx` or to hosts"),
        ("example.org cost 10 10.0.0.1", "follows the hosts"),
        ("example.org 10.0.0.1 cost 10 cost 20", "follows the hosts"),
        ("example.org 10.0.0.1 cost 0", "out of range"),
        ("example.org 10.0.0.1 10.0.0.1", "already"),
        ("example.org a,b,c,d,e,f,g,h,i", "at most 8 hosts"),
        ("example.org 10.0.0.1 from if9", "not an interface"),
        ("example.org 10.0.0.1 from 0.0.0.0", "not an address of another machine"),
        ("example.org 10.0.0.1 helo gw", "has no domain"),
        ("example.org 10.0.0.1 exchange exchange", "there twice"),
    ] {
        check_fault::<Route>(line, part);
    }
}

fn check_fault<R: Row + core::fmt::Debug>(line: &str, part: &str) {
    let fault = R::parse(line).expect_err(line).to_string();
    assert!(fault.contains(part), "{line}: {fault}");
    assert!(fault.bytes().all(|b| (b' '..=b'~').contains(&b)) && fault.len() < 160, "{fault}");
}

#[test]
fn a_route_has_hosts_by_cost_and_what_connections_are_like() {
    for (line, printed, hosts) in [
        ("Example.ORG. MX1.example.org", "example.org mx1.example.org", "mx1.example.org 1"),
        ("* 10.0.0.1:2525 inside", "* 10.0.0.1:2525 inside", "10.0.0.1:2525 1"),
        (
            "example.org b, c cost 20 a cost 10 exchange from if2 helo gw.example.org connections 3 rate 90",
            "example.org a cost 10 b,c cost 20 exchange from if2 helo gw.example.org connections 3 rate 90",
            "a 10,b 20,c 20",
        ),
        ("example.org a cost 5", "example.org a cost 5", "a 5"),
        ("example.org a cost 1 b", "example.org a,b", "a 1,b 1"),
        ("example.org mx from 192.0.2.7", "example.org mx from 192.0.2.7", ""),
        (
            "example.org [2001:db8::1]:26,2001:db8::2",
            "example.org [2001:db8::1]:26,2001:db8::2",
            "[2001:db8::1]:26 1,2001:db8::2 1",
        ),
    ] {
        let route = Route::parse(line).unwrap_or_else(|fault| panic!("{line}: {fault}"));
        let found: Vec<_> =
            route.hosts().iter().map(|host| format!("{} {}", host.next_hop, host.cost)).collect();
        assert_eq!((route.to_string().as_str(), found.join(",").as_str()), (printed, hosts));
        assert_eq!(Route::parse(printed).unwrap(), route);
    }
    let older = Route::parse("example.org a cost 10 b cost 20").unwrap();
    for (line, joined) in [
        ("example.org c cost 20", "example.org a cost 10 c cost 20"),
        ("example.org c cost 30 exchange", "example.org a cost 10 b cost 20 c cost 30 exchange"),
        ("example.org b cost 5", "example.org b cost 5 a cost 10"),
        ("example.org mx", "example.org mx"),
    ] {
        let newer = Route::parse(line).unwrap();
        assert_eq!(newer.joined(&older).unwrap().to_string(), joined, "{line}");
    }
    let older = Route::parse("example.org a exchange from if2 rate 9").unwrap();
    let joined = Route::parse("example.org b cost 2 rate 7").unwrap().joined(&older).unwrap();
    assert_eq!(joined.to_string(), "example.org a cost 1 b cost 2 exchange from if2 rate 7");
    let same = |a: &str, b: &str| Route::parse(a).unwrap().name() == Route::parse(b).unwrap().name();
    assert!(same("a.example h1,h2", "b.example h1 h2 inside"));
    assert!(!same("a.example h1", "a.example h1 helo x.example.org"));
    assert!(!same("a.example h1", "a.example h1 from if2"));
}

#[test]
fn own_domains_names_and_addresses_are_known_in_every_form() {
    let domains: Domains =
        table(&["Example.org name GW.example.org", "sub.example.net +sub", "b\u{fc}cher.example"]);
    for (domain, internal) in [
        ("example.org", true),
        ("EXAMPLE.org.", true),
        ("a.example.org", false),
        ("sub.example.net", true),
        ("a.b.sub.example.net", true),
        ("xsub.example.net", false),
        ("example.net", false),
        ("xn--bcher-kva.example", true),
        ("[192.0.2.1]", false),
        ("", false),
    ] {
        assert_eq!(domains.is_internal(domain), internal, "{domain}");
    }
    let mut settings = Settings::default();
    for (name, value) in [
        ("hostname", "gw1.example.org"),
        ("banner-name", "mail.example.org"),
        ("own-names", "mx.example.net,mx.example.com"),
        ("own-addresses", "198.51.100.7"),
    ] {
        settings.set(name, value).unwrap();
    }
    for own in ["gw1.example.org", "MAIL.example.org.", "mx.example.NET", "gw.example.org", "mx.example.com"]
    {
        assert!(settings.is_own_name(&domains, own), "{own}");
    }
    assert!(!settings.is_own_name(&domains, "example.org"));
    let interfaces: [IpAddr; 1] = ["10.0.0.1".parse().unwrap()];
    for (address, own) in [
        ("10.0.0.1", true),
        ("::ffff:10.0.0.1", true),
        ("198.51.100.7", true),
        ("127.0.0.9", true),
        ("::1", true),
        ("0.0.0.0", true),
        ("10.0.0.2", false),
    ] {
        assert_eq!(settings.is_own_address(interfaces, address.parse().unwrap()), own, "{address}");
    }
}

#[test]
fn an_exchange_of_everybody_sends_only_for_own_domains() {
    let domains: Domains = table(&["example.org"]);
    let peers = peers(&[
        "exchange 40.92.0.0/15 class exchange senders own",
        "printers 10.0.0.0/24 class application senders apps.example.org",
    ]);
    for (client, sender, relay) in [
        ("40.92.1.1", Some("Example.org"), RelayRight::Any),
        ("40.92.1.1", Some("other.example"), RelayRight::Internal),
        ("40.92.1.1", None, RelayRight::Any),
        ("10.0.0.1", Some("apps.example.org"), RelayRight::Any),
        ("10.0.0.1", Some("example.org"), RelayRight::None),
        ("203.0.113.1", Some("example.org"), RelayRight::None),
    ] {
        assert_eq!(judged(&peers, client).relay_for(&domains, sender), relay, "{client} {sender:?}");
    }
}

#[test]
fn an_action_is_found_in_any_letter_case() {
    let actions: Actions = table(&[
        "NoReply@Example.org reply-once This address is not read.",
        "old@example.org forward new@example.org",
        "full@example.org reject",
    ]);
    let what = actions.action_for("noreply@EXAMPLE.ORG.").unwrap().what().clone();
    assert_eq!(what, What::ReplyOnce("This address is not read.".into()));
    assert!(
        matches!(actions.action_for("old@example.org").unwrap().what(), What::Forward(to) if to.as_str() == "new@example.org")
    );
    assert_eq!(actions.action_for("full@example.org").unwrap().what(), &What::Reject("".into()));
    assert!(actions.action_for("nobody@example.org").is_none());
}

#[test]
fn a_group_of_sources_grows_and_is_printed_in_lines_that_a_console_takes() {
    let mut peer = Peer::parse("exchange 2001:db8::/48 class exchange senders own").unwrap();
    for at in 1..PEER_SOURCES_COUNT_MAX {
        peer =
            peer.with_sources(&format!("2001:db8:1111:2222:3333:4444:5555:{:x}/128", 0xff00 + at)).unwrap();
    }
    assert!(peer.with_sources("10.0.0.1").is_err());
    let (first, rest) = peer.lines();
    let mut again = Peer::parse(&first).unwrap();
    for line in &rest {
        assert!(format!("peer source exchange add {line}").len() <= LINE_CHARS_MAX);
        again = again.with_sources(line).unwrap();
    }
    assert!(first.len() + 9 <= LINE_CHARS_MAX);
    assert_eq!(again, peer);
    assert!(peer.without_sources("10.0.0.1").is_err());
    let less = peer.without_sources("2001:db8::/48").unwrap();
    assert_eq!(less.sources().len(), PEER_SOURCES_COUNT_MAX - 1);
    let one = Peer::parse("a 10.0.0.1 class trusted").unwrap();
    assert!(one.without_sources("10.0.0.1").is_err());
    assert!(one.with_sources("any").is_err());
}

#[test]
fn every_change_of_the_rules_survives_a_power_cut_or_has_not_happened() {
    const BLOCK: usize = 16 * 1_024;
    let mut random = Random::new(11);
    let base = SimFlash::<BLOCK>::new(2).program_once();
    let open = |flash: &SimFlash<BLOCK>| {
        let (mut store, ..) = block_on(Store::open(flash.clone())).unwrap();
        let (peers, unreadable) = block_on(store.table::<Peer>());
        assert_eq!(unreadable, 0);
        (store, RefCell::new(peers))
    };
    let listed = |peers: &RefCell<Peers>| peers.borrow().iter().map(ToString::to_string).collect::<Vec<_>>();
    let mut model = BTreeMap::<String, String>::new();
    let mut cuts = 0;
    for turn in 0..60u64 {
        let name = format!("p{}", random.below(12));
        let line = format!("{name} 10.0.{}.0/24 class application", random.below(200));
        let before: Vec<_> = model.values().cloned().collect();
        let remove = model.contains_key(&name) && random.below(2) == 0;
        if remove {
            model.remove(&name);
        } else {
            model.insert(name.clone(), line.clone());
        }
        let after: Vec<_> = model.values().cloned().collect();
        let change = |flash: &SimFlash<BLOCK>| {
            let (mut store, peers) = open(flash);
            if remove {
                block_on(store.remove(&peers, &name))
            } else {
                block_on(store.add(&peers, Peer::parse(&line).unwrap()))
            }
        };
        for at in (0..64).filter(|_| turn % 2 == 0) {
            let flash = base.fork();
            flash.cut_after(at, Tear::Half(turn * 64 + at));
            let changed = change(&flash);
            if !flash.is_off() {
                assert_eq!(changed, Ok(()));
                break;
            }
            cuts += 1;
            flash.power_on();
            let found = listed(&open(&flash).1);
            assert!(found == before || found == after, "cut after {at} operations of change {turn}");
        }
        change(&base).unwrap();
        assert_eq!(listed(&open(&base).1), after);
    }
    assert!(cuts > 50, "{cuts}");
}

#[test]
fn lost_rules_leave_nobody_any_right_until_the_operator_has_looked() {
    let flash = Flash::new(2);
    let (mut store, ..) = block_on(Store::open(flash.clone())).unwrap();
    let peers = RefCell::new(Peers::default());
    block_on(store.add(&peers, Peer::parse("site 10.0.0.0/8 class application").unwrap())).unwrap();
    block_on(store.add(&peers, Peer::parse("guests 10.66.0.0/16 class internet relay none").unwrap()))
        .unwrap();
    assert_eq!(judged(&peers.borrow(), "10.66.0.1").rights.relay, RelayRight::None);
    // The page holds something that no such firmware writes.
    for foreign in [&b"\x03"[..], b"\x02\x05\x00guest", b"\x02\x01\x00x", b"", b"\x02\xff\xff"] {
        let flash = flash.fork();
        let mut kv = block_on(flash_log::KvStore::open(flash.clone())).unwrap();
        block_on(kv.set(0x200, foreign)).unwrap();
        let (mut store, ..) = block_on(Store::open(flash.clone())).unwrap();
        let (found, unreadable) = block_on(store.table::<Peer>());
        assert_eq!(unreadable, 1, "{foreign:?}");
        let found = RefCell::new(found);
        for client in ["10.0.0.1", "10.66.0.1"] {
            let judged = judged(&found.borrow(), client);
            assert_eq!((judged.rights.relay, judged.rule), (RelayRight::None, Rule::Damaged));
        }
        // What is added does not make it whole by itself.
        block_on(store.add(&found, Peer::parse("site 10.0.0.0/8 class application").unwrap())).unwrap();
        assert_eq!(judged(&found.borrow(), "10.0.0.1").rule, Rule::Damaged);
        block_on(store.confirm(&found)).unwrap();
        assert_eq!(judged(&found.borrow(), "10.0.0.1").rights.relay, RelayRight::Any);
        let (mut store, ..) = block_on(Store::open(flash.clone())).unwrap();
        assert_eq!(block_on(store.table::<Peer>()).1, 0);
    }
}

#[test]
fn flipped_bits_never_give_a_client_more() {
    let flash = Flash::new(2);
    let (mut store, ..) = block_on(Store::open(flash.clone())).unwrap();
    let peers = RefCell::new(Peers::default());
    for line in [
        "site 10.0.0.0/8 class application",
        "a 10.1.0.0/16 class application",
        "b 10.2.0.0/16 class application",
        "c 10.3.0.0/16 class application",
        // On another page than what it narrows.
        "guests 10.66.0.0/16 class internet relay none",
    ] {
        block_on(store.add(&peers, Peer::parse(line).unwrap())).unwrap();
    }
    let image = flash.image();
    let used = image.iter().rposition(|octet| *octet != 0xff).unwrap() + 1;
    let mut refused = 0;
    for at in (limits::flash::BLOCK_HEADER_BYTES..used).step_by(5) {
        if image[at] == 0xff {
            continue;
        }
        let mut damaged = image.clone();
        damaged[at] ^= 1 << (at % 8);
        let (mut store, ..) = block_on(Store::open(Flash::from_image(damaged))).unwrap();
        let (found, _) = block_on(store.table::<Peer>());
        refused += u32::from(found.is_damaged());
        let known = peers.borrow();
        assert!(found.iter().all(|peer| known.iter().any(|sound| sound == peer)), "octet {at}");
    }
    assert!(refused > 0);
}

#[test]
fn the_largest_table_of_rules_is_full_and_says_so() {
    let flash = Flash::new(2).program_once();
    let (mut store, ..) = block_on(Store::open(flash.clone())).unwrap();
    let peers = RefCell::new(Peers::default());
    for at in 0..PEERS_COUNT_MAX {
        let line = format!("peer-{at} 10.0.{at}.0/24 class application");
        block_on(store.add(&peers, Peer::parse(&line).unwrap())).unwrap();
    }
    let more = block_on(store.add(&peers, Peer::parse("more 10.1.0.0/24 class application").unwrap()));
    assert_eq!(more, Err(TableError::Full(TableKind::Peers)));
    assert!(more.unwrap_err().to_string().contains("at most 64 peers"));
    let (mut store, ..) = block_on(Store::open(flash)).unwrap();
    assert_eq!(block_on(store.table::<Peer>()).0, *peers.borrow());
}

#[test]
fn the_secret_is_kept_and_never_shown() {
    let flash = Flash::new(2);
    let (mut store, ..) = block_on(Store::open(flash.clone())).unwrap();
    assert!(block_on(store.secret()).unwrap().is_none());
    block_on(store.set_secret(&Secret::new([7; 32]))).unwrap();
    let (mut store, settings, _) = block_on(Store::open(flash)).unwrap();
    let secret = block_on(store.secret()).unwrap().unwrap();
    assert_eq!(secret.octets(), &[7; 32]);
    assert_eq!(format!("{secret:?}"), "Secret");
    assert!(!settings.export().concat().contains("secret"));
    block_on(store.factory_reset()).unwrap();
    assert!(block_on(store.secret()).unwrap().is_none());
}
