//! Malformed SMTP sessions as data: what a bad client sends, and what it must get for it.
//!
//! The list is written once and run three times: against the server machine in every segmentation, against the
//! whole appliance in the simulator, and against the real image over TCP. Every session starts after the
//! greeting, from a network that may relay; senders are at `example.org`, recipients at `example.net`.
#![forbid(unsafe_code)]

mod bdat;

/// One thing that the client does.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends these octets, in whatever segments. The client must read while it writes: replies may come before
    /// all is sent.
    Send(Vec<u8>),
    /// Reads one reply (all its lines) and compares the start of its last line with each of these; one must fit.
    Expect(&'static [&'static str]),
    /// Reads so many replies, each of which must fit.
    ExpectMany(usize, &'static [&'static str]),
}

/// How the session ends after its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The session is usable: `QUIT` gets `221` and the server closes.
    Usable,
    /// The server has closed, or closes now, without a further reply.
    Closed,
    /// The client closes its side in good order without QUIT.
    ClientCloses,
    /// The client disappears: it never sends anything again, not even an end mark.
    ClientVanishes,
}

/// One malformed session.
#[derive(Clone, Debug)]
pub struct Session {
    /// What is wrong, as an identifier.
    pub name: &'static str,
    /// What the client does.
    pub steps: Vec<Step>,
    /// How it ends.
    pub ending: Ending,
    /// Messages that the appliance accepts with `250` in this session.
    pub accepted: usize,
}

/// The smuggling variants: what stands before and after the lone dot. The first of each is the legal one; the
/// other 24 combinations must never end the content.
pub const AROUND_THE_DOT: [[&[u8]; 5]; 2] =
    [[b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\n\0"], [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\0\r\n"]];

const HELLO: &str = "EHLO client.example.org\r\n";
const MAIL: &str = "MAIL FROM:<sender@example.org>\r\n";
const RCPT: &str = "RCPT TO:<recipient@example.net>\r\n";
const HEADER: &str =
    "From: <sender@example.org>\r\nTo: <recipient@example.net>\r\nSubject: malformed session\r\n";

struct Builder(Session);

fn session(name: &'static str) -> Builder {
    Builder(Session { name, steps: Vec::new(), ending: Ending::Usable, accepted: 0 })
}

impl Builder {
    fn send(mut self, octets: impl Into<Vec<u8>>) -> Self {
        self.0.steps.push(Step::Send(octets.into()));
        self
    }

    fn expect(mut self, replies: &'static [&'static str]) -> Self {
        self.0.steps.push(Step::Expect(replies));
        self
    }

    fn expect_many(mut self, count: usize, replies: &'static [&'static str]) -> Self {
        self.0.steps.push(Step::ExpectMany(count, replies));
        self
    }

    /// One line that gets one reply.
    fn line(self, line: &str, reply: &'static [&'static str]) -> Self {
        self.send(line.to_owned() + "\r\n").expect(reply)
    }

    fn hello(self) -> Self {
        self.send(HELLO).expect(&["250 "])
    }

    fn mail(self) -> Self {
        self.hello().send(MAIL).expect(&["250 2.1.0"])
    }

    fn rcpt(self) -> Self {
        self.mail().send(RCPT).expect(&["250 2.1.5"])
    }

    fn data(self) -> Self {
        self.rcpt().send("DATA\r\n").expect(&["354 "])
    }

    /// Content, its end, and the reply to it.
    fn content(self, content: impl AsRef<[u8]>, reply: &'static [&'static str]) -> Self {
        let octets = [HEADER.as_bytes(), content.as_ref(), b"\r\n.\r\n"].concat();
        self.data().send(octets).expect(reply)
    }

    fn ends(mut self, ending: Ending) -> Session {
        self.0.ending = ending;
        self.0
    }

    fn usable(self) -> Session {
        self.ends(Ending::Usable)
    }

    fn accepts(mut self, messages: usize) -> Self {
        self.0.accepted = messages;
        self
    }
}

/// All malformed sessions. Names are unique.
#[must_use]
pub fn sessions() -> Vec<Session> {
    [
        lines(),
        order(),
        addresses(),
        parameters(),
        floods(),
        contents(),
        cut_off(),
        smuggling(),
        bdat::sessions(),
    ]
    .concat()
}

