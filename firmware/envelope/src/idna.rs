//! Internationalised domain names (RFC 5890 to 5893): from what people write to the ASCII form that travels.
//!
//! Read this first. Inside this firmware a domain is always ASCII: [`to_ascii`] turns every label that is not into its
//! A-label (`xn--` and Punycode, RFC 3492) where an address is read, so that comparison, routes, name service and peers
//! without SMTPUTF8 need not know of it. What is let in is narrower than RFC 5892, and errs on the safe side:
//!
//! - Letters and digits of all scripts, in lower case (upper case is mapped), hyphens, and the marks that the scripts of
//!   India and South-East Asia cannot do without.
//! - No normalisation is done, for want of its tables (they would take a tenth of the firmware). Characters that
//!   normalisation would change are refused: combining marks of Latin, Greek and Cyrillic, compatibility forms, single
//!   Hangul letters. People type, and programs send, the composed form.
//! - No joiners and none of the characters of RFC 5892 appendix A except the Katakana middle dot; no emoji and other symbols.
//! - Labels of right-to-left scripts hold nothing else but digits and hyphens (RFC 5893 §2, without its mixed cases).
//!
//! An address whose domain is refused here can be written with its A-labels.

use alloc::string::String;
use core::fmt::Write as _;

use crate::AddressError;
use limits::smtp::DOMAIN_BYTES_MAX;

/// Octets of one label (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;

/// The ASCII form of a domain name: labels that are not ASCII become A-labels, the others are put in lower case. Whether
/// the result is a name that mail can go to says [`crate::check_domain`].
///
/// # Errors
/// [`AddressError::Domain`] if a label holds what no domain name may, [`AddressError::DomainTooLong`].
pub fn to_ascii(domain: &str) -> Result<String, AddressError> {
    let mut ascii = String::with_capacity(domain.len());
    for (index, label) in domain.split('.').enumerate() {
        if index > 0 {
            ascii.push('.');
        }
        if label.is_ascii() {
            ascii.extend(label.chars().map(|c| c.to_ascii_lowercase()));
        } else {
            push_a_label(label, &mut ascii)?;
        }
        if ascii.len() > DOMAIN_BYTES_MAX {
            return Err(AddressError::DomainTooLong);
        }
    }
    Ok(ascii)
}

/// Adds the A-label of a label that is not ASCII.
fn push_a_label(label: &str, out: &mut String) -> Result<(), AddressError> {
    // No character of a label takes more than four octets, and each takes at least one of the A-label.
    if label.len() > 4 * LABEL_BYTES_MAX {
        return Err(AddressError::Domain);
    }
    let mut lower = heapless::Vec::<char, { 4 * LABEL_BYTES_MAX }>::new();
    for c in label.chars().flat_map(char::to_lowercase) {
        lower.push(c).map_err(|_| AddressError::Domain)?;
    }
    if !is_u_label(&lower) {
        return Err(AddressError::Domain);
    }
    let start = out.len();
    out.push_str("xn--");
    punycode(&lower, out).ok_or(AddressError::Domain)?;
    if out.len() - start > LABEL_BYTES_MAX { Err(AddressError::Domain) } else { Ok(()) }
}

fn is_u_label(label: &[char]) -> bool {
    let right_to_left = label.iter().any(|c| is_right_to_left(*c));
    let fits = |c: &char| {
        if c.is_ascii() {
            c.is_ascii_digit() || *c == '-' || (c.is_ascii_lowercase() && !right_to_left)
        } else {
            is_letter_or_mark(*c) && (!right_to_left || is_right_to_left(*c))
        }
    };
    let hyphens = label.get(2..4) == Some(&['-', '-']);
    let starts = label.first().is_some_and(|c| {
        *c != '-' && !is_mark(*c) && (!right_to_left || (is_right_to_left(*c) && c.is_alphabetic()))
    });
    // Upper case of nothing but ASCII in disguise (the sign of the kelvin) is no internationalised label.
    let international = label.iter().any(|c| !c.is_ascii());
    international && label.iter().all(fits) && starts && label.last() != Some(&'-') && !hyphens
}

