//! Messages to send: each with its own Message-ID, content that is hard to carry, and exact sizes where wanted.

use crate::rng::Rng;

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ASCII text with dots, `From ` lines and trailing spaces.
    Plain,
    /// UTF-8 text, 8bit.
    Utf8,
    /// A multipart with an 8bit text and a binary attachment in base64.
    Attachment,
    /// ASCII text of exactly so many octets, header included; at least [`SIZED_BYTES_MIN`].
    Sized(usize),
}

/// Octets that a sized message has at least: its header.
pub const SIZED_BYTES_MIN: usize = 600;

/// A message as it is handed in.
#[derive(Clone, Debug)]
pub struct Message {
    /// The Message-ID, brackets included.
    pub id: String,
    /// Envelope and header sender.
    pub sender: String,
    /// The recipient.
    pub recipient: String,
    /// The whole content.
    pub content: Vec<u8>,
}

/// Makes a message. `name` becomes a part of the Message-ID and must be unique in a test.
#[must_use]
pub fn message(kind: Kind, name: &str, sender: &str, recipient: &str, rng: &mut Rng) -> Message {
    let id = format!("<{name}.{:016x}@client.example.org>", rng.next());
    let mut text = format!(
        "From: <{sender}>\r\nTo: <{recipient}>\r\nSubject: {name}\r\n\tfolded\r\n\
         Date: Sun, 22 Nov 2026 14:30:45 +0000\r\nMessage-ID: {id}\r\nX-Odd:  two  spaces \r\nMIME-Version: 1.0\r\n"
    );
    match kind {
        Kind::Plain => {
            text += "Content-Type: text/plain; charset=us-ascii\r\n\r\n";
            text +=
                ".\r\n..\r\n.leading dot\r\nFrom here on\r\ntrailing space \r\ntab\t\r\n--\r\n-- \r\n\r\n";
            text += &format!("equals=3D sign, number {}\r\n", rng.next());
            text += &("a line of 300 characters ".repeat(12) + "\r\n");
        }
        Kind::Utf8 => {
            text += "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
            text += &format!(
                "Gr\u{fc}\u{df}e aus Z\u{fc}rich, \u{65e5}\u{672c}\u{8a9e}, number {}\r\n",
                rng.next()
            );
            text += &("\u{20ac}".repeat(200) + "\r\n.\u{e4}\r\n\r\n");
        }
        Kind::Attachment => {
            let octets = rng.octets(5_000);
            text += "Content-Type: multipart/mixed; boundary=\"=_outer\"\r\n\r\nA preamble.\r\n--=_outer\r\n";
            text += "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{e9}t\u{e9}\r\n";
            text += "\r\n--=_outer\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n";
            text += "Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=\"a.bin\"\r\n\r\n";
            text += &base64(&octets);
            text += "--=_outer--\r\n";
        }
        Kind::Sized(size) => {
            text += "Content-Type: text/plain; charset=us-ascii\r\n\r\n";
            assert!(size >= SIZED_BYTES_MIN && text.len() + 80 < SIZED_BYTES_MIN, "size below the minimum");
            while size - text.len() > 160 {
                text += &format!(
                    "{:016x} {}\r\n",
                    rng.next(),
                    "seventy-six characters in all. ".repeat(2).trim_end()
                );
            }
            let rest = size - text.len() - 2;
            text += &("z".repeat(rest) + "\r\n");
        }
    }
    Message { id, sender: sender.into(), recipient: recipient.into(), content: text.into_bytes() }
}

/// Base64 in lines of 76 characters.
#[must_use]
pub fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(octets.len() / 3 * 4 + octets.len() / 50);
    for line in octets.chunks(57) {
        for group in line.chunks(3) {
            let bits = (0..3).fold(0u32, |bits, n| bits << 8 | u32::from(group.get(n).copied().unwrap_or(0)));
            for digit in 0..4 {
                let six = (bits >> (18 - 6 * digit)) as usize % 64;
                text.push(if digit <= group.len() { char::from(ALPHABET[six]) } else { '=' });
            }
        }
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mime;

    #[test]
    fn sizes_are_exact_and_content_reads_back() {
        let mut rng = Rng::new(1);
        for size in [600, 601, 1_024, 1_080, 10_240, 1 << 20] {
            let made = message(Kind::Sized(size), "sized", "a@example.org", "b@example.net", &mut rng);
            assert_eq!(made.content.len(), size);
            assert!(made.content.ends_with(b"\r\n"));
        }
        let made = message(Kind::Attachment, "x", "a@example.org", "b@example.net", &mut rng);
        let leaves = mime::leaves(&made.content).expect("well formed");
        assert_eq!(leaves[1].octets.len(), 5_000);
        assert_eq!(mime::header(&made.content, "message-id"), Some(made.id));
    }
}
