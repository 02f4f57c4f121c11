use super::*;
use alloc::{format, string::ToString, vec, vec::Vec as Heap};
use malformed::{Ending, Step};
use proptest::prelude::*;

type Text = alloc::string::String;

/// A server with a driver that accepts everything except mail to `denied.example`, from `nobody@example.org` and
/// content that says `REFUSE`.
struct Session {
    server: Server,
    replies: Heap<u8>,
    events: Heap<Text>,
    content: Heap<u8>,
    messages: Heap<Heap<u8>>,
    chunked: bool,
    flushes: usize,
}

fn config() -> Config {
    Config::new("mx.example.com".into(), 2_000_000)
}

impl Session {
    fn new() -> Self {
        Self::with(Server::new(config()))
    }

    fn with(server: Server) -> Self {
        Self {
            server,
            replies: vec![],
            events: vec![],
            content: vec![],
            messages: vec![],
            chunked: false,
            flushes: 0,
        }
    }

    fn flush(&mut self) {
        let sent = self.server.transmit().to_vec();
        if !sent.is_empty() {
            self.flushes += 1;
        }
        self.replies.extend_from_slice(&sent);
        self.server.transmitted(sent.len());
    }

    /// One segment, as a driver would handle it: replies go out when the machine needs more.
    fn segment(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !self.server.is_closed() {
            let (taken, event) = self.server.receive(rest);
            rest = &rest[taken..];
            let nothing = event.is_none();
            if let Some(event) = event {
                self.handle(event);
            }
            if nothing && taken == 0 {
                if rest.is_empty() || self.server.transmit().is_empty() {
                    break;
                }
                self.flush();
            }
        }
        while let (_, Some(event)) = self.server.receive(&[]) {
            self.handle(event);
        }
        self.flush();
    }

    fn handle(&mut self, event: Event<'_>) {
        self.events.push(match &event {
            Event::Data(_) => Text::new(),
            Event::Mail { sender, declared_size, body, dsn, .. } => {
                format!("Mail <{sender}> {declared_size:?} {body:?}{dsn}")
            }
            Event::Rcpt { recipient, dsn, .. } => format!("Rcpt <{recipient}>{dsn}"),
            Event::DataStart { .. } => "DataStart".into(),
            Event::DataEnd { size, .. } => format!("DataEnd {size}"),
            other => format!("{other:?}"),
        });
        match event {
            Event::Mail { question, sender, .. } => {
                assert_eq!(self.server.receive(b"NOOP\r\n").0, 0, "taken while a question is open");
                if sender.as_str() == "nobody@example.org" {
                    self.server.refuse(question, &Reply::new(550, EnhancedStatus(5, 1, 8), "Who?"));
                } else {
                    self.server.accept(question);
                }
            }
            Event::Rcpt { question, recipient, .. } => {
                if recipient.domain() == "denied.example" {
                    self.server.refuse(question, &Server::relay_denied());
                } else {
                    self.server.accept(question);
                }
            }
            Event::DataStart { question, chunked } => {
                self.chunked = chunked;
                self.content.clear();
                self.server.accept(question);
            }
            Event::Data(octets) => {
                assert!(!octets.is_empty());
                self.events.pop();
                self.content.extend_from_slice(octets);
            }
            Event::DataEnd { question, size } => {
                assert_eq!(size as usize, self.content.len());
                let header_end = self.content.windows(4).position(|w| w == b"\r\n\r\n");
                let header = &self.content[..header_end.unwrap_or(0)];
                if self.chunked
                    && header.iter().enumerate().any(|(i, c)| {
                        *c == 0 || (*c == b'\r' && header.get(i + 1).is_some_and(|next| *next != b'\n'))
                    })
                {
                    // As the appliance does, which looks into headers.
                    self.server.refuse(question, &Reply::new(554, EnhancedStatus(5, 6, 0), "No header"));
                } else if self.content.starts_with(b"REFUSE") {
                    self.server.refuse(question, &Reply::new(452, EnhancedStatus(4, 3, 1), "Full"));
                } else {
                    self.messages.push(core::mem::take(&mut self.content));
                    self.server.accept_message(question, QueueId(31));
                }
            }
            _ => {}
        }
    }

    /// Replies since the last call.
    fn take_replies(&mut self) -> Text {
        Text::from_utf8(core::mem::take(&mut self.replies)).expect("replies are ASCII")
    }
}

