//! What is in a frame, and the few frames that this side makes itself: answers to "who has this address?" and UDP.
//!
//! Written by hand because hosts here have no configuration: whoever is asked for exists.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Address of a network card.
pub type Mac = [u8; 6];

/// Octets in front of an Ethernet frame's content.
pub const HEADER_BYTES: usize = 14;
const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86DD;
/// Protocol numbers.
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const NEIGHBOR_SOLICITATION: u8 = 135;
const NEIGHBOR_ADVERTISEMENT: u8 = 136;

/// What a frame is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content<'f> {
    /// Somebody asks for the card that has an address.
    WhoHas {
        /// Who asks.
        asker: IpAddr,
        /// The address in question.
        target: IpAddr,
    },
    /// An IP packet.
    Ip(&'f [u8]),
    /// Anything else.
    Other,
}

/// Looks into an Ethernet frame. Gives the sender's card as well.
#[must_use]
pub fn open(frame: &[u8]) -> Option<(Mac, Content<'_>)> {
    let sender: Mac = array(frame, 6)?;
    let kind = u16::from_be_bytes(array(frame, 12)?);
    let body = frame.get(HEADER_BYTES..)?;
    let content = match kind {
        // Ethernet, IPv4, a request.
        ARP if body.get(..8) == Some(&[0, 1, 8, 0, 6, 4, 0, 1]) => Content::WhoHas {
            asker: Ipv4Addr::from(array::<4>(body, 14)?).into(),
            target: Ipv4Addr::from(array::<4>(body, 24)?).into(),
        },
        IPV4 => Content::Ip(body),
        IPV6 if body.get(6) == Some(&ICMPV6) && body.get(40) == Some(&NEIGHBOR_SOLICITATION) => {
            Content::WhoHas {
                asker: Ipv6Addr::from(array::<16>(body, 8)?).into(),
                target: Ipv6Addr::from(array::<16>(body, 48)?).into(),
            }
        }
        IPV6 => Content::Ip(body),
        _ => Content::Other,
    };
    Some((sender, content))
}

/// The frame that says: `target` is at `ours`.
#[must_use]
pub fn is_here(asker: IpAddr, target: IpAddr, guest: Mac, ours: Mac) -> Option<Vec<u8>> {
    match (asker, target) {
        (IpAddr::V4(asker), IpAddr::V4(target)) => {
            let mut body = vec![0, 1, 8, 0, 6, 4, 0, 2];
            body.extend(ours);
            body.extend(target.octets());
            body.extend(guest);
            body.extend(asker.octets());
            Some(frame(guest, ours, ARP, &body))
        }
        (IpAddr::V6(asker), IpAddr::V6(target)) => {
            // RFC 4861 §4.4: solicited, override; the option is the card's address.
            let mut body = vec![NEIGHBOR_ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0];
            body.extend(target.octets());
            body.extend([2, 1]);
            body.extend(ours);
            let sum = checksum(target.into(), asker.into(), ICMPV6, &body);
            body[2..4].copy_from_slice(&sum.to_be_bytes());
            let mut packet = header(target.into(), asker.into(), ICMPV6, body.len());
            packet.extend(body);
            Some(frame(guest, ours, IPV6, &packet))
        }
        _ => None,
    }
}

/// An IP packet in its frame.
#[must_use]
pub fn enclose(guest: Mac, ours: Mac, packet: &[u8]) -> Vec<u8> {
    let kind = if packet.first().is_some_and(|first| first >> 4 == 6) { IPV6 } else { IPV4 };
    frame(guest, ours, kind, packet)
}

fn frame(to: Mac, from: Mac, kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + body.len());
    frame.extend(to);
    frame.extend(from);
    frame.extend(kind.to_be_bytes());
    frame.extend(body);
    frame
}

/// What stands in front of a TCP or UDP packet's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Where it comes from.
    pub from: SocketAddr,
    /// Where it goes.
    pub to: SocketAddr,
}

