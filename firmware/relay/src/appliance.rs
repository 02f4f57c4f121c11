//! The one value that all tasks share, and how it comes up.

use crate::clients::{Clients, Counts};
use crate::counters::Counters;
use crate::door::Places;
use crate::key_records::KeyRecords;
use crate::ledger::{ClientKey, Ledger, Use};
use crate::replies::Replies;
use crate::report::{self, Reports};
use crate::resolver::Knowledge;
use crate::route::Names;
use crate::schedule::{DestinationLimits, NewMessage, Schedule};
use crate::spare::Spare;
use crate::time::OperatingTime;
use crate::verify::Verifier;
use crate::{Machine, attend};
use core::cell::{Cell, Ref, RefCell};
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use envelope::QueueId;
use events::{Event, Log, Stamp, Store, Text, TpmState};
use flash_log::Partition;
pub use flash_log::SharedFlash;
use heapless::Vec;
use keystore::Keystore;
use limits::flash::{KEYSTORE_BLOCKS, SETTINGS_BLOCKS, SPOOL_BLOCKS};
use limits::net::SPARE_CONNECTORS_COUNT;
use limits::relay::CLOCK_EARLIEST_S;
use limits::settings::SECRET_BYTES;
use limits::settings::{REPLIES_COUNT_MAX, REPLIES_PER_PAGE, TABLE_PAGE_BYTES_MAX};
use limits::spool::{MESSAGES_COUNT_MAX, REPORTS_COUNT_RESERVED};
use platform::Mutex;
use platform::nor_flash::NorFlash;
use platform::{Connector, Datagrams, Entropy, Instant, Power, Timer, TpmTransport, WallClock};
use settings::{Actions, Clock, Domains, Judged, Loaded, Peers, Routes, Secret, Settings, TableKind};
use spool::{MessageState, Spool, SpoolError};
use zeroize::Zeroize;

/// The machine that an appliance runs on, as a bundle of types.
pub trait Platform {
    /// The data flash (bank 1), from its first block.
    type Flash: NorFlash;
    /// The TPM; a transport that answers `Absent` where there is none.
    type Tpm: TpmTransport;
    /// Monotonic time.
    type Timer: Timer;
    /// Civil time.
    type Clock: WallClock;
    /// Random octets.
    type Entropy: Entropy;
    /// Sockets for datagrams.
    type Datagrams: Datagrams;
    /// Connections for short errands beside the deliveries.
    type Connector: Connector;
    /// Reboot and power-off.
    type Power: Power;
    /// Statistics and network of the machine.
    type Machine: Machine;
}

/// What the machine hands over at the start.
pub struct Parts<P: Platform> {
    /// The TPM.
    pub tpm: P::Tpm,
    /// Monotonic time.
    pub timer: P::Timer,
    /// Civil time; already set from the battery-backed clock if there is one.
    pub clock: P::Clock,
    /// Random octets.
    pub entropy: P::Entropy,
    /// Sockets for datagrams.
    pub datagrams: P::Datagrams,
    /// Connections for DNS over TCP and for questions to servers; usually `SPARE_CONNECTORS_COUNT`.
    pub connectors: Vec<P::Connector, SPARE_CONNECTORS_COUNT>,
    /// Reboot and power-off.
    pub power: P::Power,
    /// Statistics and network of the machine.
    pub machine: P::Machine,
}

/// Why an appliance cannot start: the data flash does not work at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlashUnusable {
    /// Which store could not be mounted.
    pub store: Store,
}

impl fmt::Display for FlashUnusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data flash is unusable: cannot mount {}", self.store)
    }
}

impl core::error::Error for FlashUnusable {}

pub(crate) type SpoolOf<'f, P> = Spool<Partition<'f, <P as Platform>::Flash>>;
pub(crate) type StoreOf<'f, P> = settings::Store<Partition<'f, <P as Platform>::Flash>>;
pub(crate) type KeystoreOf<'f, P> = Keystore<
    KeyRecords<'f, <P as Platform>::Flash>,
    <P as Platform>::Tpm,
    <P as Platform>::Entropy,
    <P as Platform>::Timer,
>;

/// The tables of the configuration, as they were stored.
#[derive(Default)]
struct Tables {
    routes: Routes,
    peers: Peers,
    domains: Domains,
    actions: Actions,
    /// Those of which something could not be read.
    damaged: [Option<TableKind>; 4],
}