/// Hebrew, Arabic, Syriac, Thaana, N'Ko and the smaller scripts between them.
const fn is_right_to_left(c: char) -> bool {
    matches!(c, '\u{590}'..='\u{8ff}' | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

/// Marks that are written inside words and are no letters by themselves.
const fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{5b0}'..='\u{5bd}' | '\u{64b}'..='\u{652}' | '\u{93c}' | '\u{94d}' | '\u{9bc}' | '\u{9cd}' | '\u{a3c}' | '\u{a4d}'
        | '\u{abc}' | '\u{acd}' | '\u{b3c}' | '\u{b4d}' | '\u{bcd}' | '\u{c4d}' | '\u{cbc}' | '\u{ccd}' | '\u{d4d}' | '\u{dca}'
        | '\u{e38}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}' | '\u{eb8}'..='\u{eba}' | '\u{ec8}'..='\u{ecd}' | '\u{1037}'
        | '\u{1039}' | '\u{103a}' | '\u{17d2}')
}

fn is_letter_or_mark(c: char) -> bool {
    // The Katakana middle dot has been allowed for long, and Japanese names use it.
    (c.is_alphanumeric() || is_mark(c) || c == '\u{30fb}') && !is_unstable(c)
}

/// Characters that normalisation (NFKC) changes or joins with others, and numbers that are no digits.
fn is_unstable(c: char) -> bool {
    matches!(c,
        '\u{aa}' | '\u{b2}' | '\u{b3}' | '\u{b5}' | '\u{b9}'..='\u{be}'
        | '\u{132}' | '\u{133}' | '\u{13f}' | '\u{140}' | '\u{149}' | '\u{17f}' | '\u{1c4}'..='\u{1cc}' | '\u{1f1}'..='\u{1f3}'
        | '\u{2b0}'..='\u{2b8}' | '\u{2e0}'..='\u{2e4}' | '\u{300}'..='\u{36f}' | '\u{37a}' | '\u{3d0}'..='\u{3d6}'
        | '\u{3f0}'..='\u{3f5}' | '\u{3f9}' | '\u{587}' | '\u{675}'..='\u{678}' | '\u{958}'..='\u{95f}' | '\u{9dc}'
        | '\u{9dd}' | '\u{9df}' | '\u{a33}' | '\u{a36}' | '\u{a59}'..='\u{a5b}' | '\u{a5e}' | '\u{b5c}' | '\u{b5d}'
        | '\u{e33}' | '\u{eb3}' | '\u{edc}' | '\u{edd}' | '\u{f00}'..='\u{fff}' | '\u{10fc}' | '\u{1100}'..='\u{11ff}'
        | '\u{1d00}'..='\u{1dff}' | '\u{1e9a}' | '\u{1e9b}' | '\u{1f00}'..='\u{1fff}' | '\u{2000}'..='\u{2bff}'
        | '\u{2e80}'..='\u{3004}' | '\u{3008}'..='\u{3040}' | '\u{3095}'..='\u{309c}' | '\u{309f}' | '\u{30a0}' | '\u{30ff}'
        | '\u{3130}'..='\u{31ef}' | '\u{3200}'..='\u{33ff}' | '\u{a640}'..='\u{a97f}' | '\u{d7b0}'..='\u{ffff}'
        | '\u{1d000}'..='\u{1dfff}' | '\u{1f000}'..='\u{1ffff}' | '\u{2f800}'..='\u{2fa1f}' | '\u{e0000}'..)
}

/// Adds the Punycode form of `label` (RFC 3492 §6.3). `None` where a number grows beyond 32 bits, which no label that
/// fits 63 octets makes.
fn punycode(label: &[char], out: &mut String) -> Option<()> {
    const BASE: u32 = 36;
    const T_MIN: u32 = 1;
    const T_MAX: u32 = 26;
    const INITIAL_BIAS: u32 = 72;
    let basic = label.iter().filter(|c| c.is_ascii());
    let mut handled = 0u32;
    for c in basic {
        out.push(*c);
        handled += 1;
    }
    let basic_count = handled;
    if handled > 0 {
        out.push('-');
    }
    let (mut n, mut delta, mut bias) = (0x80u32, 0u32, INITIAL_BIAS);
    let total = u32::try_from(label.len()).ok()?;
    while handled < total {
        let next = label.iter().map(|c| u32::from(*c)).filter(|c| *c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for c in label.iter().map(|c| u32::from(*c)) {
            if c < n {
                delta = delta.checked_add(1)?;
            }
            if c != n {
                continue;
            }
            let (mut q, mut k) = (delta, BASE);
            loop {
                let t = if k <= bias { T_MIN } else { (k - bias).min(T_MAX) };
                if q < t {
                    break;
                }
                out.push(digit(t + (q - t) % (BASE - t)));
                q = (q - t) / (BASE - t);
                k += BASE;
            }
            out.push(digit(q));
            bias = adapt(delta, handled + 1, handled == basic_count);
            delta = 0;
            handled += 1;
        }
        delta = delta.checked_add(1)?;
        n += 1;
    }
    Some(())
}

/// RFC 3492 §6.1.
fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    const BASE: u32 = 36;
    const RANGE: u32 = 35;
    const SKEW: u32 = 38;
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points.max(1);
    let mut k = 0;
    while delta > RANGE * 26 / 2 {
        delta /= RANGE;
        k += BASE;
    }
    k + (RANGE + 1) * delta / (delta + SKEW)
}

