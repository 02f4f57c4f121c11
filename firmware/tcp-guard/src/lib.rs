//! Sequence numbers that nobody can guess, for a TCP/IP stack whose own can be.
//!
//! # Why
//! Whoever can guess the sequence numbers of a connection that he does not see can reset it, or speak in the name of its
//! peer: for a mail gateway that trusts by address, that is relaying for free (RFC 6528 §2). The stack takes its initial
//! sequence numbers from a generator of 64 bits of state that was made for statistics, not for secrets: a few of them
//! give its state away, and all that follow (`tests/attack.rs` does it).
//!
//! # How
//! The [`Guard`] stands between the stack and the wire. What the stack calls *n*, the wire calls *n* + F, where F depends on
//! the connection (both addresses, both ports) and on a secret that is new with every start, by SipHash-2-4:
//!
//! | direction | field | on the way |
//! |---|---|---|
//! | out | sequence number | + F |
//! | in | acknowledgement number, if the ACK bit is set | − F |
//! | in | both edges of every SACK block (RFC 2018 §3, RFC 2883) | − F |
//!
//! The checksum is carried over by difference (RFC 1624), so one that was wrong stays wrong and the stack still refuses the
//! segment. Nothing is remembered about connections: F can be computed again for every segment. So there is nothing to
//! fill up, nothing to time out, and connections survive whatever happens here. (A few values of F are kept to save time.)
//!
//! # What an attacker learns
//! RFC 6528 §3 makes initial numbers as M + F(connection, secret), M being a clock that everybody knows. Here M is the
//! stack's generator; let it be known completely, then the same holds: numbers of his own connections tell him F of these
//! and nothing of F of any other, as long as SipHash is a pseudo-random function. Unlike that clock, M does not grow, so a
//! new connection of the same ports does not always begin behind the old one; the stack has chosen its own numbers at
//! random since ever, and peers sort this out by their TIME-WAIT rules (RFC 9293 §3.6.1).
//!
//! A reset for a segment without ACK bit has sequence number 0 (RFC 9293 §3.10.7.1) and keeps it: it carries no number of
//! ours.
//!
//! # Preconditions
//! Whole Ethernet frames without VLAN tags; IPv4 and IPv6; every frame of the interface goes through one `Guard`, in both
//! directions. Frames that are anything else, or too short to be what they say, are left as they are, for the stack to refuse.
//! Fragments other than the first have no TCP header and are left alone; of the first, the header counts if it is whole. If
//! somebody hides TCP behind IPv6 extension headers that are not walked here (only hop-by-hop, routing and destination
//! options are), numbers do not fit, and the segment is one of no connection.
#![no_std]
#![forbid(unsafe_code)]

mod frame;

use core::cell::Cell;
use core::hash::Hasher as _;
use frame::Segment;
use limits::net::{GUARD_OFFSETS_COUNT, SEQUENCE_SECRET_BYTES};
use siphasher::sip::SipHasher24;

/// Both ends of a connection, as the wire writes them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    /// Own address, 4 octets of it for IPv4, the rest 0.
    pub local: [u8; 16],
    /// The peer's.
    pub remote: [u8; 16],
    /// Own port and the peer's, each with its high octet first.
    pub ports: [u8; 4],
    /// Whether the addresses are IPv6.
    pub ipv6: bool,
}

/// A connection and its F.
type Known = Option<(Connection, u32)>;

/// Hides the stack's sequence numbers. One for each interface.
pub struct Guard {
    secret: [u8; SEQUENCE_SECRET_BYTES],
    /// Connections that were seen last, each at the place that its ports give.
    known: [Cell<Known>; GUARD_OFFSETS_COUNT],
}

impl Guard {
    /// A guard with its secret, which must be random and of this start only: from then on it is never shown or stored.
    #[must_use]
    pub const fn new(secret: [u8; SEQUENCE_SECRET_BYTES]) -> Self {
        Self { secret, known: [const { Cell::new(None) }; GUARD_OFFSETS_COUNT] }
    }

    /// Changes a frame that the stack has made into what goes over the wire.
    pub fn outgoing(&self, frame: &mut [u8]) {
        let Some(mut segment) = Segment::find(frame, frame::Direction::Out) else { return };
        if segment.is_reset() && segment.sequence() == 0 {
            return;
        }
        let offset = self.offset(&segment.connection);
        segment.set_sequence(segment.sequence().wrapping_add(offset));
    }

    /// Changes a frame that came over the wire into what the stack may see.
    pub fn incoming(&self, frame: &mut [u8]) {
        let Some(mut segment) = Segment::find(frame, frame::Direction::In) else { return };
        if !segment.has_acknowledgement() {
            return;
        }
        let offset = self.offset(&segment.connection);
        segment.set_acknowledgement(segment.acknowledgement().wrapping_sub(offset));
        segment.shift_sack_blocks(offset);
    }

    /// F of a connection.
    fn offset(&self, connection: &Connection) -> u32 {
        let [_, local, _, remote] = connection.ports;
        let place = self.known.get(usize::from(local ^ remote) % GUARD_OFFSETS_COUNT);
        if let Some((known, offset)) = place.and_then(Cell::get)
            && known == *connection
        {
            return offset;
        }
        let offset = self.compute(connection);
        if let Some(place) = place {
            place.set(Some((*connection, offset)));
        }
        offset
    }

    fn compute(&self, connection: &Connection) -> u32 {
        let mut hasher = SipHasher24::new_with_key(&self.secret);
        let bytes = if connection.ipv6 { 16 } else { 4 };
        // The length is part of the hash: no IPv4 connection is hashed as an IPv6 one.
        for address in [&connection.local, &connection.remote] {
            hasher.write(address.get(..bytes).unwrap_or_default());
        }
        hasher.write(&connection.ports);
        let [a, b, c, d, ..] = hasher.finish().to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }
}
