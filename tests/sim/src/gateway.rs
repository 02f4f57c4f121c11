//! The appliance in its simulated machine: boot, configure, cut the power, boot again.

use crate::datagrams::SimDatagrams;
use crate::executor::{Executor, Group, PowerEvent};
use crate::flash::{Bank, PoweredFlash};
use crate::interfaces::Interfaces;
use crate::machine::{SimClock, SimConnector, SimEntropy, SimPower, SimTimer};
use crate::network::Network;
use crate::queue::{Kept, Queue};
use crate::terminal::{Port, Terminal};
use crate::tpm::{SimTpm, TpmChip};
use crate::world::World;
use events::Log;
use flash_log::Partition;
use limits::flash::{BLOCKS_COUNT_MAX, SETTINGS_BLOCKS, SPOOL_BLOCKS};
use limits::net::{INTERFACES_COUNT, SPARE_CONNECTORS_COUNT};
use limits::relay::{DECIDERS_COUNT, SESSIONS_OUT_COUNT_MAX};
use platform::{Instant, Origin};
use relay::{Appliance, Applied, Machine, Memory, NetworkState, Parts, Platform, SharedFlash};
use settings::{Route, Settings};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The types of the simulated machine.
pub struct SimPlatform;

impl Platform for SimPlatform {
    type Flash = PoweredFlash;
    type Tpm = SimTpm;
    type Timer = SimTimer;
    type Clock = SimClock;
    type Entropy = SimEntropy;
    type Datagrams = SimDatagrams;
    type Connector = SimConnector;
    type Power = SimPower;
    type Machine = SimMachine;
}

/// A running appliance.
pub type SimAppliance = Appliance<'static, SimPlatform>;

/// What the machine says of itself.
pub struct SimMachine {
    interfaces: Interfaces,
}

impl Machine for SimMachine {
    fn version(&self) -> &str {
        "0.0.0-sim"
    }

    fn start_cause(&self) -> &str {
        "power-on"
    }

    fn memory(&self) -> Memory {
        Memory::default()
    }

    fn busy_us(&self) -> u64 {
        0
    }

    fn network(&self) -> heapless::Vec<NetworkState, INTERFACES_COUNT> {
        self.interfaces.told()
    }

    fn apply_network(&self, settings: &Settings) -> Applied {
        self.interfaces.apply(settings);
        Applied::Now
    }
}

/// The address of the appliance.
pub const GATEWAY: [u8; 4] = [10, 0, 0, 1];
/// The address that DHCP gives the second interface, while it is on.
pub const GATEWAY_2: [u8; 4] = [10, 128, 0, 1];
/// The address of the next hop that settings of [`Gateway::configure_default`] name.
pub const NEXT_HOP: [u8; 4] = [10, 0, 0, 25];
/// The address of a client in the relay networks of [`Gateway::configure_default`].
pub const CLIENT: [u8; 4] = [10, 1, 0, 7];

/// An appliance with its flash, TPM and console; the machine may be on or off.
pub struct Gateway {
    executor: Executor,
    network: Network,
    seed: u64,
    /// The data flash, which survives everything.
    pub bank: Bank,
    /// The TPM, if there is one.
    pub tpm: Option<TpmChip>,
    /// Civil time; runs and can be set whether the machine is on or off.
    pub clock: SimClock,
    /// The serial line.
    pub terminal: Terminal,
    boot: Cell<u32>,
    powered: RefCell<Option<Rc<RefCell<Option<Bank>>>>>,
    appliance: RefCell<Option<Rc<SimAppliance>>>,
}

impl Gateway {
    /// A new appliance with blank flash, switched off.
    #[must_use]
    pub fn new(world: &World) -> Self {
        Self {
            executor: world.executor.clone(),
            network: world.network.clone(),
            seed: world.seed,
            bank: Bank::new(BLOCKS_COUNT_MAX),
            tpm: None,
            // 22 November 2026, 12:00:00 UTC.
            clock: SimClock::new(&world.executor, Some(1_795_348_800)),
            terminal: Terminal::default(),
            boot: Cell::new(0),
            powered: RefCell::default(),
            appliance: RefCell::default(),
        }
    }

    /// Puts settings on the flash of an appliance that is off, as if the operator had saved them before.
    ///
    /// # Panics
    /// If they are refused.
    pub async fn configure(&self, lines: &[(&str, &str)]) {
        let flash: SharedFlash<Bank> = SharedFlash::new(self.bank.clone());
        let (mut store, mut settings, _) =
            settings::Store::open(Partition::new(&flash, SETTINGS_BLOCKS)).await.expect("the flash works");
        for (name, value) in lines {
            settings.set(name, value).unwrap_or_else(|fault| panic!("{name} {value}: {fault}"));
        }
        store.save(&settings).await.expect("the settings are valid");
    }

