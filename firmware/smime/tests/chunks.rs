//! Messages that came in chunks (BDAT) and are no mail by the rules of DATA: what leaves is, and its signature holds.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Identity, identities, signed_part};
use smime::{
    Audience, Canonicalising, Emitter, Facts, Obstacle, Protection, Purpose, RawSignature, Recipe, Scanner,
    Signing,
};

const HEAD: &str =
    "From: Joe <joe@example.org>\r\nTo: ann@example.net\r\nSubject: a letter\r\nMIME-Version: 1.0\r\n";

fn scan(message: &[u8], piece: usize) -> Facts {
    let mut scanner = Scanner::of_chunks();
    message.chunks(piece).for_each(|octets| scanner.push(octets));
    let facts = scanner.finish();
    assert_eq!(Facts::from_bytes(&facts.to_bytes()), Ok(facts.clone()));
    facts
}

/// The facts, which no cut into pieces changes.
fn facts(message: &[u8]) -> Facts {
    let whole = scan(message, usize::MAX);
    for piece in 1..12 {
        assert_eq!(scan(message, piece), whole, "pieces of {piece}");
    }
    whole
}

/// What leaves, which no cut into pieces changes.
fn emit(recipe: &Recipe, message: &[u8]) -> Vec<u8> {
    assert_eq!(Recipe::from_bytes(&recipe.to_bytes()).as_ref(), Ok(recipe));
    let of = |piece: usize| {
        let mut emitter = Emitter::new(recipe, Audience::Internet);
        let mut out = Vec::new();
        message.chunks(piece).for_each(|octets| emitter.push(octets, &mut out));
        emitter.finish(&mut out);
        out
    };
    let whole = of(usize::MAX);
    for piece in (1..12).chain([77, 1_460]) {
        assert!(of(piece) == whole, "pieces of {piece}");
    }
    assert_eq!(whole.len(), recipe.emitted_size(message.len() as u32, Audience::Internet) as usize);
    whole
}

fn canonical(message: &[u8]) -> Vec<u8> {
    let facts = facts(message);
    let mut canonicalising = Canonicalising::new(&facts, b"Received: from a by b;\r\n now\r\n").unwrap();
    message.chunks(1_000).for_each(|octets| canonicalising.push(octets));
    let recipe = canonicalising.finish();
    let wire = emit(&recipe, message);
    wire.strip_prefix(b"Received: from a by b;\r\n now\r\n".as_slice()).expect("trace").to_vec()
}

fn sign(message: &[u8], identity: &Identity) -> Vec<u8> {
    let facts = facts(message);
    let mut signing =
        Signing::new(&facts, &identity.chain(), Some(1_795_357_845), [7; 24], b"").expect("signable");
    message.chunks(1_000).for_each(|octets| signing.push(octets));
    let (question, awaiting) = signing.finish().unwrap();
    let signature = identity.sign(&question.digest);
    let raw = match question.purpose {
        Purpose::RsaPkcs1Sha256 => RawSignature::Rsa(&signature),
        Purpose::EcdsaP256Sha256 => RawSignature::EcdsaDer(&signature),
    };
    emit(&awaiting.answer(raw).unwrap(), message)
}

/// No CR and no LF alone, no NUL, no line that DATA could not carry.
fn assert_canonical(name: &str, wire: &[u8]) {
    for (at, octet) in wire.iter().enumerate() {
        match octet {
            b'\r' => assert_eq!(wire.get(at + 1), Some(&b'\n'), "{name}: a CR alone at {at}"),
            b'\n' => assert_eq!(wire[at - 1], b'\r', "{name}: a LF alone at {at}"),
            octet => assert_ne!(*octet, 0, "{name}: a NUL"),
        }
    }
    assert!(wire.split(|c| *c == b'\n').all(|line| line.len() <= 999), "{name}: a long line");
}

/// Every octet, in an order that makes lone CRs and LFs, CRLF pairs and lines like delimiters.
fn binary() -> Vec<u8> {
    let mut octets: Vec<u8> = (0..=255).chain((0..=255).rev()).collect();
    octets.extend_from_slice(b"\r\n.\r\n\n.\n--x\r\n--\r\n\r\r\n\0\r");
    octets.repeat(3)
}

