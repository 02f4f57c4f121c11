//! One thread in real time: tasks, timers, and readiness of sockets of this machine.
//!
//! The executor's clock is a patient one. Where the whole host stands still for a while, the emulated machine has stood
//! still as well; so one look at the clock never moves it by more than [`LEAP_US_MAX`], and patience that is counted
//! in this time does not run out while nobody could do anything.

use platform::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
    future::{Future, poll_fn},
    io::{Read as _, Write as _},
    os::{fd::AsFd, unix::net::UnixStream},
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// What one look at the clock adds at most.
const LEAP_US_MAX: u64 = 1_000_000;

/// The longest sleep: a look at everything now and then costs nothing and forgives a lost wake-up.
const SLEEP_US_MAX: u64 = 200_000;

/// The task that [`Executor::block_on`] runs.
const ROOT: u64 = 0;

/// A socket of this machine that several may hold.
pub type Socket = Rc<dyn AsFd>;

/// Something that has a share in the main loop: a network stack.
pub trait Driven {
    /// Does what can be done now. Says whether anything was.
    fn drive(&self, now: Instant) -> bool;
    /// When it wants to be driven again, if nothing arrives before.
    fn due(&self) -> Option<Instant>;
    /// The sockets whose readiness is a reason to drive it; `true` stands for waiting to write.
    fn sockets(&self) -> Vec<(Socket, bool)>;
}

/// Tasks that may run, shared with the wakers; the only part that other threads see.
#[derive(Debug)]
struct Ready {
    ids: Mutex<Vec<u64>>,
    /// Ends the sleep of the executor when another thread wakes a task.
    bell: UnixStream,
}

struct TaskWaker {
    id: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ids = self.ready.ids.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ids.is_empty();
        if !ids.contains(&self.id) {
            ids.push(self.id);
        }
        drop(ids);
        if first {
            // Full means that the bell has been rung already.
            _ = (&self.ready.bell).write(&[1]);
        }
    }
}

struct Task {
    waker: Waker,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// A task that waits for a socket.
struct Wait {
    socket: Socket,
    write: bool,
    waker: Waker,
    fired: bool,
}

struct Inner {
    started: std::time::Instant,
    /// Real microseconds at the last look, and the patient clock then.
    looked: Cell<(u64, u64)>,
    next_id: Cell<u64>,
    tasks: RefCell<HashMap<u64, Task>>,
    ready: Arc<Ready>,
    bell: Rc<UnixStream>,
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    waits: RefCell<BTreeMap<u64, Wait>>,
    driven: RefCell<Vec<Rc<dyn Driven>>>,
}

/// The executor; cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Executor {
    inner: Rc<Inner>,
}

impl Executor {
    /// An executor without tasks.
    ///
    /// # Errors
    /// When the system has no socket pair left.
    pub fn new() -> anyhow::Result<Self> {
        let (bell, rings) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        rings.set_nonblocking(true)?;
        Ok(Self {
            inner: Rc::new(Inner {
                started: std::time::Instant::now(),
                looked: Cell::new((0, 0)),
                next_id: Cell::new(ROOT + 1),
                tasks: RefCell::default(),
                ready: Arc::new(Ready { ids: Mutex::default(), bell: rings }),
                bell: Rc::new(bell),
                timers: RefCell::default(),
                waits: RefCell::default(),
                driven: RefCell::default(),
            }),
        })
    }

    /// The present moment of the patient clock.
    #[must_use]
    pub fn now(&self) -> Instant {
        let real = u64::try_from(self.inner.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let (before, patient) = self.inner.looked.get();
        let patient = patient.saturating_add(real.saturating_sub(before).min(LEAP_US_MAX));
        self.inner.looked.set((real, patient));
        Instant(patient)
    }

    /// Gives `driven` its share in the loop from now on.
    pub fn attach(&self, driven: Rc<dyn Driven>) {
        self.inner.driven.borrow_mut().push(driven);
    }

    /// Starts a task.
    pub fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        let id = self.fresh_id();
        let waker = Waker::from(Arc::new(TaskWaker { id, ready: Arc::clone(&self.inner.ready) }));
        waker.wake_by_ref();
        self.inner.tasks.borrow_mut().insert(id, Task { waker, future: Box::pin(future) });
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.inner.tasks.borrow().len()
    }

    fn fresh_id(&self) -> u64 {
        let id = self.inner.next_id.get();
        self.inner.next_id.set(id + 1);
        id
    }