/// An IP packet by what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'p> {
    /// A TCP segment.
    Tcp {
        /// Both ends.
        ends: Ends,
        /// SYN, without ACK: wants a connection.
        opens: bool,
        /// SYN and ACK, with the sequence number: accepts one.
        accepts: Option<u32>,
        /// Octets of data.
        data: usize,
    },
    /// A datagram.
    Udp {
        /// Both ends.
        ends: Ends,
        /// Its content.
        data: &'p [u8],
    },
    /// Anything else, fragments too.
    Other {
        /// The sender.
        from: IpAddr,
        /// The receiver.
        to: IpAddr,
    },
}

impl Packet<'_> {
    /// The addresses: from, to.
    #[must_use]
    pub fn hosts(&self) -> (IpAddr, IpAddr) {
        match self {
            Packet::Tcp { ends, .. } | Packet::Udp { ends, .. } => (ends.from.ip(), ends.to.ip()),
            Packet::Other { from, to } => (*from, *to),
        }
    }
}

/// Looks into an IP packet.
#[must_use]
pub fn look_into(packet: &[u8]) -> Option<Packet<'_>> {
    let (from, to, protocol, body): (IpAddr, IpAddr, u8, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet.first()? & 15) * 4;
            let length = usize::from(u16::from_be_bytes(array(packet, 2)?));
            let fragment = u16::from_be_bytes(array(packet, 6)?) & 0x3fff != 0;
            let protocol = if fragment { 0 } else { *packet.get(9)? };
            let addresses =
                (Ipv4Addr::from(array::<4>(packet, 12)?), Ipv4Addr::from(array::<4>(packet, 16)?));
            (addresses.0.into(), addresses.1.into(), protocol, packet.get(header..length)?)
        }
        6 => {
            let length = usize::from(u16::from_be_bytes(array(packet, 4)?));
            let addresses =
                (Ipv6Addr::from(array::<16>(packet, 8)?), Ipv6Addr::from(array::<16>(packet, 24)?));
            (addresses.0.into(), addresses.1.into(), *packet.get(6)?, packet.get(40..40 + length)?)
        }
        _ => return None,
    };
    let ends = || {
        let ports = (u16::from_be_bytes(array(body, 0)?), u16::from_be_bytes(array(body, 2)?));
        Some(Ends { from: SocketAddr::new(from, ports.0), to: SocketAddr::new(to, ports.1) })
    };
    match protocol {
        TCP => {
            let (flags, offset) = (*body.get(13)?, usize::from(body.get(12)? >> 4) * 4);
            let (syn, ack) = (flags & 2 != 0, flags & 16 != 0);
            let sequence = u32::from_be_bytes(array(body, 4)?);
            Some(Packet::Tcp {
                ends: ends()?,
                opens: syn && !ack,
                accepts: (syn && ack).then_some(sequence),
                data: body.len().checked_sub(offset)?,
            })
        }
        UDP => {
            let length = usize::from(u16::from_be_bytes(array(body, 4)?));
            Some(Packet::Udp { ends: ends()?, data: body.get(8..length)? })
        }
        _ => Some(Packet::Other { from, to }),
    }
}

