//! Settings: a draft is edited, then saved as a whole or dropped.

use super::view::{Count, destinations_changed};
use super::{routes, tables, wizard};
use crate::{Appliance, Applied, Machine, Platform};
use alloc::boxed::Box;
use alloc::format;
use console::{Answer, Outcome, Screen};
use embedded_io_async::Write;
use events::Event;
use settings::{Settings, WithoutIdentity};

/// Columns of the names of settings.
const NAME_CHARS: usize = 25;

pub(super) async fn show<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    draft: Option<&Settings>,
    screen: &mut Screen<W>,
) -> Outcome {
    let saved = appliance.settings().clone();
    for (name, value) in draft.unwrap_or(&saved).values() {
        let value = format!("{value}");
        let in_force = saved.value(name).map(|v| format!("{v}")).unwrap_or_default();
        if value == in_force {
            screen.wide_field(NAME_CHARS, name, value).await;
        } else {
            screen
                .wide_field(NAME_CHARS, name, format_args!("{value}   (not saved; in force: {in_force})"))
                .await;
        }
    }
    Outcome::Done
}

pub(super) async fn export<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let settings = appliance.settings().clone();
    // In one piece each, to be copied.
    for line in settings.export() {
        screen.whole_line(line).await;
    }
    // What is set comes first and is in force at the `save`; the rows are in force one by one.
    screen.whole_line("save").await;
    for line in tables::lines(appliance) {
        screen.whole_line(line).await;
    }
    Outcome::Done
}

pub(super) async fn set<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    draft: &mut Option<Box<Settings>>,
    name: &str,
    value: &str,
    screen: &mut Screen<W>,
) -> Outcome {
    let mut edited = draft.clone().unwrap_or_else(|| Box::new(appliance.settings().clone()));
    if let Err(fault) = edited.set(name, value) {
        screen.line(fault).await;
        return Outcome::Failed;
    }
    // A draft that says what is in force is none.
    *draft = (*edited != *appliance.settings()).then_some(edited);
    Outcome::Done
}

pub(super) async fn discard<W: Write>(draft: &mut Option<Box<Settings>>, screen: &mut Screen<W>) -> Outcome {
    screen.line(if draft.take().is_some() { "Changes dropped." } else { "There are no changes." }).await;
    Outcome::Done
}

pub(super) async fn save<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    draft: &mut Option<Box<Settings>>,
    screen: &mut Screen<W>,
) -> Outcome {
    let Some(edited) = draft.take() else {
        screen.line("There are no changes to save.").await;
        return Outcome::Done;
    };
    if put_in_force(appliance, &edited, screen).await {
        return Outcome::Done;
    }
    *draft = Some(edited);
    Outcome::Failed
}

pub(super) async fn try_answer<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    answer: &Answer,
    screen: &mut Screen<W>,
) -> Outcome {
    let checked = match wizard::check(answer) {
        Some(checked) => checked,
        None => {
            let mut copy = Box::new(appliance.settings().clone());
            copy.set(answer.name, &answer.value).map_err(|fault| format!("{fault}"))
        }
    };
    match checked {
        Ok(()) => Outcome::Done,
        Err(why) => {
            screen.line(why).await;
            Outcome::Failed
        }
    }
}

pub(super) async fn apply<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    draft: &mut Option<Box<Settings>>,
    answers: &[Answer],
    screen: &mut Screen<W>,
) -> Outcome {
    let mut edited = Box::new(appliance.settings().clone());
    for answer in answers.iter().filter(|answer| !wizard::is_for_tables(answer.name)) {
        if let Err(fault) = edited.set(answer.name, &answer.value) {
            screen.line(fault).await;
            return Outcome::Failed;
        }
    }
    let rows = match wizard::rows(answers) {
        Ok(rows) => rows,
        Err(why) => {
            screen.line(why).await;
            return Outcome::Failed;
        }
    };
    if !put_in_force(appliance, &edited, screen).await {
        return Outcome::Failed;
    }
    for (rows, text) in &rows {
        if tables::add(appliance, *rows, text, screen).await == Outcome::Failed {
            return Outcome::Failed;
        }
    }
    // The dialogue began from what was in force: an older draft would take its answers back.
    *draft = None;
    Outcome::Done
}

/// Checks, stores and applies; says what happens now. Returns whether it was stored.
async fn put_in_force<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    edited: &Settings,
    screen: &mut Screen<W>,
) -> bool {
    if let Err(error) = appliance.settings_store.lock().await.save(edited).await {
        screen.line(error).await;
        return false;
    }
    let before = appliance.settings.replace(edited.clone());
    // Before the terminal is waited for: nothing more goes to the old one.
    let moved = before.next_hop != edited.next_hop
        || before.null_sender_next_hop != edited.null_sender_next_hop
        || before.next_hop_exchange != edited.next_hop_exchange
        || before.own_names != edited.own_names
        || before.own_addresses != edited.own_addresses
        || before.hostname != edited.hostname;
    if moved {
        destinations_changed(appliance);
    } else {
        appliance.limits_changed();
    }
    appliance.factory_fresh.set(false);
    appliance.record(&Event::SettingsSaved);
    screen.line("Saved.").await;
    let network_changed = before.interfaces() != edited.interfaces()
        || before.listeners != edited.listeners
        || before.dns_servers != edited.dns_servers;
    if network_changed {
        match appliance.machine.apply_network(edited) {
            Applied::Now => screen.line("The network settings are in force.").await,
            Applied::AfterReboot => screen.line("The network settings are in force after `reboot`.").await,
        }
    }
    if let Some(misfit) = routes::misfit(appliance, edited) {
        screen.line(misfit).await;
    }
    if before.commissioning && !edited.commissioning {
        let held = held(appliance);
        if held > 0 {
            screen
                .line(format_args!(
                    "{} held: `queue release all` tries again, `queue bounce all` tells the senders.",
                    Count(held.into(), "message")
                ))
                .await;
        }
    }
    if before.without_identity == WithoutIdentity::Hold && edited.without_identity == WithoutIdentity::Pass {
        let held = held(appliance);
        if held > 0 {
            screen
                .line(format_args!(
                    "{} held; `queue release all` decides anew.",
                    Count(held.into(), "message")
                ))
                .await;
        }
    }
    true
}

/// Messages that wait for the operator.
pub(super) fn held<P: Platform>(appliance: &Appliance<'_, P>) -> u32 {
    let mut held = 0;
    appliance.spool.for_each(|brief| held += u32::from(brief.state == spool::MessageState::Held));
    held
}
