//! Questions on their way, past servers of every kind.

use super::*;
use crate::record::{Record, Soa};
use alloc::boxed::Box;
use alloc::vec;
use core::cell::Cell;
use core::net::Ipv4Addr;

const FIRST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const SECOND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn question(text: &str, kind: RecordType) -> Question {
    Question { name: name(text), kind }
}

/// Chance that is the same each time: splitmix64.
struct Chance(Cell<u64>);

impl Chance {
    fn number(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn fill(&self, out: &mut [u8]) {
        out.iter_mut().for_each(|octet| *octet = self.number() as u8);
    }
}

/// One question, its servers, and the time.
struct Story {
    inquiry: Inquiry,
    servers: Servers,
    now: Instant,
    chance: Chance,
    step: Step,
}

impl Story {
    fn begin(question: Question, servers: &[IpAddr]) -> Self {
        let mut known = Servers::default();
        assert!(known.set(servers));
        Self::begin_with(question, known)
    }

    fn begin_with(question: Question, servers: Servers) -> Self {
        let (now, chance) = (Instant(1_000_000), Chance(Cell::new(1)));
        let mut inquiry = Inquiry::new(question, &servers, now);
        let step = inquiry.start(now, &|out| chance.fill(out));
        Self { inquiry, servers, now, chance, step }
    }

    fn attempt(&self) -> &Attempt {
        match &self.step {
            Step::Datagram(attempt) | Step::Connection(attempt) => attempt,
            other => panic!("no attempt: {other:?}"),
        }
    }

    fn query(&self) -> Message {
        Message::decode(&self.attempt().message).expect("our own")
    }

    /// Gives the present attempt this answer, over its transport; a step of [`Step::Wait`] leaves the attempt as it is.
    fn octets(&mut self, octets: &[u8]) -> bool {
        let (from, chance) = (self.attempt().server, &self.chance);
        let random: Random<'_> = &|out| chance.fill(out);
        let step = match &self.step {
            Step::Connection(_) => self.inquiry.stream(octets, self.now, random, &mut self.servers),
            _ => self.inquiry.datagram(from, octets, self.now, random, &mut self.servers),
        };
        let went_on = step != Step::Wait;
        if went_on {
            self.step = step;
        }
        went_on
    }

    fn datagram_from(&mut self, from: SocketAddr, octets: &[u8]) -> Step {
        let chance = &self.chance;
        self.inquiry.datagram(from, octets, self.now, &|out| chance.fill(out), &mut self.servers)
    }

    /// The server answers the present attempt with what `change` makes of an empty answer.
    fn answer(&mut self, code: Code, change: impl FnOnce(&mut Message)) {
        let mut reply = self.query().reply(code);
        change(&mut reply);
        let octets = reply.encode_answer(&self.attempt().message, 65_535);
        assert!(self.octets(&octets), "the answer was not believed");
    }

    /// Nothing comes until the attempt is over.
    fn silence(&mut self) {
        self.now = self.attempt().until;
        let chance = &self.chance;
        self.step = self.inquiry.failed(self.now, &|out| chance.fill(out), &mut self.servers);
    }

    fn finding(&self) -> &Finding {
        match &self.step {
            Step::Done(finding, _) => finding,
            other => panic!("not done: {other:?}"),
        }
    }

    fn is_over_tcp(&self) -> bool {
        matches!(self.step, Step::Connection(_))
    }
}

fn a(last: u8) -> Data {
    Data::A(Ipv4Addr::new(198, 51, 100, last))
}

fn record(of: &str, data: Data) -> Record {
    Record { name: name(of), ttl: 300, data }
}

fn soa(zone: &str, minimum: u32) -> Record {
    let (primary, mailbox) = (name("ns.example"), name("root.example"));
    record(zone, Data::Soa(Box::new(Soa { primary, mailbox, times: [1, 2, 3, 4], minimum })))
}

#[test]
fn a_question_is_asked_and_answered() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST]);
    assert_eq!(story.attempt().server, SocketAddr::new(FIRST, 53));
    assert!(story.attempt().local_port >= 1_024);
    assert_eq!(story.query().question, Some(question("mx.example", RecordType::A)));
    assert_eq!(story.query().edns_bytes, Some(1_232));
    story
        .answer(Code::NO_ERROR, |m| m.answers = vec![record("mx.example", a(1)), record("mx.example", a(2))]);
    assert_eq!(story.step, Step::Done(Finding::Records(vec![a(1), a(2)].into()), 300));
}

