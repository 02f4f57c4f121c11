//! A name server whose zones are text, and which lies, keeps silent or gets attacked as told.

mod wire;

pub use wire::{Answer, Data, Question};

use crate::net::{ConnectError, Connection, Handler, Instant, Later, Net};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// Seconds that records live, unless a zone says otherwise.
const TTL_S: u32 = 300;

/// What goes wrong with a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered with SERVFAIL.
    ServFail,
    /// Answered with REFUSED.
    Refused,
    /// Not answered.
    Silent,
    /// Answered after so many milliseconds.
    Slow(u64),
    /// By UDP always "ask by TCP".
    Truncated,
    /// So many forged answers come before the right one, with this address for every name: a wrong number each, or the right
    /// number with the letters of the name in another case.
    Spoofed(u32, IpAddr),
    /// An answer to a question that nobody asked comes first.
    WrongQuestion,
    /// Octets that are no message come first.
    Garbage,
    /// This instead of the truth.
    Lie(Answer),
}

#[derive(Default)]
struct State {
    records: BTreeMap<(String, u16), Vec<(u32, Data)>>,
    faults: BTreeMap<String, Fault>,
    asked: Vec<(Instant, String, u16, bool)>,
}

/// A name server. Cloning gives another handle to the same one.
#[derive(Clone, Default)]
pub struct FakeDns {
    state: Rc<RefCell<State>>,
}

impl FakeDns {
    /// Serves `at` by UDP and TCP.
    ///
    /// # Errors
    /// When the network has no datagrams, or the port is taken.
    pub fn serve(&self, net: &Rc<dyn Net>, at: SocketAddr) -> Result<(), ConnectError> {
        let mut socket = net.bind(at)?;
        let (dns, n) = (self.clone(), net.clone());
        net.spawn(
            format!("name server {at}"),
            Box::pin(async move {
                let mut buffer = vec![0; 4_096];
                loop {
                    let (count, client) = socket.receive(&mut buffer).await;
                    let Some(question) = wire::read(&buffer[..count]) else { continue };
                    dns.note(&question, n.now(), false);
                    match dns.fault_of(&question.name) {
                        Some(Fault::Silent) => continue,
                        Some(Fault::Slow(ms)) => n.sleep_ms(ms).await,
                        Some(Fault::Spoofed(count, address)) => {
                            for forged in forgeries(&question, count, address) {
                                socket.send_as(&forged, at, client).await;
                            }
                        }
                        Some(Fault::WrongQuestion) => {
                            let other = Question { section: wrong_section(), ..question.clone() };
                            socket.send(&wire::write(&other, &dns.answer(&question), 1_232), client).await;
                        }
                        Some(Fault::Garbage) => {
                            socket.send(&[0xff; 300], client).await;
                            socket.send(&question.id.to_be_bytes(), client).await;
                        }
                        _ => {}
                    }
                    let mut answer = dns.answer(&question);
                    if dns.fault_of(&question.name) == Some(Fault::Truncated) {
                        answer = Answer { truncated: true, ..Answer::default() };
                    }
                    socket.send(&wire::write(&question, &answer, question.room), client).await;
                }
            }),
        );
        let (dns, n) = (self.clone(), net.clone());
        let handler: Handler = Rc::new(move |connection: Box<dyn Connection>| -> Later<'static, ()> {
            let (dns, n) = (dns.clone(), n.clone());
            Box::pin(async move {
                let _ended = dns.by_stream(&*n, connection).await;
            })
        });
        net.listen(at, handler);
        Ok(())
    }

    async fn by_stream(&self, net: &dyn Net, connection: Box<dyn Connection>) -> Option<()> {
        let mut talk = super::talk::Talk::new(connection);
        loop {
            let length = talk.exactly(2).await.ok()?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let question = wire::read(&talk.exactly(length).await.ok()?)?;
            self.note(&question, net.now(), true);
            if self.fault_of(&question.name) == Some(Fault::Silent) {
                continue;
            }
            let octets = wire::write(&question, &self.answer(&question), 65_535);
            talk.send(&[&(octets.len() as u16).to_be_bytes()[..], &octets].concat()).await.ok()?;
        }
    }

    /// Adds records, one a line: `NAME [SECONDS] TYPE DATA`. Types: A, AAAA, MX, TXT, PTR, CNAME, TLSA, SMIMEA.
    ///
    /// # Panics
    /// When a line cannot be understood.
    pub fn zone(&self, text: &str) {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("zone: {line}"));
            let (first, after) = rest.trim().split_once(' ').unwrap_or_else(|| panic!("zone: {line}"));
            let (ttl_s, kind, data) = match first.parse() {
                Ok(ttl_s) => {
                    let (kind, data) = after.trim().split_once(' ').unwrap_or_else(|| panic!("zone: {line}"));
                    (ttl_s, kind, data)
                }
                Err(_) => (TTL_S, first, after),
            };
            let data = parse(kind, data.trim()).unwrap_or_else(|| panic!("zone: {line}"));
            self.add(name, ttl_s, data);
        }
    }

    /// Adds one record.
    pub fn add(&self, name: &str, ttl_s: u32, data: Data) {
        let key = (name.trim_end_matches('.').to_ascii_lowercase(), data.kind());
        self.state.borrow_mut().records.entry(key).or_default().push((ttl_s, data));
    }

    /// Removes all records of `name`.
    pub fn remove(&self, name: &str) {
        self.state.borrow_mut().records.retain(|(owner, _), _| owner != name);
    }

    /// Makes questions for `name` (`*`: for all) go wrong, or right again.
    pub fn fault(&self, name: &str, fault: Option<Fault>) {
        let mut state = self.state.borrow_mut();
        match fault {
            Some(fault) => state.faults.insert(name.to_string(), fault),
            None => state.faults.remove(name),
        };
    }

    /// Every question so far: when, name, type, whether by TCP.
    #[must_use]
    pub fn asked(&self) -> Vec<(Instant, String, u16, bool)> {
        self.state.borrow().asked.clone()
    }

    /// How often `name` was asked for with type `kind`.
    #[must_use]
    pub fn asked_for(&self, name: &str, kind: u16) -> usize {
        self.state.borrow().asked.iter().filter(|(_, n, k, _)| n == name && *k == kind).count()
    }

    fn note(&self, question: &Question, now: Instant, by_stream: bool) {
        self.state.borrow_mut().asked.push((now, question.name.clone(), question.kind, by_stream));
    }

    fn fault_of(&self, name: &str) -> Option<Fault> {
        let state = self.state.borrow();
        state.faults.get(name).or_else(|| state.faults.get("*")).cloned()
    }

    fn answer(&self, question: &Question) -> Answer {
        match self.fault_of(&question.name) {
            Some(Fault::ServFail) => return Answer { code: 2, ..Answer::default() },
            Some(Fault::Refused) => return Answer { code: 5, ..Answer::default() },
            Some(Fault::Lie(answer)) => return answer,
            _ => {}
        }
        let state = self.state.borrow();
        let (mut name, mut answer) = (question.name.clone(), Answer::default());
        for _ in 0..16 {
            if let Some(records) = state.records.get(&(name.clone(), question.kind)) {
                answer.answers.extend(records.iter().map(|(ttl, data)| (name.clone(), *ttl, data.clone())));
                return answer;
            }
            let Some((ttl_s, Data::Cname(other))) =
                state.records.get(&(name.clone(), 5)).and_then(|all| all.first()).cloned()
            else {
                break;
            };
            answer.answers.push((name, ttl_s, Data::Cname(other.clone())));
            name = other.to_ascii_lowercase();
        }
        // A name exists when it has records or names below it (RFC 8020).
        let below = format!(".{name}");
        let exists = state.records.keys().any(|(owner, _)| *owner == name || owner.ends_with(&below));
        answer.code = if exists { 0 } else { 3 };
        answer.authority.push(("example".into(), TTL_S, Data::Soa(60)));
        answer
    }
}

