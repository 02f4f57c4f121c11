//! Senders are told what became of their mail: the right ones, about the right recipients, once.

use flash_sim::Tear;
use sim::gateway::{Gateway, NEXT_HOP};
use sim::letters::{letter, long_letter};
use sim::network::Link;
use sim::peers::{Client, Received, Sink, dot_stuffed};
use sim::report::Report;
use sim::world::{World, story};
use spool::MessageState;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

const ANN: &str = "ann@a.example";
const NOBODY: (&str, &str) = ("nobody@b.example", "550 5.1.1 No such user here");

/// An appliance and its next hop, which refuses mail to [`NOBODY`].
async fn start(world: &World, settings: &[(&str, &str)]) -> (Gateway, Sink) {
    let sink = world.next_hop();
    refuse(&sink, &[NOBODY]);
    let gateway = Gateway::new(world);
    gateway.configure_default().await;
    gateway.configure(&[&[("without-identity", "pass")], settings].concat()).await;
    assert!(gateway.boot().await);
    (gateway, sink)
}

fn refuse(sink: &Sink, recipients: &[(&str, &str)]) {
    let recipients = recipients.iter().map(|(to, reply)| (to.to_string(), reply.to_string())).collect();
    sink.behave(|behaviour| behaviour.recipients = recipients);
}

/// Hands in a message; what follows an address are its parameters.
async fn submit(client: &mut Client, sender: &str, recipients: &[&str], content: &[u8]) {
    client.command(&format!("MAIL FROM:{sender}")).await.expect(250, "");
    for recipient in recipients {
        client.command(&format!("RCPT TO:{recipient}")).await.expect(250, "");
    }
    client.command("DATA").await.expect(354, "");
    client.raw(&dot_stuffed(content)).await.expect("the connection is open");
    client.reply().await.expect("the connection is open").expect(250, "");
}

fn reports(sink: &Sink) -> Vec<(Received, Report)> {
    let received = sink.received();
    received
        .into_iter()
        .filter_map(|message| Report::read(&message).map(|report| (message, report)))
        .collect()
}

/// Recipient, action and status of everything that a report is about.
fn about(report: &Report) -> Vec<(&str, &str, &str)> {
    let mut about: Vec<_> = report
        .about
        .iter()
        .map(|about| (about.recipient.as_str(), about.action.as_str(), about.status.as_str()))
        .collect();
    about.sort_unstable();
    about
}

async fn queue_empties(world: &World, gateway: &Gateway) {
    assert!(
        world.wait_until(3_600, || gateway.queue_is_empty()).await,
        "{} are left",
        gateway.appliance().queued()
    );
}

#[test]
fn a_refused_recipient_is_reported_to_the_sender_and_the_message_ends() {
    story(|world| async move {
        let (gateway, sink) = start(&world, &[]).await;
        let mut client = world.client().await;
        let sender = "<ann@a.example> ENVID=QQ+2B7";
        let recipients = ["<bob@b.example>", "<nobody@b.example> ORCPT=rfc822;No+2BBody@B.example"];
        submit(&mut client, sender, &recipients, &letter("one")).await;
        queue_empties(&world, &gateway).await;
        let [(message, report)] = &reports(&sink)[..] else { panic!("{:?}", sink.received()) };
        assert_eq!((message.from.as_str(), &message.to[..]), ("", &[ANN.to_string()][..]));
        assert_eq!(message.header("Auto-Submitted").as_deref(), Some("auto-replied"));
        assert!(message.header("Date").is_some() && message.header("Message-ID").is_some());
        assert_eq!(report.tag, "one");
        assert_eq!(report.envelope_id.as_deref(), Some("QQ+7"));
        assert_eq!(about(report), [("nobody@b.example", "failed", "5.1.1")]);
        assert_eq!(report.about[0].original.as_deref(), Some("rfc822; No+Body@B.example"));
        let text = String::from_utf8_lossy(&message.content);
        assert!(
            text.contains("\r\nRemote-MTA: dns; [10.0.0.25]\r\nDiagnostic-Code: smtp; 550 5.1.1 No"),
            "{text}"
        );
        assert!(!report.returns_all);
        assert_eq!(sink.count(), 2);
        assert_eq!(sink.violations(), Vec::<String>::new());
    });
}

