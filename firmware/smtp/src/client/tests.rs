use super::*;
use alloc::{format, string::String, string::ToString, vec, vec::Vec as Heap};
use proptest::prelude::*;

/// A client with a driver that hands over recipients and content.
struct Connection {
    client: Client,
    recipients: Heap<(Mailbox, RecipientParameters)>,
    handed: usize,
    content: Heap<u8>,
    /// Octets of content that are handed over at once.
    piece: usize,
    sent: Heap<u8>,
    events: Heap<String>,
    /// Octets of the output that are written at once.
    write: usize,
}

impl Connection {
    fn new() -> Self {
        Self {
            client: Client::new("gate.example.com".into()),
            recipients: vec![],
            handed: 0,
            content: b"Subject: x\r\n\r\n.dot\r\n".to_vec(),
            piece: usize::MAX,
            sent: vec![],
            events: vec![],
            write: usize::MAX,
        }
    }

    /// What the peer sends in one segment.
    fn segment(&mut self, octets: &[u8]) {
        let mut rest = octets;
        loop {
            let (taken, event) = self.client.receive(rest);
            rest = &rest[taken..];
            if let Some(event) = event {
                self.handle(event);
                continue;
            }
            if self.client.transmit().is_empty() || self.client.is_closed() {
                break;
            }
            let count = self.client.transmit().len().min(self.write);
            self.sent.extend_from_slice(&self.client.transmit()[..count]);
            self.client.transmitted(count);
        }
        self.sent.extend_from_slice(self.client.transmit());
        let count = self.client.transmit().len();
        self.client.transmitted(count);
        assert!(rest.is_empty() || self.client.is_closed());
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::WantRecipient(question) => {
                match self.recipients.get(self.handed) {
                    Some((mailbox, dsn)) => {
                        if !self.client.recipient(question, mailbox, dsn) {
                            self.events.push(format!("not asked: {mailbox}"));
                        }
                    }
                    None => self.client.no_more_recipients(question),
                }
                self.handed += 1;
            }
            Event::WantContent => {
                self.events.push("WantContent".into());
                self.sent.extend_from_slice(self.client.transmit());
                self.client.transmitted(self.client.transmit().len());
                let content = self.content.clone();
                for chunk in content.chunks(self.piece) {
                    let mut rest = chunk;
                    while !rest.is_empty() {
                        match self.client.content(rest) {
                            Ok(piece) => {
                                self.sent.extend_from_slice(piece.send);
                                rest = &rest[piece.taken..];
                            }
                            Err(error) => {
                                self.events.push(format!("{error:?}"));
                                return;
                            }
                        }
                    }
                }
                if let Err(error) = self.client.content_end() {
                    self.events.push(format!("{error:?}"));
                }
            }
            Event::Recipient { index, outcome } => {
                self.events.push(match outcome {
                    RecipientOutcome::Accepted => format!("{index} accepted"),
                    RecipientOutcome::Refused(reply) => format!("{index} refused: {reply}"),
                    RecipientOutcome::TooManyRecipients(reply) => format!("{index} too many: {reply}"),
                });
            }
            Event::Message(outcome) => self.events.push(match outcome {
                MessageOutcome::Delivered(reply) => format!("delivered: {reply}"),
                MessageOutcome::Refused(reply) => format!("refused: {reply}"),
                MessageOutcome::NoRecipients => "no recipients".into(),
            }),
            Event::Ready => self.events.push("ready".into()),
            Event::Closed(End::Refused(reply)) => self.events.push(format!("closed: {reply}")),
            Event::Closed(end) => self.events.push(format!("closed: {end:?}")),
        }
    }

    fn begin(&mut self, recipients: &[&str]) {
        let plain = |r: &&str| (Mailbox::parse(r).expect("valid"), RecipientParameters::default());
        self.begin_with(SenderParameters::default(), recipients.iter().map(plain).collect());
    }

    fn begin_with(&mut self, dsn: SenderParameters, recipients: Heap<(Mailbox, RecipientParameters)>) {
        (self.recipients, self.handed) = (recipients, 0);
        let transaction = Transaction {
            sender: ReversePath::parse("a@example.org").expect("valid"),
            size: self.content.len() as u64,
            body: Body::EightBitMime,
            utf8: Utf8::No,
            dsn,
        };
        self.client.begin(&transaction).expect("ready");
        self.segment(b"");
    }

    fn take_sent(&mut self) -> String {
        String::from_utf8(core::mem::take(&mut self.sent)).expect("text")
    }

    fn take_events(&mut self) -> Heap<String> {
        core::mem::take(&mut self.events)
    }
}

macro_rules! send {
    ($connection:expr, $octets:expr) => {
        $connection.segment($octets.as_ref())
    };
}

