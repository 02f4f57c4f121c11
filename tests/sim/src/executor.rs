//! One thread, virtual time, an order drawn from the seed.
//!
//! Time stands still while any task can run and jumps to the next timer when none can, so an hour of retries
//! takes milliseconds and a run depends on nothing but its seed. Tasks belong to a [`Group`]; ending the group
//! of the appliance is how its power is cut.

use crate::random::Random;
use platform::Instant;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

/// Polls between two steps of time after which a run is taken for an endless loop.
const POLLS_PER_MOMENT_MAX: u64 = 2_000_000;

/// Whom a task belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// The world around the appliance: peers, the person at the console, the test's own story.
    Outside,
    /// Everything that runs on the appliance since its n-th start; dies with its power.
    Appliance(u32),
}

/// What a diverging call of the machine leaves behind instead of returning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerEvent {
    /// The firmware restarted the machine.
    Reboot,
    /// The firmware switched the machine off.
    Off,
}

struct Task {
    group: Group,
    /// One for the task's whole life, so that whoever keeps it can tell that it is the same.
    waker: Waker,
    name: String,
    future: Pin<Box<dyn Future<Output = ()>>>,
}

/// The tasks that may run, shared with the wakers.
#[derive(Default)]
struct ReadyList {
    ids: Vec<u64>,
}

struct TaskWaker {
    id: u64,
    ready: Arc<Mutex<ReadyList>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut ready = self.ready.lock().expect("a waker never panics while it holds the list");
        if !ready.ids.contains(&self.id) {
            ready.ids.push(self.id);
        }
    }
}

struct Inner {
    now: Cell<Instant>,
    next_id: Cell<u64>,
    tasks: RefCell<HashMap<u64, Task>>,
    ready: Arc<Mutex<ReadyList>>,
    timers: RefCell<BTreeMap<(Instant, u64), Waker>>,
    doomed: RefCell<Vec<Group>>,
    running: Cell<Option<Group>>,
    power_events: RefCell<Vec<(Group, PowerEvent)>>,
    random: RefCell<Random>,
}

/// The executor; cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Executor {
    inner: Rc<Inner>,
}

