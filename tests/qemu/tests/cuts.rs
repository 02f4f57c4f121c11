//! The power goes at any operation of the data flash, of the unmodified firmware, and nothing is lost.
//!
//! The cuts come in chains of [`CUTS_PER_CHAIN`]. Each chain has an appliance of its own, a theme, and random numbers that
//! follow from the seed and its number, so one chain can be repeated alone:
//!
//! ```sh
//! STARGATE_SEED=1 STARGATE_CHAIN=7 cargo test -p qemu --test cuts -- --nocapture
//! STARGATE_CUTS=5000 cargo test -p qemu --test cuts -- --nocapture
//! ```
//!
//! Which message is where when the power goes depends on how fast this machine is, too. So a failure also keeps the
//! content of the flash as the last cut left it.

use anyhow::{Context as _, Result, bail, ensure};
use harness::{
    bank::{Kind as Flash, Operation},
    message::{Kind, Message, message},
    rng::{Rng, seed_of_this_run},
    sink::{Behaviour, Stage},
    smtp_client::SmtpClient,
};
use qemu::{
    P256_SENDER, PATIENCE, RECIPIENT, RSA_SENDER, Rig,
    cuts::Cut,
    ledger::{Fate, Ledger, Removal, Tally},
    prove,
    queue::{self, QueueId},
};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Cuts of a run, unless `STARGATE_CUTS` says otherwise.
const CUTS: u64 = 200;
/// Cuts of a chain.
const CUTS_PER_CHAIN: u64 = 10;
/// In one of so many recoveries the power goes again.
const AGAIN_EVERY: u64 = 4;
/// Operations at the beginning of a recovery among which it goes again.
const AGAIN_WITHIN: u64 = 8;
/// Octets of the messages that fill the flash before the theme [`Theme::Cleaning`].
const FILLING_BYTES: usize = 60_000;
/// Blocks that are free when it begins.
const BLOCKS_FREE: u32 = 4;

/// What is going on when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    /// Small messages come in from two clients and are signed; the next hop is down.
    Intake,
    /// Large messages come in beside small ones.
    Large,
    /// Messages come in and go out; in some rounds the next hop refuses for now.
    Delivery,
    /// The same in a flash that is full of removed messages, so that it is cleaned: records move, blocks are erased.
    Cleaning,
    /// The operator saves settings, holds, releases and removes, while mail comes in.
    Operator,
}

const THEMES: [Theme; 5] = [Theme::Intake, Theme::Delivery, Theme::Cleaning, Theme::Operator, Theme::Large];

impl Theme {
    /// Operations of one round, about: where to look for a place to cut until one round has been counted.
    fn span(self) -> u64 {
        match self {
            Self::Intake | Self::Operator => 40,
            Self::Delivery => 60,
            Self::Large => 250,
            Self::Cleaning => 300,
        }
    }
}

/// What a chain, or all of them, met.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    cuts: u64,
    erases: u64,
    again: u64,
    tally: Tally,
}

