//! Commands that only look.

use super::view::{Count, Duration};
use crate::NetworkState;
use crate::resolver::LookupError;
use crate::schedule::{DestinationState, Obstruction};
use crate::{Appliance, Machine, Platform};
use alloc::format;
use alloc::string::String;
use console::{Outcome, Screen};
use embedded_io_async::Write;
use envelope::LogDate;
use limits::spool::{MESSAGES_COUNT_MAX, RECORDS_COUNT_MAX, REPORTS_COUNT_RESERVED};
use settings::NextHopHost;

pub(super) async fn version<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    screen.field("version", appliance.machine.version()).await;
    screen.field("started by", appliance.machine.start_cause()).await;
    Outcome::Done
}

pub(super) async fn time<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    match appliance.unix_seconds() {
        Some(now) => screen.field("time", LogDate(Some(now))).await,
        None => screen.field("time", "unknown; `time set 2026-01-31T12:00:00Z` sets it").await,
    }
    let source = if appliance.clock_set.get() {
        "set by the operator"
    } else {
        match appliance.settings().clock {
            settings::Clock::Rtc => "built-in clock",
            settings::Clock::Manual => "nobody; the built-in clock is not trusted",
        }
    };
    screen.field("source", source).await;
    screen.field("running for", Duration(appliance.now().0 / 1_000_000)).await;
    Outcome::Done
}

pub(super) async fn network<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    for state in &appliance.machine.network() {
        interface(state, screen).await;
    }
    screen.field("sessions in", appliance.counters.sessions_open.get()).await;
    screen.field("connections out", appliance.schedule.connections()).await;
    Outcome::Done
}

async fn interface<W: Write>(state: &NetworkState, screen: &mut Screen<W>) {
    let link = if state.link_up { "up" } else { "down" };
    screen.field("interface", format_args!("if{}, link {link}", state.interface)).await;
    if let Some([a, b, c, d, e, f]) = state.hardware_address {
        screen.field("hardware", format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")).await;
    }
    match state.address {
        Some(address) => screen.field("address", address).await,
        None if state.address6.is_none() => screen.field("address", "none yet").await,
        None => {}
    }
    if let Some(gateway) = state.gateway {
        screen.field("gateway", gateway).await;
    }
    if let Some(address) = state.address6 {
        screen.field("address", address).await;
    }
    if let Some(gateway) = state.gateway6 {
        screen.field("gateway", gateway).await;
    }
    let mut servers = String::new();
    for server in &state.dns_servers {
        let separator = if servers.is_empty() { "" } else { ", " };
        servers.push_str(&format!("{separator}{server}"));
    }
    screen.field("name servers", if servers.is_empty() { "none" } else { &servers }).await;
}

pub(super) async fn memory<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let memory = appliance.machine.memory();
    screen.field("code", format_args!("{} octets", memory.code_bytes)).await;
    screen.field("static", format_args!("{} octets", memory.static_bytes)).await;
    screen
        .field(
            "heap",
            format_args!(
                "{} of {} octets in use, high-water mark {}",
                memory.heap_used_bytes, memory.heap_bytes, memory.heap_high_water_bytes
            ),
        )
        .await;
    screen
        .field(
            "stack",
            format_args!(
                "high-water mark {} of {} octets",
                memory.stack_high_water_bytes, memory.stack_bytes
            ),
        )
        .await;
    Outcome::Done
}

pub(super) async fn counters<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    for (label, count) in appliance.counters.each() {
        screen.line(format_args!("{label:<28}{count:>14}")).await;
    }
    let (busy_us, running_us) = (appliance.machine.busy_us(), appliance.now().0.max(1));
    let per_mille = busy_us.saturating_mul(1_000).checked_div(running_us).unwrap_or(0);
    screen.line(format_args!("{:<28}{:>14}", "events", appliance.log.recorded())).await;
    screen.line(format_args!("{:<28}{:>14}", "events no longer kept", appliance.log.lost())).await;
    screen.line(format_args!("{:<28}{:>11}.{} %", "processor busy", per_mille / 10, per_mille % 10)).await;
    screen.line(format_args!("{:<28}{busy_us:>14}", "microseconds busy")).await;
    screen.line(format_args!("{:<28}{running_us:>14}", "microseconds running")).await;
    Outcome::Done
}

pub(super) async fn log_tail<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    lines: u32,
    screen: &mut Screen<W>,
) -> Outcome {
    // To the newest line of now: printing may cause new ones.
    let last = appliance.log.recorded();
    let mut cursor = appliance.log.tail(lines.into());
    while let Some((number, line)) =
        appliance.log.next(&mut cursor, |entry| (entry.number, format!("{entry}")))
    {
        screen.whole_line(line).await;
        if number >= last {
            break;
        }
    }
    Outcome::Done
}

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Good,
    Look,
    Bad,
}

pub(super) async fn diag<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    screen: &mut Screen<W>,
) -> Outcome {
    let mut worst = false;
    let checks = [
        ("network", check_network(appliance)),
        ("clock", check_clock(appliance)),
        ("peers", check_relay(appliance)),
        ("queue", check_queue(appliance)),
        ("TPM", check_tpm(appliance).await),
        ("identities", check_identities(appliance).await),
        ("next hop", check_next_hop(appliance).await),
    ];
    for (what, (mark, text)) in checks {
        let word = match mark {
            Mark::Good => "ok",
            Mark::Look => "look",
            Mark::Bad => "BAD",
        };
        worst |= mark == Mark::Bad;
        screen.hanging(21, format_args!("{word:<5}{what:<16}{text}")).await;
    }
    if worst { Outcome::Failed } else { Outcome::Done }
}