#[test]
fn all_that_failed_is_in_one_report_and_who_wants_none_is_not_named() {
    story(|world| async move {
        let (gateway, sink) = start(&world, &[]).await;
        refuse(
            &sink,
            &[
                NOBODY,
                ("x@b.example", "550 5.7.1 No"),
                ("never@b.example", "550 No"),
                ("ok@b.example", "550 No"),
            ],
        );
        let mut client = world.client().await;
        let recipients = [
            "<nobody@b.example> NOTIFY=FAILURE,DELAY",
            "<x@b.example>",
            "<never@b.example> NOTIFY=NEVER",
            "<ok@b.example> NOTIFY=SUCCESS",
        ];
        submit(&mut client, "<ann@a.example>", &recipients, &letter("one")).await;
        submit(&mut client, "<ann@a.example>", &["<never@b.example> NOTIFY=NEVER"], &letter("two")).await;
        queue_empties(&world, &gateway).await;
        let [(_, report)] = &reports(&sink)[..] else { panic!("{:?}", sink.received()) };
        assert_eq!(
            about(report),
            [("nobody@b.example", "failed", "5.1.1"), ("x@b.example", "failed", "5.7.1")]
        );
    });
}

#[test]
fn the_message_comes_back_where_its_sender_wants_it() {
    story(|world| async move {
        let (gateway, sink) = start(&world, &[]).await;
        let mut client = world.client().await;
        let long = long_letter("long", 1_200_000);
        submit(&mut client, "<ann@a.example> RET=FULL", &["<nobody@b.example>"], &letter("full")).await;
        submit(&mut client, "<ann@a.example> RET=HDRS", &["<nobody@b.example>"], &letter("header")).await;
        submit(&mut client, "<ann@a.example> RET=FULL", &["<nobody@b.example>"], &long).await;
        queue_empties(&world, &gateway).await;
        let mut returned: Vec<_> =
            reports(&sink).into_iter().map(|(_, report)| (report.tag, report.returns_all)).collect();
        returned.sort_unstable();
        assert_eq!(returned, [("full".into(), true), ("header".into(), false), ("long".into(), false)]);
        let content: Vec<Vec<u8>> = reports(&sink).into_iter().map(|(message, _)| message.content).collect();
        let full = letter("full");
        assert!(content.iter().any(|content| content.windows(full.len()).any(|w| w == full)));
        assert!(content.iter().all(|content| content.len() < 20_000));
    });
}

#[test]
fn success_is_reported_only_where_the_next_hop_will_not_do_it() {
    story(|world| async move {
        let (gateway, sink) = start(&world, &[]).await;
        let mut client = world.client().await;
        let recipients = ["<bob@b.example> NOTIFY=SUCCESS,FAILURE", "<carol@b.example>"];
        submit(&mut client, "<ann@a.example> RET=FULL ENVID=1", &recipients, &letter("one")).await;
        queue_empties(&world, &gateway).await;
        let [(_, report)] = &reports(&sink)[..] else { panic!("{:?}", sink.received()) };
        assert_eq!(about(report), [("bob@b.example", "relayed", "2.0.0")]);
        assert!(!report.returns_all, "only failures return the message");

        sink.behave(|behaviour| behaviour.keywords.push("DSN".into()));
        // Connections that are open know nothing of it.
        world.sleep_ms(60_000).await;
        let recipients =
            ["<bob@b.example> NOTIFY=success,FAILURE ORCPT=rfc822;B+2Bb@b.example", "<carol@b.example>"];
        submit(&mut client, "<ann@a.example> RET=FULL ENVID=1", &recipients, &letter("two")).await;
        queue_empties(&world, &gateway).await;
        assert_eq!(reports(&sink).len(), 1);
        let two =
            sink.received().into_iter().find(|message| message.header("Subject").as_deref() == Some("two"));
        let two = two.expect("it arrived");
        assert!(
            two.mail_parameters.contains(&"RET=FULL".into())
                && two.mail_parameters.contains(&"ENVID=1".into())
        );
        assert_eq!(
            two.recipient_parameters,
            [vec!["NOTIFY=SUCCESS,FAILURE".to_string(), "ORCPT=rfc822;B+2Bb@b.example".into()], vec![]]
        );
        assert_eq!(sink.violations(), Vec::<String>::new());
    });
}

