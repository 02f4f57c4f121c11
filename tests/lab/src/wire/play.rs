//! Tells a scenario with the real image, and keeps what one needs to find out why it failed.

use super::{
    alone::{Alone, Stage},
    executor::Executor,
    gateway::{WireGateway, kept},
    net::WireNet,
};
use crate::{
    gateway::Gateway,
    net::{Later, Net},
    scenario::Scenario,
    transcript::Told,
    world::World,
};
use anyhow::{Context as _, Result, bail};
use harness::process::ScratchDir;
use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    rc::Rc,
};

/// What a scenario may take at most on the real image, in seconds.
const SCENARIO_S: u64 = 900;

/// How to play.
#[derive(Clone, Debug, Default)]
pub struct How {
    /// All chance follows from it.
    pub seed: u64,
    /// Where the recording goes and stays; without one it is kept only when the scenario fails.
    pub pcap: Option<PathBuf>,
    /// Prints what is said on the wire while it is said.
    pub transcript: bool,
}

/// Plays `scenario` with the real image.
///
/// # Errors
/// When it fails; names the files with the recording and what the console showed.
pub fn play(scenario: &'static Scenario, how: &How) -> Result<()> {
    on_stage(scenario.name, how, |stage| Box::pin(scenario.play(stage.world)))
}

/// Plays a story that only the real image can show.
///
/// # Errors
/// As [`play`].
pub fn play_alone(story: &Alone, how: &How) -> Result<()> {
    on_stage(story.name, how, story.tell)
}

fn on_stage(name: &str, how: &How, tell: impl FnOnce(Stage) -> Later<'static, ()>) -> Result<()> {
    let scratch = ScratchDir::new()?;
    let executor = Executor::new()?;
    let wire = WireNet::new(&executor, scratch.path(), how.seed)?;
    wire.start();
    let name = format!("{name}-{}", how.seed);
    let recording = how.pcap.clone().unwrap_or_else(|| kept().join(format!("{name}.pcapng")));
    wire.record(&recording)?;
    let gateway = Rc::new(WireGateway::new(&wire, |_| ())?);
    let mut net: Rc<dyn Net> = Rc::new(wire.clone());
    if how.transcript {
        net = Rc::new(Told::new(net));
    }
    let world = World::new(net, Rc::clone(&gateway) as Rc<dyn Gateway>, how.seed);
    let stage = Stage { executor: executor.clone(), wire: wire.clone(), world };
    let story = async { wire.within(SCENARIO_S, tell(stage)).await };
    let told = catch_unwind(AssertUnwindSafe(|| executor.block_on(story)));
    wire.end_recording()?;
    let why = match told {
        Ok(Some(())) => {
            if how.pcap.is_none() {
                _ = fs::remove_file(&recording);
            }
            return Ok(());
        }
        Ok(None) => format!("it did not end within {SCENARIO_S} s"),
        Err(panic) => panic_text(&*panic),
    };
    let console = kept().join(format!("{name}.console"));
    fs::write(&console, gateway.shown()).with_context(|| format!("cannot write {}", console.display()))?;
    bail!("{why}\nframes: {}\nconsole: {}", recording.display(), console.display())
}

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it failed").to_owned()
}
