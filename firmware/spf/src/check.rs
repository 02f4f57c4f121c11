//! The evaluation (RFC 7208 §4).

use crate::macros::{MacroString, Values};
use crate::record::{Directive, Mechanism, Prefixes, Qualifier, Record, is_record};
use crate::{Evaluation, Lookup, LookupError, Outcome, Problem, Sender};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;
use dns::Name;
use limits::spf::{HOSTS_COUNT_MAX, LOOKUPS_COUNT_MAX, VOID_LOOKUPS_COUNT_MAX};

/// A record in evaluation; the ones below it wait for what it says.
struct Frame {
    domain: Name,
    record: Record,
    /// The next directive.
    next: usize,
}

/// The evaluation ends here, without an opinion about the sender.
struct Stop(Problem);

impl Stop {
    const fn outcome(&self) -> Outcome {
        match self.0 {
            Problem::Unanswered(_) => Outcome::TempError,
            _ => Outcome::PermError,
        }
    }
}

struct Check<'a, L: Lookup> {
    lookup: &'a L,
    sender: Sender<'a>,
    client: IpAddr,
    lookups: u8,
    void_lookups: u8,
    included: Vec<Name>,
    decided_by: Option<(Name, Box<str>)>,
}

/// What `sender.domain` says about mail from `sender.client`.
///
/// An IPv4 address inside IPv6 counts as the IPv4 address. Dropping the future stops asking.
pub async fn check_host<L: Lookup>(lookup: &L, sender: &Sender<'_>) -> Evaluation {
    let mut check = Check {
        lookup,
        sender: *sender,
        client: sender.client.to_canonical(),
        lookups: 0,
        void_lookups: 0,
        included: Vec::new(),
        decided_by: None,
    };
    let (outcome, problem) = match check.run().await {
        Ok(outcome) => (outcome, None),
        Err(stop) => (stop.outcome(), Some(stop.0)),
    };
    let Check { lookups, included, decided_by, .. } = check;
    Evaluation { outcome, decided_by, problem, lookups, included }
}

const fn outcome_of(qualifier: Qualifier) -> Outcome {
    match qualifier {
        Qualifier::Pass => Outcome::Pass,
        Qualifier::Fail => Outcome::Fail,
        Qualifier::SoftFail => Outcome::SoftFail,
        Qualifier::Neutral => Outcome::Neutral,
    }
}

