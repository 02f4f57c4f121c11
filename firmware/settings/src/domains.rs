//! The own domains, and who we are.

use crate::domain::canonical;
use crate::fault::Fault;
use crate::parse;
use crate::table::{Row, Table, TableKind};
use crate::types::{HostName, Settings};
use crate::words::Words;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;
use limits::settings::TABLE_TEXT_BYTES_MAX;

/// A domain whose mail is handled here: mail for it is taken from the Internet, and goes to the site's own servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    name: Box<str>,
    subdomains: bool,
    own_name: Option<HostName>,
}

impl Domain {
    /// The domain, canonical: A-labels in lower case.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether every domain below it is internal too.
    #[must_use]
    pub const fn subdomains(&self) -> bool {
        self.subdomains
    }

    /// The name that this appliance has in the domain, where it is another than `hostname`.
    #[must_use]
    pub const fn own_name(&self) -> Option<&HostName> {
        self.own_name.as_ref()
    }
}

impl Row for Domain {
    const KIND: TableKind = TableKind::Domains;

    /// Reads `NAME [name HOSTNAME] [+sub]`.
    fn parse(text: &str) -> Result<Self, Fault<'_>> {
        let mut words = Words::new(text);
        let name = parse::domain(words.word("example.org")?)?;
        let (mut subdomains, mut own_name) = (false, None);
        while let Some(option) = words.next() {
            match option {
                "+sub" if subdomains => return Err(Fault::Twice(option)),
                "+sub" => subdomains = true,
                "name" if own_name.is_some() => return Err(Fault::Twice(option)),
                "name" => own_name = Some(parse::full_host_name(words.word("gw1.example.org")?)?),
                text => return Err(Fault::Option { text, row: TableKind::Domains }),
            }
        }
        let domain = Self { name, subdomains, own_name };
        if format!("{domain}").len() > TABLE_TEXT_BYTES_MAX {
            return Err(Fault::RowTooLong);
        }
        Ok(domain)
    }

    fn key(&self) -> &str {
        &self.name
    }

    fn key_of(typed: &str) -> Option<String> {
        parse::domain(typed).ok().map(String::from)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(name) = &self.own_name {
            write!(f, " name {name}")?;
        }
        f.write_str(if self.subdomains { " +sub" } else { "" })
    }
}

/// The own domains.
pub type Domains = Table<Domain>;

impl Table<Domain> {
    /// The row that makes `domain` internal, if one does: its own, or one above it that includes subdomains. Any letter
    /// case, with or without final dot, A-labels or U-labels.
    #[must_use]
    pub fn internal(&self, domain: &str) -> Option<&Domain> {
        if self.is_empty() || domain.starts_with('[') {
            return None;
        }
        let name = canonical(domain)?;
        if let Some(row) = self.get(&name) {
            return Some(row);
        }
        let mut rest = name.as_str();
        loop {
            (_, rest) = rest.split_once('.')?;
            if let Some(row) = self.get(rest).filter(|row| row.subdomains) {
                return Some(row);
            }
        }
    }

    /// Whether mail for `domain` is handled here; see [`Self::internal`].
    #[must_use]
    pub fn is_internal(&self, domain: &str) -> bool {
        self.internal(domain).is_some()
    }
}

impl Settings {
    /// Whether `name` is a name of this appliance: its host name, banner name, a further own name, or its name in one of
    /// the domains. Any letter case, with or without final dot.
    #[must_use]
    pub fn is_own_name(&self, domains: &Domains, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        let names = self.hostname.iter().chain(&self.banner_name).chain(&self.own_names);
        let in_domains = domains.iter().filter_map(Domain::own_name);
        names.chain(in_domains).any(|own| own.as_str().eq_ignore_ascii_case(name))
    }

    /// Whether `address` is one of this appliance: one that an interface has, loopback, or one of the setting
    /// `own-addresses`.
    #[must_use]
    pub fn is_own_address(&self, interfaces: impl IntoIterator<Item = IpAddr>, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback()
            || address.is_unspecified()
            || self.own_addresses.contains(&address)
            || interfaces.into_iter().any(|own| own.to_canonical() == address)
    }
}
