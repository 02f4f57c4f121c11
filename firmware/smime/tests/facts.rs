//! What the scanner learns, and what cannot be signed.
#![allow(clippy::unwrap_used)]

mod common;

use common::{emit, identities, openssl, scan, sign};
use smime::{
    Audience, Author, Facts, FactsUnreadable, Firewalled, Obstacle, PrependInvalid, Protection, Recipe,
    RecipeUnreadable,
};
use smime::{Purpose, RawSignature, Scanner, Signing, SigningError};

fn facts(message: &str) -> Facts {
    scan(message.as_bytes(), 100)
}

#[test]
fn header_facts_are_known_when_the_header_is() {
    let mut scanner = Scanner::new();
    scanner.push(b"Received: a\r\n b\r\nReceived: c\r\nFrom: Joe <joe@example.org>\r\nDATE: x\r\n");
    assert!(scanner.header().is_none());
    scanner.push(b"\r\nbody");
    let header = scanner.header().unwrap().clone();
    assert_eq!(header.author, Author::One("joe@example.org".into()));
    assert_eq!((header.has_date, header.has_message_id, header.received_count), (true, false, 2));
    assert!(!header.malformed && !header.eight_bit);
    assert_eq!(scanner.finish().header, header);
}

#[test]
fn mail_that_may_wait_says_so() {
    for (field, bulk) in [
        ("List-Id: <list.example.org>", true),
        ("list-unsubscribe: <mailto:leave@example.org>", true),
        ("Precedence: bulk", true),
        ("PRECEDENCE:\tList (really)", true),
        ("Precedence: junk", true),
        ("Precedence: first-class", false),
        ("Auto-Submitted: auto-replied", true),
        ("Auto-Submitted: auto-generated; type=x", true),
        ("Auto-Submitted: No", false),
        ("Auto-Submitted: no (by hand)", false),
        ("X-List-Id: 1", false),
        ("Subject: Precedence: bulk", false),
        ("Subject: a\r\n Precedence: bulk", false),
    ] {
        let message = format!("From: joe@example.org\r\n{field}\r\n\r\nList-Id: x\r\n");
        for piece in [1, 7, 1_000] {
            assert_eq!(scan(message.as_bytes(), piece).header.bulk, bulk, "{field}");
        }
    }
}

#[test]
fn two_from_fields_name_nobody() {
    let facts = facts("From: joe@example.org\r\nFrom: joe@example.org\r\n\r\n");
    assert_eq!(facts.header.author, Author::Ambiguous);
    assert_eq!(scan(b"Subject: x\r\n\r\nFrom: joe@example.org\r\n", 9).header.author, Author::Missing);
}

#[test]
fn protected_messages_are_recognised_and_not_signed_again() {
    let [rsa, _] = identities();
    for (field, body, protection) in [
        ("multipart/signed; boundary=b; protocol=x", "", Protection::Signed),
        ("application/pkcs7-mime; smime-type=signed-data", "", Protection::OpaqueSigned),
        ("application/pkcs7-mime; smime-type=enveloped-data", "", Protection::Encrypted),
        ("application/x-pkcs7-mime; name=smime.p7m", "", Protection::Encrypted),
        ("application/octet-stream; name=\"smime.p7m\"", "", Protection::Encrypted),
        ("multipart/encrypted; boundary=b", "", Protection::OpenPgpEncrypted),
        ("text/plain", "-----BEGIN PGP MESSAGE-----\r\n", Protection::OpenPgpInline),
        ("text/plain", "\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n", Protection::OpenPgpInline),
    ] {
        let message = format!("Content-Type: {field}\r\n\r\n{body}caf\u{e9} \r\n");
        assert_eq!(facts(&message).protection, protection, "{field}");
        assert_eq!(sign(message.as_bytes(), rsa, None), Err(SigningError::AlreadyProtected));
        let recipe = Recipe::pass(b"", Firewalled::default()).unwrap();
        assert_eq!(emit(&recipe, message.as_bytes(), 5), message.as_bytes());
    }
}

#[test]
fn a_mention_of_openpgp_protects_nothing() {
    for body in [
        "See:\r\n-----BEGIN PGP MESSAGE-----\r\n",
        "> -----BEGIN PGP MESSAGE-----\r\n",
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n",
    ] {
        assert_eq!(facts(&format!("Subject: x\r\n\r\n{body}")).protection, Protection::None);
    }
    let certificates = "Content-Type: application/pkcs7-mime; smime-type=certs-only\r\n\r\n";
    assert_eq!(facts(certificates).protection, Protection::None);
}

