//! Who of the idle sessions listens where.
//!
//! A door is a place of the setting `listeners` on one interface. The stack serves a client only if a socket listens at the
//! moment it comes, and every socket costs time with every frame; so each door has a few listening, and whoever gets
//! a client is replaced by an idle one. Sessions are not bound to a door: all can serve any.

use core::cell::RefCell;
use core::future::poll_fn;
use core::net::IpAddr;
use core::task::{Poll, Waker};
use embassy_net::IpListenEndpoint;
use heapless::Vec;
use limits::net::{INTERFACES_COUNT, LISTENING_COUNT_MAX};
use limits::relay::LISTENERS_COUNT;
use limits::settings::LISTEN_PLACES_COUNT_MAX;
use settings::{Place, Settings};

const DOORS_COUNT_MAX: usize = INTERFACES_COUNT * LISTEN_PLACES_COUNT_MAX;

/// Where to listen.
#[derive(Clone, Copy)]
pub struct Door {
    /// Index of the interface, from 0.
    pub interface: usize,
    /// Address and port.
    pub endpoint: IpListenEndpoint,
    /// Grows with every change of the doors: one of an earlier generation is closed.
    generation: u32,
}

#[derive(Default)]
struct State {
    doors: Vec<(Door, usize), DOORS_COUNT_MAX>,
    generation: u32,
    /// Sessions without a client that do not listen.
    idle: Vec<Waker, LISTENERS_COUNT>,
    /// Sessions that listen.
    listening: Vec<Waker, LISTENERS_COUNT>,
}

/// All doors.
#[derive(Default)]
pub struct Doors(RefCell<State>);

impl Doors {
    /// Opens the doors of the settings, on the interfaces that are there and not off, and closes all others. Connections
    /// that are served live on.
    pub fn open(&self, settings: &Settings, interfaces: usize) {
        let mut state = self.0.borrow_mut();
        state.generation = state.generation.wrapping_add(1);
        let generation = state.generation;
        state.doors.clear();
        for (interface, (v4, v6)) in settings.interfaces().iter().enumerate().take(interfaces) {
            if v4.is_none() && v6.is_none() {
                continue;
            }
            for listener in &settings.listeners {
                let addr = match listener.place {
                    Place::Any => None,
                    Place::Interface(number) if usize::from(number) == interface + 1 => None,
                    Place::Interface(_) => continue,
                    // Whether the interface has it, DHCP may decide at any time; where it has not, nobody comes.
                    Place::Address(IpAddr::V4(_)) if v4.is_none() => continue,
                    Place::Address(IpAddr::V6(_)) if v6.is_none() => continue,
                    Place::Address(address) => Some(address.into()),
                };
                let endpoint = IpListenEndpoint { addr, port: listener.port };
                // There are as many places as each interface can have listeners.
                let _ = state.doors.push((Door { interface, endpoint, generation }, 0));
            }
        }
        for waker in core::mem::take(&mut state.listening).into_iter().chain(core::mem::take(&mut state.idle))
        {
            waker.wake();
        }
    }

    /// Waits until a door wants one more to listen. [`Self::left`] must follow.
    pub async fn turn(&self) -> Door {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            state.idle.retain(|waker| !waker.will_wake(cx.waker()));
            let most = LISTENING_COUNT_MAX / state.doors.len().max(1);
            let fewest = state.doors.iter_mut().min_by_key(|(_, listening)| *listening);
            if let Some((door, listening)) = fewest.filter(|(_, listening)| *listening < most) {
                *listening += 1;
                return Poll::Ready(*door);
            }
            // There is a place for each session.
            let _ = state.idle.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Waits until `door` is closed.
    pub async fn closed(&self, door: &Door) {
        poll_fn(|cx| {
            let mut state = self.0.borrow_mut();
            if state.generation != door.generation {
                return Poll::Ready(());
            }
            if !state.listening.iter().any(|waker| waker.will_wake(cx.waker())) {
                let _ = state.listening.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// The session listens no more: it has a client, or the door was closed. Another takes its place.
    pub fn left(&self, door: &Door) {
        let mut state = self.0.borrow_mut();
        if state.generation != door.generation {
            return;
        }
        let same = state
            .doors
            .iter_mut()
            .find(|(open, _)| (open.interface, open.endpoint) == (door.interface, door.endpoint));
        if let Some((_, listening)) = same {
            *listening = listening.saturating_sub(1);
        }
        if !state.idle.is_empty() {
            state.idle.remove(0).wake();
        }
    }
}
