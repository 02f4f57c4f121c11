//! The table of routes: which domain goes where, and what a power cut leaves of it.

#![allow(clippy::unwrap_used, reason = "a test ends in a panic")]

use core::cell::RefCell;
use embassy_futures::block_on;
use flash_sim::{Random, SimFlash, Tear};
use limits::settings::ROUTES_COUNT_MAX;
use settings::{Loaded, Route, Routes, Settings, Store, TableError, TableKind};
use std::collections::BTreeMap;

const BLOCK: usize = 256 * 1_024;
type Flash = SimFlash<BLOCK>;

fn route(domain: &str, next_hop: &str) -> Route {
    Route::new(domain, next_hop, false).unwrap()
}

/// Starts on the flash again and reads the table.
fn start(flash: &Flash) -> (Store<Flash>, RefCell<Routes>) {
    let (mut store, ..) = block_on(Store::open(flash.clone())).unwrap();
    let (routes, unreadable) = block_on(store.routes());
    assert_eq!(unreadable, 0);
    (store, RefCell::new(routes))
}

fn listed(routes: &RefCell<Routes>) -> Vec<String> {
    routes.borrow().iter().map(ToString::to_string).collect()
}

#[test]
fn the_closest_domain_above_decides() {
    let flash = Flash::new(2);
    let (mut store, routes) = start(&flash);
    for (domain, hop) in [
        ("example.org", "mx.example.org"),
        ("Sales.Example.ORG.", "192.0.2.25:2525"),
        (".example.net", "10.0.0.1"),
        ("b\u{fc}cher.example", "10.0.0.2"),
    ] {
        block_on(store.add(&routes, route(domain, hop))).unwrap();
    }
    for (domain, hop) in [
        ("example.org", Some("mx.example.org")),
        ("EXAMPLE.org.", Some("mx.example.org")),
        ("a.b.example.org", Some("mx.example.org")),
        ("sales.example.org", Some("192.0.2.25:2525")),
        ("eu.sales.example.org", Some("192.0.2.25:2525")),
        ("presales.example.org", Some("mx.example.org")),
        ("myexample.org", None),
        ("org", None),
        ("example.net", Some("10.0.0.1")),
        ("x.example.net", Some("10.0.0.1")),
        ("xn--bcher-kva.example", Some("10.0.0.2")),
        ("B\u{dc}CHER.example", Some("10.0.0.2")),
        ("[192.0.2.1]", None),
        ("", None),
        ("..", None),
    ] {
        let routes = routes.borrow();
        assert_eq!(routes.route_for(domain).map(Route::name), hop, "{domain}");
    }
}

#[test]
fn a_wrong_route_says_what_would_be_right() {
    for (domain, hop, part) in [
        ("exa mple", "mx.example.org", "not a domain"),
        ("-a.example", "mx.example.org", "not a domain"),
        ("192.0.2.1", "mx.example.org", "not a domain"),
        ("\u{1b}[2J", "mx.example.org", "not a domain"),
        ("example.org", "mx.example.org:0", "not a port"),
        ("example.org", "mx_1", "not a host name"),
        (&"a.".repeat(200), "mx.example.org", "length"),
    ] {
        let fault = Route::new(domain, hop, false).unwrap_err().to_string();
        assert!(fault.contains(part), "{fault}");
        assert!(fault.bytes().all(|b| (b' '..=b'~').contains(&b)), "{fault}");
    }
}

#[test]
fn a_full_table_refuses_and_keeps_what_it_has() {
    let flash = Flash::new(2).program_once();
    let (mut store, routes) = start(&flash);
    for at in 0..ROUTES_COUNT_MAX {
        let route = route(&format!("d{at}.example"), &format!("10.0.{}.{}", at / 250, at % 250 + 1));
        block_on(store.add(&routes, route)).unwrap();
    }
    let one_more = block_on(store.add(&routes, route("more.example", "10.9.9.9")));
    assert_eq!(one_more, Err(TableError::Full(TableKind::Routes)));
    block_on(store.add(&routes, route("d7.example", "10.9.9.9"))).unwrap();
    block_on(store.remove(&routes, "d8.example")).unwrap();
    assert_eq!(block_on(store.remove(&routes, "d8.example")), Err(TableError::NoSuchRow(TableKind::Routes)));
    block_on(store.add(&routes, route("more.example", "10.9.9.9"))).unwrap();
    let (_, again) = start(&flash);
    assert_eq!(listed(&again), listed(&routes));
    assert_eq!(again.borrow().len(), ROUTES_COUNT_MAX);
}

