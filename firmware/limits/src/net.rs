//! Bounds of addresses and the network.

/// Port of SMTP relay (RFC 5321 §4.5.4.2).
pub const SMTP_PORT: u16 = 25;
/// Addresses of one host that are tried.
pub const HOST_ADDRESSES_COUNT_MAX: usize = 8;

/// Octets of the receive window of an inbound session: a sender with 5 ms of round trip still reaches 6 MB/s, and 64
/// sessions take 2 MiB.
pub const INBOUND_RECEIVE_BYTES: usize = 32 * 1_024;
/// Octets of the send buffer of an inbound session: pipelined replies, 100 of 40 octets.
pub const INBOUND_SEND_BYTES: usize = 4 * 1_024;
/// Octets of the receive window of a delivery: replies only.
pub const OUTBOUND_RECEIVE_BYTES: usize = 4 * 1_024;
/// Octets of the send buffer of a delivery: 64 KiB is what a receiver without window scaling can take in flight.
pub const OUTBOUND_SEND_BYTES: usize = 64 * 1_024;
/// Seconds after which a connection whose peer does not acknowledge anything is given up.
pub const DEAD_PEER_S: u64 = 120;
/// Seconds of silence after which a peer is asked whether it is still there.
pub const KEEP_ALIVE_S: u64 = 50;
/// Seconds that a connection to be opened waits for an address of our own; DHCP needs a few.
pub const ADDRESS_WAIT_S: u64 = 10;
/// Looks for that address in each second.
pub const ADDRESS_LOOKS_PER_S: u64 = 5;
/// Sockets that listen at a time, all doors together: as many clients may come at once before an idle session takes the
/// place of a busy one. Every one costs time with every frame, so not all idle ones listen.
pub const LISTENING_COUNT_MAX: usize = 32;
/// Seconds that a client has to finish the handshake of TCP; three times the first retransmission would be 21.
pub const HANDSHAKE_S: u64 = 21;
/// Milliseconds that closing waits for the peer's acknowledgement.
pub const CLOSE_WAIT_MS: u64 = 5_000;
/// Network interfaces of the machine, numbered from 1: one towards the Internet and one towards the inside, or one for
/// both.
pub const INTERFACES_COUNT: usize = 2;
/// Octets of the largest datagram that is sent or received: what every IPv6 network carries whole (RFC 8200 §5: 1,280
/// without IP and UDP headers) and what DNS answers are asked to keep to (RFC 9715 recommends 1,232 or less).
pub const DATAGRAM_BYTES_MAX: usize = 1_232;
/// Sockets for datagrams at once: each question to a name server that waits for its answer has one, on its own port.
pub const DATAGRAM_SOCKETS_COUNT: usize = 8;
/// Datagrams that wait in a socket until somebody reads them; forged ones may come before the right one.
pub const DATAGRAMS_WAITING_COUNT: usize = 4;
/// Connectors beside those of the deliveries: for DNS over TCP and for questions to servers.
pub const SPARE_CONNECTORS_COUNT: usize = 4;
/// Octets of the send buffer of a spare connector: questions and commands are short.
pub const SPARE_SEND_BYTES: usize = 4 * 1_024;
/// Sockets of one interface's stack: sessions in both directions, datagrams, DHCP.
pub const SOCKETS_COUNT: usize = crate::relay::LISTENERS_COUNT
    + crate::relay::SESSIONS_OUT_COUNT_MAX
    + SPARE_CONNECTORS_COUNT
    + DATAGRAM_SOCKETS_COUNT
    + 4;
/// Octets of the secret behind TCP sequence numbers: a key of SipHash.
pub const SEQUENCE_SECRET_BYTES: usize = 16;
/// Connections whose offset of sequence numbers is at hand; for others it is computed, which costs some 500 instructions.
/// More than there are busy ones at a time.
pub const GUARD_OFFSETS_COUNT: usize = 32;

crate::const_assert!(KEEP_ALIVE_S * 2 <= DEAD_PEER_S);
