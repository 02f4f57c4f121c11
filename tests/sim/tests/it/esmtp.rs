//! The extensions of SMTP on both sides: chunks, binary content, 8-bit content, UTF-8, and the limits of a next hop.

use crate::passing_gateway;
use sim::letters::{letter, without_trace};
use sim::peers::{Behaviour, Client, Received, Sink};
use sim::report::Report;
use sim::world::{World, story};

const ANN: &str = "<ann@a.example>";
const BOB: &str = "<bob@b.example>";
const HEAD: &str = "From: Ann <ann@a.example>\r\nTo: bob@b.example\r\nMIME-Version: 1.0\r\n";

fn offer(sink: &Sink, keywords: &[&str]) {
    let keywords: Vec<String> = keywords.iter().map(|k| (*k).to_string()).collect();
    sink.behave(|behaviour| behaviour.keywords = keywords);
}

async fn chunks(client: &mut Client, from: &str, to: &[&str], content: &[u8]) {
    client.send_chunks(from, to, content, 700).await.expect("open").expect(250, "Queued");
}

/// Lets the next hop offer other keywords, to connections that are new.
async fn offer_anew(world: &World, sink: &Sink) {
    sink.behave(|behaviour| behaviour.keywords = Behaviour::default().keywords);
    world.sleep_ms(120_000).await;
}

async fn arrived(world: &World, sink: &Sink, count: usize) -> Vec<Received> {
    assert!(world.wait_until(600, || sink.count() == count).await, "{} came", sink.count());
    assert_eq!(sink.violations(), Vec::<String>::new());
    sink.received()
}

/// Statuses by recipient of the only report.
fn report(received: &[Received]) -> Vec<(String, String)> {
    let reports: Vec<Report> = received.iter().filter_map(Report::read).collect();
    let [report] = &reports[..] else { panic!("{} reports", reports.len()) };
    report.about.iter().map(|about| (about.recipient.clone(), about.status.clone())).collect()
}

#[test]
fn everything_that_is_understood_is_offered() {
    story(|world| async move {
        let _sink = world.next_hop();
        let _gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        let offered = client.command("EHLO again.example").await;
        assert_eq!(
            offered.lines[1..],
            [
                "PIPELINING",
                "SIZE 26214400",
                "8BITMIME",
                "CHUNKING",
                "BINARYMIME",
                "SMTPUTF8",
                "LIMITS RCPTMAX=1000 MAILMAX=1000",
                "DSN",
                "ENHANCEDSTATUSCODES"
            ]
        );
        client.command("VRFY bob").await.expect(252, "");
        client.command("EXPN list").await.expect(502, "");
        client.command("HELP").await.expect(214, "");
        for command in ["XCLIENT ADDR=10.0.0.9", "XFORWARD NAME=a", "XEXCH50 1 1", "X-EXPS GSSAPI"] {
            client.command(command).await.expect(502, "");
        }
    });
}

#[test]
fn lone_line_ends_come_in_by_bdat_and_leave_as_whole_ones_by_data() {
    story(|world| async move {
        let sink = world.next_hop();
        let _gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        let whole = format!(
            "{HEAD}Subject: lone\r\nMessage-ID: <1@a.example>\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n\r\none\r\n.\r\n..two\r\n\r\n"
        );
        chunks(&mut client, ANN, &[BOB], whole.replace("\r\n", "\n").as_bytes()).await;
        let binary: Vec<u8> = (0..=255).rev().cycle().take(3_000).collect();
        let part = format!(
            "{HEAD}Subject: binary\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        );
        chunks(&mut client, "<ann@a.example> BODY=BINARYMIME", &[BOB], &[part.as_bytes(), &binary].concat())
            .await;
        // The end of the last line is missing; DATA cannot do without.
        chunks(&mut client, ANN, &[BOB], &whole.as_bytes()[..whole.len() - 4]).await;
        let received = arrived(&world, &sink, 3).await;
        assert_eq!(without_trace(&received[0]), whole.as_bytes());
        assert_eq!(received[1].header("Content-Transfer-Encoding").as_deref(), Some("base64"));
        let wanted = openssl_base64(&binary);
        assert_eq!(String::from_utf8_lossy(received[1].body()).replace("\r\n", ""), wanted);
        assert_eq!(without_trace(&received[2]), &whole.as_bytes()[..whole.len() - 2]);
        assert!(sink.commands().iter().all(|command| !command.starts_with("BDAT")));
    });
}

fn openssl_base64(octets: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits =
            group.iter().fold(0u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - group.len()));
        (0..4)
            .map(move |place| match place {
                place if place > group.len() => '=',
                place => char::from(LETTERS[(bits >> (18 - 6 * place) & 63) as usize]),
            })
            .collect::<String>()
    };
    octets.chunks(3).map(group).collect()
}