#[test]
fn failed_mail_without_a_sender_waits_for_the_operator() {
    story(|world| async move {
        let (gateway, sink) = start(&world, &[]).await;
        let mut client = world.client().await;
        submit(&mut client, "<>", &["<nobody@b.example>"], &letter("one")).await;
        // A report to a sender that does not exist.
        submit(&mut client, "<nobody@b.example>", &["<nobody@b.example>"], &letter("two")).await;
        world.sleep_ms(60_000).await;
        assert!(sink.received().is_empty());
        gateway.power_cut();
        let kept = gateway.kept().await;
        let states: Vec<_> =
            kept.iter().map(|kept| (kept.tag.as_str(), kept.is_report, kept.state)).collect();
        assert_eq!(
            states,
            [
                ("one", false, MessageState::Held),
                ("Your mail could not be delivered", true, MessageState::Held)
            ]
        );
    });
}

#[test]
fn the_postmaster_is_told_of_failed_reports_but_not_of_failed_notices() {
    story(|world| async move {
        let (gateway, sink) = start(&world, &[("postmaster", "post@c.example")]).await;
        let mut client = world.client().await;
        submit(&mut client, "<nobody@b.example>", &["<nobody@b.example>"], &letter("one")).await;
        queue_empties(&world, &gateway).await;
        let [(message, report)] = &reports(&sink)[..] else { panic!("{:?}", sink.received()) };
        assert_eq!((message.from.as_str(), &message.to[..]), ("", &["post@c.example".to_string()][..]));
        assert_eq!(about(report), [("nobody@b.example", "failed", "5.1.1")]);
        assert_eq!(report.tag, "Your mail could not be delivered");

        refuse(&sink, &[NOBODY, ("post@c.example", "550 5.2.1 Gone")]);
        submit(&mut client, "<nobody@b.example>", &["<nobody@b.example>"], &letter("two")).await;
        world.sleep_ms(60_000).await;
        gateway.power_cut();
        let kept = gateway.kept().await;
        assert_eq!(kept.len(), 1, "{kept:?}");
        assert!(kept[0].is_report && kept[0].state == MessageState::Held);
        assert_eq!(kept[0].tag, "Mail without a sender could not be delivered");
        assert_eq!(sink.count(), 1);
    });
}

#[test]
fn in_commissioning_mode_nobody_is_told_and_nothing_is_lost() {
    story(|world| async move {
        let (gateway, sink) = start(&world, &[("commissioning", "on")]).await;
        let mut client = world.client().await;
        let recipients = ["<bob@b.example>", "<nobody@b.example>"];
        submit(&mut client, "<ann@a.example>", &recipients, &letter("one")).await;
        world.sleep_ms(60_000).await;
        assert!(reports(&sink).is_empty());
        assert_eq!(sink.count(), 1);
        gateway.power_cut();
        let kept = gateway.kept().await;
        assert_eq!((kept.len(), kept[0].state), (1, MessageState::Held), "{kept:?}");
    });
}