impl<L: Lookup> Check<'_, L> {
    async fn run(&mut self) -> Result<Outcome, Stop> {
        // What is no name of several labels publishes nothing (RFC 7208 §4.3).
        let Ok(domain) = Name::parse(self.sender.domain) else { return Ok(Outcome::None) };
        if domain.labels().count() < 2 {
            return Ok(Outcome::None);
        }
        let Some(record) = self.record(&domain).await? else { return Ok(Outcome::None) };
        // As deep as there are look-ups: ten.
        let mut stack = Vec::from([Frame { domain, record, next: 0 }]);
        loop {
            let Some(frame) = stack.last_mut() else { return Ok(Outcome::Neutral) };
            let Some(directive) = frame.record.directives.get(frame.next).cloned() else {
                match frame.record.redirect.take() {
                    Some(redirect) => {
                        let domain = frame.domain.clone();
                        let (domain, record) = self.other_record(&redirect, &domain).await?;
                        *frame = Frame { domain, record, next: 0 };
                    }
                    None => {
                        // Nothing matched: neutral (RFC 7208 §4.7), which an include does not match.
                        stack.pop();
                    }
                }
                continue;
            };
            frame.next += 1;
            let domain = frame.domain.clone();
            if let Mechanism::Include(target) = &directive.mechanism {
                let (domain, record) = self.other_record(target, &domain).await?;
                stack.push(Frame { domain, record, next: 0 });
                continue;
            }
            if !self.matches(&directive, &domain).await? {
                continue;
            }
            // The record has spoken. If it was included, only a pass is a match of the include, which then speaks for its
            // own record (RFC 7208 §5.2).
            let (mut qualifier, mut decided_by) = (directive.qualifier, (domain, directive.text));
            loop {
                stack.pop();
                let Some(frame) = stack.last() else {
                    self.decided_by = Some(decided_by);
                    return Ok(outcome_of(qualifier));
                };
                if qualifier != Qualifier::Pass {
                    break;
                }
                let Some(include) = frame.next.checked_sub(1).and_then(|at| frame.record.directives.get(at))
                else {
                    break;
                };
                qualifier = include.qualifier;
                if qualifier != Qualifier::Pass {
                    decided_by = (frame.domain.clone(), include.text.clone());
                }
            }
        }
    }

    /// The one SPF record of a domain.
    async fn record(&self, domain: &Name) -> Result<Option<Record>, Stop> {
        let texts = match self.lookup.txt(domain).await {
            Ok(texts) => texts,
            Err(LookupError::NoSuchName | LookupError::NoData) => return Ok(None),
            Err(LookupError::Temporary) => return Err(Stop(Problem::Unanswered(domain.clone()))),
        };
        let mut records = texts.iter().filter(|text| is_record(text));
        match (records.next(), records.next()) {
            (None, _) => Ok(None),
            (Some(record), None) => Record::parse(record).map(Some).map_err(Stop),
            (Some(_), Some(_)) => Err(Stop(Problem::SeveralRecords)),
        }
    }

    /// The record that an include or redirect leads to; it must be there.
    async fn other_record(&mut self, target: &MacroString, domain: &Name) -> Result<(Name, Record), Stop> {
        self.count_lookup()?;
        let target = self.expand(target, domain).await.ok_or(Stop(Problem::NoName))?;
        self.included.push(target.clone());
        match self.record(&target).await? {
            Some(record) => Ok((target, record)),
            None => Err(Stop(Problem::NoRecord(target))),
        }
    }

    fn count_lookup(&mut self) -> Result<(), Stop> {
        if self.lookups >= LOOKUPS_COUNT_MAX {
            return Err(Stop(Problem::TooManyLookups));
        }
        self.lookups += 1;
        Ok(())
    }

    /// The answer without the difference between "no such name" and "no such record"; both count as void.
    fn found<T>(&mut self, name: &Name, answer: Result<Vec<T>, LookupError>) -> Result<Vec<T>, Stop> {
        match answer {
            Ok(found) => Ok(found),
            Err(LookupError::Temporary) => Err(Stop(Problem::Unanswered(name.clone()))),
            Err(LookupError::NoSuchName | LookupError::NoData) => {
                self.void_lookups += 1;
                if self.void_lookups > VOID_LOOKUPS_COUNT_MAX {
                    return Err(Stop(Problem::TooManyVoidLookups));
                }
                Ok(Vec::new())
            }
        }
    }

    async fn matches(&mut self, directive: &Directive, domain: &Name) -> Result<bool, Stop> {
        match &directive.mechanism {
            Mechanism::All => Ok(true),
            // The caller sees to it.
            Mechanism::Include(_) => Ok(false),
            Mechanism::Ip(network, prefixes) => Ok(prefixes.same_network(*network, self.client)),
            Mechanism::A(target, prefixes) => {
                self.count_lookup()?;
                let Some(name) = self.target(target.as_ref(), domain).await else { return Ok(false) };
                let answer = self.lookup.addresses(&name, self.client.is_ipv6()).await;
                let addresses = self.found(&name, answer)?;
                Ok(self.is_among(&addresses, *prefixes))
            }
            Mechanism::Mx(target, prefixes) => {
                self.count_lookup()?;
                let Some(name) = self.target(target.as_ref(), domain).await else { return Ok(false) };
                let answer = self.lookup.mx(&name).await;
                let hosts = self.found(&name, answer)?;
                if hosts.len() > HOSTS_COUNT_MAX {
                    return Err(Stop(Problem::TooManyHosts));
                }
                for host in hosts {
                    let answer = self.lookup.addresses(&host, self.client.is_ipv6()).await;
                    let addresses = match answer {
                        // A host without an address is no term that asks for nothing: only terms are counted.
                        Err(LookupError::NoSuchName | LookupError::NoData) => continue,
                        answer => self.found(&host, answer)?,
                    };
                    if self.is_among(&addresses, *prefixes) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Ptr(target) => {
                self.count_lookup()?;
                let Some(name) = self.target(target.as_ref(), domain).await else { return Ok(false) };
                Ok(self.client_names().await.iter().any(|host| host.is_within(&name)))
            }
            Mechanism::Exists(target) => {
                self.count_lookup()?;
                let Some(name) = self.expand(target, domain).await else { return Ok(false) };
                let answer = self.lookup.addresses(&name, false).await;
                Ok(!self.found(&name, answer)?.is_empty())
            }
        }
    }

    fn is_among(&self, addresses: &[IpAddr], prefixes: Prefixes) -> bool {
        addresses.iter().any(|address| prefixes.same_network(*address, self.client))
    }

    async fn target(&self, target: Option<&MacroString>, domain: &Name) -> Option<Name> {
        match target {
            Some(target) => self.expand(target, domain).await,
            None => Some(domain.clone()),
        }
    }

    async fn expand(&self, target: &MacroString, domain: &Name) -> Option<Name> {
        let client_name =
            if target.needs_client_name() { self.client_name(domain).await } else { String::new() };
        target.expand(&Values {
            local_part: self.sender.local_part,
            sender_domain: self.sender.domain,
            domain,
            client: self.client,
            helo: self.sender.helo,
            client_name: &client_name,
        })
    }

    /// The names of the client that lead back to its address (RFC 7208 §5.5).
    async fn client_names(&self) -> Vec<Name> {
        let mut confirmed = Vec::new();
        for name in self.lookup.ptr(self.client).await.unwrap_or_default().into_iter().take(HOSTS_COUNT_MAX) {
            let addresses = self.lookup.addresses(&name, self.client.is_ipv6()).await.unwrap_or_default();
            if addresses.contains(&self.client) {
                confirmed.push(name);
            }
        }
        confirmed
    }

    /// What `%{p}` stands for: the domain itself if the client has that name, else one below it, else any (RFC 7208 §7.3).
    async fn client_name(&self, domain: &Name) -> String {
        let names = self.client_names().await;
        let own = names.iter().find(|name| *name == domain);
        let below = names.iter().find(|name| name.is_within(domain));
        own.or(below).or(names.first()).map_or_else(|| "unknown".into(), ToString::to_string)
    }
}