macro_rules! recv {
    ($connection:expr, $octets:expr) => {
        assert_eq!($connection.take_sent(), $octets)
    };
}

macro_rules! events {
    ($connection:expr $(, $event:expr)*) => {
        assert_eq!($connection.take_events(), Heap::<String>::from([$($event.to_string()),*]))
    };
}

const MAIL: &str = "MAIL FROM:<a@example.org>\r\n";

/// A connection that is ready, to a peer that offers what is given.
fn ready(offers: &str) -> Connection {
    let mut c = Connection::new();
    send!(c, "220 mx.example.net ESMTP\r\n");
    recv!(c, "EHLO gate.example.com\r\n");
    send!(c, format!("250-mx.example.net\r\n{offers}250 HELP\r\n"));
    events!(c, "ready");
    c
}

#[test]
fn a_letter_is_handed_over_step_by_step() {
    let mut c = ready("");
    assert!(c.client.capabilities().extended);
    c.begin(&["b@example.net", "c@example.net"]);
    recv!(c, MAIL);
    send!(c, "250 OK\r\n");
    recv!(c, "RCPT TO:<b@example.net>\r\n");
    send!(c, "250 OK\r\n");
    recv!(c, "RCPT TO:<c@example.net>\r\n");
    send!(c, "550 5.1.1 Unknown\r\n");
    recv!(c, "DATA\r\n");
    assert_eq!(c.client.timeout_s(), CLIENT_DATA_TIMEOUT_S);
    assert!(!c.client.is_in_doubt());
    send!(c, "354 go\r\n");
    recv!(c, "Subject: x\r\n\r\n..dot\r\n.\r\n");
    assert!(c.client.is_in_doubt());
    assert_eq!(c.client.timeout_s(), CLIENT_END_TIMEOUT_S);
    send!(c, "250 2.0.0 Ok: queued as 1\r\n");
    events!(
        c,
        "0 accepted",
        "1 refused: 550 5.1.1 Unknown",
        "WantContent",
        "delivered: 250 2.0.0 Ok: queued as 1",
        "ready"
    );
    assert!(!c.client.is_in_doubt());
    c.client.quit();
    send!(c, "");
    recv!(c, "QUIT\r\n");
    send!(c, "221 bye\r\n");
    events!(c, "closed: Quit");
}

#[test]
fn a_pipelining_peer_gets_the_envelope_at_once_and_the_connection_is_used_again() {
    let mut c = ready("250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n");
    for _ in 0..3 {
        c.begin(&["b@example.net", "c@example.net"]);
        recv!(
            c,
            "MAIL FROM:<a@example.org> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<b@example.net>\r\n\
             RCPT TO:<c@example.net>\r\nDATA\r\n"
        );
        send!(c, "250 2.1.0 OK\r\n250 2.1.5 OK\r\n250 2.1.5 OK\r\n354 go\r\n");
        recv!(c, "Subject: x\r\n\r\n..dot\r\n.\r\n");
        send!(c, "250 2.0.0 OK\r\n");
        events!(c, "0 accepted", "1 accepted", "WantContent", "delivered: 250 2.0.0 OK", "ready");
    }
}

