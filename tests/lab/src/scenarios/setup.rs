//! The first day: the questions of `setup`, answered as the manual says.

use crate::letters::Letter;
use crate::peers::exchange::{Rule, Scope, Version};
use crate::peers::internet::Manner;
use crate::plan::{GATEWAY, GATEWAY_SMTP, NAME_SERVER, PREFIX_LENGTH, ROUTER};
use crate::world::World;

/// Answers all questions for Exchange Online that hands mail over by a connector; an empty answer keeps what is proposed.
async fn answer(world: &World, domains: &str) -> String {
    world.gateway.power_on().await;
    let answers = [
        "gw.example",
        &format!("{GATEWAY}/{PREFIX_LENGTH} {ROUTER}"),
        &NAME_SERVER.to_string(),
        "online-behind",
        domains,
        "",
        "",
        "",
        "",
        "none",
        "pass",
        "none",
        "off",
        "yes",
    ];
    world.gateway.paste("setup", &answers.join("\n")).await;
    world.gateway.command("show config").await
}

/// 1.07: the set-up derives the tenant's host from the domain, and with nothing but its proposals mail flows both ways.
pub async fn host_of_the_tenant(world: World) {
    world.name_server(
        "vrgnservices-eu.mail.protection.outlook.com A 40.92.0.1
         b.example MX 10 mx.b.example
         mx.b.example A 10.20.0.1",
    );
    let shown = answer(&world, "vrgnservices.eu").await;
    let host = "vrgnservices-eu.mail.protection.outlook.com";
    assert!(shown.replace('\n', "").contains(host), "{shown}");
    let tenant = world.exchange(Version::Online, host, "40.92.0.1", "vrgnservices.eu");
    tenant.configure(|config| {
        config.partners = vec![GATEWAY];
        config.smart_hosts = vec![GATEWAY_SMTP];
        for scope in [Scope::Inside, Scope::Outside] {
            config.rules.push(Rule { scope, except_from: vec![GATEWAY], except_header: None });
        }
    });
    let _outside = world.internet_mx("mx.b.example", "10.20.0.1", "b.example", Manner::strict());
    for (tag, to) in [("out", "bob@b.example"), ("in", "carl@vrgnservices.eu")] {
        let letter = Letter::new(tag, "ann@vrgnservices.eu", &[to]);
        tenant.user_sends(&letter);
        assert_eq!(world.arrives(120, &letter, to).await.message.from.ip(), GATEWAY);
    }
    world.queue_empties(60).await;
}