macro_rules! send {
    ($session:expr, $octets:expr) => {
        $session.segment($octets.as_ref())
    };
}

macro_rules! recv {
    ($session:expr, $replies:expr) => {
        assert_eq!($session.take_replies(), $replies)
    };
}

const EHLO_REPLY: &str = "250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 2000000\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-SMTPUTF8\r\n250-LIMITS RCPTMAX=1000 MAILMAX=1000\r\n250-DSN\r\n250 ENHANCEDSTATUSCODES\r\n";

/// A session that has been greeted and has greeted.
fn greeted() -> Session {
    let mut s = Session::new();
    send!(s, "EHLO client.example.org\r\n");
    recv!(s, "220 mx.example.com ESMTP\r\n".to_string() + EHLO_REPLY);
    s
}

#[test]
fn a_letter_is_handed_in() {
    let mut s = Session::new();
    send!(s, "");
    recv!(s, "220 mx.example.com ESMTP\r\n");
    send!(s, "EHLO client.example.org\r\n");
    recv!(s, EHLO_REPLY);
    assert_eq!((s.server.helo(), s.server.protocol()), ("client.example.org", Protocol::Esmtp));
    send!(s, "mail from:<a@EXAMPLE.org> size=20 body=8bitmime\r\n");
    recv!(s, "250 2.1.0 Sender accepted\r\n");
    send!(s, "rcpt to:<b@example.net>\r\n");
    recv!(s, "250 2.1.5 Recipient accepted\r\n");
    send!(s, "DATA\r\n");
    recv!(s, "354 Send the message, end it with a dot on a line of its own\r\n");
    assert!(s.server.is_receiving_data());
    send!(s, "Subject: x\r\n\r\n..dot\r\n");
    recv!(s, "");
    send!(s, ".\r\n");
    recv!(s, "250 2.0.0 Queued as 00000010\r\n");
    send!(s, "QUIT\r\n");
    recv!(s, "221 2.0.0 Goodbye\r\n");
    assert!(s.server.is_closed());
    assert_eq!(s.messages, [b"Subject: x\r\n\r\n.dot\r\n"]);
    assert_eq!(
        s.events,
        [
            "Hello",
            "Mail <a@example.org> Some(20) EightBitMime",
            "Rcpt <b@example.net>",
            "DataStart",
            "DataEnd 20",
            "Closed(Quit)"
        ]
    );
}

#[test]
fn helo_gets_no_extensions_and_may_use_none() {
    let mut s = Session::new();
    send!(s, "HELO [192.0.2.1]\r\nMAIL FROM:<a@example.org> BODY=7BIT\r\nMAIL FROM:<>\r\n");
    recv!(
        s,
        "220 mx.example.com ESMTP\r\n250 mx.example.com\r\n\
         555 5.5.4 Parameter not recognised or not implemented\r\n250 2.1.0 Sender accepted\r\n"
    );
    assert_eq!(s.server.protocol(), Protocol::Smtp);
}

#[test]
fn pipelined_commands_are_answered_in_order_in_one_flush() {
    let mut s = greeted();
    s.flushes = 0;
    send!(
        s,
        "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nRCPT TO:<c@denied.example>\r\n\
         RCPT TO:<@x:d@example.net>\r\nRCPT TO:<Postmaster>\r\nDATA\r\n"
    );
    assert_eq!(s.flushes, 1);
    recv!(
        s,
        "250 2.1.0 Sender accepted\r\n250 2.1.5 Recipient accepted\r\n554 5.7.1 Relaying denied\r\n\
         501 5.1.3 Bad address: source routes are not accepted\r\n250 2.1.5 Recipient accepted\r\n\
         354 Send the message, end it with a dot on a line of its own\r\n"
    );
    send!(s, "text\r\n.\r\nMAIL FROM:<z@example.org>\r\n");
    recv!(s, "250 2.0.0 Queued as 00000010\r\n250 2.1.0 Sender accepted\r\n");
    assert!(s.events.contains(&"Rcpt <postmaster@mx.example.com>".to_string()));
}

