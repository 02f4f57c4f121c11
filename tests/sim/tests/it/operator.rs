//! The operator and the queue: every screen as a person sees it, on a terminal of 80 columns.

use crate::{letter, passing_gateway};
use sim::destination::Destination;
use sim::gateway::{Gateway, NEXT_HOP};
use sim::network::Link;
use sim::world::{World, story};
use std::net::IpAddr;

/// Sends one letter.
async fn send(world: &World, from: &str, to: &[&str], content: &[u8]) {
    let mut client = world.client().await;
    client.send(from, to, content).await.expect("open").expect(250, "");
    client.quit().await;
    world.sleep_ms(2_000).await;
}

/// What a command shows, without the line that was typed and the prompt. Every row fits the screen, and nothing in it
/// steers the terminal.
async fn shown(gateway: &Gateway, command: &str) -> String {
    let shown = gateway.console(command).await;
    let rows: Vec<&str> = shown.lines().collect();
    let rows = rows.get(1..rows.len().saturating_sub(1)).unwrap_or_default();
    for row in rows {
        assert!(row.len() < 80, "{command}: {} columns: {row}", row.len());
        assert!(row.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{command}: {row:?}");
    }
    rows.join("\n")
}

/// Types a command that asks for a word first, and the word.
async fn confirmed(gateway: &Gateway, command: &str, word: &str) -> String {
    gateway.terminal.wait_for(|shown| shown.ends_with("> ")).await;
    gateway.terminal.clear();
    gateway.terminal.type_text(&format!("{command}\r"));
    gateway.terminal.wait_for(|shown| shown.contains("to go on: ")).await;
    gateway.terminal.type_text(&format!("{word}\r"));
    gateway.terminal.wait_for(|shown| shown.ends_with("> ")).await.replace('\r', "")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn id_of<'q>(queue: &'q str, part: &str) -> &'q str {
    queue.lines().find(|row| row.contains(part)).and_then(|row| row.split(' ').next()).expect("a row")
}

#[test]
fn the_queue_is_read_at_a_glance_and_in_full() {
    story(|world| async move {
        let sink = world.next_hop();
        sink.behave(|b| {
            b.recipients =
                vec![("later@b.example".into(), "451 4.7.1 greylisted, come back in 300 seconds".into())];
        });
        let gateway = passing_gateway(&world).await;
        assert_eq!(shown(&gateway, "queue").await, "The queue is empty.");
        assert_eq!(shown(&gateway, "queue summary").await, "The queue is empty.");
        let long = format!("{}@sales.department.example.org", "l".repeat(40));
        send(&world, &long, &["later@b.example", "bob@b.example", "eve@b.example"], &letter("one")).await;
        send(&world, "", &["later@b.example"], &letter("two")).await;
        let queue = shown(&gateway, "queue").await;
        let rows: Vec<&str> = queue.lines().collect();
        assert!(rows[0].starts_with("ID ") && rows[0].contains("FROM") && rows[0].contains("TO"), "{queue}");
        assert!(queue.contains("llll~ later@b.example +2"), "{queue}");
        assert!(one_line(&queue).contains("1 of 3 open, next try in"), "{queue}");
        assert!(one_line(&queue).contains("451 4.7.1 greylisted, come back in 300 seconds"), "{queue}");
        assert!(queue.contains(" <> ") && queue.contains("2 messages."), "{queue}");
        let summary = shown(&gateway, "queue summary").await;
        assert!(summary.contains("TOTAL") && summary.contains("10.0.0.25"), "{summary}");
        world.sleep_ms(11 * 60_000).await;
        let one = shown(&gateway, &format!("queue show {}", id_of(&queue, "llll"))).await;
        for part in
            ["client", "10.1.0.7", "decision", "<later@b.example> waiting after", "attempt ", "accepted id="]
        {
            assert!(one.contains(part), "no {part}: {one}");
        }
        assert!(one.contains("  Subject: one"), "{one}");
    });
}

