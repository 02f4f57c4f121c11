//! DNS messages (RFC 1035 section 4), written for the fake name server and used by nobody else.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// A mail server: preference and host; the root as host is the null MX of RFC 7505.
    Mx(u16, String),
    /// Strings.
    Txt(Vec<Vec<u8>>),
    /// The name of an address.
    Ptr(String),
    /// Another name for the same.
    Cname(String),
    /// The start of a zone; the number is its negative time to live.
    Soa(u32),
    /// A certificate association (RFC 6698): usage, selector, matching type, data.
    Tlsa(u8, u8, u8, Vec<u8>),
    /// The same for S/MIME (RFC 8162).
    Smimea(u8, u8, u8, Vec<u8>),
    /// Anything: type and data.
    Raw(u16, Vec<u8>),
}

impl Data {
    /// The number of the type.
    #[must_use]
    pub fn kind(&self) -> u16 {
        match self {
            Self::A(_) => 1,
            Self::Cname(_) => 5,
            Self::Soa(_) => 6,
            Self::Ptr(_) => 12,
            Self::Mx(..) => 15,
            Self::Txt(_) => 16,
            Self::Aaaa(_) => 28,
            Self::Tlsa(..) => 52,
            Self::Smimea(..) => 53,
            Self::Raw(kind, _) => *kind,
        }
    }

    fn octets(&self) -> Vec<u8> {
        match self {
            Self::A(address) => address.octets().to_vec(),
            Self::Aaaa(address) => address.octets().to_vec(),
            Self::Mx(preference, host) => [&preference.to_be_bytes()[..], &name(host)].concat(),
            Self::Txt(strings) => strings.iter().flat_map(|s| [&[s.len() as u8][..], s].concat()).collect(),
            Self::Ptr(host) | Self::Cname(host) => name(host),
            Self::Soa(negative_s) => {
                let mut out = [name("ns.lab.example"), name("hostmaster.lab.example")].concat();
                for number in [1, 3_600, 600, 86_400, *negative_s] {
                    out.extend_from_slice(&u32::to_be_bytes(number));
                }
                out
            }
            Self::Tlsa(usage, selector, matching, data) | Self::Smimea(usage, selector, matching, data) => {
                [&[*usage, *selector, *matching][..], data].concat()
            }
            Self::Raw(_, data) => data.clone(),
        }
    }
}

/// A name of labels with dots between as it stands in a message, without compression.
#[must_use]
pub fn name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in text.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        out.push(label.len() as u8);
        out.extend_from_slice(label.as_bytes());
    }
    out.push(0);
    out
}

/// What a client asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The number that the answer repeats.
    pub id: u16,
    /// The name in lower case, without the last dot.
    pub name: String,
    /// The type.
    pub kind: u16,
    /// The question section as it came, with the client's choice of letters.
    pub section: Vec<u8>,
    /// Octets of the largest answer by UDP.
    pub room: usize,
    /// Whether it carried an OPT record.
    pub extended: bool,
}

/// Reads a query with one question; `None` for anything else.
#[must_use]
pub fn read(octets: &[u8]) -> Option<Question> {
    let number = |at: usize| Some(u16::from_be_bytes(octets.get(at..at + 2)?.try_into().ok()?));
    if number(2)? & 0x8000 != 0 || number(4)? != 1 {
        return None;
    }
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*octets.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        if length > 63 {
            return None;
        }
        labels.push(String::from_utf8_lossy(octets.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let (kind, end) = (number(at)?, at + 4);
    // An OPT record, if there is one, follows at once: root name, type 41, size as class.
    let extended = number(10)? == 1 && octets.get(end) == Some(&0) && number(end + 1) == Some(41);
    let room = if extended { usize::from(number(end + 3)?).max(512) } else { 512 };
    let section = octets.get(12..end)?.to_vec();
    Some(Question { id: number(0)?, name: labels.join("."), kind, section, room, extended })
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The response code.
    pub code: u8,
    /// Whether the rest is to be asked for by TCP.
    pub truncated: bool,
    /// The answers: name, time to live, data.
    pub answers: Vec<(String, u32, Data)>,
    /// The authority section.
    pub authority: Vec<(String, u32, Data)>,
}

/// Writes an answer to `question`; what does not fit `room` octets is left out and the answer marked as truncated.
#[must_use]
pub fn write(question: &Question, answer: &Answer, room: usize) -> Vec<u8> {
    let full = assemble(question, answer);
    if full.len() <= room {
        return full;
    }
    assemble(question, &Answer { truncated: true, answers: Vec::new(), authority: Vec::new(), ..*answer })
}

fn assemble(question: &Question, answer: &Answer) -> Vec<u8> {
    // Response, authoritative, recursion desired and available.
    let flags = 0x8580 | u16::from(answer.code) | if answer.truncated { 0x0200 } else { 0 };
    let mut out = Vec::new();
    let extra = u16::from(question.extended);
    for number in [question.id, flags, 1, answer.answers.len() as u16, answer.authority.len() as u16, extra] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&question.section);
    for (owner, ttl_s, data) in answer.answers.iter().chain(&answer.authority) {
        // A name like the question's points there, as real servers do it (RFC 1035 section 4.1.4).
        let own = if *owner == question.name { vec![0xc0, 12] } else { name(owner) };
        out.extend_from_slice(&own);
        out.extend_from_slice(&data.kind().to_be_bytes());
        out.extend_from_slice(&[0, 1]);
        out.extend_from_slice(&ttl_s.to_be_bytes());
        let octets = data.octets();
        out.extend_from_slice(&(octets.len() as u16).to_be_bytes());
        out.extend_from_slice(&octets);
    }
    if question.extended {
        out.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for MX of `B.Example` with an OPT record of 1,232 octets.
    fn query() -> Vec<u8> {
        let mut out = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        out.extend_from_slice(b"\x01B\x07Example\x00\x00\x0f\x00\x01");
        out.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
        out
    }

    #[test]
    fn a_query_is_read_and_its_letters_come_back() {
        let question = read(&query()).expect("a query");
        assert_eq!((question.id, question.name.as_str(), question.kind), (0x1234, "b.example", 15));
        assert_eq!((question.room, question.extended), (1_232, true));
        let answers = vec![("b.example".to_string(), 60, Data::Mx(10, "mx.b.example".into()))];
        let octets = write(&question, &Answer { answers, ..Answer::default() }, question.room);
        assert_eq!(octets[12..12 + question.section.len()], question.section);
        assert_eq!(octets[2..4], [0x85, 0x80]);
        assert!(octets.windows(14).any(|w| w == b"\x02mx\x01b\x07example\x00"));
    }

    #[test]
    fn what_does_not_fit_is_truncated() {
        let question = read(&query()).expect("a query");
        let answers = vec![("b.example".to_string(), 60, Data::Txt(vec![vec![b'x'; 200]; 8]))];
        let answer = Answer { answers, ..Answer::default() };
        let octets = write(&question, &answer, question.room);
        assert!(octets.len() < 100 && octets[2] & 2 == 2);
        assert!(write(&question, &answer, 65_535).len() > 1_600);
    }

    #[test]
    fn noise_is_no_query() {
        for noise in [&b""[..], &[0; 12], &[0xff; 40], &query()[..20]] {
            assert_eq!(read(noise), None);
        }
    }
}