#[test]
fn a_peer_whose_recipients_are_all_refused_is_sent_away() {
    let mut server = Server::new(config());
    let mut refused = 0;
    let mut input = b"EHLO c\r\nMAIL FROM:<>\r\n".as_slice();
    loop {
        server.transmitted(server.transmit().len());
        match server.receive(input) {
            (_, Some(Event::Closed(end))) => break assert_eq!(end, End::Abuse),
            (taken, event) => {
                input = &input[taken..];
                match event {
                    Some(Event::Mail { question, .. }) => server.accept(question),
                    Some(Event::Rcpt { question, .. }) => {
                        refused += 1;
                        server.refuse(question, &Server::relay_denied());
                        assert!(server.transmit().starts_with(if refused > 20 { b"421" } else { b"554" }));
                    }
                    _ => {}
                }
            }
        }
        if input.is_empty() {
            input = b"RCPT TO:<guess@example.net>\r\n";
        }
    }
    assert_eq!(refused, 21);
}

#[test]
fn content_sent_before_the_answer_to_data_waits_for_it() {
    let mut server = Server::new(config());
    let input = b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\ntext\r\n.\r\nQUIT\r\n";
    let mut at = 0;
    loop {
        let (taken, event) = server.receive(&input[at..]);
        at += taken;
        match event {
            Some(Event::Mail { question, .. } | Event::Rcpt { question, .. }) => server.accept(question),
            Some(Event::DataStart { question, .. }) => {
                assert!(input[at..].starts_with(b"text"));
                assert!(matches!(server.receive(&input[at..]), (0, None)));
                server.refuse(question, &Reply::new(452, EnhancedStatus(4, 3, 1), "Queue is full"));
                // Refused: what follows are commands now, as the client would have them.
                let (taken, event) = server.receive(&input[at..at + 6]);
                assert!(event.is_none() && taken == 6);
                assert!(
                    server
                        .transmit()
                        .ends_with(b"452 4.3.1 Queue is full\r\n500 5.5.2 Command not recognised\r\n")
                );
                // The transaction is over on both sides: further recipients need a new one.
                assert!(server.receive(b"RCPT TO:<c@example.net>\r\nDATA\r\n").1.is_none());
                assert!(
                    server
                        .transmit()
                        .ends_with(b"503 5.5.1 Say MAIL first\r\n503 5.5.1 Say MAIL and RCPT first\r\n")
                );
                break;
            }
            other => assert!(matches!(other, Some(Event::Hello))),
        }
    }
}

