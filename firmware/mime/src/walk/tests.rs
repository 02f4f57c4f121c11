use super::*;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use proptest::prelude::*;

/// Writes down everything it hears: the octets, and a story of the structure.
#[derive(Default)]
struct Scribe {
    octets: Vec<u8>,
    story: Vec<String>,
    author: Vec<Option<String>>,
    body: Vec<u8>,
}

impl Visitor for Scribe {
    const MEASURE: bool = true;

    fn header(&mut self, _index: u32, _field: Field, piece: &[u8]) {
        self.octets.extend_from_slice(piece);
    }
    fn author_field(&mut self, value: Option<&[u8]>) {
        self.author.push(value.map(|value| String::from_utf8_lossy(value).into_owned()));
    }
    fn header_end(&mut self, entity: &Entity, empty_line: &[u8]) {
        self.octets.extend_from_slice(empty_line);
        let doubt = if entity.ambiguous { " ambiguous" } else { "" };
        self.story.push(format!("{} {:?} {:?}{doubt}", entity.index, entity.kind, entity.encoding));
        self.body.clear();
    }
    fn body(&mut self, piece: &[u8]) {
        self.octets.extend_from_slice(piece);
        self.body.extend_from_slice(piece);
    }
    fn gap(&mut self, piece: &[u8]) {
        self.octets.extend_from_slice(piece);
        self.body.extend_from_slice(piece);
    }
    fn leaf_end(&mut self, entity: &Entity, findings: &Findings) {
        let body = String::from_utf8_lossy(&self.body).into_owned();
        self.story.push(format!("{} body {body:?}{}", entity.index, flags(findings)));
        self.body.clear();
    }
    fn gap_end(&mut self, findings: &Findings) {
        if !self.body.is_empty() {
            let body = String::from_utf8_lossy(&self.body).into_owned();
            self.story.push(format!("gap {body:?}{}", flags(findings)));
        }
        self.body.clear();
    }
    fn container_end(&mut self) {
        self.story.push("end".into());
    }
    fn delimiter(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }
}

fn flags(findings: &Findings) -> String {
    let mut text = String::new();
    for (set, name) in [
        (findings.eight_bit > 0, " 8bit"),
        (findings.long_line, " long"),
        (findings.trailing_space, " space"),
        (findings.from_line, " from"),
        (findings.bare_line_end, " bare"),
        (findings.near_delimiter, " near"),
        (findings.pgp_armor, " pgp"),
    ] {
        if set {
            text.push_str(name);
        }
    }
    text
}

fn walk(message: &[u8], piece: usize) -> Scribe {
    let mut scribe = Scribe::default();
    let mut walker = Walker::new();
    message.chunks(piece).for_each(|octets| walker.push(octets, &mut scribe));
    walker.finish(&mut scribe);
    scribe
}

/// The story of a message, which must be the same however it is cut, and hold every octet.
fn check(message: &str, story: &[&str]) {
    for piece in [usize::MAX, 1, 2, 3, 5, 11] {
        let scribe = walk(message.as_bytes(), piece);
        assert_eq!(scribe.story, story, "in pieces of {piece}");
        assert_eq!(String::from_utf8_lossy(&scribe.octets), message, "in pieces of {piece}");
    }
}

#[test]
fn plain_text() {
    check("Subject: x\r\n\r\nhello\r\n", &["0 Text SevenBit", "0 body \"hello\\r\\n\""]);
}

#[test]
fn header_without_body() {
    check("Subject: x\r\n", &["0 Text SevenBit", "0 body \"\""]);
    check("", &["0 Text SevenBit", "0 body \"\""]);
    check("\r\nbody", &["0 Text SevenBit", "0 body \"body\""]);
}

#[test]
fn multipart_with_preamble_and_epilogue() {
    check(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\none\r\n--b \t\r\nContent-Type: image/png\r\n\
         Content-Transfer-Encoding: BASE64\r\n\r\ntwo\r\n\r\n--b--\r\nepi\r\n--b\r\n",
        &[
            "0 Multipart SevenBit",
            "gap \"pre\"",
            "1 Text SevenBit",
            "1 body \"one\"",
            "2 Other Base64",
            "2 body \"two\\r\\n\"",
            // After the closing delimiter nothing is a delimiter.
            "gap \"epi\\r\\n--b\\r\\n\"",
            "end",
        ],
    );
}

