//! Records, as far as mail needs them.

use crate::name::Name;
use crate::wire::{Full, Malformed, Reader, Writer};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(pub u16);

impl RecordType {
    /// IPv4 address (RFC 1035 §3.4.1).
    pub const A: Self = Self(1);
    /// Authoritative server (RFC 1035 §3.3.11).
    pub const NS: Self = Self(2);
    /// Alias (RFC 1035 §3.3.1).
    pub const CNAME: Self = Self(5);
    /// Start of authority (RFC 1035 §3.3.13).
    pub const SOA: Self = Self(6);
    /// Name of an address (RFC 1035 §3.3.12).
    pub const PTR: Self = Self(12);
    /// Mail exchanger (RFC 1035 §3.3.9).
    pub const MX: Self = Self(15);
    /// Text (RFC 1035 §3.3.14).
    pub const TXT: Self = Self(16);
    /// IPv6 address (RFC 3596 §2.1).
    pub const AAAA: Self = Self(28);
    /// EDNS0 (RFC 6891 §6.1.1); no record of any name.
    pub const OPT: Self = Self(41);
    /// Certificate of a TLS server (RFC 6698 §2).
    pub const TLSA: Self = Self(52);
    /// Certificate of a mailbox (RFC 8162 §2).
    pub const SMIMEA: Self = Self(53);
}

impl fmt::Display for RecordType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match *self {
            Self::A => "A",
            Self::NS => "NS",
            Self::CNAME => "CNAME",
            Self::SOA => "SOA",
            Self::PTR => "PTR",
            Self::MX => "MX",
            Self::TXT => "TXT",
            Self::AAAA => "AAAA",
            Self::OPT => "OPT",
            Self::TLSA => "TLSA",
            Self::SMIMEA => "SMIMEA",
            Self(other) => return write!(f, "TYPE{other}"),
        })
    }
}

/// Data of TLSA and SMIMEA: which certificate belongs to a name (RFC 6698 §2.1).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Association {
    /// What the data says about the certificate.
    pub usage: u8,
    /// Which part of the certificate it is about.
    pub selector: u8,
    /// How that part is given: whole, or as which digest.
    pub matching: u8,
    /// The part or its digest.
    pub data: Box<[u8]>,
}

/// The start of a zone's authority. We use it for how long a "no" lasts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Soa {
    /// Primary server.
    pub primary: Name,
    /// Mailbox of whoever is responsible, as a name.
    pub mailbox: Name,
    /// Serial, refresh, retry, expire.
    pub times: [u32; 4],
    /// Seconds that a negative answer lasts at most (RFC 2308 §4).
    pub minimum: u32,
}

/// Data of a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Data {
    /// IPv4 address.
    A(Ipv4Addr),
    /// IPv6 address.
    Aaaa(Ipv6Addr),
    /// Authoritative server.
    Ns(Name),
    /// The name that this one is an alias of.
    Cname(Name),
    /// Start of authority.
    Soa(Box<Soa>),
    /// Name of an address.
    Ptr(Name),
    /// Mail exchanger.
    Mx {
        /// The lower, the better.
        preference: u16,
        /// Its name; the root says that there is none (RFC 7505).
        exchange: Name,
    },
    /// Text: all strings of the record joined, which is how everybody reads them (RFC 7208 §3.3, RFC 6376 §3.6.2.2).
    Txt(Box<[u8]>),
    /// Certificate of a TLS server.
    Tlsa(Association),
    /// Certificate of a mailbox.
    Smimea(Association),
    /// Anything else, as it came. Names in it may be compressed and then mean nothing.
    Other(RecordType, Box<[u8]>),
}

impl Data {
    /// What this data is about.
    #[must_use]
    pub const fn record_type(&self) -> RecordType {
        match self {
            Self::A(_) => RecordType::A,
            Self::Aaaa(_) => RecordType::AAAA,
            Self::Ns(_) => RecordType::NS,
            Self::Cname(_) => RecordType::CNAME,
            Self::Soa(_) => RecordType::SOA,
            Self::Ptr(_) => RecordType::PTR,
            Self::Mx { .. } => RecordType::MX,
            Self::Txt(_) => RecordType::TXT,
            Self::Tlsa(_) => RecordType::TLSA,
            Self::Smimea(_) => RecordType::SMIMEA,
            Self::Other(kind, _) => *kind,
        }
    }

