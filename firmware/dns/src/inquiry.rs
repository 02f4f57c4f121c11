//! One question on its way: which server is asked next, how, and which answer is believed.
//!
//! # What makes an answer ours
//! It comes from the address and port that were asked, to a port that was drawn for this attempt, with an identifier and a
//! spelling of the name (RFC 5452 §9, draft-vixie-dnsext-dns0x20) that were drawn for it too. Anything else is as if it had not
//! come; after a handful of such datagrams the question goes over TCP, where guessing does not help. Of an answer that is
//! ours only those records are read that lead from the name that was asked, alias by alias, to the records that were asked
//! for: nothing that anybody adds is believed or kept.

use crate::Finding;
use crate::Trouble;
use crate::message::{Code, HEADER_BYTES, Message, Question};
use crate::name::Name;
use crate::record::{Data, RecordType};
use crate::servers::Servers;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use limits::dns::{
    ALIASES_COUNT_MAX, ANSWER_BYTES_MAX, NAME_BYTES_MAX, NEAR_MISSES_COUNT_MAX, PATIENCE_MS, PORT,
    QUESTION_MS_MAX, TCP_PATIENCE_MS, UDP_BYTES_MAX,
};
use platform::Instant;

/// A message to be sent to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whom to ask.
    pub server: SocketAddr,
    /// From which port, over UDP. If it is taken, see [`Inquiry::port_taken`].
    pub local_port: u16,
    /// What to send; over TCP two octets of length come before it (RFC 1035 §4.2.2).
    pub message: Vec<u8>,
    /// When to stop waiting.
    pub until: Instant,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Go on waiting for this attempt: what came was not its answer.
    Wait,
    /// Send a datagram, and wait for one.
    Datagram(Attempt),
    /// Open a connection, send the message, and wait for one.
    Connection(Attempt),
    /// That was it. The number is how many seconds the finding may be remembered by what its records say.
    Done(Finding, u32),
}

/// Fills a slice with random octets that nobody can guess.
pub type Random<'a> = &'a dyn Fn(&mut [u8]);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transport {
    Udp,
    Tcp,
}

/// An attempt that is still to be made.
#[derive(Clone, Copy, Debug)]
struct Try {
    server: IpAddr,
    transport: Transport,
    edns: bool,
    patience_ms: u64,
}

/// One question on its way. Give it one event, do what the [`Step`] says, wait for the next event.
#[derive(Debug)]
pub struct Inquiry {
    question: Question,
    /// The name that is asked for now: the question's, or what that is an alias of.
    name: Name,
    aliases: usize,
    /// Seconds that the aliases so far may be remembered.
    ttl_s: u32,
    give_up: Instant,
    near_misses: u32,
    current: Option<(Try, Attempt)>,
    left: VecDeque<Try>,
    /// What to say if nobody is left.
    trouble: Trouble,
}

/// What an answer means.
enum Meaning {
    Finding(Finding, u32),
    /// The name is an alias of this one, about which the answer says nothing.
    Alias(Name),
    /// This server is of no use here.
    Useless(Trouble),
    WithoutEdns,
    OverTcp,
}

impl Inquiry {
    /// Begins to ask.
    #[must_use]
    pub fn new(question: Question, servers: &Servers, now: Instant) -> Self {
        let mut inquiry = Self {
            name: question.name.clone(),
            question,
            aliases: 0,
            ttl_s: u32::MAX,
            give_up: now.plus_ms(QUESTION_MS_MAX),
            near_misses: 0,
            current: None,
            left: VecDeque::new(),
            trouble: Trouble::NoServers,
        };
        inquiry.plan(servers, now);
        inquiry
    }

    /// The first step.
    pub fn start(&mut self, now: Instant, random: Random<'_>) -> Step {
        self.next(now, random)
    }

