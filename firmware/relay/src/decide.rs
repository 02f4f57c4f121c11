//! What becomes of each message in the queue, and signing.
//!
//! A message is decided when its recipe is committed: then, and only then, delivery may touch it. The recipe holds the
//! fields that go before the message (trace, and for what a relay client left out: Date and Message-ID) and, if it is
//! signed, the signature; so every attempt sends the same octets. A message without a recipe after a power cut is
//! decided anew.
//!
//! Whatever keeps a signature from being made puts the decision off or holds the message. Nothing here can turn
//! "sign" into "pass".

use crate::appliance::fitting;
use crate::counters::count;
use crate::provenance::Provenance;
use crate::schedule::Decided;
use crate::{Appliance, Platform};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Write as _;
use embassy_futures::yield_now;
use envelope::{MailDate, Mailbox, Protocol, QueueId};
use events::{Decision as Told, Event};
use keystore::{IdentityId, KeystoreError, Selection};
use limits::relay::{DECIDE_AGAIN_S, MESSAGE_READ_BYTES};
use platform::Entropy;
use policy::{Action, Decision, Identity, Reason, Rules, WithoutIdentity};
use smime::{
    Canonicalising, Facts, Firewalled, Protection, RawSignature, Recipe, Scanner, Signing, SigningError,
};
use smtp::trace::Received;
use spool::{ArrivalInfo, SpoolError};

/// Decides about messages for ever, one at a time; `limits::relay::DECIDERS_COUNT` of these run.
pub async fn worker<P: Platform>(appliance: &Appliance<'_, P>) -> ! {
    let mut buffer = vec![0; MESSAGE_READ_BYTES].into_boxed_slice();
    loop {
        let id = appliance.schedule.next_undecided().await;
        let next = match Box::pin(decide(appliance, id, &mut buffer)).await {
            Ok(()) => Decided::Deliver,
            Err(Trouble::Spool(SpoolError::NoSuchMessage)) => Decided::Gone,
            Err(Trouble::Spool(SpoolError::Damaged)) => {
                appliance.hold(id, "cannot be read: a stored record is damaged").await;
                Decided::Off
            }
            // A recipe of more certificates than room was kept for: the queue is full, and gets emptier.
            Err(Trouble::Spool(SpoolError::Full(_))) => {
                later(appliance, id, "no room in the queue for its recipe")
            }
            Err(Trouble::Spool(error)) => {
                appliance.spool_failed(id, error);
                later(appliance, id, "the queue's flash does not answer")
            }
            Err(Trouble::Later(reason)) => later(appliance, id, &reason),
            Err(Trouble::Hold(reason)) => {
                appliance.record(&Event::Decided { id, decision: Told::Hold, reason: (&*reason).into() });
                appliance.hold(id, &reason).await;
                Decided::Off
            }
        };
        appliance.schedule.decided(id, next, appliance.now());
    }
}

/// What keeps a decision from being carried out.
enum Trouble {
    Spool(SpoolError),
    /// It gets better by itself.
    Later(String),
    /// A person must do something.
    Hold(String),
}

impl From<SpoolError> for Trouble {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

/// Puts the decision off. In RAM only: after a start everything is decided anew anyway.
fn later<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId, reason: &str) -> Decided {
    count(&appliance.counters.undecided, 1);
    // Said once for each reason: while a TPM is away this happens every few seconds to every message.
    if appliance.schedule.explain(id, fitting(reason)) {
        appliance.record(&Event::Deferred {
            id,
            to: "".into(),
            peer: None,
            code: 0,
            status: None,
            reply: reason.into(),
            retry_s: DECIDE_AGAIN_S,
        });
    }
    Decided::Later(appliance.now().plus_s(DECIDE_AGAIN_S.into()))
}