    /// Octets of heap that this data takes, about.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self {
            Self::A(_) | Self::Aaaa(_) => 0,
            Self::Ns(name) | Self::Cname(name) | Self::Ptr(name) | Self::Mx { exchange: name, .. } => {
                name.wire().len()
            }
            Self::Soa(soa) => size_of::<Soa>() + soa.primary.wire().len() + soa.mailbox.wire().len(),
            Self::Txt(octets) | Self::Other(_, octets) => octets.len(),
            Self::Tlsa(association) | Self::Smimea(association) => association.data.len(),
        }
    }

    /// Reads the data of one record; `reader` ends with it.
    pub(crate) fn read(kind: RecordType, mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let in_data = |error| if error == Malformed::Short { Malformed::Data } else { error };
        let data = Self::read_fields(kind, &mut reader).map_err(in_data)?;
        if reader.is_at_end() { Ok(data) } else { Err(Malformed::Data) }
    }

    fn read_fields(kind: RecordType, reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(match kind {
            RecordType::A => Self::A(Ipv4Addr::from(reader.octets::<4>()?)),
            RecordType::AAAA => Self::Aaaa(Ipv6Addr::from(reader.octets::<16>()?)),
            RecordType::NS => Self::Ns(reader.name()?),
            RecordType::CNAME => Self::Cname(reader.name()?),
            RecordType::PTR => Self::Ptr(reader.name()?),
            RecordType::MX => Self::Mx { preference: reader.u16()?, exchange: reader.name()? },
            RecordType::SOA => {
                let (primary, mailbox) = (reader.name()?, reader.name()?);
                let times = [reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?];
                Self::Soa(Box::new(Soa { primary, mailbox, times, minimum: reader.u32()? }))
            }
            RecordType::TXT => {
                let mut text = Vec::new();
                while !reader.is_at_end() {
                    let length = reader.octet()?;
                    text.extend_from_slice(reader.take(length.into())?);
                }
                Self::Txt(text.into())
            }
            RecordType::TLSA => Self::Tlsa(Self::read_association(reader)?),
            RecordType::SMIMEA => Self::Smimea(Self::read_association(reader)?),
            other => Self::Other(other, reader.rest().into()),
        })
    }

    fn read_association(reader: &mut Reader<'_>) -> Result<Association, Malformed> {
        let [usage, selector, matching] = reader.octets()?;
        Ok(Association { usage, selector, matching, data: reader.rest().into() })
    }

    pub(crate) fn write(&self, writer: &mut Writer) -> Result<(), Full> {
        match self {
            Self::A(address) => writer.put(&address.octets()),
            Self::Aaaa(address) => writer.put(&address.octets()),
            Self::Ns(name) | Self::Cname(name) | Self::Ptr(name) => writer.name(name),
            Self::Mx { preference, exchange } => {
                writer.u16(*preference)?;
                writer.name(exchange)
            }
            Self::Soa(soa) => {
                writer.name(&soa.primary)?;
                writer.name(&soa.mailbox)?;
                soa.times.iter().chain([&soa.minimum]).try_for_each(|value| writer.u32(*value))
            }
            Self::Txt(text) if text.is_empty() => writer.put(&[0]),
            Self::Txt(text) => text.chunks(255).try_for_each(|part| {
                // A chunk has 255 octets at most.
                writer.put(&[u8::try_from(part.len()).unwrap_or(u8::MAX)])?;
                writer.put(part)
            }),
            Self::Tlsa(association) | Self::Smimea(association) => {
                writer.put(&[association.usage, association.selector, association.matching])?;
                writer.put(&association.data)
            }
            Self::Other(_, octets) => writer.put(octets),
        }
    }
}

/// A record of class IN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: Name,
    /// Seconds that it may be kept; values above 2^31-1 count as 0 (RFC 2181 §8).
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}
