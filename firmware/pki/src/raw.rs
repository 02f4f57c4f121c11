//! DER elements as octets: cutting them out, putting them together.
//!
//! Signatures are checked over the octets that came in, never over an encoding made anew, so the few elements that
//! matter are cut out of the original. Values are read by `x509-cert` and `der`.

use alloc::vec::Vec;
use core::ops::Range;

/// The first element of `input`: range of its contents and where it ends. Only definite lengths in their shortest
/// form and tags of one octet.
pub(crate) fn element(input: &[u8], at: usize) -> Option<(u8, Range<usize>)> {
    let tag = *input.get(at)?;
    if tag & 0x1f == 0x1f {
        return None;
    }
    let first = *input.get(at.checked_add(1)?)?;
    let (start, length) = match first {
        0..=0x7f => (at.checked_add(2)?, usize::from(first)),
        0x81 => (at.checked_add(3)?, usize::from(*input.get(at.checked_add(2)?)?)),
        0x82 => {
            let high = *input.get(at.checked_add(2)?)?;
            let low = *input.get(at.checked_add(3)?)?;
            (at.checked_add(4)?, usize::from(u16::from_be_bytes([high, low])))
        }
        _ => return None,
    };
    let end = start.checked_add(length)?;
    (end <= input.len()).then_some((tag, start..end))
}

/// An element with `tag` around `contents`.
pub(crate) fn wrap(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut out = Vec::with_capacity(length.saturating_add(6));
    out.push(tag);
    let octets = length.to_be_bytes();
    if length < 0x80 {
        out.extend(octets.last());
    } else {
        let zeros = octets.iter().take_while(|b| **b == 0).count();
        let significant = octets.get(zeros..).unwrap_or(&[]);
        out.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
        out.extend_from_slice(significant);
    }
    out.extend_from_slice(contents);
    out
}

/// An element with `tag` around `parts` one after the other.
pub(crate) fn wrap_all(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    wrap(tag, &parts.concat())
}

pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const IA5_STRING: u8 = 0x16;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_is_found_again_at_every_length_form() {
        for length in [0usize, 1, 127, 128, 255, 256, 4_000, 65_535] {
            let contents = alloc::vec![7u8; length];
            let wrapped = wrap(SEQUENCE, &contents);
            let (tag, range) = element(&wrapped, 0).unwrap();
            assert_eq!((tag, range.len(), range.end), (SEQUENCE, length, wrapped.len()));
        }
        assert_eq!(element(&[0x30, 0x05, 0], 0), None);
        assert_eq!(element(&[0x30, 0x80, 0, 0], 0), None);
        assert_eq!(element(&[], 0), None);
    }
}
