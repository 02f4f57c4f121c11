//! From text to values, each checked on its own.

use crate::domain::canonical;
use crate::fault::Fault;
use crate::types::{
    HostName, IpNetwork, MailAddress, Network, Network6, NextHop, NextHopHost, masked_v4, masked_v6,
};
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use envelope::{AddressError, MailboxRef};
use limits::net::INTERFACES_COUNT;
use limits::net::SMTP_PORT;
use limits::settings::OWN_PREFIX_V6_MAX;
use limits::settings::{
    HOST_NAME_BYTES_MAX, LABEL_BYTES_MAX, OWN_PREFIX_V4_MAX, RELAY_PREFIX_V4_MIN, RELAY_PREFIX_V6_MIN,
};

/// The one word of `value`.
pub fn one_word<'a>(value: &'a str, example: &'static str) -> Result<&'a str, Fault<'a>> {
    let mut words = value.split_ascii_whitespace();
    let word = words.next().ok_or(Fault::NoValue { example })?;
    words.next().map_or(Ok(word), |more| Err(Fault::TooManyWords(more)))
}

/// A host name in lower case (RFC 1123 §2.1); a final dot is dropped.
pub fn host_name(text: &str) -> Result<HostName, Fault<'_>> {
    let name = text.strip_suffix('.').unwrap_or(text);
    for label in name.split('.') {
        let bytes = label.as_bytes();
        if bytes.len() > LABEL_BYTES_MAX || name.len() > HOST_NAME_BYTES_MAX {
            return Err(Fault::LabelTooLong(text));
        }
        let fits = !bytes.is_empty()
            && bytes.first() != Some(&b'-')
            && bytes.last() != Some(&b'-')
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        if !fits {
            return Err(Fault::HostName(text));
        }
    }
    // A last label of digits only would be read as an IPv4 address by somebody (RFC 1123 §2.1).
    if name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) {
        return Err(Fault::HostName(text));
    }
    Ok(HostName(name.to_ascii_lowercase().into_boxed_str()))
}

/// A host name with at least two labels.
pub fn full_host_name(text: &str) -> Result<HostName, Fault<'_>> {
    let name = host_name(text)?;
    if name.as_str().contains('.') { Ok(name) } else { Err(Fault::NoDomain(text)) }
}

fn is_usable_v4(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    !(first == 0 || address.is_loopback() || first >= 224)
}

fn is_usable_v6(address: Ipv6Addr) -> bool {
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast())
}

/// An address that another machine can have.
pub fn address(text: &str) -> Result<IpAddr, Fault<'_>> {
    let address: IpAddr = text.parse().map_err(|_| Fault::Address(text))?;
    let usable = match address.to_canonical() {
        IpAddr::V4(v4) => is_usable_v4(v4),
        IpAddr::V6(v6) => is_usable_v6(v6),
    };
    if usable { Ok(address.to_canonical()) } else { Err(Fault::UnusableAddress(text)) }
}

fn number(text: &str) -> Option<u64> {
    // `u64::from_str` would let a plus sign in.
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

/// A network that may relay: `ADDRESS/BITS`, host bits zero, not larger than anyone's.
pub fn network(text: &str) -> Result<IpNetwork, Fault<'_>> {
    network_of(text, false)
}

fn network_of(text: &str, wide: bool) -> Result<IpNetwork, Fault<'_>> {
    let Some((before, digits)) = text.split_once('/') else {
        text.parse::<IpAddr>().map_err(|_| Fault::Address(text))?;
        return Err(Fault::NoPrefix(text));
    };
    let typed: IpAddr = before.parse().map_err(|_| Fault::Address(text))?;
    let bits = if typed.is_ipv4() { 32 } else { 128 };
    let typed_prefix = number(digits).filter(|n| *n <= bits.into()).ok_or(Fault::Prefix { text, bits })?;
    let (address, prefix) = match (typed, typed.to_canonical()) {
        // An IPv4-mapped IPv6 network is the IPv4 network, because clients are compared as what they are.
        (IpAddr::V6(_), IpAddr::V4(v4)) => (IpAddr::V4(v4), typed_prefix.saturating_sub(96)),
        (_, same) => (same, typed_prefix),
    };
    let prefix = u8::try_from(prefix).map_err(|_| Fault::Prefix { text, bits })?;
    let (masked, prefix_min) = match address {
        IpAddr::V4(v4) => {
            (IpAddr::V4(Ipv4Addr::from_bits(masked_v4(v4.to_bits(), prefix))), RELAY_PREFIX_V4_MIN)
        }
        IpAddr::V6(v6) => {
            (IpAddr::V6(Ipv6Addr::from_bits(masked_v6(v6.to_bits(), prefix))), RELAY_PREFIX_V6_MIN)
        }
    };
    if prefix < prefix_min && !wide {
        return Err(Fault::OpenRelay(text));
    }
    let network = IpNetwork { address: masked, prefix };
    if masked == address { Ok(network) } else { Err(Fault::HostBits { text, network }) }
}

