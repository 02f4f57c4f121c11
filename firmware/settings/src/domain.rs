//! Domains as they are compared: A-labels in lower case.

use heapless::String;
use limits::settings::{HOST_NAME_BYTES_MAX, LABEL_BYTES_MAX};

/// The canonical form of a domain: lower case, without the final dot, labels outside ASCII as A-labels (RFC 5890
/// §2.3.2.1). `None` if it is too long for a host name.
///
/// A label is lower-cased and encoded, not normalised: an operator's keyboard and a mail program both produce NFC, and
/// the tables of full IDNA would cost more flash than the rest of this crate.
pub fn canonical(domain: &str) -> Option<String<HOST_NAME_BYTES_MAX>> {
    let mut out = String::new();
    for (at, label) in domain.strip_suffix('.').unwrap_or(domain).split('.').enumerate() {
        if at > 0 {
            out.push('.').ok()?;
        }
        if label.is_ascii() {
            for c in label.chars() {
                out.push(c.to_ascii_lowercase()).ok()?;
            }
        } else {
            let mut lower = heapless::Vec::<char, LABEL_BYTES_MAX>::new();
            for c in label.chars().flat_map(char::to_lowercase) {
                lower.push(c).ok()?;
            }
            out.push_str("xn--").ok()?;
            punycode(&lower, &mut out)?;
        }
    }
    Some(out)
}

/// Appends the Punycode of a label (RFC 3492 §6.3); `None` if it gets too long.
fn punycode(label: &[char], out: &mut String<HOST_NAME_BYTES_MAX>) -> Option<()> {
    const BASE: u32 = 36;
    const T_MIN: u32 = 1;
    const T_MAX: u32 = 26;
    let mut handled = 0u32;
    for c in label.iter().filter(|c| c.is_ascii()) {
        out.push(*c).ok()?;
        handled += 1;
    }
    if handled > 0 {
        out.push('-').ok()?;
    }
    let (basic, total) = (handled, u32::try_from(label.len()).ok()?);
    let (mut n, mut delta, mut bias) = (128u32, 0u32, 72u32);
    while handled < total {
        let next = label.iter().map(|c| u32::from(*c)).filter(|c| *c >= n).min()?;
        delta = delta.checked_add((next - n).checked_mul(handled + 1)?)?;
        n = next;
        for c in label.iter().map(|c| u32::from(*c)) {
            if c < n {
                delta = delta.checked_add(1)?;
            } else if c == n {
                let mut q = delta;
                let mut k = BASE;
                loop {
                    let threshold = k.saturating_sub(bias).clamp(T_MIN, T_MAX);
                    if q < threshold {
                        break;
                    }
                    out.push(digit(threshold + (q - threshold) % (BASE - threshold))).ok()?;
                    q = (q - threshold) / (BASE - threshold);
                    k += BASE;
                }
                out.push(digit(q)).ok()?;
                bias = adapt(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        n = n.checked_add(1)?;
    }
    Some(())
}

/// RFC 3492 §6.1.
const fn adapt(delta: u32, points: u32, first: bool) -> u32 {
    let mut delta = if first { delta / 700 } else { delta / 2 };
    delta += delta / points;
    let mut k = 0;
    while delta > (36 - 1) * 26 / 2 {
        delta /= 36 - 1;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

/// `a` to `z` for 0 to 25, `0` to `9` for 26 to 35.
fn digit(value: u32) -> char {
    char::from(b"abcdefghijklmnopqrstuvwxyz0123456789".get(value as usize).copied().unwrap_or(b'-'))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn labels_outside_ascii_become_a_labels() {
        for (domain, form) in [
            ("Example.ORG.", "example.org"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("B\u{dc}CHER.example", "xn--bcher-kva.example"),
            // From RFC 3492 §7.1: (B) and (L).
            (
                "\u{4ed6}\u{4eec}\u{4e3a}\u{4ec0}\u{4e48}\u{4e0d}\u{8bf4}\u{4e2d}\u{6587}",
                "xn--ihqwcrb4cv8a8dqg056pqjye",
            ),
            ("3\u{5e74}b\u{7d44}\u{91d1}\u{516b}\u{5148}\u{751f}", "xn--3b-ww4c5e180e575a65lsy2b"),
        ] {
            assert_eq!(canonical(domain).as_deref(), Some(form), "{domain}");
        }
        assert_eq!(canonical(&"\u{fc}".repeat(64)), None);
        assert_eq!(canonical(&"a.".repeat(200)), None);
    }
}