    /// A datagram has come to the port of the attempt.
    pub fn datagram(
        &mut self,
        from: SocketAddr,
        octets: &[u8],
        now: Instant,
        random: Random<'_>,
        servers: &mut Servers,
    ) -> Step {
        let Some((current, attempt)) = &self.current else { return Step::Wait };
        let current = *current;
        let meaning = match likeness(&attempt.message, octets) {
            _ if from != attempt.server => None,
            Likeness::Other => None,
            // Right but for the spelling: a server that does not keep it, or a good guess. Over TCP it makes no difference.
            Likeness::Spelling => Some(Meaning::OverTcp),
            Likeness::Same => Some(self.read(octets, current.edns)),
        };
        let Some(meaning) = meaning else {
            self.near_misses = self.near_misses.saturating_add(1);
            if self.near_misses <= NEAR_MISSES_COUNT_MAX {
                return Step::Wait;
            }
            return self.follow(Meaning::OverTcp, current, now, random, servers);
        };
        servers.has_answered(current.server);
        self.follow(meaning, current, now, random, servers)
    }

    /// A whole message has come over the connection of the attempt.
    pub fn stream(&mut self, octets: &[u8], now: Instant, random: Random<'_>, servers: &mut Servers) -> Step {
        let Some((current, attempt)) = &self.current else { return Step::Wait };
        let current = *current;
        let meaning = match likeness(&attempt.message, octets) {
            Likeness::Other => Meaning::Useless(Trouble::Nonsense),
            Likeness::Spelling | Likeness::Same => match self.read(octets, current.edns) {
                // It said so before, and there is no third way.
                Meaning::OverTcp => Meaning::Useless(Trouble::Nonsense),
                meaning => meaning,
            },
        };
        servers.has_answered(current.server);
        self.follow(meaning, current, now, random, servers)
    }

    /// The time of the attempt is over, or its connection did not come about or broke.
    pub fn failed(&mut self, now: Instant, random: Random<'_>, servers: &mut Servers) -> Step {
        if let Some((current, _)) = &self.current {
            if current.transport == Transport::Udp {
                servers.was_silent(current.server, now);
            }
            self.complain(Trouble::Silence);
        }
        self.next(now, random)
    }

    /// There is no way to the server of the attempt.
    pub fn no_route(&mut self, now: Instant, random: Random<'_>) -> Step {
        self.complain(Trouble::NoNetwork);
        if let Some((current, _)) = &self.current {
            let server = current.server;
            self.left.retain(|other| other.server != server);
        }
        self.next(now, random)
    }

    /// The port of the attempt is in use: the same with another port.
    pub fn port_taken(&mut self, now: Instant, random: Random<'_>) -> Step {
        if let Some((current, _)) = self.current.take() {
            self.left.push_front(current);
        }
        self.next(now, random)
    }

    /// Every server in every round. The last round goes without EDNS0: there are walls that drop what they do not know.
    fn plan(&mut self, servers: &Servers, now: Instant) {
        self.left.clear();
        let servers = servers.in_order(now);
        for (round, patience_ms) in PATIENCE_MS.into_iter().enumerate() {
            let last = round + 1 == PATIENCE_MS.len();
            self.left.extend(servers.iter().map(|(server, edns)| Try {
                server: *server,
                transport: Transport::Udp,
                edns: *edns && !last,
                patience_ms,
            }));
        }
    }

    /// Notes why it has not worked so far; a server's own word says more than silence.
    fn complain(&mut self, trouble: Trouble) {
        let weight = |trouble| match trouble {
            Trouble::NoServers => 0,
            Trouble::NoNetwork => 1,
            Trouble::Silence => 2,
            Trouble::Nonsense | Trouble::Busy => 3,
            Trouble::Refused => 4,
            Trouble::ServerFailed => 5,
        };
        if weight(trouble) > weight(self.trouble) {
            self.trouble = trouble;
        }
    }

