//! Identities: keys in the TPM, their requests and certificates.

use super::setup::held;
use super::view::Count;
use crate::{Appliance, Platform};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use console::{Column, KeyKind, Outcome, Screen, Table};
use embedded_io_async::Write;
use envelope::LogDate;
use events::Event;
use keystore::{Algorithm, IdentityId, IdentityState, KeystoreError, Scope};

const TABLE: Table<5> = Table::new([
    Column::right("ID", 3),
    Column::left("KEY", 8),
    Column::left("STATE", 21),
    Column::left("UNTIL", 10),
    Column::left("SIGNS FOR", 33),
]);

pub(super) async fn list<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let now = appliance.unix_seconds();
    // Collected, so that the key store is free for mail while the terminal is slow.
    let rows: Vec<(u32, &str, IdentityState, String, String)> = {
        let keys = appliance.keys.lock().await;
        keys.list()
            .map(|identity| {
                let until = identity.chain.as_ref().map(|chain| {
                    let text = format!("{}", LogDate(Some(chain.leaf().not_after())));
                    String::from(text.get(..10).unwrap_or(&text))
                });
                let kind = kind_text(identity.algorithm);
                let scope = String::from(identity.scope.as_str());
                (identity.id.0, kind, identity.state(now), until.unwrap_or_default(), scope)
            })
            .collect()
    };
    if rows.is_empty() {
        screen.line("No identities. `identity generate rsa user@example.org` makes one.").await;
        return Outcome::Done;
    }
    screen.heading(&TABLE).await;
    for (id, kind, state, until, scope) in &rows {
        let absent = *state == IdentityState::OtherTpm && !appliance.tpm_ready.get();
        let state: &dyn core::fmt::Display = if absent { &"no TPM" } else { state };
        screen.row(&TABLE, [id, kind, state, until, scope]).await;
    }
    Outcome::Done
}

const fn kind_text(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Rsa2048 => "RSA-2048",
        Algorithm::P256 => "P-256",
    }
}

pub(super) async fn generate<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    kind: KeyKind,
    serves: &str,
    screen: &mut Screen<W>,
) -> Outcome {
    let scope = match Scope::parse(serves) {
        Ok(scope) => scope,
        Err(error) => {
            screen.line(error).await;
            return Outcome::Failed;
        }
    };
    let algorithm = match kind {
        KeyKind::Rsa => Algorithm::Rsa2048,
        KeyKind::P256 => Algorithm::P256,
    };
    screen.line("Making the key inside the TPM; RSA takes up to a minute.").await;
    let now = appliance.unix_seconds();
    let made = appliance.keys.lock().await.generate(algorithm, scope, now).await;
    match made {
        Ok(id) => {
            event(appliance, id, "generated", serves);
            screen.line(format_args!("Identity {id} has a key. Next: `identity csr {id}`.")).await;
            Outcome::Done
        }
        Err(error) => failed(screen, &error).await,
    }
}

pub(super) async fn csr<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    id: u32,
    screen: &mut Screen<W>,
) -> Outcome {
    let request = appliance.keys.lock().await.csr(IdentityId(id), None).await;
    match request {
        Ok(pem) => {
            for line in pem.lines() {
                screen.whole_line(line).await;
            }
            Outcome::Done
        }
        Err(error) => failed(screen, &error).await,
    }
}

/// Whether certificates for this identity may be pasted.
pub(super) async fn import_begin<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    id: u32,
    screen: &mut Screen<W>,
) -> Outcome {
    let known = appliance.keys.lock().await.identity(IdentityId(id)).is_some();
    if known { Outcome::Done } else { failed(screen, &KeystoreError::Unknown(IdentityId(id))).await }
}

pub(super) async fn import<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    id: u32,
    pem: &str,
    screen: &mut Screen<W>,
) -> Outcome {
    let now = appliance.unix_seconds();
    let (taken, scope) = {
        let mut keys = appliance.keys.lock().await;
        let taken = keys.import_chain(IdentityId(id), pem.as_bytes(), now).await;
        let scope = keys.identity(IdentityId(id)).map(|i| String::from(i.scope.as_str())).unwrap_or_default();
        (taken, scope)
    };
    let report = match taken {
        Ok(report) => report,
        Err(error) => return failed(screen, &error).await,
    };
    event(appliance, IdentityId(id), "certified", &scope);
    let until = LogDate(Some(report.not_after));
    screen
        .line(format_args!(
            "{} taken. Identity {id} signs for {scope} until {until}.",
            Count(report.certificates as u64, "certificate")
        ))
        .await;
    if !report.validity_checked {
        screen.line("The clock is not set: whether they are valid now was not checked.").await;
    }
    let held = held(appliance);
    if held > 0 {
        screen
            .line(format_args!("{} held; `queue release all` decides anew.", Count(held.into(), "message")))
            .await;
    }
    Outcome::Done
}

pub(super) async fn remove<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    id: u32,
    screen: &mut Screen<W>,
) -> Outcome {
    let (removed, scope) = {
        let mut keys = appliance.keys.lock().await;
        let scope = keys.identity(IdentityId(id)).map(|i| String::from(i.scope.as_str())).unwrap_or_default();
        (keys.remove(IdentityId(id)).await, scope)
    };
    match removed {
        Ok(()) => {
            event(appliance, IdentityId(id), "removed", &scope);
            screen.line(format_args!("Identity {id} and its key are gone.")).await;
            Outcome::Done
        }
        Err(error) => failed(screen, &error).await,
    }
}

fn event<P: Platform>(appliance: &Appliance<'_, P>, id: IdentityId, action: &str, serves: &str) {
    appliance.record(&Event::Identity { identity: id.0, action: action.into(), serves: serves.into() });
}

async fn failed<W: Write>(screen: &mut Screen<W>, error: &KeystoreError) -> Outcome {
    screen.line(error).await;
    Outcome::Failed
}