#[test]
fn the_longest_routes_leave_room_for_the_settings() {
    let flash = Flash::new(2).program_once();
    let (mut store, routes) = start(&flash);
    let label = "a".repeat(60);
    let mut added = 0;
    let refused = (0..ROUTES_COUNT_MAX).find_map(|at| {
        let domain = format!("{at:04}{}.{label}.{label}.{label}", &label[4..]);
        let route = route(&domain, &format!("{domain}:65535"));
        added += 1;
        block_on(store.add(&routes, route)).err()
    });
    assert_eq!(refused, Some(TableError::Full(TableKind::Routes)));
    assert!(added > 180, "{added}");
    for turn in 0..40 {
        let mut settings = Settings::default();
        settings.set("hostname", &format!("gw{turn}.example.org")).unwrap();
        block_on(store.save(&settings)).unwrap();
        block_on(store.set_operating_time(turn)).unwrap();
    }
    let (mut store, settings, loaded) = block_on(Store::open(flash.clone())).unwrap();
    assert_eq!((settings.hostname(), loaded), ("gw39.example.org", Loaded::Stored));
    assert_eq!(block_on(store.operating_time()), Ok(39));
    assert_eq!(block_on(store.routes()).0, *routes.borrow());
}

#[test]
fn a_power_cut_at_any_operation_leaves_the_table_with_the_change_or_without_it() {
    let mut random = Random::new(7);
    let base = SimFlash::<{ 16 * 1_024 }>::new(2).program_once();
    let open = |flash: &SimFlash<{ 16 * 1_024 }>| {
        let (mut store, ..) = block_on(Store::open(flash.clone())).unwrap();
        let (routes, unreadable) = block_on(store.routes());
        assert_eq!(unreadable, 0);
        (store, RefCell::new(routes))
    };
    let mut model = BTreeMap::<String, String>::new();
    let table = |model: &BTreeMap<String, String>| {
        model.iter().map(|(domain, hop)| format!("{domain} {hop}")).collect::<Vec<_>>()
    };
    let mut cuts = 0;
    for turn in 0..120u64 {
        let domain = format!("d{}.example", random.below(40));
        let hop = format!("10.0.0.{}", random.below(200) + 1);
        let before = table(&model);
        let remove = model.contains_key(&domain) && random.below(2) == 0;
        if remove {
            model.remove(&domain);
        } else {
            model.insert(domain.clone(), hop.clone());
        }
        let after = table(&model);
        let change = |flash: &SimFlash<{ 16 * 1_024 }>| {
            let (mut store, routes) = open(flash);
            if remove {
                block_on(store.remove(&routes, &domain))
            } else {
                block_on(store.add(&routes, route(&domain, &hop)))
            }
        };
        for at in (0..64).filter(|_| turn % 4 == 0) {
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
fn damaged_pages_are_counted_and_the_others_stay() {
    let flash = Flash::new(2);
    let (mut store, routes) = start(&flash);
    for at in 0..40 {
        block_on(store.add(&routes, route(&format!("d{at}.example"), "10.0.0.1"))).unwrap();
    }
    let image = flash.image();
    let used = image.iter().rposition(|octet| *octet != 0xff).unwrap() + 1;
    for at in (0..used).step_by(97) {
        let mut damaged = image.clone();
        damaged[at] ^= 1 << (at % 8);
        let (mut store, ..) = block_on(Store::open(Flash::from_image(damaged))).unwrap();
        let (found, unreadable) = block_on(store.routes());
        let all = routes.borrow();
        let sound = |route: &Route| all.iter().any(|known| known == route);
        assert!(found.iter().all(sound), "octet {at}");
        // An older version of a page may take the place of a damaged one; more than one page is never lost, unless it
        // is the header of the block that is damaged.
        assert!(
            at < limits::flash::BLOCK_HEADER_BYTES || found.len() + 16 >= all.len() && unreadable <= 1,
            "octet {at}"
        );
    }
}
