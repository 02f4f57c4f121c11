//! A network device whose TCP sequence numbers nobody can guess; see `tcp_guard`.

use core::task::Context;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use tcp_guard::Guard;

/// A device behind the guard: every frame goes through it, in both directions.
pub struct Guarded<D> {
    device: D,
    guard: Guard,
}

impl<D> Guarded<D> {
    /// Puts the guard before `device`.
    pub const fn new(device: D, guard: Guard) -> Self {
        Self { device, guard }
    }
}

/// A frame that has arrived.
pub struct Received<'g, T> {
    token: T,
    guard: &'g Guard,
}

impl<T: RxToken> RxToken for Received<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, read: F) -> R {
        self.token.consume(|frame| {
            self.guard.incoming(frame);
            read(frame)
        })
    }
}

/// Room for a frame to send.
pub struct Transmit<'g, T> {
    token: T,
    guard: &'g Guard,
}

impl<T: TxToken> TxToken for Transmit<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.token.consume(length, |frame| {
            let result = write(frame);
            self.guard.outgoing(frame);
            result
        })
    }
}

impl<D: Driver> Driver for Guarded<D> {
    type RxToken<'a>
        = Received<'a, D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = Transmit<'a, D::TxToken<'a>>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let Self { device, guard } = self;
        let (received, transmit) = device.receive(cx)?;
        Some((Received { token: received, guard }, Transmit { token: transmit, guard }))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        let Self { device, guard } = self;
        let token = device.transmit(cx)?;
        Some(Transmit { token, guard })
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        self.device.link_state(cx)
    }

    fn capabilities(&self) -> Capabilities {
        self.device.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.device.hardware_address()
    }
}
