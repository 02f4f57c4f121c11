//! Certificates, chains and requests against the `openssl` program.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authority;

use authority::{Authority, DAY, Directory, P256, P384, RSA, mail, now};
use pki::{
    Certificate, CertificateError, Chain, ChainError, ChainFault, Expected, PublicKey, PublicKeyError,
    Request, Scope, SignatureAlgorithm, pem,
};

fn certificate(text: &str) -> Certificate {
    Certificate::from_der(&pem::certificates(text.as_bytes()).unwrap()[0]).unwrap()
}

fn import(text: &str, key: &PublicKey, address: &str, now: Option<u64>) -> Result<Chain, ChainError> {
    let scope = Scope::parse(address).unwrap();
    Chain::from_pem(text.as_bytes(), &Expected { key, scope: &scope, now })
}

fn fault(text: &str, key: &PublicKey, address: &str, now: Option<u64>) -> (ChainFault, Option<usize>) {
    let error = import(text, key, address, now).unwrap_err();
    (error.fault, error.certificate)
}

#[test]
fn the_facts_of_a_certificate_are_what_openssl_put_into_it() {
    let ca = Authority::new(P256, "-sha256");
    let text = ca.leaf(
        "ann",
        RSA,
        &mail("ann@example.org,email:lee@example.org,otherName:1.3.6.1.5.5.7.8.9;UTF8:jo@example.org"),
    );
    let leaf = certificate(&text);
    assert_eq!(leaf.subject(), "CN=ann");
    assert_eq!(leaf.issuer(), "CN=Issuing,O=Test");
    assert_eq!(leaf.mailboxes(), ["ann@example.org", "lee@example.org", "jo@example.org"]);
    assert_eq!(leaf.public_key().kind(), "RSA-2048");
    assert_eq!(leaf.signature_algorithm(), SignatureAlgorithm::EcdsaSha256);
    assert!(leaf.allows_mail_signing() && !leaf.allows_mail_encryption() && !leaf.allows_issuing(0));
    assert!(leaf.is_valid_at(now()) && !leaf.is_valid_at(now() + 21 * DAY) && !leaf.is_valid_at(0));
    let issuing = certificate(&ca.issuing());
    assert!(issuing.allows_issuing(0) && issuing.allows_issuing(3));
    assert!(leaf.is_issued_by(&issuing) && !leaf.is_issued_by(&certificate(&ca.root())));
    assert_eq!(leaf.authority_key_id(), issuing.subject_key_id());
    assert_eq!(leaf.public_key().to_spki().unwrap(), leaf.spki_der());
    assert_eq!(issuing.public_key().to_spki().unwrap(), issuing.spki_der());
    let fingerprint = ca.directory.openssl("x509 -in ann.pem -noout -fingerprint -sha256");
    let ours: Vec<String> = leaf.sha256().iter().map(|octet| format!("{octet:02X}")).collect();
    assert!(fingerprint.contains(&ours.join(":")));
    let serial = ca.directory.openssl("x509 -in ann.pem -noout -serial");
    let ours: String = leaf.serial_der()[2..].iter().map(|octet| format!("{octet:02X}")).collect();
    assert!(ours.contains(serial.trim().trim_start_matches("serial=")));
}

#[test]
fn a_chain_is_put_in_order_whatever_the_order_of_the_paste() {
    for (key, digest) in [
        (P256, "-sha256"),
        (P256, "-sha384"),
        (P256, "-sha512"),
        (RSA, "-sha256"),
        (RSA, "-sha384"),
        (RSA, "-sha512"),
    ] {
        let ca = Authority::new(key, digest);
        let leaf = ca.leaf("ann", P256, &mail("ann@example.org"));
        let key = certificate(&leaf).public_key().clone();
        let wanted = [certificate(&leaf), certificate(&ca.issuing()), certificate(&ca.root())];
        for text in [
            format!("{leaf}{}{}", ca.issuing(), ca.root()),
            format!("{}\n# text\n{}{leaf}{leaf}", ca.root(), ca.issuing()),
        ] {
            let chain = import(&text, &key, "ann@example.org", Some(now())).unwrap();
            assert_eq!(chain.certificates(), wanted);
            assert_eq!(Chain::from_der(&chain.to_der()).unwrap(), chain);
        }
        let short = import(&leaf, &key, "Ann@EXAMPLE.org", None).unwrap();
        assert_eq!(short.certificates().len(), 1);
        assert!(import(&leaf, &key, "@example.org", None).is_ok());
    }
}