#[test]
fn no_odd_end_of_data_that_came_by_bdat_ends_a_message_at_the_next_hop() {
    story(|world| async move {
        let sink = world.next_hop();
        let _gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        let [before, after] = malformed::AROUND_THE_DOT;
        let smuggled = b"MAIL FROM:<evil@a.example>\r\nRCPT TO:<evil@b.example>\r\nDATA\r\nx\r\n.\r\n";
        let mut sent = 0;
        // Cut at every octet, at every other, and not at all.
        for most in [1, 2, 7, 1_000] {
            for (before, after) in before.iter().flat_map(|before| after.map(|after| (before, after))) {
                let head = letter(&format!("variant-{sent}"));
                let content = [&head, b"text".as_slice(), before, b".", after, smuggled].concat();
                let reply = client.send_chunks(ANN, &[BOB], &content, most).await;
                reply.expect("open").expect(250, "Queued");
                sent += 1;
            }
        }
        let received = arrived(&world, &sink, sent).await;
        for message in &received {
            assert_eq!(
                (message.from.as_str(), &message.to[..]),
                ("ann@a.example", &["bob@b.example".to_string()][..])
            );
            assert!(message.header("Subject").is_some_and(|subject| subject.starts_with("variant-")));
        }
        assert!(sink.commands().iter().all(|command| !command.contains("evil")));
    });
}

/// A message that its author has signed, with lone line ends.
fn protected() -> Vec<u8> {
    format!("{HEAD}Subject: protected\r\nContent-Type: multipart/signed; boundary=s; protocol=\"application/pkcs7-signature\"\r\n\r\n--s\r\n\r\nlone\nends\r\n--s\r\n\r\nxx\r\n--s--\r\n").into_bytes()
}

#[test]
fn protected_content_with_lone_line_ends_leaves_untouched_by_bdat() {
    story(|world| async move {
        let sink = world.next_hop();
        offer(&sink, &["PIPELINING", "SIZE 1000000", "8BITMIME", "CHUNKING", "BINARYMIME"]);
        let _gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        chunks(&mut client, ANN, &[BOB, "<eve@b.example>"], &protected()).await;
        let received = arrived(&world, &sink, 1).await;
        let content = without_trace(&received[0]);
        // What the header lacks stands before it.
        assert!(content.ends_with(&protected()), "{}", String::from_utf8_lossy(content));
        assert_eq!(received[0].to.len(), 2);
        assert!(received[0].mail_parameters.contains(&"BODY=BINARYMIME".to_string()));
        assert!(sink.commands().iter().any(|c| c.starts_with("BDAT ") && c.ends_with(" LAST")));
    });
}

#[test]
fn protected_content_with_lone_line_ends_fails_where_it_cannot_go_by_bdat() {
    story(|world| async move {
        let sink = world.next_hop();
        let _gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        chunks(&mut client, ANN, &[BOB], &protected()).await;
        let received = arrived(&world, &sink, 1).await;
        assert_eq!(report(&received), [("bob@b.example".into(), "5.6.3".into())]);
    });
}

#[test]
fn eight_bit_content_is_made_seven_bit_for_a_next_hop_without_8bitmime_unless_it_is_protected() {
    story(|world| async move {
        let sink = world.next_hop();
        offer(&sink, &["PIPELINING", "SIZE 1000000", "ENHANCEDSTATUSCODES"]);
        let _gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        let text = format!(
            "{HEAD}Subject: text\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\u{e9}\r\n"
        );
        let from = "ann@a.example";
        client.send(from, &["bob@b.example"], text.as_bytes()).await.expect("open").expect(250, "");
        let received = arrived(&world, &sink, 1).await;
        assert_eq!(received[0].body(), b"caf=C3=A9\r\n");
        assert_eq!(received[0].header("Content-Transfer-Encoding").as_deref(), Some("quoted-printable"));
        let signed = String::from_utf8_lossy(&protected()).replace("lone\nends", "caf\u{e9}");
        client.send(from, &["bob@b.example"], signed.as_bytes()).await.expect("open").expect(250, "");
        let received = arrived(&world, &sink, 2).await;
        assert_eq!(report(&received), [("bob@b.example".into(), "5.6.3".into())]);
        // The same goes where it is taken.
        offer_anew(&world, &sink).await;
        client.send(from, &["bob@b.example"], signed.as_bytes()).await.expect("open").expect(250, "");
        let received = arrived(&world, &sink, 3).await;
        assert!(without_trace(&received[2]).ends_with(signed.as_bytes()));
    });
}