#[test]
fn outer_delimiter_ends_everything_inside() {
    check(
        "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
         Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ndeep\r\n--a\r\n\r\nlast\r\n--a--",
        &[
            "0 Multipart SevenBit",
            "1 Multipart SevenBit",
            "2 AttachedMessage SevenBit",
            "3 Text SevenBit",
            "3 body \"deep\"",
            "end",
            "end",
            "4 Text SevenBit",
            "4 body \"last\"",
            "end",
        ],
    );
}

#[test]
fn delimiter_inside_a_header_ends_the_part() {
    check(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\n--b\r\nContent-Type: multipart/mixed; \
         boundary=c\r\n--b\r\nContent-Type: message/rfc822\r\n--b--\r\n",
        &[
            "0 Multipart SevenBit",
            "1 Other SevenBit",
            "1 body \"\"",
            "2 Multipart SevenBit",
            "end",
            "3 AttachedMessage SevenBit",
            "4 Text SevenBit",
            "4 body \"\"",
            "end",
            "end",
        ],
    );
}

#[test]
fn digest_parts_are_messages() {
    check(
        "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nSubject: x\r\n\r\nhi\r\n--b--\r\n",
        &[
            "0 Multipart SevenBit",
            "1 AttachedMessage SevenBit",
            "2 Text SevenBit",
            "2 body \"hi\"",
            "end",
            "end",
        ],
    );
}

#[test]
fn lines_that_only_look_like_delimiters() {
    check(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--\r\n--c\r\n --b\r\n--bb\r\n--b-\r\n--b--x\r\n--b--\r\n",
        &[
            "0 Multipart SevenBit",
            "1 Text SevenBit",
            "1 body \"--\\r\\n--c\\r\\n --b\\r\\n--bb\\r\\n--b-\\r\\n--b--x\" near",
            "end",
        ],
    );
    let long = format!("--b{}", " ".repeat(200));
    check(
        &format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{long}\r\n--b--\r\n"),
        &["0 Multipart SevenBit", "1 Text SevenBit", &format!("1 body {long:?} space near"), "end"],
    );
}

#[test]
fn what_is_protected_is_not_walked() {
    check(
        "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
        &["0 Signed SevenBit", "0 body \"--b\\r\\n\\r\\nx\\r\\n--b--\\r\\n\""],
    );
}

#[test]
fn doubtful_containers_are_not_walked() {
    // Two types, two boundaries, an encoding that containers may not have, a boundary that is in use.
    check(
        "Content-Type: multipart/mixed; boundary=b\r\nContent-Type: text/plain\r\n\r\n--b\r\n",
        &["0 Text SevenBit ambiguous", "0 body \"--b\\r\\n\""],
    );
    check(
        "Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n--b\r\n",
        &["0 OpaqueMultipart SevenBit", "0 body \"--b\\r\\n\""],
    );
    check(
        "Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b\r\n",
        &["0 OpaqueMultipart Base64", "0 body \"--b\\r\\n\""],
    );
    check(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b--\r\n\r\nx\r\n--b--\r\n",
        &["0 Multipart SevenBit", "1 OpaqueMultipart SevenBit", "1 body \"x\"", "end"],
    );
    check(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nno field\r\n\r\nx\r\n--b--\r\n",
        &["0 Multipart SevenBit", "1 Text SevenBit ambiguous", "1 body \"x\"", "end"],
    );
    check(
        "Content-Type : multipart/mixed; boundary=b\r\n\r\nx",
        &["0 OpaqueMultipart SevenBit ambiguous", "0 body \"x\""],
    );
    let long = format!("Content-Type: multipart/mixed; x={}; boundary=b\r\n\r\nx", "y".repeat(9_000));
    check(&long, &["0 OpaqueMultipart SevenBit ambiguous", "0 body \"x\""]);
}