#[test]
fn identifier_port_and_spelling_are_new_for_each_attempt() {
    let mut story =
        Story::begin(question("a-long-name-with-many-letters.example", RecordType::A), &[FIRST, SECOND]);
    let mut seen = vec![story.attempt().clone()];
    for _ in 0..5 {
        story.silence();
        let attempt = story.attempt().clone();
        for other in &seen {
            assert_ne!(attempt.local_port, other.local_port);
            assert_ne!(attempt.message[..2], other.message[..2]);
            assert_ne!(attempt.message[12..30], other.message[12..30]);
        }
        seen.push(attempt);
    }
    assert_eq!(
        seen.iter().map(|t| t.server.ip()).collect::<Vec<_>>(),
        [FIRST, SECOND, FIRST, SECOND, FIRST, SECOND]
    );
    story.silence();
    assert_eq!(story.finding(), &Finding::Trouble(Trouble::Silence));
}

#[test]
fn waiting_ends_even_where_every_server_uses_all_its_time() {
    let begun = Instant(1_000_000);
    let third = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 3));
    let mut story = Story::begin(question("mx.example", RecordType::MX), &[FIRST, SECOND, third]);
    while !matches!(story.step, Step::Done(..)) {
        story.silence();
    }
    assert!(story.now <= begun.plus_ms(QUESTION_MS_MAX));
    assert_eq!(story.finding(), &Finding::Trouble(Trouble::Silence));
}

#[test]
fn a_silent_server_stands_behind_the_others_for_a_while() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST, SECOND]);
    story.silence();
    story.answer(Code::NO_ERROR, |m| m.answers = vec![record("mx.example", a(1))]);
    let order = |servers: &Servers, now| servers.in_order(now).iter().map(|(s, _)| *s).collect::<Vec<_>>();
    assert_eq!(order(&story.servers, story.now), [SECOND, FIRST]);
    assert_eq!(order(&story.servers, story.now.plus_s(61)), [FIRST, SECOND]);
}

#[test]
fn without_servers_there_is_nothing_to_wait_for() {
    let story = Story::begin_with(question("mx.example", RecordType::A), Servers::default());
    assert_eq!(story.finding(), &Finding::Trouble(Trouble::NoServers));
}

#[test]
fn no_such_name_nothing_of_this_kind_and_failure_are_told_apart() {
    let ask = || Story::begin(question("x.mx.example", RecordType::A), &[FIRST]);
    let mut story = ask();
    story.answer(Code::NAME_ERROR, |m| m.authorities = vec![soa("mx.example", 60)]);
    assert_eq!(story.step, Step::Done(Finding::NoSuchName, 60));
    let mut story = ask();
    story.answer(Code::NO_ERROR, |m| m.authorities = vec![soa("example", 9_999)]);
    assert_eq!(story.step, Step::Done(Finding::NoData, 300));
    // How long it lasts is for the name's own zone to say.
    let mut story = ask();
    story.answer(Code::NO_ERROR, |m| m.authorities = vec![soa("other.example", 9_999)]);
    assert_eq!(story.step, Step::Done(Finding::NoData, 0));
    for (code, trouble) in [
        (Code::SERVER_FAILURE, Trouble::ServerFailed),
        (Code::REFUSED, Trouble::Refused),
        (Code(11), Trouble::Refused),
    ] {
        let mut story = ask();
        story.answer(code, |_| {});
        assert_eq!(story.finding(), &Finding::Trouble(trouble));
    }
}

#[test]
fn a_failing_server_is_not_asked_again_and_the_next_one_may_know() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST, SECOND]);
    story.answer(Code::SERVER_FAILURE, |_| {});
    assert_eq!(story.attempt().server.ip(), SECOND);
    story.silence();
    assert_eq!(story.attempt().server.ip(), SECOND);
    story.answer(Code::NO_ERROR, |m| m.answers = vec![record("mx.example", a(1))]);
    assert_eq!(story.finding(), &Finding::Records(vec![a(1)].into()));
}

