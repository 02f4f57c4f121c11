//! `cargo xtask bench`: what the appliance costs, in instructions.
//!
//! With `-icount shift=0` the machine's clock counts instructions, one a nanosecond. The board tells how much of its
//! time it was not idle, so the difference around a piece of work is the work's number of instructions, on any machine
//! and under any load. The figures are committed in `bench.toml`; a regression is a difference.
//!
//! A second run without that clock tells the emulator's processor time per message, which depends on this machine and
//! is only shown.

mod queue;

use super::build;
use crate::{packages, project, step};
use anyhow::{Context as _, Result, bail, ensure};
use harness::ca::Ca;
use harness::machine::{Machine, Options as MachineOptions};
use harness::message::{Kind, message};
use harness::operator::{Operator, number};
use harness::process::ScratchDir;
use harness::rng::Rng;
use harness::sink::Sink;
use harness::smtp_client::SmtpClient;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// Where the committed figures are.
const FILE: &str = "bench.toml";

/// Per cent that a figure may grow before it counts as a regression, unless the file says otherwise.
///
/// The guest's work is exact, but when packets arrive is the host's affair, and with it how many of them share an
/// interrupt: two runs differ by up to two per cent.
const TOLERANCE_PERCENT: f64 = 5.0;

/// Times that the machine is switched on to find out what its start takes. The least counts: a start during which
/// the host was slow has waited for it in more pieces.
const STARTS: usize = 3;

/// How long anything may take. A machine that counts instructions runs at a fraction of its speed.
const PATIENCE: Duration = Duration::from_secs(600);

/// Sizes of messages, and how many of each are averaged.
const SIZES: [(&str, usize, usize); 3] =
    [("1_kib", 1 << 10, 40), ("10_kib", 10 << 10, 20), ("1_mib", 1 << 20, 3)];

/// Senders: what becomes of their mail, and their kind of key.
const SENDERS: [(&str, &str, Option<&str>); 3] = [
    ("relayed", "plain@example.org", None),
    ("signed_p256", "ben@example.org", Some("p256")),
    ("signed_rsa", "anna@example.org", Some("rsa")),
];

/// Milliseconds of emulator time per message that the design allows, by figure.
const CPU_BUDGETS_MS: [(&str, f64); 3] =
    [("relayed_1_kib", 5.0), ("signed_p256_1_kib", 15.0), ("relayed_1_mib", 40.0)];

/// Options of `bench`.
#[derive(clap::Args)]
pub struct Options {
    /// Takes the image that is there instead of building it.
    #[arg(long)]
    no_build: bool,
    /// Writes the figures to bench.toml instead of comparing with them.
    #[arg(long)]
    bless: bool,
    /// Only the part about the queue, without comparing anything.
    #[arg(long, conflicts_with = "bless")]
    queue: bool,
    /// Leaves out the run that measures the emulator's processor time.
    #[arg(long)]
    no_cpu: bool,
}

/// Figures by name.
type Figures = BTreeMap<String, u64>;

/// Measures, prints, compares.
///
/// # Errors
/// When something does not work, or a figure has grown by more than the tolerance.
pub fn run(options: &Options) -> Result<()> {
    super::kill_children_on_signals();
    let wanted: Vec<_> = packages::MACHINE.iter().chain(packages::PEERS).copied().collect();
    packages::ensure(&wanted)?;
    let built = if options.no_build { build::present()? } else { build::run(&build::Options::quiet())? };
    if options.queue {
        step::headline("The queue");
        return queue::measure(&built.bank, &mut Figures::new());
    }
    step::headline("Instructions");
    let mut figures = measure(&built.bank, true)?.figures;
    figures.insert("image_bytes".to_owned(), built.image_bytes);
    step::headline("The queue");
    queue::measure(&built.bank, &mut figures)?;
    let result = if options.bless { bless(&figures) } else { compare(&figures) };
    if !options.no_cpu {
        step::headline("Processor time of the emulator, on this machine and with its load of now");
        for (name, cpu) in measure(&built.bank, false)?.cpu_ms {
            let budget = CPU_BUDGETS_MS.iter().find(|(known, _)| *known == name);
            let verdict = match budget {
                Some((_, budget)) if cpu > *budget => {
                    format!("budget {budget} ms, missed by {:.1} ms", cpu - budget)
                }
                Some((_, budget)) => format!("budget {budget} ms, kept"),
                None => String::new(),
            };
            step::note(&format!("{name:<26}{cpu:>12.1} ms per message  {verdict}"));
        }
    }
    result
}