/// Paths, as they stand behind `RCPT TO:`, by which mail has been got through relays that were not meant to be open.
/// From a network that may not relay, each must be refused with `554 5.7.1`, or with 501 where it is malformed.
#[must_use]
pub fn relay_attempts() -> Vec<&'static str> {
    vec![
        "<victim@example.net>",
        "<VICTIM@EXAMPLE.NET>",
        "<victim@localhost>",
        "<victim@stargate.example.com>",
        "<postmaster@example.net>",
        "<victim%example.net@stargate.example.com>",
        "<victim%example.net@localhost>",
        "<victim%example.net@[127.0.0.1]>",
        "<victim%example.net%localhost@stargate.example.com>",
        "<victim%example.net>",
        "<example.net!victim@stargate.example.com>",
        "<example.net!victim>",
        "<stargate.example.com!example.net!victim@localhost>",
        "<\"victim@example.net\"@stargate.example.com>",
        "<\"victim%example.net\"@stargate.example.com>",
        "<\"victim@example.net\">",
        "<\"victim\"@example.net>",
        "<\"\\victim\"@example.net>",
        "<\"example.net!victim\"@stargate.example.com>",
        "<victim@example.net@stargate.example.com>",
        "<victim@stargate.example.com@example.net>",
        "<victim\\@example.net@stargate.example.com>",
        "<@stargate.example.com:victim@example.net>",
        "<@localhost:victim@example.net>",
        "<@[127.0.0.1]:victim@example.net>",
        "<@stargate.example.com,@relay.example.net:victim@example.net>",
        "<victim@[127.0.0.1]>",
        "<victim@[10.0.2.15]>",
        "<victim@[IPv6:::1]>",
        "<victim@[example.net]>",
        "<victim@127.0.0.1>",
        "<victim@2130706433>",
        "<victim@example.net.>",
        "<victim@example.net\\>",
        "<victim@example.net,other@example.net>",
        "<victim@example.net>,<other@example.net>",
        "<victim@example.net> ORCPT=rfc822;victim@example.net",
        "<>",
        "<@>",
        "<victim@>",
        "<victim>",
        "victim@example.net",
        "\"victim\" <victim@example.net>",
        "<<victim@example.net>>",
        "<victim@b\u{fc}cher.example>",
        "<victim@xn--bcher-kva.example>",
        "<victim\t@example.net>",
        "<victim@example.net\t@stargate.example.com>",
        "<victim@example.net(comment)@stargate.example.com>",
        "<victim@(comment)example.net>",
    ]
}

mod forms;
pub use forms::{Form, INTERNAL_DOMAIN, OWN_NAME, Reach, address_forms};

/// Lines that are no command lines.
fn lines() -> Vec<Session> {
    vec![
        session("bare_lf_after_a_command").hello().send("NOOP\nNOOP\r\n").expect(&["500 5.5.2"]).usable(),
        session("bare_cr_in_a_command").hello().send("NO\rOP\r\n").expect(&["500 5.5.2"]).usable(),
        session("cr_cr_lf_after_a_command").hello().send("NOOP\r\r\n").expect(&["500 5.5.2"]).usable(),
        session("nul_in_a_command").hello().send(&b"NO\0OP\r\n"[..]).expect(&["500 5.5.2"]).usable(),
        session("commands_with_bare_lf_only")
            .send("EHLO client.example.org\nMAIL FROM:<sender@example.org>\nRCPT TO:<recipient@example.net>\nDATA\n")
            .expect(&["500 5.5.2"])
            .ends(Ending::ClientCloses),
        session("injected_line_in_an_address")
            .mail()
            .send("RCPT TO:<recipient@example.net\nDATA>\r\n")
            .expect(&["500 5.5.2"])
            .usable(),
        session("empty_line").hello().line("", &["500 5.5.2"]).usable(),
        session("unknown_command").hello().line("HAUL example.net", &["500 5.5.2"]).usable(),
        session("octets_above_127_as_a_command")
            .hello()
            .send(&b"\xC3\x84\xD6\xFF \xFE\r\n"[..])
            .expect(&["500 5.5.2"])
            .usable(),
        session("line_longer_than_the_limit")
            .hello()
            .line(&("NOOP ".to_owned() + &"x".repeat(4_000)), &["500 5.5.2"])
            .usable(),
        session("line_of_1_mib")
            .hello()
            .send("NOOP ".to_owned() + &"x".repeat(1 << 20) + "\r\n")
            .expect(&["500 5.5.2"])
            .expect(&["421 4.7.0"])
            .ends(Ending::Closed),
        session("line_without_end_after_a_nul")
            .hello()
            .send([&b"NOOP \0"[..], &b"x".repeat(100_000)].concat())
            .expect(&["500 5.5.2"])
            .expect(&["421 4.7.0"])
            .ends(Ending::Closed),
        session("tls_hello_on_a_plain_port")
            .send(&b"\x16\x03\x01\x00\xA5\x01\x00\x00\xA1\x03\x03\r\n"[..])
            .expect(&["500 5.5.2"])
            .usable(),
        session("http_request")
            .send("GET / HTTP/1.1\r\nHost: mail.example.net\r\n\r\n")
            .expect(&["554 5.7.0"])
            .ends(Ending::Closed),
        session("http_header_as_a_command").line("Host: mail.example.net", &["554 5.7.0"]).ends(Ending::Closed),
    ]
}

