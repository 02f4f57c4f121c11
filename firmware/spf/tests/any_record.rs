//! Whatever a domain publishes, a check ends with an answer within the bounds of the standard.

use dns::Name;
use embassy_futures::block_on;
use limits::spf::LOOKUPS_COUNT_MAX;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use spf::{Lookup, LookupError, Outcome, Sender, check_host};
use std::cell::Cell;
use std::net::IpAddr;

/// Every name has the same record, so that includes lead in circles.
struct Everywhere {
    record: Vec<u8>,
    asked: Cell<u32>,
}

impl Everywhere {
    fn note(&self) {
        self.asked.set(self.asked.get() + 1);
    }
}

impl Lookup for Everywhere {
    async fn txt(&self, _: &Name) -> Result<Vec<Vec<u8>>, LookupError> {
        self.note();
        Ok(vec![self.record.clone()])
    }

    async fn addresses(&self, _: &Name, six: bool) -> Result<Vec<IpAddr>, LookupError> {
        self.note();
        if six { Err(LookupError::NoData) } else { Ok(vec![IpAddr::from([203, 0, 113, 9])]) }
    }

    async fn mx(&self, name: &Name) -> Result<Vec<Name>, LookupError> {
        self.note();
        Ok(vec![name.clone(); 10])
    }

    async fn ptr(&self, _: IpAddr) -> Result<Vec<Name>, LookupError> {
        self.note();
        Ok(vec![Name::parse("host.example.org").expect("a name"); 50])
    }
}

fn check(record: &str, client: &str) -> (spf::Evaluation, u32) {
    let world = Everywhere { record: record.as_bytes().to_vec(), asked: Cell::new(0) };
    let client = client.parse().expect("an address");
    let sender = Sender { client, local_part: "ann", domain: "example.org", helo: "mail.example.org" };
    (block_on(check_host(&world, &sender)), world.asked.get())
}

fn terms() -> impl Strategy<Value = String> {
    let names = prop_oneof![
        Just("example.org".to_string()),
        Just("%{d}".to_string()),
        Just("%{ir}.%{v}._spf.%{d2}".to_string()),
        Just("%{p}.x.org".to_string()),
        Just("%{l1r+-}.%{o}".to_string()),
        "[%{}a-z0-9./_-]{0,30}",
    ];
    let mechanisms = prop_oneof![
        Just("include:"),
        Just("a:"),
        Just("mx:"),
        Just("exists:"),
        Just("ptr:"),
        Just("redirect="),
        Just("exp="),
        Just("ip4:"),
        Just("ip6:"),
        Just("all"),
        Just("x="),
    ];
    (prop_oneof![Just(""), Just("-"), Just("~"), Just("?"), Just("+")], mechanisms, names)
        .prop_map(|(qualifier, mechanism, name)| format!("{qualifier}{mechanism}{name}"))
}

#[test]
fn any_record_at_all_is_evaluated_or_refused_within_bounds() {
    let config = ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() };
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let records = prop_oneof![
        prop::collection::vec(terms(), 0..30).prop_map(|terms| format!("v=spf1 {}", terms.join(" "))),
        "v=spf1 [ -~]{0,200}",
    ];
    TestRunner::new_with_rng(config, seed)
        .run(&records, |record| {
            for client in ["192.0.2.1", "2001:db8::1"] {
                let (evaluation, asked) = check(&record, client);
                prop_assert!(evaluation.lookups <= LOOKUPS_COUNT_MAX);
                // Ten terms, each with ten hosts or names at most; and the name of the client for a macro in each.
                prop_assert!(asked <= 1 + 10 * (1 + 10 + 11), "{asked}: {record}");
            }
            Ok(())
        })
        .expect("every record");
}

#[test]
fn an_include_of_itself_ends_after_ten_look_ups() {
    let (evaluation, asked) = check("v=spf1 include:example.org -all", "192.0.2.1");
    assert_eq!((evaluation.outcome, evaluation.lookups, asked), (Outcome::PermError, 10, 11));
}

#[test]
fn the_term_that_decides_is_told() {
    let (evaluation, _) = check("v=spf1 ?ip4:192.0.2.0/24 -all", "192.0.2.1");
    assert_eq!(evaluation.outcome, Outcome::Neutral);
    let (name, term) = evaluation.decided_by.expect("a term");
    assert_eq!((name.to_string().as_str(), &*term), ("example.org", "?ip4:192.0.2.0/24"));
    // An address of IPv4 inside IPv6 is the IPv4 address.
    let (evaluation, _) = check("v=spf1 ip4:192.0.2.1 -all", "::ffff:192.0.2.1");
    assert_eq!(evaluation.outcome, Outcome::Pass);
}