#[test]
fn the_power_goes_at_any_write_and_nothing_is_lost() {
    let cuts = number("STARGATE_CUTS").unwrap_or(CUTS);
    let claim = format!(
        "the power goes at {cuts} writes of the flash, before, in the middle or after: every message that got 250 is \
         delivered whole, nothing refused or removed is, and nothing comes twice without a reason"
    );
    prove(&claim, || {
        let seed = seed_of_this_run("cuts");
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let (met, failures) = (Mutex::new(Met::default()), Mutex::new(Vec::new()));
        let only = number("STARGATE_CHAIN");
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get().min(4)) {
                scope.spawn(|| {
                    while done.load(Ordering::SeqCst) < cuts && lock(&failures).is_empty() {
                        let chain = only.unwrap_or_else(|| next.fetch_add(1, Ordering::SeqCst));
                        if only.is_some() && next.fetch_add(1, Ordering::SeqCst) > 0 {
                            break;
                        }
                        match run(seed, chain) {
                            Ok(of_chain) => {
                                done.fetch_add(of_chain.cuts, Ordering::SeqCst);
                                let mut met = lock(&met);
                                met.cuts += of_chain.cuts;
                                met.erases += of_chain.erases;
                                met.again += of_chain.again;
                                met.tally += of_chain.tally;
                            }
                            Err(error) => lock(&failures).push(format!("{error:#}")),
                        }
                    }
                });
            }
        });
        let met = lock(&met);
        println!(
            "{} cuts, {} of them in an erase, {} while the appliance came back from one; {} messages were accepted, {} \
             were under way without an answer, {} were removed, {} came twice because the cut fell between the next \
             hop's 250 and our record",
            met.cuts,
            met.erases,
            met.again,
            met.tally.accepted,
            met.tally.unknown,
            met.tally.removed,
            met.tally.doubles
        );
        let failures = lock(&failures);
        ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
        ensure!(only.is_some() || met.cuts >= cuts, "only {} cuts were met", met.cuts);
        Ok(())
    });
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One chain, from a new appliance to the judgement after its last cut.
fn run(seed: u64, number: u64) -> Result<Met> {
    let theme = THEMES[(number % THEMES.len() as u64) as usize];
    let start = Instant::now();
    let repeat = format!(
        "chain {number} ({theme:?}); repeat with STARGATE_SEED={seed} STARGATE_CHAIN={number} cargo test -p qemu \
         --test cuts"
    );
    let mut chain = Chain::new(seed, number, theme).with_context(|| repeat.clone())?;
    for cut in 0..CUTS_PER_CHAIN {
        if let Err(error) = chain.one_cut() {
            let kept = chain.keep_flash();
            let error = chain.rig.explain(error).context(format!("cut {cut}: {}", chain.last));
            return Err(error.context(kept).context(repeat));
        }
    }
    chain.finish().context("after the last cut").context(repeat)?;
    let Met { cuts, erases, again, tally } = chain.met;
    println!(
        "chain {number:3} {:9} {cuts} cuts, {erases} in erases, {again} in recoveries; {} accepted, {} unknown, {} removed, \
         {} twice; {:.1} s",
        format!("{theme:?}"),
        tally.accepted,
        tally.unknown,
        tally.removed,
        tally.doubles,
        start.elapsed().as_secs_f32()
    );
    Ok(chain.met)
}

struct Chain {
    number: u64,
    theme: Theme,
    rig: Rig,
    rng: Rng,
    ledger: Ledger,
    /// Operations of a round, as the last whole one had them.
    span: u64,
    rounds: u64,
    /// The value of a setting that the console has confirmed, and one that it has not.
    retry_max: (u64, Option<u64>),
    last: String,
    met: Met,
}

