//! Finding the TCP header of an Ethernet frame, and changing numbers in it.

use crate::Connection;

const ETHERNET_BYTES: usize = 14;
const ETHERTYPE_IPV4: [u8; 2] = [0x08, 0x00];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const IPV4_BYTES_MIN: usize = 20;
const IPV6_BYTES: usize = 40;
const TCP_BYTES_MIN: usize = 20;
const PROTOCOL_TCP: u8 = 6;
/// Extension headers of IPv6 that are walked: hop-by-hop options, routing, destination options (RFC 8200 §4).
const EXTENSIONS: [u8; 3] = [0, 43, 60];
/// Extension headers in a row; RFC 8200 §4.1 knows no sense in more.
const EXTENSIONS_COUNT_MAX: usize = 4;

const FLAG_RST: u8 = 0x04;
const FLAG_ACK: u8 = 0x10;
const OPTION_END: u8 = 0;
const OPTION_NOTHING: u8 = 1;
const OPTION_SACK: u8 = 5;

// Places in the TCP header (RFC 9293 §3.1).
const SEQUENCE_AT: usize = 4;
const ACKNOWLEDGEMENT_AT: usize = 8;
const HEADER_LENGTH_AT: usize = 12;
const FLAGS_AT: usize = 13;
const CHECKSUM_AT: usize = 16;

/// Which end of the frame we are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Its source.
    Out,
    /// Its destination.
    In,
}

/// The TCP header of a frame, options included; at least [`TCP_BYTES_MIN`] octets.
pub struct Segment<'f> {
    header: &'f mut [u8],
    pub connection: Connection,
}

impl<'f> Segment<'f> {
    /// The segment in `frame`, if it holds one whose header is whole.
    pub fn find(frame: &'f mut [u8], direction: Direction) -> Option<Self> {
        let (ethernet, packet) = frame.split_at_mut_checked(ETHERNET_BYTES)?;
        let ethertype = *ethernet.last_chunk::<2>()?;
        let mut addresses = [[0; 16]; 2];
        let (at, ipv6) = match ethertype {
            ETHERTYPE_IPV4 => (ipv4(packet, &mut addresses)?, false),
            ETHERTYPE_IPV6 => (ipv6(packet, &mut addresses)?, true),
            _ => return None,
        };
        let segment = packet.get_mut(at..)?;
        let &[length, flags] = segment.get(HEADER_LENGTH_AT..=FLAGS_AT)?.first_chunk()?;
        let _ = flags;
        let length = usize::from(length >> 4) * 4;
        if length < TCP_BYTES_MIN {
            return None;
        }
        let header = segment.get_mut(..length)?;
        let [source, destination] = addresses;
        let &[a, b, c, d] = header.first_chunk()?;
        let connection = match direction {
            Direction::Out => Connection { local: source, remote: destination, ports: [a, b, c, d], ipv6 },
            Direction::In => Connection { local: destination, remote: source, ports: [c, d, a, b], ipv6 },
        };
        Some(Self { header, connection })
    }

    fn flags(&self) -> u8 {
        self.header.get(FLAGS_AT).copied().unwrap_or(0)
    }

    pub fn is_reset(&self) -> bool {
        self.flags() & FLAG_RST != 0
    }

    pub fn has_acknowledgement(&self) -> bool {
        self.flags() & FLAG_ACK != 0
    }

    pub fn sequence(&self) -> u32 {
        self.number(SEQUENCE_AT)
    }

    pub fn acknowledgement(&self) -> u32 {
        self.number(ACKNOWLEDGEMENT_AT)
    }

    pub fn set_sequence(&mut self, value: u32) {
        self.set_number(SEQUENCE_AT, value);
    }

    pub fn set_acknowledgement(&mut self, value: u32) {
        self.set_number(ACKNOWLEDGEMENT_AT, value);
    }

