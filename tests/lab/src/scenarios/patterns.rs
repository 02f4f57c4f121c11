//! The two patterns of the Exchange integration: A, the Internet finds the appliance first; B, Exchange hands its mail to the
//! appliance and takes it back.

use crate::letters::Letter;
use crate::peers::exchange::{Exchange, Rule, Scope, Version};
use crate::peers::internet::{InternetMx, Manner};
use crate::plan::{GATEWAY, GATEWAY_SMTP};
use crate::world::{World, ip};
use std::net::SocketAddr;

/// The tenant's server, named as Microsoft names it.
const TENANT_HOST: &str = "contoso-example.mail.protection.outlook.com";

/// Names of both patterns but for the MX records of `contoso.example`.
const NAMES: &str = "
    contoso-example.mail.protection.outlook.com A 10.40.0.1
    gw.example A 10.0.0.1
    b.example MX 10 mx.b.example
    mx.b.example A 10.20.0.1
";

/// A tenant, a server on the Internet, and the appliance between them.
struct Site {
    world: World,
    tenant: Exchange,
    outside: InternetMx,
}

impl Site {
    /// Pattern A: `MX 15` is the appliance, `MX 20` Exchange. Mail for the outside goes through the appliance by a rule.
    async fn pattern_a(world: &World) -> Self {
        world.name_server(
            "contoso.example MX 15 gw.example
             contoso.example MX 20 contoso-example.mail.protection.outlook.com",
        );
        let site = Self::build(world).await;
        world.directory.set("contoso.example", &[GATEWAY_SMTP, SocketAddr::new(site.tenant.source(), 25)]);
        site.rule(Scope::Outside, |_| {});
        site
    }

    /// Pattern B: `MX` is Exchange. Mail for the inside goes through the appliance by a rule and comes back.
    async fn pattern_b(world: &World, exception: impl FnOnce(&mut Rule)) -> Self {
        world.name_server("contoso.example MX 10 contoso-example.mail.protection.outlook.com");
        let site = Self::build(world).await;
        world.directory.set("contoso.example", &[SocketAddr::new(site.tenant.source(), 25)]);
        site.rule(Scope::Inside, exception);
        site
    }

    async fn build(world: &World) -> Self {
        world.dns.zone(NAMES);
        world.set_up(&[]).await;
        for command in [
            "domain add contoso.example",
            "peer add tenant 10.40.0.1/32 class exchange",
            "peer add internet any class internet",
        ] {
            world.quietly(command).await;
        }
        let tenant = world.exchange(Version::Online, TENANT_HOST, "10.40.0.1", "contoso.example");
        tenant.configure(|config| {
            config.partners = vec![GATEWAY];
            config.retains_headers = true;
            config.smart_hosts = vec![GATEWAY_SMTP];
        });
        let outside = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::strict());
        Self { world: world.clone(), tenant, outside }
    }

    fn rule(&self, scope: Scope, change: impl FnOnce(&mut Rule)) {
        let mut rule = Rule { scope, except_from: Vec::new(), except_header: None };
        change(&mut rule);
        self.tenant.configure(|config| config.rules.push(rule));
    }

    /// Somebody on the Internet writes to somebody in the tenant, by whatever MX is first.
    async fn outsider_writes(&self, letter: &Letter) {
        let hosts = self.world.directory.hosts("contoso.example");
        for host in hosts {
            let mut server = self.world.application("10.20.0.1", "mx.b.example");
            server.relay = host;
            if let Some(outcome) = server.try_send(letter).await {
                outcome.reply.expect(250, "");
                return;
            }
        }
        panic!("no MX of contoso.example takes {}", letter.tag);
    }
}

