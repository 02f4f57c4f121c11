//! The operator at the serial console.

use crate::{letter, tag};
use sim::executor::PowerEvent;
use sim::gateway::Gateway;
use sim::world::story;

#[test]
fn an_appliance_is_set_up_at_its_console_and_keeps_its_settings_over_a_restart() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = Gateway::new(&world);
        assert!(gateway.boot().await);
        for line in [
            "set hostname gw1.example.org",
            "set relay-networks 10.1.0.0/16",
            "set next-hop 10.0.0.25:25",
            "set without-identity pass",
        ] {
            let shown = gateway.console(line).await;
            assert_eq!(shown.lines().count(), 2, "{shown}");
        }
        let shown = gateway.console("show").await;
        assert!(shown.contains("10.0.0.25   (not saved; in force: none)"), "{shown}");
        let shown = gateway.console("save").await;
        assert!(shown.contains("Saved."), "{shown}");
        let mut client = world.client().await;
        let reply = client.send("ann@a.example", &["bob@b.example"], &letter("one")).await.expect("open");
        reply.expect(250, "");
        assert!(world.wait_until(60, || sink.count() == 1).await);
        gateway.terminal.type_text("reboot\r");
        assert!(world.wait_until(10, || !gateway.is_on()).await);
        assert_eq!(gateway.take_power_event(), Some(PowerEvent::Reboot));
        assert!(gateway.boot().await);
        let shown = gateway.console("show config").await;
        assert!(shown.contains("set relay-networks 10.1.0.0/16"), "{shown}");
        let mut client = world.client().await;
        let reply = client.send("ann@a.example", &["bob@b.example"], &letter("two")).await.expect("open");
        reply.expect(250, "");
        assert!(world.wait_until(60, || sink.count() == 2).await);
        assert_eq!(tag(&sink.received()[1]), "two");
    });
}

#[test]
fn wrong_input_changes_nothing_and_says_what_would_be_right() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        assert!(gateway.boot().await);
        let before = gateway.console("show config").await;
        for line in [
            "set next-hop not a host",
            "set relay-networks 10.1.0.0/99",
            "set nonsense 1",
            "identity csr 7",
            "identity generate rsa nobody",
            "queue show 00000001",
            "queue remove 00000001",
            "frobnicate",
        ] {
            let shown = gateway.console(line).await;
            assert!(shown.lines().count() >= 3, "no explanation: {shown}");
        }
        // Without a host name nothing that carries mail is saved.
        gateway.console("set next-hop 10.0.0.25").await;
        let shown = gateway.console("save").await;
        assert!(shown.contains("hostname"), "{shown}");
        gateway.console("discard").await;
        let after = gateway.console("show config").await;
        assert_eq!(before, after);
    });
}

#[test]
fn every_command_that_only_looks_answers() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        gateway.configure_default().await;
        assert!(gateway.boot().await);
        let mut client = world.client().await;
        let reply = client.send("ann@a.example", &["bob@b.example"], &letter("one")).await.expect("open");
        reply.expect(250, "");
        world.sleep_ms(1_000).await;
        for (line, part) in [
            ("show", "relay-networks"),
            ("show network", "up"),
            ("show memory", "high-water"),
            ("show counters", "accepted"),
            ("show flash", "blocks"),
            ("show time", "2026-11-22"),
            ("show version", "0.0.0-sim"),
            ("show queue", "no identity for the author"),
            ("show identities", "No identities"),
            ("identity list", "No identities"),
            ("log tail 3", "held id="),
            ("diag", "there is no TPM"),
            ("help", "queue"),
        ] {
            let shown = gateway.console(line).await;
            assert!(shown.contains(part), "{line} shows no {part}: {shown}");
            assert!(
                shown.lines().all(|l| l.len() <= 80 || line == "log tail 3"),
                "{line} is too wide: {shown}"
            );
        }
    });
}

#[test]
fn diag_says_what_was_seen_and_what_was_not() {
    story(|world| async move {
        let sink = world.next_hop();
        let gateway = Gateway::new(&world);
        gateway.configure_default().await;
        assert!(gateway.boot().await);
        let shown = gateway.console("diag").await;
        assert!(shown.contains("look next hop") && shown.contains("not tried yet"), "{shown}");
        gateway.console("set without-identity pass").await;
        gateway.console("save").await;
        let mut client = world.client().await;
        let reply = client.send("ann@a.example", &["bob@b.example"], &letter("one")).await.expect("open");
        reply.expect(250, "");
        assert!(world.wait_until(60, || sink.count() == 1).await);
        world.sleep_ms(1_000).await;
        let shown = gateway.console("diag").await;
        assert!(shown.contains("ok   next hop"), "{shown}");
        let shown = gateway.console("time set 1970-01-02T00:00:00Z").await;
        assert!(shown.contains("before this firmware"), "{shown}");
        assert!(gateway.console("diag").await.contains("ok   clock"));
        let shown = gateway.console("queue retry all").await;
        assert!(shown.contains("Nothing to be tried"), "{shown}");
    });
}

#[test]
fn the_time_is_set_by_hand_where_there_is_no_clock() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        // A clock without its battery shows 1970, which is no better than none.
        gateway.clock.set(Some(86_400));
        assert!(gateway.boot().await);
        assert!(gateway.console("show time").await.contains("unknown"));
        assert!(gateway.console("diag").await.contains("look clock"));
        gateway.console("time set 2026-11-22T14:30:00Z").await;
        assert!(gateway.console("show time").await.contains("2026-11-22T14:30:0"));
    });
}

#[test]
fn a_message_that_arrives_during_a_factory_reset_is_refused_for_now() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        gateway.configure_default().await;
        assert!(gateway.boot().await);
        let mut client = world.client().await;
        for line in ["MAIL FROM:<ann@a.example>", "RCPT TO:<bob@b.example>"] {
            client.command(line).await.expect(250, "");
        }
        gateway.terminal.type_text("factory-reset\r");
        world.sleep_ms(1_000).await;
        gateway.terminal.type_text("erase\r");
        world.sleep_ms(100).await;
        client.command("DATA").await.expect(421, "4.3.2");
        assert!(world.wait_until(120, || !gateway.is_on()).await);
        assert!(gateway.boot().await);
        assert!(gateway.console("queue").await.contains("empty"));
    });
}

#[test]
fn a_factory_reset_leaves_nothing() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        gateway.configure_default().await;
        assert!(gateway.boot().await);
        let mut client = world.client().await;
        let reply = client.send("ann@a.example", &["bob@b.example"], &letter("secret")).await.expect("open");
        reply.expect(250, "");
        drop(client);
        world.sleep_ms(1_000).await;
        gateway.terminal.type_text("factory-reset\r");
        world.sleep_ms(1_000).await;
        gateway.terminal.type_text("erase\r");
        assert!(world.wait_until(120, || !gateway.is_on()).await, "{}", gateway.terminal.shown());
        assert_eq!(gateway.take_power_event(), Some(PowerEvent::Reboot));
        let image = gateway.bank.image();
        let blank = vec![0xff; 4_096];
        for page in image.chunks(4_096).filter(|page| *page != blank) {
            for trace in [&b"secret"[..], b"ann@a.example", b"gw.example"] {
                assert!(!page.windows(trace.len()).any(|w| w == trace), "{trace:?} is still on flash");
            }
        }
        assert!(gateway.boot().await);
        assert!(gateway.console("queue").await.contains("empty"));
    });
}