/// The letters stand for 0 to 25, the digits for 26 to 35.
fn digit(value: u32) -> char {
    let octet = if value < 26 { u32::from(b'a') + value } else { u32::from(b'0') + value - 26 };
    char::from_u32(octet).unwrap_or('a')
}

/// Whether a character steers how text is shown instead of being text: nothing that is logged or put into a header may
/// hold one.
pub(crate) const fn is_steering(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}' | '\u{e0000}'..)
}

/// Shows a domain in ASCII, for the few places that hold one as it was written.
pub(crate) fn write_ascii(domain: &str, out: &mut String) {
    match to_ascii(domain) {
        Ok(ascii) => out.push_str(&ascii),
        // It was checked when it was read.
        Err(_) => _ = write!(out, "{domain}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_many_scripts_get_their_a_labels() {
        for (written, ascii) in [
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("M\u{dc}NCHEN.Example", "xn--mnchen-3ya.example"),
            ("fa\u{df}.example", "xn--fa-hia.example"),
            ("\u{3b2}\u{3cc}\u{3bb}\u{3bf}\u{3c2}.example", "xn--nxasmm1c.example"),
            ("\u{43f}\u{43e}\u{447}\u{442}\u{430}.\u{440}\u{444}", "xn--80a1acny.xn--p1ai"),
            ("\u{4f8b}\u{3048}.\u{30c6}\u{30b9}\u{30c8}", "xn--r8jz45g.xn--zckzah"),
            ("\u{4e2d}\u{56fd}.example", "xn--fiqs8s.example"),
            ("\u{d55c}\u{ad6d}.example", "xn--3e0b707e.example"),
            ("\u{5d9}\u{5e9}\u{5e8}\u{5d0}\u{5dc}.example", "xn--4dbrk0ce.example"),
            ("\u{645}\u{635}\u{631}.example", "xn--wgbh1c.example"),
            ("\u{92d}\u{93e}\u{930}\u{924}.example", "xn--h2brj9c.example"),
            ("\u{e44}\u{e17}\u{e22}.example", "xn--o3cw4h.example"),
            ("plain.Example", "plain.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(to_ascii(written).as_deref(), Ok(ascii), "{written}");
        }
    }

    #[test]
    fn what_is_no_name_or_would_need_tables_is_refused() {
        for written in [
            "bu\u{308}cher.example",
            "\u{ff41}bc.example",
            "\u{fb01}n.example",
            "a\u{200d}b.example",
            "a\u{200b}\u{fc}.example",
            "\u{202e}\u{fc}.example",
            "\u{2603}.example",
            "\u{1f600}.example",
            "a\u{3002}b.example",
            "-\u{fc}.example",
            "\u{fc}-.example",
            "ab--\u{fc}.example",
            "\u{fc} x.example",
            "\u{fc}_x.example",
            "\u{94d}a\u{fc}.example",
            "a\u{5d0}.example",
            "1\u{5d0}.example",
            "\u{5d0}\u{fc}.example",
            "\u{130}.example",
            "\u{212a}.example",
            "\u{2460}.example",
        ] {
            assert_eq!(to_ascii(written), Err(AddressError::Domain), "{written:?}");
        }
        let long: String = core::iter::repeat_n('\u{fc}', 300).collect();
        assert_eq!(to_ascii(&long), Err(AddressError::Domain));
        let many: String = core::iter::repeat_n("b\u{fc}cher.", 30).collect();
        assert_eq!(to_ascii(&many), Err(AddressError::DomainTooLong));
    }

    #[test]
    fn every_single_character_gives_a_short_label_or_none() {
        for c in ('\u{80}'..=char::MAX).step_by(5) {
            let mut label = String::new();
            label.push(c);
            if let Ok(ascii) = to_ascii(&label) {
                assert!(ascii.starts_with("xn--") && ascii.len() <= LABEL_BYTES_MAX);
                assert!(ascii.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            }
        }
    }
}