fn with_binary_part(label: &str) -> Vec<u8> {
    let text = format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\n--b\r\nContent-Type: text/plain\r\n\r\nsee\nthere\r\n--b\r\n\
        Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: {label}\r\n\r\n"
    );
    [text.as_bytes(), &binary(), b"\r\n--b--\r\n"].concat()
}

fn base64(octets: &[u8]) -> Vec<u8> {
    use mime::encode::Base64;
    let (mut coder, mut out) = (Base64::new(), Vec::new());
    coder.push(octets, &mut out);
    coder.finish(&mut out);
    out
}

fn contains(wire: &[u8], part: &[u8]) -> bool {
    wire.windows(part.len()).any(|w| w == part)
}

#[test]
fn a_text_with_lone_line_ends_is_signed_so_that_openssl_verifies_it() {
    let [rsa, p256] = identities();
    for (identity, body) in [
        (rsa, "line one\nline two\n.\n\nFrom here\n"),
        (p256, "line one\rline two\r\rthree\r"),
        (rsa, "mixed\r\nline\nends\r\r\n\n\r\n"),
        (p256, "no end"),
        (rsa, "gr\u{fc}\u{df}e\n\u{43f}\u{440}\u{438}\n"),
        (p256, "trailing \nspace\t\n"),
    ] {
        for head in [HEAD.to_owned(), HEAD.replace("\r\n", "\n")] {
            let empty = if head.contains('\r') { "\r\n" } else { "\n" };
            let letter = format!("{head}Content-Type: text/plain; charset=utf-8\r\n{empty}{body}");
            let wire = sign(letter.as_bytes(), identity);
            assert_canonical(body, &wire);
            let content = identity.verify(&wire).unwrap_or_else(|e| panic!("{body:?}: {e}"));
            assert!(content == signed_part(&wire), "{body:?}");
        }
    }
}

#[test]
fn the_form_with_lone_line_ends_leaves_like_the_one_with_whole_ones() {
    let letter = format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=\"=_b\"\r\n\r\npreamble\r\n--=_b\r\n\r\nfirst\r\n\r\n--=_b\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=\r\n=C3=9Fe\r\n--=_b\r\n\
        Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nR0lGODlh\r\nR0lG\r\n--=_b\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n folded\r\n\r\ninner\r\n--=_b--\r\nepilogue\r\n"
    );
    let lone = letter.replace("\r\n", "\n");
    assert_eq!(String::from_utf8(canonical(lone.as_bytes())), Ok(letter.clone()));
    assert!(facts(lone.as_bytes()).odd && !facts(letter.as_bytes()).odd);
    let [rsa, _] = identities();
    let [lone, whole] = [lone, letter].map(|letter| sign(letter.as_bytes(), rsa));
    assert_eq!(signed_part(&lone), signed_part(&whole));
}

#[test]
fn a_binary_part_becomes_base64_of_exactly_its_octets() {
    let [_, p256] = identities();
    for label in ["binary", "8bit", "7bit"] {
        let letter = with_binary_part(label);
        let facts = facts(&letter);
        assert!(facts.odd && !facts.odd_when_canonical && !facts.odd_header && facts.obstacle.is_none());
        let part = base64(&binary());
        for wire in [canonical(&letter), sign(&letter, p256)] {
            assert_canonical(label, &wire);
            assert!(contains(&wire, &part), "{label}");
            assert!(contains(&wire, b"preamble\r\n--b\r\n") && contains(&wire, b"see\r\nthere\r\n--b\r\n"));
        }
        assert!(p256.verify(&sign(&letter, p256)).is_ok());
    }
}

#[test]
fn a_text_that_holds_nul_is_none_and_keeps_every_octet() {
    let body = b"\xFE\xFF\0h\0i\0\r\0\n\0.";
    let letter = [
        HEAD.as_bytes(),
        b"Content-Type: text/plain; charset=utf-16\r\nContent-Transfer-Encoding: binary\r\n\r\n",
        body,
    ]
    .concat();
    let wire = canonical(&letter);
    assert!(contains(&wire, b"Content-Transfer-Encoding: base64\r\n"));
    assert!(wire.ends_with(&[b"\r\n\r\n", base64(body).as_slice()].concat()));
}