#[test]
fn what_cannot_be_signed_says_why() {
    let [rsa, _] = identities();
    let long = "x".repeat(999);
    for (message, obstacle) in [
        ("no field\r\n\r\nx".to_string(), Obstacle::HeaderMalformed),
        (" folded first\r\nFrom: x\r\n\r\nx".into(), Obstacle::HeaderMalformed),
        ("Subject: x\r\n\r\nbare\nend".into(), Obstacle::HeaderMalformed),
        ("Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nx".into(), Obstacle::HeaderAmbiguous),
        (
            "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\nx".into(),
            Obstacle::HeaderAmbiguous,
        ),
        ("Content-Type : text/plain\r\n\r\nx".into(), Obstacle::HeaderAmbiguous),
        (format!("Content-Type: text/plain; x={}\r\n\r\nx", "y".repeat(9_000)), Obstacle::HeaderAmbiguous),
        (format!("Content-X: {}\r\n\r\nx", "y".repeat(17_000)), Obstacle::HeaderTooLong),
        (format!("Content-Type: message/partial\r\n\r\n{long}"), Obstacle::LineTooLong),
        (format!("Content-Type: multipart/mixed\r\n\r\n{long}"), Obstacle::LineTooLong),
        (format!("Content-Transfer-Encoding: x-own\r\n\r\n{long}"), Obstacle::LineTooLong),
        (
            format!(
                "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b\r\n\r\n\u{e9}\r\n--b--\r\n",
                "--b\r\n\r\n\r\n".repeat(5_000)
            ),
            Obstacle::TooManyParts,
        ),
    ] {
        assert_eq!(facts(&message).obstacle, Some(obstacle), "{:.60}", message);
        assert_eq!(sign(message.as_bytes(), rsa, None), Err(SigningError::Obstacle(obstacle)));
    }
    // As many parts as one likes, if nothing has to be done to them.
    let many = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
        "--b\r\n\r\n\r\n".repeat(5_000)
    );
    assert_eq!(facts(&many).obstacle, None);
}

#[test]
fn parts_that_may_not_be_touched_ask_for_a_clean_way() {
    for (message, when_signed) in [
        ("Subject: x\r\n\r\ncaf\u{e9}\r\n", false),
        ("Subject: caf\u{e9}\r\n\r\nx\r\n", true),
        ("Content-Type: message/delivery-status\r\n\r\ncaf\u{e9}\r\n", true),
        ("Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n\u{e9}\r\n", true),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\nno part: readers show this \u{e9}\r\n", true),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\nno part \u{e9}\r\n--b--\r\n", true),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--bb \u{e9}\r\n--b\r\n\r\n--b--\r\n", true),
        (
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: a; filename=\u{e9}\r\n\r\n--b--\r\n",
            true,
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n\u{e9}\r\n--b--\r\n",
            true,
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n\u{e9}\r\n--b\r\n\r\n\u{e9}\r\n--b--\r\n\u{e9}\r\n",
            false,
        ),
    ] {
        let facts = facts(message);
        assert!(facts.eight_bit, "{message:?}");
        assert_eq!(facts.eight_bit_when_signed, when_signed, "{message:?}");
        assert_eq!(facts.obstacle, None, "{message:?}");
    }
}

#[test]
fn stored_facts_fit_their_record_and_survive_nothing_but_themselves() {
    let author = format!("{}@{}.example", "a".repeat(60), "b.".repeat(120).trim_end_matches('.'));
    let many = format!(
        "From: {author}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
        "--b\r\nContent-Type: image/png\r\n\r\n\u{e9}\r\n".repeat(4_095)
    );
    let facts = facts(&many);
    assert_eq!((facts.obstacle, &facts.header.author), (None, &Author::One(author)));
    let bytes = facts.to_bytes();
    assert!(bytes.len() <= limits::mime::FACTS_BYTES_MAX, "{}", bytes.len());
    assert_eq!(Facts::from_bytes(&bytes), Ok(facts));
    for bad in [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0]].concat(), b"", &[9], &[1]] {
        assert_eq!(Facts::from_bytes(bad), Err(FactsUnreadable));
    }
}

