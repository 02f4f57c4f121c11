//! The operator's checks of what lies outside.

use dns::{Data, Name};
use settings::{Domain, Peer};
use sim::gateway::Gateway;
use sim::peers::Sink;
use sim::world::{World, story};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const ONLINE: [u8; 4] = [10, 40, 0, 1];
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const ONLINE_HOST: &str = "contoso-example.mail.protection.outlook.com";

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn mx(preference: u16, host: &str) -> Data {
    Data::Mx { preference, exchange: name(host) }
}

fn txt(text: &str) -> Data {
    Data::Txt(text.as_bytes().into())
}

fn set_domain(world: &World, spf: &str) {
    let records = [mx(10, "gw.contoso.example"), mx(20, ONLINE_HOST), txt(spf)];
    world.network.set_records("contoso.example", &records);
}

/// A world in which everything is right: a domain, its Exchange Online, and a gateway behind a translator.
async fn everything_right(world: &World) -> (Gateway, Sink) {
    world.network.set_name("gw.contoso.example", &[PUBLIC.into()]);
    world
        .network
        .set_records(&Name::reverse(PUBLIC.into()).to_string(), &[Data::Ptr(name("gw.contoso.example"))]);
    world.network.set_name(ONLINE_HOST, &[IpAddr::from(ONLINE)]);
    world.network.set_records("spf.protection.outlook.com", &[txt("v=spf1 ip4:10.40.0.0/16 -all")]);
    set_domain(world, "v=spf1 ip4:203.0.113.10 include:spf.protection.outlook.com -all");
    let online = Sink::start(&world.executor, &world.network, SocketAddr::from((ONLINE, 25)));
    online.behave(|b| b.keywords = vec!["SIZE 157286400".into(), "PIPELINING".into(), "STARTTLS".into()]);
    let gateway = Gateway::new(world);
    gateway.configure(&[("hostname", "gw.contoso.example"), ("own-addresses", "203.0.113.10")]).await;
    gateway.add_rows::<Domain>(&["contoso.example"]).await;
    gateway.add_rows::<Peer>(&["tenant 10.40.0.0/24 class exchange"]).await;
    assert!(gateway.boot().await);
    (gateway, online)
}