/// Commands where they do not belong.
fn order() -> Vec<Session> {
    vec![
        session("mail_before_hello").line("MAIL FROM:<sender@example.org>", &["503 5.5.1"]).usable(),
        session("rcpt_before_mail").hello().line("RCPT TO:<recipient@example.net>", &["503 5.5.1"]).usable(),
        session("data_before_mail").hello().line("DATA", &["503 5.5.1"]).usable(),
        session("data_before_rcpt").mail().line("DATA", &["554 5.5.1"]).usable(),
        session("mail_within_a_transaction")
            .mail()
            .line("MAIL FROM:<other@example.org>", &["503 5.5.1"])
            .usable(),
        session("rcpt_after_rset")
            .rcpt()
            .line("RSET", &["250 2.0.0"])
            .line("RCPT TO:<recipient@example.net>", &["503 5.5.1"])
            .usable(),
        session("data_after_a_new_hello")
            .rcpt()
            .line("EHLO again.example.org", &["250 "])
            .line("DATA", &["503"])
            .usable(),
        session("starttls_that_was_not_offered").hello().line("STARTTLS", &["502 5.5.1"]).usable(),
        session("auth_that_was_not_offered").hello().line("AUTH PLAIN AGEAYg==", &["502 5.5.1"]).usable(),
        session("trust_from_xclient").hello().line("XCLIENT ADDR=127.0.0.1", &["502 5.5.1"]).usable(),
        session("trust_from_xforward").hello().line("XFORWARD NAME=x.example", &["502 5.5.1"]).usable(),
        session("proxy_header")
            .line("PROXY TCP4 127.0.0.1 127.0.0.1 1 25", &["554 5.7.0"])
            .ends(Ending::Closed),
    ]
}

/// Arguments that are no addresses and no names.
fn addresses() -> Vec<Session> {
    let mail = |name, line: &str| session(name).hello().line(line, &["501 5.1.7", "501 5.5.4"]).usable();
    let rcpt = |name, line: &str| session(name).mail().line(line, &["501 5.1.3", "501 5.5.4"]).usable();
    vec![
        session("hello_without_a_name").line("EHLO", &["501 5.5.4"]).usable(),
        session("hello_with_a_header_injection")
            .line("EHLO x (\"]) by evil; <script>", &["501 5.5.4"])
            .usable(),
        session("hello_with_terminal_escapes").line("HELO \x1b[2Jx", &["501 5.5.4"]).usable(),
        session("hello_with_a_name_of_2000_octets")
            .line(&("EHLO ".to_owned() + &"x".repeat(2_000)), &["501 5.5.4"])
            .usable(),
        mail("mail_without_from", "MAIL"),
        mail("mail_without_brackets", "MAIL FROM:sender@example.org"),
        mail("mail_with_an_unclosed_bracket", "MAIL FROM:<sender@example.org"),
        mail("mail_from_two_domains", "MAIL FROM:<a@b@example.org>"),
        mail("mail_from_a_name_with_spaces", "MAIL FROM:<a b@example.org>"),
        mail("mail_from_an_unclosed_quote", "MAIL FROM:<\"a@example.org>"),
        session("mail_from_octets_above_127")
            .hello()
            .line("MAIL FROM:<j\u{fc}rg@example.org>", &["553 5.6.7"])
            .usable(),
        mail("mail_with_text_behind_the_path", "MAIL FROM:<a@example.org>SIZE=1"),
        rcpt("rcpt_to_nobody", "RCPT TO:<>"),
        rcpt("rcpt_without_a_domain", "RCPT TO:<recipient>"),
        rcpt("rcpt_by_a_source_route", "RCPT TO:<@relay.example.org:recipient@example.net>"),
        rcpt("rcpt_to_a_bad_literal", "RCPT TO:<recipient@[300.0.2.1]>"),
        rcpt("rcpt_to_a_domain_with_empty_labels", "RCPT TO:<recipient@example..net>"),
        session("rcpt_to_a_local_part_of_1000_octets")
            .mail()
            .line(&format!("RCPT TO:<{}@example.net>", "x".repeat(1_000)), &["501 5.1.3"])
            .usable(),
    ]
}