/// A source of a rule: a network of any size, or one address.
pub fn source(text: &str) -> Result<IpNetwork, Fault<'_>> {
    match text.parse::<IpAddr>() {
        Ok(address) => {
            let address = address.to_canonical();
            Ok(IpNetwork { address, prefix: if address.is_ipv4() { 32 } else { 128 } })
        }
        Err(_) => network_of(text, true),
    }
}

/// `ifN`, an interface; `None` if it does not look like one.
pub fn interface(text: &str) -> Option<Result<u8, Fault<'_>>> {
    let digits = text.strip_prefix("if")?;
    let number = number(digits)?;
    let found = u8::try_from(number).ok().filter(|n| (1..=INTERFACES_COUNT).contains(&usize::from(*n)));
    Some(found.ok_or(Fault::Interface(text)))
}

/// A mail domain, canonical; a leading dot is dropped.
pub fn domain(text: &str) -> Result<Box<str>, Fault<'_>> {
    let name = text.strip_prefix('.').unwrap_or(text);
    let name = canonical(name).ok_or(Fault::LabelTooLong(text))?;
    // The fault shows what was typed, not what it became.
    host_name(&name).map_err(|_| Fault::Domain(text))?;
    Ok(name.as_str().into())
}

/// `dhcp`, or `[static] ADDRESS/BITS [[gateway] GATEWAY]`.
pub fn own_network(value: &str) -> Result<Network, Fault<'_>> {
    let mut words = value.split_ascii_whitespace().peekable();
    let no_value = Fault::NoValue { example: "dhcp" };
    let is_static = words.next_if_eq(&"static").is_some();
    let first = words.next().ok_or(no_value)?;
    if first == "dhcp" && !is_static {
        return words.next().map_or(Ok(Network::Dhcp), |more| Err(Fault::TooManyWords(more)));
    }
    let (before, digits) = match first.split_once('/') {
        Some(parts) => parts,
        None if first.parse::<Ipv4Addr>().is_ok() => return Err(Fault::NoPrefix(first)),
        None => return Err(Fault::Network(first)),
    };
    let address: Ipv4Addr = before.parse().map_err(|_| Fault::Network(first))?;
    if !is_usable_v4(address) {
        return Err(Fault::UnusableAddress(first));
    }
    let prefix = number(digits)
        .and_then(|n| u8::try_from(n).ok())
        .filter(|n| (1..=OWN_PREFIX_V4_MAX).contains(n))
        .ok_or(Fault::OwnPrefix(first))?;
    let host_bits = address.to_bits() ^ masked_v4(address.to_bits(), prefix);
    let all_ones = u32::MAX ^ masked_v4(u32::MAX, prefix);
    if host_bits == 0 || host_bits == all_ones {
        return Err(Fault::NotAHost(first));
    }
    let named = words.next_if(|word| matches!(*word, "gateway" | "via")).is_some();
    let gateway = match words.next() {
        None if named => return Err(Fault::NoValue { example: "192.0.2.10/24 192.0.2.1" }),
        None | Some("none") => None,
        Some(word) => {
            let gateway: Ipv4Addr = word.parse().map_err(|_| Fault::Gateway(word))?;
            let same_network = masked_v4(gateway.to_bits(), prefix) == masked_v4(address.to_bits(), prefix);
            let its_host_bits = gateway.to_bits() & all_ones;
            if !same_network || gateway == address || its_host_bits == 0 || its_host_bits == all_ones {
                return Err(Fault::Gateway(word));
            }
            Some(gateway)
        }
    };
    words
        .next()
        .map_or(Ok(Network::Static { address, prefix, gateway }), |more| Err(Fault::TooManyWords(more)))
}