#[test]
fn every_fault_of_a_chain_has_its_own_error() {
    let ca = Authority::new(P256, "-sha256");
    let leaf = ca.leaf("ann", P256, &mail("ann@example.org"));
    let key = certificate(&leaf).public_key().clone();
    let all = format!("{leaf}{}{}", ca.issuing(), ca.root());
    let ann = "ann@example.org";

    let other = ca.leaf("bob", P256, &mail(ann));
    assert_eq!(fault(&other, &key, ann, None), (ChainFault::WrongKey, None));
    let not_after = certificate(&leaf).not_after();
    assert_eq!(fault(&all, &key, ann, Some(not_after + 1)), (ChainFault::Expired(not_after), Some(1)));
    let not_before = certificate(&leaf).not_before();
    assert_eq!(fault(&all, &key, ann, Some(not_before - 1)), (ChainFault::NotYetValid(not_before), Some(1)));
    assert_eq!(
        fault(&all, &key, "bob@example.org", None),
        (ChainFault::AddressMissing("ann@example.org".into()), Some(1))
    );
    assert!(matches!(fault(&all, &key, "@example.com", None), (ChainFault::AddressMissing(_), Some(1))));
    // The intermediate is missing: the root issued nothing that is there.
    assert_eq!(fault(&format!("{leaf}{}", ca.root()), &key, ann, None), (ChainFault::Unrelated, Some(2)));
    let stranger = Authority::new(P256, "-sha256");
    assert_eq!(
        fault(&format!("{leaf}{}", stranger.issuing()), &key, ann, None),
        (ChainFault::BadSignature, Some(1)),
        "an authority of the same name with another key"
    );
    let cut = &all[..all.len() - 40];
    assert_eq!(fault(cut, &key, ann, None), (ChainFault::Pem(pem::PemError::Truncated(3)), None));
    assert!(matches!(fault("hello", &key, ann, None), (ChainFault::Pem(pem::PemError::NoCertificate), None)));

    for (extensions, wanted) in [
        ("subjectAltName=email:ann@example.org\nextendedKeyUsage=serverAuth\n", ChainFault::NotForMail),
        ("subjectAltName=email:ann@example.org\nkeyUsage=keyEncipherment\n", ChainFault::NotForMail),
        ("subjectAltName=DNS:example.org\n", ChainFault::AddressMissing(String::new())),
        ("subjectAltName=email:ann@example.org\n1.2.3.4=critical,DER:0500\n", ChainFault::CriticalExtension),
    ] {
        let text = ca.issue("ann", "issuing", extensions);
        assert_eq!(fault(&text, &key, ann, None), (wanted, Some(1)), "{extensions}");
    }
    // The plainest certificate that is allowed.
    let text = ca.issue("ann", "issuing", "subjectAltName=email:ann@example.org\n");
    import(&text, &key, ann, None).unwrap();

    // An end entity that issues.
    let below = {
        ca.directory.openssl(&format!("req -new {P256} -nodes -keyout eve.key -out eve.csr -subj /CN=eve"));
        ca.issue("bob", "issuing", &mail("bob@example.org"));
        ca.issue("eve", "bob", &mail("eve@example.org"))
    };
    let eve = certificate(&below).public_key().clone();
    let text = format!("{below}{}", ca.directory.read("bob.pem"));
    assert_eq!(fault(&text, &eve, "eve@example.org", None), (ChainFault::NotAnAuthority, Some(2)));
}

#[test]
fn what_is_not_supported_is_named() {
    let ca = Authority::new(P384, "-sha384");
    let leaf = ca.leaf("ann", P256, &mail("ann@example.org"));
    let key = certificate(&leaf).public_key().clone();
    // Alone it says nothing about its issuer's key; with the issuer there is a key that cannot be used.
    import(&leaf, &key, "ann@example.org", None).unwrap();
    let text = format!("{leaf}{}", ca.issuing());
    let error = import(&text, &key, "ann@example.org", None).unwrap_err();
    assert_eq!(
        error.fault,
        ChainFault::Certificate(CertificateError::Key(PublicKeyError::Unsupported("EC P-384")))
    );
    assert_eq!(error.to_string(), "certificate 2: keys of kind EC P-384 are not supported");

    let pss = Authority::new(RSA, "-sha256 -sigopt rsa_padding_mode:pss");
    let leaf = pss.leaf("ann", P256, &mail("ann@example.org"));
    let key = certificate(&leaf).public_key().clone();
    let text = format!("{leaf}{}", pss.issuing());
    assert_eq!(fault(&text, &key, "ann@example.org", None), (ChainFault::Unsupported("RSASSA-PSS"), Some(1)));
}