#[test]
fn what_a_server_said_counts_more_than_silence() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST, SECOND]);
    story.answer(Code::SERVER_FAILURE, |_| {});
    for _ in 0..3 {
        story.silence();
    }
    assert_eq!(story.finding(), &Finding::Trouble(Trouble::ServerFailed));
}

#[test]
fn a_server_that_cannot_read_edns_is_asked_without_and_remembered() {
    for bare in [false, true] {
        let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST]);
        if bare {
            let id = &story.attempt().message[..2];
            let octets = [id, b"\x80\x01\0\0\0\0\0\0\0\0"].concat();
            assert!(story.octets(&octets));
        } else {
            story.answer(Code::FORMAT_ERROR, |m| m.edns_bytes = None);
        }
        assert_eq!(story.query().edns_bytes, None);
        story.answer(Code::NO_ERROR, |m| m.answers = vec![record("mx.example", a(1))]);
        assert!(matches!(story.finding(), Finding::Records(_)));
        assert_eq!(story.servers.in_order(story.now), [(FIRST, false)]);
        assert_eq!(story.servers.in_order(story.now.plus_s(3_601)), [(FIRST, true)]);
    }
}

#[test]
fn the_last_round_goes_without_edns() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST]);
    story.silence();
    assert!(story.query().edns_bytes.is_some());
    story.silence();
    assert!(story.query().edns_bytes.is_none());
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp_from_the_same_server() {
    let mut story = Story::begin(question("mx.example", RecordType::TXT), &[FIRST, SECOND]);
    story.answer(Code::NO_ERROR, |m| m.truncated = true);
    assert!(story.is_over_tcp() && story.attempt().server == SocketAddr::new(FIRST, 53));
    let text = Data::Txt(vec![b'x'; 5_000].into());
    story.answer(Code::NO_ERROR, |m| m.answers = vec![record("mx.example", text.clone())]);
    assert_eq!(story.finding(), &Finding::Records(vec![text].into()));
}

#[test]
fn where_tcp_fails_the_next_server_is_asked() {
    let mut story = Story::begin(question("mx.example", RecordType::TXT), &[FIRST, SECOND]);
    story.answer(Code::NO_ERROR, |m| m.truncated = true);
    story.silence();
    assert!(!story.is_over_tcp() && story.attempt().server.ip() == SECOND);
    // Truncated over TCP as well: no third way.
    story.answer(Code::NO_ERROR, |m| m.truncated = true);
    story.answer(Code::NO_ERROR, |m| m.truncated = true);
    assert!(!story.is_over_tcp() && story.attempt().server.ip() == FIRST);
}

#[test]
fn aliases_are_followed_within_an_answer_and_across_answers() {
    let mut story = Story::begin(question("www.example", RecordType::A), &[FIRST]);
    story.answer(Code::NO_ERROR, |m| {
        m.answers = vec![
            record("b.example", Data::Cname(name("c.example"))),
            record("www.example", Data::Cname(name("b.example"))),
        ];
    });
    assert_eq!(story.query().question, Some(question("c.example", RecordType::A)));
    story.answer(Code::NO_ERROR, |m| {
        m.answers = vec![record("c.example", Data::Cname(name("d.test"))), record("d.test", a(9))];
        m.answers[0].ttl = 20;
    });
    assert_eq!(story.step, Step::Done(Finding::Records(vec![a(9)].into()), 20));
}

#[test]
fn an_alias_of_nothing_is_no_such_name() {
    let mut story = Story::begin(question("www.example", RecordType::A), &[FIRST]);
    story.answer(Code::NAME_ERROR, |m| {
        m.answers = vec![record("www.example", Data::Cname(name("gone.test")))];
        m.authorities = vec![soa("test", 30)];
    });
    assert_eq!(story.step, Step::Done(Finding::NoSuchName, 30));
}

