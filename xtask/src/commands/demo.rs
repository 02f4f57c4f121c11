//! `cargo xtask demo`: the main job from nothing, told step by step.
//!
//! The appliance starts from its flash image alone, is set up over its serial console, makes its keys in the TPM, and
//! signs mail that a real mail server receives and OpenSSL verifies.

use super::build;
use crate::{packages, project, step};
use anyhow::{Context as _, Result, bail, ensure};
use harness::ca::Ca;
use harness::machine::{HOST_SEEN_BY_GUEST, Machine, Options as MachineOptions};
use harness::message::{Kind, Message, message};
use harness::operator::{HOST_NAME, Operator, next_hop};
use harness::receiver::{DOMAIN, Receiver};
use harness::rng::Rng;
use harness::smtp_client::SmtpClient;
use harness::{mime, verify};
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a step of the machine may take; the emulator may share its processor with others.
const PATIENCE: Duration = Duration::from_secs(180);

/// Lines of a console answer that are shown.
const ANSWER_LINES_MAX: usize = 12;

/// The senders, and what kind of key each has.
const SENDERS: [(&str, &str, &str); 2] =
    [("rsa", "anna@example.org", "RSA-2048"), ("p256", "ben@example.org", "ECDSA P-256")];

/// What each of them sends.
const KINDS: [(Kind, &str); 4] = [
    (Kind::Plain, "plain text"),
    (Kind::Utf8, "UTF-8 text, 8bit"),
    (Kind::Attachment, "binary attachment"),
    (Kind::Sized(1 << 20), "1 MiB of text"),
];

/// Options of `demo`.
#[derive(clap::Args)]
pub struct Options {
    /// Takes the image that is there instead of building it.
    #[arg(long)]
    no_build: bool,
    /// Seed of the messages' content; another one each time unless given.
    #[arg(long)]
    seed: Option<u64>,
}

/// A message on its way.
struct Sent {
    message: Message,
    what: &'static str,
    key: &'static str,
}

/// Runs the demonstration.
///
/// # Errors
/// When any step fails or any message does not verify.
pub fn run(options: &Options) -> Result<()> {
    super::kill_children_on_signals();
    let start = Instant::now();
    let folder = project::target().join("demo");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;

    step::headline("1 of 5: tools, firmware, flash image");
    let wanted: Vec<_> = packages::MACHINE.iter().chain(packages::PEERS).copied().collect();
    packages::ensure(&wanted)?;
    let built = if options.no_build { build::present()? } else { build::run(&build::Options::with_sizes())? };

    step::headline("2 of 5: the machine, from its flash image alone");
    let receiver = Receiver::start(&folder.join("mail-server"))?;
    step::note(&format!("{} listens on 127.0.0.1 port {}", receiver.description(), receiver.port()));
    let mut ca = Ca::new(&folder.join("ca")).context("a throw-away certification authority")?;
    step::note(&format!(
        "OpenSSL made a throw-away certification authority in {}",
        project::shown(&ca.root())
    ));
    let power_on = Instant::now();
    let mut machine =
        Machine::start(MachineOptions::new(&built.bank, &folder.join("data.img"), &folder.join("tpm")))?;
    let address = machine.address(25)?;
    step::note("qemu-system-arm -M virt boots an erased appliance with a new TPM (swtpm)");
    let outcome = at_the_console(options, &mut machine, address, power_on, &receiver, &mut ca, &folder);
    if let Ok(console) = machine.console() {
        console.save_transcript(&folder.join("console.txt"))?;
    }
    let (verified, all) = outcome.with_context(|| {
        format!("see {} for everything the console said", project::shown(&folder.join("console.txt")))
    })?;

    eprintln!();
    ensure!(
        verified == all,
        "VERDICT: only {verified} of {all} messages arrived signed, verified and unchanged"
    );
    eprintln!(
        "VERDICT: all {all} messages were signed by the appliance with keys that never left its TPM, delivered to\n\
         {}, verified by OpenSSL, and carry exactly the content that was sent. ({})",
        receiver.description(),
        step::seconds(start.elapsed())
    );
    Ok(())
}

/// Steps 3 to 5; gives how many messages verified, of how many.
fn at_the_console(
    options: &Options,
    machine: &mut Machine,
    address: SocketAddr,
    power_on: Instant,
    receiver: &Receiver,
    ca: &mut Ca,
    folder: &Path,
) -> Result<(usize, usize)> {
    let mut operator = Operator::new(machine.console()?)?;
    step::note(&format!("the console asks for commands after {}", step::seconds(power_on.elapsed())));

    step::headline("3 of 5: set up over the serial console, as a person types it");
    set_up(&mut operator, receiver.port(), ca)?;

    step::headline("4 of 5: mail in on port 25, signed, out to the mail server");
    let sent = send(options, address)?;
    wait_until_arrived(receiver, sent.len(), &mut operator)?;
    tell(&mut operator, &format!("log tail {}", ANSWER_LINES_MAX))?;

    step::headline("5 of 5: OpenSSL judges what arrived");
    let verified = judge(&sent, receiver, ca, folder)?;
    Ok((verified, sent.len()))
}