#[test]
fn what_is_not_odd_leaves_as_it_is_however_it_came() {
    let letter = format!("{HEAD}Content-Type: text/plain\r\n\r\nordinary \r\n.\r\n");
    let facts = facts(letter.as_bytes());
    assert!(!facts.odd && !facts.odd_when_canonical);
    let mut by_data = Scanner::new();
    by_data.push(letter.as_bytes());
    assert_eq!(by_data.finish(), facts);
}

#[test]
fn a_label_that_says_binary_and_lines_that_are_too_long_do_not_leave_by_data() {
    let labelled =
        format!("{HEAD}Content-Type: text/plain\r\nContent-Transfer-Encoding: binary\r\n\r\ntext\r\n");
    let wire = String::from_utf8(canonical(labelled.as_bytes())).unwrap();
    assert!(wire.contains("Content-Transfer-Encoding: 7bit\r\n") && !wire.contains("binary"));
    let long = format!("{HEAD}Content-Type: text/plain\r\n\r\n{}\r\n", "x ".repeat(40_000));
    let wire = canonical(long.as_bytes());
    assert_canonical("long", &wire);
    assert!(contains(&wire, b"quoted-printable"));
}

#[test]
fn a_protected_message_is_never_touched_and_needs_a_next_hop_for_binary() {
    let signed = format!(
        "{HEAD}Content-Type: multipart/signed; boundary=s; protocol=\"application/pkcs7-signature\"\r\n\r\n--s\r\n\r\nlone\nends\r\n--s\r\n\r\nxx\r\n--s--\r\n"
    );
    let whole = facts(signed.as_bytes());
    assert_eq!(whole.protection, Protection::Signed);
    assert!(whole.odd && whole.odd_when_canonical && whole.obstacle.is_none());
    let recipe = Recipe::pass(b"", whole.header.firewalled).unwrap();
    assert_eq!(emit(&recipe, signed.as_bytes()), signed.as_bytes());
    // As a part of something else.
    let inner = signed.split_once("MIME-Version: 1.0\r\n").unwrap().1;
    let letter = format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nlone\nend\r\n--m\r\n{inner}\r\n--m--\r\n"
    );
    let facts = facts(letter.as_bytes());
    assert!(facts.odd_when_canonical);
    assert_eq!(facts.obstacle, Some(Obstacle::LoneLineEnds));
    let wire = String::from_utf8(canonical(letter.as_bytes())).unwrap();
    assert!(wire.contains("lone\r\nend\r\n--m") && wire.contains("lone\nends\r\n--s"));
}

#[test]
fn no_field_comes_out_of_a_lone_cr_in_a_header() {
    for letter in [
        "From: a@example.org\r\nX-Note: a\rX-MS-Exchange-Organization-SCL: -1\r\n\r\nx\r\n",
        "From: a@example.org\r\nX-Note: a\0b\r\n\r\nx\r\n",
        "From: a@example.org\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: a\rb\r\n\r\n--b--\r\n",
        "From: a@example.org\r\nX-Note: a\r",
    ] {
        assert!(facts(letter.as_bytes()).odd_header, "{letter:?}");
        // Such mail is refused; if it were not, it would leave harmless.
        let wire = canonical(letter.as_bytes());
        assert_canonical(letter, &wire);
        assert!(!contains(&wire, b"\nX-MS-Exchange"), "{letter:?}");
    }
}

