//! Messages that can be told apart by their Subject, the *tag*, and their Message-ID, `<tag@lab.example>`.

/// A message and its envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Subject and left half of the Message-ID.
    pub tag: String,
    /// Envelope sender; empty for the null sender.
    pub sender: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// Content with its line ends.
    pub content: Vec<u8>,
}

impl Letter {
    /// A short message with everything that a message should have.
    #[must_use]
    pub fn new(tag: &str, sender: &str, to: &[&str]) -> Self {
        Self::with_fields(tag, sender, to, "")
    }

    /// As [`Letter::new`] with further header fields, each ended by CRLF.
    #[must_use]
    pub fn with_fields(tag: &str, sender: &str, to: &[&str], fields: &str) -> Self {
        let from = if sender.is_empty() { "postmaster@lab.example" } else { sender };
        let content = format!(
            "From: <{from}>\r\nTo: <{}>\r\nSubject: {tag}\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n\
             Message-ID: <{tag}@lab.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\
             {fields}\r\nHello, this is {tag}.\r\n.a line that begins with a dot\r\n",
            to.join(">, <"),
        );
        Self {
            tag: tag.to_string(),
            sender: sender.to_string(),
            to: to.iter().map(ToString::to_string).collect(),
            content: content.into_bytes(),
        }
    }

    /// The same with lines appended until it has about so many octets.
    #[must_use]
    pub fn of_size(mut self, octets: usize) -> Self {
        let line = b"and a line of sixty octets to make it a little bit longer.\r\n";
        while self.content.len() + line.len() <= octets {
            self.content.extend_from_slice(line);
        }
        self
    }

    /// The Message-ID without brackets.
    #[must_use]
    pub fn message_id(&self) -> String {
        format!("{}@lab.example", self.tag)
    }

    /// The recipients as borrowed texts.
    #[must_use]
    pub fn recipients(&self) -> Vec<&str> {
        self.to.iter().map(String::as_str).collect()
    }
}

/// The domain of an address, in lower case; empty for the null sender.
#[must_use]
pub fn domain_of(address: &str) -> String {
    address.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase()
}