#[test]
fn aliases_in_circles_or_without_end_are_nonsense() {
    let mut story = Story::begin(question("a.example", RecordType::A), &[FIRST]);
    story.answer(Code::NO_ERROR, |m| {
        m.answers = vec![
            record("a.example", Data::Cname(name("b.example"))),
            record("b.example", Data::Cname(name("a.example"))),
        ];
    });
    assert_eq!(story.finding(), &Finding::Trouble(Trouble::Nonsense));
    let mut story = Story::begin(question("n.example", RecordType::A), &[FIRST]);
    let mut rounds = 0;
    while !matches!(story.step, Step::Done(..)) {
        let asked = story.query().question.expect("one").name;
        let target = name(&alloc::format!("n{rounds}.example"));
        story.answer(Code::NO_ERROR, |m| {
            m.answers = vec![Record { name: asked, ttl: 0, data: Data::Cname(target) }];
        });
        rounds += 1;
        assert!(rounds <= ALIASES_COUNT_MAX + 1);
    }
    assert_eq!(story.finding(), &Finding::Trouble(Trouble::Nonsense));
}

#[test]
fn what_nobody_asked_for_is_neither_believed_nor_returned() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST]);
    story.answer(Code::NO_ERROR, |m| {
        m.answers =
            vec![record("bank.example", a(66)), record("mx.example", a(1)), record("mx.example", a(1))];
        m.authorities = vec![record("example", Data::Ns(name("evil.example")))];
        m.additional = vec![record("mx.example", a(66))];
    });
    assert_eq!(story.finding(), &Finding::Records(vec![a(1)].into()));
    // Records of other names only are no records.
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST]);
    story.answer(Code::NO_ERROR, |m| m.answers = vec![record("x.mx.example", a(66))]);
    assert_eq!(story.finding(), &Finding::NoData);
}

#[test]
fn a_server_that_only_refers_to_others_is_of_no_use() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST, SECOND]);
    story.answer(Code::NO_ERROR, |m| {
        m.recursion_available = false;
        m.authorities = vec![record("example", Data::Ns(name("ns.example")))];
    });
    assert_eq!(story.attempt().server.ip(), SECOND);
}

#[test]
fn records_of_a_name_that_does_not_exist_are_nonsense() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST, SECOND]);
    story.answer(Code::NAME_ERROR, |m| m.answers = vec![record("mx.example", a(66))]);
    assert_eq!(story.attempt().server.ip(), SECOND);
}

#[test]
fn an_answer_with_more_than_we_keep_is_nonsense() {
    let mut story = Story::begin(question("mx.example", RecordType::TXT), &[FIRST]);
    story.answer(Code::NO_ERROR, |m| {
        let text = |n: u8| record("mx.example", Data::Txt([&[n][..], &[b'x'; 2_000][..]].concat().into()));
        m.answers = (0..30).map(text).collect();
    });
    assert_eq!(story.finding(), &Finding::Trouble(Trouble::Nonsense));
}

#[test]
fn what_is_not_the_answer_is_waited_past_and_after_some_of_it_comes_tcp() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST]);
    let attempt = story.attempt().clone();
    let right = {
        let mut reply = story.query().reply(Code::NO_ERROR);
        reply.answers = vec![record("mx.example", a(66))];
        reply.encode_answer(&attempt.message, 512)
    };
    let with = |at: usize, value: u8| {
        let mut octets = right.clone();
        octets[at] = value;
        octets
    };
    let other_port = SocketAddr::new(FIRST, 54);
    let other_host = SocketAddr::new(SECOND, 53);
    let wrong = [
        (other_port, right.clone()),
        (other_host, right.clone()),
        (attempt.server, with(0, !right[0])),
        (attempt.server, with(1, !right[1])),
        // A question instead of an answer, another opcode, other counts, another name, kind and class.
        (attempt.server, with(2, right[2] & 0x7f)),
        (attempt.server, with(2, right[2] | 0x08)),
        (attempt.server, with(5, 2)),
        (attempt.server, with(5, 0)),
        (attempt.server, with(13, b'q')),
        (attempt.server, with(25, 28)),
        (attempt.server, with(27, 3)),
        (attempt.server, right[..11].to_vec()),
        (attempt.server, vec![]),
    ];
    for (from, octets) in &wrong {
        assert_eq!(story.datagram_from(*from, octets), Step::Wait, "{octets:x?}");
    }
    for _ in wrong.len()..NEAR_MISSES_COUNT_MAX as usize {
        assert_eq!(story.datagram_from(attempt.server, &[]), Step::Wait);
    }
    story.step = story.datagram_from(attempt.server, &[]);
    assert!(story.is_over_tcp());
    story.answer(Code::NO_ERROR, |m| m.answers = vec![record("mx.example", a(1))]);
    assert_eq!(story.finding(), &Finding::Records(vec![a(1)].into()));
}

