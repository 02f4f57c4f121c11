//! The console: executes what the operator says.
//!
//! Commands that only look can be stopped with Ctrl-C. The others run to their end, so that nothing is half done.

mod clients;
mod diag;
mod domains;
mod flash;
mod identities;
mod look;
mod peers;
mod queue;
mod routes;
mod setup;
mod system;
mod tables;
mod view;
mod wizard;

use crate::{Appliance, Machine, Platform};
use alloc::boxed::Box;
use console::{Command, Console, Outcome, Request, Screen, Topic};
use embassy_futures::select::{Either, select};
use embedded_io_async::{Read, Write};
use platform::Timer;
use queue::Verb;
use settings::Settings;

/// Octets that are read of the terminal at a time.
const READ_BYTES: usize = 64;
/// Milliseconds before a terminal that does not work is looked at again.
const AGAIN_MS: u64 = 100;

/// Serves the console for ever. Input that cannot be read or output that cannot be written is ignored: the console
/// may be unplugged at any time.
pub async fn run<P: Platform, R: Read, W: Write>(
    appliance: &Appliance<'_, P>,
    mut input: R,
    mut output: W,
) -> ! {
    let mut console = Console::new(settings::NAMES);
    // The settings that are being edited, until they are saved or discarded.
    let mut draft: Option<Box<Settings>> = None;
    let mut keyboard = Keyboard { buffer: [0; READ_BYTES], start: 0, end: 0 };
    prompt(appliance, &mut console, draft.is_some());
    console.greet(appliance.machine.version(), appliance.factory_fresh.get());
    loop {
        while !console.transmit().is_empty() {
            let sent = output.write(console.transmit()).await.unwrap_or(0);
            if sent == 0 {
                appliance.timer.sleep_until(appliance.now().plus_ms(AGAIN_MS)).await;
            }
            console.transmitted(sent);
        }
        match console.poll() {
            Some(Request::Run(command)) => {
                let outcome = carry_out(
                    appliance,
                    &mut console,
                    &mut draft,
                    command,
                    &mut keyboard,
                    &mut input,
                    &mut output,
                )
                .await;
                prompt(appliance, &mut console, draft.is_some());
                console.done(outcome);
            }
            Some(Request::Interrupt) => {}
            None => {
                if !keyboard.give(&mut console) {
                    keyboard.read(appliance, &mut input).await;
                }
            }
        }
    }
}

fn prompt<P: Platform>(appliance: &Appliance<'_, P>, console: &mut Console, unsaved: bool) {
    let settings = appliance.settings();
    let name = settings.hostname.as_ref().map_or("stargate", settings::HostName::as_str);
    console.set_prompt(name, unsaved);
}

/// What was typed and not yet taken.
struct Keyboard {
    buffer: [u8; READ_BYTES],
    start: usize,
    end: usize,
}

impl Keyboard {
    /// Gives the console what it takes. Returns whether it took anything.
    fn give(&mut self, console: &mut Console) -> bool {
        let taken = console.receive(self.buffer.get(self.start..self.end).unwrap_or_default());
        self.start += taken;
        taken > 0
    }

    /// Waits for more, if there is room for it.
    async fn read<P: Platform>(&mut self, appliance: &Appliance<'_, P>, input: &mut impl Read) {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        if room.is_empty() {
            // Typed ahead too much: wait for the command that runs.
            return core::future::pending().await;
        }
        match input.read(room).await {
            Ok(count) if count > 0 => self.end += count,
            _ => appliance.timer.sleep_until(appliance.now().plus_ms(AGAIN_MS)).await,
        }
    }
}

/// Runs a command while the keyboard is listened to.
async fn carry_out<P: Platform, R: Read, W: Write>(
    appliance: &Appliance<'_, P>,
    console: &mut Console,
    draft: &mut Option<Box<Settings>>,
    command: Command,
    keyboard: &mut Keyboard,
    input: &mut R,
    output: &mut W,
) -> Outcome {
    if command == Command::Setup {
        let settings = appliance.settings();
        console.setup(|name| {
            let row = wizard::current(appliance, name);
            row.or_else(|| settings.value(name).map(|value| alloc::format!("{value}"))).unwrap_or_default()
        });
        return Outcome::Done;
    }
    let may_stop = only_looks(&command);
    let mut screen = Screen::new(&mut *output);
    let mut running = Box::pin(execute(appliance, draft, command, &mut screen));
    loop {
        match select(&mut running, keyboard.read(appliance, input)).await {
            Either::First(outcome) => return outcome,
            Either::Second(()) => {
                while keyboard.give(console) {}
                if let Some(Request::Interrupt) = console.poll()
                    && may_stop
                {
                    return Outcome::Done;
                }
            }
        }
    }
}