/// A datagram as an IP packet; `None` if the ends are of different families or it is too long for one packet.
#[must_use]
pub fn datagram(ends: Ends, data: &[u8]) -> Option<Vec<u8>> {
    if ends.from.is_ipv4() != ends.to.is_ipv4() || data.len() > 1_452 {
        return None;
    }
    let length = u16::try_from(data.len() + 8).ok()?;
    let mut body = Vec::with_capacity(data.len() + 8);
    for number in [ends.from.port(), ends.to.port(), length, 0] {
        body.extend(number.to_be_bytes());
    }
    body.extend(data);
    let sum = match checksum(ends.from.ip(), ends.to.ip(), UDP, &body) {
        // RFC 768: nought would mean that there is none.
        0 => 0xffff,
        sum => sum,
    };
    body[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut packet = header(ends.from.ip(), ends.to.ip(), UDP, body.len());
    packet.extend(body);
    Some(packet)
}

fn header(from: IpAddr, to: IpAddr, protocol: u8, body: usize) -> Vec<u8> {
    let body = u16::try_from(body).unwrap_or(0);
    let mut header = Vec::with_capacity(40);
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.extend([0x45, 0]);
            header.extend((body + 20).to_be_bytes());
            // Not to be fragmented, 64 hops.
            header.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            header.extend(from.octets());
            header.extend(to.octets());
            let sum = fold(sum(&header));
            header[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (from, to) => {
            header.extend([0x60, 0, 0, 0]);
            header.extend(body.to_be_bytes());
            // RFC 4861 §7.1.2 believes only what came over no router.
            header.extend([protocol, 255]);
            header.extend(six(from).octets());
            header.extend(six(to).octets());
        }
    }
    header
}

fn six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn checksum(from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) -> u16 {
    let mut total = u32::from(protocol) + u32::try_from(body.len()).unwrap_or(0) + sum(body);
    for address in [from, to] {
        total += match address {
            IpAddr::V4(address) => sum(&address.octets()),
            IpAddr::V6(address) => sum(&address.octets()),
        };
    }
    fold(total)
}

fn sum(octets: &[u8]) -> u32 {
    octets.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum()
}

fn fold(total: u32) -> u16 {
    let mut total = total;
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !u16::try_from(total).unwrap_or(0)
}

fn array<const N: usize>(octets: &[u8], at: usize) -> Option<[u8; N]> {
    octets.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: Mac = [2, 0, 0, 0, 0, 1];
    const OURS: Mac = [2, 0, 0, 0, 0, 2];

    #[test]
    fn datagrams_read_back_and_their_sums_are_right() {
        for (from, to) in [("192.0.2.1:53", "10.0.0.1:4000"), ("[2001:db8::53]:53", "[2001:db8::1]:4000")] {
            let ends = Ends { from: from.parse().expect("address"), to: to.parse().expect("address") };
            for length in [0, 1, 2, 511, 1_452] {
                let data = vec![0xa5; length];
                let packet = datagram(ends, &data).expect("fits");
                assert_eq!(look_into(&packet), Some(Packet::Udp { ends, data: &data }));
                let enclosed = enclose(GUEST, OURS, &packet);
                assert_eq!(open(&enclosed), Some((OURS, Content::Ip(&packet))));
                let header = if ends.from.is_ipv4() { 20 } else { 40 };
                // A sum over everything, the sum itself included, is nought.
                assert_eq!(checksum(ends.from.ip(), ends.to.ip(), UDP, &packet[header..]), 0);
            }
            assert_eq!(datagram(ends, &[0; 1_453]), None);
        }
    }

    #[test]
    fn everybody_who_is_asked_for_is_here() {
        let question = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9];
        let asked = frame([0xff; 6], GUEST, ARP, &question);
        let (asker, target) = ("10.0.0.1".parse().expect("address"), "10.0.0.9".parse().expect("address"));
        assert_eq!(open(&asked), Some((GUEST, Content::WhoHas { asker, target })));
        let answer = is_here(asker, target, GUEST, OURS).expect("one family");
        assert_eq!(answer[20..22], [0, 2]);
        assert_eq!(answer[22..32], [2, 0, 0, 0, 0, 2, 10, 0, 0, 9]);
        let (asker, target) =
            ("2001:db8::1".parse().expect("address"), "2001:db8::9".parse().expect("address"));
        let answer = is_here(asker, target, GUEST, OURS).expect("one family");
        assert_eq!(checksum(target, asker, ICMPV6, &answer[54..]), 0);
        assert_eq!(answer.len(), 14 + 40 + 32);
    }
}