impl Tables {
    async fn read<F: NorFlash>(store: &mut settings::Store<F>) -> Self {
        let (routes, routes_lost) = store.table().await;
        let (peers, peers_lost) = store.table().await;
        let (domains, domains_lost) = store.table().await;
        let (actions, actions_lost) = store.table().await;
        let damaged = [
            (routes_lost, TableKind::Routes),
            (peers_lost, TableKind::Peers),
            (domains_lost, TableKind::Domains),
            (actions_lost, TableKind::Actions),
        ];
        let damaged = damaged.map(|(pages, kind)| (pages > 0).then_some(kind));
        Self { routes, peers, domains, actions, damaged }
    }
}

/// The appliance: queue, settings, keys, events. Tasks share it by reference; make it a static or leak it.
pub struct Appliance<'f, P: Platform> {
    pub(crate) timer: P::Timer,
    pub(crate) clock: P::Clock,
    pub(crate) entropy: P::Entropy,
    /// What was learnt from DNS.
    pub(crate) dns: Knowledge,
    /// Which addresses exist.
    pub(crate) verifier: Verifier,
    /// Whom addresses have answered by themselves.
    pub(crate) replies: Replies,
    pub(crate) datagrams: P::Datagrams,
    pub(crate) connectors: Spare<P::Connector>,
    pub(crate) power: P::Power,
    pub(crate) machine: P::Machine,
    pub(crate) log: &'f Log,
    pub(crate) spool: SpoolOf<'f, P>,
    pub(crate) keys: Mutex<KeystoreOf<'f, P>>,
    /// Whether the TPM answered when it was last used.
    pub(crate) tpm_ready: Cell<bool>,
    pub(crate) settings: RefCell<Settings>,
    /// Which domains do not go to the default next hop. Changed row by row through the store.
    pub(crate) routes: RefCell<Routes>,
    /// Who may do what. Changed as routes are.
    pub(crate) peers: RefCell<Peers>,
    /// The own domains. Changed as routes are.
    pub(crate) domains: RefCell<Domains>,
    /// What happens to mail for single own addresses. Changed as routes are.
    pub(crate) actions: RefCell<Actions>,
    /// Knows mail again that this appliance has had in hands.
    pub(crate) loop_key: loop_marker::Key,
    pub(crate) settings_store: Mutex<StoreOf<'f, P>>,
    /// Whether nobody has ever saved settings on this appliance.
    pub(crate) factory_fresh: Cell<bool>,
    /// Whether the clock was set by hand since the start, whatever the settings say about it.
    pub(crate) clock_set: Cell<bool>,
    /// Whether the machine goes down: no new mail is taken.
    pub(crate) stopping: Cell<bool>,
    pub(crate) schedule: Schedule,
    pub(crate) reports: Reports,
    pub(crate) operating_time: OperatingTime,
    /// Names of the next hops in the settings.
    pub(crate) names: RefCell<Names>,
    /// SMTP sessions of each class.
    pub(crate) places: Places,
    /// SMTP sessions of each client.
    pub(crate) sessions: RefCell<Ledger>,
    /// Counts of each client since the start.
    pub(crate) clients: RefCell<Clients>,
    /// Octets that the queue can promise to messages.
    pub(crate) queue_octets: u64,
    pub(crate) counters: Counters,
    pub(crate) flash: &'f SharedFlash<P::Flash>,
}

