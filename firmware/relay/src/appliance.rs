//! The one value that all tasks share.

use crate::Machine;
use core::marker::PhantomData;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use platform::nor_flash::NorFlash;
use platform::{Entropy, Power, Resolver, Timer, TpmTransport, WallClock};

/// The data flash, shared by all stores. Lives outside the [`Appliance`], which borrows it.
pub type SharedFlash<F> = Mutex<NoopRawMutex, F>;

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
    /// Names to addresses.
    type Resolver: Resolver;
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
    /// Names to addresses.
    pub resolver: P::Resolver,
    /// Reboot and power-off.
    pub power: P::Power,
    /// Statistics and network of the machine.
    pub machine: P::Machine,
}

/// The appliance: queue, settings, keys, events. Tasks share it by reference; make it a static or leak it.
pub struct Appliance<'f, P: Platform> {
    parts: Parts<P>,
    flash: PhantomData<&'f SharedFlash<P::Flash>>,
}

impl<'f, P: Platform> Appliance<'f, P> {
    /// Starts the appliance on `flash`: mounts the stores, loads the settings, opens the key store. Blank or foreign
    /// flash is formatted. Nothing here fails: a store that cannot be mounted is reported as an event, and what
    /// depends on it answers that it is not available.
    pub async fn start(flash: &'f SharedFlash<P::Flash>, parts: Parts<P>) -> Self {
        let _ = flash;
        Self { parts, flash: PhantomData }
    }

    /// The settings in force: the network settings are to be applied before the listeners are opened.
    pub fn settings(&self) -> core::cell::Ref<'_, settings::Settings> {
        unimplemented!()
    }

    /// Records an event with the present time.
    pub fn record(&self, _event: &events::Event<'_>) {
        let _ = &self.parts;
        unimplemented!()
    }
}