#[test]
fn eight_bit_text_becomes_seven_bit_for_a_next_hop_without_8bitmime() {
    let letter = format!(
        "{HEAD}Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\u{e9}\r\n--b\r\nContent-Type: image/x-portable\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\u{fc}\u{fc}\r\n--b--\r\n"
    );
    let facts = facts(letter.as_bytes());
    assert!(facts.eight_bit && !facts.eight_bit_when_signed && !facts.odd);
    let recipe = Recipe::pass(b"", facts.header.firewalled).unwrap();
    let mut out = Vec::new();
    let mut emitter = Emitter::seven_bit(&recipe, Audience::Internet, &facts);
    letter.as_bytes().chunks(7).for_each(|octets| emitter.push(octets, &mut out));
    emitter.finish(&mut out);
    let wire = String::from_utf8(out).unwrap();
    assert!(wire.is_ascii() && !wire.contains("8bit"));
    assert!(wire.starts_with(HEAD) && wire.contains("caf=C3=A9\r\n--b\r\n"), "{wire}");
    assert!(wire.contains(
        "Content-Type: image/x-portable\r\nContent-Transfer-Encoding: base64\r\n\r\nw7zDvA==\r\n--b--"
    ));
}

/// Pieces that messages are made of, good and bad.
const PIECES: [&[u8]; 34] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b".",
    b"\r\n\r\n",
    b"\n\n",
    b"--b",
    b"--b--",
    b"--c",
    b"--c--",
    b"text",
    b" ",
    b"\t",
    b"From: a@example.org\r\n",
    b"Subject: x\n",
    b"MIME-Version: 1.0\n",
    b"Content-Type: multipart/mixed; boundary=b\n\n",
    b"Content-Type: multipart/mixed; boundary=c\r\n\r\n",
    b"Content-Type: text/plain\n\n",
    b"Content-Type: image/png\r\n\r\n",
    b"Content-Type: message/rfc822\n\n",
    b"Content-Type: multipart/signed; boundary=c\n\n",
    b"Content-Type: message/delivery-status\n\n",
    b"Content-Transfer-Encoding: binary\n",
    b"Content-Transfer-Encoding: base64\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Transfer-Encoding: x-unknown\n",
    b"=",
    b"QUJD",
    b"From ",
    b"\xFF\xFE",
    b"\n--b\n",
    b"\r\n--b\r\n",
];

#[test]
fn whatever_comes_in_chunks_leaves_canonical_or_says_that_it_cannot() {
    let mut state = 0x9E37_79B9_97F4_A7C1_u64;
    let mut random = move |most: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % most
    };
    let (mut odd, mut stuck) = (0, 0);
    for case in 0..4_000 {
        let mut message = if case % 2 == 0 { HEAD.as_bytes().to_vec() } else { Vec::new() };
        if case % 4 < 3 {
            message.extend_from_slice(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\n");
        }
        for _ in 0..random(30) {
            message.extend_from_slice(PIECES[random(PIECES.len())]);
        }
        let show = || format!("case {case}: {:?}", String::from_utf8_lossy(&message));
        let whole = scan(&message, usize::MAX);
        assert_eq!(scan(&message, 1 + random(9)), whole, "{}", show());
        if !whole.odd || whole.protection != Protection::None {
            continue;
        }
        odd += 1;
        let mut canonicalising = Canonicalising::new(&whole, b"").unwrap();
        message.chunks(1 + random(20)).for_each(|octets| canonicalising.push(octets));
        let recipe = canonicalising.finish();
        let mut wires = Vec::new();
        for piece in [usize::MAX, 1, 2, 1 + random(40)] {
            let (mut emitter, mut out) = (Emitter::new(&recipe, Audience::Internet), Vec::new());
            message.chunks(piece).for_each(|octets| emitter.push(octets, &mut out));
            emitter.finish(&mut out);
            wires.push(out);
        }
        assert!(wires.iter().all(|wire| *wire == wires[0]), "{}", show());
        assert_eq!(wires[0].len(), recipe.emitted_size(message.len() as u32, Audience::Internet) as usize);
        if whole.odd_when_canonical {
            stuck += 1;
            continue;
        }
        assert_canonical(&show(), &wires[0]);
        // Read again, nothing of it is odd: nobody sees other parts in it than we did.
        let again = scan(&wires[0], usize::MAX);
        // The label of a part without a body says nothing.
        let labelled = message.windows(6).any(|w| w == b"binary");
        assert!(labelled || !again.odd, "{}\n{:?}", show(), String::from_utf8_lossy(&wires[0]));
    }
    assert!(odd > 1_000 && stuck > 50, "{odd} odd, {stuck} stuck");
}
