//! Appends whose future is dropped, or that fail on the way, and what is written after them.
#![allow(clippy::unwrap_used)]

use core::future::Future;
use core::task::{Context, Poll, Waker};

use embassy_futures::block_on;
use flash_log::KvStore;
use flash_sim::SimFlash;

type Flash = SimFlash<{ 4 * 1_024 }>;

/// Polls a future `polls` times, then drops it. Returns whether it came to its end.
fn poll_and_drop<T>(future: impl Future<Output = T>, polls: usize) -> bool {
    let mut future = std::pin::pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    (0..polls).any(|_| matches!(future.as_mut().poll(&mut context), Poll::Ready(_)))
}

#[test]
fn what_is_written_after_a_dropped_append_survives_a_restart() {
    let mut dropped = 0;
    for polls in 0..40 {
        let flash = Flash::new(4).program_once();
        let mut store = block_on(KvStore::open(flash.clone())).unwrap();
        block_on(store.set(1, b"before")).unwrap();
        flash.set_yielding(true);
        dropped += u32::from(!poll_and_drop(store.set(2, &[7; 100]), polls));
        flash.set_yielding(false);
        block_on(store.set(3, b"after")).unwrap();
        drop(store);
        let mut store = block_on(KvStore::open(flash)).unwrap();
        let mut out = [0; 100];
        for (key, value) in [(1, &b"before"[..]), (3, b"after")] {
            let read = block_on(store.get(key, &mut out)).unwrap();
            assert_eq!(read.map(|len| &out[..len]), Some(value), "key {key} after {polls} polls");
        }
        let old_or_new = block_on(store.get(2, &mut out)).unwrap();
        assert!(old_or_new.is_none_or(|len| out[..len] == [7; 100]));
    }
    assert!((4..40).contains(&dropped), "{dropped}");
}