/// ESMTP parameters.
fn parameters() -> Vec<Session> {
    let mail = |name, parameters: &str, reply| {
        session(name).hello().line(&format!("MAIL FROM:<sender@example.org> {parameters}"), reply).usable()
    };
    let rcpt = |name, parameters: &str, reply| {
        session(name).mail().line(&format!("RCPT TO:<recipient@example.net> {parameters}"), reply).usable()
    };
    vec![
        mail("size_beyond_the_limit", "SIZE=99999999999999999999", &["552 5.3.4"]),
        mail("size_below_zero", "SIZE=-1", &["501 5.5.4"]),
        mail("size_without_a_value", "SIZE", &["501 5.5.4"]),
        mail("size_twice", "SIZE=1 SIZE=2", &["501 5.5.4"]),
        mail("unknown_body", "BODY=7BITMIME", &["555 5.5.4"]),
        mail("utf8_with_a_value", "SMTPUTF8=YES", &["501 5.5.4"]),
        mail("utf8_twice", "SMTPUTF8 SMTPUTF8", &["501 5.5.4"]),
        session("utf8_after_helo")
            .line("HELO client.example.org", &["250 "])
            .line("MAIL FROM:<sender@example.org> SMTPUTF8", &["555 5.5.4"])
            .usable(),
        session("utf8_that_is_none")
            .hello()
            .send(&b"MAIL FROM:<\xFF@example.org> SMTPUTF8\r\n"[..])
            .expect(&["501 5.1.7"])
            .usable(),
        session("utf8_recipient_without_saying_so")
            .mail()
            .line("RCPT TO:<b\u{fc}ro@example.net>", &["553 5.6.7"])
            .line("RCPT TO:<office@b\u{fc}cher.example>", &["553 5.6.7"])
            .usable(),
        session("utf8_recipient_that_turns_text_round")
            .hello()
            .line("MAIL FROM:<sender@example.org> SMTPUTF8", &["250 2.1.0"])
            .line("RCPT TO:<a\u{202e}b@example.net>", &["501 5.1.3"])
            .usable(),
        mail("auth_parameter", "AUTH=<>", &["555 5.5.4"]),
        mail("unknown_parameter", "FOO=BAR", &["555 5.5.4"]),
        mail("parameter_that_is_none", "=;=", &["501 5.5.4"]),
        session("parameter_after_helo")
            .line("HELO client.example.org", &["250 "])
            .line("MAIL FROM:<sender@example.org> SIZE=1", &["555 5.5.4"])
            .usable(),
        session("rcpt_parameter_after_helo")
            .line("HELO client.example.org", &["250 "])
            .line("MAIL FROM:<sender@example.org>", &["250 2.1.0"])
            .line("RCPT TO:<recipient@example.net> NOTIFY=NEVER", &["555 5.5.4"])
            .usable(),
        mail("ret_of_an_unknown_kind", "RET=HALF", &["501 5.5.4 RET"]),
        mail("ret_without_a_value", "RET", &["501 5.5.4 RET"]),
        mail("ret_twice", "RET=HDRS RET=HDRS", &["501 5.5.4"]),
        mail("envelope_id_twice", "ENVID=1 ENVID=2", &["501 5.5.4"]),
        mail("envelope_id_without_a_value", "ENVID", &["501 5.5.4 ENVID"]),
        mail("envelope_id_that_is_no_xtext", "ENVID=a+zz", &["501 5.5.4 ENVID"]),
        mail("envelope_id_that_ends_in_the_middle", "ENVID=a+4", &["501 5.5.4 ENVID"]),
        mail("envelope_id_with_an_encoded_line_end", "ENVID=a+0D+0AX-Injected:", &["501 5.5.4 ENVID"]),
        mail("envelope_id_too_long", &format!("ENVID={}", "x".repeat(101)), &["501 5.5.4 ENVID"]),
        rcpt("notify_of_nothing", "NOTIFY", &["501 5.5.4 NOTIFY"]),
        rcpt("notify_of_an_unknown_occasion", "NOTIFY=ALWAYS", &["501 5.5.4 NOTIFY"]),
        rcpt("notify_never_and_something", "NOTIFY=NEVER,FAILURE", &["501 5.5.4 NOTIFY"]),
        rcpt("notify_twice", "NOTIFY=FAILURE NOTIFY=DELAY", &["501 5.5.4"]),
        rcpt("original_recipient_without_a_type", "ORCPT=recipient@example.net", &["501 5.5.4 ORCPT"]),
        rcpt("original_recipient_without_an_address", "ORCPT=rfc822;", &["501 5.5.4 ORCPT"]),
        rcpt("original_recipient_with_an_encoded_line_end", "ORCPT=rfc822;a+0D+0Ab", &["501 5.5.4 ORCPT"]),
        rcpt(
            "original_recipient_with_an_escaped_line_end",
            "ORCPT=utf-8;\\x{0D}\\x{0A}",
            &["501 5.5.4 ORCPT"],
        ),
        rcpt("original_recipient_in_raw_octets", "ORCPT=utf-8;\u{fc}@example.net", &["501 5.5.4"]),
        rcpt("original_recipient_twice", "ORCPT=rfc822;a ORCPT=rfc822;a", &["501 5.5.4"]),
        rcpt(
            "original_recipient_too_long",
            &format!("ORCPT=rfc822;{}", "x".repeat(494)),
            &["501 5.5.4 ORCPT"],
        ),
        rcpt("unknown_rcpt_parameter", "FOO=BAR", &["555 5.5.4"]),
    ]
}

