//! Just enough MIME to compare what was sent with what was received. Written for messages that the tests made
//! themselves, and apart from the firmware's own code, which it judges.

use anyhow::{Context as _, Result, bail, ensure};

/// Multiparts within multiparts that are followed.
const DEPTH_MAX: usize = 50;

/// One body part that has no parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Type and subtype in lower case.
    pub content_type: String,
    /// The octets after undoing the transfer encoding.
    pub octets: Vec<u8>,
}

/// The raw header fields, each with its folds and line end, and the body.
#[must_use]
pub fn split(entity: &[u8]) -> (Vec<&[u8]>, &[u8]) {
    let mut fields = Vec::new();
    let mut start = 0;
    let mut at = 0;
    for line in entity.split_inclusive(|b| *b == b'\n') {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        if !folded && at > start {
            fields.push(&entity[start..at]);
            start = at;
        }
        at += line.len();
        if line == b"\r\n" {
            return (fields, &entity[at..]);
        }
    }
    if at > start {
        fields.push(&entity[start..at]);
    }
    (fields, &[])
}

/// The name of a raw field, in lower case.
#[must_use]
pub fn name(field: &[u8]) -> String {
    let end = field.iter().position(|b| *b == b':').unwrap_or(0);
    String::from_utf8_lossy(&field[..end]).trim().to_lowercase()
}

/// The text of the first field of this name, unfolded.
#[must_use]
pub fn header(entity: &[u8], wanted: &str) -> Option<String> {
    let (fields, _) = split(entity);
    let field = fields.into_iter().find(|f| name(f) == wanted.to_lowercase())?;
    let text = String::from_utf8_lossy(field).replace("\r\n", "");
    text.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// Undoes all structure and transfer encodings: the leaves in order.
///
/// # Errors
/// Structure that does not fit together.
pub fn leaves(entity: &[u8]) -> Result<Vec<Leaf>> {
    let mut found = Vec::new();
    collect(entity, 0, &mut found)?;
    Ok(found)
}

fn collect(entity: &[u8], depth: usize, found: &mut Vec<Leaf>) -> Result<()> {
    ensure!(depth <= DEPTH_MAX, "parts are nested too deeply");
    let (_, body) = split(entity);
    let content_type = header(entity, "content-type").unwrap_or_else(|| "text/plain".into());
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_lowercase();
    if !kind.starts_with("multipart/") {
        let encoding = header(entity, "content-transfer-encoding").unwrap_or_default().to_lowercase();
        let octets = match encoding.as_str() {
            "" | "7bit" | "8bit" | "binary" => body.to_vec(),
            "base64" => base64(body)?,
            "quoted-printable" => quoted_printable(body)?,
            other => bail!("unknown transfer encoding {other}"),
        };
        found.push(Leaf { content_type: kind, octets });
        return Ok(());
    }
    let boundary = parameter(&content_type, "boundary").context("a multipart without a boundary")?;
    for part in parts(body, &boundary)? {
        collect(part, depth + 1, found)?;
    }
    Ok(())
}

/// The value of a parameter of a structured field.
#[must_use]
pub fn parameter(value: &str, wanted: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let matches = name.trim().eq_ignore_ascii_case(wanted);
        matches.then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// The parts between delimiter lines. The line end before a delimiter belongs to the delimiter (RFC 2046 §5.1.1).
///
/// # Errors
/// If the closing delimiter is missing.
pub fn parts<'b>(body: &'b [u8], boundary: &str) -> Result<Vec<&'b [u8]>> {
    let delimiter = format!("--{boundary}");
    let (mut parts, mut start, mut at) = (Vec::new(), None, 0);
    for line in body.split_inclusive(|b| *b == b'\n') {
        let text = String::from_utf8_lossy(line);
        if let Some(rest) = text.strip_prefix(&delimiter) {
            let rest = rest.trim_end();
            if rest.is_empty() || rest == "--" {
                if let Some(start) = start {
                    parts.push(&body[start..at.max(start + 2) - 2]);
                }
                start = Some(at + line.len());
                if rest == "--" {
                    return Ok(parts);
                }
            }
        }
        at += line.len();
    }
    bail!("no closing delimiter {delimiter}--")
}

fn base64(text: &[u8]) -> Result<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.iter().filter(|b| !b.is_ascii_whitespace()) {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            other => bail!("not base64: {other:#04x}"),
        };
        bits = bits << 6 | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            octets.push((bits >> count) as u8);
        }
    }
    Ok(octets)
}

fn quoted_printable(text: &[u8]) -> Result<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    for line in text.split_inclusive(|b| *b == b'\n') {
        ensure!(line.len() <= 78, "a quoted-printable line is longer than 76");
        let (line, end) = line.strip_suffix(b"\r\n").map_or((line, &b""[..]), |l| (l, b"\r\n"));
        let line = line.trim_ascii_end();
        let (line, end) = line.strip_suffix(b"=").map_or((line, end), |l| (l, b""));
        let mut rest = line.iter();
        while let Some(byte) = rest.next() {
            if *byte != b'=' {
                octets.push(*byte);
                continue;
            }
            let digits: String = rest.by_ref().take(2).map(|b| char::from(*b)).collect();
            octets.push(u8::from_str_radix(&digits, 16).with_context(|| format!("={digits}"))?);
        }
        octets.extend_from_slice(end);
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_encodings_are_undone() {
        let entity = b"Content-Type: multipart/mixed;\r\n boundary=\"b\"\r\nX: y\r\n\r\npreamble\r\n--b\r\n\r\nplain\r\n\r\n--b\r\n\
            Content-Type: Text/HTML; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc \r\n--b\r\n\
            Content-Transfer-Encoding: base64\r\nContent-Type: a/b\r\n\r\nAAEC\r\n/w==\r\n--b--\r\nepilogue\r\n";
        let leaf = |t: &str, o: &[u8]| Leaf { content_type: t.into(), octets: o.into() };
        assert_eq!(
            leaves(entity).expect("well formed"),
            [leaf("text/plain", b"plain\r\n"), leaf("text/html", b"a=bc"), leaf("a/b", &[0, 1, 2, 255])]
        );
        assert_eq!(header(entity, "content-TYPE").as_deref(), Some("multipart/mixed; boundary=\"b\""));
        assert!(leaves(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n").is_err());
    }
}
