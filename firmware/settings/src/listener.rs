//! Where the appliance listens, and which of these places a client came to.

use crate::fault::Fault;
use crate::parse;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use limits::net::INTERFACES_COUNT;

/// Which of the own addresses are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Place {
    /// All of them.
    Any,
    /// This one, in canonical form.
    Address(IpAddr),
    /// Those of one interface; interfaces are counted from 1.
    Interface(u8),
}

/// A place that clients connect to. Printed and read as `*:25`, `10.2.3.4:25`, `[2001:db8::1]:25` or `if1:587`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Listener {
    /// The addresses.
    pub place: Place,
    /// The TCP port.
    pub port: u16,
}

impl Listener {
    /// Reads a listener as it is printed.
    ///
    /// # Errors
    /// What is wrong with the place or the port.
    pub fn parse(text: &str) -> Result<Self, Fault<'_>> {
        let (place, port) = text.rsplit_once(':').ok_or(Fault::Listener(text))?;
        let port = parse::port(port)?;
        let place = match place {
            "*" => Place::Any,
            _ => match parse::interface(place) {
                Some(number) => Place::Interface(number?),
                None => {
                    let inside = place.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                    let address: IpAddr =
                        inside.unwrap_or(place).parse().map_err(|_| Fault::Listener(text))?;
                    if address.is_ipv6() != inside.is_some() {
                        return Err(Fault::Listener(text));
                    }
                    Place::Address(parse::address(inside.unwrap_or(place))?)
                }
            },
        };
        Ok(Self { place, port })
    }

    /// Whether a connection to the own address `local` that came in by `interface` came to this listener.
    #[must_use]
    pub fn takes(&self, local: SocketAddr, interface: u8) -> bool {
        let here = match self.place {
            Place::Any => true,
            Place::Address(address) => address == local.ip().to_canonical(),
            Place::Interface(number) => number == interface,
        };
        here && self.port == local.port()
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Any => write!(f, "*:{}", self.port),
            Place::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Place::Address(address) => write!(f, "{address}:{}", self.port),
            Place::Interface(number) => write!(f, "if{number}:{}", self.port),
        }
    }
}

const _: () = assert!(INTERFACES_COUNT <= 9, "an interface is one digit");
