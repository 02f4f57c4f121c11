//! The addresses of the simulated machine: two interfaces, as the settings say, on one flat network.
//!
//! DHCP gives the first interface [`GATEWAY`] and the second [`GATEWAY_2`]. A connection leaves by the interface whose
//! network holds the peer, else by the first one that has an address of the peer's family.

use crate::gateway::{GATEWAY, GATEWAY_2};
use crate::names::NAME_SERVER;
use events::IpNetwork;
use limits::net::INTERFACES_COUNT;
use platform::Source;
use relay::NetworkState;
use settings::{Listener, Network, Place, Settings};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

#[derive(Default)]
struct State {
    /// IPv4 and IPv6 of each interface.
    addresses: [[Option<IpNetwork>; 2]; INTERFACES_COUNT],
    listeners: Vec<Listener>,
    /// Called after a change, to listen anew.
    changed: Option<Rc<dyn Fn()>>,
}

/// The interfaces; cloning gives another handle to the same ones.
#[derive(Clone, Default)]
pub struct Interfaces {
    state: Rc<RefCell<State>>,
}

impl Interfaces {
    /// Gives the interfaces the addresses that `settings` name, and the listeners theirs.
    pub fn apply(&self, settings: &Settings) {
        let changed = {
            let mut state = self.state.borrow_mut();
            for (index, (v4, v6)) in settings.interfaces().into_iter().enumerate() {
                let leased = if index == 0 { GATEWAY } else { GATEWAY_2 };
                let v4 = v4.map(|network| match network {
                    Network::Dhcp => IpNetwork { address: leased.into(), prefix: 8 },
                    Network::Static { address, prefix, .. } => IpNetwork { address: address.into(), prefix },
                });
                let v6 =
                    v6.map(|network| IpNetwork { address: network.address.into(), prefix: network.prefix });
                state.addresses[index] = [v4, v6];
            }
            state.listeners = settings.listeners.iter().copied().collect();
            state.changed.clone()
        };
        if let Some(changed) = changed {
            changed();
        }
    }

    /// What to do after each change of the addresses.
    pub(crate) fn on_change(&self, changed: Rc<dyn Fn()>) {
        self.state.borrow_mut().changed = Some(changed);
    }

    /// Every address and port that somebody is to listen on, with the number of its interface.
    #[must_use]
    pub fn listening(&self) -> Vec<(SocketAddr, u8)> {
        let state = self.state.borrow();
        let mut all = Vec::new();
        for (index, addresses) in state.addresses.iter().enumerate() {
            let interface = index as u8 + 1;
            for address in addresses.iter().flatten() {
                for listener in &state.listeners {
                    let here = match listener.place {
                        Place::Any => true,
                        Place::Address(own) => own == address.address,
                        Place::Interface(number) => number == interface,
                    };
                    let place = (SocketAddr::new(address.address, listener.port), interface);
                    if here && !all.contains(&place) {
                        all.push(place);
                    }
                }
            }
        }
        all
    }

    /// The own address from which to reach `remote`, or `None` if there is none.
    #[must_use]
    pub fn toward(&self, remote: IpAddr, source: &Source) -> Option<IpAddr> {
        let state = self.state.borrow();
        let numbered = state.addresses.iter().enumerate().map(|(index, both)| (index as u8 + 1, both));
        let own: Vec<IpNetwork> = numbered
            .filter(|(number, _)| source.interface.is_none_or(|wanted| wanted == *number))
            .flat_map(|(_, both)| both.iter().flatten().copied())
            .filter(|network| network.address.is_ipv4() == remote.is_ipv4())
            .filter(|network| source.address.is_none_or(|wanted| wanted == network.address))
            .collect();
        let holds = |network: &&IpNetwork| within(network, remote);
        own.iter().find(holds).or(own.first()).map(|network| network.address)
    }

    /// What the machine tells of its interfaces.
    #[must_use]
    pub fn told(&self) -> heapless::Vec<NetworkState, INTERFACES_COUNT> {
        let state = self.state.borrow();
        let told = state
            .addresses
            .iter()
            .enumerate()
            .filter(|(index, [v4, v6])| *index == 0 || v4.is_some() || v6.is_some());
        told.map(|(index, [v4, v6])| NetworkState {
            interface: index as u8 + 1,
            link_up: true,
            address: *v4,
            address6: *v6,
            dns_servers: heapless::Vec::from_iter([NAME_SERVER.into()]),
            ..NetworkState::default()
        })
        .collect()
    }
}

/// Whether `address` is in `network`.
fn within(network: &IpNetwork, address: IpAddr) -> bool {
    let (own, other, bits) = match (network.address, address) {
        (IpAddr::V4(own), IpAddr::V4(other)) => (u128::from(own.to_bits()), u128::from(other.to_bits()), 32),
        (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits(), 128),
        _ => return false,
    };
    let rest = bits - u32::from(network.prefix).min(bits);
    (own ^ other).checked_shr(rest).unwrap_or(0) == 0
}