impl Executor {
    /// An executor at time 0 whose choices follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            inner: Rc::new(Inner {
                now: Cell::new(Instant(0)),
                next_id: Cell::new(1),
                tasks: RefCell::default(),
                ready: Arc::default(),
                timers: RefCell::default(),
                doomed: RefCell::default(),
                running: Cell::new(None),
                power_events: RefCell::default(),
                random: RefCell::new(Random::new(seed)),
            }),
        }
    }

    /// The present virtual moment.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.inner.now.get()
    }

    /// Starts a task. It runs for the first time when the executor gets to it.
    pub fn spawn(&self, group: Group, name: impl Into<String>, future: impl Future<Output = ()> + 'static) {
        let id = self.fresh_id();
        let waker = Waker::from(Arc::new(TaskWaker { id, ready: self.inner.ready.clone() }));
        waker.wake_by_ref();
        let task = Task { group, waker, name: name.into(), future: Box::pin(future) };
        self.inner.tasks.borrow_mut().insert(id, task);
    }

    /// Ends every task of `group` at the next opportunity: at once, or after the poll that is under way.
    pub fn kill(&self, group: Group) {
        self.inner.doomed.borrow_mut().push(group);
        if self.inner.running.get().is_none() {
            self.bury();
        }
    }

    /// Tasks of `group` that have not ended.
    #[must_use]
    pub fn alive(&self, group: Group) -> usize {
        let doomed = self.inner.doomed.borrow();
        if doomed.contains(&group) {
            return 0;
        }
        self.inner.tasks.borrow().values().filter(|t| t.group == group).count()
    }

    /// Takes the oldest restart or power-off that the firmware of `group` asked for.
    #[must_use]
    pub fn take_power_event(&self, group: Group) -> Option<PowerEvent> {
        let mut events = self.inner.power_events.borrow_mut();
        let position = events.iter().position(|(g, _)| *g == group)?;
        Some(events.remove(position).1)
    }

    /// Returns when the virtual clock reads `at` or later.
    pub fn sleep_until(&self, at: Instant) -> Sleep {
        Sleep { inner: self.inner.clone(), at, key: None }
    }

    /// Returns after `ms` milliseconds of virtual time.
    pub fn sleep_ms(&self, ms: u64) -> Sleep {
        self.sleep_until(self.now().plus_ms(ms))
    }

    /// Runs everything until `story` ends, and gives back what it returned.
    ///
    /// # Panics
    /// When nothing can happen any more though the story has not ended, when a task spins without time
    /// passing, and with the panic of any task.
    pub fn block_on<T: 'static>(&self, story: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let place = result.clone();
        self.spawn(Group::Outside, "story", async move {
            let value = story.await;
            *place.borrow_mut() = Some(value);
        });
        let mut polls = 0u64;
        loop {
            if let Some(value) = result.borrow_mut().take() {
                return value;
            }
            if self.poll_one() {
                polls += 1;
                assert!(
                    polls < POLLS_PER_MOMENT_MAX,
                    "tasks spin without time passing: {}",
                    self.task_names()
                );
                continue;
            }
            polls = 0;
            assert!(self.jump(), "nothing can happen any more; waiting: {}", self.task_names());
        }
    }

    /// Drops every task. Tasks hold handles to the executor that holds them; this unties the knot at the end of a run.
    pub fn clear(&self) {
        loop {
            let Some(id) = self.inner.tasks.borrow().keys().min().copied() else { return };
            let task = self.inner.tasks.borrow_mut().remove(&id);
            drop(task);
        }
    }

    fn fresh_id(&self) -> u64 {
        let id = self.inner.next_id.get();
        self.inner.next_id.set(id + 1);
        id
    }

    fn task_names(&self) -> String {
        let tasks = self.inner.tasks.borrow();
        let mut names: Vec<_> = tasks.values().map(|t| t.name.clone()).collect();
        names.sort();
        names.join(", ")
    }

    /// Polls one ready task. Returns whether there was one.
    fn poll_one(&self) -> bool {
        self.bury();
        let id = {
            let mut ready = self.inner.ready.lock().expect("no waker panics");
            if ready.ids.is_empty() {
                return false;
            }
            let count = ready.ids.len() as u64;
            let index = self.inner.random.borrow_mut().below(count) as usize;
            ready.ids.remove(index)
        };
        let Some(mut task) = self.inner.tasks.borrow_mut().remove(&id) else { return true };
        let waker = task.waker.clone();
        self.inner.running.set(Some(task.group));
        let outcome =
            catch_unwind(AssertUnwindSafe(|| task.future.as_mut().poll(&mut Context::from_waker(&waker))));
        self.inner.running.set(None);
        match outcome {
            Ok(Poll::Ready(())) => {}
            Ok(Poll::Pending) => {
                self.inner.tasks.borrow_mut().insert(id, task);
            }
            Err(payload) => self.power_event_or_panic(task.group, payload),
        }
        self.bury();
        true
    }

    fn power_event_or_panic(&self, group: Group, payload: Box<dyn Any + Send>) {
        match payload.downcast::<PowerEvent>() {
            Ok(event) => {
                self.inner.power_events.borrow_mut().push((group, *event));
                self.inner.doomed.borrow_mut().push(group);
            }
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Drops the tasks of doomed groups. Dropping may wake or doom others, so the tables are not borrowed then.
    fn bury(&self) {
        loop {
            let Some(group) = self.inner.doomed.borrow_mut().pop() else { return };
            let mut ids: Vec<u64> = {
                let tasks = self.inner.tasks.borrow();
                tasks.iter().filter(|(_, t)| t.group == group).map(|(id, _)| *id).collect()
            };
            ids.sort_unstable();
            for id in ids {
                let task = self.inner.tasks.borrow_mut().remove(&id);
                drop(task);
            }
        }
    }

    /// Moves time to the next timer and wakes everything due then. Returns whether there was a timer.
    fn jump(&self) -> bool {
        let mut due = Vec::new();
        {
            let mut timers = self.inner.timers.borrow_mut();
            let Some((&(at, _), _)) = timers.first_key_value() else { return false };
            self.inner.now.set(at.max(self.now()));
            while let Some(entry) = timers.first_entry() {
                if entry.key().0 > at {
                    break;
                }
                due.push(entry.remove());
            }
        }
        for waker in due {
            waker.wake();
        }
        true
    }
}

/// A wait for a moment of virtual time. Dropping it removes the timer.
pub struct Sleep {
    inner: Rc<Inner>,
    at: Instant,
    key: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.inner.now.get() >= self.at {
            return Poll::Ready(());
        }
        let key = self.key.unwrap_or_else(|| {
            let id = self.inner.next_id.get();
            self.inner.next_id.set(id + 1);
            (self.at, id)
        });
        self.key = Some(key);
        self.inner.timers.borrow_mut().insert(key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.inner.timers.borrow_mut().remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_passes_at_once_and_timers_fire_in_order() {
        let executor = Executor::new(1);
        let order = Rc::new(RefCell::new(Vec::new()));
        for ms in [3_600_000, 5, 70_000] {
            let (e, order) = (executor.clone(), order.clone());
            executor.spawn(Group::Outside, "sleeper", async move {
                e.sleep_ms(ms).await;
                order.borrow_mut().push(ms);
            });
        }
        let e = executor.clone();
        executor.block_on(async move { e.sleep_ms(4_000_000).await });
        assert_eq!(*order.borrow(), [5, 70_000, 3_600_000]);
        assert_eq!(executor.now(), Instant(4_000_000_000));
    }

    #[test]
    fn a_reboot_ends_only_the_tasks_of_the_appliance() {
        let executor = Executor::new(1);
        let boot = Group::Appliance(1);
        executor.spawn(boot, "idle", std::future::pending());
        executor.spawn(boot, "reboots", async { resume_unwind(Box::new(PowerEvent::Reboot)) });
        let e = executor.clone();
        executor.block_on(async move { e.sleep_ms(1).await });
        assert_eq!(executor.alive(boot), 0);
        assert_eq!(executor.take_power_event(boot), Some(PowerEvent::Reboot));
    }

    #[test]
    #[should_panic(expected = "nothing can happen")]
    fn a_world_that_stands_still_is_an_error() {
        Executor::new(1).block_on(std::future::pending::<()>());
    }
}