fn set_up(operator: &mut Operator<'_>, port: u16, ca: &mut Ca) -> Result<()> {
    let hop = next_hop(port);
    let settings =
        [("hostname", HOST_NAME), ("network", "dhcp"), ("relay-networks", "10.0.2.0/24"), ("next-hop", &hop)];
    for (name, value) in settings {
        eprintln!("     > set {name} {value}");
    }
    eprintln!("     > save");
    operator.configure(&settings)?;
    step::note(&format!("(for the appliance, this machine is {HOST_SEEN_BY_GUEST})"));
    for (kind, sender, key) in SENDERS {
        let start = Instant::now();
        eprintln!("     > identity generate {kind} {sender}");
        let id = operator.make_identity(kind, sender, ca)?;
        eprintln!("     > identity csr {id}");
        eprintln!("     > identity import {id}");
        step::note(&format!(
            "{key} key made in the TPM, request certified, chain imported in {}",
            step::seconds(start.elapsed())
        ));
    }
    tell(operator, "identity list")
}

/// Types a command and shows what the console says to it.
fn tell(operator: &mut Operator<'_>, command: &str) -> Result<()> {
    let answer = operator.run(command)?;
    eprintln!("     > {command}");
    for line in answer.lines().filter(|line| !line.trim().is_empty()).take(ANSWER_LINES_MAX) {
        eprintln!("     {line}");
    }
    Ok(())
}

fn send(options: &Options, address: SocketAddr) -> Result<Vec<Sent>> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let mut rng = Rng::new(options.seed.unwrap_or(clock));
    let mut client = SmtpClient::connect_when_ready(address, PATIENCE, PATIENCE)?;
    client.hello()?;
    let mut sent = Vec::new();
    for (_, sender, key) in SENDERS {
        for (kind, what) in KINDS {
            let name = format!("demo-{}", sent.len() + 1);
            let made = message(kind, &name, sender, &format!("someone@{DOMAIN}"), &mut rng);
            let start = Instant::now();
            let reply = client.submit(&made.sender, std::slice::from_ref(&made.recipient), &made.content)?;
            ensure!(reply.code == 250, "the appliance refused {name}: {reply}");
            step::note(&format!(
                "{name}: {what}, {} octets from {sender}: {} ({})",
                build::grouped(made.content.len() as u64),
                reply.last_line(),
                step::seconds(start.elapsed())
            ));
            sent.push(Sent { message: made, what, key });
        }
    }
    client.quit()?;
    Ok(sent)
}

fn wait_until_arrived(receiver: &Receiver, count: usize, operator: &mut Operator<'_>) -> Result<()> {
    let start = Instant::now();
    let mut shown = 0;
    loop {
        let arrived = receiver.messages()?.len();
        if arrived > shown {
            shown = arrived;
            step::note(&format!("{arrived} of {count} delivered after {}", step::seconds(start.elapsed())));
        }
        if arrived >= count {
            break;
        }
        if start.elapsed() > PATIENCE {
            tell(operator, "queue")?;
            bail!("only {arrived} of {count} messages were delivered within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    operator.wait_for_empty_queue(PATIENCE)
}

/// Verifies and compares every message; prints a line for each.
fn judge(sent: &[Sent], receiver: &Receiver, ca: &Ca, folder: &Path) -> Result<usize> {
    let arrived = receiver.messages()?;
    let received = folder.join("received");
    fs::create_dir_all(&received)?;
    let mut verified = 0;
    for (number, one) in sent.iter().enumerate() {
        let mine: Vec<&Vec<u8>> = arrived
            .iter()
            .filter(|content| mime::header(content, "message-id").as_deref() == Some(one.message.id.as_str()))
            .collect();
        let name = format!("demo-{}", number + 1);
        let outcome = match mine.as_slice() {
            [] => Err(anyhow::anyhow!("it did not arrive")),
            [content] => {
                fs::write(received.join(format!("{name}.eml")), content)?;
                verify::judge(&one.message.content, &one.message.sender, content, &ca.root())
            }
            more => Err(anyhow::anyhow!("it arrived {} times", more.len())),
        };
        match outcome {
            Ok(()) => {
                verified += 1;
                step::note(&format!(
                    "{name}: {:<18} {:<12} signature verified, content identical",
                    one.what, one.key
                ));
            }
            Err(error) => step::note(&format!("{name}: {:<18} {:<12} FAILED: {error:#}", one.what, one.key)),
        }
    }
    step::note("to repeat one by hand:");
    step::note(&format!(
        "  openssl cms -verify -in {}/demo-1.eml -CAfile {}",
        project::shown(&received),
        project::shown(&ca.root())
    ));
    Ok(verified)
}
