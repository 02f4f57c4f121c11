//! Judges a message that came out of the appliance: does the signature verify, and is what was signed what was sent?

use crate::{ca, mime, process::ScratchDir};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// A message whose signature verified.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The signed entity.
    pub entity: Vec<u8>,
    /// The addresses in the signer's certificate.
    pub signers: Vec<String>,
}

/// Verifies a multipart/signed message with `openssl cms` against a root certificate.
///
/// # Errors
/// If it does not verify; carries what openssl said.
pub fn verify(content: &[u8], root: &Path) -> Result<Verified> {
    let scratch = ScratchDir::new()?;
    let folder = scratch.path();
    fs::write(folder.join("message"), content)?;
    let root = root.canonicalize().with_context(|| format!("no root certificate at {}", root.display()))?;
    let root = root.to_string_lossy();
    let files = ["-in", "message", "-CAfile", &root, "-out", "entity", "-signer", "signer"];
    ca::run(
        folder,
        &[&["cms", "-verify", "-inform", "SMIME", "-purpose", "smimesign"], &files[..]].concat(),
    )?;
    Ok(Verified { entity: fs::read(folder.join("entity"))?, signers: addresses(folder, "signer")? })
}

/// The addresses in a certificate. Asked once for each: starting openssl takes longer than its work.
fn addresses(folder: &Path, certificate: &str) -> Result<Vec<String>> {
    static KNOWN: Mutex<BTreeMap<Vec<u8>, Vec<String>>> = Mutex::new(BTreeMap::new());
    let octets = fs::read(folder.join(certificate))?;
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(addresses) = known().get(&octets) {
        return Ok(addresses.clone());
    }
    let emails = ca::run(folder, &["x509", "-in", certificate, "-noout", "-email"])?;
    let addresses: Vec<String> = emails.lines().map(str::to_owned).collect();
    known().insert(octets, addresses.clone());
    Ok(addresses)
}

/// Compares a sent message with a received one that verified: every header field that does not describe content
/// must have come through as it was, and every leaf must have the same type and octets once transfer encodings are
/// undone.
///
/// # Errors
/// The first difference.
pub fn compare(sent: &[u8], received: &[u8], entity: &[u8]) -> Result<()> {
    compare_headers(sent, received)?;
    let (before, after) = (mime::leaves(sent)?, mime::leaves(entity).context("signed entity")?);
    ensure!(before.len() == after.len(), "{} parts were sent, {} are signed", before.len(), after.len());
    for (number, (before, after)) in before.iter().zip(&after).enumerate() {
        ensure!(
            before.content_type == after.content_type,
            "part {number} was {}, is {}",
            before.content_type,
            after.content_type
        );
        if before.octets != after.octets {
            let at = before.octets.iter().zip(&after.octets).take_while(|(a, b)| a == b).count();
            bail!(
                "part {number} differs from octet {at} on: {} octets were sent, {} are signed",
                before.octets.len(),
                after.octets.len()
            );
        }
    }
    Ok(())
}

/// Compares the header fields that do not describe content.
///
/// # Errors
/// The first field that is missing, changed or out of order.
pub fn compare_headers(sent: &[u8], received: &[u8]) -> Result<()> {
    let describes = |field: &[u8]| {
        let name = mime::name(field);
        name.starts_with("content-") || name == "mime-version"
    };
    let mut after = mime::split(received).0.into_iter();
    for field in mime::split(sent).0.into_iter().filter(|f| !describes(f)) {
        ensure!(
            after.any(|f| f == field),
            "header field did not come through in its place: {:?}",
            String::from_utf8_lossy(field)
        );
    }
    Ok(())
}

/// Verifies and compares in one go, and wants the sender's address in the certificate.
///
/// # Errors
/// Whatever is wrong first.
pub fn judge(sent: &[u8], sender: &str, received: &[u8], root: &Path) -> Result<()> {
    let verified = verify(received, root)?;
    ensure!(
        verified.signers.iter().any(|s| s.eq_ignore_ascii_case(sender)),
        "{sender} sent it, {:?} signed it",
        verified.signers
    );
    compare(sent, received, &verified.entity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ca::{Ca, Use},
        message::{Kind, message},
        rng::Rng,
    };

    #[test]
    fn what_openssl_signed_is_judged_good_and_a_changed_octet_bad() {
        let scratch = ScratchDir::new().expect("temporary folder");
        let folder = scratch.path();
        let mut ca = Ca::new(&folder.join("ca")).expect("openssl");
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key"];
        let names = ["-subj", "/CN=a", "-addext", "subjectAltName=email:a@example.org", "-out", "csr"];
        ca::run(folder, &[&["req", "-new"], &key[..], &names].concat()).expect("request");
        let csr = fs::read_to_string(folder.join("csr")).expect("written");
        fs::write(folder.join("chain"), ca.issue(&csr, Use::Mail, 10).expect("issued")).expect("written");

        let sent = message(Kind::Attachment, "x", "a@example.org", "b@example.net", &mut Rng::new(1));
        let (fields, body) = mime::split(&sent.content);
        let (inner, outer): (Vec<&[u8]>, Vec<&[u8]>) =
            fields.into_iter().partition(|f| mime::name(f).starts_with("content-"));
        fs::write(folder.join("inner"), [&inner.concat()[..], b"\r\n", body].concat()).expect("written");
        let sign = [
            "-signer",
            "chain",
            "-certfile",
            "ca/issuing.pem",
            "-inkey",
            "key",
            "-in",
            "inner",
            "-out",
            "signed",
        ];
        ca::run(folder, &[&["cms", "-sign", "-binary", "-crlfeol"], &sign[..]].concat()).expect("signs");
        let signed = fs::read(folder.join("signed")).expect("written");
        let outer: Vec<u8> =
            outer.into_iter().filter(|f| mime::name(f) != "mime-version").collect::<Vec<_>>().concat();
        let received = [&b"Received: from x\r\n\tby y\r\n"[..], &outer, &signed].concat();

        judge(&sent.content, "a@example.org", &received, &ca.root()).expect("good");
        assert!(judge(&sent.content, "c@example.org", &received, &ca.root()).is_err());
        let text = String::from_utf8(received).expect("text");
        let changed = text.replace("A preamble.", "A preamblE.");
        assert!(judge(&sent.content, "a@example.org", changed.as_bytes(), &ca.root()).is_err());
        let changed = text.replace("two  spaces", "two spaces");
        assert!(judge(&sent.content, "a@example.org", changed.as_bytes(), &ca.root()).is_err());
    }
}