    fn next(&mut self, now: Instant, random: Random<'_>) -> Step {
        self.current = None;
        let Some(next) = self.left.pop_front().filter(|_| now < self.give_up) else {
            return Step::Done(Finding::Trouble(self.trouble), 0);
        };
        let mut drawn = [0; 6];
        random(&mut drawn);
        let [a, b, c, d, e, f] = drawn;
        let question = Question { name: self.name.clone(), kind: self.question.kind };
        let edns = next.edns.then_some(UDP_BYTES_MAX as u16);
        let mut message = Message::query(u16::from_be_bytes([a, b]), question, edns).encode(UDP_BYTES_MAX);
        spell(&mut message, self.name.wire().len(), random);
        let attempt = Attempt {
            server: SocketAddr::new(next.server, PORT),
            local_port: port(u32::from_be_bytes([c, d, e, f])),
            message,
            until: now.plus_ms(next.patience_ms).min(self.give_up),
        };
        self.current = Some((next, attempt.clone()));
        match next.transport {
            Transport::Udp => Step::Datagram(attempt),
            Transport::Tcp => Step::Connection(attempt),
        }
    }

    fn follow(
        &mut self,
        meaning: Meaning,
        current: Try,
        now: Instant,
        random: Random<'_>,
        servers: &mut Servers,
    ) -> Step {
        match meaning {
            Meaning::Finding(finding, ttl_s) => {
                self.current = None;
                return Step::Done(finding, ttl_s);
            }
            Meaning::Alias(name) => {
                self.name = name;
                self.plan(servers, now);
            }
            Meaning::Useless(trouble) => {
                self.complain(trouble);
                // It has had its say; another round would only repeat it.
                self.left.retain(|other| other.server != current.server);
            }
            Meaning::WithoutEdns => {
                servers.knows_no_edns(current.server, now);
                self.left
                    .iter_mut()
                    .filter(|other| other.server == current.server)
                    .for_each(|t| t.edns = false);
                self.left.push_front(Try { edns: false, ..current });
            }
            Meaning::OverTcp => {
                let (transport, patience_ms) = (Transport::Tcp, TCP_PATIENCE_MS);
                self.left.push_front(Try { transport, patience_ms, ..current });
            }
        }
        self.next(now, random)
    }

    /// Reads an answer that is ours.
    fn read(&mut self, octets: &[u8], edns: bool) -> Meaning {
        let Ok(answer) = Message::decode(octets) else { return Meaning::Useless(Trouble::Nonsense) };
        match answer.code {
            Code::FORMAT_ERROR | Code::NOT_IMPLEMENTED | Code::BAD_VERSION if edns => Meaning::WithoutEdns,
            Code::NO_ERROR | Code::NAME_ERROR if answer.truncated => Meaning::OverTcp,
            Code::NO_ERROR | Code::NAME_ERROR => self.read_records(&answer),
            Code::SERVER_FAILURE => Meaning::Useless(Trouble::ServerFailed),
            _ => Meaning::Useless(Trouble::Refused),
        }
    }

    fn read_records(&mut self, answer: &Message) -> Meaning {
        let mut name = &self.name;
        let exists = answer.code == Code::NO_ERROR;
        loop {
            let of_name = || answer.answers.iter().filter(|record| record.name == *name);
            let mut records: Vec<Data> = Vec::new();
            for record in of_name().filter(|record| record.data.record_type() == self.question.kind) {
                self.ttl_s = self.ttl_s.min(record.ttl);
                if !records.contains(&record.data) {
                    records.push(record.data.clone());
                }
            }
            if !records.is_empty() {
                let finding = Finding::Records(records.into());
                return if exists && finding.heap_bytes() <= ANSWER_BYTES_MAX {
                    Meaning::Finding(finding, self.ttl_s)
                } else {
                    Meaning::Useless(Trouble::Nonsense)
                };
            }
            let alias = of_name().find_map(|record| match &record.data {
                Data::Cname(target) => Some((target, record.ttl)),
                _ => None,
            });
            let Some((target, ttl)) = alias else { break };
            self.aliases += 1;
            if self.aliases > ALIASES_COUNT_MAX {
                return Meaning::Useless(Trouble::Nonsense);
            }
            self.ttl_s = self.ttl_s.min(ttl);
            name = target;
        }
        self.read_no(answer, name, exists)
    }