/// What one run of the machine told.
struct Measured {
    figures: Figures,
    cpu_ms: Vec<(String, f64)>,
}

/// Boots an erased appliance, sets it up, and sends it mail of every kind and size.
fn measure(bank: &Path, count_instructions: bool) -> Result<Measured> {
    let scratch = ScratchDir::new()?;
    let sink = Sink::start()?;
    let mut ca = Ca::new(&scratch.path().join("ca"))?;
    let mut machine_options =
        MachineOptions::new(bank, &scratch.path().join("data.img"), &scratch.path().join("tpm"));
    machine_options.icount_shift = count_instructions.then_some(0);
    let mut measured = Measured { figures: Figures::new(), cpu_ms: Vec::new() };
    if count_instructions {
        let starts = (0..STARTS).map(|_| instructions_to_greeting(machine_options.clone()));
        let least = starts.collect::<Result<Vec<_>>>()?.into_iter().min().unwrap_or_default();
        measured.figures.insert("instructions_reset_to_220".to_owned(), least);
    }
    let mut machine = Machine::start(machine_options)?;
    let (address, process) = (machine.address(25)?, machine.id());
    let mut operator = Operator::new(machine.console()?)?;
    operator.set_up(sink.address().port())?;
    operator.configure(&[("without-identity", "pass")])?;
    for (_, sender, kind) in SENDERS {
        if let Some(kind) = kind {
            operator.make_identity(kind, sender, &mut ca)?;
        }
    }
    let mut rng = Rng::new(1);
    for (fate, sender, _) in SENDERS {
        for (size_name, bytes, count) in SIZES {
            // One ahead, so that connections exist and nothing is done for the first time.
            pass_through(address, &sink, sender, bytes, 1, &mut rng)?;
            let question = cost_of_asking(&mut operator)?;
            let (busy, cpu) = (busy_instructions(&mut operator)?, cpu_ms(process)?);
            pass_through(address, &sink, sender, bytes, count, &mut rng)?;
            let cpu = cpu_ms(process)? - cpu;
            let spent = busy_instructions(&mut operator)?.saturating_sub(busy).saturating_sub(question);
            let name = format!("{fate}_{size_name}");
            if count_instructions {
                step::note(&format!("{name:<26}{:>16} instructions", build::grouped(spent / count as u64)));
            }
            measured.figures.insert(format!("instructions_{name}"), spent / count as u64);
            measured.cpu_ms.push((name, cpu / count as f64));
        }
    }
    let memory = operator.run("show memory")?;
    for (name, label, word) in [
        ("ram_static_bytes", "static", 0),
        ("ram_heap_high_water_bytes", "heap", 2),
        ("ram_stack_high_water_bytes", "stack", 0),
    ] {
        measured.figures.insert(name.to_owned(), number(&memory, label, word)?);
    }
    ensure!(sink.breaches().is_empty(), "the appliance broke the rules of SMTP: {:?}", sink.breaches());
    Ok(measured)
}

/// Instructions from reset until port 25 greets, with an address from the DHCP server on the way.
fn instructions_to_greeting(machine_options: MachineOptions) -> Result<u64> {
    let mut machine = Machine::start(machine_options)?;
    let address = machine.address(25)?;
    let mut operator = Operator::new(machine.console()?)?;
    drop(SmtpClient::connect_when_ready(address, PATIENCE, PATIENCE)?);
    busy_instructions(&mut operator)
}

/// Hands in `count` messages in one session and waits until all have come out.
fn pass_through(
    address: SocketAddr,
    sink: &Sink,
    sender: &str,
    bytes: usize,
    count: usize,
    rng: &mut Rng,
) -> Result<()> {
    sink.clear();
    let mut client = SmtpClient::connect_when_ready(address, PATIENCE, PATIENCE)?;
    client.hello()?;
    for number in 0..count {
        let made = message(Kind::Sized(bytes), &format!("bench-{number}"), sender, "b@example.net", rng);
        let reply = client.submit(sender, std::slice::from_ref(&made.recipient), &made.content)?;
        ensure!(reply.code == 250, "a message of {bytes} octets was refused: {reply}");
    }
    client.quit()?;
    ensure!(
        sink.wait_for(count, PATIENCE),
        "{} of {count} messages of {bytes} octets came out",
        sink.count()
    );
    // The reply to the next hop's 250 and the record of it are part of the work.
    std::thread::sleep(Duration::from_millis(500));
    Ok(())
}