#[test]
fn mail_in_utf8_goes_where_it_is_taken_and_is_reported_where_it_is_not() {
    story(|world| async move {
        let sink = world.next_hop();
        offer(&sink, &["PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8"]);
        let _gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        let text = String::from_utf8(letter("utf8")).expect("ASCII").replace("utf8", "gr\u{fc}n");
        let international = ["<b\u{fc}ro@b.example>", "<office@b\u{fc}cher.example>"];
        let from = "<ann@a.example> SMTPUTF8";
        chunks(&mut client, from, &international, text.as_bytes()).await;
        let received = arrived(&world, &sink, 1).await;
        assert_eq!(received[0].to, ["b\u{fc}ro@b.example", "office@xn--bcher-kva.example"]);
        assert!(received[0].mail_parameters.contains(&"SMTPUTF8".to_string()));
        assert!(String::from_utf8_lossy(&received[0].content).contains("with UTF8SMTP id"));
        // A next hop that does not take it: of the ASCII message only the recipient in UTF-8 fails.
        offer_anew(&world, &sink).await;
        let [utf8, ascii] = international;
        chunks(&mut client, from, &[utf8, ascii], &letter("ascii")).await;
        let received = arrived(&world, &sink, 3).await;
        assert!(received.iter().any(|m| m.to == ["office@xn--bcher-kva.example"]));
        let [(to, status)] = &report(&received)[..] else { panic!("{received:?}") };
        assert!(to.contains("ro@b.example") && status == "5.6.7", "{to} {status}");
        // A header in UTF-8 goes to nobody there.
        chunks(&mut client, from, &[BOB], text.as_bytes()).await;
        let received = arrived(&world, &sink, 4).await;
        let last: Vec<Received> = received[3..].to_vec();
        assert_eq!(report(&last), [("bob@b.example".into(), "5.6.7".into())]);
    });
}

#[test]
fn the_limits_of_a_next_hop_are_kept_without_being_told_by_refusals() {
    story(|world| async move {
        let sink = world.next_hop();
        offer(
            &sink,
            &["PIPELINING", "SIZE 1000000", "8BITMIME", "LIMITS MAILMAX=2 RCPTMAX=3 RCPTDOMAINMAX=2"],
        );
        sink.behave(|behaviour| (behaviour.recipients_max, behaviour.messages_max) = (3, 2));
        let _gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        let to: Vec<String> = (0..10).map(|n| format!("r{n}@d{}.example", n % 4)).collect();
        let to: Vec<&str> = to.iter().map(String::as_str).collect();
        client.send("ann@a.example", &to, &letter("many")).await.expect("open").expect(250, "");
        assert!(
            world.wait_until(3_600, || sink.received().iter().map(|m| m.to.len()).sum::<usize>() == 10).await
        );
        let received = sink.received();
        let mut reached: Vec<&str> = received.iter().flat_map(|m| m.to.iter().map(String::as_str)).collect();
        reached.sort_unstable();
        assert_eq!(reached, to);
        for message in &received {
            let mut domains: Vec<&str> = message.to.iter().filter_map(|to| to.split('@').nth(1)).collect();
            domains.sort_unstable();
            domains.dedup();
            assert!(message.to.len() <= 3 && domains.len() <= 2, "{:?}", message.to);
            let same = received.iter().filter(|other| other.connection == message.connection);
            assert!(same.count() <= 2);
        }
    });
}

#[test]
fn a_sender_in_utf8_gets_an_international_report_where_the_way_takes_it() {
    story(|world| async move {
        let sink = world.next_hop();
        offer(&sink, &["PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8"]);
        sink.behave(|behaviour| {
            behaviour.recipients = vec![("bob@b.example".into(), "550 5.1.1 No such user".into())];
        });
        let gateway = passing_gateway(&world).await;
        let mut client = world.client().await;
        chunks(&mut client, "<b\u{fc}ro@a.example> SMTPUTF8", &[BOB], &letter("utf8")).await;
        let received = arrived(&world, &sink, 1).await;
        assert_eq!(
            (received[0].from.as_str(), &received[0].to[..]),
            ("", &["b\u{fc}ro@a.example".into()][..])
        );
        assert!(received[0].mail_parameters.contains(&"SMTPUTF8".to_string()));
        assert_eq!(report(&received), [("bob@b.example".into(), "5.1.1".into())]);
        let text = String::from_utf8_lossy(&received[0].content).into_owned();
        assert!(
            text.contains("message/global-delivery-status") && text.contains("b\u{fc}ro@a.example"),
            "{text}"
        );
        assert!(world.wait_until(600, || gateway.queue_is_empty()).await);
    });
}
