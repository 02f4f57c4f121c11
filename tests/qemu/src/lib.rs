//! Black-box tests of the real image: the firmware in the emulator, a next hop and clients in the test process,
//! `openssl` as the judge. What is in here sets the stage; the tests are in `tests/`.
//!
//! They need `target/appliance/firmware.img`, or the file that the environment variable `STARGATE_FIRMWARE` names:
//! `cargo xtask test` builds it and runs them, `cargo xtask build` builds it alone.
#![forbid(unsafe_code)]

pub mod cuts;
pub mod ledger;
pub mod queue;

use anyhow::{Context as _, Result, anyhow, ensure};
use harness::{
    bank::Bank,
    ca::Ca,
    console::Console,
    machine::{Machine, Options, erase_bank},
    operator::{Operator, next_hop},
    process::{ScratchDir, free_port},
    sink::Sink,
    smtp_client::SmtpClient,
};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

/// How long anything may take that takes a moment. The machine may share its processor with others.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// A sender with an RSA identity.
pub const RSA_SENDER: &str = "rsa@example.org";
/// A sender with a P-256 identity.
pub const P256_SENDER: &str = "p256@example.org";
/// A sender without an identity.
pub const PLAIN_SENDER: &str = "nobody@example.org";
/// Everybody's recipient.
pub const RECIPIENT: &str = "recipient@example.net";

/// The image under test.
///
/// # Errors
/// If there is none; says how to make it.
pub fn firmware() -> Result<PathBuf> {
    let path = std::env::var_os("STARGATE_FIRMWARE").map_or_else(harness::firmware_image, PathBuf::from);
    ensure!(
        path.exists(),
        "no firmware image at {}: `cargo xtask build` makes it, `cargo xtask test` makes it and runs these tests",
        path.display()
    );
    Ok(path)
}

/// An appliance that has been set up once: its data flash and TPM, to be copied for each test, and the authority that
/// certified its identities.
pub struct Golden {
    scratch: ScratchDir,
    /// The root certificate of the throw-away authority.
    pub root: PathBuf,
}

impl Golden {
    /// The one of this process, made when it is first wanted.
    ///
    /// # Errors
    /// If setting it up failed; the same for everybody.
    pub fn get() -> Result<&'static Self> {
        static GOLDEN: OnceLock<Result<Golden, String>> = OnceLock::new();
        GOLDEN
            .get_or_init(|| Self::make().map_err(|error| format!("{error:#}")))
            .as_ref()
            .map_err(|error| anyhow!("setting the appliance up for the tests: {error}"))
    }

    fn make() -> Result<Self> {
        let scratch = ScratchDir::new()?;
        let mut ca = Ca::new(&scratch.path().join("ca"))?;
        let options = Options::new(&firmware()?, &scratch.path().join("data"), &scratch.path().join("tpm"));
        let mut machine = Machine::start(options)?;
        let console = machine.console()?;
        let made = (|| {
            let mut operator = Operator::new(console)?;
            operator.set_up(free_port()?)?;
            operator.make_identity("rsa", RSA_SENDER, &mut ca)?;
            operator.make_identity("p256", P256_SENDER, &mut ca)
        })();
        made.map_err(|error| keep_transcript("set-up", console, error))?;
        machine.kill();
        Ok(Self { root: ca.root(), scratch })
    }

    /// A folder with a data flash and a TPM of one's own.
    fn copy(&self) -> Result<ScratchDir> {
        let scratch = ScratchDir::new()?;
        fs::copy(self.scratch.path().join("data"), scratch.path().join("data"))?;
        copy_folder(&self.scratch.path().join("tpm"), &scratch.path().join("tpm"))?;
        Ok(scratch)
    }
}

/// One test's appliance with its next hop.
pub struct Rig {
    /// The machine; only [`Rig::cut_power`] and the like take it out for a moment.
    machine: Option<Machine>,
    /// Who serves its data flash, where that is not the emulator itself.
    bank: Option<Arc<Bank>>,
    /// The next hop on this machine.
    pub sink: Sink,
    scratch: ScratchDir,
    name: String,
}