#[test]
fn a_server_that_loses_the_spelling_is_asked_over_tcp() {
    let mut story = Story::begin(question("a-name-with-letters.example", RecordType::A), &[FIRST]);
    let mut reply = story.query().reply(Code::NO_ERROR);
    reply.answers = vec![record("a-name-with-letters.example", a(1))];
    // In lower case.
    assert!(story.octets(&reply.encode(512)));
    assert!(story.is_over_tcp());
    let mut reply = story.query().reply(Code::NO_ERROR);
    reply.answers = vec![record("a-name-with-letters.example", a(1))];
    assert!(story.octets(&reply.encode(512)));
    assert_eq!(story.finding(), &Finding::Records(vec![a(1)].into()));
}

#[test]
fn rubbish_from_the_right_server_moves_on_to_the_next() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST, SECOND]);
    let mut octets = story.query().reply(Code::NO_ERROR).encode_answer(&story.attempt().message, 512);
    octets[7] = 200;
    assert!(story.octets(&octets));
    assert_eq!(story.attempt().server.ip(), SECOND);
}

#[test]
fn a_taken_port_is_replaced() {
    let mut story = Story::begin(question("mx.example", RecordType::A), &[FIRST]);
    let before = story.attempt().clone();
    let chance = &story.chance;
    story.step = story.inquiry.port_taken(story.now, &|out| chance.fill(out));
    assert_eq!(story.attempt().server, before.server);
    assert_ne!(story.attempt().local_port, before.local_port);
}

/// An attacker who sees the question's text but not its datagrams, and sends a million answers, all from the server's
/// address to the right port: the worst case, in which only identifier and spelling are left to guess.
#[test]
fn a_million_guessed_answers_none_believed() {
    let chance = Chance(Cell::new(99));
    let asked = question("mail-gateway.victim.example", RecordType::A);
    let (mut sent, mut over_tcp, mut questions) = (0u32, 0u32, 0u64);
    while sent < 1_000_000 {
        let mut servers = Servers::default();
        servers.set(&[FIRST]);
        let mut story = Story {
            inquiry: Inquiry::new(asked.clone(), &servers, Instant(0)),
            servers,
            now: Instant(0),
            chance: Chance(Cell::new(questions)),
            step: Step::Wait,
        };
        questions += 1;
        let draw = Chance(Cell::new(chance.number()));
        story.step = story.inquiry.start(Instant(0), &|out| draw.fill(out));
        let server = story.attempt().server;
        let mut forged = story.query().reply(Code::NO_ERROR);
        forged.answers = vec![record("mail-gateway.victim.example", a(66))];
        let mut octets = forged.encode(512);
        loop {
            octets[..2].copy_from_slice(&(chance.number() as u16).to_be_bytes());
            for octet in &mut octets[12..12 + 29] {
                if chance.number() & 1 == 1 {
                    *octet = octet.to_ascii_uppercase();
                } else {
                    *octet = octet.to_ascii_lowercase();
                }
            }
            sent += 1;
            match story.datagram_from(server, &octets) {
                Step::Wait => {}
                Step::Done(finding, _) => panic!("believed after {sent}: {finding:?}"),
                Step::Connection(_) => {
                    over_tcp += 1;
                    break;
                }
                Step::Datagram(_) => panic!("asked again"),
            }
        }
    }
    assert!(over_tcp >= 1_000_000 / (NEAR_MISSES_COUNT_MAX + 1));
}
