//! Text from outside, made fit to stand in a report.

use alloc::string::String;
use core::fmt::Write as _;
use limits::dsn::{TEXT_BYTES_MAX, TEXT_LINE_BYTES};

/// `text` in at most `bytes_max` octets, without anything that could end a line or steer a terminal. Characters beyond
/// ASCII stay only where the report is `international`; the others become `?`. Never empty.
pub(crate) fn cleaned(text: &str, bytes_max: usize, international: bool) -> String {
    let mut clean = String::new();
    for c in text.trim().chars() {
        let kept = match c {
            ' '..='~' => c,
            '\t' => ' ',
            c if international && !c.is_ascii() && !is_steering(c) => c,
            _ => '?',
        };
        if clean.len() + kept.len_utf8() > bytes_max {
            break;
        }
        clean.push(kept);
    }
    clean.truncate(clean.trim_end().len());
    if clean.is_empty() {
        clean.push('?');
    }
    clean
}

/// Control characters, line separators, and marks that turn the direction of text round.
const fn is_steering(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// An address of type `utf-8` in a field (RFC 6533 §3): everything but plain ASCII as `\x{…}`, or only what the
/// grammar forbids where the report is `international`.
pub(crate) fn utf8_address(address: &str, international: bool) -> String {
    /// The longest `\x{…}`.
    const ESCAPE_BYTES: usize = 10;
    let mut text = String::with_capacity(address.len());
    for c in address.chars() {
        if text.len() + ESCAPE_BYTES > TEXT_BYTES_MAX {
            break;
        }
        match c {
            '+' | '=' | '\\' | '\0'..=' ' | '\x7f' => _ = write!(text, "\\x{{{:02X}}}", u32::from(c)),
            c if c.is_ascii() || (international && !is_steering(c)) => text.push(c),
            c => _ = write!(text, "\\x{{{:X}}}", u32::from(c)),
        }
    }
    text
}

/// Writes `text` in lines of about 76 octets, each after `indent` spaces. Words that are longer stay whole.
pub(crate) fn paragraph(out: &mut alloc::vec::Vec<u8>, indent: usize, text: &str) {
    let mut line = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if line > 0 && line + 1 + word.len() > TEXT_LINE_BYTES {
            out.extend_from_slice(b"\r\n");
            line = 0;
        }
        let gap = if line == 0 { indent } else { 1 };
        out.extend(core::iter::repeat_n(b' ', gap));
        out.extend_from_slice(word.as_bytes());
        line += gap + word.len();
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn nothing_from_outside_ends_a_line() {
        assert_eq!(cleaned("a\r\nX-Injected: 1", 99, true), "a??X-Injected: 1");
        assert_eq!(cleaned(" \0\u{85}\u{202e}\u{fc} ", 99, true), "???\u{fc}");
        assert_eq!(cleaned("\u{fc}b", 99, false), "?b");
        assert_eq!(cleaned("\u{fc}\u{fc}", 3, true), "\u{fc}");
        assert_eq!(cleaned("", 99, true), "?");
        assert_eq!(utf8_address("a+\u{fc} \r", true), "a\\x{2B}\u{fc}\\x{20}\\x{0D}");
        assert_eq!(utf8_address("a+\u{fc}", false), "a\\x{2B}\\x{FC}");
    }

    #[test]
    fn paragraphs_are_wrapped_between_words() {
        let mut out = Vec::new();
        paragraph(&mut out, 2, &"word ".repeat(40));
        let text = String::from_utf8(out).expect("ASCII");
        assert!(text.lines().all(|line| line.len() <= TEXT_LINE_BYTES && line.starts_with("  word")));
        assert_eq!(text.matches("word").count(), 40);
    }
}