#[test]
fn what_the_sender_asked_of_reports_is_passed_on_where_the_peer_takes_it() {
    use envelope::{EnvelopeId, Notify, OriginalRecipient, Return};
    let sender =
        SenderParameters { ret: Some(Return::Headers), envelope_id: EnvelopeId::parse(b"QQ+2B1").ok() };
    let asked = RecipientParameters {
        notify: Notify::parse(b"failure,SUCCESS").ok(),
        original: OriginalRecipient::parse(b"rfc822;B+2Bx@Example.net").ok(),
    };
    assert!(asked.notify.is_some() && asked.original.is_some() && sender.envelope_id.is_some());
    let b = || (Mailbox::parse("b@example.net").expect("valid"), asked.clone());
    let c_ = || (Mailbox::parse("c@example.net").expect("valid"), RecipientParameters::default());
    let mut c = ready("250-PIPELINING\r\n250-DSN\r\n");
    assert!(c.client.capabilities().dsn);
    c.begin_with(sender.clone(), vec![b(), c_()]);
    recv!(
        c,
        "MAIL FROM:<a@example.org> RET=HDRS ENVID=QQ+2B1\r\n\
         RCPT TO:<b@example.net> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;B+2Bx@Example.net\r\n\
         RCPT TO:<c@example.net>\r\nDATA\r\n"
    );
    let mut c = ready("250-PIPELINING\r\n250-XDSN\r\n");
    assert!(!c.client.capabilities().dsn);
    c.begin_with(sender.clone(), vec![b()]);
    recv!(c, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
}

#[test]
fn the_longest_commands_go_out_whole() {
    use envelope::{EnvelopeId, Notify, OriginalRecipient, Return};
    let labels = ["d".repeat(63), "d".repeat(63), "d".repeat(63), "d".repeat(63)].join(".");
    let mailbox = Mailbox::parse(&format!("{}@{labels}", "l".repeat(64))).expect("valid");
    let sender =
        SenderParameters { ret: Some(Return::Full), envelope_id: EnvelopeId::parse(&[b'e'; 100]).ok() };
    let asked = RecipientParameters {
        notify: Notify::parse(b"SUCCESS,FAILURE,DELAY").ok(),
        original: OriginalRecipient::parse(format!("rfc822;{}", "o".repeat(493)).as_bytes()).ok(),
    };
    let mut c = ready("250-PIPELINING\r\n250-DSN\r\n250-SIZE\r\n250-8BITMIME\r\n");
    let transaction = Transaction {
        sender: ReversePath::Mailbox(mailbox.clone()),
        size: u64::MAX,
        body: Body::EightBitMime,
        utf8: Utf8::No,
        dsn: sender,
    };
    c.recipients = vec![(mailbox, asked); 40];
    c.client.begin(&transaction).expect("ready");
    send!(c, "");
    let sent = c.take_sent();
    assert_eq!(sent.lines().count(), 42);
    assert!(sent.lines().all(|line| line.len() <= CLIENT_COMMAND_BYTES_MAX));
    assert!(sent.lines().skip(1).take(40).all(|line| line.ends_with(&"o".repeat(493))));
}

#[test]
fn a_peer_without_ehlo_gets_helo() {
    let mut c = Connection::new();
    send!(c, "220 old\r\n");
    recv!(c, "EHLO gate.example.com\r\n");
    send!(c, "502 what?\r\n");
    recv!(c, "HELO gate.example.com\r\n");
    send!(c, "250 hi\r\n");
    events!(c, "ready");
    assert_eq!(c.client.capabilities(), Capabilities::default());
    c.begin(&["b@example.net"]);
    recv!(c, MAIL);
}

#[test]
fn peers_that_refuse_service_are_left_politely() {
    let mut c = Connection::new();
    send!(c, "554 5.7.1 Not\r\n");
    recv!(c, "QUIT\r\n");
    events!(c, "closed: 554 5.7.1 Not");
    let mut c = Connection::new();
    send!(c, "421 4.3.2 Busy\r\n");
    recv!(c, "");
    events!(c, "closed: 421 4.3.2 Busy");
    let mut c = Connection::new();
    send!(c, "220 x\r\n");
    send!(c, "550 5.7.1 No\r\n");
    send!(c, "550 5.7.1 No\r\n");
    recv!(c, "EHLO gate.example.com\r\nHELO gate.example.com\r\nQUIT\r\n");
    events!(c, "closed: 550 5.7.1 No");
}

#[test]
fn multi_line_replies_of_any_text_are_read() {
    let mut c = Connection::new();
    send!(c, &b"220-Welcome \xFF\xFE to\n220-\r\n220 the \x1b[2J \xC3\xA4 machine\r\n"[..]);
    recv!(c, "EHLO gate.example.com\r\n");
    send!(c, "250-mx\r\n250-size\r\n250-Pipelining x y\r\n250\r\n");
    let capabilities = c.client.capabilities();
    assert!(capabilities.pipelining && capabilities.size && capabilities.size_max.is_none());
    c.begin(&["b@example.net"]);
    send!(c, "550-5.7.1 One\r\n550-5.7.1 two \x1b]\r\n550 5.7.1 three\r\n503 x\r\n503 y\r\n");
    events!(c, "ready", "refused: 550 5.7.1 One two ?] three", "ready");
}

#[test]
fn text_of_a_reply_is_bounded() {
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    send!(c, format!("550-{0}\r\n550 {0}\r\n", "long ".repeat(100)));
    let events = c.take_events();
    assert!(events[0].len() < 280 && events[0].starts_with("refused: 550 long long"));
}

#[test]
fn a_refused_sender_ends_the_transaction_whatever_comes_behind() {
    let mut c = ready("250-PIPELINING\r\n");
    c.begin(&["b@example.net"]);
    recv!(c, format!("{MAIL}RCPT TO:<b@example.net>\r\nDATA\r\n"));
    send!(c, "451 4.7.1 Later\r\n503 5.5.1 no\r\n503 5.5.1 no\r\n");
    events!(c, "refused: 451 4.7.1 Later", "ready");
    recv!(c, "");
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    send!(c, "550 5.7.1 No\r\n");
    events!(c, "refused: 550 5.7.1 No", "ready");
    recv!(c, MAIL);
}

#[test]
fn all_recipients_refused_and_data_too() {
    let mut c = ready("250-PIPELINING\r\n");
    c.begin(&["b@example.net"]);
    c.take_sent();
    send!(c, "250 OK\r\n550 5.1.1 No\r\n554 5.5.1 No valid recipients\r\n");
    events!(c, "0 refused: 550 5.1.1 No", "no recipients");
    recv!(c, "RSET\r\n");
    send!(c, "250 OK\r\n");
    events!(c, "ready");
}

#[test]
fn all_recipients_refused_but_data_is_let_in_gets_the_lone_dot() {
    let mut c = ready("250-PIPELINING\r\n");
    c.begin(&["b@example.net"]);
    c.take_sent();
    send!(c, "250 OK\r\n550 5.1.1 No\r\n354 go\r\n");
    events!(c, "0 refused: 550 5.1.1 No", "no recipients");
    recv!(c, ".\r\n");
    send!(c, "554 5.5.1 No valid recipients\r\n");
    events!(c, "ready");
    recv!(c, "");
}

#[test]
fn all_recipients_refused_one_by_one_never_gets_to_data() {
    let mut c = ready("");
    c.begin(&["b@example.net", "c@example.net"]);
    send!(c, "250 OK\r\n");
    send!(c, "550 No\r\n");
    send!(c, "450 4.2.0 Later\r\n");
    recv!(c, format!("{MAIL}RCPT TO:<b@example.net>\r\nRCPT TO:<c@example.net>\r\nRSET\r\n"));
    events!(c, "0 refused: 550 No", "1 refused: 450 4.2.0 Later", "no recipients");
    send!(c, "250 OK\r\n");
    events!(c, "ready");
}

#[test]
fn refused_data_is_the_answer_for_the_accepted_recipients() {
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    send!(c, "250 OK\r\n");
    send!(c, "250 OK\r\n");
    send!(c, "451 4.3.0 Later\r\n");
    events!(c, "0 accepted", "refused: 451 4.3.0 Later");
    send!(c, "250 OK\r\n");
    events!(c, "ready");
    recv!(c, format!("{MAIL}RCPT TO:<b@example.net>\r\nDATA\r\nRSET\r\n"));
}

#[test]
fn a_message_refused_at_its_end_leaves_the_connection_usable() {
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    for reply in ["250 OK\r\n", "250 OK\r\n", "354 go\r\n", "554 5.6.0 No\r\n"] {
        send!(c, reply);
    }
    events!(c, "0 accepted", "WantContent", "refused: 554 5.6.0 No", "ready");
}

#[test]
fn recipients_beyond_the_peers_limit_belong_into_a_further_transaction() {
    let mut c = ready("250-PIPELINING\r\n");
    c.begin(&["b@example.net", "c@example.net", "d@example.net", "e@example.net"]);
    send!(c, "250 OK\r\n452 4.5.3 Too many\r\n250 OK\r\n452 4.3.1 Disk full\r\n452 Too many\r\n354 go\r\n");
    let events = c.take_events();
    assert_eq!(
        events[..4],
        [
            // The first one cannot be one too many: coming again at once would never end.
            "0 refused: 452 4.5.3 Too many",
            "1 accepted",
            "2 refused: 452 4.3.1 Disk full",
            "3 too many: 452 Too many"
        ]
    );
}

#[test]
fn a_peer_that_goes_down_may_say_421_at_any_time() {
    for replies in [
        &["421 4.3.2 x\r\n"][..],
        &["250 OK\r\n", "421 4.3.2 x\r\n"],
        &["250 OK\r\n", "250 OK\r\n", "421 4.3.2 x\r\n"],
        &["250 OK\r\n", "250 OK\r\n", "354 go\r\n", "421 4.3.2 x\r\n"],
    ] {
        let mut c = ready("");
        c.begin(&["b@example.net"]);
        for reply in replies {
            send!(c, reply);
        }
        let events = c.take_events();
        assert_eq!(events.last().map(String::as_str), Some("closed: 421 4.3.2 x"));
        assert_eq!(events.contains(&"refused: 421 4.3.2 x".to_string()), replies.len() == 4);
        assert!(c.client.is_closed() && !c.client.is_in_doubt());
    }
    let mut c = ready("");
    send!(c, "421 4.4.2 Idle for too long\r\n");
    events!(c, "closed: 421 4.4.2 Idle for too long");
}

#[test]
fn replies_to_nothing_break_the_protocol() {
    // What somebody put behind the greeting is no answer to EHLO.
    let mut c = Connection::new();
    send!(c, "220 x\r\n250-evil\r\n250 PIPELINING\r\n");
    events!(c, "closed: Protocol(Unasked)");
    let mut c = ready("");
    send!(c, "250 OK\r\n");
    events!(c, "closed: Protocol(Unasked)");
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    send!(c, "250 OK\r\n250 OK\r\n");
    events!(c, "closed: Protocol(Unasked)");
    let mut c = ready("250-PIPELINING\r\n");
    c.begin(&["b@example.net"]);
    send!(c, "250 OK\r\n250 OK\r\n354 go\r\n250 OK\r\n");
    // The content was handed over as soon as it was asked for, so only its end tells.
    assert!(c.take_events().contains(&"WantContent".to_string()));
}

#[test]
fn a_reply_that_comes_while_its_command_is_half_written_is_unasked() {
    let mut client = Client::new("gate.example.com".into());
    assert!(matches!(client.receive(b"220 x\r\n"), (7, None)));
    client.transmitted(client.transmit().len() - 1);
    assert!(matches!(client.receive(b"250 x\r\n").1, Some(Event::Closed(End::Protocol(Breach::Unasked)))));
}

#[test]
fn a_refusal_in_the_midst_of_content_ends_the_connection() {
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    send!(c, "250 OK\r\n");
    send!(c, "250 OK\r\n");
    let (_, event) = c.client.receive(b"354 go\r\n");
    assert!(matches!(event, Some(Event::Recipient { .. }) | Some(Event::WantContent)));
    let mut last = event;
    while !matches!(last, Some(Event::WantContent)) {
        last = c.client.receive(b"").1;
    }
    assert_eq!(c.client.timeout_s(), CLIENT_CONTENT_TIMEOUT_S);
    assert_eq!(c.client.content(b"text\r\n").map(|p| p.taken), Ok(6));
    c.take_events();
    send!(c, "552 5.3.4 Too large\r\n");
    events!(c, "refused: 552 5.3.4 Too large", "closed: 552 5.3.4 Too large");
    assert_eq!(c.client.content(b"more\r\n"), Ok(Piece { send: &[], taken: 6 }));
    assert_eq!(c.client.content_end(), Ok(()));
    assert!(c.client.transmit().is_empty());
}

#[test]
fn replies_that_are_none_break_the_protocol() {
    for (reply, end) in [
        ("hello\r\n", "MalformedReply"),
        ("\r\n", "MalformedReply"),
        ("25\r\n", "MalformedReply"),
        ("2500 OK\r\n", "MalformedReply"),
        ("150 OK\r\n", "MalformedReply"),
        ("650 OK\r\n", "MalformedReply"),
        ("250-a\r\n220 b\r\n", "CodeChanged"),
        ("354 go\r\n", "WrongCode(354)"),
    ] {
        let mut c = ready("");
        c.begin(&["b@example.net"]);
        send!(c, reply);
        events!(c, format!("closed: Protocol({end})"));
    }
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    send!(c, "250 ".to_string() + &"x".repeat(2_000));
    events!(c, "closed: Protocol(ReplyTooLong)");
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    send!(c, "250-x\r\n".repeat(1_000));
    events!(c, "closed: Protocol(ReplyTooLong)");
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    for reply in ["250 OK\r\n", "250 OK\r\n", "250 OK\r\n"] {
        send!(c, reply);
    }
    assert_eq!(c.take_events().last().map(String::as_str), Some("closed: Protocol(WrongCode(250))"));
}

#[test]
fn a_message_above_the_peers_maximum_is_not_tried() {
    let mut c = ready("250-SIZE 19\r\n");
    let transaction = Transaction {
        sender: ReversePath::Null,
        size: 20,
        body: Body::SevenBit,
        utf8: Utf8::No,
        dsn: SenderParameters::default(),
    };
    assert_eq!(c.client.begin(&transaction), Err(BeginError::TooLarge(19)));
    assert_eq!(c.client.begin(&Transaction { size: 19, ..transaction.clone() }), Ok(()));
    assert_eq!(c.client.begin(&transaction), Err(BeginError::NotReady));
    send!(c, "");
    recv!(c, "MAIL FROM:<> SIZE=19\r\n");
}

const BINARY: &str = "250-PIPELINING\r\n250-CHUNKING\r\n250-BINARYMIME\r\n";

fn binary(content: &[u8]) -> Transaction {
    Transaction {
        sender: ReversePath::parse("a@example.org").expect("valid"),
        size: content.len() as u64,
        body: Body::BinaryMime,
        utf8: Utf8::No,
        dsn: SenderParameters::default(),
    }
}

#[test]
fn binary_content_goes_by_bdat_octet_for_octet() {
    let content = b"lone\nends\r.\r\n.\r\n\0\xFF".to_vec();
    for piece in [1, 3, 100] {
        let mut c = ready(BINARY);
        (c.content, c.piece) = (content.clone(), piece);
        let b = Mailbox::parse("b@example.net").expect("valid");
        c.recipients = vec![(b, RecipientParameters::default())];
        c.client.begin(&binary(&content)).expect("ready");
        send!(c, "");
        let mut sent = core::mem::take(&mut c.sent);
        assert!(sent.ends_with(b"BODY=BINARYMIME\r\nRCPT TO:<b@example.net>\r\n"));
        send!(c, "250 OK\r\n250 OK\r\n");
        events!(c, "0 accepted", "WantContent");
        sent = core::mem::take(&mut c.sent);
        assert_eq!(sent, [&format!("BDAT {} LAST\r\n", content.len()).into_bytes()[..], &content].concat());
        assert!(c.client.is_in_doubt());
        send!(c, "250 2.0.0 Taken\r\n");
        events!(c, "delivered: 250 2.0.0 Taken", "ready");
    }
}

#[test]
fn binary_content_is_not_begun_where_it_is_not_taken() {
    for offers in ["", "250-CHUNKING\r\n", "250-BINARYMIME\r\n"] {
        let mut c = ready(offers);
        assert_eq!(c.client.begin(&binary(b"x")), Err(BeginError::BinaryNotOffered));
        assert!(c.client.is_ready() && c.client.transmit().is_empty());
    }
}

#[test]
fn a_chunk_of_another_size_than_was_said_drops_the_connection() {
    for (said, given) in [(3, 2), (3, 4)] {
        let mut c = ready(BINARY);
        c.content = vec![b'x'; given];
        let b = Mailbox::parse("b@example.net").expect("valid");
        c.recipients = vec![(b, RecipientParameters::default())];
        c.client.begin(&binary(&vec![0; said])).expect("ready");
        send!(c, "");
        send!(c, "250 OK\r\n250 OK\r\n");
        assert!(c.take_events().contains(&"closed: Content(WrongSize)".into()));
        assert!(!c.client.is_in_doubt());
    }
}

#[test]
fn a_chunk_for_nobody_is_not_sent_and_one_that_is_refused_leaves_the_connection_usable() {
    let mut c = ready(BINARY);
    let b = || vec![(Mailbox::parse("b@example.net").expect("valid"), RecipientParameters::default())];
    c.recipients = b();
    c.client.begin(&binary(&c.content)).expect("ready");
    send!(c, "");
    send!(c, "250 OK\r\n550 5.1.1 No\r\n");
    events!(c, "0 refused: 550 5.1.1 No", "no recipients");
    assert!(c.take_sent().ends_with("RSET\r\n"));
    send!(c, "250 OK\r\n");
    events!(c, "ready");
    (c.recipients, c.handed) = (b(), 0);
    c.client.begin(&binary(&c.content)).expect("ready");
    send!(c, "");
    send!(c, "250 OK\r\n250 OK\r\n");
    send!(c, "552 5.3.4 Too large\r\n");
    events!(c, "0 accepted", "WantContent", "refused: 552 5.3.4 Too large", "ready");
}

#[test]
fn utf8_is_said_where_it_is_offered_and_never_sent_where_it_is_not() {
    let utf8 = |sender: &str, utf8| Transaction {
        sender: ReversePath::parse(sender).expect("valid"),
        size: 1,
        body: Body::SevenBit,
        utf8,
        dsn: SenderParameters::default(),
    };
    let mut c = ready("250-SMTPUTF8\r\n");
    c.client.begin(&utf8("b\u{fc}ro@b\u{fc}cher.example", Utf8::Offered)).expect("ready");
    send!(c, "");
    recv!(c, "MAIL FROM:<b\u{fc}ro@xn--bcher-kva.example> SMTPUTF8\r\n");
    let mut c = ready("");
    assert_eq!(
        c.client.begin(&utf8("b\u{fc}ro@example.org", Utf8::Offered)),
        Err(BeginError::Utf8NotOffered)
    );
    assert_eq!(c.client.begin(&utf8("a@example.org", Utf8::Needed)), Err(BeginError::Utf8NotOffered));
    // What is ASCII after all goes on; a domain always is.
    c.recipients = ["b\u{fc}ro@example.net", "office@b\u{fc}cher.example"]
        .map(|r| (Mailbox::parse(r).expect("valid"), RecipientParameters::default()))
        .to_vec();
    c.client.begin(&utf8("a@b\u{fc}cher.example", Utf8::Offered)).expect("ready");
    send!(c, "");
    send!(c, "250 OK\r\n");
    events!(c, "not asked: b\u{fc}ro@example.net");
    recv!(c, "MAIL FROM:<a@xn--bcher-kva.example>\r\nRCPT TO:<office@xn--bcher-kva.example>\r\n");
}

#[test]
fn limits_and_private_keywords_of_a_peer_are_told_apart() {
    let c = ready(
        "250-X-EXPS GSSAPI NTLM\r\n250-XEXCH50\r\n250-XRDST\r\n250-XSHADOW abc\r\n250-CHUNKING\r\n250-X-LINK2STATE\r\n\
         250-limits RCPTMAX=20 mailmax=3 RCPTDOMAINMAX=1 OTHER=5 RCPTMAX\r\n250-SMTPUTF8\r\n",
    );
    let offered = c.client.capabilities();
    assert_eq!((offered.recipients_max, offered.messages_max), (Some(20), Some(3)));
    assert_eq!(offered.recipient_domains_max, Some(1));
    assert!(offered.chunking && offered.smtp_utf8 && !offered.binary_mime);
    let offered = ready("250-LIMITS RCPTMAX=0 MAILMAX=x RCPTDOMAINMAX=99999999999\r\n").client.capabilities();
    assert_eq!(
        (offered.recipients_max, offered.messages_max, offered.recipient_domains_max),
        (None, None, None)
    );
}

#[test]
fn silence_and_hanging_up_end_the_connection() {
    let mut c = ready("");
    c.client.timed_out();
    send!(c, "");
    events!(c, "closed: TimedOut");
    let mut c = ready("");
    c.begin(&["b@example.net"]);
    c.client.disconnected();
    c.client.disconnected();
    send!(c, "");
    events!(c, "closed: Disconnected");
    let mut c = ready("");
    c.client.quit();
    send!(c, "");
    c.client.disconnected();
    send!(c, "");
    events!(c, "closed: Quit");
}

#[test]
fn a_thousand_recipients_go_out_within_the_window() {
    let mut c = ready("250-PIPELINING\r\n");
    let names: Heap<String> = (0..1_000).map(|n| format!("recipient-number-{n}@example.net")).collect();
    c.begin(&names.iter().map(String::as_str).collect::<Heap<_>>());
    let mut rounds = 0;
    let mut accepted = 0;
    while accepted < 1_000 {
        let commands = c.take_sent();
        let lines = commands.matches("\r\n").count();
        assert!(lines > 0 && lines <= PIPELINED_COMMANDS_MAX);
        accepted += commands.matches("RCPT").count();
        rounds += 1;
        let data = commands.contains("DATA\r\n");
        send!(c, "250 OK\r\n".repeat(lines - usize::from(data)));
        if data {
            send!(c, "354 go\r\n");
        }
    }
    if !c.events.contains(&"WantContent".to_string()) {
        recv!(c, "DATA\r\n");
        send!(c, "354 go\r\n");
    }
    assert!(rounds < 30, "{rounds}");
    assert_eq!(c.events.iter().filter(|e| e.ends_with("accepted")).count(), 1_000);
}

/// What goes over the wire for `content`, or the error.
fn wire(content: &[u8], piece: usize) -> Result<Heap<u8>, ContentError> {
    let mut stuffer = Stuffer::new();
    let mut out = vec![];
    for chunk in content.chunks(piece) {
        let mut rest = chunk;
        while !rest.is_empty() {
            let piece = stuffer.next(rest)?;
            out.extend_from_slice(piece.send);
            rest = &rest[piece.taken..];
        }
    }
    if stuffer.is_at_line_start() { Ok(out) } else { Err(ContentError::Unterminated) }
}

#[test]
fn dots_are_stuffed_at_every_line_start_and_nowhere_else() {
    for (content, expected) in [
        ("", ""),
        (".\r\n", "..\r\n"),
        ("..\r\n.\r\na.\r\n.", "...\r\n..\r\na.\r\n.."),
        ("\r\n\r\n.x\r\n", "\r\n\r\n..x\r\n"),
    ] {
        for piece in 1..10 {
            let content = content.trim_end_matches('.');
            let expected = expected.trim_end_matches('.');
            assert_eq!(wire(content.as_bytes(), piece), Ok(expected.into()), "{content:?}");
        }
    }
}

#[test]
fn content_that_is_no_lines_never_leaves() {
    for (content, error) in [
        ("a\nb\r\n", ContentError::BareLf),
        ("\n", ContentError::BareLf),
        ("a\rb\r\n", ContentError::BareCr),
        ("a\r\r\n", ContentError::BareCr),
        (".\n", ContentError::BareLf),
        (".\r.\r\n", ContentError::BareCr),
        ("a\0\r\n", ContentError::Nul),
        ("a", ContentError::Unterminated),
        ("a\r", ContentError::Unterminated),
        (".", ContentError::Unterminated),
    ] {
        for piece in 1..10 {
            assert_eq!(wire(content.as_bytes(), piece), Err(error), "{content:?}");
        }
        let mut c = ready("");
        c.content = content.as_bytes().to_vec();
        c.begin(&["b@example.net"]);
        for reply in ["250 OK\r\n", "250 OK\r\n", "354 go\r\n"] {
            send!(c, reply);
        }
        let events = c.take_events();
        assert_eq!(events.last(), Some(&format!("closed: Content({error:?})")));
        assert!(!c.take_sent().ends_with("\r\n.\r\n"));
    }
}

#[test]
fn the_server_machine_reads_what_the_client_machine_writes() {
    use crate::server::{Config, Event as Told, Server};
    let content: Heap<u8> = (0..2_000u32)
        .flat_map(|n| format!("{}line {n}\r\n", ".".repeat(n as usize % 4)).into_bytes())
        .collect();
    let mut server = Server::new(Config::new("mx.example.net".into(), 1_000_000));
    let mut c = Connection::new();
    c.content = content.clone();
    let mut got = vec![];
    let mut begun = false;
    for _ in 0..50 {
        let replies = server.transmit().to_vec();
        server.transmitted(replies.len());
        c.segment(&replies);
        if !begun && c.events.contains(&"ready".to_string()) {
            begun = true;
            c.begin(&["b@example.net", "\"odd one\"@example.net"]);
        }
        let octets = core::mem::take(&mut c.sent);
        let mut at = 0;
        while let (taken, event) = server.receive(&octets[at..])
            && (taken > 0 || event.is_some())
        {
            at += taken;
            match event {
                Some(
                    Told::Mail { question, .. }
                    | Told::Rcpt { question, .. }
                    | Told::DataStart { question, .. }
                    | Told::DataEnd { question, .. },
                ) => server.accept(question),
                Some(Told::Data(octets)) => got.extend_from_slice(octets),
                _ => {}
            }
        }
    }
    assert!(c.events.iter().any(|e| e.starts_with("delivered: 250 2.0.0")), "{:?}", c.events);
    assert_eq!(got, content);
}

fn fixed_seed(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(5_321),
        ..ProptestConfig::default()
    }
}