/// Too much of something.
fn floods() -> Vec<Session> {
    let mut recipients = session("ten_thousand_recipients").mail();
    let octets: String = (0..10_000).map(|n| format!("RCPT TO:<r{n}@example.net>\r\n")).collect();
    recipients.0.steps.push(Step::Send(octets.into()));
    recipients.0.steps.push(Step::ExpectMany(10_000, &["250 2.1.5", "452 4.5.3"]));
    let mut errors = session("twenty_one_bad_commands").send("HAUL\r\n".repeat(40));
    errors.0.steps.push(Step::ExpectMany(20, &["500 5.5.2"]));
    let mut idle = session("commands_that_lead_nowhere").hello().send("NOOP\r\n".repeat(200));
    idle.0.steps.push(Step::ExpectMany(99, &["250 2.0.0"]));
    vec![
        recipients.usable(),
        errors.expect(&["421 4.7.0"]).ends(Ending::Closed),
        idle.expect(&["421 4.7.0"]).ends(Ending::Closed),
    ]
}

/// Content that breaks a rule or stretches one.
fn contents() -> Vec<Session> {
    let header_line = "X-Filler: ".to_owned() + &"x".repeat(86) + "\r\n";
    let nested: String = (0..500)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"))
        .chain(std::iter::once("Content-Type: text/plain\r\n\r\nthe core\r\n".to_owned()))
        .chain((0..500).rev().map(|n| format!("--b{n}--\r\n")))
        .collect();
    vec![
        session("bare_lf_in_content").content("\r\none\ntwo", &["554 5.6.0"]).usable(),
        session("bare_cr_in_content").content("\r\none\rtwo", &["554 5.6.0"]).usable(),
        session("nul_in_content").content(b"\r\none\0two", &["554 5.6.0"]).usable(),
        session("bare_lf_in_header").content("Subject: a\nX: b\r\n\r\ntext", &["554 5.6.0"]).usable(),
        session("content_line_of_1_mib")
            .content("\r\n".to_owned() + &"x".repeat(1 << 20), &["554 5.6.0"])
            .usable(),
        session("header_of_1_mib").content(header_line.repeat((1 << 20) / 98), &["552 5.3.4"]).usable(),
        session("five_hundred_nested_multiparts")
            .content("MIME-Version: 1.0\r\n".to_owned() + &nested, &["250 2.0.0"])
            .accepts(1)
            .usable(),
        session("content_without_a_header_but_commands")
            .content("\r\nQUIT\r\nRSET\r\nMAIL FROM:<x@example.org>", &["250 2.0.0"])
            .accepts(1)
            .usable(),
        session("empty_content").data().send(".\r\n").expect(&["250 2.0.0"]).accepts(1).usable(),
    ]
}