#[test]
fn a_refused_sender_opens_no_transaction() {
    let mut s = greeted();
    send!(s, "MAIL FROM:<nobody@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
    recv!(s, "550 5.1.8 Who?\r\n503 5.5.1 Say MAIL first\r\n503 5.5.1 Say MAIL and RCPT first\r\n");
}

#[test]
fn a_message_that_finds_the_queue_full_is_refused_and_the_next_one_can_come() {
    let mut s = greeted();
    for content in ["REFUSE", "text"] {
        send!(s, format!("MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n{content}\r\n.\r\n"));
    }
    let replies = s.take_replies();
    assert!(replies.contains("452 4.3.1 Full\r\n"));
    assert!(replies.ends_with("250 2.0.0 Queued as 00000010\r\n"));
}

#[test]
fn a_store_that_fails_while_content_comes_refuses_at_the_true_end() {
    let mut s = greeted();
    send!(s, "MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nsome text\r\n");
    s.take_replies();
    s.server.abandon_data(&Reply::new(452, EnhancedStatus(4, 3, 1), "Queue is full"));
    send!(s, "more\r\n.\n\r\n");
    recv!(s, "");
    send!(s, ".\r\nNOOP\r\n");
    recv!(s, "452 4.3.1 Queue is full\r\n250 2.0.0 OK\r\n");
    assert!(s.messages.is_empty());
    assert_eq!(s.content, b"some text\r\n");
}

#[test]
fn announced_size_beyond_the_limit_is_refused_at_once_and_a_lie_at_the_end() {
    let mut s = greeted();
    send!(s, "MAIL FROM:<> SIZE=2000001\r\n");
    recv!(s, "552 5.3.4 Message is larger than the 2000000 octets allowed\r\n");
    send!(s, "MAIL FROM:<> SIZE=1\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
    s.take_replies();
    send!(s, "\r\n");
    let line = "x".repeat(998) + "\r\n";
    for _ in 0..2_001 {
        send!(s, &line);
    }
    assert_eq!(s.events.last().map(Text::as_str), Some("DataRefused(TooLarge)"));
    recv!(s, "");
    send!(s, ".\r\n");
    recv!(s, "552 5.3.4 Message is larger than the 2000000 octets allowed\r\n");
}

#[test]
fn recipients_are_bounded_in_number_and_octets() {
    let mut s = greeted();
    send!(s, "MAIL FROM:<>\r\n");
    s.take_replies();
    for n in 0..RECIPIENTS_MAX + 5 {
        send!(s, format!("RCPT TO:<r{n}@example.net>\r\n"));
    }
    let replies = s.take_replies();
    assert_eq!(replies.matches("250 2.1.5").count(), RECIPIENTS_MAX);
    assert_eq!(replies.matches("452 4.5.3").count(), 5);

    let domain = ["d".repeat(63), "d".repeat(63), "d".repeat(63), "d".repeat(60)].join(".");
    send!(s, "RSET\r\nMAIL FROM:<>\r\n");
    s.take_replies();
    for n in 0..200 {
        send!(s, format!("RCPT TO:<{n:0>64}@{domain}>\r\n"));
    }
    let accepted = s.take_replies().matches("250 2.1.5").count();
    assert_eq!(accepted, RECIPIENTS_BYTES_MAX / (64 + 1 + domain.len()));
    assert!(accepted >= 100);

    // What was asked of reports takes room, too.
    send!(s, "RSET\r\nMAIL FROM:<>\r\n");
    s.take_replies();
    let original = "o".repeat(493);
    for n in 0..200 {
        send!(s, format!("RCPT TO:<{n}@example.net> ORCPT=rfc822;{original}\r\n"));
    }
    let accepted = s.take_replies().matches("250 2.1.5").count();
    assert!((50..100).contains(&accepted), "{accepted}");
}

#[test]
fn what_the_sender_asks_of_reports_is_told() {
    let mut s = greeted();
    send!(s, "MAIL FROM:<a@example.org> RET=hdrs ENVID=QQ+2B1 SIZE=20\r\n");
    send!(s, "RCPT TO:<b@example.net> ORCPT=rfc822;B@Example.net NOTIFY=delay,success\r\n");
    send!(s, "RCPT TO:<c@example.net> notify=NEVER\r\n");
    assert_eq!(
        s.events,
        [
            "Hello",
            "Mail <a@example.org> Some(20) SevenBit RET=HDRS ENVID=QQ+2B1",
            "Rcpt <b@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B@Example.net",
            "Rcpt <c@example.net> NOTIFY=NEVER",
        ]
    );
}

#[test]
fn replies_wait_for_room_in_the_output() {
    let mut server = Server::new(config());
    let input = b"VRFY x\r\n".repeat(90);
    let (taken, event) = server.receive(&input);
    assert!(event.is_none() && taken < input.len());
    assert!(server.transmit().len() > SERVER_OUTPUT_BYTES - REPLY_LINE_BYTES_MAX);
    assert_eq!(server.receive(&input[taken..]).0, 0);
    server.transmitted(100);
    assert!(server.receive(&input[taken..]).0 > 0);
}

#[test]
fn silence_and_shut_down_end_with_421() {
    let mut s = greeted();
    assert_eq!(s.server.timeout_s(), SERVER_COMMAND_TIMEOUT_S);
    s.server.timed_out();
    send!(s, "");
    recv!(s, "421 4.4.2 Timed out waiting for you\r\n");
    assert_eq!(s.events.last().map(Text::as_str), Some("Closed(TimedOut)"));
    let mut s = greeted();
    s.server.shut_down();
    send!(s, "MAIL FROM:<>\r\n");
    recv!(s, "421 4.3.2 Going down, come again later\r\n");
}

#[test]
fn a_peer_can_be_turned_away_at_the_door() {
    let busy = Reply::new(421, EnhancedStatus(4, 7, 0), "Too many connections\r\n250 evil");
    let mut s = Session::with(Server::refusing(config(), &busy));
    send!(s, "EHLO x\r\n");
    recv!(s, "421 mx.example.com Too many connections??250 evil\r\n");
    assert_eq!(s.events, ["Closed(Ours)"]);
}

#[test]
fn questions_about_mailboxes_and_help_tell_nothing() {
    let mut s = greeted();
    send!(s, "VRFY root\r\nVRFY\r\nEXPN staff\r\nHELP\r\nHELP MAIL\r\n");
    recv!(
        s,
        "252 2.0.0 Send mail and see\r\n501 5.5.4 Argument missing\r\n502 5.5.1 Command not implemented\r\n\
         214 2.0.0 See RFC 5321\r\n214 2.0.0 See RFC 5321\r\n"
    );
}

#[test]
fn sloppy_clients_are_served() {
    let mut s = Session::new();
    send!(
        s,
        "helo MY_PC \r\nMAIL FROM: <a@example.org> \r\nRCPT TO:  <b@example.net>\t\r\nNOOP what\r\nrset \r\n"
    );
    let replies = s.take_replies();
    assert_eq!(replies.matches("250 ").count(), 5, "{replies}");
    assert_eq!(s.events.last().map(Text::as_str), Some("Reset"));
}

/// Runs a malformed session; `cut` says how long the next segment is.
fn run_malformed(case: &malformed::Session, mut cut: impl FnMut(usize) -> usize) {
    let name = case.name;
    let mut s = Session::new();
    send!(s, "");
    s.take_replies();
    let mut unread: Heap<Text> = vec![];
    for step in &case.steps {
        let (count, accepted) = match step {
            Step::Send(octets) => {
                let mut at = 0;
                while at < octets.len() {
                    let end = octets.len().min(at + cut(octets.len()).max(1));
                    s.segment(&octets[at..end]);
                    at = end;
                }
                let replies = s.take_replies();
                let last_lines = replies.split_terminator("\r\n").filter(|l| l.as_bytes()[3] == b' ');
                unread.extend(last_lines.map(Text::from));
                continue;
            }
            Step::Expect(accepted) => (1, accepted),
            Step::ExpectMany(count, accepted) => (*count, accepted),
        };
        for _ in 0..count {
            assert!(!unread.is_empty(), "{name}: no reply, expected {accepted:?}");
            let reply = unread.remove(0);
            assert!(accepted.iter().any(|a| reply.starts_with(a)), "{name}: {reply}, expected {accepted:?}");
        }
    }
    assert!(unread.is_empty(), "{name}: unexpected {unread:?}");
    assert_eq!(s.messages.len(), case.accepted, "{name}");
    assert_eq!(s.server.is_closed(), case.ending == Ending::Closed, "{name}");
    if case.ending == Ending::Usable {
        send!(
            s,
            "EHLO again.example.org\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"
        );
        assert!(
            s.take_replies().ends_with("250 2.0.0 Queued as 00000010\r\n221 2.0.0 Goodbye\r\n"),
            "{name}"
        );
    }
}

#[test]
fn malformed_sessions_get_what_they_deserve() {
    for case in malformed::sessions() {
        run_malformed(&case, |total| total);
        run_malformed(&case, |_| 1_460);
        let long = case.steps.iter().any(|s| matches!(s, Step::Send(o) if o.len() > 10_000));
        for segment in 1..if long { 2 } else { 40 } {
            run_malformed(&case, |_| segment);
        }
    }
}

#[test]
fn smuggling_variants_split_before_and_after_the_dot_are_refused() {
    for case in malformed::sessions().iter().filter(|c| c.name.starts_with("smuggling")) {
        let longest =
            case.steps.iter().map(|s| if let Step::Send(o) = s { o.len() } else { 0 }).max().unwrap_or(0);
        for first in 1..longest {
            // One cut, at every place of the content.
            let mut cuts = 0;
            run_malformed(case, |total| {
                if total < longest {
                    return total;
                }
                cuts += 1;
                if cuts == 1 { first } else { total }
            });
        }
    }
}

/// Pieces that sessions are made of, good and bad.
fn pieces() -> impl Strategy<Value = Heap<u8>> {
    prop_oneof![
        Just(b"EHLO c.example.org\r\n".to_vec()),
        Just(b"HELO c\r\n".to_vec()),
        Just(b"MAIL FROM:<a@example.org> SIZE=100\r\n".to_vec()),
        Just(b"MAIL FROM:<nobody@example.org>\r\n".to_vec()),
        Just(b"RCPT TO:<b@example.net>\r\n".to_vec()),
        Just(b"RCPT TO:<b@denied.example>\r\n".to_vec()),
        Just(b"MAIL FROM:<a@example.org> RET=FULL ENVID=x+2By\r\n".to_vec()),
        Just(b"MAIL FROM:<a@example.org> RET=HALF\r\n".to_vec()),
        Just(b"RCPT TO:<b@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@example.net\r\n".to_vec()),
        Just(b"RCPT TO:<b@example.net> ORCPT=rfc822;+0D+0A\r\n".to_vec()),
        Just(b"DATA\r\n".to_vec()),
        Just(b"MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n".to_vec()),
        Just(b"text\r\n..x\r\n.\r\n".to_vec()),
        Just(b"\r\n.\r\n".to_vec()),
        Just(b".\r\n".to_vec()),
        Just(b"RSET\r\nNOOP\r\nVRFY x\r\n".to_vec()),
        Just(b"QUIT\r\n".to_vec()),
        Just(b"\r\r\n.\r\n".to_vec()),
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\0".to_vec()),
        Just(b".".to_vec()),
        Just(vec![b'x'; 2_048]),
        Just(vec![b'y'; 66_000]),
        proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

fn fixed_seed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(2_821),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(fixed_seed(400))]

    #[test]
    fn segmentation_changes_nothing(
        session in proptest::collection::vec(pieces(), 0..30),
        cuts in proptest::collection::vec(1..100usize, 1..50),
    ) {
        let octets = session.concat();
        let mut whole = Session::new();
        whole.segment(&octets);
        let mut cut = Session::new();
        let (mut at, mut n) = (0, 0);
        cut.segment(&[]);
        while at < octets.len() {
            // Long runs are cut coarsely, so that the test stays fast.
            let length = cuts[n % cuts.len()] * if octets.len() > 10_000 { 50 } else { 1 };
            let end = octets.len().min(at + length);
            cut.segment(&octets[at..end]);
            (at, n) = (end, n + 1);
        }
        prop_assert_eq!(cut.replies, whole.replies);
        prop_assert_eq!(cut.events, whole.events);
        prop_assert_eq!(cut.messages, whole.messages);
    }

    #[test]
    fn any_octets_do_no_harm(octets in proptest::collection::vec(any::<u8>(), 0..3_000)) {
        let mut s = Session::new();
        s.segment(&octets);
        prop_assert!(s.replies.is_ascii() && s.messages.is_empty());
    }
}

#[test]
fn content_is_handed_out_in_large_pieces() {
    // What a message costs is the scan and one event per piece: lines and segments do not multiply the events.
    let mut server = Server::new(Config { message_bytes_max: 30_000_000, ..config() });
    let mut s = |input: &[u8]| {
        let (mut at, mut events) = (0, 0);
        while at < input.len() {
            let (taken, event) = server.receive(&input[at..]);
            at += taken;
            match event {
                Some(
                    Event::Mail { question, .. }
                    | Event::Rcpt { question, .. }
                    | Event::DataStart { question, .. }
                    | Event::DataEnd { question, .. },
                ) => server.accept(question),
                Some(Event::Data(_)) => events += 1,
                _ => {}
            }
            let pending = server.transmit().len();
            server.transmitted(pending);
        }
        events
    };
    s(b"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n\r\n");
    let segment = ("x".repeat(74) + "\r\n").repeat(100);
    let total: usize = (0..1_000).map(|_| s(segment.as_bytes())).sum();
    assert_eq!(total, 1_000);
    assert_eq!(s(b".\r\n"), 0);
}

/// MAIL and RCPT of a session that has been greeted.
fn with_recipient() -> Session {
    let mut s = greeted();
    send!(s, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\n");
    s.take_replies();
    s
}

#[test]
fn a_chunk_above_the_size_limit_is_taken_whole_and_refused_at_its_end() {
    for segment in [1_000, 65_536, 10_000_000] {
        let mut s = with_recipient();
        let smuggled = b"RSET\r\nMAIL FROM:<evil@example.org>\r\n".repeat(60_000);
        send!(s, format!("BDAT 5\r\nA: b\nBDAT {} LAST\r\n", smuggled.len()));
        recv!(s, "250 2.0.0 5 octets so far\r\n");
        assert!(s.server.is_receiving_data());
        for octets in smuggled.chunks(segment) {
            send!(s, octets);
        }
        recv!(s, "552 5.3.4 Message is larger than the 2000000 octets allowed\r\n");
        send!(s, "NOOP\r\n");
        recv!(s, "250 2.0.0 OK\r\n");
        assert_eq!(s.events.last().map(Text::as_str), Some("DataRefused(TooLarge)"));
        assert!(s.messages.is_empty() && s.events.iter().filter(|e| e.starts_with("Mail")).count() == 1);
    }
}

#[test]
fn a_chunk_that_the_driver_refuses_is_taken_before_the_answer() {
    // Before the first octet.
    let mut s = with_recipient();
    let (taken, event) = s.server.receive(b"BDAT 6 LAST\r\n");
    let Some(Event::DataStart { question, chunked: true }) = event else { panic!("{event:?}") };
    assert_eq!(taken, 13);
    s.server.refuse(question, &Reply::new(452, EnhancedStatus(4, 3, 1), "Full"));
    recv!(s, "");
    send!(s, "RSET\r\nQUIT\r\n");
    recv!(s, "452 4.3.1 Full\r\n221 2.0.0 Goodbye\r\n");
    // In the middle of it, with more on the way.
    let mut s = with_recipient();
    send!(s, "BDAT 10\r\nabc");
    s.server.abandon_data(&Reply::new(451, EnhancedStatus(4, 3, 0), "Broken"));
    send!(s, "RSET\r\nxBDAT 6\r\nRSET\r\nBDAT 0 LAST\r\n");
    recv!(
        s,
        "451 4.3.0 Broken\r\n503 5.5.1 The message has been refused already\r\n503 5.5.1 The message has been refused already\r\n"
    );
    assert!(!s.events.contains(&"Reset".into()) && s.messages.is_empty());
    send!(s, "MAIL FROM:<a@example.org>\r\n");
    recv!(s, "250 2.1.0 Sender accepted\r\n");
}

#[test]
fn one_message_too_many_for_a_session_is_told_to_come_again() {
    let mut s = greeted();
    for _ in 0..MESSAGES_PER_SESSION_MAX {
        send!(s, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nBDAT 2 LAST\r\nx\n");
    }
    assert_eq!(s.messages.len(), usize::from(MESSAGES_PER_SESSION_MAX));
    s.take_replies();
    send!(s, "MAIL FROM:<a@example.org>\r\n");
    recv!(s, "421 4.5.3 Too many messages in one session, connect again\r\n");
    assert_eq!(s.events.last().map(Text::as_str), Some("Closed(Ours)"));
}

#[test]
fn what_is_not_offered_is_not_understood() {
    let mut s = Session::with(Server::new(Config { offers: Offers::NONE, ..config() }));
    send!(s, "EHLO client.example.org\r\n");
    assert!(["CHUNKING", "BINARY", "UTF8", "LIMITS"].iter().all(|w| !s.take_replies().contains(w)));
    send!(s, "MAIL FROM:<a@example.org> SMTPUTF8\r\nMAIL FROM:<a@example.org> BODY=BINARYMIME\r\n");
    recv!(s, "555 5.5.4 Parameter not recognised or not implemented\r\n".repeat(2));
    send!(s, "BDAT 4 LAST\r\nQUIT");
    recv!(s, "502 5.5.1 BDAT was not offered\r\n");
    assert!(s.server.is_closed());
}

#[test]
fn a_sloppy_client_is_understood_where_that_is_allowed() {
    let repairing = || Config { repair: true, ..config() };
    for (line, keyword) in [
        (&b"EHLO\r\n"[..], "250-"),
        (b"EHLO my pc\r\n", "250-"),
        (b"ehlo \xFCmlaut\r\n", "250-"),
        (b"HELO\r\n", "250 "),
        (b"HELO a@b, c\r\n", "250 "),
    ] {
        let mut server = Server::new(repairing());
        let greeting = server.transmit().len();
        server.transmitted(greeting);
        let (_, event) = server.receive(line);
        assert!(matches!(event, Some(Event::Hello)), "{line:?}");
        assert_eq!(server.helo(), "unknown");
        assert!(server.transmit().starts_with(keyword.as_bytes()), "{line:?}");
        let mut strict = Server::new(config());
        assert!(!matches!(strict.receive(line).1, Some(Event::Hello)), "{line:?}");
    }
    // Nothing but the name is mended.
    let mut server = Server::new(repairing());
    for line in [&b"VRFY\r\n"[..], b"HELOX a\r\n", b"EHLO a\nb\r\n", b"EHLO\0\r\n"] {
        assert!(server.receive(line).1.is_none(), "{line:?}");
    }
}