    /// Returns when the clock reads `at` or later.
    pub async fn wait_until(&self, at: Instant) {
        let mut registered = Registered { executor: self, key: None };
        poll_fn(|context| {
            if self.now() >= at {
                return Poll::Ready(());
            }
            let key = *registered.key.get_or_insert_with(|| (at, self.fresh_id()));
            self.inner.timers.borrow_mut().insert(key, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Returns when the socket is ready: to be written if `write`, else to be read (or at its end).
    pub async fn ready(&self, socket: &Socket, write: bool) {
        let waiting = Waiting { executor: self, id: self.fresh_id() };
        poll_fn(|context| {
            let mut waits = self.inner.waits.borrow_mut();
            if waits.get(&waiting.id).is_some_and(|wait| wait.fired) {
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            waits.insert(waiting.id, Wait { socket: Rc::clone(socket), write, waker, fired: false });
            Poll::Pending
        })
        .await;
    }

    /// Runs everything until `root` is done.
    pub fn block_on<T>(&self, root: impl Future<Output = T>) -> T {
        let mut root = pin!(root);
        let waker = Waker::from(Arc::new(TaskWaker { id: ROOT, ready: Arc::clone(&self.inner.ready) }));
        waker.wake_by_ref();
        loop {
            let ids =
                std::mem::take(&mut *self.inner.ready.ids.lock().unwrap_or_else(PoisonError::into_inner));
            for id in &ids {
                if *id == ROOT {
                    if let Poll::Ready(value) = root.as_mut().poll(&mut Context::from_waker(&waker)) {
                        return value;
                    }
                } else {
                    self.poll_task(*id);
                }
            }
            let now = self.now();
            let mut busy = !ids.is_empty();
            let driven: Vec<_> = self.inner.driven.borrow().clone();
            for driven in driven {
                busy |= driven.drive(now);
            }
            self.fire_timers(now);
            self.rest(busy);
        }
    }

    fn poll_task(&self, id: u64) {
        // Taken out while it runs: it may start others.
        let Some(mut task) = self.inner.tasks.borrow_mut().remove(&id) else { return };
        let waker = task.waker.clone();
        if task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            self.inner.tasks.borrow_mut().insert(id, task);
        }
    }

    fn fire_timers(&self, now: Instant) {
        loop {
            let mut timers = self.inner.timers.borrow_mut();
            match timers.first_key_value() {
                Some((&key, _)) if key.0 <= now => {
                    let waker = timers.remove(&key);
                    drop(timers);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
                _ => return,
            }
        }
    }

    /// Looks at the sockets; sleeps until one is ready or a timer is due, unless there is something to do.
    fn rest(&self, busy: bool) {
        let runnable = !self.inner.ready.ids.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        let now = self.now();
        let driven: Vec<_> = self.inner.driven.borrow().clone();
        let mut due = now.0.saturating_add(SLEEP_US_MAX);
        for driven in &driven {
            due = due.min(driven.due().map_or(u64::MAX, |at| at.0));
        }
        if let Some(((at, _), _)) = self.inner.timers.borrow().first_key_value() {
            due = due.min(at.0);
        }
        let sleep_us = if busy || runnable { 0 } else { due.saturating_sub(now.0) };
        let mut watched: Vec<(Option<u64>, Socket, bool)> =
            vec![(None, Rc::clone(&self.inner.bell) as Socket, false)];
        watched.extend(
            driven.iter().flat_map(|driven| driven.sockets()).map(|(socket, write)| (None, socket, write)),
        );
        let waits = self.inner.waits.borrow();
        let open = waits.iter().filter(|(_, wait)| !wait.fired);
        watched.extend(open.map(|(id, wait)| (Some(*id), Rc::clone(&wait.socket), wait.write)));
        drop(waits);
        for id in wait_for_any(&watched, sleep_us).into_iter().flatten() {
            if let Some(wait) = self.inner.waits.borrow_mut().get_mut(&id) {
                wait.fired = true;
                wait.waker.wake_by_ref();
            }
        }
        let mut rung = [0; 64];
        while (&*self.inner.bell).read(&mut rung).is_ok_and(|count| count == rung.len()) {}
    }
}

/// Sleeps until one of the sockets is ready; gives the names of those that are.
fn wait_for_any(watched: &[(Option<u64>, Socket, bool)], sleep_us: u64) -> Vec<Option<u64>> {
    let mut asked: Vec<PollFd<'_>> = watched
        .iter()
        .map(|(_, socket, write)| {
            PollFd::from_borrowed_fd(socket.as_fd(), if *write { PollFlags::OUT } else { PollFlags::IN })
        })
        .collect();
    let timeout = Timespec {
        tv_sec: i64::try_from(sleep_us / 1_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(sleep_us % 1_000_000 * 1_000).unwrap_or(0),
    };
    // An interrupted sleep is a short one.
    _ = poll(&mut asked, Some(&timeout));
    let ready = asked.iter().map(|asked| !asked.revents().is_empty());
    watched.iter().zip(ready).filter(|(_, ready)| *ready).map(|((name, ..), _)| *name).collect()
}

/// A registered timer; dropping it takes it back.
struct Registered<'e> {
    executor: &'e Executor,
    key: Option<(Instant, u64)>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.executor.inner.timers.borrow_mut().remove(&key);
        }
    }
}

/// A registered wait for a socket; dropping it takes it back.
struct Waiting<'e> {
    executor: &'e Executor,
    id: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.executor.inner.waits.borrow_mut().remove(&self.id);
    }
}