    /// Puts routes (domain, next hop, whether it is inside) on the flash of an appliance that is off.
    ///
    /// # Panics
    /// If they are refused.
    pub async fn add_routes(&self, routes: &[(String, String, bool)]) {
        let flash: SharedFlash<Bank> = SharedFlash::new(self.bank.clone());
        let (mut store, _, _) =
            settings::Store::open(Partition::new(&flash, SETTINGS_BLOCKS)).await.expect("the flash works");
        let table = RefCell::new(store.routes().await.0);
        for (domain, next_hop, inside) in routes {
            let route = Route::new(domain, next_hop, *inside).unwrap_or_else(|fault| panic!("{fault}"));
            store.add(&table, route).await.expect("the table has room");
        }
    }

    /// Puts rows of a table, as an operator would type them, on the flash of an appliance that is off.
    ///
    /// # Panics
    /// If they are refused.
    pub async fn add_rows<R: settings::Row>(&self, rows: &[&str]) {
        let flash: SharedFlash<Bank> = SharedFlash::new(self.bank.clone());
        let (mut store, _, _) =
            settings::Store::open(Partition::new(&flash, SETTINGS_BLOCKS)).await.expect("the flash works");
        let table = RefCell::new(store.table::<R>().await.0);
        for row in rows {
            let row = R::parse(row).unwrap_or_else(|fault| panic!("{row}: {fault}"));
            store.add(&table, row).await.expect("the table has room");
        }
    }

    /// The settings of most stories: relays for [`CLIENT`]'s network to [`NEXT_HOP`].
    pub async fn configure_default(&self) {
        self.configure(&[
            ("hostname", "gw.example"),
            ("relay-networks", "10.1.0.0/16"),
            ("next-hop", "10.0.0.25:25"),
        ])
        .await;
    }

    /// The group of the tasks of the present start.
    #[must_use]
    pub fn group(&self) -> Group {
        Group::Appliance(self.boot.get())
    }

    /// Switches the machine on and waits until it listens, or until the power went again. Returns whether it listens.
    pub async fn boot(&self) -> bool {
        self.power_cut();
        self.bank.power_on();
        if let (Some(tpm), 1..) = (&self.tpm, self.boot.get()) {
            tpm.power_cycle();
        }
        self.boot.set(self.boot.get() + 1);
        self.terminal.clear();
        let group = self.group();
        let powered = Rc::new(RefCell::new(Some(self.bank.clone())));
        *self.powered.borrow_mut() = Some(powered.clone());
        let started = Rc::new(RefCell::new(None));
        let interfaces = Interfaces::default();
        let (place, parts) = (started.clone(), self.parts(&interfaces));
        let flash = PoweredFlash::new(&self.executor, group, powered);
        self.executor.spawn(group, "start", async move {
            // What lives as long as the machine is a static there; a few small values for each start here.
            let flash: &'static SharedFlash<PoweredFlash> = Box::leak(Box::new(SharedFlash::new(flash)));
            let log: &'static Log = Box::leak(Box::new(Log::new()));
            let appliance = Appliance::start(flash, log, parts).await.expect("the flash works");
            *place.borrow_mut() = Some(Rc::new(appliance));
        });
        while started.borrow().is_none() {
            if self.executor.alive(group) == 0 {
                return false;
            }
            self.executor.sleep_until(Instant(self.executor.now().0 + 1_000)).await;
        }
        let Some(appliance) = started.borrow_mut().take() else { return false };
        *self.appliance.borrow_mut() = Some(appliance.clone());
        self.start_tasks(group, &appliance, &interfaces);
        true
    }

    fn parts(&self, interfaces: &Interfaces) -> Parts<SimPlatform> {
        let connector = || SimConnector { network: self.network.clone(), interfaces: interfaces.clone() };
        let entropy = SimEntropy::new(self.seed ^ u64::from(self.boot.get()).wrapping_mul(0x9e37_79b9));
        Parts {
            tpm: SimTpm::new(self.tpm.clone()),
            timer: SimTimer::start(&self.executor),
            clock: self.clock.clone(),
            entropy,
            datagrams: SimDatagrams { network: self.network.clone(), interfaces: interfaces.clone() },
            connectors: (0..SPARE_CONNECTORS_COUNT).map(|_| connector()).collect(),
            power: SimPower,
            machine: SimMachine { interfaces: interfaces.clone() },
        }
    }