#[test]
fn a_delay_is_told_once_and_then_that_it_was_in_vain() {
    story(|world| async move {
        // Reports have a way of their own; the usual one is down.
        let (gateway, _) = start(&world, &[("null-sender-next-hop", "10.0.0.26:25")]).await;
        let sink =
            Sink::start(&world.executor, &world.network, SocketAddr::new(IpAddr::from([10, 0, 0, 26]), 25));
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Dark);
        let mut client = world.client().await;
        let recipients = [
            "<bob@b.example>",
            "<carol@b.example> NOTIFY=FAILURE",
            "<dave@b.example> NOTIFY=DELAY",
            "<eve@b.example> NOTIFY=NEVER",
        ];
        submit(&mut client, "<ann@a.example>", &recipients, &letter("late")).await;
        submit(&mut client, "<ann@a.example>", &["<bob@b.example> NOTIFY=NEVER"], &letter("quiet")).await;
        submit(&mut client, "<>", &["<bob@b.example>"], &letter("null")).await;
        world.sleep_ms(4 * 3_600_000 - 60_000).await;
        assert!(reports(&sink).is_empty(), "not before its time");
        world.sleep_ms(30 * 60_000).await;
        // Neither time nor a restart makes a second warning.
        gateway.power_cut();
        assert!(gateway.boot().await);
        world.sleep_ms(10 * 3_600_000).await;
        let [(message, warning)] = &reports(&sink)[..] else { panic!("{:?}", sink.received()) };
        let delayed = |to| (to, "delayed", "4.0.0");
        assert_eq!(about(warning), [delayed("bob@b.example"), delayed("dave@b.example")]);
        let text = String::from_utf8_lossy(&message.content).into_owned();
        assert!(text.contains("\r\nWill-Retry-Until: Fri, 27 Nov 2026 1"), "{text}");
        assert!(text.contains("need not send it again") && text.contains("no answer"), "{text}");

        world.sleep_ms(5 * 24 * 3_600_000).await;
        assert!(gateway.queue_is_empty());
        let [_, (_, failure)] = &reports(&sink)[..] else { panic!("{:?}", sink.received()) };
        let failed = |to| (to, "failed", "5.4.7");
        assert_eq!(about(failure), [failed("bob@b.example"), failed("carol@b.example")]);
        let null = sink
            .received()
            .iter()
            .filter(|message| message.header("Subject").as_deref() == Some("null"))
            .count();
        assert_eq!(null, 1, "mail without a sender had a way");
    });
}

#[test]
fn a_cut_at_any_operation_of_a_warning_makes_no_second_one_and_loses_none() {
    story(|world| async move {
        let mut operations = 0;
        loop {
            let inner = World::with_seed(world.seed);
            if inner.executor.clone().block_on(one_cut_of_a_warning(inner, operations)) {
                break;
            }
            operations += 1;
        }
        assert!(operations > 10, "only {operations} cuts were tried");
    });
}

/// A message that waits, and a power cut after so many operations from shortly before its warning is due. Returns
/// whether no cut came about.
async fn one_cut_of_a_warning(world: World, operations: u64) -> bool {
    let (gateway, _) = start(&world, &[("null-sender-next-hop", "10.0.0.26:25")]).await;
    let sink =
        Sink::start(&world.executor, &world.network, SocketAddr::new(IpAddr::from([10, 0, 0, 26]), 25));
    world.network.set_link(IpAddr::from(NEXT_HOP), Link::Refusing);
    let mut client = world.client().await;
    submit(&mut client, "<ann@a.example>", &["<bob@b.example>"], &letter("late")).await;
    world.sleep_ms(4 * 3_600_000 - 20_000).await;
    gateway.bank.cut_after(operations, Tear::Half(world.seed ^ operations));
    world.wait_until(120, || !gateway.is_on()).await;
    let untouched = gateway.is_on();
    gateway.power_cut();
    assert!(gateway.boot().await);
    world.sleep_ms(3_600_000).await;
    let reports = reports(&sink);
    let ids: BTreeSet<_> = reports.iter().map(|(message, _)| message.header("Message-ID")).collect();
    assert_eq!(ids.len(), 1, "cut at {operations}");
    assert!(reports.len() <= 2, "cut at {operations}");
    untouched
}

#[test]
fn the_operator_gives_mail_up_and_the_sender_is_told() {
    story(|world| async move {
        let (gateway, sink) = start(&world, &[("commissioning", "on")]).await;
        refuse(
            &sink,
            &[NOBODY, ("bob@b.example", "451 4.2.0 Later"), ("carol@c.example", "451 4.2.0 Later")],
        );
        let mut client = world.client().await;
        let recipients = ["<bob@b.example>", "<nobody@b.example>", "<carol@c.example>"];
        submit(&mut client, "<ann@a.example>", &recipients, &letter("one")).await;
        world.sleep_ms(10_000).await;
        // It asks for a word before it gives up more than one message.
        gateway.terminal.type_text("queue bounce b.example\rbounce\r");
        world.sleep_ms(10_000).await;
        let [(_, report)] = &reports(&sink)[..] else { panic!("{:?}", sink.received()) };
        assert_eq!(
            about(report),
            [("bob@b.example", "failed", "5.0.0"), ("nobody@b.example", "failed", "5.1.1")]
        );
        refuse(&sink, &[]);
        gateway.console("queue retry all").await;
        queue_empties(&world, &gateway).await;
        assert_eq!(
            sink.received().last().map(|message| message.to.clone()),
            Some(vec!["carol@c.example".into()])
        );
        assert_eq!(reports(&sink).len(), 1);
    });
}