impl Chain {
    fn new(seed: u64, number: u64, theme: Theme) -> Result<Self> {
        let rig = Rig::set_up_served(&format!("cuts-{number}"), |data| match theme {
            Theme::Cleaning => fill(data),
            _ => Ok(()),
        })?;
        Ok(Self {
            number,
            theme,
            rig,
            rng: Rng::new(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            ledger: Ledger::default(),
            span: theme.span(),
            rounds: 0,
            retry_max: (5, None),
            last: "none yet".into(),
            met: Met::default(),
        })
    }

    /// One round into a cut, the recovery from it, and the judgement.
    fn one_cut(&mut self) -> Result<()> {
        loop {
            // An erase is rare among the operations, and the most delicate.
            let erase = self.theme == Theme::Cleaning && self.rng.below(3) == 0;
            let cut = match erase {
                true => Cut::any(2, Some(Flash::Erase), &mut self.rng),
                false => Cut::any(self.span, None, &mut self.rng),
            };
            self.last = format!("round {}, {cut}", self.rounds);
            let before = self.rig.bank()?.operations();
            let met = self.round_into(cut)?;
            let passed = self.rig.bank()?.operations() - before;
            self.rounds += 1;
            let Some(operation) = met else {
                // The round was shorter.
                if !erase {
                    self.span = passed.max(1);
                }
                self.settle()?;
                continue;
            };
            self.count(&operation);
            self.ledger.power_went(&self.rig.sink);
            self.last += &format!(", {operation:?}");
            self.recover()?;
            return self.settle();
        }
    }

    fn count(&mut self, operation: &Operation) {
        self.met.cuts += 1;
        self.met.erases += u64::from(operation.kind == Flash::Erase);
    }

    fn round_into(&mut self, cut: Cut) -> Result<Option<Operation>> {
        let (theme, name) = (self.theme, format!("c{}r{}", self.number, self.rounds));
        let mut rng = Rng::new(self.rng.next());
        let up = matches!(theme, Theme::Delivery | Theme::Cleaning);
        if !up {
            self.rig.sink.go_down();
        } else if theme == Theme::Delivery && rng.below(4) == 0 {
            let stage = [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::End][rng.below(4) as usize];
            let refuse = Some((stage, "451 4.3.0 Not now".to_owned()));
            self.rig.sink.behave(Behaviour { refuse, ..Behaviour::default() });
        }
        let mut clients = vec![self.rig.client()?];
        if theme != Theme::Operator {
            clients.push(self.rig.client()?);
        }
        let mut known = Vec::new();
        if theme == Theme::Operator {
            // The operator needs something to work on.
            for number in 0..4 {
                let message = any_message(theme, &format!("{name}.known{number}"), &mut rng);
                let recipients = vec![message.recipient.clone()];
                let reply = clients[0].submit(&message.sender, &recipients, &message.content)?;
                let id = reply.queue_id().with_context(|| format!("{reply}"))?;
                known.push(id.clone());
                self.ledger.sent(message, recipients, Fate::Accepted { id });
            }
        }
        let sent = Mutex::new(Vec::new());
        let over = AtomicBool::new(false);
        let (ledger, retry_max) = (&mut self.ledger, &mut self.retry_max);
        let met = self.rig.work_into(cut, |rig| {
            std::thread::scope(|scope| {
                for (who, client) in clients.into_iter().enumerate() {
                    let (seed, sent, over) = (rng.next(), &sent, &over);
                    let name = format!("{name}.client{who}");
                    scope.spawn(move || send(client, theme, &name, &mut Rng::new(seed), sent, over));
                }
                if theme == Theme::Operator {
                    operate(rig, &known, ledger, retry_max, &mut rng)?;
                }
                Ok::<_, anyhow::Error>(())
            })?;
            // What follows the last 250: decisions, deliveries, their records.
            std::thread::sleep(Duration::from_millis(match theme {
                Theme::Cleaning => 1_500,
                _ => 300,
            }));
            Ok(())
        })?;
        for (message, recipients, fate) in sent.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.ledger.sent(message, recipients, fate);
        }
        Ok(met)
    }

    /// Starts again, with further cuts on the way in one of [`AGAIN_EVERY`] cases.
    fn recover(&mut self) -> Result<()> {
        let data = self.rig.data();
        // For the case that this goes wrong.
        fs::copy(&data, data.with_extension("cut"))?;
        // The next hop may be there when the appliance comes back, or come later.
        if self.rng.below(2) == 0 {
            self.rig.sink.behave(Behaviour::default());
            self.rig.sink.come_up()?;
        }
        let mut again = Vec::new();
        while self.rng.below(AGAIN_EVERY) == 0 && again.len() < 3 {
            again.push(Cut::any(AGAIN_WITHIN, None, &mut self.rng));
        }
        let ledger = &mut self.ledger;
        let met = self.rig.recover(&again, |rig| {
            ledger.power_went(&rig.sink);
            _ = fs::copy(&data, data.with_extension("cut"));
        })?;
        for operation in met {
            self.met.again += 1;
            self.count(&operation);
            self.last += &format!(", again {operation:?}");
        }
        Ok(())
    }

