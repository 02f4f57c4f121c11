//! A mutual exclusion for tasks of one executor that is fair and sleeps.

use core::cell::{RefCell, RefMut};
use core::future::poll_fn;
use core::ops::{Deref, DerefMut};
use core::task::{Poll, Waker};
use heapless::Vec;
use limits::relay::{DECIDERS_COUNT, SESSIONS_IN_COUNT_MAX, SESSIONS_OUT_COUNT_MAX};

/// Tasks that may wait at once: every session, delivery and decider, and a dozen others.
const WAITERS_COUNT_MAX: usize = SESSIONS_IN_COUNT_MAX + SESSIONS_OUT_COUNT_MAX + DECIDERS_COUNT + 12;

/// A value that one task at a time may use, across awaits.
///
/// Waiting tasks sleep and are served in the order in which they came. (The mutex of `embassy-sync` keeps one waker:
/// when several tasks wait they wake each other without end, which costs all processor time and, where time is virtual,
/// stops it.)
pub struct Mutex<T> {
    queue: RefCell<Queue>,
    value: RefCell<T>,
}

/// Who waits. A task's place is its ticket.
struct Queue {
    held: bool,
    next_ticket: u32,
    waiting: Vec<(u32, Waker), WAITERS_COUNT_MAX>,
}

impl Queue {
    fn wake_first(&self) {
        if let Some((_, waker)) = self.waiting.first() {
            waker.wake_by_ref();
        }
    }
}

/// Somebody else holds the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    pub const fn new(value: T) -> Self {
        let queue = Queue { held: false, next_ticket: 0, waiting: Vec::new() };
        Self { queue: RefCell::new(queue), value: RefCell::new(value) }
    }

    /// Waits for its turn. Dropping the future gives up the place.
    pub async fn lock(&self) -> MutexGuard<'_, T> {
        let mut place = Place { queue: &self.queue, ticket: None };
        poll_fn(|cx| place.poll(cx.waker())).await;
        self.guard()
    }

    /// The value, if nobody holds it or waits for it.
    ///
    /// # Errors
    /// [`Busy`] if somebody does.
    pub fn try_lock(&self) -> Result<MutexGuard<'_, T>, Busy> {
        let mut queue = self.queue.borrow_mut();
        if queue.held || !queue.waiting.is_empty() {
            return Err(Busy);
        }
        queue.held = true;
        drop(queue);
        Ok(self.guard())
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        // The queue lets one holder in: nobody else has borrowed the value.
        MutexGuard { queue: &self.queue, value: Some(self.value.borrow_mut()) }
    }
}

/// A place in the queue.
struct Place<'m> {
    queue: &'m RefCell<Queue>,
    ticket: Option<u32>,
}

impl Place<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let mut queue = self.queue.borrow_mut();
        let first = queue.waiting.first().map(|(ticket, _)| *ticket);
        if !queue.held && (first.is_none() || first == self.ticket) {
            if self.ticket.take().is_some() {
                queue.waiting.remove(0);
            }
            queue.held = true;
            return Poll::Ready(());
        }
        if let Some(ticket) = self.ticket {
            if let Some((_, kept)) = queue.waiting.iter_mut().find(|(other, _)| *other == ticket) {
                kept.clone_from(waker);
            }
            return Poll::Pending;
        }
        let ticket = queue.next_ticket;
        queue.next_ticket = ticket.wrapping_add(1);
        match queue.waiting.push((ticket, waker.clone())) {
            Ok(()) => self.ticket = Some(ticket),
            // More tasks than there should be: ask again in the next round.
            Err(_) => waker.wake_by_ref(),
        }
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let mut queue = self.queue.borrow_mut();
        queue.waiting.retain(|(other, _)| *other != ticket);
        // It may have been woken for its turn already.
        if !queue.held {
            queue.wake_first();
        }
    }
}

/// The right to use the value. Dropping it lets the next one in.
pub struct MutexGuard<'m, T> {
    queue: &'m RefCell<Queue>,
    /// Empty only while it is dropped.
    value: Option<RefMut<'m, T>>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("only drop takes the value")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().expect("only drop takes the value")
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.value = None;
        let mut queue = self.queue.borrow_mut();
        queue.held = false;
        queue.wake_first();
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use core::future::Future;
    use core::pin::pin;
    use core::task::Context;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn waiting_tasks_sleep_and_are_served_in_order() {
        let mutex = Mutex::new(0);
        let wakes: [Arc<Count>; 3] = Default::default();
        let wakers = wakes.clone().map(Waker::from);
        let held = mutex.try_lock().expect("free");
        assert_eq!(mutex.try_lock().err(), Some(Busy));
        let (mut first, mut second, mut third) = (pin!(mutex.lock()), pin!(mutex.lock()), pin!(mutex.lock()));
        assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
        assert!(third.as_mut().poll(&mut Context::from_waker(&wakers[2])).is_pending());
        assert!(wakes.iter().all(|w| w.0.load(Ordering::Relaxed) == 0));
        drop(held);
        assert_eq!(wakes[0].0.load(Ordering::Relaxed), 1);
        // The second does not overtake the first.
        assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
        let Poll::Ready(mut guard) = first.as_mut().poll(&mut Context::from_waker(&wakers[0])) else {
            panic!("it is its turn")
        };
        *guard += 1;
        drop(guard);
        assert_eq!(wakes.each_ref().map(|w| w.0.load(Ordering::Relaxed)), [1, 1, 0]);
        let Poll::Ready(guard) = second.as_mut().poll(&mut Context::from_waker(&wakers[1])) else {
            panic!("it is its turn")
        };
        assert_eq!(*guard, 1);
    }

    #[test]
    fn a_place_that_is_given_up_passes_the_turn_on() {
        let mutex = Mutex::new(());
        let wakes: [Arc<Count>; 2] = Default::default();
        let wakers = wakes.clone().map(Waker::from);
        let held = mutex.try_lock().expect("free");
        let mut second = pin!(mutex.lock());
        {
            let mut first = pin!(mutex.lock());
            assert!(first.as_mut().poll(&mut Context::from_waker(&wakers[0])).is_pending());
            assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_pending());
            drop(held);
            assert_eq!(wakes[0].0.load(Ordering::Relaxed), 1);
        }
        assert_eq!(wakes[1].0.load(Ordering::Relaxed), 1);
        assert!(second.as_mut().poll(&mut Context::from_waker(&wakers[1])).is_ready());
    }
}
