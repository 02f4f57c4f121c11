//! Who we are, as far as mail must not be sent there.
//!
//! The gateway stands in the MX of the domains that it protects, under one name for each of them, and behind addresses
//! that it may never see itself. One comparison with one host name would send mail round in circles.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::IpAddr;

/// Every name and every address that leads to this gateway. Bounded by the settings that it is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ourselves {
    names: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
}

/// A name as it is compared: without the dot that ends it.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

impl Ourselves {
    /// Names in any letter case, with or without a final dot; the address of every interface, and the public ones that
    /// somebody else translates to them.
    pub(crate) fn new<'n>(
        names: impl IntoIterator<Item = &'n str>,
        addresses: impl IntoIterator<Item = IpAddr>,
    ) -> Self {
        let names = names.into_iter().map(bare).filter(|name| !name.is_empty());
        Self {
            names: names.map(Box::from).collect(),
            addresses: addresses.into_iter().map(|address| address.to_canonical()).collect(),
        }
    }

    /// Whether a host name is one of ours.
    pub(crate) fn is_name(&self, name: &str) -> bool {
        self.names.iter().any(|own| own.eq_ignore_ascii_case(bare(name)))
    }

    /// Whether an address leads back here. Loopback addresses do on every machine, and so does the unspecified one.
    pub(crate) fn is_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_loopback() || address.is_unspecified() || self.addresses.contains(&address)
    }

    /// Whether any of our addresses is of the same family: what is not cannot be reached. Without any address the network
    /// is not up, which says nothing about families.
    pub(crate) fn speaks_family_of(&self, address: IpAddr) -> bool {
        let wanted = address.to_canonical().is_ipv4();
        self.addresses.is_empty() || self.addresses.iter().any(|own| own.is_ipv4() == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_every_address_of_ours_is_known_however_it_is_written() {
        let own = ["192.0.2.5", "::ffff:192.0.2.6", "2001:db8::5"].map(|a| a.parse().expect("an address"));
        let us = Ourselves::new(["gw.example.", "MX.Second.example", ""], own);
        for name in ["gw.example", "GW.EXAMPLE.", "mx.second.example"] {
            assert!(us.is_name(name), "{name}");
        }
        for name in ["", ".", "example", "w.example", "gw.example.org"] {
            assert!(!us.is_name(name), "{name}");
        }
        for (address, is_ours) in [
            ("192.0.2.5", true),
            ("::ffff:192.0.2.5", true),
            ("192.0.2.6", true),
            ("2001:db8::5", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("0.0.0.0", true),
            ("192.0.2.7", false),
            ("2001:db8::6", false),
        ] {
            assert_eq!(us.is_address(address.parse().expect("an address")), is_ours, "{}", address);
        }
    }
}