#[test]
fn nothing_that_a_stranger_wrote_reaches_the_terminal_as_it_is() {
    story(|world| async move {
        let hostile = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{fc}\u{202e}";
        let sink = world.next_hop();
        sink.behave(|b| {
            let reply = format!("550 5.1.1 {hostile} {}", "x".repeat(400));
            b.recipients =
                vec![("bob@b.example".into(), reply), ("eve@b.example".into(), "451 4.0.0 wait".into())];
        });
        let gateway = passing_gateway(&world).await;
        let mut content = format!("Subject: {hostile}\r\nX-Long: {}\r\n", "y".repeat(900)).into_bytes();
        content.extend_from_slice(b"X-Eight: \xff\xfe\x80\r\nX-Prompt: gw> queue remove all\r\n");
        for at in 0..60 {
            content.extend_from_slice(format!("X-Field-{at}: value\r\n").as_bytes());
        }
        content.extend_from_slice(b"\r\nHello.\r\n");
        send(&world, "ann@a.example", &["bob@b.example", "eve@b.example"], &content).await;
        let queue = shown(&gateway, "queue").await;
        let id = id_of(&queue, "ann@a.example");
        let one = shown(&gateway, &format!("queue show {id}")).await;
        assert!(one.contains("\\x1b[2J") && one.contains("\\xff\\xfe\\x80"), "{one}");
        assert!(one.contains("The header goes on; only its beginning is shown."), "{one}");
        assert!(one.lines().all(|row| !row.starts_with("gw>")), "{one}");
        for command in ["queue summary", "show destinations", "diag", "log tail 2"] {
            let text = gateway.console(command).await;
            assert!(!text.replace("\u{1b}[K", "").contains('\u{1b}'), "{command}: {text:?}");
        }
        for command in
            ["queue hold \u{1b}[2J.example", "route test \u{fc}\u{202e}@x", "route add \u{202e} \u{fc}"]
        {
            let text = gateway.console(command).await;
            let answer: Vec<&str> = text.lines().skip(1).collect();
            assert!(answer.join("").is_ascii(), "{text:?}");
        }
    });
}

#[test]
fn a_domain_is_held_released_given_up_and_removed() {
    story(|world| async move {
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Refusing);
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        send(&world, "ann@a.example", &["x@b.example"], &letter("b")).await;
        send(&world, "ann@a.example", &["x@c.example"], &letter("c")).await;
        send(&world, "ann@a.example", &["y@B.example", "y@c.example"], &letter("both")).await;
        send(&world, "ann@a.example", &["x@sub.b.example"], &letter("sub")).await;
        let held = one_line(&shown(&gateway, "queue hold b.example").await);
        assert!(held.contains("2 messages held. 1 of them has recipients in other domains"), "{held}");
        let queue = one_line(&shown(&gateway, "queue").await);
        assert!(queue.contains("4 messages, 2 held."), "{queue}");
        let again = shown(&gateway, "queue hold b.example").await;
        assert!(again.contains("Nothing to be held."), "{again}");
        let retried = one_line(&shown(&gateway, "queue retry b.example").await);
        assert!(retried.contains("Nothing to be tried; held mail waits"), "{retried}");
        let summary = shown(&gateway, "queue summary").await;
        assert!(summary.contains("(held)"), "{summary}");
        assert!(shown(&gateway, "queue release b.example").await.contains("2 messages released."));
        // The word is asked for, and another word changes nothing.
        let left = confirmed(&gateway, "queue remove b.example", "yes").await;
        assert!(left.contains("every recipient in b.example") && left.contains("Nothing was done"), "{left}");
        let removed = one_line(&confirmed(&gateway, "queue remove b.example", "remove").await);
        assert!(removed.contains("2 messages removed. 1 of them has recipients in other"), "{removed}");
        assert!(removed.contains("still delivered to"), "{removed}");
        let queue = shown(&gateway, "queue").await;
        assert!(queue.contains("3 messages."), "{queue}");
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Up);
        shown(&gateway, "queue retry all").await;
        assert!(world.wait_until(900, || gateway.queue_is_empty()).await);
        let mut to: Vec<String> = sink.received().iter().flat_map(|mail| mail.to.clone()).collect();
        to.sort();
        assert_eq!(to, ["x@c.example", "x@sub.b.example", "y@c.example"]);
    });
}

#[test]
fn what_the_operator_gives_up_is_returned_to_its_sender() {
    story(|world| async move {
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Refusing);
        let sink = world.next_hop();
        let gateway = passing_gateway(&world).await;
        send(&world, "ann@a.example", &["x@b.example", "x@c.example"], &letter("both")).await;
        send(&world, "eve@a.example", &["z@d.example"], &letter("one")).await;
        let given_up = one_line(&confirmed(&gateway, "queue bounce b.example", "bounce").await);
        assert!(given_up.contains("1 message given up."), "{given_up}");
        let queue = shown(&gateway, "queue").await;
        let answer = shown(&gateway, &format!("queue bounce {}", id_of(&queue, "eve@a.example"))).await;
        assert!(answer.contains("1 message given up."), "{answer}");
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Up);
        shown(&gateway, "queue retry all").await;
        assert!(world.wait_until(900, || gateway.queue_is_empty()).await);
        let mut got: Vec<(String, String)> = sink
            .received()
            .iter()
            .flat_map(|mail| mail.to.iter().map(|to| (mail.from.clone(), to.clone())))
            .collect();
        got.sort();
        let expected = [("", "ann@a.example"), ("", "eve@a.example"), ("ann@a.example", "x@c.example")];
        assert_eq!(got, expected.map(|(from, to)| (from.to_owned(), to.to_owned())));
    });
}

