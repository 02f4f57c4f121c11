//! Connections for short errands: a question to a name server over TCP, a look at a mail server.
//!
//! Every connector owns its buffers, so there are few; whoever needs one waits for his turn.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::ops::{Deref, DerefMut};
use core::task::{Poll, Waker};
use heapless::Vec;
use limits::net::SPARE_CONNECTORS_COUNT;
use platform::Mutex;

/// Connectors that nobody uses at the moment.
pub(crate) struct Spare<C> {
    idle: RefCell<Vec<C, SPARE_CONNECTORS_COUNT>>,
    /// Held by the one that is next.
    turn: Mutex<()>,
    /// The one that is next, while there is none idle.
    next: Cell<Option<Waker>>,
}

impl<C> Spare<C> {
    pub(crate) const fn new(connectors: Vec<C, SPARE_CONNECTORS_COUNT>) -> Self {
        Self { idle: RefCell::new(connectors), turn: Mutex::new(()), next: Cell::new(None) }
    }

    /// Waits for an idle connector, in the order of asking. On a machine that has none this waits for ever: bound it.
    pub(crate) async fn lease(&self) -> Lease<'_, C> {
        let _turn = self.turn.lock().await;
        let connector = poll_fn(|cx| {
            if let Some(connector) = self.idle.borrow_mut().pop() {
                return Poll::Ready(connector);
            }
            self.next.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
        Lease { spare: self, connector: Some(connector) }
    }
}

/// The use of a connector. Dropping it lets the next one have it.
pub(crate) struct Lease<'s, C> {
    spare: &'s Spare<C>,
    /// Empty only while it is dropped.
    connector: Option<C>,
}

impl<C> Deref for Lease<'_, C> {
    type Target = C;

    fn deref(&self) -> &C {
        self.connector.as_ref().expect("only drop takes the connector")
    }
}

impl<C> DerefMut for Lease<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        self.connector.as_mut().expect("only drop takes the connector")
    }
}

impl<C> Drop for Lease<'_, C> {
    fn drop(&mut self) {
        let Some(connector) = self.connector.take() else { return };
        // It came from there: there is a place for it.
        let _ = self.spare.idle.borrow_mut().push(connector);
        if let Some(waker) = self.spare.next.take() {
            waker.wake();
        }
    }
}
