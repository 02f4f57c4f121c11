//! Domains as they are compared: A-labels in lower case.

use envelope::idna::to_ascii;
use heapless::String;
use limits::settings::HOST_NAME_BYTES_MAX;

/// The canonical form of a domain: lower case, without the final dot, labels outside ASCII as A-labels (RFC 5890
/// §2.3.2.1), by the rules of [`envelope::idna`]: the domain of every address has the same form. `None` if it is too long for
/// a host name, or holds what no domain may.
pub fn canonical(domain: &str) -> Option<String<HOST_NAME_BYTES_MAX>> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    if !domain.is_ascii() {
        return String::try_from(to_ascii(domain).ok()?.as_str()).ok();
    }
    let mut out = String::new();
    for c in domain.chars() {
        out.push(c.to_ascii_lowercase()).ok()?;
    }
    Some(out)
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