/// Pieces that peers' words are made of, good and bad.
fn replies() -> impl Strategy<Value = Heap<u8>> {
    prop_oneof![
        5 => Just(b"250 2.0.0 OK\r\n".to_vec()),
        1 => Just(b"250-mx\r\n250-PIPELINING\r\n250 SIZE\r\n".to_vec()),
        1 => Just(b"220 x\r\n".to_vec()),
        2 => Just(b"354 go\r\n".to_vec()),
        1 => Just(b"550 5.1.1 No\r\n".to_vec()),
        1 => Just(b"452 4.5.3 No\r\n".to_vec()),
        1 => Just(b"421 4.3.2 Down\r\n".to_vec()),
        1 => Just(b"250-".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..10),
    ]
}

proptest! {
    #![proptest_config(fixed_seed(1_000))]

    #[test]
    fn the_pieces_of_replies_change_nothing(
        replies in proptest::collection::vec(replies(), 0..30),
        cuts in proptest::collection::vec(1..20usize, 1..20),
        write in 1..40usize,
    ) {
        let run = |segments: &dyn Fn(&[u8]) -> Heap<Heap<u8>>, write: usize| {
            let mut c = Connection::new();
            c.write = write;
            send!(c, "220 x\r\n");
            send!(c, "250-mx\r\n250 PIPELINING\r\n");
            c.begin(&["b@example.net", "c@example.net"]);
            for reply in &replies {
                for segment in segments(reply) {
                    c.segment(&segment);
                }
                if matches!(c.client.state, State::Ready) {
                    c.begin(&["d@example.net"]);
                }
            }
            (c.sent, c.events)
        };
        let whole = run(&|reply| vec![reply.to_vec()], usize::MAX);
        let cut = run(&|reply| reply.chunks(cuts[reply.len() % cuts.len()]).map(<[u8]>::to_vec).collect(), write);
        prop_assert_eq!(cut, whole);
    }

    #[test]
    fn any_content_leaves_as_lines_or_not_at_all(
        content in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'x'), Just(b'x')], 0..30),
        piece in 1..30usize,
    ) {
        let whole = wire(&content, usize::MAX);
        prop_assert_eq!(&wire(&content, piece), &whole);
        if let Ok(octets) = whole {
            let mut with_end = b"\r\n".to_vec();
            with_end.extend_from_slice(&octets);
            prop_assert!(!with_end.windows(3).any(|w| w == b"\n.\r"));
        }
    }

    #[test]
    fn any_replies_do_no_harm(octets in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let mut c = Connection::new();
        c.segment(&octets);
    }
}