/// Answers that an attacker off the path sends: all of them wrong in one way.
fn forgeries(question: &Question, count: u32, address: IpAddr) -> Vec<Vec<u8>> {
    let data = match address {
        IpAddr::V4(address) => Data::A(address),
        IpAddr::V6(address) => Data::Aaaa(address),
    };
    let answers = vec![
        (question.name.clone(), 86_400, Data::Mx(1, "evil.example".into())),
        (question.name.clone(), 86_400, data),
    ];
    let answer = Answer { answers, ..Answer::default() };
    let mut forged = question.clone();
    let mut out = Vec::new();
    for number in 0..count {
        forged.id = question.id.wrapping_add(1 + (number % 65_535) as u16);
        forged.section.clone_from(&question.section);
        out.push(wire::write(&forged, &answer, 1_232));
    }
    // One has guessed the number, but not the letters.
    forged.id = question.id;
    for octet in &mut forged.section {
        if octet.is_ascii_alphabetic() {
            *octet ^= 0x20;
        }
    }
    out.push(wire::write(&forged, &answer, 1_232));
    out
}

fn wrong_section() -> Vec<u8> {
    [wire::name("somebody.else.example"), vec![0, 15, 0, 1]].concat()
}

fn parse(kind: &str, text: &str) -> Option<Data> {
    let mut words = text.split_whitespace();
    let host = |word: &str| word.trim_end_matches('.').to_string();
    let data = match kind {
        "A" => Data::A(text.parse().ok()?),
        "AAAA" => Data::Aaaa(text.parse().ok()?),
        "MX" => Data::Mx(words.next()?.parse().ok()?, host(words.next()?)),
        "PTR" => Data::Ptr(host(text)),
        "CNAME" => Data::Cname(host(text)),
        // A text of any length, cut into strings of at most 255 octets.
        "TXT" => Data::Txt(text.trim_matches('"').as_bytes().chunks(255).map(<[u8]>::to_vec).collect()),
        "TLSA" | "SMIMEA" => {
            let mut number = || words.next()?.parse().ok();
            let (usage, selector, matching) = (number()?, number()?, number()?);
            let hex = words.next()?;
            let pairs = (0..hex.len() / 2).map(|i| u8::from_str_radix(hex.get(2 * i..2 * i + 2)?, 16).ok());
            let octets: Vec<u8> = pairs.collect::<Option<_>>()?;
            match kind {
                "TLSA" => Data::Tlsa(usage, selector, matching, octets),
                _ => Data::Smimea(usage, selector, matching, octets),
            }
        }
        _ => return None,
    };
    Some(data)
}

/// The name under which PTR records of `address` are kept.
#[must_use]
pub fn reverse(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().rev().flat_map(|o| [o & 15, o >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa"
        }
    }
}