    /// Takes `offset` from both edges of every SACK block. A list of options that is not well-formed ends where it stops
    /// to be.
    pub fn shift_sack_blocks(&mut self, offset: u32) {
        let mut at = TCP_BYTES_MIN;
        while let Some(&kind) = self.header.get(at) {
            match kind {
                OPTION_END => return,
                OPTION_NOTHING => at += 1,
                _ => {
                    let length = self.header.get(at + 1).map_or(0, |length| usize::from(*length));
                    if length < 2 || at + length > self.header.len() {
                        return;
                    }
                    if kind == OPTION_SACK {
                        for edge in (at + 2..at + length).step_by(4).take((length - 2) / 4) {
                            self.set_number(edge, self.number(edge).wrapping_sub(offset));
                        }
                    }
                    at += length;
                }
            }
        }
    }

    fn number(&self, at: usize) -> u32 {
        let octets = self.header.get(at..).and_then(|rest| rest.first_chunk());
        octets.map_or(0, |octets| u32::from_be_bytes(*octets))
    }

    /// Writes a number and carries the checksum over.
    fn set_number(&mut self, at: usize, value: u32) {
        let old = self.number(at);
        let Some(place) = self.header.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) else { return };
        *place = value.to_be_bytes();
        // A number at an odd place, as some write SACK blocks, lies across three words of the sum: its octets have
        // changed sides, and so does what is added (RFC 1071 §2, byte order independence).
        let (old, new) =
            if at.is_multiple_of(2) { (old, value) } else { (old.rotate_left(8), value.rotate_left(8)) };
        let Some(sum) = self.header.get_mut(CHECKSUM_AT..).and_then(|rest| rest.first_chunk_mut()) else {
            return;
        };
        *sum = carried_over(u16::from_be_bytes(*sum), old, new).to_be_bytes();
    }
}

/// The checksum after `old` has become `new` (RFC 1624 §3, equation 3).
fn carried_over(checksum: u16, old: u32, new: u32) -> u16 {
    let halves = |value: u32| (value >> 16) + (value & 0xffff);
    let mut sum = u32::from(!checksum) + halves(!old) + halves(new);
    // Five numbers of 16 bits: two rounds take every carry in.
    sum = (sum >> 16) + (sum & 0xffff);
    sum = (sum >> 16) + (sum & 0xffff);
    !(u16::try_from(sum).unwrap_or(u16::MAX))
}

/// Where TCP begins in an IPv4 packet; its addresses.
fn ipv4(packet: &[u8], addresses: &mut [[u8; 16]; 2]) -> Option<usize> {
    let header: &[u8; IPV4_BYTES_MIN] = packet.first_chunk()?;
    let length = usize::from(header[0] & 0x0f) * 4;
    let fragment_offset = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    if header[0] >> 4 != 4 || length < IPV4_BYTES_MIN || header[9] != PROTOCOL_TCP || fragment_offset != 0 {
        return None;
    }
    let [source, destination] = addresses;
    source.first_chunk_mut::<4>()?.copy_from_slice(&header[12..16]);
    destination.first_chunk_mut::<4>()?.copy_from_slice(&header[16..20]);
    Some(length)
}

/// Where TCP begins in an IPv6 packet; its addresses.
fn ipv6(packet: &[u8], addresses: &mut [[u8; 16]; 2]) -> Option<usize> {
    let header: &[u8; IPV6_BYTES] = packet.first_chunk()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let [source, destination] = addresses;
    source.copy_from_slice(&header[8..24]);
    destination.copy_from_slice(&header[24..40]);
    let (mut next, mut at) = (header[6], IPV6_BYTES);
    for _ in 0..=EXTENSIONS_COUNT_MAX {
        if next == PROTOCOL_TCP {
            return Some(at);
        }
        if !EXTENSIONS.contains(&next) {
            return None;
        }
        let &[after, length] = packet.get(at..)?.first_chunk()?;
        (next, at) = (after, at + 8 + usize::from(length) * 8);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1624() {
        assert_eq!(carried_over(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn octets_that_are_no_segment_are_left_alone() {
        for length in 0..120 {
            for (high, low) in [(0x08, 0x00), (0x86, 0xdd), (0x08, 0x06), (0, 0)] {
                let mut frame = [0xff_u8; 120];
                let frame = frame.get_mut(..length).expect("not longer");
                if let Some(place) = frame.get_mut(12..14) {
                    place.copy_from_slice(&[high, low]);
                }
                assert!(Segment::find(frame, Direction::In).is_none());
            }
        }
    }
}