async fn decide<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    buffer: &mut [u8],
) -> Result<(), Trouble> {
    let arrival = appliance.spool.arrival(id).await?;
    if arrival.class == spool::Class::Report {
        return pass_report(appliance, id).await;
    }
    let facts = facts(appliance, id, buffer).await?;
    let rules = Rules {
        without_identity: match appliance.settings().without_identity {
            settings::WithoutIdentity::Hold => WithoutIdentity::Hold,
            settings::WithoutIdentity::Pass => WithoutIdentity::Pass,
        },
    };
    let (identity, selection) = identity(appliance, &facts).await;
    let message = message(&facts);
    let Decision { action, reason } = policy::decide(message, identity, rules);
    // The key store knows better than the policy why an identity is or is not fit.
    let reason = match (reason, selection) {
        (Reason::IdentityServesAuthor | Reason::IdentityUnusable, Some(selection)) => {
            alloc::format!("{}", selection.reason)
        }
        (Reason::NotSignable, _) => match facts.obstacle {
            Some(obstacle) => alloc::format!("cannot be signed: {}", obstacle),
            None => reason.text().into(),
        },
        _ => reason.text().into(),
    };
    let prepend = prepend(appliance, &arrival, &facts).await?;
    let (recipe, told) = match action {
        // Reading it would be in vain.
        Action::Sign(_) if !appliance.tpm_ready.get() => {
            return Err(Trouble::Later(Reason::KeysUnavailable.text().into()));
        }
        Action::Sign(identity) => {
            let recipe = sign(appliance, &arrival, &facts, identity, &prepend, buffer).await?;
            count(&appliance.counters.signed, 1);
            (recipe, Told::Sign { identity: identity.0 })
        }
        Action::Pass => {
            let recipe = pass(appliance, id, &facts, &prepend, buffer).await?;
            count(&appliance.counters.passed, 1);
            let touched = matches!(facts.protection, Protection::None);
            (recipe, if touched { Told::Pass } else { Told::PassUntouched })
        }
        Action::Hold => return Err(Trouble::Hold(reason)),
        Action::Defer => return Err(Trouble::Later(reason)),
    };
    let recipe = recipe.keep_internal(Provenance::from_bytes(&arrival.origin).keep_internal);
    appliance.spool.set_recipe(id, &recipe.to_bytes()).await?;
    appliance.record(&Event::Decided { id, decision: told, reason: (&*reason).into() });
    Ok(())
}

/// The recipe of a message that is not signed: it leaves as it is, or in canonical form if it came in chunks and has octets
/// that no line may have. What is protected is never touched.
async fn pass<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    facts: &Facts,
    prepend: &str,
    buffer: &mut [u8],
) -> Result<Recipe, Trouble> {
    let unfit = |_| Trouble::Hold("the trace field does not fit a recipe".into());
    if !facts.odd || facts.protection != Protection::None {
        return Recipe::pass(prepend.as_bytes(), facts.header.firewalled).map_err(unfit);
    }
    let mut canonical = Box::new(Canonicalising::new(facts, prepend.as_bytes()).map_err(unfit)?);
    read_all(appliance, id, buffer, |octets| canonical.push(octets)).await?;
    Ok(canonical.finish())
}

/// A report of ours leaves as it was made.
async fn pass_report<P: Platform>(appliance: &Appliance<'_, P>, id: QueueId) -> Result<(), Trouble> {
    let Decision { reason, .. } = policy::decide_report::<IdentityId>();
    let recipe = Recipe::pass(b"", Firewalled::default())
        .map_err(|_| Trouble::Hold("a recipe without content is refused".into()))?;
    appliance.spool.set_recipe(id, &recipe.to_bytes()).await?;
    count(&appliance.counters.passed, 1);
    appliance.record(&Event::Decided { id, decision: Told::Pass, reason: reason.text().into() });
    Ok(())
}

/// What the scanner found when the message came, or finds now if that cannot be read any more.
async fn facts<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    buffer: &mut [u8],
) -> Result<Facts, Trouble> {
    let mut bytes = Vec::new();
    appliance.spool.facts(id, &mut bytes).await?;
    if let Ok(facts) = Facts::from_bytes(&bytes) {
        return Ok(facts);
    }
    let mut scanner = Box::new(Scanner::of_chunks());
    read_all(appliance, id, buffer, |octets| scanner.push(octets)).await?;
    Ok(scanner.finish())
}

/// Shows the whole stored content to `each`, in pieces, with a yield between them.
async fn read_all<P: Platform>(
    appliance: &Appliance<'_, P>,
    id: QueueId,
    buffer: &mut [u8],
    mut each: impl FnMut(&[u8]),
) -> Result<(), SpoolError> {
    let mut offset = 0u32;
    loop {
        let count = appliance.spool.read(id, offset, buffer).await?;
        if count == 0 {
            return Ok(());
        }
        each(buffer.get(..count).unwrap_or_default());
        offset = offset.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        yield_now().await;
    }
}

/// The facts as the policy wants to know them.
fn message(facts: &Facts) -> policy::Message {
    policy::Message {
        protection: match facts.protection {
            Protection::None => policy::Protection::None,
            Protection::Signed | Protection::OpaqueSigned => policy::Protection::Signed,
            Protection::Encrypted | Protection::OpenPgpEncrypted | Protection::OpenPgpInline => {
                policy::Protection::Encrypted
            }
        },
        author: match facts.header.author {
            smime::Author::One(_) => policy::Author::One,
            smime::Author::Missing => policy::Author::Missing,
            smime::Author::Several => policy::Author::Several,
            smime::Author::Ambiguous => policy::Author::Ambiguous,
        },
        signable: facts.obstacle.is_none(),
    }
}

