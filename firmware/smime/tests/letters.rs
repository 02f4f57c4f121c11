//! Letters as people and programs write them, signed, verified by openssl, read by Python's email package.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Scratch, emit, identities, scan, sign, signed_part};
use smime::Audience;
use std::fs;
use std::process::Command;

const NOW: Option<u64> = None;

/// A letter and what it is an example of.
fn letters() -> Vec<(&'static str, Vec<u8>)> {
    let head = "From: Joe <joe@example.org>\r\nTo: ann@example.net\r\nSubject: a letter\r\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n";
    let mime = "MIME-Version: 1.0\r\n";
    let binary: Vec<u8> = (0..6_000u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .map(|c| if c == b'\r' || c == b'\n' || c == 0 { b'x' } else { c })
        .collect();
    let base64: String = (0..200).map(|i| format!("{:076}\r\n", i).replace('0', "Q")).collect();
    let text = |body: &str| format!("{head}{body}").into_bytes();
    let joined = |parts: &[&[u8]]| parts.concat();
    let nested = |depth: usize| {
        let mut message = format!("{head}{mime}Content-Type: multipart/mixed; boundary=b0\r\n\r\n");
        for level in 1..depth {
            message +=
                &format!("--b{:x}\r\nContent-Type: multipart/mixed; boundary=b{level:x}\r\n\r\n", level - 1);
        }
        message += &format!("--b{:x}\r\n\r\ndeep\r\n", depth - 1);
        for level in (0..depth).rev() {
            message += &format!("--b{level:x}--\r\n");
        }
        message.into_bytes()
    };
    vec![
        ("plain", text("\r\nHello,\r\n\r\nworld.\r\n")),
        ("empty body", text("\r\n")),
        ("no empty line", text("")),
        ("empty body with type", text("Content-Type: text/plain; charset=utf-8\r\n\r\n")),
        ("only empty lines", text("\r\n\r\n\r\n\r\n")),
        ("no final line end", text("\r\nHello")),
        ("utf-8", text(&format!("{mime}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e, na\u{ef}ve caf\u{e9} = 100 %\r\n"))),
        ("mostly Cyrillic", text(&format!("{mime}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{}\r\n", "\u{43f}\u{440}\u{438}\u{432}\u{435}\u{442} ".repeat(30)))),
        ("latin-1", joined(&[head.as_bytes(), mime.as_bytes(), b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\xfc\xdfe aus K\xf6ln\r\n"])),
        ("octets without a charset", joined(&[head.as_bytes(), b"\r\nGr\xfc\xdfe\r\n"])),
        ("8bit label, 7bit content", text(&format!("{mime}Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\nplain\r\n"))),
        ("long line", text(&format!("{mime}Content-Type: text/html\r\n\r\n<p>{}</p>\r\n", "word ".repeat(3_000)))),
        ("line of 998 stays", text(&format!("\r\n{}\r\n", "x".repeat(998)))),
        ("trailing spaces, format=flowed", text(&format!("{mime}Content-Type: text/plain; format=flowed\r\n\r\nThis flows \r\non. \t\r\n   \r\n-- \r\nJoe\r\n"))),
        ("dots and From", text("\r\n.\r\n..\r\n.dot\r\nFrom here\r\nFrom\r\n>From there\r\nFromage\r\n")),
        ("quoted-printable", text(&format!("{mime}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe und so weiter und so weiter und so weiter und so weiter =\r\nund so\r\n"))),
        ("unsafe quoted-printable", text(&format!("{mime}Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\nFrom here =\r\nto{}=41=\r\nthere\r\n.\r\n", " there and back again".repeat(80)))),
        ("unsafe base64", text(&format!("{mime}Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{} \r\nQUJD\r\n", "QUJD".repeat(400)))),
        ("mixed with binary attachment", joined(&[head.as_bytes(), mime.as_bytes(), b"Content-Type: multipart/mixed; boundary=\"=_x\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\npreamble\r\n--=_x\r\nContent-Type: text/plain\r\n\r\nsee there\r\n--=_x\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Disposition: attachment; filename=a.pdf\r\nContent-Transfer-Encoding: binary\r\n\r\n", &binary, b"\r\n--=_x\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n", base64.as_bytes(), b"--=_x--\r\nepilogue\r\n"])),
        ("alternative", text(&format!("{mime}Content-Type: multipart/alternative; boundary=alt\r\n\r\n--alt\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\u{e9}\r\n--alt\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<b>caf\u{e9}</b>\r\n\r\n--alt--\r\n"))),
        ("related in alternative in mixed", text(&format!("{mime}Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\n\r\ntext \u{e9}\r\n--b\r\nContent-Type: multipart/related; boundary=c\r\n\r\n--c\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: 8bit\r\n\r\n<img>\u{e9}\r\n--c\r\nContent-Type: image/gif\r\nContent-ID: <i>\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lGODlh\r\n--c--\r\n--b--\r\n--a\r\nContent-Type: text/plain\r\n\r\nlast\r\n--a--\r\n"))),
        ("attached message with 8bit inside", text(&format!("{mime}Content-Type: multipart/mixed; boundary=a\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--a\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nFrom: x@example.com\r\nSubject: inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ninner \u{e9}\r\n--a--\r\n"))),
        ("forwarded as the whole message", text(&format!("{mime}Content-Type: message/rfc822\r\n\r\nFrom: x@example.com\r\nSubject: inner\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ninner \u{e9}\r\n"))),
        ("digest", text(&format!("{mime}Content-Type: multipart/digest; boundary=a\r\n\r\n--a\r\n\r\nSubject: one\r\n\r\none\r\n--a\r\n\r\nSubject: two\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ntw\u{f6}\r\n--a--\r\n"))),
        ("nested signed message with 8bit", text(&format!("{mime}Content-Type: multipart/mixed; boundary=a\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{e9}\r\n--a\r\nContent-Type: multipart/signed; boundary=s; protocol=\"application/pgp-signature\"\r\n\r\n--s\r\nContent-Transfer-Encoding: 8bit\r\n\r\nuntouched \u{e9} \r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nxx\r\n--s--\r\n--a--\r\n"))),
        ("unsafe preamble", text(&format!("{mime}Content-Type: multipart/mixed; boundary=a\r\n\r\nVorspann \u{fc} \r\nFrom me\r\n{}\r\n--a  \r\n\r\nbody\r\n--a--\r\nNachspann \r\n", "y".repeat(2_500)))),
        ("no closing delimiter", text(&format!("{mime}Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nbody \u{e9}\r\n"))),
        ("parts without header or body", text(&format!("{mime}Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n--a\r\nContent-Type: text/plain\r\n--a\r\n\r\n--a\r\n\r\n\r\n--a--\r\n"))),
        ("boundaries that begin alike", text(&format!("{mime}Content-Type: multipart/mixed; boundary=ab\r\n\r\n--ab\r\nContent-Type: multipart/mixed; boundary=ab1\r\n\r\n--ab1\r\n\r\ninner \u{e9}\r\n--ab1--\r\n--ab\r\n\r\nouter\r\n--ab--\r\n"))),
        ("delivery status", text(&format!("{mime}Content-Type: multipart/report; report-type=delivery-status; boundary=a\r\n\r\n--a\r\n\r\nsorry \r\n--a\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;x \r\n\r\nFinal-Recipient: rfc822;y\r\n--a--\r\n"))),
        ("uuencode", text(&format!("{mime}Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n#04)#\r\n`\r\nend\r\n"))),
        ("500 nested multiparts", nested(500)),
        ("dashes everywhere", text(&format!("{mime}Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n--\r\n---\r\n-\r\n--b\r\n{}--a--x\u{e9}{}\r\n--a--\r\n", "y ".repeat(60), " z".repeat(60)))),
        ("header of the largest size", text(&format!("{}\r\nbody\r\n", (0..2_600).map(|i| format!("X-Filler-{i}: {}\r\n", "f".repeat(80))).collect::<String>()))),
        ("many parts", text(&format!("{mime}Content-Type: multipart/mixed; boundary=a\r\n\r\n{}--a--\r\n", "--a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{e9}\r\n".repeat(1_000)))),
    ]
}

#[test]
fn every_letter_verifies_with_openssl_and_reads_the_same_in_python() {
    let scratch = Scratch::new("letters");
    let [rsa, p256] = identities();
    for (i, (name, letter)) in letters().into_iter().enumerate() {
        let identity = if i % 2 == 0 { rsa } else { p256 };
        let recipe = sign(&letter, identity, Some(unix_now())).unwrap_or_else(|e| panic!("{name}: {e}"));
        let wire = emit(&recipe, &letter, 1_024);
        assert_eq!(
            wire.len(),
            recipe.emitted_size(letter.len() as u32, Audience::Internet) as usize,
            "{name}"
        );
        let content = identity.verify(&wire).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(content == signed_part(&wire), "{name}: openssl saw other content");
        let stays_eight_bit = scan(&letter, 4_096).eight_bit_when_signed;
        assert_eq!(!wire.is_ascii(), stays_eight_bit, "{name}");
        assert_safe(name, &wire, name.contains("nested signed") || name == "delivery status");
        fs::write(scratch.0.join(format!("{i:02} {name}.in")), &letter).unwrap();
        fs::write(scratch.0.join(format!("{i:02} {name}.out")), &wire).unwrap();
    }
    let output = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/compare.py"))
        .arg(&scratch.0)
        .output()
        .expect("python3 is not installed: apt install python3");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// What leaves survives every relay.
fn assert_safe(name: &str, wire: &[u8], untouched_inside: bool) {
    for line in wire.split(|c| *c == b'\n') {
        let Some(text) = line.strip_suffix(b"\r") else {
            assert!(line.is_empty(), "{name}: a line does not end in CRLF");
            continue;
        };
        assert!(text.len() <= 998, "{name}: long line");
        assert!(!text.starts_with(b"From "), "{name}: a From line");
        assert!(
            untouched_inside || !text.ends_with(b" ") && !text.ends_with(b"\t"),
            "{name}: white space at the end of {:?}",
            String::from_utf8_lossy(text)
        );
    }
}

fn unix_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn without_a_clock_the_signature_still_verifies() {
    let [rsa, _] = identities();
    let letter = &letters()[0].1;
    let wire = emit(&sign(letter, rsa, NOW).unwrap(), letter, 100);
    assert_eq!(rsa.verify(&wire).unwrap(), signed_part(&wire));
}

#[test]
fn one_changed_octet_does_not_verify() {
    let [_, p256] = identities();
    let letter = &letters()[0].1;
    let mut wire = emit(&sign(letter, p256, NOW).unwrap(), letter, 100);
    let at = wire.windows(5).position(|w| w == b"Hello").unwrap();
    wire[at] = b'J';
    assert!(p256.verify(&wire).is_err());
}

#[test]
fn any_segmentation_leaves_the_same_octets() {
    let [_, p256] = identities();
    for (name, letter) in letters() {
        let facts = scan(&letter, usize::MAX);
        for piece in [1, 2, 3, 7, 64, 1_000] {
            assert_eq!(scan(&letter, piece), facts, "{name} in pieces of {piece}");
        }
        if letter.len() > 20_000 {
            continue;
        }
        let recipe = sign(&letter, p256, NOW).unwrap();
        let wire = emit(&recipe, &letter, usize::MAX);
        for piece in [1, 2, 3, 5, 17, 76, 100] {
            assert!(emit(&recipe, &letter, piece) == wire, "{name} in pieces of {piece}");
        }
    }
}

#[test]
fn safe_content_is_signed_as_it_is() {
    let [_, p256] = identities();
    for name in ["plain", "line of 998 stays", "quoted-printable", "500 nested multiparts", "uuencode"] {
        let letter = letters().into_iter().find(|(n, _)| *n == name).unwrap().1;
        let wire = emit(&sign(&letter, p256, NOW).unwrap(), &letter, 999);
        let body = letter.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        assert!(signed_part(&wire).ends_with(&letter[body..]), "{name}");
    }
}