/// Runs a command; its answer as one line of words, with every line checked for its width.
async fn ask(gateway: &Gateway, command: &str) -> String {
    let answer = gateway.console(command).await;
    // The first line is the echo of the command.
    for line in answer.lines().skip(1) {
        assert!(line.chars().count() <= 80, "wider than a screen: {line}");
    }
    answer.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_says(answer: &str, sentence: &str) {
    assert!(answer.contains(sentence), "`{sentence}` is not in: {answer}");
}

#[test]
fn a_domain_that_is_right_has_only_good_findings() {
    story(|world| async move {
        let (gateway, _online) = everything_right(&world).await;
        let answer = ask(&gateway, "diag dns contoso.example").await;
        assert_says(&answer, "ok A: gw.contoso.example, this gateway, has the address 203.0.113.10.");
        assert_says(&answer, "ok PTR: 203.0.113.10 leads back to gw.contoso.example.");
        assert_says(&answer, "10 gw.contoso.example, this gateway (203.0.113.10).");
        assert_says(&answer, "ok MX: mail for contoso.example comes here first and goes on from here.");
        assert_says(&answer, "ok SPF: pass for contoso.example from 203.0.113.10, by `ip4:203.0.113.10`.");
        assert!(!answer.contains("BAD") && !answer.contains("look "), "{answer}");
    });
}

#[test]
fn what_if_asks_about_another_address() {
    story(|world| async move {
        let (gateway, _online) = everything_right(&world).await;
        let answer = ask(&gateway, "diag dns contoso.example from 198.51.100.7").await;
        assert_says(&answer, "BAD SPF: fail for contoso.example from 198.51.100.7, by `-all`");
        assert_says(&answer, "Add `ip4:198.51.100.7` in front of the last term");
        set_domain(&world, "v=spf1 include:spf.protection.outlook.com ~all");
        let answer = ask(&gateway, "diag dns contoso.example").await;
        assert_says(&answer, "BAD SPF: softfail for contoso.example from 203.0.113.10");
        set_domain(&world, "v=spf1 include:spf.protection.outlook.com iq4:1.2.3.4 ~all");
        let answer = ask(&gateway, "diag dns contoso.example").await;
        assert_says(&answer, "BAD SPF: permerror for contoso.example: `iq4:1.2.3.4` is no term of SPF.");
    });
}

#[test]
fn an_include_of_exchange_online_in_a_domain_of_applications_is_pointed_out() {
    story(|world| async move {
        let (gateway, _online) = everything_right(&world).await;
        let records = [
            mx(10, "gw.contoso.example"),
            txt("v=spf1 ip4:203.0.113.10 include:spf.protection.outlook.com -all"),
        ];
        world.network.set_records("apps.example", &records);
        let answer = ask(&gateway, "diag dns apps.example").await;
        assert_says(&answer, "look SPF: apps.example includes spf.protection.outlook.com, but no MX record");
        world.network.set_records(
            "apps.example",
            &[mx(10, "gw.contoso.example"), txt("v=spf1 ip4:203.0.113.10 -all")],
        );
        let answer = ask(&gateway, "diag dns apps.example").await;
        assert!(!answer.contains("look SPF"), "{answer}");
    });
}

#[test]
fn names_that_do_not_lead_here_are_pointed_out() {
    story(|world| async move {
        let (gateway, _online) = everything_right(&world).await;
        world.network.set_name("gw.contoso.example", &[IpAddr::from([198, 51, 100, 1])]);
        let answer = ask(&gateway, "diag dns contoso.example").await;
        assert_says(
            &answer,
            "BAD A: gw.contoso.example, this gateway, has the address 198.51.100.1; expected is 203.0.113.10.",
        );
        world.network.set_name("gw.contoso.example", &[]);
        let answer = ask(&gateway, "diag dns contoso.example").await;
        assert_says(&answer, "BAD A: gw.contoso.example, the name of this gateway, has no address.");
        let answer = ask(&gateway, "diag dns nowhere.example").await;
        assert_says(&answer, "BAD MX: nowhere.example does not exist in DNS.");
        let answer = ask(&gateway, "diag dns one_two").await;
        assert_says(&answer, "`one_two` is no domain; as in `example.org`");
    });
}

#[test]
fn a_mail_server_is_greeted_and_its_offers_are_shown() {
    story(|world| async move {
        let (gateway, online) = everything_right(&world).await;
        let answer = ask(&gateway, &format!("diag smtp {ONLINE_HOST}")).await;
        assert_says(&answer, "ok 10.40.0.1:25 greets: 220");
        assert_says(&answer, "offers SIZE 157286400");
        assert_says(&answer, "offers STARTTLS");
        online.behave(|b| b.greeting = "554 5.7.1 blocked".into());
        let answer = ask(&gateway, &format!("diag smtp {ONLINE_HOST}")).await;
        assert_says(&answer, "BAD 10.40.0.1:25 does not serve us: `554 5.7.1 blocked`.");
        let answer = ask(&gateway, "diag smtp 10.40.0.2:2525").await;
        assert_says(&answer, "BAD 10.40.0.2:2525 refuses the connection");
    });
}

#[test]
fn the_way_of_an_address_is_followed_to_the_addresses_of_its_hosts() {
    story(|world| async move {
        let (gateway, _online) = everything_right(&world).await;
        let answer = ask(&gateway, "diag route ann@contoso.example").await;
        assert_says(
            &answer,
            "contoso.example is an internal domain; mail for it goes where its MX records lead.",
        );
        assert_says(&answer, "ok 1. contoso-example.mail.protection.outlook.com, MX 20: 10.40.0.1");
        assert!(!answer.contains("gw.contoso.example"), "{answer}");
    });
}

#[test]
fn block_lists_are_asked_about_the_public_address() {
    story(|world| async move {
        let (gateway, _online) = everything_right(&world).await;
        world.network.set_name("10.113.0.203.bl.spamcop.net", &[IpAddr::from([127, 0, 0, 2])]);
        world
            .network
            .set_records("10.113.0.203.bl.spamcop.net", &[txt("Blocked - see https://www.spamcop.net")]);
        world.network.set_name("10.113.0.203.zen.spamhaus.org", &[IpAddr::from([127, 255, 255, 254])]);
        let answer = ask(&gateway, "diag dnsbl").await;
        assert_says(&answer, "BAD bl.spamcop.net has 203.0.113.10 (127.0.0.2: Blocked");
        assert_says(&answer, "look zen.spamhaus.org does not answer our name servers");
        assert_says(&answer, "ok psbl.surriel.com does not have 203.0.113.10.");
        let answer = ask(&gateway, "diag dnsbl 10.0.0.1").await;
        assert_says(&answer, "look 10.0.0.1 is a private address, which no list has.");
    });
}

/// Row 0.28: each trouble that the documents list has a finding of its own.
#[test]
fn every_trouble_with_exchange_has_its_own_sentence() {
    story(|world| async move {
        let (gateway, online) = everything_right(&world).await;
        let answer = ask(&gateway, "diag exchange").await;
        assert_says(&answer, "ok Mail from 10.40.0.0 is accepted by the rules for Exchange (tenant).");
        assert_says(&answer, "ok No loops since the start.");
        assert_says(&answer, "offers STARTTLS.");
        assert_says(&answer, "ok The validation of a connector would get through");
        // It does not leave Exchange.
        assert_says(&answer, "look No mail has come from Exchange since the start");
        assert!(!answer.contains("BAD"), "{answer}");
        // TLS.
        online.behave(|b| b.keywords = vec!["PIPELINING".into()]);
        let answer = ask(&gateway, "diag exchange contoso.example").await;
        assert_says(&answer, "offers no STARTTLS: a connector that demands TLS will fail.");
        // The validation.
        online.behave(|b| b.mail = Some("550 5.7.51 restricted".into()));
        let answer = ask(&gateway, "diag exchange contoso.example").await;
        assert_says(&answer, "BAD The validation of a connector would fail");
        // Exchange refuses.
        online.behave(|b| b.greeting = "550 5.7.606 banned sending address".into());
        let answer = ask(&gateway, "diag exchange contoso.example").await;
        assert_says(&answer, "does not talk to us: `550 5.7.606 banned sending address`");
    });
}

#[test]
fn without_rules_for_exchange_its_mail_would_be_refused() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        gateway.configure(&[("hostname", "gw.contoso.example")]).await;
        assert!(gateway.boot().await);
        let answer = ask(&gateway, "diag exchange").await;
        assert_says(&answer, "BAD There are no rules for Exchange: its mail is refused with 554 5.7.1.");
        assert_says(&answer, "BAD There is no internal domain");
    });
}
