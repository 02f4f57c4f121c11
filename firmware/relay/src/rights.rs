//! What a client may do, asked at MAIL and RCPT: pure answers, each with its reason in words.
//!
//! # Addresses by which mail has been got through relays
//! Source routes and nested domains are no addresses any more (RFC 5321 appendix C) and refused by the parser. A local part
//! means something only to the server that has the mailbox; but some servers read routes in it (`user%other`, `other!user`,
//! `"user@other"`), and would relay for us, whom they trust. So strangers may not use such local parts. Address literals
//! are relayed for nobody: they would let whoever may send choose any machine that we can reach.

use alloc::format;
use alloc::string::String;
use envelope::{EnhancedStatus, Mailbox, ReversePath};
use settings::{Class, Domains, Judged, RelayRight, Rewrite, Rule};
use smtp::Reply;
use smtp::server::Server;

/// A refusal: what the peer hears, and what the operator reads beside it.
#[derive(Clone, Debug)]
pub(crate) struct No {
    pub(crate) reply: Reply,
    pub(crate) why: String,
}

fn no(code: u16, status: EnhancedStatus, text: &str, why: String) -> No {
    No { reply: Reply::new(code, status, text), why }
}

/// Who the client is to us, in words.
fn standing(judged: &Judged) -> String {
    match judged.rule {
        Rule::Nobody => String::from("no rule is for this client"),
        _ => format!("class {} by {}", judged.class, judged.rule),
    }
}

/// Where the mail of this sender may go. Everybody may use the null sender (RFC 5321 §4.5.5).
fn relay_right(judged: &Judged, domains: &Domains, sender: &ReversePath) -> RelayRight {
    judged.relay_for(domains, sender.mailbox().map(Mailbox::domain))
}

/// Asks whether the client may send from this address. Who may not send at all hears that when it names a recipient.
pub(crate) fn sender(judged: &Judged, domains: &Domains, sender: &ReversePath) -> Result<(), No> {
    if relay_right(judged, domains, sender) != RelayRight::None || judged.rights.relay == RelayRight::None {
        return Ok(());
    }
    let why = format!("{}: sender domain not in its list", standing(judged));
    Err(no(550, EnhancedStatus(5, 7, 1), "You may not send from this domain", why))
}

/// Asks whether the client may send to this address.
pub(crate) fn recipient(
    judged: &Judged,
    domains: &Domains,
    sender: &ReversePath,
    to: &Mailbox,
) -> Result<(), No> {
    let denied =
        |what: &str| No { reply: Server::relay_denied(), why: format!("{}: {what}", standing(judged)) };
    if judged.rule == Rule::Damaged {
        let why = String::from("stored rules cannot be read; see `show peers`");
        return Err(no(451, EnhancedStatus(4, 3, 0), "Cannot tell what you may do, try again later", why));
    }
    match relay_right(judged, domains, sender) {
        RelayRight::None => return Err(denied("may send nowhere")),
        RelayRight::Internal if !domains.is_internal(to.domain()) => {
            return Err(denied(if judged.rights.relay == RelayRight::Any {
                "from this sender domain to internal domains only"
            } else {
                "may send to internal domains only"
            }));
        }
        RelayRight::Internal | RelayRight::Any => {}
    }
    if to.literal_address().is_some() {
        return Err(denied("nobody may send to an address literal"));
    }
    let routed = |octet| matches!(octet, b'%' | b'!' | b'@' | b':' | b',');
    if judged.class == Class::Internet && to.local_part().bytes().any(routed) {
        return Err(denied("may not use a local part that some server could read as a route"));
    }
    Ok(())
}