    fn start_tasks(&self, group: Group, appliance: &Rc<SimAppliance>, interfaces: &Interfaces) {
        interfaces.apply(&appliance.settings());
        let spawn = |name: &str, future: std::pin::Pin<Box<dyn Future<Output = ()>>>| {
            self.executor.spawn(group, name, future);
        };
        let a = appliance.clone();
        spawn("supervisor", Box::pin(async move { relay::supervisor::tend(&a).await }));
        let (a, terminal) = (appliance.clone(), self.terminal.clone());
        spawn(
            "console",
            Box::pin(async move { relay::operator::run(&a, Port(terminal.clone()), Port(terminal)).await }),
        );
        for _ in 0..DECIDERS_COUNT {
            let a = appliance.clone();
            spawn("decider", Box::pin(async move { relay::decide::worker(&a).await }));
        }
        for _ in 0..SESSIONS_OUT_COUNT_MAX {
            let (a, network, interfaces) = (appliance.clone(), self.network.clone(), interfaces.clone());
            spawn(
                "delivery",
                Box::pin(async move {
                    let mut connector = SimConnector { network, interfaces };
                    relay::delivery::worker(&a, &mut connector).await;
                }),
            );
        }
        let (weak, network, places) = (Rc::downgrade(appliance), self.network.clone(), interfaces.clone());
        let listen = move || {
            let Some(a) = weak.upgrade() else { return };
            network.unlisten_group(group);
            for (address, interface) in places.listening() {
                let a = a.clone();
                network.listen(group, address, move |mut stream| {
                    let a = a.clone();
                    async move {
                        let origin = Origin::new(stream.remote.ip(), stream.local, interface);
                        relay::intake::session(&a, &mut stream, origin).await;
                    }
                });
            }
        };
        listen();
        interfaces.on_change(Rc::new(listen));
    }

    /// Cuts the power now: every task of the machine is gone, the flash keeps what it has.
    pub fn power_cut(&self) {
        self.network.unlisten_group(self.group());
        if let Some(powered) = self.powered.borrow_mut().take() {
            powered.borrow_mut().take();
        }
        self.appliance.borrow_mut().take();
        self.executor.kill(self.group());
    }

    /// Whether the machine runs.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.executor.alive(self.group()) > 0
    }

    /// Takes the restart or power-off that the firmware asked for, if any.
    #[must_use]
    pub fn take_power_event(&self) -> Option<PowerEvent> {
        self.executor.take_power_event(self.group())
    }

    /// Where the appliance listens.
    #[must_use]
    pub fn address() -> SocketAddr {
        SocketAddr::new(IpAddr::from(GATEWAY), 25)
    }

    /// The running appliance.
    ///
    /// # Panics
    /// When it is off.
    #[must_use]
    pub fn appliance(&self) -> Rc<SimAppliance> {
        self.appliance.borrow().clone().expect("the appliance is on")
    }

    /// A count since the start, by its label.
    ///
    /// # Panics
    /// When there is no such count.
    #[must_use]
    pub fn count(&self, label: &str) -> u64 {
        let appliance = self.appliance();
        let found = appliance.counters().each().find(|(name, _)| *name == label);
        found.unwrap_or_else(|| panic!("no counter {label}")).1
    }

    /// Programs and erases of the queue's flash so far: what wears it.
    #[must_use]
    pub fn queue_wear(&self) -> u64 {
        let blocks = SPOOL_BLOCKS.start as usize..SPOOL_BLOCKS.end as usize;
        [self.bank.programs(), self.bank.erases()]
            .iter()
            .map(|each| each[blocks.clone()].iter().sum::<u64>())
            .sum()
    }

    /// What is in the queue. Only while the appliance is off.
    ///
    /// # Panics
    /// When it is on.
    pub async fn kept(&self) -> Vec<Kept> {
        assert!(!self.is_on(), "a queue has one owner");
        self.bank.power_on();
        Queue::of(&self.bank).kept().await
    }

    /// Whether the queue is empty.
    #[must_use]
    pub fn queue_is_empty(&self) -> bool {
        self.appliance().queued() == 0
    }

    /// Types a command at the console and returns what it shows until the next prompt.
    pub async fn console(&self, command: &str) -> String {
        self.terminal.wait_for(prompts).await;
        self.terminal.clear();
        self.terminal.type_text(&format!("{command}\r"));
        let shown = self.terminal.wait_for(|shown| shown.contains('\n') && prompts(shown)).await;
        shown.replace('\r', "")
    }

    /// Types a command that asks for lines, and those lines, and the dot that ends them.
    pub async fn console_paste(&self, command: &str, lines: &str) -> String {
        self.terminal.wait_for(prompts).await;
        self.terminal.clear();
        self.terminal.type_text(&format!("{command}\r"));
        for line in lines.lines().chain(["."]) {
            self.terminal.type_text(&format!("{line}\r"));
        }
        let shown = self.terminal.wait_for(|shown| shown.contains('\n') && prompts(shown)).await;
        shown.replace('\r', "")
    }
}

/// Whether the console asks for a command: LF, the prompt, and nothing after it.
fn prompts(shown: &str) -> bool {
    shown.rsplit('\n').next().is_some_and(|row| row.ends_with("> "))
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.power_cut();
    }
}
