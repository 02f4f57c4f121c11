//! The name server of the fake network: it speaks DNS over datagrams and streams, on [`NAME_SERVER`].

use crate::network::{Network, SimStream};
use dns::{Code, Data, Message, Name, Record, RecordType, Soa};
use embedded_io_async::{Read, Write};
use platform::Stream as _;
use std::net::{IpAddr, SocketAddr};

/// The name server that machines of the fake network are told about.
pub const NAME_SERVER: [u8; 4] = [10, 0, 0, 53];

/// Seconds that answers may be remembered; so few that a story which changes a name need not wait for long.
const TTL_S: u32 = 10;

/// Octets of an answer in a datagram where the question does not say what it takes (RFC 1035 §4.2.1).
const PLAIN_BYTES: usize = 512;

/// Where the name server listens.
#[must_use]
pub fn name_server() -> SocketAddr {
    SocketAddr::new(IpAddr::from(NAME_SERVER), 53)
}

impl Network {
    /// Gives `name` these records beside the addresses that it may have. No records, and no addresses, means that it does
    /// not exist.
    pub fn set_records(&self, name: &str, records: &[Data]) {
        self.put_records(name, records.to_vec());
    }

    /// What the name server answers; `None` if it is down, or nobody asked anything.
    pub(crate) fn name_answer(&self, query: &[u8], datagram: bool) -> Option<Vec<u8>> {
        self.note_question();
        let asked = Message::decode(query).ok()?;
        let question = asked.question.clone()?;
        let mut answer = asked.reply(Code::NO_ERROR);
        let all = self.name_data(&question.name.to_string())?;
        let record = |data: Data| Record { name: question.name.clone(), ttl: TTL_S, data };
        let fits = |data: &Data| [question.kind, RecordType::CNAME].contains(&data.record_type());
        answer.answers = all.iter().filter(|data| fits(data)).cloned().map(record).collect();
        if answer.answers.is_empty() {
            let root = Name::root();
            let soa = Soa { primary: root.clone(), mailbox: root.clone(), times: [1; 4], minimum: TTL_S };
            answer.authorities.push(Record { name: root, ttl: TTL_S, data: Data::Soa(Box::new(soa)) });
            answer.code = if all.is_empty() { Code::NAME_ERROR } else { Code::NO_ERROR };
        }
        let takes = asked.edns_bytes.map_or(PLAIN_BYTES, |bytes| PLAIN_BYTES.max(bytes.into()));
        Some(answer.encode_answer(query, if datagram { takes } else { usize::from(u16::MAX) }))
    }

    /// Serves one connection to the name server.
    pub(crate) async fn serve_names(self, mut stream: SimStream) {
        let mut length = [0; 2];
        while stream.read_exact(&mut length).await.is_ok() {
            let mut query = vec![0; u16::from_be_bytes(length).into()];
            if stream.read_exact(&mut query).await.is_err() {
                return;
            }
            let Some(answer) = self.name_answer(&query, false) else { return };
            let length = u16::try_from(answer.len()).expect("encoded within 65,535 octets").to_be_bytes();
            if stream.write_all(&[&length[..], &answer].concat()).await.is_err() {
                return;
            }
        }
        stream.close().await;
    }
}