#[test]
fn a_request_is_accepted_by_openssl_and_asks_for_the_right_things() {
    let directory = Directory::new();
    for (new_key, common_name) in [(RSA, Some("Ann Lee, Sales")), (P256, None)] {
        directory
            .openssl(&format!("req -x509 {new_key} -nodes -keyout key.pem -out own.pem -subj /CN=x -days 1"));
        let key = certificate(&directory.read("own.pem")).public_key().clone();
        let scope = Scope::parse("ann@example.org").unwrap();
        let request = Request::new(&key, &scope, common_name).unwrap();
        directory.write("digest", request.digest());
        directory.openssl("pkeyutl -sign -inkey key.pem -in digest -out signature -pkeyopt digest:sha256");
        let signature = std::fs::read(directory.path("signature")).unwrap();
        assert!(key.verify_sha256(&request.digest(), &signature));
        let der = request.finish(&signature).unwrap();
        directory.write("request.pem", pem::encode("CERTIFICATE REQUEST", &der));
        let text = directory.openssl("req -in request.pem -noout -verify -text -nameopt RFC2253");
        assert!(text.contains("verify OK"), "{text}");
        let name = common_name.unwrap_or("ann@example.org").replace(',', "\\,");
        assert!(text.contains(&format!("Subject: emailAddress=ann@example.org,CN={name}")), "{text}");
        for wanted in [
            "email:ann@example.org",
            "X509v3 Key Usage: critical",
            "Digital Signature, Non Repudiation",
            "E-mail Protection",
        ] {
            assert!(text.contains(wanted), "{wanted}: {text}");
        }
    }
}

#[test]
fn a_request_does_not_take_a_wrong_signature_or_a_useless_name() {
    let ca = Authority::new(P256, "-sha256");
    let key = certificate(&ca.leaf("ann", P256, &mail("ann@example.org"))).public_key().clone();
    let scope = Scope::parse("@example.org").unwrap();
    let request = Request::new(&key, &scope, None).unwrap();
    assert_eq!(request.finish(&[0x30, 6, 2, 1, 1, 2, 1, 1]), Err(pki::RequestError::Signature));
    for name in ["", "a\nb", &"x".repeat(65)] {
        assert!(matches!(Request::new(&key, &scope, Some(name)), Err(pki::RequestError::CommonName)));
    }
    let long = Scope::parse(&format!("{}@example.org", "x".repeat(80))).unwrap();
    assert!(Request::new(&key, &long, None).is_ok());
}

/// Small, repeatable pseudo-random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    /// One of several kinds of damage.
    fn damage(&mut self, octets: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            if octets.is_empty() {
                return;
            }
            let at = self.below(octets.len());
            match self.below(6) {
                0 => octets[at] ^= 1 << self.below(8),
                1 => octets[at] = [0, 0x7f, 0x80, 0xff, 0x30, 0x84][self.below(6)],
                2 => octets.truncate(at),
                3 => drop(octets.remove(at)),
                4 => octets.insert(at, u8::try_from(self.below(256)).unwrap()),
                _ => {
                    let end = (at + self.below(40)).min(octets.len());
                    let piece = octets[at..end].to_vec();
                    let to = self.below(octets.len());
                    octets.splice(to..to, piece);
                }
            }
        }
    }
}

#[test]
fn damaged_certificates_chains_and_pastes_never_panic_and_never_pass_for_the_original() {
    let ca = Authority::new(RSA, "-sha256");
    let leaf_text = ca.leaf("ann", RSA, &mail("ann@example.org"));
    let leaf = certificate(&leaf_text);
    let key = leaf.public_key().clone();
    let issuing = certificate(&ca.issuing());
    let text = format!("{leaf_text}{}{}", ca.issuing(), ca.root());
    let chain = import(&text, &key, "ann@example.org", None).unwrap().to_der();
    let spki = leaf.spki_der().to_vec();
    let mut random = Random(2026);
    for round in 0..4_000 {
        let mut der = leaf.der().to_vec();
        random.damage(&mut der);
        if let Ok(read) = Certificate::from_der(&der)
            && read.tbs_der() != leaf.tbs_der()
        {
            assert!(!read.is_issued_by(&issuing), "round {round}");
        }
        let mut der = chain.clone();
        random.damage(&mut der);
        let _ = Chain::from_der(&der);
        let mut der = spki.clone();
        random.damage(&mut der);
        let _ = PublicKey::from_spki(&der);
        if round % 4 == 0 {
            let mut damaged = text.clone().into_bytes();
            random.damage(&mut damaged);
            if let Ok(read) = import(&String::from_utf8_lossy(&damaged), &key, "ann@example.org", None) {
                assert_eq!(read.leaf().tbs_der(), leaf.tbs_der());
            }
        }
    }
}