/// `none`, or `ADDRESS/BITS [[gateway] GATEWAY]` of IPv6.
pub fn own_network6(value: &str) -> Result<Option<Network6>, Fault<'_>> {
    let mut words = value.split_ascii_whitespace().peekable();
    let first = words.next().ok_or(Fault::NoValue { example: "2001:db8::10/64 2001:db8::1" })?;
    if first == "none" {
        return words.next().map_or(Ok(None), |more| Err(Fault::TooManyWords(more)));
    }
    let (before, digits) = first.split_once('/').ok_or(Fault::Network6(first))?;
    let address: Ipv6Addr = before.parse().map_err(|_| Fault::Network6(first))?;
    let local = address.is_unicast_link_local() || address.to_ipv4_mapped().is_some();
    if local || address.is_multicast() || address.is_unspecified() || address.is_loopback() {
        return Err(Fault::Network6(first));
    }
    let prefix = number(digits)
        .and_then(|n| u8::try_from(n).ok())
        .filter(|n| (1..=OWN_PREFIX_V6_MAX).contains(n))
        .ok_or(Fault::Network6(first))?;
    let network = |address: Ipv6Addr| masked_v6(address.to_bits(), prefix);
    let named = words.next_if(|word| matches!(*word, "gateway" | "via")).is_some();
    let gateway = match words.next() {
        None if named => return Err(Fault::NoValue { example: "2001:db8::10/64 2001:db8::1" }),
        None | Some("none") => None,
        Some(word) => {
            let gateway: Ipv6Addr = word.parse().map_err(|_| Fault::Gateway(word))?;
            let near = gateway.is_unicast_link_local() || network(gateway) == network(address);
            if !near || gateway == address {
                return Err(Fault::Gateway(word));
            }
            Some(gateway)
        }
    };
    let network = Network6 { address, prefix, gateway };
    words.next().map_or(Ok(Some(network)), |more| Err(Fault::TooManyWords(more)))
}

pub fn port(text: &str) -> Result<u16, Fault<'_>> {
    number(text).and_then(|n| u16::try_from(n).ok()).filter(|n| *n != 0).ok_or(Fault::Port(text))
}

/// `HOST[:PORT]`: a name, an IPv4 address, or an IPv6 address (in brackets if a port follows).
pub fn next_hop(text: &str) -> Result<NextHop, Fault<'_>> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or(Fault::Address(text))?;
        let port = match after.strip_prefix(':') {
            Some(digits) => port(digits)?,
            None if after.is_empty() => SMTP_PORT,
            None => return Err(Fault::Address(text)),
        };
        return Ok(NextHop { host: NextHopHost::Address(address(inside)?), port });
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(NextHop { host: NextHopHost::Address(address(text)?), port: SMTP_PORT });
    }
    let (host, port) = match text.split_once(':') {
        Some((host, digits)) => (host, port(digits)?),
        None => (text, SMTP_PORT),
    };
    let looks_like_v4 = !host.is_empty() && host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let host = if looks_like_v4 {
        NextHopHost::Address(address(host)?)
    } else {
        NextHopHost::Name(host_name(host)?)
    };
    Ok(NextHop { host, port })
}

/// A number with an optional unit, at most `u32`.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, unit) = text.split_at_checked(digits)?;
    let factor =
        if unit.is_empty() { 1 } else { units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1 };
    number(digits)?.checked_mul(factor)
}

/// A number without a unit.
pub fn count(text: &str) -> Result<u64, Fault<'_>> {
    number(text).ok_or(Fault::Number(text))
}

/// A mailbox with a domain.
pub fn mail_address(text: &str) -> Result<MailAddress, Fault<'_>> {
    let mailbox = MailboxRef::parse(text).map_err(|why| Fault::Mailbox { text, why })?;
    if mailbox.domain().starts_with('[') {
        return Err(Fault::Mailbox { text, why: AddressError::Domain });
    }
    Ok(MailAddress(text.into()))
}

/// Octets; `K` and `M` are powers of 1,024, as in every mail server's settings.
pub fn size(text: &str) -> Result<u64, Fault<'_>> {
    with_unit(text, &[("K", 1 << 10), ("KiB", 1 << 10), ("M", 1 << 20), ("MiB", 1 << 20)])
        .ok_or(Fault::Size(text))
}

/// Seconds.
pub fn duration(text: &str) -> Result<u64, Fault<'_>> {
    with_unit(text, &[("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)]).ok_or(Fault::Duration(text))
}