impl<'f, P: Platform> Appliance<'f, P> {
    /// Starts the appliance on `flash`: mounts the stores, loads the settings, opens the key store. Blank or foreign
    /// flash is formatted. `log` receives the events; both live outside because of their size.
    ///
    /// # Errors
    /// [`FlashUnusable`] if the device cannot be read or has the wrong geometry. A TPM that is absent or fails is no
    /// error: mail is then taken in and waits.
    pub async fn start(
        flash: &'f SharedFlash<P::Flash>,
        log: &'f Log,
        parts: Parts<P>,
    ) -> Result<Self, FlashUnusable> {
        let Parts { tpm, timer, clock, entropy, datagrams, connectors, power, machine } = parts;
        let stamp = || Stamp { micros: timer.now().0, unix: clock.unix_seconds() };
        let (version, cause) = (machine.version().into(), machine.start_cause().into());
        log.record(stamp(), &Event::Boot { version, cause });

        let unusable = FlashUnusable { store: Store::Settings };
        let (mut store, mut settings, mut loaded) =
            settings::Store::open(Partition::new(flash, SETTINGS_BLOCKS)).await.map_err(|_| unusable)?;
        let reset = match loaded {
            Loaded::Stored | Loaded::Fresh => None,
            Loaded::Reset(unusable) => Some(alloc::format!("{unusable}")),
            Loaded::Unreadable(_) => Some("the stored settings cannot be read from flash".into()),
        };
        if let Some(reason) = reset {
            log.record(stamp(), &Event::SettingsReset { reason: reason.as_str().into() });
        }

        let mut tables = Tables::read(&mut store).await;
        for kind in tables.damaged.iter().flatten() {
            let consequence = match kind {
                TableKind::Peers => "; nobody may relay until `peer confirm`",
                _ => "",
            };
            let what = alloc::format!(
                "some {}s cannot be read from flash{consequence}; see `{}`",
                kind.row(),
                kind.shown_by()
            );
            log.record(stamp(), &Event::Error { area: "settings".into(), what: what.as_str().into() });
        }

        let begun = timer.now();
        let (spool, report) = Spool::mount(Partition::new(flash, SPOOL_BLOCKS))
            .await
            .map_err(|_| FlashUnusable { store: Store::Queue })?;
        log.record(
            stamp(),
            &Event::Mounted {
                store: Store::Queue,
                records: report.records,
                torn: report.slots_damaged,
                blank: report.blocks_unformatted,
                micros: micros_since(begun, timer.now()),
            },
        );
        if store.is_being_reset() {
            // The power failed in the middle. Nothing of the old appliance may come back, whatever of it is left.
            (settings, loaded) = (Settings::default(), Loaded::Fresh);
            tables = Tables::default();
            if !crate::reset::erase(flash, &mut store, &spool).await {
                let what = "the factory reset could not be finished: the flash fails".into();
                log.record(stamp(), &Event::Error { area: "flash".into(), what });
            }
            // Its blocks were erased underneath it: what it would store in the head that it knows, no start would find.
            let opened = settings::Store::open(Partition::new(flash, SETTINGS_BLOCKS)).await;
            (store, ..) = opened.map_err(|_| unusable)?;
        }
        if report.messages_damaged > 0 {
            let what = "messages with damaged records are in the queue".into();
            log.record(stamp(), &Event::Error { area: "spool".into(), what });
        }

        let secret = match store.secret().await {
            Ok(Some(secret)) => secret,
            found => {
                if found.is_err() {
                    let what =
                        "the appliance secret cannot be read from flash; a new one takes its place".into();
                    log.record(stamp(), &Event::Error { area: "settings".into(), what });
                }
                let mut octets = [0; SECRET_BYTES];
                entropy.fill(&mut octets);
                let secret = Secret::new(octets);
                octets.zeroize();
                // Without it the next start makes another: what it was to recognise is then not recognised, no more.
                if let Err(error) = store.set_secret(&secret).await {
                    let what = alloc::format!("appliance secret: {error}");
                    log.record(
                        stamp(),
                        &Event::Error { area: "settings".into(), what: what.as_str().into() },
                    );
                }
                secret
            }
        };

        let replies = Replies::default();
        let mut page = alloc::vec![0; TABLE_PAGE_BYTES_MAX];
        for number in 0..REPLIES_COUNT_MAX / REPLIES_PER_PAGE {
            let count = store.replies(number, &mut page).await;
            replies.load(number, page.get(..count).unwrap_or_default());
        }
        drop(page);
        let stored_s = match store.operating_time().await {
            Ok(stored_s) => stored_s,
            Err(error) => {
                let what = alloc::format!("operating time: {error}");
                log.record(stamp(), &Event::Error { area: "settings".into(), what: what.as_str().into() });
                0
            }
        };
        let queue_octets = spool.usage().capacity;
        let operating_time = OperatingTime::new(stored_s, report.moment, timer.now());
        let names = RefCell::new(Names::new(&settings));

        let begun = timer.now();
        let unusable = FlashUnusable { store: Store::Identities };
        let records = KeyRecords::open(Partition::new(flash, KEYSTORE_BLOCKS)).await.map_err(|_| unusable)?;
        let (mut keys, report) =
            Keystore::open(records, tpm, entropy.clone(), timer.clone()).await.map_err(|_| unusable)?;
        // A second source for everything that is random from here on. Without it there is still the machine's own.
        let mut seed = [0; 32];
        if report.tpm.is_none() && keys.tpm_random(&mut seed).await.is_ok() {
            entropy.reseed(&seed);
        }
        log.record(
            stamp(),
            &Event::Mounted {
                store: Store::Identities,
                records: u32::try_from(report.identities).unwrap_or(u32::MAX),
                torn: u32::try_from(report.unreadable).unwrap_or(u32::MAX),
                blank: 0,
                micros: micros_since(begun, timer.now()),
            },
        );
        let tables_empty = tables.peers.is_empty() && tables.routes.is_empty() && tables.domains.is_empty();
        let this = Self {
            timer,
            clock,
            entropy,
            dns: Knowledge::default(),
            verifier: Verifier::default(),
            replies,
            datagrams,
            connectors: Spare::new(connectors),
            power,
            machine,
            log,
            spool,
            keys: Mutex::new(keys),
            tpm_ready: Cell::new(report.tpm.is_none()),
            settings: RefCell::new(settings),
            routes: RefCell::new(tables.routes),
            peers: RefCell::new(tables.peers),
            domains: RefCell::new(tables.domains),
            actions: RefCell::new(tables.actions),
            loop_key: loop_marker::Key::new(secret.octets()),
            settings_store: Mutex::new(store),
            factory_fresh: Cell::new(loaded == Loaded::Fresh && tables_empty),
            clock_set: Cell::new(false),
            stopping: Cell::new(false),
            schedule: Schedule::default(),
            reports: Reports::new(alloc::vec::Vec::new()),
            operating_time,
            names,
            places: Places::default(),
            sessions: RefCell::default(),
            clients: RefCell::default(),
            queue_octets,
            counters: Counters::default(),
            flash,
        };
        match report.tpm {
            Some(error) => this.record_tpm(Err(error)),
            None => this.record_tpm(Ok(report.tpm_changed)),
        }
        if let Some(unix) = this.unix_seconds() {
            this.record(&Event::ClockSet { unix, source: "rtc".into() });
        }
        let limits = DestinationLimits::from(&*this.settings());
        this.schedule.set_limits(limits, this.now());
        report::recover(&this).await;
        this.schedule_everything();
        Ok(this)
    }

