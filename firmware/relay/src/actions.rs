//! What happens to mail for single addresses that nobody reads, by the table of actions.
//!
//! *Reject* is said at RCPT. *Forward* changes the envelope there and nothing else: what is stored is on its way to the
//! new address from the beginning, so there is no moment at which a power cut could double or lose it, and a later change
//! of the table concerns later mail. What the sender asked of reports goes along; the first address is kept as the
//! original recipient (RFC 3461 §4.2), which is what reports name. *Discard* is a destination without a host: the message
//! is taken and stored as any other, and its recipient there is done without a connection. *Reply-once* is the same with an
//! answer before it ([`crate::replies`]).
//!
//! Reports of our own to such addresses go the same ways.

use crate::{Appliance, Platform};
use alloc::string::String;
use core::fmt::Write as _;
use envelope::{EnhancedStatus, Mailbox, OriginalRecipient, RecipientParameters};
use limits::routing::FORWARDS_COUNT_MAX;
use settings::What;
use smtp::Reply;

/// The name of the destination of what stays here.
pub(crate) const HERE: &str = "discard";

/// What a client hears that names a recipient whose mail is refused.
pub(crate) fn refusal<P: Platform>(appliance: &Appliance<'_, P>, recipient: &str) -> Option<Reply> {
    match appliance.actions().action_for(recipient)?.what() {
        What::Reject(text) => {
            let text = if text.is_empty() { "This address takes no mail" } else { text };
            Some(Reply::new(550, EnhancedStatus(5, 7, 1), text))
        }
        _ => None,
    }
}

/// Where mail for an address goes in its place, if it is forwarded. Addresses that forward to each other in a circle
/// end where the circle is noticed.
pub(crate) fn forwarded<P: Platform>(appliance: &Appliance<'_, P>, recipient: &str) -> Option<Mailbox> {
    let actions = appliance.actions();
    let mut to: Option<Mailbox> = None;
    for _ in 0..FORWARDS_COUNT_MAX {
        let at = to.as_ref().map_or(recipient, Mailbox::as_str);
        match actions.action_for(at).map(settings::Action::what) {
            Some(What::Forward(next)) => to = Some(Mailbox::parse(next.as_str()).ok()?),
            _ => break,
        }
    }
    to
}

/// A recipient of a client as it is stored: forwarded if it is to be, with the address that was named as the original
/// recipient where the client named none.
pub(crate) fn readdressed<P: Platform>(
    appliance: &Appliance<'_, P>,
    recipient: Mailbox,
    mut dsn: RecipientParameters,
) -> (Mailbox, RecipientParameters) {
    let Some(to) = forwarded(appliance, recipient.as_str()) else { return (recipient, dsn) };
    if dsn.original.is_none() {
        dsn.original = original(recipient.as_str());
    }
    (to, dsn)
}

/// An address as the ORCPT parameter has it (RFC 3461 §4.2, RFC 6533 §3).
fn original(address: &str) -> Option<OriginalRecipient> {
    let mut text = String::from(if address.is_ascii() { "rfc822;" } else { "utf-8;" });
    for c in address.chars() {
        match c {
            // What xtext cannot hold as it is (RFC 3461 §4).
            '+' | '=' if address.is_ascii() => write!(text, "+{:02X}", u32::from(c)).ok()?,
            c => text.push(c),
        }
    }
    OriginalRecipient::parse(text.as_bytes()).ok()
}

/// Whether mail for an address stays here.
pub(crate) fn stays<P: Platform>(appliance: &Appliance<'_, P>, recipient: &str) -> bool {
    let actions = appliance.actions();
    matches!(
        actions.action_for(recipient).map(settings::Action::what),
        Some(What::Discard | What::ReplyOnce(_))
    )
}

/// The address that a report to `to` really goes to.
pub(crate) fn addressee<P: Platform>(appliance: &Appliance<'_, P>, to: &str) -> String {
    forwarded(appliance, to).map_or_else(|| String::from(to), |to| String::from(to.as_str()))
}