#[test]
fn findings_of_a_text() {
    for (body, found) in [
        ("clean\r\n", ""),
        ("caf\u{e9}\r\n", " 8bit"),
        ("space \r\n", " space"),
        ("tab\t\r\n", " space"),
        (" \r\n", " space"),
        ("\r\n \r", " space"),
        ("end ", " space"),
        ("From \r\n", " space from"),
        ("From me", " from"),
        ("From", ""),
        ("\r\nFromme\r\n >From x\r\n", ""),
        ("bare\n", " bare"),
        ("-----BEGIN PGP MESSAGE-----\r\n", " pgp"),
        ("\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n", " pgp"),
        ("hi\r\n-----BEGIN PGP MESSAGE-----\r\n", ""),
    ] {
        check(&format!("\r\n{body}"), &["0 Text SevenBit", &format!("0 body {body:?}{found}")]);
    }
    for (length, found) in [(998, ""), (999, " long"), (70_000, " long")] {
        let line = "x".repeat(length);
        check(&format!("\r\n{line}\r\n"), &["0 Text SevenBit", &format!("0 body \"{line}\\r\\n\"{found}")]);
        check(&format!("\r\n{line}"), &["0 Text SevenBit", &format!("0 body \"{line}\"{found}")]);
    }
}

#[test]
fn the_author_is_told_unfolded_once_per_field() {
    let scribe = walk(b"From: a\r\n b\r\nX: y\r\nFROM: c\r\n\r\nFrom: d\r\n", 3);
    assert_eq!(scribe.author, [Some(" a\r\n b\r\n".into()), Some(" c\r\n".into())]);
    let long = format!("From: {}\r\n\r\n", "a".repeat(9_000));
    assert_eq!(walk(long.as_bytes(), 100).author, [None]);
}

#[test]
fn nesting_stops_at_the_limit_and_memory_with_it() {
    let mut message = String::from("Content-Type: multipart/mixed; boundary=b0\r\n\r\n");
    for level in 1..500 {
        message += &format!("--b{}\r\nContent-Type: multipart/mixed; boundary=b{level}\r\n\r\n", level - 1);
    }
    let scribe = walk(message.as_bytes(), 1_000);
    assert_eq!(scribe.octets, message.as_bytes());
    let opened = scribe.story.iter().filter(|line| line.contains(" Multipart ")).count();
    assert_eq!(opened, NESTING_COUNT_MAX);
    assert_eq!(scribe.story.iter().filter(|line| line.contains("OpaqueMultipart")).count(), 1);
}

#[test]
fn a_raw_body_is_told_without_a_look() {
    let mut scribe = Scribe::default();
    let mut walker = Walker::new();
    walker.take_body_raw();
    let message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n";
    message.chunks(7).for_each(|octets| walker.push(octets, &mut scribe));
    walker.finish(&mut scribe);
    assert_eq!(scribe.octets, message);
    assert_eq!(scribe.story, ["0 Multipart SevenBit"]);
}

/// Pieces of mail that mean something to a walker, in any order.
pub(crate) fn mail_like() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        &b"Content-Type: multipart/mixed; boundary=a\r\n"[..],
        b"Content-Type: multipart/mixed; boundary=\"b\"\r\n",
        b"Content-Type: multipart/digest;\r\n boundary=c\r\n",
        b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/plain; charset=utf-8\r\n",
        b"Content-Type: image/png\r\n",
        b"Content-Type: multipart/signed; boundary=s\r\n",
        b"Content-Transfer-Encoding: 8bit\r\n",
        b"Content-Transfer-Encoding: base64\r\n",
        b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"From: a@b.example\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"--a\r\n",
        b"\r\n--b\r\n",
        b"--b--\r\n",
        b"--c \r\n",
        b"--a--",
        b"--",
        b"From ",
        b"text\r\n",
        b" \t\r\n",
        b"=41=\r\n",
        b"\xc3\xa4",
        b"\r",
        b"\n",
        b".",
    ]);
    let piece = prop_oneof![
        8 => word.prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (1..1_200usize).prop_map(|n| vec![b'x'; n]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..Default::default()
    })]

    #[test]
    fn every_octet_is_told_once_and_segmentation_does_not_matter(message in mail_like(), piece in 1..50usize) {
        let whole = walk(&message, usize::MAX);
        prop_assert_eq!(&whole.octets, &message);
        let pieces = walk(&message, piece);
        prop_assert_eq!(&pieces.octets, &message);
        prop_assert_eq!(&pieces.story, &whole.story);
    }

    #[test]
    fn no_field_value_panics(value in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = crate::address::Author::from_field(&value);
        let _ = crate::content::MediaType::from_field(&value);
    }

    #[test]
    fn no_value_made_of_special_octets_panics(value in "[ a@<>()\"\\\\,;:=?*'0-9%/\r\n.\u{e9}-]{0,200}") {
        let _ = crate::address::Author::from_field(value.as_bytes());
        let _ = crate::content::MediaType::from_field(value.as_bytes());
    }
}
