//! Addresses for machines that ask for one: as much of RFC 2131 as a client on a quiet wire needs.

use super::frames::{self, Ends};
use std::net::{Ipv4Addr, SocketAddr};

/// What a client is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its address.
    pub address: Ipv4Addr,
    /// Its network's prefix length.
    pub prefix: u8,
    /// The router, which is the one who gives.
    pub router: Ipv4Addr,
    /// A name server.
    pub name_server: Ipv4Addr,
}

/// Where clients ask.
pub const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
const COOKIE: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
/// Octets in front of the options.
const FIXED_BYTES: usize = 236;
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACKNOWLEDGE: u8 = 5;

/// The answer to a question of a client, as an IP packet; `None` if it asks for nothing that we give.
#[must_use]
pub fn answer(question: &[u8], lease: &Lease) -> Option<Vec<u8>> {
    let kind = match *option(question.get(FIXED_BYTES + 4..)?, 53)?.first()? {
        DISCOVER => OFFER,
        REQUEST => ACKNOWLEDGE,
        _ => return None,
    };
    if question.get(FIXED_BYTES..FIXED_BYTES + 4)? != COOKIE {
        return None;
    }
    let mut reply = question.get(..FIXED_BYTES)?.to_vec();
    reply[0] = 2;
    reply[16..20].copy_from_slice(&lease.address.octets());
    reply[20..24].copy_from_slice(&lease.router.octets());
    reply.extend(COOKIE);
    let mask = u32::MAX.checked_shl(32 - u32::from(lease.prefix)).unwrap_or(0);
    reply.extend([53, 1, kind]);
    for (code, value) in [
        (54, lease.router.octets()),
        (51, 86_400_u32.to_be_bytes()),
        (1, mask.to_be_bytes()),
        (3, lease.router.octets()),
        (6, lease.name_server.octets()),
    ] {
        reply.extend([code, 4]);
        reply.extend(value);
    }
    reply.push(255);
    let from = SocketAddr::new(lease.router.into(), SERVER_PORT);
    let to = SocketAddr::new(Ipv4Addr::BROADCAST.into(), CLIENT_PORT);
    frames::datagram(Ends { from, to }, &reply)
}

/// The value of an option (RFC 2132 §2).
fn option(options: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = options;
    loop {
        match *rest.first()? {
            0 => rest = rest.get(1..)?,
            255 => return None,
            code => {
                let length = usize::from(*rest.get(1)?);
                let value = rest.get(2..2 + length)?;
                if code == wanted {
                    return Some(value);
                }
                rest = rest.get(2 + length..)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_offered_and_given_its_address() {
        let lease = Lease {
            address: Ipv4Addr::new(10, 0, 0, 1),
            prefix: 16,
            router: Ipv4Addr::new(10, 0, 255, 254),
            name_server: Ipv4Addr::new(10, 0, 0, 53),
        };
        for (asked, answered) in [(DISCOVER, OFFER), (REQUEST, ACKNOWLEDGE)] {
            let mut question = vec![1; FIXED_BYTES];
            question.extend(COOKIE);
            question.extend([0, 53, 1, asked, 255]);
            let reply = answer(&question, &lease).expect("an answer");
            let options = &reply[28 + FIXED_BYTES + 4..];
            assert_eq!(option(options, 53), Some(&[answered][..]));
            assert_eq!(option(options, 1), Some(&[255, 255, 0, 0][..]));
            assert_eq!(&reply[28 + 16..28 + 20], [10, 0, 0, 1]);
            // A release wants no answer.
            question[FIXED_BYTES + 7] = 7;
            assert_eq!(answer(&question, &lease), None);
        }
    }
}
