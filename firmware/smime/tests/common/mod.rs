//! Keys and certificates made by the openssl program, and the way from a message to what leaves.
#![allow(dead_code, clippy::unwrap_used)]

use smime::{Audience, Emitter, Facts, Purpose, RawSignature, Recipe, Scanner, Signing, SigningError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::{fs, io::Write};

/// A directory that goes away with its owner.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("smime-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs openssl; its output, or its complaint.
pub fn openssl(dir: &Path, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, String> {
    let mut child = Command::new("openssl")
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl is not installed: apt install openssl");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// A signer with its authority.
pub struct Identity {
    /// Where `root.pem` and the keys are.
    pub dir: PathBuf,
    key: &'static str,
    /// Leaf, intermediate, root, in DER.
    pub chain: Vec<Vec<u8>>,
}

const EXTENSIONS: &str = "[ca]\nbasicConstraints=critical,CA:true\nkeyUsage=critical,keyCertSign,cRLSign\n\
    subjectKeyIdentifier=hash\n\
    [leaf]\nbasicConstraints=CA:false\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=emailProtection\n\
    subjectAltName=email:joe@example.org\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";

fn make_identities() -> [Identity; 2] {
    // Shared by all tests of one run, so nobody of them removes it: the next run does, when the owner has ended.
    let all = std::env::temp_dir().join("smime-test-identities");
    for old in fs::read_dir(&all).into_iter().flatten().flatten() {
        if !Path::new("/proc").join(old.file_name()).exists() {
            let _ = fs::remove_dir_all(old.path());
        }
    }
    let dir = all.join(std::process::id().to_string());
    fs::create_dir_all(&dir).unwrap();
    let run = |arguments: &str| {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        openssl(&dir, &arguments, b"").unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
    };
    fs::write(dir.join("ext.cnf"), EXTENSIONS).unwrap();
    for name in ["root", "middle", "p256"] {
        run(&format!("ecparam -genkey -name prime256v1 -noout -out {name}.key"));
    }
    run("genrsa -out rsa.key 2048");
    run(
        "req -new -x509 -key root.key -out root.pem -days 30 -subj /O=Test/CN=Root -config /etc/ssl/openssl.cnf",
    );
    let sign = |name: &str, authority: &str, section: &str| {
        run(&format!(
            "req -new -key {name}.key -out {name}.csr -subj /O=Test/CN={name} -config /etc/ssl/openssl.cnf"
        ));
        run(&format!(
            "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 30 -extfile ext.cnf -extensions {section} -out {name}.pem"
        ));
    };
    sign("middle", "root", "ca");
    sign("p256", "middle", "leaf");
    sign("rsa", "middle", "leaf");
    let der =
        |name: &str| openssl(&dir, &["x509", "-in", &format!("{name}.pem"), "-outform", "DER"], b"").unwrap();
    ["rsa", "p256"].map(|key| Identity {
        dir: dir.clone(),
        key,
        chain: vec![der(key), der("middle"), der("root")],
    })
}

/// An RSA-2048 and a P-256 identity.
pub fn identities() -> &'static [Identity; 2] {
    static IDENTITIES: OnceLock<[Identity; 2]> = OnceLock::new();
    IDENTITIES.get_or_init(make_identities)
}

impl Identity {
    pub fn chain(&self) -> Vec<&[u8]> {
        self.chain.iter().map(Vec::as_slice).collect()
    }

    /// The raw signature of a SHA-256 digest.
    pub fn sign(&self, digest: &[u8; 32]) -> Vec<u8> {
        let key = format!("{}.key", self.key);
        openssl(&self.dir, &["pkeyutl", "-sign", "-inkey", &key, "-pkeyopt", "digest:sha256"], digest)
            .unwrap()
    }

    /// `openssl cms -verify`: the signed content, or why not.
    pub fn verify(&self, mail: &[u8]) -> Result<Vec<u8>, String> {
        openssl(&self.dir, &["cms", "-verify", "-CAfile", "root.pem"], mail)
    }
}

/// Reads a message in pieces of `piece` octets.
pub fn scan(message: &[u8], piece: usize) -> Facts {
    let mut scanner = Scanner::new();
    message.chunks(piece).for_each(|octets| scanner.push(octets));
    scanner.finish()
}

/// The way of a message: scanned, signed, its recipe stored and read back.
pub fn sign(message: &[u8], identity: &Identity, time: Option<u64>) -> Result<Recipe, SigningError> {
    let facts = Facts::from_bytes(&scan(message, 4_096).to_bytes()).unwrap();
    let mut signing =
        Signing::new(&facts, &identity.chain(), time, [7; 24], b"Received: from a by b;\r\n now\r\n")?;
    message.chunks(4_096).for_each(|octets| signing.push(octets));
    let (question, awaiting) = signing.finish()?;
    let signature = identity.sign(&question.digest);
    let recipe = awaiting.answer(match question.purpose {
        Purpose::RsaPkcs1Sha256 => RawSignature::Rsa(&signature),
        Purpose::EcdsaP256Sha256 => RawSignature::EcdsaDer(&signature),
    })?;
    let stored = recipe.to_bytes();
    assert!(stored.len() <= limits::mime::RECIPE_BYTES_MAX);
    assert_eq!(Recipe::from_bytes(&stored), Ok(recipe.clone()));
    Ok(recipe)
}

/// What leaves, with the stored message in pieces of `piece` octets.
pub fn emit(recipe: &Recipe, message: &[u8], piece: usize) -> Vec<u8> {
    let mut emitter = Emitter::new(recipe, Audience::Internet);
    let mut out = Vec::new();
    for octets in message.chunks(piece) {
        emitter.push(octets, &mut out);
    }
    emitter.finish(&mut out);
    out
}

/// The signed part of what leaves, cut out by its boundary.
pub fn signed_part(wire: &[u8]) -> Vec<u8> {
    let find = |needle: &[u8], from: usize| {
        wire[from..].windows(needle.len()).position(|w| w == needle).map(|at| at + from)
    };
    let quote = find(b"micalg=sha-256; boundary=\"", 0).unwrap() + 26;
    let boundary = &wire[quote..find(b"\"", quote).unwrap()];
    let delimiter = [b"\r\n--", boundary, b"\r\n"].concat();
    let start = find(&delimiter, quote).unwrap() + delimiter.len();
    wire[start..find(&delimiter, start).unwrap()].to_vec()
}
