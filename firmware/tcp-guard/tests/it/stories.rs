//! Connections live as well behind the guard as without it.

use crate::link::{Link, Random, number, tcp_of, v4, v6};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::wire::IpAddress;
use tcp_guard::Guard;

const SECRET: [u8; 16] = *b"sixteen octets !";

fn guarded(seed: u64) -> Link {
    println!("seed {seed:#x}");
    Link::new(seed, Some(Guard::new(SECRET)))
}

/// One of two ends of a connection.
#[derive(Clone, Copy)]
struct End {
    near: bool,
    socket: SocketHandle,
}

/// Octets of a stream, by its number and the place in it.
fn octet(stream: u64, at: usize) -> u8 {
    let at = at as u64;
    ((at.wrapping_mul(31) ^ at >> 8).wrapping_add(stream * 7) & 0xff) as u8
}

/// Moves `bytes` octets over each connection from its first to its second end, all at once, and compares them.
fn transfer(link: &mut Link, connections: &[(End, End)], bytes: usize) {
    let mut sent = vec![0; connections.len()];
    let mut arrived = vec![0; connections.len()];
    link.until("everything has arrived", |link| {
        for (index, (from, to)) in connections.iter().enumerate() {
            let host = if from.near { &mut link.near } else { &mut link.far };
            let socket = host.tcp(from.socket);
            while socket.can_send() && sent[index] < bytes {
                let end = bytes.min(sent[index] + 1_000);
                let data: Vec<u8> = (sent[index]..end).map(|at| octet(index as u64, at)).collect();
                sent[index] += socket.send_slice(&data).expect("it is open");
            }
            let host = if to.near { &mut link.near } else { &mut link.far };
            let socket = host.tcp(to.socket);
            while socket.can_recv() {
                let mut buffer = [0; 2_048];
                let count = socket.recv_slice(&mut buffer).expect("it is open");
                for (offset, received) in buffer[..count].iter().enumerate() {
                    assert_eq!(*received, octet(index as u64, arrived[index] + offset));
                }
                arrived[index] += count;
            }
        }
        arrived.iter().all(|count| *count == bytes)
    });
}

/// A connection that the far host opens, or the near one.
fn open(
    link: &mut Link,
    by_near: bool,
    address: fn(u8) -> IpAddress,
    port: u16,
    from_port: u16,
) -> (End, End) {
    let (client, server) = if by_near {
        let server = link.far.listen(port);
        (link.near.connect(address(2), port, from_port), server)
    } else {
        let server = link.near.listen(port);
        (link.far.connect(address(1), port, from_port), server)
    };
    let ends = (End { near: by_near, socket: client }, End { near: !by_near, socket: server });
    link.until("the connection is open", |link| {
        [ends.0, ends.1].iter().all(|end| {
            let host = if end.near { &mut link.near } else { &mut link.far };
            host.tcp(end.socket).state() == State::Established
        })
    });
    ends
}

#[test]
fn half_a_megabyte_each_way_over_a_bad_wire() {
    for (address, seed) in [(v4 as fn(u8) -> IpAddress, 1), (v6, 2)] {
        for by_near in [true, false] {
            let mut link = guarded(seed);
            let (client, server) = open(&mut link, by_near, address, 25, 40_000);
            link.lost_per_mille = 50;
            link.delay_ms_max = 8;
            transfer(&mut link, &[(client, server), (server, client)], 500_000);
        }
    }
}

#[test]
fn two_dozen_connections_at_once_do_not_mix() {
    let mut link = guarded(3);
    let mut connections = Vec::new();
    for index in 0..12 {
        let address = if index % 2 == 0 { v4 } else { v6 };
        connections.push(open(&mut link, true, address, 1_000 + index, 40_000));
        let (client, server) = open(&mut link, false, address, 2_000 + index, 40_000);
        connections.push((server, client));
    }
    link.lost_per_mille = 20;
    link.delay_ms_max = 5;
    transfer(&mut link, &connections, 20_000);
}

/// What the wire calls the number 0 of the near host's stack.
fn offset_of(guard: &Guard, port: u16, peers_port: u16) -> u32 {
    let mut frame = [0_u8; 54];
    frame[12] = 0x08;
    frame[14] = 0x45;
    frame[23] = 6;
    frame[26..30].copy_from_slice(&[10, 0, 0, 1]);
    frame[30..34].copy_from_slice(&[10, 0, 0, 2]);
    frame[34..36].copy_from_slice(&port.to_be_bytes());
    frame[36..38].copy_from_slice(&peers_port.to_be_bytes());
    frame[46] = 0x50;
    guard.outgoing(&mut frame);
    number(&frame, 38)
}

#[test]
fn numbers_that_wrap_around_on_either_side_of_the_guard() {
    // Within so many octets of the wrap-around, so that a transfer passes it.
    const NEAR_THE_END: u32 = u32::MAX - 200_000;
    let mut random = Random(4);
    let begins = |seed: u64| {
        let mut link = Link::new(seed, None);
        open(&mut link, true, v4, 25, 40_000);
        let syn = link.wire.iter().find_map(|(near, frame)| tcp_of(frame).filter(|_| *near));
        number(syn.expect("a SYN"), 4)
    };
    let inside =
        (0..).map(|_| random.next()).find(|seed| begins(*seed) > NEAR_THE_END).expect("there is one");
    let isn = begins(5);
    let secret = (0_u128..)
        .map(u128::to_le_bytes)
        .find(|secret| isn.wrapping_add(offset_of(&Guard::new(*secret), 40_000, 25)) > NEAR_THE_END)
        .expect("there is one");
    for (seed, secret) in [(inside, SECRET), (5, secret)] {
        let mut link = Link::new(seed, Some(Guard::new(secret)));
        let (client, server) = open(&mut link, true, v4, 25, 40_000);
        link.lost_per_mille = 50;
        link.delay_ms_max = 8;
        transfer(&mut link, &[(client, server), (server, client)], 400_000);
    }
}