#[test]
fn routes_are_in_force_at_once_and_there_after_a_restart() {
    story(|world| async move {
        let gateway = Gateway::new(&world);
        gateway.configure_default().await;
        assert!(gateway.boot().await);
        let added = shown(&gateway, "route add Example.ORG mx.example.org:2525 inside").await;
        assert_eq!(added, "Added, in force now: example.org mx.example.org:2525 inside");
        shown(&gateway, "route add b\u{fc}cher.example 10.0.0.9").await;
        for (line, answer) in [
            ("route test ann@sub.example.org", "mx.example.org:2525, inside, by the route for example.org"),
            ("route test example.org", "mx.example.org:2525, inside, by the route for example.org"),
            ("route test b\u{fc}cher.example", "10.0.0.9, by the route for xn--bcher-kva.example"),
            ("route test ann@other.example", "10.0.0.25, the default next hop"),
            ("route test <>", "as other mail"),
            ("route test ann@", "is no address or domain"),
            ("route add example.org 10.0.0.9:0", "is not a port"),
            ("route add exa_mple 10.0.0.9", "is not a domain"),
            ("route add example.org gw.example", "next-hop is this appliance itself"),
            ("route remove sub.example.org", "no route for exactly this domain"),
            ("route add example.org", "something is missing"),
            ("show routes", "2 routes."),
        ] {
            let text = one_line(&shown(&gateway, line).await);
            assert!(text.contains(answer), "{line}: {text}");
        }
        let config = gateway.console("show config").await;
        assert!(config.contains("route add example.org mx.example.org:2525 inside"), "{config}");
        shown(&gateway, "set null-sender-next-hop 10.0.0.77").await;
        shown(&gateway, "save").await;
        assert!(shown(&gateway, "show routes").await.contains("10.0.0.77"));
        gateway.terminal.type_text("reboot\r");
        assert!(world.wait_until(10, || !gateway.is_on()).await);
        assert!(gateway.boot().await);
        let routes = shown(&gateway, "show routes").await;
        assert!(routes.contains("example.org") && routes.contains("inside"), "{routes}");
        assert_eq!(shown(&gateway, "route remove example.org").await, "Removed, in force now.");
        assert!(one_line(&shown(&gateway, "route test example.org").await).contains("default next hop"));
    });
}

#[test]
fn wrong_words_about_the_queue_change_nothing_and_say_what_would_be_right() {
    story(|world| async move {
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Refusing);
        let gateway = passing_gateway(&world).await;
        send(&world, "ann@a.example", &["x@b.example"], &letter("b")).await;
        for line in [
            "queue frobnicate",
            "queue hold",
            "queue hold b_example.org",
            "queue hold localhost",
            "queue release 0000000g!",
            "queue show 00000001",
            "queue show b.example",
            "queue retry 00000001",
            "queue bounce 00000001",
            "queue summary all",
            "queue hold nobody.example",
            "queue release all",
            "identity import 9",
            "show everything",
            "set postmaster postmaster",
            "set commissioning perhaps",
            "set delay-warning 31d",
            "set destination-rate -1",
            "set client-share 101%",
        ] {
            let text = shown(&gateway, line).await;
            assert!(!text.is_empty() && !text.contains("Paste"), "{line}: {text}");
        }
        assert!(shown(&gateway, "queue").await.contains("1 message."));
    });
}

#[test]
fn the_flash_and_the_clock_speak_plainly() {
    story(|world| async move {
        let gateway = passing_gateway(&world).await;
        let flash = shown(&gateway, "show flash").await;
        for part in
            ["room", "blocks", "erases", "amplification", "not known before an hour", "check of all mail"]
        {
            assert!(flash.contains(part), "no {part}: {flash}");
        }
        world.sleep_ms(2 * 3_600_000).await;
        let flash = shown(&gateway, "show flash").await;
        assert!(flash.contains("a day") && flash.contains("years"), "{flash}");
        assert!(shown(&gateway, "time set 2026-11-22T14:00:30Z").await.lines().count() == 1);
        let jump = one_line(&shown(&gateway, "time set 2027-11-22T14:00:30Z").await);
        assert!(jump.contains("365d later than before"), "{jump}");
        let back = one_line(&shown(&gateway, "time set 2026-11-22T14:00:30Z").await);
        assert!(back.contains("365d earlier than before"), "{back}");
    });
}

