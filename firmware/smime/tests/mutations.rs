//! Input that nobody wrote on purpose: nothing panics, sizes agree, what was hashed is what leaves.
#![allow(clippy::unwrap_used)]

mod common;

use common::{emit, identities, scan, signed_part};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use smime::{Audience, Emitter, Facts, Purpose, RawSignature, Recipe, Signing};

const SEED: &[u8] = "From: Joe <joe@example.org>\r\nSubject: x\r\nMIME-Version: 1.0\r\n\
Content-Type: multipart/mixed; boundary=\"=_a\"\r\nContent-Transfer-Encoding: 8bit\r\n\r\npreamble \u{e9}\r\n\
--=_a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\u{e9} \r\nFrom x\r\n.\r\n\
--=_a\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: y\r\n\
Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nplain\r\n--b\r\nContent-Type: text/html\r\n\
Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9=\r\nx \r\n--b--\r\n\
--=_a\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD QUJD\r\n\
--=_a\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\u{1}\u{80}\u{81}\u{ff}\r\n\
--=_a\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx \r\n--s--\r\n--=_a--\r\nepilogue\r\n"
    .as_bytes();

/// Signs with octets that are no signature; everything else is as it is.
fn sign_somehow(message: &[u8], facts: &Facts) -> Option<Recipe> {
    let [_, p256] = identities();
    let mut signing = Signing::new(facts, &p256.chain(), None, [0; 24], b"").ok()?;
    message.chunks(97).for_each(|octets| signing.push(octets));
    let (question, awaiting) = signing.finish().ok()?;
    assert_eq!(question.purpose, Purpose::EcdsaP256Sha256);
    Some(awaiting.answer(RawSignature::Ecdsa { r: &[1; 32], s: &[0x80; 32] }).unwrap())
}

fn check(message: &[u8], piece: usize) -> Result<(), TestCaseError> {
    let facts = scan(message, piece);
    prop_assert_eq!(&scan(message, usize::MAX), &facts);
    let bytes = facts.to_bytes();
    prop_assert!(bytes.len() <= limits::mime::FACTS_BYTES_MAX);
    prop_assert_eq!(Facts::from_bytes(&bytes), Ok(facts.clone()));
    let Some(recipe) = sign_somehow(message, &facts) else { return Ok(()) };
    let wire = emit(&recipe, message, piece);
    prop_assert_eq!(wire.len(), recipe.emitted_size(message.len() as u32, Audience::Internet) as usize);
    prop_assert!(wire == emit(&recipe, message, usize::MAX));
    // The digest in the CMS object is that of the part.
    let digest = Sha256::digest(signed_part(&wire));
    let stored = recipe.to_bytes();
    prop_assert!(stored.windows(32).any(|window| window == digest.as_slice()));
    prop_assert!(facts.eight_bit_when_signed || wire.is_ascii());
    // The output of one piece is bounded.
    let mut emitter = Emitter::new(&recipe, Audience::Internet);
    let mut out = Vec::new();
    for octets in message.chunks(piece) {
        out.clear();
        emitter.push(octets, &mut out);
        prop_assert!(
            out.len()
                <= octets.len() * limits::mime::EXPANSION_FACTOR_MAX + 2 * limits::mime::RECIPE_BYTES_MAX
        );
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Mutation {
    Flip(u8),
    Insert(Vec<u8>),
    Remove(usize),
    Repeat(usize),
}

fn mutation() -> impl Strategy<Value = (prop::sample::Index, Mutation)> {
    let token = prop::sample::select(vec![
        &b"\r\n"[..],
        b"--",
        b"--=_a\r\n",
        b"--b--",
        b": ",
        b" ",
        b"\t\r\n",
        b"\"",
        b";",
        b"=",
        b"\xe9",
        b"\r",
        b"\n",
        b"From ",
        b".\r\n",
        b"Content-Type: text/plain\r\n",
        b"Content-Transfer-Encoding: 8bit\r\n",
    ]);
    let mutation = prop_oneof![
        any::<u8>().prop_map(Mutation::Flip),
        token.prop_map(|token| Mutation::Insert(token.to_vec())),
        (1..1_100usize).prop_map(|n| Mutation::Insert(vec![b'z'; n])),
        (1..40usize).prop_map(Mutation::Remove),
        (1..40usize).prop_map(Mutation::Repeat),
    ];
    (any::<prop::sample::Index>(), mutation)
}

fn apply(message: &mut Vec<u8>, at: usize, mutation: &Mutation) {
    match mutation {
        Mutation::Flip(bits) => message[at] ^= bits,
        Mutation::Insert(octets) => {
            message.splice(at..at, octets.iter().copied());
        }
        Mutation::Remove(length) => {
            let end = (at + length).min(message.len());
            message.drain(at..end);
            message.extend_from_slice(b"\r\n");
        }
        Mutation::Repeat(length) => {
            let end = (at + length).min(message.len());
            message.extend_from_within(at..end);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..Default::default()
    })]

    #[test]
    fn mutated_mail_is_signed_consistently_or_refused(
        mutations in prop::collection::vec(mutation(), 1..8),
        piece in 1..200usize,
    ) {
        let mut message = SEED.to_vec();
        for (at, mutation) in &mutations {
            let at = at.index(message.len());
            apply(&mut message, at, mutation);
        }
        check(&message, piece)?;
    }

    #[test]
    fn random_octets_are_handled(message in prop::collection::vec(any::<u8>(), 0..600), piece in 1..100usize) {
        check(&message, piece)?;
        check(&[b"Subject: x\r\n\r\n", message.as_slice()].concat(), piece)?;
    }

    #[test]
    fn random_stored_values_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let versioned = [&[1], bytes.as_slice()].concat();
        let _ = Facts::from_bytes(&versioned);
        if let Ok(recipe) = Recipe::from_bytes(&versioned) {
            emit(&recipe, SEED, 10);
        }
    }
}