#[test]
fn what_the_peer_has_out_of_order_it_says_in_the_stacks_own_numbers() {
    let mut link = guarded(6);
    let (client, server) = open(&mut link, true, v4, 25, 40_000);
    link.lost_per_mille = 100;
    link.delay_ms_max = 6;
    transfer(&mut link, &[(client, server)], 300_000);
    let mut blocks = 0;
    for frame in &link.got {
        let Some(header) = tcp_of(frame) else { continue };
        let acknowledged = number(header, 8);
        let options = &header[20..usize::from(header[12] >> 4) * 4];
        let mut at = 0;
        while at < options.len() && options[at] != 0 {
            if options[at] == 1 {
                at += 1;
                continue;
            }
            if options[at] == 5 {
                for edge in (at + 2..at + usize::from(options[at + 1])).step_by(4) {
                    // Ahead of what is acknowledged, and within the peer's window.
                    assert!(number(options, edge).wrapping_sub(acknowledged) <= 16 * 1_024);
                    blocks += 1;
                }
            }
            at += usize::from(options[at + 1]);
        }
    }
    assert!(blocks > 10, "{blocks} edges: the story needs a worse wire");
}

#[test]
fn a_reset_is_believed_by_either_side() {
    for near_aborts in [true, false] {
        for address in [v4 as fn(u8) -> IpAddress, v6] {
            let mut link = guarded(7);
            let (client, server) = open(&mut link, false, address, 25, 40_000);
            transfer(&mut link, &[(client, server)], 5_000);
            let (aborts, other) = if near_aborts { (server, client) } else { (client, server) };
            let host = if aborts.near { &mut link.near } else { &mut link.far };
            host.tcp(aborts.socket).abort();
            link.until("the other side knows", |link| {
                let host = if other.near { &mut link.near } else { &mut link.far };
                host.tcp(other.socket).state() == State::Closed
            });
        }
    }
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    for address in [v4 as fn(u8) -> IpAddress, v6] {
        let mut link = guarded(8);
        let out = link.near.connect(address(2), 26, 40_000);
        let back = link.far.connect(address(1), 26, 40_000);
        link.until("both are refused", |link| {
            link.near.tcp(out).state() == State::Closed && link.far.tcp(back).state() == State::Closed
        });
        // Refused, not given up for want of an answer.
        assert!(link.now.total_millis() < 1_000, "{}", link.now);
        let reset = link
            .wire
            .iter()
            .find_map(|(near, frame)| tcp_of(frame).filter(|header| *near && header[13] & 0x04 != 0));
        assert_eq!(number(reset.expect("the near host has refused"), 4), 0);
    }
}

#[test]
fn after_a_restart_the_peers_of_old_connections_are_told() {
    let mut link = guarded(9);
    let (client, server) = open(&mut link, false, v4, 25, 40_000);
    transfer(&mut link, &[(client, server)], 5_000);
    link.near.sockets.remove(server.socket);
    link.guard = Some(Guard::new(*b"another secret.."));
    link.far.tcp(client.socket).send_slice(b"still there?").expect("it is open");
    link.until("the peer knows", |link| link.far.tcp(client.socket).state() == State::Closed);
}

#[test]
fn both_open_at_the_same_moment() {
    let mut link = guarded(10);
    let near = link.near.connect(v4(2), 5_000, 4_000);
    let far = link.far.connect(v4(1), 4_000, 5_000);
    link.until("one connection", |link| {
        link.near.tcp(near).state() == State::Established && link.far.tcp(far).state() == State::Established
    });
    let (near, far) = (End { near: true, socket: near }, End { near: false, socket: far });
    transfer(&mut link, &[(near, far), (far, near)], 20_000);
}

#[test]
fn a_damaged_segment_stays_damaged() {
    let mut random = Random(11);
    let mut link = guarded(11);
    let (client, server) = open(&mut link, true, v4, 25, 40_000);
    transfer(&mut link, &[(server, client)], 20_000);
    let whole: Vec<Vec<u8>> = link.wire.iter().filter(|(near, _)| !near).map(|(_, f)| f.clone()).collect();
    let guard = Guard::new(SECRET);
    let mut checked = 0;
    for frame in whole.iter().filter(|frame| tcp_of(frame).is_some()) {
        let mut good = frame.clone();
        guard.incoming(&mut good);
        assert!(sums_up(&good));
        let mut bad = frame.clone();
        let at = 34 + random.below((bad.len() - 34) as u64) as usize;
        // The header length decides what is read as options: left alone, as the flags.
        if at == 46 || at == 47 {
            continue;
        }
        bad[at] ^= 1 << random.below(8);
        guard.incoming(&mut bad);
        assert!(!sums_up(&bad));
        checked += 1;
    }
    assert!(checked > 10);
}

/// Whether the checksum of a TCP segment in an IPv4 frame is right (RFC 9293 §3.1).
fn sums_up(frame: &[u8]) -> bool {
    let length = usize::from(u16::from_be_bytes([frame[16], frame[17]])) - 20;
    let segment = &frame[34..34 + length];
    let words = |octets: &[u8]| -> u32 {
        octets.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |low| u32::from(*low))).sum()
    };
    let mut sum = words(&frame[26..34]) + 6 + length as u32 + words(segment);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum == 0xffff
}
