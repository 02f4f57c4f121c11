//! Somebody watches a hundred handshakes of his own and wants to know the next number, which is not for him.

use crate::link::{Link, number, tcp_of, v4};
use smoltcp::socket::tcp::State;
use tcp_guard::Guard;

/// Multiplier and increment of the stack's generator, published with its source.
const M: u64 = 0xbb2e_fcec_3c39_611d;
const A: u64 = 0x7590_ef39;

fn next(state: u64) -> u64 {
    state.wrapping_mul(M).wrapping_add(A)
}

/// What the generator shows of its state: 32 bits, from a place that the upper three bits choose.
fn shown(state: u64) -> u32 {
    (state >> (29 - (state >> 61))) as u32
}

/// The state that showed the last of `seen`, if one fits them all.
///
/// Every eighth number or so comes from bits 22 to 53 of a state whose upper three bits are ones: 22 bits below are to be
/// guessed, and because carries only go upwards, the lower 54 bits of the next state follow from these alone. Four million
/// guesses, a hundred times less than a second each way; then seven bits are left.
fn recover(seen: &[u32]) -> Option<u64> {
    const LOW: u64 = (1 << 54) - 1;
    for (index, pair) in seen.windows(2).enumerate() {
        let candidates = (0..1_u64 << 22).map(|guess| u64::from(pair[0]) << 22 | guess).filter(|low| {
            let after = next(*low) & LOW;
            (0..8).any(|upper| {
                let shift = 29 - upper;
                let visible = (54 - shift).min(32);
                (after >> shift ^ u64::from(pair[1])) & ((1 << visible) - 1) == 0
            })
        });
        for low in candidates {
            for middle in 0..1 << 7 {
                let mut state = 7 << 61 | middle << 54 | low;
                let fits = seen[index + 1..].iter().all(|seen| {
                    state = next(state);
                    shown(state) == *seen
                });
                if fits {
                    return Some(state);
                }
            }
        }
    }
    None
}

/// The initial number of the near host in a connection that the far one opens from `port`, as the wire has it.
fn handshake(link: &mut Link, port: u16) -> u32 {
    let server = link.near.listen(25);
    let client = link.far.connect(v4(1), 25, port);
    link.until("a connection", |link| {
        link.near.tcp(server).state() == State::Established
            && link.far.tcp(client).state() == State::Established
    });
    let found = link.wire.drain(..).find_map(|(from_near, frame)| {
        let header = tcp_of(&frame)?;
        // SYN and ACK.
        (from_near && header[13] & 0x12 == 0x12).then(|| number(header, 4))
    });
    link.far.tcp(client).abort();
    link.until("its end", |link| link.near.tcp(server).state() == State::Closed);
    link.near.sockets.remove(server);
    link.far.sockets.remove(client);
    found.expect("there was a handshake")
}

#[test]
fn the_plain_stack_gives_its_state_away() {
    let mut link = Link::new(0x0123_4567_89ab_cdef, None);
    let seen: Vec<u32> = (0..100).map(|index| handshake(&mut link, 40_000 + index)).collect();
    let state = recover(&seen).expect("the attack is real");
    // The next connection is somebody else's.
    assert_eq!(handshake(&mut link, 50_000), shown(next(state)));
}

#[test]
fn behind_the_guard_there_is_nothing_to_recover() {
    let seed = 0x0123_4567_89ab_cdef;
    let mut link = Link::new(seed, Some(Guard::new(*b"a secret of ours")));
    let seen: Vec<u32> = (0..100).map(|index| handshake(&mut link, 40_000 + index)).collect();
    // A few of them are enough where the attack works; all of them would take a minute to fail.
    assert_eq!(recover(&seen[..24]), None);
    // Even who knew the whole state, and with it the offset of every connection of his own, does not know that of others.
    let mut plain = Link::new(seed, None);
    let known: Vec<u32> = (0..100).map(|index| handshake(&mut plain, 40_000 + index)).collect();
    let victim = handshake(&mut link, 50_000);
    let known_victim = handshake(&mut plain, 50_000);
    for (seen, known) in seen.iter().zip(&known) {
        let offset = seen.wrapping_sub(*known);
        assert_ne!(known_victim.wrapping_add(offset), victim);
    }
    // Nor do offsets resemble each other: every bit of them is as often set as not (within five standard deviations).
    for bit in 0..32 {
        let set = seen.iter().zip(&known).filter(|(s, k)| s.wrapping_sub(**k) >> bit & 1 == 1).count();
        assert!((25..=75).contains(&set), "bit {bit}: {set} of 100");
    }
}
