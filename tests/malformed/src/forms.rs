//! Forms of recipient addresses, and who may send to each.
//!
//! Made for an appliance that calls itself [`OWN_NAME`] and has [`INTERNAL_DOMAIN`] as its internal domain.

/// Name of the appliance.
pub const OWN_NAME: &str = "gw.example";
/// Its internal domain.
pub const INTERNAL_DOMAIN: &str = "inside.example";

/// How far an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is refused whoever asks.
    Nobody,
    /// Who may send to anywhere may send to it.
    Senders,
    /// Who may send to internal domains may send to it too.
    Everybody,
}

/// One form of address.
#[derive(Clone, Debug)]
pub struct Form {
    /// What stands behind `RCPT TO:`.
    pub path: Vec<u8>,
    /// Who may send to it.
    pub reach: Reach,
}

/// All forms: local parts of every kind at domains of every kind, whole paths that are none.
#[must_use]
pub fn address_forms() -> Vec<Form> {
    let mut forms = Vec::new();
    let mut add = |path: &[u8], reach| forms.push(Form { path: path.to_vec(), reach });

    // Plain local parts, and those that some server reads as a route.
    let plain =
        ["victim", "Vic.Tim+tag", "o'hara", "a=b", "a/b", "v{}|~^`#$&*_-?", "\"victim\"", "\"\\victim\""];
    let routes = [
        "victim%victim.example",
        "victim%victim.example%localhost",
        "victim.example!victim",
        "gw.example!victim.example!victim",
        "\"victim@victim.example\"",
        "\"victim%victim.example\"",
        "\"victim.example!victim\"",
        "\"@victim.example:victim\"",
        "\"victim@victim.example,other\"",
        "\"<victim@victim.example>\"",
    ];
    let no_local_parts = [
        "",
        ".victim",
        "victim.",
        "vic..tim",
        "vic tim",
        "victim\\",
        "vic(x)tim",
        "victim@victim.example",
        "<victim",
        "vic,tim",
        "vic;tim",
        "vic:tim",
        "[victim]",
        "\"victim",
        "victim\"",
        "\"vic\"tim\"",
        "\"\"victim",
        "\"vic\"tim",
        "vic\ttim",
    ];
    let internal = ["inside.example", "INSIDE.Example"];
    let external = [
        "victim.example",
        "sub.inside.example",
        "inside.example.victim.example",
        "xinside.example",
        "localhost",
        "0x7f000001",
    ];
    let no_domains = [
        "",
        ".",
        "inside.example.",
        ".inside.example",
        "inside..example",
        "-inside.example",
        "inside-.example",
        "127.0.0.1",
        "2130706433",
        "inside.example:25",
        "inside.example/victim.example",
        "inside_example",
        "inside.example@victim.example",
        "inside.example%victim.example",
        "(x)inside.example",
        "inside.example(x)",
        "inside example",
        "\"inside.example\"",
        "inside.example\\",
        "inside.example,victim.example",
    ];
    let literals = [
        "[127.0.0.1]",
        "[10.0.0.1]",
        "[192.0.2.25]",
        "[IPv6:::1]",
        "[IPv6:2001:db8::25]",
        "[IPv6:::ffff:10.0.0.1]",
        "[victim.example]",
        "[127.1]",
        "[0x7f.0.0.1]",
        "[127.0.0.1",
        "127.0.0.1]",
        "[]",
        "[x:127.0.0.1]",
        "[127.0.0.1].inside.example",
    ];
    for local in plain {
        for domain in internal {
            add(format!("<{local}@{domain}>").as_bytes(), Reach::Everybody);
        }
        for domain in external {
            add(format!("<{local}@{domain}>").as_bytes(), Reach::Senders);
        }
    }
    for local in routes {
        for domain in internal.iter().chain(&external) {
            add(format!("<{local}@{domain}>").as_bytes(), Reach::Senders);
        }
    }
    for local in no_local_parts {
        for domain in ["inside.example", "victim.example"] {
            add(format!("<{local}@{domain}>").as_bytes(), Reach::Nobody);
        }
    }
    for domain in no_domains.iter().chain(&literals) {
        for local in ["victim", "\"victim@victim.example\"", "victim%victim.example"] {
            add(format!("<{local}@{domain}>").as_bytes(), Reach::Nobody);
        }
    }
    // Source routes, and paths that are none.
    for path in [
        "<@inside.example:victim@victim.example>",
        "<@gw.example:victim@inside.example>",
        "<@[127.0.0.1]:victim@victim.example>",
        "<@gw.example,@victim.example:victim@inside.example>",
        "<>",
        "<@>",
        "<victim>",
        "<victim%victim.example>",
        "victim@inside.example",
        "<victim@inside.example",
        "victim@inside.example>",
        "<<victim@inside.example>>",
        "<victim@inside.example>,<victim@victim.example>",
        "<victim@inside.example> <victim@victim.example>",
        "<victim@inside.example>victim@victim.example",
        "\"Victim\" <victim@inside.example>",
        "< victim@inside.example>",
        "<victim@inside.example >",
        "<mailto:victim@inside.example>",
        "<victim@inside.example> ORCPT=rfc822;victim@victim.example NOTIFY=BOGUS",
        "<victim@inside.example> XRDST=victim.example",
        "<victim@inside.example> ALT-ADDRESS=victim@victim.example",
    ] {
        add(path.as_bytes(), Reach::Nobody);
    }
    // UTF-8 without SMTPUTF8 at MAIL, and octets that are no text.
    for path in [
        &b"<vict\xc3\xafm@inside.example>"[..],
        b"<victim@ins\xff.example>",
        b"<vic\x01tim@inside.example>",
        b"<victim@inside.example\x7f>",
    ] {
        add(path, Reach::Nobody);
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_forms_enough_and_no_form_twice() {
        let forms = address_forms();
        assert!(forms.len() >= 60, "{}", forms.len());
        for (at, form) in forms.iter().enumerate() {
            assert!(forms[..at].iter().all(|other| other.path != form.path), "{}", form.path.escape_ascii());
            assert!(!form.path.iter().any(|octet| b"\r\n\0".contains(octet)), "one line");
        }
    }
}
