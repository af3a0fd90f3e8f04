//! The world behind its one lock, and the two things around it that know time: entering it with the time set, and
//! the task that wakes it for its own deadlines.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::state::{SaveError, StateDir};
use super::world::World;
use crate::clock::{Clock, UnixMillis};

/// The world, shared by connections, admin calls and the timer task.
pub(crate) struct Shared {
    world: Mutex<Inner>,
    pub clock: Clock,
    /// What `clock` calls have added to the clock.
    offset_ms: AtomicI64,
    deadline: watch::Sender<Option<UnixMillis>>,
    changed: watch::Sender<u64>,
}

struct Inner {
    world: World,
    state: Option<StateDir>,
}

impl Inner {
    /// Writes what has changed; then what depends on it may leave.
    fn commit(&mut self) {
        let Some(state) = &mut self.state else { return };
        match state.commit(&mut self.world) {
            Ok(()) => self.world.release(),
            Err(error) => {
                tracing::error!("{error}; every connection is dropped");
                self.world.withhold();
            }
        }
    }
}

impl Shared {
    pub fn new(mut world: World, clock: Clock, state: Option<StateDir>) -> Self {
        if state.is_some() {
            world.hold();
        }
        Self {
            offset_ms: AtomicI64::new(world.now_ms.saturating_sub(clock.wall_ms()).max(0)),
            deadline: watch::Sender::new(world.next_deadline()),
            changed: watch::Sender::new(0),
            world: Mutex::new(Inner { world, state }),
            clock,
        }
    }

    /// The world's time.
    pub fn now_ms(&self) -> UnixMillis {
        self.clock.wall_ms().saturating_add(self.offset_ms.load(Ordering::Relaxed))
    }

    /// Enters the world. What became due before now is done first; what the world says leaves when its changes are
    /// written.
    pub fn with<R>(&self, call: impl FnOnce(&mut World) -> R) -> R {
        let mut inner = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let world = &mut inner.world;
        world.advance_to(self.now_ms());
        let result = call(world);
        world.settle();
        let next = world.next_deadline();
        inner.commit();
        drop(inner);
        self.deadline.send_if_modified(|deadline| std::mem::replace(deadline, next) != next);
        self.changed.send_modify(|changes| *changes += 1);
        result
    }

    /// Moves the world's time on; everything that becomes due on the way happens in order.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(by, Ordering::Relaxed);
        self.with(|_| {});
    }

    /// Waits until `ready` finds what it looks for, or the time is up.
    pub async fn wait<R>(
        &self,
        within: Duration,
        mut ready: impl FnMut(&mut World) -> Option<R>,
    ) -> Option<R> {
        let deadline = self.clock.now() + within;
        let mut changes = self.changed.subscribe();
        loop {
            changes.borrow_and_update();
            if let Some(found) = self.look(&mut ready) {
                return Some(found);
            }
            tokio::select! {
                biased;
                change = changes.changed() => if change.is_err() { return None },
                () = self.clock.sleep_until(deadline) => return self.look(&mut ready),
            }
        }
    }

    /// As [`Shared::with`], without telling those who wait.
    pub fn look<R>(&self, call: impl FnOnce(&mut World) -> R) -> R {
        let mut inner = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        call(&mut inner.world)
    }

    /// Wakes the world when something of its own is due. Ends with the simulator, which drops this task.
    pub async fn keep_time(self: Arc<Self>) {
        let mut deadline = self.deadline.subscribe();
        loop {
            let next = *deadline.borrow_and_update();
            let due_in = next.map(|at| at.saturating_sub(self.now_ms()).max(0).unsigned_abs());
            tokio::select! {
                biased;
                change = deadline.changed() => if change.is_err() { return },
                () = sleep(&self.clock, due_in) => self.with(|_| {}),
            }
        }
    }

    /// Writes the state as one file, if there is one: the end of a run.
    pub fn close(&self) -> Result<(), SaveError> {
        let mut inner = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { world, state } = &mut *inner;
        state.as_mut().map_or(Ok(()), |state| state.close(world))
    }
}

async fn sleep(clock: &Clock, millis: Option<u64>) {
    match millis {
        Some(millis) => clock.sleep(Duration::from_millis(millis)).await,
        None => std::future::pending().await,
    }
}
