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
        if any_below_14(pair.first()) | any_below_14(pair.get(1)) != 0 {
            // A tab and other rare controls raise the alarm too.
            if let Some(at) = bytes.get(done..).and_then(|b| b.get(..8)).and_then(position) {
                return Some(done + at);
            }
        }
        done += 8;
    }
    bytes.get(done..).and_then(position).map(|at| done + at)
}

fn position(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| matches!(b, b'\r' | b'\n' | 0))
}

/// Not 0 if one of the four octets is below 14, which LF (10), CR (13) and NUL are: the subtraction sets the top
/// bit of such an octet, and `!word` leaves out those above 127.
fn any_below_14(word: Option<&u32>) -> u32 {
    word.map_or(0, |w| w.wrapping_sub(0x0E0E_0E0E) & !w & 0x8080_8080)
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
    fn text_without_controls_has_none() {
        for length in 0..40 {
            assert_eq!(find_control(&vec![0xFF; length]), None);
            assert_eq!(find_control(&vec![b'\t'; length]), None);
        }
    }
}
