//! A table of situations, and what must hold in any situation.

use super::*;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

/// A little DNS: hosts and their addresses; `?` among them: nobody can say; `=name`: an alias of that name.
type Zone = BTreeMap<String, Vec<String>>;

fn us() -> Ourselves {
    let addresses = ["192.0.2.5", "2001:db8::5", "203.0.113.5"].map(address);
    Ourselves::new(["gw.example", "mx.second.example", "gw.third.example"], addresses)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn zone(text: &str) -> Zone {
    let mut zone = Zone::new();
    for host in text.split(';').map(str::trim).filter(|host| !host.is_empty()) {
        let (name, addresses) = host.split_once(' ').unwrap_or((host, ""));
        zone.insert(name.into(), addresses.split_whitespace().map(String::from).collect());
    }
    zone
}

/// The MX records of `10 a.example, 20 b.example`; `.` is the null MX, `!` no host.
fn records(text: &str) -> Vec<(u16, Exchange<'_>)> {
    text.split(',')
        .map(|record| {
            let (preference, host) = record.trim().split_once(' ').expect("preference and host");
            let exchange = match host {
                "." => Exchange::Null,
                "!" => Exchange::NoHost,
                host => Exchange::Host(host),
            };
            (preference.parse().expect("a number"), exchange)
        })
        .collect()
}

/// Everything there is to try, group by group.
fn groups(
    answer: MxAnswer<Vec<(u16, Exchange<'_>)>>,
    zone: &Zone,
    whose: Whose,
    us: &Ourselves,
    seed: u64,
) -> Result<Vec<Vec<Candidate>>, Nowhere> {
    let mut survey = Survey::new("domain.example", answer, whose, us, Chance::new(seed))?;
    let mut groups = Vec::new();
    loop {
        let mut asked = 0;
        while let Some(name) = survey.question().map(String::from) {
            asked += 1;
            assert!(asked <= EXCHANGERS_COUNT_MAX);
            let said = zone.get(&name.to_ascii_lowercase()).cloned().unwrap_or_default();
            let list: Vec<IpAddr> = said.iter().filter_map(|text| text.parse().ok()).collect();
            let canonical = said.iter().find_map(|text| text.strip_prefix('='));
            survey.answer(if said.iter().any(|text| text == "?") {
                HostAnswer::Temporary
            } else if list.is_empty() {
                HostAnswer::Nothing
            } else {
                HostAnswer::Addresses { list: &list, canonical }
            });
        }
        let batch = survey.batch();
        if batch.is_empty() {
            return if groups.is_empty() { Err(survey.nowhere()) } else { Ok(groups) };
        }
        groups.push(batch);
    }
}

/// What comes out in one line: hosts sorted within a group, groups in their order; or why there is nothing.
fn found(answer: MxAnswer<Vec<(u16, Exchange<'_>)>>, zone: &Zone, whose: Whose, seed: u64) -> String {
    match groups(answer, zone, whose, &us(), seed) {
        Err(nowhere) => format!("{nowhere:?}"),
        Ok(groups) => {
            let group = |group: &Vec<Candidate>| {
                let mut places: Vec<String> = group.iter().map(|c| format!("{}", c.address)).collect();
                places.sort();
                places.join(" ")
            };
            groups.iter().map(group).collect::<Vec<_>>().join(" | ")
        }
    }
}

const ZONE: &str = "a.example 10.0.0.1; b.example 10.0.0.2; c.example 10.0.0.3; \
     gw.example 192.0.2.5; mx.second.example 192.0.2.5; foreign.example 192.0.2.5; nat.example 203.0.113.5; \
     alias.example =gw.example 10.9.9.9; cname.example =real.example 10.0.0.7; both.example 10.0.0.8 2001:db8::8; \
     six.example 2001:db8::6; mapped.example ::ffff:192.0.2.5; local.example 127.0.0.1; slow.example ?; \
     cast.example 224.0.0.1; two.example 10.0.0.21 10.0.0.22; half.example 10.0.0.31 192.0.2.5; \
     domain.example 10.0.0.99";

#[test]
fn every_situation_of_the_table_comes_out_as_the_standards_and_the_site_want_it() {
    // What the MX records are, what that is for an internal domain, and what for a foreign one.
    let table = [
        // Our name is removed whichever preference we have; for a foreign domain everybody from us on is.
        ("10 a.example, 15 gw.example", "10.0.0.1", "10.0.0.1"),
        ("10 gw.example, 15 a.example", "10.0.0.1", "OnlyOurselves"),
        ("10 a.example, 15 GW.example, 20 b.example", "10.0.0.1 | 10.0.0.2", "10.0.0.1"),
        // Equal preference with us: gone for foreign domains only.
        ("10 a.example, 10 gw.example", "10.0.0.1", "OnlyOurselves"),
        // A second own name.
        ("5 mx.second.example, 10 gw.third.example, 15 a.example", "10.0.0.1", "OnlyOurselves"),
        ("5 a.example, 10 mx.second.example", "10.0.0.1", "10.0.0.1"),
        // Our address behind a foreign name, our public address in front of a translator, an alias of ours.
        ("10 foreign.example, 20 a.example", "10.0.0.1", "OnlyOurselves"),
        ("10 a.example, 20 foreign.example, 30 b.example", "10.0.0.1 | 10.0.0.2", "10.0.0.1"),
        ("10 nat.example, 20 a.example", "10.0.0.1", "OnlyOurselves"),
        ("10 alias.example, 20 a.example", "10.0.0.1", "OnlyOurselves"),
        ("10 mapped.example, 20 a.example", "10.0.0.1", "OnlyOurselves"),
        ("10 local.example, 20 a.example", "10.0.0.1", "OnlyOurselves"),
        // One of a host's addresses is ours, so the host is.
        ("10 half.example, 20 a.example", "10.0.0.1", "OnlyOurselves"),
        // We stand among equals under a foreign name: nobody of the group may be tried.
        ("10 a.example, 10 foreign.example, 20 b.example", "10.0.0.1 | 10.0.0.2", "OnlyOurselves"),
        // Nothing left.
        ("10 gw.example", "OnlyOurselves", "OnlyOurselves"),
        ("10 foreign.example, 20 mx.second.example", "OnlyOurselves", "OnlyOurselves"),
        ("10 gw.example, 20 gone.example", "OnlyOurselves", "OnlyOurselves"),
        // Nobody knows what would be left.
        ("10 slow.example, 20 gw.example", "Temporary", "Temporary"),
        ("10 slow.example", "Temporary", "Temporary"),
        ("10 slow.example, 20 a.example", "10.0.0.1", "10.0.0.1"),
        // Preferences and equals.
        (
            "30 c.example, 10 a.example, 20 b.example",
            "10.0.0.1 | 10.0.0.2 | 10.0.0.3",
            "10.0.0.1 | 10.0.0.2 | 10.0.0.3",
        ),
        (
            "10 a.example, 10 b.example, 0 c.example",
            "10.0.0.3 | 10.0.0.1 10.0.0.2",
            "10.0.0.3 | 10.0.0.1 10.0.0.2",
        ),
        ("65535 a.example, 0 b.example", "10.0.0.2 | 10.0.0.1", "10.0.0.2 | 10.0.0.1"),
        // One host twice counts with its better preference; two names for one address count once.
        ("20 a.example, 10 A.EXAMPLE, 30 a.example", "10.0.0.1", "10.0.0.1"),
        ("10 a.example, 20 a.example, 30 b.example", "10.0.0.1 | 10.0.0.2", "10.0.0.1 | 10.0.0.2"),
        // Several addresses, both families.
        ("10 both.example", "10.0.0.8 2001:db8::8", "10.0.0.8 2001:db8::8"),
        (
            "10 two.example, 20 six.example",
            "10.0.0.21 10.0.0.22 | 2001:db8::6",
            "10.0.0.21 10.0.0.22 | 2001:db8::6",
        ),
        // An alias of somebody else's host: forbidden by RFC 2181 §10.3, common, and harmless.
        ("10 cname.example", "10.0.0.7", "10.0.0.7"),
        // Null MX (RFC 7505), alone and where it must not be.
        ("0 .", "NullMx", "NullMx"),
        ("0 ., 10 a.example", "10.0.0.1", "10.0.0.1"),
        ("0 ., 10 gone.example", "NoUsableHost", "NoUsableHost"),
        // An IP address where a name must be.
        ("10 !", "NoUsableHost", "NoUsableHost"),
        ("10 !, 20 a.example", "10.0.0.1", "10.0.0.1"),
        // Addresses that are no host's.
        ("10 cast.example, 20 a.example", "10.0.0.1", "10.0.0.1"),
        ("10 cast.example", "NoUsableHost", "NoUsableHost"),
        ("10 gone.example", "NoUsableHost", "NoUsableHost"),
    ];
    let zone = zone(ZONE);
    for (mx, internal, foreign) in table {
        for seed in 0..20 {
            let of = |whose| found(MxAnswer::Records(records(mx)), &zone, whose, seed);
            assert_eq!(of(Whose::Internal), internal, "internal, seed {seed}: {mx}");
            assert_eq!(of(Whose::Foreign), foreign, "foreign, seed {seed}: {mx}");
        }
    }
}

#[test]
fn a_domain_without_mx_records_is_its_own_exchanger() {
    let run = |text: &str, whose| found(MxAnswer::NoData, &zone(text), whose, 1);
    for whose in [Whose::Internal, Whose::Foreign] {
        assert_eq!(run("domain.example 10.0.0.99", whose), "10.0.0.99");
        assert_eq!(run("", whose), "NoServer");
        assert_eq!(run("domain.example ?", whose), "Temporary");
        assert_eq!(run("domain.example 192.0.2.5", whose), "OnlyOurselves");
        assert_eq!(found(MxAnswer::NoSuchName, &zone(""), whose, 1), "NoSuchDomain");
        assert_eq!(found(MxAnswer::Temporary, &zone(""), whose, 1), "Temporary");
    }
    // Mail to one of our own host names.
    let answer = MxAnswer::<Vec<(u16, Exchange<'_>)>>::NoData;
    let us = us();
    let survey = Survey::new("gw.example", answer, Whose::Foreign, &us, Chance::new(1));
    assert_eq!(survey.map(|_| ()), Err(Nowhere::OnlyOurselves));
}

#[test]
fn without_ipv6_only_ipv4_is_tried_and_before_the_network_is_up_nothing_is_said_about_families() {
    let zone = zone(ZONE);
    let answer = |mx| MxAnswer::Records(records(mx));
    let four = Ourselves::new([], [address("192.0.2.5")]);
    let only = |mx| groups(answer(mx), &zone, Whose::Foreign, &four, 3);
    let both = only("10 both.example").expect("it has IPv4");
    assert_eq!(both.concat().iter().map(|c| c.address).collect::<Vec<_>>(), [address("10.0.0.8")]);
    assert_eq!(only("10 six.example"), Err(Nowhere::OtherFamily));
    let nobody = Ourselves::default();
    assert_eq!(
        groups(answer("10 both.example"), &zone, Whose::Foreign, &nobody, 3).expect("both").concat().len(),
        2
    );
}

#[test]
fn only_foreign_domains_fail_at_once_and_only_for_what_is_final() {
    use Nowhere::{NoServer, NoSuchDomain, NoUsableHost, NullMx, OnlyOurselves, OtherFamily, Temporary};
    for (nowhere, status) in [
        (NoSuchDomain, Some("5.1.2")),
        (NoServer, Some("5.1.2")),
        (NoUsableHost, Some("5.1.2")),
        (NullMx, Some("5.1.10")),
        (OnlyOurselves, Some("5.4.6")),
        (OtherFamily, None),
        (Temporary, None),
    ] {
        assert_eq!(nowhere.failure(Whose::Foreign).map(|s| s.to_string()).as_deref(), status);
        assert_eq!(nowhere.failure(Whose::Internal), None);
    }
}

#[test]
fn a_literal_is_its_own_answer_unless_it_is_us_or_no_host() {
    let us = us();
    let at = |text| literal(address(text), &us).map(|candidate| candidate.host.to_string());
    assert_eq!(at("10.1.2.3").as_deref(), Ok("[10.1.2.3]"));
    assert_eq!(at("2001:db8::9").as_deref(), Ok("[2001:db8::9]"));
    assert_eq!(at("::ffff:10.1.2.3").as_deref(), Ok("[10.1.2.3]"));
    for own in ["192.0.2.5", "203.0.113.5", "127.0.0.1", "::1", "0.0.0.0"] {
        assert_eq!(at(own), Err(Nowhere::OnlyOurselves), "{own}");
    }
    for nobody in ["224.0.0.1", "255.255.255.255", "ff02::1", "0.1.2.3"] {
        assert_eq!(at(nobody), Err(Nowhere::NoUsableHost), "{nobody}");
    }
}

#[test]
fn equals_share_the_mail_and_so_do_the_addresses_of_one_host() {
    let zone = zone(ZONE);
    for (mx, places) in [("10 a.example, 10 b.example, 10 c.example", 3), ("10 two.example", 2)] {
        let mut first = BTreeMap::<IpAddr, u32>::new();
        for seed in 0..3_000 {
            let answer = MxAnswer::Records(records(mx));
            let groups = groups(answer, &zone, Whose::Foreign, &us(), seed).expect("hosts");
            *first.entry(groups[0][0].address).or_default() += 1;
        }
        assert_eq!(first.len(), places, "{mx}");
        for (address, count) in first {
            let fair = 3_000 / places as u32;
            assert!(count.abs_diff(fair) < fair / 8, "{mx}: {address} was first {count} times");
        }
    }
}

#[test]
fn a_giant_set_is_bounded_and_keeps_the_best() {
    let mut zone = Zone::new();
    let mut records = Vec::new();
    let names: Vec<String> = (0..2_000).map(|n| format!("h{n}.example")).collect();
    for (n, name) in names.iter().enumerate() {
        let addresses = (0..40).map(|k| format!("10.{}.{}.{}", n / 200 + 1, n % 200, k + 1)).collect();
        zone.insert(name.clone(), addresses);
        // The best come last.
        records.push((2_000 - u16::try_from(n).expect("small"), Exchange::Host(name)));
    }
    let groups = groups(MxAnswer::Records(records), &zone, Whose::Foreign, &us(), 9).expect("hosts");
    let all = groups.concat();
    assert_eq!(all.len(), ADDRESSES_TRIED_COUNT_MAX);
    assert_eq!(&*all[0].host, "h1999.example");
    assert_eq!(all.iter().filter(|c| &*c.host == "h1999.example").count(), HOST_ADDRESSES_COUNT_MAX);
    assert_eq!(&*all[ADDRESSES_TRIED_COUNT_MAX - 1].host, "h1996.example");
}

/// Whatever DNS says: we are never tried, nothing is tried twice, the order is that of the preferences, the bounds hold,
/// and the same seed gives the same order.
#[test]
fn whatever_dns_says_no_way_leads_back_to_us() {
    let hosts: Vec<(&str, bool)> = vec![
        ("a.example", false),
        ("b.example", false),
        ("two.example", false),
        ("six.example", false),
        ("gone.example", false),
        ("slow.example", false),
        ("cast.example", false),
        ("gw.example", true),
        ("mx.second.example", true),
        ("foreign.example", true),
        ("nat.example", true),
        ("alias.example", true),
        ("half.example", true),
    ];
    let zone = zone(ZONE);
    for seed in 0..5_000u64 {
        let mut chance = Chance::new(seed);
        let count = chance.next() % 8;
        let set: Vec<(u16, usize)> = (0..count)
            .map(|_| ((chance.next() % 4) as u16 * 10, (chance.next() % hosts.len() as u64) as usize))
            .collect();
        let records = || set.iter().map(|(p, h)| (*p, Exchange::Host(hosts[*h].0))).collect::<Vec<_>>();
        let best_own = set.iter().filter(|(_, h)| hosts[*h].1).map(|(p, _)| *p).min();
        let preference = |host: &str| {
            set.iter().filter(|(_, h)| hosts[*h].0 == host).map(|(p, _)| *p).min().expect("a record")
        };
        for whose in [Whose::Internal, Whose::Foreign] {
            let run = || groups(MxAnswer::Records(records()), &zone, whose, &us(), seed);
            assert_eq!(run(), run(), "seed {seed}");
            let Ok(groups) = run() else { continue };
            let mut tried = Vec::new();
            let mut last = None;
            for group in &groups {
                let at = preference(&group[0].host);
                assert!(last.is_none_or(|last| last < at), "seed {seed}: {set:?}");
                last = Some(at);
                for candidate in group {
                    assert_eq!(preference(&candidate.host), at, "seed {seed}");
                    assert!(!us().is_address(candidate.address) && !us().is_name(&candidate.host));
                    assert!(!tried.contains(&candidate.address), "seed {seed}");
                    tried.push(candidate.address);
                    if whose == Whose::Foreign {
                        assert!(best_own.is_none_or(|own| at < own), "seed {seed}: {set:?}");
                    }
                }
            }
            if whose == Whose::Internal {
                let want = set.iter().filter(|(_, h)| matches!(hosts[*h].0, "a.example" | "b.example"));
                for (_, h) in want {
                    assert!(groups.concat().iter().any(|c| &*c.host == hosts[*h].0), "seed {seed}: {set:?}");
                }
            }
        }
    }
}