    /// Reads an answer that has none of the records that were asked for (RFC 2308 §2): `name` is where its aliases lead.
    fn read_no(&self, answer: &Message, name: &Name, exists: bool) -> Meaning {
        // Only the zone of the name says for how long a "no" holds.
        let lasts_s = answer.authorities.iter().find_map(|record| match &record.data {
            Data::Soa(soa) if name.is_within(&record.name) => Some(record.ttl.min(soa.minimum)),
            _ => None,
        });
        if !exists {
            return Meaning::Finding(Finding::NoSuchName, self.ttl_s.min(lasts_s.unwrap_or(0)));
        }
        if lasts_s.is_none() && *name != self.name {
            return Meaning::Alias(name.clone());
        }
        let referral = answer.authorities.iter().any(|record| record.data.record_type() == RecordType::NS);
        if lasts_s.is_none() && referral && !answer.recursion_available {
            // "Ask those": it does not ask others for us.
            return Meaning::Useless(Trouble::Refused);
        }
        Meaning::Finding(Finding::NoData, self.ttl_s.min(lasts_s.unwrap_or(0)))
    }
}

/// How much a message looks like the answer to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    Same,
    /// Only the case of letters differs.
    Spelling,
    Other,
}

fn likeness(query: &[u8], answer: &[u8]) -> Likeness {
    // Identifier; response and opcode; count of questions.
    let (id, kind, questions) = (answer.get(..2), answer.get(2).map(|flags| flags >> 3), answer.get(4..6));
    if id != query.get(..2) || kind != Some(0b1_0000) {
        return Likeness::Other;
    }
    if questions == Some(&[0, 0]) {
        // Old servers that do not know EDNS0 answer with a bare header. That only has us ask again without it.
        let code = Code(u16::from(answer.get(3).copied().unwrap_or(0) & 15));
        let unread = [Code::FORMAT_ERROR, Code::NOT_IMPLEMENTED].contains(&code);
        return if unread && answer.len() == HEADER_BYTES { Likeness::Same } else { Likeness::Other };
    }
    let name_bytes = name_bytes(query);
    let range = HEADER_BYTES..HEADER_BYTES + name_bytes + 4;
    match (query.get(range.clone()), answer.get(range)) {
        (Some(asked), Some(said)) if questions == Some(&[0, 1]) && asked == said => Likeness::Same,
        (Some(asked), Some(said)) if questions == Some(&[0, 1]) && asked.eq_ignore_ascii_case(said) => {
            Likeness::Spelling
        }
        _ => Likeness::Other,
    }
}

/// Octets of the name in a question of ours.
fn name_bytes(query: &[u8]) -> usize {
    let mut at = 0;
    while let Some(length) = query.get(HEADER_BYTES + at).filter(|length| **length > 0) {
        at += 1 + usize::from(*length);
    }
    at + 1
}

/// Writes the letters of the question's name in upper or lower case, as chance has it: some bits more to guess.
fn spell(message: &mut [u8], name_bytes: usize, random: Random<'_>) {
    let mut bits = [0; NAME_BYTES_MAX.div_ceil(8)];
    random(&mut bits);
    let name = message.iter_mut().skip(HEADER_BYTES).take(name_bytes);
    for (number, octet) in name.enumerate() {
        // Octets of length are at most 63 and no letters.
        if bits.get(number / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1) {
            octet.make_ascii_uppercase();
        }
    }
}

/// A port that is nobody's, from a random number: any but the 1,024 lowest, none likelier than another by more than one in
/// sixty thousand.
const fn port(random: u32) -> u16 {
    const LOWEST: u32 = 1_024;
    (LOWEST + random % (0x1_0000 - LOWEST)) as u16
}

#[cfg(test)]
mod tests;
