//! Finds the octets that structure content: CR, LF and NUL. Every octet of every message goes through here, so
//! it looks at eight at a time.

/// Offset of the first CR, LF or NUL.
pub(crate) fn find_control(bytes: &[u8]) -> Option<usize> {
    // Aligned words: the target has no cheap unaligned loads.
    let (head, words, _) = bytemuck::pod_align_to::<u8, u32>(bytes);
    if let Some(at) = position(head) {
        return Some(at);
    }
    let mut done = head.len();
    for pair in words.chunks_exact(2) {
        let (first, second) = (below_14(pair.first()), below_14(pair.get(1)));
        if first | second != 0 {
            let mark = if first != 0 { first.trailing_zeros() } else { 32 + second.trailing_zeros() };
            let suspect = done + (mark / 8) as usize;
            match bytes.get(suspect) {
                Some(b'\r' | b'\n' | 0) => return Some(suspect),
                // A tab or another rare control: look at the rest of the pair one by one.
                _ => {
                    let rest = bytes.get(suspect..).and_then(|b| b.get(..done + 8 - suspect));
                    if let Some(at) = rest.and_then(position) {
                        return Some(suspect + at);
                    }
                }
            }
        }
        // Cannot overflow: it stays within `bytes`. The check would cost one instruction in eight.
        done = done.wrapping_add(8);
    }
    bytes.get(done..).and_then(position).map(|at| done + at)
}

fn position(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| matches!(b, b'\r' | b'\n' | 0))
}

/// Marks the top bit of each octet below 14, which LF (10), CR (13) and NUL are: the subtraction sets that bit, and
/// `!word` leaves out octets above 127. A borrow can set a false mark, but only behind a true one, so the first mark
/// is exact.
fn below_14(word: Option<&u32>) -> u32 {
    // The first octet in memory becomes the lowest, whatever the machine.
    word.map_or(0, |w| {
        let word = u32::from_le(*w);
        word.wrapping_sub(0x0E0E_0E0E) & !word & 0x8080_8080
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn every_octet_at_every_place_and_alignment_is_told_apart() {
        for start in 0..8 {
            for at in 0..40 {
                for octet in 0..=255u8 {
                    let mut bytes = [b'x'; 64];
                    bytes[at + start] = octet;
                    bytes[63] = b'\n';
                    let expected = if matches!(octet, b'\r' | b'\n' | 0) { at } else { 63 - start };
                    assert_eq!(find_control(&bytes[start..]), Some(expected));
                }
            }
        }
    }

    #[test]
    fn tabs_before_the_control_do_not_hide_it() {
        for tab in 0..20 {
            for at in tab + 1..40 {
                let mut bytes = [b'x'; 48];
                bytes[tab] = b'\t';
                bytes[at] = b'\r';
                assert_eq!(find_control(&bytes), Some(at));
            }
        }
    }

    #[test]
    fn text_without_controls_has_none() {
        for length in 0..40 {
            assert_eq!(find_control(&vec![0xFF; length]), None);
            assert_eq!(find_control(&vec![b'\t'; length]), None);
        }
    }
}