#[test]
fn the_largest_recipe_fits_its_record() {
    let [rsa, _] = identities();
    let many = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n",
        "--b\r\nContent-Type: image/png\r\n\r\n\u{e9}\r\n".repeat(4_095)
    );
    let recipe = sign(many.as_bytes(), rsa, Some(1_800_000_000)).unwrap();
    let bytes = recipe.to_bytes();
    assert!(bytes.len() <= limits::mime::RECIPE_BYTES_MAX);
    for bad in [&bytes[..bytes.len() - 1], &[bytes.as_slice(), &[0]].concat(), b"", &[9], &[1]] {
        assert_eq!(Recipe::from_bytes(bad), Err(RecipeUnreadable));
    }
}

#[test]
fn passing_puts_whole_fields_before_untouched_octets() {
    let recipe = Recipe::pass(b"Received: from a\r\n by b\r\nDate: now\r\n", Firewalled::default()).unwrap();
    assert_eq!(recipe.emitted_size(3, Audience::Internet), 3 + 36);
    assert_eq!(emit(&recipe, b"a\0\xff", 1), b"Received: from a\r\n by b\r\nDate: now\r\na\0\xff");
    let long = [b'x'; limits::mime::PREPEND_BYTES_MAX];
    for bad in [
        &b"no line end"[..],
        b" folded\r\n",
        b"\r\n",
        b"a: b\r\n\r\n",
        b"a: b\r\n\r\nc: d\r\n",
        b"a: b\nc: d\r\n",
        b"a\0: b\r\n",
        &[&long[..], b"\r\n"].concat(),
    ] {
        assert_eq!(Recipe::pass(bad, Firewalled::default()), Err(PrependInvalid));
    }
}

#[test]
fn a_signature_of_another_form_than_the_keys_is_refused() {
    let [rsa, p256] = identities();
    let message = b"Subject: x\r\n\r\nbody\r\n";
    let facts = scan(message, 100);
    let ask = |chain: &[&[u8]]| {
        let mut signing = Signing::new(&facts, chain, None, [0; 24], b"").unwrap();
        signing.push(message);
        signing.finish().unwrap()
    };
    let (r, s) = (&[1; 32], &[2; 32]);
    for wrong in [RawSignature::Rsa(&[1; 255]), RawSignature::Rsa(&[]), RawSignature::Ecdsa { r, s }] {
        let (question, awaiting) = ask(&rsa.chain());
        assert_eq!(question.purpose, Purpose::RsaPkcs1Sha256);
        assert_eq!(awaiting.answer(wrong), Err(SigningError::Signature));
    }
    for wrong in [
        RawSignature::Rsa(&[1; 256]),
        RawSignature::EcdsaDer(b"\x30\x00"),
        RawSignature::Ecdsa { r, s: &[0; 32] },
        RawSignature::Ecdsa { r: &[1; 33], s },
    ] {
        let (question, awaiting) = ask(&p256.chain());
        assert_eq!(question.purpose, Purpose::EcdsaP256Sha256);
        assert_eq!(awaiting.answer(wrong), Err(SigningError::Signature));
    }
}

#[test]
fn a_chain_that_cannot_sign_is_refused_and_the_root_stays_at_home() {
    let [rsa, _] = identities();
    let message = b"Subject: x\r\n\r\nbody\r\n";
    let facts = scan(message, 100);
    let begin = |chain: &[&[u8]]| Signing::new(&facts, chain, None, [0; 24], b"").map(|_| ());
    let leaf = rsa.chain[0].as_slice();
    let cut = &leaf[..leaf.len() - 1];
    let longer = [leaf, &[0]].concat();
    for bad in [&[][..], &[cut], &[longer.as_slice()], &[leaf, b"x"], &[leaf; 7]] {
        assert_eq!(begin(bad), Err(SigningError::Certificate));
    }
    openssl(&rsa.dir, &["ecparam", "-genkey", "-name", "secp384r1", "-noout", "-out", "p384.key"], b"")
        .unwrap();
    let arguments = [
        "req",
        "-new",
        "-x509",
        "-key",
        "p384.key",
        "-subj",
        "/CN=x",
        "-outform",
        "DER",
        "-config",
        "/etc/ssl/openssl.cnf",
    ];
    let p384 = openssl(&rsa.dir, &arguments, b"").unwrap();
    assert_eq!(begin(&[&p384]), Err(SigningError::Certificate));
    assert_eq!(begin(&rsa.chain()), Ok(()));
    let stored = sign(message, rsa, None).unwrap().to_bytes();
    let holds = |der: &[u8]| stored.windows(der.len()).any(|window| window == der);
    let held: Vec<bool> = rsa.chain.iter().map(|der| holds(der)).collect();
    assert_eq!(held, [true, true, false]);
}
