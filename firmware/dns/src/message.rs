//! Messages (RFC 1035 §4), as values: what can be built can be encoded, and what is encoded reads back the same.

use crate::name::Name;
use crate::record::{Data, Record, RecordType};
use crate::wire::{Full, Malformed, Reader, Writer};
use alloc::vec::Vec;
use core::fmt;
use limits::dns::RECORDS_COUNT_MAX;

/// Class of everything (RFC 1035 §3.2.4): the Internet.
const CLASS_IN: u16 = 1;
/// Octets of the header.
pub(crate) const HEADER_BYTES: usize = 12;

const RESPONSE: u16 = 1 << 15;
const AUTHORITATIVE: u16 = 1 << 10;
const TRUNCATED: u16 = 1 << 9;
const RECURSION_DESIRED: u16 = 1 << 8;
const RECURSION_AVAILABLE: u16 = 1 << 7;

/// How a server judged a question (RFC 1035 §4.1.1, RFC 6895 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u16);

impl Code {
    /// No error; there may still be no record of the kind.
    pub const NO_ERROR: Self = Self(0);
    /// The server could not read the question; old ones say so to EDNS0.
    pub const FORMAT_ERROR: Self = Self(1);
    /// The server failed.
    pub const SERVER_FAILURE: Self = Self(2);
    /// The name does not exist.
    pub const NAME_ERROR: Self = Self(3);
    /// The server does not do this kind of question.
    pub const NOT_IMPLEMENTED: Self = Self(4);
    /// The server does not answer us.
    pub const REFUSED: Self = Self(5);
    /// The server does not know this version of EDNS (RFC 6891 §6.1.3).
    pub const BAD_VERSION: Self = Self(16);
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match *self {
            Self::NO_ERROR => "NOERROR",
            Self::FORMAT_ERROR => "FORMERR",
            Self::SERVER_FAILURE => "SERVFAIL",
            Self::NAME_ERROR => "NXDOMAIN",
            Self::NOT_IMPLEMENTED => "NOTIMP",
            Self::REFUSED => "REFUSED",
            Self::BAD_VERSION => "BADVERS",
            Self(other) => return write!(f, "RCODE{other}"),
        })
    }
}

/// What is asked, in class IN.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Question {
    /// About which name.
    pub name: Name,
    /// Which records.
    pub kind: RecordType,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.kind)
    }
}

/// A message with one question at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Ties an answer to its question.
    pub id: u16,
    /// Whether this is an answer.
    pub response: bool,
    /// Kind of question; 0 is the only one that we know.
    pub opcode: u8,
    /// Whether the server has the name's zone.
    pub authoritative: bool,
    /// Whether something was left out.
    pub truncated: bool,
    /// Whether the server is asked to ask others.
    pub recursion_desired: bool,
    /// Whether the server asks others.
    pub recursion_available: bool,
    /// How the server judged the question; the upper bits travel by EDNS0.
    pub code: Code,
    /// What is asked.
    pub question: Option<Question>,
    /// Records that answer, aliases first as a rule.
    pub answers: Vec<Record>,
    /// Records about who could know, and for how long a "no" lasts.
    pub authorities: Vec<Record>,
    /// Records that may help.
    pub additional: Vec<Record>,
    /// Octets that the sender takes over UDP, if it speaks EDNS0.
    pub edns_bytes: Option<u16>,
}

impl Message {
    /// A question to a server that asks others for us.
    #[must_use]
    pub const fn query(id: u16, question: Question, edns_bytes: Option<u16>) -> Self {
        Self {
            id,
            response: false,
            opcode: 0,
            authoritative: false,
            truncated: false,
            recursion_desired: true,
            recursion_available: false,
            code: Code::NO_ERROR,
            question: Some(question),
            answers: Vec::new(),
            authorities: Vec::new(),
            additional: Vec::new(),
            edns_bytes,
        }
    }

    /// An answer to this question, of a server that asks others, without records yet.
    #[must_use]
    pub fn reply(&self, code: Code) -> Self {
        Self {
            response: true,
            recursion_available: true,
            code,
            answers: Vec::new(),
            authorities: Vec::new(),
            additional: Vec::new(),
            edns_bytes: self.edns_bytes.map(|_| 1_232),
            ..self.clone()
        }
    }

