//! Questions to DNS: what the rest of the appliance asks. Answers are remembered, equal questions asked once.

mod ask;

use crate::{Appliance, Machine as _, Platform};
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
pub(crate) use ask::Knowledge;
use core::fmt;
use core::net::IpAddr;
use dns::{Data, Finding, Name, NameError, Question, RecordType, Trouble};
use embassy_futures::join::join;
use limits::dns::EXCHANGERS_COUNT_MAX;
use limits::net::HOST_ADDRESSES_COUNT_MAX;

/// Why a question has no answer of the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupError {
    /// The name does not exist (NXDOMAIN), or is none that could exist. Final.
    NoSuchName,
    /// The name exists, without records of this kind. Final for this kind.
    NoData,
    /// Nobody could say. Later it may be otherwise.
    Temporary(Trouble),
}

impl LookupError {
    /// Whether asking again later makes sense.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Temporary(_))
    }
}

impl fmt::Display for LookupError {
    /// Reads after the name: `mx.example: no such name`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchName => f.write_str("no such name"),
            Self::NoData => f.write_str("no record of this kind"),
            Self::Temporary(trouble) => write!(f, "cannot be looked up: {trouble}"),
        }
    }
}

impl core::error::Error for LookupError {}

impl From<NameError> for LookupError {
    /// What is no name does not exist.
    fn from(_: NameError) -> Self {
        Self::NoSuchName
    }
}

/// One mail exchanger of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mx {
    /// The lower, the better.
    pub(crate) preference: u16,
    /// Its name as the record has it; the root means that the domain takes no mail (RFC 7505). Whether it is a host name
    /// ([`Name::host`]) is for the caller to see: a domain may say anything here.
    pub(crate) exchange: Name,
}

/// Asks DNS for one appliance. Made for each question; what lasts is the appliance's.
pub(crate) struct Resolver<'a, 'f, P: Platform> {
    appliance: &'a Appliance<'f, P>,
    fresh: bool,
}

impl<'f, P: Platform> Appliance<'f, P> {
    /// The way to ask DNS.
    pub(crate) const fn resolver(&self) -> Resolver<'_, 'f, P> {
        Resolver { appliance: self, fresh: false }
    }
}

impl<P: Platform> Resolver<'_, '_, P> {
    /// As this one, but believing nothing that was found before now: for people who have just changed something.
    pub(crate) const fn fresh(self) -> Self {
        Self { fresh: true, ..self }
    }

    /// The records of one kind.
    pub(crate) async fn records(&self, name: Name, kind: RecordType) -> Result<Rc<[Data]>, LookupError> {
        match self.find(Question { name, kind }).await {
            Finding::Records(records) => Ok(records),
            Finding::NoSuchName => Err(LookupError::NoSuchName),
            Finding::NoData => Err(LookupError::NoData),
            Finding::Trouble(trouble) => Err(LookupError::Temporary(trouble)),
        }
    }

    /// The mail exchangers of a domain by ascending preference, at most `limits::dns::EXCHANGERS_COUNT_MAX`; equals in
    /// no particular order. [`LookupError::NoData`] is what a domain without MX records answers: then its own addresses
    /// serve (RFC 5321 §5.1).
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn mx(&self, domain: &str) -> Result<Vec<Mx>, LookupError> {
        let records = self.records(Name::parse(domain)?, RecordType::MX).await?;
        let exchangers = records.iter().filter_map(|data| match data {
            Data::Mx { preference, exchange } => {
                Some(Mx { preference: *preference, exchange: exchange.clone() })
            }
            _ => None,
        });
        let mut exchangers: Vec<Mx> = exchangers.collect();
        exchangers.sort_by_key(|mx| mx.preference);
        exchangers.truncate(EXCHANGERS_COUNT_MAX);
        Ok(exchangers)
    }

    /// The addresses of a host, IPv6 only where this appliance speaks it; never empty. IPv4 comes first, and leaves room
    /// for the other.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn addresses(
        &self,
        host: &str,
    ) -> Result<heapless::Vec<IpAddr, HOST_ADDRESSES_COUNT_MAX>, LookupError> {
        let name = Name::parse(host)?;
        let has_ipv6 = self.appliance.machine.network().iter().any(|state| state.address6.is_some());
        if !has_ipv6 {
            return Ok(addresses_of(&self.records(name, RecordType::A).await?, &[]));
        }
        let both = join(self.records(name.clone(), RecordType::A), self.records(name, RecordType::AAAA));
        match both.await {
            (Ok(four), Ok(six)) => Ok(addresses_of(&four, &six)),
            (Ok(four), Err(_)) => Ok(addresses_of(&four, &[])),
            (Err(_), Ok(six)) => Ok(addresses_of(&[], &six)),
            (Err(error), Err(other)) => Err(if error.is_temporary() { error } else { other }),
        }
    }

    /// The texts of a name, each with its strings joined (RFC 7208 §3.3); octets, because nothing promises more.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, LookupError> {
        let records = self.records(Name::parse(name)?, RecordType::TXT).await?;
        let texts = records.iter().filter_map(|data| match data {
            Data::Txt(text) => Some(text.to_vec()),
            _ => None,
        });
        Ok(texts.collect())
    }

    /// The host names that an address is said to have. Whoever answers for the address may say any name: look its
    /// addresses up before believing.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn ptr(&self, address: IpAddr) -> Result<Vec<String>, LookupError> {
        let records = self.records(Name::reverse(address), RecordType::PTR).await?;
        let names = records.iter().filter_map(|data| match data {
            Data::Ptr(name) => name.host(),
            _ => None,
        });
        Ok(names.collect())
    }
}

/// The addresses in records of both kinds: where both abound, each has half of the places.
fn addresses_of(four: &[Data], six: &[Data]) -> heapless::Vec<IpAddr, HOST_ADDRESSES_COUNT_MAX> {
    let room_four = HOST_ADDRESSES_COUNT_MAX - six.len().min(HOST_ADDRESSES_COUNT_MAX / 2);
    let address = |data: &Data| match data {
        Data::A(address) => Some(IpAddr::V4(*address)),
        Data::Aaaa(address) => Some(IpAddr::V6(*address)),
        _ => None,
    };
    let four = four.iter().filter_map(address).take(room_four);
    four.chain(six.iter().filter_map(address)).take(HOST_ADDRESSES_COUNT_MAX).collect()
}
