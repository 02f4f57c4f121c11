//! A throw-away certification authority of the `openssl` program: a root, an issuing authority below it, and
//! certificates for S/MIME made from certificate signing requests.

use anyhow::{Context as _, Result, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The authority, in a folder of its own.
#[derive(Debug)]
pub struct Ca {
    folder: PathBuf,
    issued: usize,
}

/// What a certificate is issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Signing mail: what the appliance needs.
    Mail,
    /// A web server: no certificate for mail.
    WebServer,
}

impl Ca {
    /// Makes root and issuing authority in `folder`.
    ///
    /// # Errors
    /// If `openssl` is missing or fails.
    pub fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let ca = Self { folder: folder.to_path_buf(), issued: 0 };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let root = [
            "-x509",
            "-days",
            "3650",
            "-subj",
            "/CN=Throw-away root",
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
        ];
        let extensions = [
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ];
        ca.openssl(&[&["req"], &key[..], &root, &extensions].concat())?;
        let issuing =
            ["-subj", "/CN=Throw-away issuing authority", "-keyout", "issuing.key", "-out", "issuing.csr"];
        ca.openssl(&[&["req", "-new"], &key[..], &issuing].concat())?;
        fs::write(
            ca.folder.join("issuing.ext"),
            "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n\
             subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
        )?;
        ca.sign("issuing", "root", 3_650)?;
        Ok(ca)
    }

    /// The certificate of the root, for those who verify.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.folder.join("root.pem")
    }

    /// Issues a certificate for the key and the addresses in `csr` (PEM), valid for `days` from now; returns it with the
    /// issuing authority's behind it, as PEM.
    ///
    /// # Errors
    /// If the request is malformed, its signature wrong, or it asks for no mail address.
    pub fn issue(&mut self, csr: &str, purpose: Use, days: u32) -> Result<String> {
        self.issued += 1;
        let name = format!("leaf-{}", self.issued);
        fs::write(self.folder.join(format!("{name}.csr")), csr)?;
        let request = format!("{name}.csr");
        let text = self.openssl(&["req", "-in", &request, "-noout", "-verify", "-text"])?;
        let addresses: Vec<&str> = text
            .split([',', ' ', '\n'])
            .filter_map(|word| word.strip_prefix("email:"))
            .filter(|address| address.contains('@'))
            .collect();
        ensure!(!addresses.is_empty(), "the request asks for no mail address:\n{text}");
        let names: Vec<String> = addresses.iter().map(|a| format!("email:{a}")).collect();
        let purpose = match purpose {
            Use::Mail => "emailProtection",
            Use::WebServer => "serverAuth",
        };
        fs::write(
            self.folder.join(format!("{name}.ext")),
            format!(
                "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
                 extendedKeyUsage={purpose}\nsubjectAltName={}\n\
                 subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n",
                names.join(",")
            ),
        )?;
        self.sign(&name, "issuing", days)?;
        let leaf = fs::read_to_string(self.folder.join(format!("{name}.pem")))?;
        let issuing = fs::read_to_string(self.folder.join("issuing.pem"))?;
        Ok(leaf + &issuing)
    }

    fn sign(&self, name: &str, by: &str, days: u32) -> Result<()> {
        let file = |suffix: &str| format!("{name}.{suffix}");
        let (request, extensions, out) = (file("csr"), file("ext"), file("pem"));
        let (certificate, key, days) = (format!("{by}.pem"), format!("{by}.key"), days.to_string());
        let files =
            ["-in", &request, "-CA", &certificate, "-CAkey", &key, "-extfile", &extensions, "-out", &out];
        self.openssl(&[&["x509", "-req", "-CAcreateserial", "-days", &days][..], &files].concat())?;
        Ok(())
    }

    fn openssl(&self, arguments: &[&str]) -> Result<String> {
        run(&self.folder, arguments)
    }
}

/// Runs `openssl` in `folder` and returns what it printed.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments)
        .output()
        .context("cannot start openssl; `cargo xtask setup` installs what is missing")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "openssl {} failed:\n{printed}{said}", arguments.join(" "));
    Ok(printed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::ScratchDir;

    #[test]
    fn a_request_becomes_a_chain_that_verifies_for_mail() {
        let scratch = ScratchDir::new().expect("temporary folder");
        let mut ca = Ca::new(&scratch.path().join("ca")).expect("openssl");
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key"];
        let names = ["-subj", "/CN=a", "-addext", "subjectAltName=email:a@example.org", "-out", "csr"];
        run(scratch.path(), &[&["req", "-new"], &key[..], &names].concat()).expect("request");
        let csr = fs::read_to_string(scratch.path().join("csr")).expect("written");
        let chain = ca.issue(&csr, Use::Mail, 10).expect("issued");
        assert_eq!(chain.matches("BEGIN CERTIFICATE").count(), 2);
        fs::write(scratch.path().join("chain"), chain).expect("written");
        let verify =
            ["verify", "-purpose", "smimesign", "-CAfile", "ca/root.pem", "-untrusted", "chain", "chain"];
        run(scratch.path(), &verify).expect("verifies");
        assert!(ca.issue("no request", Use::Mail, 10).is_err());
    }
}
