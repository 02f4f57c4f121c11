//! The openspf.org test suite for RFC 7208, see `suite/LICENSE`.

use dns::Name;
use embassy_futures::block_on;
use serde_json::Value;
use spf::{Lookup, LookupError, Sender, check_host};
use std::collections::HashMap;
use std::net::IpAddr;

/// The records of one part of the suite: type and data by name.
struct Zone(HashMap<String, Vec<(String, String)>>);

impl Zone {
    fn read(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let records = |records: &Value| {
            let records = records.as_array().expect("a list").iter();
            records.map(|record| (text(&record[0]), text(&record[1]))).collect()
        };
        let zone = value.as_object().expect("a table").iter();
        let key = |name: &str| Name::from_dotted(name).expect("a name").to_string();
        Self(zone.map(|(name, all)| (key(name), records(all))).collect())
    }

    fn records(&self, name: &Name, kind: &str) -> Result<Vec<String>, LookupError> {
        let mut name = name.to_string();
        for _ in 0..10 {
            let Some(records) = self.0.get(&name) else { return Err(LookupError::NoSuchName) };
            if let Some((_, target)) = records.iter().find(|(k, _)| k == "CNAME") {
                name = target.to_lowercase();
                continue;
            }
            let found: Vec<String> =
                records.iter().filter(|(k, _)| k == kind).map(|(_, v)| v.clone()).collect();
            if !found.is_empty() {
                return Ok(found);
            }
            return Err(match records.iter().any(|(k, _)| k == "TIMEOUT") {
                true => LookupError::Temporary,
                false => LookupError::NoData,
            });
        }
        Err(LookupError::Temporary)
    }
}

impl Lookup for Zone {
    async fn txt(&self, name: &Name) -> Result<Vec<Vec<u8>>, LookupError> {
        Ok(self.records(name, "TXT")?.into_iter().map(String::into_bytes).collect())
    }

    async fn addresses(&self, name: &Name, six: bool) -> Result<Vec<IpAddr>, LookupError> {
        let addresses = self.records(name, if six { "AAAA" } else { "A" })?;
        Ok(addresses.iter().map(|text| text.parse().expect("an address")).collect())
    }

    async fn mx(&self, name: &Name) -> Result<Vec<Name>, LookupError> {
        let hosts = self.records(name, "MX")?;
        Ok(hosts
            .iter()
            .map(|text| if text.is_empty() { Name::root() } else { Name::parse(text).expect("a name") })
            .collect())
    }

    async fn ptr(&self, address: IpAddr) -> Result<Vec<Name>, LookupError> {
        let names = self.records(&Name::reverse(address), "PTR")?;
        Ok(names.iter().map(|text| Name::parse(text).expect("a name")).collect())
    }
}

#[test]
fn the_openspf_suite_is_passed() {
    let parts: Value = serde_json::from_str(include_str!("suite/rfc7208-tests.json")).expect("JSON");
    let (mut count, mut wrong) = (0, Vec::new());
    for part in parts.as_array().expect("parts") {
        let zone = Zone::read(&part["zone"]);
        for test in part["tests"].as_array().expect("tests") {
            let text = |key: &str| test[key].as_str().expect("text");
            let (helo, mailfrom) = (text("helo"), text("mailfrom"));
            let (local_part, domain) = match mailfrom.rsplit_once('@') {
                Some(("", domain)) => ("postmaster", domain),
                Some(parts) => parts,
                None if mailfrom.is_empty() => ("postmaster", helo),
                None => ("postmaster", mailfrom),
            };
            let client = text("host").parse().expect("an address");
            let evaluation = block_on(check_host(&zone, &Sender { client, local_part, domain, helo }));
            let outcome = evaluation.outcome.to_string();
            count += 1;
            if !test["result"].as_array().expect("results").iter().any(|result| *result == outcome) {
                wrong.push(format!(
                    "{} ({}): {evaluation:?}, should be {}",
                    text("name"),
                    text("spec"),
                    test["result"]
                ));
            }
        }
    }
    assert_eq!(count, 203);
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