/// What a command shows, as one line of words.
async fn said(world: &World, command: &str) -> String {
    let shown = world.gateway.command(command).await;
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_says(shown: &str, sentence: &str) {
    assert!(shown.contains(sentence), "`{sentence}` is not in: {shown}");
}

/// 0.08: the look-ups of the manual: A, MX and TXT of a domain, what is expected beside what is there.
pub async fn look_ups_by_command(world: World) {
    let _site = Site::pattern_a(&world).await;
    world.dns.zone(
        "contoso.example TXT v=spf1 ip4:198.51.100.1 include:spf.protection.outlook.com -all
         spf.protection.outlook.com TXT v=spf1 ip4:10.40.0.0/16 -all
         1.100.51.198.in-addr.arpa PTR gw.example",
    );
    world.quietly("set own-addresses 198.51.100.1").await;
    world.shows("save", "Saved.").await;
    world.dns.remove("gw.example");
    world.dns.zone("gw.example 1 A 198.51.100.1");
    world.sleep_s(400).await;
    let shown = said(&world, "diag dns contoso.example").await;
    assert_says(&shown, "ok A: gw.example, this gateway, has the address 198.51.100.1.");
    assert_says(&shown, "ok MX: mail for contoso.example comes here first and goes on from here.");
    assert_says(&shown, "ok SPF: pass for contoso.example from 198.51.100.1");
    world.dns.remove("gw.example");
    world.dns.zone("gw.example 1 A 198.51.100.9");
    world.sleep_s(400).await;
    let shown = said(&world, "diag dns contoso.example").await;
    assert_says(
        &shown,
        "BAD A: gw.example, this gateway, has the address 198.51.100.9; expected is 198.51.100.1.",
    );
    let shown = said(&world, "diag dns contoso.example from 203.0.113.77").await;
    assert_says(&shown, "BAD SPF: fail for contoso.example from 203.0.113.77");
}

/// 0.18: rule and connector are made turned off: while nothing comes the console says so, and afterwards it does not.
pub async fn no_mail_from_connector(world: World) {
    let site = Site::pattern_a(&world).await;
    let quiet = "No mail has come from Exchange since the start";
    assert_says(&said(&world, "diag exchange").await, quiet);
    let letter = Letter::new("first", "ann@contoso.example", &["bob@b.example"]);
    site.tenant.user_sends(&letter);
    world.arrives(60, &letter, "bob@b.example").await;
    let shown = said(&world, "diag exchange").await;
    assert!(!shown.contains(quiet), "{shown}");
    assert_says(&shown, "Mail has come from Exchange: 1");
}

/// 0.28: each trouble of the manual has a sentence of its own at the console.
pub async fn troubles_have_names(world: World) {
    let site = Site::pattern_b(&world, |_| {}).await;
    // It does not leave Exchange.
    assert_says(&said(&world, "diag exchange").await, "No mail has come from Exchange since the start");
    // Loops: the rule has no exception.
    let letter = Letter::new("loop", "bob@b.example", &["ann@contoso.example"]);
    site.outsider_writes(&letter).await;
    assert!(world.wait_until(300, || !site.tenant.reports().is_empty()).await);
    assert_says(
        &said(&world, "diag exchange").await,
        "Mail goes in loops: 1 came back and was refused with 5.4.6.",
    );
    // The validation fails.
    site.tenant
        .configure(|config| config.mail = Some("550 5.7.51 TenantInboundAttribution; restricted".into()));
    assert_says(&said(&world, "diag exchange").await, "BAD The validation of a connector would fail");
    // Exchange rejects mail.
    let mail = Letter::new("rejected", "bob@b.example", &["carl@contoso.example"]);
    world.application("10.20.0.1", "mx.b.example").send(&mail).await.reply.expect(250, "");
    world.sleep_s(60).await;
    assert_says(&said(&world, "log tail 30").await, "TenantInboundAttribution");
    site.tenant.configure(|config| config.mail = None);
    // It is not reachable.
    world.net.set_link(site.tenant.source(), crate::net::Link::Refusing);
    assert_says(&said(&world, "diag exchange").await, "refuses the connection");
    world.net.set_link(site.tenant.source(), crate::net::Link::Up);
    // It is not accepted: the rule for Exchange is missing.
    world.quietly("peer remove tenant").await;
    assert_says(&said(&world, "diag exchange").await, "BAD There are no rules for Exchange");
}

/// 0.02: the Internet delivers to the appliance, which hands it to Exchange, once.
pub async fn a_inbound(world: World) {
    let site = Site::pattern_a(&world).await;
    let letter = Letter::new("a-in", "bob@b.example", &["ann@contoso.example"]);
    site.outsider_writes(&letter).await;
    let mail = world.arrives(60, &letter, "ann@contoso.example").await;
    assert_eq!((mail.peer.as_str(), mail.message.from.ip()), (TENANT_HOST, GATEWAY));
    assert_eq!(mail.message.sender, "bob@b.example");
    world.queue_empties(60).await;
    world.sleep_s(30).await;
    assert_eq!(site.tenant.received().len(), 1);
}

/// 0.30: the appliance is off: the Internet goes on to the second MX, Exchange itself, and nothing is lost or doubled.
pub async fn a_falls_back(world: World) {
    let site = Site::pattern_a(&world).await;
    world.gateway.pull_plug();
    let past = Letter::new("past-us", "bob@b.example", &["ann@contoso.example"]);
    site.outsider_writes(&past).await;
    let mail = world.arrives(60, &past, "ann@contoso.example").await;
    assert_eq!(mail.message.from.ip(), ip("10.20.0.1"));
    world.gateway.power_on().await;
    let again = Letter::new("through-us", "bob@b.example", &["ann@contoso.example"]);
    site.outsider_writes(&again).await;
    assert_eq!(world.arrives(60, &again, "ann@contoso.example").await.message.from.ip(), GATEWAY);
}

/// 0.03: Exchange hands its own inbound mail to the appliance and gets it back on a new connection, marked, once.
pub async fn b_inbound(world: World) {
    let site = Site::pattern_b(&world, |rule| rule.except_from = vec![GATEWAY]).await;
    let letter = Letter::new("b-in", "bob@b.example", &["ann@contoso.example"]);
    site.outsider_writes(&letter).await;
    let mail = world.arrives(120, &letter, "ann@contoso.example").await;
    assert_eq!(mail.message.from.ip(), GATEWAY, "the copy in the mailbox came back from us");
    assert_eq!(mail.message.headers("X-Stargate-Loop").len(), 1, "it is marked");
    world.queue_empties(60).await;
    world.sleep_s(60).await;
    let seen = site.tenant.received();
    assert_eq!(seen.len(), 2, "once from the Internet, once from us");
    assert_ne!(seen[0].connection, seen[1].connection);
    assert_eq!(site.tenant.reports(), Vec::<String>::new());
}

/// 0.03 with the exception by header instead of by address, as Microsoft's own pattern for add-on services has it.
pub async fn b_inbound_by_header(world: World) {
    let site = Site::pattern_b(&world, |_| {}).await;
    // The operator reads at the console what the exception has to look for.
    let shown = said(&world, "diag exchange").await;
    let token = shown.split("header X-Stargate-Loop with ").nth(1).and_then(|rest| rest.split('.').next());
    let exception = ("X-Stargate-Loop".to_string(), token.expect("a token").to_string());
    assert!(exception.1.len() >= 8, "{shown}");
    site.tenant.configure(|config| config.rules[0].except_header = Some(exception));
    for number in 0..5 {
        let letter = Letter::new(&format!("b-in-{number}"), "bob@b.example", &["ann@contoso.example"]);
        site.outsider_writes(&letter).await;
        world.arrives(120, &letter, "ann@contoso.example").await;
    }
    assert_eq!(site.tenant.received().len(), 10);
}

/// 0.04: mail for the outside, in both patterns: envelope unchanged, found by MX, once, and without our mark.
pub async fn outbound(world: World) {
    let site = Site::pattern_a(&world).await;
    let to = ["bob@b.example", "Eva.Maria@b.example"];
    let letter = Letter::new("out", "Ann.Lee@contoso.example", &to);
    site.tenant.user_sends(&letter);
    let mail = world.arrives(120, &letter, "bob@b.example").await.message;
    world.arrives(120, &letter, "eva.maria@b.example").await;
    assert_eq!((mail.sender.as_str(), mail.to()), ("Ann.Lee@contoso.example", to.to_vec()));
    assert_eq!(mail.from.ip(), GATEWAY);
    assert!(mail.raw_fields(&["X-Stargate-"]).is_empty(), "our marks stay at home");
    world.queue_empties(60).await;
    assert_eq!(site.outside.received().len(), 1);
    assert_eq!(site.tenant.reports(), Vec::<String>::new());
}

/// 0.16: a rule that also sends us mail for the inside: it goes to the other MX of the domain, not into the Internet.
pub async fn internal_recipients_by_mx(world: World) {
    let site = Site::pattern_a(&world).await;
    site.rule(Scope::Inside, |rule| rule.except_from = vec![GATEWAY]);
    let letter = Letter::new("inside", "ann@contoso.example", &["carl@contoso.example", "bob@b.example"]);
    site.tenant.user_sends(&letter);
    let inside = world.arrives(120, &letter, "carl@contoso.example").await;
    assert_eq!((inside.peer.as_str(), inside.message.from.ip()), (TENANT_HOST, GATEWAY));
    assert_eq!(inside.message.to(), ["carl@contoso.example"]);
    assert_eq!(world.arrives(120, &letter, "bob@b.example").await.peer, "mx.b.example");
}

/// 0.17: an Exchange whose rule has no exception sends everything back: two passes at most, no copy in any mailbox, 5.4.6, and
/// one line in the log that says which exception is missing.
pub async fn loop_without_exceptions(world: World) {
    let site = Site::pattern_b(&world, |_| {}).await;
    let letter = Letter::new("loop", "bob@b.example", &["ann@contoso.example"]);
    site.outsider_writes(&letter).await;
    assert!(world.wait_until(300, || !site.tenant.reports().is_empty()).await, "Exchange is told");
    world.sleep_s(600).await;
    let reports = site.tenant.reports();
    assert!(reports.len() == 1 && reports[0].contains("5.4.6"), "{reports:?}");
    assert!(world.ledger.mailbox("ann@contoso.example").is_empty(), "no copy, so no second one either");
    let passes = site.tenant.received().iter().filter(|mail| mail.from.ip() == GATEWAY).count();
    assert!((1..=2).contains(&passes), "{passes} passes");
    world.queue_empties(60).await;
    let log = world.gateway.command("log tail 50").await;
    let lines: Vec<_> = log.lines().filter(|line| line.to_lowercase().contains("loop")).collect();
    assert!(lines.iter().any(|line| line.contains("exception")), "the missing exception is named: {log}");
}

/// 0.13: what Exchange Online sends to validate a connector ends in 250 and arrives, with any of the senders it may have.
pub async fn connector_validation(world: World) {
    let site = Site::pattern_a(&world).await;
    let services =
        ["", "O365ConnectorValidation@contoso.example", "microsoftexchange329e71ec@contoso.example"];
    for (number, sender) in services.iter().enumerate() {
        for to in ["admin@b.example", "ann@contoso.example"] {
            let letter = Letter::new(&format!("validation-{number}-{to}"), sender, &[to]);
            let letter = Letter { tag: letter.tag.replace('@', "-at-"), ..letter };
            let content = String::from_utf8(letter.content)
                .expect("text")
                .replace(&format!("-{to}@"), &format!("-{}@", to.replace('@', "-at-")));
            let letter = Letter { content: content.into_bytes(), ..letter };
            let outcome = world.application("10.40.0.1", TENANT_HOST).send(&letter).await;
            outcome.reply.expect(250, "");
            world.arrives(60, &letter, to).await;
        }
    }
    drop(site);
}

/// Fields that only Exchange servers may write, with values that a careless copy would change.
const INTERNAL: &str = "X-MS-Exchange-Organization-AuthAs: Internal\r\n\
    x-ms-exchange-organization-SCL:-1\r\n\
    X-MS-Exchange-Organization-MessageDirectionality:\tOriginating\r\n\
    X-MS-Exchange-Forest-RulesExecuted: ex1;\r\n\tAAE=,\r\n  BBE=\r\n\
    X-MS-Exchange-CrossTenant-Id: 7d1e2f3a-1111-4222-8333-444455556666\r\n\
    X-OriginatorOrg: contoso.example\r\n";
/// Fields by which Exchange knows its loops: they always stay.
const LOOP: &str = "X-MS-Exchange-Transport-Rules-Loop: 1\r\nX-LD-Processed: 7d1e2f3a-1111-4222-8333-444455556666,ExtAddr\r\n\
    X-EOPAttributedMessage: 0\r\nX-EOPTenantAttributedMessage: 7d1e2f3a-1111-4222-8333-444455556666:0\r\n";
const INTERNAL_PREFIXES: &[&str] = &[
    "X-MS-Exchange-Organization-",
    "X-MS-Exchange-Forest-",
    "X-MS-Exchange-CrossTenant-",
    "X-OriginatorOrg",
];
const LOOP_PREFIXES: &[&str] = &[
    "X-MS-Exchange-Transport-Rules-Loop",
    "X-LD-Processed",
    "X-EOPAttributedMessage",
    "X-EOPTenantAttributedMessage",
];

/// 0.09: between Exchanges the internal fields pass octet by octet; towards the Internet and from it they are removed; what
/// Exchange needs to know its loops stays everywhere.
pub async fn header_firewall(world: World) {
    let site = Site::pattern_a(&world).await;
    let partner = world.exchange(Version::E2019, "ex.fabrikam.example", "10.41.0.1", "fabrikam.example");
    world.quietly("route add fabrikam.example 10.41.0.1 exchange").await;
    let fields = format!("{INTERNAL}{LOOP}X-Stargate-Verdict: forged\r\n");
    let cases = [
        ("exchange-exchange", "10.40.0.1", "ann@fabrikam.example", true),
        ("exchange-internet", "10.40.0.1", "bob@b.example", false),
        ("internet-exchange", "10.20.0.1", "ann@contoso.example", false),
    ];
    for (tag, from, to, kept) in cases {
        let letter = Letter::with_fields(tag, "x@contoso.example", &[to], &fields);
        world.application(from, "sender.example").send(&letter).await.reply.expect(250, "");
        let got = world.arrives(60, &letter, to).await.message;
        let internal = got.raw_fields(INTERNAL_PREFIXES).concat();
        assert_eq!(internal, if kept { INTERNAL } else { "" }, "{tag}");
        assert_eq!(got.raw_fields(LOOP_PREFIXES).concat(), LOOP, "{tag}");
        assert_eq!(got.headers("X-Stargate-Verdict"), Vec::<String>::new(), "{tag}: only we give verdicts");
        assert!(letter.content.ends_with(got.body()) && !got.body().is_empty(), "{tag}");
    }
    drop((site, partner));
}
