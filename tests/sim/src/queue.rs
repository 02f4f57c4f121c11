//! The queue as it lies on the flash of an appliance that is off: filled without SMTP, and looked at without console.

use crate::flash::Bank;
use envelope::QueueId;
use flash_log::Partition;
use limits::flash::SPOOL_BLOCKS;
use relay::SharedFlash;
use spool::{Admission, Arrival, Class, MessageState, RecipientState, Spool, SpoolError};
use std::net::IpAddr;

/// A message to put into the queue.
pub struct Put<'a> {
    /// Reverse path; empty for `<>`.
    pub sender: &'a str,
    /// Forward paths.
    pub to: &'a [&'a str],
    /// The content, with CRLF.
    pub content: &'a [u8],
    /// The client that is said to have brought it.
    pub client: IpAddr,
}

/// The queue of an appliance that is off.
pub struct Queue {
    flash: SharedFlash<Bank>,
}

/// A message in the queue.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its id.
    pub id: QueueId,
    /// Its Subject.
    pub tag: String,
    /// Reverse path; empty for `<>`.
    pub sender: String,
    /// Whether it is a report of the appliance itself.
    pub is_report: bool,
    /// Whether it is held.
    pub state: MessageState,
    /// Where its recipients stand.
    pub recipients: Vec<(String, RecipientState)>,
}

impl Queue {
    /// The queue on `bank`.
    #[must_use]
    pub fn of(bank: &Bank) -> Self {
        Self { flash: SharedFlash::new(bank.clone()) }
    }

    async fn spool(&self) -> Spool<Partition<'_, Bank>> {
        Spool::mount(Partition::new(&self.flash, SPOOL_BLOCKS)).await.expect("the flash works").0
    }

    /// Puts messages into the queue, as if they had come by SMTP. Returns how many there was room for.
    ///
    /// # Panics
    /// When the flash fails.
    pub async fn fill<'a>(&self, messages: impl IntoIterator<Item = Put<'a>>) -> usize {
        let spool = self.spool().await;
        let mut count = 0;
        for message in messages {
            match put(&spool, &message).await {
                Ok(_) => count += 1,
                Err(SpoolError::Full(_)) => break,
                Err(error) => panic!("{error}"),
            }
        }
        count
    }

    /// Everything that is in the queue, in the order of ids.
    ///
    /// # Panics
    /// When a message cannot be read.
    pub async fn kept(&self) -> Vec<Kept> {
        let spool = self.spool().await;
        let mut briefs = Vec::new();
        spool.for_each(|brief| briefs.push(*brief));
        let mut kept = Vec::new();
        for brief in briefs {
            let arrival = spool.arrival(brief.id).await.expect("the envelope is whole");
            let mut head = vec![0; 2_048];
            let count = spool.read(brief.id, 0, &mut head).await.expect("the content is whole");
            let mut recipients = Vec::new();
            for index in 0..arrival.recipients {
                let recipient = spool.recipient(brief.id, index).await.expect("the recipient is whole");
                recipients.push((recipient.address.as_str().to_string(), recipient.state));
            }
            kept.push(Kept {
                id: brief.id,
                tag: subject(&head[..count]),
                sender: arrival.sender.as_str().to_string(),
                is_report: brief.class == Class::Report,
                state: brief.state,
                recipients,
            });
        }
        kept
    }
}

async fn put(spool: &Spool<Partition<'_, Bank>>, message: &Put<'_>) -> Result<QueueId, SpoolError> {
    let mut scanner = smime::Scanner::new();
    scanner.push(message.content);
    let facts = scanner.finish().to_bytes();
    let octets: usize = message.to.iter().map(|to| to.len()).sum();
    let admission = Admission {
        size: u32::try_from(message.content.len()).ok(),
        recipients: u16::try_from(message.to.len()).expect("a message of at most 1,000 recipients"),
        recipients_bytes: u32::try_from(octets).expect("as above"),
        class: Class::Mail,
    };
    let mut incoming = spool.begin(admission)?;
    spool.append(&mut incoming, message.content).await?;
    let arrival = Arrival {
        sender: message.sender,
        peer: Some(message.client),
        helo: "client.example",
        protocol: spool::Protocol::Esmtp,
        facts: &facts,
        ..Arrival::default()
    };
    spool.commit(incoming, &arrival, message.to.iter().copied()).await
}

/// The Subject in the header block that `content` begins with.
fn subject(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
    lines.find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_string()
}