#[test]
fn a_thousand_failures_are_one_report() {
    story(|world| async move {
        let (gateway, sink) = start(&world, &[]).await;
        let names: Vec<String> = (0..1_000).map(|n| format!("r{n}@b.example")).collect();
        refuse(
            &sink,
            &names.iter().map(|name| (name.as_str(), "550 5.1.1 No such user")).collect::<Vec<_>>(),
        );
        let mut client = world.client().await;
        let recipients: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
        let recipients: Vec<&str> = recipients.iter().map(String::as_str).collect();
        submit(&mut client, "<ann@a.example>", &recipients, &letter("many")).await;
        queue_empties(&world, &gateway).await;
        let [(_, report)] = &reports(&sink)[..] else { panic!("{} messages", sink.count()) };
        let named: BTreeSet<&str> = report.about.iter().map(|about| about.recipient.as_str()).collect();
        assert_eq!((report.about.len(), named.len()), (1_000, 1_000));
    });
}

#[test]
fn a_cut_at_any_operation_of_a_report_makes_no_second_one_and_loses_none() {
    story(|world| async move {
        let mut cuts = 0;
        for tear in [Tear::Before, Tear::After, Tear::Half(world.seed)] {
            let mut operations = 0;
            loop {
                let inner = World::with_seed(world.seed);
                let end = inner.executor.clone().block_on(one_cut(inner, operations, tear));
                cuts += 1;
                if end {
                    break;
                }
                operations += 1;
            }
        }
        assert!(cuts > 60, "only {cuts} cuts were tried");
    });
}

/// A message with a recipient that fails and one that is served, and a power cut after so many operations from the moment
/// it was accepted. Returns whether no cut came about.
async fn one_cut(world: World, operations: u64, tear: Tear) -> bool {
    let (gateway, sink) = start(&world, &[]).await;
    let mut client = world.client().await;
    // More than a page of recipients, so that marking takes several records.
    let others: Vec<String> = (0..20).map(|n| format!("<r{n}@b.example>")).collect();
    let mut recipients: Vec<&str> = others.iter().map(String::as_str).collect();
    recipients.extend(["<nobody@b.example>", "<later@b.example>"]);
    refuse(&sink, &[NOBODY, ("later@b.example", "451 4.2.0 Later"), ("r1@b.example", "550 5.1.1 Not here")]);
    submit(&mut client, "<ann@a.example>", &recipients, &letter("one")).await;
    gateway.bank.cut_after(operations, tear);
    world.wait_until(30, || !gateway.is_on()).await;
    let untouched = gateway.is_on();
    gateway.power_cut();
    refuse(&sink, &[NOBODY, ("r1@b.example", "550 5.1.1 Not here")]);
    assert!(gateway.boot().await);
    queue_empties(&world, &gateway).await;
    // One report may come twice, if the power went between the peer's answer and our record; two reports may not.
    let reports = reports(&sink);
    let ids: BTreeSet<_> = reports.iter().map(|(message, _)| message.header("Message-ID")).collect();
    assert!(reports.len() <= ids.len() + 1, "cut at {operations}, {tear:?}");
    let mut told: Vec<_> = Vec::new();
    let mut seen = BTreeSet::new();
    for (message, report) in &reports {
        if seen.insert(message.header("Message-ID")) {
            told.extend(
                about(report).into_iter().map(|(to, action, _)| (to.to_string(), action.to_string())),
            );
        }
    }
    told.sort_unstable();
    let expected = [("nobody@b.example", "failed"), ("r1@b.example", "failed")];
    let told: Vec<_> = told.iter().map(|(to, action)| (to.as_str(), action.as_str())).collect();
    assert_eq!(told, expected, "cut at {operations}, {tear:?}");
    untouched
}