    /// The settings in force: the network settings are to be applied before the listeners are opened. Do not hold the
    /// borrow across an await.
    pub fn settings(&self) -> Ref<'_, Settings> {
        self.settings.borrow()
    }

    /// The routes in force. Do not hold the borrow across an await.
    pub fn routes(&self) -> Ref<'_, Routes> {
        self.routes.borrow()
    }

    /// The rules about peers in force. Do not hold the borrow across an await.
    pub fn peers(&self) -> Ref<'_, Peers> {
        self.peers.borrow()
    }

    /// The own domains. Do not hold the borrow across an await.
    pub fn domains(&self) -> Ref<'_, Domains> {
        self.domains.borrow()
    }

    /// The actions for own addresses. Do not hold the borrow across an await.
    pub fn actions(&self) -> Ref<'_, Actions> {
        self.actions.borrow()
    }

    /// What the rules say about a connection from `client` to the own address `local` by `interface`, now: a rule that is
    /// changed holds from the next question on.
    pub fn judge(&self, client: IpAddr, local: SocketAddr, interface: u8) -> Judged {
        let networks = &self.settings.borrow().relay_networks;
        self.peers.borrow().judge(networks, client, local, interface)
    }

    /// Tells that the network is up with this address, and lets mail that waited for it go.
    pub fn network_is_up(&self, address: events::IpNetwork, gateway: Option<core::net::IpAddr>) {
        self.record(&Event::NetworkUp { address, gateway });
        self.schedule.network_is_up(self.now());
    }

    /// Records an event with the present time.
    pub fn record(&self, event: &Event<'_>) {
        let stamp = Stamp { micros: self.timer.now().0, unix: self.unix_seconds() };
        self.log.record(stamp, event);
    }

    /// Seconds since 1970, if the time is known: from the battery-backed clock unless the settings distrust it, or set by
    /// the operator.
    #[must_use]
    pub fn unix_seconds(&self) -> Option<u64> {
        let trusted = self.clock_set.get() || self.settings.borrow().clock == Clock::Rtc;
        self.clock.unix_seconds().filter(|seconds| trusted && *seconds >= CLOCK_EARLIEST_S)
    }

    /// Does something to the counts of a client, which is heard of now.
    pub(crate) fn client<T>(
        &self,
        client: IpAddr,
        class: settings::Class,
        act: impl FnOnce(&mut Counts) -> T,
    ) -> T {
        let now = self.now();
        act(self.clients.borrow_mut().entry(ClientKey::new(client), class, now))
    }

    /// What was counted since the start.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Messages in the queue, whatever their state.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.spool.usage().messages
    }

    /// Records that something failed which no peer can be told.
    pub(crate) fn record_error(&self, area: &str, what: impl fmt::Display) {
        let text = alloc::format!("{what}");
        self.record(&Event::Error { area: area.into(), what: text.as_str().into() });
    }

    /// Records how the TPM is: `Ok` whether it is another one than before.
    pub(crate) fn record_tpm(&self, state: Result<bool, tpm::TpmError>) {
        use platform::TpmTransportError::Absent;
        match state {
            Ok(changed) => {
                let detail = if changed { "not the TPM that the keys were made with" } else { "" };
                self.record(&Event::Tpm { state: TpmState::Ready, detail: detail.into() });
            }
            Err(error) => {
                let absent = error == tpm::TpmError::Transport(Absent);
                let state = if absent { TpmState::Absent } else { TpmState::Failed };
                let text = alloc::format!("{error}");
                self.record(&Event::Tpm { state, detail: Text::from(text.as_str()) });
            }
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.timer.now()
    }

    pub(crate) fn random_u32(&self) -> u32 {
        let mut octets = [0; 4];
        self.entropy.fill(&mut octets);
        u32::from_le_bytes(octets)
    }

    /// Seconds that this appliance has been running with its queue, over all starts: what ages are counted in.
    #[must_use]
    pub fn operating_seconds(&self) -> u64 {
        self.operating_time.at(self.now())
    }

    /// The moment of the monotonic clock that a moment in operating seconds means.
    pub(crate) fn instant_of(&self, moment_s: u64) -> Instant {
        self.operating_time.moment(moment_s)
    }

    /// What ordinary mail can occupy of the queue.
    pub(crate) fn whole_queue(&self) -> Use {
        let messages = MESSAGES_COUNT_MAX - REPORTS_COUNT_RESERVED;
        Use { messages: u32::try_from(messages).unwrap_or(u32::MAX), octets: self.queue_octets }
    }

    /// Stores the operating time if it has gone on: before the machine goes down, and now and then.
    pub(crate) async fn keep_time(&self) {
        let now_s = self.operating_seconds();
        if now_s == self.operating_time.saved() {
            return;
        }
        match self.settings_store.lock().await.set_operating_time(now_s).await {
            Ok(()) => self.operating_time.note_saved(now_s),
            Err(error) => self.record_error("settings", format_args!("operating time: {error}")),
        }
    }

    /// Puts a message of the queue that nothing is planned for onto the schedule: after the start, when it was released,
    /// or when it has just been committed by somebody else than intake.
    pub(crate) fn schedule_again(&self, id: QueueId) {
        let Some(brief) = self.spool.brief(id) else { return self.schedule.forget(id, self.now()) };
        if brief.state != MessageState::Queued {
            return self.schedule.add_off(id, brief.size, self.now());
        }
        let new = NewMessage {
            priority: attend::priority(brief.class, false, brief.recipients, false),
            size: brief.size,
            client: None,
            // Where nobody is open any more there is nothing to decide, only to tell.
            decided: brief.has_recipe || brief.recipients_open == 0,
            to: &[],
            age_at: attend::age_at(self, &brief),
        };
        self.schedule.add(id, new, self.now());
    }

    /// As [`Self::schedule_again`], for a message that the operator has released: it may have outlived its lifetime while it
    /// was held, and gets its chance all the same. After a restart it has had it.
    pub(crate) fn schedule_released(&self, id: QueueId) {
        self.schedule_again(id);
        if let Some(brief) = self.spool.brief(id) {
            let chance = self.now().plus_s(limits::relay::RELEASED_S);
            self.schedule.set_age_at(id, attend::age_at(self, &brief).map(|at| at.max(chance)));
        }
    }

    fn schedule_everything(&self) {
        let mut ids = alloc::vec::Vec::new();
        self.spool.for_each(|brief| ids.push(brief.id));
        ids.retain(|id| !report::is_unfinished(self, *id));
        ids.into_iter().for_each(|id| self.schedule_again(id));
    }

    /// Holds a message and says so. It is off the schedule afterwards, even if the flash fails.
    pub(crate) async fn hold(&self, id: QueueId, reason: &str) {
        crate::counters::count(&self.counters.held, 1);
        self.record(&Event::Held { id, reason: reason.into() });
        // In a box: rare, and large.
        if let Err(error) = alloc::boxed::Box::pin(self.spool.hold(id, fitting(reason))).await {
            self.spool_failed(id, error);
        }
    }

    /// Records that the spool did not do something for a message.
    pub(crate) fn spool_failed(&self, id: QueueId, error: SpoolError) {
        self.record_error("spool", format_args!("{id}: {error}"));
    }
}

/// The longest start of `reason` that the spool keeps.
pub(crate) fn fitting(reason: &str) -> &str {
    let mut end = reason.len().min(limits::spool::REASON_BYTES_MAX);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.get(..end).unwrap_or_default()
}

fn micros_since(begun: Instant, now: Instant) -> u32 {
    u32::try_from(now.micros_since(begun)).unwrap_or(u32::MAX)
}
