//! A throw-away certification authority made with the `openssl` program.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory with keys and certificates, removed when dropped.
pub struct Directory(PathBuf);

impl Directory {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("authority-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `openssl` here and returns what it printed; panics with its messages if it fails.
    pub fn openssl(&self, arguments: &str) -> String {
        let (good, text) = self.try_openssl(arguments);
        assert!(good, "openssl {arguments}\n{text}");
        text
    }

    /// Runs `openssl` here: whether it succeeded, and everything it printed.
    pub fn try_openssl(&self, arguments: &str) -> (bool, String) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .output()
            .expect("openssl is installed");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.success(), text)
    }

    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub const P256: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256";
pub const P384: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-384";
pub const RSA: &str = "-newkey rsa:2048";
const CA_EXTENSIONS: &str =
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";

/// Extensions of a certificate that signs mail for `address`.
pub fn mail(address: &str) -> String {
    format!(
        "subjectAltName=email:{address}\nkeyUsage=critical,digitalSignature,nonRepudiation\nextendedKeyUsage=emailProtection\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\nbasicConstraints=CA:FALSE\n"
    )
}

/// Root and one intermediate authority in a [`Directory`]: `root.pem`, `issuing.pem`, and their keys.
pub struct Authority {
    pub directory: Directory,
    digest: &'static str,
}

impl Authority {
    /// `key` is one of the key constants; `digest` what the authorities sign with, such as `-sha256`.
    pub fn new(key: &str, digest: &'static str) -> Self {
        let directory = Directory::new();
        directory.openssl(&format!(
            "req -x509 {key} -nodes -keyout root.key -out root.pem {digest} -days 30 -subj /CN=Root -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
        ));
        directory.openssl(&format!(
            "req -new {key} -nodes -keyout issuing.key -out issuing.csr -subj /O=Test/CN=Issuing"
        ));
        let this = Self { directory, digest };
        this.issue("issuing", "root", CA_EXTENSIONS);
        this
    }

    /// Has `issuer` sign `NAME.csr` with these extensions into `NAME.pem`, and returns that.
    pub fn issue(&self, name: &str, issuer: &str, extensions: &str) -> String {
        self.directory.write("extensions", extensions);
        let digest = self.digest;
        self.directory.openssl(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -out {name}.pem {digest} -days 20 -extfile extensions"
        ));
        self.directory.read(&format!("{name}.pem"))
    }

    /// A new key and a certificate for it by the issuing authority: `NAME.key`, `NAME.pem`.
    pub fn leaf(&self, name: &str, key: &str, extensions: &str) -> String {
        self.directory
            .openssl(&format!("req -new {key} -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        self.issue(name, "issuing", extensions)
    }

    pub fn root(&self) -> String {
        self.directory.read("root.pem")
    }

    pub fn issuing(&self) -> String {
        self.directory.read("issuing.pem")
    }
}

/// Now, Unix seconds.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

pub const DAY: u64 = 86_400;