/// Whether a command changes nothing, so that it may be stopped anywhere.
fn only_looks(command: &Command) -> bool {
    matches!(
        command,
        Command::Show(_)
            | Command::IdentityList
            | Command::QueueList
            | Command::QueueSummary
            | Command::QueueShow(_)
            | Command::RouteTest(_)
            | Command::PeerTest { .. }
            | Command::LogTail(_)
            | Command::Diag
            | Command::Check(_)
    )
}

async fn execute<P: Platform, W: Write>(
    appliance: &Appliance<'_, P>,
    draft: &mut Option<Box<Settings>>,
    command: Command,
    screen: &mut Screen<W>,
) -> Outcome {
    match command {
        Command::Show(topic) => match topic {
            Topic::Settings => setup::show(appliance, draft.as_deref(), screen).await,
            Topic::Config => setup::export(appliance, screen).await,
            Topic::Queue => queue::list(appliance, screen).await,
            Topic::Identities => identities::list(appliance, screen).await,
            Topic::Destinations => queue::destinations(appliance, screen).await,
            Topic::Routes => routes::list(appliance, screen).await,
            Topic::Peers => peers::list(appliance, screen).await,
            Topic::Domains => domains::list(appliance, screen).await,
            Topic::Relay => domains::relay(appliance, screen).await,
            Topic::Clients => clients::show(appliance, screen).await,
            Topic::Networks => domains::networks(appliance, screen).await,
            Topic::Filter => domains::filter(appliance, screen).await,
            Topic::Actions => tables::actions(appliance, screen).await,
            Topic::Network => look::network(appliance, screen).await,
            Topic::Memory => look::memory(appliance, screen).await,
            Topic::Counters => look::counters(appliance, screen).await,
            Topic::Flash => flash::show(appliance, screen).await,
            Topic::Time => look::time(appliance, screen).await,
            Topic::Version => look::version(appliance, screen).await,
        },
        Command::Set { name, value } => setup::set(appliance, draft, &name, &value, screen).await,
        Command::Save => setup::save(appliance, draft, screen).await,
        Command::Discard => setup::discard(draft, screen).await,
        // Answered before, by the console itself.
        Command::Setup => Outcome::Done,
        Command::TryAnswer(answer) => setup::try_answer(appliance, &answer, screen).await,
        Command::ApplySetup(answers) => setup::apply(appliance, draft, &answers, screen).await,
        Command::IdentityGenerate { kind, serves } => {
            identities::generate(appliance, kind, &serves, screen).await
        }
        Command::IdentityCsr(id) => identities::csr(appliance, id, screen).await,
        Command::IdentityImportBegin(id) => identities::import_begin(appliance, id, screen).await,
        Command::IdentityImport { id, pem } => identities::import(appliance, id, &pem, screen).await,
        Command::IdentityList => identities::list(appliance, screen).await,
        Command::IdentityRemove(id) => identities::remove(appliance, id, screen).await,
        Command::QueueList => queue::list(appliance, screen).await,
        Command::QueueShow(id) => queue::show(appliance, id, screen).await,
        Command::QueueSummary => queue::summary(appliance, screen).await,
        Command::QueueRetry(target) => queue::retry(appliance, &target, screen).await,
        Command::QueueHold(target) => queue::act(appliance, Verb::Hold, &target, screen).await,
        Command::QueueRelease(target) => queue::act(appliance, Verb::Release, &target, screen).await,
        Command::QueueBounce(target) => queue::act(appliance, Verb::Bounce, &target, screen).await,
        Command::QueueRemove(target) => queue::act(appliance, Verb::Remove, &target, screen).await,
        Command::RowAdd { rows, text } => tables::add(appliance, rows, &text, screen).await,
        Command::RowRemove { rows, name } => tables::remove(appliance, rows, &name, screen).await,
        Command::PeerSource { name, add, sources } => {
            peers::source(appliance, &name, add, &sources, screen).await
        }
        Command::PeerTest { address, on } => peers::test(appliance, &address, on.as_deref(), screen).await,
        Command::PeerConfirm => peers::confirm(appliance, screen).await,
        Command::RouteTest(address) => routes::test(appliance, &address, screen).await,
        Command::LogTail(lines) => look::log_tail(appliance, lines, screen).await,
        Command::Diag => look::diag(appliance, screen).await,
        // In a box: it is large, and seldom runs.
        Command::Check(check) => Box::pin(diag::run(appliance, check, screen)).await,
        Command::TimeSet(unix) => system::set_time(appliance, unix, screen).await,
        Command::Reboot => system::reboot(appliance, screen).await,
        Command::FactoryReset => system::factory_reset(appliance, screen).await,
    }
}