    /// Waits until everything has been delivered that must be, and judges it.
    fn settle(&mut self) -> Result<()> {
        self.rig.sink.behave(Behaviour::default());
        self.rig.sink.come_up()?;
        if self.theme == Theme::Operator {
            self.check_settings()?;
            self.rig.operate(|operator| operator.run("queue release all"))?;
        }
        self.rig.operate(|operator| operator.run("queue retry all"))?;
        let ledger = &self.ledger;
        if !self.rig.sink.wait_until(PATIENCE, |deliveries| ledger.is_complete(deliveries)) {
            let deliveries = self.rig.sink.deliveries();
            let queue = self.rig.operate(|operator| operator.run("queue")).unwrap_or_default();
            bail!("got 250 and did not come: {:?}; the queue:\n{queue}", self.ledger.missing(&deliveries));
        }
        if self.theme != Theme::Cleaning {
            self.rig.operate(|operator| operator.wait_for_empty_queue(PATIENCE))?;
        }
        let deliveries = self.rig.sink.deliveries();
        self.met.tally = self.ledger.judge(&deliveries)?;
        ensure!(self.rig.sink.breaches().is_empty(), "{:?}", self.rig.sink.breaches());
        let breaches = self.rig.bank()?.breaches();
        ensure!(breaches.is_empty(), "bits were set without an erase: {breaches:?}");
        Ok(())
    }

    /// A setting has the value that the console has confirmed, or one that was on its way when the power went.
    fn check_settings(&mut self) -> Result<()> {
        let config = self.rig.operate(|operator| operator.run("show config"))?;
        let (known, pending) = self.retry_max;
        let found = [Some(known), pending]
            .into_iter()
            .flatten()
            .find(|value| config.lines().any(|line| line.trim() == format!("set retry-max {value}s")));
        let found =
            found.with_context(|| format!("neither {known} nor {pending:?} is in force:\n{config}"))?;
        self.retry_max = (found, None);
        Ok(())
    }