/// Instructions since reset that were not spent idle.
fn busy_instructions(operator: &mut Operator<'_>) -> Result<u64> {
    let counters = operator.run("show counters")?;
    Ok(number(&counters, "microseconds busy", 0)? * 1_000)
}

/// Instructions that one question for the counters takes.
fn cost_of_asking(operator: &mut Operator<'_>) -> Result<u64> {
    let before = busy_instructions(operator)?;
    Ok(busy_instructions(operator)?.saturating_sub(before))
}

/// Processor time of a process so far.
fn cpu_ms(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name in parentheses: state is field 3, user and system time are fields 14 and 15, in hundredths.
    let fields: Vec<&str> = stat.rsplit_once(") ").map_or(Vec::new(), |(_, rest)| rest.split(' ').collect());
    let hundredths = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok());
    let (user, system) = hundredths(11).zip(hundredths(12)).context("no processor times")?;
    Ok((user + system) * 10.0)
}

fn bless(figures: &Figures) -> Result<()> {
    let mut text = format!(
        "# What the appliance costs, measured by `cargo xtask bench`; `--bless` writes this file anew.\n\
         # Instructions are those of the emulated machine that were not idle; sizes are octets.\n\
         tolerance_percent = {TOLERANCE_PERCENT}\n\n[figures]\n"
    );
    for (name, value) in figures {
        text.push_str(&format!("{name} = {value}\n"));
    }
    fs::write(project::root().join(FILE), text)?;
    print_table(figures, &Figures::new(), 0.0);
    step::note(&format!("written to {FILE}"));
    Ok(())
}

fn compare(figures: &Figures) -> Result<()> {
    let Ok(text) = fs::read_to_string(project::root().join(FILE)) else {
        print_table(figures, &Figures::new(), 0.0);
        bail!("there is no {FILE} to compare with; `cargo xtask bench --bless` makes it");
    };
    let (known, tolerance) = parse(&text)?;
    let grown = print_table(figures, &known, tolerance);
    ensure!(
        grown == 0,
        "{grown} figures have grown by more than {tolerance} %; if that is meant: cargo xtask bench --bless"
    );
    Ok(())
}

/// Prints all figures; gives how many have grown by more than `tolerance` per cent.
fn print_table(figures: &Figures, known: &Figures, tolerance: f64) -> usize {
    let mut grown = 0;
    eprintln!("\n   {:<34}{:>16}{:>16}{:>9}", "figure", "now", "committed", "change");
    for (name, now) in figures {
        let (committed, change) = match known.get(name) {
            Some(before) => {
                let change = (*now as f64 / (*before).max(1) as f64 - 1.0) * 100.0;
                let mark = if change > tolerance { " !" } else { "" };
                grown += usize::from(change > tolerance);
                (build::grouped(*before), format!("{change:+.1} %{mark}"))
            }
            None => ("-".to_owned(), String::new()),
        };
        eprintln!("   {name:<34}{:>16}{committed:>16}{change:>9}", build::grouped(*now));
    }
    for name in known.keys().filter(|name| !figures.contains_key(*name)) {
        eprintln!("   {name}: committed, but not measured any more");
    }
    eprintln!();
    grown
}

/// Figures and tolerance of the committed file.
fn parse(text: &str) -> Result<(Figures, f64)> {
    let (mut figures, mut tolerance) = (Figures::new(), TOLERANCE_PERCENT);
    for line in text.lines().filter(|line| !line.starts_with(['#', '[']) && !line.trim().is_empty()) {
        let (name, value) = line.split_once('=').with_context(|| format!("{FILE}: what is `{line}`?"))?;
        if name.trim() == "tolerance_percent" {
            tolerance = value.trim().parse().with_context(|| format!("{FILE}: {line}"))?;
        } else {
            let value = value.trim().parse().with_context(|| format!("{FILE}: {line}"))?;
            figures.insert(name.trim().to_owned(), value);
        }
    }
    Ok((figures, tolerance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_figures_are_read_back() {
        let (figures, tolerance) =
            parse("# x\ntolerance_percent = 2.5\n\n[figures]\na = 12\n").expect("valid");
        assert_eq!((figures.get("a"), tolerance), (Some(&12), 2.5));
        assert!(parse("a = x\n").is_err());
    }

    #[test]
    fn growth_beyond_the_tolerance_counts() {
        let known = Figures::from([("a".to_owned(), 100), ("b".to_owned(), 100)]);
        let now = Figures::from([("a".to_owned(), 103), ("b".to_owned(), 104)]);
        assert_eq!(print_table(&now, &known, 3.5), 1);
    }
}
