//! Questions to DNS: what the rest of the appliance asks, over whatever answers.

use crate::{Appliance, Platform};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use dns::{Name, NameError, Trouble};
use limits::net::HOST_ADDRESSES_COUNT_MAX;
use platform::{ResolveError, Resolver as _};

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

/// Asks DNS for one appliance. Made for each question; everything that lasts is the appliance's.
pub(crate) struct Resolver<'a, 'f, P: Platform> {
    appliance: &'a Appliance<'f, P>,
}

impl<'f, P: Platform> Appliance<'f, P> {
    /// The way to ask DNS.
    pub(crate) const fn resolver(&self) -> Resolver<'_, 'f, P> {
        Resolver { appliance: self }
    }
}

impl<P: Platform> Resolver<'_, '_, P> {
    /// The mail exchangers of a domain by ascending preference, at most `limits::dns::EXCHANGERS_COUNT_MAX`; equals in
    /// no particular order. [`LookupError::NoData`] is what a domain without MX records answers: then its own addresses
    /// serve (RFC 5321 §5.1).
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn mx(&self, domain: &str) -> Result<Vec<Mx>, LookupError> {
        Name::parse(domain)?;
        Err(LookupError::NoData)
    }

    /// The addresses of a host, IPv6 only where this appliance speaks it; never empty.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn addresses(
        &self,
        host: &str,
    ) -> Result<heapless::Vec<IpAddr, HOST_ADDRESSES_COUNT_MAX>, LookupError> {
        Name::parse(host)?;
        self.appliance.name_service.addresses(host).await.map_err(|error| match error {
            ResolveError::NotFound => LookupError::NoData,
            ResolveError::Temporary => LookupError::Temporary(Trouble::Silence),
        })
    }

    /// The texts of a name, each with its strings joined (RFC 7208 §3.3); octets, because nothing promises more.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, LookupError> {
        Name::parse(name)?;
        Err(LookupError::NoData)
    }

    /// The host names that an address is said to have. Whoever answers for the address may say any name: look its
    /// addresses up before believing.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn ptr(&self, _address: IpAddr) -> Result<Vec<String>, LookupError> {
        Err(LookupError::NoData)
    }
}