impl Rig {
    /// A copy of the golden appliance, running, with a next hop of its own that is up.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn set_up(name: &str) -> Result<Self> {
        let rig = Self::start(name, Golden::get()?.copy()?, |_| Ok(None))?;
        rig.with_next_hop()
    }

    /// As [`Rig::set_up`], with a data flash of which each write can be held and torn. `prepare` may change its content
    /// before anything is switched on.
    ///
    /// # Errors
    /// As [`Rig::set_up`].
    pub fn set_up_served(name: &str, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Self> {
        let serve = |data: &Path| {
            prepare(data)?;
            Bank::serve(data).map(Arc::new).map(Some)
        };
        let rig = Self::start(name, Golden::get()?.copy()?, serve)?;
        rig.with_next_hop()
    }

    fn with_next_hop(self) -> Result<Self> {
        let mut rig = self;
        let port = rig.sink.address().port();
        rig.operate(|operator| operator.configure(&[("next-hop", &next_hop(port))]))?;
        rig.machine()?.wait_for_greeting(25, PATIENCE)?;
        Ok(rig)
    }

    /// An appliance as it leaves the factory, running.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn factory_fresh(name: &str) -> Result<Self> {
        let scratch = ScratchDir::new()?;
        erase_bank(&scratch.path().join("data"))?;
        let mut rig = Self::start(name, scratch, |_| Ok(None))?;
        rig.machine()?.wait_for_greeting(25, PATIENCE)?;
        Ok(rig)
    }

    fn start(
        name: &str,
        scratch: ScratchDir,
        serve: impl FnOnce(&Path) -> Result<Option<Arc<Bank>>>,
    ) -> Result<Self> {
        let data = scratch.path().join("data");
        let bank = serve(&data)?;
        let mut options = Options::new(&firmware()?, &data, &scratch.path().join("tpm"));
        options.data_served = bank.as_ref().map(|bank| bank.socket());
        let machine = Machine::start(options)?;
        let mut rig =
            Self { machine: Some(machine), bank, sink: Sink::start()?, scratch, name: name.to_owned() };
        rig.first_prompt()?;
        Ok(rig)
    }

    fn first_prompt(&mut self) -> Result<()> {
        let name = self.name.clone();
        let console = self.machine()?.console()?;
        Operator::new(console).map(drop).map_err(|error| keep_transcript(&name, console, error))
    }

    /// The machine.
    ///
    /// # Errors
    /// If starting it anew has failed before.
    pub fn machine(&mut self) -> Result<&mut Machine> {
        self.machine.as_mut().context("the machine is gone")
    }

    /// Does something at the console.
    ///
    /// # Errors
    /// What `work` met; the transcript of the console is kept in a file that the error names.
    pub fn operate<T>(&mut self, work: impl FnOnce(&mut Operator<'_>) -> Result<T>) -> Result<T> {
        let name = self.name.clone();
        let console = self.machine()?.console()?;
        work(&mut Operator::at_prompt(console)).map_err(|error| keep_transcript(&name, console, error))
    }

    /// Where the appliance takes mail.
    ///
    /// # Errors
    /// If the machine is gone.
    pub fn address(&mut self) -> Result<SocketAddr> {
        self.machine()?.address(25)
    }

    /// A client that has been greeted and has said EHLO.
    ///
    /// # Errors
    /// If the appliance does not answer.
    pub fn client(&mut self) -> Result<SmtpClient> {
        let mut client = SmtpClient::connect_when_ready(self.address()?, PATIENCE, PATIENCE)?;
        client.hello()?;
        Ok(client)
    }

    /// Pulls the plug. Everything that talks to the appliance sees its connections end.
    ///
    /// # Errors
    /// If the machine is gone.
    pub fn cut_power(&mut self) -> Result<()> {
        self.machine()?.kill();
        Ok(())
    }

    /// Starts the machine again on the same flash, with the same TPM, and waits for its first prompt.
    ///
    /// # Errors
    /// If it does not come up.
    pub fn power_on(&mut self) -> Result<()> {
        self.switch_on()?;
        self.first_prompt()
    }

    /// As [`Rig::power_on`], without waiting for anything.
    ///
    /// # Errors
    /// If it does not start.
    pub fn switch_on(&mut self) -> Result<()> {
        self.switch_on_with(|_| ())
    }

    /// As [`Rig::power_on`], with something about the machine changed.
    ///
    /// # Errors
    /// As [`Rig::power_on`].
    pub fn power_on_with(&mut self, change: impl FnOnce(&mut Options)) -> Result<()> {
        self.switch_on_with(change)?;
        self.first_prompt()
    }

    fn switch_on_with(&mut self, change: impl FnOnce(&mut Options)) -> Result<()> {
        let machine = self.machine.as_mut().context("the machine is gone")?;
        machine.kill();
        if let Some(bank) = &self.bank {
            bank.power_on();
        }
        let machine = self.machine.take().context("the machine is gone")?;
        self.machine = Some(machine.restart_with(change)?);
        Ok(())
    }

    /// Who serves the data flash.
    ///
    /// # Errors
    /// If it is the emulator itself: the rig was not made with [`Rig::set_up_served`].
    pub fn bank(&self) -> Result<&Arc<Bank>> {
        self.bank.as_ref().context("the data flash is not served")
    }

    /// The file with the content of the data flash.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// Adds what the console has seen to an error.
    pub fn explain(&mut self, error: anyhow::Error) -> anyhow::Error {
        let name = self.name.clone();
        match self.machine().and_then(|m| m.console()) {
            Ok(console) => keep_transcript(&name, console, error),
            Err(_) => error,
        }
    }
}

/// Runs the body of a test, and prints what it took.
///
/// # Panics
/// With the error of the body.
pub fn prove(claim: &str, body: impl FnOnce() -> Result<()>) {
    let start = Instant::now();
    match body() {
        Ok(()) => println!("proven in {:.1} s: {claim}", start.elapsed().as_secs_f32()),
        Err(error) => panic!("not proven: {claim}\n{error:?}"),
    }
}

fn keep_transcript(name: &str, console: &Console, error: anyhow::Error) -> anyhow::Error {
    let folder = harness::workspace().join("target/qemu");
    let path = folder.join(format!("{name}.console"));
    let kept = fs::create_dir_all(&folder)
        .map_err(anyhow::Error::from)
        .and_then(|()| console.save_transcript(&path));
    match kept {
        Ok(()) => error.context(format!("what the console showed is in {}", path.display())),
        Err(_) => error,
    }
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