/// The sender that takes the place of this one, if the rule says so.
pub(crate) fn rewritten(judged: &Judged, sender: ReversePath) -> ReversePath {
    let (Some(rewrite), Some(mailbox)) = (&judged.rights.rewrite_sender, sender.mailbox()) else {
        return sender;
    };
    let text = match rewrite {
        Rewrite::Address(address) => format!("{address}"),
        Rewrite::Domain(domain) => format!("{}@{domain}", mailbox.local_part()),
    };
    // Both come from valid parts, so they are valid together.
    Mailbox::parse(&text).map_or(sender, ReversePath::Mailbox)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use settings::{Peers, Row as _};

    fn judged(rule: &str) -> Judged {
        let peers = Peers::of([settings::Peer::parse(rule).unwrap()]).unwrap();
        peers.judge(&[], [192, 0, 2, 1].into(), ([10, 0, 0, 1], 25).into(), 1)
    }

    fn own() -> Domains {
        Domains::of([settings::Domain::parse("example.org").unwrap()]).unwrap()
    }

    fn answer(judged: &Judged, to: &str) -> Result<(), String> {
        let sender = ReversePath::parse("someone@elsewhere.example").unwrap();
        recipient(judged, &own(), &sender, &Mailbox::parse(to).unwrap()).map_err(|no| {
            assert_eq!(no.reply.code, 554);
            no.why
        })
    }

    #[test]
    fn nobody_may_send_anywhere_without_a_rule_not_even_to_internal_domains() {
        let nobody = Peers::default().judge(&[], [192, 0, 2, 1].into(), ([10, 0, 0, 1], 25).into(), 1);
        for to in ["ann@example.org", "x@elsewhere.example"] {
            assert_eq!(answer(&nobody, to).unwrap_err(), "no rule is for this client: may send nowhere");
        }
    }

    #[test]
    fn the_internet_may_send_to_plain_addresses_of_internal_domains() {
        let world = judged("world any class internet");
        assert_eq!(answer(&world, "Ann.B+tag=x@example.org"), Ok(()));
        for to in ["x@elsewhere.example", "x@sub.example.org", "x@example.org.example", "x@[192.0.2.9]"] {
            assert_eq!(
                answer(&world, to).unwrap_err(),
                "class internet by peer world: may send to internal domains only"
            );
        }
        for to in
            ["x%elsewhere.example@example.org", "elsewhere.example!x@example.org", "\"x@else\"@example.org"]
        {
            assert!(answer(&world, to).unwrap_err().contains("route"), "{to}");
        }
    }

    #[test]
    fn an_application_may_send_anywhere_but_to_literals() {
        let app = judged("apps 192.0.2.0/24 class application");
        for to in ["x@elsewhere.example", "x%y@elsewhere.example", "ann@example.org"] {
            assert_eq!(answer(&app, to), Ok(()));
        }
        for to in ["x@[192.0.2.9]", "x@[IPv6:::1]", "x@[127.0.0.1]"] {
            assert!(answer(&app, to).unwrap_err().contains("literal"), "{to}");
        }
    }

    #[test]
    fn other_tenants_of_exchange_online_may_send_inward_and_nowhere_else() {
        let own_domains = own();
        // Named one by one, or as all own domains: what the set-up for Exchange Online writes.
        for senders in ["example.org", "own"] {
            let online = judged(&format!("online 192.0.2.0/24 class exchange senders {senders}"));
            let ask = |from: &str, to: &str| {
                let from = ReversePath::parse(from).unwrap();
                sender(&online, &own_domains, &from).unwrap();
                recipient(&online, &own_domains, &from, &Mailbox::parse(to).unwrap()).map_err(|no| no.why)
            };
            assert_eq!(ask("ann@example.org", "x@elsewhere.example"), Ok(()), "{senders}");
            assert_eq!(ask("x@elsewhere.example", "ann@example.org"), Ok(()));
            assert_eq!(
                ask("x@other-tenant.example", "y@elsewhere.example").unwrap_err(),
                "class exchange by peer online: from this sender domain to internal domains only"
            );
        }
    }

    #[test]
    fn senders_are_held_to_their_domains_and_the_null_sender_passes() {
        let app = judged("apps 192.0.2.0/24 class application senders example.org,example.net");
        let domains = own();
        let ask = |from: &str| sender(&app, &domains, &ReversePath::parse(from).unwrap());
        assert!(ask("a@example.org").is_ok() && ask("a@EXAMPLE.NET").is_ok() && ask("").is_ok());
        let no = ask("a@sub.example.org").unwrap_err();
        assert_eq!((no.reply.code, no.reply.status), (550, Some(EnhancedStatus(5, 7, 1))));
        assert_eq!(no.why, "class application by peer apps: sender domain not in its list");
    }

    #[test]
    fn a_rewritten_sender_is_the_one_of_the_rule_and_the_null_sender_stays() {
        let by = |rule: &str, from: &str| {
            rewritten(&judged(rule), ReversePath::parse(from).unwrap()).as_str().to_owned_string()
        };
        let all = "apps 192.0.2.0/24 class application rewrite noreply@example.org";
        let domain = "apps 192.0.2.0/24 class application rewrite @example.org";
        assert_eq!(by(all, "root@printer.local"), "noreply@example.org");
        assert_eq!(by(domain, "root@printer.local"), "root@example.org");
        assert_eq!((by(all, ""), by(domain, "")), (String::new(), String::new()));
        assert_eq!(by("apps 192.0.2.0/24 class application", "root@printer.local"), "root@printer.local");
    }

    trait ToOwnedString {
        fn to_owned_string(&self) -> String;
    }

    impl ToOwnedString for str {
        fn to_owned_string(&self) -> String {
            String::from(self)
        }
    }
}
