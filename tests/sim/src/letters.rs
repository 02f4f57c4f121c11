//! Messages that can be told apart by their Subject, the *tag*.

use crate::peers::Received;

/// A short message with everything that a message should have; `tag` makes it recognisable.
#[must_use]
pub fn letter(tag: &str) -> Vec<u8> {
    letter_with(tag, "")
}

/// A [`letter`] with further header fields, each ended by CRLF.
#[must_use]
pub fn letter_with(tag: &str, fields: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@a.example>\r\nTo: bob@b.example\r\nSubject: {tag}\r\n\
         Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nMessage-ID: <{tag}@a.example>\r\n{fields}\r\nHello {tag}.\r\n"
    )
    .into_bytes()
}

/// A [`letter`] of about so many octets.
#[must_use]
pub fn long_letter(tag: &str, octets: usize) -> Vec<u8> {
    let mut content = letter(tag);
    let line = b"and a line of sixty octets to make it a little bit longer.\r\n";
    while content.len() + line.len() <= octets {
        content.extend_from_slice(line);
    }
    content
}

/// The tag of a received letter.
#[must_use]
pub fn tag(received: &Received) -> String {
    received.header("Subject").unwrap_or_default()
}

/// What the sink got without the trace field that the appliance put before it.
///
/// # Panics
/// When there is no trace field on top.
#[must_use]
pub fn without_trace(received: &Received) -> &[u8] {
    let content = &received.content;
    assert!(content.starts_with(b"Received: from "), "no trace field on top");
    let mut at = 0;
    loop {
        let end = content[at..].windows(2).position(|w| w == b"\r\n").expect("lines end") + at + 2;
        if !matches!(content.get(end), Some(b' ' | b'\t')) {
            return &content[end..];
        }
        at = end;
    }
}