/// Clients that go away.
fn cut_off() -> Vec<Session> {
    vec![
        session("closes_without_a_word").ends(Ending::ClientCloses),
        session("closes_within_a_command").hello().send("MAIL FR").ends(Ending::ClientCloses),
        session("closes_within_a_transaction").rcpt().ends(Ending::ClientCloses),
        session("closes_within_content")
            .data()
            .send(HEADER.to_owned() + "\r\nhalf of a mess")
            .ends(Ending::ClientCloses),
        session("closes_before_the_last_line_feed")
            .data()
            .send(HEADER.to_owned() + "\r\nall but the end\r\n.\r")
            .ends(Ending::ClientCloses),
        session("half_open_before_hello").ends(Ending::ClientVanishes),
        session("half_open_within_content")
            .data()
            .send(HEADER.to_owned() + "\r\nand then nothing more")
            .ends(Ending::ClientVanishes),
    ]
}

/// The 24 odd ends of content with a second message behind each: refused once, at the true end.
fn smuggling() -> Vec<Session> {
    const NAMES: [&str; 25] = [
        "legal_end_of_data",
        "smuggling_crlf_dot_lf",
        "smuggling_crlf_dot_cr",
        "smuggling_crlf_dot_crcrlf",
        "smuggling_crlf_dot_nulcrlf",
        "smuggling_lf_dot_crlf",
        "smuggling_lf_dot_lf",
        "smuggling_lf_dot_cr",
        "smuggling_lf_dot_crcrlf",
        "smuggling_lf_dot_nulcrlf",
        "smuggling_cr_dot_crlf",
        "smuggling_cr_dot_lf",
        "smuggling_cr_dot_cr",
        "smuggling_cr_dot_crcrlf",
        "smuggling_cr_dot_nulcrlf",
        "smuggling_crcrlf_dot_crlf",
        "smuggling_crcrlf_dot_lf",
        "smuggling_crcrlf_dot_cr",
        "smuggling_crcrlf_dot_crcrlf",
        "smuggling_crcrlf_dot_nulcrlf",
        "smuggling_crlfnul_dot_crlf",
        "smuggling_crlfnul_dot_lf",
        "smuggling_crlfnul_dot_cr",
        "smuggling_crlfnul_dot_crcrlf",
        "smuggling_crlfnul_dot_nulcrlf",
    ];
    let pairs = AROUND_THE_DOT[0].iter().flat_map(|b| AROUND_THE_DOT[1].iter().map(move |a| (b, a)));
    let variants = pairs.zip(NAMES).skip(1);
    variants
        .map(|((before, after), name)| {
            let smuggled = [MAIL, RCPT, "DATA\r\n", HEADER, "\r\nsmuggled"].concat();
            let content = [HEADER.as_bytes(), b"\r\ntext", before, b".", after, smuggled.as_bytes()].concat();
            let builder =
                session(name).data().send([&content[..], b"\r\n.\r\n"].concat()).expect(&["554 5.6.0"]);
            // CR CR LF before the dot: some call it an end, some do not. Nothing behind it may count.
            builder.ends(if name == "smuggling_crcrlf_dot_crlf" { Ending::Closed } else { Ending::Usable })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_enough_and_their_names_are_unique() {
        let all = sessions();
        assert!(all.len() >= 40 + 24, "{}", all.len());
        assert!(relay_attempts().len() >= 40);
        let mut names: Vec<_> = all.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }
}
