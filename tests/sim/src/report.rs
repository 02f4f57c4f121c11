//! Reads delivery reports (RFC 3464), from the standard and not from the appliance's own writer.

use crate::peers::Received;

/// What a report says about one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// `Final-Recipient`, without its type.
    pub recipient: String,
    /// `Original-Recipient`, whole.
    pub original: Option<String>,
    /// `failed`, `delayed`, `delivered`, `relayed`, `expanded`.
    pub action: String,
    /// `5.1.1` and the like.
    pub status: String,
}

/// A delivery report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The tag (Subject) of the message that it is about.
    pub tag: String,
    /// `Original-Envelope-Id`.
    pub envelope_id: Option<String>,
    /// Its recipients.
    pub about: Vec<About>,
    /// Whether it returns the whole message, not only its header.
    pub returns_all: bool,
}

impl Report {
    /// Reads a message; `None` if it is no report at all.
    ///
    /// # Panics
    /// When it says that it is a report, and is not one by the rules of RFC 6522 and RFC 3464.
    #[must_use]
    pub fn read(received: &Received) -> Option<Self> {
        let kind = received.header("Content-Type")?;
        if !kind.to_ascii_lowercase().starts_with("multipart/report") {
            return None;
        }
        assert_eq!(received.from, "", "a report has the null sender (RFC 3464 §2)");
        assert!(kind.to_ascii_lowercase().contains("report-type=delivery-status"), "{kind}");
        let boundary = parameter(&kind, "boundary").unwrap_or_else(|| panic!("no boundary: {kind}"));
        let text = String::from_utf8_lossy(received.body()).into_owned();
        let parts = parts(&text, &boundary);
        let [_, status, returned] = &parts[..] else { panic!("{} parts in {text}", parts.len()) };
        let (status_kind, status) = head_and_body(status);
        let status_kind = status_kind.to_ascii_lowercase();
        let known = ["message/delivery-status", "message/global-delivery-status"];
        assert!(known.iter().any(|k| status_kind.contains(k)), "{status_kind}");
        let mut groups = status.split("\r\n\r\n").map(str::trim).filter(|group| !group.is_empty());
        let message = unfold(groups.next().expect("fields about the message"));
        assert!(field(&message, "Reporting-MTA").is_some(), "no Reporting-MTA: {message}");
        let about: Vec<_> = groups.map(|group| about(&unfold(group))).collect();
        assert!(!about.is_empty(), "a report about nobody: {status}");
        let (returned_kind, returned) = head_and_body(returned);
        let returned_kind = returned_kind.to_ascii_lowercase();
        let headers_only = ["text/rfc822-headers", "message/global-headers"];
        let whole = ["message/rfc822", "message/global"];
        let headers_only = headers_only.iter().any(|k| returned_kind.contains(k));
        assert!(headers_only || whole.iter().any(|k| returned_kind.contains(k)), "{returned_kind}");
        Some(Self {
            tag: field(&unfold(returned), "Subject").unwrap_or_default(),
            envelope_id: field(&message, "Original-Envelope-Id"),
            about,
            returns_all: !headers_only,
        })
    }
}

fn about(group: &str) -> About {
    let needed = |name| field(group, name).unwrap_or_else(|| panic!("no {name} in {group}"));
    let recipient = needed("Final-Recipient");
    let (_, recipient) = recipient.split_once(';').expect("an address has its type");
    About {
        recipient: recipient.trim().to_string(),
        original: field(group, "Original-Recipient"),
        action: needed("Action").to_ascii_lowercase(),
        status: needed("Status"),
    }
}

fn unfold(text: &str) -> String {
    text.replace("\r\n\t", " ").replace("\r\n ", " ")
}

/// The value of a field of an unfolded header block.
fn field(block: &str, name: &str) -> Option<String> {
    block.lines().take_while(|line| !line.is_empty()).find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
    })
}

fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|part| {
        let (n, v) = part.trim().split_once('=')?;
        n.trim().eq_ignore_ascii_case(name).then(|| v.trim().trim_matches('"').to_string())
    })
}

/// Header block and body of a part.
fn head_and_body(part: &str) -> (String, &str) {
    let (head, body) = part.split_once("\r\n\r\n").unwrap_or((part, ""));
    (unfold(head), body)
}

/// The parts between the delimiter lines.
fn parts(body: &str, boundary: &str) -> Vec<String> {
    let (delimiter, close) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut parts: Vec<Vec<&str>> = Vec::new();
    for line in body.split("\r\n") {
        if line.trim_end() == close {
            return parts.into_iter().map(|lines| lines.join("\r\n")).collect();
        }
        if line.trim_end() == delimiter {
            parts.push(Vec::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(line);
        }
    }
    panic!("no closing delimiter of {boundary} in {body}")
}