    /// What was in the flash before the first cut is still there, to the octet.
    fn finish(&mut self) -> Result<()> {
        self.rig.cut_power()?;
        if self.theme == Theme::Cleaning {
            let kept = filled()?;
            queue::look(&self.rig.data(), |queue| {
                for (id, number) in &kept.messages {
                    let content = queue::content(queue, *id)?;
                    ensure!(content == filling(*number), "{id} is not what it was before it was moved");
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Keeps the flash as the last cut left it, and says where.
    fn keep_flash(&self) -> String {
        let folder = harness::workspace().join("target/qemu");
        let kept = folder.join(format!("cuts-{}.img", self.number));
        let cut = self.rig.data().with_extension("cut");
        match fs::create_dir_all(&folder).and_then(|()| fs::copy(cut, &kept)) {
            Ok(_) => format!("the flash as the last cut left it is in {}", kept.display()),
            Err(_) => "there was no cut before".into(),
        }
    }
}

type Sent = (Message, Vec<String>, Fate);

/// A client that sends until it has sent enough or the power goes.
fn send(
    client: SmtpClient,
    theme: Theme,
    name: &str,
    rng: &mut Rng,
    sent: &Mutex<Vec<Sent>>,
    over: &AtomicBool,
) {
    let mut client = client;
    let count = match theme {
        Theme::Intake | Theme::Delivery => 4,
        Theme::Large | Theme::Cleaning | Theme::Operator => 2,
    };
    for number in 0..count {
        if over.load(Ordering::SeqCst) {
            return;
        }
        let message = any_message(theme, &format!("{name}.{number}"), rng);
        let recipients: Vec<String> = match rng.below(3) {
            0 => (0..3).map(|n| format!("recipient{n}@example.net")).collect(),
            _ => vec![message.recipient.clone()],
        };
        let fate = match client.submit(&message.sender, &recipients, &message.content) {
            Ok(reply) if reply.code == 250 => match reply.queue_id() {
                Some(id) => Fate::Accepted { id },
                None => Fate::Unknown,
            },
            Ok(_) => Fate::Refused,
            Err(_) => {
                over.store(true, Ordering::SeqCst);
                Fate::Unknown
            }
        };
        lock(sent).push((message, recipients, fate));
    }
}

/// The operator at work, until the console closes.
fn operate(
    rig: &mut Rig,
    known: &[String],
    ledger: &mut Ledger,
    retry_max: &mut (u64, Option<u64>),
    rng: &mut Rng,
) -> Result<()> {
    for id in known {
        match rng.below(4) {
            0 => {
                let value = 6 + rng.below(50);
                rig.operate(|operator| operator.run(&format!("set retry-max {value}s")))?;
                retry_max.1 = Some(value);
                rig.operate(|operator| operator.run("save"))?;
                *retry_max = (value, None);
            }
            1 => {
                rig.operate(|operator| operator.run(&format!("queue hold {id}")))?;
                rig.operate(|operator| operator.run(&format!("queue release {id}")))?;
            }
            _ => {
                ledger.removed(id, Removal::Unknown);
                let asked = Instant::now();
                let said = loop {
                    let said = rig.operate(|operator| operator.run(&format!("queue remove {id}")))?;
                    // While it is decided it cannot be taken away.
                    if !said.contains("being worked on") || asked.elapsed() > PATIENCE {
                        break said;
                    }
                };
                ensure!(said.contains("1 message removed"), "queue remove {id}: {said}");
                ledger.removed(id, Removal::Confirmed);
            }
        }
    }
    Ok(())
}

fn any_message(theme: Theme, name: &str, rng: &mut Rng) -> Message {
    let sender = if rng.below(4) == 0 { RSA_SENDER } else { P256_SENDER };
    let kind = match (theme, rng.below(4)) {
        (Theme::Large, 0..3) => Kind::Sized(100_000 + rng.below(200_000) as usize),
        (Theme::Cleaning, 0..3) => Kind::Sized(80_000 + rng.below(100_000) as usize),
        (_, 0) => Kind::Utf8,
        (_, 1) => Kind::Attachment,
        (_, 2) => Kind::Sized(1_024),
        _ => Kind::Plain,
    };
    message(kind, name, sender, RECIPIENT, rng)
}

/// The flash of the theme [`Theme::Cleaning`], made once.
struct Filled {
    image: PathBuf,
    /// The messages that stay, held, and the number that their content follows from.
    messages: Vec<(QueueId, u64)>,
    _scratch: harness::process::ScratchDir,
}

/// Fills the flash so that it has to be cleaned soon: every second message is removed, so each block is half dead.
fn fill(data: &Path) -> Result<()> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = lock(&MAKING);
    if FILLED.get().is_none() {
        let scratch = harness::process::ScratchDir::new()?;
        let image = scratch.path().join("filled");
        fs::copy(data, &image)?;
        let messages = queue::change(&image, |queue| {
            let (mut kept, mut number) = (Vec::new(), 0);
            while queue.usage().blocks_free > BLOCKS_FREE {
                let id = queue::store(queue, P256_SENDER, RECIPIENT, &filling(number))?;
                if number % 2 == 0 {
                    queue::hold(queue, id)?;
                    kept.push((id, number));
                } else {
                    queue::remove(queue, id)?;
                }
                number += 1;
            }
            Ok(kept)
        })?;
        _ = FILLED.set(Filled { image, messages, _scratch: scratch });
    }
    fs::copy(&filled()?.image, data)?;
    Ok(())
}

static FILLED: OnceLock<Filled> = OnceLock::new();

fn filled() -> Result<&'static Filled> {
    FILLED.get().context("the flash was not filled")
}

fn filling(number: u64) -> Vec<u8> {
    let mut content = b"Subject: filling\r\n\r\n".to_vec();
    content.extend(Rng::new(number).octets(FILLING_BYTES - content.len()));
    content
}