#[test]
fn every_setting_is_shown_side_by_side_and_can_be_set() {
    story(|world| async move {
        let gateway = passing_gateway(&world).await;
        for line in [
            "set postmaster postmaster@example.org",
            "set commissioning on",
            "set delay-warning off",
            "set destination-connections 4",
            "set destination-rate 120",
            "set client-share 50%",
            "set destination-share 60",
        ] {
            assert_eq!(shown(&gateway, line).await, "", "{line}");
        }
        assert!(shown(&gateway, "save").await.contains("Saved."));
        let all = shown(&gateway, "show").await;
        for row in
            ["destination-connections  4", "destination-rate         120", "commissioning            on"]
        {
            assert!(all.contains(row), "{all}");
        }
        // One row for each, none wrapped: they are read from top to bottom even where they need more than one screen.
        assert!(all.lines().all(|row| row.starts_with(char::is_alphabetic) && row.len() <= 80), "{all}");
    });
}

#[test]
fn mail_that_waits_takes_a_new_route_and_every_destination_is_seen() {
    story(|world| async move {
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Refusing);
        let default = world.next_hop();
        let (ours, theirs) = (Destination::start(&world, 1), Destination::start(&world, 2));
        theirs.link(Link::Dark);
        let gateway = passing_gateway(&world).await;
        send(&world, "ann@a.example", &[&ours.mailbox("bob")], &letter("ours")).await;
        send(&world, "ann@a.example", &[&theirs.mailbox("eve")], &letter("theirs")).await;
        send(&world, "ann@a.example", &["x@b.example"], &letter("default")).await;
        world.sleep_ms(60_000).await;
        let summary = shown(&gateway, "queue summary").await;
        assert!(summary.contains("10.0.0.25                  3    3"), "{summary}");
        for destination in [&ours, &theirs] {
            let line = format!("route add {} {}", destination.domain, destination.host);
            assert!(shown(&gateway, &line).await.starts_with("Added"));
        }
        assert!(world.wait_until(60, || ours.sink.count() == 1).await);
        world.sleep_ms(120_000).await;
        let places = shown(&gateway, "show destinations").await;
        assert!(places.contains("mx.d002.example") && places.contains("failing"), "{places}");
        let summary = shown(&gateway, "queue summary").await;
        assert!(summary.contains("mx.d002.example            1"), "{summary}");
        assert!(summary.contains("10.0.0.25                  1"), "{summary}");
        assert!(one_line(&summary).contains("failing, next probe in"), "{summary}");
        let queue = shown(&gateway, "queue").await;
        assert!(queue.contains("2 messages."), "{queue}");
        shown(&gateway, &format!("route remove {}", theirs.domain)).await;
        world.network.set_link(IpAddr::from(NEXT_HOP), Link::Up);
        shown(&gateway, "queue retry all").await;
        assert!(world.wait_until(600, || gateway.queue_is_empty()).await);
        assert_eq!((default.count(), ours.sink.count(), theirs.sink.count()), (2, 1, 0));
    });
}

#[test]
fn in_commissioning_nobody_hears_of_mistakes_until_the_operator_says_so() {
    story(|world| async move {
        let sink = world.next_hop();
        sink.behave(|b| b.recipients = vec![("bob@b.example".into(), "550 5.1.1 unknown".into())]);
        let gateway = passing_gateway(&world).await;
        shown(&gateway, "set commissioning on").await;
        shown(&gateway, "save").await;
        send(&world, "ann@a.example", &["bob@b.example"], &letter("one")).await;
        world.sleep_ms(3_600_000).await;
        assert_eq!(sink.count(), 0);
        let queue = one_line(&shown(&gateway, "queue").await);
        assert!(queue.contains("held: ") && queue.contains("1 message, 1 held."), "{queue}");
        shown(&gateway, "set commissioning off").await;
        let saved = one_line(&shown(&gateway, "save").await);
        assert!(
            saved.contains("1 message held: `queue release all` tries again, `queue bounce all`"),
            "{saved}"
        );
        let bounced = confirmed(&gateway, "queue bounce all", "bounce").await;
        assert!(bounced.contains("1 message given up."), "{bounced}");
        assert!(world.wait_until(600, || sink.count() == 1).await);
        assert_eq!(
            (sink.received()[0].from.as_str(), sink.received()[0].to[0].as_str()),
            ("", "ann@a.example")
        );
        assert!(world.wait_until(60, || gateway.queue_is_empty()).await);
    });
}