/// Who can sign for the author.
async fn identity<P: Platform>(
    appliance: &Appliance<'_, P>,
    facts: &Facts,
) -> (Identity<IdentityId>, Option<Selection>) {
    let smime::Author::One(author) = &facts.header.author else { return (Identity::None, None) };
    let keys = appliance.keys.lock().await;
    let selection = keys.select(author, appliance.unix_seconds());
    let identity = match (selection.id, selection.reason) {
        (Some(id), _) => Identity::Usable(id),
        (None, keystore::Reason::NoIdentity) => Identity::None,
        // Which TPM the keys belong to is known only when one answers.
        (None, _) if !appliance.tpm_ready.get() => Identity::Unknown,
        (None, _) => Identity::Unusable,
    };
    (identity, Some(selection))
}

/// The fields that leave before the message: our trace field (RFC 5321 §4.4) and what a submitting client left out
/// (RFC 6409 §8). A Date is only put where the time of arrival is known.
async fn prepend<P: Platform>(
    appliance: &Appliance<'_, P>,
    arrival: &ArrivalInfo,
    facts: &Facts,
) -> Result<String, Trouble> {
    let only_recipient = if arrival.recipients == 1 {
        let recipient = appliance.spool.recipient(arrival.id, 0).await?;
        Mailbox::parse(&recipient.address).ok()
    } else {
        None
    };
    let mut fields = String::new();
    let Some(peer) = arrival.peer else { return Ok(fields) };
    let by = String::from(appliance.settings().hostname());
    let received = Received {
        helo: &arrival.helo,
        peer,
        by: &by,
        protocol: match arrival.protocol {
            spool::Protocol::Smtp => Protocol::Smtp,
            spool::Protocol::Utf8Smtp => Protocol::Utf8Smtp,
            _ => Protocol::Esmtp,
        },
        id: arrival.id,
        only_recipient: only_recipient.as_ref(),
        unix_seconds: arrival.time,
    };
    // Writing to a String does not fail.
    _ = write!(fields, "{received}");
    // A header that is no header cannot be completed.
    if !facts.header.malformed && Provenance::from_bytes(&arrival.origin).complete {
        if !facts.header.has_date && arrival.time.is_some() {
            _ = write!(fields, "Date: {}\r\n", MailDate(arrival.time));
        }
        if !facts.header.has_message_id {
            let mut random = [0; 8];
            appliance.entropy.fill(&mut random);
            // Queue ids are unique on this appliance; the number makes the field unique after a factory reset too.
            _ = write!(fields, "Message-ID: <{}.{:016x}@{by}>\r\n", arrival.id, u64::from_le_bytes(random));
        }
    }
    Ok(fields)
}

/// Reads the message once, has the TPM sign, returns the recipe.
async fn sign<P: Platform>(
    appliance: &Appliance<'_, P>,
    arrival: &ArrivalInfo,
    facts: &Facts,
    identity: IdentityId,
    prepend: &str,
    buffer: &mut [u8],
) -> Result<Recipe, Trouble> {
    let chain = appliance.keys.lock().await.chain(identity);
    // Removed since it was chosen: choose again.
    let chain = chain.ok_or_else(|| Trouble::Later("the identity has just been removed".into()))?;
    let certificates: Vec<&[u8]> = chain.certificates().iter().map(keystore::Certificate::der).collect();
    let mut random = [0; 24];
    appliance.entropy.fill(&mut random);
    let time = appliance.unix_seconds();
    let signing =
        Signing::new(facts, &certificates, time, random, prepend.as_bytes()).map_err(signing_trouble)?;
    let mut signing = Box::new(signing);
    read_all(appliance, arrival.id, buffer, |octets| signing.push(octets)).await?;
    let (question, awaiting) = signing.finish().map_err(signing_trouble)?;
    let signature = appliance.keys.lock().await.sign(identity, &question.digest).await;
    let signature = match signature {
        Ok(signature) => signature,
        Err(error) => return Err(key_trouble(appliance, error)),
    };
    let raw = match question.purpose {
        smime::Purpose::RsaPkcs1Sha256 => RawSignature::Rsa(&signature),
        smime::Purpose::EcdsaP256Sha256 => RawSignature::EcdsaDer(&signature),
    };
    awaiting.answer(raw).map_err(signing_trouble)
}

fn signing_trouble(error: SigningError) -> Trouble {
    Trouble::Hold(alloc::format!("cannot be signed: {error}"))
}

fn key_trouble<P: Platform>(appliance: &Appliance<'_, P>, error: KeystoreError) -> Trouble {
    let text = alloc::format!("{error}");
    match error {
        // The TPM is well and this key is not: nothing to wait for, and no reason to keep others waiting.
        KeystoreError::Tpm(tpm::TpmError::Key | tpm::TpmError::Denied(_)) => Trouble::Hold(text),
        KeystoreError::Tpm(tpm) => {
            if appliance.tpm_ready.replace(false) {
                appliance.record_tpm(Err(tpm));
            }
            Trouble::Later(text)
        }
        // Another choice may be possible, or an operator is at work.
        KeystoreError::Unknown(_) | KeystoreError::NotReady(_) | KeystoreError::Flash => Trouble::Later(text),
        _ => Trouble::Hold(text),
    }
}