    /// Reads a message. Records of other classes than IN are left out. If the message says that it is truncated, it may
    /// also end in the middle of a record.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn decode(octets: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(octets);
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        let [questions, answers, authorities, additional] = counts.map(usize::from);
        let flag = |bit: u16| flags & bit != 0;
        let mut message = Self {
            id,
            response: flag(RESPONSE),
            opcode: ((flags >> 11) & 15) as u8,
            authoritative: flag(AUTHORITATIVE),
            truncated: flag(TRUNCATED),
            recursion_desired: flag(RECURSION_DESIRED),
            recursion_available: flag(RECURSION_AVAILABLE),
            code: Code(flags & 15),
            question: None,
            answers: Vec::new(),
            authorities: Vec::new(),
            additional: Vec::new(),
            edns_bytes: None,
        };
        if questions > 1 || answers + authorities + additional > RECORDS_COUNT_MAX {
            return Err(Malformed::TooMany);
        }
        if questions == 1 {
            let (name, kind, class) = (reader.name()?, RecordType(reader.u16()?), reader.u16()?);
            message.question = (class == CLASS_IN).then_some(Question { name, kind });
        }
        match message.read_records(&mut reader, [answers, authorities, additional]) {
            Err(_) if message.truncated => {}
            other => other?,
        }
        Ok(message)
    }

    fn read_records(&mut self, reader: &mut Reader<'_>, counts: [usize; 3]) -> Result<(), Malformed> {
        for (section, count) in counts.into_iter().enumerate() {
            for _ in 0..count {
                let (name, kind, class) = (reader.name()?, RecordType(reader.u16()?), reader.u16()?);
                let (ttl, length) = (reader.u32()?, reader.u16()?);
                let data = reader.part(length.into())?;
                if kind == RecordType::OPT {
                    // Its class is a size and its TTL the upper bits of the code (RFC 6891 §6.1.3).
                    self.edns_bytes = Some(class);
                    self.code.0 = (self.code.0 & 15) | ((ttl >> 24) as u16) << 4;
                    continue;
                }
                if class != CLASS_IN {
                    continue;
                }
                let data = Data::read(kind, data)?;
                let ttl = if ttl > i32::MAX as u32 { 0 } else { ttl };
                let records = match section {
                    0 => &mut self.answers,
                    1 => &mut self.authorities,
                    _ => &mut self.additional,
                };
                records.push(Record { name, ttl, data });
            }
        }
        Ok(())
    }

    /// The octets of the message, names in lower case and not compressed. Records that do not fit in `bytes_max` are left
    /// out, and the message says so.
    #[must_use]
    pub fn encode(&self, bytes_max: usize) -> Vec<u8> {
        let mut writer = Writer::new(bytes_max.min(usize::from(u16::MAX)));
        // A header and a question fit in whatever anybody calls a message.
        let _ = self.write(&mut writer);
        writer.finish()
    }

    /// As [`Message::encode`], with the question's name spelt as in `query`, the octets of the question that this message
    /// answers: who asks may insist on that.
    #[must_use]
    pub fn encode_answer(&self, query: &[u8], bytes_max: usize) -> Vec<u8> {
        let mut octets = self.encode(bytes_max);
        if let Some(question) = &self.question {
            let range = HEADER_BYTES..HEADER_BYTES + question.name.wire().len();
            if let (Some(ours), Some(theirs)) = (octets.get_mut(range.clone()), query.get(range))
                && ours.eq_ignore_ascii_case(theirs)
            {
                ours.copy_from_slice(theirs);
            }
        }
        octets
    }

    fn write(&self, writer: &mut Writer) -> Result<(), Full> {
        let flags = [
            (self.response, RESPONSE),
            (self.authoritative, AUTHORITATIVE),
            (self.truncated, TRUNCATED),
            (self.recursion_desired, RECURSION_DESIRED),
            (self.recursion_available, RECURSION_AVAILABLE),
        ];
        let flags = flags.into_iter().filter(|(set, _)| *set).fold(0, |flags, (_, bit)| flags | bit)
            | u16::from(self.opcode & 15) << 11
            | self.code.0 & 15;
        writer.u16(self.id)?;
        writer.u16(flags)?;
        let counts_at = writer.len();
        writer.put(&[0; 8])?;
        if let Some(question) = &self.question {
            writer.name(&question.name)?;
            writer.u16(question.kind.0)?;
            writer.u16(CLASS_IN)?;
            writer.replace(counts_at, 1);
        }
        // OPT goes last and must have room.
        let reserved = if self.edns_bytes.is_some() { OPT_BYTES } else { 0 };
        let mut truncated = false;
        let mut additional = 0;
        writer.most_reduce(reserved);
        for (section, records) in [&self.answers, &self.authorities, &self.additional].into_iter().enumerate()
        {
            let mut count = 0u16;
            for record in records {
                let before = writer.len();
                if truncated || Self::write_record(writer, record).is_err() {
                    writer.truncate(before);
                    truncated = true;
                    break;
                }
                count += 1;
            }
            writer.replace(counts_at + 2 + 2 * section, count);
            additional = count;
        }
        writer.most_extend(reserved);
        if truncated {
            writer.replace(counts_at - 2, flags | TRUNCATED);
        }
        if let Some(bytes) = self.edns_bytes {
            writer.name(&Name::root())?;
            writer.u16(RecordType::OPT.0)?;
            writer.u16(bytes)?;
            writer.u32(u32::from(self.code.0 >> 4) << 24)?;
            writer.u16(0)?;
            writer.replace(counts_at + 6, additional + 1);
        }
        Ok(())
    }

    fn write_record(writer: &mut Writer, record: &Record) -> Result<(), Full> {
        writer.name(&record.name)?;
        writer.u16(record.data.record_type().0)?;
        writer.u16(CLASS_IN)?;
        writer.u32(record.ttl)?;
        writer.sized(|writer| record.data.write(writer))
    }
}

/// Octets of an OPT record without options.
const OPT_BYTES: usize = 11;

#[cfg(test)]
mod tests;