fn check_network<P: Platform>(appliance: &Appliance<'_, P>) -> (Mark, String) {
    let interfaces = appliance.machine.network();
    let mut addresses = String::new();
    for address in interfaces.iter().flat_map(|state| [state.address, state.address6]).flatten() {
        let separator = if addresses.is_empty() { "" } else { ", " };
        addresses.push_str(&format!("{separator}{address}"));
    }
    if !interfaces.iter().any(|state| state.link_up) {
        (Mark::Bad, "no link: check the cable".into())
    } else if addresses.is_empty() {
        (Mark::Bad, "no address: check `network`, or the DHCP server".into())
    } else {
        (Mark::Good, addresses)
    }
}

fn check_clock<P: Platform>(appliance: &Appliance<'_, P>) -> (Mark, String) {
    match appliance.unix_seconds() {
        Some(now) => (Mark::Good, format!("{}", LogDate(Some(now)))),
        None => {
            (Mark::Look, "not set: no Date is added, certificates are not checked; see `time set`".into())
        }
    }
}

fn check_relay<P: Platform>(appliance: &Appliance<'_, P>) -> (Mark, String) {
    let (peers, networks) = (appliance.peers(), appliance.settings().relay_networks.len());
    if peers.is_damaged() {
        return (Mark::Bad, "rules cannot be read: nobody may send; see `show peers`".into());
    }
    match (peers.len(), networks) {
        (0, 0) => (Mark::Look, "none: nobody may send; see `peer add`".into()),
        (0, count) => (Mark::Good, format!("{}", Count(count as u64, "relay network"))),
        (count, 0) => (Mark::Good, format!("{}", Count(count as u64, "rule"))),
        (rules, count) => {
            (Mark::Good, format!("{}, {}", Count(rules as u64, "rule"), Count(count as u64, "relay network")))
        }
    }
}

fn check_queue<P: Platform>(appliance: &Appliance<'_, P>) -> (Mark, String) {
    let usage = appliance.spool.usage();
    let text = format!(
        "{}, {} blocks free of {}",
        Count(usage.messages.into(), "message"),
        usage.blocks_free,
        usage.blocks
    );
    // Room, messages or index records: `452` comes with whichever ends first.
    let nearly_full = usage.used.saturating_add(usage.reserved) > usage.capacity / 10 * 9
        || nearly(usage.messages, MESSAGES_COUNT_MAX - REPORTS_COUNT_RESERVED)
        || nearly(usage.records, RECORDS_COUNT_MAX);
    if usage.blocks_retired > 0 {
        (Mark::Look, format!("{text}; worn out: {}", Count(usage.blocks_retired.into(), "block")))
    } else if nearly_full {
        (Mark::Look, format!("{text}; nearly full"))
    } else {
        (Mark::Good, text)
    }
}

/// Whether more than nine tenths are used.
fn nearly(used: u32, most: usize) -> bool {
    usize::try_from(used).unwrap_or(usize::MAX) > most / 10 * 9
}

async fn check_tpm<P: Platform>(appliance: &Appliance<'_, P>) -> (Mark, String) {
    let mut random = [0; 8];
    let mut keys = appliance.keys.lock().await;
    let answer = if appliance.tpm_ready.get() {
        keys.tpm_random(&mut random).await
    } else {
        // What keeps it from starting tells more than that it was not started.
        keys.restart_tpm().await
    };
    match answer {
        Ok(()) => (Mark::Good, format!("answers, storage key {}", keys.tpm_name().unwrap_or_default())),
        Err(error) => (Mark::Bad, format!("{error}; mail that must be signed waits")),
    }
}

async fn check_identities<P: Platform>(appliance: &Appliance<'_, P>) -> (Mark, String) {
    use keystore::IdentityState::{Ready, ReadyClockUnknown};
    let now = appliance.unix_seconds();
    let keys = appliance.keys.lock().await;
    let all = keys.list().count();
    let ready = keys.list().filter(|i| matches!(i.state(now), Ready | ReadyClockUnknown)).count();
    match (all, ready) {
        (0, _) => (Mark::Look, "none: nothing can be signed; see `identity generate`".into()),
        _ if ready == all => (Mark::Good, format!("{ready} of {all} can sign")),
        _ => (Mark::Look, format!("{ready} of {all} can sign; see `identity list`")),
    }
}

async fn check_next_hop<P: Platform>(appliance: &Appliance<'_, P>) -> (Mark, String) {
    match appliance.schedule.obstruction() {
        Some(Obstruction::NoNextHop) => {
            return (Mark::Look, "there is mail that no route leads anywhere for".into());
        }
        Some(Obstruction::Unreachable { reason, .. }) => return (Mark::Bad, reason),
        None => {}
    }
    let Some(next_hop) = appliance.settings().next_hop.clone() else {
        return (Mark::Good, "none set: mail goes by routes and MX records".into());
    };
    let who = match &next_hop.host {
        NextHopHost::Address(address) => format!("{address} port {}", next_hop.port),
        NextHopHost::Name(name) => match appliance.resolver().addresses(name.as_str()).await {
            Ok(addresses) => format!("{}, addresses: {}", name.as_str(), addresses.len()),
            Err(LookupError::Temporary(why)) => return (Mark::Bad, format!("{why}")),
            Err(_) => return (Mark::Bad, format!("{} has no address", name.as_str())),
        },
    };
    // Connections belong to the workers, and they make one only for mail.
    if appliance.schedule.state_of(&format!("{next_hop}")) == DestinationState::Open {
        (Mark::Good, format!("{who}, took the last connection"))
    } else {
        (Mark::Look, format!("{who}, not tried yet: no mail to deliver"))
    }
}
